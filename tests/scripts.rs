//! Loading of scripts, and taking up changed ones.

use std::collections::HashSet;
use std::path::Path;

use wsgi_harness::{Level, Mode, Mpm, Server, Site, load, matrix, subject, wait_until};

/// A script that answers with `text`.
fn saying(text: &str) -> String {
    format!(
        "import os\n\ndef application(environ, start_response):\n    start_response('200 OK', [('X-Pid', str(os.getpid()))])\n    return [b'{text}']\n"
    )
}

/// REQ-600, REQ-601, REQ-602, DIR-030, DIR-074: what a script finds itself to be.
fn identity(mpm: Mpm, mode: Mode) {
    let server = Site::new(mpm, mode)
        .cases()
        .file("apps/neighbour.py", "x = 1\n")
        .config("WSGIScriptAlias /no-extension {apps}/plain")
        .file("apps/plain", &saying("plain"))
        .start();
    let url = server.case(
        "facts",
        "import hashlib, sys\n\ndef application(environ, start_response):\n    module = sys.modules[__name__]\n    try:\n        import neighbour\n        found = True\n    except ImportError:\n        found = False\n    expected = '_mod_wsgi_' + hashlib.md5(environ['SCRIPT_FILENAME'].encode()).hexdigest()\n    lines = [__name__ == expected, __file__ == environ['SCRIPT_FILENAME'], type(__mtime__).__name__, __package__, globals().get('__cached__'), __spec__ is not None, type(__loader__).__name__, found, sys.argv]\n    start_response('200 OK', [])\n    return [repr(lines).encode()]\n",
    );
    let text = server.get(&url).expect(200).text();
    assert_eq!(
        text,
        "[True, True, 'int', None, None, True, 'SourceFileLoader', False, ['mod_wsgi']]"
    );
    assert_eq!(server.get("/no-extension").expect(200).text(), "plain");
    let caches: Vec<_> = walk(&server)
        .into_iter()
        .filter(|name| name.ends_with(".pyc"))
        .collect();
    assert!(caches.is_empty(), "REQ-602, DIR-087: {caches:?}");
    let url = server.case("latin", "# -*- coding: latin-1 -*-\ntext = 'x'\n\ndef application(environ, start_response):\n    start_response('200 OK', [])\n    return [text.encode()]\n");
    assert_eq!(server.get(&url).expect(200).text(), "x");
}
matrix!(identity: event);

/// REQ-602: bytecode of other code that Python itself would take for this file is not read.
fn planted_bytecode(mpm: Mpm, mode: Mode) {
    let server = Site::new(mpm, mode).cases().start();
    let url = server.case("planted", &saying("source"));
    let path = server.path("apps/planted.wsgi");
    let maker = server.case(
        "maker",
        "
import importlib.util, os
from importlib import _bootstrap_external, machinery

def application(environ, start_response):
    path = '{apps}/planted.wsgi'
    start_response('200 OK', [])
    if environ['QUERY_STRING']:
        names = dict()
        exec(machinery.SourceFileLoader('planted', path).get_code('planted'), names)
        return names['application'](environ, lambda *rest: None)
    with open(path) as file:
        code = compile(file.read().replace('source', 'cached'), path, 'exec')
    facts = os.stat(path)
    data = _bootstrap_external._code_to_timestamp_pyc(code, int(facts.st_mtime), facts.st_size)
    return [(importlib.util.cache_from_source(path) + ' ').encode(), bytes(data)]
",
    );
    let answer = server.get(&maker).expect(200);
    let end = answer.body.iter().position(|byte| *byte == b' ');
    let (name, code) = answer.body.split_at(end.expect("a blank behind the name"));
    let cache = Path::new(std::str::from_utf8(name).expect("a plain name"));
    assert_eq!(cache.parent().and_then(Path::parent), path.parent());
    std::fs::create_dir(cache.parent().expect("__pycache__")).expect("a new folder");
    std::fs::write(cache, &code[1..]).expect("a new file");
    let text = server.get(&format!("{maker}?load")).expect(200).text();
    assert_eq!(text, "cached", "Python would take it");
    assert_eq!(server.get(&url).expect(200).text(), "source");
}
matrix!(planted_bytecode: event);

fn walk(server: &Server) -> Vec<String> {
    let mut found = Vec::new();
    let mut left = vec![server.path("apps")];
    while let Some(folder) = left.pop() {
        for entry in std::fs::read_dir(folder)
            .expect("a folder of the site")
            .flatten()
        {
            if entry.path().is_dir() {
                left.push(entry.path());
            }
            found.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    found
}

/// REQ-600: loaded once for each interpreter of a process.
#[test]
fn loaded_once() {
    let text = "import os\nwith open('{data}/loads', 'a') as f:\n    f.write('x')\n".to_owned()
        + &saying("hello");
    let server = Site::daemon().file("apps/one.wsgi", &text).config("WSGIScriptAlias /a {apps}/one.wsgi\nWSGIScriptAlias /b {apps}/one.wsgi\nWSGIScriptAlias /c {apps}/one.wsgi application-group=named").start();
    let loads = || {
        std::fs::read_to_string(server.path("data/loads"))
            .unwrap_or_default()
            .len()
    };
    for path in ["/a", "/b", "/a"] {
        server.get(path).expect(200);
    }
    assert_eq!(loads(), 1);
    server.get("/c").expect(200);
    assert_eq!(loads(), 2);
}

/// REQ-600: one module of a path in an interpreter, whatever its roles; another path is another module, also of the same file.
#[test]
fn one_module_for_all_roles() {
    let text = "import sys\nwith open('{data}/loads', 'a') as f:\n    f.write('x')\ncalls = []\n\n\
        def allow_access(environ, host):\n    calls.append('access')\n    return True\n\n\
        def process_group(environ):\n    calls.append('dispatch')\n\n\
        def application(environ, start_response):\n    start_response('200 OK', [])\n    \
        return [repr((calls, sys.modules[__name__].calls is calls, __file__)).encode()]\n\n\
        def handle_request(environ, start_response):\n    calls.append('handler')\n    \
        return application(environ, start_response)\n";
    let site = Site::embedded()
        .file("apps/one.wsgi", text)
        .file("htdocs/page.handled", "never shown")
        .config(
            "ServerLimit 1\nMaxRequestWorkers 16
            WSGIImportScript {apps}/one.wsgi process-group=%{GLOBAL} application-group=%{GLOBAL}
            WSGIHandlerScript handled {apps}/one.wsgi
            <Location />
                WSGIAccessScript {apps}/one.wsgi
                WSGIDispatchScript {apps}/one.wsgi
            </Location>
            WSGIScriptAlias /one {apps}/one.wsgi
            WSGIScriptAlias /normal {apps}/./one.wsgi
            WSGIScriptAlias /link {apps}/link.wsgi
            <Files *.handled>
                SetHandler handled
            </Files>",
        );
    std::os::unix::fs::symlink("one.wsgi", site.path("apps/link.wsgi")).expect("a link");
    let server = site.start();
    for (path, calls, name) in [
        ("/one", "['access', 'dispatch']", "one"),
        (
            "/normal",
            "['access', 'dispatch', 'access', 'dispatch']",
            "one",
        ),
        ("/link", "[]", "link"),
    ] {
        let file = server.fill(&format!("{{apps}}/{name}.wsgi"));
        assert_eq!(
            server.get(path).expect(200).text(),
            format!("({calls}, True, '{file}')"),
            "{path}"
        );
    }
    let handled = server.get("/page.handled").expect(200).text();
    assert!(
        handled.contains("'dispatch', 'handler'], True"),
        "{handled}"
    );
    let loads = std::fs::read_to_string(server.path("data/loads")).expect("it was loaded");
    assert_eq!(loads, "xx", "once by each path");
}

/// REQ-605: that a script is loaded is told at info, with its path, its interpreter and its process; also when it is
/// loaded because it changed.
fn loads_are_told(mpm: Mpm, mode: Mode) {
    let server = Site::new(mpm, mode)
        .file("apps/main.wsgi", &saying("main"))
        .file("apps/named.wsgi", &saying("named"))
        .config(
            "WSGIScriptAlias /main {apps}/main.wsgi
            WSGIScriptAlias /named {apps}/named.wsgi application-group=its-own",
        )
        .start();
    let process = if mode == Mode::Daemon {
        "'live'"
    } else {
        "embedded"
    };
    for (name, interpreter) in [
        ("main", "main interpreter"),
        ("named", "sub-interpreter 'its-own'"),
    ] {
        for times in 1..=2 {
            server.get(&format!("/{name}")).expect(200);
            let path = server.fill(&format!("'{{apps}}/{name}.wsgi'"));
            let records = wait_until("the record", || {
                let mut found = server.log().matching(&path);
                found.retain(|record| record.message().contains("oad"));
                (found.len() >= times).then_some(found)
            });
            assert_eq!(records.len(), times, "{records:?}");
            for record in records {
                assert_eq!(record.level, Level::Info, "{}", record.line);
                assert!(
                    record.contains(interpreter) && record.contains(process),
                    "{}",
                    record.line
                );
            }
            server.write(&format!("apps/{name}.wsgi"), &saying(name));
        }
    }
}
matrix!(loads_are_told: event);

/// REQ-805: what the module refuses is an error, what it tries again is told at info, and what a request is at trace1, where
/// somebody asks for it.
fn levels(mpm: Mpm, mode: Mode) {
    let server = Site::new(mpm, mode)
        .cases()
        .log_level("notice wsgi:trace1")
        .start();
    let url = server.case("changing", &saying("old"));
    assert_eq!(server.get(&url).expect(200).text(), "old");
    let one = server.log().matching("changing.wsgi]");
    let traced = one.iter().any(|record| record.level == Level::Debug);
    assert!(traced || !subject().is_ours(), "{one:?}");
    server.write("apps/changing.wsgi", &saying("new"));
    assert_eq!(server.get(&url).expect(200).text(), "new");
    let all = server.log().matching("changing.wsgi]");
    assert!(
        all.iter().all(|record| record.level >= Level::Info),
        "{all:?}"
    );
    if mode == Mode::Daemon && subject().is_ours() {
        let again = server.wait_for_log("The request is sent again");
        assert_eq!(again.level, Level::Info, "{}", again.line);
    }
    server.get("/case/missing").expect(404);
    assert_eq!(server.wait_for_log("WSGI0135").level, Level::Error);
}
matrix!(levels: event);

/// REQ-314, REQ-610, REQ-613, REQ-615, REQ-621, REQ-622, REQ-624, DMN-230, DMN-233, DMN-267, DP-89: a changed script is taken up
/// by the next request, and no request fails. In daemon mode by another process.
fn reloading(mpm: Mpm, mode: Mode) {
    let server = Site::new(mpm, mode)
        .cases()
        .daemon_options("processes=2 threads=3")
        .start();
    let url = server.case("changing", &saying("version 0"));
    let mut pids = HashSet::new();
    for version in 0..6 {
        for _ in 0..5 {
            let answer = server.get(&url).expect(200);
            assert_eq!(answer.text(), format!("version {version}"));
            pids.insert(answer.header("X-Pid").unwrap_or_default().to_owned());
        }
        server.write(
            "apps/changing.wsgi",
            &saying(&format!("version {}", version + 1)),
        );
    }
    if mode == Mode::Daemon {
        assert!(
            pids.len() >= 6,
            "each version has a process of its own: {pids:?}"
        );
    }
    // Older counts as well (REQ-610).
    assert_eq!(server.get(&url).expect(200).text(), "version 6");
    server.write("apps/changing.wsgi", &saying("older"));
    let file = std::fs::File::options()
        .write(true)
        .open(server.path("apps/changing.wsgi"))
        .expect("mine");
    file.set_modified(std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000))
        .expect("mine");
    assert_eq!(server.get(&url).expect(200).text(), "older");
}
matrix!(reloading: event worker prefork);

/// REQ-621, DMN-233: touching a script again and again under load, without a failed request.
#[test]
fn touched_under_load() {
    let server = Site::daemon()
        .daemon_options("processes=2 threads=5")
        .cases()
        .start();
    let url = server.case("touched", "def application(environ, start_response):\n    start_response('200 OK', [])\n    return [environ['QUERY_STRING'].encode()]\n");
    let tally = std::thread::scope(|scope| {
        let (server, url) = (&server, &url);
        let running = scope.spawn(move || {
            load::run(
                server.address(),
                8,
                load::Connections::Kept,
                wsgi_harness::load_duration().min(std::time::Duration::from_secs(5)),
                |client, number| {
                    let text = format!("{client}-{number}");
                    (
                        wsgi_harness::Request::get(&format!("{url}?{text}")),
                        text.into_bytes(),
                    )
                },
            )
        });
        while !running.is_finished() {
            server.touch("apps/touched.wsgi");
            // As often as an editor would, not as a busy loop; nothing depends on it.
            std::thread::sleep(std::time::Duration::from_millis(700));
        }
        running.join().expect("the load does not panic")
    });
    println!("touched under load: {tally}");
    assert!(tally.total() > 50, "{tally}");
    if wsgi_harness::subject().differs("DP-89") {
        assert_eq!(tally.count("good"), tally.total(), "{tally}");
    } else {
        for code in [
            "WSGI0124", "WSGI0146", "WSGI0147", "WSGI0116", "WSGI0122", "WSGI0123", "WSGI0119",
        ] {
            server.allow_log(code);
        }
    }
}

/// REQ-315, REQ-623, DIR-120: no reloading where it is switched off.
fn without_reloading(mpm: Mpm, mode: Mode) {
    let server = Site::new(mpm, mode).cases().config("WSGIScriptReloading Off\n<Location /case/watched>\nWSGIScriptReloading On\n</Location>").start();
    let url = server.case("fixed", &saying("old"));
    let watched = server.case("watched", &saying("old"));
    for path in [&url, &watched] {
        assert_eq!(server.get(path).expect(200).text(), "old");
    }
    server.write("apps/fixed.wsgi", &saying("new"));
    assert_eq!(server.get(&url).expect(200).text(), "old");
    server.write("apps/watched.wsgi", &saying("new"));
    assert_eq!(server.get(&watched).expect(200).text(), "new");
    server.restart();
    assert_eq!(server.get(&url).expect(200).text(), "new");
}
matrix!(without_reloading: event);

/// REQ-610, REQ-611: `reload_required`, called with the path that the URL maps to.
fn asked_for_reload(mpm: Mpm, mode: Mode) {
    let server = Site::new(mpm, mode)
        .cases()
        .daemon_options("processes=1 threads=1")
        .config("ServerLimit 1\nMaxRequestWorkers 16")
        .start();
    let url = server.case(
        "asking",
        "import os\nwith open('{data}/loads', 'a') as f:\n    f.write('x')\n\ndef reload_required(resource):\n    with open('{data}/asked', 'a') as f:\n        f.write(resource + '\\n')\n    if os.path.exists('{data}/raise'):\n        os.unlink('{data}/raise')\n        raise ValueError('in reload_required')\n    try:\n        os.unlink('{data}/reload')\n    except OSError:\n        return False\n    return True\n\ndef application(environ, start_response):\n    start_response('200 OK', [])\n    return []\n",
    );
    let loads = || {
        std::fs::read_to_string(server.path("data/loads"))
            .unwrap_or_default()
            .len()
    };
    server.get(&url).expect(200);
    server.get(&url).expect(200);
    let before = loads();
    std::fs::write(server.path("data/reload"), "").expect("mine");
    server.get(&url).expect(200);
    assert_eq!(loads(), before + 1);
    let asked = std::fs::read_to_string(server.path("data/asked")).expect("it was asked");
    assert!(
        asked
            .lines()
            .all(|line| line == server.fill("{apps}/asking.wsgi")),
        "{asked}"
    );
    std::fs::write(server.path("data/raise"), "").expect("mine");
    server.get(&url).expect(200);
    assert_eq!(loads(), before + 1, "an exception is no reason to reload");
    server.expect_log("in reload_required");
}
matrix!(asked_for_reload: event);

/// REQ-616, REQ-617: a new version that fails, and a script that is gone.
fn broken_new_version(mpm: Mpm, mode: Mode) {
    let server = Site::new(mpm, mode).cases().start();
    let url = server.case("version", &saying("works"));
    assert_eq!(server.get(&url).expect(200).text(), "works");
    server.write("apps/version.wsgi", "raise ValueError('new version')\n");
    for _ in 0..3 {
        server.get(&url).expect(500);
    }
    server.expect_log("ValueError: new version");
    server.expect_log("WSGI0109");
    server.write("apps/version.wsgi", &saying("repaired"));
    assert_eq!(server.get(&url).expect(200).text(), "repaired");
    std::fs::remove_file(server.path("apps/version.wsgi")).expect("mine");
    server.get(&url).expect(404);
    server.expect_log("WSGI0135");
    server.write("apps/version.wsgi", &saying("back"));
    assert_eq!(server.get(&url).expect(200).text(), "back");
}
matrix!(broken_new_version: event);

/// REQ-615: requests in progress keep the old version.
#[test]
fn old_version_in_progress() {
    let server = Site::embedded().cases().start();
    let slow = "import os, time\n\ndef application(environ, start_response):\n    start_response('200 OK', [])(b'old begins ')\n    while not os.path.exists('{data}/go'):\n        time.sleep(0.01)\n    return [b'old ends']\n";
    let url = server.case("slow", slow);
    let mut connection = server.connect();
    connection.send_bytes(wsgi_harness::Request::get(&url).bytes());
    let head = connection.read_head().expect("a head");
    assert_eq!(head.status, 200);
    server.write("apps/slow.wsgi", &saying("new"));
    assert_eq!(server.get(&url).expect(200).text(), "new");
    server.write("data/go", "");
    let rest = String::from_utf8_lossy(&connection.read_bytes(40)).into_owned();
    assert!(
        rest.contains("old begins") && rest.contains("old ends"),
        "{rest}"
    );
}

/// REQ-650, REQ-651, DIR-024: handler scripts, with changes.
fn handler_scripts(mpm: Mpm, mode: Mode) {
    let server = Site::new(mpm, mode)
        .modules(&["mime"])
        .file("mime.types", "")
        .file("apps/handler.wsgi", &handling("first"))
        .file("htdocs/page.special", "content")
        .config("TypesConfig {dir}/mime.types\nWSGIHandlerScript special {apps}/handler.wsgi\nAddHandler special .special")
        .start();
    let answer = server.get("/page.special/info").expect(200);
    assert_eq!(
        answer.text(),
        format!("first {} /info", server.fill("{htdocs}/page.special"))
    );
    server.write("apps/handler.wsgi", &handling("second"));
    assert!(
        server
            .get("/page.special")
            .expect(200)
            .text()
            .starts_with("second ")
    );
    server.wait_for_log("[script {htdocs}/page.special] said by the handler");
    // The file of the URL is named, also where the exception is one of the handler.
    server.get("/page.special?raise").expect(500);
    let record = server.wait_for_log("ValueError: of the handler");
    let page = server.fill("[script {htdocs}/page.special]");
    assert!(
        record.message().starts_with(&format!("WSGI0174: {page}")),
        "{}",
        record.line
    );
    assert!(!record.line.contains("handler.wsgi"), "{}", record.line);
    server.allow_log("WSGI0174");
    server.write("apps/handler.wsgi", "x = 1\n");
    let answer = server.get("/page.special");
    assert!(matches!(answer.status, 404 | 500), "{}", answer.shown());
    server.expect_log("WSGI0089");
}
matrix!(handler_scripts: event);

fn handling(text: &str) -> String {
    format!(
        "def handle_request(e, s):\n    print('said by the handler', file=e['wsgi.errors'])\n    if e['QUERY_STRING'] == 'raise':\n        raise ValueError('of the handler')\n    s('200 OK', [])\n    return [('{text} ' + e['SCRIPT_FILENAME'] + ' ' + e['PATH_INFO']).encode()]\n"
    )
}

/// REQ-603, section 16 of the daemon page: while one script is being imported, what is loaded already is served.
#[test]
fn slow_import_and_others() {
    let server = Site::daemon()
        .daemon_options("processes=1 threads=4")
        .cases()
        .start();
    let quick = server.case("quick", &saying("quick"));
    server.get(&quick).expect(200);
    let slow = server.case("slow", &format!("import os, time\nopen('{{data}}/begun', 'w').close()\nwhile not os.path.exists('{{data}}/go'):\n    time.sleep(0.01)\n{}", saying("slow")));
    let mut connection = server.connect();
    connection.send_bytes(wsgi_harness::Request::get(&slow).bytes());
    wait_until("the import", || {
        server.path("data/begun").exists().then_some(())
    });
    if wsgi_harness::subject().differs("REQ-603") {
        for _ in 0..5 {
            assert_eq!(server.get(&quick).expect(200).text(), "quick");
        }
    }
    server.write("data/go", "");
    assert_eq!(
        connection
            .read_answer("GET")
            .expect("an answer")
            .expect(200)
            .text(),
        "slow"
    );
}
