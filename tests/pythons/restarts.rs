//! Many graceful restarts under load: interpreters with GILs of their own end while their threads have just had work.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use wsgi_harness::{Mode, Mpm, wait_until};

use super::{gils, several};

/// What interpreters must clean up: modules in C with state, threads that have ended and a pool of some, thread locals, cycles,
/// callbacks. Python 3.13 itself corrupts its memory where several interpreters with own GILs use datetime or sqlite3 at the same time.
const APP: &str = "import atexit, concurrent.futures, decimal, functools, json, re, sys, threading
import mod_wsgi

if sys.version_info >= (3, 14):
    import datetime, sqlite3

local = threading.local()
pool = concurrent.futures.ThreadPoolExecutor(2)
kept = []

class Node:
    def __del__(self):
        decimal.Decimal(1) / 3

def note():
    with open('{data}/ends', 'a') as f:
        f.write('.')

atexit.register(note)
mod_wsgi.subscribe_events(lambda name, **event: None)
mod_wsgi.start_recording_metrics()

def application(environ, start_response):
    local.node = Node()
    local.node.itself = local.node
    kept.append(local.node)
    if len(kept) > 50:
        kept.clear()
    total = 42
    if sys.version_info >= (3, 14):
        database = sqlite3.connect(':memory:')
        total = database.execute('select 20 + 22').fetchone()[0]
        datetime.datetime.now().strftime('%H')
    thread = threading.Thread(target=functools.partial(json.dumps, {'a': [1.5, None]}))
    thread.start()
    later = pool.submit(Node)
    thread.join()
    later.result()
    text = re.sub('x', str(total), environ['QUERY_STRING'])
    mod_wsgi.request_metrics()
    start_response('200 OK', [])
    return [text.encode()]
";

fn restarts() -> usize {
    if std::env::var_os("WSGI_LONG").is_some() {
        50
    } else {
        5
    }
}

/// API-060, API-062, DMN-530: processes end under load without a crash, without an error in the log (the harness looks), and without
/// losing a request.
fn restarts_under_load(mpm: Mpm, mode: Mode) {
    for version in several() {
        let server = gils(mpm, mode, &version)
            .config("ServerLimit 8\nMaxRequestWorkers 128\nThreadsPerChild 16")
            .log_level("notice")
            .start();
        server.case("busy", APP);
        let (stop, served) = (AtomicBool::new(false), AtomicUsize::new(0));
        thread::scope(|scope| {
            for path in ["/own/busy", "/other/busy", "/shared/busy", "/case/busy"] {
                let (server, stop, served) = (&server, &stop, &served);
                scope.spawn(move || {
                    while !stop.load(Ordering::Relaxed) {
                        let answer = server.get(&format!("{path}?x")).expect(200);
                        assert_eq!(answer.text(), "42", "{path}");
                        served.fetch_add(1, Ordering::Relaxed);
                    }
                });
            }
            let finish = Finish(&stop);
            for _ in 0..restarts() {
                // Every interpreter is there and has work.
                let wanted = served.load(Ordering::Relaxed) + 40;
                wait_until("requests", || {
                    (served.load(Ordering::Relaxed) >= wanted).then_some(())
                });
                server.graceful();
            }
            drop(finish);
        });
        println!(
            "{} restarts ({version}, {mode:?}): {} requests",
            restarts(),
            served.load(Ordering::Relaxed)
        );
        server.stop();
    }
}

mod soak {
    use super::*;

    #[test]
    #[ignore = "needs several Pythons: make test-pythons"]
    fn embedded() {
        restarts_under_load(Mpm::Event, Mode::Embedded);
    }

    #[test]
    #[ignore = "needs several Pythons: make test-pythons"]
    fn daemon() {
        restarts_under_load(Mpm::Event, Mode::Daemon);
    }
}

/// Tells the clients to stop, also when an assertion fails.
struct Finish<'a>(&'a AtomicBool);

impl Drop for Finish<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
