//! Where the library is that this code was linked into: the module finds its daemon program and runtimes beside itself.

use std::ffi::{CStr, OsStr, c_void};
use std::mem::MaybeUninit;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

/// Path of the shared library (or program) with this code, as it was given to the dynamic linker; None if that cannot tell.
pub fn own_path() -> Option<PathBuf> {
    let mut info = MaybeUninit::<libc::Dl_info>::zeroed();
    let here = own_path as fn() -> Option<PathBuf> as *const c_void;
    // SAFETY: any address may be asked for; `info` is written on success.
    if unsafe { libc::dladdr(here, info.as_mut_ptr()) } == 0 {
        return None;
    }
    // SAFETY: written by the successful call, and all-zero was valid before.
    let info = unsafe { info.assume_init() };
    if info.dli_fname.is_null() {
        return None;
    }
    // SAFETY: a C string of the dynamic linker that lives as long as the library, this one.
    let path = unsafe { CStr::from_ptr(info.dli_fname) };
    Some(PathBuf::from(OsStr::from_bytes(path.to_bytes())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_is_in_its_own_program() {
        let path = std::fs::canonicalize(own_path().unwrap()).unwrap();
        assert_eq!(path, std::env::current_exe().unwrap());
    }
}
