//! What Python code has to be run when an interpreter ends. On the process's main thread, behind the interpreter's door.

use pyo3::prelude::*;

use super::process::{self, ERROR};
use super::report;

/// Waits for threads of the application that are not daemon threads (API-062). Before that it tells the idle threads of
/// `concurrent.futures` to end, which do not end by themselves.
pub(crate) fn join_threads(py: Python<'_>) {
    let join = || -> PyResult<()> {
        let threading = py.import("threading")?;
        // As CPython's `threading._shutdown` does it, which cannot be called twice. Taken off the list, to be called once.
        if let Some(functions) = threading.getattr_opt("_threading_atexits")? {
            while functions.len()? > 0 {
                functions.call_method0("pop")?.call0()?;
            }
        }
        let main = threading.call_method0("main_thread")?;
        let current = threading.call_method0("current_thread")?;
        for thread in threading.call_method0("enumerate")?.try_iter()? {
            let thread = thread?;
            let is_ours = thread.is(&main) || thread.is(&current);
            if !is_ours && !thread.getattr("daemon")?.is_truthy()? {
                thread.call_method0("join")?;
            }
        }
        Ok(())
    };
    if let Err(error) = join() {
        report::exception(
            py,
            &error,
            ERROR,
            "WSGI0098: Threads of the application cannot be joined.",
        );
    }
}

/// Runs the functions registered with atexit, which are forgotten then.
pub(crate) fn run_exit_functions(py: Python<'_>) {
    let run = || py.import("atexit")?.call_method0("_run_exitfuncs");
    if let Err(error) = run() {
        let code = if report::is_system_exit(py, &error) {
            "WSGI0097"
        } else {
            "WSGI0098"
        };
        report::exception(
            py,
            &error,
            ERROR,
            &format!("{code}: Exception in an exit function."),
        );
    }
}

/// Takes away what would disturb the finalisation: a signal that came meanwhile (a service's SystemExit), and standard streams,
/// which it flushes and which a barred one does not allow (API-033 FIX).
pub(crate) fn before_finalising(py: Python<'_>) {
    // What its handler says is done already: Python ends.
    let _ = py.check_signals();
    if process::settings().restricts_stdout("") {
        // Without sys there is nothing to flush either.
        let _ = py
            .import("sys")
            .and_then(|sys| sys.setattr("stdout", py.None()));
    }
}
