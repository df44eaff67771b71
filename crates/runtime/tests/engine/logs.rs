//! `wsgi.errors`, `sys.stdout`, `sys.stderr` and `LogHandler`.

use crate::{evaluate, python};

#[track_caller]
fn records(lines: &str) -> Vec<String> {
    let answer = python().get_from(&crate::evaluating(lines));
    assert_eq!(
        answer.outcome(),
        wsgi_runtime_api::Outcome::Complete,
        "{:?}",
        answer.log
    );
    answer.errors().into_iter().map(str::to_owned).collect()
}

/// REQ-540 to REQ-543, API-035: the attributes of the stream and of its buffer.
#[test]
fn attributes_of_streams() {
    evaluate(
        "import io, sys
for stream, name in ((environ['wsgi.errors'], '<wsgi.errors>'), (sys.stdout, '<stdout>'), (sys.stderr, '<stderr>')):
    assert type(stream) is io.TextIOWrapper
    assert stream.name == name and stream.encoding == 'utf-8' and stream.errors == 'replace'
    assert stream.line_buffering and stream.write_through
    for s in (stream, stream.buffer):
        assert not s.isatty() and not s.readable() and s.writable() and not s.seekable()
        assert s.name == name and s.closed is False
        assert s.encoding == 'utf-8' and s.errors == 'replace'
        try: s.fileno(); assert False
        except OSError: pass
    try: stream.write(b'x'); assert False
    except TypeError: pass
    try: stream.read(); assert False
    except io.UnsupportedOperation: pass
    assert type(stream.buffer).__name__ == 'Log' and stream.buffer.write(b'') is None
    assert not hasattr(stream.buffer, 'read')",
    );
}

/// REQ-541: one record a line, blank lines too; a partial line waits for more, a flush or the end of the request.
#[test]
fn lines_become_records() {
    for (code, expected) in [
        ("e.write('one\\ntwo\\n')", vec!["one", "two"]),
        ("e.write('a\\n\\nb\\n')", vec!["a", "", "b"]),
        ("e.write('a'); e.write('b'); e.write('c\\n')", vec!["abc"]),
        ("e.write('a'); e.flush(); e.write('b')", vec!["a", "b"]),
        ("e.write('a\\nb'); e.write('c')", vec!["a", "b", "c"]),
        (
            "e.buffer.write(b'a\\nb'); e.buffer.write(b'c')",
            vec!["a", "bc"],
        ),
        (
            "e.buffer.writelines([b'a\\n', bytearray(b'b\\n'), memoryview(b'c\\n')])",
            vec!["a", "b", "c"],
        ),
        ("e.write('tail')", vec!["tail"]),
        ("print('printed', file=e)", vec!["printed"]),
        ("e.write('cut\\0here\\n')", vec!["cut"]),
        ("e.write('caf\\xe9 \\udcff\\n')", vec!["café ?"]),
    ] {
        let found = records(&format!("e = environ['wsgi.errors']\n{code}"));
        assert_eq!(found, expected, "{code}");
    }
}

/// API-036: very long lines are cut.
#[test]
fn long_lines_are_cut() {
    let found = records("environ['wsgi.errors'].write('x' * 100000 + '\\n')");
    assert_eq!((found.len(), found[0].len()), (1, 8192));
}

/// API-037, REQ-561: standard streams go to the request's log in its thread, elsewhere to the process's.
#[test]
fn standard_streams_are_routed() {
    let found = records(
        "import sys, threading
print('from stdout')
sys.stderr.write('from stderr\\n')
t = threading.Thread(target=lambda: print('from a thread of my own'))
t.start(); t.join()",
    );
    assert_eq!(found, ["from stdout", "from stderr"]);
    assert!(crate::host::is_logged("from a thread of my own"));
}

/// REQ-544: after `close()` writes fail; `closed` stays False.
#[test]
fn a_closed_stream_cannot_be_written() {
    evaluate(
        "b = environ['wsgi.errors'].buffer
b.close(); b.close(); b.flush()
assert b.closed is False
try: b.write(b'x'); assert False
except RuntimeError: pass",
    );
    // The next request of this thread is not affected.
    assert_eq!(records("environ['wsgi.errors'].write('x\\n')"), ["x"]);
}

/// REQ-540: a stream that was changed or kept does not come back.
#[test]
fn streams_are_not_shared_between_requests() {
    let script = python().script(
        "kept = []
def application(environ, start_response):
    errors = environ['wsgi.errors']
    start_response('200 OK', [])
    text = '%s %s %s' % (errors.line_buffering, errors.encoding, any(errors is k for k in kept))
    if environ['QUERY_STRING'] == 'keep':
        kept.append(errors)
    if environ['QUERY_STRING'] == 'change':
        errors.reconfigure(line_buffering=False)
    if environ['QUERY_STRING'] == 'detach':
        errors.detach()
    return [text.encode()]
",
    );
    for query in ["", "keep", "", "change", "", "detach", "", ""] {
        let answer = python().request(&script).set("QUERY_STRING", query).run();
        answer.is_fine();
        assert_eq!(answer.text(), "True utf-8 False", "after '{query}'");
    }
}

/// REQ-543: text on the binary stream is accepted.
#[test]
fn the_buffer_accepts_text() {
    assert!(records("environ['wsgi.errors'].buffer.write('text\\n')").contains(&"text".to_owned()));
    let (text, _) = crate::raises("environ['wsgi.errors'].buffer.write(5)");
    assert!(text.starts_with("TypeError: "), "{text}");
}

/// API-150, API-151, API-154: the handler for package logging.
#[test]
fn the_log_handler() {
    let answer = python().get_from(&crate::evaluating(
        "import logging, mod_wsgi
assert issubclass(mod_wsgi.LogHandler, logging.Handler)
class Mine(mod_wsgi.LogHandler): pass
handler = Mine()
assert handler.level == logging.NOTSET
logger = logging.Logger('mine')
logger.addHandler(handler)
logger.critical('a %s', 1); logger.error('b'); logger.warning('c'); logger.info('d'); logger.debug('e')
logger.error('one\\n\\ntwo\\n')
problems = []
handler.handleError = lambda record: problems.append(record)
logger.error('%d', 'x')
assert len(problems) == 1
try: handler.setLevel(logging.ERROR); logger.warning('dropped')
finally: handler.setLevel(0)",
    ));
    let records: Vec<_> = answer
        .log
        .iter()
        .map(|(level, _, text)| (*level, &**text))
        .collect();
    let expected = [
        (2, "a 1"),
        (3, "b"),
        (4, "c"),
        (6, "d"),
        (7, "e"),
        (3, "one"),
        (3, ""),
        (3, "two"),
    ];
    let start = records
        .iter()
        .position(|record| *record == expected[0])
        .unwrap();
    assert_eq!(records[start..], expected);
}

/// API-152: what the request's log does not take is dropped before it is formatted.
#[test]
fn levels_of_a_request() {
    let script = python().script(&crate::evaluating(
        "import logging, mod_wsgi
class Text:
    count = 0
    def __str__(self):
        Text.count += 1
        return 'text'
logger = logging.Logger('mine')
logger.addHandler(mod_wsgi.LogHandler())
for write in (logger.debug, logger.info, logger.warning, logger.error):
    write(Text())
return Text.count",
    ));
    for (level, expected) in [(15, "4"), (7, "4"), (6, "3"), (4, "2"), (3, "1"), (0, "0")] {
        let mut request = python().request(&script);
        request.wire.log_level = Some(level);
        assert_eq!(request.run().text(), expected, "{level}");
    }
}
