//! Whether another user could read a file, told from outside: a walk over what `lstat` and `readlink` say about each component.
//! In the httpd parent, as root, when the configuration is checked.
//!
//! Nothing is opened and no link is followed by the system: each one is read and its target walked like the rest, below the same
//! root, so a path that somebody else controls leads to no more than a few `lstat` calls. An answer is only a hint: access lists
//! and security modules may say otherwise, and the file may change at once.

use std::ffi::{CString, OsString};
use std::fmt;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

/// Who wants to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reader {
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
    /// Supplementary groups.
    pub groups: Vec<u32>,
}

/// What is wanted of the last component.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Goal {
    /// Its folder can be searched: its facts can be had.
    Reach,
    /// A file that can be read, or a folder that can be searched.
    Read,
    /// A folder that can be searched and listed.
    Folder,
}

/// What `lstat` says about a component.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// What it is.
    pub kind: Kind,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Permission bits.
    pub mode: u32,
    /// Whether it has an access list beside the bits, which are then not the whole truth.
    pub has_access_list: bool,
}

/// Kind of a component.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Folder.
    Folder,
    /// Symbolic link, with its target.
    Link(PathBuf),
    /// Anything else.
    File,
}

/// What stands in the way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Obstacle {
    /// The component is not there.
    Missing(PathBuf),
    /// The component is a file, with more of the path behind it.
    NotAFolder(PathBuf),
    /// The component's permissions.
    Denied {
        /// It.
        component: PathBuf,
        /// Its owner.
        uid: u32,
        /// Its group.
        gid: u32,
        /// Its permission bits.
        mode: u32,
        /// The bit that is missing, as in `chmod`: `o+x`.
        missing: String,
    },
    /// Links go round in circles at this component.
    Circle(PathBuf),
}

impl Obstacle {
    /// The component at fault.
    pub fn component(&self) -> &Path {
        match self {
            Obstacle::Missing(component)
            | Obstacle::NotAFolder(component)
            | Obstacle::Circle(component)
            | Obstacle::Denied { component, .. } => component,
        }
    }
}

impl fmt::Display for Obstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = self.component().display();
        match self {
            Obstacle::Missing(_) => write!(f, "'{shown}' does not exist"),
            Obstacle::NotAFolder(_) => write!(f, "'{shown}' is not a folder"),
            Obstacle::Circle(_) => write!(f, "'{shown}' is a symbolic link in a circle"),
            Obstacle::Denied {
                uid,
                gid,
                mode,
                missing,
                ..
            } => write!(
                f,
                "'{shown}' has mode {mode:04o}, owner {uid}, group {gid}; the permission {missing} is missing"
            ),
        }
    }
}

/// As the system's own limit.
const MOST_LINKS: u32 = 40;

/// What keeps `reader` from `path`, an absolute path below `root`; `look` gives the facts of a component by its full path.
/// None: nothing does, or it cannot be told (a component cannot be looked at, or has an access list).
pub fn obstacle(
    root: &Path,
    path: &Path,
    reader: &Reader,
    goal: Goal,
    look: &dyn Fn(&Path) -> io::Result<Facts>,
) -> Option<Obstacle> {
    let mut links = 0;
    let mut ahead = reversed(path);
    let mut depth: Vec<PathBuf> = vec![root.to_owned()];
    // Permission to search each folder before a name is looked up in it.
    while let Some(name) = ahead.pop() {
        let at = depth.last()?.clone();
        match search(&at, reader, look) {
            Ok(None) => {}
            Ok(found) => return found,
            Err(_) => return None,
        }
        if name == ".." {
            if depth.len() > 1 {
                depth.pop();
            }
            continue;
        }
        let next = at.join(&name);
        let facts = match look(&next) {
            Ok(facts) => facts,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Some(Obstacle::Missing(next));
            }
            Err(_) => return None,
        };
        if let Kind::Link(target) = &facts.kind {
            links += 1;
            if links > MOST_LINKS {
                return Some(Obstacle::Circle(next));
            }
            if target.is_absolute() {
                depth.truncate(1);
            }
            ahead.extend(reversed(target));
            continue;
        }
        depth.push(next);
    }
    let last = depth.last()?;
    let facts = look(last).ok()?;
    match (goal, &facts.kind) {
        (Goal::Reach, _) => None,
        (Goal::Folder, Kind::File) => Some(Obstacle::NotAFolder(last.clone())),
        (Goal::Folder, _) => {
            denied(last, &facts, reader, 4).or_else(|| denied(last, &facts, reader, 1))
        }
        (Goal::Read, Kind::Folder) => denied(last, &facts, reader, 1),
        (Goal::Read, _) => denied(last, &facts, reader, 4),
    }
}

/// Permission to look names up in a folder.
fn search(
    folder: &Path,
    reader: &Reader,
    look: &dyn Fn(&Path) -> io::Result<Facts>,
) -> io::Result<Option<Obstacle>> {
    let facts = look(folder)?;
    Ok(match facts.kind {
        Kind::File => Some(Obstacle::NotAFolder(folder.to_owned())),
        _ => denied(folder, &facts, reader, 1),
    })
}

/// Whether the bit (4 read, 1 search) is missing for the class that `reader` belongs to: the first that fits counts, even where
/// a later one would allow more.
fn denied(component: &Path, facts: &Facts, reader: &Reader, bit: u32) -> Option<Obstacle> {
    if reader.uid == 0 || facts.has_access_list {
        return None;
    }
    let (class, shift) = if facts.uid == reader.uid {
        ('u', 6)
    } else if facts.gid == reader.gid || reader.groups.contains(&facts.gid) {
        ('g', 3)
    } else {
        ('o', 0)
    };
    let allowed = facts.mode >> shift & bit != 0;
    (!allowed).then(|| Obstacle::Denied {
        component: component.to_owned(),
        uid: facts.uid,
        gid: facts.gid,
        mode: facts.mode,
        missing: format!("{class}+{}", if bit == 4 { 'r' } else { 'x' }),
    })
}

fn reversed(path: &Path) -> Vec<OsString> {
    let names = path.components().rev();
    names
        .filter_map(|component| match component {
            Component::Normal(name) => Some(name.to_owned()),
            Component::ParentDir => Some("..".into()),
            _ => None,
        })
        .collect()
}

/// The facts of a component of this machine.
///
/// # Errors
/// As `lstat` and `readlink` have them.
pub fn look(path: &Path) -> io::Result<Facts> {
    let found = std::fs::symlink_metadata(path)?;
    let kind = if found.is_symlink() {
        Kind::Link(std::fs::read_link(path)?)
    } else if found.is_dir() {
        Kind::Folder
    } else {
        Kind::File
    };
    let has_access_list = !matches!(kind, Kind::Link(_)) && attribute(path, ACCESS_LIST).is_some();
    Ok(Facts {
        kind,
        uid: found.uid(),
        gid: found.gid(),
        mode: found.mode() & 0o7777,
        has_access_list,
    })
}

const ACCESS_LIST: &str = "system.posix_acl_access";
const LABEL: &str = "security.selinux";

/// The SELinux label of a file, of a link its own; None where it has none.
pub fn label(path: &Path) -> Option<String> {
    let value = attribute(path, LABEL)?;
    let text = String::from_utf8_lossy(&value);
    Some(text.trim_end_matches('\0').to_owned())
}

/// An extended attribute of the file itself; None also if it cannot be had, or is longer than any that is asked for here.
fn attribute(path: &Path, name: &str) -> Option<Vec<u8>> {
    let path = CString::new(path.as_os_str().as_bytes()).ok()?;
    let name = CString::new(name).ok()?;
    let mut value = vec![0_u8; 4096];
    // SAFETY: two C strings, and a buffer with its length that is written at most as far.
    let length = unsafe {
        libc::lgetxattr(
            path.as_ptr(),
            name.as_ptr(),
            value.as_mut_ptr().cast(),
            value.len(),
        )
    };
    value.truncate(usize::try_from(length).ok()?);
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    fn entry(kind: Kind, uid: u32, gid: u32, mode: u32) -> Facts {
        Facts {
            kind,
            uid,
            gid,
            mode,
            has_access_list: false,
        }
    }

    /// `/srv` (755 root), `/srv/app` (710 1000:50), `/srv/app/x.wsgi` (640 1000:50), `/srv/link` -> `app`, `/srv/up` -> `/srv/up`,
    /// `/jail/etc` (700).
    fn tree() -> HashMap<PathBuf, Facts> {
        let mut tree = HashMap::new();
        let mut add = |path: &str, facts| tree.insert(PathBuf::from(path), facts);
        add("/", entry(Kind::Folder, 0, 0, 0o755));
        add("/srv", entry(Kind::Folder, 0, 0, 0o755));
        add("/srv/app", entry(Kind::Folder, 1000, 50, 0o710));
        add("/srv/app/x.wsgi", entry(Kind::File, 1000, 50, 0o640));
        add("/srv/link", entry(Kind::Link("app".into()), 0, 0, 0o777));
        add("/srv/up", entry(Kind::Link("/srv/up".into()), 0, 0, 0o777));
        add("/jail", entry(Kind::Folder, 0, 0, 0o755));
        add("/jail/etc", entry(Kind::Folder, 0, 0, 0o700));
        add(
            "/jail/link",
            entry(Kind::Link("/../etc".into()), 0, 0, 0o777),
        );
        tree
    }

    fn ask(path: &str, uid: u32, groups: &[u32], goal: Goal) -> Option<String> {
        ask_below("/", path, uid, groups, goal, &tree())
    }

    fn ask_below(
        root: &str,
        path: &str,
        uid: u32,
        groups: &[u32],
        goal: Goal,
        tree: &HashMap<PathBuf, Facts>,
    ) -> Option<String> {
        let look = |path: &Path| {
            let missing = || io::Error::from(io::ErrorKind::NotFound);
            tree.get(path).cloned().ok_or_else(missing)
        };
        let reader = Reader {
            uid,
            gid: 99,
            groups: groups.to_vec(),
        };
        let found = obstacle(Path::new(root), Path::new(path), &reader, goal, &look);
        found.map(|obstacle| match &obstacle {
            Obstacle::Denied { missing, .. } => {
                format!("{} {missing}", obstacle.component().display())
            }
            _ => obstacle.to_string(),
        })
    }

    #[test]
    fn the_class_that_fits_decides() {
        let file = "/srv/app/x.wsgi";
        assert_eq!(ask(file, 1000, &[], Goal::Read), None);
        assert_eq!(ask(file, 7, &[50], Goal::Read), None);
        assert_eq!(ask(file, 0, &[], Goal::Read), None);
        assert_eq!(
            ask(file, 7, &[], Goal::Read).as_deref(),
            Some("/srv/app o+x")
        );
        assert_eq!(
            ask("/srv/app", 7, &[50], Goal::Folder).as_deref(),
            Some("/srv/app g+r")
        );
        assert_eq!(ask("/srv/app", 7, &[], Goal::Reach), None);
        assert_eq!(ask("/srv/app", 7, &[50], Goal::Read), None);
        assert_eq!(
            ask("/srv/app", 7, &[], Goal::Read).as_deref(),
            Some("/srv/app o+x")
        );
        // The owner's bits count for the owner, though others could do more.
        let mut tree = tree();
        tree.insert(file.into(), entry(Kind::File, 7, 50, 0o044));
        assert_eq!(
            ask_below("/", file, 7, &[50], Goal::Read, &tree).as_deref(),
            Some("/srv/app/x.wsgi u+r")
        );
    }

    #[test]
    fn links_are_walked_like_the_rest() {
        assert_eq!(
            ask("/srv/link/x.wsgi", 7, &[], Goal::Read).as_deref(),
            Some("/srv/app o+x")
        );
        assert_eq!(ask("/srv/link/../app/x.wsgi", 7, &[50], Goal::Read), None);
        assert_eq!(
            ask("/srv/up/x", 7, &[], Goal::Read).as_deref(),
            Some("'/srv/up' is a symbolic link in a circle")
        );
        // Below a root of its own an absolute target begins there, and `..` does not lead out of it.
        assert_eq!(
            ask_below("/jail", "/link", 7, &[], Goal::Folder, &tree()).as_deref(),
            Some("/jail/etc o+r")
        );
    }

    #[test]
    fn what_is_not_there_is_named() {
        assert_eq!(
            ask("/srv/none/x", 7, &[], Goal::Read).as_deref(),
            Some("'/srv/none' does not exist")
        );
        assert_eq!(
            ask("/srv/app/x.wsgi/y", 1000, &[], Goal::Read).as_deref(),
            Some("'/srv/app/x.wsgi' is not a folder")
        );
    }

    #[test]
    fn nothing_is_said_where_it_cannot_be_told() {
        let mut tree = tree();
        let folder = tree.get_mut(Path::new("/srv/app")).unwrap();
        folder.has_access_list = true;
        let asked = ask_below("/", "/srv/app", 7, &[], Goal::Folder, &tree);
        assert_eq!(asked, None);
        let look = |_: &Path| Err(io::Error::from(io::ErrorKind::PermissionDenied));
        let reader = Reader {
            uid: 7,
            gid: 7,
            groups: Vec::new(),
        };
        let found = obstacle(Path::new("/"), Path::new("/a"), &reader, Goal::Read, &look);
        assert_eq!(found, None);
    }

    #[test]
    fn this_machine_is_looked_at_without_following_links() {
        let folder = tempfile::tempdir().unwrap();
        let link = folder.path().join("link");
        std::os::unix::fs::symlink("nowhere", &link).unwrap();
        assert_eq!(look(&link).unwrap().kind, Kind::Link("nowhere".into()));
        assert_eq!(look(folder.path()).unwrap().kind, Kind::Folder);
        assert_eq!(label(&folder.path().join("nowhere")), None);
    }
}
