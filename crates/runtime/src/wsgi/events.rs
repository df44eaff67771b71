//! Events for Python subscribers (API-300 to API-331). Payloads are built only where somebody subscribed.

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyString, PyTuple};

use super::current;
use super::process::{ERROR, describe_interpreter};
use super::report;
use super::state::State;

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
