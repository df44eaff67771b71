//! Directives of older releases.

use wsgi_harness::{Level, Request};

use super::*;

/// KD-01, KD-02, KD-03, KD-04, KD-05, KD-06, KD-07: directives of older releases. 6.1 knows none of them.
#[test]
fn directives_of_older_releases() {
    for (row, config, ours) in [
        ("KD-01", "WSGILazyInitialization On", true),
        ("KD-01", "WSGILazyInitialization Off", true),
        ("KD-02", "WSGIPy3kWarningFlag On", true),
        ("KD-03", "WSGIReloadMechanism Process", true),
        ("KD-03", "WSGIReloadMechanism Module", false),
        ("KD-04", "WSGIApacheExtensions On", true),
        ("KD-04", "WSGIApacheExtensions Maybe", false),
        (
            "KD-05",
            "<Location />\nWSGIUserAuthoritative On\n</Location>",
            true,
        ),
        (
            "KD-05",
            "<Location />\nWSGIUserAuthoritative Off\n</Location>",
            false,
        ),
        ("KD-06", "WSGINewRelicConfigFile /x", false),
        ("KD-06", "WSGINewRelicEnvironment x", false),
        ("KD-07", "WSGIPythonExecutable /x", false),
        ("KD-07", "WSGIOutputBuffering On", false),
    ] {
        let checked = Site::embedded().config(config).check();
        let expected = ours && subject().differs(row);
        assert_eq!(
            checked.accepted, expected,
            "{row}: {config}: {}",
            checked.output
        );
    }
}

/// KD-01, KD-02, KD-03, KD-05: they may stand where they could, in `.htaccess` files too, and nowhere else.
#[test]
fn places_of_older_directives() {
    if !subject().is_ours() {
        return;
    }
    for config in [
        "<VirtualHost *:1>\nWSGILazyInitialization On\n</VirtualHost>",
        "<Location />\nWSGIPy3kWarningFlag On\n</Location>",
        "WSGIUserAuthoritative On",
    ] {
        let checked = Site::embedded().config(config).check();
        assert!(!checked.accepted, "{config}");
        assert!(names_its_cause(config, &checked.output), "{config}");
    }
    let mut site = Site::embedded().config(
        "<Directory {htdocs}>\nAllowOverride All\n</Directory>
        <VirtualHost *:1>\nWSGIReloadMechanism Process\n</VirtualHost>",
    );
    let rows = [
        ("reload", "WSGIReloadMechanism Process", 200),
        ("module", "WSGIReloadMechanism Module", 500),
        ("user", "WSGIUserAuthoritative On", 200),
        ("yielding", "WSGIUserAuthoritative Off", 500),
        // Nor may its later name (CTX-07).
        ("extensions", "WSGIApacheExtensions On", 500),
    ];
    for (name, line, _) in rows {
        site = site
            .file(&format!("htdocs/{name}/page"), "page")
            .file(&format!("htdocs/{name}/.htaccess"), line);
    }
    let server = site.start();
    for (name, line, status) in rows {
        assert_eq!(
            server.get(&format!("/{name}/page")).status,
            status,
            "{line}"
        );
    }
    server.expect_log("WSGI5005: WSGIReloadMechanism");
    for text in [
        "WSGIReloadMechanism is not supported",
        "WSGIUserAuthoritative is not supported",
        "WSGIApacheExtensions not allowed here",
    ] {
        server.expect_log(text);
    }
}

/// KD-01, KD-02, KD-03, KD-05, KD-10, KD-11, DIR-144, DIR-154: what is accepted without effect is a record of the server that starts: a
/// warning, or information where 6.1 still knows the directive.
#[test]
fn what_has_no_effect_is_in_the_log() {
    let of_61 = "WSGIVerboseDebugging On
        <Location /on>\nWSGIGroupAuthoritative On\n</Location>";
    let site = Site::embedded().config(of_61);
    let server = if subject().is_ours() {
        site.config(
            "WSGILazyInitialization Off
            WSGIPy3kWarningFlag On
            <Location /reload>\nWSGIReloadMechanism Process\n</Location>
            <Location /user>\nWSGIUserAuthoritative On\n</Location>
            <Location /group>\nWSGIGroupAuthoritative Off\n</Location>",
        )
        .start()
    } else {
        site.start()
    };
    let record = server.wait_for_log("WSGIVerboseDebugging");
    assert_eq!(record.level, Level::Info, "{}", record.line);
    assert!(record.contains("LogLevel"), "{}", record.line);
    if !subject().is_ours() {
        assert_eq!(server.log().count("WSGIGroupAuthoritative"), 0);
        return;
    }
    for name in [
        "WSGILazyInitialization",
        "WSGIPy3kWarningFlag",
        "WSGIReloadMechanism",
        "WSGIUserAuthoritative",
        "WSGIGroupAuthoritative",
    ] {
        let records = server.wait_for_logs(&format!("WSGI5005: {name} at "), 1);
        assert_eq!(records.len(), 1, "{records:?}");
        assert_eq!(records[0].level, Level::Warn, "{}", records[0].line);
    }
}

/// KD-04: the earlier name of WSGIPassApacheRequest does what that does, for the server, a virtual host and a section; of the two the
/// one that comes later counts.
#[test]
fn the_earlier_name_passes_apaches_request() {
    if !subject().is_ours() {
        return;
    }
    let server = Site::embedded()
        .shared("environ.wsgi")
        .config(
            "Listen 127.0.0.1:{port2}
            WSGIScriptAlias / {apps}/environ.wsgi
            <Location /section>\nWSGIApacheExtensions On\n</Location>
            <Location /both>\nWSGIApacheExtensions On\nWSGIPassApacheRequest Off\n</Location>
            <VirtualHost 127.0.0.1:{port2}>
                WSGIApacheExtensions On
                <Location /off>\nWSGIApacheExtensions Off\n</Location>
            </VirtualHost>",
        )
        .start();
    server.expect_log("WSGI5005: WSGIApacheExtensions");
    for (index, path, passes) in [
        (0, "/", false),
        (0, "/section", true),
        (0, "/both", false),
        (1, "/", true),
        (1, "/off", false),
    ] {
        let answer = server.connect_to(index).send(&Request::get(path));
        let kind = answer.expect(200).line("type apache.request_rec");
        let expected = passes.then_some("PyCapsule");
        assert_eq!(kind.as_deref(), expected, "{index} {path}");
    }
}
