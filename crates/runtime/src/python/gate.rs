//! The gate: of all threads that bring a new request, two at a time contend for the GIL.
//!
//! Many threads that queue on the GIL make it slow and unfair: each waits with a timeout and forces the holder to switch, and
//! whoever is awake takes it first. A newcomer waits here in the order of arrival for a place among the contenders, and gives
//! the place on when it has the GIL. A thread that comes back from a wait does not use the gate, so requests in progress go
//! first. Not for interpreters with a GIL of their own and not in free-threaded builds, where nobody queues.
//!
//! Two places and not one: the contender that was woken up may have to wait for a processor, and the free GIL is not to wait
//! with it. Figures are in `docs/benchmarks.md`.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::{self, Thread};

use parking_lot::Mutex;

/// Contenders, where `MOD_WSGI_GATE` does not give another number (0: no gate), which is for measuring.
const PLACES: usize = 2;

static GATE: OnceLock<Gate> = OnceLock::new();

/// Waits at the gate, without the GIL. The place is held until the value is dropped.
pub(super) fn wait() -> Option<Passage<'static>> {
    let gate = GATE.get_or_init(|| {
        let places = std::env::var("MOD_WSGI_GATE").ok();
        Gate::new(places.and_then(|text| text.parse().ok()).unwrap_or(PLACES))
    });
    (!cfg!(Py_GIL_DISABLED) && gate.places > 0).then(|| gate.wait())
}

/// Admits some threads at a time, in the order of their arrival.
struct Gate {
    places: usize,
    queue: Mutex<Queue>,
}

struct Queue {
    /// Threads with a place.
    admitted: usize,
    waiting: VecDeque<Arc<Waiting>>,
}

struct Waiting {
    thread: Thread,
    is_admitted: AtomicBool,
}

/// A place among the contenders, given on when dropped.
pub(super) struct Passage<'g>(&'g Gate);

impl Gate {
    const fn new(places: usize) -> Gate {
        let queue = Mutex::new(Queue {
            admitted: 0,
            waiting: VecDeque::new(),
        });
        Gate { places, queue }
    }

    fn wait(&self) -> Passage<'_> {
        let waiting = {
            let mut queue = self.queue.lock();
            if queue.admitted < self.places {
                queue.admitted += 1;
                return Passage(self);
            }
            let waiting = Arc::new(Waiting {
                thread: thread::current(),
                is_admitted: AtomicBool::new(false),
            });
            queue.waiting.push_back(Arc::clone(&waiting));
            waiting
        };
        while !waiting.is_admitted.load(Ordering::Acquire) {
            thread::park();
        }
        Passage(self)
    }
}

impl Drop for Passage<'_> {
    fn drop(&mut self) {
        let next = {
            let mut queue = self.0.queue.lock();
            let next = queue.waiting.pop_front();
            if next.is_none() {
                queue.admitted -= 1;
            }
            next
        };
        if let Some(next) = next {
            next.is_admitted.store(true, Ordering::Release);
            next.thread.unpark();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicUsize;

    #[test]
    fn the_first_to_come_is_the_first_to_pass() {
        let gate = Gate::new(1);
        let order = Mutex::new(Vec::new());
        let held = gate.wait();
        thread::scope(|scope| {
            for number in 0..5 {
                let (gate, order) = (&gate, &order);
                scope.spawn(move || {
                    let _passage = gate.wait();
                    order.lock().push(number);
                });
                while gate.queue.lock().waiting.len() <= number {
                    thread::yield_now();
                }
            }
            drop(held);
        });
        assert_eq!(*order.lock(), [0, 1, 2, 3, 4]);
        assert_eq!(gate.queue.lock().admitted, 0);
    }

    #[test]
    fn no_more_than_its_places_are_taken() {
        let gate = Gate::new(2);
        let (inside, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..500 {
                        let _passage = gate.wait();
                        most.fetch_max(inside.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                        thread::yield_now();
                        inside.fetch_sub(1, Ordering::SeqCst);
                    }
                });
            }
        });
        assert!(matches!(most.into_inner(), 1..=2));
        let queue = gate.queue.lock();
        assert!(queue.admitted == 0 && queue.waiting.is_empty());
    }
}
