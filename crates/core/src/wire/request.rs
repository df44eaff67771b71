//! Frames of the child: who it is, and what a request is.

use super::{Fields, Kind, PROTOCOL, Pairs, WireError, frame, put_bytes, put_pairs};

/// First frame of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hello {
    /// Generation of the configuration that the child has.
    pub generation: u32,
    /// The group's secret.
    pub secret: [u8; 16],
}

impl Hello {
    /// Appends the frame.
    pub fn encode(&self, out: &mut Vec<u8>) {
        frame(out, Kind::Hello, 0, |out| {
            out.extend_from_slice(&PROTOCOL.to_le_bytes());
            out.extend_from_slice(&self.generation.to_le_bytes());
            out.extend_from_slice(&self.secret);
        })
        .expect("a Hello is 24 bytes");
    }

    /// Decodes a payload.
    ///
    /// # Errors
    /// Malformed, also for another protocol version.
    pub fn decode(payload: &[u8]) -> Result<Hello, WireError> {
        let mut fields = Fields::new(Kind::Hello, payload);
        if fields.u32()? != PROTOCOL {
            return Err(WireError::Malformed(Kind::Hello));
        }
        let hello = Hello {
            generation: fields.u32()?,
            secret: fields.array()?,
        };
        fields.end()?;
        Ok(hello)
    }
}

/// A request without its body. The fields mean what those of `wsgi_runtime_api::RequestView` mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestHead<'a> {
    /// `REQUEST_*` of the runtime's table.
    pub flags: u32,
    /// Pid of the Apache child.
    pub server_pid: u32,
    /// Connects so far, this one included.
    pub connects: u32,
    /// Reload refusals so far.
    pub restarts: u32,
    /// Microseconds since the epoch.
    pub request_start: i64,
    /// Microseconds since the epoch.
    pub queue_start: i64,
    /// Interpreter; empty is the main one.
    pub application_group: &'a [u8],
    /// Attribute to call.
    pub callable_object: &'a [u8],
    /// File that the URL mapped to.
    pub script_filename: &'a [u8],
    /// Handler script; empty if none.
    pub handler_script: &'a [u8],
    /// Environ entries.
    pub environ: Pairs<'a>,
}

impl<'a> RequestHead<'a> {
    /// Appends the frame, with `environ` instead of the field of that name, and `frame_flags` in its header.
    ///
    /// # Errors
    /// [`WireError::TooLarge`]: over 16 MiB (DMN-220).
    pub fn encode<'p>(
        &self,
        out: &mut Vec<u8>,
        frame_flags: u8,
        environ: impl Iterator<Item = (&'p [u8], Option<&'p [u8]>)>,
    ) -> Result<(), WireError> {
        frame(out, Kind::Request, frame_flags, |out| {
            for number in [self.flags, self.server_pid, self.connects, self.restarts] {
                out.extend_from_slice(&number.to_le_bytes());
            }
            out.extend_from_slice(&self.request_start.to_le_bytes());
            out.extend_from_slice(&self.queue_start.to_le_bytes());
            for bytes in [
                self.application_group,
                self.callable_object,
                self.script_filename,
                self.handler_script,
            ] {
                put_bytes(out, bytes);
            }
            put_pairs(out, environ);
        })
    }

    /// Decodes a payload.
    ///
    /// # Errors
    /// Malformed.
    pub fn decode(payload: &'a [u8]) -> Result<RequestHead<'a>, WireError> {
        let mut fields = Fields::new(Kind::Request, payload);
        Ok(RequestHead {
            flags: fields.u32()?,
            server_pid: fields.u32()?,
            connects: fields.u32()?,
            restarts: fields.u32()?,
            request_start: fields.i64()?,
            queue_start: fields.i64()?,
            application_group: fields.bytes()?,
            callable_object: fields.bytes()?,
            script_filename: fields.bytes()?,
            handler_script: fields.bytes()?,
            environ: Pairs::take(fields)?,
        })
    }

    /// A head without environ, to be filled field by field.
    pub fn empty() -> RequestHead<'static> {
        RequestHead {
            flags: 0,
            server_pid: 0,
            connects: 0,
            restarts: 0,
            request_start: 0,
            queue_start: 0,
            application_group: b"",
            callable_object: b"",
            script_filename: b"",
            handler_script: b"",
            environ: Pairs {
                count: 0,
                bytes: b"",
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::whole_frame;
    use proptest::prelude::*;

    proptest! {
        /// DMN-222, DMN-901: all that is said beside the environ arrives, and a part of it never passes for the whole.
        #[test]
        fn requests_come_back(
            flags: u32, start: i64, queue: i64, pid: u32, connects: u32, restarts: u32,
            names in proptest::array::uniform3(proptest::collection::vec(any::<u8>(), 0..20)),
            group in proptest::collection::vec(any::<u8>(), 0..20),
            pairs in proptest::collection::vec(
                (proptest::collection::vec(any::<u8>(), 0..9),
                 proptest::option::of(proptest::collection::vec(any::<u8>(), 0..9))), 0..9),
        ) {
            let head = RequestHead {
                flags, request_start: start, queue_start: queue, server_pid: pid, connects, restarts,
                application_group: &group, callable_object: &names[0], script_filename: &names[1],
                handler_script: &names[2], ..RequestHead::empty()
            };
            let mut out = Vec::new();
            let environ = pairs.iter().map(|(n, v)| (n.as_slice(), v.as_deref()));
            head.encode(&mut out, 2, environ).unwrap();
            let (header, payload) = whole_frame(&out).unwrap().unwrap();
            prop_assert_eq!(header.flags, 2);
            let back = RequestHead::decode(payload).unwrap();
            prop_assert_eq!(back.flags, flags);
            prop_assert_eq!((back.request_start, back.queue_start), (start, queue));
            prop_assert_eq!((back.server_pid, back.connects, back.restarts), (pid, connects, restarts));
            prop_assert_eq!(back.application_group, &group[..]);
            let back_names = [back.callable_object, back.script_filename, back.handler_script];
            prop_assert_eq!(back_names, [&names[0][..], &names[1], &names[2]]);
            let got: Vec<_> = back.environ.iter()
                .map(|(n, v)| (n.to_vec(), v.map(<[u8]>::to_vec))).collect();
            prop_assert_eq!(got, pairs);
            // Every cut is incomplete or malformed, never a shorter request.
            for cut in 0..payload.len() {
                prop_assert!(RequestHead::decode(&payload[..cut]).is_err());
            }
        }
    }

    #[test]
    fn hello_of_another_protocol_is_refused() {
        let mut out = Vec::new();
        let hello = Hello {
            generation: 7,
            secret: [9; 16],
        };
        hello.encode(&mut out);
        let (_, payload) = whole_frame(&out).unwrap().unwrap();
        assert_eq!(Hello::decode(payload), Ok(hello));
        let mut other = payload.to_vec();
        other[0] = 99;
        assert!(Hello::decode(&other).is_err());
    }

    /// DMN-220: a request of more than 16 MiB is refused by the sender.
    #[test]
    fn a_request_over_the_limit_is_not_encoded() {
        let big = vec![b'x'; crate::wire::MAX_HEAD];
        let mut out = vec![1, 2, 3];
        let pairs = [(&b"KEY"[..], Some(&big[..]))];
        let failed = RequestHead::empty().encode(&mut out, 0, pairs.into_iter());
        assert!(matches!(failed, Err(WireError::TooLarge { .. })));
        assert_eq!(out, [1, 2, 3]);
    }
}
