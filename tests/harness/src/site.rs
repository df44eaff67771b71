//! What a test wants to be served: the description of an httpd before it runs.

use std::fs::{self, Permissions};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::check::ConfigCheck;
use crate::httpd::Httpd;
use crate::server::Server;
use crate::subject::subject;
use crate::surroundings::{is_root, python_version, repository, unprivileged_user};

/// A multi-processing module of httpd.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mpm {
    /// `mpm_event`
    Event,
    /// `mpm_worker`
    Worker,
    /// `mpm_prefork`
    Prefork,
}

impl Mpm {
    /// As in `LoadModule mpm_<name>_module`.
    pub fn name(self) -> &'static str {
        match self {
            Mpm::Event => "event",
            Mpm::Worker => "worker",
            Mpm::Prefork => "prefork",
        }
    }

    /// Small servers: tests want few processes, but more than one thread or process. More slots than processes, for those of old
    /// generations that still end on a busy machine (else AH03490, and nobody serves).
    fn sizes(self) -> &'static str {
        match self {
            Mpm::Event | Mpm::Worker => {
                "StartServers 1\nServerLimit 12\nThreadLimit 80\nThreadsPerChild 16\nMaxRequestWorkers 64\n\
                 MinSpareThreads 1\nMaxSpareThreads 64\n"
            }
            Mpm::Prefork => {
                "StartServers 2\nServerLimit 80\nMaxRequestWorkers 20\nMinSpareServers 1\nMaxSpareServers 20\n"
            }
        }
    }
}

/// Where the applications of a site run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// In the children of httpd.
    Embedded,
    /// In a daemon group called `live`.
    Daemon,
}

/// The number of ports a site may listen on.
const PORTS: usize = 3;

/// The description of a server. Text given to it may hold `{dir}` (the server's folder), `{apps}`, `{data}` (writable for
/// everybody), `{run}` (sockets), `{htdocs}`, `{port}`, `{port2}` and `{port3}`. Its folder exists from the beginning and goes
/// with it.
#[derive(Debug)]
pub struct Site {
    pub(crate) mpm: Mpm,
    pub(crate) mode: Mode,
    pub(crate) folder: TempDir,
    pub(crate) ports: [u16; PORTS],
    modules: Vec<String>,
    daemon_options: String,
    application_group: bool,
    pub(crate) one_process: bool,
    socket_prefix: bool,
    log_level: String,
    pub(crate) variables: Vec<(String, String)>,
    early: String,
    parts: Vec<String>,
}

impl Site {
    /// A site without any application; its scripts run in the main interpreter unless
    /// [`Site::without_application_group`] is used.
    ///
    /// # Panics
    /// If its folder cannot be made.
    pub fn new(mpm: Mpm, mode: Mode) -> Site {
        let folder = tempfile::Builder::new()
            .prefix("wsgi-live-")
            .tempdir()
            .expect("a folder in /tmp");
        open_folder(folder.path(), 0o755);
        for (name, mode) in [
            ("apps", 0o755),
            ("data", 0o777),
            ("run", 0o755),
            ("htdocs", 0o755),
        ] {
            let path = folder.path().join(name);
            fs::create_dir(&path).expect("a folder inside a new folder");
            open_folder(&path, mode);
        }
        Site {
            mpm,
            mode,
            folder,
            ports: free_ports(),
            modules: Vec::new(),
            daemon_options: "processes=1 threads=4".to_owned(),
            application_group: true,
            one_process: false,
            socket_prefix: true,
            log_level: "notice wsgi:info".to_owned(),
            variables: Vec::new(),
            early: String::new(),
            parts: Vec::new(),
        }
    }

    /// An embedded site under the event MPM, for what does not depend on either.
    pub fn embedded() -> Site {
        Site::new(Mpm::Event, Mode::Embedded)
    }

    /// A site with a daemon group under the event MPM.
    pub fn daemon() -> Site {
        Site::new(Mpm::Event, Mode::Daemon)
    }

    /// Loads modules of httpd, such as `rewrite`.
    #[must_use]
    pub fn modules(mut self, names: &[&str]) -> Site {
        self.modules
            .extend(names.iter().map(|name| (*name).to_owned()));
        self
    }

    /// The options of the group `live` (only in [`Mode::Daemon`]); default `processes=1 threads=4`.
    #[must_use]
    pub fn daemon_options(mut self, options: &str) -> Site {
        options.clone_into(&mut self.daemon_options);
        self
    }

    /// Configuration before `User` and `Group`; see [`Site::config`] for what comes behind.
    #[must_use]
    pub fn early_config(mut self, text: &str) -> Site {
        text.clone_into(&mut self.early);
        self
    }

    /// A variable of the environment that httpd is started with, which holds little else.
    #[must_use]
    pub fn variable(mut self, name: &str, value: &str) -> Site {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    /// No `WSGIApplicationGroup %{GLOBAL}` in the main server.
    #[must_use]
    pub fn without_application_group(mut self) -> Site {
        self.application_group = false;
        self
    }

    /// Has httpd serve with its parent process, as a debugger wants it (`httpd -X`).
    #[must_use]
    pub fn one_process(mut self) -> Site {
        self.one_process = true;
        self
    }

    /// No `WSGISocketPrefix`.
    #[must_use]
    pub fn without_socket_prefix(mut self) -> Site {
        self.socket_prefix = false;
        self
    }

    /// The `LogLevel`; default `notice wsgi:info`.
    #[must_use]
    pub fn log_level(mut self, level: &str) -> Site {
        level.clone_into(&mut self.log_level);
        self
    }

    /// Adds configuration.
    #[must_use]
    pub fn config(mut self, text: &str) -> Site {
        self.parts.push(text.to_owned());
        self
    }

    /// Writes a file into the site's folder; placeholders in the text are filled in.
    ///
    /// # Panics
    /// If it cannot be written.
    #[must_use]
    pub fn file(self, name: &str, text: &str) -> Site {
        let path = self.folder.path().join(name);
        let parent = path.parent().expect("a file lies in a folder");
        fs::create_dir_all(parent).expect("folders inside the site's folder can be made");
        fs::write(&path, self.fill(text)).expect("files inside the site's folder can be written");
        self
    }

    /// Copies a file or folder of `tests/apps` into the site's `apps`.
    ///
    /// # Panics
    /// If it is not there.
    #[must_use]
    pub fn shared(self, name: &str) -> Site {
        copy(
            &repository().join("tests/apps").join(name),
            &self.folder.path().join("apps").join(name),
        );
        self
    }

    /// Writes a script and mounts it at a URL with `WSGIScriptAlias`; `options` are the alias's.
    #[must_use]
    pub fn script_with(self, url: &str, options: &str, text: &str) -> Site {
        let name = script_name(url);
        self.file(&format!("apps/{name}"), text)
            .config(&format!("WSGIScriptAlias {url} {{apps}}/{name} {options}"))
    }

    /// Writes a script and mounts it at a URL.
    #[must_use]
    pub fn script(self, url: &str, text: &str) -> Site {
        self.script_with(url, "", text)
    }

    /// Mounts every script `NAME.wsgi` of the site's `apps` at `/case/NAME`, also one that is written later
    /// ([`Server::case`]).
    #[must_use]
    pub fn cases(self) -> Site {
        self.config("WSGIScriptAliasMatch ^/case/([A-Za-z0-9_-]+) {apps}/$1.wsgi")
    }

    /// The site's folder.
    pub fn dir(&self) -> &Path {
        self.folder.path()
    }

    /// A path inside the site's folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Starts it.
    ///
    /// # Panics
    /// If it does not come up, with its log.
    #[track_caller]
    pub fn start(self) -> Server {
        Server::start(self)
    }

    /// Has httpd check the configuration (`httpd -t`) without starting it.
    pub fn check(&self) -> ConfigCheck {
        ConfigCheck::run(self, &[])
    }

    /// As [`Site::check`], with more arguments, such as `-DDUMP_WSGI`.
    pub fn check_with(&self, arguments: &[&str]) -> ConfigCheck {
        ConfigCheck::run(self, arguments)
    }

    /// Fills in the placeholders.
    pub(crate) fn fill(&self, text: &str) -> String {
        fill(text, self.folder.path(), &self.ports)
    }

    /// Other ports, after the first ones were taken by somebody else in the meantime.
    pub(crate) fn change_ports(&mut self) {
        self.ports = free_ports();
    }

    /// Writes the configuration file and returns its path.
    pub(crate) fn write_configuration(&self) -> PathBuf {
        let path = self.folder.path().join("httpd.conf");
        fs::write(&path, self.fill(&self.configuration()))
            .expect("the configuration can be written");
        path
    }

    fn configuration(&self) -> String {
        let httpd = Httpd::installed();
        let mut text = String::from(
            "ServerRoot {dir}\nServerName localhost\nListen 127.0.0.1:{port}\nPidFile {dir}/httpd.pid\n\
             DefaultRuntimeDir {dir}/run\nErrorLog {dir}/error.log\nDocumentRoot {dir}/htdocs\nTimeout 60\n\
             KeepAliveTimeout 15\nMaxKeepAliveRequests 0\n",
        );
        text += &httpd.load(&format!("mpm_{}", self.mpm.name()));
        let base = ["unixd", "log_config", "authz_core"].map(str::to_owned);
        let mut loaded: Vec<&String> = Vec::new();
        for module in base.iter().chain(&self.modules) {
            if !loaded.contains(&module) {
                text += &httpd.load(module);
                loaded.push(module);
            }
        }
        text += &format!("LoadModule wsgi_module {}\n", subject().module().display());
        if let Some(version) = python_version() {
            text += &format!("WSGIPythonVersion {version}\n");
        }
        text += &format!("LogLevel {}\n", self.log_level);
        text += &self.early;
        text.push('\n');
        text += "CustomLog {dir}/access.log \"%>s %m %U %B\"\n";
        if is_root() {
            let user = unprivileged_user();
            text += &format!("User {}\nGroup #{}\n", user.name, user.gid);
        }
        text += self.mpm.sizes();
        text += "<Directory />\nAllowOverride None\nRequire all granted\n</Directory>\n";
        if self.socket_prefix {
            text += "WSGISocketPrefix {run}/wsgi\n";
        }
        if self.application_group {
            text += "WSGIApplicationGroup %{GLOBAL}\n";
        }
        if self.mode == Mode::Daemon {
            text += &format!(
                "WSGIDaemonProcess live {}\nWSGIProcessGroup live\n",
                self.daemon_options
            );
        }
        for part in &self.parts {
            text += part;
            text.push('\n');
        }
        text
    }
}

pub(crate) fn fill(text: &str, folder: &Path, ports: &[u16; PORTS]) -> String {
    let folder = folder.to_str().expect("folders of tests have plain names");
    let mut text = text.replace("{dir}", folder);
    for name in ["apps", "data", "run", "htdocs"] {
        text = text.replace(&format!("{{{name}}}"), &format!("{folder}/{name}"));
    }
    text.replace("{port}", &ports[0].to_string())
        .replace("{port2}", &ports[1].to_string())
        .replace("{port3}", &ports[2].to_string())
}

/// `/` is `root.wsgi`, `/a/b` is `a_b.wsgi`.
fn script_name(url: &str) -> String {
    let name = url.trim_matches('/').replace('/', "_");
    if name.is_empty() {
        "root.wsgi".to_owned()
    } else {
        format!("{name}.wsgi")
    }
}

fn free_ports() -> [u16; PORTS] {
    // All at once, so that they differ.
    let listeners = [(); PORTS].map(|()| TcpListener::bind("127.0.0.1:0").expect("a free port"));
    listeners.map(|listener| {
        listener
            .local_addr()
            .expect("a bound socket has an address")
            .port()
    })
}

fn open_folder(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode))
        .expect("the owner may change permissions");
}

fn copy(from: &Path, to: &Path) {
    if from.is_dir() {
        fs::create_dir_all(to).expect("a folder can be made in the site's folder");
        let entries =
            fs::read_dir(from).unwrap_or_else(|error| panic!("{}: {error}", from.display()));
        for entry in entries {
            let entry = entry.expect("a folder of the repository can be read");
            if entry.file_name() != "__pycache__" {
                copy(&entry.path(), &to.join(entry.file_name()));
            }
        }
    } else {
        fs::copy(from, to).unwrap_or_else(|error| panic!("{}: {error}", from.display()));
    }
}
