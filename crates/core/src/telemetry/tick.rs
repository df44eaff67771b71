//! What requests took in an interval, and what the process used meanwhile: one datagram for each interval, with requests or
//! without (TEL-013, TEL-108 to TEL-110, TEL-120 to TEL-144).

use crate::metrics::{Distribution, Interval, PHASES, Thread, seconds};

use super::datagram::{Datagram, Kind, Stamp};
use super::process::Identity;

/// Most threads that are reported one by one (TEL-143); with more, the datagram would not fit.
const SLOTS: usize = 128;

/// Places of the phases that only a daemon has: queue and daemon (TEL-134).
const OF_DAEMONS: std::ops::Range<usize> = 1..3;

/// An interval. Times in seconds.
#[derive(Clone, Copy, Debug)]
pub struct Sample<'a> {
    /// Its requests.
    pub interval: &'a Interval,
    /// How long it was, by measurement.
    pub period: f64,
    /// How long it was to be (WSGITelemetryService).
    pub telemetry_interval: f64,
    /// WSGISlowRequests; 0 is off.
    pub slow_threshold: f64,
    /// CPU seconds of the process per second, in user and in system mode.
    pub cpu: (f64, f64),
    /// Memory of the process in bytes: now, and at most so far.
    pub memory: (u64, u64),
    /// Request threads that the process may have.
    pub maximum: u32,
    /// Whether the process is a daemon; only those have a queue.
    pub is_daemon: bool,
}

impl Sample<'_> {
    /// As a datagram.
    pub fn encode(&self, identity: &Identity, stamp: Stamp) -> Vec<u8> {
        let mut datagram = Datagram::new(Kind::Request, stamp);
        identity.add_to(&mut datagram);
        datagram.f64(10, self.period);
        datagram.f64(11, self.telemetry_interval);
        datagram.f64(12, self.slow_threshold);
        self.add_rates(&mut datagram);
        self.add_phases(&mut datagram);
        self.add_totals(&mut datagram);
        self.add_threads(&mut datagram);
        datagram.finish()
    }

    /// TEL-120 to TEL-126
    fn add_rates(&self, datagram: &mut Datagram) {
        let interval = self.interval;
        #[allow(clippy::cast_precision_loss)] // a count of requests
        let throughput = interval.requests as f64 / self.period;
        datagram.u64(20, interval.requests);
        datagram.f64(21, throughput);
        datagram.f64(22, interval.utilization(self.period, self.maximum));
        let (user, system) = self.cpu;
        datagram.f64(30, user);
        datagram.f64(31, system);
        datagram.f64(32, user + system);
        datagram.u64(40, self.memory.0);
        datagram.u64(41, self.memory.1);
        datagram.u64(50, u64::from(self.maximum));
        datagram.u64(51, interval.threads_started() as u64);
        datagram.u64(52, interval.threads_active() as u64);
    }

    /// The phases that are told, with their places.
    fn phases(&self) -> impl Iterator<Item = (u16, &Distribution)> {
        const { assert!(PHASES <= 10) }; // ten numbers for each
        let numbered = (0_u16..).zip(&self.interval.phases);
        numbered.filter(|(place, times)| {
            let is_told = self.is_daemon && times.count > 0;
            is_told || !OF_DAEMONS.contains(&usize::from(*place))
        })
    }

    /// TEL-130 to TEL-134
    fn add_phases(&self, datagram: &mut Datagram) {
        for (place, times) in self.phases() {
            datagram.f64(60 + place, times.mean());
            if let Some((least, most)) = times.bounds {
                datagram.f64(70 + place, seconds(least));
                datagram.f64(80 + place, seconds(most));
            }
            datagram.i32s(90 + place, times.buckets.iter().copied());
        }
    }

    /// TEL-140, TEL-144
    fn add_totals(&self, datagram: &mut Datagram) {
        let interval = self.interval;
        datagram.u64(100, interval.input.0);
        datagram.u64(101, interval.input.1);
        datagram.u64(102, interval.output.0);
        datagram.u64(103, interval.output.1);
        for (id, count) in (120..).zip(interval.statuses) {
            datagram.u64(id, count);
        }
    }

    /// TEL-141 to TEL-143: thread by thread, also those that have not had a request yet.
    fn add_threads(&self, datagram: &mut Datagram) {
        let idle = Thread::default();
        let told = (self.maximum as usize).min(SLOTS);
        let threads = |index| self.interval.threads.get(index).unwrap_or(&idle);
        datagram.i32s(110, (0..told).map(|index| threads(index).completed));
        let stop = self.interval.stop;
        let mut add = |id, time: fn(&Thread, u64) -> u64| {
            let times = (0..told).map(|index| seconds(time(threads(index), stop)));
            datagram.f64s(id, times);
        };
        add(111, |thread, _| thread.busy);
        add(112, |thread, _| thread.cpu);
        add(113, Thread::elapsed);
        add(114, |thread, _| thread.longest);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::decoded::{Decoded, Value};
    use super::*;
    use crate::metrics::{BUCKETS, Finished, Recorder};

    const STAMP: Stamp = Stamp {
        pid: 10,
        seq: 2,
        time: 100.0,
    };

    fn sample(interval: &Interval) -> Sample<'_> {
        Sample {
            interval,
            period: 2.0,
            telemetry_interval: 1.5,
            slow_threshold: 0.5,
            cpu: (0.25, 0.125),
            memory: (4096, 8192),
            maximum: 3,
            is_daemon: true,
        }
    }

    fn decoded(sample: &Sample<'_>) -> Decoded {
        Decoded::of(&sample.encode(&Identity::default(), STAMP))
    }

    /// Two seconds with a request of one second, and one that goes on; all phases have times if it is a daemon.
    fn interval(is_daemon: bool) -> Interval {
        let mut recorder = Recorder::new();
        recorder.start(1_000_000);
        recorder.begin(2, 1_000_000);
        let in_daemon = |time| is_daemon.then_some(time);
        let finished = Finished {
            status: 404,
            phases: [
                Some(1000),
                in_daemon(2000),
                in_daemon(3000),
                Some(4_000_000),
                Some(5_000_000),
                Some(6000),
                Some(7000),
                Some(8000),
            ],
            gil_waits: 9,
            input: (10, 11),
            output: (12, 13),
        };
        recorder.end(2, 1_000_000, 2_000_000, 500_000, Some(finished));
        recorder.begin(1, 2_750_000);
        recorder.drain(3_000_000).expect("it was started")
    }

    const RATES: [u16; 14] = [10, 11, 12, 20, 21, 22, 30, 31, 32, 40, 41, 50, 51, 52];
    const AFTER: [u16; 14] = [
        100, 101, 102, 103, 110, 111, 112, 113, 114, 120, 121, 122, 123, 124,
    ];

    fn expected(phases: &[&[u16]]) -> Vec<u16> {
        [&[7], &RATES[..], &phases.concat(), &AFTER].concat()
    }

    /// TEL-108, TEL-109, TEL-110, TEL-120, TEL-121, TEL-122, TEL-123, TEL-124, TEL-125, TEL-126, TEL-130, TEL-131, TEL-132,
    /// TEL-133, TEL-134, TEL-140, TEL-141, TEL-142, TEL-143, TEL-144: of a daemon.
    #[test]
    fn of_a_daemon() {
        let interval = interval(true);
        let decoded = decoded(&sample(&interval));
        assert_eq!((decoded.kind, decoded.stamp), (2, STAMP));
        let phases: Vec<u16> = (60..68).chain(70..78).chain(80..88).chain(90..98).collect();
        assert_eq!(decoded.ids(), expected(&[&phases]));
        let configured = [10, 11, 12].map(|id| decoded.f64(id));
        assert_eq!(configured, [2.0, 1.5, 0.5]);
        let rates = [21, 22, 30, 31, 32].map(|id| decoded.f64(id));
        assert_eq!(rates, [0.5, 1.25 / 6.0, 0.25, 0.125, 0.375]);
        let counts = [20, 40, 41, 50, 51, 52].map(|id| decoded.u64(id));
        assert_eq!(counts, [1, 4096, 8192, 3, 2, 2]);
        for first in [60, 70, 80] {
            let times: Vec<f64> = (first..first + 8).map(|id| decoded.f64(id)).collect();
            assert_eq!(times, [0.001, 0.002, 0.003, 4.0, 5.0, 0.006, 0.007, 0.008]);
        }
        for id in 90..98 {
            let Value::I32s(buckets) = &decoded.fields[&id] else {
                panic!("{id}")
            };
            assert_eq!((buckets.len(), buckets.iter().sum::<i32>()), (BUCKETS, 1));
        }
        let totals = [100, 101, 102, 103, 120, 121, 122, 123, 124].map(|id| decoded.u64(id));
        assert_eq!(totals, [10, 11, 12, 13, 0, 0, 0, 1, 0]);
        assert_eq!(decoded.fields[&110], Value::I32s(vec![0, 1, 0]));
        for (id, times) in [
            (111, [0.25, 1.0, 0.0]),
            (112, [0.0, 0.5, 0.0]),
            (113, [0.25, 0.0, 0.0]),
            (114, [0.0, 1.0, 0.0]),
        ] {
            assert_eq!(decoded.fields[&id], Value::F64s(times.to_vec()), "{id}");
        }
    }

    /// TEL-130, TEL-131, TEL-132, TEL-133, TEL-134: a child has no queue, and who had no request only means and distributions.
    #[test]
    fn of_a_child_and_of_the_idle() {
        let of_child = interval(false);
        let mut child = sample(&of_child);
        child.is_daemon = false;
        let part = |first: u16| [first, first + 3, first + 4, first + 5, first + 6, first + 7];
        let phases = [60, 70, 80, 90].map(part);
        let all: Vec<&[u16]> = phases.iter().map(|part| &part[..]).collect();
        assert_eq!(decoded(&child).ids(), expected(&all));
        // Not even with times for one.
        let of_daemon = interval(true);
        child.interval = &of_daemon;
        assert_eq!(decoded(&child).ids(), expected(&all));
        let mut recorder = Recorder::new();
        recorder.start(0);
        let idle = recorder.drain(1_000_000).expect("it was started");
        let decoded = decoded(&sample(&idle));
        assert_eq!(decoded.ids(), expected(&[&phases[0], &phases[3]]));
        assert_eq!((decoded.u64(51), decoded.f64(60)), (0, 0.0));
    }

    fn longest_identity() -> Identity {
        let long = "ö".repeat(1000);
        Identity {
            version: long.clone(),
            python: long.clone(),
            apache: long.clone(),
            mpm: long.clone(),
            hostname: long.clone(),
            process_group: long,
            parent_pid: u32::MAX,
            switch_interval: Some(0.005),
        }
    }

    fn any_interval() -> impl Strategy<Value = Interval> {
        let number = prop_oneof![any::<u64>(), Just(u64::MAX), 0..10_000_000_u64];
        let thread = prop::collection::vec(number.clone(), 5).prop_map(|n| {
            let mut thread = Thread::default();
            thread.begun = n[0];
            thread.completed = n[1];
            thread.busy = n[2];
            thread.cpu = n[3];
            thread.longest = n[4];
            thread
        });
        let phases = prop::collection::vec((number.clone(), number.clone(), any::<bool>()), PHASES);
        let threads = prop::collection::vec(thread, 0..300);
        (threads, phases, prop::collection::vec(number, 12)).prop_map(|(threads, phases, n)| {
            let mut phases = phases.into_iter().map(|(a, b, is_used)| Distribution {
                count: if is_used { a.max(1) } else { 0 },
                sum: b,
                bounds: is_used.then_some((a, b)),
                buckets: [a; BUCKETS],
            });
            Interval {
                start: n[0],
                stop: n[1],
                requests: n[2],
                busy: n[3],
                threads,
                phases: std::array::from_fn(|_| phases.next().expect("one for each")),
                statuses: [n[4]; 5],
                gil_waits: n[5],
                input: (n[6], n[7]),
                output: (n[8], n[9]),
            }
        })
    }

    proptest! {
        /// TEL-061, TEL-095, TEL-143: any figures fit whole, with every field that belongs there; 128 threads at most.
        #[test]
        fn any_sample_fits(
            interval in any_interval(),
            maximum in prop_oneof![Just(128), 0..400_u32, any::<u32>()],
            floats in prop::collection::vec(prop::num::f64::ANY, 5),
            memory in any::<(u64, u64)>(),
            is_daemon in any::<bool>(),
        ) {
            let sample = Sample {
                interval: &interval,
                period: floats[0],
                telemetry_interval: floats[1],
                slow_threshold: floats[2],
                cpu: (floats[3], floats[4]),
                memory,
                maximum,
                is_daemon,
            };
            let decoded = Decoded::of(&sample.encode(&longest_identity(), STAMP));
            let used = interval.phases.iter().filter(|times| times.count > 0).count();
            if is_daemon && used == PHASES {
                prop_assert_eq!(decoded.fields.len(), 8 + RATES.len() + 4 * PHASES + AFTER.len());
            }
            for id in [1, 2, 3, 4, 5, 6, 7, 13].iter().chain(&RATES).chain(&AFTER) {
                prop_assert!(decoded.fields.contains_key(id), "{}", id);
            }
            let Value::F64s(last) = &decoded.fields[&114] else { panic!("{:?}", decoded.fields[&114]) };
            prop_assert_eq!(last.len(), (maximum as usize).min(128));
        }
    }

    /// TEL-095, TEL-143: the longest of all fits whole.
    #[test]
    fn the_longest_fits() {
        let mut interval = interval(true);
        interval.threads = vec![interval.threads[1].clone(); 1000];
        let mut sample = sample(&interval);
        sample.maximum = 1000;
        let decoded = Decoded::of(&sample.encode(&longest_identity(), STAMP));
        let expected = 8 + RATES.len() + 4 * PHASES + AFTER.len();
        assert_eq!(decoded.fields.len(), expected);
        let Value::F64s(busy) = &decoded.fields[&111] else {
            panic!("{decoded:?}")
        };
        assert_eq!(busy.len(), SLOTS);
    }
}
