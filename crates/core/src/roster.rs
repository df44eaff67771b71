//! The processes of one daemon group, as the supervisor decides about them: what to start and when, whom to drain or stop.
//!
//! Pure: time comes in as milliseconds of any monotonic clock, every [`Event`] gives a list of [`Action`]s, and the
//! supervisor's loop carries them out. What a daemon reports is hostile input: an event that does not fit the state of
//! its process changes nothing.
//!
//! The rules (spec daemon.md section 11):
//! - A process that served is replaced at once. One that fails to start, or that dies within [`SHORT_LIFE`] of its
//!   readiness again and again, is tried again after a growing pause ([`pause_for`]), and only one at a time.
//! - A planned restart starts the replacement first; the old process drains when the group has its full number.
//! - While nothing of a group is up and starting fails, [`Action::Failing`] makes requests fail promptly.
//! - At the end of a generation the processes go on for the old generation's children, bounded by `graceful-timeout`.

mod ending;
mod filling;
mod messages;
#[cfg(test)]
mod tests;

pub use messages::{Action, Event, Exit, GroupPlan};

use crate::board;
use crate::life::Reason;

/// Milliseconds of a monotonic clock.
pub type Millis = u64;

/// A process that dies sooner than this after its readiness counts as dying early, milliseconds.
pub const SHORT_LIFE: Millis = 1000;
/// Early deaths in a row after which a process is still back at once.
pub const FREE_DEATHS: u32 = 5;
/// Time that a stopped process has before it is killed, milliseconds (DMN-550).
pub const STOP_TIME: Millis = 3000;
/// Longest pause between attempts to start, milliseconds.
pub const LONGEST_PAUSE: Millis = 20_000;

/// Number of the code with which a process reports that it could not load a required script.
pub const NOT_LOADED: u16 = 5207;

/// httpd's level of records about the life of processes (DMN-541).
const INFO: u8 = 6;
const ERROR: u8 = 3;
const ALERT: u8 = 1;

/// Pause after the `failures`-th failure in a row: 1, 2, 4 … 20 s (DMN-540).
pub fn pause_for(failures: u32) -> Millis {
    match failures {
        0 => 0,
        n => 1000u64
            .saturating_mul(1 << (n - 1).min(10))
            .min(LONGEST_PAUSE),
    }
}

/// Where a process is, as the supervisor knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Not ready yet.
    Starting,
    /// Ready.
    Serving,
    /// Wants to be replaced and serves until then.
    Retiring(Reason),
    /// Takes no requests any more. `stopped`: was told to end at once.
    Leaving { stopped: bool },
}

#[derive(Clone, Copy, Debug)]
struct Process {
    instance: u32,
    pid: u32,
    started: Millis,
    ready: Option<Millis>,
    /// Start-up failure was reported by the process itself.
    failed: bool,
    /// Others served when it was started.
    checked: bool,
    /// A script has changed since it was started.
    outdated: bool,
    /// Since when it takes no requests any more.
    leaving: Option<Millis>,
    /// Was killed before the end of its group.
    killed: bool,
    state: State,
}

/// Where the group is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum GroupPhase {
    /// Not begun.
    New,
    /// Keeps its number of processes.
    Open,
    /// As Open, until the deadline or the end of the generation's children.
    Closing { deadline: Millis },
    /// Every process ends; none is started. Those left at the deadline are stopped.
    Draining { deadline: Millis },
    /// Every process was told to stop. Those left at the deadline are killed.
    Stopping { deadline: Millis, killed: bool },
}

/// The processes of a group.
#[derive(Debug)]
pub struct Roster {
    plan: GroupPlan,
    slots: Vec<Option<Process>>,
    phase: GroupPhase,
    next_instance: u32,
    /// Failures to start in a row; those of one round count once.
    start_failures: u32,
    /// Deaths shortly after readiness in a row.
    early_deaths: u32,
    last_failure: Option<Millis>,
    not_before: Millis,
    failing: bool,
    /// The last process could not start because it could not load what others have loaded.
    deploy_failed: bool,
    /// A script was found changed: processes from this instance on load it as it is now.
    changed_at: Option<u32>,
    actions: Vec<Action>,
}

impl Roster {
    /// A group none of whose processes runs yet.
    pub fn new(plan: GroupPlan) -> Roster {
        let slots = vec![None; board::slots_for(plan.processes) as usize];
        let next_instance = plan.instance_base.saturating_add(1);
        Roster {
            plan,
            slots,
            phase: GroupPhase::New,
            next_instance,
            start_failures: 0,
            early_deaths: 0,
            last_failure: None,
            not_before: 0,
            failing: false,
            deploy_failed: false,
            changed_at: None,
            actions: Vec::new(),
        }
    }

    /// Takes an event and says what to do about it, in order.
    pub fn act(&mut self, event: Event, now: Millis) -> Vec<Action> {
        match event {
            Event::Begin => {
                if self.phase == GroupPhase::New {
                    self.phase = GroupPhase::Open;
                }
            }
            Event::Spawned { slot, pid } => self.spawned(slot, pid),
            Event::SpawnFailed { slot, error } => self.spawn_failed(slot, &error, now),
            Event::Ready { slot } => self.ready(slot, now),
            Event::Replace {
                slot,
                reason,
                draining,
            } => self.replace(slot, reason, draining),
            Event::Failed {
                slot,
                code,
                level,
                text,
            } => self.failed(slot, code, level, &text),
            Event::Exited { slot, end } => self.exited(slot, end, now),
            Event::Clock => {}
            Event::Close => self.close(now),
            Event::ChildrenGone => {
                if matches!(self.phase, GroupPhase::Closing { .. }) {
                    self.drain_all(now);
                }
            }
            Event::Stop => self.stop_all(now),
        }
        self.look_at_clock(now);
        self.note_leaving(now);
        self.fill(now);
        self.show_failing(now);
        std::mem::take(&mut self.actions)
    }

    /// When [`Event::Clock`] is due at the latest; None if only an event can change anything.
    pub fn next_wake(&self) -> Option<Millis> {
        match self.phase {
            GroupPhase::New => None,
            GroupPhase::Open => self.next_step(),
            GroupPhase::Closing { deadline } => {
                Some(self.next_step().map_or(deadline, |step| step.min(deadline)))
            }
            GroupPhase::Draining { deadline }
            | GroupPhase::Stopping {
                deadline,
                killed: false,
            } => {
                let overdue = self.next_overdue().map(|(_, at)| at);
                let bound = (!self.is_empty()).then_some(deadline);
                bound.map(|bound| overdue.map_or(bound, |at| at.min(bound)))
            }
            GroupPhase::Stopping { killed: true, .. } => None,
        }
    }

    /// When a process is to be started or given up next.
    fn next_step(&self) -> Option<Millis> {
        let overdue = self.next_overdue().map(|(_, at)| at);
        self.next_start().into_iter().chain(overdue).min()
    }

    /// Whether the group has ended: no process runs and none will be started.
    pub fn is_done(&self) -> bool {
        let ended = matches!(
            self.phase,
            GroupPhase::Draining { .. } | GroupPhase::Stopping { .. }
        );
        ended && self.is_empty()
    }

    /// Whether no process runs.
    pub fn is_empty(&self) -> bool {
        self.slots.iter().all(Option::is_none)
    }

    /// The slot of a running process.
    pub fn slot_of(&self, pid: u32) -> Option<u32> {
        let at = self
            .slots
            .iter()
            .position(|p| p.is_some_and(|p| p.pid == pid && pid != 0))?;
        u32::try_from(at).ok()
    }

    /// Processes that will serve on: starting or serving.
    fn live(&self) -> usize {
        self.count(|state| matches!(state, State::Starting | State::Serving))
    }

    /// Processes that take requests.
    fn up(&self) -> usize {
        self.count(|state| matches!(state, State::Serving | State::Retiring(_)))
    }

    fn count(&self, which: impl Fn(State) -> bool) -> usize {
        self.slots
            .iter()
            .flatten()
            .filter(|p| which(p.state))
            .count()
    }

    /// How many processes there should be: one at a time while starting fails.
    fn wanted(&self) -> usize {
        let all = self.plan.processes as usize;
        if self.start_failures > 0 {
            self.count(|s| s == State::Serving)
                .saturating_add(1)
                .min(all)
        } else {
            all
        }
    }

    fn process(&mut self, slot: u32) -> Option<&mut Process> {
        self.slots.get_mut(slot as usize)?.as_mut()
    }

    fn record(&mut self, level: u8, text: String) {
        self.actions.push(Action::Record { level, text });
    }

    fn spawned(&mut self, slot: u32, pid: u32) {
        let Some(process) = self.process(slot) else {
            return;
        };
        process.pid = pid;
        let text = format!(
            "Process (pid {pid}) of daemon group '{}' started, {}.",
            self.plan.name, self.plan.details
        );
        self.record(INFO, text);
        // The group may have ended between the decision and the fork.
        let late = match self.phase {
            GroupPhase::Draining { .. } | GroupPhase::Stopping { .. } => true,
            GroupPhase::New | GroupPhase::Open | GroupPhase::Closing { .. } => false,
        };
        if late {
            self.stop_one(slot);
        }
    }

    fn spawn_failed(&mut self, slot: u32, error: &str, now: Millis) {
        let Some(process) = self.slots.get_mut(slot as usize).and_then(Option::take) else {
            return;
        };
        self.actions.push(Action::Clear { slot });
        self.count_failure(process.started, now);
        let pause = self.not_before.saturating_sub(now).div_ceil(1000);
        let text = format!(
            "WSGI0024: A process of daemon group '{}' could not be started: {error}; next attempt in {pause} s.",
            self.plan.name
        );
        self.record(ALERT, text);
    }

    fn ready(&mut self, slot: u32, now: Millis) {
        let Some(process) = self.process(slot) else {
            return;
        };
        if process.state != State::Starting {
            return;
        }
        process.state = State::Serving;
        process.ready = Some(now);
        let (pid, instance) = (process.pid, process.instance);
        self.start_failures = 0;
        self.deploy_failed = false;
        let text = format!(
            "Process (pid {pid}) of daemon group '{}' is ready.",
            self.plan.name
        );
        self.record(INFO, text);
        if self.changed_at.is_some_and(|first| instance >= first) {
            self.deploy_everywhere();
        }
        self.relieve();
    }

    /// Drains processes that want to be replaced, as far as the group has its number without them.
    fn relieve(&mut self) {
        while self.up() > self.plan.processes as usize {
            let oldest = self
                .slots
                .iter()
                .enumerate()
                .filter_map(|(slot, process)| match process {
                    Some(Process {
                        state: State::Retiring(reason),
                        instance,
                        ..
                    }) => Some((*instance, u32::try_from(slot).ok()?, *reason)),
                    _ => None,
                })
                .min_by_key(|&(instance, ..)| instance);
            let Some((_, slot, reason)) = oldest else {
                return;
            };
            if let Some(process) = self.process(slot) {
                process.state = State::Leaving { stopped: false };
            }
            self.actions.push(Action::Drain { slot, reason });
        }
    }

    fn replace(&mut self, slot: u32, reason: Reason, draining: bool) {
        let Some(process) = self.process(slot) else {
            return;
        };
        let pid = process.pid;
        match (process.state, draining) {
            (State::Serving, false) => {
                process.state = State::Retiring(reason);
                if reason == Reason::ScriptReload {
                    self.changed_at = Some(self.next_instance);
                }
            }
            (State::Serving | State::Retiring(_), true) => {
                process.state = State::Leaving { stopped: false };
            }
            (State::Retiring(_), false) => {
                if reason == Reason::ScriptReload {
                    self.changed_at = Some(self.next_instance);
                    self.try_deploy();
                    self.outdate_newcomers();
                }
                return;
            }
            (State::Starting | State::Leaving { .. }, _) => return,
        }
        self.record_replacement(pid, reason);
    }

    fn record_replacement(&mut self, pid: u32, reason: Reason) {
        let text = format!(
            "Process (pid {pid}) of daemon group '{}' is going to be replaced ({reason}).",
            self.plan.name
        );
        self.record(INFO, text);
    }

    fn failed(&mut self, slot: u32, code: u16, level: u8, text: &str) {
        let Some(process) = self.process(slot) else {
            return;
        };
        if process.failed || process.state != State::Starting {
            return;
        }
        process.failed = true;
        let is_deploy = process.checked && code == NOT_LOADED;
        self.deploy_failed = is_deploy;
        // A daemon cannot make the log worse than alert, nor hide a failure below warning.
        let level = level.clamp(ALERT, 4);
        let text = format!("WSGI{code:04}: {text}");
        self.record(level, text);
    }

    fn exited(&mut self, slot: u32, end: Exit, now: Millis) {
        let Some(process) = self.slots.get_mut(slot as usize).and_then(Option::take) else {
            return;
        };
        self.actions.push(Action::Clear { slot });
        let Process { pid, .. } = process;
        let name = self.plan.name.clone();
        self.record(
            INFO,
            format!("Process (pid {pid}) of daemon group '{name}' has ended ({end})."),
        );
        if !matches!(self.phase, GroupPhase::Open | GroupPhase::Closing { .. }) {
            return;
        }
        if self.plan.service && end == Exit::Status(0) {
            // A service script that returns is started again, about once a second at most (DMN-561).
            self.early_deaths = 0;
            self.not_before = self.not_before.max(process.started.saturating_add(1000));
            return;
        }
        match process.state {
            State::Starting => {
                self.count_failure(process.started, now);
                let pause = self.not_before.saturating_sub(now).div_ceil(1000);
                if process.failed {
                    let text = format!(
                        "A process of daemon group '{name}' failed to start; next attempt in {pause} s."
                    );
                    self.record(INFO, text);
                } else {
                    let text = format!(
                        "WSGI5040: A process of daemon group '{name}' ended before it was ready ({end}); \
                         next attempt in {pause} s."
                    );
                    self.record(ERROR, text);
                }
            }
            State::Serving => self.died(process, &name, now),
            State::Retiring(_) | State::Leaving { .. } => self.early_deaths = 0,
        }
    }

    /// A process that served died by itself.
    fn died(&mut self, process: Process, name: &str, now: Millis) {
        let life = now.saturating_sub(process.ready.unwrap_or(now));
        if life >= SHORT_LIFE {
            self.early_deaths = 0;
            return;
        }
        self.early_deaths = self.early_deaths.saturating_add(1);
        // A killed process is back at once; only what goes on dying has to wait.
        let pause = pause_for(self.early_deaths.saturating_sub(FREE_DEATHS));
        self.not_before = self.not_before.max(now.saturating_add(pause));
        if pause > 0 {
            let text = format!(
                "WSGI5041: Processes of daemon group '{name}' keep dying right after their start; \
                 next attempt in {} s.",
                pause / 1000
            );
            self.record(ERROR, text);
        }
    }

    fn show_failing(&mut self, now: Millis) {
        let open = matches!(self.phase, GroupPhase::Open | GroupPhase::Closing { .. });
        let stuck = self.start_failures > 0 || now < self.not_before;
        let failing = open && !self.plan.service && self.up() == 0 && stuck;
        if failing != self.failing {
            self.failing = failing;
            self.actions.push(Action::Failing(failing));
        }
    }
}
