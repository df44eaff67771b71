//! Settings of virtual hosts and of interpreters, as a running server has them.

use std::process::Command;

use wsgi_harness::{Request, Server, is_root, matrix, unprivileged_user, wait_until};

use super::*;

fn line(server: &Server, index: usize, path: &str, key: &str) -> String {
    let request = Request::get(path).host("same.example");
    let answer = server.connect_to(index).send(&request).expect(200);
    answer.unquoted(key)
}

/// Both of these hosts, on the second and the third port, use the group that one of them has.
#[track_caller]
fn group_of_two_hosts(group: &str, hosts: &str) {
    let server = Site::embedded()
        .shared("environ.wsgi")
        .config(
            "Listen 127.0.0.1:{port2}
            Listen 127.0.0.1:{port3}
            WSGIScriptAlias /main {apps}/environ.wsgi
            WSGIApplicationGroup %{GLOBAL}",
        )
        .config(hosts)
        .start();
    for index in [1, 2] {
        let found = line(&server, index, "/main", "mod_wsgi.process_group");
        assert_eq!(found, group, "port {index}");
    }
}

/// DIR-041: the names of virtual hosts are compared as they are in the end: a ServerName may stand behind the group.
#[test]
fn groups_of_hosts_that_are_named_later() {
    group_of_two_hosts(
        "late",
        "<VirtualHost 127.0.0.1:{port2}>
            WSGIDaemonProcess late threads=2
            WSGIProcessGroup late
            ServerName same.example
        </VirtualHost>
        <VirtualHost 127.0.0.1:{port3}>
            WSGIProcessGroup late
            ServerName same.example
        </VirtualHost>",
    );
}

/// DIR-041: httpd gives a name to virtual hosts without ServerName, for all addresses that of the main server.
#[test]
fn groups_of_hosts_without_a_name() {
    group_of_two_hosts(
        "nameless",
        "<VirtualHost *:{port2}>
            WSGIDaemonProcess nameless threads=2
            WSGIProcessGroup nameless
        </VirtualHost>
        <VirtualHost *:{port3}>
            WSGIProcessGroup nameless
        </VirtualHost>",
    );
}

/// MRG-08, CTX-06, DIR-076, DIR-077: scripts to load at start are one list in the order of the file, whichever virtual host they are
/// written in, and so are groups: each is everybody's who may use it.
fn lists_of_all_servers(mpm: Mpm, mode: Mode) {
    let own = match mode {
        Mode::Embedded => "%{GLOBAL}",
        Mode::Daemon => "live",
    };
    let import = |name: &str, group: &str| {
        format!(
            "WSGIImportScript {{apps}}/{name}.wsgi process-group={group} application-group=one\n"
        )
    };
    let alias = |name: &str, group: &str| {
        format!(
            "WSGIScriptAlias /{name} {{apps}}/{name}.wsgi process-group={group} application-group=one\n"
        )
    };
    let config = import("z", own)
        + "Listen 127.0.0.1:{port2}\n<VirtualHost 127.0.0.1:{port2}>\nServerName other.example\n"
        + &import("y", own)
        + "WSGIDaemonProcess theirs processes=1 threads=1\n"
        + &import("theirs", "theirs")
        + &alias("c", own)
        + "</VirtualHost>\n"
        + &alias("b", own)
        + "<VirtualHost 127.0.0.1:1>\nServerName third.example\n"
        + &import("x", own)
        + "</VirtualHost>\n"
        + &import("a", own);
    let note = "import mod_wsgi
with open('{data}/order', 'a') as order:
    order.write('%s in %s\\n' % (__file__.split('/')[-1][:-5], mod_wsgi.process_group))

def application(environ, start_response):
    start_response('200 OK', [])
    return [mod_wsgi.process_group.encode()]
";
    let site = ["z", "y", "x", "c", "b", "a", "theirs"]
        .iter()
        .fold(Site::new(mpm, mode), |site, name| {
            site.file(&format!("apps/{name}.wsgi"), note)
        });
    let server = site
        .daemon_options("processes=1 threads=2")
        .config("ServerLimit 1\nMaxRequestWorkers 16")
        .config(&config)
        .start();
    // A process that answers has loaded its scripts.
    server.get("/b").expect(200);
    let loaded = |group: &str| -> Vec<String> {
        let order = std::fs::read_to_string(server.path("data/order")).unwrap_or_default();
        let of_group = order.lines().filter_map(|line| {
            let (name, process) = line.split_once(" in ")?;
            (process == group).then(|| name.to_owned())
        });
        of_group.collect()
    };
    let own = if mode == Mode::Embedded { "" } else { own };
    assert_eq!(loaded(own), ["z", "y", "c", "b", "x", "a"]);
    wait_until("the script of the other group", || {
        (loaded("theirs") == ["theirs"]).then_some(())
    });
}
matrix!(lists_of_all_servers: event);

/// DIR-094, DIR-096: a section inside another one; behind its end the outer one goes on.
#[test]
fn sections_in_sections() {
    let server = Site::embedded()
        .without_application_group()
        .script(
            "/app",
            "import sys
def application(environ, start_response):
    try:
        sys.stdout.write('')
        text = b'open'
    except OSError:
        text = b'closed'
    start_response('200 OK', [('Content-Length', str(len(text)))])
    return [text]
",
        )
        .config(
            "<WSGIInterpreterOptions application-group=outer>
                <WSGIInterpreterOptions \"application-group=inner\">
                    WSGIRestrictStdout On
                </WSGIInterpreterOptions>
                WSGIRestrictStdout On
            </WSGIInterpreterOptions>
            <Location /app/outer>\nWSGIApplicationGroup outer\n</Location>
            <Location /app/inner>\nWSGIApplicationGroup inner\n</Location>
            <Location /app/other>\nWSGIApplicationGroup other\n</Location>",
        )
        .start();
    if subject().differs("DIR-096") {
        server.expect_log("WSGI5003");
    }
    for (path, text) in [("outer", "closed"), ("inner", "closed"), ("other", "open")] {
        let answer = server.get(&format!("/app/{path}")).expect(200);
        assert_eq!(answer.text(), text, "{path}");
    }
}

/// XPN-07, DMN-900: names that come from requests make a limited number of interpreters in a process; the next one is a 503, and a
/// hook script refuses. Those that exist serve on, and what the configuration names is made beyond the limit.
#[test]
fn invented_names() {
    if !subject().differs("XPN-07") {
        return;
    }
    let server = Site::daemon()
        .daemon_options("processes=1 threads=2")
        .without_application_group()
        .modules(&["setenvif"])
        .shared("hello.wsgi")
        .shared("environ.wsgi")
        .file("apps/access.wsgi", "def allow_access(environ, host):\n    return True\n")
        .file("apps/dispatch.wsgi", "def application_group(environ):\n    return environ['QUERY_STRING']\n")
        .file("apps/handler.wsgi", "def handle_request(e, s):\n    s('200 OK', [])\n    return []\n")
        .file("htdocs/guarded/page", "page")
        .file("htdocs/handled.page", "page")
        .config(
            "ServerLimit 1
            MaxRequestWorkers 16
            WSGIDestroyInterpreter Off
            WSGIScriptAlias /hello {apps}/hello.wsgi
            WSGIScriptAlias /option {apps}/hello.wsgi application-group=%{HOST}
            WSGIScriptAlias /default {apps}/environ.wsgi
            WSGIScriptAlias /embedded {apps}/hello.wsgi process-group=%{GLOBAL}
            WSGIScriptAliasMatch ^/any/[^/]+ {apps}/hello.wsgi
            WSGIHandlerScript handler {apps}/handler.wsgi
            SetEnvIf X-Group (.+) FROM_CLIENT=$1
            WSGIApplicationGroup %{HOST}
            <Location /any>\nWSGIApplicationGroup %{RESOURCE}\n</Location>
            <LocationMatch ^/handled>\nSetHandler handler\nWSGIApplicationGroup %{RESOURCE}\n</LocationMatch>
            <Location /default>\nWSGIApplicationGroup %{RESOURCE}\n</Location>
            <Location /hello/variable>\nWSGIApplicationGroup %{ENV:FROM_CLIENT}\n</Location>
            <Location /hello/configured>\nWSGIApplicationGroup configured\n</Location>
            <Location /hello/server>\nWSGIApplicationGroup %{SERVER}\n</Location>
            <Location /hello/dispatched>\nWSGIDispatchScript {apps}/dispatch.wsgi\n</Location>
            <Location /embedded/configured>\nWSGIApplicationGroup configured\n</Location>
            <Location /guarded>\nWSGIAccessScript {apps}/access.wsgi application-group=%{HOST}\n</Location>",
        )
        .start();
    let send = |path: &str, host: &str, group: &str| {
        let request = Request::get(path).host(host).header("X-Group", group);
        server.send(&request).status
    };
    assert_eq!(send("/hello/configured", "localhost", ""), 200);
    // In the daemon, and by an access script in Apache's child.
    let first_refused = |path: &str| {
        let status = |number: usize| send(path, &format!("host{number}.example"), "");
        (0..257).find(|number| status(*number) != 200)
    };
    std::thread::scope(|scope| {
        let guarded = scope.spawn(|| first_refused("/guarded/page"));
        assert_eq!(first_refused("/hello"), Some(256));
        assert_eq!(guarded.join().expect("it found one"), Some(256));
    });
    for (path, host, group, expected) in [
        ("/hello", "other.example", "", 503),
        ("/option", "other.example", "", 503),
        ("/embedded", "other.example", "", 503),
        ("/guarded/page", "other.example", "", 403),
        ("/hello/variable", "localhost", "other", 503),
        ("/hello/dispatched?%{HOST}", "other.example", "", 503),
        ("/any/name", "localhost", "", 503),
        ("/handled-without-file", "localhost", "", 503),
        ("/handled.page", "localhost", "", 200),
        ("/hello", "host255.example", "", 200),
        ("/embedded", "host255.example", "", 200),
        ("/guarded/page", "host255.example", "", 200),
        ("/hello/variable", "localhost", "configured", 200),
        ("/hello/server", "other.example", "", 200),
        ("/hello/dispatched?chosen", "other.example", "", 200),
        ("/default", "other.example", "", 200),
        ("/embedded/configured", "other.example", "", 200),
    ] {
        assert_eq!(send(path, host, group), expected, "{path} {host}");
    }
    assert_eq!(server.wait_for_logs("WSGI5072", 10).len(), 10);
    for code in ["WSGI5072", "WSGI0054", "WSGI0057"] {
        server.expect_log(code);
    }
}

/// DIR-064: a group whose socket cannot be made is not there; Apache is, with the log saying why.
#[test]
fn sockets_that_cannot_be_made() {
    let server = Site::embedded()
        .shared("hello.wsgi")
        .config(
            "WSGISocketPrefix {dir}/no/such/folder/wsgi
            WSGIDaemonProcess group threads=2
            WSGIScriptAlias /group {apps}/hello.wsgi process-group=group
            WSGIScriptAlias /embedded {apps}/hello.wsgi",
        )
        .start();
    server.get("/embedded").expect(200);
    assert_eq!(server.get("/group").status, 503);
    let record = server.wait_for_log("WSGI0013");
    assert_eq!(record.level, wsgi_harness::Level::Alert, "{}", record.line);
    server.expect_log("WSGI0013");
    server.expect_log("WSGI0117");
}

/// DIR-064, DMN-107: a group whose socket cannot be made when httpd starts anew is not there; the groups before and after it are.
#[test]
fn one_socket_that_cannot_be_made() {
    if !subject().differs("DMN-107") {
        // The original starts none of the groups after it either.
        return;
    }
    let server = Site::daemon()
        .shared("hello.wsgi")
        .config(
            "WSGIDaemonProcess second threads=2
            WSGIDaemonProcess third threads=2
            WSGIScriptAlias /first {apps}/hello.wsgi
            WSGIScriptAlias /second {apps}/hello.wsgi process-group=second
            WSGIScriptAlias /third {apps}/hello.wsgi process-group=third",
        )
        .start();
    for path in ["/first", "/second", "/third"] {
        server.get(path).expect(200);
    }
    // Sockets have the number of the generation in their names. A folder cannot be replaced by one.
    let folder = format!("run/wsgi.{}.1.2.sock", server.pid());
    std::fs::create_dir(server.path(&folder)).expect("a folder of the server");
    server.graceful();
    let record = server.wait_for_log("WSGI0013");
    assert_eq!(record.level, wsgi_harness::Level::Alert, "{}", record.line);
    for text in ["'second'", folder.as_str()] {
        assert!(record.contains(text), "{text} in {}", record.line);
    }
    wait_until("the second group is not there", || {
        (server.get("/second").status == 503).then_some(())
    });
    for path in ["/first", "/third"] {
        server.get(path).expect(200);
    }
    for code in ["WSGI0013", "WSGI0117"] {
        server.expect_log(code);
    }
    std::fs::remove_dir(server.path(&folder)).expect("it is empty");
}

/// DIR-060, DOC-08: without WSGISocketPrefix sockets lie in the folder that Apache was compiled with, whatever DefaultRuntimeDir says.
#[test]
fn sockets_without_a_prefix() {
    let compiled = Command::new("apxs")
        .args(["-q", "runtimedir"])
        .output()
        .expect("apxs of apache2-dev");
    let folder = String::from_utf8_lossy(&compiled.stdout).trim().to_owned();
    let server = Site::daemon()
        .without_socket_prefix()
        .shared("hello.wsgi")
        .config("WSGIScriptAlias /hello {apps}/hello.wsgi")
        .start();
    let path = format!("{folder}/wsgi.{}.", server.pid());
    let sockets = || std::fs::read_to_string("/proc/net/unix").expect("Linux lists its sockets");
    // That folder is there after Apache's service was started once, and root's.
    if server.get("/hello").status == 200 {
        assert!(sockets().contains(&path), "{path}");
    } else {
        server.expect_log(&path);
        server.allow_log("WSGI0117");
        server.allow_log("WSGI0013");
    }
    assert!(!sockets().contains(&server.fill("{run}/wsgi")));
}

/// DIR-075: what CPython forbids in isolated interpreters works in those made here: daemon threads, programs that are run, and
/// modules that every interpreter of the process shares.
fn legacy_interpreters(mpm: Mpm, mode: Mode) {
    let server = Site::new(mpm, mode)
        .script_with(
            "/sub",
            "application-group=sub",
            "
import readline, subprocess, threading

def application(environ, start_response):
    done = threading.Event()
    threading.Thread(target=done.set, daemon=True).start()
    done.wait()
    text = '%d %s' % (subprocess.call(['sh', '-c', 'exit 7']), environ['mod_wsgi.application_group'])
    start_response('200 OK', [])
    return [text.encode()]
",
        )
        .start();
    assert_eq!(server.get("/sub").expect(200).text(), "7 sub");
}
matrix!(legacy_interpreters: event);

/// DP-29, DP-10, DP-11, DP-12, DP-13, DP-15, DP-20, DP-38, DMN-112: where httpd was not started as root, all its processes keep its user
/// and groups, whatever the options say; umask and folder are anybody's to choose. A priority that only root may give is a warning.
#[test]
fn not_started_as_root() {
    if is_root() {
        // Once more, as somebody else.
        let user = unprivileged_user();
        let test = std::env::current_exe().expect("this test");
        let output = Command::new("setpriv")
            .args([
                format!("--reuid={}", user.uid),
                format!("--regid={}", user.gid),
            ])
            .arg("--clear-groups")
            .arg(&test)
            .args(["--exact", "servers::not_started_as_root"])
            .output()
            .expect("setpriv of util-linux");
        let says = String::from_utf8_lossy(&output.stdout);
        assert!(
            output.status.success() && says.contains("1 passed"),
            "{says}{}: can {} run {}?",
            String::from_utf8_lossy(&output.stderr),
            user.name,
            test.display()
        );
        return;
    }
    let server = Site::daemon()
        .daemon_options(
            "processes=1 threads=2 user=nobody group=nogroup supplementary-groups=adm socket-user=nobody umask=0027 home=/usr cpu-priority=-5",
        )
        .script(
            "/ids",
            "import os
def application(environ, start_response):
    start_response('200 OK', [])
    return [repr((os.getresuid(), os.getresgid(), sorted(os.getgroups()), os.umask(0), os.getcwd())).encode()]
",
        )
        .start();
    let warning = server.wait_for_log("WSGI0075");
    assert_eq!(warning.level, wsgi_harness::Level::Warn);
    server.expect_log("WSGI0075");
    let us = server.parent();
    let mut groups = us.groups.clone();
    groups.sort_unstable();
    let (uid, gid) = (us.uid, us.gid);
    assert_eq!(
        server.get("/ids").expect(200).text(),
        format!("(({uid}, {uid}, {uid}), ({gid}, {gid}, {gid}), {groups:?}, 23, '/usr')")
    );
    let socket = server.sockets()[0].metadata().expect("mine");
    assert_eq!(std::os::unix::fs::MetadataExt::uid(&socket), uid);
}
