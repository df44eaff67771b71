//! Which Python a process runs.

use wsgi_harness::{Mode, Mpm, Site, matrix, subject, test_venv};

use super::{FACTS, fact, installed, several};

/// DP-50, KD-37: a version that is installed is taken, one that is not is refused when the configuration is read, with the versions
/// that there are.
#[test]
fn a_version_is_chosen_or_refused() {
    if !subject().is_ours() {
        return;
    }
    let versions = installed();
    let good = versions.last().expect("subject() looks for one");
    for (config, names) in [
        (format!("WSGIPythonVersion {good}"), None),
        (
            format!("WSGIDaemonProcess the-group python-version={good}"),
            None,
        ),
        (
            format!(
                "WSGIPythonVersion 3.99\nWSGIRestrictEmbedded On\nWSGIDaemonProcess the-group python-version={good}"
            ),
            None,
        ),
        ("WSGIPythonVersion 3.99".to_owned(), Some("3.99")),
        (
            "WSGIPythonVersion 3.9".to_owned(),
            Some("3.10 is the oldest"),
        ),
        (
            "WSGIDaemonProcess the-group python-version=2.7".to_owned(),
            Some("3.10 is the oldest"),
        ),
        (format!("WSGIPythonVersion {good}t"), Some("t is installed")),
        (
            "WSGIDaemonProcess the-group python-version=3.99".to_owned(),
            Some("the-group"),
        ),
        (
            "WSGIRestrictEmbedded On\nWSGIPythonVersion 3.99\nWSGIDaemonProcess the-group"
                .to_owned(),
            Some("the-group"),
        ),
        ("WSGIPythonVersion 3".to_owned(), Some("WSGIPythonVersion")),
        (
            "WSGIPythonVersion three".to_owned(),
            Some("WSGIPythonVersion"),
        ),
        (
            "WSGIDaemonProcess the-group python-version=3.x".to_owned(),
            Some("python-version"),
        ),
    ] {
        let checked = Site::embedded().config(&config).check();
        assert_eq!(
            checked.accepted,
            names.is_none(),
            "{config}: {}",
            checked.output
        );
        if let Some(name) = names {
            assert!(
                checked.output.contains(name),
                "{config}: {}",
                checked.output
            );
        }
        if config.contains("3.99") && names.is_some() {
            assert!(
                checked.output.contains(&format!("installed: {good}")),
                "{}",
                checked.output
            );
        }
    }
}

/// DP-50: the version decides which Python runs, the group's over the server's.
fn the_version_that_is_chosen(mpm: Mpm, mode: Mode) {
    if !subject().is_ours() {
        return;
    }
    for version in installed() {
        let server_version = match mode {
            Mode::Embedded => format!("WSGIPythonVersion {version}"),
            Mode::Daemon => "WSGIRestrictEmbedded On\nWSGIPythonVersion 3.99".to_owned(),
        };
        let server = Site::new(mpm, mode)
            .daemon_options(&format!("threads=1 python-version={version}"))
            .config(&server_version)
            .script("/", FACTS)
            .start();
        assert_eq!(fact(&server, "/", "version"), version);
    }
}
matrix!(the_version_that_is_chosen: event);

/// DP-50, DIR-081: a home has a version of its own, which no setting can change.
#[test]
fn a_home_decides() {
    if !subject().is_ours() {
        return;
    }
    let venv = test_venv();
    let server = Site::daemon()
        .daemon_options(&format!(
            "threads=1 python-version=3.99 python-home={}",
            venv.display()
        ))
        .script("/", FACTS)
        .start();
    assert_eq!(fact(&server, "/", "prefix"), venv.display().to_string());
}

/// DP-50: children and every group have a Python of their own in one Apache; a virtual environment brings its own.
#[test]
#[ignore = "needs several Pythons: make test-pythons"]
fn several_in_one_apache() {
    let versions = several();
    let (first, last) = (&versions[0], &versions[versions.len() - 1]);
    let mut site = Site::embedded()
        .config(&format!("WSGIPythonVersion {first}\nWSGIScriptAlias /embedded {{apps}}/facts.wsgi"))
        .file("apps/facts.wsgi", FACTS)
        .file("venv/pyvenv.cfg", &format!("home = /usr/bin\nversion = {first}.0\n"))
        .file("venv/lib/python3/placeholder.txt", "")
        .config(&format!("WSGIDaemonProcess home threads=2 python-version={last} python-home={{dir}}/venv\nWSGIScriptAlias /home {{apps}}/facts.wsgi process-group=home"));
    let bin = site.path("venv/bin");
    std::fs::create_dir(&bin).expect("mine");
    std::os::unix::fs::symlink(format!("/usr/bin/python{first}"), bin.join("python"))
        .expect("mine");
    for version in &versions {
        let name = format!("group{}", version.replace('.', "_"));
        site = site.config(&format!(
            "WSGIDaemonProcess {name} processes=2 threads=2 python-version={version}\nWSGIScriptAlias /{version} {{apps}}/facts.wsgi process-group={name}"
        ));
    }
    let server = site.start();
    for _ in 0..4 {
        assert_eq!(fact(&server, "/embedded", "version"), *first);
        assert_eq!(fact(&server, "/home", "version"), *first);
        for version in &versions {
            assert_eq!(fact(&server, &format!("/{version}"), "version"), *version);
        }
    }
    assert_eq!(fact(&server, "/home", "prefix"), server.fill("{dir}/venv"));
    let banner = server
        .get("/embedded")
        .header("Server")
        .unwrap_or_default()
        .to_owned();
    assert!(banner.contains(&format!("Python/{first}")), "{banner}");
    server.graceful();
    for version in &versions {
        assert_eq!(fact(&server, &format!("/{version}"), "version"), *version);
    }
}
