//! From a module target to its application: import, attributes, call; and the text that says why there is none.

use pyo3::exceptions::{PyAttributeError, PyModuleNotFoundError};
use pyo3::prelude::*;
use pyo3::types::PyList;
use wsgi_core::config::Callable;

use super::process::{self, ERROR};
use super::report;
use super::state::State;

/// Entries of `sys.path` that an error shows.
const SHOWN_PATH: usize = 12;

/// Imports a module, and gets the application out of it.
pub(super) fn resolve<'py>(
    py: Python<'py>,
    name: &str,
    callable: &str,
) -> Result<Bound<'py, PyAny>, Problem> {
    let problem = |kind: Kind, error: PyErr| Problem { kind, error };
    let module = import(py, name)?;
    let Some(wanted) = Callable::parse(callable) else {
        let error = PyAttributeError::new_err(format!("'{callable}' is no name"));
        return Err(problem(
            Kind::Missing {
                attribute: callable.to_owned(),
                of: format!("module '{name}'"),
            },
            error,
        ));
    };
    let mut object = module.into_any();
    let mut of = format!("module '{name}'");
    for attribute in wanted.path.split('.') {
        object = object.getattr(attribute).map_err(|error| {
            let missing = Kind::Missing {
                attribute: attribute.to_owned(),
                of: of.clone(),
            };
            problem(missing, error)
        })?;
        of = format!("'{attribute}' of {of}");
    }
    if wanted.is_factory {
        object = object.call0().map_err(|error| {
            problem(
                Kind::Factory {
                    callable: callable.to_owned(),
                },
                error,
            )
        })?;
    }
    if !object.is_callable() {
        let kind = object
            .get_type()
            .qualname()
            .map_or_else(|_| "?".to_owned(), |name| name.to_string());
        let error =
            pyo3::exceptions::PyTypeError::new_err(format!("'{kind}' object is not callable"));
        return Err(problem(
            Kind::NotCallable {
                callable: callable.to_owned(),
                kind,
            },
            error,
        ));
    }
    Ok(object)
}

/// Imports a module by its name.
pub(super) fn import<'py>(py: Python<'py>, name: &str) -> Result<Bound<'py, PyModule>, Problem> {
    // A file may be newer than what Python remembers of its folder. Without the call the import still works mostly.
    let _ = py
        .import("importlib")
        .and_then(|importlib| importlib.call_method0("invalidate_caches"));
    py.import(name).map_err(|error| {
        let missing = missing_name(py, &error).filter(|missing| {
            name == missing
                || name
                    .strip_prefix(missing.as_str())
                    .is_some_and(|rest| rest.starts_with('.'))
        });
        Problem {
            kind: missing.map_or(Kind::Import, |missing| Kind::NotFound { missing }),
            error,
        }
    })
}

/// Which module was not found.
fn missing_name(py: Python<'_>, error: &PyErr) -> Option<String> {
    if !error.is_instance_of::<PyModuleNotFoundError>(py) {
        return None;
    }
    error.value(py).getattr("name").ok()?.extract().ok()
}

/// Why there is no application.
pub(super) struct Problem {
    kind: Kind,
    /// What was raised.
    pub(super) error: PyErr,
}

enum Kind {
    /// Neither the module nor a package that it is in.
    NotFound { missing: String },
    /// Its code failed.
    Import,
    /// It has no such attribute.
    Missing { attribute: String, of: String },
    /// The function that makes the application failed.
    Factory { callable: String },
    /// What was found is no application.
    NotCallable { callable: String, kind: String },
}

impl Problem {
    /// Says what is wrong and which setting would help.
    pub(super) fn log(&self, py: Python<'_>, state: &State, shown: &str) {
        let is_exit = report::is_system_exit(py, &self.error);
        if is_exit && process::settings().facts.service {
            return;
        }
        let raised = if is_exit {
            "raised SystemExit"
        } else {
            "raised an exception"
        };
        let name = shown.trim_start_matches("module:");
        let (code, what) = match &self.kind {
            Kind::NotFound { missing } => ("WSGI5210", not_found(py, name, missing)),
            Kind::Import => (
                "WSGI5211",
                format!("Module '{name}' {raised} while it was imported"),
            ),
            Kind::Missing { attribute, of } => (
                "WSGI5212",
                format!(
                    "Module '{name}' is no WSGI application: there is no '{attribute}' in {of}. Name it in the target, as in '{shown}:application'"
                ),
            ),
            Kind::Factory { callable } => (
                "WSGI5213",
                format!(
                    "'{callable}' of module '{name}' {raised} instead of making the application"
                ),
            ),
            Kind::NotCallable { callable, kind } => (
                "WSGI5214",
                format!(
                    "'{callable}' of module '{name}' is no WSGI application: a '{kind}' cannot be called"
                ),
            ),
        };
        let text = format!(
            "{code}: {what} ({}, {}).",
            process::describe_interpreter(state.interpreter.name()),
            process::describe_location()
        );
        report::line(py, ERROR, &text);
        let says_all = matches!(self.kind, Kind::NotFound { .. } | Kind::NotCallable { .. });
        // The attribute may be one that code of the module computes.
        let is_plain =
            matches!(self.kind, Kind::Missing { .. }) && self.error.traceback(py).is_none();
        if !is_exit && !says_all && !is_plain {
            report::script_exception(py, &self.error, shown, state.interpreter.name());
        }
    }
}

/// Where Python looked, and which setting changes that.
fn not_found(py: Python<'_>, name: &str, missing: &str) -> String {
    let path = || -> PyResult<Vec<String>> {
        let path = py.import("sys")?.getattr("path")?;
        let path = path.cast::<PyList>()?;
        Ok(path.iter().map(|entry| entry.to_string()).collect())
    };
    // Without it the rest still says what is wrong.
    let path = path().unwrap_or_default();
    let shown: Vec<String> = path
        .iter()
        .take(SHOWN_PATH)
        .map(|entry| format!("'{entry}'"))
        .collect();
    let more = if path.len() > SHOWN_PATH { ", …" } else { "" };
    let hint = if process::settings().process_group.is_empty() {
        "Name the folder that holds it with WSGIPythonPath, or the virtual environment with WSGIPythonHome"
    } else {
        "Name the folder that holds it with python-path= of WSGIDaemonProcess, or the virtual environment with python-home="
    };
    let whose = if name == missing {
        String::new()
    } else {
        format!("Module '{name}' cannot be imported: ")
    };
    format!(
        "{whose}There is no module '{missing}' on sys.path, which is [{}{more}]. {hint}",
        shown.join(", ")
    )
}
