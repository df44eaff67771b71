//! Layout of a group's *board*: shared memory in which each daemon of the group shows its state and idle threads, and
//! from which an Apache child learns whom to give a request. Plain counters, never pointers or lengths.
//!
//! Written by: the daemon that owns a slot (`phase`, `instance`, `requests`, `idle`), the supervisor (`pid`, group words),
//! and by children only `idle`, by which they claim a thread. Every reader checks what it reads: a daemon may have
//! written anything. The worst a hostile daemon can do is to send requests of its own group astray.
//!
//! The mapping itself is `wsgi_sys::board`.

/// All words are `AtomicU32`/`AtomicI32` at these offsets, counted in 4-byte words.
pub mod word {
    /// Group: [`super::MAGIC`].
    pub const MAGIC: usize = 0;
    /// Group: number of slots.
    pub const SLOTS: usize = 1;
    /// Group: 1 while no process of the group can start, so that requests get 503 at once (written by the supervisor).
    pub const FAILING: usize = 2;
    /// First word of slot 0; a slot has [`super::SLOT_WORDS`].
    pub const FIRST_SLOT: usize = 16;
    /// Slot: `Phase::board_value`.
    pub const PHASE: usize = 0;
    /// Slot: instance number of the process in it.
    pub const INSTANCE: usize = 1;
    /// Slot: idle threads that no request was promised to; children and accepting threads take one by compare-and-swap.
    pub const IDLE: usize = 2;
    /// Slot: pid.
    pub const PID: usize = 3;
    /// Slot: requests completed, wrapping.
    pub const REQUESTS: usize = 4;
}

/// First word of a board.
pub const MAGIC: u32 = 0x5753_4249;
/// Words of a slot: a cache line of its own.
pub const SLOT_WORDS: usize = 16;
/// Most slots of a board.
pub const MAX_SLOTS: u32 = 4096;

/// Slots of a group with `processes` processes: each may have a replacement, and a few may still drain.
pub fn slots_for(processes: u32) -> u32 {
    (processes.saturating_mul(2).saturating_add(4)).min(MAX_SLOTS)
}

/// Size of a board in bytes.
pub fn size_for(slots: u32) -> usize {
    (word::FIRST_SLOT + SLOT_WORDS * slots as usize) * 4
}

/// Word of a slot.
pub fn slot_word(slot: u32, word: usize) -> usize {
    word::FIRST_SLOT + SLOT_WORDS * slot as usize + word
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_do_not_overlap() {
        assert_eq!(slot_word(1, 0) - slot_word(0, 0), SLOT_WORDS);
        assert!(slot_word(3, word::REQUESTS) < slot_word(4, word::PHASE));
        assert_eq!(slot_word(4, 0) * 4, size_for(4));
    }

    #[test]
    fn a_group_has_room_for_replacements() {
        assert_eq!(slots_for(1), 6);
        assert_eq!(slots_for(u32::MAX), MAX_SLOTS);
    }
}
