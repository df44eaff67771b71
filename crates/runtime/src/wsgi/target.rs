//! Module targets: `module:NAME:CALLABLE` in place of a script file. Python imports the module by its name; here is where
//! its application is kept, and how a change of its files is noticed.
//!
//! As for scripts, a request waits for the import of its own target only, without the GIL, and takes no lock where the
//! application is there. Files are looked at without the GIL, before the interpreter is entered.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;
use pyo3::prelude::*;
use pyo3::types::PyString;

use super::process::{self, INFO};
use super::report;
use super::resolve::{import, resolve};
use super::script::{self, Turn};
use super::state::State;

/// How far the clock of a file system lags behind the time of day, microseconds.
const CLOCK_OF_FILES: i64 = 20_000;

/// The module targets of an interpreter that were asked for.
pub(crate) struct Targets {
    /// When the interpreter was made, microseconds since the epoch.
    since: i64,
    table: Mutex<HashMap<Key, Arc<Target>>>,
}

/// Name of the module, and callable.
type Key = (Vec<u8>, Vec<u8>);

struct Target {
    name: String,
    /// As configured.
    callable: String,
    loading: Turn,
    loaded: Mutex<Option<Loaded>>,
    /// What is looked at before a request.
    watch: Mutex<Watch>,
}

struct Loaded {
    application: Py<PyAny>,
    generation: u64,
}

/// Files whose change makes a target stale.
#[derive(Default)]
struct Watch {
    /// Counts loads; 0 is none.
    generation: u64,
    /// A file may have changed between its import and the first look at it if it is from after this time.
    since: i64,
    /// File of the module itself.
    own: Option<Stamp>,
    /// Files of the other modules of its package.
    others: Vec<Stamp>,
    /// Size of `sys.modules` when it was searched last.
    known_modules: usize,
}

/// A file and when it was modified, as far as the loaded code is concerned.
struct Stamp {
    path: Vec<u8>,
    /// Microseconds since the epoch; None if that is not known.
    modified: Option<i64>,
}

impl Stamp {
    fn is_stale(&self) -> bool {
        self.modified.is_none() || script::modified(&self.path) != self.modified
    }
}

/// What a request wants of a target.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted<'r> {
    /// Name of the module.
    pub(crate) name: &'r [u8],
    /// Where its application is.
    pub(crate) callable: &'r [u8],
    /// Whether files of other modules of its package count.
    pub(crate) whole_package: bool,
}

/// What a request needs to know of its target.
pub(crate) enum Found<'py> {
    /// The application, up to date.
    Application(Bound<'py, PyAny>),
    /// Files changed, and that is only reported.
    Changed,
    /// It cannot be had, which was logged.
    Failed,
}

fn now() -> i64 {
    let time = SystemTime::now().duration_since(UNIX_EPOCH);
    time.map_or(0, |time| {
        i64::try_from(time.as_micros()).unwrap_or(i64::MAX)
    })
}

impl Default for Targets {
    fn default() -> Targets {
        Targets {
            since: now(),
            table: Mutex::default(),
        }
    }
}

impl Targets {
    fn get(&self, wanted: &Wanted<'_>) -> Option<Arc<Target>> {
        let table = self.table.lock();
        table
            .get(&(wanted.name.to_vec(), wanted.callable.to_vec()))
            .map(Arc::clone)
    }

    fn get_or_add(&self, wanted: &Wanted<'_>) -> Arc<Target> {
        let key = (wanted.name.to_vec(), wanted.callable.to_vec());
        let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
        let add = || {
            Arc::new(Target {
                name: text(wanted.name),
                callable: text(wanted.callable),
                loading: Turn::default(),
                loaded: Mutex::default(),
                watch: Mutex::default(),
            })
        };
        Arc::clone(self.table.lock().entry(key).or_insert_with(add))
    }

    /// The load of which a file has changed; None if nothing has. Needs no GIL.
    pub(crate) fn stale(&self, wanted: &Wanted<'_>) -> Option<u64> {
        let target = self.get(wanted)?;
        let watch = target.watch.lock();
        let mut stamps = watch.own.iter().chain(&watch.others);
        if !wanted.whole_package {
            stamps = watch.own.iter().chain(&[]);
        }
        stamps.any(Stamp::is_stale).then_some(watch.generation)
    }

    /// What the files of a target look like now, as one number; 0 for one that nobody asked for. Needs no GIL.
    pub(crate) fn stamp(&self, wanted: &Wanted<'_>) -> u64 {
        let Some(target) = self.get(wanted) else {
            return 0;
        };
        let mut hasher = DefaultHasher::new();
        let watch = target.watch.lock();
        for stamp in watch.own.iter().chain(&watch.others) {
            script::modified(&stamp.path).hash(&mut hasher);
        }
        hasher.finish()
    }

    /// The application of a target. `stale` is the load whose files have changed.
    pub(crate) fn find<'py>(
        &self,
        py: Python<'py>,
        state: &State,
        wanted: &Wanted<'_>,
        stale: Option<u64>,
        only_report: bool,
    ) -> PyResult<Found<'py>> {
        let target = self.get_or_add(wanted);
        if let Some(application) = target.fresh(py, stale) {
            return Ok(Found::Application(application));
        }
        if only_report && target.loaded.lock().is_some() {
            return Ok(Found::Changed);
        }
        let _only_one = py.detach(|| target.loading.take());
        // Somebody else may have loaded it meanwhile.
        if let Some(application) = target.fresh(py, stale) {
            return Ok(Found::Application(application));
        }
        target.load(py, state, self.since, only_report)
    }

    /// Watches the modules that were imported since the target was loaded.
    pub(crate) fn watch_new(&self, py: Python<'_>, state: &State, wanted: &Wanted<'_>) {
        if let Some(target) = self.get(wanted) {
            target.watch_new(py, state);
        }
    }
}

impl Target {
    /// The application, unless it is of the load that is stale.
    fn fresh<'py>(&self, py: Python<'py>, stale: Option<u64>) -> Option<Bound<'py, PyAny>> {
        let loaded = self.loaded.lock();
        let loaded = loaded.as_ref()?;
        (stale != Some(loaded.generation)).then(|| loaded.application.bind(py).clone())
    }

    /// `module:NAME`, for the log.
    fn shown(&self) -> String {
        format!("module:{}", self.name)
    }

    fn load<'py>(
        &self,
        py: Python<'py>,
        state: &State,
        interpreter_since: i64,
        only_report: bool,
    ) -> PyResult<Found<'py>> {
        let modules = state.sys_modules.bind(py);
        let is_again = self.watch.lock().generation > 0;
        let name = PyString::new(py, &self.name);
        // Only the module itself, as for a script: what others hold of it stays as it is.
        let was_there = if is_again {
            let _ = modules.del_item(&name); // not there if the application has removed it
            false
        } else {
            modules.contains(&name)?
        };
        let since = if was_there { interpreter_since } else { now() };
        let text = format!(
            "{} module '{}' ({}, {}).",
            if is_again { "Reload" } else { "Load" },
            self.name,
            process::describe_interpreter(state.interpreter.name()),
            process::describe_location()
        );
        report::line(py, INFO, &text);
        let application = match resolve(py, &self.name, &self.callable) {
            Ok(application) => application,
            Err(problem)
                if problem
                    .error
                    .is_instance(py, state.request_timeout.bind(py)) =>
            {
                return Err(problem.error);
            }
            Err(problem) => {
                problem.log(py, state, &self.shown());
                // As a script that fails: the next request runs it again.
                let _ = modules.del_item(&name); // not there if its import failed
                return Ok(Found::Failed);
            }
        };
        process::script_loaded();
        let generation = {
            let mut watch = self.watch.lock();
            *watch = Watch {
                generation: watch.generation + 1,
                since: since - CLOCK_OF_FILES,
                ..Watch::default()
            };
            watch.generation
        };
        let loaded = Loaded {
            application: application.clone().unbind(),
            generation,
        };
        // Its code may run when it is dropped, so not behind the lock.
        let before = self.loaded.lock().replace(loaded);
        drop(before);
        self.watch_new(py, state);
        let was_old = was_there
            && self
                .watch
                .lock()
                .own
                .as_ref()
                .is_some_and(|own| own.modified.is_none());
        if was_old && only_report {
            return Ok(Found::Changed);
        }
        Ok(Found::Application(application))
    }

    /// Looks through `sys.modules`, if it has grown.
    fn watch_new(&self, py: Python<'_>, state: &State) {
        let modules = state.sys_modules.bind(py);
        let size = modules.len();
        if self.watch.lock().known_modules == size {
            return;
        }
        let package = self.name.split('.').next().unwrap_or_default();
        let is_inside = |name: &str| {
            let rest = name.strip_prefix(package);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        // A copy, because other threads import meanwhile; and without the lock, because Python may let them run.
        let mut files = Vec::new();
        for item in modules.items() {
            let Ok((name, module)) = item.extract::<(String, Bound<'_, PyAny>)>() else {
                continue;
            };
            if let Some(path) = is_inside(&name).then(|| file(&module)).flatten() {
                files.push((name, path));
            }
        }
        let mut watch = self.watch.lock();
        watch.known_modules = size;
        for (name, path) in files {
            let is_known = |stamp: &Stamp| stamp.path == path;
            if watch.own.as_ref().is_some_and(is_known) || watch.others.iter().any(is_known) {
                continue;
            }
            // It may have been imported before it was changed: taken as changed then, which the next load will settle.
            let is_certain = |time: &i64| *time < watch.since || *time > now();
            let stamp = Stamp {
                modified: script::modified(&path).filter(is_certain),
                path,
            };
            if name == self.name {
                watch.own = Some(stamp);
            } else {
                watch.others.push(stamp);
            }
        }
    }
}

/// The file that a module was read from; None if it is built in, or hides it.
fn file(module: &Bound<'_, PyAny>) -> Option<Vec<u8>> {
    let file = module
        .cast::<PyModule>()
        .ok()?
        .dict()
        .get_item("__file__")
        .ok()??;
    let encode = module.py().import("os").ok()?.getattr("fsencode").ok()?;
    let bytes = encode.call1((file,)).ok()?;
    let bytes = bytes
        .cast::<pyo3::types::PyBytes>()
        .ok()?
        .as_bytes()
        .to_vec();
    (!bytes.is_empty()).then_some(bytes)
}

/// Imports the module of a target when a process starts, and makes its application where the target says how. False if
/// that failed, which was logged.
pub(crate) fn preload(py: Python<'_>, state: &State, target: &str) -> bool {
    let (name, callable) = match target.split_once(':') {
        Some((name, callable)) => (name, Some(callable)),
        None => (target, None),
    };
    let done = match callable {
        Some(callable) => {
            let wanted = Wanted {
                name: name.as_bytes(),
                callable: callable.as_bytes(),
                whole_package: false,
            };
            state
                .targets
                .find(py, state, &wanted, None, false)
                .map(|found| matches!(found, Found::Application(_)))
        }
        // Which callable it is, a request will say.
        None => Ok(import(py, name).map_or_else(
            |problem| {
                problem.log(py, state, &format!("module:{name}"));
                false
            },
            |_| true,
        )),
    };
    done.unwrap_or_else(|error| {
        report::script_exception(
            py,
            &error,
            &format!("module:{name}"),
            state.interpreter.name(),
        );
        false
    })
}
