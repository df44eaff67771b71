//! What we keep in an interpreter: our classes, names that are looked up in every request, the template of environs, the
//! module `mod_wsgi`. Never shared with another interpreter; touched only behind its door.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::{PyDict, PyList, PyModule, PyString, PyType};

use super::adapter::Adapter;
use super::environ::Environs;
use super::file_wrapper::FileWrapper;
use super::hook_tls::Auth;
use super::input::Input;
use super::script::Scripts;
use super::signals::SignalIntercept;
use super::streams::{Log, Restricted};
use super::target::Targets;
use super::telemetry::collections::Seen;
use crate::python::{Interpreter, class};

/// What we keep in an interpreter.
pub(crate) struct State {
    /// The interpreter that it belongs to.
    pub(crate) interpreter: &'static Interpreter,
    /// Names of attributes.
    pub(crate) names: Names,
    /// Our classes.
    pub(crate) types: Types,
    /// The module `mod_wsgi`.
    pub(crate) module: Py<PyModule>,
    /// Subscribers of all events (API-119).
    pub(crate) event_callbacks: Py<PyList>,
    /// Subscribers of `process_stopping`.
    pub(crate) shutdown_callbacks: Py<PyList>,
    /// Subscribers of `process_signal`.
    pub(crate) signal_callbacks: Py<PyList>,
    /// `mod_wsgi.active_requests` (API-118).
    pub(crate) active_requests: Py<PyDict>,
    /// `mod_wsgi.RequestTimeout` (API-116).
    pub(crate) request_timeout: Py<PyType>,
    /// `io.TextIOWrapper`.
    pub(crate) text_wrapper: Py<PyAny>,
    /// `sys.modules`.
    pub(crate) sys_modules: Py<PyDict>,
    /// Script files that were asked for.
    pub(crate) scripts: Scripts,
    /// Module targets that were asked for.
    pub(crate) targets: Targets,
    /// Garbage collections, where telemetry tells of them.
    pub(crate) collections: Seen,
    /// What environs are made from; set at the end of the set-up.
    pub(crate) environs: OnceLock<Environs>,
    /// Bytes that were sent without the GIL and wait for somebody who holds it.
    graveyard: Mutex<Vec<PyBackedBytes>>,
    has_dead: AtomicBool,
}

/// Interned names.
pub(crate) struct Names {
    /// `__mtime__`
    pub(crate) mtime: Py<PyString>,
    /// `close`
    pub(crate) close: Py<PyString>,
    /// `reload_required`
    pub(crate) reload_required: Py<PyString>,
    /// `start_response`
    pub(crate) start_response: Py<PyString>,
    /// `write`
    pub(crate) write: Py<PyString>,
    /// `fileno`
    pub(crate) fileno: Py<PyString>,
    /// `tell`
    pub(crate) tell: Py<PyString>,
}

/// Our classes.
pub(crate) struct Types {
    /// `mod_wsgi.Input`
    pub(crate) input: Py<PyType>,
    /// `mod_wsgi.Log`
    pub(crate) log: Py<PyType>,
    /// `mod_wsgi.Adapter`
    pub(crate) adapter: Py<PyType>,
    /// `mod_wsgi.Auth`
    pub(crate) auth: Py<PyType>,
    /// `mod_wsgi.FileWrapper`
    pub(crate) file_wrapper: Py<PyType>,
    /// `mod_wsgi.Restricted`
    pub(crate) restricted: Py<PyType>,
    /// `mod_wsgi.SignalIntercept`
    pub(crate) signal_intercept: Py<PyType>,
}

impl State {
    /// Everything but the environs; `module` is our module, without attributes yet.
    pub(crate) fn new(
        py: Python<'_>,
        interpreter: &'static Interpreter,
        module: &Bound<'_, PyModule>,
    ) -> PyResult<State> {
        let name = |text: &str| PyString::intern(py, text).unbind();
        let sys_modules = py
            .import("sys")?
            .getattr("modules")?
            .cast_into::<PyDict>()?;
        let base = py.get_type::<pyo3::exceptions::PyBaseException>();
        let request_timeout = PyErr::new_type(
            py,
            c"mod_wsgi.RequestTimeout",
            Some(c"Raised in a request that runs longer than its time allows."),
            Some(&base),
            None,
        )?;
        Ok(State {
            interpreter,
            names: Names {
                mtime: name("__mtime__"),
                close: name("close"),
                reload_required: name("reload_required"),
                start_response: name("start_response"),
                write: name("write"),
                fileno: name("fileno"),
                tell: name("tell"),
            },
            types: Types {
                input: class::make::<Input>(py)?,
                log: class::make::<Log>(py)?,
                adapter: class::make::<Adapter>(py)?,
                auth: class::make::<Auth>(py)?,
                file_wrapper: class::make::<FileWrapper>(py)?,
                restricted: class::make::<Restricted>(py)?,
                signal_intercept: class::make::<SignalIntercept>(py)?,
            },
            module: module.clone().unbind(),
            event_callbacks: PyList::empty(py).unbind(),
            shutdown_callbacks: PyList::empty(py).unbind(),
            signal_callbacks: PyList::empty(py).unbind(),
            active_requests: PyDict::new(py).unbind(),
            request_timeout,
            text_wrapper: py.import("io")?.getattr("TextIOWrapper")?.unbind(),
            sys_modules: sys_modules.unbind(),
            scripts: Scripts::default(),
            targets: Targets::default(),
            collections: Seen::new(),
            environs: OnceLock::new(),
            graveyard: Mutex::new(Vec::new()),
            has_dead: AtomicBool::new(false),
        })
    }

    /// Whether somebody wants to hear of requests (API-303).
    pub(crate) fn has_subscribers(&self, py: Python<'_>) -> bool {
        !self.event_callbacks.bind(py).is_empty()
    }

    /// Keeps bytes until somebody holds the GIL: to be called without it.
    pub(crate) fn bury(&self, bytes: Vec<PyBackedBytes>) {
        self.graveyard.lock().extend(bytes);
        self.has_dead.store(true, Ordering::Release);
    }

    /// Frees what was kept.
    pub(crate) fn clear_graveyard(&self, _py: Python<'_>) {
        if self.has_dead.swap(false, Ordering::AcqRel) {
            let dead = std::mem::take(&mut *self.graveyard.lock());
            drop(dead);
        }
    }
}
