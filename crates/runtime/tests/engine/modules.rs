//! The modules `mod_wsgi` and `apache`, and what the set-up did.

use crate::{evaluate, python};

/// REQ-851, API-100, API-110 to API-119, REQ-850: the module and its attributes.
#[test]
fn the_module_mod_wsgi() {
    let script = python().script(&crate::evaluating(
        "import sys, mod_wsgi as m
assert sys.modules['mod_wsgi'] is m
assert m.__doc__ is None and m.__loader__ is None and m.__package__ is None and m.__spec__ is None
assert not hasattr(m, '__file__')
assert m.version == (6, 1, 1)
assert m.implementation == 'mod_wsgi-rs' and m.implementation_version == '0.1.0'
assert m.process_group == '' and m.maximum_processes == 2 and m.threads_per_process == 15
assert m.event_callbacks == [] and m.shutdown_callbacks == [] and m.signal_callbacks == []
assert type(m.active_requests) is dict
assert m.RequestTimeout.__mro__[1] is BaseException and m.RequestTimeout.__module__ == 'mod_wsgi'
assert m.FileWrapper.__name__ == 'FileWrapper'
for name in ('request_metrics', 'process_metrics', 'server_metrics', 'start_recording_metrics'):
    assert callable(getattr(m, name))
for name in ('subscribe_events', 'subscribe_shutdown', 'subscribe_signals'):
    try: getattr(m, name)(); assert False
    except TypeError: pass
import apache as a
assert a.version == (2, 4, 67) and a.maximum_processes == 16 and a.threads_per_process == 25
assert a.description == 'Apache/2.4.67 (Test)' and a.mpm_name == 'event' and a.build_date == '2026-01-01'
assert sys.argv == ['mod_wsgi'], sys.argv
assert sys.orig_argv == [], sys.orig_argv
return m.application_group",
    ));
    for group in ["", "module-of"] {
        assert_eq!(
            python()
                .request(&script)
                .group(group)
                .run()
                .is_fine()
                .text(),
            group
        );
    }
}

/// MET-61 to MET-64: the scoreboard of the host as a dict.
#[test]
fn server_metrics() {
    let text = evaluate(
        "import mod_wsgi
metrics = mod_wsgi.server_metrics()
assert metrics == {'server_limit': 1, 'thread_limit': 2, 'running_generation': 4, 'restart_time': 1700000000.0,
    'current_time': 1700000001.999999, 'running_time': 1, 'processes': [
        {'process_num': 0, 'pid': 77, 'generation': 3, 'quiescing': True, 'workers': [
            {'thread_num': 0, 'generation': 3, 'status': 'W', 'access_count': 2**64 - 1, 'bytes_served': 2**40,
             'start_time': 1700000000.5, 'stop_time': 1700000000.25, 'last_used': 1700000000.5, 'client': '::1',
             'request': 'GET /\\xe9 HTTP/1.1', 'vhost': 'site'},
            {'thread_num': 0, 'generation': 0, 'status': '.', 'access_count': 0, 'bytes_served': 0, 'start_time': 0.0,
             'stop_time': 0.0, 'last_used': 0.0, 'client': '', 'request': '', 'vhost': ''}]}]}, metrics
worker = metrics['processes'][0]['workers'][1]
assert type(worker['start_time']) is float and type(metrics['running_time']) is int
return 'fine'",
    );
    assert_eq!(text, "fine");
}

/// API-102: internal classes cannot be instantiated.
#[test]
fn internal_classes_make_no_instances() {
    let (text, _) = crate::raises("type(environ['wsgi.input'])()");
    assert!(text.starts_with("TypeError: "), "{text}");
}

/// API-018: the main thread of the main interpreter is the one that started Python.
#[test]
fn the_main_thread_is_the_process_s() {
    let text =
        evaluate("import threading\nreturn threading.current_thread() is threading.main_thread()");
    assert_eq!(text, "False");
}

/// API-039: signal.signal registers nothing, returns the handler and logs the caller.
#[test]
fn signals_are_intercepted() {
    let text = evaluate(
        "import signal, os
before = signal.getsignal(signal.SIGUSR1)
def handler(*args): pass
assert signal.signal(signal.SIGUSR1, handler) is handler
assert signal.getsignal(signal.SIGUSR1) == before
try: signal.signal(signal.SIGUSR1); assert False
except TypeError: pass
return type(signal.signal).__name__",
    );
    assert_eq!(text, "SignalIntercept");
    assert!(crate::host::is_logged(
        "Callback registration for signal 10 ignored"
    ));
}

/// API-133, API-118: the data of the running request.
#[test]
fn data_of_the_request() {
    let script = python().script(
        "import mod_wsgi, threading
def application(environ, start_response):
    data = mod_wsgi.request_data()
    assert data == {} and mod_wsgi.request_data() is data
    data['mine'] = 1
    assert mod_wsgi.active_requests[environ['mod_wsgi.request_id']] is data
    out = []
    def other():
        try: mod_wsgi.request_data()
        except RuntimeError: out.append('RuntimeError')
    t = threading.Thread(target=other); t.start(); t.join()
    start_response('200 OK', [])
    return [out[0].encode()]
",
    );
    for _ in 0..2 {
        let request = python()
            .request(&script)
            .set("mod_wsgi.request_id", "the-id");
        assert_eq!(request.run().is_fine().text(), "RuntimeError");
    }
    assert_eq!(
        evaluate("import mod_wsgi\nreturn 'the-id' in mod_wsgi.active_requests"),
        "False"
    );
}
