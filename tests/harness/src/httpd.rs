//! The httpd on this machine.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// Where httpd and its own modules are.
#[derive(Debug)]
pub struct Httpd {
    binary: PathBuf,
    modules: PathBuf,
}

impl Httpd {
    /// `HTTPD`, or `apache2`, or `httpd`; its modules in `HTTPD_MODULES` or the usual folders.
    ///
    /// # Panics
    /// If there is none, naming the package.
    pub fn installed() -> &'static Httpd {
        static FOUND: OnceLock<Httpd> = OnceLock::new();
        FOUND.get_or_init(|| {
            let binary = env::var_os("HTTPD").map(PathBuf::from).or_else(|| {
                [
                    "/usr/sbin/apache2",
                    "/usr/sbin/httpd",
                    "/usr/local/apache2/bin/httpd",
                ]
                .iter()
                .map(PathBuf::from)
                .find(|path| path.is_file())
            });
            let modules = env::var_os("HTTPD_MODULES").map(PathBuf::from).or_else(|| {
                [
                    "/usr/lib/apache2/modules",
                    "/usr/lib64/httpd/modules",
                    "/usr/local/apache2/modules",
                ]
                .iter()
                .map(PathBuf::from)
                .find(|path| path.is_dir())
            });
            Httpd {
                binary: binary.expect(
                    "httpd is installed (Debian: apt install apache2-bin), or HTTPD names it",
                ),
                modules: modules
                    .expect("httpd's modules are installed, or HTTPD_MODULES names their folder"),
            }
        })
    }

    /// The folder of its modules.
    pub fn modules(&self) -> &Path {
        &self.modules
    }

    /// The `LoadModule` line for one of httpd's modules, such as `rewrite`; empty for one that is compiled in.
    ///
    /// # Panics
    /// If it is neither installed nor compiled in.
    pub fn load(&self, module: &str) -> String {
        let file = self.modules.join(format!("mod_{module}.so"));
        if file.is_file() {
            return format!("LoadModule {module}_module {}\n", file.display());
        }
        let compiled = self.compiled().contains(&format!("mod_{module}.c"));
        assert!(
            compiled,
            "httpd has no module {module} ({} is missing)",
            file.display()
        );
        String::new()
    }

    fn compiled(&self) -> &'static str {
        static LIST: OnceLock<String> = OnceLock::new();
        LIST.get_or_init(|| {
            let output = Command::new(&self.binary)
                .arg("-l")
                .output()
                .expect("httpd -l runs");
            String::from_utf8_lossy(&output.stdout).into_owned()
        })
    }

    /// A command that runs httpd with this configuration and with `marker` in its environment, which is otherwise bare. A
    /// group of its own: httpd ends its whole process group when it stops. Where `setpriv` exists the server goes with the
    /// thread that started it, so that a killed test leaves nothing behind.
    pub(crate) fn command(&self, configuration: &Path, marker: &(String, String)) -> Command {
        use std::os::unix::process::CommandExt;

        let mut command = if Path::new("/usr/bin/setpriv").is_file() {
            let mut command = Command::new("/usr/bin/setpriv");
            command.args(["--pdeathsig", "TERM"]).arg(&self.binary);
            command
        } else {
            Command::new(&self.binary)
        };
        command
            .arg("-f")
            .arg(configuration)
            .env_clear()
            .env(
                "PATH",
                "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            )
            .env(&marker.0, &marker.1)
            .process_group(0);
        // A test that made this folder has a reason to have the server's temporary files there.
        let temporary = configuration.with_file_name("tmp");
        if temporary.is_dir() {
            command.env("TMPDIR", temporary);
        }
        command
    }
}
