//! What the calling thread is doing: the request whose Python code it runs, and the list of all threads that run one (or load a
//! script before there are any), for interrupts and stack dumps.

use std::cell::RefCell;
use std::mem::ManuallyDrop;
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use parking_lot::Mutex;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use super::exchange::Exchange;
use super::state::State;
use crate::python::{Interpreter, objects, thread};

/// The request of a thread.
struct Current {
    exchange: Arc<Exchange>,
    data: Py<PyDict>,
    request_id: Option<String>,
}

thread_local! {
    // Never dropped, so that they are there also while other data of an ending thread is destroyed.
    static CURRENT: RefCell<ManuallyDrop<Option<Current>>> =
        const { RefCell::new(ManuallyDrop::new(None)) };
    static WORKER: RefCell<ManuallyDrop<Option<Arc<Worker>>>> =
        const { RefCell::new(ManuallyDrop::new(None)) };
}

/// Threads that have run requests.
static WORKERS: Mutex<Vec<Arc<Worker>>> = Mutex::new(Vec::new());

/// A thread that runs requests.
pub(crate) struct Worker {
    /// Ordinal of the host (DMN-402).
    thread_id: AtomicU32,
    /// CPython's number.
    ident: u64,
    running: Mutex<Option<Running>>,
    was_interrupted: AtomicBool,
}

/// What a worker runs.
#[derive(Clone)]
pub(crate) struct Running {
    /// Where.
    pub(crate) interpreter: &'static Interpreter,
    /// File that the URL mapped to.
    pub(crate) script: String,
    /// Of its thread, there.
    pub(crate) state: thread::StateName,
}

/// The exchange of this thread's request.
pub(crate) fn exchange() -> Option<Arc<Exchange>> {
    CURRENT.with_borrow(|current| {
        current
            .as_ref()
            .map(|current| Arc::clone(&current.exchange))
    })
}

/// `mod_wsgi.request_data()` (API-133).
pub(crate) fn data(py: Python<'_>) -> Option<Bound<'_, PyDict>> {
    CURRENT.with_borrow(|current| {
        current
            .as_ref()
            .map(|current| current.data.bind(py).clone())
    })
}

/// Apache's id of this thread's request.
pub(crate) fn request_id() -> Option<String> {
    CURRENT.with_borrow(|current| {
        current
            .as_ref()
            .and_then(|current| current.request_id.clone())
    })
}

/// The request of this thread, while it is kept; behind the door.
pub(crate) struct InRequest<'py> {
    state: &'static State,
    py: Python<'py>,
    /// A request that this thread runs around this one (a sub-request of Apache's output filters).
    outer: Option<Current>,
    outer_running: Option<Running>,
    worker: Arc<Worker>,
}

impl<'py> InRequest<'py> {
    /// Begins a request on this thread, worker `thread_id` of the host.
    pub(crate) fn begin(
        py: Python<'py>,
        state: &'static State,
        exchange: &Arc<Exchange>,
        request_id: Option<String>,
        thread_id: u32,
    ) -> PyResult<InRequest<'py>> {
        let data = PyDict::new(py);
        if let Some(id) = &request_id {
            state.active_requests.bind(py).set_item(id, &data)?;
        }
        let new = Current {
            exchange: Arc::clone(exchange),
            data: data.unbind(),
            request_id,
        };
        let outer = CURRENT.with_borrow_mut(|current| current.replace(new));
        let worker = worker(thread_id);
        let running = Running {
            interpreter: state.interpreter,
            script: exchange.script().to_owned(),
            state: thread::state_name(py),
        };
        let outer_running = worker.running.lock().replace(running);
        Ok(InRequest {
            state,
            py,
            outer,
            outer_running,
            worker,
        })
    }
}

impl Drop for InRequest<'_> {
    fn drop(&mut self) {
        *self.worker.running.lock() = self.outer_running.take();
        if self.worker.was_interrupted.swap(false, Ordering::AcqRel) {
            // An interrupt that came too late must not hit the next request (REQ-482, DMN-434).
            objects::raise_in_thread(self.py, self.worker.ident, None);
        }
        let outer = self.outer.take();
        let ended = CURRENT.with_borrow_mut(|current| std::mem::replace(&mut **current, outer));
        if let Some(ended) = ended {
            if let Some(id) = &ended.request_id {
                // Python code may have removed it.
                let _ = self.state.active_requests.bind(self.py).del_item(id);
            }
        }
    }
}

/// A script that this thread loads for no request, before there are any, while it is kept; behind the door.
pub(crate) struct InLoad(Arc<Worker>);

impl InLoad {
    /// Begins to load `script`; the thread is worker 0.
    pub(crate) fn begin(py: Python<'_>, state: &'static State, script: &[u8]) -> InLoad {
        let worker = worker(0);
        *worker.running.lock() = Some(Running {
            interpreter: state.interpreter,
            script: String::from_utf8_lossy(script).into_owned(),
            state: thread::state_name(py),
        });
        InLoad(worker)
    }
}

impl Drop for InLoad {
    fn drop(&mut self) {
        *self.0.running.lock() = None;
    }
}

fn worker(thread_id: u32) -> Arc<Worker> {
    WORKER.with_borrow_mut(|worker| {
        let worker = worker.get_or_insert_with(|| {
            let worker = Arc::new(Worker {
                thread_id: AtomicU32::new(thread_id),
                ident: thread::ident(),
                running: Mutex::new(None),
                was_interrupted: AtomicBool::new(false),
            });
            WORKERS.lock().push(Arc::clone(&worker));
            worker
        });
        worker.thread_id.store(thread_id, Ordering::Relaxed);
        Arc::clone(worker)
    })
}

/// Forgets this thread.
pub(crate) fn leave() {
    if let Some(worker) = WORKER.with_borrow_mut(|worker| worker.take()) {
        WORKERS.lock().retain(|other| !Arc::ptr_eq(other, &worker));
    }
}

/// The threads that run a request now.
pub(crate) fn running() -> Vec<(Arc<Worker>, Running)> {
    let workers = WORKERS.lock().clone();
    let running = |worker: Arc<Worker>| {
        let running = worker.running.lock().clone()?;
        Some((worker, running))
    };
    workers.into_iter().filter_map(running).collect()
}

impl Worker {
    /// Ordinal of the host.
    pub(crate) fn thread_id(&self) -> u32 {
        self.thread_id.load(Ordering::Relaxed)
    }

    /// Raises `RequestTimeout` in what it runs; false if it does not run in the interpreter of `state` any more.
    pub(crate) fn interrupt(&self, py: Python<'_>, state: &State) -> bool {
        // The worker takes this lock with the GIL held, as this thread does: it cannot end the request meanwhile.
        let running = self.running.lock();
        let is_here = running
            .as_ref()
            .is_some_and(|running| ptr::eq(running.interpreter, state.interpreter));
        if !is_here {
            return false;
        }
        self.was_interrupted.store(true, Ordering::Release);
        objects::raise_in_thread(py, self.ident, Some(state.request_timeout.bind(py)))
    }
}
