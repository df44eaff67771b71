//! Processes that an application forks: those that go on as if they were the one that serves, and what signals do to them.

use wsgi_harness::{Site, subject};

const FORKING: &str = r#"
import os

def application(environ, start_response):
    action = environ["QUERY_STRING"]
    if action and os.fork() == 0 and action == "copy-fails":
        raise ValueError("in the copy")
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [str(os.getpid()).encode()]
"#;

/// DMN-540: a copy that an application forked and that comes back from it ends: it neither answers the request a second time nor
/// takes another one, and nothing of the group stays behind.
#[test]
fn a_fork_that_returns_serves_nobody() {
    if !subject().is_ours() {
        return;
    }
    let server = Site::daemon()
        .daemon_options("processes=1 threads=2")
        .script("/app", FORKING)
        .start();
    server.allow_log("WSGI5215");
    server.allow_log("in the copy");
    server.allow_log("Traceback");
    let first = server.served_by("/app");
    for (number, (action, text)) in [
        ("copy", "was about to send an answer"),
        ("copy-fails", "was about to finish its answer"),
    ]
    .into_iter()
    .enumerate()
    {
        assert_eq!(server.served_by(&format!("/app?{action}")), first);
        server.wait_for_log(text);
        for _ in 0..10 {
            assert_eq!(server.served_by("/app"), first, "{action}");
        }
        assert_eq!(server.log().count("WSGI5215"), number + 1);
    }
}

/// DMN-540, API-049: so does one that comes back from a script that is preloaded.
#[test]
fn a_fork_of_a_preloaded_script_serves_nobody() {
    if !subject().is_ours() {
        return;
    }
    let server = Site::daemon()
        .daemon_options("processes=1 threads=2")
        .script("/app", FORKING)
        .file("apps/forks.py", "import os\nos.fork()\n")
        .config("WSGIImportScript {apps}/forks.py process-group=live application-group=%{GLOBAL}")
        .start();
    server.allow_log("WSGI5215");
    server.allow_log("'live'");
    let first = server.served_by("/app");
    server.wait_for_log("was about to serve requests");
    for _ in 0..10 {
        assert_eq!(server.served_by("/app"), first);
    }
}

const SIGNALLED: &str = "import os, signal, time

def application(environ, start_response):
    ends = []
    for name in environ['QUERY_STRING'].split('+'):
        child = os.fork()
        if child == 0:
            while True:
                time.sleep(0.01)
        os.kill(child, getattr(signal, name))
        ends.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    start_response('200 OK', [('X-Ends', repr(ends))])
    return [str(os.getpid()).encode()]
";

/// DP-105, DMN-506: in a process forked by an application a handled signal ends that process, and only that.
#[test]
fn signals_to_a_fork() {
    let server = Site::daemon()
        .daemon_options("processes=1 threads=2")
        .script("/app", SIGNALLED)
        .start();
    let first = server.served_by("/app?SIGTERM");
    let mut names = vec!["SIGTERM"];
    if subject().is_ours() {
        // The original's ends at none of these.
        names.extend(["SIGINT", "SIGUSR1", "SIGXCPU", "SIGHUP", "SIGUSR2"]);
    }
    let answer = server.get(&format!("/app?{}", names.join("+"))).expect(200);
    let ends = format!("{:?}", vec![255; names.len()]);
    assert_eq!(answer.header("X-Ends"), Some(&*ends));
    assert_eq!(server.served_by("/app?SIGTERM"), first);
}
