//! Bodies and answers that wait in the child, so that a slow client keeps no thread of a daemon.

use super::*;

fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at * 31 % 251) as u8).collect()
}

/// Issue: a body that is longer than what stays in memory comes whole through the file, and once more after a refusal.
#[test]
fn a_spooled_body_can_be_sent_again() {
    let mut rig = Rig::new();
    rig.group.limits.request_spool = 64 << 10;
    let daemon = rig.daemon(|listener| {
        let mut peer = Peer::greeted(&listener);
        peer.head();
        peer.send(&go_on());
        assert_eq!(peer.frame().0.kind, Kind::Body);
        peer.send(&refusal(Refusal::Stopping));
        let mut peer = Peer::greeted(&listener);
        assert!(peer.head().2);
        peer.send(&go_on());
        let body = peer.body();
        peer.send(&answer(&body));
        peer.serve(b"kept");
    });
    let body = pattern(1_000_000);
    let mut side = Side::uploading(body.clone());
    let outcome = rig.forward(&mut side, BodyFacts::Unknown, LONG).unwrap();
    assert_eq!(outcome, Outcome::Done);
    assert!(side.out == body);
    rig.get(&mut Side::default()).unwrap();
    daemon.join().unwrap();
}

/// Issue: nobody hears of a body that breaks off before it is whole, whatever its length.
#[test]
fn a_broken_body_reaches_no_daemon() {
    let mut rig = Rig::new();
    rig.group.limits.request_spool = 64 << 10;
    rig.listener.set_nonblocking(true).unwrap();
    for (sent, announced) in [
        (10, BodyFacts::Length(1000)),
        (100_000, BodyFacts::Length(200_000)),
        (300_000, BodyFacts::Unknown),
    ] {
        let mut side = Side {
            breaks_off: true,
            ..Side::uploading(pattern(sent))
        };
        let failure = rig.forward(&mut side, announced, LONG).unwrap_err();
        assert_eq!((failure.status(), failure.code()), (Some(408), Some(126)));
        assert!(rig.listener.accept().is_err(), "no daemon was asked");
    }
}

/// A body that cannot be kept is an error that names the folder.
#[test]
fn a_spool_without_a_folder_is_500() {
    let mut rig = Rig::new();
    rig.group.limits.request_spool = 64 << 10;
    let mut side = Side {
        no_folder: true,
        ..Side::uploading(pattern(200_000))
    };
    let failure = rig
        .forward(&mut side, BodyFacts::Unknown, LONG)
        .unwrap_err();
    assert_eq!((failure.status(), failure.code()), (Some(500), Some(5062)));
    assert!(failure.to_string().contains("'/nonexistent'"), "{failure}");
}
