//! Requests against a daemon played by the test, over real sockets; the Apache side is a record of what it was given.

use std::cell::Cell;
use std::io::{IoSlice, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use wsgi_core::life::Phase;
use wsgi_core::wire::{
    AnswerEnd, AnswerHead, FLAG_AWAITS_CONTINUE, FLAG_BROKEN, FLAG_FLUSH, FileSpan, HEADER_LEN,
    Header, Hello, Kind, Log, Refusal, RequestHead, Welcome, encode_plain, whole_frame,
};
use wsgi_sys::board::Board;
use wsgi_sys::room;
use wsgi_sys::stream::{self, Wait};

mod again;
mod answers;
mod flow;
mod nonsense;
mod spool;
mod streams;
mod uploads;

use super::body::BodyFacts;
use super::exchange::{Buffers, Exchange, Outcome};
use super::failure::Failure;
use super::group::{ClientLimits, GroupClient};
use super::side::{After, Apache, Gone, Verdict};
use super::spool::Bounds;

/// Long enough never to pass in a test that succeeds.
const LONG: Duration = Duration::from_secs(30);
const SHORT: Duration = Duration::from_millis(50);

/// What Apache has and gets.
#[derive(Default)]
struct Side {
    body: Vec<u8>,
    at: usize,
    /// The client breaks off at the end of `body`.
    breaks_off: bool,
    discards: bool,
    no_folder: bool,
    /// `client` takes the answer.
    is_slow: bool,
    takes_nothing: bool,
    /// It cannot be waited on for room.
    is_stream: bool,
    /// What the client has room for, where it is not asked.
    rooms: Option<Box<dyn Fn() -> usize>>,
    on_flush: Option<Sender<()>>,
    /// Nothing comes from the client after so many bytes before it got a flush, which is told by `on_flush`.
    pauses_at: usize,
    client: Option<UnixStream>,
    patience: Duration,
    out: Vec<u8>,
    passes: u32,
    flushes: u32,
    /// How often there is no room for the answer at first; each time is told.
    full: Cell<u32>,
    on_full: Option<Sender<()>>,
    /// Told the bytes passed so far, after each pass.
    on_pass: Option<Sender<usize>>,
    ended: bool,
    records: Vec<String>,
}

impl Side {
    fn uploading(body: Vec<u8>) -> Side {
        Side {
            body,
            ..Side::default()
        }
    }

    fn emit(&mut self, bytes: &[u8]) {
        match &mut self.client {
            Some(client) if self.is_slow => client.write_all(bytes).unwrap(),
            _ => self.out.extend_from_slice(bytes),
        }
    }
}

impl Apache for &mut Side {
    fn read_body(&mut self, buffer: &mut [u8]) -> Result<usize, Failure> {
        let rest = &self.body[self.at..];
        if rest.is_empty() && self.breaks_off {
            return Err(Failure::Body {
                status: Some(408),
                text: "too slow".into(),
            });
        }
        let count = rest.len().min(buffer.len()).min(8000);
        buffer[..count].copy_from_slice(&rest[..count]);
        self.at += count;
        Ok(count)
    }

    fn ask_for_body(&mut self) -> Result<(), Failure> {
        self.records.push("asked".into());
        Ok(())
    }

    fn client(&self) -> (Option<BorrowedFd<'_>>, Option<Duration>) {
        (
            self.client.as_ref().map(|client| client.as_fd()),
            Some(self.patience),
        )
    }

    fn read_available_body(&mut self, buffer: &mut [u8]) -> Result<Option<usize>, Failure> {
        if self.at == self.pauses_at && self.on_flush.is_some() {
            return Ok(None);
        }
        self.read_body(buffer).map(Some)
    }

    fn room(&mut self) -> Option<usize> {
        if let Some(rooms) = &self.rooms {
            return Some(rooms());
        }
        if let Some(less) = self.full.get().checked_sub(1) {
            self.full.set(less);
            if let Some(on_full) = &self.on_full {
                // The daemon may have ended meanwhile.
                let _ = on_full.send(());
            }
            return Some(0);
        }
        let client = self.client.as_ref()?;
        self.is_slow.then(|| room::of(client.as_fd()))
    }

    fn is_stream(&self) -> bool {
        self.is_stream
    }

    fn give_up(&mut self) {
        self.records.push("given up".into());
    }

    fn temporary_folder(&self) -> PathBuf {
        if self.no_folder {
            return "/nonexistent".into();
        }
        std::env::temp_dir()
    }

    fn head(&mut self, _head: &AnswerHead<'_>) -> Result<Verdict, Failure> {
        Ok(if self.discards {
            Verdict::Discard
        } else {
            Verdict::Deliver
        })
    }

    fn pass<'d>(
        &mut self,
        blocks: impl Iterator<Item = &'d [u8]>,
        after: After,
    ) -> Result<(), Gone> {
        if self.takes_nothing {
            return Err(Gone);
        }
        self.passes += 1;
        blocks.for_each(|block| self.emit(block));
        self.ended |= after == After::End;
        self.flushes += u32::from(after == After::Flush);
        if let Some(on_pass) = &self.on_pass {
            // The daemon may have ended meanwhile.
            let _ = on_pass.send(self.out.len());
        }
        if let (After::Flush, Some(on_flush)) = (after, self.on_flush.clone()) {
            on_flush.send(()).unwrap();
            self.on_flush = None;
        }
        Ok(())
    }

    fn file(&mut self, file: OwnedFd, span: FileSpan) -> Result<(), Gone> {
        let mut bytes = vec![0; usize::try_from(span.len).unwrap()];
        std::fs::File::from(file)
            .read_exact_at(&mut bytes, span.offset)
            .unwrap();
        self.emit(&bytes);
        Ok(())
    }

    fn log(&mut self, record: &Log<'_>) {
        self.records
            .push(String::from_utf8_lossy(record.text).into_owned());
    }

    fn record(&mut self, _level: u8, text: &str) {
        self.records.push(text.to_owned());
    }
}

/// A daemon's end of a connection.
struct Peer {
    stream: UnixStream,
    bytes: Vec<u8>,
    /// The last one that came.
    descriptor: Option<OwnedFd>,
}

impl Peer {
    fn accept(listener: &UnixListener) -> Peer {
        Peer {
            stream: listener.accept().unwrap().0,
            bytes: Vec::new(),
            descriptor: None,
        }
    }

    /// Accepts and takes Hello.
    fn greeted(listener: &UnixListener) -> Peer {
        let mut peer = Peer::accept(listener);
        assert_eq!(peer.frame().0.kind, Kind::Hello);
        peer
    }

    fn frame(&mut self) -> (Header, Vec<u8>) {
        loop {
            if let Some((header, payload)) = whole_frame(&self.bytes).unwrap() {
                let found = (header, payload.to_vec());
                self.bytes.drain(..HEADER_LEN + header.len);
                return found;
            }
            let mut buffer = [0; 65536];
            let (count, descriptor) =
                stream::receive_with_descriptor(self.stream.as_fd(), &mut buffer, Wait::Block)
                    .unwrap();
            assert!(count > 0, "the child closed the connection");
            self.descriptor = descriptor.or(self.descriptor.take());
            self.bytes.extend_from_slice(&buffer[..count]);
        }
    }

    /// Takes a request's head: connects, restarts, and whether it awaits Continue.
    fn head(&mut self) -> (u32, u32, bool) {
        let (header, payload) = self.frame();
        assert_eq!(header.kind, Kind::Request);
        let head = RequestHead::decode(&payload).unwrap();
        (
            head.connects,
            head.restarts,
            header.flags & FLAG_AWAITS_CONTINUE != 0,
        )
    }

    fn body(&mut self) -> Vec<u8> {
        let mut body = Vec::new();
        loop {
            let (header, payload) = self.frame();
            match header.kind {
                Kind::Body => body.extend(payload),
                Kind::BodyFile => {
                    let span = FileSpan::decode(&payload).unwrap();
                    let file = std::fs::File::from(self.descriptor.take().unwrap());
                    assert!(file.write_at(b"x", 0).is_err(), "for reading only");
                    body.resize(usize::try_from(span.len).unwrap(), 0);
                    file.read_exact_at(&mut body, span.offset).unwrap();
                }
                Kind::BodyEnd => return body,
                other => panic!("unexpected {other:?}"),
            }
        }
    }

    /// Takes a whole request without `Continue` and answers it.
    fn serve(&mut self, data: &[u8]) {
        self.head();
        self.body();
        self.send(&answer(data));
    }

    fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    /// Waits until a request is there, without reading it.
    fn wait_unread(&self) {
        let mut set = [PollFd::new(self.stream.as_fd(), PollFlags::POLLIN)];
        assert_eq!(poll(&mut set, PollTimeout::NONE), Ok(1));
    }
}

fn welcome() -> Vec<u8> {
    let mut out = Vec::new();
    Welcome {
        slot: 0,
        instance: 1,
    }
    .encode(&mut out);
    out
}

fn refusal(refusal: Refusal) -> Vec<u8> {
    let mut out = welcome();
    refusal.encode(&mut out);
    out
}

fn begun(data: &[u8]) -> Vec<u8> {
    let mut out = welcome();
    AnswerHead::encode(&mut out, b"200 OK", None, std::iter::empty()).unwrap();
    encode_plain(&mut out, Kind::Data, FLAG_FLUSH, data).unwrap();
    out
}

fn answer(data: &[u8]) -> Vec<u8> {
    let mut out = begun(data);
    AnswerEnd::Complete.encode(&mut out);
    out
}

fn end() -> Vec<u8> {
    let mut out = Vec::new();
    AnswerEnd::Complete.encode(&mut out);
    out
}

fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at * 31 % 251) as u8).collect()
}

fn go_on() -> Vec<u8> {
    let mut out = Vec::new();
    encode_plain(&mut out, Kind::Continue, 0, b"").unwrap();
    out
}

/// A group of one process with five threads, in slot 0, whose listener is the test's.
struct Rig {
    group: GroupClient,
    board: Arc<Board>,
    listener: UnixListener,
    _folder: tempfile::TempDir,
}

impl Rig {
    fn new() -> Rig {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("group.sock");
        let listener = UnixListener::bind(&path).unwrap();
        let board = Arc::new(Board::create(4).unwrap().0);
        board.assign(0, 1);
        board.set_idle(0, 5);
        board.set_phase(0, Phase::Serving);
        let limits = ClientLimits {
            processes: 1,
            threads: 5,
            connect_timeout: SHORT,
            socket_timeout: None,
            response_socket_timeout: None,
            flush_delay: Duration::from_millis(5),
            response_buffer: 8 << 20,
            header_buffer: 32768,
            request_spool: 0,
            response_spool: Bounds {
                memory: 1 << 20,
                file: 1 << 30,
            },
        };
        let hello = Hello {
            generation: 0,
            secret: [1; 16],
        };
        let group = GroupClient::new("g".into(), path, hello, Arc::clone(&board), limits);
        Rig {
            group,
            board,
            listener,
            _folder: folder,
        }
    }

    /// Plays the daemon in a thread of its own.
    fn daemon(&self, play: impl FnOnce(UnixListener) + Send + 'static) -> JoinHandle<()> {
        let listener = self.listener.try_clone().unwrap();
        std::thread::spawn(move || play(listener))
    }

    fn forward(
        &self,
        side: &mut Side,
        facts: BodyFacts,
        timeout: Duration,
    ) -> Result<Outcome, Failure> {
        let mut buffers = Buffers::new();
        let mut exchange = Exchange {
            group: &self.group,
            apache: side,
            buffers: &mut buffers,
            timeout: Some(timeout),
        };
        exchange.run(facts, |out, attempt| {
            let head = RequestHead {
                connects: attempt.connects,
                restarts: attempt.restarts,
                ..RequestHead::empty()
            };
            head.encode(out, attempt.frame_flags, std::iter::empty())
        })
    }

    /// Forwards a request without a body.
    fn get(&self, side: &mut Side) -> Result<Outcome, Failure> {
        self.forward(side, BodyFacts::None, LONG)
    }
}

/// REQ-310, DMN-210, DMN-243 (decision): one connection serves many requests, each by one claim on a thread, and a small answer is
/// one pass. The end of a request is a frame, so that nobody has to close anything.
#[test]
fn a_connection_is_kept() {
    let rig = Rig::new();
    let daemon = rig.daemon(|listener| {
        let mut peer = Peer::greeted(&listener);
        (0..3).for_each(|_| peer.serve(b"hi"));
    });
    for claims in 0..3 {
        let mut side = Side::default();
        assert_eq!(rig.get(&mut side).unwrap(), Outcome::Done);
        assert_eq!(
            (&side.out[..], side.ended, side.passes),
            (&b"hi"[..], true, 1)
        );
        assert_eq!(
            rig.board.idle(0),
            5 - claims,
            "the first came by the listener"
        );
    }
    daemon.join().unwrap();
}

/// A process without an idle thread gets nothing on its kept connections.
#[test]
fn busy_processes_are_passed_over() {
    let rig = Rig::new();
    let daemon = rig.daemon(|listener| {
        Peer::greeted(&listener).serve(b"1");
        Peer::greeted(&listener).serve(b"2");
    });
    rig.get(&mut Side::default()).unwrap();
    rig.board.set_idle(0, 0);
    let mut side = Side::default();
    rig.get(&mut side).unwrap();
    assert_eq!(side.out, b"2");
    // Nonsense of a daemon is "none", and no reason to look for ever.
    rig.board.set_idle(0, u32::MAX);
    assert!(rig.group.pool.take(&rig.board).is_none());
    daemon.join().unwrap();
}
