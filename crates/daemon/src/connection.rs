//! A connection from an Apache child, and who may have one (design.md section 5).

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use wsgi_core::wire::Hello;
use wsgi_sys::stream::{self, Peer, Shutdown};

/// Added to a descriptor in a token: smaller numbers are for other events.
const FIRST: u64 = 2;

/// Number of the next connection.
static SERIAL: AtomicU32 = AtomicU32::new(1);

/// The descriptor in a [`Connection::token`].
pub(crate) fn descriptor_of(token: u64) -> usize {
    usize::try_from((token & u64::from(u32::MAX)) - FIRST).unwrap_or(usize::MAX)
}

/// A connection. Used by one thread at a time: the one that accepted it, or was woken for it.
pub(crate) struct Connection {
    socket: OwnedFd,
    peer: Peer,
    serial: u32,
    /// Whether its Hello was right.
    known: AtomicBool,
    /// A thread of this process is promised to it, by this process and not by its child.
    promised: AtomicBool,
}

impl Connection {
    pub(crate) fn new(socket: OwnedFd, peer: Peer) -> Connection {
        Connection {
            socket,
            peer,
            serial: SERIAL.fetch_add(1, Ordering::Relaxed),
            known: AtomicBool::new(false),
            promised: AtomicBool::new(false),
        }
    }

    pub(crate) fn peer(&self) -> Peer {
        self.peer
    }

    /// What its events bear: its number, which no other connection has, and its descriptor, which the next one may have.
    pub(crate) fn token(&self) -> u64 {
        let descriptor = u64::from(self.socket.as_raw_fd().unsigned_abs());
        (u64::from(self.serial) << 32) | (descriptor + FIRST)
    }

    pub(crate) fn is_known(&self) -> bool {
        self.known.load(Ordering::Relaxed)
    }

    pub(crate) fn set_known(&self) {
        self.known.store(true, Ordering::Relaxed);
    }

    /// Promises a thread to it.
    pub(crate) fn promise(&self) {
        self.promised.store(true, Ordering::Relaxed);
    }

    /// Whether a thread was promised; not any more.
    pub(crate) fn take_promise(&self) -> bool {
        self.promised.load(Ordering::Relaxed) && self.promised.swap(false, Ordering::Relaxed)
    }

    /// Whether the child has closed its end. What it sent before may still be unread.
    pub(crate) fn is_hung_up(&self) -> bool {
        // An end is told without being asked for. An error of poll tells nothing about the child; the next read does.
        let mut set = [PollFd::new(self.as_fd(), PollFlags::empty())];
        let found = poll(&mut set, PollTimeout::ZERO).is_ok_and(|count| count > 0);
        found
            && set[0]
                .revents()
                .is_some_and(|events| events.contains(PollFlags::POLLHUP))
    }

    /// Takes nothing more from the child; true if nothing had come, so that it can be closed: a child that wants to send a request
    /// finds out before it has sent anything, and goes elsewhere. What had come before can still be read. Not where a thread is promised:
    /// then something comes.
    pub(crate) fn give_up(&self) -> bool {
        if self.promised.load(Ordering::Relaxed) {
            return false;
        }
        let mut set = [PollFd::new(self.as_fd(), PollFlags::POLLIN)];
        if !matches!(poll(&mut set, PollTimeout::ZERO), Ok(0)) {
            return false;
        }
        self.close_to_child()
    }

    /// Takes nothing more; false if something has come since anybody looked, which is served as any request.
    fn close_to_child(&self) -> bool {
        stream::shutdown(self.socket.as_fd(), Shutdown::Read);
        !matches!(stream::peek(self.socket.as_fd()), Ok(1..))
    }

    /// Ends it for everybody, also for processes that the application forked.
    pub(crate) fn hang_up(&self) {
        stream::shutdown(self.socket.as_fd(), Shutdown::Both);
    }
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Whether a user may connect: Apache's, `socket-user`, root.
pub(crate) fn may_connect(allowed: &[u32], uid: u32) -> bool {
    uid == 0 || allowed.contains(&uid)
}

/// Whether the secret is the group's. Takes the same time for every wrong one.
pub(crate) fn knows_secret(hello: &Hello, secret: &[u8; 16]) -> bool {
    let difference = hello
        .secret
        .iter()
        .zip(secret)
        .fold(0, |sum, (a, b)| sum | (a ^ b));
    // Keeps the compiler from leaving the loop early.
    std::hint::black_box(difference) == 0
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn every_byte_of_the_secret_counts() {
        let secret = [7; 16];
        assert!(knows_secret(
            &Hello {
                generation: 1,
                secret
            },
            &secret
        ));
        for index in 0..16 {
            let mut wrong = secret;
            wrong[index] ^= 0x80;
            assert!(!knows_secret(
                &Hello {
                    generation: 1,
                    secret: wrong
                },
                &secret
            ));
        }
    }

    #[test]
    fn root_and_those_named_may_connect() {
        assert!(may_connect(&[33], 0));
        assert!(may_connect(&[33], 33));
        assert!(!may_connect(&[33], 34));
    }

    fn pair() -> (Connection, UnixStream) {
        let (ours, child) = UnixStream::pair().unwrap();
        let peer = stream::peer(ours.as_fd()).unwrap();
        (Connection::new(ours.into(), peer), child)
    }

    /// A child that sends afterwards finds out, before it has sent anything.
    #[test]
    fn an_idle_connection_is_given_up() {
        let (connection, mut child) = pair();
        assert!(connection.give_up());
        assert!(child.write_all(b"request").is_err());
    }

    /// What had come can be read, whether it came before the look at the connection or right behind it.
    #[test]
    fn a_request_that_has_come_is_not_given_up() {
        let (connection, mut child) = pair();
        child.write_all(b"request").unwrap();
        assert!(!connection.give_up());
        assert!(!connection.close_to_child());
        let mut ours = UnixStream::from(connection.as_fd().try_clone_to_owned().unwrap());
        let mut text = [0; 7];
        ours.read_exact(&mut text).unwrap();
        assert_eq!(&text, b"request");
    }
}
