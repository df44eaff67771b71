//! PEP 3333 over real HTTP: `start_response`, `write`, iterables, headers and lengths.

use wsgi_harness::{Framing, Mode, Mpm, Request, Server, Site, app, matrix, subject};

fn server(mpm: Mpm, mode: Mode) -> Server {
    // A cut-short answer of the original may keep the connection open until this is over.
    Site::new(mpm, mode)
        .shared("start.wsgi")
        .cases()
        .config("KeepAliveTimeout 1")
        .start()
}

/// REQ-401, REQ-410, REQ-411, REQ-412, REQ-413, REQ-414, REQ-415, REQ-416, REQ-418, REQ-419, REQ-420, REQ-421,
/// REQ-422, REQ-423, REQ-425, REQ-427: what `start_response` takes and refuses; the error is raised in the application,
/// which may then answer something else.
fn start_response_arguments(mpm: Mpm, mode: Mode) {
    let server = server(mpm, mode);
    let rows: &[(&str, &str, &str)] = &[
        ("REQ-410", "", "TypeError"),
        ("REQ-410", "'200 OK'", "TypeError"),
        ("REQ-410", "'200 OK', [], None, 1", "TypeError"),
        (
            "REQ-410, REQ-401",
            "status='200 OK', headers=[]",
            "TypeError",
        ),
        (
            "REQ-410, REQ-401",
            "'200 OK', [], exc_info=None",
            "TypeError",
        ),
        ("REQ-411", "'200 OK', ()", "TypeError"),
        ("REQ-411", "'200 OK', {}", "TypeError"),
        ("REQ-411", "'200 OK', None", "TypeError"),
        ("REQ-411", "'200 OK', iter([])", "TypeError"),
        (
            "REQ-411",
            "'200 OK', type('L', (list,), {})([('X-Result', 'accepted')])",
            "accepted",
        ),
        ("REQ-412", "b'200 OK', []", "TypeError"),
        ("REQ-412", "200, []", "TypeError"),
        ("REQ-412", "None, []", "TypeError"),
        ("REQ-413", "'200 \\u20ac', []", "UnicodeEncodeError"),
        ("REQ-414", "'', []", "ValueError"),
        ("REQ-414", "'20', []", "ValueError"),
        ("REQ-414", "'2000 OK', []", "ValueError"),
        ("REQ-414", "'OK', []", "ValueError"),
        ("REQ-414", "' 200 OK', []", "ValueError"),
        ("REQ-414", "'20x OK', []", "ValueError"),
        ("REQ-415", "'200OK', []", "ValueError"),
        ("REQ-415", "'200\\tOK', []", "ValueError"),
        ("REQ-416", "'200 O\\nK', []", "ValueError"),
        ("REQ-416", "'200 OK\\r\\nX-Injected: 1', []", "ValueError"),
        ("REQ-416", "'200 O\\x7fK', []", "ValueError"),
        ("REQ-416", "'200 O\\x01\\tK', []", "ValueError"),
        ("REQ-416", "'200 O\\tK', []", "ValueError"),
        ("REQ-418", "'200 OK', [['X-A', 'b']]", "TypeError"),
        ("REQ-418", "'200 OK', ['X-A']", "TypeError"),
        ("REQ-418", "'200 OK', [None]", "TypeError"),
        (
            "REQ-418",
            "'200 OK', [type('T', (tuple,), {})(('X-Result', 'accepted'))]",
            "accepted",
        ),
        ("REQ-419", "'200 OK', [('X-A',)]", "ValueError"),
        ("REQ-419", "'200 OK', [('X-A', 'b', 'c')]", "ValueError"),
        ("REQ-420", "'200 OK', [(b'X-A', 'b')]", "TypeError"),
        ("REQ-420", "'200 OK', [('X-A', b'b')]", "TypeError"),
        ("REQ-420", "'200 OK', [('X-A', 1)]", "TypeError"),
        ("REQ-420", "'200 OK', [('X-A', None)]", "TypeError"),
        (
            "REQ-421",
            "'200 OK', [('X-\\u20ac', 'b')]",
            "UnicodeEncodeError",
        ),
        (
            "REQ-421",
            "'200 OK', [('X-A', '\\u20ac')]",
            "UnicodeEncodeError",
        ),
        ("REQ-422", "'200 OK', [('', 'b')]", "ValueError"),
        ("REQ-422", "'200 OK', [('X A', 'b')]", "ValueError"),
        ("REQ-422", "'200 OK', [('X-A\\n', 'b')]", "ValueError"),
        ("REQ-422", "'200 OK', [('X-A\\t', 'b')]", "ValueError"),
        ("REQ-422", "'200 OK', [('X\\x01A', 'b')]", "ValueError"),
        ("REQ-422", "'200 OK', [('X\\x7fA', 'b')]", "ValueError"),
        (
            "REQ-423",
            "'200 OK', [('X-A', 'b\\nX-Injected: 1')]",
            "ValueError",
        ),
        ("REQ-423", "'200 OK', [('X-A', 'b\\r')]", "ValueError"),
        ("REQ-427", "'200 OK', [], 1", "RuntimeError"),
        ("REQ-427", "'200 OK', [], []", "RuntimeError"),
        (
            "REQ-427",
            "'200 OK', [('X-Result', 'accepted')], ()",
            "accepted",
        ),
        (
            "REQ-427",
            "'200 OK', [('X-Result', 'accepted')], None",
            "accepted",
        ),
    ];
    let mut connection = server.connect();
    for (row, arguments, expected) in rows {
        let request = Request::get("/case/start").header("X-Args", arguments);
        let answer = connection.send(&request).expect(200);
        assert_eq!(
            answer.header("X-Result"),
            Some(*expected),
            "{row}: start_response({arguments})"
        );
        assert_eq!(answer.header("X-Injected"), None);
    }
    // REQ-425: 6.1 cuts at a NUL.
    for arguments in [
        "'200 O\\0K', []",
        "'200 OK', [('X-\\0A', 'b')]",
        "'200 OK', [('X-A', 'b\\0c')]",
    ] {
        let answer = server
            .send(
                &Request::get("/case/start")
                    .header("X-Args", arguments)
                    .header("X-Replace", "1"),
            )
            .expect(200);
        if subject().differs("REQ-425") {
            assert_eq!(
                answer.header("X-Result"),
                Some("ValueError"),
                "start_response({arguments})"
            );
        }
    }
}
matrix!(start_response_arguments: event prefork);

/// REQ-417, REQ-426, REQ-452, REQ-454: statuses.
fn statuses(mpm: Mpm, mode: Mode) {
    let server = server(mpm, mode);
    for (status, code, reason) in [
        ("200 OK", 200, Some("OK")),
        ("200", 200, Some("OK")),
        ("404", 404, Some("Not Found")),
        ("200 ", 200, Some("")),
        ("200 caf\\u00e9", 200, Some("caf\u{e9}")),
        ("600 x", 600, Some("x")),
        ("200 Fine By Me", 200, Some("Fine By Me")),
        ("299 Unknown But Fine", 299, Some("Unknown But Fine")),
        ("404 Not Here", 404, Some("Not Here")),
        ("418 I'm a teapot", 418, Some("I'm a teapot")),
        ("500 Mine", 500, Some("Mine")),
        ("503 Later", 503, Some("Later")),
        ("599 Odd", 599, Some("Odd")),
    ] {
        let answer =
            server.send(&Request::get("/case/start").header("X-Args", format!("\"{status}\", []")));
        assert_eq!(answer.status, code, "{status}");
        assert!(answer.whole);
        if let Some(reason) = reason {
            assert_eq!(answer.reason, reason, "{status}");
        }
    }
    for (name, status) in [
        ("no-content", "204 No Content"),
        ("not-modified", "304 Not Modified"),
    ] {
        let url = server.case(
            name,
            &app(&format!(
                "start_response('{status}', [('X-A', 'b')])\nreturn [b'suppressed']"
            )),
        );
        let mut connection = server.connect();
        let answer = connection.send(&Request::get(&url));
        assert_eq!(
            (answer.status.to_string().as_str(), answer.header("X-A")),
            (&status[..3], Some("b"))
        );
        // What follows on the connection is the next answer, not the body.
        let next = connection.send(&Request::get("/case/start").header("X-Args", "'200 OK', []"));
        assert_eq!(next.status, 200);
    }
}
matrix!(statuses: event);

/// REQ-450, REQ-451, REQ-457, REQ-458, DMN-313, DMN-315, DMN-317: headers that come twice, that are in different case, that begin
/// with blanks, and those that are httpd's own whatever the application says.
fn headers(mpm: Mpm, mode: Mode) {
    let server = server(mpm, mode);
    let with = |headers: &str| {
        server
            .send(&Request::get("/case/start").header("X-Args", format!("'200 OK', [{headers}]")))
            .expect(200)
    };
    let plain = with("");
    for headers in [
        "('Server', 'mine')",
        "('sErver', 'a'), ('Server', 'b'), ('DATE', 'c'), ('Date', 'd')",
        "('Date', 'Mon, 01 Jan 2001 00:00:00 GMT')",
    ] {
        let answer = with(headers);
        assert_eq!(answer.all("Server"), plain.all("Server"), "{headers}");
        let dates = answer.all("Date");
        assert_eq!(dates.len(), 1, "{headers}");
        assert!(
            dates[0].ends_with(" GMT") && !dates[0].contains("2001"),
            "{dates:?}"
        );
    }
    // What comes of two headers in daemon mode; embedded they stay two, but for Content-Type, of which there is one.
    for (name, first, second, merged) in [
        ("X-Two", "a", "b", &["a, b"][..]),
        ("ETag", "a", "b", &["a, b"]),
        ("Location", "http://a/", "http://b/", &["http://b/"]),
        ("Content-Range", "x", "y", &["y"]),
        (
            "Last-Modified",
            "Mon, 01 Jan 2001 00:00:00 GMT",
            "Tue, 02 Jan 2001 00:00:00 GMT",
            &["Tue, 02 Jan 2001 00:00:00 GMT"],
        ),
        ("Set-Cookie", "a=1", "b=2", &["a=1", "b=2"]),
        ("WWW-Authenticate", "a", "b", &["a", "b"]),
        ("Content-Type", "text/a", "text/b", &["text/b"]),
    ] {
        let lower = name.to_lowercase();
        let answer = with(&format!("('{name}', '{first}'), ('{lower}', '{second}')"));
        let expected = if mode == Mode::Daemon || name == "Content-Type" {
            merged
        } else {
            &[first, second]
        };
        assert_eq!(answer.all(name), expected, "{name}");
    }
    let answer = with("('X-Blanks', ' \\t a b'), ('Content-Type', 'Text/HTML; Charset=UTF-8')");
    assert_eq!(answer.header("X-Blanks"), Some("a b"), "REQ-458");
    let kind = if mode == Mode::Daemon {
        "text/html; Charset=UTF-8"
    } else {
        "Text/HTML; Charset=UTF-8"
    };
    assert_eq!(answer.header("Content-Type"), Some(kind), "REQ-458");
}
matrix!(headers: event);

/// REQ-446, REQ-003: the type that the application sets decides about filters by type; without one it is that of the script's
/// name.
fn types(mpm: Mpm, mode: Mode) {
    let site = Site::new(mpm, mode)
        .modules(&["filter", "mime", "substitute"])
        .config(
            "TypesConfig /dev/null
            AddType text/x-mine .mine
            WSGIScriptAliasMatch ^/([a-z]+)$ {apps}/$1.mine
            AddOutputFilterByType SUBSTITUTE text/html text/x-mine
            Substitute s/body/replaced/",
        );
    let rows = [
        ("none", "", "text/x-mine", "a replaced"),
        ("plain", "text/plain", "text/plain", "a body"),
        (
            "html",
            "text/html; charset=utf-8",
            "text/html; charset=utf-8",
            "a replaced",
        ),
    ];
    let site = rows.iter().fold(site, |site, (name, kind, _, _)| {
        let headers = match *kind {
            "" => String::new(),
            kind => format!("('Content-Type', '{kind}')"),
        };
        let body = format!("start_response('200 OK', [{headers}])\nreturn [b'a body']");
        site.file(&format!("apps/{name}.mine"), &app(&body))
    });
    let server = site.start();
    for (name, _, kind, text) in rows {
        let answer = server.get(&format!("/{name}")).expect(200);
        assert_eq!(
            (answer.header("Content-Type"), answer.text().as_str()),
            (Some(kind), text),
            "{name}"
        );
    }
}
matrix!(types: event);

/// DOC-24, REQ-400, REQ-402, REQ-410 to REQ-427, REQ-428, REQ-429, REQ-430, REQ-431, REQ-432, REQ-436: when headers are committed.
fn commitment(mpm: Mpm, mode: Mode) {
    let server = server(mpm, mode);
    let answer = server.run(
        "twice",
        "start_response('404 No', [('X-A', '1')])\nstart_response('200 OK', [('X-B', '2')])\nreturn [b'x']",
    );
    assert_eq!(
        (answer.status, answer.header("X-A"), answer.header("X-B")),
        (200, None, Some("2")),
        "REQ-428"
    );
    let answer = server.run(
        "unchanged",
        "start_response('201 First', [('X-A', '1')])\nrefused = 0\nfor wrong in (('200 OK', ()), ('2', []), ('200 OK', [('X-B', '1'), ('X', 2)]), ('200 OK', [('X-B', 'a\\nb')]), (b'200 OK', []), ('200 OK', [('X-B', '1')], 1)):\n    try:\n        start_response(*wrong)\n    except Exception:\n        refused += 1\nreturn [str(refused).encode()]",
    );
    assert_eq!(
        (answer.status, answer.header("X-A"), answer.header("X-B")),
        (201, Some("1"), None),
        "REQ-410 to REQ-427: the state is unchanged"
    );
    assert_eq!(answer.text(), "6");
    let answer = server.run(
        "replaced",
        "start_response('200 OK', [('X-A', '1')])\ntry:\n    raise ValueError('x')\nexcept ValueError:\n    start_response('500 Sorry', [], sys.exc_info())\nreturn [b'sorry']",
    );
    assert_eq!(
        (answer.status, answer.header("X-A"), answer.text().as_str()),
        (500, None, "sorry"),
        "REQ-431"
    );
    let answer = server.run(
        "committed",
        "write = start_response('200 OK', [])\nwrite(b'')\ntry:\n    start_response('404 No', [])\nexcept BaseException as error:\n    write(type(error).__name__.encode())\nreturn []",
    );
    assert_eq!(
        (answer.status, answer.text().as_str()),
        (200, "RuntimeError"),
        "REQ-429, REQ-436"
    );
    let answer = server.run(
        "reraised",
        "write = start_response('200 OK', [])\nwrite(b'begin ')\ntry:\n    try:\n        raise KeyError('mine')\n    except KeyError:\n        start_response('500 No', [], sys.exc_info())\nexcept KeyError as error:\n    write(repr(error).encode())\nreturn []",
    );
    assert_eq!(
        answer.expect(200).text(),
        "begin KeyError('mine')",
        "REQ-430"
    );
    let url = server.case(
        "later",
        "kept = []\n\ndef application(environ, start_response):\n    result = []\n    for call in kept:\n        try:\n            call()\n        except BaseException as error:\n            result.append(type(error).__name__)\n    write = start_response('200 OK', [])\n    kept[:] = [lambda: write(b'x'), lambda: start_response('200 OK', [])]\n    return [' '.join(result).encode()]\n",
    );
    let mut connection = server.connect();
    let texts: Vec<String> = (0..40)
        .map(|_| connection.send(&Request::get(&url)).expect(200).text())
        .collect();
    assert!(
        texts.iter().any(|text| text == "RuntimeError RuntimeError"),
        "REQ-432: {texts:?}"
    );
    assert!(
        texts
            .iter()
            .all(|text| text.is_empty() || text == "RuntimeError RuntimeError"),
        "REQ-432: {texts:?}"
    );
}
matrix!(commitment: event prefork);

/// REQ-435, REQ-437: `write`.
fn write(mpm: Mpm, mode: Mode) {
    let server = server(mpm, mode);
    let answer = server.run(
        "types",
        "write = start_response('200 OK', [])\nout = []\nfor value in (b'x', bytearray(b'x'), memoryview(b'x'), 'x', None, 1):\n    try:\n        out.append(repr(write(value)))\n    except BaseException as error:\n        out.append(type(error).__name__)\nclass Sub(bytes):\n    pass\nout.append(repr(write(Sub(b'y'))))\nfor arguments in ((), (b'a', b'b')):\n    try:\n        write(*arguments)\n    except BaseException as error:\n        out.append(type(error).__name__)\nreturn [' '.join(out).encode()]",
    );
    assert_eq!(
        answer.expect(200).text(),
        "xyNone TypeError TypeError TypeError TypeError TypeError None TypeError TypeError"
    );
    let answer = server.run(
        "mixed",
        "write = start_response('200 OK', [])\nwrite(b'one ')\nwrite(b'two ')\nreturn [b'three ', b'', b'four']",
    );
    assert_eq!(answer.expect(200).text(), "one two three four");
    // REQ-437, REQ-441: blocks travel at once; the client has the first before the second is made.
    let url = server.case(
        "flushed",
        &app("import os, time\nwrite = start_response('200 OK', [])\nwrite(b'first')\npath = '{data}/go'\nwhile not os.path.exists(path):\n    time.sleep(0.01)\ndef rest():\n    yield b'second'\n    os.unlink(path)\n    while not os.path.exists(path):\n        time.sleep(0.01)\n    yield b'third'\nreturn rest()"),
    );
    let mut connection = server.connect();
    connection.send_bytes(Request::get(&url).bytes());
    let head = connection.read_head().expect("a head");
    assert_eq!(head.header("Transfer-Encoding"), Some("chunked"));
    assert_eq!(connection.read_bytes(10), b"5\r\nfirst\r\n");
    server.write("data/go", "");
    std::fs::set_permissions(
        server.path("data/go"),
        std::os::unix::fs::PermissionsExt::from_mode(0o666),
    )
    .expect("mine");
    assert_eq!(connection.read_bytes(11), b"6\r\nsecond\r\n");
    wsgi_harness::wait_until("the second step", || {
        (!server.path("data/go").exists()).then_some(())
    });
    server.write("data/go", "");
    assert_eq!(connection.read_bytes(10), b"5\r\nthird\r\n");
    assert_eq!(connection.read_bytes(5), b"0\r\n\r\n");
}
matrix!(write: event prefork);

/// REQ-440, REQ-441, REQ-442, REQ-444, REQ-445, REQ-449: what is returned.
fn iterables(mpm: Mpm, mode: Mode) {
    let server = server(mpm, mode);
    let start = "start_response('200 OK', [('X-A', 'b')])\n";
    for (name, body, text) in [
        ("list", "return [b'a', b'b']", "ab"),
        ("tuple", "return (b'a', b'b')", "ab"),
        ("generator", "return (c for c in [b'a', b'', b'b'])", "ab"),
        ("set", "return {b'a'}", "a"),
        ("dict", "return {b'a': 1}", "a"),
        ("iterator", "return iter([b'a', b'b'])", "ab"),
        ("empty-list", "return []", ""),
        ("empty-item", "return [b'']", ""),
        ("empty-iterator", "return iter([])", ""),
        (
            "getitem",
            "class Old:\n    def __getitem__(self, i):\n        return [b'a', b'b'][i]\nreturn Old()",
            "ab",
        ),
        (
            "subclass",
            "class Sub(bytes):\n    pass\nreturn [Sub(b'ab')]",
            "ab",
        ),
        ("big", "return [b'0123456789' * 100000]", "0123456789"),
        ("many", "return [b'x'] * 3000", "x"),
    ] {
        let answer = server.run(name, &format!("{start}{body}")).expect(200);
        assert_eq!(answer.header("X-A"), Some("b"), "{name}");
        // httpd itself gives a length of 0 to an answer of which it knows at once that it has no body.
        let known = text.is_empty() && (mode == Mode::Embedded || subject().differs("REQ-449"));
        let framing = if known {
            Framing::Length(0)
        } else {
            Framing::Chunked
        };
        assert_eq!(answer.framing, framing, "{name}");
        match name {
            "big" => assert_eq!(answer.text(), text.repeat(100_000)),
            "many" => assert_eq!(answer.text(), text.repeat(3000)),
            _ => assert_eq!(answer.text(), text, "{name}"),
        }
    }
    // REQ-402, REQ-443: a generator may call start_response at its first step.
    let url = server.case("lazy", "def application(environ, start_response):\n    start_response('200 OK', [('X-A', 'b')])\n    yield b'lazy'\n");
    let answer = server.get(&url).expect(200);
    assert_eq!(
        (answer.text().as_str(), answer.header("X-A")),
        ("lazy", Some("b"))
    );
    // REQ-444: close, once.
    let url = server.case(
        "closing",
        "count = 0\n\nclass Body:\n    def __init__(self):\n        self.left = [b'a', b'b']\n    def __iter__(self):\n        return self\n    def __next__(self):\n        if not self.left:\n            raise StopIteration\n        return self.left.pop(0)\n    def close(self):\n        global count\n        count += 1\n\ndef application(environ, start_response):\n    start_response('200 OK', [('X-Count', str(count))])\n    return Body()\n",
    );
    if (mpm, mode) != (Mpm::Prefork, Mode::Embedded) {
        for count in ["0", "1", "2"] {
            let answer = server.get(&url).expect(200);
            assert_eq!(answer.text(), "ab");
            assert_eq!(answer.header("X-Count"), Some(count));
        }
    }
    // REQ-444: errors of close change nothing but the log.
    let url = server.case(
        "bad-close",
        "class Body(list):\n    def close(self):\n        raise ValueError('while closing')\n\ndef application(environ, start_response):\n    start_response('200 OK', [])\n    return Body([b'whole'])\n",
    );
    assert_eq!(server.get(&url).expect(200).text(), "whole");
    server.wait_for_log("ValueError: while closing");
    let url = server.case(
        "no-close",
        "class Body(list):\n    def __getattribute__(self, name):\n        if name == 'close':\n            raise ValueError('no close for you')\n        return list.__getattribute__(self, name)\n\ndef application(environ, start_response):\n    start_response('200 OK', [])\n    return Body([b'whole'])\n",
    );
    assert_eq!(server.get(&url).expect(200).text(), "whole");
    server.wait_for_log("WSGI0194");
    server.allow_log("no close for you");
}
matrix!(iterables: event worker prefork);
