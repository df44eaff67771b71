//! `wsgi.input` and the way of a request body.

use std::time::Duration;

use wsgi_harness::{Mode, Mpm, Request, Server, Site, matrix, subject, wait_until};

/// A script whose application evaluates `body` (statements that set `result`) and answers with `repr(result)`.
fn reading(body: &str) -> String {
    let mut text = String::from(
        "def application(environ, start_response):\n    input = environ['wsgi.input']\n",
    );
    for line in body.lines() {
        text += &format!("    {line}\n");
    }
    text + "    start_response('200 OK', [])\n    return [repr(result).encode()]\n"
}

fn server(mpm: Mpm, mode: Mode) -> Server {
    Site::new(mpm, mode)
        .cases()
        .shared("echo.wsgi")
        .config("WSGIChunkedRequest On")
        .start()
}

/// REQ-500, REQ-501, REQ-502, REQ-503, REQ-504, REQ-505: the methods, each with the same body.
fn methods(mpm: Mpm, mode: Mode) {
    let server = server(mpm, mode);
    let body = "first\nsecond line\n\nlast";
    let rows: &[(&str, &str, &str)] = &[
        (
            "REQ-500",
            "result = input.read()",
            "b'first\\nsecond line\\n\\nlast'",
        ),
        (
            "REQ-500",
            "result = input.read(-1)",
            "b'first\\nsecond line\\n\\nlast'",
        ),
        (
            "REQ-500",
            "result = input.read(0), input.read(3), input.read(0), input.read(100)",
            "(b'', b'fir', b'', b'st\\nsecond line\\n\\nlast')",
        ),
        (
            "REQ-505",
            "result = input.read(), input.read(), input.read(5), input.readline(), input.readlines(), list(input)",
            "(b'first\\nsecond line\\n\\nlast', b'', b'', b'', [], [])",
        ),
        (
            "REQ-501",
            "result = [input.readline() for _ in range(6)]",
            "[b'first\\n', b'second line\\n', b'\\n', b'last', b'', b'']",
        ),
        (
            "REQ-501",
            "result = input.readline(0), input.readline(3), input.readline(100), input.readline(-1)",
            "(b'', b'fir', b'st\\n', b'second line\\n')",
        ),
        (
            "REQ-502",
            "result = input.readlines()",
            "[b'first\\n', b'second line\\n', b'\\n', b'last']",
        ),
        (
            "REQ-502",
            "result = input.readlines(7), input.readlines(0)",
            "([b'first\\n', b'second line\\n'], [b'\\n', b'last'])",
        ),
        (
            "REQ-503",
            "result = list(input)",
            "[b'first\\n', b'second line\\n', b'\\n', b'last']",
        ),
        (
            "REQ-503",
            "result = iter(input) is input, next(input), input.read(4)",
            "(True, b'first\\n', b'seco')",
        ),
        (
            "REQ-503",
            "result = input.close(), input.read(3)",
            "(None, b'fir')",
        ),
        (
            "REQ-500",
            "result = input.read(2), input.readline(), input.read(3), input.readlines()",
            "(b'fi', b'rst\\n', b'sec', [b'ond line\\n', b'\\n', b'last'])",
        ),
        (
            "REQ-504",
            "result = []\nfor call in (lambda: input.read(None), lambda: input.read('1'), lambda: input.read(1.5), lambda: input.readline(None), lambda: input.readlines(None), lambda: input.read(1, 2), lambda: input.read(size=1)):\n    try:\n        call()\n        result.append('fine')\n    except TypeError:\n        result.append('TypeError')",
            "['TypeError', 'TypeError', 'TypeError', 'TypeError', 'TypeError', 'TypeError', 'TypeError']",
        ),
        (
            "REQ-503",
            "result = type(input).__module__, type(input).__name__, [name for name in ('seek', 'tell', 'fileno', 'closed', 'seekable', '__enter__', 'readinto', 'getvalue') if hasattr(input, name)]",
            "('mod_wsgi', 'Input', [])",
        ),
    ];
    let mut connection = server.connect();
    for (number, (row, code, expected)) in rows.iter().enumerate() {
        let url = server.case(&format!("m{number}"), &reading(code));
        for request in [
            Request::post(&url, body),
            Request::new("POST", &url).chunked(["fir", "st\nsecond", " line\n\nlast"]),
        ] {
            assert_eq!(
                connection.send(&request).expect(200).text(),
                *expected,
                "{row}: {code}"
            );
        }
    }
    let url = server.case(
        "nothing",
        &reading("result = input.read(), input.readline(), list(input)"),
    );
    assert_eq!(
        connection.send(&Request::get(&url)).expect(200).text(),
        "(b'', b'', [])"
    );
    assert_eq!(
        connection.send(&Request::post(&url, "")).expect(200).text(),
        "(b'', b'', [])"
    );
}
matrix!(methods: event prefork);

/// REQ-507: after the end of the request.
fn after_the_request(mpm: Mpm, mode: Mode) {
    let server = server(mpm, mode);
    let url = server.case(
        "kept",
        "kept = []\n\ndef application(environ, start_response):\n    result = []\n    for old in kept:\n        for name in ('read', 'readline', 'readlines', '__next__'):\n            try:\n                getattr(old, name)()\n                result.append('fine')\n            except RuntimeError as error:\n                result.append('RuntimeError' if name.strip('_') in str(error) or name == '__next__' else str(error))\n    kept[:] = [environ['wsgi.input']]\n    start_response('200 OK', [])\n    return [' '.join(result).encode()]\n",
    );
    let texts: Vec<String> = (0..30)
        .map(|_| server.send(&Request::post(&url, "abc")).expect(200).text())
        .collect();
    assert!(texts.iter().any(|text| !text.is_empty()));
    for text in texts.iter().filter(|text| !text.is_empty()) {
        assert_eq!(text, "RuntimeError RuntimeError RuntimeError RuntimeError");
    }
}
matrix!(after_the_request: event);

/// REQ-320, REQ-505, DMN-240: bodies of all sizes arrive whole, also when they come in bits and pieces.
fn sizes(mpm: Mpm, mode: Mode) {
    let server = server(mpm, mode);
    let mut connection = server.connect();
    for size in [
        1usize,
        100,
        8191,
        8192,
        8193,
        65535,
        65536,
        65537,
        1 << 20,
        5 << 20,
    ] {
        let body: Vec<u8> = (0..size).map(|at| (at * 31 % 251) as u8).collect();
        assert!(
            connection
                .send(&Request::post("/case/echo", body.clone()))
                .expect(200)
                .body
                == body,
            "{size}"
        );
        let chunks: Vec<Vec<u8>> = body.chunks(10_007).map(<[u8]>::to_vec).collect();
        assert!(
            connection
                .send(&Request::new("POST", "/case/echo").chunked(chunks))
                .expect(200)
                .body
                == body,
            "{size} chunked"
        );
    }
    // Byte for byte.
    let request = Request::new("PUT", "/case/echo").chunked(["slow", "bytes"]);
    for byte in request.bytes() {
        connection.send_bytes([byte]);
    }
    assert_eq!(
        connection
            .read_answer("PUT")
            .expect("an answer")
            .expect(200)
            .text(),
        "slowbytes"
    );
}
matrix!(sizes: event worker prefork);

/// REQ-320, REQ-505, DMN-240: where an input filter makes a body longer or shorter than Content-Length says, it ends where it ends.
fn filtered(mpm: Mpm, mode: Mode) {
    // The first one is short as it is sent, and long then.
    let bodies = [20_000, 60_000].map(|count| {
        let program = format!(
            "import gzip, sys\nsys.stdout.buffer.write(gzip.compress(b''.join(b'%d' % n for n in range({count}))))"
        );
        let packed = std::process::Command::new("/usr/bin/python3")
            .args(["-c", &program])
            .output();
        let whole: String = (0..count).map(|number| number.to_string()).collect();
        (packed.expect("Python runs").stdout, whole)
    });
    assert!(bodies[0].0.len() < 65536 && bodies[0].1.len() > 65536);
    for options in ["", "request-spool=0"] {
        if !options.is_empty() && (mode == Mode::Embedded || !subject().is_ours()) {
            continue;
        }
        let server = Site::new(mpm, mode)
            .daemon_options(&format!("threads=2 {options}"))
            .modules(&["filter", "deflate", "ext_filter"])
            .shared("echo.wsgi")
            .config(
                "WSGIScriptAlias /longer {apps}/echo.wsgi
                WSGIScriptAlias /shorter {apps}/echo.wsgi
                ExtFilterDefine shorter mode=input cmd=\"/usr/bin/tr -d x\"
                <Location /longer>\nSetInputFilter DEFLATE\n</Location>
                <Location /shorter>\nSetInputFilter shorter\n</Location>",
            )
            .start();
        let mut connection = server.connect();
        for (packed, whole) in &bodies {
            let request =
                Request::post("/longer", packed.clone()).header("Content-Encoding", "gzip");
            let answer = connection.send(&request).expect(200);
            assert!(answer.text() == *whole, "{}", answer.body.len());
            let body = [&[b'x'; 100_000][..], b"rest"].concat();
            let answer = connection
                .send(&Request::post("/shorter", body))
                .expect(200);
            if mode == Mode::Daemon || subject().differs("REQ-505") {
                assert_eq!(answer.text(), "rest");
            }
        }
    }
}
matrix!(filtered: event);

/// REQ-509, DMN-269: a body that nobody reads does not disturb the next request on the connection.
fn unread_bodies(mpm: Mpm, mode: Mode) {
    let server = server(mpm, mode);
    let url = server.case(
        "ignoring",
        "def application(e, s):\n    s('200 OK', [('Content-Length', '2')])\n    return [b'ok']\n",
    );
    let partly = server.case("partly", &reading("result = input.read(3)"));
    let mut connection = server.connect();
    for size in [10usize, 5000, 60_000, 100_000] {
        assert_eq!(
            connection
                .send(&Request::post(&url, vec![b'x'; size]))
                .expect(200)
                .text(),
            "ok"
        );
        assert_eq!(
            connection
                .send(&Request::post(&partly, vec![b'x'; size]))
                .expect(200)
                .text(),
            "b'xxx'"
        );
        assert_eq!(
            connection
                .send(&Request::new("POST", &url).chunked([vec![b'x'; size]]))
                .expect(200)
                .text(),
            "ok"
        );
    }
}
matrix!(unread_bodies: event prefork);

/// REQ-322, DMN-245: `100 Continue`. In daemon mode always; embedded when the application reads first, also nothing.
fn expect_continue(mpm: Mpm, mode: Mode) {
    let server = server(mpm, mode);
    let cases = [
        ("reads", reading("result = input.read()"), true, "b'hello'"),
        (
            "reads-nothing",
            reading("result = input.read(0)"),
            true,
            "b''",
        ),
        (
            "reads-no-line",
            reading("result = input.readline(0)"),
            mode == Mode::Daemon,
            "b''",
        ),
        (
            "ignores",
            reading("result = 'ignored'"),
            mode == Mode::Daemon,
            "'ignored'",
        ),
    ];
    for (name, text, continues, expected) in cases {
        let url = server.case(name, &text);
        let request = Request::post(&url, "hello").header("Expect", "100-continue");
        let mut connection = server.connect();
        connection.send_bytes(request.head_bytes());
        let first = connection.read_head().expect("a head");
        if continues {
            assert_eq!(first.status, 100, "{name}");
            connection.send_bytes(request.body_bytes());
            let answer = connection
                .read_answer("POST")
                .expect("an answer")
                .expect(200);
            assert_eq!(answer.text(), expected, "{name}");
        } else {
            assert_eq!(first.status, 200, "{name}: {}", first.shown());
        }
    }
    // Embedded, it is too late when the headers are out.
    let url = server.case(
        "late",
        "def application(environ, start_response):\n    write = start_response('200 OK', [])\n    write(b'begun ')\n    write(environ['wsgi.input'].read())\n    return []\n",
    );
    let request = Request::post(&url, "hello").header("Expect", "100-continue");
    let mut connection = server.connect();
    connection.send_bytes(request.head_bytes());
    let status = if mode == Mode::Daemon { "100" } else { "200" };
    let begun = connection.read_bytes(12);
    assert_eq!(begun, format!("HTTP/1.1 {status}").as_bytes());
    let mut connection = connection.with_pending(begun);
    connection.send_bytes(request.body_bytes());
    let answer = connection.answer().expect(200);
    assert_eq!(answer.text(), "begun hello");
    let interim: &[u16] = if mode == Mode::Daemon { &[100] } else { &[] };
    assert_eq!(answer.interim, interim);
    // A client that does not wait.
    let url = server.case("impatient", &reading("result = input.read()"));
    let answer = server
        .send(&Request::post(&url, "hello").header("Expect", "100-continue"))
        .expect(200);
    assert_eq!(answer.text(), "b'hello'");
}
matrix!(expect_continue: event prefork);

/// REQ-506, REQ-494, REQ-321: the client goes away in the middle of its body.
fn client_goes_away(mpm: Mpm, mode: Mode) {
    let server = server(mpm, mode);
    let url = server.case(
        "aborted",
        "def application(environ, start_response):\n    open('{data}/begun', 'w').close()\n    result = []\n    for _ in range(2):\n        try:\n            result.append('%d bytes' % len(environ['wsgi.input'].read()))\n        except BaseException as error:\n            result.append('%s: %s' % (type(error).__name__, error))\n    open('{data}/result.new', 'w').write('\\n'.join(result))\n    import os\n    os.rename('{data}/result.new', '{data}/result')\n    start_response('200 OK', [])\n    return []\n",
    );
    for code in ["WSGI0126", "aborted.wsgi]", "AH"] {
        server.allow_log(code);
    }
    let mut connection = server.connect();
    connection.send_bytes(Request::post(&url, vec![b'x'; 200_000]).head_bytes());
    connection.send_bytes(vec![b'x'; 100_000]);
    if mode == Mode::Embedded {
        wait_until("the application", || {
            server.path("data/begun").exists().then_some(())
        });
    }
    connection.abort();
    if mode == Mode::Embedded {
        let result = wait_until("the application's end", || {
            std::fs::read_to_string(server.path("data/result")).ok()
        });
        // The reason, which httpd may have none of, and then that there was one.
        let text = "OSError: mod_wsgi request data read error: ";
        let (first, then) = result.split_once('\n').expect("two failures");
        assert!(
            first.len() > text.len() && first.starts_with(text),
            "{result}"
        );
        assert_eq!(then, format!("{text}input is already in error state"));
    }
    let next = server
        .send(&Request::post("/case/echo", "still here"))
        .expect(200);
    assert_eq!(next.text(), "still here");
    if mode == Mode::Daemon && server.path("data/begun").exists() {
        // If it was called at all, what it read was not passed off as the whole body.
        let result = wait_until("the application's end", || {
            std::fs::read_to_string(server.path("data/result")).ok()
        });
        if subject().is_ours() {
            assert!(result.starts_with("OSError"), "{result}");
        }
    }
}
matrix!(client_goes_away: event prefork);

/// REQ-321, DMN-241: a client that stops in the middle of its body gets a 408 from a daemon's child, or an error in the
/// application.
fn client_falls_silent(mpm: Mpm, mode: Mode) {
    let server = Site::new(mpm, mode).cases().config("Timeout 1").start();
    let url = server.case(
        "waiting",
        &reading("try:\n    result = len(input.read())\nexcept OSError:\n    result = 'OSError'"),
    );
    server.allow_log("WSGI0126");
    server.allow_log("waiting.wsgi]");
    let mut connection = server.connect();
    connection.send_bytes(Request::post(&url, vec![b'x'; 1000]).head_bytes());
    connection.send_bytes("only a bit");
    let answer = connection.read_answer("POST").expect("an answer");
    if mode == Mode::Daemon {
        assert_eq!(answer.status, 408, "{}", answer.shown());
    } else {
        assert_eq!(answer.expect(200).text(), "'OSError'");
    }
    assert!(connection.closes_within(Duration::from_secs(20)));
}
matrix!(client_falls_silent: event);

/// REQ-034, REQ-506: chunks that are none.
fn malformed_chunks(mpm: Mpm, mode: Mode) {
    let server = server(mpm, mode);
    let url = server.case(
        "malformed",
        &reading("try:\n    result = len(input.read())\nexcept OSError:\n    result = 'OSError'"),
    );
    for code in ["WSGI0126", "AH0", "malformed.wsgi]"] {
        server.allow_log(code);
    }
    let mut connection = server.connect();
    connection.send_bytes(
        Request::new("POST", &url)
            .header("Transfer-Encoding", "chunked")
            .head_bytes(),
    );
    connection.send_bytes("5\r\nhello\r\nnonsense\r\n");
    let answer = connection.read_answer("POST").expect("an answer");
    if answer.status == 200 {
        assert_eq!(answer.text(), "'OSError'", "{}", answer.shown());
    } else {
        assert!(matches!(answer.status, 400 | 500), "{}", answer.shown());
    }
    assert!(connection.closes_within(Duration::from_secs(20)));
    if subject().differs("REQ-506") {
        // httpd's page, once, and nothing behind it.
        assert_eq!(answer.status, 400);
        assert_eq!(
            answer.text().matches("<html>").count(),
            1,
            "{}",
            answer.shown()
        );
        assert!(
            answer.text().trim_end().ends_with("</html>"),
            "{}",
            answer.shown()
        );
    }
}
matrix!(malformed_chunks: event);

/// REQ-508: one thread waits for its body, others work meanwhile.
fn waiting_reads_do_not_block_others(mpm: Mpm, mode: Mode) {
    let server = server(mpm, mode);
    let url = server.case("patient", &reading("result = input.read()"));
    let mut waiting = server.connect();
    waiting.send_bytes(Request::post(&url, "hello").head_bytes());
    waiting.send_bytes("he");
    for _ in 0..20 {
        assert_eq!(
            server
                .send(&Request::post("/case/echo", "other"))
                .expect(200)
                .text(),
            "other"
        );
    }
    waiting.send_bytes("llo");
    assert_eq!(
        waiting
            .read_answer("POST")
            .expect("an answer")
            .expect(200)
            .text(),
        "b'hello'"
    );
}
matrix!(waiting_reads_do_not_block_others: event prefork);
