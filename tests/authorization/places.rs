//! Where hook scripts run: the process, the interpreter, and whether they get Apache's request.

use wsgi_harness::{Mode, Mpm, Request, Site, matrix};

use super::BASIC;

/// Lets everybody in, and says where it is.
const TELLS: &str = "
import os
import mod_wsgi

def tell(environ, function):
    print('%s %s in %d %r %r %s' % (environ['QUERY_STRING'], function, os.getpid(), mod_wsgi.process_group,
        mod_wsgi.application_group, 'apache.request_rec' in environ), file=environ['wsgi.errors'])

def allow_access(environ, host):
    tell(environ, 'access')
    return True

def check_password(environ, user, password):
    tell(environ, 'password')
    return True

def groups_for_user(environ, user):
    tell(environ, 'groups')
    return ['staff']

def application_group(environ):
    tell(environ, 'dispatch')
    return None

def application(environ, start_response):
    start_response('200 OK', [])
    return [b'in']
";

/// DIR-145, DIR-122, DOC-04, XPN-22, REQ-691: access, user, group and dispatch scripts all run in Apache's children, in the main interpreter
/// or the one that `application-group` names, whatever the groups of the request are; %{RESOURCE} and %{ENV:…} are names
/// like others. Each gets Apache's request where WSGIPassApacheRequest says so.
fn places(mpm: Mpm, mode: Mode) {
    let mut site = Site::new(mpm, mode)
        .modules(&BASIC)
        .modules(&["setenvif"])
        .file("apps/hooks.wsgi", TELLS)
        .config(
            "ServerLimit 1
            MaxRequestWorkers 16
            SetEnvIf Request_URI . NAME=one
            WSGIScriptAlias / {apps}/hooks.wsgi application-group=of-the-request",
        );
    let rows = [
        ("plain", "", ""),
        ("named", "application-group=hooks", "hooks"),
        ("global", "application-group=%{GLOBAL}", ""),
        ("server", "application-group=%{SERVER}", "localhost:{port}"),
        ("host", "application-group=%{HOST}", "other.example:{port}"),
        ("resource", "application-group=%{RESOURCE}", "%{RESOURCE}"),
        ("env", "application-group=%{ENV:NAME}", "%{ENV:NAME}"),
    ];
    for (name, option, _) in rows {
        let hooks = format!(
            "WSGIAccessScript {{apps}}/hooks.wsgi {option}
            AuthType Basic\nAuthName realm\nAuthBasicProvider wsgi
            WSGIAuthUserScript {{apps}}/hooks.wsgi {option}
            WSGIAuthGroupScript {{apps}}/hooks.wsgi {option}
            WSGIDispatchScript {{apps}}/hooks.wsgi {option}
            Require wsgi-group staff"
        );
        site = site.config(&format!(
            "<Location /{name}>\n{hooks}\n</Location>\n<Location /{name}/record>\nWSGIPassApacheRequest On\n</Location>"
        ));
    }
    let server = site.start();
    server.allow_log(" in ");
    let children: Vec<String> = server
        .children()
        .iter()
        .map(|child| child.pid.to_string())
        .collect();
    for (name, _, group) in rows {
        let group = server.fill(group);
        for (path, passes) in [
            (format!("/{name}"), "False"),
            (format!("/{name}/record"), "True"),
        ] {
            let request = Request::get(&format!("{path}?{name}-{passes}"))
                .host(&server.fill("other.example:{port}"))
                .header("Authorization", "Basic dXNlcjpyaWdodA==");
            server.send(&request).expect(200);
            for function in ["access", "password", "groups", "dispatch"] {
                let begin = format!("{name}-{passes} {function} in ");
                let record = server.wait_for_log(&begin);
                let (_, told) = record.text.split_once(&begin).expect("it was found by it");
                let (pid, told) = told.split_once(' ').expect("several words");
                assert_eq!(told, format!("'' '{group}' {passes}"), "{}", record.line);
                assert!(children.iter().any(|child| child == pid), "{}", record.line);
            }
        }
    }
}
matrix!(places: event);
