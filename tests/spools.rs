//! What does not go smoothly around `request-spool` and `response-spool`: bodies that break off or are too long, disks that are full,
//! clients that read nothing for a while, answers without a body.

use std::path::{Path, PathBuf};
use std::process::Command;

use wsgi_harness::{Answer, Connection, Request, Server, Site, is_root, pattern, wait_until};

/// Gives `?SIZE` bytes of a pattern, or answers with the path's status and a body that nobody gets; tells that it was called, with
/// which length, and when the answer was produced.
const APP: &str = "block = bytes(at * 31 % 251 for at in range(251 * 64))

def application(environ, start_response):
    size, status = int(environ['QUERY_STRING'] or 2), environ['PATH_INFO'].strip('/') or '200'
    got = sum(len(piece) for piece in iter(lambda: environ['wsgi.input'].read(65536), b''))
    open('{data}/called', 'a').write('%d ' % got)
    start_response(status + ' Status', [('Content-Type', 'text/plain'), ('ETag', '\"x\"')])
    left = size
    while left:
        piece = block[:left]
        left -= len(piece)
        yield piece
    open('{data}/given', 'a').write('x')
";

fn site(options: &str) -> Site {
    Site::daemon()
        .daemon_options(&format!("processes=1 threads=2 {options}"))
        .config("WSGIChunkedRequest On\nWSGIMapHEADToGET Off")
        .script("/", APP)
}

fn given(server: &Server) -> usize {
    std::fs::metadata(server.path("data/given")).map_or(0, |file| file.len() as usize)
}

fn called(server: &Server) -> String {
    std::fs::read_to_string(server.path("data/called")).unwrap_or_default()
}

/// Sends a head and part of a body.
fn partly(server: &Server, request: &Request, body: &[u8]) -> Connection {
    let mut connection = server.connect();
    connection.send_bytes(request.head_bytes());
    connection.send_bytes(body);
    connection
}

fn answer(connection: &mut Connection) -> Answer {
    connection.read_answer("POST").expect("an answer")
}

/// Issue, DMN-241, REQ-321: the client closes its side within a body that is kept in memory, or in the file already: 400, a record,
/// and the application is not called at all. A closed connection is no less.
#[test]
fn bodies_that_break_off() {
    let server = site("").start();
    server.allow_log("WSGI0126");
    let long = Request::post("/", pattern(3_000_000));
    let chunked = Request::new("POST", "/").header("Transfer-Encoding", "chunked");
    let chunk = |len: usize| [format!("{len:x}\r\n").as_bytes(), &pattern(len)[..]].concat();
    let cases = [
        (&long, pattern(1000)),
        (&long, pattern(2_000_000)),
        (&chunked, chunk(2_000_000)),
        (&chunked, [chunk(2_000_000), b"\r\n".to_vec()].concat()),
    ];
    let count = cases.len();
    for (request, body) in &cases {
        let mut connection = partly(&server, request, body);
        connection.finish_sending();
        assert_eq!(answer(&mut connection).status, 400);
    }
    partly(&server, &long, &pattern(2_000_000)).abort();
    server.wait_for_logs("WSGI0126", count + 1);
    assert_eq!(called(&server), "");
    server.get("/").expect(200);
    assert_eq!(called(&server), "0 ");
}

/// Issue, REQ-031: a body over LimitRequestBody is 413, announced or not, and takes no room on disk.
#[test]
fn bodies_over_the_limit() {
    let server = site("").config("LimitRequestBody 1000000").start();
    for text in ["WSGI0126", "AH01588", "AH01587", "AH00588"] {
        server.allow_log(text);
    }
    for request in [
        Request::post("/", pattern(1_000_001)),
        Request::new("POST", "/").chunked([pattern(600_000), pattern(600_000)]),
    ] {
        let mut connection = server.connect();
        // The answer may come, and the connection end, before all of it is sent.
        let _ = connection.write(&request.bytes());
        assert_eq!(answer(&mut connection).status, 413);
    }
    assert_eq!(called(&server), "");
    let whole = Request::new("POST", "/").chunked([pattern(500_000), pattern(500_000)]);
    server.send(&whole).expect(200);
    assert_eq!(called(&server), "1000000 ");
}

/// Issue: a Content-Length that no disk has room for is refused when its first piece is there, with the folder in the log.
#[test]
fn a_body_longer_than_the_disk() {
    let server = site("").config("LimitRequestBody 0").start();
    let request = Request::new("POST", "/").header("Content-Length", "1000000000000000");
    let mut connection = partly(&server, &request, &pattern(100_000));
    assert_eq!(answer(&mut connection).status, 500);
    let record = server.wait_for_log("WSGI5062");
    assert!(record.text.contains("'/tmp'"), "{}", record.text);
    assert_eq!(called(&server), "");
    server.get("/").expect(200);
}

/// A small disk of its own, at `tmp` in a server's folder.
struct SmallDisk(PathBuf);

impl SmallDisk {
    /// None where this user may not have one.
    fn at(folder: &Path) -> Option<SmallDisk> {
        let disk = folder.with_extension("disk");
        std::fs::create_dir(&disk).ok()?;
        let disk = SmallDisk(disk);
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=2m,mode=1777", "none"])
            .arg(&disk.0)
            .output();
        if !is_root() || !mounted.is_ok_and(|output| output.status.success()) {
            return None;
        }
        std::os::unix::fs::symlink(&disk.0, folder.join("tmp")).expect("a link");
        Some(disk)
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).output();
        let _ = std::fs::remove_dir(&self.0);
    }
}

/// Issue: the disk fills while a body comes, whose length nobody knew: 500, the folder in the log, the room free again for the next
/// one. And an answer that does not fit makes the application wait, and comes whole.
#[test]
fn a_full_disk() {
    let site = site("response-spool=64k").config("SendBufferSize 32768");
    let Some(_disk) = SmallDisk::at(site.dir()) else {
        return;
    };
    let server = site.start();
    for _ in 0..2 {
        let mut connection = server.connect();
        let request = Request::new("POST", "/").chunked([pattern(4_000_000)]);
        let _ = connection.write(&request.bytes());
        assert_eq!(answer(&mut connection).status, 500);
    }
    for record in server.wait_for_logs("WSGI5062", 2) {
        assert!(
            record.text.contains("/tmp' cannot be written to"),
            "{}",
            record.text
        );
        assert!(record.text.contains("No space left"), "{}", record.text);
    }
    assert_eq!(called(&server), "");
    server
        .send(&Request::post("/", pattern(1_500_000)))
        .expect(200);
    assert_eq!(called(&server), "1500000 ");

    let mut connection = server.connect();
    connection.send_bytes(Request::get("/?50000000").bytes());
    server.wait_for_logs("WSGI5062", 3);
    assert_eq!(given(&server), 1);
    let whole = connection.read_answer("GET").expect("an answer");
    assert!(whole.whole && whole.body == pattern(50_000_000));
}

/// Issue: files of Apache's processes may not become as long as a body or an answer: the same, whatever the system does to
/// processes that try.
#[test]
fn a_limit_of_file_sizes() {
    let server = site("response-spool=64k")
        .config("SendBufferSize 32768")
        .start();
    let old = server.children();
    let limited = Command::new("prlimit")
        .args([
            "--pid",
            &server.pid().to_string(),
            "--fsize=2097152:2097152",
        ])
        .status();
    assert!(limited.expect("prlimit of util-linux").success());
    // The next children have it.
    server.graceful();
    server.wait_until_gone(&old);
    let children: Vec<i32> = server.children().iter().map(|child| child.pid).collect();
    let mut connection = server.connect();
    let request = Request::new("POST", "/").chunked([pattern(4_000_000)]);
    let _ = connection.write(&request.bytes());
    assert_eq!(answer(&mut connection).status, 500);
    let record = server.wait_for_log("WSGI5062");
    assert!(record.text.contains("File too large"), "{}", record.text);
    assert_eq!(called(&server), "");
    server.allow_log("WSGI5062");

    let mut connection = server.connect();
    connection.send_bytes(Request::get("/?50000000").bytes());
    server.wait_for_logs("WSGI5062", 2);
    let whole = connection.read_answer("GET").expect("an answer");
    assert!(whole.whole && whole.body == pattern(50_000_000));
    assert!(
        server
            .children()
            .iter()
            .any(|child| children.contains(&child.pid))
    );
}

/// Issue, DMN-334: a client reads nothing until the spool is full and the application waits, and then everything.
#[test]
fn what_waited_comes_whole() {
    let server = site("response-spool=64k response-spool-max=2m")
        .config("SendBufferSize 32768")
        .start();
    let mut connection = server.connect();
    connection.send_bytes(Request::get("/?20000000").bytes());
    let full = |target: &String| target.starts_with("/tmp/#");
    wait_until("the file to be filled", || {
        let mut sizes = server.children().into_iter().flat_map(|child| {
            let files = std::fs::read_dir(format!("/proc/{}/fd", child.pid)).ok();
            let entries = files.into_iter().flatten().filter_map(Result::ok);
            entries
                .filter(|entry| {
                    let target = std::fs::read_link(entry.path()).ok();
                    target.is_some_and(|target| full(&target.display().to_string()))
                })
                .filter_map(|entry| Some(std::fs::metadata(entry.path()).ok()?.len()))
                .collect::<Vec<_>>()
        });
        sizes.any(|size| size >= 2 << 20).then_some(())
    });
    // The other thread is free, however often.
    for round in 0..10 {
        server.get("/").expect(200);
        assert_eq!(given(&server), round + 1);
    }
    let answer = connection.read_answer("GET").expect("an answer");
    assert!(answer.whole && answer.body == pattern(20_000_000));
    wait_until("the end", || (given(&server) == 11).then_some(()));
}

/// Issue: answers that have no body for the client, longer than every spool, after a body in the file: the connection goes on.
#[test]
fn answers_without_a_body() {
    let server = site("response-spool=64k").start();
    let mut connection = server.connect();
    for round in 1..4 {
        let head = connection.send(&Request::head("/?5000000")).expect(200);
        assert_eq!(head.body.len(), 0);
        for method in ["GET", "POST"] {
            let request = match method {
                "GET" => Request::get("/304?5000000"),
                _ => Request::post("/304?5000000", pattern(300_000)),
            };
            let unchanged = connection.send(&request).expect(304);
            assert_eq!(
                (unchanged.body.len(), unchanged.header("ETag")),
                (0, Some("\"x\""))
            );
        }
        let last = connection.send(&Request::get("/?100000")).expect(200);
        assert!(last.body == pattern(100_000));
        wait_until("all of them", || {
            (given(&server) == 4 * round).then_some(())
        });
    }
}
