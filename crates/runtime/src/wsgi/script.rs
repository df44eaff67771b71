//! Script files as modules: identity, loading, change detection (REQ-600 to REQ-640, API-045 to API-050).
//!
//! One lock for each script of an interpreter: a request waits only for the import of its own script, without the GIL. A
//! request whose script is loaded takes no lock.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fmt::Write;
use std::io::{ErrorKind, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use md5::{Digest, Md5};
use nix::errno::Errno;
use nix::unistd::{User, geteuid};
use parking_lot::{Condvar, Mutex};
use pyo3::exceptions::PyOSError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyInt, PyModule, PyString};

use super::process::{self, ERROR, INFO};
use super::report;
use super::state::State;
use crate::python::objects;

/// The scripts of an interpreter that were asked for, by path.
#[derive(Default)]
pub(crate) struct Scripts {
    table: Mutex<HashMap<Vec<u8>, Arc<Script>>>,
}

/// A script file.
pub(crate) struct Script {
    path: Vec<u8>,
    /// Name of its module.
    name: Py<PyString>,
    /// Its path as text.
    file: Py<PyString>,
    loading: Turn,
    /// Odd while it is being loaded, so that nobody takes a half-made module.
    generation: AtomicU64,
}

/// A lock whose guard may be taken without the GIL and kept with it, which a guard of `Mutex` may not.
#[derive(Default)]
pub(super) struct Turn {
    is_taken: Mutex<bool>,
    freed: Condvar,
}

/// Until it is dropped nobody else has the turn.
pub(super) struct Taken<'t>(&'t Turn);

impl Turn {
    /// Waits for it. To be called without the GIL.
    pub(super) fn take(&self) -> Taken<'_> {
        let mut is_taken = self.is_taken.lock();
        while *is_taken {
            self.freed.wait(&mut is_taken);
        }
        *is_taken = true;
        Taken(self)
    }
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        *self.0.is_taken.lock() = false;
        self.0.freed.notify_one();
    }
}

/// What is to be done if the file is not the one that was loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Changed {
    /// Nothing: changes are not looked for.
    Ignored,
    /// It is loaded again.
    Reloaded,
    /// The process has to be replaced (REQ-621).
    Reported,
}

/// What a request needs to know of its script.
pub(crate) enum Found<'py> {
    /// Its module, up to date.
    Module(Bound<'py, PyModule>),
    /// It changed, and changes are only reported.
    Changed,
    /// It cannot be loaded, which was logged.
    Failed,
}

/// In which context a script is loaded: decides the codes of failures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Context {
    /// For a request.
    Request,
    /// At start.
    Process,
}

/// Modification time of a file, microseconds since the epoch; None if it cannot be examined. Needs no GIL.
pub(crate) fn modified(path: &[u8]) -> Option<i64> {
    let status = std::fs::metadata(Path::new(OsStr::from_bytes(path))).ok()?;
    Some(microseconds(&status))
}

fn microseconds(status: &std::fs::Metadata) -> i64 {
    status
        .mtime()
        .saturating_mul(1_000_000)
        .saturating_add(status.mtime_nsec() / 1000)
}

/// Name of the module of a script (REQ-600).
fn module_name(path: &[u8], is_case_sensitive: bool) -> String {
    let mut name = "_mod_wsgi_".to_owned();
    let digest = if is_case_sensitive {
        Md5::digest(path)
    } else {
        Md5::digest(path.to_ascii_lowercase())
    };
    for byte in digest {
        let _ = write!(name, "{byte:02x}"); // to a String: cannot fail
    }
    name
}

impl Scripts {
    fn get(&self, py: Python<'_>, path: &[u8]) -> PyResult<Arc<Script>> {
        if let Some(script) = self.table.lock().get(path) {
            return Ok(Arc::clone(script));
        }
        let name = module_name(path, process::settings().case_sensitive);
        let script = Arc::new(Script {
            path: path.to_vec(),
            name: PyString::intern(py, &name).unbind(),
            file: objects::path(py, path)?.unbind(),
            loading: Turn::default(),
            generation: AtomicU64::new(0),
        });
        Ok(Arc::clone(
            self.table.lock().entry(path.to_vec()).or_insert(script),
        ))
    }

    /// The module of the script at `path`, whose file was modified at `modified` when it was last looked at. `resource`
    /// is asked about by `reload_required` (REQ-611); None if that is not asked.
    #[allow(clippy::too_many_arguments)] // one call, in which each of them is a fact of its own
    pub(crate) fn find<'py>(
        &self,
        py: Python<'py>,
        state: &State,
        path: &[u8],
        modified: Option<i64>,
        changed: Changed,
        resource: Option<&[u8]>,
        context: Context,
    ) -> PyResult<Found<'py>> {
        let script = self.get(py, path)?;
        let generation = script.generation.load(Ordering::Acquire);
        if let Some(found) = script.loaded(py, state, modified, changed, resource)? {
            match found {
                Status::Fresh(module) => return Ok(Found::Module(module)),
                Status::Stale if changed == Changed::Reported => return Ok(Found::Changed),
                Status::Stale => {}
            }
        }
        let (_only_one, modified) = py.detach(|| {
            let guard = script.loading.take();
            // Whoever held the lock may have loaded a newer file than the one that was looked at before.
            (guard, self::modified(path))
        });
        if script.generation.load(Ordering::Acquire) != generation {
            // Somebody else has loaded it meanwhile, unless that failed.
            match script.loaded(py, state, modified, changed, None)? {
                Some(Status::Fresh(module)) => return Ok(Found::Module(module)),
                Some(Status::Stale) if changed == Changed::Reported => return Ok(Found::Changed),
                _ => {}
            }
        }
        script.generation.fetch_add(1, Ordering::AcqRel);
        let result = script.load(py, state, context);
        script.generation.fetch_add(1, Ordering::AcqRel);
        Ok(result?.map_or(Found::Failed, Found::Module))
    }
}

enum Status<'py> {
    Fresh(Bound<'py, PyModule>),
    Stale,
}

impl Script {
    /// The module that is loaded, and whether it is up to date; None if there is none, or one is being loaded.
    fn loaded<'py>(
        &self,
        py: Python<'py>,
        state: &State,
        modified: Option<i64>,
        changed: Changed,
        resource: Option<&[u8]>,
    ) -> PyResult<Option<Status<'py>>> {
        let generation = self.generation.load(Ordering::Acquire);
        if generation % 2 == 1 {
            return Ok(None);
        }
        let module = state.sys_modules.bind(py).get_item(self.name.bind(py))?;
        let Some(module) = module else {
            return Ok(None);
        };
        if self.generation.load(Ordering::Acquire) != generation {
            return Ok(None);
        }
        let module = module.cast_into::<PyModule>()?;
        if changed == Changed::Ignored {
            return Ok(Some(Status::Fresh(module)));
        }
        let loaded = module.dict().get_item(state.names.mtime.bind(py))?;
        let loaded = loaded.filter(|time| time.is_instance_of::<PyInt>());
        let loaded: Option<i64> = loaded.and_then(|time| time.extract().ok());
        if loaded.is_none() || loaded != modified {
            // The file may have been looked at before it was changed, and be loaded by another thread since.
            let now = py.detach(|| self::modified(&self.path));
            if loaded.is_none() || loaded != now {
                return Ok(Some(Status::Stale));
            }
        }
        if let Some(resource) = resource {
            if self.wants_reload(py, state, &module, resource) {
                return Ok(Some(Status::Stale));
            }
        }
        Ok(Some(Status::Fresh(module)))
    }

    /// Asks the script itself (REQ-611); an exception counts as no.
    fn wants_reload(
        &self,
        py: Python<'_>,
        state: &State,
        module: &Bound<'_, PyModule>,
        resource: &[u8],
    ) -> bool {
        let ask = || -> PyResult<bool> {
            match module
                .dict()
                .get_item(state.names.reload_required.bind(py))?
            {
                Some(function) => function.call1((objects::path(py, resource)?,))?.is_truthy(),
                None => Ok(false),
            }
        };
        ask().unwrap_or_else(|error| {
            report::script_exception(py, &error, &self.text(), state.interpreter.name());
            false
        })
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.path).into_owned()
    }

    /// Loads the file; None if that failed, which was logged, an error if the request was interrupted meanwhile. The
    /// caller holds the lock.
    fn load<'py>(
        &self,
        py: Python<'py>,
        state: &State,
        context: Context,
    ) -> PyResult<Option<Bound<'py, PyModule>>> {
        let modules = state.sys_modules.bind(py);
        let is_again = modules.del_item(self.name.bind(py)).is_ok();
        let verb = if is_again { "Reload" } else { "Load" };
        let text = format!(
            "{verb} script '{}' ({}, {}).",
            self.text(),
            process::describe_interpreter(state.interpreter.name()),
            process::describe_location()
        );
        report::line(py, INFO, &text);
        let failure = match self.compile(py) {
            Ok((code, modified)) => match self.execute(py, state, &code, modified) {
                Ok(module) => {
                    process::script_loaded();
                    return Ok(Some(module));
                }
                Err(error) => Failure { error, read: false },
            },
            Err(error) => Failure { error, read: true },
        };
        if failure
            .error
            .is_instance(py, state.request_timeout.bind(py))
        {
            return Err(failure.error);
        }
        self.log(py, state, &failure, context);
        Ok(None)
    }

    fn compile<'py>(&self, py: Python<'py>) -> PyResult<(Bound<'py, PyAny>, i64)> {
        let read = || -> std::io::Result<(Vec<u8>, i64)> {
            let mut file = std::fs::File::open(Path::new(OsStr::from_bytes(&self.path)))?;
            // Of the file that is read, even if another one takes its place meanwhile.
            let modified = microseconds(&file.metadata()?);
            let mut source = Vec::new();
            file.read_to_end(&mut source)?;
            Ok((source, modified))
        };
        let read = py.detach(read);
        let (source, modified) = read.map_err(|error| self.unreadable(error))?;
        let source = PyBytes::new(py, &source);
        let compile = py.import("builtins")?.getattr("compile")?;
        let code = compile.call1((source, &self.file, "exec", 0, true))?;
        Ok((code, modified))
    }

    /// The exception that `open()` raises, with the path; where permission is missing it also names the user.
    fn unreadable(&self, error: std::io::Error) -> PyErr {
        let Some(number) = error.raw_os_error() else {
            return error.into();
        };
        let mut text = Errno::from_raw(number).desc().to_owned();
        if error.kind() == ErrorKind::PermissionDenied {
            let id = geteuid();
            let name = User::from_uid(id).ok().flatten().map(|user| user.name);
            let name = name.unwrap_or_else(|| "without a name".to_owned());
            let _ = write!(text, " for user {name} (uid {id})"); // to a String: cannot fail
        }
        PyOSError::new_err((number, text, self.text()))
    }

    fn execute<'py>(
        &self,
        py: Python<'py>,
        state: &State,
        code: &Bound<'py, PyAny>,
        modified: i64,
    ) -> PyResult<Bound<'py, PyModule>> {
        let module = objects::run_as_module(self.name.bind(py), code, self.file.bind(py))?;
        module.setattr(state.names.mtime.bind(py), modified)?;
        Ok(module)
    }

    fn log(&self, py: Python<'_>, state: &State, failure: &Failure, context: Context) {
        let is_exit = report::is_system_exit(py, &failure.error);
        let (code, what) = match (failure.read, is_exit, context) {
            (true, _, Context::Request) => ("WSGI0105", "cannot be read or compiled"),
            (true, _, Context::Process) => ("WSGI0106", "cannot be read or compiled"),
            (false, true, Context::Request) => {
                ("WSGI0107", "raised SystemExit while it was loaded")
            }
            (false, true, Context::Process) => {
                ("WSGI0108", "raised SystemExit while it was loaded")
            }
            (false, false, Context::Request) => {
                ("WSGI0109", "raised an exception while it was loaded")
            }
            (false, false, Context::Process) => {
                ("WSGI0110", "raised an exception while it was loaded")
            }
        };
        if is_exit && process::settings().facts.service {
            return;
        }
        let text = format!(
            "{code}: Script '{}' {what} ({}, {}).",
            self.text(),
            process::describe_interpreter(state.interpreter.name()),
            process::describe_location()
        );
        report::line(py, ERROR, &text);
        report::script_exception(py, &failure.error, &self.text(), state.interpreter.name());
    }
}

struct Failure {
    error: PyErr,
    /// Reading or compiling failed, not running.
    read: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// REQ-600: the name of a module is made of the path as it is, or in lower case.
    #[test]
    fn module_names() {
        assert_eq!(
            module_name(b"/a/B.wsgi", true),
            "_mod_wsgi_9745c24357c9763a51e354c9632e6840"
        );
        assert_eq!(
            module_name(b"/A/b.wsgi", false),
            module_name(b"/a/b.wsgi", true)
        );
    }
}
