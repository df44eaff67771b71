//! Python thread states: one per thread and interpreter, made at first use and kept until the thread leaves, so that
//! thread locals of applications persist (API-041).
//!
//! The main interpreter's is made first in every thread and through PyGILState, so that C extensions find it there
//! (API-042); a sub-interpreter's would otherwise take its place.

use std::cell::RefCell;
use std::mem::ManuallyDrop;
use std::ptr;

use parking_lot::Mutex;
use pyo3::ffi;
use pyo3::prelude::*;

use super::interpreter::{Interpreter, main};

/// CPython has no memory for a thread state (WSGI0191).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NoThreadState;

/// A thread state in a sub-interpreter.
struct Other {
    interpreter: &'static Interpreter,
    state: *mut ffi::PyThreadState,
}

/// A thread state that a thread of the host has in a sub-interpreter.
struct Made {
    interpreter: &'static Interpreter,
    state: *mut ffi::PyThreadState,
}

// SAFETY: the pointer is only used at the end, when no thread uses its own any more.
unsafe impl Send for Made {}

/// Those of all threads: some threads end without leaving.
static MADE: Mutex<Vec<Made>> = Mutex::new(Vec::new());

struct ThreadStates {
    main: *mut ffi::PyThreadState,
    others: Vec<Other>,
}

thread_local! {
    // Never dropped, so that `leave` finds it also when it is called by a destructor of thread data.
    static STATES: RefCell<ManuallyDrop<ThreadStates>> = const {
        RefCell::new(ManuallyDrop::new(ThreadStates { main: ptr::null_mut(), others: Vec::new() }))
    };
}

/// Notes the thread state that Python started with, on the thread that started it.
pub(super) fn adopt_main(state: *mut ffi::PyThreadState) {
    STATES.with_borrow_mut(|states| states.main = state);
}

/// Notes a thread state of this thread in a sub-interpreter.
pub(super) fn adopt(interpreter: &'static Interpreter, state: *mut ffi::PyThreadState) {
    MADE.lock().push(Made { interpreter, state });
    STATES.with_borrow_mut(|states| {
        states.others.push(Other { interpreter, state });
    });
}

/// Makes a thread state in `interpreter` that no thread uses, so that the interpreter always has one: CPython keeps the
/// first state of an interpreter in a place of its own, and hands that out again while it is still being cleared.
pub(super) fn anchor(interpreter: &'static Interpreter) {
    // On a thread of its own: a state carries the number of the thread that makes it, by which interrupts find theirs.
    let making = std::thread::Builder::new()
        .name("wsgi-anchor".to_owned())
        .spawn(move || {
            // SAFETY: interpreters live as long as the process; the GIL is not needed for this call.
            let state = unsafe { ffi::PyThreadState_New(interpreter.raw()) };
            if !state.is_null() {
                MADE.lock().push(Made { interpreter, state });
            }
        });
    // Without it the interpreter works as long as its first thread lives.
    if let Ok(thread) = making {
        let _ = thread.join();
    }
}

/// Forgets the states of an interpreter that was ended.
pub(super) fn forget(interpreter: &Interpreter) {
    MADE.lock()
        .retain(|made| !ptr::eq(made.interpreter, interpreter));
    STATES.with_borrow_mut(|states| {
        states
            .others
            .retain(|other| !ptr::eq(other.interpreter, interpreter));
    });
}

/// The interpreter of that name, if this thread has used it before.
pub(super) fn used(name: &[u8]) -> Option<&'static Interpreter> {
    STATES.with_borrow(|states| {
        let mut interpreters = states.others.iter().map(|other| other.interpreter);
        interpreters.find(|interpreter| interpreter.name().as_bytes() == name)
    })
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
        others
            .find(|other| ptr::eq(other.interpreter, interpreter))
            .map(|other| other.state)
    });
    if let Some(state) = found {
        return Ok(state);
    }
    // SAFETY: interpreters live as long as the process; the GIL is not needed for this call.
    let state = unsafe { ffi::PyThreadState_New(interpreter.raw()) };
    if state.is_null() {
        return Err(NoThreadState);
    }
    adopt(interpreter, state);
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
pub(crate) fn leave() {
    // Also those that interpreters were created with: their `threading` waits for its main thread, which this one is.
    let others = STATES.with_borrow_mut(|states| std::mem::take(&mut states.others));
    for other in others {
        end(other.state);
    }
    let state =
        STATES.with_borrow_mut(|states| std::mem::replace(&mut states.main, ptr::null_mut()));
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

fn end(state: *mut ffi::PyThreadState) {
    MADE.lock().retain(|made| !ptr::eq(made.state, state));
    // SAFETY: it is this thread's state, which is attached nowhere.
    unsafe { ffi::PyEval_RestoreThread(state) };
    // SAFETY: it is current.
    unsafe { ffi::PyThreadState_Clear(state) };
    // SAFETY: it is current and cleared; this releases the GIL.
    unsafe { ffi::PyThreadState_DeleteCurrent() };
}

/// Ends the states that other threads of the host have left in `interpreter` (API-062). This thread is attached to it by
/// `own`; no other thread will use its state any more.
pub(super) fn end_others(interpreter: &Interpreter, own: *mut ffi::PyThreadState) {
    let mut others = Vec::new();
    MADE.lock().retain(|made| {
        let is_other = ptr::eq(made.interpreter, interpreter) && !ptr::eq(made.state, own);
        if is_other {
            others.push(made.state);
        }
        !is_other
    });
    for state in others {
        // SAFETY: a live state that its thread does not use any more; this thread is attached to its interpreter.
        unsafe { ffi::PyThreadState_Clear(state) };
        // SAFETY: cleared, and not current.
        unsafe { ffi::PyThreadState_Delete(state) };
    }
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

/// Which of an interpreter's thread states a thread uses: a name, through which nothing is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StateName(*mut ffi::PyThreadState);

// SAFETY: the pointer is only compared, never followed.
unsafe impl Send for StateName {}
// SAFETY: as above.
unsafe impl Sync for StateName {}

/// That of this thread.
pub(crate) fn state_name(_py: Python<'_>) -> StateName {
    // SAFETY: the token says that the thread is attached.
    StateName(unsafe { ffi::PyThreadState_Get() })
}

/// The frame that a thread of `interpreter` is executing; None if it executes none, or has ended. The caller is attached to an
/// interpreter with the same GIL, so that the thread stands still.
pub(crate) fn frame<'py>(
    py: Python<'py>,
    interpreter: &Interpreter,
    name: StateName,
) -> Option<Bound<'py, PyAny>> {
    // SAFETY: the interpreter is alive.
    let mut state = unsafe { ffi::PyInterpreterState_ThreadHead(interpreter.raw()) };
    while !state.is_null() && state != name.0 {
        // SAFETY: as in `count_in`.
        state = unsafe { ffi::PyThreadState_Next(state) };
    }
    if state.is_null() {
        return None;
    }
    // SAFETY: a live state whose thread does not run meanwhile.
    let frame = unsafe { ffi::PyThreadState_GetFrame(state) };
    // SAFETY: a new reference, or null.
    unsafe { Bound::from_owned_ptr_or_opt(py, frame.cast()) }
}

/// CPython's number of this thread.
#[allow(clippy::useless_conversion)] // unsigned long is shorter elsewhere
pub(crate) fn ident() -> u64 {
    // SAFETY: can be called any time.
    u64::from(unsafe { ffi::PyThread_get_thread_ident() })
}
