//! The sending half of an exchange for a long body: to the daemon in pieces, while its answer is taken, so that neither side waits
//! for the other (DMN-244).

use std::io::{ErrorKind, IoSlice};
use std::os::fd::AsFd;
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, poll};
use wsgi_sys::stream;

use super::body;
use super::exchange::{Ended, Exchange, LOOK, Outcome, State, poll_timeout};
use super::failure::Failure;
use super::pool::Link;
use super::side::{After, Apache};

/// How often is looked for the body of a client that cannot be waited on (HTTP/2 before httpd 2.4.58).
const BLIND_LOOK: Duration = Duration::from_millis(20);

/// So often in a row the client's descriptor may be readable with no body to be read; then it is looked for from time to time.
const FALSE_ALARMS: u32 = 100;

impl<A: Apache> Exchange<'_, A> {
    /// Sends the long body, in pieces as the client sends them. Ends early if the answer does.
    pub(super) fn send_body(
        &mut self,
        link: &mut Link,
        state: &mut State,
    ) -> Result<Option<Ended>, Failure> {
        state.consumed = !self.buffers.body.is_spooled();
        loop {
            let mut at = 0;
            // The first round sends what was collected before.
            while !state.deaf {
                let (frames, _) = self.buffers.body.frames();
                if at == frames.len() {
                    break;
                }
                match stream::send_some(link.socket.as_fd(), &[IoSlice::new(&frames[at..])], None) {
                    Ok(count) => at += count,
                    Err(error) if error.kind() == ErrorKind::WouldBlock => {
                        if let Some(ended) = self.until_writable(link, state)? {
                            return Ok(Some(ended));
                        }
                    }
                    Err(error) => self.deaf(state, &error),
                }
            }
            // Before the answer is looked at: its end may be there already, and the connection is as good as any.
            state.all_sent = self.buffers.body.is_ended() && !state.deaf;
            if let Some(ended) = self.receive_available(link, state)? {
                return Ok(Some(ended));
            }
            if state.deaf || state.all_sent {
                return Ok(None);
            }
            match self.await_body(link, state) {
                Ok(None) => {}
                Ok(ended) => return Ok(ended),
                Err(failure @ (Failure::Body { .. } | Failure::Spool(_))) => {
                    return self.body_broke(link, state, failure);
                }
                Err(failure) => return Err(failure),
            }
        }
    }

    /// Waits for more of the client's body. What the daemon sends meanwhile goes to the client, which may be waiting for it
    /// before it sends on (DMN-244).
    fn await_body(&mut self, link: &mut Link, state: &mut State) -> Result<Option<Ended>, Failure> {
        let mut waited = Duration::ZERO;
        let mut false_alarms = 0;
        while !self.buffers.body.read_on(&mut self.apache)? {
            let (client, patience) = self.apache.client();
            // A filter may be at work behind a descriptor that stays readable.
            let client = client.filter(|_| false_alarms < FALSE_ALARMS);
            let left = patience.map_or(LOOK, |patience| patience.saturating_sub(waited));
            if left.is_zero() {
                let text = "the client sent nothing for too long".to_owned();
                return Err(Failure::Body {
                    status: Some(408),
                    text,
                });
            }
            let is_kept = !self.buffers.answer.is_empty();
            let flushes = state.unflushed > 0 && !is_kept;
            let is_stream = self.apache.is_stream();
            let slice = match (flushes, client) {
                // Not longer than a look: other modules have timeouts of their own.
                (false, Some(_)) => left.min(LOOK),
                (false, None) => left.min(BLIND_LOOK),
                (true, _) => self.group.limits.flush_delay,
            };
            let slice = self.look_within(state, slice);
            let client_events = match is_kept && !is_stream {
                true => PollFlags::POLLIN | PollFlags::POLLOUT,
                false => PollFlags::POLLIN,
            };
            let mut set = vec![PollFd::new(link.socket.as_fd(), self.daemon_events())];
            set.extend(client.map(|client| PollFd::new(client, client_events)));
            let found = poll(&mut set, poll_timeout(Some(slice)));
            let from_daemon = set[0].revents().is_none_or(|events| !events.is_empty());
            if self.drain(state).is_err() {
                return Ok(Some(Ended::Answered(Outcome::ClientGone)));
            }
            match found {
                Ok(0) if flushes => {
                    if self.apache.pass(std::iter::empty(), After::Flush).is_err() {
                        return Ok(Some(Ended::Answered(Outcome::ClientGone)));
                    }
                    state.unflushed = 0;
                }
                Ok(0) => waited += slice,
                Ok(_) if from_daemon => {
                    if let Some(ended) = self.receive_available(link, state)? {
                        return Ok(Some(ended));
                    }
                }
                Ok(_) if !is_kept || is_stream => false_alarms += 1,
                Ok(_) | Err(_) => {}
            }
        }
        Ok(None)
    }

    /// The client's body cannot be read: the application is told, and the client gets 408 or 500 (DMN-241).
    fn body_broke(
        &mut self,
        link: &Link,
        state: &State,
        failure: Failure,
    ) -> Result<Option<Ended>, Failure> {
        let frame = body::broken_end(&failure.to_string());
        // A stream that is full or closed tells the application as well.
        let _ = stream::send_some(link.socket.as_fd(), &[IoSlice::new(&frame)], None);
        if state.verdict.is_none() {
            return Err(failure);
        }
        if let Some(text) = failure.record() {
            self.apache.record(3, &text);
        }
        Ok(Some(Ended::Answered(Outcome::CutShort)))
    }

    /// Waits until more can be sent, and takes what comes meanwhile, so that two full streams do not wait for each other
    /// (DMN-244).
    pub(super) fn until_writable(
        &mut self,
        link: &mut Link,
        state: &mut State,
    ) -> Result<Option<Ended>, Failure> {
        let mut waited = Duration::ZERO;
        loop {
            let slice = self
                .timeout
                .map_or(LOOK, |timeout| timeout.saturating_sub(waited));
            if slice.is_zero() {
                return self.broken(state, ErrorKind::WouldBlock.into()).map(Some);
            }
            let slice = self.look_within(state, slice);
            let events = self.daemon_events() | PollFlags::POLLOUT;
            let mut set = vec![PollFd::new(link.socket.as_fd(), events)];
            if !self.buffers.answer.is_empty() && !self.apache.is_stream() {
                let (client, _) = self.apache.client();
                set.extend(client.map(|client| PollFd::new(client, PollFlags::POLLOUT)));
            }
            let found = match poll(&mut set, poll_timeout(Some(slice))) {
                Ok(0) => {
                    waited += slice;
                    PollFlags::empty()
                }
                Ok(_) => {
                    waited = Duration::ZERO;
                    set[0].revents().unwrap_or(PollFlags::POLLERR)
                }
                Err(Errno::EINTR) => continue,
                Err(error) => return self.broken(state, error.into()).map(Some),
            };
            if self.drain(state).is_err() {
                return Ok(Some(Ended::Answered(Outcome::ClientGone)));
            }
            if found.contains(PollFlags::POLLIN) {
                if let Some(ended) = self.receive_available(link, state)? {
                    return Ok(Some(ended));
                }
            }
            if found.intersects(PollFlags::POLLOUT | PollFlags::POLLERR | PollFlags::POLLHUP) {
                return Ok(None);
            }
        }
    }
}
