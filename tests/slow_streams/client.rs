//! A client of HTTP/2 that decides how much of each stream it takes: no client of the system stops reading a stream.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;

use wsgi_harness::{PATIENCE, Server};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const END_STREAM: u8 = 1;
const ACK: u8 = 1;
const END_HEADERS: u8 = 4;
/// Each window at first. mod_http2 has no other one for streams unless H2WindowSize is set.
const WINDOW: i64 = 65535;
/// No frame is longer.
const FRAME: usize = 16384;

/// What came on a stream.
#[derive(Debug, Default)]
pub(crate) struct Stream {
    /// The head says 200.
    pub(crate) is_ok: bool,
    /// Of the answer.
    pub(crate) body: Vec<u8>,
    /// The server says that this is all.
    pub(crate) is_whole: bool,
    /// The server gave it up.
    pub(crate) is_reset: bool,
}

/// A connection.
pub(crate) struct Client {
    socket: TcpStream,
    streams: BTreeMap<u32, Stream>,
    /// How much the server takes of each stream, and of all (0).
    windows: BTreeMap<u32, i64>,
    /// The server closes it.
    pub(crate) is_closed: bool,
}

impl Client {
    /// Each stream may send `window` bytes at first; all together what they like.
    pub(crate) fn new(server: &Server, window: u32) -> Client {
        let socket = TcpStream::connect(server.address()).expect("a connection");
        socket
            .set_read_timeout(Some(PATIENCE))
            .expect("an open socket");
        let mut client = Client {
            socket,
            streams: BTreeMap::new(),
            windows: BTreeMap::from([(0, WINDOW)]),
            is_closed: false,
        };
        client.socket.write_all(PREFACE).expect("a preface");
        let initial_window = [&[0, 4][..], &window.to_be_bytes()].concat();
        client.send(SETTINGS, 0, 0, &initial_window);
        client.open(0, 1 << 30);
        client
    }

    /// Asks for something. The stream's number.
    pub(crate) fn begin(&mut self, path: &str) -> u32 {
        // GET
        self.head(0x82, END_STREAM, path)
    }

    /// Sends something, as the server takes it.
    pub(crate) fn post(&mut self, path: &str, body: &[u8]) -> u32 {
        // POST
        let id = self.head(0x83, 0, path);
        self.windows.insert(id, WINDOW);
        let mut left = body;
        while !left.is_empty() {
            let room = self.windows[&0].min(self.windows[&id]).max(0);
            let room = usize::try_from(room).expect("a window is not that large");
            let (piece, rest) = left.split_at(room.min(left.len()).min(FRAME));
            if piece.is_empty() {
                assert!(!self.is_closed, "the connection ended before the body");
                // mod_http2 does not look after its streams while it has nothing but answers without a window, unless
                // something comes.
                self.ping();
                self.read();
                continue;
            }
            self.send(DATA, 0, id, piece);
            for id in [0, id] {
                *self.windows.entry(id).or_default() -= piece.len() as i64;
            }
            left = rest;
        }
        self.send(DATA, END_STREAM, id, &[]);
        id
    }

    fn head(&mut self, method: u8, flags: u8, path: &str) -> u32 {
        let id = 1 + 2 * u32::try_from(self.streams.len()).expect("few streams");
        // http, and two literals with names of the static table.
        let mut head = vec![method, 0x86];
        for (name, value) in [(4, path), (1, "localhost")] {
            let len = u8::try_from(value.len()).expect("short values");
            assert!(len < 127, "{value}");
            head.extend([name, len]);
            head.extend(value.bytes());
        }
        self.send(HEADERS, flags | END_HEADERS, id, &head);
        self.streams.insert(id, Stream::default());
        id
    }

    /// Takes so many bytes more.
    pub(crate) fn open(&mut self, id: u32, bytes: u32) {
        self.send(WINDOW_UPDATE, 0, id, &bytes.to_be_bytes());
    }

    /// Shows that it lives.
    pub(crate) fn ping(&mut self) {
        self.send(PING, 0, 0, &[0; 8]);
    }

    /// Reads until a stream is as it should be.
    pub(crate) fn read_until(
        &mut self,
        id: u32,
        what: &str,
        done: impl Fn(&Stream) -> bool,
    ) -> &Stream {
        while !done(&self.streams[&id]) {
            assert!(!self.is_closed, "the connection ended before {what}");
            self.read();
        }
        &self.streams[&id]
    }

    /// Reads until a stream ends or cannot go on.
    pub(crate) fn read_to_end(&mut self, id: u32) -> &Stream {
        while !self.is_closed && !self.streams[&id].is_whole && !self.streams[&id].is_reset {
            self.read();
        }
        &self.streams[&id]
    }

    fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        let len = u32::try_from(payload.len()).expect("short frames");
        let mut frame = len.to_be_bytes()[1..].to_vec();
        frame.extend([kind, flags]);
        frame.extend(stream.to_be_bytes());
        frame.extend(payload);
        if self.socket.write_all(&frame).is_err() {
            self.is_closed = true;
        }
    }

    /// Takes one frame.
    fn read(&mut self) {
        let mut head = [0; 9];
        if self.socket.read_exact(&mut head).is_err() {
            self.is_closed = true;
            return;
        }
        let len = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let id = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        let (kind, flags) = (head[3], head[4]);
        let mut payload = vec![0; len as usize];
        self.socket.read_exact(&mut payload).expect("a whole frame");
        match kind {
            SETTINGS if flags & ACK == 0 => self.send(SETTINGS, ACK, 0, &[]),
            PING if flags & ACK == 0 => self.send(PING, ACK, 0, &payload),
            GOAWAY => self.is_closed = true,
            WINDOW_UPDATE => {
                let bytes: [u8; 4] = payload[..].try_into().expect("a number");
                *self.windows.entry(id).or_default() += i64::from(u32::from_be_bytes(bytes));
            }
            _ => {}
        }
        let Some(stream) = self.streams.get_mut(&id) else {
            return;
        };
        match kind {
            // 200 is number 8 of the static table.
            HEADERS => stream.is_ok |= payload.contains(&0x88),
            DATA => stream.body.extend(payload),
            RST_STREAM => stream.is_reset = true,
            _ => {}
        }
        stream.is_whole |= matches!(kind, HEADERS | DATA) && flags & END_STREAM != 0;
    }
}
