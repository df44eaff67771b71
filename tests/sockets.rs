//! The socket of a daemon group: its name, its place, its owner and its buffers, and that there is no lock beside it.

use std::collections::HashSet;
use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::net::UnixListener;

use nix::sys::signal::Signal;
use wsgi_harness::{Level, Server, Site, is_root, subject, wait_until};

const PID: &str = "import os\n\ndef application(environ, start_response):\n    start_response('200 OK', [])\n    return [str(os.getpid()).encode()]\n";

/// The files beside the sockets, by name.
fn run_files(server: &Server) -> Vec<String> {
    let entries = fs::read_dir(server.path("run")).expect("the folder of sockets");
    let mut names: Vec<String> = entries
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort_unstable();
    names
}

/// DMN-005, DMN-006, DMN-060, DIR-060: groups are numbered as they are defined, those of virtual hosts too, behind a prefix that
/// begins at ServerRoot.
#[test]
fn numbers_of_groups() {
    let (second, third) = if is_root() {
        ("socket-user=games", "socket-user=daemon")
    } else {
        ("", "")
    };
    let server = Site::daemon()
        .config(&format!(
            "WSGISocketPrefix run/named
            Listen 127.0.0.1:{{port2}}
            <VirtualHost 127.0.0.1:{{port2}}>
                WSGIDaemonProcess second threads=1 {second}
            </VirtualHost>
            WSGIDaemonProcess third threads=1 {third}"
        ))
        .script("/", PID)
        .start();
    server.served_by("/");
    let socket = |number: u32| server.path(&format!("run/named.{}.0.{number}.sock", server.pid()));
    assert_eq!(server.sockets(), [socket(1), socket(2), socket(3)]);
    if is_root() {
        for (number, user) in [(2, "games"), (3, "daemon")] {
            let user = nix::unistd::User::from_name(user).expect("the user database");
            let facts = fs::metadata(socket(number)).expect("a socket");
            assert_eq!(facts.uid(), user.expect("Debian has it").uid.as_raw());
        }
    }
}

/// DMN-104, DIR-063: what lies where a socket belongs makes room for it, a socket that nobody serves or a file of somebody's. That is a
/// warning for each.
#[test]
fn socket_paths_that_are_taken() {
    let server = Site::daemon()
        .config("WSGIDaemonProcess other threads=1\nWSGIScriptAlias /other {apps}/root.wsgi process-group=other")
        .script("/", PID)
        .start();
    let next = |number: u32| {
        let name = format!("wsgi.{}.1.{number}.sock", server.pid());
        server.path("run").join(name)
    };
    drop(UnixListener::bind(next(1)).expect("a socket"));
    fs::write(next(2), "somebody's").expect("a file");
    let before = ["/", "/other"].map(|url| (url, server.served_by(url)));
    server.graceful();
    for (number, (url, old)) in (1..).zip(before) {
        wait_until("a new process", || {
            let answer = server.get(url);
            (answer.status == 200 && answer.pid() != old).then_some(())
        });
        let path = next(number).display().to_string();
        let record = wait_until("the warning", || {
            let records = server.log().matching("WSGI0065").into_iter();
            records.into_iter().find(|record| record.contains(&path))
        });
        assert_eq!(record.level, Level::Warn, "{}", record.line);
        let facts = fs::metadata(&path).expect("a socket");
        assert!(facts.file_type().is_socket(), "{path}");
        assert_eq!(facts.mode() & 0o777, 0o700, "{path}");
    }
    server.expect_log("WSGI0065");
}

/// DIR-065: only httpd's side removes a socket, no daemon that ends does; that somebody else has removed it is no error.
#[test]
fn sockets_that_are_gone_already() {
    for rotation in ["On", "Off"] {
        let server = Site::daemon()
            .daemon_options("processes=1 threads=2")
            .config(&format!("WSGISocketRotation {rotation}"))
            .script("/", PID)
            .start();
        let sockets = || server.sockets();
        let before = sockets();
        let killed = server.daemon(server.served_by("/"));
        killed.signal(Signal::SIGKILL);
        server.wait_until_gone(std::slice::from_ref(&killed));
        if !subject().is_ours() {
            server.allow_log("WSGI0065");
        }
        let next = wait_until("the next process", || {
            let answer = server.get("/");
            (answer.status == 200).then(|| answer.pid())
        });
        assert_ne!(next, killed.pid);
        assert_eq!(sockets(), before, "{rotation}");
        server.graceful();
        wait_until("a new process", || {
            let answer = server.get("/");
            (answer.status == 200 && answer.pid() != next).then_some(())
        });
        let left = wait_until("the old socket to go", || {
            let names = sockets();
            (names.len() == 1).then_some(names)
        });
        assert_eq!(left == before, rotation == "Off", "{left:?}");
        fs::remove_file(&left[0]).expect("mine");
        server.stop();
    }
}

/// DIR-065: a socket that cannot be removed is told, and nothing else comes of it.
#[test]
fn sockets_that_cannot_be_removed() {
    let server = Site::daemon()
        .config("WSGISocketPrefix {dir}/sockets/wsgi")
        .file("sockets/placeholder", "")
        .file("htdocs/plain.txt", "plain")
        .script("/app", PID)
        .start();
    let first = server.served_by("/app");
    let (folder, elsewhere) = (server.path("sockets"), server.path("elsewhere"));
    // Nobody, not even root, can remove what lies below a file.
    fs::rename(&folder, &elsewhere).expect("mine");
    fs::write(&folder, "").expect("mine");
    server.graceful();
    let record = server.wait_for_log("WSGI0073");
    assert_eq!(record.level, Level::Warn, "{}", record.line);
    let socket = format!("sockets/wsgi.{}.0.1.sock", server.pid());
    assert!(record.contains(&socket), "{}", record.line);
    server.get("/plain.txt").expect(200);
    fs::remove_file(&folder).expect("mine");
    fs::rename(&elsewhere, &folder).expect("mine");
    let without = server.children();
    server.graceful();
    server.wait_until_gone(&without);
    assert_ne!(server.served_by("/app"), first);
    for code in ["WSGI0073", "WSGI0013"] {
        server.expect_log(code);
    }
    server.allow_log("WSGI0117");
}

/// DMN-040, DMN-041, DP-34: sizes of the socket's buffers, which Linux doubles.
#[test]
fn buffers_of_the_socket() {
    let sizes = |options: &str| -> String {
        let server = Site::daemon()
            .daemon_options(&format!("processes=1 threads=2 {options}"))
            .script(
                "/",
                "import os, socket\n\ndef sizes():\n    for name in os.listdir('/proc/self/fd'):\n        try:\n            found = socket.socket(fileno=os.dup(int(name)))\n        except OSError:\n            continue\n        with found:\n            get = lambda option: found.getsockopt(socket.SOL_SOCKET, option)\n            if found.family == socket.AF_UNIX and get(socket.SO_ACCEPTCONN):\n                return '%d %d' % (get(socket.SO_SNDBUF), get(socket.SO_RCVBUF))\n\ndef application(environ, start_response):\n    start_response('200 OK', [])\n    return [sizes().encode()]\n",
            )
            .start();
        server.get("/").expect(200).text()
    };
    assert_eq!(
        sizes("send-buffer-size=30000 receive-buffer-size=20000"),
        "60000 40000"
    );
    let system = sizes("");
    assert_eq!(sizes("send-buffer-size=0 receive-buffer-size=0"), system);
    assert_ne!(system, "60000 40000");
}

/// Locks of files that these processes hold or wait for.
fn locks(server: &Server) -> Vec<String> {
    let pids: HashSet<i32> = server
        .processes()
        .iter()
        .map(|process| process.pid)
        .collect();
    let table = fs::read_to_string("/proc/locks").unwrap_or_default();
    let is_ours = |line: &&str| {
        let pid = line
            .split_whitespace()
            .nth(4)
            .and_then(|pid| pid.parse().ok());
        pid.is_some_and(|pid| pids.contains(&pid))
    };
    table.lines().filter(is_ours).map(str::to_owned).collect()
}

/// DMN-062, DMN-108, DMN-119, DMN-950, DP-49, DIR-062: whatever WSGIAcceptMutex says, processes need no lock to share a socket:
/// no file beside it, and none that is locked.
#[test]
fn no_accept_mutex() {
    if !subject().differs("DMN-108") {
        return;
    }
    for line in ["", "WSGIAcceptMutex flock"] {
        let server = Site::daemon()
            .daemon_options("processes=2 threads=1")
            .config(line)
            .script("/", PID)
            .start();
        let first = server.served_by("/");
        server.daemon(first);
        let names = run_files(&server);
        let sockets = names.iter().filter(|name| name.starts_with("wsgi"));
        assert!(
            sockets.clone().all(|name| name.ends_with(".sock")),
            "{names:?}"
        );
        assert_eq!(sockets.count(), 1, "{names:?}");
        let locks = locks(&server);
        assert!(locks.is_empty(), "{line}: {locks:?}");
        for daemon in server.daemons() {
            let open = daemon.descriptors();
            assert!(!open.iter().any(|path| path.contains(".lock")), "{open:?}");
        }
    }
}
