//! One datagram of telemetry: framing, and for each field its name, its type, and the kinds of datagrams that have it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::OnceLock;

/// The longest datagram.
const LONGEST: usize = 8192;

/// Buckets of a distribution.
const BUCKETS: usize = 65;

/// The most threads that have a row of their own.
const SLOTS: usize = 128;

/// What a datagram tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// What the requests of an interval took.
    Request,
    /// A request that took long, or does.
    SlowRequest,
    /// A process begins to report.
    Started,
    /// It begins to end.
    Stopping,
    /// It ends.
    Stopped,
    /// The garbage collector of an interpreter.
    GcSnapshot,
    /// What that did once.
    GcEvent,
}

impl Kind {
    /// Its number on the wire, and its letter in [`FIELDS`].
    const ALL: [(u8, char, Kind); 7] = [
        (2, 'r', Kind::Request),
        (4, 'l', Kind::SlowRequest),
        (5, 's', Kind::Started),
        (6, 'p', Kind::Stopping),
        (7, 'x', Kind::Stopped),
        (8, 'g', Kind::GcSnapshot),
        (9, 'e', Kind::GcEvent),
    ];
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Type {
    U64,
    F64,
    /// At most so many.
    Bytes(usize),
    I32s,
    F64s,
}

use Type::{Bytes, F64, F64s, I32s, U64};

/// First id, names, type, and the letters of the kinds that have it: a capital one always has.
type Row = (u16, &'static [&'static str], Type, &'static str);

#[rustfmt::skip]
const FIELDS: &[Row] = &[
    (1, &["mod_wsgi_version"], Bytes(31), "RS"),
    (2, &["python_version", "apache_version"], Bytes(63), "RS"),
    (4, &["mpm_name"], Bytes(31), "RS"),
    (5, &["hostname"], Bytes(127), "RSPX"),
    (6, &["process_group"], Bytes(63), "rspx"),
    (7, &["process_parent_pid"], U64, "RS"),
    (8, &["interpreter_name"], Bytes(127), "ge"),
    (10, &["sample_period", "telemetry_interval", "slow_requests_threshold"], F64, "R"),
    (13, &["switch_interval"], F64, "rs"),
    (20, &["request_count"], U64, "R"),
    (21, &["request_throughput", "capacity_utilization"], F64, "R"),
    (30, &["cpu_user_utilization", "cpu_system_utilization", "cpu_utilization"], F64, "R"),
    (40, &["memory_rss", "memory_max_rss"], U64, "R"),
    (50, &["request_threads_maximum", "request_threads_started", "request_threads_active"], U64, "R"),
    (60, &["server_time"], F64, "R"),
    (61, &["queue_time", "daemon_time"], F64, "r"),
    (63, &["application_time", "request_time", "gil_wait_time", "input_read_time", "output_write_time"], F64, "R"),
    (70, &["server_time_min", "queue_time_min", "daemon_time_min", "application_time_min", "request_time_min",
        "gil_wait_time_min", "input_read_time_min", "output_write_time_min"], F64, "r"),
    (80, &["server_time_max", "queue_time_max", "daemon_time_max", "application_time_max", "request_time_max",
        "gil_wait_time_max", "input_read_time_max", "output_write_time_max"], F64, "r"),
    (90, &["server_time_buckets"], I32s, "R"),
    (91, &["queue_time_buckets", "daemon_time_buckets"], I32s, "r"),
    (93, &["application_time_buckets", "request_time_buckets", "gil_wait_time_buckets", "input_read_time_buckets",
        "output_write_time_buckets"], I32s, "R"),
    (100, &["input_bytes_total", "input_reads_total", "output_bytes_total", "output_writes_total"], U64, "R"),
    (110, &["request_threads_completed"], I32s, "R"),
    (111, &["request_threads_busy_time", "request_threads_cpu_time", "request_threads_current_elapsed",
        "request_threads_max_duration"], F64s, "R"),
    (120, &["status_1xx_total", "status_2xx_total", "status_3xx_total", "status_4xx_total", "status_5xx_total"], U64, "R"),
    (130, &["shutdown_reason"], Bytes(8000), "px"),
    (131, &["process_uptime"], F64, "X"),
    (132, &["lifetime_request_count"], U64, "X"),
    (133, &["active_requests_at_decision"], U64, "P"),
    (134, &["active_requests_at_exit", "graceful_drain"], U64, "X"),
    (200, &["slow_record_state"], U64, "L"),
    (201, &["slow_start_stamp", "slow_duration"], F64, "L"),
    (203, &["slow_thread_id"], U64, "L"),
    (204, &["slow_log_id"], Bytes(63), "l"),
    (205, &["slow_server_pid"], U64, "L"),
    (210, &["slow_method", "slow_scheme"], Bytes(15), "l"),
    (212, &["slow_hostname", "slow_script_name"], Bytes(255), "l"),
    (214, &["slow_path_info"], Bytes(511), "l"),
    (215, &["slow_protocol"], Bytes(15), "l"),
    (216, &["slow_peer_ip"], Bytes(45), "l"),
    (217, &["slow_user_agent"], Bytes(511), "l"),
    (220, &["slow_server_time", "slow_queue_time", "slow_daemon_time", "slow_application_time", "slow_gil_wait_time"], F64, "L"),
    (225, &["slow_gil_wait_count"], U64, "L"),
    (230, &["slow_input_bytes", "slow_input_reads", "slow_output_bytes", "slow_output_writes"], U64, "L"),
    (234, &["slow_input_read_time", "slow_output_write_time"], F64, "L"),
    (240, &["slow_status"], U64, "L"),
    (250, &["slow_cpu_user_time", "slow_cpu_system_time"], F64, "L"),
    (260, &["slow_active_at_start", "slow_active_at_completion"], U64, "L"),
    (300, &["gc_count0", "gc_count1", "gc_count2", "gc_threshold0", "gc_threshold1", "gc_threshold2", "gc_collections0",
        "gc_collections1", "gc_collections2", "gc_collected0", "gc_collected1", "gc_collected2", "gc_uncollectable0",
        "gc_uncollectable1", "gc_uncollectable2", "gc_is_enabled", "gc_freeze_count", "gc_dropped_events"], U64, "G"),
    (320, &["gc_event_start_stamp", "gc_event_duration"], F64, "E"),
    (322, &["gc_event_generation", "gc_event_collected", "gc_event_uncollectable"], U64, "E"),
];

#[derive(Debug)]
struct Field {
    name: &'static str,
    type_: Type,
    kinds: &'static str,
}

/// The fields by their id.
fn fields() -> &'static BTreeMap<u16, Field> {
    static FOUND: OnceLock<BTreeMap<u16, Field>> = OnceLock::new();
    FOUND.get_or_init(|| {
        let rows = FIELDS.iter().flat_map(|(first, names, type_, kinds)| {
            (*first..).zip(*names).map(|(id, name)| {
                let (type_, kinds) = (*type_, *kinds);
                (id, Field { name, type_, kinds })
            })
        });
        rows.collect()
    })
}

#[derive(Clone, PartialEq)]
enum Value {
    U64(u64),
    F64(f64),
    Bytes(Vec<u8>),
    I32s(Vec<i32>),
    F64s(Vec<f64>),
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::U64(value) => write!(f, "{value}"),
            Value::F64(value) => write!(f, "{value}"),
            Value::Bytes(value) => write!(f, "\"{}\"", value.escape_ascii()),
            Value::I32s(values) => write!(f, "{values:?}"),
            Value::F64s(values) => write!(f, "{values:?}"),
        }
    }
}

/// A datagram that was all right.
#[derive(Clone, Debug)]
pub struct Datagram {
    /// What it tells.
    pub kind: Kind,
    /// The process that sent it.
    pub pid: i32,
    /// Which one of that process it is, from 1 on.
    pub seq: u32,
    /// Seconds since the epoch.
    pub stamp: f64,
    /// All of its bytes.
    pub length: usize,
    fields: BTreeMap<&'static str, Value>,
}

impl Datagram {
    /// TEL-061, TEL-064, TEL-070 to TEL-074, TEL-082, TEL-180: more strictly than a consumer has to.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn decode(bytes: &[u8]) -> Result<Datagram, String> {
        decode(bytes).map_err(|fault| format!("{fault} in {}", bytes.escape_ascii()))
    }

    /// Whether it has this field.
    ///
    /// # Panics
    /// If no kind of datagram has.
    #[track_caller]
    pub fn has(&self, name: &str) -> bool {
        self.find(name).is_some()
    }

    /// A number that is whole.
    ///
    /// # Panics
    /// If it is not there.
    #[track_caller]
    pub fn count(&self, name: &str) -> u64 {
        match self.find(name) {
            Some(Value::U64(value)) => *value,
            _ => self.lacks(name, "whole number"),
        }
    }

    /// A number, mostly of seconds.
    ///
    /// # Panics
    /// If it is not there.
    #[track_caller]
    pub fn number(&self, name: &str) -> f64 {
        match self.find(name) {
            Some(Value::F64(value)) => *value,
            _ => self.lacks(name, "number"),
        }
    }

    /// A text; empty if it is not there.
    #[track_caller]
    pub fn text(&self, name: &str) -> String {
        match self.find(name) {
            Some(Value::Bytes(value)) => String::from_utf8_lossy(value).into_owned(),
            None => String::new(),
            Some(_) => self.lacks(name, "text"),
        }
    }

    /// A field of whatever type for comparisons and messages; empty if it is not there.
    ///
    /// # Panics
    /// If no kind of datagram has it.
    #[track_caller]
    pub fn shown(&self, name: &str) -> String {
        self.find(name)
            .map_or_else(String::new, |value| format!("{value:?}"))
    }

    /// A list of whole numbers.
    ///
    /// # Panics
    /// If it is not there.
    #[track_caller]
    pub fn counts(&self, name: &str) -> &[i32] {
        match self.find(name) {
            Some(Value::I32s(values)) => values,
            _ => self.lacks(name, "list of whole numbers"),
        }
    }

    /// A list of numbers, mostly of seconds.
    ///
    /// # Panics
    /// If it is not there.
    #[track_caller]
    pub fn numbers(&self, name: &str) -> &[f64] {
        match self.find(name) {
            Some(Value::F64s(values)) => values,
            _ => self.lacks(name, "list of numbers"),
        }
    }

    /// One line about it.
    pub fn summary(&self) -> String {
        let (kind, pid, seq, stamp) = (self.kind, self.pid, self.seq, self.stamp);
        let words = ["request_count", "slow_path_info", "shutdown_reason"];
        let words = words.map(|name| self.shown(name)).join(" ");
        format!("{stamp:.2} {pid} {seq} {kind:?} {}", words.trim())
    }

    #[track_caller]
    fn find(&self, name: &str) -> Option<&Value> {
        let is_known = fields().values().any(|field| field.name == name);
        assert!(is_known, "there is no field {name}");
        self.fields.get(name)
    }

    #[track_caller]
    fn lacks(&self, name: &str, what: &str) -> ! {
        panic!("no {what} {name} in {self:?}")
    }
}

fn decode(bytes: &[u8]) -> Result<Datagram, String> {
    if bytes.len() > LONGEST {
        return Err(format!("{} bytes", bytes.len()));
    }
    let mut rest = Rest(bytes);
    if rest.take(4)? != b"WSGI" {
        return Err("no datagram of telemetry".to_owned());
    }
    let [version, number] = rest.array::<2>()?;
    let flags = u16::from_le_bytes(rest.array()?);
    if (version, flags) != (1, 0) {
        return Err(format!("version {version}, flags {flags}"));
    }
    let known = Kind::ALL.iter().find(|(known, ..)| *known == number);
    let (_, letter, kind) = *known.ok_or_else(|| format!("kind {number}"))?;
    let pid = u32::from_le_bytes(rest.array()?);
    let seq = u32::from_le_bytes(rest.array()?);
    let stamp = f64::from_le_bytes(rest.array()?);
    let (pid, seq) = match i32::try_from(pid) {
        Ok(pid) if pid > 0 && seq > 0 => (pid, seq),
        _ => return Err(format!("process {pid}, number {seq}")),
    };
    if !(stamp.is_finite() && stamp > 1e9) {
        return Err(format!("time {stamp}"));
    }
    let mut found = BTreeMap::new();
    while !rest.0.is_empty() {
        let (name, value) = field(&mut rest, letter)?;
        if found.insert(name, value).is_some() {
            return Err(format!("{name} twice"));
        }
    }
    let capital = letter.to_ascii_uppercase();
    for field in fields().values() {
        if field.kinds.contains(capital) && !found.contains_key(field.name) {
            return Err(format!("{kind:?} without {}", field.name));
        }
    }
    Ok(Datagram {
        kind,
        pid,
        seq,
        stamp,
        length: bytes.len(),
        fields: found,
    })
}

fn field(rest: &mut Rest<'_>, letter: char) -> Result<(&'static str, Value), String> {
    let id = u16::from_le_bytes(rest.array()?);
    let [tag] = rest.array::<1>()?;
    let field = fields().get(&id).ok_or_else(|| format!("field {id}"))?;
    let name = field.name;
    if !field.kinds.to_ascii_lowercase().contains(letter) {
        return Err(format!("{name} in a datagram of kind {letter}"));
    }
    let value = match (tag, field.type_) {
        (1, U64) => Value::U64(u64::from_le_bytes(rest.array()?)),
        (2, F64) => Value::F64(rest.float(name)?),
        (4, Bytes(limit)) => {
            let length = rest.length()?;
            if length == 0 || length > limit {
                return Err(format!("{name} of {length} bytes"));
            }
            Value::Bytes(rest.take(length)?.to_vec())
        }
        (5, I32s) => {
            let length = rest.length()?;
            let is_slots = name == "request_threads_completed" && length <= SLOTS;
            if length != BUCKETS && !is_slots {
                return Err(format!("{name} of {length} elements"));
            }
            let values = (0..length).map(|_| Ok(i32::from_le_bytes(rest.array()?)));
            let values: Vec<i32> = values.collect::<Result<_, String>>()?;
            if values.iter().any(|value| *value < 0) {
                return Err(format!("{name} {values:?}"));
            }
            Value::I32s(values)
        }
        (6, F64s) => {
            let length = rest.length()?;
            if length > SLOTS {
                return Err(format!("{name} of {length} elements"));
            }
            let values = (0..length).map(|_| rest.float(name));
            Value::F64s(values.collect::<Result<_, String>>()?)
        }
        (tag, type_) => return Err(format!("{name} has tag {tag}, is {type_:?}")),
    };
    Ok((name, value))
}

/// Bytes that were not looked at yet.
struct Rest<'b>(&'b [u8]);

impl<'b> Rest<'b> {
    fn take(&mut self, count: usize) -> Result<&'b [u8], String> {
        let parts = self.0.split_at_checked(count);
        let (taken, rest) = parts.ok_or_else(|| format!("{count} bytes missing"))?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], String> {
        let taken = self.take(N)?;
        Ok(taken.try_into().expect("as many as asked for"))
    }

    fn length(&mut self) -> Result<usize, String> {
        Ok(u16::from_le_bytes(self.array()?).into())
    }

    /// No measure is negative.
    fn float(&mut self, name: &str) -> Result<f64, String> {
        let value = f64::from_le_bytes(self.array()?);
        if value.is_finite() && value >= 0.0 {
            Ok(value)
        } else {
            Err(format!("{name} is {value}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// STOPPING of process 7: `active_requests_at_decision` and what else is given.
    fn stopping(more: &[u8]) -> Vec<u8> {
        let mut bytes = b"WSGI\x01\x06\0\0\x07\0\0\0\x01\0\0\0".to_vec();
        bytes.extend(1.8e9_f64.to_le_bytes());
        bytes.extend(b"\x05\0\x04\x01\0h\x85\0\x01\x03\0\0\0\0\0\0\0");
        bytes.extend(more);
        bytes
    }

    #[test]
    fn a_datagram_has_its_fields() {
        let found = Datagram::decode(&stopping(b"\x82\0\x04\x02\0ab")).expect("it is all right");
        assert_eq!((found.kind, found.pid, found.seq), (Kind::Stopping, 7, 1));
        assert_eq!(found.count("active_requests_at_decision"), 3);
        assert_eq!(found.text("shutdown_reason"), "ab");
        assert!(!found.has("process_group"));
    }

    #[test]
    fn what_is_wrong_is_refused() {
        let good = stopping(b"");
        let changed = |at: usize, byte: u8| {
            let mut bytes = good.clone();
            bytes[at] = byte;
            bytes
        };
        for (what, bytes) in [
            ("magic", changed(0, b'w')),
            ("version", changed(4, 2)),
            ("kind", changed(5, 1)),
            ("flags", changed(6, 1)),
            ("number", changed(12, 0)),
            ("tag", changed(26, 7)),
            ("another tag", changed(26, 1)),
            ("cut short", good[..good.len() - 1].to_vec()),
            ("a field missing", good[..30].to_vec()),
            ("twice", stopping(b"\x05\0\x04\x01\0h")),
            ("unknown", stopping(b"\xff\xff\x04\x01\0h")),
            ("empty text", stopping(b"\x82\0\x04\0\0")),
            ("of another kind", stopping(b"\x14\0\x01\0\0\0\0\0\0\0\0")),
            ("too long", stopping(&[0; LONGEST])),
        ] {
            assert!(Datagram::decode(&bytes).is_err(), "{what}");
        }
    }
}
