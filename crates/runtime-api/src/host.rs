//! What a host implements for a runtime, and the C functions that call it: [`Transport`] for a request, [`Host`] for the
//! process.
//!
//! Promises: pointers of the runtime are checked once, here, and become slices for the time of the call; no panic goes
//! back through a C function, it becomes the failure value of that function.

use std::ffi::{c_int, c_void};
use std::marker::PhantomData;
use std::os::fd::BorrowedFd;
use std::panic::{AssertUnwindSafe, catch_unwind};

use wsgi_core::scoreboard::Scoreboard;

use crate::body::BodyBuffer;
use crate::{
    ABI_VERSION, Bytes, CLIENT_GONE, HostTable, Pair, Put, READ_ABORTED, READ_FAILED, SEND_FAILED,
    SENT, TransportTable, slice,
};

/// The connection to the client is gone, or has failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SendError {
    /// The client (or the child) is gone; not an error of the application (REQ-490).
    Gone,
    /// Anything else; `Transport::last_error` says what.
    Failed,
}

/// The request body cannot be read to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadError {
    /// The connection was terminated before the end of the body.
    Aborted,
    /// Anything else; `Transport::last_error` says what.
    Failed,
}

/// What the host does for one request. Called from the thread that called `Runtime::handle`, without the GIL. The
/// methods are those of [`TransportTable`], where their contract is written down.
pub trait Transport {
    /// Fills some of `buffer`, blocking until at least one byte is there; nothing filled is the end of the body. An empty
    /// buffer asks a waiting client for its body.
    ///
    /// # Errors
    /// The body is cut off.
    fn read_body(&mut self, buffer: &mut BodyBuffer<'_>) -> Result<(), ReadError>;

    /// Takes status line and headers, once, before any data.
    ///
    /// # Errors
    /// The client is gone.
    fn send_head(
        &mut self,
        status: &[u8],
        headers: Headers<'_>,
        content_length: Option<u64>,
    ) -> Result<(), SendError>;

    /// Sends blocks of the body, in order; `flags` are `SEND_*`.
    ///
    /// # Errors
    /// The client is gone.
    fn send_data(&mut self, blocks: Blocks<'_>, flags: u32) -> Result<(), SendError>;

    /// The request has the GIL, or is about to wait for something else. Called with or without the GIL: must not wait. The default
    /// does nothing.
    fn under_way(&mut self) {}

    /// Keeps the last block of an answer back. Called with the GIL: must not wait. False where it cannot; the default.
    fn hold_data(&mut self, _block: &[u8]) -> bool {
        false
    }

    /// Sends a span of a regular file; `flags` are `SEND_*`.
    ///
    /// # Errors
    /// The client is gone.
    fn send_file(
        &mut self,
        file: BorrowedFd<'_>,
        offset: u64,
        len: u64,
        flags: u32,
    ) -> Result<(), SendError>;

    /// One record for the request's error log; `level` is httpd's (0 to 15), `flags` are `LOG_*`.
    fn log(&mut self, level: u8, flags: u32, text: &[u8]);

    /// Whether a record of this level would be written.
    fn log_enabled(&self, level: u8) -> bool;

    /// Text of the last failure of a read or send; None if there was none.
    fn last_error(&self) -> Option<&[u8]>;

    /// Value of a variable of mod_ssl; None without mod_ssl, and where no hook runs.
    fn tls_variable(&mut self, _name: &[u8]) -> Option<&[u8]> {
        None
    }
}

/// What the process does for its runtime. Any thread, with or without the GIL; must not block for long.
pub trait Host: 'static {
    /// One record for the process's error log.
    fn log(level: u8, text: &[u8]);
    /// Whether records of this level are written at all.
    fn log_enabled(level: u8) -> bool;
    /// Input was read or output written for a request that counts as activity.
    fn activity();
    /// Apache's scoreboard (MET-60); None where this process may not know it, or cannot be told. May wait; called without the GIL.
    fn server_metrics() -> Option<Scoreboard>;
    /// A script or module was loaded (DMN-450).
    fn script_loaded();
}

/// Response headers during `send_head`.
#[derive(Clone, Copy)]
pub struct Headers<'a> {
    pairs: &'a [Pair],
}

impl<'a> Headers<'a> {
    /// Number of headers.
    pub fn len(&self) -> usize {
        self.pairs.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.pairs.is_empty()
    }

    /// Names and values in order.
    pub fn iter(&self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> + use<'a> {
        self.pairs
            .iter()
            .map(|pair| (get(pair.name), get(pair.value)))
    }
}

/// Blocks of data during `send_data`.
#[derive(Clone, Copy)]
pub struct Blocks<'a> {
    blocks: &'a [Bytes],
}

impl<'a> Blocks<'a> {
    /// Number of blocks.
    pub fn len(&self) -> usize {
        self.blocks.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.blocks.is_empty()
    }

    /// Sum of the lengths, bytes.
    pub fn total(&self) -> usize {
        self.blocks.iter().map(|block| block.len).sum()
    }

    /// The blocks in order.
    pub fn iter(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        self.blocks.iter().map(|block| get(*block))
    }
}

fn get<'a>(bytes: Bytes) -> &'a [u8] {
    // SAFETY: only called by `Headers` and `Blocks`, whose lifetime is that of the runtime's call; the runtime
    // guarantees its bytes for that time.
    unsafe { bytes.get() }.unwrap_or_default()
}

/// Runs a callback's body; a panic becomes `on_panic`. The panic's text was printed to stderr by the panic hook.
fn guard<R>(on_panic: R, body: impl FnOnce() -> R) -> R {
    catch_unwind(AssertUnwindSafe(body)).unwrap_or(on_panic)
}

/// The C functions of a host's process table.
pub(crate) struct Adapter<H>(PhantomData<H>);

impl<H: Host> Adapter<H> {
    pub(crate) const TABLE: &'static HostTable = &HostTable {
        abi_version: ABI_VERSION,
        log: Self::log,
        log_enabled: Self::log_enabled,
        activity: Self::activity,
        server_metrics: Self::server_metrics,
        script_loaded: Self::script_loaded,
    };

    unsafe extern "C" fn log(level: c_int, text: Bytes) {
        guard((), || {
            // SAFETY: the runtime lends the text for the call.
            let text = unsafe { text.get() }.unwrap_or_default();
            H::log(httpd_level(level), text);
        });
    }

    unsafe extern "C" fn log_enabled(level: c_int) -> c_int {
        guard(1, || c_int::from(H::log_enabled(httpd_level(level))))
    }

    unsafe extern "C" fn activity() {
        guard((), H::activity);
    }

    unsafe extern "C" fn server_metrics(put: Put, sink: *mut c_void) {
        guard((), || {
            if let Some(scoreboard) = H::server_metrics() {
                let bytes = scoreboard.encode();
                // SAFETY: the runtime passes a function with its sink; the bytes live during the call.
                unsafe { put(sink, Bytes::of(&bytes)) };
            }
        });
    }

    unsafe extern "C" fn script_loaded() {
        guard((), H::script_loaded);
    }
}

fn httpd_level(level: c_int) -> u8 {
    u8::try_from(level.clamp(0, 15)).expect("clamped")
}

/// The C functions of a request's transport.
pub(crate) struct Calls<T>(PhantomData<T>);

impl<T: Transport> Calls<T> {
    pub(crate) const TABLE: &'static TransportTable = &TransportTable {
        read_body: Self::read_body,
        send_head: Self::send_head,
        send_data: Self::send_data,
        under_way: Self::under_way,
        hold_data: Self::hold_data,
        send_file: Self::send_file,
        log: Self::log,
        log_enabled: Self::log_enabled,
        last_error: Self::last_error,
        tls_variable: Self::tls_variable,
    };

    /// The transport behind `context`.
    ///
    /// # Safety
    /// `context` is what `Runtime::handle` passed for this `T`, during that call, and no other borrow of it is in use.
    unsafe fn transport<'t>(context: *mut c_void) -> &'t mut T {
        // SAFETY: as above.
        unsafe { &mut *context.cast::<T>() }
    }

    unsafe extern "C" fn read_body(context: *mut c_void, buffer: *mut u8, len: usize) -> isize {
        guard(READ_FAILED, || {
            // SAFETY: the runtime passes the context on, and calls from one thread, one call at a time.
            let transport = unsafe { Self::transport(context) };
            // SAFETY: the runtime lends the buffer for the call; it may never have been written.
            let mut buffer = unsafe { BodyBuffer::from_raw(buffer, len) };
            match transport.read_body(&mut buffer) {
                Ok(()) => isize::try_from(buffer.filled()).expect("no buffer is larger"),
                Err(ReadError::Aborted) => READ_ABORTED,
                Err(ReadError::Failed) => READ_FAILED,
            }
        })
    }

    unsafe extern "C" fn send_head(
        context: *mut c_void,
        status: Bytes,
        headers: *const Pair,
        headers_len: usize,
        content_length: i64,
    ) -> c_int {
        guard(SEND_FAILED, || {
            // SAFETY: as in `read_body`.
            let transport = unsafe { Self::transport(context) };
            // SAFETY: the runtime lends the bytes for the call.
            let status = unsafe { status.get() }.unwrap_or_default();
            // SAFETY: the runtime lends that many pairs for the call.
            let pairs = unsafe { slice(headers, headers_len) };
            let length = u64::try_from(content_length).ok();
            code(transport.send_head(status, Headers { pairs }, length))
        })
    }

    unsafe extern "C" fn send_data(
        context: *mut c_void,
        blocks: *const Bytes,
        blocks_len: usize,
        flags: u32,
    ) -> c_int {
        guard(SEND_FAILED, || {
            // SAFETY: as in `read_body`.
            let transport = unsafe { Self::transport(context) };
            // SAFETY: the runtime lends that many blocks for the call.
            let blocks = unsafe { slice(blocks, blocks_len) };
            code(transport.send_data(Blocks { blocks }, flags))
        })
    }

    unsafe extern "C" fn under_way(context: *mut c_void) {
        guard((), || {
            // SAFETY: as in `read_body`.
            let transport = unsafe { Self::transport(context) };
            transport.under_way();
        });
    }

    unsafe extern "C" fn hold_data(context: *mut c_void, block: Bytes) -> c_int {
        guard(0, || {
            // SAFETY: as in `read_body`.
            let transport = unsafe { Self::transport(context) };
            // SAFETY: the runtime lends the block for the call.
            let block = unsafe { block.get() }.unwrap_or_default();
            c_int::from(transport.hold_data(block))
        })
    }

    unsafe extern "C" fn send_file(
        context: *mut c_void,
        descriptor: c_int,
        offset: i64,
        len: i64,
        flags: u32,
    ) -> c_int {
        guard(SEND_FAILED, || {
            let (Ok(offset), Ok(len)) = (u64::try_from(offset), u64::try_from(len)) else {
                return SEND_FAILED;
            };
            if descriptor < 0 {
                return SEND_FAILED;
            }
            // SAFETY: as in `read_body`.
            let transport = unsafe { Self::transport(context) };
            // SAFETY: not -1, and the runtime keeps the file open during the call.
            let file = unsafe { BorrowedFd::borrow_raw(descriptor) };
            code(transport.send_file(file, offset, len, flags))
        })
    }

    unsafe extern "C" fn log(context: *mut c_void, level: c_int, flags: u32, text: Bytes) {
        guard((), || {
            // SAFETY: as in `read_body`.
            let transport = unsafe { Self::transport(context) };
            // SAFETY: the runtime lends the text for the call.
            let text = unsafe { text.get() }.unwrap_or_default();
            transport.log(httpd_level(level), flags, text);
        });
    }

    unsafe extern "C" fn log_enabled(context: *mut c_void, level: c_int) -> c_int {
        guard(1, || {
            // SAFETY: as in `read_body`.
            let transport = unsafe { Self::transport(context) };
            c_int::from(transport.log_enabled(httpd_level(level)))
        })
    }

    unsafe extern "C" fn tls_variable(context: *mut c_void, name: Bytes) -> Bytes {
        guard(Bytes::NONE, || {
            // SAFETY: as in `read_body`.
            let transport = unsafe { Self::transport(context) };
            // SAFETY: the runtime lends the name for the call.
            let name = unsafe { name.get() }.unwrap_or_default();
            transport.tls_variable(name).map_or(Bytes::NONE, Bytes::of)
        })
    }

    unsafe extern "C" fn last_error(context: *mut c_void) -> Bytes {
        guard(Bytes::NONE, || {
            // SAFETY: as in `read_body`.
            let transport = unsafe { Self::transport(context) };
            transport.last_error().map_or(Bytes::NONE, Bytes::of)
        })
    }
}

fn code(result: Result<(), SendError>) -> c_int {
    match result {
        Ok(()) => SENT,
        Err(SendError::Gone) => CLIENT_GONE,
        Err(SendError::Failed) => SEND_FAILED,
    }
}

#[cfg(test)]
mod tests;
