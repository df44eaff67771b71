//! A process with the settings of a daemon: paths, environment, restrictions, signals. Python starts once in it.
#![allow(clippy::unwrap_used)] // test code

mod host;

use std::path::PathBuf;
use std::sync::OnceLock;

use host::{Python, settings};
use wsgi_core::python::{HashSeed, InterpreterRule, PythonSettings};

fn folder() -> PathBuf {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER
        .get_or_init(|| {
            let folder = tempfile::tempdir().unwrap().keep();
            for name in ["one", "two", "rule", "block", "linked", "home"] {
                std::fs::create_dir(folder.join(name)).unwrap();
            }
            let link = format!("{}\n", folder.join("linked").display());
            std::fs::write(folder.join("one/link.pth"), link).unwrap();
            folder
        })
        .clone()
}

fn python() -> &'static Python {
    Python::get(|| {
        let folder = folder();
        let path = |name: &str| folder.join(name).to_str().unwrap().to_owned();
        let rule = InterpreterRule::default;
        let mut facts = settings().facts;
        facts.multiprocess = false;
        PythonSettings {
            process_group: "the-group".to_owned(),
            path: vec![path("one"), path("two")],
            working_directory: Some(path("home")),
            eggs: Some("/tmp/the-eggs".to_owned()),
            optimize: 1,
            warnings: vec![
                "ignore::UserWarning".to_owned(),
                "error::FutureWarning".to_owned(),
            ],
            dont_write_bytecode: true,
            hash_seed: HashSeed::Random,
            switch_interval: Some(0.25),
            interpreters: vec![
                InterpreterRule {
                    path: vec![path("rule")],
                    switch_interval: Some(0.125),
                    ..rule()
                },
                InterpreterRule {
                    application_group: Some("own-gil".to_owned()),
                    per_interpreter_gil: Some(true),
                    ..rule()
                },
                InterpreterRule {
                    application_group: Some("barred".to_owned()),
                    path: vec![path("block")],
                    restrict_stdin: Some(true),
                    restrict_stdout: Some(true),
                    restrict_signal: Some(false),
                    switch_interval: Some(0.0625),
                    ..rule()
                },
            ],
            environment: vec![
                ("HOME".to_owned(), "/the/home".to_owned(), true),
                ("NOT_SET_BEFORE".to_owned(), "x".to_owned(), false),
            ],
            facts,
            ..settings()
        }
    })
}

/// The text that an expression has in a group.
#[track_caller]
fn value(group: &str, statements: &str, expression: &str) -> String {
    let script = python().script(&format!(
        "{statements}
def application(environ, start_response):
    text = str({expression})
    start_response('200 OK', [])
    return [text.encode()]
"
    ));
    let answer = python().request(&script).group(group).run();
    answer.is_fine();
    answer.text()
}

/// API-020, API-027, API-029, DIR-099: the layers of sys.path, the later ones first, the working directory before all.
#[test]
fn layers_of_the_search_path() {
    let expression = "[p.rpartition('/')[2] for p in sys.path[:6]]";
    let main = value("", "import sys", expression);
    assert!(
        main.starts_with("['home', 'rule', 'one', 'linked', 'two', "),
        "{main}"
    );
    let barred = value("barred", "import sys", expression);
    assert!(
        barred.starts_with("['home', 'block', 'rule', 'one', 'linked', 'two'"),
        "{barred}"
    );
    assert!(host::is_logged("/two' to sys.path"));
}

/// API-030, API-031: the environment as Python and its children see it.
#[test]
fn the_environment() {
    let code = "import os, subprocess";
    assert_eq!(value("", code, "os.environ['HOME']"), "/the/home");
    assert_eq!(
        value(
            "",
            code,
            "subprocess.check_output('echo -n $HOME', shell=True)"
        ),
        "b'/the/home'"
    );
    assert_eq!(value("", code, "'NOT_SET_BEFORE' in os.environ"), "False");
    assert_eq!(
        value("other", code, "os.environ['PYTHON_EGG_CACHE']"),
        "/tmp/the-eggs"
    );
}

/// API-011, API-012 FIX, DIR-085, DIR-088: flags of Python; a random hash seed is random.
#[test]
fn flags_of_python() {
    let flags = "sys.flags.optimize, sys.flags.dont_write_bytecode, sys.flags.hash_randomization";
    assert_eq!(value("", "import sys", &format!("({flags})")), "(1, 1, 1)");
    let options = value("", "import sys", "sys.warnoptions");
    assert_eq!(options, "['ignore::UserWarning', 'error::FutureWarning']");
    // With the fixed seed 0, of 6.1, this is a known number.
    let hash = "import subprocess, sys";
    let known = "subprocess.check_output(['python3', '-c', 'print(hash(\"x\"), end=\"\")'], env={'PYTHONHASHSEED': '0', 'PATH': '/usr/bin'}).decode()";
    assert_ne!(value("", "", "hash('x')"), value("", hash, known));
}

/// API-033, REQ-563: barred streams raise OSError that names them.
#[test]
fn barred_streams() {
    for stream in ["stdin", "stdout"] {
        let code = format!(
            "import sys
try:
    sys.{stream}.fileno
    result = 'nothing'
except OSError as error:
    result = str(error)"
        );
        let text = value("barred", &code, "result");
        assert!(
            text.contains(stream) && text.contains("restricted"),
            "{text}"
        );
    }
    assert_eq!(
        value("", "import sys", "type(sys.stdout).__name__"),
        "TextIOWrapper"
    );
    assert_eq!(value("", "import sys", "sys.stdin.read()"), "");
}

/// API-040: with WSGIRestrictSignal Off, CPython's own rules apply.
#[test]
fn signals_with_the_restriction_off() {
    let code = "import signal
try:
    signal.signal(signal.SIGUSR1, print)
    result = 'nothing'
except ValueError:
    result = 'ValueError'";
    assert_eq!(value("barred", code, "result"), "ValueError");
    assert_eq!(
        value(
            "",
            "import signal",
            "signal.signal(signal.SIGUSR1, print) is print"
        ),
        "True"
    );
}

/// API-024 FIX, DP-54 FIX: the daemon's switch interval wins, and no new interpreter undoes it; one of a block is refused
/// where the GIL is shared.
#[test]
fn the_switch_interval() {
    let interval = || value("", "import sys", "sys.getswitchinterval()");
    assert_eq!(interval(), "0.25");
    value("barred", "", "1");
    value("another", "", "1");
    assert_eq!(interval(), "0.25");
    assert!(host::is_logged("WSGI0199: "));
}

/// API-111, ENV-41: what Python sees of the group.
#[test]
fn facts_of_the_group() {
    assert_eq!(
        value("", "import mod_wsgi", "mod_wsgi.process_group"),
        "the-group"
    );
    assert_eq!(
        value(
            "",
            "",
            "(environ['wsgi.multithread'], environ['wsgi.multiprocess'])"
        ),
        "(True, False)"
    );
}

/// API-132, API-330: signals reach the subscribers of every interpreter.
#[test]
fn signals_are_published() {
    let code = "import mod_wsgi
seen = []
mod_wsgi.subscribe_signals(lambda name, **event: seen.append((name, event['signame'], event['signum'])))";
    let script = python().script(&format!(
        "{code}
def application(environ, start_response):
    start_response('200 OK', [])
    return [repr(seen).encode()]
"
    ));
    for group in ["", "signals"] {
        assert_eq!(python().request(&script).group(group).run().text(), "[]");
    }
    python().runtime.publish_signal("SIGUSR2", 12);
    for group in ["", "signals"] {
        let text = python().request(&script).group(group).run().text();
        assert_eq!(text, "[('process_signal', 'SIGUSR2', 12)]");
    }
}

/// API-010: SIGPIPE is ignored, SIGINT is not taken over.
#[test]
fn dispositions_of_signals() {
    python();
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let mask = |name: &str| {
        let line = status.lines().find(|line| line.starts_with(name)).unwrap();
        u64::from_str_radix(line.split_whitespace().nth(1).unwrap(), 16).unwrap()
    };
    let bit = |signal: i32| 1 << (signal - 1);
    assert_ne!(mask("SigIgn:") & bit(libc::SIGPIPE), 0);
    assert_eq!(mask("SigCgt:") & bit(libc::SIGINT), 0);
}

/// API-021: an interpreter with a GIL of its own (from Python 3.12 on, else it shares the one) serves many threads beside
/// those of the main interpreter, with errors, threads and our own objects in it.
#[test]
fn an_interpreter_with_its_own_gil() {
    let script = python().script(
        "import io, json, threading, mod_wsgi
class Item:
    pass

def application(environ, start_response):
    out = []
    def run():
        print('in a thread')
        out.append(environ['wsgi.input'].read())
        try:
            int('x')
        except ValueError as error:
            out.append(str(error))
    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if environ['QUERY_STRING']:
        raise KeyError('asked for')
    list(mod_wsgi.FileWrapper(io.BytesIO(b'x' * 10), 3))
    start_response('200 OK', [])
    return [json.dumps([out[0].decode(), mod_wsgi.application_group]).encode()]
",
    );
    let threads: Vec<_> = (0..4)
        .map(|thread| {
            let script = script.clone();
            std::thread::spawn(move || {
                for round in 0..50 {
                    let group = if (thread + round) % 3 == 0 {
                        ""
                    } else {
                        "own-gil"
                    };
                    let body = format!("{thread}-{round}");
                    let request = python().request(&script).group(group).post(body.as_bytes());
                    if round % 5 == 0 {
                        let answer = request.set("QUERY_STRING", "x").run();
                        assert!(answer.has_error("KeyError: 'asked for'"), "{answer:?}");
                    } else {
                        let text = request.run().is_fine().text();
                        assert_eq!(text, format!("[\"{body}\", \"{group}\"]"));
                    }
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
    let version = python().runtime.version();
    assert_eq!(
        host::is_logged("Create interpreter 'own-gil' with its own GIL"),
        version.minor >= 12
    );
}

/// DMN-440: a probe has an answer when every GIL can be had, also that of an interpreter with its own. One C call that
/// keeps the GIL makes both files.
#[test]
fn a_probe_waits_for_every_gil() {
    let folder = tempfile::tempdir().unwrap();
    let script = python().script(
        "import ctypes
def application(environ, start_response):
    folder = environ['FOLDER']
    command = 'touch %s/begun; sleep 0.7; touch %s/done' % (folder, folder)
    ctypes.PyDLL(None).system(command.encode())
    start_response('200 OK', [])
    return []
",
    );
    let path = folder.path().to_str().unwrap().to_owned();
    let request = python()
        .request(&script)
        .group("own-gil")
        .set("FOLDER", &path);
    let worker = std::thread::spawn(move || request.run());
    while !folder.path().join("begun").exists() {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    python().runtime.probe();
    assert!(folder.path().join("done").exists());
    worker.join().unwrap().is_fine();
}
