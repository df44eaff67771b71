//! How a group ends: with its generation, in order or at once.

use super::{Action, GroupPhase, Millis, Roster, STOP_TIME, State};
use crate::life::Reason;

impl Roster {
    pub(super) fn close(&mut self, now: Millis) {
        if !matches!(self.phase, GroupPhase::New | GroupPhase::Open) {
            return;
        }
        if self.plan.service {
            // The next generation's service must not run beside this one.
            self.stop_all(now);
            return;
        }
        let deadline = now.saturating_add(self.plan.graceful_timeout.saturating_mul(1000));
        self.phase = GroupPhase::Closing { deadline };
    }

    pub(super) fn drain_all(&mut self, now: Millis) {
        // The daemons end by themselves within graceful-timeout and shutdown-timeout. Where that is off or they hang,
        // nothing may be left of an old generation all the same.
        let shutdown = if self.plan.shutdown_timeout == 0 {
            5
        } else {
            self.plan.shutdown_timeout
        };
        let bound = self
            .plan
            .graceful_timeout
            .saturating_add(shutdown)
            .saturating_mul(1000);
        self.phase = GroupPhase::Draining {
            deadline: now.saturating_add(bound).saturating_add(STOP_TIME),
        };
        for slot in 0..self.slots.len() as u32 {
            let Some(process) = self.process(slot) else {
                continue;
            };
            match process.state {
                State::Serving | State::Retiring(_) => {
                    process.state = State::Leaving { stopped: false };
                    let reason = Reason::ShutdownSignal;
                    self.actions.push(Action::Drain { slot, reason });
                }
                State::Starting => self.stop_one(slot),
                State::Leaving { .. } => {}
            }
        }
    }

    pub(super) fn stop_one(&mut self, slot: u32) {
        let Some(process) = self.process(slot) else {
            return;
        };
        // A process that is only about to be forked is stopped when its pid is known.
        if process.pid == 0 || process.state == (State::Leaving { stopped: true }) {
            return;
        }
        process.state = State::Leaving { stopped: true };
        self.actions.push(Action::Stop {
            slot,
            reason: Reason::ShutdownSignal,
        });
    }

    pub(super) fn stop_all(&mut self, now: Millis) {
        if matches!(self.phase, GroupPhase::Stopping { .. }) {
            return;
        }
        self.phase = GroupPhase::Stopping {
            deadline: now.saturating_add(STOP_TIME),
            killed: false,
        };
        for slot in 0..self.slots.len() as u32 {
            self.stop_one(slot);
        }
    }

    pub(super) fn look_at_clock(&mut self, now: Millis) {
        match self.phase {
            GroupPhase::Closing { deadline } if now >= deadline => self.drain_all(now),
            GroupPhase::Draining { deadline } if now >= deadline && !self.is_empty() => {
                self.stop_all(now);
            }
            GroupPhase::Stopping {
                deadline,
                killed: false,
            } if now >= deadline => {
                self.phase = GroupPhase::Stopping {
                    deadline,
                    killed: true,
                };
                for slot in 0..self.slots.len() as u32 {
                    if self.process(slot).is_some_and(|p| p.pid != 0) {
                        self.actions.push(Action::Kill { slot });
                    }
                }
            }
            GroupPhase::Open | GroupPhase::Closing { .. } | GroupPhase::Draining { .. } => {
                self.kill_overdue(now);
            }
            _ => {}
        }
    }
}
