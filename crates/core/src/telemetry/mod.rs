//! Telemetry: what the processes of the server tell about themselves, as datagrams for a consumer outside (WSGITelemetryService).
//!
//! Pure: datagrams are made here from figures that others read, and what cannot be sent at once is kept here in rings of fixed
//! length. Sockets, clocks, threads and Python are the runtime's. The wire format is that of mod_wsgi 6.1, which the consumer
//! `mod_wsgi-telemetry` reads; docs/telemetry.md has it in full.
//!
//! Whatever values come in, a datagram has at most [`LONGEST`] bytes, is well formed and has no NaN and no infinity in it.

mod collections;
mod datagram;
#[cfg(test)]
mod decoded;
#[cfg(test)]
mod documented;
mod process;
mod slow;
mod tick;

pub use collections::{Collection, Collections, GcSnapshot};
pub use datagram::{Datagram, Kind, LONGEST, Stamp};
pub use process::{Identity, Stopped, Stopping};
pub use slow::{LONGEST_TEXT, SlowRequest, SlowRing};
pub use tick::Sample;
