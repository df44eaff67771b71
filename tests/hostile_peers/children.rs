//! Hostile daemons, and the real children that ask them.

use wsgi_core::wire::{AnswerEnd, AnswerHead, FileSpan, Hello, Kind, Welcome};
use wsgi_harness::{Request, subject, wait_until};

use super::{Between, Then, frame, huge, server};

fn begun(rest: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    Welcome {
        slot: 0,
        instance: 1,
    }
    .encode(&mut out);
    AnswerHead::encode(&mut out, b"200 OK", None, std::iter::empty()).expect("a short head");
    out.extend(frame(Kind::Data, 0, b"part"));
    out.extend(rest);
    out
}

/// What it is, what is sent, what follows, the status (None: cut short), the code in the log.
type Row = (&'static str, Vec<u8>, Then, Option<u16>, &'static str);

/// Issue, DMN-235, DMN-300, DMN-301, DMN-337: the same for a child. Its client gets an error page, or an answer that is visibly
/// cut short.
#[test]
fn a_child_survives_its_daemon() {
    if !subject().is_ours() {
        return; // Its protocol is another one.
    }
    let server = server();
    let between = Between::new(&server);
    let children: Vec<i32> = server.children().iter().map(|child| child.pid).collect();
    let mut injected = Vec::new();
    let header = [(&b"X"[..], Some(&b"a\r\nSet-Cookie: b"[..]))];
    AnswerHead::encode(&mut injected, b"200 OK", None, header.into_iter()).expect("a short head");
    let mut status = Vec::new();
    AnswerHead::encode(&mut status, b"200 OK\r\nX: y", None, std::iter::empty())
        .expect("a short head");
    let mut file = Vec::new();
    FileSpan { offset: 0, len: 10 }.encode(&mut file);
    let mut complete = Vec::new();
    AnswerEnd::Complete.encode(&mut complete);
    let hello = {
        let mut out = Vec::new();
        Hello {
            generation: 0,
            secret: [0; 16],
        }
        .encode(&mut out);
        out
    };
    let rows: &[Row] = &[
        (
            "HTTP",
            b"HTTP/1.1 200 OK\r\n\r\n".to_vec(),
            Then::Stall,
            Some(500),
            "WSGI0123",
        ),
        ("nothing", Vec::new(), Then::Close, Some(502), "WSGI0146"),
        ("silence", Vec::new(), Then::Stall, Some(504), "WSGI0145"),
        ("a child's frame", hello, Then::Stall, Some(500), "WSGI0123"),
        (
            "data first",
            frame(Kind::Data, 0, b"x"),
            Then::Stall,
            Some(500),
            "WSGI0123",
        ),
        (
            "an end first",
            complete.clone(),
            Then::Stall,
            Some(500),
            "WSGI0123",
        ),
        (
            "a short Welcome",
            frame(Kind::Welcome, 0, b"x"),
            Then::Stall,
            Some(500),
            "WSGI0123",
        ),
        (
            "a huge head",
            huge(Kind::Head),
            Then::Stall,
            Some(500),
            "WSGI0123",
        ),
        (
            "a short head",
            frame(Kind::Head, 0, b"x"),
            Then::Stall,
            Some(500),
            "WSGI0123",
        ),
        (
            "a lie",
            frame(Kind::Head, 0, &[&[0; 12][..], &[0xff; 4]].concat()),
            Then::Stall,
            Some(500),
            "WSGI0123",
        ),
        (
            "half a head",
            frame(Kind::Head, 0, &[0; 100])[..50].to_vec(),
            Then::Close,
            Some(502),
            "WSGI0146",
        ),
        (
            "half a head, then silence",
            frame(Kind::Head, 0, &[0; 100])[..50].to_vec(),
            Then::Stall,
            Some(504),
            "WSGI0145",
        ),
        ("a bad status", status, Then::Stall, Some(500), "WSGI01"),
        ("a bad header", injected, Then::Stall, Some(500), "WSGI01"),
        (
            "a file without a head",
            file.clone(),
            Then::Stall,
            Some(500),
            "WSGI0123",
        ),
        ("an end", begun(b""), Then::Close, None, "WSGI0119"),
        (
            "silence behind data",
            begun(b""),
            Then::Stall,
            None,
            "WSGI0119",
        ),
        (
            "garbage behind data",
            begun(b"garbage!"),
            Then::Stall,
            None,
            "WSGI0119",
        ),
        (
            "huge data",
            begun(&huge(Kind::Data)),
            Then::Stall,
            None,
            "WSGI0119",
        ),
        (
            "half a block",
            begun(&frame(Kind::Data, 0, &[0; 100])[..50]),
            Then::Close,
            None,
            "WSGI0119",
        ),
        (
            "a second head",
            begun(&begun(b"")),
            Then::Stall,
            None,
            "WSGI0119",
        ),
        (
            "a file without a descriptor",
            begun(&file),
            Then::Stall,
            None,
            "WSGI0119",
        ),
        (
            "an unknown end",
            begun(&frame(Kind::End, 0, &[99])),
            Then::Stall,
            None,
            "WSGI0119",
        ),
        (
            "a refusal behind data",
            begun(&frame(Kind::Refused, 0, &[1])),
            Then::Stall,
            None,
            "WSGI0119",
        ),
    ];
    for code in ["WSGI01", "AH"] {
        server.allow_log(code);
    }
    for (what, bytes, then, status, code) in rows {
        let before = server.log().count(code);
        let answer = between.answer(&server, bytes, *then);
        match status {
            Some(status) => assert_eq!(answer.map(|answer| answer.status), Some(*status), "{what}"),
            // Where nothing has left yet, the client can still be told.
            None => assert!(
                answer.is_none_or(|answer| !answer.whole || answer.status == 502),
                "{what}"
            ),
        }
        wait_until(&format!("{code} for {what}"), || {
            (server.log().count(code) > before).then_some(())
        });
    }
    between.leave();
    let answer = server.send(&Request::post("/", "still here")).expect(200);
    assert_eq!(answer.text(), "still here");
    let now: Vec<i32> = server.children().iter().map(|child| child.pid).collect();
    assert!(
        children.iter().all(|pid| now.contains(pid)),
        "the same children"
    );
}
