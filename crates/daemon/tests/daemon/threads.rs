//! The threads of a daemon: who gets the next request, what keeps one busy, and which others there are.

use std::collections::HashSet;
use std::time::Duration;

use crate::group::{
    Child, Daemon, Frame, INSTANCE, SLOT, body, hello, request, request_for, settings,
};
use wsgi_core::control::ToDaemon;
use wsgi_core::life::Reason;
use wsgi_core::wire::{AnswerEnd, HEADER_LEN, Refusal};

/// Name and state of each thread of a process.
fn threads(daemon: &Daemon) -> Vec<(String, char)> {
    let folder = format!("/proc/{}/task", daemon.pid);
    let tasks = std::fs::read_dir(folder).unwrap().flatten();
    let facts = tasks.filter_map(|task| {
        let text = std::fs::read_to_string(task.path().join("stat")).ok()?;
        let (name, rest) = text.split_once('(')?.1.rsplit_once(") ")?;
        Some((name.to_owned(), rest.chars().next()?))
    });
    facts.collect()
}

/// Waits until every thread waits for something.
fn until_quiet(daemon: &Daemon) {
    for _ in 0..3000 {
        let is_idle = daemon.board.idle(SLOT) == daemon.threads;
        if is_idle && threads(daemon).iter().all(|(_, state)| *state == 'S') {
            return;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    panic!("never quiet: {:?}", threads(daemon));
}

/// The thread that answers.
fn thread_of(child: &mut Child) -> String {
    child.ask("environ");
    let (_, data, end) = child.answer();
    assert_eq!(end, AnswerEnd::Complete);
    let text = String::from_utf8(data).unwrap();
    text.lines().next().expect("thread N").to_owned()
}

/// DMN-400: the thread that became idle last gets the next request, so that few threads do the work of light load. In turn it
/// would be all eight.
#[test]
fn the_last_idle_thread_is_the_next() {
    let daemon = Daemon::ready(settings(8));
    let mut child = daemon.child();
    child.ask("hello");
    child.expect_welcome();
    child.expect_hello();
    let mut seen = HashSet::new();
    for _ in 0..40 {
        until_quiet(&daemon);
        assert!(daemon.board.claim(SLOT, INSTANCE));
        seen.insert(thread_of(&mut child));
    }
    assert!(seen.len() < 4, "{seen:?}");
}

/// DMN-270, DMN-405 (decision): what keeps a thread busy is a request, not its connection: the only thread serves others while
/// children keep theirs, and the end waits for none of them.
#[test]
fn a_connection_keeps_no_thread_busy() {
    let mut settings = settings(1);
    // No limit: a thread that counted as busy would keep the process.
    settings.limits.graceful_timeout = 0;
    settings.limits.shutdown_timeout = 0;
    let mut daemon = Daemon::ready(settings);
    let mut children: Vec<Child> = (0..4).map(|_| daemon.child()).collect();
    for child in &mut children {
        child.ask("hello");
        child.expect_welcome();
        child.expect_hello();
    }
    for child in &mut children {
        child.ask("hello");
        child.expect_hello();
    }
    daemon
        .control
        .send(&ToDaemon::Drain(Reason::GracefulSignal))
        .unwrap();
    assert_eq!(daemon.end(), 0);
    for child in &mut children {
        assert_eq!(child.next(), Frame::Closed);
    }
}

/// DMN-405: a thread is busy until its answer is whole.
#[test]
fn a_request_keeps_its_thread_busy() {
    let mut settings = settings(2);
    settings.limits.graceful_timeout = 0;
    let mut daemon = Daemon::ready(settings);
    let mut child = daemon.child();
    child.send(&request("gate", 0));
    child.expect_welcome();
    assert_eq!(child.next(), Frame::Head("200 OK".into(), None));
    assert_eq!(child.next(), Frame::Data(b"begun".to_vec()));
    daemon
        .control
        .send(&ToDaemon::Drain(Reason::GracefulSignal))
        .unwrap();
    daemon.expect_log("taking no more requests");
    child.send(&body(b"", 1));
    assert_eq!(child.next(), Frame::Data(b"done".to_vec()));
    assert_eq!(child.next(), Frame::End(AnswerEnd::Complete));
    assert_eq!(daemon.end(), 0);
}

/// DMN-402, DMN-406: beside the request threads a clock, a dispatcher of signals and one for what answers keep back, and a probe where a timer needs Python.
#[test]
fn helper_threads() {
    for (deadlock, request, probe) in [(0, 0, 0), (300, 0, 1), (0, 60, 1)] {
        let mut settings = settings(3);
        settings.limits.deadlock_timeout = deadlock;
        settings.limits.request_timeout = request;
        let daemon = Daemon::ready(settings);
        until_quiet(&daemon);
        let names: Vec<String> = threads(&daemon).into_iter().map(|(name, _)| name).collect();
        let count = |wanted: &str| names.iter().filter(|name| name.starts_with(wanted)).count();
        assert_eq!(count("wsgi-request-"), 3, "{names:?}");
        for (name, number) in [
            ("wsgi-clock", 1),
            ("wsgi-signals", 1),
            ("wsgi-held", 1),
            ("wsgi-probe", probe),
        ] {
            assert_eq!(count(name), number, "{names:?}");
        }
        assert_eq!(names.len(), 3 + 3 + probe + 1, "{names:?}");
    }
}

/// A connection that was asked before.
fn known(daemon: &Daemon) -> Child {
    let mut child = daemon.child();
    child.ask("hello");
    child.expect_welcome();
    child.expect_hello();
    child
}

/// A request that waits as for the GIL until there is a file of this name. It comes on a known connection and in one piece: a thread
/// that had to wait for a part of it would have given up its place on the lookout.
fn queue(daemon: &Daemon, file: &str) -> Child {
    let mut child = known(daemon);
    assert!(daemon.board.claim(SLOT, INSTANCE));
    child.send(&[request_for("queue", file, 0), body(b"", 1)].concat());
    assert_eq!(child.next(), Frame::Head("200 OK".into(), None));
    assert_eq!(child.next(), Frame::Data(b"waits".to_vec()));
    child
}

/// Requests that would only queue for the GIL stay unread: a process that is to end gives them back, and they go to
/// another.
#[test]
fn requests_that_would_only_queue_stay_unread() {
    let mut daemon = Daemon::ready(settings(4));
    let gil = daemon.folder.path().join("gil");
    let mut third = known(&daemon);
    let mut queued = [(); 2].map(|()| queue(&daemon, gil.to_str().unwrap()));
    assert!(daemon.board.claim(SLOT, INSTANCE));
    third.ask("hello");
    daemon
        .control
        .send(&ToDaemon::Drain(Reason::GracefulSignal))
        .unwrap();
    daemon.expect_log("taking no more requests");
    assert_eq!(third.next(), Frame::Refused(Refusal::Stopping));
    std::fs::write(&gil, "").unwrap();
    for child in &mut queued {
        assert_eq!(child.next(), Frame::Data(b"done".to_vec()));
        assert_eq!(child.next(), Frame::End(AnswerEnd::Complete));
    }
    assert_eq!(daemon.end(), 0);
}

/// Every thread can have a request at the same time, although few look out for requests.
#[test]
fn all_threads_have_requests() {
    let daemon = Daemon::ready(settings(8));
    let mut children: Vec<Child> = (0..8).map(|_| daemon.child()).collect();
    for child in &mut children {
        child.send(&request("gate", 0));
        child.expect_welcome();
        assert_eq!(child.next(), Frame::Head("200 OK".into(), None));
        assert_eq!(child.next(), Frame::Data(b"begun".to_vec()));
    }
    for child in &mut children {
        child.send(&body(b"", 1));
        assert_eq!(child.next(), Frame::Data(b"done".to_vec()));
        assert_eq!(child.next(), Frame::End(AnswerEnd::Complete));
    }
}

/// Connections on which a part of something came keep nobody from looking out for the others.
#[test]
fn a_child_that_stalls_keeps_nobody_from_others() {
    let daemon = Daemon::ready(settings(3));
    let wire = hello();
    let parts = [4, HEADER_LEN + 3];
    let stalled = parts.map(|part| {
        let child = daemon.connect();
        child.send(&wire[..part]);
        child
    });
    let mut child = daemon.child();
    child.ask("hello");
    child.expect_welcome();
    child.expect_hello();
    // Neither was given up.
    for (mut child, part) in stalled.into_iter().zip(parts) {
        child.send(&wire[part..]);
        child.ask("hello");
        child.expect_welcome();
        child.expect_hello();
    }
}

/// Requests that wait, as it seems for the GIL, but for something that does not come: the other threads serve all the same.
#[test]
fn requests_that_are_stuck_keep_nobody_from_others() {
    let daemon = Daemon::ready(settings(3));
    let mut other = known(&daemon);
    let stuck = [(); 2].map(|()| queue(&daemon, "/nonexistent"));
    for _ in 0..3 {
        assert!(daemon.board.claim(SLOT, INSTANCE));
        other.ask("hello");
        other.expect_hello();
    }
    drop(stuck);
}
