//! What counts as activity for inactivity-timeout: a process with one test, so that nothing else counts.
#![allow(clippy::unwrap_used)] // test code

mod host;

use std::sync::atomic::Ordering;

use host::{ACTIVITY, Python, settings};
use wsgi_runtime_api::REQUEST_IGNORE_ACTIVITY;

const BODY: &[u8] = b"first\nsecond\nlast";

/// How often a request to this application tells of activity.
fn count(lines: &str, flags: u32) -> usize {
    let python = Python::get(settings);
    let script = python.script(&format!(
        "def application(environ, start_response):
    i = environ['wsgi.input']
    write = start_response('200 OK', [])
    {lines}
"
    ));
    let before = ACTIVITY.load(Ordering::SeqCst);
    python
        .request(&script)
        .post(BODY)
        .flags(flags)
        .run()
        .is_fine();
    ACTIVITY.load(Ordering::SeqCst) - before
}

/// DP-99, DIR-126, DMN-445: each call of `read()` counts, no other way to read does, and each block of the answer that is sent on its
/// own; nothing does under WSGIIgnoreActivity.
#[test]
fn reads_and_blocks_are_activity() {
    // The end of the answer counts as well, with the list that is all of it.
    for (lines, expected) in [
        ("return [b'x']", 0),
        ("i.read(); return []", 1),
        ("i.read(3); i.read(3); i.read(3); return []", 3),
        ("i.read(); i.read(); return []", 2),
        ("i.readline(); i.readline(); return []", 0),
        ("i.readlines(); return []", 0),
        ("list(i); return []", 0),
        ("write(b'x'); write(b'y'); return []", 2),
        ("return (block for block in (b'x', b'y', b'z'))", 3),
        ("i.read(3); write(b'x'); i.read(); return []", 3),
    ] {
        assert_eq!(count(lines, 0), expected + 1, "{lines}");
        assert_eq!(count(lines, REQUEST_IGNORE_ACTIVITY), 0, "{lines}");
    }
}
