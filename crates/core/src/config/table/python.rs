//! Rows: where Python is, and how it is set up in each process.

use super::SERVER;
use crate::config::directive::{Directive, Scope};
use crate::config::{ConfigError, set, values};

/// In the order of the specification.
pub(super) const ROWS: &[Directive] = &[
    Directive {
        name: "WSGIRestrictEmbedded",
        syntax: "On|Off",
        default: "Off",
        since: "2.0",
        help: "On: no request runs in Apache's own processes, and they do not start Python unless something else needs it.",
        doc: "On: no request runs in Apache's own processes, and they do not start Python unless something else needs it.",
        example: "WSGIRestrictEmbedded On",
        set: |n, a, p| set::global_switch(n, a, p, |g| &mut g.restrict_embedded),
        ..SERVER
    },
    Directive {
        name: "WSGIRestrictStdin",
        syntax: "On|Off",
        default: "Off",
        since: "1.0",
        help: "On: sys.stdin is an object that raises OSError when it is used.",
        doc: "On: `sys.stdin` is an object that raises OSError when it is used.",
        example: "WSGIRestrictStdin On",
        in_interpreter_options: true,
        set: |n, a, p| set::global_switch(n, a, p, |g| &mut g.rule().restrict_stdin),
        ..SERVER
    },
    Directive {
        name: "WSGIRestrictStdout",
        syntax: "On|Off",
        default: "Off",
        since: "1.0",
        help: "On: sys.stdout is an object that raises OSError when it is used.",
        doc: "On: `sys.stdout` is an object that raises OSError when it is used. Off: it goes to the error log.",
        example: "WSGIRestrictStdout On",
        in_interpreter_options: true,
        set: |n, a, p| set::global_switch(n, a, p, |g| &mut g.rule().restrict_stdout),
        ..SERVER
    },
    Directive {
        name: "WSGIRestrictSignal",
        syntax: "On|Off",
        default: "On",
        since: "1.0",
        help: "On: signal.signal registers nothing and says so in the log.",
        doc: "On: `signal.signal` registers nothing and says so in the log.",
        example: "WSGIRestrictSignal On",
        in_interpreter_options: true,
        set: |n, a, p| set::global_switch(n, a, p, |g| &mut g.rule().restrict_signal),
        ..SERVER
    },
    Directive {
        name: "WSGICaseSensitivity",
        syntax: "On|Off",
        default: "On",
        since: "1.0",
        help: "Off: script paths that differ in case only are the same script.",
        doc: "Off: script paths that differ in case only are the same script.",
        example: "WSGICaseSensitivity Off",
        set: |n, a, p| set::global_switch(n, a, p, |g| &mut g.case_sensitivity),
        ..SERVER
    },
    Directive {
        name: "WSGIPythonHome",
        syntax: "path",
        default: "none",
        since: "1.0",
        help: "Virtual environment or Python installation for embedded mode and for daemon groups without python-home.",
        doc: "Virtual environment or Python installation for embedded mode and for daemon groups without `python-home`.",
        example: "WSGIPythonHome /srv/venv",
        set: |_, a, p| {
            p.global.python_home = Some(a.to_owned());
            Ok(())
        },
        ..SERVER
    },
    Directive {
        name: "WSGIPythonVersion",
        syntax: "X.Y",
        default: "newest installed",
        since: "–",
        help: "Python version to run where no virtual environment names one.",
        doc: "Python version to run where no virtual environment names one. A runtime of that version must be installed. Not in mod_wsgi.",
        example: "WSGIPythonVersion 3.13",
        set: |n, a, p| {
            if !values::is_version(a) {
                return Err(ConfigError::Value {
                    directive: n,
                    what: "the argument".to_owned(),
                    value: a.to_owned(),
                    expected: "must be a version like 3.13".to_owned(),
                });
            }
            p.global.python_version = Some(a.to_owned());
            Ok(())
        },
        ..SERVER
    },
    Directive {
        name: "WSGIRuntimeDirectory",
        syntax: "path",
        default: "beside the module",
        since: "–",
        help: "Folder with mod_wsgi-daemon and the Python runtimes (python3.13.so).",
        doc: "Folder with `mod_wsgi-daemon` and the Python runtimes (`python3.13.so`). Not in mod_wsgi.",
        example: "WSGIRuntimeDirectory /opt/mod_wsgi",
        set: |n, a, p| {
            let path = p.host.server_root_relative(a);
            p.global.runtime_directory = Some(path.ok_or_else(|| ConfigError::Value {
                directive: n,
                what: "the argument".to_owned(),
                value: a.to_owned(),
                expected: "must be a path that is absolute or below ServerRoot".to_owned(),
            })?);
            Ok(())
        },
        ..SERVER
    },
    Directive {
        name: "WSGIPythonPath",
        syntax: "path[:path …]",
        default: "none",
        since: "1.0",
        help: "Folders for the front of sys.path in embedded mode, whose .pth files are read.",
        doc: "Folders for the front of `sys.path` in embedded mode, whose `.pth` files are read. Inside `<WSGIInterpreterOptions>` also for daemon groups.",
        example: "WSGIPythonPath /srv/lib:/srv/site",
        in_interpreter_options: true,
        set: |_, a, p| set::python_path(a, p),
        ..SERVER
    },
    Directive {
        name: "WSGIPythonEggs",
        syntax: "path",
        default: "none",
        since: "2.0",
        help: "Environment variable PYTHON_EGG_CACHE in embedded mode.",
        doc: "Environment variable `PYTHON_EGG_CACHE` in embedded mode.",
        example: "WSGIPythonEggs /var/cache/eggs",
        set: |_, a, p| {
            p.global.python_eggs = Some(a.to_owned());
            Ok(())
        },
        ..SERVER
    },
    Directive {
        name: "WSGIPythonOptimize",
        syntax: "level",
        default: "0",
        since: "1.0",
        help: "Python's optimisation level: 1 removes assertions, 2 also docstrings.",
        doc: "Python's optimisation level: 1 removes assertions, 2 also docstrings.",
        example: "WSGIPythonOptimize 1",
        set: set::optimize,
        ..SERVER
    },
    Directive {
        name: "WSGIPythonWarnings",
        syntax: "filter",
        scope: Scope::List,
        default: "none",
        since: "3.0",
        help: "A filter for Python's warnings, as after python -W.",
        doc: "A filter for Python's warnings, as after `python -W`. May be repeated.",
        example: "WSGIPythonWarnings ignore::DeprecationWarning",
        set: |_, a, p| {
            p.global.warnings.push(a.to_owned());
            Ok(())
        },
        ..SERVER
    },
    Directive {
        name: "WSGIDontWriteBytecode",
        syntax: "On|Off",
        default: "Off",
        since: "3.4",
        help: "On: Python writes no .pyc files.",
        doc: "On: Python writes no `.pyc` files.",
        example: "WSGIDontWriteBytecode On",
        set: |n, a, p| set::global_switch(n, a, p, |g| &mut g.dont_write_bytecode),
        ..SERVER
    },
    Directive {
        name: "WSGIPythonHashSeed",
        syntax: "random|number",
        default: "Python's",
        since: "4.1.0",
        help: "Seed of Python's hashes: random, or a number from 0 to 4294967295 (0 turns randomisation off).",
        doc: "Seed of Python's hashes: `random`, or a number from 0 to 4294967295 (0 turns randomisation off).",
        example: "WSGIPythonHashSeed random",
        set: set::hash_seed,
        ..SERVER
    },
];
