//! The entries of the table, and the guard that each of them runs behind.

use std::any::Any;
use std::ffi::{c_int, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use wsgi_core::python::PythonSettings;

use super::{Engine, HostCalls, Request, Transport, field};
use crate::hook::{Answer, Hook};
use crate::{
    ABI_VERSION, Bytes, HookOutcome, HookView, HostTable, LOAD_FAILED, LOG_CODE_FIRST, Outcome,
    RequestView, RuntimeTable, START_FAILED, STARTED, TransportTable,
};

/// httpd's level `crit`.
const CRITICAL: c_int = 2;
/// httpd's level `error`.
const ERROR: c_int = 3;

/// The host's functions, for the guards: set by `start`.
static HOST: OnceLock<HostCalls> = OnceLock::new();

/// The table of an engine.
pub const fn table<E: Engine>() -> RuntimeTable {
    RuntimeTable {
        abi_version: ABI_VERSION,
        python_version: E::PYTHON_VERSION,
        free_threaded: E::FREE_THREADED as u32,
        start: start::<E>,
        load: load::<E>,
        start_reporting: start_reporting::<E>,
        handle: handle::<E>,
        stamp: stamp::<E>,
        hook: hook::<E>,
        publish_stopping: publish_stopping::<E>,
        report_stopping: report_stopping::<E>,
        report_forced_end: report_forced_end::<E>,
        stop: stop::<E>,
        probe: probe::<E>,
        dump_stacks: dump_stacks::<E>,
        interrupt: interrupt::<E>,
        publish_signal: publish_signal::<E>,
        leave_thread: leave_thread::<E>,
    }
}

unsafe extern "C" fn start<E: Engine>(settings: Bytes, host: *const HostTable) -> c_int {
    // SAFETY: the host lends its table for the life of the process.
    let Some(table) = (unsafe { host.as_ref() }) else {
        return START_FAILED;
    };
    if table.abi_version != ABI_VERSION {
        return START_FAILED;
    }
    let host = *HOST.get_or_init(|| HostCalls { table });
    let started = guard("start", false, || {
        match PythonSettings::decode(field(settings)) {
            Ok(settings) => E::start(settings, host),
            Err(error) => {
                let text = format!(
                    "WSGI5071: The settings of Python cannot be read ({error}): install module, daemon and runtimes \
                     from one release"
                );
                host.log(CRITICAL, text.as_bytes());
                false
            }
        }
    });
    if started { STARTED } else { START_FAILED }
}

unsafe extern "C" fn load<E: Engine>(script: Bytes, application_group: Bytes) -> c_int {
    let loaded = guard("load", false, || {
        E::load(field(script), field(application_group))
    });
    if loaded { STARTED } else { LOAD_FAILED }
}

unsafe extern "C" fn start_reporting<E: Engine>() {
    guard("start_reporting", (), E::start_reporting);
}

unsafe extern "C" fn handle<E: Engine>(
    request: *const RequestView,
    transport: *const TransportTable,
    context: *mut c_void,
) -> Outcome {
    // SAFETY: the host lends the view for the call.
    let Some(view) = (unsafe { request.as_ref() }) else {
        return Outcome::Failed;
    };
    // SAFETY: and the table.
    let Some(table) = (unsafe { transport.as_ref() }) else {
        return Outcome::Failed;
    };
    let head_sent = AtomicBool::new(false);
    let transport = Transport {
        table,
        context,
        head_sent: &head_sent,
    };
    let call = AssertUnwindSafe(|| E::handle(&Request { view }, transport));
    catch_unwind(call).unwrap_or_else(|panic| {
        let text = panic_text("handle", &*panic);
        // SAFETY: the context is valid until this function returns.
        unsafe { (table.log)(context, ERROR, LOG_CODE_FIRST, Bytes::of(text.as_bytes())) };
        if head_sent.load(Ordering::Relaxed) {
            Outcome::CutShort
        } else {
            Outcome::Failed
        }
    })
}

unsafe extern "C" fn stamp<E: Engine>(request: *const RequestView) -> u64 {
    // SAFETY: the host lends the view for the call.
    let Some(view) = (unsafe { request.as_ref() }) else {
        return 0;
    };
    guard("stamp", 0, || E::stamp(&Request { view }))
}

unsafe extern "C" fn hook<E: Engine>(
    hook: *const HookView,
    transport: *const TransportTable,
    context: *mut c_void,
    answer: Answer,
    sink: *mut c_void,
) -> HookOutcome {
    // SAFETY: the host lends the view for the call.
    let Some(view) = (unsafe { hook.as_ref() }) else {
        return HookOutcome::Unavailable;
    };
    // SAFETY: and the table.
    let Some(table) = (unsafe { transport.as_ref() }) else {
        return HookOutcome::Unavailable;
    };
    let head_sent = AtomicBool::new(false);
    let transport = Transport {
        table,
        context,
        head_sent: &head_sent,
    };
    // SAFETY: the host's, for this call.
    let hook = unsafe { Hook::new(view, answer, sink) };
    guard("hook", HookOutcome::Raised, || E::hook(hook, transport))
}

unsafe extern "C" fn publish_stopping<E: Engine>(reason: Bytes) {
    guard("publish_stopping", (), || {
        E::publish_stopping(&String::from_utf8_lossy(field(reason)))
    });
}

unsafe extern "C" fn report_stopping<E: Engine>(reason: Bytes) {
    guard("report_stopping", (), || {
        E::report_stopping(&String::from_utf8_lossy(field(reason)))
    });
}

unsafe extern "C" fn report_forced_end<E: Engine>(reason: Bytes) {
    guard("report_forced_end", (), || {
        E::report_forced_end(&String::from_utf8_lossy(field(reason)))
    });
}

unsafe extern "C" fn stop<E: Engine>() {
    guard("stop", (), E::stop);
}

unsafe extern "C" fn probe<E: Engine>() {
    guard("probe", (), E::probe);
}

unsafe extern "C" fn dump_stacks<E: Engine>() {
    guard("dump_stacks", (), E::dump_stacks);
}

unsafe extern "C" fn interrupt<E: Engine>(thread_id: u32) -> c_int {
    guard("interrupt", 0, || c_int::from(E::interrupt(thread_id)))
}

unsafe extern "C" fn publish_signal<E: Engine>(name: Bytes, number: c_int) {
    guard("publish_signal", (), || {
        E::publish_signal(&String::from_utf8_lossy(field(name)), number);
    });
}

unsafe extern "C" fn leave_thread<E: Engine>() {
    guard("leave_thread", (), E::leave_thread);
}

/// Runs an entry's body; a panic is logged and becomes `on_panic`.
fn guard<R>(entry: &str, on_panic: R, body: impl FnOnce() -> R) -> R {
    catch_unwind(AssertUnwindSafe(body)).unwrap_or_else(|panic| {
        if let Some(host) = HOST.get() {
            host.log(CRITICAL, panic_text(entry, &*panic).as_bytes());
        }
        on_panic
    })
}

fn panic_text(entry: &str, panic: &(dyn Any + Send)) -> String {
    let text = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no text");
    format!("WSGI5070: Internal error of the Python runtime in '{entry}': {text}")
}
