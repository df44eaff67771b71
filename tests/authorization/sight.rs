//! What access, authentication and group scripts see of a request and of Apache.

use wsgi_harness::{Mode, Mpm, Request, subject};

use super::guarded;

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
        "WSGIAccessScript {apps}/guard.wsgi application-group=guards\nSetEnv VARIABLE set\nWSGIPassAuthorization On
        WSGITrustedProxyHeaders X-Forwarded-For\nWSGITrustedProxies 127.0.0.1",
    )
    .modules(&["env"])
    .config("ServerSignature On\nServerAdmin someone@example.com\nMergeSlashes Off\nErrorDocument 404 /secret/app/page")
    .start();
    let mut connection = server.connect();
    let port = connection.local_port();
    let request = Request::post("/secret//app//more/x?a=%20b", "12345")
        .header("X-Forwarded-For", "1.2.3.4")
        .header("X-Test", "one")
        .header("X-Test", "two")
        .header("X_Under", "never")
        .header("Authorization", "Basic c2VjcmV0")
        .header("Proxy-Authorization", "Basic c2VjcmV0")
        .header("Proxy", "evil")
        .header("Content-Type", "text/x");
    connection.send(&request).expect(200);
    server
        .send(&Request::get("http://localhost/secret/app?absolute"))
        .expect(200);
    server.expect_log("E REQUEST_URI='http://localhost/secret/app?absolute'.");
    // A page of another place is asked for, too, as part of the same request.
    let page = server.get("/none?page").expect(200);
    assert_eq!(page.text(), "user None");
    server.expect_log("E REQUEST_URI='/none?page'.");
    server.expect_log("E PATH_INFO='/page'.");
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
        "CONTENT_LENGTH='5'".to_owned(),
        // No headers of proxies are applied.
        "HTTP_X_FORWARDED_FOR='1.2.3.4'".to_owned(),
        format!("REMOTE_PORT='{port}'"),
        "PATH_INFO='/more/x'".to_owned(),
        "mod_wsgi.version=(6, 1, 1)".to_owned(),
        "REQUEST_METHOD='POST'".to_owned(),
        "QUERY_STRING='a=%20b'".to_owned(),
        "REQUEST_URI='/secret//app//more/x?a=%20b'".to_owned(),
        // Not collapsed; httpd itself does so with what is behind a file.
        "SCRIPT_NAME='/secret//app'".to_owned(),
        "mod_wsgi.process_group=''".to_owned(),
        "mod_wsgi.application_group='guards'".to_owned(),
    ] {
        server.expect_log(&format!("E {entry}."));
    }
    for name in [
        "SERVER_SIGNATURE='<address>Apache/2.4",
        "SERVER_SOFTWARE='Apache/2.4",
        "apache.version=(2, 4, ",
    ] {
        server.expect_log(&format!("E {name}"));
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

/// REQ-691, REQ-692, API-102: the two functions of mod_ssl, with and without that module, and after the function returned.
#[test]
fn functions_of_mod_ssl() {
    for (modules, off, address) in [
        (&["alias"][..], "None", "None"),
        (&["ssl"], "'off'", "'127.0.0.1'"),
    ] {
        let server = guarded(
            Mpm::Event,
            Mode::Embedded,
            "
kept = []

def attempt(function, *arguments):
    try:
        return repr(function(*arguments))
    except Exception as error:
        return type(error).__name__

def allow_access(environ, host):
    kept.extend([environ['mod_ssl.is_https'], environ['mod_ssl.var_lookup']])
    is_https, lookup = kept[:2]
    cases = [('https', is_https), ('off', lookup, 'HTTPS'), ('bytes', lookup, b'REMOTE_ADDR'), ('text', lookup, 'REMOTE_ADDR'),
        ('int', lookup, 5), ('wide', lookup, chr(8364)), ('few', lookup), ('many', is_https, 1)]
    for name, *call in cases:
        print('%s %s=%s.' % (environ['QUERY_STRING'], name, attempt(*call)), file=environ['wsgi.errors'])
    return True
",
            "WSGIAccessScript {apps}/guard.wsgi",
        )
        .modules(modules)
        .start();
        server.get("/secret/page.html?first").expect(200);
        server.get("/secret/page.html?second").expect(200);
        for expected in [
            "first https=0.".to_owned(),
            format!("first off={off}."),
            format!("first bytes={address}."),
            format!("first text={address}."),
            "first int=TypeError.".to_owned(),
            "first wide=TypeError.".to_owned(),
            "first few=TypeError.".to_owned(),
            "first many=TypeError.".to_owned(),
            "second https=RuntimeError.".to_owned(),
            "second text=RuntimeError.".to_owned(),
        ] {
            server.expect_log(&expected);
        }
        // AH01882 and AH01873 are mod_ssl's own: an older OpenSSL than it was built with, no cache of sessions.
        for allowed in ["second ", "AH01882", "AH01873"] {
            server.allow_log(allowed);
        }
    }
}
