//! A daemon group as an Apache child sees it: where its daemons listen, who they are, and how long to wait for them. Made
//! when Apache starts, inherited by every child of the generation; any thread.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use wsgi_core::wire::Hello;
use wsgi_sys::board::Board;

use super::pool::Pool;
use super::spool::Bounds;

/// Timeouts and sizes of a group's clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientLimits {
    /// `processes=`.
    pub processes: u32,
    /// `threads=`.
    pub threads: u32,
    /// `connect-timeout=`.
    pub connect_timeout: Duration,
    /// `socket-timeout=`; None for the `Timeout` of the request's server (DMN-216).
    pub socket_timeout: Option<Duration>,
    /// `response-socket-timeout=`, or `socket-timeout=`; None leaves the client's timeout alone (DP-41).
    pub response_socket_timeout: Option<Duration>,
    /// `response-flush-delay=`.
    pub flush_delay: Duration,
    /// `response-buffer-size=`, bytes.
    pub response_buffer: u64,
    /// `header-buffer-size=`, bytes.
    pub header_buffer: usize,
    /// `request-spool=`, bytes in memory; 0 passes a long body on as it comes.
    pub request_spool: usize,
    /// `response-spool=` and `response-spool-max=`; 0 bytes in memory pass everything on, and the daemon waits.
    pub response_spool: Bounds,
}

/// A group's client.
#[derive(Debug)]
pub struct GroupClient {
    pub(super) name: String,
    pub(super) socket: PathBuf,
    pub(super) hello: Hello,
    pub(super) board: Arc<Board>,
    pub(super) pool: Pool,
    pub(super) limits: ClientLimits,
}

impl GroupClient {
    /// A client without a connection yet. `hello` is what its daemons expect to be shown.
    pub fn new(
        name: String,
        socket: PathBuf,
        hello: Hello,
        board: Arc<Board>,
        limits: ClientLimits,
    ) -> GroupClient {
        let pool = Pool::new(board.slots(), limits.threads);
        GroupClient {
            name,
            socket,
            hello,
            board,
            pool,
            limits,
        }
    }

    /// Name of the group.
    pub fn name(&self) -> &str {
        &self.name
    }
}
