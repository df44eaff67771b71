//! A temporary file of an Apache child: bytes are written at its end and taken from its front, or the whole is handed to a
//! daemon. It lies in Apache's folder for temporary files (`TMPDIR`, else /tmp), has no name, and only Apache's user could open it.
//!
//! One thread.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use wsgi_core::wire::FileSpan;
use wsgi_sys::temporary;

/// A temporary file that does not do its duty.
#[derive(Debug, thiserror::Error)]
#[error("a temporary file in '{}' cannot be {doing}: {source}", folder.display())]
pub(super) struct StoreError {
    folder: PathBuf,
    doing: &'static str,
    source: io::Error,
}

/// A temporary file.
#[derive(Debug)]
pub(super) struct Store {
    file: File,
    folder: PathBuf,
    written: u64,
    read: u64,
}

impl Store {
    /// Empty, in `folder`.
    ///
    /// # Errors
    /// The folder cannot be written to, or no descriptor is free.
    pub(super) fn new(folder: PathBuf) -> Result<Store, StoreError> {
        match temporary::unnamed_file(&folder) {
            Ok(file) => Ok(Store {
                file,
                folder,
                written: 0,
                read: 0,
            }),
            Err(source) => Err(StoreError {
                folder,
                doing: "made",
                source,
            }),
        }
    }

    /// Bytes that wait.
    pub(super) fn len(&self) -> u64 {
        self.written - self.read
    }

    /// Bytes written since it was empty.
    pub(super) fn written(&self) -> u64 {
        self.written
    }

    /// Says at once that `len` bytes, which are going to be written, do not fit on the disk. What is asked for here is not taken.
    ///
    /// # Errors
    /// They do not fit.
    pub(super) fn check_space(&self, len: u64) -> Result<(), StoreError> {
        // Where it cannot be known, writing tells.
        match temporary::free_space(&self.folder) {
            Ok(free) if free < len => {
                let full = io::Error::from(io::ErrorKind::StorageFull);
                Err(self.error("written to", full))
            }
            Ok(_) | Err(_) => Ok(()),
        }
    }

    /// Writes bytes at the end.
    ///
    /// # Errors
    /// The disk is full, or fails.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        if bytes.is_empty() {
            return Ok(());
        }
        // No room is reserved ahead, though writing would be quicker: file systems that allocate late (ext4, XFS) forget a file
        // that never reached the disk at once, but for reserved room they wait for the disk.
        self.file
            .write_all_at(bytes, self.written)
            .map_err(|source| self.error("written to", source))?;
        self.written += bytes.len() as u64;
        Ok(())
    }

    /// Takes bytes from the front; 0 if none waits.
    ///
    /// # Errors
    /// The disk fails.
    pub(super) fn take(&mut self, buffer: &mut [u8]) -> Result<usize, StoreError> {
        let left = usize::try_from(self.len()).unwrap_or(usize::MAX);
        let most = left.min(buffer.len());
        if most == 0 {
            return Ok(0);
        }
        self.file
            .read_exact_at(&mut buffer[..most], self.read)
            .map_err(|source| self.error("read", source))?;
        self.read += most as u64;
        Ok(most)
    }

    /// Goes back to the first byte.
    pub(super) fn rewind(&mut self) {
        self.read = 0;
    }

    /// Gives its room on disk back, after everything was taken.
    pub(super) fn reuse(&mut self) {
        if self.written > 0 {
            // What cannot be given back now is given back with the file.
            let _ = self.file.set_len(0);
            (self.written, self.read) = (0, 0);
        }
    }

    /// The file with the first byte that waits and their number, if there are any.
    pub(super) fn into_file(self) -> Option<(File, FileSpan)> {
        let span = FileSpan {
            offset: self.read,
            len: self.len(),
        };
        (span.len > 0).then_some((self.file, span))
    }

    /// Everything that was written, for another process that is to read it and no more. None where that cannot be had; then
    /// the bytes have to be sent.
    pub(super) fn read_only(&self) -> Option<(File, FileSpan)> {
        let span = FileSpan {
            offset: 0,
            len: self.written,
        };
        Some((temporary::read_only(&self.file).ok()?, span))
    }

    fn error(&self, doing: &'static str, source: io::Error) -> StoreError {
        StoreError {
            folder: self.folder.clone(),
            doing,
            source,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_can_be_handed_on() {
        let mut store = Store::new(std::env::temp_dir()).unwrap();
        for piece in [&[1_u8; 300_000][..], &[2; 5], &[3; 6_000_000]] {
            store.push(piece).unwrap();
        }
        let mut buffer = vec![0; 300_005];
        assert_eq!(store.take(&mut buffer).unwrap(), buffer.len());
        let (file, span) = store.read_only().unwrap();
        assert_eq!((span.offset, span.len), (0, 6_300_005));
        assert_eq!(file.metadata().unwrap().len(), span.len);
        let (_, span) = store.into_file().unwrap();
        assert_eq!((span.offset, span.len), (300_005, 6_000_000));
    }

    #[test]
    fn a_length_beyond_the_disk_is_an_error_before_it_is_written() {
        let store = Store::new(std::env::temp_dir()).unwrap();
        store.check_space(1).unwrap();
        let error = store.check_space(u64::MAX).unwrap_err().to_string();
        let folder = std::env::temp_dir().display().to_string();
        assert!(error.contains(&folder), "{error}");
    }
}
