//! Requests against a daemon played by the test, over real sockets; the Apache side is a record of what it was given.

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

mod flow;
mod nonsense;
mod spool;

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
    on_flush: Option<Sender<()>>,
    /// Nothing comes from the client after so many bytes before it got a flush, which is told by `on_flush`.
    pauses_at: usize,
    client: Option<UnixStream>,
    patience: Duration,
    out: Vec<u8>,
    passes: u32,
    flushes: u32,
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

    fn room(&self) -> Option<usize> {
        let client = self.client.as_ref()?;
        self.is_slow.then(|| room::of(client.as_fd()))
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

/// DMN-240: a short body goes with its head.
#[test]
fn a_short_body_needs_no_go_ahead() {
    let rig = Rig::new();
    let daemon = rig.daemon(|listener| {
        let mut peer = Peer::greeted(&listener);
        let (connects, restarts, awaits) = peer.head();
        assert_eq!((connects, restarts, awaits), (1, 0, false));
        let body = peer.body();
        peer.send(&answer(&body));
    });
    let body: Vec<u8> = (0..60_000_u32).map(|n| (n % 251) as u8).collect();
    let mut side = Side::uploading(body.clone());
    let outcome = rig
        .forward(&mut side, BodyFacts::Length(60_000), LONG)
        .unwrap();
    assert_eq!(outcome, Outcome::Done);
    assert!(side.out == body);
    daemon.join().unwrap();
}

/// DMN-230, DMN-244: a long body waits for the go-ahead, and an application that writes it back while it comes does not
/// make both sides wait for each other.
#[test]
fn a_long_body_is_echoed_without_a_deadlock() {
    let rig = Rig::new();
    let daemon = rig.daemon(|listener| {
        let mut peer = Peer::greeted(&listener);
        assert!(peer.head().2);
        peer.send(&go_on());
        peer.send(&begun(b""));
        loop {
            let (header, payload) = peer.frame();
            if header.kind == Kind::BodyEnd {
                break;
            }
            let mut out = Vec::new();
            encode_plain(&mut out, Kind::Data, FLAG_FLUSH, &payload).unwrap();
            peer.send(&out);
        }
        let mut out = Vec::new();
        AnswerEnd::Complete.encode(&mut out);
        peer.send(&out);
        peer.serve(b"kept");
    });
    let body: Vec<u8> = (0..5_000_000_u32).map(|n| (n % 251) as u8).collect();
    let mut side = Side::uploading(body.clone());
    assert_eq!(
        rig.forward(&mut side, BodyFacts::Unknown, LONG).unwrap(),
        Outcome::Done
    );
    assert!(side.out == body);
    rig.get(&mut Side::default()).unwrap();
    daemon.join().unwrap();
}

/// An answer that comes before its body was sent ends the upload; the connection is not used again.
#[test]
fn an_early_answer_ends_the_upload() {
    let rig = Rig::new();
    let daemon = rig.daemon(|listener| {
        let mut peer = Peer::greeted(&listener);
        peer.head();
        peer.send(&go_on());
        peer.send(&answer(&vec![7; 3 << 20]));
        let rest = peer.stream.read_to_end(&mut Vec::new());
        assert!(rest.is_ok(), "closed by the child");
    });
    let mut side = Side::uploading(vec![1; 50 << 20]);
    let outcome = rig
        .forward(&mut side, BodyFacts::Length(50 << 20), LONG)
        .unwrap();
    assert_eq!(outcome, Outcome::Done);
    assert_eq!(side.out.len(), 3 << 20);
    assert!(side.at < 50 << 20);
    daemon.join().unwrap();
}

/// DMN-244: a client that waits for the beginning of the answer before it sends the rest of its body gets it; one that
/// sends nothing more is given up (DMN-241).
#[test]
fn an_answer_reaches_a_client_that_still_sends() {
    let rig = Rig::new();
    let (on_flush, flushed) = channel();
    let daemon = rig.daemon(move |listener| {
        let mut peer = Peer::greeted(&listener);
        peer.head();
        peer.send(&go_on());
        peer.send(&begun(b"begun"));
        flushed.recv().unwrap();
        assert_eq!(peer.body().len(), 100_000);
        let mut out = Vec::new();
        AnswerEnd::Complete.encode(&mut out);
        peer.send(&out);
        peer.head();
        peer.send(&go_on());
        while peer.frame().0.kind == Kind::Body {}
    });
    let mut side = Side::uploading(vec![1; 100_000]);
    (side.pauses_at, side.on_flush, side.patience) = (40_000, Some(on_flush), LONG);
    let outcome = rig
        .forward(&mut side, BodyFacts::Length(100_000), LONG)
        .unwrap();
    assert_eq!((outcome, &side.out[..]), (Outcome::Done, &b"begun"[..]));
    let mut side = Side::uploading(vec![1; 100_000]);
    (side.pauses_at, side.on_flush, side.patience) = (40_000, Some(channel().0), SHORT);
    let failure = rig
        .forward(&mut side, BodyFacts::Length(100_000), LONG)
        .unwrap_err();
    assert_eq!((failure.status(), failure.code()), (Some(408), Some(126)));
    daemon.join().unwrap();
}

/// DMN-244: the go-ahead behind a piece of the answer is seen at once, whatever the number of receives that it takes.
#[test]
fn a_go_ahead_behind_data_is_not_overlooked() {
    let rig = Rig::new();
    let sizes = (1..=12).map(|n| n * 50_000);
    let daemon = rig.daemon({
        let sizes = sizes.clone();
        move |listener| {
            let mut peer = Peer::greeted(&listener);
            for size in sizes {
                peer.head();
                peer.send(&[begun(&vec![7; size]), go_on()].concat());
                assert_eq!(peer.body().len(), 100_000);
                let mut out = Vec::new();
                AnswerEnd::Complete.encode(&mut out);
                peer.send(&out);
            }
        }
    });
    for size in sizes {
        rig.board.set_idle(0, 1);
        let mut side = Side::uploading(vec![1; 100_000]);
        let outcome = rig
            .forward(&mut side, BodyFacts::Length(100_000), LONG)
            .unwrap();
        assert_eq!((outcome, side.out.len()), (Outcome::Done, size));
    }
    daemon.join().unwrap();
}

/// DMN-241: a body that breaks off is reported to the daemon, and the client gets its status.
#[test]
fn a_broken_body_is_told() {
    let rig = Rig::new();
    let daemon = rig.daemon(|listener| {
        let mut peer = Peer::greeted(&listener);
        peer.head();
        peer.send(&go_on());
        let last = loop {
            let (header, payload) = peer.frame();
            if header.kind == Kind::BodyEnd {
                break (header.flags, payload);
            }
        };
        assert_eq!(last.0, FLAG_BROKEN);
        assert!(String::from_utf8(last.1).unwrap().contains("too slow"));
    });
    let mut side = Side {
        breaks_off: true,
        ..Side::uploading(vec![1; 100_000])
    };
    let failure = rig
        .forward(&mut side, BodyFacts::Length(200_000), LONG)
        .unwrap_err();
    assert_eq!((failure.status(), failure.code()), (Some(408), Some(126)));
    daemon.join().unwrap();
}

/// DMN-233: a refused request is sent again, which the application can see.
#[test]
fn a_refused_request_is_sent_again() {
    let rig = Rig::new();
    let daemon = rig.daemon(|listener| {
        let mut peer = Peer::greeted(&listener);
        peer.head();
        peer.send(&refusal(Refusal::Reload));
        let mut peer = Peer::greeted(&listener);
        assert_eq!(peer.head(), (2, 1, false));
        assert_eq!(peer.body(), b"body");
        peer.send(&answer(b"done"));
    });
    let mut side = Side::uploading(b"body".to_vec());
    rig.forward(&mut side, BodyFacts::Length(4), LONG).unwrap();
    assert_eq!(side.out, b"done");
    assert_eq!(side.records.len(), 1);
    daemon.join().unwrap();
}

/// DMN-233: `2 × processes + 1` refusals, then 503. DMN-234: waited too long, 504.
#[test]
fn refusals_have_an_end() {
    let rig = Rig::new();
    let daemon = rig.daemon(|listener| {
        for _ in 0..4 {
            let mut peer = Peer::greeted(&listener);
            peer.head();
            peer.send(&refusal(Refusal::Stopping));
        }
        let mut peer = Peer::greeted(&listener);
        peer.head();
        peer.send(&refusal(Refusal::Queue));
    });
    let failure = rig.get(&mut Side::default()).unwrap_err();
    assert_eq!((failure.status(), failure.code()), (Some(503), Some(124)));
    let failure = rig.get(&mut Side::default()).unwrap_err();
    assert_eq!((failure.status(), failure.record()), (Some(504), None));
    daemon.join().unwrap();
}

/// A request that no daemon has read is sent again: killed before it looked, or an idle connection closed meanwhile.
#[test]
fn what_nobody_read_is_sent_again() {
    let rig = Rig::new();
    let (closed, was_closed) = channel();
    let daemon = rig.daemon(move |listener| {
        let peer = Peer::accept(&listener);
        peer.wait_unread();
        drop(peer);
        let mut peer = Peer::greeted(&listener);
        peer.serve(b"first");
        drop(peer);
        closed.send(()).unwrap();
        Peer::greeted(&listener).serve(b"second");
    });
    let mut side = Side::default();
    rig.get(&mut side).unwrap();
    assert_eq!(side.out, b"first");
    was_closed.recv().unwrap();
    let mut side = Side::default();
    rig.get(&mut side).unwrap();
    assert_eq!((&side.out[..], side.records.len()), (&b"second"[..], 1));
    daemon.join().unwrap();
}

/// DMN-301: a process that dies over a request has executed it, for all we know: 502, never again.
#[test]
fn what_was_read_is_not_sent_again() {
    let rig = Rig::new();
    let daemon = rig.daemon(|listener| {
        let mut peer = Peer::greeted(&listener);
        peer.serve(b"fine");
        peer.head();
        peer.body();
    });
    rig.get(&mut Side::default()).unwrap();
    let failure = rig.get(&mut Side::default()).unwrap_err();
    assert_eq!((failure.status(), failure.code()), (Some(502), Some(146)));
    daemon.join().unwrap();
}

/// DMN-300: nothing came in time.
#[test]
fn a_silent_daemon_is_504() {
    let rig = Rig::new();
    let (end, ended): (Sender<()>, Receiver<()>) = channel();
    let daemon = rig.daemon(move |listener| {
        let mut peer = Peer::greeted(&listener);
        peer.head();
        ended.recv().unwrap();
    });
    let failure = rig
        .forward(&mut Side::default(), BodyFacts::None, SHORT)
        .unwrap_err();
    assert_eq!((failure.status(), failure.code()), (Some(504), Some(145)));
    end.send(()).unwrap();
    daemon.join().unwrap();
}

/// DMN-216, DMN-300: the wait in the backlog counts, so that nobody waits for the timeout twice.
#[test]
fn a_daemon_that_does_not_accept_is_504_once() {
    let rig = Rig::new();
    let timeout = Duration::from_secs(4);
    let started = Instant::now();
    let failure = rig
        .forward(&mut Side::default(), BodyFacts::None, timeout)
        .unwrap_err();
    assert_eq!((failure.status(), failure.code()), (Some(504), Some(145)));
    assert!(started.elapsed() < 2 * timeout, "{:?}", started.elapsed());
}

/// DMN-337, DMN-338: an answer that breaks off is cut short, and its connection is gone.
#[test]
fn a_broken_answer_is_cut_short() {
    let rig = Rig::new();
    let daemon = rig.daemon(|listener| {
        let mut peer = Peer::greeted(&listener);
        peer.head();
        peer.body();
        peer.send(&begun(b"part"));
        drop(peer);
        let mut peer = Peer::greeted(&listener);
        peer.head();
        peer.body();
        let mut out = begun(b"part");
        AnswerEnd::CutShort.encode(&mut out);
        peer.send(&out);
    });
    let mut side = Side::default();
    assert_eq!(rig.get(&mut side).unwrap(), Outcome::CutShort);
    assert_eq!((&side.out[..], side.ended), (&b"part"[..], false));
    assert!(side.records[0].starts_with("WSGI0119: "));
    let mut side = Side::default();
    assert_eq!(rig.get(&mut side).unwrap(), Outcome::CutShort);
    assert!(side.records.is_empty(), "the daemon has logged it");
    daemon.join().unwrap();
}

/// Section 6.4: outcomes of the application before its head.
#[test]
fn ends_without_a_head_have_their_status() {
    let rig = Rig::new();
    let ends = [
        (AnswerEnd::Failed, 500),
        (AnswerEnd::NotFound, 404),
        (AnswerEnd::Unavailable, 500),
        (AnswerEnd::TimedOut, 504),
    ];
    let daemon = rig.daemon(move |listener| {
        let mut peer = Peer::greeted(&listener);
        for (end, _) in ends {
            peer.head();
            peer.body();
            let mut out = welcome();
            end.encode(&mut out);
            peer.send(&out);
        }
    });
    for (_, status) in ends {
        assert_eq!(
            rig.get(&mut Side::default()).unwrap(),
            Outcome::Failed(status)
        );
    }
    daemon.join().unwrap();
}

/// DMN-331: data that waits is flushed before the child waits for long. Records and files come in order.
#[test]
fn data_is_flushed_before_a_wait() {
    let rig = Rig::new();
    let (on_flush, flushed) = channel();
    let daemon = rig.daemon(move |listener| {
        let mut peer = Peer::greeted(&listener);
        peer.head();
        peer.body();
        let mut out = Vec::new();
        Log {
            level: 3,
            flags: 0,
            text: b"a record",
        }
        .encode(&mut out);
        out.extend(begun(b"a"));
        peer.send(&out);
        flushed.recv().unwrap();
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"0123456789").unwrap();
        let mut out = Vec::new();
        FileSpan { offset: 2, len: 5 }.encode(&mut out);
        AnswerEnd::Complete.encode(&mut out);
        let slices = &mut [IoSlice::new(&out)];
        stream::send_all(peer.stream.as_fd(), slices, Some(file.as_fd())).unwrap();
        peer.serve(b"kept");
    });
    let mut side = Side {
        on_flush: Some(on_flush),
        ..Side::default()
    };
    assert_eq!(rig.get(&mut side).unwrap(), Outcome::Done);
    assert_eq!(
        (&side.out[..], &side.records[..]),
        (&b"a23456"[..], &["a record".to_owned()][..])
    );
    rig.get(&mut Side::default()).unwrap();
    daemon.join().unwrap();
}

/// DMN-322: an answer that is not wanted is read to its end, so that the connection can be used again; but not for ever.
#[test]
fn an_unwanted_answer_is_thrown_away() {
    let rig = Rig::new();
    let daemon = rig.daemon(|listener| {
        let mut peer = Peer::greeted(&listener);
        peer.serve(&[1; 100_000]);
        peer.head();
        peer.body();
        let endless = begun(&vec![1; 8 << 20]);
        assert!(
            peer.stream.write_all(&endless).is_err(),
            "nobody reads it all"
        );
    });
    for _ in 0..2 {
        let mut side = Side {
            discards: true,
            ..Side::default()
        };
        assert_eq!(rig.get(&mut side).unwrap(), Outcome::Discarded);
        assert!(side.out.is_empty());
    }
    daemon.join().unwrap();
}

/// DMN-336: a client that is gone ends the request, and the daemon's connection with it.
#[test]
fn a_client_that_is_gone_ends_the_request() {
    let rig = Rig::new();
    let daemon = rig.daemon(|listener| {
        let mut peer = Peer::greeted(&listener);
        peer.serve(b"x");
        assert_eq!(peer.stream.read_to_end(&mut Vec::new()).unwrap(), 0);
    });
    let mut side = Side {
        takes_nothing: true,
        ..Side::default()
    };
    assert_eq!(rig.get(&mut side).unwrap(), Outcome::ClientGone);
    daemon.join().unwrap();
}

/// DMN-212, DMN-213: refused for too long, and not there at all; DMN-118: a group that cannot start answers at once.
#[test]
fn connects_fail_with_their_codes() {
    let rig = Rig::new();
    rig.board.set_failing(true);
    let failure = rig.get(&mut Side::default()).unwrap_err();
    assert_eq!((failure.status(), failure.code()), (Some(503), Some(5060)));
    rig.board.set_failing(false);
    let Rig {
        group,
        board,
        listener,
        _folder,
    } = rig;
    drop(listener);
    let listener = UnixListener::bind(_folder.path().join("other.sock")).unwrap();
    let rig = Rig {
        group,
        board,
        listener,
        _folder,
    };
    let failure = rig.get(&mut Side::default()).unwrap_err();
    assert_eq!((failure.status(), failure.code()), (Some(503), Some(116)));
    std::fs::remove_file(&rig.group.socket).unwrap();
    let failure = rig.get(&mut Side::default()).unwrap_err();
    assert_eq!((failure.status(), failure.code()), (Some(503), Some(117)));
}

/// DMN-235: what is no answer is 500.
#[test]
fn nonsense_is_500() {
    let rig = Rig::new();
    let daemon = rig.daemon(|listener| {
        let mut data_first = Vec::new();
        encode_plain(&mut data_first, Kind::Data, 0, b"x").unwrap();
        for nonsense in [&b"HTTP/1.1 200 OK\r\n\r\n"[..], &data_first] {
            let mut peer = Peer::greeted(&listener);
            peer.head();
            peer.body();
            peer.send(nonsense);
        }
    });
    for _ in 0..2 {
        let failure = rig.get(&mut Side::default()).unwrap_err();
        assert_eq!((failure.status(), failure.code()), (Some(500), Some(123)));
    }
    daemon.join().unwrap();
}

/// DMN-220: a request over 16 MiB is not sent.
#[test]
fn a_huge_request_is_refused() {
    let rig = Rig::new();
    let mut side = Side::default();
    let mut buffers = Buffers::new();
    let mut exchange = Exchange {
        group: &rig.group,
        apache: &mut side,
        buffers: &mut buffers,
        timeout: Some(LONG),
    };
    let big = vec![b'x'; 17 << 20];
    let failure = exchange
        .run(BodyFacts::None, |out, attempt| {
            let pairs = [(&b"KEY"[..], Some(&big[..]))];
            RequestHead::empty().encode(out, attempt.frame_flags, pairs.into_iter())
        })
        .unwrap_err();
    assert_eq!((failure.status(), failure.code()), (Some(502), Some(80)));
}
