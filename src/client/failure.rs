//! Why a request could not be forwarded, with the status for the client and the stable code for the log (DMN-212 to
//! DMN-245, DMN-300 to DMN-302, section 6.4).

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use wsgi_core::wire::WireError;

use super::store::StoreError;

/// A request that got no answer of its application.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// The group could not be set up at start.
    #[error("daemon group '{group}' was not started: {reason}")]
    NotStarted {
        /// The group.
        group: String,
        /// What failed at start.
        reason: String,
    },
    /// No process of the group can start.
    #[error(
        "no process of daemon group '{group}' can be started at the moment; see the error log of its server"
    )]
    Failing {
        /// The group.
        group: String,
    },
    /// No descriptor for a connection.
    #[error("cannot create a socket for a daemon: {0}")]
    Socket(#[source] io::Error),
    /// Refused or full for too long.
    #[error("cannot connect to the daemon socket '{}' for {:.1} s: {source}", path.display(), waited.as_secs_f64())]
    ConnectTimeout {
        /// The socket.
        path: PathBuf,
        /// How long it was tried.
        waited: Duration,
        /// The last attempt's error.
        source: io::Error,
    },
    /// Cannot be connected to.
    #[error("cannot connect to the daemon socket '{}' as user id {user}: {source}", path.display())]
    Connect {
        /// The socket.
        path: PathBuf,
        /// Effective user id of this child.
        user: u32,
        /// The system's error.
        source: io::Error,
    },
    /// Environ and names are over the limit.
    #[error("the request cannot be described to a daemon: {0}")]
    TooLarge(WireError),
    /// Head not sent.
    #[error("cannot send the request to a daemon: {source}")]
    Send {
        /// The system's error.
        source: io::Error,
        /// Whether it was sent again after a refusal.
        again: bool,
    },
    /// The daemon sent a frame that has no place there.
    #[error("a daemon of group '{group}' answered with nonsense: {error}")]
    Handshake {
        /// The group.
        group: String,
        /// What was wrong.
        error: WireError,
    },
    /// Waited longer than queue-timeout; the daemon has logged it.
    #[error("the request waited longer than queue-timeout")]
    Queue,
    /// Refused too often.
    #[error(
        "daemon group '{group}' refused the request {times} times, because its processes restart"
    )]
    Refused {
        /// The group.
        group: String,
        /// How often.
        times: u32,
    },
    /// No process took the request for socket-timeout, because none is ready yet.
    #[error(
        "no process of daemon group '{group}' was ready within {:.0} s: they are still starting; the error log of its \
         server says what they do", waited.as_secs_f64()
    )]
    Starting {
        /// The group.
        group: String,
        /// How long the request waited.
        waited: Duration,
    },
    /// Nothing came for socket-timeout.
    #[error("a daemon of group '{group}' sent no response headers in time")]
    HeadTimeout {
        /// The group.
        group: String,
    },
    /// The connection ended first.
    #[error("a daemon of group '{group}' ended before it sent response headers")]
    HeadEnd {
        /// The group.
        group: String,
    },
    /// The connection broke first.
    #[error("the response headers of a daemon of group '{group}' cannot be read: {source}")]
    HeadRead {
        /// The group.
        group: String,
        /// What was wrong.
        source: io::Error,
    },
    /// The answer's head was refused, with this status; the text has its code.
    #[error("{text}")]
    Head {
        /// For the client.
        status: u16,
        /// Code and cause.
        text: String,
    },
    /// The body cannot be kept until it is complete.
    #[error("the request body cannot be kept: {0}")]
    Spool(#[source] StoreError),
    /// The client's body broke off.
    #[error("the request body cannot be read: {text}")]
    Body {
        /// For the client; None if httpd has answered already.
        status: Option<u16>,
        /// Cause.
        text: String,
    },
}

impl Failure {
    /// Status for the client; None if httpd has answered already.
    pub(super) fn status(&self) -> Option<u16> {
        Some(match self {
            Failure::NotStarted { .. }
            | Failure::Failing { .. }
            | Failure::ConnectTimeout { .. }
            | Failure::Connect { .. }
            | Failure::Refused { .. } => 503,
            Failure::Socket(_)
            | Failure::Send { .. }
            | Failure::Handshake { .. }
            | Failure::Spool(_) => 500,
            Failure::TooLarge(_) | Failure::HeadEnd { .. } | Failure::HeadRead { .. } => 502,
            Failure::Queue | Failure::Starting { .. } | Failure::HeadTimeout { .. } => 504,
            Failure::Head { status, .. } => *status,
            Failure::Body { status, .. } => return *status,
        })
    }

    /// Number of the stable code; None where the cause was logged already, or is in the text.
    pub(super) fn code(&self) -> Option<u16> {
        Some(match self {
            Failure::NotStarted { .. } | Failure::Connect { .. } => 117,
            Failure::Failing { .. } => 5060,
            Failure::Socket(_) => 115,
            Failure::ConnectTimeout { .. } => 116,
            Failure::TooLarge(_) => 80,
            Failure::Send { again: false, .. } => 121,
            Failure::Send { again: true, .. } => 125,
            Failure::Handshake { .. } => 123,
            Failure::Refused { .. } => 124,
            Failure::Starting { .. } => 5063,
            Failure::HeadTimeout { .. } => 145,
            Failure::HeadEnd { .. } => 146,
            Failure::HeadRead { .. } => 147,
            Failure::Body { .. } => 126,
            Failure::Spool(_) => 5062,
            Failure::Queue | Failure::Head { .. } => return None,
        })
    }

    /// Text for the request's error log, with its code; None where everything was said already.
    pub(super) fn record(&self) -> Option<String> {
        match (self, self.code()) {
            (_, Some(code)) => Some(format!("WSGI{code:04}: {self}")),
            (Failure::Head { text, .. }, None) => Some(text.clone()),
            (_, None) => None,
        }
    }
}
