//! From a URL to a script, a process and an interpreter: aliases, groups, merging of configuration, expansions.

mod aliases;
mod callables;
mod expansions;
mod groups;
mod names;
mod paths;
mod sections;
mod settings;

use wsgi_harness::{Answer, Server};

#[track_caller]
fn environ(server: &Server, path: &str) -> Answer {
    server.get(path).expect(200)
}
