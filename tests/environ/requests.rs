//! What a request and its server say: headers, server variables, users, paths, methods.

use wsgi_harness::{Mode, Mpm, Request, Site, matrix};

use super::site;

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
    assert_eq!(answer.unquoted("CONTENT_TYPE"), "text/X-Special; a=b");
    assert_eq!(answer.unquoted("CONTENT_LENGTH"), "5");
    assert_eq!(answer.unquoted("HTTP_X_PLAIN_1"), "one");
    assert_eq!(answer.unquoted("HTTP_X_TWICE"), "first, second");
    assert_eq!(answer.unquoted("HTTP_COOKIE"), "a=1, b=2");
    assert_eq!(
        answer.unquoted("HTTP_X_LATIN"),
        "café Ã©",
        "latin-1, as PEP 3333 wants it"
    );
    assert_eq!(answer.unquoted("HTTP_X_EMPTY"), "");
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

/// ENV-26: no name of the client, though httpd has looked it up. ENV-14: without ServerAdmin the value is httpd's own.
fn looked_up(mpm: Mpm, mode: Mode) {
    let server = Site::new(mpm, mode)
        .modules(&["alias", "setenvif"])
        .shared("environ.wsgi")
        .config(
            "HostnameLookups On
            SetEnvIf Remote_Host (.+) LOOKED_UP=$1
            WSGIScriptAlias /app {apps}/environ.wsgi",
        )
        .start();
    let answer = server.get("/app").expect(200);
    let name = answer.unquoted("LOOKED_UP");
    assert_ne!(name, "127.0.0.1", "this machine has a name for it");
    assert_eq!(answer.line("REMOTE_HOST"), None);
    assert_eq!(answer.unquoted("REMOTE_ADDR"), "127.0.0.1");
    assert_eq!(answer.unquoted("SERVER_ADMIN"), "[no address given]");
}
matrix!(looked_up: event);

/// ENV-07, ENV-08, ENV-09, ENV-10, ENV-11, ENV-12, ENV-13, ENV-14, ENV-15, ENV-19, ENV-20, ENV-21, ENV-22,
/// ENV-26, ENV-27, REQ-101, KD-33, DMN-221: what the server says, and nothing under the names that are for httpd's side alone.
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
        assert_eq!(answer.unquoted(key), expected, "{key}");
        assert_eq!(
            answer.line(&format!("type {key}")).as_deref(),
            Some("str"),
            "{key}"
        );
    }
    assert!(answer.unquoted("SERVER_SOFTWARE").starts_with("Apache"));
    assert!(!answer.unquoted("UNIQUE_ID").is_empty());
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
        "mod_wsgi.ignore_activity",
        "mod_wsgi.total_requests",
        "mod_wsgi.thread_requests",
        "mod_wsgi.input_chunked",
        "mod_wsgi.reload_mechanism",
        "mod_ssl.is_https",
        "mod_ssl.var_lookup",
        "mod_wsgi.mount_point",
        "apache.request_rec",
        "wsgi.async",
        "LD_LIBRARY_PATH",
    ] {
        assert_eq!(answer.line(absent), None, "{absent}");
    }
    assert!(!answer.text().contains("mod_wsgi.x-"), "internal keys");
    let empty = server.get("/app").expect(200);
    assert_eq!(empty.unquoted("QUERY_STRING"), "");
    let switched = server
        .send(&Request::get("/app").header("X-Switch", "on"))
        .expect(200);
    assert_eq!(switched.unquoted("FROM_SETENVIF"), "matched");
    // SetEnvIf without value sets 1.
    assert_eq!(switched.unquoted("WITHOUT_VALUE"), "1");
    let old = server.send(&Request::get("/app").http10()).expect(200);
    assert_eq!(
        (old.unquoted("SERVER_PROTOCOL"), old.line("HTTP_HOST")),
        ("HTTP/1.0".into(), None)
    );
    let absolute = server
        .send(&Request::get("http://localhost/app?x"))
        .expect(200);
    assert_eq!(absolute.unquoted("REQUEST_URI"), "http://localhost/app?x");
    let named = server
        .send(&Request::get("/app").host("other.example:8080"))
        .expect(200);
    assert_eq!(
        (named.unquoted("SERVER_NAME"), named.unquoted("SERVER_PORT")),
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
    assert_eq!(bracketed.unquoted("SERVER_NAME"), "[::1]");
}

/// ENV-16, ENV-18: authenticated users and a page for an error.
fn users_and_redirects(mpm: Mpm, mode: Mode) {
    let server = site(mpm, mode).start();
    server.allow_log("AH01617");
    server.get("/protected").expect(401);
    let answer = server
        .send(&Request::get("/protected").header("Authorization", "Basic dXNlcjpzZWNyZXQ="))
        .expect(200);
    assert_eq!(
        (answer.unquoted("REMOTE_USER"), answer.unquoted("AUTH_TYPE")),
        ("user".into(), "Basic".into())
    );
    let redirected = server.get("/redirecting/nothing?x=1");
    assert_eq!(
        redirected.status,
        200,
        "the error page sends its own status: {}",
        redirected.shown()
    );
    assert_eq!(redirected.unquoted("REDIRECT_URL"), "/redirecting/nothing");
    assert_eq!(redirected.unquoted("REDIRECT_QUERY_STRING"), "x=1");
    assert_eq!(redirected.unquoted("REDIRECT_STATUS"), "404");
    assert_eq!(redirected.unquoted("QUERY_STRING"), "code=404");
    assert_eq!(
        redirected.unquoted("REQUEST_URI"),
        "/redirecting/nothing?x=1"
    );
}
matrix!(users_and_redirects: event);

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
        assert_eq!(answer.unquoted("SCRIPT_NAME"), script_name, "{target}");
        assert_eq!(answer.unquoted("PATH_INFO"), path_info, "{target}");
        assert_eq!(answer.unquoted("mod_wsgi.path_info"), path_info, "{target}");
        assert_eq!(
            answer.unquoted("REQUEST_URI"),
            target,
            "stays as it was sent"
        );
    }
    server.allow_log("AH00026");
    assert_eq!(server.get("/app/a%2Fb").status, 404, "REQ-114");
}

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

/// KD-30, DIR-125, MRG-02: a virtual host takes over what the main server says about HEAD, unless it says something itself; in a section
/// of either the section counts.
#[test]
fn head_mapping_of_virtual_hosts() {
    let server = Site::embedded()
        .script(
            "/",
            "def application(e, s):\n    s('200 OK', [('X-Method', e['REQUEST_METHOD'])])\n    return [b'body']\n",
        )
        .config(
            "Listen 127.0.0.1:{port2}
            Listen 127.0.0.1:{port3}
            WSGIMapHEADToGET On
            <VirtualHost 127.0.0.1:{port2}>
                <Location /off>\nWSGIMapHEADToGET Off\n</Location>
            </VirtualHost>
            <VirtualHost 127.0.0.1:{port3}>
                WSGIMapHEADToGET Auto
                <Location /on>\nWSGIMapHEADToGET On\n</Location>
            </VirtualHost>",
        )
        .start();
    for (index, path, method) in [
        (0, "/", "GET"),
        (1, "/", "GET"),
        (1, "/off", "HEAD"),
        (2, "/", "HEAD"),
        (2, "/on", "GET"),
    ] {
        let answer = server.connect_to(index).send(&Request::head(path));
        let found = answer.expect(200);
        assert_eq!(found.header("X-Method"), Some(method), "{index} {path}");
    }
}
