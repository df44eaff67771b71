//! Interpreters with a GIL of their own: their rules, and that they run beside one another.

use std::fs::{File, Permissions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;

use wsgi_harness::{Mode, Mpm, Server, wait_until};

use super::{fact, gils, several};

/// DIR-075, DIR-091, DIR-101, API-017, API-021, API-024: an interpreter with a GIL of its own has its own switch interval and CPython's rules
/// for isolated interpreters; the main one has neither, and those without share its GIL.
fn own_gil(mpm: Mpm, mode: Mode) {
    for version in several() {
        let server = gils(mpm, mode, &version).start();
        assert_eq!(
            fact(&server, "/own/facts", "interval"),
            "0.125",
            "{version}"
        );
        assert_eq!(fact(&server, "/own/facts", "group"), "own");
        assert_eq!(fact(&server, "/shared/facts", "interval"), "0.005");
        assert_eq!(fact(&server, "/case/facts", "interval"), "0.005");
        server.wait_for_log("Create interpreter 'own' with its own GIL");
        server.wait_for_log("Create interpreter 'shared'.");
        // Fork stays out of the others: in its child CPython ends every interpreter but the main one, and fails at that.
        server.case(
            "rules",
            "import os, threading

def attempt(action):
    try:
        action()
        return 'done'
    except OSError:
        return 'done'
    except RuntimeError as error:
        return 'refused'

def execute():
    os.execv('/nowhere/at/all', ['x'])

def start():
    thread = threading.Thread(target=int, daemon=True)
    thread.start()
    thread.join()

def application(environ, start_response):
    actions = [execute, start]
    if environ['mod_wsgi.application_group'] == 'own':
        actions.append(os.fork)
    text = ' '.join(map(attempt, actions))
    start_response('200 OK', [])
    return [text.encode()]
",
        );
        assert_eq!(
            server.get("/own/rules").expect(200).text(),
            "refused refused refused",
            "{version}"
        );
        assert_eq!(server.get("/shared/rules").expect(200).text(), "done done");
        assert_eq!(server.get("/case/rules").expect(200).text(), "done done");
        for absent in ["WSGI0198", "WSGI0199"] {
            assert_eq!(server.log().count(absent), 0, "{version}");
        }
    }
}

mod own_gils {
    use super::*;

    #[test]
    #[ignore = "needs several Pythons: make test-pythons"]
    fn embedded() {
        own_gil(Mpm::Event, Mode::Embedded);
    }

    #[test]
    #[ignore = "needs several Pythons: make test-pythons"]
    fn daemon() {
        own_gil(Mpm::Event, Mode::Daemon);
    }
}

/// DIR-091, API-021: two requests in interpreters with GILs of their own compute at the same time. Each waits in a loop for
/// every step of the other and never gives up its GIL, so that neither would get to an end if they took turns.
#[test]
#[ignore = "needs several Pythons: make test-pythons"]
fn requests_compute_at_the_same_time() {
    for version in several() {
        for mode in [Mode::Embedded, Mode::Daemon] {
            let server = gils(Mpm::Event, mode, &version).start();
            memory(&server, &[0, 0]);
            // The partner may be one step ahead. No call in the loop, and no switch before any test has ended: nothing asks
            // for the GIL and nothing releases it.
            server.case(
                "meeting",
                "import mmap, sys
import mod_wsgi

def meet(mine, steps):
    theirs = 1 - mine
    for step in range(1, steps + 1):
        memory[mine] = step
        while memory[theirs] != step and memory[theirs] != step + 1:
            pass
    return step

sys.setswitchinterval(10000)
with open('{data}/memory', 'r+b') as file:
    memory = mmap.mmap(file.fileno(), 2)

def application(environ, start_response):
    step = meet(['own', 'other'].index(mod_wsgi.application_group), 250)
    start_response('200 OK', [])
    return [b'%d steps' % step]
",
            );
            let mut waiting = ["/own/meeting", "/other/meeting"].map(|path| server.begin(path));
            for connection in &mut waiting {
                let answer = connection.answer().expect(200);
                assert_eq!(answer.text(), "250 steps", "{version}, {mode:?}");
            }
        }
    }
}

/// A file of these bytes that scripts map into their memory.
fn memory(server: &Server, bytes: &[u8]) -> File {
    let path = server.path("data/memory");
    std::fs::write(&path, bytes).expect("mine");
    std::fs::set_permissions(&path, Permissions::from_mode(0o666)).expect("mine");
    let file = File::options().write(true).open(&path);
    file.expect("just written")
}

/// DIR-091, API-021: code that never gives its GIL up in an interpreter with its own one holds nobody else up. With the GIL of
/// the process it would: nothing else could answer.
#[test]
#[ignore = "needs several Pythons: make test-pythons"]
fn a_gil_holds_up_its_own_interpreter_only() {
    for version in several() {
        for mode in [Mode::Embedded, Mode::Daemon] {
            let server = gils(Mpm::Event, mode, &version).start();
            // Longer than any test: the switch interval is what Python waits before it asks for the GIL back. Nothing in
            // the loop gives it up on its own.
            server.case(
                "spinning",
                "import mmap, sys\nsys.setswitchinterval(10000)\nfile = open('{data}/memory', 'r+b')\nmemory = mmap.mmap(file.fileno(), 1)\nopen('{data}/spinning', 'w').close()\nwhile memory[0] == 0:\n    pass\n\ndef application(environ, start_response):\n    start_response('200 OK', [])\n    return [b'spun']\n",
            );
            let mut file = memory(&server, &[0]);
            let mut waiting = server.begin("/own/spinning");
            wait_until("the loop", || {
                server.path("data/spinning").exists().then_some(())
            });
            for path in ["/case/facts", "/shared/facts"] {
                for _ in 0..5 {
                    assert_eq!(fact(&server, path, "version"), version);
                }
            }
            file.write_all(&[1]).expect("mine");
            let answer = waiting.answer().expect(200);
            assert_eq!(answer.text(), "spun", "{version}");
        }
    }
}

/// DMN-432: the stacks of requests that take too long, of those too that run under another GIL meanwhile.
#[test]
#[ignore = "needs several Pythons: make test-pythons"]
fn stacks_behind_every_gil() {
    for version in several() {
        let server = gils(Mpm::Event, Mode::Daemon, &version)
            .daemon_options(&format!(
                "processes=1 threads=5 python-version={version} request-timeout=1 graceful-timeout=0 shutdown-timeout=1"
            ))
            .start();
        for text in ["WSGI0146", "WSGI0147", "'live'"] {
            server.allow_log(text);
        }
        server.case(
            "holding",
            "import os\n\ndef holds_here():\n    open('{data}/held', 'a').close()\n    while not os.path.exists('{data}/go'):\n        pass\n\ndef application(environ, start_response):\n    holds_here()\n    start_response('200 OK', [])\n    return [b'held']\n",
        );
        let _held: Vec<_> = ["/own/holding", "/shared/holding", "/case/holding"]
            .into_iter()
            .map(|path| server.begin(path))
            .collect();
        for interpreter in [
            "main interpreter",
            "sub-interpreter 'own'",
            "sub-interpreter 'shared'",
        ] {
            wait_until(interpreter, || {
                let headings = server.log().matching("Stack of thread ");
                let found = headings.iter().any(|record| record.contains(interpreter));
                found.then_some(())
            });
        }
        let frames = server.wait_for_logs("in holds_here", 3);
        assert_eq!(frames.len(), 3, "{version}: {frames:?}");
        for frame in frames {
            let line = frame.contains("holding.wsgi\", line 5")
                || frame.contains("holding.wsgi\", line 6");
            assert!(line, "{}", frame.line);
        }
    }
}
