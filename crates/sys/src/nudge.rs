//! A timer that interrupts this process's sleep: SIGURG a few times, in intervals that grow, with a handler that does nothing but
//! set the next one, so that `select` and `poll` return early. For a process whose sleep belongs to somebody else.
//!
//! One timer for a process. SIGURG, because nobody sends it unasked and its default action is to be ignored. Timers are not
//! inherited by forks; the handler is, until [`stop`] or an exec.

use std::io;
use std::ptr;
use std::sync::atomic::{AtomicI32, AtomicU32, AtomicUsize, Ordering};

use crate::check;

/// The timer's id plus one; 0 while there is none.
static TIMER: AtomicUsize = AtomicUsize::new(0);
/// The process that made it.
static OWNER: AtomicI32 = AtomicI32::new(0);
/// Interruptions that are left.
static LEFT: AtomicI32 = AtomicI32::new(0);
/// Until the next one, in milliseconds.
static NEXT: AtomicU32 = AtomicU32::new(0);

/// Runs in signal context: atomics and timer_settime only, and errno is kept.
extern "C" fn on_signal(_number: libc::c_int) {
    if LEFT.fetch_sub(1, Ordering::Relaxed) <= 1 {
        return;
    }
    // SAFETY: the address of this thread's errno, always valid.
    let errno = unsafe { libc::__errno_location() };
    // SAFETY: as above.
    let saved = unsafe { *errno };
    if let Some(timer) = timer() {
        // An id that is gone is an error without effect.
        let _ = set_next(timer);
    }
    // SAFETY: as above.
    unsafe { *errno = saved };
}

fn timer() -> Option<libc::timer_t> {
    let id = TIMER.load(Ordering::Relaxed).checked_sub(1)?;
    Some(ptr::without_provenance_mut(id))
}

/// Sets the timer to the next interval and doubles that. Async-signal-safe.
fn set_next(timer: libc::timer_t) -> io::Result<()> {
    let millis = NEXT.load(Ordering::Relaxed);
    NEXT.store(millis.saturating_mul(2), Ordering::Relaxed);
    let nanos = millis % 1000 * 1_000_000;
    // SAFETY: all-zero is a valid specification: never, and not again.
    let mut times = unsafe { std::mem::zeroed::<libc::itimerspec>() };
    times.it_value.tv_sec = (millis / 1000).into();
    times.it_value.tv_nsec = i32::try_from(nanos).unwrap_or(0).into();
    // SAFETY: a valid specification; an id that is no timer is an error.
    check(unsafe { libc::timer_settime(timer, 0, &times, ptr::null_mut()) })?;
    Ok(())
}

/// Interrupts this process `times` times, first after `first` milliseconds, then each time after twice as long as before. False
/// if somebody else handles SIGURG, which then is left alone. A timer that runs already is replaced.
///
/// # Errors
/// No timer left.
pub fn start(first: u32, times: i32) -> io::Result<bool> {
    stop();
    // SAFETY: all-zero is a valid sigaction: default handler, empty mask.
    let mut action = unsafe { std::mem::zeroed::<libc::sigaction>() };
    // SAFETY: storage for the present action.
    check(unsafe { libc::sigaction(libc::SIGURG, ptr::null(), &mut action) })?;
    if action.sa_sigaction != libc::SIG_DFL {
        return Ok(false);
    }
    action.sa_sigaction = on_signal as extern "C" fn(libc::c_int) as libc::sighandler_t;
    // What can be restarted is: only sleeping and polling end.
    action.sa_flags = libc::SA_RESTART;
    // SAFETY: a valid action, whose handler has the right signature and is async-signal-safe.
    check(unsafe { libc::sigaction(libc::SIGURG, &action, ptr::null_mut()) })?;
    LEFT.store(times, Ordering::Relaxed);
    NEXT.store(first, Ordering::Relaxed);
    // SAFETY: all-zero is a valid sigevent, filled in below.
    let mut event = unsafe { std::mem::zeroed::<libc::sigevent>() };
    event.sigev_notify = libc::SIGEV_SIGNAL;
    event.sigev_signo = libc::SIGURG;
    let mut timer: libc::timer_t = ptr::null_mut();
    // SAFETY: a valid event, and storage for the id.
    let made = check(unsafe { libc::timer_create(libc::CLOCK_MONOTONIC, &mut event, &mut timer) });
    if let Err(error) = made {
        reset();
        return Err(error);
    }
    OWNER.store(own_pid(), Ordering::Relaxed);
    TIMER.store(timer.addr() + 1, Ordering::Relaxed);
    set_next(timer).inspect_err(|_| stop())?;
    Ok(true)
}

/// Ends it; nothing happens if there is none. Also for a fork, which has the handler and no timer.
pub fn stop() {
    let Some(timer) = timer() else { return };
    TIMER.store(0, Ordering::Relaxed);
    if OWNER.load(Ordering::Relaxed) == own_pid() {
        // SAFETY: an id of timer_create in this process, deleted once.
        unsafe { libc::timer_delete(timer) };
    }
    reset();
}

fn own_pid() -> i32 {
    // SAFETY: plain call.
    unsafe { libc::getpid() }
}

/// Signals that are still under way are ignored, which is their default action.
fn reset() {
    // SAFETY: all-zero is a valid sigaction: default handler, empty mask.
    let action = unsafe { std::mem::zeroed::<libc::sigaction>() };
    // SAFETY: a valid action; SIGURG can be set.
    unsafe { libc::sigaction(libc::SIGURG, &action, ptr::null_mut()) };
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// Sleeps end early, that often and no more. One test for all, because timer and handler belong to the process.
    #[test]
    fn sleeps_are_interrupted() {
        // To this thread only: those of other tests have their own sleeps.
        assert!(start(1, 3).unwrap());
        for _ in 0..500 {
            if LEFT.load(Ordering::Relaxed) <= 0 {
                break;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        assert!(LEFT.load(Ordering::Relaxed) <= 0);
        stop();
        assert!(timer().is_none());
        assert!(start(3_600_000, 1).unwrap());
        stop();
    }
}
