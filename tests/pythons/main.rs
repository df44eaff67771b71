//! Which Python a process runs: `python-version=`, WSGIPythonVersion and homes; and, with the mark `ignored`, several Pythons in
//! one Apache and interpreters with a GIL of their own, which this system may not have: `make test-pythons` runs those in a
//! tree of Debian sid.

mod ends;
mod extensions;
mod gils;
mod restarts;
mod versions;

use std::path::PathBuf;

use wsgi_harness::{Mode, Mpm, Server, Site, subject};

const FACTS: &str = include_str!("../apps/interpreter.wsgi");

/// Versions of the runtimes that are installed, oldest first.
fn installed() -> Vec<String> {
    let folder = subject()
        .module()
        .parent()
        .map_or(PathBuf::new(), |folder| folder.join("mod_wsgi"));
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    let mut versions: Vec<(u32, String)> = names
        .filter_map(|name| {
            let version = name.strip_prefix("python")?.strip_suffix(".so")?;
            let minor = version.strip_prefix("3.")?.parse().ok()?;
            Some((minor, version.to_owned()))
        })
        .collect();
    versions.sort();
    versions.into_iter().map(|(_, version)| version).collect()
}

/// At least two Pythons from 3.12 on, for the tests in the tree of sid.
fn several() -> Vec<String> {
    let versions = installed();
    assert!(
        versions.len() > 1 && versions.iter().all(|version| version.as_str() >= "3.12"),
        "these are {versions:?}: run `make test-pythons`"
    );
    versions
}

#[track_caller]
fn fact(server: &Server, path: &str, key: &str) -> String {
    server.get(path).expect(200).fact(key)
}

/// A site with the interpreters `own` and `other`, which have GILs of their own, and `shared`, and the main one.
fn gils(mpm: Mpm, mode: Mode, version: &str) -> Site {
    Site::new(mpm, mode)
        .daemon_options(&format!("processes=1 threads=5 python-version={version}"))
        .config(&format!(
            "WSGIPythonVersion {version}
            ServerLimit 1
            MaxRequestWorkers 16
            <WSGIInterpreterOptions application-group=own>
                WSGIPerInterpreterGIL On
                WSGISwitchInterval 0.125
            </WSGIInterpreterOptions>
            <WSGIInterpreterOptions application-group=other>
                WSGIPerInterpreterGIL On
            </WSGIInterpreterOptions>
            <WSGIInterpreterOptions application-group=%{{GLOBAL}}>
                WSGIPerInterpreterGIL On
            </WSGIInterpreterOptions>
            WSGIScriptAliasMatch ^/(own|other|shared)/([a-z]+) {{apps}}/$2.wsgi application-group=%{{ENV:INTERPRETER}}
            SetEnvIf Request_URI ^/([a-z]+)/ INTERPRETER=$1"
        ))
        .modules(&["setenvif"])
        .file("apps/facts.wsgi", FACTS)
        .cases()
}
