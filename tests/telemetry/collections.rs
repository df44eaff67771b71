//! GC_SNAPSHOT and GC_EVENT: the garbage collectors of a process's interpreters.

use std::collections::BTreeSet;

use wsgi_harness::telemetry::{Consumer, Datagram, Kind};
use wsgi_harness::{Mode, Mpm, PATIENCE, Server, Site, matrix, wait_within};

use super::{assert_sequences, reporting};

/// Does with the garbage collector what the query says, and shows how it stands.
const APP: &str = "import gc, json, os, time

class Ring:
    def __init__(self):
        self.ring = self

def application(environ, start_response):
    query = environ['QUERY_STRING']
    facts = {'pid': os.getpid(), 'before': time.time()}
    if query == 'collect':
        gc.collect()
        for _ in range(100):
            Ring()
        facts['found'] = gc.collect()
    if query == 'young':
        gc.collect(0)
    if query == 'many':
        for _ in range(1000):
            gc.collect(0)
    if query == 'off':
        gc.disable()
    if query == 'freeze':
        gc.freeze()
    facts['after'] = time.time()
    facts['thresholds'] = ' '.join(map(str, gc.get_threshold()))
    facts['enabled'] = int(gc.isenabled())
    facts['frozen'] = gc.get_freeze_count()
    facts['collections'] = gc.get_stats()[2]['collections']
    facts['collected'] = gc.get_stats()[2]['collected']
    start_response('200 OK', [])
    return [''.join('%s\\t%s\\n' % item for item in facts.items()).encode()]
";

fn site(mpm: Mpm, mode: Mode) -> (Consumer, Site) {
    let (consumer, site) = reporting(mpm, mode);
    (consumer, site.script("/gc", APP))
}

fn snapshot(consumer: &Consumer, pid: i32) -> Datagram {
    // The second one begins behind this call.
    consumer.wait_for_more(Kind::GcSnapshot, pid, 2).remove(1)
}

fn three(datagram: &Datagram, name: &str) -> String {
    let all = [0, 1, 2].map(|at| datagram.count(&format!("gc_{name}{at}")).to_string());
    all.join(" ")
}

/// TEL-200 to TEL-205: how the collector stands, in each tick behind its REQUEST.
fn snapshots(mpm: Mpm, mode: Mode) {
    let (consumer, site) = site(mpm, mode);
    let server = site.start();
    let facts = server.get("/gc").expect(200);
    let pid = facts.number("pid");
    let first = snapshot(&consumer, pid);
    assert_eq!(three(&first, "threshold"), facts.fact("thresholds"));
    assert_eq!(first.count("gc_is_enabled"), 1);
    assert_eq!(first.count("gc_freeze_count"), 0);
    assert_eq!(first.count("gc_dropped_events"), 0);
    let facts = server.get("/gc?collect").expect(200);
    if facts.number("pid") == pid {
        let next = snapshot(&consumer, pid);
        assert_eq!(
            next.count("gc_collections2").to_string(),
            facts.fact("collections")
        );
        assert_eq!(
            next.count("gc_collected2").to_string(),
            facts.fact("collected")
        );
        assert!(next.count("gc_collections2") > first.count("gc_collections2"));
        assert_eq!(next.count("gc_uncollectable2"), 0);
    }
    let facts = server.get("/gc?freeze").expect(200);
    // Frozen objects go as well when nobody needs them.
    let frozen: u64 = facts.fact("frozen").parse().expect("a number");
    let knows_them = |snapshot: &Datagram| {
        let said = snapshot.count("gc_freeze_count");
        said > frozen / 2 && said <= frozen
    };
    // Ours counts them again in half a minute where that took long, as it may on a busy machine.
    let frozen = facts.number("pid");
    let found = wait_within(PATIENCE * 3, || {
        let all = consumer.from(frozen);
        let mut snapshots = all.iter().filter(|one| one.kind == Kind::GcSnapshot);
        snapshots.any(knows_them).then_some(())
    });
    assert!(found.is_some(), "{:?}", consumer.from(frozen).last());
    let facts = server.get("/gc?off").expect(200);
    assert_eq!(facts.fact("enabled"), "0");
    let next = snapshot(&consumer, facts.number("pid"));
    assert_eq!(next.count("gc_is_enabled"), 0);
    // Each tick has one, behind the figures of its requests. Interpreters that are busy may keep one from its place, or out.
    let mut all = consumer.from(pid);
    all.sort_by_key(|datagram| datagram.seq);
    let kinds = [Kind::Started, Kind::Request];
    assert_eq!([all[0].kind, all[1].kind], kinds);
    let count = |kind| all.iter().filter(|one| one.kind == kind).count();
    let (ticks, snapshots) = (count(Kind::Request), count(Kind::GcSnapshot));
    assert!(
        snapshots <= ticks && 2 * snapshots >= ticks,
        "{snapshots} {ticks}"
    );
    assert_sequences(&consumer);
}
matrix!(snapshots: event prefork);

/// TEL-206: what a collection found, and when.
fn events(mpm: Mpm, mode: Mode) {
    let (consumer, site) = site(mpm, mode);
    let server = site.start();
    let facts = server.get("/gc?collect").expect(200);
    let found: u64 = facts.fact("found").parse().expect("a number");
    assert!(found >= 100);
    let [before, after] =
        ["before", "after"].map(|name| facts.fact(name).parse::<f64>().expect("a time"));
    let event = consumer.wait_for("the collection", |datagram| {
        datagram.kind == Kind::GcEvent && datagram.count("gc_event_collected") == found
    });
    assert_eq!(event.pid, facts.number("pid"));
    assert_eq!(event.count("gc_event_generation"), 2);
    assert_eq!(event.count("gc_event_uncollectable"), 0);
    assert!(!event.has("interpreter_name"));
    let start = event.number("gc_event_start_stamp");
    let end = start + event.number("gc_event_duration");
    // Two clocks of the system.
    assert!(
        before - 0.01 <= start && end <= after + 0.01,
        "{event:?}: {before} {after}"
    );
    let facts = server.get("/gc?young").expect(200);
    let young = consumer.wait_for("a collection of the youngest", |datagram| {
        datagram.kind == Kind::GcEvent
            && datagram.count("gc_event_generation") == 0
            && datagram.number("gc_event_start_stamp") > after - 0.01
    });
    assert_eq!(young.pid, facts.number("pid"));
    // Behind a snapshot.
    let all = consumer.from(event.pid);
    let snapshot = all.iter().find(|one| one.kind == Kind::GcSnapshot);
    assert!(snapshot.expect("there are some").seq < event.seq);
    assert_sequences(&consumer);
}
matrix!(events: event);

/// TEL-205, TEL-208: of a crowd of collections the last 256 are told, 64 in each tick, and how many of them were not.
#[test]
fn a_crowd_of_collections() {
    let (consumer, site) = site(Mpm::Event, Mode::Daemon);
    let server = site.start();
    let pid = server.get("/gc?many").expect(200).number("pid");
    let lost = consumer.wait_for("what was lost", |datagram| {
        datagram.kind == Kind::GcSnapshot && datagram.count("gc_dropped_events") > 0
    });
    assert_eq!(lost.pid, pid);
    assert!(lost.count("gc_dropped_events") <= 1000);
    consumer.wait_for_more(Kind::Request, pid, 6);
    let mut all = consumer.from(pid);
    all.sort_by_key(|datagram| datagram.seq);
    let is_event = |one: &&Datagram| one.kind == Kind::GcEvent;
    let in_ticks: Vec<usize> = all
        .split(|one| one.kind == Kind::GcSnapshot)
        .map(|tick| tick.iter().filter(is_event).count())
        .collect();
    assert!(in_ticks.iter().all(|events| *events <= 64), "{in_ticks:?}");
    assert!(in_ticks.iter().sum::<usize>() >= 64, "{in_ticks:?}");
}

fn server_with_two(mpm: Mpm, mode: Mode) -> (Consumer, Server) {
    let (consumer, site) = site(mpm, mode);
    let server = site
        .script_with("/other", "application-group=other", APP)
        .start();
    (consumer, server)
}

/// TEL-107, TEL-207, TEL-208: where there are several interpreters each has its own, by its name; the main one has none.
fn interpreters(mpm: Mpm, mode: Mode) {
    let (consumer, server) = server_with_two(mpm, mode);
    let pid = server.get("/gc").expect(200).number("pid");
    assert!(!snapshot(&consumer, pid).has("interpreter_name"));
    let facts = server.get("/other?collect").expect(200);
    let found: u64 = facts.fact("found").parse().expect("a number");
    let named = |kind, name: &'static str| {
        move |datagram: &Datagram| {
            datagram.kind == kind
                && datagram.pid == pid
                && datagram.text("interpreter_name") == name
        }
    };
    let name = if server.mode() == Mode::Daemon || facts.number("pid") == pid {
        "other"
    } else {
        ""
    };
    let event = consumer.wait_for("the collection of the other", |datagram| {
        named(Kind::GcEvent, name)(datagram) && datagram.count("gc_event_collected") == found
    });
    assert_eq!(event.pid, pid);
    consumer.wait_for_many("its snapshots", 2, named(Kind::GcSnapshot, name));
    let seen = consumer.only(named(Kind::GcSnapshot, "")).len();
    consumer.wait_for_many(
        "those of the main one",
        seen + 2,
        named(Kind::GcSnapshot, ""),
    );
    // Of one interpreter the other's collector does not know.
    server.get("/other?off").expect(200);
    consumer.wait_for("one that is off", |datagram| {
        named(Kind::GcSnapshot, "other")(datagram) && datagram.count("gc_is_enabled") == 0
    });
    let seen = consumer.only(named(Kind::GcSnapshot, "")).len();
    let all = consumer.wait_for_many("the main one", seen + 1, named(Kind::GcSnapshot, ""));
    assert!(
        all.iter()
            .all(|snapshot| snapshot.count("gc_is_enabled") == 1)
    );
    assert_sequences(&consumer);
}
matrix!(interpreters: event);

/// TEL-207, TEL-208: names that are too long are cut, and of a crowd of interpreters 32 are told of in each tick.
#[test]
fn a_crowd_of_interpreters() {
    const COUNT: usize = 52;
    let (consumer, mut site) = reporting(Mpm::Event, Mode::Daemon);
    let named = |at: usize| format!("{at}{}", "n".repeat(200));
    for at in 0..COUNT {
        let options = format!("application-group={}", named(at));
        site = site.script_with(&format!("/in{at}x"), &options, APP);
    }
    let server = site.start();
    let pids = (0..COUNT).map(|at| server.get(&format!("/in{at}x")).expect(200).number("pid"));
    let pids: BTreeSet<i32> = pids.collect();
    assert_eq!(pids.len(), 1);
    let pid = *pids.first().expect("a process");
    let ticks = consumer.wait_for_more(Kind::Request, pid, 4);
    let (from, to) = (ticks[1].seq, ticks[3].seq);
    let all = consumer.only(|one| {
        one.pid == pid && one.kind == Kind::GcSnapshot && (from..to).contains(&one.seq)
    });
    // Those of a tick before may have been late.
    assert!((2..=96).contains(&all.len()), "{} in two ticks", all.len());
    let is_cut = |one: &Datagram| one.text("interpreter_name").len() >= 120;
    assert!(all.iter().any(is_cut));
}
