//! A timer that is 0 is off, whatever the others are: what it would end goes on until restart-interval, the last of them, has its
//! way.

use super::*;

/// A server on which this timer is off and the others are set.
fn without(name: &str) -> Server {
    let timers = [
        "request-timeout",
        "startup-timeout",
        "inactivity-timeout",
        "deadlock-timeout",
    ];
    let options = timers.map(|timer| {
        let seconds = if timer == name { 0 } else { 600 };
        format!("{timer}={seconds}")
    });
    let rest = "threads=2 restart-interval=4 interrupt-timeout=1 eviction-timeout=600";
    server(&format!("{} {rest}", options.join(" ")))
}

/// What its replacement is asked for.
fn why(server: &Server) -> String {
    let record = server.wait_for_log("should be replaced (");
    let (_, reason) = record.line.rsplit_once('(').expect("it was found");
    reason.trim_end_matches(')').to_owned()
}

/// DP-65, DMN-030, DMN-431: a request may take its time, and is finished.
#[test]
fn request_timeout_is_off() {
    if !subject().differs("DP-97") {
        return;
    }
    let server = without("request-timeout");
    let mut held = hold(&server, "/app?hold");
    assert_eq!(why(&server), "restart_interval");
    server.write("data/go", "");
    assert_eq!(status(&mut held), 200);
}

/// DP-61, DMN-026, DMN-450: a script may take its time to be loaded.
#[test]
fn startup_timeout_is_off() {
    if !subject().differs("DP-97") {
        return;
    }
    let server = without("startup-timeout");
    let url = server.case("slow", &format!("{TIMED}\nhold_here()\n"));
    let mut held = hold(&server, &url);
    assert_eq!(why(&server), "restart_interval");
    server.write("data/go", "");
    assert_eq!(status(&mut held), 200);
}

/// DP-64, DMN-029, DMN-445: a process that is not used stays.
#[test]
fn inactivity_timeout_is_off() {
    if !subject().differs("DP-97") {
        return;
    }
    let server = without("inactivity-timeout");
    server.served_by("/app");
    assert_eq!(why(&server), "restart_interval");
}

/// DP-63, DMN-028, DMN-440: Python may be blocked, and is asked for nothing meanwhile.
#[test]
fn deadlock_timeout_is_off() {
    if !subject().differs("DP-97") {
        return;
    }
    let server = without("deadlock-timeout");
    server.served_by("/app");
    let mut connection = server.begin("/app?block");
    assert_eq!(why(&server), "restart_interval");
    server.wait_for_log("is taking no more requests");
    for process in server.daemons() {
        process.signal(Signal::SIGKILL);
    }
    assert_eq!(connection.answer().status, 502);
    assert_eq!(server.log().count("Python has been blocked"), 0);
}

/// DP-62, DMN-027, DMN-520: without shutdown-timeout nothing ends a process by force. That a time has passed which would have been
/// enough by default is told by the timers of another group.
#[test]
fn shutdown_timeout_is_off() {
    if !subject().is_ours() {
        // Its log does not tell.
        return;
    }
    let server = Site::daemon()
        .daemon_options("processes=1 threads=1 shutdown-timeout=0")
        .config(
            "WSGIDaemonProcess other threads=1 restart-interval=7
            WSGIScriptAlias /other {apps}/app.wsgi process-group=other",
        )
        .script("/app", TIMED)
        .start();
    server.allow_log("'live'");
    let mut held = hold(&server, "/app?hold");
    server.get("/other").expect(200);
    held.daemon.signal(Signal::SIGTERM);
    server.wait_for_log("stopping process of group 'live'");
    // A whole interval lies between the next two.
    let before = server.log().count("of group 'other' should be replaced");
    server.wait_for_logs("of group 'other' should be replaced", before + 2);
    assert!(held.daemon.is_alive());
    server.write("data/go", "");
    assert_eq!(status(&mut held), 200);
    server.wait_until_gone(std::slice::from_ref(&held.daemon));
}
