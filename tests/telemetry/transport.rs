//! The way of datagrams: a consumer that is not there, that comes back, that does not read.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::thread;
use std::time::Duration;

use wsgi_harness::telemetry::{Consumer, Kind};
use wsgi_harness::{Level, Mode, Mpm, Site, matrix, subject};

use super::{APP, hold, let_go, reporting};

/// A site that reports to a consumer that the test binds itself, if at all.
fn site(mpm: Mpm, mode: Mode, options: &str) -> Site {
    Site::new(mpm, mode)
        .daemon_options("processes=1 threads=3")
        .config(&format!(
            "WSGITelemetryService unix:{{dir}}/telemetry.sock {options}"
        ))
        .script("/app", APP)
}

/// Long enough for a tick that nobody gets. Nothing depends on whether there was one.
fn let_it_tick() {
    thread::sleep(Duration::from_millis(700));
}

/// TEL-062: a consumer that comes late, goes, leaves a socket that nobody has, may not be written to, or comes back is no matter for
/// the server: what is sent meanwhile is lost, without a word, and the next tick comes.
fn a_consumer_that_comes_and_goes(mpm: Mpm, mode: Mode) {
    const IN_ITS_PLACE: [fn(&Path); 3] = [
        |_| {},
        |path| drop(UnixDatagram::bind(path).expect("a socket that nobody has")),
        |path| fs::write(path, "no socket").expect("a file"),
    ];
    let server = site(mpm, mode, "interval=0.5").start();
    let path = server.path("telemetry.sock");
    let pid = server.served_by("/app");
    let mut last = 0;
    for lay in IN_ITS_PLACE {
        lay(&path);
        server.get("/app").expect(200);
        let_it_tick();
        // There may be nothing.
        let _ = fs::remove_file(&path);
        let consumer = Consumer::bind(&path);
        let tick = &consumer.wait_for_more(Kind::Request, pid, 2)[1];
        assert!(tick.seq > last, "{} {last}", tick.seq);
        last = tick.seq;
    }
    let consumer = Consumer::bind(&path);
    let allow = |mode| {
        fs::set_permissions(&path, Permissions::from_mode(mode)).expect("the owner may");
    };
    allow(0);
    let_it_tick();
    allow(0o666);
    consumer.wait_for_more(Kind::Request, pid, 2);
    assert_eq!(server.served_by("/app"), pid);
    server.stop();
    consumer.wait_for("its end", |datagram| {
        datagram.kind == Kind::Stopped && datagram.pid == pid
    });
}
matrix!(a_consumer_that_comes_and_goes: event);

/// TEL-012, TEL-060: a path that no socket can have is said in the log, and is otherwise no matter.
fn a_path_that_is_too_long(mpm: Mpm, mode: Mode) {
    let long = "x".repeat(200);
    let server = Site::new(mpm, mode)
        .config(&format!("WSGITelemetryService unix:{{dir}}/{long}"))
        .script("/app", APP)
        .start();
    let record = server.wait_for_log("WSGI0132");
    assert!(record.level <= Level::Warn, "{record:?}");
    server.get("/app").expect(200);
    server.graceful();
    server.get("/app").expect(200);
}
matrix!(a_path_that_is_too_long: event);

/// TEL-091, TEL-093: a consumer that has its socket and does not read holds nothing up: not requests, not restarts, not the end, and
/// nothing has to be ended by force. When it reads again, it gets what comes then.
fn nobody_reads(mpm: Mpm, mode: Mode) {
    if !subject().differs("TEL-091") || !subject().differs("TEL-093").max(true) {
        // The original's processes hang, and only SIGKILL ends them.
        return;
    }
    let site = site(mpm, mode, "interval=0.5").config("WSGISlowRequests 0.01");
    let mut consumer = Consumer::idle(site.path("telemetry.sock"));
    let server = site.start();
    for _ in 0..20 {
        server.get("/app?sleep=0.1").expect(200);
    }
    // The queue is full by now: 10 datagrams, where the system says nothing else.
    thread::sleep(Duration::from_secs(2));
    let before = server.served_by("/app");
    let processes = match mode {
        Mode::Daemon => server.daemons(),
        Mode::Embedded => server.children(),
    };
    server.graceful();
    server.wait_until_gone(&processes);
    let next = server.served_by("/app");
    assert_ne!(next, before);
    let mut connection = hold(&server, "/app", "one");
    consumer.read();
    let tick = &consumer.wait_for_more(Kind::Request, next, 2)[1];
    assert!(tick.seq > 1);
    let_go(&server);
    assert_eq!(connection.answer().status, 200);
    server.stop();
    let end = consumer.wait_for("its end", |datagram| {
        datagram.kind == Kind::Stopped && datagram.pid == next
    });
    assert_eq!(end.count("graceful_drain"), 1);
}
matrix!(nobody_reads: event prefork);

/// TEL-090, TEL-091, TEL-093: the same for the stop of the whole server: each process ends by itself, with its Python.
fn nobody_reads_the_end(mpm: Mpm, mode: Mode) {
    if !subject().differs("TEL-091") {
        return;
    }
    // The server's own folder goes with the server.
    let folder = tempfile::tempdir().expect("a folder");
    fs::set_permissions(folder.path(), Permissions::from_mode(0o777)).expect("the owner may");
    let farewell = format!(
        "import atexit\natexit.register(lambda: open('{}/%d' % os.getpid(), 'w').close())\n",
        folder.path().display()
    );
    let site = site(mpm, mode, "interval=600").script("/last", &format!("{APP}{farewell}"));
    let consumer = Consumer::idle(site.path("telemetry.sock"));
    let server = site.start();
    let stuffing = UnixDatagram::unbound().expect("a socket");
    stuffing.set_nonblocking(true).expect("sockets can");
    while stuffing.send_to(b"stuffing", consumer.path()).is_ok() {}
    let pid = server.served_by("/last");
    server.stop();
    let left = folder.path().join(pid.to_string());
    assert!(left.exists(), "its Python was not ended");
}
matrix!(nobody_reads_the_end: event);

/// TEL-061, TEL-063: who may read may be anybody; what is sent fits, also with the longest names.
#[test]
fn the_longest_datagrams() {
    let (consumer, site) = reporting(Mpm::Event, Mode::Daemon);
    let group = "g".repeat(80);
    let server = site
        .config(&format!(
            "WSGISlowRequests 0.01\nWSGITelemetryOptions All\nWSGIDaemonProcess {group} threads=128\n\
             WSGIScriptAlias /long {{apps}}/app.wsgi process-group={group} application-group=%{{GLOBAL}}"
        ))
        .start();
    let pid = server.served_by("/long?sleep=0.1");
    let tick = consumer.wait_for("a tick with all phases", |datagram| {
        datagram.kind == Kind::Request && datagram.pid == pid && datagram.has("queue_time_min")
    });
    assert_eq!(tick.text("process_group"), "g".repeat(63));
    assert_eq!(tick.counts("request_threads_completed").len(), 128);
    assert!(tick.length <= 8192, "{}", tick.length);
    consumer.wait_for("a record", |datagram| datagram.kind == Kind::SlowRequest);
}
