//! The gate: of all threads that bring a new request, one at a time contends for the GIL.
//!
//! Many threads that queue on the GIL make it slow and unfair: each waits with a timeout and forces the holder to switch.
//! A newcomer first takes this fair lock, keeps it until it has the GIL and then lets the next one try. A thread that
//! comes back from a wait does not use it, so requests in progress go first. Not for interpreters with a GIL of their own
//! and not in free-threaded builds, where nobody queues.

use std::sync::OnceLock;

use parking_lot::{Mutex, MutexGuard};

static GATE: Mutex<()> = Mutex::new(());
static IS_OPEN: OnceLock<bool> = OnceLock::new();

/// Holds the gate until dropped.
pub(super) struct Passage(Option<MutexGuard<'static, ()>>);

/// Waits at the gate, without the GIL.
pub(super) fn wait() -> Passage {
    // `MOD_WSGI_GATE=off` is for measuring what it is good for.
    let is_open = *IS_OPEN.get_or_init(|| {
        cfg!(Py_GIL_DISABLED) || std::env::var_os("MOD_WSGI_GATE").is_some_and(|value| value == "off")
    });
    Passage((!is_open).then(|| GATE.lock()))
}

impl Drop for Passage {
    fn drop(&mut self) {
        if let Some(guard) = self.0.take() {
            MutexGuard::unlock_fair(guard);
        }
    }
}
