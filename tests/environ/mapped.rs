//! Requests that pages include, folders that mod_alias maps, and variables that are set under names of CGI.

use wsgi_harness::{Answer, Mode, Mpm, Request, Server, Site, matrix};

/// Names that are computed for every request.
const COMPUTED: [&str; 24] = [
    "SERVER_SOFTWARE",
    "SERVER_NAME",
    "SERVER_ADDR",
    "SERVER_PORT",
    "SERVER_ADMIN",
    "SERVER_PROTOCOL",
    "REMOTE_ADDR",
    "REMOTE_PORT",
    "DOCUMENT_ROOT",
    "CONTEXT_PREFIX",
    "CONTEXT_DOCUMENT_ROOT",
    "REQUEST_SCHEME",
    "REQUEST_METHOD",
    "REQUEST_URI",
    "QUERY_STRING",
    "SCRIPT_FILENAME",
    "SCRIPT_NAME",
    "HTTP_HOST",
    "HTTP_X_SENT",
    "mod_wsgi.process_group",
    "mod_wsgi.callable_object",
    "wsgi.version",
    "mod_wsgi.version",
    "apache.version",
];

fn server(mpm: Mpm, mode: Mode) -> Server {
    let set = |name: &str| format!("SetEnv {name} \"by hand\"\n");
    let all: String = COMPUTED.iter().map(|name| set(name)).collect();
    let site = Site::new(mpm, mode)
        .modules(&["alias", "env", "include", "mime"])
        .shared("environ.wsgi")
        .file(
            "mapped/below/script.wsgi",
            include_str!("../apps/environ.wsgi"),
        )
        .file(
            "htdocs/page.shtml",
            "begin\n<!--#include virtual=\"/app/a%20b//info?x=y\" -->end\n",
        )
        .file(
            "htdocs/plain.shtml",
            "begin\n<!--#include virtual=\"/app\" -->end\n",
        );
    site.config(&format!(
        "TypesConfig /dev/null
        AddType text/html .shtml
        WSGIScriptAlias /app {{apps}}/environ.wsgi
        WSGIScriptAlias /set {{apps}}/environ.wsgi
        <Directory {{htdocs}}>\nOptions +Includes\nAcceptPathInfo On\nAddOutputFilter INCLUDES .shtml\n</Directory>
        <Location /set>\n{all}SetEnv PATH_INFO //a//b\nSetEnv CONTENT_LENGTH 7\nSetEnv REMOTE_USER somebody\nSetEnv HTTP_X_NOT_SENT kept\n</Location>
        Alias /mapped {{dir}}/mapped
        <Directory {{dir}}/mapped>\nRequire all granted\nOptions ExecCGI\nAddHandler wsgi-script .wsgi\n</Directory>"
    ))
    .start()
}

/// What these keys show; `-` for an absent one.
fn shown<const N: usize>(answer: &Answer, keys: [&str; N]) -> [String; N] {
    keys.map(|key| {
        let value = answer.line(key).unwrap_or("-".to_owned());
        value.trim_matches('\'').to_owned()
    })
}

/// REQ-101, REQ-104, REQ-111, ENV-12, ENV-15, ENV-19, ENV-22, ENV-24, ENV-40, ENV-50: the script name of a request that a page includes is its whole URI;
/// the context of a script in a mapped folder is that folder; what is computed stands for what was set under its name.
fn mapped(mpm: Mpm, mode: Mode) {
    let server = server(mpm, mode);
    for (page, uri, info, query) in [
        ("/page.shtml?of=page", "/app/a b/info", "/a b/info", "x=y"),
        ("/plain.shtml", "/app", "", ""),
        // What the page has of its own comes with its variables.
        ("/plain.shtml/of//it", "/app", "/of/it", ""),
    ] {
        let answer = server.get(page).expect(200);
        let text = answer.text();
        assert!(
            text.starts_with("begin\n") && text.ends_with("end\n"),
            "{text}"
        );
        let keys = [
            "SCRIPT_NAME",
            "PATH_INFO",
            "QUERY_STRING",
            "SERVER_PROTOCOL",
            "REQUEST_METHOD",
            "REQUEST_URI",
            "mod_wsgi.script_name",
        ];
        let expected = [uri, info, query, "INCLUDED", "GET", page, uri];
        assert_eq!(shown(&answer, keys), expected, "{page}");
    }
    let keys = [
        "CONTEXT_PREFIX",
        "CONTEXT_DOCUMENT_ROOT",
        "DOCUMENT_ROOT",
        "SCRIPT_FILENAME",
        "SCRIPT_NAME",
        "PATH_INFO",
    ];
    let htdocs = server.fill("{htdocs}");
    let folder = server.fill("{dir}/mapped");
    let script = format!("{folder}/below/script.wsgi");
    for path in [
        "/mapped/below/script.wsgi/info",
        "/mapped/below/script.wsgi",
    ] {
        let answer = server.get(path).expect(200);
        let (name, info) = path.split_at("/mapped/below/script.wsgi".len());
        let expected = ["/mapped", &folder, &htdocs, &script, name, info];
        assert_eq!(shown(&answer, keys), expected, "{path}");
    }
    let request = Request::get("/set").header("X-Sent", "sent");
    let answer = server.send(&request).expect(200);
    for name in COMPUTED {
        let found = answer.line(name);
        assert!(
            found.as_ref().is_some_and(|found| found != "'by hand'"),
            "{name}: {found:?}"
        );
    }
    let keys = [
        "HTTP_X_SENT",
        "HTTP_X_NOT_SENT",
        "CONTENT_LENGTH",
        "REMOTE_USER",
        "PATH_INFO",
        "mod_wsgi.path_info",
    ];
    // REQ-104: only where there is none of the request's own.
    let set = ["sent", "kept", "7", "somebody", "/a/b", "/a/b"];
    assert_eq!(shown(&answer, keys), set);
    let request = Request::post("/set//own", "12345");
    let answer = server.send(&request).expect(200);
    let set = ["by hand", "kept", "5", "somebody", "/own", "/own"];
    assert_eq!(shown(&answer, keys), set);
}
matrix!(mapped: event);
