//! Which requests reach the module, and which it refuses before any Python runs.

mod owners;

use wsgi_harness::{Mode, Mpm, PATIENCE, Request, Site, matrix, subject};

const HELLO: &str = include_str!("../apps/hello.wsgi");

/// A server that reaches scripts in every way that there is.
fn site(mpm: Mpm, mode: Mode) -> Site {
    Site::new(mpm, mode)
        .modules(&["mime", "rewrite", "dir", "negotiation", "alias"])
        .file("mime.types", "text/html html\n")
        .file("htdocs/exec/hello.wsgi", HELLO)
        .file("htdocs/exec/other.txt", "plain file\n")
        .file("htdocs/exec/index.wsgi", HELLO)
        .file("htdocs/forbidden/hello.wsgi", HELLO)
        .file(
            "htdocs/typed/hello.wsgi",
            "def application(e, s):\n    s('200 OK', [])\n    return [b'typed']\n",
        )
        .file("htdocs/set/anything", HELLO)
        .file("htdocs/wrong/hello.wsgi", "static text\n")
        .file("htdocs/rewritten/target.py", HELLO)
        .file("apps/folder/readme.txt", "a folder\n")
        .file("apps/slashed/readme.txt", "a folder\n")
        .file("apps/missing_type.wsgi", HELLO)
        .file(
            "apps/marking.wsgi",
            "open('{data}/marked', 'w').close()\n\ndef application(e, s):\n    s('200 OK', [])\n    return [str(len(e['wsgi.input'].read())).encode()]\n",
        )
        .shared("echo.wsgi")
        .shared("hello.wsgi")
        .config(
            "TypesConfig {dir}/mime.types
            <Directory {htdocs}/exec>
                AddHandler wsgi-script .wsgi
                Options ExecCGI MultiViews
                MultiviewsMatch Handlers
                DirectoryIndex index.wsgi
            </Directory>
            <Directory {htdocs}/forbidden>
                AddHandler wsgi-script .wsgi
            </Directory>
            <Directory {htdocs}/typed>
                AddType application/x-httpd-wsgi .wsgi
                Options ExecCGI
            </Directory>
            <Directory {htdocs}/set>
                SetHandler wsgi-script
                Options ExecCGI
            </Directory>
            <Directory {htdocs}/wrong>
                SetHandler wsgi-scripts
                Options ExecCGI
            </Directory>
            <Directory {htdocs}/rewritten>
                Options ExecCGI FollowSymLinks
                RewriteEngine On
                RewriteRule ^target.py$ - [H=wsgi-script]
            </Directory>
            DirectorySlash Off
            <Directory {apps}/slashed>\nDirectorySlash On\n</Directory>
            WSGIScriptAlias /slashed {apps}/slashed
            WSGIScriptAlias /folder {apps}/folder
            WSGIScriptAlias /hello {apps}/hello.wsgi
            WSGIScriptAlias /echo {apps}/echo.wsgi
            WSGIScriptAlias /strict {apps}/hello.wsgi
            WSGIScriptAlias /limited {apps}/echo.wsgi
            WSGIScriptAlias /chunked {apps}/echo.wsgi
            <Location /strict>
                AcceptPathInfo Off
                ErrorDocument 404 \"our own page\"
            </Location>
            WSGIScriptAliasMatch ^/.*marking$ {apps}/marking.wsgi
            <Location /limited-marking>
                LimitRequestBody 99999
            </Location>
            <Location /unlimited-marking>
                LimitRequestBody 0
            </Location>
            <Location /limited>
                LimitRequestBody 10
                ErrorDocument 413 \"too much\"
            </Location>
            <Location /chunked>
                WSGIChunkedRequest On
            </Location>",
        )
}

/// REQ-001, REQ-002, REQ-003, REQ-004, REQ-005, DIR-009: the ways to the handler.
fn ways_to_the_handler(mpm: Mpm, mode: Mode) {
    let server = site(mpm, mode).start();
    for path in [
        "/hello",
        "/exec/hello.wsgi",
        "/set/anything",
        "/rewritten/target.py",
        "/exec/",
        "/exec/hello",
    ] {
        assert_eq!(server.get(path).expect(200).text(), "hello", "{path}");
    }
    assert_eq!(
        server.get("/exec/other.txt").expect(200).text(),
        "plain file\n"
    );
    // REQ-003: the type that selected the handler is the default type of the answer.
    let typed = server.get("/typed/hello.wsgi").expect(200);
    assert_eq!(
        typed.header("Content-Type"),
        Some("application/x-httpd-wsgi")
    );
    assert_eq!(typed.text(), "typed");
    // REQ-001: the name is exact; httpd serves the file itself.
    assert_eq!(
        server.get("/wrong/hello.wsgi").expect(200).text(),
        "static text\n"
    );
}
matrix!(ways_to_the_handler: event prefork);

/// REQ-001, REQ-002: names of handlers are exact, and those of WSGIHandlerScript count where it is in effect only.
fn names_of_handlers(mpm: Mpm, mode: Mode) {
    let rows = [
        ("script", "SetHandler wsgi-script", "hello"),
        ("type", "SetHandler application/x-httpd-wsgi", "hello"),
        // httpd writes the names of handlers small, WSGIHandlerScript (below) leaves them as they are.
        ("upper", "SetHandler WSGI-Script", "hello"),
        ("longer", "SetHandler wsgi-script2", "static"),
        ("shorter", "SetHandler wsgi", "static"),
        (
            "own",
            "WSGIHandlerScript own {apps}/own.wsgi\nSetHandler own",
            "own",
        ),
        (
            "own-upper",
            "WSGIHandlerScript Own {apps}/own.wsgi\nSetHandler Own",
            "static",
        ),
        ("elsewhere", "SetHandler own", "static"),
        ("none", "", "static"),
    ];
    let site = Site::new(mpm, mode).file(
        "apps/own.wsgi",
        "def handle_request(e, s):\n    s('200 OK', [])\n    return [b'own']\n",
    );
    let site = rows.iter().fold(site, |site, (name, config, expected)| {
        let text = if *expected == "hello" {
            HELLO
        } else {
            "static"
        };
        site.file(&format!("htdocs/{name}/file"), text)
            .config(&format!(
                "<Location /{name}>\nOptions ExecCGI\n{config}\n</Location>"
            ))
    });
    let server = site.start();
    for (name, _, expected) in rows {
        let text = server.get(&format!("/{name}/file")).expect(200).text();
        assert_eq!(text, expected, "{name}");
    }
}
matrix!(names_of_handlers: event);

/// REQ-006: every method reaches the application but TRACE, which httpd answers, and those that it refuses where it is told to.
fn methods(mpm: Mpm, mode: Mode) {
    let server = Site::new(mpm, mode)
        .script("/", "def application(e, s):\n    s('200 OK', [('X-Method', e['REQUEST_METHOD'])])\n    return []\n")
        .config(
            "Listen 127.0.0.1:{port2}
            <VirtualHost 127.0.0.1:{port2}>
                HttpProtocolOptions Strict RegisteredMethods
                TraceEnable Off
            </VirtualHost>",
        )
        .start();
    for (index, method, status, reaches) in [
        (0, "GET", 200, true),
        (0, "HEAD", 200, true),
        (0, "POST", 200, true),
        (0, "PUT", 200, true),
        (0, "DELETE", 200, true),
        (0, "OPTIONS", 200, true),
        (0, "PATCH", 200, true),
        (0, "PROPFIND", 200, true),
        (0, "REPORT", 200, true),
        (0, "BREW", 200, true),
        (0, "brew", 200, true),
        (0, "TRACE", 200, false),
        (1, "PATCH", 200, true),
        (1, "BREW", 501, false),
        (1, "TRACE", 405, false),
    ] {
        let mut connection = server.connect_to(index);
        let answer = connection.send(&Request::new(method, "/")).expect(status);
        let expected = reaches.then_some(method);
        assert_eq!(answer.header("X-Method"), expected, "{index} {method}");
        if (method, status) == ("TRACE", 200) {
            assert_eq!(answer.header("Content-Type"), Some("message/http"));
            assert!(answer.text().starts_with("TRACE / HTTP/1.1\r\n"));
        }
    }
    server.allow_log("AH");
}
matrix!(methods: event);

/// REQ-021, REQ-022, REQ-023, REQ-024, REQ-035, REQ-038, REQ-807: what is refused, with its code in the log.
fn refused_before_python(mpm: Mpm, mode: Mode) {
    let server = site(mpm, mode).start();
    for (path, status, code) in [
        (
            "/forbidden/hello.wsgi",
            403,
            "[script {htdocs}/forbidden/hello.wsgi] WSGI0134: ",
        ),
        (
            "/exec/missing.wsgi",
            404,
            "[script {htdocs}/exec/missing.wsgi] WSGI0135: ",
        ),
        ("/folder", 403, "[script {apps}/folder] WSGI0136: "),
        ("/slashed/", 403, "[script {apps}/slashed/] WSGI0136: "),
        ("/set/", 403, "[script {htdocs}/set/] WSGI0136: "),
        ("/strict/path", 404, "[script {apps}/hello.wsgi] WSGI0137: "),
    ] {
        server.get(path).expect(status);
        let record = server.wait_for_log(code);
        assert_eq!(record.module, "wsgi");
        assert_eq!(record.level, wsgi_harness::Level::Error, "{path}");
        assert!(
            record
                .peer()
                .is_some_and(|peer| peer.starts_with("client 127.0.0.1:")),
            "{}",
            record.line
        );
    }
    // REQ-023: mod_dir comes first, where it may.
    let answer = server.get("/slashed").expect(301);
    let target = answer.header("Location").unwrap_or_default();
    assert!(target.ends_with("/slashed/"), "{target}");
    assert_eq!(server.get("/strict/path").text(), "our own page");
    assert_eq!(server.get("/strict").expect(200).text(), "hello");
}
matrix!(refused_before_python: event prefork);

/// REQ-030, REQ-031, REQ-032, REQ-034, DIR-124: bodies whose length is not known or not a number.
fn body_lengths(mpm: Mpm, mode: Mode) {
    let server = site(mpm, mode).start();
    let refused = server.send(&Request::new("POST", "/echo").chunked(["abc"]));
    assert_eq!(refused.status, 411, "{}", refused.shown());
    server.wait_for_log("WSGI0139");
    assert_eq!(
        server
            .send(&Request::new("POST", "/chunked").chunked(["abc", "def"]))
            .expect(200)
            .text(),
        "abcdef"
    );
    // httpd answers both by itself before any handler runs.
    let unknown =
        server.send(&Request::new("POST", "/chunked").header("Transfer-Encoding", "gzip"));
    assert!(matches!(unknown.status, 400 | 501), "{}", unknown.shown());
    server.allow_log("AH02539");
    let text = server.send(&Request::new("POST", "/echo").header("Content-Length", "ten"));
    assert_eq!(text.status, 400, "{}", text.shown());
    server.allow_log("AH01587");
    // Both: httpd drops the length, and does not use the connection again.
    let mut connection = server.connect();
    let both = Request::new("POST", "/chunked")
        .header("Content-Length", "2")
        .chunked(["abcdef"]);
    let answer = connection.send(&both).expect(200);
    assert_eq!(answer.text(), "abcdef");
    assert!(connection.closes_within(PATIENCE));
}
matrix!(body_lengths: event prefork);

/// REQ-323, REQ-033, REQ-038: a body over `LimitRequestBody` is refused before the application is called.
fn body_limit(mpm: Mpm, mode: Mode) {
    let server = site(mpm, mode).start();
    assert_eq!(
        server
            .send(&Request::post("/limited", "0123456789"))
            .expect(200)
            .text(),
        "0123456789"
    );
    let refused = server.send(&Request::post("/limited", "0123456789a"));
    assert_eq!(
        (refused.status, refused.text().as_str()),
        (413, "too much"),
        "{}",
        refused.shown()
    );
    // Neither loaded nor called, and what follows is not taken for a request.
    for path in ["/limited-marking", "/unlimited-marking"] {
        let mut connection = server.connect();
        let refused = path == "/limited-marking";
        let mut bytes = Request::post(path, vec![b'G'; 100_000]).bytes();
        bytes.extend(Request::get("/marking").bytes());
        let mut writer = connection.split();
        std::thread::scope(|scope| {
            scope.spawn(move || writer.write(&bytes));
            let answer = connection.read_answer("POST").expect("an answer");
            assert_eq!(answer.status, if refused { 413 } else { 200 }, "{path}");
            if refused {
                assert!(!server.path("data/marked").exists());
            } else {
                assert_eq!(connection.answer().expect(200).text(), "0");
            }
        });
    }
    assert!(server.path("data/marked").exists(), "0 is no limit");
}
matrix!(body_limit: event prefork);

/// REQ-037: a chunked body that grows over the limit. Embedded the application reads so far, and gets an OSError; a daemon's sees no
/// end of it either.
fn chunked_body_over_the_limit(mpm: Mpm, mode: Mode) {
    let server = site(mpm, mode)
        .cases()
        .config("WSGIChunkedRequest On\nLimitRequestBody 10")
        .start();
    server.allow_log("AH01591");
    server.allow_log("WSGI0126");
    for (name, otherwise) in [("failing", "raise"), ("answering", "result = 'too much'")] {
        let url = server.case(name, &format!("def tell(text):\n    with open('{{data}}/{name}', 'a') as file:\n        file.write(text + ' ')\n\ndef application(environ, start_response):\n    try:\n        result = len(environ['wsgi.input'].read())\n        tell(str(result))\n    except OSError:\n        tell('OSError')\n        {otherwise}\n    start_response('200 OK', [])\n    return [repr(result).encode()]\n"));
        server.allow_log(&format!("{name}.wsgi]"));
        let chunks = |count: usize| Request::new("POST", &url).chunked(vec!["01234"; count]);
        assert_eq!(server.send(&chunks(2)).expect(200).text(), "10", "{name}");
        let refused = server.send(&chunks(3)).expect(413);
        if subject().differs("REQ-506") {
            assert_eq!(refused.text().matches("<html>").count(), 1);
        }
        let told = std::fs::read_to_string(server.path(&format!("data/{name}")));
        let told = told.expect("it has told something");
        if mode == Mode::Embedded {
            assert_eq!(told, "10 OSError ", "{name}");
        }
        // With the spool it is not called at all.
        assert_eq!(told.replace("OSError ", ""), "10 ", "{name}");
    }
}
matrix!(chunked_body_over_the_limit: event);

/// REQ-036: the groups of an alias are known before REQ-024 refuses, so that its refusal names no other reason.
#[test]
fn refusals_do_not_start_python() {
    let server = Site::embedded()
        .shared("hello.wsgi")
        .config("WSGIScriptAlias /x {apps}/hello.wsgi process-group=none\n<Location /x>\nAcceptPathInfo Off\n</Location>")
        .start();
    server.allow_log("WSGI5034");
    server.get("/x/y").expect(404);
    server.expect_log("WSGI0137");
    server.get("/x").expect(500);
    server.expect_log("WSGI0150");
}

/// GEN-03, DMN-101: tokens of module and Python, in this order, behind those that were there, as far as ServerTokens lets them be
/// seen. The subject is what the run says it is: a run against the original must not test ours by mistake.
#[test]
fn the_subject_names_itself() {
    let banner = |config: &str| {
        let server = Site::embedded()
            .file(
                "apps/interpreter.wsgi",
                include_str!("../apps/interpreter.wsgi"),
            )
            .config(&format!(
                "{config}\nWSGIScriptAlias / {{apps}}/interpreter.wsgi"
            ))
            .start();
        let answer = server.get("/").expect(200);
        let banner = answer.header("Server").unwrap_or_default().to_owned();
        server.stop();
        (banner, answer.fact("version"))
    };
    for config in ["", "ServerTokens Full"] {
        let (banner, version) = banner(config);
        let tokens: Vec<&str> = banner.split(' ').collect();
        let [first, .., module, python] = tokens[..] else {
            panic!("{banner}");
        };
        assert!(first.starts_with("Apache/2.4"), "{banner}");
        let module_version = if subject().is_ours() {
            module.strip_prefix("mod_wsgi-rs/")
        } else {
            module.strip_prefix("mod_wsgi/6.")
        };
        let is_version = |text: &str| text.starts_with(|first: char| first.is_ascii_digit());
        assert!(module_version.is_some_and(is_version), "{banner}");
        assert_eq!(python, format!("Python/{version}"), "{banner}");
    }
    assert_eq!(banner("ServerTokens Prod").0, "Apache");
}
