//! Answers that end early, wait, or are not wanted.

use super::*;

/// DMN-337, DMN-338: an answer that breaks off is cut short, and its connection is gone.
#[test]
fn a_broken_answer_is_cut_short() {
    let rig = Rig::new();
    let daemon = rig.daemon(|listener| {
        let mut peer = Peer::greeted(&listener);
        peer.head();
        peer.body();
        peer.send(&begun(b"part"));
        drop(peer);
        let mut peer = Peer::greeted(&listener);
        peer.head();
        peer.body();
        let mut out = begun(b"part");
        AnswerEnd::CutShort.encode(&mut out);
        peer.send(&out);
    });
    let mut side = Side::default();
    assert_eq!(rig.get(&mut side).unwrap(), Outcome::CutShort);
    assert_eq!((&side.out[..], side.ended), (&b"part"[..], false));
    assert!(side.records[0].starts_with("WSGI0119: "));
    let mut side = Side::default();
    assert_eq!(rig.get(&mut side).unwrap(), Outcome::CutShort);
    assert!(side.records.is_empty(), "the daemon has logged it");
    daemon.join().unwrap();
}

/// Section 6.4: outcomes of the application before its head.
#[test]
fn ends_without_a_head_have_their_status() {
    let rig = Rig::new();
    let ends = [
        (AnswerEnd::Failed, 500),
        (AnswerEnd::NotFound, 404),
        (AnswerEnd::Unavailable, 500),
        (AnswerEnd::TimedOut, 504),
    ];
    let daemon = rig.daemon(move |listener| {
        let mut peer = Peer::greeted(&listener);
        for (end, _) in ends {
            peer.head();
            peer.body();
            let mut out = welcome();
            end.encode(&mut out);
            peer.send(&out);
        }
    });
    for (_, status) in ends {
        assert_eq!(
            rig.get(&mut Side::default()).unwrap(),
            Outcome::Failed(status)
        );
    }
    daemon.join().unwrap();
}

/// DMN-331: data that waits is flushed before the child waits for long. Records and files come in order.
#[test]
fn data_is_flushed_before_a_wait() {
    let rig = Rig::new();
    let (on_flush, flushed) = channel();
    let daemon = rig.daemon(move |listener| {
        let mut peer = Peer::greeted(&listener);
        peer.head();
        peer.body();
        let mut out = Vec::new();
        Log {
            level: 3,
            flags: 0,
            text: b"a record",
        }
        .encode(&mut out);
        out.extend(begun(b"a"));
        peer.send(&out);
        flushed.recv().unwrap();
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"0123456789").unwrap();
        let mut out = Vec::new();
        FileSpan { offset: 2, len: 5 }.encode(&mut out);
        AnswerEnd::Complete.encode(&mut out);
        let slices = &mut [IoSlice::new(&out)];
        stream::send_all(peer.stream.as_fd(), slices, Some(file.as_fd())).unwrap();
        peer.serve(b"kept");
    });
    let mut side = Side {
        on_flush: Some(on_flush),
        ..Side::default()
    };
    assert_eq!(rig.get(&mut side).unwrap(), Outcome::Done);
    assert_eq!(
        (&side.out[..], &side.records[..]),
        (&b"a23456"[..], &["a record".to_owned()][..])
    );
    rig.get(&mut Side::default()).unwrap();
    daemon.join().unwrap();
}

/// DMN-322: an answer that is not wanted is read to its end, so that the connection can be used again; but not for ever.
#[test]
fn an_unwanted_answer_is_thrown_away() {
    let rig = Rig::new();
    let daemon = rig.daemon(|listener| {
        let mut peer = Peer::greeted(&listener);
        peer.serve(&[1; 100_000]);
        peer.head();
        peer.body();
        let endless = begun(&vec![1; 8 << 20]);
        assert!(
            peer.stream.write_all(&endless).is_err(),
            "nobody reads it all"
        );
    });
    for _ in 0..2 {
        let mut side = Side {
            discards: true,
            ..Side::default()
        };
        assert_eq!(rig.get(&mut side).unwrap(), Outcome::Discarded);
        assert!(side.out.is_empty());
    }
    daemon.join().unwrap();
}

/// DMN-336: a client that is gone ends the request, and the daemon's connection with it.
#[test]
fn a_client_that_is_gone_ends_the_request() {
    let rig = Rig::new();
    let daemon = rig.daemon(|listener| {
        let mut peer = Peer::greeted(&listener);
        peer.serve(b"x");
        assert_eq!(peer.stream.read_to_end(&mut Vec::new()).unwrap(), 0);
    });
    let mut side = Side {
        takes_nothing: true,
        ..Side::default()
    };
    assert_eq!(rig.get(&mut side).unwrap(), Outcome::ClientGone);
    daemon.join().unwrap();
}

/// DMN-235: what is no answer is 500.
#[test]
fn nonsense_is_500() {
    let rig = Rig::new();
    let daemon = rig.daemon(|listener| {
        let mut data_first = Vec::new();
        encode_plain(&mut data_first, Kind::Data, 0, b"x").unwrap();
        for nonsense in [&b"HTTP/1.1 200 OK\r\n\r\n"[..], &data_first] {
            let mut peer = Peer::greeted(&listener);
            peer.head();
            peer.body();
            peer.send(nonsense);
        }
    });
    for _ in 0..2 {
        let failure = rig.get(&mut Side::default()).unwrap_err();
        assert_eq!((failure.status(), failure.code()), (Some(500), Some(123)));
    }
    daemon.join().unwrap();
}
