//! Where the interpreter of a script, or Python at all, cannot be had, nobody gets in.

use std::fs;
use std::os::unix::fs::symlink;

use wsgi_harness::{Mode, Mpm, Request, Site, subject, test_venv};

use super::failures::{FINE, KINDS, ask, refused, site};

/// A virtual environment `{dir}/home` in which every interpreter but the first one of a process breaks while it is made.
fn with_broken_sub_interpreters(site: Site) -> Site {
    let venv = test_venv();
    let settings = fs::read_to_string(venv.join("pyvenv.cfg")).expect("`make test` makes it");
    let library = fs::read_dir(venv.join("lib"))
        .expect("a virtual environment has a library")
        .flatten()
        .find_map(|entry| entry.file_name().into_string().ok())
        .expect("lib/pythonX.Y");
    // Not sitecustomize.py, of which Debian has one of its own.
    let packages = format!("home/lib/{library}/site-packages");
    let site = site
        .file("home/pyvenv.cfg", &settings)
        .file(&format!("{packages}/breaks.pth"), "import breaks\n")
        .file(
            &format!("{packages}/breaks.py"),
            "import os, sys\nif os.environ.get('SECOND'):\n    sys.modules['threading'] = None\nos.environ['SECOND'] = 'yes'\n",
        );
    fs::create_dir(site.path("home/bin")).expect("a folder in the site's folder");
    let python = fs::canonicalize(venv.join("bin/python")).expect("its Python");
    symlink(python, site.path("home/bin/python")).expect("a link in the site's folder");
    site.config("WSGIPythonHome {dir}/home")
}

/// REQ-137, REQ-473, REQ-701, REQ-711, REQ-720, REQ-732, REQ-734, DIR-044, DIR-078: the interpreter that a script is to run in
/// cannot be made, neither when it is to be imported nor at any request; the others serve on.
#[test]
fn interpreters_that_cannot_be_made() {
    let scripts = [
        ("fine", "{apps}/fine.wsgi".to_owned()),
        (
            "other",
            "{apps}/fine.wsgi application-group=other".to_owned(),
        ),
    ];
    let server = with_broken_sub_interpreters(site(Mpm::Event, Mode::Embedded, &scripts))
        .config(
            "WSGIDaemonProcess group processes=1 threads=2
                WSGIScriptAlias /embedded {apps}/app.wsgi application-group=other
                WSGIScriptAlias /daemon {apps}/app.wsgi process-group=group application-group=other
                WSGIScriptAlias /fine {apps}/app.wsgi process-group=group application-group=%{GLOBAL}
                WSGIImportScript {apps}/app.wsgi process-group=%{GLOBAL} application-group=imported
                WSGIScriptAlias /dispatched {apps}/app.wsgi
                <Location /dispatched>
                    WSGIDispatchScript {apps}/fine.wsgi application-group=other
                </Location>",
        )
        .start();
    for (kind, _) in KINDS {
        for leaf in ["page.html", "app"] {
            let fine = if kind == "banned" { 401 } else { 200 };
            let path = format!("/{kind}-fine/{leaf}");
            assert_eq!(ask(&server, kind, &path), fine, "{path}");
            let path = format!("/{kind}-other/{leaf}");
            assert_eq!(ask(&server, kind, &path), refused(kind), "{path}");
        }
    }
    server.get("/dispatched").expect(500);
    for path in ["/embedded", "/daemon"] {
        let before = server.log().count("WSGI0087");
        for count in 1..=2 {
            server.get(path).expect(500);
            server.wait_for_logs("WSGI0087", before + count);
        }
    }
    server.get("/fine").expect(200);
    // At the begin of each process.
    server.wait_for_log("WSGI0040");
    let imports = server.log().matching("WSGI0040");
    for group in ["other", "imported"] {
        assert!(
            imports.iter().any(|record| record.contains(group)),
            "{group}"
        );
    }
    for code in [
        "WSGI0040", "WSGI0087", "WSGI0103", "WSGI0035", "WSGI0042", "WSGI0045", "WSGI0048",
        "WSGI0054", "WSGI0057", "WSGI0086",
    ] {
        server.expect_log(code);
    }
    // "_shutdown": what Python itself writes when such an interpreter is ended.
    for allowed in ["threading", "_shutdown", "WSGI0188", "WSGI0123", "AH01"] {
        server.allow_log(allowed);
    }
}

/// DIR-073, DIR-072: Python cannot start in Apache's children. The original crashes at the first such request.
#[test]
fn python_that_cannot_start() {
    if !subject().differs("DIR-072") {
        return;
    }
    let scripts = [("fine", "{apps}/fine.wsgi".to_owned())];
    let server = site(Mpm::Event, Mode::Embedded, &scripts)
        .config("WSGIPythonHome {data}")
        .file("htdocs/open.html", "open")
        .config(
            "WSGIScriptAlias /dispatched {apps}/app.wsgi
            <Location /dispatched>\nWSGIDispatchScript {apps}/fine.wsgi\n</Location>",
        )
        .start();
    server.get("/open.html").expect(200);
    for (kind, _) in KINDS {
        for leaf in ["page.html", "app"] {
            let path = format!("/{kind}-fine/{leaf}");
            assert_eq!(ask(&server, kind, &path), 500, "{path}");
        }
    }
    server.get("/dispatched").expect(500);
    server.expect_log("WSGI0210: WSGIAccessScript");
    server.expect_log("WSGI0210: WSGIAuthUserScript");
    for allowed in ["WSGI", "AH01"] {
        server.allow_log(allowed);
    }
    // What Python itself writes.
    server.allow_raw_lines();
}

/// DIR-071, DIR-072: scripts that only a `.htaccess` file names do not start Python where WSGIRestrictEmbedded keeps it out of
/// Apache's children, and then nobody gets in. The original crashes there.
#[test]
fn scripts_of_htaccess_files_without_python() {
    if !subject().differs("DIR-072") {
        return;
    }
    let folders = |site: Site| {
        KINDS.iter().fold(site, |site, (kind, guard)| {
            let guard = guard.replace("SCRIPT", "{apps}/fine.wsgi");
            site.file(&format!("htdocs/{kind}/page.html"), "in")
                .file(&format!("htdocs/{kind}/.htaccess"), &guard)
        })
    };
    let site = |embedded: &str| {
        folders(site(Mpm::Event, Mode::Daemon, &[]))
            .file("apps/fine.wsgi", FINE)
            .config(&format!(
                "WSGIRestrictEmbedded {embedded}\n<Directory {{htdocs}}>\nAllowOverride AuthConfig FileInfo\n</Directory>"
            ))
    };
    // With Python they work there.
    let server = site("Off").start();
    for (kind, _) in KINDS {
        let expected = if kind == "banned" { 401 } else { 200 };
        assert_eq!(
            ask(&server, kind, &format!("/{kind}/page.html")),
            expected,
            "{kind}"
        );
    }
    server.allow_log("AH01");
    drop(server);
    let server = site("On").start();
    for (kind, _) in KINDS {
        let path = format!("/{kind}/page.html");
        assert_eq!(ask(&server, kind, &path), 500, "{kind}");
        assert_eq!(
            server.send(&Request::new("HEAD", &path)).status,
            if kind == "access" { 500 } else { 401 },
            "{kind}"
        );
    }
    server.expect_log("WSGI0210: WSGIAccessScript");
    server.expect_log("WSGI0210: WSGIAuthUserScript");
    server.allow_log("AH01");
}
