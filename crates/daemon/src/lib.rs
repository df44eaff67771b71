//! One process of a daemon group. Started by the supervisor with three descriptors (control channel, listener, board),
//! configured over the first, serves requests of Apache's children over connections of the second. A library, because it is
//! the program of two executables: `mod_wsgi-daemon`, and that of a Python (`crates/preload`).
//!
//! Threads: the main thread starts Python and then waits for orders and signals; request threads 1…n share one epoll set;
//! one clock looks after all deadlines; one thread delivers signals to Python, another touches the GIL for the clock, one sends
//! what answers keep back.

mod answer;
mod body;
mod clock;
mod connection;
mod conversation;
mod dispatch;
mod hold;
mod inbox;
mod life;
mod log;
mod lookout;
mod probe;
mod process;
mod scoreboard;
mod service;
mod shutdown;
mod start;
mod supervise;
mod worker;

use std::sync::Arc;

use wsgi_core::control::{FromDaemon, ToDaemon};
use wsgi_sys::control::{ControlSocket, Received};
use wsgi_sys::process::{SoleThread, descriptor_limit};

/// Exit status of a process that could not start (DMN-118), and of one that ended by force (DMN-520).
pub const EXIT_FAILED: u8 = 255;

/// The whole life of a process, on its main thread, the only one so far. Returns its exit status, 0 or [`EXIT_FAILED`]
/// (DMN-118, DMN-520).
pub fn run() -> u8 {
    let sole = SoleThread::prove();
    let inherited = match start::Inherited::take() {
        Ok(inherited) => inherited,
        Err(text) => {
            eprintln!(
                "mod_wsgi-daemon: {text}\nThis program is started by Apache with mod_wsgi-rs."
            );
            return EXIT_FAILED;
        }
    };
    let settings = match inherited.control.receive::<ToDaemon>() {
        Ok(Received::Message(ToDaemon::Start(settings))) => *settings,
        // The supervisor changed its mind, or is gone: nothing was begun.
        Ok(_) => return 0,
        Err(error) => {
            eprintln!("mod_wsgi-daemon: cannot receive its settings: {error}");
            return EXIT_FAILED;
        }
    };
    let control = Arc::new(inherited.control);
    log::start(Arc::clone(&control), settings.log_level);
    if settings.server_metrics {
        scoreboard::start(Arc::clone(&control));
    }
    let is_service = settings.threads == 0;
    let started = start::run(
        settings,
        inherited.listener,
        inherited.board,
        &control,
        sole,
    )
    .and_then(|started| {
        if is_service {
            service::run(started)
        } else {
            supervise::run(started)
        }
    });
    match started {
        Ok(()) => 0,
        Err(error) => fail(&control, &error),
    }
}

/// Tells the supervisor why there is no process (DMN-118). It logs, and throttles the next attempt.
fn fail(control: &ControlSocket, error: &start::StartError) -> u8 {
    let text = format!("{error}{}", error.remedy(descriptor_limit()));
    let failed = FromDaemon::Failed {
        code: error.code(),
        level: error.level() as u8,
        text: text.clone(),
    };
    if control.send(&failed).is_err() {
        // Nobody to tell but the error log.
        eprintln!("mod_wsgi-daemon: WSGI{:04}: {text}", error.code());
    }
    if let Some(code) = error.summary_code() {
        log::coded(
            code,
            error.level(),
            "daemon process could not be set up and ends",
        );
    }
    EXIT_FAILED
}
