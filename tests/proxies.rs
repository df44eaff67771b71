//! Headers of trusted proxies.

use wsgi_harness::{Answer, Request, Site, subject, wait_until};

/// A request below a location with its own settings, and the environ that must come of it (`None`: the key is absent).
struct Row {
    /// Row of the specification.
    row: &'static str,
    /// Configuration of the location.
    config: &'static str,
    headers: &'static [(&'static str, &'static str)],
    expected: &'static [(&'static str, Option<&'static str>)],
}

const ROWS: &[Row] = &[
    Row {
        row: "REQ-140, REQ-161, REQ-150: no list of proxies, so every peer is trusted and the first element counts",
        config: "WSGITrustedProxyHeaders X-Forwarded-For",
        headers: &[("X-Forwarded-For", "1.2.3.4, 10.1.1.1")],
        expected: &[
            ("REMOTE_ADDR", Some("1.2.3.4")),
            ("HTTP_X_FORWARDED_FOR", Some("1.2.3.4, 10.1.1.1")),
        ],
    },
    Row {
        row: "REQ-162: one address",
        config: "WSGITrustedProxyHeaders X-Forwarded-For\nWSGITrustedProxies 127.0.0.1 10.0.0.0/8",
        headers: &[("X-Forwarded-For", "1.2.3.4")],
        expected: &[
            ("REMOTE_ADDR", Some("1.2.3.4")),
            ("HTTP_X_FORWARDED_FOR", Some("1.2.3.4")),
        ],
    },
    Row {
        row: "REQ-163: left of the trusted ones",
        config: "WSGITrustedProxyHeaders X-Forwarded-For\nWSGITrustedProxies 127.0.0.1 10.0.0.0/8",
        headers: &[("X-Forwarded-For", "1.2.3.4, 10.1.1.1")],
        expected: &[
            ("REMOTE_ADDR", Some("1.2.3.4")),
            ("HTTP_X_FORWARDED_FOR", Some("1.2.3.4, 10.1.1.1")),
        ],
    },
    Row {
        row: "REQ-163: what is left of the pick is dropped",
        config: "WSGITrustedProxyHeaders X-Forwarded-For\nWSGITrustedProxies 127.0.0.1 10.0.0.0/8",
        headers: &[("X-Forwarded-For", "1.2.3.4, 5.6.7.8, 10.1.1.1, 10.2.2.2")],
        expected: &[
            ("REMOTE_ADDR", Some("5.6.7.8")),
            ("HTTP_X_FORWARDED_FOR", Some("5.6.7.8, 10.1.1.1, 10.2.2.2")),
        ],
    },
    Row {
        row: "REQ-163: all trusted",
        config: "WSGITrustedProxyHeaders X-Forwarded-For\nWSGITrustedProxies 127.0.0.1 10.0.0.0/8",
        headers: &[("X-Forwarded-For", "10.9.9.9, 10.1.1.1")],
        expected: &[
            ("REMOTE_ADDR", Some("10.9.9.9")),
            ("HTTP_X_FORWARDED_FOR", Some("10.9.9.9, 10.1.1.1")),
        ],
    },
    Row {
        row: "REQ-164: the last one is not trusted",
        config: "WSGITrustedProxyHeaders X-Forwarded-For\nWSGITrustedProxies 127.0.0.1 10.0.0.0/8",
        headers: &[("X-Forwarded-For", "10.1.1.1, 1.2.3.4")],
        expected: &[
            ("REMOTE_ADDR", Some("1.2.3.4")),
            ("HTTP_X_FORWARDED_FOR", Some("1.2.3.4")),
        ],
    },
    Row {
        row: "REQ-160: nothing in it",
        config: "WSGITrustedProxyHeaders X-Forwarded-For\nWSGITrustedProxies 127.0.0.1",
        headers: &[("X-Forwarded-For", ", ,")],
        expected: &[("REMOTE_ADDR", Some("127.0.0.1"))],
    },
    Row {
        row: "REQ-150, REQ-152, REQ-154: an untrusted peer, so the whole category goes",
        config: "WSGITrustedProxyHeaders X-Forwarded-For X-Forwarded-Host\nWSGITrustedProxies 10.0.0.0/8",
        headers: &[
            ("X-Forwarded-For", "1.2.3.4"),
            ("X-Real-IP", "1.2.3.5"),
            ("X-Host", "evil"),
            ("X-Forwarded-Proto", "https"),
        ],
        expected: &[
            ("REMOTE_ADDR", Some("127.0.0.1")),
            ("HTTP_X_FORWARDED_FOR", None),
            ("HTTP_X_REAL_IP", None),
            ("HTTP_X_HOST", None),
            ("HTTP_HOST", Some("localhost")),
            ("HTTP_X_FORWARDED_PROTO", Some("https")),
            ("wsgi.url_scheme", Some("http")),
        ],
    },
    Row {
        row: "REQ-153, REQ-154, REQ-157: the last configured one wins and is kept, its synonyms go",
        config: "WSGITrustedProxyHeaders X-Client-IP X-Real-IP",
        headers: &[
            ("X-Real-IP", "not an address"),
            ("X-Client-IP", "2.2.2.2"),
            ("X-Forwarded-For", "3.3.3.3"),
        ],
        expected: &[
            ("REMOTE_ADDR", Some("not an address")),
            ("HTTP_X_REAL_IP", Some("not an address")),
            ("HTTP_X_CLIENT_IP", None),
            ("HTTP_X_FORWARDED_FOR", None),
        ],
    },
    Row {
        row: "REQ-141, REQ-142, REQ-143, DIR-130: host, server and port, names without case",
        config: "WSGITrustedProxyHeaders x-forwarded-HOST X-Forwarded-Server X-Forwarded-Port",
        headers: &[
            ("X-Forwarded-Host", "site.example:81"),
            ("X-Forwarded-Server", "front.example"),
            ("X-Forwarded-Port", "81"),
            ("X-Host", "other"),
        ],
        expected: &[
            ("HTTP_HOST", Some("site.example:81")),
            ("SERVER_NAME", Some("front.example")),
            ("SERVER_PORT", Some("81")),
            ("HTTP_X_HOST", None),
        ],
    },
    Row {
        row: "REQ-144, ENV-55, REQ-105: the mount point is taken as it is",
        config: "WSGITrustedProxyHeaders X-Script-Name",
        headers: &[
            ("X-Script-Name", "/mount//%20point"),
            ("X-Forwarded-Script-Name", "/spoofed"),
        ],
        expected: &[
            ("SCRIPT_NAME", Some("/mount//%20point")),
            ("mod_wsgi.mount_point", Some("/mount//%20point")),
            ("mod_wsgi.script_name", Some("")),
            ("HTTP_X_FORWARDED_SCRIPT_NAME", None),
        ],
    },
    Row {
        row: "REQ-145: the scheme as a word",
        config: "WSGITrustedProxyHeaders X-Forwarded-Proto",
        headers: &[("X-Forwarded-Proto", "HTTPS"), ("X-Forwarded-SSL", "off")],
        expected: &[
            ("wsgi.url_scheme", Some("https")),
            ("HTTP_X_FORWARDED_PROTO", Some("HTTPS")),
            ("HTTP_X_FORWARDED_SSL", None),
            ("HTTPS", None),
        ],
    },
    Row {
        row: "REQ-145: another word",
        config: "WSGITrustedProxyHeaders X-Scheme",
        headers: &[("X-Scheme", "gopher")],
        expected: &[("wsgi.url_scheme", Some("http"))],
    },
    Row {
        row: "REQ-146: the scheme as a flag",
        config: "WSGITrustedProxyHeaders X-Forwarded-SSL",
        headers: &[("X-Forwarded-SSL", "On")],
        expected: &[("wsgi.url_scheme", Some("https"))],
    },
    Row {
        row: "REQ-146: 1 is on",
        config: "WSGITrustedProxyHeaders X-HTTPS",
        headers: &[("X-HTTPS", "1")],
        expected: &[("wsgi.url_scheme", Some("https"))],
    },
    Row {
        row: "REQ-146, REQ-156: off wins over TLS of the connection",
        config: "WSGITrustedProxyHeaders X-Forwarded-HTTPS\nSetEnv HTTPS on",
        headers: &[("X-Forwarded-HTTPS", "false")],
        expected: &[("wsgi.url_scheme", Some("http"))],
    },
    Row {
        row: "REQ-151: a name without meaning is left alone",
        config: "WSGITrustedProxyHeaders X-Anything",
        headers: &[("X-Anything", "stays"), ("X-Forwarded-For", "1.2.3.4")],
        expected: &[
            ("HTTP_X_ANYTHING", Some("stays")),
            ("REMOTE_ADDR", Some("127.0.0.1")),
            ("HTTP_X_FORWARDED_FOR", Some("1.2.3.4")),
        ],
    },
    Row {
        row: "REQ-155: nothing configured, nothing changed",
        config: "",
        headers: &[
            ("X-Forwarded-For", "1.2.3.4"),
            ("X-Forwarded-Proto", "https"),
            ("X-Forwarded-Host", "h"),
        ],
        expected: &[
            ("HTTP_X_FORWARDED_FOR", Some("1.2.3.4")),
            ("HTTP_X_FORWARDED_PROTO", Some("https")),
            ("HTTP_X_FORWARDED_HOST", Some("h")),
            ("REMOTE_ADDR", Some("127.0.0.1")),
            ("wsgi.url_scheme", Some("http")),
        ],
    },
    Row {
        row: "MRG-05: repeats in one context append",
        config: "WSGITrustedProxyHeaders X-Forwarded-For\nWSGITrustedProxyHeaders X-Forwarded-Host\nWSGITrustedProxies 10.0.0.1\nWSGITrustedProxies 127.0",
        headers: &[("X-Forwarded-For", "1.2.3.4"), ("X-Forwarded-Host", "h")],
        expected: &[("REMOTE_ADDR", Some("1.2.3.4")), ("HTTP_HOST", Some("h"))],
    },
    Row {
        row: "DIR-133, REQ-150: a list without proxies trusts nobody",
        config: "WSGITrustedProxyHeaders X-Forwarded-For\nWSGITrustedProxies",
        headers: &[("X-Forwarded-For", "1.2.3.4")],
        expected: &[
            ("REMOTE_ADDR", Some("127.0.0.1")),
            ("HTTP_X_FORWARDED_FOR", None),
        ],
    },
    Row {
        row: "DIR-133: IPv6 elements and an address with netmask",
        config: "WSGITrustedProxyHeaders X-Forwarded-For\nWSGITrustedProxies 127.0.0.0/255.0.0.0 fe80::/10",
        headers: &[("X-Forwarded-For", "2001:db8::1, fe80::1")],
        expected: &[
            ("REMOTE_ADDR", Some("2001:db8::1")),
            ("HTTP_X_FORWARDED_FOR", Some("2001:db8::1, fe80::1")),
        ],
    },
    Row {
        row: "REQ-162, REQ-164: text that is no address ends the walk",
        config: "WSGITrustedProxyHeaders X-Forwarded-For\nWSGITrustedProxies 127.0.0.1 10.0.0.0/8",
        headers: &[("X-Forwarded-For", "1.2.3.4, !!, 10.1.1.1")],
        expected: &[
            ("REMOTE_ADDR", Some("!!")),
            ("HTTP_X_FORWARDED_FOR", Some("!!, 10.1.1.1")),
        ],
    },
    Row {
        row: "REQ-141, REQ-144, REQ-145: the other names; REQ-153: the last configured one has no say where it is absent",
        config: "WSGITrustedProxyHeaders X-Forwarded-Scheme X-HTTPS X-Host X-Forwarded-Host X-Forwarded-Script-Name X-Client-IP X-Real-IP",
        headers: &[
            ("X-Forwarded-Scheme", "https"),
            ("X-Host", "h"),
            ("X-Forwarded-Script-Name", "//m"),
            ("X-Client-IP", " what, ever"),
        ],
        expected: &[
            ("wsgi.url_scheme", Some("https")),
            ("HTTP_HOST", Some("h")),
            ("SCRIPT_NAME", Some("//m")),
            ("mod_wsgi.mount_point", Some("//m")),
            ("REMOTE_ADDR", Some("what, ever")),
            ("HTTP_X_CLIENT_IP", Some("what, ever")),
        ],
    },
    Row {
        row: "REQ-150, REQ-154, ENV-55: a stranger's headers of all categories go",
        config: "WSGITrustedProxyHeaders X-Scheme X-Script-Name X-Forwarded-Port X-Forwarded-Server\nWSGITrustedProxies 10.0.0.0/8",
        headers: &[
            ("X-Forwarded-SSL", "on"),
            ("X-Scheme", "https"),
            ("X-Script-Name", "/evil"),
            ("X-Forwarded-Port", "1"),
            ("X-Forwarded-Server", "evil"),
        ],
        expected: &[
            ("wsgi.url_scheme", Some("http")),
            ("HTTP_X_FORWARDED_SSL", None),
            ("HTTP_X_SCHEME", None),
            ("SCRIPT_NAME", Some("")),
            ("mod_wsgi.mount_point", None),
            ("HTTP_X_SCRIPT_NAME", None),
            ("HTTP_X_FORWARDED_PORT", None),
            ("SERVER_NAME", Some("localhost")),
        ],
    },
    Row {
        row: "REQ-153, REQ-145: in the order of the configuration, so the flag counts; REQ-164: no address, and the last",
        config: "WSGITrustedProxyHeaders X-Forwarded-Proto X-Forwarded-SSL X-Forwarded-For\nWSGITrustedProxies 127.0.0.1 10.0.0.0/8",
        headers: &[
            ("X-Forwarded-SSL", "0"),
            ("X-Forwarded-Proto", "https"),
            ("X-Forwarded-For", "10.1.1.1, !!"),
        ],
        expected: &[
            ("wsgi.url_scheme", Some("http")),
            ("HTTP_X_FORWARDED_SSL", Some("0")),
            ("HTTP_X_FORWARDED_PROTO", None),
            ("REMOTE_ADDR", Some("!!")),
            ("HTTP_X_FORWARDED_FOR", Some("!!")),
        ],
    },
];

/// REQ-106, DIR-130, DIR-133, DIR-135: row by row; every row of the table names its row of the specification.
#[test]
fn headers_of_proxies() {
    let mut site = Site::embedded()
        .modules(&["env", "setenvif"])
        .shared("environ.wsgi")
        .config("WSGIScriptAlias / {apps}/environ.wsgi");
    for (index, row) in ROWS.iter().enumerate() {
        site = site.config(&format!(
            "<Location /case-{index}>\n{}\n</Location>",
            row.config
        ));
    }
    let server = site.start();
    for (index, row) in ROWS.iter().enumerate() {
        let mut request = Request::get(&format!("/case-{index}"));
        for (name, value) in row.headers {
            request = request.header(name, value);
        }
        let answer = server.send(&request).expect(200);
        for (key, expected) in row.expected {
            let found = answer
                .line(key)
                .map(|shown| shown.trim_matches('\'').to_owned());
            assert_eq!(
                found.as_deref(),
                *expected,
                "{}: {key}\n{}",
                row.row,
                answer.text()
            );
        }
    }
}

/// REQ-165: an element that is a host name is not looked up.
#[test]
fn names_are_not_resolved() {
    let server = Site::embedded()
        .shared("environ.wsgi")
        .config("WSGIScriptAlias / {apps}/environ.wsgi\nWSGITrustedProxyHeaders X-Forwarded-For\nWSGITrustedProxies 127.0.0.1")
        .start();
    let answer = server
        .send(&Request::get("/").header("X-Forwarded-For", "1.2.3.4, localhost"))
        .expect(200);
    let address = answer.line("REMOTE_ADDR");
    if subject().differs("REQ-165") {
        assert_eq!(
            address.as_deref(),
            Some("'localhost'"),
            "unparsable, so it is the one that counts (REQ-164)"
        );
    } else {
        assert_eq!(
            address.as_deref(),
            Some("'1.2.3.4'"),
            "localhost resolves to a trusted address"
        );
    }
}

/// REQ-168: httpd's own idea of the client does not change; MRG-04: an inner list replaces, also by an empty one (DIR-132).
#[test]
fn scope_of_the_settings() {
    let server = Site::daemon()
        .modules(&["authz_host"])
        .shared("environ.wsgi")
        .config(
            "WSGIScriptAlias / {apps}/environ.wsgi
            WSGITrustedProxyHeaders X-Forwarded-For
            <Location /guarded>\nRequire ip 127.0.0.1\n</Location>
            <Location /other>\nWSGITrustedProxyHeaders X-Real-IP\n</Location>
            <Location /none>\nWSGITrustedProxyHeaders\n</Location>",
        )
        .start();
    if subject().differs("DIR-134") {
        server.expect_log("WSGI5004");
    }
    let ask = |path: &str| -> Answer {
        let request = Request::get(path)
            .header("X-Forwarded-For", "1.2.3.4")
            .header("X-Real-IP", "5.5.5.5");
        server.send(&request).expect(200)
    };
    let guarded = ask("/guarded");
    assert_eq!(guarded.line("REMOTE_ADDR").as_deref(), Some("'1.2.3.4'"));
    let other = ask("/other");
    assert_eq!(other.line("REMOTE_ADDR").as_deref(), Some("'5.5.5.5'"));
    assert_eq!(other.line("HTTP_X_FORWARDED_FOR"), None);
    let none = ask("/none");
    assert_eq!(none.line("REMOTE_ADDR").as_deref(), Some("'127.0.0.1'"));
    assert_eq!(
        none.line("HTTP_X_FORWARDED_FOR").as_deref(),
        Some("'1.2.3.4'")
    );
}

/// MRG-04, MRG-05: the proxies of an inner place stand for those around it; several directives of one place are one list.
#[test]
fn lists_of_proxies() {
    let server = Site::embedded()
        .shared("environ.wsgi")
        .config(
            "WSGIScriptAlias / {apps}/environ.wsgi
            WSGITrustedProxyHeaders X-Forwarded-For
            WSGITrustedProxies 127.0.0.1
            <Location /others>\nWSGITrustedProxies 10.0.0.1\n</Location>
            <Location /others/and>\nWSGITrustedProxies 10.0.0.2\nWSGITrustedProxies 127.0.0.1\n</Location>",
        )
        .start();
    for (path, address) in [
        ("/", "'1.2.3.4'"),
        ("/others", "'127.0.0.1'"),
        ("/others/and", "'1.2.3.4'"),
    ] {
        let request = Request::get(path).header("X-Forwarded-For", "1.2.3.4");
        let found = server.send(&request).expect(200).line("REMOTE_ADDR");
        assert_eq!(found.as_deref(), Some(address), "{path}");
    }
}

/// REQ-168, REQ-802: the access log keeps the peer's address, in either mode; the log lines of a request name the peer where Apache
/// writes them and the rewritten address where a daemon does.
#[test]
fn addresses_in_logs() {
    let remote = if subject().differs("REQ-802") {
        "client 127.0.0.1:"
    } else {
        "remote 1.2.3.4:"
    };
    for (site, prefix) in [
        (Site::embedded(), "client 127.0.0.1:"),
        (Site::daemon(), remote),
    ] {
        let server = site
            .file(
                "apps/told.wsgi",
                "def application(environ, start_response):\n    \
                 print('told of ' + environ['REMOTE_ADDR'], file=environ['wsgi.errors'])\n    \
                 start_response('200 OK', [])\n    \
                 return [b'']\n",
            )
            .config(
                "WSGIScriptAlias / {apps}/told.wsgi
                WSGITrustedProxyHeaders X-Forwarded-For
                WSGITrustedProxies 127.0.0.1
                CustomLog {data}/access \"%a %h %{c}a\"",
            )
            .start();
        let request = Request::get("/").header("X-Forwarded-For", "1.2.3.4");
        server.send(&request).expect(200);
        let record = server.wait_for_log("told of 1.2.3.4");
        let access = server.path("data/access");
        let line = wait_until("the request is in the access log", || {
            let text = std::fs::read_to_string(&access).ok()?;
            text.ends_with('\n').then_some(text)
        });
        assert_eq!(line, "127.0.0.1 127.0.0.1 127.0.0.1\n");
        let peer = record.peer().unwrap_or_default();
        assert!(peer.starts_with(prefix), "{record:?}");
    }
}

/// REQ-150: the peer is the client that mod_remoteip found, whoever the connection comes from.
#[test]
fn peer_behind_remoteip() {
    let server = Site::embedded()
        .modules(&["remoteip"])
        .shared("environ.wsgi")
        .config(
            "WSGIScriptAlias / {apps}/environ.wsgi
            RemoteIPHeader X-Peer
            RemoteIPInternalProxy 127.0.0.1
            WSGITrustedProxyHeaders X-Forwarded-For
            <Location /far>\nWSGITrustedProxies 10.0.0.0/8\n</Location>
            <Location /near>\nWSGITrustedProxies 127.0.0.1\n</Location>",
        )
        .start();
    for (path, peer, expected) in [
        ("/far", Some("10.1.1.1"), ("1.2.3.4", Some("1.2.3.4"))),
        ("/far", Some("11.1.1.1"), ("11.1.1.1", None)),
        ("/far", None, ("127.0.0.1", None)),
        ("/near", Some("10.1.1.1"), ("10.1.1.1", None)),
        ("/near", None, ("1.2.3.4", Some("1.2.3.4"))),
    ] {
        let mut request = Request::get(path).header("X-Forwarded-For", "1.2.3.4");
        if let Some(peer) = peer {
            request = request.header("X-Peer", peer);
        }
        let answer = server.send(&request).expect(200);
        let kept = answer
            .line("HTTP_X_FORWARDED_FOR")
            .map(|shown| shown.trim_matches('\'').to_owned());
        assert_eq!(
            (answer.unquoted("REMOTE_ADDR").as_str(), kept.as_deref()),
            expected,
            "{path} {peer:?}"
        );
    }
}
