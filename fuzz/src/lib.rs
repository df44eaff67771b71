//! What the fuzz targets share: how an input is cut into values, and how much memory a decoder takes.
//!
//! A target says more than "no panic": what was decoded is encoded to the same bytes, what is accepted keeps its limits, and
//! a length that is only claimed takes no memory. Each runs in a process of its own, on one thread.

pub mod configuration;
pub mod machine;

use peak_alloc::PeakAlloc;

#[global_allocator]
static HEAP: PeakAlloc = PeakAlloc;

/// What separates the values of an input that is text for people, in seeds too.
const SEPARATOR: &[u8] = b"\n--\n";

/// The first `N` values of an input, separated by a line `--`; empty where there are fewer, the last one with the rest.
pub fn values<const N: usize>(input: &[u8]) -> [&[u8]; N] {
    let mut rest = input;
    let mut found = [&b""[..]; N];
    for (index, value) in found.iter_mut().enumerate() {
        let end = rest
            .windows(SEPARATOR.len())
            .position(|window| window == SEPARATOR);
        match end {
            Some(end) if index + 1 < N => {
                *value = &rest[..end];
                rest = &rest[end + SEPARATOR.len()..];
            }
            _ => {
                *value = rest;
                break;
            }
        }
    }
    found
}

/// As [`values`], for what a configuration file says; None if one of them is not UTF-8.
pub fn texts<const N: usize>(input: &[u8]) -> Option<[&str; N]> {
    let mut found = [""; N];
    for (text, value) in found.iter_mut().zip(values::<N>(input)) {
        *text = std::str::from_utf8(value).ok()?;
    }
    Some(found)
}

/// Runs `decode`, which may take `limit` bytes of memory at most beside what is in use.
pub fn within<T>(limit: usize, decode: impl FnOnce() -> T) -> T {
    HEAP.reset_peak_usage();
    let before = HEAP.current_usage();
    let result = decode();
    let taken = HEAP.peak_usage().saturating_sub(before);
    assert!(taken <= limit, "took {taken} bytes, {limit} are allowed");
    result
}
