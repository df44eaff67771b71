//! Interpreters and the only way into them, [`Interpreter::enter`].
//!
//! The main interpreter is wrapped when Python starts, sub-interpreters are created by the first thread that needs them
//! (API-018), one at a time; looking up an existing one never waits for that (API-019 FIX). They live as long as the
//! process.

use std::cell::Cell;
use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::ptr;
use std::sync::{Arc, OnceLock};

use parking_lot::{Mutex, RwLock};
use pyo3::ffi;
use pyo3::prelude::*;

use super::gate;
use super::thread::{self, NoThreadState};
use crate::wsgi::process::{self, CRITICAL, ERROR, INFO};
use crate::wsgi::setup;
use crate::wsgi::state::State;

/// Interpreters that a process makes for names of clients (`%{HOST}`) at most, so that these cannot exhaust it (XPN-07).
const LIMIT: usize = 256;

/// An interpreter and what we keep in it.
pub(crate) struct Interpreter {
    /// Application group; empty for the main interpreter.
    name: String,
    raw: *mut ffi::PyInterpreterState,
    /// The thread state that it was created with.
    initial: *mut ffi::PyThreadState,
    has_own_gil: bool,
    /// The `#[pyfunction]` through which every entry goes.
    door: Py<PyAny>,
    /// Set by its set-up, before anybody else can see the interpreter.
    state: OnceLock<State>,
}

// SAFETY: the raw pointers are only used for calls that ask for an attached thread or for none, never for one thread;
// everything else is Send and Sync itself.
unsafe impl Send for Interpreter {}
// SAFETY: as above; nothing is changed after set-up but through `State`, which is Sync.
unsafe impl Sync for Interpreter {}

/// Why a thread enters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arrival {
    /// With a new request: waits at the gate.
    Request,
    /// Anything else.
    Errand,
}

/// Where the name of an interpreter comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// The configuration, or a dispatch script: as many as there are.
    Server,
    /// Data of the client: [`LIMIT`].
    Client,
}

impl Origin {
    /// Of the name that a request or a hook script has.
    pub(crate) fn of(is_from_client: bool) -> Origin {
        if is_from_client {
            Origin::Client
        } else {
            Origin::Server
        }
    }
}

/// Why an interpreter cannot be had; logged where it was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unavailable {
    /// It cannot be made.
    Failed,
    /// Too many were made for names of clients.
    TooMany,
}

static MAIN: OnceLock<&'static Interpreter> = OnceLock::new();
/// Every interpreter, in the order of creation.
static ALL: RwLock<Vec<&'static Interpreter>> = RwLock::new(Vec::new());

type Place = Arc<Mutex<Option<&'static Interpreter>>>;
/// Sub-interpreters by name; a place is locked while its interpreter is created.
static PLACES: Mutex<Option<Places>> = Mutex::new(None);
/// Held during a creation: CPython's own bookkeeping is one for the process.
static CREATION: Mutex<()> = Mutex::new(());

#[derive(Default)]
struct Places {
    by_name: HashMap<Vec<u8>, Place>,
    /// How many of them were wanted by a client first.
    for_clients: usize,
}

impl Places {
    fn place(&mut self, name: &[u8], origin: Origin) -> Result<Place, Unavailable> {
        if let Some(place) = self.by_name.get(name) {
            return Ok(Arc::clone(place));
        }
        if origin == Origin::Client {
            if self.for_clients == LIMIT {
                return Err(Unavailable::TooMany);
            }
            self.for_clients += 1;
        }
        let place = Place::default();
        self.by_name.insert(name.to_vec(), Arc::clone(&place));
        Ok(place)
    }
}

type Job<'a> = dyn for<'py> FnMut(Python<'py>) + 'a;

thread_local! {
    /// What the door is to run next on this thread.
    static JOB: Cell<Option<*mut Job<'static>>> = const { Cell::new(None) };
    /// How many doors this thread is behind.
    static DEPTH: Cell<usize> = const { Cell::new(0) };
}

/// The door: a call from Python, by which pyo3 knows that this thread is attached.
#[pyfunction]
fn door(py: Python<'_>) {
    if let Some(job) = JOB.take() {
        // SAFETY: `through_door` put it there for this call and waits for it.
        let job = unsafe { &mut *job };
        job(py);
    }
}

/// The main interpreter, once Python was started.
pub(crate) fn main() -> Option<&'static Interpreter> {
    MAIN.get().copied()
}

/// Every interpreter that can be used, the main one first.
pub(crate) fn all() -> Vec<&'static Interpreter> {
    ALL.read().clone()
}

/// Whether this thread is behind a door, so that pyo3 knows that it is attached whenever it runs Python code.
pub(super) fn is_inside() -> bool {
    DEPTH.get() > 0
}

/// The interpreter that this thread is attached to; None if it is none of ours, or still being made.
pub(crate) fn current(_py: Python<'_>) -> Option<&'static Interpreter> {
    // SAFETY: the token says that the thread is attached.
    let raw = unsafe { ffi::PyInterpreterState_Get() };
    ALL.read()
        .iter()
        .copied()
        .find(|interpreter| interpreter.raw == raw)
}

/// Whether this thread has used the interpreter of an application group, so that it is there.
pub(crate) fn is_at_hand(name: &[u8]) -> bool {
    name.is_empty() || thread::used(name).is_some()
}

/// The interpreter of an application group, created now if there is none. The thread holds no GIL.
pub(crate) fn get(name: &[u8], origin: Origin) -> Result<&'static Interpreter, Unavailable> {
    let main = main().ok_or(Unavailable::Failed)?;
    if name.is_empty() {
        return Ok(main);
    }
    if let Some(interpreter) = thread::used(name) {
        return Ok(interpreter);
    }
    let place = PLACES.lock().get_or_insert_default().place(name, origin);
    let place = place.inspect_err(|_| {
        let text = format!(
            "WSGI5072: Interpreter '{}' is refused: this process has made {LIMIT} interpreters for application groups \
             that are named by requests, such as %{{HOST}}; WSGIApplicationGroup can name one.",
            String::from_utf8_lossy(name)
        );
        process::log(ERROR, &text);
    })?;
    let mut place = place.lock();
    if let Some(interpreter) = *place {
        return Ok(interpreter);
    }
    // Not kept if it fails: the next request tries again (API-019).
    let interpreter = create(main, &String::from_utf8_lossy(name)).inspect_err(|_| {
        let text = format!(
            "WSGI0103: Sub-interpreter '{}' could not be created.",
            String::from_utf8_lossy(name)
        );
        process::log(ERROR, &text);
    })?;
    *place = Some(interpreter);
    Ok(interpreter)
}

/// Wraps the interpreter that Python started with, and sets it up. The calling thread is attached to it by its own
/// initial thread state, and is detached afterwards.
pub(super) fn adopt_main() -> Result<&'static Interpreter, Unavailable> {
    // SAFETY: the caller is attached.
    let initial = unsafe { ffi::PyThreadState_Get() };
    let made = make(String::new(), initial, false);
    // SAFETY: attached, and to be detached from here on.
    unsafe { ffi::PyEval_SaveThread() };
    thread::adopt_main(initial);
    let interpreter = made?;
    // Before the set-up: the thread states of this thread ask for it.
    let _ = MAIN.set(interpreter);
    prepare(interpreter)?;
    Ok(interpreter)
}

/// Creates and sets up a sub-interpreter.
fn create(main: &'static Interpreter, name: &str) -> Result<&'static Interpreter, Unavailable> {
    let _only_one = CREATION.lock();
    let has_own_gil = process::settings().gives_own_gil(name);
    let main_state = thread::state_in(main).map_err(|NoThreadState| no_thread_state(""))?;
    // SAFETY: this thread's state in the main interpreter, attached nowhere.
    unsafe { ffi::PyEval_RestoreThread(main_state) };
    let Some(initial) = new_interpreter(has_own_gil) else {
        // SAFETY: on failure the thread is attached to the main interpreter as before.
        unsafe { ffi::PyEval_SaveThread() };
        return Err(Unavailable::Failed);
    };
    let made = make(name.to_owned(), initial, has_own_gil);
    // SAFETY: attached to the new interpreter since its creation.
    unsafe { ffi::PyEval_SaveThread() };
    let interpreter = made?;
    thread::adopt(interpreter, initial);
    let note = if has_own_gil { " with its own GIL" } else { "" };
    process::log(INFO, &format!("Create interpreter '{name}'{note}."));
    if prepare(interpreter).is_err() {
        super::shutdown::end(interpreter, main_state);
        return Err(Unavailable::Failed);
    }
    thread::anchor(interpreter);
    Ok(interpreter)
}

/// The new interpreter's first thread state, to which the thread is attached then; None if CPython refuses (logged).
#[cfg(Py_3_12)]
fn new_interpreter(has_own_gil: bool) -> Option<*mut ffi::PyThreadState> {
    let config = if has_own_gil {
        ffi::_PyInterpreterConfig_INIT
    } else {
        ffi::_PyInterpreterConfig_LEGACY_INIT
    };
    let mut state = ptr::null_mut();
    // SAFETY: attached to the main interpreter.
    let status = unsafe { ffi::Py_NewInterpreterFromConfig(&mut state, &config) };
    // SAFETY: a status can be asked any time.
    if unsafe { ffi::PyStatus_Exception(status) } != 0 || state.is_null() {
        let why = super::config::message(status);
        process::log(
            CRITICAL,
            &format!("WSGI0035: Python cannot create an interpreter: {why}"),
        );
        return None;
    }
    Some(state)
}

/// As above, for Pythons with one GIL.
#[cfg(not(Py_3_12))]
fn new_interpreter(_has_own_gil: bool) -> Option<*mut ffi::PyThreadState> {
    // SAFETY: attached to the main interpreter.
    let state = unsafe { ffi::Py_NewInterpreter() };
    if state.is_null() {
        process::log(CRITICAL, "WSGI0035: Python cannot create an interpreter.");
        return None;
    }
    Some(state)
}

/// Wraps the interpreter that this thread is attached to.
fn make(
    name: String,
    initial: *mut ffi::PyThreadState,
    has_own_gil: bool,
) -> Result<&'static Interpreter, Unavailable> {
    // SAFETY: attached by `initial`.
    let raw = unsafe { ffi::PyThreadState_GetInterpreter(initial) };
    // SAFETY: attached. pyo3 does not know it yet, so only the door is made here, and nothing is dropped.
    let py = unsafe { Python::assume_attached() };
    match wrap_pyfunction!(door, py) {
        Ok(door) => {
            let door = door.into_any().unbind();
            let state = OnceLock::new();
            let interpreter = Interpreter {
                name,
                raw,
                initial,
                has_own_gil,
                door,
                state,
            };
            Ok(Box::leak(Box::new(interpreter)))
        }
        Err(error) => {
            error.restore(py);
            // SAFETY: attached.
            unsafe { ffi::PyErr_Clear() };
            process::log(CRITICAL, "WSGI0035: No memory for an interpreter.");
            Err(Unavailable::Failed)
        }
    }
}

/// Sets a new interpreter up and makes it known.
fn prepare(interpreter: &'static Interpreter) -> Result<(), Unavailable> {
    let built = interpreter
        .attached(Arrival::Errand, |py| {
            setup::state(py, interpreter).map(|state| {
                let _ = interpreter.state.set(state);
            })
        })
        .map_err(|NoThreadState| no_thread_state(&interpreter.name))?;
    built.map_err(|setup::Logged| Unavailable::Failed)?;
    ALL.write().push(interpreter);
    let finished = interpreter
        .enter(Arrival::Errand, setup::complete)
        .map_err(|NoThreadState| no_thread_state(&interpreter.name));
    if finished.is_err() {
        ALL.write().retain(|other| !ptr::eq(*other, interpreter));
    }
    finished
}

/// Logs that this thread cannot have a thread state.
pub(crate) fn no_thread_state(name: &str) -> Unavailable {
    let which = process::describe_interpreter(name);
    process::log(
        ERROR,
        &format!("WSGI0191: No thread state for this thread in {which}."),
    );
    Unavailable::Failed
}

/// Takes an interpreter that was ended off the list.
pub(super) fn remove(interpreter: &Interpreter) {
    ALL.write().retain(|other| !ptr::eq(*other, interpreter));
}

impl Interpreter {
    /// Application group; empty for the main interpreter.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Whether it is the main interpreter.
    pub(crate) fn is_main(&self) -> bool {
        self.name.is_empty()
    }

    /// Whether it has a GIL of its own.
    pub(crate) fn has_own_gil(&self) -> bool {
        self.has_own_gil
    }

    /// What we keep in it; None during its set-up.
    pub(crate) fn state(&self) -> Option<&State> {
        self.state.get()
    }

    pub(super) fn raw(&self) -> *mut ffi::PyInterpreterState {
        self.raw
    }

    pub(super) fn initial(&self) -> *mut ffi::PyThreadState {
        self.initial
    }

    /// Runs `body` in this interpreter on the calling thread, which must not hold a GIL. Everything that is Python's is
    /// touched and dropped inside.
    ///
    /// # Errors
    /// CPython has no memory for a thread state.
    pub(crate) fn enter<R>(
        &'static self,
        arrival: Arrival,
        body: impl for<'py> FnOnce(Python<'py>, &'static State) -> R,
    ) -> Result<R, NoThreadState> {
        self.attached(arrival, |py| {
            body(
                py,
                self.state
                    .get()
                    .expect("interpreters are only handed out after their set-up"),
            )
        })
    }

    fn attached<R>(
        &'static self,
        arrival: Arrival,
        body: impl for<'py> FnOnce(Python<'py>) -> R,
    ) -> Result<R, NoThreadState> {
        let state = thread::state_in(self)?;
        let _attached = if arrival == Arrival::Request && !self.has_own_gil {
            let _passage = gate::wait(!process::settings().process_group.is_empty());
            Attached::new(state)
        } else {
            Attached::new(state)
        };
        Ok(self.through_door(body))
    }

    /// Runs `body` behind the door. The thread is attached to this interpreter, which pyo3 need not know yet.
    pub(super) fn through_door<R>(&self, body: impl for<'py> FnOnce(Python<'py>) -> R) -> R {
        let mut body = Some(body);
        let mut result = None;
        let mut job = |py: Python<'_>| {
            if let Some(body) = body.take() {
                // Python's frames are between here and the caller: no panic may cross them.
                result = Some(catch_unwind(AssertUnwindSafe(|| body(py))));
            }
        };
        let job: *mut Job<'_> = &raw mut job;
        // SAFETY: only the lifetime is changed; the door runs it before this function goes on.
        let job: *mut Job<'static> = unsafe { std::mem::transmute(job) };
        let previous = JOB.replace(Some(job));
        DEPTH.set(DEPTH.get() + 1);
        // SAFETY: attached, and the door is a callable of this interpreter.
        let returned = unsafe { ffi::PyObject_CallNoArgs(self.door.as_ptr()) };
        DEPTH.set(DEPTH.get() - 1);
        JOB.set(previous);
        if returned.is_null() {
            // SAFETY: attached. The door itself raises nothing; what it runs hands its errors back as values.
            unsafe { ffi::PyErr_Clear() };
        } else {
            // SAFETY: a reference that the call gave us.
            unsafe { ffi::Py_DECREF(returned) };
        }
        match result {
            Some(Ok(value)) => value,
            Some(Err(panic)) => resume_unwind(panic),
            None => panic!("Python did not call the door of its interpreter"),
        }
    }
}

/// This thread, attached by one of its thread states until dropped.
struct Attached;

impl Attached {
    fn new(state: *mut ffi::PyThreadState) -> Attached {
        // SAFETY: this thread's own state, attached nowhere: the thread holds no GIL.
        unsafe { ffi::PyEval_RestoreThread(state) };
        Attached
    }
}

impl Drop for Attached {
    fn drop(&mut self) {
        // SAFETY: attached since `new`; whatever detached meanwhile attached again.
        unsafe { ffi::PyEval_SaveThread() };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// XPN-07: only names of clients are counted, each once, and not those that the server had named before.
    #[test]
    fn clients_get_a_limited_number_of_places() {
        let mut places = Places::default();
        let mut place = |name: &str, origin| places.place(name.as_bytes(), origin).is_ok();
        for number in 0..2 * LIMIT {
            assert!(place(&format!("server{number}"), Origin::Server));
            assert!(place(&format!("server{number}"), Origin::Client));
        }
        for number in 0..LIMIT {
            assert!(place(&format!("client{number}"), Origin::Client));
            assert!(place("client0", Origin::Client));
        }
        assert!(!place("other", Origin::Client));
        assert!(place("other", Origin::Server));
        assert!(place("other", Origin::Client));
        assert_eq!(
            places.place(b"last", Origin::Client).err(),
            Some(Unavailable::TooMany)
        );
    }
}
