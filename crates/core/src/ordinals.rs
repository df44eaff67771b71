//! Numbers of threads that come and go: the lowest that no other has (ENV-60, MET-19).

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Numbers from 1.
#[derive(Debug, Default)]
pub struct Ordinals {
    /// How many were given so far, apart from those that came back.
    given: u32,
    free: BinaryHeap<Reverse<u32>>,
}

impl Ordinals {
    /// None is taken.
    pub const fn new() -> Ordinals {
        Ordinals {
            given: 0,
            free: BinaryHeap::new(),
        }
    }

    /// Takes the lowest number that is free.
    pub fn take(&mut self) -> u32 {
        if let Some(Reverse(number)) = self.free.pop() {
            return number;
        }
        self.given += 1;
        self.given
    }

    /// Gives back what [`Ordinals::take`] gave, once.
    pub fn give_back(&mut self, number: u32) {
        self.free.push(Reverse(number));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Threads that end and start all the time, as mod_http2's do, have numbers within the most that there were at once.
    #[test]
    fn numbers_come_back() {
        let mut ordinals = Ordinals::new();
        assert_eq!([(); 3].map(|()| ordinals.take()), [1, 2, 3]);
        ordinals.give_back(2);
        ordinals.give_back(1);
        assert_eq!([(); 3].map(|()| ordinals.take()), [1, 2, 4]);
        for _ in 0..1000 {
            ordinals.give_back(3);
            assert_eq!(ordinals.take(), 3);
        }
    }
}
