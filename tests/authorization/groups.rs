//! WSGIAuthGroupScript: who is in a required group.

use wsgi_harness::{Curl, Mode, Mpm, matrix, subject};

use super::{BASIC, GROUPS, guarded, login};

/// REQ-730, REQ-731, REQ-732, REQ-733, REQ-734, DIR-142: who is in a required group.
fn groups(mpm: Mpm, mode: Mode) {
    let server = guarded(
        mpm,
        mode,
        GROUPS,
        "AuthType Basic\nAuthName realm\nAuthBasicProvider wsgi\nWSGIAuthUserScript {apps}/guard.wsgi\nWSGIAuthGroupScript {apps}/guard.wsgi
        Require wsgi-group first staff \"two words\" x \u{e9} Mixed",
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
            "accent",
            "accentbytes",
            "mixed",
            "mixedbytes",
        ] {
            login(&curl, path, user, "any").expect(200);
        }
        for user in ["text", "no", "nobody", "unknown", "latin", "part"] {
            assert_eq!(login(&curl, path, user, "any").status, 401, "{user}");
        }
        // The original takes the front of the name.
        let cut = if subject().differs("REQ-730") {
            500
        } else {
            200
        };
        for user in ["nul", "nulbytes"] {
            assert_eq!(login(&curl, path, user, "any").status, cut, "{user}");
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
    let banned = if subject().differs("REQ-730") {
        500
    } else {
        401
    };
    login(&curl, "/banned/page.html", "nul", "any").expect(banned);
    login(&curl, "/banned/page.html", "nulbytes", "any").expect(banned);
    for code in [
        "WSGI0049", "WSGI0050", "WSGI0051", "WSGI0059", "WSGI0060", "WSGI0174", "WSGI0175",
        "AH01631",
    ] {
        server.expect_log(code);
    }
}

matrix!(groups: event / embedded daemon);
