//! Request headers on their way into the environ, and the checks of a request's body: names that could pass for another header do
//! not get in, each name is there once, and only a body with one clear length is let through.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wsgi_core::request::environ::{Environ, cgi_header_name, is_internal_key};
use wsgi_core::request::precheck::{BodyFacts, check_body};
use wsgi_fuzz::values;

fuzz_target!(|input: &[u8]| {
    let [encoding, length, headers] = values(input);
    check_length(encoding, length);

    let mut environ = Environ::with_capacity(8);
    environ.set(&b"HTTPS"[..], Some(length));
    environ.set(&b"PATH"[..], Some(b"/bin"));
    let mut total = 0;
    for line in headers.split(|byte| *byte == b'\n') {
        let colon = line
            .iter()
            .position(|byte| *byte == b':')
            .unwrap_or(line.len());
        let (name, value) = line.split_at(colon);
        match cgi_header_name(name) {
            Some(key) => {
                assert_eq!(key.len(), name.len() + 5);
                // An underscore would make it pass for the header with a hyphen.
                assert!(!name.contains(&b'_'));
                assert!(
                    key.bytes()
                        .all(|b| b == b'_' || b.is_ascii_uppercase() || b.is_ascii_digit())
                );
                total += value.len() + 2;
                environ.add_header(key, value);
            }
            None => {
                assert!(
                    name.is_empty()
                        || name
                            .iter()
                            .any(|b| !b.is_ascii_alphanumeric() && *b != b'-')
                );
                // As mod_env may do.
                environ.set(name, Some(value));
            }
        }
    }
    for (index, (name, _)) in environ.iter().enumerate() {
        assert!(environ.iter().take(index).all(|(other, _)| other != name));
    }
    let https = environ.decide_https(false, false);
    environ.remove_consumed();
    assert!(!environ.contains(b"HTTPS") && !environ.contains(b"PATH"));
    assert!(!environ.iter().any(|(name, _)| is_internal_key(name)));
    let held = environ
        .iter()
        .filter(|(name, _)| name.starts_with(b"HTTP_"));
    let held: usize = held.map(|(_, value)| value.map_or(0, <[u8]>::len)).sum();
    assert!(held <= total + headers.len());
    assert_eq!(https, https && !environ.contains(b"HTTPS"));
});

fn check_length(encoding: &[u8], length: &[u8]) {
    for transfer_encoding in [None, Some(encoding)] {
        let facts = BodyFacts {
            transfer_encoding,
            content_length: Some(length),
            limit: Some(1000),
            chunked_allowed: true,
        };
        match check_body(&facts) {
            Ok(()) => match transfer_encoding {
                Some(encoding) => assert!(encoding.eq_ignore_ascii_case(b"chunked")),
                None => {
                    assert!(!length.is_empty() && length.iter().all(u8::is_ascii_digit));
                    let text = std::str::from_utf8(length).expect("digits");
                    assert!(text.parse::<u64>().is_ok_and(|length| length <= 1000));
                }
            },
            Err(refused) => assert!([400, 411, 413, 501].contains(&refused.status)),
        }
    }
}
