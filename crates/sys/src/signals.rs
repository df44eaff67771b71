//! Signals as bytes on a pipe: the handler writes one byte, the number, and returns; a poll loop reads them (DMN-507).
//! One pipe for a process.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicI32, Ordering};

use crate::check;

/// Write end for the handler; -1 while there is none.
static WRITE_END: AtomicI32 = AtomicI32::new(-1);
/// Process that installed the handlers. In a process forked from it they end that process (DMN-506).
static OWNER: AtomicI32 = AtomicI32::new(0);

/// Runs in signal context: getpid, write and _exit only, and errno is kept.
extern "C" fn on_signal(number: libc::c_int) {
    // SAFETY: async-signal-safe.
    let pid = unsafe { libc::getpid() };
    if pid != OWNER.load(Ordering::Relaxed) {
        // SAFETY: async-signal-safe; ends the process.
        unsafe { libc::_exit(255) };
    }
    // SAFETY: the address of this thread's errno, always valid.
    let errno = unsafe { libc::__errno_location() };
    // SAFETY: as above.
    let saved = unsafe { *errno };
    let byte = u8::try_from(number).unwrap_or(0);
    // A full pipe drops the signal: the reader has plenty to do already.
    // SAFETY: one valid byte; the descriptor is the pipe's or -1, which fails.
    unsafe {
        libc::write(
            WRITE_END.load(Ordering::Relaxed),
            (&raw const byte).cast(),
            1,
        )
    };
    // SAFETY: as above.
    unsafe { *errno = saved };
}

/// Runs in signal context: hands the signal on to this process as SIGTERM.
extern "C" fn on_forwarded(_number: libc::c_int) {
    // SAFETY: async-signal-safe.
    let pid = unsafe { libc::getpid() };
    if pid != OWNER.load(Ordering::Relaxed) {
        // SAFETY: async-signal-safe; ends the process.
        unsafe { libc::_exit(255) };
    }
    // SAFETY: async-signal-safe.
    unsafe { libc::kill(pid, libc::SIGTERM) };
}

fn install(number: i32, handler: libc::sighandler_t) -> io::Result<()> {
    // SAFETY: all-zero is a valid sigaction: default handler, empty mask.
    let mut action = unsafe { std::mem::zeroed::<libc::sigaction>() };
    action.sa_sigaction = handler;
    action.sa_flags = libc::SA_RESTART;
    // SAFETY: the mask is a valid sigset_t to initialise.
    unsafe { libc::sigemptyset(&mut action.sa_mask) };
    // SAFETY: a valid action, whose handler (if any) has the right signature and is async-signal-safe.
    check(unsafe { libc::sigaction(number, &action, std::ptr::null_mut()) })?;
    Ok(())
}

/// The reading end, non-blocking.
#[derive(Debug)]
pub struct SignalPipe(OwnedFd);

impl SignalPipe {
    /// Makes the pipe and directs `signals` to it. A later call (after a fork) replaces the former pipe; its write end
    /// stays open for a handler that may be running.
    ///
    /// # Errors
    /// No descriptors left, or a signal that cannot be handled.
    pub fn install(signals: &[i32]) -> io::Result<SignalPipe> {
        let mut ends: [RawFd; 2] = [-1; 2];
        // SAFETY: the array has room for the two descriptors that the call writes.
        check(unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC | libc::O_NONBLOCK) })?;
        // SAFETY: just made, nobody else owns it.
        let read_end = unsafe { OwnedFd::from_raw_fd(ends[0]) };
        own_handlers();
        // The write end belongs to the handler for the life of the process.
        WRITE_END.store(ends[1], Ordering::Relaxed);
        for signal in signals {
            install(
                *signal,
                on_signal as extern "C" fn(libc::c_int) as libc::sighandler_t,
            )?;
        }
        Ok(SignalPipe(read_end))
    }

    /// The signals that came since the last call, in order; None when the pipe is lost.
    pub fn read(&self) -> Option<Vec<i32>> {
        let mut bytes = [0_u8; 64];
        let mut signals = Vec::new();
        loop {
            // SAFETY: the buffer is valid for writes of its length.
            let result =
                unsafe { libc::read(self.0.as_raw_fd(), bytes.as_mut_ptr().cast(), bytes.len()) };
            match crate::check_len(result) {
                Ok(0) => return None,
                Ok(length) => signals.extend(bytes[..length].iter().map(|byte| i32::from(*byte))),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Some(signals),
                Err(_) => return None,
            }
        }
    }
}

impl AsFd for SignalPipe {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

fn own_handlers() {
    // SAFETY: plain call.
    OWNER.store(unsafe { libc::getpid() }, Ordering::Relaxed);
}

/// Delivers `signal` to this process as SIGTERM (service mode, where Python handles that).
///
/// # Errors
/// A signal that cannot be handled.
pub fn forward_as_terminate(signal: i32) -> io::Result<()> {
    own_handlers();
    install(
        signal,
        on_forwarded as extern "C" fn(libc::c_int) as libc::sighandler_t,
    )
}

/// Ignores a signal.
///
/// # Errors
/// A signal that cannot be ignored.
pub fn ignore(signal: i32) -> io::Result<()> {
    install(signal, libc::SIG_IGN)
}

/// Gives every signal its default action again and empties the mask: for a fork of a process whose handlers are not
/// meant for it. Async-signal-safe.
pub fn reset_all() {
    for number in 1..=libc::SIGRTMAX() {
        // Not every number can be set (SIGKILL, those of the C library); that is no matter.
        let _ = install(number, libc::SIG_DFL);
    }
    // SAFETY: all-zero is storage for a set, initialised by the next call.
    let mut empty = unsafe { std::mem::zeroed::<libc::sigset_t>() };
    // SAFETY: a valid set to initialise.
    unsafe { libc::sigemptyset(&mut empty) };
    // SAFETY: a valid set; cannot fail with SIG_SETMASK.
    unsafe { libc::sigprocmask(libc::SIG_SETMASK, &empty, std::ptr::null_mut()) };
}

/// All signals blocked in this thread until the value is dropped: around a fork, so that no handler of the parent runs
/// in the child.
pub struct Blocked(libc::sigset_t);

impl Blocked {
    /// Blocks them.
    pub fn all() -> Blocked {
        // SAFETY: all-zero is storage for a set, initialised by the next call.
        let mut all = unsafe { std::mem::zeroed::<libc::sigset_t>() };
        // SAFETY: a valid set to initialise.
        unsafe { libc::sigfillset(&mut all) };
        // SAFETY: as above.
        let mut former = unsafe { std::mem::zeroed::<libc::sigset_t>() };
        // SAFETY: valid sets; cannot fail with SIG_SETMASK.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &all, &mut former) };
        Blocked(former)
    }
}

impl Drop for Blocked {
    fn drop(&mut self) {
        // SAFETY: the set was filled by the call that blocked.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &self.0, std::ptr::null_mut()) };
    }
}

/// Sends a signal to a process; false if it is gone or not ours.
pub fn send(pid: i32, signal: i32) -> bool {
    if pid <= 1 {
        // 0, -1 and negative numbers address groups of processes, 1 is init.
        return false;
    }
    // SAFETY: plain call.
    unsafe { libc::kill(pid, signal) == 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// DMN-507. One test for all, because the handlers belong to the process.
    #[test]
    fn signals_become_bytes() {
        let pipe = SignalPipe::install(&[libc::SIGUSR1, libc::SIGUSR2]).unwrap();
        assert_eq!(pipe.read(), Some(vec![]));
        // SAFETY: plain call; handled by this thread before it returns.
        unsafe { libc::raise(libc::SIGUSR1) };
        // SAFETY: as above.
        unsafe { libc::raise(libc::SIGUSR2) };
        assert_eq!(pipe.read(), Some(vec![libc::SIGUSR1, libc::SIGUSR2]));
        {
            let _blocked = Blocked::all();
            // SAFETY: plain call; the signal waits for the mask.
            unsafe { libc::raise(libc::SIGUSR1) };
            assert_eq!(pipe.read(), Some(vec![]));
        }
        assert_eq!(pipe.read(), Some(vec![libc::SIGUSR1]));
    }

    #[test]
    fn groups_and_init_are_never_signalled() {
        assert!(!send(0, 0));
        assert!(!send(-1, 0));
        assert!(!send(1, 0));
        assert!(send(nix::unistd::getpid().as_raw(), 0));
    }
}
