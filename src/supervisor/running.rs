//! What the supervisor process has of its groups while they run. Changed by its loop only.

use std::os::fd::OwnedFd;

use wsgi_core::control::ToDaemon;
use wsgi_core::roster::Roster;
use wsgi_core::scoreboard::Page;
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

    /// Answers a daemon's question about Apache's scoreboard, which only a group with `server-metrics=On` may know (DMN-905).
    /// Gives the text of a record, once, where it is refused.
    pub(super) fn answer(
        &mut self,
        slot: u32,
        question: u32,
        page: impl FnOnce() -> Option<Page>,
    ) -> Option<String> {
        let is_allowed = self.member.settings.server_metrics;
        let daemon = self.daemons.get_mut(slot as usize)?.as_mut()?;
        let page = if is_allowed { page() } else { None };
        if let Some(channel) = &daemon.channel {
            // Where it is full, the daemon does not read, which is no reason to wait for it: who asks gets None after a while.
            let _ = channel.try_send(&ToDaemon::ServerMetrics { question, page });
        }
        let is_news = !is_allowed && !std::mem::replace(&mut daemon.refused, true);
        is_news.then(|| {
            format!(
                "WSGI5049: A process (pid {}) of daemon group '{}' asks for server metrics, which it may not know without \
                 server-metrics=On; it is told nothing.",
                daemon.pid, self.member.plan.name
            )
        })
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
    /// That it asks for what it may not know was reported.
    pub(super) refused: bool,
}
