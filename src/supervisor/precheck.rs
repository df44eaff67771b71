//! What `httpd -t` can tell about a group before any of its processes tries: folders that are not there. A running server
//! does not end over them: such a group answers 503 until the folder is there, and the others serve (DMN-107).

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use wsgi_core::config::{DaemonGroup, Global};

/// Looks for the folders that the options of a group name.
///
/// # Errors
/// Text for the person who checks the configuration.
pub(super) fn folders(global: &Global, group: &DaemonGroup) -> Result<(), String> {
    let options = &group.options;
    let root = options.chroot.as_deref();
    let home = options.home.as_deref();
    // Python starts inside of a chroot directory, where nothing can be said about its home from here.
    let (python, says_it) = match &options.python_home {
        Some(own) => (Some(own), "python-home"),
        None => (global.python_home.as_ref(), "WSGIPythonHome"),
    };
    let python = python.filter(|_| root.is_none());
    let wanted = [
        ("chroot", root.map(PathBuf::from)),
        ("home", home.map(|home| inside(root, home))),
        (says_it, python.map(PathBuf::from)),
    ];
    for (option, path) in wanted {
        let Some(path) = path else { continue };
        let what = match std::fs::metadata(&path) {
            Ok(metadata) if metadata.is_dir() => continue,
            Ok(_) => "is no directory",
            Err(error) if is_missing(&error) => "does not exist",
            // Whoever checks may see less than the server will.
            Err(_) => continue,
        };
        return Err(format!(
            "WSGIDaemonProcess {}: '{}' ({option}) {what}; create it, or correct {option}",
            group.name,
            path.display()
        ));
    }
    Ok(())
}

fn is_missing(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
}

/// Where a path inside of a chroot directory is from outside.
fn inside(root: Option<&str>, path: &str) -> PathBuf {
    match root {
        Some(root) => Path::new(root).join(path.trim_start_matches('/')),
        None => PathBuf::from(path),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wsgi_core::config::DaemonOptions;

    /// DMN-106: folders that are missing are told with the option that names them.
    #[test]
    fn missing_folders_are_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
        std::fs::write(path("file"), "").unwrap();
        std::fs::create_dir_all(path("root/srv")).unwrap();
        let text = |set: &dyn Fn(&mut DaemonGroup)| {
            let mut group = DaemonGroup {
                name: "site".to_owned(),
                id: 1,
                server_ordinal: 0,
                server_name: None,
                options: DaemonOptions::default(),
            };
            set(&mut group);
            folders(&Global::default(), &group)
                .err()
                .unwrap_or_default()
        };
        assert_eq!(text(&|_| ()), "");
        let missing = text(&|group| group.options.home = Some(path("nowhere")));
        assert!(missing.contains("(home) does not exist"), "{missing}");
        let file = text(&|group| group.options.python_home = Some(path("file")));
        assert!(file.contains("(python-home) is no directory"), "{file}");
        let global = Global {
            python_home: Some(path("nowhere")),
            ..Global::default()
        };
        let group = DaemonGroup {
            name: "site".to_owned(),
            id: 1,
            server_ordinal: 0,
            server_name: None,
            options: DaemonOptions::default(),
        };
        let general = folders(&global, &group).unwrap_err();
        assert!(
            general.contains("(WSGIPythonHome) does not exist"),
            "{general}"
        );
        let jail = |home: &'static str| {
            text(&|group| {
                group.options.chroot = Some(path("root"));
                group.options.home = Some(home.to_owned());
                group.options.python_home = Some("/venv".to_owned());
            })
        };
        assert_eq!(jail("/srv"), "");
        assert!(jail("/tmp").contains("root/tmp"), "{}", jail("/tmp"));
    }
}
