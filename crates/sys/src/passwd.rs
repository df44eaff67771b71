//! Users and groups by name and number. Reads the user database, which may block on the network: at start only, never
//! while a request waits.

use std::ffi::CString;
use std::io;
use std::path::PathBuf;

use nix::unistd::{Gid, Group, Uid, User, getgrouplist};

/// An entry of the user database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserEntry {
    /// Login name.
    pub name: String,
    /// User id.
    pub uid: u32,
    /// Primary group.
    pub gid: u32,
    /// Home directory.
    pub home: PathBuf,
}

/// An entry of the group database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupEntry {
    /// Name.
    pub name: String,
    /// Group id.
    pub gid: u32,
}

fn entry(user: User) -> UserEntry {
    UserEntry {
        name: user.name,
        uid: user.uid.as_raw(),
        gid: user.gid.as_raw(),
        home: user.dir,
    }
}

/// The user of this number; None if the database has none.
///
/// # Errors
/// The database cannot be read.
pub fn user_by_id(uid: u32) -> io::Result<Option<UserEntry>> {
    Ok(User::from_uid(Uid::from_raw(uid))?.map(entry))
}

/// The user of this name.
///
/// # Errors
/// The database cannot be read.
pub fn user_by_name(name: &str) -> io::Result<Option<UserEntry>> {
    Ok(User::from_name(name)?.map(entry))
}

/// The group of this number.
///
/// # Errors
/// The database cannot be read.
pub fn group_by_id(gid: u32) -> io::Result<Option<GroupEntry>> {
    Ok(
        Group::from_gid(Gid::from_raw(gid))?.map(|group| GroupEntry {
            name: group.name,
            gid: group.gid.as_raw(),
        }),
    )
}

/// The group of this name.
///
/// # Errors
/// The database cannot be read.
pub fn group_by_name(name: &str) -> io::Result<Option<GroupEntry>> {
    Ok(Group::from_name(name)?.map(|group| GroupEntry {
        name: group.name,
        gid: group.gid.as_raw(),
    }))
}

/// Supplementary groups that a process of this user gets, `gid` among them.
///
/// # Errors
/// The database cannot be read, or the name has a NUL.
pub fn groups_of(user: &str, gid: u32) -> io::Result<Vec<u32>> {
    let groups = getgrouplist(&CString::new(user)?, Gid::from_raw(gid))?;
    Ok(groups.into_iter().map(Gid::as_raw).collect())
}

/// A user for a message: `user 'www-data' (uid 33)`, or `uid 33` where the database has no name.
pub fn describe_user(uid: u32) -> String {
    match user_by_id(uid) {
        Ok(Some(user)) => format!("user '{}' (uid {uid})", user.name),
        _ => format!("uid {uid}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_is_found_by_name_and_number() {
        let by_id = user_by_id(0).unwrap().unwrap();
        assert_eq!(user_by_name("root").unwrap(), Some(by_id));
        assert_eq!(group_by_id(0).unwrap(), group_by_name("root").unwrap());
        assert_eq!(describe_user(0), "user 'root' (uid 0)");
    }

    #[test]
    fn a_user_has_the_group_it_is_given() {
        assert!(groups_of("root", 4711).unwrap().contains(&4711));
    }

    #[test]
    fn nobody_has_this_number() {
        assert_eq!(user_by_id(3_999_999_999).unwrap(), None);
        assert_eq!(describe_user(3_999_999_999), "uid 3999999999");
    }
}
