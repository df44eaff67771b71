//! Paths of scripts in the configuration.

use wsgi_harness::{Mode, Mpm, Request, Site, matrix, subject};

/// Serves every kind of script.
const ANY: &str = "
def application(environ, start_response):
    start_response('200 OK', [])
    return [b'in']

handle_request = application

def allow_access(environ, host):
    return True

def check_password(environ, user, password):
    return True

def groups_for_user(environ, user):
    return ['staff']
";

/// GEN-12: whatever names a script, that it is there is not looked at, and ServerRoot is not put in front of its path.
fn paths_as_they_are_written(mpm: Mpm, mode: Mode) {
    const USER: &str = "AuthType Basic\nAuthName realm\nAuthBasicProvider wsgi";
    let own = match mode {
        Mode::Embedded => "%{GLOBAL}",
        Mode::Daemon => "live",
    };
    let kinds = [
        ("alias", String::new()),
        ("handler", "SetHandler NAME".into()),
        ("access", "WSGIAccessScript SCRIPT".into()),
        (
            "user",
            format!("{USER}\nWSGIAuthUserScript SCRIPT\nRequire valid-user"),
        ),
        (
            "group",
            format!(
                "{USER}\nWSGIAuthUserScript {{apps}}/below/any.py\nWSGIAuthGroupScript SCRIPT\nRequire wsgi-group staff"
            ),
        ),
        ("dispatch", "WSGIDispatchScript SCRIPT".into()),
    ];
    // Where ServerRoot is, the first two of these are the same file. The servers of the tests run elsewhere.
    let paths = [
        ("absolute", "{apps}/below/any.py"),
        ("relative", "below/any.py"),
        ("missing", "{apps}/below/none.py"),
    ];
    let mut site = Site::new(mpm, mode)
        .modules(&["auth_basic", "authn_core", "authz_user"])
        .file("apps/below/any.py", ANY)
        .config("ServerRoot {apps}");
    for (name, path) in paths {
        site = site.config(&format!(
            "WSGIHandlerScript {name} {path}
            WSGIImportScript {path} process-group={own} application-group=of-{name}
            WSGIScriptAlias /alias-{name} {path}"
        ));
        for (kind, directives) in &kinds[1..] {
            let directives = directives.replace("SCRIPT", path).replace("NAME", name);
            site = site.config(&format!(
                "WSGIScriptAlias /{kind}-{name} {{apps}}/below/any.py
                <Location /{kind}-{name}>\n{directives}\n</Location>"
            ));
        }
    }
    let server = site.start();
    for (name, path) in paths {
        let path = server.fill(path);
        for (kind, _) in &kinds {
            let expected = match *kind {
                _ if name == "absolute" => 200,
                "alias" => 404,
                "access" => 403,
                "group" if !subject().differs("REQ-734") => 401,
                "dispatch" if !subject().differs("REQ-136") => 200,
                _ => 500,
            };
            let request = Request::get(&format!("/{kind}-{name}"));
            let answer = server.send(&request.header("Authorization", "Basic YW55OmFueQ=="));
            assert_eq!(answer.status, expected, "{kind} {name}");
            if name != "absolute" {
                server.wait_for_log(&format!("'{path}'"));
            }
        }
    }
    for allowed in ["WSGI0", "FileNotFoundError", "AH01631"] {
        server.allow_log(allowed);
    }
}
matrix!(paths_as_they_are_written: event);
