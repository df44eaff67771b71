//! Kept connections of this Apache child to the daemons of one group, and the choice of the daemon that gets a request.
//!
//! Any thread of the child. A connection is in the pool only between two requests; it belongs to one process of the
//! group, known by slot and instance number, and is used again only with a claim on an idle thread of that process.

use std::os::fd::OwnedFd;
use std::time::Duration;

use parking_lot::Mutex;
use wsgi_core::life::Phase;
use wsgi_sys::board::Board;

/// A connection to a daemon.
#[derive(Debug)]
pub(super) struct Link {
    /// The stream.
    pub(super) socket: OwnedFd,
    /// Receive and send timeout that the stream has.
    pub(super) timeout: Option<Duration>,
    /// Slot and instance of the process at the other end, once it has said so.
    pub(super) place: Option<(u32, u32)>,
}

/// Kept connections of a group.
#[derive(Debug)]
pub(super) struct Pool {
    /// More connections to one process are never of use: `threads=` of the group.
    most: usize,
    kept: Mutex<Kept>,
}

#[derive(Debug)]
struct Kept {
    /// By slot.
    slots: Vec<SlotLinks>,
    /// Counts uses, to know the slot that was used last.
    uses: u64,
}

/// Connections to the process in one slot, the one used last at the end.
#[derive(Debug, Default)]
struct SlotLinks {
    instance: u32,
    used: u64,
    links: Vec<Link>,
}

impl Pool {
    /// Empty, for a group with so many slots and threads in each process.
    pub(super) fn new(slots: u32, threads: u32) -> Pool {
        let slots = (0..slots).map(|_| SlotLinks::default()).collect();
        Pool {
            most: threads as usize,
            kept: Mutex::new(Kept { slots, uses: 0 }),
        }
    }

    /// A connection to the process with the most idle threads (of equals, the one used last), one of which is promised
    /// to the caller now. None where no process that we have a connection to has an idle thread.
    pub(super) fn take(&self, board: &Board) -> Option<Link> {
        let mut kept = self.kept.lock();
        // A claim that was lost to another child is tried again with the numbers as they are now. Not for ever: a daemon
        // may have written nonsense that no claim can take.
        for _ in 0..4 {
            let slot = kept.best(board)?;
            let links = &mut kept.slots[slot as usize];
            if board.claim(slot, links.instance) {
                let link = links.links.pop();
                kept.uses += 1;
                kept.slots[slot as usize].used = kept.uses;
                return link;
            }
        }
        None
    }

    /// Keeps a connection whose last request is over, with nothing left to read or write on it.
    pub(super) fn put(&self, link: Link, board: &Board) {
        let Some((slot, instance)) = link.place else {
            return;
        };
        let mut kept = self.kept.lock();
        let Some(links) = kept.slots.get_mut(slot as usize) else {
            return;
        };
        if links.instance != instance {
            if !is_serving(board, slot, instance) {
                return;
            }
            links.links.clear();
            links.instance = instance;
        }
        if links.links.len() < self.most {
            links.links.push(link);
        }
    }
}

impl Kept {
    /// The slot to use; connections to processes that take no requests any more are closed on the way.
    fn best(&mut self, board: &Board) -> Option<u32> {
        let mut best: Option<(u32, u64, u32)> = None;
        for (slot, links) in (0..).zip(&mut self.slots) {
            if links.links.is_empty() {
                continue;
            }
            if !is_serving(board, slot, links.instance) {
                links.links.clear();
                continue;
            }
            // What a daemon writes is only compared; nonsense makes a claim fail, or sends its own group's requests to it.
            let idle = board.idle(slot);
            if idle > 0 && best.is_none_or(|(most, used, _)| (idle, links.used) > (most, used)) {
                best = Some((idle, links.used, slot));
            }
        }
        best.map(|(.., slot)| slot)
    }
}

fn is_serving(board: &Board, slot: u32, instance: u32) -> bool {
    board.phase(slot) == Phase::Serving.board_value() && board.instance(slot) == instance
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use super::*;

    fn link(place: (u32, u32)) -> Link {
        Link {
            socket: UnixStream::pair().unwrap().0.into(),
            timeout: None,
            place: Some(place),
        }
    }

    /// A board on which process `instance` serves in slot 0.
    fn serving(instance: u32) -> Board {
        let board = Board::create(1).unwrap().0;
        board.assign(0, instance);
        board.set_idle(0, 5);
        board.set_phase(0, Phase::Serving);
        board
    }

    /// A request that an old process has answered late: its connection is of no use, and does not cost those to the process
    /// that has the slot now.
    #[test]
    fn a_connection_to_an_old_process_is_not_kept() {
        let (board, pool) = (serving(2), Pool::new(1, 5));
        pool.put(link((0, 1)), &board);
        assert!(pool.take(&board).is_none());
        pool.put(link((0, 2)), &board);
        pool.put(link((0, 1)), &board);
        let kept = pool.take(&board).expect("the one to the new process");
        assert_eq!(kept.place, Some((0, 2)));
    }

    /// A new process in the slot: connections to the old one go when the first one to the new comes.
    #[test]
    fn a_new_process_takes_the_place_of_the_old() {
        let (board, pool) = (serving(1), Pool::new(1, 5));
        pool.put(link((0, 1)), &board);
        board.assign(0, 2);
        board.set_idle(0, 5);
        board.set_phase(0, Phase::Serving);
        pool.put(link((0, 2)), &board);
        assert_eq!(pool.take(&board).expect("one").place, Some((0, 2)));
        assert!(pool.take(&board).is_none(), "no other one");
    }
}
