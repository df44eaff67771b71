//! The control channel: what the supervisor, which is root, decodes of a daemon, and a daemon of it. What is understood is
//! encoded to a message that means the same and is no longer, and a length that is only claimed takes next to no memory.
#![no_main]

use std::fmt::Debug;

use libfuzzer_sys::fuzz_target;
use serde::Serialize;
use serde::de::DeserializeOwned;
use wsgi_core::control::{FromDaemon, MAX_MESSAGE, ToDaemon, decode, encode};
use wsgi_fuzz::within;

/// What serde reserves at most for a sequence whose length is only claimed, bytes.
const RESERVED: usize = 1 << 20;

fuzz_target!(|input: &[u8]| {
    // An element of a list takes up to four bytes, and lists grow by doubling, with both there while they are copied.
    message::<FromDaemon>(input, RESERVED + 12 * input.len());
    // Settings hold lists of lists. They come from root.
    message::<ToDaemon>(input, 4 * RESERVED + 600 * input.len());
});

fn message<T: Debug + Serialize + DeserializeOwned>(packet: &[u8], limit: usize) {
    let Ok(message) = within(limit, || decode::<T>(packet)) else {
        return;
    };
    assert!(packet.len() <= MAX_MESSAGE);
    let longer = [packet, &[0]].concat();
    assert!(decode::<T>(&longer).is_err(), "{message:?}");
    let once = encode(&message).expect("it was short enough once");
    assert!(once.len() <= packet.len(), "{message:?}");
    let again = decode::<T>(&once).expect("it was encoded just now");
    // Not the values: a number may be NaN.
    assert_eq!(encode(&again).as_ref(), Ok(&once), "{message:?}");
    assert_eq!(format!("{again:?}"), format!("{message:?}"));
}
