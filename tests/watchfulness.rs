//! The harness itself: that it notices what it is there to notice. A test suite that cannot fail proves nothing.

use std::fs;

use nix::sys::signal::Signal;
use wsgi_harness::{Server, Site, load, wait_until};

fn server(body: &str) -> Server {
    let server = Site::embedded()
        .script("/", &format!("import os, subprocess, sys\n\ndef application(e, s):\n    {body}\n    s('200 OK', [])\n    return [b'done']\n"))
        .start();
    server.get("/").expect(200);
    server
}

#[test]
#[should_panic(expected = "unexpected in the log")]
fn a_line_that_nobody_expected() {
    let server = server("print('surprise', file=e['wsgi.errors'])");
    wait_until("the line", || {
        (server.log().count("surprise") > 0).then_some(())
    });
    server.stop();
}

#[test]
#[should_panic(expected = "not in the log: never written")]
fn a_line_that_is_missing() {
    let server = server("pass");
    server.expect_log("never written");
    server.stop();
}

#[test]
#[should_panic(expected = "left over: ")]
fn a_file_beside_the_sockets() {
    let server = server("pass");
    fs::write(server.path("run/forgotten.sock"), "").expect("a file of the site");
    server.stop();
}

/// What is left is ended as well.
#[test]
fn a_process_that_stays() {
    let server = server("subprocess.Popen(['/bin/sleep', '600'], start_new_session=True)");
    let sleep = wait_until("the process", || {
        server
            .processes()
            .into_iter()
            .find(|process| process.command == "/bin/sleep 600")
    });
    let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| server.stop()));
    let message = outcome.expect_err("a leftover fails the test");
    let message = message
        .downcast_ref::<String>()
        .expect("a panic with a message");
    assert!(
        message.contains(&format!("left over: {} /bin/sleep 600", sleep.pid)),
        "{message}"
    );
    assert!(!sleep.is_alive());
}

#[test]
#[should_panic(expected = "crashed: ")]
fn a_child_that_crashes() {
    let server = server("pass");
    let child = server.children().remove(0);
    child.signal(Signal::SIGSEGV);
    server.wait_until_gone(&[child]);
    wait_until("the line", || {
        (server.log().count("exit signal Segmentation fault") > 0).then_some(())
    });
    server.stop();
}

/// Answers that belong to somebody else are counted as such.
#[test]
fn answers_that_are_mixed_up() {
    let server = server("pass");
    let tally = load::run(
        server.address(),
        2,
        load::Connections::Kept,
        std::time::Duration::from_millis(200),
        |_, number| {
            let expected = if number % 2 == 0 {
                "done"
            } else {
                "somebody else's"
            };
            (
                wsgi_harness::Request::get("/"),
                expected.as_bytes().to_vec(),
            )
        },
    );
    assert!(
        tally.count("wrong") > 0 && tally.count("good") > 0,
        "{tally}"
    );
    assert_eq!(
        tally.count("wrong") + tally.count("good"),
        tally.total(),
        "{tally}"
    );
}
