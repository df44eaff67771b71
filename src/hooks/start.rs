//! What happens when Apache starts, restarts, checks its configuration, and when a child begins.
//!
//! `check`, `configured` and `scoreboard_made` run in the httpd parent, which has one thread; `child` in a new child before it has threads.

use wsgi_core::config::{Global, PythonFacts};

use super::dump;
use crate::apache::{Directive, Level, Pool, Server, Status, log, process};
use crate::installed::{self, Wanted};
use crate::supervisor::Daemons;
use crate::{config, embedded, supervisor};

/// Our token in the server version (GEN-03).
const SERVER_TOKEN: &str = concat!("mod_wsgi-rs/", env!("CARGO_PKG_VERSION"));

/// Looks for what only the whole configuration shows to be wrong. Also with `httpd -t`.
pub(super) fn check(pconf: Pool<'_>, main: &Server<'_>) -> Status {
    super::settle(main);
    let global = config::global(main);
    match supervisor::check(pconf, main, global).and_then(|()| embedded::check(global)) {
        Ok(()) => Status::OK,
        Err(message) => {
            // httpd asks for the report only where all is well.
            dump::print_if_wanted(main);
            fail(&message)
        }
    }
}

/// Whether a directive can show variables of requests: `%{NAME}e` of logs and headers, `reqenv` of expressions.
fn shows_variables<'s>(directives: impl Iterator<Item = Directive<'s>>) -> bool {
    let shows = |one: &Directive<'s>| one.mentions(b"}e") || one.mentions(b"reqenv");
    let mut directives = directives;
    directives.any(|one| shows(&one) || shows_variables(one.inner()))
}

/// The configuration is final. At start httpd asks twice; only the second one is for real.
pub(super) fn configured(pconf: Pool<'_>, main: &Server<'_>) -> Status {
    if process::configuration_pass() == process::Pass::Check {
        return Status::OK;
    }
    process::add_version_component(pconf, SERVER_TOKEN);
    let global = config::global(main);
    if let Some((major, minor)) = embedded::python_version(global) {
        process::add_version_component(pconf, &format!("Python/{major}.{minor}"));
    }
    config::server(main).note_shown_variables(shows_variables(Directive::all(main)));
    config::log_notices(main);
    log_what_pythons_lack(main, global);
    dump::log_warnings(main);
    match supervisor::start(pconf, main, global) {
        Ok(daemons) => {
            config::server(main).attach(daemons);
            Status::OK
        }
        Err(message) => fail(&message),
    }
}

/// Says which settings the Pythons of this server cannot follow (DIR-091, DIR-092).
fn log_what_pythons_lack(main: &Server<'_>, global: &Global) {
    let folders = installed::folders(global.runtime_directory.as_deref());
    let children = global.needs_embedded_python().then_some(None);
    let groups = global.daemon_groups.iter().map(Some);
    for group in children.into_iter().chain(groups) {
        // Where there is none, the start has failed or is going to, with a better text.
        let Ok(found) = installed::runtime(&folders, Wanted::of(global, group)) else {
            continue;
        };
        let python = PythonFacts {
            major: found.version.major,
            minor: found.version.minor,
            free_threaded: found.version.free_threaded,
        };
        for text in global.lacks(group, python) {
            main.log(Level::Warn, text);
        }
    }
}

/// Apache has its scoreboard and is about to start children.
pub(super) fn scoreboard_made(main: &Server<'_>) -> Status {
    match daemons(main).map_or(Ok(()), Daemons::launch) {
        Ok(()) => Status::OK,
        Err(message) => fail(&message),
    }
}

/// First thing in a child.
pub(super) fn child(pchild: Pool<'_>, main: &Server<'_>) {
    if let Some(daemons) = daemons(main) {
        daemons.enter_child();
    }
    embedded::child_init(pchild, main);
}

/// The daemon groups of the running configuration; None before they were started.
pub(super) fn daemons<'s>(main: &Server<'s>) -> Option<&'s Daemons> {
    config::server(main).attached()
}

/// Apache does not start.
fn fail(message: &str) -> Status {
    log::startup(Level::Emerg, message);
    Status::INTERNAL_SERVER_ERROR
}
