//! What counts as activity, and what keeps an idle process from being one.

use super::*;

/// DIR-126, DP-99, DMN-445: a request under WSGIIgnoreActivity does not count, but while it runs its process stays. That the timeout
/// has passed is seen by processes of another group, which go one after the other.
#[test]
fn ignored_requests_that_run_keep_their_process() {
    let server = Site::daemon()
        .daemon_options(&alone("threads=2 inactivity-timeout=1"))
        .config(&format!(
            "WSGIDaemonProcess idle {}
            WSGIScriptAlias /idle {{apps}}/app.wsgi process-group=idle
            WSGIScriptAlias /ignored {{apps}}/app.wsgi
            <Location /ignored>\nWSGIIgnoreActivity On\n</Location>",
            alone("inactivity-timeout=1")
        ))
        .script("/app", TIMED)
        .start();
    for text in ["'live'", "'idle'"] {
        server.allow_log(text);
    }
    let mut held = hold(&server, "/ignored?hold");
    // The other thread starts the timer.
    assert_eq!(server.served_by("/app"), held.daemon.pid);
    for _ in 0..2 {
        let idle = server.served_by("/idle");
        assert_eq!(reason(&server, idle), "inactivity_timeout");
    }
    assert_eq!(server.served_by("/app"), held.daemon.pid);
    server.write("data/go", "");
    held.ends(&server, 200, "inactivity_timeout");
}
