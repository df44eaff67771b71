//! Whom timers spare: requests without a limit or beside one that took too long, processes that nobody has asked for anything, and
//! services.

use std::time::Duration;

use super::*;

/// Waits for the file `finish`.
pub(crate) const OTHER: &str = "import os, time

def application(environ, start_response):
    with open('{data}/other', 'w') as file:
        file.write('%d\\n' % os.getpid())
    while not os.path.exists('{data}/finish'):
        time.sleep(0.01)
    start_response('200 OK', [])
    return [str(os.getpid()).encode()]
";

/// DP-84, DP-96, DMN-413, DMN-431: a request that does not take too long is finished, beside one that did, though it needs longer than
/// shutdown-timeout; then the other one is cut short.
#[test]
fn requests_beside_a_late_one() {
    let server = server("threads=2 request-timeout=7 graceful-timeout=600");
    let url = server.case("other", OTHER);
    let mut held = hold(&server, "/app?hold");
    // The late one costs its process after 11.9 s. This one begins so much later that it does not become late itself.
    std::thread::sleep(Duration::from_secs(10));
    let mut other = server.begin(&url);
    let process = holder(&server, "other");
    if subject().is_ours() {
        server.wait_for_log("is taking no more requests");
    } else {
        std::thread::sleep(Duration::from_secs(2));
    }
    // Longer than shutdown-timeout. On a machine so busy that the late one was quicker it is in another process, and proves nothing.
    std::thread::sleep(Duration::from_millis(2500));
    assert!(held.daemon.is_alive() || process != held.daemon.pid);
    server.write("data/finish", "");
    assert_eq!(other.answer().expect(200).text(), process.to_string());
    held.ends(&server, 502, "request_timeout");
}

/// DP-81, DP-86, DMN-455, DMN-470, DMN-472: without a graceful-timeout SIGUSR1 and restart-interval let a request take its time, longer
/// than shutdown-timeout.
#[test]
fn graceful_without_limit() {
    for (options, reason) in [
        ("graceful-timeout=0", "graceful_signal"),
        ("graceful-timeout=0 restart-interval=1", "restart_interval"),
    ] {
        let server = server(options);
        let mut held = hold(&server, "/app?hold");
        if reason == "graceful_signal" {
            held.daemon.signal(Signal::SIGUSR1);
        } else {
            server.wait_for_log("restart");
        }
        if subject().is_ours() {
            let ready = format!("is taking no more requests ({reason})");
            server.wait_for_log(&ready);
        }
        std::thread::sleep(Duration::from_millis(2500));
        server.write("data/go", "");
        let reason = if reason == "restart_interval" && !subject().differs("DP-93") {
            "shutdown_signal"
        } else {
            reason
        };
        held.ends(&server, 200, reason);
    }
}

/// DP-89, DMN-267: a request in a process that goes because a script has changed has graceful-timeout; 6.1 cuts it short after
/// shutdown-timeout.
#[test]
fn requests_beside_a_changed_script() {
    let server = server("threads=2 graceful-timeout=600");
    let url = server.case("other", OTHER);
    server.write("data/finish", "");
    let mut held = hold(&server, "/app?hold");
    assert_eq!(server.get(&url).expect(200).pid(), held.daemon.pid);
    server.touch("apps/other.wsgi");
    assert_ne!(server.get(&url).expect(200).pid(), held.daemon.pid);
    std::thread::sleep(Duration::from_millis(2500));
    server.write("data/go", "");
    let expected = if subject().differs("DP-89") { 200 } else { 502 };
    held.ends(&server, expected, "script_reload");
}

/// DMN-471, DMN-501: graceful-timeout runs from the first signal on, however many come.
#[test]
fn signals_do_not_prolong_graceful_timeout() {
    let server = server("graceful-timeout=2");
    let mut held = hold(&server, "/app?hold");
    wait_until("the end of the process", || {
        held.daemon.signal(Signal::SIGUSR1);
        std::thread::sleep(Duration::from_millis(50));
        (!held.daemon.is_alive()).then_some(())
    });
    held.ends(&server, 502, "graceful_signal");
}

const WATCHED: &str = "import mod_wsgi, time
events = []

@mod_wsgi.subscribe_events
def happened(name, **details):
    events.append(name)

def application(environ, start_response):
    while environ['QUERY_STRING'] == 'hold':
        time.sleep(0.01)
    start_response('200 OK', [])
    return [' '.join(events).encode()]
";

/// DMN-434, REQ-480, REQ-481: an interrupted request is answered with 504, with httpd's page or ErrorDocument; it is no error of the
/// application, neither for those who subscribe nor in the log, and the thread serves the next one.
#[test]
fn an_interrupted_request() {
    let server = Site::daemon()
        .daemon_options(&alone("request-timeout=1 interrupt-timeout=30"))
        .cases()
        .config("ErrorDocument 504 \"too slow\"")
        .start();
    let url = server.case("watched", WATCHED);
    let answer = server.get(&format!("{url}?hold"));
    let page = if subject().differs("DMN-434") {
        "too slow"
    } else {
        ""
    };
    assert_eq!((answer.status, answer.text().as_str()), (504, page));
    let events = server.get(&url).expect(200).text();
    assert!(events.contains("request_finished"), "{events}");
    assert!(!events.contains("request_exception"), "{events}");
    assert_eq!(server.log().count("Traceback"), 0);
}

const SERVICE: &str = "import os, signal, threading, time

told = []
signal.signal(signal.SIGALRM, lambda *arguments: told.append('alarm'))
signal.raise_signal(signal.SIGALRM)
told.append('main' if threading.current_thread() is threading.main_thread() else 'another')
with open('{data}/service', 'a') as file:
    file.write('%d %s\\n' % (os.getpid(), ' '.join(told)))
while True:
    time.sleep(0.01)
";

/// DP-61, DP-88, DP-99, DP-110, DP-111, DIR-112, DMN-445, DMN-450, DMN-562, DMN-564: inactivity-timeout and startup-timeout begin with the
/// first request of a process, and no timer is for services, which have the main thread and the signals to themselves. That a time has passed which would have been
/// enough is told by the processes of another group.
#[test]
fn processes_without_requests() {
    let timers = "restart-interval=1 inactivity-timeout=1 startup-timeout=1 request-timeout=1 maximum-requests=1";
    let server = Site::daemon()
        .daemon_options(&alone(
            "inactivity-timeout=1 startup-timeout=1 display-name=unused-1",
        ))
        .config(&format!(
            "WSGIDaemonProcess service threads=0 display-name=unused-2 {timers}
            WSGIImportScript {{apps}}/service.py process-group=service application-group=%{{GLOBAL}}
            WSGIDaemonProcess other threads=1 restart-interval=2
            WSGIScriptAlias /other {{apps}}/app.wsgi process-group=other"
        ))
        .file("apps/service.py", SERVICE)
        .script("/app", TIMED)
        .start();
    server.allow_log("'live'");
    server.allow_log("'other'");
    server.allow_log("service");
    let unused = || -> Vec<i32> {
        let mut daemons = server.daemons();
        daemons.retain(|daemon| daemon.command.starts_with("unused-"));
        let mut pids: Vec<i32> = daemons.into_iter().map(|daemon| daemon.pid).collect();
        pids.sort_unstable();
        pids
    };
    wait_until("the service", || {
        let text = std::fs::read_to_string(server.path("data/service")).ok()?;
        text.ends_with('\n').then_some(())
    });
    let before = unused();
    assert_eq!(before.len(), 2, "{before:?}");
    for _ in 0..2 {
        let asked = wait_until("a process", || {
            let answer = server.get("/other");
            (answer.status == 200).then(|| answer.pid())
        });
        server.wait_until_gone(&[daemon(&server, asked)]);
    }
    assert_eq!(unused(), before);
    let service = std::fs::read_to_string(server.path("data/service")).expect("it was written");
    let (pid, told) = service.trim_end().split_once(' ').expect("a number first");
    assert_eq!(told, "alarm main");
    assert!(before.contains(&pid.parse().expect("a number")));
}
