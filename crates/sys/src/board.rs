//! The mapping of a group's board (`wsgi_core::board`): a sealed memory file, shared between the supervisor, the group's
//! daemons and all Apache children. Any process, any thread.
//!
//! A daemon runs foreign code and may write anything into the words, so each read is a plain number that the reader
//! checks. It cannot take the memory away: the file is sealed against a change of size when it is made.

use std::io;
use std::num::NonZeroUsize;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, Ordering};

use wsgi_core::board::{MAGIC, MAX_SLOTS, size_for, slot_word, word};
use wsgi_core::life::Phase;

use crate::{check, process};

/// Why a board cannot be made or mapped.
#[derive(Debug, thiserror::Error)]
pub enum BoardError {
    /// A system call failed; the text names it.
    #[error("board: {call}: {source}")]
    System {
        /// The call.
        call: &'static str,
        /// Its error.
        source: io::Error,
    },
    /// Number of slots outside 1..=MAX_SLOTS.
    #[error("board: {0} slots are not possible (1 to {MAX_SLOTS})")]
    Slots(u32),
    /// The descriptor is not a board: size, seals or first words are wrong.
    #[error("board: descriptor {descriptor} is not a board ({what})")]
    NotABoard {
        /// Its number.
        descriptor: i32,
        /// What is wrong with it.
        what: &'static str,
    },
}

fn system(call: &'static str) -> impl FnOnce(io::Error) -> BoardError {
    move |source| BoardError::System { call, source }
}

/// A mapped board. Dropping it unmaps; the memory lives as long as any process has it mapped or open.
#[derive(Debug)]
pub struct Board {
    words: NonNull<AtomicU32>,
    bytes: NonZeroUsize,
    slots: u32,
}

// SAFETY: the mapping is shared memory that is reached through atomics only, and unmapped by the owner's drop alone.
unsafe impl Send for Board {}
// SAFETY: as above: every access is one atomic operation.
unsafe impl Sync for Board {}

const SEALS: libc::c_int = libc::F_SEAL_SHRINK | libc::F_SEAL_GROW | libc::F_SEAL_SEAL;

impl Board {
    /// Makes a board with `slots` empty slots, and its descriptor (close on exec) for the daemons.
    ///
    /// # Errors
    /// A bad number of slots, or a failed system call.
    pub fn create(slots: u32) -> Result<(Board, OwnedFd), BoardError> {
        if slots == 0 || slots > MAX_SLOTS {
            return Err(BoardError::Slots(slots));
        }
        // SAFETY: the name is a NUL-terminated literal.
        let raw = unsafe {
            libc::memfd_create(
                c"wsgi-board".as_ptr(),
                libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING,
            )
        };
        let raw = check(raw).map_err(system("memfd_create"))?;
        // SAFETY: the descriptor was just made and nobody else owns it.
        let file = unsafe { OwnedFd::from_raw_fd(raw) };
        let bytes = size_for(slots);
        let length = libc::off_t::try_from(bytes).expect("MAX_SLOTS keeps a board below 1 MiB");
        // SAFETY: plain call on an owned descriptor.
        check(unsafe { libc::ftruncate(file.as_raw_fd(), length) }).map_err(system("ftruncate"))?;
        // SAFETY: plain call on an owned descriptor.
        check(unsafe { libc::fcntl(file.as_raw_fd(), libc::F_ADD_SEALS, SEALS) })
            .map_err(system("fcntl(F_ADD_SEALS)"))?;
        let board = Board::map_words(file.as_fd(), bytes, slots)?;
        board.label();
        Ok((board, file))
    }

    fn label(&self) {
        self.word(word::SLOTS).store(self.slots, Ordering::Relaxed);
        self.word(word::MAGIC).store(MAGIC, Ordering::Release);
    }

    /// Maps the board behind `file`, which need not stay open.
    ///
    /// # Errors
    /// Not a board, or a failed system call.
    pub fn map(file: BorrowedFd<'_>) -> Result<Board, BoardError> {
        let descriptor = file.as_raw_fd();
        let wrong = |what| BoardError::NotABoard { descriptor, what };
        // SAFETY: plain call on a borrowed descriptor.
        let seals = check(unsafe { libc::fcntl(descriptor, libc::F_GET_SEALS) })
            .map_err(|_| wrong("not a memory file"))?;
        if seals & SEALS != SEALS {
            return Err(wrong("its size is not sealed"));
        }
        let length = nix::sys::stat::fstat(file)
            .map_err(|errno| BoardError::System {
                call: "fstat",
                source: errno.into(),
            })?
            .st_size;
        let bytes = usize::try_from(length).map_err(|_| wrong("negative size"))?;
        let slots = (1..=MAX_SLOTS)
            .contains(&Board::slots_of_size(bytes))
            .then(|| Board::slots_of_size(bytes))
            .ok_or_else(|| wrong("its size is no board's"))?;
        if size_for(slots) != bytes {
            return Err(wrong("its size is no board's"));
        }
        let board = Board::map_words(file, bytes, slots)?;
        if board.word(word::MAGIC).load(Ordering::Acquire) != MAGIC {
            return Err(wrong("its first word is not the magic number"));
        }
        Ok(board)
    }

    fn slots_of_size(bytes: usize) -> u32 {
        let one = size_for(1) - size_for(0);
        u32::try_from(bytes.saturating_sub(size_for(0)) / one).unwrap_or(u32::MAX)
    }

    fn map_words(file: BorrowedFd<'_>, bytes: usize, slots: u32) -> Result<Board, BoardError> {
        let bytes = NonZeroUsize::new(bytes).ok_or(BoardError::Slots(0))?;
        // SAFETY: a new mapping at an address of the kernel's choice touches no existing memory. The file has this
        // size and is sealed, so that no access can lie behind its end.
        let address = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                bytes.get(),
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED,
                file.as_raw_fd(),
                0,
            )
        };
        if address == libc::MAP_FAILED {
            return Err(system("mmap")(io::Error::last_os_error()));
        }
        let words =
            NonNull::new(address.cast()).expect("mmap without MAP_FIXED never gives page 0");
        Ok(Board {
            words,
            bytes,
            slots,
        })
    }

    /// Number of slots, from the size of the memory and not from a word that a daemon could change.
    pub fn slots(&self) -> u32 {
        self.slots
    }

    fn word(&self, index: usize) -> &AtomicU32 {
        assert!(
            (index + 1) * 4 <= self.bytes.get(),
            "word {index} is outside the board"
        );
        // SAFETY: within the mapping by the assertion above.
        let word = unsafe { self.words.add(index) };
        // SAFETY: the mapping lives as long as `self`, is page aligned, and holds plain integers that every process
        // touches atomically.
        unsafe { word.as_ref() }
    }

    fn of_slot(&self, slot: u32, word: usize) -> Option<&AtomicU32> {
        (slot < self.slots).then(|| self.word(slot_word(slot, word)))
    }

    fn read(&self, slot: u32, word: usize) -> u32 {
        self.of_slot(slot, word)
            .map_or(0, |word| word.load(Ordering::Acquire))
    }

    fn write(&self, slot: u32, word: usize, value: u32) {
        if let Some(word) = self.of_slot(slot, word) {
            word.store(value, Ordering::SeqCst);
        }
    }

    /// Whether no process of the group can start: answer 503 at once.
    pub fn is_failing(&self) -> bool {
        self.word(word::FAILING).load(Ordering::Acquire) == 1
    }

    /// Sets what [`Board::is_failing`] reads. Supervisor only.
    pub fn set_failing(&self, failing: bool) {
        self.word(word::FAILING)
            .store(u32::from(failing), Ordering::Release);
    }

    /// `Phase::board_value` of a slot; 0 (gone) for a slot that does not exist.
    pub fn phase(&self, slot: u32) -> u32 {
        self.read(slot, word::PHASE)
    }

    /// Shows a phase. The slot's daemon, and the supervisor for `Gone`.
    pub fn set_phase(&self, slot: u32, phase: Phase) {
        self.write(slot, word::PHASE, phase.board_value());
    }

    /// Instance number of the slot's process; 0 if none ever was.
    pub fn instance(&self, slot: u32) -> u32 {
        self.read(slot, word::INSTANCE)
    }

    /// Enters the slot's process.
    pub fn set_instance(&self, slot: u32, instance: u32) {
        self.write(slot, word::INSTANCE, instance);
    }

    /// Idle threads that no request was promised to; as written, to be bounded by the reader.
    pub fn idle(&self, slot: u32) -> u32 {
        self.read(slot, word::IDLE)
    }

    /// Sets the number of idle threads. The slot's daemon at its start; the supervisor when it clears a slot.
    pub fn set_idle(&self, slot: u32, idle: u32) {
        self.write(slot, word::IDLE, idle);
    }

    /// Replaces the number of idle threads if it is still `seen`. For the daemon's repair of leaked claims.
    pub fn correct_idle(&self, slot: u32, seen: u32, idle: u32) -> bool {
        self.of_slot(slot, word::IDLE).is_some_and(|word| {
            word.compare_exchange(seen, idle, Ordering::SeqCst, Ordering::Relaxed)
                .is_ok()
        })
    }

    /// Pid of the slot's process; 0 if there is none.
    pub fn pid(&self, slot: u32) -> u32 {
        self.read(slot, word::PID)
    }

    /// Enters the pid. Supervisor only.
    pub fn set_pid(&self, slot: u32, pid: u32) {
        self.write(slot, word::PID, pid);
    }

    /// Requests completed by the slot's process, wrapping.
    pub fn requests(&self, slot: u32) -> u32 {
        self.read(slot, word::REQUESTS)
    }

    /// Sets the number of requests completed.
    pub fn set_requests(&self, slot: u32, requests: u32) {
        self.write(slot, word::REQUESTS, requests);
    }

    /// Counts a completed request.
    pub fn count_request(&self, slot: u32) {
        if let Some(word) = self.of_slot(slot, word::REQUESTS) {
            word.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Claims an idle thread of process `instance` in `slot`: true if there was one and it is promised to the caller now.
    /// The process must be serving. After a true answer send a request, or give the claim back with [`Board::release`].
    pub fn claim(&self, slot: u32, instance: u32) -> bool {
        let Some(idle) = self.of_slot(slot, word::IDLE) else {
            return false;
        };
        let serves =
            || self.phase(slot) == Phase::Serving.board_value() && self.instance(slot) == instance;
        if !serves() {
            return false;
        }
        let taken = idle.fetch_update(Ordering::SeqCst, Ordering::Relaxed, |idle| {
            // More than any process can have is a daemon's nonsense; treat it as none.
            (idle > 0 && idle <= u32::from(u16::MAX)).then(|| idle - 1)
        });
        if taken.is_err() {
            return false;
        }
        if serves() {
            return true;
        }
        // The slot changed hands in between: what was taken was the other process's.
        self.release(slot);
        false
    }

    /// Gives a claim back: the thread is idle again, or was never used.
    pub fn release(&self, slot: u32) {
        if let Some(idle) = self.of_slot(slot, word::IDLE) {
            idle.fetch_add(1, Ordering::SeqCst);
        }
    }

    /// Clears a slot for process `instance`, which is about to be started: phase starting, no idle thread, no request
    /// counted. Supervisor only.
    pub fn assign(&self, slot: u32, instance: u32) {
        // A process of the group may have overwritten it, and the new one looks for it.
        self.label();
        self.set_phase(slot, Phase::Gone);
        self.set_idle(slot, 0);
        self.set_requests(slot, 0);
        self.set_instance(slot, instance);
        self.set_phase(slot, Phase::Starting);
    }

    /// Clears a slot whose process has ended. Supervisor only.
    pub fn vacate(&self, slot: u32) {
        self.set_phase(slot, Phase::Gone);
        self.set_idle(slot, 0);
        self.set_pid(slot, 0);
    }
}

impl Drop for Board {
    fn drop(&mut self) {
        // SAFETY: this mapping was made by `map_words` with this size, and no reference into it outlives `self`.
        let result = unsafe { libc::munmap(self.words.as_ptr().cast(), self.bytes.get()) };
        debug_assert_eq!(result, 0, "pid {}: munmap of a board", process::id());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PHASE: Phase = Phase::Serving;

    fn serving(slots: u32) -> (Board, OwnedFd) {
        let (board, file) = Board::create(slots).unwrap();
        board.assign(1, 7);
        board.set_idle(1, 2);
        board.set_phase(1, PHASE);
        (board, file)
    }

    #[test]
    fn two_mappings_show_the_same_words() {
        let (board, file) = serving(4);
        let other = Board::map(file.as_fd()).unwrap();
        assert_eq!(other.slots(), 4);
        assert!(other.claim(1, 7));
        assert_eq!(board.idle(1), 1);
        board.set_failing(true);
        assert!(other.is_failing());
    }

    #[test]
    fn only_idle_threads_of_that_instance_are_claimed() {
        let (board, _file) = serving(4);
        assert!(!board.claim(1, 8), "another instance");
        assert!(!board.claim(0, 0), "nobody serves there");
        assert!(!board.claim(99, 7), "no such slot");
        assert!(board.claim(1, 7));
        assert!(board.claim(1, 7));
        assert!(!board.claim(1, 7), "none left");
        board.release(1);
        assert!(board.claim(1, 7));
        board.set_phase(
            1,
            Phase::Draining {
                reason: wsgi_core::life::Reason::ScriptReload,
            },
        );
        board.release(1);
        assert!(!board.claim(1, 7), "draining");
    }

    #[test]
    fn nonsense_of_a_daemon_is_no_idle_thread() {
        let (board, _file) = serving(4);
        board.set_idle(1, u32::MAX);
        assert!(!board.claim(1, 7));
    }

    #[test]
    fn a_daemon_cannot_shrink_the_memory() {
        let (_board, file) = serving(4);
        // SAFETY: plain call on an owned descriptor.
        assert_eq!(unsafe { libc::ftruncate(file.as_raw_fd(), 0) }, -1);
    }

    #[test]
    fn other_descriptors_are_not_boards() {
        let file = tempfile::tempfile().unwrap();
        file.set_len(size_for(4) as u64).unwrap();
        assert!(matches!(
            Board::map(file.as_fd()),
            Err(BoardError::NotABoard { .. })
        ));
        assert!(matches!(Board::create(0), Err(BoardError::Slots(0))));
    }
}
