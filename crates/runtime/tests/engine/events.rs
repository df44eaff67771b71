//! Events. In a sub-interpreter each, as subscribers stay.

use wsgi_runtime_api::Outcome;

use crate::python;

/// API-300 to API-304, API-310 to API-320: the events of a request, with their payloads.
#[test]
fn events_of_a_request() {
    let script = python().script(
        "import mod_wsgi, sys
seen = []
@mod_wsgi.subscribe_events
def subscriber(name, **event):
    seen.append((name, event))
    if name == 'request_started':
        assert event['request_environ']['PATH_INFO'] == '/'
        assert event['request_data'] is mod_wsgi.request_data()
        return {'application_object': other, 'added': 1}
    if name == 'response_started':
        event['response_headers'].append(('X-Added', 'yes'))

@mod_wsgi.subscribe_events
def second(name, **event):
    if name == 'request_started':
        assert event['added'] == 1 and event['application_object'] is other
    raise ValueError('in a subscriber')

def application(environ, start_response):
    assert False, 'replaced'

def other(environ, start_response):
    if environ['QUERY_STRING']:
        keys = [(name, sorted(event)) for name, event in seen]
        values = seen[-1][1]
        del mod_wsgi.event_callbacks[:]
        start_response('200 OK', [])
        return [repr((keys, values)).encode()]
    environ['wsgi.input'].read()
    start_response('200 OK', [])
    return [b'abc', b'de']
",
    );
    let request = || {
        let request = python()
            .request(&script)
            .group("events")
            .set("mod_wsgi.request_id", "id7");
        request.post(b"12345")
    };
    let answer = request().run();
    assert_eq!(
        (answer.outcome(), &*answer.text()),
        (Outcome::Complete, "abcde")
    );
    assert_eq!(answer.header("X-Added"), Some("yes"));
    assert!(answer.has_error("WSGI0112: ") && answer.has_error("ValueError: in a subscriber"));
    let text = request().set("QUERY_STRING", "x").run().text();
    for part in [
        "('request_started', ['application_object', 'application_start', 'callable_object', 'daemon_connects', 'daemon_restarts', 'daemon_start', 'queue_start', 'request_data', 'request_environ', 'request_id', 'request_start', 'server_pid', 'thread_id'])",
        "('response_started', ['exception_info', 'request_data', 'request_id', 'response_headers', 'response_status'])",
        "('request_finished', ['application_finish', 'application_time', 'cpu_system_time', 'cpu_time', 'cpu_user_time', 'daemon_start', 'gil_wait_count', 'gil_wait_time', 'input_length', 'input_reads', 'input_time', 'output_length', 'output_time', 'output_writes', 'queue_start', 'request_data', 'request_id', 'request_start', 'server_pid', 'status', 'thread_id'])",
    ] {
        assert!(text.contains(part), "{part} is not in {text}");
    }
}

/// API-320, API-325: what is counted, and exceptions.
#[test]
fn counts_and_exceptions() {
    let script = python().script(
        "import mod_wsgi
last = {}
@mod_wsgi.subscribe_events
def subscriber(name, **event):
    last[name] = event

def application(environ, start_response):
    if environ['QUERY_STRING'] == 'report':
        e = last['request_finished']
        text = repr([e[k] for k in ('input_length', 'output_writes', 'output_length', 'status')])
        text += repr(last['request_exception']['exception_info'][:2])
        start_response('200 OK', [])
        return [text.encode()]
    environ['wsgi.input'].read()
    start_response('201 OK', [])
    yield b'abc'
    yield b'de'
    raise KeyError('mine')
",
    );
    // A generator function is never a plain application: two scripts in one.
    let script = {
        let source = std::fs::read_to_string(&script).unwrap().replace(
            "        start_response('200 OK', [])\n        return [text.encode()]\n",
            "        start_response('200 OK', [])\n        yield text.encode()\n        return\n",
        );
        python().script(&source)
    };
    let request = || python().request(&script).group("counts").post(b"12345");
    assert_eq!(request().run().outcome(), Outcome::CutShort);
    let text = request().set("QUERY_STRING", "report").run().text();
    assert_eq!(text, "[5, 2, 5, 201](<class 'KeyError'>, KeyError('mine'))");
}

/// API-130 to API-132: subscribing returns the callback; signals only in daemons.
#[test]
fn subscribing() {
    let script = python().script(&crate::evaluating(
        "import mod_wsgi as m
assert m.subscribe_events(5) == 5 and m.event_callbacks == [5]
del m.event_callbacks[:]
assert m.subscribe_shutdown(print) is print and m.shutdown_callbacks == [print]
assert m.subscribe_signals(print) is print and m.signal_callbacks == []
del m.shutdown_callbacks[:]
return 'checked'",
    ));
    assert_eq!(
        python()
            .request(&script)
            .group("subscribing")
            .run()
            .is_fine()
            .text(),
        "checked"
    );
}
