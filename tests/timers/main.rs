//! The timers of a daemon process, each one alone: all others are 0. What a timer does is seen by the process that goes,
//! the reason that its Python code was told, and the request that it cut short or let pass.

mod activity;
mod ends;
mod interrupts;
mod off;
mod spared;

use nix::sys::signal::Signal;
use wsgi_harness::{Connection, Process, Server, Site, subject, wait_until};

const TIMED: &str = include_str!("../apps/timed.wsgi");

/// Options with which a timer is on its own; `options` come last. The original's timers stop working without a deadlock
/// timeout.
fn alone(options: &str) -> String {
    let rest = if subject().differs("DP-97") {
        "deadlock-timeout=0"
    } else {
        ""
    };
    let all = [
        "processes=1 threads=1 graceful-timeout=0 shutdown-timeout=1",
        rest,
        options,
    ];
    // A later value of an option does not replace an earlier one in the original.
    let given = |name: &str| {
        options
            .split(' ')
            .any(|option| option.split('=').next() == Some(name))
    };
    all[..2]
        .iter()
        .flat_map(|part| part.split(' '))
        .filter(|option| option.split('=').next().is_some_and(|name| !given(name)))
        .chain([options])
        .collect::<Vec<_>>()
        .join(" ")
}

fn server(options: &str) -> Server {
    let server = Site::daemon()
        .daemon_options(&alone(options))
        .cases()
        .config("WSGIScriptAlias /sub {apps}/app.wsgi application-group=named")
        .script("/app", TIMED)
        .start();
    // A process that was ended is a record in the log, and a request that was cut short another one.
    for text in ["'live'", "WSGI0146", "WSGI0147"] {
        server.allow_log(text);
    }
    server
}

/// A request that does not end, and the process that it is in.
struct Held {
    connection: Connection,
    daemon: Process,
}

fn hold(server: &Server, url: &str) -> Held {
    let connection = server.begin(url);
    let pid = holder(server, "held");
    let daemon = daemon(server, pid);
    Held { connection, daemon }
}

impl Held {
    /// The request is answered with this status, then the process goes for this reason.
    #[track_caller]
    fn ends(&mut self, server: &Server, with: u16, why: &str) {
        assert_eq!(status(self), with);
        server.wait_until_gone(std::slice::from_ref(&self.daemon));
        assert_eq!(reason(server, self.daemon.pid), why);
        is_in_the_log(server, why);
    }
}

/// DP-106: at info, what a process of which group ends for. The original has words of its own.
fn is_in_the_log(server: &Server, why: &str) {
    if subject().is_ours() {
        let record = server.wait_for_log(&format!("stopping process of group 'live' ({why})"));
        assert_eq!(record.level, wsgi_harness::Level::Info);
    }
}

/// The process that wrote down that it is holding a request.
fn holder(server: &Server, name: &str) -> i32 {
    wait_until("the request", || {
        let text = std::fs::read_to_string(server.path("data").join(name)).ok()?;
        text.strip_suffix('\n')?.parse().ok()
    })
}

/// The process that answered. On a busy machine it may have ended already, by the timer that it is about.
fn daemon(server: &Server, pid: i32) -> Process {
    let mut daemons = server.daemons().into_iter();
    daemons
        .find(|process| process.pid == pid)
        .unwrap_or_else(|| Process {
            pid,
            parent: 0,
            command: String::new(),
            program: std::path::PathBuf::new(),
            uid: 0,
            gid: 0,
            groups: Vec::new(),
            listens: false,
        })
}

/// What Python code of a process was told about its end.
fn reason(server: &Server, pid: i32) -> String {
    wait_until("the reason", || {
        let text = std::fs::read_to_string(server.path("data/reasons")).ok()?;
        let line = text
            .lines()
            .find(|line| line.starts_with(&format!("{pid} ")))?;
        line.split(' ').nth(1).map(str::to_owned)
    })
}

fn status(held: &mut Held) -> u16 {
    let answer = held.connection.answer();
    answer.status
}

/// DOC-12, KD-23, DP-65, DP-84, DP-94, DP-97, DMN-030, DMN-410, DMN-430, DMN-431, DMN-432, DMN-514, DMN-956: a request that takes too
/// long costs its process; where it was is in the log.
#[test]
fn request_timeout() {
    let server = server("request-timeout=1");
    let mut held = hold(&server, "/app?hold");
    server.wait_for_log("in hold_here");
    server.wait_until_gone(std::slice::from_ref(&held.daemon));
    assert_eq!(status(&mut held), 502);
    assert_eq!(reason(&server, held.daemon.pid), "request_timeout");
    assert_eq!(server.log().count("in hold_here"), 1, "dumped once");
    assert_ne!(server.served_by("/app"), held.daemon.pid);
}

/// DP-84, DP-96, DMN-413, DMN-431: the request that took too long is not waited for, whatever graceful-timeout allows.
#[test]
fn stale_requests_are_not_waited_for() {
    let server = server("threads=2 request-timeout=1 graceful-timeout=600");
    let mut held = hold(&server, "/app?hold");
    server.wait_for_log("in hold_here");
    held.ends(&server, 502, "request_timeout");
}

/// DP-66, DP-95, DMN-031, DMN-433, DMN-434, REQ-480, REQ-481: with an interrupt-timeout the request ends by an exception
/// and the process lives on, whichever interpreter it runs in.
#[test]
fn interrupt_timeout() {
    for url in ["/app", "/sub"] {
        let server = server("request-timeout=1 interrupt-timeout=30");
        let mut held = hold(&server, &format!("{url}?hold"));
        let answer = held.connection.answer();
        assert_eq!(answer.status, 504, "{url}: {}", answer.shown());
        server.wait_for_log("in hold_here");
        assert_eq!(server.served_by(url), held.daemon.pid);
        // It is no Exception that an application might catch by mistake.
        std::fs::remove_file(server.path("data/held")).expect("the application's");
        let mut held = hold(&server, &format!("{url}?clean"));
        assert_eq!(status(&mut held), 504, "{url}");
        assert!(!server.path("data/caught").exists());
        assert_eq!(server.served_by(url), held.daemon.pid);
    }
}

/// DMN-433, DP-95, REQ-482: an application that goes on in spite of the exception has interrupt-timeout left.
#[test]
fn interrupt_that_is_caught() {
    let server = server("request-timeout=1 interrupt-timeout=1");
    let mut held = hold(&server, "/app?defy");
    assert_eq!(holder(&server, "defied"), held.daemon.pid);
    held.ends(&server, 502, "request_timeout");
    assert_ne!(server.served_by("/app"), held.daemon.pid);
}

/// DP-61, DP-85, DMN-026, DMN-450: a process in which no script can be loaded is replaced.
#[test]
fn startup_timeout() {
    let server = server("startup-timeout=1");
    let url = server.case("slow", &format!("{TIMED}\nhold_here()\n"));
    let mut held = hold(&server, &url);
    if subject().is_ours() {
        server.wait_for_log("a script has to be loaded in 1 s");
    }
    held.ends(&server, 502, "startup_timeout");
    server.write("data/go", "");
    assert_ne!(server.served_by(&url), held.daemon.pid);
}

/// DP-100, DMN-450: the first script that was loaded ends startup-timeout for good. That it would have fired before
/// restart-interval is the proof.
#[test]
fn startup_timeout_is_over() {
    let server = server("threads=2 startup-timeout=3 restart-interval=6");
    let first = server.served_by("/app");
    let url = server.case("slow", &format!("{TIMED}\nhold_here()\n"));
    let held = hold(&server, &url);
    assert_eq!(held.daemon.pid, first);
    if subject().is_ours() {
        server.wait_for_log("a script was loaded, startup-timeout is off");
    }
    server.wait_for_log("restart");
    server.write("data/go", "");
    server.wait_until_gone(std::slice::from_ref(&held.daemon));
    let expected = if subject().differs("DP-93") {
        "restart_interval"
    } else {
        "shutdown_signal"
    };
    assert_eq!(reason(&server, first), expected);
}

/// DP-61, DP-100, DMN-450: what ends startup-timeout is that a script was loaded, though its first request goes on for long.
/// That it would have fired before restart-interval is the proof.
#[test]
fn startup_timeout_is_over_with_the_script() {
    let server = server("startup-timeout=3 restart-interval=6");
    let mut held = hold(&server, "/app?hold");
    server.wait_for_log("restart");
    server.write("data/go", "");
    assert_eq!(status(&mut held), 200);
    server.wait_until_gone(std::slice::from_ref(&held.daemon));
    let expected = if subject().differs("DP-93") {
        "restart_interval"
    } else {
        "shutdown_signal"
    };
    assert_eq!(reason(&server, held.daemon.pid), expected);
}

/// DP-63, DP-87, DP-101, DMN-028, DMN-440: a process whose Python is blocked is replaced, and Python is asked nothing more.
#[test]
fn deadlock_timeout() {
    let server = server("deadlock-timeout=1 threads=2");
    let blocked = server.served_by("/app");
    let old = daemon(&server, blocked);
    let mut connection = server.begin("/app?block");
    server.wait_until_gone(&[old]);
    let answer = connection.answer();
    assert_eq!(answer.status, 502, "{}", answer.shown());
    is_in_the_log(&server, "deadlock_timeout");
    assert_ne!(server.served_by("/app"), blocked);
    assert!(!server.path("data/reasons").exists());
}

/// DMN-440, DMN-472: Python that is blocked while the process waits for its requests without a limit ends it as well.
#[test]
fn deadlock_in_a_process_that_drains() {
    let server = server("deadlock-timeout=1 threads=2 graceful-timeout=0");
    let mut held = hold(&server, "/app?stall");
    held.daemon.signal(Signal::SIGUSR1);
    if subject().is_ours() {
        wait_until("the replacement", || {
            (server.daemons().len() == 2).then_some(())
        });
    }
    // Now its Python is blocked.
    server.write("data/go", "");
    assert_eq!(status(&mut held), 502);
    server.wait_until_gone(std::slice::from_ref(&held.daemon));
    assert!(!server.path("data/reasons").exists());
}

/// DMN-440: while the whole process was stopped, nothing can be said about its Python.
#[test]
fn a_stopped_process_is_not_deadlocked() {
    let server = server("deadlock-timeout=3");
    let first = server.served_by("/app");
    let daemon = daemon(&server, first);
    if !subject().differs("DP-101") {
        return;
    }
    daemon.signal(Signal::SIGSTOP);
    wait_until("a stopped process", || {
        daemon.status("State")?.starts_with('T').then_some(())
    });
    // Longer than deadlock-timeout; being longer still changes nothing.
    std::thread::sleep(std::time::Duration::from_secs(4));
    daemon.signal(Signal::SIGCONT);
    for _ in 0..20 {
        assert_eq!(server.served_by("/app"), first);
    }
    daemon.signal(Signal::SIGUSR1);
    assert_eq!(reason(&server, first), "graceful_signal");
}

/// With these options a process that has served one request goes for this reason, and another one serves.
#[track_caller]
fn an_idle_process_is_replaced(options: &str, why: &str) {
    let server = server(options);
    let first = server.served_by("/app");
    let old = daemon(&server, first);
    server.wait_until_gone(&[old]);
    assert_eq!(reason(&server, first), why);
    is_in_the_log(&server, why);
    assert_ne!(server.served_by("/app"), first);
}

/// DP-64, DP-88, DMN-029, DMN-445: a process without requests is replaced after a while; one that never had any is not.
#[test]
fn inactivity_timeout() {
    an_idle_process_is_replaced("inactivity-timeout=1", "inactivity_timeout");
}

/// DP-88, DMN-445: a running request keeps its process, whether it does anything or not. That inactivity-timeout would
/// have fired before restart-interval is the proof.
#[test]
fn a_running_request_is_activity() {
    let server = server("inactivity-timeout=1 restart-interval=3");
    let mut held = hold(&server, "/app?hold");
    server.wait_for_log("restart");
    server.write("data/go", "");
    assert_eq!(status(&mut held), 200);
    server.wait_until_gone(std::slice::from_ref(&held.daemon));
    let expected = if subject().differs("DP-93") {
        "restart_interval"
    } else {
        "shutdown_signal"
    };
    assert_eq!(reason(&server, held.daemon.pid), expected);
}

/// DP-99, DIR-126, DMN-445: requests under WSGIIgnoreActivity do not count.
#[test]
fn ignored_activity() {
    let server = Site::daemon()
        .daemon_options(&alone("inactivity-timeout=1"))
        .script("/app", TIMED)
        .config("WSGIScriptAlias /ignored {apps}/app.wsgi\n<Location /ignored>\nWSGIIgnoreActivity On\n</Location>")
        .start();
    server.allow_log("'live'");
    let first = server.served_by("/app");
    wait_until("another process", || {
        (server.served_by("/ignored") != first).then_some(())
    });
    assert_eq!(reason(&server, first), "inactivity_timeout");
}

/// DP-69, DP-86, DP-93, DMN-034, DMN-455, DMN-953: a process is replaced when it is old enough; what runs in it is finished.
#[test]
fn restart_interval() {
    an_idle_process_is_replaced("restart-interval=1", "restart_interval");
}

/// DP-67, DP-81, DP-91, DMN-032, DMN-470, DMN-471: after graceful-timeout the requests have shutdown-timeout, no more.
#[test]
fn graceful_timeout() {
    let server = server("graceful-timeout=1");
    let mut held = hold(&server, "/app?hold");
    held.daemon.signal(Signal::SIGUSR1);
    held.ends(&server, 502, "graceful_signal");
}

/// DP-83, DMN-957: after maximum-requests a request that goes on has graceful-timeout, though others come and end.
#[test]
fn graceful_timeout_at_maximum_requests() {
    if !subject().differs("DMN-460") {
        // Each request that ends gives the original's process graceful-timeout once more.
        return;
    }
    let server = server("threads=2 maximum-requests=2 graceful-timeout=1");
    let mut held = hold(&server, "/app?hold");
    wait_until("the replacement", || {
        (server.served_by("/app") != held.daemon.pid).then_some(())
    });
    held.ends(&server, 502, "maximum_requests");
}

/// DMN-411, DMN-530: several timers at once. The process is stopped until all of them are over; the first one of the table gives
/// the reason.
#[test]
fn timers_at_once() {
    if !subject().is_ours() {
        // Its threads look in an order of their own when they wake.
        return;
    }
    let timers = "restart-interval=6 inactivity-timeout=6";
    for (options, url, expected) in [
        (
            format!("request-timeout=6 {timers}"),
            "/app?hold",
            "request_timeout",
        ),
        (timers.to_owned(), "/app", "restart_interval"),
    ] {
        let server = server(&options);
        let (process, _held) = if url == "/app" {
            (daemon(&server, server.served_by(url)), None)
        } else {
            let held = hold(&server, url);
            (held.daemon.clone(), Some(held.connection))
        };
        process.signal(Signal::SIGSTOP);
        wait_until("a stopped process", || {
            process.status("State")?.starts_with('T').then_some(())
        });
        // Longer than each of them; being longer still changes nothing.
        std::thread::sleep(std::time::Duration::from_secs(8));
        process.signal(Signal::SIGCONT);
        server.wait_until_gone(std::slice::from_ref(&process));
        assert_eq!(reason(&server, process.pid), expected);
    }
}

/// DP-106: which timers there are, and which of them ended a process of which group.
#[test]
fn timers_in_the_log() {
    if !subject().is_ours() {
        // Its words are others.
        return;
    }
    let server = Site::daemon()
        .daemon_options(&alone("restart-interval=1 inactivity-timeout=7"))
        .log_level("notice wsgi:debug")
        .script("/app", TIMED)
        .start();
    let timers = server.wait_for_log("timers of a process of group 'live': ");
    for timer in [
        "restart-interval=1",
        "inactivity-timeout=7",
        "deadlock-timeout=0",
    ] {
        assert!(timers.contains(timer), "{timers:?}");
    }
    let asked = server.wait_for_log("should be replaced (restart_interval)");
    let ended = server.wait_for_log("ends (restart_interval)");
    assert!(asked.contains("'live'") && ended.contains("'live'"));
    assert_eq!(asked.level, wsgi_harness::Level::Info);
}

/// DP-96, DMN-413: interrupt-timeout without request-timeout limits nothing: a process that is to end waits for its request
/// until graceful-timeout.
#[test]
fn interrupt_timeout_alone() {
    if !subject().differs("DMN-413") {
        // The original does not wait for a request older than interrupt-timeout.
        return;
    }
    let server =
        server("interrupt-timeout=1 restart-interval=3 graceful-timeout=2 shutdown-timeout=60");
    let mut held = hold(&server, "/app?hold");
    server.wait_for_log("requests took too long to finish (restart_interval)");
    server.write("data/go", "");
    assert_eq!(status(&mut held), 200);
    server.wait_until_gone(std::slice::from_ref(&held.daemon));
}

/// DP-68, DP-81, DMN-033, DMN-473: eviction-timeout is graceful-timeout for SIGUSR1.
#[test]
fn eviction_timeout() {
    let server = server("graceful-timeout=600 eviction-timeout=1");
    let mut held = hold(&server, "/app?hold");
    held.daemon.signal(Signal::SIGUSR1);
    held.ends(&server, 502, "eviction_signal");
}

/// DP-42, DMN-037, DMN-234, DMN-250, REQ-332: a request that has waited too long for a thread is not run.
#[test]
fn queue_timeout() {
    let server = server("queue-timeout=1");
    let mut held = hold(&server, "/app?late");
    let mut second = server.begin("/app?late");
    std::fs::remove_file(server.path("data/held")).expect("the application's");
    server.write("data/go", "");
    assert_eq!(status(&mut held), 200);
    let answer = second.answer();
    assert_eq!(answer.status, 504, "{}", answer.shown());
    server.wait_for_log("WSGI0084");
    assert!(!server.path("data/held").exists(), "it was not run");
    assert_eq!(server.served_by("/app"), held.daemon.pid);
}
