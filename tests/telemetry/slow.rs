//! SLOW_REQUEST: requests that take longer than `WSGISlowRequests`, while they run and when they have ended.

use std::collections::{BTreeMap, BTreeSet};

use wsgi_harness::telemetry::{Consumer, Datagram, Kind};
use wsgi_harness::{Mode, Mpm, Request, Site, matrix, subject};

use super::{assert_sequences, hold, let_go, reporting};

const ACTIVE: u64 = 0;
const COMPLETED: u64 = 1;

/// Fields that are the same in every record of a request.
const SAME: [&str; 13] = [
    "slow_log_id",
    "slow_method",
    "slow_scheme",
    "slow_hostname",
    "slow_script_name",
    "slow_path_info",
    "slow_protocol",
    "slow_peer_ip",
    "slow_user_agent",
    "slow_thread_id",
    "slow_server_pid",
    "slow_active_at_start",
    "slow_start_stamp",
];

/// Fields that an active record has no figures for yet.
const LATER: [&str; 10] = [
    "slow_input_bytes",
    "slow_input_reads",
    "slow_output_bytes",
    "slow_output_writes",
    "slow_input_read_time",
    "slow_output_write_time",
    "slow_status",
    "slow_cpu_user_time",
    "slow_cpu_system_time",
    "slow_active_at_completion",
];

/// A site that calls requests slow after this many seconds.
fn slow(mpm: Mpm, mode: Mode, threshold: &str) -> (Consumer, Site) {
    let (consumer, site) = reporting(mpm, mode);
    (
        consumer,
        site.config(&format!("WSGISlowRequests {threshold}")),
    )
}

/// The record of the request for this path, which ends with it.
fn wait_for_record(consumer: &Consumer, state: u64, path: &str) -> Datagram {
    consumer.wait_for(&format!("a record {state} of {path}"), |datagram| {
        is_about(datagram, state, path)
    })
}

fn is_about(datagram: &Datagram, state: u64, path: &str) -> bool {
    let is_meant = |datagram: &Datagram| {
        let [script, info] = ["slow_script_name", "slow_path_info"].map(|name| datagram.text(name));
        format!("{script}{info}").ends_with(path)
    };
    datagram.kind == Kind::SlowRequest
        && datagram.count("slow_record_state") == state
        && is_meant(datagram)
}

/// What Apache's log and the events call the last request.
const KNOWING: &str = "import mod_wsgi

@mod_wsgi.subscribe_events
def on_event(name, **event):
    if name == 'request_started':
        facts = [event[key] for key in ('request_id', 'thread_id', 'server_pid', 'request_start')]
        with open('{data}/known', 'w') as file:
            file.write(' '.join(map(str, facts)))
";

/// TEL-160 to TEL-182, TEL-184: all that is said of a request, while it runs in every tick, and once when it has ended.
fn records(mpm: Mpm, mode: Mode) {
    if (mpm, mode) == (Mpm::Prefork, Mode::Embedded) && !subject().differs("TEL-094") {
        // The original does not see the only thread of such a child.
        return;
    }
    let (consumer, site) = slow(mpm, mode, "0.2");
    let server = site
        .script("/known", &format!("{KNOWING}{}", super::APP))
        .start();
    let child = server
        .children()
        .iter()
        .map(|child| child.pid)
        .collect::<Vec<_>>();
    let mut connection = hold(&server, "/known/a%20path/secret.txt", "one");
    let path = "/a path/secret.txt";
    let active = consumer.wait_for_many("records of a request that runs", 3, |datagram| {
        is_about(datagram, ACTIVE, path)
    });
    let_go(&server);
    assert_eq!(connection.answer().status, 200);
    let completed = wait_for_record(&consumer, COMPLETED, path);
    let known = std::fs::read_to_string(server.path("data/known")).expect("the event");
    let known: Vec<&str> = known.split(' ').collect();
    for record in active.iter().chain([&completed]) {
        for name in SAME {
            assert_eq!(record.shown(name), active[0].shown(name), "{name}");
        }
        assert_eq!(record.text("slow_log_id"), known[0]);
        assert_eq!(record.count("slow_thread_id").to_string(), known[1]);
        assert!(record.number("slow_duration") >= 0.2, "{record:?}");
        let phases = ["server", "queue", "daemon", "application"];
        let [server, queue, daemon, application] =
            phases.map(|phase| record.number(&format!("slow_{phase}_time")));
        assert!(application > 0.1, "{record:?}");
        assert!(server > 0.0, "{record:?}");
        let own = application + if mode == Mode::Daemon { daemon } else { server };
        let duration = record.number("slow_duration");
        assert!((own - duration).abs() < 0.5, "{record:?}");
        assert_eq!(queue + daemon > 0.0, mode == Mode::Daemon, "{record:?}");
        assert!(record.number("slow_gil_wait_time") >= 0.0);
        assert!(record.count("slow_gil_wait_count") > 0);
    }
    let first = &active[0];
    for (name, expected) in [
        ("slow_method", "GET"),
        ("slow_scheme", "http"),
        ("slow_hostname", "localhost"),
        ("slow_script_name", "/known"),
        ("slow_path_info", path),
        ("slow_protocol", "HTTP/1.1"),
        ("slow_peer_ip", "127.0.0.1"),
        ("slow_user_agent", ""),
    ] {
        assert_eq!(first.text(name), expected, "{name}");
    }
    assert_eq!(first.count("slow_server_pid").to_string(), known[2]);
    let accepted: i32 = known[2].parse().expect("a process id");
    assert!(child.contains(&accepted), "{accepted} of {child:?}");
    assert_eq!(first.count("slow_active_at_start"), 1);
    assert_eq!(first.pid == accepted, mode == Mode::Embedded);
    let began: f64 = known[3].parse().expect("a time");
    let start = first.number("slow_start_stamp");
    assert!((0.0..60.0).contains(&(start - began)), "{start} {began}");
    // All of one tick have its time, by which they last.
    for record in &active {
        let lasted = record.stamp - record.number("slow_start_stamp");
        assert!(
            (record.number("slow_duration") - lasted).abs() < 0.5,
            "{record:?}"
        );
        for name in LATER {
            assert_eq!(record.shown(name), "0", "{name}");
        }
    }
    let durations: Vec<f64> = active
        .iter()
        .chain([&completed])
        .map(|record| record.number("slow_duration"))
        .collect();
    assert!(durations.is_sorted(), "{durations:?}");
    assert_eq!(completed.count("slow_status"), 200);
    // The body is the id of the process.
    let length = completed.pid.to_string().len() as u64;
    assert_eq!(completed.count("slow_output_bytes"), length);
    assert_eq!(completed.count("slow_output_writes"), 1);
    assert_eq!(completed.count("slow_active_at_completion"), 1);
    let application = completed.number("slow_application_time");
    let [user, system] =
        ["user", "system"].map(|name| completed.number(&format!("slow_cpu_{name}_time")));
    assert!(user + system <= application + 0.1, "{completed:?}");
    assert!(completed.number("slow_output_write_time") <= application);
    // Said once, and nothing more of it, neither by the child that passed it on.
    consumer.wait_for_more(Kind::Request, first.pid, 2);
    let all = consumer.of(Kind::SlowRequest);
    let ends = all
        .iter()
        .filter(|record| record.count("slow_record_state") == COMPLETED);
    assert_eq!(ends.count(), 1);
    assert!(all.iter().all(|record| record.pid == first.pid));
    assert_sequences(&consumer);
}
matrix!(records: event prefork);

/// TEL-167 to TEL-171, TEL-180: the query is never sent, in whichever field; the user agent only when asked for.
fn what_is_not_said(mpm: Mpm, mode: Mode) {
    for (options, expected) in [
        ("", ""),
        ("WSGITelemetryOptions CaptureUserAgent", "browser of one"),
        ("WSGITelemetryOptions +captureuseragent", "browser of one"),
        ("WSGITelemetryOptions All", "browser of one"),
        ("WSGITelemetryOptions All\nWSGITelemetryOptions None", ""),
        (
            "WSGITelemetryOptions CaptureUserAgent\nWSGITelemetryOptions -CaptureUserAgent",
            "",
        ),
    ] {
        let (consumer, site) = slow(mpm, mode, "0.01");
        let server = site.config(options).start();
        let request = Request::post("/app/there?sleep=0.1&secret", "a body");
        let request = request.header("User-Agent", "browser of one");
        server.send(&request).expect(200);
        let record = wait_for_record(&consumer, COMPLETED, "/there");
        assert_eq!(record.text("slow_user_agent"), expected, "{options}");
        assert_eq!(record.text("slow_method"), "POST");
        assert_eq!(record.text("slow_path_info"), "/there");
        assert_eq!(record.count("slow_input_bytes"), 6);
        assert!(record.count("slow_input_reads") >= 1);
        for datagram in consumer.all() {
            assert!(!format!("{datagram:?}").contains("secret"), "{datagram:?}");
        }
    }
}
matrix!(what_is_not_said: event);

/// TEL-166 to TEL-171, TEL-181: texts that are too long are cut, and show it.
fn long_texts(mpm: Mpm, mode: Mode) {
    let (consumer, site) = slow(mpm, mode, "0.01");
    let mount = format!("/{}", "m".repeat(300));
    let server = site
        .config("WSGITelemetryOptions CaptureUserAgent")
        .config(&format!("WSGIScriptAlias {mount} {{apps}}/app.wsgi"))
        .start();
    let target = format!("{mount}/{}?sleep=0.1", "p".repeat(600));
    let request = Request::new("METHODTHATISLONG", &target)
        .host(&"h".repeat(300))
        .header("User-Agent", "u".repeat(600));
    server.send(&request).expect(200);
    let record = consumer.wait_for("its end", |datagram| {
        datagram.kind == Kind::SlowRequest && datagram.count("slow_record_state") == COMPLETED
    });
    let cut = |begin: &str, letter: &str, limit: usize| {
        format!("{begin}{}...", letter.repeat(limit - begin.len() - 3))
    };
    assert_eq!(record.text("slow_method"), "METHODTHATIS...");
    assert_eq!(record.text("slow_hostname"), cut("", "h", 255));
    assert_eq!(record.text("slow_script_name"), cut("/", "m", 255));
    assert_eq!(record.text("slow_path_info"), cut("/", "p", 511));
    assert_eq!(record.text("slow_user_agent"), cut("", "u", 511));
}
matrix!(long_texts: event);

/// TEL-166 to TEL-170: whom the server calls host and client, behind a proxy that is trusted.
fn behind_a_proxy(mpm: Mpm, mode: Mode) {
    let (consumer, site) = slow(mpm, mode, "0.01");
    let server = site
        .config("WSGITrustedProxyHeaders X-Forwarded-Proto X-Forwarded-For X-Script-Name X-Forwarded-Host")
        .start();
    // Ours warns of trusting everybody.
    server.allow_log("WSGI5004");
    let request = Request::get("/app/behind?sleep=0.1")
        .host("EXAMPLE.com:8080")
        .header("X-Forwarded-Proto", "https")
        .header("X-Forwarded-For", "1.2.3.4")
        .header("X-Script-Name", "/outer")
        .header("X-Forwarded-Host", "other.example");
    server.send(&request).expect(200);
    let record = wait_for_record(&consumer, COMPLETED, "/behind");
    let (host, peer) = match mode {
        Mode::Daemon => ("other.example", "1.2.3.4"),
        Mode::Embedded => ("example.com", "127.0.0.1"),
    };
    assert_eq!(record.text("slow_scheme"), "https");
    assert_eq!(record.text("slow_hostname"), host);
    assert_eq!(record.text("slow_script_name"), "/app");
    assert_eq!(record.text("slow_path_info"), "/behind");
    assert_eq!(record.text("slow_peer_ip"), peer);
}
matrix!(behind_a_proxy: event);

/// TEL-170: an address that another module of httpd has found is Apache's.
fn address_by_a_module(mpm: Mpm, mode: Mode) {
    let (consumer, site) = slow(mpm, mode, "0.01");
    let server = site
        .modules(&["remoteip"])
        .config("RemoteIPHeader X-Client")
        .start();
    let request = Request::get("/app/there?sleep=0.1").header("X-Client", "2001:db8::17");
    server.send(&request).expect(200);
    let record = wait_for_record(&consumer, COMPLETED, "/there");
    assert_eq!(record.text("slow_peer_ip"), "2001:db8::17");
}
matrix!(address_by_a_module: event);

/// TEL-172, TEL-176, TEL-185: what became of requests: an application that failed, one that was cut short, one that was never
/// called.
fn outcomes(mpm: Mpm, mode: Mode) {
    let (consumer, mut site) = slow(mpm, mode, "0.05");
    const CASES: [(&str, &str, u64, u64); 6] = [
        (
            "import",
            "time.sleep(0.3)\nraise ValueError('on purpose')\n",
            0,
            0,
        ),
        ("nothing", "time.sleep(0.3)\n", 0, 0),
        (
            "raises",
            "def application(e, s):\n    time.sleep(0.3)\n    raise ValueError('on purpose')\n",
            500,
            0,
        ),
        (
            "breaks",
            "def application(e, s):\n    s('200 OK', [])\n    yield b'abc'\n    time.sleep(0.3)\n    raise ValueError('on purpose')\n",
            200,
            3,
        ),
        (
            "silent",
            "def application(e, s):\n    time.sleep(0.3)\n    return []\n",
            500,
            0,
        ),
        (
            "teapot",
            "def application(e, s):\n    time.sleep(0.3)\n    s('418 Teapot', [])\n    return [b'x']\n",
            418,
            1,
        ),
    ];
    for (name, text, ..) in CASES {
        site = site.script(&format!("/{name}"), &format!("import time\n{text}"));
    }
    let server = site.start();
    server.allow_raw_lines();
    for text in [
        "WSGI",
        "on purpose",
        "AH01102",
        "AH01110",
        "Timeout",
        "Truncated",
    ] {
        server.allow_log(text);
    }
    for (name, _, status, length) in CASES {
        // What the client gets is not what this is about.
        let mut connection = server.begin(&format!("/{name}"));
        let _ = connection.read_answer("GET");
        let record = wait_for_record(&consumer, COMPLETED, &format!("/{name}"));
        assert_eq!(record.count("slow_status"), status, "{name}");
        assert_eq!(record.count("slow_output_bytes"), length, "{name}");
        let application = record.number("slow_application_time");
        let before = match mode {
            Mode::Embedded => record.number("slow_server_time"),
            Mode::Daemon => record.number("slow_daemon_time"),
        };
        if status == 0 {
            assert_eq!(application, 0.0, "{name}");
            assert!(before > 0.25, "{name}: {record:?}");
        } else {
            assert!(application > 0.25, "{name}: {record:?}");
        }
    }
}
matrix!(outcomes: event);

/// TEL-163, TEL-178, TEL-179: how many ran when a request began and when it ended.
fn neighbours(mpm: Mpm, mode: Mode) {
    let (consumer, site) = slow(mpm, mode, "0.05");
    let server = site.start();
    let names = ["/app/one", "/app/two", "/app/three"];
    let mut connections: Vec<_> = names.iter().map(|name| hold(&server, name, name)).collect();
    for name in names {
        wait_for_record(&consumer, ACTIVE, name);
    }
    let_go(&server);
    let mut ends: Vec<u64> = Vec::new();
    let mut threads = BTreeSet::new();
    for (at, name) in names.iter().enumerate() {
        assert_eq!(connections[at].answer().status, 200);
        let record = wait_for_record(&consumer, COMPLETED, name);
        assert_eq!(record.count("slow_active_at_start"), at as u64 + 1);
        ends.push(record.count("slow_active_at_completion"));
        threads.insert(record.count("slow_thread_id"));
    }
    ends.sort_unstable();
    assert_eq!(ends, [1, 2, 3]);
    assert_eq!(threads.len(), 3);
    let most = if mode == Mode::Daemon { 3 } else { 16 };
    assert!(threads.iter().all(|thread| (1..=most).contains(thread)));
}
matrix!(neighbours: event);

/// TEL-002, TEL-013, GEN-11: no limit, and one that nothing reaches: nothing is said.
fn not_slow(mpm: Mpm, mode: Mode) {
    for threshold in ["0", "600"] {
        let (consumer, site) = slow(mpm, mode, threshold);
        let server = site.start();
        let mut connection = hold(&server, "/app", "one");
        let running = consumer.wait_for("a tick that knows it", |datagram| {
            datagram.kind == Kind::Request && datagram.count("request_threads_active") == 1
        });
        let_go(&server);
        assert_eq!(connection.answer().status, 200);
        consumer.wait_for_more(Kind::Request, running.pid, 2);
        assert_eq!(consumer.of(Kind::SlowRequest).len(), 0, "{threshold}");
    }
}
matrix!(not_slow: event / daemon);

/// TEL-097, TEL-182: of many requests that are slow at the same time each is shown, where the original shows 16 of them.
#[test]
fn many_at_once() {
    const COUNT: usize = 20;
    let (consumer, site) = slow(Mpm::Event, Mode::Daemon, "0.05");
    let server = site.daemon_options("threads=25").start();
    let names: Vec<String> = (0..COUNT).map(|at| format!("/app/n{at}x")).collect();
    let connections: Vec<_> = names.iter().map(|name| hold(&server, name, name)).collect();
    let is_active = |datagram: &Datagram| {
        datagram.kind == Kind::SlowRequest && datagram.count("slow_record_state") == ACTIVE
    };
    if subject().differs("TEL-097") {
        for name in &names {
            wait_for_record(&consumer, ACTIVE, name);
        }
    } else {
        consumer.wait_for_many("records", 40, is_active);
        let mut ticks: BTreeMap<u64, usize> = BTreeMap::new();
        for record in consumer.only(is_active) {
            *ticks.entry(record.stamp.to_bits()).or_default() += 1;
        }
        assert_eq!(ticks.values().max(), Some(&16));
    }
    let_go(&server);
    for mut connection in connections {
        assert_eq!(connection.answer().status, 200);
    }
}
