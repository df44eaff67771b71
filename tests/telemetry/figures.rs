//! REQUEST: what the requests of an interval were and took.

use wsgi_harness::telemetry::{Consumer, Datagram, Kind, PHASES};
use wsgi_harness::{Mode, Mpm, Request, matrix, subject};

use super::{assert_sequences, hold, let_go, reporting, sum, wait_for_requests};

const STATUSES: [&str; 5] = [
    "status_1xx_total",
    "status_2xx_total",
    "status_3xx_total",
    "status_4xx_total",
    "status_5xx_total",
];

/// The ticks of all processes.
fn ticks(consumer: &Consumer) -> Vec<Datagram> {
    consumer.of(Kind::Request)
}

/// What is true of one phase in each tick, and its mean; `recorded` is the number of requests that had phases.
fn check_phase(tick: &Datagram, phase: &str, recorded: u64) -> f64 {
    let of_daemons = ["queue", "daemon"].contains(&phase);
    let is_there = !of_daemons || (tick.has("process_group") && recorded > 0);
    let is_known = recorded > 0 && is_there && !(phase == "gil_wait" && misses_a_thread(tick));
    let [mean, min, max, buckets] =
        ["", "_min", "_max", "_buckets"].map(|end| format!("{phase}_time{end}"));
    for (name, expected) in [
        (&mean, is_there),
        (&buckets, is_there),
        (&min, is_known),
        (&max, is_known),
    ] {
        assert_eq!(tick.has(name), expected, "{name} in {tick:?}");
    }
    let mean = if is_there { tick.number(&mean) } else { 0.0 };
    if !is_known {
        assert_eq!(mean, 0.0, "{phase} in {tick:?}");
        return mean;
    }
    let found = tick.counts(&buckets);
    let all: i64 = found.iter().copied().map(i64::from).sum();
    assert_eq!(all.unsigned_abs(), recorded, "{buckets} in {tick:?}");
    let (min, max) = (tick.number(&min), tick.number(&max));
    let is_between = min <= mean + 2e-6 && mean <= max + 2e-6;
    assert!(is_between, "{phase} in {tick:?}");
    // The first and the last bucket in use are those of the bounds.
    let used = |bucket: &i32| *bucket > 0;
    let first = found.iter().position(used).map(|at| at == bucket_of(min));
    let last = found.iter().rposition(used).map(|at| at == bucket_of(max));
    assert_eq!(
        (first, last),
        (Some(true), Some(true)),
        "{phase} in {tick:?}"
    );
    mean
}

/// What is true of each tick, however busy its interval was.
fn check(tick: &Datagram, mode: Mode, maximum: u64) {
    let count = tick.count("request_count");
    let recorded: u64 = STATUSES.iter().map(|name| tick.count(name)).sum();
    assert!(recorded <= count, "{tick:?}");
    let mut sum = 0.0;
    for phase in PHASES {
        let mean = check_phase(tick, phase, recorded);
        if ["server", "queue", "daemon", "application"].contains(&phase) {
            sum += mean;
        }
    }
    assert!((sum - tick.number("request_time")).abs() < 1e-5, "{tick:?}");
    let throughput = count as f64 / tick.number("sample_period");
    assert!((tick.number("request_throughput") - throughput).abs() < 0.01 * (1.0 + throughput));
    assert!(tick.number("capacity_utilization") <= 1.0, "{tick:?}");
    let [user, system, all] =
        ["cpu_user", "cpu_system", "cpu"].map(|name| tick.number(&format!("{name}_utilization")));
    assert!((user + system - all).abs() < 1e-6, "{tick:?}");
    assert!(tick.count("memory_rss") > 1_000_000, "{tick:?}");
    assert!(tick.count("memory_max_rss") > 1_000_000, "{tick:?}");
    if tick.has("process_group") == (mode == Mode::Daemon) {
        assert_eq!(tick.count("request_threads_maximum"), maximum);
    }
    let slots = usize::try_from(tick.count("request_threads_maximum")).expect("it is small");
    let completed = tick.counts("request_threads_completed");
    assert_eq!(completed.len(), slots.min(128));
    for list in ["busy_time", "cpu_time", "current_elapsed", "max_duration"] {
        let list = tick.numbers(&format!("request_threads_{list}"));
        assert_eq!(list.len(), completed.len());
    }
    if slots <= 128 && !misses_a_thread(tick) {
        let all: i64 = completed.iter().copied().map(i64::from).sum();
        assert_eq!(all.unsigned_abs(), count, "{tick:?}");
    }
    let active = tick.count("request_threads_active");
    assert!(active <= tick.count("request_threads_maximum"), "{tick:?}");
}

/// TEL-094: the original does not see the only thread of a child of prefork.
fn misses_a_thread(tick: &Datagram) -> bool {
    let is_meant = tick.text("mpm_name") == "prefork" && !tick.has("process_group");
    is_meant && !subject().differs("TEL-094")
}

fn check_all(consumer: &Consumer, mpm: Mpm, mode: Mode) {
    for tick in ticks(consumer) {
        check(&tick, mode, maximum(mpm, mode));
    }
}

/// MET-31.
fn bucket_of(seconds: f64) -> usize {
    let milliseconds = seconds * 1000.0;
    if milliseconds < 1.0 {
        return 0;
    }
    if milliseconds >= 65536.0 {
        return 64;
    }
    let octave = milliseconds.log2().floor();
    let quarter = (milliseconds / octave.exp2() - 1.0) * 4.0;
    (octave as usize) * 4 + quarter.floor() as usize
}

fn maximum(mpm: Mpm, mode: Mode) -> u64 {
    match (mode, mpm) {
        (Mode::Daemon, _) => 3,
        (Mode::Embedded, Mpm::Prefork) => 1,
        (Mode::Embedded, _) => 16,
    }
}

/// TEL-120 to TEL-144, MET-13 to MET-35: figures of requests that the test has made.
fn figures(mpm: Mpm, mode: Mode) {
    let (consumer, site) = reporting(mpm, mode);
    let server = site.start();
    server.allow_log("on purpose");
    server.allow_log("WSGI0174");
    let length = server.served_by("/app").to_string().len();
    server.get("/app?status=301").expect(301);
    server.get("/app?status=404").expect(404);
    server.get("/app?status=418").expect(418);
    server.get("/app?raise").expect(500);
    server.send(&Request::post("/app", "a body")).expect(200);
    wait_for_requests(&consumer, 6);
    for (name, expected) in STATUSES.into_iter().zip([0, 2, 1, 2, 1]) {
        assert_eq!(sum(&consumer, name), expected, "{name}");
    }
    assert_eq!(sum(&consumer, "input_bytes_total"), 6);
    assert!(sum(&consumer, "input_reads_total") >= 1);
    // Prefork has processes whose ids may differ in length.
    if mpm != Mpm::Prefork {
        assert_eq!(sum(&consumer, "output_bytes_total"), 5 * length as u64);
    }
    assert_eq!(sum(&consumer, "output_writes_total"), 5);
    check_all(&consumer, mpm, mode);
    let busy = consumer.wait_for("a tick with requests", |datagram| {
        datagram.kind == Kind::Request && datagram.count("request_count") > 0
    });
    assert!(busy.count("request_threads_started") >= 1);
    assert!(busy.number("capacity_utilization") > 0.0);
    if !misses_a_thread(&busy) {
        assert!(busy.count("request_threads_active") >= 1, "{busy:?}");
        // The longest one may be too short for its milliseconds.
        let time = busy.numbers("request_threads_busy_time");
        assert!(time.iter().sum::<f64>() > 0.0, "{busy:?}");
    }
    assert_sequences(&consumer);
}
matrix!(figures: event prefork);

/// TEL-122, TEL-126, TEL-141, TEL-142: a request that goes on belongs to the figures of its thread and of the process from the
/// beginning; it is counted when it has ended.
fn running(mpm: Mpm, mode: Mode) {
    let (consumer, site) = reporting(mpm, mode);
    let server = site.start();
    let mut held = hold(&server, "/app", "one");
    let is_held = |datagram: &Datagram| {
        datagram.kind == Kind::Request
            && datagram
                .numbers("request_threads_current_elapsed")
                .iter()
                .any(|elapsed| *elapsed > 0.0)
    };
    // The second of them is about an interval that the request has filled.
    let tick = consumer
        .wait_for_many("ticks while it runs", 2, is_held)
        .remove(1);
    let slots = |tick: &Datagram, field: &str| -> Vec<(usize, f64)> {
        let all = tick.numbers(field).iter().copied().enumerate();
        all.filter(|(_, value)| *value > 0.0).collect()
    };
    let elapsed = slots(&tick, "request_threads_current_elapsed");
    let busy = slots(&tick, "request_threads_busy_time");
    let period = tick.number("sample_period");
    assert_eq!((elapsed.len(), busy.len()), (1, 1), "{tick:?}");
    assert_eq!(elapsed[0].0, busy[0].0, "of the same thread");
    assert!(elapsed[0].1 > 0.4, "longer than the interval: {tick:?}");
    // Roughly: both are measured, one after the other.
    assert!((busy[0].1 - period).abs() < 0.5 * period, "{tick:?}");
    assert_eq!(tick.count("request_count"), 0);
    assert_eq!(tick.count("request_threads_active"), 1);
    let share = 1.0 / maximum(mpm, mode) as f64;
    let used = tick.number("capacity_utilization");
    assert!((used - share).abs() < 0.5 * share, "{tick:?}");
    check(&tick, mode, maximum(mpm, mode));
    let_go(&server);
    assert_eq!(held.answer().status, 200);
    let tick = consumer.wait_for("its end", |datagram| {
        datagram.kind == Kind::Request && datagram.count("request_count") == 1
    });
    check(&tick, mode, maximum(mpm, mode));
    assert!(slots(&tick, "request_threads_current_elapsed").is_empty());
    let longest = slots(&tick, "request_threads_max_duration");
    assert_eq!(longest.len(), 1, "{tick:?}");
    assert_eq!(longest[0].0, elapsed[0].0);
    assert!(longest[0].1 >= elapsed[0].1, "{tick:?}");
    assert!(tick.number("application_time") >= elapsed[0].1, "{tick:?}");
    // It has mostly slept.
    let all = |list: &str| -> f64 {
        let ticks = ticks(&consumer);
        let of_tick = |tick: &Datagram| tick.numbers(list).iter().sum::<f64>();
        ticks.iter().map(of_tick).sum()
    };
    let (busy, cpu) = (
        all("request_threads_busy_time"),
        all("request_threads_cpu_time"),
    );
    assert!(cpu > 0.0 && cpu < 0.5 * busy, "{cpu} of {busy}");
}
matrix!(running: event);

/// TEL-011, TEL-120, TEL-152, TEL-185: no request is missed, from the first one on until the last process has ended, and none
/// is counted twice: not by the child that passed it on either.
fn no_request_is_missed(mpm: Mpm, mode: Mode) {
    const CLIENTS: u64 = 4;
    const EACH: u64 = 125;
    let (consumer, site) = reporting(mpm, mode);
    let server = site.daemon_options("processes=2 threads=3").start();
    std::thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(|| {
                for _ in 0..EACH {
                    server.get("/app").expect(200);
                }
            });
        }
    });
    server.stop();
    wait_for_requests(&consumer, CLIENTS * EACH);
    assert_eq!(sum(&consumer, "status_2xx_total"), CLIENTS * EACH);
    check_all(&consumer, mpm, mode);
    let started = consumer.of(Kind::Started).len();
    let stopped = consumer.wait_for_many("the ends", started, |datagram| {
        datagram.kind == Kind::Stopped
    });
    let all = stopped
        .iter()
        .map(|end| end.count("lifetime_request_count"));
    assert_eq!(all.sum::<u64>(), CLIENTS * EACH);
    let of_others = stopped
        .iter()
        .filter(|end| end.has("process_group") != (mode == Mode::Daemon));
    for end in of_others {
        assert_eq!(end.count("lifetime_request_count"), 0);
    }
    assert_sequences(&consumer);
}
matrix!(no_request_is_missed: event prefork);

/// TEL-061, TEL-143, TEL-095: no more than 128 threads have figures of their own, and the datagram fits.
#[test]
fn many_threads() {
    let (consumer, site) = reporting(Mpm::Event, Mode::Daemon);
    let server = site.daemon_options("threads=150").start();
    let pid = server.served_by("/app");
    wait_for_requests(&consumer, 1);
    let tick = &consumer.wait_for_more(Kind::Request, pid, 1)[0];
    check(tick, Mode::Daemon, 150);
    assert_eq!(tick.counts("request_threads_completed").len(), 128);
}

/// TEL-120, TEL-134, TEL-144, MET-33: requests whose application never ran are counted, and nothing else is known of them.
fn without_application(mpm: Mpm, mode: Mode) {
    let (consumer, site) = reporting(mpm, mode);
    let server = site
        .script("/broken", "raise ValueError('on purpose')\n")
        .start();
    for text in ["on purpose", "WSGI0", "Target WSGI script", "exception"] {
        server.allow_log(text);
    }
    server.get("/broken").expect(500);
    wait_for_requests(&consumer, 1);
    check_all(&consumer, mpm, mode);
    for name in STATUSES {
        assert_eq!(sum(&consumer, name), 0, "{name}");
    }
}
matrix!(without_application: event);
