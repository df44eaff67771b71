//! How much a stream socket takes without making its writer wait. Any thread.

use std::os::fd::BorrowedFd;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{getsockopt, sockopt};

/// Least that is said of a socket that is writable, bytes.
const LEAST: usize = 2 << 10;

/// Bytes that the socket surely takes at once; 0 if it is full. For a socket in trouble [`usize::MAX`]: writing to it says
/// what the trouble is.
///
/// The kernel calls a TCP socket writable while a third of its buffer is free. A byte takes up to about twice its size there, so
/// that an eighth of the buffer fits.
pub fn of(socket: BorrowedFd<'_>) -> usize {
    let mut set = [PollFd::new(socket, PollFlags::POLLOUT)];
    match poll(&mut set, PollTimeout::ZERO) {
        Ok(0) => return 0,
        Ok(_) if set[0].revents() == Some(PollFlags::POLLOUT) => {}
        Ok(_) | Err(_) => return usize::MAX,
    }
    getsockopt(&socket, sockopt::SndBuf).map_or(LEAST, |size| LEAST.max(size / 8))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::AsFd;

    /// What it says is taken, until it says 0; after the other side has read there is room again, and none of it is a lie after
    /// its end.
    #[test]
    fn what_it_says_is_taken() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let mut near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (mut far, _) = listener.accept().unwrap();
        near.set_nonblocking(true).unwrap();
        let mut sent = 0;
        loop {
            let room = of(near.as_fd());
            if room == 0 {
                break;
            }
            assert_eq!(near.write(&vec![1; room]).unwrap(), room);
            sent += room;
        }
        far.read_exact(&mut vec![0; sent]).unwrap();
        near.set_nonblocking(false).unwrap();
        near.write_all(b"more").unwrap();
        drop(far);
        while near.write(b"x").is_ok() {}
        assert_eq!(of(near.as_fd()), usize::MAX);
    }
}
