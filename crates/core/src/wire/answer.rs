//! Frames of the daemon: its place on the board, and the answer to a request.

use super::{Fields, Kind, Pairs, WireError, frame, put_bytes, put_pairs};

/// First frame of the daemon on a connection: whose idle threads the board shows for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Welcome {
    /// Slot on the board.
    pub slot: u32,
    /// Instance number of the process in that slot.
    pub instance: u32,
}

impl Welcome {
    /// Appends the frame.
    pub fn encode(&self, out: &mut Vec<u8>) {
        frame(out, Kind::Welcome, 0, |out| {
            out.extend_from_slice(&self.slot.to_le_bytes());
            out.extend_from_slice(&self.instance.to_le_bytes());
        })
        .expect("a Welcome is 8 bytes");
    }

    /// Decodes a payload.
    ///
    /// # Errors
    /// Malformed.
    pub fn decode(payload: &[u8]) -> Result<Welcome, WireError> {
        let mut fields = Fields::new(Kind::Welcome, payload);
        let welcome = Welcome {
            slot: fields.u32()?,
            instance: fields.u32()?,
        };
        fields.end()?;
        Ok(welcome)
    }
}

/// Why a request was not executed. It can be sent again, but for [`Refusal::Queue`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Refusal {
    /// The script changed, a replacement is on its way (DMN-233).
    Reload = 1,
    /// It waited longer than `queue-timeout` (DMN-234).
    Queue = 2,
    /// The process takes no requests any more.
    Stopping = 3,
}

impl Refusal {
    /// Appends the frame.
    pub fn encode(self, out: &mut Vec<u8>) {
        frame(out, Kind::Refused, 0, |out| out.push(self as u8)).expect("a Refused is 1 byte");
    }

    /// Decodes a payload.
    ///
    /// # Errors
    /// Malformed.
    pub fn decode(payload: &[u8]) -> Result<Refusal, WireError> {
        match payload {
            [1] => Ok(Refusal::Reload),
            [2] => Ok(Refusal::Queue),
            [3] => Ok(Refusal::Stopping),
            _ => Err(WireError::Malformed(Kind::Refused)),
        }
    }
}

/// Status and headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AnswerHead<'a> {
    /// Status line as the application gave it, e.g. `200 OK`.
    pub status: &'a [u8],
    /// Value of the Content-Length header; None without one.
    pub content_length: Option<u64>,
    /// Headers in order.
    pub headers: Pairs<'a>,
}

impl<'a> AnswerHead<'a> {
    /// Appends the frame.
    ///
    /// # Errors
    /// [`WireError::TooLarge`].
    pub fn encode<'p>(
        out: &mut Vec<u8>,
        status: &[u8],
        content_length: Option<u64>,
        headers: impl Iterator<Item = (&'p [u8], Option<&'p [u8]>)>,
    ) -> Result<(), WireError> {
        frame(out, Kind::Head, 0, |out| {
            put_bytes(out, status);
            let length = content_length
                .and_then(|n| i64::try_from(n).ok())
                .unwrap_or(-1);
            out.extend_from_slice(&length.to_le_bytes());
            put_pairs(out, headers);
        })
    }

    /// Decodes a payload.
    ///
    /// # Errors
    /// Malformed, also for a negative length.
    pub fn decode(payload: &'a [u8]) -> Result<AnswerHead<'a>, WireError> {
        let mut fields = Fields::new(Kind::Head, payload);
        Ok(AnswerHead {
            status: fields.bytes()?,
            content_length: match fields.i64()? {
                -1 => None,
                length => {
                    Some(u64::try_from(length).map_err(|_| WireError::Malformed(Kind::Head))?)
                }
            },
            headers: Pairs::take(fields)?,
        })
    }
}

/// A span of a regular file whose descriptor came with the frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileSpan {
    /// First byte.
    pub offset: u64,
    /// Number of bytes.
    pub len: u64,
}

impl FileSpan {
    /// Appends the frame of an answer; the descriptor is sent with its first byte.
    pub fn encode(&self, out: &mut Vec<u8>) {
        self.put(out, Kind::File);
    }

    /// Appends the frame of a request's body; the descriptor is sent with the request's first byte.
    pub fn encode_body(&self, out: &mut Vec<u8>) {
        self.put(out, Kind::BodyFile);
    }

    fn put(&self, out: &mut Vec<u8>, kind: Kind) {
        frame(out, kind, 0, |out| {
            out.extend_from_slice(&self.offset.to_le_bytes());
            out.extend_from_slice(&self.len.to_le_bytes());
        })
        .expect("a span is 16 bytes");
    }

    /// Decodes a payload.
    ///
    /// # Errors
    /// Malformed, also where the span ends behind what a file offset can say.
    pub fn decode(payload: &[u8]) -> Result<FileSpan, WireError> {
        let mut fields = Fields::new(Kind::File, payload);
        let span = FileSpan {
            offset: fields.u64()?,
            len: fields.u64()?,
        };
        fields.end()?;
        match span.offset.checked_add(span.len) {
            Some(end) if i64::try_from(end).is_ok() => Ok(span),
            _ => Err(WireError::Malformed(Kind::File)),
        }
    }
}

/// How an answer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum AnswerEnd {
    /// Whole.
    Complete = 0,
    /// Failed before the head: 500.
    Failed = 1,
    /// Failed after the head: the client connection has to be aborted.
    CutShort = 2,
    /// No such callable: 404.
    NotFound = 3,
    /// No interpreter: 500.
    Unavailable = 4,
    /// Interrupted by a request timeout before the head: 504.
    TimedOut = 6,
    /// As `Failed`, because an extension module works in the main interpreter only: 500 with an explanation.
    MainOnly = 7,
    /// No more interpreters for names of clients: 503.
    TooManyInterpreters = 8,
}

impl AnswerEnd {
    /// Appends the frame.
    pub fn encode(self, out: &mut Vec<u8>) {
        frame(out, Kind::End, 0, |out| out.push(self as u8)).expect("an End is 1 byte");
    }

    /// Decodes a payload.
    ///
    /// # Errors
    /// Malformed.
    pub fn decode(payload: &[u8]) -> Result<AnswerEnd, WireError> {
        Ok(match payload {
            [0] => AnswerEnd::Complete,
            [1] => AnswerEnd::Failed,
            [2] => AnswerEnd::CutShort,
            [3] => AnswerEnd::NotFound,
            [4] => AnswerEnd::Unavailable,
            [6] => AnswerEnd::TimedOut,
            [7] => AnswerEnd::MainOnly,
            [8] => AnswerEnd::TooManyInterpreters,
            _ => return Err(WireError::Malformed(Kind::End)),
        })
    }
}

/// A record for the request's error log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Log<'a> {
    /// httpd's level, 0 to 15.
    pub level: u8,
    /// `LOG_*` of the runtime's table.
    pub flags: u8,
    /// Text without line end.
    pub text: &'a [u8],
}

impl<'a> Log<'a> {
    /// Appends the frame; the text is cut to 8 KiB (ERR-04).
    pub fn encode(&self, out: &mut Vec<u8>) {
        let text = &self.text[..self.text.len().min(crate::control::MAX_RECORD)];
        frame(out, Kind::Log, 0, |out| {
            out.push(self.level);
            out.push(self.flags);
            put_bytes(out, text);
        })
        .expect("a cut record is within the limit");
    }

    /// Decodes a payload.
    ///
    /// # Errors
    /// Malformed, also for a level that httpd does not have and for a text that is too long for a record.
    pub fn decode(payload: &'a [u8]) -> Result<Log<'a>, WireError> {
        let mut fields = Fields::new(Kind::Log, payload);
        let log = Log {
            level: fields.u8()?,
            flags: fields.u8()?,
            text: fields.bytes()?,
        };
        fields.end()?;
        if log.level > 15 || log.text.len() > crate::control::MAX_RECORD {
            return Err(WireError::Malformed(Kind::Log));
        }
        Ok(log)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::whole_frame;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn heads_come_back(
            status in proptest::collection::vec(any::<u8>(), 0..30),
            length in proptest::option::of(0u64..(1 << 40)),
            headers in proptest::collection::vec((".{0,8}", ".{0,8}"), 0..6),
        ) {
            let mut out = Vec::new();
            let pairs = headers.iter().map(|(n, v)| (n.as_bytes(), Some(v.as_bytes())));
            AnswerHead::encode(&mut out, &status, length, pairs).unwrap();
            let (_, payload) = whole_frame(&out).unwrap().unwrap();
            let head = AnswerHead::decode(payload).unwrap();
            prop_assert_eq!(head.status, &status[..]);
            prop_assert_eq!(head.content_length, length);
            prop_assert_eq!(head.headers.len(), headers.len());
            for cut in 0..payload.len() {
                prop_assert!(AnswerHead::decode(&payload[..cut]).is_err());
            }
        }

        #[test]
        fn log_records_come_back(level in 0u8..16, flags: u8, text in proptest::collection::vec(any::<u8>(), 0..50)) {
            let mut out = Vec::new();
            let log = Log { level, flags, text: &text };
            log.encode(&mut out);
            let (_, payload) = whole_frame(&out).unwrap().unwrap();
            prop_assert_eq!(Log::decode(payload), Ok(log));
        }
    }

    #[test]
    fn a_span_beyond_any_file_is_refused() {
        let mut out = Vec::new();
        FileSpan {
            offset: u64::MAX - 3,
            len: 9,
        }
        .encode(&mut out);
        let (_, payload) = whole_frame(&out).unwrap().unwrap();
        assert!(FileSpan::decode(payload).is_err());
    }

    /// `fuzz/` found that any negative number passed for "no Content-Length".
    #[test]
    fn a_negative_length_is_malformed() {
        let mut out = Vec::new();
        AnswerHead::encode(&mut out, b"", None, std::iter::empty()).unwrap();
        let payload = &mut out[crate::wire::HEADER_LEN..];
        assert_eq!(AnswerHead::decode(payload).unwrap().content_length, None);
        payload[4] = 0xfe;
        let malformed = Err(WireError::Malformed(Kind::Head));
        assert_eq!(AnswerHead::decode(payload), malformed);
    }

    /// `fuzz/` found that a record could be longer than what a daemon sends: ERR-04 holds whoever sent it.
    #[test]
    fn a_record_over_the_limit_is_malformed() {
        let text = vec![b'x'; crate::control::MAX_RECORD + 1];
        let mut payload = vec![3, 0];
        put_bytes(&mut payload, &text);
        let malformed = Err(WireError::Malformed(Kind::Log));
        assert_eq!(Log::decode(&payload), malformed);
    }

    #[test]
    fn every_end_and_refusal_comes_back() {
        use AnswerEnd::*;
        for end in [
            Complete,
            Failed,
            CutShort,
            NotFound,
            Unavailable,
            TimedOut,
            MainOnly,
            TooManyInterpreters,
        ] {
            let mut out = Vec::new();
            end.encode(&mut out);
            assert_eq!(
                AnswerEnd::decode(whole_frame(&out).unwrap().unwrap().1),
                Ok(end)
            );
        }
        for refusal in [Refusal::Reload, Refusal::Queue, Refusal::Stopping] {
            let mut out = Vec::new();
            refusal.encode(&mut out);
            assert_eq!(
                Refusal::decode(whole_frame(&out).unwrap().unwrap().1),
                Ok(refusal)
            );
        }
    }
}
