//! Packages of the distribution, fetched with apt as any user of the machine may, and unpacked, not installed.
//!
//! A package that cannot be fetched is a failure. Only one that this release of Debian does not have is skipped, which is said on
//! the terminal also where the test passes. What was fetched stays under `target`, so that a second run needs no network.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Write, stderr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, OnceLock, PoisonError};

use tempfile::TempDir;

/// The packages that ship a configuration for mod_wsgi, and the releases of Debian that have them.
const PACKAGES: [(&str, &[&str]); 6] = [
    ("graphite-web", &["12", "13"]),
    ("openstack-dashboard-apache", &["12", "13"]),
    ("wims-lti", &["12", "13"]),
    ("x2gobroker-wsgi", &["12"]),
    ("supysonic", &["12", "13"]),
    ("pywps-wsgi", &["12", "13"]),
];

/// A package's files.
pub(super) struct Package(TempDir);

impl Package {
    /// The text of a file that it ships.
    #[track_caller]
    pub(super) fn text(&self, file: &str) -> String {
        let path = self.0.path().join(file);
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }
}

/// A package, unpacked; None, with the reason on the terminal, where this release has none of this name.
#[track_caller]
pub(super) fn package(name: &str) -> Option<Package> {
    let Some(file) = fetched(name) else {
        tell(&format!(
            "skipped: {} has no package {name}",
            release().shown
        ));
        return None;
    };
    let folder = tempfile::tempdir().expect("a folder in /tmp");
    let unpacked = run(Command::new("dpkg-deb")
        .arg("-x")
        .arg(&file)
        .arg(folder.path()));
    unpacked.unwrap_or_else(|why| panic!("{}: {why}", file.display()));
    Some(Package(folder))
}

/// The file of a package, fetched once in a run; None where this release has none of this name.
#[track_caller]
fn fetched(name: &str) -> Option<PathBuf> {
    static FETCHED: Mutex<BTreeMap<String, Option<PathBuf>>> = Mutex::new(BTreeMap::new());
    // One at a time; after a panic the others say for themselves why theirs cannot be had.
    let mut fetched = FETCHED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(file) = fetched.get(name) {
        return file.clone();
    }
    let file = fetch(name);
    fetched.insert(name.to_owned(), file.clone());
    file
}

#[track_caller]
fn fetch(name: &str) -> Option<PathBuf> {
    let folder = kept().join(name);
    fs::create_dir_all(&folder).expect("folders below target can be made");
    // The system's lists first, if there are any: they may also be older than the archive.
    static SYSTEM: OnceLock<bool> = OnceLock::new();
    if *SYSTEM.get_or_init(|| has_lists(&[])) {
        let version = candidate(name, &[])?;
        if let Ok(file) = download(name, &version, &folder, &[]) {
            return Some(file);
        }
    }
    let lists = own_lists();
    let version = candidate(name, lists)?;
    match download(name, &version, &folder, lists) {
        Ok(file) => Some(file),
        Err(why) => panic!(
            "the package {name} cannot be fetched: {why}\nThis test needs the archive of the distribution, or {} from a run \
             that had it.",
            folder.display()
        ),
    }
}

/// Where packages and lists are kept.
fn kept() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("packages")
}

/// Options of apt for lists of our own, made anew once in each run: those of the system are missing or too old, and only root
/// could renew them.
fn own_lists() -> &'static [String] {
    static LISTS: OnceLock<Result<Vec<String>, String>> = OnceLock::new();
    let made = LISTS.get_or_init(|| {
        let folder = kept().join("apt");
        for part in ["lists/partial", "cache/archives/partial"] {
            fs::create_dir_all(folder.join(part)).map_err(|error| error.to_string())?;
        }
        let folder = folder.display();
        let options: Vec<String> = [
            format!("Dir::State::lists={folder}/lists"),
            format!("Dir::Cache={folder}/cache"),
            "Acquire::Languages=none".to_owned(),
            // The user _apt need not be able to come here.
            "APT::Sandbox::User=root".to_owned(),
        ]
        .into_iter()
        .flat_map(|option| ["-o".to_owned(), option])
        .collect();
        // Succeeds also where nothing can be fetched.
        let said = run(apt("apt-get", &options).args(["-q", "update"]))?;
        if has_lists(&options) {
            Ok(options)
        } else {
            Err(said)
        }
    });
    match made {
        Ok(options) => options,
        Err(why) => panic!("the lists of the distribution's archive cannot be had: {why}"),
    }
}

fn apt(program: &str, options: &[String]) -> Command {
    let mut command = Command::new(program);
    command
        .args(options)
        .args(["-o", "Acquire::http::Timeout=20"])
        .args(["-o", "Acquire::Retries=2"]);
    command
}

/// Whether there are lists of an archive of Debian: apt also knows what is installed, which this does not count.
fn has_lists(lists: &[String]) -> bool {
    run(apt("apt-cache", lists).args(["madison", "apache2"]))
        .is_ok_and(|text| !text.trim().is_empty())
}

/// The version that apt would install; None where the lists have no such package.
#[track_caller]
fn candidate(name: &str, lists: &[String]) -> Option<String> {
    match run(apt("apt-cache", lists).args(["policy", name])) {
        Ok(text) => text
            .lines()
            .find_map(|line| line.trim().strip_prefix("Candidate: "))
            .filter(|version| *version != "(none)")
            .map(str::to_owned),
        Err(why) => panic!("this test fetches packages of Debian: {why}"),
    }
}

/// apt checks the file against its lists, also one that is there already.
fn download(name: &str, version: &str, folder: &Path, lists: &[String]) -> Result<PathBuf, String> {
    run(apt("apt-get", lists)
        .args(["-q", "download", &format!("{name}={version}")])
        .current_dir(folder))?;
    let start = format!("{name}_{}_", version.replace(':', "%3a"));
    let entries = fs::read_dir(folder).map_err(|error| error.to_string())?;
    entries
        .flatten()
        .map(|entry| entry.path())
        .find(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            name.starts_with(&start) && name.ends_with(".deb")
        })
        .ok_or_else(|| format!("apt-get left no {start}*.deb in {}", folder.display()))
}

/// What a program prints.
fn run(command: &mut Command) -> Result<String, String> {
    let program = command.get_program().to_string_lossy().into_owned();
    match command.env("LC_ALL", "C.UTF-8").output() {
        Ok(done) if done.status.success() => Ok(String::from_utf8_lossy(&done.stdout).into_owned()),
        Ok(done) => Err(format!(
            "{program}: {}: {}",
            done.status,
            String::from_utf8_lossy(&done.stderr).trim()
        )),
        Err(error) => Err(format!("{program}: {error}")),
    }
}

/// Past the test runner, which keeps what passing tests print.
fn tell(text: &str) {
    // Nobody may be there to read it.
    let _ = writeln!(stderr(), "{text}");
}

/// The distribution and its version.
struct Release {
    /// `Debian GNU/Linux 12 (bookworm)`
    shown: String,
    /// `12`; empty for a release in the making.
    version: String,
}

fn release() -> Release {
    let text = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let value = |name: &str| {
        let found = text
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        found.unwrap_or_default().trim_matches('"').to_owned()
    };
    Release {
        shown: value("PRETTY_NAME"),
        version: value("VERSION_ID"),
    }
}

/// How many there are here: all that are known to be in this release, and never none.
#[test]
fn packages_of_this_release() {
    let release = release();
    let missing: Vec<&str> = PACKAGES
        .iter()
        .filter(|(name, _)| fetched(name).is_none())
        .map(|(name, _)| *name)
        .collect();
    tell(&format!(
        "drop-in: {} of {} packages are in {}{}",
        PACKAGES.len() - missing.len(),
        PACKAGES.len(),
        release.shown,
        match missing.join(", ") {
            names if names.is_empty() => String::new(),
            names => format!("; skipped, as they are not: {names}"),
        }
    ));
    for (name, releases) in PACKAGES {
        let should = releases.contains(&release.version.as_str());
        assert!(
            !should || !missing.contains(&name),
            "{} has {name}, but apt does not know it",
            release.shown
        );
    }
    assert!(missing.len() < PACKAGES.len(), "no package could be tested");
}
