//! `wsgi.file_wrapper`.

use std::os::unix::fs::FileExt;

use wsgi_harness::{
    Framing, Mode, Mpm, Request, Server, Site, matrix, script, subject, wait_until,
};

/// A script whose application has this body.
fn app(body: &str) -> String {
    script(
        "io, os",
        &format!("wrapper = environ['wsgi.file_wrapper']\n{body}"),
    )
}

/// A file whose bytes tell where they are.
fn content() -> Vec<u8> {
    (0..300_000u32).map(|at| (at * 7 % 253) as u8).collect()
}

fn server(mpm: Mpm, mode: Mode, config: &str) -> Server {
    let site = Site::new(mpm, mode)
        .cases()
        .config("KeepAliveTimeout 1")
        .config(config);
    std::fs::write(site.path("data/file"), content()).expect("a file of the site");
    std::fs::write(site.path("data/empty"), "").expect("a file of the site");
    site.start()
}

/// REQ-583, REQ-584, REQ-585, REQ-586, REQ-587, DIR-127: a file, from where it stands, with and without a length, over one
/// connection.
fn files(mpm: Mpm, mode: Mode) {
    for config in ["", "EnableSendfile On\nWSGIEnableSendfile On"] {
        let server = server(mpm, mode, config);
        let content = content();
        let whole = content.len() as u64;
        let mut connection = server.connect();
        for (name, body, expected, framing) in [
            (
                "whole",
                "start_response('200 OK', [])\nreturn wrapper(open('{data}/file', 'rb'))",
                &content[..],
                Framing::Length(whole),
            ),
            (
                "block",
                "start_response('200 OK', [])\nreturn wrapper(open('{data}/file', 'rb'), 100)",
                &content[..],
                Framing::Length(whole),
            ),
            (
                "from",
                "f = open('{data}/file', 'rb')\nf.seek(1000)\nstart_response('200 OK', [])\nreturn wrapper(f)",
                &content[1000..],
                Framing::Length(whole - 1000),
            ),
            (
                "read-before",
                "f = open('{data}/file', 'rb')\nf.read(5)\nstart_response('200 OK', [])\nreturn wrapper(f)",
                &content[5..],
                Framing::Length(whole - 5),
            ),
            (
                "length",
                "f = open('{data}/file', 'rb')\nf.seek(10)\nstart_response('200 OK', [('Content-Length', '100')])\nreturn wrapper(f)",
                &content[10..110],
                Framing::Length(100),
            ),
            (
                "at-end",
                "f = open('{data}/file', 'rb')\nf.seek(0, 2)\nstart_response('200 OK', [])\nreturn wrapper(f)",
                &[],
                Framing::Length(0),
            ),
            (
                "empty",
                "start_response('200 OK', [])\nreturn wrapper(open('{data}/empty', 'rb'))",
                &[],
                Framing::Length(0),
            ),
            (
                "subclass",
                "class Mine(wrapper):\n    pass\nstart_response('200 OK', [])\nreturn Mine(open('{data}/file', 'rb'))",
                &content[..],
                Framing::Length(whole),
            ),
            (
                "unbuffered",
                "start_response('200 OK', [])\nreturn wrapper(open('{data}/file', 'rb', 0))",
                &content[..],
                Framing::Length(whole),
            ),
            (
                "memory",
                "start_response('200 OK', [])\nreturn wrapper(io.BytesIO(b'in memory'))",
                b"in memory",
                Framing::Chunked,
            ),
            (
                "written-before",
                "start_response('200 OK', [])(b'before ')\nf = open('{data}/file', 'rb')\nf.seek(299990)\nreturn wrapper(f)",
                &[],
                Framing::Chunked,
            ),
            (
                "generator",
                "start_response('200 OK', [])\nreturn (b for b in wrapper(open('{data}/file', 'rb')))",
                &content[..],
                Framing::Chunked,
            ),
            (
                "no-fileno",
                "class Odd(io.BytesIO):\n    def fileno(self):\n        raise ValueError('none')\nstart_response('200 OK', [])\nreturn wrapper(Odd(b'odd'))",
                b"odd",
                Framing::Chunked,
            ),
            (
                "pipe",
                "r, w = os.pipe()\nos.write(w, b'through a pipe')\nos.close(w)\nstart_response('200 OK', [])\nreturn wrapper(os.fdopen(r, 'rb'))",
                b"through a pipe",
                Framing::Chunked,
            ),
            (
                "told-no-number",
                "class Odd(io.FileIO):\n    def tell(self):\n        return 5.0\nstart_response('200 OK', [])\nreturn wrapper(Odd('{data}/file'))",
                &content[..],
                Framing::Chunked,
            ),
            (
                "tells-nothing",
                "class Odd(io.FileIO):\n    tell = None\nstart_response('200 OK', [])\nreturn wrapper(Odd('{data}/file'))",
                &content[..],
                Framing::Chunked,
            ),
            (
                "no-descriptor",
                "class Odd(io.FileIO):\n    def fileno(self):\n        return 'none'\nstart_response('200 OK', [])\nreturn wrapper(Odd('{data}/file'))",
                &content[..],
                Framing::Chunked,
            ),
            (
                "wrapped-twice",
                "class Mine:\n    def __init__(self, inner):\n        self.inner = inner\n    def __iter__(self):\n        return iter(self.inner)\nstart_response('200 OK', [])\nreturn Mine(wrapper(open('{data}/file', 'rb')))",
                &content[..],
                Framing::Chunked,
            ),
        ] {
            let url = server.case(name, &app(body));
            let answer = connection.send(&Request::get(&url)).expect(200);
            assert_eq!(answer.framing, framing, "{name}: {config}");
            if name == "written-before" {
                let mut expected = b"before ".to_vec();
                expected.extend(&content[299_990..]);
                assert_eq!(answer.body, expected);
            } else {
                assert!(
                    answer.body == expected,
                    "{name}: {} bytes, not {}",
                    answer.body.len(),
                    expected.len()
                );
            }
            let head = connection.send(&Request::head(&url)).expect(200);
            assert!(head.body.is_empty());
        }
        // A length that is longer than the file.
        let url = server.case("too-long", &app("start_response('200 OK', [('Content-Length', '1000000')])\nreturn wrapper(open('{data}/file', 'rb'))"));
        if subject().differs("REQ-584") {
            let mut connection = server.connect();
            connection.send_bytes(Request::get(&url).bytes());
            let answer = connection.read_answer("GET").expect("a head");
            assert_eq!(answer.status, 200);
            // What there is, and visibly cut short.
            assert!(answer.body == content, "{} bytes", answer.body.len());
            assert!(!answer.whole, "{}", answer.body.len());
        }
    }
}
matrix!(files: event prefork);

/// REQ-583, REQ-587: a slow client and a file larger than all buffers; others are served meanwhile.
fn large_file(mpm: Mpm, mode: Mode) {
    let server = Site::new(mpm, mode)
        .cases()
        .daemon_options("processes=1 threads=2")
        .shared("hello.wsgi")
        .start();
    let file = std::fs::File::create(server.path("data/large")).expect("a file of the site");
    file.set_len(64 << 20).expect("a sparse file");
    let url = server.case(
        "large",
        &app("start_response('200 OK', [])\nreturn wrapper(open('{data}/large', 'rb'))"),
    );
    let mut slow = server.connect();
    slow.send_bytes(Request::get(&url).bytes());
    let head = slow.read_head().expect("a head");
    assert_eq!(head.header("Content-Length"), Some("67108864"));
    for _ in 0..5 {
        server.get("/case/hello").expect(200);
    }
    let body = slow.read_bytes(64 << 20);
    assert_eq!(body.len(), 64 << 20);
}
matrix!(large_file: event prefork);

/// REQ-586: a file of more than 1 GiB, which httpd cuts into pieces, arrives whole and in order. All of it takes its time, so that
/// `make test` asks for both sides of the cut only, in the mode that has ranges.
fn more_than_a_piece(mpm: Mpm, mode: Mode) {
    const LEN: u64 = (1 << 30) + 1000;
    // Once with the kernel's help and once without.
    let config = match mode {
        Mode::Embedded => "EnableSendfile On\nWSGIEnableSendfile On",
        Mode::Daemon => "",
    };
    let server = server(mpm, mode, config);
    let file = std::fs::File::create(server.path("data/huge")).expect("a file of the site");
    file.set_len(LEN).expect("a sparse file");
    let marks = [0, (1 << 30) - 1, 1 << 30, LEN - 1];
    for at in marks {
        file.write_all_at(b"!", at).expect("a file of the site");
    }
    let url = server.case(
        "huge",
        &app("start_response('200 OK', [])\nreturn wrapper(open('{data}/huge', 'rb'))"),
    );
    let mut connection = server.connect();
    if mode == Mode::Embedded {
        let begin = (1 << 30) - 1000;
        let request = Request::get(&url).header("Range", format!("bytes={begin}-"));
        let body = connection.send(&request).expect(206).body;
        assert_eq!(body.len(), 2000);
        let marked = (begin..).zip(&body).filter(|(_, byte)| **byte == b'!');
        assert_eq!(marked.map(|(at, _)| at).collect::<Vec<_>>(), marks[1..]);
    }
    let head = connection.send(&Request::head(&url)).expect(200);
    assert_eq!(head.header("Content-Length"), Some(&*LEN.to_string()));
    if std::env::var_os("WSGI_LONG").is_none() {
        return;
    }
    connection.send_bytes(Request::get(&url).bytes());
    assert_eq!(connection.read_head().expect("a head").status, 200);
    let zeros = vec![0; 1 << 20];
    let mut at = 0;
    let mut found = Vec::new();
    while at < LEN {
        let piece = connection.read_bytes((LEN - at).min(1 << 20) as usize);
        assert!(!piece.is_empty(), "ended at {at}");
        if piece != zeros[..piece.len()] {
            let marked = piece.iter().enumerate().filter(|(_, byte)| **byte == b'!');
            found.extend(marked.map(|(index, _)| at + index as u64));
        }
        at += piece.len() as u64;
    }
    assert_eq!(found, marks);
}
matrix!(more_than_a_piece: event);

/// REQ-444, REQ-581, REQ-582: the wrapper's close is called, and closes the file, in every way of sending.
fn close(mpm: Mpm, mode: Mode) {
    let server = server(mpm, mode, "");
    for (name, opened) in [
        ("real", "open('{data}/file', 'rb')"),
        ("memory", "io.BytesIO(b'x')"),
    ] {
        let kept =
            format!("import builtins\nkept = builtins.__dict__.setdefault('kept_{name}', [])");
        let sends = server.case(
            name,
            &app(&format!(
                "{kept}\nf = {opened}\nkept.append(f)\nstart_response('200 OK', [])\nreturn wrapper(f)"
            )),
        );
        // Closed after the last byte is out, so a client can be there before: `X-Closed` is asked for until it is so.
        let tells = server.case(
            &format!("{name}-closed"),
            &app(&format!(
                "{kept}\nclosed = [f.closed for f in kept]\nstart_response('200 OK', [('X-Closed', repr(closed))])\nreturn []"
            )),
        );
        for _ in 0..30 {
            server.get(&sends).expect(200);
        }
        wait_until("every file is closed in the process that answers", || {
            let answer = server.get(&tells).expect(200);
            let closed = answer.header("X-Closed").unwrap_or_default().to_owned();
            (closed.contains("True") && !closed.contains("False")).then_some(())
        });
    }
}
matrix!(close: event);

/// REQ-580, REQ-581, REQ-582, REQ-585: the wrapper as an object.
#[test]
fn the_object() {
    let server = server(Mpm::Event, Mode::Embedded, "");
    let rows: &[(&str, &str)] = &[
        (
            "w = wrapper(io.BytesIO(b'abcde'), 2)\nresult = w.blksize, type(w.filelike).__name__, list(w)",
            "(2, 'BytesIO', [b'ab', b'cd', b'e'])",
        ),
        (
            "w = wrapper(filelike=io.BytesIO(b'abc'), blksize=8)\nresult = list(w)",
            "[b'abc']",
        ),
        ("result = wrapper(io.BytesIO()).blksize", "8192"),
        ("result = list(wrapper(io.BytesIO(b'abc'), 0))", "[]"),
        (
            "w = wrapper(io.BytesIO(b'a'))\nresult = iter(w) is w",
            "True",
        ),
        (
            "try:\n    result = wrapper(io.BytesIO(), -1)\nexcept ValueError:\n    result = 'ValueError'",
            "'ValueError'",
        ),
        (
            "try:\n    result = list(wrapper(io.StringIO('abc')))\nexcept TypeError:\n    result = 'TypeError'",
            "'TypeError'",
        ),
        (
            "try:\n    w = wrapper(io.BytesIO())\n    w.blksize = 3\n    result = 'fine'\nexcept AttributeError:\n    result = 'AttributeError'",
            "'AttributeError'",
        ),
        (
            "f = io.BytesIO(b'abc')\nw = wrapper(f)\nresult = [w.close(), w.close(), f.closed]\nfor call in (lambda: next(w), lambda: w.filelike):\n    try:\n        call()\n        result.append('fine')\n    except ValueError:\n        result.append('ValueError')",
            "[None, None, True, 'ValueError', 'ValueError']",
        ),
        (
            "class Bad:\n    def read(self, n):\n        return b''\n    def close(self):\n        raise OSError('no')\nresult = wrapper(Bad()).close()",
            "None",
        ),
        (
            "class Small(wrapper):\n    def __init__(self, name):\n        super().__init__(io.BytesIO(name), 2)\nclass Never(wrapper):\n    def __init__(self, a, b, c):\n        pass\nresult = list(Small(b'abc')), Never(1, 2, 3).filelike",
            "([b'ab', b'c'], None)",
        ),
        (
            "import mod_wsgi\nresult = wrapper is mod_wsgi.FileWrapper, isinstance(type('S', (wrapper,), {})(io.BytesIO()), wrapper)",
            "(True, True)",
        ),
    ];
    for (number, (code, expected)) in rows.iter().enumerate() {
        let url = server.case(
            &format!("o{number}"),
            &app(&format!(
                "{code}\nstart_response('200 OK', [])\nreturn [repr(result).encode()]"
            )),
        );
        assert_eq!(server.get(&url).expect(200).text(), *expected, "{code}");
    }
    if subject().differs("REQ-582") {
        let url = server.case("closeless", &app("class Plain:\n    def read(self, n):\n        return b''\nresult = wrapper(Plain()).close()\nstart_response('200 OK', [])\nreturn [repr(result).encode()]"));
        assert_eq!(server.get(&url).expect(200).text(), "None");
    }
}

/// REQ-585: the position of a descriptor that the application keeps is as before, in both modes.
fn position(mpm: Mpm, mode: Mode) {
    let server = server(mpm, mode, "ServerLimit 1\nMaxRequestWorkers 16");
    let url = server.case(
        "kept",
        "class Kept:\n    def __init__(self, f):\n        self.f = f\n    def __getattr__(self, name):\n        if name == 'close':\n            raise AttributeError(name)\n        return getattr(self.f, name)\n\nclass Open(object):\n    pass\n\nimport io\nf = open('{data}/file', 'rb', 0)\nclass Stays(io.RawIOBase):\n    def read(self, n=-1):\n        return f.read(n)\n    def fileno(self):\n        return f.fileno()\n    def tell(self):\n        return f.tell()\n    def close(self):\n        pass\n\ndef application(environ, start_response):\n    f.seek(int(environ['QUERY_STRING'] or 0)) if environ['QUERY_STRING'] else None\n    start_response('200 OK', [('X-Position', str(f.tell()))])\n    if environ['PATH_INFO'] == '/tell':\n        return []\n    return environ['wsgi.file_wrapper'](Stays())\n",
    );
    for begin in ["50", "299999"] {
        let sent = server.get(&format!("{url}?{begin}")).expect(200);
        assert_eq!(
            sent.body.len(),
            300_000 - begin.parse::<usize>().expect("a number")
        );
        // A client can have it all a moment before.
        wait_until("the position", || {
            let after = server.get(&format!("{url}/tell")).expect(200);
            (after.header("X-Position") == Some(begin)).then_some(())
        });
    }
}
matrix!(position: event);

/// REQ-583: filters still see the file's bytes.
fn filters(mpm: Mpm, mode: Mode) {
    let server = Site::new(mpm, mode)
        .modules(&["filter", "substitute"])
        .cases()
        .file("data/text", "apples and pears\n")
        .config("<Location />\nSetOutputFilter SUBSTITUTE\nSubstitute s/apples/plums/\n</Location>")
        .start();
    let url = server.case("text", &app("start_response('200 OK', [('Content-Type', 'text/plain')])\nreturn wrapper(open('{data}/text', 'rb'))"));
    assert_eq!(server.get(&url).expect(200).text(), "plums and pears\n");
}
matrix!(filters: event);

/// How often the process has read, by any call of the system.
fn reads(pid: u32) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/io")).expect("a child of this server");
    let calls = text.lines().find_map(|line| line.strip_prefix("syscr: "));
    calls
        .and_then(|calls| calls.parse().ok())
        .expect("a count of reads")
}

/// DIR-127: the kernel copies the file only if both directives allow it. Else httpd reads it, without EnableMMAP 8000 bytes at a
/// time, which the kernel counts.
#[test]
fn sendfile_needs_both_directives() {
    // In the original few calls of the system read the file even where the kernel may not send it.
    if !subject().is_ours() {
        return;
    }
    const LEN: usize = 8 << 20;
    for (config, is_sent) in [
        ("EnableSendfile On\nWSGIEnableSendfile On", true),
        ("EnableSendfile Off\nWSGIEnableSendfile On", false),
        ("EnableSendfile On\nWSGIEnableSendfile Off", false),
        ("EnableSendfile On", false),
    ] {
        let server = server(
            Mpm::Prefork,
            Mode::Embedded,
            // The client takes its time with the large answer.
            &format!("KeepAliveTimeout 60\nEnableMMAP Off\n{config}"),
        );
        std::fs::write(server.path("data/large"), vec![b'x'; LEN]).expect("a file of the site");
        let pid = server.case(
            "pid",
            &app("start_response('200 OK', [])\nreturn [str(os.getpid()).encode()]"),
        );
        let large = server.case(
            "large",
            &app("start_response('200 OK', [])\nreturn wrapper(open('{data}/large', 'rb'))"),
        );
        // Loads the script, which reads too; a prefork child keeps its connection.
        let mut connection = server.connect();
        connection.send(&Request::get(&large)).expect(200);
        let child = connection.send(&Request::get(&pid)).expect(200).text();
        let child: u32 = child.parse().expect("a process id");
        let before = reads(child);
        let answer = connection.send(&Request::get(&large)).expect(200);
        let count = reads(child) - before;
        assert_eq!(answer.body.len(), LEN, "{config}");
        // The kernel sends far more than 8000 bytes by a call; the count tells the two apart by a factor of ten or more.
        assert_eq!(
            count < LEN as u64 / 8000 / 2,
            is_sent,
            "{config}: {count} reads"
        );
    }
}
