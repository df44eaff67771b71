//! What a request thread has received from a connection and not looked at yet. Frames come out of it whole, or, for the
//! body, piece by piece.

use std::io;
use std::ops::Range;
use std::os::fd::{BorrowedFd, OwnedFd};

use wsgi_core::wire::{HEADER_LEN, Header, WireError};
use wsgi_sys::stream::{self, Wait};

/// Usual size of a buffer, bytes.
const CAPACITY: usize = 64 << 10;
/// A buffer that grew over this is given back after the request, bytes.
const KEEP: usize = 1 << 20;

/// Why a connection cannot go on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReceiveError {
    /// It was closed between two frames: the ordinary end.
    #[error("closed")]
    Closed,
    /// It was closed within a frame.
    #[error("the connection was closed within a frame")]
    Truncated,
    /// The peer sent nothing for `socket-timeout`.
    #[error("the peer sent nothing for socket-timeout")]
    Stalled,
    /// Not our protocol.
    #[error(transparent)]
    Wire(#[from] WireError),
    /// A failed system call.
    #[error("receiving failed: {0}")]
    System(io::Error),
}

impl From<io::Error> for ReceiveError {
    fn from(error: io::Error) -> ReceiveError {
        if error.kind() == io::ErrorKind::WouldBlock {
            ReceiveError::Stalled
        } else {
            ReceiveError::System(error)
        }
    }
}

/// Received bytes.
pub(crate) struct Inbox {
    bytes: Vec<u8>,
    start: usize,
    end: usize,
    /// The last descriptor that came, if nobody has taken it: at most one is held, whatever a child sends.
    descriptor: Option<OwnedFd>,
}

impl Inbox {
    pub(crate) fn new() -> Inbox {
        Inbox {
            bytes: vec![0; CAPACITY],
            start: 0,
            end: 0,
            descriptor: None,
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.start == self.end
    }

    pub(crate) fn clear(&mut self) {
        (self.start, self.end) = (0, 0);
        self.descriptor = None;
        if self.bytes.len() > KEEP {
            self.bytes = vec![0; CAPACITY];
        }
    }

    /// The bytes that are there.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes[self.start..self.end]
    }

    /// Takes bytes away that were looked at.
    pub(crate) fn consume(&mut self, count: usize) {
        debug_assert!(count <= self.end - self.start, "more than there is");
        self.start += count;
        if self.is_empty() {
            (self.start, self.end) = (0, 0);
        }
    }

    /// Appends bytes that were received elsewhere; at most a header's worth.
    pub(crate) fn append(&mut self, bytes: &[u8]) {
        self.make_room();
        self.bytes[self.end..self.end + bytes.len()].copy_from_slice(bytes);
        self.end += bytes.len();
    }

    /// Moves what is there to the front and grows a full buffer, so that at least a header fits.
    fn make_room(&mut self) {
        if self.start > 0 && self.bytes.len() - self.end < CAPACITY / 4 {
            self.bytes.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        if self.bytes.len() - self.end < HEADER_LEN {
            // Doubling as bytes really come: an announced length alone reserves nothing.
            let longer = self.bytes.len() * 2;
            self.bytes.resize(longer, 0);
        }
    }

    /// Receives what is there; 0 is the end of the stream.
    pub(crate) fn receive(&mut self, socket: BorrowedFd<'_>, wait: Wait) -> io::Result<usize> {
        self.make_room();
        let (received, descriptor) =
            stream::receive_with_descriptor(socket, &mut self.bytes[self.end..], wait)?;
        self.end += received;
        if descriptor.is_some() {
            self.descriptor = descriptor;
        }
        Ok(received)
    }

    /// The descriptor that came with the request.
    pub(crate) fn take_descriptor(&mut self) -> Option<OwnedFd> {
        self.descriptor.take()
    }

    /// The header of the next frame, which stays in the inbox; waits for it. `before_waiting` is called where it is not here.
    pub(crate) fn header(
        &mut self,
        socket: BorrowedFd<'_>,
        before_waiting: impl Fn(),
    ) -> Result<Header, ReceiveError> {
        loop {
            if let Some(header) = Header::decode(self.bytes())? {
                return Ok(header);
            }
            self.more(socket, &before_waiting)?;
        }
    }

    /// Waits until the next frame, whose payload has `len` bytes, is whole. `before_waiting` is called where it is not.
    pub(crate) fn whole(
        &mut self,
        socket: BorrowedFd<'_>,
        len: usize,
        before_waiting: impl Fn(),
    ) -> Result<(), ReceiveError> {
        while self.end - self.start < HEADER_LEN + len {
            self.more(socket, &before_waiting)?;
        }
        Ok(())
    }

    fn more(
        &mut self,
        socket: BorrowedFd<'_>,
        before_waiting: &impl Fn(),
    ) -> Result<(), ReceiveError> {
        let received = match self.receive(socket, Wait::No) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                before_waiting();
                self.receive(socket, Wait::Block)
            }
            received => received,
        };
        if received? == 0 {
            let closed = if self.is_empty() {
                ReceiveError::Closed
            } else {
                ReceiveError::Truncated
            };
            return Err(closed);
        }
        Ok(())
    }

    /// Payload of the whole next frame, which stays in the inbox.
    pub(crate) fn payload(&self, len: usize) -> &[u8] {
        &self.bytes[self.start + HEADER_LEN..self.start + HEADER_LEN + len]
    }

    /// Moves the whole next frame out to `spare`, so that it can be borrowed while more is received. Returns where its
    /// payload is there. What follows the frame is copied; the frame itself is not.
    pub(crate) fn detach(&mut self, len: usize, spare: &mut Vec<u8>) -> Range<usize> {
        let payload = self.start + HEADER_LEN..self.start + HEADER_LEN + len;
        let rest = payload.end..self.end;
        if spare.len() < CAPACITY || spare.len() > KEEP {
            *spare = vec![0; CAPACITY];
        }
        if spare.len() < rest.len() {
            spare.resize(rest.len(), 0);
        }
        let count = rest.len();
        spare[..count].copy_from_slice(&self.bytes[rest]);
        std::mem::swap(&mut self.bytes, spare);
        (self.start, self.end) = (0, count);
        payload
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::cell::Cell;
    use std::io::Write;
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixStream;
    use wsgi_core::wire::{Kind, encode_plain};

    /// Who has something else to do before a wait learns of it, and only of a wait.
    #[test]
    fn a_wait_is_announced() {
        let (near, far) = UnixStream::pair().unwrap();
        let mut wire = Vec::new();
        encode_plain(&mut wire, Kind::Request, 0, b"whole").unwrap();
        (&near).write_all(&wire).unwrap();
        let mut inbox = Inbox::new();
        let never = || panic!("it is here");
        let header = inbox.header(far.as_fd(), never).unwrap();
        inbox.whole(far.as_fd(), header.len, never).unwrap();
        inbox.consume(HEADER_LEN + header.len);
        let rest = Cell::new(&wire[..]);
        let more = || {
            let (piece, others) = rest.get().split_at(3.min(rest.get().len()));
            rest.set(others);
            (&near).write_all(piece).unwrap();
        };
        let header = inbox.header(far.as_fd(), more).unwrap();
        inbox.whole(far.as_fd(), header.len, more).unwrap();
        assert_eq!(inbox.payload(header.len), b"whole");
    }

    #[test]
    fn a_frame_comes_out_whole_and_the_rest_stays() {
        let (mut near, far) = UnixStream::pair().unwrap();
        let big = vec![b'x'; 3 * CAPACITY];
        let mut wire = Vec::new();
        encode_plain(&mut wire, Kind::Request, 0, &big).unwrap();
        encode_plain(&mut wire, Kind::BodyEnd, 0, b"").unwrap();
        let sender = std::thread::spawn(move || {
            near.write_all(&wire).unwrap();
            near
        });
        let mut inbox = Inbox::new();
        let header = inbox.header(far.as_fd(), || {}).unwrap();
        assert_eq!((header.kind, header.len), (Kind::Request, big.len()));
        inbox.whole(far.as_fd(), header.len, || {}).unwrap();
        let mut spare = Vec::new();
        let range = inbox.detach(header.len, &mut spare);
        assert_eq!(spare[range], big);
        let header = inbox.header(far.as_fd(), || {}).unwrap();
        assert_eq!((header.kind, header.len), (Kind::BodyEnd, 0));
        inbox.consume(HEADER_LEN);
        assert!(inbox.is_empty());
        drop(sender.join().unwrap());
        assert!(matches!(
            inbox.header(far.as_fd(), || {}),
            Err(ReceiveError::Closed)
        ));
    }

    #[test]
    fn an_end_within_a_frame_is_told_apart() {
        let (mut near, far) = UnixStream::pair().unwrap();
        near.write_all(&[Kind::Request as u8, 0, 0]).unwrap();
        drop(near);
        assert!(matches!(
            Inbox::new().header(far.as_fd(), || {}),
            Err(ReceiveError::Truncated)
        ));
    }

    #[test]
    fn a_huge_length_reserves_nothing() {
        let (mut near, far) = UnixStream::pair().unwrap();
        let len = u32::try_from(wsgi_core::wire::MAX_HEAD).unwrap();
        let mut wire = vec![Kind::Request as u8, 0, 0, 0];
        wire.extend_from_slice(&len.to_le_bytes());
        near.write_all(&wire).unwrap();
        drop(near);
        let mut inbox = Inbox::new();
        let header = inbox.header(far.as_fd(), || {}).unwrap();
        assert!(matches!(
            inbox.whole(far.as_fd(), header.len, || {}),
            Err(ReceiveError::Truncated)
        ));
        assert_eq!(inbox.bytes.len(), CAPACITY);
    }

    /// Everything that is said in a stream of bytes, up to its end: kinds and payloads, and how it ended.
    fn read_all(stream: &[u8], step: usize, detach: bool) -> (Vec<(Kind, Vec<u8>)>, ReceiveError) {
        let (mut near, far) = UnixStream::pair().unwrap();
        let (mut inbox, mut spare, mut found) = (Inbox::new(), Vec::new(), Vec::new());
        for bytes in stream.chunks(step) {
            near.write_all(bytes).unwrap();
            inbox.receive(far.as_fd(), Wait::Block).unwrap();
        }
        drop(near);
        let mut read = || -> Result<(), ReceiveError> {
            let header = inbox.header(far.as_fd(), || {})?;
            inbox.whole(far.as_fd(), header.len, || {})?;
            let payload = if detach {
                let range = inbox.detach(header.len, &mut spare);
                spare[range].to_vec()
            } else {
                let payload = inbox.payload(header.len).to_vec();
                inbox.consume(HEADER_LEN + header.len);
                payload
            };
            found.push((header.kind, payload));
            Ok(())
        };
        let end = loop {
            if let Err(end) = read() {
                break end;
            }
        };
        (found, end)
    }

    proptest! {
        /// However a stream is cut, the same frames come out, and what ends within one is no end.
        #[test]
        fn cuts_do_not_matter(
            frames in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..300), 0..8),
            step in 1_usize..400, missing in 0_usize..4, detach: bool,
        ) {
            let mut stream = Vec::new();
            for payload in &frames {
                encode_plain(&mut stream, Kind::Body, 0, payload).unwrap();
            }
            let missing = missing.min(stream.len());
            stream.truncate(stream.len() - missing);
            let (mut found, end) = read_all(&stream, step, detach);
            prop_assert!(matches!(
                (missing, end), (0, ReceiveError::Closed) | (1.., ReceiveError::Truncated)
            ));
            let whole = frames.len() - usize::from(missing > 0);
            let expected: Vec<_> = frames[..whole].iter().map(|payload| (Kind::Body, payload.clone())).collect();
            found.truncate(expected.len() + 1);
            prop_assert_eq!(found, expected);
        }

        /// Any bytes are frames or an error that says why, and reserve no more than what came.
        #[test]
        fn any_bytes_are_borne(stream in proptest::collection::vec(prop_oneof![Just(0_u8), 1_u8..24, any::<u8>()], 0..200)) {
            let (found, end) = read_all(&stream, 50, false);
            let taken: usize = found.iter().map(|(_, payload)| HEADER_LEN + payload.len()).sum();
            prop_assert!(taken <= stream.len());
            prop_assert_eq!(matches!(end, ReceiveError::Closed), taken == stream.len());
            prop_assert!(!matches!(end, ReceiveError::System(_) | ReceiveError::Stalled));
        }
    }
}
