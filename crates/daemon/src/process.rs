//! What all threads of a serving daemon share.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use wsgi_core::control::{DaemonSettings, Preload};
use wsgi_core::life::Reason;
use wsgi_runtime_api::REQUEST_MODULE;
use wsgi_runtime_api::discover::Version;
use wsgi_runtime_api::runtime::{Request, Runtime};
use wsgi_sys::lineage::Original;
use wsgi_sys::{clock, process as own};

use crate::dispatch::Dispatch;
use crate::hold::{Hold, HoldTimer};
use crate::life::Life;
use crate::log::{self, Level};
use crate::lookout::Lookout;

/// A serving daemon.
pub(crate) struct Process {
    pub(crate) settings: DaemonSettings,
    pub(crate) runtime: Runtime,
    pub(crate) dispatch: Dispatch,
    pub(crate) life: Life,
    pub(crate) desks: Vec<Desk>,
    pub(crate) hold_timer: HoldTimer,
    pub(crate) lookout: Lookout,
    /// Requests finished, for `maximum-requests`.
    finished: AtomicU64,
    /// When the first request arrived, in monotonic microseconds; 0 before (DMN-450).
    pub(crate) first_request: AtomicU64,
    /// The process that serves, not one that an application forked.
    original: Original,
}

/// What the clock sees of a request thread. A cache line of its own, because its thread writes it for each request.
#[derive(Default)]
#[repr(align(64))]
pub(crate) struct Desk {
    /// When its request began, in monotonic microseconds; 0 while it has none.
    busy_since: AtomicU64,
    /// 1 while it waits for an event, or for a place on the lookout.
    waiting: AtomicU32,
    /// Its thread has a place on the lookout. Only that thread looks at it.
    has_place: AtomicBool,
    /// The last block of its answer.
    pub(crate) hold: Hold,
}

impl Desk {
    pub(crate) fn begin(&self) {
        // SeqCst orders this before the look at the phase that follows it, against the opposite order in the main thread.
        self.busy_since
            .store(clock::monotonic_micros(), Ordering::SeqCst);
    }

    pub(crate) fn end(&self) {
        self.busy_since.store(0, Ordering::SeqCst);
    }

    pub(crate) fn busy_since(&self) -> u64 {
        self.busy_since.load(Ordering::SeqCst)
    }

    pub(crate) fn set_waiting(&self, waiting: bool) {
        self.waiting.store(u32::from(waiting), Ordering::Relaxed);
    }

    pub(crate) fn is_waiting(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) == 1
    }
}

/// Whether all interpreters of a process share one GIL.
fn has_one_gil(settings: &DaemonSettings, python: Version) -> bool {
    let rules = &settings.python.interpreters;
    let may_have_own = rules
        .iter()
        .any(|rule| rule.per_interpreter_gil == Some(true));
    !python.free_threaded && !may_have_own
}

/// Whether a preloaded target, `module:NAME` or `module:NAME:CALLABLE`, has loaded the code of a request for `module` and
/// `callable`.
fn is_target(target: &[u8], module: &[u8], callable: &[u8]) -> bool {
    match target.strip_prefix(module) {
        Some([]) => true,
        Some([b':', rest @ ..]) => rest == callable,
        _ => false,
    }
}

/// Last activity in monotonic microseconds; 0 before the first (DMN-445). Process-wide, because the runtime reports it
/// without a context.
static ACTIVITY: AtomicU64 = AtomicU64::new(0);

/// Input was read or output written, or a request began.
pub(crate) fn note_activity() {
    ACTIVITY.store(clock::monotonic_micros(), Ordering::Relaxed);
}

/// Whether any script was ever loaded (DMN-450). Process-wide for the same reason.
static LOADED: AtomicBool = AtomicBool::new(false);

/// A script was loaded, so that this process is of use.
pub(crate) fn note_loaded() {
    if !has_loaded() {
        LOADED.store(true, Ordering::Relaxed);
    }
}

/// Whether any script was ever loaded.
pub(crate) fn has_loaded() -> bool {
    LOADED.load(Ordering::Relaxed)
}

/// When the last activity was, in monotonic microseconds; 0 if there was none yet.
pub(crate) fn last_activity() -> u64 {
    ACTIVITY.load(Ordering::Relaxed)
}

impl Process {
    pub(crate) fn new(
        settings: DaemonSettings,
        runtime: Runtime,
        dispatch: Dispatch,
        life: Life,
    ) -> Process {
        let lookout = Lookout::new(has_one_gil(&settings, runtime.version()));
        let desks = (0..settings.threads).map(|_| Desk::default()).collect();
        Process {
            settings,
            runtime,
            dispatch,
            life,
            desks,
            hold_timer: HoldTimer::new(),
            lookout,
            finished: AtomicU64::new(0),
            first_request: AtomicU64::new(0),
            original: Original::mark(),
        }
    }

    /// Whether this is a copy that an application forked.
    pub(crate) fn is_copy(&self) -> bool {
        !self.original.is_here()
    }

    /// Ends a copy that comes back from the application: it shares connections, listener and board with the process that serves,
    /// would answer the request a second time and take requests from then on. `what` it was about to do.
    pub(crate) fn end_copy(&self, what: &str) {
        if self.is_copy() {
            end_copy(what, self.original.pid());
        }
    }

    /// Waits for a place on the lookout, unless the desk's thread has one.
    pub(crate) fn look_out(&self, desk: &Desk) {
        if !desk.has_place.swap(true, Ordering::Relaxed) {
            self.lookout.enter();
        }
    }

    /// The request of the desk's thread is under way, or waits for something that others do not wait for: they look out.
    pub(crate) fn look_away(&self, desk: &Desk) {
        if desk.has_place.swap(false, Ordering::Relaxed) {
            self.lookout.leave();
        }
    }

    /// Counts a finished request, and asks for a replacement at `maximum-requests` (DMN-460).
    pub(crate) fn after_request(&self) {
        self.dispatch.count_request();
        let limit = self.settings.limits.maximum_requests;
        if limit == 0 {
            return;
        }
        let finished = self.finished.fetch_add(1, Ordering::Relaxed) + 1;
        if limit == 1 && self.settings.threads == 1 {
            // wsgi.run_once promises that no second request comes.
            let graceful = self.graceful_limit(Reason::MaximumRequests);
            self.life
                .drain(Reason::MaximumRequests, &self.dispatch, graceful, true);
        } else if finished >= limit {
            self.life.ask_replacement(Reason::MaximumRequests);
        }
    }

    /// Whether a change of this script is a reason to be replaced, and not to end at once (`deploy-check`).
    pub(crate) fn checks_deploy(&self, request: &Request<'_>) -> bool {
        let is_module = request.flags & REQUEST_MODULE != 0;
        let is_it = |preload: &Preload| {
            let script = preload.script.as_bytes();
            let is_script = if is_module {
                is_target(script, request.script(), request.callable_object)
            } else {
                script == request.script()
            };
            is_script && preload.application_group.as_bytes() == request.application_group
        };
        self.settings.deploy_check && self.settings.preload.iter().any(is_it)
    }

    /// Seconds that running requests get when the process drains for `reason`; None is no limit (DMN-471 to 473).
    pub(crate) fn graceful_limit(&self, reason: Reason) -> Option<u64> {
        let limits = &self.settings.limits;
        let seconds = match reason {
            Reason::EvictionSignal if limits.eviction_timeout > 0 => limits.eviction_timeout,
            // Nothing that could be waited for: no script was loaded (DP-85).
            Reason::StartupTimeout => 0,
            _ => limits.graceful_timeout,
        };
        // Not at the CPU limit: a request that does not end would keep the process until the kernel kills it (DP-98).
        let waits_for_idle = matches!(
            reason,
            Reason::GracefulSignal | Reason::EvictionSignal | Reason::RestartInterval
        );
        (seconds > 0 || !waits_for_idle).then_some(seconds)
    }

    /// The first request of the process begins startup-timeout (DMN-450).
    pub(crate) fn note_request(&self) {
        let now = clock::monotonic_micros();
        let first = self.first_request.load(Ordering::Relaxed) == 0
            && self
                .first_request
                .compare_exchange(0, now, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok();
        let limit = self.settings.limits.startup_timeout;
        if first && limit > 0 && !has_loaded() {
            let text = format!("first request, a script has to be loaded in {limit} s");
            log::record(Level::Info, text);
        }
    }

    /// Longest age of a request that still counts as active, in microseconds (DMN-413); None for any age.
    fn active_age(&self) -> Option<u64> {
        let limits = &self.settings.limits;
        // interrupt-timeout alone limits nothing: a timer that is off must not make another one bite.
        (limits.request_timeout > 0).then(|| {
            limits
                .request_timeout
                .saturating_add(limits.interrupt_timeout)
                .saturating_mul(1_000_000)
        })
    }

    /// Whether a request runs that is worth waiting for (DMN-413).
    pub(crate) fn is_active(&self) -> bool {
        let now = clock::monotonic_micros();
        let oldest = self.active_age();
        self.desks.iter().any(|desk| match desk.busy_since() {
            0 => false,
            since => oldest.is_none_or(|oldest| now.saturating_sub(since) <= oldest),
        })
    }

    /// Number of threads that really wait for work, if no event waits for them.
    pub(crate) fn waiting_threads(&self) -> u32 {
        let waiting = self.desks.iter().filter(|desk| desk.is_waiting()).count();
        u32::try_from(waiting).expect("a process has fewer than 65536 threads")
    }
}

/// WSGI5215, and the end of this process without any exit handler.
pub(crate) fn end_copy(what: &str, original: u32) -> ! {
    let text = format!(
        "process {} was forked by an application of process {original} and was about to {what}; it ends. A forked process has \
         to end by os._exit()",
        own::id()
    );
    log::coded(5215, Level::Error, text);
    own::exit_now(COPY_STATUS)
}

/// As for a signal that reaches a copy (DMN-506).
const COPY_STATUS: i32 = 255;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_that_are_preloaded() {
        for (target, callable, expected) in [
            ("module:site.wsgi", "application", true),
            ("module:site.wsgi:application", "application", true),
            ("module:site.wsgi:make()", "make()", true),
            ("module:site.wsgi:other", "application", false),
            ("module:site.wsgi2", "application", false),
            ("module:site", "application", false),
        ] {
            let found = is_target(target.as_bytes(), b"module:site.wsgi", callable.as_bytes());
            assert_eq!(found, expected, "{target}");
        }
    }
}
