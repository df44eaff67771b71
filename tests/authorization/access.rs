//! WSGIAccessScript: what it says, among others who have a say.

use wsgi_harness::{Curl, Httpd, Mode, Mpm, matrix};

use super::{ACCESS, BASIC, guarded, login};

/// REQ-690, REQ-700, REQ-701, REQ-702, DIR-140, DIR-145, DOC-23: what an access script returns, for an application and for a file.
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

/// REQ-703: the script is asked behind mod_ssl, which need not let a request come that far, and before what is required of hosts and
/// users.
#[test]
fn access_in_its_turn() {
    let script = "
def allow_access(environ, host):
    print('asked for', environ['REQUEST_URI'], file=environ['wsgi.errors'])
    return environ['QUERY_STRING'] != 'no'
";
    let server = guarded(
        Mpm::Event,
        Mode::Embedded,
        script,
        "WSGIAccessScript {apps}/guard.wsgi",
    )
    .modules(&["authz_host"])
    // Behind ours: it is not the order of their lines that counts.
    .config(&Httpd::installed().load("ssl"))
    .config(
        "<Location /secret/app>\nSSLRequireSSL\n</Location>
        <Location /secret/page.html>\nRequire ip 10.0.0.1\n</Location>",
    )
    .start();
    for query in ["yes", "no"] {
        server.get(&format!("/secret/app?{query}")).expect(403);
    }
    assert_eq!(server.log().count("asked for"), 0);
    server.expect_log("AH02219");
    server.get("/secret/page.html?no").expect(403);
    server.wait_for_log("WSGI0057");
    assert_eq!(server.log().count("AH01630"), 0);
    server.get("/secret/page.html?yes").expect(403);
    server.wait_for_log("AH01630");
    assert_eq!(server.log().count("asked for"), 2);
    for allowed in ["asked for", "AH01882", "AH01873"] {
        server.allow_log(allowed);
    }
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

/// REQ-702: `Satisfy Any`: who is denied may still log in, and the denial is no record then.
#[test]
fn access_or_login() {
    let server = guarded(
        Mpm::Event,
        Mode::Embedded,
        &format!("{ACCESS}\ndef check_password(environ, user, password):\n    return password == 'right'\n"),
        "AuthType Basic\nAuthName realm\nAuthBasicProvider wsgi\nWSGIAuthUserScript {apps}/guard.wsgi
        WSGIAccessScript {apps}/guard.wsgi\nRequire valid-user\nSatisfy Any",
    )
    .modules(&BASIC)
    .modules(&["access_compat"])
    .start();
    let curl = Curl::new(&server);
    server.get("/secret/page.html?yes").expect(200);
    for case in ["no", "raise"] {
        server.get(&format!("/secret/page.html?{case}")).expect(401);
        login(&curl, &format!("/secret/page.html?{case}"), "user", "right").expect(200);
        login(&curl, &format!("/secret/page.html?{case}"), "user", "wrong").expect(401);
    }
    assert_eq!(server.log().count("WSGI0057"), 0);
    server.expect_log("WSGI0174");
    server.expect_log("AH01617");
}

/// REQ-691, REQ-700: with HostnameLookups the script gets the client's name, if there is one.
#[test]
fn host_names() {
    let server = guarded(
        Mpm::Event,
        Mode::Embedded,
        "
import socket

def allow_access(environ, host):
    try:
        name = socket.gethostbyaddr('127.0.0.1')[0].lower()
    except OSError:
        return host == '127.0.0.1' and 'REMOTE_HOST' not in environ
    return host == name and environ['REMOTE_HOST'] == name
",
        "WSGIAccessScript {apps}/guard.wsgi",
    )
    .config("HostnameLookups On")
    .start();
    server.get("/secret/page.html").expect(200);
}
