//! The gate: of all threads that bring a new request, one at a time contends for the GIL.
//!
//! Many threads that queue on the GIL make it slow and unfair: each waits with a timeout and forces the holder to switch.
//! A newcomer first takes this lock, keeps it until it has the GIL and then lets the next one try. A thread that comes
//! back from a wait does not use it, so requests in progress go first. Not for interpreters with a GIL of their own and not
//! in free-threaded builds, where nobody queues.

use std::sync::OnceLock;

use parking_lot::{Mutex, MutexGuard};

static GATE: Mutex<()> = Mutex::new(());

/// How the gate works; `MOD_WSGI_GATE` is for measuring what it is good for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// Whoever comes contends for the GIL.
    Off,
    /// The next one in the queue gets it (`fair`).
    Fair,
    /// As parking_lot has it: usually whoever is awake, the next one in the queue after half a millisecond.
    Eventual,
}

fn mode() -> Mode {
    static MODE: OnceLock<Mode> = OnceLock::new();
    *MODE.get_or_init(|| match std::env::var("MOD_WSGI_GATE").as_deref() {
        _ if cfg!(Py_GIL_DISABLED) => Mode::Off,
        Ok("off") => Mode::Off,
        Ok("fair") => Mode::Fair,
        _ => Mode::Eventual,
    })
}

/// Holds the gate until dropped.
pub(super) struct Passage(Option<MutexGuard<'static, ()>>);

/// Waits at the gate, without the GIL.
pub(super) fn wait() -> Passage {
    Passage((mode() != Mode::Off).then(|| GATE.lock()))
}

impl Drop for Passage {
    fn drop(&mut self) {
        if let Some(guard) = self.0.take() {
            if mode() == Mode::Fair {
                MutexGuard::unlock_fair(guard);
            }
        }
    }
}
