//! Telemetry of a process that ends while its consumer reads: one test, because nothing can follow the end of a process.
#![allow(clippy::unwrap_used)] // test code

mod host;

use std::os::unix::net::UnixDatagram;

use host::{Python, reporting};

const STARTED: u8 = 5;
const STOPPING: u8 = 6;
const STOPPED: u8 = 7;
const REQUEST: u8 = 2;
const SLOW_REQUEST: u8 = 4;
const SNAPSHOT: u8 = 8;
const COLLECTION: u8 = 9;

/// TEL-013, TEL-050, TEL-051, TEL-070, TEL-071: kinds, order and numbers of the datagrams until the end. The last ones come at
/// once, more than a queue holds, and a consumer that reads gets them all.
#[test]
fn a_consumer_that_reads_gets_everything() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("telemetry.sock");
    let consumer = UnixDatagram::bind(&socket).unwrap();
    let python = Python::get(|| reporting(&socket, 1e-9));
    python.on_main(|runtime| {
        runtime.start_reporting().unwrap();
        // At once: STARTED comes first all the same.
        runtime.report_stopping("maximum_requests");
    });
    let reader = std::thread::spawn(move || {
        let mut datagrams = Vec::new();
        while datagrams.last().is_none_or(|(kind, _)| *kind != STOPPED) {
            datagrams.push(receive(&consumer));
        }
        consumer.set_nonblocking(true).unwrap();
        assert!(
            consumer.recv(&mut [0; 8192]).is_err(),
            "STOPPED is the last"
        );
        datagrams
    });
    std::thread::spawn(move || {
        let script = "import gc
gc.disable()
def application(environ, start_response):
    for _ in range(7):
        gc.collect()
    start_response('200 OK', [])
    return [b'x']
";
        for _ in 0..3 {
            python.get_from(script).is_fine();
        }
    })
    .join()
    .unwrap();
    python.on_main(|runtime| {
        runtime.publish_stopping("maximum_requests").unwrap();
        runtime.report_stopping("deadlock_timeout");
        runtime.stop().unwrap();
        runtime.report_forced_end("deadlock_timeout");
    });
    let datagrams = reader.join().unwrap();
    let mut expected = vec![STARTED, STOPPING, REQUEST];
    expected.extend([SLOW_REQUEST; 3]);
    expected.push(SNAPSHOT);
    expected.extend([COLLECTION; 21]);
    expected.push(STOPPED);
    let kinds: Vec<u8> = datagrams.iter().map(|(kind, _)| *kind).collect();
    assert_eq!(kinds, expected);
    assert!(
        (1..)
            .zip(&datagrams)
            .all(|(number, (_, seq))| *seq == number)
    );
}

/// Kind and number of the next datagram.
fn receive(consumer: &UnixDatagram) -> (u8, u32) {
    let mut bytes = [0; 8192];
    let length = consumer.recv(&mut bytes).unwrap();
    assert!(length >= 24 && bytes.starts_with(b"WSGI\x01"));
    let number = bytes[12..16].try_into().unwrap();
    (bytes[5], u32::from_le_bytes(number))
}
