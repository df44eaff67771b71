//! Where a request runs: in the child or in which daemon group, and whether it may (REQ-300 to REQ-303, DMN-201
//! to DMN-206).
//!
//! Pure; looking up names and files is left to closures of the caller, which are asked in the order of the
//! checks and only as far as they get. On the thread of the request, before any socket is touched.

use super::Refused;

/// Where a request runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// In the Apache child.
    Embedded,
    /// In the group with this position among those that were offered.
    Daemon(usize),
}

/// The server (main or virtual host) of a request or of a group's definition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServerFacts<'a> {
    /// Number of the server in Apache's list; the main server is 0.
    pub ordinal: usize,
    /// ServerName; None if it has none.
    pub name: Option<&'a str>,
}

/// A daemon group that could be chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupFacts<'a> {
    /// Its name.
    pub name: &'a str,
    /// Where its WSGIDaemonProcess is written.
    pub server: ServerFacts<'a>,
}

/// What the request and its configuration say.
#[derive(Clone, Copy, Debug)]
pub struct RoutingFacts<'a> {
    /// WSGIRestrictProcess; None if unset. An empty name is embedded mode.
    pub restrict: Option<&'a [String]>,
    /// WSGIRestrictEmbedded (DIR-110).
    pub restrict_embedded: bool,
    /// Whether this child runs Python.
    pub has_python: bool,
    /// Server of the request.
    pub server: ServerFacts<'a>,
}

/// Chooses the way for the final process group `group`; empty is embedded mode (REQ-300 to REQ-302).
///
/// # Errors
/// [`Refused`] with status 500.
pub fn select<'g>(
    group: &str,
    facts: &RoutingFacts<'_>,
    groups: impl IntoIterator<Item = GroupFacts<'g>>,
) -> Result<Route, Refused> {
    let refuse = |code, text| Err(Refused::with_code(500, code, text));
    let is_allowed = |allowed: &[String]| allowed.iter().any(|name| names_group(name, group));
    if !facts.restrict.is_none_or(is_allowed) {
        let text = format!(
            "{} is not among those that WSGIRestrictProcess allows for this URL",
            described(group)
        );
        return refuse(149, text);
    }
    if group.is_empty() {
        return embedded(facts);
    }
    let mut any = false;
    let found = groups.into_iter().enumerate().find(|(_, known)| {
        any = true;
        known.name == group
    });
    match found {
        None if !any => refuse(
            150,
            format!(
                "{} is asked for, but there is no WSGIDaemonProcess at all",
                described(group)
            ),
        ),
        None => refuse(
            151,
            format!(
                "{} is asked for, but no WSGIDaemonProcess defines it: check the name in WSGIProcessGroup or in the \
                 option process-group of the alias",
                described(group)
            ),
        ),
        Some((_, known)) if !may_use(&facts.server, &known.server) => refuse(
            152,
            format!(
                "{} belongs to the virtual host {} and cannot be used from {}: define it in the main server, or \
                 give both the same ServerName",
                described(group),
                known.server.name.unwrap_or("without ServerName"),
                facts.server.name.unwrap_or("a server without ServerName"),
            ),
        ),
        Some((position, _)) => Ok(Route::Daemon(position)),
    }
}

/// In the child itself (REQ-301).
fn embedded(facts: &RoutingFacts<'_>) -> Result<Route, Refused> {
    let refuse = |code, text: &str| Err(Refused::with_code(500, code, text.to_owned()));
    if facts.restrict_embedded {
        return refuse(
            143,
            "embedded mode is forbidden by WSGIRestrictEmbedded: choose a daemon process group with \
             WSGIProcessGroup",
        );
    }
    if !facts.has_python {
        return refuse(
            210,
            "embedded mode is not possible, because Python is not running in this Apache child: see what it \
             logged when it started, or choose a daemon process group with WSGIProcessGroup",
        );
    }
    Ok(Route::Embedded)
}

/// Whether a name of WSGIRestrictProcess means this group (DIR-043).
fn names_group(name: &str, group: &str) -> bool {
    name.eq_ignore_ascii_case(group) || (group.is_empty() && name == "%{GLOBAL}")
}

/// Whether a request of one server may use a group that is defined in another (DIR-041, DMN-204).
fn may_use(request: &ServerFacts<'_>, defined: &ServerFacts<'_>) -> bool {
    defined.ordinal == MAIN_SERVER
        || defined.ordinal == request.ordinal
        || (defined.name.is_some() && defined.name == request.name)
}

/// Ordinal of the main server.
const MAIN_SERVER: usize = 0;

fn described(group: &str) -> String {
    if group.is_empty() {
        "embedded mode ('%{GLOBAL}')".to_owned()
    } else {
        format!("daemon process group '{group}'")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAIN: ServerFacts<'_> = ServerFacts {
        ordinal: 0,
        name: Some("main"),
    };
    const ONE: ServerFacts<'_> = ServerFacts {
        ordinal: 1,
        name: Some("one"),
    };
    const ONE_ON_ANOTHER_PORT: ServerFacts<'_> = ServerFacts {
        ordinal: 2,
        name: Some("one"),
    };
    const NAMELESS: ServerFacts<'_> = ServerFacts {
        ordinal: 3,
        name: None,
    };
    const NAMELESS_TOO: ServerFacts<'_> = ServerFacts {
        ordinal: 4,
        name: None,
    };

    const GROUPS: [GroupFacts<'_>; 3] = [
        GroupFacts {
            name: "everywhere",
            server: MAIN,
        },
        GroupFacts {
            name: "ones",
            server: ONE,
        },
        GroupFacts {
            name: "hidden",
            server: NAMELESS,
        },
    ];

    const FACTS: RoutingFacts<'_> = RoutingFacts {
        restrict: None,
        restrict_embedded: false,
        has_python: true,
        server: MAIN,
    };

    fn code(result: Result<Route, Refused>) -> Result<Route, u16> {
        result.map_err(|refused| {
            assert_eq!(refused.status, 500);
            refused.code.unwrap()
        })
    }

    /// REQ-301, DIR-110, DMN-202: embedded, and what forbids it.
    #[test]
    fn embedded_mode() {
        assert_eq!(code(select("", &FACTS, GROUPS)), Ok(Route::Embedded));
        let facts = RoutingFacts {
            restrict_embedded: true,
            has_python: false,
            ..FACTS
        };
        assert_eq!(code(select("", &facts, GROUPS)), Err(143));
        let facts = RoutingFacts {
            has_python: false,
            ..FACTS
        };
        assert_eq!(code(select("", &facts, GROUPS)), Err(210));
        assert_eq!(
            code(select("everywhere", &facts, GROUPS)),
            Ok(Route::Daemon(0))
        );
    }

    /// REQ-302, DIR-040, DMN-203: unknown groups.
    #[test]
    fn unknown_groups() {
        assert_eq!(code(select("nobody", &FACTS, [])), Err(150));
        assert_eq!(code(select("nobody", &FACTS, GROUPS)), Err(151));
        assert_eq!(code(select("Everywhere", &FACTS, GROUPS)), Err(151));
        assert_eq!(code(select("%{ENV:NO}", &FACTS, GROUPS)), Err(151));
    }

    /// DIR-041, DMN-204: groups of virtual hosts.
    #[test]
    fn groups_of_other_servers() {
        for (group, server, expected) in [
            ("everywhere", ONE, Ok(Route::Daemon(0))),
            ("ones", ONE, Ok(Route::Daemon(1))),
            ("ones", ONE_ON_ANOTHER_PORT, Ok(Route::Daemon(1))),
            ("ones", MAIN, Err(152)),
            ("ones", NAMELESS, Err(152)),
            ("hidden", NAMELESS, Ok(Route::Daemon(2))),
            ("hidden", NAMELESS_TOO, Err(152)),
            ("hidden", ONE, Err(152)),
        ] {
            let facts = RoutingFacts { server, ..FACTS };
            assert_eq!(
                code(select(group, &facts, GROUPS)),
                expected,
                "{group} {server:?}"
            );
        }
    }

    /// REQ-300, DIR-043, DMN-201: the restriction comes first, ignores case, and covers embedded mode.
    #[test]
    fn restrictions() {
        for (allowed, group, expected) in [
            (&["EVERYWHERE"][..], "everywhere", Ok(Route::Daemon(0))),
            (&["ones", "everywhere"], "everywhere", Ok(Route::Daemon(0))),
            (&["ones"], "everywhere", Err(149)),
            (&["ones"], "", Err(149)),
            (&["ones", ""], "", Ok(Route::Embedded)),
            (&["%{GLOBAL}"], "", Ok(Route::Embedded)),
            (&["%{GLOBAL}"], "everywhere", Err(149)),
            (&[], "", Err(149)),
            (&[], "nobody", Err(149)),
        ] {
            let allowed: Vec<String> = allowed.iter().map(|name| (*name).to_owned()).collect();
            let facts = RoutingFacts {
                restrict: Some(&allowed),
                ..FACTS
            };
            assert_eq!(
                code(select(group, &facts, GROUPS)),
                expected,
                "{allowed:?} {group}"
            );
        }
    }

    /// ERR-01: the record names the group.
    #[test]
    fn records_name_the_group() {
        let record = select("nobody", &FACTS, GROUPS).unwrap_err().to_string();
        assert!(
            record.starts_with("WSGI0151: daemon process group 'nobody'"),
            "{record}"
        );
    }
}
