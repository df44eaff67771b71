//! What applications write to `wsgi.errors` and the standard streams, and where it comes out.

use wsgi_harness::{Level, Mode, Mpm, Record, Server, Site, matrix, script, subject, wait_until};

/// A script whose application has this body.
fn app(body: &str) -> String {
    script(
        "sys",
        &format!(
            "errors = environ['wsgi.errors']\nresult = None\n{body}\nstart_response('200 OK', [])\nreturn [repr(result).encode()]"
        ),
    )
}

#[track_caller]
fn run(server: &Server, name: &str, body: &str) -> String {
    let url = server.case(name, &app(body));
    server.allow_log(&format!("{name}.wsgi]"));
    server.get(&url).expect(200).text()
}

/// The records that the script of this name wrote, without their prefix, as soon as there are `count`.
#[track_caller]
fn output(server: &Server, name: &str, count: usize) -> Vec<(String, Record)> {
    let prefix = server.fill(&format!("[script {{apps}}/{name}.wsgi]"));
    wait_until(&format!("{count} records of {name}"), || {
        let found: Vec<_> = server
            .log()
            .records()
            .into_iter()
            .filter(|record| record.level != Level::Info)
            .filter_map(|record| {
                let rest = record.message().strip_prefix(&prefix)?;
                Some((
                    rest.strip_prefix(' ').unwrap_or(rest).to_owned(),
                    record.clone(),
                ))
            })
            .collect();
        (found.len() >= count).then_some(found)
    })
}

/// REQ-541, REQ-561, REQ-802, REQ-803, REQ-807, DMN-605, API-037: lines become records.
fn lines(mpm: Mpm, mode: Mode) {
    let server = Site::new(mpm, mode).cases().start();
    let rows: &[(&str, &str, &[&str])] = &[
        ("one", "errors.write('one line\\n')", &["one line"]),
        ("several", "errors.write('a\\nb\\nc\\n')", &["a", "b", "c"]),
        (
            "partial",
            "errors.write('begin ')\nerrors.write('middle ')\nerrors.write('end\\n')",
            &["begin middle end"],
        ),
        (
            "tail",
            "errors.write('a\\ntail')\nerrors.write(' more\\n')",
            &["a", "tail", " more"],
        ),
        (
            "flushed",
            "errors.write('begin')\nerrors.flush()\nerrors.write('end\\n')",
            &["begin", "end"],
        ),
        (
            "unfinished",
            "errors.write('no newline at the end')",
            &["no newline at the end"],
        ),
        (
            "blank",
            "errors.write('\\n')\nerrors.write('x\\n')",
            &["", "x"],
        ),
        ("return", "errors.write('a\\rb\\n')", &["a\\rb"]),
        ("umlaut", "errors.write('\\xe9\\n')", &["\\xc3\\xa9"]),
        ("surrogate", "errors.write('a\\udc80b\\n')", &["a?b"]),
        ("listed", "errors.writelines(['a\\n', 'b\\n'])", &["a", "b"]),
        (
            "printed",
            "print('printed', 42, file=errors)",
            &["printed 42"],
        ),
        ("stdout", "print('to stdout')", &["to stdout"]),
        (
            "stderr",
            "print('to stderr', file=sys.stderr)",
            &["to stderr"],
        ),
        // The streams of a request are one in the log, in the order of what is written.
        (
            "together",
            "sys.stdout.write('a')\nsys.stderr.write('b')\nerrors.write('c\\nd')\nprint('e')",
            &["abc", "d", "e"],
        ),
        (
            "flushed-by-other",
            "sys.stdout.write('a')\nerrors.flush()\nsys.stderr.write('b')\nerrors.write('c')",
            &["a", "bc"],
        ),
        ("buffer", "errors.buffer.write(b'bytes\\n')", &["bytes"]),
        (
            "logging",
            "import logging\nlogging.getLogger('x').warning('by logging')",
            &["by logging"],
        ),
    ];
    for (name, body, expected) in rows {
        run(&server, name, body);
        let records = output(&server, name, expected.len());
        let texts: Vec<&str> = records.iter().map(|(text, _)| text.as_str()).collect();
        assert_eq!(texts, *expected, "{name}");
        for (_, record) in &records {
            assert_eq!(
                (record.level, record.module.as_str()),
                (Level::Error, "wsgi"),
                "{name}"
            );
            // Ours: records of a request are written by the Apache child, whose client it is.
            let peer = if mode == Mode::Daemon && !subject().differs("REQ-802") {
                "remote 127.0.0.1:"
            } else {
                "client 127.0.0.1:"
            };
            assert!(
                record.peer().is_some_and(|found| found.starts_with(peer)),
                "{}",
                record.line
            );
        }
    }
    // REQ-541: httpd's own limit for a record.
    run(
        &server,
        "long",
        "errors.write('x' * 20000 + '\\n')\nerrors.write('after\\n')",
    );
    let records = output(&server, "long", 2);
    assert!(
        records[0].0.len() > 7000 && records[0].0.len() <= 8192,
        "{}",
        records[0].0.len()
    );
}
matrix!(lines: event prefork);

/// REQ-540, REQ-542, REQ-543, REQ-544, ENV-44: the stream as an object.
fn the_object(mpm: Mpm, mode: Mode) {
    let server = Site::new(mpm, mode).cases().start();
    let facts = run(
        &server,
        "facts",
        "result = type(errors).__module__ + '.' + type(errors).__name__, errors.name, errors.encoding, errors.errors, errors.line_buffering, errors.write_through, errors.isatty(), errors.readable(), errors.writable(), errors.seekable(), errors.closed, type(errors.buffer).__name__",
    );
    assert_eq!(
        facts,
        "('_io.TextIOWrapper', '<wsgi.errors>', 'utf-8', 'replace', True, True, False, False, True, False, False, 'Log')"
    );
    let failures = run(
        &server,
        "failures",
        "import io\nresult = []\nfor call in (lambda: errors.write(b'x'), lambda: errors.fileno(), lambda: errors.read(), lambda: errors.seek(0)):\n    try:\n        call()\n        result.append('fine')\n    except BaseException as error:\n        result.append(type(error).__name__)",
    );
    assert_eq!(
        failures,
        "['TypeError', 'OSError', 'UnsupportedOperation', 'UnsupportedOperation']"
    );
    let buffer = run(
        &server,
        "buffer",
        "log = errors.buffer\nresult = log.write(b'a\\n'), log.write(bytearray(b'b\\n')), log.write(memoryview(b'c\\n')), log.writelines([b'd\\n']), log.flush(), log.isatty(), log.readable(), log.writable(), log.seekable(), log.closed, log.name, log.encoding, log.errors",
    );
    assert_eq!(
        buffer,
        "(None, None, None, None, None, False, False, True, False, False, '<wsgi.errors>', 'utf-8', 'replace')"
    );
    assert_eq!(output(&server, "buffer", 4).len(), 4);
    let text = run(
        &server,
        "text",
        "import warnings\nlog = errors.buffer\nresult = []\nfor text in 'one\\n', 'two\\n':\n    with warnings.catch_warnings(record=True) as caught:\n        warnings.simplefilter('always')\n        result += [log.write(text), log.writelines([text])]\n        result += [warning.category.__name__ for warning in caught]\nfor call in (lambda: log.write(5), log.fileno, log.close, lambda: log.closed, lambda: log.write(b'late'), log.flush):\n    try:\n        result.append(call())\n    except Exception as error:\n        result.append(type(error).__name__)",
    );
    assert_eq!(
        text,
        "[None, None, 'DeprecationWarning', None, None, 'TypeError', 'OSError', None, False, 'RuntimeError', None]",
        "REQ-543, REQ-544"
    );
    let texts = output(&server, "text", 4);
    let texts: Vec<_> = texts.iter().map(|(text, _)| text.as_str()).collect();
    assert_eq!(texts, ["one", "one", "two", "two"]);
    let url = server.case(
        "kept",
        "kept = []\n\ndef application(environ, start_response):\n    result = []\n    for errors in kept:\n        for call in (lambda: errors.write('late\\n'), errors.flush, errors.close):\n            try:\n                call()\n                result.append('fine')\n            except BaseException as error:\n                result.append(type(error).__name__)\n    kept[:] = [environ['wsgi.errors']]\n    start_response('200 OK', [])\n    return [' '.join(result).encode()]\n",
    );
    server.allow_log("kept.wsgi]");
    let texts: Vec<String> = (0..30)
        .map(|_| server.get(&url).expect(200).text())
        .filter(|text| !text.is_empty())
        .collect();
    assert!(!texts.is_empty());
    for text in texts {
        assert!(text.starts_with("RuntimeError"), "REQ-544: {text}");
    }
    assert_eq!(server.log().count("late"), 0);
}
matrix!(the_object: event);

/// REQ-560, REQ-561, REQ-562, REQ-640: the standard streams, at import and in a request, in each interpreter.
fn standard_streams(mpm: Mpm, mode: Mode) {
    let text = "import sys\nprint('while loading')\n\ndef application(environ, start_response):\n    print('in the request', file=sys.stderr)\n    result = sys.stdout.name, sys.stderr.name, sys.stdin.read(), type(sys.stdout).__name__\n    start_response('200 OK', [])\n    return [repr(result).encode()]\n";
    let server = Site::new(mpm, mode)
        .script("/main", text)
        .script_with("/sub", "application-group=named", text)
        .start();
    for path in ["/main", "/sub"] {
        assert_eq!(
            server.get(path).expect(200).text(),
            "('<stdout>', '<stderr>', '', 'TextIOWrapper')",
            "{path}"
        );
    }
    assert_eq!(server.wait_for_logs("in the request", 2).len(), 2);
    for record in server.wait_for_logs("while loading", 2) {
        assert_eq!(record.level, Level::Error);
        // The request that loads the script is its thread's.
        let is_its = record.peer().is_some() && record.message().starts_with("[script ");
        assert_eq!(is_its, subject().differs("REQ-561"), "{}", record.line);
    }
}
matrix!(standard_streams: event);

/// REQ-561: a thread of the application writes to the log of the process.
fn threads_of_applications(mpm: Mpm, mode: Mode) {
    let server = Site::new(mpm, mode).cases().start();
    run(
        &server,
        "threaded",
        "import threading\nthread = threading.Thread(target=lambda: print('from a thread', file=sys.stderr))\nthread.start()\nthread.join()",
    );
    let record = server.wait_for_log("from a thread");
    assert_eq!(
        (record.level, record.peer()),
        (Level::Error, None),
        "{}",
        record.line
    );
}
matrix!(threads_of_applications: event);

/// REQ-564, DMN-600: what goes to descriptor 2 itself.
fn descriptor_two(mpm: Mpm, mode: Mode) {
    let server = Site::new(mpm, mode).cases().start();
    run(
        &server,
        "raw",
        "import os\nos.write(2, b'written to descriptor 2\\n')",
    );
    let record = server.wait_for_log("written to descriptor 2");
    assert_eq!(record.level, Level::Raw, "{record:?}");
}
matrix!(descriptor_two: event);

/// REQ-560, REQ-563, DIR-111: restricted streams.
fn restricted_streams(mpm: Mpm, mode: Mode) {
    let server = Site::new(mpm, mode)
        .cases()
        .config("WSGIRestrictStdin On\nWSGIRestrictStdout On")
        .start();
    // Python flushes the streams when it ends.
    server.allow_log("Exception ignored in: <mod_wsgi.Restricted");
    server.allow_log("OSError: ");
    let result = run(
        &server,
        "restricted",
        "result = []\nfor stream, text in (sys.stdin, 'sys.stdin'), (sys.stdout, 'sys.stdout'):\n    for name in ('read', 'write', 'fileno', 'anything'):\n        try:\n            getattr(stream, name)\n            result.append('fine')\n        except OSError as error:\n            result.append(text in str(error) and 'restricted' in str(error) or str(error))",
    );
    assert_eq!(result, format!("[{}]", ["True"; 8].join(", ")));
}
matrix!(restricted_streams: event);

/// REQ-331, DMN-005, DMN-128, DMN-264, DMN-600, DMN-602, DMN-604, DP-28: lines come out in the log of the request's virtual host, those without request in the group's.
#[test]
fn logs_of_virtual_hosts() {
    let server = Site::daemon()
        .config(
            "Listen 127.0.0.1:{port2}
            <VirtualHost 127.0.0.1:{port2}>
                ServerName second.example
                ErrorLog {data}/second.log
                LogLevel wsgi:debug
                WSGIDaemonProcess theirs threads=2
                WSGIScriptAlias /own {apps}/talking.wsgi process-group=theirs
                WSGIScriptAlias /shared {apps}/talking.wsgi process-group=live
                WSGIScriptAlias /failing {apps}/failing.wsgi process-group=live
            </VirtualHost>
            <VirtualHost 127.0.0.1:{port2}>
                ServerName third.example
                ErrorLog {data}/third.log
                WSGIScriptAlias /shared {apps}/talking.wsgi process-group=live
            </VirtualHost>
            WSGIScriptAlias /main {apps}/talking.wsgi",
        )
        .file("apps/failing.wsgi", "def application(e, s):\n    raise ValueError('in a virtual host')\n")
        .file(
            "apps/talking.wsgi",
            "import os, sys, threading, time\n\ndef application(e, s):\n    print('request %s' % e['QUERY_STRING'], file=e['wsgi.errors'])\n    os.write(2, b'raw %s\\n' % e['QUERY_STRING'].encode())\n    if e['QUERY_STRING'] == 'own':\n        threading.Thread(target=lambda: print('thread of theirs', file=sys.stderr)).start()\n    s('200 OK', [])\n    return []\n",
        )
        .start();
    let second = wsgi_harness::ErrorLog::new(server.path("data/second.log"));
    let third = wsgi_harness::ErrorLog::new(server.path("data/third.log"));
    let ask_of = |host: &str, path: &str| {
        server
            .connect_to(1)
            .send(&wsgi_harness::Request::get(path).host(host))
            .status
    };
    let ask = |path: &str| ask_of("second.example", path);
    // By the name alone: address and port are the same.
    assert_eq!(ask_of("third.example", "/shared?third"), 200);
    wait_until("the third log", || {
        (third.count("request third") == 1).then_some(())
    });
    assert_eq!(ask("/own?own"), 200);
    assert_eq!(ask("/shared?shared"), 200);
    assert_eq!(ask("/failing"), 500);
    assert_eq!(server.get("/main?main").status, 200);
    server.wait_for_log("request main");
    for text in [
        "request own",
        "request shared",
        "thread of theirs",
        "raw own",
        "ValueError: in a virtual host",
    ] {
        wait_until(text, || (second.count(text) == 1).then_some(()));
        assert_eq!(server.log().count(text), 0, "{text}");
    }
    for text in ["request main", "request third"] {
        assert_eq!(second.count(text), 0, "{text}");
    }
    assert_eq!(server.log().count("request third"), 0);
    server.expect_log("raw third");
    // The process's own, whose group is the main server's.
    server.expect_log("raw shared");
    server.expect_log("raw main");
    if subject().is_ours() {
        let started = "starting process of group 'theirs'";
        assert_eq!((second.count(started), server.log().count(started)), (1, 0));
        // At the level of the virtual host, too.
        let timers = "timers of a process of group '";
        wait_until(timers, || (second.count(timers) == 1).then_some(()));
        assert_eq!(server.log().count(timers), 0);
    }
}

/// DMN-128, DMN-600, DMN-601: a virtual host whose log is a program has the lines of its group there; where it is the system's, the
/// group serves all the same.
#[test]
fn logs_that_are_no_files() {
    let server = Site::daemon()
        .config(
            "Listen 127.0.0.1:{port2}
            Listen 127.0.0.1:{port3}
            <VirtualHost 127.0.0.1:{port2}>
                ErrorLog \"|$/bin/cat >> {data}/piped.log\"
                WSGIDaemonProcess piped threads=2
                WSGIScriptAlias / {apps}/talking.wsgi process-group=piped
            </VirtualHost>
            <VirtualHost 127.0.0.1:{port3}>
                ErrorLog syslog
                WSGIDaemonProcess system threads=2
                WSGIScriptAlias / {apps}/talking.wsgi process-group=system
            </VirtualHost>",
        )
        .file(
            "apps/talking.wsgi",
            "import os, sys, threading\n\ndef application(e, s):\n    print('in the request', file=e['wsgi.errors'])\n    thread = threading.Thread(target=lambda: print('in a thread', file=sys.stderr))\n    thread.start()\n    thread.join()\n    os.write(2, b'raw %s\\n' % e['QUERY_STRING'].encode())\n    s('200 OK', [])\n    return [e['mod_wsgi.process_group'].encode()]\n",
        )
        .start();
    // The shell that httpd starts the program with is none of its children.
    let ask = |index: usize, path: &str| {
        let answer = server
            .connect_to(index)
            .send(&wsgi_harness::Request::get(path));
        answer.expect(200).text()
    };
    assert_eq!(ask(1, "/?piped"), "piped");
    for text in ["in the request", "in a thread", "raw piped"] {
        wait_until(text, || {
            let log = std::fs::read_to_string(server.path("data/piped.log")).ok()?;
            log.contains(text).then_some(())
        });
        assert_eq!(server.log().count(text), 0, "{text}");
    }
    if !subject().differs("DMN-601") {
        // The original's process has no descriptor 2 then: what is written to it fails.
        return;
    }
    for _ in 0..2 {
        assert_eq!(ask(2, "/?system"), "system");
    }
    server.allow_log("raw system");
}

/// DIR-155, DMN-604, REQ-805: at trace1 nothing aborts, though many threads meet in an interpreter, and each request is told of; at
/// debug only what happens to processes and interpreters.
fn tracing(mpm: Mpm, mode: Mode) {
    const THREADS: usize = 4;
    let server = Site::new(mpm, mode)
        .log_level("notice wsgi:trace1")
        .daemon_options(&format!("processes=1 threads={THREADS}"))
        .config(
            "ServerLimit 1
            MaxRequestWorkers 16
            WSGIApplicationGroup named
            <Location /quiet>\nLogLevel wsgi:debug\n</Location>",
        )
        .without_application_group()
        .script(
            "/",
            &format!(
                "import threading\n\
                 all_here = threading.Barrier({THREADS})\n\n\
                 def application(environ, start_response):\n    \
                     if environ['QUERY_STRING']:\n        \
                         all_here.wait(60)\n    \
                     start_response('200 OK', [])\n    \
                     return [b'hello']\n"
            ),
        )
        .start();
    if !subject().differs("DIR-155") {
        // The original aborts the process here.
        return;
    }
    let interpreter = "Create interpreter 'named'";
    server.get("/quiet").expect(200);
    server.wait_for_log(interpreter);
    let place = if mode == Mode::Daemon {
        "daemon group 'live'"
    } else {
        "embedded"
    };
    let told = format!("Run 'application' for a request (sub-interpreter 'named', {place}).");
    assert_eq!(server.log().count(&told), 0);
    for round in 1..=3 {
        let mut waiting: Vec<_> = (0..THREADS).map(|_| server.begin("/?meet")).collect();
        for connection in &mut waiting {
            assert_eq!(connection.answer().expect(200).text(), "hello");
        }
        let records = server.log().matching(&told);
        assert_eq!(records.len(), THREADS * round, "{records:?}");
        for record in records {
            assert!(record.line.contains("[wsgi:trace1]"), "{}", record.line);
            assert!(record.contains("[script "), "{}", record.line);
        }
    }
    assert_eq!(server.log().count(interpreter), 1);
}
matrix!(tracing: event);

/// DMN-604: nothing in the log of a server that only answers.
fn silence(mpm: Mpm, mode: Mode) {
    let server = Site::new(mpm, mode)
        .log_level("info")
        .shared("hello.wsgi")
        .cases()
        .start();
    for _ in 0..10 {
        server.get("/case/hello").expect(200);
    }
    let bad: Vec<Record> = server
        .log()
        .records()
        .into_iter()
        .filter(|record| record.level.is_bad())
        .collect();
    assert!(bad.is_empty(), "{bad:?}");
}
matrix!(silence);
