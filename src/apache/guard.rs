//! The one way in from C: runs Rust code so that a panic ends as a value that httpd understands, and is logged.
//!
//! Every `extern "C"` function of the module calls one of these. Any process, any thread.

use std::any::Any;
use std::cell::RefCell;
use std::ffi::c_int;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;

use super::log::{self, Level};
use super::{Request, Status};

thread_local! {
    /// Where the last panic of this thread happened; written by the panic hook, which alone knows it.
    static LAST_LOCATION: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Makes panics leave their location for the guard instead of writing to stderr. Once per process image: the library, and with
/// it Rust's panic hook, stays loaded across restarts.
pub fn install() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        std::panic::set_hook(Box::new(|info| {
            let location = info.location().map(ToString::to_string);
            // A thread whose locals are gone already just logs without a location.
            let _ = LAST_LOCATION.try_with(|last| *last.borrow_mut() = location);
        }));
    });
}

/// Runs `body`; a panic is logged through `report` and becomes `on_panic`.
fn run<T>(on_panic: T, report: impl FnOnce(&str), body: impl FnOnce() -> T) -> T {
    // AssertUnwindSafe: what `body` touches is either its own or behind locks without poisoning, and a request that panicked
    // is not used again.
    match catch_unwind(AssertUnwindSafe(body)) {
        Ok(value) => value,
        Err(payload) => {
            let location = LAST_LOCATION.with(|last| last.borrow_mut().take());
            let text = describe(payload.as_ref(), location.as_deref());
            // A panic while reporting must not get out either; then the value alone has to do.
            let _ = catch_unwind(AssertUnwindSafe(|| report(&text)));
            // Dropping the payload may panic in theory; leaking it is what std does too.
            std::mem::forget(payload);
            on_panic
        }
    }
}

fn describe(payload: &(dyn Any + Send), location: Option<&str>) -> String {
    let message = payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message");
    format!(
        "panic at {}: {message}",
        location.unwrap_or("an unknown place")
    )
}

/// For hooks that get a request: a panic in `body` is logged with the request and becomes 500.
///
/// # Safety
/// `r` is the live request that httpd called the hook with, and is not used by another thread during the call.
pub unsafe fn request_hook(
    r: *mut apache_sys::request_rec,
    hook: &str,
    body: impl FnOnce(&Request<'_>) -> Status,
) -> c_int {
    // SAFETY: passed on from the caller.
    let request = unsafe { Request::from_raw(r) };
    run(
        Status::INTERNAL_SERVER_ERROR,
        |text| request.log(Level::Crit, format!("WSGI5010: {hook}: {text}")),
        || body(&request),
    )
    .code()
}

/// For everything else: a panic in `body` is logged to the main error log and becomes `on_panic`.
pub fn call<T>(what: &str, on_panic: T, body: impl FnOnce() -> T) -> T {
    run(
        on_panic,
        |text| log::process(Level::Crit, format!("WSGI5010: {what}: {text}")),
        body,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A panic becomes the value for it, and is reported with message and place.
    #[test]
    fn a_panic_becomes_a_value_and_is_reported() {
        install();
        let mut report = String::new();
        let value = run(
            500,
            |text| report.push_str(text),
            || -> i32 { panic!("broken {}", 1) },
        );
        assert_eq!(value, 500);
        assert!(report.contains("guard.rs"), "{report}");
        assert!(report.ends_with("broken 1"), "{report}");
    }

    /// A panic while reporting does not get out either.
    #[test]
    fn a_panic_in_the_report_does_not_escape() {
        install();
        assert_eq!(
            run(1, |_| panic!("again"), || -> i32 { panic!("first") }),
            1
        );
    }

    /// Without a panic nothing is reported.
    #[test]
    fn a_value_passes_through() {
        assert_eq!(run(1, |_| unreachable!("nothing to report"), || 2), 2);
    }
}
