//! What is installed with the module, and what is said when Apache's user cannot get at it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use wsgi_harness::{Mode, Mpm, Site, is_root, matrix, subject};

/// Daemon and runtimes of this build in another folder.
fn copy_installed(folder: &Path) {
    fs::create_dir_all(folder).expect("a folder of the site");
    let built = subject().module().with_file_name("mod_wsgi");
    let runtimes = fs::read_dir(&built).expect("runtimes").flatten();
    let beside = ["mod_wsgi-daemon", "libmod_wsgi_preload.so"]
        .map(|name| subject().module().with_file_name(name));
    for from in runtimes.map(|entry| entry.path()).chain(beside) {
        let to = folder.join(from.file_name().expect("a file"));
        fs::copy(&from, to).expect("a copy");
    }
}

/// REQ-472, DMN-127: runtimes in a folder that is closed to Apache's user (a checkout below /root). The record says so, and
/// not that nothing is installed.
fn a_closed_folder(mpm: Mpm, mode: Mode) {
    if !is_root() || !subject().is_ours() {
        // Without root Apache's parent is that user, and refuses the configuration.
        return;
    }
    let site = Site::new(mpm, mode).cases();
    let folder = site.path("closed/mod_wsgi");
    copy_installed(&folder);
    let closed = fs::Permissions::from_mode(0o700);
    fs::set_permissions(site.path("closed"), closed).expect("permissions");
    let server = site
        .config(&format!("WSGIRuntimeDirectory {}", folder.display()))
        .start();
    let url = server.case(
        "never",
        "def application(environ, start_response):\n    start_response('200 OK', [])\n    return []\n",
    );
    let answer = server.get(&url);
    if mode == Mode::Embedded {
        assert_eq!(answer.status, 500);
        server.expect_log("WSGI0001");
        server.expect_log("cannot be read by uid");
        server.allow_log("WSGI0210");
    } else {
        assert_eq!(answer.status, 503);
        server.expect_log("ermission denied");
        server.allow_log("WSGI");
    }
}
matrix!(a_closed_folder: event);

/// As root, Apache neither runs nor loads what somebody else could replace, and says what is to be done about it.
#[test]
fn files_that_others_may_write() {
    if !is_root() || !subject().is_ours() {
        return;
    }
    let site = Site::daemon();
    let folder = site.path("shared");
    copy_installed(&folder);
    let site = site.config(&format!("WSGIRuntimeDirectory {}", folder.display()));
    let fine = site.check();
    assert!(fine.accepted, "{}", fine.output);
    let files = fs::read_dir(&folder).expect("our own folder").flatten();
    let names = files.map(|entry| entry.path()).chain([folder.clone()]);
    for path in names {
        let set = |mode| {
            let mode = fs::Permissions::from_mode(mode);
            fs::set_permissions(&path, mode).expect("permissions");
        };
        set(0o775);
        let refused = site.check();
        set(0o755);
        let text = format!("'{}' has mode 0775", path.display());
        assert!(!refused.accepted, "{}", path.display());
        assert!(refused.output.contains(&text), "{}", refused.output);
        assert!(refused.output.contains("chmod go-w"), "{}", refused.output);
    }
}

/// `sudo make install` takes what the user has built, wherever root would build, and says what is missing.
#[test]
fn what_was_built_is_installed() {
    let folder = tempfile::tempdir().expect("a folder in /tmp");
    let path = |name: &str| folder.path().join(name);
    let built = wsgi_harness::repository().join("tools/install.sh");
    fs::create_dir_all(path("tools")).expect("a folder in ours");
    fs::copy(built, path("tools/install.sh")).expect("a copy");
    let install = || {
        Command::new(path("tools/install.sh"))
            .env("CARGO_TARGET_DIR", path("elsewhere"))
            .env("DESTDIR", path("root"))
            .output()
            .expect("a script that can be run")
    };
    let module = subject().module();
    let parts = [
        "libmod_wsgi.so",
        "mod_wsgi-daemon",
        "libmod_wsgi_preload.so",
        "mod_wsgi/python3.so",
        "mod_wsgi/python3.conf",
    ];
    fs::create_dir_all(path("target/release/mod_wsgi")).expect("a folder in ours");
    for part in parts {
        let refused = install();
        let text = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(!refused.status.success(), "before {part}");
        assert!(text.contains("make build"), "before {part}: {text}");
        fs::copy(module, path("target/release").join(part)).expect("a copy");
    }
    let done = install();
    assert!(done.status.success(), "{done:?}");
    let line = String::from_utf8(done.stdout).expect("text");
    let module = line
        .strip_prefix("LoadModule wsgi_module /")
        .expect("a line for httpd.conf")
        .trim_end();
    let installed = path("root").join(module);
    assert!(installed.is_file(), "{}", installed.display());
    for part in [
        "mod_wsgi-daemon",
        "libmod_wsgi_preload.so",
        "python3.so",
        "python3.conf",
    ] {
        let part = installed.with_file_name("mod_wsgi").join(part);
        assert!(part.is_file(), "{}", part.display());
    }
}
