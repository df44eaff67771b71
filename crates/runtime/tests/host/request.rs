//! The requests of a test.

use std::path::Path;

use wsgi_runtime_api::runtime::{Environ, Request};
use wsgi_runtime_api::{REQUEST_HEAD, REQUEST_SCRIPT_RELOADING};

use super::connection::{Answer, Connection, Wire};
use super::{Python, thread_number};

/// A request to be run.
pub(crate) struct TestRequest {
    python: &'static Python,
    script: Vec<u8>,
    pub(crate) handler_script: Vec<u8>,
    pub(crate) group: String,
    pub(crate) callable: String,
    pub(crate) environ: Vec<(String, Option<Vec<u8>>)>,
    pub(crate) body: Vec<u8>,
    pub(crate) flags: u32,
    pub(crate) wire: Wire,
}

impl TestRequest {
    pub(super) fn new(python: &'static Python, script: &Path) -> TestRequest {
        use std::os::unix::ffi::OsStrExt;

        let mut request = TestRequest {
            python,
            script: script.as_os_str().as_bytes().to_vec(),
            handler_script: Vec::new(),
            group: String::new(),
            callable: "application".to_owned(),
            environ: Vec::new(),
            body: Vec::new(),
            flags: REQUEST_SCRIPT_RELOADING,
            wire: Wire::default(),
        };
        for (name, value) in [
            ("REQUEST_METHOD", "GET"),
            ("SCRIPT_NAME", ""),
            ("PATH_INFO", "/"),
            ("QUERY_STRING", ""),
            ("SERVER_NAME", "localhost"),
            ("SERVER_PORT", "80"),
            ("SERVER_PROTOCOL", "HTTP/1.1"),
            ("mod_wsgi.process_group", ""),
        ] {
            request = request.set(name, value);
        }
        request
    }

    pub(crate) fn set(mut self, name: &str, value: &str) -> TestRequest {
        self.environ.retain(|(other, _)| other != name);
        self.environ
            .push((name.to_owned(), Some(value.as_bytes().to_vec())));
        self
    }

    pub(crate) fn group(mut self, name: &str) -> TestRequest {
        self.group = name.to_owned();
        self
    }

    pub(crate) fn flags(mut self, flags: u32) -> TestRequest {
        self.flags |= flags;
        self
    }

    pub(crate) fn wire(mut self, wire: Wire) -> TestRequest {
        self.wire = wire;
        self
    }

    /// Makes it a POST request.
    pub(crate) fn post(self, body: &[u8]) -> TestRequest {
        let mut request = self
            .set("REQUEST_METHOD", "POST")
            .set("CONTENT_LENGTH", &body.len().to_string());
        request.body = body.to_vec();
        request
    }

    /// Makes it a HEAD request.
    pub(crate) fn head(self) -> TestRequest {
        self.set("REQUEST_METHOD", "HEAD").flags(REQUEST_HEAD)
    }

    /// Runs it on this thread.
    pub(crate) fn run(&self) -> Answer {
        let mut environ = Environ::new();
        for (name, value) in &self.environ {
            environ.push(name.as_bytes(), value.as_deref());
        }
        let request = Request {
            useragent_ip: None,
            hostname: None,
            environ,
            application_group: self.group.as_bytes(),
            callable_object: self.callable.as_bytes(),
            script_filename: &self.script,
            handler_script: &self.handler_script,
            flags: self.flags,
            thread_id: thread_number(self.python),
            server_pid: std::process::id(),
            daemon_connects: 0,
            daemon_restarts: 0,
            request_start: 1_700_000_000_250_000,
            queue_start: 0,
            daemon_start: 0,
            apache_request: None,
        };
        let mut connection = Connection::new(self.body.clone(), self.wire.clone());
        let outcome = self.python.runtime.handle(&request, &mut connection);
        let mut answer = connection.answer;
        answer.outcome = Some(outcome);
        answer
    }
}
