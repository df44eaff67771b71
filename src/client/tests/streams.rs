//! Answers to streams of HTTP/2, which have no socket that could be waited on: their room is looked for.

use std::sync::atomic::{AtomicBool, Ordering};

use super::*;

/// A stream with this room, and what has been passed to it each time.
fn stream_side(rooms: impl Fn() -> usize + 'static) -> (Side, Receiver<usize>) {
    let (on_pass, passed) = channel();
    let side = Side {
        is_stream: true,
        rooms: Some(Box::new(rooms)),
        on_pass: Some(on_pass),
        patience: LONG,
        ..Side::default()
    };
    (side, passed)
}

fn data(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    for piece in bytes.chunks(10_000) {
        encode_plain(&mut out, Kind::Data, 0, piece).unwrap();
    }
    out
}

/// Issue: a daemon gets rid of its answer while the stream takes nothing. Room is found while the daemon is silent, and not more is
/// passed at a time.
#[test]
fn a_stream_does_not_hold_its_daemon() {
    let rig = Rig::new();
    let bytes = pattern(3_000_000);
    let is_open = Arc::new(AtomicBool::new(false));
    let asked = Cell::new(0);
    let (mut side, passed) = stream_side({
        let is_open = Arc::clone(&is_open);
        move || {
            asked.set(asked.get() + 1);
            match is_open.load(Ordering::Acquire) {
                true if asked.get() % 3 > 0 => 9_000,
                _ => 0,
            }
        }
    });
    let daemon = rig.daemon({
        let bytes = bytes.clone();
        move |listener| {
            let mut peer = Peer::greeted(&listener);
            peer.head();
            peer.body();
            peer.send(&begun(b""));
            // More than the kernel keeps.
            peer.send(&data(&bytes));
            is_open.store(true, Ordering::Release);
            let mut before = 0;
            while before < bytes.len() {
                let all = passed.recv_timeout(LONG).expect("room is looked for");
                assert!(all - before <= 9_000, "{before} {all}");
                before = all;
            }
            peer.send(&end());
        }
    });
    assert_eq!(rig.get(&mut side).unwrap(), Outcome::Done);
    assert!(side.out == bytes && side.ended);
    daemon.join().unwrap();
}

/// A stream that takes everything gets it without a detour, and a flush only where the daemon pauses.
#[test]
fn a_quick_stream_is_not_flushed() {
    let rig = Rig::new();
    let bytes = pattern(3_000_000);
    let (mut side, _passed) = stream_side(|| 32 << 10);
    side.no_folder = true;
    let daemon = rig.daemon({
        let bytes = bytes.clone();
        move |listener| {
            let mut peer = Peer::greeted(&listener);
            peer.head();
            peer.body();
            peer.send(&begun(b""));
            peer.send(&data(&bytes));
            peer.send(&end());
        }
    });
    assert_eq!(rig.get(&mut side).unwrap(), Outcome::Done);
    assert!(side.out == bytes && side.ended);
    assert!(
        side.flushes < side.passes / 2,
        "{} {}",
        side.flushes,
        side.passes
    );
    assert!(side.records.is_empty(), "{:?}", side.records);
    daemon.join().unwrap();
}

/// What a filter keeps until a flush counts as not taken: it gets one.
#[test]
fn bytes_that_only_a_flush_moves_are_flushed() {
    let rig = Rig::new();
    let flushed = Arc::new(AtomicBool::new(false));
    let (mut side, passed) = stream_side({
        let flushed = Arc::clone(&flushed);
        let asked = Cell::new(0);
        move || {
            asked.set(asked.get() + 1);
            if asked.get() == 1 || flushed.load(Ordering::Acquire) {
                4
            } else {
                0
            }
        }
    });
    let (on_flush, is_flushed) = channel();
    side.on_flush = Some(on_flush);
    let filter = std::thread::spawn(move || {
        is_flushed.recv_timeout(LONG).unwrap();
        flushed.store(true, Ordering::Release);
    });
    let daemon = rig.daemon(move |listener| {
        let mut peer = Peer::greeted(&listener);
        peer.head();
        peer.body();
        peer.send(&begun(b"1234567"));
        while passed.recv_timeout(LONG).expect("a flush comes") < 7 {}
        peer.send(&end());
    });
    assert_eq!(rig.get(&mut side).unwrap(), Outcome::Done);
    assert_eq!(String::from_utf8_lossy(&side.out), "1234567");
    filter.join().unwrap();
    daemon.join().unwrap();
}

/// DMN-336: a stream that takes nothing for its timeout is given up.
#[test]
fn a_stream_that_takes_nothing_is_given_up() {
    let rig = Rig::new();
    let daemon = rig.daemon(|listener| {
        let mut peer = Peer::greeted(&listener);
        peer.head();
        peer.body();
        peer.send(&begun(&pattern(900_000)));
        let _ = peer.stream.read(&mut [0]);
    });
    let (mut side, _passed) = stream_side(|| 0);
    side.patience = SHORT;
    assert_eq!(rig.get(&mut side).unwrap(), Outcome::ClientGone);
    assert_eq!(side.records, ["given up"]);
    assert!(side.out.is_empty());
    daemon.join().unwrap();
}
