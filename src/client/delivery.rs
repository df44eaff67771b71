//! The answer on its way to the client: what it takes at once is passed, the rest waits here (`response-spool`), so that a slow
//! client keeps no thread of the daemon.
//!
//! httpd's output filters wait where data does not fit into the client's socket: after a flush for all of it, else for what is
//! over 64 KiB. So nothing more is passed at a time than the socket has room for, and what httpd may have set aside is flushed
//! before.
//!
//! A stream of HTTP/2 has no socket. There httpd waits while too many bytes of the stream wait for its connection, so they are counted,
//! and as nobody tells when they are gone, it is looked from time to time.

use std::io::ErrorKind;
use std::mem;
use std::ops::Range;
use std::os::fd::AsFd;
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, poll};

use super::exchange::{Buffers, Ended, Exchange, LOOK, Outcome, State, poll_timeout};
use super::failure::Failure;
use super::pool::Link;
use super::side::{After, Apache, Gone};
use super::spool::Bounds;
use super::store::StoreError;

/// Most bytes that come out of memory or file at a time.
const PIECE: usize = 64 << 10;
/// More than this httpd does not set aside, bytes.
const SET_ASIDE: u64 = 64 << 10;

/// So long a stream that took everything before gets for more, before the rest is kept: most clients are quicker.
const MOMENT: Duration = Duration::from_millis(5);
/// At its begin nobody sleeps, as the connection's thread has the bytes in a fraction of the time that waking up takes.
const QUICK: Duration = Duration::from_micros(200);
/// Between two looks after that. The system makes it longer.
const BLINK: Duration = Duration::from_micros(20);
/// Between two looks for room while bytes of a stream are kept: at first, and at most.
const PAUSES: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(50));

impl<A: Apache> Exchange<'_, A> {
    /// Passes the collected blocks and files, if there are any or the answer ends. Behind kept bytes they are kept as well.
    pub(super) fn pass_pending(&mut self, state: &mut State, after: After) -> Result<(), Gone> {
        let is_kept = !self.buffers.answer.is_empty();
        if self.buffers.pending.is_empty() && !state.file_waits {
            if is_kept {
                return self.drain_to(state, after);
            }
            if after == After::More {
                return Ok(());
            }
        }
        let spools = self.group.limits.response_spool.memory > 0;
        let mut ranges = mem::take(&mut self.buffers.pending);
        let passed = if is_kept {
            self.keep(&ranges, state)
                .and_then(|()| self.drain_to(state, after))
        } else if after == After::More && spools && !state.file_waits {
            self.offer(&mut ranges, state)
        } else {
            self.pass(&ranges, state, after)
        };
        ranges.clear();
        self.buffers.pending = ranges;
        passed
    }

    /// Passes blocks and files that wait, which may take its time.
    fn pass(
        &mut self,
        ranges: &[Range<usize>],
        state: &mut State,
        after: After,
    ) -> Result<(), Gone> {
        let inbox = &self.buffers.inbox;
        let bytes: usize = ranges.iter().map(ExactSizeIterator::len).sum();
        state.unflushed = state.unflushed.saturating_add(bytes as u64);
        // An application that produces without a pause does not fill httpd's memory (DMN-333).
        let runaway = state.unflushed > self.group.limits.response_buffer;
        let after = match after {
            After::More if runaway => After::Flush,
            after => after,
        };
        state.file_waits = false;
        if after == After::Flush {
            state.unflushed = 0;
        }
        self.apache
            .pass(ranges.iter().map(|range| inbox.bytes(range)), after)
    }

    /// Passes blocks as far as the client takes them at once, and keeps the rest.
    fn offer(&mut self, ranges: &mut Vec<Range<usize>>, state: &mut State) -> Result<(), Gone> {
        loop {
            let left: usize = ranges.iter().map(ExactSizeIterator::len).sum();
            if self.apache.is_stream() {
                let room = self.stream_room(state)?;
                if room == 0 {
                    return self.keep(ranges, state);
                }
                let rest = split(ranges, room);
                self.pass(ranges, state, After::More)?;
                if rest.is_empty() {
                    return Ok(());
                }
                *ranges = rest;
                continue;
            }
            let Some(room) = self.apache.room() else {
                return self.pass(ranges, state, After::More);
            };
            let unflushed = usize::try_from(state.unflushed).unwrap_or(usize::MAX);
            let budget = room.saturating_sub(unflushed);
            if left <= budget {
                let most = state.unflushed.saturating_add(left as u64);
                let after = if most > SET_ASIDE {
                    After::Flush
                } else {
                    After::More
                };
                return self.pass(ranges, state, after);
            }
            if room == 0 {
                return self.keep(ranges, state);
            }
            let rest = split(ranges, budget);
            self.pass(ranges, state, After::Flush)?;
            *ranges = rest;
        }
    }

    /// Room of a stream, which gets a moment for it if it was quick before.
    fn stream_room(&mut self, state: &mut State) -> Result<usize, Gone> {
        let begin = Instant::now();
        loop {
            let room = self.apache.room().unwrap_or(PIECE);
            if room > 0 {
                return Ok(room);
            }
            let waited = begin.elapsed();
            if state.unflushed > 0 {
                // A filter may have it.
                self.flush(state)?;
            } else if state.is_slow || waited >= MOMENT {
                state.is_slow = true;
                return Ok(0);
            } else if waited < QUICK {
                thread::yield_now();
            } else {
                thread::sleep(BLINK);
            }
        }
    }

    fn flush(&mut self, state: &mut State) -> Result<(), Gone> {
        state.unflushed = 0;
        self.apache.pass(std::iter::empty(), After::Flush)
    }

    /// How long to wait at most, so that room of a stream for kept bytes is found. The pause grows, also if this is not waited for.
    pub(super) fn look_within(&self, state: &mut State, most: Duration) -> Duration {
        if self.buffers.answer.is_empty() || !self.apache.is_stream() {
            return most;
        }
        let pause = state.pause.clamp(PAUSES.0, PAUSES.1);
        state.pause = pause * 2;
        pause.min(most)
    }

    /// Puts blocks behind what is kept. Without a file the daemon has to wait for the client.
    fn keep(&mut self, ranges: &[Range<usize>], state: &mut State) -> Result<(), Gone> {
        for range in ranges {
            let Buffers { inbox, answer, .. } = &mut *self.buffers;
            let folder = || self.apache.temporary_folder();
            let Err(error) = answer.push(inbox.bytes(range), folder) else {
                continue;
            };
            self.complain(&error);
            self.deliver(state, After::More)?;
            let Buffers { inbox, answer, .. } = &mut *self.buffers;
            answer.begin(Bounds {
                file: 0,
                ..self.group.limits.response_spool
            });
            answer
                .push(inbox.bytes(range), || "/".into())
                .expect("memory takes everything where no file is allowed");
        }
        Ok(())
    }

    fn complain(&mut self, error: &StoreError) {
        let text = format!("WSGI5062: The response cannot be kept for a slow client: {error}");
        self.apache.record(3, &text);
    }

    /// Passes what is kept as far as the client takes it at once.
    pub(super) fn drain(&mut self, state: &mut State) -> Result<(), Gone> {
        while !self.buffers.answer.is_empty() {
            let room = self.apache.room().unwrap_or(PIECE);
            if room == 0 {
                return Ok(());
            }
            state.client_idle = None;
            state.pause = Duration::ZERO;
            state.is_slow = false;
            if state.unflushed > 0 {
                self.flush(state)?;
                continue;
            }
            self.pass_piece(room, After::Flush)?;
        }
        Ok(())
    }

    /// As [`Exchange::drain`]; behind the last of the kept bytes comes the end, if this is it. Else [`Exchange::settle`] passes it.
    fn drain_to(&mut self, state: &mut State, after: After) -> Result<(), Gone> {
        self.drain(state)?;
        if after == After::End && self.buffers.answer.is_empty() {
            self.apache.pass(std::iter::empty(), after)?;
        }
        Ok(())
    }

    /// Passes at most `most` of the kept bytes.
    fn pass_piece(&mut self, most: usize, after: After) -> Result<(), Gone> {
        let Buffers { answer, piece, .. } = &mut *self.buffers;
        piece.resize(PIECE, 0);
        match answer.take(&mut piece[..most.min(PIECE)]) {
            Ok(count) => self.apache.pass(std::iter::once(&piece[..count]), after),
            Err(error) => {
                // What is lost cannot be told in another way than by the end of the connection.
                self.complain(&error);
                self.apache.give_up();
                Err(Gone)
            }
        }
    }

    /// Passes everything that is kept, and waits for the client where it must; a file is left to httpd.
    pub(super) fn deliver(&mut self, state: &mut State, after: After) -> Result<(), Gone> {
        state.unflushed = 0;
        while self.buffers.answer.in_memory() > 0 {
            self.pass_piece(PIECE, After::More)?;
        }
        if let Some((file, span)) = self.buffers.answer.take_file() {
            self.apache.file(file.into(), span)?;
        }
        self.apache.pass(std::iter::empty(), after)
    }

    /// After the daemon is done: the client gets what is kept for it.
    pub(super) fn settle(&mut self, state: &mut State, outcome: Outcome) -> Outcome {
        let delivered = match outcome {
            _ if self.buffers.answer.is_empty() => Ok(()),
            Outcome::Done => self.deliver(state, After::End),
            Outcome::CutShort => self.deliver(state, After::Flush),
            Outcome::Discarded | Outcome::ClientGone | Outcome::Failed(_) | Outcome::MainOnly => {
                Ok(())
            }
        };
        self.buffers.answer.clear();
        delivered.map_or(Outcome::ClientGone, |()| outcome)
    }

    /// What is to be waited for on the daemon's stream: nothing while there is no room for it.
    pub(super) fn daemon_events(&self) -> PollFlags {
        if self.buffers.answer.is_full() {
            PollFlags::empty()
        } else {
            PollFlags::POLLIN
        }
    }

    /// Waits once for daemon and client, while bytes are kept.
    pub(super) fn receive_beside(
        &mut self,
        link: &mut Link,
        state: &mut State,
    ) -> Result<Option<Ended>, Failure> {
        let now = Instant::now();
        let client_idle = now - *state.client_idle.get_or_insert(now);
        let daemon_idle = now - *state.daemon_idle.get_or_insert(now);
        let (client, patience) = self.apache.client();
        if patience.is_some_and(|patience| client_idle >= patience) {
            self.apache.give_up();
            return Ok(Some(Ended::Answered(Outcome::ClientGone)));
        }
        let is_full = self.buffers.answer.is_full();
        if is_full {
            state.daemon_idle = None;
        } else if self.timeout.is_some_and(|timeout| daemon_idle >= timeout) {
            return self.broken(state, ErrorKind::WouldBlock.into()).map(Some);
        }
        let client = client.filter(|_| !self.apache.is_stream());
        let slice = patience.map_or(LOOK, |patience| patience.min(LOOK));
        let slice = self.look_within(state, slice);
        let mut set = Vec::with_capacity(2);
        set.extend(client.map(|client| PollFd::new(client, PollFlags::POLLOUT)));
        if !is_full {
            set.push(PollFd::new(link.socket.as_fd(), PollFlags::POLLIN));
        }
        match poll(&mut set, poll_timeout(Some(slice))) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(error) => return self.broken(state, error.into()).map(Some),
        }
        if self.drain(state).is_err() {
            return Ok(Some(Ended::Answered(Outcome::ClientGone)));
        }
        if is_full {
            return Ok(None);
        }
        let receipts = state.receipts;
        let ended = self.receive_available(link, state);
        if state.receipts > receipts {
            state.daemon_idle = None;
        }
        ended
    }
}

/// Leaves the first `count` bytes in `ranges`; the others.
fn split(ranges: &mut Vec<Range<usize>>, count: usize) -> Vec<Range<usize>> {
    let mut left = count;
    let mut rest = Vec::new();
    for range in &mut *ranges {
        let cut = range.start + left.min(range.len());
        left -= cut - range.start;
        if cut < range.end {
            rest.push(cut..range.end);
            range.end = cut;
        }
    }
    rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_cut_in_the_middle() {
        let mut ranges = vec![0..10, 20..30, 40..50];
        assert_eq!(split(&mut ranges, 15), [25..30, 40..50]);
        assert_eq!(ranges, [0..10, 20..25, 40..40]);
        assert_eq!(split(&mut ranges, 15), []);
        assert_eq!(split(&mut ranges, 0), [0..10, 20..25]);
    }
}
