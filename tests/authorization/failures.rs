//! Every way of failing, for each kind of script: nobody gets in, neither to an application nor to a file.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};

use wsgi_harness::{Curl, Mode, Mpm, Server, Site, matrix, subject};

use super::{BASIC, login};

/// Lets everybody in who asks with the password `right`.
pub(super) const FINE: &str = "
import hashlib

def allow_access(environ, host):
    return True

def check_password(environ, user, password):
    return password == 'right'

def get_realm_hash(environ, user, realm):
    return hashlib.md5(('%s:%s:right' % (user, realm)).encode()).hexdigest()

def groups_for_user(environ, user):
    return ['staff']
";

/// Scripts that fail, and what the log says of each (before the code of the hook, if there is one).
const FAILING: [(&str, &str, &str); 6] = [
    ("broken", "def allow_access(\n", "SyntaxError"),
    ("raising", "raise ValueError('on purpose')\n", "ValueError"),
    ("exiting", "raise SystemExit(0)\n", "WSGI010"),
    ("empty", "anything = True\n", "no function"),
    (
        "uncallable",
        "allow_access = check_password = get_realm_hash = groups_for_user = True\n",
        "TypeError",
    ),
    (
        "narrow",
        "def allow_access():\n    return True\ncheck_password = get_realm_hash = allow_access\ndef groups_for_user():\n    return ['staff']\n",
        "TypeError",
    ),
];

/// Scripts that no process can read, with names of their own.
const UNREADABLE: [&str; 4] = ["missing", "sealed", "folder", "dangling"];

/// What guards a URL, by a script; all let the user `user` with the password `right` in if the script is fine, but for the last.
pub(super) const KINDS: [(&str, &str); 6] = [
    ("access", "WSGIAccessScript SCRIPT"),
    (
        "basic",
        "AuthType Basic\nAuthName realm\nAuthBasicProvider wsgi\nWSGIAuthUserScript SCRIPT\nRequire valid-user",
    ),
    (
        "digest",
        "AuthType Digest\nAuthName realm\nAuthDigestProvider wsgi\nWSGIAuthUserScript SCRIPT\nRequire valid-user",
    ),
    (
        "form",
        "AuthType form\nAuthName realm\nAuthFormProvider wsgi\nSession On\nSessionCookieName session path=/\n\
         WSGIAuthUserScript SCRIPT\nRequire valid-user",
    ),
    (
        "group",
        "AuthType Basic\nAuthName realm\nAuthBasicProvider wsgi\nWSGIAuthUserScript {apps}/fine.wsgi\n\
         WSGIAuthGroupScript SCRIPT\nRequire wsgi-group staff",
    ),
    (
        "banned",
        "AuthType Basic\nAuthName realm\nAuthBasicProvider wsgi\nWSGIAuthUserScript {apps}/fine.wsgi\n\
         WSGIAuthGroupScript SCRIPT\n<RequireAll>\nRequire valid-user\nRequire not wsgi-group staff\n</RequireAll>",
    ),
];

/// A site where `/KIND-NAME/page.html` and `/KIND-NAME/app` are guarded by these scripts.
pub(super) fn site(mpm: Mpm, mode: Mode, scripts: &[(&str, String)]) -> Site {
    let mut site = Site::new(mpm, mode)
        .modules(&BASIC)
        .modules(&["auth_digest", "auth_form", "session", "session_cookie", "request"])
        .file("apps/fine.wsgi", FINE)
        .file(
            "apps/app.wsgi",
            "def application(environ, start_response):\n    start_response('200 OK', [])\n    return [b'in']\n",
        )
        .config("WSGIScriptAliasMatch ^/[a-z]+-[a-z]+/app$ {apps}/app.wsgi");
    for (kind, guard) in KINDS {
        for (name, script) in scripts {
            let guard = guard.replace("SCRIPT", script);
            site = site
                .file(&format!("htdocs/{kind}-{name}/page.html"), "in")
                .config(&format!("<Location /{kind}-{name}>\n{guard}\n</Location>"));
        }
    }
    site
}

/// Asks as somebody whom a fine script lets in; the status.
pub(super) fn ask(server: &Server, kind: &str, path: &str) -> u16 {
    // Without the cookies of those before.
    let curl = Curl::new(server);
    match kind {
        "access" => server.get(path).status,
        "digest" => curl.run(path, &["--digest", "--user", "user:right"]).status,
        "form" => {
            let fields = [("httpd_username", "user"), ("httpd_password", "right")];
            curl.post_form(path, &fields).status
        }
        _ => login(&curl, path, "user", "right").status,
    }
}

/// The status where the script of this kind fails.
pub(super) fn refused(kind: &str) -> u16 {
    match kind {
        "access" => 403,
        "group" if !subject().differs("REQ-734") => 401,
        // A failing script lifts the ban there.
        "banned" if !subject().differs("REQ-734") => 200,
        _ => 500,
    }
}

/// REQ-690, REQ-701, REQ-711, REQ-720, REQ-732, REQ-734, DIR-140, DIR-141, DIR-142, DIR-146: whatever is wrong with a script.
fn failures(mpm: Mpm, mode: Mode) {
    let names = FAILING.iter().map(|(name, _, _)| *name);
    let names: Vec<&str> = names.chain(UNREADABLE).chain(["fine"]).collect();
    let scripts: Vec<(&str, String)> = names
        .iter()
        .map(|name| (*name, format!("{{apps}}/{name}.wsgi")))
        .collect();
    let mut site = site(mpm, mode, &scripts);
    for (name, text, _) in FAILING {
        site = site.file(&format!("apps/{name}.wsgi"), text);
    }
    let site = site
        .file("apps/sealed.wsgi", FINE)
        .file("apps/folder.wsgi/file", "");
    let sealed = site.path("apps/sealed.wsgi");
    fs::set_permissions(sealed, Permissions::from_mode(0o000)).expect("the owner may seal a file");
    symlink("nowhere", site.path("apps/dangling.wsgi")).expect("a link in the site's folder");
    let server = site.start();
    let mut wrong = Vec::new();
    for (kind, _) in KINDS {
        for name in &names {
            let expected = match (*name, kind) {
                ("fine", "banned") => 401,
                ("fine", _) => 200,
                _ => refused(kind),
            };
            for leaf in ["page.html", "app"] {
                let path = format!("/{kind}-{name}/{leaf}");
                let status = ask(&server, kind, &path);
                if status != expected {
                    wrong.push(format!("{path}: {status} instead of {expected}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    for (_, _, text) in FAILING {
        if subject().is_ours() {
            server.expect_log(text);
        }
    }
    for allowed in ["WSGI", "Error", "AH01", "SystemExit"] {
        server.allow_log(allowed);
    }
}
matrix!(failures: event / embedded daemon);

/// REQ-131, REQ-690, REQ-701, REQ-711, REQ-734: a script that was fine and then is broken, or gone: the code that was loaded no longer
/// lets anybody in, until the script is fine again. With WSGIScriptReloading Off it does.
#[test]
fn scripts_that_break_later() {
    let scripts = [("later", "{apps}/later.wsgi".to_owned())];
    let server = site(Mpm::Event, Mode::Embedded, &scripts)
        .file("apps/later.wsgi", FINE)
        .file("htdocs/access-fixed/page.html", "in")
        .file("apps/fixed.wsgi", FINE)
        .config("<Location /access-fixed>\nWSGIAccessScript {apps}/fixed.wsgi\nWSGIScriptReloading Off\n</Location>")
        .start();
    let check = |is_fine: bool, when: &str| {
        for (kind, _) in KINDS {
            let expected = match (is_fine, kind) {
                (true, "banned") => 401,
                (true, _) => 200,
                (false, kind) => refused(kind),
            };
            let path = format!("/{kind}-later/page.html");
            assert_eq!(ask(&server, kind, &path), expected, "{path}, {when}");
        }
        server.get("/access-fixed/page.html").expect(200);
    };
    check(true, "fine");
    for name in ["apps/later.wsgi", "apps/fixed.wsgi"] {
        server.write(name, "def allow_access(\n");
    }
    check(false, "broken");
    server.write("apps/later.wsgi", FINE);
    check(true, "mended");
    fs::remove_file(server.path("apps/later.wsgi")).expect("the script was there");
    check(false, "gone");
    server.write("apps/later.wsgi", FINE);
    check(true, "back");
    for allowed in ["WSGI", "SyntaxError", "AH01"] {
        server.allow_log(allowed);
    }
}
