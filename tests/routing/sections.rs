//! Sections inside and beside each other: what one of them leaves open is that of the one around it.

use wsgi_harness::{Request, Site};

/// The application of the folders, by whatever name it is called.
fn application(names: &[&str]) -> String {
    let text = include_str!("../apps/environ.wsgi");
    let others: Vec<String> = names
        .iter()
        .map(|name| format!("{name} = application\n"))
        .collect();
    format!("{text}\n{}", others.concat())
}

/// MRG-03, MRG-01: folders from the outer to the inner one, each with its `.htaccess`; then files, URLs and conditions, wherever they
/// stand in the configuration. Each value comes from the innermost that says it.
#[test]
fn order_of_sections() {
    let site = Site::embedded().config(
        "WSGICallableObject of_server
        <If \"%{QUERY_STRING} == 'if'\">\nWSGIApplicationGroup if\n</If>
        <Location /outer/inner/files-and-url.wsgi>\nWSGIApplicationGroup url\n</Location>
        <Location /outer/inner/url.wsgi>\nWSGICallableObject of_url\n</Location>
        <Files files*.wsgi>\nWSGIApplicationGroup files\n</Files>
        <DirectoryMatch /matched/>\nWSGIApplicationGroup matched\n</DirectoryMatch>
        <Directory {htdocs}/outer/inner/deep>\nWSGICallableObject of_deep\n</Directory>
        <Directory {htdocs}/outer/inner>\nWSGIApplicationGroup inner\n</Directory>
        <Directory {htdocs}/outer>
            WSGIApplicationGroup outer
            WSGICallableObject of_outer
            WSGIPassAuthorization Off
        </Directory>
        <Directory {htdocs}>
            AllowOverride FileInfo
            Options ExecCGI
            SetHandler wsgi-script
        </Directory>",
    );
    let app = application(&["of_server", "of_url", "of_deep", "of_outer", "of_file"]);
    let names = [
        "top.wsgi",
        "outer/app.wsgi",
        "outer/matched/app.wsgi",
        "outer/inner/app.wsgi",
        "outer/inner/url.wsgi",
        "outer/inner/files.wsgi",
        "outer/inner/files-and-url.wsgi",
        "outer/inner/deep/app.wsgi",
        "outer/inner/deep/own/app.wsgi",
    ];
    let site = names.iter().fold(site, |site, name| {
        site.file(&format!("htdocs/{name}"), &app)
    });
    let server = site
        .file("htdocs/outer/.htaccess", "WSGICallableObject of_file\n")
        .file("htdocs/outer/inner/.htaccess", "WSGIPassAuthorization On\n")
        .file(
            "htdocs/outer/inner/deep/own/.htaccess",
            "WSGICallableObject of_file\nWSGIPassAuthorization Off\n",
        )
        .start();
    for (path, group, callable, authorization) in [
        ("/top.wsgi", "", "of_server", false),
        ("/outer/app.wsgi", "outer", "of_file", false),
        ("/outer/matched/app.wsgi", "matched", "of_file", false),
        ("/outer/inner/app.wsgi", "inner", "of_file", true),
        ("/outer/inner/url.wsgi", "inner", "of_url", true),
        ("/outer/inner/files.wsgi", "files", "of_file", true),
        ("/outer/inner/files-and-url.wsgi", "url", "of_file", true),
        ("/outer/inner/files-and-url.wsgi?if", "if", "of_file", true),
        ("/outer/inner/deep/app.wsgi", "inner", "of_deep", true),
        ("/outer/inner/deep/own/app.wsgi", "inner", "of_file", false),
        ("/outer/inner/deep/own/app.wsgi?if", "if", "of_file", false),
    ] {
        let request = Request::get(path).header("Authorization", "Basic QTpC");
        let answer = server.send(&request).expect(200);
        let found = ["application_group", "callable_object"]
            .map(|key| answer.unquoted(&format!("mod_wsgi.{key}")));
        assert_eq!(found, [group, callable], "{path}");
        let passed = answer.line("HTTP_AUTHORIZATION").is_some();
        assert_eq!(passed, authorization, "{path}");
    }
}

/// MRG-09: an inner place has the hook scripts of those around it, but for the kinds that it names itself.
#[test]
fn hook_scripts_of_sections() {
    // Each refuses the requests and the users that have its name, and knows a group of its name.
    let hooks = |name: &str| {
        format!(
            "def allow_access(environ, host):\n    return environ['QUERY_STRING'] != '{name}'\n\n\
             def check_password(environ, user, password):\n    return user != '{name}'\n\n\
             def groups_for_user(environ, user):\n    return ['{name}']\n"
        )
    };
    let server = Site::embedded()
        .modules(&["auth_basic", "authn_core", "authz_user"])
        .shared("hello.wsgi")
        .file("apps/outer.py", &hooks("outer"))
        .file("apps/inner.py", &hooks("inner"))
        .config(
            "WSGIScriptAlias / {apps}/hello.wsgi
            <Location />
                AuthType Basic
                AuthName realm
                AuthBasicProvider wsgi
                WSGIAccessScript {apps}/outer.py
                WSGIAuthUserScript {apps}/outer.py
                WSGIAuthGroupScript {apps}/outer.py
                Require wsgi-group outer
            </Location>
            <Location /access>\nWSGIAccessScript {apps}/inner.py\n</Location>
            <Location /user>\nWSGIAuthUserScript {apps}/inner.py\n</Location>
            <Location /group>\nWSGIAuthGroupScript {apps}/inner.py\n</Location>",
        )
        .start();
    // Which script is asked for access, for the user and for the groups.
    for (path, access, user, group) in [
        ("/", "outer", "outer", "outer"),
        ("/access/x", "inner", "outer", "outer"),
        ("/user/x", "outer", "inner", "outer"),
        ("/group/x", "outer", "outer", "inner"),
    ] {
        for query in ["any", "outer", "inner"] {
            for (name, credentials) in [
                ("any", "Basic YW55OmFueQ=="),
                ("outer", "Basic b3V0ZXI6YW55"),
                ("inner", "Basic aW5uZXI6YW55"),
            ] {
                let request = Request::get(&format!("{path}?{query}"));
                let answer = server.send(&request.header("Authorization", credentials));
                let expected = match () {
                    () if query == access => 403,
                    () if name == user || group != "outer" => 401,
                    () => 200,
                };
                assert_eq!(answer.status, expected, "{path}?{query} as {name}");
            }
        }
    }
    for allowed in ["AH01", "WSGI0057", "WSGI0060"] {
        server.allow_log(allowed);
    }
}
