//! Set-up of a new interpreter, in the order of API-025. Behind the door of the interpreter, on the thread that created it.

use pyo3::prelude::*;
use pyo3::types::PyList;

use super::environ::Environs;
use super::lines::Stream;
use super::module;
use super::process::{self, CRITICAL, ERROR, INFO};
use super::report;
use super::signals::SignalIntercept;
use super::state::State;
use super::streams::{self, Restricted};
use super::telemetry;
use crate::python::{Interpreter, class};

/// The set-up failed, which was logged.
pub(crate) struct Logged;

/// Steps 3 and 4: what everything else needs. Without it the interpreter is of no use.
pub(crate) fn state(py: Python<'_>, interpreter: &'static Interpreter) -> Result<State, Logged> {
    let build = || -> PyResult<State> {
        // First, so that `threading.main_thread()` is this thread (API-018).
        py.import("threading")?;
        if let Some(interval) =
            process::settings().switch_interval(interpreter.name(), interpreter.has_own_gil())
        {
            set_switch_interval(py, interval)?;
        }
        let module = module::make(py, interpreter.name())?;
        let state = State::new(py, interpreter, &module)?;
        module::add_types(py, &state)?;
        Ok(state)
    };
    build().map_err(|error| {
        let text = format!(
            "WSGI0035: The {} cannot be set up.",
            process::describe_interpreter(interpreter.name())
        );
        process::log(CRITICAL, &text);
        report::setup_exception(py, &error, "setting up an interpreter", interpreter.name());
        Logged
    })
}

fn set_switch_interval(py: Python<'_>, seconds: f64) -> PyResult<()> {
    let sys = py.import("sys")?;
    sys.call_method1("setswitchinterval", (seconds,)).map(drop)
}

/// Sets the daemon group's switch interval again, which an import script may have changed (DP-53).
pub(crate) fn restore_switch_interval(py: Python<'_>) {
    if let Some(seconds) = process::settings().switch_interval_of_group() {
        // It was accepted when the interpreter was made.
        let _ = set_switch_interval(py, seconds);
    }
}

/// The other steps. A failure is logged and leaves the interpreter usable.
pub(crate) fn complete(py: Python<'_>, state: &State) {
    let name = state.interpreter.name();
    let settings = process::settings();
    let step = |code: &str, what: &str, result: PyResult<()>| {
        if let Err(error) = result {
            let text = format!(
                "{code}{what} failed ({}).",
                process::describe_interpreter(name)
            );
            process::log(ERROR, &text);
            report::setup_exception(py, &error, what, name);
        }
    };
    step(
        "WSGI0185: ",
        "replacing sys.stderr",
        log_stream(py, state, Stream::Error, "stderr"),
    );
    step(
        "WSGI0186: ",
        "replacing sys.stdout",
        if settings.facts.one_process {
            // For a debugger (API-034).
            Ok(())
        } else if settings.restricts_stdout(name) {
            restrict(py, state, "stdout")
        } else {
            log_stream(py, state, Stream::Output, "stdout")
        },
    );
    if settings.restricts_stdin(name) && !settings.facts.one_process {
        step(
            "WSGI0187: ",
            "replacing sys.stdin",
            restrict(py, state, "stdin"),
        );
    }
    step("", "setting sys.argv", arguments(py));
    if settings.restricts_signals(name) {
        step(
            "WSGI0183: ",
            "replacing signal.signal",
            intercept_signals(py, state),
        );
    } else if settings.facts.service && name.is_empty() {
        step(
            "WSGI0090: ",
            "installing a handler for SIGTERM",
            exit_on_sigterm(py),
        );
    } else if settings.facts.service {
        let text = format!(
            "WSGI0090: a service in {} is not told of SIGTERM, which Python hands to the main interpreter only: it is killed \
             when it has to end. Import it with application-group=%{{GLOBAL}}.",
            process::describe_interpreter(name)
        );
        process::log(ERROR, &text);
    }
    step("", "loading codecs", codecs(py));
    step("", "setting the environment", environment(py));
    search_path(py, name);
    step(
        "",
        "completing module mod_wsgi",
        module::add_attributes(py, state),
    );
    step("", "completing module apache", module::add_apache(py, name));
    if telemetry::is_configured() {
        step(
            "",
            "watching garbage collections",
            telemetry::collections::watch(py, state),
        );
    }
    match Environs::new(py, state) {
        Ok(environs) => {
            let _ = state.environs.set(environs);
        }
        Err(error) => report::setup_exception(py, &error, "preparing environs", name),
    }
}

fn log_stream(py: Python<'_>, state: &State, stream: Stream, name: &str) -> PyResult<()> {
    let (wrapper, _) = streams::wrapper(py, state, stream)?;
    py.import("sys")?.setattr(name, wrapper)
}

fn restrict(py: Python<'_>, state: &State, name: &'static str) -> PyResult<()> {
    let barred = class::instance(state.types.restricted.bind(py), Restricted::new(name))?;
    py.import("sys")?.setattr(name, barred)
}

fn arguments(py: Python<'_>) -> PyResult<()> {
    py.import("sys")?
        .setattr("argv", PyList::new(py, ["mod_wsgi"])?)
}

fn intercept_signals(py: Python<'_>, state: &State) -> PyResult<()> {
    let module = py.import("signal")?;
    let original = module.getattr("signal")?;
    let class = state.types.signal_intercept.bind(py);
    module.setattr(
        "signal",
        class::instance(class, SignalIntercept::new(original))?,
    )
}

/// A service process ends when Apache tells it to (DMN-562).
fn exit_on_sigterm(py: Python<'_>) -> PyResult<()> {
    let module = py.import("signal")?;
    let handler = wrap_pyfunction!(exit, py)?;
    module.call_method1("signal", (module.getattr("SIGTERM")?, handler))?;
    Ok(())
}

#[pyfunction]
#[pyo3(signature = (_number, _frame, /))]
fn exit(_number: &Bound<'_, PyAny>, _frame: &Bound<'_, PyAny>) -> PyResult<()> {
    Err(pyo3::exceptions::PySystemExit::new_err(0))
}

/// Loads what requests need, before paths of the configuration can hide it.
fn codecs(py: Python<'_>) -> PyResult<()> {
    let module = py.import("codecs")?;
    for name in ["utf-8", "latin-1"] {
        module.call_method1("lookup", (name,))?;
    }
    Ok(())
}

/// API-030, API-031.
fn environment(py: Python<'_>) -> PyResult<()> {
    let environ = py.import("os")?.getattr("environ")?;
    let settings = process::settings();
    for (name, value, is_always_set) in &settings.environment {
        if *is_always_set || environ.contains(name)? {
            environ.set_item(name, value)?;
        }
    }
    if let Some(eggs) = &settings.eggs {
        environ.set_item("PYTHON_EGG_CACHE", eggs)?;
    }
    Ok(())
}

/// `sys.path`: the process's entries, then those of each rule, then the working directory (API-020 to API-029).
fn search_path(py: Python<'_>, name: &str) {
    let settings = process::settings();
    let layers = std::iter::once(&settings.path).chain(settings.rules(name).map(|rule| &rule.path));
    for layer in layers.filter(|layer| !layer.is_empty()) {
        add_layer(py, layer, name);
    }
    if let Some(directory) = &settings.working_directory {
        let result = sys_path(py).and_then(|path| path.insert(0, directory));
        if let Err(error) = result {
            process::log(ERROR, "WSGI0096: sys.path is missing.");
            report::setup_exception(py, &error, "extending sys.path", name);
        }
    }
}

fn sys_path(py: Python<'_>) -> PyResult<Bound<'_, PyList>> {
    Ok(py.import("sys")?.getattr("path")?.cast_into::<PyList>()?)
}

/// Adds directories with `site.addsitedir` and moves what is new to the front (API-027).
fn add_layer(py: Python<'_>, entries: &[String], name: &str) {
    let failed = |text: &str, error: &PyErr| {
        process::log(ERROR, text);
        report::setup_exception(py, error, "extending sys.path", name);
    };
    let site = match py.import("site") {
        Ok(site) => site,
        Err(error) => return failed("WSGI0095: Module site cannot be imported.", &error),
    };
    let add = match site.getattr("addsitedir") {
        Ok(add) => add,
        Err(error) => return failed("WSGI0094: Module site has no addsitedir.", &error),
    };
    let before = match sys_path(py).and_then(|path| path.call_method0("copy")) {
        Ok(before) => before,
        Err(error) => return failed("WSGI0096: sys.path is missing.", &error),
    };
    for entry in entries {
        process::log(INFO, &format!("Add directory '{entry}' to sys.path."));
        if let Err(error) = add.call1((entry,)) {
            let text = format!("WSGI0091: Directory '{entry}' cannot be added to sys.path.");
            failed(&text, &error);
            break;
        }
    }
    let reorder = || -> PyResult<()> {
        let path = sys_path(py)?;
        let (mut new, mut old) = (Vec::new(), Vec::new());
        for entry in path.iter() {
            if before.contains(&entry)? {
                old.push(entry)
            } else {
                new.push(entry)
            }
        }
        new.append(&mut old);
        path.set_slice(0, path.len(), PyList::new(py, new)?.as_any())
    };
    if let Err(error) = reorder() {
        failed("WSGI0096: sys.path cannot be changed.", &error);
    }
}
