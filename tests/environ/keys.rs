//! The keys of PEP 3333 and of mod_wsgi: `wsgi.*`, `mod_wsgi.*` and `apache.*`.

use wsgi_harness::{Answer, Mode, Mpm, matrix};

use super::site;

/// ENV-25, ENV-42, REQ-107: the scheme follows the variable HTTPS, which the application does not see.
#[test]
fn scheme() {
    let server = site(Mpm::Event, Mode::Embedded).start();
    for (path, scheme) in [
        ("/app", "http"),
        ("/tls", "https"),
        ("/tls-one", "https"),
        ("/tls-off", "http"),
    ] {
        let answer = server.get(path).expect(200);
        assert_eq!(answer.unquoted("wsgi.url_scheme"), scheme, "{path}");
        assert_eq!(answer.line("HTTPS"), None, "{path}");
        assert_eq!(answer.unquoted("REQUEST_SCHEME"), "http", "ENV-13");
    }
}

/// ENV-40, ENV-43, ENV-44, ENV-45, ENV-46, ENV-47, KD-35: the wsgi.* keys.
fn wsgi_keys(mpm: Mpm, mode: Mode) {
    let server = site(mpm, mode).start();
    let answer = server.get("/app").expect(200);
    for (key, kind, shown) in [
        ("wsgi.version", "tuple", Some("(1, 0)")),
        ("wsgi.run_once", "bool", Some("False")),
        ("wsgi.input_terminated", "bool", Some("True")),
        ("wsgi.multithread", "bool", None),
        ("wsgi.multiprocess", "bool", None),
        ("wsgi.errors", "TextIOWrapper", None),
        ("wsgi.input", "Input", None),
        (
            "wsgi.file_wrapper",
            "type",
            Some("<class 'mod_wsgi.FileWrapper'>"),
        ),
        ("wsgi.url_scheme", "str", Some("'http'")),
    ] {
        assert_eq!(
            answer.line(&format!("type {key}")).as_deref(),
            Some(kind),
            "{key}"
        );
        if let Some(shown) = shown {
            assert_eq!(answer.line(key).as_deref(), Some(shown), "{key}");
        }
    }
    assert!(
        answer
            .unquoted("wsgi.errors")
            .contains("name='<wsgi.errors>'"),
        "REQ-540"
    );
    let input = answer.unquoted("wsgi.input");
    assert!(input.starts_with("<mod_wsgi.Input object at "), "{input}");
}
matrix!(wsgi_keys: event worker prefork);

/// ENV-41, DMN-010, DMN-011, DMN-620, DP-102: what an application may assume about threads and processes.
#[test]
fn threads_and_processes() {
    let flags = |answer: &Answer| {
        ["wsgi.multithread", "wsgi.multiprocess", "wsgi.run_once"]
            .map(|key| answer.line(key).as_deref() == Some("True"))
    };
    for (mpm, expected) in [
        (Mpm::Event, [true, true, false]),
        (Mpm::Worker, [true, true, false]),
        (Mpm::Prefork, [false, true, false]),
    ] {
        let server = site(mpm, Mode::Embedded).start();
        assert_eq!(flags(&server.get("/app").expect(200)), expected, "{mpm:?}");
    }
    let one_process = site(Mpm::Event, Mode::Embedded)
        .config("ServerLimit 1\nThreadsPerChild 16\nMaxRequestWorkers 16")
        .start();
    assert_eq!(
        flags(&one_process.get("/app").expect(200)),
        [true, false, false]
    );
    let server = site(Mpm::Event, Mode::Daemon)
        .daemon_options("threads=3")
        .config(
            "WSGIDaemonProcess one-thread threads=1
            WSGIDaemonProcess one-process processes=1 threads=2
            WSGIDaemonProcess two-processes processes=2 threads=1
            WSGIDaemonProcess once threads=1 maximum-requests=1
            WSGIDaemonProcess more-threads threads=2 maximum-requests=1
            WSGIDaemonProcess more-requests threads=1 maximum-requests=2
            WSGIScriptAlias /1 {apps}/environ.wsgi process-group=one-thread
            WSGIScriptAlias /2 {apps}/environ.wsgi process-group=one-process
            WSGIScriptAlias /3 {apps}/environ.wsgi process-group=two-processes
            WSGIScriptAlias /4 {apps}/environ.wsgi process-group=once
            WSGIScriptAlias /5 {apps}/environ.wsgi process-group=more-threads
            WSGIScriptAlias /6 {apps}/environ.wsgi process-group=more-requests",
        )
        .start();
    for (path, expected) in [
        ("/app", [true, false, false]),
        ("/1", [false, false, false]),
        ("/2", [true, true, false]),
        ("/3", [false, true, false]),
        ("/4", [false, false, true]),
        ("/5", [true, false, false]),
        ("/6", [false, false, false]),
    ] {
        assert_eq!(flags(&server.get(path).expect(200)), expected, "{path}");
    }
}

/// ENV-50, ENV-54, ENV-56, ENV-57, ENV-58, ENV-59, ENV-60, DMN-211, DMN-402, DMN-621, KD-34: the mod_wsgi.* keys.
fn mod_wsgi_keys(mpm: Mpm, mode: Mode) {
    let server = site(mpm, mode).start();
    let answer = server.get("/app").expect(200);
    assert_eq!(answer.unquoted("mod_wsgi.version"), "(6, 1, 1)");
    let apache = answer.unquoted("apache.version");
    let patch = apache
        .strip_prefix("(2, 4, ")
        .and_then(|rest| rest.strip_suffix(')'));
    assert!(
        patch.is_some_and(|patch| patch.parse::<u32>().is_ok()),
        "{apache}"
    );
    let pid: i32 = answer
        .unquoted("mod_wsgi.server_pid")
        .parse()
        .expect("a pid");
    assert!(
        server.children().iter().any(|child| child.pid == pid),
        "the child that accepted the request"
    );
    let number = |key: &str| -> f64 {
        assert_eq!(
            answer.line(&format!("type {key}")).as_deref(),
            Some("float"),
            "{key}"
        );
        answer.unquoted(key).parse().expect("a float")
    };
    let (request, queue, daemon, application) = (
        number("mod_wsgi.request_start"),
        number("mod_wsgi.queue_start"),
        number("mod_wsgi.daemon_start"),
        number("mod_wsgi.application_start"),
    );
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .expect("after 1970")
        .as_secs_f64();
    if mode == Mode::Daemon {
        assert!(request <= queue && queue <= daemon && daemon <= application && application <= now);
        assert_eq!(answer.unquoted("mod_wsgi.process_group"), "live");
    } else {
        assert!(request <= application && application <= now);
        assert_eq!((queue, daemon), (0.0, 0.0));
        assert_eq!(answer.unquoted("mod_wsgi.process_group"), "");
    }
    assert!(now - request < 600.0, "seconds since 1970");
    assert_eq!(
        answer.line("type mod_wsgi.thread_id").as_deref(),
        Some("int")
    );
    // 0 is the main thread of a process, which serves requests in prefork's children only.
    let lowest = u32::from((mpm, mode) != (Mpm::Prefork, Mode::Embedded));
    assert!(
        answer
            .unquoted("mod_wsgi.thread_id")
            .parse::<u32>()
            .expect("a number")
            >= lowest
    );
    assert!(!answer.unquoted("mod_wsgi.request_id").is_empty());
}
matrix!(mod_wsgi_keys: event worker prefork);

/// ENV-61, DIR-122: the request record only where it is asked for and can be used.
fn request_record(mpm: Mpm, mode: Mode) {
    let server = site(mpm, mode)
        .config("<Location /app/record>\nWSGIPassApacheRequest On\n</Location>")
        .start();
    assert_eq!(
        server.get("/app").expect(200).line("apache.request_rec"),
        None
    );
    let kind = server
        .get("/app/record")
        .expect(200)
        .line("type apache.request_rec");
    // A daemon has no request of Apache.
    let passes = mode == Mode::Embedded;
    let expected = passes.then(|| "PyCapsule".to_owned());
    assert_eq!(kind, expected);
}
matrix!(request_record: event);
