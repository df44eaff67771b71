//! Which callable of which script runs: names that are not there, handler scripts with names of built-in handlers.

use wsgi_harness::{Mode, Mpm, Server, Site, matrix, subject, wait_until};

/// Asserts that the callable of that name is not found, and that the log says which.
#[track_caller]
fn missing(server: &Server, path: &str, name: &str) {
    let before = server.log().count("WSGI0089");
    let ours = subject().differs("REQ-470") || server.mode() == Mode::Embedded;
    server.get(path).expect(if ours { 404 } else { 500 });
    let records = server.wait_for_logs("WSGI0089", before + 1);
    let record = &records[before];
    assert!(record.contains(&format!("'{name}'")), "{}", record.line);
    server.allow_log("WSGI0089");
}

/// DIR-030, DIR-032, REQ-470, XPN-23, XPN-24: the name is one attribute of the module, whatever it is, and an alias takes it as it is
/// written.
fn names_of_callables(mpm: Mpm, mode: Mode) {
    let server = Site::new(mpm, mode)
        .modules(&["env"])
        .file(
            "apps/app.wsgi",
            "def answer(text):
    def run(environ, start_response):
        start_response('200 OK', [])
        return [text.encode()]
    return run

class holder:
    app = answer('inner')

application = answer('application')
other = answer('other')
globals()['two words'] = answer('two words')
globals()['a.b'] = answer('a.b')
globals()['%{ENV:FOUND}'] = answer('literal')
",
        )
        .config(
            "SetEnv NAME other
            SetEnv FORM %{ENV:FOUND}
            SetEnv GLOBAL %{GLOBAL}
            WSGIScriptAlias /option-expanded {apps}/app.wsgi callable-object=%{ENV:NAME}
            WSGIScriptAlias /option-literal {apps}/app.wsgi callable-object=%{ENV:FOUND}
            WSGIScriptAlias /option-dotted {apps}/app.wsgi callable-object=holder.app
            WSGIScriptAlias /option-words {apps}/app.wsgi callable-object='two words'
            WSGIScriptAlias /app {apps}/app.wsgi
            <Location /app/expanded>\nWSGICallableObject %{ENV:NAME}\n</Location>
            <Location /app/form>\nWSGICallableObject %{ENV:FORM}\n</Location>
            <Location /app/global>\nWSGICallableObject %{ENV:GLOBAL}\n</Location>
            <Location /app/nothing>\nWSGICallableObject %{ENV:NOTHING}\n</Location>
            <Location /app/dotted>\nWSGICallableObject holder.app\n</Location>
            <Location /app/with-dot>\nWSGICallableObject a.b\n</Location>
            <Location /app/words>\nWSGICallableObject 'two words'\n</Location>
            <Location /app/missing>\nWSGICallableObject missing\n</Location>",
        )
        .start();
    for (path, text) in [
        ("/app", "application"),
        ("/app/expanded", "other"),
        // XPN-23: what a variable says is a name, and no form again.
        ("/app/form", "literal"),
        ("/app/nothing", "application"),
        ("/app/with-dot", "a.b"),
        ("/app/words", "two words"),
        ("/option-words", "two words"),
        ("/option-literal", "literal"),
    ] {
        assert_eq!(server.get(path).expect(200).text(), text, "{path}");
    }
    missing(&server, "/app/global", "%{GLOBAL}");
    missing(&server, "/app/dotted", "holder.app");
    missing(&server, "/app/missing", "missing");
    missing(&server, "/option-dotted", "holder.app");
    missing(&server, "/option-expanded", "%{ENV:NAME}");
}
matrix!(names_of_callables: event);

/// DIR-021, DIR-023, DIR-024, REQ-001: the built-in handlers stay what they are; others are found by whatever names them, and are
/// loaded by the first request, once, whatever becomes of the file that was asked for.
fn handlers(mpm: Mpm, mode: Mode) {
    let own = "def application(e, s):\n    s('200 OK', [])\n    return [b'its own']\n";
    let group = match mode {
        Mode::Embedded => "%{GLOBAL}",
        Mode::Daemon => "live",
    };
    let server = Site::new(mpm, mode)
        .daemon_options("processes=1 threads=2")
        .modules(&["mime", "rewrite"])
        .file("mime.types", "")
        .config("ServerLimit 1\nMaxRequestWorkers 16")
        .file(
            "apps/handler.wsgi",
            "with open('{data}/loaded', 'a') as log:
    log.write('x')

import os
def handle_request(e, s):
    s('200 OK', [])
    return [('handler %d' % os.getpid()).encode()]
",
        )
        .file("htdocs/own.special", own)
        .file("htdocs/own.typed", own)
        .file("htdocs/page.other", "content")
        .config(&format!(
            "TypesConfig {{dir}}/mime.types
            WSGIHandlerScript wsgi-script {{apps}}/handler.wsgi
            WSGIHandlerScript application/x-httpd-wsgi {{apps}}/handler.wsgi
            WSGIHandlerScript mine {{apps}}/handler.wsgi process-group={group} application-group=%{{GLOBAL}}
            AddHandler wsgi-script .special
            AddHandler mine .other
            RewriteEngine On
            RewriteRule ^/typed$ {{htdocs}}/own.typed [H=application/x-httpd-wsgi]
            RewriteRule ^/by-rule - [H=mine]
            <Location /by-location>\nSetHandler mine\n</Location>
            <Directory {{htdocs}}>\nOptions ExecCGI\n</Directory>"
        ))
        .start();
    let loaded = || std::fs::read_to_string(server.path("data/loaded")).unwrap_or_default();
    for path in ["/own.special", "/typed"] {
        assert_eq!(server.get(path).expect(200).text(), "its own", "{path}");
    }
    assert_eq!(loaded(), "", "the process serves, and did not load it");
    let first = server.get("/page.other").expect(200).text();
    assert!(first.starts_with("handler "), "{first}");
    // Also where no file is.
    for path in [
        "/by-location/no/such/file",
        "/by-rule",
        "/by-rule/no/such/file",
    ] {
        assert_eq!(server.get(path).expect(200).text(), first, "{path}");
    }
    server.write("htdocs/page.other", "newer content");
    server.touch("htdocs/page.other");
    assert_eq!(server.get("/page.other").expect(200).text(), first);
    assert_eq!(loaded(), "x");
    server.touch("apps/handler.wsgi");
    wait_until("the handler to be loaded again", || {
        server.get("/page.other").expect(200);
        (loaded() == "xx").then_some(())
    });
}
matrix!(handlers: event);
