//! Extension modules that refuse a sub-interpreter, or one with a GIL of its own.

use std::process::Command;

use wsgi_harness::{Mode, Mpm};

use super::{gils, several};

/// API-021: an extension module of Python itself that does not support a GIL of one's own; the record names both settings that
/// help.
#[test]
#[ignore = "needs several Pythons: make test-pythons"]
fn an_extension_without_support_for_own_gils() {
    for version in several() {
        let server = gils(Mpm::Event, Mode::Daemon, &version).start();
        server.case("reading", "import readline\n\ndef application(environ, start_response):\n    start_response('200 OK', [])\n    return [b'read']\n");
        assert_eq!(server.get("/shared/reading").expect(200).text(), "read");
        let page = server.get("/own/reading").expect(500).text();
        assert!(page.contains("WSGIApplicationGroup %{GLOBAL}"), "{page}");
        let record = server.wait_for_log("WSGI5220");
        assert!(
            record.contains("'readline'") && record.contains("WSGIPerInterpreterGIL Off"),
            "{}",
            record.line
        );
        for code in ["WSGI0174", "WSGI0109"] {
            server.allow_log(code);
        }
    }
}

/// API-021, issue 4: numpy and a module of PyO3, as Debian ships them, which refuse a second interpreter and an own GIL: the 500 and
/// the record name the settings that help, and with them they work.
#[test]
#[ignore = "needs several Pythons: make test-pythons"]
fn packages_that_refuse() {
    let mut tried = 0;
    for version in several() {
        for (package, expression) in [
            ("numpy", "numpy.arange(7).sum()"),
            ("rpds", "rpds.HashTrieMap({1: 21})[1]"),
        ] {
            // Debian builds its packages for some of its Pythons.
            let import = format!("import {package}");
            let python = Command::new(format!("/usr/bin/python{version}"))
                .args(["-c", &import])
                .output();
            if !python.is_ok_and(|output| output.status.success()) {
                continue;
            }
            tried += 1;
            let server = gils(Mpm::Event, Mode::Daemon, &version).start();
            server.case(package, &format!("{import}\n\ndef application(environ, start_response):\n    start_response('200 OK', [])\n    return [b'%d' % {expression}]\n"));
            let path = |group: &str| format!("/{group}/{package}");
            assert_eq!(
                server.get(&path("case")).expect(200).text(),
                "21",
                "{version}"
            );
            for (count, group) in ["own", "shared"].into_iter().enumerate() {
                let page = server.get(&path(group)).expect(500).text();
                assert!(page.contains("WSGIApplicationGroup %{GLOBAL}"), "{page}");
                let records = server.wait_for_logs("WSGI5220", count + 1);
                let record = &records[count];
                assert!(
                    record.contains("application-group=%{GLOBAL}"),
                    "{}",
                    record.line
                );
            }
            assert_eq!(
                server.get(&path("case")).expect(200).text(),
                "21",
                "{version}"
            );
            for code in ["WSGI0174", "WSGI0109"] {
                server.allow_log(code);
            }
        }
    }
    assert!(
        tried >= 2,
        "neither numpy nor rpds can be imported by enough Pythons"
    );
}
