//! The client of a test: what its connection does, and the answer that came over it.

use std::os::fd::BorrowedFd;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use wsgi_runtime_api::body::BodyBuffer;
use wsgi_runtime_api::host::{Blocks, Headers, ReadError, SendError, Transport};
use wsgi_runtime_api::{Outcome, SEND_FLUSH, SEND_LAST, SEND_NOTHING_AFTER};

use super::ERROR;

/// What the connection does.
#[derive(Clone, Default)]
pub(crate) struct Wire {
    /// The client is gone after so many bytes of body.
    pub(crate) gone_after: Option<usize>,
    /// Sending fails after so many bytes.
    pub(crate) fails_after: Option<usize>,
    /// Reading fails after so many bytes.
    pub(crate) read_fails_after: Option<usize>,
    /// Why; None is a connection that was terminated.
    pub(crate) read_fails_with: Option<&'static str>,
    /// The host keeps last blocks back.
    pub(crate) holds: bool,
    /// Called for each block that is sent, on the request's thread, which has not the GIL then.
    pub(crate) while_sending: Option<Arc<dyn Fn() + Send + Sync>>,
    /// LogLevel of the request.
    pub(crate) log_level: Option<u8>,
    /// Largest piece of a read.
    pub(crate) piece: Option<usize>,
}

/// What came back.
#[derive(Debug, Default)]
pub(crate) struct Answer {
    pub(crate) outcome: Option<Outcome>,
    /// None if no head was sent.
    pub(crate) status: Option<String>,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) content_length: Option<u64>,
    /// Blocks as they were sent, with their flags; files are read.
    pub(crate) sends: Vec<(Vec<u8>, u32)>,
    pub(crate) files: usize,
    /// Blocks that were left with the host, also in `sends`, as if they were sent with the end.
    pub(crate) held: usize,
    /// How often the request was said to be under way.
    pub(crate) under_way: usize,
    /// Level, flags and text.
    pub(crate) log: Vec<(u8, u32, String)>,
    /// Reads without room.
    pub(crate) asked: usize,
    pub(crate) read: usize,
}

impl Answer {
    pub(crate) fn body(&self) -> Vec<u8> {
        self.sends
            .iter()
            .flat_map(|(bytes, _)| bytes.clone())
            .collect()
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body()).into_owned()
    }

    pub(crate) fn outcome(&self) -> Outcome {
        self.outcome.unwrap()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        headers
            .find(|(other, _)| other.eq_ignore_ascii_case(name))
            .map(|(_, value)| &**value)
    }

    /// Records of level error or worse.
    pub(crate) fn errors(&self) -> Vec<&str> {
        let errors = self.log.iter().filter(|(level, ..)| *level <= ERROR);
        errors.map(|(_, _, text)| &**text).collect()
    }

    pub(crate) fn has_error(&self, part: &str) -> bool {
        self.errors().iter().any(|text| text.contains(part))
    }

    /// A whole, undisturbed answer.
    #[track_caller]
    pub(crate) fn is_fine(&self) -> &Answer {
        assert_eq!(self.outcome(), Outcome::Complete, "{:#?}", self.log);
        assert_eq!(self.errors(), Vec::<&str>::new());
        assert!(
            self.sends
                .last()
                .is_some_and(|(_, flags)| flags & SEND_LAST != 0)
        );
        self
    }
}

/// The way to a client in memory.
pub(super) struct Connection {
    body: Vec<u8>,
    position: usize,
    wire: Wire,
    pub(super) answer: Answer,
    error: Vec<u8>,
}

impl Connection {
    /// A client that sends `body`.
    pub(super) fn new(body: Vec<u8>, wire: Wire) -> Connection {
        Connection {
            body,
            position: 0,
            wire,
            answer: Answer::default(),
            error: Vec::new(),
        }
    }

    fn check(&mut self, more: usize) -> Result<(), SendError> {
        let last = self.answer.sends.last().map_or(0, |(_, flags)| *flags);
        assert_eq!(last & SEND_LAST, 0, "something was sent after the end");
        let total = self.answer.body().len() + more;
        if self.wire.gone_after.is_some_and(|limit| total > limit) {
            return Err(SendError::Gone);
        }
        if self.wire.fails_after.is_some_and(|limit| total > limit) {
            self.error = b"no route to the client".to_vec();
            return Err(SendError::Failed);
        }
        Ok(())
    }
}

impl Transport for Connection {
    fn read_body(&mut self, buffer: &mut BodyBuffer<'_>) -> Result<(), ReadError> {
        if buffer.room() == 0 {
            self.answer.asked += 1;
            return Ok(());
        }
        if self
            .wire
            .read_fails_after
            .is_some_and(|limit| self.position >= limit)
        {
            let Some(reason) = self.wire.read_fails_with else {
                return Err(ReadError::Aborted);
            };
            self.error = reason.as_bytes().to_vec();
            return Err(ReadError::Failed);
        }
        let end = match self.wire.piece {
            Some(piece) => self.body.len().min(self.position + piece),
            None => self.body.len(),
        };
        let end = self
            .wire
            .read_fails_after
            .map_or(end, |limit| end.min(limit));
        let taken = buffer.put(&self.body[self.position..end]);
        self.position += taken;
        self.answer.read += taken;
        Ok(())
    }

    fn send_head(
        &mut self,
        status: &[u8],
        headers: Headers<'_>,
        content_length: Option<u64>,
    ) -> Result<(), SendError> {
        assert!(self.answer.status.is_none(), "the head was sent twice");
        let text = |bytes: &[u8]| {
            bytes
                .iter()
                .map(|byte| char::from(*byte))
                .collect::<String>()
        };
        self.answer.status = Some(text(status));
        self.answer.headers = headers
            .iter()
            .map(|(name, value)| (text(name), text(value)))
            .collect();
        self.answer.content_length = content_length;
        Ok(())
    }

    fn send_data(&mut self, blocks: Blocks<'_>, flags: u32) -> Result<(), SendError> {
        assert!(self.answer.status.is_some(), "data came before the head");
        assert_eq!(flags & !(SEND_FLUSH | SEND_LAST | SEND_NOTHING_AFTER), 0);
        self.check(blocks.total())?;
        if let Some(act) = &self.wire.while_sending {
            act();
        }
        let bytes: Vec<u8> = blocks.iter().flatten().copied().collect();
        self.answer.sends.push((bytes, flags));
        Ok(())
    }

    fn under_way(&mut self) {
        self.answer.under_way += 1;
    }

    fn hold_data(&mut self, block: &[u8]) -> bool {
        assert!(self.answer.status.is_some(), "data came before the head");
        if self.wire.holds {
            self.answer.held += 1;
            self.answer.sends.push((block.to_vec(), SEND_LAST));
        }
        self.wire.holds
    }

    fn send_file(
        &mut self,
        file: BorrowedFd<'_>,
        offset: u64,
        len: u64,
        flags: u32,
    ) -> Result<(), SendError> {
        assert!(self.answer.status.is_some(), "data came before the head");
        let length = usize::try_from(len).unwrap();
        self.check(length)?;
        let mut bytes = vec![0; length];
        let file = std::fs::File::from(file.try_clone_to_owned().unwrap());
        file.read_exact_at(&mut bytes, offset).unwrap();
        self.answer.files += 1;
        self.answer.sends.push((bytes, flags));
        Ok(())
    }

    fn log(&mut self, level: u8, flags: u32, text: &[u8]) {
        let (_, text) = wsgi_core::record::split_source(text);
        let text = String::from_utf8_lossy(text).into_owned();
        self.answer.log.push((level, flags, text));
    }

    fn log_enabled(&self, level: u8) -> bool {
        level <= self.wire.log_level.unwrap_or(15)
    }

    fn last_error(&self) -> Option<&[u8]> {
        (!self.error.is_empty()).then_some(&*self.error)
    }
}
