//! Where each URL prefix runs: aliases with the sections that apply to them, as far as the configuration alone says it
//! (`.htaccess` files, `<If>` and variables of requests are only known with a request).

use crate::config::{Alias, Effective, Layer, Origin, Section};
use crate::request::alias::match_alias;

use super::doubts::doubts;
use super::{Check, Description, ServerView};

/// The process that something runs in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Runs {
    /// An Apache child.
    Embedded,
    /// A daemon of the group with this name.
    Group(String),
    /// What this value means for a request.
    AsRequested(String),
}

impl Runs {
    /// For the value of WSGIProcessGroup or `process-group=`.
    pub fn of(value: Option<&str>) -> Runs {
        match value {
            None | Some("" | "%{GLOBAL}") => Runs::Embedded,
            Some(value) if value.starts_with("%{") => Runs::AsRequested(value.to_owned()),
            Some(value) => Runs::Group(value.to_owned()),
        }
    }
}

/// A URL prefix, or a regular expression, with what runs there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// Position of the server in [`Description::servers`].
    pub server: usize,
    /// Position of the alias in the server's list.
    pub alias: usize,
    /// URL prefix or expression: the alias's, or that of a section below it.
    pub url: String,
    /// URL prefix or expression of the alias, as written.
    pub alias_url: String,
    /// Whether `url` is an expression.
    pub is_match: bool,
    /// File.
    pub target: String,
    /// Where the alias is written.
    pub origin: Origin,
    /// Ordinal of the server in which it is written.
    pub written_in: u32,
    /// The section that makes this part of the alias's URLs differ.
    pub section: Option<String>,
    /// Process.
    pub runs: Runs,
    /// Interpreter as written; empty is the main one.
    pub application_group: String,
    /// Callable as written.
    pub callable: Option<String>,
    /// WSGIRestrictProcess.
    pub restrict: Option<Vec<String>>,
    /// Script that chooses for each request.
    pub dispatch: Option<String>,
    /// Sections that hold for some of its requests only.
    pub doubts: Vec<String>,
}

impl Mount {
    /// Whether it is the same line of the configuration, perhaps in another server that inherits it.
    pub(super) fn is_same(&self, other: &Mount) -> bool {
        self.origin == other.origin && self.url == other.url && self.written_in == other.written_in
    }
}

/// What [`super::report`] works with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Mount points, server by server, in the order in which aliases are tried.
    pub mounts: Vec<Mount>,
    /// Files to look at.
    pub checks: Vec<Check>,
}

impl Plan {
    /// Works it out.
    pub fn of(description: &Description<'_>) -> Plan {
        let mut mounts = Vec::new();
        for (position, server) in description.servers.iter().enumerate() {
            let origins = origins(description, server);
            for (index, alias) in server.config.aliases.iter().enumerate() {
                let (written_in, origin) = origins.get(index).cloned().unwrap_or_default();
                let mount = |section: Option<&Section>, url: &str| {
                    let layer = layer_for(description, server, url, alias);
                    let effective = Effective::new(&server.config.layer, Some(&layer));
                    let process = alias.process_group.as_deref();
                    let application = alias.application_group.as_deref();
                    Mount {
                        server: position,
                        alias: index,
                        url: url.to_owned(),
                        alias_url: alias.url.clone(),
                        is_match: alias.is_match,
                        target: alias.target.clone(),
                        origin: origin.clone(),
                        written_in,
                        section: section.map(shown_section),
                        runs: Runs::of(process.or_else(|| effective.process_group())),
                        application_group: application
                            .or_else(|| effective.application_group())
                            .unwrap_or("%{RESOURCE}")
                            .to_owned(),
                        callable: alias
                            .callable_object
                            .as_deref()
                            .or_else(|| effective.callable_object())
                            .map(str::to_owned),
                        dispatch: effective
                            .dispatch_script()
                            .map(|script| script.path.clone()),
                        doubts: Vec::new(),
                        restrict: effective.restrict_process().map(<[String]>::to_vec),
                    }
                };
                let mut whole = mount(None, &alias.url);
                whole.doubts = doubts(description, server, alias);
                for section in below(description, server, alias) {
                    let part = mount(Some(section), &section.argument);
                    let same = part.runs == whole.runs
                        && part.application_group == whole.application_group
                        && part.callable == whole.callable
                        && part.dispatch == whole.dispatch
                        && part.restrict == whole.restrict;
                    if !same {
                        mounts.push(part);
                    }
                }
                mounts.push(whole);
            }
        }
        let checks = super::warnings::checks(description, &mounts);
        Plan { mounts, checks }
    }
}

/// `<Location /x> (FILE:LINE)`.
pub(super) fn shown_section(section: &Section) -> String {
    format!(
        "<{} {}> ({})",
        section.kind, section.argument, section.origin
    )
}

/// Where the aliases of a server are written: its own come first, then the main server's (MRG-06).
fn origins(description: &Description<'_>, server: &ServerView<'_>) -> Vec<(u32, Origin)> {
    let noted = &description.global.origins.aliases;
    let of = |ordinal: u32| noted.iter().filter(move |(number, _)| *number == ordinal);
    let mut all: Vec<(u32, Origin)> = of(server.ordinal).cloned().collect();
    if server.ordinal != 0 {
        all.extend(of(0).cloned());
    }
    all
}

/// What the sections say about an alias at `url`, inner over outer as httpd merges them (MRG-03): folders from the shortest on,
/// their expressions, files, URLs.
fn layer_for(
    description: &Description<'_>,
    server: &ServerView<'_>,
    url: &str,
    alias: &Alias,
) -> Layer {
    let applies = |section: &&Section| {
        (section.server_ordinal == 0 || section.server_ordinal == server.ordinal)
            && section_applies(section, url, alias, description.matches)
    };
    let mut found: Vec<&Section> = sections(description, server).filter(applies).collect();
    found.sort_by_key(|section| rank(section));
    found.iter().fold(Layer::default(), |layer, section| {
        Layer::merge(&layer, &section.layer)
    })
}

/// The sections of the main server, then those of the virtual host.
pub(super) fn sections<'d>(
    description: &'d Description<'_>,
    server: &ServerView<'_>,
) -> impl Iterator<Item = &'d Section> {
    let all = &description.global.origins.sections;
    let own = server.ordinal;
    let main = all.iter().filter(|section| section.server_ordinal == 0);
    let host = all
        .iter()
        .filter(move |section| own != 0 && section.server_ordinal == own);
    main.chain(host)
}

/// Order of merging: the stage, and for plain folders the number of components.
fn rank(section: &Section) -> (u8, usize) {
    match pattern(&section.kind, &section.argument) {
        ("Directory", Pattern::Regex(_)) => (1, 0),
        ("Directory", Pattern::Plain(path) | Pattern::Glob(path)) => {
            (0, path.split('/').filter(|part| !part.is_empty()).count())
        }
        ("Files", _) => (2, 0),
        _ => (3, 0),
    }
}

/// The sections whose arguments say what they hold for.
const KINDS: [&str; 6] = [
    "Directory",
    "DirectoryMatch",
    "Files",
    "FilesMatch",
    "Location",
    "LocationMatch",
];

/// How the argument of a section is matched.
pub(super) enum Pattern<'s> {
    Plain(&'s str),
    Glob(&'s str),
    Regex(&'s str),
}

/// Kind without `Match`, and the argument without quotes and `~`.
pub(super) fn pattern<'s>(kind: &'s str, argument: &'s str) -> (&'s str, Pattern<'s>) {
    let argument = unquoted(argument);
    // httpd takes names of sections in any case.
    let kind = KINDS
        .into_iter()
        .find(|known| known.eq_ignore_ascii_case(kind))
        .unwrap_or(kind);
    if let Some(base) = kind.strip_suffix("Match") {
        return (base, Pattern::Regex(argument));
    }
    if let Some(expression) = argument.strip_prefix('~') {
        return (kind, Pattern::Regex(unquoted(expression)));
    }
    if argument.contains(['*', '?', '[']) {
        (kind, Pattern::Glob(argument))
    } else {
        (kind, Pattern::Plain(argument))
    }
}

fn unquoted(text: &str) -> &str {
    let text = text.trim();
    let inner = |quote| text.strip_prefix(quote)?.strip_suffix(quote);
    inner('"').or_else(|| inner('\'')).unwrap_or(text)
}

/// Whether a section and those around it hold for an alias at `url`.
pub(super) fn section_applies(
    section: &Section,
    url: &str,
    alias: &Alias,
    matches: &dyn Fn(&str, &str) -> bool,
) -> bool {
    let outer = section.within.iter();
    covers(&section.kind, &section.argument, url, alias, matches)
        && outer
            .filter(|(kind, _)| !kind.eq_ignore_ascii_case("VirtualHost"))
            .all(|(kind, argument)| covers(kind, argument, url, alias, matches))
}

fn covers(
    kind: &str,
    argument: &str,
    url: &str,
    alias: &Alias,
    matches: &dyn Fn(&str, &str) -> bool,
) -> bool {
    let target = alias.target.as_str();
    match pattern(kind, argument) {
        // A module is no file.
        ("Directory" | "Files", _) if alias.module.is_some() => false,
        ("Directory", Pattern::Plain(folder)) => is_below(target, folder),
        ("Directory", Pattern::Glob(glob)) => folders(target).any(|folder| fits(glob, folder)),
        ("Directory", Pattern::Regex(regex)) => folders(target).any(|f| matches(regex, f)),
        ("Files", Pattern::Plain(name)) => base_name(target) == name,
        ("Files", Pattern::Glob(glob)) => fits(glob, base_name(target)),
        ("Files", Pattern::Regex(regex)) => matches(regex, base_name(target)),
        // What an expression matches is not one URL.
        ("Location", _) if alias.is_match => false,
        ("Location", Pattern::Plain(prefix)) => {
            match_alias(prefix.as_bytes(), url.as_bytes()).is_some()
        }
        ("Location", Pattern::Glob(glob)) => fits(glob, url),
        ("Location", Pattern::Regex(regex)) => matches(regex, url),
        // `<If>`, `<Proxy>` and others: known with a request only.
        _ => false,
    }
}

/// The plain `<Location>` sections whose URL lies below that of the alias.
fn below<'d>(
    description: &'d Description<'_>,
    server: &ServerView<'_>,
    alias: &Alias,
) -> Vec<&'d Section> {
    let lies_below = |section: &&Section| match pattern(&section.kind, &section.argument) {
        ("Location", Pattern::Plain(prefix)) => {
            prefix.len() > alias.url.len()
                && match_alias(alias.url.as_bytes(), prefix.as_bytes()).is_some()
        }
        _ => false,
    };
    if alias.is_match {
        return Vec::new();
    }
    sections(description, server).filter(lies_below).collect()
}

/// Whether `path` is `folder` or lies below it, by their texts.
pub(super) fn is_below(path: &str, folder: &str) -> bool {
    let folder = folder.trim_end_matches('/');
    path.strip_prefix(folder)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// The folders on the way to a file, from the root on.
pub(super) fn folders(path: &str) -> impl Iterator<Item = &str> {
    path.match_indices('/').map(|(end, _)| match end {
        0 => "/",
        _ => &path[..end],
    })
}

/// What follows the last slash.
pub(super) fn base_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// `*` and `?` stand for anything but a slash, `[...]` for one of a set.
pub(super) fn fits(glob: &str, text: &str) -> bool {
    let mut characters = glob.chars();
    let Some(first) = characters.next() else {
        return text.is_empty();
    };
    let rest = characters.as_str();
    let next = text.chars().next().filter(|next| *next != '/');
    let behind = |length: usize| &text[length..];
    match (first, next) {
        ('*', _) => fits(rest, text) || next.is_some_and(|c| fits(glob, behind(c.len_utf8()))),
        ('?', Some(c)) => fits(rest, behind(c.len_utf8())),
        ('[', Some(c)) => match rest.split_once(']') {
            Some((set, rest)) => in_set(set, c) && fits(rest, behind(c.len_utf8())),
            None => false,
        },
        ('?' | '[', None) => false,
        (literal, _) => text
            .strip_prefix(literal)
            .is_some_and(|text| fits(rest, text)),
    }
}

fn in_set(set: &str, wanted: char) -> bool {
    let (negated, set) = match set.strip_prefix(['!', '^']) {
        Some(set) => (true, set),
        None => (false, set),
    };
    let set: Vec<char> = set.chars().collect();
    let single = set.contains(&wanted) && wanted != '-';
    let ranges = set
        .windows(3)
        .any(|range| range[1] == '-' && (range[0]..=range[2]).contains(&wanted));
    (single || ranges) != negated
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs() {
        for (glob, text, fit) in [
            ("/srv/*/app", "/srv/a/app", true),
            ("/srv/*", "/srv/a/b", false),
            ("*.wsgi", "x.wsgi", true),
            ("?.[a-w]sgi", "x.wsgi", true),
            ("[!x]", "x", false),
            ("", "", true),
            ("?", "", false),
        ] {
            assert_eq!(fits(glob, text), fit, "{glob} {text}");
        }
    }

    #[test]
    fn folders_of_a_path() {
        let all: Vec<&str> = folders("/srv/a/x.wsgi").collect();
        assert_eq!(all, ["/", "/srv", "/srv/a"]);
        assert!(is_below("/srv/a", "/srv/") && is_below("/srv", "/srv"));
        assert!(!is_below("/srv2", "/srv") && is_below("/x", "/"));
    }
}
