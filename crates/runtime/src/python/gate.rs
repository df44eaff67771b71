//! The gate: of all threads that bring a new request, two at a time contend for the GIL, in a daemon one.
//!
//! Many threads that queue on the GIL make it slow and unfair: each waits with a timeout and forces the holder to switch, and
//! whoever is awake takes it first. A newcomer waits here in the order of arrival for a place among the contenders, and gives
//! the place on when it has the GIL. A thread that comes back from a wait does not use the gate, so requests in progress go
//! first. Not for interpreters with a GIL of their own and not in free-threaded builds, where nobody queues.
//!
//! Two places and not one: the contender that was woken up may have to wait for a processor, and the free GIL is not to wait
//! with it. In a daemon the threads that have finished take the next request themselves, without being woken up (its lookout), and
//! would overtake one that waits for the GIL beside them. Figures are in `docs/benchmarks.md`.

use std::sync::OnceLock;

use wsgi_core::gate::{Gate, Passage};

/// Contenders in a child of Apache, where `MOD_WSGI_GATE` does not give another number (0: no gate), which is for measuring.
const IN_CHILD: usize = 2;
/// Contenders in a daemon.
const IN_DAEMON: usize = 1;

static GATE: OnceLock<Gate> = OnceLock::new();

/// Waits at the gate, without the GIL. The place is held until the value is dropped.
pub(super) fn wait(in_daemon: bool) -> Option<Passage<'static>> {
    let gate = GATE.get_or_init(|| {
        let places = std::env::var("MOD_WSGI_GATE").ok();
        let usual = if in_daemon { IN_DAEMON } else { IN_CHILD };
        Gate::new(places.and_then(|text| text.parse().ok()).unwrap_or(usual))
    });
    (!cfg!(Py_GIL_DISABLED) && gate.places() > 0).then(|| gate.wait())
}
