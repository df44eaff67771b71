//! A request inside its interpreter: from the script to the last Python object of the application.
//!
//! Everything in here holds the GIL but where [`Exchange::detached`] says otherwise. An answer that is a list or tuple of
//! bytes is only gathered; it is sent after the GIL was given up.

use std::cell::RefCell;
use std::mem::ManuallyDrop;
use std::ptr;
use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;
use pyo3::exceptions::{PyAttributeError, PyTypeError};
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::{PyBytes, PyDict, PyList, PyTuple};
use wsgi_runtime_api::Outcome;
use wsgi_runtime_api::engine::Request;

use super::adapter::{Adapter, raised};
use super::current::{self, InRequest};
use super::events;
use super::exchange::{Exchange, OutputError};
use super::file_wrapper;
use super::input::Input;
use super::lines::Stream;
use super::process::{ERROR, INFO, TRACE, is_logged};
use super::report;
use super::script::{Changed, Context, Found};
use super::state::State;
use super::streams::{self, Log};
use crate::python::{class, descriptor, objects};

/// Bodies up to this size are copied, so that no Python object is left when they are sent, bytes.
const MOST_COPIED: usize = 32 * 1024;

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
    modified: Option<i64>,
) -> After {
    let id = request
        .environ()
        .find(|(name, _)| *name == b"mod_wsgi.request_id");
    let id = id
        .and_then(|(_, value)| value)
        .map(|id| String::from_utf8_lossy(id).into_owned());
    let begun = InRequest::begin(py, state, exchange, id, request.thread_id());
    let after = match &begun {
        Ok(_) => load_and_call(py, state, request, exchange, modified),
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
    modified: Option<i64>,
) -> After {
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
        modified,
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

/// Builds the environ, calls the application and consumes what it returns.
fn call<'py>(
    py: Python<'py>,
    state: &'static State,
    request: &Request<'_>,
    exchange: &Arc<Exchange>,
    mut application: Bound<'py, PyAny>,
) -> After {
    let is_watched = state.has_subscribers(py);
    let start = Start::now(is_watched);
    let prepared = || -> PyResult<(Bound<'py, PyDict>, Bound<'py, PyAny>)> {
        let input = class::instance(state.types.input.bind(py), Input::new(Arc::clone(exchange)))?;
        let errors = armed_errors(py, state, exchange)?;
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
        match request_started(py, state, request, &start, application, &environ) {
            Ok(replaced) => application = replaced,
            Err(error) => return failed(py, state, exchange, Failure::Raised(error)),
        }
    }
    let returned = application.call1((&environ, &start_response));
    drop(start_response);
    drop(application);
    let after = match returned {
        Ok(result) => consume(py, state, exchange, result, is_watched),
        Err(error) => failed(py, state, exchange, Failure::Raised(error)),
    };
    drop(environ);
    disarm_errors(py, state);
    if is_watched {
        // Before its last byte, as far as the application has sent none.
        if let Err(error) = request_finished(py, state, request, exchange, &start, &after) {
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
            return After::Send(body);
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

/// The items of a list or tuple, if they are all bytes.
fn gather(result: &Bound<'_, PyAny>) -> Option<Body> {
    let items: Vec<Bound<'_, PyAny>> = match result.cast::<PyList>() {
        Ok(list) => list.iter().collect(),
        Err(_) => result.cast::<PyTuple>().ok()?.iter().collect(),
    };
    let items: Vec<&Bound<'_, PyBytes>> = items
        .iter()
        .map(|item| item.cast::<PyBytes>().ok())
        .collect::<Option<_>>()?;
    let total: usize = items.iter().map(|item| item.as_bytes().len()).sum();
    if total > MOST_COPIED {
        let filled = items.into_iter().filter(|item| !item.as_bytes().is_empty());
        return Some(Body::Kept(filled.map(|item| item.clone().into()).collect()));
    }
    let mut copy = Vec::with_capacity(total);
    items
        .iter()
        .for_each(|item| copy.extend_from_slice(item.as_bytes()));
    Some(Body::Copied(copy))
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
        if !bytes.is_empty() {
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
            report::script_exception(py, &error, exchange.script(), state.interpreter.name());
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

/// A `wsgi.errors` that nobody has used, and its log, for the next request of this thread.
struct Spare {
    state: *const State,
    wrapper: Py<PyAny>,
    log: Py<PyAny>,
    /// In the environ of a request that has not ended.
    is_lent: bool,
}

thread_local! {
    // Never dropped: Python objects are freed behind a door, by `leave_thread`.
    static SPARES: RefCell<ManuallyDrop<Vec<Spare>>> =
        const { RefCell::new(ManuallyDrop::new(Vec::new())) };
}

/// `wsgi.errors` for a request. Making a text wrapper is slow and most requests never use it, so one that was not touched,
/// and that nobody kept, serves the next request of the thread.
fn armed_errors<'py>(
    py: Python<'py>,
    state: &State,
    exchange: &Arc<Exchange>,
) -> PyResult<Bound<'py, PyAny>> {
    let spare = SPARES.with_borrow_mut(|spares| {
        let mut spares = spares.iter_mut();
        let spare = spares.find(|spare| ptr::eq(spare.state, state) && !spare.is_lent)?;
        spare.is_lent = true;
        Some((spare.wrapper.bind(py).clone(), spare.log.bind(py).clone()))
    });
    let (wrapper, log) = match spare {
        Some(spare) => spare,
        None => {
            let (wrapper, log) = streams::wrapper(py, state, Stream::Errors)?;
            let spare = Spare {
                state,
                wrapper: wrapper.clone().unbind(),
                log: log.clone().unbind(),
                is_lent: true,
            };
            SPARES.with_borrow_mut(|spares| spares.push(spare));
            (wrapper, log)
        }
    };
    if let Some(log) = class::value::<Log>(&log, state.types.log.bind(py)) {
        log.arm(Arc::clone(exchange));
    }
    Ok(wrapper)
}

/// Takes `wsgi.errors` of the request that ends back, if it can be used again.
fn disarm_errors(py: Python<'_>, state: &State) {
    let lent = SPARES.with_borrow_mut(|spares| {
        let mut places = spares.iter();
        // The last one: a request around this one on the same thread has an earlier one.
        let position = places.rposition(|spare| ptr::eq(spare.state, state) && spare.is_lent)?;
        Some(spares.swap_remove(position))
    });
    let Some(mut spare) = lent else { return };
    let log = spare.log.bind(py).clone();
    let Some(value) = class::value::<Log>(&log, state.types.log.bind(py)) else {
        return;
    };
    // Ours and the wrapper's, and the one in `log`.
    let is_ours = objects::is_referred_to(&spare.wrapper, 1, py)
        && objects::is_referred_to(&spare.log, 3, py);
    if value.disarm() && is_ours {
        spare.is_lent = false;
        SPARES.with_borrow_mut(|spares| spares.push(spare));
    }
}

/// Frees what this thread keeps.
pub(super) fn leave_thread() {
    let spares = SPARES.with_borrow_mut(|spares| std::mem::take(&mut **spares));
    let mut by_state: Vec<(*const State, Vec<Spare>)> = Vec::new();
    for spare in spares {
        match by_state
            .iter_mut()
            .find(|(state, _)| ptr::eq(*state, spare.state))
        {
            Some((_, group)) => group.push(spare),
            None => by_state.push((spare.state, vec![spare])),
        }
    }
    for interpreter in crate::python::interpreter::all() {
        let Some(state) = interpreter.state() else {
            continue;
        };
        if let Some(place) = by_state
            .iter()
            .position(|(other, _)| ptr::eq(*other, state))
        {
            let (_, group) = by_state.swap_remove(place);
            // The thread has a thread state there, so this cannot fail for want of one.
            let _ = interpreter.enter(crate::python::Arrival::Errand, |_, _| drop(group));
        }
    }
}

/// When the application was called.
struct Start {
    /// Seconds since the epoch.
    epoch: f64,
    clock: Instant,
    /// CPU time of this thread, if somebody wants to know.
    cpu: Option<(f64, f64)>,
}

impl Start {
    fn now(is_watched: bool) -> Start {
        Start {
            epoch: now(),
            clock: Instant::now(),
            cpu: if is_watched { cpu_time() } else { None },
        }
    }
}

fn now() -> f64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0.0, |since| since.as_secs_f64())
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
fn request_started<'py>(
    py: Python<'py>,
    state: &State,
    request: &Request<'_>,
    start: &Start,
    application: Bound<'py, PyAny>,
    environ: &Bound<'py, PyDict>,
) -> PyResult<Bound<'py, PyAny>> {
    let payload = PyDict::new(py);
    events::add_request(py, &payload)?;
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
    events::publish(py, state, "request_started", &payload, None);
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
fn request_finished(
    py: Python<'_>,
    state: &State,
    request: &Request<'_>,
    exchange: &Exchange,
    start: &Start,
    after: &After,
) -> PyResult<()> {
    use std::sync::atomic::Ordering::Relaxed;

    let time = start.clock.elapsed().as_secs_f64();
    let counters = &exchange.counters;
    let payload = PyDict::new(py);
    events::add_request(py, &payload)?;
    add_times(request, &payload)?;
    payload.set_item("application_finish", now())?;
    payload.set_item("application_time", time)?;
    payload.set_item("input_reads", counters.input_reads.load(Relaxed))?;
    payload.set_item("input_length", counters.input_length.load(Relaxed))?;
    payload.set_item("input_time", counters.input_time())?;
    payload.set_item("output_writes", counters.output_writes.load(Relaxed))?;
    payload.set_item("output_length", counters.output_length.load(Relaxed))?;
    payload.set_item("output_time", counters.output_time())?;
    let status = match after {
        After::Outcome(Outcome::TimedOut) => 504,
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
    events::publish(py, state, "request_finished", &payload, None);
    debug_assert!(
        current::exchange().is_some(),
        "events belong to the request"
    );
    Ok(())
}
