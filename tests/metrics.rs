//! `mod_wsgi.start_recording_metrics()`, `request_metrics()` and `process_metrics()`: what the requests of a process took.

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
    for phase in [
        "server",
        "queue",
        "daemon",
        "application",
        "request",
        "gil_wait",
        "input_read",
        "output_write",
    ] {
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

/// MET-01 to MET-03, MET-10 to MET-49, MET-32: keys and types, and the figures of requests that the test has made.
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
    // The one that is held, this one, and perhaps the one before, whose answer came before its end.
    let held = answer.fact("held");
    assert!(["2", "3"].contains(&held.as_str()), "{held}");
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

/// MET-02: not for applications where the server's own telemetry is configured.
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
