//! The supervisor process: one loop over the generation pipe, the control channels of all daemons, and signals.
//!
//! What is to be done is decided by `wsgi_core::roster`; here it is carried out. One thread, no Python, no foreign code. It
//! trusts nothing that a daemon can write: messages are decoded like hostile input, and a number of them at a time.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Instant;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use wsgi_core::control::{FromDaemon, ToDaemon};
use wsgi_core::roster::{Action, Event, Exit, GroupPlan, Millis, Roster};
use wsgi_core::scoreboard::Page;
use wsgi_sys::control::{ChannelError, Received};
use wsgi_sys::listener::unlink_if_same;
use wsgi_sys::signals::{self, SignalPipe};

use super::member::Member;
use super::running::{Daemon, Group};

/// What the parent writes to the generation pipe: the generation ends, its children go on for a while.
pub(super) const GRACEFUL: u8 = b'G';
/// What the parent writes to the generation pipe: everything ends now.
pub(super) const STOP: u8 = b'S';

/// Messages of one daemon that are taken at a time, so that none can keep the loop busy.
const MESSAGES_AT_A_TIME: usize = 64;

/// Where records about a group go: the error log of its server. Between the loop and httpd, so that the loop can run
/// without httpd.
pub(super) trait RecordSink {
    /// Writes a record of httpd's `level` for the group of this index.
    fn record(&self, group: usize, level: u8, text: &[u8]);
    /// Descriptor of the group's error log, which a daemon gets as stderr (DMN-600); None to keep the process's.
    fn error_log(&self, group: usize) -> Option<BorrowedFd<'_>>;
    /// A page of Apache's scoreboard; None if there is none.
    fn scoreboard(&self, from: u64) -> Option<Page>;
}

/// What a descriptor in the poll set belongs to.
#[derive(Clone, Copy)]
enum Source {
    Generation,
    Signals,
    Daemon { group: usize, slot: u32 },
}

/// The loop's state.
struct Supervisor<'m, S> {
    groups: Vec<Group<'m>>,
    generation: Option<OwnedFd>,
    closing: bool,
    /// The parent said over its pipe that the generation ends, or is gone. Without that another supervisor follows this
    /// one, on the same sockets.
    is_last: bool,
    signals: SignalPipe,
    sink: S,
    origin: Instant,
}

/// Supervises the groups until all of them have ended. `listeners` are those of `members`, in the same order.
/// `incarnation` counts the supervisors of this generation from 0.
pub(super) fn run<S: RecordSink>(
    members: &[Member],
    listeners: Vec<OwnedFd>,
    generation: OwnedFd,
    incarnation: u32,
    sink: S,
) {
    // httpd's title stays; ps -o comm and top show this one. A kernel that refuses changes nothing else.
    let _ = nix::sys::prctl::set_name(c"wsgi-supervisor");
    for signal in [
        libc::SIGHUP,
        libc::SIGINT,
        libc::SIGUSR1,
        libc::SIGUSR2,
        libc::SIGPIPE,
        libc::SIGWINCH,
    ] {
        // None of these can be refused by the kernel.
        let _ = signals::ignore(signal);
    }
    let signals = match SignalPipe::install(&[libc::SIGCHLD, libc::SIGTERM]) {
        Ok(signals) => signals,
        Err(error) => {
            let text = format!("WSGI5044: The supervisor cannot watch its processes: {error}");
            sink.record(0, 1, text.as_bytes());
            return;
        }
    };
    let groups = members
        .iter()
        .zip(listeners)
        .map(|(member, listener)| {
            let plan = GroupPlan {
                instance_base: incarnation << 20,
                ..member.plan.clone()
            };
            let slots = member.board.slots() as usize;
            Group {
                member,
                listener: Some(listener),
                roster: Roster::new(plan),
                daemons: (0..slots).map(|_| None).collect(),
                broken: Vec::new(),
                executable: member.executable.as_ref(),
            }
        })
        .collect();
    let mut supervisor = Supervisor {
        groups,
        generation: Some(generation),
        closing: false,
        is_last: false,
        signals,
        sink,
        origin: Instant::now(),
    };
    supervisor.everywhere(&Event::Begin);
    while !supervisor
        .groups
        .iter()
        .all(|group| group.listener.is_none())
    {
        supervisor.turn();
    }
}

impl<S: RecordSink> Supervisor<'_, S> {
    fn now(&self) -> Millis {
        u64::try_from(self.origin.elapsed().as_millis()).unwrap_or(Millis::MAX)
    }

    /// Waits for something to happen and reacts.
    fn turn(&mut self) {
        let (ready, broken) = self.wait();
        for source in ready {
            match source {
                Source::Generation => self.read_generation(),
                Source::Signals => self.read_signals(),
                Source::Daemon { group, slot } => self.read_daemon(group, slot),
            }
        }
        if broken {
            self.stop_everything("poll failed");
        }
        self.everywhere(&Event::Clock);
        for group in 0..self.groups.len() {
            self.end_group_if_done(group);
        }
    }

    /// What can be read, and whether waiting is not possible at all.
    fn wait(&self) -> (Vec<Source>, bool) {
        let mut sources = Vec::new();
        let mut set = Vec::new();
        let mut add = |source, descriptor| {
            sources.push(source);
            set.push(PollFd::new(descriptor, PollFlags::POLLIN));
        };
        add(Source::Signals, self.signals.as_fd());
        if let Some(generation) = &self.generation {
            add(Source::Generation, generation.as_fd());
        }
        for (index, group) in self.groups.iter().enumerate() {
            for (slot, daemon) in (0..).zip(&group.daemons) {
                if let Some(channel) = daemon.as_ref().and_then(|daemon| daemon.channel.as_ref()) {
                    add(Source::Daemon { group: index, slot }, channel.as_fd());
                }
            }
        }
        match poll(&mut set, self.timeout()) {
            Ok(0) | Err(Errno::EINTR) => (Vec::new(), false),
            Ok(_) => {
                let ready = |fd: &PollFd<'_>| fd.revents().is_none_or(|events| !events.is_empty());
                let found = set.iter().zip(sources).filter(|(fd, _)| ready(fd));
                (found.map(|(_, source)| source).collect(), false)
            }
            Err(_) => (Vec::new(), true),
        }
    }

    fn timeout(&self) -> PollTimeout {
        let Some(next) = self
            .groups
            .iter()
            .filter_map(|g| g.roster.next_wake())
            .min()
        else {
            return PollTimeout::NONE;
        };
        let millis = next.saturating_sub(self.now()).min(60_000);
        PollTimeout::try_from(millis).unwrap_or(PollTimeout::MAX)
    }

    fn read_generation(&mut self) {
        let Some(generation) = &self.generation else {
            return;
        };
        let mut bytes = [0; 16];
        match nix::unistd::read(generation, &mut bytes) {
            Ok(0) => {
                // Every process that knew this generation is gone, or the parent died.
                self.generation = None;
                self.is_last = true;
                if self.closing {
                    self.everywhere(&Event::ChildrenGone);
                } else {
                    self.everywhere(&Event::Stop);
                }
            }
            Ok(length) => {
                self.is_last = true;
                for byte in &bytes[..length] {
                    match *byte {
                        GRACEFUL => {
                            self.closing = true;
                            self.everywhere(&Event::Close);
                        }
                        _ => self.everywhere(&Event::Stop),
                    }
                }
            }
            Err(Errno::EINTR | Errno::EAGAIN) => {}
            Err(error) => {
                self.generation = None;
                self.stop_everything(&format!("generation pipe: {error}"));
            }
        }
    }

    fn read_signals(&mut self) {
        let Some(signals) = self.signals.read() else {
            self.stop_everything("signal pipe lost");
            return;
        };
        if signals.contains(&libc::SIGTERM) {
            self.everywhere(&Event::Stop);
        }
        if signals.contains(&libc::SIGCHLD) {
            self.reap();
        }
    }

    /// Takes every ended process.
    fn reap(&mut self) {
        loop {
            let (pid, end) = match waitpid(None::<Pid>, Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::Exited(pid, status)) => (pid, Exit::Status(status)),
                Ok(WaitStatus::Signaled(pid, signal, _)) => (pid, Exit::Signal(signal as i32)),
                Ok(WaitStatus::StillAlive) | Err(Errno::ECHILD) => return,
                Ok(_) | Err(Errno::EINTR) => continue,
                Err(_) => return,
            };
            self.ended(pid.as_raw(), end);
        }
    }

    fn ended(&mut self, pid: i32, end: Exit) {
        let found = self.groups.iter().enumerate().find_map(|(index, group)| {
            let slot = group.roster.slot_of(u32::try_from(pid).ok()?)?;
            Some((index, slot))
        });
        let Some((group, slot)) = found else { return };
        // Its last words, the reason of a failed start among them, are still in the channel.
        self.read_daemon(group, slot);
        if let Some(text) = self.groups[group].did_not_run(slot, end) {
            self.sink.record(group, 4, text.as_bytes());
        }
        self.event(group, Event::Exited { slot, end });
    }

    fn read_daemon(&mut self, index: usize, slot: u32) {
        for _ in 0..MESSAGES_AT_A_TIME {
            let group = &mut self.groups[index];
            let Some(daemon) = group
                .daemons
                .get_mut(slot as usize)
                .and_then(Option::as_mut)
            else {
                return;
            };
            let Some(channel) = &daemon.channel else {
                return;
            };
            match channel.try_receive::<FromDaemon>() {
                Ok(Received::Message(message)) => {
                    daemon.has_spoken = true;
                    self.message(index, slot, message);
                }
                Ok(Received::Nothing) => return,
                Ok(Received::Closed) | Err(ChannelError::System(_)) => {
                    daemon.channel = None;
                    return;
                }
                Err(ChannelError::Message(error)) => {
                    if !std::mem::replace(&mut daemon.reported, true) {
                        let text = format!(
                            "WSGI5042: Process (pid {}) of daemon group '{}' sends messages that \
                             mean nothing: {error}",
                            daemon.pid, group.member.plan.name
                        );
                        self.sink.record(index, 3, text.as_bytes());
                    }
                }
            }
        }
    }

    fn message(&mut self, group: usize, slot: u32, message: FromDaemon) {
        let event = match message {
            FromDaemon::Ready => {
                self.take_broken(group, slot);
                Event::Ready { slot }
            }
            FromDaemon::NotLoaded(scripts) => {
                if let Some(daemon) = self.daemon_mut(group, slot) {
                    daemon.not_loaded = scripts;
                }
                return;
            }
            FromDaemon::Log { level, text } => {
                // Alert is the worst that one group can be for a server.
                self.sink.record(group, level.max(1), &text);
                return;
            }
            FromDaemon::ServerMetrics { question, from } => {
                let page = || self.sink.scoreboard(from);
                if let Some(refusal) = self.groups[group].answer(slot, question, page) {
                    self.sink.record(group, 4, refusal.as_bytes());
                }
                return;
            }
            FromDaemon::Replace { reason, draining } => Event::Replace {
                slot,
                reason,
                draining,
            },
            FromDaemon::Failed { code, level, text } => Event::Failed {
                slot,
                code,
                level,
                text,
            },
        };
        self.event(group, event);
    }

    /// A process is ready: what it could not load is what the group lacks.
    fn take_broken(&mut self, group: usize, slot: u32) {
        if let Some(daemon) = self.daemon_mut(group, slot) {
            self.groups[group].broken = std::mem::take(&mut daemon.not_loaded);
        }
    }

    fn everywhere(&mut self, event: &Event) {
        for group in 0..self.groups.len() {
            self.event(group, event.clone());
        }
    }

    fn stop_everything(&mut self, why: &str) {
        let text = format!("WSGI5044: The supervisor cannot go on: {why}");
        self.sink.record(0, 1, text.as_bytes());
        self.everywhere(&Event::Stop);
    }

    fn event(&mut self, index: usize, event: Event) {
        let now = self.now();
        let mut actions = self.groups[index].roster.act(event, now);
        // An action may be answered by an event; its actions come after those that are decided already.
        let mut at = 0;
        while at < actions.len() {
            if let Some(answer) = self.carry_out(index, &actions[at]) {
                let now = self.now();
                actions.extend(self.groups[index].roster.act(answer, now));
            }
            at += 1;
        }
    }

    fn carry_out(&mut self, index: usize, action: &Action) -> Option<Event> {
        match action {
            Action::Spawn {
                slot,
                instance,
                checked,
            } => return Some(self.spawn(index, *slot, *instance, *checked)),
            Action::Drain { slot, reason } => self.tell(index, *slot, &ToDaemon::Drain(*reason)),
            Action::Stop { slot, reason } => {
                self.tell(index, *slot, &ToDaemon::Stop(*reason));
                // One that is still starting, or runs a service script, does not read its channel.
                self.signal(index, *slot, libc::SIGTERM);
            }
            Action::Kill { slot } => self.signal(index, *slot, libc::SIGKILL),
            Action::Clear { slot } => {
                let group = &mut self.groups[index];
                group.member.board.vacate(*slot);
                if let Some(daemon) = group.daemons.get_mut(*slot as usize) {
                    *daemon = None;
                }
            }
            Action::Failing(failing) => self.groups[index].member.board.set_failing(*failing),
            Action::Record { level, text } => self.sink.record(index, *level, text.as_bytes()),
        }
        None
    }

    fn spawn(&mut self, index: usize, slot: u32, instance: u32, checked: bool) -> Event {
        let (event, warning) =
            self.groups[index].spawn(slot, instance, checked, self.sink.error_log(index));
        if let Some(text) = warning {
            self.sink.record(index, 4, text.as_bytes());
        }
        event
    }

    fn tell(&mut self, index: usize, slot: u32, message: &ToDaemon) {
        let Some(daemon) = self.daemon(index, slot) else {
            return;
        };
        let told = daemon
            .channel
            .as_ref()
            .is_some_and(|c| c.try_send(message).unwrap_or(false));
        if !told {
            // It does not read, or has closed its end: a signal is all that is left.
            self.signal(index, slot, libc::SIGTERM);
        }
    }

    fn signal(&mut self, index: usize, slot: u32, signal: i32) {
        if let Some(daemon) = self.daemon(index, slot) {
            // Not reaped yet, so that the pid is still its own. One that has ended already is no matter.
            signals::send(daemon.pid, signal);
        }
    }

    fn daemon(&self, index: usize, slot: u32) -> Option<&Daemon> {
        self.groups[index].daemons.get(slot as usize)?.as_ref()
    }

    fn daemon_mut(&mut self, index: usize, slot: u32) -> Option<&mut Daemon> {
        let daemons = &mut self.groups[index].daemons;
        daemons.get_mut(slot as usize)?.as_mut()
    }

    /// A group that has ended lets go of its socket, so that old children are refused at once.
    fn end_group_if_done(&mut self, index: usize) {
        let group = &mut self.groups[index];
        if group.listener.is_none() || !group.roster.is_done() {
            return;
        }
        group.listener = None;
        let socket = &group.member.socket;
        if !self.is_last || (socket.lasting && self.closing) {
            return;
        }
        if let Err(error) = unlink_if_same(&socket.path, socket.file) {
            let text = format!(
                "WSGI0073: The socket '{}' could not be removed: {error}",
                socket.path.display()
            );
            self.sink.record(index, 4, text.as_bytes());
        }
    }
}
