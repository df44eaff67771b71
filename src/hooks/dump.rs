//! `httpd -t` and `httpd -t -D DUMP_WSGI`: what is configured, and what may not be as intended; the latter also at start.
//!
//! In the httpd parent, when the configuration has been read. The words are those of `wsgi_core::config::report`; here the facts
//! are gathered. Files are only looked at from outside (`wsgi_sys::access`): nothing is opened.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use nix::unistd::{Gid, getegid, getgroups};
use wsgi_core::config::report::{
    self, Check, Description, Finding, Plan, ProcessView, ServerView, Warning,
};
use wsgi_core::config::{DaemonGroup, Global, Origin};
use wsgi_sys::access::{self, Goal, Obstacle, Reader};
use wsgi_sys::passwd;

use crate::apache::{self, Regex, Server, log, process};
use crate::config;
use crate::installed::{self, Wanted};

/// The define that asks for the report, as `DUMP_VHOSTS` asks httpd for its own.
const DEFINE: &std::ffi::CStr = c"DUMP_WSGI";

/// Hook test_config: the report on the terminal if it was asked for, else the warnings.
pub(super) fn tested(main: &Server<'_>) {
    if print_if_wanted(main) {
        return;
    }
    with_plan(main, |description, plan, findings| {
        for Warning { level, text } in report::warnings(description, plan, findings) {
            log::startup(config::level_of(level), text);
        }
    });
}

/// Prints the report if this is `httpd -t` and it was asked for; whether it was.
pub(super) fn print_if_wanted(main: &Server<'_>) -> bool {
    let is_wanted = process::is_configuration_test() && process::is_defined(DEFINE);
    if is_wanted {
        with_plan(main, |description, plan, findings| {
            for line in report::report(description, plan, findings) {
                println!("{line}");
            }
        });
    }
    is_wanted
}

/// At start: the warnings, in the log.
pub(super) fn log_warnings(main: &Server<'_>) {
    with_plan(main, |description, plan, findings| {
        for Warning { level, text } in report::warnings(description, plan, findings) {
            main.log(config::level_of(level), text);
        }
    });
}

fn with_plan(main: &Server<'_>, tell: impl FnOnce(&Description<'_>, &Plan, &[Finding])) {
    let global = config::global(main);
    let identities = Identities::new(global);
    let matches = |expression: &str, text: &str| {
        let found = Regex::new(expression.as_bytes()).map(|regex| regex.find(text.as_bytes()));
        matches!(found, Ok(Some(_)))
    };
    let groups = global.daemon_groups.iter().enumerate();
    let description = Description {
        global,
        servers: main.list().map(|server| view(&server)).collect(),
        children: identities.view(None, python(global, None)),
        groups: groups
            .map(|(index, group)| identities.view(Some(index), python(global, Some(group))))
            .collect(),
        tree: noted(apache::Directive::all(main)),
        matches: &matches,
    };
    let plan = Plan::of(&description);
    let checks = plan.checks.iter().enumerate();
    let findings: Vec<Finding> = checks
        .filter_map(|(index, check)| identities.find(global, index, check))
        .collect();
    tell(&description, &plan, &findings);
}

/// What the report needs of httpd's tree, as its own.
fn noted<'s>(directives: impl Iterator<Item = apache::Directive<'s>>) -> Vec<report::Directive> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let mut found = Vec::new();
    for directive in directives {
        let name = text(directive.name());
        if !directive.is_section() && !report::Directive::is_wanted(&name) {
            continue;
        }
        let inner = directive.is_section().then(|| noted(directive.inner()));
        // Sections are many; most have nothing to tell.
        if name != "VirtualHost" && inner.as_ref().is_some_and(Vec::is_empty) {
            continue;
        }
        let (file, line) = directive.place();
        found.push(report::Directive {
            name,
            words: directive.words().iter().map(|word| text(word)).collect(),
            origin: Origin {
                file: text(file),
                line,
            },
            inner,
        });
    }
    found
}

fn view<'s>(server: &Server<'s>) -> ServerView<'s> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let name = server.hostname().map(text);
    let shown = match (server.is_virtual(), server.defined_at()) {
        (false, _) => "main server".to_owned(),
        (true, at) => {
            let name = name.as_deref().unwrap_or("without ServerName");
            let (file, line) = at.unwrap_or((b"", 0));
            format!("virtual host {name} ({}:{line})", text(file))
        }
    };
    ServerView {
        ordinal: server.ordinal(),
        name,
        shown,
        config: &config::server(server).config,
        document_root: server.document_root().map(text),
        defined_at: server.defined_at().map(|(file, line)| Origin {
            file: text(file),
            line,
        }),
    }
}

/// The Python of a group's daemons, or of Apache's children.
fn python(global: &Global, group: Option<&DaemonGroup>) -> String {
    if group.is_none() && !global.needs_embedded_python() {
        return "is not started (WSGIRestrictEmbedded)".to_owned();
    }
    let folders = installed::folders(global.runtime_directory.as_deref());
    match installed::runtime(&folders, Wanted::of(global, group)) {
        Ok(found) => {
            let path = found.path.display();
            match group.and_then(|_| installed::python_executable(&folders, &found).ok()?) {
                Some(python) => format!("{} ({path} in {})", found.version, python.path.display()),
                None => format!("{} ({path})", found.version),
            }
        }
        Err(error) => format!("cannot be started: {error}"),
    }
}

/// Apache was not started by root: all processes stay what the parent is.
fn own() -> Reader {
    Reader {
        uid: wsgi_sys::process::effective_uid(),
        gid: getegid().as_raw(),
        groups: getgroups()
            .map(|groups| groups.into_iter().map(Gid::as_raw).collect())
            .unwrap_or_default(),
    }
}

/// Who the processes are.
struct Identities {
    children: Reader,
    groups: Vec<Reader>,
}

impl Identities {
    fn new(global: &Global) -> Identities {
        let apache = process::identity();
        let is_root = wsgi_sys::process::effective_uid() == 0;
        let mut known: HashMap<(String, u32), Vec<u32>> = HashMap::new();
        let mut reader = |uid: u32, user: &str, gid: u32, exact: Option<&Vec<u32>>| {
            if !is_root {
                return own();
            }
            let groups = match exact {
                Some(groups) => groups.clone(),
                None => known
                    .entry((user.to_owned(), gid))
                    .or_insert_with(|| passwd::groups_of(user, gid).unwrap_or_default())
                    .clone(),
            };
            Reader { uid, gid, groups }
        };
        let apache_user = String::from_utf8_lossy(&apache.user).into_owned();
        let children = reader(apache.uid, &apache_user, apache.gid, None);
        let groups = global.daemon_groups.iter().map(|group| {
            let options = &group.options;
            let (uid, user) = match &options.user {
                Some(account) => (account.id, account.name.as_str()),
                None => (apache.uid, apache_user.as_str()),
            };
            let gid = options
                .group
                .as_ref()
                .map_or(apache.gid, |account| account.id);
            reader(uid, user, gid, options.supplementary_groups.as_ref())
        });
        let groups = groups.collect();
        Identities { children, groups }
    }

    fn reader(&self, group: Option<usize>) -> &Reader {
        group
            .and_then(|index| self.groups.get(index))
            .unwrap_or(&self.children)
    }

    fn view(&self, group: Option<usize>, python: String) -> ProcessView {
        let Reader { uid, gid, .. } = self.reader(group);
        let name = passwd::group_by_id(*gid).ok().flatten();
        ProcessView {
            python,
            user: passwd::describe_user(*uid),
            group: match name {
                Some(entry) => format!("group '{}' (gid {gid})", entry.name),
                None => format!("gid {gid}"),
            },
        }
    }

    /// What keeps the process from what it has to read; Apache's children also have to find a daemon's script.
    fn find(&self, global: &Global, index: usize, check: &Check) -> Option<Finding> {
        let chroot = check
            .group
            .and_then(|index| global.daemon_groups[index].options.chroot.as_deref());
        let goal = if check.is_home {
            Goal::Folder
        } else {
            Goal::Read
        };
        let root = PathBuf::from(chroot.unwrap_or("/"));
        let path = Path::new(&check.path);
        // Scripts are named by their paths outside (DMN-262); what lies beyond is refused anyway.
        let inside = if check.is_home {
            path.to_owned()
        } else {
            Path::new("/").join(path.strip_prefix(&root).ok()?)
        };
        let own = self.reader(check.group);
        let of_own = access::obstacle(&root, &inside, own, goal, &access::look);
        let found = match of_own {
            Some(obstacle) => Some((own, obstacle)),
            None if check.group.is_some() && !check.is_home => {
                let reader = &self.children;
                access::obstacle(Path::new("/"), path, reader, Goal::Reach, &access::look)
                    .map(|obstacle| (reader, obstacle))
            }
            None => None,
        };
        let (reader, obstacle) = found?;
        // The rest of such a target is PATH_INFO.
        if matches!(obstacle, Obstacle::NotAFolder(_)) && !check.is_home {
            return None;
        }
        let label = access::label(obstacle.component());
        Some(Finding {
            check: index,
            reader: passwd::describe_user(reader.uid),
            is_missing: matches!(obstacle, Obstacle::Missing(_)),
            obstacle: match label {
                Some(label) => format!("{obstacle} (SELinux label {label})"),
                None => obstacle.to_string(),
            },
        })
    }
}
