//! Targets that are modules: `module:NAME:CALLABLE` in place of a script file. mod_wsgi has nothing like it, so these tests are
//! not for the original.

use wsgi_harness::{Answer, Mode, Mpm, Request, Server, Site, matrix, subject, wait_until};

/// An application that answers with what it was told about itself.
const APPLICATION: &str = "import os, threading

def answer(name, environ, start_response):
    lines = {
        'application': name,
        'name': __name__,
        'script_name': environ['SCRIPT_NAME'],
        'path_info': environ['PATH_INFO'],
        'script_filename': environ['SCRIPT_FILENAME'],
        'callable': environ['mod_wsgi.callable_object'],
        'process': environ['mod_wsgi.process_group'],
        'group': environ['mod_wsgi.application_group'],
        'pid': os.getpid(),
    }
    start_response('200 OK', [('Content-Type', 'text/plain')])
    return [''.join('%s\\t%s\\n' % line for line in lines.items()).encode()]

def application(environ, start_response):
    return answer('application', environ, start_response)

class API:
    def __init__(self, name):
        self.name = name

    def __call__(self, environ, start_response):
        return answer(self.name, environ, start_response)

API.instance = API('attribute')
calls = []

def create_app():
    calls.append(1)
    return API('factory %d' % len(calls))
";

/// A site with the package `mysite` on the path of both modes.
fn site(mpm: Mpm, mode: Mode) -> Site {
    let one_child = match mpm {
        Mpm::Prefork => "ServerLimit 1\nMaxRequestWorkers 1\nStartServers 1",
        _ => "ServerLimit 1\nMaxRequestWorkers 16",
    };
    let path = match mode {
        Mode::Embedded => "WSGIPythonPath {apps}/lib",
        Mode::Daemon => "",
    };
    Site::new(mpm, mode)
        .daemon_options("processes=1 threads=4 python-path={apps}/lib")
        .config(one_child)
        .config(path)
        .file("apps/lib/mysite/__init__.py", "")
        .file("apps/lib/mysite/wsgi.py", APPLICATION)
}

#[track_caller]
fn fact(answer: &Answer, key: &str) -> String {
    answer
        .line(key)
        .unwrap_or_else(|| panic!("no {key}: {}", answer.text()))
}

/// Targets of every form, and the two halves of the path as for a script.
fn forms(mpm: Mpm, mode: Mode) {
    if !subject().is_ours() {
        return;
    }
    let server = site(mpm, mode)
        .config(
            "WSGIScriptAlias /attribute module:mysite.wsgi:API.instance
            WSGIScriptAlias /factory module:mysite.wsgi:create_app()
            WSGIScriptAlias /option module:mysite.wsgi callable-object=create_app
            WSGIScriptAlias /slash/ module:mysite.wsgi
            WSGIScriptAliasMatch ^/match/[a-z]+ module:mysite.wsgi:application
            <Location /named>
                WSGICallableObject API.instance
            </Location>
            WSGIScriptAlias /named module:mysite.wsgi
            <Location /elsewhere>
                WSGIApplicationGroup elsewhere
            </Location>
            WSGIScriptAlias /elsewhere module:mysite.wsgi application-group=one
            WSGIScriptAlias / module:mysite.wsgi:application",
        )
        .start();
    for (path, application, script_name, path_info) in [
        ("/", "application", "", "/"),
        ("/x/y", "application", "", "/x/y"),
        ("//x//y", "application", "", "/x/y"),
        ("/attribute", "attribute", "/attribute", ""),
        ("/attribute/", "attribute", "/attribute", "/"),
        ("/attribute/x%20y", "attribute", "/attribute", "/x y"),
        ("/attributes", "application", "", "/attributes"),
        ("/factory", "factory 1", "/factory", ""),
        ("/factory/again", "factory 1", "/factory", "/again"),
        ("/slash/x", "application", "/slash", "/x"),
        ("/slash//", "application", "/slash", "/"),
        ("/match/abc", "application", "/match/abc", ""),
        ("/match/abc/x", "application", "/match/abc", "/x"),
        ("/match/abc9", "application", "", "/match/abc9"),
        ("/named/x", "attribute", "/named", "/x"),
        ("/elsewhere", "application", "/elsewhere", ""),
    ] {
        let answer = server.get(path).expect(200);
        assert_eq!(fact(&answer, "application"), application, "{path}");
        assert_eq!(fact(&answer, "script_name"), script_name, "{path}");
        assert_eq!(fact(&answer, "path_info"), path_info, "{path}");
        assert_eq!(fact(&answer, "name"), "mysite.wsgi", "{path}");
        assert_eq!(
            fact(&answer, "script_filename"),
            "module:mysite.wsgi",
            "{path}"
        );
        let group = if path == "/elsewhere" { "one" } else { "" };
        assert_eq!(fact(&answer, "group"), group, "{path}");
    }
    assert_eq!(
        fact(&server.get("/").expect(200), "callable"),
        "application"
    );
    server.get("/option").expect(500);
    server.expect_log("TypeError");
    server.allow_log("WSGI0174");
    // One process is all that prefork has here.
    server.allow_log("AH00161");
}
matrix!(forms);

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
        (fact(&answer, "process"), fact(&answer, "group")),
        ("other".to_owned(), "here".to_owned())
    );
    let answer = server.get("/embedded").expect(200);
    assert_eq!(fact(&answer, "process"), "");
    let notes = std::fs::read_to_string(server.path("data/notes")).expect("it was read before");
    assert_eq!(notes, "imported\nmade\n", "once");
    server.wait_for_log("Load module 'noting' (sub-interpreter 'here', daemon group 'other')");
}

/// There is no file: sections for folders and `AddHandler`, `AddType`, content negotiation and permissions to execute do not
/// matter, `<Location>` does.
fn no_file(mpm: Mpm, mode: Mode) {
    if !subject().is_ours() {
        return;
    }
    let server = site(mpm, mode)
        .modules(&["mime", "negotiation", "dir", "authz_core"])
        .config(
            "<Directory />
                Require all denied
                WSGICallableObject missing
            </Directory>
            DirectoryIndex index.html
            TypesConfig /dev/null
            AddEncoding x-gzip .gz
            AddHandler cgi-script .gz
            AddLanguage de .de
            WSGIScriptAlias /encoded module:mysite.gz.de.app
            WSGIScriptAlias /refused module:mysite.wsgi
            WSGIScriptAlias / module:mysite.wsgi
            <Location /refused>
                Require all denied
            </Location>
            <Location />
                Options MultiViews
            </Location>",
        )
        .file("apps/lib/mysite/gz/__init__.py", "")
        .file("apps/lib/mysite/gz/de/__init__.py", "")
        .file("apps/lib/mysite/gz/de/app.py", APPLICATION)
        .start();
    assert_eq!(
        fact(&server.get("/").expect(200), "application"),
        "application"
    );
    server.get("/refused/x").expect(403);
    let answer = server.get("/encoded/x").expect(200);
    assert_eq!(fact(&answer, "name"), "mysite.gz.de.app");
    assert_eq!(answer.header("Content-Encoding"), None);
    assert_eq!(answer.header("Content-Language"), None);
    assert_eq!(answer.header("Content-Type"), Some("text/plain"));
    server.allow_log("AH01630");
}
matrix!(no_file: event);

/// What is no module, or says two things, is refused when the configuration is read.
#[test]
fn refused_targets() {
    if !subject().is_ours() {
        return;
    }
    for (config, wanted) in [
        ("WSGIScriptAlias / module:", "module:PACKAGE.MODULE"),
        ("WSGIScriptAlias / module:my-site", "my-site"),
        ("WSGIScriptAlias / module:mysite:app(1)", "app(1)"),
        (
            "WSGIScriptAliasMatch ^/([a-z]+) module:$1:application",
            "nothing is substituted",
        ),
        (
            "WSGIScriptAlias / module:mysite:app callable-object=other",
            "callable-object",
        ),
        (
            "WSGIImportScript module:my/site process-group=%{GLOBAL} application-group=%{GLOBAL}",
            "my/site",
        ),
        ("WSGIScriptReloading Module", "On, Off or Modules"),
    ] {
        let checked = Site::embedded().config(config).check();
        assert!(
            !checked.accepted && checked.output.contains(wanted),
            "{config}: {}",
            checked.output
        );
    }
}

/// A client cannot make a module out of a file name.
#[test]
fn files_are_no_modules() {
    if !subject().is_ours() {
        return;
    }
    let server = site(Mpm::Event, Mode::Embedded)
        .config("WSGIScriptAliasMatch ^/at/(.*) $1\nWSGIScriptAliasMatch ^/below/(.*) {apps}/$1")
        .start();
    for path in [
        "/at/module:mysite.wsgi:application",
        "/at/module:mysite.wsgi",
        "/below/module:mysite.wsgi",
    ] {
        let answer = server.get(path);
        assert!((400..=500).contains(&answer.status), "{}", answer.shown());
    }
    assert_eq!(server.log().count("Load module"), 0);
    server.allow_log("AH00");
    server.allow_log("WSGI0135");
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
        assert_eq!(fact(&answer, "application"), "application");
    }
    server.write(
        "apps/lib/mysite/raises_later.py",
        &(APPLICATION.to_owned() + "\ndef make():\n    return application\n"),
    );
    server.get("/factory").expect(200);
}
matrix!(failures: event);

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
    let mut waiting = [server.connect(), server.connect()];
    for connection in &mut waiting {
        connection.send_bytes(Request::get("/slow").bytes());
    }
    wait_until("the import", || {
        server.path("data/slow").exists().then_some(())
    });
    assert_eq!(
        fact(&server.get("/").expect(200), "application"),
        "application"
    );
    server.write("data/go", "");
    for connection in &mut waiting {
        let answer = connection
            .read_answer("GET")
            .expect("an answer")
            .expect(200);
        assert_eq!(answer.text(), "slow");
    }
    let loads = std::fs::read_to_string(server.path("data/slow")).expect("it was there");
    assert_eq!(loads, "x");
}

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
