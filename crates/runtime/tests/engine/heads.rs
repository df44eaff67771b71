//! `start_response` and `write`.

use wsgi_runtime_api::Outcome;

use crate::{python, raises};

/// REQ-401, REQ-410 to REQ-425: every way in which a call can be wrong, with its exception; the state is unchanged.
#[test]
fn wrong_calls_raise() {
    for (call, exception) in [
        // REQ-410
        ("start_response()", "TypeError"),
        ("start_response('200 OK')", "TypeError"),
        ("start_response('200 OK', [], None, None)", "TypeError"),
        ("start_response(status='200 OK', headers=[])", "TypeError"),
        // REQ-411
        ("start_response('200 OK', ())", "TypeError"),
        ("start_response('200 OK', None)", "TypeError"),
        // REQ-412
        ("start_response(b'200 OK', [])", "TypeError"),
        ("start_response(200, [])", "TypeError"),
        // REQ-413
        ("start_response('200 \\u20ac', [])", "UnicodeEncodeError"),
        // REQ-414
        ("start_response('', [])", "ValueError"),
        ("start_response('20', [])", "ValueError"),
        ("start_response('2000 OK', [])", "ValueError"),
        ("start_response('OK', [])", "ValueError"),
        // REQ-415
        ("start_response('200-OK', [])", "ValueError"),
        // REQ-416, REQ-425
        ("start_response('200 O\\nK', [])", "ValueError"),
        ("start_response('200 O\\0K', [])", "ValueError"),
        // REQ-418
        ("start_response('200 OK', [['a', 'b']])", "TypeError"),
        ("start_response('200 OK', ['ab'])", "TypeError"),
        // REQ-419
        ("start_response('200 OK', [('a',)])", "ValueError"),
        ("start_response('200 OK', [('a', 'b', 'c')])", "ValueError"),
        // REQ-420
        ("start_response('200 OK', [(b'a', 'b')])", "TypeError"),
        ("start_response('200 OK', [('a', 1)])", "TypeError"),
        // REQ-421
        (
            "start_response('200 OK', [('a', '\\u20ac')])",
            "UnicodeEncodeError",
        ),
        // REQ-422
        ("start_response('200 OK', [('', 'b')])", "ValueError"),
        ("start_response('200 OK', [('a b', 'c')])", "ValueError"),
        ("start_response('200 OK', [('a\\t', 'c')])", "ValueError"),
        // REQ-423, REQ-425
        ("start_response('200 OK', [('a', 'b\\r')])", "ValueError"),
        (
            "start_response('200 OK', [('a', 'b\\nc: d')])",
            "ValueError",
        ),
        ("start_response('200 OK', [('a', 'b\\0')])", "ValueError"),
        // REQ-427
        ("start_response('200 OK', [], 5)", "RuntimeError"),
    ] {
        let (text, _) = raises(call);
        assert!(
            text.starts_with(&format!("{exception}: ")),
            "{call}: {text}"
        );
    }
}

/// REQ-417, REQ-424, REQ-426, REQ-427, REQ-428: what looks wrong and is not; the second call replaces the first.
#[test]
fn tolerated_calls() {
    for call in [
        "start_response('200', [])",
        "start_response('200 ', [])",
        "start_response('000 x', [])",
        "start_response('100 x', [])",
        "start_response('999 x', [])",
        "start_response('200 caf\\xe9', [('a', '\\xe9\\x01')])",
        "start_response('500 OK', [], None)",
        "start_response('500 OK', [], ())",
        "class L(list): pass\nstart_response('200 OK', L([('a', 'b')]))",
    ] {
        let (text, answer) = raises(call);
        assert_eq!(text, "nothing", "{call}");
        assert_eq!(answer.status.as_deref(), Some("200 OK"));
    }
}

/// REQ-401: it is a built-in method and returns `write`.
#[test]
fn start_response_is_a_builtin_method() {
    let (text, _) = raises(
        "import types
assert isinstance(start_response, types.BuiltinMethodType), type(start_response)
write = start_response('200 OK', [])
assert write.__name__ == 'write'
raise KeyError(type(start_response.__self__).__module__ + type(start_response.__self__).__name__)",
    );
    assert_eq!(text, "KeyError: 'mod_wsgiAdapter'");
}

/// REQ-429: no second call without exc_info when the head is on its way.
#[test]
fn a_second_call_after_the_head_raises() {
    let answer = python().get_from(
        "def application(environ, start_response):
    write = start_response('200 OK', [])
    write(b'')
    try:
        start_response('500 No', [])
    except RuntimeError as error:
        write(b'refused')
    return []
",
    );
    answer.is_fine();
    assert_eq!(
        (answer.status.as_deref(), &*answer.text()),
        (Some("200 OK"), "refused")
    );
}

/// REQ-430: with exc_info and the head on its way, that exception is raised again.
#[test]
fn exc_info_after_the_head_is_raised_again() {
    let answer = python().get_from(
        "import sys
def application(environ, start_response):
    write = start_response('200 OK', [])
    write(b'x')
    try:
        raise KeyError('mine')
    except KeyError:
        start_response('500 No', [], sys.exc_info())
    return []
",
    );
    assert_eq!(answer.outcome(), Outcome::CutShort);
    assert!(
        answer.has_error("KeyError: 'mine'"),
        "{:?}",
        answer.errors()
    );
    assert!(answer.has_error("in application"));
}

/// REQ-431: with exc_info before that, status and headers are replaced.
#[test]
fn exc_info_replaces_the_head() {
    let answer = python().get_from(
        "import sys
def application(environ, start_response):
    start_response('200 OK', [('A', 'b')])
    try:
        raise KeyError
    except KeyError:
        start_response('500 No', [('C', 'd')], sys.exc_info())
    return [b'sorry']
",
    );
    answer.is_fine();
    assert_eq!(answer.status.as_deref(), Some("500 No"));
    assert_eq!((answer.header("A"), answer.header("C")), (None, Some("d")));
}

/// REQ-432, API-038, REQ-507, REQ-544: objects of a request are of no use after it.
#[test]
fn objects_expire_with_their_request() {
    python()
        .get_from(
            "import sys
kept = sys.modules.setdefault('kept_by_a_test', type(sys)('kept_by_a_test'))
def application(environ, start_response):
    kept.start_response, kept.environ = start_response, environ
    kept.write = start_response('200 OK', [])
    return [b'']
",
        )
        .is_fine();
    let (text, answer) = raises(
        "import kept_by_a_test as kept
texts = []
for call in [
    lambda: kept.start_response('200 OK', []),
    lambda: kept.write(b'x'),
    lambda: kept.environ['wsgi.input'].read(),
    lambda: kept.environ['wsgi.input'].readline(),
    lambda: kept.environ['wsgi.input'].readlines(),
    lambda: next(kept.environ['wsgi.input']),
    lambda: kept.environ['wsgi.errors'].write('x'),
    lambda: kept.environ['wsgi.errors'].buffer.write(b'x'),
    lambda: kept.environ['wsgi.errors'].buffer.writelines([]),
]:
    try:
        call()
        texts.append('nothing')
    except RuntimeError as error:
        texts.append('RuntimeError')
kept.environ['wsgi.errors'].buffer.flush()
kept.environ['wsgi.errors'].buffer.close()
assert kept.environ['wsgi.errors'].closed is False
assert texts == ['RuntimeError'] * 9, texts",
    );
    assert_eq!(text, "nothing", "{:?}", answer.log);
}

/// REQ-435, REQ-437: write takes bytes only, and sends each block at once.
#[test]
fn write_sends_blocks_at_once() {
    let answer = python().get_from(
        "def application(environ, start_response):
    write = start_response('200 OK', [('X', 'y')])
    for wrong in (bytearray(b'x'), memoryview(b'x'), 'x', None):
        try:
            write(wrong)
            assert False
        except TypeError:
            pass
    assert write(b'one') is None
    write(b'two')
    return [b'three']
",
    );
    answer.is_fine();
    let blocks: Vec<_> = answer
        .sends
        .iter()
        .map(|(bytes, _)| bytes.as_slice())
        .collect();
    assert_eq!(blocks, [&b"one"[..], b"two", b"three", b""]);
}

/// REQ-438, REQ-491: a client that is gone makes write raise OSError, which is logged like any other exception.
#[test]
fn write_tells_that_the_client_is_gone() {
    let wire = crate::host::Wire {
        gone_after: Some(3),
        ..Default::default()
    };
    let script = python().script(
        "def application(environ, start_response):
    write = start_response('200 OK', [])
    write(b'abc')
    write(b'def')
",
    );
    let answer = python().request(&script).wire(wire).run();
    assert_eq!(answer.outcome(), Outcome::CutShort);
    assert!(
        answer.has_error("OSError: client connection closed"),
        "{:?}",
        answer.log
    );
    let wire = crate::host::Wire {
        fails_after: Some(3),
        ..Default::default()
    };
    let answer = python().request(&script).wire(wire).run();
    let text = "OSError: mod_wsgi failed to write response data: no route to the client";
    assert!(answer.has_error(text), "{:?}", answer.log);
}

/// REQ-447: a Content-Length that is no number is found when the head is committed: 500.
#[test]
fn a_wrong_content_length_is_an_error() {
    for value in ["x", "-1", "1,2"] {
        let answer = python().get_from(&format!(
            "def application(environ, start_response):
    start_response('200 OK', [('Content-Length', '{value}')])
    return [b'a']
"
        ));
        assert_eq!(
            (answer.outcome(), answer.status.as_deref()),
            (Outcome::Failed, None)
        );
        assert!(answer.has_error("ValueError: "), "{:?}", answer.errors());
    }
    for (value, body) in [(" +3", "abc"), ("", ""), ("003", "abc")] {
        let answer = python().get_from(&format!(
            "def application(environ, start_response):
    start_response('200 OK', [('content-length', '{value}')])
    return [b'{body}']
"
        ));
        answer.is_fine();
        assert_eq!(answer.content_length, Some(body.len() as u64));
    }
}
