//! `wsgi.input`.

use crate::host::Wire;
use crate::{evaluating, python};

const BODY: &[u8] = b"first\nsecond\n\nlast";

#[track_caller]
fn with_body(lines: &str, body: &[u8]) -> crate::host::Answer {
    let script = python().script(&evaluating(lines));
    let wire = Wire {
        piece: Some(4),
        ..Wire::default()
    };
    let answer = python().request(&script).post(body).wire(wire).run();
    answer.is_fine();
    answer
}

/// REQ-500 to REQ-505: all ways to read, and the end.
#[test]
fn ways_to_read() {
    for (code, result) in [
        ("i.read()", r"b'first\nsecond\n\nlast'"),
        ("i.read(-1)", r"b'first\nsecond\n\nlast'"),
        (
            "(i.read(3), i.read(7), i.read(100), i.read(5), i.read())",
            r"(b'fir', b'st\nseco', b'nd\n\nlast', b'', b'')",
        ),
        (
            "(i.readline(), i.readline(3), i.readline(), i.readline(), i.readline(), i.readline())",
            r"(b'first\n', b'sec', b'ond\n', b'\n', b'last', b'')",
        ),
        (
            "(i.readline(0), i.readline(-1), i.readline(6), i.readline(7))",
            r"(b'', b'first\n', b'second', b'\n')",
        ),
        (
            "i.readlines()",
            r"[b'first\n', b'second\n', b'\n', b'last']",
        ),
        ("i.readlines(7)", r"[b'first\n', b'second\n']"),
        (
            "(i.readlines(0), i.readlines(-1))",
            r"([b'first\n', b'second\n', b'\n', b'last'], [])",
        ),
        (
            "(list(i), list(i))",
            r"([b'first\n', b'second\n', b'\n', b'last'], [])",
        ),
        (
            "(next(i), i.read(2), i.readline(), i.read())",
            r"(b'first\n', b'se', b'cond\n', b'\nlast')",
        ),
        (
            "(iter(i) is i, i.close(), i.read(5))",
            "(True, None, b'first')",
        ),
        (
            "[hasattr(i, n) for n in ('fileno', 'closed', 'seekable', '__enter__')]",
            "[False, False, False, False]",
        ),
    ] {
        let answer = with_body(&format!("i = environ['wsgi.input']\nreturn {code}"), BODY);
        assert_eq!(answer.text(), result, "{code}");
    }
}

/// REQ-504: positional integers only.
#[test]
fn wrong_sizes_raise() {
    for call in [
        "read(None)",
        "read('1')",
        "read(1.0)",
        "read(size=1)",
        "read(1, 2)",
        "readline(None)",
    ] {
        let (text, _) = crate::raises(&format!("environ['wsgi.input'].{call}"));
        assert!(text.starts_with("TypeError: "), "{call}: {text}");
    }
}

/// REQ-500, REQ-322: `read(0)` asks the client for its body once, `readline(0)` does not.
#[test]
fn an_empty_read_asks_for_the_body() {
    let answer = with_body("environ['wsgi.input'].readline(0)", BODY);
    assert_eq!((answer.asked, answer.read), (0, 0));
    let answer = with_body(
        "return [environ['wsgi.input'].read(0) for i in range(3)]",
        BODY,
    );
    assert_eq!(
        (&*answer.text(), answer.asked, answer.read),
        ("[b'', b'', b'']", 1, 0)
    );
}

/// REQ-505: an empty body ends at once.
#[test]
fn an_empty_body() {
    let answer = with_body(
        "i = environ['wsgi.input']\nreturn i.read(), i.readline(), list(i)",
        b"",
    );
    assert_eq!(answer.text(), "(b'', b'', [])");
}

/// REQ-500, REQ-508: large bodies arrive complete, whatever the size of the reads.
#[test]
fn large_bodies() {
    let body: Vec<u8> = (0..3_000_000_u32).flat_map(u32::to_le_bytes).collect();
    for code in [
        "i.read()",
        "i.read(1 << 40)",
        "i.read(int(environ['CONTENT_LENGTH']))",
        "b''.join(iter(lambda: i.read(100_000), b''))",
        "b''.join(i)",
        "i.readline(10) + i.read(3) + i.read()",
    ] {
        let source = format!(
            "import hashlib\ni = environ['wsgi.input']\ndata = {code}\nreturn len(data), hashlib.md5(data).hexdigest()"
        );
        let script = python().script(&evaluating(&source));
        let answer = python().request(&script).post(&body).run();
        answer.is_fine();
        assert_eq!(
            answer.text(),
            "(12000000, 'f628181a4b2a4d160b007216eb36da47')",
            "{code}"
        );
    }
}

/// REQ-494, REQ-506: a body that is cut off, or cannot be read, raises OSError that says why, and every read after that does.
#[test]
fn a_body_that_is_cut_off() {
    let script = python().script(&evaluating(
        "i = environ['wsgi.input']
texts = [i.read(3)]
for read in (i.read, i.readline, i.readlines, lambda: next(i)):
    try:
        read()
    except OSError as error:
        texts.append(str(error))
return texts",
    ));
    let again = "'mod_wsgi request data read error: input is already in error state'";
    for (why, reason) in [
        (None, "connection was terminated"),
        (Some("no route to the client"), "no route to the client"),
    ] {
        let wire = Wire {
            read_fails_after: Some(5),
            read_fails_with: why,
            ..Wire::default()
        };
        let answer = python().request(&script).post(BODY).wire(wire).run();
        answer.is_fine();
        let first = format!("'mod_wsgi request data read error: {reason}'");
        assert_eq!(
            answer.text(),
            format!("[b'fir', {first}, {again}, {again}, {again}]")
        );
    }
}

/// REQ-508: another thread may read the body.
#[test]
fn a_thread_of_the_application_reads() {
    let answer = with_body(
        "import threading
out = []
t = threading.Thread(target=lambda: out.append(environ['wsgi.input'].read()))
t.start(); t.join()
return out",
        b"abc",
    );
    assert_eq!(answer.text(), "[b'abc']");
}
