//! Whether root may run or load a file: nobody else may be able to change it, or any folder on the way to it.
//! In the httpd parent, the supervisor and a daemon, before anything is executed or loaded.

use std::ffi::OsString;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

/// Why a file is not trusted. Names the component that is at fault.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// Not an absolute path.
    #[error("'{}' is not an absolute path", .0.display())]
    Relative(PathBuf),
    /// A component cannot be looked at.
    #[error("'{}' cannot be used: '{}': {source}", path.display(), component.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The component.
        component: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// A component belongs to somebody else.
    #[error(
        "'{}' is not used as root: '{}' belongs to {owner}, who could replace it; chown it to root",
        path.display(), component.display()
    )]
    Owner {
        /// The file.
        path: PathBuf,
        /// The component.
        component: PathBuf,
        /// Who owns it.
        owner: String,
    },
    /// A component may be written by others.
    #[error(
        "'{}' is not used as root: '{}' has mode {mode:04o}, so that its group or others could replace it; chmod go-w it",
        path.display(), component.display()
    )]
    Writable {
        /// The file.
        path: PathBuf,
        /// The component.
        component: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// Symbolic links go round in circles.
    #[error("'{}' has too many symbolic links", .0.display())]
    Links(PathBuf),
}

const MOST_LINKS: u32 = 40;

/// Checks `path` if this process is root; otherwise there is nothing to protect.
///
/// # Errors
/// The first component at fault. World-writable folders with the sticky bit are tolerated on the way: what root owns
/// in them nobody else can replace.
pub fn trusted_file(path: &Path) -> Result<(), TrustError> {
    if crate::process::effective_uid() == 0 {
        check_as_root(path)
    } else {
        Ok(())
    }
}

fn check_as_root(path: &Path) -> Result<(), TrustError> {
    if !path.is_absolute() {
        return Err(TrustError::Relative(path.to_owned()));
    }
    let mut links = 0;
    // Components still to be walked, last one first.
    let mut ahead: Vec<OsString> = reversed(path);
    let mut at = PathBuf::from("/");
    check_component(path, &at)?;
    while let Some(name) = ahead.pop() {
        if name == ".." {
            at.pop();
            continue;
        }
        let next = at.join(&name);
        let metadata = check_component(path, &next)?;
        if !metadata.is_symlink() {
            at = next;
            continue;
        }
        links += 1;
        if links > MOST_LINKS {
            return Err(TrustError::Links(path.to_owned()));
        }
        let target = std::fs::read_link(&next).map_err(|source| TrustError::Unreadable {
            path: path.to_owned(),
            component: next.clone(),
            source,
        })?;
        if target.is_absolute() {
            at = PathBuf::from("/");
        }
        ahead.extend(reversed(&target));
    }
    Ok(())
}

fn reversed(path: &Path) -> Vec<OsString> {
    path.components()
        .rev()
        .filter_map(|component| match component {
            Component::Normal(name) => Some(name.to_owned()),
            Component::ParentDir => Some("..".into()),
            _ => None,
        })
        .collect()
}

fn check_component(path: &Path, component: &Path) -> Result<std::fs::Metadata, TrustError> {
    let metadata =
        std::fs::symlink_metadata(component).map_err(|source| TrustError::Unreadable {
            path: path.to_owned(),
            component: component.to_owned(),
            source,
        })?;
    if metadata.uid() != 0 {
        return Err(TrustError::Owner {
            path: path.to_owned(),
            component: component.to_owned(),
            owner: crate::passwd::describe_user(metadata.uid()),
        });
    }
    // The mode of a link means nothing.
    let mode = if metadata.is_symlink() {
        0
    } else {
        metadata.mode() & 0o7777
    };
    let sticky = metadata.is_dir() && mode & 0o1000 != 0;
    if mode & 0o022 != 0 && !sticky {
        return Err(TrustError::Writable {
            path: path.to_owned(),
            component: component.to_owned(),
            mode,
        });
    }
    Ok(metadata)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};

    fn mode(path: &Path, mode: u32) {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn the_component_at_fault_is_named() {
        if crate::process::effective_uid() != 0 {
            return; // files of root cannot be made
        }
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join("inner");
        std::fs::create_dir(&inner).unwrap();
        mode(&inner, 0o755);
        let file = inner.join("file");
        std::fs::write(&file, "").unwrap();
        mode(&file, 0o644);
        trusted_file(&file).unwrap();

        let link = folder.path().join("link");
        symlink("inner/../inner/file", &link).unwrap();
        trusted_file(&link).unwrap();

        mode(&inner, 0o775);
        for path in [&file, &link] {
            match trusted_file(path).unwrap_err() {
                TrustError::Writable {
                    component,
                    mode: 0o775,
                    ..
                } => assert_eq!(component, inner),
                other => panic!("{other}"),
            }
        }
        mode(&inner, 0o1777);
        trusted_file(&file).unwrap();
        std::os::unix::fs::chown(&file, Some(65534), None).unwrap();
        assert!(matches!(trusted_file(&file), Err(TrustError::Owner { .. })));

        let circle = folder.path().join("circle");
        symlink(&circle, &circle).unwrap();
        assert!(matches!(check_as_root(&circle), Err(TrustError::Links(_))));
    }

    #[test]
    fn a_relative_path_is_not_trusted() {
        assert!(matches!(
            check_as_root(Path::new("x")),
            Err(TrustError::Relative(_))
        ));
    }
}
