//! What may not be as intended. Nothing here is an error of the configuration: requests, or some of them, will not get what the
//! configuration seems to say.

use crate::config::{Alias, HandlerScript, Layer, NoticeLevel};
use crate::request::alias::match_alias;
use crate::request::routing::{self, GroupFacts, RoutingFacts, ServerFacts};

use super::exposed::in_document_root;
use super::taken::behind_mod_alias;
use super::{Description, Mount, Plan, Runs};

/// A warning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// How loud it is in the log.
    pub level: NoticeLevel,
    /// Text with its code.
    pub text: String,
}

/// A file or folder that a process has to be able to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// Absolute path.
    pub path: String,
    /// What it is, for people: `the script of WSGIScriptAlias /app (FILE:LINE)`.
    pub what: String,
    /// Index of the daemon group that reads it; None for Apache's children.
    pub group: Option<usize>,
    /// A folder that is also listed, such as a Python home.
    pub is_home: bool,
}

/// What was found about a [`Check`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Position in [`Plan::checks`].
    pub check: usize,
    /// Who cannot read it, for people.
    pub reader: String,
    /// Which component, and why.
    pub obstacle: String,
    /// Whether it is not there at all, which may change before it is needed.
    pub is_missing: bool,
}

/// The files that something in the configuration will read.
pub(super) fn checks(description: &Description<'_>, mounts: &[Mount]) -> Vec<Check> {
    let global = description.global;
    let index = |name: &str| {
        global
            .daemon_groups
            .iter()
            .position(|group| group.name == name)
    };
    let mut checks: Vec<Check> = Vec::new();
    let mut add = |path: &str, what: String, group: Option<usize>, is_home: bool| {
        let check = Check {
            path: path.to_owned(),
            what,
            group,
            is_home,
        };
        // A relative path is below nothing that is known here; a module is no path.
        if path.starts_with('/') && !checks.contains(&check) {
            checks.push(check);
        }
    };
    // Whole aliases first: of what is said twice, that stays.
    let (whole, parts): (Vec<&Mount>, Vec<&Mount>) =
        mounts.iter().partition(|mount| mount.section.is_none());
    for mount in whole.into_iter().chain(parts) {
        let group = match &mount.runs {
            Runs::Embedded => None,
            Runs::Group(name) => match index(name) {
                Some(index) => Some(index),
                None => continue,
            },
            Runs::AsRequested(_) => continue,
        };
        let what = format!("the script of {}", shown(mount));
        add(fixed_part(mount), what, group, false);
    }
    for script in &global.import_scripts {
        let group = match script.process_group.as_str() {
            "" => None,
            name => index(name),
        };
        let what = "a script that is loaded at start".to_owned();
        // That of an alias is among the mounts.
        if !mounts.iter().any(|mount| mount.target == script.script) {
            add(&script.script, what, group, false);
        }
    }
    for (layer, _) in layers(description) {
        for script in &layer.handler_scripts {
            if Runs::of(script.process_group.as_deref()) == Runs::Embedded {
                let what = format!("the script of WSGIHandlerScript {}", script.name);
                // Where the handler is used another WSGIProcessGroup may hold.
                if script.process_group.is_some() {
                    add(&script.path, what, None, false);
                }
            }
        }
        let hooks = [
            (&layer.access_script, "WSGIAccessScript"),
            (&layer.auth_user_script, "WSGIAuthUserScript"),
            (&layer.auth_group_script, "WSGIAuthGroupScript"),
            (&layer.dispatch_script, "WSGIDispatchScript"),
        ];
        for (script, directive) in hooks {
            if let Some(script) = script {
                add(
                    &script.path,
                    format!("the script of {directive}"),
                    None,
                    false,
                );
            }
        }
    }
    for (index, group) in global.daemon_groups.iter().enumerate() {
        let own = group.options.python_home.as_deref();
        if let Some(home) = own.or(global.python_home.as_deref()) {
            let what = format!("the Python home of daemon process group '{}'", group.name);
            add(home, what, Some(index), true);
        }
    }
    if let Some(home) = global
        .python_home
        .as_deref()
        .filter(|_| global.needs_embedded_python())
    {
        add(home, "WSGIPythonHome".to_owned(), None, true);
    }
    checks
}

/// The part of a target that is the same for all requests.
pub(super) fn fixed_part(mount: &Mount) -> &str {
    match mount.target.split_once('$') {
        Some((fixed, _)) if mount.is_match => match fixed.rsplit_once('/') {
            Some(("", _)) => "/",
            Some((folder, _)) => folder,
            None => fixed,
        },
        _ => &mount.target,
    }
}

/// A mount for people.
pub(super) fn shown(mount: &Mount) -> String {
    let directive = if mount.is_match {
        "WSGIScriptAliasMatch"
    } else {
        "WSGIScriptAlias"
    };
    let within = match &mount.section {
        Some(section) => format!(", within {section}"),
        None => String::new(),
    };
    format!("{directive} {} ({}){within}", mount.alias_url, mount.origin)
}

/// What each context says, with its place: servers' own levels, then sections.
fn layers<'d>(description: &'d Description<'_>) -> impl Iterator<Item = (&'d Layer, String)> {
    let servers = description
        .servers
        .iter()
        .map(|server| (&server.config.layer, server.shown.clone()));
    let sections = description.global.origins.sections.iter();
    servers.chain(sections.map(|section| {
        let place = format!(
            "<{} {}> ({})",
            section.kind, section.argument, section.origin
        );
        (&section.layer, place)
    }))
}

/// All warnings, without repetition.
pub(super) fn all(
    description: &Description<'_>,
    plan: &Plan,
    findings: &[Finding],
) -> Vec<Warning> {
    let mut all: Vec<Warning> = Vec::new();
    let mut add = |level, text| {
        let warning = Warning { level, text };
        if !all.contains(&warning) {
            all.push(warning);
        }
    };
    for text in unused_groups(description) {
        add(NoticeLevel::Notice, text);
    }
    for text in undefined_groups(description) {
        add(NoticeLevel::Warn, text);
    }
    for text in refused(description, plan) {
        add(NoticeLevel::Warn, text);
    }
    for text in in_services(description, plan) {
        add(NoticeLevel::Warn, text);
    }
    for text in shadowed(description, plan) {
        add(NoticeLevel::Warn, text);
    }
    for text in behind_mod_alias(description, plan) {
        add(NoticeLevel::Warn, text);
    }
    for text in in_document_root(description, plan) {
        add(NoticeLevel::Warn, text);
    }
    let mut told: Vec<(&str, &str, &str)> = Vec::new();
    for finding in findings {
        let Some(check) = plan.checks.get(finding.check) else {
            continue;
        };
        // Several aliases or groups may need the same file.
        let fact = (
            check.path.as_str(),
            finding.reader.as_str(),
            finding.obstacle.as_str(),
        );
        if told.contains(&fact) {
            continue;
        }
        told.push(fact);
        let Finding {
            reader, obstacle, ..
        } = finding;
        if finding.is_missing {
            let text = format!(
                "WSGI5035: {}, '{}', is not there: {obstacle}.",
                check.what, check.path
            );
            add(NoticeLevel::Notice, text);
        } else {
            let text = format!(
                "WSGI5032: {}, '{}', cannot be read by {reader}: {obstacle}.",
                check.what, check.path
            );
            add(NoticeLevel::Warn, text);
        }
    }
    all
}

/// Every value that chooses a process, with its place. Not for aliases.
fn choices<'d>(description: &'d Description<'_>) -> Vec<(&'d str, String)> {
    let mut found = Vec::new();
    for (layer, place) in layers(description) {
        let handlers = layer.handler_scripts.iter();
        let of_handlers =
            handlers.filter_map(|script: &HandlerScript| script.process_group.as_deref());
        for value in layer
            .process_group
            .as_deref()
            .into_iter()
            .chain(of_handlers)
        {
            found.push((value, place.clone()));
        }
    }
    found
}

/// Groups whose name stands nowhere.
fn unused_groups(description: &Description<'_>) -> Vec<String> {
    let global = description.global;
    let mut used: Vec<&str> = choices(description)
        .into_iter()
        .map(|(value, _)| value)
        .collect();
    let aliases = description
        .servers
        .iter()
        .flat_map(|server| &server.config.aliases);
    used.extend(aliases.filter_map(|alias: &Alias| alias.process_group.as_deref()));
    used.extend(
        global
            .import_scripts
            .iter()
            .map(|script| script.process_group.as_str()),
    );
    let chosen_at_request = used
        .iter()
        .any(|value| value.starts_with("%{") && *value != "%{GLOBAL}")
        || layers(description).any(|(layer, _)| layer.dispatch_script.is_some());
    if chosen_at_request {
        return Vec::new();
    }
    let unused = global
        .daemon_groups
        .iter()
        .enumerate()
        .filter(|(_, group)| !used.contains(&group.name.as_str()));
    unused
        .map(|(index, group)| {
            let origin = global.origins.groups.get(index).cloned().unwrap_or_default();
            format!(
                "WSGI5030: nothing uses the daemon process group '{}' ({origin}): no WSGIProcessGroup and no process-group= \
                 outside of .htaccess files names it. Its processes run all the same.",
                group.name
            )
        })
        .collect()
}

/// Names of groups that no WSGIDaemonProcess has; those of aliases are [`refused`].
fn undefined_groups(description: &Description<'_>) -> Vec<String> {
    let known = &description.global.daemon_groups;
    let choices = choices(description).into_iter();
    let unknown = choices.filter(|(value, _)| match Runs::of(Some(value)) {
        Runs::Group(name) => known.iter().all(|group| group.name != name),
        Runs::Embedded | Runs::AsRequested(_) => false,
    });
    unknown
        .map(|(value, place)| {
            format!(
                "WSGI5034: the process group '{value}' of {place} is defined by no WSGIDaemonProcess: requests that it holds for get 500."
            )
        })
        .collect()
}

/// Aliases whose requests are refused in every server that has them.
fn refused(description: &Description<'_>, plan: &Plan) -> Vec<String> {
    let mut found = Vec::new();
    for mount in &plan.mounts {
        let everywhere = plan
            .mounts
            .iter()
            .filter(|other| mount.is_same(other))
            .all(|other| refusal(description, other).is_some());
        if let Some(why) = refusal(description, mount).filter(|_| everywhere) {
            found.push(format!(
                "WSGI5034: requests for {} get 500: {why}.",
                shown(mount)
            ));
        }
    }
    found
}

/// Aliases of groups that take no requests (DP-112).
fn in_services(description: &Description<'_>, plan: &Plan) -> Vec<String> {
    let is_service = |name: &str| {
        let mut groups = description.global.daemon_groups.iter();
        groups.any(|group| group.name == name && group.options.threads == 0)
    };
    let mut found = Vec::new();
    for mount in &plan.mounts {
        let Runs::Group(name) = &mount.runs else {
            continue;
        };
        if is_service(name) {
            found.push(format!(
                "WSGI5221: requests for {} wait in vain and get 504: the daemon process group '{name}' has threads=0, so that it \
                 runs its import scripts and takes no requests.",
                shown(mount)
            ));
        }
    }
    found
}

fn refusal(description: &Description<'_>, mount: &Mount) -> Option<String> {
    let server = &description.servers[mount.server];
    let name = match &mount.runs {
        Runs::Embedded => "",
        Runs::Group(name) => name.as_str(),
        Runs::AsRequested(_) => return None,
    };
    let facts = RoutingFacts {
        restrict: mount.restrict.as_deref(),
        restrict_embedded: description.global.restrict_embedded.unwrap_or(false),
        has_python: true,
        server: ServerFacts {
            ordinal: server.ordinal as usize,
            name: server.name.as_deref(),
        },
    };
    let groups = description
        .global
        .daemon_groups
        .iter()
        .map(|group| GroupFacts {
            name: &group.name,
            server: ServerFacts {
                ordinal: group.server_ordinal as usize,
                name: group.server_name.as_deref(),
            },
        });
    let refused = routing::select(name, &facts, groups).err()?;
    Some(refused.text)
}

/// Aliases behind another one of the same server that takes all their URLs.
fn shadowed(description: &Description<'_>, plan: &Plan) -> Vec<String> {
    let mut found = Vec::new();
    for mount in plan.mounts.iter().filter(|mount| mount.section.is_none()) {
        let server = &description.servers[mount.server];
        // Where it is only inherited, the host's own aliases may well stand before it.
        if mount.written_in != server.ordinal {
            continue;
        }
        let aliases = &server.config.aliases;
        let Some(alias) = aliases.get(mount.alias) else {
            continue;
        };
        let earlier = aliases[..mount.alias]
            .iter()
            .position(|earlier| takes_all(earlier, alias));
        let Some(earlier) = earlier else { continue };
        let by = plan.mounts.iter().find(|other| {
            other.server == mount.server && other.alias == earlier && other.section.is_none()
        });
        if let Some(by) = by {
            found.push(format!(
                "WSGI5031: no request can reach {}: {} comes first and takes its URLs; write the more special one above.",
                shown(mount),
                shown(by)
            ));
        }
    }
    found
}

/// Expressions that match every URL.
const EVERYTHING: [&str; 8] = ["", "^", "/", "^/", ".*", "^.*", "^/.*", "^/(.*)"];

/// Whether `earlier` takes every URL that `later` could take. In doubt it does not.
pub(super) fn takes_all(earlier: &Alias, later: &Alias) -> bool {
    match (earlier.is_match, later.is_match) {
        (true, _) if EVERYTHING.contains(&earlier.url.as_str()) => true,
        (true, true) => earlier.url == later.url,
        (true, false) => false,
        (false, false) => match_alias(earlier.url.as_bytes(), later.url.as_bytes()).is_some(),
        (false, true) => {
            earlier.url == "/"
                || literal_folder(&later.url).is_some_and(|folder| {
                    match_alias(earlier.url.as_bytes(), folder.as_bytes()).is_some()
                })
        }
    }
}

/// The folder, up to its last slash, that all matches of an anchored expression lie in.
fn literal_folder(expression: &str) -> Option<&str> {
    let literal = expression
        .strip_prefix('^')
        .filter(|rest| !rest.contains('|'))?;
    let end = literal
        .find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '/' | '-' | '_')))
        .unwrap_or(literal.len());
    // What a quantifier follows is not certain.
    let certain = if literal[end..].starts_with(['?', '*', '{']) {
        end.saturating_sub(1)
    } else {
        end
    };
    let slash = literal[..certain].rfind('/')?;
    Some(&literal[..=slash])
}
