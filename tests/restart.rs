//! Starting, restarting and stopping httpd: nothing is left, and with ours no request fails.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use wsgi_harness::{
    Mode, Mpm, Process, Request, Server, Site, load, load_duration, matrix, subject, wait_until,
};

const ECHO: &str = "import os\n\ndef application(environ, start_response):\n    body = environ['wsgi.input'].read() or environ['QUERY_STRING'].encode()\n    start_response('200 OK', [('X-Pid', str(os.getpid()))])\n    return [body]\n";

fn server(mpm: Mpm, mode: Mode) -> Server {
    Site::new(mpm, mode)
        .daemon_options("processes=2 threads=4")
        .script("/", ECHO)
        .start()
}

/// All processes of a server but httpd's parent.
fn below_the_parent(server: &Server) -> Vec<Process> {
    let mut processes = server.processes();
    processes.retain(|process| process.pid != server.pid());
    processes
}

fn pid(server: &Server) -> String {
    server
        .get("/?x")
        .expect(200)
        .header("X-Pid")
        .unwrap_or_default()
        .to_owned()
}

/// DMN-550, DIR-065, issue: stop after traffic, with connections that are still open. The harness looks at what is left.
fn stop(mpm: Mpm, mode: Mode) {
    let server = server(mpm, mode);
    let mut kept: Vec<_> = (0..6).map(|_| server.connect()).collect();
    for connection in &mut kept {
        assert_eq!(
            connection.send(&Request::get("/?hello")).expect(200).text(),
            "hello"
        );
    }
    server.stop();
}
matrix!(stop);

/// The same with httpd's graceful stop.
fn graceful_stop(mpm: Mpm, mode: Mode) {
    let server = server(mpm, mode);
    for _ in 0..5 {
        server.send(&Request::get("/?hello").close()).expect(200);
    }
    server.graceful_stop();
}
matrix!(graceful_stop);

/// DP-04, DP-103, DMN-541, DMN-550: httpd's stop does not wait for requests as long as `shutdown-timeout` would, and nothing takes
/// the place of the processes that end before the one with the request.
#[test]
fn stop_in_a_request() {
    // Under prefork httpd itself does not wait for the request.
    let server = Site::new(Mpm::Prefork, Mode::Daemon)
        .daemon_options("processes=3 threads=1 shutdown-timeout=600")
        .cases()
        .script("/", ECHO)
        .start();
    server.get("/?x").expect(200);
    let url = server.case(
        "holding",
        "import time\n\ndef application(e, s):\n    open('{data}/held', 'w').close()\n    time.sleep(600)\n",
    );
    let _holding = server.begin(&url);
    wait_until("the request", || {
        server.path("data/held").exists().then_some(())
    });
    for text in [
        "WSGI0146",
        "WSGI0147",
        "WSGI5",
        "AH00045",
        "AH00046",
        "still did not exit",
    ] {
        server.allow_log(text);
    }
    let pids = |processes: Vec<Process>| -> HashSet<i32> {
        processes.iter().map(|process| process.pid).collect()
    };
    // Where daemons are children of httpd too, what tells them apart is a socket that httpd's close when they stop.
    let children = pids(server.children());
    let all = || &pids(server.daemons()) - &children;
    let before = all();
    assert_eq!(before.len(), 3, "{before:?}");
    server.signal(Signal::SIGTERM);
    wait_until("the end of all", || {
        let now = all();
        assert!(now.is_subset(&before), "{now:?} {before:?}");
        now.is_empty().then_some(())
    });
    server.expect_exit();
}

/// A server that is stopped before it got any request.
fn stop_at_once(mpm: Mpm, mode: Mode) {
    server(mpm, mode).stop();
}
matrix!(stop_at_once: event prefork);

/// DP-03, DP-103, DMN-100, DMN-103, DMN-550, DMN-551: new processes after each kind of restart, the old ones gone, sockets renamed.
fn restarts(mpm: Mpm, mode: Mode) {
    let server = server(mpm, mode);
    for number in 1..=3 {
        let before = pid(&server);
        let old = below_the_parent(&server);
        if number == 2 {
            server.restart();
        } else {
            server.graceful();
        }
        wait_until("a new process", || (pid(&server) != before).then_some(()));
        server.wait_until_gone(&old);
        if mode == Mode::Daemon {
            let name = format!("run/wsgi.{}.{number}.1.sock", server.pid());
            assert_eq!(server.sockets(), [server.path(&name)]);
        }
    }
}
matrix!(restarts);

/// The user that the daemons run as; its name is part of nothing.
fn user_of_daemons(server: &Server) -> String {
    let daemon = server.daemons().pop().expect("a daemon");
    let users = daemon.status("Uid").expect("Linux lists it");
    let user = users.split_whitespace().next().expect("the real one");
    user.to_owned()
}

/// DIR-061, DIR-063, DMN-061, DMN-103: one path for all generations, after both kinds of restart.
#[test]
fn without_socket_rotation() {
    let server = Site::daemon()
        .config("WSGISocketRotation Off")
        .script("/", ECHO)
        .start();
    let sockets = || server.sockets();
    let before = sockets();
    let name = format!(
        "run/wsgi.{}.u{}.1.sock",
        server.pid(),
        user_of_daemons(&server)
    );
    assert_eq!(before, [server.path(&name)], "DIR-061");
    server.allow_log("WSGI0065");
    for restart in [Server::graceful, Server::restart, Server::graceful] {
        let old = pid(&server);
        restart(&server);
        wait_until("a new process", || (pid(&server) != old).then_some(()));
        assert_eq!(sockets(), before);
    }
}

/// DIR-063, DMN-061: requests that children of the old generation hold at a graceful restart, and hand over behind it, are served,
/// with and without a new path.
#[test]
fn requests_that_span_a_graceful_restart() {
    for rotation in ["Off", "On"] {
        let server = Site::daemon()
            .config(&format!("WSGISocketRotation {rotation}"))
            .script("/", ECHO)
            .start();
        let old = pid(&server);
        let request = Request::get("/?spanning").bytes();
        let (head, rest) = request.split_at(request.len() - 2);
        let mut connections: Vec<_> = (0..6)
            .map(|_| {
                let mut connection = server.connect();
                connection.send_bytes(head);
                connection
            })
            .collect();
        // Its worker answers behind those that came before it.
        server.get("/?x").expect(200);
        server.allow_log("WSGI0065");
        if !subject().is_ours() {
            server.allow_log("WSGI0");
        }
        server.graceful();
        wait_until("a new process", || (pid(&server) != old).then_some(()));
        for connection in &mut connections {
            connection.send_bytes(rest);
            let answer = connection.answer();
            // The original ends old daemons under their children.
            if answer.status == 200 || subject().differs("DMN-550") {
                assert_eq!(answer.expect(200).text(), "spanning", "{rotation}");
            }
        }
    }
}

/// Facts 1 of design.md: restarts leave no descriptor and no process behind, and the parent does not grow.
fn restarts_leave_nothing(mpm: Mpm, mode: Mode) {
    let server = server(mpm, mode);
    pid(&server);
    let round = || {
        let before = pid(&server);
        let old = below_the_parent(&server);
        server.graceful();
        wait_until("a new process", || (pid(&server) != before).then_some(()));
        server.wait_until_gone(&old);
        let processes = server.processes().len();
        (server.parent().open_descriptors(), processes)
    };
    round();
    let (descriptors, processes) = round();
    for _ in 0..4 {
        round();
    }
    let after = round();
    // What belongs to an old generation may be closed a moment later; what leaks at each restart never is.
    wait_until(
        "the descriptors of the old generations to be closed",
        || (server.parent().open_descriptors() <= descriptors).then_some(()),
    );
    // A prefork server may have started a spare child meanwhile.
    assert!(
        after.1 <= processes + 2,
        "processes: {processes}, then {}",
        after.1
    );
    let maps =
        std::fs::read_to_string(format!("/proc/{}/maps", server.pid())).expect("the maps of httpd");
    if subject().is_ours() {
        assert!(
            !maps.contains("libpython"),
            "DIR-070: no Python in the parent"
        );
    }
}
matrix!(restarts_leave_nothing: event prefork);

/// A configuration that is broken at a restart: httpd ends, and takes its daemons and their sockets with it.
#[test]
fn broken_configuration_at_restart() {
    let server = server(Mpm::Event, Mode::Daemon);
    pid(&server);
    let path = server.path("httpd.conf");
    let text = std::fs::read_to_string(&path).expect("the configuration");
    std::fs::write(&path, text + "\nWSGIScriptReloading maybe\n")
        .expect("the configuration can be written");
    server.allow_log("AH00526");
    server.allow_log("WSGIScriptReloading");
    server.allow_log("AH00020");
    server.signal(Signal::SIGUSR1);
    server.expect_exit();
}

/// DMN-550, design section 4: graceful restarts under load. Ours loses nothing, whatever connections are used.
fn graceful_under_load(mpm: Mpm, mode: Mode) {
    let server = server(mpm, mode);
    for connections in [load::Connections::Fresh, load::Connections::Kept] {
        let tally = std::thread::scope(|scope| {
            let server = &server;
            let running = scope.spawn(move || {
                load::run(
                    server.address(),
                    8,
                    connections,
                    load_duration().min(Duration::from_secs(5)),
                    |client, number| {
                        let text = format!("{client}-{number}");
                        (Request::get(&format!("/?{text}")), text.into_bytes())
                    },
                )
            });
            while !running.is_finished() {
                server.graceful();
                // Time to serve between two restarts; nothing depends on its length.
                std::thread::sleep(Duration::from_millis(800));
            }
            running.join().expect("the load does not panic")
        });
        println!("graceful under load ({mpm:?}, {mode:?}, {connections:?}): {tally}");
        assert!(tally.total() > 0, "{tally}");
        assert_eq!(tally.count("wrong"), 0, "{tally}");
        if mode == Mode::Embedded || subject().differs("DMN-550") {
            assert_eq!(tally.count("good"), tally.total(), "{tally}");
        } else {
            for code in [
                "WSGI0117", "WSGI0116", "WSGI0146", "WSGI0147", "WSGI0119", "WSGI0121", "WSGI0122",
                "WSGI0123",
            ] {
                server.allow_log(code);
            }
        }
    }
}
matrix!(graceful_under_load: event prefork / daemon);

/// DMN-550: a request of the old generation is finished after a graceful restart, with the old code and settings, while the
/// new generation serves.
fn requests_in_progress(mpm: Mpm, mode: Mode) {
    let server = Site::new(mpm, mode)
        .cases()
        .daemon_options("processes=1 threads=2")
        .script("/echo", ECHO)
        .start();
    let url = server.case("holding", "import os, time\n\ndef application(e, s):\n    s('200 OK', [])(b'begin ')\n    while not os.path.exists('{data}/go'):\n        time.sleep(0.01)\n    return [b'end']\n");
    let mut connection = server.connect();
    connection.send_bytes(Request::get(&url).bytes());
    let head = connection.read_head().expect("a head");
    assert_eq!(head.status, 200);
    server.graceful();
    wait_until("the new generation", || {
        (server.get("/echo?x").status == 200).then_some(())
    });
    server.write("data/go", "");
    let rest = String::from_utf8_lossy(&connection.read_bytes(60)).into_owned();
    if mode == Mode::Embedded || subject().differs("DMN-550") {
        assert!(
            rest.contains("begin ") && rest.ends_with("0\r\n\r\n") && rest.contains("end"),
            "{rest:?}"
        );
    } else {
        for code in ["WSGI0119", "WSGI0146", "WSGI0147"] {
            server.allow_log(code);
        }
    }
}
matrix!(requests_in_progress: event worker prefork);

/// DMN-550: all children are busy at a graceful restart, so that none ends and makes room: httpd would sleep for a second
/// before it starts new ones. What interrupts its sleep is gone as soon as there is a child. The waits are printed; with
/// `WSGI_LONG` the shortest must show that httpd did not sleep.
fn all_children_are_busy(mpm: Mpm, mode: Mode) {
    if !subject().is_ours() {
        return;
    }
    let server = Site::new(mpm, mode)
        .cases()
        .daemon_options("processes=1 threads=8")
        .script("/echo", ECHO)
        .start();
    let url = server.case("holding", "import os, time\n\ndef application(e, s):\n    name = '{data}/' + e['QUERY_STRING']\n    open(name, 'w').close()\n    while not os.path.exists(name + '-go'):\n        time.sleep(0.01)\n    s('200 OK', [])\n    return [b'end']\n");
    let mut waits = Vec::new();
    for number in 0..4 {
        let mut held = Vec::new();
        // One, which this keeps.
        for (index, _) in server.children().iter().enumerate() {
            let name = format!("held-{number}-{index}");
            let mut connection = server.connect();
            connection.send_bytes(Request::get(&format!("{url}?{name}")).close().bytes());
            wait_until("a held request", || {
                server.path(&format!("data/{name}")).exists().then_some(())
            });
            held.push((connection, name));
        }
        server.graceful();
        let begin = Instant::now();
        server.send(&Request::get("/echo?x").close()).expect(200);
        waits.push(begin.elapsed());
        wait_until("the parent to handle SIGURG no more", || {
            let caught = server.parent().status("SigCgt")?;
            let caught = u64::from_str_radix(&caught, 16).ok()?;
            (caught & (1 << (Signal::SIGURG as i32 - 1)) == 0).then_some(())
        });
        for (mut connection, name) in held {
            server.write(&format!("data/{name}-go"), "");
            assert_eq!(
                connection.read_answer("GET").expect("an answer").text(),
                "end"
            );
        }
    }
    println!("waits for a new child ({mpm:?}, {mode:?}): {waits:?}");
    if std::env::var_os("WSGI_LONG").is_some() {
        assert!(
            waits.iter().min() < Some(&Duration::from_millis(800)),
            "{waits:?}"
        );
    }
}
matrix!(all_children_are_busy: event);

/// DMN-550: a hard restart does not wait for requests that hang.
fn hanging_requests_do_not_keep_httpd(mpm: Mpm, mode: Mode) {
    let server = Site::new(mpm, mode)
        .cases()
        .daemon_options("processes=1 threads=2 shutdown-timeout=1")
        .start();
    let url = server.case("hanging", "import time\n\ndef application(e, s):\n    open('{data}/begun', 'w').close()\n    while True:\n        time.sleep(0.01)\n");
    let mut connection = server.connect();
    connection.send_bytes(Request::get(&url).bytes());
    wait_until("the request", || {
        server.path("data/begun").exists().then_some(())
    });
    for code in [
        "WSGI0146",
        "WSGI0147",
        "AH00045",
        "AH00046",
        "'live'",
        "still did not exit",
    ] {
        server.allow_log(code);
    }
    server.stop();
}
matrix!(hanging_requests_do_not_keep_httpd: event prefork / daemon);

fn supervisor(server: &Server) -> Process {
    let daemons = server.daemons();
    let mut all = server.processes().into_iter();
    all.find(|process| daemons.iter().any(|daemon| daemon.parent == process.pid))
        .expect("a supervisor")
}

/// Design section 4: the supervisor is replaced when it dies, and its daemons with it.
#[test]
fn supervisor_dies() {
    if !subject().is_ours() {
        return;
    }
    let server = server(Mpm::Event, Mode::Daemon);
    let before = pid(&server);
    let httpd = server.pid();
    let supervisor = supervisor(&server);
    assert_eq!(supervisor.parent, httpd);
    let old = server.daemons();
    supervisor.signal(Signal::SIGKILL);
    server.wait_until_gone(&old);
    wait_until("a new supervisor", || {
        let answer = server.get("/?x");
        (answer.status == 200 && answer.header("X-Pid") != Some(before.as_str())).then_some(())
    });
    server.allow_log("supervisor");
    // Nobody is there any more to put the last words of the old daemons into the log's format.
    for text in ["of group 'live'", "Terminate Python"] {
        server.allow_log(text);
    }
    server.allow_log("WSGI01");
    server.allow_log("WSGI5");
}

/// DMN-540: daemons that are killed are there again before anybody waits long; only what they were working on fails.
#[test]
fn killed_daemons_come_back() {
    let server = server(Mpm::Event, Mode::Daemon);
    server.allow_log("live");
    server.get("/?x").expect(200);
    // Once: what is killed again and again right after its start is held back on purpose.
    for daemon in server.daemons() {
        daemon.signal(Signal::SIGKILL);
    }
    assert_eq!(server.get("/?back").expect(200).text(), "back");
}

/// DMN-550: supervisors that are stopped (SIGSTOP) do not keep Apache from ending, nor do they leave anything: not the one of the
/// configuration that ends, and not one of an older configuration that still has a child.
#[test]
fn a_stopped_supervisor_leaves_nothing() {
    if !subject().is_ours() {
        return;
    }
    for rotation in ["On", "Off"] {
        for restarted in [false, true] {
            let server = Site::daemon()
                .daemon_options("threads=2 graceful-timeout=60")
                .config(&format!("WSGISocketRotation {rotation}"))
                .script("/", ECHO)
                .start();
            let old = supervisor(&server);
            let first = pid(&server);
            old.signal(Signal::SIGSTOP);
            if restarted {
                server.graceful();
                wait_until("a new daemon", || (pid(&server) != first).then_some(()));
            }
            server.expect_log("did not end in time and is killed");
            // What its daemons wanted to say is lost.
            server.allow_log("'live'");
            server.stop();
        }
    }
}
