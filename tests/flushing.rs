//! When an answer of a daemon is flushed: `response-flush-delay` and `response-buffer-size`. mod_deflate shows it, as it ends a piece of its
//! own at each flush and else passes on little.

use wsgi_harness::{Connection, Request, Server, Site};

/// As many small blocks as the query says with pauses between them, or for `/long` a block without a pause; `/told` waits before each
/// until it is told to go on.
const APP: &str = "import os, time

def application(environ, start_response):
    start_response('200 OK', [('Content-Type', 'text/plain')])
    path, count = environ['PATH_INFO'], int(environ['QUERY_STRING'])
    if path == '/long':
        for _ in range(count):
            yield b'x' * 65536
        return
    for number in range(count):
        while path == '/told' and not os.path.exists('{data}/%d' % number):
            time.sleep(0.001)
        if path == '/pauses':
            time.sleep(0.05)
        yield b'<%d>' % number
";

fn server(options: &str) -> Server {
    Site::daemon()
        .daemon_options(options)
        .modules(&["filter", "deflate"])
        .config("SetOutputFilter DEFLATE")
        .script("/", APP)
        .start()
}

/// How often a compressed answer was flushed: once more than it should be where its end came with data, which httpd is not to count
/// (REQ-449).
fn flushes(server: &Server, target: &str) -> usize {
    let request = Request::get(target).header("Accept-Encoding", "gzip");
    let answer = server.send(&request).expect(200);
    assert_eq!(answer.header("Content-Encoding"), Some("gzip"));
    let pieces = answer.body.windows(4);
    pieces.filter(|bytes| *bytes == [0, 0, 0xFF, 0xFF]).count()
}

/// DP-37, DMN-045, DMN-331, REQ-462: an application that pauses for less than the delay is not flushed for.
#[test]
fn a_long_delay() {
    let server = server("response-flush-delay=60000");
    assert!(flushes(&server, "/pauses?8") <= 1);
}

/// DP-37, DMN-045, DMN-331: for one that waits longer there is a flush, also where the delay is none.
#[test]
fn a_short_delay() {
    for options in ["", "response-flush-delay=0", "response-flush-delay=20"] {
        let server = server(options);
        let mut client: Connection = server.connect();
        let request = Request::get("/told?4").http10();
        client.send_bytes(request.bytes());
        for number in 0..4 {
            server.write(&format!("data/{number}"), "");
            if number == 0 {
                assert_eq!(client.read_head().expect("a head").status, 200);
            }
            let block = format!("<{number}>");
            assert_eq!(client.read_bytes(3), block.as_bytes(), "{options}");
        }
        // The application may be quicker than Apache's thread, but not eight times in a row.
        assert!(flushes(&server, "/pauses?8") > 1, "{options}");
    }
}

/// DP-36, DMN-043, DMN-333, REQ-462: one that never pauses is flushed for after so many bytes.
#[test]
fn a_flush_without_a_pause() {
    for (size, least, most) in [("65536", 70, 160), ("1048576", 8, 11), ("0", 1, 2)] {
        let server = server(&format!(
            "response-spool=0 response-flush-delay=60000 response-buffer-size={size}"
        ));
        let count = flushes(&server, "/long?160");
        assert!((least..=most).contains(&count), "{size}: {count}");
    }
}
