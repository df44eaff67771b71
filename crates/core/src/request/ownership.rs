//! `script-user` and `script-group` of a daemon group: whose scripts it runs (REQ-303, DMN-205, DMN-206).
//!
//! The checks are about the mapped file and its folder, which whoever may replace the script must not be able
//! to fake. Pure; names and the folder's facts are asked from the caller, only as far as the checks get. On the
//! thread of the request, in an Apache child.

use super::Refused;
use super::refused::shown;

/// Owner and permissions of a file or folder; None for what could not be found out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Owned {
    /// User id.
    pub user: Option<u32>,
    /// Group id.
    pub group: Option<u32>,
    /// Permission bits as in `stat`.
    pub mode: Option<u32>,
}

/// What the checks are about, and where they find out more.
#[derive(Clone, Copy)]
pub struct OwnershipFacts<'a> {
    /// Path of the mapped file, not of a handler script.
    pub filename: &'a [u8],
    /// Its owner and permissions.
    pub file: Owned,
    /// Looks at the folder of the file; None if that fails.
    pub folder: &'a dyn Fn() -> Option<Owned>,
    /// Name of a user id; None if it has none.
    pub user_name: &'a dyn Fn(u32) -> Option<String>,
    /// Name of a group id; None if it has none.
    pub group_name: &'a dyn Fn(u32) -> Option<String>,
}

/// Both checks in their order, as far as the options are set.
///
/// # Errors
/// [`Refused`] with status 403.
pub fn check(
    script_user: Option<&str>,
    script_group: Option<&str>,
    facts: &OwnershipFacts<'_>,
) -> Result<(), Refused> {
    script_group.map_or(Ok(()), |option| check_group(option, facts))?;
    script_user.map_or(Ok(()), |option| check_user(option, facts))
}

/// `script-group=` (DMN-205): codes 0153 to 0161.
///
/// # Errors
/// [`Refused`] with status 403.
pub fn check_group(option: &str, facts: &OwnershipFacts<'_>) -> Result<(), Refused> {
    let check = Check {
        option_name: "script-group",
        option,
        path: facts.filename,
    };
    let file = facts.file;
    let group = check.known(153, file.group, "has a group that cannot be found out")?;
    let named = check.known(
        154,
        (facts.group_name)(group),
        "has a group id without a name",
    )?;
    check.ensure(
        155,
        is_named(option, group, &named),
        &format!("has the group '{named}'"),
    )?;
    let mode = check.known(156, file.mode, "has permissions that cannot be found out")?;
    check.ensure(157, mode & WORLD_WRITE == 0, "can be written by everybody")?;

    let check = Check {
        path: folder_of(facts.filename),
        ..check
    };
    let folder = check.known(158, (facts.folder)(), "cannot be examined")?;
    let group = check.known(159, folder.group, "has a group that cannot be found out")?;
    let named = check.known(
        159,
        (facts.group_name)(group),
        "has a group id without a name",
    )?;
    check.ensure(
        160,
        is_named(option, group, &named),
        &format!("has the group '{named}'"),
    )?;
    let mode = check.known(161, folder.mode, "has permissions that cannot be found out")?;
    check.ensure(161, mode & WORLD_WRITE == 0, "can be written by everybody")
}

/// `script-user=` (DMN-206): codes 0162 to 0173.
///
/// # Errors
/// [`Refused`] with status 403.
pub fn check_user(option: &str, facts: &OwnershipFacts<'_>) -> Result<(), Refused> {
    let check = Check {
        option_name: "script-user",
        option,
        path: facts.filename,
    };
    let file = facts.file;
    let user = check.known(162, file.user, "has an owner that cannot be found out")?;
    let named = check.known(163, (facts.user_name)(user), "has a user id without a name")?;
    check.ensure(
        164,
        is_named(option, user, &named),
        &format!("belongs to '{named}'"),
    )?;
    // The original can know the permissions of the group and not those of the world (WSGI0167); stat tells all
    // or none.
    let mode = check.known(165, file.mode, "has permissions that cannot be found out")?;
    check.ensure(166, mode & GROUP_WRITE == 0, "can be written by its group")?;
    check.ensure(168, mode & WORLD_WRITE == 0, "can be written by everybody")?;

    let check = Check {
        path: folder_of(facts.filename),
        ..check
    };
    let folder = check.known(169, (facts.folder)(), "cannot be examined")?;
    let user = check.known(170, folder.user, "has an owner that cannot be found out")?;
    let named = check.known(170, (facts.user_name)(user), "has a user id without a name")?;
    check.ensure(
        171,
        is_named(option, user, &named),
        &format!("belongs to '{named}'"),
    )?;
    let mode = check.known(172, folder.mode, "has permissions that cannot be found out")?;
    check.ensure(172, mode & WORLD_WRITE == 0, "can be written by everybody")?;
    check.ensure(173, mode & GROUP_WRITE == 0, "can be written by its group")
}

const GROUP_WRITE: u32 = 0o020;
const WORLD_WRITE: u32 = 0o002;

/// An option and the file or folder that is looked at.
#[derive(Clone, Copy)]
struct Check<'a> {
    option_name: &'static str,
    option: &'a str,
    path: &'a [u8],
}

impl Check<'_> {
    fn known<T>(&self, code: u16, fact: Option<T>, otherwise: &str) -> Result<T, Refused> {
        fact.ok_or_else(|| self.refused(code, otherwise))
    }

    fn ensure(&self, code: u16, holds: bool, otherwise: &str) -> Result<(), Refused> {
        if holds {
            Ok(())
        } else {
            Err(self.refused(code, otherwise))
        }
    }

    fn refused(&self, code: u16, what: &str) -> Refused {
        let text = format!(
            "{} {what}, but the daemon process group has {}={}",
            shown(self.path),
            self.option_name,
            self.option,
        );
        Refused::with_code(403, code, text)
    }
}

/// Options may give the id instead of the name, as `#1000` (DP-43).
fn is_named(option: &str, id: u32, name: &str) -> bool {
    match option.strip_prefix('#') {
        Some(number) => number.parse() == Ok(id),
        None => option == name,
    }
}

/// The folder of a file, as text before its last slash.
pub fn folder_of(filename: &[u8]) -> &[u8] {
    match filename.iter().rposition(|byte| *byte == b'/') {
        Some(0) => b"/",
        Some(slash) => &filename[..slash],
        None => b".",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ids with a name: 1 is `web`, 2 is `other`.
    fn name_of(id: u32) -> Option<String> {
        [(1, "web"), (2, "other")]
            .iter()
            .find(|(known, _)| *known == id)
            .map(|(_, name)| (*name).to_owned())
    }

    const GOOD: Owned = Owned {
        user: Some(1),
        group: Some(1),
        mode: Some(0o755),
    };

    fn run(
        check: impl Fn(&OwnershipFacts<'_>) -> Result<(), Refused>,
        file: Owned,
        folder: Option<Owned>,
    ) -> u16 {
        let facts = OwnershipFacts {
            filename: b"/srv/app.wsgi",
            file,
            folder: &|| folder,
            user_name: &name_of,
            group_name: &name_of,
        };
        check(&facts).map_or_else(
            |refused| {
                assert_eq!(refused.status, 403);
                refused.code.unwrap()
            },
            |()| 0,
        )
    }

    /// REQ-303, DMN-205: the codes of script-group in their order; each row mends what the one before found.
    #[test]
    fn script_group() {
        let unknown = Owned {
            user: Some(9),
            group: None,
            mode: None,
        };
        let by_group = |mode| Owned {
            user: Some(9),
            group: Some(1),
            mode,
        };
        for (code, file, folder) in [
            (153, unknown, None),
            (
                154,
                Owned {
                    group: Some(9),
                    ..unknown
                },
                None,
            ),
            (
                155,
                Owned {
                    group: Some(2),
                    ..unknown
                },
                None,
            ),
            (156, by_group(None), None),
            (157, by_group(Some(0o777)), None),
            (158, by_group(Some(0o775)), None),
            (159, by_group(Some(0o775)), Some(unknown)),
            (
                159,
                by_group(Some(0o775)),
                Some(Owned {
                    group: Some(9),
                    ..unknown
                }),
            ),
            (
                160,
                by_group(Some(0o775)),
                Some(Owned {
                    group: Some(2),
                    ..unknown
                }),
            ),
            (161, by_group(Some(0o775)), Some(by_group(None))),
            (161, by_group(Some(0o775)), Some(by_group(Some(0o1777)))),
            (0, by_group(Some(0o775)), Some(by_group(Some(0o2775)))),
        ] {
            assert_eq!(run(|facts| check_group("web", facts), file, folder), code);
        }
    }

    /// REQ-303, DMN-206: the codes of script-user in their order; each row mends what the one before found.
    #[test]
    fn script_user() {
        let unknown = Owned {
            user: None,
            group: Some(9),
            mode: None,
        };
        let by_user = |mode| Owned {
            user: Some(1),
            group: Some(9),
            mode,
        };
        for (code, file, folder) in [
            (162, unknown, None),
            (
                163,
                Owned {
                    user: Some(9),
                    ..unknown
                },
                None,
            ),
            (
                164,
                Owned {
                    user: Some(2),
                    ..unknown
                },
                None,
            ),
            (165, by_user(None), None),
            (166, by_user(Some(0o777)), None),
            (168, by_user(Some(0o757)), None),
            (169, by_user(Some(0o755)), None),
            (170, by_user(Some(0o755)), Some(unknown)),
            (
                170,
                by_user(Some(0o755)),
                Some(Owned {
                    user: Some(9),
                    ..unknown
                }),
            ),
            (
                171,
                by_user(Some(0o755)),
                Some(Owned {
                    user: Some(2),
                    ..unknown
                }),
            ),
            (172, by_user(Some(0o755)), Some(by_user(None))),
            (172, by_user(Some(0o755)), Some(by_user(Some(0o777)))),
            (173, by_user(Some(0o755)), Some(by_user(Some(0o775)))),
            (0, by_user(Some(0o755)), Some(by_user(Some(0o755)))),
        ] {
            assert_eq!(run(|facts| check_user("web", facts), file, folder), code);
        }
    }

    /// DP-43: the options may give an id.
    #[test]
    fn ids_instead_of_names() {
        assert_eq!(run(|facts| check_user("#1", facts), GOOD, Some(GOOD)), 0);
        assert_eq!(run(|facts| check_user("#2", facts), GOOD, Some(GOOD)), 164);
        assert_eq!(run(|facts| check_user("#x", facts), GOOD, Some(GOOD)), 164);
        assert_eq!(run(|facts| check_group("#1", facts), GOOD, Some(GOOD)), 0);
    }

    /// DMN-205, DMN-206: the group is checked before the user, and what is not set is not checked.
    #[test]
    fn both_options() {
        let both = |user, group| move |facts: &OwnershipFacts<'_>| check(user, group, facts);
        assert_eq!(
            run(both(Some("other"), Some("other")), GOOD, Some(GOOD)),
            155
        );
        assert_eq!(run(both(Some("other"), Some("web")), GOOD, Some(GOOD)), 164);
        assert_eq!(run(both(Some("web"), Some("web")), GOOD, Some(GOOD)), 0);
        assert_eq!(run(both(None, None), Owned::default(), None), 0);
    }

    /// ERR-01: the record names what is wrong with which file.
    #[test]
    fn records_name_file_and_option() {
        let facts = OwnershipFacts {
            filename: b"/srv/app.wsgi",
            file: GOOD,
            folder: &|| {
                Some(Owned {
                    mode: Some(0o777),
                    ..GOOD
                })
            },
            user_name: &name_of,
            group_name: &name_of,
        };
        assert_eq!(
            check_user("web", &facts).unwrap_err().to_string(),
            "WSGI0172: /srv can be written by everybody, but the daemon process group has script-user=web"
        );
    }

    /// DMN-205: the folder of odd paths.
    #[test]
    fn folders() {
        for (file, folder) in [("/a/b", "/a"), ("/a", "/"), ("a", "."), ("/a/b/", "/a/b")] {
            assert_eq!(folder_of(file.as_bytes()), folder.as_bytes());
        }
    }
}
