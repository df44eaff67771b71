//! Daemon processes: who they are, what they find around them, how they end and come back.

use std::collections::HashSet;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::time::Duration;

use nix::sys::signal::Signal;
use wsgi_harness::{
    Answer, Process, Request, Server, Site, is_root, subject, test_venv, unprivileged_user,
    wait_until, wait_within,
};

/// A script that answers with `key<tab>value` lines about its process.
const FACTS: &str = r#"
import grp, locale, os, pwd, sys, threading

print("loading")


def application(environ, start_response):
    umask = os.umask(0)
    os.umask(umask)
    facts = {
        "pid": os.getpid(),
        "ppid": os.getppid(),
        "uid": os.getuid(),
        "euid": os.geteuid(),
        "gid": os.getgid(),
        "groups": sorted(os.getgroups()),
        "umask": oct(umask),
        "cwd": os.getcwd(),
        "lang": os.environ.get("LANG"),
        "lc_all": os.environ.get("LC_ALL"),
        "locale": locale.setlocale(locale.LC_ALL),
        "home": os.environ.get("HOME"),
        "path0": sys.path[0],
        "path": sys.path,
        "prefix": sys.prefix,
        "priority": os.getpriority(os.PRIO_PROCESS, 0),
        "thread": environ["mod_wsgi.thread_id"],
        "stdin": os.readlink("/proc/self/fd/0"),
    }
    start_response("200 OK", [("Content-Type", "text/plain")])
    return ["".join("%s\t%s\n" % item for item in facts.items()).encode()]
"#;

fn facts(options: &str) -> Server {
    Site::daemon()
        .daemon_options(options)
        .script("/", FACTS)
        .start()
}

/// The output of `print("loading")` above is no fault.
fn ask(server: &Server, path: &str) -> Answer {
    server.allow_log("loading");
    server.get(path).expect(200)
}

#[track_caller]
fn fact(answer: &Answer, key: &str) -> String {
    answer
        .line(key)
        .unwrap_or_else(|| panic!("no {key}: {}", answer.text()))
}

fn number(answer: &Answer, key: &str) -> i32 {
    fact(answer, key).parse().expect("a number")
}

fn user(name: &str) -> nix::unistd::User {
    nix::unistd::User::from_name(name)
        .expect("the user database")
        .expect("a user that every Debian has")
}

/// DP-10, DP-11, DP-16, DP-25, DMN-012, DMN-013, DMN-102, DMN-114 to DMN-116: without options a group runs as httpd's user.
#[test]
fn default_identity() {
    let server = facts("threads=2");
    let answer = ask(&server, "/");
    if is_root() {
        let expected = unprivileged_user();
        assert_eq!(fact(&answer, "uid"), expected.uid.to_string());
        assert_eq!(fact(&answer, "euid"), expected.uid.to_string());
        assert_eq!(fact(&answer, "gid"), expected.gid.to_string());
        assert_eq!(fact(&answer, "groups"), format!("[{}]", expected.gid));
    }
    assert_eq!(fact(&answer, "stdin"), "/dev/null", "REQ-562");
    let pid = number(&answer, "pid");
    let daemon = server
        .daemons()
        .into_iter()
        .find(|process| process.pid == pid)
        .expect("the process that answered");
    assert!(!daemon.listens, "DMN-120: no listening socket of httpd");
    assert_eq!(server.daemons().len(), 1);
}

/// DP-10 to DP-16, DP-20, DP-27, DMN-012 to DMN-017, DMN-050, DMN-111, DMN-112, DMN-114 to DMN-117: with options.
#[test]
fn chosen_identity() {
    if !is_root() {
        println!("not root: identities are not changed");
        return;
    }
    let (daemon, games) = (user("daemon"), user("games"));
    let server = Site::daemon()
        .daemon_options("threads=2 user=daemon umask=0027 cpu-priority=3")
        .config(&format!(
            "WSGIDaemonProcess two threads=1 user=#{} group=games home=/usr/bin
            WSGIDaemonProcess three threads=1 user=games group=games supplementary-groups=daemon,#{} home=/
            WSGIScriptAlias /two {{apps}}/facts.wsgi process-group=two
            WSGIScriptAlias /three {{apps}}/facts.wsgi process-group=three
            WSGIScriptAlias / {{apps}}/facts.wsgi",
            games.uid, unprivileged_user().gid
        ))
        .file("apps/facts.wsgi", FACTS)
        .start();
    let one = ask(&server, "/");
    assert_eq!(fact(&one, "uid"), daemon.uid.to_string());
    assert_eq!(
        fact(&one, "gid"),
        unprivileged_user().gid.to_string(),
        "httpd's Group, not the user's own"
    );
    assert_eq!(fact(&one, "umask"), "0o27");
    assert_eq!(
        fact(&one, "cwd"),
        daemon.dir.display().to_string(),
        "DMN-116: the home of a user that is not httpd's"
    );
    assert_eq!(fact(&one, "home"), daemon.dir.display().to_string());
    assert_eq!(fact(&one, "priority"), "3");
    let two = ask(&server, "/two");
    assert_eq!(
        (fact(&two, "uid"), fact(&two, "gid")),
        (games.uid.to_string(), games.gid.to_string())
    );
    assert_eq!(
        (fact(&two, "cwd").as_str(), fact(&two, "path0").as_str()),
        ("/usr/bin", "/usr/bin"),
        "DMN-017"
    );
    let three = ask(&server, "/three");
    let mut groups = vec![
        games.gid.as_raw(),
        daemon.gid.as_raw(),
        unprivileged_user().gid.as_raw(),
    ];
    groups.sort_unstable();
    assert_eq!(fact(&three, "groups"), format!("{groups:?}"), "DMN-014");
}

/// DMN-116, DMN-118, DP-05: a user without a home. The group cannot start; that is told, and requests do not hang.
#[test]
fn user_without_home() {
    if !is_root() || !subject().differs("DMN-540") {
        // The original lets requests wait until a timeout.
        return;
    }
    let server = Site::daemon()
        .daemon_options("threads=1 user=nobody")
        .script("/", FACTS)
        .start();
    server.wait_for_log("WSGI0010");
    server.allow_log("WSGI0025");
    server.allow_log("'live'");
    server.allow_log("WSGI5");
    let answer = wait_until("an answer that is not the application's", || {
        Some(server.get("/"))
    });
    assert_eq!(answer.status, 503, "{}", answer.shown());
}

/// DP-17, DP-18, DMN-018, DMN-019, DMN-126: language and locale.
#[test]
fn language() {
    let server = facts("threads=1 lang=C.UTF-8 locale=C.UTF-8");
    let answer = ask(&server, "/");
    assert_eq!(
        (
            fact(&answer, "lang").as_str(),
            fact(&answer, "lc_all").as_str()
        ),
        ("C.UTF-8", "C.UTF-8")
    );
    assert_eq!(
        fact(&answer, "locale").to_lowercase().replace('-', ""),
        "c.utf8"
    );
    let server = facts("threads=1 locale=xx_XX.nothing");
    let answer = ask(&server, "/");
    assert_eq!(fact(&answer, "lc_all"), "xx_XX.nothing");
    server.expect_log("WSGI0079");
}

/// DP-19, XPN-27, DMN-039, DMN-111: the name in process listings.
#[test]
fn display_name() {
    let server = Site::daemon()
        .daemon_options("threads=1 display-name=%{GROUP}")
        .config("WSGIDaemonProcess other threads=1 display-name=my-name\nWSGIScriptAlias /other {apps}/root.wsgi process-group=other")
        .script("/", FACTS)
        .start();
    for (path, name) in [("/", "(wsgi:live)"), ("/other", "my-name")] {
        let pid = number(&ask(&server, path), "pid");
        let process = server
            .daemons()
            .into_iter()
            .find(|process| process.pid == pid)
            .expect("the process that answered");
        assert!(process.command.starts_with(name), "{}", process.command);
    }
}

/// DP-50, DP-51, DP-55, DIR-081, DIR-083, DMN-020, DMN-021: the Python of a group.
#[test]
fn python_of_a_group() {
    let venv = test_venv();
    let server = Site::daemon()
        .file("lib/one/mine.py", "x = 1\n")
        .file("lib/two/more.pth", "{dir}/lib/three\n")
        .file("lib/three/third.py", "x = 3\n")
        .daemon_options(&format!(
            "threads=1 home={{dir}} python-home={} python-path={{dir}}/lib/one:{{dir}}/lib/two",
            venv.display()
        ))
        .config("WSGIScriptAlias /sub {apps}/root.wsgi application-group=named")
        .script("/", FACTS)
        .start();
    for path in ["/", "/sub"] {
        let answer = ask(&server, path);
        assert_eq!(
            fact(&answer, "prefix"),
            venv.display().to_string(),
            "{path}"
        );
        let found = fact(&answer, "path");
        let expected =
            server.fill("['{dir}', '{dir}/lib/one', '{dir}/lib/two', '{dir}/lib/three', ");
        assert!(found.starts_with(&expected), "{path}: {found}");
        assert!(found.contains("site-packages"), "{path}: {found}");
    }
}

/// DIR-061, DMN-103, DMN-104, DMN-105, DMN-641, DP-48: names, owners and modes of sockets.
#[test]
fn sockets() {
    for (rotation, name) in [
        ("On", "wsgi.PID.0.2.sock".to_owned()),
        ("Off", format!("wsgi.PID.u{}.2.sock", other_uid())),
    ] {
        let options = if is_root() {
            "threads=1 user=daemon socket-user=games home=/"
        } else {
            "threads=1"
        };
        let server = Site::daemon()
            .config(&format!("WSGISocketRotation {rotation}\nWSGIDaemonProcess other {options}\nWSGIScriptAlias /other {{apps}}/root.wsgi process-group=other"))
            .script("/", FACTS)
            .start();
        ask(&server, "/");
        let name = name.replace("PID", &server.pid().to_string());
        let facts = std::fs::metadata(server.path("run").join(&name)).unwrap_or_else(|error| {
            panic!(
                "{name}: {error}; {:?}",
                std::fs::read_dir(server.path("run"))
                    .map(|e| e.flatten().map(|e| e.file_name()).collect::<Vec<_>>())
            )
        });
        assert_eq!(facts.permissions().mode() & 0o777, 0o700, "{name}");
        if is_root() {
            assert_eq!(facts.uid(), user("games").uid.as_raw(), "{name}");
        }
    }
}

fn other_uid() -> u32 {
    if is_root() {
        user("daemon").uid.as_raw()
    } else {
        nix::unistd::Uid::effective().as_raw()
    }
}

/// DMN-603, DMN-903, DMN-905, DMN-121, DMN-122: what a daemon has open.
#[test]
fn descriptors() {
    let server = Site::daemon()
        .config("WSGIDaemonProcess other threads=1\nCustomLog {data}/other-access.log \"%h\"")
        .script("/", FACTS)
        .start();
    ask(&server, "/");
    let daemon = server.daemons().remove(0);
    if subject().differs("DMN-903") {
        let open = daemon.descriptors();
        assert!(
            !open.iter().any(|target| target.contains("access.log")),
            "{open:?}"
        );
        let maps = std::fs::read_to_string(format!("/proc/{}/maps", daemon.pid))
            .expect("the maps of a process");
        assert!(
            !maps.contains("apache2") && !maps.contains("mod_wsgi.so"),
            "exec'ed: nothing of httpd in memory"
        );
        let environ =
            std::fs::read(format!("/proc/{}/cmdline", daemon.pid)).expect("its arguments");
        assert!(!environ.is_empty());
    }
    assert!(!daemon.listens);
}

/// DMN-402, DP-31: thread numbers.
#[test]
fn thread_numbers() {
    let server = facts("threads=3");
    let seen: HashSet<i32> = (0..20)
        .map(|_| number(&ask(&server, "/"), "thread"))
        .collect();
    assert!(seen.iter().all(|id| (1..=3).contains(id)), "{seen:?}");
}

/// DMN-401, DP-49: a process whose threads are all busy gets no request while another one is idle.
#[test]
fn busy_processes_get_no_requests() {
    let server = Site::daemon()
        .daemon_options("processes=2 threads=1")
        .cases()
        .script("/facts", FACTS)
        .start();
    server.allow_log("loading");
    let url = server.case("holding", "import os, time\n\ndef application(e, s):\n    open('{data}/held', 'w').close()\n    while not os.path.exists('{data}/go'):\n        time.sleep(0.01)\n    s('200 OK', [])\n    return [str(os.getpid()).encode()]\n");
    for _ in 0..6 {
        server.get("/facts").expect(200);
    }
    let mut holding = server.connect();
    holding.send_bytes(Request::get(&url).bytes());
    wait_until("a busy process", || {
        server.path("data/held").exists().then_some(())
    });
    let mut kept = server.connect();
    let pids: HashSet<i32> = (0..30)
        .map(|_| number(&kept.send(&Request::get("/facts")).expect(200), "pid"))
        .collect();
    server.write("data/go", "");
    let held: i32 = holding
        .read_answer("GET")
        .expect("an answer")
        .expect(200)
        .text()
        .parse()
        .expect("a pid");
    assert!(
        pids.len() == 1 && !pids.contains(&held),
        "{pids:?} and {held}"
    );
}

/// DP-33, DP-39, REQ-312, DMN-038, DMN-212: a full backlog, and how long a child tries.
#[test]
fn full_backlog() {
    let server = Site::daemon()
        .daemon_options("processes=1 threads=1 listen-backlog=1 connect-timeout=1")
        .cases()
        .start();
    let url = server.case("holding", "import os, time\n\ndef application(e, s):\n    while not os.path.exists('{data}/go'):\n        time.sleep(0.01)\n    s('200 OK', [])\n    return [b'done']\n");
    server.allow_log("WSGI0116");
    let connections: Vec<_> = (0..12)
        .map(|_| {
            let mut connection = server.connect();
            connection.send_bytes(Request::get(&url).bytes());
            connection
        })
        .collect();
    server.wait_for_log("WSGI0116");
    server.write("data/go", "");
    let statuses: Vec<u16> = connections
        .into_iter()
        .map(|mut connection| connection.read_answer("GET").expect("an answer").status)
        .collect();
    assert!(
        statuses.iter().all(|status| matches!(status, 200 | 503)),
        "{statuses:?}"
    );
    assert!(
        statuses.contains(&200) && statuses.contains(&503),
        "{statuses:?}"
    );
}

/// REQ-312, DMN-213: a socket that is gone.
#[test]
fn missing_socket() {
    let server = Site::daemon().script("/", FACTS).start();
    for entry in std::fs::read_dir(server.path("run"))
        .expect("the folder of sockets")
        .flatten()
    {
        if entry.file_name().to_string_lossy().ends_with(".sock") {
            std::fs::remove_file(entry.path()).expect("mine");
        }
    }
    assert_eq!(server.get("/").status, 503);
    server.expect_log("WSGI0117");
    server.allow_log("loading");
}

/// DP-43, DMN-047, DMN-048, DMN-205, DMN-206, DMN-643, REQ-303: who must own a script.
#[test]
fn owners_of_scripts() {
    if !is_root() {
        println!("not root: files cannot be given away");
        return;
    }
    let server = Site::daemon()
        .daemon_options("threads=1")
        .config(
            "WSGIDaemonProcess by-user threads=1 script-user=daemon
            WSGIDaemonProcess by-group threads=1 script-group=daemon
            WSGIScriptAliasMatch ^/user/([a-z-]+) {dir}/owned/$1/script.wsgi process-group=by-user
            WSGIScriptAliasMatch ^/group/([a-z-]+) {dir}/owned/$1/script.wsgi process-group=by-group",
        )
        .start();
    let daemon = user("daemon");
    let make = |name: &str, owner: u32, group: u32, mode: u32, folder: (u32, u32, u32)| {
        let path = server.path("owned").join(name);
        std::fs::create_dir_all(&path).expect("mine");
        let script = path.join("script.wsgi");
        std::fs::write(&script, include_str!("apps/hello.wsgi")).expect("mine");
        std::os::unix::fs::chown(&script, Some(owner), Some(group)).expect("root may");
        std::fs::set_permissions(&script, PermissionsExt::from_mode(mode)).expect("root may");
        std::os::unix::fs::chown(&path, Some(folder.0), Some(folder.1)).expect("root may");
        std::fs::set_permissions(&path, PermissionsExt::from_mode(folder.2)).expect("root may");
    };
    let (uid, gid) = (daemon.uid.as_raw(), daemon.gid.as_raw());
    make("fine", uid, gid, 0o644, (uid, gid, 0o755));
    make("other", 0, 0, 0o644, (uid, gid, 0o755));
    make("unknown", 4_000_000, 4_000_000, 0o644, (uid, gid, 0o755));
    make("group-writable", uid, gid, 0o664, (uid, gid, 0o755));
    make("world-writable", uid, gid, 0o646, (uid, gid, 0o755));
    make("other-folder", uid, gid, 0o644, (0, 0, 0o755));
    make(
        "unknown-folder",
        uid,
        gid,
        0o644,
        (4_000_000, 4_000_000, 0o755),
    );
    make("world-writable-folder", uid, gid, 0o644, (uid, gid, 0o757));
    make("group-writable-folder", uid, gid, 0o644, (uid, gid, 0o775));
    for (path, code) in [
        ("/user/fine", None),
        ("/user/other", Some("WSGI0164")),
        ("/user/unknown", Some("WSGI0163")),
        ("/user/group-writable", Some("WSGI0166")),
        ("/user/world-writable", Some("WSGI0168")),
        ("/user/other-folder", Some("WSGI0171")),
        ("/user/unknown-folder", Some("WSGI0170")),
        ("/user/world-writable-folder", Some("WSGI0172")),
        ("/user/group-writable-folder", Some("WSGI0173")),
        ("/group/fine", None),
        ("/group/other", Some("WSGI0155")),
        ("/group/unknown", Some("WSGI0154")),
        ("/group/group-writable", None),
        ("/group/world-writable", Some("WSGI0157")),
        ("/group/other-folder", Some("WSGI0160")),
        ("/group/unknown-folder", Some("WSGI0159")),
        ("/group/world-writable-folder", Some("WSGI0161")),
        ("/group/group-writable-folder", None),
    ] {
        let answer = server.get(path);
        match code {
            None => assert_eq!(answer.status, 200, "{path}: {}", server.log().text()),
            Some(code) => {
                // 6.1 may find the identity that has no name missing altogether.
                let unnamed = path.contains("unknown");
                server.allow_log(code);
                let other = [
                    ("WSGI0163", "WSGI0162"),
                    ("WSGI0154", "WSGI0153"),
                    ("WSGI0170", "WSGI0169"),
                    ("WSGI0159", "WSGI0158"),
                ]
                .into_iter()
                .find(|(first, _)| *first == code)
                .map_or(code, |(_, second)| second);
                assert_eq!(answer.status, 403, "{path}");
                let found = wait_within(Duration::from_secs(5), || {
                    let log = server.log();
                    (log.count(code) > 0 || unnamed && log.count(other) > 0).then_some(())
                });
                assert!(found.is_some(), "{path}: no {code}");
                server.allow_log(other);
            }
        }
    }
}

/// DP-60, DP-83, DMN-025, DMN-460: a process is replaced after its requests, and none fails.
#[test]
fn maximum_requests() {
    let server = facts("processes=1 threads=2 maximum-requests=5");
    let mut pids = Vec::new();
    let mut connection = server.connect();
    server.allow_log("loading");
    // Ours goes on serving until the replacement is there, so more requests than 5 may reach a process.
    for _ in 0..100_000 {
        let answer = connection.send(&Request::get("/")).expect(200);
        let pid = number(&answer, "pid");
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

/// DMN-500, DMN-540, DMN-541, DMN-542, DP-80: signals from outside end a process; it is replaced, and requests wait for that.
#[test]
fn signals() {
    let server = facts("processes=1 threads=2");
    let mut last = number(&ask(&server, "/"), "pid");
    for signal in [
        Signal::SIGTERM,
        Signal::SIGINT,
        Signal::SIGUSR1,
        Signal::SIGKILL,
        Signal::SIGQUIT,
    ] {
        let old = server
            .daemons()
            .into_iter()
            .find(|process| process.pid == last)
            .expect("the process that answered");
        old.signal(signal);
        server.wait_until_gone(&[old]);
        let answer = ask(&server, "/");
        assert_ne!(number(&answer, "pid"), last, "{signal}");
        last = number(&answer, "pid");
    }
    // DMN-503: no effect on the process.
    for signal in [Signal::SIGHUP, Signal::SIGUSR2, Signal::SIGPIPE] {
        server.daemons()[0].signal(signal);
        assert_eq!(number(&ask(&server, "/"), "pid"), last, "{signal}");
    }
    // That a process was killed is worth a line; which one is the implementation's choice.
    server.allow_log("live");
    server.allow_log("exit signal Quit");
}

/// DP-62, DMN-027, DMN-520: a request that does not end is cut after `shutdown-timeout`.
#[test]
fn shutdown_timeout() {
    let server = Site::daemon()
        .daemon_options("processes=1 threads=2 shutdown-timeout=1")
        .cases()
        .start();
    let url = server.case("endless", "import os, time\n\ndef application(e, s):\n    open('{data}/pid', 'w').write(str(os.getpid()))\n    while True:\n        time.sleep(0.01)\n");
    let mut connection = server.connect();
    connection.send_bytes(Request::get(&url).bytes());
    let pid: i32 = wait_until("the request", || {
        std::fs::read_to_string(server.path("data/pid"))
            .ok()?
            .parse()
            .ok()
    });
    let daemon: Process = server
        .daemons()
        .into_iter()
        .find(|process| process.pid == pid)
        .expect("the process of the request");
    daemon.signal(Signal::SIGTERM);
    server.wait_until_gone(std::slice::from_ref(&daemon));
    let answer = connection.read_answer("GET").expect("an answer");
    assert_eq!(answer.status, 502, "{}", answer.shown());
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
    server.allow_log("loading");
    let url = server.case("holding", "import os, time\n\ndef application(e, s):\n    open('{data}/pid', 'w').write(str(os.getpid()))\n    while not os.path.exists('{data}/go'):\n        time.sleep(0.01)\n    s('200 OK', [])\n    return [b'finished']\n");
    let mut connection = server.connect();
    connection.send_bytes(Request::get(&url).bytes());
    let pid: i32 = wait_until("the request", || {
        std::fs::read_to_string(server.path("data/pid"))
            .ok()?
            .parse()
            .ok()
    });
    let daemon = server
        .daemons()
        .into_iter()
        .find(|process| process.pid == pid)
        .expect("the process of the request");
    daemon.signal(Signal::SIGTERM);
    if subject().is_ours() {
        // The replacement does not wait for the old process.
        wait_until("the replacement", || {
            (number(&server.get("/facts").expect(200), "pid") != pid).then_some(())
        });
    }
    server.write("data/go", "");
    let answer = connection
        .read_answer("GET")
        .expect("an answer")
        .expect(200);
    assert_eq!(answer.text(), "finished");
    server.wait_until_gone(&[daemon]);
}

/// DP-110, DP-111, DMN-560, DMN-561, DMN-562, DIR-077: service scripts.
#[test]
fn service_scripts() {
    let server = Site::embedded()
        .file(
            "apps/service.wsgi",
            "import os, time, sys\nwith open('{data}/pids', 'a') as f:\n    f.write('%d\\n' % os.getpid())\nwhile True:\n    time.sleep(0.05)\n    if os.path.exists('{data}/return'):\n        os.unlink('{data}/return')\n        break\n",
        )
        .config("WSGIDaemonProcess service threads=0\nWSGIImportScript {apps}/service.wsgi process-group=service application-group=%{GLOBAL}")
        .start();
    let pids = || -> Vec<i32> {
        let text = std::fs::read_to_string(server.path("data/pids")).unwrap_or_default();
        text.lines().filter_map(|line| line.parse().ok()).collect()
    };
    let first = wait_until("the service", || pids().first().copied());
    std::fs::write(server.path("data/return"), "").expect("mine");
    std::fs::set_permissions(server.path("data/return"), PermissionsExt::from_mode(0o666))
        .expect("mine");
    wait_until("the service again", || (pids().len() >= 2).then_some(()));
    assert_ne!(pids()[1], first);
    server.allow_log("service");
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

/// DMN-101, DMN-620, DMN-621 are in environ.rs. DMN-100, DMN-109: all processes of all groups are there, and only those.
#[test]
fn number_of_processes() {
    let server = Site::daemon()
        .daemon_options("processes=3 threads=1")
        .config("WSGIDaemonProcess other threads=2")
        .script("/", FACTS)
        .start();
    ask(&server, "/");
    wait_until("four daemons", || {
        (server.daemons().len() == 4).then_some(())
    });
    server.restart();
    ask(&server, "/");
    wait_until("four daemons", || {
        (server.daemons().len() == 4).then_some(())
    });
}
