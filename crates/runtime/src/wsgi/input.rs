//! `wsgi.input`: the request body as Python code reads it (REQ-500 to REQ-508).

use std::ffi::CStr;
use std::sync::Arc;

use pyo3::exceptions::{PyOSError, PyRuntimeError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList};

use super::body::InputError;
use super::exchange::Exchange;
use crate::python::bytes::collect;
use crate::python::class::{Arguments, Class, Method, This};

/// `mod_wsgi.Input`.
pub(crate) struct Input {
    exchange: Arc<Exchange>,
}

impl Input {
    /// Of a request.
    pub(crate) fn new(exchange: Arc<Exchange>) -> Input {
        Input { exchange }
    }

    /// The request, unless it is over.
    fn open(&self, method: &str) -> PyResult<&Arc<Exchange>> {
        if self.exchange.has_ended() {
            return Err(expired(method));
        }
        Ok(&self.exchange)
    }

    fn line<'py>(
        &self,
        py: Python<'py>,
        method: &str,
        limit: usize,
    ) -> PyResult<Bound<'py, PyBytes>> {
        let exchange = self.open(method)?;
        let line = exchange.detached(py, || exchange.read_line(limit));
        line.map(|line| PyBytes::new(py, &line))
            .map_err(|error| raised(error, method))
    }
}

fn expired(method: &str) -> PyErr {
    PyRuntimeError::new_err(format!(
        "{method}() of wsgi.input was called after the request ended"
    ))
}

fn raised(error: InputError, method: &str) -> PyErr {
    match error {
        InputError::Ended => expired(method),
        InputError::AlreadyFailed => {
            PyOSError::new_err("mod_wsgi request data read error: input is already in error state")
        }
        InputError::Terminated => {
            PyOSError::new_err("mod_wsgi request data read error: connection was terminated")
        }
        InputError::Failed(why) => {
            PyOSError::new_err(format!("mod_wsgi request data read error: {why}"))
        }
    }
}

/// A size argument; None is unlimited: not given or negative.
fn size(arguments: &Arguments<'_, '_>) -> PyResult<Option<usize>> {
    match arguments.get(0) {
        None => Ok(None),
        Some(argument) => Ok(usize::try_from(argument.extract::<isize>()?).ok()),
    }
}

fn read<'py>(
    this: &This<'_, 'py, Input>,
    arguments: &Arguments<'_, 'py>,
) -> PyResult<Bound<'py, PyAny>> {
    let exchange = this.value.open("read")?;
    let limit = size(arguments)?;
    if limit == Some(0) {
        let asked = exchange.detached(this.py, || exchange.ask_for_body());
        asked.map_err(|error| raised(error, "read"))?;
        return Ok(PyBytes::new(this.py, b"").into_any());
    }
    let bytes = collect(
        this.py,
        limit,
        |room| exchange.read(room),
        |step| exchange.detached(this.py, step),
    )?;
    bytes
        .map(Bound::into_any)
        .map_err(|error| raised(error, "read"))
}

fn read_line<'py>(
    this: &This<'_, 'py, Input>,
    arguments: &Arguments<'_, 'py>,
) -> PyResult<Bound<'py, PyAny>> {
    this.value.open("readline")?;
    match size(arguments)? {
        Some(0) => Ok(PyBytes::new(this.py, b"").into_any()),
        limit => {
            let limit = limit.unwrap_or(usize::MAX);
            this.value
                .line(this.py, "readline", limit)
                .map(Bound::into_any)
        }
    }
}

fn read_lines<'py>(
    this: &This<'_, 'py, Input>,
    arguments: &Arguments<'_, 'py>,
) -> PyResult<Bound<'py, PyAny>> {
    this.value.open("readlines")?;
    let hint = size(arguments)?.filter(|hint| *hint > 0);
    let lines = PyList::empty(this.py);
    let mut total = 0;
    loop {
        let line = this.value.line(this.py, "readlines", usize::MAX)?;
        let length = line.as_bytes().len();
        if length == 0 {
            break;
        }
        lines.append(line)?;
        total += length;
        if hint.is_some_and(|hint| total >= hint) {
            break;
        }
    }
    Ok(lines.into_any())
}

impl Class for Input {
    const NAME: &'static CStr = c"mod_wsgi.Input";
    const DOC: &'static CStr = c"The body of a request.";
    const METHODS: &'static [Method<Input>] = &[
        Method {
            name: c"read",
            arity: (0, 1),
            body: read,
        },
        Method {
            name: c"readline",
            arity: (0, 1),
            body: read_line,
        },
        Method {
            name: c"readlines",
            arity: (0, 1),
            body: read_lines,
        },
        Method {
            name: c"close",
            arity: (0, 0),
            body: |this, _| {
                this.value.open("close")?;
                Ok(this.none())
            },
        },
    ];
    const ITERATES: bool = true;

    fn next<'py>(this: &This<'_, 'py, Input>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let line = this.value.line(this.py, "__next__", usize::MAX)?;
        Ok((!line.as_bytes().is_empty()).then(|| line.into_any()))
    }
}
