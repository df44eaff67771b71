//! An application that writes over the memory that its process shares with Apache's children.

use wsgi_harness::{Site, subject, wait_until};

const OVERWRITING: &str = r#"
import ctypes
import os

def overwrite(byte):
    count = 0
    for line in open("/proc/self/maps"):
        place, access = line.split()[:2]
        if access == "rw-s":
            start, end = (int(number, 16) for number in place.split("-"))
            ctypes.memset(start, byte, end - start)
            count += 1
    return count

def application(environ, start_response):
    query = environ["QUERY_STRING"]
    text = str(overwrite(int(query)) if query else os.getpid())
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [text.encode()]
"#;

/// DMN-540, DMN-905: the group answers again as soon as its processes have noticed, and new processes find what they need; other
/// groups notice nothing.
#[test]
fn overwritten_memory_is_set_right() {
    if !subject().is_ours() {
        return;
    }
    let server = Site::daemon()
        .daemon_options("processes=2 threads=2")
        .script("/app", OVERWRITING)
        .config(
            "WSGIDaemonProcess other processes=1\n\
             WSGIScriptAlias /other {apps}/app.wsgi process-group=other application-group=%{GLOBAL}",
        )
        .start();
    for text in ["WSGI5216", "WSGI0145", "'live'"] {
        server.allow_log(text);
    }
    // All the processes are there when a byte is written: one that starts later overwrites it.
    let are_ready = |count| {
        wait_until("all processes", || {
            let ready = server.log().count("of daemon group 'live' is ready");
            (ready >= count).then_some(())
        });
    };
    are_ready(2);
    for (round, byte) in [0, 1, 127, 255].into_iter().enumerate() {
        let count = server.get(&format!("/app?{byte}")).expect(200).text();
        assert_ne!(count, "0", "{byte}");
        server.get("/other").expect(200);
        wait_until("both processes are back", || {
            (server.log().count("WSGI5216") >= 2 * (round + 1)).then_some(())
        });
        server.get("/app").expect(200);
        let old = server.daemon(server.served_by("/app"));
        old.signal(nix::sys::signal::Signal::SIGTERM);
        server.wait_until_gone(&[old]);
        server.get("/app").expect(200);
        are_ready(3 + round);
    }
}
