//! The life of a daemon: its states, the moves between them, and the reasons for its end that Python, the log and the
//! board show.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Why a daemon ends (DMN-530). The first one recorded wins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Reason {
    /// SIGTERM, SIGINT, or Apache stops.
    ShutdownSignal,
    /// SIGUSR1.
    GracefulSignal,
    /// SIGUSR1 with `eviction-timeout`.
    EvictionSignal,
    /// `maximum-requests`.
    MaximumRequests,
    /// `restart-interval`.
    RestartInterval,
    /// `inactivity-timeout`.
    InactivityTimeout,
    /// `request-timeout`.
    RequestTimeout,
    /// `startup-timeout`.
    StartupTimeout,
    /// `deadlock-timeout`.
    DeadlockTimeout,
    /// `cpu-time-limit`.
    CpuTimeLimit,
    /// A script changed.
    ScriptReload,
    /// The control channel or the signal pipe was lost.
    SignalPipeError,
}

impl Reason {
    /// The text that Python code and the log see.
    pub fn as_str(self) -> &'static str {
        match self {
            Reason::ShutdownSignal => "shutdown_signal",
            Reason::GracefulSignal => "graceful_signal",
            Reason::EvictionSignal => "eviction_signal",
            Reason::MaximumRequests => "maximum_requests",
            Reason::RestartInterval => "restart_interval",
            Reason::InactivityTimeout => "inactivity_timeout",
            Reason::RequestTimeout => "request_timeout",
            Reason::StartupTimeout => "startup_timeout",
            Reason::DeadlockTimeout => "deadlock_timeout",
            Reason::CpuTimeLimit => "cpu_time_limit",
            Reason::ScriptReload => "script_reload",
            Reason::SignalPipeError => "signal_pipe_error",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Where a daemon is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// From fork to readiness; takes no requests.
    Starting,
    /// Takes requests.
    Serving,
    /// Takes no new request; those that run may finish until the deadline.
    Draining {
        /// Why.
        reason: Reason,
    },
    /// Running requests have `shutdown-timeout`, then it ends by force.
    Stopping {
        /// Why.
        reason: Reason,
    },
    /// Nothing runs any more.
    Gone,
}

impl Phase {
    /// Whether the life may go on from here to `next`. A process never takes requests again once it has refused one.
    pub fn may_become(self, next: Phase) -> bool {
        matches!(
            (self, next),
            (
                Phase::Starting,
                Phase::Serving | Phase::Stopping { .. } | Phase::Gone
            ) | (
                Phase::Serving,
                Phase::Draining { .. } | Phase::Stopping { .. } | Phase::Gone
            ) | (Phase::Draining { .. }, Phase::Stopping { .. } | Phase::Gone)
                | (Phase::Stopping { .. }, Phase::Gone)
        )
    }

    /// The next phase, with the reason that was recorded first; None if the move is not allowed.
    pub fn become_next(self, next: Phase) -> Option<Phase> {
        if !self.may_become(next) {
            return None;
        }
        Some(match (self, next) {
            (Phase::Draining { reason }, Phase::Stopping { .. }) => Phase::Stopping { reason },
            _ => next,
        })
    }

    /// Value on the board.
    pub fn board_value(self) -> u32 {
        match self {
            Phase::Starting => 1,
            Phase::Serving => 2,
            Phase::Draining { .. } => 3,
            Phase::Stopping { .. } => 4,
            Phase::Gone => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REASON: Reason = Reason::ScriptReload;

    /// DMN-530: the first reason recorded wins.
    #[test]
    fn first_reason_wins() {
        let draining = Phase::Draining {
            reason: Reason::MaximumRequests,
        };
        let stopping = draining.become_next(Phase::Stopping {
            reason: Reason::ShutdownSignal,
        });
        assert_eq!(
            stopping,
            Some(Phase::Stopping {
                reason: Reason::MaximumRequests
            })
        );
    }

    #[test]
    fn never_serves_again_after_draining() {
        for phase in [
            Phase::Draining { reason: REASON },
            Phase::Stopping { reason: REASON },
            Phase::Gone,
        ] {
            assert_eq!(phase.become_next(Phase::Serving), None);
        }
    }

    #[test]
    fn only_gone_is_final() {
        let all = [
            Phase::Starting,
            Phase::Serving,
            Phase::Draining { reason: REASON },
            Phase::Stopping { reason: REASON },
        ];
        for phase in all {
            assert!(phase.may_become(Phase::Gone));
        }
        assert!(!Phase::Gone.may_become(Phase::Starting));
    }
}
