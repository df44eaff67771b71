//! Who gets the next request: the process's epoll set with the listener and the kept connections, and the claims on idle
//! threads (board word IDLE) that keep a request from waiting behind a busy thread.
//!
//! Every event is one-shot: the thread that wakes owns what it woke for and arms it again. The kernel wakes the thread
//! that began to wait last (DMN-400). The listener stays disarmed while all idle threads are promised to requests on kept
//! connections. While it does, connections may wait in the backlog, and a thread that becomes free does not give its claim back but
//! takes the one that has waited longest: newcomers with a kept connection do not overtake it. Any thread.

mod claim;

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use parking_lot::Mutex;
use wsgi_core::life::Phase;
use wsgi_sys::board::Board;
use wsgi_sys::descriptors::Wakeup;
use wsgi_sys::{clock, passwd, stream};

pub(crate) use self::claim::Claim;
use crate::connection::{self, Connection, may_connect};
use crate::log::{self, Level};

const LISTENER: u64 = 0;
const STOP: u64 = 1;

/// What a thread woke for.
pub(crate) enum Event<'d> {
    /// A connection waits in the backlog.
    Listener,
    /// No event: connections wait in the backlog, and the claim of the thread's last request is theirs.
    Owed(Claim<'d>),
    /// This connection has something to read, or was closed.
    Connection {
        connection: Arc<Connection>,
        /// Whether the child has closed it, which does not mean that there is nothing to read.
        hung_up: bool,
    },
    /// The process ends.
    Stop,
    /// The set cannot be waited for.
    Broken,
    /// Nothing after all.
    Nothing,
}

/// The epoll set and the claims.
pub(crate) struct Dispatch {
    epoll: Epoll,
    listener: OwnedFd,
    stop: Wakeup,
    /// By descriptor.
    connections: Mutex<Vec<Option<Arc<Connection>>>>,
    board: Board,
    slot: u32,
    instance: u32,
    threads: u32,
    allowed_peers: Vec<u32>,
    timeout: Option<Duration>,
    /// The listener is readable, but every idle thread was promised, or accept failed.
    listener_waits: AtomicBool,
    /// Whether connections are accepted at all.
    accepting: AtomicBool,
    /// When a failed accept was logged last, monotonic microseconds.
    complained: AtomicU64,
}

/// What a dispatcher needs from the settings.
pub(crate) struct DispatchOptions {
    pub(crate) slot: u32,
    pub(crate) instance: u32,
    pub(crate) threads: u32,
    pub(crate) allowed_peers: Vec<u32>,
    /// Of each operation on a connection; None waits for ever.
    pub(crate) timeout: Option<Duration>,
}

impl Dispatch {
    /// Not accepting yet.
    pub(crate) fn new(
        listener: OwnedFd,
        board: Board,
        options: DispatchOptions,
    ) -> io::Result<Dispatch> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        let stop = Wakeup::new()?;
        // Level triggered and never cleared, so that it reaches every thread.
        epoll.add(&stop, EpollEvent::new(EpollFlags::EPOLLIN, STOP))?;
        let DispatchOptions {
            slot,
            instance,
            threads,
            allowed_peers,
            timeout,
        } = options;
        Ok(Dispatch {
            epoll,
            listener,
            stop,
            connections: Mutex::new(Vec::new()),
            board,
            slot,
            instance,
            threads,
            allowed_peers,
            timeout,
            listener_waits: AtomicBool::new(false),
            accepting: AtomicBool::new(false),
            complained: AtomicU64::new(0),
        })
    }

    pub(crate) fn slot(&self) -> u32 {
        self.slot
    }

    pub(crate) fn instance(&self) -> u32 {
        self.instance
    }

    /// Shows the phase on the board.
    pub(crate) fn show(&self, phase: Phase) {
        self.board.set_phase(self.slot, phase);
    }

    pub(crate) fn count_request(&self) {
        self.board.count_request(self.slot);
    }

    /// Opens the process for requests: all threads idle, phase serving, listener armed.
    pub(crate) fn open(&self) -> io::Result<()> {
        self.board.set_instance(self.slot, self.instance);
        self.board.set_idle(self.slot, self.threads);
        self.show(Phase::Serving);
        self.accepting.store(true, Ordering::SeqCst);
        Ok(self.epoll.add(&self.listener, listener_event())?)
    }

    /// Takes the listener out of the set, for good. Waiting connections stay in the backlog, for other processes.
    pub(crate) fn close_listener(&self) {
        if self.accepting.swap(false, Ordering::SeqCst) {
            // It fails only if the set is broken, which every thread would notice.
            let _ = self.epoll.delete(&self.listener);
        }
    }

    /// Wakes every thread for the end of the process.
    pub(crate) fn stop(&self) {
        self.stop.wake();
    }

    /// Waits for the next event.
    pub(crate) fn wait(&self) -> Event<'_> {
        let mut events = [EpollEvent::empty()];
        match self.epoll.wait(&mut events, EpollTimeout::NONE) {
            Ok(0) | Err(Errno::EINTR) => return Event::Nothing,
            Ok(_) => {}
            Err(errno) => {
                // DMN-403: without the set no thread is of use.
                log::coded(
                    18,
                    Level::Critical,
                    format!("waiting for requests failed: {errno}"),
                );
                return Event::Broken;
            }
        }
        match events[0].data() {
            LISTENER => Event::Listener,
            STOP => Event::Stop,
            token => self.woken(token, events[0].events()),
        }
    }

    fn woken(&self, token: u64, flags: EpollFlags) -> Event<'_> {
        let connections = self.connections.lock();
        match connections.get(connection::descriptor_of(token)) {
            Some(Some(connection)) if connection.token() == token => Event::Connection {
                connection: Arc::clone(connection),
                hung_up: flags.contains(EpollFlags::EPOLLHUP),
            },
            // It was given up while its event was on the way; the descriptor may be another one's now.
            _ => Event::Nothing,
        }
    }

    /// Accepts the connection that the listener woke for, if a thread of this process can be claimed for it.
    pub(crate) fn accept(&self) -> Option<(Arc<Connection>, Claim<'_>)> {
        let claim = self.claim_for_listener()?;
        self.accept_with(claim, false)
    }

    /// Accepts the connection that waits longest, if one waits, for a thread that owes its `claim` to the backlog. The
    /// listener stays disarmed until none waits.
    pub(crate) fn accept_owed<'d>(
        &'d self,
        claim: Claim<'d>,
    ) -> Option<(Arc<Connection>, Claim<'d>)> {
        if !self.accepting.load(Ordering::SeqCst) {
            return None;
        }
        self.accept_with(claim, true)
    }

    /// Lets the request of a connection that was just accepted come after those that are here and unread. The claim is the
    /// connection's then ([`Dispatch::claim_of`]).
    pub(crate) fn queue(&self, connection: &Arc<Connection>, claim: Claim<'_>) {
        connection.promise();
        if self.keep(connection) {
            // Taken up again with its event.
            claim.into_owed();
        } else {
            self.close(connection);
        }
    }

    /// The claim that goes with a connection, if it has one.
    pub(crate) fn claim_of(&self, connection: &Connection) -> Option<Claim<'_>> {
        connection.take_promise().then(|| self.promised())
    }

    fn accept_with<'d>(
        &'d self,
        mut claim: Claim<'d>,
        is_owed: bool,
    ) -> Option<(Arc<Connection>, Claim<'d>)> {
        let accepted = loop {
            match stream::accept(self.listener.as_fd()) {
                Err(error) if lacks_descriptors(&error) && self.evict() => {}
                accepted => break accepted,
            }
        };
        match accepted {
            Ok(socket) => {
                if !is_owed {
                    self.arm_listener();
                }
                let connection = self.admit(socket)?;
                Some((connection, claim))
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                // Another process was faster, or nobody waits any more.
                if is_owed {
                    self.listener_waits.store(false, Ordering::SeqCst);
                }
                self.arm_listener();
                None
            }
            Err(error) => {
                // DMN-404: out of descriptors or memory. The clock's next tick, or the next claim given back, tries again.
                self.complain(&error);
                // Given back without arming the listener, which would fail again at once.
                claim.forget();
                self.board.release(self.slot);
                self.listener_waits.store(true, Ordering::SeqCst);
                None
            }
        }
    }

    /// Claims a thread of this process, or leaves the listener disarmed until one is given back.
    fn claim_for_listener(&self) -> Option<Claim<'_>> {
        if !self.accepting.load(Ordering::SeqCst) {
            return None;
        }
        if self.board.claim(self.slot, self.instance) {
            return Some(self.promised());
        }
        self.listener_waits.store(true, Ordering::SeqCst);
        // A claim given back before the flag was set saw no flag: look again.
        if self.board.claim(self.slot, self.instance) {
            if self.listener_waits.swap(false, Ordering::SeqCst) {
                return Some(self.promised());
            }
            // Who took the flag has armed the listener, and some thread wakes for it.
            self.board.release(self.slot);
        }
        None
    }

    /// The claim of a request that came on a kept connection: its child has made it.
    pub(crate) fn promised(&self) -> Claim<'_> {
        Claim::of(self)
    }

    /// Whether connections wait in the backlog. Where every thread is promised, the event that says so may be behind requests that
    /// came later.
    fn has_backlog(&self) -> bool {
        self.listener_waits.load(Ordering::SeqCst)
            || (self.idle() == 0 && has_input(self.listener.as_fd()))
    }

    fn release(&self) {
        self.board.release(self.slot);
        self.arm_waiting_listener();
    }

    /// Arms the listener if it waits for a thread, or for descriptors.
    pub(crate) fn arm_waiting_listener(&self) {
        if self.listener_waits.load(Ordering::SeqCst)
            && self.listener_waits.swap(false, Ordering::SeqCst)
        {
            self.arm_listener();
        }
    }

    fn arm_listener(&self) {
        if self.accepting.load(Ordering::SeqCst) {
            // ENOENT: it was taken out in between.
            let _ = self.epoll.modify(&self.listener, &mut listener_event());
        }
    }

    fn complain(&self, error: &io::Error) {
        let now = clock::monotonic_micros();
        let last = self.complained.load(Ordering::Relaxed);
        if last == 0 || now.saturating_sub(last) >= 1_000_000 {
            self.complained.store(now, Ordering::Relaxed);
            let text = format!("cannot accept a connection, will try again: {error}");
            log::coded(5201, Level::Error, text);
        }
    }

    /// Looks at who connected, and prepares the socket. None for a stranger, who is hung up on.
    fn admit(&self, socket: OwnedFd) -> Option<Arc<Connection>> {
        let peer = match stream::peer(socket.as_fd()) {
            Ok(peer) => peer,
            Err(error) => {
                let text = format!("connection refused: its peer is not known: {error}");
                log::coded(33, Level::Alert, text);
                return None;
            }
        };
        if !may_connect(&self.allowed_peers, peer.uid) {
            let text = format!(
                "connection refused: process {} of {} may not send requests to this group",
                peer.pid,
                passwd::describe_user(peer.uid)
            );
            log::coded(33, Level::Alert, text);
            return None;
        }
        if let Err(error) = stream::set_timeouts(socket.as_fd(), self.timeout) {
            log::coded(
                5202,
                Level::Warning,
                format!("no timeout on a connection: {error}"),
            );
        }
        Some(Arc::new(Connection::new(socket, peer)))
    }

    /// Keeps a connection and waits for its next request. False if that is impossible; it is to be closed then.
    pub(crate) fn keep(&self, connection: &Arc<Connection>) -> bool {
        let descriptor = connection.as_fd().as_raw_fd();
        let index = usize::try_from(descriptor).expect("descriptors are not negative");
        let flags = EpollFlags::EPOLLIN | EpollFlags::EPOLLRDHUP | EpollFlags::EPOLLONESHOT;
        let mut event = EpollEvent::new(flags, connection.token());
        let is_new = {
            let mut connections = self.connections.lock();
            if connections.len() <= index {
                connections.resize(index + 1, None);
            }
            connections[index].replace(Arc::clone(connection)).is_none()
        };
        let armed = if is_new {
            self.epoll.add(connection.as_ref(), event)
        } else {
            self.epoll.modify(connection.as_ref(), &mut event)
        };
        armed.is_ok()
    }

    /// Forgets a connection and hangs up.
    pub(crate) fn close(&self, connection: &Arc<Connection>) {
        let index = usize::try_from(connection.as_fd().as_raw_fd()).unwrap_or(usize::MAX);
        let was_kept = {
            let mut connections = self.connections.lock();
            connections.get_mut(index).and_then(Option::take).is_some()
        };
        if was_kept {
            // A process that the application forked may hold the socket: closing alone would not take it out of the set.
            let _ = self.epoll.delete(connection.as_ref());
        }
        connection.hang_up();
    }

    /// Hangs up on a kept connection that nobody uses, to have its descriptor. False if there is none.
    fn evict(&self) -> bool {
        let mut connections = self.connections.lock();
        let idle = connections.iter().rposition(|kept| {
            // A thread that serves a connection holds it as well, and takes hold of it under this lock.
            kept.as_ref()
                .is_some_and(|kept| Arc::strong_count(kept) == 1 && kept.give_up())
        });
        let Some(connection) = idle.and_then(|index| connections[index].take()) else {
            return false;
        };
        let _ = self.epoll.delete(connection.as_ref());
        connection.hang_up();
        log::record(
            Level::Debug,
            "an idle connection was closed for a new one: no free descriptors",
        );
        true
    }

    /// All kept connections; nobody uses them any more.
    pub(crate) fn take_connections(&self) -> Vec<Arc<Connection>> {
        std::mem::take(&mut *self.connections.lock())
            .into_iter()
            .flatten()
            .collect()
    }

    /// Whether an event waits for a thread.
    pub(crate) fn has_events(&self) -> bool {
        has_input(self.epoll.0.as_fd())
    }

    /// Idle threads as the board shows them.
    pub(crate) fn idle(&self) -> u32 {
        self.board.idle(self.slot)
    }

    /// Whether the board shows another phase or process than this one, which serves: something has overwritten it.
    pub(crate) fn is_misrepresented(&self) -> bool {
        let (phase, instance) = (self.board.phase(self.slot), self.board.instance(self.slot));
        phase != Phase::Serving.board_value() || instance != self.instance
    }

    /// Enters this process again with its phase. The idle threads are set right by [`Dispatch::repair`].
    pub(crate) fn enter_again(&self, phase: impl Fn() -> Phase) {
        self.board.set_instance(self.slot, self.instance);
        self.show(Phase::Serving);
        // It may have begun to drain in between, and then shown it before or after this.
        if phase() != Phase::Serving {
            self.show(phase());
        }
        self.arm_waiting_listener();
    }

    /// Sets the idle threads right, if the board still shows `seen`: a child ended between claim and request, or a
    /// stranger wrote nonsense.
    pub(crate) fn repair(&self, seen: u32, waiting: u32) {
        if self.board.correct_idle(self.slot, seen, waiting) {
            log::record(
                Level::Debug,
                format!("idle threads set right from {seen} to {waiting}"),
            );
            self.arm_waiting_listener();
        }
    }
}

/// Whether something can be read now. An error is met again by whoever reads.
fn has_input(descriptor: BorrowedFd<'_>) -> bool {
    let mut set = [PollFd::new(descriptor, PollFlags::POLLIN)];
    matches!(poll(&mut set, PollTimeout::ZERO), Ok(1..))
}

/// Whether closing something would help.
fn lacks_descriptors(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE))
}

fn listener_event() -> EpollEvent {
    EpollEvent::new(EpollFlags::EPOLLIN | EpollFlags::EPOLLONESHOT, LISTENER)
}

#[cfg(test)]
pub(crate) mod tests;
