//! Telemetry of a process whose consumer does not read: one test, because nothing can follow the end of a process.
#![allow(clippy::unwrap_used)] // test code

mod host;

use std::os::unix::net::UnixDatagram;

use host::{Python, reporting};

/// TEL-090, TEL-091, TEL-093: the end of the process waits neither for the interval, which is a day here, nor for the consumer, whose
/// queue is full.
#[test]
fn the_end_waits_for_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("telemetry.sock");
    let consumer = UnixDatagram::bind(&socket).unwrap();
    let python = Python::get(|| reporting(&socket, 0.0));
    python.on_main(|runtime| runtime.start_reporting().unwrap());
    // STARTED.
    assert_eq!(
        consumer.recv(&mut [0; 8192]).ok().map(|size| size > 24),
        Some(true)
    );
    std::thread::spawn(move || {
        let answer = python.get_from("def application(e, s): s('200 OK', []); return [b'x']");
        answer.is_fine();
    })
    .join()
    .unwrap();
    // Each socket may fill its own buffer as well, so that only the first datagram of one tells of the queue.
    let others: Vec<UnixDatagram> = std::iter::repeat_with(|| UnixDatagram::unbound().unwrap())
        .take_while(|other| {
            other.set_nonblocking(true).unwrap();
            other.send_to(b"other", &socket).is_ok()
        })
        .collect();
    assert!(!others.is_empty());
    python.on_main(|runtime| {
        runtime.publish_stopping("maximum_requests").unwrap();
        runtime.report_stopping("maximum_requests");
        runtime.stop().unwrap();
        runtime.report_forced_end("deadlock_timeout");
    });
    for _ in others {
        assert_eq!(consumer.recv(&mut [0; 8192]).unwrap(), 5);
    }
    consumer.set_nonblocking(true).unwrap();
    assert!(consumer.recv(&mut [0; 8192]).is_err(), "nothing else came");
}
