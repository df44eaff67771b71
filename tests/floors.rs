//! The floors of the house (style.md, section 3; design.md, section 2): dependencies point down, unsafe code stays where it
//! is allowed, and documentation covers every directive and every code. Looks at the source only; starts no server.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use wsgi_harness::repository;

/// Which crates of the workspace a crate may use. The runtime is reached through its table only.
const CRATES: &[(&str, &[&str])] = &[
    ("apache-sys", &[]),
    ("crates/core", &[]),
    ("crates/sys", &["wsgi-core"]),
    ("crates/runtime-api", &["wsgi-core"]),
    ("crates/runtime", &["wsgi-core", "wsgi-runtime-api"]),
    (
        "crates/daemon",
        &["wsgi-core", "wsgi-runtime-api", "wsgi-sys"],
    ),
    ("crates/preload", &["mod_wsgi-daemon", "wsgi-sys"]),
    ("crates/express", &["wsgi-core", "wsgi-sys"]),
    (
        ".",
        &["apache-sys", "wsgi-core", "wsgi-runtime-api", "wsgi-sys"],
    ),
    ("tests/harness", &[]),
];

/// Which other crates must not appear below a floor: no Python in the module, no httpd in the daemon, nothing in the pure one.
const FORBIDDEN: &[(&str, &[&str])] = &[
    (".", &["pyo3", "pyo3-ffi"]),
    ("crates/daemon", &["pyo3", "pyo3-ffi", "bindgen"]),
    ("crates/preload", &["pyo3", "pyo3-ffi", "bindgen"]),
    (
        "crates/core",
        &["libc", "nix", "pyo3", "bindgen", "tokio", "libloading"],
    ),
    ("crates/sys", &["pyo3", "pyo3-ffi"]),
    ("crates/runtime-api", &["pyo3", "pyo3-ffi"]),
];

/// The floors of the module in `src/`, lowest first. A module uses floors below it and its own.
const MODULE_FLOORS: &[&[&str]] = &[
    &["apache"],
    &["config"],
    &["installed"],
    &["client", "embedded"],
    // It makes the groups that the clients of its children use.
    &["supervisor"],
    &["hooks"],
    &["module", "lib"],
];

/// Where the runtime is entered: the C table and the making and ending of interpreters hand over to the engine, which for its
/// part builds on the safe objects of `python/`. These files, and no other of `python/`, know the engine.
const RUNTIME_DOORS: &[&str] = &[
    "crates/runtime/src/python/config.rs",
    "crates/runtime/src/python/interpreter.rs",
    "crates/runtime/src/python/shutdown.rs",
    "crates/runtime/src/python/table.rs",
];

/// The floors of the runtime, lowest first.
const RUNTIME_FLOORS: &[&[&str]] = &[&["python"], &["wsgi"], &["lib"]];

/// Where `unsafe` is allowed (style.md, section 4), as the beginning of a path.
const UNSAFE: &[&str] = &[
    "apache-sys/",
    "src/apache/",
    "src/module.rs",
    "src/hooks/mod.rs",
    "crates/preload/",
    "crates/runtime/src/python/",
    "crates/runtime-api/",
    "crates/sys/",
];

/// What pure code must say about itself.
const FORBIDS_UNSAFE: &str = "#![forbid(unsafe_code)]";

#[test]
fn crates_depend_downwards() {
    let mut wrong = Vec::new();
    for (folder, allowed) in CRATES {
        let manifest = repository().join(folder).join("Cargo.toml");
        let Ok(text) = fs::read_to_string(&manifest) else {
            continue;
        };
        let used = dependencies(&text, "dependencies");
        for name in &used {
            if is_ours(name) && !allowed.contains(&name.as_str()) {
                wrong.push(format!("{folder} must not depend on {name}"));
            }
        }
        for (below, names) in FORBIDDEN.iter().filter(|(below, _)| below == folder) {
            wrong.extend(
                names
                    .iter()
                    .filter(|name| used.contains(**name))
                    .map(|name| format!("{below} must not use {name}")),
            );
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_crate_has_its_floor() {
    let mut folders: Vec<String> = vec![".".into(), "apache-sys".into(), "tests/harness".into()];
    let crates = fs::read_dir(repository().join("crates"))
        .expect("there are crates")
        .flatten();
    folders.extend(
        crates
            .filter(|entry| entry.path().join("Cargo.toml").is_file())
            .map(|entry| format!("crates/{}", entry.file_name().to_string_lossy())),
    );
    for folder in folders {
        assert!(
            CRATES.iter().any(|(name, _)| *name == folder),
            "{folder} is on no floor; give it one in this test"
        );
    }
}

#[test]
fn modules_depend_downwards() {
    let mut wrong = Vec::new();
    for (source, floors) in [
        ("src", MODULE_FLOORS),
        ("crates/runtime/src", RUNTIME_FLOORS),
    ] {
        let root = repository().join(source);
        for file in rust_files(&root) {
            let name = top(&root, &file);
            if RUNTIME_DOORS.contains(&shown(&file).as_str()) {
                continue;
            }
            let Some(floor) = floor_of(floors, &name) else {
                wrong.push(format!("{source}: {name} is on no floor"));
                continue;
            };
            for used in crate_paths(&code(&file)) {
                if used == name {
                    continue;
                }
                match floor_of(floors, &used) {
                    Some(other) if other > floor => {
                        wrong.push(format!("{source}: {} reaches up to {used}", shown(&file)))
                    }
                    Some(other) if other == floor => wrong.push(format!(
                        "{source}: {} knows its neighbour {used}",
                        shown(&file)
                    )),
                    _ => {}
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn unsafe_code_stays_in_its_places() {
    let mut wrong = Vec::new();
    for root in ["src", "crates", "apache-sys"] {
        for file in rust_files(&repository().join(root)) {
            let name = shown(&file);
            let text = code(&file);
            // A crate's own tests may build what they need.
            let allowed =
                name.contains("/tests/") || UNSAFE.iter().any(|place| name.starts_with(place));
            if !allowed && words(&text).any(|word| word == "unsafe" || word == "allow(unsafe_code)")
            {
                wrong.push(format!("unsafe code in {name}"));
            }
        }
    }
    let core = fs::read_to_string(repository().join("crates/core/src/lib.rs"))
        .expect("there is a pure crate");
    if !core.contains(FORBIDS_UNSAFE) {
        wrong.push(format!("crates/core/src/lib.rs lacks {FORBIDS_UNSAFE}"));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_module_says_what_it_is_for() {
    let mut wrong = Vec::new();
    for root in ["src", "crates", "apache-sys/src", "tests/harness/src"] {
        for file in rust_files(&repository().join(root)) {
            let text = fs::read_to_string(&file).expect("a source file");
            let first = text
                .lines()
                .find(|line| !line.is_empty())
                .unwrap_or_default();
            if !first.starts_with("//!") {
                wrong.push(shown(&file));
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "without //! at the top: {}",
        wrong.join(", ")
    );
}

#[test]
fn nothing_is_called_utils() {
    for root in ["src", "crates", "apache-sys/src", "tests"] {
        for file in rust_files(&repository().join(root)) {
            let stem = file
                .file_stem()
                .map(|stem| stem.to_string_lossy().into_owned())
                .unwrap_or_default();
            assert!(
                !["utils", "util", "helpers", "common", "manager", "misc"].contains(&stem.as_str()),
                "{}",
                shown(&file)
            );
        }
    }
}

/// A file of more than 500 lines has more than one concern. What examples make when they run is not ours.
#[test]
fn files_are_short() {
    let mut long = Vec::new();
    for file in rust_files(repository()) {
        let is_made = file.components().any(|part| part.as_os_str() == ".run");
        let text = fs::read_to_string(&file).expect("a source file");
        let lines = text.lines().count();
        if lines > 500 && !is_made {
            long.push(format!("{}: {lines}", shown(&file)));
        }
    }
    assert!(long.is_empty(), "split these: {}", long.join(", "));
}

/// Every directive of the table has a page, and every page a directive. The names are taken from the source of the tables.
#[test]
fn every_directive_has_a_page() {
    let names: BTreeSet<String> = rust_files(&repository().join("crates/core/src/config"))
        .iter()
        .flat_map(|file| strings(&code(file)))
        .map(|text| text.trim_start_matches('<').to_owned())
        .filter(|text| is_directive(text))
        .collect();
    assert!(
        names.contains("WSGIScriptAlias") && names.contains("WSGIDaemonProcess"),
        "the table of directives: {names:?}"
    );
    let folder = repository().join("docs/directives");
    let pages: BTreeSet<String> = fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .flatten()
        .filter_map(|entry| {
            entry
                .file_name()
                .to_string_lossy()
                .strip_suffix(".md")
                .map(str::to_owned)
        })
        .collect();
    let missing: Vec<_> = names.iter().filter(|name| !pages.contains(*name)).collect();
    assert!(
        missing.is_empty(),
        "no page in docs/directives for {missing:?}"
    );
    let strange: Vec<_> = pages
        .iter()
        .filter(|page| page.starts_with("WSGI") && !names.contains(*page))
        .collect();
    assert!(
        strange.is_empty(),
        "pages in docs/directives for no directive: {strange:?}"
    );
}

/// ERR-01, ERR-06: every code that the source can write is explained in docs/error-codes.md, and no retired one is used.
#[test]
fn every_code_has_an_entry() {
    const RETIRED: [&str; 8] = [
        "WSGI0037", "WSGI0039", "WSGI0066", "WSGI0092", "WSGI0093", "WSGI0180", "WSGI0193",
        "WSGI0197",
    ];
    const NUMBERED: [&str; 7] = [
        "request/ownership.rs",
        "request/precheck.rs",
        "request/routing.rs",
        "hooks/access.rs",
        "hooks/dispatch.rs",
        "hooks/groups.rs",
        "hooks/login.rs",
    ];
    let mut used: BTreeMap<String, PathBuf> = BTreeMap::new();
    for root in ["src", "crates"] {
        for file in rust_files(&repository().join(root)) {
            for name in codes(&strings(&code(&file)).join("\n")) {
                used.entry(name).or_insert_with(|| file.clone());
            }
            // Refusals and hooks give theirs as numbers.
            if NUMBERED.iter().any(|name| file.ends_with(name)) {
                for number in numbers(&code(&file)).filter(|number| (41..=220).contains(number)) {
                    let name = format!("WSGI{number:04}");
                    used.entry(name).or_insert_with(|| file.clone());
                }
            }
        }
    }
    let path = repository().join("docs/error-codes.md");
    let page =
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let explained: BTreeSet<String> = codes(&page).into_iter().collect();
    let missing: Vec<String> = used
        .iter()
        .filter(|(name, _)| !explained.contains(*name))
        .map(|(name, file)| format!("{name} ({})", shown(file)))
        .collect();
    assert!(
        missing.is_empty(),
        "no entry in docs/error-codes.md for {}",
        missing.join(", ")
    );
    let retired: Vec<_> = used
        .keys()
        .filter(|name| RETIRED.contains(&name.as_str()))
        .collect();
    assert!(retired.is_empty(), "retired codes are used: {retired:?}");
}

/// Differences that are made on purpose are listed: every row that a test asks [`wsgi_harness::Subject::differs`] for.
#[test]
fn every_difference_is_listed() {
    let path = repository().join("docs/differences.md");
    let page =
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut missing = BTreeSet::new();
    for file in rust_files(&repository().join("tests")) {
        let text = code(&file);
        for part in text.split("differs(\"").skip(1) {
            let row = part.split('"').next().unwrap_or_default();
            if row.contains('-') && !page.contains(row) {
                missing.insert(row.to_owned());
            }
        }
    }
    assert!(
        missing.is_empty(),
        "rows without an entry in docs/differences.md: {missing:?}"
    );
}

/// `WSGIScriptAlias`, and not a code such as `WSGI0135`.
fn is_directive(text: &str) -> bool {
    let rest = text.strip_prefix("WSGI").unwrap_or_default();
    rest.starts_with(|c: char| c.is_ascii_uppercase()) && rest.chars().all(char::is_alphanumeric)
}

fn is_ours(name: &str) -> bool {
    name.starts_with("wsgi-") || name == "apache-sys" || name.starts_with("mod_wsgi")
}

/// The names in a table of a manifest, such as `dependencies`; also those of `[dependencies.NAME]`.
fn dependencies(manifest: &str, table: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let mut inside = false;
    for line in manifest.lines().map(str::trim) {
        if let Some(header) = line.strip_prefix('[') {
            let header = header.trim_end_matches(']');
            inside = header == table
                || header.starts_with("target.") && header.ends_with(&format!(".{table}"));
            if let Some(name) = header.strip_prefix(&format!("{table}.")) {
                names.insert(name.to_owned());
            }
        } else if inside && !line.starts_with('#') {
            if let Some((name, _)) = line.split_once('=') {
                names.insert(name.split('.').next().unwrap_or_default().trim().to_owned());
            }
        }
    }
    names
}

fn rust_files(root: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut left = vec![root.to_path_buf()];
    while let Some(folder) = left.pop() {
        let Ok(entries) = fs::read_dir(&folder) else {
            continue;
        };
        for entry in entries.flatten() {
            let path = entry.path();
            if path.is_dir() && entry.file_name() != "target" {
                left.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// The text of a file without comments and without the tests below it.
fn code(file: &Path) -> String {
    let text = fs::read_to_string(file).expect("a source file");
    let text = text.split("#[cfg(test)]\nmod ").next().unwrap_or_default();
    let lines = text.lines().map(|line| {
        let comment = line.find("//").filter(|at| !line[..*at].contains('"'));
        comment.map_or(line, |at| &line[..at])
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// The module below `root` that a file belongs to: `src/client/pool.rs` is `client`.
fn top(root: &Path, file: &Path) -> String {
    let inside = file.strip_prefix(root).expect("a file below the root");
    let first = inside.components().next().expect("a path has a component");
    first
        .as_os_str()
        .to_string_lossy()
        .trim_end_matches(".rs")
        .to_owned()
}

/// A path for a message, from the root of the repository.
fn shown(file: &Path) -> String {
    file.strip_prefix(repository())
        .unwrap_or(file)
        .display()
        .to_string()
}

fn floor_of(floors: &[&[&str]], name: &str) -> Option<usize> {
    floors.iter().position(|floor| floor.contains(&name))
}

/// The modules that code names as `crate::NAME`.
fn crate_paths(code: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for part in code.split("crate::").skip(1) {
        if let Some(group) = part.strip_prefix('{') {
            let group = group.split('}').next().unwrap_or_default();
            found.extend(group.split(',').map(|name| first_word(name.trim())));
        } else {
            found.insert(first_word(part));
        }
    }
    found
}

fn first_word(text: &str) -> String {
    text.chars()
        .take_while(|c| c.is_alphanumeric() || *c == '_')
        .collect()
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !(c.is_alphanumeric() || c == '_' || c == '(' || c == ')'))
        .filter(|word| !word.is_empty())
}

/// String literals, roughly: enough to find names.
fn strings(code: &str) -> Vec<String> {
    code.split('"')
        .skip(1)
        .step_by(2)
        .map(str::to_owned)
        .collect()
}

/// Decimal numbers that stand alone in code, strings left out.
fn numbers(code: &str) -> impl Iterator<Item = u32> {
    let outside: Vec<&str> = code.split('"').step_by(2).collect();
    let words = outside.join(" ");
    let words = words.split(|character: char| !character.is_alphanumeric() && character != '_');
    let found: Vec<u32> = words.filter_map(|word| word.parse().ok()).collect();
    found.into_iter()
}

/// `WSGI` with four digits.
fn codes(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (at, _) in text.match_indices("WSGI") {
        let digits: String = text[at + 4..]
            .chars()
            .take_while(char::is_ascii_digit)
            .collect();
        if digits.len() == 4 {
            found.push(format!("WSGI{digits}"));
        }
    }
    found
}
