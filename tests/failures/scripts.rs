//! Scripts that cannot be used, and are as soon as they are repaired.

use wsgi_harness::{Level, Mode, Mpm, is_root, matrix, subject, unprivileged_user, wait_until};

use super::server;

/// DOC-22, REQ-470, REQ-471, REQ-604, REQ-616, DIR-032, DMN-268: scripts that cannot be used.
fn unusable_scripts(mpm: Mpm, mode: Mode) {
    let server = server(mpm, mode);
    for (name, text, codes, exception) in [
        (
            "syntax",
            "def application(:\n",
            &["WSGI0105", "WSGI0174"][..],
            "SyntaxError",
        ),
        (
            "encoding",
            "# -*- coding: nonsense -*-\n",
            &["WSGI0105", "WSGI0174"],
            "SyntaxError",
        ),
        (
            "raising",
            "raise ValueError('at import')\n",
            &["WSGI0109", "WSGI0174"],
            "ValueError: at import",
        ),
        (
            "importing",
            "import there_is_no_such_module\n",
            &["WSGI0109", "WSGI0174"],
            "ModuleNotFoundError",
        ),
        (
            "exiting",
            "import sys\nsys.exit(1)\n",
            &["WSGI0107", "WSGI0175"],
            "SystemExit: 1",
        ),
        ("without", "x = 1\n", &["WSGI0089"], ""),
        (
            "uncallable",
            "application = 42\n",
            &["WSGI0174"],
            "TypeError",
        ),
    ] {
        let url = server.case(name, text);
        for _ in 0..2 {
            let answer = server.get(&url);
            if name == "without" {
                let is_known = subject().differs("REQ-470") || mode == Mode::Embedded;
                assert_eq!(answer.status, if is_known { 404 } else { 500 });
            } else {
                assert_eq!(answer.status, 500, "{name}");
            }
        }
        for code in codes {
            // REQ-471: tried again by every request.
            let found = wait_until(code, || {
                let found: Vec<_> = server
                    .log()
                    .records()
                    .into_iter()
                    .filter(|record| {
                        record.line.contains(&format!("{name}.wsgi]")) && record.line.contains(code)
                    })
                    .collect();
                (found.len() >= 2).then_some(found)
            });
            assert_eq!(found[0].level, Level::Error);
        }
        server.allow_log(&format!("{name}.wsgi]"));
        assert!(
            server
                .log()
                .matching(&format!("{name}.wsgi]"))
                .iter()
                .any(|record| record.contains(exception)),
            "{name}"
        );
        // A repaired script is taken up.
        server.write(
            &format!("apps/{name}.wsgi"),
            include_str!("../apps/hello.wsgi"),
        );
        assert_eq!(server.get(&url).expect(200).text(), "hello", "{name}");
    }
    // A script that nobody may read: as root the daemon user may not.
    let url = server.case("unreadable", include_str!("../apps/hello.wsgi"));
    std::fs::set_permissions(
        server.path("apps/unreadable.wsgi"),
        std::os::unix::fs::PermissionsExt::from_mode(0o000),
    )
    .expect("mine");
    assert_eq!(server.get(&url).status, 500);
    server.allow_log("unreadable.wsgi]");
    let record = server.wait_for_log("PermissionError: [Errno 13] Permission denied");
    assert!(record.contains("unreadable.wsgi'"), "{record:?}");
    if subject().is_ours() && is_root() {
        let user = format!("for user {} (uid ", unprivileged_user().name);
        assert!(record.contains(&user), "{record:?}");
    }
    assert_eq!(server.get("/case/missing").status, 404);
    server.expect_log("WSGI0135");
    std::fs::create_dir(server.path("apps/directory.wsgi")).expect("a folder");
    assert_eq!(server.get("/case/directory").status, 403);
    server.expect_log("WSGI0136");
}
matrix!(unusable_scripts: event prefork);
