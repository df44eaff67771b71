//! Claims and the backlog, with a real listener and board.

use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;

use super::*;

/// A process and its group.
pub(crate) struct Group {
    pub(crate) dispatch: Dispatch,
    /// As the group's children see it.
    pub(crate) board: Board,
    folder: tempfile::TempDir,
}

impl Group {
    /// One process that serves with `threads` threads.
    pub(crate) fn new(threads: u32) -> Group {
        let folder = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(folder.path().join("socket")).unwrap();
        listener.set_nonblocking(true).unwrap();
        let (board, file) = Board::create(1).unwrap();
        board.assign(0, 7);
        let options = DispatchOptions {
            slot: 0,
            instance: 7,
            threads,
            allowed_peers: vec![nix::unistd::geteuid().as_raw()],
            timeout: None,
        };
        let own = Board::map(file.as_fd()).unwrap();
        let dispatch = Dispatch::new(listener.into(), own, options).unwrap();
        dispatch.open().unwrap();
        Group {
            dispatch,
            board,
            folder,
        }
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("socket")
    }

    fn connect(&self) -> UnixStream {
        UnixStream::connect(self.socket()).unwrap()
    }

    /// What a request thread would wake for now.
    fn event(&self) -> Option<u64> {
        let mut events = [EpollEvent::empty()];
        let epoll = &self.dispatch.epoll;
        let count = epoll.wait(&mut events, EpollTimeout::ZERO).unwrap();
        (count == 1).then(|| events[0].data())
    }

    /// Whether a request thread would wake for the listener now.
    fn wakes_for_listener(&self) -> bool {
        self.event() == Some(LISTENER)
    }

    /// A connection that is kept, and the child's end.
    fn kept(&self) -> (Arc<Connection>, UnixStream) {
        let child = self.connect();
        assert!(self.wakes_for_listener());
        let (connection, _claim) = self.dispatch.accept().expect("one waits");
        assert!(self.dispatch.keep(&connection));
        (connection, child)
    }
}

/// DMN-400: a thread that becomes free takes the connection that has waited in the backlog. It is not offered to
/// requests that came later and have a kept connection.
#[test]
fn those_who_wait_in_the_backlog_come_before_newcomers() {
    let group = Group::new(1);
    assert!(group.board.claim(0, 7), "a child takes the only thread");
    let mut busy = group.dispatch.promised();

    let _waiting = [group.connect(), group.connect()];
    assert!(group.wakes_for_listener());
    assert!(group.dispatch.accept().is_none(), "no thread is idle");
    assert!(
        !group.wakes_for_listener(),
        "the listener is disarmed while no thread is idle"
    );

    busy.release();
    assert!(!group.board.claim(0, 7), "a newcomer comes later");
    assert!(busy.into_owed());
    let owed = group.dispatch.promised();
    let (_first, mut claim) = group.dispatch.accept_owed(owed).expect("one waits");

    claim.release();
    assert!(claim.into_owed(), "another one waits");
    let owed = group.dispatch.promised();
    let (_second, mut claim) = group.dispatch.accept_owed(owed).expect("one waits");

    claim.release();
    assert!(claim.into_owed(), "nobody has looked yet");
    let owed = group.dispatch.promised();
    assert!(group.dispatch.accept_owed(owed).is_none());
    assert_eq!(group.board.idle(0), 1, "the claim was given back");
    let _next = group.connect();
    assert!(group.wakes_for_listener(), "the listener is armed again");
    assert!(group.dispatch.accept().is_some());
}

/// Where every thread is promised, and the event of the listener is behind requests that came later: who finishes looks at the
/// backlog all the same.
#[test]
fn the_backlog_does_not_wait_for_its_event() {
    let group = Group::new(1);
    assert!(group.board.claim(0, 7), "a child takes the only thread");
    let mut busy = group.dispatch.promised();
    let _waiting = group.connect();
    busy.release();
    assert!(!group.board.claim(0, 7), "a newcomer comes later");
    assert!(busy.into_owed());
    let accepted = group.dispatch.accept_owed(group.dispatch.promised());
    let (_connection, mut claim) = accepted.expect("one waits");
    assert_eq!(group.event(), None, "it was taken");
    claim.release();
    assert_eq!(group.board.idle(0), 1, "nobody waits any more");
}

/// One that came from the backlog while others are here and unread: its claim goes with it, until its event is there.
#[test]
fn a_connection_from_the_backlog_comes_behind_those_that_are_here() {
    let group = Group::new(2);
    let (earlier, mut child) = group.kept();
    std::io::Write::write_all(&mut child, b"request").unwrap();
    assert!(group.dispatch.has_events());
    let mut later = group.connect();
    assert!(group.board.claim(0, 7));
    let accepted = group.dispatch.accept_owed(group.dispatch.promised());
    let (connection, claim) = accepted.expect("one waits");
    std::io::Write::write_all(&mut later, b"request").unwrap();
    group.dispatch.queue(&connection, claim);
    assert_eq!(group.board.idle(0), 1, "one is promised");
    assert!(!connection.give_up(), "nor is it given up");
    assert_eq!(group.event(), Some(earlier.token()));
    assert_eq!(group.event(), Some(connection.token()));
    assert!(!group.dispatch.has_events());
    drop(group.dispatch.claim_of(&connection).expect("its claim"));
    assert_eq!(group.board.idle(0), 2);
    assert!(group.dispatch.claim_of(&connection).is_none(), "once");
}

/// Nobody waits: a claim is given back before the last bytes of its answer leave.
#[test]
fn a_claim_is_given_back_where_nobody_waits() {
    let group = Group::new(2);
    assert!(group.board.claim(0, 7));
    let mut claim = group.dispatch.promised();
    claim.release();
    assert_eq!(group.board.idle(0), 2);
    assert!(!claim.into_owed());
    assert_eq!(group.board.idle(0), 2, "once");
}

/// A process that takes no connections any more leaves the backlog to others.
#[test]
fn the_backlog_is_left_to_others_when_a_process_drains() {
    let group = Group::new(1);
    assert!(group.board.claim(0, 7));
    let mut busy = group.dispatch.promised();
    let _waiting = group.connect();
    assert!(group.wakes_for_listener());
    assert!(group.dispatch.accept().is_none());
    group.dispatch.close_listener();
    busy.release();
    assert!(busy.into_owed());
    let owed = group.dispatch.promised();
    assert!(group.dispatch.accept_owed(owed).is_none());
}

/// DMN-404: an accept that fails gives its claim back, once, and leaves the listener disarmed until the clock tries again.
#[test]
fn a_failed_accept_gives_its_claim_back() {
    let group = Group::new(2);
    // The listener wakes, and every accept fails: EINVAL, where EAGAIN does not come first.
    let listener = group.dispatch.listener.as_fd();
    stream::shutdown(listener, stream::Shutdown::Read);
    nix::fcntl::fcntl(
        listener,
        nix::fcntl::FcntlArg::F_SETFL(nix::fcntl::OFlag::empty()),
    )
    .unwrap();
    assert!(group.wakes_for_listener());
    assert!(group.dispatch.accept().is_none());
    assert_eq!(group.board.idle(0), 2, "given back, and once");
    assert!(!group.wakes_for_listener(), "it would fail again at once");
    group.dispatch.arm_waiting_listener();
    assert!(group.wakes_for_listener());

    assert!(group.board.claim(0, 7));
    let owed = group.dispatch.promised();
    assert!(group.dispatch.accept_owed(owed).is_none());
    assert_eq!(group.board.idle(0), 2, "given back, and once");
}

/// A program that the application started may hold a connection open: what was closed wakes nobody all the same, and least
/// of all for the connection that has its number next.
#[test]
fn a_closed_connection_wakes_nobody() {
    let group = Group::new(1);
    let (connection, _child) = group.kept();
    let _inherited = connection.as_fd().try_clone_to_owned().unwrap();
    group.dispatch.close(&connection);
    drop(connection);
    assert_eq!(group.event(), None);

    let (connection, _child) = group.kept();
    let _inherited = connection.as_fd().try_clone_to_owned().unwrap();
    drop(connection);
    assert!(group.dispatch.evict(), "nobody uses it");
    assert_eq!(group.event(), None);
}

/// A connection on which a request has come is not given up for its descriptor, nor is one that a thread holds.
#[test]
fn connections_in_use_are_not_evicted() {
    let group = Group::new(1);
    let (connection, mut child) = group.kept();
    assert!(!group.dispatch.evict(), "this thread holds it");
    std::io::Write::write_all(&mut child, b"request").unwrap();
    drop(connection);
    assert!(!group.dispatch.evict(), "a request waits on it");
}

/// DMN-404: a thread was woken by a connection's end while another one gave it up and had its descriptor for a new one. It does
/// not wait for the next request of that one, beside the thread that is woken for it.
#[test]
fn an_event_of_a_connection_that_was_given_up_is_not_its_successors() {
    let group = Group::new(2);
    let (old, _child) = group.kept();
    let token = old.token();
    let woken = || group.dispatch.woken(token, EpollFlags::EPOLLIN);
    assert!(matches!(woken(), Event::Connection { .. }));
    drop(old);
    assert!(group.dispatch.evict());
    assert!(matches!(woken(), Event::Nothing));
    // As if it had got the same descriptor, which another thread of the tests may take.
    let (next, _child) = group.kept();
    group.dispatch.connections.lock()[connection::descriptor_of(token)] = Some(next);
    assert!(matches!(woken(), Event::Nothing));
}
