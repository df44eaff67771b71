//! Peers on a group's socket that do not keep to the protocol: each ends its own connection only, and the log says why.
//!
//! The test stands between child and daemon: it takes the place of the group's socket, so that the children come to it and show
//! what a real child says.

mod children;
mod daemons;
mod secrets;

use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::time::Duration;

use wsgi_core::wire::{HEADER_LEN, Kind, encode_plain, whole_frame};
use wsgi_harness::{Answer, Request, Server, Site, wait_until};

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
        let path = wait_until("the group's socket", || server.sockets().into_iter().next());
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
