//! What a child reads from a connection: frames of a daemon, whose application may have written them. What is understood is
//! encoded to the same bytes, and nothing is copied for it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wsgi_core::control::MAX_RECORD;
use wsgi_core::wire::{
    AnswerEnd, AnswerHead, FileSpan, HEADER_LEN, Kind, Log, Refusal, Welcome, WireError,
    encode_plain, whole_frame,
};
use wsgi_fuzz::within;

fuzz_target!(|input: &[u8]| {
    let mut rest = input;
    while let Ok(Some((header, payload))) = within(0, || whole_frame(rest)) {
        let (frame, behind) = rest.split_at(HEADER_LEN + payload.len());
        rest = behind;
        let mut again = Vec::new();
        if encode(header.kind, payload, &mut again).is_ok() {
            // The decoders do not see the flags.
            again[1] = header.flags;
            assert_eq!(again, frame);
        }
    }
});

/// Decodes a payload and encodes what it says.
fn encode(kind: Kind, payload: &[u8], out: &mut Vec<u8>) -> Result<(), WireError> {
    match kind {
        Kind::Welcome => within(0, || Welcome::decode(payload))?.encode(out),
        Kind::Refused => within(0, || Refusal::decode(payload))?.encode(out),
        Kind::End => within(0, || AnswerEnd::decode(payload))?.encode(out),
        Kind::File => {
            let span = within(0, || FileSpan::decode(payload))?;
            let end = span.offset.checked_add(span.len);
            assert!(end.is_some_and(|end| i64::try_from(end).is_ok()));
            span.encode(out);
        }
        Kind::Log => {
            let log = within(0, || Log::decode(payload))?;
            assert!(log.level <= 15 && log.text.len() <= MAX_RECORD);
            log.encode(out);
        }
        Kind::Head => {
            let head = within(0, || AnswerHead::decode(payload))?;
            assert_eq!(head.headers.iter().count(), head.headers.len());
            AnswerHead::encode(out, head.status, head.content_length, head.headers.iter())?;
        }
        _ => encode_plain(out, kind, 0, payload)?,
    }
    Ok(())
}
