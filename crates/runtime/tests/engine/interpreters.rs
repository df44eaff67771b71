//! Sub-interpreters, threads and what belongs to them.

use wsgi_runtime_api::Outcome;

use crate::{evaluating, python};

/// API-018, REQ-601: each group has its own modules; the same path in two of them is two modules.
#[test]
fn groups_are_apart() {
    let script = python().script(
        "import mod_wsgi
count = 0
def application(environ, start_response):
    global count
    count += 1
    start_response('200 OK', [])
    return [('%s %d' % (mod_wsgi.application_group, count)).encode()]
",
    );
    for (group, text) in [
        ("", " 1"),
        ("one", "one 1"),
        ("", " 2"),
        ("two", "two 1"),
        ("one", "one 2"),
    ] {
        assert_eq!(
            python()
                .request(&script)
                .group(group)
                .run()
                .is_fine()
                .text(),
            text
        );
    }
}

/// API-041, REQ-853: thread locals persist for a thread and interpreter; API-018: the thread that made a sub-interpreter is
/// its main thread.
#[test]
fn thread_locals_persist() {
    let script = python().script(
        "import mod_wsgi, sys, threading
seen = []
local = threading.local()
def application(environ, start_response):
    local.count = getattr(local, 'count', 0) + 1
    start_response('200 OK', [])
    is_main = threading.current_thread() is threading.main_thread()
    if sys.version_info >= (3, 13) and mod_wsgi.application_group:
        # CPython itself takes the process's main thread from here on.
        is_main = local.first = getattr(local, 'first', not seen)
        seen.append(1)
    return [('%d %s' % (local.count, is_main)).encode()]
",
    );
    let request = |group: &str| {
        python()
            .request(&script)
            .group(group)
            .run()
            .is_fine()
            .text()
    };
    for group in ["", "local-one", "local-two"] {
        let is_main = if group.is_empty() { "False" } else { "True" };
        assert_eq!(request(group), format!("1 {is_main}"));
        assert_eq!(request(group), format!("2 {is_main}"));
    }
    let here = std::thread::scope(|scope| scope.spawn(|| request("local-one")).join().unwrap());
    assert_eq!(here, "1 False");
    assert_eq!(request("local-one"), "3 True");
}

/// API-042: in the main interpreter the PyGILState interface finds the thread's state, so callbacks of C code work.
#[test]
fn callbacks_through_gil_state_work() {
    let script = python().script(&evaluating(
        "import ctypes
calls = []
function = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int)(lambda n: calls.append(n) or n + 1)
state = ctypes.pythonapi.PyGILState_GetThisThreadState
state.restype = ctypes.c_void_p
assert state()
return function(4), calls",
    ));
    assert_eq!(python().request(&script).run().is_fine().text(), "(5, [4])");
}

/// Fact 4 of the design: errors, drops and our own objects in sub-interpreters, from threads of Apache and of the
/// application, do not deadlock or leak into another interpreter.
#[test]
fn many_threads_in_many_groups() {
    let script = python().script(
        "import threading, weakref, mod_wsgi
class Item:
    pass

def in_thread(environ, out):
    print('from a thread in', mod_wsgi.application_group)
    try:
        out.append(environ['wsgi.input'].read())
        raise ValueError(str(int('x')))
    except ValueError as error:
        out.append(repr(error))
    out.append(list(mod_wsgi.FileWrapper(__import__('io').BytesIO(b'in thread'))))

def application(environ, start_response):
    out = []
    t = threading.Thread(target=in_thread, args=(environ, out))
    t.start()
    t.join()
    if environ['QUERY_STRING'] == 'raise':
        raise KeyError(environ['QUERY_STRING'])
    if environ['QUERY_STRING'] == 'wrong':
        start_response('200 OK', [('a', 'b\\n')])
    start_response('200 OK', [])
    item = Item(); ref = weakref.ref(item)
    del item
    assert ref() is None
    return [mod_wsgi.application_group.encode(), b' ', out[0]]
",
    );
    let groups = ["", "many-a", "many-b", "many-c"];
    let threads: Vec<_> = (0..6)
        .map(|thread| {
            let script = script.clone();
            std::thread::spawn(move || {
                for round in 0..60 {
                    let group = groups[(thread + round) % groups.len()];
                    let body = format!("{thread} {round}");
                    let query = ["", "raise", "", "wrong"][round % 4];
                    let request = python().request(&script).group(group).post(body.as_bytes());
                    let answer = request.set("QUERY_STRING", query).run();
                    if query.is_empty() {
                        assert_eq!(answer.is_fine().text(), format!("{group} {body}"));
                    } else {
                        assert_eq!(answer.outcome(), Outcome::Failed);
                        assert!(answer.has_error("WSGI0174: "));
                    }
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
}

/// API-019: several threads that need the same new interpreter get one.
#[test]
fn an_interpreter_is_created_once() {
    let script = python().script(&evaluating("return id(__import__('sys').modules)"));
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let request = python().request(&script).group("created-once");
            std::thread::spawn(move || request.run().is_fine().text())
        })
        .collect();
    let ids: Vec<_> = threads
        .into_iter()
        .map(|thread| thread.join().unwrap())
        .collect();
    assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    let created = crate::host::log();
    let created = created
        .iter()
        .filter(|(_, text)| text.contains("Create interpreter 'created-once'"));
    assert_eq!(created.count(), 1);
}

/// A request tells its host that others may be looked out for when it has the GIL, and before it waits for an interpreter
/// that may have to be made.
#[test]
fn requests_tell_when_they_are_under_way() {
    let script = python().script(
        "def application(environ, start_response):
    start_response('200 OK', [])
    return [b'']
",
    );
    for (group, times) in [("", 1), ("under-way", 2), ("under-way", 1), ("", 1)] {
        let answer = python().request(&script).group(group).run();
        assert_eq!(answer.is_fine().under_way, times, "'{group}'");
    }
}
