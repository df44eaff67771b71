//! Telemetry: a thread of each process that serves sends what its requests took to a consumer's socket, every interval
//! (WSGITelemetryService; TEL-010 to TEL-063). What a datagram has is `wsgi_core::telemetry`; here are clock, thread, socket and Python.
//!
//! Nothing on the way to the end of a process waits for the consumer (TEL-090, TEL-091, TEL-093): sends do not block, and the
//! thread's sleep can be cut short.

pub(super) mod collections;
mod reporter;
pub(super) mod slow;

use std::sync::OnceLock;

use self::reporter::Reporter;
use super::process::{self, INFO, WARNING};
use super::{Interpreter, metrics};

/// That of this process, once it was started.
static REPORTER: OnceLock<Reporter> = OnceLock::new();

/// Whether this process reports: with a consumer configured, and unless it is a service (DMN-564).
pub(super) fn is_configured() -> bool {
    let settings = process::settings();
    settings.telemetry.is_some() && !settings.facts.service
}

/// Starts the reporter, if there is to be one. Counting begins first, so that no request is missed (TEL-011).
pub(crate) fn start() {
    let settings = process::settings();
    let Some(telemetry) = settings.telemetry.as_ref().filter(|_| is_configured()) else {
        return;
    };
    let target = &telemetry.socket;
    let reporter = match Reporter::open(telemetry) {
        Ok(reporter) => REPORTER.get_or_init(|| reporter),
        Err(error) => {
            let text = format!(
                "WSGI0132: Telemetry cannot be sent to '{target}' (WSGITelemetryService), this process sends none: {error}"
            );
            return process::log(WARNING, &text);
        }
    };
    metrics::start();
    slow::start(telemetry, settings.facts.threads_per_process);
    match reporter.run() {
        Ok(()) => {
            let text = format!(
                "Telemetry is sent to '{target}' every {} s.",
                telemetry.interval
            );
            process::log(INFO, &text);
        }
        Err(error) => {
            let text =
                format!("WSGI0133: No thread for telemetry, this process sends none: {error}");
            process::log(WARNING, &text);
        }
    }
}

/// The process has decided to end; it may have requests yet.
pub(crate) fn stopping(reason: &str) {
    if let Some(reporter) = REPORTER.get() {
        reporter.stopping(reason);
    }
}

/// The last requests have ended, and Python is about to: the last word of this process. On the main thread.
pub(crate) fn stop() {
    if let Some(reporter) = REPORTER.get() {
        reporter.stop();
    }
}

/// As [`stop`], where the process ends while requests run.
pub(crate) fn forced_end(reason: &str) {
    if let Some(reporter) = REPORTER.get() {
        reporter.forced_end(reason);
    }
}

/// Name of an interpreter as the consumer gets it: where there is only one, or for the main one, none (TEL-207).
fn name_of(interpreter: &'static Interpreter) -> Option<&'static str> {
    Some(interpreter.name()).filter(|name| !name.is_empty())
}
