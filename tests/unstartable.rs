//! Groups whose processes cannot start: the log says what failed, where, as which user, and what to do; requests get 503 at
//! once; nobody else is affected; and when the cause is mended the group serves without a restart of Apache.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use wsgi_harness::{Process, Server, Site, is_root, subject, wait_until};

const APP: &str = "import os\n\ndef application(environ, start_response):\n    start_response('200 OK', [])\n    return [os.getcwd().encode()]\n";

/// The group `live` with these options, and one that has nothing to do with it.
fn site(options: &str) -> Site {
    Site::daemon()
        .daemon_options(&format!("processes=2 threads=2 {options}"))
        .config(
            "WSGIDaemonProcess other threads=2\nWSGIScriptAlias /other {apps}/root.wsgi\n\
             <Location /other>\nWSGIProcessGroup other\n</Location>",
        )
        .script("/", APP)
}

/// Waits for a record with all of these texts, and that every request gets 503 while the other group answers.
fn refuses(server: &Server, wanted: &[&str]) {
    let record = server.wait_for_log(wanted[0]);
    for text in wanted {
        assert!(record.contains(text), "{text:?} is not in {}", record.line);
    }
    server.expect_log(wanted[0]);
    for text in ["WSGI0025", "WSGI5060", "WSGI5040", "'live'"] {
        server.allow_log(text);
    }
    let (sent, mut refused) = (5, 0);
    for _ in 0..sent {
        let answer = server.get("/");
        assert_eq!(answer.status, 503, "{}", answer.shown());
        refused += 1;
        server.get("/other").expect(200);
    }
    println!("{}: {sent} sent, {refused} times 503", wanted[0]);
    // A pause that grows, and one process at a time.
    for pause in [1, 2, 4] {
        server.wait_for_log(&format!("next attempt in {pause} s"));
    }
}

/// What Python itself and the look at its home write.
fn allow_python(server: &Server) {
    for text in ["WSGI0100", "WSGI0101", "WSGI0102", "WSGI0036"] {
        server.allow_log(text);
    }
    server.allow_raw_lines();
}

fn serves(server: &Server) -> String {
    wait_until("the group serves", || {
        let answer = server.get("/");
        (answer.status == 200).then(|| answer.text())
    })
}

/// DMN-107, DMN-116, DMN-118, DMN-540, DMN-542: the folder of `home` is missing, and is made.
#[test]
fn home_is_missing() {
    if !subject().differs("DMN-542") {
        return;
    }
    let site = site("home={dir}/later");
    let check = site.check();
    assert!(!check.accepted, "{}", check.output);
    for text in ["WSGIDaemonProcess live", "/later' (home) does not exist"] {
        assert!(check.output.contains(text), "{}", check.output);
    }
    let server = site.start();
    let user = if is_root() { "www-data" } else { "uid " };
    refuses(
        &server,
        &["WSGI0009", "/later' (home option)", user, "No such file"],
    );
    // A restart changes nothing: a request that comes before the first failure is not kept waiting either.
    for restart in [Server::graceful, Server::restart] {
        restart(&server);
        let answer = server.get("/");
        assert_eq!(answer.status, 503, "{}", answer.shown());
        server.get("/other").expect(200);
    }
    fs::create_dir(server.path("later")).expect("a folder");
    assert!(serves(&server).ends_with("/later"));
}

/// DMN-116: the folder of `home` is there, and the user may not enter it: the log names the component and its rights.
#[test]
fn home_may_not_be_entered() {
    if !is_root() || !subject().differs("DMN-542") {
        return;
    }
    let site = site("home={dir}/closed/app");
    fs::create_dir_all(site.path("closed/app")).expect("folders");
    set_mode(&site.path("closed"), 0o700);
    assert!(site.check().accepted);
    let server = site.start();
    refuses(
        &server,
        &[
            "WSGI0009",
            "/closed/app'",
            "Permission denied",
            "/closed'",
            "700",
        ],
    );
    set_mode(&server.path("closed"), 0o755);
    serves(&server);
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).expect("the owner may");
}

/// DMN-127, DMN-954, DP-50, API-100: no Python at `python-home`.
#[test]
fn python_home_is_missing() {
    if !subject().differs("DMN-542") {
        return;
    }
    let site = site("python-home={dir}/venv");
    let check = site.check();
    assert!(!check.accepted);
    assert!(
        check.output.contains("/venv' (python-home) does not exist"),
        "{}",
        check.output
    );
    let server = site.start();
    allow_python(&server);
    refuses(&server, &["WSGI0028", "/venv", "python-home option"]);
}

/// DP-50, API-100: `python-home` is there, and the user cannot read it.
#[test]
fn python_home_cannot_be_read() {
    if !is_root() || !subject().differs("DMN-542") {
        return;
    }
    let site = site("python-home={dir}/venv");
    virtual_environment(&site.path("venv"), "/usr/bin");
    set_mode(&site.path("venv"), 0o700);
    let server = site.start();
    allow_python(&server);
    refuses(&server, &["WSGI0028", "/venv", "python-home option"]);
    set_mode(&server.path("venv"), 0o755);
    serves(&server);
}

/// API-100: a virtual environment whose Python is gone. What Python itself says is in the log.
#[test]
fn python_cannot_start() {
    if !subject().differs("DMN-542") {
        return;
    }
    let site = site("python-home={dir}/venv");
    fs::create_dir(site.path("venv")).expect("a folder");
    let server = site.start();
    allow_python(&server);
    refuses(&server, &["WSGI0028", "/venv", "python-home option"]);
}

fn virtual_environment(path: &Path, home: &str) {
    fs::create_dir(path).expect("a folder");
    let text = format!("home = {home}\ninclude-system-site-packages = false\n");
    fs::write(path.join("pyvenv.cfg"), text).expect("a file");
}

/// DP-10, DP-11, DMN-016: users and groups that do not exist are found when the configuration is read.
#[test]
fn accounts_that_do_not_exist() {
    for (options, text) in [
        ("user=nobody-of-that-name", "nobody-of-that-name"),
        ("group=no-group-of-that-name", "no-group-of-that-name"),
    ] {
        let check = site(options).check();
        assert!(!check.accepted);
        assert!(check.output.contains(text), "{}", check.output);
    }
}

/// API-049, DMN-540: what a group imports at its start fails. The group serves what it has, what it has not is an error of
/// the request, and mending the script is enough.
#[test]
fn import_fails() {
    if !subject().is_ours() {
        return;
    }
    let server = Site::daemon()
        .daemon_options("processes=2 threads=2")
        .script_with(
            "/good",
            "process-group=live application-group=%{GLOBAL}",
            APP,
        )
        .script_with(
            "/broken",
            "process-group=live application-group=%{GLOBAL}",
            "import a_module_that_is_missing\n",
        )
        .start();
    server.expect_log("ModuleNotFoundError: No module named 'a_module_that_is_missing'");
    server.expect_log("broken.wsgi' raised an exception while it was loaded");
    for text in [
        "WSGI0174",
        "a_module_that_is_missing",
        "Traceback",
        "broken.wsgi\"",
    ] {
        server.allow_log(text);
    }
    for _ in 0..5 {
        assert_eq!(server.get("/broken").status, 500);
        server.get("/good").expect(200);
    }
    println!("import error: 5 sent, 5 times 500; 5 sent to another script, 5 good");
    server.write("apps/broken.wsgi", APP);
    wait_until("the script is loaded", || {
        (server.get("/broken").status == 200).then_some(())
    });
}

/// DMN-113: a chroot directory that is missing.
#[test]
fn chroot_is_missing() {
    if !is_root() || !subject().differs("DMN-542") {
        return;
    }
    let site = site("chroot={dir}/jail");
    let check = site.check();
    assert!(!check.accepted);
    assert!(
        check.output.contains("/jail' (chroot) does not exist"),
        "{}",
        check.output
    );
    let server = site.start();
    refuses(
        &server,
        &["WSGI0003", "/jail' (chroot option)", "No such file"],
    );
}

const HANGS: &str =
    "import os, time\nwhile not os.path.exists(__file__ + '.go'):\n    time.sleep(0.05)\n\n";

/// API-049, DMN-450: a preloaded script hangs when its group starts. Requests wait no longer than socket-timeout and get 504
/// with a record that names the cause; the process says what it is loading; another group is not affected; and when the
/// script goes on, the group serves.
#[test]
fn a_preloaded_script_hangs() {
    if !subject().is_ours() {
        return;
    }
    let options = "process-group=live application-group=%{GLOBAL}";
    let imported = "WSGIImportScript {apps}/slow.py process-group=live application-group=%{GLOBAL}";
    for config in ["", imported] {
        let (alias, import) = if config.is_empty() {
            (format!("{HANGS}{APP}"), "")
        } else {
            (APP.to_owned(), HANGS)
        };
        let server = Site::daemon()
            .daemon_options("processes=2 threads=2 socket-timeout=1 startup-timeout=1")
            .config(
                "WSGIDaemonProcess other threads=2\nWSGIScriptAlias /other {apps}/other.wsgi\n\
                 <Location /other>\nWSGIProcessGroup other\n</Location>",
            )
            .config(config)
            .file("apps/other.wsgi", APP)
            .file("apps/slow.py", import)
            .script_with("/slow", options, &alias)
            .start();
        let (sent, mut late) = (3, 0);
        for _ in 0..sent {
            let answer = server.get("/slow");
            assert_eq!(answer.status, 504, "{}", answer.shown());
            late += 1;
            server.get("/other").expect(200);
        }
        println!(
            "hanging script: {sent} sent, {late} times 504; {sent} sent to another group, {sent} good"
        );
        let record = server.wait_for_log("WSGI5063");
        assert!(record.contains("'live'"), "{}", record.line);
        assert!(record.contains("still starting"), "{}", record.line);
        let records = server.wait_for_logs("WSGI5209", 2);
        let script = if config.is_empty() {
            "apps/slow.wsgi'"
        } else {
            "apps/slow.py'"
        };
        for record in &records {
            for text in [
                "group 'live' is still starting after 1",
                "loading '",
                script,
                "get 504",
            ] {
                assert!(record.contains(text), "{text:?} is not in {}", record.line);
            }
        }
        let stack = server.wait_for_log("Stack of thread 0 (script '");
        assert!(stack.contains(script), "{}", stack.line);
        server.expect_log(&format!(
            "  File \"{{dir}}/{}\", line 3, in <module>",
            script.trim_end_matches('\'')
        ));
        server.expect_log("WSGI5209");
        server.expect_log("WSGI5063");
        let go = script.trim_end_matches('\'').to_owned() + ".go";
        fs::write(server.path(&go), "").expect("a file");
        wait_until("the group serves", || {
            (server.get("/slow").status == 200).then_some(())
        });
    }
}

/// DMN-550, API-049: processes whose preloaded script hangs do not outlive a graceful restart, nor httpd; and the next ones serve as soon
/// as they can.
#[test]
fn restarts_while_a_script_hangs() {
    let server = Site::daemon()
        .daemon_options("processes=2 threads=2 shutdown-timeout=600 graceful-timeout=600")
        .script_with(
            "/",
            "process-group=live application-group=%{GLOBAL}",
            &format!("import os\nopen('{{data}}/%d' % os.getpid(), 'w').close()\n{HANGS}{APP}"),
        )
        .start();
    for text in [
        "'live'",
        "WSGI5209",
        "AH00045",
        "AH00046",
        "still did not exit",
    ] {
        server.allow_log(text);
    }
    let hanging = |but: &[Process]| -> Vec<Process> {
        wait_until("processes that load the script", || {
            let mut daemons = server.daemons();
            daemons.retain(|daemon| !but.iter().any(|other| other.pid == daemon.pid));
            let loads = |process: &Process| server.path(&format!("data/{}", process.pid)).exists();
            let count = daemons.iter().filter(|process| loads(process)).count();
            (count == 2).then_some(daemons)
        })
    };
    let first = hanging(&[]);
    server.graceful();
    let second = hanging(&first);
    server.wait_until_gone(&first);
    let script = server.path("apps/root.wsgi.go");
    fs::write(&script, "").expect("a file");
    serves(&server);
    fs::remove_file(script).expect("it is there");
    server.restart();
    server.wait_until_gone(&second);
    hanging(&second);
    server.stop();
}

/// DMN-118, DP-14, DP-32, DP-71, DP-72: what the group's options keep from Python, or from the threads for requests, is named with its
/// failure.
#[test]
fn options_that_keep_a_process_from_starting() {
    if !is_root() || !subject().differs("DMN-542") {
        return;
    }
    for (code, option, named) in [
        (
            "WSGI0028",
            "memory-limit=1",
            "; the group has memory-limit=1, ",
        ),
        (
            "WSGI0028",
            "virtual-memory-limit=1",
            "; the group has virtual-memory-limit=1, ",
        ),
        (
            "WSGI0028",
            "chroot={dir}",
            ", where Python's modules have to be",
        ),
        (
            "WSGI0022",
            "stack-size=1500000000 virtual-memory-limit=2500000000",
            "; the group has virtual-memory-limit=2500000000, ",
        ),
    ] {
        let server = site(option).start();
        allow_python(&server);
        refuses(&server, &[code, named]);
    }
}
