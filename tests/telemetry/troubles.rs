//! Telemetry of processes that are in trouble, begin slowly, or fork.

use std::fs;
use std::thread;
use std::time::Duration;

use nix::sys::signal::Signal;
use wsgi_harness::telemetry::{Consumer, Datagram, Kind};
use wsgi_harness::{Mode, Mpm, Site, matrix, subject, wait_until};

use super::{APP, assert_sequences, let_go, reporting};

/// DMN-440, DMN-520, TEL-013, TEL-051: Python that is blocked keeps nobody from learning what goes on: the figures of the tick come, and
/// at the end that there was no clean one.
#[test]
fn python_that_is_blocked() {
    let (consumer, site) = reporting(Mpm::Event, Mode::Daemon);
    let server = site
        .config("WSGISlowRequests 0.01")
        .daemon_options("threads=3 deadlock-timeout=2 shutdown-timeout=2")
        .script(
            "/block",
            "import ctypes\ndef application(environ, start_response):\n    ctypes.PyDLL(None).sleep(120)\n",
        )
        .start();
    for text in ["'live'", "deadlock", "WSGI", "dump"] {
        server.allow_log(text);
    }
    server.allow_raw_lines();
    let pid = server.served_by("/app");
    let mut connection = server.begin("/block/here");
    consumer.wait_for("the request in the figures", |datagram| {
        let elapsed = "request_threads_current_elapsed";
        datagram.kind == Kind::Request
            && datagram.pid == pid
            && datagram.numbers(elapsed).iter().any(|time| *time > 0.0)
    });
    let first = consumer.wait_for("the request", |datagram| {
        datagram.kind == Kind::SlowRequest && datagram.text("slow_script_name") == "/block"
    });
    if subject().differs("TEL-013") {
        consumer.wait_for("it once more, in a later tick", |datagram| {
            datagram.kind == Kind::SlowRequest && datagram.pid == pid && datagram.seq > first.seq
        });
    }
    assert_eq!(connection.answer().status, 502);
    let stopped = consumer.wait_for("its end", |datagram| {
        datagram.kind == Kind::Stopped && datagram.pid == pid
    });
    assert_eq!(stopped.text("shutdown_reason"), "deadlock_timeout");
    assert_eq!(stopped.count("active_requests_at_exit"), 1);
    assert_eq!(stopped.count("graceful_drain"), 0);
    assert_eq!(stopped.count("lifetime_request_count"), 1);
    server.get("/app").expect(200);
    assert_sequences(&consumer);
}

/// DMN-430, DMN-530, TEL-150: a request that took too long.
#[test]
fn a_request_that_takes_too_long() {
    let (consumer, site) = reporting(Mpm::Event, Mode::Daemon);
    let server = site
        .daemon_options("threads=2 shutdown-timeout=1 request-timeout=1")
        .start();
    for text in ["'live'", "WSGI", "Traceback", "File ", "dump", "hread"] {
        server.allow_log(text);
    }
    server.allow_raw_lines();
    let pid = server.served_by("/app");
    let mut connection = server.begin("/app?hold=one");
    let stopped = consumer.wait_for("its end", |datagram| {
        datagram.kind == Kind::Stopped && datagram.pid == pid
    });
    assert_eq!(stopped.text("shutdown_reason"), "request_timeout");
    assert_eq!(stopped.count("graceful_drain"), 0);
    assert_eq!(stopped.count("active_requests_at_exit"), 1);
    assert_eq!(connection.answer().status, 502);
    assert_sequences(&consumer);
}

/// DMN-465, DMN-530, TEL-150: requests that took too much of the processor; the last one may end.
#[test]
fn a_process_that_computes_too_much() {
    let (consumer, site) = reporting(Mpm::Event, Mode::Daemon);
    let server = site
        .daemon_options("threads=2 cpu-time-limit=1 graceful-timeout=30")
        .script(
            "/compute",
            "import time
def application(environ, start_response):
    while time.process_time() < 1.2:
        pass
    start_response('200 OK', [])
    return [b'computed']
",
        )
        .start();
    server.allow_log("'live'");
    let pid = server.served_by("/app");
    server.get("/compute").expect(200);
    let stopped = consumer.wait_for("its end", |datagram| {
        datagram.kind == Kind::Stopped && datagram.pid == pid
    });
    assert_eq!(stopped.text("shutdown_reason"), "cpu_time_limit");
    assert_eq!(stopped.count("graceful_drain"), 1);
    let ticks = consumer.only(|datagram| datagram.kind == Kind::Request && datagram.pid == pid);
    // On a busy machine less than all of it is within one interval.
    let used: f64 = ticks
        .iter()
        .map(|tick| tick.number("cpu_utilization") * tick.number("sample_period"))
        .sum();
    assert!(used > 1.0 && used < 10.0, "{used}");
    assert_sequences(&consumer);
}

/// DMN-530: a script that has changed.
#[test]
fn a_script_that_changed() {
    let (consumer, site) = reporting(Mpm::Event, Mode::Daemon);
    let server = site.start();
    server.allow_log("'live'");
    let pid = server.served_by("/app");
    server.touch("apps/app.wsgi");
    wait_until("another process", || {
        (server.served_by("/app") != pid).then_some(())
    });
    let stopped = consumer.wait_for("its end", |datagram| {
        datagram.kind == Kind::Stopped && datagram.pid == pid
    });
    assert_eq!(stopped.text("shutdown_reason"), "script_reload");
    assert_sequences(&consumer);
}

/// TEL-010, TEL-012: a process begins to report when its scripts are loaded, before it takes a request.
fn scripts_that_load_slowly(mpm: Mpm, mode: Mode) {
    let (consumer, site) = reporting(mpm, mode);
    let place = match mode {
        Mode::Daemon => "process-group=live",
        Mode::Embedded => "process-group=%{GLOBAL}",
    };
    let early = "import os, time
with open('{data}/loading', 'w') as file:
    file.write('%d ' % os.getpid())
while not os.path.exists('{data}/loaded'):
    time.sleep(0.01)
";
    let server = site
        .config(&format!(
            "WSGIImportScript {{apps}}/early.py {place} application-group=%{{GLOBAL}}"
        ))
        .file("apps/early.py", early)
        .start();
    let pid: i32 = wait_until("the script", || {
        let text = fs::read_to_string(server.path("data/loading")).ok()?;
        text.strip_suffix(' ')?.parse().ok()
    });
    // Long enough for what should not come.
    thread::sleep(Duration::from_millis(700));
    assert_eq!(consumer.from(pid).len(), 0);
    server.write("data/loaded", "");
    let tick = &consumer.wait_for_more(Kind::Request, pid, 1)[0];
    // What came before is no part of the first interval.
    assert!(tick.number("sample_period") < 30.0);
    assert_eq!(server.served_by("/app"), pid);
    assert_sequences(&consumer);
}
matrix!(scripts_that_load_slowly: event);

/// TEL-010, DMN-506: a process that the application forks is silent, whether it goes on or ends, and the one that serves goes on.
fn forks(mpm: Mpm, mode: Mode) {
    let (consumer, site) = reporting(mpm, mode);
    let forking = "import gc, os, time

def application(environ, start_response):
    start_response('200 OK', [])
    pid = os.fork()
    if not pid:
        for _ in range(5):
            gc.collect()
        while not os.path.exists('{data}/go'):
            time.sleep(0.01)
        os._exit(0)
    quick = os.fork()
    if not quick:
        gc.collect()
        os._exit(0)
    os.waitpid(quick, 0)
    return [('%d %d %d' % (os.getpid(), pid, quick)).encode()]
";
    let server = site.script("/fork", forking).start();
    server.allow_log("'live'");
    let text = server.get("/fork").expect(200).text();
    let pids: Vec<i32> = text
        .split(' ')
        .map(|word| word.parse().expect("a number"))
        .collect();
    consumer.wait_for_more(Kind::Request, pids[0], 3);
    let_go(&server);
    consumer.wait_for_more(Kind::Request, pids[0], 1);
    for silent in &pids[1..] {
        assert_eq!(consumer.from(*silent).len(), 0);
    }
    assert_sequences(&consumer);
}
matrix!(forks: event);

/// TEL-010, TEL-050: one process that is parent, child and, for a debugger, all there is.
#[test]
fn one_process() {
    let (consumer, site) = reporting(Mpm::Event, Mode::Embedded);
    let server = site.one_process().start();
    let pid = server.served_by("/app");
    consumer.wait_for("the request", |datagram| {
        datagram.kind == Kind::Request
            && datagram.pid == pid
            && datagram.count("request_count") == 1
    });
    assert_sequences(&consumer);
}

/// TEL-002: a limit without a consumer is no matter.
fn a_limit_without_consumer(mpm: Mpm, mode: Mode) {
    let site = Site::new(mpm, mode).config("WSGISlowRequests 0.01\nWSGITelemetryOptions All");
    let server = site.script("/app", APP).start();
    for _ in 0..5 {
        server.get("/app?sleep=0.05").expect(200);
    }
}
matrix!(a_limit_without_consumer: event);

/// TEL-001: of two consumers the last one is meant.
#[test]
fn two_consumers() {
    let (first, site) = reporting(Mpm::Event, Mode::Daemon);
    let second = Consumer::bind(site.path("second.sock"));
    let server = site
        .config("WSGITelemetryService unix:{dir}/second.sock interval=0.7")
        .start();
    let pid = server.served_by("/app");
    let tick = &second.wait_for_more(Kind::Request, pid, 1)[0];
    assert_eq!(tick.number("telemetry_interval"), 0.7);
    assert_eq!(first.all().len(), 0);
}

/// TEL-051, DMN-541: a process that is killed says nothing; its successor begins anew.
#[test]
fn a_process_that_is_killed() {
    let (consumer, site) = reporting(Mpm::Event, Mode::Daemon);
    let server = site.start();
    server.allow_log("'live'");
    server.allow_log("WSGI");
    let pid = server.served_by("/app");
    consumer.wait_for_more(Kind::Request, pid, 1);
    let daemon = server.daemon(pid);
    daemon.signal(Signal::SIGKILL);
    server.wait_until_gone(&[daemon]);
    let next = wait_until("its successor", || {
        let answer = server.get("/app");
        (answer.status == 200)
            .then(|| answer.pid())
            .filter(|next| *next != pid)
    });
    consumer.wait_for_more(Kind::Request, next, 2);
    let is_end = |datagram: &Datagram| [Kind::Stopping, Kind::Stopped].contains(&datagram.kind);
    assert!(!consumer.from(pid).iter().any(is_end));
    assert_sequences(&consumer);
}
/// TEL-062, TEL-182: however many requests were slow in one interval, a consumer that reads gets the record of each, though the queue
/// of its socket is short. In one of a few rounds: the reader of the test may not get the processor in time.
#[test]
fn many_records_at_once() {
    const CLIENTS: usize = 10;
    const EACH: usize = 6;
    let (consumer, site) = reporting(Mpm::Event, Mode::Daemon);
    let server = site
        .config("WSGISlowRequests 0.005")
        .daemon_options("threads=10")
        .start();
    let pid = server.served_by("/app");
    let is_whole = |round: usize| {
        thread::scope(|scope| {
            for client in 0..CLIENTS {
                let server = &server;
                scope.spawn(move || {
                    for number in 0..EACH {
                        let target = format!("/app/r{round}-{client}-{number}?sleep=0.02");
                        server.get(&target).expect(200);
                    }
                });
            }
        });
        // The tick that knows the last of them is over when the next one is there.
        consumer.wait_for_more(Kind::Request, pid, 2);
        let records = consumer.only(|datagram| {
            datagram.kind == Kind::SlowRequest
                && datagram.count("slow_record_state") == 1
                && datagram
                    .text("slow_path_info")
                    .starts_with(&format!("/r{round}-"))
        });
        println!("round {round}: {} records", records.len());
        records.len() == CLIENTS * EACH
    };
    assert!((0..8).any(is_whole));
}

/// TEL-098: a process whose Python does not start reports nothing.
#[test]
fn python_that_does_not_start() {
    if !subject().is_ours() {
        // Such processes of the original crash.
        return;
    }
    let (consumer, site) = reporting(Mpm::Event, Mode::Daemon);
    let server = site
        .config(
            "WSGIRestrictEmbedded On\nWSGIDaemonProcess broken threads=1 python-home=/nowhere/at/all\n\
             WSGIScriptAlias /broken {apps}/app.wsgi process-group=broken application-group=%{GLOBAL}",
        )
        .start();
    for text in ["WSGI", "Python", "broken", "nowhere"] {
        server.allow_log(text);
    }
    server.allow_raw_lines();
    let pid = server.served_by("/app");
    consumer.wait_for_more(Kind::Request, pid, 3);
    let reporters = consumer.only(|datagram| datagram.text("process_group") == "broken");
    assert_eq!(reporters.len(), 0);
}
