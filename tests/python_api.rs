//! What Python code finds in an interpreter: the modules `mod_wsgi` and `apache`, and the order in which they come to be.

use wsgi_harness::{Mode, Mpm, Process, Site, matrix, subject, test_venv, wait_until};

/// Whether a process has Python, as a library or as its executable.
fn has_python(process: &Process) -> bool {
    let maps = std::fs::read_to_string(format!("/proc/{}/maps", process.pid)).unwrap_or_default();
    maps.contains("libpython3.") || maps.contains("/bin/python3.")
}

const HELLO: &str = "def application(environ, start_response):\n    start_response('200 OK', [])\n    return [b'hello']\n";

/// API-001, DIR-070: the parent has no Python; children and daemons have, after a restart, too.
#[test]
fn no_python_in_the_parent() {
    if !subject().is_ours() {
        // The original's library is linked with Python's.
        return;
    }
    let server = Site::daemon().script("/", HELLO).start();
    for _ in 0..2 {
        server.get("/").expect(200);
        assert!(!has_python(&server.parent()));
        assert!(server.daemons().iter().all(has_python));
        wait_until("Python in the children", || {
            let children = server.children();
            (!children.is_empty() && children.iter().all(has_python)).then_some(())
        });
        server.restart();
    }
}

/// API-002, DIR-071: children have no Python where embedded mode is switched off, unless something asks for it.
#[test]
fn children_without_python() {
    if !subject().is_ours() {
        return;
    }
    for (config, expected) in [
        ("WSGIRestrictEmbedded On", false),
        ("WSGIRestrictEmbedded On\nWSGIRestrictEmbedded Off", true),
        (
            "WSGIRestrictEmbedded On\nWSGIImportScript {apps}/root.wsgi process-group=%{GLOBAL} application-group=%{GLOBAL}",
            true,
        ),
        (
            "WSGIRestrictEmbedded On\nWSGIImportScript {apps}/root.wsgi process-group=live application-group=%{GLOBAL}",
            false,
        ),
    ] {
        let server = Site::daemon().script("/", HELLO).config(config).start();
        // A child serves after its Python was started.
        server.get("/").expect(200);
        assert!(
            server
                .children()
                .iter()
                .all(|child| has_python(child) == expected),
            "{config}"
        );
    }
}

const ATTRIBUTES: &str = "import mod_wsgi, apache, io, logging, sys

def application(environ, start_response):
    facts = {
        'version': mod_wsgi.version,
        'environ_version': environ['mod_wsgi.version'],
        'process': repr(mod_wsgi.process_group),
        'group': repr(mod_wsgi.application_group),
        'processes': mod_wsgi.maximum_processes,
        'threads': mod_wsgi.threads_per_process,
        'wrapper': environ['wsgi.file_wrapper'] is mod_wsgi.FileWrapper and isinstance(mod_wsgi.FileWrapper, type),
        'handler': issubclass(mod_wsgi.LogHandler, logging.Handler),
        'timeout': issubclass(mod_wsgi.RequestTimeout, BaseException),
        'active': type(mod_wsgi.active_requests).__name__,
        'lists': [type(getattr(mod_wsgi, name)).__name__ for name in ('event_callbacks', 'shutdown_callbacks')],
        'metrics': [mod_wsgi.request_metrics(), mod_wsgi.server_metrics()],
        'apache': [type(apache.version).__name__, len(apache.version), type(apache.description).__name__, apache.mpm_name, type(apache.build_date).__name__],
        'apache_sizes': [apache.maximum_processes, apache.threads_per_process],
        'returned': mod_wsgi.subscribe_shutdown(print) is print and mod_wsgi.subscribe_events(len) is len,
        'wsgi': [environ['wsgi.version'], environ['wsgi.input_terminated']],
    }
    mod_wsgi.event_callbacks.clear()
    mod_wsgi.shutdown_callbacks.clear()
    start_response('200 OK', [])
    return [''.join('%s\\t%s\\n' % item for item in facts.items()).encode()]
";

/// REQ-850, API-051, API-052, API-110 to API-119, API-130, API-131, API-135, API-400, API-401, API-901, MET-60: the attributes of
/// `mod_wsgi` and `apache`.
fn attributes(mpm: Mpm, mode: Mode) {
    let server = Site::new(mpm, mode)
        .daemon_options("processes=2 threads=3")
        .config("WSGIScriptAlias /named {apps}/root.wsgi application-group=named")
        .script("/", ATTRIBUTES)
        .start();
    let answer = server.get("/").expect(200);
    let (name, threads) = (mpm.name(), if mpm == Mpm::Prefork { "1" } else { "16" });
    // Of the server: the children that MaxRequestWorkers allows.
    let processes = match mpm {
        Mpm::Prefork => "20",
        _ if subject().differs("API-113") => "4",
        _ => "1",
    };
    let own = match mode {
        Mode::Embedded => ["''", processes, threads],
        Mode::Daemon => ["'live'", "2", "3"],
    };
    for (key, expected) in [
        ("version", "(6, 1, 1)"),
        ("environ_version", "(6, 1, 1)"),
        ("process", own[0]),
        ("group", "''"),
        ("processes", own[1]),
        ("threads", own[2]),
        ("wrapper", "True"),
        ("handler", "True"),
        ("timeout", "True"),
        ("active", "dict"),
        ("lists", "['list', 'list']"),
        ("metrics", "[None, None]"),
        ("apache", &format!("['tuple', 3, 'str', '{name}', 'str']")),
        ("apache_sizes", &format!("[{processes}, {threads}]")),
        ("returned", "True"),
        ("wsgi", "[(1, 0), True]"),
    ] {
        assert_eq!(answer.fact(key), expected, "{key}");
    }
    assert_eq!(server.get("/named").expect(200).fact("group"), "'named'");
}
matrix!(attributes);

/// API-025, DIR-074: what code of a `.pth` file finds: everything of the interpreter's own set-up, of `mod_wsgi` the types, of
/// `apache` nothing.
#[test]
fn order_of_the_set_up() {
    let probe = "import mod_wsgi, sys, signal, threading
facts = [
    hasattr(mod_wsgi, 'LogHandler'), hasattr(mod_wsgi, 'process_group'),
    'apache' in sys.modules, sys.argv, type(sys.stderr).__name__, sys.stderr.name, type(sys.stdout).__name__,
    type(signal.signal).__name__ == 'function', 'threading' in sys.modules, 'logging' in sys.modules,
]
with open('{data}/facts', 'a') as f:
    f.write(repr(facts) + '\\n')
";
    let server = Site::daemon()
        .daemon_options("processes=1 threads=1 python-path={dir}/lib")
        .file("lib/probing.pth", "import probing\n")
        .file("lib/probing.py", probe)
        .config("WSGIScriptAlias /named {apps}/root.wsgi application-group=named")
        .script("/", HELLO)
        .start();
    server.get("/").expect(200);
    server.get("/named").expect(200);
    let facts = std::fs::read_to_string(server.path("data/facts")).expect("the pth file ran");
    let lines: Vec<&str> = facts.lines().collect();
    assert_eq!(lines.len(), 2, "{facts}");
    for line in lines {
        assert_eq!(
            line,
            "[True, False, False, ['mod_wsgi'], 'TextIOWrapper', '<stderr>', 'TextIOWrapper', False, True, True]"
        );
    }
}

/// API-100, API-101: an installed package `mod_wsgi` gives its `__path__` and nothing else; one that is broken is reported
/// and does no harm.
#[test]
fn an_installed_package() {
    let start = |text: &str| {
        let base = test_venv();
        let python = std::fs::read_link(base.join("bin/python3"))
            .unwrap_or_else(|_| "/usr/bin/python3".into());
        let python = if python.is_absolute() {
            python
        } else {
            "/usr/bin/python3".into()
        };
        let folder = std::fs::read_dir(base.join("lib"))
            .expect("a virtual environment has a lib")
            .flatten()
            .find(|entry| entry.file_name().to_string_lossy().starts_with("python3."))
            .expect("with a folder for its Python")
            .file_name();
        let packages = format!(
            "venv/lib/{}/site-packages/mod_wsgi",
            folder.to_string_lossy()
        );
        let configuration =
            std::fs::read_to_string(base.join("pyvenv.cfg")).expect("it was looked for");
        let site = Site::daemon()
            .daemon_options("processes=1 threads=1 python-home={dir}/venv")
            .file("venv/pyvenv.cfg", &configuration)
            .file("venv/bin/placeholder.txt", "")
            .file(&format!("{packages}/__init__.py"), text)
            .file(&format!("{packages}/extra.py"), "value = 'of the package'\n")
            .script("/", "import mod_wsgi\ntry:\n    import mod_wsgi.extra\n    value = mod_wsgi.extra.value\nexcept ImportError:\n    value = 'none'\n\ndef application(environ, start_response):\n    start_response('200 OK', [])\n    return [('%s %s %s' % (value, hasattr(mod_wsgi, 'marker'), mod_wsgi.process_group)).encode()]\n");
        std::os::unix::fs::symlink(python, site.path("venv/bin/python")).expect("mine");
        site.start()
    };
    let server = start("marker = True\n");
    assert_eq!(
        server.get("/").expect(200).text(),
        "of the package False live"
    );
    let server = start("raise ValueError('a broken package')\n");
    assert_eq!(server.get("/").expect(200).text(), "none False live");
    server.expect_log("WSGI0188");
    server.expect_log("ValueError: a broken package");
}

/// API-034, REQ-560: in the process of a debugger standard output and input are those of the terminal, whatever is restricted; standard
/// error is Apache's log.
#[test]
fn one_process() {
    let server = Site::embedded()
        .one_process()
        .config("WSGIRestrictStdin On\nWSGIRestrictStdout On")
        .script(
            "/",
            "import sys\n\ndef application(environ, start_response):\n    print('printed', flush=True)\n    print('complained', file=sys.stderr)\n    lines = [sys.stdout is sys.__stdout__, sys.stdin is sys.__stdin__, repr(sys.stdin.read()), sys.stderr is sys.__stderr__]\n    start_response('200 OK', [])\n    return [' '.join(map(str, lines)).encode()]\n",
        )
        .start();
    assert_eq!(server.get("/").expect(200).text(), "True True '' False");
    wait_until("what was printed", || {
        let text = std::fs::read_to_string(server.path("stderr.log")).unwrap_or_default();
        text.lines().any(|line| line == "printed").then_some(())
    });
    server.expect_log("complained");
    server.allow_log("printed");
}

/// API-117, API-152: a record below Apache's level is dropped before it is formatted: the request's level, where it has one.
fn log_levels(mpm: Mpm, mode: Mode) {
    let server = Site::new(mpm, mode)
        .log_level("notice wsgi:warn")
        .modules(&["setenvif"])
        .config(
            "<Location /verbose>
                LogLevel wsgi:debug
            </Location>
            <Location /quiet>
                LogLevel wsgi:error
            </Location>",
        )
        .script(
            "/",
            "import logging, mod_wsgi

logger = logging.Logger('mine')
logger.addHandler(mod_wsgi.LogHandler())

class Text:
    def __init__(self, text, path):
        self.text, self.path, self.was_formatted = text, path, False

    def __str__(self):
        self.was_formatted = True
        return '%s at %s' % (self.text, self.path)

def application(environ, start_response):
    texts = [Text(name, environ['PATH_INFO']) for name in ('debugging', 'warning', 'failing')]
    logger.debug(texts[0])
    logger.warning(texts[1])
    logger.error(texts[2])
    start_response('200 OK', [])
    return [repr([text.was_formatted for text in texts]).encode()]
",
        )
        .start();
    let formatted = |path: &str| server.get(path).expect(200).text();
    assert_eq!(formatted("/plain"), "[False, True, True]");
    // A daemon knows the level of its group's server. What is notice or worse is only dropped by httpd itself.
    let verbose = match mode {
        Mode::Embedded => "[True, True, True]",
        Mode::Daemon => "[False, True, True]",
    };
    assert_eq!(formatted("/verbose"), verbose);
    assert_eq!(formatted("/quiet"), "[False, True, True]");
    for text in ["warning at", "failing at"] {
        server.expect_log(text);
    }
    let count = |text: &str| server.log().count(text);
    assert_eq!(count("failing at"), 3);
    assert_eq!(count("debugging at /plain"), 0);
    assert_eq!(
        count("debugging at /verbose"),
        usize::from(mode == Mode::Embedded)
    );
    // What the child knows of the request is asked when the record comes to it.
    let is_kept = mode == Mode::Daemon && !subject().is_ours();
    assert_eq!(count("warning at /quiet"), usize::from(is_kept));
}
matrix!(log_levels: event);

/// API-114: a service process has no threads for requests.
#[test]
fn threads_of_a_service() {
    let server = Site::daemon()
        .config("WSGIDaemonProcess service threads=0\nWSGIImportScript {apps}/service.wsgi process-group=service application-group=%{GLOBAL}")
        .file(
            "apps/service.wsgi",
            "import mod_wsgi\nwith open('{data}/facts', 'w') as f:\n    f.write('%s %s\\n' % (mod_wsgi.process_group, mod_wsgi.threads_per_process))\n",
        )
        .start();
    wait_until("the service", || {
        let facts = std::fs::read_to_string(server.path("data/facts")).ok()?;
        (facts == "service 0\n").then_some(())
    });
    server.allow_log("'service'");
}

/// API-153: records of `LogHandler` name the file and line of the logging call, in a request and outside of one.
fn sources_of_records(mpm: Mpm, mode: Mode) {
    let code = "import logging, threading, mod_wsgi\n\
        logger = logging.Logger('mine')\n\
        logger.addHandler(mod_wsgi.LogHandler())\n\
        def application(environ, start_response):\n    \
            logger.error('from a request\\n\\nsecond line')\n    \
            thread = threading.Thread(target=lambda:\n        \
                logger.error('from a thread'))\n    \
            thread.start()\n    \
            thread.join()\n    \
            start_response('200 OK', [])\n    \
            return [b'logged']\n";
    let server = Site::new(mpm, mode)
        .log_level("notice wsgi:debug")
        .config("ErrorLogFormat \"[%t] [%-m:%l] [pid %P:tid %T] %F: %M\"")
        .script("/", code)
        .start();
    server.allow_log("root.wsgi");
    assert_eq!(server.get("/").expect(200).text(), "logged");
    for (line, text, count) in [
        (5, "from a request", 1),
        (5, "second line", 1),
        (7, "from a thread", 1),
    ] {
        let records = server.wait_for_logs(text, count);
        for record in records {
            let message = record.message();
            assert!(
                message.contains(&format!("root.wsgi({line}): ")),
                "{message}"
            );
            assert!(message.ends_with(text), "{message}");
        }
    }
}
matrix!(sources_of_records: event);
