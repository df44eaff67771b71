//! Beginning and end of interpreters: import scripts, what does not wait for what, and finalisation.

use wsgi_harness::{Mode, Mpm, Site, matrix, subject, wait_until};

use super::{fact, group_of, site};

/// DIR-090, KD-38, API-013, API-060, API-062, API-063: at the end of a process interpreters are finalised, threads are waited for and
/// `atexit` runs, where nothing is said too; or none of it.
fn ends(mpm: Mpm, mode: Mode) {
    let text = "import atexit, threading, time, mod_wsgi

stopping = threading.Event()

def note(text):
    with open('{data}/notes', 'a') as f:
        f.write('%s %s\\n' % (mod_wsgi.application_group or 'main', text))

atexit.register(note, 'atexit')

@mod_wsgi.subscribe_shutdown
def stop(name, **event):
    note(name)
    stopping.set()

def outlasts():
    stopping.wait()
    while ENDLESS:
        time.sleep(0.01)
    time.sleep(0.1)
    note('thread')

if not mod_wsgi.application_group or EVERYWHERE:
    # Of itself it would be one, as threads of requests are.
    threading.Thread(target=outlasts, daemon=False).start()

def application(environ, start_response):
    start_response('200 OK', [])
    return []
";
    // With a thread in a sub-interpreter the original's process does not get to the end of Python.
    let threads_everywhere = subject().is_ours();
    for destroys in [true, false] {
        let python = |truth: bool| if truth { "True" } else { "False" };
        let text = text
            .replace("ENDLESS", python(!destroys))
            .replace("EVERYWHERE", python(threads_everywhere));
        let server = Site::new(mpm, mode)
            // Longer than the test waits: what was waited for would be seen.
            .daemon_options("processes=1 threads=2 shutdown-timeout=600")
            .config("ServerLimit 1\nMaxRequestWorkers 16\nStartServers 1")
            .config(if destroys {
                ""
            } else {
                "WSGIDestroyInterpreter Off"
            })
            .script("/main", &text)
            .config("WSGIScriptAlias /one {apps}/main.wsgi application-group=one")
            .start();
        server.get("/main").expect(200);
        server.get("/one").expect(200);
        // The only slot is taken while the old child ends.
        server.allow_log("AH03490");
        let path = server.path("data/notes");
        let mut processes = server.children();
        processes.extend(server.daemons());
        server.graceful();
        server.wait_until_gone(&processes);
        let mut expected: Vec<&str> = if destroys {
            vec![
                "main atexit",
                "main process_stopping",
                "main thread",
                "one atexit",
                "one process_stopping",
                "one thread",
            ]
        } else {
            vec!["main process_stopping", "one process_stopping"]
        };
        expected.retain(|note| threads_everywhere || *note != "one thread");
        let notes = || {
            let text = std::fs::read_to_string(&path).unwrap_or_default();
            let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
            lines.sort_unstable();
            lines
        };
        wait_until("the end of the interpreters", || {
            (notes() == expected).then_some(())
        });
    }
}
matrix!(ends: event);

/// A script that says in `{data}/NAME` that it is being loaded, and loads until `{data}/go` is there.
fn slow(name: &str) -> String {
    format!(
        "import os, time\nopen('{{data}}/{name}', 'w').close()\nwhile not os.path.exists('{{data}}/go'):\n    time.sleep(0.01)\n\ndef application(environ, start_response):\n    start_response('200 OK', [])\n    return [b'{name}']\n"
    )
}

/// REQ-603, API-043, API-050: while a script is being loaded, other scripts of its interpreter are loaded and served; its own
/// requests wait for it.
fn imports_do_not_wait(mpm: Mpm, mode: Mode) {
    let server = Site::new(mpm, mode)
        .daemon_options("processes=1 threads=5")
        .config("ServerLimit 1\nMaxRequestWorkers 16")
        .script("/loaded", "def application(environ, start_response):\n    start_response('200 OK', [])\n    return [b'loaded']\n")
        .cases()
        .start();
    server.get("/loaded").expect(200);
    let url = server.case("slow", &server.fill(&slow("slow")));
    let mut waiting = [server.begin(&url), server.begin(&url)];
    wait_until("the slow script", || {
        server.path("data/slow").exists().then_some(())
    });
    if subject().differs("REQ-603") {
        assert_eq!(server.get("/loaded").expect(200).text(), "loaded");
        let other = server.case("other", "def application(environ, start_response):\n    start_response('200 OK', [])\n    return [b'other']\n");
        assert_eq!(server.get(&other).expect(200).text(), "other");
    }
    server.write("data/go", "");
    for connection in &mut waiting {
        let answer = connection.answer().expect(200);
        assert_eq!(answer.text(), "slow");
    }
    let loads = server.log().matching("Load script").into_iter();
    if subject().is_ours() {
        assert_eq!(
            loads.filter(|record| record.contains("/slow.wsgi")).count(),
            1
        );
    }
}
matrix!(imports_do_not_wait: event);

/// API-019: while an interpreter is being made, requests for others are served.
fn interpreters_do_not_wait(mpm: Mpm, mode: Mode) {
    let wait = "import os, time\nopen('{data}/making', 'w').close()\nwhile not os.path.exists('{data}/go'):\n    time.sleep(0.01)\n";
    let config = "WSGIScriptAlias /slow {apps}/facts.wsgi application-group=slow
        <WSGIInterpreterOptions application-group=slow>
            WSGIPythonPath {dir}/lib
        </WSGIInterpreterOptions>";
    let server = site(mpm, mode, config)
        .daemon_options("processes=1 threads=5")
        .config("ServerLimit 1\nMaxRequestWorkers 16")
        .file("lib/wait.pth", "import holding_up\n")
        .file("lib/holding_up.py", wait)
        .start();
    assert_eq!(fact(&server, "one", "group"), "one");
    let mut waiting = [server.begin("/slow"), server.begin("/slow")];
    wait_until("the interpreter", || {
        server.path("data/making").exists().then_some(())
    });
    if subject().differs("API-019") {
        assert_eq!(fact(&server, "main", "group"), "");
        // Often enough that every thread has had one.
        for _ in 0..20 {
            assert_eq!(fact(&server, "one", "group"), "one");
        }
    }
    server.write("data/go", "");
    for connection in &mut waiting {
        let answer = connection.answer().expect(200);
        assert_eq!(answer.line("group").as_deref(), Some("slow"));
    }
}
matrix!(interpreters_do_not_wait: event);

/// DIR-044: an interpreter is made by the first request for it, in each process for itself, and stays.
fn made_on_demand(mpm: Mpm, mode: Mode) {
    let server = site(mpm, mode, "ServerLimit 1\nMaxRequestWorkers 16")
        .daemon_options("processes=1 threads=3")
        .file(
            "apps/count.wsgi",
            "import sys

def application(environ, start_response):
    sys.requests = getattr(sys, 'requests', 0) + 1
    start_response('200 OK', [])
    return [str(sys.requests).encode()]
",
        )
        .config(
            "WSGIDaemonProcess second processes=1 threads=1
            WSGIScriptAliasMatch ^/count/([a-z]+) {apps}/count.wsgi
            <Location /count>\nWSGIApplicationGroup counted\n</Location>
            <Location /count/other>\nWSGIApplicationGroup other\n</Location>
            <Location /count/second>\nWSGIProcessGroup second\n</Location>",
        )
        .start();
    fact(&server, "main", "pid");
    let made = || server.log().count("interpreter 'counted'");
    assert_eq!(made(), 0, "nobody has asked for it");
    let count = |path: &str| server.get(path).expect(200).text();
    for number in 1..=6 {
        assert_eq!(count("/count/it"), number.to_string());
    }
    assert!(made() > 0);
    assert_eq!(count("/count/other"), "1");
    assert_eq!(count("/count/second"), "1");
    assert_eq!(count("/count/it"), "7");
    assert_eq!(count("/count/second"), "2");
}
matrix!(made_on_demand: event);

/// DIR-077, DIR-078, DIR-079, XPN-25, API-049, REQ-600: import scripts are loaded once, in the order of the file, on the main thread;
/// requests use what they loaded, and one that fails keeps none of the others away.
fn import_scripts(mpm: Mpm, mode: Mode) {
    let own = group_of(mode);
    let note = |name: &str| {
        format!(
            "import threading, mod_wsgi\nwith open('{{data}}/order', 'a') as f:\n    f.write('{name} %s %s\\n' % (mod_wsgi.application_group, threading.current_thread() is threading.main_thread()))\n"
        )
    };
    let import = |name: &str, group: &str| {
        format!(
            "WSGIImportScript {{apps}}/{name}.wsgi process-group={own} application-group={group}\n"
        )
    };
    let config = import("b", "one")
        + &import("raises", "one")
        + &import("missing", "one")
        + &import("exits", "one")
        + &import("wrong", "%{GLOBAL}")
        + &import("literal", "%{SERVER}")
        + "WSGIScriptAlias /a {apps}/a.wsgi application-group=one process-group="
        + own
        + "\n"
        + &import("c", "two");
    let serving = "\ndef application(environ, start_response):\n    start_response('200 OK', [])\n    return [__name__.encode()]\n";
    let server = Site::new(mpm, mode)
        .daemon_options("processes=1 threads=2")
        .config("ServerLimit 1\nMaxRequestWorkers 16")
        .file("apps/a.wsgi", &(note("a") + serving))
        .file("apps/b.wsgi", &(note("b") + serving))
        .file("apps/c.wsgi", &note("c"))
        .file(
            "apps/raises.wsgi",
            &(note("raises") + "raise ValueError('in raises')\n"),
        )
        .file(
            "apps/exits.wsgi",
            &(note("exits") + "raise SystemExit(3)\n"),
        )
        .file("apps/wrong.wsgi", "def (:\n")
        .file("apps/literal.wsgi", &note("literal"))
        .config(&config)
        .config("WSGIScriptAlias /b {apps}/b.wsgi application-group=one")
        .start();
    server.get("/a").expect(200);
    server.get("/b").expect(200);
    let order = std::fs::read_to_string(server.path("data/order")).expect("scripts were loaded");
    let expected =
        // XPN-25: any other form is a name like any other.
        ["b one", "raises one", "exits one", "literal %{SERVER}", "a one", "c two"].map(|name| format!("{name} True"));
    assert_eq!(order.lines().collect::<Vec<_>>(), expected);
    for (code, script) in [
        ("WSGI0110", "raises.wsgi"),
        ("WSGI0108", "exits.wsgi"),
        ("WSGI0106", "missing.wsgi"),
        ("WSGI0106", "wrong.wsgi"),
    ] {
        let records = server.log().matching(code);
        assert!(
            records.iter().any(|record| record.contains(script)),
            "{code} {script}"
        );
        server.expect_log(code);
    }
    // The tracebacks.
    server.allow_log("WSGI0174");
    server.allow_log("WSGI0175");
}
matrix!(import_scripts: event);
