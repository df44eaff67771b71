//! `mod_ssl.is_https` and `mod_ssl.var_lookup` of access, authentication and group scripts (REQ-691, REQ-692).

use std::ffi::CStr;
use std::sync::Arc;

use pyo3::exceptions::{PyRuntimeError, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyInt, PyString};

use super::exchange::Exchange;
use crate::python::class::{Arguments, Class, Method, This};
use crate::python::objects;

/// `mod_wsgi.Auth`: the object behind the two functions.
pub(crate) struct Auth {
    exchange: Arc<Exchange>,
    is_https: bool,
}

impl Auth {
    /// Of a call of a hook script.
    pub(crate) fn new(exchange: Arc<Exchange>, is_https: bool) -> Auth {
        Auth { exchange, is_https }
    }

    fn open(&self) -> PyResult<&Arc<Exchange>> {
        if self.exchange.has_ended() {
            return Err(expired());
        }
        Ok(&self.exchange)
    }
}

fn expired() -> PyErr {
    PyRuntimeError::new_err("request object has expired: the function of the script has returned")
}

/// Whether the client speaks TLS, as an int.
fn is_https<'py>(
    this: &This<'_, 'py, Auth>,
    _arguments: &Arguments<'_, 'py>,
) -> PyResult<Bound<'py, PyAny>> {
    this.value.open()?;
    Ok(PyInt::new(this.py, i32::from(this.value.is_https)).into_any())
}

/// A variable of mod_ssl, as text; None without mod_ssl.
fn var_lookup<'py>(
    this: &This<'_, 'py, Auth>,
    arguments: &Arguments<'_, 'py>,
) -> PyResult<Bound<'py, PyAny>> {
    let exchange = this.value.open()?;
    let argument = arguments.required(0);
    let mut name = Vec::new();
    if let Ok(bytes) = argument.cast::<PyBytes>() {
        name.extend_from_slice(bytes.as_bytes());
    } else if let Ok(text) = argument.cast::<PyString>() {
        if objects::append_latin1(text, &mut name).is_err() {
            return Err(PyTypeError::new_err(
                "the name of a variable of mod_ssl must be latin-1 text or bytes",
            ));
        }
    } else {
        let kind = argument.get_type();
        let text = format!(
            "the name of a variable of mod_ssl must be latin-1 text or bytes, not {}",
            kind.name()?
        );
        return Err(PyTypeError::new_err(text));
    }
    let found = exchange.detached(this.py, || exchange.tls_variable(&name));
    match found.ok_or_else(expired)? {
        Some(value) => Ok(objects::latin1(this.py, &value)?.into_any()),
        None => Ok(this.none()),
    }
}

impl Class for Auth {
    const NAME: &'static CStr = c"mod_wsgi.Auth";
    const DOC: &'static CStr = c"What mod_ssl knows of a request.";
    const METHODS: &'static [Method<Auth>] = &[
        Method {
            name: c"ssl_is_https",
            arity: (0, 0),
            body: is_https,
        },
        Method {
            name: c"ssl_var_lookup",
            arity: (1, 1),
            body: var_lookup,
        },
    ];
}
