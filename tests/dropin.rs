//! Configurations of the world, unchanged but for their paths, ports and users: those that Debian's packages ship (fetched from
//! the distribution, and skipped with a message where it cannot be reached), and others written here in the manner of FreeIPA,
//! keystone, koji, cobbler and Copr. They load and route as under mod_wsgi; the same test runs against the original.
//!
//! The scripts they name are replaced by one that tells where it runs. Paths such as `/usr/share/x` lie below the server's
//! folder, `*:80` and `*:443` are the server's ports, and users that this machine lacks are the one that Apache runs as.

use std::process::Command;

use tempfile::TempDir;
use wsgi_harness::{Request, Server, Site, is_root, subject, unprivileged_user};

/// Tells where it runs.
const TELLTALE: &str = r#"
def application(environ, start_response):
    names = ["mod_wsgi.process_group", "mod_wsgi.application_group", "SCRIPT_NAME", "PATH_INFO", "HTTP_AUTHORIZATION"]
    text = "".join("%s\t%s\n" % (name, environ.get(name, "-")) for name in names)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [text.encode("latin-1")]
"#;

/// Folders of a system that are moved below the server's own.
const MOVED: [&str; 10] = [
    "/usr/share/",
    "/usr/lib/",
    "/usr/bin/",
    "/var/lib/",
    "/var/log/",
    "/var/www",
    "/srv/",
    "/etc/ssl/",
    "/etc/x2go/",
    "/opt/",
];

/// A configuration of the system as one of this server: its paths, ports and users.
fn moved(text: &str) -> String {
    let mut lines: Vec<String> = Vec::new();
    for line in text.lines() {
        let mut line = line
            .replace("*:80>", "*:{port}>")
            .replace("*:443>", "*:{port2}>");
        for folder in MOVED {
            for before in [" ", "\t", "\"", "'", "="] {
                line = line.replace(
                    &format!("{before}{folder}"),
                    &format!("{before}{{dir}}/root{folder}"),
                );
            }
        }
        lines.push(if line.trim_start().starts_with("WSGIDaemonProcess") {
            with_own_users(&line)
        } else {
            line
        });
    }
    lines.join("\n")
}

/// `user=` and `group=` of this machine. Only root may change to others.
fn with_own_users(line: &str) -> String {
    let user = unprivileged_user();
    let words = line
        .split(' ')
        .filter_map(|word| match word.split_once('=') {
            Some(("user" | "group", _)) if !is_root() => None,
            Some(("user", _)) => Some(format!("user={}", user.name)),
            Some(("group", _)) => Some(format!("group=#{}", user.gid)),
            _ => Some(word.to_owned()),
        });
    words.collect::<Vec<_>>().join(" ")
}

/// A site with this configuration, whose scripts tell where they run.
fn site(configuration: &str, scripts: &[&str]) -> Site {
    let mut site = Site::embedded()
        .file("mime.types", "text/plain txt\n")
        .without_application_group()
        .modules(&[
            "alias",
            "access_compat",
            "authz_host",
            "cgid",
            "env",
            "headers",
            "mime",
            "dir",
            "negotiation",
            "rewrite",
            "setenvif",
            "version",
        ])
        // Only where it is used: it has much to say in the log.
        .modules(if configuration.contains("SSLEngine") {
            &["socache_shmcb", "ssl"]
        } else {
            &[]
        })
        .config("Define APACHE_LOG_DIR {dir}\nListen 127.0.0.1:{port2}\nListen 127.0.0.1:{port3}");
    for folder in [
        "usr/share/supysonic",
        "var/log/apache2",
        "var/log/openstack-dashboard",
        "var/log/httpd",
        "var/www",
    ] {
        site = site.file(&format!("root/{folder}/.here"), "");
    }
    for script in scripts {
        site = site.file(&format!("root{script}"), TELLTALE);
    }
    site.file("extra.conf", &moved(configuration))
        .config("Include {dir}/extra.conf")
}

/// What a request has to find: port, URL, process group, application group, SCRIPT_NAME, PATH_INFO.
type Row = (
    usize,
    &'static str,
    &'static str,
    &'static str,
    &'static str,
    &'static str,
);

/// Asks for each row, with credentials, and compares.
#[track_caller]
fn routes(server: &Server, host: &str, rows: &[Row]) {
    let mut wrong = Vec::new();
    for (port, url, process, application, script_name, path_info) in rows {
        // With its port: the original takes that from here (XPN-07).
        let host = format!("{host}:{}", server.address_of(*port).port());
        let request = Request::get(url)
            .host(&host)
            .header("Authorization", "Basic eDp5");
        let answer = server.connect_to(*port).send(&request);
        let expected = format!(
            "mod_wsgi.process_group\t{process}\nmod_wsgi.application_group\t{}\nSCRIPT_NAME\t{script_name}\nPATH_INFO\t{path_info}\n",
            server.fill(application)
        );
        if answer.status != 200 || !answer.text().starts_with(&expected) {
            wrong.push(format!(
                "{url}: expected\n{expected}got {}\n",
                answer.shown()
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A package of the distribution, unpacked; None, with the reason printed, where it cannot be had.
fn package(name: &str) -> Option<TempDir> {
    let folder = tempfile::tempdir().expect("a folder in /tmp");
    let run = |program: &str, arguments: &[&str]| {
        let mut command = Command::new(program);
        command.args(arguments).current_dir(folder.path());
        match command.output() {
            Ok(done) if done.status.success() => Ok(()),
            Ok(done) => Err(String::from_utf8_lossy(&done.stderr).trim().to_owned()),
            Err(error) => Err(format!("{program}: {error}")),
        }
    };
    let options = [
        "-q",
        "-o",
        "Acquire::http::Timeout=20",
        "-o",
        "Acquire::Retries=1",
        "download",
        name,
    ];
    let unpacked = run("apt-get", &options).and_then(|()| {
        let file = std::fs::read_dir(folder.path())
            .expect("the folder is there")
            .flatten()
            .map(|entry| entry.path())
            .find(|path| path.extension().is_some_and(|extension| extension == "deb"))
            .ok_or("apt-get brought no package")?;
        run("dpkg-deb", &["-x", &file.to_string_lossy(), "."])
    });
    match unpacked {
        Ok(()) => Some(folder),
        Err(why) => {
            println!("skipped: the package {name} cannot be fetched: {why}");
            None
        }
    }
}

/// The text of a file of a package.
#[track_caller]
fn shipped(package: &TempDir, file: &str) -> String {
    let path = package.path().join(file);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A certificate for configurations that want one; false where openssl is missing.
fn certificate(site: &Site, certificate: &str, key: &str) -> bool {
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
        Ok(done) if done.status.success() => true,
        Ok(done) => panic!("{}", String::from_utf8_lossy(&done.stderr)),
        Err(error) => {
            println!("skipped: openssl: {error}");
            false
        }
    }
}

#[track_caller]
fn accepted(site: &Site) {
    let checked = site.check();
    assert!(checked.accepted, "{}", checked.output);
}

/// DIR-001, DIR-013, DIR-076, DP-20: graphite-web.
#[test]
fn graphite_web() {
    let Some(package) = package("graphite-web") else {
        return;
    };
    let text = shipped(&package, "usr/share/graphite-web/apache2-graphite.conf");
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
    let rooted = site(&shipped(&package, &format!("{sites}.conf")), &script);
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
    let below = site(
        &shipped(&package, &format!("{sites}-alias-only.conf")),
        &script,
    );
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
    let ssl = site(&shipped(&package, &format!("{sites}-ssl.conf")), &script);
    if certificate(
        &ssl,
        "/etc/ssl/certs/ssl-cert-snakeoil.pem",
        "/etc/ssl/private/ssl-cert-snakeoil.key",
    ) {
        accepted(&ssl);
    }
    accepted(&site(
        &shipped(&package, &format!("{sites}-ssl-redirect.conf")),
        &script,
    ));
}

/// DIR-013, MRG-10: wims-lti; its WSGIProcessGroup names no group, which the alias's own option makes good.
#[test]
fn wims_lti() {
    let Some(package) = package("wims-lti") else {
        return;
    };
    let text = shipped(
        &package,
        "etc/apache2/sites-available/wims-lti-django.conf-dist",
    );
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
    let text = shipped(&package, "etc/x2go/x2gobroker-wsgi.apache.conf");
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
    let host = site_of(&shipped(&package, "etc/x2go/x2gobroker-wsgi.apache.vhost"));
    if certificate(
        &host,
        "/etc/x2go/broker/ssl/broker.crt",
        "/etc/x2go/broker/ssl/broker.key",
    ) {
        accepted(&host);
    }
}

/// DIR-001, MRG-03: supysonic; its sections are for another folder than the script's.
#[test]
fn supysonic() {
    let Some(package) = package("supysonic") else {
        return;
    };
    let text = shipped(&package, "usr/share/doc/supysonic/examples/apache.conf");
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
    let text = shipped(&package, "etc/apache2/conf-available/pywps-wsgi.conf");
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

/// DIR-020, DIR-021, DIR-042, DIR-076, DIR-077, MRG-03: groups and interpreters by `<Location>`, scripts loaded at start, a script of a
/// folder with ExecCGI, as FreeIPA has them.
#[test]
fn in_the_manner_of_freeipa() {
    let text = "\
WSGIDaemonProcess ipa processes=2 threads=1 maximum-requests=500 user=ipaapi group=ipaapi display-name=%{GROUP} \
socket-timeout=2147483647 lang=C.UTF-8 locale=C.UTF-8
WSGIImportScript /usr/share/ipa/wsgi.py process-group=ipa application-group=ipa
WSGIScriptAlias /ipa /usr/share/ipa/wsgi.py
WSGIScriptReloading Off
WSGIDaemonProcess kdcproxy processes=2 threads=15 maximum-requests=1000 user=kdcproxy group=kdcproxy display-name=%{GROUP}
WSGIImportScript /usr/lib/python3/kdcproxy/__init__.py process-group=kdcproxy application-group=kdcproxy
WSGIScriptAlias /KdcProxy /usr/lib/python3/kdcproxy/__init__.py
WSGIScriptReloading Off
<Location \"/ipa\">
  WSGIProcessGroup ipa
  WSGIApplicationGroup ipa
  Header always append X-Frame-Options DENY
</Location>
<Location \"/KdcProxy\">
  Satisfy Any
  Order Deny,Allow
  Allow from all
  WSGIProcessGroup kdcproxy
  WSGIApplicationGroup kdcproxy
</Location>
Alias /ipa/errors \"/usr/share/ipa/html\"
Alias /ipa/migration \"/usr/share/ipa/migration\"
<Directory \"/usr/share/ipa/migration\">
    AllowOverride None
    Satisfy Any
    Options ExecCGI
    AddHandler wsgi-script .py
</Directory>
";
    let scripts = [
        "/usr/share/ipa/wsgi.py",
        "/usr/lib/python3/kdcproxy/__init__.py",
        "/usr/share/ipa/migration/migration.py",
    ];
    let site = site(text, &scripts);
    accepted(&site);
    let server = site.start();
    routes(
        &server,
        "localhost",
        &[
            (
                0,
                "/ipa/session/json",
                "ipa",
                "ipa",
                "/ipa",
                "/session/json",
            ),
            (0, "/KdcProxy", "kdcproxy", "kdcproxy", "/KdcProxy", ""),
            (
                0,
                "/ipa/migration/migration.py/x",
                "ipa",
                "ipa",
                "/ipa/migration/migration.py",
                "/x",
            ),
        ],
    );
    assert_eq!(server.get("/ipa").header("X-Frame-Options"), Some("DENY"));
}

/// DIR-041, DMN-204: groups of virtual hosts, and the way in through another port, as keystone has them. The hosts have no
/// ServerName, so that all are the main server's.
#[test]
fn in_the_manner_of_keystone() {
    let text = "\
<VirtualHost *:80>
    WSGIDaemonProcess keystone-public processes=2 threads=1 user=keystone group=keystone display-name=%{GROUP}
    WSGIProcessGroup keystone-public
    WSGIScriptAlias / /usr/bin/keystone-wsgi-public
    WSGIApplicationGroup %{GLOBAL}
    WSGIPassAuthorization On
    LimitRequestBody 114688
    <IfVersion >= 2.4>
      ErrorLogFormat \"%{cu}t %M\"
    </IfVersion>
    ErrorLog /var/log/apache2/keystone.log
    <Directory /usr/bin>
        <IfVersion >= 2.4>
            Require all granted
        </IfVersion>
    </Directory>
</VirtualHost>
<VirtualHost *:443>
    WSGIDaemonProcess keystone-admin processes=2 threads=1 user=keystone group=keystone display-name=%{GROUP}
    WSGIProcessGroup keystone-admin
    WSGIScriptAlias / /usr/bin/keystone-wsgi-admin
    WSGIApplicationGroup %{GLOBAL}
    WSGIPassAuthorization On
</VirtualHost>
Alias /identity /usr/bin/keystone-wsgi-public
<Location /identity>
    SetHandler wsgi-script
    Options +ExecCGI
    WSGIProcessGroup keystone-public
    WSGIApplicationGroup %{GLOBAL}
    WSGIPassAuthorization On
</Location>
Alias /identity_admin /usr/bin/keystone-wsgi-admin
<Location /identity_admin>
    SetHandler wsgi-script
    Options +ExecCGI
    WSGIProcessGroup keystone-admin
    WSGIApplicationGroup %{GLOBAL}
    WSGIPassAuthorization On
</Location>
";
    let scripts = [
        "/usr/bin/keystone-wsgi-public",
        "/usr/bin/keystone-wsgi-admin",
    ];
    let site = site(text, &scripts);
    accepted(&site);
    let server = site.start();
    routes(
        &server,
        "localhost",
        &[
            (
                0,
                "/v3/auth/tokens",
                "keystone-public",
                "",
                "",
                "/v3/auth/tokens",
            ),
            (1, "/v3", "keystone-admin", "", "", "/v3"),
            (0, "/identity/v3", "keystone-public", "", "/identity", "/v3"),
            (
                1,
                "/identity_admin/v3",
                "keystone-admin",
                "",
                "/identity_admin",
                "/v3",
            ),
            (2, "/identity/v3", "keystone-public", "", "/identity", "/v3"),
        ],
    );
}

/// DIR-030, REQ-001: scripts by Alias and SetHandler, as koji's hub and web have them.
#[test]
fn in_the_manner_of_koji() {
    let text = "\
Alias /koji \"/usr/share/koji-web/scripts/wsgi_publisher.py\"
<Directory \"/usr/share/koji-web/scripts/\">
    Options ExecCGI
    SetHandler wsgi-script
    WSGIApplicationGroup %{GLOBAL}
    <IfVersion >= 2.4>
        Require all granted
    </IfVersion>
</Directory>
Alias /koji-static/ \"/usr/share/koji-web/static/\"
Alias /kojihub /usr/share/koji-hub/kojiapp.py
<Directory \"/usr/share/koji-hub\">
    Options ExecCGI
    SetHandler wsgi-script
    WSGIApplicationGroup %{GLOBAL}
    WSGIPassAuthorization On
    Require all granted
</Directory>
<Location /kojihub/ssllogin>
    SetEnvIf User-Agent \"^none\" no_user
</Location>
";
    let site = site(
        text,
        &[
            "/usr/share/koji-web/scripts/wsgi_publisher.py",
            "/usr/share/koji-hub/kojiapp.py",
        ],
    );
    accepted(&site);
    let server = site.start();
    routes(
        &server,
        "localhost",
        &[
            (
                0,
                "/koji/buildinfo?buildID=1",
                "",
                "",
                "/koji",
                "/buildinfo",
            ),
            (0, "/kojihub", "", "", "/kojihub", ""),
            (0, "/kojihub/ssllogin", "", "", "/kojihub", "/ssllogin"),
        ],
    );
    assert_eq!(server.get("/koji-static/none").status, 404);
}

/// DIR-002, DIR-007, DIR-020: expressions and a folder of its own, as cobbler has them.
#[test]
fn in_the_manner_of_cobbler() {
    let text = "\
AliasMatch ^/cblr(?!/svc/)(.*)?$ \"/var/www/cobbler$1\"
AliasMatch ^/cobbler(?!_web|_api)(.*)?$ \"/var/www/cobbler$1\"
WSGIScriptAliasMatch ^/cblr/svc/([^/]*) /var/www/cobbler/svc/services.py
<VirtualHost *:80>
    SetEnv VIRTUALENV
    WSGIPassAuthorization On
    WSGIDaemonProcess cobbler_web display-name=%{GROUP}
    WSGIProcessGroup cobbler_web
    WSGIScriptAlias /cobbler_web /usr/share/cobbler/web/cobbler.wsgi
    RewriteEngine on
    RewriteRule ^/cobbler_web$ - [E=seen:1]
    <Directory \"/usr/share/cobbler/web/\">
        Options Indexes FollowSymLinks
        AllowOverride None
        Require all granted
    </Directory>
</VirtualHost>
<Directory \"/var/www/cobbler/svc/\">
    Options Indexes FollowSymLinks
    AllowOverride None
    Require all granted
</Directory>
";
    let site = site(
        text,
        &[
            "/var/www/cobbler/svc/services.py",
            "/usr/share/cobbler/web/cobbler.wsgi",
        ],
    );
    accepted(&site);
    let server = site.start();
    routes(
        &server,
        "localhost",
        &[
            (
                0,
                "/cobbler_web/system/list",
                "cobbler_web",
                "localhost:{port}|/cobbler_web",
                "/cobbler_web",
                "/system/list",
            ),
            (
                0,
                "/cblr/svc/op/ks/system/x",
                "cobbler_web",
                "localhost:{port}|/cblr/svc/op",
                "/cblr/svc/op",
                "/ks/system/x",
            ),
            (
                2,
                "/cblr/svc/op/ks",
                "",
                "localhost:{port3}|/cblr/svc/op",
                "/cblr/svc/op",
                "/ks",
            ),
        ],
    );
    assert_eq!(server.get("/cobbler/none").status, 404);
}

/// MRG-03, DIR-040: one script whose URLs run in several groups, as the frontend of Copr has them.
#[test]
fn in_the_manner_of_copr() {
    let text = "\
WSGIPassAuthorization On
WSGISocketRotation Off
WSGIDaemonProcess backend processes=2 threads=5 user=copr-fe group=copr-fe display-name=backend maximum-requests=8000 graceful-timeout=20
WSGIDaemonProcess api user=copr-fe group=copr-fe threads=15 display-name=api maximum-requests=8000 graceful-timeout=20
WSGIDaemonProcess stats user=copr-fe group=copr-fe threads=15 display-name=stats maximum-requests=8000 graceful-timeout=20
WSGIDaemonProcess 127.0.0.1 user=copr-fe group=copr-fe threads=15 display-name=other maximum-requests=8000 graceful-timeout=20
WSGIScriptAlias / /usr/share/copr/coprs_frontend/application
<VirtualHost *:80>
    ServerName copr.example.org
    WSGIProcessGroup 127.0.0.1
    <Directory /usr/share/copr>
        WSGIApplicationGroup %{GLOBAL}
        Require all granted
    </Directory>
    <Location /backend>
        WSGIProcessGroup backend
    </Location>
    <LocationMatch \"^/(rmd|status)\">
        WSGIProcessGroup stats
    </LocationMatch>
    <LocationMatch \"^/api(_2|_3)?/\">
        WSGIProcessGroup api
    </LocationMatch>
</VirtualHost>
";
    let site = site(text, &["/usr/share/copr/coprs_frontend/application"]);
    accepted(&site);
    if subject().is_ours() {
        let report = site.check_with(&["-DDUMP_WSGI"]).output;
        assert!(report.contains("        /backend -> "), "{report}");
    }
    let server = site.start();
    routes(
        &server,
        "copr.example.org",
        &[
            (0, "/coprs/", "127.0.0.1", "", "", "/coprs/"),
            (0, "/backend/pending", "backend", "", "", "/backend/pending"),
            (0, "/backendx", "127.0.0.1", "", "", "/backendx"),
            (0, "/rmd/1", "stats", "", "", "/rmd/1"),
            (0, "/api_3/build", "api", "", "", "/api_3/build"),
            (2, "/backend/x", "", "localhost:{port3}|", "", "/backend/x"),
        ],
    );
}
