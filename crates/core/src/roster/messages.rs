//! What goes into a roster and comes out of it.

use std::fmt;

use crate::life::Reason;

/// What a roster has to know of its group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupPlan {
    /// Name, for records.
    pub name: String,
    /// `processes=`.
    pub processes: u32,
    /// Whether the group runs a service script (`threads=0`): its processes never serve and are stopped, not drained.
    pub service: bool,
    /// `graceful-timeout`, seconds.
    pub graceful_timeout: u64,
    /// `shutdown-timeout`, seconds.
    pub shutdown_timeout: u64,
    /// `deploy-check`, and there is a preloaded script.
    pub deploy_check: bool,
    /// Ids and threads for the record of a start, e.g. `uid 33, gid 33, 15 threads` (DMN-110).
    pub details: String,
    /// Instance number before the first: a supervisor that follows another one starts above its numbers.
    pub instance_base: u32,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The supervisor is ready to start processes.
    Begin,
    /// The process that [`Action::Spawn`] asked for runs.
    Spawned {
        /// Its slot.
        slot: u32,
        /// Its pid.
        pid: u32,
    },
    /// It could not even be forked or executed.
    SpawnFailed {
        /// Its slot.
        slot: u32,
        /// Why, with path or limit, for people.
        error: String,
    },
    /// `FromDaemon::Ready`.
    Ready {
        /// Who.
        slot: u32,
    },
    /// `FromDaemon::Replace`.
    Replace {
        /// Who.
        slot: u32,
        /// Why.
        reason: Reason,
        /// Whether it refuses requests already.
        draining: bool,
    },
    /// `FromDaemon::Failed`: a step of start-up failed, the process is about to exit.
    Failed {
        /// Who.
        slot: u32,
        /// Number of the code.
        code: u16,
        /// httpd's level.
        level: u8,
        /// What failed.
        text: String,
    },
    /// The process was reaped.
    Exited {
        /// Its slot.
        slot: u32,
        /// How it ended.
        end: Exit,
    },
    /// Nothing, but time went by.
    Clock,
    /// Graceful restart: the generation has ended, its children go on for a while.
    Close,
    /// The last child of an ended generation is gone.
    ChildrenGone,
    /// Apache stops or restarts hard.
    Stop,
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// With this status.
    Status(i32),
    /// Killed by this signal.
    Signal(i32),
    /// Unknown: it vanished.
    Lost,
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Exit::Status(status) => write!(f, "exit status {status}"),
            Exit::Signal(signal) => write!(f, "signal {signal}"),
            Exit::Lost => f.write_str("unknown end"),
        }
    }
}

/// What the supervisor has to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Fork and execute a process in this slot; answer with [`Event::Spawned`] or [`Event::SpawnFailed`].
    Spawn {
        /// Slot on the board.
        slot: u32,
        /// Instance number.
        instance: u32,
        /// Others serve: the process has to load the preloaded scripts, or it is of no use.
        checked: bool,
    },
    /// Send `ToDaemon::Drain`.
    Drain {
        /// To whom.
        slot: u32,
        /// Why.
        reason: Reason,
    },
    /// Send `ToDaemon::Stop`, and SIGTERM for a process that cannot read it yet.
    Stop {
        /// To whom.
        slot: u32,
        /// Why.
        reason: Reason,
    },
    /// SIGKILL.
    Kill {
        /// Whom.
        slot: u32,
    },
    /// Empty the slot's words on the board and close its control channel.
    Clear {
        /// Which.
        slot: u32,
    },
    /// Write the group's FAILING word.
    Failing(bool),
    /// Write a record to the error log of the group's server.
    Record {
        /// httpd's level.
        level: u8,
        /// Text, with its code where the level is warning or worse.
        text: String,
    },
}
