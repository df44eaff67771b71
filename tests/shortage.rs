//! The machine runs out of something: descriptors for a process that starts, descriptors in Apache, inodes for sockets,
//! memory. The log says of what and what to do; requests get 502 or 503 at once, nobody else notices, and when there is
//! enough again all is as before. Each test prints its counts.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::sys::signal::Signal;
use wsgi_harness::{Process, Request, Server, Site, is_root, subject, wait_until};

const APP: &str = r#"
import os

def application(environ, start_response):
    if environ['QUERY_STRING'] == 'memory':
        # Every page is written to.
        b'x' * (2 << 30)
    start_response('200 OK', [('X-Pid', str(os.getpid()))])
    return [b'here']
"#;

/// A second group and a URL for it.
const OTHER: &str = "WSGIDaemonProcess other processes=1 threads=4 display-name=other\n<Location /other>\n\
    WSGIProcessGroup other\n</Location>\nWSGIScriptAlias /other {apps}/root.wsgi";

fn site() -> Site {
    Site::daemon()
        .daemon_options("processes=1 threads=4 display-name=live")
        .config(OTHER)
        .script("/", APP)
}

fn daemon(server: &Server, name: &str) -> Process {
    wait_until("a daemon", || {
        let mut daemons = server.daemons().into_iter();
        daemons.find(|daemon| daemon.command.contains(name))
    })
}

/// Sets the soft limit of descriptors of a process, as its user: root may lack the capability to do it for others.
#[track_caller]
fn limit_descriptors(process: &Process, soft: usize) {
    let status = Command::new("setpriv")
        .args(["--reuid", &process.uid.to_string()])
        .args(["--regid", &process.gid.to_string(), "--clear-groups"])
        .args(["prlimit", "--pid", &process.pid.to_string()])
        .arg(format!("--nofile={soft}:"))
        .status();
    assert!(status.expect("setpriv of util-linux").success());
}

/// Five requests to each group: 503 for the first, 200 for the other.
fn refuses(server: &Server, what: &str) {
    let mut refused = 0;
    for _ in 0..5 {
        let answer = server.get("/");
        assert_eq!(answer.status, 503, "{}", answer.shown());
        refused += 1;
        server.get("/other").expect(200);
    }
    println!("{what}: 5 sent, {refused} times 503; 5 sent to another group, 5 good");
}

fn serves(server: &Server) {
    wait_until("the group serves", || {
        (server.get("/").status == 200).then_some(())
    });
}

/// DMN-540: the supervisor has no descriptors left to start a process with.
#[test]
fn no_descriptors_for_a_new_process() {
    if !is_root() || !subject().is_ours() {
        return;
    }
    let server = site().start();
    server.get("/").expect(200);
    let live = daemon(&server, "live");
    let supervisor = wait_until("the supervisor", || {
        let mut all = server.processes().into_iter();
        all.find(|process| process.pid == live.parent)
    });
    limit_descriptors(&supervisor, 4);
    live.signal(Signal::SIGKILL);
    let record = server.wait_for_log("WSGI0024");
    server.allow_log("WSGI5060");
    for text in ["'live'", "Too many open files", "LimitNOFILE"] {
        assert!(record.contains(text), "{}", record.line);
    }
    refuses(&server, "no descriptors");
    for pause in [1, 2, 4] {
        server.wait_for_log(&format!("next attempt in {pause} s"));
    }
    limit_descriptors(&supervisor, 1024);
    serves(&server);
}

/// DMN-540: a process has too few descriptors for its own start. Whoever meets the limit, the log names it with its remedy, the
/// pause grows, and requests get 503. The limit is set by a program that stands in for ours and executes it.
#[test]
fn too_few_descriptors_for_the_start() {
    if !is_root() || !subject().is_ours() {
        return;
    }
    let module = subject().module().to_owned();
    let own = module.parent().expect("a folder");
    // The event loop, Python itself, the runtime, the signal pipe: each takes what the one before has left.
    for limit in [10, 9, 8, 7] {
        let site = site().config("WSGIRuntimeDirectory {dir}/installed").file(
            "installed/mod_wsgi-daemon",
            &format!(
                "#!/bin/sh\n[ -e {{dir}}/low ] && ulimit -n {limit}\nexec {}/mod_wsgi-daemon\n",
                own.display()
            ),
        );
        let program = site.path("installed/mod_wsgi-daemon");
        fs::set_permissions(program, Permissions::from_mode(0o755)).expect("the owner may");
        for entry in fs::read_dir(own.join("mod_wsgi")).expect("the runtimes") {
            let entry = entry.expect("an entry");
            let link = site.path("installed").join(entry.file_name());
            symlink(entry.path(), link).expect("a link");
        }
        let server = site.start();
        server.get("/other").expect(200);
        let pid = server.get("/").expect(200).header("X-Pid").map(str::parse);
        let pid = pid.expect("a header").expect("a number");
        fs::write(server.path("low"), "").expect("a file");
        server.daemon(pid).signal(Signal::SIGKILL);
        let record = server.wait_for_log("LimitNOFILE");
        assert!(
            record.contains(&format!("may open {limit} files only")),
            "{}",
            record.line
        );
        for text in [
            "WSGI5060", "WSGI0036", "WSGI01", "WSGI0028", "WSGI0027", "WSGI5205",
        ] {
            server.allow_log(text);
        }
        // What Python says when it cannot import its own modules.
        server.allow_raw_lines();
        refuses(&server, &format!("{limit} descriptors"));
        for pause in [1, 2, 4] {
            server.wait_for_log(&format!("next attempt in {pause} s"));
        }
        fs::remove_file(server.path("low")).expect("it is there");
        serves(&server);
    }
}

/// DMN-214: a child of Apache has none left for a socket to a daemon: an error of that request, until there are some.
#[test]
fn no_descriptors_in_apache() {
    if !is_root() || !subject().is_ours() {
        return;
    }
    let server = site().start();
    let mut connection = server.connect();
    connection.send(&Request::get("/other")).expect(200);
    let [child] = &server.children()[..] else {
        panic!("one child: {:?}", server.children());
    };
    limit_descriptors(child, 4);
    let answer = connection.send(&Request::get("/"));
    println!("no descriptors in Apache: 1 sent, status {}", answer.status);
    assert_eq!(answer.status, 500);
    let record = server.wait_for_log("WSGI0115");
    assert!(record.contains("Too many open files"), "{}", record.line);
    // A connection that is kept needs no descriptor.
    server.allow_log("AH");
    limit_descriptors(child, 1024);
    connection = server.connect();
    connection.send(&Request::get("/")).expect(200);
}

/// A file system of a few inodes, until it is dropped.
struct Small(PathBuf);

impl Small {
    /// None where this user or this system cannot mount.
    fn mount(at: &Path, options: &str) -> Option<Small> {
        fs::create_dir_all(at).expect("a folder of the site");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", options, "tmpfs"])
            .arg(at)
            .status();
        mounted
            .is_ok_and(|status| status.success())
            .then(|| Small(at.to_owned()))
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        // Lazily: a server that is ending may still have its sockets there.
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

/// DMN-107: the disk is full: no socket for a group. Apache starts, the group answers 503, the application that needs no
/// group works, and a graceful restart with room mends it.
#[test]
fn no_room_for_a_socket() {
    if !is_root() || !subject().is_ours() {
        return;
    }
    let site = Site::daemon()
        .config("WSGISocketPrefix {dir}/small/wsgi\nWSGIScriptAlias /embedded {apps}/root.wsgi process-group=%{GLOBAL}")
        .script("/", APP);
    // One inode is the root of the file system.
    let Some(small) = Small::mount(&site.path("small"), "size=64k,nr_inodes=2,mode=755") else {
        println!("this system does not let root mount");
        return;
    };
    fs::write(small.0.join("filler"), "").expect("the last inode");
    let server = site.start();
    let record = server.wait_for_log("WSGI0013");
    assert_eq!(record.level, wsgi_harness::Level::Alert, "{}", record.line);
    for text in [
        "'live'",
        "/small/wsgi.",
        "No space left on device",
        "WSGISocketPrefix",
    ] {
        assert!(record.contains(text), "{text:?} in {}", record.line);
    }
    for _ in 0..5 {
        assert_eq!(server.get("/").status, 503);
        server.get("/embedded").expect(200);
    }
    println!("full disk: 5 sent, 5 times 503; 5 sent to an embedded application, 5 good");
    server.expect_log("WSGI0117");
    fs::remove_file(small.0.join("filler")).expect("the file is there");
    server.graceful();
    serves(&server);
    server.stop();
}

/// A control group with a limit of memory, until it is dropped.
struct MemoryGroup(PathBuf);

impl MemoryGroup {
    /// None where there are no control groups for memory, or this user may not make one.
    fn new(name: &str, limit: u64) -> Option<MemoryGroup> {
        for (root, file) in [
            ("/sys/fs/cgroup/memory", "memory.limit_in_bytes"),
            ("/sys/fs/cgroup", "memory.max"),
        ] {
            let group = MemoryGroup(Path::new(root).join(name));
            if fs::create_dir(&group.0).is_ok()
                && fs::write(group.0.join(file), limit.to_string()).is_ok()
            {
                return Some(group);
            }
        }
        None
    }

    fn take(&self, pid: i32) -> bool {
        fs::write(self.0.join("cgroup.procs"), pid.to_string()).is_ok()
    }
}

impl Drop for MemoryGroup {
    fn drop(&mut self) {
        // What is still in it goes with the server; the folder then can be removed.
        wsgi_harness::wait_within(wsgi_harness::PATIENCE, || fs::remove_dir(&self.0).ok());
    }
}

/// DMN-302, REQ-472: the system kills a process that takes too much memory. Its own requests get 502, and nobody else.
#[test]
fn the_system_kills_for_memory() {
    if !is_root() || !subject().is_ours() {
        return;
    }
    let server = site().start();
    let pid = |url: &str| {
        server
            .get(url)
            .expect(200)
            .header("X-Pid")
            .map(str::to_owned)
    };
    let (before, other) = (pid("/"), pid("/other"));
    let live = daemon(&server, "live");
    let name = format!("wsgi-test-{}", live.pid);
    let Some(group) = MemoryGroup::new(&name, 256 << 20).filter(|group| group.take(live.pid))
    else {
        println!("no control group for memory");
        return;
    };
    for text in ["WSGI0146", "WSGI0147", "WSGI0119"] {
        server.allow_log(text);
    }
    let answer = server.get("/?memory");
    println!("out of memory: 1 sent, status {}", answer.status);
    assert_eq!(answer.status, 502, "{}", answer.shown());
    server.wait_for_log(&format!(
        "(pid {}) of daemon group 'live' has ended (signal 9)",
        live.pid
    ));
    assert_ne!(pid("/"), before);
    assert_eq!(pid("/other"), other);
    drop(group);
}
