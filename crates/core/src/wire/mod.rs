//! The framed protocol between an Apache child and a daemon, over a kept AF_UNIX stream.
//!
//! A frame is an 8 byte [`Header`] (kind, flags, two zero bytes, payload length little endian) and its payload. Encoding
//! appends to a buffer of the caller; decoding borrows from the received bytes. Every length is checked against its
//! kind's limit before anything is allocated or awaited. Body and Data may be passed on before their frame is complete;
//! all other frames are decoded whole.
//!
//! Conversation, child first: `Hello Request [Body…|BodyFile] BodyEnd` on a new connection, `Request …` on a kept one. The daemon
//! answers `Welcome` once a connection, then for each request either `Refused`, or
//! `[Continue] {Log} [Head {Data | File | Log}] End`. An answer without `End` was cut short.

mod answer;
mod request;

pub use answer::{AnswerEnd, AnswerHead, FileSpan, Log, Refusal, Welcome};
pub use request::{Hello, RequestHead};

/// Version of the protocol; a child and its daemons always come from one build, so any other number is a stranger.
pub const PROTOCOL: u32 = 1;
/// Length of a frame header, bytes.
pub const HEADER_LEN: usize = 8;
/// Longest payload of a request or answer head, bytes (DMN-220).
pub const MAX_HEAD: usize = 16 << 20;
/// Longest payload of one Body or Data frame, bytes; senders split.
pub const MAX_DATA: usize = 16 << 20;
/// Longest payload of the small frames, bytes.
pub const MAX_SMALL: usize = 16 << 10;

/// `Header::flags` of Data: pass on to the client now.
pub const FLAG_FLUSH: u8 = 1 << 0;
/// `Header::flags` of Request: the body follows only after `Continue`.
pub const FLAG_AWAITS_CONTINUE: u8 = 1 << 1;
/// `Header::flags` of BodyEnd: the client's body broke off; the payload is the reason as text.
pub const FLAG_BROKEN: u8 = 1 << 2;

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// Child: first frame of a connection.
    Hello = 1,
    /// Child: a request without its body.
    Request = 2,
    /// Child: a piece of the body.
    Body = 3,
    /// Child: the body ends here (every request has one, also without a body).
    BodyEnd = 4,
    /// Child: the body is a span of a file, whose descriptor came with the request.
    BodyFile = 5,
    /// Daemon: first frame of a connection.
    Welcome = 16,
    /// Daemon: the body may be sent.
    Continue = 17,
    /// Daemon: the request was not executed.
    Refused = 18,
    /// Daemon: status and headers.
    Head = 19,
    /// Daemon: a piece of the answer.
    Data = 20,
    /// Daemon: a span of a file, whose descriptor came with the first byte of this frame.
    File = 21,
    /// Daemon: the answer ends here.
    End = 22,
    /// Daemon: a record for the request's error log.
    Log = 23,
}

impl Kind {
    fn from_byte(byte: u8) -> Option<Kind> {
        Some(match byte {
            1 => Kind::Hello,
            2 => Kind::Request,
            3 => Kind::Body,
            4 => Kind::BodyEnd,
            5 => Kind::BodyFile,
            16 => Kind::Welcome,
            17 => Kind::Continue,
            18 => Kind::Refused,
            19 => Kind::Head,
            20 => Kind::Data,
            21 => Kind::File,
            22 => Kind::End,
            23 => Kind::Log,
            _ => return None,
        })
    }

    /// Longest payload of this kind, bytes.
    pub fn limit(self) -> usize {
        match self {
            Kind::Request | Kind::Head => MAX_HEAD,
            Kind::Body | Kind::Data => MAX_DATA,
            _ => MAX_SMALL,
        }
    }
}

/// A frame's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// What follows.
    pub kind: Kind,
    /// `FLAG_*`.
    pub flags: u8,
    /// Length of the payload in bytes, within the kind's limit.
    pub len: usize,
}

/// Bytes that are not a conversation of this protocol. The connection ends; there is no way to find the next frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// No such kind of frame.
    #[error("unknown frame kind {0}")]
    UnknownKind(u8),
    /// The reserved bytes are not zero.
    #[error("reserved header bytes are set")]
    Reserved,
    /// Longer than the kind allows.
    #[error("a {kind:?} frame of {len} bytes is longer than {limit}")]
    TooLarge {
        /// Kind of the frame.
        kind: Kind,
        /// Announced length, bytes.
        len: usize,
        /// Allowed length, bytes.
        limit: usize,
    },
    /// The payload ends before its fields do, or goes on after them.
    #[error("a {0:?} frame is malformed")]
    Malformed(Kind),
    /// A frame that is not expected here.
    #[error("unexpected {0:?} frame")]
    Unexpected(Kind),
}

impl Header {
    /// The header at the start of `bytes`; None while fewer than [`HEADER_LEN`] bytes are there.
    ///
    /// # Errors
    /// Unknown kind, reserved bytes, or a length over the kind's limit.
    pub fn decode(bytes: &[u8]) -> Result<Option<Header>, WireError> {
        let Some(&[kind, flags, zero0, zero1, l0, l1, l2, l3]) = bytes.first_chunk::<HEADER_LEN>()
        else {
            return Ok(None);
        };
        let kind = Kind::from_byte(kind).ok_or(WireError::UnknownKind(kind))?;
        if (zero0, zero1) != (0, 0) {
            return Err(WireError::Reserved);
        }
        let len = u32::from_le_bytes([l0, l1, l2, l3]) as usize;
        if len > kind.limit() {
            return Err(WireError::TooLarge {
                kind,
                len,
                limit: kind.limit(),
            });
        }
        Ok(Some(Header { kind, flags, len }))
    }

    /// The bytes of this header.
    pub fn encode(self) -> [u8; HEADER_LEN] {
        let len = u32::try_from(self.len)
            .expect("limits are below 4 GiB")
            .to_le_bytes();
        [
            self.kind as u8,
            self.flags,
            0,
            0,
            len[0],
            len[1],
            len[2],
            len[3],
        ]
    }
}

/// The frame at the start of `bytes`: its header and whole payload; None while it is incomplete.
///
/// # Errors
/// As [`Header::decode`].
pub fn whole_frame(bytes: &[u8]) -> Result<Option<(Header, &[u8])>, WireError> {
    let Some(header) = Header::decode(bytes)? else {
        return Ok(None);
    };
    Ok(bytes
        .get(HEADER_LEN..HEADER_LEN + header.len)
        .map(|payload| (header, payload)))
}

/// Appends a frame whose payload `fill` writes; its length is entered afterwards.
///
/// # Errors
/// [`WireError::TooLarge`], and `out` is as before.
fn frame(
    out: &mut Vec<u8>,
    kind: Kind,
    flags: u8,
    fill: impl FnOnce(&mut Vec<u8>),
) -> Result<(), WireError> {
    let start = out.len();
    out.extend_from_slice(
        &Header {
            kind,
            flags,
            len: 0,
        }
        .encode(),
    );
    fill(out);
    let len = out.len() - start - HEADER_LEN;
    if len > kind.limit() {
        out.truncate(start);
        return Err(WireError::TooLarge {
            kind,
            len,
            limit: kind.limit(),
        });
    }
    out[start..start + HEADER_LEN].copy_from_slice(&Header { kind, flags, len }.encode());
    Ok(())
}

/// Appends a frame with a payload at hand; for BodyEnd, Continue and short pieces of Body and Data.
///
/// # Errors
/// [`WireError::TooLarge`].
pub fn encode_plain(
    out: &mut Vec<u8>,
    kind: Kind,
    flags: u8,
    payload: &[u8],
) -> Result<(), WireError> {
    frame(out, kind, flags, |out| out.extend_from_slice(payload))
}

/// Fields of a payload, taken from the front; running out of bytes is [`WireError::Malformed`].
struct Fields<'a> {
    kind: Kind,
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    fn new(kind: Kind, payload: &'a [u8]) -> Fields<'a> {
        Fields {
            kind,
            rest: payload,
        }
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], WireError> {
        let (&head, rest) = self
            .rest
            .split_first_chunk::<N>()
            .ok_or(WireError::Malformed(self.kind))?;
        self.rest = rest;
        Ok(head)
    }

    fn u8(&mut self) -> Result<u8, WireError> {
        Ok(self.array::<1>()?[0])
    }

    fn u32(&mut self) -> Result<u32, WireError> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    fn u64(&mut self) -> Result<u64, WireError> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    fn i64(&mut self) -> Result<i64, WireError> {
        Ok(i64::from_le_bytes(self.array()?))
    }

    fn bytes(&mut self) -> Result<&'a [u8], WireError> {
        let len = self.u32()? as usize;
        let (head, rest) = self
            .rest
            .split_at_checked(len)
            .ok_or(WireError::Malformed(self.kind))?;
        self.rest = rest;
        Ok(head)
    }

    fn end(self) -> Result<(), WireError> {
        if self.rest.is_empty() {
            Ok(())
        } else {
            Err(WireError::Malformed(self.kind))
        }
    }
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    // A length over 4 GiB makes the frame too large, which `frame` refuses.
    out.extend_from_slice(&u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_le_bytes());
    out.extend_from_slice(bytes);
}

/// Length that marks "no value" of a pair (ENV-24).
const NO_VALUE: u32 = u32::MAX;

/// Names and values of an environ or of headers, in their encoded form: decoded while they are walked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pairs<'a> {
    count: usize,
    bytes: &'a [u8],
}

impl<'a> Pairs<'a> {
    /// Takes the pairs from the rest of a payload; every length is checked here, so that walking cannot fail.
    fn take(fields: Fields<'a>) -> Result<Pairs<'a>, WireError> {
        let mut check = fields;
        let kind = check.kind;
        let count = check.u32()? as usize;
        let bytes = check.rest;
        // A pair takes 8 bytes at least, so a count over that is a lie that must not reserve memory.
        if count > bytes.len() / 8 {
            return Err(WireError::Malformed(kind));
        }
        for _ in 0..count {
            check.bytes()?;
            if check.rest.first_chunk::<4>() == Some(&NO_VALUE.to_le_bytes()) {
                check.u32()?;
            } else {
                check.bytes()?;
            }
        }
        check.end()?;
        Ok(Pairs { count, bytes })
    }

    /// Number of pairs.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The pairs in order; a value of None is "no value".
    pub fn iter(&self) -> impl Iterator<Item = (&'a [u8], Option<&'a [u8]>)> + use<'a> {
        let mut fields = Fields::new(Kind::Request, self.bytes);
        (0..self.count).map(move |_| {
            let name = fields.bytes().unwrap_or_default();
            if fields.rest.first_chunk::<4>() == Some(&NO_VALUE.to_le_bytes()) {
                let _ = fields.u32();
                (name, None)
            } else {
                (name, Some(fields.bytes().unwrap_or_default()))
            }
        })
    }
}

fn put_pairs<'p>(out: &mut Vec<u8>, pairs: impl Iterator<Item = (&'p [u8], Option<&'p [u8]>)>) {
    let at = out.len();
    out.extend_from_slice(&[0; 4]);
    let mut count: u32 = 0;
    for (name, value) in pairs {
        put_bytes(out, name);
        match value {
            Some(value) => put_bytes(out, value),
            None => out.extend_from_slice(&NO_VALUE.to_le_bytes()),
        }
        count += 1;
    }
    out[at..at + 4].copy_from_slice(&count.to_le_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Whatever arrives, decoding answers and does not panic.
        #[test]
        fn any_bytes_decode_or_fail(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = whole_frame(&bytes);
            let _ = RequestHead::decode(&bytes);
            let _ = AnswerHead::decode(&bytes);
            let _ = Hello::decode(&bytes);
            let _ = Welcome::decode(&bytes);
            let _ = FileSpan::decode(&bytes);
            let _ = Log::decode(&bytes);
            let _ = Refusal::decode(&bytes);
            let _ = AnswerEnd::decode(&bytes);
        }

        #[test]
        fn headers_come_back(flags: u8, len in 0usize..=MAX_DATA) {
            let header = Header { kind: Kind::Data, flags, len };
            prop_assert_eq!(Header::decode(&header.encode()), Ok(Some(header)));
        }
    }

    #[test]
    fn a_short_header_is_incomplete() {
        assert_eq!(Header::decode(&[Kind::End as u8, 0, 0]), Ok(None));
    }

    #[test]
    fn a_huge_length_is_refused_before_its_payload_comes() {
        let bytes = [Kind::Log as u8, 0, 0, 0, 0xff, 0xff, 0xff, 0x7f];
        assert!(matches!(
            Header::decode(&bytes),
            Err(WireError::TooLarge { .. })
        ));
    }

    #[test]
    fn reserved_bytes_and_unknown_kinds_are_refused() {
        assert_eq!(
            Header::decode(&[99, 0, 0, 0, 0, 0, 0, 0]),
            Err(WireError::UnknownKind(99))
        );
        assert_eq!(
            Header::decode(&[1, 0, 1, 0, 0, 0, 0, 0]),
            Err(WireError::Reserved)
        );
    }

    #[test]
    fn a_lie_about_the_count_is_malformed() {
        let mut payload = Vec::new();
        payload.extend_from_slice(&u32::MAX.to_le_bytes());
        let fields = Fields::new(Kind::Head, &payload);
        assert_eq!(Pairs::take(fields), Err(WireError::Malformed(Kind::Head)));
    }
}
