//! How Python is started in a process: options, hashes, bytecode, its home, and what this Python cannot do.

use std::os::unix::fs::symlink;

use wsgi_harness::{Level, Mode, Mpm, Server, Site, matrix, subject, test_venv};

use super::{fact, site};

/// GEN-02, DIR-091, DIR-092, DIR-100, API-016, API-021: what this Python cannot do is said when Apache starts, once for each kind of
/// process, and everything works without.
#[test]
fn what_python_cannot_do() {
    let config = "WSGIPerInterpreterGIL On
        WSGIFreeThreading On
        <WSGIInterpreterOptions application-group=one>
            WSGIFreeThreading On
        </WSGIInterpreterOptions>";
    let server = site(Mpm::Event, Mode::Daemon, config).start();
    assert_eq!(fact(&server, "one", "group"), "one");
    if fact(&server, "one", "version") == "3.11" {
        server.expect_log("WSGI0198");
    } else {
        server.allow_log("WSGI0198");
    }
    server.expect_log("WSGI0200");
    server.expect_log("WSGI0201");
    for code in ["WSGI0198", "WSGI0200", "WSGI0201"] {
        for record in server.log().matching(code) {
            assert_eq!(record.level, Level::Warn, "{}", record.line);
        }
    }
    if subject().is_ours() {
        let records = server.log().matching("WSGI0200");
        assert!(records.iter().any(|record| record.contains("'live'")));
        assert!(records.iter().any(|record| record.contains("children")));
    }
}

/// REQ-851, API-400: a module `apache` that can be imported is the one that children get, with the attributes of the other;
/// daemons have only that.
fn module_apache_of_somebody_else(mpm: Mpm, mode: Mode) {
    let server = Site::new(mpm, mode)
        .config("WSGIPythonPath {dir}/lib")
        .file("lib/apache.py", "mine = 1\n")
        .script(
            "/",
            "import apache\n\ndef application(e, s):\n    s('200 OK', [])\n    return [repr((getattr(apache, 'mine', None), len(apache.version), apache.mpm_name)).encode()]\n",
        )
        .start();
    let mine = if mode == Mode::Embedded { "1" } else { "None" };
    assert_eq!(
        server.get("/").expect(200).text(),
        format!("({mine}, 3, '{}')", mpm.name())
    );
}
matrix!(module_apache_of_somebody_else: event);

/// DOC-06, DIR-089, DIR-101, DMN-952, DP-54, API-024: the interval of threads, and the value that a sub-interpreter cannot have.
#[test]
fn switch_interval() {
    let config = "WSGISwitchInterval 0.25
        <WSGIInterpreterOptions application-group=one>
            WSGISwitchInterval 0.125
        </WSGIInterpreterOptions>";
    let server = site(Mpm::Event, Mode::Embedded, config).start();
    assert_eq!(fact(&server, "main", "interval"), "0.25");
    assert_eq!(server.log().count("WSGI0199"), 0, "not yet created");
    assert_eq!(fact(&server, "one", "interval"), "0.25");
    server.expect_log("WSGI0199");

    // The main interpreter may have one, and a section for all interpreters may say it.
    let config = "WSGISwitchInterval 0.25
        <WSGIInterpreterOptions process-group=%{GLOBAL}>
            WSGISwitchInterval 0.375
        </WSGIInterpreterOptions>
        <WSGIInterpreterOptions application-group=%{GLOBAL}>
            WSGISwitchInterval 0.5
        </WSGIInterpreterOptions>";
    let server = site(Mpm::Event, Mode::Embedded, config).start();
    assert_eq!(fact(&server, "main", "interval"), "0.5");
    assert_eq!(fact(&server, "two", "interval"), "0.375");
    assert_eq!(server.log().count("WSGI0199"), 0);

    let server = site(Mpm::Event, Mode::Daemon, "WSGISwitchInterval 0.25")
        .daemon_options("processes=1 threads=2 switch-interval=0.5")
        .start();
    assert_eq!(fact(&server, "main", "interval"), "0.5");
    let expected = if subject().differs("DP-54") {
        "0.5"
    } else {
        "0.25"
    };
    assert_eq!(fact(&server, "one", "interval"), expected);
    assert_eq!(fact(&server, "main", "interval"), expected);

    let server = site(Mpm::Event, Mode::Daemon, "WSGISwitchInterval 0.25").start();
    assert_eq!(fact(&server, "main", "interval"), "0.25", "DOC-09");
}

/// DIR-084 to DIR-088, API-010 to API-012, API-026, API-031: how Python is started.
fn options(mpm: Mpm, mode: Mode) {
    let config = "WSGIPythonOptimize 1
        WSGIPythonWarnings ignore::DeprecationWarning
        WSGIPythonWarnings error::ResourceWarning
        WSGIPythonHashSeed 42
        WSGIDontWriteBytecode On
        WSGIPythonEggs {dir}/eggs";
    let server = site(mpm, mode, config)
        .daemon_options("processes=1 threads=2 python-eggs={dir}/eggs")
        .start();
    let answer = server.get("/main").expect(200);
    let value = |key| answer.line(key).unwrap_or_default();
    assert_eq!(value("optimize"), "1");
    assert_eq!(
        value("warnings"),
        "['ignore::DeprecationWarning', 'error::ResourceWarning']"
    );
    assert_eq!(value("bytecode"), "False");
    assert_eq!(value("eggs"), server.fill("{dir}/eggs"));
    assert_eq!(value("argv"), "['mod_wsgi']");
    assert_eq!(value("orig_argv"), "[]", "API-010");
    let python = std::process::Command::new("/usr/bin/python3")
        .args(["-c", "print(hash('mod_wsgi'))"])
        .env("PYTHONHASHSEED", "42")
        .output()
        .expect("the Python of this system");
    assert_eq!(
        value("hash"),
        String::from_utf8_lossy(&python.stdout).trim()
    );
    assert_eq!(fact(&server, "one", "optimize"), "1");
}
matrix!(options: event);

/// DIR-085, DIR-086, DIR-088: any filter is passed on, and Python does what those say that it understands, in every interpreter; a
/// level that Python does not know is passed on as well; without a seed hashes are random.
fn options_of_pythons_own(mpm: Mpm, mode: Mode) {
    let config = "WSGIPythonOptimize 5
        WSGIPythonWarnings error::DeprecationWarning
        WSGIPythonWarnings \"no filter\"
        WSGIPythonWarnings ignore::UserWarning
        WSGIPythonWarnings default::PendingDeprecationWarning
        WSGIScriptAlias /warn {apps}/warn.wsgi application-group=%{GLOBAL}
        WSGIScriptAlias /warn-one {apps}/warn.wsgi application-group=one";
    let server = site(mpm, mode, config)
        .file(
            "apps/warn.wsgi",
            "import sys, warnings

def told(category):
    with warnings.catch_warnings(record=True) as seen:
        try:
            warnings.warn('on purpose', category)
        except category:
            return 'raised'
    return len(seen)

def application(environ, start_response):
    categories = DeprecationWarning, UserWarning, PendingDeprecationWarning, RuntimeWarning
    start_response('200 OK', [])
    return [repr([told(category) for category in categories]).encode()]
",
        )
        .start();
    // Python says on its standard error which filter it does not understand.
    server.allow_raw_lines();
    server.expect_log("Invalid -W option ignored");
    for name in ["main", "one"] {
        let answer = server.get(&format!("/{name}")).expect(200);
        assert_eq!(answer.fact("optimize"), "5", "{name}");
        assert_eq!(answer.fact("randomized"), "1", "{name}");
        assert_eq!(
            answer.fact("warnings"),
            "['error::DeprecationWarning', 'no filter', 'ignore::UserWarning', 'default::PendingDeprecationWarning']",
            "{name}"
        );
    }
    for path in ["/warn", "/warn-one"] {
        let told = server.get(path).expect(200).text();
        assert_eq!(told, "['raised', 0, 1, 1]", "{path}");
    }
}
matrix!(options_of_pythons_own: event);

/// DIR-088, API-012, API-908, DOC-11: `random` is random: two processes agree on nothing.
#[test]
fn random_hashes() {
    let server = site(Mpm::Event, Mode::Daemon, "WSGIPythonHashSeed random")
        .config("WSGIDaemonProcess other threads=1\nWSGIScriptAlias /other {apps}/facts.wsgi process-group=other")
        .start();
    let (first, second) = (
        fact(&server, "main", "hash"),
        fact(&server, "other", "hash"),
    );
    assert_eq!(
        first != second,
        subject().differs("DIR-088"),
        "{first} {second}"
    );
}

/// DIR-087: bytecode is written where nothing forbids it, but not for scripts; DIR-085: optimised code has its own.
fn bytecode(mpm: Mpm, mode: Mode) {
    let start = |config: &str| {
        let site = Site::new(mpm, mode)
            .daemon_options("processes=1 threads=1 python-path={data}/lib")
            .config("<IfDefine !NEVER>\nWSGIPythonPath {data}/lib\n</IfDefine>")
            .config(config)
            .file("data/lib/neighbour.py", "x = 1\n")
            .script("/", "import neighbour\n\ndef application(environ, start_response):\n    start_response('200 OK', [])\n    return [b'x' if __debug__ else b'optimised']\n");
        let folder = site.path("data/lib");
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o777);
        std::fs::set_permissions(folder, open).expect("mine");
        site.start()
    };
    let caches = |server: &Server| -> Vec<String> {
        let Ok(entries) = std::fs::read_dir(server.path("data/lib/__pycache__")) else {
            return Vec::new();
        };
        let names = entries
            .flatten()
            .map(|entry| entry.file_name().to_string_lossy().into_owned());
        names.collect()
    };
    let server = start("");
    assert_eq!(server.get("/").expect(200).text(), "x");
    assert_eq!(caches(&server).len(), 1);
    let server = start("WSGIDontWriteBytecode On");
    server.get("/").expect(200);
    assert!(caches(&server).is_empty());
    let server = start("WSGIPythonOptimize 2");
    assert_eq!(server.get("/").expect(200).text(), "optimised");
    let names = caches(&server);
    assert!(
        names.len() == 1 && names[0].contains(".opt-2."),
        "{names:?}"
    );
}
matrix!(bytecode: event);

/// DIR-081, API-015, DP-50: the home of embedded mode, and of groups without one: a virtual environment.
fn home(mpm: Mpm, mode: Mode) {
    let venv = test_venv();
    let server = site(mpm, mode, &format!("WSGIPythonHome {}", venv.display())).start();
    assert_eq!(fact(&server, "main", "prefix"), venv.display().to_string());
    assert_ne!(fact(&server, "main", "base"), venv.display().to_string());
    assert_eq!(fact(&server, "one", "prefix"), venv.display().to_string());
    assert!(fact(&server, "main", "path").contains(&format!("{}/lib/", venv.display())));
    for interpreter in ["main", "one"] {
        assert_eq!(
            fact(&server, interpreter, "executable"),
            venv.join("bin/python").display().to_string()
        );
    }
}
matrix!(home: event);

/// DIR-081: without `pyvenv.cfg` it is the home of the interpreter itself, which has its library there.
fn home_of_the_interpreter(mpm: Mpm, mode: Mode) {
    let site = site(mpm, mode, "WSGIPythonHome {dir}/home");
    // The virtual environment is of the Python that the servers run.
    let python = std::fs::canonicalize(test_venv().join("bin/python")).expect("its Python");
    let output = std::process::Command::new(python)
        .args(["-c", "import os; print(os.path.dirname(os.__file__))"])
        .output()
        .expect("it runs");
    let library = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    let name = library.rsplit('/').next().expect("lib/pythonX.Y");
    std::fs::create_dir_all(site.path("home/lib")).expect("a folder of the site");
    symlink(&library, site.path("home/lib").join(name)).expect("a link of the site");
    let server = site.start();
    for interpreter in ["main", "one"] {
        for key in ["prefix", "base"] {
            assert_eq!(fact(&server, interpreter, key), server.fill("{dir}/home"));
        }
    }
    let path = fact(&server, "main", "path");
    assert!(
        path.contains(&server.fill(&format!("{{dir}}/home/lib/{name}'"))),
        "{path}"
    );
}
matrix!(home_of_the_interpreter: event);

/// DIR-073, DIR-081: a home that is none is named, children without Python serve on, and WSGI requests get 500.
#[test]
fn homes_that_are_none() {
    for (home, code) in [
        ("{dir}/missing", "WSGI0100"),
        ("{dir}/file", "WSGI0101"),
        ("{dir}/closed", "WSGI0102"),
    ] {
        let site = site(
            Mpm::Event,
            Mode::Embedded,
            &format!("WSGIPythonHome {home}"),
        )
        .config("ServerLimit 1\nMaxRequestWorkers 16")
        .file("file", "")
        .file("closed/lib/file", "")
        .file("htdocs/plain.txt", "plain");
        let closed = std::os::unix::fs::PermissionsExt::from_mode(0o000);
        std::fs::set_permissions(site.path("closed"), closed).expect("mine");
        let server = site.start();
        assert_eq!(server.get("/plain.txt").expect(200).text(), "plain");
        server.get("/main").expect(500);
        let record = server.wait_for_log(code);
        assert!(record.contains(&server.fill(home)), "{}", record.line);
        assert_eq!(record.level, Level::Warn, "{}", record.line);
        let cause = server.wait_for_log("WSGI0036");
        let end = server.wait_for_log("WSGI0001");
        assert_eq!(end.level, Level::Crit, "{}", end.line);
        assert!(server.log().count("WSGI0210") > 0, "{}", cause.line);
        for code in ["WSGI0036", "WSGI0210", "WSGI0001", "WSGI0002", "WSGI503"] {
            server.allow_log(code);
        }
        // What Python itself writes.
        server.allow_raw_lines();
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(server.path("closed"), open).expect("mine");
    }
}
