//! Which of several settings counts.

use wsgi_harness::{Mode, Mpm, Request, Site, matrix};

use super::environ;

fn handler(text: &str) -> String {
    format!("def handle_request(e, s):\n    s('200 OK', [])\n    return [b'{text}']\n")
}

/// DOC-03, DIR-011, DIR-021, DIR-022, DIR-023, DIR-031, MRG-01, MRG-03, MRG-10, ENV-51, ENV-52, ENV-53, REQ-650: which of several
/// settings counts.
fn which_setting_counts(mpm: Mpm, mode: Mode) {
    let server = Site::new(mpm, mode)
        .modules(&["alias"])
        .shared("environ.wsgi")
        .file(
            "apps/handler.wsgi",
            &format!("{}\nhandle_request = application\n", include_str!("../apps/environ.wsgi")),
        )
        .file("htdocs/page.html", "never shown")
        .config(
            "WSGIDaemonProcess other processes=1 threads=2
            WSGIDaemonProcess third processes=1 threads=2
            WSGIHandlerScript my-handler {apps}/handler.wsgi
            WSGIHandlerScript grouped {apps}/handler.wsgi process-group=third application-group=handlers
            WSGIScriptAlias /inherits {apps}/environ.wsgi
            WSGIScriptAlias /option {apps}/environ.wsgi process-group=other application-group=by-option callable-object=other pass-authorization=on
            WSGIScriptAlias /withheld {apps}/environ.wsgi pass-authorization=off
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
            <Location /withheld>
                WSGIPassAuthorization On
            </Location>
            <Location /handled>
                SetHandler my-handler
                WSGIApplicationGroup for-handlers
            </Location>
            <Location /grouped>
                SetHandler grouped
                WSGIProcessGroup other
                WSGIApplicationGroup by-location
            </Location>",
        )
        .start();
    let base = if mode == Mode::Daemon { "live" } else { "" };
    for (path, process, application, callable, authorization) in [
        ("/inherits", base, "", "application", false),
        ("/inherits/deep", "other", "by-location", "other", true),
        ("/inherits/deep/back", "other", "", "other", false),
        ("/option", "other", "by-option", "other", true),
        ("/withheld", base, "", "application", false),
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
            .map(|key| answer.unquoted(&format!("mod_wsgi.{key}")));
        assert_eq!(found, [process, application, callable], "{path}");
        assert_eq!(
            answer.line("HTTP_AUTHORIZATION").is_some(),
            authorization,
            "{path}"
        );
    }
    let handled = environ(&server, "/handled/no/such/file");
    assert_eq!(handled.unquoted("mod_wsgi.request_handler"), "my-handler");
    assert_eq!(
        handled.unquoted("mod_wsgi.handler_script"),
        server.fill("{apps}/handler.wsgi")
    );
    assert_eq!(
        handled.unquoted("SCRIPT_FILENAME"),
        server.fill("{htdocs}/handled")
    );
    let plain = environ(&server, "/inherits");
    assert_eq!(plain.unquoted("mod_wsgi.request_handler"), "wsgi-script");
    assert_eq!(plain.unquoted("mod_wsgi.handler_script"), "");
}
matrix!(which_setting_counts: event);

/// MRG-01, MRG-02, MRG-06, MRG-07, MRG-08: virtual hosts inherit, override, and are asked before the main server.
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
            <Location /main/as-by-default>\nWSGIPassAuthorization Off\nWSGICallableObject application\n</Location>
            <VirtualHost 127.0.0.1:{port2}>
                ServerName second.example
                WSGIPassAuthorization Off
                WSGIHandlerScript replaced {apps}/two.wsgi
                WSGIScriptAlias /both {apps}/hello.wsgi
                WSGIScriptAlias /own {apps}/hello.wsgi
                <Location /shared>\nSetHandler shared\n</Location>
                <Location /replaced>\nSetHandler replaced\n</Location>
                <Location /main/passed>\nWSGIPassAuthorization On\n</Location>
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
    // A value that is the default counts like any other.
    let by_default = ask(0, "/main/as-by-default").expect(200);
    assert_eq!(
        by_default.unquoted("mod_wsgi.callable_object"),
        "application"
    );
    assert_eq!(by_default.line("HTTP_AUTHORIZATION"), None);
    let passed = ask(1, "/main/passed").expect(200);
    assert!(passed.line("HTTP_AUTHORIZATION").is_some());
    // The alias of the virtual host shadows the main server's, with the inherited callable missing in hello.wsgi.
    assert_eq!(ask(1, "/both").status, 404);
    server.expect_log("WSGI0089");
    let inherited = ask(1, "/main").expect(200);
    assert_eq!(inherited.unquoted("mod_wsgi.callable_object"), "other");
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
