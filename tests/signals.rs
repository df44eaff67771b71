//! Signals to the processes of a daemon group and to the supervisor, and what Python code is told of the end of a process.

use nix::sys::signal::Signal;
use wsgi_harness::{Connection, Level, Process, Server, Site, subject, wait_until};

const SIGNALLED: &str = include_str!("apps/signalled.wsgi");

fn server(options: &str) -> Server {
    let server = Site::daemon()
        .daemon_options(&format!("processes=1 {options}"))
        .script("/app", SIGNALLED)
        .config("WSGIScriptAlias /other {apps}/app.wsgi application-group=other")
        .start();
    // A process that ends is a record in the log.
    server.allow_log("'live'");
    server
}

/// What the applications of a process wrote down: interpreter, then the words.
fn notes(server: &Server, pid: i32) -> Vec<String> {
    let text = std::fs::read_to_string(server.path("data/notes")).unwrap_or_default();
    text.lines()
        .filter_map(|line| line.strip_prefix(&format!("{pid} ")))
        .map(str::to_owned)
        .collect()
}

fn wait_for_note(server: &Server, pid: i32, note: &str) {
    wait_until(note, || {
        notes(server, pid)
            .iter()
            .any(|line| line == note)
            .then_some(())
    });
}

/// Begins a request that waits for the file `go`.
fn hold(server: &Server, url: &str, pid: i32, interpreter: &str) -> Connection {
    let connection = server.begin(url);
    wait_for_note(server, pid, &format!("{interpreter} holding"));
    connection
}

/// DP-80, DP-81, DP-82, DP-106, DMN-500, DMN-501, DMN-502, DMN-513, DMN-530, DMN-541, API-131, API-331: each interpreter is told the
/// reason once; it is in the log, with the group and how the process ended.
#[test]
fn reasons() {
    let server = server("threads=2");
    for (signal, reason) in [
        (Signal::SIGTERM, "shutdown_signal"),
        (Signal::SIGINT, "shutdown_signal"),
        (Signal::SIGUSR1, "graceful_signal"),
        (Signal::SIGXCPU, "cpu_time_limit"),
    ] {
        let first = server.served_by("/app");
        assert_eq!(server.served_by("/other"), first);
        let old = server.daemon(first);
        old.signal(signal);
        server.wait_until_gone(&[old]);
        let mut told = notes(&server, first);
        told.sort_unstable();
        let expected = ["main", "other"].map(|name| format!("{name} process_stopping {reason}"));
        assert_eq!(told, expected, "{signal}");
        is_in_the_log(&server, first, reason);
        wait_until("the replacement", || {
            (server.served_by("/app") != first).then_some(())
        });
    }
}

/// At info, as the original does in words of its own: what the process of the group `live` ends for, and that it did so by itself.
fn is_in_the_log(server: &Server, pid: i32, reason: &str) {
    if !subject().is_ours() {
        return;
    }
    let stopping = format!("stopping process of group 'live' ({reason})");
    let ended = format!("Process (pid {pid}) of daemon group 'live' has ended (exit status 0).");
    for text in [stopping, ended] {
        assert_eq!(server.wait_for_log(&text).level, Level::Info, "{text}");
    }
}

/// DP-83, DP-89, DP-106, DMN-460, DMN-530: reasons that are not signals.
#[test]
fn reasons_of_planned_restarts() {
    let server = server("threads=1 maximum-requests=2");
    let first = server.served_by("/app");
    wait_until("the replacement", || {
        (server.served_by("/app") != first).then_some(())
    });
    wait_for_note(&server, first, "main process_stopping maximum_requests");
    is_in_the_log(&server, first, "maximum_requests");

    let server = self::server("threads=1");
    let first = server.served_by("/app");
    server.touch("apps/app.wsgi");
    assert_ne!(server.served_by("/app"), first);
    wait_for_note(&server, first, "main process_stopping script_reload");
    is_in_the_log(&server, first, "script_reload");
}

/// DP-104, DMN-503, API-132, API-330: SIGHUP and SIGUSR2 are for the subscribers of every interpreter; the process stays.
#[test]
fn signals_for_python() {
    let server = server("threads=2");
    let first = server.served_by("/app");
    assert_eq!(server.served_by("/other"), first);
    for signal in [Signal::SIGHUP, Signal::SIGUSR2] {
        let number = signal as i32;
        server.daemon(first).signal(signal);
        for interpreter in ["main", "other"] {
            let note = format!("{interpreter} process_signal {signal} {number}");
            wait_for_note(&server, first, &note);
        }
    }
    assert_eq!(server.served_by("/app"), first);
}

/// DMN-503, DMN-512, API-330: a subscriber that blocks holds up no request; at the end it is waited for.
#[test]
fn a_subscriber_that_blocks() {
    let server = server("threads=2 shutdown-timeout=60");
    let first = server.served_by("/app");
    server.write("data/block", "");
    let old = server.daemon(first);
    old.signal(Signal::SIGHUP);
    wait_for_note(&server, first, "main process_signal SIGHUP 1");
    for _ in 0..20 {
        assert_eq!(server.served_by("/app"), first);
    }
    old.signal(Signal::SIGTERM);
    if subject().is_ours() {
        // Requests go on in a new process meanwhile.
        wait_until("the replacement", || {
            (server.served_by("/app") != first).then_some(())
        });
        assert!(old.is_alive());
    }
    std::fs::remove_file(server.path("data/block")).expect("mine");
    server.wait_until_gone(&[old]);
    assert!(notes(&server, first).contains(&"main process_stopping shutdown_signal".to_owned()));
}

/// DMN-503, DMN-512, DMN-515: no signal reaches Python any more when the end has begun, and none disturbs it. Another request is not for
/// this process, which has an idle thread, but for the next one.
#[test]
fn signals_during_the_end() {
    let server = server("threads=2 shutdown-timeout=60");
    let first = server.served_by("/app");
    let mut holding = hold(&server, "/app?hold", first, "main");
    let old = server.daemon(first);
    old.signal(Signal::SIGTERM);
    wait_for_note(&server, first, "main process_stopping shutdown_signal");
    for signal in [
        Signal::SIGHUP,
        Signal::SIGUSR2,
        Signal::SIGUSR1,
        Signal::SIGINT,
        Signal::SIGTERM,
    ] {
        old.signal(signal);
    }
    let mut other = server.begin("/other");
    server.write("data/go", "");
    let answer = holding.answer().expect(200);
    assert_eq!(answer.text(), first.to_string());
    assert_ne!(other.answer().expect(200).pid(), first);
    server.wait_until_gone(&[old]);
    let told = notes(&server, first);
    let expected = ["main holding", "main process_stopping shutdown_signal"];
    assert_eq!(told, expected);
}

/// DP-81, DP-91, DMN-470, DMN-501: SIGUSR1 lets requests end; a second one changes nothing.
#[test]
fn graceful_twice() {
    let server = server("threads=2");
    let first = server.served_by("/app");
    let mut holding = hold(&server, "/app?hold", first, "main");
    let old = server.daemon(first);
    old.signal(Signal::SIGUSR1);
    old.signal(Signal::SIGUSR1);
    if subject().is_ours() {
        wait_until("the replacement", || {
            (server.served_by("/app") != first).then_some(())
        });
    }
    old.signal(Signal::SIGUSR1);
    server.write("data/go", "");
    holding.answer().expect(200);
    server.wait_until_gone(&[old]);
    assert_eq!(
        notes(&server, first).last().map(String::as_str),
        Some("main process_stopping graceful_signal")
    );
    wait_until("one process", || {
        (server.daemons().len() == 1).then_some(())
    });
}

/// DMN-504, DMN-505: signals that must not end a process that writes to closed connections and large files.
#[test]
fn ignored_signals() {
    let server = server("threads=1");
    let first = server.served_by("/app");
    let daemon = server.daemon(first);
    let ignored = daemon.status("SigIgn").expect("Linux tells");
    let ignored = u64::from_str_radix(&ignored, 16).expect("a hexadecimal number");
    for signal in [Signal::SIGPIPE, Signal::SIGXFSZ] {
        assert_ne!(ignored & (1 << (signal as u32 - 1)), 0, "{signal}");
    }
    for signal in [Signal::SIGPIPE, Signal::SIGXFSZ, Signal::SIGWINCH] {
        daemon.signal(signal);
        assert_eq!(server.served_by("/app"), first, "{signal}");
    }
}

const ENDING: &str = "import atexit, os

def ended():
    descriptor = os.open('{data}/ended', os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
    os.write(descriptor, b'%d\\n' % os.getpid())
    os.close(descriptor)

atexit.register(ended)

def application(environ, start_response):
    start_response('200 OK', [])
    return [str(os.getpid()).encode()]
";

/// DP-92, DMN-510, DMN-517, DMN-518: the end of a process ends its interpreters, unless WSGIDestroyInterpreter is Off;
/// its exit status is 0.
#[test]
fn interpreters_end_with_their_process() {
    for (line, runs) in [("", true), ("WSGIDestroyInterpreter Off", false)] {
        let server = Site::daemon()
            .daemon_options("processes=1 threads=2")
            .script("/app", ENDING)
            .config("WSGIScriptAlias /other {apps}/app.wsgi application-group=other")
            .config(line)
            .start();
        server.allow_log("'live'");
        let first = server.served_by("/app");
        assert_eq!(server.served_by("/other"), first);
        let old = server.daemon(first);
        old.signal(Signal::SIGTERM);
        server.wait_until_gone(&[old]);
        let ended = std::fs::read_to_string(server.path("data/ended")).unwrap_or_default();
        let expected = if runs {
            format!("{first}\n{first}\n")
        } else {
            String::new()
        };
        assert_eq!(ended, expected, "{line}");
        if subject().is_ours() {
            server.wait_for_log("exit status 0");
        }
    }
}

/// DP-84, DMN-432: the stack of every request that runs is logged: interpreter, thread, file, line, function.
#[test]
fn stack_dump() {
    let server = server("threads=2 request-timeout=1 graceful-timeout=0 shutdown-timeout=1");
    for text in ["WSGI0146", "WSGI0147"] {
        server.allow_log(text);
    }
    let first = server.served_by("/app");
    let _main = hold(&server, "/app?hold", first, "main");
    let _other = hold(&server, "/other?hold", first, "other");
    let old = server.daemon(first);
    let line = SIGNALLED
        .lines()
        .position(|line| line.contains("being executed"))
        .expect("it is marked")
        + 1;
    let place = format!("app.wsgi\", line {line}, in waits_here");
    server.wait_for_logs(&place, 2);
    if subject().is_ours() {
        for thread in ["thread 1", "thread 2"] {
            server.wait_for_log(&format!("Stack of {thread} "));
        }
        for interpreter in ["main interpreter", "interpreter 'other'"] {
            let headings = server.log().matching("Stack of thread ");
            assert!(
                headings.iter().any(|record| record.contains(interpreter)),
                "{interpreter}: {headings:?}"
            );
        }
    }
    server.wait_until_gone(&[old]);
    let told = notes(&server, first);
    assert!(
        told.contains(&"other process_stopping request_timeout".to_owned()),
        "{told:?}"
    );
}

const SERVICE: &str = "import os, time

def note(word):
    descriptor = os.open('{data}/service', os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
    os.write(descriptor, b'%d %s\\n' % (os.getpid(), word))
    os.close(descriptor)

note(b'begins')
try:
    while True:
        time.sleep(0.01)
finally:
    note(b'ends')
";

/// DP-111, DMN-562, DMN-563: what means the end to a process means it to a service; the other signals do nothing.
#[test]
fn signals_to_a_service() {
    let server = Site::embedded()
        .file("apps/service.wsgi", SERVICE)
        .config("WSGIDaemonProcess service threads=0\nWSGIImportScript {apps}/service.wsgi process-group=service application-group=%{GLOBAL}")
        .start();
    server.allow_log("service");
    let lines = || -> Vec<(i32, String)> {
        let text = std::fs::read_to_string(server.path("data/service")).unwrap_or_default();
        text.lines()
            .filter_map(|line| {
                let (pid, word) = line.split_once(' ')?;
                Some((pid.parse().ok()?, word.to_owned()))
            })
            .collect()
    };
    let mut ending = vec![Signal::SIGTERM];
    if subject().differs("DMN-563") {
        ending.extend([Signal::SIGINT, Signal::SIGUSR1]);
    }
    let mut last = 0;
    for signal in ending {
        let begun = |last| {
            let (pid, word) = lines().last().cloned()?;
            (word == "begins" && pid != last).then_some(pid)
        };
        let first = wait_until("the service", || begun(last));
        for harmless in [Signal::SIGHUP, Signal::SIGUSR2] {
            server.daemon(first).signal(harmless);
        }
        let process = server.daemon(first);
        process.signal(signal);
        wait_until("the end of the service", || {
            lines().contains(&(first, "ends".to_owned())).then_some(())
        });
        server.wait_until_gone(&[process]);
        last = first;
    }
    wait_until("the service again", || {
        lines().last().filter(|line| line.0 != last).map(|_| ())
    });
    assert_eq!(server.log().count("SystemExit"), 0);
}

/// DP-112: a service has a socket that nobody serves; who asks it anyway is told after the timeout of the socket.
#[test]
fn requests_to_a_service() {
    let server = Site::embedded()
        .file("apps/service.wsgi", SERVICE)
        .config("WSGIDaemonProcess service threads=0 socket-timeout=1\nWSGIImportScript {apps}/service.wsgi process-group=service application-group=%{GLOBAL}")
        .config("WSGIDaemonProcess live threads=1\nWSGIScriptAlias /live {apps}/app.wsgi process-group=live")
        .script_with("/app", "process-group=service", SIGNALLED)
        .start();
    let answer = server.get("/app");
    assert_eq!(answer.status, 504, "{}", answer.shown());
    server.wait_for_log("WSGI0145");
    server.allow_log("service");
    if subject().is_ours() {
        server.expect_log("WSGI5221: requests for WSGIScriptAlias /app ");
    }
    server.get("/live").expect(200);
}

/// DMN-562: a service in an interpreter of its own hears nothing of SIGTERM, and that is said. It ends with httpd nevertheless.
#[test]
fn a_service_in_a_named_interpreter() {
    let server = Site::embedded()
        .file("apps/service.wsgi", SERVICE)
        .config("WSGIDaemonProcess service threads=0\nWSGIImportScript {apps}/service.wsgi process-group=service application-group=named")
        .start();
    wait_until("the service", || {
        server.path("data/service").exists().then_some(())
    });
    let record = server.wait_for_log("WSGI0090");
    assert!(record.contains("sub-interpreter 'named'"));
    for text in [
        "WSGI0090",
        "service",
        "AH00045",
        "AH00046",
        "still did not exit",
    ] {
        server.allow_log(text);
    }
    server.stop();
}

fn supervisor(server: &Server) -> Process {
    let parents: Vec<i32> = server
        .daemons()
        .iter()
        .map(|daemon| daemon.parent)
        .collect();
    server
        .processes()
        .into_iter()
        .find(|process| parents.contains(&process.pid))
        .expect("a supervisor")
}

/// Design section 4: signals that somebody sends to everything called httpd do not hurt the supervisor.
#[test]
fn harmless_signals_to_the_supervisor() {
    if !subject().is_ours() {
        return;
    }
    let server = server("threads=2");
    let first = server.served_by("/app");
    let supervisor = supervisor(&server);
    for signal in [
        Signal::SIGHUP,
        Signal::SIGINT,
        Signal::SIGUSR1,
        Signal::SIGUSR2,
        Signal::SIGPIPE,
        Signal::SIGWINCH,
    ] {
        supervisor.signal(signal);
        assert_eq!(server.served_by("/app"), first, "{signal}");
    }
    assert!(supervisor.is_alive());
}

/// Design section 4: SIGTERM ends it and its daemons in order; httpd starts another one.
#[test]
fn the_supervisor_is_told_to_end() {
    if !subject().is_ours() {
        return;
    }
    let server = server("threads=2");
    let first = server.served_by("/app");
    let old = server.daemon(first);
    let supervisor = supervisor(&server);
    supervisor.signal(Signal::SIGTERM);
    server.wait_until_gone(&[old, supervisor]);
    assert_eq!(
        notes(&server, first),
        ["main process_stopping shutdown_signal"]
    );
    server.allow_log("supervisor");
    wait_until("a new supervisor", || {
        let answer = server.get("/app");
        (answer.status == 200 && answer.text() != first.to_string()).then_some(())
    });
}

/// DP-90, DMN-508: a daemon without supervisor ends, and tells Python.
#[test]
fn the_supervisor_is_lost() {
    if !subject().is_ours() {
        return;
    }
    let server = server("threads=2");
    let first = server.served_by("/app");
    let old = server.daemon(first);
    supervisor(&server).signal(Signal::SIGKILL);
    server.wait_until_gone(&[old]);
    // Both the end of the channel and the signal of its parent's death tell it; either may come first.
    let told = notes(&server, first);
    assert!(
        ["signal_pipe_error", "shutdown_signal"]
            .iter()
            .any(|reason| told == [format!("main process_stopping {reason}")]),
        "{told:?}"
    );
    server.allow_log("supervisor");
    // Nobody is there any more to put the last words of the old daemon into the log's format.
    for text in ["Terminate Python", "WSGI0023"] {
        server.allow_log(text);
    }
    wait_until("a new supervisor", || {
        (server.get("/app").status == 200).then_some(())
    });
}
