//! The import of a module: when and how often it happens, and what a failure says.

use wsgi_harness::{Mode, Mpm, matrix, subject, wait_until};

use super::{APPLICATION, site};

/// A module has a process group and an interpreter like a script, and with both is imported when the process starts.
#[test]
fn groups_and_preloading() {
    if !subject().is_ours() {
        return;
    }
    let server = site(Mpm::Event, Mode::Embedded)
        .config(
            "WSGIDaemonProcess other threads=1 home={apps}/lib
            WSGIScriptAlias /other module:noting:make() process-group=other application-group=here
            WSGIImportScript module:mysite.wsgi process-group=other application-group=%{GLOBAL}
            WSGIScriptAlias /embedded module:mysite.wsgi",
        )
        .file(
            "apps/lib/noting.py",
            "import os\nimport mysite.wsgi\n\ndef note(text):\n    with open('{data}/notes', 'a') as f:\n        f.write(text + '\\n')\n\nnote('imported')\n\ndef make():\n    note('made')\n    return mysite.wsgi.application\n",
        )
        .start();
    wait_until("the notes of the start", || {
        let notes = std::fs::read_to_string(server.path("data/notes")).ok()?;
        (notes == "imported\nmade\n").then_some(())
    });
    let answer = server.get("/other").expect(200);
    assert_eq!(
        (answer.fact("process"), answer.fact("group")),
        ("other".to_owned(), "here".to_owned())
    );
    let answer = server.get("/embedded").expect(200);
    assert_eq!(answer.fact("process"), "");
    let notes = std::fs::read_to_string(server.path("data/notes")).expect("it was read before");
    assert_eq!(notes, "imported\nmade\n", "once");
    server.wait_for_log("Load module 'noting' (sub-interpreter 'here', daemon group 'other')");
}

/// A failure names module, attribute and what to set, is 500, and is over as soon as the cause is.
fn failures(mpm: Mpm, mode: Mode) {
    if !subject().is_ours() {
        return;
    }
    let server = site(mpm, mode)
        .config(
            "WSGIScriptAlias /missing module:nowhere.wsgi:application
            WSGIScriptAlias /below module:mysite.nothing
            WSGIScriptAlias /imports module:mysite.imports
            WSGIScriptAlias /raises module:mysite.raises
            WSGIScriptAlias /exits module:mysite.exits
            WSGIScriptAlias /attribute module:mysite.wsgi:API.nothing
            WSGIScriptAlias /factory module:mysite.raises_later:make()
            WSGIScriptAlias /number module:mysite.wsgi:calls",
        )
        .file("apps/lib/mysite/imports.py", "import not_there_at_all\n")
        .file(
            "apps/lib/mysite/raises.py",
            "raise ValueError('at import')\n",
        )
        .file("apps/lib/mysite/exits.py", "raise SystemExit(1)\n")
        .file(
            "apps/lib/mysite/raises_later.py",
            "def make():\n    raise ValueError('in make')\n",
        )
        .start();
    let hint = match mode {
        Mode::Embedded => "WSGIPythonPath",
        Mode::Daemon => "python-path=",
    };
    let lib = server.fill("{apps}/lib");
    for (path, texts) in [
        (
            "/missing",
            &["WSGI5210", "no module 'nowhere' on sys.path", hint, &lib][..],
        ),
        ("/below", &["WSGI5210", "no module 'mysite.nothing'"]),
        ("/imports", &["WSGI5211", "'mysite.imports'"]),
        ("/raises", &["WSGI5211", "'mysite.raises'"]),
        ("/exits", &["WSGI5211", "raised SystemExit"]),
        (
            "/attribute",
            &["WSGI5212", "no 'nothing' in 'API' of module 'mysite.wsgi'"],
        ),
        ("/factory", &["WSGI5213", "'make()'"]),
        ("/number", &["WSGI5214", "a 'list' cannot be called"]),
    ] {
        server.get(path).expect(500);
        let records = server.log().matching(texts[0]);
        let found = records
            .iter()
            .find(|record| texts.iter().all(|text| record.contains(text)));
        assert!(
            found.is_some(),
            "{path}: {texts:?} in {}",
            server.log().text()
        );
        server.allow_log(texts[0]);
    }
    for text in [
        "ValueError: at import",
        "ValueError: in make",
        "No module named 'not_there_at_all'",
    ] {
        server.expect_log(text);
    }
    server.allow_log("WSGI0174");
    server.allow_log("WSGI0175");
    for (path, file) in [
        ("/missing", "apps/lib/nowhere/wsgi.py"),
        ("/raises", "apps/lib/mysite/raises.py"),
    ] {
        let folder = server.path(file);
        std::fs::create_dir_all(folder.parent().expect("it has one")).expect("mine");
        server.write(file, APPLICATION);
        let answer = server.get(path).expect(200);
        assert_eq!(answer.fact("application"), "application");
    }
    server.write(
        "apps/lib/mysite/raises_later.py",
        &(APPLICATION.to_owned() + "\ndef make():\n    return application\n"),
    );
    server.get("/factory").expect(200);
}
matrix!(failures: event);

/// Imports of different targets do not wait for one another; requests of one target wait for its import, which happens once.
#[test]
fn imports_do_not_wait() {
    if !subject().is_ours() {
        return;
    }
    let server = site(Mpm::Event, Mode::Daemon)
        .config("WSGIScriptAlias /slow module:slow\nWSGIScriptAlias / module:mysite.wsgi")
        .file(
            "apps/lib/slow.py",
            "import os, time\nwith open('{data}/slow', 'a') as f:\n    f.write('x')\nwhile not os.path.exists('{data}/go'):\n    time.sleep(0.01)\n\ndef application(environ, start_response):\n    start_response('200 OK', [])\n    return [b'slow']\n",
        )
        .start();
    let mut waiting = [server.begin("/slow"), server.begin("/slow")];
    wait_until("the import", || {
        server.path("data/slow").exists().then_some(())
    });
    assert_eq!(
        server.get("/").expect(200).fact("application"),
        "application"
    );
    server.write("data/go", "");
    for connection in &mut waiting {
        let answer = connection.answer().expect(200);
        assert_eq!(answer.text(), "slow");
    }
    let loads = std::fs::read_to_string(server.path("data/slow")).expect("it was there");
    assert_eq!(loads, "x");
}
