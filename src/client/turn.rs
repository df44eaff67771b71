//! Whose turn it is: where many requests of a child are in flight, they go to the daemons one after the other, in the order in which
//! they came.
//!
//! With more threads ready to run than processors the kernel lets them run in an order of its own, and the slowest answers take many
//! times as long as those in the middle. A thread that waits for its turn is not ready to run. A turn ends when the request
//! was sent, or before its thread has to wait for anything else. Figures are in `docs/benchmarks.md`.
//!
//! Any thread of an Apache child.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use wsgi_core::gate::{Gate, Passage};

/// So many requests in flight besides the new one are a crowd. Fewer do not get into each other's way, and waiting would only cost
/// switches.
const CROWD: usize = 16;
/// The crowd is gone when there are fewer than this. Requests that wait for their turn are let go in bursts.
const FEW: usize = 3;

/// Of this child.
pub(super) static TURNS: Turns = Turns::new();

/// Requests in flight, and whose turn it is.
pub(super) struct Turns {
    in_flight: AtomicUsize,
    is_crowded: AtomicBool,
    gate: Gate,
}

/// A request on its way to a daemon and back. Counts until it is dropped.
pub(super) struct InFlight<'t> {
    turns: &'t Turns,
}

/// A turn, given on when dropped.
pub(super) struct Turn<'t>(Option<Passage<'t>>);

impl Turns {
    const fn new() -> Turns {
        Turns {
            in_flight: AtomicUsize::new(0),
            is_crowded: AtomicBool::new(false),
            gate: Gate::new(1),
        }
    }

    /// Counts a request.
    pub(super) fn request(&self) -> InFlight<'_> {
        let others = self.in_flight.fetch_add(1, Ordering::Relaxed);
        // Written only where it changes, which keeps the line shared between processors.
        if others >= CROWD && !self.is_crowded() {
            self.is_crowded.store(true, Ordering::Relaxed);
        } else if others < FEW && self.is_crowded() {
            self.is_crowded.store(false, Ordering::Relaxed);
        }
        InFlight { turns: self }
    }

    fn is_crowded(&self) -> bool {
        self.is_crowded.load(Ordering::Relaxed)
    }
}

impl<'t> InFlight<'t> {
    /// Waits for the request's turn, if there is a crowd.
    pub(super) fn turn(&self) -> Turn<'t> {
        Turn(self.turns.is_crowded().then(|| self.turns.gate.wait()))
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.turns.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Turn<'_> {
    /// Whether the next one waits for this one's end.
    pub(super) fn is_held(&self) -> bool {
        self.0.is_some()
    }

    /// The thread is about to wait: the next may go.
    pub(super) fn end(&mut self) {
        self.0 = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A few requests never wait; in a crowd one goes at a time, until it ends its turn.
    #[test]
    fn a_crowd_goes_one_after_the_other() {
        let turns = Turns::new();
        let few: Vec<_> = (0..CROWD).map(|_| turns.request()).collect();
        assert!(few.iter().all(|request| !request.turn().is_held()));
        let last = turns.request();
        let mut first = last.turn();
        assert!(first.is_held());
        let second = std::thread::scope(|scope| {
            let second = scope.spawn(|| last.turn().is_held());
            first.end();
            second.join().expect("it only waits")
        });
        assert!(second && !first.is_held());
        drop((few, last));
        assert!(!turns.request().turn().is_held(), "the crowd is gone");
    }
}
