//! Heads of answers: whatever status and headers an application or a daemon gives, nothing that reaches the client ends a line, no
//! length disagrees with what is sent, and lines are within their limit.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wsgi_core::answer::daemon::{Answer, Rules, Verdict, interpret};
use wsgi_core::answer::head::{check_header, check_status, parse_content_length};

fuzz_target!(|input: &[u8]| {
    // The first line is the status, and each line behind it `NAME: VALUE`; lines end with 0xff, so that the others can be in them.
    let mut lines = input.split(|byte| *byte == 0xff);
    let status = lines.next().unwrap_or_default();
    let headers: Vec<(&[u8], Option<&[u8]>)> = lines
        .map(|line| match line.iter().position(|byte| *byte == b'|') {
            Some(at) => (&line[..at], Some(&line[at + 1..])),
            None => (line, None),
        })
        .collect();
    let rules = Rules {
        error_override: status.len() % 2 == 1,
        header_buffer_size: 200,
    };
    let accepted = check_status(status).is_ok()
        && headers
            .iter()
            .all(|(name, value)| check_header(name, value.unwrap_or(b"")).is_ok());
    for (_, value) in &headers {
        if let Ok(length) = parse_content_length(value.unwrap_or(b"")) {
            assert!(i64::try_from(length).is_ok());
            assert_eq!(
                parse_content_length(length.to_string().as_bytes()),
                Ok(length)
            );
        }
    }
    match interpret(status, headers.iter().copied(), rules) {
        Err(error) => {
            let text = error.to_string();
            assert!(
                text.len() < 2000 && text.is_ascii() && !text.contains(char::is_control),
                "{text}"
            );
            assert_eq!(error.status(), 500);
        }
        Ok(verdict) => {
            assert!(accepted, "it was let through");
            match verdict {
                Verdict::Answer(answer) => check(&answer, status, headers.len()),
                Verdict::InternalRedirect {
                    path,
                    error_headers,
                } => {
                    assert!(
                        path.starts_with(b"/") && is_one_line(path) && status.starts_with(b"200")
                    );
                    check_lines(error_headers.into_iter());
                }
                Verdict::ErrorPage {
                    code,
                    error_headers,
                } => {
                    assert!(rules.error_override && (400..600).contains(&code));
                    check_lines(error_headers.into_iter());
                }
            }
        }
    }
});

fn check(answer: &Answer<'_>, status: &[u8], count: usize) {
    assert!(answer.code <= 999 && answer.status_line == status && is_one_line(status));
    assert!(answer.headers.len() + answer.error_headers.len() <= count);
    check_lines(answer.headers.iter().map(|(name, value)| (*name, &**value)));
    check_lines(answer.error_headers.iter().copied());
    for (name, _) in &answer.headers {
        for special in [
            "Content-Length",
            "Content-Type",
            "Last-Modified",
            "WWW-Authenticate",
        ] {
            assert!(!name.eq_ignore_ascii_case(special.as_bytes()));
        }
        let same = answer
            .headers
            .iter()
            .filter(|(other, _)| other.eq_ignore_ascii_case(name));
        assert!(same.count() == 1 || name.eq_ignore_ascii_case(b"Set-Cookie"));
    }
    let content_type = answer.content_type.as_deref().unwrap_or_default();
    assert!(is_one_line(content_type) && is_one_line(answer.last_modified.unwrap_or_default()));
    assert!(
        answer
            .content_length
            .is_none_or(|length| i64::try_from(length).is_ok())
    );
}

fn check_lines<'h>(headers: impl Iterator<Item = (&'h [u8], &'h [u8])>) {
    for (name, value) in headers {
        assert!(!name.is_empty() && is_one_line(name) && is_one_line(value));
        assert!(!name.iter().any(|byte| matches!(byte, b':' | b' ' | b'\t')));
    }
}

fn is_one_line(text: &[u8]) -> bool {
    !text.iter().any(|byte| matches!(byte, 0 | b'\r' | b'\n'))
}
