//! What the configuration alone does not say about an alias: sections that hold for some of its URLs only, or for some requests.
//! In the httpd parent, for the report.

use crate::config::{Alias, Layer, Section};

use super::Description;
use super::ServerView;
use super::plan::{Pattern, is_below, pattern, section_applies, sections, shown_section};

/// The sections by which some requests of `alias` may run elsewhere than its others do. Plain `<Location>` sections below a plain
/// alias are mount points of their own.
pub(super) fn doubts(
    description: &Description<'_>,
    server: &ServerView<'_>,
    alias: &Alias,
) -> Vec<String> {
    sections(description, server)
        .filter(|section| decides(&section.layer, alias))
        .filter(|section| !section_applies(section, &alias.url, alias, description.matches))
        .filter(|section| may_apply(section, alias))
        .map(shown_section)
        .collect()
}

/// Whether what a section says counts for an alias, whose own options go first (MRG-10).
fn decides(layer: &Layer, alias: &Alias) -> bool {
    (alias.process_group.is_none() && layer.process_group.is_some())
        || (alias.application_group.is_none() && layer.application_group.is_some())
        || (alias.callable().is_none() && layer.callable_object.is_some())
        || layer.restrict_process.is_some()
        || layer.dispatch_script.is_some()
}

fn may_apply(section: &Section, alias: &Alias) -> bool {
    let outer = section.within.iter();
    // A mount point of its own.
    if !alias.is_match
        && matches!(
            pattern(&section.kind, &section.argument),
            ("Location", Pattern::Plain(_))
        )
    {
        return false;
    }
    may_cover(&section.kind, &section.argument, alias)
        && outer
            .filter(|(kind, _)| !kind.eq_ignore_ascii_case("VirtualHost"))
            .all(|(kind, argument)| may_cover(kind, argument, alias))
}

fn may_cover(kind: &str, argument: &str, alias: &Alias) -> bool {
    let target = alias.target.as_str();
    let is_open = target.ends_with('/') || (alias.is_match && target.contains('$'));
    match pattern(kind, argument) {
        ("Directory" | "Files", _) if alias.module.is_some() => false,
        ("Location", Pattern::Plain(prefix)) if !alias.is_match => {
            is_below(&alias.url, prefix) || is_below(prefix, &alias.url)
        }
        ("Location", Pattern::Plain(prefix)) => overlap(prefix, literal(&alias.url)),
        ("Location", Pattern::Glob(text) | Pattern::Regex(text)) => {
            let url = match alias.is_match {
                true => literal(&alias.url),
                false => &alias.url,
            };
            overlap(literal(text), url)
        }
        ("Directory", Pattern::Plain(folder)) if alias.is_match => overlap(folder, literal(target)),
        ("Directory", Pattern::Plain(folder)) => {
            is_below(folder, target) || is_below(target, folder)
        }
        ("Directory" | "Files", _) => is_open,
        (kind, _) => ["If", "ElseIf", "Else"]
            .iter()
            .any(|known| known.eq_ignore_ascii_case(kind)),
    }
}

/// The beginning that all texts that fit have; empty where that is not certain.
fn literal(expression: &str) -> &str {
    let anchored = expression.strip_prefix('^').unwrap_or(expression);
    if !anchored.starts_with('/') || anchored.contains('|') {
        return "";
    }
    let end = anchored
        .find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '/' | '-' | '_')))
        .unwrap_or(anchored.len());
    // What a quantifier follows is not certain.
    match anchored[end..].starts_with(['?', '*', '{']) {
        true => &anchored[..end.saturating_sub(1)],
        false => &anchored[..end],
    }
}

/// Whether one is the beginning of the other.
fn overlap(one: &str, other: &str) -> bool {
    one.starts_with(other) || other.starts_with(one)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_expression_begins_with() {
        for (expression, begin) in [
            ("^/app/x", "/app/x"),
            ("^/app/?", "/app"),
            ("/app/*", "/app"),
            ("^/a|/b", ""),
            ("app", ""),
            ("^/app/.*", "/app/"),
        ] {
            assert_eq!(literal(expression), begin, "{expression}");
        }
    }

    #[test]
    fn sections_that_hold_for_a_part() {
        let app = Alias {
            url: "/app".into(),
            target: "/srv/app".into(),
            ..Alias::default()
        };
        let expression = Alias {
            is_match: true,
            url: "^/m/(.*)".into(),
            target: "/srv/m/$1.wsgi".into(),
            ..Alias::default()
        };
        for (kind, argument, plain, matched) in [
            ("LocationMatch", "^/app/x", true, false),
            ("Location", "/app/x*", true, false),
            ("LocationMatch", "x$", true, true),
            ("Location", "/m/x", false, true),
            ("Location", "/other", false, false),
            ("Directory", "/srv/app/sub", true, false),
            ("Directory", "/srv/m/a", false, true),
            ("Directory", "/usr", false, false),
            ("Files", "x.wsgi", false, true),
            ("If", "true", true, true),
            ("Proxy", "*", false, false),
        ] {
            assert_eq!(may_cover(kind, argument, &app), plain, "{kind} {argument}");
            let found = may_cover(kind, argument, &expression);
            assert_eq!(found, matched, "{kind} {argument}");
        }
        let layer = Layer {
            process_group: Some("x".into()),
            ..Layer::default()
        };
        assert!(decides(&layer, &app));
        let own = Alias {
            process_group: Some("y".into()),
            ..app
        };
        assert!(!decides(&layer, &own));
    }
}
