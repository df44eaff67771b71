//! What `httpd -t` accepts and refuses: every directive and option, in every context; and what stays of it.

mod contexts;
mod daemon_options;
mod older_releases;
mod preloading;
mod renewed;
mod servers;
mod values;
mod words;

use wsgi_harness::{Mode, Mpm, Site, subject};

/// What must become of a configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Accepted,
    Refused,
    /// Refused by ours only, for the reason that the row gives.
    RefusedByOurs,
    /// Accepted by ours only.
    AcceptedByOurs,
}
use Verdict::{Accepted, AcceptedByOurs, Refused, RefusedByOurs};

/// Checks each row as the only addition to a plain configuration.
#[track_caller]
fn check<T: AsRef<str>>(rows: &[(&'static str, T, Verdict)]) {
    let mut wrong = Vec::new();
    for (row, config, verdict) in rows {
        let config = config.as_ref();
        let site = Site::new(Mpm::Event, Mode::Embedded)
            .modules(&["alias", "auth_basic", "authn_core"])
            .config(config);
        let checked = site.check();
        let expected = match verdict {
            Accepted => true,
            Refused => false,
            RefusedByOurs => !subject().differs(row),
            AcceptedByOurs => subject().differs(row),
        };
        if checked.accepted != expected {
            wrong.push(format!(
                "{row}: {config}\n   accepted: {}, but {verdict:?}: {}",
                checked.accepted,
                checked.output.trim()
            ));
        } else if !expected && !names_its_cause(config, &checked.output) {
            wrong.push(format!(
                "{row}: {config}\n   the message names neither directive nor group, or not the option: {}",
                checked.output.trim()
            ));
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {}:\n{}",
        wrong.len(),
        rows.len(),
        wrong.join("\n")
    );
}

/// Whether the message says which directive, or which process group, is the cause, and which option where there is but one (DP-02).
/// The original's often say nothing.
fn names_its_cause(config: &str, output: &str) -> bool {
    let says = output.to_lowercase();
    let mut words = config.split([' ', '\n']).filter(|word| word.contains('='));
    let option = match (words.next(), words.next()) {
        (Some(only), None) if config.starts_with("WSGIDaemonProcess") => {
            only.trim_matches('"').split('=').next()
        }
        _ => None,
    };
    if subject().is_ours() && option.is_some_and(|option| !output.contains(option)) {
        return false;
    }
    let mut directives = config.lines().filter_map(|line| {
        let word = line.trim_start_matches('<').split([' ', '>']).next()?;
        Some(word.to_lowercase()).filter(|word| word.starts_with("wsgi"))
    });
    !subject().is_ours()
        || says.contains("process group '")
        || directives.any(|name| says.contains(&name))
}

/// GEN-01: both names of the module, and its log level.
#[test]
fn names_of_the_module() {
    check(&[
        (
            "GEN-01",
            "<IfModule !wsgi_module>\nNonsense\n</IfModule>\n<IfModule !mod_wsgi.c>\nNonsense\n</IfModule>",
            Accepted,
        ),
        ("GEN-01", "LogLevel wsgi:debug wsgi_module:info", Accepted),
    ]);
    for (level, heard) in [
        ("warn", false),
        ("warn wsgi:info", true),
        ("warn wsgi_module:info", true),
    ] {
        let server = Site::embedded()
            .log_level(level)
            .shared("hello.wsgi")
            .config("WSGIScriptAlias / {apps}/hello.wsgi")
            .start();
        server.get("/").expect(200);
        let records = server.log().records();
        let infos = records.iter().filter(|record| record.module == "wsgi");
        assert_eq!(infos.count() > 0, heard, "{level}");
    }
}
