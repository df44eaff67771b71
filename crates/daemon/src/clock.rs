//! The clock thread looks after every deadline of the process (DMN-410 to 473): once a second, and at the moment a drain or
//! the shutdown has to end. It takes no lock that a request holds for long, never the GIL, and nothing it does waits.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::Builder;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use wsgi_core::life::{Phase, Reason};
use wsgi_sys::{clock, process};

use crate::EXIT_FAILED;
use crate::log::{self, Level};
use crate::probe::{Probe, Task};
use crate::process::{Process, has_loaded, last_activity};

const SECOND: u64 = 1_000_000;

/// Wakes the clock thread before its time.
#[derive(Clone)]
pub(crate) struct Clock {
    bell: Arc<(Mutex<bool>, Condvar)>,
}

impl Clock {
    /// Starts the thread. Without one no timeout is enforced (WSGI0068).
    pub(crate) fn start(process: &Arc<Process>, probe: Option<Probe>) -> Clock {
        let clock = Clock {
            bell: Arc::new((Mutex::new(false), Condvar::new())),
        };
        let (shared, bell) = (Arc::clone(process), clock.clone());
        let thread = Builder::new().name("wsgi-clock".into()).spawn(move || {
            announce(&shared);
            let mut keeper = Keeper::new(&shared, probe);
            loop {
                bell.wait(shared.life.next_deadline());
                keeper.tick(clock::monotonic_micros());
            }
        });
        if let Err(error) = thread {
            let text = format!("no thread for timeouts, none will be enforced: {error}");
            log::coded(68, Level::Error, text);
        }
        clock
    }

    /// Makes the thread look at the deadlines: a new one was set.
    pub(crate) fn look_again(&self) {
        let (rung, condition) = &*self.bell;
        *rung.lock() = true;
        condition.notify_one();
    }

    /// Waits for a second, for `deadline`, or for the bell.
    fn wait(&self, deadline: Option<u64>) {
        let now = clock::monotonic_micros();
        // A deadline that has passed and was not answered must not make this spin.
        let until_deadline = deadline
            .map(|at| at.saturating_sub(now))
            .filter(|left| *left > 0);
        let micros = until_deadline.map_or(SECOND, |left| left.min(SECOND));
        let (rung, condition) = &*self.bell;
        let mut rung = rung.lock();
        if !*rung {
            condition.wait_for(&mut rung, Duration::from_micros(micros));
        }
        *rung = false;
    }
}

/// DP-106: the limits that this thread enforces, for those who look for the cause of a restart.
fn announce(process: &Process) {
    let limits = &process.settings.limits;
    let timers = [
        ("startup-timeout", limits.startup_timeout),
        ("deadlock-timeout", limits.deadlock_timeout),
        ("inactivity-timeout", limits.inactivity_timeout),
        ("request-timeout", limits.request_timeout),
        ("interrupt-timeout", limits.interrupt_timeout),
        ("graceful-timeout", limits.graceful_timeout),
        ("eviction-timeout", limits.eviction_timeout),
        ("restart-interval", limits.restart_interval),
        ("shutdown-timeout", limits.shutdown_timeout),
    ];
    let shown: Vec<String> = timers
        .map(|(name, seconds)| format!("{name}={seconds}"))
        .into();
    let group = &process.settings.group;
    let text = format!(
        "timers of a process of group '{group}': {}",
        shown.join(" ")
    );
    log::record(Level::Debug, text);
}

/// What the clock remembers from tick to tick.
struct Keeper<'p> {
    process: &'p Process,
    probe: Option<Probe>,
    started: u64,
    last_tick: u64,
    /// Idle threads on the board and threads that really wait, at the last tick where they differed.
    mismatch: Option<(u32, u32)>,
    /// Moves on the lookout until the last tick.
    moves: u64,
    /// The last tick found the board's entry of this process wrong.
    misrepresented: bool,
    /// For each thread the last request that ran too long.
    late: Vec<Late>,
    blockage: Blockage,
    /// A script was loaded, which has been logged.
    startup_is_over: bool,
}

/// What was done about a request that runs too long.
#[derive(Clone, Copy, Debug, Default)]
struct Late {
    /// Its start, which tells it from the next one of its thread.
    since: u64,
    /// When it was interrupted; 0 for not.
    interrupted: u64,
    /// When the process was given up for it, 0 for not yet: that is done once, however long the replacement takes.
    given_up: u64,
}

impl<'p> Keeper<'p> {
    fn new(process: &'p Process, probe: Option<Probe>) -> Keeper<'p> {
        let started = clock::monotonic_micros();
        Keeper {
            process,
            probe,
            started,
            last_tick: started,
            mismatch: None,
            moves: 0,
            misrepresented: false,
            late: vec![Late::default(); process.desks.len()],
            blockage: Blockage::default(),
            startup_is_over: false,
        }
    }

    /// In the order of DMN-411.
    fn tick(&mut self, now: u64) {
        let passed = now.saturating_sub(std::mem::replace(&mut self.last_tick, now));
        let life = &self.process.life;
        if life.must_end(now) {
            log::record(
                Level::Info,
                "shutdown-timeout is over, the process ends by force",
            );
            let reason = life.reason().unwrap_or(Reason::ShutdownSignal);
            self.process.runtime.report_forced_end(reason.as_str());
            process::exit_now(i32::from(EXIT_FAILED));
        }
        if let Some(reason) = life.reason().filter(|_| life.drain_is_over(now)) {
            log::record(
                Level::Info,
                format!("requests took too long to finish ({reason})"),
            );
            life.stop(reason, &self.process.dispatch);
        }
        self.watch_lookout();
        match life.phase() {
            Phase::Serving => {}
            Phase::Draining { .. } => {
                // A request may have become stale, so that it is no longer waited for.
                life.wakeup.wake();
                // What waits for a request without a deadline must not wait for a blocked Python.
                self.watch_deadlock(now, passed);
                return;
            }
            _ => return,
        }
        self.watch_requests(now);
        self.watch_startup(now);
        let interval = self.process.settings.limits.restart_interval;
        if is_over(self.started, interval, now) {
            life.ask_replacement(Reason::RestartInterval);
        }
        self.watch_deadlock(now, passed);
        let inactivity = self.process.settings.limits.inactivity_timeout;
        if is_over(last_activity(), inactivity, now) && !self.process.is_active() {
            life.ask_replacement(Reason::InactivityTimeout);
        }
        self.repair_entry();
        // Before the listener is armed, whose event nobody has a claim for.
        self.repair_claims();
        self.process.dispatch.arm_waiting_listener();
    }

    /// An application can overwrite the memory that is shared with Apache's children: found wrong in two ticks, it is set right.
    fn repair_entry(&mut self) {
        let (life, dispatch) = (&self.process.life, &self.process.dispatch);
        let wrong = dispatch.is_misrepresented();
        if wrong && self.misrepresented {
            let text = "the memory that is shared with Apache was overwritten, and is set right; the application, or an extension \
                        module of it, writes where it must not";
            log::coded(5216, Level::Error, text);
            dispatch.enter_again(|| life.phase());
        }
        self.misrepresented = wrong && !self.misrepresented;
    }

    /// Threads that look out may wait for something else than the GIL, such as a file system that does not answer: where events wait and
    /// nobody has moved since the last tick, every idle thread looks out.
    fn watch_lookout(&mut self) {
        let moves = self.process.lookout.moves();
        let is_stuck = self.process.dispatch.has_events() && moves == self.moves;
        self.moves = moves;
        if is_stuck {
            self.process.lookout.call_all();
        }
    }

    /// DMN-430 to 433.
    fn watch_requests(&mut self, now: u64) {
        let limits = &self.process.settings.limits;
        if limits.request_timeout == 0 {
            return;
        }
        let allowed = request_allowance(limits.request_timeout, self.process.settings.threads);
        for (index, desk) in self.process.desks.iter().enumerate() {
            let since = desk.busy_since();
            if since == 0 || now.saturating_sub(since) <= allowed {
                continue;
            }
            let late = &mut self.late[index];
            if late.since != since {
                *late = Late {
                    since,
                    ..Late::default()
                };
            }
            let thread = u32::try_from(index).expect("threads are counted by u32") + 1;
            if limits.interrupt_timeout > 0 && late.interrupted == 0 {
                late.interrupted = now;
                log_late(thread, now.saturating_sub(since), "is interrupted");
                self.ask(Task::Interrupt(thread));
                // One a pass.
                return;
            }
            let has_grace = limits.interrupt_timeout > 0
                && !is_over(late.interrupted, limits.interrupt_timeout, now);
            if has_grace || late.given_up > 0 {
                continue;
            }
            late.given_up = now;
            log_late(thread, now.saturating_sub(since), "costs its process");
            self.ask(Task::DumpStacks);
            self.process.life.ask_replacement(Reason::RequestTimeout);
            return;
        }
        if self.every_thread_is_lost(now) {
            // As a deadlocked one it is of no use to anybody: where no replacement comes (a deploy that cannot be loaded), it
            // must not keep the group from answering.
            let (life, dispatch) = (&self.process.life, &self.process.dispatch);
            let limit = self.process.graceful_limit(Reason::RequestTimeout);
            life.drain(Reason::RequestTimeout, dispatch, limit, true);
        }
    }

    /// Whether the process was given up for the request of every thread, and not just now: a replacement may be on its way.
    fn every_thread_is_lost(&self, now: u64) -> bool {
        let mut desks = self.process.desks.iter().zip(&self.late);
        desks.all(|(desk, late)| {
            let since = desk.busy_since();
            since > 0 && since == late.since && is_over(late.given_up, 1, now)
        })
    }

    /// DMN-450.
    fn watch_startup(&mut self, now: u64) {
        let limit = self.process.settings.limits.startup_timeout;
        let armed = self.process.first_request.load(Ordering::Relaxed);
        if limit == 0 || armed == 0 || self.startup_is_over {
            return;
        }
        if has_loaded() {
            self.startup_is_over = true;
            log::record(Level::Info, "a script was loaded, startup-timeout is off");
        } else if is_over(armed, limit, now) {
            self.process.life.ask_replacement(Reason::StartupTimeout);
        }
    }

    /// DMN-440: a process that cannot run Python is of no use to anybody, so that it does not wait for its replacement.
    fn watch_deadlock(&mut self, now: u64, passed: u64) {
        let limit = self.process.settings.limits.deadlock_timeout;
        let Some(probe) = self.probe.as_ref().filter(|_| limit > 0) else {
            return;
        };
        match self.blockage.look(now, passed, probe.seen()) {
            Look::Wait => {}
            Look::Ask => probe.ask(Task::Touch),
            Look::Blocked(micros) if micros < limit.saturating_mul(SECOND) => {}
            Look::Blocked(_) => {
                log::record(Level::Info, "Python has been blocked for deadlock-timeout");
                let (life, dispatch) = (&self.process.life, &self.process.dispatch);
                // Its replacement may start before this process has ended.
                life.drain(Reason::DeadlockTimeout, dispatch, None, true);
                life.stop_blocked(dispatch);
            }
        }
    }

    fn ask(&self, task: Task) {
        if let Some(probe) = &self.probe {
            probe.ask(task);
        }
    }

    /// Gives back claims whose child has ended before it sent the request: a difference that stays the same for two ticks.
    fn repair_claims(&mut self) {
        if self.process.dispatch.has_events() {
            // The threads that wait are promised to them.
            self.mismatch = None;
            return;
        }
        let seen = self.process.dispatch.idle();
        let waiting = self.process.waiting_threads();
        if seen == waiting {
            self.mismatch = None;
        } else if self.mismatch == Some((seen, waiting)) {
            self.process.dispatch.repair(seen, waiting);
            self.mismatch = None;
        } else {
            self.mismatch = Some((seen, waiting));
        }
    }
}

/// How long Python has not answered a probe. Time in which this thread did not run either (the whole process was stopped
/// or starved) is not counted: it proves nothing about Python.
#[derive(Debug, Default)]
struct Blockage {
    /// When the last probe was sent.
    asked: u64,
    blocked: u64,
}

/// What is to be done about it.
#[derive(Debug, PartialEq, Eq)]
enum Look {
    /// The last answer is fresh.
    Wait,
    /// Send a probe.
    Ask,
    /// No answer for so many microseconds.
    Blocked(u64),
}

impl Blockage {
    /// `passed` since the last look; `seen` is when the last answer came.
    fn look(&mut self, now: u64, passed: u64, seen: u64) -> Look {
        if seen < self.asked {
            self.blocked = self.blocked.saturating_add(passed.min(2 * SECOND));
            return Look::Blocked(self.blocked);
        }
        self.blocked = 0;
        if now.saturating_sub(self.asked) < SECOND / 2 {
            return Look::Wait;
        }
        self.asked = now;
        Look::Ask
    }
}

fn log_late(thread: u32, age: u64, what: &str) {
    let text = format!(
        "request of thread {thread} has been running for {} s and {what}",
        age / SECOND
    );
    log::record(Level::Info, text);
}

/// Whether `seconds` (0 is off) have passed since `since` (0 is never).
fn is_over(since: u64, seconds: u64, now: u64) -> bool {
    since > 0 && seconds > 0 && now.saturating_sub(since) >= seconds.saturating_mul(SECOND)
}

/// How long a request may run, in microseconds: longer where many threads share the time (DMN-430).
fn request_allowance(seconds: u64, threads: u32) -> u64 {
    let factor = 1.0 + f64::from(threads.max(1)).ln();
    // Truncation to whole microseconds is meant; a float this large saturates.
    (seconds as f64 * factor * SECOND as f64) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// DMN-412: a bell that was rung, before or while it is waited for, and a deadline end the wait. Each of them taking the
    /// whole second would take minutes.
    #[test]
    fn the_clock_waits_for_the_bell_and_for_deadlines() {
        let clock = Clock {
            bell: Arc::new((Mutex::new(false), Condvar::new())),
        };
        let started = clock::monotonic_micros();
        for _ in 0..200 {
            clock.look_again();
            clock.wait(None);
            let deadline = clock::monotonic_micros() + 1000;
            while clock::monotonic_micros() < deadline {
                clock.wait(Some(deadline));
            }
        }
        let passed = clock::monotonic_micros() - started;
        assert!(passed < 100 * SECOND, "{passed}");
    }

    /// DMN-430, DP-94, KD-23: the threshold grows with the logarithm of the threads.
    #[test]
    fn requests_may_run_longer_among_many_threads() {
        assert_eq!(request_allowance(10, 1), 10 * SECOND);
        assert_eq!(request_allowance(10, 10) / 10_000, 3302);
        assert_eq!(request_allowance(10, 25) / 10_000, 4218);
    }

    /// DMN-440: a probe without answer, second by second.
    #[test]
    fn a_blocked_python_is_noticed() {
        let mut blockage = Blockage::default();
        assert_eq!(blockage.look(SECOND, SECOND, 1), Look::Ask);
        assert_eq!(blockage.look(SECOND + 1, 1, SECOND + 1), Look::Wait);
        assert_eq!(blockage.look(2 * SECOND, SECOND, SECOND + 1), Look::Ask);
        for seconds in 1..=5 {
            let look = blockage.look((2 + seconds) * SECOND, SECOND, SECOND + 1);
            assert_eq!(look, Look::Blocked(seconds * SECOND));
        }
        assert_eq!(blockage.look(8 * SECOND, SECOND, 8 * SECOND), Look::Ask);
    }

    /// A process that was stopped (SIGSTOP, a frozen container) has an old probe when it goes on; Python is not to blame.
    #[test]
    fn a_pause_of_the_whole_process_is_no_deadlock() {
        let mut blockage = Blockage::default();
        assert_eq!(blockage.look(SECOND, SECOND, 1), Look::Ask);
        let look = blockage.look(1000 * SECOND, 999 * SECOND, 1);
        assert_eq!(look, Look::Blocked(2 * SECOND));
    }

    #[test]
    fn a_timer_that_is_off_or_not_armed_never_ends() {
        assert!(!is_over(0, 5, u64::MAX));
        assert!(!is_over(1, 0, u64::MAX));
        assert!(is_over(1, 5, 5 * SECOND + 1));
        assert!(!is_over(1, 5, 5 * SECOND));
    }
}
