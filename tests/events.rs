//! Events for Python code: which are published when, with what, and what a subscriber can change.

use wsgi_harness::{Mode, Mpm, Request, Server, Site, matrix, wait_until};

const RECORDING: &str = include_str!("apps/recording.wsgi");

/// The lines that a script has written to `{data}/events`, once there are as many as wanted.
fn lines(server: &Server, count: usize) -> Vec<String> {
    let read = || std::fs::read_to_string(server.path("data/events")).unwrap_or_default();
    wait_until("the events", || {
        let lines: Vec<String> = read().lines().map(str::to_owned).collect();
        (lines.len() >= count).then_some(lines)
    })
}

/// A server whose scripts are written with [`Server::case`]; each in an interpreter of its own name, as subscribers stay.
fn server(mpm: Mpm, mode: Mode, options: &str) -> Server {
    Site::new(mpm, mode)
        .daemon_options(&format!("processes=1 threads=2 {options}"))
        .config("ServerLimit 1\nMaxRequestWorkers 16")
        .modules(&["setenvif"])
        .config(
            "SetEnvIf Request_URI ^/case/([a-z]+) INTERPRETER=$1
            WSGIScriptAliasMatch ^/case/([a-z]+) {apps}/$1.wsgi application-group=%{ENV:INTERPRETER}",
        )
        .file("apps/placeholder.txt", "")
        .start()
}

/// A script that writes `name` and `text`, an expression, of each event.
fn noting(text: &str, rest: &str) -> String {
    format!(
        "import mod_wsgi

def note(text):
    with open('{{data}}/events', 'a') as f:
        f.write(text + '\\n')

@mod_wsgi.subscribe_events
def subscriber(name, **event):
    note('%s %s' % (name, {text}))

{rest}"
    )
}

/// API-112, API-118, API-130, API-133, API-300, API-301, API-304, API-310, API-315, API-320, API-331, API-900, API-902 to API-904,
/// REQ-804: the events of a request and of the end of a process, their keys and types, and how the values of one agree with the
/// environ and with one another. A list that is handed out may be changed.
fn payloads(mpm: Mpm, mode: Mode) {
    let server = Site::new(mpm, mode)
        .daemon_options("processes=1 threads=2")
        .script("/", RECORDING)
        .start();
    let answer = server
        .send(&Request::post("/?checked", "12345"))
        .expect(201);
    assert_eq!(answer.text(), "abcde");
    assert_eq!(answer.header("X-Added"), Some("by a subscriber"));
    let request = "thread_id:int";
    let started = format!(
        "request_started application_object:function application_start:float callable_object:str daemon_connects:int daemon_restarts:int daemon_start:float queue_start:float request_data:dict request_environ:dict request_start:float server_pid:int {request}"
    );
    let finished = format!(
        "request_finished application_finish:float application_time:float daemon_start:float gil_wait_count:int gil_wait_time:float input_length:int input_reads:int input_time:float output_length:int output_time:float output_writes:int queue_start:float request_data:dict request_start:float server_pid:int status:int {request}"
    );
    let response = "response_started exception_info:NoneType request_data:dict response_headers:list response_status:str";
    assert_eq!(lines(&server, 3), [started.as_str(), response, &finished]);
    server.graceful();
    assert_eq!(lines(&server, 4)[3], "process_stopping shutdown_reason:str");
}
matrix!(payloads: event);

/// API-300, API-301: subscribers are called in their order, those of all events first; what one returns is seen by those after
/// it, what it does to its own arguments is not.
fn order(mpm: Mpm, mode: Mode) {
    let server = server(mpm, mode, "");
    let text = "import mod_wsgi

def note(text):
    with open('{data}/events', 'a') as f:
        f.write(text + '\\n')

@mod_wsgi.subscribe_shutdown
def of_the_end(name, **event):
    note('end %s %s' % (name, event.get('added')))

@mod_wsgi.subscribe_events
def first(name, **event):
    note('first %s %s' % (name, event.get('added')))
    event['added'] = 'lost'
    return {'added': 'returned'}

@mod_wsgi.subscribe_events
def second(name, **event):
    note('second %s %s' % (name, event.get('added')))
    return 'no dict'

mod_wsgi.subscribe_events(second)

def application(environ, start_response):
    mod_wsgi.event_callbacks.remove(second)
    start_response('200 OK', [])
    return [b'fine']
";
    let url = server.case("order", text);
    assert_eq!(server.get(&url).expect(200).text(), "fine");
    lines(&server, 7);
    server.graceful();
    let expected = [
        "first request_started None",
        "second request_started returned",
        "second request_started returned",
        "first response_started None",
        "second response_started returned",
        "first request_finished None",
        "second request_finished returned",
        "first process_stopping None",
        "second process_stopping returned",
        "end process_stopping returned",
    ];
    assert_eq!(lines(&server, expected.len()), expected);
}
matrix!(order: event);

/// REQ-852, API-301: a subscriber of `request_started` may have another application called.
fn another_application(mpm: Mpm, mode: Mode) {
    let server = server(mpm, mode, "");
    let url = server.case(
        "other",
        "import mod_wsgi

@mod_wsgi.subscribe_events
def subscriber(name, **event):
    if name == 'request_started' and event['request_environ']['QUERY_STRING']:
        return {'application_object': wrapped(event['application_object'])}

def wrapped(application):
    def wrapper(environ, start_response):
        return [b'wrapped '] + application(environ, start_response)
    return wrapper

def application(environ, start_response):
    start_response('200 OK', [])
    return [b'application']
",
    );
    for _ in 0..2 {
        assert_eq!(server.get(&url).expect(200).text(), "application");
        let answer = server.get(&format!("{url}?x")).expect(200);
        assert_eq!(answer.text(), "wrapped application");
    }
}
matrix!(another_application: event);

/// API-302: an exception of a subscriber is logged and changes nothing, SystemExit neither.
fn subscribers_that_fail(mpm: Mpm, mode: Mode) {
    let server = server(mpm, mode, "");
    let url = server.case(
        "failing",
        "import mod_wsgi

@mod_wsgi.subscribe_events
def first(name, **event):
    raise ValueError('in a subscriber of ' + name)

@mod_wsgi.subscribe_events
def second(name, **event):
    raise SystemExit(1)

mod_wsgi.subscribe_events('no callable')

@mod_wsgi.subscribe_events
def last(name, **event):
    with open('{data}/events', 'a') as f:
        f.write(name + '\\n')

def application(environ, start_response):
    start_response('200 OK', [])
    return [b'fine']
",
    );
    assert_eq!(server.get(&url).expect(200).text(), "fine");
    assert_eq!(
        lines(&server, 3),
        ["request_started", "response_started", "request_finished"]
    );
    for event in ["request_started", "response_started", "request_finished"] {
        server.wait_for_log(&format!("ValueError: in a subscriber of {event}"));
    }
    for code in ["WSGI0112", "WSGI0190", "'str' object is not callable"] {
        server.wait_for_log(code);
    }
    for code in ["WSGI0112", "WSGI0190", "WSGI0174", "WSGI0175"] {
        server.allow_log(code);
    }
}
matrix!(subscribers_that_fail: event);

/// API-303, API-119: events are for those who are subscribed at that moment, also in the middle of a request.
fn subscribing_meanwhile(mpm: Mpm, mode: Mode) {
    let server = server(mpm, mode, "");
    let url = server.case(
        "meanwhile",
        "import mod_wsgi

def subscriber(name, **event):
    with open('{data}/events', 'a') as f:
        f.write('%s %s\\n' % (name, 'cpu_time' in event))

def application(environ, start_response):
    if subscriber in mod_wsgi.event_callbacks:
        mod_wsgi.event_callbacks.remove(subscriber)
    else:
        mod_wsgi.subscribe_events(subscriber)
    start_response('200 OK', [])
    return [b'fine']
",
    );
    server.get(&url).expect(200);
    assert_eq!(
        lines(&server, 2),
        ["response_started False", "request_finished False"]
    );
    server.get(&url).expect(200);
    server.get(&url).expect(200);
    assert_eq!(
        lines(&server, 5)[2..],
        [
            "request_started False",
            "response_started False",
            "request_finished False"
        ]
    );
}
matrix!(subscribing_meanwhile: event);

/// API-054, API-315, API-325, API-903: what an application raises, from where, and with which status it ends.
fn exceptions(mpm: Mpm, mode: Mode) {
    let server = server(mpm, mode, "");
    let url = server.case(
        "raising",
        &noting(
            "' '.join('%s' % (value[1] if value else value) for key, value in event.items() if key == 'exception_info') + ' '.join('%s' % value for key, value in event.items() if key == 'status')",
            "class Items:
    def __init__(self, action):
        self.action = action

    def __iter__(self):
        yield b'begun'
        if 'iteration' in self.action:
            raise ValueError('in the iteration')

    def close(self):
        if 'close' in self.action:
            raise ValueError('in close')

class Stubborn(Items):
    @property
    def close(self):
        raise KeyError('no close')

def application(environ, start_response):
    action = environ['QUERY_STRING']
    if action == 'call':
        raise ValueError('in the call')
    if action == 'again':
        try:
            raise ValueError('handled')
        except ValueError:
            import sys
            start_response('200 OK', [])
            start_response('503 Sorry', [], sys.exc_info())
            return [b'sorry']
    if action == 'never':
        return [b'unasked']
    start_response('200 OK', [])
    return (Stubborn if action == 'stubborn' else Items)(action)
",
        ),
    );
    let mut seen = 0;
    for (action, expected) in [
        (
            "call",
            &[
                "request_started ",
                "request_exception in the call",
                "request_finished 500",
            ][..],
        ),
        (
            "again",
            &[
                "request_started ",
                "response_started None",
                "response_started handled",
                "request_finished 503",
            ],
        ),
        (
            "iteration",
            &[
                "request_started ",
                "response_started None",
                "request_exception in the iteration",
                "request_finished 200",
            ],
        ),
        (
            "iteration+close",
            &[
                "request_started ",
                "response_started None",
                "request_exception in the iteration",
                "request_exception in close",
                "request_finished 200",
            ],
        ),
        (
            "stubborn",
            &[
                "request_started ",
                "response_started None",
                "request_exception 'no close'",
                "request_finished 200",
            ],
        ),
    ] {
        let mut connection = server.connect();
        connection.send_bytes(Request::get(&format!("{url}?{action}")).close().bytes());
        // Cut short, some of them.
        let _ = connection.read_to_end();
        let all = lines(&server, seen + expected.len());
        assert_eq!(all[seen..], *expected, "{action}");
        seen = all.len();
    }
    server.expect_log("WSGI0194");
    server.expect_log("KeyError: 'no close'");
    for text in [
        "in the call",
        "in the iteration",
        "in close",
        "WSGI0174",
        "WSGI0193",
    ] {
        server.allow_log(text);
    }
    // An answer that nobody started.
    server.get(&format!("{url}?never")).expect(500);
    let all = lines(&server, seen + 2);
    assert_eq!(all[seen], "request_started ");
    assert_eq!(all.last().map(String::as_str), Some("request_finished 500"));
    server.allow_log("response");
}
matrix!(exceptions: event);

/// API-325: a script that cannot be loaded raises no event, and neither does a request that ran out of its time, which ends
/// with the status 504.
#[test]
fn what_is_no_exception() {
    let server = server(
        Mpm::Event,
        Mode::Daemon,
        "request-timeout=1 interrupt-timeout=60 graceful-timeout=60",
    );
    let url = server.case(
        "late",
        &noting(
            "event.get('status')",
            "import time

def application(environ, start_response):
    while environ['QUERY_STRING']:
        time.sleep(0.01)
    start_response('200 OK', [])
    return []
",
        ),
    );
    server.get(&format!("{url}?x")).expect(504);
    assert_eq!(
        lines(&server, 2),
        ["request_started None", "request_finished 504"]
    );
    for text in ["WSGI0146", "WSGI0147", "'live'"] {
        server.allow_log(text);
    }
    // Without a limit, which an import on a busy machine may reach.
    let server = self::server(Mpm::Event, Mode::Daemon, "");
    let url = server.case("broken", &noting("event.get('status')", "import nowhere\n"));
    server.get(&url).expect(500);
    assert!(lines(&server, 0).is_empty());
    server.expect_log("No module named 'nowhere'");
    for text in ["WSGI0174", "WSGI0109"] {
        server.allow_log(text);
    }
}

/// A script that notes the reason of its end and its exit functions, and holds requests with a query until `{data}/go` is there.
const ENDING: &str = "import atexit, os, time

def note(text):
    with open('{data}/events', 'a') as f:
        f.write(text + '\\n')

def at_exit():
    note('atexit')
    while os.path.exists('{data}/hold'):
        time.sleep(0.01)
    note('after')

import mod_wsgi
mod_wsgi.subscribe_events(lambda name, **event: note('%s %s.' % (name, event['shutdown_reason'])) if name == 'process_stopping' else None)
atexit.register(at_exit)

def application(environ, start_response):
    if environ['QUERY_STRING']:
        open('{data}/holding', 'w').close()
    while environ['QUERY_STRING'] and not os.path.exists('{data}/go'):
        time.sleep(0.01)
    start_response('200 OK', [])
    return [str(os.getpid()).encode()]
";

/// Starts a request that is held by [`ENDING`], and ends the daemon that runs it.
fn end_while_held(server: &Server) -> (wsgi_harness::Connection, wsgi_harness::Process) {
    let mut connection = server.connect();
    connection.send_bytes(Request::get("/?hold").bytes());
    wait_until("the request", || {
        server.path("data/holding").exists().then_some(())
    });
    let daemon = server.daemons().remove(0);
    daemon.signal(nix::sys::signal::Signal::SIGTERM);
    server.allow_log("'live'");
    (connection, daemon)
}

fn ending(mode: Mode, options: &str) -> Server {
    Site::new(Mpm::Event, mode)
        .daemon_options(&format!("processes=1 threads=2 {options}"))
        .config("ServerLimit 1\nMaxRequestWorkers 16")
        .script("/", ENDING)
        .start()
}

/// API-060, API-061, API-331: a daemon tells of its end while requests still run, an Apache child when they have ended, and
/// without a reason; exit functions come last.
#[test]
fn the_end_is_told_first() {
    let server = ending(Mode::Daemon, "shutdown-timeout=60");
    let (mut held, old) = end_while_held(&server);
    assert_eq!(lines(&server, 1), ["process_stopping shutdown_signal."]);
    server.write("data/go", "");
    held.read_answer("GET").expect("an answer").expect(200);
    server.wait_until_gone(&[old]);
    assert_eq!(
        lines(&server, 3),
        ["process_stopping shutdown_signal.", "atexit", "after"]
    );

    let server = ending(Mode::Embedded, "");
    server.get("/").expect(200);
    server.allow_log("AH03490");
    server.graceful();
    assert_eq!(lines(&server, 3), ["process_stopping .", "atexit", "after"]);
}

/// API-064: a process that is ended by force at `shutdown-timeout` runs no exit functions.
#[test]
fn a_forced_end() {
    let server = ending(Mode::Daemon, "shutdown-timeout=1");
    let (_held, old) = end_while_held(&server);
    server.wait_until_gone(&[old]);
    assert_eq!(lines(&server, 1), ["process_stopping shutdown_signal."]);
    for text in ["WSGI0146", "WSGI0147"] {
        server.allow_log(text);
    }
}

/// API-066: when httpd stops, it does not wait for exit functions that do not end.
#[test]
fn exit_functions_that_do_not_end() {
    let server = ending(Mode::Daemon, "shutdown-timeout=600");
    server.get("/").expect(200);
    server.write("data/hold", "");
    let events = server.path("data/events");
    for text in [
        "AH00045",
        "AH00046",
        "WSGI5",
        "still did not exit",
        "'live'",
    ] {
        server.allow_log(text);
    }
    assert!(!events.exists());
    server.stop();
}
