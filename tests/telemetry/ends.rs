//! PROCESS_STARTED, PROCESS_STOPPING and PROCESS_STOPPED: how processes come and go.

use nix::sys::signal::Signal;
use wsgi_harness::telemetry::{Consumer, Datagram, Kind};
use wsgi_harness::{Mode, Mpm, Server, matrix, subject};

use super::{assert_sequences, hold, let_go, reporting, reporting_with};

/// The end of a process: what it said at its decision, and as its last.
fn end_of(consumer: &Consumer, pid: i32) -> (Datagram, Datagram) {
    let of = |kind| {
        consumer.wait_for(&format!("{kind:?} of {pid}"), |datagram| {
            datagram.kind == kind && datagram.pid == pid
        })
    };
    (of(Kind::Stopping), of(Kind::Stopped))
}

/// TEL-050, TEL-051: of each process that began: one beginning, at most one decision and one end, in this order, and nothing behind.
#[track_caller]
fn assert_lives(consumer: &Consumer) {
    assert_sequences(consumer);
    for started in consumer.of(Kind::Started) {
        let mut all = consumer.from(started.pid);
        all.sort_by_key(|datagram| datagram.seq);
        let at = |kind| -> Vec<usize> {
            let kinds = all.iter().enumerate();
            let found = kinds.filter(|(_, datagram)| datagram.kind == kind);
            found.map(|(at, _)| at).collect()
        };
        let (stopping, stopped) = (at(Kind::Stopping), at(Kind::Stopped));
        assert_eq!(at(Kind::Started), [0], "{}", started.summary());
        assert!(stopping.len() <= 1, "{}", started.summary());
        if !stopped.is_empty() {
            assert_eq!(stopped, [all.len() - 1], "{}", started.summary());
            assert_eq!(stopping.len(), 1, "{}", started.summary());
        }
    }
}

fn ticks_behind_the_decision(consumer: &Consumer, pid: i32) -> usize {
    let all = consumer.from(pid);
    let decision = all.iter().find(|one| one.kind == Kind::Stopping);
    let decision = decision.expect("it has stopped").seq;
    let behind = |one: &&Datagram| one.kind == Kind::Request && one.seq > decision;
    all.iter().filter(behind).count()
}

/// DMN-513, DMN-516, TEL-050, TEL-150 to TEL-155: a daemon is told to end while it has a request: it says so at once, goes on
/// reporting, waits for the request, reports for the last time, and says that it has ended.
#[test]
fn a_daemon_that_drains() {
    let (consumer, site) = reporting(Mpm::Event, Mode::Daemon);
    let server = site.daemon_options("threads=3 shutdown-timeout=60").start();
    let pid = server.served_by("/app");
    let daemon = server.daemon(pid);
    consumer.wait_for_more(Kind::Request, pid, 1);
    let mut connection = hold(&server, "/app", "one");
    daemon.signal(Signal::SIGTERM);
    let stopping = consumer.wait_for("its decision", |datagram| {
        datagram.kind == Kind::Stopping && datagram.pid == pid
    });
    assert_eq!(stopping.count("active_requests_at_decision"), 1);
    consumer.wait_for_more(Kind::Request, pid, 2);
    assert!(
        consumer
            .only(|datagram| datagram.kind == Kind::Stopped && datagram.pid == pid)
            .is_empty()
    );
    let_go(&server);
    assert_eq!(connection.answer().status, 200);
    let (stopping, stopped) = end_of(&consumer, pid);
    for end in [&stopping, &stopped] {
        assert_eq!(end.text("shutdown_reason"), "shutdown_signal");
        assert_eq!(end.text("process_group"), "live");
    }
    assert_eq!(stopped.count("active_requests_at_exit"), 0);
    assert_eq!(stopped.count("graceful_drain"), 1);
    assert_eq!(stopped.count("lifetime_request_count"), 2);
    let started = &consumer.from(pid)[0];
    let lived = stopped.stamp - started.stamp;
    let uptime = stopped.number("process_uptime");
    assert!(
        uptime > 1.0 && (uptime - lived).abs() < 0.5 * lived,
        "{uptime} {lived}"
    );
    let ticks = consumer.only(|datagram| datagram.kind == Kind::Request && datagram.pid == pid);
    let counted: u64 = ticks.iter().map(|tick| tick.count("request_count")).sum();
    assert_eq!(counted, 2, "the last tick knows the last request");
    // Its successor.
    let next = server.served_by("/app");
    assert_ne!(next, pid);
    consumer.wait_for("its beginning", |datagram| {
        datagram.kind == Kind::Started && datagram.pid == next && datagram.seq == 1
    });
    assert_lives(&consumer);
}

/// DMN-520, TEL-051, TEL-154, TEL-155: who does not wait for the request any longer says so.
#[test]
fn a_daemon_that_is_cut_off() {
    let (consumer, site) = reporting(Mpm::Event, Mode::Daemon);
    let server = site.daemon_options("threads=3 shutdown-timeout=1").start();
    server.allow_log("'live'");
    server.allow_log("WSGI");
    let pid = server.served_by("/app");
    let daemon = server.daemon(pid);
    consumer.wait_for_more(Kind::Request, pid, 1);
    let mut connection = hold(&server, "/app", "one");
    daemon.signal(Signal::SIGTERM);
    assert_eq!(connection.answer().status, 502);
    server.wait_until_gone(&[daemon]);
    let (stopping, stopped) = end_of(&consumer, pid);
    assert_eq!(stopping.count("active_requests_at_decision"), 1);
    assert_eq!(stopped.text("shutdown_reason"), "shutdown_signal");
    assert_eq!(stopped.count("active_requests_at_exit"), 1);
    assert_eq!(stopped.count("graceful_drain"), 0);
    assert_eq!(stopped.count("lifetime_request_count"), 1);
    assert_lives(&consumer);
}

/// DMN-530, TEL-150: why it ended, when its decision was its own.
fn reason(options: &str, signal: Option<Signal>, expected: &str) {
    let (consumer, site) = reporting(Mpm::Event, Mode::Daemon);
    let server = site.daemon_options(&format!("threads=2 {options}")).start();
    server.allow_log("'live'");
    let pid = server.served_by("/app");
    // Requests do not wait for the thread that says so.
    consumer.wait_for("its beginning", |datagram| {
        datagram.kind == Kind::Started && datagram.pid == pid
    });
    if let Some(signal) = signal {
        server.daemon(pid).signal(signal);
    }
    if expected == "maximum_requests" {
        server.get("/app").expect(200);
    }
    let (stopping, stopped) = end_of(&consumer, pid);
    assert_eq!(stopping.text("shutdown_reason"), expected);
    assert_eq!(stopped.text("shutdown_reason"), expected);
    assert_eq!(stopped.count("graceful_drain"), 1);
    assert_lives(&consumer);
}

#[test]
fn reasons() {
    reason("", Some(Signal::SIGINT), "shutdown_signal");
    reason(
        "graceful-timeout=30",
        Some(Signal::SIGUSR1),
        "graceful_signal",
    );
    reason(
        "eviction-timeout=30",
        Some(Signal::SIGUSR1),
        "eviction_signal",
    );
    reason("maximum-requests=2", None, "maximum_requests");
    reason("restart-interval=1", None, "restart_interval");
    reason("inactivity-timeout=1", None, "inactivity_timeout");
}

/// DMN-471, DMN-530, TEL-050: a process that waits for its requests first, by graceful-timeout, reports as long as it does, and
/// its end has the reason for which it waited.
#[test]
fn a_graceful_daemon_goes_on_reporting() {
    let (consumer, site) = reporting(Mpm::Event, Mode::Daemon);
    let server = site.daemon_options("threads=3 graceful-timeout=60").start();
    let pid = server.served_by("/app");
    let daemon = server.daemon(pid);
    consumer.wait_for_more(Kind::Request, pid, 1);
    let mut connection = hold(&server, "/app", "one");
    daemon.signal(Signal::SIGUSR1);
    consumer.wait_for_more(Kind::Request, pid, 3);
    let_go(&server);
    assert_eq!(connection.answer().status, 200);
    let (stopping, stopped) = end_of(&consumer, pid);
    for end in [&stopping, &stopped] {
        assert_eq!(end.text("shutdown_reason"), "graceful_signal");
    }
    assert_eq!(stopped.count("graceful_drain"), 1);
    assert_eq!(stopped.count("lifetime_request_count"), 2);
    assert_lives(&consumer);
}

/// All that have begun.
fn reporters(consumer: &Consumer) -> Vec<i32> {
    let started = consumer.of(Kind::Started);
    started.iter().map(|datagram| datagram.pid).collect()
}

/// TEL-050, TEL-150, TEL-155: at each restart of the server all processes end and others begin; at its stop the last ones end.
fn restarts(mpm: Mpm, mode: Mode) {
    let (consumer, site) = reporting(mpm, mode);
    let server = site.start();
    let changes: [fn(&Server); 2] = [Server::graceful, Server::restart];
    for change in changes {
        let pid = server.served_by("/app");
        consumer.wait_for_more(Kind::Request, pid, 1);
        let before = reporters(&consumer);
        change(&server);
        for pid in &before {
            end_of(&consumer, *pid);
        }
        let next = server.served_by("/app");
        assert!(!before.contains(&next));
        consumer.wait_for_more(Kind::Request, next, 1);
    }
    server.stop();
    for pid in reporters(&consumer) {
        let (stopping, stopped) = end_of(&consumer, pid);
        let is_daemon = stopping.has("process_group");
        let reason = if is_daemon { "shutdown_signal" } else { "" };
        for end in [&stopping, &stopped] {
            assert_eq!(end.has("process_group"), is_daemon);
            assert_eq!(end.text("shutdown_reason"), reason);
        }
        assert_eq!(stopping.count("active_requests_at_decision"), 0);
        assert_eq!(stopped.count("active_requests_at_exit"), 0);
        assert_eq!(stopped.count("graceful_drain"), 1);
        assert!(
            ticks_behind_the_decision(&consumer, pid) >= 1,
            "the last tick"
        );
    }
    assert_lives(&consumer);
}
matrix!(restarts: event prefork);

/// TEL-090: the end does not wait for the next tick, which would come in ten minutes.
fn the_end_does_not_wait(mpm: Mpm, mode: Mode) {
    if !subject().differs("TEL-090") {
        return;
    }
    let (consumer, site) = reporting_with(mpm, mode, "interval=600");
    let server = site.start();
    let pid = server.served_by("/app");
    consumer.wait_for("its beginning", |datagram| {
        datagram.kind == Kind::Started && datagram.pid == pid
    });
    server.stop();
    let (_, stopped) = end_of(&consumer, pid);
    assert_eq!(stopped.count("graceful_drain"), 1);
    assert_eq!(stopped.count("lifetime_request_count"), 1);
    // The only tick is the last one, which has it all.
    let ticks = consumer.only(|datagram| datagram.kind == Kind::Request && datagram.pid == pid);
    assert_eq!(ticks.len(), 1);
    assert_eq!(ticks[0].count("request_count"), 1);
    assert_lives(&consumer);
}
matrix!(the_end_does_not_wait: event prefork);
