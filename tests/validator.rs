//! `wsgiref.validate` around an application stays silent: what the module hands over keeps PEP 3333.

use wsgi_harness::{Mode, Mpm, Request, Server, Site, matrix};

const VALIDATED: &str = r#"
from wsgiref.validate import validator


@validator
def application(environ, start_response):
    length = 0
    stream = environ["wsgi.input"]
    if environ["QUERY_STRING"] == "lines":
        for line in stream:
            length += len(line)
    elif environ["QUERY_STRING"] == "readline":
        while True:
            line = stream.readline()
            if not line:
                break
            length += len(line)
    elif environ["QUERY_STRING"] == "readlines":
        length = sum(len(line) for line in stream.readlines())
    else:
        while True:
            block = stream.read(65536)
            if not block:
                break
            length += len(block)
    environ["wsgi.errors"].write("validated\n")
    environ["wsgi.errors"].flush()
    if environ["PATH_INFO"] == "/write":
        write = start_response("200 OK", [("Content-Type", "text/plain")])
        write(b"%d" % length)
        return []
    if environ["PATH_INFO"] == "/empty":
        start_response("204 No Content", [])
        return []
    if environ["PATH_INFO"] == "/large":
        start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(1 << 20))])
        return [b"x" * 65536] * 16
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"%d" % length]
"#;

fn server(mpm: Mpm, mode: Mode) -> Server {
    Site::new(mpm, mode)
        .config("WSGIChunkedRequest On")
        .script("/validated", VALIDATED)
        .start()
}

/// REQ-400, REQ-402, REQ-435, REQ-440, REQ-444, REQ-500, REQ-501, REQ-502, REQ-503, ENV-40, ENV-41, ENV-42, ENV-43,
/// ENV-44, ENV-45, ENV-46: GET, POST, HEAD, large and empty.
fn silent(mpm: Mpm, mode: Mode) {
    let server = server(mpm, mode);
    server.allow_log("validated.wsgi] validated");
    let mut connection = server.connect();
    let large = "x".repeat(99) + "\n";
    let large = large.repeat(20_000);
    for (request, text) in [
        (Request::get("/validated"), "0"),
        (Request::get("/validated/path?query"), "0"),
        (Request::post("/validated", ""), "0"),
        (
            Request::post("/validated", "hello").header("Content-Type", "text/plain"),
            "5",
        ),
        (Request::post("/validated", large.clone()), "2000000"),
        (Request::post("/validated?lines", large.clone()), "2000000"),
        (
            Request::post("/validated?readline", large.clone()),
            "2000000",
        ),
        (
            Request::post("/validated?readlines", large.clone()),
            "2000000",
        ),
        (
            Request::new("PUT", "/validated").chunked(["a", "bc", "def"]),
            "6",
        ),
        (Request::post("/validated/write", "hello"), "5"),
        (
            Request::get("/validated/")
                .header("X-Several", "a")
                .header("X-Several", "b"),
            "0",
        ),
    ] {
        assert_eq!(
            connection.send(&request).expect(200).text(),
            text,
            "{}",
            request.method()
        );
    }
    assert_eq!(
        connection
            .send(&Request::head("/validated"))
            .expect(200)
            .body
            .len(),
        0
    );
    assert_eq!(
        connection
            .send(&Request::head("/validated/large"))
            .expect(200)
            .header("Content-Length"),
        Some("1048576")
    );
    assert_eq!(
        connection
            .send(&Request::get("/validated/large"))
            .expect(200)
            .body
            .len(),
        1 << 20
    );
    assert_eq!(
        connection.send(&Request::get("/validated/empty")).status,
        204
    );
}
matrix!(silent);
