//! The end of a serving daemon, step by step (DMN-510 to 518), on the main thread. The clock ends the process by force
//! after `shutdown-timeout`, wherever this hangs.

use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::thread::JoinHandle;

use wsgi_core::life::Reason;
use wsgi_core::wire::Refusal;
use wsgi_sys::signals;
use wsgi_sys::stream::{self, Shutdown, Wait};

use crate::answer::Outbox;
use crate::clock::Clock;
use crate::log::{self, Level};
use crate::probe::{Probe, Task};
use crate::process::Process;

/// Longest shutdown of a process whose supervisor is gone or whose Python is blocked, seconds.
pub(crate) const ORPHAN_LIMIT: u64 = 5;

/// The threads of the process, and the ways to them.
pub(crate) struct Helpers {
    /// Request threads.
    pub(crate) threads: Vec<JoinHandle<()>>,
    /// The dispatcher of signals ends with this.
    pub(crate) python_signals: Option<SyncSender<i32>>,
    pub(crate) dispatcher: Option<JoinHandle<()>>,
    pub(crate) probe: Option<(Probe, JoinHandle<()>)>,
    pub(crate) clock: Clock,
}

/// Carries the end out; returns when there is nothing left but to exit.
pub(crate) fn run(process: &Arc<Process>, helpers: Helpers) {
    let Helpers {
        threads,
        python_signals,
        dispatcher,
        probe,
        clock,
    } = helpers;
    let reason = process.life.reason().unwrap_or(Reason::ShutdownSignal);
    let group = &process.settings.group;
    log::record(
        Level::Info,
        format!("stopping process of group '{group}' ({reason})"),
    );
    let is_blocked = process.life.is_python_blocked();
    let limit = match process.settings.limits.shutdown_timeout {
        // Nobody is left who could end this process if it hangs, or it hangs already.
        0 if is_blocked || reason == Reason::SignalPipeError => ORPHAN_LIMIT,
        limit => limit,
    };
    process.life.limit_shutdown(limit);
    clock.look_again();

    for signal in [libc::SIGHUP, libc::SIGUSR2] {
        // Ignoring what exists cannot fail.
        let _ = signals::ignore(signal);
    }
    drop(python_signals);
    if let Some(dispatcher) = dispatcher {
        // It ends after the callback that it is in. Its panic, if any, was printed.
        let _ = dispatcher.join();
    }
    // A deadlocked Python takes no message; only the reaper ends it (DMN-440).
    if !is_blocked {
        if let Err(error) = process.runtime.publish_stopping(reason.as_str()) {
            log::record(Level::Info, error.to_string());
        }
    }
    process.runtime.report_stopping(reason.as_str());
    process.dispatch.stop();
    process.lookout.end();
    for thread in threads {
        if thread.join().is_err() {
            log::coded(71, Level::Warning, "a request thread has ended by a panic");
        }
    }
    refuse_the_rest(process);
    if let Some((probe, thread)) = probe {
        probe.ask(Task::End);
        // Its panic, if any, was printed.
        let _ = thread.join();
    }
    if let Err(error) = process.runtime.stop() {
        log::record(Level::Info, error.to_string());
    }
    log::record(
        Level::Info,
        format!("process of group '{group}' ends ({reason})"),
    );
}

/// Closes the kept connections so that each child knows whether its last request was looked at: what came in too late is
/// refused, and nothing can come in afterwards.
fn refuse_the_rest(process: &Process) {
    let mut outbox = Outbox::default();
    let mut byte = [0; 1];
    for connection in process.dispatch.take_connections() {
        stream::shutdown(connection.as_fd(), Shutdown::Read);
        if matches!(
            stream::receive(connection.as_fd(), &mut byte, Wait::No),
            Ok(1)
        ) {
            Refusal::Stopping.encode(outbox.early());
            // A child that is gone needs no answer; one that reads nothing has room for these nine bytes.
            let _ = outbox.flush(connection.as_fd());
        }
        connection.hang_up();
    }
}
