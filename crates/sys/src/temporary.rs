//! Temporary files without a name: they are gone with their last descriptor, also when the process is killed. Any thread.

use std::fs::{File, OpenOptions};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};

/// Only the owner could open it, while it has a name at all.
const MODE: u32 = 0o600;

/// A new file in `folder` for reading and writing, close on exec. It cannot be given a name.
///
/// # Errors
/// The folder cannot be written to, or there are no descriptors left.
pub fn unnamed_file(folder: &Path) -> io::Result<File> {
    let unnamed = OpenOptions::new()
        .read(true)
        .write(true)
        .mode(MODE)
        .custom_flags(libc::O_TMPFILE | libc::O_EXCL)
        .open(folder);
    match unnamed {
        // File systems that do not know O_TMPFILE say so in one of these ways.
        Err(error)
            if matches!(
                error.raw_os_error(),
                Some(libc::EOPNOTSUPP | libc::EISDIR | libc::EINVAL | libc::ENOENT)
            ) =>
        {
            renounced_file(folder)
        }
        other => other,
    }
}

/// The same by way of a name that is removed at once.
fn renounced_file(folder: &Path) -> io::Result<File> {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    loop {
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = folder.join(format!("mod_wsgi.{}.{number}", std::process::id()));
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .mode(MODE)
            .open(&path);
        match file {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
            Ok(file) => {
                std::fs::remove_file(&path)?;
                return Ok(file);
            }
        }
    }
}

/// The same file, opened anew for reading only: whoever gets it can neither change it nor move the position of `file`.
///
/// # Errors
/// /proc is missing, or there are no descriptors left.
pub fn read_only(file: impl AsFd) -> io::Result<File> {
    File::open(format!("/proc/self/fd/{}", file.as_fd().as_raw_fd()))
}

/// Bytes that fit into `folder` for a user without privileges.
///
/// # Errors
/// The folder cannot be looked at.
pub fn free_space(folder: &Path) -> io::Result<u64> {
    let found = nix::sys::statvfs::statvfs(folder)?;
    Ok(found
        .blocks_available()
        .saturating_mul(found.fragment_size()))
}

/// Reads at `offset` to memory that was never written; the written front of it, empty at the end of the file.
///
/// # Errors
/// A failed system call.
pub fn read_at<'m>(
    file: &impl AsFd,
    memory: &'m mut [MaybeUninit<u8>],
    offset: u64,
) -> io::Result<&'m mut [u8]> {
    let offset = libc::off_t::try_from(offset).unwrap_or(libc::off_t::MAX);
    loop {
        // SAFETY: the memory is valid for writes of its length during the call.
        let read = unsafe {
            libc::pread(
                file.as_fd().as_raw_fd(),
                memory.as_mut_ptr().cast(),
                memory.len(),
                offset,
            )
        };
        match crate::check_len(read) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
            Ok(count) => {
                let first = memory.as_mut_ptr().cast::<u8>();
                // SAFETY: the call has written so many bytes at the front of the memory.
                return Ok(unsafe { std::slice::from_raw_parts_mut(first, count) });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::FileExt;

    #[test]
    fn files_have_no_name() {
        let folder = tempfile::tempdir().unwrap();
        for make in [unnamed_file, renounced_file] {
            let file = make(folder.path()).unwrap();
            file.write_all_at(b"text", 2).unwrap();
            let mut text = [0; 6];
            file.read_exact_at(&mut text, 0).unwrap();
            assert_eq!(&text, b"\0\0text");
            assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        }
    }

    #[test]
    fn a_folder_that_is_missing_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let error = unnamed_file(&folder.path().join("none")).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }

    /// REQ-585 for bodies: what is handed on can be read, and nothing else.
    #[test]
    fn a_file_that_is_handed_on_cannot_be_changed() {
        use std::io::{Read, Write};
        let folder = tempfile::tempdir().unwrap();
        let file = unnamed_file(folder.path()).unwrap();
        file.write_all_at(b"0123456789", 0).unwrap();
        let mut copy = read_only(&file).unwrap();
        assert!(copy.write(b"x").is_err());
        assert!(copy.set_len(0).is_err());
        copy.read_exact(&mut [0; 4]).unwrap();
        assert_eq!(std::io::Seek::stream_position(&mut &file).unwrap(), 0);
        assert!(free_space(folder.path()).unwrap() > 0);
        let mut memory = [MaybeUninit::uninit(); 4];
        assert_eq!(read_at(&copy, &mut memory, 8).unwrap(), b"89");
        assert_eq!(read_at(&copy, &mut memory, 10).unwrap(), b"");
    }
}
