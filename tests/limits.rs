//! What a daemon process may use and what it may see: resource limits, priority, stacks, root directory, core dumps.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;

use wsgi_harness::{Process, Request, Server, Site, is_root, subject, wait_until};

const LIMITED: &str = include_str!("apps/limited.wsgi");

fn server(options: &str) -> Server {
    let server = Site::daemon()
        .daemon_options(&format!("processes=1 {options}"))
        .script("/app", LIMITED)
        .start();
    for text in ["'live'", "WSGI0146", "WSGI0147"] {
        server.allow_log(text);
    }
    server
}

fn text(server: &Server, url: &str) -> String {
    server.get(url).expect(200).text()
}

fn daemon(server: &Server) -> Process {
    server.daemon(server.served_by("/app"))
}

fn reason(server: &Server, pid: i32) -> String {
    wait_until("the reason", || {
        let text = fs::read_to_string(server.path(&format!("data/reason-{pid}"))).ok()?;
        text.strip_suffix('\n').map(str::to_owned)
    })
}

/// Soft and hard limit as `/proc/<pid>/limits` shows them.
fn limit(process: &Process, name: &str) -> (String, String) {
    let path = format!("/proc/{}/limits", process.pid);
    let text = fs::read_to_string(path).expect("the process is there");
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(name))
        .expect("Linux lists it");
    let mut values = line.split_whitespace().map(str::to_owned);
    let mut next = || values.next().expect("two values");
    (next(), next())
}

/// DP-26, DP-70, DP-71, DP-72, DMN-049, DMN-051, DMN-052, DMN-125: soft and hard limits.
#[test]
fn resource_limits() {
    let server = server(
        "threads=2 cpu-time-limit=100 shutdown-timeout=7 memory-limit=1000001536 virtual-memory-limit=4000002048",
    );
    let daemon = daemon(&server);
    let pair = |soft: &str, hard: &str| (soft.to_owned(), hard.to_owned());
    assert_eq!(limit(&daemon, "Max cpu time"), pair("100", "108"));
    assert_eq!(
        limit(&daemon, "Max data size"),
        pair("1000001536", "1000001536")
    );
    assert_eq!(
        limit(&daemon, "Max address space"),
        pair("4000002048", "4000002048")
    );
}

/// DP-111, DMN-049, DMN-051, DMN-052: services have them too.
#[test]
fn limits_of_services() {
    let server = Site::daemon()
        .config(
            "WSGIDaemonProcess service threads=0 cpu-time-limit=100 shutdown-timeout=7 memory-limit=1000001536 \\
                virtual-memory-limit=4000002048
            WSGIImportScript {apps}/service.py process-group=service application-group=%{GLOBAL}",
        )
        .file(
            "apps/service.py",
            "import resource, time
limits = [resource.getrlimit(name) for name in (resource.RLIMIT_CPU, resource.RLIMIT_DATA, resource.RLIMIT_AS)]
with open('{data}/service', 'a') as file:
    file.write('%r\\n' % limits)
while True:
    time.sleep(0.01)
",
        )
        .start();
    server.allow_log("service");
    let limits = wait_until("the service", || {
        let text = fs::read_to_string(server.path("data/service")).ok()?;
        text.strip_suffix('\n').map(str::to_owned)
    });
    assert_eq!(
        limits,
        "[(100, 108), (1000001536, 1000001536), (4000002048, 4000002048)]"
    );
}

/// DP-70, DP-71, DP-72, DMN-049, DMN-051, DMN-052: without options the limits are those of httpd.
#[test]
fn no_limits() {
    let server = server("threads=2");
    let (daemon, httpd) = (daemon(&server), server.parent());
    for name in ["Max cpu time", "Max data size", "Max address space"] {
        assert_eq!(limit(&daemon, name), limit(&httpd, name), "{name}");
    }
}

/// DMN-125, DP-70, DP-71, DP-72: limits that cannot be had are a warning each, and the process serves.
#[test]
fn limits_that_cannot_be_set() {
    if !is_root() {
        println!("not root: the daemon runs as the user of the server");
        return;
    }
    let server = server(
        "threads=2 cpu-time-limit=1000 memory-limit=2000000000 virtual-memory-limit=4000000000",
    );
    let old = daemon(&server);
    let lowered = Command::new("prlimit")
        .args(["--pid", &old.parent.to_string()])
        .args([
            "--cpu=500:500",
            "--data=1000000000:1000000000",
            "--as=3000000000:3000000000",
        ])
        .status()
        .expect("prlimit of util-linux");
    assert!(lowered.success());
    old.signal(nix::sys::signal::Signal::SIGTERM);
    server.wait_until_gone(&[old]);
    let daemon = daemon(&server);
    for code in ["WSGI0076", "WSGI0077", "WSGI0078"] {
        server.wait_for_log(code);
    }
    assert_eq!(limit(&daemon, "Max cpu time").1, "500");
}

/// DP-82, DMN-465: at cpu-time-limit a process is replaced; the request that it runs is finished.
#[test]
fn cpu_time_limit() {
    let server = server("threads=2 cpu-time-limit=1 shutdown-timeout=20");
    let old = daemon(&server);
    // Under the hard limit, which is 22.
    assert_eq!(text(&server, "/app?burn=1.5"), old.pid.to_string());
    server.wait_until_gone(std::slice::from_ref(&old));
    assert_eq!(reason(&server, old.pid), "cpu_time_limit");
    assert_ne!(daemon(&server).pid, old.pid);
}

/// DP-98, DMN-465: without a graceful-timeout a request that goes on has shutdown-timeout.
#[test]
fn cpu_time_limit_without_grace() {
    let server = server("threads=2 cpu-time-limit=1 graceful-timeout=0 shutdown-timeout=1");
    let old = daemon(&server);
    let mut connection = server.begin("/app?burn=600");
    let answer = connection.answer();
    assert_eq!(answer.status, 502, "{}", answer.shown());
    server.wait_until_gone(std::slice::from_ref(&old));
    if subject().differs("DP-98") {
        assert_eq!(reason(&server, old.pid), "cpu_time_limit");
    }
    assert_ne!(daemon(&server).pid, old.pid);
}

/// DP-71, DP-72, DMN-466: what is over the limit is a MemoryError, which costs no more than that.
#[test]
fn memory_limits() {
    for option in ["memory-limit=300000000", "virtual-memory-limit=1500000000"] {
        let server = server(&format!("threads=2 stack-size=1048576 {option}"));
        let pid = daemon(&server).pid;
        assert_eq!(text(&server, "/app?allocate=50000000"), "got 50000000");
        let refused = text(&server, "/app?allocate=1600000000");
        assert_eq!(refused, "MemoryError", "{option}");
        assert_eq!(daemon(&server).pid, pid);
    }
}

/// DP-32, DMN-024: the stacks of request threads, and of the one that calls those who subscribe to signals.
#[test]
fn stack_size() {
    let sizes = |options: &str| -> [usize; 2] {
        let server = server(options);
        daemon(&server).signal(nix::sys::signal::Signal::SIGHUP);
        let of_signals = wait_until("the signal", || {
            let text = fs::read_to_string(server.path("data/stack")).ok()?;
            text.strip_suffix('\n').map(str::to_owned)
        });
        [text(&server, "/app?stack"), of_signals].map(|size| size.parse().expect("a number"))
    };
    let page = 4096;
    let chosen = sizes("threads=2 stack-size=1048576");
    let expected = 1_048_576 - page..=1_048_576 + page;
    assert!(
        chosen.iter().all(|size| expected.contains(size)),
        "{chosen:?}"
    );
    let by_default = sizes("threads=2");
    assert!(
        by_default.iter().all(|size| *size > 2 * chosen[0]),
        "{by_default:?}"
    );
}

/// DP-32: a stack that is too small for any Python code, or that the system refuses, crashes no process.
#[test]
fn stacks_that_are_too_small() {
    if !subject().differs("DP-32") {
        return;
    }
    for bytes in [1, 20_000, 70_000] {
        let server = server(&format!("threads=2 stack-size={bytes}"));
        let pid = daemon(&server).pid;
        let size: usize = text(&server, "/app?stack").parse().expect("a number");
        assert!(size >= 258_048, "{bytes}: {size}");
        assert_eq!(daemon(&server).pid, pid, "{bytes}");
    }
}

/// DP-20, DP-26, DMN-050, DMN-112: a priority that only root may give, though the process is another user's.
#[test]
fn priority() {
    if !is_root() {
        println!("not root: priorities cannot be raised");
        return;
    }
    let server = server("threads=2 cpu-priority=-7");
    let daemon = daemon(&server);
    let stat = fs::read_to_string(format!("/proc/{}/stat", daemon.pid)).expect("it is there");
    let behind_name = stat.rsplit(')').next().expect("the name is in brackets");
    // Field 19 of the line; the first one behind the name is the third.
    assert_eq!(behind_name.split_whitespace().nth(16), Some("-7"), "{stat}");
    assert_ne!(daemon.uid, 0);
}

/// DP-26, DMN-117: only with CoreDumpDirectory may a process that gave up root write core dumps; `/proc` belongs to root
/// otherwise.
#[test]
fn core_dumps() {
    if !is_root() {
        println!("not root: nothing is given up");
        return;
    }
    for (line, dumps) in [("", false), ("CoreDumpDirectory {data}", true)] {
        if dumps && !subject().is_ours() {
            // The original means to do it, but does not on Debian.
            continue;
        }
        let server = Site::daemon().script("/app", LIMITED).config(line).start();
        let daemon = daemon(&server);
        let owner = fs::metadata(format!("/proc/{}/environ", daemon.pid))
            .expect("it is there")
            .uid();
        assert_eq!(owner == daemon.uid, dumps, "{line}: {owner}");
    }
}

/// DP-14, DP-26, DMN-016, DMN-113, DMN-262, REQ-330: a process whose root is a folder. Paths in the environ are those
/// inside.
#[test]
fn chroot() {
    if !is_root() {
        println!("not root: the root directory cannot be changed");
        return;
    }
    let library = text(&server("threads=1"), "/app?file");
    // The original stays in the directory outside, where its Python cannot start.
    let home = if subject().is_ours() { "" } else { "home=/" };
    let site = Site::daemon()
        .daemon_options(&format!("processes=1 threads=2 chroot={{dir}}/jail {home}"))
        .file(
            "jail/srv/app.wsgi",
            "import os

def application(environ, start_response):
    start_response('200 OK', [])
    facts = [os.getcwd(), __file__, environ['SCRIPT_FILENAME'], ' '.join(sorted(os.listdir('/')))]
    return ['\\n'.join(facts).encode()]
",
        )
        .file(
            "jail/srv/handler.wsgi",
            "def handle_request(environ, start_response):
    start_response('200 OK', [])
    return [(__file__ + ' ' + environ['SCRIPT_FILENAME']).encode()]
",
        )
        .file("jail/htdocs/page.page", "text")
        .modules(&["alias", "mime"])
        .config("TypesConfig /dev/null")
        .config("WSGIScriptAlias /app {dir}/jail/srv/app.wsgi")
        .config("WSGIScriptAlias /outside {apps}/outside.wsgi")
        .file("apps/outside.wsgi", "def application(environ, start_response): ...\n")
        .config(
            "Alias /pages {dir}/jail/htdocs\nWSGIHandlerScript page {dir}/jail/srv/handler.wsgi\nAddHandler page .page\n\
             WSGIHandlerScript beyond {apps}/outside.wsgi\nAddHandler beyond .beyond",
        )
        .file(
            "jail/srv/root.wsgi",
            "def application(environ, start_response):
    start_response('200 OK', [])
    return [repr(environ.get('DOCUMENT_ROOT')).encode()]
",
        )
        .config("WSGIScriptAlias /root {dir}/jail/srv/root.wsgi")
        // The folder beside the jail begins with its name, but is not in it.
        .config(
            "<VirtualHost 127.0.0.1:{port}>\nServerName outside.example\n</VirtualHost>
             <VirtualHost 127.0.0.1:{port}>\nServerName within.example\nDocumentRoot {dir}/jail/htdocs\n</VirtualHost>
             <VirtualHost 127.0.0.1:{port}>\nServerName beside.example\nDocumentRoot {dir}/jailed\n</VirtualHost>",
        )
        .file("jailed/page", "")
        .file("jail/htdocs/page.beyond", "text");
    let jail = site.path("jail");
    link_library(
        Path::new(&library),
        &jail.join(library.trim_start_matches('/')),
    );
    let server = site.start();
    // The original's threads look for it when they end.
    server.allow_log("libgcc_s");
    let answer = text(&server, "/app");
    let facts: Vec<&str> = answer.lines().collect();
    assert_eq!(
        &facts[..3],
        ["/", "/srv/app.wsgi", "/srv/app.wsgi"],
        "{answer}"
    );
    assert!(!facts[3].contains("proc"), "{answer}");
    for (host, expected) in [
        ("outside.example", "None"),
        ("within.example", "'/htdocs'"),
        ("beside.example", "None"),
    ] {
        if host == "beside.example" && !subject().differs("REQ-330") {
            // The original takes the name of the folder apart.
            continue;
        }
        let answer = server.send(&Request::get("/root").host(host)).expect(200);
        assert_eq!(answer.text(), expected, "{host}");
    }
    if subject().differs("REQ-330") {
        let answer = text(&server, "/pages/page.page");
        assert_eq!(answer, "/srv/handler.wsgi /htdocs/page.page");
        for path in ["/outside", "/pages/page.beyond"] {
            let answer = server.get(path);
            assert_eq!(answer.status, 502, "{path}: {}", answer.shown());
            server.expect_log("WSGI0081");
            server.expect_log("WSGI0146");
        }
    }
    if subject().is_ours() {
        assert_eq!(server.log().count("WSGI5035"), 0, "the script is there");
    }
    let root = fs::read_link(format!("/proc/{}/root", server.daemons()[0].pid));
    assert_eq!(root.expect("it is there"), jail);
}

/// The modules of Python that a process needs to start, without copying what can be linked.
fn link_library(from: &Path, to: &Path) {
    const LEFT_OUT: [&str; 8] = [
        "__pycache__",
        "dist-packages",
        "site-packages",
        "test",
        "idlelib",
        "lib2to3",
        "pydoc_data",
        "ensurepip",
    ];
    fs::create_dir_all(to).expect("a folder of the site");
    for entry in fs::read_dir(from).expect("Python's library").flatten() {
        let (path, name) = (entry.path(), entry.file_name());
        let left_out = LEFT_OUT.iter().any(|folder| name.to_str() == Some(folder));
        if left_out || path.is_symlink() {
            continue;
        }
        let target = to.join(&name);
        if path.is_dir() {
            link_library(&path, &target);
        } else if fs::hard_link(&path, &target).is_err() {
            fs::copy(&path, &target).expect("a file of the site");
        }
    }
}

/// DMN-404: a process without descriptors goes on as soon as it has some.
#[test]
fn no_descriptors_left() {
    if !subject().differs("DMN-404") {
        // The original's process crashes.
        return;
    }
    let server = server("threads=4");
    let pid = daemon(&server).pid;
    let mut connection = server.begin("/app?exhaust");
    wait_until("the last descriptor", || {
        server.path("data/full").exists().then_some(())
    });
    // More connections of children than there are descriptors.
    let mut waiting: Vec<_> = (0..6).map(|_| server.begin("/app")).collect();
    server.wait_for_log("WSGI5201");
    server.write("data/go", "");
    let answer = connection.answer();
    assert_eq!(answer.expect(200).text(), "24", "EMFILE");
    for connection in &mut waiting {
        let answer = connection.answer();
        assert_eq!(answer.expect(200).text(), pid.to_string());
    }
}
