//! Which Python an Apache child runs, with which settings, and its start. On the child's main thread, before it serves.

use std::path::Path;

use wsgi_core::config::Global;
use wsgi_core::python::ProcessFacts;
use wsgi_core::scoreboard::Scoreboard;
use wsgi_runtime_api::discover::{DiscoverError, Installed};
use wsgi_runtime_api::host::Host;
use wsgi_runtime_api::runtime::{Runtime, RuntimeError};

use crate::apache::{Level, Server, log, mpm, process, scoreboard};
use crate::config;
use crate::installed::{self, InstallError, Wanted};

/// The process's error log, for the runtime.
struct Child;

impl Host for Child {
    fn log(level: u8, text: &[u8]) {
        log::process_record(Level::of_number(i32::from(level)), text);
    }

    fn log_enabled(level: u8) -> bool {
        Server::main().is_none_or(|main| main.logs(Level::of_number(i32::from(level))))
    }

    /// There is no inactivity timeout in a child (DP-99).
    fn activity() {}

    fn server_metrics() -> Option<Scoreboard> {
        let main = Server::main()?;
        let is_on = config::global(&main).server_metrics == Some(true);
        if is_on { scoreboard::read() } else { None }
    }

    /// Nor a startup timeout (DMN-450).
    fn script_loaded() {}
}

/// The runtime that children use, if they use one.
fn chosen(global: &Global) -> Result<Installed, InstallError> {
    installed::runtime(
        &installed::folders(global.runtime_directory.as_deref()),
        Wanted::of(global, None),
    )
}

/// Version of the Python in the server's banner (GEN-03): that of the children, also where only daemons run it. None without an
/// installed runtime.
pub fn python_version(global: &Global) -> Option<(u32, u32)> {
    chosen(global)
        .ok()
        .map(|found| (found.version.major, found.version.minor))
}

/// Whether children can start their Python, for `httpd -t`.
///
/// # Errors
/// Text for the person who starts Apache: there is no runtime for the Python that WSGIPythonHome or WSGIPythonVersion names, or
/// root must not trust it. Where nothing names a Python and none is installed, nobody may want embedded mode: Apache starts, and
/// says why embedded requests fail (WSGI0001, WSGI0210).
pub fn check(global: &Global) -> Result<(), String> {
    if !global.needs_embedded_python() {
        return Ok(());
    }
    match chosen(global) {
        Ok(_) => Ok(()),
        Err(InstallError::NoRuntime(DiscoverError::NoneInstalled(_)))
            if global.python_home.is_none() && global.python_version.is_none() =>
        {
            Ok(())
        }
        Err(error) => Err(format!(
            "Apache's children need a Python for embedded mode: {error}. If only daemon process groups are used, set \
             WSGIRestrictEmbedded On."
        )),
    }
}

/// Starts Python in this child and loads the scripts of embedded mode. None where it is not needed, or failed, which was logged.
pub(super) fn start(main: &Server<'_>) -> Option<Runtime> {
    let global = config::global(main);
    if !global.needs_embedded_python() {
        return None;
    }
    let runtime = match open(global) {
        Ok(runtime) => runtime,
        Err(text) => {
            main.log(
                Level::Crit,
                format!("WSGI0001: Python cannot be started in this Apache child: {text}"),
            );
            return None;
        }
    };
    let settings = global.python_settings(None, facts());
    if let Err(error) = runtime.start::<Child>(&settings) {
        main.log(
            Level::Crit,
            format!("WSGI0001: Python cannot be started in this Apache child: {error}"),
        );
        return None;
    }
    for script in global
        .import_scripts
        .iter()
        .filter(|script| script.process_group.is_empty())
    {
        // What fails was logged, and does not keep the others from being loaded (DIR-078).
        if let Err(error @ RuntimeError::Thread) = runtime.load(
            script.script.as_bytes(),
            script.application_group.as_bytes(),
        ) {
            main.log(
                Level::Error,
                format!("WSGI0040: '{}' is not loaded: {error}", script.script),
            );
        }
    }
    Some(runtime)
}

fn open(global: &Global) -> Result<Runtime, String> {
    let found = chosen(global).map_err(|error| error.to_string())?;
    Runtime::open(Path::new(&found.path)).map_err(|error| error.to_string())
}

/// What Python code can see of a child (ENV-41, API-113, API-114, API-401).
fn facts() -> ProcessFacts {
    let processes = mpm::maximum_processes().max(1);
    let threads = mpm::threads_per_process();
    ProcessFacts {
        multithread: threads != 1,
        multiprocess: processes != 1,
        run_once: false,
        service: false,
        one_process: mpm::is_one_process(),
        maximum_processes: processes,
        threads_per_process: threads,
        apache_pid: match mpm::is_one_process() {
            true => wsgi_sys::process::id(),
            false => wsgi_sys::process::parent_id(),
        },
        apache_version: process::compiled_version(),
        apache_maximum_processes: processes,
        apache_threads_per_process: threads,
        apache_description: process::server_banner(),
        apache_mpm_name: mpm::name(),
        apache_build_date: process::build_date(),
        implementation_version: env!("CARGO_PKG_VERSION").to_owned(),
    }
}
