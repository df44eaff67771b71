//! Access, authentication and group scripts: who gets in, to WSGI applications and to everything else.

use wsgi_harness::{Mode, Mpm, Request, Site, matrix, subject};

/// A site with a page and an application below `/secret`, guarded by `guard.wsgi` with this configuration.
fn guarded(mpm: Mpm, mode: Mode, script: &str, configuration: &str) -> Site {
    Site::new(mpm, mode)
        .modules(&["alias"])
        .file("htdocs/secret/page.html", "the page")
        .file("htdocs/open.html", "open")
        .script(
            "/secret/app",
            "def application(environ, start_response):\n    start_response('200 OK', [])\n    return [('user %s' % environ.get('REMOTE_USER')).encode()]\n",
        )
        .file("apps/guard.wsgi", script)
        .config(&format!("<Location /secret>\n{configuration}\n</Location>"))
}

/// An access script that does what the query string says.
const ACCESS: &str = "
def allow_access(environ, host):
    case = environ['QUERY_STRING']
    if case == 'raise':
        raise ValueError('on purpose')
    if case == 'exit':
        raise SystemExit(0)
    if case == 'host':
        return host == '127.0.0.1'
    return {'yes': True, 'no': False, 'none': None, 'one': 1, 'zero': 0, 'text': 'True', 'empty': '', 'bytes': b'x'}.get(case, False)
";

/// REQ-690, REQ-700, REQ-701, REQ-702, DIR-140, DIR-145: what an access script returns, for an application and for a file.
fn access(mpm: Mpm, mode: Mode) {
    let server = guarded(mpm, mode, ACCESS, "WSGIAccessScript {apps}/guard.wsgi").start();
    server.get("/open.html").expect(200);
    for path in ["/secret/page.html", "/secret/app"] {
        for case in ["yes", "none", "host"] {
            server.get(&format!("{path}?{case}")).expect(200);
        }
        for case in [
            "no", "one", "zero", "text", "empty", "bytes", "raise", "exit",
        ] {
            let before = server.log().count("WSGI0057");
            server.get(&format!("{path}?{case}")).expect(403);
            assert_eq!(server.log().count("WSGI0057"), before + 1, "{case}");
        }
    }
    assert_eq!(server.log().count("WSGI0055"), 2 * 5);
    for code in ["WSGI0055", "WSGI0057", "WSGI0174", "WSGI0175"] {
        server.expect_log(code);
    }
}
matrix!(access: event prefork);

/// REQ-690, REQ-701, FIX of REQ-136's kind: a script that cannot be asked lets nobody in.
#[test]
fn access_scripts_that_cannot_be_asked() {
    let server = guarded(Mpm::Event, Mode::Embedded, "", "")
        .file("htdocs/none/page.html", "page")
        .file("htdocs/empty/page.html", "page")
        .file("htdocs/broken/page.html", "page")
        .file("htdocs/raising/page.html", "page")
        .file("apps/empty.wsgi", "allow = True\n")
        .file("apps/broken.wsgi", "def allow_access(\n")
        .file(
            "apps/raising.wsgi",
            "def allow_access(environ, host):\n    return True\nraise ValueError\n",
        )
        .config(
            "<Location /none>\nWSGIAccessScript {apps}/none.wsgi\n</Location>
            <Location /empty>\nWSGIAccessScript {apps}/empty.wsgi\n</Location>
            <Location /broken>\nWSGIAccessScript {apps}/broken.wsgi\n</Location>
            <Location /raising>\nWSGIAccessScript {apps}/raising.wsgi\n</Location>",
        )
        .start();
    for (name, code) in [
        ("none", "WSGI0105"),
        ("empty", "WSGI0056"),
        ("broken", "WSGI0105"),
        ("raising", "WSGI0109"),
    ] {
        server.get(&format!("/{name}/page.html")).expect(403);
        server.expect_log(code);
    }
    for allowed in ["WSGI0057", "WSGI0174", "SyntaxError", "WSGI0105"] {
        server.allow_log(allowed);
    }
}

/// REQ-703: `True` does not overrule others who deny, and others who allow do not overrule `False`.
#[test]
fn access_among_others() {
    let server = guarded(
        Mpm::Event,
        Mode::Embedded,
        ACCESS,
        "WSGIAccessScript {apps}/guard.wsgi",
    )
    .modules(&["access_compat", "authz_host"])
    .file("htdocs/secret/denied.html", "denied")
    .file("htdocs/secret/required.html", "required")
    .config(
        "<Location /secret/denied.html>\nOrder allow,deny\nDeny from all\n</Location>
        <Location /secret/required.html>\nRequire all denied\n</Location>",
    )
    .start();
    server.get("/secret/page.html?yes").expect(200);
    server.get("/secret/denied.html?yes").expect(403);
    server.get("/secret/required.html?yes").expect(403);
    server.get("/secret/page.html?no").expect(403);
    for text in ["AH01797", "AH01630", "WSGI0057"] {
        server.expect_log(text);
    }
}

/// REQ-691, REQ-693, REQ-700, XPN-22: what an access script sees.
#[test]
fn access_environ() {
    let server = guarded(
        Mpm::Event,
        Mode::Daemon,
        "
import mod_wsgi

def allow_access(environ, host):
    errors = environ['wsgi.errors']
    for key in sorted(environ):
        if isinstance(environ[key], str) or key.endswith('.version'):
            print('E %s=%r.' % (key, environ[key]), file=errors)
    print('H %r %r' % (host, mod_wsgi.application_group), file=errors)
    print('K', [key for key in environ if key.startswith(('wsgi.', 'SSL'))], file=errors)
    return True
",
        "WSGIAccessScript {apps}/guard.wsgi application-group=guards\nSetEnv VARIABLE set\nWSGIPassAuthorization On",
    )
    .modules(&["env"])
    .config("ServerSignature On\nServerAdmin someone@example.com")
    .start();
    let request = Request::get("/secret/app//more/x?a=%20b")
        .header("X-Test", "one")
        .header("X-Test", "two")
        .header("X_Under", "never")
        .header("Authorization", "Basic c2VjcmV0")
        .header("Proxy-Authorization", "Basic c2VjcmV0")
        .header("Proxy", "evil")
        .header("Content-Type", "text/x");
    server.send(&request).expect(200);
    server
        .send(&Request::get("http://localhost/secret/app?absolute"))
        .expect(200);
    server.expect_log("E REQUEST_URI='http://localhost/secret/app?absolute'.");
    let folder = server.fill("{htdocs}");
    for entry in [
        "CONTENT_TYPE='text/x'".to_owned(),
        "HTTP_X_TEST='one, two'".to_owned(),
        "SERVER_NAME='localhost'".to_owned(),
        "SERVER_ADDR='127.0.0.1'".to_owned(),
        "SERVER_PORT='80'".to_owned(),
        "REMOTE_ADDR='127.0.0.1'".to_owned(),
        format!("DOCUMENT_ROOT='{folder}'"),
        "SERVER_ADMIN='someone@example.com'".to_owned(),
        "SERVER_PROTOCOL='HTTP/1.1'".to_owned(),
        "REQUEST_METHOD='GET'".to_owned(),
        "QUERY_STRING='a=%20b'".to_owned(),
        "REQUEST_URI='/secret/app//more/x?a=%20b'".to_owned(),
        "SCRIPT_NAME='/secret/app'".to_owned(),
        "mod_wsgi.process_group=''".to_owned(),
        "mod_wsgi.application_group='guards'".to_owned(),
    ] {
        server.expect_log(&format!("E {entry}."));
    }
    for name in [
        "SERVER_SIGNATURE",
        "SERVER_SOFTWARE",
        "REMOTE_PORT",
        "PATH_INFO",
        "mod_wsgi.version",
        "apache.version",
    ] {
        server.expect_log(&format!("E {name}="));
    }
    server.expect_log("H '127.0.0.1' 'guards'");
    server.expect_log("K ['wsgi.errors']");
    let mut absent = vec![
        "HTTP_AUTHORIZATION",
        "HTTP_PROXY_AUTHORIZATION",
        "VARIABLE",
        "HTTP_X_UNDER",
        "REMOTE_HOST",
        "mod_wsgi.callable_object",
        "mod_wsgi.script_name",
        "SCRIPT_FILENAME",
    ];
    if subject().differs("REQ-691") {
        absent.push("HTTP_PROXY=");
    }
    for name in absent {
        assert_eq!(server.log().count(&format!("E {name}")), 0, "{name}");
    }
    server.allow_log("] E ");
}

/// REQ-131, REQ-690: a changed script is loaded again, its own wish to be is not asked for.
#[test]
fn access_script_changes() {
    let says = |value: &str| {
        format!(
            "def reload_required(resource):\n    raise RuntimeError\ndef allow_access(environ, host):\n    return {value}\n"
        )
    };
    let server = guarded(
        Mpm::Event,
        Mode::Embedded,
        &says("True"),
        "WSGIAccessScript {apps}/guard.wsgi",
    )
    .start();
    server.get("/secret/page.html").expect(200);
    server.write("apps/guard.wsgi", &says("False"));
    server.get("/secret/page.html").expect(403);
    server.expect_log("WSGI0057");
    server.write("apps/guard.wsgi", &says("None"));
    server.get("/secret/page.html").expect(200);
}

/// DIR-071, DIR-145: an access script makes the children start Python where WSGIRestrictEmbedded keeps applications out.
/// DIR-072: one in a `.htaccess` file cannot, and then nobody gets in.
#[test]
fn children_without_python() {
    let site = |configuration: &str| {
        Site::daemon()
            .file("htdocs/folder/page.html", "page")
            .file("htdocs/folder/.htaccess", "WSGIAccessScript {apps}/guard.wsgi\n")
            .file("apps/guard.wsgi", "def allow_access(environ, host):\n    return True\n")
            .config("WSGIRestrictEmbedded On\n<Directory {htdocs}>\nAllowOverride AuthConfig\n</Directory>")
            .config(configuration)
    };
    let server =
        site("<Location /nowhere>\nWSGIAccessScript {apps}/guard.wsgi\n</Location>").start();
    server.get("/folder/page.html").expect(200);
    if !subject().differs("DIR-072") {
        return;
    }
    let server = site("").start();
    server.get("/folder/page.html").expect(500);
    server.expect_log("WSGI0210");
}
