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
    close_between(first, RawFd::MAX)
}

/// Closes every descriptor from `first` on but those that are named, and sockets to the system's log, which libraries keep
/// to themselves. For a fork that goes on with a few things of its parent: whatever else owned a descriptor must not be
/// used or dropped any more.
///
/// # Errors
/// As [`close_from`]; some may be closed already then.
pub fn close_others(first: RawFd, kept: &[BorrowedFd<'_>]) -> io::Result<()> {
    let mut kept: Vec<RawFd> = kept.iter().map(AsRawFd::as_raw_fd).collect();
    kept.extend(open_numbers()?.into_iter().filter(|n| is_log_socket(*n)));
    kept.sort_unstable();
    let mut next = first;
    for number in kept {
        if number > next {
            close_between(next, number - 1)?;
        }
        next = next.max(number + 1);
    }
    close_between(next, RawFd::MAX)
}

fn open_numbers() -> io::Result<Vec<RawFd>> {
    let entries = std::fs::read_dir("/proc/self/fd")?;
    Ok(entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .collect())
}

/// Whether it is a local datagram socket: syslog's or the journal's.
fn is_log_socket(number: RawFd) -> bool {
    let option = |name| {
        let mut value: libc::c_int = 0;
        let mut length = libc::socklen_t::try_from(size_of_val(&value)).expect("a small size");
        // SAFETY: the value and its length are valid for writes; any number is harmless.
        let result = unsafe {
            libc::getsockopt(
                number,
                libc::SOL_SOCKET,
                name,
                (&raw mut value).cast(),
                &raw mut length,
            )
        };
        (result == 0).then_some(value)
    };
    option(libc::SO_DOMAIN) == Some(libc::AF_UNIX)
        && option(libc::SO_TYPE) == Some(libc::SOCK_DGRAM)
}

/// Closes a range of numbers, its ends included.
fn close_between(first: RawFd, last: RawFd) -> io::Result<()> {
    let bound = |number: RawFd| {
        libc::c_uint::try_from(number)
            .map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, "negative descriptor"))
    };
    let (low, high) = (bound(first)?, bound(last)?);
    // SAFETY: closing numbers touches no memory; the callers keep no owner for them.
    let closed = unsafe { libc::syscall(libc::SYS_close_range, low, high, 0) };
    if closed == 0 {
        return Ok(());
    }
    // Kernel before 5.9, or a filter that does not know the call.
    for number in open_numbers()? {
        if (first..=last).contains(&number) {
            // SAFETY: as above. The descriptor of the listing itself is closed already, which is an error of no matter.
            unsafe { libc::close(number) };
        }
    }
    Ok(())
}

/// Makes the standard descriptors 0 and 1 lead nowhere.
///
/// # Errors
/// /dev/null cannot be opened.
pub fn silence_standard_streams() -> io::Result<()> {
    let null = std::fs::File::options()
        .read(true)
        .write(true)
        .open("/dev/null")?;
    for number in [libc::STDIN_FILENO, libc::STDOUT_FILENO] {
        // SAFETY: an open source; the targets are the standard streams, which nobody owns.
        check(unsafe { libc::dup2(null.as_raw_fd(), number) })?;
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
