//! Where a directive may stand.

use wsgi_harness::matrix;

use super::*;

/// Where a directive may stand: S main server, V virtual hosts, D sections, H `.htaccess`.
const CONTEXTS: &[(&str, &str)] = &[
    ("WSGIScriptAlias / /x", "SV"),
    ("WSGIScriptAliasMatch ^/ /x", "SV"),
    ("WSGIDaemonProcess group-of-the-test", "SV"),
    ("WSGISocketPrefix run/x", "S"),
    ("WSGISocketRotation On", "S"),
    ("WSGIAcceptMutex default", "S"),
    ("WSGIProcessGroup a", "SVD"),
    ("WSGIApplicationGroup a", "SVD"),
    ("WSGIRestrictProcess a", "SVD"),
    ("WSGICallableObject a", "SVDH"),
    ("WSGIScriptReloading On", "SVDH"),
    ("WSGIPassAuthorization On", "SVDH"),
    ("WSGIPassApacheRequest On", "SVD"),
    ("WSGIErrorOverride On", "SVDH"),
    ("WSGIChunkedRequest On", "SVDH"),
    ("WSGIMapHEADToGET On", "SVDH"),
    ("WSGIIgnoreActivity On", "SVDH"),
    ("WSGIEnableSendfile On", "SVDH"),
    ("WSGITrustedProxyHeaders X-Forwarded-For", "SVDH"),
    ("WSGITrustedProxies 10.0.0.1", "SVDH"),
    ("WSGIHandlerScript name /x", "SVD"),
    ("WSGIDispatchScript /x", "SVD"),
    ("WSGIAccessScript /x", "DH"),
    ("WSGIAuthUserScript /x", "DH"),
    ("WSGIAuthGroupScript /x", "DH"),
    ("WSGIGroupAuthoritative On", "DH"),
    (
        "WSGIImportScript /x process-group=%{GLOBAL} application-group=a",
        "SV",
    ),
    ("WSGIRestrictEmbedded Off", "S"),
    ("WSGIRestrictStdin Off", "S"),
    ("WSGIRestrictStdout Off", "S"),
    ("WSGIRestrictSignal On", "S"),
    ("WSGICaseSensitivity On", "S"),
    ("WSGIPythonHome /usr", "S"),
    ("WSGIPythonPath /x", "S"),
    ("WSGIPythonEggs /x", "S"),
    ("WSGIPythonOptimize 0", "S"),
    ("WSGIPythonWarnings default", "S"),
    ("WSGIDontWriteBytecode Off", "S"),
    ("WSGIPythonHashSeed 1", "S"),
    ("WSGISwitchInterval 0.1", "S"),
    ("WSGIDestroyInterpreter On", "S"),
    ("WSGIPerInterpreterGIL Off", "S"),
    ("WSGIFreeThreading Off", "S"),
    ("<WSGIInterpreterOptions>\n</WSGIInterpreterOptions>", "S"),
    ("WSGIServerMetrics Off", "S"),
    ("WSGITelemetryService unix:/tmp/x", "S"),
    ("WSGITelemetryOptions None", "S"),
    ("WSGISlowRequests 1", "S"),
    ("WSGIVerboseDebugging Off", "S"),
];

/// CTX-01, CTX-02, CTX-04, DOC-02: contexts of the server's configuration. One run of httpd for each place where a directive is
/// refused, and one for all places where it is accepted.
#[test]
fn contexts() {
    let places: &[(char, &str, &str)] = &[
        ('S', "", ""),
        (
            'V',
            "<VirtualHost 127.0.0.1:1>\nServerName a.example\n",
            "\n</VirtualHost>",
        ),
        ('D', "<Directory /srv>\n", "\n</Directory>"),
        ('D', "<Location /srv>\n", "\n</Location>"),
        ('D', "<Files x>\n", "\n</Files>"),
        ('D', "<If \"true\">\n", "\n</If>"),
        ('D', "<LocationMatch ^/srv>\n", "\n</LocationMatch>"),
    ];
    let mut wrong = Vec::new();
    for (line, contexts) in CONTEXTS {
        let mut accepted = String::new();
        for (context, before, after) in places {
            let text = format!("{before}{line}{after}\n");
            let twice = line.starts_with("WSGIDaemonProcess") && !accepted.is_empty();
            let text = if twice {
                text.replace("group-of-the-test", "another-group")
            } else {
                text
            };
            if contexts.contains(*context) {
                accepted += &text;
            } else {
                let checked = Site::embedded().config(&text).check();
                let says = &checked.output;
                // By httpd, because of the place and of nothing else.
                let of_the_place =
                    says.contains(" not allowed ") || says.contains("cannot occur within");
                if checked.accepted || !of_the_place {
                    wrong.push(format!(
                        "accepted, or refused for another reason: {text}   {says}"
                    ));
                }
            }
        }
        let checked = Site::embedded().config(&accepted).check();
        if !checked.accepted {
            wrong.push(format!("refused: {accepted}   {}", checked.output.trim()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The class by which a directive is allowed in `.htaccess`.
fn class(line: &str) -> &'static str {
    let guards = ["WSGIAccess", "WSGIAuth", "WSGIGroupAuthoritative"];
    match guards.iter().any(|name| line.starts_with(name)) {
        true => "AuthConfig",
        false => "FileInfo",
    }
}

/// CTX-03, CTX-05, CTX-07, DOC-01: `.htaccess`, where what chooses process, interpreter or code is not allowed, and the rest
/// only with its class or by its name.
fn htaccess(mpm: Mpm, mode: Mode) {
    let mut site = Site::new(mpm, mode).config(
        "<Directory {htdocs}>\nAllowOverride All\n</Directory>
        <Directory {htdocs}/none>\nAllowOverride None\n</Directory>
        <Directory {htdocs}/other>\nAllowOverride Limit Options Indexes\n</Directory>
        <Directory {htdocs}/FileInfo>\nAllowOverride FileInfo\n</Directory>
        <Directory {htdocs}/AuthConfig>\nAllowOverride AuthConfig\n</Directory>",
    );
    let mut folders = Vec::new();
    for (index, (line, contexts)) in CONTEXTS.iter().enumerate() {
        let end = line
            .find([' ', '>'])
            .expect("a directive with arguments or a section");
        let name = &line[..end];
        let in_htaccess = contexts.contains('H');
        let mut places = vec![("all".to_owned(), in_htaccess), ("none".to_owned(), true)];
        for place in ["FileInfo", "AuthConfig", "other"] {
            places.push((place.to_owned(), in_htaccess && place == class(line)));
        }
        // httpd reads no `.htaccess` where the list has nothing that may be there.
        let other = match name {
            "WSGIChunkedRequest" => "WSGIErrorOverride",
            _ => "WSGIChunkedRequest",
        };
        for (place, listed) in [("listed", name), ("unlisted", "")] {
            let place = format!("{place}-{index}");
            site = site.config(&format!(
                "<Directory {{htdocs}}/{place}>\nAllowOverride None\nAllowOverrideList {other} {listed}\n</Directory>"
            ));
            // What may stand in sections may be named there: then the administrator has chosen it.
            places.push((place, listed == name && contexts.contains('D')));
        }
        for (place, accepted) in places {
            let folder = format!("{place}/d{index}");
            site = site
                .file(&format!("htdocs/{folder}/.htaccess"), line)
                .file(&format!("htdocs/{folder}/page"), "page");
            folders.push((folder, *line, accepted));
        }
    }
    let server = site.start();
    server.allow_log("not allowed here");
    server.allow_log("cannot occur within");
    // Names in a list that may be in no section.
    server.allow_log("AH02304");
    // With an access or user script of its own, a static page is still served: no provider asks for it, but WSGIAccessScript
    // runs a script that is not there.
    for code in ["WSGI0105", "WSGI0174", "WSGI0057"] {
        server.allow_log(code);
    }
    let mut wrong = Vec::new();
    for (folder, line, accepted) in &folders {
        let status = server.get(&format!("/{folder}/page")).status;
        let fine = if *accepted {
            let is_asked = line.starts_with("WSGIAccessScript") && !folder.starts_with("none/");
            status == if is_asked { 403 } else { 200 }
        } else {
            status == 500
        };
        if !fine {
            wrong.push(format!("{folder}: {line}: {status}, accepted: {accepted}"));
        }
        let path = server.fill(&format!("{{htdocs}}/{folder}/.htaccess"));
        let says = server.log().count(&path) > 0;
        if !accepted && !says {
            wrong.push(format!("{folder}: {line}: nothing in the log"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
matrix!(htaccess: event / embedded);
