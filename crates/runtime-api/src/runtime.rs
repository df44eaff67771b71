//! The host's half of the table: a runtime that was loaded, with safe methods.
//!
//! Promises: the table's version is checked before anything else of it is read; a runtime is never unloaded, because Python's threads and static objects live in it. An Apache
//! child and a daemon use it alike; never the httpd parent.

use std::ffi::c_void;
use std::fmt;
use std::marker::PhantomData;
use std::path::{Path, PathBuf};
use std::ptr::{self, NonNull};
use std::sync::OnceLock;
use std::thread::ThreadId;

use libloading::os::unix::{Library, RTLD_GLOBAL, RTLD_NOW};
use wsgi_core::python::PythonSettings;

use crate::discover::Version;
use crate::hook::{Call, HookOutcome, Value};
use crate::host::{Adapter, Calls, Host, Transport};
use crate::python::{self, PythonError};
use crate::{ABI_VERSION, Bytes, ENTRY_SYMBOL, Outcome, Pair, RequestView, RuntimeTable, STARTED};

/// Why a runtime cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RuntimeError {
    /// dlopen failed: missing file, or a library that it needs.
    #[error("cannot load the Python runtime '{}': {text}", path.display())]
    Load {
        /// Its path.
        path: PathBuf,
        /// What the dynamic linker said.
        text: String,
    },
    /// It takes Python from the process, which has none that it could take.
    #[error("the Python runtime '{}': {source}", path.display())]
    Python {
        /// Its path.
        path: PathBuf,
        /// What is wrong.
        source: Box<PythonError>,
    },
    /// A library, but no runtime.
    #[error("'{}' is not a Python runtime of mod_wsgi-rs: it has no symbol {ENTRY_SYMBOL}", path.display())]
    NoEntry {
        /// Its path.
        path: PathBuf,
    },
    /// From another build.
    #[error(
        "the Python runtime '{}' has interface version {found}, needed is {ABI_VERSION}: install module, daemon and runtimes from one release",
        path.display()
    )]
    Version {
        /// Its path.
        path: PathBuf,
        /// Its version.
        found: u32,
    },
    /// `start` was called before in this process.
    #[error("the Python runtime '{}' is running already", path.display())]
    Running {
        /// Its path.
        path: PathBuf,
    },
    /// Python could not be initialised or its main interpreter not set up; the cause was logged by the runtime.
    #[error("the Python runtime '{}' could not start", path.display())]
    Start {
        /// Its path.
        path: PathBuf,
    },
    /// Called from another thread than the one that started Python.
    #[error("only the thread that started Python may do this")]
    Thread,
}

/// Entries of a request's environ, in order. Keeps its memory from request to request.
#[derive(Default)]
pub struct Environ<'a> {
    pairs: Vec<Pair>,
    borrowed: PhantomData<&'a [u8]>,
}

// SAFETY: the pairs point to bytes that are borrowed, unchanged, for 'a, like `&'a [u8]`, which is Send.
unsafe impl Send for Environ<'_> {}

impl<'a> Environ<'a> {
    /// Empty.
    pub fn new() -> Environ<'a> {
        Environ {
            pairs: Vec::new(),
            borrowed: PhantomData,
        }
    }

    /// Appends an entry; a value of None is Python's None (ENV-24).
    pub fn push(&mut self, name: &'a [u8], value: Option<&'a [u8]>) {
        let value = value.map_or(Bytes::NONE, Bytes::of);
        self.pairs.push(Pair {
            name: Bytes::of(name),
            value,
        });
    }

    /// Number of entries.
    pub fn len(&self) -> usize {
        self.pairs.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.pairs.is_empty()
    }

    /// Its entries, for a call.
    pub(crate) fn raw(&self) -> (*const Pair, usize) {
        (self.pairs.as_ptr(), self.pairs.len())
    }

    /// Empties it and keeps the memory for the next request.
    pub fn recycle<'b>(mut self) -> Environ<'b> {
        self.pairs.clear();
        Environ {
            pairs: self.pairs,
            borrowed: PhantomData,
        }
    }
}

/// A request, as the host describes it. Fields mean what those of [`RequestView`] mean.
#[derive(Default)]
pub struct Request<'a> {
    /// String entries.
    pub environ: Environ<'a>,
    /// Interpreter; empty is the main one.
    pub application_group: &'a [u8],
    /// Attribute to call.
    pub callable_object: &'a [u8],
    /// File that the URL mapped to.
    pub script_filename: &'a [u8],
    /// Handler script; empty if none.
    pub handler_script: &'a [u8],
    /// `REQUEST_*`.
    pub flags: u32,
    /// Ordinal of the worker thread, from 1.
    pub thread_id: u32,
    /// Pid of the Apache child.
    pub server_pid: u32,
    /// Connects needed; 0 embedded.
    pub daemon_connects: u32,
    /// Reload rejections; 0 embedded.
    pub daemon_restarts: u32,
    /// Microseconds since the epoch.
    pub request_start: i64,
    /// Microseconds since the epoch; 0 embedded.
    pub queue_start: i64,
    /// Microseconds since the epoch; 0 embedded.
    pub daemon_start: i64,
    /// Address of the client as httpd knows it; None in daemons.
    pub useragent_ip: Option<&'a [u8]>,
    /// Host that the client named, as httpd knows it; None in daemons, and without one.
    pub hostname: Option<&'a [u8]>,
    /// Apache's request, if the application is to have it.
    pub apache_request: Option<NonNull<c_void>>,
}

/// A pointer that may be null, as the table has it.
pub(crate) fn pointer(known: Option<NonNull<c_void>>) -> *mut c_void {
    known.map_or(ptr::null_mut(), NonNull::as_ptr)
}

impl Request<'_> {
    /// The file to load: the handler script if there is one, else the file that the URL mapped to.
    pub fn script(&self) -> &[u8] {
        if self.handler_script.is_empty() {
            self.script_filename
        } else {
            self.handler_script
        }
    }

    fn view(&self) -> RequestView {
        RequestView {
            environ: self.environ.pairs.as_ptr(),
            environ_len: self.environ.pairs.len(),
            application_group: Bytes::of(self.application_group),
            callable_object: Bytes::of(self.callable_object),
            script_filename: Bytes::of(self.script_filename),
            handler_script: Bytes::of(self.handler_script),
            flags: self.flags,
            thread_id: self.thread_id,
            server_pid: self.server_pid,
            daemon_connects: self.daemon_connects,
            daemon_restarts: self.daemon_restarts,
            request_start: self.request_start,
            queue_start: self.queue_start,
            daemon_start: self.daemon_start,
            useragent_ip: self.useragent_ip.map_or(Bytes::NONE, Bytes::of),
            hostname: self.hostname.map_or(Bytes::NONE, Bytes::of),
            apache_request: pointer(self.apache_request),
        }
    }
}

/// A loaded runtime. Shared by all threads of the process.
pub struct Runtime {
    table: &'static RuntimeTable,
    path: PathBuf,
    /// The thread that started Python, once it has.
    python_thread: OnceLock<ThreadId>,
}

impl fmt::Debug for Runtime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Runtime")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

impl Runtime {
    /// Loads the runtime at `path` and checks its version. The file must be trusted: its code runs from here on.
    ///
    /// # Errors
    /// Cannot be loaded, is no runtime, or one of another build.
    pub fn open(path: &Path) -> Result<Runtime, RuntimeError> {
        python::provide(path).map_err(|source| RuntimeError::Python {
            path: path.to_owned(),
            source: Box::new(source),
        })?;
        // RTLD_GLOBAL, for a runtime that was linked with its Python: extension modules of many distributions take Python's
        // symbols from the global scope.
        // SAFETY: the initialisers of the library and of libpython are those of our own installation, which the caller
        // trusts.
        let library =
            unsafe { Library::open(Some(path), RTLD_NOW | RTLD_GLOBAL) }.map_err(|error| {
                RuntimeError::Load {
                    path: path.to_owned(),
                    text: describe(&error),
                }
            })?;
        type Entry = unsafe extern "C" fn() -> *const RuntimeTable;
        // SAFETY: a symbol of this name has this signature in every version of the runtime.
        let entry = unsafe { library.get::<Entry>(ENTRY_SYMBOL.as_bytes()) }.map_err(|_| {
            RuntimeError::NoEntry {
                path: path.to_owned(),
            }
        })?;
        // SAFETY: by the same contract it can be called any time.
        let table = unsafe { entry() };
        // Never unloaded: see the module's promises.
        std::mem::forget(library);
        let table = NonNull::new(table.cast_mut()).ok_or_else(|| RuntimeError::NoEntry {
            path: path.to_owned(),
        })?;
        // SAFETY: the version is the first field in every version of the table.
        let found = unsafe { table.cast::<u32>().read() };
        if found != ABI_VERSION {
            return Err(RuntimeError::Version {
                path: path.to_owned(),
                found,
            });
        }
        // SAFETY: the version says that this is our table; it is never written, and lives as long as the library, which
        // is never unloaded.
        let table = unsafe { table.as_ref() };
        Ok(Runtime {
            table,
            path: path.to_owned(),
            python_thread: OnceLock::new(),
        })
    }

    /// Where it was loaded from.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The Python that it was built for.
    pub fn version(&self) -> Version {
        let hex = self.table.python_version;
        Version {
            major: hex >> 24,
            minor: (hex >> 16) & 0xff,
            free_threaded: self.table.free_threaded != 0,
        }
    }

    /// Initialises Python in this process. This thread becomes Python's main thread.
    ///
    /// # Errors
    /// Running already, or Python did not start (the cause was logged through `H`).
    pub fn start<H: Host>(&self, settings: &PythonSettings) -> Result<(), RuntimeError> {
        let this = std::thread::current().id();
        if self.python_thread.set(this).is_err() {
            return Err(RuntimeError::Running {
                path: self.path.clone(),
            });
        }
        let encoded = settings.encode();
        // SAFETY: first call in this process by the check above; the settings live during the call, the host table for
        // ever.
        let result = unsafe { (self.table.start)(Bytes::of(&encoded), Adapter::<H>::TABLE) };
        if result == STARTED {
            Ok(())
        } else {
            Err(RuntimeError::Start {
                path: self.path.clone(),
            })
        }
    }

    fn on_python_thread(&self) -> Result<(), RuntimeError> {
        match self.python_thread.get() {
            Some(thread) if *thread == std::thread::current().id() => Ok(()),
            _ => Err(RuntimeError::Thread),
        }
    }

    fn is_started(&self) -> bool {
        self.python_thread.get().is_some()
    }

    /// Loads a script outside of requests; false if it failed, which was logged.
    ///
    /// # Errors
    /// Not on Python's main thread.
    pub fn load(&self, script: &[u8], application_group: &[u8]) -> Result<bool, RuntimeError> {
        self.on_python_thread()?;
        // SAFETY: after `start`, on its thread; the bytes live during the call.
        let result = unsafe { (self.table.load)(Bytes::of(script), Bytes::of(application_group)) };
        Ok(result == STARTED)
    }

    /// Starts telemetry's reporter, if the settings ask for one: before the first [`Runtime::handle`].
    ///
    /// # Errors
    /// Not on Python's main thread.
    pub fn start_reporting(&self) -> Result<(), RuntimeError> {
        self.on_python_thread()?;
        // SAFETY: after `start`, on its thread.
        unsafe { (self.table.start_reporting)() };
        Ok(())
    }

    /// Runs a request on this thread. [`Outcome::Unavailable`] before `start`.
    pub fn handle<T: Transport>(&self, request: &Request<'_>, transport: &mut T) -> Outcome {
        if !self.is_started() {
            return Outcome::Unavailable;
        }
        let view = request.view();
        let context: *mut T = transport;
        // SAFETY: after `start`; view, table and context live during the call and nobody else uses them meanwhile.
        unsafe { (self.table.handle)(&view, Calls::<T>::TABLE, context.cast()) }
    }

    /// The times of the files of the request's script or module, as one number that every change makes another one; 0 before
    /// `start`. Any thread.
    pub fn stamp(&self, request: &Request<'_>) -> u64 {
        if !self.is_started() {
            return 0;
        }
        let view = request.view();
        // SAFETY: after `start`; the view lives during the call.
        unsafe { (self.table.stamp)(&view) }
    }

    /// Calls functions of a hook script on this thread; `answer` gets each value with the number of its function.
    /// [`HookOutcome::Unavailable`] before `start`.
    pub fn hook<T: Transport>(
        &self,
        call: &Call<'_>,
        transport: &mut T,
        answer: &mut dyn FnMut(usize, Value<'_>),
    ) -> HookOutcome {
        if !self.is_started() {
            return HookOutcome::Unavailable;
        }
        let context: *mut T = transport;
        call.with_view(answer, |view, answer, sink| {
            // SAFETY: after `start`; everything lives during the call and nobody else uses it meanwhile.
            unsafe { (self.table.hook)(view, Calls::<T>::TABLE, context.cast(), answer, sink) }
        })
    }

    /// Tells telemetry's consumer that the process has decided to end. Any thread; never waits for Python.
    pub fn report_stopping(&self, reason: &str) {
        if self.is_started() {
            // SAFETY: after `start`; the bytes live during the call.
            unsafe { (self.table.report_stopping)(Bytes::of(reason.as_bytes())) };
        }
    }

    /// Tells telemetry's consumer that the process is about to end by force. Any thread; never waits for Python.
    pub fn report_forced_end(&self, reason: &str) {
        if self.is_started() {
            // SAFETY: after `start`; the bytes live during the call.
            unsafe { (self.table.report_forced_end)(Bytes::of(reason.as_bytes())) };
        }
    }

    /// Publishes `process_stopping` in every interpreter.
    ///
    /// # Errors
    /// Not on Python's main thread.
    pub fn publish_stopping(&self, reason: &str) -> Result<(), RuntimeError> {
        self.on_python_thread()?;
        // SAFETY: after `start`, on its thread; the bytes live during the call.
        unsafe { (self.table.publish_stopping)(Bytes::of(reason.as_bytes())) };
        Ok(())
    }

    /// Destroys interpreters and finalises Python, unless the settings say not to. The caller has joined every thread that
    /// called [`Runtime::handle`], and the process is about to end: nothing else may be called.
    ///
    /// # Errors
    /// Not on Python's main thread.
    pub fn stop(&self) -> Result<(), RuntimeError> {
        self.on_python_thread()?;
        // SAFETY: after `start`, on its thread.
        unsafe { (self.table.stop)() };
        Ok(())
    }

    /// Takes and releases the GIL of the main interpreter; returns when it had it. Any thread.
    pub fn probe(&self) {
        if self.is_started() {
            // SAFETY: after `start`.
            unsafe { (self.table.probe)() };
        }
    }

    /// Logs the Python stacks of the threads that run requests. Any thread; waits for the GIL.
    pub fn dump_stacks(&self) {
        if self.is_started() {
            // SAFETY: after `start`.
            unsafe { (self.table.dump_stacks)() };
        }
    }

    /// Raises `mod_wsgi.RequestTimeout` in what worker `thread_id` runs; false if it runs no application. Any thread; waits
    /// for the GIL.
    pub fn interrupt(&self, thread_id: u32) -> bool {
        // SAFETY: after `start`, by the condition before.
        self.is_started() && unsafe { (self.table.interrupt)(thread_id) } == 1
    }

    /// Delivers a signal to the subscribers of every interpreter. Any thread.
    pub fn publish_signal(&self, name: &str, number: i32) {
        if self.is_started() {
            // SAFETY: after `start`; the bytes live during the call.
            unsafe { (self.table.publish_signal)(Bytes::of(name.as_bytes()), number) };
        }
    }

    /// Ends this thread's Python thread states: for a thread that called [`Runtime::handle`], before it ends.
    pub fn leave_thread(&self) {
        if self.is_started() {
            // SAFETY: after `start`, and no `handle` runs on this thread.
            unsafe { (self.table.leave_thread)() };
        }
    }
}

/// The linker's own words, without the prefix that libloading puts before them.
pub(crate) fn describe(error: &libloading::Error) -> String {
    let source = std::error::Error::source(error);
    source.map_or_else(|| error.to_string(), ToString::to_string)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_library_that_is_no_runtime_is_refused() {
        let missing = Runtime::open(Path::new("/nonexistent/python3.99.so")).unwrap_err();
        assert!(matches!(missing, RuntimeError::Load { .. }));
        assert!(
            missing.to_string().contains("/nonexistent/python3.99.so"),
            "{missing}"
        );
        let other = Runtime::open(Path::new("libc.so.6")).unwrap_err();
        assert!(matches!(other, RuntimeError::NoEntry { .. }), "{other}");
    }

    #[test]
    fn an_environ_is_recycled_empty() {
        let text = String::from("value");
        let mut environ = Environ::new();
        environ.push(b"NAME", Some(text.as_bytes()));
        environ.push(b"NONE", None);
        assert_eq!(environ.len(), 2);
        assert!(environ.recycle().is_empty());
    }
}
