//! Framing of a datagram (TEL-061, TEL-070 to TEL-074): a header of 24 bytes, then fields, each with its number, its type and
//! its value. All numbers are little-endian.
//!
//! The writer checks lengths: a consumer refuses a datagram with a field cut short, so one that does not fit is not there at
//! all (TEL-095).

/// Longest datagram, bytes.
pub const LONGEST: usize = 8192;

/// Version of the format.
const VERSION: u8 = 1;

/// What an over-long text ends in.
const ELLIPSIS: &[u8] = b"...";

/// What a datagram is about (TEL-071). 1 and 3 are reserved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// What requests took in an interval; once in each.
    Request = 2,
    /// A request that takes long, or took long.
    SlowRequest = 4,
    /// The process has started.
    Started = 5,
    /// The process is going to end.
    Stopping = 6,
    /// The process ends.
    Stopped = 7,
    /// State of the garbage collector of an interpreter; once in each interval.
    GcSnapshot = 8,
    /// A garbage collection.
    GcEvent = 9,
}

/// Who sends, which datagram of the process it is, and when.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Stamp {
    /// The process.
    pub pid: u32,
    /// From 1, one more for each datagram of the process, of whatever kind.
    pub seq: u32,
    /// Seconds since the epoch.
    pub time: f64,
}

/// Types of values (TEL-072).
#[derive(Clone, Copy)]
#[repr(u8)]
enum Tag {
    U64 = 1,
    F64 = 2,
    Bytes = 4,
    I32s = 5,
    F64s = 6,
}

/// A datagram that is being written. The caller gives each field at most once (TEL-073).
#[derive(Clone, Debug)]
pub struct Datagram {
    data: Vec<u8>,
}

impl Datagram {
    /// One without fields.
    pub fn new(kind: Kind, stamp: Stamp) -> Datagram {
        let mut data = Vec::with_capacity(1024);
        data.extend_from_slice(b"WSGI");
        data.push(VERSION);
        data.push(kind as u8);
        data.extend_from_slice(&[0, 0]); // flags
        data.extend_from_slice(&stamp.pid.to_le_bytes());
        data.extend_from_slice(&stamp.seq.to_le_bytes());
        data.extend_from_slice(&finite(stamp.time).to_le_bytes());
        Datagram { data }
    }

    /// Begins a field whose value has `length` bytes; false, and nothing is written, if it does not fit.
    fn begin(&mut self, id: u16, tag: Tag, length: usize) -> bool {
        let fits = (LONGEST - self.data.len())
            .checked_sub(3)
            .is_some_and(|room| length <= room);
        if fits {
            self.data.extend_from_slice(&id.to_le_bytes());
            self.data.push(tag as u8);
        }
        fits
    }

    /// Begins a field with `count` elements of `size` bytes.
    fn begin_counted(&mut self, id: u16, tag: Tag, count: usize, size: usize) -> bool {
        let Ok(short) = u16::try_from(count) else {
            return false;
        };
        let fits = self.begin(id, tag, 2 + count * size);
        if fits {
            self.data.extend_from_slice(&short.to_le_bytes());
        }
        fits
    }

    /// A count.
    pub fn u64(&mut self, id: u16, value: u64) {
        if self.begin(id, Tag::U64, 8) {
            self.data.extend_from_slice(&value.to_le_bytes());
        }
    }

    /// A time or a ratio; 0 for what is not finite.
    pub fn f64(&mut self, id: u16, value: f64) {
        if self.begin(id, Tag::F64, 8) {
            self.data.extend_from_slice(&finite(value).to_le_bytes());
        }
    }

    /// Text as it is: nothing if empty (TEL-074), and at most its first `limit` bytes, without half a character of UTF-8 at
    /// the end.
    pub fn bytes(&mut self, id: u16, value: &[u8], limit: usize) {
        self.text(id, cut(value, limit), b"");
    }

    /// Text that is seen to be cut: one longer than `limit` ends in `...`, within the limit (TEL-181).
    pub fn abbreviated(&mut self, id: u16, value: &[u8], limit: usize) {
        if value.len() <= limit {
            self.text(id, value, b"");
        } else {
            let dots = &ELLIPSIS[..limit.min(ELLIPSIS.len())];
            self.text(id, cut(value, limit - dots.len()), dots);
        }
    }

    fn text(&mut self, id: u16, value: &[u8], end: &[u8]) {
        let length = value.len() + end.len();
        if length > 0 && self.begin_counted(id, Tag::Bytes, length, 1) {
            self.data.extend_from_slice(value);
            self.data.extend_from_slice(end);
        }
    }

    /// Counts; those beyond the type's largest number are that number.
    pub fn i32s(&mut self, id: u16, values: impl ExactSizeIterator<Item = u64>) {
        if self.begin_counted(id, Tag::I32s, values.len(), 4) {
            for value in values {
                let value = i32::try_from(value).unwrap_or(i32::MAX);
                self.data.extend_from_slice(&value.to_le_bytes());
            }
        }
    }

    /// Times; 0 for what is not finite.
    pub fn f64s(&mut self, id: u16, values: impl ExactSizeIterator<Item = f64>) {
        if self.begin_counted(id, Tag::F64s, values.len(), 8) {
            for value in values {
                self.data.extend_from_slice(&finite(value).to_le_bytes());
            }
        }
    }

    /// What is to be sent, at most [`LONGEST`] bytes.
    pub fn finish(self) -> Vec<u8> {
        self.data
    }
}

fn finite(value: f64) -> f64 {
    if value.is_finite() { value } else { 0.0 }
}

/// The first `limit` bytes of a text, less the half character that they may end in. Text that is not UTF-8 may lose up to
/// three bytes more.
fn cut(value: &[u8], limit: usize) -> &[u8] {
    if value.len() <= limit {
        return value;
    }
    let head = &value[..limit];
    match std::str::from_utf8(head) {
        Err(error) if error.error_len().is_none() => &head[..error.valid_up_to()],
        _ => head,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::decoded::{Decoded, Value};
    use super::*;

    const STAMP: Stamp = Stamp {
        pid: 0x0102_0304,
        seq: 7,
        time: 1.5,
    };

    fn datagram() -> Datagram {
        Datagram::new(Kind::Request, STAMP)
    }

    /// TEL-070, TEL-072: byte by byte.
    #[test]
    fn layout() {
        let mut datagram = datagram();
        datagram.u64(0x0102, 3);
        datagram.f64(2, -2.0);
        datagram.bytes(3, b"abc", 31);
        datagram.i32s(4, [1, u64::MAX].into_iter());
        datagram.f64s(5, [0.5].into_iter());
        let expected: &[&[u8]] = &[
            b"WSGI\x01\x02\0\0\x04\x03\x02\x01\x07\0\0\0",
            b"\0\0\0\0\0\0\xf8\x3f",
            b"\x02\x01\x01\x03\0\0\0\0\0\0\0",
            b"\x02\0\x02\0\0\0\0\0\0\0\xc0",
            b"\x03\0\x04\x03\0abc",
            b"\x04\0\x05\x02\0\x01\0\0\0\xff\xff\xff\x7f",
            b"\x05\0\x06\x01\0\0\0\0\0\0\0\xe0\x3f",
        ];
        assert_eq!(datagram.finish(), expected.concat());
    }

    /// TEL-071
    #[test]
    fn kinds() {
        for (kind, number) in [
            (Kind::Request, 2),
            (Kind::SlowRequest, 4),
            (Kind::Started, 5),
            (Kind::Stopping, 6),
            (Kind::Stopped, 7),
            (Kind::GcSnapshot, 8),
            (Kind::GcEvent, 9),
        ] {
            assert_eq!(Datagram::new(kind, STAMP).finish()[5], number, "{kind:?}");
        }
    }

    fn texts(value: &[u8], limit: usize) -> [Option<Vec<u8>>; 2] {
        let mut datagram = datagram();
        datagram.bytes(1, value, limit);
        datagram.abbreviated(2, value, limit);
        let decoded = Decoded::of(&datagram.finish());
        [1, 2].map(|id| match decoded.fields.get(&id) {
            Some(Value::Bytes(text)) => Some(text.clone()),
            None => None,
            other => panic!("{other:?}"),
        })
    }

    /// TEL-074, TEL-181: nothing for empty text, long text is cut between characters.
    #[test]
    fn long_texts() {
        for (value, limit, plain, abbreviated) in [
            (&b"abcdef"[..], 6, &b"abcdef"[..], &b"abcdef"[..]),
            (b"abcdefg", 6, b"abcdef", b"abc..."),
            ("äöü".as_bytes(), 5, "äö".as_bytes(), "ä...".as_bytes()),
            ("aäöü".as_bytes(), 5, "aäö".as_bytes(), "a...".as_bytes()),
            ("\u{1f40d}x".as_bytes(), 3, b"", b"..."),
            (b"\xff\xfe\xfd\xfc\xfb", 4, b"\xff\xfe\xfd\xfc", b"\xff..."),
            (b"abc", 2, b"ab", b".."),
            (b"abc", 0, b"", b""),
            (b"", 5, b"", b""),
        ] {
            let expected =
                [plain, abbreviated].map(|text| Some(text.to_vec()).filter(|t| !t.is_empty()));
            assert_eq!(texts(value, limit), expected, "{value:?} {limit}");
        }
    }

    /// TEL-061, TEL-095: a field that does not fit is left out, one after it that fits is there.
    #[test]
    fn what_does_not_fit_is_left_out() {
        let mut datagram = datagram();
        datagram.bytes(1, &[b'x'; 9000], 9000);
        datagram.f64s(2, (0..1021).map(f64::from));
        datagram.i32s(3, vec![0; 70_000].into_iter());
        datagram.f64s(4, (0..1018).map(f64::from));
        datagram.u64(5, 1);
        datagram.f64(6, 1.0);
        datagram.bytes(7, b"1234", 4);
        datagram.bytes(8, b"123", 3);
        datagram.bytes(9, b"1", 1);
        let data = datagram.finish();
        assert_eq!(
            (data.len(), Decoded::of(&data).ids()),
            (LONGEST, vec![4, 5, 8])
        );
    }

    #[derive(Clone, Debug)]
    enum Field {
        U64(u64),
        F64(f64),
        Bytes(Vec<u8>, usize),
        Abbreviated(Vec<u8>, usize),
        I32s(Vec<u64>),
        F64s(Vec<f64>),
    }

    fn fields() -> impl Strategy<Value = Vec<Field>> {
        let text = || prop::collection::vec(any::<u8>(), 0..6000);
        let field = prop_oneof![
            any::<u64>().prop_map(Field::U64),
            prop::num::f64::ANY.prop_map(Field::F64),
            (text(), 0..6000_usize).prop_map(|(text, limit)| Field::Bytes(text, limit)),
            (text(), 0..6000_usize).prop_map(|(text, limit)| Field::Abbreviated(text, limit)),
            prop::collection::vec(any::<u64>(), 0..2000).prop_map(Field::I32s),
            prop::collection::vec(prop::num::f64::ANY, 0..1000).prop_map(Field::F64s),
        ];
        prop::collection::vec(field, 0..12)
    }

    proptest! {
        /// TEL-061, TEL-073, TEL-095: any fields give a datagram that fits and decodes whole, without NaN and infinity.
        #[test]
        fn any_fields(fields in fields(), pid in any::<u32>(), seq in any::<u32>(), time in prop::num::f64::ANY) {
            let mut datagram = Datagram::new(Kind::GcEvent, Stamp { pid, seq, time });
            for (id, field) in (0..).zip(&fields) {
                match field {
                    Field::U64(value) => datagram.u64(id, *value),
                    Field::F64(value) => datagram.f64(id, *value),
                    Field::Bytes(value, limit) => datagram.bytes(id, value, *limit),
                    Field::Abbreviated(value, limit) => datagram.abbreviated(id, value, *limit),
                    Field::I32s(values) => datagram.i32s(id, values.iter().copied()),
                    Field::F64s(values) => datagram.f64s(id, values.iter().copied()),
                }
            }
            let decoded = Decoded::of(&datagram.finish());
            prop_assert_eq!((decoded.stamp.pid, decoded.stamp.seq), (pid, seq));
            for (id, value) in &decoded.fields {
                match (&fields[usize::from(*id)], value) {
                    (Field::U64(given), Value::U64(value)) => prop_assert_eq!(given, value),
                    (Field::F64(given), Value::F64(value)) => {
                        prop_assert!(!given.is_finite() || given.to_bits() == value.to_bits());
                    }
                    (Field::Bytes(given, limit) | Field::Abbreviated(given, limit), Value::Bytes(value)) => {
                        prop_assert!(!value.is_empty() && value.len() <= *limit);
                        prop_assert!(given.len() > *limit || given == value);
                    }
                    (Field::I32s(given), Value::I32s(values)) => prop_assert_eq!(given.len(), values.len()),
                    (Field::F64s(given), Value::F64s(values)) => prop_assert_eq!(given.len(), values.len()),
                    other => panic!("{other:?}"),
                }
            }
        }

        /// TEL-181: text that was UTF-8 still is.
        #[test]
        fn characters_stay_whole(text in ".{0,40}", limit in 0..60_usize) {
            for cut in texts(text.as_bytes(), limit).into_iter().flatten() {
                prop_assert!(std::str::from_utf8(&cut).is_ok());
            }
        }
    }
}
