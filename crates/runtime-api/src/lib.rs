//! The C table between a Python *runtime* (`python3.X.so`) and the process that loads it: an Apache child (embedded mode)
//! or a daemon.
//!
//! One engine serves both: the host describes a request as a [`RequestView`] and lends a [`TransportTable`] over which
//! the engine reads the body and sends the answer. Everything that crosses is `#[repr(C)]` or bytes; settings travel as
//! the encoded [`wsgi_core::python::PythonSettings`], because both sides are built from the same `wsgi-core` (checked by
//! [`ABI_VERSION`]).
//!
//! Promises to both sides: nothing that crosses outlives the call it was passed to, unless its documentation says so;
//! no panic crosses. [`runtime::Runtime`] is the safe half for the host, [`engine`] the safe half for the runtime.
#![allow(unsafe_code)] // the table itself: raw pointers in, references and slices out, each checked once

pub mod body;
pub mod discover;
pub mod engine;
pub mod hook;
pub mod host;
pub mod python;
pub mod runtime;

use std::ffi::{c_int, c_void};

pub use hook::{HookOutcome, HookView};

/// Version of everything in this crate and of the types of `wsgi-core` that cross it. Both sides refuse another one.
pub const ABI_VERSION: u32 = 9;

/// Name of the only symbol that a runtime exports: `extern "C" fn() -> *const RuntimeTable`.
pub const ENTRY_SYMBOL: &str = "mod_wsgi_runtime";

/// Borrowed bytes. A null `ptr` means "no value" (None), which differs from an empty value.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Bytes {
    /// First byte, or null for "no value".
    pub ptr: *const u8,
    /// Length in bytes; 0 where `ptr` is null.
    pub len: usize,
}

/// A name and a value, of the environ or of a response header. A null value is `None` in the environ (ENV-24).
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Pair {
    /// Name; never null.
    pub name: Bytes,
    /// Value; null for "no value".
    pub value: Bytes,
}

/// `RequestView::flags`: Apache serves the request over TLS, or a trusted proxy says so (ENV-42).
pub const REQUEST_HTTPS: u32 = 1 << 0;
/// `RequestView::flags`: WSGIScriptReloading is on (REQ-610).
pub const REQUEST_SCRIPT_RELOADING: u32 = 1 << 1;
/// `RequestView::flags`: the process is a daemon: a changed script means [`Outcome::Reload`], not a reload in place (REQ-621).
pub const REQUEST_DAEMON: u32 = 1 << 2;
/// `RequestView::flags`: WSGIIgnoreActivity is on (DP-99).
pub const REQUEST_IGNORE_ACTIVITY: u32 = 1 << 3;
/// `RequestView::flags`: the client's method was HEAD, so no byte of a body will be sent.
pub const REQUEST_HEAD: u32 = 1 << 4;
/// `RequestView::flags`: `script_filename` is no path but a module, `module:NAME`, which the configuration alone has chosen.
pub const REQUEST_MODULE: u32 = 1 << 5;
/// `RequestView::flags`: WSGIScriptReloading is `Modules`.
pub const REQUEST_MODULE_RELOADING: u32 = 1 << 6;
/// `RequestView::flags`: the name of the interpreter is made of data of the client, so it is refused where a process has made
/// many for such names ([`Outcome::TooManyInterpreters`]; XPN-07).
pub const REQUEST_CLIENT_GROUP: u32 = 1 << 7;

/// A request, as the host describes it to the engine. All pointers are valid for the call of `handle` only.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct RequestView {
    /// The string entries of the environ, in the order of spec request.md section 3, final (proxy headers applied,
    /// `HTTPS` and `PATH` removed), including the string keys `mod_wsgi.*`. The engine adds `wsgi.*`, the tuples,
    /// floats and ints (ENV-40 to ENV-60).
    pub environ: *const Pair,
    /// Number of entries of `environ`.
    pub environ_len: usize,
    /// Interpreter; empty is the main one.
    pub application_group: Bytes,
    /// Attribute of the script to call; `application` by default (DIR-031).
    pub callable_object: Bytes,
    /// File that the URL mapped to (SCRIPT_FILENAME), as bytes of the file system.
    pub script_filename: Bytes,
    /// Handler script to load instead of `script_filename`; empty if none (REQ-650).
    pub handler_script: Bytes,
    /// `REQUEST_*`.
    pub flags: u32,
    /// Ordinal of the worker thread in its process, from 1 (ENV-60).
    pub thread_id: u32,
    /// Pid of the Apache child that accepted the request.
    pub server_pid: u32,
    /// Connects needed to reach the daemon; 0 embedded (DMN-215).
    pub daemon_connects: u32,
    /// Reload rejections seen on the way; 0 embedded (DMN-233).
    pub daemon_restarts: u32,
    /// Microseconds since the epoch: Apache's time of the request.
    pub request_start: i64,
    /// Microseconds since the epoch: before the first connect; 0 embedded.
    pub queue_start: i64,
    /// Microseconds since the epoch: picked up in the daemon; 0 embedded.
    pub daemon_start: i64,
    /// Address of the client as httpd knows it, for telemetry (TEL-170); null in daemons, where the environ says it.
    pub useragent_ip: Bytes,
    /// Host that the client named, as httpd knows it, for telemetry (TEL-167); null in daemons, and where it named none.
    pub hostname: Bytes,
    /// Apache's `request_rec`, for the capsule `apache.request_rec` (ENV-61); null where there is to be none.
    pub apache_request: *mut c_void,
}

/// `SendData::flags`: the client should get what was sent so far now (an item of an iterable, `write`).
pub const SEND_FLUSH: u32 = 1 << 0;
/// `SendData::flags`: no more data follows; the answer is complete with this block.
pub const SEND_LAST: u32 = 1 << 1;
/// `SendData::flags`, with [`SEND_LAST`]: no Python code runs for this request any more, so the worker is free in a moment.
pub const SEND_NOTHING_AFTER: u32 = 1 << 2;

/// Return value of the sending functions: sent.
pub const SENT: c_int = 0;
/// Return value of the sending functions: the client (or the child) is gone. Nothing more can be sent (REQ-490).
pub const CLIENT_GONE: c_int = -1;
/// Return value of the sending functions: another failure; `last_error` says which.
pub const SEND_FAILED: c_int = -2;

/// Return value of `read_body`: the connection was terminated before the end of the body.
pub const READ_ABORTED: isize = -1;
/// Return value of `read_body`: another failure; `last_error` says which.
pub const READ_FAILED: isize = -2;

/// What the host lends to the engine for one request. Called from the thread that called `handle`, without the GIL.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct TransportTable {
    /// Reads at most `len` bytes of the request body to `buffer`; blocks until at least one byte is there. 0 is the end
    /// of the body, negative a `READ_*`. A call with `len` 0 reads nothing but asks a waiting client for its body
    /// (`100 Continue`, REQ-322), and returns 0.
    pub read_body: unsafe extern "C" fn(context: *mut c_void, buffer: *mut u8, len: usize) -> isize,
    /// Hands over the status line (`200 OK`) and the headers, once, before any data. The host copies what it keeps and
    /// may send it together with the first data. `content_length` is the value of the header, -1 if there is none.
    pub send_head: unsafe extern "C" fn(
        context: *mut c_void,
        status: Bytes,
        headers: *const Pair,
        headers_len: usize,
        content_length: i64,
    ) -> c_int,
    /// Sends blocks of the body, in order. The blocks are not used after the call. `blocks_len` may be 0 (with SEND_LAST:
    /// an empty body).
    pub send_data: unsafe extern "C" fn(
        context: *mut c_void,
        blocks: *const Bytes,
        blocks_len: usize,
        flags: u32,
    ) -> c_int,
    /// The request has the GIL, or is about to wait for something that others do not wait for: from here on another thread looks out
    /// for requests in place of this one. Never waits; may be called again, which changes nothing.
    pub under_way: unsafe extern "C" fn(context: *mut c_void),
    /// Keeps a block that completes the Content-Length of its answer while Python code may go on for a moment: it leaves with what
    /// is sent next, or by itself soon. The bytes are not used after the call. Never waits, so that it may be called with the
    /// GIL. 0 if the block was not taken, and has to be sent.
    pub hold_data: unsafe extern "C" fn(context: *mut c_void, block: Bytes) -> c_int,
    /// Sends `len` bytes of a regular file from `offset`. The host duplicates the descriptor if it keeps it, and does not
    /// move its position. Takes the `SEND_*` flags of `send_data`.
    pub send_file: unsafe extern "C" fn(
        context: *mut c_void,
        descriptor: c_int,
        offset: i64,
        len: i64,
        flags: u32,
    ) -> c_int,
    /// One record for the request's error log, without line end. `level` is httpd's (3 error, 6 info, 7 debug, 8 trace1).
    /// `FLAG_REPORT_LINE` in `flags` marks a line that follows its header line without a script prefix (REQ-800).
    pub log: unsafe extern "C" fn(context: *mut c_void, level: c_int, flags: u32, text: Bytes),
    /// Whether a record of this level (httpd's) would be written: the request's own LogLevel, where it is known.
    pub log_enabled: unsafe extern "C" fn(context: *mut c_void, level: c_int) -> c_int,
    /// Text of the last failure of a read or send, valid until the next call of the table; null if there was none.
    pub last_error: unsafe extern "C" fn(context: *mut c_void) -> Bytes,
    /// Value of a variable of mod_ssl, valid until the next call of the table; null without mod_ssl. For hooks only.
    pub tls_variable: unsafe extern "C" fn(context: *mut c_void, name: Bytes) -> Bytes,
}

/// `log` flags: the record continues a report, so it carries no `[script …]` prefix (REQ-800).
pub const LOG_CONTINUATION: u32 = 1 << 0;
/// `log` flags: `text` starts with its `WSGInnnn: ` code, which goes before the script prefix (REQ-807, WSGI0174).
pub const LOG_CODE_FIRST: u32 = 1 << 1;

/// What the process lends to the runtime for its whole life. May be called from any thread, with or without the GIL.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct HostTable {
    /// [`ABI_VERSION`] of the host.
    pub abi_version: u32,
    /// One record for the process's error log (no request). Must not block for long. What stands before a NUL is the record's
    /// source (`wsgi_core::record`); so it is in records of requests.
    pub log: unsafe extern "C" fn(level: c_int, text: Bytes),
    /// Whether records of this level (httpd's) for module `wsgi` are written at all.
    pub log_enabled: unsafe extern "C" fn(level: c_int) -> c_int,
    /// Input was read or output written for a request that counts as activity (DP-99). No-op embedded.
    pub activity: unsafe extern "C" fn(),
    /// Apache's scoreboard: hands an encoded [`wsgi_core::scoreboard::Scoreboard`] to `put`, once, with `sink`; does nothing
    /// where this process may not know it, or cannot be told. May wait for another process: not with the GIL held.
    pub server_metrics: unsafe extern "C" fn(put: Put, sink: *mut c_void),
    /// A script or module was loaded, for whichever interpreter; ends startup-timeout (DMN-450). No-op embedded.
    pub script_loaded: unsafe extern "C" fn(),
}

/// Takes bytes, which are valid for the call.
pub type Put = unsafe extern "C" fn(sink: *mut c_void, bytes: Bytes);

/// How a call of `handle` ended. The host turns it into a status or, where the head was sent, into an end of the answer.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The whole answer was sent.
    Complete = 0,
    /// The application failed before anything was sent: 500 (REQ-465). Already logged.
    Failed = 1,
    /// The application failed, or sent fewer bytes than its Content-Length, after the head was sent: the answer is cut
    /// short and the client connection has to be aborted (REQ-466). Already logged.
    CutShort = 2,
    /// The script has no callable of that name: 404 (WSGI0089). Already logged.
    NotFound = 3,
    /// The interpreter could not be had: 500 (WSGI0087). Already logged.
    Unavailable = 4,
    /// Only with REQUEST_DAEMON: the script changed, nothing was executed or read (REQ-621).
    Reload = 5,
    /// `mod_wsgi.RequestTimeout` reached the engine before the head was sent: 504 (REQ-481).
    TimedOut = 6,
    /// The client was gone when something was sent; not an error (REQ-490).
    Aborted = 7,
    /// As `Failed`, because an extension module works in the main interpreter only (WSGI5220): 500, and the page says so.
    MainOnly = 8,
    /// With REQUEST_CLIENT_GROUP: the process has made as many interpreters for names of clients as it may: 503 (XPN-07).
    /// Already logged.
    TooManyInterpreters = 9,
}

/// Result of `start` and `load`: done.
pub const STARTED: c_int = 0;
/// Result of `start`: Python could not be initialised or its main interpreter not set up; the cause was logged
/// (WSGI0036, WSGI0035). The process must not call `handle`.
pub const START_FAILED: c_int = 1;
/// Result of `load`: the script failed, which was logged; the process goes on.
pub const LOAD_FAILED: c_int = 2;

/// What a runtime offers. Lives as long as the library, which is never unloaded.
#[repr(C)]
pub struct RuntimeTable {
    /// [`ABI_VERSION`] of the runtime. Checked before anything else of the table is read.
    pub abi_version: u32,
    /// `PY_VERSION_HEX` that the runtime was built for.
    pub python_version: u32,
    /// 1 for a free-threaded build.
    pub free_threaded: u32,
    /// Initialises Python in this process, on its main thread, once, never in the Apache parent. `settings` is an encoded
    /// [`wsgi_core::python::PythonSettings`]. Returns without the GIL held.
    pub start: unsafe extern "C" fn(settings: Bytes, host: *const HostTable) -> c_int,
    /// Loads a script outside of any request (WSGIImportScript, preload), on the main thread, after `start`.
    pub load: unsafe extern "C" fn(script: Bytes, application_group: Bytes) -> c_int,
    /// Starts telemetry's reporter where WSGITelemetryService is set (TEL-010), on the main thread, after everything was loaded and
    /// before the first `handle`. Does nothing otherwise.
    pub start_reporting: unsafe extern "C" fn(),
    /// Runs a request on the calling thread. `request` and `transport` are valid for the call.
    pub handle: unsafe extern "C" fn(
        request: *const RequestView,
        transport: *const TransportTable,
        context: *mut c_void,
    ) -> Outcome,
    /// The times of the files that the request's script or module was read from, as one number: another one when one of them
    /// was changed again. Any thread, needs no GIL.
    pub stamp: unsafe extern "C" fn(request: *const RequestView) -> u64,
    /// Calls functions of a hook script on the calling thread; `hook` and `transport`, of which only log and TLS variables are used, are valid
    /// for the call. Values go to `answer`.
    pub hook: unsafe extern "C" fn(
        hook: *const HookView,
        transport: *const TransportTable,
        context: *mut c_void,
        answer: hook::Answer,
        sink: *mut c_void,
    ) -> HookOutcome,
    /// Publishes `process_stopping` with `reason` (DMN-530; empty embedded) in every interpreter. On the main thread.
    pub publish_stopping: unsafe extern "C" fn(reason: Bytes),
    /// Tells telemetry's consumer that the process has decided to end (TEL-050), also where Python is blocked. Any thread, needs no
    /// GIL; never waits for another thread for long.
    pub report_stopping: unsafe extern "C" fn(reason: Bytes),
    /// Tells telemetry's consumer that the process ends by force, for `reason`, unless it was told of its end already (TEL-051). Any
    /// thread, needs no GIL; never waits for another thread for long.
    pub report_forced_end: unsafe extern "C" fn(reason: Bytes),
    /// Ends telemetry's reporter (TEL-050). Destroys interpreters and finalises Python (API-060), unless the settings say not to
    /// (WSGIDestroyInterpreter Off).
    /// On the main thread, when no `handle` is running; nothing else may be called afterwards.
    pub stop: unsafe extern "C" fn(),
    /// Seconds (rounded up) since the GIL of the main interpreter was last seen free are for the clock thread: tries to take
    /// and release it and returns when it had it. Blocks as long as the GIL is held. Any thread.
    pub probe: unsafe extern "C" fn(),
    /// Logs the Python stacks of the threads that run requests at level info (DMN-432). Any thread, takes the GIL.
    pub dump_stacks: unsafe extern "C" fn(),
    /// Raises `mod_wsgi.RequestTimeout` in the request that worker `thread_id` is running (DMN-433). 1 if it was raised,
    /// 0 if that worker runs no application. Any thread, takes the GIL.
    pub interrupt: unsafe extern "C" fn(thread_id: u32) -> c_int,
    /// Delivers a signal (`SIGHUP`, `SIGUSR2`) to the subscribers of every interpreter (API-330). Any thread.
    pub publish_signal: unsafe extern "C" fn(name: Bytes, number: c_int),
    /// Ends worker threads' Python thread states: to be called by each thread that called `handle`, before it ends.
    pub leave_thread: unsafe extern "C" fn(),
}

// SAFETY: the table holds plain numbers and function pointers and is never written after it was made.
unsafe impl Sync for RuntimeTable {}

impl Bytes {
    /// "No value".
    pub const NONE: Bytes = Bytes {
        ptr: std::ptr::null(),
        len: 0,
    };

    /// Borrows `bytes` for a call.
    pub const fn of(bytes: &[u8]) -> Bytes {
        Bytes {
            ptr: bytes.as_ptr(),
            len: bytes.len(),
        }
    }

    /// The bytes, or None for "no value".
    ///
    /// # Safety
    /// The bytes must be valid and unchanged for `'a`: the time of the call they were passed to.
    pub unsafe fn get<'a>(self) -> Option<&'a [u8]> {
        if self.ptr.is_null() {
            return None;
        }
        // SAFETY: not null, and the caller vouches for the length and the lifetime.
        Some(unsafe { std::slice::from_raw_parts(self.ptr, self.len) })
    }
}

/// A slice that may be empty with a null pointer, as C has it.
///
/// # Safety
/// If `len` is not 0, `first` points to that many values, valid for `'a`.
unsafe fn slice<'a, T>(first: *const T, len: usize) -> &'a [T] {
    if len == 0 || first.is_null() {
        return &[];
    }
    // SAFETY: as above.
    unsafe { std::slice::from_raw_parts(first, len) }
}

/// The string entries of an environ, in order; None is a variable without value (ENV-24).
///
/// # Safety
/// If `len` is not 0, `first` points to that many pairs, which are valid for `'a`, with all that they point to.
unsafe fn entries<'a>(
    first: *const Pair,
    len: usize,
) -> impl ExactSizeIterator<Item = (&'a [u8], Option<&'a [u8]>)> {
    // SAFETY: a caller's promise.
    let pairs: &'a [Pair] = unsafe { slice(first, len) };
    pairs.iter().map(|pair| {
        // SAFETY: a caller's promise.
        let name = unsafe { pair.name.get() }.unwrap_or_default();
        // SAFETY: as above.
        (name, unsafe { pair.value.get() })
    })
}
