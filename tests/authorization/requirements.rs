//! `Require wsgi-group` and `Require valid-user` in company, under negation, and with what older releases had.

use wsgi_harness::{Curl, Mode, Mpm, Site, subject};

use super::{BASIC, guarded, login};

/// A login by the password `right`; users are in the groups that their names consist of; `raise` raises.
const SCRIPT: &str = "
import hashlib

def check_password(environ, user, password):
    return password == 'right'

def get_realm_hash(environ, user, realm):
    return hashlib.md5(('%s:%s:right' % (user, realm)).encode()).hexdigest()

def groups_for_user(environ, user):
    print('groups of %s' % user, file=environ['wsgi.errors'])
    if user == 'raise':
        raise ValueError('on purpose')
    return user.split('-')
";

/// A site with a guarded page `/NAME/page.html` for each of these requirements.
fn site(rows: &[(&str, &str)]) -> Site {
    let mut site = guarded(Mpm::Event, Mode::Embedded, SCRIPT, "").modules(&BASIC);
    for (name, requirements) in rows {
        site = site.file(&format!("htdocs/{name}/page.html"), "in").config(&format!(
            "<Location /{name}>\nAuthType Basic\nAuthName realm\nAuthBasicProvider wsgi\nWSGIAuthUserScript {{apps}}/guard.wsgi\n\
             WSGIAuthGroupScript {{apps}}/guard.wsgi\n{requirements}\n</Location>"
        ));
    }
    site
}

/// REQ-730, REQ-732, REQ-733, REQ-734, DIR-142, DIR-144: who gets in, for each company that the requirement may be in.
#[test]
fn combinations() {
    let failing = if subject().differs("REQ-734") {
        500
    } else {
        401
    };
    // Name, requirements, and the status for the users a, b, a-b, none and raise.
    let rows = [
        ("one", "Require wsgi-group a", [200, 401, 200, 401, failing]),
        (
            "any",
            "Require wsgi-group a b",
            [200, 200, 200, 401, failing],
        ),
        (
            "lines",
            "Require wsgi-group a\nRequire wsgi-group b",
            [200, 200, 200, 401, failing],
        ),
        (
            "all",
            "<RequireAll>\nRequire wsgi-group a\nRequire wsgi-group b\n</RequireAll>",
            [401, 401, 200, 401, failing],
        ),
        (
            "user",
            "<RequireAll>\nRequire valid-user\nRequire wsgi-group a\n</RequireAll>",
            [200, 401, 200, 401, failing],
        ),
        // Whoever is logged in; the script is not even asked.
        (
            "anybody",
            "Require valid-user\nRequire wsgi-group a",
            [200; 5],
        ),
        // One that may come in by the name, when the groups of that user cannot be known.
        (
            "named",
            "Require wsgi-group a\nRequire user raise",
            [200, 401, 200, 401, if failing == 500 { 500 } else { 200 }],
        ),
        (
            "not",
            "<RequireAll>\nRequire valid-user\nRequire not wsgi-group a\n</RequireAll>",
            [401, 200, 401, 200, if failing == 500 { 500 } else { 200 }],
        ),
        (
            "none",
            "<RequireAll>\nRequire valid-user\n<RequireNone>\nRequire wsgi-group a\nRequire wsgi-group b\n</RequireNone>\n</RequireAll>",
            [401, 401, 401, 200, if failing == 500 { 500 } else { 200 }],
        ),
        (
            "forbidden",
            "AuthzSendForbiddenOnFailure On\nRequire wsgi-group a",
            [200, 403, 200, 403, if failing == 500 { 500 } else { 403 }],
        ),
        (
            "authoritative",
            "WSGIGroupAuthoritative On\nRequire wsgi-group a",
            [200, 401, 200, 401, failing],
        ),
        (
            "yielding",
            "WSGIGroupAuthoritative Off\nRequire wsgi-group a",
            [200, 401, 200, 401, failing],
        ),
        (
            "nobody",
            "Require wsgi-group",
            [401, 401, 401, 401, failing],
        ),
    ];
    let sites: Vec<(&str, &str)> = rows.iter().map(|(name, text, _)| (*name, *text)).collect();
    let server = site(&sites).start();
    let curl = Curl::new(&server);
    let mut wrong = Vec::new();
    for (name, _, expected) in rows {
        let path = format!("/{name}/page.html");
        server.get(&path).expect(401);
        login(&curl, &path, "a", "wrong").expect(401);
        for (user, expected) in ["a", "b", "a-b", "none", "raise"].iter().zip(expected) {
            let status = login(&curl, &path, user, "right").status;
            if status != expected {
                wrong.push(format!("{path} {user}: {status} instead of {expected}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    for allowed in [
        "groups of",
        "WSGI0059",
        "WSGI0060",
        "WSGI0174",
        "AH01",
        "WSGIGroupAuthoritative",
    ] {
        server.allow_log(allowed);
    }
}

/// REQ-703, REQ-734: `Satisfy Any` of groups and addresses: who has the address is let in unasked; who has not needs the group.
#[test]
fn addresses_or_groups() {
    let near =
        "Order deny,allow\nDeny from all\nAllow from 127.0.0.1\nSatisfy Any\nRequire wsgi-group a";
    let far = "Order deny,allow\nDeny from all\nSatisfy Any\nRequire wsgi-group a";
    let both = "Order deny,allow\nDeny from all\nSatisfy All\nRequire wsgi-group a";
    let server = site(&[("near", near), ("far", far), ("both", both)])
        .modules(&["access_compat", "authz_host"])
        .start();
    let failing = if subject().differs("REQ-734") {
        500
    } else {
        401
    };
    let curl = Curl::new(&server);
    server.get("/near/page.html").expect(200);
    assert_eq!(server.log().count("groups of"), 0);
    server.get("/far/page.html").expect(401);
    for (user, status) in [("a", 200), ("b", 401), ("raise", failing)] {
        login(&curl, "/far/page.html", user, "right").expect(status);
        login(&curl, "/both/page.html", user, "right").expect(403);
    }
    for allowed in ["groups of", "WSGI0060", "WSGI0174", "AH01"] {
        server.allow_log(allowed);
    }
}

/// KD-31, REQ-734: `Require group`, which releases for Apache 2.2 asked the group script for, is not this provider: without
/// mod_authz_groupfile the configuration is refused, with it nobody is let in by the script.
#[test]
fn the_requirement_of_apache_22() {
    let row = [("old", "Require group a")];
    let checked = site(&row).check();
    assert!(!checked.accepted, "{}", checked.output);
    assert!(
        checked.output.contains("Unknown Authz provider: group"),
        "{}",
        checked.output
    );
    let server = site(&row).modules(&["authz_groupfile"]).start();
    let curl = Curl::new(&server);
    for user in ["a", "b"] {
        login(&curl, "/old/page.html", user, "right").expect(401);
    }
    assert_eq!(server.log().count("groups of"), 0);
    server.allow_log("AH01");
}

/// REQ-720, REQ-730, REQ-733: groups of users who logged in by Digest or by a form.
#[test]
fn groups_after_other_logins() {
    let server = site(&[])
        .modules(&["auth_digest", "auth_form", "session", "session_cookie", "request"])
        .file("htdocs/digest/page.html", "in")
        .file("htdocs/form/page.html", "in")
        .config(
            "<Location /digest>\nAuthType Digest\nAuthName realm\nAuthDigestProvider wsgi\n</Location>
            <Location /form>\nAuthType form\nAuthName realm\nAuthFormProvider wsgi\nSession On\nSessionCookieName session path=/\n</Location>
            <LocationMatch ^/(digest|form)>
                WSGIAuthUserScript {apps}/guard.wsgi\nWSGIAuthGroupScript {apps}/guard.wsgi\nRequire wsgi-group a
            </LocationMatch>",
        )
        .start();
    for (user, password, status) in [
        ("a", "right", 200),
        ("b", "right", 401),
        ("a", "wrong", 401),
    ] {
        let curl = Curl::new(&server);
        let login = format!("{user}:{password}");
        curl.run("/digest/page.html", &["--digest", "--user", &login])
            .expect(status);
        let fields = [("httpd_username", user), ("httpd_password", password)];
        curl.post_form("/form/page.html", &fields).expect(status);
    }
    for allowed in ["groups of", "WSGI0060", "AH01"] {
        server.allow_log(allowed);
    }
}
