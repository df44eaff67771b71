//! The Python object that a value of one of our classes refers to.

use std::ptr;

use parking_lot::Mutex;
use pyo3::ffi;
use pyo3::prelude::*;

/// A Python object that a value refers to, known to the cycle collector.
pub(crate) struct Reference(Mutex<Option<Py<PyAny>>>);

impl Reference {
    /// To `object`.
    pub(crate) fn new(object: Bound<'_, PyAny>) -> Reference {
        Reference(Mutex::new(Some(object.unbind())))
    }

    /// The object, unless it was taken.
    pub(crate) fn get<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.0.lock().as_ref().map(|object| object.bind(py).clone())
    }

    /// Refers to another object from now on.
    pub(crate) fn set(&self, object: Bound<'_, PyAny>) {
        let py = object.py();
        let before = self.0.lock().replace(object.unbind());
        // Behind the lock: its end may run Python code.
        drop(before.map(|before| before.into_bound(py)));
    }

    /// Takes the object away.
    pub(crate) fn take<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        let taken = self.0.lock().take();
        taken.map(|object| object.into_bound(py))
    }

    /// As `take`, without a token: the caller gives the reference up.
    pub(super) fn take_raw(&self) -> Option<*mut ffi::PyObject> {
        let taken = self.0.lock().take();
        taken.map(Py::into_ptr)
    }

    /// For the collector; null if it was taken.
    pub(super) fn raw(&self) -> *mut ffi::PyObject {
        // The collector stops the other threads where they could hold the lock without the GIL; it must not wait for them.
        let object = self.0.try_lock();
        object
            .and_then(|object| object.as_ref().map(Py::as_ptr))
            .unwrap_or(ptr::null_mut())
    }
}
