//! Interpreters: which settings reach which of them, and that they do not wait for one another.

mod extensions;
mod life;
mod python;
mod sections;

use wsgi_harness::{Mode, Mpm, Server, Site};

const FACTS: &str = include_str!("../apps/interpreter.wsgi");

/// A site whose `/GROUP` runs the facts in the interpreter of that name, `/main` in the main one.
fn site(mpm: Mpm, mode: Mode, config: &str) -> Site {
    let site = Site::new(mpm, mode)
        .file("apps/facts.wsgi", FACTS)
        .config("WSGIScriptAlias /main {apps}/facts.wsgi application-group=%{GLOBAL}");
    let groups = ["one", "two"];
    groups
        .iter()
        .fold(site, |site, group| {
            site.config(&format!(
                "WSGIScriptAlias /{group} {{apps}}/facts.wsgi application-group={group}"
            ))
        })
        .config(config)
}

#[track_caller]
fn fact(server: &Server, interpreter: &str, key: &str) -> String {
    server.get(&format!("/{interpreter}")).expect(200).fact(key)
}

/// As the configuration writes it in a section.
fn group_of(mode: Mode) -> &'static str {
    match mode {
        Mode::Embedded => "%{GLOBAL}",
        Mode::Daemon => "live",
    }
}
