//! The runtime's half of the table: the borrowed [`Request`] and [`Transport`] with safe methods, the [`HostCalls`] of the
//! process, and [`table`], which builds the [`RuntimeTable`] of an [`Engine`].
//!
//! Promises: pointers of the host are checked once, here, and become references for the time of the call; every entry
//! runs behind a guard, so that a panic of the engine becomes the failure value of the call and a log record, never an
//! unwinding into the host. Entries are called from the threads that [`RuntimeTable`] names.

use std::any::Any;
use std::ffi::{c_int, c_void};
use std::marker::PhantomData;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::NonNull;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use wsgi_core::python::PythonSettings;
use wsgi_core::scoreboard::Scoreboard;

use crate::hook::{Answer, Hook};
use crate::host::{ReadError, SendError};
use crate::{
    ABI_VERSION, Bytes, CLIENT_GONE, HookOutcome, HookView, HostTable, LOAD_FAILED, LOG_CODE_FIRST,
    Outcome, Pair, READ_ABORTED, REQUEST_DAEMON, REQUEST_HEAD, REQUEST_HTTPS,
    REQUEST_IGNORE_ACTIVITY, REQUEST_MODULE, REQUEST_MODULE_RELOADING, REQUEST_SCRIPT_RELOADING,
    RequestView, RuntimeTable, SENT, START_FAILED, STARTED, TransportTable,
};

/// httpd's level `crit`.
const CRITICAL: c_int = 2;
/// httpd's level `error`.
const ERROR: c_int = 3;

/// What a runtime does: the entries of the table as safe functions. Threads are those of [`RuntimeTable`].
pub trait Engine: 'static {
    /// `PY_VERSION_HEX` that it was built for.
    const PYTHON_VERSION: u32;
    /// Whether that is a free-threaded build.
    const FREE_THREADED: bool;

    /// Initialises Python; false if it failed, which was logged.
    fn start(settings: PythonSettings, host: HostCalls) -> bool;
    /// Loads a script outside of requests; false if it failed, which was logged.
    fn load(script: &[u8], application_group: &[u8]) -> bool;
    /// Runs a request.
    fn handle(request: &Request<'_>, transport: Transport<'_>) -> Outcome;
    /// The times of the files of its script or module, as one number.
    fn stamp(request: &Request<'_>) -> u64;
    /// Calls functions of a hook script.
    fn hook(hook: Hook<'_>, transport: Transport<'_>) -> HookOutcome;
    /// Publishes `process_stopping`.
    fn publish_stopping(reason: &str);
    /// Finalises Python.
    fn stop();
    /// Takes and releases the GIL of the main interpreter.
    fn probe();
    /// Logs the stacks of the threads that run requests.
    fn dump_stacks();
    /// Raises `RequestTimeout` in a worker; whether it was raised.
    fn interrupt(thread_id: u32) -> bool;
    /// Publishes `process_signal`.
    fn publish_signal(name: &str, number: i32);
    /// Ends the calling thread's Python thread states.
    fn leave_thread();
}

/// A request during `handle`.
#[derive(Clone, Copy)]
pub struct Request<'r> {
    view: &'r RequestView,
}

impl<'r> Request<'r> {
    /// The string entries of the environ, in order; None is a variable without value (ENV-24).
    pub fn environ(&self) -> impl ExactSizeIterator<Item = (&'r [u8], Option<&'r [u8]>)> + use<'r> {
        // SAFETY: the host lends that many pairs for the call, which `'r` does not exceed.
        let pairs: &'r [Pair] = unsafe { slice(self.view.environ, self.view.environ_len) };
        // SAFETY: and so it does the bytes that they point to.
        pairs
            .iter()
            .map(|pair| (field(pair.name), unsafe { pair.value.get() }))
    }

    /// Interpreter; empty is the main one.
    pub fn application_group(&self) -> &'r [u8] {
        field(self.view.application_group)
    }

    /// Name of the callable in the script.
    pub fn callable_object(&self) -> &'r [u8] {
        field(self.view.callable_object)
    }

    /// File that the URL mapped to.
    pub fn script_filename(&self) -> &'r [u8] {
        field(self.view.script_filename)
    }

    /// The file to load: the handler script if there is one, else the file that the URL mapped to.
    pub fn script(&self) -> &'r [u8] {
        let handler = field(self.view.handler_script);
        if handler.is_empty() {
            self.script_filename()
        } else {
            handler
        }
    }

    /// Whether the URL's scheme is https (ENV-42).
    pub fn is_https(&self) -> bool {
        self.has(REQUEST_HTTPS)
    }

    /// Whether changed scripts are to be noticed (REQ-610).
    pub fn reloads_scripts(&self) -> bool {
        self.has(REQUEST_SCRIPT_RELOADING)
    }

    /// Name of the module to import in place of a script file; None for a file.
    pub fn module(&self) -> Option<&'r [u8]> {
        let script = self.has(REQUEST_MODULE).then(|| self.script_filename())?;
        script.strip_prefix(b"module:")
    }

    /// Whether changes of other modules of its package are to be noticed, too.
    pub fn reloads_modules(&self) -> bool {
        self.has(REQUEST_MODULE_RELOADING)
    }

    /// Whether a changed script means [`Outcome::Reload`] (REQ-621).
    pub fn is_in_daemon(&self) -> bool {
        self.has(REQUEST_DAEMON)
    }

    /// Whether reads and writes count as activity (DP-99).
    pub fn counts_as_activity(&self) -> bool {
        !self.has(REQUEST_IGNORE_ACTIVITY)
    }

    /// Whether the client asked for the head only.
    pub fn is_head(&self) -> bool {
        self.has(REQUEST_HEAD)
    }

    /// Ordinal of this worker thread, from 1.
    pub fn thread_id(&self) -> u32 {
        self.view.thread_id
    }

    /// Pid of the child that accepted the request.
    pub fn server_pid(&self) -> u32 {
        self.view.server_pid
    }

    /// Connects needed to reach the daemon.
    pub fn daemon_connects(&self) -> u32 {
        self.view.daemon_connects
    }

    /// Reload rejections on the way.
    pub fn daemon_restarts(&self) -> u32 {
        self.view.daemon_restarts
    }

    /// Apache's time of the request, seconds since the epoch.
    pub fn request_start(&self) -> f64 {
        seconds(self.view.request_start)
    }

    /// Time before the first connect, seconds since the epoch; 0 embedded.
    pub fn queue_start(&self) -> f64 {
        seconds(self.view.queue_start)
    }

    /// Time of the pick-up in the daemon, seconds since the epoch; 0 embedded.
    pub fn daemon_start(&self) -> f64 {
        seconds(self.view.daemon_start)
    }

    /// Apache's request, if the application is to have it.
    pub fn apache_request(&self) -> Option<NonNull<c_void>> {
        NonNull::new(self.view.apache_request)
    }

    fn has(&self, flag: u32) -> bool {
        self.view.flags & flag != 0
    }
}

/// Microseconds to seconds, as Python shows times.
fn seconds(microseconds: i64) -> f64 {
    // Exact up to the year 2255: 53 bits of microseconds.
    #[expect(
        clippy::cast_precision_loss,
        reason = "microseconds since the epoch fit 53 bits"
    )]
    let exact = microseconds as f64;
    exact / 1e6
}

fn field<'r>(bytes: Bytes) -> &'r [u8] {
    // SAFETY: only called with bytes of a RequestView, by methods whose result does not outlive the view's call.
    unsafe { bytes.get() }.unwrap_or_default()
}

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
    table: &'t TransportTable,
    context: *mut c_void,
    /// Of the guard in `handle`, which has to know how far the answer was when the engine panicked.
    head_sent: &'t AtomicBool,
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

/// The functions that the process lends for its whole life. Any thread.
#[derive(Clone, Copy)]
pub struct HostCalls {
    table: &'static HostTable,
}

impl HostCalls {
    /// One record for the process's error log.
    pub fn log(self, level: c_int, text: &[u8]) {
        // SAFETY: the table is valid for the life of the process; the text lives during the call.
        unsafe { (self.table.log)(level, Bytes::of(text)) };
    }

    /// Whether records of this level are written.
    pub fn log_enabled(self, level: c_int) -> bool {
        // SAFETY: the table is valid for the life of the process.
        unsafe { (self.table.log_enabled)(level) != 0 }
    }

    /// Input was read or output written.
    pub fn activity(self) {
        // SAFETY: the table is valid for the life of the process.
        unsafe { (self.table.activity)() };
    }

    /// A script or module was loaded.
    pub fn script_loaded(self) {
        // SAFETY: the table is valid for the life of the process.
        unsafe { (self.table.script_loaded)() };
    }

    /// Apache's scoreboard; None where there is none for this process. May wait for another process: not with the GIL held.
    pub fn server_metrics(self) -> Option<Scoreboard> {
        let mut bytes: Option<Vec<u8>> = None;
        // SAFETY: the table is valid for the life of the process; `put` gets the sink that it is for, which lives during the call.
        unsafe { (self.table.server_metrics)(put, (&raw mut bytes).cast()) };
        Scoreboard::decode(&bytes?)
    }
}

/// Keeps a copy of the bytes in the sink of [`HostCalls::server_metrics`].
///
/// # Safety
/// `sink` is that sink; the bytes are valid for the call.
unsafe extern "C" fn put(sink: *mut c_void, bytes: Bytes) {
    // SAFETY: a caller's promise.
    let sink = unsafe { &mut *sink.cast::<Option<Vec<u8>>>() };
    // SAFETY: a caller's promise.
    *sink = unsafe { bytes.get() }.map(<[u8]>::to_vec);
}

/// The host's functions, for the guards: set by `start`.
static HOST: OnceLock<HostCalls> = OnceLock::new();

/// The table of an engine.
pub const fn table<E: Engine>() -> RuntimeTable {
    RuntimeTable {
        abi_version: ABI_VERSION,
        python_version: E::PYTHON_VERSION,
        free_threaded: E::FREE_THREADED as u32,
        start: start::<E>,
        load: load::<E>,
        handle: handle::<E>,
        stamp: stamp::<E>,
        hook: hook::<E>,
        publish_stopping: publish_stopping::<E>,
        stop: stop::<E>,
        probe: probe::<E>,
        dump_stacks: dump_stacks::<E>,
        interrupt: interrupt::<E>,
        publish_signal: publish_signal::<E>,
        leave_thread: leave_thread::<E>,
    }
}

unsafe extern "C" fn start<E: Engine>(settings: Bytes, host: *const HostTable) -> c_int {
    // SAFETY: the host lends its table for the life of the process.
    let Some(table) = (unsafe { host.as_ref() }) else {
        return START_FAILED;
    };
    if table.abi_version != ABI_VERSION {
        return START_FAILED;
    }
    let host = *HOST.get_or_init(|| HostCalls { table });
    let started = guard("start", false, || {
        match PythonSettings::decode(field(settings)) {
            Ok(settings) => E::start(settings, host),
            Err(error) => {
                let text = format!(
                    "WSGI5071: The settings of Python cannot be read ({error}): install module, daemon and runtimes \
                     from one release"
                );
                host.log(CRITICAL, text.as_bytes());
                false
            }
        }
    });
    if started { STARTED } else { START_FAILED }
}

unsafe extern "C" fn load<E: Engine>(script: Bytes, application_group: Bytes) -> c_int {
    let loaded = guard("load", false, || {
        E::load(field(script), field(application_group))
    });
    if loaded { STARTED } else { LOAD_FAILED }
}

unsafe extern "C" fn handle<E: Engine>(
    request: *const RequestView,
    transport: *const TransportTable,
    context: *mut c_void,
) -> Outcome {
    // SAFETY: the host lends the view for the call.
    let Some(view) = (unsafe { request.as_ref() }) else {
        return Outcome::Failed;
    };
    // SAFETY: and the table.
    let Some(table) = (unsafe { transport.as_ref() }) else {
        return Outcome::Failed;
    };
    let head_sent = AtomicBool::new(false);
    let transport = Transport {
        table,
        context,
        head_sent: &head_sent,
    };
    let call = AssertUnwindSafe(|| E::handle(&Request { view }, transport));
    catch_unwind(call).unwrap_or_else(|panic| {
        let text = panic_text("handle", &*panic);
        // SAFETY: the context is valid until this function returns.
        unsafe { (table.log)(context, ERROR, LOG_CODE_FIRST, Bytes::of(text.as_bytes())) };
        if head_sent.load(Ordering::Relaxed) {
            Outcome::CutShort
        } else {
            Outcome::Failed
        }
    })
}

unsafe extern "C" fn stamp<E: Engine>(request: *const RequestView) -> u64 {
    // SAFETY: the host lends the view for the call.
    let Some(view) = (unsafe { request.as_ref() }) else {
        return 0;
    };
    guard("stamp", 0, || E::stamp(&Request { view }))
}

unsafe extern "C" fn hook<E: Engine>(
    hook: *const HookView,
    transport: *const TransportTable,
    context: *mut c_void,
    answer: Answer,
    sink: *mut c_void,
) -> HookOutcome {
    // SAFETY: the host lends the view for the call.
    let Some(view) = (unsafe { hook.as_ref() }) else {
        return HookOutcome::Unavailable;
    };
    // SAFETY: and the table.
    let Some(table) = (unsafe { transport.as_ref() }) else {
        return HookOutcome::Unavailable;
    };
    let head_sent = AtomicBool::new(false);
    let transport = Transport {
        table,
        context,
        head_sent: &head_sent,
    };
    // SAFETY: the host's, for this call.
    let hook = unsafe { Hook::new(view, answer, sink) };
    guard("hook", HookOutcome::Raised, || E::hook(hook, transport))
}

unsafe extern "C" fn publish_stopping<E: Engine>(reason: Bytes) {
    guard("publish_stopping", (), || {
        E::publish_stopping(&String::from_utf8_lossy(field(reason)))
    });
}

unsafe extern "C" fn stop<E: Engine>() {
    guard("stop", (), E::stop);
}

unsafe extern "C" fn probe<E: Engine>() {
    guard("probe", (), E::probe);
}

unsafe extern "C" fn dump_stacks<E: Engine>() {
    guard("dump_stacks", (), E::dump_stacks);
}

unsafe extern "C" fn interrupt<E: Engine>(thread_id: u32) -> c_int {
    guard("interrupt", 0, || c_int::from(E::interrupt(thread_id)))
}

unsafe extern "C" fn publish_signal<E: Engine>(name: Bytes, number: c_int) {
    guard("publish_signal", (), || {
        E::publish_signal(&String::from_utf8_lossy(field(name)), number);
    });
}

unsafe extern "C" fn leave_thread<E: Engine>() {
    guard("leave_thread", (), E::leave_thread);
}

/// Runs an entry's body; a panic is logged and becomes `on_panic`.
fn guard<R>(entry: &str, on_panic: R, body: impl FnOnce() -> R) -> R {
    catch_unwind(AssertUnwindSafe(body)).unwrap_or_else(|panic| {
        if let Some(host) = HOST.get() {
            host.log(CRITICAL, panic_text(entry, &*panic).as_bytes());
        }
        on_panic
    })
}

fn panic_text(entry: &str, panic: &(dyn Any + Send)) -> String {
    let text = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no text");
    format!("WSGI5070: Internal error of the Python runtime in '{entry}': {text}")
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
