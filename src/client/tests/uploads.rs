//! Bodies of requests: short and long ones, ones that break off, and answers that come before their end.

use super::*;

/// DMN-240: a short body goes with its head.
#[test]
fn a_short_body_needs_no_go_ahead() {
    let rig = Rig::new();
    let daemon = rig.daemon(|listener| {
        let mut peer = Peer::greeted(&listener);
        let (connects, restarts, awaits) = peer.head();
        assert_eq!((connects, restarts, awaits), (1, 0, false));
        let body = peer.body();
        peer.send(&answer(&body));
    });
    let body: Vec<u8> = (0..60_000_u32).map(|n| (n % 251) as u8).collect();
    let mut side = Side::uploading(body.clone());
    let outcome = rig
        .forward(&mut side, BodyFacts::Length(60_000), LONG)
        .unwrap();
    assert_eq!(outcome, Outcome::Done);
    assert!(side.out == body);
    daemon.join().unwrap();
}

/// DMN-230, DMN-244: a long body waits for the go-ahead, and an application that writes it back while it comes does not
/// make both sides wait for each other.
#[test]
fn a_long_body_is_echoed_without_a_deadlock() {
    let rig = Rig::new();
    let daemon = rig.daemon(|listener| {
        let mut peer = Peer::greeted(&listener);
        assert!(peer.head().2);
        peer.send(&go_on());
        peer.send(&begun(b""));
        loop {
            let (header, payload) = peer.frame();
            if header.kind == Kind::BodyEnd {
                break;
            }
            let mut out = Vec::new();
            encode_plain(&mut out, Kind::Data, FLAG_FLUSH, &payload).unwrap();
            peer.send(&out);
        }
        peer.send(&end());
        peer.serve(b"kept");
    });
    let body: Vec<u8> = (0..5_000_000_u32).map(|n| (n % 251) as u8).collect();
    let mut side = Side::uploading(body.clone());
    assert_eq!(
        rig.forward(&mut side, BodyFacts::Unknown, LONG).unwrap(),
        Outcome::Done
    );
    assert!(side.out == body);
    rig.get(&mut Side::default()).unwrap();
    daemon.join().unwrap();
}

/// An answer that comes before its body was sent ends the upload; the connection is not used again.
#[test]
fn an_early_answer_ends_the_upload() {
    let rig = Rig::new();
    let daemon = rig.daemon(|listener| {
        let mut peer = Peer::greeted(&listener);
        peer.head();
        peer.send(&go_on());
        peer.send(&answer(&vec![7; 3 << 20]));
        let rest = peer.stream.read_to_end(&mut Vec::new());
        assert!(rest.is_ok(), "closed by the child");
    });
    let mut side = Side::uploading(vec![1; 50 << 20]);
    let outcome = rig
        .forward(&mut side, BodyFacts::Length(50 << 20), LONG)
        .unwrap();
    assert_eq!(outcome, Outcome::Done);
    assert_eq!(side.out.len(), 3 << 20);
    assert!(side.at < 50 << 20);
    daemon.join().unwrap();
}

/// DMN-244: a client that waits for the beginning of the answer before it sends the rest of its body gets it; one that
/// sends nothing more is given up (DMN-241).
#[test]
fn an_answer_reaches_a_client_that_still_sends() {
    let rig = Rig::new();
    let (on_flush, flushed) = channel();
    let daemon = rig.daemon(move |listener| {
        let mut peer = Peer::greeted(&listener);
        peer.head();
        peer.send(&go_on());
        peer.send(&begun(b"begun"));
        flushed.recv().unwrap();
        assert_eq!(peer.body().len(), 100_000);
        peer.send(&end());
        peer.head();
        peer.send(&go_on());
        while peer.frame().0.kind == Kind::Body {}
    });
    let mut side = Side::uploading(vec![1; 100_000]);
    (side.pauses_at, side.on_flush, side.patience) = (40_000, Some(on_flush), LONG);
    let outcome = rig
        .forward(&mut side, BodyFacts::Length(100_000), LONG)
        .unwrap();
    assert_eq!((outcome, &side.out[..]), (Outcome::Done, &b"begun"[..]));
    let mut side = Side::uploading(vec![1; 100_000]);
    (side.pauses_at, side.on_flush, side.patience) = (40_000, Some(channel().0), SHORT);
    let failure = rig
        .forward(&mut side, BodyFacts::Length(100_000), LONG)
        .unwrap_err();
    assert_eq!((failure.status(), failure.code()), (Some(408), Some(126)));
    daemon.join().unwrap();
}

/// DMN-244: the go-ahead behind a piece of the answer is seen at once, whatever the number of receives that it takes.
#[test]
fn a_go_ahead_behind_data_is_not_overlooked() {
    let rig = Rig::new();
    let sizes = (1..=12).map(|n| n * 50_000);
    let daemon = rig.daemon({
        let sizes = sizes.clone();
        move |listener| {
            let mut peer = Peer::greeted(&listener);
            for size in sizes {
                peer.head();
                peer.send(&[begun(&vec![7; size]), go_on()].concat());
                assert_eq!(peer.body().len(), 100_000);
                peer.send(&end());
            }
        }
    });
    for size in sizes {
        rig.board.set_idle(0, 1);
        let mut side = Side::uploading(vec![1; 100_000]);
        let outcome = rig
            .forward(&mut side, BodyFacts::Length(100_000), LONG)
            .unwrap();
        assert_eq!((outcome, side.out.len()), (Outcome::Done, size));
    }
    daemon.join().unwrap();
}

/// DMN-241: a body that breaks off is reported to the daemon, and the client gets its status.
#[test]
fn a_broken_body_is_told() {
    let rig = Rig::new();
    let daemon = rig.daemon(|listener| {
        let mut peer = Peer::greeted(&listener);
        peer.head();
        peer.send(&go_on());
        let last = loop {
            let (header, payload) = peer.frame();
            if header.kind == Kind::BodyEnd {
                break (header.flags, payload);
            }
        };
        assert_eq!(last.0, FLAG_BROKEN);
        assert!(String::from_utf8(last.1).unwrap().contains("too slow"));
    });
    let mut side = Side {
        breaks_off: true,
        ..Side::uploading(vec![1; 100_000])
    };
    let failure = rig
        .forward(&mut side, BodyFacts::Length(200_000), LONG)
        .unwrap_err();
    assert_eq!((failure.status(), failure.code()), (Some(408), Some(126)));
    daemon.join().unwrap();
}

/// REQ-321, DMN-242: a daemon that ends in the middle of a body is told of once, before and within its answer; one that has
/// answered is not.
#[test]
fn a_body_that_nobody_takes_is_told_once() {
    for (sent, code) in [
        (go_on(), None),
        ([go_on(), begun(b"begun")].concat(), Some("WSGI0119")),
        ([go_on(), answer(b"answered")].concat(), Some("")),
    ] {
        let rig = Rig::new();
        let daemon = rig.daemon(move |listener| {
            let mut peer = Peer::greeted(&listener);
            peer.head();
            peer.send(&sent);
            // One that has its answer sends nothing.
            let _ = peer.stream.read(&mut [0]);
        });
        let mut side = Side::uploading(vec![1; 50 << 20]);
        let outcome = rig.forward(&mut side, BodyFacts::Length(50 << 20), LONG);
        daemon.join().unwrap();
        let told = |code: &str| {
            let records = side.records.iter();
            records.filter(|text| text.starts_with(code)).count()
        };
        let unsent = told("WSGI0129");
        match code {
            None => {
                let code = outcome.unwrap_err().code();
                assert!(matches!(code, Some(146 | 147)), "{code:?}");
                assert_eq!(unsent, 1, "{:?}", side.records);
            }
            Some("") => {
                assert_eq!(outcome.unwrap(), Outcome::Done);
                assert_eq!(unsent, 0, "{:?}", side.records);
            }
            Some(code) => {
                assert_eq!(outcome.unwrap(), Outcome::CutShort);
                assert_eq!((unsent, told(code)), (1, 1), "{:?}", side.records);
            }
        }
    }
}
