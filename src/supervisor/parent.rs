//! The httpd parent's side: forking a generation's supervisor, starting another one if it dies, and ending it with its
//! configuration. The parent has one thread; its children only close what is not theirs.
//!
//! What belongs to a generation is in [`Generation`], which lives as long as its configuration, or as its supervisor if
//! that goes on for old children. The one static is the list of such supervisors: children of this process, not
//! configuration.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::signal::{Signal, kill, killpg};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{Pid, pipe2, setpgid, write};
use parking_lot::Mutex;
use wsgi_core::roster::STOP_TIME;
use wsgi_core::scoreboard::Page;
use wsgi_sys::listener::unlink_if_same;
use wsgi_sys::{descriptors, signals};

use super::lasting;
use super::member::Member;
use super::serve::{self, GRACEFUL, RecordSink, STOP};
use crate::apache::other_child::{self, Ended, Watch};
use crate::apache::{Level, Server, log, process, scoreboard};

/// Beyond the time that the supervisor gives its daemons, for itself to notice their end.
const MARGIN: Duration = Duration::from_secs(1);

/// Supervisors of old generations that still run, for old children.
static DRAINING: Mutex<Vec<Draining>> = Mutex::new(Vec::new());

/// A supervisor whose configuration has ended.
struct Draining {
    pid: i32,
    watch: Watch,
    /// Whose sockets are to be removed if it does not do that itself.
    generation: Arc<Generation>,
}

/// The groups of one configuration, and the supervisor that looks after them.
pub(super) struct Generation {
    members: Vec<Member>,
    /// What only the parent has; None in its forks, and when the configuration has ended.
    parent: Mutex<Option<ParentEnds>>,
    /// A child's write end: as long as it is open, the generation has children.
    child: Mutex<Option<OwnedFd>>,
}

struct ParentEnds {
    /// Of the members, in their order.
    listeners: Vec<OwnedFd>,
    /// Kept for the next supervisor; the present one has its own.
    read_end: OwnedFd,
    write_end: OwnedFd,
    supervisor: Option<(i32, Watch)>,
    /// Supervisors so far.
    incarnation: u32,
}

impl Generation {
    /// For `members`, whose `listeners` are in the same order. Its supervisor is still to be [launched](Self::launch).
    ///
    /// # Errors
    /// No pipe.
    pub(super) fn new(
        members: Vec<Member>,
        listeners: Vec<OwnedFd>,
    ) -> io::Result<Arc<Generation>> {
        let (read_end, write_end) = pipe2(OFlag::O_CLOEXEC | OFlag::O_NONBLOCK)?;
        let parent = ParentEnds {
            listeners,
            read_end,
            write_end,
            supervisor: None,
            incarnation: 0,
        };
        Ok(Arc::new(Generation {
            members,
            parent: Mutex::new(Some(parent)),
            child: Mutex::new(None),
        }))
    }

    /// Whether a supervisor was launched. Parent.
    pub(super) fn is_launched(&self) -> bool {
        let parent = self.parent.lock();
        parent
            .as_ref()
            .is_some_and(|parent| parent.supervisor.is_some())
    }

    /// Forks a supervisor and has httpd tell of its end. Apache's scoreboard exists: the supervisor answers questions about it.
    ///
    /// # Errors
    /// No process.
    pub(super) fn launch(self: &Arc<Generation>, main: Server<'static>) -> io::Result<()> {
        let forked = Arc::clone(self);
        // No handler of httpd may run in the new process.
        let blocked = signals::Blocked::all();
        let pid = process::fork(move || {
            // httpd signals its own process group at a stop and a restart; this process is told otherwise, and its
            // group is what is killed if it hangs.
            let _ = setpgid(Pid::from_raw(0), Pid::from_raw(0));
            signals::reset_all();
            forked.supervise(main);
            0
        })?;
        drop(blocked);
        // From both sides, so that the group exists whoever comes first.
        let _ = setpgid(Pid::from_raw(pid), Pid::from_raw(pid));
        let watched = Arc::clone(self);
        let watch = other_child::watch(&main, pid, move |ended| {
            watched.supervisor_ended(pid, ended, main)
        });
        if let Some(parent) = self.parent.lock().as_mut() {
            parent.supervisor = Some((pid, watch));
            parent.incarnation += 1;
        }
        Ok(())
    }

    /// In the new process.
    fn supervise(&self, main: Server<'static>) {
        let Some(parent) = self.parent.lock().take() else {
            return;
        };
        let ParentEnds {
            listeners,
            read_end,
            write_end,
            incarnation,
            ..
        } = parent;
        drop(write_end);
        if let Err(error) = scoreboard::make_read_only() {
            let text = format!(
                "WSGI5048: The supervisor of the daemon groups keeps the right to write Apache's scoreboard: {error}"
            );
            main.log(Level::Warn, text);
        }
        let servers: Vec<Server<'static>> = main.list().collect();
        let of = |member: &Member| servers.get(member.server as usize).copied().unwrap_or(main);
        let sink = ServerLogs(self.members.iter().map(of).collect());
        let mut kept = vec![read_end.as_fd()];
        kept.extend(listeners.iter().map(AsFd::as_fd));
        kept.extend(self.members.iter().map(|member| member.board_file.as_fd()));
        kept.extend(sink.0.iter().chain([&main]).filter_map(Server::error_log));
        if let Err(error) = let_go(&kept) {
            let text = format!(
                "WSGI5047: The supervisor of the daemon groups keeps descriptors of Apache open: {error}"
            );
            main.log(Level::Warn, text);
        }
        serve::run(&self.members, listeners, read_end, incarnation, sink);
    }

    /// The supervisor died, or an old one has done its work.
    fn supervisor_ended(self: &Arc<Generation>, pid: i32, ended: Ended, main: Server<'static>) {
        // A supervisor that died leaves daemons without anyone to look after them.
        let _ = killpg(Pid::from_raw(pid), Signal::SIGKILL);
        if self.parent.lock().is_none() {
            // Its configuration is gone, and with it `main`.
            DRAINING.lock().retain(|draining| draining.pid != pid);
            self.remove_sockets();
            return;
        }
        if other_child::is_stopping() {
            return;
        }
        for member in &self.members {
            for slot in 0..member.board.slots() {
                member.board.vacate(slot);
            }
        }
        let text = format!(
            "WSGI5043: The supervisor of the daemon groups (pid {pid}) has ended unexpectedly ({ended}); \
             another one is started, with new daemons."
        );
        main.log(Level::Error, text);
        if let Err(error) = self.launch(main) {
            // Requests are told at once; Apache has to be restarted.
            for member in &self.members {
                member.board.set_failing(true);
            }
            let text = format!("WSGI0024: The supervisor cannot be started again: {error}");
            main.log(Level::Alert, text);
        }
    }

    /// In a child of httpd: lets go of what belongs to the parent and the daemons (DMN-606).
    pub(super) fn enter_child(&self) {
        if let Some(parent) = self.parent.lock().take() {
            *self.child.lock() = Some(parent.write_end);
        }
    }

    /// The configuration ends. Gracefully, the supervisor goes on for the old children; otherwise everything ends now,
    /// and this waits for it (DMN-550).
    pub(super) fn end(self: &Arc<Generation>, graceful: bool) {
        let Some(parent) = self.parent.lock().take() else {
            return;
        };
        let byte = [if graceful { GRACEFUL } else { STOP }];
        // It fails if the supervisor is dead; then there is nothing to end.
        let _ = write(&parent.write_end, &byte);
        let supervisor = parent.supervisor;
        drop(parent);
        let mut draining = DRAINING.lock();
        draining.extend(supervisor.map(|(pid, watch)| Draining {
            pid,
            watch,
            generation: Arc::clone(self),
        }));
        if graceful {
            return;
        }
        let all = std::mem::take(&mut *draining);
        drop(draining);
        for Draining { pid, watch, .. } in &all {
            other_child::unwatch(*watch);
            // Those of older generations have no pipe any more; to the present one it says the same as the pipe.
            let _ = kill(Pid::from_raw(*pid), Signal::SIGTERM);
        }
        wait_for(all.iter().map(|draining| draining.pid).collect());
        // Also where a supervisor has died before.
        self.remove_sockets();
        for draining in &all {
            draining.generation.remove_sockets();
        }
    }

    /// Removes what the supervisor has not removed itself.
    fn remove_sockets(&self) {
        for Member {
            socket, settings, ..
        } in &self.members
        {
            if socket.lasting && !lasting::is_owner(&socket.path, settings.generation) {
                continue;
            }
            if let Err(error) = unlink_if_same(&socket.path, socket.file) {
                let path = socket.path.display();
                let text = format!("WSGI0073: The socket '{path}' could not be removed: {error}");
                log::process(Level::Warn, text);
            }
        }
    }
}

/// In a new supervisor: closes whatever Apache has open but `kept`. It outlives its configuration, and would keep sockets
/// in use and rotated logs on the disk.
fn let_go(kept: &[BorrowedFd<'_>]) -> io::Result<()> {
    descriptors::silence_standard_streams()?;
    descriptors::close_others(3, kept)
}

/// Waits for supervisors to end, then kills those that have not, with all of their processes.
fn wait_for(mut pids: Vec<i32>) {
    let deadline = Instant::now() + Duration::from_millis(STOP_TIME) + MARGIN;
    let mut pause = Duration::from_millis(1);
    loop {
        pids.retain(
            |pid| match waitpid(Pid::from_raw(*pid), Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::StillAlive) | Err(Errno::EINTR) => true,
                Ok(_) | Err(_) => false,
            },
        );
        if pids.is_empty() {
            return;
        }
        if Instant::now() >= deadline {
            break;
        }
        sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(20));
    }
    for pid in pids {
        let text =
            format!("WSGI5045: The supervisor (pid {pid}) did not end in time and is killed.");
        log::process(Level::Error, text);
        let _ = killpg(Pid::from_raw(pid), Signal::SIGKILL);
        while waitpid(Pid::from_raw(pid), None) == Err(Errno::EINTR) {}
    }
}

/// The error logs of the groups' servers, by group. In the supervisor process, which has its copy of the configuration.
struct ServerLogs(Vec<Server<'static>>);

impl RecordSink for ServerLogs {
    fn record(&self, group: usize, level: u8, text: &[u8]) {
        let level = Level::of_number(i32::from(level));
        match self.0.get(group) {
            Some(server) => server.log(level, text),
            None => log::process(level, text),
        }
    }

    fn error_log(&self, group: usize) -> Option<BorrowedFd<'_>> {
        self.0.get(group)?.error_log()
    }

    fn scoreboard(&self, from: u64) -> Option<Page> {
        scoreboard::page(from)
    }
}
