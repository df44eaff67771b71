//! Sending and receiving messages of the control channel (`wsgi_core::control`): a SOCK_SEQPACKET pair, one message a
//! packet. Sending is possible from several threads at once; a packet is whole or not sent at all.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use serde::Serialize;
use serde::de::DeserializeOwned;
use wsgi_core::control::{ControlError, MAX_MESSAGE, decode, encode};

use crate::{check, check_len};

/// Why a message could not be sent or received.
#[derive(Debug, thiserror::Error)]
pub enum ChannelError {
    /// A message that is too long, cut off, or not one of this version.
    #[error(transparent)]
    Message(#[from] ControlError),
    /// A system call failed; the peer being gone is `BrokenPipe` or `ConnectionReset`.
    #[error("control channel: {0}")]
    System(#[from] io::Error),
}

/// What a receive gave.
#[derive(Debug, PartialEq, Eq)]
pub enum Received<T> {
    /// A message.
    Message(T),
    /// Nothing is there now (only from the variant that does not wait).
    Nothing,
    /// The peer has closed its end, and everything it sent was received.
    Closed,
}

/// One end of a control channel.
#[derive(Debug)]
pub struct ControlSocket(OwnedFd);

impl ControlSocket {
    /// A connected pair, both ends close on exec.
    ///
    /// # Errors
    /// No descriptors left.
    pub fn pair() -> io::Result<(ControlSocket, ControlSocket)> {
        let mut ends = [-1; 2];
        let kind = libc::SOCK_SEQPACKET | libc::SOCK_CLOEXEC;
        // SAFETY: the array has room for the two descriptors that the call writes.
        check(unsafe { libc::socketpair(libc::AF_UNIX, kind, 0, ends.as_mut_ptr()) })?;
        let [first, second] = ends.map(|end| {
            // SAFETY: the descriptors were just made and nobody else owns them.
            ControlSocket(unsafe { OwnedFd::from_raw_fd(end) })
        });
        Ok((first, second))
    }

    /// Takes over a descriptor: the daemon's inherited one.
    ///
    /// # Errors
    /// Not a SOCK_SEQPACKET socket.
    pub fn from_descriptor(descriptor: OwnedFd) -> io::Result<ControlSocket> {
        let kind = nix::sys::socket::getsockopt(&descriptor, nix::sys::socket::sockopt::SockType)?;
        if kind == nix::sys::socket::SockType::SeqPacket {
            Ok(ControlSocket(descriptor))
        } else {
            Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "not a SOCK_SEQPACKET socket",
            ))
        }
    }

    /// Sends a message; waits while the channel is full.
    ///
    /// # Errors
    /// Too long, or the peer is gone.
    pub fn send<T: Serialize>(&self, message: &T) -> Result<(), ChannelError> {
        self.send_bytes(&encode(message)?, 0)
            .map(|_| ())
            .map_err(ChannelError::from)
    }

    /// Sends a message unless the channel is full: false then.
    ///
    /// # Errors
    /// Too long, or the peer is gone.
    pub fn try_send<T: Serialize>(&self, message: &T) -> Result<bool, ChannelError> {
        match self.send_bytes(&encode(message)?, libc::MSG_DONTWAIT) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    fn send_bytes(&self, bytes: &[u8], flags: libc::c_int) -> io::Result<()> {
        loop {
            // SAFETY: the buffer is valid for its length during the call.
            let sent = unsafe {
                libc::send(
                    self.0.as_raw_fd(),
                    bytes.as_ptr().cast(),
                    bytes.len(),
                    flags | libc::MSG_NOSIGNAL,
                )
            };
            match check_len(sent) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
                Ok(_) => return Ok(()),
            }
        }
    }

    /// Receives a message; waits for one. Never [`Received::Nothing`].
    ///
    /// # Errors
    /// A cut off or malformed packet (the channel is still usable), or a failed system call.
    pub fn receive<T: DeserializeOwned>(&self) -> Result<Received<T>, ChannelError> {
        self.receive_with(0)
    }

    /// Receives a message if one is there.
    ///
    /// # Errors
    /// As [`ControlSocket::receive`].
    pub fn try_receive<T: DeserializeOwned>(&self) -> Result<Received<T>, ChannelError> {
        self.receive_with(libc::MSG_DONTWAIT)
    }

    fn receive_with<T: DeserializeOwned>(
        &self,
        flags: libc::c_int,
    ) -> Result<Received<T>, ChannelError> {
        let mut buffer: Vec<u8> = Vec::with_capacity(MAX_MESSAGE);
        let spare: &mut [MaybeUninit<u8>] = buffer.spare_capacity_mut();
        let received = loop {
            // MSG_TRUNC makes the call return the packet's real length, so that a cut one is noticed.
            // SAFETY: the spare capacity is valid for writes of its length during the call.
            let result = unsafe {
                libc::recv(
                    self.0.as_raw_fd(),
                    spare.as_mut_ptr().cast(),
                    spare.len(),
                    flags | libc::MSG_TRUNC,
                )
            };
            match check_len(result) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return Ok(Received::Nothing);
                }
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => {
                    return Ok(Received::Closed);
                }
                Err(error) => return Err(error.into()),
                Ok(length) => break length,
            }
        };
        if received == 0 {
            return Ok(Received::Closed);
        }
        if received > spare.len() {
            return Err(ControlError::TooLong { length: received }.into());
        }
        // SAFETY: the call has written `received` bytes, which is at most the capacity.
        unsafe { buffer.set_len(received) };
        Ok(Received::Message(decode(&buffer)?))
    }
}

impl AsFd for ControlSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl From<ControlSocket> for OwnedFd {
    fn from(socket: ControlSocket) -> OwnedFd {
        socket.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wsgi_core::control::{FromDaemon, ToDaemon};
    use wsgi_core::life::Reason;

    #[test]
    fn messages_arrive_one_by_one() {
        let (supervisor, daemon) = ControlSocket::pair().unwrap();
        let log = FromDaemon::Log {
            level: 6,
            text: vec![b'x'; 100_000],
        };
        daemon.send(&FromDaemon::Ready).unwrap();
        daemon.send(&log).unwrap();
        assert_eq!(
            supervisor.receive().unwrap(),
            Received::Message(FromDaemon::Ready)
        );
        assert_eq!(supervisor.receive().unwrap(), Received::Message(log));
        assert_eq!(
            supervisor.try_receive::<FromDaemon>().unwrap(),
            Received::Nothing
        );
        drop(daemon);
        assert_eq!(
            supervisor.receive::<FromDaemon>().unwrap(),
            Received::Closed
        );
        assert!(
            supervisor
                .send(&ToDaemon::Stop(Reason::ShutdownSignal))
                .is_err()
        );
    }

    #[test]
    fn a_message_over_the_limit_is_not_sent() {
        let (_supervisor, daemon) = ControlSocket::pair().unwrap();
        let log = FromDaemon::Log {
            level: 6,
            text: vec![b'x'; MAX_MESSAGE],
        };
        assert!(matches!(daemon.send(&log), Err(ChannelError::Message(_))));
    }

    #[test]
    fn garbage_is_an_error_and_the_channel_goes_on() {
        let (supervisor, daemon) = ControlSocket::pair().unwrap();
        daemon.send_bytes(&[0xff; 40], 0).unwrap();
        daemon.send_bytes(&vec![0xff; MAX_MESSAGE + 1], 0).unwrap();
        daemon.send(&FromDaemon::Ready).unwrap();
        for _ in 0..2 {
            assert!(matches!(
                supervisor.receive::<FromDaemon>(),
                Err(ChannelError::Message(_))
            ));
        }
        assert_eq!(
            supervisor.receive().unwrap(),
            Received::Message(FromDaemon::Ready)
        );
    }

    #[test]
    fn a_full_channel_is_told_not_waited_for() {
        let (_supervisor, daemon) = ControlSocket::pair().unwrap();
        let log = FromDaemon::Log {
            level: 6,
            text: vec![b'x'; 60_000],
        };
        let sent = (0..1000)
            .take_while(|_| daemon.try_send(&log).unwrap())
            .count();
        assert!(sent > 0 && sent < 1000);
    }
}
