//! The end of processes whose interpreters have GILs of their own.

use wsgi_harness::{Mode, Mpm, wait_until};

use super::{gils, several};

/// API-060, API-062: an interpreter with its own GIL ends like the others.
#[test]
#[ignore = "needs several Pythons: make test-pythons"]
fn own_gils_end() {
    for version in several() {
        let server = gils(Mpm::Event, Mode::Daemon, &version).start();
        server.case("noting", "import atexit, mod_wsgi\n\ndef note():\n    with open('{data}/notes', 'a') as f:\n        f.write(mod_wsgi.application_group + '\\n')\n\natexit.register(note)\n\ndef application(environ, start_response):\n    start_response('200 OK', [])\n    return []\n");
        server.get("/own/noting").expect(200);
        server.get("/shared/noting").expect(200);
        // The only slot is taken while the old child ends.
        server.allow_log("AH03490");
        server.graceful();
        wait_until("both notes", || {
            let notes = std::fs::read_to_string(server.path("data/notes")).unwrap_or_default();
            let mut lines: Vec<&str> = notes.lines().collect();
            lines.sort_unstable();
            (lines == ["own", "shared"]).then_some(())
        });
    }
}

/// DP-63, DP-101, DMN-028, DMN-440: an application that never gives up the GIL of its own interpreter. The others go on, until
/// after deadlock-timeout the process is replaced; the blocked interpreter is asked nothing more.
#[test]
#[ignore = "needs several Pythons: make test-pythons"]
fn a_deadlock_behind_an_own_gil() {
    for version in several() {
        let server = gils(Mpm::Event, Mode::Daemon, &version)
            .daemon_options(&format!(
                "processes=1 threads=5 python-version={version} deadlock-timeout=2 shutdown-timeout=1"
            ))
            .start();
        server.case(
            "holding",
            "import os, sys
import mod_wsgi

def note(name, **event):
    with open('{data}/asked', 'a') as f:
        f.write('%s %s' % (mod_wsgi.application_group, name))

def application(environ, start_response):
    if environ['QUERY_STRING'] == 'hold':
        mod_wsgi.subscribe_shutdown(note)
        sys.setswitchinterval(10000)
        open('{data}/holding', 'w').close()
        while True:
            pass
    start_response('200 OK', [])
    return [b'%d' % os.getpid()]
",
        );
        let blocked = server.served_by("/own/holding");
        let old = server.daemon(blocked);
        let mut holding = server.begin("/own/holding?hold");
        wait_until("the loop", || {
            server.path("data/holding").exists().then_some(())
        });
        // Another interpreter's request is served, by this process or by its replacement.
        server.get("/shared/facts").expect(200);
        assert_eq!(holding.answer().status, 502, "{version}");
        server.wait_until_gone(&[old]);
        server.expect_log("Python has been blocked for deadlock-timeout");
        for code in ["WSGI0144", "WSGI0143", "'live'"] {
            server.allow_log(code);
        }
        assert_ne!(server.served_by("/own/holding"), blocked, "{version}");
        assert!(!server.path("data/asked").exists(), "{version}");
    }
}
