//! Peers on a group's socket that do not keep to the protocol: each ends its own connection only, and the log says why.
//!
//! The test stands between child and daemon: it takes the place of the group's socket, so that the children come to it and show
//! what a real child says.

use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::time::Duration;

use wsgi_core::wire::{
    AnswerEnd, AnswerHead, FileSpan, HEADER_LEN, Hello, Kind, Welcome, encode_plain, whole_frame,
};
use wsgi_harness::{Answer, Request, Server, Site, subject, wait_until};

/// Longer than anything takes that does not hang.
const PATIENCE: Duration = Duration::from_secs(60);

/// Answers with its body; `?stream` in a second block after the first.
const ECHO: &str = "def application(environ, start_response):\n    try:\n        body = environ['wsgi.input'].read()\n    except OSError as error:\n        print('body broken:', error, file=environ['wsgi.errors'])\n        raise\n    start_response('200 OK', [('Content-Type', 'text/plain')])\n    return [body]\n";

fn server() -> Server {
    Site::daemon()
        .daemon_options("processes=1 threads=2 socket-timeout=2")
        .script("/", ECHO)
        .start()
}

/// The group's socket, whose file was moved away.
struct Between {
    real: PathBuf,
    path: PathBuf,
    listener: UnixListener,
}

impl Between {
    fn new(server: &Server) -> Between {
        let path = wait_until("the group's socket", || {
            std::fs::read_dir(server.path("run"))
                .ok()?
                .flatten()
                .map(|entry| entry.path())
                .find(|path| {
                    path.extension()
                        .is_some_and(|extension| extension == "sock")
                })
        });
        let real = path.with_extension("real");
        std::fs::rename(&path, &real).expect("a socket can be renamed");
        let listener = UnixListener::bind(&path).expect("its place is free");
        let everybody = std::fs::Permissions::from_mode(0o777);
        std::fs::set_permissions(&path, everybody).expect("our own socket");
        Between {
            real,
            path,
            listener,
        }
    }

    /// Gives the daemon its place back.
    fn leave(self) {
        std::fs::rename(&self.real, &self.path).expect("both are in one folder");
    }

    /// Plays the daemon for one request of `server`, which `play` answers; what the client got, None for no whole answer.
    fn answer(&self, server: &Server, reply: &[u8], then: Then) -> Option<Answer> {
        std::thread::scope(|scope| {
            let asking = scope.spawn(|| {
                let mut connection = server.connect();
                connection.send_bytes(Request::get("/").close().bytes());
                connection.read_answer("GET").ok()
            });
            let mut child = Peer::accept(&self.listener);
            assert_eq!(child.frame().0, Kind::Hello);
            assert_eq!(child.frame().0, Kind::Request);
            assert_eq!(child.frame().0, Kind::BodyEnd);
            child.stream.write_all(reply).expect("the child listens");
            match then {
                Then::Close => drop(child),
                Then::Stall => drop(child.wait_for_end()),
            }
            asking.join().expect("the client does not panic")
        })
    }
}

/// What a hostile daemon does behind its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Then {
    Close,
    Stall,
}

/// The other end of a child or a daemon.
struct Peer {
    stream: UnixStream,
    bytes: Vec<u8>,
}

impl Peer {
    fn new(stream: UnixStream) -> Peer {
        for set in [UnixStream::set_read_timeout, UnixStream::set_write_timeout] {
            set(&stream, Some(PATIENCE)).expect("a timeout above zero");
        }
        Peer {
            stream,
            bytes: Vec::new(),
        }
    }

    fn accept(listener: &UnixListener) -> Peer {
        Peer::new(listener.accept().expect("a child connects").0)
    }

    fn connect(path: &PathBuf) -> Peer {
        Peer::new(UnixStream::connect(path).expect("the daemons listen"))
    }

    /// The next frame: kind and payload.
    fn frame(&mut self) -> (Kind, Vec<u8>) {
        loop {
            if let Some((header, payload)) = whole_frame(&self.bytes).expect("the real protocol") {
                let found = (header.kind, payload.to_vec());
                self.bytes.drain(..HEADER_LEN + header.len);
                return found;
            }
            let mut buffer = [0; 65536];
            let count = self.stream.read(&mut buffer).expect("bytes");
            assert!(count > 0, "closed");
            self.bytes.extend_from_slice(&buffer[..count]);
        }
    }

    /// Waits until the other side has closed; what it says before.
    fn wait_for_end(&mut self) -> String {
        let mut said = Vec::new();
        let mut buffer = [0; 65536];
        loop {
            match self.stream.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => said.extend_from_slice(&buffer[..count]),
                Err(error) => {
                    let timed_out = error.kind() == std::io::ErrorKind::WouldBlock;
                    assert!(!timed_out, "the connection was not closed");
                    break;
                }
            }
        }
        String::from_utf8_lossy(&said).into_owned()
    }
}

fn frame(kind: Kind, flags: u8, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    encode_plain(&mut out, kind, flags, payload).expect("a short frame");
    out
}

/// A header that announces more than any frame has.
fn huge(kind: Kind) -> Vec<u8> {
    vec![kind as u8, 0, 0, 0, 0xff, 0xff, 0xff, 0xff]
}

/// What a real child says for a POST: its Hello, its Request, its body.
fn real_frames(server: &Server, between: &Between) -> [Vec<u8>; 3] {
    std::thread::scope(|scope| {
        let asking = scope.spawn(|| server.send(&Request::post("/", "hello")));
        let mut child = Peer::accept(&between.listener);
        let frames = [Kind::Hello, Kind::Request, Kind::Body].map(|expected| {
            let (kind, payload) = child.frame();
            assert_eq!(kind, expected);
            frame(kind, 0, &payload)
        });
        drop(child);
        server.expect_log("WSGI0146");
        assert_eq!(
            asking.join().expect("the client does not panic").status,
            502
        );
        frames
    })
}

/// Issue, DMN-220, DMN-261, DMN-645: garbage, truncation, huge lengths, nonsense and silence, before and after a right Hello. The
/// daemon hangs up on the one who sends it, says why, and serves all others.
#[test]
fn a_daemon_survives_its_peers() {
    if !subject().is_ours() {
        return; // Its protocol is another one.
    }
    let server = server();
    let daemon = wait_until("the daemon", || server.daemons().into_iter().next());
    let between = Between::new(&server);
    let [hello, request, body] = real_frames(&server, &between);
    let secret_at = HEADER_LEN + 8;
    let mut stranger = hello.clone();
    stranger[secret_at] ^= 1;
    let with = |parts: &[&[u8]]| [&[&hello[..]], parts].concat().concat();
    let lie = u32::MAX.to_le_bytes();
    let cut = &request[..request.len() - 1];
    let rows: &[(&str, Vec<u8>, Then, &str)] = &[
        (
            "HTTP",
            b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec(),
            Then::Stall,
            "unknown frame kind 71",
        ),
        ("zeros", vec![0; 100], Then::Stall, "unknown frame kind 0"),
        (
            "reserved bytes",
            vec![1, 0, 1, 0, 0, 0, 0, 0],
            Then::Stall,
            "reserved",
        ),
        ("a request first", request.clone(), Then::Stall, "WSGI0033"),
        ("a wrong secret", stranger, Then::Stall, "WSGI0034"),
        (
            "a huge Hello",
            huge(Kind::Hello),
            Then::Stall,
            "a Hello frame of 4294967295 bytes",
        ),
        (
            "a short Hello",
            frame(Kind::Hello, 0, b"x"),
            Then::Stall,
            "a Hello frame is malformed",
        ),
        (
            "half a Hello",
            hello[..20].to_vec(),
            Then::Close,
            "closed within a frame",
        ),
        (
            "half a Hello, then silence",
            hello[..20].to_vec(),
            Then::Stall,
            "sent nothing",
        ),
        (
            "two Hellos",
            with(&[&hello]),
            Then::Stall,
            "unexpected Hello",
        ),
        (
            "a daemon's frame",
            with(&[&frame(Kind::End, 0, &[0])]),
            Then::Stall,
            "unexpected End",
        ),
        (
            "a body first",
            with(&[&body]),
            Then::Stall,
            "unexpected Body frame",
        ),
        (
            "a huge request",
            with(&[&huge(Kind::Request)]),
            Then::Stall,
            "a Request frame of 4294967295 bytes",
        ),
        (
            "half a request",
            with(&[cut]),
            Then::Close,
            "closed within a frame",
        ),
        (
            "half a request, then silence",
            with(&[cut]),
            Then::Stall,
            "sent nothing",
        ),
        (
            "an empty request",
            with(&[&frame(Kind::Request, 0, b"")]),
            Then::Stall,
            "a Request frame is malformed",
        ),
        (
            "a lie",
            with(&[&frame(Kind::Request, 0, &lie.repeat(40))]),
            Then::Stall,
            "a Request frame is malformed",
        ),
        (
            "no body",
            with(&[&request]),
            Then::Close,
            "body broken|was not run",
        ),
        (
            "silence for a body",
            with(&[&request]),
            Then::Stall,
            "body broken",
        ),
        (
            "garbage for a body",
            with(&[&request, b"garbage!"]),
            Then::Stall,
            "body broken",
        ),
        (
            "a huge body",
            with(&[&request, &huge(Kind::Body)]),
            Then::Stall,
            "body broken",
        ),
        (
            "half a body",
            with(&[&request, &body[..10]]),
            Then::Close,
            "body broken|was not run",
        ),
        (
            "a request in a body",
            with(&[&request, &body, &request]),
            Then::Stall,
            "body broken",
        ),
    ];
    // The records of a broken body, and of a stranger.
    for text in [
        "body broken",
        "WSGI0080",
        "WSGI0033",
        "WSGI0034",
        "Traceback",
        "root.wsgi",
        "OSError",
        "WSGI0119",
    ] {
        server.allow_log(text);
    }
    // Of reasons with a bar between them either will do: a request whose peer is gone may not be run at all.
    for (what, bytes, then, reason) in rows {
        let logged = || -> usize { reason.split('|').map(|text| server.log().count(text)).sum() };
        let before = logged();
        let mut peer = Peer::connect(&between.real);
        // It may hang up before it has read everything.
        let _ = peer.stream.write_all(bytes);
        let said = match then {
            Then::Close => String::new(),
            Then::Stall => peer.wait_for_end(),
        };
        drop(peer);
        // The records of a request go to the one who sent it.
        wait_until(&format!("the reason for {what}: {reason}"), || {
            (said.contains(reason) || logged() > before).then_some(())
        });
    }
    // While one of them is silent, the other thread serves.
    let mut silent = Peer::connect(&between.real);
    silent.stream.write_all(&hello[..20]).expect("half a Hello");
    between.leave();
    let answer = server.send(&Request::post("/", "still here")).expect(200);
    assert_eq!(answer.text(), "still here");
    drop(silent);
    let now = server.daemons();
    assert!(
        now.iter().any(|other| other.pid == daemon.pid),
        "the same process"
    );
}

fn begun(rest: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    Welcome {
        slot: 0,
        instance: 1,
    }
    .encode(&mut out);
    AnswerHead::encode(&mut out, b"200 OK", None, std::iter::empty()).expect("a short head");
    out.extend(frame(Kind::Data, 0, b"part"));
    out.extend(rest);
    out
}

/// What it is, what is sent, what follows, the status (None: cut short), the code in the log.
type Row = (&'static str, Vec<u8>, Then, Option<u16>, &'static str);

/// Issue, DMN-235, DMN-300, DMN-301, DMN-337: the same for a child. Its client gets an error page, or an answer that is visibly
/// cut short.
#[test]
fn a_child_survives_its_daemon() {
    if !subject().is_ours() {
        return; // Its protocol is another one.
    }
    let server = server();
    let between = Between::new(&server);
    let children: Vec<i32> = server.children().iter().map(|child| child.pid).collect();
    let mut injected = Vec::new();
    let header = [(&b"X"[..], Some(&b"a\r\nSet-Cookie: b"[..]))];
    AnswerHead::encode(&mut injected, b"200 OK", None, header.into_iter()).expect("a short head");
    let mut status = Vec::new();
    AnswerHead::encode(&mut status, b"200 OK\r\nX: y", None, std::iter::empty())
        .expect("a short head");
    let mut file = Vec::new();
    FileSpan { offset: 0, len: 10 }.encode(&mut file);
    let mut complete = Vec::new();
    AnswerEnd::Complete.encode(&mut complete);
    let hello = {
        let mut out = Vec::new();
        Hello {
            generation: 0,
            secret: [0; 16],
        }
        .encode(&mut out);
        out
    };
    let rows: &[Row] = &[
        (
            "HTTP",
            b"HTTP/1.1 200 OK\r\n\r\n".to_vec(),
            Then::Stall,
            Some(500),
            "WSGI0123",
        ),
        ("nothing", Vec::new(), Then::Close, Some(502), "WSGI0146"),
        ("silence", Vec::new(), Then::Stall, Some(504), "WSGI0145"),
        ("a child's frame", hello, Then::Stall, Some(500), "WSGI0123"),
        (
            "data first",
            frame(Kind::Data, 0, b"x"),
            Then::Stall,
            Some(500),
            "WSGI0123",
        ),
        (
            "an end first",
            complete.clone(),
            Then::Stall,
            Some(500),
            "WSGI0123",
        ),
        (
            "a short Welcome",
            frame(Kind::Welcome, 0, b"x"),
            Then::Stall,
            Some(500),
            "WSGI0123",
        ),
        (
            "a huge head",
            huge(Kind::Head),
            Then::Stall,
            Some(500),
            "WSGI0123",
        ),
        (
            "a short head",
            frame(Kind::Head, 0, b"x"),
            Then::Stall,
            Some(500),
            "WSGI0123",
        ),
        (
            "a lie",
            frame(Kind::Head, 0, &[&[0; 12][..], &[0xff; 4]].concat()),
            Then::Stall,
            Some(500),
            "WSGI0123",
        ),
        (
            "half a head",
            frame(Kind::Head, 0, &[0; 100])[..50].to_vec(),
            Then::Close,
            Some(502),
            "WSGI0146",
        ),
        (
            "half a head, then silence",
            frame(Kind::Head, 0, &[0; 100])[..50].to_vec(),
            Then::Stall,
            Some(504),
            "WSGI0145",
        ),
        ("a bad status", status, Then::Stall, Some(500), "WSGI01"),
        ("a bad header", injected, Then::Stall, Some(500), "WSGI01"),
        (
            "a file without a head",
            file.clone(),
            Then::Stall,
            Some(500),
            "WSGI0123",
        ),
        ("an end", begun(b""), Then::Close, None, "WSGI0119"),
        (
            "silence behind data",
            begun(b""),
            Then::Stall,
            None,
            "WSGI0119",
        ),
        (
            "garbage behind data",
            begun(b"garbage!"),
            Then::Stall,
            None,
            "WSGI0119",
        ),
        (
            "huge data",
            begun(&huge(Kind::Data)),
            Then::Stall,
            None,
            "WSGI0119",
        ),
        (
            "half a block",
            begun(&frame(Kind::Data, 0, &[0; 100])[..50]),
            Then::Close,
            None,
            "WSGI0119",
        ),
        (
            "a second head",
            begun(&begun(b"")),
            Then::Stall,
            None,
            "WSGI0119",
        ),
        (
            "a file without a descriptor",
            begun(&file),
            Then::Stall,
            None,
            "WSGI0119",
        ),
        (
            "an unknown end",
            begun(&frame(Kind::End, 0, &[99])),
            Then::Stall,
            None,
            "WSGI0119",
        ),
        (
            "a refusal behind data",
            begun(&frame(Kind::Refused, 0, &[1])),
            Then::Stall,
            None,
            "WSGI0119",
        ),
    ];
    for code in ["WSGI01", "AH"] {
        server.allow_log(code);
    }
    for (what, bytes, then, status, code) in rows {
        let before = server.log().count(code);
        let answer = between.answer(&server, bytes, *then);
        match status {
            Some(status) => assert_eq!(answer.map(|answer| answer.status), Some(*status), "{what}"),
            // Where nothing has left yet, the client can still be told.
            None => assert!(
                answer.is_none_or(|answer| !answer.whole || answer.status == 502),
                "{what}"
            ),
        }
        wait_until(&format!("{code} for {what}"), || {
            (server.log().count(code) > before).then_some(())
        });
    }
    between.leave();
    let answer = server.send(&Request::post("/", "still here")).expect(200);
    assert_eq!(answer.text(), "still here");
    let now: Vec<i32> = server.children().iter().map(|child| child.pid).collect();
    assert!(
        children.iter().all(|pid| now.contains(pid)),
        "the same children"
    );
}
