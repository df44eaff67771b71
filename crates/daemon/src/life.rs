//! The life of this process: its phase, the reason for its end, and the wish to be replaced. Any thread moves it; the main
//! thread is woken for each move and carries out the end.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::Mutex;
use wsgi_core::control::FromDaemon;
use wsgi_core::life::{Phase, Reason};
use wsgi_sys::clock;
use wsgi_sys::descriptors::Wakeup;

use crate::dispatch::Dispatch;
use crate::log::{self, Level};

/// Phase and reason.
pub(crate) struct Life {
    /// Name of the group, for the log.
    group: String,
    state: Mutex<State>,
    /// Requests are refused: the phase is not serving. Read for each request.
    refusing: AtomicBool,
    /// Python answers no more, whatever reason was recorded first.
    python_is_blocked: AtomicBool,
    /// When draining ends by force, in monotonic microseconds; 0 for never.
    drain_deadline: AtomicU64,
    /// When the process ends by force, in monotonic microseconds; 0 for never.
    reaper_deadline: AtomicU64,
    /// Wakes the main thread.
    pub(crate) wakeup: Wakeup,
}

struct State {
    phase: Phase,
    /// Why a replacement was asked for; the first one counts (DMN-530).
    wish: Option<Reason>,
    /// Times of the changed files, as one number, that a replacement was asked for last.
    deployed: Option<u64>,
    /// What the main thread has to tell the supervisor: it may wait for that, others must not.
    untold: Vec<FromDaemon>,
}

impl Life {
    /// Of a process of this group that is starting.
    pub(crate) fn new(group: &str) -> std::io::Result<Life> {
        Ok(Life {
            group: group.to_owned(),
            state: Mutex::new(State {
                phase: Phase::Starting,
                wish: None,
                deployed: None,
                untold: Vec::new(),
            }),
            refusing: AtomicBool::new(true),
            python_is_blocked: AtomicBool::new(false),
            drain_deadline: AtomicU64::new(0),
            reaper_deadline: AtomicU64::new(0),
            wakeup: Wakeup::new()?,
        })
    }

    pub(crate) fn phase(&self) -> Phase {
        self.state.lock().phase
    }

    /// Why the process ends, if it does.
    pub(crate) fn reason(&self) -> Option<Reason> {
        match self.phase() {
            Phase::Draining { reason } | Phase::Stopping { reason } => Some(reason),
            _ => None,
        }
    }

    /// Whether requests are refused.
    pub(crate) fn is_refusing(&self) -> bool {
        self.refusing.load(Ordering::SeqCst)
    }

    /// From start-up to serving.
    pub(crate) fn serve(&self) {
        let mut state = self.state.lock();
        if let Some(next) = state.phase.become_next(Phase::Serving) {
            state.phase = next;
            self.refusing.store(false, Ordering::SeqCst);
        }
    }

    /// Asks the supervisor once for a replacement; goes on serving until it says to drain.
    pub(crate) fn ask_replacement(&self, reason: Reason) {
        let first = {
            let mut state = self.state.lock();
            let first = state.phase == Phase::Serving && state.wish.is_none();
            if first {
                state.wish = Some(reason);
                state.untold.push(FromDaemon::Replace {
                    reason,
                    draining: false,
                });
            }
            first
        };
        if first {
            log::record(
                Level::Info,
                format!(
                    "process of group '{}' should be replaced ({reason})",
                    self.group
                ),
            );
            self.wakeup.wake();
        }
    }

    /// A script has changed whose old code serves until a replacement has loaded the new one: asks for it, again with every
    /// other `stamp` of their times.
    pub(crate) fn ask_deploy(&self, stamp: u64) {
        let is_new = {
            let mut state = self.state.lock();
            let is_new = state.phase == Phase::Serving && state.deployed != Some(stamp);
            if is_new {
                state.deployed = Some(stamp);
                if state.wish.is_some() {
                    state.untold.push(FromDaemon::Replace {
                        reason: Reason::ScriptReload,
                        draining: false,
                    });
                }
            }
            is_new
        };
        if is_new {
            self.ask_replacement(Reason::ScriptReload);
            self.wakeup.wake();
        }
    }

    /// What the supervisor has to be told, for the main thread; in order.
    pub(crate) fn take_untold(&self) -> Vec<FromDaemon> {
        std::mem::take(&mut self.state.lock().untold)
    }

    /// Takes no requests from here on; `limit` is how long running ones may take (None for ever). The supervisor is told
    /// if `tell` says so: it does not know yet. True if the process was serving.
    pub(crate) fn drain(
        &self,
        reason: Reason,
        dispatch: &Dispatch,
        limit: Option<u64>,
        tell: bool,
    ) -> bool {
        let reason = {
            let mut state = self.state.lock();
            let reason = state.wish.unwrap_or(reason);
            let Some(next) = state.phase.become_next(Phase::Draining { reason }) else {
                return false;
            };
            state.phase = next;
            self.refusing.store(true, Ordering::SeqCst);
            dispatch.show(next);
            if tell {
                state.untold.push(FromDaemon::Replace {
                    reason,
                    draining: true,
                });
            }
            reason
        };
        dispatch.close_listener();
        let deadline = limit.map_or(0, deadline_in);
        self.drain_deadline.store(deadline, Ordering::SeqCst);
        log::record(
            Level::Info,
            format!(
                "process of group '{}' is taking no more requests ({reason})",
                self.group
            ),
        );
        self.wakeup.wake();
        true
    }

    /// Ends as soon as possible: the main thread begins the shutdown sequence.
    pub(crate) fn stop(&self, reason: Reason, dispatch: &Dispatch) {
        {
            let mut state = self.state.lock();
            let reason = state.wish.unwrap_or(reason);
            let Some(next) = state.phase.become_next(Phase::Stopping { reason }) else {
                return;
            };
            state.phase = next;
            self.refusing.store(true, Ordering::SeqCst);
            dispatch.show(next);
        }
        dispatch.close_listener();
        self.wakeup.wake();
    }

    /// Ends as [`Life::stop`] does, without asking Python anything (DMN-440).
    pub(crate) fn stop_blocked(&self, dispatch: &Dispatch) {
        self.python_is_blocked.store(true, Ordering::SeqCst);
        self.stop(Reason::DeadlockTimeout, dispatch);
    }

    /// Whether Python is blocked for good.
    pub(crate) fn is_python_blocked(&self) -> bool {
        self.python_is_blocked.load(Ordering::SeqCst)
    }

    /// Limits the shutdown sequence (DMN-511); 0 is no limit.
    pub(crate) fn limit_shutdown(&self, seconds: u64) {
        if seconds > 0 {
            self.reaper_deadline
                .store(deadline_in(seconds), Ordering::SeqCst);
        }
    }

    /// Whether draining has lasted too long.
    pub(crate) fn drain_is_over(&self, now: u64) -> bool {
        is_over(self.drain_deadline.load(Ordering::SeqCst), now)
            && matches!(self.phase(), Phase::Draining { .. })
    }

    /// Whether the shutdown sequence has lasted too long.
    pub(crate) fn must_end(&self, now: u64) -> bool {
        is_over(self.reaper_deadline.load(Ordering::SeqCst), now)
    }

    /// The next deadline, in monotonic microseconds; None if there is none.
    pub(crate) fn next_deadline(&self) -> Option<u64> {
        [&self.drain_deadline, &self.reaper_deadline]
            .into_iter()
            .map(|deadline| deadline.load(Ordering::SeqCst))
            .filter(|deadline| *deadline > 0)
            .min()
    }
}

fn deadline_in(seconds: u64) -> u64 {
    clock::monotonic_micros().saturating_add(seconds.saturating_mul(1_000_000))
}

fn is_over(deadline: u64, now: u64) -> bool {
    deadline > 0 && now >= deadline
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dispatch::tests::Group;

    fn serving() -> (Life, Group) {
        let life = Life::new("site").unwrap();
        life.serve();
        (life, Group::new(1))
    }

    /// DMN-530: the first reason counts: that of the replacement that was asked for, before that of the order to drain or stop.
    #[test]
    fn the_reason_of_the_wish_comes_first() {
        let wish = Reason::MaximumRequests;
        let (life, group) = serving();
        life.ask_replacement(wish);
        life.ask_replacement(Reason::RestartInterval);
        assert!(life.drain(Reason::ScriptReload, &group.dispatch, None, false));
        assert_eq!(life.reason(), Some(wish));
        life.stop(Reason::ShutdownSignal, &group.dispatch);
        assert_eq!(life.phase(), Phase::Stopping { reason: wish });

        let (life, group) = serving();
        life.ask_replacement(wish);
        life.stop(Reason::ShutdownSignal, &group.dispatch);
        assert_eq!(life.reason(), Some(wish));

        let (life, group) = serving();
        assert!(life.drain(Reason::ScriptReload, &group.dispatch, None, false));
        assert_eq!(life.reason(), Some(Reason::ScriptReload));
    }

    /// The supervisor is told of a wish once, and of draining only where it does not know; then with the reason that counts.
    #[test]
    fn the_supervisor_is_told_what_it_does_not_know() {
        let told = |reason, draining| FromDaemon::Replace { reason, draining };
        let (life, group) = serving();
        life.ask_replacement(Reason::MaximumRequests);
        life.ask_replacement(Reason::MaximumRequests);
        assert_eq!(life.take_untold(), [told(Reason::MaximumRequests, false)]);
        assert!(life.drain(Reason::ScriptReload, &group.dispatch, None, true));
        assert_eq!(life.take_untold(), [told(Reason::MaximumRequests, true)]);
        assert!(!life.drain(Reason::ScriptReload, &group.dispatch, None, true));
        assert_eq!(life.take_untold(), []);

        let (life, group) = serving();
        assert!(life.drain(Reason::ScriptReload, &group.dispatch, None, false));
        assert_eq!(life.take_untold(), []);
        // Nobody replaces a process that was told to go.
        life.ask_replacement(Reason::MaximumRequests);
        assert_eq!(life.take_untold(), []);
    }
}
