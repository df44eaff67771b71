//! Groups, and embedded mode, that a request may not use.

use wsgi_harness::{Request, Site, subject};

/// DIR-040, DIR-041, DIR-043, DMN-005, DMN-063, DMN-201, DMN-202, DMN-203, DMN-204, DMN-644, MRG-04, MRG-05, REQ-300,
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
                WSGIRestrictProcess theirs
                <Location /inner>\nWSGIRestrictProcess live\n</Location>
                <Location /inner/live>\nWSGIProcessGroup live\n</Location>
                <Location /inner/again>\nWSGIRestrictProcess theirs\n</Location>
                <Location /inner/again/live>\nWSGIProcessGroup live\n</Location>
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
    let embedded = server.get("/replaced/embedded").expect(200);
    assert_eq!(embedded.unquoted("mod_wsgi.process_group"), "");
    assert_eq!(status("/nothing"), 500);
    // A group of a virtual host: for servers of the same name, on whatever port.
    for index in [1, 2] {
        let answer = server
            .connect_to(index)
            .send(&Request::get("/").host("second.example"))
            .expect(200);
        assert_eq!(answer.unquoted("mod_wsgi.process_group"), "theirs");
    }
    let main = server
        .connect_to(1)
        .send(&Request::get("/main").host("second.example"))
        .expect(200);
    assert_eq!(main.unquoted("mod_wsgi.process_group"), "live");
    // The list of a section stands for that around it, not beside it.
    for (path, expected) in [
        ("/inner", 500),
        ("/inner/live", 200),
        ("/inner/again", 200),
        ("/inner/again/live", 500),
    ] {
        let request = Request::get(path).host("second.example");
        assert_eq!(
            server.connect_to(2).send(&request).status,
            expected,
            "{path}"
        );
    }
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

/// DIR-110, DMN-064, REQ-301, GEN-03: no Python in httpd's children, which name it all the same.
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
    let banner = server.get("/").expect(200);
    let banner = banner.header("Server").unwrap_or_default();
    assert!(banner.contains(" Python/3."), "GEN-03: {banner}");
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
