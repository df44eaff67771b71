//! Warnings that take the directives of other modules into account: what `httpd -t`, the report and the log say is what requests
//! get. The original has none of it.

use wsgi_harness::{Request, Site, subject};

const HELLO: &str = "def application(environ, start_response):\n    start_response('200 OK', [])\n    return [b'hello']\n";

/// What `httpd -t` says about a site with these arguments; it must be accepted.
#[track_caller]
fn check(site: &Site, arguments: &[&str]) -> String {
    let checked = site.check_with(arguments);
    assert!(checked.accepted, "{}", checked.output);
    checked.output
}

/// DIR-010: aliases that mod_alias keeps from every request are told, wherever the two are written, and no others.
#[test]
fn aliases_behind_mod_alias_are_told() {
    if !subject().is_ours() {
        return;
    }
    let site = Site::embedded()
        .modules(&["alias", "macro"])
        .file("apps/a.wsgi", HELLO)
        .file("static/x", "static")
        .file("included.conf", "Alias /included {dir}/static\n")
        .file(
            "host.conf",
            "<VirtualHost 127.0.0.1:{port}>\nServerName ${NAME}\nWSGIScriptAlias /twice {apps}/a.wsgi\n\
             <IfDefine FIRST>\nAlias /twice {dir}/static\nUnDefine FIRST\n</IfDefine>\n</VirtualHost>\n",
        )
        .config(
            "Define STATIC \"{dir}/static\"\nDefine PREFIX /variable\nDefine FIRST\n\
             <Macro Static $url>\nAlias $url ${STATIC}\n</Macro>\n\
             <Directory {dir}>\nRequire all granted\n</Directory>\n\
             WSGIScriptAlias /plain {apps}/a.wsgi\n\
             WSGIScriptAlias /included {apps}/a.wsgi\n\
             WSGIScriptAlias /macro {apps}/a.wsgi\n\
             WSGIScriptAlias /variable {apps}/a.wsgi\n\
             WSGIScriptAlias /moved/here {apps}/a.wsgi\n\
             WSGIScriptAlias /part {apps}/a.wsgi\n\
             WSGIScriptAlias /skipped {apps}/a.wsgi\n\
             WSGIScriptAlias /section {apps}/a.wsgi\n\
             WSGIScriptAlias /elsewhere {apps}/a.wsgi\n\
             <IfModule mod_alias.c>\n<IfDefine !NOTHING>\nAlias \"/plain\" \"{dir}/static\"\n</IfDefine>\n</IfModule>\n\
             <IfDefine NOTHING>\nAlias /skipped {dir}/static\n</IfDefine>\n\
             Include {dir}/included.conf\n\
             Use Static /macro\n\
             Alias ${PREFIX} ${STATIC}\n\
             Redirect permanent /moved http://other.example/\n\
             AliasMatch ^/part/(.*)[.]css$ {dir}/static/$1\n\
             <Location /section/x>\nAlias {dir}/static/x\n</Location>\n\
             <VirtualHost 127.0.0.1:{port}>\nServerName one.example\nAlias /elsewhere {dir}/static\n\
             WSGIScriptAlias /plain/below {apps}/a.wsgi\nWSGIScriptAlias /own {apps}/a.wsgi\n\
             RedirectMatch gone ^/own/x\n</VirtualHost>\n\
             <VirtualHost 127.0.0.1:{port}>\nServerName two.example\n</VirtualHost>\n\
             Define NAME three.example\nInclude {dir}/host.conf\nInclude {dir}/host.conf",
        );
    let text = check(&site, &[]);
    let told: Vec<&str> = text
        .lines()
        .filter_map(|line| line.split_once("WSGI5031: no request can reach WSGIScriptAlias "))
        .filter_map(|(_, rest)| rest.split(' ').next())
        .collect();
    assert_eq!(
        told,
        [
            "/plain",
            "/included",
            "/macro",
            "/variable",
            "/moved/here",
            "/plain/below"
        ],
        "{text}"
    );
    let included = format!(
        ": Alias /included ({}:1) takes its URLs",
        site.path("included.conf").display()
    );
    assert!(text.contains(&included), "{text}");
    assert!(text.contains(": Alias /macro (macro 'static'"), "{text}");
    assert!(text.contains(": Alias /variable ("), "{text}");
    assert_eq!(
        check(&site, &["-DDUMP_WSGI"]).matches("WSGI5031").count(),
        told.len()
    );
    let server = site.start();
    server.wait_for_logs("WSGI5031: no request can reach", told.len());
    let told = ["/plain", "/included", "/macro", "/variable", "/moved/here"];
    for url in told {
        let request = Request::get(&format!("{url}/x")).host("two.example");
        assert_ne!(server.send(&request).text(), "hello", "{url}");
    }
}

/// A script in the DocumentRoot of any server is told where that server would show its source, and only there.
#[test]
fn scripts_that_another_server_shows_are_told() {
    if !subject().is_ours() {
        return;
    }
    let site = Site::embedded()
        .modules(&["alias", "mime", "rewrite"])
        .file("shown/app.wsgi", HELLO)
        .file("added/app.wsgi", HELLO)
        .file("named/app.wsgi", HELLO)
        .file("denied/app.wsgi", HELLO)
        .file("covered/app.wsgi", HELLO)
        .file("rewritten/app.wsgi", HELLO)
        .file("types", "text/plain txt\n")
        .config(
            "TypesConfig {dir}/types\n<Directory {dir}>\nRequire all granted\nOptions +ExecCGI\n</Directory>\n\
             <FilesMatch \"\\.php$\">\nSetHandler php\n</FilesMatch>\n\
             <Files \".ht*\">\nRequire all denied\n</Files>\n\
             <Directory \"{dir}/added\">\nAddHandler wsgi-script .wsgi\n</Directory>\n\
             <Directory {dir}/named>\n<Files app.wsgi>\nSetHandler wsgi-script\n</Files>\n</Directory>\n\
             WSGIScriptAlias /shown {dir}/shown/app.wsgi\n\
             WSGIScriptAlias /added {dir}/added/app.wsgi\n\
             WSGIScriptAlias /named {dir}/named/app.wsgi\n\
             WSGIScriptAlias /denied {dir}/denied/app.wsgi\n\
             WSGIScriptAlias /other {dir}/covered/app.wsgi\n\
             WSGIScriptAlias /moved {dir}/rewritten/app.wsgi",
        );
    let host = |name: &str, inside: &str| {
        format!(
            "<VirtualHost 127.0.0.1:{{port}}>\nServerName {name}.example\nDocumentRoot {{dir}}/{name}\n{inside}\n</VirtualHost>"
        )
    };
    let site = site
        .config(&host("shown", ""))
        .config(&host("added", ""))
        .config(&host("named", ""))
        .config(&host(
            "denied",
            "<Location /app.wsgi>\nRequire all denied\n</Location>",
        ))
        .config(&host("covered", "Alias /app.wsgi {dir}/types"))
        .config(&host(
            "rewritten",
            "RewriteEngine On\nRewriteRule ^/app http://other.example/ [R]",
        ));
    let text = check(&site, &[]);
    let expected = format!(
        "'{0}/app.wsgi', is below the DocumentRoot '{0}' of the virtual host shown.example ({1}:",
        site.path("shown").display(),
        site.path("httpd.conf").display()
    );
    assert!(text.contains(&expected), "{text}");
    assert!(
        text.contains("its source may be had as /app.wsgi;"),
        "{text}"
    );
    assert_eq!(text.matches("WSGI5033").count(), 1, "{text}");
    assert!(check(&site, &["-DDUMP_WSGI"]).contains(&expected));
    let server = site.start();
    server.wait_for_log("WSGI5033");
    server.expect_log("AH01630");
    for (name, is_source) in [
        ("shown", true),
        ("added", false),
        ("named", false),
        ("denied", false),
        ("covered", false),
        ("rewritten", false),
    ] {
        let request = Request::get("/app.wsgi").host(&format!("{name}.example"));
        let answer = server.send(&request);
        assert_eq!(answer.text() == HELLO, is_source, "{name}");
    }
}
