//! Descriptors by number: those that were inherited over exec, and getting rid of the rest.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use crate::check;

/// Takes over an inherited descriptor and marks it close on exec. To be called once for each number, at process start.
///
/// # Errors
/// It is not open.
pub fn take_inherited(number: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: F_SETFD on any number is harmless; it fails for one that is not open.
    check(unsafe { libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) })?;
    // SAFETY: it is open, and by contract of exec with these numbers it was handed to this process for this purpose;
    // nothing in it has wrapped the number yet.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// Closes every descriptor from `first` on. For a process that is about to run other code; descriptors that are owned
/// by values of this process must be below `first`.
///
/// # Errors
/// Neither close_range nor /proc/self/fd works.
pub fn close_from(first: RawFd) -> io::Result<()> {
    let low = libc::c_uint::try_from(first)
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, "negative descriptor"))?;
    // SAFETY: closing numbers touches no memory; the caller keeps no owner for them.
    let closed = unsafe { libc::syscall(libc::SYS_close_range, low, libc::c_uint::MAX, 0) };
    if closed == 0 {
        return Ok(());
    }
    // Kernel before 5.9, or a filter that does not know the call.
    let listed: Vec<RawFd> = std::fs::read_dir("/proc/self/fd")?
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter(|number| *number >= first)
        .collect();
    for number in listed {
        // SAFETY: as above. The descriptor of the listing itself is closed already, which is an error of no matter.
        unsafe { libc::close(number) };
    }
    Ok(())
}

/// Sets or clears O_NONBLOCK, which belongs to the open file and thus to all who share it.
///
/// # Errors
/// A failed system call.
pub fn set_nonblocking(descriptor: BorrowedFd<'_>, nonblocking: bool) -> io::Result<()> {
    // SAFETY: plain call on a borrowed descriptor.
    let flags = check(unsafe { libc::fcntl(descriptor.as_raw_fd(), libc::F_GETFL) })?;
    let wanted = if nonblocking {
        flags | libc::O_NONBLOCK
    } else {
        flags & !libc::O_NONBLOCK
    };
    if wanted != flags {
        // SAFETY: plain call on a borrowed descriptor.
        check(unsafe { libc::fcntl(descriptor.as_raw_fd(), libc::F_SETFL, wanted) })?;
    }
    Ok(())
}

/// An eventfd, close on exec and non-blocking: a wake-up that stays until it is read.
#[derive(Debug)]
pub struct Wakeup(OwnedFd);

impl Wakeup {
    /// Not woken.
    ///
    /// # Errors
    /// No descriptors left.
    pub fn new() -> io::Result<Wakeup> {
        // SAFETY: plain call.
        let raw = check(unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) })?;
        // SAFETY: just made, nobody else owns it.
        Ok(Wakeup(unsafe { OwnedFd::from_raw_fd(raw) }))
    }

    /// Makes it readable. Any thread; async-signal-safe.
    pub fn wake(&self) {
        let one = 1_u64.to_ne_bytes();
        // A full counter (EAGAIN) is readable already, so that no result needs an answer.
        // SAFETY: eight valid bytes.
        unsafe { libc::write(self.0.as_raw_fd(), one.as_ptr().cast(), one.len()) };
    }

    /// Takes the wake-up away.
    pub fn clear(&self) {
        let mut count = [0_u8; 8];
        // EAGAIN says that there was none.
        // SAFETY: eight writable bytes.
        unsafe { libc::read(self.0.as_raw_fd(), count.as_mut_ptr().cast(), count.len()) };
    }
}

impl std::os::fd::AsFd for Wakeup {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
    use std::os::fd::AsFd;

    #[test]
    fn a_wakeup_stays_until_cleared() {
        let wakeup = Wakeup::new().unwrap();
        let readable = || {
            let mut set = [PollFd::new(wakeup.as_fd(), PollFlags::POLLIN)];
            poll(&mut set, PollTimeout::ZERO).unwrap() == 1
        };
        assert!(!readable());
        wakeup.wake();
        wakeup.wake();
        assert!(readable());
        assert!(readable());
        wakeup.clear();
        assert!(!readable());
    }

    #[test]
    fn an_inherited_descriptor_must_be_open() {
        assert!(take_inherited(987).is_err());
    }
}
