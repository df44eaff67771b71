//! What an application returns, and what the client gets.

use wsgi_runtime_api::{Outcome, SEND_FLUSH, SEND_LAST, SEND_NOTHING_AFTER};

use crate::python;

/// REQ-400, REQ-402, REQ-449: a list is sent whole, in one block, with no header added.
#[test]
fn a_list_is_one_block() {
    let answer = python().get_from(
        "def application(environ, start_response):
    start_response('200 OK', [('Content-Type', 'text/plain'), ('X-One', '\\xe9'), ('x-one', '2')])
    return [b'Hello ', b'', b'world']
",
    );
    answer.is_fine();
    assert_eq!(answer.status.as_deref(), Some("200 OK"));
    let headers: Vec<_> = answer.headers.iter().map(|(n, v)| (&**n, &**v)).collect();
    assert_eq!(
        headers,
        [
            ("Content-Type", "text/plain"),
            ("X-One", "\u{e9}"),
            ("x-one", "2")
        ]
    );
    assert_eq!(
        answer.sends,
        [(b"Hello world".to_vec(), SEND_LAST | SEND_NOTHING_AFTER)]
    );
    assert_eq!(answer.content_length, None);
}

/// REQ-441, REQ-442: the items of another iterable are flushed one by one, empty ones skipped.
#[test]
fn items_of_a_generator_are_flushed() {
    let answer = python().get_from(
        "def application(environ, start_response):
    start_response('200 OK', [])
    yield b'one'
    yield b''
    yield b'two'
",
    );
    answer.is_fine();
    let end = SEND_LAST | SEND_NOTHING_AFTER;
    let sends = [
        (b"one".to_vec(), SEND_FLUSH),
        (b"two".to_vec(), SEND_FLUSH),
        (Vec::new(), end),
    ];
    assert_eq!(answer.sends, sends);
}

/// REQ-402: an empty item is no output: behind it the head may be replaced, and an exception is one before the head.
#[test]
fn an_empty_item_sends_no_head() {
    let failing = |end: &str| {
        python().get_from(&format!(
            "import sys
def application(environ, start_response):
    start_response('200 OK', [('X-Head', 'first')])
    yield b''
    try:
        raise ValueError('behind nothing')
    except ValueError:
        {end}
    yield b'sorry'
"
        ))
    };
    let answer = failing("start_response('500 Oops', [('X-Head', 'second')], sys.exc_info())");
    answer.is_fine();
    assert_eq!(answer.status.as_deref(), Some("500 Oops"));
    assert_eq!(answer.header("X-Head"), Some("second"));
    assert_eq!(answer.text(), "sorry");
    let answer = failing("raise");
    assert_eq!((answer.outcome(), answer.status), (Outcome::Failed, None));
}

/// REQ-465, REQ-801: an exception before the head is 500, with its whole traceback in the log.
#[test]
fn an_exception_is_logged_with_its_frames() {
    let answer = python().get_from(
        "def inner():
    raise ValueError('first\\nsecond')

def application(environ, start_response):
    start_response('200 OK', [])
    inner()
",
    );
    assert_eq!(answer.outcome(), Outcome::Failed);
    assert_eq!(answer.status, None);
    let errors = answer.errors();
    assert!(
        errors[0].starts_with("WSGI0174: ") && errors[0].contains("ValueError"),
        "{errors:?}"
    );
    assert_eq!(errors[1], "Traceback (most recent call last):");
    assert!(
        errors.iter().any(|line| line.contains("in inner")),
        "{errors:?}"
    );
    assert_eq!(errors[errors.len() - 2..], ["ValueError: first", "second"]);
}

/// REQ-448: what is beyond the Content-Length is dropped, in lists, generators and writes.
#[test]
fn excess_is_dropped() {
    for body in [
        "return [b'abc', b'def']",
        "return iter([b'abc', b'def'])",
        "w(b'abc'); w(b'def'); return []",
    ] {
        let answer = python().get_from(&format!(
            "def application(environ, start_response):
    w = start_response('200 OK', [('Content-Length', '4')])
    {body}
"
        ));
        answer.is_fine();
        assert_eq!(answer.text(), "abcd", "{body}");
    }
}

/// REQ-448: an answer that is shorter than its Content-Length must not look whole.
#[test]
fn a_short_answer_is_cut() {
    for body in [
        "return [b'abc']",
        "return iter([b'abc'])",
        "w(b'abc'); return []",
        "return []",
    ] {
        let answer = python().get_from(&format!(
            "def application(environ, start_response):
    w = start_response('200 OK', [('Content-Length', '4')])
    {body}
"
        ));
        assert_eq!(answer.outcome(), Outcome::CutShort, "{body}");
        assert!(answer.sends.iter().all(|(_, flags)| flags & SEND_LAST == 0));
        assert_eq!(answer.status.as_deref(), Some("200 OK"));
    }
}

/// REQ-122, REQ-452: an answer without a body may have a Content-Length.
#[test]
fn a_head_request_needs_no_body() {
    let script = python().script(
        "def application(environ, start_response):
    status = environ['QUERY_STRING'] or '200 OK'
    start_response(status, [('Content-Length', '4')])
    return [b'abcd'] if environ['REQUEST_METHOD'] == 'GET' else []
",
    );
    python().request(&script).head().run().is_fine();
    python().request(&script).run().is_fine();
    python()
        .request(&script)
        .set("REQUEST_METHOD", "X")
        .set("QUERY_STRING", "304 x")
        .run()
        .is_fine();
}

/// A generator that reaches its Content-Length: the last block says that it is the last, so that it need not be followed by
/// an empty one. It is closed all the same (REQ-444).
#[test]
fn the_last_block_of_a_known_length_is_the_end() {
    let answer = python().get_from(
        "closed = []
class Body:
    def __init__(self): self.items = iter([b'ab', b'cd'])
    def __iter__(self): return self.items
    def close(self): print('closed now')

def application(environ, start_response):
    start_response('200 OK', [('Content-Length', '4')])
    return Body()
",
    );
    assert_eq!(answer.outcome(), Outcome::Complete);
    let sends = [
        (b"ab".to_vec(), SEND_FLUSH),
        (b"cd".to_vec(), SEND_FLUSH | SEND_LAST),
    ];
    assert_eq!(answer.sends, sends);
    assert!(answer.has_error("closed now"));
}

/// Only the block that completes a Content-Length is left with a host that can keep it back, and only a short one. What the
/// application does behind it is done all the same.
#[test]
fn a_last_block_is_left_with_the_host() {
    let application = |length: &str, items: &str| {
        format!(
            "def items():
    yield from {items}
    print('all were taken')

def application(environ, start_response):
    start_response('200 OK', [{length}])
    return items()
"
        )
    };
    let length = |length: usize| format!("('Content-Length', '{length}')");
    for (length, items, held, sends) in [
        (length(4), "[b'abcd']", 1, 1),
        (length(4), "[b'ab', b'cd']", 1, 2),
        // What is too much is dropped, here and behind the last one.
        (length(4), "[b'ab', b'cdef', b'gh']", 1, 2),
        (length(9000), "[b'x' * 9000]", 0, 1),
        // The end comes by itself.
        (String::new(), "[b'ab', b'cd']", 0, 3),
        (length(5), "[b'ab', b'cd']", 0, 2),
    ] {
        let wire = crate::host::Wire {
            holds: true,
            ..crate::host::Wire::default()
        };
        let script = python().script(&application(&length, items));
        let answer = python().request(&script).wire(wire).run();
        assert_eq!(
            (answer.held, answer.sends.len()),
            (held, sends),
            "{length} {items}"
        );
        assert!(answer.has_error("all were taken"), "{length} {items}");
        if held == 1 {
            assert_eq!(
                (answer.outcome(), answer.text().as_str()),
                (Outcome::Complete, "abcd")
            );
        }
    }
}

/// REQ-444: close is called once, whatever happened after the callable returned.
#[test]
fn close_is_called_once() {
    let source = |items: &str| {
        format!(
            "class Body:
    def __iter__(self):
        {items}
    def close(self):
        print('closed')

def application(environ, start_response):
    start_response('200 OK', [])
    return Body()
"
        )
    };
    for (items, outcome) in [
        ("return iter([b'x'])", Outcome::Complete),
        ("yield b'x'; raise ValueError", Outcome::CutShort),
        ("raise ValueError", Outcome::Failed),
        ("yield 'x'", Outcome::Failed),
    ] {
        let answer = python().get_from(&source(items));
        assert_eq!(answer.outcome(), outcome, "{items}");
        let closed = answer
            .errors()
            .iter()
            .filter(|text| **text == "closed")
            .count();
        assert_eq!(closed, 1, "{items}: {:?}", answer.errors());
    }
    let wire = crate::host::Wire {
        gone_after: Some(0),
        ..Default::default()
    };
    let script = python().script(&source("yield b'x'; yield b'y'"));
    let answer = python().request(&script).wire(wire).run();
    // REQ-490: not an error.
    assert_eq!(
        (answer.outcome(), answer.errors()),
        (Outcome::Aborted, vec!["closed"])
    );
}

/// REQ-444, WSGI0194: exceptions of close are logged and change nothing; so does a `close` that cannot be looked up.
#[test]
fn a_failing_close_changes_nothing() {
    for (close, code) in [
        (
            "def close(self): raise KeyError('in close')",
            "KeyError: 'in close'",
        ),
        (
            "@property\n    def close(self): raise ValueError('in lookup')",
            "WSGI0194: ",
        ),
        (
            "@property\n    def close(self): raise AttributeError('none')",
            "",
        ),
    ] {
        let answer = python().get_from(&format!(
            "class Body(list):
    {close}

def application(environ, start_response):
    start_response('200 OK', [])
    return Body([b'x'])
"
        ));
        assert_eq!(
            (answer.outcome(), &*answer.text()),
            (Outcome::Complete, "x")
        );
        assert_eq!(
            answer.errors().is_empty(),
            code.is_empty(),
            "{:?}",
            answer.errors()
        );
        assert!(
            code.is_empty() || answer.has_error(code),
            "{:?}",
            answer.errors()
        );
    }
}

/// REQ-440, REQ-443, REQ-445: what is no answer is 500, with the reason in the log.
#[test]
fn wrong_answers() {
    for (body, error) in [
        ("start_response('200 OK', []); return ['x']", "TypeError: "),
        (
            "start_response('200 OK', []); return [bytearray(b'x')]",
            "TypeError: ",
        ),
        ("start_response('200 OK', []); return None", "TypeError: "),
        ("start_response('200 OK', []); return 5", "TypeError: "),
        ("start_response('200 OK', []); return b'abc'", "TypeError: "),
        ("return [b'x']", "RuntimeError: "),
        ("return []", "RuntimeError: "),
        ("return iter([b'x'])", "RuntimeError: "),
        ("return iter([])", "RuntimeError: "),
    ] {
        let answer = python().get_from(&format!(
            "def application(environ, start_response):\n    {body}\n"
        ));
        assert_eq!(
            (answer.outcome(), answer.status.as_deref()),
            (Outcome::Failed, None),
            "{body}"
        );
        assert!(
            answer.has_error("WSGI0174: ") && answer.has_error(error),
            "{:?}",
            answer.errors()
        );
    }
}

/// REQ-443: a generator may call start_response before its first item only.
#[test]
fn a_generator_starts_its_own_response() {
    let answer = python().get_from(
        "def application(environ, start_response):
    start_response('201 Made', [])
    yield b'x'
",
    );
    assert_eq!(answer.is_fine().status.as_deref(), Some("201 Made"));
}

/// A large list is sent without a copy; its objects are given back later.
#[test]
fn a_large_list_is_one_send() {
    for size in [32 * 1024, 32 * 1024 + 1, 9 * 1024 * 1024] {
        let answer = python().get_from(&format!(
            "def application(environ, start_response):
    start_response('200 OK', [('Content-Length', '{size}')])
    return (b'x' * {}, b'', b'y')
",
            size - 1
        ));
        answer.is_fine();
        assert_eq!((answer.sends.len(), answer.body().len()), (1, size));
        assert_eq!(answer.body().last(), Some(&b'y'));
    }
}
