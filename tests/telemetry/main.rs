//! What processes report to a consumer of telemetry, by `WSGITelemetryService`, `WSGITelemetryOptions` and `WSGISlowRequests`.
//! The consumer is a socket of the test. It checks by itself how each datagram is built, and that it has all fields of its kind
//! and no others.

mod collections;
mod counting;
mod ends;
mod figures;
mod naming;
mod slow;
mod transport;
mod troubles;

use std::collections::{BTreeMap, BTreeSet};

use wsgi_harness::telemetry::{Consumer, Kind};
use wsgi_harness::{Connection, Level, Mode, Mpm, Server, Site, matrix, wait_until};

/// The query says what to do; the answer is the id of the process.
const APP: &str = "import gc, os, sys, threading, time

lock = threading.Lock()

def held(name):
    with lock:
        with open('{data}/held', 'a') as file:
            file.write(name + '\\n')
    while not os.path.exists('{data}/go'):
        time.sleep(0.01)

def application(environ, start_response):
    query = dict(item.partition('=')[::2] for item in environ['QUERY_STRING'].split('&'))
    environ['wsgi.input'].read()
    if 'hold' in query:
        held(query['hold'])
    if 'sleep' in query:
        time.sleep(float(query['sleep']))
    if 'raise' in query:
        raise ValueError('on purpose')
    body = str(os.getpid())
    if 'facts' in query:
        facts = [sys.version.split()[0], sys.getswitchinterval(), *gc.get_threshold()]
        body = ' '.join(map(str, facts))
    start_response(query.get('status', '200') + ' Status', [])
    return [body.encode()]
";

/// A site that reports twice in a second, and who gets it. Both exist before the server does: the consumer goes last.
fn reporting(mpm: Mpm, mode: Mode) -> (Consumer, Site) {
    reporting_with(mpm, mode, "interval=0.5")
}

fn reporting_with(mpm: Mpm, mode: Mode, options: &str) -> (Consumer, Site) {
    let service = format!("WSGITelemetryService unix:{{dir}}/telemetry.sock {options}");
    let site = Site::new(mpm, mode)
        .daemon_options("processes=1 threads=3")
        .config(&service)
        .script("/app", APP);
    let consumer = Consumer::bind(site.path("telemetry.sock"));
    (consumer, site)
}

/// Begins a request that goes on until [`let_go`], and waits until it is in the application.
fn hold(server: &Server, target: &str, name: &str) -> Connection {
    let mark = if target.contains('?') { "" } else { "?" };
    let connection = server.begin(&format!("{target}{mark}hold={name}"));
    wait_until("the request", || {
        let text = std::fs::read_to_string(server.path("data/held")).ok()?;
        text.lines().any(|line| line == name).then_some(())
    });
    connection
}

fn let_go(server: &Server) {
    server.write("data/go", "");
}

/// The sum over all ticks of all processes.
fn sum(consumer: &Consumer, field: &str) -> u64 {
    let ticks = consumer.of(Kind::Request);
    ticks.iter().map(|tick| tick.count(field)).sum()
}

/// Waits until the ticks know as many requests.
#[track_caller]
fn wait_for_requests(consumer: &Consumer, count: u64) {
    wait_until("the ticks with the requests", || {
        (sum(consumer, "request_count") >= count).then_some(())
    });
    assert_eq!(sum(consumer, "request_count"), count);
}

/// TEL-070, TEL-081: each process counts its datagrams, of whatever kind, from 1 on, and none is missing.
#[track_caller]
fn assert_sequences(consumer: &Consumer) {
    let mut sent: BTreeMap<i32, Vec<u32>> = BTreeMap::new();
    for datagram in consumer.all() {
        sent.entry(datagram.pid).or_default().push(datagram.seq);
    }
    for (pid, mut numbers) in sent {
        // Those of two threads may overtake each other.
        numbers.sort_unstable();
        let expected: Vec<u32> = (1..).take(numbers.len()).collect();
        assert_eq!(numbers, expected, "of process {pid}");
    }
}

/// TEL-002, TEL-010, TEL-012, TEL-013, TEL-070, TEL-071, TEL-100 to TEL-111: who reports, how it begins, and what it says of itself
/// each time.
fn identity(mpm: Mpm, mode: Mode) {
    let (consumer, site) = reporting(mpm, mode);
    let server = site
        .config("ServerTokens Prod\nWSGISlowRequests 2.5")
        .start();
    let pid = server.served_by("/app");
    let facts = server.get("/app?facts").expect(200).text();
    let facts: Vec<&str> = facts.split(' ').collect();
    let ticks = consumer.wait_for_many("ticks", 3, |datagram| {
        datagram.kind == Kind::Request && datagram.pid == pid
    });
    let from = consumer.from(pid);
    let (first, tick) = (&from[0], &ticks[0]);
    assert_eq!((first.kind, first.seq), (Kind::Started, 1));
    assert_eq!(from[1].kind, Kind::Request);
    let hostname = nix::unistd::gethostname().expect("this machine has a name");
    for datagram in [first, tick, &ticks[2]] {
        assert_eq!(datagram.text("mod_wsgi_version"), "6.1.1");
        assert_eq!(datagram.text("python_version"), facts[0]);
        assert_eq!(datagram.text("apache_version"), apache_version(&server));
        assert_eq!(datagram.text("mpm_name"), mpm.name());
        assert_eq!(datagram.text("hostname"), hostname.to_string_lossy());
        let group = if mode == Mode::Daemon { "live" } else { "" };
        assert_eq!(datagram.text("process_group"), group);
        assert_eq!(
            datagram.count("process_parent_pid"),
            u64::from(server.pid().unsigned_abs())
        );
        assert_eq!(datagram.number("switch_interval").to_string(), facts[1]);
    }
    for tick in &ticks {
        assert_eq!(tick.number("telemetry_interval"), 0.5);
        assert_eq!(tick.number("slow_requests_threshold"), 2.5);
    }
    // One interval after the other, measured; the first one from the beginning on.
    for pair in [first]
        .into_iter()
        .chain(&ticks)
        .collect::<Vec<_>>()
        .windows(2)
    {
        let measured = pair[1].number("sample_period");
        assert!(measured > 0.4, "{measured}");
        assert!(pair[1].stamp - pair[0].stamp > 0.4, "{pair:?}");
    }
    let record = server.wait_for_log("telemetry.sock");
    assert_eq!(record.level, Level::Info);
    assert!(record.contains("0.5"), "{record:?}");
    // Where there are daemons, children report as well.
    let all = server.processes();
    consumer.wait_for("a child", |datagram| {
        datagram.kind == Kind::Started
            && !datagram.has("process_group")
            && all
                .iter()
                .any(|process| process.pid == datagram.pid && process.listens)
    });
    assert_sequences(&consumer);
}
matrix!(identity: event prefork);

/// What httpd says of itself when it is ready.
fn apache_version(server: &Server) -> String {
    let record = server.wait_for_log("resuming normal operations");
    let words = record.line.split_whitespace();
    let mut found = words.filter(|word| word.starts_with("Apache/"));
    found.next().expect("its name").to_owned()
}

/// TEL-001, TEL-109, TEL-110: once in a second if nothing else is said, and no limit for slow requests.
#[test]
fn defaults() {
    let (consumer, site) = reporting_with(Mpm::Event, Mode::Daemon, "");
    let server = site.start();
    let pid = server.served_by("/app");
    let tick = &consumer.wait_for_more(Kind::Request, pid, 1)[0];
    assert_eq!(tick.number("telemetry_interval"), 1.0);
    assert_eq!(tick.number("slow_requests_threshold"), 0.0);
    assert!(tick.number("sample_period") > 0.9);
}

/// TEL-010, DMN-564: neither services report, nor children that have no Python.
#[test]
fn who_does_not_report() {
    let (consumer, site) = reporting(Mpm::Event, Mode::Daemon);
    let service = "import os, signal
with open('{data}/service', 'w') as file:
    file.write('%d ' % os.getpid())
signal.pause()
";
    let server = site
        .config(
            "WSGIRestrictEmbedded On\nWSGIDaemonProcess service threads=0\n\
             WSGIImportScript {apps}/service.py process-group=service application-group=%{GLOBAL}",
        )
        .file("apps/service.py", service)
        .start();
    let pid = server.served_by("/app");
    wait_until("the service", || {
        let text = std::fs::read_to_string(server.path("data/service")).ok()?;
        text.ends_with(' ').then_some(())
    });
    // They would have reported before.
    consumer.wait_for_more(Kind::Request, pid, 3);
    server.stop();
    consumer.wait_for("the end", |datagram| datagram.kind == Kind::Stopped);
    let reporters: BTreeSet<i32> = consumer.all().iter().map(|datagram| datagram.pid).collect();
    assert_eq!(reporters, BTreeSet::from([pid]));
}
