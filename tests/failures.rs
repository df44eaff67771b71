//! Applications that fail, clients that vanish: the status and log line of the specification, never an answer that looks
//! whole and is not.

use std::time::Duration;

use wsgi_harness::{
    Answer, Curl, Level, Mode, Mpm, Request, Server, Site, is_root, matrix, script, subject,
    unprivileged_user, wait_until,
};

/// A script whose application has this body.
fn app(body: &str) -> String {
    script("sys", body)
}

fn server(mpm: Mpm, mode: Mode) -> Server {
    // A cut-short answer of the original may keep the connection open until this is over.
    Site::new(mpm, mode)
        .cases()
        .shared("hello.wsgi")
        .config("KeepAliveTimeout 1")
        .start()
}

#[track_caller]
fn still_answers(server: &Server) {
    assert_eq!(server.get("/case/hello").expect(200).text(), "hello");
}

/// REQ-443, REQ-440, REQ-445, REQ-465, REQ-468, REQ-469, REQ-800, DMN-268: failures before anything was sent. 500 with httpd's
/// page, the exception in the log, the process goes on.
fn before_the_headers(mpm: Mpm, mode: Mode) {
    let server = server(mpm, mode);
    for (name, body, code, text) in [
        (
            "raises",
            "raise ValueError('my own text')",
            "WSGI0174",
            "ValueError: my own text",
        ),
        (
            "raises-later",
            "start_response('200 OK', [])\nraise KeyError('after start_response')",
            "WSGI0174",
            "KeyError: 'after start_response'",
        ),
        (
            "generator",
            "start_response('200 OK', [])\ndef body():\n    raise OSError('first step')\n    yield b''\nreturn body()",
            "WSGI0174",
            "OSError: first step",
        ),
        ("exits", "sys.exit(3)", "WSGI0175", "SystemExit"),
        (
            "interrupts",
            "raise KeyboardInterrupt",
            "WSGI0174",
            "KeyboardInterrupt",
        ),
        (
            "base",
            "class Mine(BaseException):\n    pass\nraise Mine('base')",
            "WSGI0174",
            "Mine: base",
        ),
        (
            "none",
            "start_response('200 OK', [])\nreturn None",
            "WSGI0174",
            "TypeError",
        ),
        (
            "number",
            "start_response('200 OK', [])\nreturn 42",
            "WSGI0174",
            "TypeError",
        ),
        (
            "bytes",
            "start_response('200 OK', [])\nreturn b'text'",
            "WSGI0174",
            "TypeError",
        ),
        (
            "text",
            "start_response('200 OK', [])\nreturn 'text'",
            "WSGI0174",
            "TypeError",
        ),
        (
            "text-items",
            "start_response('200 OK', [])\nreturn ['text']",
            "WSGI0174",
            "TypeError",
        ),
        (
            "bytearray-items",
            "start_response('200 OK', [])\nreturn [bytearray(b'x')]",
            "WSGI0174",
            "TypeError",
        ),
        (
            "none-items",
            "start_response('200 OK', [])\nreturn [None]",
            "WSGI0174",
            "TypeError",
        ),
        (
            "nothing-written",
            "write = start_response('200 OK', [('X-Mine', '1')])\nwrite(b'')\nraise ValueError('nothing left yet')",
            "WSGI0174",
            "ValueError: nothing left yet",
        ),
        ("not-started", "return [b'x']", "WSGI0174", "RuntimeError"),
        ("never-started", "return []", "WSGI0174", "RuntimeError"),
        (
            "bad-status",
            "start_response('nonsense', [])\nreturn []",
            "WSGI0174",
            "ValueError",
        ),
        (
            "recursion",
            "return application(environ, start_response)",
            "WSGI0174",
            "RecursionError",
        ),
    ] {
        let url = server.case(name, &app(body));
        let answer = server.get(&url);
        assert_eq!(answer.status, 500, "{name}: {}", answer.shown());
        assert_eq!(answer.header("X-Mine"), None, "{name}");
        assert!(
            answer.text().contains("Internal Server Error"),
            "{name}: {}",
            answer.shown()
        );
        let record = wait_until(name, || {
            server
                .log()
                .matching(&format!("{name}.wsgi]"))
                .into_iter()
                .find(|record| record.contains(code))
        });
        server.allow_log(&format!("{name}.wsgi]"));
        assert_eq!(record.level, Level::Error, "{name}");
        assert!(
            record
                .message()
                .starts_with(&server.fill(&format!("{code}: [script {{apps}}/{name}.wsgi]"))),
            "{}",
            record.line
        );
        assert!(record.contains(text), "{name}: {record:?}");
        let place = if mode == Mode::Daemon {
            "live"
        } else {
            "embedded"
        };
        assert!(
            record.line.contains(place) && record.line.contains("main interpreter"),
            "REQ-800: {}",
            record.line
        );
        // Ours: records of a request are written by the Apache child, whose client it is.
        let peer = if mode == Mode::Daemon && !subject().differs("REQ-802") {
            "remote 127.0.0.1:"
        } else {
            "client 127.0.0.1:"
        };
        assert!(
            record.peer().is_some_and(|found| found.starts_with(peer)),
            "REQ-802: {}",
            record.line
        );
    }
    still_answers(&server);
}
matrix!(before_the_headers: event worker prefork);

/// REQ-038, REQ-465: the page may be the site's own.
fn error_document(mpm: Mpm, mode: Mode) {
    let server = Site::new(mpm, mode)
        .cases()
        .config("ErrorDocument 500 \"our own page\"")
        .start();
    let url = server.case("raises", &app("raise ValueError('x')"));
    assert_eq!(server.get(&url).expect(500).text(), "our own page");
    server.expect_log("ValueError: x");
}
matrix!(error_document: event);

/// REQ-801: the whole traceback, with chained exceptions and notes.
fn tracebacks(mpm: Mpm, mode: Mode) {
    let server = server(mpm, mode);
    let url = server.case(
        "chained",
        "def inner():\n    raise KeyError('cause')\n\ndef application(environ, start_response):\n    try:\n        inner()\n    except KeyError as error:\n        new = ValueError('effect')\n        new.add_note('with a note')\n        raise new from error\n",
    );
    server.get(&url).expect(500);
    let record = server.wait_for_log("ValueError: effect");
    for line in [
        "Traceback (most recent call last):",
        "in inner",
        "KeyError: 'cause'",
        "direct cause of the following exception",
        "in application",
        "with a note",
    ] {
        assert!(record.contains(line), "{line}: {record:?}");
    }
    let url = server.case("deep", "def inner():\n    raise KeyError('never caught')\n\ndef application(environ, start_response):\n    inner()\n");
    server.get(&url).expect(500);
    let record = server.wait_for_log("KeyError: 'never caught'");
    if subject().differs("REQ-801") {
        for line in [
            "Traceback (most recent call last):",
            "line 5, in application",
            "line 2, in inner",
        ] {
            assert!(record.contains(line), "{line}: {record:?}");
        }
    }
    let url = server.case("lines", &app("raise ValueError('one\\n\\ntwo')"));
    server.get(&url).expect(500);
    let record = server.wait_for_log("ValueError: one");
    assert!(
        record.traceback.iter().any(|line| line.ends_with("two")),
        "REQ-800: {record:?}"
    );
    assert!(
        !record.traceback.iter().any(|line| line.trim().is_empty()),
        "REQ-800: blank lines are skipped"
    );
}
matrix!(tracebacks: event);

/// REQ-466, REQ-467, DMN-338: an exception behind the headers. The client must see that the answer is not whole.
fn behind_the_headers(mpm: Mpm, mode: Mode) {
    let server = server(mpm, mode);
    let rows = [
        (
            "chunked",
            "start_response('200 OK', [])\nyield b'begin'\nraise ValueError('in the middle')",
        ),
        (
            "sized",
            "start_response('200 OK', [('Content-Length', '100')])\nyield b'begin'\nraise ValueError('in the middle')",
        ),
        (
            "wrong-type",
            "start_response('200 OK', [])\nyield b'begin'\nyield 'in the middle'",
        ),
        (
            "exit",
            "start_response('200 OK', [])\nyield b'begin'\nsys.exit('in the middle')",
        ),
    ];
    for (name, body) in rows {
        let url = server.case(name, &app(body));
        for request in [Request::get(&url), Request::get(&url).http10()] {
            let mut connection = server.connect();
            connection.send_bytes(request.bytes());
            let answer = connection.read_answer("GET").expect("a head");
            assert_eq!(
                (answer.status, answer.text().as_str()),
                (200, "begin"),
                "{name}"
            );
            let row = if mode == Mode::Embedded {
                "REQ-466"
            } else {
                "REQ-467"
            };
            if subject().differs(row) {
                assert!(!answer.whole, "{name}: {}", answer.shown());
                assert!(connection.closes_within(Duration::from_secs(10)), "{name}");
            }
        }
        server.wait_for_log(&format!("{name}.wsgi]"));
    }
    still_answers(&server);
}
matrix!(behind_the_headers: event worker prefork);

/// REQ-444: close is called whatever happens, once.
fn close_after_failures(mpm: Mpm, mode: Mode) {
    let server = server(mpm, mode);
    let url = server.case(
        "closing",
        "class Body:\n    def __init__(self, how):\n        self.how = how\n    def __iter__(self):\n        yield b'begin'\n        if self.how == 'raise':\n            raise ValueError('on purpose')\n        if self.how == 'type':\n            yield 1\n    def close(self):\n        open('{data}/closed-' + self.how, 'a').write('x')\n\ndef application(environ, start_response):\n    start_response('200 OK', [])\n    return Body(environ['QUERY_STRING'])\n",
    );
    for how in ["fine", "raise", "type"] {
        let mut connection = server.connect();
        connection.send_bytes(Request::get(&format!("{url}?{how}")).bytes());
        let _ = connection.read_answer("GET");
        let file = server.path(&format!("data/closed-{how}"));
        let text = wait_until("close", || {
            std::fs::read_to_string(&file)
                .ok()
                .filter(|text| !text.is_empty())
        });
        assert_eq!(text, "x", "{how}");
    }
    server.allow_log("closing.wsgi]");
}
matrix!(close_after_failures: event);

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
        let mut connection = server.connect();
        connection.send_bytes(Request::get(url).bytes());
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
}
matrix!(client_goes_away: event prefork);

/// DOC-22, REQ-470, REQ-471, REQ-604, REQ-616, DIR-032, DMN-268: scripts that cannot be used.
fn unusable_scripts(mpm: Mpm, mode: Mode) {
    let server = server(mpm, mode);
    for (name, text, codes, exception) in [
        (
            "syntax",
            "def application(:\n",
            &["WSGI0105", "WSGI0174"][..],
            "SyntaxError",
        ),
        (
            "encoding",
            "# -*- coding: nonsense -*-\n",
            &["WSGI0105", "WSGI0174"],
            "SyntaxError",
        ),
        (
            "raising",
            "raise ValueError('at import')\n",
            &["WSGI0109", "WSGI0174"],
            "ValueError: at import",
        ),
        (
            "importing",
            "import there_is_no_such_module\n",
            &["WSGI0109", "WSGI0174"],
            "ModuleNotFoundError",
        ),
        (
            "exiting",
            "import sys\nsys.exit(1)\n",
            &["WSGI0107", "WSGI0175"],
            "SystemExit: 1",
        ),
        ("without", "x = 1\n", &["WSGI0089"], ""),
        (
            "uncallable",
            "application = 42\n",
            &["WSGI0174"],
            "TypeError",
        ),
    ] {
        let url = server.case(name, text);
        for _ in 0..2 {
            let answer = server.get(&url);
            if name == "without" {
                assert!(
                    matches!(answer.status, 404 | 500),
                    "REQ-470: {}",
                    answer.status
                );
                if !subject().differs("REQ-470") {
                    assert_eq!(
                        answer.status,
                        if mode == Mode::Embedded { 404 } else { 500 }
                    );
                }
            } else {
                assert_eq!(answer.status, 500, "{name}");
            }
        }
        for code in codes {
            // REQ-471: tried again by every request.
            let found = wait_until(code, || {
                let found: Vec<_> = server
                    .log()
                    .records()
                    .into_iter()
                    .filter(|record| {
                        record.line.contains(&format!("{name}.wsgi]")) && record.line.contains(code)
                    })
                    .collect();
                (found.len() >= 2).then_some(found)
            });
            assert_eq!(found[0].level, Level::Error);
        }
        server.allow_log(&format!("{name}.wsgi]"));
        assert!(
            server
                .log()
                .matching(&format!("{name}.wsgi]"))
                .iter()
                .any(|record| record.contains(exception)),
            "{name}"
        );
        // A repaired script is taken up.
        server.write(
            &format!("apps/{name}.wsgi"),
            include_str!("apps/hello.wsgi"),
        );
        assert_eq!(server.get(&url).expect(200).text(), "hello", "{name}");
    }
    // A script that nobody may read: as root the daemon user may not.
    let url = server.case("unreadable", include_str!("apps/hello.wsgi"));
    std::fs::set_permissions(
        server.path("apps/unreadable.wsgi"),
        std::os::unix::fs::PermissionsExt::from_mode(0o000),
    )
    .expect("mine");
    assert_eq!(server.get(&url).status, 500);
    server.allow_log("unreadable.wsgi]");
    let record = server.wait_for_log("PermissionError: [Errno 13] Permission denied");
    assert!(record.contains("unreadable.wsgi'"), "{record:?}");
    if subject().is_ours() && is_root() {
        let user = format!("for user {} (uid ", unprivileged_user().name);
        assert!(record.contains(&user), "{record:?}");
    }
    assert_eq!(server.get("/case/missing").status, 404);
    server.expect_log("WSGI0135");
    std::fs::create_dir(server.path("apps/directory.wsgi")).expect("a folder");
    assert_eq!(server.get("/case/directory").status, 403);
    server.expect_log("WSGI0136");
}
matrix!(unusable_scripts: event prefork);

/// KD-32, REQ-472, DMN-301, DMN-302, DMN-540: a daemon that dies takes only its requests with it.
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
    still_answers(&server);
    let mut connection = server.connect();
    connection.send_bytes(Request::get(&format!("{url}?late")).bytes());
    let answer = connection.read_answer("GET").expect("a head");
    assert_eq!((answer.status, answer.text().as_str()), (200, "begin"));
    if subject().differs("DMN-338") {
        assert!(!answer.whole, "{}", answer.shown());
    }
    still_answers(&server);
}
matrix!(daemon_dies: event prefork / daemon);

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

/// REQ-466, REQ-467, DMN-338: the same over HTTP/2: the stream is reset.
fn behind_the_headers_over_http2(mpm: Mpm, mode: Mode) {
    let server = Site::new(mpm, mode)
        .modules(&["http2"])
        .cases()
        .config("Protocols h2c http/1.1")
        .start();
    let url = server.case(
        "whole",
        &app("start_response('200 OK', [])\nyield b'begin'"),
    );
    let browser = Curl::http2(&server);
    let answer = browser.get(&url).expect(200);
    assert_eq!(
        (answer.version.as_str(), answer.text().as_str()),
        ("2", "begin")
    );
    let url = server.case(
        "cut",
        &app("start_response('200 OK', [])\nyield b'begin'\nraise ValueError('in the middle')"),
    );
    let answer = browser.get(&url);
    if subject().differs("DMN-338") {
        assert_ne!(answer.exit, 0, "{}", answer.head);
    }
    server.wait_for_log("ValueError: in the middle");
}
matrix!(behind_the_headers_over_http2: event worker);
