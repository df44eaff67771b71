//! What the requests of a process take, for `mod_wsgi.request_metrics()` and `process_metrics()` (MET-01 to MET-45).
//!
//! Pure: times come in as microseconds of a clock that never goes back. Counting goes on from the start of the process; the
//! figures of an interval only from [`Recorder::start`] on.

/// How many parts of a request are timed.
pub const PHASES: usize = 8;

/// Buckets of a distribution (MET-31).
pub const BUCKETS: usize = 65;

/// Parts of a request, by their place in [`Finished::phases`] and [`Interval::phases`].
pub const PHASE_NAMES: [&str; PHASES] = [
    "server_time",
    "queue_time",
    "daemon_time",
    "application_time",
    "request_time",
    "gil_wait_time",
    "input_read_time",
    "output_write_time",
];

/// A request that has ended and whose application ran. Times in microseconds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Finished {
    /// Status that the application gave.
    pub status: u16,
    /// Times in the order of [`PHASE_NAMES`]; None for what there is not (queue and daemon, embedded).
    pub phases: [Option<u64>; PHASES],
    /// Acquisitions of the GIL.
    pub gil_waits: u64,
    /// Bytes and reads of the body.
    pub input: (u64, u64),
    /// Bytes and blocks of the answer.
    pub output: (u64, u64),
}

/// Durations of one phase in an interval.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Distribution {
    /// How many.
    pub count: u64,
    /// Their sum, microseconds.
    pub sum: u64,
    /// The shortest and the longest, microseconds; None if there is none.
    pub bounds: Option<(u64, u64)>,
    /// How many of which size (MET-31).
    pub buckets: [u64; BUCKETS],
}

impl Default for Distribution {
    fn default() -> Distribution {
        Distribution {
            count: 0,
            sum: 0,
            bounds: None,
            buckets: [0; BUCKETS],
        }
    }
}

impl Distribution {
    fn add(&mut self, micros: u64) {
        self.count += 1;
        self.sum = self.sum.saturating_add(micros);
        let (least, most) = self.bounds.unwrap_or((micros, micros));
        self.bounds = Some((least.min(micros), most.max(micros)));
        self.buckets[bucket(micros)] += 1;
    }

    /// Mean, seconds; 0 if there is none.
    #[allow(clippy::cast_precision_loss)] // a float holds microseconds of centuries
    pub fn mean(&self) -> f64 {
        if self.count == 0 {
            0.0
        } else {
            self.sum as f64 / self.count as f64 / 1e6
        }
    }
}

/// Microseconds as seconds.
#[allow(clippy::cast_precision_loss)] // a float holds microseconds of centuries
pub fn seconds(micros: u64) -> f64 {
    micros as f64 / 1e6
}

/// MET-31: four buckets for each power of two of milliseconds; the first has what is below 1 ms as well.
fn bucket(micros: u64) -> usize {
    let millis = micros / 1000;
    if millis == 0 {
        return 0;
    }
    let octave = millis.ilog2();
    if octave > 15 {
        return BUCKETS - 1;
    }
    let base = 1000_u64 << octave;
    let quarter = (micros - base) * 4 / base;
    octave as usize * 4 + usize::try_from(quarter).expect("below 4")
}

/// What a thread has done in an interval, and since the start of the process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Thread {
    /// Requests begun since the start of the process (MET-45).
    pub begun: u64,
    /// Requests finished in the interval.
    pub completed: u64,
    /// Time with a request in the interval, microseconds.
    pub busy: u64,
    /// CPU time of the requests that were finished in the interval, microseconds.
    pub cpu: u64,
    /// The longest of them, microseconds.
    pub longest: u64,
    /// Since when it has a request; and how many, one inside the other.
    running: Option<(u64, u32)>,
    /// Until when `busy` was counted.
    counted: u64,
}

impl Thread {
    fn count_until(&mut self, now: u64) {
        if self.running.is_some() {
            self.busy += now.saturating_sub(self.counted);
        }
        self.counted = now;
    }

    /// Age of its request, microseconds; 0 without one.
    pub fn elapsed(&self, now: u64) -> u64 {
        self.running
            .map_or(0, |(since, _)| now.saturating_sub(since))
    }

    /// Whether it has finished a request in the interval, or has one (MET-17).
    pub fn is_active(&self) -> bool {
        self.completed > 0 || self.running.is_some()
    }
}

/// Figures of an interval.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Interval {
    /// When it began.
    pub start: u64,
    /// When it ended.
    pub stop: u64,
    /// Requests that ended.
    pub requests: u64,
    /// Integral of the requests in flight, microseconds.
    pub busy: u64,
    /// By thread, of which there may be more than the host has slots.
    pub threads: Vec<Thread>,
    /// In the order of [`PHASE_NAMES`].
    pub phases: [Distribution; PHASES],
    /// Requests by class of their status, from 1xx.
    pub statuses: [u64; 5],
    /// Sums of [`Finished::gil_waits`].
    pub gil_waits: u64,
    /// Sums of [`Finished::input`].
    pub input: (u64, u64),
    /// Sums of [`Finished::output`].
    pub output: (u64, u64),
}

impl Interval {
    /// Threads that have had a request since the start of the process (MET-16).
    pub fn threads_started(&self) -> usize {
        let started = self.threads.iter().filter(|thread| thread.begun > 0);
        started.count()
    }

    /// Threads that have finished a request in the interval, or have one (MET-17).
    pub fn threads_active(&self) -> usize {
        let active = self.threads.iter().filter(|thread| thread.is_active());
        active.count()
    }

    /// Share that was in use of `maximum` threads over `period` seconds, 0 to 1 (MET-18).
    pub fn utilization(&self, period: f64, maximum: u32) -> f64 {
        let available = period * f64::from(maximum);
        if available > 0.0 {
            (seconds(self.busy) / available).min(1.0)
        } else {
            0.0
        }
    }
}

/// Counts the requests of a process.
#[derive(Debug, Default)]
pub struct Recorder {
    threads: Vec<Thread>,
    in_flight: u32,
    ended: u64,
    busy: u64,
    counted: u64,
    /// None before [`Recorder::start`]. Its threads are kept above.
    interval: Option<Interval>,
}

impl Recorder {
    /// Nothing yet.
    pub const fn new() -> Recorder {
        Recorder {
            threads: Vec::new(),
            in_flight: 0,
            ended: 0,
            busy: 0,
            counted: 0,
            interval: None,
        }
    }

    /// Begins the first interval; without effect if there is one (MET-01).
    pub fn start(&mut self, now: u64) {
        if self.interval.is_none() {
            self.begin_interval(now);
        }
    }

    /// Whether there is an interval.
    pub fn is_started(&self) -> bool {
        self.interval.is_some()
    }

    fn begin_interval(&mut self, now: u64) {
        for thread in &mut self.threads {
            *thread = Thread {
                begun: thread.begun,
                running: thread.running,
                counted: now,
                ..Thread::default()
            };
        }
        self.interval = Some(Interval {
            start: now,
            ..Interval::default()
        });
    }

    fn count_until(&mut self, now: u64) {
        let busy = now.saturating_sub(self.counted) * u64::from(self.in_flight);
        self.busy += busy;
        if let Some(interval) = &mut self.interval {
            let since = self.counted.max(interval.start);
            interval.busy += now.saturating_sub(since) * u64::from(self.in_flight);
        }
        self.counted = now;
    }

    /// Thread number `thread`, from 1, has a request.
    pub fn begin(&mut self, thread: u32, now: u64) {
        self.count_until(now);
        self.in_flight += 1;
        let index = thread.saturating_sub(1) as usize;
        if self.threads.len() <= index {
            self.threads.resize_with(index + 1, Thread::default);
        }
        let thread = &mut self.threads[index];
        thread.count_until(now);
        thread.begun += 1;
        thread.running = match thread.running {
            Some((since, depth)) => Some((since, depth + 1)),
            None => Some((now, 1)),
        };
    }

    /// Its request, which began at `begun` and took `cpu` microseconds of CPU time, has ended. `finished` is None if no
    /// application ran.
    pub fn end(&mut self, thread: u32, begun: u64, now: u64, cpu: u64, finished: Option<Finished>) {
        self.count_until(now);
        self.in_flight = self.in_flight.saturating_sub(1);
        self.ended += 1;
        if let Some(thread) = self.threads.get_mut(thread.saturating_sub(1) as usize) {
            thread.count_until(now);
            thread.running = match thread.running {
                Some((since, depth)) if depth > 1 => Some((since, depth - 1)),
                _ => None,
            };
            thread.completed += 1;
            thread.cpu += cpu;
            thread.longest = thread.longest.max(now.saturating_sub(begun));
        }
        let Some(interval) = &mut self.interval else {
            return;
        };
        interval.requests += 1;
        let Some(finished) = finished else { return };
        for (sum, time) in interval.phases.iter_mut().zip(finished.phases) {
            time.into_iter().for_each(|time| sum.add(time));
        }
        if let Some(count) = usize::from(finished.status / 100)
            .checked_sub(1)
            .and_then(|class| interval.statuses.get_mut(class))
        {
            *count += 1;
        }
        interval.gil_waits += finished.gil_waits;
        interval.input.0 += finished.input.0;
        interval.input.1 += finished.input.1;
        interval.output.0 += finished.output.0;
        interval.output.1 += finished.output.1;
    }

    /// Ends the interval and begins the next one (MET-03); None before [`Recorder::start`].
    pub fn drain(&mut self, now: u64) -> Option<Interval> {
        self.count_until(now);
        let mut interval = self.interval.take()?;
        for thread in &mut self.threads {
            thread.count_until(now);
        }
        interval.stop = now;
        interval.threads.clone_from(&self.threads);
        self.begin_interval(now);
        Some(interval)
    }

    /// Requests that have ended, those in flight, and the integral of these in microseconds (MET-41 to MET-43).
    pub fn totals(&mut self, now: u64) -> (u64, u32, u64) {
        self.count_until(now);
        (self.ended, self.in_flight, self.busy)
    }

    /// Requests in flight now.
    pub fn in_flight(&self) -> u32 {
        self.in_flight
    }

    /// Threads that have had requests, by number from 1, and how many (MET-45).
    pub fn threads(&self) -> Vec<(usize, u64)> {
        let numbered = (1..).zip(self.threads.iter().map(|thread| thread.begun));
        numbered.filter(|(_, begun)| *begun > 0).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// MET-31
    #[test]
    fn buckets() {
        for (micros, expected) in [
            (0, 0),
            (999, 0),
            (1000, 0),
            (1249, 0),
            (1250, 1),
            (1999, 3),
            (2000, 4),
            (2500, 5),
            (10_417, 13),
            (12_768, 14),
            (65_535_999, 63),
            (65_536_000, 64),
            (u64::MAX, 64),
        ] {
            assert_eq!(bucket(micros), expected, "{micros}");
        }
    }

    fn finished(status: u16, application: u64) -> Option<Finished> {
        let mut phases = [None; PHASES];
        phases[3] = Some(application);
        Some(Finished {
            status,
            phases,
            gil_waits: 2,
            input: (10, 1),
            output: (20, 2),
        })
    }

    /// MET-03, MET-13, MET-17 to MET-23, MET-33, MET-41 to MET-45: an interval has its share of what is running, totals go on.
    #[test]
    fn intervals_and_totals() {
        let mut recorder = Recorder::default();
        recorder.begin(1, 100);
        assert_eq!(recorder.drain(150), None);
        recorder.start(200);
        recorder.start(250);
        recorder.begin(2, 300);
        recorder.end(2, 300, 400, 7, finished(200, 90));
        recorder.begin(2, 400);
        recorder.end(2, 400, 410, 1, None);
        let first = recorder.drain(500).expect("an interval");
        assert_eq!((first.start, first.stop, first.requests), (200, 500, 2));
        assert_eq!(first.busy, 300 + 110);
        assert_eq!(first.statuses, [0, 1, 0, 0, 0]);
        assert_eq!(
            (first.gil_waits, first.input, first.output),
            (2, (10, 1), (20, 2))
        );
        assert_eq!(first.phases[3].bounds, Some((90, 90)));
        assert_eq!(first.phases[0].bounds, None);
        let [one, two] = &first.threads[..] else {
            panic!("{first:?}")
        };
        assert_eq!((one.busy, one.completed, one.elapsed(500)), (300, 0, 400));
        assert_eq!(
            (two.busy, two.completed, two.cpu, two.longest),
            (110, 2, 8, 100)
        );
        assert!(one.is_active() && two.is_active());
        assert_eq!((first.threads_started(), first.threads_active()), (2, 2));
        assert_eq!(first.utilization(410e-6, 4), 0.25);
        assert_eq!(first.utilization(1e-6, 4), 1.0);
        assert_eq!(first.utilization(410e-6, 0), 0.0);
        recorder.end(1, 100, 600, 3, finished(999, 5));
        let second = recorder.drain(600).expect("an interval");
        assert_eq!((second.start, second.requests, second.busy), (500, 1, 100));
        assert_eq!(second.statuses, [0; 5]);
        assert_eq!(
            (second.threads[0].busy, second.threads[0].longest),
            (100, 500)
        );
        assert!(!second.threads[1].is_active());
        assert_eq!((second.threads_started(), second.threads_active()), (2, 1));
        assert_eq!(recorder.totals(700), (3, 0, 500 + 110));
        assert_eq!(recorder.threads(), [(1, 1), (2, 2)]);
    }

    /// A request inside of another one on the same thread leaves it busy.
    #[test]
    fn nested_requests() {
        let mut recorder = Recorder::default();
        recorder.start(0);
        recorder.begin(1, 10);
        recorder.begin(1, 20);
        recorder.end(1, 20, 30, 0, None);
        assert_eq!(
            recorder.drain(40).expect("an interval").threads[0].elapsed(40),
            30
        );
        recorder.end(1, 10, 50, 0, None);
        let last = recorder.drain(60).expect("an interval");
        assert_eq!((last.threads[0].busy, last.threads[0].elapsed(60)), (10, 0));
    }
}
