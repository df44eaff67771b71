//! The reporter: one socket and one count of datagrams for the process, and two threads. The first tells of requests and never waits
//! for Python, so that it goes on where Python is blocked; the second one asks interpreters for their collections.

use std::io;
use std::os::unix::net::UnixDatagram;
use std::sync::OnceLock;
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

use nix::sys::signal::{SigSet, SigmaskHow};
use nix::sys::socket::{setsockopt, sockopt};
use parking_lot::{Condvar, Mutex};
use pyo3::prelude::*;
use wsgi_core::python::{COMPATIBLE_VERSION, TelemetrySettings};
use wsgi_core::telemetry::{Identity, Sample, Stamp, Stopped, Stopping};

use super::{collections, name_of, slow};
use crate::python::interpreter;
use crate::python::thread;
use crate::python::{Arrival, Interpreter};
use crate::wsgi::metrics::{self, PATIENCE, epoch_now};
use crate::wsgi::process;

/// Room for datagrams that wait for the consumer, bytes (TEL-060).
const SEND_BUFFER: usize = 65536;

/// The shortest sleep (TEL-012).
const SHORTEST: Duration = Duration::from_millis(100);

/// How long STARTED waits for what only Python knows.
const LONGEST_MEETING: Duration = Duration::from_secs(1);

/// Interpreters whose collections are reported in a tick, at most (TEL-208).
const MOST_INTERPRETERS: usize = 32;

/// How long a tick waits, in all, for a consumer that reads too slowly for its datagrams, which come at once: a queue holds some ten
/// of them. No more than this keeps a process from its end.
const TICK_BUDGET: Duration = Duration::from_millis(100);

/// The same for a datagram on its own.
const WORD_BUDGET: Duration = Duration::from_millis(5);

/// How long it waits at once.
const PAUSE: Duration = Duration::from_micros(500);

/// What is left of the time to wait for the consumer.
struct Budget(Duration);

/// What became of a datagram.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Delivery {
    /// The consumer has it, or is not there to have it.
    Done,
    /// The consumer did not read in time.
    Late,
}

/// What was sent.
#[derive(Default)]
struct Sent {
    /// Number of the last datagram.
    seq: u32,
    has_said_started: bool,
    has_said_stopping: bool,
    /// Nothing follows.
    is_over: bool,
}

/// Reports of this process.
pub(super) struct Reporter {
    settings: &'static TelemetrySettings,
    socket: UnixDatagram,
    /// By the clock that does not go back, and by the other one.
    started: (Instant, f64),
    /// What is known without Python; the whole is in `identity`.
    plain: Identity,
    identity: OnceLock<Identity>,
    sent: Mutex<Sent>,
    /// Why the process ends; empty while it does not, and in children.
    reason: Mutex<String>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    stage: Mutex<Stage>,
    /// Rung when that has changed.
    bell: Condvar,
}

/// What the threads wait for.
#[derive(Default)]
struct Stage {
    /// What only Python knows is known.
    has_met_python: bool,
    /// The collections of a tick are to be told.
    are_collections_due: bool,
    /// The threads are to end.
    is_ending: bool,
}

/// What is known of this process without Python.
fn plain_identity() -> Identity {
    let settings = process::settings();
    let facts = &settings.facts;
    let dotted = |(major, minor, patch): (u32, u32, u32)| format!("{major}.{minor}.{patch}");
    Identity {
        version: dotted(COMPATIBLE_VERSION),
        python: Python::version_str()
            .split(' ')
            .next()
            .unwrap_or_default()
            .to_owned(),
        apache: format!("Apache/{}", dotted(facts.apache_version)),
        mpm: facts.apache_mpm_name.clone(),
        hostname: nix::unistd::gethostname()
            .map(|name| name.to_string_lossy().into_owned())
            .unwrap_or_default(),
        process_group: settings.process_group.clone(),
        parent_pid: facts.apache_pid,
        switch_interval: None,
    }
}

impl Reporter {
    /// Opens the socket. The consumer need not be there (TEL-062).
    pub(super) fn open(settings: &'static TelemetrySettings) -> io::Result<Reporter> {
        // An address that is too long is found here, not with each datagram.
        if std::os::unix::net::SocketAddr::from_pathname(&settings.socket).is_err() {
            let length = settings.socket.len();
            let text = format!("the path has {length} bytes, and 107 are possible");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
        let socket = UnixDatagram::unbound()?;
        socket.set_nonblocking(true)?;
        // What the system gives is enough where it refuses.
        let _ = setsockopt(&socket, sockopt::SndBuf, &SEND_BUFFER);
        Ok(Reporter {
            settings,
            socket,
            started: (Instant::now(), epoch_now()),
            plain: plain_identity(),
            identity: OnceLock::new(),
            sent: Mutex::default(),
            reason: Mutex::default(),
            threads: Mutex::default(),
            stage: Mutex::default(),
            bell: Condvar::new(),
        })
    }

    /// Starts the threads.
    pub(super) fn run(&'static self) -> io::Result<()> {
        // Signals are for the threads that Apache, the daemon or Python mean them for: never, not even at first, for these.
        let mask = SigSet::all().thread_swap_mask(SigmaskHow::SIG_SETMASK).ok();
        let started = self.start_threads();
        if let Some(mask) = mask {
            // It fails for no mask that the system gave.
            let _ = mask.thread_set_mask();
        }
        if started.is_err() {
            // Nor is anything else sent then.
            self.sent.lock().is_over = true;
            self.end_threads();
        }
        started
    }

    fn start_threads(&'static self) -> io::Result<()> {
        let named = |name: &str| Builder::new().name(name.to_owned());
        let visitor = named("wsgi-gc").spawn(move || self.visit_python())?;
        self.threads.lock().push(visitor);
        let reporter = named("wsgi-telemetry").spawn(move || self.report())?;
        self.threads.lock().push(reporter);
        Ok(())
    }

    /// Whether there were any.
    fn end_threads(&self) -> bool {
        self.change(|stage| stage.is_ending = true);
        let threads = std::mem::take(&mut *self.threads.lock());
        let were_any = !threads.is_empty();
        for thread in threads {
            // Its panic, if any, was printed.
            let _ = thread.join();
        }
        were_any
    }

    fn change(&self, change: impl FnOnce(&mut Stage)) {
        change(&mut self.stage.lock());
        self.bell.notify_all();
    }

    /// The thread that tells of requests.
    fn report(&self) {
        self.wait(LONGEST_MEETING, |stage| stage.has_met_python);
        self.say_first(&mut self.sent.lock());
        let interval = Duration::from_secs_f64(self.settings.interval).max(SHORTEST);
        while !self.wait(interval, |_| false) {
            self.tick();
            self.change(|stage| stage.are_collections_due = true);
        }
    }

    /// The thread that goes to the interpreters. What it could not tell in time comes with the next tick.
    fn visit_python(&self) {
        self.meet_python();
        self.change(|stage| stage.has_met_python = true);
        while !self.wait(Duration::MAX, |stage| stage.are_collections_due) {
            self.change(|stage| stage.are_collections_due = false);
            self.report_collections(|| self.stage.lock().is_ending);
        }
        thread::leave();
    }

    /// Learns what only Python knows.
    fn meet_python(&self) {
        let Some(main) = interpreter::main() else {
            return;
        };
        let asked = main.enter(Arrival::Errand, |py, _| {
            let sys = py.import("sys")?;
            sys.call_method0("getswitchinterval")?.extract::<f64>()
        });
        if let Ok(Ok(switch_interval)) = asked {
            let _ = self.identity.set(Identity {
                switch_interval: Some(switch_interval),
                ..self.plain.clone()
            });
        }
    }

    fn identity(&self) -> &Identity {
        self.identity.get().unwrap_or(&self.plain)
    }

    /// Waits for so long, or until something is true; whether the thread is to end.
    fn wait(&self, time: Duration, is_true: impl Fn(&Stage) -> bool) -> bool {
        let until = Instant::now().checked_add(time);
        let mut stage = self.stage.lock();
        while !stage.is_ending && !is_true(&stage) {
            match until {
                Some(until) => {
                    if self.bell.wait_until(&mut stage, until).timed_out() {
                        break;
                    }
                }
                None => self.bell.wait(&mut stage),
            }
        }
        stage.is_ending
    }

    /// Sends a datagram, or drops it where the consumer is not there or does not read in time; each has the next number.
    fn send(
        &self,
        budget: &mut Budget,
        time: f64,
        encode: impl FnOnce(Stamp) -> Vec<u8>,
    ) -> Delivery {
        self.send_with(&mut self.sent.lock(), budget, time, encode)
    }

    fn send_with(
        &self,
        sent: &mut Sent,
        budget: &mut Budget,
        time: f64,
        encode: impl FnOnce(Stamp) -> Vec<u8>,
    ) -> Delivery {
        if sent.is_over {
            return Delivery::Done;
        }
        sent.seq = sent.seq.wrapping_add(1);
        let datagram = encode(Stamp {
            pid: std::process::id(),
            seq: sent.seq,
            time,
        });
        loop {
            match self.socket.send_to(&datagram, &self.settings.socket) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                _ => return Delivery::Done,
            }
            let Some(left) = budget.0.checked_sub(PAUSE) else {
                return Delivery::Late;
            };
            budget.0 = left;
            // Nothing tells when a queue of another's socket has room again.
            std::thread::sleep(PAUSE);
        }
    }

    /// TEL-013: figures, then slow requests.
    fn tick(&self) {
        let Some(drained) = metrics::drain() else {
            return;
        };
        let time = epoch_now();
        let settings = process::settings();
        let sample = Sample {
            interval: &drained.interval,
            period: drained.period,
            telemetry_interval: self.settings.interval,
            slow_threshold: self.settings.slow,
            cpu: drained.cpu,
            memory: metrics::memory(),
            maximum: settings.facts.threads_per_process.max(1),
            is_daemon: !settings.process_group.is_empty(),
        };
        let mut budget = Budget(TICK_BUDGET);
        self.send(&mut budget, time, |stamp| {
            sample.encode(self.identity(), stamp)
        });
        for request in slow::take(time) {
            let delivery = self.send(&mut budget, time, |stamp| request.encode(stamp));
            if delivery == Delivery::Late {
                slow::keep(request);
            }
        }
    }

    /// TEL-013, TEL-208: of each interpreter in turn, until `is_enough` or the consumer does not read: they stay where they are then.
    fn report_collections(&self, is_enough: impl Fn() -> bool) {
        let mut budget = Budget(TICK_BUDGET);
        for interpreter in interpreter::all().into_iter().take(MOST_INTERPRETERS) {
            if is_enough() || budget.0.is_zero() {
                return;
            }
            self.report_interpreter(&mut budget, interpreter);
        }
    }

    fn report_interpreter(&self, budget: &mut Budget, interpreter: &'static Interpreter) {
        // A thread that is not there has nothing to tell; that it is missing was logged where it mattered.
        let Ok((snapshot, collections)) = interpreter.enter(Arrival::Errand, collections::look)
        else {
            return;
        };
        let name = name_of(interpreter);
        self.send(budget, epoch_now(), |stamp| snapshot.encode(name, stamp));
        for collection in collections {
            self.send(budget, epoch_now(), |stamp| collection.encode(name, stamp));
        }
    }

    /// TEL-012: STARTED, unless it was said: also by whoever says the end of a process that has just begun.
    fn say_first(&self, sent: &mut Sent) {
        if !std::mem::replace(&mut sent.has_said_started, true) {
            self.send_with(sent, &mut Budget(WORD_BUDGET), self.started.1, |stamp| {
                self.identity().started(stamp)
            });
        }
    }

    /// TEL-050: the process has decided to end.
    pub(super) fn stopping(&self, reason: &str) {
        reason.clone_into(&mut self.reason.lock());
        let active = metrics::totals().active;
        let Some(mut sent) = self.sent.try_lock_for(PATIENCE) else {
            return;
        };
        self.say_first(&mut sent);
        if !std::mem::replace(&mut sent.has_said_stopping, true) {
            self.send_with(&mut sent, &mut Budget(WORD_BUDGET), epoch_now(), |stamp| {
                Stopping { reason, active }.encode(self.identity(), stamp)
            });
        }
    }

    /// TEL-050: ends the threads, and says the last.
    pub(super) fn stop(&self) {
        if self.end_threads() {
            self.tick();
            self.report_collections(|| false);
        }
        let reason = self.reason.lock().clone();
        self.say_last(&mut self.sent.lock(), &reason, true);
    }

    /// TEL-051, DMN-520: the process ends by force, whatever its threads do.
    pub(super) fn forced_end(&self, reason: &str) {
        if let Some(mut sent) = self.sent.try_lock_for(PATIENCE) {
            self.say_last(&mut sent, reason, false);
        }
    }

    fn say_last(&self, sent: &mut Sent, reason: &str, is_clean: bool) {
        self.say_first(sent);
        let totals = metrics::totals();
        let stopped = Stopped {
            reason,
            uptime: self.started.0.elapsed().as_secs_f64(),
            requests: totals.ended,
            active: totals.active,
            is_clean,
        };
        self.send_with(sent, &mut Budget(WORD_BUDGET), epoch_now(), |stamp| {
            stopped.encode(self.identity(), stamp)
        });
        sent.is_over = true;
    }
}
