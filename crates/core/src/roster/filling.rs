//! Starting what a group lacks: when, in which slot, and who has to make room.

use super::{Action, GroupPhase, Millis, Process, Reason, Roster, STOP_TIME, State, pause_for};

impl Roster {
    pub(super) fn next_start(&self) -> Option<Millis> {
        let is_full = self.slots.iter().all(Option::is_some);
        let room = if is_full { self.next_room()?.1 } else { 0 };
        (self.live() < self.wanted()).then_some(self.not_before.max(room))
    }

    /// The process that has to make room first if the others need its slot, and when. None if none can, or one does
    /// already.
    fn next_room(&self) -> Option<(u32, Millis)> {
        if self.count(|s| s == (State::Leaving { stopped: true })) > 0 {
            return None;
        }
        let oldest = (0..)
            .zip(&self.slots)
            .filter_map(|(slot, process)| Some((slot, process.as_ref()?.leaving?)))
            .min_by_key(|&(_, since)| since)?;
        let patience = self.plan.graceful_timeout.saturating_mul(1000);
        Some((oldest.0, oldest.1.saturating_add(patience)))
    }

    pub(super) fn note_leaving(&mut self, now: Millis) {
        for process in self.slots.iter_mut().flatten() {
            if matches!(process.state, State::Leaving { .. }) {
                process.leaving.get_or_insert(now);
            }
        }
    }

    /// Counts a failure to start; those of processes that were started before the last counted failure are its company.
    pub(super) fn count_failure(&mut self, started: Millis, now: Millis) {
        if self.last_failure.is_none_or(|last| started >= last) {
            self.start_failures = self.start_failures.saturating_add(1);
            self.last_failure = Some(now);
            self.not_before = now.saturating_add(pause_for(self.start_failures));
        }
    }

    /// A script has changed again while the group could not load it: tried soon, but not more than once a second.
    pub(super) fn try_deploy(&mut self) {
        if let Some(last) = self.last_failure.filter(|_| self.deploy_failed) {
            self.not_before = self.not_before.min(last.saturating_add(pause_for(1)));
        }
    }

    /// A process has loaded the changed script: those that have the old one do not wait until a request shows it to them,
    /// so that nobody sees old code behind new for long.
    pub(super) fn deploy_everywhere(&mut self) {
        let Some(first) = self.changed_at.take().filter(|_| self.plan.deploy_check) else {
            return;
        };
        let mut retired = Vec::new();
        for process in self.slots.iter_mut().flatten() {
            if process.state == State::Serving && process.instance < first {
                process.state = State::Retiring(Reason::ScriptReload);
                retired.push(process.pid);
            }
        }
        for pid in retired {
            self.record_replacement(pid, Reason::ScriptReload);
        }
    }

    /// A script has changed again while processes start to serve the change before.
    pub(super) fn outdate_newcomers(&mut self) {
        for process in self.slots.iter_mut().flatten() {
            process.outdated |= process.state == State::Starting;
        }
    }

    /// The process that starts without end and is not wanted any more, and when it is given up: one that loads an outdated script,
    /// which keeps the group from the script as it is now, or one that was told to stop. None if there is none.
    pub(super) fn next_overdue(&self) -> Option<(u32, Millis)> {
        let patience = self.plan.graceful_timeout.max(1).saturating_mul(1000);
        let end = |process: &Process| match process.state {
            _ if process.killed || process.ready.is_some() => None,
            State::Starting if process.outdated => Some(process.started.saturating_add(patience)),
            State::Leaving { stopped: true } => Some(process.leaving?.saturating_add(STOP_TIME)),
            _ => None,
        };
        (0..)
            .zip(&self.slots)
            .filter_map(|(slot, process)| Some((slot, end(process.as_ref()?)?)))
            .min_by_key(|&(_, at)| at)
    }

    /// Gives up processes that start without end. They have no request, and Python does not let them hear anything.
    pub(super) fn kill_overdue(&mut self, now: Millis) {
        while let Some((slot, at)) = self.next_overdue() {
            if now < at {
                return;
            }
            if let Some(process) = self.process(slot) {
                let is_told = process.state == (State::Leaving { stopped: true });
                process.state = State::Leaving { stopped: true };
                process.killed = true;
                let what = if is_told {
                    "has not started and does not hear that it is to stop"
                } else {
                    "is still loading a script that has changed since"
                };
                let (pid, name) = (process.pid, &self.plan.name);
                let text =
                    format!("Process (pid {pid}) of daemon group '{name}' {what}; it is given up.");
                self.record(super::INFO, text);
            }
            self.actions.push(Action::Kill { slot });
        }
    }

    /// Starts what is missing.
    pub(super) fn fill(&mut self, now: Millis) {
        if self.deploy_failed && self.up() == 0 {
            // Nobody has the old code any more: rather a process without the script than none.
            self.deploy_failed = false;
            self.start_failures = 0;
            self.not_before = now;
        }
        if !matches!(self.phase, GroupPhase::Open | GroupPhase::Closing { .. })
            || now < self.not_before
        {
            return;
        }
        while self.live() < self.wanted() {
            let Some(free) = self.slots.iter().position(Option::is_none) else {
                self.make_room(now);
                return;
            };
            let instance = self.next_instance;
            let checked = self.plan.deploy_check && self.up() > 0;
            self.next_instance = self.next_instance.wrapping_add(1).max(1);
            self.slots[free] = Some(Process {
                instance,
                pid: 0,
                started: now,
                ready: None,
                failed: false,
                checked,
                outdated: false,
                leaving: None,
                killed: false,
                state: State::Starting,
            });
            self.actions.push(Action::Spawn {
                slot: free as u32,
                instance,
                checked,
            });
        }
    }

    /// Every slot is taken by processes that still drain: requests wait for one of them to end. The oldest has to go if it
    /// had its graceful-timeout.
    fn make_room(&mut self, now: Millis) {
        if let Some((slot, at)) = self.next_room() {
            if now >= at {
                self.stop_one(slot);
            }
        }
    }
}
