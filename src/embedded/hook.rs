//! Functions of hook scripts in this child (DIR-145). What is granted or denied by their values is decided in `hooks`; here
//! every way of failing has a name, so that none of them can pass for an answer.
//!
//! On the thread of the request, in the phases before its handler or at the handler's begin.

use std::os::fd::BorrowedFd;

use wsgi_core::config::{Effective, Reloading};
use wsgi_core::record;
use wsgi_core::request::environ::Environ;
use wsgi_runtime_api::body::BodyBuffer;
use wsgi_runtime_api::hook::{Call, HookOutcome};
use wsgi_runtime_api::host::{self, Blocks, Headers, ReadError, SendError};
use wsgi_runtime_api::runtime;
use wsgi_runtime_api::{REQUEST_CLIENT_GROUP, REQUEST_HTTPS, REQUEST_SCRIPT_RELOADING};

pub use wsgi_runtime_api::hook::{HOOK_ITEMS, HOOK_NAMES, HOOK_VALUE, Value};

use super::{RUNTIME, WORKER};
use crate::apache::{Level, Request};

/// What is to be called.
pub struct Hook<'a> {
    /// The script's file.
    pub script: &'a str,
    /// Its interpreter; empty is the main one.
    pub application_group: &'a str,
    /// Whether data of the client is in that name (XPN-07).
    pub has_client_group: bool,
    /// First argument of each function.
    pub environ: &'a Environ<'a>,
    /// Names of the functions.
    pub functions: &'a [&'a [u8]],
    /// The other arguments.
    pub arguments: &'a [&'a [u8]],
    /// `HOOK_*`.
    pub wanted: u32,
    /// What holds for the request.
    pub effective: &'a Effective<'a>,
}

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HookFailure {
    /// The child runs without Python (DIR-072).
    NoPython,
    /// The interpreter could not be had.
    Unavailable,
    /// The script has no such function.
    Missing,
    /// What it returned cannot be iterated.
    NotIterable,
    /// The script could not be loaded, or the function raised an exception. Already logged.
    Logged,
}

/// Calls the functions of a hook script. `answer` gets their values, each with the number of its function; nobody may rely on
/// them before this has returned.
///
/// # Errors
/// There is no answer.
pub fn call(
    request: &Request<'_>,
    hook: &Hook<'_>,
    answer: &mut dyn FnMut(usize, Value<'_>),
) -> Result<(), HookFailure> {
    let Some(Some(runtime)) = RUNTIME.get() else {
        return Err(HookFailure::NoPython);
    };
    let mut entries = runtime::Environ::new();
    for (name, value) in hook.environ.iter() {
        entries.push(name, value);
    }
    let mut flags = 0;
    if hook.effective.script_reloading() != Reloading::Off {
        flags |= REQUEST_SCRIPT_RELOADING;
    }
    if request.connection().is_https() {
        flags |= REQUEST_HTTPS;
    }
    if hook.has_client_group {
        flags |= REQUEST_CLIENT_GROUP;
    }
    let call = Call {
        environ: entries,
        application_group: hook.application_group.as_bytes(),
        script: hook.script.as_bytes(),
        functions: hook.functions,
        arguments: hook.arguments,
        wanted: hook.wanted,
        flags,
        thread_id: WORKER.with(|worker| worker.id),
        apache_request: super::apache_request(request, hook.effective),
    };
    let mut log = Log { request: *request };
    match runtime.hook(&call, &mut log, answer) {
        HookOutcome::Done => Ok(()),
        HookOutcome::NotLoaded | HookOutcome::Raised => Err(HookFailure::Logged),
        HookOutcome::Missing => Err(HookFailure::Missing),
        HookOutcome::NotIterable => Err(HookFailure::NotIterable),
        HookOutcome::Unavailable => Err(HookFailure::Unavailable),
    }
}

/// The log of the request and what mod_ssl knows. There is nothing to read or to send yet.
struct Log<'r> {
    request: Request<'r>,
}

impl host::Transport for Log<'_> {
    fn read_body(&mut self, _buffer: &mut BodyBuffer<'_>) -> Result<(), ReadError> {
        Err(ReadError::Failed)
    }

    fn send_head(
        &mut self,
        _status: &[u8],
        _headers: Headers<'_>,
        _content_length: Option<u64>,
    ) -> Result<(), SendError> {
        Err(SendError::Failed)
    }

    fn send_data(&mut self, _blocks: Blocks<'_>, _flags: u32) -> Result<(), SendError> {
        Err(SendError::Failed)
    }

    fn send_file(
        &mut self,
        _file: BorrowedFd<'_>,
        _offset: u64,
        _len: u64,
        _flags: u32,
    ) -> Result<(), SendError> {
        Err(SendError::Failed)
    }

    fn log(&mut self, level: u8, flags: u32, text: &[u8]) {
        let file = self.request.filename().unwrap_or(b"");
        let level = Level::of_number(i32::from(level));
        self.request
            .log_record(level, &record::with_script(file, flags, text));
    }

    fn log_enabled(&self, level: u8) -> bool {
        self.request.logs(Level::of_number(i32::from(level)))
    }

    fn last_error(&self) -> Option<&[u8]> {
        None
    }

    fn tls_variable(&mut self, name: &[u8]) -> Option<&[u8]> {
        self.request.tls_variable(name)
    }
}
