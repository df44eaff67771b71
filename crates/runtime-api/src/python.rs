//! Where the Python of a runtime is. A runtime has none in it: it takes Python's functions from the executable that it is loaded
//! into, or from Python's shared library, which is loaded before it. The file `python3.X.conf` beside `python3.X.so`, made when
//! the runtime is built, names both. In the httpd parent nothing is loaded; in a child and in a daemon, before Python starts.

use std::ffi::{CStr, c_char};
use std::io;
use std::path::{Path, PathBuf};

use libloading::os::unix::{Library, RTLD_GLOBAL, RTLD_NOW};

use crate::discover::{Version, version_of_file};
use crate::runtime::describe;

/// Python says its version with it, whatever else it has.
const VERSION_FUNCTION: &[u8] = b"Py_GetVersion\0";

/// What `python3.X.conf` says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PythonFiles {
    /// An executable with Python in it, absolute; None where Python's executable only loads the library.
    pub executable: Option<PathBuf>,
    /// Python's shared library, absolute; None where it was built without one.
    pub library: Option<PathBuf>,
}

/// Why it is not known where Python is.
#[derive(Debug, thiserror::Error)]
pub enum PythonFilesError {
    /// The file cannot be read.
    #[error("'{}' cannot be read: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// A line that means nothing.
    #[error(
        "'{}', line {line}: '{text}' is neither 'executable=/PATH' nor 'library=/PATH'; build and install the runtime again",
        path.display()
    )]
    Line {
        /// The file.
        path: PathBuf,
        /// From 1.
        line: usize,
        /// The line.
        text: String,
    },
}

/// Why a process has no Python for a runtime.
#[derive(Debug, thiserror::Error)]
pub enum PythonError {
    /// It is not known where it is.
    #[error(transparent)]
    Files(#[from] PythonFilesError),
    /// Its Python is an executable without a shared library, and this process is another one.
    #[error(
        "its Python was built without a shared library (--enable-shared), so that it can run in daemon processes only, as \
         their executable{}; WSGIRestrictEmbedded On keeps Apache's children from starting it",
        executable.as_ref().map_or_else(String::new, |path| format!(" ('{}')", path.display()))
    )]
    NoLibrary {
        /// The executable that has it.
        executable: Option<PathBuf>,
    },
    /// Python's shared library cannot be loaded.
    #[error(
        "Python's library '{}' cannot be loaded: {text}; install it, or build the runtime again",
        library.display()
    )]
    Library {
        /// The library.
        library: PathBuf,
        /// What the dynamic linker said.
        text: String,
    },
    /// Another Python is in this process.
    #[error(
        "it is for Python {wanted}, but this process has Python {found} already: another module has loaded it, or the \
         executable was replaced"
    )]
    Another {
        /// Version that the runtime is for.
        wanted: Version,
        /// Version in the process.
        found: String,
    },
}

impl PythonFiles {
    /// Where the file for `runtime` is, if there is one.
    pub fn place(runtime: &Path) -> PathBuf {
        runtime.with_extension("conf")
    }

    /// Reads the file beside `runtime`. A runtime without one was linked with its Python; nothing is named then.
    ///
    /// # Errors
    /// The file is there and cannot be read, or has a line that is neither a comment nor a path.
    pub fn of_runtime(runtime: &Path) -> Result<PythonFiles, PythonFilesError> {
        let path = PythonFiles::place(runtime);
        match std::fs::read_to_string(&path) {
            Ok(text) => PythonFiles::parse(&text).map_err(|(line, text)| PythonFilesError::Line {
                path,
                line,
                text,
            }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(PythonFiles::default()),
            Err(source) => Err(PythonFilesError::Unreadable { path, source }),
        }
    }

    /// Lines `name=/path`; empty ones and those that begin with `#` are skipped. A line that means nothing, with its number.
    fn parse(text: &str) -> Result<PythonFiles, (usize, String)> {
        let mut files = PythonFiles::default();
        for (number, line) in (1..).zip(text.lines()) {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let path = |value: &str| Some(PathBuf::from(value)).filter(|path| path.is_absolute());
            let place = match line.split_once('=') {
                Some(("executable", value)) => {
                    path(value).map(|path| (&mut files.executable, path))
                }
                Some(("library", value)) => path(value).map(|path| (&mut files.library, path)),
                _ => None,
            };
            let (place, path) = place.ok_or_else(|| (number, line.to_owned()))?;
            *place = Some(path);
        }
        Ok(files)
    }
}

/// Version of the Python that is in this process, such as `3.13.1`; None if there is none.
fn present() -> Option<String> {
    type GetVersion = unsafe extern "C" fn() -> *const c_char;
    let process = Library::this();
    // SAFETY: a function of this name has this signature in every Python 3.
    let get_version = unsafe { process.get::<GetVersion>(VERSION_FUNCTION) }.ok()?;
    // SAFETY: it may be called any time, before Python is initialised too (C API, "Before Python Initialization").
    let text = unsafe { get_version() };
    if text.is_null() {
        return None;
    }
    // SAFETY: a NUL-terminated text that is never changed after the first call.
    let text = unsafe { CStr::from_ptr(text) }.to_string_lossy();
    Some(text.split(' ').next().unwrap_or_default().to_owned())
}

/// Sees to it that this process has the Python that the runtime at `path` takes its functions from: that of the executable, or
/// its library, which is loaded and never unloaded. Nothing is done for a runtime that was linked with its Python.
///
/// # Errors
/// See [`PythonError`].
pub(crate) fn provide(path: &Path) -> Result<(), PythonError> {
    let files = PythonFiles::of_runtime(path)?;
    if files == PythonFiles::default() {
        return Ok(());
    }
    if let Some(found) = present() {
        let name = path.file_name().and_then(|name| name.to_str());
        return match name.and_then(version_of_file) {
            Some(wanted) if !is_of(&found, wanted) => Err(PythonError::Another { wanted, found }),
            _ => Ok(()),
        };
    }
    let Some(library) = files.library else {
        return Err(PythonError::NoLibrary {
            executable: files.executable,
        });
    };
    // RTLD_GLOBAL: the runtime and extension modules take Python's symbols from the global scope.
    // SAFETY: Python's library has no initialiser of its own, and those of the libraries that it needs are as trusted.
    match unsafe { Library::open(Some(&library), RTLD_NOW | RTLD_GLOBAL) } {
        Ok(loaded) => {
            std::mem::forget(loaded);
            Ok(())
        }
        Err(error) => Err(PythonError::Library {
            library,
            text: describe(&error),
        }),
    }
}

/// Whether the full version `found` (`3.13.1`) is one of `wanted`.
fn is_of(found: &str, wanted: Version) -> bool {
    let mut parts = found.splitn(3, '.');
    let mut is = |number: u32| parts.next() == Some(number.to_string().as_str());
    is(wanted.major) && is(wanted.minor)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn both_are_named() {
        let text = "# Made by a build.\n\nexecutable=/usr/bin/python3.11\nlibrary=/usr/lib/libpython3.11.so.1.0\n";
        let files = PythonFiles::parse(text).unwrap();
        assert_eq!(files.executable, Some("/usr/bin/python3.11".into()));
        assert_eq!(files.library, Some("/usr/lib/libpython3.11.so.1.0".into()));
        assert_eq!(PythonFiles::parse("").unwrap(), PythonFiles::default());
    }

    #[test]
    fn a_line_that_means_nothing_is_named() {
        for wrong in [
            "executable",
            "executable=",
            "library=lib.so",
            "home=/usr",
            " ",
        ] {
            let error = PythonFiles::parse(&format!("# x\n{wrong}\n")).unwrap_err();
            assert_eq!(error, (2, wrong.to_owned()));
        }
    }

    #[test]
    fn a_runtime_without_a_file_names_nothing() {
        let files = PythonFiles::of_runtime(Path::new("/nonexistent/python3.13.so")).unwrap();
        assert_eq!(files, PythonFiles::default());
    }

    #[test]
    fn a_version_is_told_from_its_neighbours() {
        let wanted: Version = "3.1".parse().unwrap();
        assert!(is_of("3.1.4", wanted));
        assert!(is_of("3.1", wanted));
        for other in ["3.10.1", "3.11", "2.1.0", "", "3"] {
            assert!(!is_of(other, wanted), "{other}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "\\PC*(\n\\PC*){0,3}") {
            let _ = PythonFiles::parse(&text);
        }
    }
}
