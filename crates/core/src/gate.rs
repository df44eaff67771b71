//! A gate that admits some threads at a time, in the order of their arrival. Pure: whoever needs one says what for.
//!
//! A thread that waits here is not ready to run, and the one that leaves gives its place to the one that has waited longest, which
//! nobody can overtake.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, Thread};

/// Admits some threads at a time, in the order of their arrival.
#[derive(Debug)]
pub struct Gate {
    places: usize,
    queue: Mutex<Queue>,
}

#[derive(Debug)]
struct Queue {
    /// Threads with a place.
    admitted: usize,
    waiting: VecDeque<Arc<Waiting>>,
}

/// A thread that waits until another one admits it.
#[derive(Debug)]
pub struct Waiting {
    thread: Thread,
    is_admitted: AtomicBool,
}

/// A place, given on when dropped.
#[derive(Debug)]
pub struct Passage<'g>(&'g Gate);

impl Waiting {
    /// The calling thread, which is to [`wait`](Waiting::wait).
    pub fn here() -> Arc<Waiting> {
        Arc::new(Waiting {
            thread: thread::current(),
            is_admitted: AtomicBool::new(false),
        })
    }

    /// Waits, on the thread that it was made on, until it is admitted.
    pub fn wait(&self) {
        while !self.is_admitted.load(Ordering::Acquire) {
            thread::park();
        }
    }

    /// Lets it go on. From any thread, also before it waits.
    pub fn admit(&self) {
        self.is_admitted.store(true, Ordering::Release);
        self.thread.unpark();
    }
}

impl Gate {
    /// For so many threads at a time.
    pub const fn new(places: usize) -> Gate {
        let queue = Mutex::new(Queue {
            admitted: 0,
            waiting: VecDeque::new(),
        });
        Gate { places, queue }
    }

    /// How many threads are admitted at a time.
    pub fn places(&self) -> usize {
        self.places
    }

    /// Waits for a place. With none this is for ever.
    pub fn wait(&self) -> Passage<'_> {
        let waiting = {
            let mut queue = self.queue();
            if queue.admitted < self.places {
                queue.admitted += 1;
                return Passage(self);
            }
            let waiting = Waiting::here();
            queue.waiting.push_back(Arc::clone(&waiting));
            waiting
        };
        waiting.wait();
        Passage(self)
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        // What panics while it holds the lock can only be the allocator, which has changed nothing.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Passage<'_> {
    fn drop(&mut self) {
        let next = {
            let mut queue = self.0.queue();
            let next = queue.waiting.pop_front();
            if next.is_none() {
                queue.admitted -= 1;
            }
            next
        };
        if let Some(next) = next {
            next.admit();
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
                    order.lock().unwrap().push(number);
                });
                while gate.queue().waiting.len() <= number {
                    thread::yield_now();
                }
            }
            drop(held);
        });
        assert_eq!(*order.lock().unwrap(), [0, 1, 2, 3, 4]);
        assert_eq!(gate.queue().admitted, 0);
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
        let queue = gate.queue();
        assert!(queue.admitted == 0 && queue.waiting.is_empty());
    }
}
