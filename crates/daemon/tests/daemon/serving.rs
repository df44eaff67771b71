//! A daemon serves requests: every kind of answer, kept connections, bodies, claims, strangers.

use std::io::{Read, Seek, SeekFrom};
use std::os::fd::AsFd;
use std::time::Duration;

use crate::group::{Daemon, Frame, INSTANCE, SLOT, body, hello, request, request_for, settings};
use wsgi_core::wire::{AnswerEnd, FLAG_AWAITS_CONTINUE, FLAG_BROKEN, Hello, Kind, encode_plain};
use wsgi_sys::stream::{self, Shutdown};

/// Waits for a condition, which must come true.
fn until(what: &str, condition: impl Fn() -> bool) {
    for _ in 0..3000 {
        if condition() {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("never: {what}");
}

/// Design section 5: one Welcome a connection, then request after request; the claim comes back each time.
#[test]
fn a_kept_connection_serves_many_requests() {
    let daemon = Daemon::ready(settings(2));
    // It says that it is ready before it opens.
    until("open", || {
        (daemon.board.phase(SLOT), daemon.board.idle(SLOT)) == (2, 2)
    });
    let mut child = daemon.child();
    child.ask("hello");
    child.expect_welcome();
    assert_eq!(child.next(), Frame::Head("200 OK".into(), Some(5)));
    assert_eq!(child.next(), Frame::Data(b"hello".to_vec()));
    assert_eq!(child.next(), Frame::End(AnswerEnd::Complete));
    for _ in 0..100 {
        until("a thread is idle", || daemon.board.claim(SLOT, INSTANCE));
        child.ask("hello");
        child.expect_hello();
    }
    until("all threads are idle", || daemon.board.idle(SLOT) == 2);
    until("all requests are counted", || {
        daemon.board.requests(SLOT) == 101
    });
}

/// ENV-24: "no value" arrives as such; threads are numbered from 1 (DMN-402).
#[test]
fn the_environ_arrives_in_order() {
    let daemon = Daemon::ready(settings(1));
    let mut child = daemon.child();
    child.ask("environ");
    child.expect_welcome();
    let (_, data, _) = child.answer();
    assert_eq!(data, b"thread 1\nREQUEST_METHOD=GET\nNOTHING=None\n");
}

/// DMN-240: bodies arrive whole whatever their frames; DMN-269: unread ones do not disturb the next request.
#[test]
fn bodies_arrive_whole_or_are_skipped() {
    let daemon = Daemon::ready(settings(1));
    let mut child = daemon.child();
    let bytes: Vec<u8> = (0..3_000_000_u32).map(|n| (n % 253) as u8).collect();
    // In one piece: what has not arrived when the answer is out is not waited for, and the connection ends.
    let mut unread = request("hello", 0);
    unread.extend(body(&bytes[..20_000], 999));
    child.send(&unread);
    child.expect_welcome();
    child.expect_hello();
    for piece in [1000, 65_536, 10_000_000] {
        until("the thread is idle", || daemon.board.claim(SLOT, INSTANCE));
        child.send(&request("echo", 0));
        child.send(&body(&bytes, piece));
        let (_, data, end) = child.answer();
        assert_eq!(end, AnswerEnd::Complete);
        assert!(data == bytes, "pieces of {piece}");
    }
}

/// DMN-231, DMN-232 (decision): the go-ahead for a large body is given when the application reads; without it the answer
/// ends the connection.
#[test]
fn a_body_is_asked_for_when_it_is_read() {
    let daemon = Daemon::ready(settings(1));
    let mut child = daemon.child();
    child.ask_awaiting("echo");
    child.expect_welcome();
    assert_eq!(child.next(), Frame::Continue);
    child.send(&body(b"payload", 3));
    assert_eq!(child.answer().1, b"payload");
    until("the thread is idle", || daemon.board.claim(SLOT, INSTANCE));
    child.ask_awaiting("hello");
    child.expect_hello();
    assert_eq!(child.next(), Frame::Closed);
}

/// DMN-241: a body that the client broke off is an error for the application, not a short body.
#[test]
fn a_broken_body_is_told() {
    let daemon = Daemon::ready(settings(1));
    let mut child = daemon.child();
    let mut wire = request("echo", 0);
    encode_plain(&mut wire, Kind::Body, 0, b"part").unwrap();
    encode_plain(
        &mut wire,
        Kind::BodyEnd,
        FLAG_BROKEN,
        b"the client timed out",
    )
    .unwrap();
    child.send(&wire);
    child.expect_welcome();
    assert_eq!(
        child.next(),
        Frame::Log("body: the client timed out".into())
    );
    assert_eq!(child.next(), Frame::End(AnswerEnd::Failed));
}

#[test]
fn large_answers_are_split_and_whole() {
    let daemon = Daemon::ready(settings(1));
    let mut child = daemon.child();
    child.ask("large");
    child.expect_welcome();
    let (_, data, end) = child.answer();
    assert_eq!((data.len(), end), (40 << 20, AnswerEnd::Complete));
    assert!(
        data.iter()
            .enumerate()
            .all(|(n, byte)| *byte == (n % 251) as u8)
    );
}

/// Design section 5, "Files": the descriptor comes with the frame.
#[test]
fn a_file_is_passed_by_descriptor() {
    let daemon = Daemon::ready(settings(1));
    let path = daemon.folder.path().join("file");
    std::fs::write(&path, "0123456789").unwrap();
    let mut child = daemon.child();
    let wire = request_for("file", path.to_str().unwrap(), 0);
    child.send(&[wire, body(b"", 1)].concat());
    child.expect_welcome();
    assert_eq!(child.next(), Frame::Head("200 OK".into(), Some(3)));
    assert_eq!(child.next(), Frame::File);
    assert_eq!(child.next(), Frame::End(AnswerEnd::Complete));
    let mut file = std::fs::File::from(child.descriptors.pop().unwrap());
    file.seek(SeekFrom::Start(2)).unwrap();
    let mut text = [0; 3];
    file.read_exact(&mut text).unwrap();
    assert_eq!(&text, b"234");
}

/// REQ-441: a last block that is kept back, for it to leave with the end, does not wait for an application that takes its time.
#[test]
fn a_block_that_is_kept_back_leaves() {
    let daemon = Daemon::ready(settings(1));
    let gate = daemon.folder.path().join("gate");
    let mut child = daemon.child();
    for round in 0..3 {
        let wire = request_for("held", gate.to_str().unwrap(), 0);
        child.send(&[wire, body(b"", 1)].concat());
        if round == 0 {
            child.expect_welcome();
        }
        assert_eq!(child.next(), Frame::Head("200 OK".into(), Some(4)));
        // The application has not ended, and cannot before the file is there.
        assert_eq!(child.next(), Frame::Data(b"last".to_vec()));
        std::fs::write(&gate, "").unwrap();
        assert_eq!(child.next(), Frame::End(AnswerEnd::Complete));
        // With the file there it all comes at once.
        let wire = request_for("held", gate.to_str().unwrap(), 0);
        child.send(&[wire, body(b"", 1)].concat());
        assert_eq!(child.next(), Frame::Head("200 OK".into(), Some(4)));
        assert_eq!(child.next(), Frame::Data(b"last".to_vec()));
        assert_eq!(child.next(), Frame::End(AnswerEnd::Complete));
        std::fs::remove_file(&gate).unwrap();
    }
}

/// REQ-465, REQ-466: failures before and after the head are told apart; log records belong to their request.
#[test]
fn failures_have_their_own_ends() {
    let daemon = Daemon::ready(settings(1));
    let mut child = daemon.child();
    child.ask("fail");
    child.expect_welcome();
    assert_eq!(child.next(), Frame::Log("it failed".into()));
    assert_eq!(child.next(), Frame::End(AnswerEnd::Failed));
    child.ask("cut");
    assert_eq!(child.next(), Frame::Head("200 OK".into(), Some(100)));
    assert_eq!(child.next(), Frame::Data(b"half".to_vec()));
    assert_eq!(child.next(), Frame::End(AnswerEnd::CutShort));
    child.ask("nothing");
    assert_eq!(child.next(), Frame::End(AnswerEnd::NotFound));
    child.ask("hello");
    child.expect_hello();
}

/// DMN-401: with its only thread busy the process leaves a new connection in the backlog, and takes it afterwards.
#[test]
fn a_busy_process_takes_no_connection() {
    let daemon = Daemon::ready(settings(1));
    let mut busy = daemon.child();
    busy.send(&request("gate", 0));
    busy.expect_welcome();
    assert_eq!(busy.next(), Frame::Head("200 OK".into(), None));
    assert_eq!(busy.next(), Frame::Data(b"begun".to_vec()));
    assert!(!daemon.board.claim(SLOT, INSTANCE));
    let mut waiting = daemon.child();
    waiting.ask("hello");
    busy.send(&body(b"", 1));
    assert_eq!(busy.next(), Frame::Data(b"done".to_vec()));
    assert_eq!(busy.next(), Frame::End(AnswerEnd::Complete));
    waiting.expect_welcome();
    waiting.expect_hello();
}

/// DMN-216: a request whose child has given up is not run for nobody, whether its connection was new or kept; both claims
/// come back.
#[test]
fn nobody_waits_for_a_request_that_was_given_up() {
    let mut daemon = Daemon::ready(settings(2));
    let mut kept = daemon.child();
    kept.ask("hello");
    kept.expect_welcome();
    kept.expect_hello();
    until("the threads are idle", || daemon.board.idle(SLOT) == 2);
    // A stopped process is one that cannot take its requests in time.
    daemon.signal(libc::SIGSTOP);
    let tasks = format!("/proc/{}/task", daemon.pid);
    until("all of its threads are stopped", || {
        std::fs::read_dir(&tasks).unwrap().flatten().all(|task| {
            let status = std::fs::read_to_string(task.path().join("status"));
            status.is_ok_and(|text| text.contains("State:\tT"))
        })
    });
    assert!(daemon.board.claim(SLOT, INSTANCE));
    kept.ask("hello");
    let newcomer = daemon.child();
    newcomer.ask("hello");
    drop((kept, newcomer));
    daemon.signal(libc::SIGCONT);
    daemon.expect_logs("a request was not run", 2);
    until("both claims are back", || daemon.board.idle(SLOT) == 2);
    assert_eq!(daemon.board.requests(SLOT), 1);
    let mut child = daemon.child();
    child.ask("hello");
    child.expect_welcome();
    child.expect_hello();
}

/// While the only idle thread is promised to a kept connection, the listener waits and does not spin; a claim that is given
/// back wakes it, and a leaked one is repaired.
#[test]
fn a_promised_thread_does_not_accept() {
    let daemon = Daemon::ready(settings(1));
    let mut kept = daemon.child();
    kept.ask("hello");
    kept.expect_welcome();
    kept.expect_hello();
    until("the thread is idle", || daemon.board.claim(SLOT, INSTANCE));
    let mut newcomer = daemon.child();
    newcomer.ask("hello");
    kept.ask("hello");
    kept.expect_hello();
    newcomer.expect_welcome();
    newcomer.expect_hello();

    until("the thread is idle", || daemon.board.claim(SLOT, INSTANCE));
    // This claim is never used: its child has died.
    let mut next = daemon.child();
    next.ask("hello");
    next.expect_welcome();
    next.expect_hello();
    until("the claim is repaired", || daemon.board.idle(SLOT) == 1);
}

/// DMN-223, DMN-261, DMN-642: strangers are hung up on, with a reason in the log, and nobody else notices.
#[test]
fn strangers_end_their_own_connection_only() {
    let mut daemon = Daemon::ready(settings(1));
    let mut friend = daemon.child();
    friend.ask("hello");
    friend.expect_welcome();
    friend.expect_hello();

    let mut silent = daemon.connect();
    silent.ask("hello");
    assert_eq!(silent.next(), Frame::Closed);
    daemon.expect_log("WSGI0033");

    let mut wrong = daemon.connect();
    let mut hello = Vec::new();
    Hello {
        generation: 1,
        secret: [1; 16],
    }
    .encode(&mut hello);
    wrong.try_send(&[hello, request("hello", 0), body(b"", 1)].concat());
    assert_eq!(wrong.next(), Frame::Closed);
    daemon.expect_log("WSGI0034");

    until("the thread is idle", || daemon.board.claim(SLOT, INSTANCE));
    friend.ask("hello");
    friend.expect_hello();
}

/// DMN-220, DMN-260, DMN-645, DMN-901: garbage, truncation and huge lengths end that connection only.
#[test]
fn garbage_ends_its_own_connection_only() {
    let mut daemon = Daemon::ready(settings(1));
    let hello = hello();
    let mut huge = vec![Kind::Request as u8, 0, 0, 0];
    huge.extend_from_slice(&u32::MAX.to_le_bytes());
    let mut malformed = Vec::new();
    encode_plain(&mut malformed, Kind::Request, 0, &[0xff; 60]).unwrap();
    let mut unexpected = Vec::new();
    encode_plain(&mut unexpected, Kind::End, 0, &[0]).unwrap();
    let truncated = request("hello", 0)[..20].to_vec();
    for (what, wire) in [
        ("unknown frame kind", vec![0xee; 40]),
        ("longer than", huge),
        ("malformed", malformed),
        ("unexpected", unexpected),
        ("closed within a frame", truncated),
    ] {
        daemon.log.clear();
        let mut child = daemon.connect();
        child.try_send(&[hello.clone(), wire].concat());
        stream::shutdown(child.socket.as_fd(), Shutdown::Write);
        assert_eq!(child.next(), Frame::Closed, "{what}");
        daemon.expect_log("WSGI0080");
        assert!(
            daemon.log.iter().any(|line| line.contains(what)),
            "{what}: {:#?}",
            daemon.log
        );
    }
    let mut child = daemon.child();
    child.ask("hello");
    child.expect_welcome();
    child.expect_hello();
}

/// DMN-216: a peer that stalls is given up after socket-timeout.
#[test]
fn a_stalled_peer_ends_its_own_connection_only() {
    let mut settings = settings(1);
    settings.limits.socket_timeout = 1;
    let mut daemon = Daemon::ready(settings);
    let mut stalled = daemon.child();
    stalled.send(&request("hello", 0)[..10]);
    assert_eq!(stalled.next(), Frame::Closed);
    daemon.expect_log("socket-timeout");
    let mut reader = daemon.child();
    reader.send(&request("echo", FLAG_AWAITS_CONTINUE));
    reader.expect_welcome();
    assert_eq!(reader.next(), Frame::Continue);
    assert_eq!(
        reader.next(),
        Frame::Log("body: the peer sent nothing for socket-timeout".into())
    );
    assert_eq!(reader.next(), Frame::End(AnswerEnd::Failed));
    let mut child = daemon.child();
    child.ask("hello");
    child.expect_welcome();
    child.expect_hello();
}
