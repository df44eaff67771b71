//! Modules that change on disk: what is taken up, and what must not be.

use wsgi_harness::{Answer, Mode, Mpm, Server, matrix, subject, wait_until};

use super::site;

/// A package of two modules whose second one is imported by the first request.
fn package(server_text: &str, views_text: &str) -> [(&'static str, String); 2] {
    let wsgi = format!(
        "import os\n\ndef application(environ, start_response):\n    from mysite import views\n    start_response('200 OK', [('X-Pid', str(os.getpid()))])\n    return [('{server_text} ' + views.text()).encode()]\n"
    );
    let views = format!("def text():\n    return '{views_text}'\n");
    [
        ("apps/lib/mysite/wsgi.py", wsgi),
        ("apps/lib/mysite/views.py", views),
    ]
}

fn changing(mpm: Mpm, mode: Mode, reloading: &str) -> Server {
    let [wsgi, views] = package("one", "first");
    site(mpm, mode)
        .config(&format!(
            "WSGIScriptAlias / module:mysite.wsgi\nWSGIScriptReloading {reloading}"
        ))
        .file(wsgi.0, &wsgi.1)
        .file(views.0, &views.1)
        .start()
}

/// `WSGIScriptReloading On`: the module of the target is taken up again when its file changes, others are not.
fn the_module_changes(mpm: Mpm, mode: Mode) {
    if !subject().is_ours() {
        return;
    }
    let server = changing(mpm, mode, "On");
    let get = || server.get("/").expect(200);
    let pid = |answer: &Answer| answer.header("X-Pid").unwrap_or_default().to_owned();
    let before = get();
    assert_eq!(before.text(), "one first");
    let [_, views] = package("", "second");
    server.write(views.0, &views.1);
    assert_eq!(get().text(), "one first");
    let [wsgi, _] = package("two", "");
    server.write(wsgi.0, &wsgi.1);
    let after = get();
    match mode {
        Mode::Embedded => {
            assert_eq!(after.text(), "two first", "only that module");
            assert_eq!(pid(&before), pid(&after));
        }
        Mode::Daemon => {
            assert_eq!(after.text(), "two second", "another process");
            assert_ne!(pid(&before), pid(&after));
        }
    }
    assert_eq!(pid(&get()), pid(&after), "once");
    server.touch(wsgi.0);
    assert_eq!(pid(&get()) == pid(&after), mode == Mode::Embedded);
}
matrix!(the_module_changes: event);

/// `WSGIScriptReloading Modules`: as when any loaded module of its package changes, also one that a request has imported.
fn a_module_of_the_package_changes(mpm: Mpm, mode: Mode) {
    if !subject().is_ours() {
        return;
    }
    let server = changing(mpm, mode, "Modules");
    let get = || server.get("/").expect(200);
    let pid = |answer: &Answer| answer.header("X-Pid").unwrap_or_default().to_owned();
    let mut before = get();
    assert_eq!(before.text(), "one first");
    assert_eq!(pid(&get()), pid(&before));
    for version in ["second", "third"] {
        let [_, views] = package("", version);
        server.write(views.0, &views.1);
        let after = get();
        match mode {
            Mode::Embedded => {
                assert_eq!(after.text(), "one first", "the other module stays");
                let loads = if version == "second" { 1 } else { 2 };
                assert_eq!(server.log().count("Reload module 'mysite.wsgi'"), loads);
            }
            Mode::Daemon => {
                assert_eq!(after.text(), format!("one {version}"));
                assert_ne!(pid(&before), pid(&after));
            }
        }
        assert_eq!(pid(&get()), pid(&after), "once for each change");
        before = after;
    }
    let loads = server.log().count("load module 'mysite.wsgi'");
    // A file of another package is none of its business.
    server.write("apps/lib/neighbour.py", "");
    get();
    assert_eq!(server.log().count("load module 'mysite.wsgi'"), loads);
}
matrix!(a_module_of_the_package_changes: event);

/// `WSGIScriptReloading Off`: nothing is taken up.
fn nothing_is_taken_up(mpm: Mpm, mode: Mode) {
    if !subject().is_ours() {
        return;
    }
    let server = changing(mpm, mode, "Off");
    assert_eq!(server.get("/").expect(200).text(), "one first");
    for file in package("two", "second") {
        server.write(file.0, &file.1);
    }
    assert_eq!(server.get("/").expect(200).text(), "one first");
}
matrix!(nothing_is_taken_up: event);

/// `deploy-check`: a module that cannot be imported any more, or whose factory fails, leaves the old code where it is, also with
/// `WSGIScriptReloading Modules` where another module of its package is the broken one; what mends it is deployed.
#[test]
fn broken_deploys() {
    if !subject().is_ours() {
        return;
    }
    let wsgi = |text: &str| {
        format!(
            "import os\nfrom mysite import views\n\ndef make():\n    {text}\n    return application\n\ndef application(environ, start_response):\n    start_response('200 OK', [])\n    return [views.text().encode()]\n"
        )
    };
    let views = |text: &str| format!("def text():\n    return '{text}'\n");
    for reloading in ["On", "Modules"] {
        let server = site(Mpm::Event, Mode::Daemon)
            .config(&format!(
                "WSGIScriptReloading {reloading}
                WSGIScriptAlias / module:mysite.wsgi:make() process-group=live application-group=%{{GLOBAL}}"
            ))
            .file("apps/lib/mysite/wsgi.py", &wsgi("pass"))
            .file("apps/lib/mysite/views.py", &views("one"))
            .start();
        let serves = |version: &str| {
            wait_until(version, || {
                (server.get("/").expect(200).text() == version).then_some(())
            });
        };
        serves("one");
        // Deployed with what mends it: the other module alone is looked at with `Modules` only.
        let deploy = |version: &str| {
            server.write("apps/lib/mysite/views.py", &views(version));
            if reloading == "On" {
                server.write("apps/lib/mysite/wsgi.py", &wsgi("pass"));
            }
            serves(version);
        };
        deploy("two");
        for (file, broken, next) in [
            ("wsgi.py", wsgi("raise ValueError('in make')"), "three"),
            ("wsgi.py", "def application(\n".to_owned(), "four"),
            ("views.py", "import not_there_at_all\n".to_owned(), "five"),
        ] {
            if file == "views.py" && reloading == "On" {
                continue;
            }
            // Not while the process before the last one still answers.
            wait_until("one process", || {
                (server.daemons().len() == 1).then_some(())
            });
            let now = server.get("/").expect(200).text();
            let before = server.log().count("WSGI5207");
            server.write(&format!("apps/lib/mysite/{file}"), &broken);
            assert_eq!(server.get("/").expect(200).text(), now);
            let records = server.wait_for_logs("WSGI5207", before + 1);
            assert!(
                records[before].contains("module:mysite.wsgi"),
                "{records:?}"
            );
            for _ in 0..10 {
                assert_eq!(server.get("/").expect(200).text(), now);
            }
            if file == "wsgi.py" {
                server.write("apps/lib/mysite/wsgi.py", &wsgi("pass"));
            }
            deploy(next);
        }
        for text in [
            "WSGI5207",
            "WSGI5211",
            "WSGI5213",
            "Traceback",
            "  ",
            "ValueError: in make",
            "SyntaxError",
            "not_there_at_all",
        ] {
            server.allow_log(text);
        }
    }
}
