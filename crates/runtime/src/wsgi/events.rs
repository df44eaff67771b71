//! Events for Python subscribers (API-300 to API-331). Payloads are built only where somebody subscribed.

use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyString, PyTuple};
use wsgi_runtime_api::Outcome;
use wsgi_runtime_api::engine::Request;

use super::current;
use super::exchange::Exchange;
use super::metrics::epoch_now;
use super::process::{ERROR, describe_interpreter};
use super::report;
use super::state::State;
use crate::python::objects;

/// Calls the subscribers of an event in order; a dict that one returns changes the payload for those after it
/// (API-301). `dedicated` are the subscribers of this event only.
pub(crate) fn publish(
    py: Python<'_>,
    state: &State,
    name: &str,
    payload: &Bound<'_, PyDict>,
    dedicated: Option<&Py<PyList>>,
) {
    let lists = [Some(&state.event_callbacks), dedicated];
    // A snapshot: subscribers may subscribe.
    let callbacks: Vec<Bound<'_, PyAny>> = lists
        .into_iter()
        .flatten()
        .flat_map(|list| list.bind(py).iter())
        .collect();
    for callback in callbacks {
        match deliver(name, payload, &callback) {
            Ok(()) => {}
            Err(error) => {
                let code = if report::is_system_exit(py, &error) {
                    "WSGI0190"
                } else {
                    "WSGI0112"
                };
                let header = format!(
                    "{code}: Exception in a subscriber of event '{name}' ({}).",
                    describe_interpreter(state.interpreter.name())
                );
                report::exception(py, &error, ERROR, &header);
            }
        }
    }
}

fn deliver(name: &str, payload: &Bound<'_, PyDict>, callback: &Bound<'_, PyAny>) -> PyResult<()> {
    let keywords = payload.copy()?;
    let returned = callback.call((name,), Some(&keywords))?;
    if let Ok(changes) = returned.cast::<PyDict>() {
        payload.update(changes.as_mapping())?;
    }
    Ok(())
}

/// As [`publish`], with a payload that is built now; one that cannot be built is logged with `code`.
fn publish_built(
    py: Python<'_>,
    state: &State,
    name: &str,
    code: &str,
    dedicated: Option<&Py<PyList>>,
    build: impl FnOnce(&Bound<'_, PyDict>) -> PyResult<()>,
) {
    let payload = PyDict::new(py);
    match build(&payload) {
        Ok(()) => publish(py, state, name, &payload, dedicated),
        Err(error) => {
            let header = format!("{code}: Event '{name}' cannot be published.");
            report::exception(py, &error, ERROR, &header);
        }
    }
}

/// Adds what identifies this thread's request.
pub(crate) fn add_request(py: Python<'_>, payload: &Bound<'_, PyDict>) -> PyResult<()> {
    if let Some(id) = current::request_id() {
        payload.set_item("request_id", id)?;
    }
    if let Some(data) = current::data(py) {
        payload.set_item("request_data", data)?;
    }
    Ok(())
}

/// `response_started` (API-315).
pub(crate) fn response_started(
    py: Python<'_>,
    state: &State,
    status: &Bound<'_, PyString>,
    headers: &Bound<'_, PyList>,
    exc_info: Option<&Bound<'_, PyTuple>>,
) {
    publish_built(py, state, "response_started", "WSGI0112", None, |payload| {
        add_request(py, payload)?;
        payload.set_item("response_status", status)?;
        payload.set_item("response_headers", headers)?;
        payload.set_item("exception_info", exc_info)
    });
}

/// `request_exception` (API-325).
pub(crate) fn request_exception(py: Python<'_>, state: &State, error: &PyErr) {
    if !state.has_subscribers(py) {
        return;
    }
    publish_built(
        py,
        state,
        "request_exception",
        "WSGI0112",
        None,
        |payload| {
            add_request(py, payload)?;
            let info = (error.get_type(py), error.value(py), error.traceback(py));
            payload.set_item("exception_info", info)
        },
    );
}

/// `process_stopping` (API-331).
pub(crate) fn process_stopping(py: Python<'_>, state: &State, reason: &str) {
    let dedicated = Some(&state.shutdown_callbacks);
    publish_built(
        py,
        state,
        "process_stopping",
        "WSGI0104",
        dedicated,
        |payload| payload.set_item("shutdown_reason", reason),
    );
}

/// `process_signal` (API-330).
pub(crate) fn process_signal(py: Python<'_>, state: &State, name: &str, number: i32) {
    let dedicated = Some(&state.signal_callbacks);
    publish_built(
        py,
        state,
        "process_signal",
        "WSGI0209",
        dedicated,
        |payload| {
            payload.set_item("signame", name)?;
            payload.set_item("signum", number)
        },
    );
}

/// When the application was called.
pub(super) struct Start {
    /// Seconds since the epoch.
    pub(super) epoch: f64,
    clock: Instant,
    /// CPU time of this thread, if somebody wants to know.
    cpu: Option<(f64, f64)>,
}

impl Start {
    /// Now; with the CPU time if somebody wants to know it.
    pub(super) fn now(is_watched: bool) -> Start {
        Start {
            epoch: epoch_now(),
            clock: Instant::now(),
            cpu: if is_watched { cpu_time() } else { None },
        }
    }

    /// Time since then.
    pub(super) fn elapsed(&self) -> Duration {
        self.clock.elapsed()
    }
}

/// CPU time of the calling thread in user and system mode, seconds.
fn cpu_time() -> Option<(f64, f64)> {
    let usage = getrusage(UsageWho::RUSAGE_THREAD).ok()?;
    #[expect(
        clippy::cast_precision_loss,
        reason = "microseconds of CPU time fit 53 bits"
    )]
    let seconds = |time: nix::sys::time::TimeVal| time.num_microseconds() as f64 / 1e6;
    Some((seconds(usage.user_time()), seconds(usage.system_time())))
}

/// `request_started` (API-310). Returns the application to call.
pub(super) fn request_started<'py>(
    py: Python<'py>,
    state: &State,
    request: &Request<'_>,
    start: &Start,
    application: Bound<'py, PyAny>,
    environ: &Bound<'py, PyDict>,
) -> PyResult<Bound<'py, PyAny>> {
    let payload = PyDict::new(py);
    add_request(py, &payload)?;
    add_times(request, &payload)?;
    payload.set_item("daemon_connects", request.daemon_connects())?;
    payload.set_item("daemon_restarts", request.daemon_restarts())?;
    payload.set_item("application_start", start.epoch)?;
    payload.set_item("application_object", &application)?;
    payload.set_item(
        "callable_object",
        objects::latin1(py, request.callable_object())?,
    )?;
    payload.set_item("request_environ", environ)?;
    publish(py, state, "request_started", &payload, None);
    Ok(payload
        .get_item("application_object")?
        .unwrap_or(application))
}

fn add_times(request: &Request<'_>, payload: &Bound<'_, PyDict>) -> PyResult<()> {
    payload.set_item("thread_id", request.thread_id())?;
    payload.set_item("server_pid", request.server_pid())?;
    payload.set_item("request_start", request.request_start())?;
    payload.set_item("queue_start", request.queue_start())?;
    payload.set_item("daemon_start", request.daemon_start())
}

/// `request_finished` (API-320).
pub(super) fn request_finished(
    py: Python<'_>,
    state: &State,
    request: &Request<'_>,
    exchange: &Exchange,
    start: &Start,
    outcome: Option<Outcome>,
) -> PyResult<()> {
    let time = start.clock.elapsed().as_secs_f64();
    let counters = &exchange.counters;
    let payload = PyDict::new(py);
    add_request(py, &payload)?;
    add_times(request, &payload)?;
    payload.set_item("application_finish", epoch_now())?;
    payload.set_item("application_time", time)?;
    payload.set_item("input_reads", counters.input_reads.load(Relaxed))?;
    payload.set_item("input_length", counters.input_length.load(Relaxed))?;
    payload.set_item("input_time", counters.input_time())?;
    payload.set_item("output_writes", counters.output_writes.load(Relaxed))?;
    payload.set_item("output_length", counters.output_length.load(Relaxed))?;
    payload.set_item("output_time", counters.output_time())?;
    let status = match outcome {
        Some(Outcome::TimedOut) => 504,
        _ => exchange.status().unwrap_or(500),
    };
    payload.set_item("status", status)?;
    if let (Some(before), Some(after)) = (start.cpu, cpu_time()) {
        let (user, system) = (after.0 - before.0, after.1 - before.1);
        let total = user + system;
        // The clocks differ: never more CPU time than time.
        let scale = if total > time && total > 0.0 {
            time / total
        } else {
            1.0
        };
        payload.set_item("cpu_user_time", user * scale)?;
        payload.set_item("cpu_system_time", system * scale)?;
        payload.set_item("cpu_time", total * scale)?;
    }
    payload.set_item("gil_wait_time", counters.gil_wait_time())?;
    payload.set_item("gil_wait_count", counters.gil_waits.load(Relaxed))?;
    publish(py, state, "request_finished", &payload, None);
    Ok(())
}
