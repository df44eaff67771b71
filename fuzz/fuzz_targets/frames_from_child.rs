//! What a daemon reads from a connection: frames of a child, or of anybody who got that far. What is understood is encoded to
//! the same bytes, and nothing is copied for it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wsgi_core::wire::{FileSpan, Header, Hello, Kind, RequestHead, encode_plain, whole_frame};
use wsgi_fuzz::within;

fuzz_target!(|input: &[u8]| {
    let mut rest = input;
    while let Ok(Some((header, payload))) = within(0, || whole_frame(rest)) {
        let (frame, behind) = rest.split_at(wsgi_core::wire::HEADER_LEN + payload.len());
        rest = behind;
        assert!(payload.len() == header.len && header.len <= header.kind.limit());
        assert_eq!(Header::decode(&header.encode()), Ok(Some(header)));
        let mut again = Vec::new();
        match header.kind {
            Kind::Hello => {
                let Ok(hello) = within(0, || Hello::decode(payload)) else {
                    continue;
                };
                hello.encode(&mut again);
                // The flags of a Hello say nothing.
                again[1] = header.flags;
            }
            Kind::BodyFile => {
                let Ok(span) = within(0, || FileSpan::decode(payload)) else {
                    continue;
                };
                let end = span.offset.checked_add(span.len);
                assert!(end.is_some_and(|end| i64::try_from(end).is_ok()));
                span.encode_body(&mut again);
                again[1] = header.flags;
            }
            Kind::Request => {
                let Ok(head) = within(0, || RequestHead::decode(payload)) else {
                    continue;
                };
                assert_eq!(head.environ.iter().count(), head.environ.len());
                head.encode(&mut again, header.flags, head.environ.iter())
                    .expect("it was short enough once");
            }
            kind => encode_plain(&mut again, kind, header.flags, payload)
                .expect("it was short enough once"),
        }
        assert_eq!(again, frame);
    }
});
