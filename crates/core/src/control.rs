//! The control channel between the supervisor and one daemon: a SOCK_SEQPACKET pair, one message a packet.
//!
//! The daemon gets its settings here, not through argv or the environment, and reports readiness, log records outside
//! requests and its wish to be replaced. The supervisor is root and decodes what a daemon sends like hostile input:
//! length first, then an exact decode, then the values' own checks.

use serde::{Deserialize, Serialize};

use crate::life::Reason;
use crate::python::PythonSettings;
use crate::scoreboard::Page;

/// Longest message in either direction, bytes. Log records are cut to [`MAX_RECORD`] before.
pub const MAX_MESSAGE: usize = 128 * 1024;
/// Longest log record, bytes (ERR-04).
pub const MAX_RECORD: usize = 8192;

/// Descriptor of the control channel in a daemon, fixed by the supervisor before exec.
pub const CONTROL_DESCRIPTOR: i32 = 3;
/// Descriptor of the group's listening socket in a daemon.
pub const LISTENER_DESCRIPTOR: i32 = 4;
/// Descriptor of the group's board (memory file) in a daemon.
pub const BOARD_DESCRIPTOR: i32 = 5;

/// From the supervisor to a daemon.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum ToDaemon {
    /// First message: what the daemon is.
    Start(Box<DaemonSettings>),
    /// Stop taking requests, finish those that run (bounded by `graceful-timeout`), then end. Its replacement serves
    /// already, or none is wanted.
    Drain(Reason),
    /// End at once: running requests have `shutdown-timeout` (DP-92).
    Stop(Reason),
    /// Answer to a question of the same number (MET-60).
    ServerMetrics {
        /// The question's.
        question: u32,
        /// None for a group without `server-metrics=On`.
        page: Option<Page>,
    },
}

/// From a daemon to the supervisor.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum FromDaemon {
    /// Start-up is done and requests are being taken.
    Ready,
    /// A record for the error log of the group's server, outside any request. `level` is httpd's (0 to 15).
    Log {
        /// httpd's level.
        level: u8,
        /// Text without line end, at most [`MAX_RECORD`] bytes.
        text: Vec<u8>,
    },
    /// This process is going to end for `reason` and should be replaced. `draining` tells that it takes no requests any
    /// more (changed script); otherwise it goes on serving until it is told to drain.
    Replace {
        /// Why.
        reason: Reason,
        /// Whether it already refuses requests.
        draining: bool,
    },
    /// Before `Ready`: these scripts of `preload` could not be loaded, by index.
    NotLoaded(Vec<u32>),
    /// A step of start-up failed; the process exits. The text names cause and remedy (DMN-118).
    Failed {
        /// Number of the stable code, e.g. 9 for WSGI0009.
        code: u16,
        /// httpd's level of the record.
        level: u8,
        /// What failed, for people, without the code.
        text: String,
    },
    /// Wants to know Apache's scoreboard, which only the supervisor can read (DMN-905). It answers with
    /// [`ToDaemon::ServerMetrics`], unless the channel is full.
    ServerMetrics {
        /// Tells answers apart.
        question: u32,
        /// First row that is wanted.
        from: u64,
    },
}

/// Everything a daemon has to know. Credentials are numbers: names were resolved by the module at start.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct DaemonSettings {
    /// Name of the group.
    pub group: String,
    /// This process's slot on the board, from 0.
    pub slot: u32,
    /// Number of this process among all that the group ever had, from 1; tells a slot's processes apart.
    pub instance: u32,
    /// Apache's generation that the group belongs to.
    pub generation: u32,
    /// The group's secret, which a child shows in Hello.
    pub secret: [u8; 16],
    /// User ids that may connect (Apache's User, `socket-user`); root always may.
    pub allowed_peers: Vec<u32>,
    /// Request threads; 0 is service mode.
    pub threads: u32,
    /// `stack-size`, bytes.
    pub stack_size: Option<u64>,
    /// What to become, and where.
    pub identity: Identity,
    /// Limits and timeouts.
    pub limits: Limits,
    /// Runtime library to load, absolute path.
    pub runtime: String,
    /// Python.
    pub python: PythonSettings,
    /// Scripts to load before requests are taken, in file order (API-049).
    pub preload: Vec<Preload>,
    /// `deploy-check`: a change of a preloaded script is a reason to be replaced, not to end at once.
    pub deploy_check: bool,
    /// Indexes of those scripts of `preload` that have to load: others serve with the code that they have, and this process
    /// is of no use without. Empty where there are no others.
    pub required: Vec<u32>,
    /// `server-metrics`: the supervisor answers questions about Apache's scoreboard.
    pub server_metrics: bool,
    /// LogLevel of module `wsgi` in the group's server (httpd's, 0 to 15): records above it are not worth making.
    pub log_level: u8,
}

/// A script to load at start.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Preload {
    /// Path as configured.
    pub script: String,
    /// Interpreter; empty is the main one.
    pub application_group: String,
}

/// Who a daemon runs as, and in what surroundings. Steps DMN-111 to DMN-126 in this order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// Whether to change ids at all: Apache was started as root (DP-29).
    pub change: bool,
    /// User id.
    pub uid: u32,
    /// Name of the user, for initgroups and messages.
    pub user: String,
    /// Group id.
    pub gid: u32,
    /// Exact supplementary groups; None for the user's own (DP-12).
    pub supplementary_groups: Option<Vec<u32>>,
    /// `home=`.
    pub home: Option<String>,
    /// Whether the user differs from Apache's, so that without `home` the passwd home becomes the working directory (DP-16).
    pub differs_from_apache: bool,
    /// `chroot=`.
    pub chroot: Option<String>,
    /// `umask=`.
    pub umask: Option<u32>,
    /// `lang=` (DP-17).
    pub lang: Option<String>,
    /// `locale=` (DP-18).
    pub locale: Option<String>,
    /// `cpu-priority=`.
    pub cpu_priority: i32,
    /// Whether CoreDumpDirectory is set.
    pub dumpable: bool,
}

/// Limits and timeouts of a daemon; seconds where nothing else is said, 0 is off.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// `maximum-requests`.
    pub maximum_requests: u64,
    /// `socket-timeout`, or Apache's Timeout.
    pub socket_timeout: u64,
    /// `shutdown-timeout`; 0 waits for ever.
    pub shutdown_timeout: u64,
    /// `graceful-timeout`.
    pub graceful_timeout: u64,
    /// `eviction-timeout`; 0 is graceful-timeout.
    pub eviction_timeout: u64,
    /// `startup-timeout`.
    pub startup_timeout: u64,
    /// `deadlock-timeout`.
    pub deadlock_timeout: u64,
    /// `inactivity-timeout`.
    pub inactivity_timeout: u64,
    /// `request-timeout`.
    pub request_timeout: u64,
    /// `interrupt-timeout`.
    pub interrupt_timeout: u64,
    /// `restart-interval`.
    pub restart_interval: u64,
    /// `queue-timeout`.
    pub queue_timeout: u64,
    /// `cpu-time-limit`.
    pub cpu_time: u64,
    /// `memory-limit`, bytes.
    pub memory: u64,
    /// `virtual-memory-limit`, bytes.
    pub virtual_memory: u64,
}

/// A message that cannot be taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ControlError {
    /// Longer than [`MAX_MESSAGE`].
    #[error("a control message of {length} bytes is longer than {MAX_MESSAGE}")]
    TooLong {
        /// Its length in bytes.
        length: usize,
    },
    /// Not a message of this version.
    #[error("a control message of {length} bytes cannot be decoded")]
    Malformed {
        /// Its length in bytes.
        length: usize,
    },
}

/// Encodes a message.
///
/// # Errors
/// [`ControlError::TooLong`]: settings of absurd size.
pub fn encode<T: Serialize>(message: &T) -> Result<Vec<u8>, ControlError> {
    let bytes = postcard::to_stdvec(message).expect("plain data always encodes");
    if bytes.len() > MAX_MESSAGE {
        return Err(ControlError::TooLong {
            length: bytes.len(),
        });
    }
    Ok(bytes)
}

/// Decodes a whole packet; bytes left over make it malformed.
///
/// # Errors
/// Any [`ControlError`].
pub fn decode<'a, T: Deserialize<'a>>(packet: &'a [u8]) -> Result<T, ControlError> {
    let length = packet.len();
    if length > MAX_MESSAGE {
        return Err(ControlError::TooLong { length });
    }
    match postcard::take_from_bytes(packet) {
        Ok((message, [])) => Ok(message),
        _ => Err(ControlError::Malformed { length }),
    }
}
