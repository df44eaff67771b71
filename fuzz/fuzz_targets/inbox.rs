//! The receive buffer of a child: however a stream is cut, the same frames come out of it, and it grows only for bytes that
//! came.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wsgi_core::inbox::{CAPACITY, Inbox, Piece};
use wsgi_core::wire::{HEADER_LEN, Header, Kind, whole_frame};
use wsgi_fuzz::within;

fuzz_target!(|input: &[u8]| {
    let Some((cut, stream)) = input.split_first() else {
        return;
    };
    let step = usize::from(*cut) + 1;
    let mut inbox = Inbox::new();
    let (mut payloads, mut failed) = (Vec::new(), false);
    // Where Data follows Data, their payloads are compared run together: a piece does not say where its frame began.
    for bytes in stream.chunks(step) {
        // Doubled once for a frame of this length; both buffers are there while it is copied.
        within(3 * CAPACITY.max(input.len()), || {
            inbox.room()[..bytes.len()].copy_from_slice(bytes)
        });
        inbox.filled(bytes.len());
        loop {
            match within(0, || inbox.take()) {
                Ok(Some(Piece::Frame(header, range))) => {
                    assert_eq!(range.len(), header.len);
                    payloads.push((header.kind, inbox.bytes(&range).to_vec()));
                }
                Ok(Some(Piece::Data { range, .. })) => add(&mut payloads, inbox.bytes(&range)),
                Ok(None) => break,
                Err(_) => {
                    failed = true;
                    break;
                }
            }
        }
        if failed {
            break;
        }
    }
    let mut expected = Vec::new();
    let mut rest = stream;
    let error = loop {
        match whole_frame(rest) {
            Ok(Some((header, payload))) => {
                match header.kind {
                    Kind::Data => add(&mut expected, payload),
                    kind => expected.push((kind, payload.to_vec())),
                }
                rest = &rest[HEADER_LEN + payload.len()..];
            }
            Ok(None) => break false,
            Err(_) => break true,
        }
    };
    // Data are given out before their frame is whole.
    if let Ok(Some(Header {
        kind: Kind::Data, ..
    })) = Header::decode(rest)
    {
        if rest.len() > HEADER_LEN {
            add(&mut expected, &rest[HEADER_LEN..]);
        }
    }
    assert_eq!(failed, error);
    assert_eq!(payloads, expected);
    assert!(failed || inbox.is_empty() || !rest.is_empty());
});

fn add(payloads: &mut Vec<(Kind, Vec<u8>)>, bytes: &[u8]) {
    match payloads.last_mut() {
        Some((Kind::Data, payload)) => payload.extend_from_slice(bytes),
        _ => payloads.push((Kind::Data, bytes.to_vec())),
    }
}
