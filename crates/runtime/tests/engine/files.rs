//! `wsgi.file_wrapper`.

use std::sync::atomic::{AtomicUsize, Ordering};

use wsgi_runtime_api::{Outcome, SEND_LAST};

use crate::{evaluate, python, raises};

/// REQ-580, REQ-581, REQ-582, API-115, API-140, API-141, API-142: the class itself.
#[test]
fn the_class() {
    evaluate(
        "import io
W = environ['wsgi.file_wrapper']
f = io.BytesIO(b'abcdefg')
w = W(f, 3)
assert w.filelike is f and w.blksize == 3
assert iter(w) is w and list(w) == [b'abc', b'def', b'g'] and list(w) == []
assert W(f).blksize == 8192 and W(filelike=f, blksize=5).blksize == 5
assert list(W(io.BytesIO(b'x'), 0)) == []
w.close(); w.close()
assert f.closed
for closed in (lambda: next(w), lambda: w.filelike):
    try: closed(); assert False
    except ValueError as error: assert 'closed file' in str(error)
class Sub(W):
    def extra(self): return 1
assert Sub(io.BytesIO(b'x')).extra() == 1 and list(Sub(io.BytesIO(b'x'))) == [b'x']
class Small(W):
    def __init__(self, file): super().__init__(file, blksize=2)
assert list(Small(io.BytesIO(b'abc'))) == [b'ab', b'c']
class Never(W):
    def __init__(self, *rest): pass
assert Never(1, 2, 3).filelike is None and Never().blksize == 8192 and Never().close() is None
again = W(io.BytesIO(b'x'), 5)
again.__init__(io.BytesIO(b'yz'), 1)
assert list(again) == [b'y', b'z']
class Bad(W): blksize = 'x'
try: next(Bad(io.BytesIO(b'x'))); assert False
except TypeError: pass
class NoClose:
    def read(self, n): return 'text'
w = W(NoClose())
try: next(w); assert False
except TypeError: pass
w.close()
class Fails:
    def close(self): raise KeyError
W(Fails()).close()
w = W(f)
try: w.blksize = 3; assert False
except AttributeError: pass
import gc, weakref
class Cycle: pass
c = Cycle(); c.wrapper = W(c); r = weakref.ref(c)
del c; gc.collect()
assert r() is None",
    );
    for (call, error) in [
        ("environ['wsgi.file_wrapper']()", "TypeError"),
        ("environ['wsgi.file_wrapper'](1, 2, 3)", "TypeError"),
        ("environ['wsgi.file_wrapper'](1, -1)", "ValueError"),
        ("environ['wsgi.file_wrapper'](1, 'x')", "TypeError"),
        ("environ['wsgi.file_wrapper'](1, size=2)", "TypeError"),
        ("environ['wsgi.file_wrapper'](1, filelike=2)", "TypeError"),
    ] {
        assert!(raises(call).0.starts_with(error), "{call}");
    }
}

fn from_file(headers: &str, code: &str) -> crate::host::Answer {
    // Each of the tests, which run at the same time, has its own: writing a file empties it first.
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let file = python().file(&format!("data{count}.bin"), b"0123456789");
    python().get_from(&format!(
        "class Wrapper:
    pass

def application(environ, start_response):
    W = environ['wsgi.file_wrapper']
    write = start_response('200 OK', {headers})
    f = open({:?}, 'rb')
    {code}
",
        file.to_str().unwrap()
    ))
}

/// REQ-583 to REQ-585, REQ-587, API-143: a regular file goes out by its descriptor, from its position, and is closed.
#[test]
fn a_regular_file_is_sent_by_descriptor() {
    let answer = from_file("[]", "return W(f)");
    answer.is_fine();
    assert_eq!((answer.files, &*answer.text()), (1, "0123456789"));
    assert_eq!(
        (answer.content_length, answer.header("Content-Length")),
        (Some(10), Some("10"))
    );
    assert_eq!(answer.sends[0].1, SEND_LAST);

    let answer = from_file("[]", "f.read(4); return W(f)");
    answer.is_fine();
    assert_eq!(
        (answer.files, &*answer.text(), answer.content_length),
        (1, "456789", Some(6))
    );

    let answer = from_file("[('Content-Length', '3')]", "f.seek(2); return W(f)");
    answer.is_fine();
    assert_eq!((answer.files, &*answer.text()), (1, "234"));

    let answer = from_file("[]", "f.seek(10); return W(f)");
    answer.is_fine();
    assert_eq!((&*answer.text(), answer.content_length), ("", Some(0)));
}

/// REQ-584 FIX: a Content-Length beyond the file gives what there is, and the answer does not look whole.
#[test]
fn a_file_that_is_too_short_is_cut() {
    let answer = from_file("[('Content-Length', '30')]", "return W(f)");
    assert_eq!(
        (answer.outcome(), &*answer.text()),
        (Outcome::CutShort, "0123456789")
    );
    assert!(answer.sends.iter().all(|(_, flags)| flags & SEND_LAST == 0));
}

/// REQ-583, API-143: everything else is iterated.
#[test]
fn other_files_are_iterated() {
    for code in [
        "import io; return W(io.BytesIO(b'0123456789'))",
        "write(b'0'); f.read(1); return W(f)",
        "import os, io; r, w = os.pipe(); os.write(w, b'0123456789'); os.close(w); return W(os.fdopen(r, 'rb'))",
        "f.tell = None; return iter(W(f))",
    ] {
        let code = if code.starts_with("f.tell") {
            "return iter(W(f))"
        } else {
            code
        };
        let answer = from_file("[]", code);
        let is_wrapper_itself = code == "return iter(W(f))";
        answer.is_fine();
        assert_eq!(answer.text(), "0123456789", "{code}");
        assert_eq!(answer.files, usize::from(is_wrapper_itself), "{code}");
    }
}

/// REQ-585: the descriptor's position is what it was, and close is called.
#[test]
fn the_file_is_left_as_it_was() {
    let answer = from_file(
        "[]",
        "f.read(2)
    class File:
        def __init__(self): self.f = f
        def fileno(self): return f.fileno()
        def tell(self): return f.tell()
        def read(self, n): return f.read(n)
        def close(self): print('at', f.tell())
    return W(File())",
    );
    assert_eq!(
        (answer.outcome(), answer.errors()),
        (Outcome::Complete, vec!["at 2"])
    );
    assert_eq!((answer.files, &*answer.text()), (1, "23456789"));
}
