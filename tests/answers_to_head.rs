//! Answers whose body is not sent: to HEAD, and with a status that has none.

use wsgi_harness::{Curl, Mode, Mpm, Request, Site, app, matrix, subject, wait_until};

/// REQ-122, REQ-444, REQ-448, REQ-452: an application runs to its end whether its body is sent or not; also where more of it comes
/// than its Content-Length says.
fn applications_run_to_their_end(mpm: Mpm, mode: Mode) {
    let server = Site::new(mpm, mode).cases().start();
    let url = server.case(
        "running",
        "
def application(environ, start_response):
    name, status, length = environ['QUERY_STRING'].split('&')
    def note(text):
        with open('{data}/' + name, 'a') as file:
            file.write(text + ' ')

    class Body:
        def __iter__(self):
            for text in ('one', 'two', 'three'):
                note(text)
                yield b'x' * 10000
            note('end')

        def close(self):
            note('closed')

    headers = [('Content-Length', length)] if length else []
    write = start_response(status.replace('+', ' '), headers)
    if 'written' in name:
        for text in ('one', 'two', 'three'):
            note(text)
            write(b'x' * 10000)
        note('end')
        note('closed')
        return []
    return Body()
",
    );
    for (method, status, length) in [
        ("GET", "200+OK", ""),
        ("GET", "200+OK", "30000"),
        ("GET", "200+OK", "15000"),
        ("GET", "204+None", ""),
        ("GET", "304+Not", ""),
        ("HEAD", "200+OK", ""),
        ("HEAD", "200+OK", "30000"),
        ("HEAD", "200+OK", "15000"),
    ] {
        for how in ["iterated", "written"] {
            let name = format!("{method}-{how}-{}-{length}", &status[..3]);
            let target = format!("{url}?{name}&{status}&{length}");
            let answer = server.send(&Request::new(method, &target));
            let expected = match (status, method, length) {
                ("200+OK", "GET", "15000") => 15000,
                ("200+OK", "GET", _) => 30000,
                _ => 0,
            };
            assert_eq!(answer.body.len(), expected, "{name}: {}", answer.status);
            let file = server.path(&format!("data/{name}"));
            let noted = wait_until(&name, || {
                let text = std::fs::read_to_string(&file).ok()?;
                text.ends_with("closed ").then_some(text)
            });
            assert_eq!(noted, "one two three end closed ", "{name}");
        }
    }
}
matrix!(applications_run_to_their_end: event / embedded daemon);

/// REQ-120, REQ-122: HEAD over HTTP/2 is answered where the body comes in pieces, with and without filters that need it.
fn head_in_pieces_over_http2(mpm: Mpm, mode: Mode) {
    // Without filters nothing is kept, however long the body is.
    for (filter, method, piece) in [
        ("", "HEAD", 200_000),
        ("SetOutputFilter DEFLATE", "GET", 10),
    ] {
        let whole = 3 * piece;
        let server = Site::new(mpm, mode)
            .modules(&["http2", "filter", "deflate"])
            .cases()
            .config(&format!("Protocols h2c http/1.1\n{filter}"))
            .start();
        let browser = Curl::http2(&server);
        for (name, headers) in [
            ("sized", format!("('Content-Length', '{whole}')")),
            ("unsized", String::new()),
        ] {
            let url = server.case(
                name,
                &app(&format!(
                    "start_response('200 OK', [('X-Method', environ['REQUEST_METHOD']), {headers}])\nreturn [b'a' * {piece}, b'b' * {piece}, b'c' * {piece}]"
                )),
            );
            let answer = browser.run(&url, &["--head"]);
            if subject().differs("REQ-122") {
                let head = answer.expect(200).head.to_ascii_lowercase();
                assert!(
                    head.contains(&format!("x-method: {}", method.to_lowercase())),
                    "{filter}: {head}"
                );
                if filter.is_empty() || name == "sized" {
                    let length = format!("content-length: {whole}");
                    assert_eq!(head.contains(&length), name == "sized", "{filter}: {head}");
                }
            }
        }
    }
}
matrix!(head_in_pieces_over_http2: event / embedded daemon);
