//! Service mode (`threads=0`, DMN-560 to 564): the process runs its import scripts on the main thread and ends when they
//! return. No request is taken, and none of the timeouts apply but the one that ends a script which ignores SIGTERM.
//!
//! SIGTERM is Python's here: the runtime installs a handler that raises SystemExit. Everything that means "stop" becomes
//! a SIGTERM to this process, from one thread that listens to the supervisor.

use std::sync::Arc;
use std::thread::Builder;
use std::time::Duration;

use wsgi_core::control::{FromDaemon, ToDaemon};
use wsgi_sys::control::{ControlSocket, Received};
use wsgi_sys::{process, signals};

use crate::EXIT_FAILED;
use crate::log::{self, Level};
use crate::scoreboard;
use crate::shutdown::ORPHAN_LIMIT;
use crate::start::{StartError, Started, load_scripts};

/// Runs the scripts; returns when they have.
pub(crate) fn run(started: Started) -> Result<(), StartError> {
    let Started {
        process: shared,
        control,
        signals: _,
    } = started;
    for signal in [libc::SIGINT, libc::SIGUSR1] {
        signals::forward_as_terminate(signal).map_err(StartError::Signals)?;
    }
    for signal in [libc::SIGHUP, libc::SIGUSR2] {
        signals::ignore(signal).map_err(StartError::Signals)?;
    }
    shared.dispatch.show(wsgi_core::life::Phase::Serving);
    if control.send(&FromDaemon::Ready).is_err() {
        return Ok(());
    }
    let limit = shared.settings.limits.shutdown_timeout;
    // No script has run yet, so nobody has asked, and no order was taken off the channel.
    let _ = scoreboard::begin_reading();
    let listening = Arc::clone(&control);
    Builder::new()
        .name("wsgi-control".into())
        .spawn(move || obey(&listening, limit))
        .map_err(|source| StartError::Thread { ordinal: 0, source })?;
    load_scripts(&shared.runtime, &shared.settings.preload, |_| {});
    // It ends as it is told to; SystemExit would come up in the middle of Python's finalisation.
    signals::ignore(libc::SIGTERM).map_err(StartError::Signals)?;
    log::record(
        Level::Info,
        format!("service of group '{}' has ended", shared.settings.group),
    );
    if let Err(error) = shared.runtime.stop() {
        log::record(Level::Info, error.to_string());
    }
    Ok(())
}

/// Waits for the order to end, or the end of the supervisor; both mean the same to a service.
fn obey(control: &ControlSocket, limit: u64) {
    let limit = loop {
        match control.receive::<ToDaemon>() {
            Ok(Received::Message(ToDaemon::ServerMetrics { question, page })) => {
                scoreboard::answered(question, page);
            }
            Ok(Received::Message(ToDaemon::Start(_)) | Received::Nothing) => {}
            Ok(Received::Message(ToDaemon::Drain(_) | ToDaemon::Stop(_))) => break limit,
            // Nobody is left who could end this process.
            Ok(Received::Closed) | Err(_) => break if limit > 0 { limit } else { ORPHAN_LIMIT },
        }
    };
    scoreboard::end_reading(true);
    let this = i32::try_from(process::id()).expect("a pid is an int");
    signals::send(this, libc::SIGTERM);
    if limit > 0 {
        std::thread::sleep(Duration::from_secs(limit));
        log::record(Level::Info, "the service did not end in shutdown-timeout");
        process::exit_now(i32::from(EXIT_FAILED));
    }
}
