//! The request body on its way from the client to a daemon: collected first, so that a slow client keeps no thread of a daemon;
//! with `request-spool=0` only where it is short. The buffer holds whole frames, so that a piece is sent as it lies.

use wsgi_core::wire::{FLAG_BROKEN, HEADER_LEN, Header, Kind, encode_plain};

use super::failure::Failure;
use super::side::Apache;
use super::spool::{Bounds, Spool};

/// Bodies up to this length are read before the request is sent, and sent with it, bytes.
pub(super) const SHORT_BODY: usize = 64 << 10;

/// What is known about a request's body before it is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyFacts {
    /// There is none.
    None,
    /// Content-Length.
    Length(u64),
    /// Chunked, or changed by an input filter.
    Unknown,
}

/// Room for one Body frame and a BodyEnd behind it.
#[derive(Debug)]
pub(super) struct BodyBuffer {
    bytes: Vec<u8>,
    /// Bytes of the body in it, behind the room for a frame's header.
    len: usize,
    /// The end of the body is in it, or was before.
    ended: bool,
    /// The whole of a body that is not short.
    spool: Spool,
    /// `spool` is in use.
    is_spooled: bool,
}

impl BodyBuffer {
    pub(super) fn new() -> BodyBuffer {
        BodyBuffer {
            bytes: Vec::new(),
            len: 0,
            ended: false,
            spool: Spool::default(),
            is_spooled: false,
        }
    }

    /// Forgets the former request.
    pub(super) fn clear(&mut self) {
        self.len = 0;
        self.ended = false;
        if self.is_spooled {
            self.is_spooled = false;
            self.spool.clear();
        }
    }

    /// Whether the end of the body is among [`BodyBuffer::frames`], or was.
    pub(super) fn is_ended(&self) -> bool {
        self.ended
    }

    /// Whether the whole body is here, so that it can be sent again.
    pub(super) fn is_spooled(&self) -> bool {
        self.is_spooled
    }

    /// Before a long body is sent once more.
    pub(super) fn rewind(&mut self) {
        if self.is_spooled {
            (self.len, self.ended) = (0, false);
            self.spool.rewind();
        }
    }

    /// Reads the body, for which a client that waits for `100 Continue` is asked (REQ-322): whole if up to `memory` bytes of
    /// it are kept in memory and the rest in a file; with 0 only as far as it is short. Then nothing is read of one that is
    /// known to be long: its client is asked when a daemon wants it (DMN-245).
    ///
    /// # Errors
    /// [`Failure::Body`], [`Failure::Spool`].
    pub(super) fn collect<A: Apache>(
        &mut self,
        apache: &mut A,
        facts: BodyFacts,
        memory: usize,
    ) -> Result<(), Failure> {
        match facts {
            BodyFacts::None => {
                self.ended = true;
                return Ok(());
            }
            BodyFacts::Length(length) if length > SHORT_BODY as u64 && memory == 0 => return Ok(()),
            BodyFacts::Length(_) | BodyFacts::Unknown => {}
        }
        self.read_piece(apache)?;
        if self.ended || memory == 0 {
            return Ok(());
        }
        self.is_spooled = true;
        self.spool.begin(Bounds {
            memory,
            file: u64::MAX,
        });
        loop {
            let piece = &self.bytes[HEADER_LEN..HEADER_LEN + self.len];
            let pushed = self.spool.push(piece, || apache.temporary_folder());
            pushed.map_err(Failure::Spool)?;
            self.len = 0;
            if self.ended {
                self.rewind();
                return Ok(());
            }
            self.read_piece(apache)?;
        }
    }

    /// Reads until the buffer is full or the body at its end.
    fn read_piece<A: Apache>(&mut self, apache: &mut A) -> Result<(), Failure> {
        self.make_room();
        while !self.ended && self.len < SHORT_BODY {
            let room = &mut self.bytes[HEADER_LEN + self.len..HEADER_LEN + SHORT_BODY];
            match apache.read_body(room)? {
                0 => self.ended = true,
                count => self.len += count,
            }
        }
        Ok(())
    }

    /// Takes the next piece as far as it has come. False if nothing has.
    ///
    /// # Errors
    /// [`Failure::Body`], [`Failure::Spool`].
    pub(super) fn read_on<A: Apache>(&mut self, apache: &mut A) -> Result<bool, Failure> {
        self.make_room();
        self.len = 0;
        if self.is_spooled {
            let room = &mut self.bytes[HEADER_LEN..HEADER_LEN + SHORT_BODY];
            self.len = self.spool.take(room).map_err(Failure::Spool)?;
            self.ended = self.spool.is_empty();
            return Ok(true);
        }
        while !self.ended && self.len < SHORT_BODY {
            let room = &mut self.bytes[HEADER_LEN + self.len..HEADER_LEN + SHORT_BODY];
            match apache.read_available_body(room)? {
                None => break,
                Some(0) => self.ended = true,
                Some(count) => self.len += count,
            }
        }
        Ok(self.ended || self.len > 0)
    }

    /// The frames of what was read: Body if there are bytes, BodyEnd if it was the end.
    pub(super) fn frames(&mut self) -> &[u8] {
        self.make_room();
        let end = HEADER_LEN + self.len;
        let body = Header {
            kind: Kind::Body,
            flags: 0,
            len: self.len,
        }
        .encode();
        self.bytes[..HEADER_LEN].copy_from_slice(&body);
        let last = Header {
            kind: Kind::BodyEnd,
            flags: 0,
            len: 0,
        }
        .encode();
        self.bytes[end..end + HEADER_LEN].copy_from_slice(&last);
        let from = if self.len == 0 { HEADER_LEN } else { 0 };
        let to = if self.ended { end + HEADER_LEN } else { end };
        &self.bytes[from..to]
    }

    fn make_room(&mut self) {
        // Only when the first body comes: most threads never see one.
        let wanted = if self.len == 0 && self.ended {
            2 * HEADER_LEN
        } else {
            SHORT_BODY + 2 * HEADER_LEN
        };
        if self.bytes.len() < wanted {
            self.bytes.resize(wanted, 0);
        }
    }
}

/// The frame that tells a daemon that the client's body broke off.
pub(super) fn broken_end(reason: &str) -> Vec<u8> {
    let mut frame = Vec::new();
    let text = &reason.as_bytes()[..reason.len().min(1000)];
    encode_plain(&mut frame, Kind::BodyEnd, FLAG_BROKEN, text)
        .expect("a short text is within the limit");
    frame
}
