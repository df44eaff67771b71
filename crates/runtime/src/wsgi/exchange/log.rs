//! The log of a request: records, reports, and the lines that its streams have begun.

use std::ffi::c_int;
use std::sync::atomic::Ordering;

use pyo3::Python;
use wsgi_runtime_api::engine::Transport;
use wsgi_runtime_api::{LOG_CODE_FIRST, LOG_CONTINUATION};

use super::super::process::{self, ERROR, TRACE};
use super::Exchange;

impl Exchange {
    /// One record of the request's log; the thread holds no GIL.
    pub(crate) fn log(&self, level: c_int, flags: u32, text: &[u8]) {
        self.log_whole(level, flags, process::record(text));
    }

    /// As [`Exchange::log`], for a record that was cut before.
    pub(crate) fn log_whole(&self, level: c_int, flags: u32, text: &[u8]) {
        if self
            .lent
            .with(|transport| transport.log(level, flags, text))
            .is_none()
        {
            process::log_whole(level, text);
        }
    }

    /// Whether a record of this level would be written.
    pub(crate) fn is_logged(&self, py: Python<'_>, level: c_int) -> bool {
        // Asked once: a program may try to log in every line.
        let ask = || {
            let find = |transport: &mut Transport<'_>| {
                let mut levels = (0..=TRACE).rev();
                levels
                    .find(|level| transport.log_enabled(*level))
                    .unwrap_or(-1)
            };
            self.lent.with(find).unwrap_or(TRACE)
        };
        let finest = match self.log_level.get() {
            Some(known) => *known,
            None => {
                let found = self.detached(py, ask);
                *self.log_level.get_or_init(|| found)
            }
        };
        level <= finest
    }

    /// As [`Exchange::log`], if the process logs this level at all.
    pub(super) fn log_enabled(&self, level: c_int, text: &str) {
        if process::is_logged(level) {
            self.log(level, 0, text.as_bytes());
        }
    }

    /// A header record, its code first, and the lines that belong to it, with nothing in between; the thread holds no GIL.
    pub(crate) fn log_report(&self, level: c_int, header: &str, lines: &[String]) {
        let logged = self.lent.with(|transport| {
            transport.log(level, LOG_CODE_FIRST, process::record(header.as_bytes()));
            for line in lines {
                transport.log(level, LOG_CONTINUATION, process::record(line.as_bytes()));
            }
        });
        if logged.is_none() {
            process::log(level, header);
            lines.iter().for_each(|line| process::log(level, line));
        }
    }

    /// Takes output of a log stream: whole lines become records, the rest waits (REQ-541); the thread holds no GIL.
    pub(crate) fn write_log(&self, text: &[u8]) {
        let mut lines = self.lines.lock();
        for line in lines.add(text) {
            self.log(ERROR, 0, &line);
        }
        self.has_lines.store(lines.has_any(), Ordering::Release);
    }

    /// Whether a line was begun and not ended.
    pub(crate) fn has_begun_line(&self) -> bool {
        self.has_lines.load(Ordering::Acquire)
    }

    /// Makes a record of a line that was begun; the thread holds no GIL.
    pub(crate) fn flush_lines(&self) {
        if self.has_begun_line() {
            let mut lines = self.lines.lock();
            if let Some(line) = lines.flush() {
                self.log(ERROR, 0, &line);
            }
            self.has_lines.store(false, Ordering::Release);
        }
    }
}
