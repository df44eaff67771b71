//! The Apache side of an exchange, over httpd's own request: body from its input filters, answer to its output filters,
//! records to its error log. On the worker thread that serves the request.

use std::ffi::OsStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::time::Duration;

use wsgi_core::answer::daemon;
use wsgi_core::record;
use wsgi_core::wire::{AnswerHead, FileSpan, Log};
use wsgi_sys::room;

use super::failure::Failure;
use super::side::{After, Apache, Gone, Verdict};
use crate::apache::{self, Body, Brigade, Level, ReadError, ReadFailure, Request, WriteError};

/// A request while it is forwarded.
pub(super) struct Requester<'q, 'r> {
    request: &'q Request<'r>,
    /// Made when the body is read first: most requests have none.
    body: Option<Body<'r>>,
    answer: Option<Brigade<'r>>,
    rules: AnswerRules,
    /// The answer has a Content-Length.
    is_sized: bool,
    /// What the client gets instead of an answer that is thrown away.
    instead: Option<Instead>,
}

/// What httpd answers with in place of the application.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Instead {
    /// What a GET for this path gives (DMN-321).
    Redirect(Vec<u8>),
    /// Its own page for this code (DMN-322).
    Page(u16),
}

/// What the configuration says about answers.
#[derive(Clone, Copy, Debug)]
pub(super) struct AnswerRules {
    /// WSGIErrorOverride (DMN-322).
    pub(super) error_override: bool,
    /// WSGIEnableSendfile.
    pub(super) sendfile: bool,
    /// `header-buffer-size=`, bytes (DMN-312).
    pub(super) header_buffer: usize,
}

impl<'q, 'r> Requester<'q, 'r> {
    pub(super) fn new(request: &'q Request<'r>, rules: AnswerRules) -> Requester<'q, 'r> {
        Requester {
            request,
            body: None,
            answer: None,
            rules,
            is_sized: false,
            instead: None,
        }
    }

    /// Ends an answer that broke off, so that the client notices (DMN-338).
    pub(super) fn abort(&mut self) {
        self.answer().abort();
    }

    /// What the verdict about a discarded answer was.
    pub(super) fn instead(&mut self) -> Option<Instead> {
        self.instead.take()
    }

    fn answer(&mut self) -> &mut Brigade<'r> {
        self.answer.get_or_insert_with(|| {
            if self.request.connection().is_stream() {
                Brigade::counting(self.request)
            } else {
                Brigade::new(self.request)
            }
        })
    }

    fn body(&mut self) -> &mut Body<'r> {
        self.body.get_or_insert_with(|| Body::new(self.request))
    }

    /// DMN-336: a client that went away is no error; one that takes nothing, and a filter that fails, are.
    fn not_written(&self, error: &WriteError, flushed: bool) -> Gone {
        if error.timed_out || !error.client_gone {
            let code = if flushed { "WSGI0118" } else { "WSGI0120" };
            self.say(Level::Error, &format!("{code}: {error}"));
            if !error.client_gone {
                self.request.set_status(500, None);
                self.request.connection().close_after_answer();
            }
        }
        Gone
    }

    /// A record with the script in front (REQ-807).
    pub(super) fn say(&self, level: Level, text: &str) {
        self.request
            .log(level, [&self.prefix()[..], text.as_bytes()].concat());
    }

    fn prefix(&self) -> Vec<u8> {
        [b"[script ", self.request.filename().unwrap_or(b""), b"] "].concat()
    }
}

impl Apache for Requester<'_, '_> {
    fn read_body(&mut self, buffer: &mut [u8]) -> Result<usize, Failure> {
        self.body().read(buffer).map_err(|error| not_read(&error))
    }

    fn ask_for_body(&mut self) -> Result<(), Failure> {
        self.body().ask().map_err(|error| not_read(&error))
    }

    fn client(&self) -> (Option<BorrowedFd<'_>>, Option<Duration>) {
        let connection = self.request.connection();
        let descriptor = connection.socket().or(connection.stream_descriptor());
        let mut patience = connection.socket_timeout();
        if connection.is_stream() && patience.is_some_and(|patience| patience.is_zero()) {
            // So it is while the thread of the connection writes.
            let timeout = self.request.server().timeout();
            patience = (!timeout.is_zero()).then_some(timeout);
        }
        (descriptor, patience)
    }

    fn read_available_body(&mut self, buffer: &mut [u8]) -> Result<Option<usize>, Failure> {
        self.body()
            .read_available(buffer)
            .map_err(|error| not_read(&error))
    }

    fn room(&mut self) -> Option<usize> {
        if self.is_stream() {
            return Some(self.answer().room());
        }
        self.request.connection().socket().map(room::of)
    }

    fn is_stream(&self) -> bool {
        self.request.connection().is_stream()
    }

    fn give_up(&mut self) {
        if self.is_stream() {
            // The connection is good for its other streams; the end of this one is behind what it has not taken.
            self.abort();
        } else {
            self.request.connection().abort();
        }
        self.say(
            Level::Error,
            "WSGI0120: sending the response failed: the client takes nothing any more",
        );
    }

    fn temporary_folder(&self) -> PathBuf {
        // Where APR finds none the file cannot be made, and the error names this one.
        let folder = apache::process::temporary_directory(self.request.pool()).unwrap_or(b"/tmp");
        PathBuf::from(OsStr::from_bytes(folder))
    }

    fn head(&mut self, head: &AnswerHead<'_>) -> Result<Verdict, Failure> {
        let rules = daemon::Rules {
            error_override: self.rules.error_override,
            header_buffer_size: self.rules.header_buffer,
        };
        let verdict = daemon::interpret(head.status, head.headers.iter(), rules).map_err(|e| {
            Failure::Head {
                status: e.status(),
                text: e.to_string(),
            }
        })?;
        let error_headers = self.request.err_headers_out();
        let keep = |headers: Vec<(&[u8], &[u8])>| {
            headers
                .iter()
                .for_each(|(name, value)| error_headers.add(name, value));
        };
        match verdict {
            daemon::Verdict::Answer(answer) => {
                self.request
                    .set_status(answer.code, Some(answer.status_line));
                if let Some(content_type) = &answer.content_type {
                    self.request.set_content_type(content_type);
                }
                let headers = self.request.headers_out();
                for (name, value) in &answer.headers {
                    if name.eq_ignore_ascii_case(b"Transfer-Encoding") {
                        // As in embedded mode: the end of such a body is in doubt.
                        self.request.connection().close_after_answer();
                    }
                    if name.eq_ignore_ascii_case(b"Connection") {
                        // As in embedded mode: httpd obeys the first entry only, and h2c is announced in one.
                        headers.merge(name, value);
                    } else {
                        headers.add(name, value);
                    }
                }
                if let Some(date) = answer.last_modified {
                    self.request.set_last_modified(date);
                }
                if let Some(length) = head.content_length {
                    self.request.set_content_length(length);
                    self.is_sized = true;
                }
                keep(answer.error_headers);
                Ok(Verdict::Deliver)
            }
            daemon::Verdict::InternalRedirect {
                path,
                error_headers,
            } => {
                keep(error_headers);
                self.instead = Some(Instead::Redirect(path.to_vec()));
                Ok(Verdict::Discard)
            }
            daemon::Verdict::ErrorPage {
                code,
                error_headers,
            } => {
                keep(error_headers);
                self.instead = Some(Instead::Page(code));
                Ok(Verdict::Discard)
            }
        }
    }

    fn pass<'d>(
        &mut self,
        blocks: impl Iterator<Item = &'d [u8]>,
        after: After,
    ) -> Result<(), Gone> {
        let then = match after {
            After::More => apache::After::More,
            After::Flush => apache::After::Flush,
            After::End if self.is_sized => apache::After::End,
            After::End => apache::After::UnsizedEnd,
        };
        let passed = self.answer().pass(blocks, then);
        passed.map_err(|error| self.not_written(&error, after == After::Flush))
    }

    fn file(&mut self, file: OwnedFd, span: FileSpan) -> Result<(), Gone> {
        let sendfile = self.rules.sendfile;
        self.answer()
            .append_file(file.as_fd(), span.offset, span.len, sendfile)
            .map_err(|error| {
                self.say(
                    Level::Error,
                    &format!("WSGI5061: A file of the response cannot be sent: {error}"),
                );
                Gone
            })
    }

    fn log(&mut self, record: &Log<'_>) {
        let level = Level::of_number(i32::from(record.level));
        if !self.request.logs(level) {
            return;
        }
        let script = self.request.filename().unwrap_or(b"");
        let text = record::with_script(script, u32::from(record.flags), record.text);
        self.request.log_record(level, &text);
    }

    fn record(&mut self, level: u8, text: &str) {
        self.say(Level::of_number(i32::from(level)), text);
    }
}

/// DMN-241: 408 for a client that is too slow, else what httpd says: 413 for a body over its limit, 400 for one that breaks off or
/// is malformed.
fn not_read(error: &ReadError) -> Failure {
    let status = match error.failure {
        ReadFailure::Timeout => Some(408),
        ReadFailure::TooLarge => error.status.http_code(),
        ReadFailure::Aborted | ReadFailure::Other => error.status.http_code().or(Some(400)),
    };
    // httpd has sent its own answer.
    let status = status.filter(|_| error.status != apache::Status::FILTER_ERROR);
    Failure::Body {
        status,
        text: error.text.clone(),
    }
}
