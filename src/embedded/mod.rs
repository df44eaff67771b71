//! Embedded mode: Python in the Apache child, behind the runtime's table.
//!
//! A child loads one runtime after it was forked (`child_init`), if anything of its configuration may need Python there; the
//! parent never does. [`run`] then serves requests on the MPM's own threads. A child without Python refuses embedded requests
//! with 500 and says why in its log (WSGI0210).

pub mod hook;
mod python;
mod transport;

use std::ffi::c_void;
use std::ptr::NonNull;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use wsgi_core::config::Effective;
use wsgi_core::ordinals::Ordinals;
use wsgi_core::record::NEEDS_MAIN_INTERPRETER;
use wsgi_core::request::environ::Environ;
use wsgi_core::wire::RequestHead;
use wsgi_runtime_api::Outcome;
use wsgi_runtime_api::runtime::{self, Runtime};

use crate::apache::{Level, Pool, Request, Server, Status, log};

pub use python::{check, python_version};

use transport::Transport;

/// The runtime of this process. A process has one for its whole life (a child is never reconfigured), and the parent none: the
/// only static of the module that is set after a fork.
static RUNTIME: OnceLock<Option<Runtime>> = OnceLock::new();

/// Those of threads that run embedded requests (ENV-60).
static ORDINALS: Mutex<Ordinals> = Mutex::new(Ordinals::new());

thread_local! {
    /// What a thread that ran embedded requests leaves behind.
    static WORKER: Worker = Worker { id: ORDINALS.lock().take() };
}

/// Set when Python has ended: threads that end later have nothing to leave.
static STOPPED: AtomicBool = AtomicBool::new(false);

/// A thread of the MPM that ran embedded requests.
struct Worker {
    /// Ordinal among these threads, from 1.
    id: u32,
}

impl Drop for Worker {
    /// The thread ends: its thread states go, so that interpreters can be ended (API-062).
    fn drop(&mut self) {
        ORDINALS.lock().give_back(self.id);
        if let (Some(Some(runtime)), false) = (RUNTIME.get(), STOPPED.load(Ordering::Acquire)) {
            runtime.leave_thread();
        }
    }
}

/// Starts Python in a new child, on its main thread, if its configuration may need it (DIR-071), and loads the scripts that the
/// configuration names for embedded mode. Failures are logged; the child lives on.
pub fn child_init(pchild: Pool<'_>, main: &Server<'_>) {
    let started = python::start(main);
    if let Some(Err(error)) = started.as_ref().map(Runtime::start_reporting) {
        log::process(Level::Error, format!("Telemetry does not start: {error}"));
    }
    let runs = started.is_some();
    if RUNTIME.set(started).is_err() || !runs {
        return;
    }
    // Before the child's pool goes: no request runs any more then.
    pchild.before_end_here(stop);
}

/// At the end of a child: subscribers hear of it, then the interpreters go (API-060, API-061).
fn stop() {
    let Some(Some(runtime)) = RUNTIME.get() else {
        return;
    };
    STOPPED.store(true, Ordering::Release);
    let published = runtime.publish_stopping("");
    runtime.report_stopping("");
    for done in [published, runtime.stop()] {
        if let Err(error) = done {
            log::process(Level::Error, format!("Python was not ended: {error}"));
        }
    }
}

/// Runs a request in this child. `head` is what the engine needs to know besides `environ`.
pub fn run(
    request: &Request<'_>,
    effective: &Effective<'_>,
    head: &RequestHead<'_>,
    environ: &Environ<'_>,
) -> Status {
    let Some(Some(runtime)) = RUNTIME.get() else {
        request.log(
            Level::Error,
            format!(
                "[script {}] WSGI0210: this Apache child runs without Python, so it cannot serve an embedded request. Either \
                 Python could not start (WSGI0001 in the log says why), or WSGIRestrictEmbedded is On and only a .htaccess \
                 file asks for Python; set WSGIRestrictEmbedded Off or name a daemon group with WSGIProcessGroup.",
                String::from_utf8_lossy(head.script_filename)
            ),
        );
        return Status::INTERNAL_SERVER_ERROR;
    };
    let mut entries = runtime::Environ::new();
    for (name, value) in environ.iter() {
        entries.push(name, value);
    }
    let view = runtime::Request {
        environ: entries,
        application_group: head.application_group,
        callable_object: head.callable_object,
        script_filename: head.script_filename,
        handler_script: head.handler_script,
        flags: head.flags,
        thread_id: WORKER.with(|worker| worker.id),
        server_pid: head.server_pid,
        request_start: head.request_start,
        useragent_ip: Some(request.client_ip()),
        hostname: request.hostname(),
        apache_request: apache_request(request, effective),
        ..runtime::Request::default()
    };
    let sendfile = effective.enable_sendfile();
    let mut transport = Transport::new(request, head.script_filename, sendfile);
    let outcome = runtime.handle(&view, &mut transport);
    finish(request, &mut transport, outcome)
}

/// Apache's record of the request, where scripts are to have it (DIR-122).
fn apache_request(request: &Request<'_>, effective: &Effective<'_>) -> Option<NonNull<c_void>> {
    let wanted = effective.pass_apache_request();
    wanted.then(|| request.raw())
}

/// What httpd is told after the engine is done.
fn finish(request: &Request<'_>, transport: &mut Transport<'_>, outcome: Outcome) -> Status {
    match outcome {
        Outcome::Complete => transport.complete(),
        Outcome::CutShort => transport.abort(),
        // The client is gone; there is nobody to tell.
        Outcome::Aborted => Status::OK,
        Outcome::NotFound => Status::NOT_FOUND,
        Outcome::TimedOut => Status::GATEWAY_TIMEOUT,
        Outcome::TooManyInterpreters => Status::http(503),
        Outcome::MainOnly => request.fail_with(NEEDS_MAIN_INTERPRETER),
        // Reload is only for daemons: here the script was reloaded in place.
        Outcome::Failed | Outcome::Unavailable | Outcome::Reload => transport
            .body_failure()
            .unwrap_or(Status::INTERNAL_SERVER_ERROR),
    }
}
