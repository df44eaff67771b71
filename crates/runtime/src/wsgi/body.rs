//! The reading half of an exchange: the body of the request, read ahead for lines. Without the GIL.

use std::mem::MaybeUninit;
use std::sync::atomic::Ordering;
use std::time::Instant;

use wsgi_runtime_api::host::ReadError;

use super::counters::Counters;
use super::exchange::Exchange;
use super::process;

/// How far the body was read.
#[derive(Default)]
pub(super) struct InputState {
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

impl Exchange {
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
