//! One request and its answer, as the Python objects of the request see it: the body to read, the head and body to send,
//! the log. Objects keep it, and find it ended when the request is over.
//!
//! Everything that waits or calls the host is done without the GIL, by [`Exchange::detached`]; no lock in here is taken
//! with it, but for the short ones that guard plain values.

use std::ffi::c_int;
use std::mem::MaybeUninit;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use pyo3::prelude::*;
use wsgi_core::answer::head::{LengthError, parse_content_length};
use wsgi_core::answer::length::LengthGuard;
use wsgi_runtime_api::engine::{Block, Transport};
use wsgi_runtime_api::host::{ReadError, SendError};
use wsgi_runtime_api::{
    LOG_CODE_FIRST, LOG_CONTINUATION, Outcome, SEND_FLUSH, SEND_LAST, SEND_NOTHING_AFTER,
};

use super::lines::{Lines, Stream};
use super::process::{self, ERROR, TRACE};
use crate::python::lend::Lent;

/// A request in progress.
pub(crate) struct Exchange {
    lent: Lent,
    /// What Python code sees: set when it has run.
    ended: AtomicBool,
    input: Mutex<InputState>,
    answer: Mutex<Answer>,
    lines: Mutex<Lines>,
    has_lines: AtomicBool,
    counts_activity: bool,
    /// The client wants no body, so none can be missing.
    is_head: bool,
    /// File that the URL mapped to, for reports.
    script: String,
    pub(crate) counters: Counters,
}

/// What the request did, for `request_finished` (API-320).
#[derive(Default)]
pub(crate) struct Counters {
    pub(crate) input_reads: AtomicU64,
    pub(crate) input_length: AtomicU64,
    input_nanoseconds: AtomicU64,
    pub(crate) output_writes: AtomicU64,
    pub(crate) output_length: AtomicU64,
    output_nanoseconds: AtomicU64,
    gil_nanoseconds: AtomicU64,
    pub(crate) gil_waits: AtomicU64,
}

#[derive(Default)]
struct InputState {
    /// Read from the host, not yet by the application, from `start` on.
    buffer: Vec<u8>,
    start: usize,
    is_at_end: bool,
    has_failed: bool,
    was_asked: bool,
}

/// Size of a read for lines, bytes.
const CHUNK: usize = 16 * 1024;

/// Why the body cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum InputError {
    /// The request is over.
    Ended,
    /// It failed before.
    AlreadyFailed,
    /// The connection is gone.
    Terminated,
    /// Anything else.
    Failed(String),
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

/// Status line and headers as the application gave them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Head {
    /// Status line.
    pub(crate) status: Vec<u8>,
    /// Its number.
    pub(crate) code: u16,
    text: Vec<u8>,
    /// Start and end of each name in `text`; its value goes from there to the next name.
    names: Vec<(usize, usize)>,
}

impl Head {
    /// Without headers.
    pub(crate) fn new(status: Vec<u8>, code: u16) -> Head {
        let room = Vec::with_capacity(256);
        Head {
            status,
            code,
            text: room,
            names: Vec::with_capacity(8),
        }
    }

    /// The buffer that names and values are appended to, before [`Head::add`].
    pub(crate) fn text(&mut self) -> &mut Vec<u8> {
        &mut self.text
    }

    /// Makes a header of what was appended: its name begins at `name` and ends at `value`.
    pub(crate) fn add(&mut self, name: usize, value: usize) {
        self.names.push((name, value));
    }

    /// Name and value of the headers, in order.
    pub(crate) fn headers(&self) -> impl ExactSizeIterator<Item = (&[u8], &[u8])> {
        (0..self.names.len()).map(|index| {
            let (name, value) = self.names[index];
            let end = self
                .names
                .get(index + 1)
                .map_or(self.text.len(), |next| next.0);
            (&self.text[name..value], &self.text[value..end])
        })
    }

    /// The last Content-Length, parsed.
    fn content_length(&self) -> Result<Option<u64>, LengthError> {
        let mut values = self
            .headers()
            .filter(|(name, _)| name.eq_ignore_ascii_case(b"content-length"));
        let last = values.by_ref().last();
        last.map(|(_, value)| parse_content_length(value))
            .transpose()
    }
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
            counts_activity,
            is_head,
            script,
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

    /// Reads into `room` until it is full or the body ends; less than all is the end.
    pub(crate) fn read(&self, room: &mut [MaybeUninit<u8>]) -> Result<usize, InputError> {
        if self.counts_activity {
            process::activity();
        }
        let mut input = self.input.lock();
        input.check()?;
        let mut filled = input.take(room);
        while filled < room.len() && !input.is_at_end {
            filled += self.receive(&mut input, &mut room[filled..])?;
        }
        Ok(filled)
    }

    /// Asks a waiting client for the body, once (REQ-322).
    pub(crate) fn ask_for_body(&self) -> Result<(), InputError> {
        let mut input = self.input.lock();
        input.check()?;
        if !input.was_asked {
            self.receive(&mut input, &mut [])?;
        }
        Ok(())
    }

    /// The next line, at most `limit` bytes; empty at the end of the body.
    pub(crate) fn read_line(&self, limit: usize) -> Result<Vec<u8>, InputError> {
        let mut input = self.input.lock();
        input.check()?;
        let mut looked_at = 0;
        loop {
            let pending = &input.buffer[input.start..];
            let new = &pending[looked_at..];
            let found = new
                .iter()
                .position(|byte| *byte == b'\n')
                .map(|at| looked_at + at + 1);
            let length = found.unwrap_or(pending.len());
            if found.is_some() || length >= limit || input.is_at_end {
                let length = length.min(limit);
                let line = pending[..length].to_vec();
                input.start += length;
                return Ok(line);
            }
            looked_at = length;
            let mut chunk = [MaybeUninit::<u8>::uninit(); CHUNK];
            let start = input.start;
            input.buffer.drain(..start);
            input.start = 0;
            self.receive_chunk(&mut input, &mut chunk)?;
        }
    }

    fn receive_chunk(
        &self,
        input: &mut InputState,
        chunk: &mut [MaybeUninit<u8>],
    ) -> Result<(), InputError> {
        let mut bytes = Vec::new();
        let read = self.transfer(input, chunk, |part| bytes.extend_from_slice(part))?;
        debug_assert_eq!(read, bytes.len(), "all that was read is kept");
        input.buffer.extend_from_slice(&bytes);
        Ok(())
    }

    /// One read of the host; notes the end.
    fn receive(
        &self,
        input: &mut InputState,
        room: &mut [MaybeUninit<u8>],
    ) -> Result<usize, InputError> {
        self.transfer(input, room, |_| ())
    }

    fn transfer(
        &self,
        input: &mut InputState,
        room: &mut [MaybeUninit<u8>],
        mut see: impl FnMut(&[u8]),
    ) -> Result<usize, InputError> {
        input.was_asked = true;
        let started = Instant::now();
        let is_asking = room.is_empty();
        let result = self.lent.with(|transport| match transport.read_body(room) {
            Ok(part) => {
                see(part);
                Ok(part.len())
            }
            Err(ReadError::Aborted) => Err(InputError::Terminated),
            Err(ReadError::Failed) => {
                let why = transport.last_error();
                Err(InputError::Failed(
                    why.unwrap_or_else(|| "unknown reason".to_owned()),
                ))
            }
        });
        Counters::add(&self.counters.input_nanoseconds, started.elapsed());
        match result.unwrap_or(Err(InputError::Ended)) {
            Ok(count) => {
                if !is_asking {
                    input.is_at_end = count == 0;
                    self.counters.input_reads.fetch_add(1, Ordering::Relaxed);
                    self.counters
                        .input_length
                        .fetch_add(count as u64, Ordering::Relaxed);
                }
                Ok(count)
            }
            Err(error) => {
                input.has_failed = true;
                Err(error)
            }
        }
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
            let name = head.text.len();
            head.text.extend_from_slice(b"Content-Length");
            let value = head.text.len();
            head.text.extend_from_slice(length.to_string().as_bytes());
            head.add(name, value);
        }
    }

    /// Commits the head (REQ-436).
    pub(crate) fn commit(&self) -> Result<(), OutputError> {
        self.send(commit)
    }

    /// Sends a block that is not empty, with the head before it.
    pub(crate) fn send_block(&self, block: &[u8]) -> Result<(), OutputError> {
        self.count_block(block.len());
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

    fn count_block(&self, length: usize) {
        self.counters.output_writes.fetch_add(1, Ordering::Relaxed);
        self.counters
            .output_length
            .fetch_add(length as u64, Ordering::Relaxed);
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
        if let Err(error @ (OutputError::Gone | OutputError::Failed(_))) = &result {
            answer.broken = Some(error.clone());
        }
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
            if missing > 0 && answer.can_miss_bytes() && !self.is_head {
                if !blocks.is_empty() {
                    transport
                        .send_data(&blocks, SEND_FLUSH)
                        .map_err(|error| failure(error, transport))?;
                }
                return Ok(());
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
            (false, false) => Outcome::Failed,
        }
    }

    /// One record of the request's log; the thread holds no GIL.
    pub(crate) fn log(&self, level: c_int, flags: u32, text: &[u8]) {
        let text = process::record(text);
        if self
            .lent
            .with(|transport| transport.log(level, flags, text))
            .is_none()
        {
            process::log_bytes(level, text);
        }
    }

    fn log_enabled(&self, level: c_int, text: &str) {
        if process::is_logged(level) {
            self.log(level, 0, text.as_bytes());
        }
    }

    /// A header record, its code first, and the lines that belong to it, with nothing in between; the thread holds no GIL.
    pub(crate) fn log_report(&self, level: c_int, header: &str, lines: &[String]) {
        let logged = self.lent.with(|transport| {
            transport.log(level, LOG_CODE_FIRST, process::record(header.as_bytes()));
            for line in lines {
                transport.log(level, LOG_CONTINUATION, process::record(line.as_bytes()));
            }
        });
        if logged.is_none() {
            process::log(level, header);
            lines.iter().for_each(|line| process::log(level, line));
        }
    }

    /// Takes output of a log stream: whole lines become records, the rest waits (REQ-541); the thread holds no GIL.
    pub(crate) fn write_log(&self, stream: Stream, text: &[u8]) {
        let mut lines = self.lines.lock();
        for line in lines.add(stream, text) {
            self.log(ERROR, 0, &line);
        }
        self.has_lines.store(lines.has_any(), Ordering::Release);
    }

    /// Makes a record of a line that was begun; the thread holds no GIL.
    pub(crate) fn flush_log(&self, stream: Stream) {
        let mut lines = self.lines.lock();
        if let Some(line) = lines.flush(stream) {
            self.log(ERROR, 0, &line);
        }
        self.has_lines.store(lines.has_any(), Ordering::Release);
    }

    /// Whether a line was begun and not ended.
    pub(crate) fn has_begun_line(&self) -> bool {
        self.has_lines.load(Ordering::Acquire)
    }

    /// Makes records of all lines that were begun; the thread holds no GIL.
    pub(crate) fn flush_lines(&self) {
        if self.has_begun_line() {
            for stream in [Stream::Errors, Stream::Output, Stream::Error] {
                self.flush_log(stream);
            }
        }
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

impl InputState {
    fn check(&self) -> Result<(), InputError> {
        if self.has_failed {
            Err(InputError::AlreadyFailed)
        } else {
            Ok(())
        }
    }

    /// Moves what was read ahead to `room`.
    fn take(&mut self, room: &mut [MaybeUninit<u8>]) -> usize {
        let pending = &self.buffer[self.start..];
        let count = pending.len().min(room.len());
        for (target, byte) in room.iter_mut().zip(&pending[..count]) {
            target.write(*byte);
        }
        self.start += count;
        count
    }
}

impl Counters {
    fn add(counter: &AtomicU64, time: Duration) {
        counter.fetch_add(
            u64::try_from(time.as_nanos()).unwrap_or(u64::MAX),
            Ordering::Relaxed,
        );
    }

    fn seconds(counter: &AtomicU64) -> f64 {
        Duration::from_nanos(counter.load(Ordering::Relaxed)).as_secs_f64()
    }

    /// Time in reads of the body, seconds.
    pub(crate) fn input_time(&self) -> f64 {
        Counters::seconds(&self.input_nanoseconds)
    }

    /// Time in sends, seconds.
    pub(crate) fn output_time(&self) -> f64 {
        Counters::seconds(&self.output_nanoseconds)
    }

    /// Time that the request waited for the GIL, seconds.
    pub(crate) fn gil_wait_time(&self) -> f64 {
        Counters::seconds(&self.gil_nanoseconds)
    }

    /// Adds a wait for the GIL.
    pub(crate) fn waited_for_gil(&self, time: Duration) {
        Counters::add(&self.gil_nanoseconds, time);
        self.gil_waits.fetch_add(1, Ordering::Relaxed);
    }
}
