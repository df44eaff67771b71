//! The receiving half of an exchange: frames of a daemon become an answer for the client.
//!
//! What came with one receive is passed to the client in one go, straight from the receive buffer.

use std::io::{self, ErrorKind};
use std::ops::Range;
use std::os::fd::AsFd;

use nix::poll::{PollFd, PollFlags, poll};
use wsgi_core::inbox::Piece;
use wsgi_core::wire::{
    AnswerEnd, AnswerHead, FileSpan, Header, Kind, Log, Refusal, Welcome, WireError,
};
use wsgi_sys::stream::{self, Wait};

use super::exchange::{Ended, Exchange, ONE_READ, Outcome, State, poll_timeout};
use super::failure::Failure;
use super::pool::Link;
use super::side::{After, Apache, Gone, Verdict};

/// More of an answer that nobody wants than this is not waited for, bytes.
const DISCARD_LIMIT: u64 = 4 << 20;

impl<A: Apache> Exchange<'_, A> {
    /// Receives once, waiting; flushes to the client before it waits for long (DMN-331).
    pub(super) fn receive(
        &mut self,
        link: &mut Link,
        state: &mut State,
    ) -> Result<Option<Ended>, Failure> {
        if !self.buffers.answer.is_empty() {
            return self.receive_beside(link, state);
        }
        if state.unflushed == 0 {
            return self.receive_once(link, state, Wait::Block);
        }
        let receipts = state.receipts;
        let ended = self.receive_available(link, state)?;
        // What came may be what the caller waits for: the daemon may have nothing else to say before it hears from us.
        if ended.is_some() || state.receipts > receipts {
            return Ok(ended);
        }
        let mut set = [PollFd::new(link.socket.as_fd(), PollFlags::POLLIN)];
        let delay = poll_timeout(Some(self.group.limits.flush_delay));
        if self.group.limits.flush_delay.is_zero() || matches!(poll(&mut set, delay), Ok(0)) {
            if self.apache.pass(std::iter::empty(), After::Flush).is_err() {
                return Ok(Some(Ended::Answered(Outcome::ClientGone)));
            }
            state.unflushed = 0;
        }
        self.receive_once(link, state, Wait::Block)
    }

    /// Takes what is there, without waiting.
    pub(super) fn receive_available(
        &mut self,
        link: &mut Link,
        state: &mut State,
    ) -> Result<Option<Ended>, Failure> {
        self.receive_once(link, state, Wait::No)
    }

    fn receive_once(
        &mut self,
        link: &mut Link,
        state: &mut State,
        wait: Wait,
    ) -> Result<Option<Ended>, Failure> {
        let room = self.buffers.inbox.room();
        let (count, descriptor) =
            match stream::receive_with_descriptor(link.socket.as_fd(), room, wait) {
                Ok((0, _)) => {
                    return self
                        .broken(state, ErrorKind::UnexpectedEof.into())
                        .map(Some);
                }
                Ok(received) => received,
                Err(error) if wait == Wait::No && error.kind() == ErrorKind::WouldBlock => {
                    return Ok(None);
                }
                Err(error) => return self.broken(state, error).map(Some),
            };
        self.buffers.inbox.filled(count);
        state.receipts += 1;
        if descriptor.is_some() {
            state.descriptor = descriptor;
        }
        self.look(link, state)
    }

    /// Takes all pieces that have come whole; what is for the client is passed in one go.
    fn look(&mut self, link: &mut Link, state: &mut State) -> Result<Option<Ended>, Failure> {
        loop {
            let piece = match self.buffers.inbox.take() {
                Ok(Some(piece)) => piece,
                Ok(None) => {
                    let passed = self.pass_pending(state, After::More);
                    return Ok(passed
                        .err()
                        .map(|Gone| Ended::Answered(Outcome::ClientGone)));
                }
                Err(error) => return self.nonsense(state, error).map(Some),
            };
            let ended = match piece {
                Piece::Data { range, .. } => match state.verdict {
                    Some(Verdict::Deliver) => {
                        self.buffers.pending.push(range);
                        None
                    }
                    Some(Verdict::Discard) => self.discard(state, range.len() as u64),
                    None => Some(self.nonsense(state, WireError::Unexpected(Kind::Data))?),
                },
                Piece::Frame(header, range) => self.frame(link, state, header, &range)?,
            };
            if ended.is_some() {
                self.buffers.pending.clear();
                return Ok(ended);
            }
        }
    }

    fn discard(&self, state: &mut State, len: u64) -> Option<Ended> {
        state.discarded += len;
        // The daemon sees that nobody reads, and the connection is not used again.
        (state.discarded > DISCARD_LIMIT).then(|| {
            state.all_sent = false;
            Ended::Answered(Outcome::Discarded)
        })
    }

    fn frame(
        &mut self,
        link: &mut Link,
        state: &mut State,
        header: Header,
        range: &Range<usize>,
    ) -> Result<Option<Ended>, Failure> {
        match self.understand(link, state, header, range) {
            Ok(ended) => Ok(ended),
            Err(Trouble::Wire(error)) => self.nonsense(state, error).map(Some),
            Err(Trouble::Failure(failure)) => Err(failure),
            Err(Trouble::Gone) => Ok(Some(Ended::Answered(Outcome::ClientGone))),
        }
    }

    fn understand(
        &mut self,
        link: &mut Link,
        state: &mut State,
        header: Header,
        range: &Range<usize>,
    ) -> Result<Option<Ended>, Trouble> {
        let payload = self.buffers.inbox.bytes(range);
        match header.kind {
            Kind::Welcome => {
                let Welcome { slot, instance } = Welcome::decode(payload)?;
                link.place = Some((slot, instance));
            }
            Kind::Continue => {
                self.ask_for_body()?;
                state.continued = true;
            }
            Kind::Refused => {
                if state.verdict.is_some() || state.consumed {
                    return Err(WireError::Unexpected(Kind::Refused).into());
                }
                return Ok(Some(Ended::Refused(Refusal::decode(payload)?)));
            }
            Kind::Log => self.apache.log(&Log::decode(payload)?),
            Kind::Head => {
                if state.verdict.is_some() {
                    return Err(WireError::Unexpected(Kind::Head).into());
                }
                // Behind a head nobody can be asked any more, but the application may read on.
                self.ask_for_body()?;
                let head = AnswerHead::decode(self.buffers.inbox.bytes(range))?;
                state.verdict = Some(self.apache.head(&head)?);
            }
            Kind::File => {
                let span = FileSpan::decode(payload)?;
                let unexpected = WireError::Unexpected(Kind::File);
                let file = state.descriptor.take().ok_or(unexpected)?;
                match state.verdict {
                    Some(Verdict::Deliver) => {
                        // Blocks before it go before it.
                        self.pass_pending(state, After::More)?;
                        if !self.buffers.answer.is_empty() {
                            // The daemon does not wait for it.
                            self.deliver(state, After::More)?;
                        }
                        self.apache.file(file, span)?;
                        state.file_waits = true;
                        state.unflushed = state.unflushed.saturating_add(span.len);
                    }
                    Some(Verdict::Discard) => {}
                    None => return Err(unexpected.into()),
                }
            }
            Kind::End => return self.end(state, AnswerEnd::decode(payload)?).map(Some),
            Kind::Data
            | Kind::Hello
            | Kind::Request
            | Kind::Body
            | Kind::BodyFile
            | Kind::BodyEnd => {
                return Err(WireError::Unexpected(header.kind).into());
            }
        }
        Ok(None)
    }

    /// REQ-322: a client that waits for `100 Continue` always gets it, as soon as a daemon has its request.
    fn ask_for_body(&mut self) -> Result<(), Failure> {
        let body = &self.buffers.body;
        if body.is_ended() || body.is_spooled() {
            return Ok(());
        }
        self.apache.ask_for_body()
    }

    fn end(&mut self, state: &mut State, end: AnswerEnd) -> Result<Ended, Trouble> {
        let status = match (end, &state.verdict) {
            (_, Some(Verdict::Discard)) => return Ok(Ended::Answered(Outcome::Discarded)),
            (AnswerEnd::Complete, Some(Verdict::Deliver)) => {
                self.pass_pending(state, After::End)?;
                return Ok(Ended::Answered(Outcome::Done));
            }
            (_, Some(Verdict::Deliver)) => {
                self.pass_pending(state, After::More)?;
                return Ok(Ended::Answered(Outcome::CutShort));
            }
            (AnswerEnd::Complete | AnswerEnd::CutShort, None) => {
                return Err(WireError::Unexpected(Kind::End).into());
            }
            (AnswerEnd::Failed | AnswerEnd::Unavailable, None) => 500,
            (AnswerEnd::NotFound, None) => 404,
            (AnswerEnd::TooManyInterpreters, None) => 503,
            (AnswerEnd::TimedOut, None) => 504,
            (AnswerEnd::MainOnly, None) => return Ok(Ended::Answered(Outcome::MainOnly)),
        };
        Ok(Ended::Answered(Outcome::Failed(status)))
    }

    /// The connection broke or went silent.
    pub(super) fn broken(&mut self, state: &mut State, error: io::Error) -> Result<Ended, Failure> {
        let name = &self.group.name;
        let group = || name.clone();
        match &state.verdict {
            None => {}
            Some(Verdict::Discard) => return Ok(Ended::Answered(Outcome::Discarded)),
            Some(Verdict::Deliver) => {
                if error.kind() != ErrorKind::Other {
                    self.tell_unsent(state, &error);
                }
                let text = format!(
                    "WSGI0119: The response of a daemon of group '{}' cannot be read on: {error}",
                    self.group.name
                );
                self.apache.record(3, &text);
                return Ok(Ended::Answered(Outcome::CutShort));
            }
        }
        if state.sent < self.buffers.head.len() {
            // An incomplete head is never executed.
            if state.receipts == 0 && error.kind() != ErrorKind::WouldBlock {
                return Ok(Ended::NotTaken);
            }
            return Err(Failure::Send {
                source: error,
                again: state.again,
            });
        }
        if error.kind() == ErrorKind::ConnectionReset
            && state.receipts == 0
            && !state.consumed
            && state.sent <= ONE_READ
        {
            return Ok(Ended::NotTaken);
        }
        self.tell_unsent(state, &error);
        Err(match error.kind() {
            ErrorKind::WouldBlock => Failure::HeadTimeout { group: group() },
            ErrorKind::UnexpectedEof => Failure::HeadEnd { group: group() },
            _ => Failure::HeadRead {
                group: group(),
                source: error,
            },
        })
    }

    /// The daemon does not speak the protocol.
    fn nonsense(&mut self, state: &mut State, error: WireError) -> Result<Ended, Failure> {
        if state.verdict.is_some() {
            return self.broken(state, io::Error::other(error));
        }
        Err(Failure::Handshake {
            group: self.group.name.clone(),
            error,
        })
    }
}

/// Why a frame could not be taken.
enum Trouble {
    Wire(WireError),
    Failure(Failure),
    Gone,
}

impl From<WireError> for Trouble {
    fn from(error: WireError) -> Trouble {
        Trouble::Wire(error)
    }
}

impl From<Failure> for Trouble {
    fn from(failure: Failure) -> Trouble {
        Trouble::Failure(failure)
    }
}

impl From<Gone> for Trouble {
    fn from(Gone: Gone) -> Trouble {
        Trouble::Gone
    }
}
