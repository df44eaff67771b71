//! Claims and the backlog, with a real listener and board.

use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;

use super::*;

struct Group {
    dispatch: Dispatch,
    /// As the group's children see it.
    board: Board,
    folder: tempfile::TempDir,
}

impl Group {
    /// One process that serves with `threads` threads.
    fn new(threads: u32) -> Group {
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

    /// Whether a request thread would wake for the listener now.
    fn wakes_for_listener(&self) -> bool {
        let mut events = [EpollEvent::empty()];
        let count = self
            .dispatch
            .epoll
            .wait(&mut events, EpollTimeout::ZERO)
            .unwrap();
        count == 1 && events[0].data() == LISTENER
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
