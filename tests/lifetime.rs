//! The life of daemon processes: requests they get and do not get, how they end, and how they come back.

use std::collections::HashSet;

use nix::sys::signal::Signal;
use wsgi_harness::{
    Connection, Level, Mode, Mpm, Process, Request, Server, Site, is_root, matrix, subject,
    wait_until,
};

const FACTS: &str = include_str!("apps/facts.wsgi");

fn facts(options: &str) -> Server {
    Site::daemon()
        .daemon_options(options)
        .script("/", FACTS)
        .start()
}

/// A request that writes its process down in `data/pid` and goes on, and that process.
fn hold(server: &Server, url: &str) -> (Connection, Process) {
    let connection = server.begin(url);
    let pid = wait_until("the request", || {
        let text = std::fs::read_to_string(server.path("data/pid")).ok()?;
        text.parse().ok()
    });
    (connection, server.daemon(pid))
}

/// DP-60, DP-83, DMN-025, DMN-460: a process is replaced after its requests, and none fails.
#[test]
fn maximum_requests() {
    let server = facts("processes=1 threads=2 maximum-requests=5");
    let mut pids = Vec::new();
    let mut connection = server.connect();
    // Ours goes on serving until the replacement is there, so more requests than 5 may reach a process.
    for _ in 0..100_000 {
        let answer = connection.send(&Request::get("/")).expect(200);
        let pid = answer.number("pid");
        if pids.last() != Some(&pid) {
            pids.push(pid);
        }
        if pids.len() >= 4 {
            break;
        }
    }
    assert!(pids.len() >= 4, "{pids:?}");
    let distinct: HashSet<_> = pids.iter().collect();
    assert_eq!(
        distinct.len(),
        pids.len(),
        "a process that was replaced does not come back: {pids:?}"
    );
}

/// DMN-500, DMN-505, DMN-540, DMN-541, DMN-542, DP-80: signals from outside end a process; it is replaced, and requests wait for that.
#[test]
fn signals() {
    let server = facts("processes=1 threads=2");
    let mut last = server.get("/").expect(200).number("pid");
    for signal in [
        Signal::SIGTERM,
        Signal::SIGINT,
        Signal::SIGUSR1,
        Signal::SIGKILL,
        Signal::SIGQUIT,
        Signal::SIGALRM,
    ] {
        let old = server.daemon(last);
        old.signal(signal);
        server.wait_until_gone(&[old]);
        let answer = server.get("/").expect(200);
        assert_ne!(answer.number("pid"), last, "{signal}");
        if subject().is_ours() {
            let how = match signal {
                Signal::SIGKILL | Signal::SIGQUIT | Signal::SIGALRM => {
                    format!("signal {}", signal as i32)
                }
                _ => "exit status 0".to_owned(),
            };
            server.wait_for_log(&format!(
                "Process (pid {last}) of daemon group 'live' has ended ({how})."
            ));
        }
        last = answer.number("pid");
    }
    // DMN-503: no effect on the process.
    for signal in [Signal::SIGHUP, Signal::SIGUSR2, Signal::SIGPIPE] {
        server.daemons()[0].signal(signal);
        assert_eq!(server.get("/").expect(200).number("pid"), last, "{signal}");
    }
    // That a process was killed is worth a line; which one is the implementation's choice.
    server.allow_log("live");
    server.allow_log("exit signal Quit");
    server.allow_log("exit signal Alarm clock");
}

/// DP-62, DP-92, DMN-027, DMN-520, DMN-541: a request that does not end is cut after `shutdown-timeout`, and the exit status tells.
#[test]
fn shutdown_timeout() {
    let server = Site::daemon()
        .daemon_options("processes=1 threads=2 shutdown-timeout=1")
        .cases()
        .start();
    let url = server.case("endless", "import atexit, os, time\n\n@atexit.register\ndef at_exit():\n    open('{data}/atexit', 'w').close()\n\ndef application(e, s):\n    open('{data}/pid', 'w').write(str(os.getpid()))\n    while True:\n        time.sleep(0.01)\n");
    let (mut connection, daemon) = hold(&server, &url);
    daemon.signal(Signal::SIGTERM);
    server.wait_until_gone(std::slice::from_ref(&daemon));
    let answer = connection.answer();
    assert_eq!(answer.status, 502, "{}", answer.shown());
    if subject().is_ours() {
        let pid = daemon.pid;
        server.wait_for_log(&format!(
            "Process (pid {pid}) of daemon group 'live' has ended (exit status 255)."
        ));
    }
    assert!(
        !server.path("data/atexit").exists(),
        "nothing is cleaned up"
    );
    for code in ["WSGI0146", "WSGI0147", "'live'"] {
        server.allow_log(code);
    }
}

/// DMN-500, DMN-515: requests that are being worked on are finished after SIGTERM, if they end in time.
#[test]
fn running_requests_are_finished() {
    let server = Site::daemon()
        .daemon_options("processes=1 threads=2 shutdown-timeout=20")
        .cases()
        .script("/facts", FACTS)
        .start();
    let url = server.case("holding", "import os, time\n\ndef application(e, s):\n    open('{data}/pid', 'w').write(str(os.getpid()))\n    while not os.path.exists('{data}/go'):\n        time.sleep(0.01)\n    s('200 OK', [])\n    return [b'finished']\n");
    let (mut connection, daemon) = hold(&server, &url);
    daemon.signal(Signal::SIGTERM);
    if subject().is_ours() {
        // The replacement does not wait for the old process.
        wait_until("the replacement", || {
            (server.get("/facts").expect(200).number("pid") != daemon.pid).then_some(())
        });
    }
    server.write("data/go", "");
    let answer = connection.answer().expect(200);
    assert_eq!(answer.text(), "finished");
    server.wait_until_gone(&[daemon]);
}

/// A service that ends by a file in `data`, and writes down its processes and what they are told.
const SERVICE: &str = "import os, time, mod_wsgi

def note(*words):
    with open('{data}/service', 'a') as file:
        file.write('%d %s\\n' % (os.getpid(), ' '.join(words)))

mod_wsgi.subscribe_shutdown(lambda name, **details: note(name))
mod_wsgi.subscribe_signals(lambda name, **details: note(name))
note('begins')
way = None
while way is None:
    time.sleep(0.01)
    for way in ('return', 'raise', 'exit'):
        if os.path.exists('{data}/' + way):
            os.unlink('{data}/' + way)
            break
    else:
        way = None
if way == 'raise':
    raise ValueError('in a service')
if way == 'exit':
    raise SystemExit(3)
";

/// DP-110, DP-111, DMN-560, DMN-561, DMN-562, DMN-564, DIR-077: service scripts. However one ends, its process ends in order, and there
/// is another one. It gets signals, and tells nobody of them or of its end.
#[test]
fn service_scripts() {
    let server = Site::embedded()
        .file("apps/service.wsgi", SERVICE)
        .config("WSGIDaemonProcess service threads=0\nWSGIImportScript {apps}/service.wsgi process-group=service application-group=%{GLOBAL}")
        .start();
    server.allow_log("service");
    for count in 0..5 {
        let pid = wait_until("the service", || {
            notes(&server).get(count).map(|note| note.0)
        });
        let process = server.daemon(pid);
        let way = ["return", "raise", "exit", "SIGTERM", ""][count];
        match way {
            "" => break,
            "SIGTERM" => process.signal(Signal::SIGTERM),
            _ => {
                std::fs::write(server.path("data").join(way), "").expect("mine");
            }
        }
        server.wait_until_gone(&[process]);
        if subject().is_ours() {
            server.wait_for_log(&format!(
                "Process (pid {pid}) of daemon group 'service' has ended (exit status 0)."
            ));
        }
    }
    let notes = notes(&server);
    assert!(notes.iter().all(|(_, word)| word == "begins"), "{notes:?}");
    let pids: HashSet<i32> = notes.iter().map(|note| note.0).collect();
    assert_eq!(pids.len(), 5, "{notes:?}");
    server.expect_log("ValueError: in a service");
    assert_eq!(server.log().count("SystemExit"), 0);
}

/// What the services of a server wrote down: process and word.
fn notes(server: &Server) -> Vec<(i32, String)> {
    let text = std::fs::read_to_string(server.path("data/service")).unwrap_or_default();
    let lines = text.lines().filter_map(|line| {
        let (pid, word) = line.split_once(' ')?;
        Some((pid.parse().ok()?, word.to_owned()))
    });
    lines.collect()
}

/// The last process of a service.
fn service(server: &Server) -> Process {
    let pid = wait_until("the service", || notes(server).last().map(|note| note.0));
    server.daemon(pid)
}

/// DMN-550, DMN-560, DP-110: each kind of restart ends a service and starts it anew. It has nothing to do for the children of the old
/// generation, however long these go on.
#[test]
fn services_at_restarts() {
    let server = Site::daemon()
        .cases()
        .file("apps/service.wsgi", SERVICE)
        .config("WSGIDaemonProcess service threads=0 graceful-timeout=600\nWSGIImportScript {apps}/service.wsgi process-group=service application-group=%{GLOBAL}")
        .start();
    server.allow_log("service");
    let url = server.case("holding", "import os, time\n\ndef application(e, s):\n    open('{data}/pid', 'w').write(str(os.getpid()))\n    while not os.path.exists('{data}/go'):\n        time.sleep(0.01)\n    s('200 OK', [])\n    return [b'finished']\n");
    let first = service(&server);
    let (mut holding, holder) = hold(&server, &url);
    server.graceful();
    server.wait_until_gone(std::slice::from_ref(&first));
    let second = wait_until("the service again", || {
        notes(&server)
            .last()
            .map(|note| note.0)
            .filter(|pid| *pid != first.pid)
    });
    if subject().differs("DMN-550") {
        assert!(holder.is_alive());
        server.write("data/go", "");
        assert_eq!(holding.answer().expect(200).text(), "finished");
    } else {
        for code in ["WSGI0146", "WSGI0147"] {
            server.allow_log(code);
        }
    }
    let second = server.daemon(second);
    server.restart();
    server.wait_until_gone(std::slice::from_ref(&second));
    wait_until("the service again", || {
        notes(&server)
            .last()
            .filter(|note| note.0 != second.pid)
            .map(|_| ())
    });
}

/// DMN-550, DMN-109: a hard restart gives requests three seconds, whatever the group's time-outs say; then the new processes serve.
#[test]
fn a_hard_restart_in_a_request() {
    // Under prefork httpd itself does not wait for the request.
    let server = Site::new(Mpm::Prefork, Mode::Daemon)
        .daemon_options("processes=1 threads=2 shutdown-timeout=600 graceful-timeout=600")
        .cases()
        .script("/facts", FACTS)
        .start();
    let url = server.case("endless", "import os, time\n\ndef application(e, s):\n    open('{data}/pid', 'w').write(str(os.getpid()))\n    while True:\n        time.sleep(0.01)\n");
    let (_holding, old) = hold(&server, &url);
    for text in [
        "WSGI0146",
        "WSGI0147",
        "'live'",
        "AH00045",
        "AH00046",
        "still did not exit",
    ] {
        server.allow_log(text);
    }
    server.restart();
    server.wait_until_gone(std::slice::from_ref(&old));
    assert_ne!(server.get("/facts").expect(200).number("pid"), old.pid);
}

/// Holds the GIL for longer than deadlock-timeout, and takes longer than shutdown-timeout to end.
const SLOW_SERVICE: &str = "import atexit, ctypes, os, time

def note(word):
    with open('{data}/service', 'a') as file:
        file.write('%d %s\\n' % (os.getpid(), word))

atexit.register(note, 'atexit')
note('begins')
ctypes.PyDLL(None).sleep(3)
note('goes on')
try:
    while True:
        time.sleep(0.01)
finally:
    time.sleep(3)
    note('ends')
";

/// DMN-561, DMN-564, DP-111: nobody looks after Python in a service, nor limits its end after a signal; its interpreters are torn down.
#[test]
fn a_slow_service() {
    let server = Site::embedded()
        .file("apps/service.wsgi", SLOW_SERVICE)
        .config("WSGIDaemonProcess service threads=0 deadlock-timeout=1 shutdown-timeout=1 graceful-timeout=1\nWSGIImportScript {apps}/service.wsgi process-group=service application-group=%{GLOBAL}")
        .start();
    server.allow_log("service");
    let process = service(&server);
    let words = || -> Vec<String> {
        let mut notes = notes(&server);
        notes.retain(|note| note.0 == process.pid);
        notes.into_iter().map(|note| note.1).collect()
    };
    wait_until("it goes on", || (words().len() == 2).then_some(()));
    process.signal(Signal::SIGTERM);
    server.wait_until_gone(std::slice::from_ref(&process));
    assert_eq!(words(), ["begins", "goes on", "ends", "atexit"]);
}

/// DMN-506, DP-105: a fork of an application does not take the daemon's handlers with it.
#[test]
fn forks_of_applications() {
    let server = Site::daemon()
        .daemon_options("processes=1 threads=2")
        .cases()
        .start();
    let url = server.case(
        "forking",
        "import os, subprocess, sys\n\ndef application(e, s):\n    text = subprocess.run(['/bin/echo', 'from a child'], stdout=subprocess.PIPE).stdout\n    s('200 OK', [])\n    return [text]\n",
    );
    for _ in 0..5 {
        assert_eq!(server.get(&url).expect(200).text(), "from a child\n");
    }
}

/// DP-106, DMN-100, DMN-109, DMN-110: all processes of all groups are there, and only those; each one tells at info who it is. A check
/// of the configuration starts none.
#[test]
fn number_of_processes() {
    let site = Site::daemon()
        .daemon_options("processes=3 threads=1")
        .config("WSGIDaemonProcess other threads=2")
        .script("/", FACTS);
    assert!(site.check().accepted);
    let mut sockets = std::fs::read_dir(site.path("run")).expect("the folder of sockets");
    assert!(sockets.next().is_none());
    let server = site.start();
    server.get("/").expect(200);
    wait_until("four daemons", || {
        (server.daemons().len() == 4).then_some(())
    });
    for (group, threads, count) in [("'live'", "threads=1", 3), ("'other'", "threads=2", 1)] {
        wait_until(group, || {
            let told = server.log().matching(threads);
            let told = told.iter().filter(|record| record.contains(group));
            let told: Vec<_> = told.collect();
            for record in &told {
                let ids = ["uid=", "gid="].map(|id| record.contains(id));
                assert_eq!(ids, [is_root(); 2], "{}", record.line);
                assert_eq!(
                    (record.level, record.module.as_str()),
                    (Level::Info, "wsgi")
                );
            }
            (told.len() == count).then_some(())
        });
    }
    server.restart();
    server.get("/").expect(200);
    wait_until("four daemons", || {
        (server.daemons().len() == 4).then_some(())
    });
}

/// DP-33, DP-39, REQ-312, DMN-035, DMN-038, DMN-212: a full backlog, and how long a child tries: not at all with 0.
#[test]
fn full_backlog() {
    for (timeout, refuses) in [(0, true), (1, true), (600, false)] {
        let server = Site::daemon()
            .daemon_options(&format!(
                "processes=1 threads=1 listen-backlog=1 connect-timeout={timeout}"
            ))
            .cases()
            .start();
        let url = server.case("holding", "import os, time\n\ndef application(e, s):\n    while not os.path.exists('{data}/go'):\n        time.sleep(0.01)\n    s('200 OK', [])\n    return [b'done']\n");
        let connections: Vec<_> = (0..12).map(|_| server.begin(&url)).collect();
        if refuses {
            server.wait_for_log("WSGI0116");
            server.allow_log("WSGI0116");
        }
        server.write("data/go", "");
        let statuses: Vec<u16> = connections
            .into_iter()
            .map(|mut connection| connection.answer().status)
            .collect();
        let count = |wanted: u16| statuses.iter().filter(|status| **status == wanted).count();
        assert_eq!(count(200) + count(503), 12, "{timeout}: {statuses:?}");
        assert!(count(200) > 0, "{timeout}: {statuses:?}");
        assert_eq!(count(503) > 0, refuses, "{timeout}: {statuses:?}");
    }
}

/// DMN-401, DP-49: a process whose threads are all busy gets no request while another one is idle.
#[test]
fn busy_processes_get_no_requests() {
    let server = Site::daemon()
        .daemon_options("processes=2 threads=1")
        .cases()
        .script("/facts", FACTS)
        .start();
    let url = server.case("holding", "import os, time\n\ndef application(e, s):\n    open('{data}/held', 'w').close()\n    while not os.path.exists('{data}/go'):\n        time.sleep(0.01)\n    s('200 OK', [])\n    return [str(os.getpid()).encode()]\n");
    for _ in 0..6 {
        server.get("/facts").expect(200);
    }
    let mut holding = server.begin(&url);
    wait_until("a busy process", || {
        server.path("data/held").exists().then_some(())
    });
    let mut kept = server.connect();
    let pids: HashSet<i32> = (0..30)
        .map(|_| kept.send(&Request::get("/facts")).expect(200).number("pid"))
        .collect();
    server.write("data/go", "");
    let held: i32 = holding.answer().expect(200).pid();
    assert!(
        pids.len() == 1 && !pids.contains(&held),
        "{pids:?} and {held}"
    );
}

/// An application that forks: the copy may end as it likes, also with the `exit` of C, which lets threads tidy up. It does not wait for
/// locks that nobody in the copy can release.
fn forked_copies(mpm: Mpm, mode: Mode) {
    let server = Site::new(mpm, mode)
        .script(
            "/fork",
            "
import ctypes, os

def application(environ, start_response):
    child = os.fork()
    if child == 0:
        if environ['QUERY_STRING'] == 'python':
            os._exit(7)
        ctypes.PyDLL(None).exit(7)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    start_response('200 OK', [])
    return [b'%d' % code]
",
        )
        .start();
    for how in ["python", "c"] {
        let answer = server.get(&format!("/fork?{how}")).expect(200);
        assert_eq!(answer.text(), "7", "{how}");
    }
}
matrix!(forked_copies: event prefork);

/// DMN-460, DMN-620: what `wsgi.run_once` promises holds: no process gets a second request.
#[test]
fn one_request_for_each_process() {
    if !subject().is_ours() {
        return;
    }
    let server = Site::daemon()
        .daemon_options("threads=1 maximum-requests=1")
        .script("/app", include_str!("apps/signalled.wsgi"))
        .start();
    server.allow_log("'live'");
    let mut seen = HashSet::new();
    for _ in 0..5 {
        assert!(seen.insert(server.served_by("/app")), "{seen:?}");
    }
}
