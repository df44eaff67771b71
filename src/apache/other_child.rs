//! The supervisor as httpd sees it: a process of the parent that is none of the MPM's children ("other child" in APR). httpd
//! reaps it and tells of its end; and what the MPM's flags say about the end of a configuration. Parent only.
//!
//! Promise: the end of a watched process is told once.

use std::ffi::{c_int, c_void};
use std::ptr;

use super::{Server, guard};

/// Whether the configuration ends because of a graceful restart, so that children of it go on for a while.
///
/// To be asked in [`super::Pool::before_end_here`] of pconf: there the MPM's flags still say what happens. (Seen with
/// httpd 2.4.71 and all three MPMs: a restart has `restart_pending`, and `is_ungraceful` for SIGHUP; a stop, graceful
/// or not, has neither. In an ordinary cleanup of pconf the MPM has reset them already.)
pub fn is_graceful_restart() -> bool {
    // SAFETY: a plain call that returns data of the process, or null.
    let state = unsafe { apache_sys::ap_unixd_mpm_get_retained_data() };
    // SAFETY: null, or alive as long as the process; written by signal handlers of this very thread.
    unsafe { state.as_ref() }
        .is_some_and(|state| state.restart_pending != 0 && state.is_ungraceful == 0)
}

/// Whether httpd is about to stop, so that nothing is to be started again.
pub fn is_stopping() -> bool {
    // SAFETY: a plain call that returns data of the process, or null.
    let state = unsafe { apache_sys::ap_unixd_mpm_get_retained_data() };
    // SAFETY: null, or alive as long as the process; written by signal handlers of this very thread.
    unsafe { state.as_ref() }.is_some_and(|state| state.shutdown_pending != 0)
}

/// A registration, to end it with [`unwatch`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Watch(usize);

/// What httpd keeps of a watched process.
struct Watched {
    process: apache_sys::apr_proc_t,
    on_end: Option<Box<dyn FnOnce(Ended)>>,
}

/// How a watched process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// With this exit status, or killed by the signal of this number: httpd does not say which.
    Status(i32),
    /// It is gone, httpd does not know how.
    Lost,
}

impl std::fmt::Display for Ended {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Ended::Status(status) => write!(f, "status or signal {status}"),
            Ended::Lost => f.write_str("unknown end"),
        }
    }
}

/// Has httpd call `on_end` once, in its main loop, when the child process `pid` has ended and was reaped.
///
/// The registration belongs to the process and not to a configuration: httpd would take the end of a supervisor that it
/// does not know, one of an old generation, for a "long lost child".
pub fn watch(server: &Server<'_>, pid: i32, on_end: impl FnOnce(Ended) + 'static) -> Watch {
    // SAFETY: all-zero is a valid apr_proc_t: numbers and null pointers.
    let mut process: apache_sys::apr_proc_t = unsafe { std::mem::zeroed() };
    process.pid = pid;
    let watched = Box::into_raw(Box::new(Watched {
        process,
        on_end: Some(Box::new(on_end)),
    }));
    // SAFETY: a live server of httpd, whose record of the process lives as long as the process.
    let pool = unsafe { server.record().process.as_ref() }
        .expect("a server has a process")
        .pool;
    // SAFETY: just made, and kept until httpd has forgotten it.
    let process = unsafe { &raw mut (*watched).process };
    // SAFETY: process and data live until they are unregistered; the pool lives as long as the process.
    unsafe {
        apache_sys::apr_proc_other_child_register(
            process,
            Some(maintain),
            watched.cast::<c_void>(),
            ptr::null_mut(),
            pool,
        );
    }
    Watch(watched as usize)
}

/// Ends a registration; `on_end` is dropped without being called. At most once, and not after `on_end` has run.
pub fn unwatch(watch: Watch) {
    drop(forget(watch.0 as *mut Watched));
}

/// Takes the registration back from httpd and frees it.
fn forget(watched: *mut Watched) -> Option<Box<dyn FnOnce(Ended)>> {
    // SAFETY: APR compares the pointer with those of its list and calls `maintain` with "unregister", which does nothing.
    unsafe { apache_sys::apr_proc_other_child_unregister(watched.cast::<c_void>()) };
    // SAFETY: made by `watch`, and httpd has no pointer to it any more. Each registration gets here once.
    let mut watched = unsafe { Box::from_raw(watched) };
    watched.on_end.take()
}

/// What httpd calls about a watched process.
///
/// # Safety
/// `data` was registered by [`watch`] and not unregistered.
unsafe extern "C" fn maintain(reason: c_int, data: *mut c_void, status: c_int) {
    let ended = match reason {
        apache_sys::APR_OC_REASON_DEATH => Ended::Status(status),
        apache_sys::APR_OC_REASON_LOST => Ended::Lost,
        // A restart of httpd, a check that it runs, or our own unregistering.
        _ => return,
    };
    guard::call("the end of the supervisor", (), || {
        if let Some(on_end) = forget(data.cast::<Watched>()) {
            on_end(ended);
        }
    });
}
