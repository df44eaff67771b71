//! `deploy-check`: a deploy that breaks the code of a preloaded script harms nobody, and one that mends it takes effect.

use std::thread;
use std::time::Duration;

use wsgi_harness::load::{self, Connections};
use wsgi_harness::{Request, Server, Site, load_duration, subject, wait_until};

/// Answers with its version.
fn script(version: &str) -> String {
    format!(
        "import time\n\ndef application(environ, start_response):\n    time.sleep(0.01)\n    start_response('200 OK', [])\n    return [b'{version}']\n"
    )
}

const SYNTAX_ERROR: &str = "def application(environ, start_response:\n    return []\n";
const EXCEPTION: &str = "import a_module_that_is_missing\n";

/// A group of two processes whose script is preloaded, because its alias names the group and the interpreter.
fn server(options: &str) -> Server {
    Site::daemon()
        .daemon_options(&format!("processes=2 threads=4 {options}"))
        .script_with(
            "/",
            "process-group=live application-group=%{GLOBAL}",
            &script("one"),
        )
        .start()
}

fn serves(server: &Server, version: &str) {
    // Every process of the group: several requests at a time.
    wait_until(version, || {
        let all = (0..8).all(|_| server.get("/").expect(200).text() == version);
        all.then_some(())
    });
}

/// What a deploy that fails logs.
fn allow_failure(server: &Server) {
    for text in ["WSGI0106", "WSGI0110", "WSGI0109"] {
        server.allow_log(text);
    }
    // The traceback; lines of several processes may be mixed.
    for text in [
        "WSGI0174",
        "Traceback",
        "root.wsgi\"",
        "a_module_that_is_missing",
        "SyntaxError",
        "def application(",
        "^",
    ] {
        server.allow_log(text);
    }
}

/// Issue: syntax error and exception. The old code serves, the log says why; what mends it is deployed.
#[test]
fn a_broken_deploy_harms_nobody() {
    if !subject().differs("deploy-check") {
        return;
    }
    let server = server("");
    allow_failure(&server);
    serves(&server, "one");
    for (broken, why, next) in [
        (SYNTAX_ERROR, "SyntaxError", "two"),
        (EXCEPTION, "a_module_that_is_missing", "three"),
    ] {
        let before = server.log().count("WSGI5207");
        let now = server.get("/").expect(200).text();
        server.write("apps/root.wsgi", broken);
        assert_eq!(server.get("/").expect(200).text(), now);
        let records = server.wait_for_logs("WSGI5207", before + 1);
        assert!(records[before].contains("apps/root.wsgi"), "{records:?}");
        assert!(server.log().count(why) > 0);
        for _ in 0..10 {
            assert_eq!(server.get("/").expect(200).text(), now);
        }
        // A third one may be trying the script again.
        wait_until("two processes", || {
            (server.daemons().len() == 2).then_some(())
        });
        server.write("apps/root.wsgi", &script(next));
        serves(&server, next);
    }
    server.expect_log("WSGI5207");
}

/// Issue: the same under load, good and broken deploys in turn. Every request is answered, with one of the good versions.
#[test]
fn deploys_under_load() {
    if !subject().is_ours() {
        return;
    }
    let server = server("");
    allow_failure(&server);
    server.allow_log("WSGI5207");
    serves(&server, "one");
    let duration = load_duration().max(Duration::from_secs(6));
    let mut deploys = 0;
    let tally = thread::scope(|scope| {
        let address = server.address();
        let load = scope.spawn(move || {
            load::run(address, 8, Connections::Kept, duration, |_, _| {
                (Request::get("/"), b"one".to_vec())
            })
        });
        while !load.is_finished() {
            // Time to serve in between; nothing depends on its length.
            thread::sleep(Duration::from_millis(700));
            let text = [SYNTAX_ERROR, EXCEPTION, &script("one")][deploys % 3].to_owned();
            server.write("apps/root.wsgi", &text);
            deploys += 1;
        }
        load.join().expect("the load does not panic")
    });
    println!("{deploys} deploys, two of three broken: {tally}");
    assert_eq!(tally.count("good"), tally.total(), "{tally}");
    server.write("apps/root.wsgi", &script("two"));
    serves(&server, "two");
}

/// A process that dies while the script on the disk is broken: as long as another one has the old code, nobody notices;
/// when the last one is gone, the group answers as well as it can.
#[test]
fn crashes_while_the_script_is_broken() {
    if !subject().is_ours() {
        return;
    }
    let server = server("");
    allow_failure(&server);
    serves(&server, "one");
    server.write("apps/root.wsgi", EXCEPTION);
    server.daemons()[0].signal(nix::sys::signal::Signal::SIGKILL);
    server.wait_for_logs("WSGI5207", 1);
    server.expect_log("WSGI5207");
    for _ in 0..10 {
        assert_eq!(server.get("/").expect(200).text(), "one");
    }
    for daemon in server.daemons() {
        daemon.signal(nix::sys::signal::Signal::SIGKILL);
    }
    for text in ["WSGI0146", "WSGI0147"] {
        server.allow_log(text);
    }
    wait_until("the broken script", || {
        (server.get("/").status == 500).then_some(())
    });
    server.write("apps/root.wsgi", &script("two"));
    serves_soon(&server, "two");
}

/// DMN-431: request-timeout ends a process of which every thread is lost, also while no replacement can load the script.
#[test]
fn hung_requests_while_the_script_is_broken() {
    if !subject().is_ours() {
        return;
    }
    let holding = script("one").replace(
        "    time.sleep(0.01)",
        "    while environ['QUERY_STRING'] == 'hold':\n        time.sleep(0.1)",
    );
    let server = Site::daemon()
        .daemon_options(
            "processes=1 threads=1 request-timeout=1 graceful-timeout=600 shutdown-timeout=1",
        )
        .script_with(
            "/",
            "process-group=live application-group=%{GLOBAL}",
            &holding,
        )
        .start();
    allow_failure(&server);
    server.allow_log("'live'");
    serves(&server, "one");
    server.write("apps/root.wsgi", SYNTAX_ERROR);
    assert_eq!(server.get("/?hold").status, 502);
    server.expect_log("WSGI5207");
    wait_until("the broken script", || {
        (server.get("/").status == 500).then_some(())
    });
    server.write("apps/root.wsgi", &script("two"));
    serves_soon(&server, "two");
}

/// A deploy whose script never comes to its end, and one that mends it.
#[test]
fn a_deploy_that_hangs() {
    if !subject().is_ours() {
        return;
    }
    let server = server("graceful-timeout=1");
    serves(&server, "one");
    let hangs = "import time\n\nopen('{data}/loading', 'w').close()\ntime.sleep(100000)\n";
    let hangs = hangs.replace("{data}", &server.path("data").display().to_string());
    server.write("apps/root.wsgi", &hangs);
    wait_until("a process that loads it", || {
        assert_eq!(server.get("/").expect(200).text(), "one");
        server.path("data/loading").exists().then_some(())
    });
    server.write("apps/root.wsgi", &script("two"));
    serves_soon(&server, "two");
}

/// As [`serves`], while other answers may still come.
fn serves_soon(server: &Server, version: &str) {
    wait_until(version, || {
        (server.get("/").text() == version).then_some(())
    });
}

/// A script that could not be loaded from the beginning does not hold up the deploy of another one.
#[test]
fn what_was_broken_before_is_no_obstacle() {
    if !subject().is_ours() {
        return;
    }
    let server = Site::daemon()
        .file("apps/broken.wsgi", EXCEPTION)
        .config(
            "WSGIImportScript {apps}/broken.wsgi process-group=live application-group=%{GLOBAL}",
        )
        .script_with(
            "/",
            "process-group=live application-group=%{GLOBAL}",
            &script("one"),
        )
        .start();
    server.expect_log("WSGI0110");
    server.allow_log("broken.wsgi\"");
    allow_failure(&server);
    serves(&server, "one");
    server.write("apps/root.wsgi", &script("two"));
    serves(&server, "two");
}

/// `deploy-check=off`, and scripts that are not preloaded: as the original, the request that finds a change gets the new code.
#[test]
fn without_the_check() {
    let off = if subject().is_ours() {
        "deploy-check=off"
    } else {
        ""
    };
    let preloaded = server(off);
    let other = Site::daemon().script("/", &script("one")).start();
    for server in [preloaded, other] {
        assert_eq!(server.get("/").expect(200).text(), "one");
        server.write("apps/root.wsgi", &script("two"));
        assert_eq!(server.get("/").expect(200).text(), "two");
        server.write("apps/root.wsgi", EXCEPTION);
        assert_eq!(server.get("/").status, 500);
        allow_failure(&server);
    }
}
