//! What is configured, in words: for `httpd -t -D DUMP_WSGI`, and the warnings that are also logged when Apache starts.
//!
//! Pure: a plain description goes in, lines come out. `plan` works out where each URL prefix runs, `warnings` what may not be as
//! intended (`taken` and `exposed` with the directives of other modules, `tree`), `lines` writes it down. Nothing here makes a configuration fail. In the httpd parent, when the configuration has
//! been read.

mod doubts;
mod exposed;
mod lines;
mod plan;
mod taken;
mod tree;
mod warnings;

use super::{Global, Origin, ServerConfig};

pub use plan::{Mount, Plan, Runs};
pub use tree::Directive;
pub use warnings::{Check, Finding, Warning};

/// A server of the configuration.
#[derive(Clone, Debug)]
pub struct ServerView<'a> {
    /// Position in httpd's list; 0 is the main server.
    pub ordinal: u32,
    /// ServerName; None if it has none.
    pub name: Option<String>,
    /// For people: `main server`, `virtual host NAME (FILE:LINE)`.
    pub shown: String,
    /// What holds in it, merged with the main server's.
    pub config: &'a ServerConfig,
    /// DocumentRoot.
    pub document_root: Option<String>,
    /// Where its `<VirtualHost>` is written; None for the main server.
    pub defined_at: Option<Origin>,
}

/// A process that runs Python, as far as the settings do not say it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProcessView {
    /// For people: the version and the runtime's path, or why there is none.
    pub python: String,
    /// For people: `user 'www-data' (uid 33)`.
    pub user: String,
    /// For people, as `user`.
    pub group: String,
}

/// What a report is made of.
pub struct Description<'a> {
    /// Settings of the whole server, settled.
    pub global: &'a Global,
    /// All servers in httpd's order; the main one is first.
    pub servers: Vec<ServerView<'a>>,
    /// Apache's children.
    pub children: ProcessView,
    /// The daemon groups, in the order of `Global::daemon_groups`.
    pub groups: Vec<ProcessView>,
    /// The directives of all modules that [`Directive::is_wanted`] names, and all sections; empty if not known.
    pub tree: Vec<Directive>,
    /// Whether a regular expression of a section matches a text.
    pub matches: &'a dyn Fn(&str, &str) -> bool,
}

/// The whole report. `findings` are what was found about the files that [`Plan::checks`] asks for.
pub fn report(description: &Description<'_>, plan: &Plan, findings: &[Finding]) -> Vec<String> {
    let warnings = warnings::all(description, plan, findings);
    lines::lines(description, plan, &warnings)
}

/// The warnings alone.
pub fn warnings(description: &Description<'_>, plan: &Plan, findings: &[Finding]) -> Vec<Warning> {
    warnings::all(description, plan, findings)
}

#[cfg(test)]
mod tests;
