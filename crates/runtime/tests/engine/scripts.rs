//! Script files as modules.

use std::sync::atomic::Ordering;

use wsgi_runtime_api::{Outcome, REQUEST_DAEMON, REQUEST_SCRIPT_RELOADING};

use crate::host::{LOADED, touch};
use crate::{evaluate, python};

/// REQ-600, REQ-601, API-045: the module of a script.
#[test]
fn a_script_is_a_module() {
    let text = evaluate(
        "import sys, hashlib
name = '_mod_wsgi_' + hashlib.md5(__file__.encode()).hexdigest()
assert __name__ == name, __name__
module = sys.modules[name]
assert module.__dict__ is globals()
assert getattr(module, '__cached__', None) is None and module.__package__ is None
assert module.__spec__.name == name and module.__loader__ is module.__spec__.loader
import os
assert module.__mtime__ == os.stat(__file__).st_mtime_ns // 1000
assert os.path.dirname(__file__) not in sys.path
assert not os.path.exists(os.path.join(os.path.dirname(__file__), '__pycache__'))
return 'checked'",
    );
    assert_eq!(text, "checked");
}

/// REQ-602: an encoding cookie is honoured.
#[test]
fn the_encoding_of_a_script() {
    let source = b"# coding: latin-1\ndef application(e, s):\n    s('200 OK', [])\n    return [ascii('\xe9').encode()]\n";
    let script = python().file("latin.wsgi", source);
    assert_eq!(python().request(&script).run().is_fine().text(), r"'\xe9'");
}

/// DMN-450, DP-100: that a script was loaded is told.
#[test]
fn the_host_is_told_of_scripts() {
    let before = LOADED.load(Ordering::Relaxed);
    let script = python().script("def application(environ, start_response):\n    start_response('200 OK', [])\n    return [str(environ).encode()]\n");
    python().request(&script).run().is_fine();
    assert!(LOADED.load(Ordering::Relaxed) > before);
}

const COUNTING: &str = "import time
count = __import__('sys').__dict__.setdefault('loads_of_' + __name__, [])
count.append(1)
def application(environ, start_response):
    start_response('200 OK', [])
    return [str(len(count)).encode()]
";

/// REQ-610, REQ-613, REQ-615, API-048: embedded, another modification time (older too) loads the script again.
#[test]
fn a_changed_script_is_loaded_again() {
    let script = python().script(COUNTING);
    let run = || python().request(&script).run().is_fine().text();
    touch(&script, 1000);
    assert_eq!([run(), run()], ["1", "1"]);
    touch(&script, 2000);
    assert_eq!([run(), run()], ["2", "2"]);
    touch(&script, 500);
    assert_eq!([run(), run()], ["3", "3"]);
    assert!(python().request(&script).run().log.is_empty());
    touch(&script, 600);
    let answer = python().request(&script).run();
    assert!(
        answer
            .log
            .iter()
            .any(|(level, _, text)| *level == 6 && text.starts_with("Reload script"))
    );
}

/// REQ-623: not with WSGIScriptReloading Off.
#[test]
fn a_changed_script_is_kept_if_reloading_is_off() {
    let script = python().script(COUNTING);
    let run = || {
        let mut request = python().request(&script);
        request.flags &= !REQUEST_SCRIPT_RELOADING;
        request.run().is_fine().text()
    };
    touch(&script, 1000);
    assert_eq!(run(), "1");
    touch(&script, 2000);
    assert_eq!(run(), "1");
}

/// REQ-621: a daemon reports the change before anything of the request is run or read.
#[test]
fn a_daemon_reports_a_changed_script() {
    let script = python().script(COUNTING);
    let run = || {
        python()
            .request(&script)
            .flags(REQUEST_DAEMON)
            .post(b"body")
            .run()
    };
    touch(&script, 1000);
    assert_eq!(run().text(), "1");
    touch(&script, 2000);
    for _ in 0..2 {
        let answer = run();
        assert_eq!(
            (answer.outcome(), answer.status.as_deref()),
            (Outcome::Reload, None)
        );
        assert_eq!((answer.read, answer.asked), (0, 0));
    }
}

/// REQ-610, API-047: `__mtime__` that is no int, or is gone, and a file that cannot be examined mean a reload.
#[test]
fn other_reasons_for_a_reload() {
    for change in ["__mtime__ = None", "del __mtime__"] {
        let script = python().script(&format!(
            "def application(environ, start_response):
    global __mtime__
    start_response('200 OK', [])
    if environ['QUERY_STRING']:
        {change}
    return [b'']
"
        ));
        let run = |query: &str| {
            python()
                .request(&script)
                .set("QUERY_STRING", query)
                .flags(REQUEST_DAEMON)
                .run()
        };
        run("").is_fine();
        run("x").is_fine();
        assert_eq!(run("").outcome(), Outcome::Reload, "{change}");
    }
    let script = python().script(COUNTING);
    python().request(&script).run().is_fine();
    std::fs::remove_file(&script).unwrap();
    assert_eq!(
        python()
            .request(&script)
            .flags(REQUEST_DAEMON)
            .run()
            .outcome(),
        Outcome::Reload
    );
    // REQ-616: embedded, the old version is gone.
    assert_eq!(python().request(&script).run().outcome(), Outcome::Failed);
}

/// REQ-610, REQ-611: `reload_required` of the script is asked, with the file that the URL mapped to; its exceptions count as
/// no.
#[test]
fn the_script_itself_may_ask_for_a_reload() {
    let handler = python().script(
        "def reload_required(resource):
    if resource.endswith('raise'):
        raise ValueError('asked')
    return resource.endswith('yes')

def handle_request(environ, start_response):
    start_response('200 OK', [])
    return [b'handled']
",
    );
    let run = |resource: &str| {
        let mut request = python().request(&python().folder().join(resource));
        request.handler_script = handler.to_str().unwrap().into();
        request.callable = "handle_request".to_owned();
        request.flags(REQUEST_DAEMON).run()
    };
    assert_eq!(run("no").is_fine().text(), "handled");
    assert_eq!(run("no").outcome(), Outcome::Complete);
    assert_eq!(run("yes").outcome(), Outcome::Reload);
    let answer = run("raise");
    assert_eq!(answer.outcome(), Outcome::Complete);
    assert!(answer.has_error("ValueError: asked"));
}

/// REQ-603 FIX, API-050 FIX: a request waits for the import of its own script, and of no other; a script is loaded once
/// however many requests come first.
#[test]
fn a_slow_import_delays_nobody_else() {
    let gate = python().script(
        "import threading
arrived, go = threading.Event(), threading.Event()
def application(environ, start_response):
    start_response('200 OK', [])
    if environ['QUERY_STRING'] == 'go': go.set()
    else: arrived.wait()
    return [b'']
",
    );
    let module = {
        let answer = python().request(&python().script(&format!(
            "import sys, hashlib
name = '_mod_wsgi_' + hashlib.md5({:?}.encode()).hexdigest()
def application(environ, start_response):
    start_response('200 OK', [])
    return [name.encode()]
",
            gate.to_str().unwrap()
        )));
        answer.run().text()
    };
    // Loads the gate, and calls nothing of it.
    let mut load = python().request(&gate);
    load.callable = "none".to_owned();
    assert_eq!(load.run().outcome(), Outcome::NotFound);
    let slow = python().script(&format!(
        "import sys
gate = sys.modules[{module:?}]
gate.arrived.set()
gate.go.wait()
{COUNTING}"
    ));
    let workers: Vec<_> = (0..4)
        .map(|_| {
            let request = python().request(&slow);
            std::thread::spawn(move || request.run())
        })
        .collect();
    // Served while the others wait; `arrived` says that the import has begun.
    python().request(&gate).run().is_fine();
    python()
        .request(&gate)
        .set("QUERY_STRING", "go")
        .run()
        .is_fine();
    for worker in workers {
        assert_eq!(worker.join().unwrap().is_fine().text(), "1");
    }
}

/// REQ-640, API-046: a script that is loaded at start serves requests; failures are logged with the codes of the process.
#[test]
fn scripts_are_loaded_at_start() {
    let script = python().script(COUNTING);
    let path = script.to_str().unwrap().as_bytes().to_vec();
    assert!(python().on_main(move |runtime| runtime.load(&path, b"").unwrap()));
    assert_eq!(python().request(&script).run().is_fine().text(), "1");
    for (source, code) in [
        ("def f(:\n", "WSGI0106: "),
        ("raise SystemExit\n", "WSGI0108: "),
        ("1 / 0\n", "WSGI0110: "),
    ] {
        let script = python().script(source);
        let path = script.to_str().unwrap().to_owned();
        let name = path.clone();
        assert!(!python().on_main(move |runtime| runtime.load(path.as_bytes(), b"").unwrap()));
        assert!(
            crate::host::log()
                .iter()
                .any(|(level, text)| *level == 3 && text.starts_with(code) && text.contains(&name))
        );
    }
}
