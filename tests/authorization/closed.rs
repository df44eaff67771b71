//! Scripts that cannot be asked let nobody in.

use wsgi_harness::{Curl, Mode, Mpm, Site, subject};

use super::{BASIC, GROUPS, guarded, login};

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
