//! `signal.signal`, replaced so that applications do not take signals away from Apache (API-039, API-040).

use std::ffi::CStr;

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use super::process::{self, INFO};
use super::report;
use crate::python::class::{Class, Reference, This};

/// `mod_wsgi.SignalIntercept`: in place of `signal.signal`.
pub(crate) struct SignalIntercept {
    original: Reference,
}

impl SignalIntercept {
    /// In place of `original`.
    pub(crate) fn new(original: Bound<'_, PyAny>) -> SignalIntercept {
        SignalIntercept {
            original: Reference::new(original),
        }
    }
}

impl Class for SignalIntercept {
    const NAME: &'static CStr = c"mod_wsgi.SignalIntercept";
    const DOC: &'static CStr = c"signal.signal, which registers nothing under mod_wsgi.";
    const IS_CALLABLE: bool = true;

    fn call<'py>(
        this: &This<'_, 'py, SignalIntercept>,
        arguments: &Bound<'py, PyTuple>,
        keywords: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        if !process::is_the_original() {
            if let Some(original) = this.value.original.get(this.py) {
                return original.call(arguments, keywords);
            }
        }
        if arguments.len() != 2 || keywords.is_some_and(|keywords| !keywords.is_empty()) {
            return Err(PyTypeError::new_err(
                "signal() takes 2 positional arguments",
            ));
        }
        let number: i32 = arguments.get_item(0)?.extract()?;
        process::log(
            INFO,
            &format!("Callback registration for signal {number} ignored."),
        );
        report::log_stack(this.py);
        arguments.get_item(1)
    }

    fn reference(&self) -> Option<&Reference> {
        Some(&self.original)
    }
}
