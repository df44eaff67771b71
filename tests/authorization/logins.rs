//! WSGIAuthUserScript behind Basic, Digest and form authentication.

use wsgi_harness::{Curl, Mode, Mpm, Request, matrix, subject};

use super::{BASIC, LOGIN, guarded, login};

/// REQ-710, REQ-711, DIR-141, DIR-145, REQ-690: what `check_password` returns, for an application and for a file.
fn passwords(mpm: Mpm, mode: Mode) {
    let server = guarded(
        mpm,
        mode,
        LOGIN,
        "AuthType Basic\nAuthName realm\nAuthBasicProvider wsgi\nWSGIAuthUserScript {apps}/guard.wsgi\nRequire valid-user",
    )
    .modules(&BASIC)
    .start();
    let curl = Curl::new(&server);
    let answer = server.get("/secret/page.html").expect(401);
    assert_eq!(
        answer.header("WWW-Authenticate"),
        Some("Basic realm=\"realm\"")
    );
    for path in ["/secret/page.html", "/secret/app"] {
        login(&curl, path, "user", "right").expect(200);
        login(&curl, path, "user", "wrong").expect(401);
        login(&curl, path, "unknown", "right").expect(401);
        for user in [
            "empty",
            "bytes",
            "one",
            "list",
            "raise",
            "exit",
            "surrogate",
        ] {
            login(&curl, path, user, "right").expect(500);
        }
    }
    for (user, name) in [
        ("user", "user"),
        ("renamed", "somebody"),
        ("wide", "\u{e2}\u{82}\u{ac}"),
        ("\u{e9}", "\u{c3}\u{a9}"),
    ] {
        let text = login(&curl, "/secret/app", user, "right")
            .expect(200)
            .text();
        assert_eq!(text, format!("user {name}"), "{user}");
    }
    // Both are bytes of the client, of any encoding, one character each.
    // latin\xc3\xa9:\xc3\xa9\xff
    let request =
        Request::get("/secret/page.html").header("Authorization", "Basic bGF0aW7DqTrDqf8=");
    server.send(&request).expect(200);
    if subject().differs("REQ-711") {
        login(&curl, "/secret/app", "nul", "right").expect(500);
    }
    for text in [
        "WSGI0176", "WSGI0177", "WSGI0174", "WSGI0175", "AH01617", "AH01618",
    ] {
        server.expect_log(text);
    }
    server.allow_log("asked for");
}

matrix!(passwords: event / embedded daemon);

/// REQ-711: a user that the script does not know is asked for elsewhere.
#[test]
fn next_provider() {
    let server = guarded(
        Mpm::Event,
        Mode::Embedded,
        LOGIN,
        "AuthType Basic\nAuthName realm\nAuthBasicProvider wsgi file\nAuthUserFile {apps}/users\nWSGIAuthUserScript {apps}/guard.wsgi\nRequire valid-user",
    )
    .modules(&BASIC)
    // The password is `other`.
    .file("apps/users", "unknown:{SHA}0JQeaNqPOBUf+Gph/Fn3xc+fyqI=\nuser:{SHA}0JQeaNqPOBUf+Gph/Fn3xc+fyqI=\n")
    .start();
    let curl = Curl::new(&server);
    login(&curl, "/secret/page.html", "user", "right").expect(200);
    login(&curl, "/secret/page.html", "user", "other").expect(401);
    login(&curl, "/secret/page.html", "unknown", "other").expect(200);
    login(&curl, "/secret/page.html", "unknown", "right").expect(401);
    server.expect_log("AH01617");
    server.allow_log("asked for");
}

/// REQ-720: what `get_realm_hash` returns.
#[test]
fn digests() {
    let server = guarded(
        Mpm::Event,
        Mode::Embedded,
        LOGIN,
        "AuthType Digest\nAuthName \"the realm\"\nAuthDigestProvider wsgi\nWSGIAuthUserScript {apps}/guard.wsgi\nRequire valid-user",
    )
    .modules(&BASIC)
    .modules(&["auth_digest"])
    .start();
    let curl = Curl::new(&server);
    let ask = |user: &str, password: &str| {
        curl.run(
            "/secret/app",
            &["--digest", "--user", &format!("{user}:{password}")],
        )
    };
    server.get("/secret/page.html").expect(401);
    assert_eq!(ask("user", "right").expect(200).text(), "user user");
    assert_eq!(ask("bytes", "right").expect(200).text(), "user bytes");
    ask("user", "wrong").expect(401);
    ask("unknown", "right").expect(401);
    for user in ["empty", "wide", "one", "true", "raise", "exit"] {
        ask(user, "right").expect(500);
    }
    if subject().differs("REQ-720") {
        ask("nul", "right").expect(500);
    }
    for text in [
        "WSGI0178", "WSGI0179", "WSGI0174", "WSGI0175", "AH01790", "AH01794",
    ] {
        server.expect_log(text);
    }
    server.allow_log("asked for");
}

/// REQ-710, REQ-711: form authentication asks the same provider.
#[test]
fn forms() {
    let common = "AuthType form\nAuthName realm\nAuthFormProvider wsgi\nWSGIAuthUserScript {apps}/guard.wsgi\nSession On\nSessionCookieName session path=/";
    let server = guarded(
        Mpm::Event,
        Mode::Embedded,
        LOGIN,
        &format!("{common}\nRequire valid-user"),
    )
    .modules(&BASIC)
    .modules(&["auth_form", "session", "session_cookie", "request"])
    .config(&format!(
        "<Location /login>\n{common}\nSetHandler form-login-handler\nAuthFormLoginSuccessLocation /secret/app\n</Location>"
    ))
    .start();
    let curl = Curl::new(&server);
    let post = |user: &str, password: &str| {
        curl.post_form(
            "/login",
            &[("httpd_username", user), ("httpd_password", password)],
        )
    };
    curl.get("/secret/app").expect(401);
    post("user", "wrong").expect(401);
    post("raise", "right").expect(500);
    curl.get("/secret/app").expect(401);
    post("user", "right").expect(302);
    assert_eq!(curl.get("/secret/app").expect(200).text(), "user user");
    server.expect_log("WSGI0174");
    for allowed in ["asked for", "AH01807", "AH01808", "AH01809"] {
        server.allow_log(allowed);
    }
}

/// REQ-710, REQ-730, DIR-141, DIR-142, MRG-09: providers under other names (mod_authn_core, mod_authz_core), each with its own script.
#[test]
fn aliases_of_providers() {
    let says = |user: &str| {
        format!(
            "def check_password(environ, user, password):\n    return True if (user, password) == ('{user}', 'right') else None\n\n\
             def groups_for_user(environ, user):\n    return ['staff'] if user == '{user}' else []\n"
        )
    };
    let server = guarded(Mpm::Event, Mode::Embedded, &says("neither"), "")
    .modules(&BASIC)
    .file("apps/one.wsgi", &says("one"))
    .file("apps/two.wsgi", &says("two"))
    .config(
        "<AuthnProviderAlias wsgi first>\nWSGIAuthUserScript {apps}/one.wsgi\n</AuthnProviderAlias>
        <AuthnProviderAlias wsgi second>\nWSGIAuthUserScript {apps}/two.wsgi\n</AuthnProviderAlias>
        <AuthzProviderAlias wsgi-group ofone staff>\nWSGIAuthGroupScript {apps}/one.wsgi\n</AuthzProviderAlias>
        <AuthzProviderAlias wsgi-group oftwo staff>\nWSGIAuthGroupScript {apps}/two.wsgi\n</AuthzProviderAlias>
        <Location /secret>
            AuthType Basic\nAuthName realm\nAuthBasicProvider first second\nWSGIAuthUserScript {apps}/guard.wsgi
            Require ofone
        </Location>
        <Location /secret/app>
            Require oftwo
            Require ofone
        </Location>",
    )
    .start();
    let curl = Curl::new(&server);
    for (user, password, one, either) in [
        ("one", "right", 200, 200),
        ("two", "right", 401, 200),
        ("one", "wrong", 401, 401),
        // Known to the script that is not asked.
        ("neither", "right", 401, 401),
    ] {
        login(&curl, "/secret/page.html", user, password).expect(one);
        login(&curl, "/secret/app", user, password).expect(either);
    }
    for allowed in ["AH01", "WSGI0059"] {
        server.allow_log(allowed);
    }
}
