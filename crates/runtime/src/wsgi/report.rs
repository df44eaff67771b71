//! Exceptions and stacks in the error log (REQ-800, REQ-801): a header record with its code, then one record a line. Goes
//! to the log of the calling thread's request, or to the process's.

use std::ffi::c_int;

use pyo3::exceptions::PySystemExit;
use pyo3::prelude::*;

use super::advice;
use super::current::{self, Running};
use super::process::{self, ERROR, INFO};
use crate::python::thread;

/// Logs an exception that ended, or disturbed, the processing of a script: WSGI0174, or WSGI0175 for SystemExit;
/// and what it is really about, where that is known.
pub(crate) fn script_exception(py: Python<'_>, error: &PyErr, script: &str, interpreter: &str) {
    let code = if is_system_exit(py, error) {
        "WSGI0175"
    } else {
        "WSGI0174"
    };
    let header = format!(
        "{code}: Exception {} in script '{script}' ({}, {}).",
        kind(py, error),
        process::describe_interpreter(interpreter),
        process::describe_location()
    );
    exception(py, error, ERROR, &header);
    if let Some(advice) = advice::on(py, error, interpreter) {
        line(py, ERROR, &advice);
        if let Some(exchange) = current::exchange() {
            exchange.wants_main_interpreter();
        }
    }
}

/// Logs an exception under a header of its own, which begins with a code.
pub(crate) fn exception(py: Python<'_>, error: &PyErr, level: c_int, header: &str) {
    let lines = traceback(py, error);
    records(py, level, header, &lines);
}

/// Logs an exception of an interpreter's set-up: WSGI0188, or WSGI0189 for SystemExit.
pub(crate) fn setup_exception(py: Python<'_>, error: &PyErr, what: &str, interpreter: &str) {
    let code = if is_system_exit(py, error) {
        "WSGI0189"
    } else {
        "WSGI0188"
    };
    let header = format!(
        "{code}: Exception {} while {what} ({}).",
        kind(py, error),
        process::describe_interpreter(interpreter)
    );
    exception(py, error, ERROR, &header);
}

/// One record in the log of this thread's request, or the process's.
pub(crate) fn line(py: Python<'_>, level: c_int, text: &str) {
    match current::exchange() {
        Some(exchange) => exchange.detached(py, || exchange.log(level, 0, text.as_bytes())),
        None => process::log(level, text),
    }
}

/// Whether [`line`] would write a record of this level.
pub(crate) fn is_logged(py: Python<'_>, level: c_int) -> bool {
    match current::exchange() {
        Some(exchange) => exchange.is_logged(py, level),
        None => process::is_logged(level),
    }
}

/// Whether it is a SystemExit.
pub(crate) fn is_system_exit(py: Python<'_>, error: &PyErr) -> bool {
    error.is_instance_of::<PySystemExit>(py)
}

/// Logs the stack of the calling thread at level info.
pub(crate) fn log_stack(py: Python<'_>) {
    let stack = || -> PyResult<Vec<String>> {
        let lines = py.import("traceback")?.call_method0("format_stack")?;
        split(&lines)
    };
    // Without a stack the record before it still says what happened.
    for text in stack().unwrap_or_default() {
        line(py, INFO, &text);
    }
}

/// The stack of another thread that runs a request, innermost call first. This thread is attached to an interpreter with the
/// same GIL.
pub(crate) fn stack_of(py: Python<'_>, running: &Running) -> PyResult<Vec<String>> {
    let Some(frame) = thread::frame(py, running.interpreter, running.state) else {
        return Ok(Vec::new());
    };
    let entries = py
        .import("traceback")?
        .call_method1("extract_stack", (frame,))?;
    let mut lines = Vec::new();
    for entry in entries.try_iter()? {
        let entry = entry?;
        let (file, line) = (entry.getattr("filename")?, entry.getattr("lineno")?);
        let name = entry.getattr("name")?;
        lines.push(format!("  File \"{file}\", line {line}, in {name}"));
    }
    lines.reverse();
    Ok(lines)
}

fn records(py: Python<'_>, level: c_int, header: &str, lines: &[String]) {
    match current::exchange() {
        Some(exchange) => {
            exchange.detached(py, || exchange.log_report(level, header, lines));
        }
        None => {
            process::log(level, header);
            lines.iter().for_each(|line| process::log(level, line));
        }
    }
}

fn kind(py: Python<'_>, error: &PyErr) -> String {
    let kind = error.get_type(py);
    kind.qualname()
        .map_or_else(|_| "of unknown type".to_owned(), |name| name.to_string())
}

/// What `traceback.print_exception` prints, without blank lines.
fn traceback(py: Python<'_>, error: &PyErr) -> Vec<String> {
    let formatted = || -> PyResult<Vec<String>> {
        let module = py.import("traceback")?;
        let arguments = (error.get_type(py), error.value(py), error.traceback(py));
        split(&module.call_method1("format_exception", arguments)?)
    };
    // A failure of the report must not replace what it reports (REQ-806).
    formatted().unwrap_or_else(|second| plain_traceback(py, error, &second))
}

/// The same in short, without a module of Python's: an extension module that was made for one interpreter can break the classes
/// of another so badly that `traceback` cannot be imported any more.
fn plain_traceback(py: Python<'_>, error: &PyErr, second: &PyErr) -> Vec<String> {
    let mut lines = vec![format!(
        "Traceback (most recent call last; `traceback` itself fails: {}):",
        described(py, second)
    )];
    let mut next = error.traceback(py).map(Bound::into_any);
    while let Some(entry) = next.take().filter(|entry| !entry.is_none()) {
        let place = || -> PyResult<String> {
            let code = entry.getattr("tb_frame")?.getattr("f_code")?;
            let (file, name) = (code.getattr("co_filename")?, code.getattr("co_name")?);
            let line = entry.getattr("tb_lineno")?;
            Ok(format!("  File \"{file}\", line {line}, in {name}"))
        };
        // What cannot be asked for its place has none to show.
        lines.extend(place());
        next = entry.getattr("tb_next").ok();
    }
    lines.push(described(py, error));
    lines
}

/// Class and text, on one line.
fn described(py: Python<'_>, error: &PyErr) -> String {
    let class = kind(py, error);
    match error.value(py).str() {
        Ok(text) => format!("{class}: {}", text.to_string_lossy().replace('\n', " ")),
        Err(_) => class,
    }
}

fn split(texts: &Bound<'_, PyAny>) -> PyResult<Vec<String>> {
    let mut lines = Vec::new();
    for text in texts.try_iter()? {
        let text = text?;
        let text = text.cast::<pyo3::types::PyString>()?.to_string_lossy();
        lines.extend(
            text.split('\n')
                .filter(|line| !line.trim().is_empty())
                .map(str::to_owned),
        );
    }
    Ok(lines)
}
