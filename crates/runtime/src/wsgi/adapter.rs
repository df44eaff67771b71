//! `start_response` and `write` (REQ-401 to REQ-438).

use std::ffi::CStr;
use std::sync::Arc;

use pyo3::exceptions::{PyOSError, PyRuntimeError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList, PyString, PyTuple};
use wsgi_core::answer::head::{check_header, check_status};

use super::events;
use super::exchange::{Exchange, OutputError};
use super::head::Head;
use super::state::State;
use crate::python::class::{Arguments, Class, Method, This};
use crate::python::objects::append_latin1;

/// `mod_wsgi.Adapter`: the object behind the two functions.
pub(crate) struct Adapter {
    exchange: Arc<Exchange>,
    state: &'static State,
}

impl Adapter {
    /// Of a request.
    pub(crate) fn new(exchange: Arc<Exchange>, state: &'static State) -> Adapter {
        Adapter { exchange, state }
    }

    fn open(&self, method: &str) -> PyResult<&Arc<Exchange>> {
        if self.exchange.has_ended() {
            let text = format!("{method}() was called after the request ended");
            return Err(PyRuntimeError::new_err(text));
        }
        Ok(&self.exchange)
    }
}

fn start_response<'py>(
    this: &This<'_, 'py, Adapter>,
    arguments: &Arguments<'_, 'py>,
) -> PyResult<Bound<'py, PyAny>> {
    let exchange = this.value.open("start_response")?;
    let state = this.value.state;
    let status = arguments.required(0);
    let headers = arguments.required(1);
    let exc_info = arguments.get(2).filter(|object| !object.is_none());
    let Ok(status) = status.cast::<PyString>() else {
        return Err(wrong_type("status line", "str", &status));
    };
    let Ok(headers) = headers.cast::<PyList>() else {
        return Err(wrong_type("response headers", "list", &headers));
    };
    let exc_info = match &exc_info {
        None => None,
        Some(object) => match object.cast::<PyTuple>() {
            Ok(tuple) => Some(tuple),
            Err(_) => return Err(PyRuntimeError::new_err("exc_info must be a tuple or None")),
        },
    };
    if exchange.is_committed() {
        return Err(match exc_info {
            None => PyRuntimeError::new_err("response headers were already sent"),
            Some(tuple) => raised_again(tuple)?,
        });
    }
    if state.has_subscribers(this.py) {
        events::response_started(this.py, state, status, headers, exc_info);
    }
    exchange.start(head(status, headers)?);
    this.object.getattr(state.names.write.bind(this.py))
}

/// The exception of an exc_info tuple (REQ-430).
fn raised_again(tuple: &Bound<'_, PyTuple>) -> PyResult<PyErr> {
    let (_, value, traceback): (Bound<'_, PyAny>, Bound<'_, PyAny>, Bound<'_, PyAny>) =
        tuple.extract().map_err(|_| {
            PyRuntimeError::new_err("exc_info must be a tuple of type, value and traceback")
        })?;
    let value = if value.is_none() {
        tuple.get_item(0)?.call0()?
    } else {
        value
    };
    if !traceback.is_none() {
        value.setattr("__traceback__", traceback)?;
    }
    Ok(PyErr::from_value(value))
}

fn wrong_type(what: &str, wanted: &str, found: &Bound<'_, PyAny>) -> PyErr {
    let found = found.get_type();
    let name = found
        .name()
        .map_or_else(|_| "?".to_owned(), |name| name.to_string());
    PyTypeError::new_err(format!("{what} must be {wanted}, not {name}"))
}

/// Checks status line and headers (REQ-412 to REQ-426) and keeps them.
fn head(status: &Bound<'_, PyString>, headers: &Bound<'_, PyList>) -> PyResult<Head> {
    let mut line = Vec::new();
    append_latin1(status, &mut line)?;
    let code = check_status(&line).map_err(|error| PyValueError::new_err(error.to_string()))?;
    let mut head = Head::new(line, code);
    for item in headers.iter() {
        let Ok(item) = item.cast::<PyTuple>() else {
            return Err(wrong_type("response header", "tuple", &item));
        };
        if item.len() != 2 {
            let text = format!(
                "response header must be a tuple of 2 items, not {}",
                item.len()
            );
            return Err(PyValueError::new_err(text));
        }
        let start = head.text().len();
        append(&item.get_item(0)?, "response header name", &mut head)?;
        let middle = head.text().len();
        append(&item.get_item(1)?, "response header value", &mut head)?;
        let text = head.text();
        check_header(&text[start..middle], &text[middle..])
            .map_err(|error| PyValueError::new_err(error.to_string()))?;
        head.add(start, middle);
    }
    Ok(head)
}

fn append(object: &Bound<'_, PyAny>, what: &str, head: &mut Head) -> PyResult<()> {
    match object.cast::<PyString>() {
        Ok(text) => append_latin1(text, head.text()),
        Err(_) => Err(wrong_type(what, "str", object)),
    }
}

fn write<'py>(
    this: &This<'_, 'py, Adapter>,
    arguments: &Arguments<'_, 'py>,
) -> PyResult<Bound<'py, PyAny>> {
    let exchange = this.value.open("write")?;
    let data = arguments.required(0);
    let Ok(data) = data.cast::<PyBytes>() else {
        return Err(wrong_type("data to write", "bytes", &data));
    };
    let bytes = data.as_bytes();
    let sent = exchange.detached(this.py, || {
        if bytes.is_empty() {
            exchange.commit()
        } else {
            exchange.send_block(bytes)
        }
    });
    sent.map_err(raised)?;
    Ok(this.none())
}

/// An output failure as Python code sees it.
pub(crate) fn raised(error: OutputError) -> PyErr {
    match error {
        OutputError::NotStarted => PyRuntimeError::new_err(
            "response has not been started: start_response() was not called",
        ),
        OutputError::Length(error) => PyValueError::new_err(error.to_string()),
        OutputError::Gone => PyOSError::new_err("client connection closed"),
        OutputError::Failed(why) => {
            PyOSError::new_err(format!("mod_wsgi failed to write response data: {why}"))
        }
        OutputError::Ended => PyRuntimeError::new_err("the request has ended"),
    }
}

impl Class for Adapter {
    const NAME: &'static CStr = c"mod_wsgi.Adapter";
    const DOC: &'static CStr = c"The answer to a request.";
    const METHODS: &'static [Method<Adapter>] = &[
        Method {
            name: c"start_response",
            arity: (2, 3),
            body: start_response,
        },
        Method {
            name: c"write",
            arity: (1, 1),
            body: write,
        },
    ];
}
