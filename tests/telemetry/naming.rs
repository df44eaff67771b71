//! What slow requests are called: host, mount point, path and client of all kinds of requests.

use wsgi_harness::telemetry::{Consumer, Kind};
use wsgi_harness::{Mode, Mpm, Server, Site, matrix};

use super::reporting;

const APP: &str = "import time

def application(environ, start_response):
    time.sleep(0.1)
    start_response('200 OK', [])
    return [b'ok']
";

/// A request head without its end, and what is said of it: host, mount point, path.
type Case = (&'static [u8], &'static str, &'static str, &'static str);

const CASES: [Case; 16] = [
    (
        b"GET http://Abs.example:99/m/a HTTP/1.1\r\nHost: other.example\r\n",
        "abs.example",
        "/m",
        "/a",
    ),
    (b"GET /m/b HTTP/1.0\r\n", "", "/m", "/b"),
    (
        b"GET /m/c HTTP/1.0\r\nHost: one.example:1\r\n",
        "one.example",
        "/m",
        "/c",
    ),
    (
        b"GET /m/d HTTP/1.1\r\nHost: example.com.\r\n",
        "example.com",
        "/m",
        "/d",
    ),
    (
        b"GET /m/e HTTP/1.1\r\nHost: EXAMPLE.com.:8080\r\n",
        "example.com",
        "/m",
        "/e",
    ),
    (
        b"GET /m/f HTTP/1.1\r\nHost: [2001:DB8::1]:8080\r\n",
        "2001:db8::1",
        "/m",
        "/f",
    ),
    // Nobody is trusted.
    (
        b"GET /m/g HTTP/1.1\r\nHost: a.b\r\nX-Forwarded-Host: c.d\r\nX-Forwarded-Proto: https\r\n",
        "a.b",
        "/m",
        "/g",
    ),
    (
        b"GET /m/%e2%98%83%20h HTTP/1.1\r\nHost: a.b\r\n",
        "a.b",
        "/m",
        "/\u{2603} h",
    ),
    (
        b"GET /m/%ff HTTP/1.1\r\nHost: a.b\r\n",
        "a.b",
        "/m",
        "/\u{fffd}",
    ),
    (
        b"GET //m//i//y/../z HTTP/1.1\r\nHost: a.b\r\n",
        "a.b",
        "/m",
        "/i/z",
    ),
    (
        b"GET /with/longer/p HTTP/1.1\r\nHost: a.b\r\n",
        "a.b",
        "/with/longer",
        "/p",
    ),
    (b"GET /m HTTP/1.1\r\nHost: a.b\r\n", "a.b", "/m", ""),
    (
        b"GET /match-abc/p HTTP/1.1\r\nHost: a.b\r\n",
        "a.b",
        "/match-abc",
        "/p",
    ),
    (b"GET /old/x HTTP/1.1\r\nHost: a.b\r\n", "a.b", "/m", "/x"),
    (
        b"GET /gone HTTP/1.1\r\nHost: a.b\r\n",
        "a.b",
        "/m",
        "/instead",
    ),
    (b"GET /m/env HTTP/1.1\r\nHost: a.b\r\n", "a.b", "/m", "/env"),
];

const MORE: &str = "WSGISlowRequests 0.05
WSGIScriptAlias /with/longer {apps}/m.wsgi
WSGIScriptAliasMatch ^/match-[a-z]+ {apps}/m.wsgi
RewriteEngine On
RewriteRule ^/old/(.*) /m/$1 [PT]
Redirect 410 /gone
ErrorDocument 410 /m/instead
<Location /m/env>
SetEnv HTTP_HOST env.example
SetEnv REMOTE_ADDR 9.9.9.9
SetEnv SCRIPT_NAME /env
SetEnv REQUEST_METHOD ENV
</Location>";

fn site(mpm: Mpm, mode: Mode) -> (Consumer, Site) {
    let (consumer, site) = reporting(mpm, mode);
    let site = site.modules(&["rewrite", "env", "alias"]).config(MORE);
    (consumer, site.script("/m", APP))
}

/// Sends all of them at once: they wait in the application, not one after the other.
fn send_all(server: &Server, heads: &[&[u8]]) {
    let begin = |head: &&[u8]| {
        let mut connection = server.connect();
        connection.send_bytes([*head, b"Connection: close\r\n\r\n"].concat());
        connection
    };
    let connections: Vec<_> = heads.iter().map(begin).collect();
    for mut connection in connections {
        let answer = connection.answer();
        assert!([200, 410].contains(&answer.status), "{}", answer.shown());
    }
}

/// TEL-166 to TEL-170: host without port, mount point and decoded path, as Apache has them, not as variables say.
fn names(mpm: Mpm, mode: Mode) {
    let (consumer, site) = site(mpm, mode);
    let server = site.start();
    let heads: Vec<&[u8]> = CASES.iter().map(|case| case.0).collect();
    send_all(&server, &heads);
    for (head, host, script, path) in CASES {
        let head = head.escape_ascii();
        let record = consumer.wait_for(&format!("a record of {head}"), |datagram| {
            datagram.kind == Kind::SlowRequest
                && datagram.count("slow_record_state") == 1
                && datagram.text("slow_script_name") == script
                && datagram.text("slow_path_info") == path
        });
        assert_eq!(record.text("slow_hostname"), host, "{head}");
        assert_eq!(record.text("slow_scheme"), "http", "{head}");
        assert_eq!(record.text("slow_method"), "GET", "{head}");
        assert_eq!(record.text("slow_peer_ip"), "127.0.0.1", "{head}");
        let protocol = if head.to_string().contains("HTTP/1.0") {
            "1.0"
        } else {
            "1.1"
        };
        assert_eq!(
            record.text("slow_protocol"),
            format!("HTTP/{protocol}"),
            "{head}"
        );
    }
}
matrix!(names: event);

/// TEL-166, TEL-167, TEL-170: in a daemon what proxies have said replaces it, a child has Apache's view; the scheme is the
/// application's in both.
fn names_by_proxies(mpm: Mpm, mode: Mode) {
    let (consumer, site) = site(mpm, mode);
    let server = site
        .config("WSGITrustedProxyHeaders X-Forwarded-Host X-Forwarded-For X-Forwarded-Proto X-Forwarded-Port")
        .start();
    // Ours warns of trusting everybody.
    server.allow_log("WSGI5004");
    send_all(
        &server,
        &[
            b"GET /m/port HTTP/1.1\r\nHost: a.b\r\nX-Forwarded-Host: Fwd.Example:8443\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Port: 8443\r\n",
            b"GET /m/v6 HTTP/1.1\r\nHost: a.b\r\nX-Forwarded-For: 2001:db8::7\r\n",
        ],
    );
    let is_daemon = mode == Mode::Daemon;
    for (path, scheme, host, peer) in [
        ("/port", "https", "fwd.example", "127.0.0.1"),
        ("/v6", "http", "a.b", "2001:db8::7"),
    ] {
        let record = consumer.wait_for(path, |datagram| {
            datagram.kind == Kind::SlowRequest
                && datagram.count("slow_record_state") == 1
                && datagram.text("slow_path_info") == path
        });
        let (host, peer) = if is_daemon {
            (host, peer)
        } else {
            ("a.b", "127.0.0.1")
        };
        assert_eq!(record.text("slow_scheme"), scheme, "{path}");
        assert_eq!(record.text("slow_hostname"), host, "{path}");
        assert_eq!(record.text("slow_peer_ip"), peer, "{path}");
    }
}
matrix!(names_by_proxies: event);
