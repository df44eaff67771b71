//! Who looks out for requests. Of the threads without a request [`PLACES`] wait for events, the others are parked; whoever was
//! parked last comes back first (DMN-400).
//!
//! A thread that got a request keeps its place until it has the GIL. So requests that would only queue for the GIL stay unread, in
//! the order in which they came, where a process that ends can still give them back (the child sends them to another), and a
//! thread that has finished takes the next one without waking anybody. The last thread on the lookout hands its place to a parked
//! one: while a thread is idle, at least one looks out. Where the places are held by threads that wait for something else, the clock
//! calls everybody after a second.
//!
//! Any request thread. Nobody is parked where requests need not queue: in processes with several GILs or none.

use std::sync::Arc;

use parking_lot::Mutex;
use wsgi_core::gate::Waiting;

/// Threads that look out at most. With a second one the first need not wake anybody when its request is under way.
const PLACES: usize = 2;

/// The places.
pub(crate) struct Lookout {
    places: usize,
    watch: Mutex<Watch>,
}

#[derive(Default)]
struct Watch {
    /// Places that are taken.
    taken: usize,
    /// The last one comes back first.
    parked: Vec<Arc<Waiting>>,
    /// How often a place was taken or given up.
    moves: u64,
    /// The process takes no more requests: nobody is parked any more.
    is_over: bool,
}

impl Lookout {
    /// `is_limited`: whether the requests of this process queue for one GIL.
    pub(crate) fn new(is_limited: bool) -> Lookout {
        Lookout {
            places: if is_limited { PLACES } else { usize::MAX },
            watch: Mutex::default(),
        }
    }

    /// Takes a place; parks the thread until there is one.
    pub(crate) fn enter(&self) {
        let parked = {
            let mut watch = self.watch.lock();
            watch.moves += 1;
            if watch.taken < self.places || watch.is_over {
                watch.taken += 1;
                return;
            }
            let parked = Waiting::here();
            watch.parked.push(Arc::clone(&parked));
            parked
        };
        parked.wait();
    }

    /// Gives the place up.
    pub(crate) fn leave(&self) {
        let next = {
            let mut watch = self.watch.lock();
            watch.moves += 1;
            let next = match watch.taken {
                // The last one.
                1 => watch.parked.pop(),
                _ => None,
            };
            if next.is_none() {
                watch.taken -= 1;
            }
            next
        };
        if let Some(next) = next {
            next.admit();
        }
    }

    /// Counts threads that come and go.
    pub(crate) fn moves(&self) -> u64 {
        self.watch.lock().moves
    }

    /// Nobody is parked from here on: what is unread is refused.
    pub(crate) fn end(&self) {
        self.watch.lock().is_over = true;
        self.call_all();
    }

    /// Everybody who is parked looks out.
    pub(crate) fn call_all(&self) {
        let all = {
            let mut watch = self.watch.lock();
            watch.taken += watch.parked.len();
            std::mem::take(&mut watch.parked)
        };
        for parked in all {
            parked.admit();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::thread;
    use std::time::Duration;

    use super::*;

    /// Waits until so many are parked.
    fn until_parked(lookout: &Lookout, count: usize) {
        while lookout.watch.lock().parked.len() != count {
            thread::yield_now();
        }
    }

    /// DMN-400: two look out, and the one that was parked last comes back first, when nobody else is left.
    #[test]
    fn the_last_to_leave_calls_the_last_that_was_parked() {
        let lookout = Lookout::new(true);
        lookout.enter();
        lookout.enter();
        let (sender, came) = mpsc::channel();
        thread::scope(|scope| {
            for name in ["first", "second"] {
                let (lookout, sender) = (&lookout, sender.clone());
                scope.spawn(move || {
                    lookout.enter();
                    sender.send(name).unwrap();
                });
                until_parked(lookout, if name == "first" { 1 } else { 2 });
            }
            lookout.leave();
            assert_eq!(lookout.watch.lock().taken, 1);
            assert_eq!(came.try_recv().ok(), None, "one still looks out");
            lookout.leave();
            assert_eq!(came.recv().unwrap(), "second");
            assert_eq!(lookout.watch.lock().taken, 1);
            lookout.leave();
            assert_eq!(came.recv().unwrap(), "first");
        });
        lookout.leave();
        assert_eq!(lookout.watch.lock().taken, 0);
    }

    /// Whoever comes and goes, nobody stays parked while no one looks out.
    #[test]
    fn somebody_looks_out_while_a_thread_is_idle() {
        let lookout = Lookout::new(true);
        thread::scope(|scope| {
            for _ in 0..6 {
                scope.spawn(|| {
                    for turn in 0..2000 {
                        lookout.enter();
                        assert!(matches!(lookout.watch.lock().taken, 1..=PLACES));
                        if turn % 7 == 0 {
                            thread::sleep(Duration::from_micros(20));
                        }
                        lookout.leave();
                    }
                });
            }
        });
        let watch = lookout.watch.lock();
        assert!(watch.taken == 0 && watch.parked.is_empty());
    }

    #[test]
    fn the_end_calls_everybody() {
        let lookout = Lookout::new(true);
        lookout.enter();
        lookout.enter();
        thread::scope(|scope| {
            let parked = [
                scope.spawn(|| lookout.enter()),
                scope.spawn(|| lookout.enter()),
            ];
            until_parked(&lookout, 2);
            lookout.end();
            parked.into_iter().for_each(|thread| thread.join().unwrap());
            lookout.enter();
        });
        assert_eq!(lookout.watch.lock().taken, 5);
    }

    /// Where the places are held by threads that do not move.
    #[test]
    fn everybody_can_be_called_for_once() {
        let lookout = Lookout::new(true);
        lookout.enter();
        lookout.enter();
        let moves = lookout.moves();
        thread::scope(|scope| {
            let called = scope.spawn(|| lookout.enter());
            until_parked(&lookout, 1);
            assert!(lookout.moves() > moves);
            lookout.call_all();
            called.join().unwrap();
        });
        assert_eq!(lookout.watch.lock().taken, 3);
        (0..3).for_each(|_| lookout.leave());
        let watch = lookout.watch.lock();
        assert!(watch.taken == 0 && !watch.is_over);
    }

    /// Requests with GILs of their own wait for nobody.
    #[test]
    fn without_one_gil_for_all_nobody_is_parked() {
        let lookout = Lookout::new(false);
        (0..100).for_each(|_| lookout.enter());
        (0..100).for_each(|_| lookout.leave());
        assert_eq!(lookout.watch.lock().taken, 0);
    }
}
