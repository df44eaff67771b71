//! httpd's error log: records for a request, a server, or the process, in httpd's own format and subject to `LogLevel wsgi:…`.
//!
//! Texts are data for httpd, never formats. httpd cuts records at 8 KiB and escapes control characters. Any thread of an
//! httpd process.

use std::ffi::{c_char, c_int};
use std::panic::Location;
use std::ptr;
use std::sync::atomic::{AtomicI32, Ordering};

use wsgi_core::record;

use super::{Request, Server};

/// httpd's levels, worst first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// System unusable.
    Emerg = 0,
    /// Something must be done at once.
    Alert = 1,
    /// Critical.
    Crit = 2,
    /// Error.
    Error = 3,
    /// Warning.
    Warn = 4,
    /// Normal but significant; shown by default.
    Notice = 5,
    /// Informational.
    Info = 6,
    /// Life cycle.
    Debug = 7,
    /// Per request detail.
    Trace1 = 8,
    /// Finer detail.
    Trace2 = 9,
    /// Everything.
    Trace8 = 15,
}

impl Level {
    /// The level of a number that came from elsewhere (a frame, the runtime); what is beyond the list becomes the last.
    pub fn of_number(number: i32) -> Level {
        match number {
            i32::MIN..=0 => Level::Emerg,
            1 => Level::Alert,
            2 => Level::Crit,
            3 => Level::Error,
            4 => Level::Warn,
            5 => Level::Notice,
            6 => Level::Info,
            7 => Level::Debug,
            8 => Level::Trace1,
            9..=14 => Level::Trace2,
            _ => Level::Trace8,
        }
    }
}

/// Number that httpd gave to the module at this load. Not configuration, but an identity of the loaded module: hooks cannot
/// run before it is set, and each load sets it anew before anything else runs.
static MODULE_INDEX: AtomicI32 = AtomicI32::new(-1);

/// Remembers the module's number; called when hooks are registered.
pub fn set_module_index(index: c_int) {
    MODULE_INDEX.store(index, Ordering::Relaxed);
}

/// The module's number.
pub(super) fn module_index() -> c_int {
    MODULE_INDEX.load(Ordering::Relaxed)
}

/// httpd's format for "this many bytes of text".
const FORMAT: *const c_char = c"%.*s".as_ptr();

/// A record without request or server: it goes to the main server's log, or to stderr while there is none.
#[track_caller]
pub fn process(level: Level, text: impl AsRef<[u8]>) {
    // SAFETY: reading a pointer that httpd sets before any hook of the running server, and to null before that.
    let main = unsafe { apache_sys::ap_server_conf };
    write_server(level as c_int, main, text.as_ref(), Location::caller());
}

/// A record that has to reach the person who starts Apache: also shown on the terminal while the server starts.
#[track_caller]
pub fn startup(level: Level, text: impl AsRef<[u8]>) {
    let flags = level as c_int | apache_sys::APLOG_STARTUP;
    write_server(flags, ptr::null(), text.as_ref(), Location::caller());
}

/// A record for the log of `server`.
#[track_caller]
pub fn server(server: &Server<'_>, level: Level, text: impl AsRef<[u8]>) {
    write_server(
        level as c_int,
        server.as_ptr(),
        text.as_ref(),
        Location::caller(),
    );
}

/// As [`process`], for a record of Python's, which may name its own source (API-153).
#[track_caller]
pub fn process_record(level: Level, record: &[u8]) {
    // SAFETY: as in `process`.
    let main = unsafe { apache_sys::ap_server_conf };
    let (source, text) = Source::of_record(record, Location::caller());
    write_server_from(level as c_int, main, text, &source);
}

/// As [`server`], for a record of Python's.
#[track_caller]
pub fn server_record(server: &Server<'_>, level: Level, record: &[u8]) {
    let (source, text) = Source::of_record(record, Location::caller());
    write_server_from(level as c_int, server.as_ptr(), text, &source);
}

/// Whether a record of this level for `server` is written at all.
pub fn server_logs(server: &Server<'_>, level: Level) -> bool {
    // SAFETY: a live server; the function reads its levels.
    let logs = unsafe {
        apache_sys::wsgi_shim_server_logs(server.as_ptr(), module_index(), level as c_int)
    };
    logs != 0
}

/// A record for `request`; what [`Request::log`] calls.
#[track_caller]
pub(super) fn request(request: &Request<'_>, level: Level, text: &[u8]) {
    write_request(request, level, text, &Source::of(Location::caller()));
}

/// As [`request`], for a record of Python's; what [`Request::log_record`] calls.
#[track_caller]
pub(super) fn request_record(request: &Request<'_>, level: Level, record: &[u8]) {
    let (source, text) = Source::of_record(record, Location::caller());
    write_request(request, level, text, &source);
}

fn write_request(request: &Request<'_>, level: Level, text: &[u8], source: &Source) {
    // SAFETY: the format matches the arguments, a length and bytes of that length; all pointers are live for the call.
    unsafe {
        apache_sys::ap_log_rerror_(
            source.file(),
            source.line,
            module_index(),
            level as c_int,
            0,
            request.as_ptr(),
            FORMAT,
            length(text),
            text.as_ptr(),
        );
    }
}

/// Whether a record of this level for `request` is written at all.
pub(super) fn request_logs(request: &Request<'_>, level: Level) -> bool {
    // SAFETY: a live request; the function reads its levels.
    let logs = unsafe {
        apache_sys::wsgi_shim_request_logs(request.as_ptr(), module_index(), level as c_int)
    };
    logs != 0
}

fn write_server(
    level: c_int,
    server: *const apache_sys::server_rec,
    text: &[u8],
    caller: &Location<'_>,
) {
    write_server_from(level, server, text, &Source::of(caller));
}

fn write_server_from(
    level: c_int,
    server: *const apache_sys::server_rec,
    text: &[u8],
    source: &Source,
) {
    // SAFETY: the format matches the arguments, a length and bytes of that length; the server is live or null.
    unsafe {
        apache_sys::ap_log_error_(
            source.file(),
            source.line,
            module_index(),
            level,
            0,
            server,
            FORMAT,
            length(text),
            text.as_ptr(),
        );
    }
}

/// httpd cuts records far below this.
fn length(text: &[u8]) -> c_int {
    c_int::try_from(text.len()).unwrap_or(c_int::MAX)
}

/// File name and line, which httpd shows at level debug and finer, with the NUL that Rust's own location lacks.
struct Source {
    name: [u8; 128],
    line: c_int,
}

impl Source {
    fn of(location: &Location<'_>) -> Source {
        let path = location.file();
        let base = path.rsplit('/').next().unwrap_or(path).as_bytes();
        Source::new(base, location.line())
    }

    /// The source that a record of Python's names, else that of the caller; and the record's text.
    fn of_record<'a>(record: &'a [u8], caller: &Location<'_>) -> (Source, &'a [u8]) {
        let (source, text) = record::split_source(record);
        let source = match source {
            Some(source) => Source::new(source.file, source.line),
            None => Source::of(caller),
        };
        (source, text)
    }

    fn new(base: &[u8], line: u32) -> Source {
        let mut name = [0; 128];
        let length = base.len().min(name.len() - 1);
        name[..length].copy_from_slice(&base[..length]);
        Source {
            name,
            line: c_int::try_from(line).unwrap_or(0),
        }
    }

    fn file(&self) -> *const c_char {
        self.name.as_ptr().cast()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_beyond_the_list_are_borne() {
        assert_eq!(Level::of_number(-4), Level::Emerg);
        assert_eq!(Level::of_number(3), Level::Error);
        assert_eq!(Level::of_number(8), Level::Trace1);
        assert_eq!(Level::of_number(99), Level::Trace8);
    }

    #[test]
    fn a_source_is_a_c_string_of_the_file_name() {
        let source = Source::of(Location::caller());
        assert!(source.name.starts_with(b"log.rs\0"));
        assert!(source.line > 0);
    }
}
