//! Failures behind the headers: an answer that is visibly cut short, and a body that is closed.

use std::collections::HashSet;
use std::time::Duration;

use wsgi_harness::{
    Curl, Level, Mode, Mpm, Record, Request, Site, app, matrix, subject, wait_until,
};

use super::{server, still_answers};

/// REQ-466, REQ-467, DMN-338: an exception behind the headers. The client must see that the answer is not whole.
fn behind_the_headers(mpm: Mpm, mode: Mode) {
    let server = server(mpm, mode);
    let rows = [
        (
            "chunked",
            "start_response('200 OK', [])\nyield b'begin'\nraise ValueError('in the middle')",
        ),
        (
            "sized",
            "start_response('200 OK', [('Content-Length', '100')])\nyield b'begin'\nraise ValueError('in the middle')",
        ),
        (
            "wrong-type",
            "start_response('200 OK', [])\nyield b'begin'\nyield 'in the middle'",
        ),
        (
            "exit",
            "start_response('200 OK', [])\nyield b'begin'\nsys.exit('in the middle')",
        ),
    ];
    for (name, body) in rows {
        let url = server.case(name, &app(body));
        for request in [Request::get(&url), Request::get(&url).http10()] {
            let mut connection = server.connect();
            connection.send_bytes(request.bytes());
            let answer = connection.read_answer("GET").expect("a head");
            assert_eq!(
                (answer.status, answer.text().as_str()),
                (200, "begin"),
                "{name}"
            );
            let row = if mode == Mode::Embedded {
                "REQ-466"
            } else {
                "REQ-467"
            };
            if subject().differs(row) {
                assert!(!answer.whole, "{name}: {}", answer.shown());
                assert!(connection.closes_within(Duration::from_secs(10)), "{name}");
            }
        }
        server.wait_for_log(&format!("{name}.wsgi]"));
    }
    still_answers(&server);
}
matrix!(behind_the_headers: event worker prefork);

/// REQ-444: close is called whatever happens, once.
fn close_after_failures(mpm: Mpm, mode: Mode) {
    let server = server(mpm, mode);
    let url = server.case(
        "closing",
        "class Body:\n    def __init__(self, how):\n        self.how = how\n    def __iter__(self):\n        yield b'begin'\n        if self.how == 'raise':\n            raise ValueError('on purpose')\n        if self.how == 'type':\n            yield 1\n    def close(self):\n        open('{data}/closed-' + self.how, 'a').write('x')\n\ndef application(environ, start_response):\n    start_response('200 OK', [])\n    return Body(environ['QUERY_STRING'])\n",
    );
    for how in ["fine", "raise", "type"] {
        let mut connection = server.begin(&format!("{url}?{how}"));
        let _ = connection.read_answer("GET");
        let file = server.path(&format!("data/closed-{how}"));
        let text = wait_until("close", || {
            std::fs::read_to_string(&file)
                .ok()
                .filter(|text| !text.is_empty())
        });
        assert_eq!(text, "x", "{how}");
    }
    server.allow_log("closing.wsgi]");
}
matrix!(close_after_failures: event);

/// REQ-466, REQ-467, DMN-338: the same over HTTP/2: the stream is reset.
fn behind_the_headers_over_http2(mpm: Mpm, mode: Mode) {
    let server = Site::new(mpm, mode)
        .modules(&["http2"])
        .cases()
        .config("Protocols h2c http/1.1")
        .start();
    let url = server.case(
        "whole",
        &app("start_response('200 OK', [])\nyield b'begin'"),
    );
    let browser = Curl::http2(&server);
    let answer = browser.get(&url).expect(200);
    assert_eq!(
        (answer.version.as_str(), answer.text().as_str()),
        ("2", "begin")
    );
    let url = server.case(
        "cut",
        &app("start_response('200 OK', [])\nyield b'begin'\nraise ValueError('in the middle')"),
    );
    let answer = browser.get(&url);
    if subject().differs("DMN-338") {
        assert_ne!(answer.exit, 0, "{}", answer.head);
    }
    server.wait_for_log("ValueError: in the middle");
}
matrix!(behind_the_headers_over_http2: event worker);

/// REQ-448, REQ-490: what is more or less than its Content-Length is told at trace1, and so is a client that has gone; both at no
/// other level.
fn told_at_trace1(mpm: Mpm, mode: Mode) {
    let server = Site::new(mpm, mode)
        .log_level("notice wsgi:trace1")
        .config("KeepAliveTimeout 1")
        .cases()
        .start();
    let told = |name: &str| {
        let mut records = server.log().matching(&format!("{name}.wsgi] "));
        records.retain(|record| {
            let text = record.message();
            ["mismatch", "closed its connection", "Unable to write"]
                .iter()
                .any(|told| text.contains(told))
        });
        records
    };
    for (name, length, body) in [
        ("exact", 5, "[b'hello']"),
        ("longer", 3, "[b'hello', b'more']"),
        ("shorter", 50, "[b'hello']"),
        (
            "gone",
            1_000_000_000,
            "(b'x' * 65536 for _ in range(10**6))",
        ),
    ] {
        let url = server.case(
            name,
            &app(&format!(
                "start_response('200 OK', [('Content-Length', '{length}')])\nreturn {body}"
            )),
        );
        let mut connection = server.begin(&url);
        if name == "gone" {
            assert_eq!(connection.read_bytes(1000).len(), 1000);
            connection.abort();
        } else {
            let answer = connection.answer();
            assert_eq!(answer.whole, name != "shorter", "{}", answer.shown());
        }
        if name != "exact" {
            let records = wait_until(name, || Some(told(name)).filter(|found| !found.is_empty()));
            assert_eq!(records.len(), 1, "{records:?}");
            assert_eq!(records[0].level, Level::Debug, "{records:?}");
        }
    }
    assert!(told("exact").is_empty());
}
matrix!(told_at_trace1: event);

/// REQ-800, REQ-807: a report is one record a line, in order, whose thread writes nothing in between, however many report at the same
/// time; only the first has a prefix.
fn reports_of_many_threads(mpm: Mpm, mode: Mode) {
    let server = Site::new(mpm, mode)
        .cases()
        .daemon_options("processes=1 threads=8")
        .config("ServerLimit 1\nMaxRequestWorkers 16")
        .start();
    let url = server.case(
        "failing",
        "def application(environ, start_response):\n    name = environ['QUERY_STRING']\n    raise ValueError('\\n\\n'.join('%s line %d' % (name, at) for at in range(50)))\n",
    );
    server.allow_log("WSGI0174");
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let (server, url) = (&server, &url);
            scope.spawn(move || {
                for number in 0..10 {
                    server.get(&format!("{url}?{thread}-{number}")).expect(500);
                }
            });
        }
    });
    let last = |record: &Record| record.contains(" line 49");
    let reports = wait_until("the last report", || {
        let mut reports = server.log().matching("WSGI0174");
        reports.retain(last);
        (reports.len() >= 80).then_some(reports)
    });
    let mut names = HashSet::new();
    for report in reports {
        let lines: Vec<&str> = report
            .traceback
            .iter()
            .filter_map(|line| line.rsplit_once("] ").map(|(_, text)| text))
            .skip_while(|line| !line.starts_with("ValueError: "))
            .collect();
        let (name, _) = lines[0]["ValueError: ".len()..]
            .split_once(' ')
            .expect("it has a name");
        assert_eq!(lines[0], format!("ValueError: {name} line 0"));
        assert_eq!(lines.len(), 50, "{report:?}");
        for (at, line) in lines.iter().enumerate().skip(1) {
            assert_eq!(*line, format!("{name} line {at}"));
        }
        names.insert(name.to_owned());
    }
    assert_eq!(names.len(), 80);
}
matrix!(reports_of_many_threads: event / embedded daemon);
