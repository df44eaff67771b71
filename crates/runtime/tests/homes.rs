//! `python-home`: a virtual environment, and homes that are none. Each case is a process of its own: the test binary runs
//! itself.
#![allow(clippy::unwrap_used)] // test code

mod host;

use std::path::Path;
use std::process::Command;

use host::{Python, settings};
use wsgi_core::python::PythonSettings;

const HOME: &str = "WSGI_TEST_HOME";

/// The child's part: starts Python with a home and prints what came of it.
#[test]
fn child_with_a_home() {
    let Some(home) = std::env::var_os(HOME) else {
        return;
    };
    let home = home.into_string().unwrap();
    let python = Python::get(|| PythonSettings {
        home: Some(home),
        ..settings()
    });
    let answer = python.get_from(
        "import sys
def application(environ, start_response):
    start_response('200 OK', [])
    return [('prefix=%s base=%s' % (sys.prefix, sys.base_prefix)).encode()]
",
    );
    println!("{}", answer.is_fine().text());
}

fn run_with(home: &Path) -> (bool, String) {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child_with_a_home", "--nocapture"])
        .env(HOME, home)
        .output()
        .unwrap();
    let text = [output.stdout, output.stderr].concat();
    (
        output.status.success(),
        String::from_utf8_lossy(&text).into_owned(),
    )
}

/// API-015: a virtual environment is one in Python.
#[test]
fn a_virtual_environment() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path().join("venv");
    std::fs::create_dir_all(home.join("bin")).unwrap();
    // The Python that the runtime was built for.
    let python = Path::new(option_env!("PYO3_PYTHON").unwrap_or("/usr/bin/python3"));
    let base = format!("home = {}\n", python.parent().unwrap().display());
    std::fs::write(home.join("pyvenv.cfg"), base).unwrap();
    std::os::unix::fs::symlink(python, home.join("bin/python")).unwrap();
    let (is_fine, text) = run_with(&home);
    assert!(is_fine, "{text}");
    let home = home.to_str().unwrap();
    assert!(text.contains(&format!("prefix={home} base=/")), "{text}");
    assert!(!text.contains(&format!("base={home}")), "{text}");
}

/// API-015, API-003, WSGI0100, WSGI0101, WSGI0036: homes that are none are named, and Python's refusal is no crash.
#[test]
fn homes_that_are_none() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    for (home, code) in [
        (folder.path().join("missing"), "WSGI0100: "),
        (file, "WSGI0101: "),
    ] {
        let (is_fine, text) = run_with(&home);
        assert!(!is_fine && text.contains("Python did not start"), "{text}");
        assert!(text.contains(code) && text.contains("WSGI0036: "), "{text}");
        assert!(text.contains(home.to_str().unwrap()), "{text}");
    }
}
