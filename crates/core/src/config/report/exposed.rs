//! Scripts that Apache also serves as text, because they are below the DocumentRoot of a server.
//!
//! What other directives do to such a file is judged as far as their arguments show it. A directive that may keep the source
//! from being served, and cannot be judged, counts as one that does. Pure.

use crate::request::alias::match_alias;

use super::plan::{Pattern, base_name, fits, folders, is_below, pattern};
use super::taken::takers;
use super::tree::{Directive, of_host, of_main};
use super::warnings::{fixed_part, shown};
use super::{Description, Mount, Plan, ServerView};

/// A file, or the folder of many, as a server would serve it.
struct Source<'d> {
    /// Absolute path.
    path: &'d str,
    /// File name; of many files with what differs left in it (`$1.wsgi`).
    name: &'d str,
    /// URL below the DocumentRoot.
    url: String,
    root: &'d str,
    matches: &'d dyn Fn(&str, &str) -> bool,
}

/// Scripts in the document root of any server that would serve them as they are.
pub(super) fn in_document_root(description: &Description<'_>, plan: &Plan) -> Vec<String> {
    let mut found = Vec::new();
    let mut seen: Vec<&Mount> = Vec::new();
    for mount in plan.mounts.iter().filter(|mount| mount.section.is_none()) {
        let path = fixed_part(mount);
        // A module is no file.
        if !path.starts_with('/') || seen.iter().any(|other| mount.is_same(other)) {
            continue;
        }
        seen.push(mount);
        let own = &description.servers[mount.server];
        let others = description.servers.iter();
        let others = others.filter(|server| server.ordinal != own.ordinal);
        let by = std::iter::once(own).chain(others).find_map(|server| {
            let source = source(description, server, mount, path)?;
            is_served(description, server, &source).then_some((server, source))
        });
        let Some((server, Source { root, url, .. })) = by else {
            continue;
        };
        let of = if server.ordinal == own.ordinal {
            String::new()
        } else {
            format!(" of the {}", server.shown)
        };
        found.push(format!(
            "WSGI5033: the script of {}, '{path}', is below the DocumentRoot '{root}'{of}: its source may be had as {url}; \
             move it elsewhere.",
            shown(mount)
        ));
    }
    found
}

fn source<'d>(
    description: &'d Description<'_>,
    server: &'d ServerView<'_>,
    mount: &'d Mount,
    path: &'d str,
) -> Option<Source<'d>> {
    let root = server.document_root.as_deref()?;
    if !is_below(path, root) {
        return None;
    }
    let below = path[root.trim_end_matches('/').len()..].trim_start_matches('/');
    Some(Source {
        path,
        name: base_name(&mount.target),
        url: format!("/{below}"),
        root,
        matches: description.matches,
    })
}

/// Whether a request for the file's URL gets its text, as far as that is known.
fn is_served(description: &Description<'_>, server: &ServerView<'_>, source: &Source<'_>) -> bool {
    let takes = |url: &str, is_match: bool| {
        if is_match {
            (source.matches)(url, &source.url)
        } else {
            match_alias(url.as_bytes(), source.url.as_bytes()).is_some()
        }
    };
    let mut aliases = server.config.aliases.iter();
    if aliases.any(|alias| takes(&alias.url, alias.is_match)) {
        return false;
    }
    let mut takers = takers(description, server).into_iter();
    if takers.any(|taker| takes(&taker.urls.url, taker.urls.is_match)) {
        return false;
    }
    let Some(own) = of_host(description, server) else {
        return false;
    };
    // mod_rewrite does not inherit, other modules do.
    let mut rules = match server.defined_at {
        Some(_) => own.iter().collect::<Vec<_>>(),
        None => of_main(description).collect(),
    }
    .into_iter();
    if rules.any(|rule| source.may_be_rewritten(rule)) {
        return false;
    }
    let mut all = own.iter().chain(of_main(description));
    !all.any(|directive| source.may_be_kept_by(directive, false))
}

impl Source<'_> {
    /// Whether this is a rule of mod_rewrite that makes something else of the URL; its conditions are not looked at.
    fn may_be_rewritten(&self, rule: &Directive) -> bool {
        let (Some(expression), Some(target)) = (rule.word(0), rule.word(1)) else {
            return false;
        };
        if !rule.is("RewriteRule") {
            return false;
        }
        let refuses = rule.word(2).is_some_and(|flags| flags.len() > 2);
        let is_met = match expression.strip_prefix('!') {
            Some(expression) => !(self.matches)(expression, &self.url),
            None => (self.matches)(expression, &self.url),
        };
        // `-` alone changes nothing; with flags it may forbid, or set a handler.
        is_met && (target != "-" || refuses)
    }

    /// Whether a directive keeps the text from being served, or may do so. `is_narrow`: it stands in a section that is about
    /// (a part of) the DocumentRoot; what is denied outside may be granted again there.
    fn may_be_kept_by(&self, directive: &Directive, is_narrow: bool) -> bool {
        if let Some(inner) = &directive.inner {
            let argument = directive.words.join(" ");
            return match self.holds(&directive.name, &argument) {
                None => false,
                Some(is_own) => inner
                    .iter()
                    .any(|directive| self.may_be_kept_by(directive, is_narrow || is_own)),
            };
        }
        let first = directive.word(0).unwrap_or_default();
        if directive.is("SetHandler") {
            !["none", "default-handler"]
                .iter()
                .any(|name| name.eq_ignore_ascii_case(first))
        } else if directive.is("AddHandler") {
            let mut extensions = directive.words.iter().skip(1);
            extensions.any(|extension| self.has_extension(extension))
        } else if directive.is("Require") {
            is_narrow && says(directive, ["all", "denied"])
        } else if directive.is("Deny") {
            is_narrow && says(directive, ["from", "all"])
        } else if directive.is("ProxyPass") {
            let target = directive.word(1);
            target.is_some_and(|target| target != "!")
                && match_alias(first.as_bytes(), self.url.as_bytes()).is_some()
        } else if directive.is("ProxyPassMatch") {
            (self.matches)(first, &self.url)
        } else {
            false
        }
    }

    /// Whether a section may hold for the file; if so, whether it is about (a part of) the DocumentRoot.
    fn holds(&self, kind: &str, argument: &str) -> Option<bool> {
        let holds = match pattern(kind, argument) {
            ("Directory", Pattern::Plain(folder)) => {
                return is_below(self.path, folder).then(|| is_below(folder, self.root));
            }
            ("Directory", Pattern::Glob(glob)) => {
                folders(self.path).any(|folder| fits(glob, folder))
            }
            ("Directory", Pattern::Regex(regex)) => folders(self.path)
                .any(|f| (self.matches)(regex, f) || (self.matches)(regex, &format!("{f}/"))),
            ("Files", Pattern::Plain(name)) => self.name == name,
            ("Files", Pattern::Glob(glob)) => fits(glob, self.name),
            ("Files", Pattern::Regex(regex)) => (self.matches)(regex, self.name),
            ("Location", Pattern::Plain(prefix)) => {
                match_alias(prefix.as_bytes(), self.url.as_bytes()).is_some()
            }
            ("Location", Pattern::Glob(glob)) => fits(glob, &self.url),
            ("Location", Pattern::Regex(regex)) => (self.matches)(regex, &self.url),
            (kind, _) => !["VirtualHost", "Proxy", "ProxyMatch"]
                .iter()
                .any(|other| other.eq_ignore_ascii_case(kind)),
        };
        holds.then_some(true)
    }

    /// Whether one of the name's extensions is this one, written with or without its dot.
    fn has_extension(&self, wanted: &str) -> bool {
        let wanted = wanted.trim_start_matches('.');
        let mut extensions = self.name.split('.').skip(1);
        extensions.any(|extension| extension.eq_ignore_ascii_case(wanted))
    }
}

fn says(directive: &Directive, words: [&str; 2]) -> bool {
    let given = directive.words.iter().take(2);
    directive.words.len() >= 2
        && given
            .zip(words)
            .all(|(given, word)| given.eq_ignore_ascii_case(word))
}
