//! A configuration that is read again.

use wsgi_harness::{Site, subject, test_venv, wait_until};

/// GEN-14: what a configuration said is gone with it.
#[test]
fn settings_do_not_outlive_their_configuration() {
    const REMOVED: &str = "WSGIRestrictEmbedded On
        WSGICaseSensitivity Off
        WSGIPythonOptimize 2
        WSGIPythonWarnings error
        WSGIPythonHashSeed 42
        WSGIDontWriteBytecode On
        WSGISwitchInterval 0.25
        WSGIRestrictStdin On
        WSGIRestrictStdout On
        WSGIRestrictSignal Off
        WSGIPythonPath {dir}/of-the-old
        WSGIPythonEggs {dir}/of-the-old
        WSGIPythonHome {home}
        WSGIServerMetrics On
        WSGIDestroyInterpreter Off
        WSGISocketPrefix {run}/of-the-old
        WSGISocketRotation Off
        <WSGIInterpreterOptions application-group=%{GLOBAL}>
            WSGIPythonPath {dir}/of-the-section
        </WSGIInterpreterOptions>
        WSGIDaemonProcess extra threads=1
        WSGIImportScript {apps}/imported.wsgi process-group=%{GLOBAL} application-group=%{GLOBAL}";
    // What shows them; the rest of the facts differs with each process.
    const KEYS: [&str; 11] = [
        "optimize",
        "warnings",
        "bytecode",
        "interval",
        "stdin",
        "stdout",
        "signal",
        "path",
        "prefix",
        "eggs",
        "randomized",
    ];
    let server = Site::daemon()
        .file("of-the-old/x", "")
        .file("of-the-section/x", "")
        .file(
            "apps/imported.wsgi",
            "import sys, mod_wsgi\nsys.path.append('imported')\n\
             with open('{data}/metrics', 'w') as told:\n    told.write(str(mod_wsgi.server_metrics() is None))\n",
        )
        .file(
            "apps/ends.wsgi",
            "import atexit, os, mod_wsgi

@atexit.register
def note():
    with open('{data}/ends', 'a') as ends:
        ends.write('%d ' % os.getpid())

def application(environ, start_response):
    start_response('200 OK', [])
    return [('%d %s' % (os.getpid(), mod_wsgi.server_metrics() is None)).encode()]
",
        )
        .shared("interpreter.wsgi")
        .shared("environ.wsgi")
        .config(&format!(
            "ServerLimit 1\nMaxRequestWorkers 16
            WSGIScriptAlias /daemon {{apps}}/interpreter.wsgi process-group=live
            WSGIScriptAlias /embedded {{apps}}/interpreter.wsgi
            WSGIScriptAlias /ends {{apps}}/ends.wsgi process-group=live
            WSGIScriptAlias /embedded-ends {{apps}}/ends.wsgi process-group=%{{GLOBAL}}
            WSGIScriptAlias /Names {{apps}}/environ.wsgi application-group=%{{RESOURCE}}
            <Location /embedded>\nWSGIProcessGroup %{{GLOBAL}}\n</Location>
            # begin\n{}\n# end",
            REMOVED.replace("{home}", &test_venv().display().to_string())
        ))
        .start();
    server.allow_log("WSGI503");
    // What the original's restricted standard output says at the end of a process.
    if !subject().is_ours() {
        server.allow_log("Restricted object");
        server.allow_log("sys.stdout access restricted");
    }
    let group = || {
        let answer = server.get("/Names").expect(200);
        answer.unquoted("mod_wsgi.application_group")
    };
    let facts = |path: &str| {
        let answer = server.get(path).expect(200);
        KEYS.map(|key| answer.fact(key))
    };
    server.get("/embedded").expect(500);
    server.expect_log("WSGI0143");
    let before = facts("/daemon");
    let process = || {
        let text = server.get("/ends").expect(200).text();
        let (pid, _) = text.split_once(' ').expect("two words");
        server.daemon(pid.parse().expect("a number"))
    };
    let old = process();
    let metrics = std::fs::read_to_string(server.path("data/metrics"));
    assert_eq!(metrics.expect("scripts were loaded"), "False");
    assert!(group().ends_with("|/names"), "{}", group());
    let path = server.path("httpd.conf");
    let text = std::fs::read_to_string(&path).expect("the configuration");
    let (head, rest) = text.split_once("# begin").expect("written above");
    let (_, tail) = rest.split_once("# end").expect("written above");
    std::fs::write(&path, format!("{head}{tail}")).expect("the configuration can be written");
    server.graceful();
    wait_until("the new generation", || {
        (server.get("/embedded").status == 200).then_some(())
    });
    wait_until("the groups of the new configuration", || {
        (server.daemons().len() == 1).then_some(())
    });
    // A server that was never told any of it.
    let fresh = Site::daemon()
        .shared("interpreter.wsgi")
        .config("WSGIScriptAlias /daemon {apps}/interpreter.wsgi process-group=live\nWSGIScriptAlias /embedded {apps}/interpreter.wsgi process-group=%{GLOBAL}")
        .start();
    for path in ["/daemon", "/embedded"] {
        let answer = fresh.get(path).expect(200);
        assert_eq!(facts(path), KEYS.map(|key| answer.fact(key)), "{path}");
    }
    for (key, (old, new)) in KEYS.iter().zip(before.iter().zip(facts("/daemon"))) {
        let is_of_children = ["eggs", "randomized", "stdin", "path"].contains(key);
        assert!(
            is_of_children || *old != new,
            "{key} was {old}, which shows nothing"
        );
    }
    assert!(group().ends_with("|/Names"), "{}", group());
    let metrics = server.get("/embedded-ends").expect(200).text();
    assert!(metrics.ends_with(" True"), "{metrics}");
    let sockets = std::fs::read_dir(server.path("run")).expect("the folder of sockets");
    let names: Vec<_> = sockets
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    let socket = format!("wsgi.{}.1.1.sock", server.pid());
    assert!(names.contains(&socket), "{names:?}");
    // Interpreters end again with their process, but those of the old configuration do not.
    let next = process();
    server.wait_until_gone(std::slice::from_ref(&old));
    server.graceful();
    server.wait_until_gone(std::slice::from_ref(&next));
    let ended = std::fs::read_to_string(server.path("data/ends")).unwrap_or_default();
    let has = |pid: i32| ended.split_whitespace().any(|one| one == pid.to_string());
    assert!(has(next.pid) && !has(old.pid), "{ended}");
}
