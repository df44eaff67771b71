//! Clients and daemons that vanish, keep silent, or do not read.

use wsgi_harness::{Answer, Level, Mode, Mpm, Request, Site, app, matrix, subject, wait_until};

use super::{server, still_answers};

/// REQ-490, REQ-491, REQ-492, REQ-438, REQ-493: the client goes away while an answer is sent. Not an error of an iterable; an
/// OSError in `write`.
fn client_goes_away(mpm: Mpm, mode: Mode) {
    let server = server(mpm, mode);
    let iterable = server.case(
        "iterable",
        "class Body:\n    def __iter__(self):\n        open('{data}/iterable-begun', 'w').close()\n        block = b'x' * 65536\n        for _ in range(100000):\n            yield block\n        open('{data}/iterable-exhausted', 'w').close()\n    def close(self):\n        open('{data}/iterable-closed', 'w').close()\n\ndef application(environ, start_response):\n    start_response('200 OK', [])\n    return Body()\n",
    );
    let writing = server.case(
        "writing",
        "def application(environ, start_response):\n    write = start_response('200 OK', [])\n    try:\n        while True:\n            write(b'x' * 65536)\n    except BaseException as error:\n        open('{data}/writing-' + type(error).__name__, 'w').close()\n        raise\n",
    );
    for (url, witness) in [
        (&iterable, "iterable-closed"),
        (&writing, "writing-OSError"),
    ] {
        let mut connection = server.begin(url);
        assert_eq!(connection.read_bytes(100_000).len(), 100_000);
        connection.abort();
        let file = server.path(&format!("data/{witness}"));
        wait_until(witness, || file.exists().then_some(()));
    }
    assert!(!server.path("data/iterable-exhausted").exists());
    server.wait_for_log("writing.wsgi]");
    still_answers(&server);
    assert_eq!(
        server.log().count("iterable.wsgi] "),
        server
            .log()
            .matching("iterable.wsgi] ")
            .iter()
            .filter(|r| r.level == Level::Info)
            .count(),
        "REQ-490: nothing logged"
    );
    // REQ-493: the status that the client got, but for an exception in a child.
    let access = server.path("access.log");
    let written = if mode == Mode::Embedded { 500 } else { 200 };
    for line in [
        format!("200 GET {iterable} "),
        format!("{written} GET {writing} "),
    ] {
        let text = wait_until(&line, || {
            let text = std::fs::read_to_string(&access).ok()?;
            text.contains(&line[4..]).then_some(text)
        });
        assert!(text.contains(&line), "{line}: {text}");
    }
}
matrix!(client_goes_away: event prefork);

/// KD-32, REQ-461, REQ-462, REQ-472, DMN-301, DMN-302, DMN-540: a daemon that dies takes only its requests with it.
fn daemon_dies(mpm: Mpm, mode: Mode) {
    let server = server(mpm, mode);
    let killing = "import os, signal\n\ndef application(environ, start_response):\n    if environ['QUERY_STRING'] == 'late':\n        start_response('200 OK', [])(b'begin')\n    os.kill(os.getpid(), signal.SIGKILL)\n";
    let url = server.case("killing", killing);
    server.allow_log("WSGI0146");
    server.allow_log("WSGI0147");
    server.allow_log("WSGI0119");
    server.allow_log("killing.wsgi]");
    let answer = server.get(&url);
    assert_eq!(answer.status, 502, "{}", answer.shown());
    // REQ-461: closed in order, or not.
    wait_until("the record", || {
        let found = server.log().count("WSGI0146") + server.log().count("WSGI0147");
        (found == 1).then_some(())
    });
    still_answers(&server);
    let mut connection = server.begin(&format!("{url}?late"));
    let answer = connection.read_answer("GET").expect("a head");
    assert_eq!((answer.status, answer.text().as_str()), (200, "begin"));
    if subject().differs("DMN-338") {
        assert!(!answer.whole, "{}", answer.shown());
    }
    // REQ-462: the status of the answer stays what it was.
    server.wait_for_log("WSGI0119");
    let access = server.path("access.log");
    let line = format!("200 GET {url} ");
    wait_until(&line, || {
        let text = std::fs::read_to_string(&access).ok()?;
        text.contains(&line).then_some(())
    });
    still_answers(&server);
}
matrix!(daemon_dies: event prefork / daemon);

/// REQ-321, DMN-242, REQ-461: a daemon ends while it is sent a body, which is told of once; a chunked one as well.
fn daemon_dies_within_a_body(mpm: Mpm, mode: Mode) {
    let spool = if subject().is_ours() {
        " request-spool=0"
    } else {
        ""
    };
    let server = Site::new(mpm, mode)
        .daemon_options(&format!("processes=1 threads=2{spool}"))
        .config("WSGIChunkedRequest On")
        .cases()
        .shared("hello.wsgi")
        .start();
    let url = server.case(
        "ending",
        "import os\n\ndef application(e, s):\n    e['wsgi.input'].read(1)\n    os._exit(1)\n",
    );
    let whole = Request::post(&url, vec![b'x'; 8 << 20]);
    let chunked = Request::new("POST", &url).chunked(vec![vec![b'x'; 1 << 20]; 8]);
    for (times, request) in [(1, whole), (2, chunked)] {
        let mut connection = server.connect();
        let mut writer = connection.split();
        let bytes = request.bytes();
        let answer = std::thread::scope(|scope| {
            scope.spawn(move || {
                let _ = writer.write(&bytes);
            });
            connection.read_answer("POST").expect("an answer")
        });
        assert_eq!(answer.status, 502, "{}", answer.shown());
        server.allow_log("ending.wsgi]");
        server.wait_for_logs("WSGI0129", times);
        // Behind the record that counts.
        wait_until("the cause", || {
            let found = server.log().count("WSGI0146") + server.log().count("WSGI0147");
            (found == times).then_some(())
        });
        assert_eq!(server.log().count("WSGI0129"), times);
    }
    still_answers(&server);
}
matrix!(daemon_dies_within_a_body: event / daemon);

/// REQ-321, DMN-242: a daemon takes no more of a body, but answers: the answer counts, and the rest of the body is discarded.
fn daemon_stops_reading(mpm: Mpm, mode: Mode) {
    assert_eq!(mode, Mode::Daemon);
    let spool = if subject().is_ours() {
        " request-spool=0"
    } else {
        ""
    };
    let server = Site::new(mpm, mode)
        .daemon_options(&format!("processes=1 threads=2{spool}"))
        .cases()
        .shared("hello.wsgi")
        .start();
    let url = server.case(
        "deaf",
        "import os, socket\n\ndef application(environ, start_response):\n    environ['wsgi.input'].read(1)\n    for name in os.listdir('/proc/self/fd'):\n        try:\n            one = socket.socket(fileno=os.dup(int(name)))\n        except OSError:\n            continue\n        listens = one.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)\n        if one.family == socket.AF_UNIX and not listens and str(one.getsockname()).endswith('.sock'):\n            one.shutdown(socket.SHUT_RD)\n        one.close()\n    start_response('200 OK', [('Content-Length', '5')])\n    return [b'whole']\n",
    );
    let bytes = Request::post(&url, vec![b'x'; 8 << 20]).bytes();
    let mut connection = server.connect();
    let mut writer = connection.split();
    let answer = std::thread::scope(|scope| {
        scope.spawn(move || writer.write(&bytes).expect("all of it is taken"));
        connection.read_answer("POST").expect("an answer")
    });
    assert_eq!(answer.expect(200).text(), "whole");
    let next = connection.send(&Request::get("/case/hello"));
    assert_eq!(next.expect(200).text(), "hello");
    let told = if subject().differs("DMN-242") {
        0
    } else {
        server.allow_log("WSGI0127");
        server.wait_for_log("WSGI0129");
        1
    };
    assert_eq!(server.log().count("WSGI0129"), told);
}
matrix!(daemon_stops_reading: event / daemon);

/// DMN-036, DMN-216, DMN-300, DP-40, REQ-461: an application that takes longer than the socket-timeout, which is httpd's Timeout
/// by default.
fn socket_timeout(mpm: Mpm, mode: Mode) {
    assert_eq!(mode, Mode::Daemon);
    for (options, line) in [("socket-timeout=1", "Timeout 600"), ("", "Timeout 1")] {
        takes_too_long(mpm, options, line);
    }
}
matrix!(socket_timeout: event / daemon);

fn takes_too_long(mpm: Mpm, options: &str, line: &str) {
    let server = Site::new(mpm, Mode::Daemon)
        .daemon_options(&format!("processes=1 threads=2 {options}"))
        .config(line)
        .cases()
        .shared("hello.wsgi")
        .start();
    let url = server.case("slow", &app("import os, time\nwhile not os.path.exists('{data}/go'):\n    time.sleep(0.01)\nstart_response('200 OK', [])\nreturn []"));
    let answer: Answer = server.get(&url);
    assert_eq!(answer.status, 504);
    server.expect_log("WSGI0145");
    server.write("data/go", "");
    still_answers(&server);
    server.allow_log("slow.wsgi]");
}

/// DMN-216, DP-40: httpd's Timeout is that of the request's virtual host, whoever the group belongs to.
#[test]
fn timeout_of_a_virtual_host() {
    let server = Site::daemon()
        .daemon_options("processes=1 threads=2")
        .config(
            "Timeout 600
            Listen 127.0.0.1:{port2}
            <VirtualHost 127.0.0.1:{port2}>
                ServerName second.example
                Timeout 1
                WSGIScriptAlias / {apps}/root.wsgi
            </VirtualHost>",
        )
        .script("/", &app("import os, time\nwhile not os.path.exists('{data}/go'):\n    time.sleep(0.01)\nstart_response('200 OK', [])\nreturn [b'late']"))
        .start();
    let mut patient = server.begin("/");
    let mut hasty = server.connect_to(1);
    hasty.send_bytes(Request::get("/").bytes());
    assert_eq!(hasty.answer().status, 504);
    server.expect_log("WSGI0145");
    server.write("data/go", "");
    assert_eq!(patient.answer().expect(200).text(), "late");
    server.allow_log("root.wsgi]");
}

/// DMN-244, REQ-320: an application that writes much before it reads a large body, and a client that reads only when it has
/// sent everything.
fn writes_before_it_reads(mpm: Mpm, mode: Mode) {
    let server = Site::new(mpm, mode).cases().config("Timeout 5").start();
    let url = server.case(
        "early",
        &app("start_response('200 OK', [])\nfor _ in range(32):\n    yield b'x' * 65536\nlength = 0\nwhile True:\n    block = environ['wsgi.input'].read(65536)\n    if not block:\n        break\n    length += len(block)\nyield str(length).encode()"),
    );
    let body = vec![b'y'; 4 << 20];
    let length = body.len();
    let mut reader = server.connect();
    let head = Request::post(&url, body);
    // A client that sends and reads at the same time.
    let answer = std::thread::scope(|scope| {
        let mut writer = reader.split();
        scope.spawn(move || {
            let _ = writer.write(&head.bytes());
        });
        reader.read_answer("POST").expect("an answer")
    });
    if mode == Mode::Embedded || subject().differs("DMN-244") {
        assert!(answer.whole, "{}", answer.shown().len());
        assert_eq!(answer.body.len(), 32 * 65536 + length.to_string().len());
        assert!(answer.text().ends_with(&length.to_string()));
    } else {
        server.allow_log("WSGI0129");
        server.allow_log("early.wsgi]");
        server.allow_log("WSGI0119");
    }
}
matrix!(writes_before_it_reads: event);
