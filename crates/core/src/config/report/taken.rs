//! URLs that mod_alias takes: it is asked before us, wherever its directives stand (DIR-010).
//!
//! Only what stands at the top of a server counts here. An `Alias` or `Redirect` of a section holds for some requests, or comes
//! later. Pure; in doubt an alias is taken to be reachable.

use crate::config::Alias;

use super::tree::{Directive, of_host, of_main};
use super::warnings::{shown, takes_all};
use super::{Description, Mount, Plan, ServerView};

/// A directive of mod_alias that takes URLs.
pub(super) struct Taker<'d> {
    directive: &'d Directive,
    /// What it takes, as if it were one of ours.
    pub(super) urls: Alias,
}

/// Those of a server, in no order that matters: its own and, as in mod_alias, the main server's.
pub(super) fn takers<'d>(
    description: &'d Description<'_>,
    server: &ServerView<'_>,
) -> Vec<Taker<'d>> {
    let own = of_host(description, server).unwrap_or_default();
    let all = own.iter().chain(of_main(description));
    all.filter_map(|directive| {
        let (url, is_match) = url_of(directive)?;
        let urls = Alias {
            url: url.to_owned(),
            is_match,
            ..Alias::default()
        };
        Some(Taker { directive, urls })
    })
    .collect()
}

/// The URL or expression that a directive takes.
fn url_of(directive: &Directive) -> Option<(&str, bool)> {
    if directive.inner.is_some() {
        return None;
    }
    let is_match = directive.name.to_ascii_lowercase().ends_with("match");
    let first = directive.word(0)?;
    let is_alias = ["Alias", "AliasMatch", "ScriptAlias", "ScriptAliasMatch"]
        .iter()
        .any(|name| directive.is(name));
    let is_redirect = [
        "Redirect",
        "RedirectMatch",
        "RedirectTemp",
        "RedirectPermanent",
    ]
    .iter()
    .any(|name| directive.is(name));
    if is_alias {
        // One argument alone belongs to a section.
        directive.word(1).map(|_| (first, is_match))
    } else if is_redirect {
        let is_status = ["permanent", "temp", "seeother", "gone"]
            .iter()
            .any(|word| word.eq_ignore_ascii_case(first))
            || first.starts_with(|c: char| c.is_ascii_digit());
        let url = if is_status { directive.word(1)? } else { first };
        Some((url, is_match))
    } else {
        None
    }
}

/// Aliases behind mod_alias in every server that has them.
pub(super) fn behind_mod_alias(description: &Description<'_>, plan: &Plan) -> Vec<String> {
    let servers = description.servers.iter();
    let takers: Vec<Vec<Taker<'_>>> = servers.map(|server| takers(description, server)).collect();
    let taker = |mount: &Mount| -> Option<&Taker<'_>> {
        let aliases = &description.servers[mount.server].config.aliases;
        let alias = aliases.get(mount.alias)?;
        takers[mount.server]
            .iter()
            .find(|taker| takes_all(&taker.urls, alias))
    };
    let mut found = Vec::new();
    let mounts = || plan.mounts.iter().filter(|mount| mount.section.is_none());
    for mount in mounts() {
        let Some(by) = taker(mount) else { continue };
        let everywhere = mounts()
            .filter(|other| mount.is_same(other))
            .all(|other| taker(other).is_some());
        if everywhere {
            found.push(format!(
                "WSGI5031: no request can reach {}: {} {} ({}) takes its URLs, and mod_alias comes first wherever it is written; \
                 give one of them another URL.",
                shown(mount),
                by.directive.name,
                by.urls.url,
                by.directive.origin
            ));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn directive(line: &str) -> Directive {
        let mut words = line.split(' ').map(str::to_owned);
        Directive {
            name: words.next().unwrap(),
            words: words.collect(),
            ..Directive::default()
        }
    }

    #[test]
    fn arguments_of_mod_alias() {
        for (line, url) in [
            ("Alias /a /srv", Some(("/a", false))),
            ("alias /a /srv", Some(("/a", false))),
            ("Alias /srv", None),
            ("ScriptAliasMatch ^/a /srv", Some(("^/a", true))),
            ("Redirect /a http://b/", Some(("/a", false))),
            ("Redirect Gone /a", Some(("/a", false))),
            ("Redirect 404 /a", Some(("/a", false))),
            ("Redirect permanent", None),
            ("Redirect permanent /a http://b/", Some(("/a", false))),
            ("RedirectMatch 303 ^/a http://b/", Some(("^/a", true))),
            ("RedirectPermanent /a http://b/", Some(("/a", false))),
            ("AliasPreservePath on x", None),
            ("ProxyPass /a http://b/", None),
            ("Alias", None),
        ] {
            assert_eq!(url_of(&directive(line)), url, "{line}");
        }
    }
}
