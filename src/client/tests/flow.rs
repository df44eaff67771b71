//! When data is passed, flushed and ended, and what becomes of a request that cannot be sent whole.

use std::net::Shutdown;

use super::*;

/// Larger than the sockets' buffers.
const LARGE: usize = 4 << 20;

/// A rig whose child waits as long as a test for more data before it flushes.
fn patient() -> Rig {
    let mut rig = Rig::new();
    rig.group.limits.flush_delay = LONG;
    rig
}

fn data(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    encode_plain(&mut out, Kind::Data, 0, bytes).unwrap();
    out
}

/// DMN-330, DMN-331: each block is passed when it comes, and not flushed as long as others follow in time.
#[test]
fn blocks_are_passed_without_a_flush() {
    let rig = patient();
    let (on_pass, passed) = channel();
    let daemon = rig.daemon(move |listener| {
        let mut peer = Peer::greeted(&listener);
        peer.head();
        peer.body();
        peer.send(&begun(b"a"));
        for block in [b"b", b"c"] {
            passed.recv().unwrap();
            peer.send(&data(block));
        }
        assert_eq!(passed.recv(), Ok(3));
        peer.send(&end());
    });
    let mut side = Side {
        on_pass: Some(on_pass),
        ..Side::default()
    };
    assert_eq!(rig.get(&mut side).unwrap(), Outcome::Done);
    assert_eq!((&side.out[..], side.flushes), (&b"abc"[..], 0));
    assert_eq!((side.passes, side.ended), (4, true));
    daemon.join().unwrap();
}

/// DMN-331: without a delay what came is flushed at once.
#[test]
fn without_a_delay_blocks_are_flushed() {
    let mut rig = patient();
    rig.group.limits.flush_delay = Duration::ZERO;
    let (on_flush, flushed) = channel();
    let daemon = rig.daemon(move |listener| {
        let mut peer = Peer::greeted(&listener);
        peer.head();
        peer.body();
        peer.send(&begun(b"a"));
        flushed.recv().unwrap();
        peer.send(&end());
    });
    let mut side = Side {
        on_flush: Some(on_flush),
        ..Side::default()
    };
    assert_eq!(rig.get(&mut side).unwrap(), Outcome::Done);
    assert_eq!((&side.out[..], side.flushes), (&b"a"[..], 1));
    daemon.join().unwrap();
}

/// DMN-332: an answer ends with its last frame, not with the bytes that its length promised; the rest and the end are one pass.
#[test]
fn an_answer_ends_with_its_end() {
    let rig = Rig::new();
    let (on_flush, flushed) = channel();
    let daemon = rig.daemon(move |listener| {
        let mut peer = Peer::greeted(&listener);
        peer.head();
        peer.body();
        let mut out = welcome();
        AnswerHead::encode(&mut out, b"200 OK", Some(2), std::iter::empty()).unwrap();
        out.extend(data(b"hi"));
        peer.send(&out);
        flushed.recv().unwrap();
        peer.send(&end());
        peer.serve(b"kept");
    });
    let mut side = Side {
        on_flush: Some(on_flush),
        ..Side::default()
    };
    assert_eq!(rig.get(&mut side).unwrap(), Outcome::Done);
    assert_eq!((&side.out[..], side.ended), (&b"hi"[..], true));
    let mut side = Side::default();
    rig.get(&mut side).unwrap();
    assert_eq!((side.passes, side.ended), (1, true));
    daemon.join().unwrap();
}

/// DMN-333, DP-36: after response-buffer-size a flush, though the daemon never pauses; by default much later.
#[test]
fn endless_data_is_flushed() {
    for (limit, flushes) in [(100_000, true), (8 << 20, false)] {
        let mut rig = patient();
        rig.group.limits.response_buffer = limit;
        let daemon = rig.daemon(|listener| {
            let mut peer = Peer::greeted(&listener);
            peer.head();
            peer.body();
            let mut out = begun(b"");
            for _ in 0..8 {
                out.extend(data(&[b'x'; 60_000]));
            }
            out.extend(end());
            peer.send(&out);
        });
        let mut side = Side::default();
        assert_eq!(rig.get(&mut side).unwrap(), Outcome::Done);
        assert_eq!(
            (side.out.len(), side.flushes > 0),
            (480_000, flushes),
            "{limit}"
        );
        daemon.join().unwrap();
    }
}

/// A request whose head fits into no buffer.
fn large(rig: &Rig, side: &mut Side, timeout: Duration) -> Result<Outcome, Failure> {
    let mut buffers = Buffers::new();
    let mut exchange = Exchange {
        group: &rig.group,
        apache: side,
        buffers: &mut buffers,
        timeout: Some(timeout),
    };
    let text = vec![b'x'; LARGE];
    exchange.run(BodyFacts::None, |out, attempt| {
        let pairs = [(&b"KEY"[..], Some(&text[..]))];
        RequestHead::empty().encode(out, attempt.frame_flags, pairs.into_iter())
    })
}

/// REQ-313, DMN-217: a daemon that does not take the request: 500, with another code where it was sent before.
#[test]
fn a_head_that_cannot_be_sent() {
    let rig = Rig::new();
    let (done, wait) = channel::<()>();
    let daemon = rig.daemon(move |listener| {
        let first = Peer::greeted(&listener);
        let mut refusing = Peer::greeted(&listener);
        refusing.head();
        refusing.send(&refusal(Refusal::Stopping));
        let last = Peer::greeted(&listener);
        let _ = wait.recv();
        drop((first, refusing, last));
    });
    for (code, timeout) in [(121, SHORT), (125, 20 * SHORT)] {
        let failure = large(&rig, &mut Side::default(), timeout).unwrap_err();
        assert_eq!((failure.status(), failure.code()), (Some(500), Some(code)));
    }
    drop(done);
    daemon.join().unwrap();
}

/// DMN-217: a daemon that ends before it has all of the head has executed nothing.
#[test]
fn a_head_that_was_not_taken_is_sent_again() {
    let rig = Rig::new();
    let daemon = rig.daemon(|listener| {
        let mut peer = Peer::accept(&listener);
        let mut some = [0; 100_000];
        peer.stream.read_exact(&mut some).unwrap();
        drop(peer);
        Peer::greeted(&listener).serve(b"second");
    });
    let mut side = Side::default();
    assert_eq!(large(&rig, &mut side, LONG).unwrap(), Outcome::Done);
    assert_eq!(side.out, b"second");
    daemon.join().unwrap();
}

/// DMN-242: of a body that the daemon reads no further nothing more is sent, and its answer is taken all the same.
#[test]
fn a_body_that_is_not_read_on() {
    let rig = Rig::new();
    let daemon = rig.daemon(|listener| {
        let mut peer = Peer::greeted(&listener);
        peer.head();
        peer.send(&go_on());
        assert_eq!(peer.frame().0.kind, Kind::Body);
        peer.stream.shutdown(Shutdown::Read).unwrap();
        peer.send(&answer(b"enough"));
    });
    let mut side = Side::uploading(vec![b'x'; LARGE]);
    let outcome = rig.forward(&mut side, BodyFacts::Unknown, LONG).unwrap();
    assert_eq!((outcome, &side.out[..]), (Outcome::Done, &b"enough"[..]));
    assert!(side.at < LARGE, "the rest is httpd's to discard");
    daemon.join().unwrap();
}
