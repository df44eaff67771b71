//! Processes are replaced while clients have requests of all lengths on the way: not one of them fails, whatever the reason,
//! and none is run twice. The waits are measured and printed. `WSGI_LONG` makes the requests and the runs longer and
//! checks the longest wait.

use std::fs;
use std::thread;
use std::time::Duration;

use nix::sys::signal::Signal;
use wsgi_harness::load::{self, Connections, Tally, Wait};
use wsgi_harness::{Request, Server, Site, subject, wait_until};

const CLIENTS: usize = 32;

/// Writes down that it runs, and sleeps as long as the query string says.
const APP: &str = r#"
import os, time

runs = os.open('{data}/runs', os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)

def application(environ, start_response):
    text = environ['QUERY_STRING']
    os.write(runs, text.encode() + b'\n')
    time.sleep(float(text.split('-')[0]))
    start_response('200 OK', [('X-Pid', str(os.getpid()))])
    return [text.encode()]
"#;

fn is_long() -> bool {
    std::env::var_os("WSGI_LONG").is_some()
}

/// Seconds that a request takes; the longest is what a restart has to wait for.
fn lengths() -> [f64; 8] {
    if is_long() {
        [0.01, 0.01, 0.02, 0.05, 0.3, 1.0, 3.0, 8.0]
    } else {
        [0.01, 0.01, 0.01, 0.02, 0.05, 0.1, 0.3, 1.0]
    }
}

/// The length of a client's request.
fn length(client: usize, number: usize) -> f64 {
    lengths()[(client * 3 + number * 5) % lengths().len()]
}

/// What a request may wait beyond the longest request. Without `WSGI_LONG` only what hangs exceeds it.
fn allowance() -> Duration {
    Duration::from_secs(if is_long() { 1 } else { 20 })
}

fn duration() -> Duration {
    Duration::from_secs(if is_long() { 30 } else { 4 })
}

/// Time to serve between two restarts; nothing depends on its length.
fn pause() -> Duration {
    Duration::from_millis(if is_long() { 5000 } else { 600 })
}

/// More threads than clients, so that nobody waits for a thread.
fn site(processes: u32, options: &str) -> Site {
    base(processes, options).script("/", APP)
}

fn base(processes: u32, options: &str) -> Site {
    Site::daemon()
        .daemon_options(&format!("processes={processes} threads=40 {options}"))
        .config(
            "ThreadLimit 128\nThreadsPerChild 64\nServerLimit 8\nMaxRequestWorkers 512\nMinSpareThreads 32\n\
             MaxSpareThreads 512",
        )
}

/// Clients with requests of mixed length, half of them with a connection for each request, while `trouble` happens again and
/// again. Returns how often it happened.
fn under_load(server: &Server, what: &str, mut trouble: impl FnMut(u32)) -> u32 {
    server.get("/?0").expect(200);
    let run = |connections| {
        let (address, duration) = (server.address(), duration());
        move || {
            load::run(
                address,
                CLIENTS / 2,
                connections,
                duration,
                |client, number| {
                    let length = length(client, number);
                    let text = format!("{length}-{client}-{number}-{connections:?}");
                    (Request::get(&format!("/?{text}")), text.into_bytes())
                },
            )
        }
    };
    let mut times = 0;
    let tallies: [Tally; 2] = thread::scope(|scope| {
        let loads = [Connections::Kept, Connections::Fresh].map(|kind| scope.spawn(run(kind)));
        while !loads.iter().all(thread::ScopedJoinHandle::is_finished) {
            thread::sleep(pause());
            trouble(times);
            times += 1;
        }
        loads.map(|load| load.join().expect("the load does not panic"))
    });
    for (tally, kind) in tallies.iter().zip(["kept", "fresh"]) {
        println!(
            "{what}, {times} times, {kind} connections: {tally}; {}",
            delays(tally)
        );
        assert!(tally.total() > CLIENTS as u64, "{tally}");
        assert_eq!(tally.count("good"), tally.total(), "{what}: {tally}");
        let bound = Duration::from_secs_f64(lengths()[7]) + allowance();
        assert!(tally.longest <= bound, "{what}: {tally}");
    }
    assert_eq!(run_twice(server), Vec::<String>::new(), "{what}");
    times
}

/// What requests waited beyond the time that they take.
fn delays(tally: &Tally) -> String {
    let delay = |wait: &Wait| {
        let length = Duration::from_secs_f64(length(wait.client, wait.number));
        wait.length.saturating_sub(length)
    };
    let mut delays: Vec<Duration> = tally.waits.iter().map(delay).collect();
    delays.sort_unstable();
    let at = |share: usize| delays[(delays.len() - 1) * share / 100].as_millis();
    format!(
        "delay p50 {} ms, p99 {} ms, most {} ms",
        at(50),
        at(99),
        at(100)
    )
}

/// Requests that were run more than once.
fn run_twice(server: &Server) -> Vec<String> {
    let text = fs::read_to_string(server.path("data/runs")).expect("the runs");
    let mut seen = std::collections::HashSet::new();
    let again = |line: &&str| line.contains('-') && !seen.insert(line.to_string());
    text.lines().filter(again).map(str::to_owned).collect()
}

/// The processes of the group were replaced that often at least.
#[track_caller]
fn replaced(server: &Server, at_least: usize, reason: &str) {
    let count = server.log().count(reason);
    println!("{reason}: {count}");
    assert!(count >= at_least, "{count} × {reason}");
}

/// A test for one and for three processes.
macro_rules! for_processes {
    ($name:ident) => {
        mod $name {
            #[test]
            fn one_process() {
                if wsgi_harness::subject().is_ours() {
                    super::$name(1);
                }
            }
            #[test]
            fn three_processes() {
                if wsgi_harness::subject().is_ours() {
                    super::$name(3);
                }
            }
        }
    };
}

/// DMN-267, DP-89: the script is touched.
fn script_is_touched(processes: u32) {
    let server = site(processes, "").start();
    under_load(&server, "script touched", |_| {
        server.touch("apps/root.wsgi")
    });
    replaced(&server, 2, "has changed, restarting");
}
for_processes!(script_is_touched);

/// DMN-460, DP-60, DP-83: `maximum-requests`.
fn maximum_requests(processes: u32) {
    let server = site(processes, "maximum-requests=50").start();
    under_load(&server, "maximum-requests", |_| ());
    replaced(&server, 2, "(maximum_requests)");
}
for_processes!(maximum_requests);

/// DMN-455, DP-69, DP-86: `restart-interval`.
fn restart_interval(processes: u32) {
    let server = site(processes, "restart-interval=1").start();
    under_load(&server, "restart-interval", |_| ());
    replaced(&server, 2, "(restart_interval)");
}
for_processes!(restart_interval);

/// DMN-473, DMN-501, DP-81: SIGUSR1 to each daemon, with and without `eviction-timeout`.
fn graceful_signal(processes: u32) {
    for (options, reason) in [
        ("", "(graceful_signal)"),
        ("eviction-timeout=10", "(eviction_signal)"),
    ] {
        let server = site(processes, options).start();
        under_load(&server, "SIGUSR1", |_| {
            for daemon in server.daemons() {
                daemon.signal(Signal::SIGUSR1);
            }
        });
        replaced(&server, 2, reason);
    }
}
for_processes!(graceful_signal);

/// DMN-550, DMN-551, DMN-061: graceful restarts of Apache, with a socket name for each generation and with one for all.
fn graceful_restarts(processes: u32) {
    for rotation in ["On", "Off"] {
        let server = site(processes, "")
            .config(&format!("WSGISocketRotation {rotation}"))
            .start();
        let what = format!("graceful restart, rotation {rotation}");
        under_load(&server, &what, |_| server.graceful());
        replaced(&server, 2, "resuming normal operations");
    }
}
for_processes!(graceful_restarts);

/// Everything at once: whatever overlaps, nobody notices.
fn everything_at_once(processes: u32) {
    let server = site(processes, "maximum-requests=80 restart-interval=2").start();
    under_load(&server, "everything", |times| match times % 4 {
        0 => server.touch("apps/root.wsgi"),
        1 => server.graceful(),
        2 => {
            for daemon in server.daemons() {
                daemon.signal(Signal::SIGUSR1);
            }
        }
        _ => {
            server.touch("apps/root.wsgi");
            server.graceful();
        }
    });
}
for_processes!(everything_at_once);

/// Issue: a deploy that changes the code, and two that break it. The script is preloaded, so that a broken one does not
/// replace what serves; the new code is what is served in the end.
fn deploys(processes: u32) {
    let server = base(processes, "")
        .script_with("/", "process-group=live application-group=%{GLOBAL}", APP)
        .start();
    let version = |number: u32| {
        let header = format!("[('X-Version', '{number}'), ('X-Pid'");
        APP.replace("[('X-Pid'", &header)
    };
    for text in [
        "WSGI0106",
        "WSGI0109",
        "WSGI0110",
        "WSGI0174",
        "WSGI5207",
        "Traceback",
        "root.wsgi\"",
        "a_module_that_is_missing",
        "SyntaxError",
        "def application(",
        "^",
    ] {
        server.allow_log(text);
    }
    let times = under_load(&server, "deploy", |times| {
        let text = match times % 3 {
            0 => version(times),
            1 => "def application(environ, start_response:\n    return []\n".to_owned(),
            _ => "import a_module_that_is_missing\n".to_owned(),
        };
        server.write("apps/root.wsgi", &text);
    });
    replaced(&server, 1, "WSGI5207");
    server.write("apps/root.wsgi", &version(times));
    let last = times.to_string();
    wait_until("the last version", || {
        let answer = server.get("/?0").expect(200);
        (answer.header("X-Version") == Some(last.as_str())).then_some(())
    });
}
for_processes!(deploys);

/// The same with a script that is not preloaded, whose new code the next request gets.
#[test]
fn a_deploy_under_load() {
    if !subject().is_ours() {
        return;
    }
    let server = site(2, "").start();
    let times = under_load(&server, "deploy", |times| {
        let header = format!("[('X-Version', '{times}'), ('X-Pid'");
        server.write("apps/root.wsgi", &APP.replace("[('X-Pid'", &header));
    });
    let last = (times - 1).to_string();
    wait_until("the last version", || {
        let answer = server.get("/?0").expect(200);
        (answer.header("X-Version") == Some(last.as_str())).then_some(())
    });
}
