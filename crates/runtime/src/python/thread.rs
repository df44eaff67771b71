//! Python thread states: one per thread and interpreter, made at first use and kept until the thread leaves, so that
//! thread locals of applications persist (API-041).
//!
//! The main interpreter's is made first in every thread and through PyGILState, so that C extensions find it there
//! (API-042); a sub-interpreter's would otherwise take its place.

use std::cell::RefCell;
use std::ptr;

use pyo3::ffi;

use super::interpreter::{Interpreter, main};

/// CPython has no memory for a thread state (WSGI0191).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NoThreadState;

/// A thread state in a sub-interpreter.
struct Other {
    interpreter: &'static Interpreter,
    state: *mut ffi::PyThreadState,
    /// The one that the interpreter was created with: belongs to the interpreter, which is ended with it.
    initial: bool,
}

struct ThreadStates {
    main: *mut ffi::PyThreadState,
    others: Vec<Other>,
}

thread_local! {
    static STATES: RefCell<ThreadStates> =
        const { RefCell::new(ThreadStates { main: ptr::null_mut(), others: Vec::new() }) };
}

/// Notes the thread state that Python started with, on the thread that started it.
pub(super) fn adopt_main(state: *mut ffi::PyThreadState) {
    STATES.with_borrow_mut(|states| states.main = state);
}

/// Notes the thread state that a sub-interpreter was created with, on the thread that created it.
pub(super) fn adopt_initial(interpreter: &'static Interpreter, state: *mut ffi::PyThreadState) {
    STATES.with_borrow_mut(|states| {
        states.others.push(Other { interpreter, state, initial: true });
    });
}

/// Forgets the states of an interpreter that was ended.
pub(super) fn forget(interpreter: &Interpreter) {
    STATES.with_borrow_mut(|states| {
        states.others.retain(|other| !ptr::eq(other.interpreter, interpreter));
    });
}

/// The interpreter of that name, if this thread has used it before.
pub(super) fn used(name: &[u8]) -> Option<&'static Interpreter> {
    STATES.with_borrow(|states| {
        let mut interpreters = states.others.iter().map(|other| other.interpreter);
        interpreters.find(|interpreter| interpreter.name().as_bytes() == name)
    })
}

/// The interpreters that this thread has used, the main one apart.
pub(super) fn all_used() -> Vec<&'static Interpreter> {
    STATES.with_borrow(|states| states.others.iter().map(|other| other.interpreter).collect())
}

/// This thread's state in `interpreter`, made now if there is none. The thread holds no GIL.
pub(super) fn state_in(
    interpreter: &'static Interpreter,
) -> Result<*mut ffi::PyThreadState, NoThreadState> {
    let main_state = main_state();
    if interpreter.is_main() {
        return Ok(main_state);
    }
    let found = STATES.with_borrow(|states| {
        let mut others = states.others.iter();
        others.find(|other| ptr::eq(other.interpreter, interpreter)).map(|other| other.state)
    });
    if let Some(state) = found {
        return Ok(state);
    }
    // SAFETY: interpreters live as long as the process; the GIL is not needed for this call.
    let state = unsafe { ffi::PyThreadState_New(interpreter.raw()) };
    if state.is_null() {
        return Err(NoThreadState);
    }
    STATES.with_borrow_mut(|states| {
        states.others.push(Other { interpreter, state, initial: false });
    });
    Ok(state)
}

/// This thread's state in the main interpreter, known to PyGILState.
fn main_state() -> *mut ffi::PyThreadState {
    let known = STATES.with_borrow(|states| states.main);
    if !known.is_null() {
        return known;
    }
    // Never released before `leave`, so that the state stays and nested Ensure/Release pairs of extensions only count.
    // SAFETY: Python is initialised, or there were no Interpreter to enter.
    unsafe { ffi::PyGILState_Ensure() };
    // SAFETY: Ensure attached this thread.
    let state = unsafe { ffi::PyEval_SaveThread() };
    STATES.with_borrow_mut(|states| states.main = state);
    state
}

/// Ends the states of this thread. It holds no GIL, runs no Python code and will not again. The thread that started
/// Python keeps its own.
pub(super) fn leave() {
    let others = STATES.with_borrow_mut(|states| std::mem::take(&mut states.others));
    let (kept, ended): (Vec<_>, Vec<_>) = others.into_iter().partition(|other| other.initial);
    for other in ended {
        end(other.state);
    }
    // `threading` of that interpreter watches this state as its main thread's: it goes with the interpreter.
    drop(kept);
    let state = STATES.with_borrow_mut(|states| std::mem::replace(&mut states.main, ptr::null_mut()));
    if state.is_null() {
        return;
    }
    if main().is_some_and(|main| main.initial() == state) {
        adopt_main(state);
        return;
    }
    // SAFETY: it is this thread's state, which is attached nowhere.
    unsafe { ffi::PyEval_RestoreThread(state) };
    // SAFETY: the counterpart of the Ensure in `main_state`; the last one, which deletes the state.
    unsafe { ffi::PyGILState_Release(ffi::PyGILState_STATE::PyGILState_UNLOCKED) };
}

/// Ends what this thread has in `interpreter` but for the state that the interpreter was created with.
pub(super) fn leave_one(interpreter: &Interpreter) {
    let state = STATES.with_borrow_mut(|states| {
        let position = states
            .others
            .iter()
            .position(|other| ptr::eq(other.interpreter, interpreter) && !other.initial)?;
        Some(states.others.swap_remove(position).state)
    });
    if let Some(state) = state {
        end(state);
    }
}

fn end(state: *mut ffi::PyThreadState) {
    // SAFETY: it is this thread's state, made by `state_in`, which is attached nowhere.
    unsafe { ffi::PyEval_RestoreThread(state) };
    // SAFETY: it is current.
    unsafe { ffi::PyThreadState_Clear(state) };
    // SAFETY: it is current and cleared; this releases the GIL.
    unsafe { ffi::PyThreadState_DeleteCurrent() };
}

/// Number of thread states that `interpreter` has. The caller is attached to it, so that none can go meanwhile in builds
/// with a GIL.
pub(super) fn count_in(interpreter: &Interpreter) -> usize {
    let mut count = 0;
    // SAFETY: the interpreter is alive.
    let mut state = unsafe { ffi::PyInterpreterState_ThreadHead(interpreter.raw()) };
    while !state.is_null() {
        count += 1;
        // SAFETY: states are only removed by threads that are attached, which are not while the caller is.
        state = unsafe { ffi::PyThreadState_Next(state) };
    }
    count
}

/// CPython's number of this thread.
pub(crate) fn ident() -> u64 {
    // SAFETY: can be called any time.
    u64::from(unsafe { ffi::PyThread_get_thread_ident() })
}
