//! Rows: the interpreters of a process, their locks, and settings for some of them.

use super::SERVER;
use crate::config::directive::{Arity, Directive, Scope};
use crate::config::set;

/// In the order of the specification.
pub(super) const ROWS: &[Directive] = &[
    Directive {
        name: "WSGISwitchInterval",
        syntax: "seconds",
        default: "Python's",
        since: "6.0.0",
        help: "How long a thread keeps Python's global lock at most while others wait for it.",
        doc: "How long a thread keeps Python's global lock at most while others wait for it (`sys.setswitchinterval`), in Apache's own processes and in daemon groups without `switch-interval`. A Python that runs without the lock ignores it (WSGI0203, WSGI0205).",
        example: "WSGISwitchInterval 0.005",
        in_interpreter_options: true,
        set: set::switch_interval,
        ..SERVER
    },
    Directive {
        name: "WSGIDestroyInterpreter",
        syntax: "On|Off",
        default: "On",
        since: "4.9.1",
        help: "Off: interpreters are not ended when a process ends; atexit functions do not run.",
        doc: "Off: interpreters are not ended when a process ends; `atexit` functions do not run.",
        example: "WSGIDestroyInterpreter Off",
        set: |n, a, p| set::global_switch(n, a, p, |g| &mut g.destroy_interpreter),
        ..SERVER
    },
    Directive {
        name: "WSGIPerInterpreterGIL",
        syntax: "On|Off",
        default: "Off",
        since: "6.0.0",
        help: "On: sub-interpreters have a global lock of their own (Python 3.12 and later), so that they run in parallel.",
        doc: "On: sub-interpreters have a global lock of their own (Python 3.12 and later), so that they run in parallel. Extension modules have to support that; an import of one that does not fails (WSGI5220). Take Python 3.14 or later: Python 3.13 corrupts its own memory, and the process crashes, where several interpreters use datetime or sqlite3 at the same time.",
        example: "WSGIPerInterpreterGIL On",
        in_interpreter_options: true,
        set: |n, a, p| set::global_switch(n, a, p, |g| &mut g.rule().per_interpreter_gil),
        ..SERVER
    },
    Directive {
        name: "WSGIFreeThreading",
        syntax: "On|Off",
        default: "Off",
        since: "6.0.0",
        help: "On: a free-threaded Python runs without its global lock.",
        doc: "On: a free-threaded build of Python runs without its global lock. Off, which is the default, it runs with it. Other builds ignore the directive and leave a warning (WSGI0200).",
        example: "WSGIFreeThreading On",
        in_interpreter_options: true,
        set: set::free_threading,
        ..SERVER
    },
    Directive {
        name: "<WSGIInterpreterOptions",
        syntax: "[process-group=name] [application-group=name]>",
        arity: Arity::Raw,
        scope: Scope::List,
        default: "none",
        since: "6.0.0",
        help: "Section with settings for some interpreters: those of a process group, of an application group, or both.",
        doc: "Section with settings for some interpreters: those of a process group, of an application group, or both. For each setting the section with the most selectors wins; among equals the last one.",
        example: "<WSGIInterpreterOptions application-group=tools>\n    WSGIRestrictStdout On\n</WSGIInterpreterOptions>",
        in_interpreter_options: true,
        section: true,
        set: |_, a, p| set::open_block("WSGIInterpreterOptions", a, p),
        ..SERVER
    },
];
