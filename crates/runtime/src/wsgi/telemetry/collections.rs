//! Cyclic garbage collections of each interpreter, seen by a function in its `gc.callbacks` (API-420).

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use pyo3::prelude::*;
use wsgi_core::telemetry::{Collection, Collections, GcSnapshot};

use crate::python::interpreter;
use crate::wsgi::metrics::epoch_now;
use crate::wsgi::state::State;

/// Ticks between two counts of frozen objects where counting takes long.
const RARELY: u32 = 60;

/// What long is, for a count that keeps every request of the interpreter waiting.
const LONG: Duration = Duration::from_millis(1);

/// What was seen in an interpreter.
pub(crate) struct Seen {
    /// Set at the set-up of the interpreter.
    functions: OnceLock<Functions>,
    /// Since when a collection runs: seconds since the epoch, and by the clock that does not go back.
    begun: Mutex<Option<(f64, Instant)>>,
    ended: Mutex<Collections>,
    frozen: Mutex<Frozen>,
}

/// Functions of module `gc`, as they were before the application could change them.
struct Functions {
    get_count: Py<PyAny>,
    get_threshold: Py<PyAny>,
    get_stats: Py<PyAny>,
    is_enabled: Py<PyAny>,
    get_freeze_count: Py<PyAny>,
}

/// How many objects are frozen; CPython counts them one by one.
#[derive(Default)]
struct Frozen {
    count: u64,
    /// Ticks for which it need not be counted.
    skipped: u32,
}

impl Seen {
    /// Nothing yet.
    pub(crate) const fn new() -> Seen {
        Seen {
            functions: OnceLock::new(),
            begun: Mutex::new(None),
            ended: Mutex::new(Collections::new()),
            frozen: Mutex::new(Frozen {
                count: 0,
                skipped: 0,
            }),
        }
    }
}

/// Begins to see those of this interpreter.
pub(crate) fn watch(py: Python<'_>, state: &State) -> PyResult<()> {
    let gc = py.import("gc")?;
    let function = |name: &str| gc.getattr(name).map(Bound::unbind);
    let functions = Functions {
        get_count: function("get_count")?,
        get_threshold: function("get_threshold")?,
        get_stats: function("get_stats")?,
        is_enabled: function("isenabled")?,
        get_freeze_count: function("get_freeze_count")?,
    };
    // Once for an interpreter.
    let _ = state.collections.functions.set(functions);
    let seen = wrap_pyfunction!(collection, py)?;
    let callbacks = gc.getattr("callbacks")?;
    callbacks.call_method1("append", (seen,)).map(drop)
}

/// What CPython calls at the begin and at the end of a collection. Raises nothing.
#[pyfunction]
#[pyo3(signature = (phase, info, /))]
fn collection(py: Python<'_>, phase: &Bound<'_, PyAny>, info: &Bound<'_, PyAny>) {
    let Some(state) = interpreter::current(py).and_then(|interpreter| interpreter.state()) else {
        return;
    };
    let seen = &state.collections;
    match phase.extract::<&str>() {
        Ok("start") => {
            *seen.begun.lock() = Some((epoch_now(), Instant::now()));
        }
        Ok("stop") => {
            // One that began before it was watched.
            let Some((start, begun)) = seen.begun.lock().take() else {
                return;
            };
            let number = |name: &str| {
                let value = info.get_item(name).and_then(|value| value.extract::<u64>());
                value.unwrap_or(0)
            };
            let ended = Collection {
                start,
                duration: begun.elapsed().as_secs_f64(),
                generation: u8::try_from(number("generation")).unwrap_or(u8::MAX),
                collected: number("collected"),
                uncollectable: number("uncollectable"),
            };
            seen.ended.lock().push(ended);
        }
        _ => {}
    }
}

/// The collector of an interpreter as it is now, and what it has done since the last look. What cannot be read is 0.
pub(super) fn look(py: Python<'_>, state: &'static State) -> (GcSnapshot, Vec<Collection>) {
    let seen = &state.collections;
    let functions = seen.functions.get();
    let mut snapshot = functions.map_or_else(GcSnapshot::default, |functions| {
        snapshot(py, seen, functions)
    });
    let mut ended = seen.ended.lock();
    snapshot.dropped = ended.take_dropped();
    (snapshot, ended.take())
}

fn snapshot(py: Python<'_>, seen: &Seen, functions: &Functions) -> GcSnapshot {
    let call = |function: &Py<PyAny>| function.bind(py).call0().ok();
    let three = |function| {
        let numbers = call(function);
        [0, 1, 2].map(|index| number(numbers.as_ref(), index))
    };
    let mut snapshot = GcSnapshot {
        counts: three(&functions.get_count),
        thresholds: three(&functions.get_threshold),
        is_enabled: call(&functions.is_enabled).is_some_and(|is| is.is_truthy().unwrap_or(false)),
        freeze_count: frozen(py, seen, &functions.get_freeze_count),
        ..GcSnapshot::default()
    };
    let generations = call(&functions.get_stats);
    for index in 0..3 {
        let generation = generations
            .as_ref()
            .and_then(|all| all.get_item(index).ok());
        snapshot.collections[index] = number(generation.as_ref(), "collections");
        snapshot.collected[index] = number(generation.as_ref(), "collected");
        snapshot.uncollectable[index] = number(generation.as_ref(), "uncollectable");
    }
    snapshot
}

/// A number in a sequence or dict; 0 if it is not there, or none that is not negative.
fn number<'py>(of: Option<&Bound<'py, PyAny>>, key: impl IntoPyObject<'py>) -> u64 {
    let value = of.and_then(|of| of.get_item(key).ok());
    value.and_then(|value| value.extract().ok()).unwrap_or(0)
}

/// How many objects are frozen, at this tick or, where there are many, at one of the last.
fn frozen(py: Python<'_>, seen: &Seen, get_freeze_count: &Py<PyAny>) -> u64 {
    let mut frozen = seen.frozen.lock();
    if frozen.skipped > 0 {
        frozen.skipped -= 1;
        return frozen.count;
    }
    let started = Instant::now();
    let count = get_freeze_count.bind(py).call0();
    frozen.count = count.and_then(|count| count.extract()).unwrap_or(0);
    if started.elapsed() > LONG {
        frozen.skipped = RARELY;
    }
    frozen.count
}
