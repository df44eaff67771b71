//! Access, authentication and group scripts: who gets in, to WSGI applications and to everything else.

use wsgi_harness::{Curl, CurlAnswer, Mode, Mpm, Request, Site, matrix, subject};

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

/// Functions that do what the user's name says; the password is always `right`.
const LOGIN: &str = "
import hashlib

def case(environ, user):
    print('asked for %r' % user, file=environ['wsgi.errors'])
    if user == 'raise':
        raise ValueError('on purpose')
    if user == 'exit':
        raise SystemExit(0)

def check_password(environ, user, password):
    case(environ, user)
    special = {'unknown': None, 'renamed': 'somebody', 'wide': '\\u20ac', 'empty': '', 'nul': 'root\\0x',
        'surrogate': '\\udc80', 'bytes': b'somebody', 'one': 1, 'list': ['x']}
    if user in special:
        return special[user]
    if user == 'long':
        return password == 'x' * 80
    return password == 'right'

def get_realm_hash(environ, user, realm):
    case(environ, user)
    digest = hashlib.md5(('%s:%s:right' % (user, realm)).encode()).hexdigest()
    special = {'unknown': None, 'bytes': digest.encode(), 'empty': '', 'wide': '\\u20ac', 'nul': digest + '\\0',
        'one': 1, 'true': True, 'none': None}
    return special.get(user, digest)
";

/// Modules that Basic authentication needs.
const BASIC: [&str; 4] = ["auth_basic", "authn_core", "authn_file", "authz_user"];

/// Asks as `user` with `password`, by Basic authentication.
fn login(curl: &Curl, path: &str, user: &str, password: &str) -> CurlAnswer {
    curl.run(path, &["--user", &format!("{user}:{password}")])
}

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

/// REQ-711, DIR-146, DIR-072: a user script that cannot be asked lets nobody in.
#[test]
fn user_scripts_that_cannot_be_asked() {
    let mut site = guarded(Mpm::Event, Mode::Embedded, "", "")
        .modules(&BASIC)
        .modules(&["auth_digest"])
        .file("apps/empty.wsgi", "check = True\n")
        .file("apps/broken.wsgi", "def check_password(\n");
    for (name, directive) in [
        ("missing", "WSGIAuthUserScript {apps}/missing.wsgi"),
        ("empty", "WSGIAuthUserScript {apps}/empty.wsgi"),
        ("broken", "WSGIAuthUserScript {apps}/broken.wsgi"),
        ("none", ""),
    ] {
        for kind in ["Basic", "Digest"] {
            let folder = format!("{kind}-{name}");
            site = site.file(&format!("htdocs/{folder}/page.html"), "page").config(&format!(
                "<Location /{folder}>\nAuthType {kind}\nAuthName realm\nAuth{kind}Provider wsgi\n{directive}\nRequire valid-user\n</Location>"
            ));
        }
    }
    let server = site.start();
    let curl = Curl::new(&server);
    for (name, basic, digest) in [
        ("missing", "WSGI0105", "WSGI0105"),
        ("empty", "WSGI0043", "WSGI0046"),
        ("broken", "SyntaxError", "SyntaxError"),
        ("none", "WSGI0041", "WSGI0044"),
    ] {
        login(&curl, &format!("/Basic-{name}/page.html"), "user", "right").expect(500);
        server.expect_log(basic);
        curl.run(
            &format!("/Digest-{name}/page.html"),
            &["--digest", "--user", "user:right"],
        )
        .expect(500);
        server.expect_log(digest);
    }
    for allowed in ["WSGI0105", "WSGI0174", "SyntaxError", "AH01793"] {
        server.allow_log(allowed);
    }
}

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

/// REQ-710, REQ-720: with mod_authn_socache the script is not asked again, unless it gave another name or the cache could not
/// tell two passwords apart.
#[test]
fn cached_logins() {
    let common = "AuthName realm\nAuthnCacheProvideFor wsgi\nWSGIAuthUserScript {apps}/guard.wsgi\nRequire valid-user";
    let server = guarded(
        Mpm::Event,
        Mode::Embedded,
        LOGIN,
        &format!("{common}\nAuthType Basic\nAuthBasicProvider socache wsgi"),
    )
    .modules(&BASIC)
    .modules(&["auth_digest", "socache_shmcb", "authn_socache"])
    .file("htdocs/digest/page.html", "page")
    .config(&format!(
        "AuthnCacheEnable\nAuthnCacheSOCache shmcb:{{run}}/logins(512000)\n<Location /digest>\n{common}\nAuthType Digest\nAuthDigestProvider socache wsgi\n</Location>"
    ))
    .start();
    let curl = Curl::new(&server);
    let asked = |user: &str| server.log().count(&format!("asked for '{user}'"));
    let page = "/secret/page.html";
    let ours = subject().differs("REQ-710");
    for _ in 0..3 {
        login(&curl, page, "user", "right").expect(200);
        login(&curl, page, "renamed", "right").expect(200);
        login(&curl, page, "long", &"x".repeat(80)).expect(200);
    }
    assert_eq!(asked("user"), if ours { 1 } else { 3 });
    assert_eq!((asked("renamed"), asked("long")), (3, 3));
    login(&curl, page, "user", "wrong").expect(401);
    login(
        &curl,
        page,
        "long",
        &format!("{}{}", "x".repeat(72), "y".repeat(8)),
    )
    .expect(401);
    for _ in 0..3 {
        curl.run(
            "/digest/page.html",
            &["--digest", "--user", "digester:right"],
        )
        .expect(200);
    }
    assert_eq!(asked("digester"), if ours { 1 } else { 3 });
    server.expect_log("AH01617");
    for allowed in ["asked for", "AH01677"] {
        server.allow_log(allowed);
    }
}

/// A login as anybody, and groups by the user's name.
const GROUPS: &str = "
def check_password(environ, user, password):
    return True

def groups_for_user(environ, user):
    if user == 'raise':
        raise ValueError('on purpose')
    if user == 'exit':
        raise SystemExit(0)
    def late():
        yield 'staff'
        raise ValueError('later')
    def generated():
        yield 'other'
        yield 'staff'
    return {'list': ['a', 'staff'], 'tuple': ('staff',), 'set': {'staff'}, 'generated': generated(), 'bytes': [b'staff'],
        'case': ['STAFF'], 'blank': ['two words'], 'letters': 'xyz', 'text': 'staff', 'none': None, 'int': 5, 'no': ['other'],
        'nobody': [], 'badfirst': [None, 'staff'], 'badlast': ['staff', 5], 'wide': ['staff', '\\u20ac'], 'late': late(),
        'nul': ['staff\\0x'], 'function': len, 'latin': ['\\xe9']}.get(user, [])
";

/// REQ-730, REQ-731, REQ-732, REQ-733, REQ-734, DIR-142: who is in a required group.
fn groups(mpm: Mpm, mode: Mode) {
    let server = guarded(
        mpm,
        mode,
        GROUPS,
        "AuthType Basic\nAuthName realm\nAuthBasicProvider wsgi\nWSGIAuthUserScript {apps}/guard.wsgi\nWSGIAuthGroupScript {apps}/guard.wsgi
        Require wsgi-group first staff \"two words\" x",
    )
    .modules(&BASIC)
    .file("htdocs/banned/page.html", "page")
    .config(
        "<Location /banned>
            AuthType Basic\nAuthName realm\nAuthBasicProvider wsgi
            WSGIAuthUserScript {apps}/guard.wsgi\nWSGIAuthGroupScript {apps}/guard.wsgi
            <RequireAll>
                Require valid-user
                Require not wsgi-group staff
            </RequireAll>
        </Location>",
    )
    .start();
    let curl = Curl::new(&server);
    let failing = if subject().differs("REQ-734") {
        500
    } else {
        401
    };
    server.get("/secret/page.html").expect(401);
    for path in ["/secret/page.html", "/secret/app"] {
        for user in [
            "list",
            "tuple",
            "set",
            "generated",
            "bytes",
            "case",
            "blank",
            "letters",
        ] {
            login(&curl, path, user, "any").expect(200);
        }
        for user in ["text", "no", "nobody", "unknown", "nul", "latin"] {
            let expected = if user == "nul" && !subject().is_ours() {
                200
            } else {
                401
            };
            assert_eq!(login(&curl, path, user, "any").status, expected, "{user}");
        }
        for user in [
            "none", "int", "function", "badfirst", "badlast", "wide", "raise", "exit",
        ] {
            assert_eq!(login(&curl, path, user, "any").status, failing, "{user}");
        }
    }
    if subject().differs("REQ-732") {
        login(&curl, "/secret/app", "late", "any").expect(500);
    }
    // A ban holds also where the script fails.
    login(&curl, "/banned/page.html", "list", "any").expect(401);
    login(&curl, "/banned/page.html", "no", "any").expect(200);
    let escaping = if failing == 500 { 500 } else { 200 };
    login(&curl, "/banned/page.html", "raise", "any").expect(escaping);
    login(&curl, "/banned/page.html", "badlast", "any").expect(escaping);
    for code in [
        "WSGI0049", "WSGI0050", "WSGI0051", "WSGI0059", "WSGI0060", "WSGI0174", "WSGI0175",
        "AH01631",
    ] {
        server.expect_log(code);
    }
}
matrix!(groups: event / embedded daemon);

/// REQ-732, REQ-734, DIR-146: a group script that cannot be asked.
#[test]
fn group_scripts_that_cannot_be_asked() {
    let mut site = guarded(Mpm::Event, Mode::Embedded, GROUPS, "")
        .modules(&BASIC)
        .file("apps/empty.wsgi", "groups = ['staff']\n");
    for (name, directive) in [
        ("missing", "WSGIAuthGroupScript {apps}/missing.wsgi"),
        ("empty", "WSGIAuthGroupScript {apps}/empty.wsgi"),
        ("none", ""),
    ] {
        site = site.file(&format!("htdocs/{name}/page.html"), "page").config(&format!(
            "<Location /{name}>\nAuthType Basic\nAuthName realm\nAuthBasicProvider wsgi\nWSGIAuthUserScript {{apps}}/guard.wsgi\n{directive}\nRequire wsgi-group staff\n</Location>"
        ));
    }
    let server = site.start();
    let curl = Curl::new(&server);
    let failing = if subject().differs("REQ-734") {
        500
    } else {
        401
    };
    for (name, code) in [
        ("missing", "WSGI0105"),
        ("empty", "WSGI0052"),
        ("none", "WSGI0058"),
    ] {
        login(&curl, &format!("/{name}/page.html"), "user", "any").expect(failing);
        server.expect_log(code);
    }
    for allowed in ["WSGI0105", "WSGI0174", "AH01631"] {
        server.allow_log(allowed);
    }
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
