//! The end of a process: one test, because nothing can follow it.
#![allow(clippy::unwrap_used)] // test code

mod host;

use host::{Python, settings};

/// API-060 to API-062, API-331: first `process_stopping`, then the sub-interpreters, then Python, with their exit functions
/// and threads; one in which a daemon thread still runs is left alone, which does not end the process.
#[test]
fn the_order_of_the_end() {
    let python = Python::get(settings);
    let script = python.script(
        "import atexit, mod_wsgi, threading, time
name = mod_wsgi.application_group or 'main'
class Say:
    def __init__(self, text): self.text = text
    def __call__(self, *args, **event): print(name, self.text, event.get('shutdown_reason', ''))
mod_wsgi.subscribe_shutdown(Say('stopping'))
mod_wsgi.subscribe_events(Say('event'))
atexit.register(Say('exit'))
stop = threading.Event()
mod_wsgi.subscribe_shutdown(lambda *args, **event: stop.set())
def run():
    stop.wait()
    print(name, 'thread ends')
threading.Thread(target=run, daemon=False).start()
def application(environ, start_response):
    if environ['QUERY_STRING']:
        threading.Thread(target=time.sleep, args=(1000,), daemon=True).start()
    start_response('200 OK', [])
    del mod_wsgi.event_callbacks[1:]
    return [b'']
",
    );
    std::thread::spawn({
        let script = script.clone();
        move || {
            let _ = python.request(&script).run();
            let _ = python.request(&script).group("sub").run();
        }
    })
    .join()
    .unwrap();
    python.on_main(|runtime| {
        runtime.publish_stopping("maximum_requests").unwrap();
        runtime.stop().unwrap();
    });
    let log: Vec<String> = host::log().into_iter().map(|(_, text)| text).collect();
    let position = |text: &str| {
        let found = log.iter().position(|line| line == text);
        found.unwrap_or_else(|| panic!("'{text}' is not in {log:#?}"))
    };
    let order = [
        position("main event maximum_requests"),
        position("main stopping maximum_requests"),
        position("sub event maximum_requests"),
        position("sub stopping maximum_requests"),
        position("Destroy interpreter 'sub'."),
        position("sub exit "),
        position("Terminate Python."),
        position("main exit "),
    ];
    assert!(order.is_sorted(), "{order:?} in {log:#?}");
    assert!(position("sub thread ends") < position("sub exit "));
    assert!(position("main thread ends") < position("main exit "));
    assert!(
        !log.iter()
            .any(|line| line.contains("Exception") || line.contains("WSGI")),
        "{log:#?}"
    );
}
