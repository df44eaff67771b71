//! The modules that every interpreter has: `mod_wsgi` (API-100 to API-154) and `apache` (API-400, API-401).

use std::ffi::c_int;

use pyo3::exceptions::{PyModuleNotFoundError, PyRuntimeError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyModule, PyTuple, PyType};
use wsgi_core::python::COMPATIBLE_VERSION;

use super::current;
use super::metrics;
use super::process::{self, DEBUG, ERROR, INFO, WARNING};
use super::report;
use super::server_metrics;
use super::state::State;

/// Makes our module and puts it into `sys.modules`, with the `__path__` of an installed package of that name (API-100,
/// API-101). Its attributes come later.
pub(crate) fn make<'py>(py: Python<'py>, interpreter: &str) -> PyResult<Bound<'py, PyModule>> {
    let module = PyModule::new(py, "mod_wsgi")?;
    match py.import("mod_wsgi") {
        Ok(package) => {
            if let Ok(path) = package.getattr("__path__") {
                static NOTED: std::sync::Once = std::sync::Once::new();
                NOTED.call_once(|| {
                    process::log(
                        INFO,
                        &format!("Modules of the package mod_wsgi come from {path}."),
                    );
                });
                module.setattr("__path__", path)?;
            }
        }
        Err(error) if error.is_instance_of::<PyModuleNotFoundError>(py) => {}
        Err(error) => {
            report::setup_exception(py, &error, "importing package mod_wsgi", interpreter)
        }
    }
    py.import("sys")?
        .getattr("modules")?
        .set_item("mod_wsgi", &module)?;
    Ok(module)
}

/// Adds what code of step 4 can see already: classes and `LogHandler` (API-025).
pub(crate) fn add_types(py: Python<'_>, state: &State) -> PyResult<()> {
    let module = state.module.bind(py);
    module.setattr("FileWrapper", &state.types.file_wrapper)?;
    module.setattr("RequestTimeout", &state.request_timeout)?;
    module.setattr("LogHandler", log_handler(py)?)
}

/// Adds the other attributes of `mod_wsgi` (step 12).
pub(crate) fn add_attributes(py: Python<'_>, state: &State) -> PyResult<()> {
    let settings = process::settings();
    let facts = &settings.facts;
    let module = state.module.bind(py);
    module.setattr("version", COMPATIBLE_VERSION)?;
    module.setattr("implementation", "mod_wsgi-rs")?;
    module.setattr("implementation_version", &facts.implementation_version)?;
    module.setattr("process_group", &settings.process_group)?;
    module.setattr("application_group", state.interpreter.name())?;
    module.setattr("maximum_processes", facts.maximum_processes)?;
    module.setattr("threads_per_process", facts.threads_per_process)?;
    module.setattr("active_requests", &state.active_requests)?;
    module.setattr("event_callbacks", &state.event_callbacks)?;
    module.setattr("shutdown_callbacks", &state.shutdown_callbacks)?;
    module.setattr("signal_callbacks", &state.signal_callbacks)?;
    for function in [
        wrap_pyfunction!(subscribe_events, module)?,
        wrap_pyfunction!(subscribe_shutdown, module)?,
        wrap_pyfunction!(subscribe_signals, module)?,
        wrap_pyfunction!(request_data, module)?,
        wrap_pyfunction!(metrics::start_recording_metrics, module)?,
        wrap_pyfunction!(metrics::request_metrics, module)?,
        wrap_pyfunction!(metrics::process_metrics, module)?,
        wrap_pyfunction!(server_metrics::server_metrics, module)?,
    ] {
        let name = function.getattr("__name__")?;
        module.setattr(name.cast_into()?, function)?;
    }
    Ok(())
}

/// Makes or completes the module `apache` (step 13).
pub(crate) fn add_apache(py: Python<'_>, interpreter: &str) -> PyResult<()> {
    let settings = process::settings();
    let facts = &settings.facts;
    let imported = if settings.process_group.is_empty() {
        match py.import("apache") {
            Ok(module) => {
                process::log(INFO, "An installed module apache is extended.");
                Some(module)
            }
            Err(error) if error.is_instance_of::<PyModuleNotFoundError>(py) => None,
            Err(error) => {
                report::setup_exception(py, &error, "importing module apache", interpreter);
                None
            }
        }
    } else {
        None
    };
    let module = match imported {
        Some(module) => module,
        None => {
            let module = PyModule::new(py, "apache")?;
            py.import("sys")?
                .getattr("modules")?
                .set_item("apache", &module)?;
            module
        }
    };
    module.setattr("version", facts.apache_version)?;
    module.setattr("maximum_processes", facts.apache_maximum_processes)?;
    module.setattr("threads_per_process", facts.apache_threads_per_process)?;
    module.setattr("description", &facts.apache_description)?;
    module.setattr("mpm_name", &facts.apache_mpm_name)?;
    module.setattr("build_date", &facts.apache_build_date)
}

/// One of the lists of subscribers: that of the interpreter that the call comes from.
fn subscribe(
    module: &Bound<'_, PyModule>,
    list: &str,
    callback: &Bound<'_, PyAny>,
) -> PyResult<Py<PyAny>> {
    module.getattr(list)?.cast::<PyList>()?.append(callback)?;
    Ok(callback.clone().unbind())
}

/// Calls `callback(name, **payload)` for every event of this interpreter. Returns the callback.
#[pyfunction]
#[pyo3(pass_module, signature = (callback, /))]
fn subscribe_events(
    module: &Bound<'_, PyModule>,
    callback: &Bound<'_, PyAny>,
) -> PyResult<Py<PyAny>> {
    subscribe(module, "event_callbacks", callback)
}

/// Calls `callback(name, **payload)` for the event `process_stopping`. Returns the callback.
#[pyfunction]
#[pyo3(pass_module, signature = (callback, /))]
fn subscribe_shutdown(
    module: &Bound<'_, PyModule>,
    callback: &Bound<'_, PyAny>,
) -> PyResult<Py<PyAny>> {
    subscribe(module, "shutdown_callbacks", callback)
}

/// Calls `callback(name, **payload)` for the event `process_signal`; daemon processes only. Returns the callback.
#[pyfunction]
#[pyo3(pass_module, signature = (callback, /))]
fn subscribe_signals(
    module: &Bound<'_, PyModule>,
    callback: &Bound<'_, PyAny>,
) -> PyResult<Py<PyAny>> {
    if process::settings().process_group.is_empty() {
        report::line(
            module.py(),
            INFO,
            "Subscription to signals ignored outside of daemon mode.",
        );
        report::log_stack(module.py());
        return Ok(callback.clone().unbind());
    }
    subscribe(module, "signal_callbacks", callback)
}

/// A dict of the request that this thread is running, for data of applications and subscribers.
#[pyfunction]
fn request_data(py: Python<'_>) -> PyResult<Py<PyDict>> {
    let data = current::data(py).map(Bound::unbind);
    data.ok_or_else(|| PyRuntimeError::new_err("no request is active on this thread"))
}

/// The class `LogHandler`: a `logging.Handler` whose `emit` is ours (API-150).
fn log_handler(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    // A method in Python, because a builtin function does not become one; it does nothing but pass on.
    let source = "def emit(self, record):\n    write(self, record)\n";
    let builtins = py.import("builtins")?;
    let names = PyDict::new(py);
    names.set_item("__builtins__", &builtins)?;
    names.set_item("__name__", "mod_wsgi")?;
    names.set_item("write", wrap_pyfunction!(emit, py)?)?;
    let code = builtins
        .getattr("compile")?
        .call1((source, "<mod_wsgi>", "exec", 0, true))?;
    builtins.getattr("exec")?.call1((code, &names))?;
    let members = PyDict::new(py);
    members.set_item("__module__", "mod_wsgi")?;
    members.set_item(
        "__doc__",
        "Handler of package logging that writes to Apache's error log.",
    )?;
    members.set_item("emit", names.get_item("emit")?)?;
    let base = py.import("logging")?.getattr("Handler")?;
    let bases = PyTuple::new(py, [base])?;
    py.get_type::<PyType>()
        .call1(("LogHandler", bases, members))
}

/// Writes a log record; what cannot be formatted goes to `handleError` (API-151 to API-154).
#[pyfunction]
#[pyo3(signature = (handler, record, /))]
fn emit(handler: &Bound<'_, PyAny>, record: &Bound<'_, PyAny>) -> PyResult<()> {
    let level = httpd_level(
        record
            .getattr("levelno")
            .and_then(|level| level.extract())
            .unwrap_or(0),
    );
    if !report::is_logged(handler.py(), level) {
        return Ok(());
    }
    let text = match handler.call_method1("format", (record,)) {
        Ok(text) => text.str()?.to_string_lossy().into_owned(),
        Err(error) => {
            // As inside `except`, which `handleError` looks for.
            return handle_error(handler, record, error);
        }
    };
    let text = text.strip_suffix('\n').unwrap_or(&text);
    let source = source(record);
    for line in text.split('\n') {
        match &source {
            Ok((file, number)) => report::line_from(handler.py(), level, (file, *number), line),
            // A record of the application's own making may lack it.
            Err(_) => report::line(handler.py(), level, line),
        }
    }
    Ok(())
}

/// File and line of the call that made a record.
fn source(record: &Bound<'_, PyAny>) -> PyResult<(String, u32)> {
    let file = record.getattr("pathname")?.extract()?;
    let line = record.getattr("lineno")?.extract()?;
    Ok((file, line))
}

fn handle_error(
    handler: &Bound<'_, PyAny>,
    record: &Bound<'_, PyAny>,
    error: PyErr,
) -> PyResult<()> {
    let py = handler.py();
    let source = "def handle(handler, record, error):\n    try:\n        raise error\n    except BaseException:\n        handler.handleError(record)\n";
    let builtins = py.import("builtins")?;
    let names = PyDict::new(py);
    names.set_item("__builtins__", &builtins)?;
    let code = builtins
        .getattr("compile")?
        .call1((source, "<mod_wsgi>", "exec", 0, true))?;
    builtins.getattr("exec")?.call1((code, &names))?;
    let handle = names
        .get_item("handle")?
        .expect("defined by the source above");
    handle.call1((handler, record, error.into_value(py)))?;
    Ok(())
}

/// httpd's level for one of package logging (API-151).
fn httpd_level(level: i64) -> c_int {
    match level {
        50.. => process::CRITICAL,
        40.. => ERROR,
        30.. => WARNING,
        20.. => INFO,
        _ => DEBUG,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// API-151
    #[test]
    fn levels() {
        let levels = [60, 50, 49, 40, 30, 20, 19, 10, 0];
        let httpd = levels.map(httpd_level);
        assert_eq!(httpd, [2, 2, 3, 3, 4, 6, 7, 7, 7]);
    }
}
