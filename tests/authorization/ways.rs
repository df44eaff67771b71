//! Ways round a guard: sub-requests, internal redirects, other methods, protocols and spellings. What is guarded stays guarded.

use wsgi_harness::{Curl, Mode, Mpm, Request, Site, matrix, subject};

use super::{BASIC, guarded, login};

/// Lets in who says so in a header of the request, and counts what it was asked.
const GUARD: &str = "
def allow_access(environ, host):
    print('asked for', environ['REQUEST_METHOD'], environ['REQUEST_URI'], file=environ['wsgi.errors'])
    return environ.get('HTTP_X_KEY') == 'right'
";

/// `GET`, with the key or without.
fn request(path: &str, key: bool) -> Request {
    let request = Request::get(path);
    if key {
        request.header("X-Key", "right")
    } else {
        request
    }
}

/// REQ-690, REQ-701, REQ-456, DIR-140: pages that Apache puts together, or finds for another URL.
fn inner_requests(mpm: Mpm, mode: Mode) {
    let server = guarded(mpm, mode, GUARD, "WSGIAccessScript {apps}/guard.wsgi")
        .modules(&["include", "mime", "rewrite", "dir", "autoindex", "actions", "negotiation"])
        .file("mime.types", "text/html html\n")
        .file("htdocs/file.shtml", "<!--#include virtual=\"/secret/page.html\" -->")
        .file("htdocs/app.shtml", "<!--#include virtual=\"/secret/app\" -->")
        .file("htdocs/folder/.htaccess", "RewriteEngine On\nRewriteRule ^to-(.*)$ /secret/$1 [L]\n")
        .file("htdocs/other/.htaccess", "DirectoryIndex none.html /secret/page.html\n")
        .file("htdocs/list/readme.txt", "readme")
        .file("htdocs/list/hidden.txt", "hidden")
        .script(
            "/leads",
            "def application(environ, start_response):\n    start_response('200 OK', [('Location', '/secret/' + environ['QUERY_STRING'])])\n    return []\n",
        )
        .config(
            "TypesConfig {dir}/mime.types
            AddOutputFilter INCLUDES .shtml
            RewriteEngine On
            RewriteRule ^/rewritten/(.*)$ /secret/$1 [PT]
            <Directory {htdocs}>
                Options +Includes +FollowSymLinks +Indexes
                AllowOverride All
            </Directory>
            <Location /missing>
                ErrorDocument 404 /secret/page.html
            </Location>
            <Files hidden.txt>
                WSGIAccessScript {apps}/guard.wsgi
            </Files>",
        )
        .start();
    let mut wrong = Vec::new();
    for (path, shown) in [
        ("/file.shtml", "the page"),
        ("/app.shtml", "user None"),
        ("/rewritten/page.html", "the page"),
        ("/rewritten/app", "user None"),
        ("/folder/to-page.html", "the page"),
        ("/folder/to-app", "user None"),
        ("/other/", "the page"),
        ("/missing/x", "the page"),
        ("/leads?page.html", "the page"),
        ("/leads?app", "user None"),
        ("/list/", "hidden.txt"),
    ] {
        for key in [true, false] {
            let answer = server.send(&request(path, key));
            // Only what comes from a daemon can lead to another page of this server (REQ-456).
            let leads = mode == Mode::Daemon || !path.starts_with("/leads");
            if answer.text().contains(shown) != (key && leads) {
                wrong.push(format!(
                    "{path} {}: {}",
                    if key { "with the key" } else { "without" },
                    answer.shown()
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    for allowed in ["asked for", "WSGI0057", "AH01374", "unable to include"] {
        server.allow_log(allowed);
    }
}
matrix!(inner_requests: event);

/// REQ-690, REQ-701, REQ-732, DIR-140, DIR-142: a guard of everything that goes by the file. It is asked for what a request leads to as
/// well, also where that has the same configuration, in which case httpd may take the answer for the first one to be enough.
fn guards_of_everything(mpm: Mpm, mode: Mode) {
    let script = "
def allow_access(environ, host):
    return 'hidden' not in environ['SCRIPT_NAME'] or environ.get('HTTP_X_KEY') == 'right'

def check_password(environ, user, password):
    return True

def groups_for_user(environ, user):
    return [] if 'private' in environ['SCRIPT_NAME'] and environ.get('HTTP_X_KEY') != 'right' else ['staff']
";
    let server = Site::new(mpm, mode)
        .modules(&BASIC)
        .modules(&["include", "mime", "rewrite", "dir"])
        .file("apps/guard.wsgi", script)
        .file("mime.types", "text/html html\n")
        .file("htdocs/hidden.html", "a secret")
        .file("htdocs/private.html", "a secret")
        .file("htdocs/plain.html", "no secret")
        .file("htdocs/plain.shtml", "<!--#include virtual=\"/plain.html\" -->")
        .file("htdocs/hidden-page.shtml", "<!--#include virtual=\"/plain.html\" -->")
        .file("htdocs/leads.shtml", "<!--#include virtual=\"/hidden.html\" -->")
        .file("htdocs/leads-too.shtml", "<!--#include virtual=\"/private.html\" -->")
        .file("htdocs/.htaccess", "RewriteEngine On\nRewriteRule ^to-(.*)$ /$1 [L]\n")
        .file("htdocs/index/none.txt", "")
        .config(
            "TypesConfig {dir}/mime.types
            AddOutputFilter INCLUDES .shtml
            <Directory {htdocs}>
                Options +Includes +FollowSymLinks
                AllowOverride All
                DirectoryIndex hidden.html
            </Directory>
            ErrorDocument 404 /hidden.html
            ErrorDocument 410 /private.html
            Redirect gone /gone
            <Location />
                WSGIAccessScript {apps}/guard.wsgi
                AuthType Basic\nAuthName realm\nAuthBasicProvider wsgi\nWSGIAuthUserScript {apps}/guard.wsgi
                WSGIAuthGroupScript {apps}/guard.wsgi\nRequire wsgi-group staff
            </Location>",
        )
        .modules(&["alias"])
        .start();
    let mut wrong = Vec::new();
    for (path, text) in [
        ("/plain.html", "no secret"),
        ("/plain.shtml", "no secret"),
        ("/to-plain.html", "no secret"),
        ("/hidden.html", "a secret"),
        ("/private.html", "a secret"),
        ("/hidden-page.shtml", "no secret"),
        ("/leads.shtml", "a secret"),
        ("/leads-too.shtml", "a secret"),
        ("/to-hidden.html", "a secret"),
        ("/to-private.html", "a secret"),
        ("/", "a secret"),
        ("/missing", "a secret"),
        ("/gone", "a secret"),
    ] {
        for key in [true, false] {
            let request = request(path, key).header("Authorization", "Basic dXNlcjpyaWdodA==");
            let answer = server.send(&request);
            let is_open = key || text == "no secret" && !path.contains("hidden");
            if answer.text().contains(text) != is_open {
                wrong.push(format!("{path}, {key}: {}", answer.shown()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    for allowed in [
        "WSGI0057",
        "WSGI0059",
        "WSGI0060",
        "AH0",
        "unable to include",
    ] {
        server.allow_log(allowed);
    }
}
matrix!(guards_of_everything: event / embedded);

/// REQ-690, DIR-140: any method, and any spelling of the URL that Apache takes for the guarded one.
#[test]
fn methods_and_spellings() {
    let server = guarded(
        Mpm::Event,
        Mode::Embedded,
        GUARD,
        "WSGIAccessScript {apps}/guard.wsgi",
    )
    .config("AllowEncodedSlashes On\nTraceEnable Off")
    .start();
    for path in ["/secret/page.html", "/secret/app"] {
        for method in [
            "GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "PROPFIND", "GUESS",
        ] {
            let status = server.send(&Request::new(method, path)).status;
            assert_eq!(status, 403, "{method} {path}");
            server.expect_log(&format!("asked for {method} {path}"));
        }
    }
    for path in [
        "/%73ecret/page.html",
        "//secret/page.html",
        "/secret//page.html",
        "/./secret/page.html",
        "/x/../secret/page.html",
        "/secret/%2e/page.html",
        "/secret/app/more",
        "/secret/app;x=1",
        "/SECRET/../secret/app",
        "/secret%2fpage.html",
    ] {
        for key in [true, false] {
            let answer = server.send(&request(path, key));
            assert!(
                key || !answer.text().contains("the page"),
                "{path}: {}",
                answer.shown()
            );
            assert!(
                key || [403, 404].contains(&answer.status),
                "{path}: {}",
                answer.shown()
            );
        }
    }
    server
        .send(&request("/%73ecret//page.html", true))
        .expect(200);
    for allowed in ["asked for", "WSGI0057"] {
        server.allow_log(allowed);
    }
}

/// REQ-690, REQ-711, REQ-732, DIR-140, DIR-141, DIR-142: over HTTP/2.
#[test]
fn over_http2() {
    let server = guarded(
        Mpm::Event,
        Mode::Daemon,
        "
def allow_access(environ, host):
    return environ['SERVER_PROTOCOL'] == 'HTTP/2.0' and environ.get('HTTP_X_KEY') == 'right'

def check_password(environ, user, password):
    if user == 'raise':
        raise ValueError('on purpose')
    return password == 'right'

def groups_for_user(environ, user):
    return ['staff'] if user == 'member' else None if user == 'broken' else []
",
        "WSGIAccessScript {apps}/guard.wsgi
        AuthType Basic\nAuthName realm\nAuthBasicProvider wsgi\nWSGIAuthUserScript {apps}/guard.wsgi
        WSGIAuthGroupScript {apps}/guard.wsgi\nRequire wsgi-group staff",
    )
    .modules(&BASIC)
    .modules(&["http2"])
    .config("Protocols h2c http/1.1")
    .start();
    let curl = Curl::http2(&server);
    let failing = if subject().differs("REQ-734") {
        500
    } else {
        401
    };
    for path in ["/secret/page.html", "/secret/app"] {
        let ask = |key: &str, login: &str| {
            let header = format!("X-Key: {key}");
            let answer = curl.run(path, &["--header", &header, "--user", login]);
            assert_eq!(answer.version, "2");
            answer.status
        };
        assert_eq!(ask("right", "member:right"), 200);
        assert_eq!(ask("wrong", "member:right"), 403);
        assert_eq!(ask("right", "member:wrong"), 401);
        assert_eq!(ask("right", "guest:right"), 401);
        assert_eq!(ask("right", "raise:right"), 500);
        assert_eq!(ask("right", "broken:right"), failing);
    }
    for text in ["WSGI0057", "WSGI0174", "WSGI0051", "WSGI0059"] {
        server.expect_log(text);
    }
    server.allow_log("AH01");
}

/// DIR-140, DIR-141, DIR-142, DIR-146, REQ-690: guards of `.htaccess` files, with and without leave (AllowOverride) to be there.
fn htaccess_files(mpm: Mpm, mode: Mode) {
    let login_lines = "AuthType Basic\nAuthName realm\nAuthBasicProvider wsgi\nWSGIAuthUserScript {apps}/guard.wsgi";
    let server = Site::new(mpm, mode)
        .modules(&BASIC)
        .file(
            "apps/guard.wsgi",
            "def allow_access(environ, host):
    return environ['QUERY_STRING'] == 'key'

def check_password(environ, user, password):
    return password == 'right'

def groups_for_user(environ, user):
    return ['staff'] if user == 'member' else []
",
        )
        .file("htdocs/access/page.html", "in")
        .file("htdocs/access/.htaccess", "WSGIAccessScript {apps}/guard.wsgi\n")
        .file("htdocs/access/below/page.html", "in")
        .file("htdocs/user/page.html", "in")
        .file("htdocs/user/.htaccess", &format!("{login_lines}\nRequire valid-user\n"))
        .file("htdocs/group/page.html", "in")
        .file(
            "htdocs/group/.htaccess",
            &format!("{login_lines}\nWSGIAuthGroupScript {{apps}}/guard.wsgi\nWSGIGroupAuthoritative On\nRequire wsgi-group staff\n"),
        )
        .file("htdocs/app/app.wsgi", "def application(environ, start_response):\n    start_response('200 OK', [])\n    return [b'in']\n")
        .file("htdocs/app/.htaccess", "SetHandler wsgi-script\nOptions +ExecCGI\nWSGIAccessScript {apps}/guard.wsgi\n")
        .file("htdocs/forbidden/page.html", "in")
        .file("htdocs/forbidden/.htaccess", "WSGIAccessScript {apps}/guard.wsgi\n")
        .config(
            "<Directory {htdocs}>\nAllowOverride AuthConfig FileInfo Options\n</Directory>
            <Directory {htdocs}/forbidden>\nAllowOverride FileInfo\n</Directory>",
        )
        .start();
    let curl = Curl::new(&server);
    for path in [
        "/access/page.html",
        "/access/below/page.html",
        "/app/app.wsgi",
    ] {
        server.get(&format!("{path}?key")).expect(200);
        server.get(path).expect(403);
    }
    for path in ["/user/page.html", "/group/page.html"] {
        server.get(path).expect(401);
        login(&curl, path, "member", "wrong").expect(401);
        login(&curl, path, "member", "right").expect(200);
    }
    login(&curl, "/user/page.html", "guest", "right").expect(200);
    login(&curl, "/group/page.html", "guest", "right").expect(401);
    // A file that may not say so is an error, not an open door.
    server.get("/forbidden/page.html?key").expect(500);
    for text in ["WSGI0057", "WSGI0059", "not allowed here"] {
        server.expect_log(text);
    }
    server.allow_log("AH01");
}
matrix!(htaccess_files: event / embedded daemon);
