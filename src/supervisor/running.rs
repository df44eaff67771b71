//! What the supervisor process has of its groups while they run. Changed by its loop only.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use wsgi_core::control::ToDaemon;
use wsgi_core::roster::{Event, Exit, Roster};
use wsgi_core::scoreboard::Page;
use wsgi_sys::control::ControlSocket;
use wsgi_sys::exec::ExecError;

use super::member::Member;
use super::spawn::{self, Newcomer, SpawnError};
use crate::installed::PythonExecutable;

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
    /// What its processes execute; None is `mod_wsgi-daemon`, from the start or since the executable did not run as a daemon.
    pub(super) executable: Option<&'m PythonExecutable>,
}

impl Group<'_> {
    /// Starts a process, one that may not lack what the group has loaded if it is `checked`. What became of it, and the text of a
    /// warning.
    pub(super) fn spawn(
        &mut self,
        slot: u32,
        instance: u32,
        checked: bool,
        error_log: Option<BorrowedFd<'_>>,
    ) -> (Event, Option<String>) {
        let Some(listener) = &self.listener else {
            let error = "its group has ended".to_owned();
            return (Event::SpawnFailed { slot, error }, None);
        };
        self.member.board.assign(slot, instance);
        let start = |executable| {
            let newcomer = Newcomer {
                executable,
                slot,
                instance,
                required: if checked { self.required() } else { Vec::new() },
            };
            spawn::daemon(self.member, listener.as_fd(), error_log, newcomer)
        };
        let mut started = start(self.executable);
        let mut warning = None;
        if let (Some(_), Err(SpawnError::Exec { source })) = (self.executable, &started) {
            if is_of_the_file(source) {
                warning = Some(self.without_executable(&source.to_string()));
                started = start(None);
                self.executable = None;
            }
        }
        let event = match started {
            Ok((pid, channel)) => {
                let daemon = Daemon {
                    pid,
                    channel: Some(channel),
                    has_spoken: false,
                    reported: false,
                    not_loaded: Vec::new(),
                    refused: false,
                };
                let pid = u32::try_from(pid).expect("a pid is positive");
                self.member.board.set_pid(slot, pid);
                if let Some(place) = self.daemons.get_mut(slot as usize) {
                    *place = Some(daemon);
                }
                Event::Spawned { slot, pid }
            }
            Err(error) => Event::SpawnFailed {
                slot,
                error: error.to_string(),
            },
        };
        (event, warning)
    }

    /// Python's executable was started and ended like a Python with nothing to do: the dynamic linker has not loaded the library
    /// that makes a daemon of it. The next process is `mod_wsgi-daemon`. Text of a warning, if that is the case.
    pub(super) fn did_not_run(&mut self, slot: u32, end: Exit) -> Option<String> {
        let daemon = self.daemons.get(slot as usize)?.as_ref()?;
        let executable = self.executable?;
        if end != Exit::Status(0) || daemon.has_spoken {
            return None;
        }
        let text = self.without_executable(&format!(
            "'{}' did not become a daemon process, because LD_PRELOAD={} had no effect",
            executable.path.display(),
            executable.preload.display()
        ));
        self.executable = None;
        Some(text)
    }

    fn without_executable(&self, why: &str) -> String {
        format!(
            "WSGI5217: Processes of daemon group '{}' are mod_wsgi-daemon with Python's shared library from now on, which is \
             slower: {why}",
            self.member.plan.name
        )
    }

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

/// Whether it is the executable's fault that it could not be executed, and not a shortage that passes.
fn is_of_the_file(error: &ExecError) -> bool {
    let ExecError::Exec { source, .. } = error else {
        return false;
    };
    matches!(
        source.raw_os_error(),
        Some(
            libc::ENOENT | libc::ENOTDIR | libc::EACCES | libc::EPERM | libc::ENOEXEC | libc::ELOOP
        )
    )
}

/// A running daemon, as far as descriptors go.
pub(super) struct Daemon {
    pub(super) pid: i32,
    /// None when the daemon has closed its end.
    pub(super) channel: Option<ControlSocket>,
    /// It has sent a message, whatever it was.
    pub(super) has_spoken: bool,
    /// That it sends nonsense was reported.
    pub(super) reported: bool,
    /// What it said it could not load.
    pub(super) not_loaded: Vec<u32>,
    /// That it asks for what it may not know was reported.
    pub(super) refused: bool,
}
