//! `mod_wsgi.start_recording_metrics()`, `request_metrics()` and `process_metrics()` (MET-01 to MET-49), and what telemetry sends of
//! the same. What is counted, and how, is `wsgi_core::metrics`; here are clocks, the one recorder of the process and the dicts.
//!
//! Requests are counted by the thread that runs them, before and after, without the GIL.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;
use parking_lot::Mutex;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};
use wsgi_core::metrics::{Finished, Interval, PHASE_NAMES, Recorder, Thread, seconds};
use wsgi_runtime_api::Outcome;
use wsgi_runtime_api::engine::Request;

use super::exchange::Exchange;
use super::process;
use super::telemetry::slow::{self, Ended, Running};

static RECORDER: Mutex<Recorder> = Mutex::new(Recorder::new());

/// When the process was ready, by both clocks.
static READY: OnceLock<(Instant, SystemTime)> = OnceLock::new();

/// CPU time of the process when the interval began, microseconds.
static CPU_BEFORE: Mutex<(u64, u64)> = Mutex::new((0, 0));

/// The process is ready, or its first request has come.
pub(crate) fn ready() -> (Instant, SystemTime) {
    *READY.get_or_init(|| (Instant::now(), SystemTime::now()))
}

/// Microseconds since then.
fn now() -> u64 {
    u64::try_from(ready().0.elapsed().as_micros()).unwrap_or(u64::MAX)
}

/// Now, in seconds since the epoch.
pub(crate) fn epoch_now() -> f64 {
    epoch(SystemTime::now())
}

fn epoch(time: SystemTime) -> f64 {
    time.duration_since(UNIX_EPOCH)
        .map_or(0.0, |since| since.as_secs_f64())
}

/// A request while it runs.
pub(crate) struct Counted {
    thread: u32,
    begun: u64,
    /// CPU time of the thread, if it is recorded.
    cpu: Option<(u64, u64)>,
    /// Where slow requests are reported.
    running: Option<Arc<Running>>,
    has_ended: bool,
}

/// Counts a request of this thread.
pub(crate) fn begin(request: &Request<'_>, exchange: &Arc<Exchange>) -> Counted {
    let thread = request.thread_id();
    let mut recorder = RECORDER.lock();
    // With the lock: times come in order.
    let begun = now();
    recorder.begin(thread, begun);
    let is_recorded = recorder.is_started();
    let active = recorder.in_flight();
    drop(recorder);
    let cpu = is_recorded.then(|| cpu(UsageWho::RUSAGE_THREAD));
    let running = slow::begin(request, exchange, active);
    Counted {
        thread,
        begun,
        cpu,
        running,
        has_ended: false,
    }
}

impl Counted {
    /// It has ended.
    pub(crate) fn end(mut self, request: &Request<'_>, exchange: &Exchange, outcome: Outcome) {
        self.has_ended = true;
        let used = self.cpu.map_or((0, 0), |before| {
            let after = cpu(UsageWho::RUSAGE_THREAD);
            let used = |before: u64, after: u64| after.saturating_sub(before);
            (used(before.0, after.0), used(before.1, after.1))
        });
        let finished = finished(request, exchange, outcome);
        let mut recorder = RECORDER.lock();
        let active = recorder.in_flight();
        recorder.end(self.thread, self.begun, now(), used.0 + used.1, finished);
        drop(recorder);
        if let Some(running) = &self.running {
            let has_run = exchange.counters.application_start().is_some();
            let ended = Ended {
                status: if has_run {
                    status(exchange, outcome)
                } else {
                    0
                },
                cpu: used,
                active,
            };
            slow::end(running, &ended);
        }
    }
}

impl Drop for Counted {
    /// A mistake of ours has unwound: nothing is known of it but that it is over.
    fn drop(&mut self) {
        if self.has_ended {
            return;
        }
        RECORDER.lock().end(self.thread, self.begun, now(), 0, None);
        if let Some(running) = &self.running {
            slow::forget(running);
        }
    }
}

/// What the client was told, as far as the application decided it.
fn status(exchange: &Exchange, outcome: Outcome) -> u16 {
    match outcome {
        Outcome::TimedOut => 504,
        _ => exchange.status().unwrap_or(500),
    }
}

/// When a request was where, before its application ran: seconds since the epoch.
#[derive(Clone, Copy)]
pub(super) struct Stations {
    /// Apache's time of it.
    request: f64,
    /// In a daemon: before the first connect, and of the pick-up.
    in_daemon: Option<(f64, f64)>,
}

impl Stations {
    pub(super) fn of(request: &Request<'_>) -> Stations {
        let in_daemon = request.is_in_daemon();
        Stations {
            request: request.request_start(),
            in_daemon: in_daemon.then(|| (request.queue_start(), request.daemon_start())),
        }
    }

    /// Server time, queue time and daemon time where the application began at `start`, seconds (MET-24, MET-25).
    pub(super) fn phases(&self, start: f64) -> (f64, Option<(f64, f64)>) {
        let span = |from: f64, to: f64| (to - from).max(0.0);
        match self.in_daemon {
            Some((queue, daemon)) => {
                let behind = (span(queue, daemon), span(daemon, start));
                (span(self.request, queue), Some(behind))
            }
            None => (span(self.request, start), None),
        }
    }
}

/// None if no application ran.
fn finished(request: &Request<'_>, exchange: &Exchange, outcome: Outcome) -> Option<Finished> {
    let counters = &exchange.counters;
    let start = counters.application_start()?;
    let application = counters.application_time()?;
    let application = u64::try_from(application.as_micros()).unwrap_or(u64::MAX);
    let (server, behind) = Stations::of(request).phases(start);
    let server = to_micros(server);
    let (queue, daemon) = behind
        .map(|(queue, daemon)| (to_micros(queue), to_micros(daemon)))
        .unzip();
    let whole = server + queue.unwrap_or(0) + daemon.unwrap_or(0) + application;
    Some(Finished {
        status: status(exchange, outcome),
        phases: [
            Some(server),
            queue,
            daemon,
            Some(application),
            Some(whole),
            Some(to_micros(counters.gil_wait_time())),
            Some(to_micros(counters.input_time())),
            Some(to_micros(counters.output_time())),
        ],
        gil_waits: counters.gil_wait_count(),
        input: counters.input(),
        output: counters.output(),
    })
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // a time that is not negative
fn to_micros(seconds: f64) -> u64 {
    (seconds * 1e6).round() as u64
}

/// CPU time in user and system mode, microseconds.
fn cpu(of: UsageWho) -> (u64, u64) {
    let micros = |time: nix::sys::time::TimeVal| u64::try_from(time.num_microseconds());
    // It fails for no process of its own.
    getrusage(of).map_or((0, 0), |usage| {
        let user = micros(usage.user_time()).unwrap_or(0);
        (user, micros(usage.system_time()).unwrap_or(0))
    })
}

/// Not where the server's telemetry has them (MET-02), nor in a process that the application forked: the recorder may be
/// locked there by a thread that it does not have.
fn is_for_applications() -> bool {
    process::settings().telemetry.is_none() && process::is_the_original()
}

/// Whether there is something to give (MET-02).
fn is_on() -> bool {
    is_for_applications() && RECORDER.lock().is_started()
}

/// Starts recording for `request_metrics()` and `process_metrics()`, in the whole process.
#[pyfunction]
pub(super) fn start_recording_metrics() {
    if is_for_applications() {
        start();
    }
}

/// Starts recording, for whomever.
pub(super) fn start() {
    let mut recorder = RECORDER.lock();
    if !recorder.is_started() {
        *CPU_BEFORE.lock() = cpu(UsageWho::RUSAGE_SELF);
        recorder.start(now());
    }
}

/// What an interval had.
pub(super) struct Drained {
    pub(super) interval: Interval,
    /// Its length, seconds; more than 0.
    pub(super) period: f64,
    /// CPU time of the process in user and system mode, seconds a second.
    pub(super) cpu: (f64, f64),
}

/// How long whoever ends a process waits for another thread of it.
pub(super) const PATIENCE: Duration = Duration::from_millis(100);

/// Ends an interval and begins the next one; None before [`start`], or if another thread keeps the recorder.
pub(super) fn drain() -> Option<Drained> {
    let interval = RECORDER.try_lock_for(PATIENCE)?.drain(now())?;
    let period = seconds((interval.stop - interval.start).max(1));
    let after = cpu(UsageWho::RUSAGE_SELF);
    let before = std::mem::replace(&mut *CPU_BEFORE.lock(), after);
    let share = |before: u64, after: u64| seconds(after.saturating_sub(before)) / period;
    Some(Drained {
        cpu: (share(before.0, after.0), share(before.1, after.1)),
        interval,
        period,
    })
}

/// Requests of the process since its start.
#[derive(Default)]
pub(super) struct Totals {
    pub(super) ended: u64,
    /// In flight.
    pub(super) active: u32,
}

/// As far as it can be known without waiting for long.
pub(super) fn totals() -> Totals {
    let recorder = RECORDER.try_lock_for(PATIENCE);
    recorder.map_or_else(Totals::default, |mut recorder| {
        let (ended, active, _) = recorder.totals(now());
        Totals { ended, active }
    })
}

/// What the requests took since the last call, by anyone in this process. None before `start_recording_metrics()`.
#[pyfunction]
pub(super) fn request_metrics(py: Python<'_>) -> PyResult<Option<Bound<'_, PyDict>>> {
    if !is_on() {
        return Ok(None);
    }
    drain()
        .map(|drained| request_dict(py, &drained))
        .transpose()
}

fn request_dict<'py>(py: Python<'py>, drained: &Drained) -> PyResult<Bound<'py, PyDict>> {
    let Drained {
        interval,
        period,
        cpu: (user, system),
    } = drained;
    let ready = epoch(ready().1);
    let maximum = process::settings().facts.threads_per_process.max(1);
    let dict = PyDict::new(py);
    dict.set_item("pid", std::process::id())?;
    dict.set_item("start_time", ready + seconds(interval.start))?;
    dict.set_item("stop_time", ready + seconds(interval.stop))?;
    dict.set_item("sample_period", period)?;
    dict.set_item("request_count", interval.requests)?;
    #[allow(clippy::cast_precision_loss)] // a count of requests
    dict.set_item("request_throughput", interval.requests as f64 / period)?;
    add_threads(&dict, interval, maximum)?;
    let used = interval.utilization(*period, maximum);
    dict.set_item("capacity_utilization", used)?;
    for (name, times) in PHASE_NAMES.iter().zip(&interval.phases) {
        let is_missing = times.count == 0 && matches!(*name, "queue_time" | "daemon_time");
        let in_daemon = !process::settings().process_group.is_empty();
        let mean = (!is_missing || in_daemon).then(|| times.mean());
        dict.set_item(name, mean)?;
        dict.set_item(
            format!("{name}_min_us"),
            times.bounds.map(|bounds| bounds.0),
        )?;
        dict.set_item(
            format!("{name}_max_us"),
            times.bounds.map(|bounds| bounds.1),
        )?;
        dict.set_item(format!("{name}_buckets"), PyList::new(py, times.buckets)?)?;
    }
    dict.set_item("gil_wait_count", interval.gil_waits)?;
    dict.set_item("input_bytes", interval.input.0)?;
    dict.set_item("input_reads", interval.input.1)?;
    dict.set_item("output_bytes", interval.output.0)?;
    dict.set_item("output_writes", interval.output.1)?;
    for (class, count) in (1..).zip(interval.statuses) {
        dict.set_item(format!("status_{class}xx"), count)?;
    }
    for suffix in ["time", "utilization"] {
        dict.set_item(format!("cpu_user_{suffix}"), user)?;
        dict.set_item(format!("cpu_system_{suffix}"), system)?;
        dict.set_item(format!("cpu_{suffix}"), user + system)?;
    }
    add_memory(&dict)?;
    Ok(dict)
}

/// MET-15 to MET-23.
fn add_threads(dict: &Bound<'_, PyDict>, interval: &Interval, maximum: u32) -> PyResult<()> {
    let idle = Thread::default();
    let threads = &interval.threads;
    let slots: Vec<&Thread> = (0..maximum as usize)
        .map(|index| threads.get(index).unwrap_or(&idle))
        .collect();
    let times = |time: fn(&Thread, u64) -> u64| -> Vec<f64> {
        let times = slots.iter().map(|thread| time(thread, interval.stop));
        times.map(seconds).collect()
    };
    let completed: Vec<u64> = slots.iter().map(|thread| thread.completed).collect();
    dict.set_item("request_threads_maximum", maximum)?;
    dict.set_item("request_threads_started", interval.threads_started())?;
    dict.set_item("request_threads_active", interval.threads_active())?;
    dict.set_item("request_threads_completed", &completed)?;
    dict.set_item("request_threads_buckets", &completed)?;
    dict.set_item("request_threads_busy_time", times(|thread, _| thread.busy))?;
    dict.set_item("request_threads_cpu_time", times(|thread, _| thread.cpu))?;
    dict.set_item("request_threads_current_elapsed", times(Thread::elapsed))?;
    dict.set_item(
        "request_threads_max_duration",
        times(|thread, _| thread.longest),
    )
}

/// What this process has done since its start. None before `start_recording_metrics()`.
#[pyfunction]
pub(super) fn process_metrics(py: Python<'_>) -> PyResult<Option<Bound<'_, PyDict>>> {
    if !is_on() {
        return Ok(None);
    }
    let mut recorder = RECORDER.lock();
    let time = now();
    let (ended, in_flight, busy) = recorder.totals(time);
    let threads = recorder.threads();
    drop(recorder);
    let (user, system) = cpu(UsageWho::RUSAGE_SELF);
    let rows = PyList::empty(py);
    for (number, begun) in &threads {
        let row = PyDict::new(py);
        row.set_item("thread_id", number)?;
        row.set_item("request_count", begun)?;
        rows.append(row)?;
    }
    let ready = epoch(ready().1);
    let dict = PyDict::new(py);
    dict.set_item("pid", std::process::id())?;
    dict.set_item("request_count", ended)?;
    dict.set_item("request_busy_time", seconds(busy))?;
    dict.set_item("active_requests", in_flight)?;
    dict.set_item("request_threads", threads.len())?;
    dict.set_item("threads", rows)?;
    dict.set_item("cpu_user_time", seconds(user))?;
    dict.set_item("cpu_system_time", seconds(system))?;
    dict.set_item("cpu_time", seconds(user + system))?;
    add_memory(&dict)?;
    dict.set_item("restart_time", ready)?;
    dict.set_item("current_time", ready + seconds(time))?;
    dict.set_item("running_time", time / 1_000_000)?;
    Ok(Some(dict))
}

/// MET-35: bytes in memory now (0 where the system does not tell), and at most so far.
pub(super) fn memory() -> (u64, u64) {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = statm.split_whitespace().nth(1);
    let pages: u64 = pages.and_then(|pages| pages.parse().ok()).unwrap_or(0);
    let page = nix::unistd::sysconf(nix::unistd::SysconfVar::PAGE_SIZE);
    let page = page
        .ok()
        .flatten()
        .and_then(|page| u64::try_from(page).ok());
    let most = getrusage(UsageWho::RUSAGE_SELF).map_or(0, |usage| usage.max_rss());
    let most = u64::try_from(most).unwrap_or(0);
    (pages * page.unwrap_or(4096), most * 1024)
}

fn add_memory(dict: &Bound<'_, PyDict>) -> PyResult<()> {
    let (now, most) = memory();
    dict.set_item("memory_rss", now)?;
    dict.set_item("memory_max_rss", most)
}
