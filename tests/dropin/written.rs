//! Written here in the manner of FreeIPA, keystone, koji, cobbler and Copr.

use wsgi_harness::subject;

use super::{accepted, routes, site};

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
