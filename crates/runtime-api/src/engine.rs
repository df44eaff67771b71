//! The runtime's half of the table: the borrowed [`Request`] and [`Transport`] with safe methods, the [`HostCalls`] of the
//! process, and [`table`], which builds the [`RuntimeTable`](crate::RuntimeTable) of an [`Engine`].
//!
//! Promises: pointers of the host are checked once, here, and become references for the time of the call; every entry
//! runs behind a guard, so that a panic of the engine becomes the failure value of the call and a log record, never an
//! unwinding into the host. Entries are called from the threads that [`RuntimeTable`](crate::RuntimeTable) names.

use std::ffi::{c_int, c_void};

use wsgi_core::python::PythonSettings;
use wsgi_core::scoreboard::Scoreboard;

use crate::hook::Hook;
use crate::{Bytes, HookOutcome, HostTable, Outcome};

mod entries;
mod request;
mod transport;

pub use entries::table;
pub use request::Request;
pub use transport::{Block, Transport};

/// What a runtime does: the entries of the table as safe functions. Threads are those of [`RuntimeTable`](crate::RuntimeTable).
pub trait Engine: 'static {
    /// `PY_VERSION_HEX` that it was built for.
    const PYTHON_VERSION: u32;
    /// Whether that is a free-threaded build.
    const FREE_THREADED: bool;

    /// Initialises Python; false if it failed, which was logged.
    fn start(settings: PythonSettings, host: HostCalls) -> bool;
    /// Loads a script outside of requests; false if it failed, which was logged.
    fn load(script: &[u8], application_group: &[u8]) -> bool;
    /// Starts telemetry's reporter, if the settings ask for one.
    fn start_reporting();
    /// Runs a request.
    fn handle(request: &Request<'_>, transport: Transport<'_>) -> Outcome;
    /// The times of the files of its script or module, as one number.
    fn stamp(request: &Request<'_>) -> u64;
    /// Calls functions of a hook script.
    fn hook(hook: Hook<'_>, transport: Transport<'_>) -> HookOutcome;
    /// Publishes `process_stopping`.
    fn publish_stopping(reason: &str);
    /// Tells telemetry's consumer that the process has decided to end.
    fn report_stopping(reason: &str);
    /// Tells telemetry's consumer that the process ends by force.
    fn report_forced_end(reason: &str);
    /// Ends telemetry's reporter and finalises Python.
    fn stop();
    /// Takes and releases the GIL of the main interpreter.
    fn probe();
    /// Logs the stacks of the threads that run requests.
    fn dump_stacks();
    /// Raises `RequestTimeout` in a worker; whether it was raised.
    fn interrupt(thread_id: u32) -> bool;
    /// Publishes `process_signal`.
    fn publish_signal(name: &str, number: i32);
    /// Ends the calling thread's Python thread states.
    fn leave_thread();
}

/// The functions that the process lends for its whole life. Any thread.
#[derive(Clone, Copy)]
pub struct HostCalls {
    table: &'static HostTable,
}

impl HostCalls {
    /// One record for the process's error log.
    pub fn log(self, level: c_int, text: &[u8]) {
        // SAFETY: the table is valid for the life of the process; the text lives during the call.
        unsafe { (self.table.log)(level, Bytes::of(text)) };
    }

    /// Whether records of this level are written.
    pub fn log_enabled(self, level: c_int) -> bool {
        // SAFETY: the table is valid for the life of the process.
        unsafe { (self.table.log_enabled)(level) != 0 }
    }

    /// Input was read or output written.
    pub fn activity(self) {
        // SAFETY: the table is valid for the life of the process.
        unsafe { (self.table.activity)() };
    }

    /// A script or module was loaded.
    pub fn script_loaded(self) {
        // SAFETY: the table is valid for the life of the process.
        unsafe { (self.table.script_loaded)() };
    }

    /// Apache's scoreboard; None where there is none for this process. May wait for another process: not with the GIL held.
    pub fn server_metrics(self) -> Option<Scoreboard> {
        let mut bytes: Option<Vec<u8>> = None;
        // SAFETY: the table is valid for the life of the process; `put` gets the sink that it is for, which lives during the call.
        unsafe { (self.table.server_metrics)(put, (&raw mut bytes).cast()) };
        Scoreboard::decode(&bytes?)
    }
}

/// Keeps a copy of the bytes in the sink of [`HostCalls::server_metrics`].
///
/// # Safety
/// `sink` is that sink; the bytes are valid for the call.
unsafe extern "C" fn put(sink: *mut c_void, bytes: Bytes) {
    // SAFETY: a caller's promise.
    let sink = unsafe { &mut *sink.cast::<Option<Vec<u8>>>() };
    // SAFETY: a caller's promise.
    *sink = unsafe { bytes.get() }.map(<[u8]>::to_vec);
}

fn field<'r>(bytes: Bytes) -> &'r [u8] {
    // SAFETY: only called with bytes of a RequestView, by methods whose result does not outlive the view's call.
    unsafe { bytes.get() }.unwrap_or_default()
}
