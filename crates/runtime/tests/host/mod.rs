//! A host in memory for tests of the runtime: loads the library that cargo built, starts Python on a thread of its own
//! (the main thread of a test binary belongs to libtest) and answers the calls of the table from memory.
#![allow(dead_code, clippy::unwrap_used)] // not every test binary uses everything; a test ends where it fails

use std::os::fd::BorrowedFd;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, SystemTime};

use wsgi_core::python::{ProcessFacts, PythonSettings};
use wsgi_core::scoreboard::{ProcessRow, Row, Scoreboard, Summary, WorkerRow};
use wsgi_runtime_api::body::BodyBuffer;
use wsgi_runtime_api::host::{Blocks, Headers, Host, ReadError, SendError, Transport};
use wsgi_runtime_api::runtime::{Environ, Request, Runtime};
use wsgi_runtime_api::{
    Outcome, REQUEST_HEAD, REQUEST_SCRIPT_RELOADING, SEND_FLUSH, SEND_LAST, SEND_NOTHING_AFTER,
};

/// httpd's level `error`.
pub(crate) const ERROR: u8 = 3;
/// httpd's level `info`.
pub(crate) const INFO: u8 = 6;

/// The process's log.
static LOG: Mutex<Vec<(u8, String)>> = Mutex::new(Vec::new());
/// Calls of `activity`.
pub(crate) static ACTIVITY: AtomicUsize = AtomicUsize::new(0);
/// Calls of `script_loaded`.
pub(crate) static LOADED: AtomicUsize = AtomicUsize::new(0);

struct Memory;

impl Host for Memory {
    fn log(level: u8, text: &[u8]) {
        LOG.lock()
            .unwrap()
            .push((level, String::from_utf8_lossy(text).into_owned()));
    }

    fn log_enabled(_level: u8) -> bool {
        true
    }

    fn activity() {
        ACTIVITY.fetch_add(1, Ordering::Relaxed);
    }

    /// A server of one process with two threads, of which the second was never used.
    fn server_metrics() -> Option<Scoreboard> {
        let used = WorkerRow {
            thread_num: 0,
            generation: 3,
            state: 4,
            access_count: u64::MAX,
            bytes_served: 1 << 40,
            start_time: 1_700_000_000_500_000,
            stop_time: 1_700_000_000_250_000,
            last_used: 1_700_000_000_500_000,
            client: b"::1".to_vec(),
            request: b"GET /\xe9 HTTP/1.1".to_vec(),
            vhost: b"site".to_vec(),
        };
        let process = ProcessRow {
            pid: 77,
            generation: 3,
            quiescing: true,
        };
        Some(Scoreboard {
            summary: Summary {
                server_limit: 1,
                thread_limit: 2,
                running_generation: 4,
                restart_time: 1_700_000_000_000_000,
                current_time: 1_700_000_001_999_999,
            },
            rows: vec![
                Row::Process(process),
                Row::Worker(used),
                Row::Worker(WorkerRow::default()),
            ],
        })
    }

    fn script_loaded() {
        LOADED.fetch_add(1, Ordering::Relaxed);
    }
}

/// The process's log so far.
pub(crate) fn log() -> Vec<(u8, String)> {
    LOG.lock().unwrap().clone()
}

/// Whether the process's log has a record with this text.
pub(crate) fn is_logged(part: &str) -> bool {
    log().iter().any(|(_, text)| text.contains(part))
}

type Errand = Box<dyn FnOnce(&Runtime) + Send>;

/// A started runtime.
pub(crate) struct Python {
    pub(crate) runtime: Arc<Runtime>,
    main: Mutex<Sender<Errand>>,
    folder: tempfile::TempDir,
    files: AtomicU32,
}

/// Settings of a test process: like a child of Apache's worker.
pub(crate) fn settings() -> PythonSettings {
    PythonSettings {
        case_sensitive: true,
        destroy_interpreters: true,
        facts: ProcessFacts {
            multithread: true,
            multiprocess: true,
            maximum_processes: 2,
            threads_per_process: 15,
            apache_version: (2, 4, 67),
            apache_maximum_processes: 16,
            apache_threads_per_process: 25,
            apache_description: "Apache/2.4.67 (Test)".to_owned(),
            apache_mpm_name: "event".to_owned(),
            apache_build_date: "2026-01-01".to_owned(),
            implementation_version: "0.1.0".to_owned(),
            ..ProcessFacts::default()
        },
        ..PythonSettings::default()
    }
}

fn library() -> PathBuf {
    // Cargo builds it for every test, beside the test binary.
    let binary = std::env::current_exe().unwrap();
    binary.with_file_name("libwsgi_runtime.so")
}

impl Python {
    /// The runtime of this process, started with `settings` by whoever comes first.
    pub(crate) fn get(settings: impl FnOnce() -> PythonSettings) -> &'static Python {
        static PYTHON: OnceLock<Python> = OnceLock::new();
        PYTHON.get_or_init(|| {
            let runtime = Arc::new(Runtime::open(&library()).unwrap());
            let (sender, receiver): (Sender<Errand>, Receiver<Errand>) = channel();
            let settings = settings();
            let (started, is_started) = channel();
            let for_main = Arc::clone(&runtime);
            std::thread::Builder::new()
                .name("python".to_owned())
                .spawn(move || {
                    started
                        .send(for_main.start::<Memory>(&settings).is_ok())
                        .unwrap();
                    while let Ok(errand) = receiver.recv() {
                        errand(&for_main);
                    }
                })
                .unwrap();
            assert!(
                is_started.recv().unwrap(),
                "Python did not start: {:?}",
                log()
            );
            Python {
                runtime,
                main: Mutex::new(sender),
                folder: tempfile::tempdir().unwrap(),
                files: AtomicU32::new(0),
            }
        })
    }

    /// Runs something on Python's main thread and waits for it.
    pub(crate) fn on_main<R: Send + 'static>(
        &self,
        errand: impl FnOnce(&Runtime) -> R + Send + 'static,
    ) -> R {
        let (done, is_done) = channel();
        let errand: Errand = Box::new(move |runtime| done.send(errand(runtime)).unwrap());
        self.main.lock().unwrap().send(errand).unwrap();
        is_done.recv().unwrap()
    }

    /// A new script file.
    pub(crate) fn script(&self, source: &str) -> PathBuf {
        let number = self.files.fetch_add(1, Ordering::Relaxed);
        self.file(&format!("script{number}.wsgi"), source.as_bytes())
    }

    /// A new file.
    pub(crate) fn file(&self, name: &str, content: &[u8]) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        path
    }

    /// Folder of the files.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A GET request to a new script.
    pub(crate) fn get_from(&'static self, source: &str) -> Answer {
        self.request(&self.script(source)).run()
    }

    /// A request to a script.
    pub(crate) fn request(&'static self, script: &Path) -> TestRequest {
        TestRequest::new(self, script)
    }
}

/// Gives a script another modification time.
pub(crate) fn touch(path: &Path, seconds: u64) {
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
    std::fs::File::options()
        .write(true)
        .open(path)
        .unwrap()
        .set_modified(time)
        .unwrap();
}

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

/// What the connection does.
#[derive(Clone, Default)]
pub(crate) struct Wire {
    /// The client is gone after so many bytes of body.
    pub(crate) gone_after: Option<usize>,
    /// Sending fails after so many bytes.
    pub(crate) fails_after: Option<usize>,
    /// Reading fails after so many bytes.
    pub(crate) read_fails_after: Option<usize>,
    /// LogLevel of the request.
    pub(crate) log_level: Option<u8>,
    /// Largest piece of a read.
    pub(crate) piece: Option<usize>,
}

impl TestRequest {
    fn new(python: &'static Python, script: &Path) -> TestRequest {
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
        let mut connection = Connection {
            body: self.body.clone(),
            position: 0,
            wire: self.wire.clone(),
            answer: Answer::default(),
            error: Vec::new(),
        };
        let outcome = self.python.runtime.handle(&request, &mut connection);
        let mut answer = connection.answer;
        answer.outcome = Some(outcome);
        answer
    }
}

/// A number for the calling thread, which leaves Python when it ends.
pub(crate) fn thread_number(python: &'static Python) -> u32 {
    struct Leaving(&'static Python, u32);

    impl Drop for Leaving {
        fn drop(&mut self) {
            self.0.runtime.leave_thread();
        }
    }

    static NEXT: AtomicU32 = AtomicU32::new(1);
    thread_local! {
        static LEAVING: std::cell::OnceCell<Leaving> = const { std::cell::OnceCell::new() };
    }
    LEAVING.with(|leaving| {
        leaving
            .get_or_init(|| Leaving(python, NEXT.fetch_add(1, Ordering::Relaxed)))
            .1
    })
}

/// What came back.
#[derive(Debug, Default)]
pub(crate) struct Answer {
    pub(crate) outcome: Option<Outcome>,
    /// None if no head was sent.
    pub(crate) status: Option<String>,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) content_length: Option<u64>,
    /// Blocks as they were sent, with their flags; files are read.
    pub(crate) sends: Vec<(Vec<u8>, u32)>,
    pub(crate) files: usize,
    /// Level, flags and text.
    pub(crate) log: Vec<(u8, u32, String)>,
    /// Reads without room.
    pub(crate) asked: usize,
    pub(crate) read: usize,
}

impl Answer {
    pub(crate) fn body(&self) -> Vec<u8> {
        self.sends
            .iter()
            .flat_map(|(bytes, _)| bytes.clone())
            .collect()
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body()).into_owned()
    }

    pub(crate) fn outcome(&self) -> Outcome {
        self.outcome.unwrap()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        headers
            .find(|(other, _)| other.eq_ignore_ascii_case(name))
            .map(|(_, value)| &**value)
    }

    /// Records of level error or worse.
    pub(crate) fn errors(&self) -> Vec<&str> {
        let errors = self.log.iter().filter(|(level, ..)| *level <= ERROR);
        errors.map(|(_, _, text)| &**text).collect()
    }

    pub(crate) fn has_error(&self, part: &str) -> bool {
        self.errors().iter().any(|text| text.contains(part))
    }

    /// A whole, undisturbed answer.
    #[track_caller]
    pub(crate) fn is_fine(&self) -> &Answer {
        assert_eq!(self.outcome(), Outcome::Complete, "{:#?}", self.log);
        assert_eq!(self.errors(), Vec::<&str>::new());
        assert!(
            self.sends
                .last()
                .is_some_and(|(_, flags)| flags & SEND_LAST != 0)
        );
        self
    }
}

struct Connection {
    body: Vec<u8>,
    position: usize,
    wire: Wire,
    answer: Answer,
    error: Vec<u8>,
}

impl Connection {
    fn check(&mut self, more: usize) -> Result<(), SendError> {
        let last = self.answer.sends.last().map_or(0, |(_, flags)| *flags);
        assert_eq!(last & SEND_LAST, 0, "something was sent after the end");
        let total = self.answer.body().len() + more;
        if self.wire.gone_after.is_some_and(|limit| total > limit) {
            return Err(SendError::Gone);
        }
        if self.wire.fails_after.is_some_and(|limit| total > limit) {
            self.error = b"no route to the client".to_vec();
            return Err(SendError::Failed);
        }
        Ok(())
    }
}

impl Transport for Connection {
    fn read_body(&mut self, buffer: &mut BodyBuffer<'_>) -> Result<(), ReadError> {
        if buffer.room() == 0 {
            self.answer.asked += 1;
            return Ok(());
        }
        if self
            .wire
            .read_fails_after
            .is_some_and(|limit| self.position >= limit)
        {
            return Err(ReadError::Aborted);
        }
        let end = match self.wire.piece {
            Some(piece) => self.body.len().min(self.position + piece),
            None => self.body.len(),
        };
        let end = self
            .wire
            .read_fails_after
            .map_or(end, |limit| end.min(limit));
        let taken = buffer.put(&self.body[self.position..end]);
        self.position += taken;
        self.answer.read += taken;
        Ok(())
    }

    fn send_head(
        &mut self,
        status: &[u8],
        headers: Headers<'_>,
        content_length: Option<u64>,
    ) -> Result<(), SendError> {
        assert!(self.answer.status.is_none(), "the head was sent twice");
        let text = |bytes: &[u8]| {
            bytes
                .iter()
                .map(|byte| char::from(*byte))
                .collect::<String>()
        };
        self.answer.status = Some(text(status));
        self.answer.headers = headers
            .iter()
            .map(|(name, value)| (text(name), text(value)))
            .collect();
        self.answer.content_length = content_length;
        Ok(())
    }

    fn send_data(&mut self, blocks: Blocks<'_>, flags: u32) -> Result<(), SendError> {
        assert!(self.answer.status.is_some(), "data came before the head");
        assert_eq!(flags & !(SEND_FLUSH | SEND_LAST | SEND_NOTHING_AFTER), 0);
        self.check(blocks.total())?;
        let bytes: Vec<u8> = blocks.iter().flatten().copied().collect();
        self.answer.sends.push((bytes, flags));
        Ok(())
    }

    fn send_file(
        &mut self,
        file: BorrowedFd<'_>,
        offset: u64,
        len: u64,
        flags: u32,
    ) -> Result<(), SendError> {
        assert!(self.answer.status.is_some(), "data came before the head");
        let length = usize::try_from(len).unwrap();
        self.check(length)?;
        let mut bytes = vec![0; length];
        let file = std::fs::File::from(file.try_clone_to_owned().unwrap());
        file.read_exact_at(&mut bytes, offset).unwrap();
        self.answer.files += 1;
        self.answer.sends.push((bytes, flags));
        Ok(())
    }

    fn log(&mut self, level: u8, flags: u32, text: &[u8]) {
        let text = String::from_utf8_lossy(text).into_owned();
        self.answer.log.push((level, flags, text));
    }

    fn log_enabled(&self, level: u8) -> bool {
        level <= self.wire.log_level.unwrap_or(15)
    }

    fn last_error(&self) -> Option<&[u8]> {
        (!self.error.is_empty()).then_some(&*self.error)
    }
}
