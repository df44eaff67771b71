//! Reading httpd's error log: records, their level, and which of them nobody expected.

use std::fs;
use std::path::{Path, PathBuf};

/// How bad a record is, as httpd's `LogLevel` names it, worst first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// `emerg`
    Emerg,
    /// `alert`
    Alert,
    /// `crit`
    Crit,
    /// `error`
    Error,
    /// `warn`
    Warn,
    /// `notice`
    Notice,
    /// `info`
    Info,
    /// `debug` and `trace1` to `trace8`
    Debug,
    /// A line that is no record of httpd, such as what a process wrote to its descriptor 2.
    Raw,
}

impl Level {
    fn named(name: &str) -> Option<Level> {
        Some(match name {
            "emerg" => Level::Emerg,
            "alert" => Level::Alert,
            "crit" => Level::Crit,
            "error" => Level::Error,
            "warn" => Level::Warn,
            "notice" => Level::Notice,
            "info" => Level::Info,
            "debug" => Level::Debug,
            other if other.starts_with("trace") => Level::Debug,
            _ => return None,
        })
    }

    /// Whether a test has to expect it.
    pub fn is_bad(self) -> bool {
        self <= Level::Warn || self == Level::Raw
    }
}

/// A record of the error log in httpd's default format, with the traceback lines that follow it.
#[derive(Clone, Debug)]
pub struct Record {
    /// How bad it is.
    pub level: Level,
    /// The module that wrote it, `wsgi` for ours; empty for [`Level::Raw`].
    pub module: String,
    /// The process that wrote it.
    pub pid: i32,
    /// The thread that wrote it.
    pub tid: i64,
    /// All behind process and thread: address of the client, error text, message.
    pub text: String,
    /// The records of the traceback that this is the header of.
    pub traceback: Vec<String>,
    /// The whole line.
    pub line: String,
}

impl Record {
    /// The `client 1.2.3.4:5` or `remote 1.2.3.4:5` that the text begins with, behind the error of the system if there is one.
    pub fn peer(&self) -> Option<&str> {
        self.split().0
    }

    /// The text without the error of the system and the address of the peer.
    pub fn message(&self) -> &str {
        self.split().1
    }

    fn split(&self) -> (Option<&str>, &str) {
        // `(2)No such file or directory: ` comes first.
        let system = self
            .text
            .strip_prefix('(')
            .is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
        let text = match self.text.split_once(": ") {
            Some((_, rest)) if system => rest,
            _ => self.text.as_str(),
        };
        let inner = text.strip_prefix('[').and_then(|rest| rest.split_once(']'));
        match inner {
            Some((peer, rest)) if peer.starts_with("client ") || peer.starts_with("remote ") => {
                (Some(peer), rest.trim_start())
            }
            _ => (None, text),
        }
    }

    /// Whether this or its traceback contains `text`.
    pub fn contains(&self, text: &str) -> bool {
        self.line.contains(text) || self.traceback.iter().any(|line| line.contains(text))
    }

    fn parse(line: &str) -> Record {
        Record::of_httpd(line).unwrap_or_else(|| Record {
            level: Level::Raw,
            module: String::new(),
            pid: 0,
            tid: 0,
            text: line.to_owned(),
            traceback: Vec::new(),
            line: line.to_owned(),
        })
    }

    /// `[time] [module:level] [pid 1:tid 2] text`
    fn of_httpd(line: &str) -> Option<Record> {
        let (_, rest) = line.strip_prefix('[')?.split_once("] [")?;
        let (origin, rest) = rest.split_once("] [pid ")?;
        let (module, level) = origin.rsplit_once(':')?;
        let level = Level::named(level)?;
        let (process, text) = rest.split_once(']')?;
        let (pid, tid) = process.split_once(":tid ").unwrap_or((process, "0"));
        Some(Record {
            level,
            module: module.to_owned(),
            pid: pid.parse().ok()?,
            tid: tid.parse().ok()?,
            text: text.strip_prefix(' ').unwrap_or(text).to_owned(),
            traceback: Vec::new(),
            line: line.to_owned(),
        })
    }

    /// A header of a traceback: the records that follow it from the same thread belong to it (REQ-800).
    fn begins_traceback(&self) -> bool {
        [
            "WSGI0174", "WSGI0175", "WSGI0188", "WSGI0189", "WSGI0105", "WSGI0106", "WSGI0107",
        ]
        .iter()
        .chain(&[
            "WSGI0108", "WSGI0109", "WSGI0110", "WSGI0194", "WSGI0112", "WSGI0190",
        ])
        .any(|code| self.text.contains(code))
    }

    fn continues_traceback(&self) -> bool {
        self.level == Level::Error
            && self.module == "wsgi"
            && !self.message().starts_with("[script ")
            && !self.message().starts_with("WSGI")
    }
}

/// The error log of a server, which other processes are writing.
#[derive(Clone, Debug)]
pub struct ErrorLog {
    path: PathBuf,
}

impl ErrorLog {
    /// The log at this path; it need not be there yet.
    pub fn new(path: impl Into<PathBuf>) -> ErrorLog {
        ErrorLog { path: path.into() }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// All of its text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.path).unwrap_or_default()).into_owned()
    }

    /// Its records so far, complete lines only.
    pub fn records(&self) -> Vec<Record> {
        let text = self.text();
        let complete = text.rfind('\n').map_or("", |end| &text[..end]);
        let mut records: Vec<Record> = Vec::new();
        // Which record the next line of a process and thread may continue: its last one, if that is a traceback.
        let mut open: Vec<((i32, i64), usize)> = Vec::new();
        for line in complete.lines().filter(|line| !line.is_empty()) {
            let record = Record::parse(line);
            let thread = (record.pid, record.tid);
            let header = open
                .iter()
                .find(|(key, _)| *key == thread)
                .map(|(_, index)| *index);
            if let Some(index) = header.filter(|_| record.continues_traceback()) {
                records[index].traceback.push(record.text);
                continue;
            }
            open.retain(|(key, _)| *key != thread);
            if record.begins_traceback() {
                open.push((thread, records.len()));
            }
            records.push(record);
        }
        records
    }

    /// The records that contain `text`.
    pub fn matching(&self, text: &str) -> Vec<Record> {
        self.records()
            .into_iter()
            .filter(|record| record.contains(text))
            .collect()
    }

    /// How many records contain `text`.
    pub fn count(&self, text: &str) -> usize {
        self.matching(text).len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log_of(lines: &str) -> (tempfile::TempDir, ErrorLog) {
        let folder = tempfile::tempdir().expect("a folder for the log");
        let path = folder.path().join("error.log");
        fs::write(&path, lines).expect("the log is written");
        (folder, ErrorLog::new(path))
    }

    #[test]
    fn a_record_has_its_parts() {
        let (_folder, log) = log_of(
            "[Sat Nov 21 04:00:01.397155 2026] [wsgi:error] [pid 12:tid 34] [client 127.0.0.1:5] [script /a] WSGI0135: no\n",
        );
        let record = log.records().remove(0);
        assert_eq!(
            (record.level, record.module.as_str()),
            (Level::Error, "wsgi")
        );
        assert_eq!((record.pid, record.tid), (12, 34));
        assert_eq!(record.peer(), Some("client 127.0.0.1:5"));
        assert_eq!(record.message(), "[script /a] WSGI0135: no");
    }

    #[test]
    fn the_error_of_the_system_comes_before_the_peer() {
        let (_folder, log) = log_of(
            "[t] [wsgi:error] [pid 1:tid 2] (2)No such file: [client 127.0.0.1:5] WSGI0105: no\n",
        );
        let record = log.records().remove(0);
        assert_eq!(
            (record.peer(), record.message()),
            (Some("client 127.0.0.1:5"), "WSGI0105: no")
        );
    }

    #[test]
    fn a_traceback_belongs_to_its_header_and_other_threads_do_not() {
        let (_folder, log) = log_of(
            "[t] [wsgi:error] [pid 1:tid 2] WSGI0174: [script /a] ValueError\n\
             [t] [wsgi:error] [pid 1:tid 3] [script /b] other\n\
             [t] [wsgi:error] [pid 1:tid 2] Traceback (most recent call last):\n\
             [t] [wsgi:error] [pid 1:tid 2] ValueError: x\n\
             [t] [wsgi:error] [pid 1:tid 2] [script /a] output\n",
        );
        let records = log.records();
        assert_eq!(records.len(), 3);
        assert_eq!(
            records[0].traceback,
            ["Traceback (most recent call last):", "ValueError: x"]
        );
    }

    #[test]
    fn what_is_no_record_is_raw_and_bad() {
        let (_folder, log) = log_of("free(): invalid pointer\nunfinished");
        let records = log.records();
        assert_eq!(records.len(), 1);
        assert!(records[0].level.is_bad());
    }
}
