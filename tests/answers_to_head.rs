//! Answers to HEAD over HTTP/2.

use wsgi_harness::{Curl, Mode, Mpm, Site, app, matrix, subject};

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
