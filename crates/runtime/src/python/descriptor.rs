//! A file descriptor number that Python code gave us, looked at and lent.

use std::os::fd::{BorrowedFd, RawFd};

/// The size of the regular file behind `descriptor`, bytes; None if it is none or closed.
pub(crate) fn regular_file_size(descriptor: RawFd) -> Option<u64> {
    let status = nix::sys::stat::fstat(borrow(descriptor)?).ok()?;
    let kind = status.st_mode & libc::S_IFMT;
    if kind != libc::S_IFREG {
        return None;
    }
    u64::try_from(status.st_size).ok()
}

/// The descriptor, for calls that may find it closed: the application can close its file at any time. A system call then
/// fails or sees another file of this process, which is the application's mistake and no matter of memory.
pub(crate) fn borrow<'f>(descriptor: RawFd) -> Option<BorrowedFd<'f>> {
    // SAFETY: not -1; that it is open is checked by each call that uses it.
    (descriptor >= 0).then(|| unsafe { BorrowedFd::borrow_raw(descriptor) })
}
