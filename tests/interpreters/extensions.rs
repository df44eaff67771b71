//! Extension modules that refuse a second interpreter: what the log and the page of the 500 say.

use wsgi_harness::{Mode, Mpm, Server, Site, matrix, subject, test_venv};

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
