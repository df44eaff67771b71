//! Names made from the request.

use wsgi_harness::{Mode, Mpm, Request, Site, matrix, subject};

use super::environ;

/// XPN-01, XPN-02, XPN-03, XPN-04, XPN-05, XPN-06, XPN-07, XPN-08, XPN-09, XPN-10, XPN-20, XPN-21, XPN-23,
/// DIR-042, DIR-044, REQ-108: names made from the request.
fn expansions(mpm: Mpm, mode: Mode) {
    let server = Site::new(mpm, mode)
        .without_application_group()
        .modules(&["env", "setenvif", "rewrite"])
        .file(
            "apps/environ.wsgi",
            &format!(
                "{}\nglobals()['%{{SERVER}}'] = application\n",
                include_str!("../apps/environ.wsgi")
            ),
        )
        .config(
            "WSGIDaemonProcess site.example threads=2
            WSGIDaemonProcess site.example:{port} threads=2
            SetEnv FROM_SETENV value-of-setenv
            SetEnv NESTED %{SERVER}
            SetEnv NESTED_ENV %{ENV:FROM_SETENV}
            SetEnv CALLABLE other
            WSGIScriptAlias /default {apps}/environ.wsgi
            WSGIScriptAlias /app {apps}/environ.wsgi
            WSGIScriptAlias /by-option {apps}/environ.wsgi application-group=%{ENV:FROM_SETENV}
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
            <Location /app/nested-callable>\nWSGICallableObject %{ENV:NESTED}\n</Location>
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
            ask(path).expect(200).unquoted("mod_wsgi.application_group"),
            group,
            "{path}"
        );
    }
    for (path, callable) in [
        ("/app/callable", "other"),
        ("/app/nested-callable", "%{SERVER}"),
        ("/app/no-callable", "application"),
        ("/app/percent", "application"),
        ("/app/other-form", "application"),
    ] {
        assert_eq!(
            ask(path).expect(200).unquoted("mod_wsgi.callable_object"),
            callable,
            "{path}"
        );
    }
    // XPN-04, XPN-06: with the port of the connection, and with the client's, which is a usual one.
    for (host, original) in [
        (host.as_str(), host.as_str()),
        ("Site.Example:80", "site.example"),
    ] {
        let expected = if subject().differs("XPN-07") {
            format!("site.example:{port}")
        } else {
            original.to_lowercase()
        };
        let answer = server.send(&Request::get("/app/host-process").host(host));
        assert_eq!(
            answer.expect(200).unquoted("mod_wsgi.process_group"),
            expected
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
        let group = answer.unquoted("mod_wsgi.application_group");
        let rest = if path == "/" { "|" } else { "" };
        if subject().differs("XPN-07") {
            assert_eq!(group, format!("localhost:{port}{rest}"));
        } else {
            assert_eq!(group, format!("localhost:99{rest}"));
        }
    }
}

/// XPN-08, DIR-093, REQ-600: script names in group names, and paths in names of modules, without regard to case.
#[test]
fn case_of_script_names() {
    let server = Site::embedded()
        .without_application_group()
        .shared("environ.wsgi")
        .script(
            "/Module",
            "import hashlib

def application(environ, start_response):
    path = environ['SCRIPT_FILENAME']
    expected = '_mod_wsgi_' + hashlib.md5(path.lower().encode()).hexdigest()
    start_response('200 OK', [])
    return [repr([path.lower() != path, __name__ == expected, __file__ == path]).encode()]
",
        )
        .config("WSGICaseSensitivity Off\nUseCanonicalName On\nWSGIScriptAlias /App {apps}/environ.wsgi")
        .start();
    let group = environ(&server, "/App").unquoted("mod_wsgi.application_group");
    assert!(group.ends_with("|/app"), "{group}");
    let told = server.get("/Module").expect(200).text();
    assert_eq!(told, "[True, True, True]");
}
