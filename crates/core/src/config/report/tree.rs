//! What other modules' directives say, as far as it decides whether our aliases get requests and who else serves their scripts.
//!
//! Pure. `<IfModule>`, `<IfDefine>`, `Include` and macros are resolved before: httpd's tree has what holds.

use crate::config::Origin;

use super::{Description, ServerView};

/// A directive, or a section with what stands in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Directive {
    /// Name without `<`; httpd takes it in any case.
    pub name: String,
    /// Its arguments, without quotes; for a section without `>`.
    pub words: Vec<String>,
    /// Where it is written.
    pub origin: Origin,
    /// The directives of a section; None for what is no section.
    pub inner: Option<Vec<Directive>>,
}

/// The directives that the warnings look at. All sections are needed as well.
const WANTED: [&str; 15] = [
    "Alias",
    "AliasMatch",
    "ScriptAlias",
    "ScriptAliasMatch",
    "Redirect",
    "RedirectMatch",
    "RedirectTemp",
    "RedirectPermanent",
    "SetHandler",
    "AddHandler",
    "Require",
    "Deny",
    "RewriteRule",
    "ProxyPass",
    "ProxyPassMatch",
];

impl Directive {
    /// Whether a directive of this name is worth noting down.
    pub fn is_wanted(name: &str) -> bool {
        WANTED
            .iter()
            .any(|wanted| wanted.eq_ignore_ascii_case(name))
    }

    /// Whether this is its name.
    pub(super) fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name)
    }

    /// An argument.
    pub(super) fn word(&self, index: usize) -> Option<&str> {
        self.words.get(index).map(String::as_str)
    }
}

/// What stands at the top of the main server.
pub(super) fn of_main<'d>(
    description: &'d Description<'_>,
) -> impl Iterator<Item = &'d Directive> + use<'d> {
    let all = description.tree.iter();
    all.filter(|directive| !directive.is("VirtualHost"))
}

/// What stands in a virtual host itself; empty for the main server. None where that is not certain: a file that is included twice
/// defines two hosts at one place, and variables may make them differ.
pub(super) fn of_host<'d>(
    description: &'d Description<'_>,
    server: &ServerView<'_>,
) -> Option<&'d [Directive]> {
    let Some(place) = &server.defined_at else {
        return Some(&[]);
    };
    let mut hosts = description
        .tree
        .iter()
        .filter(|directive| directive.is("VirtualHost") && directive.origin == *place);
    let only = hosts.next()?;
    if hosts.next().is_some() {
        return None;
    }
    only.inner.as_deref()
}
