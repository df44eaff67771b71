//! The runtime's entry, the only symbol that the library exports, and the table behind it.

use wsgi_core::python::PythonSettings;
use wsgi_runtime_api::engine::{Engine, HostCalls, Request, Transport, table};
use wsgi_runtime_api::hook::{Hook, HookOutcome};
use wsgi_runtime_api::{Outcome, RuntimeTable};

use super::{config, interpreter, shutdown, thread};
use crate::wsgi::{self, process};

struct Runtime;

static TABLE: RuntimeTable = table::<Runtime>();

/// The table of this runtime. Any time, any thread.
#[unsafe(no_mangle)]
pub extern "C" fn mod_wsgi_runtime() -> *const RuntimeTable {
    &raw const TABLE
}

impl Engine for Runtime {
    // Of the release series; the patch release is that of the libpython that is found.
    const PYTHON_VERSION: u32 =
        number(env!("WSGI_PYTHON_MAJOR")) << 24 | number(env!("WSGI_PYTHON_MINOR")) << 16;
    const FREE_THREADED: bool = cfg!(Py_GIL_DISABLED);

    fn start(settings: PythonSettings, host: HostCalls) -> bool {
        let is_started = process::begin(settings, host) && config::start();
        wsgi::metrics::ready();
        is_started
    }

    fn load(script: &[u8], application_group: &[u8]) -> bool {
        wsgi::load(script, application_group)
    }

    fn start_reporting() {
        wsgi::telemetry::start();
    }

    fn handle(request: &Request<'_>, transport: Transport<'_>) -> Outcome {
        wsgi::handle(request, transport)
    }

    fn stamp(request: &Request<'_>) -> u64 {
        wsgi::stamp(request)
    }

    fn hook(hook: Hook<'_>, transport: Transport<'_>) -> HookOutcome {
        wsgi::hook::call(hook, transport)
    }

    fn publish_stopping(reason: &str) {
        wsgi::publish_stopping(reason);
    }

    fn report_stopping(reason: &str) {
        wsgi::telemetry::stopping(reason);
    }

    fn report_forced_end(reason: &str) {
        wsgi::telemetry::forced_end(reason);
    }

    fn stop() {
        wsgi::telemetry::stop();
        shutdown::stop();
    }

    fn probe() {
        // One for all that share its GIL, and those with one of their own (DMN-440).
        let with_a_gil = |interpreter: &&'static interpreter::Interpreter| {
            interpreter.is_main() || interpreter.has_own_gil()
        };
        for interpreter in interpreter::all().into_iter().filter(with_a_gil) {
            // Without a thread state there is nothing to probe with; that it was logged elsewhere is enough.
            let _ = interpreter.enter(super::Arrival::Errand, |_, _| ());
        }
    }

    fn dump_stacks() {
        wsgi::dump_stacks();
    }

    fn interrupt(thread_id: u32) -> bool {
        wsgi::interrupt(thread_id)
    }

    fn publish_signal(name: &str, number: i32) {
        wsgi::publish_signal(name, number);
    }

    fn leave_thread() {
        // Behind a door a thread does not end: the application has called exit(), perhaps in a copy of the process that it forked.
        // The whole process goes, and waiting here for the GIL that this thread holds would keep it.
        if interpreter::is_inside() {
            return;
        }
        wsgi::leave_thread();
        thread::leave();
    }
}

/// A decimal number that the build script wrote.
const fn number(text: &str) -> u32 {
    let mut value = 0;
    let mut rest = text.as_bytes();
    while let [digit, others @ ..] = rest {
        value = value * 10 + (*digit - b'0') as u32;
        rest = others;
    }
    value
}
