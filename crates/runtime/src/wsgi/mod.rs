//! The PEP 3333 engine: safe code over pyo3's types. Above it is the table (`python::table`), below it what the host lends.
//!
//! [`handle`] is the way of a request: without the GIL it looks at the script's file, then enters the interpreter once,
//! where the application runs ([`run`]); what can be sent without Python is sent after leaving it again.

mod adapter;
mod advice;
mod body;
mod counters;
mod current;
mod environ;
mod events;
mod exchange;
mod file_wrapper;
pub(crate) mod finish;
mod head;
pub(crate) mod hook;
mod hook_tls;
mod input;
mod lines;
pub(crate) mod metrics;
mod module;
pub(crate) mod process;
mod report;
mod resolve;
mod run;
mod script;
mod server_metrics;
pub(crate) mod setup;
mod signals;
mod spare;
pub(crate) mod state;
mod streams;
mod target;
pub(crate) mod telemetry;

use std::ptr;
use std::sync::Arc;
use std::time::Instant;

use wsgi_runtime_api::Outcome;
use wsgi_runtime_api::engine::{Block, Request, Transport};

use self::exchange::{Exchange, Rest};
use self::process::{CRITICAL, ERROR, INFO, WARNING};
use self::run::{After, Body, Looked};
use self::script::{Changed, Context, Found};
use self::state::State;
use crate::python::interpreter::{self, Origin, Unavailable, no_thread_state};
use crate::python::lend::lend;
use crate::python::{Arrival, Interpreter};

/// Runs a request on the calling thread, which holds no GIL.
pub(crate) fn handle(request: &Request<'_>, transport: Transport<'_>) -> Outcome {
    let script = String::from_utf8_lossy(request.script_filename()).into_owned();
    let wrap = |lent| {
        Arc::new(Exchange::new(
            lent,
            script,
            request.counts_as_activity(),
            request.is_head(),
        ))
    };
    lend(
        transport,
        wrap,
        |exchange| exchange.lent(),
        |exchange| {
            let counted = metrics::begin(request, exchange);
            let outcome = handle_lent(request, exchange);
            counted.end(request, exchange, outcome);
            outcome
        },
    )
}

fn handle_lent(request: &Request<'_>, exchange: &Arc<Exchange>) -> Outcome {
    let name = request.application_group();
    let unavailable = || {
        let which = process::describe_interpreter(&String::from_utf8_lossy(name));
        exchange.log(
            ERROR,
            0,
            format!("WSGI0087: The {which} is not available.").as_bytes(),
        );
        Outcome::Unavailable
    };
    if !interpreter::is_at_hand(name) {
        // Making one takes long, and so does waiting for another thread that makes it.
        exchange.under_way();
    }
    let interpreter = match interpreter::get(name, Origin::of(request.has_client_group())) {
        Ok(interpreter) => interpreter,
        Err(Unavailable::Failed) => return unavailable(),
        Err(Unavailable::TooMany) => return Outcome::TooManyInterpreters,
    };
    let looked = look(request, interpreter);
    let arrived = Instant::now();
    let entered = interpreter.enter(Arrival::Request, |py, state| {
        exchange.under_way();
        exchange.counters.waited_for_gil(arrived.elapsed());
        state.clear_graveyard(py);
        run::run(py, state, request, exchange, looked)
    });
    let Ok(after) = entered else {
        no_thread_state(interpreter.name());
        return unavailable();
    };
    match after {
        After::Outcome(outcome) => {
            exchange.flush_lines();
            outcome
        }
        After::Conclude => exchange.conclude(&Rest::End),
        After::Send(Body::Copied(bytes)) => {
            let block = [Block::from(bytes.as_slice())];
            exchange.conclude(&Rest::Body(if bytes.is_empty() { &[] } else { &block }))
        }
        After::Send(Body::Kept(kept)) => {
            let blocks: Vec<Block<'_>> = kept.iter().map(|bytes| Block::from(&**bytes)).collect();
            let outcome = exchange.conclude(&Rest::Body(&blocks));
            drop(blocks);
            bury(interpreter, kept);
            outcome
        }
    }
}

/// Looks at the files of what the request wants, without the GIL.
fn look(request: &Request<'_>, interpreter: &Interpreter) -> Looked {
    if !request.reloads_scripts() {
        return Looked::default();
    }
    match (run::wanted(request), interpreter.state()) {
        (Some(wanted), Some(state)) => Looked {
            stale: state.targets.stale(&wanted),
            ..Looked::default()
        },
        _ => Looked {
            modified: script::modified(request.script()),
            ..Looked::default()
        },
    }
}

/// What the files of a script or module look like now, as one number.
pub(crate) fn stamp(request: &Request<'_>) -> u64 {
    let Some(wanted) = run::wanted(request) else {
        return script::modified(request.script())
            .map_or(0, |time| u64::from_ne_bytes(time.to_ne_bytes()));
    };
    let interpreter = interpreter::get(
        request.application_group(),
        Origin::of(request.has_client_group()),
    );
    let state = interpreter.ok().and_then(|interpreter| interpreter.state());
    state.map_or(0, |state| state.targets.stamp(&wanted))
}

/// Bytes that wait in the graveyard until the next request, at most; more are freed at once.
const MOST_BURIED: usize = 4 * 1024 * 1024;

/// Gives bytes back to Python: by the next thread that holds the GIL anyway, unless they are many.
fn bury(interpreter: &'static Interpreter, kept: Vec<pyo3::pybacked::PyBackedBytes>) {
    let total: usize = kept.iter().map(|bytes| bytes.len()).sum();
    let is_much = total > MOST_BURIED;
    if let Some(state) = interpreter.state() {
        state.bury(kept);
    }
    if is_much {
        // The thread has a thread state in this interpreter: it just ran the request there.
        let _ = interpreter.enter(Arrival::Errand, |py, state| state.clear_graveyard(py));
    }
}

/// Loads a script, or imports the module of a target `module:NAME[:CALLABLE]`, outside of any request; false if that failed, which was logged.
pub(crate) fn load(script: &[u8], application_group: &[u8]) -> bool {
    let unavailable = || {
        let text = format!(
            "WSGI0040: The {} for import script '{}' is not available.",
            process::describe_interpreter(&String::from_utf8_lossy(application_group)),
            String::from_utf8_lossy(script)
        );
        process::log(CRITICAL, &text);
        false
    };
    let Ok(interpreter) = interpreter::get(application_group, Origin::Server) else {
        return unavailable();
    };
    let module = script.strip_prefix(b"module:");
    let module = module.map(String::from_utf8_lossy);
    let loaded = interpreter.enter(Arrival::Errand, |py, state| {
        let _in_load = current::InLoad::begin(py, state, script);
        let loaded = match &module {
            Some(module) => target::preload(py, state, module),
            None => load_script(py, state, script),
        };
        if !interpreter.has_own_gil() {
            setup::restore_switch_interval(py);
        }
        loaded
    });
    loaded.unwrap_or_else(|_| {
        no_thread_state(interpreter.name());
        unavailable()
    })
}

fn load_script(py: pyo3::Python<'_>, state: &State, script: &[u8]) -> bool {
    let modified = script::modified(script);
    let (changed, context) = (Changed::Reloaded, Context::Process);
    let scripts = &state.scripts;
    match scripts.find(py, state, script, modified, changed, None, context) {
        Ok(found) => matches!(found, Found::Module(_)),
        Err(error) => {
            let script = String::from_utf8_lossy(script);
            report::script_exception(py, &error, &script, state.interpreter.name());
            false
        }
    }
}

/// Publishes `process_stopping` in every interpreter, unless this is a service process (DMN-564).
pub(crate) fn publish_stopping(reason: &str) {
    if process::settings().facts.service {
        return;
    }
    for interpreter in interpreter::all() {
        let published = interpreter.enter(Arrival::Errand, |py, state| {
            events::process_stopping(py, state, reason);
        });
        if published.is_err() {
            no_thread_state(interpreter.name());
        }
    }
}

/// Publishes `process_signal` in every interpreter.
pub(crate) fn publish_signal(name: &str, number: i32) {
    for interpreter in interpreter::all() {
        let published = interpreter.enter(Arrival::Errand, |py, state| {
            events::process_signal(py, state, name, number);
        });
        if published.is_err() {
            no_thread_state(interpreter.name());
        }
    }
}

/// Raises `mod_wsgi.RequestTimeout` in what a worker runs; whether it was raised (DMN-433).
pub(crate) fn interrupt(thread_id: u32) -> bool {
    let found = current::running()
        .into_iter()
        .find(|(worker, _)| worker.thread_id() == thread_id);
    let Some((worker, running)) = found else {
        return false;
    };
    let raised = running
        .interpreter
        .enter(Arrival::Errand, |py, state| worker.interrupt(py, state));
    raised.unwrap_or_else(|_| {
        no_thread_state(running.interpreter.name());
        false
    })
}

/// Logs the stacks of the threads that run requests (DMN-432), or load a script before there are any: first those of the main interpreter's GIL, then of each
/// interpreter with its own, because one of these may be blocked. CPython's own list of frames reads those of interpreters that
/// run meanwhile.
pub(crate) fn dump_stacks() {
    if process::settings().is_free_threaded() {
        process::log(INFO, "No stacks are dumped: Python runs without a GIL.");
        return;
    }
    let running = current::running();
    let Some(main) = interpreter::main() else {
        return;
    };
    if running.is_empty() {
        process::log(INFO, "No thread runs a request.");
    }
    let mut doors = vec![main];
    for (_, running) in &running {
        let interpreter = running.interpreter;
        if interpreter.has_own_gil() && !doors.iter().any(|door| ptr::eq(*door, interpreter)) {
            doors.push(interpreter);
        }
    }
    for door in doors {
        let behind: Vec<_> = running
            .iter()
            .filter(|(_, running)| match running.interpreter.has_own_gil() {
                true => ptr::eq(running.interpreter, door),
                false => ptr::eq(main, door),
            })
            .collect();
        if behind.is_empty() {
            continue;
        }
        let lines = door.enter(Arrival::Errand, |py, _| {
            let lines = behind.iter().map(|(worker, running)| {
                let heading = format!(
                    "Stack of thread {} (script '{}', {}):",
                    worker.thread_id(),
                    running.script,
                    process::describe_interpreter(running.interpreter.name())
                );
                report::stack_of(py, running).map(|lines| (heading, lines))
            });
            lines
                .collect::<pyo3::PyResult<Vec<_>>>()
                .map_err(|error| error.to_string())
        });
        match lines {
            Ok(Ok(stacks)) => {
                for (heading, lines) in stacks {
                    process::log(INFO, &heading);
                    lines.iter().for_each(|line| process::log(INFO, line));
                }
            }
            Ok(Err(why)) => {
                let text = format!("WSGI0067: The frames of threads cannot be had: {why}");
                process::log(WARNING, &text);
            }
            Err(_) => {
                no_thread_state(door.name());
            }
        }
    }
}

/// Whether a thread still runs a request in `interpreter`.
pub(crate) fn is_busy(interpreter: &Interpreter) -> bool {
    current::running()
        .iter()
        .any(|(_, running)| std::ptr::eq(running.interpreter, interpreter))
}

/// Forgets what this thread keeps for its next request, before its thread states end.
pub(crate) fn leave_thread() {
    spare::leave_thread();
    current::leave();
}
