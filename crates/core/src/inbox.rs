//! What an Apache child has received from a daemon and not looked at yet: frames come out of it whole, but for Data, whose
//! bytes are given out as they arrive, so that a large block goes from the receive buffer straight to the client.
//!
//! Pure: the caller receives into [`Inbox::room`] and reports with [`Inbox::filled`]. The buffer is reused from request
//! to request; it grows only for a frame that needs it, step by step as its bytes really come. What is found is given as
//! a range of the buffer, valid until the next [`Inbox::room`], so that the Data of one receive can be passed on together.

use std::ops::Range;

use crate::wire::{HEADER_LEN, Header, Kind, WireError};

/// Usual capacity, bytes: what one receive can take.
pub const CAPACITY: usize = 128 << 10;
/// A buffer that grew over this is given back when it is empty, bytes.
const KEEP: usize = 1 << 20;

/// Received bytes.
#[derive(Debug)]
pub struct Inbox {
    bytes: Vec<u8>,
    start: usize,
    end: usize,
    /// Bytes of the current Data frame that have not been given out.
    data_left: usize,
    data_flags: u8,
}

/// What comes next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// A whole frame of any kind but Data, and where its payload is.
    Frame(Header, Range<usize>),
    /// Some bytes of a Data frame (or none, for an empty one), with the frame's flags on its last piece and 0 before.
    Data {
        /// Where the bytes are.
        range: Range<usize>,
        /// `FLAG_*` of a frame that ends here.
        flags: u8,
    },
}

impl Default for Inbox {
    fn default() -> Inbox {
        Inbox::new()
    }
}

impl Inbox {
    /// Empty, with the usual capacity.
    pub fn new() -> Inbox {
        Inbox {
            bytes: vec![0; CAPACITY],
            start: 0,
            end: 0,
            data_left: 0,
            data_flags: 0,
        }
    }

    /// Forgets everything: another connection is going to be read.
    pub fn clear(&mut self) {
        (self.start, self.end, self.data_left, self.data_flags) = (0, 0, 0, 0);
        if self.bytes.len() > KEEP {
            self.bytes = vec![0; CAPACITY];
        }
    }

    /// Whether every byte received was given out and no frame is half way through.
    pub fn is_empty(&self) -> bool {
        self.start == self.end && self.data_left == 0
    }

    /// Where to receive to; never empty after [`Inbox::take`] has said that nothing whole is there.
    pub fn room(&mut self) -> &mut [u8] {
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        } else if self.start > 0 && self.bytes.len() - self.end < self.bytes.len() / 4 {
            self.bytes.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        if self.end == self.bytes.len() {
            // Only a frame longer than the buffer gets here; its length was checked against its kind's limit.
            let longer = self.bytes.len() * 2;
            self.bytes.resize(longer, 0);
        }
        &mut self.bytes[self.end..]
    }

    /// `len` bytes were received to the front of [`Inbox::room`].
    pub fn filled(&mut self, len: usize) {
        self.end = (self.end + len).min(self.bytes.len());
    }

    /// The bytes of a piece taken since the last [`Inbox::room`].
    pub fn bytes(&self, range: &Range<usize>) -> &[u8] {
        &self.bytes[range.clone()]
    }

    /// Takes the next piece; None while nothing whole is there.
    ///
    /// # Errors
    /// What [`Header::decode`] says. The connection is of no use any more.
    pub fn take(&mut self) -> Result<Option<Piece>, WireError> {
        if self.data_left > 0 {
            return Ok(self.data());
        }
        let Some(header) = Header::decode(&self.bytes[self.start..self.end])? else {
            return Ok(None);
        };
        if header.kind == Kind::Data {
            self.start += HEADER_LEN;
            self.data_left = header.len;
            self.data_flags = header.flags;
            if header.len == 0 {
                return Ok(Some(Piece::Data {
                    range: self.start..self.start,
                    flags: header.flags,
                }));
            }
            return Ok(self.data());
        }
        let payload = self.start + HEADER_LEN;
        if self.end - payload < header.len {
            return Ok(None);
        }
        self.start = payload + header.len;
        Ok(Some(Piece::Frame(header, payload..self.start)))
    }

    fn data(&mut self) -> Option<Piece> {
        let len = self.data_left.min(self.end - self.start);
        if len == 0 {
            return None;
        }
        let from = self.start;
        self.start += len;
        self.data_left -= len;
        let flags = if self.data_left == 0 {
            self.data_flags
        } else {
            0
        };
        Some(Piece::Data {
            range: from..self.start,
            flags,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{FLAG_FLUSH, encode_plain};
    use proptest::prelude::*;

    fn receive(inbox: &mut Inbox, bytes: &[u8]) -> usize {
        let room = inbox.room();
        let len = room.len().min(bytes.len());
        room[..len].copy_from_slice(&bytes[..len]);
        inbox.filled(len);
        len
    }

    /// What an inbox gives for a stream that arrives in pieces of `step` bytes: Data run together, all else as it is.
    fn read_all(stream: &[u8], step: usize) -> Vec<(Kind, Vec<u8>)> {
        let mut inbox = Inbox::new();
        let mut found: Vec<(Kind, Vec<u8>)> = Vec::new();
        let mut open = false;
        let mut rest = stream;
        while !rest.is_empty() {
            let taken = receive(&mut inbox, &rest[..step.min(rest.len())]);
            rest = &rest[taken..];
            while let Some(piece) = inbox.take().unwrap() {
                match piece {
                    Piece::Frame(header, range) => {
                        found.push((header.kind, inbox.bytes(&range).to_vec()));
                    }
                    Piece::Data { range, flags } => {
                        if !open {
                            found.push((Kind::Data, Vec::new()));
                        }
                        found
                            .last_mut()
                            .unwrap()
                            .1
                            .extend_from_slice(inbox.bytes(&range));
                        open = flags != FLAG_FLUSH;
                    }
                }
            }
        }
        assert!(inbox.is_empty());
        found
    }

    proptest! {
        /// However a stream is cut, the same frames come out.
        #[test]
        fn cuts_do_not_matter(
            frames in proptest::collection::vec(
                (proptest::bool::ANY, proptest::collection::vec(any::<u8>(), 0..300)), 0..12),
            step in 1usize..400,
        ) {
            let mut stream = Vec::new();
            let mut expected = Vec::new();
            for (data, payload) in frames {
                let (kind, flags) = if data { (Kind::Data, FLAG_FLUSH) } else { (Kind::Log, 0) };
                encode_plain(&mut stream, kind, flags, &payload).unwrap();
                expected.push((kind, payload));
            }
            prop_assert_eq!(read_all(&stream, step), expected);
        }
    }

    #[test]
    fn frames_longer_than_the_buffer_come_out() {
        let mut stream = Vec::new();
        let head = vec![b'h'; CAPACITY * 3];
        let data = vec![b'd'; CAPACITY * 5];
        encode_plain(&mut stream, Kind::Head, 0, &head).unwrap();
        encode_plain(&mut stream, Kind::Data, FLAG_FLUSH, &data).unwrap();
        encode_plain(&mut stream, Kind::End, 0, &[0]).unwrap();
        let found = read_all(&stream, usize::MAX);
        assert_eq!(
            found,
            [(Kind::Head, head), (Kind::Data, data), (Kind::End, vec![0])]
        );
    }

    #[test]
    fn data_does_not_make_the_buffer_grow() {
        let mut inbox = Inbox::new();
        let mut stream = Vec::new();
        encode_plain(&mut stream, Kind::Data, 0, &vec![0; CAPACITY * 20]).unwrap();
        let mut rest = &stream[..];
        while !rest.is_empty() {
            let taken = receive(&mut inbox, rest);
            rest = &rest[taken..];
            while inbox.take().unwrap().is_some() {}
        }
        assert_eq!(inbox.bytes.len(), CAPACITY);
    }

    #[test]
    fn nonsense_is_an_error() {
        let mut inbox = Inbox::new();
        receive(&mut inbox, b"HTTP/1.1 200 OK\r\n");
        assert!(inbox.take().is_err());
        inbox.clear();
        assert_eq!(inbox.take(), Ok(None));
    }
}
