//! What counts as a request, as which class of status, and which bytes and writes are its own.

use wsgi_harness::telemetry::{Consumer, Kind};
use wsgi_harness::{Mode, Mpm, Request, matrix};

use super::{hold, let_go, reporting, wait_for_requests};

/// Answers in the manner that the query names.
const APP: &str = "import sys

class Breaking:
    def __iter__(self):
        return iter([b'x'])
    def close(self):
        raise ValueError('on purpose')

def application(environ, start_response):
    query = environ['QUERY_STRING']
    if query == 'read':
        environ['wsgi.input'].read()
    if query == 'read3':
        while environ['wsgi.input'].read(3):
            pass
    if query == 'write':
        write = start_response('200 OK', [])
        write(b'ab')
        write(b'c')
        return [b'd']
    if query == 'empty':
        start_response('200 OK', [])
        return []
    if query == 'gaps':
        start_response('200 OK', [])
        return [b'', b'x', b'']
    if query == 'file':
        start_response('200 OK', [])
        return environ['wsgi.file_wrapper'](open(__file__, 'rb'))
    if query == 'capped':
        start_response('200 OK', [('Content-Length', '2')])
        return [b'abcd']
    if query in ('199', '204', '304', '700'):
        start_response(query + ' Status', [('Content-Length', '0')] if query == '199' else [])
        return [b'x'] if query == '700' else []
    if query == 'bad':
        start_response('nothing', [])
        return [b'x']
    if query == 'twice':
        start_response('200 OK', [])
        try:
            raise ValueError
        except ValueError:
            start_response('503 Later', [], sys.exc_info())
        return [b'x']
    if query == 'number':
        start_response('200 OK', [])
        return 5
    if query == 'text':
        start_response('200 OK', [])
        return ['text']
    if query == 'close':
        start_response('200 OK', [])
        return Breaking()
    if query == 'exit':
        raise SystemExit(3)
    start_response('200 OK', [('Content-Length', '2')])
    return [b'ok']
";

const FIELDS: [&str; 9] = [
    "request_count",
    "status_1xx_total",
    "status_2xx_total",
    "status_3xx_total",
    "status_4xx_total",
    "status_5xx_total",
    "input_bytes_total",
    "output_bytes_total",
    "output_writes_total",
];

/// Query, class of the status that is counted, if any, bytes and writes.
const CASES: [(&str, Option<usize>, u64, u64); 16] = [
    ("ok", Some(2), 2, 1),
    ("write", Some(2), 4, 3),
    ("empty", Some(2), 0, 0),
    ("gaps", Some(2), 1, 1),
    // What the application gave, not what was sent of it.
    ("capped", Some(2), 4, 1),
    ("199", Some(1), 0, 0),
    ("204", Some(2), 0, 0),
    ("304", Some(3), 0, 0),
    // There is no such class.
    ("700", None, 1, 1),
    ("bad", Some(5), 0, 0),
    ("twice", Some(5), 1, 1),
    // The application had said so.
    ("number", Some(2), 0, 0),
    ("text", Some(2), 0, 0),
    ("close", Some(2), 1, 1),
    ("exit", Some(5), 0, 0),
    ("read", Some(2), 2, 1),
];

fn sums(consumer: &Consumer) -> [u64; 9] {
    let ticks = consumer.of(Kind::Request);
    FIELDS.map(|name| ticks.iter().map(|tick| tick.count(name)).sum())
}

/// MET-13, MET-32, MET-33, TEL-120, TEL-140, TEL-144: one request after the other, and what it adds.
fn requests(mpm: Mpm, mode: Mode) {
    let (consumer, site) = reporting(mpm, mode);
    let server = site
        .config("WSGIChunkedRequest On")
        .script("/count", APP)
        .start();
    for text in ["WSGI", "on purpose", "Traceback", "rror", "AH01"] {
        server.allow_log(text);
    }
    server.allow_raw_lines();
    let mut before = [0; 9];
    for (query, class, bytes, writes) in CASES {
        // What the client gets is not what this is about.
        let mut connection = server.begin(&format!("/count?{query}"));
        let _ = connection.read_answer("GET");
        wait_for_requests(&consumer, before[0] + 1);
        let after = sums(&consumer);
        let added: Vec<u64> = after
            .iter()
            .zip(before)
            .map(|(new, old)| new - old)
            .collect();
        let mut expected = vec![1, 0, 0, 0, 0, 0, 0, bytes, writes];
        if let Some(class) = class {
            expected[class] = 1;
        }
        assert_eq!(added, expected, "{query}");
        before = after;
    }
    // A body that is read in pieces, one that is not read, and one that is not wanted.
    let size = std::fs::metadata(server.path("apps/count.wsgi"))
        .expect("it is there")
        .len();
    let body = "0123456789\nabcdef\n";
    for (request, input, output) in [
        (Request::post("/count?read3", body), 18, 2),
        (
            Request::post("/count?read", body).header("Expect", "100-continue"),
            18,
            2,
        ),
        (
            Request::post("/count?read", "").chunked([body, body]),
            36,
            2,
        ),
        (Request::post("/count", body), 0, 2),
        (Request::head("/count"), 0, 2),
        (Request::get("/count?file"), 0, size),
    ] {
        server.send(&request).expect(200);
        wait_for_requests(&consumer, before[0] + 1);
        let after = sums(&consumer);
        assert_eq!(after[6] - before[6], input, "{request:?}");
        assert_eq!(after[7] - before[7], output, "{request:?}");
        before = after;
    }
}
matrix!(requests: event);

/// TEL-185, DMN-037: neither what other scripts decide about a request counts, nor what httpd answers by itself, nor a request that
/// waited too long for a thread.
fn what_does_not_count(mpm: Mpm, mode: Mode) {
    let (consumer, site) = reporting(mpm, mode);
    let server = site
        .modules(&["auth_basic", "authn_core", "authz_user"])
        .config(
            "WSGIDaemonProcess queue threads=1 queue-timeout=1\n\
             WSGIScriptAlias /queue {apps}/app.wsgi process-group=queue application-group=%{GLOBAL}\n\
             WSGIScriptAlias /access {apps}/app.wsgi\nWSGIScriptAlias /auth {apps}/app.wsgi\n\
             <Location /access>\nWSGIAccessScript {apps}/other.py\n</Location>\n\
             <Location /auth>\nAuthType Basic\nAuthName x\nAuthBasicProvider wsgi\nWSGIAuthUserScript {apps}/other.py\n\
             Require valid-user\n</Location>",
        )
        .file(
            "apps/other.py",
            "def allow_access(environ, host):\n    return True\n\ndef check_password(environ, user, password):\n    return True\n",
        )
        .start();
    server.allow_log("WSGI0084");
    server.get("/access").expect(200);
    let request = Request::get("/auth").header("Authorization", "Basic YTpi");
    server.send(&request).expect(200);
    server.get("/nowhere").expect(404);
    // The second one waits while the first one sleeps, for longer than it may.
    let mut first = hold(&server, "/queue?sleep=2.5&", "one");
    let mut second = server.begin("/queue");
    let_go(&server);
    assert_eq!(first.answer().status, 200);
    assert_eq!(second.answer().status, 504);
    wait_for_requests(&consumer, 3);
    // Nothing comes behind.
    for pid in consumer.of(Kind::Started).iter().map(|started| started.pid) {
        consumer.wait_for_more(Kind::Request, pid, 2);
    }
    assert_eq!(sums(&consumer)[0], 3);
    assert_eq!(sums(&consumer)[2], 3);
}
matrix!(what_does_not_count: event);
