//! Rows: scripts that are no target of a URL: handlers, hooks of Apache and what is loaded at start.

use super::{ACCESS, SERVER};
use crate::config::directive::{Arity, Context, Directive, Effect, Scope};
use crate::config::set;

/// In the order of the specification.
pub(super) const ROWS: &[Directive] = &[
    Directive {
        name: "WSGIHandlerScript",
        syntax: "name file [process-group=name] [application-group=name] [pass-authorization=On|Off]",
        arity: Arity::Raw,
        context: Context::SVD,
        scope: Scope::Merge,
        default: "none",
        since: "3.0",
        help: "A WSGI script whose handle_request runs for files with this handler (AddHandler, SetHandler).",
        doc: "A WSGI script whose `handle_request` runs for files with this handler (AddHandler, SetHandler). The file need not exist.",
        example: "WSGIHandlerScript markdown /srv/handlers/markdown.wsgi",
        set: set::handler_script,
        ..SERVER
    },
    Directive {
        name: "WSGIDispatchScript",
        syntax: "file [application-group=name]",
        arity: Arity::Raw,
        context: Context::SVD,
        scope: Scope::Merge,
        default: "none",
        since: "2.0",
        help: "Script that chooses process group, interpreter and callable for each request.",
        doc: "Script that chooses for each request. Its functions `process_group(environ)`, `application_group(environ)` and `callable_object(environ)`, of which any may be missing, return a name, or None to leave what the configuration says. Runs in Apache's own processes, in the main interpreter unless `application-group` says otherwise.",
        example: "WSGIDispatchScript /srv/site/dispatch_script.wsgi",
        set: |n, a, p| set::hook_script(n, a, p, |l| &mut l.dispatch_script),
        ..SERVER
    },
    Directive {
        name: "WSGIAccessScript",
        syntax: "file [application-group=name]",
        arity: Arity::Raw,
        default: "none",
        since: "2.0",
        help: "Script whose allow_access decides who may have access.",
        doc: "Script whose function `allow_access(environ, host)` decides who may have access: True allows, False denies (403), None leaves it to others. Runs in Apache's own processes, in the main interpreter unless `application-group` says otherwise.",
        example: "WSGIAccessScript /srv/site/access_script.wsgi",
        set: |n, a, p| set::hook_script(n, a, p, |l| &mut l.access_script),
        ..ACCESS
    },
    Directive {
        name: "WSGIAuthUserScript",
        syntax: "file [application-group=name]",
        arity: Arity::Raw,
        default: "none",
        since: "2.0",
        help: "Script that checks passwords, for the provider wsgi of Basic and Digest authentication.",
        doc: "Script that checks passwords, for the provider `wsgi` of AuthBasicProvider and AuthDigestProvider. Its function `check_password(environ, user, password)` returns True, False, None for a user that it does not know, or the name that the user gets; `get_realm_hash(environ, user, realm)` returns the MD5 of `user:realm:password` in hexadecimal digits, or None. Runs in Apache's own processes, in the main interpreter unless `application-group` says otherwise.",
        example: "WSGIAuthUserScript /srv/site/auth_user_script.wsgi",
        set: |n, a, p| set::hook_script(n, a, p, |l| &mut l.auth_user_script),
        ..ACCESS
    },
    Directive {
        name: "WSGIAuthGroupScript",
        syntax: "file [application-group=name]",
        arity: Arity::Raw,
        default: "none",
        since: "2.0",
        help: "Script that tells the groups of a user, for Require wsgi-group.",
        doc: "Script whose function `groups_for_user(environ, user)` returns the groups of a user, for `Require wsgi-group`, which compares without case. Runs in Apache's own processes, in the main interpreter unless `application-group` says otherwise.",
        example: "WSGIAuthGroupScript /srv/site/auth_group_script.wsgi",
        set: |n, a, p| set::hook_script(n, a, p, |l| &mut l.auth_group_script),
        ..ACCESS
    },
    Directive {
        name: "WSGIGroupAuthoritative",
        syntax: "On|Off",
        default: "On",
        since: "2.0",
        help: "Accepted for compatibility; Apache 2.4 has no use for it.",
        doc: "Accepted for compatibility; Apache 2.4 has no use for it.",
        example: "WSGIGroupAuthoritative On",
        effect: Effect::Never,
        set: |n, a, p| {
            set::layer_switch(n, a, p, |l| &mut l.group_authoritative)?;
            if a.eq_ignore_ascii_case("off") {
                set::forgotten(n, p, "Off has no effect with Apache 2.4.")?
            }
            Ok(())
        },
        ..ACCESS
    },
    Directive {
        name: "WSGIImportScript",
        syntax: "file|module:name[:callable] process-group=name application-group=name",
        arity: Arity::Raw,
        context: Context::SV,
        scope: Scope::List,
        default: "none",
        since: "2.0",
        help: "A script that each process of the group loads when it starts, before it takes requests.",
        doc: "A script that each process of the group loads when it starts, before it takes requests. It may be a module, as with WSGIScriptAlias.",
        example: "WSGIImportScript /srv/site/warm.py process-group=site application-group=%{GLOBAL}",
        set: set::import_script,
        ..SERVER
    },
];
