//! Questions to the MPM: how many processes and threads, which generation, is the server stopping.

use std::ffi::c_int;

use super::{process, text};

/// What the MPM does at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MpmState {
    /// Starting.
    Starting,
    /// Running.
    Running,
    /// Stopping or restarting.
    Stopping,
}

/// Name of the MPM: `event`, `worker`, `prefork`.
pub fn name() -> String {
    // SAFETY: a plain query.
    let name = unsafe { apache_sys::ap_show_mpm() };
    // SAFETY: a C string of the MPM module.
    let name = unsafe { text::bytes(name) };
    String::from_utf8_lossy(name.unwrap_or(b"")).into_owned()
}

/// Most child processes at a time. Known after the configuration was read.
pub fn maximum_processes() -> u32 {
    positive(query(apache_sys::AP_MPMQ_MAX_DAEMONS))
}

/// Threads that serve requests in a child; 1 for prefork. Known after the configuration was read.
pub fn threads_per_process() -> u32 {
    positive(query(apache_sys::AP_MPMQ_MAX_THREADS)).max(1)
}

/// Slots for processes in the scoreboard (ServerLimit).
pub fn process_slots() -> u32 {
    positive(query(apache_sys::AP_MPMQ_HARD_LIMIT_DAEMONS))
}

/// Slots for threads of each process in the scoreboard (ThreadLimit; 1 for prefork).
pub fn thread_slots() -> u32 {
    positive(query(apache_sys::AP_MPMQ_HARD_LIMIT_THREADS))
}

/// Number of the configuration that runs: 0 at start, plus one with each restart.
pub fn generation() -> u32 {
    positive(query(apache_sys::AP_MPMQ_GENERATION))
}

/// What the MPM does.
pub fn state() -> MpmState {
    match query(apache_sys::AP_MPMQ_MPM_STATE) {
        Some(apache_sys::AP_MPMQ_STOPPING) => MpmState::Stopping,
        Some(apache_sys::AP_MPMQ_RUNNING) => MpmState::Running,
        _ => MpmState::Starting,
    }
}

/// Whether the server runs as one process (`httpd -X`, or `-DONE_PROCESS`), which is parent and child at once.
pub fn is_one_process() -> bool {
    // `-X` defines DEBUG, which the MPMs take as one process.
    process::is_defined(c"ONE_PROCESS") || process::is_defined(c"DEBUG")
}

/// The value for a query code; None if the MPM has no answer.
fn query(code: c_int) -> Option<c_int> {
    let mut value = 0;
    // SAFETY: writes one number on success.
    let status = unsafe { apache_sys::ap_mpm_query(code, &mut value) };
    (status == 0).then_some(value)
}

fn positive(value: Option<c_int>) -> u32 {
    value
        .and_then(|value| u32::try_from(value).ok())
        .unwrap_or(0)
}
