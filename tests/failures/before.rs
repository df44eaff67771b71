//! Failures before anything was sent: a whole 500, and the exception in the log.

use wsgi_harness::{Level, Mode, Mpm, Site, app, matrix, subject, wait_until};

use super::{server, still_answers};

/// REQ-443, REQ-436, REQ-440, REQ-445, REQ-465, REQ-468, REQ-469, REQ-800, DMN-268: failures before anything was sent. 500 with
/// httpd's page, the exception in the log, the process goes on.
fn before_the_headers(mpm: Mpm, mode: Mode) {
    let server = server(mpm, mode);
    still_answers(&server);
    let before = [server.children(), server.daemons()].concat();
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
            "ERR-03: {}",
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
    // REQ-468, REQ-469: a process may end behind its answer.
    let gone: Vec<_> = before.iter().filter(|one| !one.is_alive()).collect();
    assert!(gone.is_empty(), "{gone:?}");
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
        "REQ-800, ERR-05: blank lines are skipped"
    );
}
matrix!(tracebacks: event);

/// REQ-806: an exception and where it was raised are logged also where `traceback` cannot be imported.
fn without_traceback_module(mpm: Mpm, mode: Mode) {
    if !subject().is_ours() {
        return;
    }
    let server = server(mpm, mode);
    let url = server.case("broken", "import sys\nsys.modules['traceback'] = None\n\ndef inner():\n    raise KeyError('kept')\n\ndef application(environ, start_response):\n    inner()\n");
    server.get(&url).expect(500);
    let record = server.wait_for_log("KeyError: 'kept'");
    for line in [
        "`traceback` itself fails: ModuleNotFoundError: ",
        "line 8, in application",
        "line 5, in inner",
    ] {
        assert!(record.contains(line), "{line}: {record:?}");
    }
}
matrix!(without_traceback_module: event);
