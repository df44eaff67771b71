//! Settings of one interpreter: which section wins, and what the settings do.

use wsgi_harness::{Level, Mode, Mpm, Site, matrix, subject, wait_until};

use super::{fact, group_of, site};

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
/// the interpreter works. One that is empty is nothing; in the original it is the folder in which httpd was started.
#[test]
fn a_path_that_fails() {
    let config = "WSGIPythonPath {dir}/first:{dir}/broken:{dir}/last
        <WSGIInterpreterOptions application-group=%{GLOBAL}>
            WSGIPythonPath {dir}/other:
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
    let folder = server.parent().working_directory().expect("of httpd");
    assert_eq!(
        path.contains(&format!("'{}'", folder.display())),
        !subject().differs("DIR-083"),
        "{path}"
    );
    let record = server.wait_for_log("WSGI0091");
    assert!(record.contains("/broken"), "{}", record.line);
    server.expect_log("WSGI0189");
}

/// DIR-111, DIR-112, API-032, API-033, API-039, API-040: streams and signals, barred and not.
fn restrictions(mpm: Mpm, mode: Mode) {
    let text = "import signal, sys

def attempt(action):
    try:
        return repr(action())
    except Exception as error:
        return '%s: %s' % (type(error).__name__, error)

def registers_here():
    return signal.signal(signal.SIGUSR2, signal.SIG_IGN)

def application(environ, start_response):
    before = signal.getsignal(signal.SIGUSR2)
    lines = [
        attempt(lambda: sys.stdin.read()),
        attempt(lambda: sys.stdout.write('written by the script\\n')),
        attempt(registers_here),
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
    for text in ["registration for signal 12", "in registers_here"] {
        let records = server.wait_for_logs(text, 1);
        assert_eq!(records.len(), 1, "{text}");
        assert_eq!(records[0].level, Level::Info, "{}", records[0].line);
    }
    let barred = server.get("/barred").expect(200).text();
    let lines: Vec<&str> = barred.lines().collect();
    for (line, name) in lines.iter().zip(["stdin", "stdout"]) {
        assert!(
            line.starts_with("OSError: ") && line.contains(name),
            "{line}"
        );
    }
    assert!(lines[2].starts_with("ValueError"), "API-040: {barred}");
    let ignored = server.log().count("registration for signal");
    assert_eq!(ignored, 1, "not where the real function is");
}
matrix!(restrictions: event);

/// DIR-112, API-039: a service script has the real `signal.signal`, whatever WSGIRestrictSignal says.
#[test]
fn signals_of_services() {
    let server = Site::embedded()
        .config(
            "WSGIRestrictSignal On
            WSGIDaemonProcess service threads=0
            WSGIImportScript {apps}/service.wsgi process-group=service application-group=%{GLOBAL}",
        )
        .file(
            "apps/service.wsgi",
            "import os, signal, time

called = []
before = signal.signal(signal.SIGUSR2, lambda number, frame: called.append(number))
os.kill(os.getpid(), signal.SIGUSR2)
while not called:
    time.sleep(0.01)
with open('{data}/new', 'w') as file:
    file.write('%s %s' % (type(signal.signal).__name__, called == [signal.SIGUSR2]))
os.rename('{data}/new', '{data}/told')
while True:
    time.sleep(0.01)
",
        )
        .start();
    server.allow_log("service");
    let told = wait_until("the service", || {
        std::fs::read_to_string(server.path("data/told")).ok()
    });
    assert_eq!(told, "function True");
    assert_eq!(server.log().count("registration for signal"), 0);
}

/// DIR-102: what the configuration says is set when an interpreter is made, and not again: what an application changes stays changed
/// for the requests that follow.
fn nothing_is_set_again(mpm: Mpm, mode: Mode) {
    let text = "import signal, sys

def facts():
    return [type(sys.stdin).__name__, type(sys.stdout).__name__, signal.signal is mine, sys.path[0] == '{dir}/added',
        sys.getswitchinterval()]

def mine(number, handler):
    pass

def application(environ, start_response):
    if environ['QUERY_STRING'] == 'change':
        sys.stdin = sys.stdout = None
        signal.signal = mine
        sys.path.pop(0)
        sys.setswitchinterval(0.5)
    start_response('200 OK', [])
    return [repr(facts()).encode()]
";
    let server = Site::new(mpm, mode)
        .daemon_options("processes=1 threads=4 python-path={dir}/added")
        .config(
            "ServerLimit 1
            MaxRequestWorkers 16
            WSGISwitchInterval 0.25
            <WSGIInterpreterOptions application-group=%{GLOBAL}>
                WSGIRestrictStdin On
                WSGIRestrictStdout On
                WSGIPythonPath {dir}/added
            </WSGIInterpreterOptions>",
        )
        .file("added/a.txt", "")
        .script("/", text)
        .start();
    // The original's Python flushes the streams when it ends.
    for text in ["Exception ignored in: <mod_wsgi.Restricted", "OSError: "] {
        server.allow_log(text);
    }
    let before = "['Restricted', 'Restricted', False, True, 0.25]";
    let after = "['NoneType', 'NoneType', True, False, 0.5]";
    for (query, expected) in [("", before), ("?change", after), ("", after), ("", after)] {
        let told = server.get(&format!("/{query}")).expect(200).text();
        assert_eq!(told, expected, "{query}");
    }
}
matrix!(nothing_is_set_again: event);
