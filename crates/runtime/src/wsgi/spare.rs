//! `wsgi.errors` of a request. Making a text wrapper is slow and most requests never use it, so each thread keeps one for
//! each interpreter that was not touched, and that nobody kept, for its next request.

use std::cell::RefCell;
use std::mem::ManuallyDrop;
use std::ptr;
use std::sync::Arc;

use pyo3::prelude::*;

use super::exchange::Exchange;
use super::lines::Stream;
use super::state::State;
use super::streams::{self, Log};
use crate::python::{Arrival, class, interpreter, objects};

/// A `wsgi.errors` that nobody has used, and its log, for the next request of this thread.
struct Spare {
    state: *const State,
    wrapper: Py<PyAny>,
    log: Py<PyAny>,
    /// In the environ of a request that has not ended.
    is_lent: bool,
}

thread_local! {
    // Never dropped: Python objects are freed behind a door, by `leave_thread`.
    static SPARES: RefCell<ManuallyDrop<Vec<Spare>>> =
        const { RefCell::new(ManuallyDrop::new(Vec::new())) };
}

/// `wsgi.errors` for a request. Making a text wrapper is slow and most requests never use it, so one that was not touched,
/// and that nobody kept, serves the next request of the thread.
pub(super) fn armed<'py>(
    py: Python<'py>,
    state: &State,
    exchange: &Arc<Exchange>,
) -> PyResult<Bound<'py, PyAny>> {
    let spare = SPARES.with_borrow_mut(|spares| {
        let mut spares = spares.iter_mut();
        let spare = spares.find(|spare| ptr::eq(spare.state, state) && !spare.is_lent)?;
        spare.is_lent = true;
        Some((spare.wrapper.bind(py).clone(), spare.log.bind(py).clone()))
    });
    let (wrapper, log) = match spare {
        Some(spare) => spare,
        None => {
            let (wrapper, log) = streams::wrapper(py, state, Stream::Errors)?;
            let spare = Spare {
                state,
                wrapper: wrapper.clone().unbind(),
                log: log.clone().unbind(),
                is_lent: true,
            };
            SPARES.with_borrow_mut(|spares| spares.push(spare));
            (wrapper, log)
        }
    };
    if let Some(log) = class::value::<Log>(&log, state.types.log.bind(py)) {
        log.arm(Arc::clone(exchange));
    }
    Ok(wrapper)
}

/// Takes `wsgi.errors` of the request that ends back, if it can be used again.
pub(super) fn disarm(py: Python<'_>, state: &State) {
    let lent = SPARES.with_borrow_mut(|spares| {
        let mut places = spares.iter();
        // The last one: a request around this one on the same thread has an earlier one.
        let position = places.rposition(|spare| ptr::eq(spare.state, state) && spare.is_lent)?;
        Some(spares.swap_remove(position))
    });
    let Some(mut spare) = lent else { return };
    let log = spare.log.bind(py).clone();
    let Some(value) = class::value::<Log>(&log, state.types.log.bind(py)) else {
        return;
    };
    // Ours and the wrapper's, and the one in `log`.
    let is_ours = objects::is_referred_to(&spare.wrapper, 1, py)
        && objects::is_referred_to(&spare.log, 3, py);
    if value.disarm() && is_ours {
        spare.is_lent = false;
        SPARES.with_borrow_mut(|spares| spares.push(spare));
    }
}

/// Frees what this thread keeps.
pub(super) fn leave_thread() {
    let spares = SPARES.with_borrow_mut(|spares| std::mem::take(&mut **spares));
    let mut by_state: Vec<(*const State, Vec<Spare>)> = Vec::new();
    for spare in spares {
        match by_state
            .iter_mut()
            .find(|(state, _)| ptr::eq(*state, spare.state))
        {
            Some((_, group)) => group.push(spare),
            None => by_state.push((spare.state, vec![spare])),
        }
    }
    for interpreter in interpreter::all() {
        let Some(state) = interpreter.state() else {
            continue;
        };
        if let Some(place) = by_state
            .iter()
            .position(|(other, _)| ptr::eq(*other, state))
        {
            let (_, group) = by_state.swap_remove(place);
            // The thread has a thread state there, so this cannot fail for want of one.
            let _ = interpreter.enter(Arrival::Errand, |_, _| drop(group));
        }
    }
}
