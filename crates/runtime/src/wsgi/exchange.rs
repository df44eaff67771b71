//! One request and its answer, as the Python objects of the request see it: the body to read, the head and body to send,
//! the log. Objects keep it, and find it ended when the request is over.
//!
//! Everything that waits or calls the host is done without the GIL, by [`Exchange::detached`]; no lock in here is taken
//! with it, but for the short ones that guard plain values. [`Exchange::hold_last`] calls the host with it, and never waits.

use std::ffi::c_int;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use parking_lot::Mutex;
use pyo3::prelude::*;
use wsgi_core::answer::head::LengthError;
use wsgi_core::answer::length::LengthGuard;
use wsgi_runtime_api::engine::{Block, Transport};
use wsgi_runtime_api::host::SendError;
use wsgi_runtime_api::{Outcome, SEND_FLUSH, SEND_LAST, SEND_NOTHING_AFTER};

mod log;

use super::body::InputState;
use super::counters::Counters;
use super::head::Head;
use super::lines::Lines;
use super::process::{self, ERROR, TRACE};
use crate::python::lend::Lent;

/// A longer last block is sent at once, bytes.
const MOST_HELD: usize = 8 << 10;

/// A request in progress.
pub(crate) struct Exchange {
    pub(super) lent: Lent,
    /// What Python code sees: set when it has run.
    ended: AtomicBool,
    pub(super) input: Mutex<InputState>,
    answer: Mutex<Answer>,
    lines: Mutex<Lines>,
    has_lines: AtomicBool,
    /// See [`Exchange::wants_main_interpreter`].
    needs_main: AtomicBool,
    pub(super) counts_activity: bool,
    /// The client wants no body, so none can be missing.
    is_head: bool,
    /// File that the URL mapped to, for reports.
    script: String,
    /// The finest level that its log takes, once that was asked.
    log_level: OnceLock<c_int>,
    /// What it did.
    pub(crate) counters: Counters,
}

/// Why a block was not sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum OutputError {
    /// No start_response before the first block (REQ-443).
    NotStarted,
    /// The Content-Length of the application is no number (REQ-447).
    Length(LengthError),
    /// The client is gone.
    Gone,
    /// The host cannot send.
    Failed(String),
    /// The request is over.
    Ended,
}

#[derive(Default)]
struct Answer {
    head: Option<Head>,
    is_committed: bool,
    /// Set with `is_committed`.
    guard: Option<LengthGuard>,
    /// The host was told that it has everything.
    is_complete: bool,
    /// A block could not be sent.
    broken: Option<OutputError>,
}

impl Answer {
    /// Whether a block of this length is the last one, by a Content-Length that was given.
    fn would_complete(&self, len: usize) -> bool {
        let missing = match (&self.guard, &self.head) {
            (Some(guard), _) => guard.missing(),
            (None, Some(head)) => head.content_length().ok().flatten().unwrap_or(0),
            (None, None) => 0,
        };
        (1..=len as u64).contains(&missing)
    }

    /// Remembers that nothing can be sent any more.
    fn note<R>(&mut self, result: &Result<R, OutputError>) {
        if let Err(error @ (OutputError::Gone | OutputError::Failed(_))) = result {
            self.broken = Some(error.clone());
        }
    }

    fn can_miss_bytes(&self) -> bool {
        let code = self.head.as_ref().map_or(500, |head| head.code);
        !matches!(code, 204 | 304 | 100..=199)
    }
}

/// What is left to do when Python code has run.
pub(crate) enum Rest<'b> {
    /// Nothing: the last block was sent, or only the end is missing.
    End,
    /// The whole body.
    Body(&'b [Block<'b>]),
}

impl Exchange {
    /// Of a request whose transport was lent.
    pub(crate) fn new(
        lent: Lent,
        script: String,
        counts_activity: bool,
        is_head: bool,
    ) -> Exchange {
        Exchange {
            lent,
            ended: AtomicBool::new(false),
            input: Mutex::default(),
            answer: Mutex::default(),
            lines: Mutex::default(),
            has_lines: AtomicBool::new(false),
            needs_main: AtomicBool::new(false),
            counts_activity,
            is_head,
            script,
            log_level: OnceLock::new(),
            counters: Counters::default(),
        }
    }

    /// The loan, to be taken back.
    pub(crate) fn lent(&self) -> &Lent {
        &self.lent
    }

    /// File that the URL mapped to.
    pub(crate) fn script(&self) -> &str {
        &self.script
    }

    /// Whether Python code of the request has run, so that its objects are of no use any more.
    pub(crate) fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }

    /// Ends the request for Python code.
    pub(crate) fn end(&self) {
        self.ended.store(true, Ordering::Release);
    }

    /// Runs `body` without the GIL.
    pub(crate) fn detached<R: Send>(&self, py: Python<'_>, body: impl FnOnce() -> R + Send) -> R {
        let (result, done) = py.detach(|| {
            let result = body();
            (result, Instant::now())
        });
        Counters::add(&self.counters.gil_nanoseconds, done.elapsed());
        self.counters.gil_waits.fetch_add(1, Ordering::Relaxed);
        result
    }

    /// Sets status line and headers, unless they are committed.
    pub(crate) fn start(&self, head: Head) {
        let mut answer = self.answer.lock();
        if !answer.is_committed {
            answer.head = Some(head);
        }
    }

    /// Whether start_response was called.
    pub(crate) fn has_started(&self) -> bool {
        self.answer.lock().head.is_some()
    }

    /// Whether the head is on its way, so that it cannot be changed any more.
    pub(crate) fn is_committed(&self) -> bool {
        self.answer.lock().is_committed
    }

    /// Whether bytes of the body were produced.
    pub(crate) fn has_output(&self) -> bool {
        self.counters.output_writes.load(Ordering::Relaxed) > 0
    }

    /// The status that the application gave; None before start_response.
    pub(crate) fn status(&self) -> Option<u16> {
        self.answer.lock().head.as_ref().map(|head| head.code)
    }

    /// The Content-Length that the application gave, if the head can be committed.
    pub(crate) fn check_head(&self) -> Result<Option<u64>, OutputError> {
        let answer = self.answer.lock();
        let head = answer.head.as_ref().ok_or(OutputError::NotStarted)?;
        head.content_length().map_err(OutputError::Length)
    }

    /// Adds a Content-Length to a head that has none.
    pub(crate) fn set_length(&self, length: u64) {
        let mut answer = self.answer.lock();
        if let Some(head) = answer.head.as_mut() {
            head.push(b"Content-Length", length.to_string().as_bytes());
        }
    }

    /// Commits the head (REQ-436).
    pub(crate) fn commit(&self) -> Result<(), OutputError> {
        self.send(commit)
    }

    /// Sends a block that is not empty, with the head before it.
    pub(crate) fn send_block(&self, block: &[u8]) -> Result<(), OutputError> {
        self.count_blocks(1, block.len());
        self.send(|answer, transport| {
            commit(answer, transport)?;
            let guard = answer.guard.get_or_insert_with(|| LengthGuard::new(None));
            let allowed = guard.take(block.len());
            if allowed == 0 {
                return Ok(());
            }
            let is_last = guard.is_full();
            let flags = if is_last {
                SEND_FLUSH | SEND_LAST
            } else {
                SEND_FLUSH
            };
            let blocks = [Block::from(&block[..allowed])];
            transport
                .send_data(&blocks, flags)
                .map_err(|error| failure(error, transport))?;
            answer.is_complete |= is_last;
            Ok(())
        })
    }

    /// Tells the host that the request has the GIL, or is about to wait for something that others do not wait for.
    pub(crate) fn under_way(&self) {
        // Nobody else has lent it before Python code runs.
        let _ = self.lent.try_with(|transport| transport.under_way());
    }

    /// Leaves a block with the host that completes the Content-Length, so that it can go with the end of the answer. The thread holds
    /// the GIL, and does not wait. False where that is not possible: the block has to be sent.
    ///
    /// # Errors
    /// The head cannot be sent.
    pub(crate) fn hold_last(&self, block: &[u8]) -> Result<bool, OutputError> {
        if block.len() > MOST_HELD {
            return Ok(false);
        }
        let Some(mut answer) = self.answer.try_lock() else {
            return Ok(false);
        };
        if answer.broken.is_some() || !answer.would_complete(block.len()) {
            return Ok(false);
        }
        let held = self.lent.try_with(|transport| {
            commit(&mut answer, transport)?;
            let Some(mut guard) = answer.guard else {
                return Ok(false);
            };
            let allowed = guard.take(block.len());
            let held = transport.hold_data(&block[..allowed]);
            if held {
                answer.guard = Some(guard);
                answer.is_complete = true;
            }
            Ok(held)
        });
        let held = held.unwrap_or(Ok(false));
        answer.note(&held);
        drop(answer);
        if let Ok(true) = held {
            self.count_blocks(1, block.len());
            if self.counts_activity {
                process::activity();
            }
        }
        held
    }

    /// Sends `length` bytes of a file as the body.
    pub(crate) fn send_file(
        &self,
        file: std::os::fd::BorrowedFd<'_>,
        offset: u64,
        length: u64,
    ) -> Result<(), OutputError> {
        self.counters.output_writes.fetch_add(1, Ordering::Relaxed);
        self.counters
            .output_length
            .fetch_add(length, Ordering::Relaxed);
        self.send(|answer, transport| {
            commit(answer, transport)?;
            let guard = answer.guard.get_or_insert_with(|| LengthGuard::new(None));
            let allowed = guard.take(usize::try_from(length).unwrap_or(usize::MAX)) as u64;
            // What the Content-Length promises beyond the file is missing: the end of the answer tells.
            let flags = if guard.missing() == 0 { SEND_LAST } else { 0 };
            if allowed > 0 || flags != 0 {
                let sent = if allowed > 0 {
                    transport.send_file(file, offset, allowed, flags)
                } else {
                    transport.send_data(&[], flags)
                };
                sent.map_err(|error| failure(error, transport))?;
            }
            answer.is_complete |= flags != 0;
            Ok(())
        })
    }

    /// Counts blocks of the application, of so many bytes together, before its Content-Length cuts them.
    pub(crate) fn count_blocks(&self, blocks: usize, bytes: usize) {
        let counters = &self.counters;
        let add = |counter: &AtomicU64, count: usize| {
            counter.fetch_add(count as u64, Ordering::Relaxed);
        };
        add(&counters.output_writes, blocks);
        add(&counters.output_length, bytes);
    }

    fn send(
        &self,
        body: impl FnOnce(&mut Answer, &mut Transport<'_>) -> Result<(), OutputError>,
    ) -> Result<(), OutputError> {
        if self.counts_activity {
            process::activity();
        }
        let mut answer = self.answer.lock();
        if let Some(broken) = &answer.broken {
            return Err(broken.clone());
        }
        let started = Instant::now();
        let result = self.lent.with(|transport| body(&mut answer, transport));
        let result = result.unwrap_or(Err(OutputError::Ended));
        answer.note(&result);
        drop(answer);
        Counters::add(&self.counters.output_nanoseconds, started.elapsed());
        result
    }

    /// Sends the rest and the end of an answer whose Python code has run; the thread holds no GIL.
    pub(crate) fn conclude(&self, rest: &Rest<'_>) -> Outcome {
        self.flush_lines();
        let result = self.send(|answer, transport| {
            commit(answer, transport)?;
            if answer.is_complete {
                return Ok(());
            }
            let guard = answer.guard.get_or_insert_with(|| LengthGuard::new(None));
            let mut blocks = Vec::new();
            if let Rest::Body(body) = rest {
                for block in *body {
                    let bytes = block.bytes();
                    let allowed = guard.take(bytes.len());
                    if allowed > 0 {
                        blocks.push(Block::from(&bytes[..allowed]));
                    }
                }
            }
            let missing = guard.missing();
            let sent = guard.sent();
            if missing > 0 && answer.can_miss_bytes() && !self.is_head {
                if !blocks.is_empty() {
                    transport
                        .send_data(&blocks, SEND_FLUSH)
                        .map_err(|error| failure(error, transport))?;
                } else if sent == 0 {
                    // The client gets a page (500) instead, whose reason is nowhere else.
                    let text = format!(
                        "WSGI5075: The response has no body, but a Content-Length of {missing}."
                    );
                    transport.log(ERROR, 0, text.as_bytes());
                }
                return Ok(());
            }
            if missing > 0 && self.is_head {
                // httpd would take what it counts for the length (REQ-122).
                blocks.clear();
            }
            transport
                .send_data(&blocks, SEND_LAST | SEND_NOTHING_AFTER)
                .map_err(|error| failure(error, transport))?;
            answer.is_complete = true;
            Ok(())
        });
        self.outcome(&result)
    }

    fn outcome(&self, result: &Result<(), OutputError>) -> Outcome {
        let (is_complete, is_committed, guard) = {
            let answer = self.answer.lock();
            (answer.is_complete, answer.is_committed, answer.guard)
        };
        if let Some(guard) = guard {
            if (guard.missing() > 0 || guard.dropped() > 0) && process::is_logged(TRACE) {
                let text = format!(
                    "Content-Length mismatch: {} bytes are missing, {} were dropped.",
                    guard.missing(),
                    guard.dropped()
                );
                self.log(TRACE, 0, text.as_bytes());
            }
        }
        match result {
            Ok(()) if is_complete => Outcome::Complete,
            Ok(()) => Outcome::CutShort,
            Err(OutputError::Gone) => {
                self.log_enabled(TRACE, "The client has closed its connection.");
                Outcome::Aborted
            }
            Err(OutputError::Failed(why)) => {
                let text = format!("Failed to write response data: {why}.");
                self.log(ERROR, 0, text.as_bytes());
                if is_committed {
                    Outcome::CutShort
                } else {
                    Outcome::Failed
                }
            }
            Err(_) if is_committed => Outcome::CutShort,
            Err(_) => Outcome::Failed,
        }
    }

    /// How a request ends in which Python code failed: by what the client has got.
    pub(crate) fn failed(&self) -> Outcome {
        self.flush_lines();
        let answer = self.answer.lock();
        match (answer.is_complete, answer.is_committed) {
            (true, _) => Outcome::Complete,
            (false, true) => Outcome::CutShort,
            (false, false) if self.needs_main.load(Ordering::Relaxed) => Outcome::MainOnly,
            (false, false) => Outcome::Failed,
        }
    }

    /// The application fails because it is not in the main interpreter: if it gets no answer out, that is what the client
    /// is told.
    pub(crate) fn wants_main_interpreter(&self) {
        self.needs_main.store(true, Ordering::Relaxed);
    }

    /// A variable of mod_ssl, which may have none; None if the request is over. The thread holds no GIL.
    pub(crate) fn tls_variable(&self, name: &[u8]) -> Option<Option<Vec<u8>>> {
        self.lent.with(|transport| transport.tls_variable(name))
    }
}

fn commit(answer: &mut Answer, transport: &mut Transport<'_>) -> Result<(), OutputError> {
    if answer.is_committed {
        return Ok(());
    }
    let head = answer.head.as_ref().ok_or(OutputError::NotStarted)?;
    let length = head.content_length().map_err(OutputError::Length)?;
    answer.is_committed = true;
    answer.guard = Some(LengthGuard::new(length));
    transport
        .send_head(&head.status, head.headers(), length)
        .map_err(|error| failure(error, transport))
}

fn failure(error: SendError, transport: &mut Transport<'_>) -> OutputError {
    match error {
        SendError::Gone => OutputError::Gone,
        SendError::Failed => {
            let why = transport.last_error();
            OutputError::Failed(why.unwrap_or_else(|| "unknown reason".to_owned()))
        }
    }
}
