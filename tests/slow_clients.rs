//! Slow clients do not hold Python: `request-spool`, `response-spool`. A group with two threads, and many more clients that take their time.

use wsgi_harness::{Connection, Mode, Mpm, Request, Server, Site, matrix, pattern, wait_until};

const SLOW: usize = 40;

/// Answers with the length of its body and a sum over it.
const SUMMING: &str = "import zlib\n\ndef application(environ, start_response):\n    sum, size = 1, 0\n    while True:\n        block = environ['wsgi.input'].read(100000)\n        if not block:\n            break\n        sum, size = zlib.adler32(block, sum), size + len(block)\n    open('{data}/called', 'w').close()\n    start_response('200 OK', [('Content-Type', 'text/plain')])\n    return [b'%d %d' % (size, sum)]\n";

/// Enough of httpd's own threads for all clients.
fn workers(mpm: Mpm) -> &'static str {
    match mpm {
        Mpm::Prefork => "StartServers 10\nMaxRequestWorkers 100\nServerLimit 100",
        _ => {
            "StartServers 3\nThreadsPerChild 40\nMaxRequestWorkers 120\nServerLimit 4\nMaxSpareThreads 200"
        }
    }
}

fn site(mpm: Mpm, options: &str) -> Site {
    Site::new(mpm, Mode::Daemon)
        .daemon_options(&format!("processes=1 threads=2 {options}"))
        .config(workers(mpm))
        .config("WSGIChunkedRequest On")
        .script("/", SUMMING)
}

/// What the application says about a body: its length and Adler-32.
fn sum(body: &[u8]) -> String {
    let (mut low, mut high) = (1_u32, 0_u32);
    // So many bytes do not overflow.
    for block in body.chunks(5552) {
        for byte in block {
            low += u32::from(*byte);
            high += low;
        }
        (low, high) = (low % 65521, high % 65521);
    }
    format!("{} {}", body.len(), high << 16 | low)
}

/// A client that gives the end of its request byte by byte.
struct Uploader {
    connection: Connection,
    rest: Vec<u8>,
    expected: String,
}

impl Uploader {
    /// Sends all but the last `slow` bytes.
    fn begin(server: &Server, request: &Request, body: &[u8], slow: usize) -> Uploader {
        let mut bytes = request.bytes();
        let rest = bytes.split_off(bytes.len() - slow);
        let mut connection = server.connect();
        connection.send_bytes(bytes);
        Uploader {
            connection,
            rest,
            expected: sum(body),
        }
    }
}

/// Issue, DMN-240: clients that send a byte at a time, with bodies of any size and framing, keep no thread of a daemon.
fn slow_uploads(mpm: Mpm, _: Mode) {
    const BYTES: usize = 100;
    let server = site(mpm, "").start();
    let mut slow: Vec<Uploader> = (0..SLOW)
        .map(|number| {
            let body = pattern([2_000, 100_000, 70_000, 300_000][number % 4]);
            let request = match number % 2 {
                0 => Request::post("/", body.clone()),
                _ => Request::new("POST", "/").chunked([body.clone()]),
            };
            Uploader::begin(&server, &request, &body, BYTES)
        })
        .collect();
    let mut normal = server.connect();
    // All but the last byte: not one of them can be answered before.
    for at in 0..BYTES - 1 {
        for client in &mut slow {
            client.connection.send_bytes([client.rest[at]]);
        }
        if at % 10 == 0 {
            let request = Request::post("/", pattern(at));
            let answer = normal.send(&request).expect(200);
            assert_eq!(answer.text(), sum(&pattern(at)), "round {at}");
        }
    }
    for client in &mut slow {
        client.connection.send_bytes([client.rest[BYTES - 1]]);
    }
    for mut client in slow {
        let answer = client.connection.read_answer("POST").expect("an answer");
        assert_eq!(answer.expect(200).text(), client.expected);
    }
}
matrix!(slow_uploads: event prefork / daemon);

/// Issue: a large body comes whole through the temporary file, of which nothing is left.
#[test]
fn a_large_upload() {
    let server = site(Mpm::Event, "").start();
    let body = pattern(50 << 20);
    let expected = sum(&body);
    let answer = server.send(&Request::post("/", body)).expect(200);
    assert_eq!(answer.text(), expected);
    wait_until("the temporary file's end", || {
        server
            .children()
            .iter()
            .all(|child| no_temporary_file(child.descriptors()))
            .then_some(())
    });
}

fn no_temporary_file(descriptors: Vec<String>) -> bool {
    descriptors
        .iter()
        .all(|target| !target.starts_with("/tmp/#"))
}

/// Issue, DMN-241: the application never hears of a body that does not come whole.
#[test]
fn a_body_that_breaks_off() {
    let server = site(Mpm::Event, "").config("Timeout 1").start();
    server.allow_log("WSGI0126");
    for size in [1000, 200_000] {
        let request = Request::post("/", pattern(size));
        let mut connection = server.connect();
        connection.send_bytes(request.head_bytes());
        connection.send_bytes(pattern(size - 1));
        assert_eq!(
            connection.read_answer("POST").expect("an answer").status,
            408
        );
    }
    let chunked = Request::new("POST", "/").header("Transfer-Encoding", "chunked");
    let mut connection = server.connect();
    connection.send_bytes(chunked.head_bytes());
    connection.send_bytes("5\r\nhello\r\nnonsense\r\n");
    assert_eq!(
        connection.read_answer("POST").expect("an answer").status,
        400
    );
    let mut connection = server.connect();
    connection.send_bytes(Request::post("/", pattern(200_000)).head_bytes());
    connection.send_bytes(pattern(100_000));
    connection.abort();
    server.wait_for_logs("WSGI0126", 4);
    assert!(!server.path("data/called").exists());
}

/// Issue, REQ-031: a body of unknown length that goes beyond LimitRequestBody while it is kept is 413.
#[test]
fn a_body_over_the_limit() {
    let server = site(Mpm::Event, "")
        .config("LimitRequestBody 150000")
        .start();
    server.allow_log("WSGI0126");
    server.allow_log("AH01588");
    let mut connection = server.connect();
    let request = Request::new("POST", "/").chunked([pattern(100_000), pattern(100_000)]);
    assert_eq!(connection.send(&request).status, 413);
    assert!(!server.path("data/called").exists());
    let request = Request::new("POST", "/").chunked([pattern(100_000)]);
    assert_eq!(
        server.send(&request).expect(200).text(),
        sum(&pattern(100_000))
    );
}

/// DMN-250: how long a client takes for its body is no waiting for a thread.
#[test]
fn slow_bodies_and_queue_timeout() {
    let server = site(Mpm::Event, "queue-timeout=1").start();
    let request = Request::post("/", pattern(100_000));
    let mut connection = server.connect();
    connection.send_bytes(request.head_bytes());
    connection.send_bytes(pattern(50_000));
    // Longer than the limit.
    std::thread::sleep(std::time::Duration::from_millis(1500));
    connection.send_bytes(&pattern(100_000)[50_000..]);
    let answer = connection.read_answer("POST").expect("an answer");
    assert_eq!(answer.expect(200).text(), sum(&pattern(100_000)));
}

/// Issue: `request-spool=0` calls the application at once, which can read what has come.
#[test]
fn a_streamed_upload() {
    let server = Site::daemon()
        .daemon_options("threads=2 request-spool=0")
        .script(
            "/",
            "def application(environ, start_response):\n    text = environ['wsgi.input'].read(5)\n    open('{data}/begun', 'wb').write(text)\n    while environ['wsgi.input'].read(100000):\n        pass\n    start_response('200 OK', [])\n    return [text]\n",
        )
        .start();
    let request = Request::post("/", pattern(200_000));
    let mut connection = server.connect();
    connection.send_bytes(request.head_bytes());
    connection.send_bytes(pattern(100_000));
    wait_until("the application", || {
        server.path("data/begun").exists().then_some(())
    });
    connection.send_bytes(&pattern(200_000)[100_000..]);
    let answer = connection.read_answer("POST").expect("an answer");
    assert_eq!(answer.expect(200).body, pattern(5));
}

/// A file `sent` appears when the whole answer was produced: `size` bytes in blocks, without or with a length.
const STREAMING: &str = "import os, threading\n\nblock = bytes(at * 31 % 251 for at in range(251 * 64))\nlock = threading.Lock()\n\ndef application(environ, start_response):\n    size = int(environ['QUERY_STRING'] or 2)\n    headers = [('Content-Length', str(size))] if environ['PATH_INFO'] == '/sized' else []\n    start_response('200 OK', headers)\n    def answer():\n        left = size\n        while left:\n            piece = block[:left]\n            left -= len(piece)\n            yield piece\n        with lock, open('{data}/sent', 'a') as file:\n            file.write('x')\n    return answer()\n";

fn downloads(mpm: Mpm, options: &str) -> Site {
    Site::new(mpm, Mode::Daemon)
        .daemon_options(&format!("processes=1 threads=2 {options}"))
        .config(workers(mpm))
        .script("/", STREAMING)
}

/// How many answers were produced to their end.
fn produced(server: &Server) -> usize {
    std::fs::metadata(server.path("data/sent")).map_or(0, |file| file.len() as usize)
}

/// Issue, DMN-334: clients that read a byte at a time keep no thread of a daemon, which gets rid of their answers before they
/// have read more than that; in the end each has its own whole.
fn slow_downloads(mpm: Mpm, _: Mode) {
    const BYTES: usize = 100;
    let server = downloads(mpm, "response-spool=64k")
        // What the kernel takes in place of a client is not what is tested.
        .config("SendBufferSize 32768")
        .start();
    let sizes = [700_000, 300_000, 20_000, 1_500_000];
    let mut slow: Vec<(Connection, usize, Vec<u8>)> = (0..SLOW)
        .map(|number| {
            let size = sizes[number % 4];
            let path = ["/", "/sized"][number / 4 % 2];
            let mut connection = server.connect();
            connection.send_bytes(Request::get(&format!("{path}?{size}")).close().bytes());
            (connection, size, Vec::new())
        })
        .collect();
    let mut normal = server.connect();
    for round in 0..BYTES {
        for (connection, _, got) in &mut slow {
            got.extend(connection.read_bytes(1));
        }
        if round % 10 == 0 {
            let answer = normal.send(&Request::get("/")).expect(200);
            assert_eq!(answer.body, pattern(2), "round {round}");
        }
    }
    wait_until("all answers", || {
        (produced(&server) == SLOW + BYTES / 10).then_some(())
    });
    for (connection, size, got) in slow {
        assert_eq!(got.len(), BYTES);
        let answer = connection
            .with_pending(got)
            .read_answer("GET")
            .expect("an answer");
        assert!(answer.whole && answer.body == pattern(size), "{size}");
    }
}
matrix!(slow_downloads: event prefork / daemon);

/// Issue: a large answer waits in the temporary file, of which nothing is left afterwards.
#[test]
fn a_large_download() {
    let server = downloads(Mpm::Event, "").start();
    for path in ["/", "/sized"] {
        let before = produced(&server);
        let mut connection = server.connect();
        let request = Request::get(&format!("{path}?{}", 50 << 20)).close();
        connection.send_bytes(request.bytes());
        wait_until("the whole answer", || {
            (produced(&server) > before).then_some(())
        });
        let answer = connection.read_answer("GET").expect("an answer");
        assert!(answer.whole && answer.body == pattern(50 << 20));
    }
    wait_until("the temporary files' end", || {
        server
            .children()
            .iter()
            .all(|child| no_temporary_file(child.descriptors()))
            .then_some(())
    });
}

/// Issue, DMN-334: `response-spool-max` bounds what waits, and `response-spool=0` is what mod_wsgi does.
#[test]
fn the_application_waits_where_the_spool_ends() {
    for options in [
        "response-spool=0",
        "response-spool=64k response-spool-max=1m",
    ] {
        let server = downloads(Mpm::Event, options).start();
        let mut connection = server.connect();
        connection.send_bytes(Request::get(&format!("/?{}", 50 << 20)).close().bytes());
        assert_eq!(connection.read_head().expect("a head").status, 200);
        // The other thread serves, however often; the one of the answer is held.
        for round in 0..20 {
            server.get("/?1").expect(200);
            assert_eq!(produced(&server), round + 1, "{options}");
        }
        let rest = connection.read_to_end().expect("the rest");
        assert!(rest.len() > 50 << 20, "{options}");
        wait_until("its end", || (produced(&server) == 21).then_some(()));
    }
}

/// Issue, DMN-331: what a streaming application gives is passed on at once, with and without a client that was slow before.
#[test]
fn a_streaming_answer_is_not_held_back() {
    let server = Site::daemon()
        .daemon_options("threads=2 response-spool=64k")
        .config("SendBufferSize 32768")
        .script(
            "/",
            "import os, time\n\ndef application(environ, start_response):\n    start_response('200 OK', [])\n    yield b'x' * int(environ['QUERY_STRING'])\n    for number in range(5):\n        while not os.path.exists('{data}/%s-%d' % (environ['QUERY_STRING'], number)):\n            time.sleep(0.001)\n        yield b'<%d>' % number\n",
        )
        .start();
    for size in [10, 1_000_000] {
        let mut connection = server.connect();
        connection.send_bytes(Request::get(&format!("/?{size}")).http10().bytes());
        assert_eq!(connection.read_head().expect("a head").status, 200);
        assert_eq!(connection.read_bytes(size).len(), size);
        for number in 0..5 {
            server.write(&format!("data/{size}-{number}"), "");
            assert_eq!(connection.read_bytes(3), format!("<{number}>").as_bytes());
        }
    }
}

/// Issue: sizes with and without a unit; what no spool can be is refused and named.
#[test]
fn sizes_of_spools() {
    for (option, accepted) in [
        ("request-spool=0", true),
        ("request-spool=65536", true),
        ("request-spool=64k", true),
        ("request-spool=1G", true),
        ("request-spool=65535", false),
        ("request-spool=1025m", false),
        ("request-spool=64kb", false),
        ("request-spool=k", false),
        ("request-spool=-1", false),
        ("request-spool=", false),
        ("response-spool=0", true),
        ("response-spool=2m", true),
        ("response-spool=1k", false),
        ("response-spool-max=0", true),
        ("response-spool-max=100g", true),
        ("response-spool-max=99999999999999999999", false),
        ("response-spool-max=20000000000g", false),
    ] {
        let checked = Site::embedded()
            .config(&format!("WSGIDaemonProcess g {option}"))
            .check();
        assert_eq!(checked.accepted, accepted, "{option}: {}", checked.output);
        let name = option.split('=').next().unwrap_or_default();
        assert!(
            accepted || checked.output.contains(name),
            "{}",
            checked.output
        );
    }
}
