//! What the supervisor process has of its groups while they run. Changed by its loop only.

use std::os::fd::OwnedFd;

use wsgi_core::roster::Roster;
use wsgi_sys::control::ControlSocket;

use super::member::Member;

/// A group with its processes.
pub(super) struct Group<'m> {
    pub(super) member: &'m Member,
    /// None when the group has ended and let go of its socket.
    pub(super) listener: Option<OwnedFd>,
    pub(super) roster: Roster,
    /// By slot.
    pub(super) daemons: Vec<Option<Daemon>>,
    /// Preloaded scripts that the last process to get ready could do without, by index.
    pub(super) broken: Vec<u32>,
}

impl Group<'_> {
    /// Preloaded scripts that the group has, so that a new process may not lack them.
    pub(super) fn required(&self) -> Vec<u32> {
        let scripts = u32::try_from(self.member.settings.preload.len()).unwrap_or(u32::MAX);
        (0..scripts)
            .filter(|index| !self.broken.contains(index))
            .collect()
    }
}

/// A running daemon, as far as descriptors go.
pub(super) struct Daemon {
    pub(super) pid: i32,
    /// None when the daemon has closed its end.
    pub(super) channel: Option<ControlSocket>,
    /// That it sends nonsense was reported.
    pub(super) reported: bool,
    /// What it said it could not load.
    pub(super) not_loaded: Vec<u32>,
}
