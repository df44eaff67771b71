//! Whether this process is the one that made a mark, or a copy that was forked from it: asked for each request, so that it costs
//! no system call. The mark is a page of memory that the kernel empties in the copies (MADV_WIPEONFORK, Linux 4.14), however they
//! are forked; where it cannot be had, process ids are compared.

use std::ptr::NonNull;
use std::sync::atomic::{AtomicU8, Ordering};

use crate::process;

/// What the page holds in the process that made it; a copy has 0.
const MARK: u8 = 1;
/// Length of the mapping, bytes: the kernel makes a page of it, whatever its size is.
const LEN: usize = 1;

/// The mark of one process. Never unmapped: it is as old as the process.
#[derive(Debug)]
pub struct Original {
    page: Option<NonNull<AtomicU8>>,
    pid: u32,
}

// SAFETY: the page is only read after it was made, and lives as long as the process.
unsafe impl Send for Original {}
// SAFETY: as above.
unsafe impl Sync for Original {}

impl Original {
    /// Marks this process.
    pub fn mark() -> Original {
        Original {
            page: page(),
            pid: process::id(),
        }
    }

    /// Whether this is the process that was marked. Any thread.
    pub fn is_here(&self) -> bool {
        match self.page {
            // SAFETY: the page is mapped as long as the process lives, in its copies too.
            Some(page) => unsafe { page.as_ref() }.load(Ordering::Relaxed) == MARK,
            None => self.pid == process::id(),
        }
    }

    /// Id of the process that was marked.
    pub fn pid(&self) -> u32 {
        self.pid
    }
}

/// A page with the mark that copies of this process have without it; None if the kernel has no such thing.
fn page() -> Option<NonNull<AtomicU8>> {
    // SAFETY: a new mapping, of memory that nothing else uses.
    let start = unsafe {
        libc::mmap(
            std::ptr::null_mut(),
            LEN,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
            -1,
            0,
        )
    };
    if start == libc::MAP_FAILED {
        return None;
    }
    // SAFETY: advice on the mapping made above.
    if unsafe { libc::madvise(start, LEN, libc::MADV_WIPEONFORK) } != 0 {
        // SAFETY: nothing refers to the mapping.
        unsafe { libc::munmap(start, LEN) };
        return None;
    }
    let page = NonNull::new(start.cast::<AtomicU8>())?;
    // SAFETY: mapped, writable, and of zeros, which an atomic byte may be.
    unsafe { page.as_ref() }.store(MARK, Ordering::Relaxed);
    Some(page)
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::wait::{WaitStatus, waitpid};
    use nix::unistd::{ForkResult, fork};

    /// With the page as without it.
    #[test]
    fn copies_are_told_from_the_original() {
        let with_page = Original::mark();
        assert!(with_page.page.is_some());
        let without = Original {
            page: None,
            pid: process::id(),
        };
        assert!(with_page.is_here() && without.is_here());
        // SAFETY: the child makes system calls only.
        match unsafe { fork() }.unwrap() {
            ForkResult::Child => {
                let found = i32::from(with_page.is_here()) + 2 * i32::from(without.is_here());
                // SAFETY: plain call.
                unsafe { libc::_exit(found) }
            }
            ForkResult::Parent { child } => {
                assert_eq!(waitpid(child, None), Ok(WaitStatus::Exited(child, 0)));
            }
        }
        assert!(with_page.is_here());
    }
}
