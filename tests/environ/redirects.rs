//! What internal redirects leave of the requests before them, and variables of other modules.

use wsgi_harness::{Answer, Mode, Mpm, Request, Server, Site, matrix, subject, wait_until};

/// The user and password of `user:secret`.
fn login(target: &str) -> Request {
    Request::get(target).header("Authorization", "Basic dXNlcjpzZWNyZXQ=")
}

fn redirecting(mpm: Mpm, mode: Mode) -> Server {
    Site::new(mpm, mode)
        .modules(&[
            "alias",
            "auth_basic",
            "authn_core",
            "authn_file",
            "authz_user",
            "env",
            "rewrite",
        ])
        .shared("environ.wsgi")
        .file("passwords", "user:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=\n")
        .file("htdocs/guarded/twice", "")
        .file("htdocs/middle/on", "")
        .config(
            "WSGIScriptAlias /app {apps}/environ.wsgi
            WSGIScriptAlias /end {apps}/environ.wsgi
            WSGIScriptAlias /again {apps}/environ.wsgi
            WSGIScriptAlias /current {apps}/environ.wsgi
            <Location /guarded>
                AuthType Basic
                AuthName test
                AuthUserFile {dir}/passwords
                Require valid-user
                ErrorDocument 404 /app/page?code=404
            </Location>
            <Location /guarded/again>
                ErrorDocument 404 /again/page?code=404
            </Location>
            <Location /again>
                AuthType Basic
                AuthName test
                AuthUserFile {dir}/passwords
                Require valid-user
            </Location>
            <Directory {htdocs}/guarded>
                RewriteEngine On
                RewriteRule ^twice$ /middle/on?a=b
            </Directory>
            <Directory {htdocs}/middle>
                RewriteEngine On
                RewriteRule ^on$ /app/end?c=d
            </Directory>
            <Location /end>
                QualifyRedirectURL On
            </Location>
            <Location /other>
                SetEnv KEPT 1
                ErrorDocument 404 /end/page?code=404
            </Location>
            <Location /half>
                QualifyRedirectURL On
                ErrorDocument 404 /app/page
            </Location>
            <Location /current>
                CGIVar REQUEST_URI current-uri
            </Location>
            <Location /later>
                ErrorDocument 404 /current/page
            </Location>",
        )
        .start()
}

/// What the keys of these names show, in their order; None for an absent one.
fn shown<const N: usize>(answer: &Answer, keys: [&str; N]) -> [Option<String>; N] {
    keys.map(|key| {
        let value = answer.line(key)?;
        Some(value.trim_matches('\'').to_owned())
    })
}

/// ENV-16, ENV-17, ENV-18: the user of a request before a redirect, the nearest that has one, and its URL.
fn users(mpm: Mpm, mode: Mode) {
    let server = redirecting(mpm, mode);
    for (target, url, query) in [
        ("/guarded/missing?x=1", "/guarded/missing", "x=1"),
        // The one in the middle has no user.
        ("/guarded/twice", "/middle/on", "c=d"),
    ] {
        let answer = server.send(&login(target)).expect(200);
        let keys = [
            "REDIRECT_REMOTE_USER",
            "REMOTE_USER",
            "AUTH_TYPE",
            "REDIRECT_URL",
            "REDIRECT_QUERY_STRING",
            "REQUEST_URI",
        ];
        let expected = [
            Some("user"),
            None,
            None,
            Some(url),
            Some(query),
            Some(target),
        ];
        assert_eq!(
            shown(&answer, keys),
            expected.map(|text| text.map(str::to_owned)),
            "{target}"
        );
    }
    // The user of the target is no other than that of the request.
    let again = server.send(&login("/guarded/again/x")).expect(200);
    assert_eq!(
        shown(&again, ["REDIRECT_URL", "REMOTE_USER", "AUTH_TYPE"]),
        ["/guarded/again/x", "user", "Basic"].map(|text| Some(text.to_owned()))
    );
    assert_eq!(again.line("REDIRECT_REMOTE_USER"), None);
    let direct = server.send(&login("/app")).expect(200);
    assert_eq!(direct.line("REDIRECT_REMOTE_USER"), None);
    assert_eq!(direct.line("REDIRECT_URL"), None);
    let nobody = server.get("/other/x").expect(200);
    assert_eq!(nobody.line("REDIRECT_REMOTE_USER"), None);
}
matrix!(users: event);

/// ENV-18, ENV-22: QualifyRedirectURL where the redirect goes to, REDIRECT_* copies, and CGIVar REQUEST_URI.
fn urls(mpm: Mpm, mode: Mode) {
    let server = redirecting(mpm, mode);
    let two_pairs = if subject().differs("ENV-18") {
        "http://[::1]:99/other/a b"
    } else {
        "http://[[::1]]:99/other/a b"
    };
    for (target, host, expected) in [
        (
            "/other/%61%20b?x=1",
            "localhost",
            "http://localhost/other/a b?x=1",
        ),
        (
            "/other/x",
            "site.example:8080",
            "http://site.example:8080/other/x",
        ),
        (
            "/other/x?",
            "site.example:80",
            "http://site.example/other/x?",
        ),
        ("/other/a%20b", "[::1]:99", two_pairs),
        (
            "http://u.example:81/other/x?y",
            "localhost",
            "http://u.example:81/other/x?y",
        ),
    ] {
        let answer = server.send(&Request::get(target).host(host)).expect(200);
        assert_eq!(answer.unquoted("REDIRECT_URL"), expected, "{target}");
        assert_eq!(answer.unquoted("REDIRECT_KEPT"), "1", "{target}");
        assert_eq!(answer.unquoted("REDIRECT_STATUS"), "404", "{target}");
        assert_eq!(answer.unquoted("QUERY_STRING"), "code=404", "{target}");
        assert_eq!(answer.unquoted("REQUEST_URI"), target);
    }
    let half = server.get("/half/x?y=z").expect(200);
    assert_eq!(half.unquoted("REDIRECT_URL"), "/half/x", "set elsewhere");
    for (target, current) in [
        ("/current/%61%20b/./c?x=1", "/current/a b/c"),
        ("http://localhost/current/x?y", "/current/x"),
        ("/later/x?y=z", "/current/page"),
    ] {
        let answer = server.get(target).expect(200);
        assert_eq!(answer.unquoted("REQUEST_URI"), current, "{target}");
    }
    let plain = server.get("/app/%61?x=1").expect(200);
    assert_eq!(plain.unquoted("REQUEST_URI"), "/app/%61?x=1");
}
matrix!(urls: event);

/// ENV-18: a page that stands for an application's answer has the variables of that application, too.
fn pages_of_applications(mpm: Mpm, mode: Mode) {
    let server = Site::new(mpm, mode)
        .shared("environ.wsgi")
        .script(
            "/app",
            "def application(environ, start_response):
    headers = [('Location', '/page/in?stead')] if environ['QUERY_STRING'] == 'leads' else []
    if environ['QUERY_STRING'] == 'fails':
        raise ValueError('on purpose')
    start_response('404 None' if not headers else '200 OK', headers)
    return [b'of the application']
",
        )
        .config(
            "WSGIScriptAlias /page {apps}/environ.wsgi
            WSGIErrorOverride On
            ErrorDocument 404 /page
            ErrorDocument 500 /page",
        )
        .start();
    for (query, is_page) in [
        ("fails", true),
        ("misses", mode == Mode::Daemon),
        ("leads", mode == Mode::Daemon),
    ] {
        let request = Request::post(&format!("/app/%61?{query}"), "body").header("X-A", "b");
        let answer = server.send(&request);
        if !is_page {
            assert_eq!(answer.text(), "of the application");
            continue;
        }
        let page = if query == "leads" { "/in" } else { "" };
        for (key, value) in [
            ("PATH_INFO", page),
            ("REQUEST_METHOD", "GET"),
            ("REDIRECT_REQUEST_METHOD", "POST"),
            ("REDIRECT_SCRIPT_NAME", "/app"),
            ("REDIRECT_PATH_INFO", "/a"),
            ("REDIRECT_QUERY_STRING", query),
            ("REDIRECT_CONTENT_LENGTH", "4"),
            ("REDIRECT_HTTP_X_A", "b"),
            ("REDIRECT_REMOTE_ADDR", "127.0.0.1"),
            ("REDIRECT_mod_wsgi.request_handler", "wsgi-script"),
        ] {
            assert_eq!(answer.unquoted(key), value, "{query}: {key}");
        }
    }
    server.expect_log("ValueError: on purpose");
}
matrix!(pages_of_applications: event);

/// REQ-101: logs and headers of httpd can show the variables of a request, which are those of the environ.
fn shown_by_httpd(mpm: Mpm, mode: Mode) {
    let server = Site::new(mpm, mode)
        .modules(&["env", "headers"])
        .shared("environ.wsgi")
        .file("htdocs/plain.txt", "plain\n")
        .config(
            "SetEnv SERVER_NAME overwritten
            WSGIScriptAlias /app {apps}/environ.wsgi
            LogFormat '%m %>s %{SCRIPT_NAME}e %{PATH_INFO}e %{HTTP_X_A}e %{SERVER_NAME}e %{mod_wsgi.process_group}e.' shown
            CustomLog {data}/shown.log shown
            Header set X-Name %{SCRIPT_NAME}e",
        )
        .start();
    let answer = server.send(&Request::get("/app/more").header("X-A", "b"));
    assert_eq!(answer.expect(200).header("X-Name"), Some("/app"));
    server.get("/plain.txt").expect(200);
    server.send(&Request::new("PUT", "/app")).expect(200);
    let group = match mode {
        Mode::Daemon => "live",
        Mode::Embedded => "",
    };
    for line in [
        format!("GET 200 /app /more b localhost {group}.\n"),
        "GET 200 - - - overwritten -.\n".to_owned(),
        format!("PUT 200 /app  - localhost {group}.\n"),
    ] {
        wait_until(&line, || {
            let text = std::fs::read_to_string(server.path("data/shown.log")).ok()?;
            text.contains(&line).then_some(())
        });
    }
}
matrix!(shown_by_httpd: event);

/// ENV-24: variables of other modules are text, also empty ones; a variable without value, here the NULL of a data base, is
/// None in a child and the empty text in a daemon.
fn variables(mpm: Mpm, mode: Mode) {
    let server = Site::new(mpm, mode)
        .modules(&[
            "alias", "auth_basic", "authn_core", "authn_dbd", "authz_user", "dbd", "env", "rewrite", "setenvif",
        ])
        .shared("environ.wsgi")
        .config(
            "WSGIScriptAlias /app {apps}/environ.wsgi
            PassEnv WSGI_LIVE_TEST
            SetEnv EMPTY
            SetEnvIf X-Switch (b)?on OF_GROUP=$1
            RewriteEngine On
            RewriteRule ^/app - [E=REWRITTEN:yes,E=BARE]
            DBDriver sqlite3
            DBDParams :memory:
            <Location /app>
                AuthType Basic
                AuthName test
                AuthBasicProvider dbd
                AuthDBDUserPWQuery \"SELECT '{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=' AS password, NULL AS missing, 'x' AS present WHERE %s <> ''\"
                Require valid-user
            </Location>",
        )
        .start();
    let answer = server
        .send(&login("/app").header("X-Switch", "on"))
        .expect(200);
    let (missing, kind) = if mode == Mode::Embedded {
        ("None", "NoneType")
    } else {
        ("''", "str")
    };
    for (key, value, kind) in [
        ("EMPTY", "''", "str"),
        ("OF_GROUP", "''", "str"),
        ("REWRITTEN", "'yes'", "str"),
        ("BARE", "''", "str"),
        ("AUTHENTICATE_PRESENT", "'x'", "str"),
        ("AUTHENTICATE_MISSING", missing, kind),
    ] {
        assert_eq!(answer.fact(key), value, "{key}");
        assert_eq!(answer.fact(&format!("type {key}")), kind, "{key}");
    }
    assert_ne!(answer.unquoted("WSGI_LIVE_TEST"), "", "PassEnv");
}
matrix!(variables: event);
