//! What Debian's packages ship.

use std::process::Command;

use wsgi_harness::{Request, Site};

use super::packages::package;
use super::{accepted, routes, site};

/// A certificate for configurations that want one.
fn certificate(site: &Site, certificate: &str, key: &str) {
    let (certificate, key) = (
        site.path(&format!("root{certificate}")),
        site.path(&format!("root{key}")),
    );
    for path in [&certificate, &key] {
        std::fs::create_dir_all(path.parent().expect("a file lies in a folder"))
            .expect("folders of the site can be made");
    }
    let made = Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-days",
            "2",
            "-subj",
            "/CN=localhost",
            "-keyout",
        ])
        .arg(&key)
        .arg("-out")
        .arg(&certificate)
        .output();
    match made {
        Ok(done) if done.status.success() => {}
        Ok(done) => panic!("{}", String::from_utf8_lossy(&done.stderr)),
        Err(error) => panic!("openssl: {error}"),
    }
}

/// DIR-001, DIR-013, DIR-076, DP-20: graphite-web.
#[test]
fn graphite_web() {
    let Some(package) = package("graphite-web") else {
        return;
    };
    let text = package.text("usr/share/graphite-web/apache2-graphite.conf");
    let site = site(&text, &["/usr/share/graphite-web/graphite.wsgi"]);
    accepted(&site);
    let server = site.start();
    routes(
        &server,
        "localhost",
        &[
            (0, "/", "_graphite", "localhost:{port}|", "", "/"),
            (
                0,
                "/render/?x=1",
                "_graphite",
                "localhost:{port}|",
                "",
                "/render/",
            ),
        ],
    );
}

/// DIR-001, DIR-040: openstack-dashboard-apache names a group that nothing uses, and runs embedded.
#[test]
fn openstack_dashboard() {
    let Some(package) = package("openstack-dashboard-apache") else {
        return;
    };
    let sites = "etc/apache2/sites-available/openstack-dashboard";
    let script = ["/usr/share/openstack-dashboard/wsgi.py"];
    let rooted = site(&package.text(&format!("{sites}.conf")), &script);
    accepted(&rooted);
    let server = rooted.start();
    routes(
        &server,
        "localhost",
        &[(
            0,
            "/auth/login/",
            "",
            "localhost:{port}|",
            "",
            "/auth/login/",
        )],
    );
    drop(server);
    let below = site(&package.text(&format!("{sites}-alias-only.conf")), &script);
    let server = below.start();
    routes(
        &server,
        "localhost",
        &[
            (
                0,
                "/horizon",
                "",
                "localhost:{port}|/horizon",
                "/horizon",
                "",
            ),
            (
                0,
                "/horizon/a//b",
                "",
                "localhost:{port}|/horizon",
                "/horizon",
                "/a/b",
            ),
        ],
    );
    assert_eq!(server.get("/horizon/static/none").status, 404);
    drop(server);
    let ssl = site(&package.text(&format!("{sites}-ssl.conf")), &script);
    certificate(
        &ssl,
        "/etc/ssl/certs/ssl-cert-snakeoil.pem",
        "/etc/ssl/private/ssl-cert-snakeoil.key",
    );
    accepted(&ssl);
    accepted(&site(
        &package.text(&format!("{sites}-ssl-redirect.conf")),
        &script,
    ));
}

/// DIR-013, MRG-10: wims-lti; its WSGIProcessGroup names no group, which the alias's own option makes good.
#[test]
fn wims_lti() {
    let Some(package) = package("wims-lti") else {
        return;
    };
    let text = package.text("etc/apache2/sites-available/wims-lti-django.conf-dist");
    let site = site(&text, &["/var/lib/wims-lti/wimsLTI/wsgi.py"]);
    accepted(&site);
    let server = site.start();
    server.allow_log("WSGI5034: the process group 'wims-lti'");
    for port in [0, 1] {
        routes(
            &server,
            "SERVERNAME",
            &[(port, "/lti/x", "wimslti", "", "", "/lti/x")],
        );
    }
}

/// DIR-001, DIR-120, DP-20: x2gobroker-wsgi; credentials reach the application.
#[test]
fn x2gobroker() {
    let Some(package) = package("x2gobroker-wsgi") else {
        return;
    };
    let text = package.text("etc/x2go/x2gobroker-wsgi.apache.conf");
    let site_of = |text: &str| site(text, &["/usr/lib/x2gobroker/wsgi/x2gobroker-wsgi"]);
    let configured = site_of(&text);
    accepted(&configured);
    let server = configured.start();
    let group = "localhost:{port}|/x2gobroker";
    routes(
        &server,
        "localhost",
        &[(
            0,
            "/x2gobroker/plain/",
            "x2gobroker",
            group,
            "/x2gobroker",
            "/plain/",
        )],
    );
    let request = Request::get("/x2gobroker").header("Authorization", "Basic eDp5");
    let answer = server.send(&request).expect(200);
    assert_eq!(
        answer.line("HTTP_AUTHORIZATION").as_deref(),
        Some("Basic eDp5")
    );
    drop(server);
    let host = site_of(&package.text("etc/x2go/x2gobroker-wsgi.apache.vhost"));
    certificate(
        &host,
        "/etc/x2go/broker/ssl/broker.crt",
        "/etc/x2go/broker/ssl/broker.key",
    );
    accepted(&host);
}

/// DIR-001, MRG-03: supysonic; its sections are for another folder than the script's.
#[test]
fn supysonic() {
    let Some(package) = package("supysonic") else {
        return;
    };
    let text = package.text("usr/share/doc/supysonic/examples/apache.conf");
    let site = site(&text, &["/usr/share/doc/supysonic/examples/supysonic.wsgi"]);
    accepted(&site);
    let server = site.start();
    let group = "supysonic.fqdn.net:{port}|";
    routes(
        &server,
        "supysonic.fqdn.net",
        &[(0, "/rest/ping.view", "", group, "", "/rest/ping.view")],
    );
}

/// DIR-001, DIR-005: pywps-wsgi.
#[test]
fn pywps() {
    let Some(package) = package("pywps-wsgi") else {
        return;
    };
    let text = package.text("etc/apache2/conf-available/pywps-wsgi.conf");
    let site = site(&text, &["/usr/share/pywps/wps.py"]);
    accepted(&site);
    let server = site.start();
    let group = "localhost:{port}|/pywps/wps.py";
    routes(
        &server,
        "localhost",
        &[
            (
                0,
                "/pywps/wps.py?service=WPS",
                "",
                group,
                "/pywps/wps.py",
                "",
            ),
            (0, "/pywps//wps.py/x", "", group, "/pywps/wps.py", "/x"),
        ],
    );
    assert_eq!(server.get("/pywps/wps.pyx").status, 404);
}
