//! Clients of HTTP/2 that do not read do not hold Python: `response-spool`. A group with two threads, and many more streams.

mod client;

use client::Client;
use wsgi_harness::{Curl, Mode, Mpm, Server, Site, matrix, pattern, wait_until};

const CLIENTS: usize = 3;
/// Of each; mod_http2 begins with six of a client until it takes something.
const STREAMS: usize = 5;

/// As many bytes as the query says, then it waits for the file that the path names, if it names one, and gives three more. A body it gives back.
/// `sent` and `ended` grow by a byte for each answer that came so far.
const APP: &str = "import os, threading, time

block = bytes(at * 31 % 251 for at in range(251 * 64))
lock = threading.Lock()

def mark(name):
    with lock, open('{data}/' + name, 'a') as file:
        file.write('x')

def application(environ, start_response):
    start_response('200 OK', [])
    if environ['REQUEST_METHOD'] == 'POST':
        yield from iter(lambda: environ['wsgi.input'].read(10000), b'')
        mark('ended')
        return
    left = int(environ['QUERY_STRING'])
    while left:
        piece = block[:left]
        left -= len(piece)
        yield piece
    mark('sent')
    name = environ['PATH_INFO'].strip('/')
    if name:
        while not os.path.exists('{data}/' + name):
            time.sleep(0.001)
        yield b'end'
    mark('ended')
";

fn site(mpm: Mpm, options: &str) -> Site {
    Site::new(mpm, Mode::Daemon)
        .daemon_options(&format!("processes=1 threads=2 {options}"))
        .modules(&["http2"])
        .config("Protocols h2c http/1.1\nStartServers 2\nThreadsPerChild 40\nMaxRequestWorkers 80\nMaxSpareThreads 80")
        .script("/", APP)
}

fn count(server: &Server, name: &str) -> usize {
    std::fs::metadata(server.path(&format!("data/{name}"))).map_or(0, |file| file.len() as usize)
}

fn wait_for(server: &Server, name: &str, number: usize) {
    wait_until(name, || (count(server, name) == number).then_some(()));
}

/// Issue: streams whose windows are closed, or next to it, keep no thread of a daemon, which gets rid of all their answers; in the
/// end each has its own whole.
fn slow_streams(mpm: Mpm, _: Mode) {
    for (window, options) in [(0, ""), (1000, "response-spool=64k")] {
        let server = site(mpm, options).start();
        let size = |number: usize| 1_500_000 - number * 10_001;
        let mut clients: Vec<(Client, Vec<u32>)> = (0..CLIENTS)
            .map(|_| {
                let mut client = Client::new(&server, window);
                let ids = (0..STREAMS).map(|number| client.begin(&format!("/?{}", size(number))));
                let ids = ids.collect();
                (client, ids)
            })
            .collect();
        wait_for(&server, "ended", CLIENTS * STREAMS);
        let answer = server.get("/?100000").expect(200);
        assert!(answer.body == pattern(100_000));
        for (client, ids) in &mut clients {
            for (number, id) in ids.iter().enumerate() {
                // Every other one takes a little before, when its answer waits in httpd.
                if number % 2 == 0 {
                    for _ in 0..10 {
                        client.open(*id, 7);
                    }
                }
                client.open(*id, 1 << 30);
            }
        }
        for (client, ids) in &mut clients {
            for (number, id) in ids.iter().enumerate() {
                let stream = client.read_to_end(*id);
                assert!(stream.is_ok && stream.is_whole, "{number}");
                assert!(stream.body == pattern(size(number)), "{number}");
            }
        }
    }
}
matrix!(slow_streams: event worker / daemon);

/// Issue, DMN-331: what waits for a stream goes to it when it takes more, though the application gives nothing meanwhile; then it
/// gets what comes at once.
fn an_answer_goes_on(mpm: Mpm, _: Mode) {
    const SIZE: usize = 700_000;
    let server = site(mpm, "").start();
    let mut client = Client::new(&server, 0);
    let id = client.begin(&format!("/go?{SIZE}"));
    wait_for(&server, "sent", 1);
    for bytes in [1, 10_000, 200_000] {
        client.open(id, bytes);
    }
    client.read_until(id, "a part", |stream| stream.body.len() == 210_001);
    client.open(id, 1 << 30);
    client.read_until(id, "all that waits", |stream| stream.body.len() == SIZE);
    assert_eq!(count(&server, "ended"), 0);
    server.write("data/go", "");
    let stream = client.read_to_end(id);
    assert!(stream.is_ok && stream.is_whole);
    assert!(stream.body == [pattern(SIZE), b"end".to_vec()].concat());
}
matrix!(an_answer_goes_on: event worker / daemon);

/// Issue, DMN-244: a stream that takes nothing of its answer while it sends its body does not hold its application either, which reads
/// on.
#[test]
fn an_echo() {
    const SIZE: usize = 2_000_000;
    let server = site(Mpm::Event, "request-spool=0")
        .config("WSGIChunkedRequest On")
        .start();
    let mut client = Client::new(&server, 0);
    let id = client.post("/", &pattern(SIZE));
    wait_for(&server, "ended", 1);
    client.open(id, 1 << 30);
    let stream = client.read_to_end(id);
    assert!(stream.is_ok && stream.is_whole && stream.body == pattern(SIZE));
}

/// DMN-331: a streaming answer is not held back, be its pieces small or larger than what httpd keeps of a stream.
#[test]
fn a_streaming_answer() {
    for size in [1, 5000, 500_000] {
        let server = site(Mpm::Event, "").start();
        let mut client = Client::new(&server, 1 << 30);
        let id = client.begin(&format!("/go?{size}"));
        client.read_until(id, "what there is", |stream| stream.body.len() == size);
        assert_eq!(count(&server, "ended"), 0);
        server.write("data/go", "");
        assert_eq!(client.read_to_end(id).body.len(), size + 3);
    }
}

/// DMN-335, DMN-336, DMN-338: a stream that takes nothing for its timeout is given up while its application waits. It never looks whole.
#[test]
fn a_stream_that_takes_nothing_is_given_up() {
    let server = site(Mpm::Event, "socket-timeout=60 response-socket-timeout=2").start();
    server.allow_log("WSGI0120");
    let mut client = Client::new(&server, 0);
    let id = client.begin("/never?500000");
    wait_until("the stream to be given up", || {
        // Else the whole connection is.
        client.ping();
        server.log().text().contains("WSGI0120").then_some(())
    });
    client.open(id, 1 << 30);
    let stream = client.read_to_end(id);
    assert!(stream.is_reset && stream.body.len() < 500_000);
    let other = client.begin("/?1");
    // More than it needs: mod_http2 does not look for the end of an answer whose window is used up.
    client.open(other, 1 << 20);
    let stream = client.read_to_end(other);
    assert!(stream.is_whole, "{stream:?}");
    server.write("data/never", "");
    assert_eq!(server.get("/?1").expect(200).body, pattern(1));
}

/// Issue: where httpd keeps less of a stream than usual nobody waits for it either.
#[test]
fn a_small_memory_of_a_stream() {
    let server = site(Mpm::Event, "")
        .config("H2StreamMaxMemSize 1024")
        .start();
    let mut client = Client::new(&server, 0);
    let ids = [300_000, 300_001, 300_002].map(|size| client.begin(&format!("/?{size}")));
    wait_for(&server, "ended", 3);
    for (id, size) in ids.into_iter().zip(300_000..) {
        client.open(id, 1 << 30);
        let stream = client.read_to_end(id);
        assert!(stream.is_whole && stream.body == pattern(size));
    }
}

/// Issue: a filter that makes something else of the answer.
#[test]
fn an_answer_through_a_filter() {
    let server = site(Mpm::Event, "")
        .modules(&["filter", "deflate"])
        .config("SetOutputFilter DEFLATE")
        .start();
    let browser = Curl::http2(&server);
    let answer = browser.run("/?3000000", &["--compressed"]).expect(200);
    assert_eq!(answer.header("content-encoding"), Some("gzip"));
    assert!(answer.bytes() == pattern(3_000_000));
}
