//! docs/telemetry.md tells consumers of every field: what is sent is there, with its type, and what is there is sent.

use std::collections::BTreeMap;
use std::path::Path;

use super::decoded::{Decoded, Value};
use super::{Collection, GcSnapshot, Identity, Sample, SlowRequest, Stamp, Stopped, Stopping};
use crate::metrics::{Finished, PHASES, Recorder};

/// One datagram of each kind, with all fields that it can have.
fn datagrams() -> [Vec<u8>; 7] {
    let stamp = Stamp::default();
    let text = || "x".to_owned();
    let identity = Identity {
        version: text(),
        python: text(),
        apache: text(),
        mpm: text(),
        hostname: text(),
        process_group: text(),
        parent_pid: 1,
        switch_interval: Some(0.005),
    };
    let mut recorder = Recorder::new();
    recorder.start(0);
    recorder.begin(1, 0);
    let finished = Finished {
        status: 200,
        phases: [Some(1); PHASES],
        ..Finished::default()
    };
    recorder.end(1, 0, 10, 1, Some(finished));
    let interval = recorder.drain(1_000_000).expect("it was started");
    let sample = Sample {
        interval: &interval,
        period: 1.0,
        telemetry_interval: 1.0,
        slow_threshold: 0.0,
        cpu: (0.0, 0.0),
        memory: (0, 0),
        maximum: 1,
        is_daemon: true,
    };
    let text = || b"x".to_vec();
    let slow = SlowRequest {
        log_id: text(),
        method: text(),
        scheme: text(),
        hostname: text(),
        script_name: text(),
        path_info: text(),
        protocol: text(),
        peer_ip: text(),
        user_agent: text(),
        ..SlowRequest::default()
    };
    let reason = "reason";
    let stopped = Stopped {
        reason,
        uptime: 1.0,
        requests: 1,
        active: 0,
        is_clean: true,
    };
    [
        identity.started(stamp),
        Stopping { reason, active: 0 }.encode(&identity, stamp),
        stopped.encode(&identity, stamp),
        sample.encode(&identity, stamp),
        slow.encode(stamp),
        GcSnapshot::default().encode(Some("x"), stamp),
        Collection::default().encode(Some("x"), stamp),
    ]
}

/// TEL-100 to TEL-208: in tables whose first column is `field`: number or range, then name and type.
#[test]
fn every_field_is_documented() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/telemetry.md");
    let page = std::fs::read_to_string(page).unwrap();
    let mut told = BTreeMap::new();
    let mut is_of_fields = false;
    for line in page.lines() {
        let cells: Vec<_> = line.split('|').map(str::trim).collect();
        if cells.len() < 4 || cells[1].starts_with('-') {
            is_of_fields &= cells.len() >= 4;
            continue;
        }
        if cells[1] == "field" {
            is_of_fields = true;
            continue;
        }
        if !is_of_fields {
            continue;
        }
        let (first, last) = cells[1].split_once(" to ").unwrap_or((cells[1], cells[1]));
        let range = first.parse::<u16>().unwrap()..=last.parse().unwrap();
        for id in range {
            assert_eq!(told.insert(id, cells[3].to_owned()), None, "{id} again");
        }
    }
    let mut sent = BTreeMap::new();
    for datagram in datagrams() {
        for (id, value) in Decoded::of(&datagram).fields {
            let kind = match value {
                Value::U64(_) => "u64",
                Value::F64(_) => "f64",
                Value::Bytes(_) => "text",
                Value::I32s(_) => "i32 list",
                Value::F64s(_) => "f64 list",
            };
            sent.insert(id, kind.to_owned());
        }
    }
    assert_eq!(told, sent);
}
