//! WSGIDispatchScript: a script that chooses process group, interpreter and callable for each request.

use wsgi_harness::{Mode, Mpm, Process, Request, Server, Site, matrix, subject};

/// A script with two callables, which say where they run.
const APPLICATION: &str = "
def say(name, environ, start_response):
    keys = ['mod_wsgi.process_group', 'mod_wsgi.application_group', 'mod_wsgi.callable_object']
    start_response('200 OK', [])
    import mod_wsgi
    return [repr([name, mod_wsgi.process_group, mod_wsgi.application_group] + [environ[key] for key in keys]).encode()]

def application(environ, start_response):
    return say('application', environ, start_response)

def other(environ, start_response):
    return say('other', environ, start_response)

handle_request = application
";

/// What `%{SERVER}` stands for.
fn server_name(server: &Server) -> String {
    if subject().differs("XPN-07") {
        format!("localhost:{}", server.port())
    } else {
        "localhost".to_owned()
    }
}

/// REQ-130, REQ-132, REQ-133, REQ-134, DIR-031, DIR-143, MRG-10, XPN-20, XPN-21, XPN-23: each result replaces what is
/// configured, and is expanded like it.
fn choices(mpm: Mpm, mode: Mode) {
    let server = Site::new(mpm, mode)
        .modules(&["env", "setenvif"])
        .file("apps/app.wsgi", APPLICATION)
        .file(
            "apps/dispatch.wsgi",
            "
def query(environ, name):
    import urllib.parse
    value = dict(urllib.parse.parse_qsl(environ['QUERY_STRING'])).get(name)
    return value.encode('latin-1') if value and 'b' in environ['PATH_INFO'] else value

def process_group(environ):
    environ['QUERY_STRING'] = environ['QUERY_STRING'] + ''
    return query(environ, 'process')

def application_group(environ):
    return query(environ, 'group')

def callable_object(environ):
    return query(environ, 'callable')
",
        )
        .file("htdocs/page.handled", "never shown")
        .file("htdocs/page.options", "never shown")
        .config(
            "WSGIDaemonProcess second processes=1 threads=2
            SetEnvIf X-Group (.*) CHOSEN=$1
            SetEnv CALLABLE other
            WSGIHandlerScript my-handler {apps}/app.wsgi
            WSGIScriptAlias /app {apps}/app.wsgi
            WSGIScriptAlias /option {apps}/app.wsgi application-group=by-option callable-object=other
            WSGIScriptAlias /group {apps}/app.wsgi process-group=second application-group=by-option
            WSGIHandlerScript with-options {apps}/app.wsgi process-group=second application-group=by-handler
            WSGIDispatchScript {apps}/dispatch.wsgi
            <Files *.handled>
                SetHandler my-handler
            </Files>
            <Files *.options>
                SetHandler with-options
            </Files>",
        )
        .start();
    let configured = if mode == Mode::Daemon { "live" } else { "" };
    let says = |process: &str, group: &str, callable: &str| {
        let name = match callable {
            "other" => "other",
            _ => "application",
        };
        format!("['{name}', '{process}', '{group}', '{process}', '{group}', '{callable}']")
    };
    for (path, process, group, callable) in [
        ("/app", configured, "", "application"),
        ("/app?process=second", "second", "", "application"),
        ("/app?process=%25{GLOBAL}", "", "", "application"),
        ("/app?process=%25{ENV:CHOSEN}", "second", "", "application"),
        ("/app?group=one", configured, "one", "application"),
        ("/app/b?group=one", configured, "one", "application"),
        ("/app?callable=other", configured, "", "other"),
        ("/app?callable=%25{GLOBAL}", configured, "", "application"),
        ("/app?callable=%25{ENV:CALLABLE}", configured, "", "other"),
        (
            "/app?callable=%25{ENV:NOTHING}&group=%25{ENV:NOTHING}",
            configured,
            "%{ENV:NOTHING}",
            "application",
        ),
        (
            "/app?callable=%25&group=%25",
            configured,
            "%",
            "application",
        ),
        (
            "/app/b?process=second&group=two&callable=other",
            "second",
            "two",
            "other",
        ),
        ("/option", configured, "by-option", "other"),
        (
            "/option?group=%25{GLOBAL}&callable=application",
            configured,
            "",
            "application",
        ),
        ("/page.handled", configured, "", "handle_request"),
        ("/page.handled?callable=other", configured, "", "other"),
    ] {
        let answer = server.send(&Request::get(path).header("X-Group", "second"));
        assert_eq!(
            answer.expect(200).text(),
            says(process, group, callable),
            "{path}"
        );
    }
    // MRG-10: groups that an alias or a handler script has as options.
    for (path, callable, option) in [
        ("/group", "application", "by-option"),
        ("/page.options", "handle_request", "by-handler"),
    ] {
        for (query, process, group) in [
            ("", "second", option),
            ("?process=%25{GLOBAL}", "", option),
            ("?group=chosen", "second", "chosen"),
            ("?process=%25{GLOBAL}&group=%25{GLOBAL}", "", ""),
        ] {
            let url = format!("{path}{query}");
            let expected = says(process, group, callable);
            assert_eq!(server.get(&url).expect(200).text(), expected, "{url}");
        }
    }
    // XPN-21: all forms are known.
    let answer = server.get("/app?group=%25{RESOURCE}").expect(200).text();
    let resource = format!("'{}|/app'", server_name(&server));
    assert!(answer.contains(&resource), "{answer}");
    // DIR-040: what it chose has to exist.
    server.get("/app?process=nobody").expect(500);
    server.expect_log("WSGI0151");
}
matrix!(choices: event);

/// REQ-130, REQ-135, XPN-22: what a dispatch script sees, in the child, after headers of proxies were applied.
#[test]
fn environ() {
    let server = Site::daemon()
        .file("apps/app.wsgi", APPLICATION)
        .file(
            "apps/dispatch.wsgi",
            "
import mod_wsgi, os

def process_group(environ):
    errors = environ['wsgi.errors']
    print('in a child:', environ['mod_wsgi.server_pid'] == str(os.getpid()), file=errors)
    print('no texts:', sorted(key for key in environ if type(environ[key]) is not str), file=errors)
    print('internal:', any('.x-' in key for key in environ), file=errors)
    print('keys:', sorted(key for key in environ if key.startswith(('wsgi.', 'mod_wsgi.', 'apache.')) and '.x-' not in key), file=errors)
    for key in ['mod_wsgi.process_group', 'mod_wsgi.application_group', 'HTTP_X_TEST', 'SCRIPT_NAME', 'PATH_INFO', 'HTTPS', 'SCRIPT_FILENAME', 'mod_wsgi.script_name',
                'REMOTE_ADDR', 'REQUEST_METHOD', 'CONTENT_LENGTH', 'QUERY_STRING', 'SERVER_PROTOCOL', 'FROM_SETENV']:
        print('%s=%r' % (key, environ.get(key)), file=errors)
    print('in', (mod_wsgi.process_group, mod_wsgi.application_group))
    environ['HTTP_X_TEST'] = 'changed'

def application_group(environ):
    return environ.get('HTTP_X_APPLICATION')
",
        )
        .config(
            "WSGIScriptAlias /app {apps}/app.wsgi\nWSGIDispatchScript {apps}/dispatch.wsgi application-group=%{SERVER}",
        )
        .modules(&["env", "setenvif"])
        .config(
            "SetEnvIf X-Test . HTTPS=on
            SetEnv FROM_SETENV set
            WSGITrustedProxyHeaders X-Forwarded-For
            WSGITrustedProxies 127.0.0.1
            WSGIScriptAlias /plain {apps}/app.wsgi
            <Location /plain>\nWSGIDispatchScript {apps}/main.wsgi\n</Location>",
        )
        .file(
            "apps/main.wsgi",
            "
import mod_wsgi

def process_group(environ):
    print('main: %r %r' % (mod_wsgi.application_group, environ['mod_wsgi.application_group']))
",
        )
        .start();
    let request = Request::post("/app/info?a=b", "body")
        .header("X-Test", "value")
        .header("X-Forwarded-For", "1.2.3.4");
    server.send(&request).expect(200);
    // Without an option it is the main interpreter.
    server.get("/plain").expect(200);
    server.expect_log("main: '' ''");
    let internal = if subject().differs("REQ-135") {
        "internal: False"
    } else {
        "internal: True"
    };
    let group = server_name(&server);
    for text in [
        "mod_wsgi.process_group=''".to_owned(),
        format!("mod_wsgi.application_group='{group}'"),
        internal.to_owned(),
        "in a child: True".to_owned(),
        "no texts: ['wsgi.errors']".to_owned(),
        "REMOTE_ADDR='1.2.3.4'".to_owned(),
        "REQUEST_METHOD='POST'".to_owned(),
        "CONTENT_LENGTH='4'".to_owned(),
        "QUERY_STRING='a=b'".to_owned(),
        "SERVER_PROTOCOL='HTTP/1.1'".to_owned(),
        "FROM_SETENV='set'".to_owned(),
        "HTTP_X_TEST='value'".to_owned(),
        "SCRIPT_NAME='/app'".to_owned(),
        "PATH_INFO='/info'".to_owned(),
        "HTTPS='on'".to_owned(),
        server.fill("SCRIPT_FILENAME='{apps}/app.wsgi'"),
        "mod_wsgi.script_name='/app'".to_owned(),
        format!("in ('', '{group}')"),
    ] {
        server.expect_log(&text);
    }
    let keys = server.log().matching("keys:");
    server.allow_log("keys:");
    let shown = keys[0].text.clone();
    for key in [
        "mod_wsgi.request_handler",
        "mod_wsgi.handler_script",
        "mod_wsgi.path_info",
        "mod_wsgi.server_pid",
        "wsgi.errors",
    ] {
        assert!(shown.contains(&format!("'{key}'")), "{key}: {shown}");
    }
    for key in [
        "wsgi.input",
        "wsgi.version",
        "wsgi.url_scheme",
        "mod_wsgi.callable_object",
        "wsgi.multithread",
        "mod_wsgi.version",
        "apache.version",
    ] {
        assert!(!shown.contains(&format!("'{key}'")), "{key}: {shown}");
    }
}

/// REQ-133, REQ-136: what is wrong is an error of the request, and the functions behind it are not called.
#[test]
fn failures() {
    let server = Site::embedded()
        .file("apps/app.wsgi", APPLICATION)
        .file("apps/broken.wsgi", "def process_group(environ)\n")
        .file(
            "apps/raising.wsgi",
            "raise ValueError('while it is loaded')\n",
        )
        .file(
            "apps/dispatch.wsgi",
            "
def answer(function, environ):
    query = environ['QUERY_STRING']
    print('called', function, query)
    asked, _, case = query.partition('-')
    if asked != function:
        return None
    if case == 'raise':
        raise ValueError('on purpose')
    if case == 'exit':
        raise SystemExit(0)
    return {'int': 5, 'list': ['x'], 'wide': '\\u20ac', 'array': bytearray(b'x'), 'bytes': b'', 'empty': ''}.get(case)

def process_group(environ):
    return answer('process', environ)

def application_group(environ):
    return answer('application', environ)

def callable_object(environ):
    return answer('callable', environ)
",
        )
        .config(
            "WSGIScriptAlias /app {apps}/app.wsgi
            WSGIScriptAlias /broken {apps}/app.wsgi
            WSGIScriptAlias /raising {apps}/app.wsgi
            WSGIScriptAlias /missing {apps}/app.wsgi
            WSGIDispatchScript {apps}/dispatch.wsgi
            <Location /broken>\nWSGIDispatchScript {apps}/broken.wsgi\n</Location>
            <Location /raising>\nWSGIDispatchScript {apps}/raising.wsgi\n</Location>
            <Location /missing>\nWSGIDispatchScript {apps}/missing.wsgi\n</Location>",
        )
        .start();
    let functions = ["process", "application", "callable"];
    for (position, function) in functions.iter().enumerate() {
        let called = |case: &str| {
            let query = format!("{function}-{case}");
            let told = functions.map(|one| format!("called {one} {query}"));
            (server.get(&format!("/app?{query}")), told)
        };
        for (case, error) in [
            ("raise", "ValueError"),
            ("exit", "WSGI0175"),
            ("int", "TypeError"),
            ("list", "TypeError"),
            ("array", "TypeError"),
            ("wide", "latin"),
        ] {
            let before = server.log().count(error);
            let (answer, told) = called(case);
            answer.expect(500);
            server.wait_for_logs(error, before + 1);
            let counts = told.map(|text| server.log().count(&text));
            let expected = [0, 1, 2].map(|one| usize::from(one <= position));
            assert_eq!(counts, expected, "{function} {case}");
        }
        for case in ["bytes", "empty", "none"] {
            let (answer, told) = called(case);
            // An empty name is that of no callable.
            let nameless = (*function, case != "none") == ("callable", true);
            let status = if nameless { 404 } else { 200 };
            assert_eq!(answer.status, status, "{function} {case}");
            for text in &told {
                server.expect_log(text);
            }
        }
    }
    let status = if subject().differs("REQ-136") {
        500
    } else {
        200
    };
    for (path, code, error) in [
        ("/broken", "WSGI0105", "SyntaxError"),
        ("/raising", "WSGI0109", "while it is loaded"),
        ("/missing", "WSGI0105", "missing.wsgi"),
    ] {
        let texts = [code, error];
        let before = texts.map(|text| server.log().count(text));
        server.get(path).expect(status);
        for (text, before) in texts.iter().zip(before) {
            server.wait_for_logs(text, before + 1);
        }
    }
    for allowed in [
        "WSGI0174",
        "WSGI5011",
        "SyntaxError",
        "WSGI0105",
        "called ",
        "WSGI0089",
    ] {
        server.allow_log(allowed);
    }
}

/// REQ-131, REQ-600, REQ-610, REQ-621: a changed dispatch script is loaded again in its interpreter, and no process is
/// replaced; with WSGIScriptReloading Off it stays.
fn reloading(mpm: Mpm, mode: Mode) {
    let chooses = |name: &str| {
        format!(
            "reload_required = None\ncalls = []\ndef callable_object(environ):\n    calls.append(1)\n    return '{name}'\n"
        )
    };
    let server = Site::new(mpm, mode)
        .file("apps/app.wsgi", APPLICATION)
        .file("apps/dispatch.wsgi", &chooses("application"))
        .file("apps/fixed.wsgi", &chooses("application"))
        .config(
            "WSGIScriptAlias /app {apps}/app.wsgi
            WSGIScriptAlias /fixed {apps}/app.wsgi
            WSGIDispatchScript {apps}/dispatch.wsgi
            <Location /fixed>\nWSGIScriptReloading Off\nWSGIDispatchScript {apps}/fixed.wsgi\n</Location>",
        )
        .start();
    let called = |path: &str| {
        let text = server.get(path).expect(200).text();
        text.split('\'').nth(1).expect("a quoted name").to_owned()
    };
    assert_eq!(called("/app"), "application");
    assert_eq!(called("/fixed"), "application");
    let pids = |list: Vec<Process>| list.iter().map(|one| one.pid).collect::<Vec<_>>();
    let before = pids(server.daemons());
    server.write("apps/dispatch.wsgi", &chooses("other"));
    server.write("apps/fixed.wsgi", &chooses("other"));
    assert_eq!(called("/app"), "other");
    assert_eq!(called("/fixed"), "application");
    assert_eq!(pids(server.daemons()), before);
    assert_eq!(
        server.log().count("Reload script"),
        usize::from(subject().is_ours())
    );
}
matrix!(reloading: event);

/// DIR-071, DIR-145: a dispatch script makes the children start Python, also where WSGIRestrictEmbedded keeps applications out
/// of them; what it chooses is restricted like what is configured (DIR-043, REQ-300).
#[test]
fn restrictions() {
    let server = Site::daemon()
        .file("apps/app.wsgi", APPLICATION)
        .file(
            "apps/dispatch.wsgi",
            "def process_group(environ):\n    return environ.get('HTTP_X_GROUP')\n",
        )
        .config(
            "WSGIRestrictEmbedded On
            WSGIDaemonProcess second processes=1 threads=2
            WSGIDaemonProcess third processes=1 threads=2
            WSGIScriptAlias /app {apps}/app.wsgi
            WSGIDispatchScript {apps}/dispatch.wsgi
            <Location />\nWSGIRestrictProcess live second %{GLOBAL}\n</Location>",
        )
        .start();
    let to = |group: &str| server.send(&Request::get("/app").header("X-Group", group));
    assert!(server.get("/app").expect(200).text().contains("'live'"));
    assert!(to("second").expect(200).text().contains("'second'"));
    to("third").expect(500);
    server.expect_log("WSGI0149");
    to("%{GLOBAL}").expect(500);
    server.expect_log("WSGI0143");
}

/// ENV-61, DIR-122, REQ-135, REQ-691: WSGIPassApacheRequest shows Apache's request to code in Apache's children, and only there.
fn apache_request(mpm: Mpm, mode: Mode) {
    const SHOW: &str = "
import ctypes

def show(environ):
    capsule = environ.get('apache.request_rec')
    if capsule is None:
        return None
    get = ctypes.pythonapi.PyCapsule_GetPointer
    get.restype, get.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
    name = ctypes.CDLL(None).ap_get_server_name
    name.restype, name.argtypes = ctypes.c_char_p, [ctypes.c_void_p]
    return type(capsule).__name__, name(get(capsule, None))

def application(environ, start_response):
    start_response('200 OK', [])
    return [repr(show(environ)).encode()]

def process_group(environ):
    print('dispatch', environ['SCRIPT_NAME'], show(environ))

def allow_access(environ, host):
    print('access', environ['REQUEST_URI'], show(environ))
";
    let server = Site::new(mpm, mode)
        .file("apps/all.wsgi", SHOW)
        .config(
            "WSGIScriptAlias /with {apps}/all.wsgi
            WSGIScriptAlias /without {apps}/all.wsgi
            WSGIDispatchScript {apps}/all.wsgi
            <Location />\nWSGIAccessScript {apps}/all.wsgi\n</Location>
            <Location /with>\nWSGIPassApacheRequest On\n</Location>",
        )
        .start();
    let shown = "('PyCapsule', b'localhost')";
    let in_child = if mode == Mode::Embedded {
        shown
    } else {
        "None"
    };
    assert_eq!(server.get("/with").expect(200).text(), in_child);
    assert_eq!(server.get("/without").expect(200).text(), "None");
    for function in ["dispatch", "access"] {
        server.expect_log(&format!("{function} /with {shown}"));
        server.expect_log(&format!("{function} /without None"));
    }
}
matrix!(apache_request: event);
