//! WSGIAuthUserScript together with mod_authn_socache.

use wsgi_harness::{Curl, Mode, Mpm, subject};

use super::{BASIC, LOGIN, guarded, login};

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
