//! What is installed with the module: the daemon program and the Python runtimes, beside the module or where
//! WSGIRuntimeDirectory says; and which executable a daemon is. In the httpd parent while it starts, and in children for
//! embedded mode.

use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use wsgi_core::config::{DaemonGroup, Global};
use wsgi_runtime_api::discover::{self, DiscoverError, Installed, NotAVersion};
use wsgi_runtime_api::python::{PythonFiles, PythonFilesError};
use wsgi_sys::library;
use wsgi_sys::trust::{TrustError, trusted_file};

/// File name of the daemon program.
const DAEMON: &str = "mod_wsgi-daemon";
/// File name of the library that makes a Python executable run as the daemon program.
const PRELOAD: &str = "libmod_wsgi_preload.so";
/// Folder beside the module that everything is installed to.
const FOLDER: &str = "mod_wsgi";

/// Why something that is needed cannot be used. Stops the start of Apache.
#[derive(Debug, thiserror::Error)]
pub enum InstallError {
    /// No program for daemons.
    #[error(
        "the program {DAEMON} is in none of the folders {}; install it beside the module, or set WSGIRuntimeDirectory",
        listed(.0)
    )]
    NoDaemon(Vec<PathBuf>),
    /// Others could replace a file that root is going to use.
    #[error(transparent)]
    NotTrusted(#[from] TrustError),
    /// No runtime.
    #[error(transparent)]
    NoRuntime(#[from] DiscoverError),
    /// Where a runtime's Python is cannot be read.
    #[error(transparent)]
    Python(#[from] PythonFilesError),
    /// A version that is none.
    #[error(transparent)]
    Version(#[from] NotAVersion),
}

fn listed(folders: &[PathBuf]) -> String {
    let quoted: Vec<String> = folders
        .iter()
        .map(|f| format!("'{}'", f.display()))
        .collect();
    quoted.join(", ")
}

/// Which Python a process is to run; what is further up wins.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wanted<'c> {
    /// `python-home` or WSGIPythonHome: its own version.
    pub home: Option<&'c str>,
    /// `python-version`, where no home tells.
    pub version: Option<&'c str>,
    /// WSGIPythonVersion, where neither tells.
    pub server_version: Option<&'c str>,
}

impl<'c> Wanted<'c> {
    /// What the configuration says for the processes of a group, or for Apache's children (None).
    pub fn of(global: &'c Global, group: Option<&'c DaemonGroup>) -> Wanted<'c> {
        let options = group.map(|group| &group.options);
        Wanted {
            home: options
                .and_then(|options| options.python_home.as_deref())
                .or(global.python_home.as_deref()),
            version: options.and_then(|options| options.python_version.as_deref()),
            server_version: global.python_version.as_deref(),
        }
    }
}

/// A Python executable that can run as a daemon process: it has the interpreter linked into it, where it is faster than in a
/// library.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PythonExecutable {
    /// The executable.
    pub path: PathBuf,
    /// The library that makes it run as the daemon program, for LD_PRELOAD.
    pub preload: PathBuf,
}

/// Folders to look in: WSGIRuntimeDirectory alone, or `mod_wsgi/` beside the module and the module's own folder.
pub fn folders(configured: Option<&str>) -> Vec<PathBuf> {
    if let Some(folder) = configured {
        return vec![PathBuf::from(folder)];
    }
    let path = library::own_path();
    let own = path
        .as_deref()
        .and_then(Path::parent)
        .unwrap_or(Path::new("/"));
    vec![own.join(FOLDER), own.to_owned()]
}

/// The first file of this name.
fn find_file(folders: &[PathBuf], name: &str) -> Option<PathBuf> {
    let mut paths = folders.iter().map(|folder| folder.join(name));
    paths.find(|path| path.is_file())
}

/// The daemon program.
///
/// # Errors
/// It is nowhere, or root must not trust it.
pub fn daemon_program(folders: &[PathBuf]) -> Result<PathBuf, InstallError> {
    let program =
        find_file(folders, DAEMON).ok_or_else(|| InstallError::NoDaemon(folders.to_vec()))?;
    trusted_file(&program)?;
    Ok(program)
}

/// The runtime for a process.
///
/// # Errors
/// None of the wanted version, or root must not trust it.
pub fn runtime(folders: &[PathBuf], wanted: Wanted<'_>) -> Result<Installed, InstallError> {
    let of_home = wanted
        .home
        .and_then(|home| discover::version_of_home(Path::new(home)));
    let version = match (of_home, wanted.version.or(wanted.server_version)) {
        (Some(version), _) => Some(version),
        (None, Some(text)) => Some(text.parse()?),
        (None, None) => None,
    };
    let found = discover::find(folders, version)?;
    trusted_file(&found.path)?;
    let files = PythonFiles::place(&found.path);
    if files.exists() {
        trusted_file(&files)?;
    }
    Ok(found)
}

/// The executable that daemons with this runtime are. None where the daemon program has to load Python's library: Python's
/// executable does the same, is gone, or could be replaced by somebody other than root while root is to execute it.
///
/// # Errors
/// It is not known where the runtime's Python is, or root must not trust the library that is to be loaded into it.
pub fn python_executable(
    folders: &[PathBuf],
    runtime: &Installed,
) -> Result<Option<PythonExecutable>, InstallError> {
    let files = PythonFiles::of_runtime(&runtime.path)?;
    let (Some(path), Some(preload)) = (files.executable, find_file(folders, PRELOAD)) else {
        return Ok(None);
    };
    trusted_file(&preload)?;
    // LD_PRELOAD has no quotes: these characters separate files there.
    let can_be_listed = !preload
        .as_os_str()
        .as_bytes()
        .iter()
        .any(|byte| matches!(byte, b':' | b' '));
    let is_usable = path.is_file() && trusted_file(&path).is_ok() && can_be_listed;
    Ok(is_usable.then_some(PythonExecutable { path, preload }))
}
