//! The last block of an answer, kept back for a moment. Frameworks give their answer in an iterator whose end and `close()` are
//! Python code too: a block that was sent at once would wake the Apache child twice, for the block and for the end, and the
//! thread would have to queue for the GIL again. So a block that completes its Content-Length waits for the end of the answer and
//! leaves with it; where that takes longer than [`PATIENCE`], a thread that needs no GIL sends it.

use std::io::IoSlice;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::Builder;
use std::time::Duration;

use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};
use parking_lot::Mutex;
use wsgi_sys::{clock, stream};

use crate::connection::Connection;
use crate::log::{self, Level};
use crate::process::Process;

/// How long a block waits at least, microseconds; at most it is twice that, but for the scheduler.
const PATIENCE: u64 = 1000;

/// What one request thread keeps back.
#[derive(Default)]
pub(crate) struct Hold(Mutex<Held>);

#[derive(Default)]
struct Held {
    /// Whole frames, but for what has left.
    frames: Vec<u8>,
    /// Where they are for; None while nothing is kept.
    connection: Option<Arc<Connection>>,
    /// Monotonic, microseconds.
    since: u64,
    /// Some of the bytes have left.
    is_begun: bool,
}

impl Hold {
    /// Keeps `frames`, which is empty afterwards.
    pub(crate) fn keep(&self, frames: &mut Vec<u8>, connection: &Arc<Connection>) {
        let mut held = self.0.lock();
        // Of a request whose thread has panicked.
        held.frames.clear();
        std::mem::swap(&mut held.frames, frames);
        held.connection = Some(Arc::clone(connection));
        held.since = clock::monotonic_micros();
        held.is_begun = false;
    }

    /// Gives back what has not left to `frames`, which is empty before. Whether some of it has left, so that the rest must be the
    /// next on the stream.
    pub(crate) fn take(&self, frames: &mut Vec<u8>) -> bool {
        let mut held = self.0.lock();
        held.connection = None;
        std::mem::swap(&mut held.frames, frames);
        held.is_begun
    }

    /// Sends what has waited long enough, as far as the stream takes it. Whether there is something to come back for.
    fn send_due(&self, now: u64) -> bool {
        let mut held = self.0.lock();
        let Some(connection) = &held.connection else {
            return false;
        };
        if now.saturating_sub(held.since) < PATIENCE {
            return true;
        }
        // A failure is met again, and reported, by the thread whose answer it is.
        let slices = [IoSlice::new(&held.frames)];
        let sent = stream::send_some(connection.as_fd(), &slices, None).unwrap_or(0);
        held.frames.drain(..sent);
        held.is_begun |= sent > 0;
        if held.frames.is_empty() {
            held.connection = None;
        }
        // A stream that is full is the business of the end of the answer.
        false
    }
}

/// Wakes the thread that sends what has waited.
pub(crate) struct HoldTimer {
    /// None where there was no descriptor left: nothing is kept back then.
    timer: Option<TimerFd>,
    is_armed: AtomicBool,
    /// There is a thread.
    is_watched: AtomicBool,
}

impl HoldTimer {
    pub(crate) fn new() -> HoldTimer {
        HoldTimer {
            timer: TimerFd::new(ClockId::CLOCK_MONOTONIC, TimerFlags::TFD_CLOEXEC).ok(),
            is_armed: AtomicBool::new(false),
            is_watched: AtomicBool::new(false),
        }
    }

    /// Starts the thread. Without one nothing is kept back.
    pub(crate) fn start(process: &Arc<Process>) {
        if process.hold_timer.timer.is_none() {
            return;
        }
        let shared = Arc::clone(process);
        // From now on, not from when it first runs: the first request may come before.
        process.hold_timer.is_watched.store(true, Ordering::Release);
        let thread = Builder::new().name("wsgi-held".into()).spawn(move || {
            let timer = &shared.hold_timer;
            while timer.wait() {
                let now = clock::monotonic_micros();
                let mut again = false;
                for desk in &shared.desks {
                    again |= desk.hold.send_due(now);
                }
                if again {
                    timer.arm();
                }
            }
            timer.is_watched.store(false, Ordering::Release);
        });
        if let Err(error) = thread {
            process
                .hold_timer
                .is_watched
                .store(false, Ordering::Release);
            let text =
                format!("no thread for the ends of answers, which take two steps then: {error}");
            log::record(Level::Info, text);
        }
    }

    /// Whether what is kept back is looked after.
    pub(crate) fn is_watched(&self) -> bool {
        self.is_watched.load(Ordering::Acquire)
    }

    /// Something is kept back from now on.
    pub(crate) fn arm(&self) {
        if self.is_armed.swap(true, Ordering::AcqRel) {
            return;
        }
        let after = TimeSpec::from_duration(Duration::from_micros(PATIENCE));
        let set =
            |timer: &TimerFd| timer.set(Expiration::OneShot(after), TimerSetTimeFlags::empty());
        // Cannot fail for a timer and a time that are valid.
        let _ = self.timer.as_ref().map(set);
    }

    /// Until the timer has run out; false if there is none.
    fn wait(&self) -> bool {
        let waited = match &self.timer {
            Some(timer) => timer.wait(),
            None => return false,
        };
        // Before the desks are looked at: what is kept from now on arms it again.
        self.is_armed.store(false, Ordering::Release);
        matches!(waited, Ok(()) | Err(nix::errno::Errno::EINTR))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::os::unix::net::UnixStream;

    fn pair() -> (Arc<Connection>, UnixStream) {
        let (ours, child) = UnixStream::pair().unwrap();
        let peer = stream::peer(ours.as_fd()).unwrap();
        child.set_nonblocking(true).unwrap();
        (Arc::new(Connection::new(ours.into(), peer)), child)
    }

    fn later() -> u64 {
        clock::monotonic_micros() + PATIENCE
    }

    /// An application that ends at once: nothing has left, and all is there for the end to go with it.
    #[test]
    fn what_is_kept_is_given_back() {
        let (connection, mut child) = pair();
        let hold = Hold::default();
        let mut frames = b"frames".to_vec();
        hold.keep(&mut frames, &connection);
        assert!(frames.is_empty());
        assert!(hold.send_due(0), "too early, and to be come back for");
        assert!(!hold.take(&mut frames));
        assert_eq!(frames, b"frames");
        assert!(!hold.send_due(later()), "nothing is kept any more");
        assert!(child.read(&mut [0]).is_err());
    }

    /// One that takes its time: what was kept has left.
    #[test]
    fn what_has_waited_leaves() {
        let (connection, mut child) = pair();
        let hold = Hold::default();
        let mut frames = b"frames".to_vec();
        hold.keep(&mut frames, &connection);
        assert!(!hold.send_due(later()));
        let mut received = [0; 9];
        assert_eq!(child.read(&mut received).unwrap(), 6);
        assert!(hold.take(&mut frames));
        assert!(frames.is_empty());
        assert_eq!(Arc::strong_count(&connection), 1);
    }

    /// A child that reads nothing: the rest is given back, as the next that has to be sent.
    #[test]
    fn what_has_begun_to_leave_is_told() {
        let (connection, mut child) = pair();
        let block = vec![7; 1 << 20];
        let hold = Hold::default();
        let mut frames = block.clone();
        hold.keep(&mut frames, &connection);
        assert!(!hold.send_due(later()));
        assert!(hold.take(&mut frames));
        assert!(!frames.is_empty() && frames.len() < block.len());
        let mut received = vec![0; block.len()];
        let mut count = 0;
        while let Ok(more) = child.read(&mut received[count..]) {
            count += more;
        }
        assert_eq!(count + frames.len(), block.len());
    }
}
