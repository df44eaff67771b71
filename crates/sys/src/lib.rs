//! Safe POSIX for the module and the daemon: what nix does not have, or has without the checks that we need.
//!
//! Promises: every function here is safe to call with any argument; descriptors are owned or borrowed by type, close on
//! exec, and never leak on an error path; memory shared with other processes is reached by atomics only, after its size
//! was checked and sealed. Nothing here knows httpd or Python. `unsafe` in this crate is calls to the C library on
//! arguments whose validity the surrounding lines establish.
#![allow(unsafe_code)] // one of the places that style.md names; each block states its fact

pub mod access;
pub mod board;
pub mod clock;
pub mod control;
pub mod descriptors;
pub mod exec;
pub mod identity;
pub mod library;
pub mod lineage;
pub mod listener;
pub mod nudge;
pub mod passwd;
pub mod process;
pub mod room;
pub mod signals;
pub mod stream;
pub mod temporary;
pub mod trust;

use std::io;

/// The C library's `-1 and errno` as a result.
fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(result)
    }
}

/// As [`check`] for calls that return a length.
fn check_len(result: isize) -> io::Result<usize> {
    usize::try_from(result).map_err(|_| io::Error::last_os_error())
}
