//! Clocks in microseconds. Any thread; no system call on Linux (vDSO).

use std::sync::OnceLock;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Microseconds since the epoch; 0 for a clock that stands before it.
pub fn wall_micros() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| {
            i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
        })
}

/// Microseconds of the monotonic clock since the first call in this process, plus 1, so that 0 can mean "never".
pub fn monotonic_micros() -> u64 {
    static ORIGIN: OnceLock<Instant> = OnceLock::new();
    let since = ORIGIN.get_or_init(Instant::now).elapsed();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX - 1) + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_go_forward() {
        let first = monotonic_micros();
        assert!(first > 0);
        assert!(monotonic_micros() >= first);
        assert!(wall_micros() > 1_700_000_000_000_000);
    }
}
