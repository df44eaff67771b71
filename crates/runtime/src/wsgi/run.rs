//! A request inside its interpreter: from the script to the last Python object of the application.
//!
//! Everything in here holds the GIL but where [`Exchange::detached`] says otherwise. An answer that is a list or tuple of
//! bytes is only gathered; it is sent after the GIL was given up.

use std::sync::Arc;

use pyo3::exceptions::{PyAttributeError, PyTypeError};
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::{PyBytes, PyDict, PyList, PyTuple};
use wsgi_runtime_api::Outcome;
use wsgi_runtime_api::engine::Request;

use super::adapter::{Adapter, raised};
use super::current::InRequest;
use super::events;
use super::exchange::{Exchange, OutputError};
use super::file_wrapper;
use super::input::Input;
use super::process::{ERROR, INFO, TRACE, is_logged};
use super::report;
use super::script::{Changed, Context, Found};
use super::spare;
use super::state::State;
use super::target::{self, Wanted};
use crate::python::{class, descriptor, objects};

/// Bodies up to this size are copied, so that no Python object is left when they are sent, bytes.
const MOST_COPIED: usize = 32 * 1024;

/// What the files of a script or module looked like before the interpreter was entered.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Looked {
    /// Of a script: its time.
    pub(super) modified: Option<i64>,
    /// Of a module: which load of it has become stale.
    pub(super) stale: Option<u64>,
}

/// The module that the request is for; None if it is for a script file.
pub(super) fn wanted<'r>(request: &Request<'r>) -> Option<Wanted<'r>> {
    Some(Wanted {
        name: request.module()?,
        callable: request.callable_object(),
        whole_package: request.reloads_modules(),
    })
}

/// What is left to do without the GIL.
pub(super) enum After {
    /// Nothing.
    Outcome(Outcome),
    /// Send what is missing of the head, and the end.
    Conclude,
    /// Send head, body and end.
    Send(Body),
}

/// A whole body.
pub(super) enum Body {
    /// A copy.
    Copied(Vec<u8>),
    /// The application's own objects, to be given back to the interpreter.
    Kept(Vec<PyBackedBytes>),
}

/// How the application failed.
enum Failure {
    /// An exception, to be logged.
    Raised(PyErr),
    /// The client is gone, which is nobody's fault (REQ-490).
    Gone,
}

impl From<PyErr> for Failure {
    fn from(error: PyErr) -> Failure {
        Failure::Raised(error)
    }
}

impl From<OutputError> for Failure {
    fn from(error: OutputError) -> Failure {
        match error {
            OutputError::Gone => Failure::Gone,
            error => Failure::Raised(raised(error)),
        }
    }
}

/// Runs the request.
pub(super) fn run(
    py: Python<'_>,
    state: &'static State,
    request: &Request<'_>,
    exchange: &Arc<Exchange>,
    looked: Looked,
) -> After {
    let id = request
        .environ()
        .find(|(name, _)| *name == b"mod_wsgi.request_id");
    let id = id
        .and_then(|(_, value)| value)
        .map(|id| String::from_utf8_lossy(id).into_owned());
    let begun = InRequest::begin(py, state, exchange, id, request.thread_id());
    let after = match &begun {
        Ok(_) => load_and_call(py, state, request, exchange, looked),
        Err(error) => {
            report::script_exception(py, error, exchange.script(), state.interpreter.name());
            After::Outcome(Outcome::Failed)
        }
    };
    exchange.end();
    drop(begun);
    after
}

fn load_and_call(
    py: Python<'_>,
    state: &'static State,
    request: &Request<'_>,
    exchange: &Arc<Exchange>,
    looked: Looked,
) -> After {
    if let Some(wanted) = wanted(request) {
        return import_and_call(py, state, request, exchange, &wanted, looked);
    }
    let changed = match (request.reloads_scripts(), request.is_in_daemon()) {
        (false, _) => Changed::Ignored,
        (true, false) => Changed::Reloaded,
        (true, true) => Changed::Reported,
    };
    let resource = Some(request.script_filename());
    let scripts = &state.scripts;
    let found = scripts.find(
        py,
        state,
        request.script(),
        looked.modified,
        changed,
        resource,
        Context::Request,
    );
    let module = match found {
        Ok(Found::Module(module)) => module,
        Ok(Found::Changed) => return After::Outcome(Outcome::Reload),
        Ok(Found::Failed) => return After::Outcome(exchange_failed(py, exchange)),
        Err(error) => return failed(py, state, exchange, Failure::Raised(error)),
    };
    let callable = objects::latin1(py, request.callable_object())
        .and_then(|name| module.dict().get_item(name));
    let application = match callable {
        Ok(Some(application)) => application,
        Ok(None) => {
            let text = format!(
                "WSGI0089: Script '{}' has no callable '{}'.",
                String::from_utf8_lossy(request.script()),
                String::from_utf8_lossy(request.callable_object())
            );
            report::line(py, ERROR, &text);
            return After::Outcome(Outcome::NotFound);
        }
        Err(error) => return failed(py, state, exchange, Failure::Raised(error)),
    };
    drop(module);
    call(py, state, request, exchange, application)
}

/// As [`load_and_call`], for a module.
fn import_and_call(
    py: Python<'_>,
    state: &'static State,
    request: &Request<'_>,
    exchange: &Arc<Exchange>,
    wanted: &Wanted<'_>,
    looked: Looked,
) -> After {
    let only_report = request.reloads_scripts() && request.is_in_daemon();
    let targets = &state.targets;
    match targets.find(py, state, wanted, looked.stale, only_report) {
        Ok(target::Found::Application(application)) => {
            let after = call(py, state, request, exchange, application);
            if wanted.whole_package && request.reloads_scripts() {
                // What this request has imported.
                targets.watch_new(py, state, wanted);
            }
            after
        }
        Ok(target::Found::Changed) => After::Outcome(Outcome::Reload),
        Ok(target::Found::Failed) => After::Outcome(exchange_failed(py, exchange)),
        Err(error) => failed(py, state, exchange, Failure::Raised(error)),
    }
}

/// Builds the environ, calls the application and consumes what it returns.
fn call<'py>(
    py: Python<'py>,
    state: &'static State,
    request: &Request<'_>,
    exchange: &Arc<Exchange>,
    mut application: Bound<'py, PyAny>,
) -> After {
    let is_watched = state.has_subscribers(py);
    let start = events::Start::now(is_watched);
    let prepared = || -> PyResult<(Bound<'py, PyDict>, Bound<'py, PyAny>)> {
        let input = class::instance(state.types.input.bind(py), Input::new(Arc::clone(exchange)))?;
        let errors = spare::armed(py, state, exchange)?;
        let environs = state.environs.get().ok_or_else(|| {
            pyo3::exceptions::PyRuntimeError::new_err("the set-up of the interpreter has failed")
        })?;
        let environ = environs.build(py, request, start.epoch, &input, &errors)?;
        let adapter = Adapter::new(Arc::clone(exchange), state);
        let adapter = class::instance(state.types.adapter.bind(py), adapter)?;
        Ok((
            environ,
            adapter.getattr(state.names.start_response.bind(py))?,
        ))
    };
    let (environ, start_response) = match prepared() {
        Ok(prepared) => prepared,
        Err(error) => return failed(py, state, exchange, Failure::Raised(error)),
    };
    if is_watched {
        match events::request_started(py, state, request, &start, application, &environ) {
            Ok(replaced) => application = replaced,
            Err(error) => return failed(py, state, exchange, Failure::Raised(error)),
        }
    }
    exchange.counters.application_starts(start.epoch);
    let returned = application.call1((&environ, &start_response));
    drop(start_response);
    drop(application);
    // Subscribers come and go meanwhile (API-303).
    let is_watched = state.has_subscribers(py);
    let after = match returned {
        Ok(result) => consume(py, state, exchange, result, is_watched),
        Err(error) => failed(py, state, exchange, Failure::Raised(error)),
    };
    drop(environ);
    spare::disarm(py, state);
    let time = start.elapsed();
    exchange.counters.application_ran(time);
    if state.has_subscribers(py) {
        // Before its last byte, as far as the application has sent none.
        let outcome = match after {
            After::Outcome(outcome) => Some(outcome),
            _ => None,
        };
        let told = events::request_finished(py, state, request, exchange, &start, outcome);
        if let Err(error) = told {
            let header = "WSGI0112: Event 'request_finished' cannot be published.";
            report::exception(py, &error, ERROR, header);
        }
    }
    after
}

/// Sends, or gathers, what the application returned, and closes it.
fn consume<'py>(
    py: Python<'py>,
    state: &State,
    exchange: &Exchange,
    result: Bound<'py, PyAny>,
    is_watched: bool,
) -> After {
    // Without a `close` and without code of its own: whatever happens here, nobody sees when.
    let is_plain =
        result.is_exact_instance_of::<PyList>() || result.is_exact_instance_of::<PyTuple>();
    if is_plain && !is_watched && exchange.has_started() && !exchange.has_output() {
        if let Some(body) = gather(&result) {
            if let Err(error) = exchange.check_head() {
                return failed(py, state, exchange, error.into());
            }
            exchange.count_blocks(body.blocks, body.length);
            return After::Send(body.bytes);
        }
    }
    let sent = send(py, state, exchange, &result);
    let problem = sent
        .err()
        .map(|failure| failed(py, state, exchange, failure));
    if !is_plain {
        close(py, state, exchange, &result);
    }
    problem.unwrap_or(After::Conclude)
}

/// The items of a list or tuple.
struct Gathered {
    bytes: Body,
    /// Items that are not empty.
    blocks: usize,
    /// Bytes in them.
    length: usize,
}

/// They, if they are all bytes.
fn gather(result: &Bound<'_, PyAny>) -> Option<Gathered> {
    let items: Vec<Bound<'_, PyAny>> = match result.cast::<PyList>() {
        Ok(list) => list.iter().collect(),
        Err(_) => result.cast::<PyTuple>().ok()?.iter().collect(),
    };
    let items: Vec<&Bound<'_, PyBytes>> = items
        .iter()
        .map(|item| item.cast::<PyBytes>().ok())
        .collect::<Option<_>>()?;
    let filled = || items.iter().filter(|item| !item.as_bytes().is_empty());
    let blocks = filled().count();
    let length = filled().map(|item| item.as_bytes().len()).sum();
    let bytes = if length > MOST_COPIED {
        Body::Kept(filled().map(|item| (*item).clone().into()).collect())
    } else {
        let mut copy = Vec::with_capacity(length);
        filled().for_each(|item| copy.extend_from_slice(item.as_bytes()));
        Body::Copied(copy)
    };
    Some(Gathered {
        bytes,
        blocks,
        length,
    })
}

/// Sends the items of an iterable as they come, or a plain file.
fn send(
    py: Python<'_>,
    state: &State,
    exchange: &Exchange,
    result: &Bound<'_, PyAny>,
) -> Result<(), Failure> {
    if !exchange.has_output() {
        if let Some(plain) = file_wrapper::plain(py, state, result) {
            return send_file(py, exchange, &plain);
        }
    }
    for item in result.try_iter()? {
        let item = item?;
        let Ok(bytes) = item.cast::<PyBytes>() else {
            let kind = item.get_type();
            let text = format!("items of the response must be bytes, not {}", kind.name()?);
            return Err(PyTypeError::new_err(text).into());
        };
        let bytes = bytes.as_bytes();
        if !bytes.is_empty() && !exchange.hold_last(bytes)? {
            exchange.detached(py, || exchange.send_block(bytes))?;
        }
    }
    exchange.check_head()?;
    Ok(())
}

fn send_file(
    py: Python<'_>,
    exchange: &Exchange,
    plain: &file_wrapper::Plain,
) -> Result<(), Failure> {
    let length = exchange.check_head()?;
    let wanted = length.map_or(plain.length, |length| length.min(plain.length));
    if length.is_none() {
        exchange.set_length(plain.length);
    }
    let (descriptor, offset) = (plain.descriptor, plain.offset);
    exchange.detached(py, || match descriptor::borrow(descriptor) {
        Some(file) => exchange.send_file(file, offset, wanted),
        None => Ok(()),
    })?;
    Ok(())
}

/// Calls `close()` if there is one (REQ-444).
fn close(py: Python<'_>, state: &State, exchange: &Exchange, result: &Bound<'_, PyAny>) {
    let close = match result.getattr(state.names.close.bind(py)) {
        Ok(close) => close,
        Err(error) if error.is_instance_of::<PyAttributeError>(py) => return,
        Err(error) => {
            let header = "WSGI0194: Attribute 'close' of the response cannot be had.";
            report::line(py, ERROR, header);
            if !is_timeout(py, state, &error) {
                log_exception(py, state, exchange, &error);
            }
            return;
        }
    };
    if let Err(error) = close.call0() {
        if !is_timeout(py, state, &error) {
            log_exception(py, state, exchange, &error);
        }
    }
}

fn is_timeout(py: Python<'_>, state: &State, error: &PyErr) -> bool {
    error.is_instance(py, state.request_timeout.bind(py))
}

fn log_exception(py: Python<'_>, state: &State, exchange: &Exchange, error: &PyErr) {
    report::script_exception(py, error, exchange.script(), state.interpreter.name());
    events::request_exception(py, state, error);
}

/// Logs a failure and decides what the client gets.
fn failed(py: Python<'_>, state: &State, exchange: &Exchange, failure: Failure) -> After {
    let error = match failure {
        Failure::Gone => {
            if is_logged(TRACE) {
                report::line(py, TRACE, "The client has closed its connection.");
            }
            return After::Outcome(Outcome::Aborted);
        }
        Failure::Raised(error) => error,
    };
    if is_timeout(py, state, &error) {
        report::line(
            py,
            INFO,
            "The request was interrupted: it ran longer than its time allows.",
        );
        return After::Outcome(match exchange_failed(py, exchange) {
            Outcome::Failed => Outcome::TimedOut,
            outcome => outcome,
        });
    }
    log_exception(py, state, exchange, &error);
    After::Outcome(exchange_failed(py, exchange))
}

fn exchange_failed(py: Python<'_>, exchange: &Exchange) -> Outcome {
    if exchange.has_begun_line() {
        exchange.detached(py, || exchange.failed())
    } else {
        exchange.failed()
    }
}
