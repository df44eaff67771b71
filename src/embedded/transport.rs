//! The runtime's way to the client of an embedded request: over httpd's own filters.
//!
//! The head is kept until the first data, so that a short answer is one brigade and one write. Runs on the thread that serves
//! the request, without the GIL.

use std::os::fd::{AsFd, BorrowedFd};

use wsgi_core::answer::head::check_status;
use wsgi_core::record;
use wsgi_runtime_api::body::BodyBuffer;
use wsgi_runtime_api::host::{self, Blocks, Headers, ReadError, SendError};
use wsgi_runtime_api::{SEND_FLUSH, SEND_LAST};
use wsgi_sys::temporary;

use crate::apache::{After, Body, Brigade, Level, ReadFailure, Request, Status, WriteError};

/// Most bytes that one read takes from the filters.
const READ_SIZE: usize = 64 << 10;

/// State of one request's transfer.
pub(super) struct Transport<'r> {
    request: Request<'r>,
    script: Vec<u8>,
    body: Option<Body<'r>>,
    buffer: Vec<u8>,
    brigade: Option<Brigade<'r>>,
    /// Something went to the filters, and so may have gone to the client.
    begun: bool,
    ended: bool,
    /// The application gave a Content-Length.
    is_sized: bool,
    sendfile: bool,
    error: Option<String>,
    /// httpd has answered itself, when the body could not be read.
    answered: bool,
    /// What httpd wants to answer with after a failed read of the body.
    body_status: Option<Status>,
}

impl<'r> Transport<'r> {
    /// For one request.
    pub(super) fn new(request: &Request<'r>, script: &[u8], sendfile: bool) -> Transport<'r> {
        Transport {
            request: *request,
            script: script.to_vec(),
            body: None,
            buffer: Vec::new(),
            brigade: None,
            begun: false,
            ended: false,
            is_sized: false,
            sendfile,
            error: None,
            answered: false,
            body_status: None,
        }
    }

    /// The application is done and its answer whole.
    pub(super) fn complete(&mut self) -> Status {
        if !self.ended && self.brigade.is_some() {
            // A failure here is the client's absence, or was logged by the filter that failed.
            let _ = self.pass(std::iter::empty(), self.end());
        }
        Status::OK
    }

    /// The answer is cut short: the client has to see it. Where nothing of it went out it gets a page instead. An application
    /// that failed because its client had gone is 500 in the access log (REQ-493).
    pub(super) fn abort(&mut self) -> Status {
        if !self.begun {
            return Status::INTERNAL_SERVER_ERROR;
        }
        // Before the abort below closes the connection.
        let client_was_gone = self.request.connection().is_aborted();
        match self.brigade.take() {
            Some(mut brigade) if !self.ended => brigade.abort(),
            _ => self.request.connection().close_after_answer(),
        }
        if client_was_gone {
            self.request.set_status(500, None);
        }
        Status::OK
    }

    /// The status that a failed read of the body asks for, where nothing was sent yet (REQ-037).
    pub(super) fn body_failure(&self) -> Option<Status> {
        self.body_status.filter(|_| self.brigade.is_none())
    }

    fn pass<'d>(
        &mut self,
        blocks: impl IntoIterator<Item = &'d [u8]>,
        after: After,
    ) -> Result<(), SendError> {
        let request = self.request;
        let brigade = self.brigade.get_or_insert_with(|| Brigade::new(&request));
        self.begun = true;
        let passed = brigade.pass(blocks, after);
        self.ended |= matches!(after, After::End | After::UnsizedEnd);
        self.checked(passed)
    }

    /// The end of this answer.
    fn end(&self) -> After {
        if self.is_sized {
            After::End
        } else {
            After::UnsizedEnd
        }
    }

    /// What follows data with these flags.
    fn after(&self, flags: u32) -> After {
        if flags & SEND_LAST != 0 {
            self.end()
        } else if flags & SEND_FLUSH != 0 {
            After::Flush
        } else {
            After::More
        }
    }

    fn checked(&mut self, passed: Result<(), WriteError>) -> Result<(), SendError> {
        passed.map_err(|error| {
            self.error = Some(error.text);
            if error.client_gone {
                SendError::Gone
            } else {
                SendError::Failed
            }
        })
    }
}

impl host::Transport for Transport<'_> {
    fn read_body(&mut self, buffer: &mut BodyBuffer<'_>) -> Result<(), ReadError> {
        let request = self.request;
        let body = self.body.get_or_insert_with(|| Body::new(&request));
        let room = buffer.room();
        let read = if room == 0 {
            body.ask().map(|()| 0)
        } else {
            let size = room.min(READ_SIZE);
            self.buffer.resize(size, 0);
            body.read(&mut self.buffer)
        };
        match read {
            Ok(count) => {
                buffer.put(&self.buffer[..count.min(self.buffer.len())]);
                Ok(())
            }
            Err(error) => {
                request.connection().close_after_answer();
                self.body_status = Some(error.status);
                self.answered = error.status == Status::FILTER_ERROR;
                let failure = match error.failure {
                    ReadFailure::Aborted => ReadError::Aborted,
                    _ => ReadError::Failed,
                };
                self.error = Some(error.text);
                Err(failure)
            }
        }
    }

    fn send_head(
        &mut self,
        status: &[u8],
        headers: Headers<'_>,
        content_length: Option<u64>,
    ) -> Result<(), SendError> {
        if self.answered {
            // What the application makes of the failure would follow httpd's page.
            return Err(SendError::Gone);
        }
        let request = self.request;
        // The engine checked it when the application gave it.
        let code = check_status(status).unwrap_or(500);
        request.set_status(code, Some(status));
        for (name, value) in headers.iter() {
            if name.eq_ignore_ascii_case(b"Content-Type") {
                request.set_content_type(value);
            } else if name.eq_ignore_ascii_case(b"Content-Length") {
                // Set below, from the number.
            } else if name.eq_ignore_ascii_case(b"WWW-Authenticate") {
                request.err_headers_out().add(name, value);
            } else if name.eq_ignore_ascii_case(b"Connection") {
                // httpd obeys the first entry only, and announces other protocols (h2c) in one of its own.
                request.headers_out().merge(name, value);
            } else {
                if name.eq_ignore_ascii_case(b"Transfer-Encoding") {
                    // The application frames the body itself, and httpd does not look at it: its end is in doubt.
                    request.connection().close_after_answer();
                }
                request.headers_out().add(name, value);
            }
        }
        if let Some(length) = content_length {
            request.set_content_length(length);
            self.is_sized = true;
        }
        self.brigade = Some(Brigade::new(&request));
        Ok(())
    }

    fn send_data(&mut self, blocks: Blocks<'_>, flags: u32) -> Result<(), SendError> {
        let after = self.after(flags);
        if blocks.is_empty() && after == After::More {
            return Ok(());
        }
        self.pass(blocks.iter(), after)
    }

    fn send_file(
        &mut self,
        file: BorrowedFd<'_>,
        offset: u64,
        len: u64,
        flags: u32,
    ) -> Result<(), SendError> {
        let request = self.request;
        let sendfile = self.sendfile;
        let brigade = self.brigade.get_or_insert_with(|| Brigade::new(&request));
        // httpd moves the position of what it reads, also when the request has ended: it gets an open file of its own, so that
        // the application's stays where it is (REQ-585). Where /proc is missing or refuses, the position is shared.
        let reopened = temporary::read_only(file).ok();
        let file = reopened.as_ref().map_or(file, AsFd::as_fd);
        if let Err(error) = brigade.append_file(file, offset, len, sendfile) {
            self.error = Some(format!(
                "the file's descriptor could not be duplicated: {error}"
            ));
            return Err(SendError::Failed);
        }
        self.pass(std::iter::empty(), self.after(flags))
    }

    fn log(&mut self, level: u8, flags: u32, text: &[u8]) {
        let level = Level::of_number(i32::from(level));
        self.request
            .log_record(level, &record::with_script(&self.script, flags, text));
    }

    fn log_enabled(&self, level: u8) -> bool {
        self.request.logs(Level::of_number(i32::from(level)))
    }

    fn last_error(&self) -> Option<&[u8]> {
        self.error.as_deref().map(str::as_bytes)
    }
}
