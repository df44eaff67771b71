//! Full duplex: an application that answers before it has read its body, and one that echoes while it reads, in both modes, over
//! HTTP/1.1 and HTTP/2, with the body kept before (`request-spool`) and passed on as it comes.

use std::thread;

use wsgi_harness::{Answer, Connection, Curl, Mode, Mpm, Request, Server, Site, matrix, pattern};

/// More than all sockets, pipes and spools in memory on the way hold together.
const LARGE: usize = 50 << 20;

/// `/echo` gives each block as soon as it has read it; `/early` a megabyte before it reads, then the length of its body; `/turn`
/// a line for each line, so that neither side has anything to do before the other has spoken.
const APP: &str = "def application(environ, start_response):
    input = environ['wsgi.input']
    start_response('200 OK', [('Content-Type', 'application/octet-stream')])
    path = environ['PATH_INFO']
    if path == '/early':
        for _ in range(64):
            yield b'early' * 4096
        yield b'%d' % sum(len(block) for block in iter(lambda: input.read(65536), b''))
    elif path == '/turn':
        yield b'begin\\n'
        for line in iter(input.readline, b''):
            yield line
    else:
        yield from iter(lambda: input.read(65536), b'')
";

fn server(mpm: Mpm, mode: Mode, options: &str) -> Server {
    let mut site = Site::new(mpm, mode).config("WSGIChunkedRequest On");
    if mode == Mode::Daemon {
        site = site.daemon_options(&format!("processes=1 threads=3 {options}"));
    }
    // HTTP/2 is not for prefork.
    if mpm != Mpm::Prefork {
        site = site.modules(&["http2"]).config("Protocols h2c http/1.1");
    }
    site.script("/", APP).start()
}

/// Both ways with a body: as it comes is the only one of embedded mode.
fn ways(mode: Mode) -> &'static [&'static str] {
    match mode {
        Mode::Embedded => &[""],
        Mode::Daemon => &["request-spool=0", ""],
    }
}

/// A client that sends and reads at the same time.
fn exchange(server: &Server, request: &Request) -> Answer {
    let mut reader = server.connect();
    let mut writer = reader.split();
    thread::scope(|scope| {
        scope.spawn(move || {
            writer
                .write(&request.bytes())
                .expect("a body is taken whole")
        });
        reader
            .read_answer(request.method())
            .expect("an answer")
            .expect(200)
    })
}

/// Issue, DMN-244, REQ-320: neither direction waits for the other, with a body of known and of unknown length.
fn over_http1(mpm: Mpm, mode: Mode) {
    let body = pattern(LARGE);
    for options in ways(mode) {
        let server = server(mpm, mode, options);
        let requests = |path: &str| {
            [
                Request::post(path, body.clone()),
                Request::new("POST", path).chunked(body.chunks(1_000_000)),
            ]
        };
        for request in requests("/echo") {
            let answer = exchange(&server, &request);
            assert!(answer.whole && answer.body == body, "{options}");
        }
        for request in requests("/early") {
            let answer = exchange(&server, &request);
            assert_eq!(answer.body.len(), 64 * 5 * 4096 + 8, "{options}");
            assert!(answer.text().ends_with(&LARGE.to_string()));
        }
    }
}
matrix!(over_http1: event prefork);

/// The same over HTTP/2, where the body comes by another way through httpd.
fn over_http2(mpm: Mpm, mode: Mode) {
    let body = pattern(LARGE);
    for options in ways(mode) {
        let server = server(mpm, mode, options);
        let file = server.path("data/body");
        std::fs::write(&file, &body).expect("a file");
        let data = format!("@{}", file.display());
        let browser = Curl::http2(&server);
        let post = ["-X", "POST", "--data-binary", &data];
        let answer = browser.run("/echo", &post).expect(200);
        assert_eq!(answer.version, "2");
        assert!(answer.bytes() == body, "{options}");
        let answer = browser.run("/early", &post).expect(200);
        assert!(answer.text().ends_with(&LARGE.to_string()), "{options}");
    }
}
matrix!(over_http2: event);

/// Issue, DMN-331: a conversation. Each side waits for the other's line before it says the next one.
fn in_turns(mpm: Mpm, mode: Mode) {
    let server = server(mpm, mode, "request-spool=0");
    let mut client = server.connect();
    let request = Request::new("POST", "/turn").header("Transfer-Encoding", "chunked");
    client.send_bytes(request.head_bytes());
    assert_eq!(client.read_head().expect("a head").status, 200);
    let heard = |client: &mut Connection, line: &str| {
        let chunk = format!("{:x}\r\n{line}\r\n", line.len());
        assert_eq!(
            String::from_utf8_lossy(&client.read_bytes(chunk.len())),
            chunk
        );
    };
    heard(&mut client, "begin\n");
    for number in 0..50 {
        let line = format!("line {number}\n");
        client.send_bytes(format!("{:x}\r\n{line}\r\n", line.len()));
        heard(&mut client, &line);
    }
    client.send_bytes("0\r\n\r\n");
    assert_eq!(client.read_bytes(5), b"0\r\n\r\n");
}
matrix!(in_turns: event prefork);

/// One request over HTTP/2, frame by frame: curl does not read while it waits for what to send.
struct Stream(Connection);

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const END_HEADERS: u8 = 4;
const END_STREAM: u8 = 1;

impl Stream {
    /// A POST without a length.
    fn post(server: &Server, path: &str) -> Stream {
        let mut stream = Stream(server.connect());
        stream.0.send_bytes("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
        stream.send(SETTINGS, 0, 0, b"");
        let mut block = Vec::new();
        for (name, value) in [
            (":method", "POST"),
            (":scheme", "http"),
            (":authority", "localhost"),
            (":path", path),
        ] {
            // A literal without index and without Huffman's code.
            block.push(0);
            for text in [name, value] {
                block.push(u8::try_from(text.len()).expect("short"));
                block.extend_from_slice(text.as_bytes());
            }
        }
        stream.send(HEADERS, END_HEADERS, 1, &block);
        stream
    }

    fn send(&mut self, kind: u8, flags: u8, id: u8, payload: &[u8]) {
        let length = u16::try_from(payload.len())
            .expect("a short frame")
            .to_be_bytes();
        let header = [0, length[0], length[1], kind, flags, 0, 0, 0, id];
        self.0.send_bytes([&header, payload].concat());
    }

    /// The next data, or the end.
    fn data(&mut self) -> Vec<u8> {
        loop {
            let header = self.0.read_bytes(9);
            let length = usize::from(header[1]) << 8 | usize::from(header[2]);
            let payload = self.0.read_bytes(length);
            if header[3] == DATA && (length > 0 || header[4] & END_STREAM != 0) {
                return payload;
            }
        }
    }
}

/// The same over HTTP/2: the child is woken for what comes from either side.
fn in_turns_over_http2(mpm: Mpm, mode: Mode) {
    let server = server(mpm, mode, "request-spool=0");
    let mut client = Stream::post(&server, "/turn");
    assert_eq!(client.data(), b"begin\n");
    for number in 0..50 {
        let line = format!("line {number}\n");
        client.send(DATA, 0, 1, line.as_bytes());
        assert_eq!(String::from_utf8_lossy(&client.data()), line);
    }
    client.send(DATA, END_STREAM, 1, b"");
    assert_eq!(client.data(), b"");
}
matrix!(in_turns_over_http2: event);

/// REQ-322, DMN-245: a client that waits for `100 Continue` before it sends a long body gets it in daemon mode, whatever the
/// application does first.
#[test]
fn a_client_that_waits_to_be_asked() {
    let server = server(Mpm::Event, Mode::Daemon, "request-spool=0");
    let body = pattern(200_000);
    for path in ["/echo", "/early"] {
        let request = Request::post(path, body.clone()).header("Expect", "100-continue");
        let mut client = server.connect();
        client.send_bytes(request.head_bytes());
        assert_eq!(client.read_head().expect("a head").status, 100, "{path}");
        let mut writer = client.split();
        let answer = thread::scope(|scope| {
            let body = &body;
            scope.spawn(move || writer.write(body).expect("a body is taken whole"));
            client.read_answer("POST").expect("an answer").expect(200)
        });
        match path {
            "/echo" => assert!(answer.body == body),
            _ => assert!(answer.text().ends_with("200000")),
        }
    }
}
