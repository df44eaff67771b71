//! Cyclic garbage collections of each interpreter, seen by a function in its `gc.callbacks` (API-420).

use std::time::Instant;

use parking_lot::Mutex;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use wsgi_core::telemetry::{Collection, Collections, GcSnapshot};

use crate::python::interpreter;
use crate::wsgi::metrics::epoch_now;
use crate::wsgi::state::State;

/// What was seen in an interpreter.
pub(crate) struct Seen {
    /// Since when one runs: seconds since the epoch, and by the clock that does not go back.
    begun: Mutex<Option<(f64, Instant)>>,
    ended: Mutex<Collections>,
}

impl Seen {
    /// Nothing yet.
    pub(crate) const fn new() -> Seen {
        Seen {
            begun: Mutex::new(None),
            ended: Mutex::new(Collections::new()),
        }
    }
}

/// Begins to see those of this interpreter.
pub(crate) fn watch(py: Python<'_>) -> PyResult<()> {
    let seen = wrap_pyfunction!(collection, py)?;
    let callbacks = py.import("gc")?.getattr("callbacks")?;
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
    let mut snapshot = snapshot(py).unwrap_or_default();
    let mut ended = state.collections.ended.lock();
    snapshot.dropped = ended.take_dropped();
    (snapshot, ended.take())
}

fn snapshot(py: Python<'_>) -> PyResult<GcSnapshot> {
    let gc = py.import("gc")?;
    let three = |name: &str| {
        let numbers = gc
            .call_method0(name)
            .and_then(|all| all.extract::<Vec<u64>>());
        let numbers = numbers.unwrap_or_default();
        [0, 1, 2].map(|index| numbers.get(index).copied().unwrap_or(0))
    };
    let mut snapshot = GcSnapshot {
        counts: three("get_count"),
        thresholds: three("get_threshold"),
        is_enabled: gc.call_method0("isenabled")?.is_truthy()?,
        freeze_count: gc
            .call_method0("get_freeze_count")
            .and_then(|count| count.extract())
            .unwrap_or(0),
        ..GcSnapshot::default()
    };
    let generations = gc.call_method0("get_stats")?;
    for (index, generation) in generations.try_iter()?.take(3).enumerate() {
        let generation = generation?;
        let numbers = generation.cast::<PyDict>()?;
        let number = |name: &str| -> PyResult<u64> {
            let value = numbers.get_item(name)?;
            Ok(value.and_then(|value| value.extract().ok()).unwrap_or(0))
        };
        snapshot.collections[index] = number("collections")?;
        snapshot.collected[index] = number("collected")?;
        snapshot.uncollectable[index] = number("uncollectable")?;
    }
    Ok(snapshot)
}
