//! A daemon group as the supervisor and its parent have it: everything that was decided when Apache started. Made once,
//! in the httpd parent, and only read afterwards; the supervisor is a fork of the parent and has its copy.

use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;

use wsgi_core::control::DaemonSettings;
use wsgi_core::roster::GroupPlan;
use wsgi_sys::board::Board;
use wsgi_sys::listener::FileIdentity;

use crate::installed::PythonExecutable;

/// The socket file of a group.
#[derive(Clone, Debug)]
pub(super) struct SocketFile {
    /// Its path.
    pub(super) path: PathBuf,
    /// Which file it was when it was bound.
    pub(super) file: FileIdentity,
    /// The next generation has a socket of the same name (no rotation): it is the parent, which binds them, that removes the
    /// file at a restart, so that it cannot be the next one's.
    pub(super) lasting: bool,
}

/// A group.
#[derive(Debug)]
pub(super) struct Member {
    /// How many processes, and the bounds of their ends.
    pub(super) plan: GroupPlan,
    /// Settings of its daemons; slot and instance are filled in for each.
    pub(super) settings: DaemonSettings,
    /// Path of `mod_wsgi-daemon`.
    pub(super) program: PathBuf,
    /// What its daemons are instead, where that can be.
    pub(super) executable: Option<PythonExecutable>,
    /// `argv[0]` of its daemons (DMN-111).
    pub(super) title: OsString,
    /// Socket that children connect to.
    pub(super) socket: SocketFile,
    /// Shared with the children's clients.
    pub(super) board: Arc<Board>,
    /// The board's memory, for daemons to map.
    pub(super) board_file: OwnedFd,
    /// Ordinal of the server that it is defined in: whose error log it has (DMN-600).
    pub(super) server: u32,
}
