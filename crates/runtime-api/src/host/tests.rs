//! The C functions of a transport, called as the runtime calls them.

use super::*;
use std::mem::MaybeUninit;

#[derive(Default)]
struct Fake {
    body: Vec<u8>,
    sent: Vec<u8>,
    panics: bool,
}

impl Transport for Fake {
    fn read_body(&mut self, buffer: &mut BodyBuffer<'_>) -> Result<(), ReadError> {
        assert!(!self.panics, "a panic on purpose");
        let taken = buffer.put(&self.body);
        self.body.drain(..taken);
        Ok(())
    }

    fn send_head(
        &mut self,
        status: &[u8],
        headers: Headers<'_>,
        length: Option<u64>,
    ) -> Result<(), SendError> {
        self.sent.extend_from_slice(status);
        for (name, value) in headers.iter() {
            self.sent.extend_from_slice(name);
            self.sent.extend_from_slice(value);
        }
        if length.is_none() {
            Ok(())
        } else {
            Err(SendError::Gone)
        }
    }

    fn send_data(&mut self, blocks: Blocks<'_>, _flags: u32) -> Result<(), SendError> {
        blocks
            .iter()
            .for_each(|block| self.sent.extend_from_slice(block));
        Ok(())
    }

    fn send_file(
        &mut self,
        _file: BorrowedFd<'_>,
        _offset: u64,
        _len: u64,
        _flags: u32,
    ) -> Result<(), SendError> {
        Err(SendError::Failed)
    }

    fn log(&mut self, level: u8, _flags: u32, _text: &[u8]) {
        assert!(level <= 15);
    }

    fn log_enabled(&self, level: u8) -> bool {
        level <= 6
    }

    fn last_error(&self) -> Option<&[u8]> {
        Some(b"why")
    }
}

fn context(fake: &mut Fake) -> *mut c_void {
    (&raw mut *fake).cast()
}

#[test]
fn calls_reach_the_transport_with_checked_arguments() {
    let mut fake = Fake {
        body: b"abcdef".to_vec(),
        ..Fake::default()
    };
    let table = Calls::<Fake>::TABLE;
    let mut buffer = [MaybeUninit::<u8>::uninit(); 4];
    let read = |fake: &mut Fake, buffer: &mut [MaybeUninit<u8>]| {
        // SAFETY: context and buffer are valid for the call.
        unsafe { (table.read_body)(context(fake), buffer.as_mut_ptr().cast(), buffer.len()) }
    };
    assert_eq!(read(&mut fake, &mut buffer), 4);
    assert_eq!(read(&mut fake, &mut []), 0);
    assert_eq!(read(&mut fake, &mut buffer), 2);
    assert_eq!(read(&mut fake, &mut buffer), 0);

    let pairs = [Pair {
        name: Bytes::of(b"N"),
        value: Bytes::of(b"V"),
    }];
    let status = Bytes::of(b"200 OK");
    // SAFETY: context and pairs are valid for the call.
    let sent = unsafe { (table.send_head)(context(&mut fake), status, pairs.as_ptr(), 1, -1) };
    assert_eq!((sent, &fake.sent[..]), (SENT, &b"200 OKNV"[..]));
    // SAFETY: as above.
    let sent = unsafe { (table.send_head)(context(&mut fake), status, pairs.as_ptr(), 1, 5) };
    assert_eq!(sent, CLIENT_GONE);
    // SAFETY: null with a length of 0 is allowed.
    let sent = unsafe { (table.send_data)(context(&mut fake), std::ptr::null(), 0, 0) };
    assert_eq!(sent, SENT);
    // SAFETY: no descriptor is touched for -1 or a negative span.
    let sent = unsafe { (table.send_file)(context(&mut fake), -1, 0, 5, 0) };
    assert_eq!(sent, SEND_FAILED);
    // SAFETY: context and text are valid for the call.
    unsafe { (table.log)(context(&mut fake), 99, 0, Bytes::of(b"x")) };
    // SAFETY: the context is valid for the call.
    let text = unsafe { (table.last_error)(context(&mut fake)) };
    // SAFETY: the transport is not changed while its text is used.
    let text = unsafe { text.get() };
    assert_eq!(text, Some(&b"why"[..]));
}

#[test]
fn a_panic_does_not_cross_the_table() {
    let mut fake = Fake {
        panics: true,
        ..Fake::default()
    };
    let mut buffer = [0_u8; 4];
    // SAFETY: context and buffer are valid for the call.
    let read =
        unsafe { (Calls::<Fake>::TABLE.read_body)(context(&mut fake), buffer.as_mut_ptr(), 4) };
    assert_eq!(read, READ_FAILED);
}
