//! The engine's way to the child during one request: reads the body, sends head, data, files and log records.
//!
//! Frames are gathered so that a small answer leaves in one sendmsg, with the Welcome of a new connection before it and
//! the End behind it. Large data is sent from where it is. The thread's claim is given back right before the last bytes
//! if no Python code follows.

use std::io::{self, IoSlice};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

use wsgi_core::record;
use wsgi_core::wire::{
    AnswerEnd, AnswerHead, FLAG_FLUSH, FileSpan, HEADER_LEN, Header, Kind, Log, MAX_DATA, Refusal,
    WireError, encode_plain,
};
use wsgi_runtime_api::body::BodyBuffer;
use wsgi_runtime_api::host::{Blocks, Headers, ReadError, SendError, Transport};
use wsgi_runtime_api::{Outcome, SEND_FLUSH, SEND_LAST, SEND_NOTHING_AFTER};
use wsgi_sys::{stream, temporary};

use crate::body::{Body, BodyError};
use crate::connection::Connection;
use crate::dispatch::Claim;
use crate::inbox::ReceiveError;
use crate::log;
use crate::process::{Desk, Process};

/// Data up to this length is copied behind its head, so that both leave as one slice, bytes.
const COPY_LIMIT: usize = 16 << 10;

/// Frames that wait to be sent. Kept by the thread from request to request for its memory.
#[derive(Default)]
pub(crate) struct Outbox {
    /// Welcome, Continue and log records: go first, whatever else waits.
    early: Vec<u8>,
    /// Head and data.
    late: Vec<u8>,
}

impl Outbox {
    /// Frames that go before everything else.
    pub(crate) fn early(&mut self) -> &mut Vec<u8> {
        &mut self.early
    }

    /// Forgets what was not sent.
    pub(crate) fn clear(&mut self) {
        self.early.clear();
        self.late.clear();
    }

    /// Sends everything that waits.
    pub(crate) fn flush(&mut self, socket: BorrowedFd<'_>) -> io::Result<()> {
        self.flush_with(socket, &[], &[])
    }

    fn flush_with(
        &mut self,
        socket: BorrowedFd<'_>,
        data: &[&[u8]],
        tail: &[u8],
    ) -> io::Result<()> {
        let sent = if data.is_empty() && tail.is_empty() {
            stream::send_all(
                socket,
                &mut [IoSlice::new(&self.early), IoSlice::new(&self.late)],
                None,
            )
        } else {
            let mut slices = Vec::with_capacity(data.len() + 3);
            slices.extend([IoSlice::new(&self.early), IoSlice::new(&self.late)]);
            slices.extend(data.iter().map(|block| IoSlice::new(block)));
            slices.push(IoSlice::new(tail));
            stream::send_all(socket, &mut slices, None)
        };
        self.clear();
        sent
    }
}

/// The answer to one request.
pub(crate) struct Answer<'a> {
    process: &'a Process,
    connection: &'a Arc<Connection>,
    desk: &'a Desk,
    outbox: &'a mut Outbox,
    body: Body<'a>,
    claim: Claim<'a>,
    /// The child waits for Continue before it sends the body.
    awaits_continue: bool,
    /// Script of the request, for records that its child does not take any more.
    script: &'a [u8],
    head_given: bool,
    /// The head is all that waits in the outbox: it can be taken back.
    head_waits: bool,
    end_given: bool,
    /// The desk keeps the last block back.
    is_held: bool,
    /// Sending has failed: the connection is of no use any more.
    failed: Option<SendError>,
    error: Option<String>,
}

/// Between which two an answer goes, and whose it is.
#[derive(Clone, Copy)]
pub(crate) struct Way<'a> {
    pub(crate) process: &'a Process,
    pub(crate) connection: &'a Arc<Connection>,
    /// Of the request's thread.
    pub(crate) desk: &'a Desk,
}

/// What an ended answer leaves to its thread.
pub(crate) struct Finished {
    /// The connection can be used for another request.
    pub(crate) is_reusable: bool,
    /// The claim was not given back, because connections wait in the backlog.
    pub(crate) owes_claim: bool,
}

impl<'a> Answer<'a> {
    pub(crate) fn new(
        way: Way<'a>,
        outbox: &'a mut Outbox,
        body: Body<'a>,
        claim: Claim<'a>,
        awaits_continue: bool,
        script: &'a [u8],
    ) -> Answer<'a> {
        Answer {
            process: way.process,
            connection: way.connection,
            desk: way.desk,
            outbox,
            body,
            claim,
            awaits_continue,
            script,
            head_given: false,
            head_waits: false,
            end_given: false,
            is_held: false,
            failed: None,
            error: None,
        }
    }

    /// Ends the answer as the engine's outcome says.
    pub(crate) fn finish(mut self, outcome: Outcome) -> Finished {
        self.recall();
        if self.head_waits && outcome != Outcome::Complete {
            // Nothing of the answer has left: the client gets an error page instead of the beginning of an answer.
            self.outbox.late.clear();
            self.head_given = false;
        }
        let end = match outcome {
            Outcome::Complete => AnswerEnd::Complete,
            Outcome::Failed | Outcome::MainOnly | Outcome::CutShort if self.head_given => {
                AnswerEnd::CutShort
            }
            Outcome::MainOnly => AnswerEnd::MainOnly,
            Outcome::Failed | Outcome::CutShort => AnswerEnd::Failed,
            Outcome::NotFound => AnswerEnd::NotFound,
            Outcome::Unavailable => AnswerEnd::Unavailable,
            Outcome::TooManyInterpreters => AnswerEnd::TooManyInterpreters,
            Outcome::TimedOut if self.head_given => AnswerEnd::CutShort,
            Outcome::TimedOut => AnswerEnd::TimedOut,
            Outcome::Reload => return self.refuse(Refusal::Reload),
            Outcome::Aborted => {
                self.claim.release();
                return self.finished(false);
            }
        };
        self.claim.release();
        if !self.end_given {
            end.encode(&mut self.outbox.late);
            self.end_given = true;
        }
        let is_reusable = self.flush().is_ok() && self.is_reusable();
        self.finished(is_reusable)
    }

    /// Answers that the request was not executed.
    pub(crate) fn refuse(mut self, refusal: Refusal) -> Finished {
        self.claim.release();
        self.outbox.late.clear();
        refusal.encode(&mut self.outbox.early);
        let is_reusable = self.flush().is_ok() && refusal == Refusal::Queue && self.is_reusable();
        self.finished(is_reusable)
    }

    fn finished(self, is_reusable: bool) -> Finished {
        Finished {
            is_reusable,
            owes_claim: self.claim.into_owed(),
        }
    }

    fn is_reusable(&mut self) -> bool {
        // A child that waits for Continue in vain sends no body and no end of it.
        !self.awaits_continue && self.body.skip(self.connection.as_fd())
    }

    fn flush(&mut self) -> Result<(), SendError> {
        if let Some(failed) = self.failed {
            return Err(failed);
        }
        self.head_waits = false;
        let sent = self.outbox.flush(self.connection.as_fd());
        self.note(sent)
    }

    /// Takes back what the desk holds. It waits in the outbox, to leave with what follows; if some of it has left, the rest follows
    /// at once.
    fn recall(&mut self) {
        if std::mem::take(&mut self.is_held) && self.desk.hold.take(&mut self.outbox.late) {
            // A failure is remembered.
            let _ = self.flush();
        }
    }

    /// Sends what the desk holds, before anything else is sent.
    fn let_go(&mut self) {
        if self.is_held {
            self.recall();
            // A failure is remembered.
            let _ = self.flush();
        }
    }

    /// Remembers a failure of sending.
    fn note(&mut self, sent: io::Result<()>) -> Result<(), SendError> {
        let Err(error) = sent else { return Ok(()) };
        let failed = match error.kind() {
            io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset => SendError::Gone,
            _ => SendError::Failed,
        };
        self.error = Some(if error.kind() == io::ErrorKind::WouldBlock {
            let limit = self.process.settings.limits.socket_timeout;
            format!("the Apache child took no data for {limit} s (socket-timeout)")
        } else {
            format!("sending to the Apache child failed: {error}")
        });
        self.failed = Some(failed);
        Err(failed)
    }

    /// Before anything is sent: not by a copy, and not after a failure.
    fn check(&self) -> Result<(), SendError> {
        self.process.end_copy("send an answer");
        self.failed.map_or(Ok(()), Err)
    }

    /// Before the last bytes are sent: what has to be known then. Appends End to `tail` if nothing can go wrong any more.
    fn begin_last(&mut self, flags: u32, tail: &mut Vec<u8>) {
        if flags & SEND_LAST != 0 && flags & SEND_NOTHING_AFTER != 0 {
            AnswerEnd::Complete.encode(tail);
            self.end_given = true;
            self.claim.release();
        }
    }

    fn wrong(&mut self, error: WireError) -> SendError {
        self.error = Some(error.to_string());
        SendError::Failed
    }

    /// Sends large data from where it is, in frames of at most [`MAX_DATA`].
    fn send_large(&mut self, blocks: Blocks<'_>, flags: u32) -> Result<(), SendError> {
        let mut left = blocks.total();
        let mut piece: Vec<&[u8]> = Vec::with_capacity(blocks.len().min(1024));
        let mut tail = Vec::new();
        let mut blocks = blocks.iter();
        let mut rest: &[u8] = &[];
        while left > 0 {
            let len = left.min(MAX_DATA);
            left -= len;
            let frame_flags = if left == 0 { flush_flag(flags) } else { 0 };
            let header = Header {
                kind: Kind::Data,
                flags: frame_flags,
                len,
            };
            self.outbox.late.extend_from_slice(&header.encode());
            piece.clear();
            let mut missing = len;
            while missing > 0 {
                if rest.is_empty() {
                    rest = blocks.next().expect("the blocks have their total length");
                }
                let (taken, more) = rest.split_at(rest.len().min(missing));
                piece.push(taken);
                missing -= taken.len();
                rest = more;
            }
            if left == 0 {
                self.begin_last(flags, &mut tail);
            }
            let sent = self
                .outbox
                .flush_with(self.connection.as_fd(), &piece, &tail);
            self.note(sent)?;
        }
        Ok(())
    }
}

fn flush_flag(flags: u32) -> u8 {
    if flags & SEND_FLUSH != 0 {
        FLAG_FLUSH
    } else {
        0
    }
}

impl Transport for Answer<'_> {
    fn read_body(&mut self, buffer: &mut BodyBuffer<'_>) -> Result<(), ReadError> {
        self.let_go();
        if self.awaits_continue {
            self.awaits_continue = false;
            encode_plain(&mut self.outbox.early, Kind::Continue, 0, b"")
                .expect("an empty frame is within every limit");
            self.flush().map_err(|_| ReadError::Aborted)?;
        }
        if buffer.room() == 0 {
            return Ok(());
        }
        let error = match self.body.read(self.connection.as_fd(), buffer) {
            Ok(()) => return Ok(()),
            Err(error) => error,
        };
        self.error = Some(error.to_string());
        match error {
            BodyError::Broken(_) => Err(ReadError::Aborted),
            BodyError::File(_) => {
                let text = format!(
                    "request body of process {}: {error}",
                    self.connection.peer().pid
                );
                log::coded(5208, log::Level::Error, text);
                Err(ReadError::Failed)
            }
            BodyError::Receive(ReceiveError::Truncated | ReceiveError::Closed) => {
                self.failed = Some(SendError::Gone);
                Err(ReadError::Aborted)
            }
            BodyError::Receive(error) => {
                if let ReceiveError::Wire(_) = error {
                    let text = format!(
                        "request body of process {}: {error}",
                        self.connection.peer().pid
                    );
                    log::coded(80, log::Level::Error, text);
                    self.failed = Some(SendError::Failed);
                }
                Err(ReadError::Failed)
            }
        }
    }

    fn send_head(
        &mut self,
        status: &[u8],
        headers: Headers<'_>,
        content_length: Option<u64>,
    ) -> Result<(), SendError> {
        self.failed.map_or(Ok(()), Err)?;
        let pairs = headers.iter().map(|(name, value)| (name, Some(value)));
        AnswerHead::encode(&mut self.outbox.late, status, content_length, pairs)
            .map_err(|error| self.wrong(error))?;
        self.head_given = true;
        self.head_waits = true;
        Ok(())
    }

    fn send_data(&mut self, blocks: Blocks<'_>, flags: u32) -> Result<(), SendError> {
        self.let_go();
        self.check()?;
        let total = blocks.total();
        self.head_waits &= total == 0;
        if total > COPY_LIMIT {
            return self.send_large(blocks, flags);
        }
        if total > 0 {
            let header = Header {
                kind: Kind::Data,
                flags: flush_flag(flags),
                len: total,
            };
            self.outbox.late.extend_from_slice(&header.encode());
            blocks
                .iter()
                .for_each(|block| self.outbox.late.extend_from_slice(block));
        } else if flags & SEND_FLUSH != 0 {
            let header = Header {
                kind: Kind::Data,
                flags: FLAG_FLUSH,
                len: 0,
            };
            self.outbox.late.extend_from_slice(&header.encode());
        }
        let must_leave = flags & (SEND_FLUSH | SEND_LAST) != 0;
        if !must_leave && self.outbox.late.len() < COPY_LIMIT {
            return Ok(());
        }
        let mut tail = std::mem::take(&mut self.outbox.late);
        self.begin_last(flags, &mut tail);
        self.outbox.late = tail;
        self.flush()
    }

    fn under_way(&mut self) {
        self.process.look_away(self.desk);
    }

    fn hold_data(&mut self, block: &[u8]) -> bool {
        let is_possible = self.failed.is_none()
            && !self.is_held
            && self.outbox.late.len() + block.len() <= COPY_LIMIT
            && self.process.hold_timer.is_watched()
            && !self.process.is_copy();
        if !is_possible {
            return false;
        }
        let header = Header {
            kind: Kind::Data,
            flags: FLAG_FLUSH,
            len: block.len(),
        };
        if !self.outbox.early.is_empty() {
            // A Welcome is the first of all.
            self.outbox.early.append(&mut self.outbox.late);
            std::mem::swap(&mut self.outbox.early, &mut self.outbox.late);
        }
        self.outbox.late.extend_from_slice(&header.encode());
        self.outbox.late.extend_from_slice(block);
        self.head_waits = false;
        self.desk.hold.keep(&mut self.outbox.late, self.connection);
        self.is_held = true;
        self.process.hold_timer.arm();
        true
    }

    fn send_file(
        &mut self,
        file: BorrowedFd<'_>,
        offset: u64,
        len: u64,
        flags: u32,
    ) -> Result<(), SendError> {
        self.let_go();
        self.check()?;
        // An open file of its own for the child: a descriptor passed as it is would share its position with the
        // application's (REQ-585). Where /proc is missing or refuses, the position is shared.
        let reopened = temporary::read_only(file).ok();
        let file = reopened.as_ref().map_or(file, AsFd::as_fd);
        // The descriptor comes with the first byte of its frame, so that what waits has to go before.
        self.flush()?;
        let mut frame = Vec::with_capacity(2 * (HEADER_LEN + 16));
        FileSpan { offset, len }.encode(&mut frame);
        self.begin_last(flags, &mut frame);
        let sent = stream::send_all(
            self.connection.as_fd(),
            &mut [IoSlice::new(&frame)],
            Some(file),
        );
        self.note(sent)
    }

    fn log(&mut self, level: u8, flags: u32, text: &[u8]) {
        // Where the child does not listen any more the record goes to the group's log, with the same prefix.
        let orphan = |script| log::write(level, &record::with_script(script, flags, text));
        // A copy has its own of what waits in the outbox, which would leave twice.
        if self.end_given || self.failed.is_some() || self.process.is_copy() {
            orphan(self.script);
            return;
        }
        self.let_go();
        let flags = u8::try_from(flags).expect("there are fewer than eight flags");
        Log { level, flags, text }.encode(&mut self.outbox.early);
        let early = std::mem::take(&mut self.outbox.early);
        let sent = stream::send_all(self.connection.as_fd(), &mut [IoSlice::new(&early)], None);
        self.outbox.early = early;
        self.outbox.early.clear();
        if self.note(sent).is_err() {
            orphan(self.script);
        }
    }

    fn log_enabled(&self, level: u8) -> bool {
        // The request's own level is known to the child, which drops what is below it.
        log::is_enabled(level)
    }

    fn last_error(&self) -> Option<&[u8]> {
        self.error.as_deref().map(str::as_bytes)
    }
}
