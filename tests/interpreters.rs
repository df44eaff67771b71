//! Interpreters: which settings reach which of them, and that they do not wait for one another.

use wsgi_harness::{
    Answer, Mode, Mpm, Request, Server, Site, matrix, subject, test_venv, wait_until,
};

const FACTS: &str = include_str!("apps/interpreter.wsgi");

/// A site whose `/GROUP` runs the facts in the interpreter of that name, `/main` in the main one.
fn site(mpm: Mpm, mode: Mode, config: &str) -> Site {
    let site = Site::new(mpm, mode)
        .file("apps/facts.wsgi", FACTS)
        .config("WSGIScriptAlias /main {apps}/facts.wsgi application-group=%{GLOBAL}");
    let groups = ["one", "two"];
    groups
        .iter()
        .fold(site, |site, group| {
            site.config(&format!(
                "WSGIScriptAlias /{group} {{apps}}/facts.wsgi application-group={group}"
            ))
        })
        .config(config)
}

#[track_caller]
fn fact(server: &Server, interpreter: &str, key: &str) -> String {
    let answer: Answer = server.get(&format!("/{interpreter}")).expect(200);
    answer
        .line(key)
        .unwrap_or_else(|| panic!("no {key}: {}", answer.text()))
}

/// As the configuration writes it in a section.
fn group_of(mode: Mode) -> &'static str {
    match mode {
        Mode::Embedded => "%{GLOBAL}",
        Mode::Daemon => "live",
    }
}

/// DIR-094, DIR-095, DIR-097, DIR-098, DIR-102, API-022, API-023, API-909: for each setting the section with the most selectors
/// wins, among equals the last one; names are compared as they are, and `%{GLOBAL}` is the main interpreter.
fn sections(mpm: Mpm, mode: Mode) {
    let own = group_of(mode);
    let config = format!(
        "WSGIRestrictStdout Off
        WSGIRestrictStdin On
        <WSGIInterpreterOptions application-group=one PROCESS-GROUP={own}>
            WSGIRestrictStdout On
        </WSGIInterpreterOptions>
        <WSGIInterpreterOptions application-group=one>
            WSGIRestrictStdout Off
            WSGIRestrictSignal Off
        </WSGIInterpreterOptions>
        <WSGIInterpreterOptions Application-Group=%{{GLOBAL}}>
            WSGIRestrictSignal Off
            WSGIRestrictStdout On
        </WSGIInterpreterOptions>
        <WSGIInterpreterOptions application-group=%{{GLOBAL}}>
            WSGIRestrictStdout Off
        </WSGIInterpreterOptions>
        <WSGIInterpreterOptions process-group={own}>
            WSGIRestrictStdin Off
        </WSGIInterpreterOptions>
        <WSGIInterpreterOptions process-group=elsewhere application-group=two>
            WSGIRestrictSignal Off
        </WSGIInterpreterOptions>
        <WSGIInterpreterOptions application-group=TWO>
            WSGIRestrictSignal Off
        </WSGIInterpreterOptions>
        SetEnvIf Request_URI ^/one NAME=one
        <WSGIInterpreterOptions application-group=%{{ENV:NAME}} process-group={own}>
            WSGIRestrictStdin On
        </WSGIInterpreterOptions>
        <WSGIInterpreterOptions>
            WSGIRestrictStdout On
        </WSGIInterpreterOptions>"
    );
    let server = site(mpm, mode, &config).modules(&["setenvif"]).start();
    for (interpreter, stdout, signals) in [
        ("one", "Restricted", "function"),
        ("main", "TextIOWrapper", "function"),
        ("two", "Restricted", "SignalIntercept"),
    ] {
        let answer = server.get(&format!("/{interpreter}")).expect(200);
        let value = |key| answer.line(key).unwrap_or_default();
        assert_eq!(value("stdout"), stdout, "{interpreter}");
        assert_eq!(value("stdin"), "TextIOWrapper", "{interpreter}");
        let restricted = value("signal") != "function";
        assert_eq!(restricted, signals != "function", "{interpreter}");
    }
}
matrix!(sections: event);

/// DIR-083, DIR-099, API-020, API-027: the paths of all sections that match add up, and the most specific one is searched
/// first; `.pth` files count.
fn paths(mpm: Mpm, mode: Mode) {
    let own = group_of(mode);
    let base = match mode {
        Mode::Embedded => "WSGIPythonPath {dir}/base:{dir}/base2",
        Mode::Daemon => "WSGIPythonPath {dir}/never",
    };
    let config = format!(
        "{base}
        <WSGIInterpreterOptions application-group=one process-group={own}>
            WSGIPythonPath {{dir}}/both
        </WSGIInterpreterOptions>
        <WSGIInterpreterOptions application-group=one>
            WSGIPythonPath {{dir}}/single:{{dir}}/single2
        </WSGIInterpreterOptions>
        <WSGIInterpreterOptions>
            WSGIPythonPath {{dir}}/all
        </WSGIInterpreterOptions>"
    );
    let mut site = site(mpm, mode, &config)
        .daemon_options("processes=1 threads=2 python-path={dir}/base:{dir}/base2");
    for folder in [
        "base", "base2", "both", "single", "single2", "all", "never", "linked",
    ] {
        site = site.file(&format!("{folder}/placeholder.txt"), "");
    }
    let server = site.file("single/more.pth", "{dir}/linked\n").start();
    let found = |interpreter: &str| -> Vec<String> {
        let prefix = format!("{}/", server.dir().display());
        let path = fact(&server, interpreter, "path");
        let entries = path
            .split('\'')
            .filter_map(|entry| entry.strip_prefix(&prefix));
        entries.map(str::to_owned).collect()
    };
    assert_eq!(
        found("one"),
        [
            "both", "single", "linked", "single2", "all", "base", "base2"
        ]
    );
    assert_eq!(found("two"), ["all", "base", "base2"]);
    assert_eq!(found("main"), ["all", "base", "base2"]);
}
matrix!(paths: event);

/// DIR-083, API-028: an entry that cannot be added is reported, the rest of its list is skipped, other lists are not, and
/// the interpreter works.
#[test]
fn a_path_that_fails() {
    let config = "WSGIPythonPath {dir}/first:{dir}/broken:{dir}/last
        <WSGIInterpreterOptions application-group=%{GLOBAL}>
            WSGIPythonPath {dir}/other
        </WSGIInterpreterOptions>";
    let server = site(Mpm::Event, Mode::Embedded, config)
        .file("first/a.txt", "")
        .file("last/a.txt", "")
        .file("other/a.txt", "")
        .file(
            "broken/stop.pth",
            "import sys; sys.exit('from a pth file')\n",
        )
        .start();
    let path = fact(&server, "main", "path");
    for (folder, is_there) in [("first", true), ("last", false), ("other", true)] {
        assert_eq!(
            path.contains(&server.fill(&format!("{{dir}}/{folder}'"))),
            is_there,
            "{path}"
        );
    }
    let record = server.wait_for_log("WSGI0091");
    assert!(record.contains("/broken"), "{}", record.line);
    server.expect_log("WSGI0189");
}

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
    if subject().is_ours() {
        let records = server.log().matching("WSGI0200");
        assert!(records.iter().any(|record| record.contains("'live'")));
        assert!(records.iter().any(|record| record.contains("children")));
    }
}

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
}
matrix!(home: event);

/// DIR-073, DIR-081: a home that is none is named, children without Python serve on, and WSGI requests get 500.
#[test]
fn homes_that_are_none() {
    for (home, code) in [("{dir}/missing", "WSGI0100"), ("{dir}/file", "WSGI0101")] {
        let server = site(
            Mpm::Event,
            Mode::Embedded,
            &format!("WSGIPythonHome {home}"),
        )
        .config("ServerLimit 1\nMaxRequestWorkers 16")
        .file("file", "")
        .file("htdocs/plain.txt", "plain")
        .start();
        assert_eq!(server.get("/plain.txt").expect(200).text(), "plain");
        server.get("/main").expect(500);
        let record = server.wait_for_log(code);
        assert!(record.contains(&server.fill(home)), "{}", record.line);
        // The last three: what Python itself writes, line by line.
        for code in [
            "WSGI0036",
            "WSGI0210",
            "WSGI0001",
            "WSGI0002",
            "WSGI503",
            "Could not find the standard library directory",
            "Python path configuration:",
            "  ",
        ] {
            server.allow_log(code);
        }
        assert!(server.log().count("WSGI0036") > 0 && server.log().count("WSGI0210") > 0);
    }
}

/// DIR-111, DIR-112, API-032, API-033, API-039, API-040: streams and signals, barred and not.
fn restrictions(mpm: Mpm, mode: Mode) {
    let text = "import signal, sys

def attempt(action):
    try:
        return repr(action())
    except Exception as error:
        return '%s: %s' % (type(error).__name__, error)

def application(environ, start_response):
    before = signal.getsignal(signal.SIGUSR2)
    lines = [
        attempt(lambda: sys.stdin.read()),
        attempt(lambda: sys.stdout.write('written by the script\\n')),
        attempt(lambda: signal.signal(signal.SIGUSR2, signal.SIG_IGN)),
        repr(signal.getsignal(signal.SIGUSR2) == before),
    ]
    start_response('200 OK', [])
    return ['\\n'.join(lines).encode()]
";
    let server = Site::new(mpm, mode)
        .script("/free", text)
        .config("WSGIScriptAlias /barred {apps}/free.wsgi application-group=barred\n<WSGIInterpreterOptions application-group=barred>\nWSGIRestrictStdin On\nWSGIRestrictStdout On\nWSGIRestrictSignal Off\n</WSGIInterpreterOptions>")
        .start();
    let free = server.get("/free").expect(200).text();
    let lines: Vec<&str> = free.lines().collect();
    assert_eq!(lines[0], "''", "API-033: the null device");
    assert_eq!(lines[1], "22");
    assert_eq!(
        lines[2], "<Handlers.SIG_IGN: 1>",
        "API-039: the handler that was passed"
    );
    assert_eq!(lines[3], "True", "nothing was registered");
    server.expect_log("written by the script");
    assert!(server.log().count("SIGUSR2") + server.log().count("signal") > 0);
    let barred = server.get("/barred").expect(200).text();
    let lines: Vec<&str> = barred.lines().collect();
    for (line, name) in lines.iter().zip(["stdin", "stdout"]) {
        assert!(
            line.starts_with("OSError: ") && line.contains(name),
            "{line}"
        );
    }
    assert!(lines[2].starts_with("ValueError"), "API-040: {barred}");
}
matrix!(restrictions: event);

/// DIR-090, API-013, API-060, API-062, API-063: at the end of a process interpreters are finalised, or not.
fn ends(mpm: Mpm, mode: Mode) {
    let text = "import atexit, mod_wsgi

def note(text):
    with open('{data}/notes', 'a') as f:
        f.write('%s %s\\n' % (mod_wsgi.application_group or 'main', text))

atexit.register(note, 'atexit')
mod_wsgi.subscribe_shutdown(lambda name, **event: note(name))

def application(environ, start_response):
    start_response('200 OK', [])
    return []
";
    for destroys in [true, false] {
        let server = Site::new(mpm, mode)
            .daemon_options("processes=1 threads=2 shutdown-timeout=20")
            .config("ServerLimit 1\nMaxRequestWorkers 16\nStartServers 1")
            .config(if destroys {
                ""
            } else {
                "WSGIDestroyInterpreter Off"
            })
            .script("/main", text)
            .config("WSGIScriptAlias /one {apps}/main.wsgi application-group=one")
            .start();
        server.get("/main").expect(200);
        server.get("/one").expect(200);
        // The only slot is taken while the old child ends.
        server.allow_log("AH03490");
        let path = server.path("data/notes");
        let processes = server.children();
        server.graceful();
        server.wait_until_gone(&processes);
        let expected: &[&str] = if destroys {
            &[
                "main atexit",
                "main process_stopping",
                "one atexit",
                "one process_stopping",
            ]
        } else {
            &["main process_stopping", "one process_stopping"]
        };
        let notes = || {
            let text = std::fs::read_to_string(&path).unwrap_or_default();
            let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
            lines.sort_unstable();
            lines
        };
        wait_until("the end of the interpreters", || {
            (notes() == expected).then_some(())
        });
    }
}
matrix!(ends: event);

/// A script that imports `fake` as its code says, which works in the main interpreter only and then raises `error`.
fn importing(server: &Server, name: &str, error: &str, code: &str) -> String {
    server.write(
        &format!("apps/lib/{name}.py"),
        &format!("import mod_wsgi\nif mod_wsgi.application_group:\n    raise {error}\n"),
    );
    server.case(name, &code.replace("fake", name))
}

/// Modules of PyO3, Cython and numpy that refuse a sub-interpreter: the record behind the traceback and the page of the 500
/// name the setting, and with that setting they work.
fn extension_modules(mpm: Mpm, mode: Mode) {
    if !subject().is_ours() {
        return;
    }
    let server = Site::new(mpm, mode)
        .daemon_options("processes=1 threads=2 python-path={apps}/lib")
        .config(match mode {
            Mode::Embedded => "WSGIPythonPath {apps}/lib",
            Mode::Daemon => "",
        })
        .file("apps/lib/placeholder.txt", "")
        .config("WSGIScriptAliasMatch ^/sub/([a-z0-9_]+) {apps}/$1.wsgi application-group=sub")
        .config("WSGIScriptAlias /module module:refusing application-group=sub")
        .cases()
        .start();
    let serving = "\n\ndef application(environ, start_response):\n    start_response('200 OK', [])\n    return [b'works']\n";
    let at_load = format!("import fake{serving}");
    let at_request = "def application(environ, start_response):\n    import fake\n    start_response('200 OK', [])\n    return [b'works']\n";
    let wrapped = format!(
        "try:\n    import fake\nexcept (ImportError, RuntimeError) as error:\n    raise ValueError('the application is not configured') from error{serving}"
    );
    let texts = [
        (
            "pyo3",
            "ImportError('PyO3 modules do not yet support subinterpreters, see https://github.com/PyO3/pyo3/issues/576')",
            &at_load[..],
        ),
        (
            "cython",
            "ImportError('Interpreter change detected - this module can only be loaded into one interpreter per process.')",
            at_request,
        ),
        (
            "numpy1",
            "RuntimeError('implement_array_function method already has a docstring')",
            &wrapped,
        ),
        (
            "numpy2",
            "ImportError('cannot load module more than once per process')",
            &wrapped,
        ),
        (
            "cpython",
            "ImportError('module cpython does not support loading in subinterpreters', name='cpython')",
            at_request,
        ),
    ];
    for (count, (name, error, code)) in texts.into_iter().enumerate() {
        let url = importing(&server, name, error, code);
        assert_eq!(server.get(&url).expect(200).text(), "works", "{name}");
        let page = server
            .get(&url.replace("/case/", "/sub/"))
            .expect(500)
            .text();
        assert!(
            page.contains("WSGIApplicationGroup %{GLOBAL}") && page.contains("WSGI5220"),
            "{page}"
        );
        let records = server.wait_for_logs("WSGI5220", count + 1);
        let record = records.last().expect("as many as were waited for");
        assert!(
            record.contains("application-group=%{GLOBAL}")
                && record.contains("sub-interpreter 'sub'")
        );
    }
    assert!(
        server
            .log()
            .matching("WSGI5220")
            .iter()
            .any(|record| record.contains("'cpython'"))
    );
    server.write("apps/lib/refusing.py", "import pyo3\n");
    assert!(
        server
            .get("/module")
            .expect(500)
            .text()
            .contains("WSGI5220")
    );
    let count = server.wait_for_logs("WSGI5220", texts.len() + 1).len();

    // An application that does without, and one that fails for another reason.
    let without = format!("try:\n    import fake\nexcept ImportError:\n    fake = None{serving}");
    let url = importing(
        &server,
        "optional",
        "ImportError('PyO3 modules do not yet support subinterpreters')",
        &without,
    );
    server.get(&url.replace("/case/", "/sub/")).expect(200);
    let url = importing(
        &server,
        "other",
        "ImportError('libfoo.so: cannot open shared object file')",
        &at_load,
    );
    let page = server
        .get(&url.replace("/case/", "/sub/"))
        .expect(500)
        .text();
    assert!(
        page.contains("internal error") && !page.contains("GLOBAL"),
        "{page}"
    );
    assert_eq!(server.log().count("WSGI5220"), count);
    for code in ["WSGI0174", "WSGI0109", "WSGI5211"] {
        server.allow_log(code);
    }
}
matrix!(extension_modules: event);

/// A real module made with PyO3: the first interpreter that loads it has it, the second one is refused, be it the main one.
#[test]
fn a_module_of_pyo3() {
    if !subject().is_ours() {
        return;
    }
    let venv = test_venv();
    assert!(
        std::process::Command::new(venv.join("bin/python"))
            .args(["-c", "import rpds"])
            .status()
            .is_ok_and(|status| status.success()),
        "the package rpds-py is missing in {}; `make test` installs it",
        venv.display()
    );
    for (first, second) in [("/sub", "/main"), ("/main", "/sub")] {
        let server = Site::daemon()
            .daemon_options(&format!("processes=1 threads=2 python-home={}", venv.display()))
            .script("/main", "import rpds\n\ndef application(environ, start_response):\n    start_response('200 OK', [])\n    return [rpds.HashTrieMap({b'a': b'works'})[b'a']]\n")
            .config("WSGIScriptAlias /sub {apps}/main.wsgi application-group=sub")
            .start();
        assert_eq!(server.get(first).expect(200).text(), "works");
        let page = server.get(second).expect(500).text();
        assert!(page.contains("WSGIApplicationGroup %{GLOBAL}"), "{page}");
        let record = server.wait_for_log("WSGI5220");
        let expected = if second == "/main" {
            "before the main interpreter did"
        } else {
            "sub-interpreter 'sub'"
        };
        assert!(record.contains(expected), "{}", record.line);
        for code in ["WSGI0174", "WSGI0109"] {
            server.allow_log(code);
        }
    }
}

/// A script that says in `{data}/NAME` that it is being loaded, and loads until `{data}/go` is there.
fn slow(name: &str) -> String {
    format!(
        "import os, time\nopen('{{data}}/{name}', 'w').close()\nwhile not os.path.exists('{{data}}/go'):\n    time.sleep(0.01)\n\ndef application(environ, start_response):\n    start_response('200 OK', [])\n    return [b'{name}']\n"
    )
}

/// REQ-603, API-043, API-050: while a script is being loaded, other scripts of its interpreter are loaded and served; its own
/// requests wait for it.
fn imports_do_not_wait(mpm: Mpm, mode: Mode) {
    let server = Site::new(mpm, mode)
        .daemon_options("processes=1 threads=5")
        .config("ServerLimit 1\nMaxRequestWorkers 16")
        .script("/loaded", "def application(environ, start_response):\n    start_response('200 OK', [])\n    return [b'loaded']\n")
        .cases()
        .start();
    server.get("/loaded").expect(200);
    let url = server.case("slow", &server.fill(&slow("slow")));
    let mut waiting = [server.connect(), server.connect()];
    for connection in &mut waiting {
        connection.send_bytes(Request::get(&url).bytes());
    }
    wait_until("the slow script", || {
        server.path("data/slow").exists().then_some(())
    });
    if subject().differs("REQ-603") {
        assert_eq!(server.get("/loaded").expect(200).text(), "loaded");
        let other = server.case("other", "def application(environ, start_response):\n    start_response('200 OK', [])\n    return [b'other']\n");
        assert_eq!(server.get(&other).expect(200).text(), "other");
    }
    server.write("data/go", "");
    for connection in &mut waiting {
        let answer = connection
            .read_answer("GET")
            .expect("an answer")
            .expect(200);
        assert_eq!(answer.text(), "slow");
    }
    let loads = server.log().matching("Load script").into_iter();
    if subject().is_ours() {
        assert_eq!(
            loads.filter(|record| record.contains("/slow.wsgi")).count(),
            1
        );
    }
}
matrix!(imports_do_not_wait: event);

/// API-019: while an interpreter is being made, requests for others are served.
fn interpreters_do_not_wait(mpm: Mpm, mode: Mode) {
    let wait = "import os, time\nopen('{data}/making', 'w').close()\nwhile not os.path.exists('{data}/go'):\n    time.sleep(0.01)\n";
    let config = "WSGIScriptAlias /slow {apps}/facts.wsgi application-group=slow
        <WSGIInterpreterOptions application-group=slow>
            WSGIPythonPath {dir}/lib
        </WSGIInterpreterOptions>";
    let server = site(mpm, mode, config)
        .daemon_options("processes=1 threads=5")
        .config("ServerLimit 1\nMaxRequestWorkers 16")
        .file("lib/wait.pth", "import holding_up\n")
        .file("lib/holding_up.py", wait)
        .start();
    assert_eq!(fact(&server, "one", "group"), "one");
    let mut waiting = [server.connect(), server.connect()];
    for connection in &mut waiting {
        connection.send_bytes(Request::get("/slow").bytes());
    }
    wait_until("the interpreter", || {
        server.path("data/making").exists().then_some(())
    });
    if subject().differs("API-019") {
        assert_eq!(fact(&server, "main", "group"), "");
        // Often enough that every thread has had one.
        for _ in 0..20 {
            assert_eq!(fact(&server, "one", "group"), "one");
        }
    }
    server.write("data/go", "");
    for connection in &mut waiting {
        let answer = connection
            .read_answer("GET")
            .expect("an answer")
            .expect(200);
        assert_eq!(answer.line("group").as_deref(), Some("slow"));
    }
}
matrix!(interpreters_do_not_wait: event);

/// DIR-077, DIR-078, DIR-079, API-049, REQ-600: import scripts are loaded once, in the order of the file, on the main thread;
/// requests use what they loaded, and one that fails keeps none of the others away.
fn import_scripts(mpm: Mpm, mode: Mode) {
    let own = group_of(mode);
    let note = |name: &str| {
        format!(
            "import threading, mod_wsgi\nwith open('{{data}}/order', 'a') as f:\n    f.write('{name} %s %s\\n' % (mod_wsgi.application_group, threading.current_thread() is threading.main_thread()))\n"
        )
    };
    let import = |name: &str, group: &str| {
        format!(
            "WSGIImportScript {{apps}}/{name}.wsgi process-group={own} application-group={group}\n"
        )
    };
    let config = import("b", "one")
        + &import("raises", "one")
        + &import("missing", "one")
        + &import("exits", "one")
        + &import("wrong", "%{GLOBAL}")
        + "WSGIScriptAlias /a {apps}/a.wsgi application-group=one process-group="
        + own
        + "\n"
        + &import("c", "two");
    let serving = "\ndef application(environ, start_response):\n    start_response('200 OK', [])\n    return [__name__.encode()]\n";
    let server = Site::new(mpm, mode)
        .daemon_options("processes=1 threads=2")
        .config("ServerLimit 1\nMaxRequestWorkers 16")
        .file("apps/a.wsgi", &(note("a") + serving))
        .file("apps/b.wsgi", &(note("b") + serving))
        .file("apps/c.wsgi", &note("c"))
        .file(
            "apps/raises.wsgi",
            &(note("raises") + "raise ValueError('in raises')\n"),
        )
        .file(
            "apps/exits.wsgi",
            &(note("exits") + "raise SystemExit(3)\n"),
        )
        .file("apps/wrong.wsgi", "def (:\n")
        .config(&config)
        .config("WSGIScriptAlias /b {apps}/b.wsgi application-group=one")
        .start();
    server.get("/a").expect(200);
    server.get("/b").expect(200);
    let order = std::fs::read_to_string(server.path("data/order")).expect("scripts were loaded");
    let expected =
        ["b one", "raises one", "exits one", "a one", "c two"].map(|name| format!("{name} True"));
    assert_eq!(order.lines().collect::<Vec<_>>(), expected);
    for (code, script) in [
        ("WSGI0110", "raises.wsgi"),
        ("WSGI0108", "exits.wsgi"),
        ("WSGI0106", "missing.wsgi"),
        ("WSGI0106", "wrong.wsgi"),
    ] {
        let records = server.log().matching(code);
        assert!(
            records.iter().any(|record| record.contains(script)),
            "{code} {script}"
        );
        server.expect_log(code);
    }
    // The tracebacks.
    server.allow_log("WSGI0174");
    server.allow_log("WSGI0175");
}
matrix!(import_scripts: event);
