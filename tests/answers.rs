//! Headers, lengths and redirects of answers, and how several answers share a connection.

use wsgi_harness::{
    Answer, Framing, Mode, Mpm, Request, Server, Site, app, matrix, subject, wait_until,
};

fn server(mpm: Mpm, mode: Mode) -> Server {
    // A cut-short answer of the original may keep the connection open until this is over (REQ-448, REQ-466).
    let keep_alive = if subject().is_ours() { 300 } else { 1 };
    Site::new(mpm, mode)
        .shared("start.wsgi")
        .cases()
        .config(&format!("KeepAliveTimeout {keep_alive}"))
        .start()
}

/// REQ-437, REQ-441: the application alone decides what a `Range` means; only files are cut, by Apache, as the original has it.
fn ranges(mpm: Mpm, mode: Mode) {
    let server = server(mpm, mode);
    let body = "start_response('200 OK', [('Content-Length', '10')]); return [b'0123456789']";
    let url = server.case("whole", &app(body));
    for method in ["GET", "POST"] {
        let request = Request::new(method, &url).header("Range", "bytes=0-3");
        assert_eq!(server.send(&request).expect(200).text(), "0123456789");
    }
    let body = "start_response('200 OK', [('Content-Length', '10')])(b'0123456789'); return []";
    let url = server.case("written", &app(body));
    let request = Request::get(&url).header("Range", "bytes=0-3");
    assert_eq!(server.send(&request).expect(200).text(), "0123456789");
    let body =
        "start_response('200 OK', [])\nreturn environ['wsgi.file_wrapper'](open(__file__, 'rb'))";
    let url = server.case("file", &app(body));
    let request = Request::get(&url).header("Range", "bytes=0-3");
    let status = if mode == Mode::Embedded { 206 } else { 200 };
    server.send(&request).expect(status);
}
matrix!(ranges: event prefork);

/// REQ-446, REQ-449, REQ-450, REQ-451, REQ-453, REQ-457, REQ-458, REQ-459, DMN-313, DMN-314, DMN-315, DMN-316,
/// DMN-317, DMN-318: headers of the answer.
fn headers(mpm: Mpm, mode: Mode) {
    let server = server(mpm, mode);
    let with = |headers: &str| -> Answer {
        server
            .send(&Request::get("/case/start").header("X-Args", format!("'200 OK', [{headers}]")))
            .expect(200)
    };
    let answer = with("('X-A', 'one'), ('x-b', '')");
    assert_eq!(
        (answer.header("X-A"), answer.header("X-B")),
        (Some("one"), Some(""))
    );
    let answer = with(
        "('Set-Cookie', 'a=1'), ('Set-Cookie', 'b=2'), ('WWW-Authenticate', 'Basic'), ('WWW-Authenticate', 'Digest')",
    );
    assert_eq!(answer.all("Set-Cookie"), ["a=1", "b=2"]);
    assert_eq!(answer.all("WWW-Authenticate"), ["Basic", "Digest"]);
    let answer = with("('X-Twice', 'a'), ('X-Twice', 'b')");
    let all = answer.all("X-Twice").join(", ");
    assert_eq!(all, "a, b");
    let count = if mode == Mode::Embedded { 2 } else { 1 };
    assert_eq!(answer.all("X-Twice").len(), count, "REQ-450, DMN-318");
    let answer = with("('Content-Type', 'Text/HTML; charset=UTF-8')");
    let expected = if mode == Mode::Embedded {
        "Text/HTML; charset=UTF-8"
    } else {
        "text/html; charset=UTF-8"
    };
    assert_eq!(answer.header("Content-Type"), Some(expected), "REQ-458");
    assert_eq!(with("").header("Content-Type"), None, "REQ-446");
    let answer = with("('Server', 'mine'), ('Date', 'never'), ('Connection', 'x-odd')");
    assert!(
        answer.header("Server").is_some() && answer.all("Date").len() == 1,
        "REQ-451"
    );
    let answer = with("('Last-Modified', 'Mon, 01 Jan 2001 00:00:00 GMT'), ('ETag', '\"x\"')");
    assert_eq!(
        answer.header("Last-Modified"),
        Some("Mon, 01 Jan 2001 00:00:00 GMT")
    );
    if mode == Mode::Daemon {
        // REQ-457, DMN-315; REQ-458, DMN-316.
        let answer = with("('Content-Range', 'bytes 0-1/9'), ('Content-Range', 'bytes 2-3/9')");
        assert_eq!(answer.all("Content-Range"), ["bytes 2-3/9"]);
        wait_until("a future date to be now", || {
            let answer = with("('Last-Modified', 'Fri, 01 Jan 2999 00:00:00 GMT')");
            let modified = answer.header("Last-Modified").expect("it stays");
            assert!(!modified.contains("2999"), "{modified}");
            (Some(modified) == answer.header("Date")).then_some(())
        });
        let answer = with("('Last-Modified', 'yesterday')");
        let epoch = Some("Thu, 01 Jan 1970 00:00:00 GMT");
        let expected = epoch.filter(|_| !subject().differs("REQ-458"));
        assert_eq!(answer.header("Last-Modified"), expected);
    }
    // REQ-453: conditions are the application's business.
    let request = Request::get("/case/start")
        .header(
            "X-Args",
            "'200 OK', [('ETag', '\"x\"'), ('Last-Modified', 'Mon, 01 Jan 2001 00:00:00 GMT')]",
        )
        .header("If-None-Match", "\"x\"")
        .header("If-Modified-Since", "Tue, 02 Jan 2024 00:00:00 GMT");
    server.send(&request).expect(200);
    // REQ-459, DMN-314: an application's header called Status.
    let answer = server
        .send(&Request::get("/case/start").header("X-Args", "'200 OK', [('Status', '404 Other')]"));
    if subject().differs("REQ-459") || mode == Mode::Embedded {
        assert_eq!(
            (answer.status, answer.header("Status")),
            (200, Some("404 Other"))
        );
    } else {
        assert_eq!(answer.status, 404);
    }
    // REQ-460, DMN-320: a status line that is nobody's secret signal.
    let answer = server.run(
        "two-hundred-error",
        "start_response('200 Error', [])\nreturn [b'fine']",
    );
    if subject().differs("REQ-460") || mode == Mode::Embedded {
        assert_eq!(
            (
                answer.status,
                answer.reason.as_str(),
                answer.text().as_str()
            ),
            (200, "Error", "fine")
        );
    } else {
        assert_eq!(answer.status, 500);
    }
}
matrix!(headers: event prefork);

/// REQ-424, REQ-463, DMN-319: names and values that `start_response` takes, and httpd does not send.
fn headers_that_httpd_refuses(mpm: Mpm, mode: Mode) {
    let server = server(mpm, mode);
    server.allow_log("AH02429");
    server.allow_log("AH02430");
    server.allow_log("WSGI0174");
    let asking = |headers: &str| {
        Request::get("/case/start").header("X-Args", format!("'200 OK', [{headers}]"))
    };
    // What `start_response` says of them, behind which another answer can be given.
    let result = |headers: &str| {
        let answer = server.send(&asking(headers).header("X-Replace", "1"));
        answer.expect(200).header("X-Result").map(str::to_owned)
    };
    for headers in ["('X-\\u00e9', 'x')", "('X-A', 'a\\x01b')", "('X(A)', 'x')"] {
        assert_eq!(result(headers).as_deref(), Some("accepted"), "{headers}");
        let answer = server.send(&asking(headers));
        assert_eq!(answer.status, 500, "{headers}: {}", answer.shown());
    }
    let (colon, expected) = ("('X:A', 'b')", subject().differs("DMN-319"));
    let expected = if expected { "ValueError" } else { "accepted" };
    assert_eq!(result(colon).as_deref(), Some(expected));
    let answer = server.send(&asking(colon));
    if expected == "ValueError" {
        assert_eq!(answer.expect(200).header("X-Result"), Some(expected));
    } else if mode == Mode::Embedded {
        answer.expect(500);
    } else {
        assert_eq!(answer.expect(200).header("X"), Some("A: b"));
    }
}
matrix!(headers_that_httpd_refuses: event);

/// REQ-450, DMN-317: WWW-Authenticate is among Apache's error headers, which `Header onsuccess` does not reach.
fn authenticate_is_an_error_header(mpm: Mpm, mode: Mode) {
    let server = Site::new(mpm, mode)
        .modules(&["headers"])
        .cases()
        .config("Header onsuccess unset WWW-Authenticate\nHeader onsuccess unset X-Plain")
        .start();
    let url = server.case(
        "authenticate",
        &app(
            "start_response('401 No', [('WWW-Authenticate', 'Basic'), ('X-Plain', 'a')])\nreturn [b'no']",
        ),
    );
    let answer = server.get(&url).expect(401);
    assert_eq!(answer.all("WWW-Authenticate"), ["Basic"]);
    assert_eq!(answer.header("X-Plain"), None);
}
matrix!(authenticate_is_an_error_header: event / embedded daemon);

/// REQ-451: an answer that says `Connection: close` ends its connection, also where h2c is announced in another `Connection`.
fn closing_where_h2c_is_announced(mpm: Mpm, mode: Mode) {
    let server = Site::new(mpm, mode)
        .modules(&["http2"])
        .cases()
        .config("Protocols h2c http/1.1\nKeepAliveTimeout 300")
        .start();
    let url = server.case(
        "closing",
        &app(
            "start_response('200 OK', [('Connection', 'close'), ('Content-Length', '2')])\nreturn [b'ok']",
        ),
    );
    let mut connection = server.connect();
    let answer = connection.send(&Request::get(&url)).expect(200);
    let all = answer.all("Connection").join(", ");
    assert!(all.contains("Upgrade") && all.contains("close"), "{all}");
    if mode == Mode::Daemon || subject().differs("REQ-451") {
        assert!(connection.closes_within(std::time::Duration::from_secs(30)));
    }
}
matrix!(closing_where_h2c_is_announced: event / embedded daemon);

/// REQ-122: what HEAD is told about the length stays what the application says, however the body comes.
fn length_of_head_in_pieces(mpm: Mpm, mode: Mode) {
    let server = server(mpm, mode);
    let url = server.case(
        "pieces",
        &app(
            "start_response('200 OK', [('Content-Length', '50')])\nreturn [b'a' * 10, b'b' * 10, b'c' * 10]",
        ),
    );
    for _ in 0..20 {
        let answer = server.send(&Request::head(&url)).expect(200);
        assert_eq!(answer.header("Content-Length"), Some("50"));
    }
    let url = server.case(
        "unsized",
        &app("start_response('200 OK', [])\nreturn [b'a' * 10, b'b' * 10]"),
    );
    for _ in 0..20 {
        let answer = server.send(&Request::head(&url)).expect(200);
        assert_eq!(answer.header("Content-Length"), None);
    }
}
matrix!(length_of_head_in_pieces: event / embedded daemon);

/// REQ-447, REQ-448, REQ-449, REQ-122: lengths.
fn content_length(mpm: Mpm, mode: Mode) {
    let server = server(mpm, mode);
    let sized = |name: &str, length: &str, body: &str| {
        server.run(
            name,
            &format!("start_response('200 OK', [('Content-Length', '{length}')])\nreturn {body}"),
        )
    };
    for (name, length) in [
        ("exact", "5"),
        ("plus", "+5"),
        ("blank", " 5"),
        ("zeros", "005"),
    ] {
        let answer = sized(name, length, "[b'he', b'llo']").expect(200);
        assert_eq!(
            (answer.text().as_str(), answer.framing),
            ("hello", Framing::Length(5)),
            "{name}"
        );
    }
    let answer = sized("longer", "5", "[b'hello', b' and more']").expect(200);
    assert_eq!(
        (answer.text().as_str(), answer.framing),
        ("hello", Framing::Length(5)),
        "REQ-448"
    );
    let answer = sized("within", "5", "[b'hello and more']").expect(200);
    assert_eq!(answer.text(), "hello");
    let answer = sized("none", "0", "[b'']").expect(200);
    assert_eq!(answer.framing, Framing::Length(0));
    let empty = sized("empty", "", "[b'']").expect(200);
    assert_eq!(empty.text(), "", "REQ-447: an empty string is 0");
    for (name, length) in [
        ("negative", "-1"),
        ("word", "five"),
        ("trailing", "5x"),
        ("huge", "99999999999999999999999"),
    ] {
        let answer = sized(name, length, "[b'hello']");
        assert_eq!(answer.status, 500, "REQ-447: {length}: {}", answer.shown());
        server.wait_for_log("WSGI0174");
    }
    // REQ-449: never made up.
    let answer = server
        .run("single", "start_response('200 OK', [])\nreturn [b'x']")
        .expect(200);
    assert_eq!(answer.header("Content-Length"), None);
    let url = server.case(
        "old",
        &app("start_response('200 OK', [])\nreturn [b'x', b'y']"),
    );
    let answer = server.send(&Request::get(&url).http10()).expect(200);
    assert_eq!(
        (answer.framing, answer.text().as_str()),
        (Framing::Close, "xy")
    );
    // REQ-122: HEAD keeps the application's headers.
    let url = server.case(
        "head",
        &app("start_response('200 OK', [('Content-Length', '5')])\nreturn [b'hello']"),
    );
    let mut connection = server.connect();
    let answer = connection.send(&Request::head(&url)).expect(200);
    assert_eq!(answer.header("Content-Length"), Some("5"));
    assert_eq!(
        connection.send(&Request::get(&url)).expect(200).text(),
        "hello"
    );
    // REQ-448: fewer bytes than promised must not look whole.
    let url = server.case(
        "shorter",
        &app("start_response('200 OK', [('Content-Length', '50')])\nreturn [b'hello']"),
    );
    // REQ-122: what HEAD is told stays what the application says.
    let answer = server.send(&Request::head(&url)).expect(200);
    assert_eq!(answer.header("Content-Length"), Some("50"));
    let mut connection = server.connect();
    connection.send_bytes(Request::get(&url).bytes());
    let answer = connection.read_answer("GET").expect("a head");
    assert!(!answer.whole, "{}", answer.shown());
    assert_eq!(answer.text(), "hello");
    if subject().differs("REQ-448") {
        assert!(connection.closes_within(std::time::Duration::from_secs(10)));
        let url = server.case(
            "nothing",
            &app("start_response('200 OK', [('Content-Length', '50')])\nreturn []"),
        );
        server.get(&url).expect(500);
        server.expect_log("WSGI5075: The response has no body, but a Content-Length of 50.");
    }
}
matrix!(content_length: event prefork);

/// DMN-338, REQ-448: the answer after one that was cut short is never taken for its missing bytes, also when the client has
/// sent its next request already.
fn pipelined_after_a_short_answer(mpm: Mpm, mode: Mode) {
    let server = server(mpm, mode);
    let short = server.case(
        "short",
        &app("start_response('200 OK', [('Content-Length', '50')])\nreturn [b'hello']"),
    );
    let next = server.case(
        "next",
        &app("start_response('200 OK', [])\nreturn [b'next']"),
    );
    let mut connection = server.connect();
    let mut both = Request::get(&short).bytes();
    both.extend(Request::get(&next).bytes());
    connection.send_bytes(both);
    let answer = connection.read_answer("GET").expect("a head");
    if subject().differs("DMN-338") {
        assert_eq!((answer.whole, answer.text().as_str()), (false, "hello"));
    }
}
matrix!(pipelined_after_a_short_answer: event);

/// REQ-456, DMN-321: a Location that is a path, in daemon mode an internal redirect.
fn internal_redirects(mpm: Mpm, mode: Mode) {
    let server = Site::new(mpm, mode)
        .cases()
        .script("/target", "def application(e, s):\n    s('200 OK', [])\n    return [repr((e['REQUEST_METHOD'], e.get('CONTENT_LENGTH'), e['QUERY_STRING'])).encode()]\n")
        .start();
    let url = server.case("redirect", &app("start_response('200 OK', [('Location', '/target?a=b'), ('X-A', 'b')])\nreturn [b'not seen']"));
    let answer = server.send(&Request::post(&url, "body")).expect(200);
    if mode == Mode::Daemon {
        assert_eq!(answer.text(), "('GET', None, 'a=b')");
        assert_eq!(answer.header("X-A"), None);
    } else {
        assert_eq!(
            (answer.text().as_str(), answer.header("Location")),
            ("not seen", Some("/target?a=b"))
        );
    }
    let url = server.case(
        "elsewhere",
        &app("start_response('302 Found', [('Location', '/target')])\nreturn [b'moved']"),
    );
    let answer = server.get(&url).expect(302);
    assert!(
        answer
            .header("Location")
            .is_some_and(|location| location.ends_with("/target"))
    );
    let url = server.case(
        "absolute",
        &app(
            "start_response('200 OK', [('Location', 'http://localhost/target')])\nreturn [b'here']",
        ),
    );
    assert_eq!(server.get(&url).expect(200).text(), "here");
}
matrix!(internal_redirects: event);

/// REQ-455, DMN-322, DIR-123: WSGIErrorOverride, for daemons only.
fn error_override(mpm: Mpm, mode: Mode) {
    let server = Site::new(mpm, mode)
        .cases()
        .config("WSGIErrorOverride On\nErrorDocument 404 \"page of httpd\"")
        .start();
    let url = server.case(
        "missing",
        &app(
            "start_response('404 My Reason', [('X-A', 'b')])\nreturn [b'page of the application']",
        ),
    );
    let answer = server.get(&url).expect(404);
    if mode == Mode::Daemon {
        assert_eq!(
            (answer.text().as_str(), answer.reason.as_str()),
            ("page of httpd", "Not Found")
        );
    } else {
        assert_eq!(
            (answer.text().as_str(), answer.reason.as_str()),
            ("page of the application", "My Reason")
        );
    }
    let answer = server.send(&Request::head(&url)).expect(404);
    let expected = match mode {
        Mode::Daemon => (None, "Not Found"),
        Mode::Embedded => (Some("b"), "My Reason"),
    };
    assert_eq!((answer.header("X-A"), answer.reason.as_str()), expected);
    // A status that Apache has no page for has that of 500.
    for (status, page) in [(399, None), (400, Some(400)), (599, Some(500)), (600, None)] {
        let body = format!("start_response('{status} Odd', [])\nreturn [b'as it is']");
        let answer = server.run(&format!("odd-{status}"), &body);
        let page = page.filter(|_| mode == Mode::Daemon);
        assert_eq!(answer.status, page.unwrap_or(status), "{status}");
        assert_eq!(answer.text() == "as it is", page.is_none(), "{status}");
    }
}
matrix!(error_override: event);

/// REQ-449: pipelined requests are answered in order, each with its own body.
fn pipelining(mpm: Mpm, mode: Mode) {
    let server = server(mpm, mode);
    let url = server.case(
        "echo",
        &app("start_response('200 OK', [])\nreturn [environ['QUERY_STRING'].encode()]"),
    );
    let mut connection = server.connect();
    let mut bytes = Vec::new();
    for number in 0..50 {
        bytes.extend(Request::get(&format!("{url}?{number}")).bytes());
    }
    connection.send_bytes(bytes);
    for number in 0..50 {
        let answer = connection
            .read_answer("GET")
            .expect("an answer for each request")
            .expect(200);
        assert_eq!(answer.text(), number.to_string());
    }
}
matrix!(pipelining: event prefork);

/// REQ-441, REQ-444: a short answer reaches the client before `close()`, which may take its time (work after the answer is
/// done there).
fn close_does_not_hold_the_answer(mpm: Mpm, mode: Mode) {
    let server = server(mpm, mode);
    let url = server.case(
        "closing",
        "import os, time\n\nclass Answer:\n    def __iter__(self):\n        return iter([b'short'])\n\n    def close(self):\n        while not os.path.exists('{data}/go'):\n            time.sleep(0.01)\n        open('{data}/closed', 'w').close()\n\ndef application(environ, start_response):\n    start_response('200 OK', [('Content-Length', '5')])\n    return Answer()\n",
    );
    assert_eq!(server.get(&url).expect(200).text(), "short");
    assert!(!server.path("data/closed").exists());
    server.write("data/go", "");
    wait_until("close() has ended", || {
        server.path("data/closed").exists().then_some(())
    });
}
matrix!(close_does_not_hold_the_answer: event worker prefork);
