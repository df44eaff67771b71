//! Which module is tested.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// The module under test.
#[derive(Debug)]
pub struct Subject {
    module: PathBuf,
    ours: bool,
}

impl Subject {
    /// The module's library.
    pub fn module(&self) -> &Path {
        &self.module
    }

    /// Whether it is mod_wsgi-rs (and not the original).
    pub fn is_ours(&self) -> bool {
        self.ours
    }

    /// Whether the subject is meant to follow our decision on `row` of the specification (a row marked FIX or \[F\], or a
    /// difference made on purpose) instead of the original's behaviour. The row is printed, so that a run shows which
    /// differences it met.
    pub fn differs(&self, row: &str) -> bool {
        println!(
            "differs: {row} ({})",
            if self.ours { "ours" } else { "original" }
        );
        self.ours
    }
}

/// The module under test: `WSGI_UNDER_TEST`, or the one of this build.
///
/// # Panics
/// If it, or for ours the runtime or daemon that belongs to it, is missing.
pub fn subject() -> &'static Subject {
    static SUBJECT: OnceLock<Subject> = OnceLock::new();
    SUBJECT.get_or_init(find)
}

fn find() -> Subject {
    let module = match env::var_os("WSGI_UNDER_TEST") {
        Some(path) => PathBuf::from(path),
        None => built(),
    };
    let content = fs::read(&module)
        .unwrap_or_else(|error| panic!("module under test {}: {error}", module.display()));
    let ours = contains(&content, b"mod_wsgi-rs");
    if ours {
        require_companions(&module);
    }
    Subject { module, ours }
}

/// The module that cargo built for these tests: `target/<profile>/libmod_wsgi.so`. `cargo test` leaves it in `deps` only,
/// but runtimes and daemon lie beside the one above, so a newer one is put there first.
fn built() -> PathBuf {
    let test = env::current_exe().expect("a test knows its own path");
    let deps = test.parent().expect("a test lies in target/<profile>/deps");
    let profile = deps.parent().expect("deps lies in target/<profile>");
    let (inner, outer) = (deps.join("libmod_wsgi.so"), profile.join("libmod_wsgi.so"));
    let modified = |path: &Path| fs::metadata(path).and_then(|facts| facts.modified()).ok();
    if modified(&inner) > modified(&outer) {
        let fresh = profile.join(format!("libmod_wsgi.so.{}", std::process::id()));
        let moved = fs::copy(&inner, &fresh).and_then(|_| fs::rename(&fresh, &outer));
        moved.unwrap_or_else(|error| panic!("cannot put {} in place: {error}", outer.display()));
    }
    assert!(
        outer.is_file(),
        "{} is missing; build it with `make build`",
        outer.display()
    );
    outer
}

fn require_companions(module: &Path) {
    let folder = module.parent().expect("a library lies in a folder");
    let beside = folder.join("mod_wsgi");
    let has = |wanted: &dyn Fn(&str) -> bool| {
        [&beside, &folder.to_path_buf()].into_iter().any(|folder| {
            let Ok(entries) = fs::read_dir(folder) else {
                return false;
            };
            entries
                .flatten()
                .any(|entry| wanted(&entry.file_name().to_string_lossy()))
        })
    };
    assert!(
        has(&|name| name.starts_with("python3.") && name.ends_with(".so")),
        "no runtime (python3.X.so) in {}; `make build` puts it there",
        beside.display()
    );
    assert!(
        has(&|name| name == "mod_wsgi-daemon"),
        "no mod_wsgi-daemon in {} or {}; `make build` puts it there",
        beside.display(),
        folder.display()
    );
}

fn contains(content: &[u8], wanted: &[u8]) -> bool {
    let first = wanted[0];
    let mut rest = content;
    while let Some(at) = rest.iter().position(|byte| *byte == first) {
        if rest[at..].starts_with(wanted) {
            return true;
        }
        rest = &rest[at + 1..];
    }
    false
}
