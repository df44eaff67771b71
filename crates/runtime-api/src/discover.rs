//! Which runtimes are installed, and which one a process needs: `python3.X.so` files of the runtime folders, the version
//! that is configured, and the version that a virtual environment or a Python prefix has. In the httpd parent at
//! configuration time; nothing is loaded.

use std::cmp::Reverse;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// The oldest Python that runtimes are made for (KD-37); `crates/runtime/build.rs` refuses to build for an older one.
const OLDEST: Version = Version {
    major: 3,
    minor: 10,
    free_threaded: false,
};

/// A Python version as far as a runtime is concerned; displayed as `3.13` or `3.13t`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version {
    /// Major.
    pub major: u32,
    /// Minor.
    pub minor: u32,
    /// Free-threaded build.
    pub free_threaded: bool,
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}.{}{}",
            self.major,
            self.minor,
            if self.free_threaded { "t" } else { "" }
        )
    }
}

/// Text that is no version such as `3.13` or `3.13t`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is not a Python version such as 3.13 or 3.13t")]
pub struct NotAVersion(String);

impl FromStr for Version {
    type Err = NotAVersion;

    fn from_str(text: &str) -> Result<Version, NotAVersion> {
        let (numbers, free_threaded) = match text.strip_suffix('t') {
            Some(numbers) => (numbers, true),
            None => (text, false),
        };
        let number = |digits: &str| {
            let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
            plain.then(|| digits.parse().ok()).flatten()
        };
        numbers
            .split_once('.')
            .and_then(|(major, minor)| {
                Some(Version {
                    major: number(major)?,
                    minor: number(minor)?,
                    free_threaded,
                })
            })
            .ok_or_else(|| NotAVersion(text.to_owned()))
    }
}

/// An installed runtime.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Installed {
    /// Its Python.
    pub version: Version,
    /// Its library.
    pub path: PathBuf,
}

/// Why no runtime was found.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DiscoverError {
    /// There is none at all.
    #[error("no Python runtime (python3.X.so) is installed in {}; install one, or set WSGIRuntimeDirectory", folders(.0))]
    NoneInstalled(Vec<PathBuf>),
    /// There may be some, but this user cannot see them.
    #[error(
        "the Python runtimes in '{}' cannot be read by uid {uid}: {error}; let that user read the folder and enter those above it",
        .folder.display()
    )]
    Unreadable {
        /// The folder.
        folder: PathBuf,
        /// Effective user of this process.
        uid: u32,
        /// What the system says.
        error: String,
    },
    /// No runtime can be made for it.
    #[error(
        "Python {0} is too old: Python {oldest} is the oldest that can be run; name a newer one, or a home that has one",
        oldest = OLDEST
    )]
    TooOld(Version),
    /// None of this version.
    #[error(
        "no runtime for Python {wanted} is installed in {}; installed: {}",
        folders(searched),
        versions(installed)
    )]
    NotInstalled {
        /// Wanted version.
        wanted: Version,
        /// Folders that were searched.
        searched: Vec<PathBuf>,
        /// What is there, newest first.
        installed: Vec<Version>,
    },
}

fn folders(folders: &[PathBuf]) -> String {
    let shown: Vec<String> = folders
        .iter()
        .map(|path| format!("'{}'", path.display()))
        .collect();
    shown.join(", ")
}

fn versions(versions: &[Version]) -> String {
    let shown: Vec<String> = versions.iter().map(ToString::to_string).collect();
    shown.join(", ")
}

/// The runtimes in `directories`, newest first, free-threaded ones behind the others of their version. Of two for one
/// version the first folder's counts. Folders that cannot be read have none.
pub fn installed(directories: &[PathBuf]) -> Vec<Installed> {
    let mut found: Vec<Installed> = Vec::new();
    for directory in directories {
        let Ok(entries) = std::fs::read_dir(directory) else {
            continue;
        };
        for entry in entries.flatten() {
            let Some(version) = entry.file_name().to_str().and_then(version_of_file) else {
                continue;
            };
            if found.iter().all(|other| other.version != version) {
                found.push(Installed {
                    version,
                    path: entry.path(),
                });
            }
        }
    }
    found.sort_by_key(|runtime| {
        let version = runtime.version;
        Reverse((version.major, version.minor, !version.free_threaded))
    });
    found
}

/// The first folder that exists for others but not for this user.
fn unreadable(directories: &[PathBuf]) -> Option<DiscoverError> {
    directories.iter().find_map(|folder| {
        let error = std::fs::read_dir(folder).err()?;
        (error.kind() == std::io::ErrorKind::PermissionDenied).then(|| DiscoverError::Unreadable {
            folder: folder.clone(),
            uid: nix::unistd::geteuid().as_raw(),
            error: error.to_string(),
        })
    })
}

/// The version in a file name such as `python3.13t.so`.
pub(crate) fn version_of_file(name: &str) -> Option<Version> {
    name.strip_prefix("python")?
        .strip_suffix(".so")?
        .parse()
        .ok()
}

/// The runtime for `wanted`, or the newest one with a GIL (else the newest) where nothing is wanted.
///
/// # Errors
/// None installed, or none of that version; the text lists what is. Or a version that there can be none for.
pub fn find(directories: &[PathBuf], wanted: Option<Version>) -> Result<Installed, DiscoverError> {
    if let Some(wanted) = wanted.filter(|version| *version < OLDEST) {
        return Err(DiscoverError::TooOld(wanted));
    }
    let all = installed(directories);
    let Some(newest) = all.first() else {
        return Err(unreadable(directories)
            .unwrap_or_else(|| DiscoverError::NoneInstalled(directories.to_vec())));
    };
    let Some(wanted) = wanted else {
        let with_gil = all.iter().find(|runtime| !runtime.version.free_threaded);
        return Ok(with_gil.unwrap_or(newest).clone());
    };
    all.iter()
        .find(|runtime| runtime.version == wanted)
        .cloned()
        .ok_or_else(|| DiscoverError::NotInstalled {
            wanted,
            searched: directories.to_vec(),
            installed: all.iter().map(|runtime| runtime.version).collect(),
        })
}

/// The version of the Python whose home (`python-home`, WSGIPythonHome) this is: by `pyvenv.cfg` of a virtual environment,
/// else by the library folder of a prefix. None where neither tells; API-100's warnings are the runtime's.
pub fn version_of_home(home: &Path) -> Option<Version> {
    let libraries = library_versions(home);
    let Ok(text) = std::fs::read_to_string(home.join("pyvenv.cfg")) else {
        return libraries
            .into_iter()
            .max_by_key(|v| (v.major, v.minor, !v.free_threaded));
    };
    let mut version = version_in_pyvenv(&text)?;
    // The file does not say whether the build is free-threaded, the name of the library folder does.
    let free_threaded = Version {
        free_threaded: true,
        ..version
    };
    version.free_threaded = libraries.contains(&free_threaded) && !libraries.contains(&version);
    Some(version)
}

/// The version that the text of a `pyvenv.cfg` names: `version` (venv) or `version_info` (virtualenv, uv).
pub fn version_in_pyvenv(text: &str) -> Option<Version> {
    let value = |wanted: &str| {
        text.lines().find_map(|line| {
            let (key, value) = line.split_once('=')?;
            key.trim()
                .eq_ignore_ascii_case(wanted)
                .then(|| value.trim())
        })
    };
    [value("version"), value("version_info")]
        .into_iter()
        .flatten()
        .find_map(|value| {
            let mut parts = value.splitn(3, '.');
            format!("{}.{}", parts.next()?, parts.next()?).parse().ok()
        })
}

/// Versions of `lib/python3.X[t]` folders that belong to a Python.
fn library_versions(home: &Path) -> Vec<Version> {
    let mut found = Vec::new();
    for library in ["lib", "lib64"] {
        let Ok(entries) = std::fs::read_dir(home.join(library)) else {
            continue;
        };
        for entry in entries.flatten() {
            let name = entry.file_name();
            let version = name
                .to_str()
                .and_then(|name| name.strip_prefix("python")?.parse().ok());
            let Some(version) = version else { continue };
            let path = entry.path();
            // A folder with packages only (such as /usr/local/lib/python3.11 of Debian) is no Python's own.
            let own = path.join("os.py").exists() || home.join("pyvenv.cfg").exists();
            if own && !found.contains(&version) {
                found.push(version);
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const fn v(minor: u32, free_threaded: bool) -> Version {
        Version {
            major: 3,
            minor,
            free_threaded,
        }
    }

    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Folder {
            let path =
                std::env::temp_dir().join(format!("wsgi-discover-{}-{name}", std::process::id()));
            std::fs::create_dir_all(&path).unwrap();
            Folder(path)
        }

        fn file(&self, name: &str, text: &str) {
            let path = self.0.join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn versions_are_read_and_shown() {
        assert_eq!("3.13".parse(), Ok(v(13, false)));
        assert_eq!("3.13t".parse::<Version>().unwrap().to_string(), "3.13t");
        for wrong in [
            "", "3", "3.", ".1", "3.x", "3.1.2", "+3.1", "3.13tt", "three",
        ] {
            assert!(wrong.parse::<Version>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_newest_runtime_with_a_gil_is_the_default() {
        let folder = Folder::new("newest");
        for name in [
            "python3.9.so",
            "python3.13t.so",
            "python3.13.so",
            "python3.so",
            "x3.14.so",
        ] {
            folder.file(name, "");
        }
        let folders = [PathBuf::from("/nonexistent"), folder.0.clone()];
        let all: Vec<_> = installed(&folders).into_iter().map(|r| r.version).collect();
        assert_eq!(all, [v(13, false), v(13, true), v(9, false)]);
        assert_eq!(find(&folders, None).unwrap().version, v(13, false));
        assert_eq!(
            find(&folders, Some(v(13, true))).unwrap().version,
            v(13, true)
        );
        let error = find(&folders, Some(v(12, false))).unwrap_err().to_string();
        assert!(
            error.contains("3.12") && error.contains("3.13, 3.13t, 3.9"),
            "{error}"
        );
        let error = find(&folders[..1], None).unwrap_err().to_string();
        assert!(error.contains("'/nonexistent'"), "{error}");
        // KD-37: whatever lies there.
        for (text, is_too_old) in [
            ("2.7", true),
            ("3.9", true),
            ("3.9t", true),
            ("3.10", false),
        ] {
            let error = find(&folders, text.parse().ok()).unwrap_err();
            assert_eq!(
                matches!(error, DiscoverError::TooOld(_)),
                is_too_old,
                "{error}"
            );
            assert!(
                error.to_string().contains(&format!("Python {text} ")),
                "{error}"
            );
        }
    }

    #[test]
    fn virtual_environments_name_their_version() {
        let venv = "home = /usr/bin\ninclude-system-site-packages = false\nversion = 3.11.2\n";
        assert_eq!(version_in_pyvenv(venv), Some(v(11, false)));
        assert_eq!(
            version_in_pyvenv("Version_Info = 3.12.1.final.0"),
            Some(v(12, false))
        );
        assert_eq!(version_in_pyvenv("home = /usr/bin"), None);
        assert_eq!(version_in_pyvenv("version = none"), None);
    }

    #[test]
    fn a_free_threaded_environment_is_told_by_its_library_folder() {
        let folder = Folder::new("threaded");
        folder.file("pyvenv.cfg", "version = 3.13.1");
        folder.file("lib/python3.13t/site-packages/x", "");
        assert_eq!(version_of_home(&folder.0), Some(v(13, true)));
    }

    #[test]
    fn a_prefix_is_told_by_its_library() {
        let folder = Folder::new("prefix");
        folder.file("lib/python3.10/dist-packages/x", "");
        assert_eq!(version_of_home(&folder.0), None);
        folder.file("lib/python3.12/os.py", "");
        assert_eq!(version_of_home(&folder.0), Some(v(12, false)));
    }

    proptest! {
        /// A version that is shown is read again, in the configuration as in the name of a runtime.
        #[test]
        fn versions_come_back(major: u32, minor: u32, free_threaded: bool) {
            let version = Version { major, minor, free_threaded };
            prop_assert_eq!(version.to_string().parse(), Ok(version));
            prop_assert_eq!(version_of_file(&format!("python{version}.so")), Some(version));
        }

        /// Any text is a version or none, and only digits, one dot and a `t` behind them are one.
        #[test]
        fn any_text_is_borne(text in "[0-9.t+ x]{0,8}") {
            let is_version = text.parse::<Version>().is_ok();
            let plain = text.strip_suffix('t').unwrap_or(&text);
            let parts: Vec<&str> = plain.split('.').collect();
            let digits = |part: &&str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
            prop_assert_eq!(is_version, parts.len() == 2 && parts.iter().all(digits));
        }

        /// A `pyvenv.cfg` tells its version whatever else stands in it, wherever the line is.
        #[test]
        fn the_version_is_found(
            before in "([a-z-]{1,6} = [a-z/.0-9]{0,6}\n){0,3}", minor in 0_u32..100, rest in "(\\.[0-9]{1,3}[a-z.0-9]{0,4})?",
            key in "(version|version_info|VERSION)", blanks in " {0,2}", after in ".{0,12}",
        ) {
            prop_assume!(!before.contains("version"));
            let text = format!("{before}{key}{blanks}={blanks}3.{minor}{rest}\n{after}");
            let expected = Version { major: 3, minor, free_threaded: false };
            prop_assert_eq!(version_in_pyvenv(&text), Some(expected));
            let _ = version_in_pyvenv(&after);
        }
    }
}
