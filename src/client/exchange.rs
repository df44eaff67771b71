//! One request over connections to daemons: sending it, sending it again where no daemon has executed anything of it, and
//! reading its answer.
//!
//! When may a request be sent again? Only if nothing of it can have been executed:
//! - a daemon said so ([`Refusal::Reload`], [`Refusal::Stopping`]);
//! - the connection was closed before the whole head was sent: a daemon executes whole heads only;
//! - the connection was *reset* before any byte of an answer came, and all that was sent is at most [`ONE_READ`] bytes. For
//!   AF_UNIX the kernel reports a reset exactly if the other side closed (or died) with bytes of ours unread. A daemon
//!   reads with a buffer larger than that, and the kernel keeps so few bytes in one piece, so that it has read either
//!   everything or nothing; here it was nothing. This is how a daemon that stops closes an idle connection, how a
//!   backlog goes away with its listener, and how a process is killed before it looked at a request.
//!
//! An orderly end without an answer means that a daemon has read the request and died over it: 502 (DMN-301).
//!
//! Runs on a worker thread of an Apache child.

use std::io::{self, ErrorKind, IoSlice};
use std::ops::Range;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use wsgi_core::inbox::Inbox;
use wsgi_core::life::Phase;
use wsgi_core::wire::{FLAG_AWAITS_CONTINUE, Refusal, WireError};
use wsgi_sys::board::Board;
use wsgi_sys::clock;
use wsgi_sys::stream;

use super::body::{BodyBuffer, BodyFacts};
use super::connect;
use super::failure::Failure;
use super::group::GroupClient;
use super::pool::Link;
use super::side::{Apache, Verdict};
use super::spool::Spool;
use super::turn::{TURNS, Turn};

/// Most bytes that a daemon's first read takes whole: below the kernel's size of one piece and the daemon's buffer.
pub(super) const ONE_READ: usize = 32 << 10;
/// How often a child looks whether its group is failing while its request waits in the backlog.
pub(super) const LOOK: Duration = Duration::from_secs(1);

/// How a request went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The whole answer was passed on.
    Done,
    /// The answer was thrown away, as its verdict said.
    Discarded,
    /// The client went away.
    ClientGone,
    /// The answer broke off after its head; the client has to notice.
    CutShort,
    /// The application failed before its head, which its daemon has logged; the status is for the client.
    Failed(u16),
    /// It failed before its head, because it needs the main interpreter.
    MainOnly,
}

/// What of a request is told in each attempt anew.
#[derive(Clone, Copy, Debug)]
pub(super) struct Attempt {
    /// Flags of the frame.
    pub(super) frame_flags: u8,
    /// Connects so far, this one included.
    pub(super) connects: u32,
    /// Reload refusals so far.
    pub(super) restarts: u32,
    /// Microseconds since the epoch.
    pub(super) queue_start: i64,
}

/// Memory of a thread that is used again for each request.
#[derive(Debug)]
pub(super) struct Buffers {
    pub(super) head: Vec<u8>,
    pub(super) body: BodyBuffer,
    pub(super) inbox: Inbox,
    pub(super) pending: Vec<Range<usize>>,
    /// What a slow client has not taken yet.
    pub(super) answer: Spool,
    /// Room for what comes out of `answer`.
    pub(super) piece: Vec<u8>,
}

impl Buffers {
    pub(super) fn new() -> Buffers {
        Buffers {
            head: Vec::with_capacity(8 << 10),
            body: BodyBuffer::new(),
            inbox: Inbox::new(),
            pending: Vec::new(),
            answer: Spool::default(),
            piece: Vec::new(),
        }
    }
}

/// How a conversation ended.
pub(super) enum Ended {
    /// No daemon has anything of the request.
    NotTaken,
    /// A daemon sent it back.
    Refused(Refusal),
    /// It was answered.
    Answered(Outcome),
}

/// One request.
pub(super) struct Exchange<'e, A> {
    pub(super) group: &'e GroupClient,
    pub(super) apache: A,
    pub(super) buffers: &'e mut Buffers,
    /// Of each operation on the daemon's stream (DMN-216).
    pub(super) timeout: Option<Duration>,
}

/// Where a conversation is.
#[derive(Debug, Default)]
pub(super) struct State {
    /// Bytes of head and short body sent.
    pub(super) sent: usize,
    /// The whole body, or whatever there is of it, was sent, so that the connection can be used again.
    pub(super) all_sent: bool,
    /// The daemon does not read any more; the rest of the body is not sent.
    pub(super) deaf: bool,
    /// It was logged that the body cannot be sent to its end.
    pub(super) told_unsent: bool,
    /// An earlier attempt was refused.
    pub(super) again: bool,
    /// How often something came.
    pub(super) receipts: u64,
    /// `Continue` came.
    pub(super) continued: bool,
    /// Parts of a long body were read from the client, so that it cannot be sent again.
    pub(super) consumed: bool,
    pub(super) verdict: Option<Verdict>,
    /// A descriptor whose File frame was not looked at yet.
    pub(super) descriptor: Option<OwnedFd>,
    /// A file was appended that was not passed yet.
    pub(super) file_waits: bool,
    /// Bytes passed since the last flush.
    pub(super) unflushed: u64,
    /// Bytes thrown away.
    pub(super) discarded: u64,
    /// Since when the client has taken nothing of what waits for it.
    pub(super) client_idle: Option<Instant>,
    /// Since when nothing has come from the daemon meanwhile.
    pub(super) daemon_idle: Option<Instant>,
    /// A stream of HTTP/2 has waited for its client in vain.
    pub(super) is_slow: bool,
    /// Before it is looked again whether it has room.
    pub(super) pause: Duration,
}

impl<A: Apache> Exchange<'_, A> {
    /// Forwards the request. `encode` appends its Request frame.
    ///
    /// # Errors
    /// [`Failure`]: nothing was passed to the client.
    pub(super) fn run(
        &mut self,
        facts: BodyFacts,
        mut encode: impl FnMut(&mut Vec<u8>, Attempt) -> Result<(), WireError>,
    ) -> Result<Outcome, Failure> {
        self.buffers.body.clear();
        let spool = self.group.limits.request_spool;
        self.buffers.body.collect(&mut self.apache, facts, spool)?;
        self.buffers.answer.begin(self.group.limits.response_spool);
        // DMN-211: how long the client took for its body is no waiting for a daemon.
        let queue_start = clock::wall_micros();
        let frame_flags = if self.buffers.body.is_ended() {
            0
        } else {
            FLAG_AWAITS_CONTINUE
        };
        let most = self
            .group
            .limits
            .processes
            .saturating_mul(2)
            .saturating_add(1);
        let (mut connects, mut restarts, mut tries) = (0, 0, 0);
        let in_flight = TURNS.request();
        loop {
            let mut turn = in_flight.turn();
            let kept = if tries == 0 {
                self.group.pool.take(&self.group.board)
            } else {
                None
            };
            let fresh = kept.is_none();
            let mut link = match kept {
                Some(link) => {
                    connects += 1;
                    self.timed(link)?
                }
                None => connect::open(self.group, self.timeout, &mut connects, &mut turn)?,
            };
            self.buffers.head.clear();
            if fresh {
                self.group.hello.encode(&mut self.buffers.head);
            }
            let attempt = Attempt {
                frame_flags,
                connects,
                restarts,
                queue_start,
            };
            encode(&mut self.buffers.head, attempt).map_err(Failure::TooLarge)?;
            self.buffers.inbox.clear();
            self.buffers.body.rewind();
            let mut state = State {
                again: tries > 0,
                ..State::default()
            };
            let why = match self.converse(&mut link, &mut state, turn, fresh)? {
                Ended::Answered(outcome) => {
                    if state.all_sent && self.buffers.inbox.is_empty() && is_reusable(outcome) {
                        self.group.pool.put(link, &self.group.board);
                    } else {
                        drop(link);
                    }
                    return Ok(self.settle(&mut state, outcome));
                }
                Ended::Refused(Refusal::Queue) => return Err(Failure::Queue),
                Ended::Refused(Refusal::Reload) => {
                    restarts += 1;
                    "its process restarts for a changed script"
                }
                Ended::Refused(Refusal::Stopping) => "its process takes no more requests",
                Ended::NotTaken => "its process had ended",
            };
            tries += 1;
            if tries > most {
                return Err(Failure::Refused {
                    group: self.group.name.clone(),
                    times: tries,
                });
            }
            self.apache.record(
                6,
                &format!(
                    "The request is sent again to daemon group '{}': {why}.",
                    self.group.name
                ),
            );
        }
    }

    /// A kept connection with this request's timeout; it differs only between servers with different `Timeout`.
    fn timed(&self, mut link: Link) -> Result<Link, Failure> {
        if link.timeout != self.timeout {
            stream::set_timeouts(link.socket.as_fd(), self.timeout).map_err(Failure::Socket)?;
            link.timeout = self.timeout;
        }
        Ok(link)
    }

    fn converse(
        &mut self,
        link: &mut Link,
        state: &mut State,
        mut turn: Turn<'_>,
        fresh: bool,
    ) -> Result<Ended, Failure> {
        if let Some(ended) = self.send_first(link, state, &mut turn)? {
            return Ok(ended);
        }
        drop(turn);
        if fresh {
            self.wait_for_daemon(link)?;
        }
        if !self.buffers.body.is_ended() {
            while !state.continued {
                if let Some(ended) = self.receive(link, state)? {
                    return Ok(ended);
                }
            }
            if let Some(ended) = self.send_body(link, state)? {
                return Ok(ended);
            }
        }
        loop {
            if let Some(ended) = self.receive(link, state)? {
                return Ok(ended);
            }
        }
    }

    /// Sends head and short body; takes what comes meanwhile if they do not fit into the stream at once.
    fn send_first(
        &mut self,
        link: &mut Link,
        state: &mut State,
        turn: &mut Turn<'_>,
    ) -> Result<Option<Ended>, Failure> {
        loop {
            let (body, descriptor): (&[u8], _) = if self.buffers.body.is_ended() {
                self.buffers.body.frames()
            } else {
                (&[], None)
            };
            let head_len = self.buffers.head.len();
            let total = head_len + body.len();
            if state.sent == total {
                state.all_sent = self.buffers.body.is_ended();
                return Ok(None);
            }
            let head = self.buffers.head.get(state.sent..).unwrap_or_default();
            let body = &body[state.sent.saturating_sub(head_len)..];
            let slices = [IoSlice::new(head), IoSlice::new(body)];
            let descriptor = descriptor.filter(|_| state.sent == 0);
            match stream::send_some(link.socket.as_fd(), &slices, descriptor) {
                Ok(count) => state.sent += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    turn.end();
                    if let Some(ended) = self.until_writable(link, state)? {
                        return Ok(Some(ended));
                    }
                }
                // An incomplete head is never executed.
                Err(error) if state.sent < head_len => {
                    if is_closed(&error) && state.receipts == 0 {
                        return Ok(Some(Ended::NotTaken));
                    }
                    return Err(Failure::Send {
                        source: error,
                        again: state.again,
                    });
                }
                Err(error) => {
                    self.deaf(state, &error);
                    return Ok(None);
                }
            }
        }
    }

    /// The daemon takes no more of the body: its answer is all that is still of interest (DMN-242). A daemon that has closed
    /// may have answered all the same; if it has not, [`Exchange::tell_unsent`] comes with the failure.
    pub(super) fn deaf(&mut self, state: &mut State, error: &io::Error) {
        if !is_closed(error) {
            self.tell_unsent(state, error);
        }
        state.deaf = true;
    }

    /// Logs, once a request, that a daemon did not get the rest of the body (REQ-321), if there is one.
    pub(super) fn tell_unsent(&mut self, state: &mut State, error: &io::Error) {
        let is_under_way = state.continued || self.buffers.body.is_ended();
        if state.told_unsent || state.all_sent || !is_under_way {
            return;
        }
        state.told_unsent = true;
        let text = format!("WSGI0129: The request body cannot be sent to a daemon: {error}");
        self.apache.record(3, &text);
    }

    /// A new connection waits in the backlog until a thread is idle. While no process can be started that would be for
    /// ever: then it is given up (prompt 503).
    fn wait_for_daemon(&self, link: &Link) -> Result<(), Failure> {
        let mut waited = Duration::ZERO;
        loop {
            let left = self
                .timeout
                .map_or(LOOK, |timeout| timeout.saturating_sub(waited).min(LOOK));
            if left.is_zero() {
                // The receive that follows would wait as long once more.
                let group = self.group.name.clone();
                return Err(if is_starting(&self.group.board) {
                    Failure::Starting { group, waited }
                } else {
                    Failure::HeadTimeout { group }
                });
            }
            let mut set = [PollFd::new(link.socket.as_fd(), PollFlags::POLLIN)];
            match poll(&mut set, poll_timeout(Some(left))) {
                Ok(0) => waited += left,
                Err(Errno::EINTR) => continue,
                Ok(_) | Err(_) => return Ok(()),
            }
            if self.group.board.is_failing() {
                // A daemon that accepts later sees that nobody waits any more.
                stream::shutdown(link.socket.as_fd(), stream::Shutdown::Both);
                return Err(Failure::Failing {
                    group: self.group.name.clone(),
                });
            }
        }
    }
}

/// Whether processes are starting, and none takes requests.
fn is_starting(board: &Board) -> bool {
    let any =
        |phase: Phase| (0..board.slots()).any(|slot| board.phase(slot) == phase.board_value());
    any(Phase::Starting) && !any(Phase::Serving)
}

/// Whether the other side has closed the stream.
fn is_closed(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::BrokenPipe | ErrorKind::ConnectionReset
    )
}

/// After a cut answer, or one that the client did not want, the daemon may still be sending.
fn is_reusable(outcome: Outcome) -> bool {
    match outcome {
        Outcome::Done | Outcome::Discarded | Outcome::Failed(_) | Outcome::MainOnly => true,
        Outcome::ClientGone | Outcome::CutShort => false,
    }
}

pub(super) fn poll_timeout(timeout: Option<Duration>) -> PollTimeout {
    timeout.map_or(PollTimeout::NONE, |timeout| {
        PollTimeout::try_from(timeout.as_millis().max(1)).unwrap_or(PollTimeout::MAX)
    })
}
