//! Telemetry of a process whose consumer does not read: one test, because nothing can follow the end of a process.
#![allow(clippy::unwrap_used)] // test code

mod host;

use std::os::unix::net::UnixDatagram;

use host::{Python, settings};
use wsgi_core::python::TelemetrySettings;

/// TEL-013, TEL-050, TEL-051, TEL-070, TEL-071, TEL-090, TEL-091, TEL-093: the end of the process waits neither for the interval, which
/// is a day here, nor for the consumer, which reads only afterwards; kinds and numbers of the datagrams until then.
#[test]
fn the_end_waits_for_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("telemetry.sock");
    let consumer = UnixDatagram::bind(&socket).unwrap();
    let python = Python::get(|| {
        let mut settings = settings();
        settings.telemetry = Some(TelemetrySettings {
            socket: socket.to_str().unwrap().to_owned(),
            interval: 86_400.0,
            slow: 0.0,
            user_agent: false,
        });
        settings
    });
    python.on_main(|runtime| runtime.start_reporting().unwrap());
    let started = receive(&consumer);
    assert_eq!(started, (5, 1));
    std::thread::spawn(move || {
        for _ in 0..3 {
            let answer = python.get_from("def application(e, s): s('200 OK', []); return [b'x']");
            answer.is_fine();
        }
    })
    .join()
    .unwrap();
    // The queue of the consumer is full from here on.
    let other = UnixDatagram::unbound().unwrap();
    other.set_nonblocking(true).unwrap();
    let mut filled = 0;
    while other.send_to(b"other", &socket).is_ok() {
        filled += 1;
    }
    python.on_main(|runtime| runtime.publish_stopping("maximum_requests").unwrap());
    for _ in 0..filled {
        assert_eq!(consumer.recv(&mut [0; 8192]).unwrap(), 5);
    }
    python.on_main(|runtime| {
        runtime.stop().unwrap();
        runtime.report_forced_end("deadlock_timeout");
    });
    consumer.set_nonblocking(true).unwrap();
    // STOPPING had number 2, which nobody could take.
    assert_eq!(receive(&consumer), (2, 3), "the last tick");
    assert_eq!(
        receive(&consumer),
        (8, 4),
        "the main interpreter's collector"
    );
    let mut last = receive(&consumer);
    while last.0 == 9 {
        last = receive(&consumer);
    }
    assert_eq!(last.0, 7, "STOPPED");
    assert!(consumer.recv(&mut [0; 8192]).is_err(), "it is the last one");
}

/// Kind and number of the next datagram.
fn receive(consumer: &UnixDatagram) -> (u8, u32) {
    let mut bytes = [0; 8192];
    let length = consumer.recv(&mut bytes).unwrap();
    assert!(length >= 24 && bytes.starts_with(b"WSGI\x01"));
    let number = bytes[12..16].try_into().unwrap();
    (bytes[5], u32::from_le_bytes(number))
}
