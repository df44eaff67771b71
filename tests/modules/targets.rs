//! What a target may be, and what its requests are told: there is no file.

use wsgi_harness::{Mode, Mpm, Site, matrix, subject};

use super::{APPLICATION, site};

/// Targets of every form, and the two halves of the path as for a script. DIR-009: a handler of the URL goes before.
fn forms(mpm: Mpm, mode: Mode) {
    if !subject().is_ours() {
        return;
    }
    let server = site(mpm, mode)
        .modules(&["status"])
        .config(
            "<Location /server-status>
                SetHandler server-status
            </Location>
            WSGIScriptAlias /attribute module:mysite.wsgi:API.instance
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
        assert_eq!(answer.fact("application"), application, "{path}");
        assert_eq!(answer.fact("script_name"), script_name, "{path}");
        assert_eq!(answer.fact("path_info"), path_info, "{path}");
        assert_eq!(answer.fact("name"), "mysite.wsgi", "{path}");
        assert_eq!(
            answer.fact("script_filename"),
            "module:mysite.wsgi",
            "{path}"
        );
        let group = if path == "/elsewhere" { "one" } else { "" };
        assert_eq!(answer.fact("group"), group, "{path}");
    }
    let status = server.get("/server-status").expect(200).text();
    assert!(status.contains("Apache Server Status"), "{status}");
    assert_eq!(server.get("/").expect(200).fact("callable"), "application");
    server.get("/option").expect(500);
    server.expect_log("TypeError");
    server.allow_log("WSGI0174");
    // One process is all that prefork has here.
    server.allow_log("AH00161");
}
matrix!(forms);

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
        server.get("/").expect(200).fact("application"),
        "application"
    );
    server.get("/refused/x").expect(403);
    let answer = server.get("/encoded/x").expect(200);
    assert_eq!(answer.fact("name"), "mysite.gz.de.app");
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
