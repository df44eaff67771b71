//! From a URL to a script, a process and an interpreter: aliases, groups, merging of configuration, expansions.

use wsgi_harness::{Answer, Mode, Mpm, Request, Server, Site, matrix, subject, wait_until};

/// A value of the environ that the script answered with, without its quotes.
#[track_caller]
fn value(answer: &Answer, key: &str) -> String {
    let shown = answer
        .line(key)
        .unwrap_or_else(|| panic!("no {key}: {}", answer.shown()));
    shown.trim_matches('\'').to_owned()
}

#[track_caller]
fn environ(server: &Server, path: &str) -> Answer {
    server.get(path).expect(200)
}

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
            value(&answer, "SCRIPT_FILENAME"),
            format!("{apps}/{script}"),
            "{path}"
        );
        if !path.starts_with("/match") {
            assert_eq!(value(&answer, "SCRIPT_NAME"), name, "{path}");
        }
        assert_eq!(value(&answer, "PATH_INFO"), info, "{path}");
    }
    // DIR-008: list order, so the later, longer one never gets a request.
    assert_eq!(value(&environ(&server, "/app/late"), "PATH_INFO"), "/late");
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
            200 => value(&answer, "PATH_INFO"),
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
            (value(&answer, "SCRIPT_NAME"), value(&answer, "PATH_INFO")),
            (String::new(), info.into())
        );
    }
}

/// DIR-004, GEN-12: a target that is no absolute path and an alias that cannot match are accepted.
#[test]
fn aliases_that_lead_nowhere() {
    let server = Site::embedded()
        .shared("hello.wsgi")
        .config(
            "WSGIScriptAlias never {apps}/hello.wsgi\nWSGIScriptAlias /relative no/such/hello.wsgi",
        )
        .start();
    server.get("/never").expect(404);
    server.get("/relative").expect(404);
    server.expect_log("WSGI0135");
}

/// DOC-03, DIR-011, DIR-021, DIR-022, DIR-023, DIR-031, MRG-01, MRG-03, MRG-10, ENV-51, ENV-52, ENV-53, REQ-650: which of several
/// settings counts.
fn which_setting_counts(mpm: Mpm, mode: Mode) {
    let server = Site::new(mpm, mode)
        .modules(&["alias"])
        .shared("environ.wsgi")
        .file(
            "apps/handler.wsgi",
            &format!("{}\nhandle_request = application\n", include_str!("apps/environ.wsgi")),
        )
        .file("htdocs/page.html", "never shown")
        .config(
            "WSGIDaemonProcess other processes=1 threads=2
            WSGIDaemonProcess third processes=1 threads=2
            WSGIHandlerScript my-handler {apps}/handler.wsgi
            WSGIHandlerScript grouped {apps}/handler.wsgi process-group=third application-group=handlers
            WSGIScriptAlias /inherits {apps}/environ.wsgi
            WSGIScriptAlias /option {apps}/environ.wsgi process-group=other application-group=by-option callable-object=other pass-authorization=on
            WSGIScriptAlias /global {apps}/environ.wsgi process-group=%{GLOBAL} application-group=%{GLOBAL}
            <Location />
                WSGICallableObject application
            </Location>
            <Location /inherits/deep>
                WSGIProcessGroup other
                WSGIApplicationGroup by-location
                WSGICallableObject other
                WSGIPassAuthorization On
            </Location>
            <Location /inherits/deep/back>
                WSGIApplicationGroup %{GLOBAL}
                WSGIPassAuthorization Off
            </Location>
            <Location /option>
                WSGIProcessGroup third
                WSGIApplicationGroup by-location
                WSGICallableObject missing
                WSGIPassAuthorization Off
            </Location>
            <Location /handled>
                SetHandler my-handler
                WSGIApplicationGroup for-handlers
            </Location>
            <Location /grouped>
                SetHandler grouped
            </Location>",
        )
        .start();
    let base = if mode == Mode::Daemon { "live" } else { "" };
    for (path, process, application, callable, authorization) in [
        ("/inherits", base, "", "application", false),
        ("/inherits/deep", "other", "by-location", "other", true),
        ("/inherits/deep/back", "other", "", "other", false),
        ("/option", "other", "by-option", "other", true),
        ("/global", "", "", "application", false),
        (
            "/handled/no/such/file",
            base,
            "for-handlers",
            "handle_request",
            false,
        ),
        ("/grouped", "third", "handlers", "handle_request", false),
    ] {
        let answer = server
            .send(&Request::get(path).header("Authorization", "Basic QTpC"))
            .expect(200);
        let found = ["process_group", "application_group", "callable_object"]
            .map(|key| value(&answer, &format!("mod_wsgi.{key}")));
        assert_eq!(found, [process, application, callable], "{path}");
        assert_eq!(
            answer.line("HTTP_AUTHORIZATION").is_some(),
            authorization,
            "{path}"
        );
    }
    let handled = environ(&server, "/handled/no/such/file");
    assert_eq!(value(&handled, "mod_wsgi.request_handler"), "my-handler");
    assert_eq!(
        value(&handled, "mod_wsgi.handler_script"),
        server.fill("{apps}/handler.wsgi")
    );
    assert_eq!(
        value(&handled, "SCRIPT_FILENAME"),
        server.fill("{htdocs}/handled")
    );
    let plain = environ(&server, "/inherits");
    assert_eq!(value(&plain, "mod_wsgi.request_handler"), "wsgi-script");
    assert_eq!(value(&plain, "mod_wsgi.handler_script"), "");
}
matrix!(which_setting_counts: event);

/// MRG-02, MRG-06, MRG-07, MRG-08: virtual hosts inherit, override, and are asked before the main server.
#[test]
fn virtual_hosts() {
    let server = Site::embedded()
        .modules(&["alias"])
        .shared("environ.wsgi")
        .shared("hello.wsgi")
        .file("apps/one.wsgi", &handler("one"))
        .file("apps/two.wsgi", &handler("two"))
        .config(
            "Listen 127.0.0.1:{port2}
            WSGICallableObject other
            WSGIPassAuthorization On
            WSGIHandlerScript shared {apps}/one.wsgi
            WSGIHandlerScript replaced {apps}/one.wsgi
            WSGIScriptAlias /both {apps}/environ.wsgi
            WSGIScriptAlias /main {apps}/environ.wsgi
            <Location /shared>\nSetHandler shared\n</Location>
            <Location /replaced>\nSetHandler replaced\n</Location>
            <VirtualHost 127.0.0.1:{port2}>
                ServerName second.example
                WSGIPassAuthorization Off
                WSGIHandlerScript replaced {apps}/two.wsgi
                WSGIScriptAlias /both {apps}/hello.wsgi
                WSGIScriptAlias /own {apps}/hello.wsgi
                <Location /shared>\nSetHandler shared\n</Location>
                <Location /replaced>\nSetHandler replaced\n</Location>
            </VirtualHost>",
        )
        .start();
    let ask = |index: usize, path: &str| {
        let request = Request::get(path).header("Authorization", "Basic QTpC");
        server.connect_to(index).send(&request)
    };
    assert_eq!(
        ask(0, "/both")
            .expect(200)
            .line("mod_wsgi.callable_object")
            .as_deref(),
        Some("'other'")
    );
    assert_eq!(ask(0, "/own").status, 404);
    assert!(
        ask(0, "/main")
            .expect(200)
            .line("HTTP_AUTHORIZATION")
            .is_some()
    );
    // The alias of the virtual host shadows the main server's, with the inherited callable missing in hello.wsgi.
    assert_eq!(ask(1, "/both").status, 404);
    server.expect_log("WSGI0089");
    let inherited = ask(1, "/main").expect(200);
    assert_eq!(value(&inherited, "mod_wsgi.callable_object"), "other");
    assert_eq!(inherited.line("HTTP_AUTHORIZATION"), None);
    for (index, path, text) in [
        (0, "/shared", "one"),
        (0, "/replaced", "one"),
        (1, "/shared", "one"),
        (1, "/replaced", "two"),
    ] {
        assert_eq!(
            ask(index, path).expect(200).text(),
            text,
            "port {index}, {path}"
        );
    }
}

fn handler(text: &str) -> String {
    format!("def handle_request(e, s):\n    s('200 OK', [])\n    return [b'{text}']\n")
}

/// DIR-040, DIR-041, DIR-043, DMN-005, DMN-063, DMN-201, DMN-203, DMN-204, DMN-644, MRG-04, MRG-05, REQ-300,
/// REQ-302: groups that a request may not use.
#[test]
fn forbidden_groups() {
    let server = Site::daemon()
        .modules(&["setenvif"])
        .shared("environ.wsgi")
        .config(
            "Listen 127.0.0.1:{port2}
            Listen 127.0.0.1:{port3}
            WSGIScriptAlias / {apps}/environ.wsgi
            <Location /unknown>\nWSGIProcessGroup nobody\n</Location>
            <Location /theirs>\nWSGIProcessGroup theirs\n</Location>
            <Location /restricted>\nWSGIRestrictProcess LIVE other\n</Location>
            <Location /restricted/embedded>\nWSGIProcessGroup %{GLOBAL}\n</Location>
            <Location /replaced>\nWSGIRestrictProcess other\nWSGIRestrictProcess %{GLOBAL}\n</Location>
            <Location /replaced/embedded>\nWSGIProcessGroup %{GLOBAL}\n</Location>
            <Location /nothing>\nWSGIRestrictProcess\n</Location>
            <VirtualHost 127.0.0.1:{port2}>
                ServerName second.example
                WSGIDaemonProcess theirs processes=1 threads=2
                WSGIProcessGroup theirs
                <Location /main>\nWSGIProcessGroup live\n</Location>
            </VirtualHost>
            <VirtualHost 127.0.0.1:{port3}>
                ServerName second.example
                WSGIProcessGroup theirs
            </VirtualHost>",
        )
        .start();
    server.allow_log("WSGI5034");
    let status = |path: &str| server.get(path).status;
    assert_eq!(status("/"), 200);
    assert_eq!(status("/unknown"), 500);
    server.expect_log("WSGI0151");
    assert_eq!(status("/theirs"), 500);
    server.expect_log("WSGI0152");
    assert_eq!(status("/restricted"), 200, "compared without case");
    assert_eq!(status("/restricted/embedded"), 500);
    server.expect_log("WSGI0149");
    assert_eq!(
        status("/replaced"),
        500,
        "the later list replaces the earlier"
    );
    assert_eq!(status("/replaced/embedded"), 200);
    assert_eq!(status("/nothing"), 500);
    // A group of a virtual host: for servers of the same name, on whatever port.
    for index in [1, 2] {
        let answer = server
            .connect_to(index)
            .send(&Request::get("/").host("second.example"))
            .expect(200);
        assert_eq!(value(&answer, "mod_wsgi.process_group"), "theirs");
    }
    let main = server
        .connect_to(1)
        .send(&Request::get("/main").host("second.example"))
        .expect(200);
    assert_eq!(value(&main, "mod_wsgi.process_group"), "live");
}

/// DIR-041, DMN-204: the ServerName counts that holds in the end, also where it stands behind the group, or where the virtual
/// host has none and so the main server's.
#[test]
fn groups_of_hosts_that_are_named_later() {
    let server = Site::daemon()
        .shared("environ.wsgi")
        .config(
            "Listen 127.0.0.1:{port2}
            Listen 127.0.0.1:{port3}
            WSGIScriptAlias / {apps}/environ.wsgi
            <VirtualHost 127.0.0.1:{port2}>
                WSGIDaemonProcess later processes=1 threads=2
                WSGIProcessGroup later
                ServerName second.example
            </VirtualHost>
            <VirtualHost *:{port2}>
                WSGIDaemonProcess nameless processes=1 threads=2
            </VirtualHost>
            <Location /nameless>\nWSGIProcessGroup nameless\n</Location>
            <VirtualHost 127.0.0.1:{port3}>
                ServerName second.example
                WSGIProcessGroup later
            </VirtualHost>",
        )
        .start();
    server.connect_to(2).send(&Request::get("/x")).expect(200);
    server.connect_to(1).send(&Request::get("/x")).expect(200);
    server.get("/nameless").expect(200);
}

/// DIR-110, DMN-064, REQ-301: no Python in httpd's children.
#[test]
fn restricted_embedded() {
    let server = Site::daemon()
        .shared("environ.wsgi")
        .config(
            "WSGIRestrictEmbedded On
            WSGIScriptAlias / {apps}/environ.wsgi
            <Location /embedded>\nWSGIProcessGroup %{GLOBAL}\n</Location>",
        )
        .start();
    server.allow_log("WSGI5034");
    server.get("/").expect(200);
    server.get("/embedded").expect(500);
    server.expect_log("WSGI0143");
    for child in server.children() {
        let maps =
            std::fs::read_to_string(format!("/proc/{}/maps", child.pid)).expect("a child's maps");
        // The original is linked to libpython, so there it is mapped but not used.
        if subject().is_ours() {
            assert!(
                !maps.contains("libpython"),
                "DIR-071: Python in a child that does not need it"
            );
        }
    }
}

/// XPN-01, XPN-02, XPN-03, XPN-04, XPN-05, XPN-06, XPN-07, XPN-08, XPN-09, XPN-10, XPN-20, XPN-21, XPN-23, XPN-24,
/// DIR-015, DIR-042, DIR-044, REQ-108: names made from the request.
fn expansions(mpm: Mpm, mode: Mode) {
    let server = Site::new(mpm, mode)
        .without_application_group()
        .modules(&["env", "setenvif", "rewrite"])
        .shared("environ.wsgi")
        .config(
            "WSGIDaemonProcess site.example threads=2
            SetEnv FROM_SETENV value-of-setenv
            SetEnv NESTED %{SERVER}
            SetEnv NESTED_ENV %{ENV:FROM_SETENV}
            SetEnv CALLABLE other
            WSGIScriptAlias /default {apps}/environ.wsgi
            WSGIScriptAlias /app {apps}/environ.wsgi
            WSGIScriptAlias /by-option {apps}/environ.wsgi application-group=%{ENV:FROM_SETENV}
            WSGIScriptAlias /literal-callable {apps}/environ.wsgi callable-object=%{ENV:CALLABLE}
            <Location /app/global>\nWSGIApplicationGroup %{GLOBAL}\n</Location>
            <Location /app/resource>\nWSGIApplicationGroup %{RESOURCE}\n</Location>
            <Location /app/server>\nWSGIApplicationGroup %{SERVER}\n</Location>
            <Location /app/host>\nWSGIApplicationGroup %{HOST}\n</Location>
            <Location /app/env>\nWSGIApplicationGroup %{ENV:FROM_SETENV}\n</Location>
            <Location /app/nested>\nWSGIApplicationGroup %{ENV:NESTED}\n</Location>
            <Location /app/twice>\nWSGIApplicationGroup %{ENV:NESTED_ENV}\n</Location>
            <Location /app/unresolved>\nWSGIApplicationGroup %{ENV:NOTHING}\n</Location>
            <Location /app/unknown>\nWSGIApplicationGroup %{WHAT}\n</Location>
            <Location /app/before>\nWSGIApplicationGroup x-%{SERVER}\n</Location>
            <Location /app/after>\nWSGIApplicationGroup %{SERVER}-x\n</Location>
            <Location /app/callable>\nWSGICallableObject %{ENV:CALLABLE}\n</Location>
            <Location /app/no-callable>\nWSGICallableObject %{ENV:NOTHING}\n</Location>
            <Location /app/percent>\nWSGICallableObject %\n</Location>
            <Location /app/other-form>\nWSGICallableObject %{GLOBAL}\n</Location>
            <Location /app/host-process>\nWSGIProcessGroup %{HOST}\n</Location>
            <Location /app/process>\nWSGIProcessGroup %{WHAT}\n</Location>",
        )
        .start();
    let host = format!("Site.Example:{}", server.port());
    let ask = |path: &str| server.send(&Request::get(path).host(&host));
    let port = server.port();
    for (path, group) in [
        ("/default", format!("localhost:{port}|/default")),
        ("/default/info//x", format!("localhost:{port}|/default")),
        ("/app/global", String::new()),
        ("/app/resource", format!("localhost:{port}|/app")),
        ("/app/server", format!("localhost:{port}")),
        ("/app/host", format!("site.example:{port}")),
        ("/app/env", "value-of-setenv".to_owned()),
        ("/by-option", "value-of-setenv".to_owned()),
        ("/app/nested", format!("localhost:{port}")),
        ("/app/twice", "%{ENV:FROM_SETENV}".to_owned()),
        ("/app/unresolved", "%{ENV:NOTHING}".to_owned()),
        ("/app/unknown", "%{WHAT}".to_owned()),
        ("/app/before", "x-%{SERVER}".to_owned()),
        ("/app/after", "%{SERVER}-x".to_owned()),
    ] {
        assert_eq!(
            value(&ask(path).expect(200), "mod_wsgi.application_group"),
            group,
            "{path}"
        );
    }
    for (path, callable) in [
        ("/app/callable", "other"),
        ("/app/no-callable", "application"),
        ("/app/percent", "application"),
        ("/app/other-form", "application"),
    ] {
        assert_eq!(
            value(&ask(path).expect(200), "mod_wsgi.callable_object"),
            callable,
            "{path}"
        );
    }
    let literal = ask("/literal-callable");
    if literal.status != 200 {
        server.expect_log("WSGI0089");
        assert!(
            matches!(literal.status, 404 | 500),
            "XPN-24: {}",
            literal.shown()
        );
    }
    // XPN-04, XPN-06: without port in the name no port in the group name; the group `site.example` exists.
    let by_host = server.send(&Request::get("/app/host-process").host("Site.Example:80"));
    if subject().differs("XPN-07") && by_host.status == 500 {
        // %{HOST} carries the port of the connection, and no group is called so.
        server.expect_log("WSGI0151");
    } else {
        assert_eq!(
            value(&by_host.expect(200), "mod_wsgi.process_group"),
            "site.example"
        );
    }
    assert_eq!(ask("/app/process").status, 500, "XPN-10");
    server.expect_log("WSGI0151");
}
matrix!(expansions: event);

/// XPN-07, DMN-900: a client cannot make interpreters by inventing ports.
#[test]
fn ports_invented_by_clients() {
    let server = Site::embedded()
        .without_application_group()
        .shared("environ.wsgi")
        .config("WSGIScriptAlias / {apps}/environ.wsgi\n<Location /server>\nWSGIApplicationGroup %{SERVER}\n</Location>")
        .start();
    let port = server.port();
    for path in ["/", "/server"] {
        let answer = server
            .send(&Request::get(path).host("localhost:99"))
            .expect(200);
        let group = value(&answer, "mod_wsgi.application_group");
        let rest = if path == "/" { "|" } else { "" };
        if subject().differs("XPN-07") {
            assert_eq!(group, format!("localhost:{port}{rest}"));
        } else {
            assert_eq!(group, format!("localhost:99{rest}"));
        }
    }
}

/// XPN-08, DIR-093: script names in group names without regard to case.
#[test]
fn case_of_script_names() {
    let server = Site::embedded()
        .without_application_group()
        .shared("environ.wsgi")
        .config("WSGICaseSensitivity Off\nUseCanonicalName On\nWSGIScriptAlias /App {apps}/environ.wsgi")
        .start();
    let group = value(&environ(&server, "/App"), "mod_wsgi.application_group");
    assert!(group.ends_with("|/app"), "{group}");
}

/// DIR-012, DIR-014, DIR-076, DIR-077, REQ-640: scripts with both groups are loaded before the first request.
fn preloading(mpm: Mpm, mode: Mode) {
    let group = if mode == Mode::Daemon {
        "live"
    } else {
        "%{GLOBAL}"
    };
    let noting = |name: &str| {
        format!(
            "open('{{data}}/{name}', 'a').write('loaded\\n')\n{}",
            include_str!("apps/hello.wsgi")
        )
    };
    let server = Site::new(mpm, mode)
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
    let processes = if (mpm, mode) == (Mpm::Prefork, Mode::Embedded) {
        2
    } else {
        1
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
    // DIR-079: a file that is not there is reported and ignored.
    server.expect_log("missing.wsgi");
    server.allow_log("WSGI0106");
    server.allow_log("WSGI0110");
}
matrix!(preloading: event prefork);
