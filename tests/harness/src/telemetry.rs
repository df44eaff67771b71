//! A consumer of telemetry: the socket that `WSGITelemetryService` names, and all that comes to it, decoded strictly.

mod datagram;

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

pub use datagram::{Datagram, Kind};

use crate::wait::{PATIENCE, wait_within};

/// Parts of a request whose time is measured, without `_time` (MET-30, TEL-130).
pub const PHASES: [&str; 8] = [
    "server",
    "queue",
    "daemon",
    "application",
    "request",
    "gil_wait",
    "input_read",
    "output_write",
];

/// How often the thread that reads looks whether it is over.
const LOOK: Duration = Duration::from_millis(50);

/// What came, and what was wrong with it.
#[derive(Debug, Default)]
struct Heap {
    datagrams: Vec<Datagram>,
    faults: Vec<String>,
}

/// A consumer. The socket exists as long as this does, and everybody may write to it; what comes is read by a thread. All methods
/// that look at datagrams panic if one of them was malformed.
#[derive(Debug)]
pub struct Consumer {
    path: PathBuf,
    socket: Arc<UnixDatagram>,
    heap: Arc<Mutex<Heap>>,
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Consumer {
    /// Binds the socket and reads.
    ///
    /// # Panics
    /// If there is something else at that path.
    #[track_caller]
    pub fn bind(path: impl Into<PathBuf>) -> Consumer {
        let mut consumer = Consumer::idle(path);
        consumer.read();
        consumer
    }

    /// Binds the socket and does not read yet: what is sent stays in the queue of the socket, which is soon full.
    ///
    /// # Panics
    /// If there is something else at that path.
    #[track_caller]
    pub fn idle(path: impl Into<PathBuf>) -> Consumer {
        let path = path.into();
        let socket = UnixDatagram::bind(&path).expect("a socket in the folder of the server");
        fs::set_permissions(&path, Permissions::from_mode(0o666)).expect("the owner may");
        Consumer {
            path,
            socket: Arc::new(socket),
            heap: Arc::default(),
            is_over: Arc::default(),
            thread: None,
        }
    }

    /// Begins to read.
    pub fn read(&mut self) {
        self.socket
            .set_read_timeout(Some(LOOK))
            .expect("a socket has timeouts");
        let (socket, heap) = (Arc::clone(&self.socket), Arc::clone(&self.heap));
        let is_over = Arc::clone(&self.is_over);
        self.thread = Some(thread::spawn(move || read_all(&socket, &heap, &is_over)));
    }

    /// Where the socket is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// All that came so far, in the order in which it came.
    ///
    /// # Panics
    /// If something malformed came.
    #[track_caller]
    pub fn all(&self) -> Vec<Datagram> {
        let heap = self.heap.lock().expect("the reader does not panic");
        assert!(heap.faults.is_empty(), "{}", heap.faults.join("\n"));
        heap.datagrams.clone()
    }

    /// Those of one kind.
    #[track_caller]
    pub fn of(&self, kind: Kind) -> Vec<Datagram> {
        self.only(|datagram| datagram.kind == kind)
    }

    /// Those of one process.
    #[track_caller]
    pub fn from(&self, pid: i32) -> Vec<Datagram> {
        self.only(|datagram| datagram.pid == pid)
    }

    /// Those that meet a condition.
    #[track_caller]
    pub fn only(&self, condition: impl Fn(&Datagram) -> bool) -> Vec<Datagram> {
        let mut all = self.all();
        all.retain(|datagram| condition(datagram));
        all
    }

    /// Waits for one that meets a condition, and returns the first.
    ///
    /// # Panics
    /// If it does not come, with a short list of what came.
    #[track_caller]
    pub fn wait_for(&self, what: &str, condition: impl Fn(&Datagram) -> bool) -> Datagram {
        self.wait_for_many(what, 1, condition).remove(0)
    }

    /// As [`Consumer::wait_for`], until there are `count` of them; returns all that are there then.
    ///
    /// # Panics
    /// If they do not come.
    #[track_caller]
    pub fn wait_for_many(
        &self,
        what: &str,
        count: usize,
        condition: impl Fn(&Datagram) -> bool,
    ) -> Vec<Datagram> {
        let found = wait_within(PATIENCE, || {
            let found = self.only(&condition);
            (found.len() >= count).then_some(found)
        });
        found.unwrap_or_else(|| {
            let all = self.all();
            let shown: Vec<String> = all.iter().map(Datagram::summary).collect();
            panic!(
                "gave up waiting for {count} × {what}; there were\n{}",
                shown.join("\n")
            )
        })
    }

    /// Waits until a process has sent `count` more of a kind, and returns those.
    #[track_caller]
    pub fn wait_for_more(&self, kind: Kind, pid: i32, count: usize) -> Vec<Datagram> {
        let is_meant = |datagram: &Datagram| datagram.kind == kind && datagram.pid == pid;
        let before = self.only(is_meant).len();
        let what = format!("more {kind:?} of {pid}");
        self.wait_for_many(&what, before + count, is_meant)
            .split_off(before)
    }
}

impl Drop for Consumer {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            thread.join().expect("the reader does not panic");
        }
        // A test may have removed it.
        let _ = fs::remove_file(&self.path);
        if !thread::panicking() {
            self.all();
        }
    }
}

fn read_all(socket: &UnixDatagram, heap: &Mutex<Heap>, is_over: &AtomicBool) {
    let mut buffer = vec![0; 65536];
    while !is_over.load(Ordering::Acquire) {
        let length = match socket.recv(&mut buffer) {
            Ok(length) => length,
            Err(error)
                if [
                    io::ErrorKind::WouldBlock,
                    io::ErrorKind::TimedOut,
                    io::ErrorKind::Interrupted,
                ]
                .contains(&error.kind()) =>
            {
                continue;
            }
            Err(error) => {
                let fault = format!("the socket of the consumer cannot be read: {error}");
                lock(heap).faults.push(fault);
                return;
            }
        };
        match Datagram::decode(&buffer[..length]) {
            Ok(datagram) => lock(heap).datagrams.push(datagram),
            Err(fault) => lock(heap).faults.push(fault),
        }
    }
}

fn lock(heap: &Mutex<Heap>) -> std::sync::MutexGuard<'_, Heap> {
    heap.lock().expect("nobody panics while holding the heap")
}
