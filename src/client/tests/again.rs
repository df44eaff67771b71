//! What is sent again, what never is, and when the client gives up.

use super::*;

/// REQ-314, DMN-233: a refused request is sent again, which the application can see.
#[test]
fn a_refused_request_is_sent_again() {
    let rig = Rig::new();
    let daemon = rig.daemon(|listener| {
        let mut peer = Peer::greeted(&listener);
        peer.head();
        peer.send(&refusal(Refusal::Reload));
        let mut peer = Peer::greeted(&listener);
        assert_eq!(peer.head(), (2, 1, false));
        assert_eq!(peer.body(), b"body");
        peer.send(&answer(b"done"));
    });
    let mut side = Side::uploading(b"body".to_vec());
    rig.forward(&mut side, BodyFacts::Length(4), LONG).unwrap();
    assert_eq!(side.out, b"done");
    assert_eq!(side.records.len(), 1);
    daemon.join().unwrap();
}

/// REQ-314, DMN-233: `2 × processes + 1` refusals, then 503. DMN-234: waited too long, 504.
#[test]
fn refusals_have_an_end() {
    let rig = Rig::new();
    let daemon = rig.daemon(|listener| {
        for _ in 0..4 {
            let mut peer = Peer::greeted(&listener);
            peer.head();
            peer.send(&refusal(Refusal::Stopping));
        }
        let mut peer = Peer::greeted(&listener);
        peer.head();
        peer.send(&refusal(Refusal::Queue));
    });
    let failure = rig.get(&mut Side::default()).unwrap_err();
    assert_eq!((failure.status(), failure.code()), (Some(503), Some(124)));
    let failure = rig.get(&mut Side::default()).unwrap_err();
    assert_eq!((failure.status(), failure.record()), (Some(504), None));
    daemon.join().unwrap();
}

/// A request that no daemon has read is sent again: killed before it looked, or an idle connection closed meanwhile.
#[test]
fn what_nobody_read_is_sent_again() {
    let rig = Rig::new();
    let (closed, was_closed) = channel();
    let daemon = rig.daemon(move |listener| {
        let peer = Peer::accept(&listener);
        peer.wait_unread();
        drop(peer);
        let mut peer = Peer::greeted(&listener);
        peer.serve(b"first");
        drop(peer);
        closed.send(()).unwrap();
        Peer::greeted(&listener).serve(b"second");
    });
    let mut side = Side::default();
    rig.get(&mut side).unwrap();
    assert_eq!(side.out, b"first");
    was_closed.recv().unwrap();
    let mut side = Side::default();
    rig.get(&mut side).unwrap();
    assert_eq!((&side.out[..], side.records.len()), (&b"second"[..], 1));
    daemon.join().unwrap();
}

/// DMN-301: a process that dies over a request has executed it, for all we know: 502, never again.
#[test]
fn what_was_read_is_not_sent_again() {
    let rig = Rig::new();
    let daemon = rig.daemon(|listener| {
        let mut peer = Peer::greeted(&listener);
        peer.serve(b"fine");
        peer.head();
        peer.body();
    });
    rig.get(&mut Side::default()).unwrap();
    let failure = rig.get(&mut Side::default()).unwrap_err();
    assert_eq!((failure.status(), failure.code()), (Some(502), Some(146)));
    daemon.join().unwrap();
}

/// DMN-300: nothing came in time.
#[test]
fn a_silent_daemon_is_504() {
    let rig = Rig::new();
    let (end, ended): (Sender<()>, Receiver<()>) = channel();
    let daemon = rig.daemon(move |listener| {
        let mut peer = Peer::greeted(&listener);
        peer.head();
        ended.recv().unwrap();
    });
    let failure = rig
        .forward(&mut Side::default(), BodyFacts::None, SHORT)
        .unwrap_err();
    assert_eq!((failure.status(), failure.code()), (Some(504), Some(145)));
    end.send(()).unwrap();
    daemon.join().unwrap();
}

/// DMN-216, DMN-300: the wait in the backlog counts, so that nobody waits for the timeout twice.
#[test]
fn a_daemon_that_does_not_accept_is_504_once() {
    let rig = Rig::new();
    let timeout = Duration::from_secs(4);
    let started = Instant::now();
    let failure = rig
        .forward(&mut Side::default(), BodyFacts::None, timeout)
        .unwrap_err();
    assert_eq!((failure.status(), failure.code()), (Some(504), Some(145)));
    assert!(started.elapsed() < 2 * timeout, "{:?}", started.elapsed());
}

/// DMN-212, DMN-213: refused for too long, and not there at all; DMN-118: a group that cannot start answers at once.
#[test]
fn connects_fail_with_their_codes() {
    let rig = Rig::new();
    rig.board.set_failing(true);
    let failure = rig.get(&mut Side::default()).unwrap_err();
    assert_eq!((failure.status(), failure.code()), (Some(503), Some(5060)));
    rig.board.set_failing(false);
    let Rig {
        group,
        board,
        listener,
        _folder,
    } = rig;
    drop(listener);
    let listener = UnixListener::bind(_folder.path().join("other.sock")).unwrap();
    let rig = Rig {
        group,
        board,
        listener,
        _folder,
    };
    let failure = rig.get(&mut Side::default()).unwrap_err();
    assert_eq!((failure.status(), failure.code()), (Some(503), Some(116)));
    std::fs::remove_file(&rig.group.socket).unwrap();
    let failure = rig.get(&mut Side::default()).unwrap_err();
    assert_eq!((failure.status(), failure.code()), (Some(503), Some(117)));
}

/// DMN-212, DMN-215: while nobody listens the child tries again, and every attempt counts.
#[test]
fn refused_connects_count() {
    // A child that comes late finds the listener at once; that proves nothing.
    let is_counted = (0..20).any(|_| {
        let mut rig = Rig::new();
        rig.group.limits.connect_timeout = LONG;
        let path = rig.group.socket.clone();
        let beside = path.with_extension("new");
        rig.listener = UnixListener::bind(&beside).unwrap();
        std::fs::remove_file(&beside).unwrap();
        let daemon = std::thread::spawn(move || {
            std::thread::sleep(8 * SHORT);
            let listener = UnixListener::bind(&beside).unwrap();
            std::fs::rename(&beside, &path).unwrap();
            let mut peer = Peer::greeted(&listener);
            let (connects, ..) = peer.head();
            peer.body();
            peer.send(&answer(b"late"));
            connects
        });
        let mut side = Side::default();
        rig.get(&mut side).unwrap();
        assert_eq!(side.out, b"late");
        daemon.join().unwrap() > 1
    });
    assert!(is_counted);
}

/// DMN-220: a request over 16 MiB is not sent.
#[test]
fn a_huge_request_is_refused() {
    let rig = Rig::new();
    let mut side = Side::default();
    let mut buffers = Buffers::new();
    let mut exchange = Exchange {
        group: &rig.group,
        apache: &mut side,
        buffers: &mut buffers,
        timeout: Some(LONG),
    };
    let big = vec![b'x'; 17 << 20];
    let failure = exchange
        .run(BodyFacts::None, |out, attempt| {
            let pairs = [(&b"KEY"[..], Some(&big[..]))];
            RequestHead::empty().encode(out, attempt.frame_flags, pairs.into_iter())
        })
        .unwrap_err();
    assert_eq!((failure.status(), failure.code()), (Some(502), Some(80)));
}

/// DMN-233: of a body that is passed on as it comes nothing is left to send again: a daemon that refuses after its go-ahead, or
/// breaks off, is not asked twice.
#[test]
fn a_body_that_is_gone_is_not_sent_again() {
    for refuses in [true, false] {
        let rig = Rig::new();
        let daemon = rig.daemon(move |listener| {
            let mut peer = Peer::greeted(&listener);
            peer.head();
            peer.send(&go_on());
            assert_eq!(peer.frame().0.kind, Kind::Body);
            if refuses {
                peer.send(&refusal(Refusal::Stopping));
                // Kept open until the child is done with it.
                while matches!(peer.stream.read(&mut [0; 4096]), Ok(1..)) {}
            }
            drop(peer);
            listener.set_nonblocking(true).unwrap();
        });
        let mut side = Side::uploading(vec![1; 4 << 20]);
        let length = BodyFacts::Length(4 << 20);
        let failure = rig.forward(&mut side, length, LONG).unwrap_err();
        assert!(matches!(failure.status(), Some(500 | 502)), "{failure}");
        daemon.join().unwrap();
        assert!(rig.listener.accept().is_err(), "it was sent again");
    }
}

/// A script hangs while its group starts: the record of the request names that as the cause, unless a process
/// serves.
#[test]
fn a_group_that_is_still_starting_is_named() {
    let rig = Rig::new();
    rig.board.assign(0, 1);
    let failure = rig
        .forward(&mut Side::default(), BodyFacts::None, SHORT)
        .unwrap_err();
    assert_eq!((failure.status(), failure.code()), (Some(504), Some(5063)));
    let record = failure.record().unwrap();
    assert!(record.contains("group 'g'"), "{record}");
    assert!(record.contains("still starting"), "{record}");
    rig.board.set_phase(0, Phase::Serving);
    rig.board.assign(1, 2);
    let failure = rig
        .forward(&mut Side::default(), BodyFacts::None, SHORT)
        .unwrap_err();
    assert_eq!((failure.status(), failure.code()), (Some(504), Some(145)));
}
