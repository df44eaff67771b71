//! Two hundred clients that send a byte at a time and two hundred that read one, against a group of two processes with five threads
//! each: all ten threads stay free, and a normal client does not notice. Prints what a normal request takes, for docs/benchmarks.md.

use std::time::{Duration, Instant};

use wsgi_harness::{Connection, Request, Server, Site, wait_until};

const CROWD: usize = 200;
const THREADS: usize = 10;
const UPLOAD: usize = 100_000;
const DOWNLOAD: usize = 1_000_000;

/// `/all` waits until as many requests are in it as the group has threads; `/large` gives an answer and tells when it was produced.
const APP: &str = "import os, time

def application(environ, start_response):
    path = environ['PATH_INFO']
    body = environ['wsgi.input'].read()
    if path == '/all':
        open('{data}/in-' + environ['QUERY_STRING'], 'w').close()
        while sum(name.startswith('in-') for name in os.listdir('{data}')) < 10:
            time.sleep(0.01)
    start_response('200 OK', [])
    if path != '/large':
        yield b'%d' % len(body)
        return
    for _ in range(100):
        yield b'x' * 10000
    open('{data}/given-' + environ['QUERY_STRING'], 'w').close()
";

fn begun(connection: &mut Connection, target: &str) {
    connection.send_bytes(Request::get(target).close().bytes());
}

fn given(server: &Server) -> usize {
    let entries = std::fs::read_dir(server.path("data")).expect("the folder is there");
    entries
        .filter_map(Result::ok)
        .filter(|entry| entry.file_name().to_string_lossy().starts_with("given-"))
        .count()
}

/// What so many requests of one normal client take, sorted.
fn normal(server: &Server, count: usize, mut between: impl FnMut()) -> Vec<Duration> {
    let mut client = server.connect();
    let mut taken: Vec<Duration> = (0..count)
        .map(|_| {
            between();
            let begin = Instant::now();
            client.send(&Request::get("/")).expect(200);
            begin.elapsed()
        })
        .collect();
    taken.sort();
    taken
}

fn tell(what: &str, taken: &[Duration]) {
    let at = |place: usize| taken[place].as_secs_f64() * 1000.0;
    let last = taken.len() - 1;
    println!(
        "{what}: {} requests, median {:.1} ms, slowest {:.1} ms",
        taken.len(),
        at(last / 2),
        at(last)
    );
}

/// Issue: slow clients in either direction hold no thread of Python, which is counted.
#[test]
fn two_hundred_of_each() {
    let server = Site::daemon()
        .daemon_options("processes=2 threads=5")
        .config("StartServers 3\nServerLimit 3\nThreadLimit 150\nThreadsPerChild 150")
        .config("MaxRequestWorkers 450\nMinSpareThreads 1\nMaxSpareThreads 450")
        // What the kernel takes in place of a client is not what is tested.
        .config("SendBufferSize 32768")
        .script("/", APP)
        .start();
    tell("without slow clients", &normal(&server, 50, || ()));

    let mut readers: Vec<Connection> = (0..CROWD)
        .map(|number| {
            let mut connection = server.connect();
            begun(&mut connection, &format!("/large?{number}"));
            connection
        })
        .collect();
    let request = Request::post("/", vec![b'u'; UPLOAD]);
    let bytes = request.bytes();
    let mut writers: Vec<Connection> = (0..CROWD)
        .map(|_| {
            let mut connection = server.connect();
            connection.send_bytes(&bytes[..bytes.len() - 100]);
            connection
        })
        .collect();
    wait_until("all answers to be produced", || {
        (given(&server) == CROWD).then_some(())
    });

    let (mut sent, mut read) = (0, 0);
    let mut round = || {
        sent += 1;
        read += 1;
        for writer in &mut writers {
            writer.send_bytes("u");
        }
        for reader in &mut readers {
            assert_eq!(reader.read_bytes(1).len(), 1);
        }
    };
    let taken = normal(&server, 50, &mut round);
    tell("beside 200 that send and 200 that read", &taken);

    // Not one thread is held: as many requests as there are threads are in the application at the same time.
    let mut together: Vec<Connection> = (0..THREADS)
        .map(|number| {
            let mut connection = server.connect();
            begun(&mut connection, &format!("/all?{number}"));
            connection
        })
        .collect();
    for connection in &mut together {
        connection
            .read_answer("GET")
            .expect("an answer")
            .expect(200);
    }
    println!("{THREADS} of {THREADS} threads were free beside them");

    assert_eq!((sent, read), (50, 50));
    for mut writer in writers {
        writer.send_bytes([b'u'; 50]);
        let answer = writer.read_answer("POST").expect("an answer").expect(200);
        assert_eq!(answer.text(), UPLOAD.to_string());
    }
    for mut reader in readers {
        let rest = reader.read_to_end().expect("the rest");
        assert!(rest.len() > DOWNLOAD, "{}", rest.len());
    }
}
