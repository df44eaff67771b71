//! Garbage collections of an interpreter, and the state of its collector (TEL-200 to TEL-208, API-420).

use std::collections::VecDeque;

use super::datagram::{Datagram, Kind, Stamp};

/// Collections that are kept (TEL-208).
const RING: usize = 256;

/// Collections that are sent at a time (TEL-208).
const AT_ONCE: usize = 64;

/// Longest name of an interpreter, bytes (TEL-207).
const NAME: usize = 127;

fn datagram(kind: Kind, interpreter: Option<&str>, stamp: Stamp) -> Datagram {
    let mut datagram = Datagram::new(kind, stamp);
    datagram.bytes(8, interpreter.unwrap_or("").as_bytes(), NAME);
    datagram
}

/// A garbage collection.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Collection {
    /// Seconds since the epoch.
    pub start: f64,
    /// Seconds.
    pub duration: f64,
    /// The oldest generation that was collected.
    pub generation: u8,
    /// Objects that were freed.
    pub collected: u64,
    /// Objects that could not be freed.
    pub uncollectable: u64,
}

impl Collection {
    /// As a datagram. `interpreter` is the name, None or empty for the main one or the only one.
    pub fn encode(&self, interpreter: Option<&str>, stamp: Stamp) -> Vec<u8> {
        let mut datagram = datagram(Kind::GcEvent, interpreter, stamp);
        datagram.f64(320, self.start);
        datagram.f64(321, self.duration);
        datagram.u64(322, u64::from(self.generation));
        datagram.u64(323, self.collected);
        datagram.u64(324, self.uncollectable);
        datagram.finish()
    }
}

/// Collections of an interpreter that are not sent yet. The oldest gives way to a new one.
#[derive(Clone, Debug, Default)]
pub struct Collections {
    kept: VecDeque<Collection>,
    dropped: u64,
}

impl Collections {
    /// None yet.
    pub const fn new() -> Collections {
        Collections {
            kept: VecDeque::new(),
            dropped: 0,
        }
    }

    /// Keeps one.
    pub fn push(&mut self, collection: Collection) {
        if self.kept.len() >= RING {
            self.kept.pop_front();
            self.dropped += 1;
        }
        self.kept.push_back(collection);
    }

    /// The oldest of them, at most 64, in their order; the others are left for the next call.
    pub fn take(&mut self) -> Vec<Collection> {
        let count = self.kept.len().min(AT_ONCE);
        self.kept.drain(..count).collect()
    }

    /// How many gave way since the last call.
    pub fn take_dropped(&mut self) -> u64 {
        std::mem::take(&mut self.dropped)
    }
}

/// State of the garbage collector of an interpreter; by generation, youngest first. What cannot be read is 0.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GcSnapshot {
    /// `gc.get_count()`
    pub counts: [u64; 3],
    /// `gc.get_threshold()`
    pub thresholds: [u64; 3],
    /// `collections` of `gc.get_stats()`: since the interpreter started.
    pub collections: [u64; 3],
    /// `collected` likewise.
    pub collected: [u64; 3],
    /// `uncollectable` likewise.
    pub uncollectable: [u64; 3],
    /// `gc.isenabled()`
    pub is_enabled: bool,
    /// `gc.get_freeze_count()`
    pub freeze_count: u64,
    /// [`Collections::take_dropped`]: since the snapshot before (TEL-205).
    pub dropped: u64,
}

impl GcSnapshot {
    /// As a datagram. `interpreter` as in [`Collection::encode`].
    pub fn encode(&self, interpreter: Option<&str>, stamp: Stamp) -> Vec<u8> {
        let mut datagram = datagram(Kind::GcSnapshot, interpreter, stamp);
        let by_generation = [
            self.counts,
            self.thresholds,
            self.collections,
            self.collected,
            self.uncollectable,
        ];
        for (id, count) in (300..).zip(by_generation.into_iter().flatten()) {
            datagram.u64(id, count);
        }
        datagram.u64(315, u64::from(self.is_enabled));
        datagram.u64(316, self.freeze_count);
        datagram.u64(317, self.dropped);
        datagram.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::super::decoded::Decoded;
    use super::*;

    const STAMP: Stamp = Stamp {
        pid: 10,
        seq: 4,
        time: 100.0,
    };

    /// TEL-200, TEL-201, TEL-202, TEL-203, TEL-204, TEL-205
    #[test]
    fn snapshot() {
        let snapshot = GcSnapshot {
            counts: [1, 2, 3],
            thresholds: [4, 5, 6],
            collections: [7, 8, 9],
            collected: [10, 11, 12],
            uncollectable: [13, 14, 15],
            is_enabled: true,
            freeze_count: 17,
            dropped: 18,
        };
        let decoded = Decoded::of(&snapshot.encode(None, STAMP));
        assert_eq!((decoded.kind, decoded.stamp), (8, STAMP));
        assert_eq!(decoded.ids(), (300..318).collect::<Vec<_>>());
        let values: Vec<u64> = (300..318).map(|id| decoded.u64(id)).collect();
        let mut expected: Vec<u64> = (1..19).collect();
        expected[15] = 1;
        assert_eq!(values, expected);
        let decoded = Decoded::of(&GcSnapshot::default().encode(None, STAMP));
        assert_eq!(decoded.u64(315), 0);
    }

    /// TEL-206
    #[test]
    fn event() {
        let collection = Collection {
            start: 1.5,
            duration: f64::NAN,
            generation: 2,
            collected: 3,
            uncollectable: u64::MAX,
        };
        let decoded = Decoded::of(&collection.encode(None, STAMP));
        assert_eq!((decoded.kind, decoded.stamp), (9, STAMP));
        assert_eq!(decoded.ids(), (320..325).collect::<Vec<_>>());
        assert_eq!([320, 321].map(|id| decoded.f64(id)), [1.5, 0.0]);
        assert_eq!([322, 323, 324].map(|id| decoded.u64(id)), [2, 3, u64::MAX]);
    }

    /// TEL-207: the name in both kinds, cut; none for the main interpreter.
    #[test]
    fn names() {
        let long = "n".repeat(200);
        for (name, sent) in [
            (None, ""),
            (Some(""), ""),
            (Some("host|/app"), "host|/app"),
            (Some(&long[..]), &long[..127]),
        ] {
            let snapshot = GcSnapshot::default().encode(name, STAMP);
            let event = Collection::default().encode(name, STAMP);
            for data in [snapshot, event] {
                assert_eq!(Decoded::of(&data).text(8), sent);
            }
        }
    }

    /// TEL-205, TEL-208, API-420: 256 are kept, 64 taken at a time, and what was lost is counted since the last time.
    #[test]
    fn ring() {
        let mut ring = Collections::new();
        for number in 0..300 {
            ring.push(Collection {
                collected: number,
                ..Collection::default()
            });
        }
        assert_eq!((ring.take_dropped(), ring.take_dropped()), (44, 0));
        let mut next = 44;
        for expected in [64, 64, 64, 64, 0] {
            let taken = ring.take();
            assert_eq!(taken.len(), expected);
            for collection in taken {
                assert_eq!(collection.collected, next);
                next += 1;
            }
        }
        assert_eq!(next, 300);
        ring.push(Collection::default());
        assert_eq!((ring.take().len(), ring.take_dropped()), (1, 0));
    }
}
