//! Daemons that crash, hang, run out of something or cannot start: only what they were working on fails, with the right
//! status and in bounded time, other groups notice nothing, and everything recovers. Each test prints its counts.

use std::fs;
use std::thread;
use std::time::Duration;

use nix::sys::signal::Signal;
use wsgi_harness::load::{self, Connections, Tally};
use wsgi_harness::{
    Answer, Connection, Curl, Mode, Mpm, Process, Request, Server, Site, subject, wait_until,
};

/// What these applications can do, by query string.
const APP: &str = r#"
import ctypes, os, resource, signal, threading, time

def wait_for(name):
    while not os.path.exists('{data}/' + name):
        time.sleep(0.01)

def exhaust():
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = max(int(name) for name in os.listdir('/proc/self/fd'))
    resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 20, limit[1]))
    files = []
    try:
        while True:
            files.append(open('/dev/null'))
    except OSError:
        pass
    def restore():
        wait_for('go')
        files.clear()
    threading.Thread(target=restore).start()

def application(environ, start_response):
    query = environ['QUERY_STRING']
    if query == 'kill':
        os.kill(os.getpid(), signal.SIGKILL)
    elif query == 'crash':
        ctypes.string_at(0)
    elif query == 'abort':
        os.abort()
    elif query == 'memory':
        bytearray(8 << 30)
    elif query == 'late':
        start_response('200 OK', [])(b'begin')
        os.kill(os.getpid(), signal.SIGKILL)
    elif query == 'promised':
        start_response('200 OK', [('Content-Length', '100')])(b'begin')
        os.kill(os.getpid(), signal.SIGKILL)
    elif query == 'deadlock':
        ctypes.PyDLL(None).sleep(3600)
    elif query == 'exhaust':
        exhaust()
    elif query.startswith('hold'):
        open('{data}/' + query, 'w').close()
        wait_for('go')
    elif query == 'wait':
        wait_for('go')
    elif query.startswith('touch-'):
        open('{data}/' + query, 'w').close()
    body = environ['wsgi.input'].read() + query.encode()
    start_response('200 OK', [('X-Pid', str(os.getpid()))])
    return [body]
"#;

/// A second group and a URL for it, which nothing that happens to `live` may disturb.
const OTHER: &str = "WSGIDaemonProcess other processes=1 threads=4\n<Location /other>\nWSGIProcessGroup other\n</Location>\n\
    WSGIScriptAlias /other {apps}/root.wsgi";

fn server(options: &str) -> Server {
    Site::daemon()
        .daemon_options(options)
        .config(OTHER)
        .script("/", APP)
        .start()
}

/// What is logged about a daemon that died.
fn allow_death(server: &Server) {
    for text in [
        "WSGI0146",
        "WSGI0147",
        "WSGI0119",
        "Fatal Python error",
        "WSGI5041",
    ] {
        server.allow_log(text);
    }
}

/// Eight clients for each of two groups while `trouble` happens to the first. Their counts: its own, the other group's.
fn load_while(server: &Server, trouble: impl FnOnce()) -> (Tally, Tally) {
    let run = |target: &'static str| {
        let address = server.address();
        let exchange = move |client: usize, number: usize| {
            let text = format!("{client}-{number}");
            (Request::get(&format!("{target}?{text}")), text.into_bytes())
        };
        move || {
            load::run(
                address,
                8,
                Connections::Kept,
                Duration::from_secs(3),
                exchange,
            )
        }
    };
    thread::scope(|scope| {
        let own = scope.spawn(run("/"));
        let other = scope.spawn(run("/other"));
        trouble();
        let join = "the load does not panic";
        (own.join().expect(join), other.join().expect(join))
    })
}

/// Nothing but these kinds of failures, and no more than `most`.
#[track_caller]
fn assert_small(tally: &Tally, kinds: &[&str], most: u64) {
    let failed: u64 = kinds.iter().map(|kind| tally.count(kind)).sum();
    assert_eq!(tally.count("good") + failed, tally.total(), "{tally}");
    assert!(failed <= most, "{tally}");
}

/// REQ-472, DMN-301, DMN-302, DMN-540: processes that are killed, crash, or end themselves. A process has four threads, so
/// that no more than the four requests that it was working on can fail.
#[test]
fn a_crash_costs_only_its_own_requests() {
    if !subject().differs("DMN-540") {
        return;
    }
    for way in ["kill", "crash", "abort"] {
        let server = server("processes=2 threads=4");
        allow_death(&server);
        server.get("/").expect(200);
        let (own, other) = load_while(&server, || {
            thread::sleep(Duration::from_millis(500));
            let answer = server.get(&format!("/?{way}"));
            assert_eq!(answer.status, 502, "{}", answer.shown());
        });
        println!("{way}: group: {own}\n{way}: other group: {other}");
        assert_small(&own, &["status 502", "cut short"], 3);
        assert_eq!(other.count("good"), other.total(), "{other}");
        wait_until("both processes", || {
            (server.daemons().len() == 3).then_some(())
        });
    }
}

/// The same from outside, one process after the other.
#[test]
fn a_signal_costs_only_its_own_requests() {
    if !subject().differs("DMN-540") {
        return;
    }
    let server = server("processes=2 threads=4 display-name=%{GROUP}");
    allow_death(&server);
    let mut signals = 0;
    let (own, other) = load_while(&server, || {
        for signal in [Signal::SIGKILL, Signal::SIGSEGV, Signal::SIGABRT] {
            thread::sleep(Duration::from_millis(700));
            daemon(&server, "live").signal(signal);
            signals += 1;
        }
    });
    println!("{signals} signals: group: {own}\nother group: {other}");
    assert_small(&own, &["status 502", "cut short"], 4 * signals);
    assert_eq!(other.count("good"), other.total(), "{other}");
}

fn daemon(server: &Server, group: &str) -> Process {
    wait_until("a daemon", || {
        server
            .daemons()
            .into_iter()
            .find(|daemon| daemon.command.contains(group))
    })
}

/// Stops a process and waits until none of its threads runs.
fn stop(process: &Process) {
    process.signal(Signal::SIGSTOP);
    let tasks = format!("/proc/{}/task", process.pid);
    wait_until("all threads to be stopped", || {
        let mut tasks = fs::read_dir(&tasks).expect("its threads").flatten();
        let is_stopped = |task: fs::DirEntry| {
            let status = fs::read_to_string(task.path().join("status"));
            status.is_ok_and(|text| text.contains("State:\tT"))
        };
        tasks.all(is_stopped).then_some(())
    });
}

/// DP-83, DP-84, DMN-125: out of memory is an error of the one request that asks for too much.
#[test]
fn out_of_memory_is_an_error_of_one_request() {
    let server = server("processes=1 threads=4 virtual-memory-limit=4294967296");
    let before = server.get("/").expect(200);
    let (own, other) = load_while(&server, || {
        assert_eq!(server.get("/?memory").status, 500);
    });
    println!("memory: group: {own}\nmemory: other group: {other}");
    server.expect_log("MemoryError");
    assert_eq!(own.count("good"), own.total(), "{own}");
    assert_eq!(other.count("good"), other.total(), "{other}");
    let after = server.get("/").expect(200);
    assert_eq!(before.header("X-Pid"), after.header("X-Pid"));
}

/// DMN-338, REQ-466: an answer that a dying process cut short can be told from a whole one, in every framing.
#[test]
fn a_cut_short_answer_shows() {
    if !subject().differs("DMN-338") {
        return;
    }
    let server = Site::daemon()
        .modules(&["http2"])
        .config("Protocols h2c http/1.1")
        .script("/", APP)
        .start();
    allow_death(&server);
    server.allow_log("AH10");
    let read = |request: &Request| -> Answer {
        let mut connection = server.connect();
        connection.send_bytes(request.bytes());
        connection.read_answer("GET").expect("a head")
    };
    for query in ["late", "promised"] {
        let answer = read(&Request::get(&format!("/?{query}")));
        assert_eq!((answer.status, answer.text().as_str()), (200, "begin"));
        assert!(!answer.whole, "{query}: {}", answer.shown());
        let answer = Curl::http2(&server).get(&format!("/?{query}"));
        println!("{query} over HTTP/2: curl ends with {}", answer.exit);
        // 92 is a stream that was reset, 56 and 16 a connection that was.
        assert!(
            [92, 56, 16].contains(&answer.exit),
            "{query}: {}",
            answer.exit
        );
    }
    server.get("/").expect(200);
}

/// Issue, DMN-216, DMN-300: a process that was stopped holds up at most the requests that it was given, for at most
/// socket-timeout; the other process serves. When it goes on, it does not run what nobody waits for.
#[test]
fn a_stopped_process_is_waited_for_in_bounds() {
    let server = server("processes=2 threads=2 socket-timeout=2 display-name=%{GROUP}");
    server.allow_log("WSGI0145");
    for _ in 0..4 {
        server.get("/").expect(200);
    }
    let mut stopped = None;
    let (own, other) = load_while(&server, || {
        thread::sleep(Duration::from_millis(300));
        let daemon = daemon(&server, "live");
        stop(&daemon);
        stopped = Some(daemon);
    });
    println!("stopped: group: {own}\nstopped: other group: {other}");
    let stopped = stopped.expect("a process was stopped");
    assert_small(&own, &["status 504", "cut short"], 4);
    assert!(own.count("good") > 8, "{own}");
    assert_eq!(other.count("good"), other.total(), "{other}");
    stopped.signal(Signal::SIGCONT);
    // Every thread of both processes serves again.
    thread::scope(|scope| {
        let server = &server;
        for number in 0..4 {
            scope.spawn(move || server.get(&format!("/?hold-{number}")).expect(200));
        }
        wait_until("four requests at a time", || {
            let runs = |number| server.path(&format!("data/hold-{number}")).exists();
            (0..4).all(runs).then_some(())
        });
        server.write("data/go", "");
    });
}

/// The same with the only process: 504 in time, not run later, and then as before.
#[test]
fn the_only_process_is_stopped() {
    if !subject().is_ours() {
        return;
    }
    let server = server("processes=1 threads=2 socket-timeout=1 display-name=%{GROUP}");
    let daemon = daemon(&server, "live");
    server.get("/").expect(200);
    stop(&daemon);
    thread::scope(|scope| {
        for number in 0..5 {
            let server = &server;
            scope.spawn(move || {
                let answer = server.get(&format!("/?touch-{number}"));
                assert_eq!(answer.status, 504, "{}", answer.shown());
            });
        }
    });
    server.expect_log("WSGI0145");
    daemon.signal(Signal::SIGCONT);
    server.get("/?touch-after").expect(200);
    let run = |number: usize| server.path(&format!("data/touch-{number}")).exists();
    let ran = (0..5).filter(|number| run(*number)).count();
    println!("stopped: 5 sent, 5 times 504, {ran} were run all the same");
    assert_eq!(ran, 0);
}

/// DP-95, DMN-440: an application that blocks with the GIL held. After deadlock-timeout the process is replaced; what it
/// had taken fails then, and not later.
#[test]
fn a_deadlock_is_bounded() {
    let server = server("processes=1 threads=4 deadlock-timeout=2 shutdown-timeout=1");
    allow_death(&server);
    let pid = |answer: Answer| answer.header("X-Pid").map(str::to_owned);
    let before = pid(server.get("/").expect(200));
    let (own, other) = load_while(&server, || {
        let answer = server.get("/?deadlock");
        assert_eq!(answer.status, 502, "{}", answer.shown());
    });
    println!("deadlock: group: {own}\ndeadlock: other group: {other}");
    assert_small(&own, &["status 502", "cut short"], 3);
    assert_eq!(other.count("good"), other.total(), "{other}");
    let after = pid(server.get("/").expect(200));
    assert_ne!(before, after);
    server.expect_log("Python has been blocked for deadlock-timeout");
}

/// DMN-404: no descriptors left in a process. New connections wait until there are some again.
#[test]
fn no_descriptors_for_accept() {
    let server = server("processes=1 threads=6");
    server.get("/?exhaust").expect(200);
    let answers: Vec<Answer> = thread::scope(|scope| {
        let server = &server;
        // At the same time, so that each of them needs a connection of its own.
        let threads = [(); 4].map(|()| scope.spawn(move || server.get("/?wait")));
        server.wait_for_log("WSGI5201");
        server.write("data/go", "");
        threads
            .map(|thread| thread.join().expect("a client does not panic"))
            .into()
    });
    let good = answers.iter().filter(|answer| answer.status == 200).count();
    println!("no descriptors: 4 sent, {good} good");
    assert_eq!(good, 4);
    server.expect_log("Too many open files");
}

/// DMN-404: kept connections that nobody uses give way to new ones; the child that had one does not notice.
#[test]
fn idle_connections_give_way() {
    let server = Site::new(Mpm::Prefork, Mode::Daemon)
        .daemon_options("processes=1 threads=6")
        .config("StartServers 4\nMinSpareServers 2\nMaxRequestWorkers 10\nServerLimit 10")
        .log_level("debug")
        .script("/", APP)
        .start();
    // Each in a child of its own, with which it stays.
    let mut clients: Vec<_> = (0..3)
        .map(|number| {
            let mut client = server.connect();
            client
                .send(&Request::get(&format!("/?{number}")))
                .expect(200);
            client
        })
        .collect();
    clients[0].send(&Request::get("/?exhaust")).expect(200);
    let good = |client: &mut Connection| client.send(&Request::get("/?good")).expect(200).text();
    let mut newcomers = [(); 2].map(|()| server.connect());
    for client in &mut newcomers {
        assert_eq!(good(client), "good");
    }
    for client in &mut clients {
        assert_eq!(good(client), "good");
    }
    server.write("data/go", "");
    server.allow_log("WSGI5201");
    // Records of a daemon come by way of the supervisor.
    server.wait_for_logs("an idle connection was closed", 2);
    let given_up = server.log().count("an idle connection was closed");
    println!("no descriptors: 6 connections, {given_up} given up");
    // Once for each newcomer that comes while the connection to give up is still being put aside.
    assert!(server.log().count("WSGI5201") <= newcomers.len());
}

/// DMN-125: a daemon has as many descriptors as the hard limit allows, up to half a million.
#[test]
fn the_descriptor_limit_is_raised() {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).expect("a limit");
    // For this program and the servers that it starts; 1000 are enough for all of them.
    setrlimit(Resource::RLIMIT_NOFILE, soft.min(1000), hard).expect("a lower limit is possible");
    let server = Site::daemon()
        .script(
            "/",
            "import resource\n\ndef application(environ, start_response):\n    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)\n    start_response('200 OK', [])\n    return [str(soft >= min(hard, 1 << 19)).encode()]\n",
        )
        .start();
    assert_eq!(server.get("/").expect(200).text(), "True");
}

/// DP-49, DMN-212: a full backlog. Who finds room waits for the application, who does not gets 503 after
/// connect-timeout; afterwards all is as before.
#[test]
fn a_full_backlog_is_waited_for_in_bounds() {
    let server = Site::daemon()
        .daemon_options("processes=1 threads=1 listen-backlog=2 connect-timeout=2")
        .config(
            "ThreadsPerChild 64\nMaxRequestWorkers 256\nMaxSpareThreads 256\nMinSpareThreads 60",
        )
        .script("/", APP)
        .start();
    server.allow_log("WSGI0116");
    let answers: Vec<Answer> = thread::scope(|scope| {
        let server = &server;
        let holder = scope.spawn(move || server.get("/?hold"));
        wait_until("the held request", || {
            server.path("data/hold").exists().then_some(())
        });
        let threads: Vec<_> = (0..12)
            .map(|number| scope.spawn(move || server.get(&format!("/?{number}"))))
            .collect();
        wait_until("refusals", || {
            (server.log().count("WSGI0116") > 0).then_some(())
        });
        server.write("data/go", "");
        let join = "a client does not panic";
        assert_eq!(holder.join().expect(join).status, 200);
        threads.into_iter().map(|t| t.join().expect(join)).collect()
    });
    let count = |status| answers.iter().filter(|a| a.status == status).count();
    let (good, refused) = (count(200), count(503));
    println!("full backlog: 12 sent, {good} good, {refused} times 503");
    assert_eq!(good + refused, 12);
    assert!(good >= 2 && refused > 0);
    for _ in 0..5 {
        server.get("/?after").expect(200);
    }
}

/// DMN-501, DMN-550: a process that was stopped holds up neither a graceful restart, whose new processes serve at once, nor
/// the end of Apache.
#[test]
fn a_stopped_process_does_not_hold_up_a_restart() {
    if !subject().is_ours() {
        return;
    }
    let server =
        server("processes=1 threads=2 graceful-timeout=2 shutdown-timeout=1 display-name=%{GROUP}");
    server.get("/").expect(200);
    let old = daemon(&server, "live");
    stop(&old);
    server.graceful();
    server.allow_log("WSGI0145");
    let answers: Vec<Answer> = (0..5).map(|_| server.get("/")).collect();
    let good = answers.iter().filter(|answer| answer.status == 200).count();
    println!("stopped before a graceful restart: 5 sent, {good} good");
    assert_eq!(good, 5);
    server.wait_until_gone(std::slice::from_ref(&old));
    stop(&daemon(&server, "live"));
    server.stop();
}
