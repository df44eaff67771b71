//! Temporary files without a name: they are gone with their last descriptor, also when the process is killed. Any thread.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};

/// Only the owner could open it, while it has a name at all.
const MODE: u32 = 0o600;

/// A new file in `folder` for reading and writing, close on exec.
///
/// # Errors
/// The folder cannot be written to, or there are no descriptors left.
pub fn unnamed_file(folder: &Path) -> io::Result<File> {
    let unnamed = OpenOptions::new()
        .read(true)
        .write(true)
        .mode(MODE)
        .custom_flags(libc::O_TMPFILE)
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
}
