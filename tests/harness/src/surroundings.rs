//! What a test finds around it: the repository, the virtual environment, the user it runs as.

use std::env;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::unistd::{Uid, User};

/// The root of the repository.
pub fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .nth(2)
        .expect("the harness lies in tests/harness of the repository")
}

/// Whether the tests run as root, so that servers change to another user.
pub fn is_root() -> bool {
    Uid::effective().is_root()
}

/// The user that servers run as when started by root: `www-data`, or `apache` where the distribution calls it so.
///
/// # Panics
/// If there is neither.
pub fn unprivileged_user() -> User {
    ["www-data", "apache", "daemon"]
        .iter()
        .find_map(|name| User::from_name(name).ok().flatten())
        .expect("there is a user www-data, apache or daemon for the servers of the tests")
}

/// The virtual environment with Flask and Django: `WSGI_TEST_VENV`, or `target/test-venv` of the repository.
///
/// # Panics
/// If it is not there, saying how to make it.
pub fn test_venv() -> PathBuf {
    let folder = env::var_os("WSGI_TEST_VENV")
        .map_or_else(|| repository().join("target/test-venv"), PathBuf::from);
    assert!(
        folder.join("pyvenv.cfg").is_file(),
        "no virtual environment at {folder}; `make test` makes it, or: \
         python3 -m venv {folder} && {folder}/bin/pip install flask django",
        folder = folder.display()
    );
    folder
}

/// The Python that servers run where a test does not choose one: `WSGI_TEST_PYTHON`, such as `3.14`. None for the module's own
/// choice.
pub(crate) fn python_version() -> Option<String> {
    env::var("WSGI_TEST_PYTHON").ok()
}

/// How long load tests send requests: `WSGI_LOAD_SECONDS`, or 5 seconds.
pub fn load_duration() -> Duration {
    let seconds = env::var("WSGI_LOAD_SECONDS")
        .ok()
        .and_then(|text| text.parse().ok());
    Duration::from_secs(seconds.unwrap_or(5))
}
