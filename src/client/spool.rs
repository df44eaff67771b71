//! An answer that waits until its client takes it: in memory as far as it fits there, then in a temporary file. First in, first out.
//!
//! One thread. The file is made when it is needed first, and its space is given back when everything was taken.

use std::fs::File;
use std::path::PathBuf;

use wsgi_core::wire::FileSpan;

use super::store::{Store, StoreError};

/// Memory over this is given back between two requests, bytes.
const KEEP: usize = 128 << 10;

/// How much waits where at most, bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bounds {
    /// In memory.
    pub memory: usize,
    /// In the file; 0 for no file.
    pub file: u64,
}

/// The queue. What comes behind bytes in the file goes to the file, so that the order is kept.
#[derive(Debug, Default)]
pub(super) struct Spool {
    bounds: Bounds,
    memory: Vec<u8>,
    /// Bytes of `memory` that were taken.
    taken: usize,
    store: Option<Store>,
}

impl Spool {
    /// Empty, for one more request.
    pub(super) fn begin(&mut self, bounds: Bounds) {
        self.bounds = bounds;
        self.clear();
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        self.taken = 0;
        self.store = None;
        self.memory.clear();
        self.memory.shrink_to(KEEP);
    }

    /// Bytes that wait.
    pub(super) fn len(&self) -> u64 {
        self.in_memory() as u64 + self.store.as_ref().map_or(0, Store::len)
    }

    /// Whether nothing waits.
    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether no more should be given to it. What is given nevertheless is taken.
    pub(super) fn is_full(&self) -> bool {
        match &self.store {
            Some(store) => store.len() > 0 && store.written() >= self.bounds.file,
            None => self.bounds.file == 0 && self.in_memory() >= self.bounds.memory,
        }
    }

    /// Bytes that wait in memory.
    pub(super) fn in_memory(&self) -> usize {
        self.memory.len() - self.taken
    }

    /// The file, if bytes wait in it, with the span of them. They belong to the caller then.
    pub(super) fn take_file(&mut self) -> Option<(File, FileSpan)> {
        self.store.take()?.into_file()
    }

    /// Adds bytes. `folder` says where the file has to be, if there is none yet.
    ///
    /// # Errors
    /// The file; nothing was added then.
    pub(super) fn push(
        &mut self,
        bytes: &[u8],
        folder: impl FnOnce() -> PathBuf,
    ) -> Result<(), StoreError> {
        if self.is_empty() {
            self.reuse();
        } else if self.taken > 0 && self.memory.len() + bytes.len() > self.bounds.memory {
            self.memory.drain(..self.taken);
            self.taken = 0;
        }
        let in_file = self.store.as_ref().is_some_and(|store| store.written() > 0);
        let fits = self.memory.len() + bytes.len() <= self.bounds.memory;
        if !in_file && (fits || self.bounds.file == 0) {
            self.memory.extend_from_slice(bytes);
            return Ok(());
        }
        let store = match &mut self.store {
            Some(store) => store,
            none => none.insert(Store::new(folder())?),
        };
        store.push(bytes)
    }

    /// Begins at the front again, after everything was taken.
    fn reuse(&mut self) {
        self.memory.clear();
        self.taken = 0;
        if let Some(store) = &mut self.store {
            store.reuse();
        }
    }

    /// Takes at most `buffer.len()` bytes; 0 if none waits.
    ///
    /// # Errors
    /// The file.
    pub(super) fn take(&mut self, buffer: &mut [u8]) -> Result<usize, StoreError> {
        let waiting = &self.memory[self.taken..];
        if !waiting.is_empty() {
            let count = waiting.len().min(buffer.len());
            buffer[..count].copy_from_slice(&waiting[..count]);
            self.taken += count;
            return Ok(count);
        }
        self.store
            .as_mut()
            .map_or(Ok(0), |store| store.take(buffer))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder() -> PathBuf {
        std::env::temp_dir()
    }

    fn take_all(spool: &mut Spool, step: usize) -> Vec<u8> {
        let mut all = Vec::new();
        let mut buffer = vec![0; step];
        loop {
            match spool.take(&mut buffer).unwrap() {
                0 => return all,
                count => all.extend_from_slice(&buffer[..count]),
            }
        }
    }

    /// The order is kept over memory and file.
    #[test]
    fn bytes_come_out_in_order() {
        let mut spool = Spool::default();
        spool.begin(Bounds {
            memory: 100,
            file: u64::MAX,
        });
        let bytes: Vec<u8> = (0..1000_u32).map(|n| (n % 251) as u8).collect();
        for piece in bytes.chunks(70) {
            spool.push(piece, folder).unwrap();
        }
        assert_eq!(spool.len(), 1000);
        assert_eq!(take_all(&mut spool, 33), bytes);
        assert!(spool.is_empty());
    }

    /// A file that was read to its end is full no more, and memory comes first again.
    #[test]
    fn room_is_used_again() {
        let mut spool = Spool::default();
        spool.begin(Bounds {
            memory: 10,
            file: 100,
        });
        for _ in 0..3 {
            spool.push(&[1; 10], folder).unwrap();
            assert!(
                spool
                    .store
                    .as_ref()
                    .is_none_or(|store| store.written() == 0)
            );
            spool.push(&[2; 99], folder).unwrap();
            assert!(!spool.is_full());
            spool.push(&[3; 9], folder).unwrap();
            assert!(spool.is_full());
            assert_eq!(take_all(&mut spool, 7).len(), 118);
            assert!(!spool.is_full());
        }
        spool.begin(Bounds {
            memory: 10,
            file: 0,
        });
        spool.push(&[1; 9], folder).unwrap();
        assert!(!spool.is_full());
        spool.push(&[1; 9], folder).unwrap();
        assert!(spool.is_full());
        assert_eq!(spool.take(&mut [0; 9]).unwrap(), 9);
        assert!(!spool.is_full());
    }

    #[test]
    fn no_file_without_need() {
        let mut spool = Spool::default();
        spool.begin(Bounds {
            memory: 100,
            file: u64::MAX,
        });
        let nowhere = || -> PathBuf { panic!("no file is needed") };
        for _ in 0..10 {
            spool.push(&[1; 100], nowhere).unwrap();
            assert_eq!(take_all(&mut spool, 64).len(), 100);
        }
    }

    #[test]
    fn a_folder_that_cannot_be_used_is_named() {
        let mut spool = Spool::default();
        spool.begin(Bounds {
            memory: 0,
            file: u64::MAX,
        });
        let error = spool.push(b"x", || "/nonexistent".into()).unwrap_err();
        assert!(error.to_string().contains("'/nonexistent'"), "{error}");
        assert!(spool.is_empty());
    }
}
