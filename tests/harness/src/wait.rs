//! Waiting for conditions. A time here is a bound after which a test gives up, never something that is measured.

use std::thread;
use std::time::{Duration, Instant};

/// How long a condition may take before the test gives up: generous, because the machine may be busy.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Waits until `condition` yields a value, and returns it.
///
/// # Panics
/// After [`PATIENCE`], saying what was waited for.
pub fn wait_until<T>(what: &str, condition: impl FnMut() -> Option<T>) -> T {
    wait_within(PATIENCE, condition).unwrap_or_else(|| panic!("gave up waiting for {what}"))
}

/// As [`wait_until`] with a bound of its own; `None` when that is over.
pub fn wait_within<T>(bound: Duration, mut condition: impl FnMut() -> Option<T>) -> Option<T> {
    let end = Instant::now() + bound;
    loop {
        if let Some(value) = condition() {
            return Some(value);
        }
        if Instant::now() >= end {
            return None;
        }
        // The pause between two looks at a condition; nothing depends on its length.
        thread::sleep(Duration::from_millis(10));
    }
}
