//! The gap of a graceful restart: from the end of the old children's listening to the first new child, nobody accepts.
//!
//! httpd tells its children to stop before it reads its configuration again. If all of them are still busy with requests when it
//! has done that, it sleeps for a second, in case one ends and can be replaced in its slot, and only then starts new ones:
//! whoever connects meanwhile waits for up to a second, with any module and any content. Here that sleep is interrupted, so
//! that httpd finds at once that it has nothing to wait for. httpd parent only; a fork merely forgets.

use wsgi_sys::nudge;

use crate::apache::{Pool, mpm, scoreboard};

/// Milliseconds to the first interruption. It is to come when the parent sleeps, which is some milliseconds after its start; on a
/// busy machine it may be a later one that finds it so.
const FIRST: u32 = 20;
/// How many at most, 1.3 seconds in all. Few, because each has httpd look after its spare children once more, which it may write
/// to its log.
const TIMES: i32 = 6;

/// The MPM is going to begin. Where this is a restart, its sleep is cut short until a child was started.
pub(super) fn shorten(pconf: Pool<'_>) {
    if mpm::generation() == 0 || mpm::is_one_process() {
        return;
    }
    // Where every slot is taken no child can be started before one has ended. httpd says so each time it wakes (AH03490).
    if !scoreboard::has_free_slot() {
        return;
    }
    // Without a timer, or with SIGURG in other hands, httpd sleeps as it always did.
    if nudge::start(FIRST, TIMES).is_ok_and(|started| started) {
        // The handler's code goes with the module.
        pconf.before_end_here(nudge::stop);
    }
}

/// A child was started, or this process is one.
pub(super) fn closed() {
    nudge::stop();
}
