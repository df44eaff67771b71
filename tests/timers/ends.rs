//! How long an end may take: what of a process's requests and its clean-up is waited for, and when that stops.

use std::time::{Duration, Instant};

use super::spared::OTHER;
use super::*;

/// A request that takes too long, and 7 s later another one. 1.5 s after that the first one costs its process, in which the other one
/// counts as active for 5 s.
struct Pair {
    server: Server,
    held: Held,
    other: Connection,
    begun: Instant,
}

/// DP-84, DP-67, DP-98, DMN-431, DMN-471: the drain that request-timeout begins ends at graceful-timeout, though another request is not
/// stale; without one there is no drain, and that request has shutdown-timeout.
#[test]
fn requests_beside_a_late_one_have_graceful_timeout() {
    if !subject().is_ours() {
        // Its words are others.
        return;
    }
    let begun = [0_u64, 1].map(|graceful| {
        let options = format!("threads=2 request-timeout=5 graceful-timeout={graceful}");
        let server = server(&options);
        let url = server.case("other", OTHER);
        let held = hold(&server, "/app?hold");
        (graceful, server, url, held)
    });
    std::thread::sleep(Duration::from_secs(7));
    let pairs = begun.map(|(graceful, server, url, held)| {
        let begun = Instant::now();
        let other = server.begin(&url);
        let pair = Pair {
            server,
            held,
            other,
            begun,
        };
        (graceful, pair)
    });
    for (graceful, pair) in pairs {
        let Pair {
            server,
            mut held,
            mut other,
            begun,
        } = pair;
        let process = holder(&server, "other");
        server.wait_for_log("is taking no more requests (request_timeout)");
        // On a machine so busy that it is in another process, or stale by now, it proves nothing.
        let is_active = begun.elapsed() < Duration::from_secs(4 - graceful);
        if process == held.daemon.pid && is_active {
            server.wait_for_log("requests took too long to finish (request_timeout)");
            assert_eq!(other.answer().status, 502, "graceful-timeout={graceful}");
        }
        held.ends(&server, 502, "request_timeout");
    }
}

/// DP-66, DP-91, DP-96, DMN-413: a request that has run into request-timeout is active until interrupt-timeout is over as well: it
/// keeps its process from being idle, and a process that is to end waits for it.
#[test]
fn interrupted_requests_are_active() {
    let server =
        server("request-timeout=1 interrupt-timeout=600 inactivity-timeout=1 graceful-timeout=600");
    let mut held = hold(&server, "/app?defy");
    assert_eq!(holder(&server, "defied"), held.daemon.pid);
    // Longer than inactivity-timeout; being longer still changes nothing.
    std::thread::sleep(Duration::from_millis(2500));
    held.daemon.signal(Signal::SIGUSR1);
    if subject().is_ours() {
        server.wait_for_log("is taking no more requests (graceful_signal)");
    }
    // Longer than shutdown-timeout.
    std::thread::sleep(Duration::from_millis(2500));
    server.write("data/go", "");
    held.ends(&server, 200, "graceful_signal");
}

/// Its exit function waits for the file `go`.
const HANGING: &str = "import atexit, os, time

def at_exit():
    open('{data}/atexit', 'w').close()
    while not os.path.exists('{data}/go'):
        time.sleep(0.01)
    open('{data}/after', 'w').close()

atexit.register(at_exit)

def application(environ, start_response):
    start_response('200 OK', [])
    return [str(os.getpid()).encode()]
";

/// DP-62, DP-92, API-064: shutdown-timeout holds for the clean-up of interpreters as well.
#[test]
fn shutdown_timeout_of_exit_functions() {
    let server = server("shutdown-timeout=1");
    let url = server.case("hanging", HANGING);
    let old = daemon(&server, server.served_by(&url));
    old.signal(Signal::SIGTERM);
    server.wait_until_gone(&[old]);
    assert!(server.path("data/atexit").exists());
    assert!(!server.path("data/after").exists());
    if subject().is_ours() {
        server.wait_for_log("shutdown-timeout is over, the process ends by force");
    }
    server.write("data/go", "");
}
