//! What a request did, counted for the event `request_finished`, for metrics and telemetry. Written and read without locks.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// What the request did, for `request_finished` (API-320).
#[derive(Default)]
pub(crate) struct Counters {
    /// Reads of the body.
    pub(crate) input_reads: AtomicU64,
    /// Bytes that they gave.
    pub(crate) input_length: AtomicU64,
    /// Time that they took.
    pub(super) input_nanoseconds: AtomicU64,
    /// Blocks of the application.
    pub(crate) output_writes: AtomicU64,
    /// Bytes in them.
    pub(crate) output_length: AtomicU64,
    /// Time that sending them took.
    pub(super) output_nanoseconds: AtomicU64,
    /// Time that was spent waiting for the GIL.
    pub(super) gil_nanoseconds: AtomicU64,
    /// How often.
    pub(crate) gil_waits: AtomicU64,
    /// When the application was called, seconds since the epoch.
    application_start: OnceLock<f64>,
    /// How long it took until after `close`.
    application_time: OnceLock<Duration>,
}

impl Counters {
    /// Adds a time.
    pub(super) fn add(counter: &AtomicU64, time: Duration) {
        counter.fetch_add(
            u64::try_from(time.as_nanos()).unwrap_or(u64::MAX),
            Ordering::Relaxed,
        );
    }

    fn seconds(counter: &AtomicU64) -> f64 {
        Duration::from_nanos(counter.load(Ordering::Relaxed)).as_secs_f64()
    }

    /// Time in reads of the body, seconds.
    pub(crate) fn input_time(&self) -> f64 {
        Counters::seconds(&self.input_nanoseconds)
    }

    /// Time in sends, seconds.
    pub(crate) fn output_time(&self) -> f64 {
        Counters::seconds(&self.output_nanoseconds)
    }

    /// Time that the request waited for the GIL, seconds.
    pub(crate) fn gil_wait_time(&self) -> f64 {
        Counters::seconds(&self.gil_nanoseconds)
    }

    /// How often it waited.
    pub(crate) fn gil_wait_count(&self) -> u64 {
        self.gil_waits.load(Ordering::Relaxed)
    }

    /// Bytes and reads of the body.
    pub(crate) fn input(&self) -> (u64, u64) {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        (load(&self.input_length), load(&self.input_reads))
    }

    /// Bytes and blocks of the answer.
    pub(crate) fn output(&self) -> (u64, u64) {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        (load(&self.output_length), load(&self.output_writes))
    }

    /// The application is called, at `start` (seconds since the epoch).
    pub(crate) fn application_starts(&self, start: f64) {
        // Once in a request.
        let _ = self.application_start.set(start);
    }

    /// It has run for so long.
    pub(crate) fn application_ran(&self, time: Duration) {
        let _ = self.application_time.set(time);
    }

    /// When it was called, seconds since the epoch; None before.
    pub(crate) fn application_start(&self) -> Option<f64> {
        self.application_start.get().copied()
    }

    /// How long it has run; None before it has.
    pub(crate) fn application_time(&self) -> Option<Duration> {
        self.application_time.get().copied()
    }

    /// Adds a wait for the GIL.
    pub(crate) fn waited_for_gil(&self, time: Duration) {
        Counters::add(&self.gil_nanoseconds, time);
        self.gil_waits.fetch_add(1, Ordering::Relaxed);
    }
}
