//! Configurations of the world, unchanged but for their paths, ports and users. They load and route as under mod_wsgi; the same
//! test runs against the original.
//!
//! The scripts they name are replaced by one that tells where it runs. Paths such as `/usr/share/x` lie below the server's
//! folder, `*:80` and `*:443` are the server's ports, and users that this machine lacks are the one that Apache runs as.

mod packages;
mod shipped;
mod written;

use wsgi_harness::{Request, Server, Site, is_root, unprivileged_user};

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

#[track_caller]
fn accepted(site: &Site) {
    let checked = site.check();
    assert!(checked.accepted, "{}", checked.output);
}
