//! Where the parts of names come from: variables, hosts, ports, script names; in the options of aliases and handler scripts, too.

use wsgi_harness::{Mode, Mpm, Request, Site, matrix, subject};

use super::environ;

/// The variable by which the harness knows its processes.
const OF_THE_PROCESS: &str = "WSGI_LIVE_TEST";

/// XPN-05: notes of the request come first, then its environment (whoever put it there, for whatever reason), then httpd's own.
fn variables(mpm: Mpm, mode: Mode) {
    let server = Site::new(mpm, mode)
        .without_application_group()
        .modules(&["env", "setenvif", "rewrite", "remoteip"])
        .shared("environ.wsgi")
        .config(
            "WSGIScriptAlias /app {apps}/environ.wsgi
            RemoteIPHeader X-Client
            RemoteIPTrustedProxy 127.0.0.1
            SetEnv remoteip-proxy-ip-list of-setenv
            SetEnv IN_BOTH of-setenv
            SetEnvIf X-Name (.+) BY_CLIENT=$1
            RewriteEngine On
            RewriteRule ^/app/(rule-.*)$ - [E=BY_RULE:$1]
            WSGIApplicationGroup %{ENV:remoteip-proxy-ip-list}
            <Location /app/conditional>\nWSGIApplicationGroup %{ENV:BY_CLIENT}\n</Location>
            <LocationMatch ^/app/rule->\nWSGIApplicationGroup %{ENV:BY_RULE}\n</LocationMatch>
            <Location /app/process>\nWSGIApplicationGroup %{ENV:WSGI_LIVE_TEST}\n</Location>
            <Location /app/process/hidden>\nSetEnv WSGI_LIVE_TEST of-setenv\n</Location>",
        )
        .start();
    let group = |path: &str, header: (&str, &str)| {
        let request = Request::get(path).header(header.0, header.1);
        let answer = server.send(&request).expect(200);
        answer.unquoted("mod_wsgi.application_group")
    };
    let none = ("X-None", "x");
    // mod_remoteip leaves the proxies in a note, if there are any.
    assert_eq!(group("/app", none), "of-setenv");
    assert_eq!(group("/app", ("X-Client", "1.2.3.4")), "127.0.0.1");
    assert_eq!(group("/app/conditional", ("X-Name", "sent")), "sent");
    assert_eq!(group("/app/conditional", none), "%{ENV:BY_CLIENT}");
    assert_eq!(group("/app/rule-one", none), "rule-one");
    assert_eq!(group("/app/rule-two/x", none), "rule-two/x");
    let parent = server.parent();
    let variables = std::fs::read(format!("/proc/{}/environ", parent.pid)).expect("of httpd");
    let value = String::from_utf8_lossy(&variables)
        .split('\0')
        .find_map(|entry| {
            Some(
                entry
                    .strip_prefix(OF_THE_PROCESS)?
                    .strip_prefix('=')?
                    .to_owned(),
            )
        })
        .expect("the harness gives it to httpd");
    assert_eq!(group("/app/process", none), value);
    assert_eq!(group("/app/process/hidden", none), "of-setenv");
}
matrix!(variables: event);

/// XPN-02, XPN-03, XPN-04, XPN-06, XPN-07: names with a port, and without one where it is a usual one.
#[test]
fn hosts_and_ports() {
    let ours = subject().differs("XPN-07");
    let server = Site::embedded()
        .without_application_group()
        .shared("environ.wsgi")
        .config(
            "Listen 127.0.0.1:{port2}
            Listen 127.0.0.1:{port3}
            WSGIScriptAlias /app {apps}/environ.wsgi
            <Location /app/server>\nWSGIApplicationGroup %{SERVER}\n</Location>
            <Location /app/host>\nWSGIApplicationGroup %{HOST}\n</Location>
            <VirtualHost 127.0.0.1:{port2}>
                ServerName named.example:443
                UseCanonicalName On
            </VirtualHost>
            <VirtualHost 127.0.0.1:{port3}>
                ServerName other.example:8080
                UseCanonicalName On
            </VirtualHost>",
        )
        .start();
    let group = |index: usize, request: &Request| {
        let answer = server.connect_to(index).send(request).expect(200);
        answer.unquoted("mod_wsgi.application_group")
    };
    for (index, server_name, host) in [
        (1, "named.example", "sent.example"),
        (2, "other.example:8080", "sent.example:8080"),
    ] {
        for (path, expected) in [
            ("/app", format!("{server_name}|/app")),
            ("/app/server", server_name.to_owned()),
            ("/app/host", host.to_owned()),
        ] {
            let request = Request::get(path).host("Sent.Example");
            assert_eq!(group(index, &request), expected, "{path}");
        }
    }
    // The main server: its ServerName has no port.
    let port = server.port();
    let of_client = |name: &str, sent: &str| match (ours, sent) {
        (true, _) => format!("{name}:{port}"),
        (false, "80" | "443" | "") => name.to_owned(),
        (false, sent) => format!("{name}:{sent}"),
    };
    for (host, name, sent) in [
        ("Sent.Example:80", "sent.example", "80"),
        ("Sent.Example:443", "sent.example", "443"),
        ("Sent.Example:99", "sent.example", "99"),
        ("Sent.Example", "sent.example", ""),
    ] {
        let request = Request::get("/app/host").host(host);
        assert_eq!(group(0, &request), of_client(name, sent), "{host}");
    }
    let without_host = Request::get("/app/host").http10();
    assert!(!String::from_utf8_lossy(&without_host.bytes()).contains("Host:"));
    for nothing in [without_host.clone(), without_host.header("Host", "")] {
        assert_eq!(group(0, &nothing), of_client("localhost", ""));
    }
}

/// XPN-08: the URI as it was meant, without what is behind the script, slashes collapsed.
#[test]
fn script_names() {
    let server = Site::embedded()
        .without_application_group()
        .shared("environ.wsgi")
        .config(
            "MergeSlashes Off
            UseCanonicalName On
            ServerName named.example:80
            WSGIScriptAlias /one/two {apps}/environ.wsgi
            WSGIScriptAlias /folder {apps}
            WSGIScriptAliasMatch ^/any/[^/]+ {apps}/environ.wsgi",
        )
        .start();
    for (path, script_name) in [
        ("/one/two", "/one/two"),
        ("/one/two/info//more", "/one/two"),
        ("/%6fne/tw%6F", "/one/two"),
        ("//one///two//info", "/one/two"),
        ("/folder/environ.wsgi", "/folder/environ.wsgi"),
        ("/folder//environ.wsgi/info/more", "/folder/environ.wsgi"),
        ("/any/Thing/info", "/any/Thing"),
        ("/any/%c3%a9/info", "/any/\u{e9}"),
    ] {
        // The repr of Python, where bytes of the environ are characters of latin-1.
        let group = environ(&server, path).unquoted("mod_wsgi.application_group");
        let latin1: String = format!("named.example|{script_name}")
            .bytes()
            .map(char::from)
            .collect();
        assert_eq!(group, latin1, "{path}");
    }
}

/// XPN-20, XPN-21, XPN-26, XPN-28, DIR-015, DIR-022: process groups that directives, aliases, handler and dispatch scripts find at the
/// request, in every form; such an alias is not loaded at start. In WSGIRestrictProcess the forms are names like others.
#[test]
fn process_groups_of_requests() {
    let note = "open('{data}/loaded', 'a').write(__file__ + '\\n')\n";
    let app = format!(
        "{note}{}\nhandle_request = application\n",
        include_str!("../apps/environ.wsgi")
    );
    let server = Site::daemon()
        .modules(&["setenvif"])
        .file("htdocs/page.html", "never shown")
        .file(
            "apps/dispatch.wsgi",
            "def process_group(environ):\n    return environ['QUERY_STRING']\n",
        )
        .file("apps/chosen.wsgi", &app)
        .file("apps/static.wsgi", &app)
        .config(
            "UseCanonicalName On
            ServerName named.example:80
            SetEnvIf X-Group (.+) GROUP=$1
            WSGIDaemonProcess blue processes=1 threads=1
            WSGIDaemonProcess named.example processes=1 threads=1
            WSGIDaemonProcess sent.example processes=1 threads=1
            WSGIDaemonProcess 'named.example|/resource' processes=1 threads=1
            WSGIScriptAlias /static {apps}/static.wsgi process-group=blue application-group=in-it
            WSGIScriptAlias /env {apps}/chosen.wsgi process-group=%{ENV:GROUP} application-group=in-it
            WSGIScriptAlias /server {apps}/chosen.wsgi process-group=%{SERVER} application-group=in-it
            WSGIScriptAlias /host {apps}/chosen.wsgi process-group=%{HOST} application-group=%{SERVER}
            WSGIScriptAlias /resource {apps}/chosen.wsgi process-group=%{RESOURCE} application-group=%{ENV:GROUP}
            WSGIScriptAlias /global {apps}/chosen.wsgi process-group=%{GLOBAL} application-group=%{RESOURCE}
            WSGIScriptAlias /literal {apps}/chosen.wsgi process-group=x-%{SERVER} application-group=in-it
            WSGIHandlerScript chosen {apps}/chosen.wsgi process-group=%{ENV:GROUP} application-group=%{HOST}
            <Location /handler>\nSetHandler chosen\n</Location>
            WSGIDaemonProcess 'named.example|/directive' processes=1 threads=1
            WSGIDaemonProcess 'named.example|/page.html' processes=1 threads=1
            WSGIScriptAlias /directive {apps}/chosen.wsgi application-group=in-it
            <Location /directive/restricted>
                WSGIProcessGroup named.example
                WSGIRestrictProcess %{SERVER} %{HOST} %{ENV:GROUP} %{RESOURCE}
            </Location>
            <Location /resource/dispatched>\nWSGIDispatchScript {apps}/dispatch.wsgi\n</Location>",
        )
        .config(
            &[
                ("global", "%{GLOBAL}"),
                ("server", "%{SERVER}"),
                ("host", "%{HOST}"),
                ("resource", "%{RESOURCE}"),
                ("env", "%{ENV:GROUP}"),
            ]
            .map(|(name, form)| {
                format!(
                    "<Location /directive/{name}>\nWSGIProcessGroup {form}\n</Location>
                    WSGIHandlerScript {name} {{apps}}/chosen.wsgi process-group={form} application-group=in-it
                    <If \"%{{QUERY_STRING}} == 'by-{name}'\">\nSetHandler {name}\n</If>\n"
                )
            })
            .concat(),
        )
        .start();
    server.allow_log("WSGI5034");
    let loaded = || std::fs::read_to_string(server.path("data/loaded")).unwrap_or_default();
    // A daemon that answers has loaded what it is to load at start.
    let send = |path: &str| {
        server.send(
            &Request::get(path)
                .host("Sent.Example")
                .header("X-Group", "blue"),
        )
    };
    send("/static").expect(200);
    assert_eq!(loaded(), server.fill("{apps}/static.wsgi\n"));
    for (path, process, application) in [
        ("/env", "blue", "in-it"),
        ("/server", "named.example", "in-it"),
        ("/host", "sent.example", "named.example"),
        ("/resource", "named.example|/resource", "blue"),
        ("/global", "", "named.example|/global"),
        ("/handler", "blue", "sent.example"),
    ] {
        let answer = send(path).expect(200);
        let found = ["process_group", "application_group"]
            .map(|key| answer.unquoted(&format!("mod_wsgi.{key}")));
        assert_eq!(found, [process, application], "{path}");
    }
    for (name, form, process) in [
        ("global", "%{GLOBAL}", ""),
        ("server", "%{SERVER}", "named.example"),
        ("host", "%{HOST}", "sent.example"),
        ("resource", "%{RESOURCE}", "named.example|"),
        ("env", "%{ENV:GROUP}", "blue"),
    ] {
        for (path, script) in [
            (format!("/directive/{name}"), "/directive"),
            (format!("/page.html?by-{name}"), "/page.html"),
            (format!("/resource/dispatched?{form}"), "/resource"),
        ] {
            let found = send(&path).expect(200).unquoted("mod_wsgi.process_group");
            let script = if name == "resource" { script } else { "" };
            assert_eq!(found, format!("{process}{script}"), "{path}");
        }
    }
    send("/directive/restricted").expect(500);
    server.expect_log("WSGI0149");
    send("/literal").expect(500);
    server.expect_log("x-%{SERVER}");
    server.get("/env").expect(500);
    server.expect_log("%{ENV:GROUP}");
    server.allow_log("WSGI0151");
}
