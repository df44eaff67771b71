//! Applications and scripts that fail.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use wsgi_runtime_api::Outcome;

use crate::host::Wire;
use crate::python;

/// REQ-466, REQ-467: after the head an exception cuts the answer short.
#[test]
fn an_exception_after_the_head_cuts() {
    let answer = python().get_from(
        "def application(environ, start_response):
    start_response('200 OK', [])
    yield b'some'
    raise ValueError('late')
",
    );
    assert_eq!(
        (answer.outcome(), &*answer.text()),
        (Outcome::CutShort, "some")
    );
    assert!(answer.has_error("ValueError: late"));
}

/// REQ-468, REQ-469, API-053: SystemExit and other BaseExceptions are exceptions like any other; the former has its own
/// code.
#[test]
fn base_exceptions_are_caught() {
    for (exception, code) in [
        ("SystemExit(3)", "WSGI0175: "),
        ("KeyboardInterrupt", "WSGI0174: "),
        ("GeneratorExit", "WSGI0174: "),
    ] {
        let answer = python().get_from(&format!(
            "def application(environ, start_response):\n    raise {exception}\n"
        ));
        assert_eq!(answer.outcome(), Outcome::Failed);
        assert!(
            answer.errors()[0].starts_with(code),
            "{:?}",
            answer.errors()
        );
    }
}

/// REQ-800: the header names exception, script, interpreter and location and has the code first; the lines after it are
/// continuations, and blank ones are skipped.
#[test]
fn the_report_of_an_exception() {
    let script = python().script(
        "def application(environ, start_response):
    raise ValueError('one\\n\\ntwo')
",
    );
    let answer = python().request(&script).group("reported").run();
    let (header, lines) = answer
        .log
        .iter()
        .filter(|(level, ..)| *level == 3)
        .collect::<Vec<_>>()
        .split_first()
        .map(|(header, lines)| {
            (
                (*header).clone(),
                lines.iter().map(|line| (*line).clone()).collect::<Vec<_>>(),
            )
        })
        .unwrap();
    assert_eq!(header.1, wsgi_runtime_api::LOG_CODE_FIRST);
    for part in [
        "ValueError",
        script.to_str().unwrap(),
        "sub-interpreter 'reported'",
        "embedded",
    ] {
        assert!(header.2.contains(part), "{header:?}");
    }
    assert!(
        lines
            .iter()
            .all(|(_, flags, _)| *flags == wsgi_runtime_api::LOG_CONTINUATION)
    );
    assert!(lines.iter().all(|(_, _, text)| !text.is_empty()));
    assert_eq!(lines.last().unwrap().2, "two");
}

/// REQ-801: chained exceptions and notes are there too.
#[test]
fn chained_exceptions_are_reported() {
    let answer = python().get_from(
        "def application(environ, start_response):
    try:
        raise KeyError('cause')
    except KeyError as cause:
        raise ValueError('effect') from cause
",
    );
    assert!(answer.has_error("KeyError: 'cause'") && answer.has_error("ValueError: effect"));
    assert!(answer.has_error("direct cause"));
}

/// REQ-470, WSGI0089: a script without the callable is "not found" in both modes.
#[test]
fn a_missing_callable_is_not_found() {
    let script = python().script("x = 1\n");
    for flags in [0, wsgi_runtime_api::REQUEST_DAEMON] {
        let answer = python().request(&script).flags(flags).run();
        assert_eq!(answer.outcome(), Outcome::NotFound);
        assert!(
            answer.errors()[0].contains("WSGI0089: "),
            "{:?}",
            answer.errors()
        );
    }
}

/// REQ-471, API-046, REQ-604: scripts that cannot be loaded, by cause; each request tries again.
#[test]
fn scripts_that_cannot_be_loaded() {
    for (source, code, text) in [
        ("def f(:\n", "WSGI0105: ", "SyntaxError"),
        (
            "raise ValueError('at import')\n",
            "WSGI0109: ",
            "ValueError: at import",
        ),
        ("raise SystemExit(12)\n", "WSGI0107: ", "SystemExit: 12"),
        ("x = '\0'\n", "WSGI0105: ", "null bytes"),
    ] {
        let script = python().script(source);
        for _ in 0..2 {
            let answer = python().request(&script).run();
            assert_eq!(answer.outcome(), Outcome::Failed);
            assert!(
                answer.errors()[0].starts_with(code),
                "{:?}",
                answer.errors()
            );
            assert!(answer.has_error(text), "{:?}", answer.errors());
            let header = if text.starts_with("SystemExit") {
                "WSGI0175: "
            } else {
                "WSGI0174: "
            };
            assert!(answer.has_error(header), "{:?}", answer.errors());
        }
        std::fs::write(
            &script,
            "def application(e, s):\n    s('200 OK', [])\n    return []\n",
        )
        .unwrap();
        python().request(&script).run().is_fine();
    }
    let answer = python()
        .request(&python().folder().join("missing.wsgi"))
        .run();
    assert_eq!(answer.outcome(), Outcome::Failed);
    assert!(answer.has_error("WSGI0105: "));
    assert!(
        answer.has_error("FileNotFoundError: [Errno 2] No such file or directory: '"),
        "{:?}",
        answer.errors()
    );
}

/// REQ-480 to REQ-482, API-116: an interrupt reaches the application; uncaught it is a time-out, and the next request of the
/// thread is not hit.
#[test]
fn an_interrupt_is_a_timeout() {
    let script = python().script(
        "import time, mod_wsgi, sys
assert issubclass(mod_wsgi.RequestTimeout, BaseException)
assert not issubclass(mod_wsgi.RequestTimeout, Exception)
def application(environ, start_response):
    if environ['QUERY_STRING'] == 'quick':
        start_response('200 OK', [])
        return [b'quick']
    print('waiting')
    start_response('200 OK', [])
    if environ['QUERY_STRING'] == 'late':
        return late()
    while True:
        time.sleep(0.001)

def late():
    yield b'x'
    while True:
        time.sleep(0.001)
",
    );
    // An interrupt while the script is loaded is an exception of the script.
    python()
        .request(&script)
        .set("QUERY_STRING", "quick")
        .run()
        .is_fine();
    for (query, outcome) in [("", Outcome::TimedOut), ("late", Outcome::CutShort)] {
        let request = python().request(&script).set("QUERY_STRING", query);
        let quick = python().request(&script).set("QUERY_STRING", "quick");
        let (id, its_id) = std::sync::mpsc::channel();
        let worker = std::thread::spawn(move || {
            id.send(crate::host::thread_number(python())).unwrap();
            (request.run(), quick.run())
        });
        let id = its_id.recv().unwrap();
        while !python().runtime.interrupt(id) {
            std::thread::yield_now();
        }
        let (answer, next) = worker.join().unwrap();
        // It may have come before the application was called, which is a time-out all the same.
        let expected = if answer.status.is_some() {
            outcome
        } else {
            Outcome::TimedOut
        };
        assert_eq!(answer.outcome(), expected, "{:?}", answer.log);
        assert!(!answer.has_error("WSGI"), "{:?}", answer.log);
        next.is_fine();
        assert!(!python().runtime.interrupt(id));
    }
}

/// REQ-482: an interrupt behind the last line of Python that a request runs does not hit the next one of its thread.
#[test]
fn an_interrupt_that_comes_too_late_is_forgotten() {
    // What is left to do for an iterator of a list once its only item is on its way is no Python code.
    let script = python().script(
        "def application(environ, start_response):
    start_response('200 OK', [])
    return iter([b'sent'])
",
    );
    for group in ["", "too-late"] {
        let request = || python().request(&script).group(group);
        request().run().is_fine();
        let was_raised = Arc::new(AtomicBool::new(false));
        let (id, raised) = (
            crate::host::thread_number(python()),
            Arc::clone(&was_raised),
        );
        let interrupt = move || {
            let other = std::thread::spawn(move || python().runtime.interrupt(id));
            raised.fetch_or(other.join().unwrap(), Ordering::Relaxed);
        };
        let wire = Wire {
            while_sending: Some(Arc::new(interrupt)),
            ..Wire::default()
        };
        let answer = request().wire(wire).run();
        assert!(was_raised.load(Ordering::Relaxed), "{group}");
        assert_eq!((answer.is_fine().text(), group), ("sent".to_owned(), group));
        let next = request().run();
        assert_eq!(next.is_fine().text(), "sent", "{group}");
    }
}

/// DMN-432: stacks of the threads that run requests are logged.
#[test]
fn stacks_are_dumped() {
    let script = python().script(
        "import threading
arrived, go = threading.Event(), threading.Event()
def waits_in_here():
    arrived.set()
    go.wait()
def application(environ, start_response):
    start_response('200 OK', [])
    if environ['QUERY_STRING'] == 'go':
        arrived.wait()
        return [b'ready']
    if environ['QUERY_STRING'] == 'end':
        go.set()
        return []
    waits_in_here()
    return [b'']
",
    );
    let request = python().request(&script);
    let worker = std::thread::spawn(move || request.run());
    python()
        .request(&script)
        .set("QUERY_STRING", "go")
        .run()
        .is_fine();
    python().runtime.dump_stacks();
    python().runtime.probe();
    python()
        .request(&script)
        .set("QUERY_STRING", "end")
        .run()
        .is_fine();
    worker.join().unwrap().is_fine();
    assert!(
        crate::host::is_logged("in waits_in_here"),
        "{:?}",
        crate::host::log()
    );
}
