//! Tests of the interpretation of a daemon's head, row by row.

use super::*;
use proptest::prelude::*;

type Headers<'a> = [(&'a str, &'a str)];

fn interpreted<'a>(
    status: &'a str,
    headers: &'a Headers<'a>,
    rules: Rules,
) -> Result<Verdict<'a>, HeadError> {
    let headers = headers
        .iter()
        .map(|(name, value)| (name.as_bytes(), Some(value.as_bytes())));
    interpret(status.as_bytes(), headers, rules)
}

fn answer<'a>(status: &'a str, headers: &'a Headers<'a>) -> Answer<'a> {
    match interpreted(status, headers, Rules::default()) {
        Ok(Verdict::Answer(answer)) => answer,
        other => panic!("{other:?}"),
    }
}

fn text<'t>(headers: impl IntoIterator<Item = (&'t [u8], &'t [u8])>) -> Vec<String> {
    let one = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    headers
        .into_iter()
        .map(|(name, value)| format!("{}: {}", one(name), one(value)))
        .collect()
}

fn headers_of(answer: &Answer<'_>) -> Vec<String> {
    text(answer.headers.iter().map(|(name, value)| (*name, &**value)))
}

const OVERRIDE: Rules = Rules {
    error_override: true,
    header_buffer_size: 32768,
};

/// REQ-457, DMN-315, DMN-317, DMN-318: what is merged, replaced and kept apart, and the order.
#[test]
fn headers_are_put_together() {
    let answer = answer(
        "200 OK",
        &[
            ("Set-Cookie", "a=1"),
            ("X-A", "1"),
            ("Location", "http://a/"),
            ("x-a", "2"),
            ("Content-Length", "1"),
            ("WWW-Authenticate", "Basic"),
            ("set-cookie", "b=2"),
            ("LOCATION", "http://b/"),
            ("Content-Length", "2"),
            ("Content-Range", "bytes 0-1/2"),
            ("Content-Range", "bytes 1-2/3"),
            ("Transfer-Encoding", "gzip"),
            ("Transfer-Encoding", "chunked"),
            ("www-authenticate", "Digest"),
            ("X-A", "3"),
        ],
    );
    assert_eq!(
        headers_of(&answer),
        [
            "X-A: 1, 2, 3",
            "Location: http://b/",
            "Content-Range: bytes 1-2/3",
            "Transfer-Encoding: chunked",
            "Set-Cookie: a=1",
            "set-cookie: b=2",
        ]
    );
    assert_eq!(answer.content_length, Some(2));
    let error_headers = text(answer.error_headers);
    assert_eq!(
        error_headers,
        ["WWW-Authenticate: Basic", "www-authenticate: Digest"]
    );
}

/// REQ-447: Content-Length is given as a number, as the application could write it.
#[test]
fn content_length_is_a_number() {
    assert_eq!(answer("200 OK", &[]).content_length, None);
    assert_eq!(
        answer("200 OK", &[("content-length", "")]).content_length,
        Some(0)
    );
    assert_eq!(
        answer("200 OK", &[("Content-Length", " +7")]).content_length,
        Some(7)
    );
}

/// REQ-458, DMN-313, DMN-316: Content-Type and Last-Modified are given apart.
#[test]
fn content_type_and_date_are_given_apart() {
    let answer = answer(
        "200 OK",
        &[
            ("content-type", "image/png"),
            ("Content-Type", " Text/HTML; Charset=\"UTF-8\" \t"),
            ("Last-Modified", " yesterday"),
        ],
    );
    assert_eq!(
        answer.content_type.as_deref(),
        Some(&b"text/html; Charset=\"UTF-8\""[..])
    );
    assert_eq!(answer.last_modified, Some(&b"yesterday"[..]));
    assert!(answer.headers.is_empty());
    assert!(matches!(
        normal_content_type(b"text/html"),
        Cow::Borrowed(b"text/html")
    ));
    assert_eq!(normal_content_type(b"  "), &b""[..]);
}

/// REQ-458, DMN-310: blanks before a value go.
#[test]
fn leading_blanks_go() {
    assert_eq!(
        headers_of(&answer("200 OK", &[("X", " \tb c ")])),
        ["X: b c "]
    );
    assert_eq!(headers_of(&answer("200 OK", &[("X", "  ")])), ["X: "]);
}

/// REQ-459, DMN-314: a header named Status is a header.
#[test]
fn a_status_header_does_not_change_the_status() {
    let answer = answer("200 OK", &[("Status", "404 Gone")]);
    assert_eq!((answer.code, answer.status_line), (200, &b"200 OK"[..]));
    assert_eq!(headers_of(&answer), ["Status: 404 Gone"]);
}

/// REQ-460, DMN-320: no status line has a meaning of its own.
#[test]
fn two_hundred_error_is_an_answer() {
    assert_eq!(answer("200 Error", &[]).status_line, b"200 Error");
}

/// REQ-456, DMN-321: only 200, any reason, with a path.
#[test]
fn internal_redirects() {
    for (status, location, path) in [
        ("200 OK", "/x?y", Some("/x?y")),
        ("200", "//x", Some("//x")),
        ("200 OK", " /x", Some("/x")),
        ("200 OK", "http://a/", None),
        ("200 OK", "", None),
        ("201 Created", "/x", None),
        ("302 Found", "/x", None),
    ] {
        let headers = [
            ("Location", location),
            ("Set-Cookie", "a"),
            ("WWW-Authenticate", "Basic"),
        ];
        match interpreted(status, &headers, OVERRIDE).unwrap() {
            Verdict::InternalRedirect {
                path: found,
                error_headers,
            } => {
                assert_eq!(Some(found), path.map(str::as_bytes), "{status} {location}");
                assert_eq!(text(error_headers), ["WWW-Authenticate: Basic"]);
            }
            Verdict::Answer(_) if path.is_none() => {}
            other => panic!("{status} {location}: {other:?}"),
        }
    }
    // The last Location counts, as in the answer.
    let headers = [("Location", "/x"), ("Location", "http://a/")];
    let last = interpreted("200 OK", &headers, OVERRIDE).unwrap();
    assert!(matches!(last, Verdict::Answer(_)));
}

/// REQ-455, DMN-322: 400 to 599 with WSGIErrorOverride; only WWW-Authenticate stays.
#[test]
fn error_pages() {
    for (status, is_page) in [
        ("399 x", false),
        ("400 x", true),
        ("404", true),
        ("599 x", true),
        ("600 x", false),
        ("200 OK", false),
    ] {
        let headers = [
            ("Set-Cookie", "a"),
            ("WWW-Authenticate", "Basic"),
            ("X", "y"),
        ];
        match interpreted(status, &headers, OVERRIDE).unwrap() {
            Verdict::ErrorPage {
                code,
                error_headers,
            } if is_page => {
                assert_eq!(code.to_string(), status[..3]);
                assert_eq!(text(error_headers), ["WWW-Authenticate: Basic"]);
            }
            Verdict::Answer(_) if !is_page => {}
            other => panic!("{status}: {other:?}"),
        }
        let without = interpreted(status, &headers, Rules::default()).unwrap();
        assert!(matches!(without, Verdict::Answer(_)));
    }
}

/// REQ-461, DMN-303, DMN-312: 32766 bytes of `Name: value` fit into the default buffer, one more does not. The
/// count of lines is not limited.
#[test]
fn long_lines_are_refused() {
    let fits = "v".repeat(32766 - "X: ".len());
    let many = vec![("X", &*fits); 20];
    assert_eq!(answer("200 OK", &many).headers.len(), 1);
    let long = format!("{fits}v");
    let error = interpreted("200 OK", &[("X", &long)], Rules::default()).unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("WSGI0144: response header 'X'"),
        "{error}"
    );
    assert!(error.to_string().contains("allows 32766"), "{error}");
    assert_eq!(error.status(), 500);
    let status = format!("200 {long}");
    assert!(interpreted(&status, &[], Rules::default()).is_err());
    let small = Rules {
        header_buffer_size: 8192,
        ..Rules::default()
    };
    assert!(interpreted("200 OK", &[("X", &fits)], small).is_err());
}

/// DMN-304, DMN-319: what is no header is refused, whoever sent it.
#[test]
fn malformed_heads_are_refused() {
    for (status, name, value) in [
        ("200 OK", "X:Y", "v"),
        ("200 OK", "", "v"),
        ("200 OK", "X", "a\r\nSet-Cookie: b"),
        ("200 OK", "Content-Length", "5, 6"),
        ("200 OK", "Content-Length", "-1"),
        ("OK", "X", "v"),
        ("200 O\nK", "X", "v"),
    ] {
        let headers = [(name, value)];
        let error = interpreted(status, &headers, Rules::default()).unwrap_err();
        assert!(error.to_string().starts_with("WSGI0148: "), "{error}");
    }
}

proptest! {
    /// REQ-457: any head is borne; no name is left twice but Set-Cookie, and no value is lost by merging.
    #[test]
    fn names_are_unique(
        names in proptest::collection::vec(
            proptest::sample::select(vec!["X", "x", "Y", "Set-Cookie", "Location", "set-cookie"]), 0..9),
        value in "[ a-z\\r]{0,4}",
    ) {
        let headers: Vec<_> =
            names.iter().map(|name| (name.as_bytes(), Some(value.as_bytes()))).collect();
        match interpret(b"201 Created", headers, Rules::default()) {
            Err(_) => prop_assert!(value.contains('\r') && !names.is_empty()),
            Ok(Verdict::Answer(answer)) => {
                let is_cookie = |name: &[u8]| name.eq_ignore_ascii_case(b"Set-Cookie");
                for (position, (name, _)) in answer.headers.iter().enumerate() {
                    let again = answer.headers[..position].iter()
                        .any(|(other, _)| other.eq_ignore_ascii_case(name));
                    prop_assert!(!again || is_cookie(name));
                }
                let count = |wanted: &str| {
                    names.iter().filter(|name| name.eq_ignore_ascii_case(wanted)).count()
                };
                let cookies = answer.headers.iter().filter(|(name, _)| is_cookie(name)).count();
                prop_assert_eq!(cookies, count("set-cookie"));
                let merged = answer.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case(b"x"));
                let values = merged.map_or(0, |(_, value)| {
                    value.iter().filter(|byte| **byte == b',').count() + 1
                });
                prop_assert_eq!(values, count("x"));
            }
            Ok(other) => prop_assert!(false, "{:?}", other),
        }
    }
}
