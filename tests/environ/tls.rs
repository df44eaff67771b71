//! The scheme of a request over a real TLS connection.

use std::process::Command;

use wsgi_harness::{Answer, Curl, Mode, Mpm, Request, Site, matrix};

/// A site with mod_ssl on `{port2}` and a certificate of its own.
fn encrypted(mpm: Mpm, mode: Mode) -> Site {
    // SetEnv comes behind mod_ssl's own HTTPS=on if its module was loaded later.
    let site = Site::new(mpm, mode)
        .modules(&["alias", "ssl", "env"])
        .shared("environ.wsgi")
        .config(
            "WSGIScriptAlias / {apps}/environ.wsgi
            SSLSessionCache none
            Listen 127.0.0.1:{port2}
            <VirtualHost *:{port2}>
                SSLEngine on
                SSLCertificateFile {dir}/certificate
                SSLCertificateKeyFile {dir}/key
            </VirtualHost>
            <Location /variables>\nSSLOptions +StdEnvVars\n</Location>
            <Location /off>\nSetEnv HTTPS off\n</Location>
            <Location /word>\nWSGITrustedProxyHeaders X-Forwarded-Proto\nWSGITrustedProxies 127.0.0.1\n</Location>
            <Location /off-word>\nSetEnv HTTPS off\nWSGITrustedProxyHeaders X-Forwarded-Proto\nWSGITrustedProxies 127.0.0.1\n</Location>
            <Location /flag>\nWSGITrustedProxyHeaders X-Forwarded-SSL\nWSGITrustedProxies 127.0.0.1\n</Location>
            <Location /stranger>\nWSGITrustedProxyHeaders X-Forwarded-Proto\nWSGITrustedProxies 10.0.0.1\n</Location>",
        );
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt"])
        .args(["ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"])
        .args(["-subj", "/CN=localhost"])
        .args(["-addext", "subjectAltName=DNS:localhost"])
        .arg("-keyout")
        .arg(site.path("key"))
        .arg("-out")
        .arg(site.path("certificate"))
        .output()
        .expect("openssl is installed (Debian: apt install openssl)");
    assert!(
        made.status.success(),
        "{}",
        String::from_utf8_lossy(&made.stderr)
    );
    site
}

/// ENV-13, ENV-24, ENV-25, ENV-42, REQ-107, REQ-156: TLS of the connection makes the scheme https, unless a trusted proxy says
/// something about it, also something that nobody knows (/off-word); REQUEST_SCHEME is Apache's in any case.
fn schemes(mpm: Mpm, mode: Mode) {
    let server = encrypted(mpm, mode).start();
    // These are mod_ssl's own: an older OpenSSL than it was built with, no cache of sessions, a
    // certificate that could sign others.
    for allowed in ["AH01873", "AH01882", "AH01906"] {
        server.allow_log(allowed);
    }
    let browser = Curl::https(&server, 1);
    for (path, header, expected) in [
        ("/", "", "https"),
        ("/variables", "", "https"),
        ("/off", "", "https"),
        // Nobody is trusted with this header here.
        ("/", "X-Forwarded-Proto: http", "https"),
        ("/word", "X-Forwarded-Proto: http", "http"),
        ("/word", "X-Forwarded-Proto: HTTPS", "https"),
        // mod_ssl sets the variable HTTPS, too, which stays as it is.
        ("/word", "X-Forwarded-Proto: gopher", "https"),
        ("/word", "", "https"),
        ("/off-word", "X-Forwarded-Proto: gopher", "http"),
        ("/off-word", "", "https"),
        ("/flag", "X-Forwarded-SSL: off", "http"),
        ("/flag", "X-Forwarded-SSL: maybe", "https"),
        ("/flag", "X-Forwarded-SSL: on", "https"),
        ("/stranger", "X-Forwarded-Proto: http", "https"),
    ] {
        let arguments: &[&str] = if header.is_empty() {
            &[]
        } else {
            &["--header", header]
        };
        let text = browser.run(path, arguments).expect(200).text();
        let shows = |key: &str, value: &str| text.contains(&format!("\n{key}\t'{value}'\n"));
        assert!(
            shows("wsgi.url_scheme", expected),
            "{path} {header}\n{text}"
        );
        assert!(shows("REQUEST_SCHEME", "https"), "{path} {header}\n{text}");
        assert!(!text.contains("\nHTTPS\t"), "ENV-25: {path}\n{text}");
        assert_eq!(
            text.contains("\nSSL_PROTOCOL\t'TLSv1"),
            path == "/variables",
            "{text}"
        );
    }
    // The same without TLS.
    let plain = |path: &str, scheme: &str| -> Answer {
        server
            .send(&Request::get(path).header("X-Forwarded-Proto", scheme))
            .expect(200)
    };
    for (path, said, expected) in [("/", "https", "http"), ("/word", "https", "https")] {
        let answer = plain(path, said);
        assert_eq!(answer.unquoted("wsgi.url_scheme"), expected, "{path}");
        assert_eq!(answer.unquoted("REQUEST_SCHEME"), "http", "{path}");
    }
}
matrix!(schemes: event);
