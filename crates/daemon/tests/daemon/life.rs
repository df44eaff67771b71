//! The life of a daemon: start-up failures, orders, signals, draining, replacement, forced end.

use std::os::fd::AsFd;

use crate::group::{Daemon, Frame, SLOT, body, request, settings};
use wsgi_core::control::{FromDaemon, Preload, ToDaemon};
use wsgi_core::life::Reason;
use wsgi_core::wire::{AnswerEnd, Refusal};
use wsgi_sys::stream::{self, Shutdown};

/// DMN-500, DMN-510 to 518: SIGTERM ends it in order, exit 0.
#[test]
fn a_signal_ends_it_in_order() {
    let mut settings = settings(3);
    settings.preload = vec![Preload {
        script: "/import.py".into(),
        application_group: String::new(),
    }];
    let mut daemon = Daemon::ready(settings);
    daemon.expect_log("loaded /import.py");
    daemon.signal(libc::SIGTERM);
    let reason = Reason::ShutdownSignal;
    assert_eq!(
        daemon.next(),
        Some(FromDaemon::Replace {
            reason,
            draining: true
        })
    );
    assert_eq!(daemon.end(), 0);
    let log = daemon.log.join("\n");
    let at = |part: &str| {
        log.rfind(part)
            .unwrap_or_else(|| panic!("no {part} in {log}"))
    };
    assert!(at("starting process of group 'test'") < at("HOME given"));
    assert!(at("HOME given") < at("loaded /import.py"));
    assert!(at("loaded /import.py") < at("process_stopping shutdown_signal"));
    assert!(at("process_stopping shutdown_signal") < at("thread left"));
    assert!(at("thread left") < at("stopped"));
    assert_eq!(
        log.matches("thread left").count(),
        4,
        "three workers and the dispatcher"
    );
    assert_eq!(daemon.board.phase(SLOT), 4);
}

/// The supervisor's end is this process's end (WSGI0023).
#[test]
fn a_lost_supervisor_ends_it() {
    let mut daemon = Daemon::ready(settings(1));
    let (other, _end) = wsgi_sys::control::ControlSocket::pair().unwrap();
    drop(std::mem::replace(&mut daemon.control, other));
    let status = nix::sys::wait::waitpid(nix::unistd::Pid::from_raw(daemon.pid), None).unwrap();
    assert!(
        matches!(status, nix::sys::wait::WaitStatus::Exited(_, 0)),
        "{status:?}"
    );
    std::mem::forget(daemon);
}

/// DP-90: Python and the log are told that as `signal_pipe_error`. Of the channel only what goes to the process ends here, so that its
/// records can be read.
#[test]
fn a_lost_supervisor_is_a_reason() {
    let mut daemon = Daemon::ready(settings(1));
    stream::shutdown(daemon.control.as_fd(), Shutdown::Write);
    assert_eq!(daemon.end(), 0);
    for text in [
        "WSGI0023: the supervisor is gone",
        "stopping process of group 'test' (signal_pipe_error)",
        "process_stopping signal_pipe_error",
    ] {
        let is_it = |line: &String| line.contains(text);
        assert!(daemon.log.iter().any(is_it), "{text} in {:#?}", daemon.log);
    }
}

/// DMN-503: SIGHUP and SIGUSR2 reach Python.
#[test]
fn other_signals_reach_python() {
    let mut daemon = Daemon::ready(settings(1));
    daemon.signal(libc::SIGHUP);
    daemon.expect_log("process_signal SIGHUP 1");
    daemon.signal(libc::SIGUSR2);
    daemon.expect_log("process_signal SIGUSR2 12");
}

/// DMN-501: SIGUSR1 asks for a replacement, serves on, and drains when told; running requests finish.
#[test]
fn a_graceful_signal_replaces_before_it_drains() {
    let mut daemon = Daemon::ready(settings(2));
    daemon.signal(libc::SIGUSR1);
    let reason = Reason::GracefulSignal;
    assert_eq!(
        daemon.next(),
        Some(FromDaemon::Replace {
            reason,
            draining: false
        })
    );
    let mut running = daemon.child();
    running.send(&request("gate", 0));
    running.expect_welcome();
    assert_eq!(running.next(), Frame::Head("200 OK".into(), None));
    assert_eq!(running.next(), Frame::Data(b"begun".to_vec()));
    let mut idle = daemon.child();
    idle.ask("hello");
    idle.expect_welcome();
    idle.expect_hello();

    daemon
        .control
        .send(&ToDaemon::Drain(Reason::GracefulSignal))
        .unwrap();
    daemon.expect_log("taking no more requests (graceful_signal)");
    idle.ask("hello");
    assert_eq!(idle.next(), Frame::Refused(Refusal::Stopping));
    assert_eq!(idle.next(), Frame::Closed);
    running.send(&body(b"", 1));
    assert_eq!(running.next(), Frame::Data(b"done".to_vec()));
    assert_eq!(running.next(), Frame::End(AnswerEnd::Complete));
    assert_eq!(daemon.end(), 0);
    assert!(
        daemon
            .log
            .iter()
            .any(|line| line.contains("process_stopping graceful_signal"))
    );
}

/// DMN-414, DMN-471, DMN-511: a request that does not finish is waited for until graceful-timeout; then the main thread
/// begins the shutdown, which shutdown-timeout ends (DMN-520). Telemetry is told of each (DMN-513, TEL-050, TEL-051).
#[test]
fn draining_has_an_end() {
    let mut settings = settings(1);
    settings.limits.graceful_timeout = 1;
    settings.limits.shutdown_timeout = 1;
    let mut daemon = Daemon::ready(settings);
    let mut running = daemon.child();
    running.send(&request("gate", 0));
    running.expect_welcome();
    daemon
        .control
        .send(&ToDaemon::Drain(Reason::RestartInterval))
        .unwrap();
    assert_eq!(daemon.end(), 255);
    let log = daemon.log.join("\n");
    assert!(
        log.contains("took too long to finish (restart_interval)"),
        "{log}"
    );
    assert!(log.contains("shutdown-timeout is over"), "{log}");
    let order = [
        "reports",
        "reports stop restart_interval",
        "reports forced end restart_interval",
    ];
    let said: Vec<&String> = daemon
        .log
        .iter()
        .filter(|line| line.contains("reports"))
        .collect();
    assert_eq!(said.len(), order.len(), "{log}");
    for (said, wanted) in said.iter().zip(order) {
        assert!(said.ends_with(wanted), "{log}");
    }
}

/// DMN-233, DMN-267: a changed script refuses the request, and the process drains at once.
#[test]
fn a_changed_script_refuses_and_drains() {
    let mut daemon = Daemon::ready(settings(2));
    let mut child = daemon.child();
    child.ask_awaiting("reload");
    child.expect_welcome();
    assert_eq!(child.next(), Frame::Refused(Refusal::Reload));
    assert_eq!(child.next(), Frame::Closed);
    let reason = Reason::ScriptReload;
    assert_eq!(
        daemon.next(),
        Some(FromDaemon::Replace {
            reason,
            draining: true
        })
    );
    assert_eq!(daemon.end(), 0);
    assert!(
        daemon
            .log
            .iter()
            .any(|line| line.contains("process_stopping script_reload"))
    );
}

/// DMN-460: at maximum-requests a replacement is asked for once, and the process serves until it is told to drain.
#[test]
fn maximum_requests_asks_once() {
    let mut settings = settings(2);
    settings.limits.maximum_requests = 2;
    let mut daemon = Daemon::ready(settings);
    let mut child = daemon.child();
    for round in 0..4 {
        child.ask("hello");
        if round == 0 {
            child.expect_welcome();
        }
        child.expect_hello();
    }
    let reason = Reason::MaximumRequests;
    assert_eq!(
        daemon.next(),
        Some(FromDaemon::Replace {
            reason,
            draining: false
        })
    );
    daemon
        .control
        .send(&ToDaemon::Drain(Reason::MaximumRequests))
        .unwrap();
    assert_eq!(daemon.end(), 0);
}

/// wsgi.run_once: with one thread and maximum-requests=1 there is no second request.
#[test]
fn a_process_for_one_request_serves_one() {
    let mut settings = settings(1);
    settings.limits.maximum_requests = 1;
    let mut daemon = Daemon::ready(settings);
    let mut child = daemon.child();
    child.ask("hello");
    child.expect_welcome();
    child.expect_hello();
    let reason = Reason::MaximumRequests;
    assert_eq!(
        daemon.next(),
        Some(FromDaemon::Replace {
            reason,
            draining: true
        })
    );
    assert_eq!(daemon.end(), 0);
}

/// DMN-113 to 118: each failure has its code, names path and user, and is followed by the summary.
#[test]
fn a_missing_home_is_told_with_path_and_user() {
    let mut settings = settings(1);
    settings.identity.home = Some("/nonexistent/home".into());
    let mut daemon = Daemon::start(settings);
    let Some(FromDaemon::Failed {
        code: 9,
        level: 1,
        text,
    }) = daemon.next()
    else {
        panic!("{:#?}", daemon.log);
    };
    assert!(
        text.contains("'/nonexistent/home'") && text.contains("uid "),
        "{text}"
    );
    assert!(text.contains("'/nonexistent' does not exist"), "{text}");
    assert_eq!(daemon.end(), 255);
    assert!(daemon.log.iter().any(|line| line.starts_with("WSGI0025: ")));
}

/// DMN-127: a Python that does not start ends the process (WSGI0028), nothing crashes or hangs.
#[test]
fn a_python_that_does_not_start_is_told() {
    let mut settings = settings(1);
    settings.python.process_group = "broken".into();
    let mut daemon = Daemon::start(settings);
    assert!(matches!(
        daemon.next(),
        Some(FromDaemon::Failed {
            code: 28,
            level: 2,
            ..
        })
    ));
    assert_eq!(daemon.end(), 255);
}

#[test]
fn a_missing_runtime_is_told() {
    let mut settings = settings(1);
    settings.runtime = "/nonexistent/python3.99.so".into();
    let mut daemon = Daemon::start(settings);
    let Some(FromDaemon::Failed { text, .. }) = daemon.next() else {
        panic!("{:#?}", daemon.log)
    };
    assert!(text.contains("/nonexistent"), "{text}");
    assert_eq!(daemon.end(), 255);
}

/// DMN-114: ids are given up for good; the daemon runs as the other user.
#[test]
fn another_user_is_become() {
    if wsgi_sys::process::effective_uid() != 0 {
        return; // only root can become somebody else
    }
    let user = wsgi_sys::passwd::user_by_name("nobody").unwrap().unwrap();
    let mut settings = settings(1);
    settings.identity.change = true;
    settings.identity.uid = user.uid;
    settings.identity.gid = user.gid;
    settings.identity.user = user.name;
    settings.identity.home = Some("/".into());
    let mut daemon = Daemon::ready(settings);
    let status = std::fs::read_to_string(format!("/proc/{}/status", daemon.pid)).unwrap();
    let ids: Vec<&str> = status
        .lines()
        .filter(|l| l.starts_with("Uid:") || l.starts_with("Gid:"))
        .collect();
    let (uid, gid) = (user.uid, user.gid);
    assert_eq!(ids[0], format!("Uid:\t{uid}\t{uid}\t{uid}\t{uid}"));
    assert_eq!(ids[1], format!("Gid:\t{gid}\t{gid}\t{gid}\t{gid}"));
    daemon
        .control
        .send(&ToDaemon::Stop(Reason::ShutdownSignal))
        .unwrap();
    assert_eq!(daemon.end(), 0);
}

/// DMN-560, DMN-561: a service loads its scripts on the main thread and ends with them.
#[test]
fn a_service_ends_with_its_script() {
    let mut settings = settings(0);
    settings.preload = vec![Preload {
        script: "/service.py".into(),
        application_group: String::new(),
    }];
    let mut daemon = Daemon::ready(settings);
    assert_eq!(daemon.end(), 0);
    let log = daemon.log.join("\n");
    assert!(
        log.contains("loaded /service.py") && log.contains("stopped"),
        "{log}"
    );
    assert!(!log.contains("process_stopping"), "DMN-564: {log}");
}
