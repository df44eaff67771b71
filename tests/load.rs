//! Many clients with distinct bodies: no answer belongs to somebody else, none is lost. `WSGI_LOAD_SECONDS` says how long.

use std::collections::HashSet;
use std::time::Duration;

use nix::sys::signal::Signal;
use wsgi_harness::load::{self, Connections};
use wsgi_harness::{Mode, Mpm, Request, Server, Site, load_duration, matrix, subject, wait_within};

const CLIENTS: usize = 64;

/// The application answers with the body in capitals and its own mark, so that an answer shows whose it is.
const ANSWERING: &str = "import os, time\n\ndef application(environ, start_response):\n    body = environ['wsgi.input'].read()\n    if environ['QUERY_STRING'] == 'slow':\n        time.sleep(0.002)\n    start_response('200 OK', [('Content-Type', 'text/plain'), ('X-Pid', str(os.getpid()))])\n    if len(body) % 2:\n        return [b'odd:', body]\n    return (block for block in (b'even:', body[:100], body[100:]))\n";

fn server(mpm: Mpm, mode: Mode) -> Server {
    Site::new(mpm, mode)
        .daemon_options("processes=2 threads=8")
        .config(match mpm {
            // Enough spare ones wanted, so that httpd starts many at a time: else some clients wait for a process to the end.
            Mpm::Prefork => {
                "StartServers 10\nMinSpareServers 20\nMaxSpareServers 80\nMaxRequestWorkers 100\nServerLimit 100"
            }
            _ => "StartServers 2\nThreadsPerChild 40\nMaxRequestWorkers 80\nServerLimit 4\nMaxSpareThreads 200",
        })
        .script("/", ANSWERING)
        .start()
}

/// The request of a client and the answer it must get; sizes from nothing to beyond one read of a socket.
fn exchange(client: usize, number: usize) -> (Request, Vec<u8>) {
    let size = [0, 1, 17, 300, 4096, 20_000, 70_000][(client + number) % 7];
    let mut body = format!("{client}/{number}:").into_bytes();
    body.resize(body.len() + size, b'a' + (client % 26) as u8);
    let mut expected = if body.len() % 2 == 1 {
        b"odd:".to_vec()
    } else {
        b"even:".to_vec()
    };
    expected.extend(&body);
    let target = if number % 10 == 0 { "/?slow" } else { "/" };
    (Request::post(target, body), expected)
}

/// Issue: 64 clients in both modes, no answer mixed up, none lost.
fn many_clients(mpm: Mpm, mode: Mode) {
    let server = server(mpm, mode);
    let tally = load::run(
        server.address(),
        CLIENTS,
        Connections::Kept,
        load_duration(),
        exchange,
    );
    println!("load ({mpm:?}, {mode:?}): {tally}");
    assert!(tally.total() > CLIENTS as u64, "{tally}");
    assert_eq!(tally.count("good"), tally.total(), "{tally}");
}
matrix!(many_clients: event prefork);

/// The same with a connection for each request.
fn many_connections(mpm: Mpm, mode: Mode) {
    let server = server(mpm, mode);
    let duration = load_duration().min(Duration::from_secs(3));
    let tally = load::run(server.address(), 16, Connections::Fresh, duration, exchange);
    println!("connections ({mpm:?}, {mode:?}): {tally}");
    assert_eq!(tally.count("good"), tally.total(), "{tally}");
}
matrix!(many_connections: event);

/// Issue, REQ-472, DMN-302, DMN-540: the same while a daemon is killed each second. Only what a killed process was working on
/// fails, with 502 or visibly cut short; no answer is mixed up, nothing hangs.
#[test]
fn daemons_are_killed() {
    let server = server(Mpm::Event, Mode::Daemon);
    let duration = load_duration();
    let (tally, kills) = std::thread::scope(|scope| {
        let server = &server;
        let running = scope.spawn(move || {
            load::run(
                server.address(),
                CLIENTS,
                Connections::Kept,
                duration,
                exchange,
            )
        });
        let mut killed = HashSet::new();
        while !running.is_finished() {
            // The interval of the issue; nothing is measured by it.
            std::thread::sleep(Duration::from_secs(1));
            // One that serves: processes that die before that count as a group that cannot start.
            let serving = wait_within(Duration::from_secs(1), || {
                let answer = server.get("/");
                answer.header("X-Pid").map(str::to_owned)
            });
            let daemon = server
                .daemons()
                .into_iter()
                .find(|daemon| serving.as_deref() == Some(&daemon.pid.to_string()));
            if let Some(daemon) = daemon.filter(|daemon| killed.insert(daemon.pid)) {
                daemon.signal(Signal::SIGKILL);
            }
        }
        let tally = running.join().expect("the load does not panic");
        (tally, killed.len())
    });
    println!("load with {kills} kills: {tally}");
    for text in [
        "WSGI0146", "WSGI0147", "WSGI0119", "WSGI0121", "WSGI0129", "WSGI0127", "live",
    ] {
        server.allow_log(text);
    }
    assert!(kills > 0 && tally.count("good") > CLIENTS as u64, "{tally}");
    // "short" is an answer that looks whole and is not, which is what DMN-338 is about.
    for kind in ["wrong", "silent", "refused", "malformed"] {
        assert_eq!(tally.count(kind), 0, "{tally}");
    }
    if subject().differs("DMN-338") {
        // No more than a killed process has threads.
        let failed = tally.total() - tally.count("good");
        assert!(failed <= 8 * kills as u64, "{tally}");
        assert_eq!(
            tally.count("good") + tally.count("status 502") + tally.count("cut short"),
            tally.total(),
            "{tally}"
        );
    }
}
