//! Rows: what configurations of earlier releases say: accepted without effect, renamed, or refused.

use super::{ACCESS, REQUEST, SERVER};
use crate::config::directive::{Arity, Context, Directive, Effect, Scope};
use crate::config::{ConfigError, NoticeLevel, set, values};

/// The row of a directive that is refused, whatever it says.
macro_rules! refused {
    ($name:literal, $advice:literal) => {
        Directive {
            name: $name,
            syntax: "value",
            arity: Arity::Raw,
            default: "none",
            since: "1.0",
            help: concat!("Refused: ", $advice, "."),
            doc: concat!("Refused: ", $advice, "."),
            example: concat!("# ", $name),
            effect: Effect::Never,
            set: |directive, _, _| {
                Err(ConfigError::Removed {
                    directive,
                    advice: $advice,
                })
            },
            ..SERVER
        }
    };
}

/// In the order of the specification.
pub(super) const ROWS: &[Directive] = &[
    Directive {
        name: "WSGIVerboseDebugging",
        syntax: "On|Off",
        default: "Off",
        since: "3.0",
        help: "Accepted for compatibility; use LogLevel wsgi:debug.",
        doc: "Accepted for compatibility; use `LogLevel wsgi:debug`.",
        example: "WSGIVerboseDebugging Off",
        effect: Effect::Never,
        set: |n, a, p| {
            values::switch(n, a)?;
            p.global.notice(
                NoticeLevel::Info,
                format!("{n} has no effect; use LogLevel wsgi:debug."),
            );
            Ok(())
        },
        ..SERVER
    },
    Directive {
        name: "WSGILazyInitialization",
        syntax: "On|Off",
        default: "On",
        since: "3.0",
        help: "Accepted for compatibility.",
        doc: "Accepted for compatibility. Python always starts in the processes that use it.",
        example: "WSGILazyInitialization On",
        effect: Effect::Never,
        set: |n, a, p| {
            values::switch(n, a)?;
            set::forgotten(n, p, "Python always starts in the processes that use it.")
        },
        ..SERVER
    },
    Directive {
        name: "WSGIPy3kWarningFlag",
        syntax: "On|Off",
        default: "Off",
        since: "3.0",
        help: "Accepted for compatibility; it was for Python 2.",
        doc: "Accepted for compatibility; it was for Python 2.",
        example: "WSGIPy3kWarningFlag Off",
        effect: Effect::Never,
        set: |n, a, p| {
            values::switch(n, a)?;
            set::forgotten(n, p, "it was for Python 2 and has no effect.")
        },
        ..SERVER
    },
    Directive {
        name: "WSGIReloadMechanism",
        syntax: "Process",
        default: "Process",
        since: "1.0",
        help: "Accepted for compatibility: daemon processes are always replaced when a script changes.",
        doc: "Accepted for compatibility: daemon processes are always replaced when a script changes. `Module` is refused.",
        example: "WSGIReloadMechanism Process",
        effect: Effect::Never,
        set: |n, a, p| {
            if a.eq_ignore_ascii_case("process") {
                set::forgotten(
                    n,
                    p,
                    "daemon processes are always replaced when a script changes.",
                )
            } else {
                Err(ConfigError::Removed {
                    directive: n,
                    advice: "a changed script replaces the daemon process; remove the directive",
                })
            }
        },
        ..REQUEST
    },
    Directive {
        name: "WSGIApacheExtensions",
        syntax: "On|Off",
        context: Context::SVD,
        scope: Scope::Merge,
        default: "Off",
        since: "2.0",
        help: "Earlier name of WSGIPassApacheRequest.",
        doc: "Earlier name of WSGIPassApacheRequest.",
        example: "WSGIPassApacheRequest On",
        set: |n, a, p| {
            set::layer_switch(n, a, p, |l| &mut l.pass_apache_request)?;
            set::forgotten(n, p, "taken as WSGIPassApacheRequest.")
        },
        ..SERVER
    },
    Directive {
        name: "WSGIUserAuthoritative",
        syntax: "On|Off",
        default: "On",
        since: "2.0",
        help: "Accepted as On for compatibility.",
        doc: "Accepted as On for compatibility. Off is refused: it has no counterpart in Apache 2.4.",
        example: "WSGIUserAuthoritative On",
        effect: Effect::Never,
        set: |n, a, p| {
            if values::switch(n, a)? {
                set::forgotten(n, p, "it has no effect with Apache 2.4.")
            } else {
                Err(ConfigError::Removed {
                    directive: n,
                    advice: "Apache 2.4 falls through to the next AuthBasicProvider by itself; list the providers and remove the directive",
                })
            }
        },
        ..ACCESS
    },
    refused!(
        "WSGINewRelicConfigFile",
        "New Relic's agent is no longer started by the server; wrap the application with it in the script"
    ),
    refused!(
        "WSGINewRelicEnvironment",
        "New Relic's agent is no longer started by the server; wrap the application with it in the script"
    ),
    refused!(
        "WSGIPythonExecutable",
        "name the installation with WSGIPythonHome"
    ),
    refused!(
        "WSGIOutputBuffering",
        "answers are never collected; remove the directive"
    ),
];
