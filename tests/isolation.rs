//! What a daemon has of Apache: three descriptors and its error log, none of its memory, none of its rights. And who may
//! talk to it. Looked at from outside, in `/proc`.

use std::collections::HashSet;
use std::fs::{self, File, Permissions};
use std::io::{Read, Write};
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use wsgi_core::wire::{Hello, Kind, encode_plain};
use wsgi_harness::{Level, Process, Server, Site, is_root, subject, unprivileged_user, wait_until};

const HELLO: &str = "def application(environ, start_response):\n    start_response('200 OK', [])\n    return [b'hello']\n";

/// Nobody but the parent has to know it. In two parts, so that this test is not where it is found.
const MARKER: [&str; 2] = ["marker-of-the-parent", "8c1fe3"];

/// Two groups, one of them in a virtual host with logs of its own.
fn server() -> Server {
    let marker = MARKER.concat();
    Site::daemon()
        .modules(&["env"])
        .daemon_options("processes=2 threads=2")
        .config(&format!(
            "Define SECRET {marker}\n<Location /elsewhere>\nSetEnv PASSWORD {marker}\n</Location>\n\
             ErrorLogFormat \"[%t] [%-m:%l] [pid %P:tid %T] %F: %M\"\n\
             WSGIDaemonProcess tools threads=1 display-name={marker}\nListen 127.0.0.1:{{port2}}\n\
             <VirtualHost *:{{port2}}>\nErrorLog {{dir}}/other-error.log\nCustomLog {{dir}}/other-access.log common\n\
             WSGIDaemonProcess other threads=1\nWSGIProcessGroup other\nWSGIScriptAlias / {{apps}}/root.wsgi\n</VirtualHost>"
        ))
        .script("/", HELLO)
        .start()
}

/// Unix sockets with a name: inode and path.
fn named_sockets() -> Vec<(String, String)> {
    let table = fs::read_to_string("/proc/net/unix").expect("the table of sockets");
    let rows = table
        .lines()
        .skip(1)
        .map(|line| line.split_whitespace().collect::<Vec<_>>());
    rows.filter(|fields| fields.len() == 8)
        .map(|fields| (format!("socket:[{}]", fields[6]), fields[7].to_owned()))
        .collect()
}

fn ready(server: &Server) -> Vec<Process> {
    server.wait_for_logs("is ready.", 3);
    for _ in 0..4 {
        server.get("/").expect(200);
    }
    let daemons = server.daemons();
    assert!(daemons.len() >= 3, "{daemons:#?}");
    daemons
}

fn supervisor(server: &Server, daemons: &[Process]) -> Process {
    server
        .processes()
        .into_iter()
        .find(|process| process.pid == daemons[0].parent)
        .expect("a supervisor")
}

fn is_of(daemon: &Process, group: &str) -> bool {
    daemon.command.contains(group)
}

/// DMN-111, DMN-122, DMN-602, DMN-603, DMN-606, DMN-903: no listener of Apache's, no log of others, no pipe that Apache has, and only
/// the own group's socket.
#[test]
fn a_daemon_has_no_descriptor_of_apache() {
    if !subject().differs("DMN-903") {
        return;
    }
    let server = server();
    let daemons = ready(&server);
    let parent: HashSet<String> = server.parent().descriptors().into_iter().collect();
    let sockets = named_sockets();
    let path_of = |descriptor: &str| {
        let found = sockets.iter().find(|(inode, _)| inode == descriptor);
        found.map(|(_, path)| path.clone())
    };
    for daemon in &daemons {
        assert!(!daemon.listens, "{daemon:?}");
        let own_log = if is_of(daemon, "other") {
            "other-error.log"
        } else {
            "error.log"
        };
        let mut listeners = HashSet::new();
        for descriptor in daemon.descriptors() {
            if let Some(path) = path_of(&descriptor) {
                // The listener and the connections that were accepted from it have its name.
                listeners.insert(path);
            } else if descriptor.starts_with("pipe:") {
                assert!(!parent.contains(&descriptor), "{descriptor} is Apache's");
            } else if descriptor.starts_with('/') && descriptor != "/dev/null" {
                let log = server.path(own_log).display().to_string();
                let is_board =
                    descriptor.starts_with("/memfd:") || descriptor.contains("(deleted)");
                assert!(descriptor == log || is_board, "{descriptor} in {daemon:?}");
            }
        }
        assert_eq!(listeners.len(), 1, "{daemon:?}: {listeners:?}");
    }
    let of = |group: &str| {
        let daemon = daemons.iter().find(|daemon| is_of(daemon, group));
        let paths = daemon.expect("a daemon of the group").descriptors();
        paths.iter().find_map(|descriptor| path_of(descriptor))
    };
    assert_ne!(of("live"), of("other"));
}

/// DMN-606: httpd's children have no listener of any group.
#[test]
fn children_have_no_socket_of_a_group() {
    let server = Site::daemon()
        .config("WSGIDaemonProcess other threads=1\nWSGIScriptAlias /other {apps}/root.wsgi process-group=other")
        .script("/", HELLO)
        .start();
    for url in ["/", "/other"] {
        server.get(url).expect(200);
    }
    let run = server.path("run").display().to_string();
    let of_groups: HashSet<String> = named_sockets()
        .into_iter()
        .filter(|(_, path)| path.starts_with(&run))
        .map(|(inode, _)| inode)
        .collect();
    assert!(of_groups.len() >= 2, "{of_groups:?}");
    let held = |process: &Process| {
        let open = process.descriptors().into_iter();
        open.filter(|name| of_groups.contains(name)).count()
    };
    assert!(server.daemons().iter().all(|daemon| held(daemon) > 0));
    let children = server.children();
    assert!(!children.is_empty());
    for child in children {
        assert_eq!(held(&child), 0, "{child:?}: {:?}", child.descriptors());
    }
}

/// The supervisor is a fork of the parent and lives as long as its generation: it keeps nothing of Apache's but the error
/// logs that it writes to. An access log that was rotated away would stay on the disk otherwise.
#[test]
fn the_supervisor_keeps_no_descriptor_of_apache() {
    if !subject().differs("DMN-903") {
        return;
    }
    let server = server();
    let daemons = ready(&server);
    let supervisor = supervisor(&server, &daemons);
    assert!(!supervisor.listens);
    let parent: Vec<String> = server.parent().descriptors();
    let wsgi: Vec<String> = named_sockets()
        .into_iter()
        .filter(|(_, path)| path.starts_with(&*server.path("run").to_string_lossy()))
        .map(|(inode, _)| inode)
        .collect();
    let logs = ["error.log", "other-error.log"].map(|name| server.path(name).display().to_string());
    let mut shared_pipes = 0;
    for descriptor in supervisor.descriptors() {
        if !parent.contains(&descriptor) {
            continue;
        }
        if descriptor.starts_with("pipe:") {
            shared_pipes += 1;
            continue;
        }
        let known = logs.contains(&descriptor)
            || descriptor == "/dev/null"
            || descriptor.starts_with("/memfd:")
            || wsgi.contains(&descriptor);
        assert!(known, "{descriptor}");
    }
    // The generation's; httpd's own pipe of its children is not among them.
    assert_eq!(
        shared_pipes,
        1,
        "{parent:?}\n{:?}",
        supervisor.descriptors()
    );
}

/// Whether the memory of a process holds this text.
fn holds(pid: i32, wanted: &[u8]) -> bool {
    let maps = fs::read_to_string(format!("/proc/{pid}/maps")).expect("the maps of the process");
    let memory = File::open(format!("/proc/{pid}/mem")).expect("the memory of the process");
    maps.lines().any(|line| {
        let mut fields = line.split_whitespace();
        let (range, rights) = (fields.next().unwrap_or(""), fields.next().unwrap_or(""));
        let Some((from, to)) = range.split_once('-') else {
            return false;
        };
        let number = |text| u64::from_str_radix(text, 16).expect("an address");
        let (from, to) = (number(from), number(to));
        if !rights.starts_with('r') || line.contains("[vvar") || line.contains("[vsyscall") {
            return false;
        }
        let mut bytes = vec![0; usize::try_from(to - from).expect("a mapping fits into memory")];
        // A mapping that went meanwhile, or one behind the end of its file, cannot be read.
        let read = memory.read_at(&mut bytes, from).unwrap_or(0);
        let finder = wanted[0];
        bytes[..read]
            .windows(wanted.len())
            .any(|window| window[0] == finder && window == wanted)
    })
}

/// DMN-121, DMN-903, DMN-905: a text of the configuration that is not for a group is in the parent and its forks, and not in its
/// daemons, nor is anything else of httpd's.
#[test]
fn a_daemon_has_no_memory_of_the_parent() {
    if !is_root() || !subject().differs("DMN-903") {
        return;
    }
    let server = server();
    let daemons = ready(&server);
    let marker = MARKER.concat();
    assert!(holds(server.pid(), marker.as_bytes()), "the search works");
    let mut others = 0;
    // The group `tools` has the marker in its own name.
    for daemon in daemons.iter().filter(|daemon| !is_of(daemon, &marker)) {
        assert!(holds(daemon.pid, b"libpython"), "the search works here");
        assert!(!holds(daemon.pid, marker.as_bytes()), "{daemon:?}");
        let maps = fs::read_to_string(format!("/proc/{}/maps", daemon.pid)).expect("its maps");
        assert!(!maps.contains("apache2") && !maps.contains("mod_wsgi.so"));
        let environ = fs::read(format!("/proc/{}/environ", daemon.pid)).expect("its environment");
        assert!(!String::from_utf8_lossy(&environ).contains(&marker));
        others += 1;
    }
    assert_eq!(others, 3);
}

/// DMN-113 to 115: after the fact, all four ids of user and group, no supplementary group of root's, no capability.
#[test]
fn privileges_are_gone() {
    if !is_root() {
        return;
    }
    let server = server();
    let user = unprivileged_user();
    for daemon in ready(&server) {
        let ids = |field: &str| -> Vec<u32> {
            let text = daemon.status(field).expect("a field of /proc/PID/status");
            text.split_whitespace().flat_map(str::parse).collect()
        };
        assert_eq!(ids("Uid"), [user.uid.as_raw(); 4]);
        assert_eq!(ids("Gid"), [user.gid.as_raw(); 4]);
        assert!(!ids("Groups").contains(&0), "{daemon:?}");
        for set in ["CapInh", "CapPrm", "CapEff", "CapAmb"] {
            let bits = daemon.status(set).unwrap_or_default();
            assert!(bits.chars().all(|digit| digit == '0'), "{set} {bits}");
        }
    }
}

fn socket(server: &Server) -> PathBuf {
    server.sockets().into_iter().next().expect("a socket")
}

/// Sends bytes to the group's socket; the daemon closes the connection without a word.
fn refused(server: &Server, bytes: &[u8]) {
    let mut stream = UnixStream::connect(socket(server)).expect("a connection");
    stream
        .set_read_timeout(Some(Duration::from_secs(30)))
        .expect("a timeout");
    stream.write_all(bytes).expect("the bytes are sent");
    let mut answer = Vec::new();
    match stream.read_to_end(&mut answer) {
        Ok(_) => assert!(answer.is_empty(), "{answer:?}"),
        Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "{error}"),
    }
}

/// REQ-311, DMN-006, DMN-223, DMN-902: who does not know the secret, or speaks another language, is hung up on, and the log says who and why.
#[test]
fn strangers_are_hung_up_on() {
    if !subject().differs("DMN-902") {
        return;
    }
    let server = Site::daemon()
        .daemon_options("processes=1 threads=2")
        .script("/", HELLO)
        .start();
    server.get("/").expect(200);
    let mut hello = Vec::new();
    Hello {
        generation: 0,
        secret: [7; 16],
    }
    .encode(&mut hello);
    refused(&server, &hello);
    assert_eq!(server.wait_for_log("WSGI0034").level, Level::Alert);
    let mut request = Vec::new();
    encode_plain(&mut request, Kind::Request, 0, b"whatever").expect("a small frame");
    refused(&server, &request);
    assert_eq!(server.wait_for_log("WSGI0033").level, Level::Alert);
    refused(&server, b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
    server.expect_log("WSGI0080");
    let mut huge = vec![Kind::Hello as u8, 0, 0, 0];
    huge.extend(u32::MAX.to_le_bytes());
    refused(&server, &huge);
    server.wait_for_logs("WSGI0080", 2);
    let text = format!("connection of process {} (uid ", std::process::id());
    for record in server.wait_for_logs("closed: ", 4) {
        assert!(record.contains(&text), "{record:?}");
    }
    // None of them has taken a thread along.
    for _ in 0..5 {
        assert_eq!(server.get("/").expect(200).text(), "hello");
    }
}

/// DMN-902: another user is refused by the socket's rights, and, should these be opened, by the daemon.
#[test]
fn another_user_is_refused() {
    if !is_root() || !subject().differs("DMN-902") {
        return;
    }
    let server = Site::daemon().script("/", HELLO).start();
    server.get("/").expect(200);
    let path = socket(&server);
    let connect = || {
        let program = "import os, socket, sys\nos.setgroups([]); os.setgid(65534); os.setuid(65534)\ns = socket.socket(socket.AF_UNIX)\ns.settimeout(30)\ns.connect(sys.argv[1])\nprint(s.recv(1))";
        let output = Command::new("/usr/bin/python3")
            .args(["-c", program])
            .arg(&path)
            .output()
            .expect("Python runs");
        let text = [output.stdout, output.stderr].concat();
        String::from_utf8_lossy(&text).into_owned()
    };
    let refused = connect();
    assert!(refused.contains("PermissionError"), "{refused}");
    fs::set_permissions(&path, Permissions::from_mode(0o777)).expect("root may");
    let hung_up = connect();
    assert!(hung_up.starts_with("b''"), "{hung_up}");
    server.expect_log("WSGI0033");
    wait_until("the record names the user", || {
        let records = server.log().matching("WSGI0033");
        records
            .iter()
            .any(|record| record.contains("(uid 65534)"))
            .then_some(())
    });
    assert_eq!(server.get("/").expect(200).text(), "hello");
}
