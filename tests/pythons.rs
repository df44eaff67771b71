//! Which Python a process runs: `python-version=`, WSGIPythonVersion and homes; and, with the mark `ignored`, several Pythons in
//! one Apache and interpreters with a GIL of their own, which this system may not have: `make test-pythons` runs those in a
//! tree of Debian sid.

use std::path::PathBuf;

use wsgi_harness::{Mode, Mpm, Server, Site, matrix, subject, test_venv, wait_until};

const FACTS: &str = include_str!("apps/interpreter.wsgi");

/// Versions of the runtimes that are installed, oldest first.
fn installed() -> Vec<String> {
    let folder = subject()
        .module()
        .parent()
        .map_or(PathBuf::new(), |folder| folder.join("mod_wsgi"));
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    let mut versions: Vec<(u32, String)> = names
        .filter_map(|name| {
            let version = name.strip_prefix("python")?.strip_suffix(".so")?;
            let minor = version.strip_prefix("3.")?.parse().ok()?;
            Some((minor, version.to_owned()))
        })
        .collect();
    versions.sort();
    versions.into_iter().map(|(_, version)| version).collect()
}

/// At least two Pythons from 3.12 on, for the tests in the tree of sid.
fn several() -> Vec<String> {
    let versions = installed();
    assert!(
        versions.len() > 1 && versions.iter().all(|version| version.as_str() >= "3.12"),
        "these are {versions:?}: run `make test-pythons`"
    );
    versions
}

#[track_caller]
fn fact(server: &Server, path: &str, key: &str) -> String {
    server.get(path).expect(200).fact(key)
}

/// DP-50: a version that is installed is taken, one that is not is refused when the configuration is read, with the versions
/// that there are.
#[test]
fn a_version_is_chosen_or_refused() {
    if !subject().is_ours() {
        return;
    }
    let versions = installed();
    let good = versions.last().expect("subject() looks for one");
    for (config, names) in [
        (format!("WSGIPythonVersion {good}"), None),
        (
            format!("WSGIDaemonProcess the-group python-version={good}"),
            None,
        ),
        (
            format!(
                "WSGIPythonVersion 3.99\nWSGIRestrictEmbedded On\nWSGIDaemonProcess the-group python-version={good}"
            ),
            None,
        ),
        ("WSGIPythonVersion 3.99".to_owned(), Some("3.99")),
        (format!("WSGIPythonVersion {good}t"), Some("t is installed")),
        (
            "WSGIDaemonProcess the-group python-version=3.99".to_owned(),
            Some("the-group"),
        ),
        (
            "WSGIRestrictEmbedded On\nWSGIPythonVersion 3.99\nWSGIDaemonProcess the-group"
                .to_owned(),
            Some("the-group"),
        ),
        ("WSGIPythonVersion 3".to_owned(), Some("WSGIPythonVersion")),
        (
            "WSGIPythonVersion three".to_owned(),
            Some("WSGIPythonVersion"),
        ),
        (
            "WSGIDaemonProcess the-group python-version=3.x".to_owned(),
            Some("python-version"),
        ),
    ] {
        let checked = Site::embedded().config(&config).check();
        assert_eq!(
            checked.accepted,
            names.is_none(),
            "{config}: {}",
            checked.output
        );
        if let Some(name) = names {
            assert!(
                checked.output.contains(name),
                "{config}: {}",
                checked.output
            );
        }
        if config.contains("3.99") && names.is_some() {
            assert!(
                checked.output.contains(&format!("installed: {good}")),
                "{}",
                checked.output
            );
        }
    }
}

/// DP-50: the version decides which Python runs, the group's over the server's.
fn the_version_that_is_chosen(mpm: Mpm, mode: Mode) {
    if !subject().is_ours() {
        return;
    }
    for version in installed() {
        let server_version = match mode {
            Mode::Embedded => format!("WSGIPythonVersion {version}"),
            Mode::Daemon => "WSGIRestrictEmbedded On\nWSGIPythonVersion 3.99".to_owned(),
        };
        let server = Site::new(mpm, mode)
            .daemon_options(&format!("threads=1 python-version={version}"))
            .config(&server_version)
            .script("/", FACTS)
            .start();
        assert_eq!(fact(&server, "/", "version"), version);
    }
}
matrix!(the_version_that_is_chosen: event);

/// DP-50, DIR-081: a home has a version of its own, which no setting can change.
#[test]
fn a_home_decides() {
    if !subject().is_ours() {
        return;
    }
    let venv = test_venv();
    let server = Site::daemon()
        .daemon_options(&format!(
            "threads=1 python-version=3.99 python-home={}",
            venv.display()
        ))
        .script("/", FACTS)
        .start();
    assert_eq!(fact(&server, "/", "prefix"), venv.display().to_string());
}

/// DP-50: children and every group have a Python of their own in one Apache; a virtual environment brings its own.
#[test]
#[ignore = "needs several Pythons: make test-pythons"]
fn several_in_one_apache() {
    let versions = several();
    let (first, last) = (&versions[0], &versions[versions.len() - 1]);
    let mut site = Site::embedded()
        .config(&format!("WSGIPythonVersion {first}\nWSGIScriptAlias /embedded {{apps}}/facts.wsgi"))
        .file("apps/facts.wsgi", FACTS)
        .file("venv/pyvenv.cfg", &format!("home = /usr/bin\nversion = {first}.0\n"))
        .file("venv/lib/python3/placeholder.txt", "")
        .config(&format!("WSGIDaemonProcess home threads=2 python-version={last} python-home={{dir}}/venv\nWSGIScriptAlias /home {{apps}}/facts.wsgi process-group=home"));
    let bin = site.path("venv/bin");
    std::fs::create_dir(&bin).expect("mine");
    std::os::unix::fs::symlink(format!("/usr/bin/python{first}"), bin.join("python"))
        .expect("mine");
    for version in &versions {
        let name = format!("group{}", version.replace('.', "_"));
        site = site.config(&format!(
            "WSGIDaemonProcess {name} processes=2 threads=2 python-version={version}\nWSGIScriptAlias /{version} {{apps}}/facts.wsgi process-group={name}"
        ));
    }
    let server = site.start();
    for _ in 0..4 {
        assert_eq!(fact(&server, "/embedded", "version"), *first);
        assert_eq!(fact(&server, "/home", "version"), *first);
        for version in &versions {
            assert_eq!(fact(&server, &format!("/{version}"), "version"), *version);
        }
    }
    assert_eq!(fact(&server, "/home", "prefix"), server.fill("{dir}/venv"));
    let banner = server
        .get("/embedded")
        .header("Server")
        .unwrap_or_default()
        .to_owned();
    assert!(banner.contains(&format!("Python/{first}")), "{banner}");
    server.graceful();
    for version in &versions {
        assert_eq!(fact(&server, &format!("/{version}"), "version"), *version);
    }
}

/// A site with the interpreters `own`, which has a GIL of its own, and `shared`, and the main one.
fn gils(mpm: Mpm, mode: Mode, version: &str) -> Site {
    Site::new(mpm, mode)
        .daemon_options(&format!("processes=1 threads=5 python-version={version}"))
        .config(&format!(
            "WSGIPythonVersion {version}
            ServerLimit 1
            MaxRequestWorkers 16
            <WSGIInterpreterOptions application-group=own>
                WSGIPerInterpreterGIL On
                WSGISwitchInterval 0.125
            </WSGIInterpreterOptions>
            <WSGIInterpreterOptions application-group=%{{GLOBAL}}>
                WSGIPerInterpreterGIL On
            </WSGIInterpreterOptions>
            WSGIScriptAliasMatch ^/(own|shared)/([a-z]+) {{apps}}/$2.wsgi application-group=%{{ENV:INTERPRETER}}
            SetEnvIf Request_URI ^/([a-z]+)/ INTERPRETER=$1"
        ))
        .modules(&["setenvif"])
        .file("apps/facts.wsgi", FACTS)
        .cases()
}

/// DIR-075, DIR-091, DIR-101, API-017, API-021, API-024: an interpreter with a GIL of its own has its own switch interval and CPython's rules
/// for isolated interpreters; the main one has neither, and those without share its GIL.
fn own_gil(mpm: Mpm, mode: Mode) {
    for version in several() {
        let server = gils(mpm, mode, &version).start();
        assert_eq!(
            fact(&server, "/own/facts", "interval"),
            "0.125",
            "{version}"
        );
        assert_eq!(fact(&server, "/own/facts", "group"), "own");
        assert_eq!(fact(&server, "/shared/facts", "interval"), "0.005");
        assert_eq!(fact(&server, "/case/facts", "interval"), "0.005");
        server.wait_for_log("Create interpreter 'own' with its own GIL");
        server.wait_for_log("Create interpreter 'shared'.");
        // Fork stays out of the others: in its child CPython ends every interpreter but the main one, and fails at that.
        server.case(
            "rules",
            "import os, threading

def attempt(action):
    try:
        action()
        return 'done'
    except OSError:
        return 'done'
    except RuntimeError as error:
        return 'refused'

def execute():
    os.execv('/nowhere/at/all', ['x'])

def start():
    thread = threading.Thread(target=int, daemon=True)
    thread.start()
    thread.join()

def application(environ, start_response):
    actions = [execute, start]
    if environ['mod_wsgi.application_group'] == 'own':
        actions.append(os.fork)
    text = ' '.join(map(attempt, actions))
    start_response('200 OK', [])
    return [text.encode()]
",
        );
        assert_eq!(
            server.get("/own/rules").expect(200).text(),
            "refused refused refused",
            "{version}"
        );
        assert_eq!(server.get("/shared/rules").expect(200).text(), "done done");
        assert_eq!(server.get("/case/rules").expect(200).text(), "done done");
        for absent in ["WSGI0198", "WSGI0199"] {
            assert_eq!(server.log().count(absent), 0, "{version}");
        }
    }
}

mod own_gils {
    use super::*;

    #[test]
    #[ignore = "needs several Pythons: make test-pythons"]
    fn embedded() {
        own_gil(Mpm::Event, Mode::Embedded);
    }

    #[test]
    #[ignore = "needs several Pythons: make test-pythons"]
    fn daemon() {
        own_gil(Mpm::Event, Mode::Daemon);
    }
}

/// DIR-091, API-021: code that never gives its GIL up in an interpreter with its own one holds nobody else up. With the GIL of
/// the process it would: nothing else could answer.
#[test]
#[ignore = "needs several Pythons: make test-pythons"]
fn a_gil_holds_up_its_own_interpreter_only() {
    for version in several() {
        for mode in [Mode::Embedded, Mode::Daemon] {
            let server = gils(Mpm::Event, mode, &version).start();
            // Longer than any test: the switch interval is what Python waits before it asks for the GIL back. Nothing in
            // the loop gives it up on its own.
            server.case(
                "spinning",
                "import mmap, sys\nsys.setswitchinterval(10000)\nflag = open('{data}/flag', 'r+b')\nmemory = mmap.mmap(flag.fileno(), 1)\nopen('{data}/spinning', 'w').close()\nwhile memory[0] == 48:\n    pass\n\ndef application(environ, start_response):\n    start_response('200 OK', [])\n    return [b'spun']\n",
            );
            let flag = server.path("data/flag");
            std::fs::write(&flag, "0").expect("mine");
            let open = std::os::unix::fs::PermissionsExt::from_mode(0o666);
            std::fs::set_permissions(&flag, open).expect("mine");
            let mut waiting = server.begin("/own/spinning");
            wait_until("the loop", || {
                server.path("data/spinning").exists().then_some(())
            });
            for path in ["/case/facts", "/shared/facts"] {
                for _ in 0..5 {
                    assert_eq!(fact(&server, path, "version"), version);
                }
            }
            // In place, because it is mapped.
            let mut file = std::fs::File::options()
                .write(true)
                .open(&flag)
                .expect("mine");
            std::io::Write::write_all(&mut file, b"1").expect("mine");
            let answer = waiting.answer().expect(200);
            assert_eq!(answer.text(), "spun", "{version}");
        }
    }
}

/// DMN-432: the stacks of requests that take too long, of those too that run under another GIL meanwhile.
#[test]
#[ignore = "needs several Pythons: make test-pythons"]
fn stacks_behind_every_gil() {
    for version in several() {
        let server = gils(Mpm::Event, Mode::Daemon, &version)
            .daemon_options(&format!(
                "processes=1 threads=5 python-version={version} request-timeout=1 graceful-timeout=0 shutdown-timeout=1"
            ))
            .start();
        for text in ["WSGI0146", "WSGI0147", "'live'"] {
            server.allow_log(text);
        }
        server.case(
            "holding",
            "import os\n\ndef holds_here():\n    open('{data}/held', 'a').close()\n    while not os.path.exists('{data}/go'):\n        pass\n\ndef application(environ, start_response):\n    holds_here()\n    start_response('200 OK', [])\n    return [b'held']\n",
        );
        let _held: Vec<_> = ["/own/holding", "/shared/holding", "/case/holding"]
            .into_iter()
            .map(|path| server.begin(path))
            .collect();
        for interpreter in [
            "main interpreter",
            "sub-interpreter 'own'",
            "sub-interpreter 'shared'",
        ] {
            wait_until(interpreter, || {
                let headings = server.log().matching("Stack of thread ");
                let found = headings.iter().any(|record| record.contains(interpreter));
                found.then_some(())
            });
        }
        let frames = server.wait_for_logs("in holds_here", 3);
        assert_eq!(frames.len(), 3, "{version}: {frames:?}");
        for frame in frames {
            let line = frame.contains("holding.wsgi\", line 5")
                || frame.contains("holding.wsgi\", line 6");
            assert!(line, "{}", frame.line);
        }
    }
}

/// API-021: an extension module of Python itself that does not support a GIL of one's own; the record names both settings that
/// help.
#[test]
#[ignore = "needs several Pythons: make test-pythons"]
fn an_extension_without_support_for_own_gils() {
    for version in several() {
        let server = gils(Mpm::Event, Mode::Daemon, &version).start();
        server.case("reading", "import readline\n\ndef application(environ, start_response):\n    start_response('200 OK', [])\n    return [b'read']\n");
        assert_eq!(server.get("/shared/reading").expect(200).text(), "read");
        let page = server.get("/own/reading").expect(500).text();
        assert!(page.contains("WSGIApplicationGroup %{GLOBAL}"), "{page}");
        let record = server.wait_for_log("WSGI5220");
        assert!(
            record.contains("'readline'") && record.contains("WSGIPerInterpreterGIL Off"),
            "{}",
            record.line
        );
        for code in ["WSGI0174", "WSGI0109"] {
            server.allow_log(code);
        }
    }
}

/// API-060, API-062: an interpreter with its own GIL ends like the others.
#[test]
#[ignore = "needs several Pythons: make test-pythons"]
fn own_gils_end() {
    for version in several() {
        let server = gils(Mpm::Event, Mode::Daemon, &version).start();
        server.case("noting", "import atexit, mod_wsgi\n\ndef note():\n    with open('{data}/notes', 'a') as f:\n        f.write(mod_wsgi.application_group + '\\n')\n\natexit.register(note)\n\ndef application(environ, start_response):\n    start_response('200 OK', [])\n    return []\n");
        server.get("/own/noting").expect(200);
        server.get("/shared/noting").expect(200);
        server.graceful();
        wait_until("both notes", || {
            let notes = std::fs::read_to_string(server.path("data/notes")).unwrap_or_default();
            let mut lines: Vec<&str> = notes.lines().collect();
            lines.sort_unstable();
            (lines == ["own", "shared"]).then_some(())
        });
    }
}
