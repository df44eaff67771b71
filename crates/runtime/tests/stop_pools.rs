//! The end of a process whose applications keep pools of threads, and start threads when they end: one test, because nothing
//! can follow it.
#![allow(clippy::unwrap_used)] // test code

mod host;

use host::{Python, settings};

/// API-060, API-062: the idle threads of an executor are told to end before they are waited for, as CPython does it, and an exit
/// function may start a daemon thread (as libraries do that send what they have gathered): CPython would end the process.
#[test]
fn pools_and_late_threads_do_not_hinder_the_end() {
    let python = Python::get(settings);
    let script = python.script(
        "import atexit, concurrent.futures, mod_wsgi, threading, time
name = mod_wsgi.application_group or 'main'
pool = concurrent.futures.ThreadPoolExecutor(2)
def late():
    try:
        threading.Thread(target=time.sleep, args=(1000,), daemon=True).start()
    except RuntimeError:
        pass
    print(name, 'exit')
atexit.register(late)
def application(environ, start_response):
    start_response('200 OK', [])
    return [b'%d' % pool.submit(sum, (20, 22)).result()]
",
    );
    std::thread::spawn({
        let script = script.clone();
        move || {
            python.request(&script).group("sub").run().is_fine();
            python.request(&script).run().is_fine();
        }
    })
    .join()
    .unwrap();
    python.on_main(|runtime| runtime.stop().unwrap());
    let log: Vec<String> = host::log().into_iter().map(|(_, text)| text).collect();
    for text in ["sub exit", "main exit"] {
        let count = log.iter().filter(|line| *line == text).count();
        assert_eq!(count, 1, "'{text}' in {log:#?}");
    }
    assert!(
        !log.iter().any(|line| line.contains("Exception")),
        "{log:#?}"
    );
}
