//! Hostile clients and careless applications: every kind of byte in paths, headers, cookies and queries; requests whose length
//! is ambiguous, with another one behind them; answers that try to be more than one. What is seen is the whole conversation:
//! each answer on the connection, in order, and how it ends. The same tables hold for the original, but where a row is named.

use wsgi_harness::http::ReadFailure;
use wsgi_harness::{Curl, Mode, Mpm, Server, Site, matrix, subject};

/// Tells what it got: path and query as ASCII literals, bytes of the body, headers of the client.
const MIRROR: &str = r#"
def shown(value):
    text = ascii(value)
    return text if len(text) < 90 else "%s...(%d)" % (text[:9], len(value))

def application(environ, start_response):
    body = environ["wsgi.input"].read()
    words = [shown(environ["SCRIPT_NAME"]), shown(environ["PATH_INFO"]), shown(environ["QUERY_STRING"]), str(len(body))]
    for key in sorted(environ):
        if key.startswith("HTTP_") and key not in ("HTTP_HOST", "HTTP_CONNECTION", "HTTP_TRANSFER_ENCODING"):
            words.append("%s=%s" % (key[5:], shown(environ[key])))
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [" ".join(words).encode()]
"#;

/// Answers as the case in its path says.
const ANSWERS: &str = r#"
CASES = {
    "status-crlf": ("200 OK\r\nX-Injected: 1", [], b"x"),
    "status-lf": ("200 OK\nX-Injected: 1", [], b"x"),
    "status-nul": ("200 O\0K", [], b"x"),
    "value-crlf": ("200 OK", [("X-A", "a\r\nX-Injected: 1")], b"x"),
    "value-lf": ("200 OK", [("X-A", "a\n\nX-Injected: 1")], b"x"),
    "value-cr": ("200 OK", [("X-A", "a\rX-Injected: 1")], b"x"),
    "value-nul": ("200 OK", [("X-A", "a\0b")], b"x"),
    "value-control": ("200 OK", [("X-A", "a\x01b")], b"x"),
    "value-latin": ("200 OK", [("X-A", "a\xffb")], b"x"),
    "name-crlf": ("200 OK", [("X-A\r\nX-Injected", "1")], b"x"),
    "name-nul": ("200 OK", [("X-A\0", "1")], b"x"),
    "name-blank": ("200 OK", [("X A", "1")], b"x"),
    "name-colon": ("200 OK", [("X-A: b\nX-Injected", "1")], b"x"),
    "name-empty": ("200 OK", [("", "1")], b"x"),
    "length-short": ("200 OK", [("Content-Length", "3")], b"xyzHTTP/1.1 200 OK\r\nX-Injected: 1\r\n\r\n"),
    "length-letters": ("200 OK", [("Content-Length", "abc")], b"x"),
    "length-negative": ("200 OK", [("Content-Length", "-1")], b"x"),
    "length-huge": ("200 OK", [("Content-Length", "99999999999999999999")], b"x"),
    "length-crlf": ("200 OK", [("Content-Length", "1\r\nX-Injected: 1")], b"x"),
    "no-content": ("204 No Content", [], b"HTTP/1.1 200 OK\r\nX-Injected: 1\r\n\r\n"),
    "not-modified": ("304 Not Modified", [("ETag", '"x"')], b"HTTP/1.1 200 OK\r\nX-Injected: 1\r\n\r\n"),
    "fake-end": ("200 OK", [], b"0\r\n\r\nHTTP/1.1 200 OK\r\nX-Injected: 1\r\n\r\n"),
    "own-chunks": ("200 OK", [("Transfer-Encoding", "chunked")], b"0\r\n\r\nHTTP/1.1 200 OK\r\n\r\n"),
    "status-cr": ("200 O\rK", [], b"x"),
    "status-wide": ("200 \u0100", [], b"x"),
    "value-fold": ("200 OK", [("X-A", "a\r\n b")], b"x"),
    "value-wide": ("200 OK", [("X-A", "\u010d\u010a")], b"x"),
    "two-lengths": ("200 OK", [("Content-Length", "3"), ("Content-Length", "30")], b"xyzHTTP/1.1 200 OK\r\nX-Injected: 1\r\n\r\n"),
    "two-lengths-down": ("200 OK", [("Content-Length", "30"), ("Content-Length", "3")], b"xyzHTTP/1.1 200 OK\r\nX-Injected: 1\r\n\r\n"),
    "length-zero": ("200 OK", [("Content-Length", "0")], b"HTTP/1.1 200 OK\r\nX-Injected: 1\r\n\r\n"),
    "length-and-chunks": ("200 OK", [("Content-Length", "3"), ("Transfer-Encoding", "chunked")], b"0\r\n\r\nHTTP/1.1 200 OK\r\n\r\n"),
    "own-identity": ("200 OK", [("Transfer-Encoding", "identity")], b"x"),
    "no-content-length": ("204 No Content", [("Content-Length", "30")], b"HTTP/1.1 200 OK\r\nX-Injected: 1\r\n\r\n"),
    "interim": ("100 Continue", [("X-A", "1")], b"HTTP/1.1 200 OK\r\nX-Injected: 1\r\n\r\n"),
    "hints": ("103 Early Hints", [], b"HTTP/1.1 200 OK\r\nX-Injected: 1\r\n\r\n"),
    "switching": ("101 Switching Protocols", [("Connection", "Upgrade"), ("Upgrade", "x")], b"HTTP/1.1 200 OK\r\nX-Injected: 1\r\n\r\n"),
    "zero": ("000 x", [], b"x"),
    "length-long": ("200 OK", [("Content-Length", "60")], b"xyz"),
}

def application(environ, start_response):
    how, _, case = environ["PATH_INFO"][1:].rpartition("/")
    status, headers, body = CASES[case]
    write = start_response(status, headers)
    if how == "written":
        for byte in body:
            write(bytes([byte]))
        return []
    if how == "pieces":
        return (bytes([byte]) for byte in body)
    return [body]
"#;

fn server(mpm: Mpm, mode: Mode) -> Server {
    Site::new(mpm, mode)
        .modules(&["alias", "headers"])
        .file("apps/mirror.wsgi", MIRROR)
        .file("apps/answers.wsgi", ANSWERS)
        .config(
            "Listen 127.0.0.1:{port2}\nListen 127.0.0.1:{port3}\nKeepAliveTimeout 4\n\
             WSGIScriptAlias /app {apps}/mirror.wsgi\nWSGIScriptAlias /answers {apps}/answers.wsgi\n\
             WSGIChunkedRequest On\n\
             <VirtualHost *:{port2}>\nAllowEncodedSlashes NoDecode\nMergeSlashes Off\nWSGIChunkedRequest Off\n</VirtualHost>\n\
             <VirtualHost *:{port3}>\nAllowEncodedSlashes On\nHttpProtocolOptions Unsafe\n</VirtualHost>",
        )
        .start()
}

/// A request that ends the connection; its answer shows that the ones before it were understood.
const LAST: &str = "GET /app/last HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
/// Its answer.
const LAST_ANSWER: &str = "200 '/app' '/last' '' 0";

/// Sends bytes, and tells all answers and the end of the connection.
fn conversation(server: &Server, port: usize, bytes: &[u8]) -> Vec<String> {
    let mut connection = server.connect_to(port);
    // It may be closed before all is sent; what was answered counts.
    let _ = connection.write(bytes);
    let head = bytes.starts_with(b"HEAD");
    let mut told = Vec::new();
    loop {
        let method = if head && told.is_empty() {
            "HEAD"
        } else {
            "GET"
        };
        match connection.read_answer(method) {
            Ok(answer) => {
                let injected = answer.header("X-Injected").is_some();
                let text = match answer.status {
                    200 => format!("200 {}", answer.text()),
                    status => status.to_string(),
                };
                let cut = if answer.whole { "" } else { " (cut short)" };
                let injected = if injected { " (injected)" } else { "" };
                told.push(format!("{}{cut}{injected}", text.trim_end()));
                if !answer.whole {
                    return told;
                }
            }
            Err(ReadFailure::Closed) => return told,
            Err(failure) => {
                told.push(format!("{failure:?}"));
                return told;
            }
        }
    }
}

/// A name, the port, what is sent, and the answers.
type Row<'r> = (&'r str, usize, Vec<u8>, &'r [&'r str]);

#[track_caller]
fn converse(server: &Server, rows: &[Row<'_>]) {
    let mut wrong = Vec::new();
    for (name, port, bytes, expected) in rows {
        let told = conversation(server, *port, bytes);
        if told != *expected {
            wrong.push(format!(
                "{name}:\n  got      {told:?}\n  expected {expected:?}"
            ));
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {}\n{}",
        wrong.len(),
        rows.len(),
        wrong.join("\n")
    );
}

/// `GET` of a target of any bytes, and the last request behind it.
fn get(target: &[u8]) -> Vec<u8> {
    [
        b"GET ",
        target,
        b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
        LAST.as_bytes(),
    ]
    .concat()
}

/// `GET` with a header line of any bytes, and the last request behind it.
fn with(line: &[u8]) -> Vec<u8> {
    [
        b"GET /app HTTP/1.1\r\nHost: localhost\r\n",
        line,
        b"\r\n\r\n",
        LAST.as_bytes(),
    ]
    .concat()
}

/// `POST` with header lines and a body as they are, and the last request behind it.
fn post(lines: &str, body: &str) -> Vec<u8> {
    format!("POST /app HTTP/1.1\r\nHost: localhost\r\n{lines}\r\n\r\n{body}{LAST}").into_bytes()
}

/// ENV-21, ENV-23, REQ-104, DIR-005, DIR-006: bytes of paths and queries.
fn paths_and_queries(mpm: Mpm, mode: Mode) {
    let server = server(mpm, mode);
    let long = [b"/app/".as_slice(), &b"a".repeat(8100)].concat();
    let deep = [b"/app".as_slice(), &b"/a".repeat(1000)].concat();
    let longer = [b"/app/".as_slice(), &b"a".repeat(8300)].concat();
    #[rustfmt::skip] // one row, one line
    let rows: &[Row<'_>] = &[
        ("nul", 0, get(b"/app/a%00b"), &["404", LAST_ANSWER]),
        ("encoded slash", 0, get(b"/app/a%2Fb"), &["404", LAST_ANSWER]),
        ("encoded slash kept", 1, get(b"/app/a%2Fb"), &["200 '/app' '/a%2Fb' '' 0", LAST_ANSWER]),
        ("encoded slash decoded", 2, get(b"/app/a%2Fb"), &["200 '/app' '/a/b' '' 0", LAST_ANSWER]),
        ("not utf-8", 0, get(b"/app/%ff%fe"), &["200 '/app' '/\\xff\\xfe' '' 0", LAST_ANSWER]),
        ("utf-8", 0, get(b"/app/%c3%a9"), &["200 '/app' '/\\xc3\\xa9' '' 0", LAST_ANSWER]),
        ("overlong", 0, get(b"/app/%c0%af"), &["200 '/app' '/\\xc0\\xaf' '' 0", LAST_ANSWER]),
        ("not hexadecimal", 0, get(b"/app/%zz"), &["400"]),
        ("half an escape", 0, get(b"/app/%e"), &["400"]),
        ("up", 0, get(b"/app/../x"), &["404", LAST_ANSWER]),
        ("up, encoded", 0, get(b"/app/%2e%2e/x"), &["404", LAST_ANSWER]),
        ("up into it", 0, get(b"/x/../app/y"), &["200 '/app' '/y' '' 0", LAST_ANSWER]),
        ("up, with an encoded slash", 0, get(b"/app/..%2fx"), &["404", LAST_ANSWER]),
        ("above the root", 0, get(b"/../../app"), &["400"]),
        ("dots", 0, get(b"/app/./x/..."), &["200 '/app' '/x/...' '' 0", LAST_ANSWER]),
        ("slashes", 0, get(b"//app//x//"), &["200 '/app' '/x/' '' 0", LAST_ANSWER]),
        ("slashes kept", 1, get(b"//app//x//"), &["200 '/app' '/x/' '' 0", LAST_ANSWER]),
        ("case", 0, get(b"/APP"), &["404", LAST_ANSWER]),
        ("more than the component", 0, get(b"/apple"), &["404", LAST_ANSWER]),
        ("line end, encoded", 0, get(b"/app/%0d%0aX-Injected:%201"), &["200 '/app' '/\\r\\nX-Injected: 1' '' 0", LAST_ANSWER]),
        ("controls, encoded", 0, get(b"/app/%01%7f%1b"), &["200 '/app' '/\\x01\\x7f\\x1b' '' 0", LAST_ANSWER]),
        ("parameters", 0, get(b"/app;a/b;c=d"), &["404", LAST_ANSWER]),
        ("parameters behind", 0, get(b"/app/b;c=d"), &["200 '/app' '/b;c=d' '' 0", LAST_ANSWER]),
        ("raw byte", 0, get(b"/app/\xff"), &["200 '/app' '/\\xff' '' 0", LAST_ANSWER]),
        ("raw nul", 0, get(b"/app/\0"), &["400"]),
        ("raw control", 0, get(b"/app/\x01"), &["400"]),
        ("raw blank", 0, get(b"/app/a b"), &["400"]),
        ("fragment", 0, get(b"/app/a#b"), &["400"]),
        ("long", 0, get(&long), &["404", LAST_ANSWER]),
        ("deep", 0, get(&deep), &["200 '/app' '/a/a/a/a...(2000) '' 0", LAST_ANSWER]),
        ("too long", 0, get(&longer), &["414"]),
        ("query", 0, get(b"/app?%00%2F..%ff&a=b?c"), &["200 '/app' '' '%00%2F..%ff&a=b?c' 0", LAST_ANSWER]),
        ("query, line end", 0, get(b"/app?%0d%0aX-Injected:1"), &["200 '/app' '' '%0d%0aX-Injected:1' 0", LAST_ANSWER]),
        ("query, raw byte", 0, get(b"/app?\xe9"), &["200 '/app' '' '\\xe9' 0", LAST_ANSWER]),
        ("query, raw byte, unsafe", 2, get(b"/app?\xe9"), &["200 '/app' '' '\\xe9' 0", LAST_ANSWER]),
        ("query, raw nul", 0, get(b"/app?a\0b"), &["400"]),
        ("query, up", 0, get(b"/app?/../../x"), &["200 '/app' '' '/../../x' 0", LAST_ANSWER]),
        ("query, long", 0, get(&[b"/app?".as_slice(), &b"q".repeat(8000)].concat()), &["200 '/app' '' 'qqqqqqqq...(8000) 0", LAST_ANSWER]),
        ("nul in the alias", 0, get(b"/ap%00p"), &["404", LAST_ANSWER]),
        ("nul, slashes kept", 1, get(b"/app/%00"), &["404", LAST_ANSWER]),
        ("nul, slashes decoded", 2, get(b"/app/%00"), &["404", LAST_ANSWER]),
        ("encoded twice", 0, get(b"/app/%2500/%252e%252e%252f"), &["200 '/app' '/%00/%2e%2e%2f' '' 0", LAST_ANSWER]),
        ("up, slashes kept", 1, get(b"/app/..%2f..%2fx"), &["200 '/app' '/..%2f..%2fx' '' 0", LAST_ANSWER]),
        ("up, slashes decoded", 2, get(b"/app/..%2f..%2fx"), &["404", LAST_ANSWER]),
        ("up, half encoded", 0, get(b"/app/.%2e/x"), &["404", LAST_ANSWER]),
        ("up, backslash", 0, get(b"/app/..%5c..%5cx"), &["200 '/app' '/..\\\\..\\\\x' '' 0", LAST_ANSWER]),
        ("query only", 0, get(b"?x"), &["404", LAST_ANSWER]),
        ("absolute", 0, get(b"http://other.example/app/x"), &["200 '/app' '/x' '' 0", LAST_ANSWER]),
        ("asterisk", 0, get(b"*"), &["400"]),
        ("backslash", 0, get(b"/app\\x"), &["404", LAST_ANSWER]),
    ];
    converse(&server, rows);
    server.allow_log("mirror.wsgi/aaaa");
    server.expect_log("AH10244: invalid URI path");
}
matrix!(paths_and_queries: event / embedded daemon);

/// ENV-03, ENV-04, REQ-100: names and values of headers, cookies among them.
fn headers(mpm: Mpm, mode: Mode) {
    let server = server(mpm, mode);
    let line = |length: usize| [b"X-Long: ".as_slice(), &b"v".repeat(length)].concat();
    let many = |count: usize| {
        let all: Vec<String> = (0..count).map(|number| format!("X-A: {number}")).collect();
        all.join("\r\n").into_bytes()
    };
    let long_name = format!("200 '/app' '' '' 0 {}='1'", "X".repeat(8180));
    #[rustfmt::skip] // one row, one line
    let rows: &[Row<'_>] = &[
        ("nothing", 0, with(b"X-A:"), &["200 '/app' '' '' 0 X_A=''", LAST_ANSWER]),
        ("blanks", 0, with(b"X-A: \t a\tb \t "), &["200 '/app' '' '' 0 X_A='a\\tb'", LAST_ANSWER]),
        ("twice", 0, with(b"X-A: a\r\nx-a: b"), &["200 '/app' '' '' 0 X_A='a, b'", LAST_ANSWER]),
        ("cookies", 0, with(b"Cookie: a=1\r\nCookie: b=\"2"), &["200 '/app' '' '' 0 COOKIE='a=1, b=\"2'", LAST_ANSWER]),
        ("cookie bytes", 0, with(b"Cookie: a=\xff\x80; b=%00"), &[ "200 '/app' '' '' 0 COOKIE='a=\\xff\\x80; b=%00'", LAST_ANSWER]),
        ("cookie, nul", 0, with(b"Cookie: a=\0"), &["400"]),
        ("cookie, line feed", 0, with(b"Cookie: a=\nX-A: 1"), &["400"]),
        ("cookie, 8 KB", 0, with(&[b"Cookie: ".as_slice(), &b"c".repeat(8180)].concat()), &["200 '/app' '' '' 0 COOKIE='cccccccc...(8180)", LAST_ANSWER]),
        ("name, 8 KB", 0, with(&[&b"X".repeat(8180)[..], b": 1"].concat()), &[&long_name, LAST_ANSWER]),
        ("name, over 8 KB", 0, with(&[&b"X".repeat(8200)[..], b": 1"].concat()), &["400"]),
        ("credentials", 0, with(b"Authorization: Basic eDp5\r\nProxy-Authorization: Basic eDp5"), &["200 '/app' '' '' 0", LAST_ANSWER]),
        ("underscore", 0, with(b"X_A: 1"), &["200 '/app' '' '' 0", LAST_ANSWER]),
        ("underscore and hyphen", 0, with(b"X_A: evil\r\nX-A: good"), &["200 '/app' '' '' 0 X_A='good'", LAST_ANSWER]),
        ("dot", 0, with(b"X.A: 1"), &["200 '/app' '' '' 0", LAST_ANSWER]),
        ("proxy, twice", 0, with(b"pROXY: a\r\nProxy: b"), &["200 '/app' '' '' 0", LAST_ANSWER]),
        ("proxy", 0, with(b"Proxy: http://evil/"), &["200 '/app' '' '' 0", LAST_ANSWER]),
        ("length with underscore", 0, with(b"Content_Length: 5"), &["200 '/app' '' '' 0", LAST_ANSWER]),
        ("encoding with underscore", 0, with(b"Transfer_Encoding: chunked"), &["200 '/app' '' '' 0", LAST_ANSWER]),
        ("environment", 0, with(b"mod_wsgi.process_group: evil\r\nwsgi.url_scheme: evil"), &["200 '/app' '' '' 0", LAST_ANSWER]),
        ("utf-8", 0, with("X-A: \u{e9}".as_bytes()), &["200 '/app' '' '' 0 X_A='\\xc3\\xa9'", LAST_ANSWER]),
        ("not utf-8", 0, with(b"X-A: \xff\xfe"), &["200 '/app' '' '' 0 X_A='\\xff\\xfe'", LAST_ANSWER]),
        ("nul", 0, with(b"X-A: a\0b"), &["400"]),
        ("control", 0, with(b"X-A: a\x01b"), &["400"]),
        ("delete", 0, with(b"X-A: a\x7fb"), &["400"]),
        ("carriage return", 0, with(b"X-A: a\rb"), &["400"]),
        ("folded", 0, with(b"X-A: a\r\n b"), &["200 '/app' '' '' 0 X_A='a b'", LAST_ANSWER]),
        ("line feed only", 0, with(b"X-A: a\nX-B: b"), &["400"]),
        ("name with blank", 0, with(b"X A: 1"), &["400"]),
        ("blank before colon", 0, with(b"X-A : 1"), &["400"]),
        ("no name", 0, with(b": 1"), &["400"]),
        ("no colon", 0, with(b"X-A"), &["400"]),
        ("name with bracket", 0, with(b"X(A: 1"), &["400"]),
        ("name with byte", 0, with(b"X\xe9: 1"), &["400"]),
        ("8 KB", 0, with(&line(8180)), &["200 '/app' '' '' 0 X_LONG='vvvvvvvv...(8180)", LAST_ANSWER]),
        ("over 8 KB", 0, with(&line(8200)), &["400"]),
        ("99", 0, with(&many(99)), &["200 '/app' '' '' 0 X_A='0, 1, 2,...(384)", LAST_ANSWER]),
        ("101", 0, with(&many(101)), &["400"]),
        ("second host", 0, with(b"Host: evil"), &["400"]),
        ("unsafe: line feed only", 2, with(b"X-A: a\nX-B: b"), &["200 '/app' '' '' 0 X_A='a' X_B='b'", LAST_ANSWER]),
    ];
    converse(&server, rows);
}
matrix!(headers: event / embedded daemon);

/// REQ-030 to REQ-034, REQ-509, DMN-269: requests whose length is ambiguous. What follows one is read as a request only where
/// all agree on its end; else the connection ends.
fn framing_of_requests(mpm: Mpm, mode: Mode) {
    let server = server(mpm, mode);
    let chunk = "5\r\nhello\r\n0\r\n\r\n";
    #[rustfmt::skip] // one row, one line
    let rows: &[Row<'_>] = &[
        ("length", 0, post("Content-Length: 5", "hello"), &["200 '/app' '' '' 5", LAST_ANSWER]),
        ("chunks", 0, post("Transfer-Encoding: chunked", chunk), &["200 '/app' '' '' 5", LAST_ANSWER]),
        ("chunks in capitals", 0, post("Transfer-Encoding: CHUNKED", chunk), &["200 '/app' '' '' 5", LAST_ANSWER]),
        ("both", 0, post("Content-Length: 3\r\nTransfer-Encoding: chunked", chunk), &["200 '/app' '' '' 5"]),
        ("both, the other way", 0, post("Transfer-Encoding: chunked\r\nContent-Length: 100", chunk), &["200 '/app' '' '' 5"]),
        ("chunks not allowed", 1, post("Transfer-Encoding: chunked", chunk), &["411"]),
        ("two lengths", 0, post("Content-Length: 5\r\nContent-Length: 6", "hello"), &["400"]),
        ("two equal lengths", 0, post("Content-Length: 5\r\nContent-Length: 5", "hello"), &["400"]),
        ("lengths in a list", 0, post("Content-Length: 5, 5", "hello"), &["400"]),
        ("plus", 0, post("Content-Length: +5", "hello"), &["400"]),
        ("minus", 0, post("Content-Length: -5", "hello"), &["400"]),
        ("hexadecimal", 0, post("Content-Length: 0x5", "hello"), &["400"]),
        ("a blank inside", 0, post("Content-Length: 5 5", "hello"), &["400"]),
        ("no number", 0, post("Content-Length: five", "hello"), &["400"]),
        ("nothing", 0, post("Content-Length:", "hello"), &["400"]),
        ("too large a number", 0, post("Content-Length: 99999999999999999999", "hello"), &["400"]),
        ("identity", 0, post("Transfer-Encoding: identity", "hello"), &["400"]),
        ("gzip", 0, post("Transfer-Encoding: gzip, chunked", chunk), &["501"]),
        ("chunks twice", 0, post("Transfer-Encoding: chunked, chunked", chunk), &["501"]),
        ("chunks not last", 0, post("Transfer-Encoding: chunked, identity", chunk), &["400"]),
        ("two encodings", 0, post("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity", chunk), &["400"]),
        ("nearly chunks", 0, post("Transfer-Encoding: xchunked", chunk), &["400"]),
        ("chunks with a tab", 0, post("Transfer-Encoding:\tchunked", chunk), &["200 '/app' '' '' 5", LAST_ANSWER]),
        ("no encoding", 0, post("Transfer-Encoding:", chunk), &["400"]),
        ("chunks in HTTP/1.0", 0, format!("POST /app HTTP/1.0\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n{chunk}{LAST}").into_bytes(), &["200 '/app' '' '' 5"]),
        ("extension", 0, post("Transfer-Encoding: chunked", "5;a=b\r\nhello\r\n0\r\n\r\n"), &["200 '/app' '' '' 5", LAST_ANSWER]),
        ("no chunk size", 0, post("Transfer-Encoding: chunked", "zz\r\nhello\r\n0\r\n\r\n"), &["400"]),
        ("negative chunk size", 0, post("Transfer-Encoding: chunked", "-5\r\nhello\r\n0\r\n\r\n"), &["400"]),
        ("chunk size 0x5", 0, post("Transfer-Encoding: chunked", "0x5\r\nhello\r\n0\r\n\r\n"), &["400"]),
        ("huge chunk size", 0, post("Transfer-Encoding: chunked", "FFFFFFFFFFFFFFFFF\r\nhello\r\n0\r\n\r\n"), &["413"]),
        ("chunk over its size", 0, post("Transfer-Encoding: chunked", "5\r\nhelloX\r\n0\r\n\r\n"), &["400"]),
        ("chunk under its size", 0, post("Transfer-Encoding: chunked", "5\r\nhell\r\n0\r\n\r\n"), &["400"]),
        ("chunks with line feeds only", 0, post("Transfer-Encoding: chunked", "5\nhello\n0\n\n"), &["400"]),
        ("trailer", 0, post("Transfer-Encoding: chunked", "5\r\nhello\r\n0\r\nX-Evil: 1\r\n\r\n"), &["200 '/app' '' '' 5", LAST_ANSWER]),
        ("a body of GET", 0, format!("GET /app HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nhello{LAST}").into_bytes(), &["200 '/app' '' '' 5", LAST_ANSWER]),
        ("a request as body", 0, post(&format!("Content-Length: {}", LAST.len()), LAST), &["200 '/app' '' '' 62", LAST_ANSWER]),
        ("pipelined", 0, [post("Content-Length: 5", "hello"), post("Content-Length: 5", "hello")].concat(), &["200 '/app' '' '' 5", LAST_ANSWER]),
        ("nobody there", 0, format!("POST /none HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nhello{LAST}").into_bytes(), &["404", LAST_ANSWER]),
    ];
    converse(&server, rows);
    server.expect_log("WSGI0138");
    server.expect_log("WSGI0139");
    // Chunks that are none; embedded the application sees it when it reads, in daemon mode it is not called.
    server.expect_log(match mode {
        Mode::Embedded => "WSGI0174",
        Mode::Daemon => "WSGI0126",
    });
    if !subject().is_ours() {
        server.allow_log("WSGI0174");
    }
}
matrix!(framing_of_requests: event / embedded daemon);

/// REQ-414 to REQ-425, REQ-447 to REQ-452, REQ-463, DMN-319: answers that could be taken for more than they are.
fn framing_of_answers(mpm: Mpm, mode: Mode) {
    let server = server(mpm, mode);
    let ask = |case: &str| {
        format!("GET /answers/{case} HTTP/1.1\r\nHost: localhost\r\n\r\n{LAST}").into_bytes()
    };
    // The original sends what stands before the NUL.
    let nul: &[&str] = if subject().differs("REQ-425") {
        &["500"]
    } else {
        &["200 x", LAST_ANSWER]
    };
    let head = |case: &str| {
        format!("HEAD /answers/{case} HTTP/1.1\r\nHost: localhost\r\n\r\n{LAST}").into_bytes()
    };
    #[rustfmt::skip] // one row, one line
    let rows: &[Row<'_>] = &[
        ("status-crlf", 0, ask("status-crlf"), &["500"]),
        ("status-lf", 0, ask("status-lf"), &["500"]),
        ("status-nul", 0, ask("status-nul"), nul),
        ("value-crlf", 0, ask("value-crlf"), &["500"]),
        ("value-lf", 0, ask("value-lf"), &["500"]),
        ("value-cr", 0, ask("value-cr"), &["500"]),
        ("value-nul", 0, ask("value-nul"), nul),
        ("value-latin", 0, ask("value-latin"), &["200 x", LAST_ANSWER]),
        ("name-crlf", 0, ask("name-crlf"), &["500"]),
        ("name-nul", 0, ask("name-nul"), nul),
        ("name-blank", 0, ask("name-blank"), &["500"]),
        ("name-colon", 0, ask("name-colon"), &["500"]),
        ("name-empty", 0, ask("name-empty"), &["500"]),
        ("length-short", 0, ask("length-short"), &["200 xyz", LAST_ANSWER]),
        ("length-letters", 0, ask("length-letters"), &["500"]),
        ("length-negative", 0, ask("length-negative"), &["500"]),
        ("length-huge", 0, ask("length-huge"), &["500"]),
        ("length-crlf", 0, ask("length-crlf"), &["500"]),
        ("no-content", 0, ask("no-content"), &["204", LAST_ANSWER]),
        ("not-modified", 0, ask("not-modified"), &["304", LAST_ANSWER]),
        ("fake-end", 0, ask("fake-end"), &["200 0\r\n\r\nHTTP/1.1 200 OK\r\nX-Injected: 1", LAST_ANSWER]),
        ("head, fake-end", 0, head("fake-end"), &["200", LAST_ANSWER]),
        ("head, length-short", 0, head("length-short"), &["200", LAST_ANSWER]),
        ("status-cr", 0, ask("status-cr"), &["500"]),
        ("status-wide", 0, ask("status-wide"), &["500"]),
        ("value-fold", 0, ask("value-fold"), &["500"]),
        ("value-wide", 0, ask("value-wide"), &["500"]),
        ("two-lengths", 0, ask("two-lengths"), &["200 xyzHTTP/1.1 200 OK\r\nX-Injected", LAST_ANSWER]),
        ("two-lengths-down", 0, ask("two-lengths-down"), &["200 xyz", LAST_ANSWER]),
        ("length-zero", 0, ask("length-zero"), &["200", LAST_ANSWER]),
        ("no-content-length", 0, ask("no-content-length"), &["204", LAST_ANSWER]),
        ("written/length-short", 0, ask("written/length-short"), &["200 xyz", LAST_ANSWER]),
        ("pieces/length-short", 0, ask("pieces/length-short"), &["200 xyz", LAST_ANSWER]),
        ("written/fake-end", 0, ask("written/fake-end"), &["200 0\r\n\r\nHTTP/1.1 200 OK\r\nX-Injected: 1", LAST_ANSWER]),
        ("written/no-content", 0, ask("written/no-content"), &["204", LAST_ANSWER]),
        ("head, length-long", 0, head("length-long"), &["200", LAST_ANSWER]),
        ("head, no-content", 0, head("no-content"), &["204", LAST_ANSWER]),
        ("head, two-lengths", 0, head("two-lengths"), &["200", LAST_ANSWER]),
    ];
    converse(&server, rows);
    // The body of an answer that is not the last one would be taken for the next answer. A client that skips the head of such
    // an answer sees nothing but the end.
    if subject().differs("REQ-452") {
        #[rustfmt::skip] // one row, one line
        let rows: &[Row<'_>] = &[
            ("interim", 0, ask("interim"), &[]),
            ("hints", 0, ask("hints"), &[]),
            ("switching", 0, ask("switching"), &["101"]),
            ("zero", 0, ask("zero"), &["0"]),
            ("head, interim", 0, head("interim"), &[]),
            ("pieces/interim", 0, ask("pieces/interim"), &[]),
            ("written/hints", 0, ask("written/hints"), &[]),
        ];
        converse(&server, rows);
    }
    if subject().differs("REQ-451") {
        #[rustfmt::skip] // one row, one line
        let rows: &[Row<'_>] = &[
            // Apache's own refusal.
            ("own-identity", 0, ask("own-identity"), &["500"]),
            ("length-and-chunks", 0, ask("length-and-chunks"), &["200 (cut short)"]),
            ("head, own-chunks", 0, head("own-chunks"), &["200"]),
        ];
        converse(&server, rows);
    }
    // Apache refuses it itself; the original's embedded error page is cut short.
    let told = conversation(&server, 0, &ask("value-control"));
    assert!(told.len() == 1 && told[0].starts_with("500"), "{told:?}");
    // An application that frames its answer itself may be wrong about its end: the connection ends with it.
    let mut connection = server.connect();
    connection.send_bytes(ask("own-chunks"));
    let answer = connection.read_answer("GET").expect("an answer");
    let closes = answer.header("Connection") == Some("close");
    assert_eq!(closes, subject().differs("REQ-451"), "{}", answer.shown());
    if closes {
        let rest = connection.read_to_end().expect("an orderly end");
        assert_eq!(String::from_utf8_lossy(&rest), "HTTP/1.1 200 OK\r\n\r\n");
    }
    let told = conversation(&server, 0, &ask("length-long"));
    if subject().differs("REQ-448") {
        assert_eq!(told, ["200 xyz (cut short)"]);
    } else {
        // What follows is taken for the missing bytes.
        assert!(told[0].starts_with("200 xyzHTTP/1.1 200 OK"), "{told:?}");
    }
    server.allow_log("WSGI0174");
    server.expect_log("AH02430");
}
matrix!(framing_of_answers: event / embedded daemon);

/// REQ-452: over HTTP/2 the stream of an answer that is not the last one is reset, and the next request is served.
fn interim_answers_over_http2(mpm: Mpm, mode: Mode) {
    let server = Site::new(mpm, mode)
        .modules(&["http2"])
        .file("apps/answers.wsgi", ANSWERS)
        .config("Protocols h2c http/1.1\nWSGIScriptAlias /answers {apps}/answers.wsgi")
        .start();
    let browser = Curl::http2(&server);
    for case in ["interim", "hints", "switching", "zero"] {
        let answer = browser.get(&format!("/answers/{case}"));
        assert_ne!(answer.exit, 0, "{case}: {}", answer.head);
        assert_eq!(answer.text(), "", "{case}");
        let answer = browser.get("/answers/length-zero").expect(200);
        assert_eq!((answer.version.as_str(), answer.exit), ("2", 0), "{case}");
    }
}
matrix!(interim_answers_over_http2: event / embedded daemon);
