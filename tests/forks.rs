//! Processes that an application forks and that go on as if they were the one that serves.

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
    server.allow_log("WSGI5209");
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
        assert_eq!(server.log().count("WSGI5209"), number + 1);
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
    server.allow_log("WSGI5209");
    server.allow_log("'live'");
    let first = server.served_by("/app");
    server.wait_for_log("was about to serve requests");
    for _ in 0..10 {
        assert_eq!(server.served_by("/app"), first);
    }
}
