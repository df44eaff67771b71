//! The request body on its way from the client to a daemon: collected first, so that a slow client keeps no thread of a daemon;
//! with `request-spool=0` only where it is short. The buffer holds whole frames, so that a piece is sent as it lies; a body in a
//! file is not sent at all: the daemon gets the file, for reading only.

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd};

use wsgi_core::wire::{FLAG_BROKEN, FileSpan, HEADER_LEN, Header, Kind, encode_plain};

use super::failure::Failure;
use super::side::Apache;
use super::store::{Store, StoreError};

/// Bodies up to this length are read before the request is sent, and sent with it, bytes.
pub(super) const SHORT_BODY: usize = 64 << 10;

/// How much is written to a file at a time, bytes: file systems do better with more at once.
const WRITE: usize = 256 << 10;

/// The frame behind a whole body.
const END: Header = Header {
    kind: Kind::BodyEnd,
    flags: 0,
    len: 0,
};

/// What is known about a request's body before it is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyFacts {
    /// There is none.
    None,
    /// Content-Length, of which input filters may make more or less.
    Length(u64),
    /// Chunked.
    Unknown,
}

/// Room for one Body frame and a BodyEnd behind it, and the whole of a body that is not short.
#[derive(Debug)]
pub(super) struct BodyBuffer {
    bytes: Vec<u8>,
    /// Bytes of the body in it, behind the room for a frame's header.
    len: usize,
    /// The end of the body is in it, or was before.
    ended: bool,
    kept: Kept,
}

/// Where the whole of a body is.
#[derive(Debug)]
enum Kept {
    /// Nowhere: it is short, or passed on as it comes.
    No,
    /// In memory, of which so many bytes were taken.
    Memory(Vec<u8>, usize),
    /// In a file that can only be read here: it is sent in pieces.
    File(Store),
    /// In a file that the daemon gets, with these frames.
    Handed(Handed),
}

#[derive(Debug)]
struct Handed {
    file: File,
    frames: Vec<u8>,
}

impl BodyBuffer {
    pub(super) fn new() -> BodyBuffer {
        BodyBuffer {
            bytes: Vec::new(),
            len: 0,
            ended: false,
            kept: Kept::No,
        }
    }

    /// Forgets the former request, and gives back what its body took in memory and on disk.
    pub(super) fn clear(&mut self) {
        self.len = 0;
        self.ended = false;
        self.kept = Kept::No;
    }

    /// Whether the end of the body is among [`BodyBuffer::frames`], or was.
    pub(super) fn is_ended(&self) -> bool {
        self.ended
    }

    /// Whether the whole body is here, so that it can be sent again.
    pub(super) fn is_spooled(&self) -> bool {
        !matches!(self.kept, Kept::No)
    }

    /// Before a long body is sent once more.
    pub(super) fn rewind(&mut self) {
        match &mut self.kept {
            Kept::No | Kept::Handed(_) => return,
            Kept::Memory(_, taken) => *taken = 0,
            Kept::File(store) => store.rewind(),
        }
        (self.len, self.ended) = (0, false);
    }

    /// Reads the body, for which a client that waits for `100 Continue` is asked (REQ-322): whole, in memory if it has up to
    /// `memory` bytes, else in a file; with 0 only as far as it is short. Then nothing is read of one that is known to be
    /// long: its client is asked when a daemon wants it (DMN-245).
    ///
    /// # Errors
    /// [`Failure::Body`], [`Failure::Spool`].
    pub(super) fn collect<A: Apache>(
        &mut self,
        apache: &mut A,
        facts: BodyFacts,
        memory: usize,
    ) -> Result<(), Failure> {
        let announced = match facts {
            BodyFacts::None => {
                self.ended = true;
                return Ok(());
            }
            BodyFacts::Length(length) if length > SHORT_BODY as u64 && memory == 0 => return Ok(()),
            BodyFacts::Length(length) => length,
            BodyFacts::Unknown => 0,
        };
        if facts == BodyFacts::Unknown && memory == 0 {
            // What the client says next may depend on the answer.
            self.read_on(apache)?;
            return Ok(());
        }
        // First of all: httpd refuses here what is over its own limit.
        self.read_piece(apache)?;
        if self.ended || memory == 0 {
            return Ok(());
        }
        self.keep_rest(apache, announced, memory)
            .map_err(|why| match why {
                Unkept::Body(failure) => failure,
                Unkept::Store(error) => Failure::Spool(error),
            })
    }

    /// Reads on to the end of the body, which has `announced` bytes if that is known.
    fn keep_rest<A: Apache>(
        &mut self,
        apache: &mut A,
        announced: u64,
        memory: usize,
    ) -> Result<(), Unkept> {
        let mut kept = Vec::new();
        while announced <= memory as u64 && kept.len() + self.len <= memory {
            kept.extend_from_slice(&self.bytes[HEADER_LEN..HEADER_LEN + self.len]);
            self.len = 0;
            if self.ended {
                self.kept = Kept::Memory(kept, 0);
                self.rewind();
                return Ok(());
            }
            self.read_piece(apache)?;
        }
        let mut store = Store::new(apache.temporary_folder())?;
        store.check_space(announced)?;
        store.push(&kept)?;
        drop(kept);
        store.push(&self.bytes[HEADER_LEN..HEADER_LEN + self.len])?;
        let mut piece = vec![0; WRITE];
        while !self.ended {
            let mut len = 0;
            while !self.ended && len < piece.len() {
                match apache.read_body(&mut piece[len..])? {
                    0 => self.ended = true,
                    count => len += count,
                }
            }
            store.push(&piece[..len])?;
        }
        self.kept = match store.read_only() {
            Some((file, span)) => Kept::Handed(Handed::new(file, span)),
            None => Kept::File(store),
        };
        self.rewind();
        Ok(())
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
        let room = &mut self.bytes[HEADER_LEN..HEADER_LEN + SHORT_BODY];
        match &mut self.kept {
            Kept::No => {}
            Kept::Handed(_) => return Ok(true),
            Kept::Memory(bytes, taken) => {
                let rest = &bytes[*taken..];
                self.len = rest.len().min(room.len());
                room[..self.len].copy_from_slice(&rest[..self.len]);
                *taken += self.len;
                self.ended = *taken == bytes.len();
                return Ok(true);
            }
            Kept::File(store) => {
                self.len = store.take(room).map_err(Failure::Spool)?;
                self.ended = store.len() == 0;
                return Ok(true);
            }
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

    /// The frames of what was read: Body if there are bytes, BodyEnd if it was the end; or BodyFile and BodyEnd, and the file
    /// that goes with the first byte of the request.
    pub(super) fn frames(&mut self) -> (&[u8], Option<BorrowedFd<'_>>) {
        self.make_room();
        if let Kept::Handed(handed) = &self.kept {
            return (&handed.frames, Some(handed.file.as_fd()));
        }
        let end = HEADER_LEN + self.len;
        let body = Header {
            kind: Kind::Body,
            flags: 0,
            len: self.len,
        };
        self.bytes[..HEADER_LEN].copy_from_slice(&body.encode());
        self.bytes[end..end + HEADER_LEN].copy_from_slice(&END.encode());
        let from = if self.len == 0 { HEADER_LEN } else { 0 };
        let to = if self.ended { end + HEADER_LEN } else { end };
        (&self.bytes[from..to], None)
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

impl Handed {
    fn new(file: File, span: FileSpan) -> Handed {
        let mut frames = Vec::with_capacity(2 * HEADER_LEN + 16);
        span.encode_body(&mut frames);
        frames.extend_from_slice(&END.encode());
        Handed { file, frames }
    }
}

/// Why a body could not be kept.
enum Unkept {
    Body(Failure),
    Store(StoreError),
}

impl From<Failure> for Unkept {
    fn from(failure: Failure) -> Unkept {
        Unkept::Body(failure)
    }
}

impl From<StoreError> for Unkept {
    fn from(error: StoreError) -> Unkept {
        Unkept::Store(error)
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
