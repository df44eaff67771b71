//! What an alias matches and where it leads, and what is loaded for it before.

use wsgi_harness::{Mode, Mpm, Site, matrix, subject, wait_until};

use super::environ;

/// DIR-005, DIR-006, DIR-007, DIR-008, DIR-010, REQ-111, REQ-113, ENV-15: what an alias matches and where it leads.
#[test]
fn aliases() {
    let server = Site::embedded()
        .modules(&["alias"])
        .shared("environ.wsgi")
        .shared("hello.wsgi")
        .file("htdocs/plain.txt", "by mod_alias")
        .config(
            "MergeSlashes Off
            Alias /app/static {htdocs}/plain.txt
            WSGIScriptAlias /app/first {apps}/hello.wsgi
            WSGIScriptAlias /app {apps}/environ.wsgi
            WSGIScriptAlias /app/late {apps}/hello.wsgi
            WSGIScriptAlias /a/b {apps}/environ.wsgi
            WSGIScriptAlias /folder/ {apps}/
            WSGIScriptAliasMatch ^/match/([a-z]+)/v([0-9]) {apps}/$1.wsgi/version-$2
            WSGIScriptAliasMatch middle {apps}/environ.wsgi
            WSGIScriptAliasMatch ^/x {apps}/environ.wsgi",
        )
        .start();
    server.allow_log("WSGI5031: no request can reach WSGIScriptAlias /app/late");
    let apps = server.fill("{apps}");
    for (path, script, name, info) in [
        ("/app", "environ.wsgi", "/app", ""),
        ("/app/x/y", "environ.wsgi", "/app", "/x/y"),
        ("/app/", "environ.wsgi", "/app", "/"),
        ("/app/firstly", "environ.wsgi", "/app", "/firstly"),
        ("/a//b/c", "environ.wsgi", "/a/b", "/c"),
        ("//a/b", "environ.wsgi", "/a/b", ""),
        (
            "/folder/environ.wsgi/rest",
            "environ.wsgi",
            "/folder/environ.wsgi",
            "/rest",
        ),
        ("/match/environ/v7", "environ.wsgi", "", "/version-7"),
        ("/any/middle/rest", "environ.wsgi", "/any/middle", "/rest"),
        ("/x/y", "environ.wsgi", "/x", "/y"),
    ] {
        let answer = environ(&server, path);
        assert_eq!(
            answer.unquoted("SCRIPT_FILENAME"),
            format!("{apps}/{script}"),
            "{path}"
        );
        if !path.starts_with("/match") {
            assert_eq!(answer.unquoted("SCRIPT_NAME"), name, "{path}");
        }
        assert_eq!(answer.unquoted("PATH_INFO"), info, "{path}");
    }
    // DIR-008: list order, so the later, longer one never gets a request.
    assert_eq!(environ(&server, "/app/late").unquoted("PATH_INFO"), "/late");
    assert_eq!(environ(&server, "/app/first").text(), "hello");
    // DIR-010: mod_alias comes first.
    assert_eq!(environ(&server, "/app/static").text(), "by mod_alias");
    // DIR-005: whole path components, in this case. No alias matches, so httpd looks for a file.
    for path in ["/apple", "/APP", "/folder"] {
        server.get(path).expect(404);
    }
    assert_eq!(server.log().count("WSGI0135"), 0);
    // DIR-006: the Match form does not look at path components.
    server.get("/xor").expect(404);
    server.expect_log("[script {apps}/environ.wsgior] WSGI0135");
}

/// DIR-010: what mod_alias maps never comes to an alias of ours, be its URL the same, longer or shorter.
#[test]
fn mod_alias_takes_its_urls() {
    let server = Site::embedded()
        .modules(&["alias"])
        .shared("hello.wsgi")
        .file("htdocs/plain.txt", "by mod_alias")
        .config(
            "Alias /same {htdocs}
            WSGIScriptAlias /same {apps}/hello.wsgi
            WSGIScriptAlias /shorter/app {apps}/hello.wsgi
            Alias /shorter {htdocs}
            WSGIScriptAlias /longer {apps}/hello.wsgi
            AliasMatch ^/longer/files/(.*) {htdocs}/$1
            WSGIScriptAlias /away {apps}/hello.wsgi
            Redirect /away http://127.0.0.1/",
        )
        .start();
    for (path, text) in [
        ("/same/plain.txt", "by mod_alias"),
        ("/longer/files/plain.txt", "by mod_alias"),
        ("/longer/plain.txt", "hello"),
    ] {
        assert_eq!(server.get(path).expect(200).text(), text, "{path}");
    }
    if subject().is_ours() {
        server.wait_for_logs("WSGI5031: no request can reach", 3);
    }
    server.get("/shorter/app").expect(404);
    server.get("/away").expect(302);
}

/// DIR-009: a handler of the folder or of the file's name does not take an alias's request away (in the original it does, and may
/// show the script), one for the URL does: that of another module, or of a handler script.
#[test]
fn handlers_and_aliases() {
    let server = Site::embedded()
        .modules(&["mime", "status"])
        .file("mime.types", "")
        .file(
            "apps/hello.wsgi",
            &format!(
                "{}\nhandle_request = application\n",
                include_str!("../apps/hello.wsgi")
            ),
        )
        .shared("environ.wsgi")
        .file("apps/folder/hello.wsgi", include_str!("../apps/hello.wsgi"))
        .file("apps/named/hello.py", include_str!("../apps/hello.wsgi"))
        .config(
            "TypesConfig {dir}/mime.types
            WSGIHandlerScript mine {apps}/hello.wsgi
            WSGIScriptAlias /by-folder {apps}/folder/hello.wsgi
            WSGIScriptAlias /by-name {apps}/named/hello.py
            WSGIScriptAlias / {apps}/environ.wsgi
            <Directory {apps}/folder>\nSetHandler default-handler\n</Directory>
            <Directory {apps}/named>\nAddHandler default-handler .py\n</Directory>
            <Location /server-status>\nSetHandler server-status\n</Location>
            <Location /mine>\nSetHandler mine\n</Location>
            <Location /mine/not>\nSetHandler none\n</Location>
            <If \"%{QUERY_STRING} == 'if'\">\nSetHandler mine\n</If>",
        )
        .start();
    for path in ["/by-folder", "/by-name"] {
        let text = server.get(path).expect(200).text();
        let shown = include_str!("../apps/hello.wsgi");
        let expected = if subject().differs("DIR-009") {
            "hello"
        } else {
            shown
        };
        assert_eq!(text, expected, "{path}");
    }
    let status = server.get("/server-status").expect(200).text();
    assert!(status.contains("Apache Server Status"), "{status}");
    for path in ["/mine", "/mine/deeper", "/mine?if", "/any?if"] {
        assert_eq!(server.get(path).expect(200).text(), "hello", "{path}");
    }
    for path in ["/", "/mine/not", "/any"] {
        let handler = environ(&server, path).unquoted("mod_wsgi.request_handler");
        assert_eq!(handler, "wsgi-script", "{path}");
    }
}

/// DIR-020, MRG-10: a handler script's own `pass-authorization` counts before the setting.
#[test]
fn credentials_for_handler_scripts() {
    let shown = "def handle_request(environ, start_response):\n    start_response('200 OK', [])\n    \
        return [environ.get('HTTP_AUTHORIZATION', 'none').encode()]\n";
    let server = Site::embedded()
        .file("apps/shown.py", shown)
        .config(
            "WSGIHandlerScript open {apps}/shown.py pass-authorization=On
            WSGIHandlerScript closed {apps}/shown.py pass-authorization=Off
            <Location /open>\nSetHandler open\n</Location>
            <Location /closed>\nSetHandler closed\nWSGIPassAuthorization On\n</Location>",
        )
        .start();
    for (path, expected) in [("/open", "Basic QTpC"), ("/closed", "none")] {
        let request = wsgi_harness::Request::get(path).header("Authorization", "Basic QTpC");
        assert_eq!(server.send(&request).expect(200).text(), expected, "{path}");
    }
}

/// DIR-010: user directories and mass virtual hosting come behind the aliases, whichever module was loaded first.
#[test]
fn before_user_directories_and_mass_hosting() {
    for config in [
        "UserDir {htdocs}/users",
        "UseCanonicalName Off\nVirtualDocumentRoot {htdocs}/hosts/%0",
    ] {
        let server = Site::embedded()
            .modules(&["userdir", "vhost_alias"])
            .shared("hello.wsgi")
            .file("htdocs/users/joe/app/file.txt", "of joe")
            .file("htdocs/users/joe/other/file.txt", "of joe")
            .file("htdocs/hosts/localhost/~joe/app/file.txt", "of joe")
            .file("htdocs/hosts/localhost/~joe/other/file.txt", "of joe")
            .config(config)
            .config("WSGIScriptAlias /~joe/app {apps}/hello.wsgi")
            .start();
        assert_eq!(
            server.get("/~joe/other/file.txt").expect(200).text(),
            "of joe"
        );
        assert_eq!(server.get("/~joe/app/file.txt").expect(200).text(), "hello");
    }
}

/// DIR-007, REQ-113: what stands for the groups of an expression, and what does not. Behind the script the target is PATH_INFO.
#[test]
fn substitutions() {
    let rows = [
        ("one", "([a-z]+)/([a-z]+)", "<$1><$2>", "ab/cd", "<ab><cd>"),
        ("twice", "([a-z]+)", "<$1$1>", "ab", "<abab>"),
        ("whole", "([a-z]+)", "<$0>", "ab", "</whole/ab>"),
        ("absent", "([a-z]+)(/none)?", "<$1><$2>", "ab", "<ab><>"),
        ("beyond", "([a-z]+)", "<$2>", "ab", "<>"),
        ("two-digits", "([a-z]+)", "<$10>", "ab", "<ab0>"),
        ("ampersand", "([a-z]+)", "<&>", "ab", "<&>"),
        ("escaped", "([a-z]+)", "<\\$1>", "ab", "<$1>"),
        ("dollar", "([a-z]+)", "<$>", "ab", "<$>"),
        ("named", "(?<name>[a-z]+)", "<$1>", "ab", "<ab>"),
        ("rest", "([a-z]+)", "<$1>", "ab/rest", "<ab>/rest"),
        ("decoded", "(.+)", "<$1>", "%41%24%31", "<A$1>"),
        ("spaces", "(.+)", "<$1>", "a%20b", "<a b>"),
        ("bytes", "(.+)", "<$1>", "%c3%a9", "<\u{c3}\u{a9}>"),
        ("case", "(?i)([a-z]+)", "<$1>", "AB", "<AB>"),
        ("dots", "(.+)", "<$1>", "a/../../../etc/passwd", ""),
        ("encoded-dots", "(.+)", "<$1>", "a/%2e%2e/b", "<b>"),
    ];
    let mut site = Site::embedded().shared("environ.wsgi");
    for (name, expression, target, _, _) in rows {
        site = site.config(&format!(
            "WSGIScriptAliasMatch ^/{name}/{expression} \"{{apps}}/environ.wsgi/{target}\""
        ));
    }
    let server = site.start();
    let mut wrong = Vec::new();
    for (name, _, _, path, expected) in rows {
        let answer = server.get(&format!("/{name}/{path}"));
        let found = match answer.status {
            200 => answer.unquoted("PATH_INFO"),
            _ => String::new(),
        };
        let expected = if expected.is_empty() {
            String::new()
        } else {
            format!("/{expected}").replace("//", "/")
        };
        if found != expected {
            wrong.push(format!(
                "{name}: {found:?} instead of {expected:?} ({})",
                answer.status
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    server.allow_log("AH10244");
}

/// DIR-006, REQ-113: an alias for everything.
#[test]
fn alias_of_the_root() {
    let server = Site::embedded()
        .shared("environ.wsgi")
        .config("WSGIScriptAlias / {apps}/environ.wsgi")
        .start();
    for (path, info) in [("/", "/"), ("/a/b", "/a/b"), ("/a//b/", "/a/b/")] {
        let answer = environ(&server, path);
        assert_eq!(
            (answer.unquoted("SCRIPT_NAME"), answer.unquoted("PATH_INFO")),
            (String::new(), info.into())
        );
    }
}

/// DIR-004, GEN-12: a target that is no absolute path and an alias that cannot match are accepted.
#[test]
fn aliases_that_lead_nowhere() {
    let server = Site::embedded()
        .shared("hello.wsgi")
        .file("apps/below/hello.wsgi", include_str!("../apps/hello.wsgi"))
        .config(
            // `below/hello.wsgi` is there below ServerRoot. httpd itself looks in the folder where it was started.
            "ServerRoot {apps}
            WSGIScriptAlias never {apps}/hello.wsgi
            WSGIScriptAlias /relative below/hello.wsgi
            WSGIScriptAlias /missing {apps}/missing.wsgi",
        )
        .start();
    server.get("/never").expect(404);
    for (path, target) in [("/relative", "below"), ("/missing", "missing.wsgi")] {
        server.get(path).expect(404);
        let record = server.log().matching("WSGI0135").pop();
        assert!(
            record.is_some_and(|record| record.contains(target)),
            "{path}"
        );
    }
    server.expect_log("WSGI0135");
}

/// REQ-640: no request is answered by a process that has not gone through its list yet.
fn importing(mpm: Mpm, mode: Mode) {
    let group = if mode == Mode::Daemon {
        "live"
    } else {
        "%{GLOBAL}"
    };
    let server = Site::new(mpm, mode)
        .file(
            "apps/imported.wsgi",
            "import os, sys, time
open('{data}/begun', 'w').close()
while not os.path.exists('{data}/go'):
    time.sleep(0.01)
# Time for a request that should wait, but does not.
time.sleep(0.3)
sys.is_ready = 'ready'
",
        )
        .script(
            "/app",
            "import sys

def application(environ, start_response):
    start_response('200 OK', [])
    return [getattr(sys, 'is_ready', 'too early').encode()]
",
        )
        .config(&format!(
            "WSGIImportScript {{apps}}/imported.wsgi process-group={group} application-group=%{{GLOBAL}}"
        ))
        .start();
    wait_until("the import", || {
        server.path("data/begun").exists().then_some(())
    });
    let mut connections = [(); 3].map(|()| server.begin("/app"));
    server.write("data/go", "");
    for connection in &mut connections {
        assert_eq!(connection.answer().expect(200).text(), "ready");
    }
}
matrix!(importing: event prefork);

/// DIR-012, DIR-014, DIR-076, DIR-077, REQ-640: scripts with both groups are loaded before the first request.
fn preloading(mpm: Mpm, mode: Mode) {
    let group = if mode == Mode::Daemon {
        "live"
    } else {
        "%{GLOBAL}"
    };
    let noting = |name: &str| {
        format!(
            "open('{{data}}/{name}', 'a').write('loaded\\n')\nprint('output of {name}')\n{}",
            include_str!("../apps/hello.wsgi")
        )
    };
    let server = Site::new(mpm, mode)
        .daemon_options("processes=2 threads=2")
        .script_with("/both", &format!("process-group={group} application-group=%{{GLOBAL}}"), &noting("both"))
        .script_with("/one", &format!("process-group={group}"), &noting("one"))
        .file("apps/imported.wsgi", &noting("imported"))
        .config(&format!("WSGIImportScript {{apps}}/imported.wsgi process-group={group} application-group=%{{GLOBAL}}"))
        .config(&format!("WSGIImportScript {{apps}}/missing.wsgi process-group={group} application-group=%{{GLOBAL}}"))
        .start();
    // A daemon that answers has gone through its list, and a child that answers too.
    server.get("/one").expect(200);
    let loads = |name: &str| {
        std::fs::read_to_string(server.path("data").join(name))
            .unwrap_or_default()
            .lines()
            .count()
    };
    assert_eq!(loads("one"), 1);
    let processes = match (mpm, mode) {
        (Mpm::Prefork, Mode::Embedded) | (_, Mode::Daemon) => 2,
        _ => 1,
    };
    wait_until("the preload of every process", || {
        (loads("both") == processes && loads("imported") == processes).then_some(())
    });
    server.get("/both").expect(200);
    assert_eq!(
        loads("both"),
        processes,
        "REQ-600: one module for preload and requests"
    );
    // There is no request yet whose output it could be. Line by line, since these may follow the traceback of another script.
    let lines = wait_until("the output of preloading", || {
        let log = server.log().text();
        let lines: Vec<String> = log
            .lines()
            .filter(|line| line.ends_with("output of both"))
            .map(str::to_owned)
            .collect();
        (lines.len() >= processes).then_some(lines)
    });
    for line in lines {
        assert!(line.contains("] [wsgi:error] [pid "), "{line}");
        for request in ["[client ", "[remote ", "[script "] {
            assert!(!line.contains(request), "{line}");
        }
    }
    server.allow_log("output of ");
    // What was loaded before is loaded again like any other.
    server.write(
        "apps/both.wsgi",
        "def application(e, s):\n    s('200 OK', [])\n    return [b'changed']\n",
    );
    wait_until("the new script", || {
        // Ours serves the old one until another process has the new one.
        let text = server.get("/both").expect(200).text();
        (text == "changed").then_some(())
    });
    // DIR-079: a file that is not there is reported and ignored.
    server.expect_log("missing.wsgi");
    server.allow_log("WSGI0106");
    server.allow_log("WSGI0110");
}
matrix!(preloading: event prefork);
