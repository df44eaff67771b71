//! What becomes of an interrupted request: its answer, what is logged, and the process, which lives on.

use wsgi_harness::Level;

use super::*;

const CLOSING: &str = "

class Answer:
    def __iter__(self):
        yield b'whole'

    def close(self):
        try:
            hold_here()
        except BaseException as error:
            open('{data}/' + type(error).__name__, 'w').close()
            raise


def application(environ, start_response):
    start_response('200 OK', [('Content-Length', '5')])
    return Answer()
";

/// Waits in a call that is no Python until `{data}/free` is there.
const BLOCKED: &str = "import os, threading, time

def blocked_here():
    end, begin = os.pipe()

    def set_free():
        while not os.path.exists('{data}/free'):
            time.sleep(0.01)
        os.write(begin, b'x')

    threading.Thread(target=set_free).start()
    os.read(end, 1)
    while True:
        pass


def application(environ, start_response):
    try:
        blocked_here()
    except BaseException as error:
        name = type(error).__name__, os.path.exists('{data}/free')
        open('{data}/%s-%s' % name, 'w').close()
        raise
";

/// REQ-481, DMN-434: before the head 504, behind it an answer that is cut short, and a line at info for each, no traceback. In
/// `close()` it is ignored: the answer was whole.
#[test]
fn interrupted_requests() {
    let server = server("request-timeout=1 interrupt-timeout=60");
    let again = || std::fs::remove_file(server.path("data/held")).expect("the application's");
    // Where the request's own lines say that it was interrupted.
    let told = |count: usize| {
        wait_until("the lines of interrupted requests", || {
            let mut records = server.log().matching("app.wsgi] ");
            records.retain(|record| record.message().contains("interrupted"));
            assert!(records.iter().all(|record| record.level == Level::Info));
            (records.len() == count).then_some(())
        });
    };
    let mut held = hold(&server, "/app?hold");
    assert_eq!(status(&mut held), 504);
    told(1);
    again();
    let mut held = hold(&server, "/app?begin");
    let answer = held.connection.answer();
    assert_eq!((answer.status, answer.text().as_str()), (200, "begin "));
    if subject().differs("REQ-466") {
        assert!(!answer.whole, "{}", answer.shown());
    }
    told(2);
    again();
    let url = server.case("closing", &format!("{TIMED}{CLOSING}"));
    let mut held = hold(&server, &url);
    assert_eq!(held.connection.answer().expect(200).text(), "whole");
    wait_until("the exception in close()", || {
        server.path("data/RequestTimeout").exists().then_some(())
    });
    assert_eq!(server.served_by("/app"), held.daemon.pid);
    for text in ["WSGI0174", "Traceback", "RequestTimeout: "] {
        assert_eq!(server.log().count(text), 0, "{text}");
    }
}

/// REQ-482: a call into C is not interrupted before it is back in Python.
#[test]
fn an_interrupt_of_a_call_into_c() {
    let server = server("request-timeout=1 interrupt-timeout=600");
    let url = server.case("blocked", BLOCKED);
    let mut blocked = server.begin(&url);
    server.wait_for_log("in blocked_here");
    server.write("data/free", "");
    assert_eq!(blocked.answer().status, 504);
    assert!(server.path("data/RequestTimeout-True").exists());
    assert_eq!(server.log().count("Traceback"), 0);
}

/// REQ-482: an application that catches the exception goes on, and its answer is like any other.
#[test]
fn an_interrupt_that_is_survived() {
    let server = server("request-timeout=1 interrupt-timeout=600");
    let mut held = hold(&server, "/app?defy");
    assert_eq!(holder(&server, "defied"), held.daemon.pid);
    server.write("data/go", "");
    let answer = held.connection.answer().expect(200);
    assert!(answer.whole, "{}", answer.shown());
    assert_eq!(answer.text(), held.daemon.pid.to_string());
    assert_eq!(server.served_by("/app"), held.daemon.pid);
    assert_eq!(server.log().count("Traceback"), 0);
}

/// DMN-433, DMN-434, DP-95: of two requests that take too long each is interrupted, and each has interrupt-timeout of its own. The one
/// that goes on may do so though the other one has ended; at its own time it ends the process.
#[test]
fn two_late_requests() {
    let server = server("threads=2 request-timeout=1 interrupt-timeout=6");
    let mut held = hold(&server, "/app?defy");
    let mut other = server.begin("/sub?hold");
    let answer = other.answer();
    assert_eq!(answer.status, 504, "{}", answer.shown());
    server.wait_for_logs("in hold_here", 2);
    assert_eq!(holder(&server, "defied"), held.daemon.pid);
    // On a machine so busy that its time is over already this proves nothing.
    let answer = server.get("/sub");
    assert_eq!(answer.status, 200, "{}", answer.shown());
    held.ends(&server, 502, "request_timeout");
}
