//! Functions of hook scripts: access, authentication, groups, dispatch (REQ-130 to REQ-137, REQ-690 to REQ-734).
//!
//! The script is a module like any other (REQ-600), loaded again in place when it changed. What a function returns is only
//! told apart here; what it means is the host's to decide. On the thread of the request, in an Apache child.

use std::sync::Arc;

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyBytes, PyDict, PyModule, PyString, PyTuple};
use wsgi_core::python::COMPATIBLE_VERSION;
use wsgi_runtime_api::engine::Transport;
use wsgi_runtime_api::hook::{HOOK_ITEMS, HOOK_NAMES, Hook, HookOutcome, Value};

use super::current::InRequest;
use super::environ;
use super::exchange::Exchange;
use super::hook_tls::Auth;
use super::process;
use super::report;
use super::script::{self, Changed, Context, Found};
use super::spare;
use super::state::State;
use crate::python::interpreter::{self, Origin, no_thread_state};
use crate::python::lend::lend;
use crate::python::{Arrival, class, objects};

/// Calls the functions on the calling thread, which holds no GIL.
pub(crate) fn call(hook: Hook<'_>, transport: Transport<'_>) -> HookOutcome {
    let script = String::from_utf8_lossy(hook.script()).into_owned();
    let wrap = |lent| Arc::new(Exchange::new(lent, script, false, false));
    lend(
        transport,
        wrap,
        |exchange| exchange.lent(),
        |exchange| call_lent(hook, exchange),
    )
}

fn call_lent(mut hook: Hook<'_>, exchange: &Arc<Exchange>) -> HookOutcome {
    let origin = Origin::of(hook.has_client_group());
    let Ok(interpreter) = interpreter::get(hook.application_group(), origin) else {
        return HookOutcome::Unavailable;
    };
    let modified = if hook.reloads_scripts() {
        script::modified(hook.script())
    } else {
        None
    };
    let entered = interpreter.enter(Arrival::Request, |py, state| {
        state.clear_graveyard(py);
        run(py, state, &mut hook, exchange, modified)
    });
    exchange.flush_lines();
    entered.unwrap_or_else(|_| {
        no_thread_state(interpreter.name());
        HookOutcome::Unavailable
    })
}

fn run(
    py: Python<'_>,
    state: &'static State,
    hook: &mut Hook<'_>,
    exchange: &Arc<Exchange>,
    modified: Option<i64>,
) -> HookOutcome {
    // No request id: the request itself has not reached an application yet (API-118).
    let begun = InRequest::begin(py, state, exchange, None, hook.thread_id());
    let outcome = begun
        .as_ref()
        .map_err(|error| error.clone_ref(py))
        .and_then(|_| load_and_call(py, state, hook, exchange, modified))
        .unwrap_or_else(|error| {
            report::script_exception(py, &error, exchange.script(), state.interpreter.name());
            HookOutcome::Raised
        });
    exchange.end();
    drop(begun);
    outcome
}

fn load_and_call(
    py: Python<'_>,
    state: &'static State,
    hook: &mut Hook<'_>,
    exchange: &Arc<Exchange>,
    modified: Option<i64>,
) -> PyResult<HookOutcome> {
    let changed = if hook.reloads_scripts() {
        Changed::Reloaded
    } else {
        Changed::Ignored
    };
    let scripts = &state.scripts;
    let script = hook.script();
    let context = Context::Request;
    let module = match scripts.find(py, state, script, modified, changed, None, context)? {
        Found::Module(module) => module,
        Found::Changed | Found::Failed => return Ok(HookOutcome::NotLoaded),
    };
    let errors = spare::armed(py, state, exchange)?;
    let auth = Auth::new(Arc::clone(exchange), hook.is_https());
    let outcome = class::instance(state.types.auth.bind(py), auth)
        .and_then(|auth| call_all(py, hook, &module, &errors, &auth));
    drop(errors);
    spare::disarm(py, state);
    outcome
}

fn call_all<'py>(
    py: Python<'py>,
    hook: &mut Hook<'_>,
    module: &Bound<'py, PyModule>,
    errors: &Bound<'py, PyAny>,
    auth: &Bound<'py, PyAny>,
) -> PyResult<HookOutcome> {
    let mut arguments = vec![environ(py, hook, errors, auth)?.into_any()];
    for text in hook.arguments() {
        arguments.push(objects::latin1(py, text)?.into_any());
    }
    let arguments = PyTuple::new(py, arguments)?;
    for (number, name) in hook.functions().enumerate() {
        let function = module.dict().get_item(objects::latin1(py, name)?)?;
        let Some(function) = function else {
            if hook.wanted() == HOOK_NAMES {
                continue;
            }
            return Ok(HookOutcome::Missing);
        };
        let returned = function.call1(&arguments)?;
        match hook.wanted() {
            HOOK_NAMES => answer_name(hook, number, name, &returned)?,
            HOOK_ITEMS => {
                let items = match returned.try_iter() {
                    Ok(items) => items,
                    Err(error) if error.is_instance_of::<PyTypeError>(py) => {
                        answer(hook, number, &returned);
                        return Ok(HookOutcome::NotIterable);
                    }
                    Err(error) => return Err(error),
                };
                for item in items {
                    answer(hook, number, &item?);
                }
            }
            _ => answer(hook, number, &returned),
        }
    }
    Ok(HookOutcome::Done)
}

/// REQ-135, REQ-691: the host's entries, and what is the same in each environ; none of `wsgi.*` but the log.
fn environ<'py>(
    py: Python<'py>,
    hook: &Hook<'_>,
    errors: &Bound<'py, PyAny>,
    auth: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyDict>> {
    let environ = PyDict::new(py);
    for (name, value) in hook.environ() {
        let key = objects::latin1(py, name)?;
        match value {
            Some(value) => environ.set_item(key, environ::value(py, name, value)?)?,
            None => environ.set_item(key, py.None())?,
        }
    }
    if hook.wanted() != HOOK_NAMES {
        environ.set_item("mod_wsgi.version", COMPATIBLE_VERSION)?;
        environ.set_item("apache.version", process::settings().facts.apache_version)?;
        environ.set_item("mod_ssl.is_https", auth.getattr("ssl_is_https")?)?;
        environ.set_item("mod_ssl.var_lookup", auth.getattr("ssl_var_lookup")?)?;
    }
    if let Some(request) = hook.apache_request() {
        environ.set_item("apache.request_rec", objects::capsule(py, request)?)?;
    }
    environ.set_item("wsgi.errors", errors)?;
    Ok(environ)
}

/// REQ-133: a name, which travels as bytes, or None.
fn answer_name(
    hook: &mut Hook<'_>,
    number: usize,
    function: &[u8],
    returned: &Bound<'_, PyAny>,
) -> PyResult<()> {
    if returned.is_none() {
        return Ok(());
    }
    if let Ok(bytes) = returned.cast::<PyBytes>() {
        hook.answer(number, Value::Bytes(bytes.as_bytes()));
        return Ok(());
    }
    let wrong = |what: String| {
        let function = String::from_utf8_lossy(function);
        Err(PyTypeError::new_err(format!(
            "{function}() has to return None, bytes, or a str of latin-1 characters, not {what}"
        )))
    };
    let Ok(text) = returned.cast::<PyString>() else {
        return wrong(returned.get_type().name()?.to_string());
    };
    let mut name = Vec::new();
    if objects::append_latin1(text, &mut name).is_err() {
        return wrong(text.repr()?.to_string());
    }
    hook.answer(number, Value::Bytes(&name));
    Ok(())
}

/// Hands over what a function returned, or one of its items.
fn answer(hook: &mut Hook<'_>, number: usize, value: &Bound<'_, PyAny>) {
    if value.is_none() {
        return hook.answer(number, Value::None);
    }
    if let Ok(value) = value.cast_exact::<PyBool>() {
        return hook.answer(number, Value::Bool(value.is_true()));
    }
    if let Ok(bytes) = value.cast::<PyBytes>() {
        return hook.answer(number, Value::Bytes(bytes.as_bytes()));
    }
    // Text with lone surrogates has no form that Apache could use.
    if let Some(text) = value
        .cast::<PyString>()
        .ok()
        .and_then(|text| text.to_str().ok())
    {
        return hook.answer(number, Value::Text(text));
    }
    let kind = value.get_type().qualname();
    let kind = kind.map_or_else(|_| "unknown".to_owned(), |kind| kind.to_string());
    hook.answer(number, Value::Other(&kind));
}
