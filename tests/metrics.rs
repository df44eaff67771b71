//! `mod_wsgi.start_recording_metrics()`, `request_metrics()` and `process_metrics()`: what the requests of a process took.

use wsgi_harness::telemetry::PHASES;
use wsgi_harness::{
    Answer, IN_A_COPY, Mode, Mpm, Request, Server, Site, matrix, subject, wait_until,
};

const SHOW: &str = "import mod_wsgi, os, threading, time

held = threading.Event()

def shape(value):
    if isinstance(value, dict):
        return '{%s}' % ' '.join('%s:%s' % (key, shape(value[key])) for key in sorted(value))
    if isinstance(value, list):
        return '[%s]' % ' '.join(sorted(set(map(shape, value))))
    return type(value).__name__

def application(environ, start_response):
    query = environ['QUERY_STRING']
    if query == 'start':
        assert mod_wsgi.start_recording_metrics() is None
    if query == 'fail':
        raise ValueError('on purpose')
    if query == 'hold':
        held.wait(60)
    if query == 'let-go':
        held.set()
    length = len(environ['wsgi.input'].read())
    facts = {'pid': os.getpid()}
    if query.startswith('process'):
        before = time.time()
        metrics = mod_wsgi.process_metrics()
        facts['on'] = metrics is not None
        if metrics:
            facts.update(shape=shape(metrics), times=metrics['restart_time'] < metrics['current_time'] <= time.time()
                and metrics['current_time'] - before < 60
                and metrics['running_time'] == int(metrics['current_time'] - metrics['restart_time']),
                own=metrics['pid'] == os.getpid(), memory=metrics['memory_rss'] > 1000000 < metrics['memory_max_rss'],
                cpu=metrics['cpu_time'] > 0, busy=metrics['request_busy_time'] > 0,
                sum=sum(row['request_count'] for row in metrics['threads']) - metrics['request_count'],
                rows=len(metrics['threads']) == metrics['request_threads'])
            facts.update((key, metrics[key]) for key in ('request_count', 'active_requests'))
    if query.startswith('request'):
        metrics = mod_wsgi.request_metrics()
        facts['on'] = metrics is not None
        if metrics:
            facts.update(shape=shape(metrics), period=metrics['stop_time'] - metrics['start_time'], sample=metrics['sample_period'])
            facts.update((key, metrics[key]) for key in metrics if key.startswith('status_') or key.endswith('put_bytes')
                or key.startswith('request_threads') or key in ('request_count', 'queue_time', 'daemon_time_min_us', 'output_writes'))
            facts['completed'] = sum(metrics['request_threads_completed'])
            facts['held'] = sum(elapsed > 0 for elapsed in metrics['request_threads_current_elapsed'])
            facts['capacity'] = 0 < metrics['capacity_utilization'] <= 1
            facts['recorded'] = sum(metrics['application_time_buckets'])
            facts['bounds'] = metrics['application_time_min_us'] <= metrics['application_time'] * 1e6 + 1 if metrics['application_time_min_us'] else True
    start_response('201 Made' if query == 'made' else '200 OK', [])
    return [''.join('%s\\t%s\\n' % item for item in facts.items()).encode()]
";

/// The keys of `process_metrics()` with their types.
const PROCESS: &str = "{active_requests:int cpu_system_time:float cpu_time:float cpu_user_time:float current_time:float \
                       memory_max_rss:int memory_rss:int pid:int request_busy_time:float request_count:int \
                       request_threads:int restart_time:float running_time:int \
                       threads:[{request_count:int thread_id:int}]}";

/// Those of `request_metrics()`, where requests have ended; of `queue_time` and `daemon_time` the types are `MEAN` and `BOUND`.
fn request_shape(mode: Mode) -> String {
    let mut keys: Vec<String> = [
        "capacity_utilization:float cpu_system_time:float cpu_system_utilization:float cpu_time:float cpu_user_time:float",
        "cpu_user_utilization:float cpu_utilization:float gil_wait_count:int input_bytes:int input_reads:int",
        "memory_max_rss:int memory_rss:int output_bytes:int output_writes:int pid:int request_count:int",
        "request_threads_active:int request_threads_buckets:[int] request_threads_busy_time:[float]",
        "request_threads_completed:[int] request_threads_cpu_time:[float] request_threads_current_elapsed:[float]",
        "request_threads_max_duration:[float] request_threads_maximum:int request_threads_started:int",
        "request_throughput:float sample_period:float start_time:float status_1xx:int status_2xx:int status_3xx:int",
        "status_4xx:int status_5xx:int stop_time:float",
    ]
    .iter()
    .flat_map(|line| line.split(' '))
    .map(str::to_owned)
    .collect();
    for phase in PHASES {
        let is_missing = mode == Mode::Embedded && ["queue", "daemon"].contains(&phase);
        let (mean, bound) = if is_missing {
            ("NoneType", "NoneType")
        } else {
            ("float", "int")
        };
        keys.push(format!("{phase}_time:{mean}"));
        keys.push(format!("{phase}_time_buckets:[int]"));
        keys.push(format!("{phase}_time_max_us:{bound}"));
        keys.push(format!("{phase}_time_min_us:{bound}"));
    }
    keys.sort_by_key(|key| key.split(':').next().map(str::to_owned));
    format!("{{{}}}", keys.join(" "))
}

fn site(mpm: Mpm, mode: Mode) -> Site {
    Site::new(mpm, mode)
        .daemon_options("threads=3")
        .script("/", SHOW)
}

/// Waits until this many requests have ended: the last byte of an answer is sent before it is counted.
fn settled(server: &Server, ended: u64) {
    wait_until("the requests are counted", || {
        let answer = server.get("/?process").expect(200);
        let count: u64 = answer.fact("request_count").parse().expect("a number");
        (count >= ended).then_some(())
    });
}

/// MET-01 to MET-03, MET-10 to MET-49, API-906: keys and types, and the figures of requests that the test has made.
fn metrics(mpm: Mpm, mode: Mode) {
    let server = site(mpm, mode).start();
    for query in ["process", "request"] {
        let answer = server.get(&format!("/?{query}")).expect(200);
        assert_eq!(answer.fact("on"), "False");
    }
    server.get("/?start").expect(200);
    settled(&server, 3);
    // What has ended until now is of the first interval.
    server.get("/?request").expect(200);
    server.allow_log("on purpose");
    server.allow_log("WSGI0174");
    server.get("/?fail").expect(500);
    server.get("/?made").expect(201);
    server.send(&Request::post("/", "a body")).expect(200);
    settled(&server, 8);
    std::thread::scope(|scope| {
        let held = scope.spawn(|| server.get("/?hold").expect(200));
        wait_until("a request that is running", || {
            let answer = server.get("/?process").expect(200);
            (answer.fact("active_requests") == "2").then_some(())
        });
        let process = server.get("/?process").expect(200);
        assert_eq!(process.fact("shape"), PROCESS);
        for truth in ["times", "own", "memory", "busy", "rows"] {
            assert_eq!(process.fact(truth), "True", "{truth}: {}", process.text());
        }
        // Begun and not ended: those that are running.
        assert_eq!(process.fact("sum"), process.fact("active_requests"));
        let answer = server.get("/?request").expect(200);
        server.get("/?let-go").expect(200);
        held.join().expect("the request that was held");
        check(&answer, mpm, mode);
    });
    // The next interval has only what came since, by whichever thread.
    let answer = server.get("/?request").expect(200);
    let count: u64 = answer.fact("request_count").parse().expect("a number");
    assert!((1..=4).contains(&count), "{count}");
    assert_eq!(answer.fact("status_5xx"), "0");
    assert_eq!(answer.fact("input_bytes"), "0");
}

fn check(answer: &Answer, mpm: Mpm, mode: Mode) {
    assert_eq!(answer.fact("shape"), request_shape(mode));
    assert_eq!(answer.fact("status_5xx"), "1");
    assert_eq!(answer.fact("input_bytes"), "6");
    let number = |key: &str| answer.fact(key).parse::<f64>().expect("a number");
    assert_eq!(number("completed"), number("request_count"));
    // All of these requests have called the application.
    assert_eq!(number("recorded"), number("request_count"));
    assert_eq!(number("status_2xx") + 1.0, number("request_count"));
    // One block each, but for the one that failed.
    assert_eq!(number("output_writes"), number("status_2xx"));
    assert!(number("output_bytes") > 5.0 * number("status_2xx"));
    // The one that is held, this one, and perhaps some before, whose answers came before their ends.
    let held = number("held");
    assert!((2.0..=6.0).contains(&held), "{held}");
    assert_eq!(answer.fact("capacity"), "True");
    assert_eq!(answer.fact("bounds"), "True");
    let maximum = if mode == Mode::Daemon { "3" } else { "16" };
    assert_eq!(answer.fact("request_threads_maximum"), maximum, "{mpm:?}");
    assert!(number("sample") > 0.0);
    if subject().differs("MET-11") {
        assert!((number("period") - number("sample")).abs() < 0.001);
    }
}

matrix!(metrics: event);

/// What the figures say of one interval with three requests, which took 0.2 s, read ten bytes in two reads, gave two blocks and burnt
/// CPU time; the truths that do not hold.
const CHECK: &str = "import mod_wsgi, os, threading, time

PHASES = ('server_time', 'queue_time', 'daemon_time', 'application_time', 'request_time', 'gil_wait_time', 'input_read_time',
    'output_write_time')

def burn(seconds):
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass

def wrong(m, p, daemon, threads):
    recorded = m['status_2xx'] + m['status_4xx']
    period = m['sample_period']
    buckets = {phase: m[phase + '_buckets'] for phase in PHASES}
    there = [phase for phase in PHASES if daemon or phase not in ('queue_time', 'daemon_time')]
    slots = [m['request_threads_' + name] for name in ('completed', 'busy_time', 'cpu_time', 'current_elapsed', 'max_duration')]
    near = lambda a, b: abs(a - b) < 0.001
    truths = {
        'MET-10': m['pid'] == os.getpid(),
        'MET-12': period > 0.6,
        'MET-13': m['request_count'] == recorded == 3,
        'MET-14': near(m['request_throughput'] * period, 3),
        'MET-15': m['request_threads_maximum'] == threads,
        'MET-16': 1 <= m['request_threads_started'] <= 5,
        'MET-17': 1 <= m['request_threads_active'] <= m['request_threads_started'],
        'MET-18': 0.6 / threads <= m['capacity_utilization'] * period * 1.001 and m['capacity_utilization'] <= 1,
        'MET-19': sum(m['request_threads_completed']) == 3 and m['request_threads_buckets'] == m['request_threads_completed'],
        'MET-23:lengths': all(len(slot) == threads for slot in slots),
        'MET-20': 0.6 <= sum(m['request_threads_busy_time']) <= 3 * period,
        'MET-21': 0.15 <= sum(m['request_threads_cpu_time']) <= sum(m['request_threads_busy_time']),
        'MET-22': sum(elapsed > 0 for elapsed in m['request_threads_current_elapsed']) == 1,
        'MET-23': 0.2 <= max(m['request_threads_max_duration']) <= period,
        'MET-24': 0 <= m['server_time'] < period,
        'MET-25': all((m[phase] >= 0) if daemon else (m[phase] is None) for phase in ('queue_time', 'daemon_time')),
        'MET-26': 0.2 <= m['application_time'] <= period,
        'MET-27': near(m['request_time'], sum(m[phase] for phase in PHASES[:4] if phase in there)),
        'MET-28': m['gil_wait_count'] >= 3 and 0 <= m['gil_wait_time'] <= period,
        'MET-29': 0 <= m['input_read_time'] + m['output_write_time'] < m['application_time'],
        'MET-30': all(m[phase + '_min_us'] <= m[phase] * 1e6 + 1 <= m[phase + '_max_us'] + 2 for phase in there),
        'MET-30:embedded': all(m[phase + '_min_us'] is m[phase + '_max_us'] is None for phase in PHASES if phase not in there),
        'MET-31': all(len(row) == 65 for row in buckets.values()) and all(sum(buckets[phase]) == 3 for phase in there),
        # From 192 ms on.
        'MET-31:place': sum(buckets['application_time'][30:]) == 3,
        'MET-32': [m[key] for key in ('input_bytes', 'input_reads', 'output_bytes', 'output_writes')] == [30, 6, 15, 6],
        'MET-33': [m['status_%dxx' % digit] for digit in range(1, 6)] == [0, 2, 0, 1, 0],
        'MET-34': 0.15 < m['cpu_utilization'] * period and near(m['cpu_user_utilization'] + m['cpu_system_utilization'],
            m['cpu_utilization']) and all(m['cpu_%stime' % kind] == m['cpu_%sutilization' % kind] for kind in ('user_', 'system_', '')),
        'MET-35': m['memory_rss'] > 1000000 < m['memory_max_rss'],
        'API-911': 'thread_utilization' not in m,
        'MET-40': p['pid'] == os.getpid(),
        'MET-41': p['request_count'] >= 3,
        'MET-42': p['request_busy_time'] >= 0.6,
        'MET-43': p['active_requests'] == 1,
        'MET-44': p['request_threads'] == len(p['threads']) == m['request_threads_started'],
        'MET-46': p['cpu_time'] >= 0.15 and near(p['cpu_user_time'] + p['cpu_system_time'], p['cpu_time']),
        'MET-47': p['memory_rss'] > 1000000 < p['memory_max_rss'],
        'MET-48': p['restart_time'] < m['start_time'] <= m['stop_time'] <= p['current_time'] <= time.time(),
        'MET-49': p['running_time'] == int(p['current_time'] - p['restart_time']),
    }
    return [name for name, holds in truths.items() if not holds]

drained, base = threading.Event(), 0

def drain():
    # When the request that asked for it has ended, so that the interval has none of it.
    global base
    before = mod_wsgi.process_metrics()['request_count']
    while base <= before:
        base = mod_wsgi.process_metrics()['request_count']
    mod_wsgi.request_metrics()
    drained.set()

def application(environ, start_response):
    query = environ['QUERY_STRING']
    if query == 'begin':
        mod_wsgi.start_recording_metrics()
        threading.Thread(target=drain).start()
    if query.startswith('check'):
        while mod_wsgi.process_metrics()['request_count'] < base + 3:
            time.sleep(0.01)
        metrics, process = mod_wsgi.request_metrics(), mod_wsgi.process_metrics()
        found = wrong(metrics, process, bool(environ['mod_wsgi.process_group']), int(query[6:]))
        start_response('200 OK', [])
        lines = [' '.join(found), repr(metrics), repr(process)]
        return ['\\n'.join(lines).encode()]
    if query.startswith('work'):
        drained.wait()
        environ['wsgi.input'].read(4)
        environ['wsgi.input'].read(6)
        burn(0.06)
        time.sleep(0.16)
    start_response('404 Missing' if query == 'work-missing' else '200 OK', [])
    return [b'two', b'..']
";

/// MET-10, MET-12, MET-13, MET-14, MET-15, MET-16, MET-17, MET-18, MET-19, MET-20, MET-21, MET-22, MET-23, MET-24, MET-25, MET-26,
/// MET-27, MET-28, MET-29, MET-30, MET-31, MET-32, MET-33, MET-34, MET-35, MET-40, MET-41, MET-42, MET-43, MET-44, MET-46, MET-47,
/// MET-48, MET-49, API-134, API-905, API-910, API-911: what each figure says of requests that are known.
fn figures(mpm: Mpm, mode: Mode) {
    let server = Site::new(mpm, mode)
        .daemon_options("threads=3")
        .script("/", CHECK)
        .start();
    server.get("/?begin").expect(200);
    for query in ["work", "work", "work-missing"] {
        let status = if query == "work" { 200 } else { 404 };
        let request = Request::post(&format!("/?{query}"), "ten bytes.");
        server.send(&request).expect(status);
    }
    let threads = if mode == Mode::Daemon { 3 } else { 16 };
    let text = server.get(&format!("/?check={threads}")).expect(200).text();
    let (wrong, figures) = text.split_once('\n').expect("three lines");
    for row in wrong.split_whitespace() {
        assert!(
            ["MET-16", "MET-44", "MET-48"].contains(&row) && !subject().differs("MET-16"),
            "{row} in {figures}"
        );
    }
}
matrix!(figures: event);

/// MET-02, TEL-004: not for applications where the server's own telemetry is configured.
#[test]
fn telemetry_takes_the_metrics() {
    let server = site(Mpm::Event, Mode::Daemon)
        .config("WSGITelemetryService unix:{dir}/telemetry.sock")
        .start();
    server.get("/?start").expect(200);
    for query in ["process", "request"] {
        let answer = server.get(&format!("/?{query}")).expect(200);
        assert_eq!(answer.fact("on"), "False");
    }
}

/// MET-01, MET-02: a process that the application forked has no metrics: it gets None, at once, even if another thread of the
/// original was just using the recorder, and what it does is not counted.
fn in_forked_processes(mpm: Mpm, mode: Mode) {
    if !subject().is_ours() {
        return;
    }
    let app = "import mod_wsgi, threading

over = threading.Event()

def use():
    while not over.is_set():
        mod_wsgi.process_metrics()

def metrics():
    return [f() is not None for f in (mod_wsgi.start_recording_metrics, mod_wsgi.request_metrics, mod_wsgi.process_metrics)]

def application(environ, start_response):
    mod_wsgi.start_recording_metrics()
    mod_wsgi.request_metrics()
    over.clear()
    users = [threading.Thread(target=use) for _ in range(3)]
    for user in users:
        user.start()
    copies = sorted({in_a_copy(metrics) for _ in range(20)})
    over.set()
    for user in users:
        user.join()
    facts = {'copies': copies, 'counted': mod_wsgi.request_metrics()['request_count']}
    start_response('200 OK', [])
    return [''.join('%s\\t%s\\n' % item for item in facts.items()).encode()]
";
    let server = Site::new(mpm, mode)
        .daemon_options("threads=3")
        .script("/", &format!("{IN_A_COPY}{app}"))
        .start();
    let answer = server.get("/").expect(200);
    assert_eq!(answer.fact("copies"), "['[False, False, False]']");
    assert_eq!(answer.fact("counted"), "0");
}
matrix!(in_forked_processes: event prefork);
