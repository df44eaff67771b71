//! Settings of virtual hosts and of interpreters, as a running server has them.

use wsgi_harness::{Request, Server};

use super::*;

fn line(server: &Server, index: usize, path: &str, key: &str) -> String {
    let request = Request::get(path).host("same.example");
    let answer = server.connect_to(index).send(&request).expect(200);
    answer.line(key).expect(key).trim_matches('\'').to_owned()
}

/// DIR-041: the names of virtual hosts are compared as they are in the end: a ServerName may stand behind the group.
#[test]
fn groups_of_hosts_that_are_named_later() {
    let server = Site::embedded()
        .shared("environ.wsgi")
        .config(
            "Listen 127.0.0.1:{port2}
            Listen 127.0.0.1:{port3}
            WSGIScriptAlias /main {apps}/environ.wsgi
            WSGIApplicationGroup %{GLOBAL}
            <VirtualHost 127.0.0.1:{port2}>
                WSGIDaemonProcess late threads=2
                WSGIProcessGroup late
                ServerName same.example
            </VirtualHost>
            <VirtualHost 127.0.0.1:{port3}>
                WSGIProcessGroup late
                ServerName same.example
            </VirtualHost>",
        )
        .start();
    for index in [1, 2] {
        let found = line(&server, index, "/main", "mod_wsgi.process_group");
        assert_eq!(found, "late", "port {index}");
    }
}

/// DIR-041: httpd gives a name to virtual hosts without ServerName, for all addresses that of the main server.
#[test]
fn groups_of_hosts_without_a_name() {
    let server = Site::embedded()
        .shared("environ.wsgi")
        .config(
            "Listen 127.0.0.1:{port2}
            Listen 127.0.0.1:{port3}
            WSGIScriptAlias /main {apps}/environ.wsgi
            WSGIApplicationGroup %{GLOBAL}
            <VirtualHost *:{port2}>
                WSGIDaemonProcess nameless threads=2
                WSGIProcessGroup nameless
            </VirtualHost>
            <VirtualHost *:{port3}>
                WSGIProcessGroup nameless
            </VirtualHost>",
        )
        .start();
    for index in [1, 2] {
        let found = line(&server, index, "/main", "mod_wsgi.process_group");
        assert_eq!(found, "nameless", "port {index}");
    }
}

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
