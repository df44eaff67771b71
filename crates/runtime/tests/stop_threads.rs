//! The end of a process in which threads of applications still run: one test, because nothing can follow it.
#![allow(clippy::unwrap_used)] // test code

mod host;

use host::{Python, settings};

/// API-062, API-065, WSGI0192: an interpreter in which a daemon thread of the application still runs is not ended, because
/// CPython would end the process; its exit functions are run all the same, and so are those of the main interpreter.
#[test]
fn daemon_threads_do_not_hinder_the_end() {
    let python = Python::get(|| {
        let mut settings = settings();
        settings
            .interpreters
            .push(wsgi_core::python::InterpreterRule {
                application_group: Some(String::new()),
                restrict_stdout: Some(true),
                ..Default::default()
            });
        settings
    });
    let script = python.script(
        "import atexit, mod_wsgi, sys, threading, time
name = mod_wsgi.application_group or 'main'
atexit.register(lambda: sys.stderr.write(name + ' exit\\n'))
threading.Thread(target=time.sleep, args=(1000,), daemon=True).start()
def application(environ, start_response):
    start_response('200 OK', [])
    return [b'']
",
    );
    // A thread that does not leave before the end, as Apache's workers.
    let (sender, receiver) = std::sync::mpsc::channel();
    let idle = python.script("def application(e, s):\n    s('200 OK', [])\n    return []\n");
    std::thread::spawn(move || {
        python.request(&idle).group("idle").run().is_fine();
        sender.send(()).unwrap();
        std::thread::park();
    });
    receiver.recv().unwrap();
    std::thread::spawn(move || {
        python.request(&script).run().is_fine();
        python.request(&script).group("sub").run().is_fine();
    })
    .join()
    .unwrap();
    python.on_main(|runtime| runtime.stop().unwrap());
    for text in ["WSGI0192: Interpreter 'sub'", "sub exit", "main exit"] {
        assert!(
            host::is_logged(text),
            "'{text}' is not in {:#?}",
            host::log()
        );
    }
    assert!(host::is_logged("Destroy interpreter 'idle'."));
    assert!(!host::is_logged("Interpreter 'idle' is not ended"));
    assert!(!host::is_logged("Exception"), "{:#?}", host::log());
}
