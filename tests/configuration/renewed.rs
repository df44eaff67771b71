//! A configuration that is read again.

use wsgi_harness::{Site, subject, wait_until};

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
        WSGISocketPrefix {run}/of-the-old
        <WSGIInterpreterOptions application-group=%{GLOBAL}>
            WSGIPythonPath {dir}/of-the-section
        </WSGIInterpreterOptions>
        WSGIDaemonProcess extra threads=1
        WSGIImportScript {apps}/imported.wsgi process-group=%{GLOBAL} application-group=%{GLOBAL}";
    // What shows them; the rest of the facts differs with each process.
    const KEYS: [&str; 10] = [
        "optimize",
        "warnings",
        "bytecode",
        "interval",
        "stdin",
        "stdout",
        "signal",
        "path",
        "eggs",
        "randomized",
    ];
    let server = Site::daemon()
        .file("of-the-old/x", "")
        .file("of-the-section/x", "")
        .file(
            "apps/imported.wsgi",
            "import sys\nsys.path.append('imported')\n",
        )
        .shared("interpreter.wsgi")
        .shared("environ.wsgi")
        .config(&format!(
            "ServerLimit 1\nMaxRequestWorkers 16
            WSGIScriptAlias /daemon {{apps}}/interpreter.wsgi process-group=live
            WSGIScriptAlias /embedded {{apps}}/interpreter.wsgi
            WSGIScriptAlias /Names {{apps}}/environ.wsgi application-group=%{{RESOURCE}}
            <Location /embedded>\nWSGIProcessGroup %{{GLOBAL}}\n</Location>
            # begin\n{REMOVED}\n# end"
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
    let sockets = std::fs::read_dir(server.path("run")).expect("the folder of sockets");
    let names: Vec<_> = sockets.flatten().map(|entry| entry.file_name()).collect();
    assert!(
        names
            .iter()
            .any(|name| name.to_string_lossy().starts_with("wsgi.")),
        "{names:?}"
    );
}
