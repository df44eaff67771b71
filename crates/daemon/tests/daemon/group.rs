//! Plays the supervisor and an Apache child against a real `mod_wsgi-daemon` with the test runtime.

use std::ffi::OsStr;
use std::io::IoSlice;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

use wsgi_core::control::{DaemonSettings, FromDaemon, ToDaemon};
use wsgi_core::wire::{
    AnswerEnd, AnswerHead, FLAG_AWAITS_CONTINUE, HEADER_LEN, Header, Hello, Kind, Log, Refusal,
    RequestHead, Welcome, encode_plain,
};
use wsgi_sys::board::Board;
use wsgi_sys::control::{ControlSocket, Received};
use wsgi_sys::exec::{Program, spawn};
use wsgi_sys::listener::{self, ListenerOptions};
use wsgi_sys::signals;
use wsgi_sys::stream::{self, Wait};

pub(crate) const SECRET: [u8; 16] = [42; 16];
pub(crate) const SLOT: u32 = 1;
pub(crate) const INSTANCE: u32 = 5;

/// A daemon process and what its supervisor has of it.
pub(crate) struct Daemon {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) control: ControlSocket,
    pub(crate) board: Board,
    pub(crate) pid: i32,
    /// Number of its request threads.
    pub(crate) threads: u32,
    socket: PathBuf,
    /// Records so far.
    pub(crate) log: Vec<String>,
    _listener: OwnedFd,
    reaped: Option<i32>,
}

/// Settings of a group of one process with `threads` threads.
pub(crate) fn settings(threads: u32) -> DaemonSettings {
    let mut settings = DaemonSettings {
        group: "test".into(),
        slot: SLOT,
        instance: INSTANCE,
        generation: 1,
        secret: SECRET,
        threads,
        runtime: runtime(),
        log_level: 7,
        ..DaemonSettings::default()
    };
    settings.limits.socket_timeout = 60;
    settings.limits.shutdown_timeout = 5;
    settings.limits.graceful_timeout = 15;
    settings.allowed_peers = vec![wsgi_sys::process::effective_uid()];
    settings
}

/// Built by cargo beside the tests.
fn runtime() -> String {
    let binary = Path::new(env!("CARGO_BIN_EXE_mod_wsgi-daemon"));
    let path = binary.with_file_name("examples").join("libtest_runtime.so");
    path.to_str().expect("a path in UTF-8").to_owned()
}

impl Daemon {
    /// Starts a process and sends its settings.
    pub(crate) fn start(settings: DaemonSettings) -> Daemon {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("group.sock");
        let bound = listener::bind(&ListenerOptions {
            path: socket.clone(),
            backlog: 50,
            send_buffer: None,
            receive_buffer: None,
            owner: None,
        })
        .unwrap();
        let (board, file) = Board::create(4).unwrap();
        board.assign(SLOT, INSTANCE);
        let (control, theirs) = ControlSocket::pair().unwrap();
        let null = std::fs::File::options()
            .read(true)
            .write(true)
            .open("/dev/null")
            .unwrap();
        let stderr = std::io::stderr();
        let pid = spawn(&Program {
            path: Path::new(env!("CARGO_BIN_EXE_mod_wsgi-daemon")),
            name: OsStr::new("mod_wsgi-daemon: test"),
            environment: &[],
            descriptors: &[
                (null.as_fd(), 0),
                (null.as_fd(), 1),
                (stderr.as_fd(), 2),
                (theirs.as_fd(), 3),
                (bound.socket.as_fd(), 4),
                (file.as_fd(), 5),
            ],
            parent_death_signal: None,
        })
        .unwrap();
        drop(theirs);
        stream::set_timeouts(control.as_fd(), Some(Duration::from_secs(30))).unwrap();
        let threads = settings.threads;
        control.send(&ToDaemon::Start(Box::new(settings))).unwrap();
        Daemon {
            folder,
            control,
            board,
            pid,
            threads,
            socket,
            log: Vec::new(),
            _listener: bound.socket,
            reaped: None,
        }
    }

    /// Starts a process and waits until it takes requests.
    pub(crate) fn ready(settings: DaemonSettings) -> Daemon {
        let mut daemon = Daemon::start(settings);
        assert_eq!(daemon.next(), Some(FromDaemon::Ready), "{:#?}", daemon.log);
        daemon
    }

    /// The next message that is no log record; None when the process has closed its end.
    pub(crate) fn next(&mut self) -> Option<FromDaemon> {
        loop {
            match self.control.receive().expect("a message in time") {
                Received::Message(FromDaemon::Log { text, .. }) => self.note(&text),
                Received::Message(message) => return Some(message),
                Received::Closed => return None,
                Received::Nothing => panic!("no message in time; log: {:#?}", self.log),
            }
        }
    }

    /// Waits for a log record that contains `part`.
    pub(crate) fn expect_log(&mut self, part: &str) {
        self.expect_logs(part, 1);
    }

    /// Waits for that many log records that contain `part`.
    pub(crate) fn expect_logs(&mut self, part: &str, count: usize) {
        while self.log.iter().filter(|line| line.contains(part)).count() < count {
            match self.control.receive().expect("a record in time") {
                Received::Message(FromDaemon::Log { text, .. }) => self.note(&text),
                other => panic!("{other:?} instead of {part:?}; log: {:#?}", self.log),
            }
        }
    }

    fn note(&mut self, text: &[u8]) {
        self.log.push(String::from_utf8_lossy(text).into_owned());
    }

    /// Sends a signal.
    pub(crate) fn signal(&self, number: i32) {
        assert!(signals::send(self.pid, number));
    }

    /// Reads the log to its end and returns the exit status.
    pub(crate) fn end(&mut self) -> i32 {
        while self.next().is_some() {}
        self.reap()
    }

    fn reap(&mut self) -> i32 {
        use nix::sys::wait::{WaitStatus, waitpid};
        *self.reaped.get_or_insert_with(|| {
            match waitpid(nix::unistd::Pid::from_raw(self.pid), None).unwrap() {
                WaitStatus::Exited(_, status) => status,
                WaitStatus::Signaled(_, signal, _) => -(signal as i32),
                other => panic!("{other:?}"),
            }
        })
    }

    /// Connects as a child does.
    pub(crate) fn connect(&self) -> Child {
        let socket = stream::socket().unwrap();
        stream::set_timeouts(socket.as_fd(), Some(Duration::from_secs(30))).unwrap();
        stream::connect(socket.as_fd(), &self.socket).unwrap();
        Child {
            socket,
            received: Vec::new(),
            descriptors: Vec::new(),
        }
    }

    /// Connects and says Hello.
    pub(crate) fn child(&self) -> Child {
        let child = self.connect();
        child.send(&hello());
        child
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if self.reaped.is_none() {
            signals::send(self.pid, libc::SIGKILL);
            self.reap();
        }
    }
}

/// A frame of the daemon.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Frame {
    Welcome(u32, u32),
    Continue,
    Refused(Refusal),
    /// Status, Content-Length.
    Head(String, Option<u64>),
    Data(Vec<u8>),
    File,
    End(AnswerEnd),
    Log(String),
    /// The daemon has closed the connection.
    Closed,
}

/// A child's connection.
pub(crate) struct Child {
    pub(crate) socket: OwnedFd,
    received: Vec<u8>,
    pub(crate) descriptors: Vec<OwnedFd>,
}

/// A request frame for `callable`.
pub(crate) fn request(callable: &str, flags: u8) -> Vec<u8> {
    request_for(callable, "/app.wsgi", flags)
}

/// A request frame with a script.
pub(crate) fn request_for(callable: &str, script: &str, flags: u8) -> Vec<u8> {
    let head = RequestHead {
        callable_object: callable.as_bytes(),
        script_filename: script.as_bytes(),
        server_pid: std::process::id(),
        connects: 1,
        ..RequestHead::empty()
    };
    let environ = [
        (&b"REQUEST_METHOD"[..], Some(&b"GET"[..])),
        (b"NOTHING", None),
    ];
    let mut wire = Vec::new();
    head.encode(&mut wire, flags, environ.into_iter()).unwrap();
    wire
}

/// What a connection begins with.
pub(crate) fn hello() -> Vec<u8> {
    let mut wire = Vec::new();
    let (generation, secret) = (1, SECRET);
    Hello { generation, secret }.encode(&mut wire);
    wire
}

/// Frames of a whole body, split into pieces.
pub(crate) fn body(bytes: &[u8], piece: usize) -> Vec<u8> {
    let mut wire = Vec::new();
    for part in bytes.chunks(piece.max(1)) {
        encode_plain(&mut wire, Kind::Body, 0, part).unwrap();
    }
    encode_plain(&mut wire, Kind::BodyEnd, 0, b"").unwrap();
    wire
}

impl Child {
    pub(crate) fn send(&self, bytes: &[u8]) {
        stream::send_all(self.socket.as_fd(), &mut [IoSlice::new(bytes)], None).unwrap();
    }

    /// Sends, and does not mind if the daemon has hung up meanwhile.
    pub(crate) fn try_send(&self, bytes: &[u8]) {
        let _ = stream::send_all(self.socket.as_fd(), &mut [IoSlice::new(bytes)], None);
    }

    /// A request without body.
    pub(crate) fn ask(&self, callable: &str) {
        self.send(&[request(callable, 0), body(b"", 1)].concat());
    }

    /// A request that waits for Continue.
    pub(crate) fn ask_awaiting(&self, callable: &str) {
        self.send(&request(callable, FLAG_AWAITS_CONTINUE));
    }

    /// The next frame.
    pub(crate) fn next(&mut self) -> Frame {
        loop {
            if let Some(header) = Header::decode(&self.received).unwrap() {
                let whole = HEADER_LEN + header.len;
                if self.received.len() >= whole {
                    let payload: Vec<u8> = self.received.drain(..whole).skip(HEADER_LEN).collect();
                    return frame(header, &payload);
                }
            }
            let mut buffer = vec![0; 1 << 20];
            let received =
                stream::receive_with_descriptor(self.socket.as_fd(), &mut buffer, Wait::Block);
            match received {
                Ok((0, _)) => {
                    assert!(self.received.is_empty(), "closed within a frame");
                    return Frame::Closed;
                }
                Ok((count, descriptor)) => {
                    self.received.extend_from_slice(&buffer[..count]);
                    self.descriptors.extend(descriptor);
                }
                Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => {
                    return Frame::Closed;
                }
                Err(error) => panic!("nothing from the daemon: {error}"),
            }
        }
    }

    pub(crate) fn expect_welcome(&mut self) {
        assert_eq!(self.next(), Frame::Welcome(SLOT, INSTANCE));
    }

    /// Head, data until the end, and the end.
    pub(crate) fn answer(&mut self) -> (String, Vec<u8>, AnswerEnd) {
        let mut status = String::new();
        let mut data = Vec::new();
        loop {
            match self.next() {
                Frame::Head(line, _) => status = line,
                Frame::Data(bytes) => data.extend_from_slice(&bytes),
                Frame::Log(_) | Frame::Continue | Frame::File => {}
                Frame::End(end) => return (status, data, end),
                other => panic!("unexpected {other:?}"),
            }
        }
    }

    pub(crate) fn expect_hello(&mut self) {
        let (status, data, end) = self.answer();
        assert_eq!(
            (status.as_str(), &data[..], end),
            ("200 OK", &b"hello"[..], AnswerEnd::Complete)
        );
    }
}

fn frame(header: Header, payload: &[u8]) -> Frame {
    match header.kind {
        Kind::Welcome => {
            let welcome = Welcome::decode(payload).unwrap();
            Frame::Welcome(welcome.slot, welcome.instance)
        }
        Kind::Continue => Frame::Continue,
        Kind::Refused => Frame::Refused(Refusal::decode(payload).unwrap()),
        Kind::Head => {
            let head = AnswerHead::decode(payload).unwrap();
            Frame::Head(
                String::from_utf8_lossy(head.status).into_owned(),
                head.content_length,
            )
        }
        Kind::Data => Frame::Data(payload.to_vec()),
        Kind::File => Frame::File,
        Kind::End => Frame::End(AnswerEnd::decode(payload).unwrap()),
        Kind::Log => {
            Frame::Log(String::from_utf8_lossy(Log::decode(payload).unwrap().text).into_owned())
        }
        kind => panic!("a daemon does not send {kind:?}"),
    }
}
