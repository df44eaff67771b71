//! End of interpreters and of Python, on the process's main thread (API-060 to API-065).

use pyo3::ffi;

use super::interpreter::{self, Interpreter};
use super::thread;
use crate::wsgi::finish;
use crate::wsgi::process::{self, INFO, WARNING};

/// Destroys the sub-interpreters and finalises Python, unless the settings say not to.
pub(crate) fn stop() {
    if !process::settings().destroy_interpreters {
        return;
    }
    let Some(main) = interpreter::main() else {
        process::log(
            WARNING,
            "WSGI0111: There is no main interpreter to clean up.",
        );
        return;
    };
    // One that must not be ended, nor may Python be finalised then.
    let mut is_one_left = false;
    for sub in interpreter::all()
        .into_iter()
        .filter(|interpreter| !interpreter.is_main())
    {
        process::log(INFO, &format!("Destroy interpreter '{}'.", sub.name()));
        let Ok(state) = thread::state_in(sub) else {
            let text = format!(
                "WSGI0192: No thread state to end interpreter '{}'.",
                sub.name()
            );
            process::log(WARNING, &text);
            is_one_left = true;
            continue;
        };
        // SAFETY: this thread's state there, attached nowhere.
        unsafe { ffi::PyEval_RestoreThread(state) };
        if !crate::wsgi::is_busy(sub) {
            thread::end_others(sub, state);
        }
        sub.through_door(finish::join_threads);
        // Not left to the end of the interpreter, because they may start threads.
        sub.through_door(finish::run_exit_functions);
        sub.through_door(finish::join_threads);
        if thread::count_in(sub) > 1 {
            // CPython ends the process if an interpreter is ended under a running (daemon) thread.
            // SAFETY: attached above.
            unsafe { ffi::PyEval_SaveThread() };
            let text = format!(
                "WSGI0192: Interpreter '{}' is not ended: threads of the application still run in it.",
                sub.name()
            );
            process::log(WARNING, &text);
            is_one_left = true;
        } else {
            end_current(sub, state, main.initial());
        }
    }
    process::log(INFO, "Terminate Python.");
    // SAFETY: this is the thread that started Python, and holds no GIL.
    unsafe { ffi::PyEval_RestoreThread(main.initial()) };
    main.through_door(finish::before_finalising);
    if is_one_left {
        main.through_door(finish::join_threads);
        main.through_door(finish::run_exit_functions);
        // SAFETY: attached above.
        unsafe { ffi::PyEval_SaveThread() };
        return;
    }
    // SAFETY: attached to the main interpreter by its initial thread state, and no other thread uses Python.
    if unsafe { ffi::Py_FinalizeEx() } != 0 {
        process::log(
            WARNING,
            "WSGI5074: Python reported errors while it was finalised.",
        );
    }
}

/// Ends a sub-interpreter whose set-up failed, on the thread that created it.
pub(super) fn end(sub: &'static Interpreter, main_state: *mut ffi::PyThreadState) {
    // SAFETY: the state is this thread's and attached nowhere.
    unsafe { ffi::PyEval_RestoreThread(sub.initial()) };
    end_current(sub, sub.initial(), main_state);
}

/// Ends the interpreter that this thread is attached to by its only thread state; the thread holds no GIL then.
fn end_current(
    sub: &'static Interpreter,
    state: *mut ffi::PyThreadState,
    main_state: *mut ffi::PyThreadState,
) {
    // SAFETY: current, and the only state of the interpreter.
    unsafe { ffi::Py_EndInterpreter(state) };
    thread::forget(sub);
    interpreter::remove(sub);
    #[cfg(not(Py_3_12))]
    {
        // The one GIL is still held, by no thread state.
        // SAFETY: this thread's state in the main interpreter.
        unsafe { ffi::PyThreadState_Swap(main_state) };
        // SAFETY: current since the call before.
        unsafe { ffi::PyEval_SaveThread() };
    }
    #[cfg(Py_3_12)]
    let _ = main_state;
}
