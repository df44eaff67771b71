//! The way to the client as the engine sees it: the host's [`TransportTable`] with safe methods.

use std::ffi::{c_int, c_void};
use std::marker::PhantomData;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::sync::atomic::{AtomicBool, Ordering};

use crate::host::{ReadError, SendError};
use crate::{Bytes, CLIENT_GONE, Pair, READ_ABORTED, SENT, TransportTable};

/// A block of the body, as [`Transport::send_data`] takes it.
#[repr(transparent)]
#[derive(Clone, Copy)]
pub struct Block<'b>(Bytes, PhantomData<&'b [u8]>);

// SAFETY: it is what it was made of, a shared slice of bytes.
unsafe impl Send for Block<'_> {}
// SAFETY: as above.
unsafe impl Sync for Block<'_> {}

impl<'b> From<&'b [u8]> for Block<'b> {
    fn from(bytes: &'b [u8]) -> Block<'b> {
        Block(Bytes::of(bytes), PhantomData)
    }
}

impl<'b> Block<'b> {
    /// Its bytes.
    pub fn bytes(&self) -> &'b [u8] {
        // SAFETY: made of a slice that lives for `'b`.
        unsafe { self.0.get() }.unwrap_or_default()
    }
}

/// The way to the client during `handle`. May be used from any thread, one call at a time.
pub struct Transport<'t> {
    pub(super) table: &'t TransportTable,
    pub(super) context: *mut c_void,
    /// Of the guard in `handle`, which has to know how far the answer was when the engine panicked.
    pub(super) head_sent: &'t AtomicBool,
}

// SAFETY: the host's functions ask for one call at a time (`&mut self`), not for one thread: an application may read its
// body from a thread of its own while the thread that called `handle` waits for it.
unsafe impl Send for Transport<'_> {}

impl Transport<'_> {
    /// Reads at most `buffer.len()` bytes of the request body; blocks until there is one. An empty part is the end. An
    /// empty buffer asks a waiting client for its body.
    ///
    /// # Errors
    /// The body is cut off; [`Transport::last_error`] has the reason.
    pub fn read_body<'b>(
        &mut self,
        buffer: &'b mut [MaybeUninit<u8>],
    ) -> Result<&'b mut [u8], ReadError> {
        let first = buffer.as_mut_ptr().cast::<u8>();
        // SAFETY: table and context belong together; the buffer is ours to write during the call.
        let read = unsafe { (self.table.read_body)(self.context, first, buffer.len()) };
        match usize::try_from(read) {
            Ok(count) => {
                assert!(count <= buffer.len(), "the host wrote beyond the buffer");
                // SAFETY: the host wrote that many bytes to the front of the buffer.
                Ok(unsafe { std::slice::from_raw_parts_mut(first, count) })
            }
            Err(_) if read == READ_ABORTED => Err(ReadError::Aborted),
            Err(_) => Err(ReadError::Failed),
        }
    }

    /// Hands over status line and headers, once, before any data.
    ///
    /// # Errors
    /// The client is gone, or the host cannot send.
    pub fn send_head<'h>(
        &mut self,
        status: &[u8],
        headers: impl ExactSizeIterator<Item = (&'h [u8], &'h [u8])>,
        content_length: Option<u64>,
    ) -> Result<(), SendError> {
        self.head_sent.store(true, Ordering::Relaxed);
        let pairs: Vec<Pair> = headers
            .map(|(name, value)| Pair {
                name: Bytes::of(name),
                value: Bytes::of(value),
            })
            .collect();
        let length = content_length.map_or(-1, |length| i64::try_from(length).unwrap_or(i64::MAX));
        let status = Bytes::of(status);
        // SAFETY: table and context belong together; all bytes live during the call.
        let code = unsafe {
            (self.table.send_head)(self.context, status, pairs.as_ptr(), pairs.len(), length)
        };
        sent(code)
    }

    /// Sends blocks of the body; `flags` are `SEND_*`.
    ///
    /// # Errors
    /// The client is gone, or the host cannot send.
    pub fn send_data(&mut self, blocks: &[Block<'_>], flags: u32) -> Result<(), SendError> {
        // A Block is a Bytes by its representation.
        let first = blocks.as_ptr().cast::<Bytes>();
        // SAFETY: table and context belong together; the blocks live during the call.
        sent(unsafe { (self.table.send_data)(self.context, first, blocks.len(), flags) })
    }

    /// Tells the host that the request has the GIL, or is about to wait for something that others do not wait for. Never waits.
    pub fn under_way(&mut self) {
        // SAFETY: table and context belong together.
        unsafe { (self.table.under_way)(self.context) }
    }

    /// Leaves the last block of an answer to the host, which sends it with what follows or soon. Never waits. False if it was not
    /// taken, and has to be sent.
    pub fn hold_data(&mut self, block: &[u8]) -> bool {
        // SAFETY: table and context belong together; the block lives during the call.
        unsafe { (self.table.hold_data)(self.context, Bytes::of(block)) != 0 }
    }

    /// Sends a span of a regular file; `flags` are `SEND_*`.
    ///
    /// # Errors
    /// The client is gone, or the host cannot send.
    pub fn send_file(
        &mut self,
        file: BorrowedFd<'_>,
        offset: u64,
        len: u64,
        flags: u32,
    ) -> Result<(), SendError> {
        let (Ok(offset), Ok(len)) = (i64::try_from(offset), i64::try_from(len)) else {
            return Err(SendError::Failed);
        };
        let file = file.as_raw_fd();
        // SAFETY: table and context belong together; the descriptor is open during the call.
        sent(unsafe { (self.table.send_file)(self.context, file, offset, len, flags) })
    }

    /// One record for the request's error log; `flags` are `LOG_*`.
    pub fn log(&mut self, level: c_int, flags: u32, text: &[u8]) {
        // SAFETY: table and context belong together; the text lives during the call.
        unsafe { (self.table.log)(self.context, level, flags, Bytes::of(text)) };
    }

    /// Whether a record of this level would be written.
    pub fn log_enabled(&mut self, level: c_int) -> bool {
        // SAFETY: table and context belong together.
        unsafe { (self.table.log_enabled)(self.context, level) != 0 }
    }

    /// A variable of mod_ssl; None without mod_ssl.
    pub fn tls_variable(&mut self, name: &[u8]) -> Option<Vec<u8>> {
        // SAFETY: table and context belong together; the name lives during the call.
        let value = unsafe { (self.table.tls_variable)(self.context, Bytes::of(name)) };
        // SAFETY: valid until the next call, and copied before that.
        Some(unsafe { value.get() }?.to_vec())
    }

    /// Why the last read or send failed.
    pub fn last_error(&mut self) -> Option<String> {
        // SAFETY: table and context belong together.
        let text = unsafe { (self.table.last_error)(self.context) };
        // SAFETY: valid until the next call, and copied before that.
        let text = unsafe { text.get() }?;
        Some(String::from_utf8_lossy(text).into_owned())
    }
}

fn sent(code: c_int) -> Result<(), SendError> {
    match code {
        SENT => Ok(()),
        CLIENT_GONE => Err(SendError::Gone),
        _ => Err(SendError::Failed),
    }
}
