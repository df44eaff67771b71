//! A host in memory for tests of the runtime: loads the library that cargo built, starts Python on a thread of its own
//! (the main thread of a test binary belongs to libtest) and answers the calls of the table from memory.
#![allow(dead_code, unused_imports, clippy::unwrap_used)] // not every test binary uses everything; a test ends where it fails

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, SystemTime};

use wsgi_core::python::{ProcessFacts, PythonSettings, TelemetrySettings};
use wsgi_core::scoreboard::{ProcessRow, Row, Scoreboard, Summary, WorkerRow};
use wsgi_runtime_api::host::Host;
use wsgi_runtime_api::runtime::Runtime;

mod connection;
mod request;

pub(crate) use connection::{Answer, Wire};
pub(crate) use request::TestRequest;

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
        let (_, text) = wsgi_core::record::split_source(text);
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

/// The same, reporting to `socket` requests that are slower than `slow` seconds, once in a day.
pub(crate) fn reporting(socket: &Path, slow: f64) -> PythonSettings {
    PythonSettings {
        telemetry: Some(TelemetrySettings {
            socket: socket.to_str().unwrap().to_owned(),
            interval: 86_400.0,
            slow,
            user_agent: false,
        }),
        ..settings()
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
