//! A decoder, for the tests: as strict as the consumer (TEL-064), and on top of it each field at most once and no number that
//! is not one.

use std::collections::BTreeMap;

use super::{LONGEST, Stamp};

/// Value of a field.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    U64(u64),
    F64(f64),
    Bytes(Vec<u8>),
    I32s(Vec<i32>),
    F64s(Vec<f64>),
}

/// A datagram that was taken apart.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Decoded {
    pub(super) kind: u8,
    pub(super) stamp: Stamp,
    pub(super) fields: BTreeMap<u16, Value>,
}

struct Reader<'d>(&'d [u8]);

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> [u8; N] {
        let (head, rest) = self.0.split_first_chunk().expect("the datagram is whole");
        self.0 = rest;
        *head
    }

    fn u16(&mut self) -> u16 {
        u16::from_le_bytes(self.take())
    }

    fn f64(&mut self) -> f64 {
        let value = f64::from_le_bytes(self.take());
        assert!(value.is_finite(), "{value}");
        value
    }
}

impl Decoded {
    /// Takes a datagram apart; panics where it is wrong.
    pub(super) fn of(data: &[u8]) -> Decoded {
        assert!(data.len() <= LONGEST, "{} bytes", data.len());
        let mut reader = Reader(data);
        assert_eq!(reader.take(), *b"WSGI\x01");
        let [kind, flags @ ..] = reader.take::<3>();
        assert_eq!(flags, [0, 0]);
        let stamp = Stamp {
            pid: u32::from_le_bytes(reader.take()),
            seq: u32::from_le_bytes(reader.take()),
            time: reader.f64(),
        };
        let mut fields = BTreeMap::new();
        while !reader.0.is_empty() {
            let id = reader.u16();
            let [tag] = reader.take();
            let value = match tag {
                1 => Value::U64(u64::from_le_bytes(reader.take())),
                2 => Value::F64(reader.f64()),
                4 => Value::Bytes((0..reader.u16()).map(|_| reader.take::<1>()[0]).collect()),
                5 => {
                    let count = reader.u16();
                    let values = (0..count).map(|_| i32::from_le_bytes(reader.take()));
                    Value::I32s(values.collect())
                }
                6 => Value::F64s((0..reader.u16()).map(|_| reader.f64()).collect()),
                _ => panic!("type {tag} of field {id}"),
            };
            assert_eq!(fields.insert(id, value), None, "field {id} again");
        }
        Decoded {
            kind,
            stamp,
            fields,
        }
    }

    /// Numbers of the fields, ascending.
    pub(super) fn ids(&self) -> Vec<u16> {
        self.fields.keys().copied().collect()
    }

    /// A count.
    pub(super) fn u64(&self, id: u16) -> u64 {
        match self.fields.get(&id) {
            Some(Value::U64(value)) => *value,
            other => panic!("field {id}: {other:?}"),
        }
    }

    /// A time or a ratio.
    pub(super) fn f64(&self, id: u16) -> f64 {
        match self.fields.get(&id) {
            Some(Value::F64(value)) => *value,
            other => panic!("field {id}: {other:?}"),
        }
    }

    /// Text; empty where there is none.
    pub(super) fn text(&self, id: u16) -> String {
        match self.fields.get(&id) {
            Some(Value::Bytes(text)) => String::from_utf8_lossy(text).into_owned(),
            None => String::new(),
            other => panic!("field {id}: {other:?}"),
        }
    }
}
