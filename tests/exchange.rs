//! Between Apache and its daemons, seen from both ends: what one side waits for, what does not fit, what is not served.

use wsgi_harness::{
    Mode, Mpm, Request, Server, Site, is_root, matrix, script, subject, unprivileged_user,
    wait_until,
};

/// An application with this body.
fn app(body: &str) -> String {
    script("os, sys, time", body)
}

fn server(mpm: Mpm, options: &str) -> Server {
    Site::new(mpm, Mode::Daemon)
        .daemon_options(options)
        .cases()
        .shared("hello.wsgi")
        .start()
}

/// DMN-044, DMN-335, DMN-336, DP-41, REQ-462: without a spool, a client that does not take its answer costs a thread for
/// response-socket-timeout, which is socket-timeout by default, and that httpd's Timeout.
fn client_that_does_not_read(mpm: Mpm, mode: Mode) {
    assert_eq!(mode, Mode::Daemon);
    let of_group = "response-socket-timeout=1 socket-timeout=600";
    let timeouts = match mpm {
        Mpm::Prefork => [(of_group, 600), ("", 1)],
        _ => [(of_group, 600), ("socket-timeout=1", 600)],
    };
    for (timeout, of_httpd) in timeouts {
        does_not_read(mpm, timeout, of_httpd);
    }
}
matrix!(client_that_does_not_read: event prefork / daemon);

fn does_not_read(mpm: Mpm, timeout: &str, of_httpd: u32) {
    let spool = if subject().is_ours() {
        "response-spool=0"
    } else {
        ""
    };
    let server = Site::new(mpm, Mode::Daemon)
        .daemon_options(&format!("processes=1 threads=1 {spool} {timeout}"))
        .config(&format!("Timeout {of_httpd}"))
        .cases()
        .shared("hello.wsgi")
        .start();
    let url = server.case(
        "endless",
        &app("start_response('200 OK', [])\nblock = b'x' * 1048576\nfor number in range(256):\n    yield block"),
    );
    server.allow_log("endless.wsgi]");
    let mut deaf = server.connect();
    deaf.send_bytes(Request::get(&url).bytes());
    let head = deaf.read_head().expect("the beginning of an answer");
    assert_eq!(head.status, 200);
    // The only thread is free again; who comes meanwhile waits no longer than that time either.
    server.allow_log("WSGI0145");
    wait_until("the thread", || {
        let answer = server.get("/case/hello");
        (answer.status != 504).then(|| assert_eq!(answer.expect(200).text(), "hello"))
    });
    // And the client can see that its answer is not whole.
    let rest = deaf.read_to_end().map_or(0, |rest| rest.len());
    assert!(rest < 256 << 20, "{rest}");
    wait_until("the record", || {
        let found = server.log().count("WSGI0118") + server.log().count("WSGI0120");
        (found == 1).then_some(())
    });
    // Its status stays what it was.
    let line = format!("200 GET {url} ");
    wait_until(&line, || {
        let text = std::fs::read_to_string(server.path("access.log")).ok()?;
        text.contains(&line).then_some(())
    });
}

/// REQ-462: what an application has yielded does not wait for the rest of the answer, whatever the buffer is.
fn parts_are_passed_on(mpm: Mpm, mode: Mode) {
    assert_eq!(mode, Mode::Daemon);
    for options in ["", " response-flush-delay=0", " response-buffer-size=65536"] {
        let server = server(mpm, &format!("processes=1 threads=2{options}"));
        let url = server.case(
            "parts",
            &app("start_response('200 OK', [])\nyield b'first'\nwhile not os.path.exists('{data}/go'):\n    time.sleep(0.01)\nyield b'second'"),
        );
        let mut connection = server.connect();
        connection.send_bytes(Request::get(&url).close().bytes());
        let head = connection.read_head().expect("a head");
        assert_eq!(head.status, 200);
        let first = connection.read_bytes("5\r\nfirst\r\n".len());
        assert_eq!(first, b"5\r\nfirst\r\n");
        server.write("data/go", "");
        let rest = connection.read_to_end().expect("the rest");
        assert_eq!(rest, b"6\r\nsecond\r\n0\r\n\r\n");
    }
}
matrix!(parts_are_passed_on: event / daemon);

/// REQ-313, DMN-260, DMN-645, DMN-955: variables of a request that together are larger than any request needs; the next one is served.
#[test]
fn too_large_an_environ() {
    let server = Site::daemon()
        .config("LimitRequestFieldSize 67108864")
        .cases()
        .shared("hello.wsgi")
        .start();
    let large = "x".repeat(17 << 20);
    let answer = server.send(&Request::get("/case/hello").header("X-Large", &large));
    assert_eq!(answer.status, 502, "{}", answer.status);
    server.wait_for_log("WSGI0080");
    server.allow_log("hello.wsgi]");
    assert_eq!(server.get("/case/hello").expect(200).text(), "hello");
}

/// DMN-263, REQ-333: a script in a folder that the daemon's user may not enter, though Apache's may.
#[test]
fn script_out_of_the_daemons_reach() {
    if !is_root() {
        return;
    }
    let server = Site::daemon()
        .daemon_options("processes=1 threads=2 user=nobody group=nogroup home=/")
        .file("apps/closed/hello.wsgi", include_str!("apps/hello.wsgi"))
        .config("WSGIScriptAlias /closed {apps}/closed/hello.wsgi")
        .start();
    let folder = server.path("apps/closed");
    std::os::unix::fs::chown(&folder, Some(unprivileged_user().uid.as_raw()), None)
        .expect("root may");
    std::fs::set_permissions(&folder, std::os::unix::fs::PermissionsExt::from_mode(0o700))
        .expect("root may");
    assert_eq!(server.get("/closed").status, 500);
    server.wait_for_log("WSGI0105");
    server.expect_log("PermissionError");
    server.allow_log("hello.wsgi]");
    if !subject().differs("REQ-333") {
        server.expect_log("WSGI0083");
    }
}

/// DMN-211, DMN-215, DMN-222, DMN-233, API-310: how often a request was connected and sent again is told to those who subscribe. It has
/// waited since it was connected, so since before the process that runs it was started for it.
#[test]
fn connects_and_restarts_are_told() {
    let server = Site::daemon()
        .daemon_options("processes=1 threads=2")
        .file("apps/subscribe.py", "import builtins, mod_wsgi, time\nbuiltins.told = []\nbuiltins.begun = time.time()\n\n@mod_wsgi.subscribe_events\ndef on_event(name, **event):\n    if name == 'request_started':\n        told.append((event['daemon_connects'], event['daemon_restarts']))\n")
        .config("WSGIImportScript {apps}/subscribe.py process-group=live application-group=%{GLOBAL}")
        .script("/", "def application(environ, start_response):\n    start_response('200 OK', [])\n    is_older = environ['mod_wsgi.queue_start'] < begun < environ['mod_wsgi.daemon_start']\n    return [repr(told[-1] + (is_older,)).encode()]\n")
        .start();
    let ask = || server.get("/").expect(200).text();
    // The first one may have waited for the first process.
    assert!(ask().starts_with("(1, 0, "));
    assert_eq!(ask(), "(1, 0, False)");
    server.touch("apps/root.wsgi");
    // One process refused it, another one ran it.
    assert_eq!(ask(), "(2, 1, True)");
    assert_eq!(ask(), "(1, 0, False)");
}

/// DMN-265: the limit of a body is looked at where it arrives and holds for its location; a daemon has none of its own.
#[test]
fn limits_of_bodies() {
    let server = Site::daemon()
        .daemon_options("processes=1 threads=2")
        .config(
            "LimitRequestBody 1000\n<Location /case/length/large>\nLimitRequestBody 0\n</Location>",
        )
        .cases()
        .start();
    let url = server.case(
        "length",
        &app("length = len(environ['wsgi.input'].read())\nstart_response('200 OK', [])\nreturn [str(length).encode()]"),
    );
    let post = |url: &str, length: usize| server.send(&Request::post(url, vec![b'x'; length]));
    assert_eq!(post(&url, 1000).expect(200).text(), "1000");
    assert_eq!(post(&url, 1001).status, 413);
    server.allow_log("AH01588");
    server.allow_log("Requested content-length of 1001");
    let answer = post(&format!("{url}/large"), 3_000_000).expect(200);
    assert_eq!(answer.text(), "3000000");
}

/// DMN-242, DMN-269: what an application has not read of its body is discarded, and the connection serves the next request.
fn bodies_that_are_not_read(mpm: Mpm, mode: Mode) {
    assert_eq!(mode, Mode::Daemon);
    for options in ["", " request-spool=0"] {
        if !options.is_empty() && !subject().is_ours() {
            continue;
        }
        let server = server(mpm, &format!("processes=1 threads=2{options}"));
        let url = server.case(
            "some",
            &app("some = environ['wsgi.input'].read(10)\nstart_response('200 OK', [])\nreturn [some]"),
        );
        server.allow_log("some.wsgi]");
        let mut connection = server.connect();
        for _ in 0..3 {
            let answer = connection.send(&Request::post(&url, vec![b'x'; 2_000_000]));
            assert_eq!(answer.expect(200).text(), "x".repeat(10), "{options}");
            let answer = connection.send(&Request::get("/case/hello"));
            assert_eq!(answer.expect(200).text(), "hello", "{options}");
        }
    }
}
matrix!(bodies_that_are_not_read: event / daemon);

/// DMN-222, DMN-266: a request has one id in both logs and in its environ, though its lines come from another process.
fn ids_of_requests(mpm: Mpm, mode: Mode) {
    let server = Site::new(mpm, mode)
        .config(
            "ErrorLogFormat \"[%t] [%-m:%l] [pid %P:tid %T] id=%L %M\"\nCustomLog {data}/ids.log \"%L\"",
        )
        .cases()
        .start();
    let url = server.case(
        "told",
        &app("print('a line', file=environ['wsgi.errors'])\nstart_response('200 OK', [])\nreturn [environ['mod_wsgi.request_id'].encode()]"),
    );
    server.allow_log("a line");
    let id = server.get(&url).expect(200).text();
    assert!(id.len() > 8, "{id:?}");
    let record = server.wait_for_log("a line");
    assert!(
        record.line.contains(&format!(" id={id} ")),
        "{}",
        record.line
    );
    wait_until("the access log", || {
        let text = std::fs::read_to_string(server.path("data/ids.log")).ok()?;
        (text.trim() == id).then_some(())
    });
}
matrix!(ids_of_requests: event);

/// REQ-612: only the script is watched, not what it imports.
fn imported_modules(mpm: Mpm, mode: Mode) {
    let server = Site::new(mpm, mode)
        .cases()
        .file("apps/imported_by_it.py", "TEXT = b'old'\n")
        .start();
    let url = server.case(
        "importing",
        "import sys\nsys.path.insert(0, '{apps}')\nsys.dont_write_bytecode = True\nimport imported_by_it\n\ndef application(environ, start_response):\n    start_response('200 OK', [])\n    return [imported_by_it.TEXT]\n",
    );
    assert_eq!(server.get(&url).expect(200).text(), "old");
    server.write("apps/imported_by_it.py", "TEXT = b'the new text'\n");
    assert_eq!(server.get(&url).expect(200).text(), "old");
}
matrix!(imported_modules: event);

/// REQ-613, REQ-611, REQ-650: a script is asked once by each request whether it wants to be loaded again, before it runs; not by the
/// one that loads it. The file that a handler script is for need not be there.
fn asked_once(mpm: Mpm, mode: Mode) {
    let server = Site::new(mpm, mode)
        .cases()
        .daemon_options("processes=1 threads=2")
        .config("ServerLimit 1\nMaxRequestWorkers 16\nWSGIHandlerScript handled {apps}/handler.wsgi\n<Location /page>\nSetHandler handled\n</Location>")
        .file("apps/handler.wsgi", &counting("handle_request"))
        .start();
    let url = server.case("counting", &counting("application"));
    for count in 0..4 {
        for (path, names) in [
            (url.as_str(), "{apps}/counting.wsgi for ''"),
            ("/page", "{htdocs}/page for '{apps}/handler.wsgi'"),
        ] {
            let request = Request::post(&format!("{path}/more?a=b"), "body");
            let text = server.send(&request).expect(200).text();
            assert_eq!(text, server.fill(&format!("{count} {names}")));
        }
    }
}
matrix!(asked_once: event);

/// A script whose callable answers with how often `reload_required` was called, and with its files.
fn counting(callable: &str) -> String {
    format!(
        "count = 0\n\ndef reload_required(resource):\n    global count\n    count += 1\n    return False\n\ndef {callable}(environ, start_response):\n    start_response('200 OK', [])\n    names = environ['SCRIPT_FILENAME'], environ['mod_wsgi.handler_script']\n    return [('%d %s for %r' % (count, *names)).encode()]\n"
    )
}

/// REQ-622, REQ-621: a changed script is noticed by each process of the group when it gets a request; one that gets none goes on with
/// what it has begun.
#[test]
fn each_process_notices_on_its_own() {
    let server = server(Mpm::Event, "processes=2 threads=1");
    let script = |version: &str| {
        app(&format!(
            "name = environ['QUERY_STRING']\nif name:\n    open('{{data}}/' + name, 'w').close()\n    while not os.path.exists('{{data}}/' + name + '-go'):\n        time.sleep(0.01)\nstart_response('200 OK', [('X-Version', '{version}')])\nreturn [str(os.getpid()).encode()]"
        ))
    };
    let url = server.case("changing", &script("old"));
    let hold = |name: &str| {
        let connection = server.begin(&format!("{url}?{name}"));
        wait_until(name, || {
            server.path(&format!("data/{name}")).exists().then_some(())
        });
        connection
    };
    let mut busy = hold("first");
    // The other process, since each has one thread.
    let idle = server.daemon(server.served_by(&url));
    let mut daemons = server.daemons();
    daemons.retain(|daemon| daemon.pid != idle.pid);
    server.write("apps/changing.wsgi", &script("new"));
    let answer = server.get(&url).expect(200);
    assert_eq!(answer.header("X-Version"), Some("new"));
    server.wait_until_gone(std::slice::from_ref(&idle));
    // The busy one and the new one: nothing else is being replaced.
    assert_eq!(server.daemons().len(), 2, "{:?}", server.daemons());
    server.write("data/first-go", "");
    let answer = busy.answer().expect(200);
    assert_eq!(answer.header("X-Version"), Some("old"));
    let other = server.daemon(answer.pid());
    assert!(daemons.iter().any(|daemon| daemon.pid == other.pid));
    // Two requests at a time, so that one of them comes to it.
    let mut busy = hold("second");
    let answer = server.get(&url).expect(200);
    assert_eq!(answer.header("X-Version"), Some("new"));
    server.wait_until_gone(&[other]);
    server.write("data/second-go", "");
    assert_eq!(busy.answer().expect(200).header("X-Version"), Some("new"));
}

/// REQ-806, KD-36: what cannot be shown in the log is a failure like any other, and nobody else's; records carry no prefix of
/// their own.
fn unspeakable_errors(mpm: Mpm, mode: Mode) {
    let server = Site::new(mpm, mode).cases().shared("hello.wsgi").start();
    let url = server.case(
        "unspeakable",
        "class Unspeakable(Exception):\n    def __str__(self):\n        raise SystemExit(1)\n    __repr__ = __str__\n\ndef application(environ, start_response):\n    print('a plain line', file=environ['wsgi.errors'])\n    if environ['QUERY_STRING'] == 'closed':\n        import sys, traceback\n        traceback.print_exception = None\n        sys.excepthook = None\n    raise Unspeakable\n",
    );
    server.allow_log("unspeakable.wsgi]");
    for query in ["", "?closed", ""] {
        assert_eq!(server.get(&format!("{url}{query}")).status, 500);
        assert_eq!(server.get("/case/hello").expect(200).text(), "hello");
    }
    assert_eq!(server.log().count("mod_wsgi (pid="), 0);
    let plain = server.wait_for_logs("a plain line", 3);
    for record in plain {
        let prefix = "[script {apps}/unspeakable.wsgi] ";
        assert_eq!(
            record.message(),
            server.fill(&format!("{prefix}a plain line"))
        );
    }
    let report = server.wait_for_log("WSGI0174");
    assert!(
        report.message().starts_with("WSGI0174: [script "),
        "{}",
        report.line
    );
}
matrix!(unspeakable_errors: event);
