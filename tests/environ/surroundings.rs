//! What lies around the environ: the process environment, what a thread keeps, and the dict that an application may change.

use wsgi_harness::{Mode, Mpm, Server, Site, is_root, matrix, subject, unprivileged_user};

/// DMN-131, DP-27, DMN-017, DMN-018: httpd's environment is a daemon's too. The process environment is not the environ, and `os.environ` is a user's.
#[test]
fn process_environment() {
    let server = Site::daemon()
        .variable("GIVEN_TO_HTTPD", "a value")
        .daemon_options("threads=1 lang=en_US.UTF-8")
        .script(
            "/",
            "import os\n\ndef application(e, s):\n    s('200 OK', [])\n    return [repr(sorted(os.environ.items())).encode()]\n",
        )
        .start();
    let text = server.get("/").expect(200).text();
    assert!(text.contains("('LANG', 'en_US.UTF-8')"), "{text}");
    assert!(text.contains("('GIVEN_TO_HTTPD', 'a value')"), "{text}");
    if is_root() {
        let home = unprivileged_user().dir.display().to_string();
        assert!(text.contains(&format!("('HOME', '{home}')")), "{text}");
    }
    assert!(!text.contains("SCRIPT_NAME"));
}

/// REQ-853: what a thread keeps between two requests.
fn thread_locals(mpm: Mpm, mode: Mode) {
    let one_thread = match mpm {
        Mpm::Prefork => "ServerLimit 1\nMaxRequestWorkers 1\nStartServers 1",
        _ => "ServerLimit 1\nThreadsPerChild 1\nMaxRequestWorkers 1\nStartServers 1",
    };
    let server = Site::new(mpm, mode)
        .daemon_options("threads=1")
        .config(one_thread)
        .script(
            "/",
            "import threading\nlocal = threading.local()\n\ndef application(e, s):\n    local.count = getattr(local, 'count', 0) + 1\n    s('200 OK', [])\n    return [b'%d' % local.count]\n",
        )
        .start();
    for count in ["1", "2", "3"] {
        assert_eq!(server.get("/").expect(200).text(), count);
    }
    // httpd's own remark on one worker.
    server.allow_log("AH00484");
    server.allow_log("AH00161");
}
matrix!(thread_locals: event prefork);

/// ENV-03: the environ is a plain dict that the application may change without anybody else seeing it.
#[test]
fn environ_is_a_plain_dict() {
    let server: Server = Site::embedded()
        .script(
            "/",
            "def application(e, s):\n    seen = 'mark' in e\n    e['mark'] = 1\n    e['wsgi.version'] = None\n    s('200 OK', [])\n    return [repr((type(e) is dict, seen)).encode()]\n",
        )
        .start();
    for _ in 0..3 {
        assert_eq!(server.get("/").expect(200).text(), "(True, False)");
    }
    let _ = subject();
}
