//! Giving up root: group, supplementary groups, user, in this order, and proof afterwards that nothing of it can be
//! taken back. In a daemon, before any other thread exists.

use std::ffi::CString;
use std::io;

use nix::unistd::{
    Gid, Uid, getresgid, getresuid, initgroups, setgid, setgroups, setresgid, setresuid,
};

/// What to become.
#[derive(Clone, Debug)]
pub struct Credentials {
    /// User id; not 0.
    pub uid: u32,
    /// Name of the user, for its supplementary groups.
    pub user: String,
    /// Group id.
    pub gid: u32,
    /// Exact supplementary groups; None for the user's own.
    pub supplementary_groups: Option<Vec<u32>>,
}

/// The step that failed.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// WSGI0004.
    #[error("cannot change to group id {gid}: {source}")]
    SetGid {
        /// Wanted group.
        gid: u32,
        /// The system's error.
        source: io::Error,
    },
    /// WSGI0005.
    #[error("cannot set the supplementary groups {groups:?}: {source}")]
    SetGroups {
        /// Wanted groups.
        groups: Vec<u32>,
        /// The system's error.
        source: io::Error,
    },
    /// WSGI0006.
    #[error("cannot set the groups of user '{user}' with group id {gid}: {source}")]
    InitGroups {
        /// The user.
        user: String,
        /// Its group.
        gid: u32,
        /// The system's error.
        source: io::Error,
    },
    /// WSGI0007.
    #[error("cannot change to user id {uid}: {source}{}", limit_hint(source))]
    SetUid {
        /// Wanted user.
        uid: u32,
        /// The system's error.
        source: io::Error,
    },
    /// The calls succeeded and yet the process could be root again.
    #[error("after changing to user id {uid}, group id {gid} the process still has other ids")]
    StillPrivileged {
        /// Wanted user.
        uid: u32,
        /// Wanted group.
        gid: u32,
    },
}

fn limit_hint(error: &io::Error) -> &'static str {
    if error.raw_os_error() == Some(libc::EAGAIN) {
        " (the user has as many processes as its limit allows; see ulimit -u)"
    } else {
        ""
    }
}

impl IdentityError {
    /// Number of the stable code.
    pub fn code(&self) -> u16 {
        match self {
            IdentityError::SetGid { .. } => 4,
            IdentityError::SetGroups { .. } => 5,
            IdentityError::InitGroups { .. } => 6,
            IdentityError::SetUid { .. } | IdentityError::StillPrivileged { .. } => 7,
        }
    }
}

/// Becomes `wanted` for good (DMN-114).
///
/// # Errors
/// The first step that failed. The process has to end then: some steps may have been done.
pub fn give_up_root(wanted: &Credentials) -> Result<(), IdentityError> {
    let (uid, gid) = (Uid::from_raw(wanted.uid), Gid::from_raw(wanted.gid));
    setgid(gid).map_err(|errno| IdentityError::SetGid {
        gid: wanted.gid,
        source: errno.into(),
    })?;
    match &wanted.supplementary_groups {
        Some(groups) => {
            let mut all = vec![gid];
            all.extend(
                groups
                    .iter()
                    .map(|group| Gid::from_raw(*group))
                    .filter(|g| *g != gid),
            );
            setgroups(&all).map_err(|errno| IdentityError::SetGroups {
                groups: groups.clone(),
                source: errno.into(),
            })?;
        }
        None => {
            let failed = |source| IdentityError::InitGroups {
                user: wanted.user.clone(),
                gid: wanted.gid,
                source,
            };
            let name = CString::new(wanted.user.as_str()).map_err(|e| failed(e.into()))?;
            initgroups(&name, gid).map_err(|errno| failed(errno.into()))?;
        }
    }
    let failed = |errno: nix::Error| IdentityError::SetUid {
        uid: wanted.uid,
        source: errno.into(),
    };
    setresgid(gid, gid, gid).map_err(|errno| IdentityError::SetGid {
        gid: wanted.gid,
        source: errno.into(),
    })?;
    setresuid(uid, uid, uid).map_err(failed)?;
    let users = getresuid().map_err(failed)?;
    let groups = getresgid().map_err(failed)?;
    let changed = [users.real, users.effective, users.saved] == [uid; 3]
        && [groups.real, groups.effective, groups.saved] == [gid; 3];
    // With a capability left over, ids that look right could still be changed back.
    let root = Uid::from_raw(0);
    let way_back = !uid.is_root() && setresuid(root, root, root).is_ok();
    if changed && !way_back {
        Ok(())
    } else {
        Err(IdentityError::StillPrivileged {
            uid: wanted.uid,
            gid: wanted.gid,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_step_has_its_code() {
        let source = || io::Error::from_raw_os_error(libc::EAGAIN);
        let failed = IdentityError::SetUid {
            uid: 33,
            source: source(),
        };
        assert_eq!(failed.code(), 7);
        assert!(failed.to_string().contains("ulimit -u"));
        assert_eq!(
            IdentityError::SetGid {
                gid: 3,
                source: source()
            }
            .code(),
            4
        );
    }
}
