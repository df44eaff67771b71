//! The environ that an application gets.

use wsgi_harness::{
    Answer, Mode, Mpm, Request, Server, Site, is_root, matrix, subject, unprivileged_user,
};

fn site(mpm: Mpm, mode: Mode) -> Site {
    Site::new(mpm, mode)
        .modules(&[
            "alias",
            "env",
            "setenvif",
            "auth_basic",
            "authn_core",
            "authn_file",
            "authz_user",
            "rewrite",
            "unique_id",
        ])
        .shared("environ.wsgi")
        // user:secret
        .file("passwords", "user:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=\n")
        .config(
            "ServerAdmin admin@example.com
            SetEnv FROM_SETENV \"a value\"
            SetEnv QUERY_STRING overwritten
            SetEnv PATH /must/not/be/seen
            SetEnvIf X-Switch on FROM_SETENVIF=matched
            SetEnvIf X-Switch on WITHOUT_VALUE
            WSGIScriptAlias /app {apps}/environ.wsgi
            WSGIScriptAlias /passed {apps}/environ.wsgi
            WSGIScriptAlias /cgi {apps}/environ.wsgi
            WSGIScriptAlias /protected {apps}/environ.wsgi
            WSGIScriptAlias /tls {apps}/environ.wsgi
            WSGIScriptAlias /tls-one {apps}/environ.wsgi
            WSGIScriptAlias /tls-off {apps}/environ.wsgi
            WSGIScriptAlias /current {apps}/environ.wsgi
            WSGIScriptAlias /error {apps}/environ.wsgi
            <Location /passed>\nWSGIPassAuthorization On\n</Location>
            <Location /cgi>\nCGIPassAuth On\n</Location>
            <Location /tls>\nSetEnv HTTPS ON\n</Location>
            <Location /tls-one>\nSetEnv HTTPS 1\n</Location>
            <Location /tls-off>\nSetEnv HTTPS yes\n</Location>
            <Location /current>
                CGIVar REQUEST_URI current-uri
            </Location>
            <Location /redirecting>
                ErrorDocument 404 /error/page?code=404
            </Location>
            <Location /protected>
                AuthType Basic
                AuthName test
                AuthUserFile {dir}/passwords
                Require valid-user
            </Location>",
        )
}

#[track_caller]
fn value(answer: &Answer, key: &str) -> String {
    let shown = answer
        .line(key)
        .unwrap_or_else(|| panic!("no {key}: {}", answer.text()));
    shown.trim_matches('\'').to_owned()
}

/// ENV-01, ENV-02, ENV-03, ENV-04, ENV-05, ENV-06, REQ-100, REQ-103, DIR-121: request headers.
fn headers(mpm: Mpm, mode: Mode) {
    let server = site(mpm, mode).start();
    let request = Request::post("/app", "12345")
        .header("Content-Type", "text/X-Special; a=b")
        .header("X-Plain-1", "one")
        .header("X-Twice", "first")
        .header("X-Twice", "second")
        .header("Cookie", "a=1")
        .header("Cookie", "b=2")
        .header("X_Plain_1", "spoofed")
        .header("X.Dotted", "dropped")
        .header("Proxy", "http://evil.example/")
        .header("Authorization", "Basic secret")
        .header("Proxy-Authorization", "Basic other")
        .header("X-Latin", b"caf\xe9 \xc3\xa9")
        .header("X-Empty", "");
    let answer = server.send(&request).expect(200);
    assert_eq!(value(&answer, "CONTENT_TYPE"), "text/X-Special; a=b");
    assert_eq!(value(&answer, "CONTENT_LENGTH"), "5");
    assert_eq!(value(&answer, "HTTP_X_PLAIN_1"), "one");
    assert_eq!(value(&answer, "HTTP_X_TWICE"), "first, second");
    assert_eq!(value(&answer, "HTTP_COOKIE"), "a=1, b=2");
    assert_eq!(
        value(&answer, "HTTP_X_LATIN"),
        "café Ã©",
        "latin-1, as PEP 3333 wants it"
    );
    assert_eq!(value(&answer, "HTTP_X_EMPTY"), "");
    for absent in [
        "HTTP_PROXY",
        "HTTP_X_DOTTED",
        "HTTP_AUTHORIZATION",
        "HTTP_PROXY_AUTHORIZATION",
        "HTTP_CONTENT_TYPE",
        "HTTP_CONTENT_LENGTH",
    ] {
        assert_eq!(answer.line(absent), None, "{absent}");
    }
    let plain = server.get("/app").expect(200);
    assert_eq!(
        (plain.line("CONTENT_TYPE"), plain.line("CONTENT_LENGTH")),
        (None, None)
    );
    let credentials = |path: &str| {
        let request = Request::get(path)
            .header("Authorization", "Basic QQ==")
            .header("Proxy-Authorization", "Basic Qg==");
        let answer = server.send(&request).expect(200);
        (
            answer.line("HTTP_AUTHORIZATION"),
            answer.line("HTTP_PROXY_AUTHORIZATION"),
        )
    };
    assert_eq!(credentials("/passed"), (Some("'Basic QQ=='".into()), None));
    assert_eq!(
        credentials("/cgi"),
        (Some("'Basic QQ=='".into()), Some("'Basic Qg=='".into()))
    );
}
matrix!(headers: event prefork);

/// ENV-07, ENV-08, ENV-09, ENV-10, ENV-11, ENV-12, ENV-13, ENV-14, ENV-15, ENV-19, ENV-20, ENV-21, ENV-22, ENV-24,
/// ENV-26, ENV-27, REQ-101, KD-33: what the server says.
fn server_variables(mpm: Mpm, mode: Mode) {
    let server = site(mpm, mode).start();
    let mut connection = server.connect();
    let client_port = connection.local_port().to_string();
    let host = format!("localhost:{}", server.port());
    let answer = connection
        .send(&Request::get("/app/info?a=b%20c&d").host(&host))
        .expect(200);
    let htdocs = server.fill("{htdocs}");
    for (key, expected) in [
        ("SERVER_NAME", "localhost"),
        ("SERVER_ADDR", "127.0.0.1"),
        ("SERVER_PORT", &server.port().to_string()),
        ("SERVER_PROTOCOL", "HTTP/1.1"),
        ("SERVER_ADMIN", "admin@example.com"),
        ("REMOTE_ADDR", "127.0.0.1"),
        ("REMOTE_PORT", &client_port),
        ("DOCUMENT_ROOT", &htdocs),
        ("CONTEXT_DOCUMENT_ROOT", &htdocs),
        ("CONTEXT_PREFIX", ""),
        ("REQUEST_SCHEME", "http"),
        ("REQUEST_METHOD", "GET"),
        ("REQUEST_URI", "/app/info?a=b%20c&d"),
        ("QUERY_STRING", "a=b%20c&d"),
        ("SCRIPT_FILENAME", &server.fill("{apps}/environ.wsgi")),
        ("SCRIPT_NAME", "/app"),
        ("PATH_INFO", "/info"),
        ("HTTP_HOST", &host),
        ("FROM_SETENV", "a value"),
        ("mod_wsgi.script_name", "/app"),
        ("mod_wsgi.path_info", "/info"),
        ("mod_wsgi.request_handler", "wsgi-script"),
        ("mod_wsgi.handler_script", ""),
        ("mod_wsgi.listener_port", &server.port().to_string()),
    ] {
        assert_eq!(value(&answer, key), expected, "{key}");
        assert_eq!(
            answer.line(&format!("type {key}")).as_deref(),
            Some("str"),
            "{key}"
        );
    }
    assert!(value(&answer, "SERVER_SOFTWARE").starts_with("Apache"));
    assert!(!value(&answer, "UNIQUE_ID").is_empty());
    for absent in [
        "GATEWAY_INTERFACE",
        "SERVER_SIGNATURE",
        "PATH_TRANSLATED",
        "REMOTE_HOST",
        "REMOTE_IDENT",
        "PATH",
        "HTTPS",
        "REMOTE_USER",
        "AUTH_TYPE",
        "mod_wsgi.script_start",
        "mod_wsgi.script_reloading",
        "mod_wsgi.enable_sendfile",
        "mod_wsgi.daemon_connects",
        "mod_wsgi.daemon_restarts",
        "mod_ssl.is_https",
        "mod_wsgi.mount_point",
        "apache.request_rec",
        "wsgi.async",
        "LD_LIBRARY_PATH",
    ] {
        assert_eq!(answer.line(absent), None, "{absent}");
    }
    assert!(!answer.text().contains("mod_wsgi.x-"), "internal keys");
    let empty = server.get("/app").expect(200);
    assert_eq!(value(&empty, "QUERY_STRING"), "");
    let switched = server
        .send(&Request::get("/app").header("X-Switch", "on"))
        .expect(200);
    assert_eq!(value(&switched, "FROM_SETENVIF"), "matched");
    // SetEnvIf without value sets 1; mod_rewrite and others may set none, which is None or '' by mode (ENV-24).
    assert_eq!(value(&switched, "WITHOUT_VALUE"), "1");
    let old = server.send(&Request::get("/app").http10()).expect(200);
    assert_eq!(
        (value(&old, "SERVER_PROTOCOL"), old.line("HTTP_HOST")),
        ("HTTP/1.0".into(), None)
    );
    let absolute = server
        .send(&Request::get("http://localhost/app?x"))
        .expect(200);
    assert_eq!(value(&absolute, "REQUEST_URI"), "http://localhost/app?x");
    let named = server
        .send(&Request::get("/app").host("other.example:8080"))
        .expect(200);
    assert_eq!(
        (value(&named, "SERVER_NAME"), value(&named, "SERVER_PORT")),
        ("other.example".into(), "8080".into())
    );
}
matrix!(server_variables: event worker prefork);

/// ENV-08: the name is HTML-escaped and IPv6 bracketed.
#[test]
fn server_name_is_escaped() {
    let server = site(Mpm::Event, Mode::Embedded).start();
    let bracketed = server
        .send(&Request::get("/app").host("[::1]:99"))
        .expect(200);
    assert_eq!(value(&bracketed, "SERVER_NAME"), "[::1]");
}

/// ENV-16, ENV-17, ENV-18: authenticated users and internal redirects.
fn users_and_redirects(mpm: Mpm, mode: Mode) {
    let server = site(mpm, mode).start();
    server.allow_log("AH01617");
    server.get("/protected").expect(401);
    let answer = server
        .send(&Request::get("/protected").header("Authorization", "Basic dXNlcjpzZWNyZXQ="))
        .expect(200);
    assert_eq!(
        (value(&answer, "REMOTE_USER"), value(&answer, "AUTH_TYPE")),
        ("user".into(), "Basic".into())
    );
    let redirected = server.get("/redirecting/nothing?x=1");
    assert_eq!(
        redirected.status,
        200,
        "the error page sends its own status: {}",
        redirected.shown()
    );
    assert_eq!(value(&redirected, "REDIRECT_URL"), "/redirecting/nothing");
    assert_eq!(value(&redirected, "REDIRECT_QUERY_STRING"), "x=1");
    assert_eq!(value(&redirected, "REDIRECT_STATUS"), "404");
    assert_eq!(value(&redirected, "QUERY_STRING"), "code=404");
    assert_eq!(
        value(&redirected, "REQUEST_URI"),
        "/redirecting/nothing?x=1"
    );
    let _ = server.get("/current").expect(200);
}
matrix!(users_and_redirects: event);

/// ENV-25, ENV-42, REQ-107: the scheme follows the variable HTTPS, which the application does not see.
#[test]
fn scheme() {
    let server = site(Mpm::Event, Mode::Embedded).start();
    for (path, scheme) in [
        ("/app", "http"),
        ("/tls", "https"),
        ("/tls-one", "https"),
        ("/tls-off", "http"),
    ] {
        let answer = server.get(path).expect(200);
        assert_eq!(value(&answer, "wsgi.url_scheme"), scheme, "{path}");
        assert_eq!(answer.line("HTTPS"), None, "{path}");
        assert_eq!(value(&answer, "REQUEST_SCHEME"), "http", "ENV-13");
    }
}

/// ENV-23, REQ-104, REQ-105, REQ-110, REQ-111, REQ-112, REQ-114: paths are decoded, latin-1, and have single slashes.
#[test]
fn paths() {
    let server = site(Mpm::Event, Mode::Embedded)
        .config("MergeSlashes Off\nWSGIScriptAlias /a%20b {apps}/environ.wsgi\nWSGIScriptAlias \"/c d\" {apps}/environ.wsgi")
        .start();
    for (target, script_name, path_info) in [
        ("/app/%C3%A9%20x%25", "/app", "/Ã© x%"),
        ("/app//a///b//", "/app", "/a/b/"),
        ("//app/a", "/app", "/a"),
        ("/app/a;b=c", "/app", "/a;b=c"),
        ("/c%20d/x", "/c d", "/x"),
        ("/app", "/app", ""),
        ("/%61pp/x", "/app", "/x"),
    ] {
        let answer = server.get(target).expect(200);
        assert_eq!(value(&answer, "SCRIPT_NAME"), script_name, "{target}");
        assert_eq!(value(&answer, "PATH_INFO"), path_info, "{target}");
        assert_eq!(value(&answer, "mod_wsgi.path_info"), path_info, "{target}");
        assert_eq!(
            value(&answer, "REQUEST_URI"),
            target,
            "stays as it was sent"
        );
    }
    server.allow_log("AH00026");
    assert_eq!(server.get("/app/a%2Fb").status, 404, "REQ-114");
}

/// ENV-40, ENV-43, ENV-44, ENV-45, ENV-46, ENV-47, KD-35: the wsgi.* keys.
fn wsgi_keys(mpm: Mpm, mode: Mode) {
    let server = site(mpm, mode).start();
    let answer = server.get("/app").expect(200);
    for (key, kind, shown) in [
        ("wsgi.version", "tuple", Some("(1, 0)")),
        ("wsgi.run_once", "bool", Some("False")),
        ("wsgi.input_terminated", "bool", Some("True")),
        ("wsgi.multithread", "bool", None),
        ("wsgi.multiprocess", "bool", None),
        ("wsgi.errors", "TextIOWrapper", None),
        ("wsgi.input", "Input", None),
        (
            "wsgi.file_wrapper",
            "type",
            Some("<class 'mod_wsgi.FileWrapper'>"),
        ),
        ("wsgi.url_scheme", "str", Some("'http'")),
    ] {
        assert_eq!(
            answer.line(&format!("type {key}")).as_deref(),
            Some(kind),
            "{key}"
        );
        if let Some(shown) = shown {
            assert_eq!(answer.line(key).as_deref(), Some(shown), "{key}");
        }
    }
    assert!(
        value(&answer, "wsgi.errors").contains("name='<wsgi.errors>'"),
        "REQ-540"
    );
}
matrix!(wsgi_keys: event worker prefork);

/// ENV-41, DMN-010, DMN-011, DMN-620, DP-102: what an application may assume about threads and processes.
#[test]
fn threads_and_processes() {
    let flags = |answer: &Answer| {
        ["wsgi.multithread", "wsgi.multiprocess", "wsgi.run_once"]
            .map(|key| answer.line(key).as_deref() == Some("True"))
    };
    for (mpm, expected) in [
        (Mpm::Event, [true, true, false]),
        (Mpm::Worker, [true, true, false]),
        (Mpm::Prefork, [false, true, false]),
    ] {
        let server = site(mpm, Mode::Embedded).start();
        assert_eq!(flags(&server.get("/app").expect(200)), expected, "{mpm:?}");
    }
    let one_process = site(Mpm::Event, Mode::Embedded)
        .config("ServerLimit 1\nThreadsPerChild 16\nMaxRequestWorkers 16")
        .start();
    assert_eq!(
        flags(&one_process.get("/app").expect(200)),
        [true, false, false]
    );
    let server = site(Mpm::Event, Mode::Daemon)
        .daemon_options("threads=3")
        .config(
            "WSGIDaemonProcess one-thread threads=1
            WSGIDaemonProcess one-process processes=1 threads=2
            WSGIDaemonProcess two-processes processes=2 threads=1
            WSGIDaemonProcess once threads=1 maximum-requests=1
            WSGIScriptAlias /1 {apps}/environ.wsgi process-group=one-thread
            WSGIScriptAlias /2 {apps}/environ.wsgi process-group=one-process
            WSGIScriptAlias /3 {apps}/environ.wsgi process-group=two-processes
            WSGIScriptAlias /4 {apps}/environ.wsgi process-group=once",
        )
        .start();
    for (path, expected) in [
        ("/app", [true, false, false]),
        ("/1", [false, false, false]),
        ("/2", [true, true, false]),
        ("/3", [false, true, false]),
        ("/4", [false, false, true]),
    ] {
        assert_eq!(flags(&server.get(path).expect(200)), expected, "{path}");
    }
}

/// ENV-50, ENV-54, ENV-56, ENV-57, ENV-58, ENV-59, ENV-60, DMN-211, DMN-402, DMN-621, KD-34: the mod_wsgi.* keys.
fn mod_wsgi_keys(mpm: Mpm, mode: Mode) {
    let server = site(mpm, mode).start();
    let answer = server.get("/app").expect(200);
    assert_eq!(value(&answer, "mod_wsgi.version"), "(6, 1, 1)");
    assert!(value(&answer, "apache.version").starts_with("(2, 4, "));
    let pid: i32 = value(&answer, "mod_wsgi.server_pid")
        .parse()
        .expect("a pid");
    assert!(
        server.children().iter().any(|child| child.pid == pid),
        "the child that accepted the request"
    );
    let number = |key: &str| -> f64 {
        assert_eq!(
            answer.line(&format!("type {key}")).as_deref(),
            Some("float"),
            "{key}"
        );
        value(&answer, key).parse().expect("a float")
    };
    let (request, queue, daemon, application) = (
        number("mod_wsgi.request_start"),
        number("mod_wsgi.queue_start"),
        number("mod_wsgi.daemon_start"),
        number("mod_wsgi.application_start"),
    );
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .expect("after 1970")
        .as_secs_f64();
    if mode == Mode::Daemon {
        assert!(request <= queue && queue <= daemon && daemon <= application && application <= now);
        assert_eq!(value(&answer, "mod_wsgi.process_group"), "live");
    } else {
        assert!(request <= application && application <= now);
        assert_eq!((queue, daemon), (0.0, 0.0));
        assert_eq!(value(&answer, "mod_wsgi.process_group"), "");
    }
    assert!(now - request < 600.0, "seconds since 1970");
    assert_eq!(
        answer.line("type mod_wsgi.thread_id").as_deref(),
        Some("int")
    );
    // 0 is the main thread of a process, which serves requests in prefork's children only.
    let lowest = u32::from((mpm, mode) != (Mpm::Prefork, Mode::Embedded));
    assert!(
        value(&answer, "mod_wsgi.thread_id")
            .parse::<u32>()
            .expect("a number")
            >= lowest
    );
    assert!(!value(&answer, "mod_wsgi.request_id").is_empty());
}
matrix!(mod_wsgi_keys: event worker prefork);

/// ENV-61, DIR-122: the request record only where it is asked for and can be used.
fn request_record(mpm: Mpm, mode: Mode) {
    let server = site(mpm, mode)
        .config("<Location /app/record>\nWSGIPassApacheRequest On\n</Location>")
        .start();
    assert_eq!(
        server.get("/app").expect(200).line("apache.request_rec"),
        None
    );
    let kind = server
        .get("/app/record")
        .expect(200)
        .line("type apache.request_rec");
    // Ours does not pass it yet (docs/differences.md).
    let passes = mode == Mode::Embedded;
    let expected = passes.then(|| "PyCapsule".to_owned());
    assert_eq!(kind, expected);
}
matrix!(request_record: event);

/// REQ-120, REQ-121, REQ-122, REQ-102, DIR-125, KD-30, ENV-20: when HEAD is shown as GET.
fn head_mapping(mpm: Mpm, mode: Mode) {
    let server = Site::new(mpm, mode)
        .modules(&["filter", "substitute"])
        .script(
            "/",
            "def application(e, s):\n    s('200 OK', [('Content-Type', 'text/plain'), ('X-Method', e['REQUEST_METHOD'])])\n    return [b'body']\n",
        )
        .config(
            "<Location /on>\nWSGIMapHEADToGET On\n</Location>
            <Location /off>\nWSGIMapHEADToGET Off\n</Location>
            <Location /filtered>\nSetOutputFilter SUBSTITUTE\nSubstitute s/a/b/\n</Location>
            <Location /filtered/off>\nWSGIMapHEADToGET Off\n</Location>
            <Location /filtered/auto>\nWSGIMapHEADToGET auto\n</Location>",
        )
        .start();
    for (path, method) in [
        ("/", "HEAD"),
        ("/on", "GET"),
        ("/off", "HEAD"),
        ("/filtered", "GET"),
        ("/filtered/off", "HEAD"),
        ("/filtered/auto", "GET"),
    ] {
        let mut connection = server.connect();
        let answer = connection.send(&Request::head(path)).expect(200);
        assert_eq!(answer.header("X-Method"), Some(method), "{path}");
        assert_eq!(answer.header("Content-Length"), None, "{path}");
        // No body: the next answer on the connection begins where the head ended.
        assert_eq!(
            connection.send(&Request::get(path)).expect(200).text(),
            "body",
            "{path}"
        );
    }
}
matrix!(head_mapping: event);

/// DMN-131, DP-27, DMN-017, DMN-018: the process environment is not the environ, and `os.environ` is a user's.
#[test]
fn process_environment() {
    let server = Site::daemon()
        .daemon_options("threads=1 lang=en_US.UTF-8")
        .script(
            "/",
            "import os\n\ndef application(e, s):\n    s('200 OK', [])\n    return [repr(sorted(os.environ.items())).encode()]\n",
        )
        .start();
    let text = server.get("/").expect(200).text();
    assert!(text.contains("('LANG', 'en_US.UTF-8')"), "{text}");
    if is_root() {
        let home = unprivileged_user().dir.display().to_string();
        assert!(text.contains(&format!("('HOME', '{home}')")), "{text}");
    }
    assert!(!text.contains("SCRIPT_NAME"));
}

/// REQ-853: what a thread keeps between two requests.
fn thread_locals(mpm: Mpm, mode: Mode) {
    let one_thread = match mpm {
        Mpm::Prefork => "ServerLimit 1\nMaxRequestWorkers 1\nStartServers 1",
        _ => "ServerLimit 1\nThreadsPerChild 1\nMaxRequestWorkers 1\nStartServers 1",
    };
    let server = Site::new(mpm, mode)
        .daemon_options("threads=1")
        .config(one_thread)
        .script(
            "/",
            "import threading\nlocal = threading.local()\n\ndef application(e, s):\n    local.count = getattr(local, 'count', 0) + 1\n    s('200 OK', [])\n    return [b'%d' % local.count]\n",
        )
        .start();
    for count in ["1", "2", "3"] {
        assert_eq!(server.get("/").expect(200).text(), count);
    }
    // httpd's own remark on one worker.
    server.allow_log("AH00484");
    server.allow_log("AH00161");
}
matrix!(thread_locals: event prefork);

/// ENV-03: the environ is a plain dict that the application may change without anybody else seeing it.
#[test]
fn environ_is_a_plain_dict() {
    let server: Server = Site::embedded()
        .script(
            "/",
            "def application(e, s):\n    seen = 'mark' in e\n    e['mark'] = 1\n    e['wsgi.version'] = None\n    s('200 OK', [])\n    return [repr((type(e) is dict, seen)).encode()]\n",
        )
        .start();
    for _ in 0..3 {
        assert_eq!(server.get("/").expect(200).text(), "(True, False)");
    }
    let _ = subject();
}
