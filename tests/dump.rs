//! `httpd -t` and `httpd -t -D DUMP_WSGI`: what is configured, and what may not be as intended. The original has neither, so
//! there is nothing to compare but that both accept the same.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use wsgi_harness::{Site, is_root, repository, subject, unprivileged_user};

const HELLO: &str = "def application(environ, start_response):\n    start_response('200 OK', [])\n    return [b'hello']\n";

/// The report of a site; it must be accepted.
#[track_caller]
fn dump(site: &Site) -> String {
    let checked = site.check_with(&["-DDUMP_WSGI"]);
    assert!(checked.accepted, "{}", checked.output);
    checked.output
}

/// What plain `httpd -t` says about a site; it must be accepted.
#[track_caller]
fn check(site: &Site) -> String {
    let checked = site.check();
    assert!(checked.accepted, "{}", checked.output);
    checked.output
}

#[track_caller]
fn assert_lines(text: &str, lines: &[&str]) {
    let mut rest = text.lines();
    for line in lines {
        assert!(
            rest.any(|found| found.contains(line)),
            "{line:?} is missing, or not in this order:\n{text}"
        );
    }
}

/// What is configured, with the place of each line; nothing to warn of, and a plain check says so by silence.
#[test]
fn the_report_shows_what_is_configured() {
    if !subject().is_ours() {
        return;
    }
    let site = Site::embedded()
        .file("apps/a.wsgi", HELLO)
        .file("apps/b.wsgi", HELLO)
        .config(
            "WSGIDaemonProcess blue processes=2 threads=3 request-timeout=60 display-name=%{GROUP}\n\
             WSGIScriptAlias /a {apps}/a.wsgi process-group=blue application-group=%{GLOBAL}\n\
             WSGIScriptAlias /b {apps}/b.wsgi\n\
             <Location /b/admin>\nWSGIProcessGroup blue\n</Location>\n\
             <Directory {apps}>\nWSGIApplicationGroup shared\n</Directory>\n\
             WSGIImportScript {apps}/b.wsgi process-group=%{GLOBAL} application-group=warm\n\
             <VirtualHost 127.0.0.1:{port}>\nServerName two.example\nWSGIProcessGroup blue\n\
             WSGIScriptAliasMatch ^/m/(.*) {apps}/$1.wsgi\n</VirtualHost>",
        );
    let text = dump(&site);
    let apps = site.path("apps");
    let apps = apps.to_str().unwrap();
    assert_lines(
        &text,
        &[
            "WSGI configuration:",
            "Embedded mode (Apache's children):",
            "python 3.",
            "Daemon process groups:",
            "blue (",
            "python 3.",
            "processes=2 threads=3 request-timeout=60",
            "Mount points",
            "main server",
            &format!("/a -> {apps}/a.wsgi ("),
            "daemon process group blue, application group %{GLOBAL} (the main interpreter)",
            &format!("/b/admin -> {apps}/b.wsgi ("),
            "daemon process group blue, application group shared, by <Location /b/admin> (",
            &format!("/b -> {apps}/b.wsgi ("),
            "embedded, application group shared",
            "virtual host two.example (",
            &format!("^/m/(.*) (expression) -> {apps}/$1.wsgi ("),
            "daemon process group blue, application group shared",
        ],
    );
    // Under the virtual host the aliases of the main server run in its group.
    assert_lines(
        &text,
        &[
            "virtual host two.example",
            "/b -> ",
            "daemon process group blue, application group shared",
            "Sections:",
            "<Location /b/admin> (",
            "Interpreters:",
            "Scripts loaded at start:",
            "/b.wsgi (",
            "Warnings: none",
        ],
    );
    assert!(text.contains("embedded, application group warm"), "{text}");
    let configuration = site.path("httpd.conf");
    assert!(text.contains(&format!("({}:", configuration.display())));
    let silent = check(&site);
    assert!(!silent.contains("WSGI50"), "{silent}");
    assert!(!silent.contains("WSGI configuration"), "{silent}");
}

/// MRG-03, DIR-031, DIR-143: what the report says of an alias is what its requests get; where they do not all get the same, it
/// says so.
#[test]
fn the_report_is_what_happens() {
    if !subject().is_ours() {
        return;
    }
    let group = "def application(environ, start_response):\n    start_response('200 OK', [])\n    \
        return [(environ['mod_wsgi.process_group'] or 'embedded').encode()]\n";
    let site = Site::embedded()
        .file("apps/a/wsgi.py", group)
        .file("apps/b/wsgi.py", group)
        .file(
            "apps/choose.py",
            "def process_group(environ):\n    return 'green'\n",
        )
        .config(
            "WSGIDaemonProcess blue\nWSGIDaemonProcess green\n\
             WSGIScriptAlias /a {apps}/a/wsgi.py\nWSGIScriptAlias /b {apps}/b/wsgi.py\n\
             WSGIScriptAlias /chosen {apps}/b/wsgi.py\n\
             <Directory {apps}/a>\n<files wsgi.py>\nWSGIProcessGroup blue\n</files>\n</Directory>\n\
             <LocationMatch ^/b/x>\nWSGIProcessGroup green\n</LocationMatch>\n\
             <Location /chosen>\nWSGIDispatchScript {apps}/choose.py\n</Location>",
        );
    let text = dump(&site);
    assert_lines(
        &text,
        &[
            "/a -> ",
            "daemon process group blue, ",
            "/b -> ",
            "embedded, ",
            "not all of its requests: see <LocationMatch ^/b/x> (",
            "/chosen -> ",
            "unless the dispatch script ",
            "Sections:",
        ],
    );
    assert_eq!(text.matches("not all of its requests").count(), 1, "{text}");
    let server = site.start();
    for (url, group) in [
        ("/a/x", "blue"),
        ("/b", "embedded"),
        ("/b/x", "green"),
        ("/chosen", "green"),
    ] {
        assert_eq!(server.get(url).expect(200).text(), group, "{url}");
    }
}

/// DIR-008, REQ-301, DMN-203: warnings never make a configuration fail that mod_wsgi accepts; a plain check tells them too.
#[test]
fn warnings_do_not_make_a_configuration_fail() {
    let site = Site::embedded().file("htdocs/app.wsgi", HELLO).config(
        "WSGIDaemonProcess idle\n\
         WSGIDaemonProcess service threads=0\n\
         WSGIScriptAlias /service {htdocs}/app.wsgi process-group=service\n\
         WSGIScriptAlias /app {htdocs}/app.wsgi\n\
         WSGIScriptAlias /app/admin {htdocs}/app.wsgi\n\
         WSGIScriptAlias /wrong {htdocs}/app.wsgi process-group=nowhere\n\
         WSGIScriptAlias /missing {apps}/missing.wsgi\n\
         <Location /else>\nWSGIProcessGroup elsewhere\n</Location>",
    );
    let text = check(&site);
    if !subject().is_ours() {
        return;
    }
    for warning in [
        "WSGI5030: nothing uses the daemon process group 'idle'",
        "WSGI5031: no request can reach WSGIScriptAlias /app/admin",
        "WSGI5033: the script of WSGIScriptAlias /app ",
        "WSGI5034: requests for WSGIScriptAlias /wrong",
        "WSGI5034: the process group 'elsewhere' of <Location /else>",
        "WSGI5035: the script of WSGIScriptAlias /missing",
        "WSGI5221: requests for WSGIScriptAlias /service ",
    ] {
        assert!(text.contains(warning), "{warning}\n{text}");
        assert!(dump(&site).contains(warning), "{warning}");
    }
    assert!(text.contains("Syntax OK"));
    let report = dump(&site);
    assert!(
        report.contains("daemon process group nowhere (not defined), application group %{GLOBAL}"),
        "{report}"
    );
    assert_eq!(
        report.matches("daemon process group nowhere").count(),
        1,
        "{report}"
    );
}

/// DMN-106: where the check fails over a group, the report is printed all the same, and the error says where the group is written.
#[test]
fn the_report_of_a_configuration_that_fails() {
    if !subject().differs("DMN-106") {
        return;
    }
    let site = Site::embedded().file("apps/a.wsgi", HELLO).config(
        "WSGIDaemonProcess blue python-home={dir}/nowhere\nWSGIScriptAlias /a {apps}/a.wsgi process-group=blue",
    );
    let (plain, report) = (site.check(), site.check_with(&["-DDUMP_WSGI"]));
    for checked in [&plain, &report] {
        assert!(!checked.accepted, "{}", checked.output);
        let place = format!("{}:", site.path("httpd.conf").display());
        let line = checked
            .output
            .lines()
            .find(|line| line.contains("(python-home) does not exist"))
            .unwrap_or_else(|| panic!("{}", checked.output));
        assert!(line.contains(&place), "{line}");
    }
    assert!(
        !plain.output.contains("WSGI configuration"),
        "{}",
        plain.output
    );
    assert_lines(
        &report.output,
        &[
            "WSGI configuration:",
            "blue (",
            "/a -> ",
            "WSGI5035: the Python home",
        ],
    );
}

/// The label by which SELinux may keep a process from a file is told with the permission.
#[test]
fn labels_are_named() {
    if !subject().is_ours() || !is_root() {
        return;
    }
    let site = Site::embedded()
        .file("apps/a.wsgi", HELLO)
        .config("WSGIScriptAlias /a {apps}/a.wsgi");
    let script = site.path("apps/a.wsgi");
    fs::set_permissions(&script, Permissions::from_mode(0o600)).unwrap();
    // Also a kernel without SELinux keeps labels.
    let label = "unconfined_u:object_r:user_home_t:s0";
    let set =
        format!("import os, sys; os.setxattr(sys.argv[1], 'security.selinux', b'{label}\\0')");
    let set = Command::new("python3")
        .args(["-c", &set])
        .arg(&script)
        .output();
    let set = set.expect("python3 runs");
    if !set.status.success() {
        // A container's root may not.
        println!("skipped: {}", String::from_utf8_lossy(&set.stderr));
        return;
    }
    let text = dump(&site);
    let expected = format!("the permission o+r is missing (SELinux label {label})");
    assert!(text.contains(&expected), "{text}");
}

/// The warnings are in the log of a server that starts with them.
#[test]
fn warnings_are_logged_at_start() {
    if !subject().is_ours() {
        return;
    }
    let server = Site::embedded()
        .file("apps/a.wsgi", HELLO)
        .config("WSGIScriptAlias / {apps}/a.wsgi\nWSGIScriptAlias /never {apps}/a.wsgi")
        .start();
    server.expect_log("WSGI5031: no request can reach WSGIScriptAlias /never");
    assert_eq!(server.get("/").expect(200).text(), "hello");
    assert_eq!(server.log().count("WSGI5031"), 1);
}

/// Which component, and which permission: for the script of an embedded alias and of a daemon's, through a link, and a home.
#[test]
fn what_a_process_cannot_read_is_named() {
    if !is_root() {
        return;
    }
    let user = unprivileged_user();
    let site = Site::embedded()
        .file("closed/a.wsgi", HELLO)
        .file("apps/own.wsgi", HELLO)
        .file("apps/fine.wsgi", HELLO)
        .config(
            "WSGIDaemonProcess blue user=nobody group=nogroup\n\
             WSGIScriptAlias /a {apps}/link/a.wsgi process-group=blue\n\
             WSGIScriptAlias /fine {apps}/fine.wsgi process-group=blue\n\
             WSGIScriptAlias /own {apps}/own.wsgi",
        );
    std::os::unix::fs::symlink("../closed", site.path("apps/link")).unwrap();
    let mode = |name: &str, mode| {
        fs::set_permissions(site.path(name), Permissions::from_mode(mode)).unwrap();
    };
    mode("closed", 0o700);
    mode("apps/own.wsgi", 0o600);
    check(&site);
    if !subject().is_ours() {
        return;
    }
    let text = dump(&site);
    let closed = site.path("closed");
    let expected = format!(
        "cannot be read by user 'nobody' (uid 65534): '{}' has mode 0700, owner 0, group 0; the permission o+x is missing",
        closed.display()
    );
    assert!(text.contains(&expected), "{expected}\n{text}");
    let expected = format!(
        "'{}', cannot be read by user '{}'",
        site.path("apps/own.wsgi").display(),
        user.name
    );
    assert!(text.contains(&expected), "{expected}\n{text}");
    assert!(text.contains("the permission o+r is missing"), "{text}");
    assert_eq!(text.matches("WSGI5032").count(), 2, "{text}");
    // The daemon's user may, but Apache's children do not find the script.
    mode("closed", 0o700);
    std::os::unix::fs::chown(&closed, Some(65534), None).unwrap();
    let text = dump(&site);
    let expected = format!(
        "'{}/link/a.wsgi', cannot be read by user '{}'",
        site.path("apps").display(),
        user.name
    );
    assert!(text.contains(&expected), "{expected}\n{text}");
}

/// Where no Python is named and no runtime is installed, a configuration that needs none loads as under mod_wsgi; one that names
/// a Python that cannot be had does not.
#[test]
fn only_a_named_python_has_to_be_there() {
    let site = |more: &str| {
        Site::embedded()
            .file("empty/readme", "no runtime is here")
            .config(&format!("WSGIScriptAlias /a {{apps}}/a.wsgi\n{more}"))
    };
    if !subject().is_ours() {
        check(&site(""));
        return;
    }
    check(&site("WSGIRuntimeDirectory {dir}/empty"));
    let named = site("WSGIRuntimeDirectory {dir}/empty\nWSGIPythonVersion 3.11").check();
    assert!(!named.accepted);
    assert!(
        named.output.contains("no Python runtime"),
        "{}",
        named.output
    );
    let text = dump(&site("WSGIRuntimeDirectory {dir}/empty"));
    assert!(
        text.contains("python cannot be started: no Python runtime"),
        "{text}"
    );
}

/// The page about diagnosing shows a report that is one, and names no code that is not explained.
#[test]
fn the_page_is_true() {
    if !subject().is_ours() || !is_root() {
        return;
    }
    let page = fs::read_to_string(repository().join("docs/diagnosing.md")).unwrap();
    let block = |language: &str| {
        let (_, rest) = page.split_once(&format!("```{language}\n")).unwrap();
        rest.split_once("```").unwrap().0.to_owned()
    };
    let codes = fs::read_to_string(repository().join("docs/error-codes.md")).unwrap();
    for code in page
        .match_indices("WSGI")
        .map(|(at, _)| page.get(at..at + 8))
    {
        let code = code.unwrap_or_default();
        if code[4..].bytes().all(|byte| byte.is_ascii_digit()) {
            assert!(codes.contains(&format!("| {code} |")), "{code}");
        }
    }
    let configuration = block("apache").replace("/srv/", "{dir}/srv/");
    let site = Site::embedded()
        .without_application_group()
        .file("srv/shop/shop.wsgi", HELLO)
        .file("etc/apache2/sites-enabled/shop.conf", &configuration)
        .config("Include {dir}/etc/apache2/sites-enabled/shop.conf");
    fs::set_permissions(site.path("srv/shop"), Permissions::from_mode(0o700)).unwrap();
    let folder = site.dir().to_str().unwrap().to_owned();
    // Pythons and users are those of the machine.
    let comparable = |text: &str| {
        let lines = text
            .lines()
            .skip_while(|line| *line != "WSGI configuration:");
        let lines = lines.filter(|line| {
            let line = line.trim();
            !line.starts_with("python ") && !line.starts_with("user ") && line != "Syntax OK"
        });
        let lines = lines.map(|line| {
            let (start, user) = line.split_once("user '").unwrap_or((line, ""));
            let (_, end) = user.split_once(')').unwrap_or(("", ""));
            format!("{start}{end}")
        });
        lines.collect::<Vec<_>>().join("\n")
    };
    let report = site.check_with(&["-DDUMP_WSGI"]);
    let report = report.output.replace(&folder, "");
    assert_eq!(comparable(&report), comparable(&block("text")));
}
