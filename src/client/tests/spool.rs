//! Bodies and answers that wait in the child, so that a slow client keeps no thread of a daemon.

use std::cell::Cell;

use super::*;

/// Issue: a body that is longer than what stays in memory goes to the daemon as a file, at once and for reading only, and once more
/// after a refusal; the connection is good for another request.
#[test]
fn a_spooled_body_is_handed_over() {
    let body = pattern(1_000_000);
    for facts in [BodyFacts::Unknown, BodyFacts::Length(1_000_000)] {
        let mut rig = Rig::new();
        rig.group.limits.request_spool = 64 << 10;
        let daemon = rig.daemon(|listener| {
            let mut peer = Peer::greeted(&listener);
            assert!(!peer.head().2, "it does not wait for Continue");
            peer.send(&refusal(Refusal::Stopping));
            let mut peer = Peer::greeted(&listener);
            assert!(!peer.head().2);
            let body = peer.body();
            peer.send(&answer(&body));
            peer.serve(b"kept");
        });
        let mut side = Side::uploading(body.clone());
        let outcome = rig.forward(&mut side, facts, LONG).unwrap();
        assert_eq!(outcome, Outcome::Done);
        assert!(side.out == body);
        rig.get(&mut Side::default()).unwrap();
        daemon.join().unwrap();
    }
}

/// Issue: one that stays in memory is sent in pieces when the daemon wants it, and again after a refusal.
#[test]
fn a_body_in_memory_can_be_sent_again() {
    let mut rig = Rig::new();
    rig.group.limits.request_spool = 1 << 20;
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

/// A body that is longer than the disk has room is an error before it is read: the rest of it would come in vain.
#[test]
fn a_body_beyond_the_disk_is_500() {
    let mut rig = Rig::new();
    rig.group.limits.request_spool = 64 << 10;
    let mut side = Side::uploading(pattern(1_000_000));
    let failure = rig
        .forward(&mut side, BodyFacts::Length(1 << 60), LONG)
        .unwrap_err();
    assert_eq!((failure.status(), failure.code()), (Some(500), Some(5062)));
    let folder = std::env::temp_dir().display().to_string();
    assert!(failure.to_string().contains(&folder), "{failure}");
    assert!(side.at < 200_000, "{} bytes were read", side.at);
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

/// A side whose client takes nothing before it is told to, then everything, which it returns.
fn slow_side(go: Receiver<()>) -> (Side, JoinHandle<Vec<u8>>) {
    let (near, mut far) = UnixStream::pair().unwrap();
    let client = std::thread::spawn(move || {
        go.recv_timeout(LONG).unwrap();
        let mut all = Vec::new();
        far.read_to_end(&mut all).unwrap();
        all
    });
    let side = Side {
        client: Some(near),
        is_slow: true,
        patience: LONG,
        ..Side::default()
    };
    (side, client)
}

/// Pieces of an answer, and its end.
fn stream_answer(peer: &mut Peer, bytes: &[u8], end: AnswerEnd) {
    peer.head();
    peer.body();
    peer.send(&begun(b""));
    for piece in bytes.chunks(10_000) {
        let mut out = Vec::new();
        encode_plain(&mut out, Kind::Data, 0, piece).unwrap();
        peer.send(&out);
    }
    let mut out = Vec::new();
    end.encode(&mut out);
    peer.send(&out);
}

/// Issue: a daemon gets rid of its whole answer before the client has taken more than its socket holds, by memory and by file;
/// what was kept comes in order, also before an end that tells that the answer is cut short.
#[test]
fn an_answer_waits_for_its_client() {
    for (memory, end, expected) in [
        (64 << 10, AnswerEnd::Complete, Outcome::Done),
        (8 << 20, AnswerEnd::Complete, Outcome::Done),
        (64 << 10, AnswerEnd::CutShort, Outcome::CutShort),
    ] {
        let mut rig = Rig::new();
        rig.group.limits.response_spool = Bounds {
            memory,
            file: 1 << 30,
        };
        let bytes = pattern(4_000_000);
        let (go, told) = channel();
        let daemon = rig.daemon({
            let bytes = bytes.clone();
            move |listener| {
                let mut peer = Peer::greeted(&listener);
                stream_answer(&mut peer, &bytes, end);
                go.send(()).unwrap();
                // Kept open until the child is done with it.
                let _ = peer.stream.read(&mut [0]);
            }
        });
        let (mut side, client) = slow_side(told);
        assert_eq!(rig.get(&mut side).unwrap(), expected);
        assert_eq!(side.ended, expected == Outcome::Done);
        drop(side);
        assert!(client.join().unwrap() == bytes, "memory {memory}");
        drop(rig);
        daemon.join().unwrap();
    }
}

/// DMN-330: a client that takes everything that was kept just when the answer ends is told of the end, too.
#[test]
fn a_drained_answer_has_its_end() {
    let mut rig = Rig::new();
    rig.group.limits.response_spool = Bounds {
        memory: 64 << 10,
        file: 1 << 30,
    };
    let (on_full, full) = channel();
    let daemon = rig.daemon(move |listener| {
        let mut peer = Peer::greeted(&listener);
        peer.head();
        peer.body();
        peer.send(&begun(b"kept"));
        full.recv_timeout(LONG).unwrap();
        peer.send(&end());
    });
    // Once when the bytes come, once before the end is received.
    let mut side = Side {
        full: Cell::new(2),
        on_full: Some(on_full),
        patience: LONG,
        ..Side::default()
    };
    assert_eq!(rig.get(&mut side).unwrap(), Outcome::Done);
    assert_eq!((&side.out[..], side.ended), (&b"kept"[..], true));
    daemon.join().unwrap();
}

/// Issue: over `response-spool-max` the daemon has to wait; where no file can be made too, which is said.
#[test]
fn a_full_spool_makes_the_daemon_wait() {
    for no_folder in [false, true] {
        let mut rig = Rig::new();
        rig.group.limits.response_spool = Bounds {
            memory: 64 << 10,
            file: 500_000,
        };
        let bytes = pattern(6_000_000);
        let (go, told) = channel();
        let daemon = rig.daemon({
            let bytes = bytes.clone();
            move |listener| {
                let mut peer = Peer::greeted(&listener);
                peer.head();
                peer.body();
                let mut out = Vec::new();
                AnswerHead::encode(&mut out, b"200 OK", None, std::iter::empty()).unwrap();
                encode_plain(&mut out, Kind::Data, 0, &bytes).unwrap();
                peer.stream.set_nonblocking(true).unwrap();
                let mut sent = 0;
                let mut idle = 0;
                // Full for many looks in a row.
                while idle < 50 {
                    match peer.stream.write(&out[sent..]) {
                        Ok(count) => (sent, idle) = (sent + count, 0),
                        Err(_) => {
                            std::thread::sleep(Duration::from_millis(10));
                            idle += 1;
                        }
                    }
                    assert!(sent < out.len(), "back-pressure");
                }
                go.send(()).unwrap();
                peer.stream.set_nonblocking(false).unwrap();
                peer.send(&out[sent..]);
                peer.send(&end());
            }
        });
        let (mut side, client) = slow_side(told);
        side.no_folder = no_folder;
        if no_folder {
            // The child waits for the client itself as soon as it knows.
            side.is_slow = true;
        }
        assert_eq!(rig.get(&mut side).unwrap(), Outcome::Done);
        let complaints = side
            .records
            .iter()
            .filter(|text| text.starts_with("WSGI5062: "));
        assert_eq!(complaints.count(), usize::from(no_folder));
        drop(side);
        assert!(client.join().unwrap() == bytes);
        daemon.join().unwrap();
    }
}

/// DMN-336: a client that takes nothing for its timeout is given up while its answer waits.
#[test]
fn a_client_that_takes_nothing_is_given_up() {
    let rig = Rig::new();
    let daemon = rig.daemon(|listener| {
        let mut peer = Peer::greeted(&listener);
        peer.head();
        peer.body();
        peer.send(&begun(&pattern(900_000)));
        let _ = peer.stream.read(&mut [0]);
    });
    let (go, told) = channel();
    let (mut side, client) = slow_side(told);
    side.patience = SHORT;
    assert_eq!(rig.get(&mut side).unwrap(), Outcome::ClientGone);
    assert_eq!(side.records, ["given up"]);
    drop(side);
    go.send(()).unwrap();
    assert!(client.join().unwrap().len() < 900_000);
    daemon.join().unwrap();
}

/// A client that takes nothing until the daemon has sent `last`, and everything when it was asked `times`; the daemon's part.
fn late_side(
    times: u32,
    last: Vec<u8>,
    file: Option<std::fs::File>,
) -> (Rig, Side, JoinHandle<()>) {
    let rig = Rig::new();
    let (keep, kept) = channel();
    let (send, sent) = channel();
    let daemon = rig.daemon(move |listener| {
        let mut peer = Peer::greeted(&listener);
        peer.head();
        peer.body();
        peer.send(&begun(b"kept "));
        kept.recv_timeout(LONG).unwrap();
        let slices = [IoSlice::new(&last)];
        let count = stream::send_some(peer.stream.as_fd(), &slices, file.as_ref().map(AsFd::as_fd));
        assert_eq!(count.unwrap(), last.len());
        send.send(()).unwrap();
        // Kept open until the child is done with it.
        let _ = peer.stream.read(&mut [0]);
    });
    let asked = Cell::new(0);
    let rooms = move || {
        asked.set(asked.get() + 1);
        match asked.get() {
            // When the first block comes.
            1 => {
                keep.send(()).unwrap();
                sent.recv_timeout(LONG).unwrap();
                0
            }
            number if number <= times => 0,
            _ => usize::MAX,
        }
    };
    let side = Side {
        rooms: Some(Box::new(rooms)),
        patience: LONG,
        ..Side::default()
    };
    (rig, side, daemon)
}

/// DMN-332: the client takes the last of what was kept just when the end comes.
#[test]
fn an_end_behind_kept_bytes_is_passed() {
    // Asked before the end is received.
    let (rig, mut side, daemon) = late_side(2, end(), None);
    assert_eq!(rig.get(&mut side).unwrap(), Outcome::Done);
    assert_eq!((&side.out[..], side.ended), (&b"kept "[..], true));
    drop(rig);
    daemon.join().unwrap();
}

/// REQ-585: a file goes behind what was kept before it.
#[test]
fn a_file_comes_behind_kept_bytes() {
    use std::io::Write;
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(b"0file").unwrap();
    let mut last = Vec::new();
    FileSpan { offset: 1, len: 4 }.encode(&mut last);
    AnswerEnd::Complete.encode(&mut last);
    // Asked before the file is received, and when it is looked at.
    let (rig, mut side, daemon) = late_side(3, last, Some(file));
    assert_eq!(rig.get(&mut side).unwrap(), Outcome::Done);
    assert_eq!(String::from_utf8_lossy(&side.out), "kept file");
    assert!(side.ended);
    drop(rig);
    daemon.join().unwrap();
}

/// DMN-300, DMN-338: a daemon that falls silent while its client takes nothing is not waited for without end.
#[test]
fn a_daemon_that_is_silent_while_bytes_are_kept_is_given_up() {
    let rig = Rig::new();
    let (end, ended): (Sender<()>, Receiver<()>) = channel();
    let daemon = rig.daemon(move |listener| {
        let mut peer = Peer::greeted(&listener);
        peer.head();
        peer.body();
        peer.send(&begun(b"kept"));
        // A child that waits for this has failed the test.
        let _ = ended.recv_timeout(LONG);
    });
    let mut side = Side {
        rooms: Some(Box::new(|| 0)),
        patience: 4 * LONG,
        ..Side::default()
    };
    let outcome = rig.forward(&mut side, BodyFacts::None, 20 * SHORT);
    assert_eq!(outcome.unwrap(), Outcome::CutShort);
    assert!(end.send(()).is_ok(), "the child waited for the daemon");
    assert_eq!(side.out, b"kept");
    daemon.join().unwrap();
}
