//! Hostile children, and the real daemon that they ask.

use std::io::Write;

use wsgi_core::wire::{HEADER_LEN, Kind};
use wsgi_harness::{Request, Server, subject, wait_until};

use super::{Between, Peer, Then, frame, huge, server};

/// What a real child says for a POST: its Hello, its Request, its body.
fn real_frames(server: &Server, between: &Between) -> [Vec<u8>; 3] {
    std::thread::scope(|scope| {
        let asking = scope.spawn(|| server.send(&Request::post("/", "hello")));
        let mut child = Peer::accept(&between.listener);
        let frames = [Kind::Hello, Kind::Request, Kind::Body].map(|expected| {
            let (kind, payload) = child.frame();
            assert_eq!(kind, expected);
            frame(kind, 0, &payload)
        });
        drop(child);
        server.expect_log("WSGI0146");
        assert_eq!(
            asking.join().expect("the client does not panic").status,
            502
        );
        frames
    })
}

/// Issue, DMN-220, DMN-261, DMN-645: garbage, truncation, huge lengths, nonsense and silence, before and after a right Hello. The
/// daemon hangs up on the one who sends it, says why, and serves all others.
#[test]
fn a_daemon_survives_its_peers() {
    if !subject().is_ours() {
        return; // Its protocol is another one.
    }
    let server = server();
    let daemon = wait_until("the daemon", || server.daemons().into_iter().next());
    let between = Between::new(&server);
    let [hello, request, body] = real_frames(&server, &between);
    let secret_at = HEADER_LEN + 8;
    let mut stranger = hello.clone();
    stranger[secret_at] ^= 1;
    let with = |parts: &[&[u8]]| [&[&hello[..]], parts].concat().concat();
    let lie = u32::MAX.to_le_bytes();
    let cut = &request[..request.len() - 1];
    let rows: &[(&str, Vec<u8>, Then, &str)] = &[
        (
            "HTTP",
            b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec(),
            Then::Stall,
            "unknown frame kind 71",
        ),
        ("zeros", vec![0; 100], Then::Stall, "unknown frame kind 0"),
        (
            "reserved bytes",
            vec![1, 0, 1, 0, 0, 0, 0, 0],
            Then::Stall,
            "reserved",
        ),
        ("a request first", request.clone(), Then::Stall, "WSGI0033"),
        ("a wrong secret", stranger, Then::Stall, "WSGI0034"),
        (
            "a huge Hello",
            huge(Kind::Hello),
            Then::Stall,
            "a Hello frame of 4294967295 bytes",
        ),
        (
            "a short Hello",
            frame(Kind::Hello, 0, b"x"),
            Then::Stall,
            "a Hello frame is malformed",
        ),
        (
            "half a Hello",
            hello[..20].to_vec(),
            Then::Close,
            "closed within a frame",
        ),
        (
            "half a Hello, then silence",
            hello[..20].to_vec(),
            Then::Stall,
            "sent nothing",
        ),
        (
            "two Hellos",
            with(&[&hello]),
            Then::Stall,
            "unexpected Hello",
        ),
        (
            "a daemon's frame",
            with(&[&frame(Kind::End, 0, &[0])]),
            Then::Stall,
            "unexpected End",
        ),
        (
            "a body first",
            with(&[&body]),
            Then::Stall,
            "unexpected Body frame",
        ),
        (
            "a huge request",
            with(&[&huge(Kind::Request)]),
            Then::Stall,
            "a Request frame of 4294967295 bytes",
        ),
        (
            "half a request",
            with(&[cut]),
            Then::Close,
            "closed within a frame",
        ),
        (
            "half a request, then silence",
            with(&[cut]),
            Then::Stall,
            "sent nothing",
        ),
        (
            "an empty request",
            with(&[&frame(Kind::Request, 0, b"")]),
            Then::Stall,
            "a Request frame is malformed",
        ),
        (
            "a lie",
            with(&[&frame(Kind::Request, 0, &lie.repeat(40))]),
            Then::Stall,
            "a Request frame is malformed",
        ),
        (
            "no body",
            with(&[&request]),
            Then::Close,
            "body broken|was not run",
        ),
        (
            "silence for a body",
            with(&[&request]),
            Then::Stall,
            "body broken",
        ),
        (
            "garbage for a body",
            with(&[&request, b"garbage!"]),
            Then::Stall,
            "body broken",
        ),
        (
            "a huge body",
            with(&[&request, &huge(Kind::Body)]),
            Then::Stall,
            "body broken",
        ),
        (
            "half a body",
            with(&[&request, &body[..10]]),
            Then::Close,
            "body broken|was not run",
        ),
        (
            "a request in a body",
            with(&[&request, &body, &request]),
            Then::Stall,
            "body broken",
        ),
    ];
    // The records of a broken body, and of a stranger.
    for text in [
        "body broken",
        "WSGI0080",
        "WSGI0033",
        "WSGI0034",
        "Traceback",
        "root.wsgi",
        "OSError",
        "WSGI0119",
    ] {
        server.allow_log(text);
    }
    // Of reasons with a bar between them either will do: a request whose peer is gone may not be run at all.
    for (what, bytes, then, reason) in rows {
        let logged = || -> usize { reason.split('|').map(|text| server.log().count(text)).sum() };
        let before = logged();
        let mut peer = Peer::connect(&between.real);
        // It may hang up before it has read everything.
        let _ = peer.stream.write_all(bytes);
        let said = match then {
            Then::Close => String::new(),
            Then::Stall => peer.wait_for_end(),
        };
        drop(peer);
        // The records of a request go to the one who sent it.
        wait_until(&format!("the reason for {what}: {reason}"), || {
            (said.contains(reason) || logged() > before).then_some(())
        });
    }
    // While one of them is silent, the other thread serves.
    let mut silent = Peer::connect(&between.real);
    silent.stream.write_all(&hello[..20]).expect("half a Hello");
    between.leave();
    let answer = server.send(&Request::post("/", "still here")).expect(200);
    assert_eq!(answer.text(), "still here");
    drop(silent);
    let now = server.daemons();
    assert!(
        now.iter().any(|other| other.pid == daemon.pid),
        "the same process"
    );
}
