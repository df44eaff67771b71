//! From a URL to a script, a process and an interpreter: aliases, groups, merging of configuration, expansions.

mod aliases;
mod expansions;
mod groups;
mod settings;

use wsgi_harness::{Answer, Server};

/// A value of the environ that the script answered with, without its quotes.
#[track_caller]
fn value(answer: &Answer, key: &str) -> String {
    let shown = answer
        .line(key)
        .unwrap_or_else(|| panic!("no {key}: {}", answer.shown()));
    shown.trim_matches('\'').to_owned()
}

#[track_caller]
fn environ(server: &Server, path: &str) -> Answer {
    server.get(path).expect(200)
}
