//! What an exception is really about: extension modules that work in one interpreter of a process only, and say so in texts
//! that do not lead anybody to the setting that helps.

use pyo3::prelude::*;

use super::process;
use crate::python::interpreter;

/// Exceptions of a chain that are looked at.
const LONGEST_CHAIN: usize = 16;

/// Advice on an exception that went through an interpreter; None where nothing is known about it.
pub(super) fn on(py: Python<'_>, error: &PyErr, interpreter: &str) -> Option<String> {
    let (kind, module) = chain(py, error)?;
    let module = module.map_or_else(
        || "An extension module".to_owned(),
        |module| format!("The extension module '{module}'"),
    );
    let has_own_gil = interpreter::all()
        .iter()
        .any(|known| known.name() == interpreter && known.has_own_gil());
    Some(text(kind, &module, interpreter, has_own_gil))
}

/// The first exception of a chain that is about interpreters, with the module that it names.
fn chain(py: Python<'_>, error: &PyErr) -> Option<(Kind, Option<String>)> {
    let mut next = Some(error.value(py).clone().into_any());
    for _ in 0..LONGEST_CHAIN {
        let value = next?;
        // What cannot be asked for its text says nothing.
        let text = value.str().map(|text| text.to_string()).unwrap_or_default();
        let class = value
            .get_type()
            .qualname()
            .map(|name| name.to_string())
            .unwrap_or_default();
        if let Some(kind) = kind(&class, &text) {
            let name = value
                .getattr("name")
                .ok()
                .and_then(|name| name.extract().ok());
            return Some((kind, name.or_else(|| named(&text))));
        }
        let behind = |link: &str| value.getattr(link).ok().filter(|behind| !behind.is_none());
        next = behind("__cause__").or_else(|| behind("__context__"));
    }
    None
}

/// How an extension module is limited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// It may be loaded by one interpreter of a process, the first that asks (PyO3, Cython, numpy).
    FirstOnly,
    /// It may not be loaded by a sub-interpreter, at least by none with a GIL of its own.
    MainOnly,
}

/// What the texts of known kinds of modules say.
fn kind(class: &str, text: &str) -> Option<Kind> {
    let text = text.to_lowercase();
    let says = |parts: &[&str]| parts.iter().any(|part| text.contains(part));
    let first_only = match class {
        "ImportError" => says(&[
            // PyO3
            "pyo3 modules do not yet support subinterpreters",
            "pyo3 modules may only be initialized once per interpreter process",
            // Cython
            "interpreter change detected",
            "can only be loaded into one interpreter per process",
            // numpy 2
            "cannot load module more than once per process",
        ]),
        // numpy 1, torch: static types are documented a second time
        "RuntimeError" => says(&["already has a docstring"]),
        // PyO3 with Python 3.14: no check, but classes of the first interpreter, which no ABC of another one accepts
        "TypeError" => says(&["_abc_impl is set to a wrong type"]),
        _ => false,
    };
    if first_only {
        return Some(Kind::FirstOnly);
    }
    // CPython, pybind11, nanobind, and modules with words of their own
    let main_only = matches!(class, "ImportError" | "RuntimeError" | "SystemError")
        && says(&["subinterpreter", "sub-interpreter", "sub interpreter"]);
    main_only.then_some(Kind::MainOnly)
}

/// The module that CPython's own text names.
fn named(text: &str) -> Option<String> {
    let (name, _) = text
        .strip_prefix("module ")?
        .split_once(" does not support loading in subinterpreters")?;
    Some(name.to_owned())
}

fn text(kind: Kind, module: &str, interpreter: &str, has_own_gil: bool) -> String {
    if interpreter.is_empty() {
        return format!(
            "WSGI5220: {module} works in one interpreter of a process only, and another interpreter of this process has loaded \
             it before the main interpreter did. Run every application of this process that uses it in the main interpreter \
             (application-group=%{{GLOBAL}}, or WSGIApplicationGroup %{{GLOBAL}}), or give them process groups of their own."
        );
    }
    let which = process::describe_interpreter(interpreter);
    let works = match kind {
        Kind::FirstOnly => "works in one interpreter of a process only",
        Kind::MainOnly => "does not work in sub-interpreters",
    };
    let or = if has_own_gil {
        " With WSGIPerInterpreterGIL Off it may work as well."
    } else {
        ""
    };
    format!(
        "WSGI5220: {module} {works}, and this is {which}. Run the application in the main interpreter: \
         application-group=%{{GLOBAL}} at its WSGIScriptAlias, or WSGIApplicationGroup %{{GLOBAL}}. Applications that have to be \
         kept apart can have process groups of their own.{or}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Texts of real modules.
    #[test]
    fn known_texts() {
        for (class, text, expected) in [
            (
                "ImportError",
                "PyO3 modules do not yet support subinterpreters, see https://github.com/PyO3/pyo3/issues/576",
                Some(Kind::FirstOnly),
            ),
            (
                "ImportError",
                "PyO3 modules may only be initialized once per interpreter process",
                Some(Kind::FirstOnly),
            ),
            (
                "ImportError",
                "Interpreter change detected - this module can only be loaded into one interpreter per process.",
                Some(Kind::FirstOnly),
            ),
            (
                "ImportError",
                "cannot load module more than once per process",
                Some(Kind::FirstOnly),
            ),
            (
                "RuntimeError",
                "implement_array_function method already has a docstring",
                Some(Kind::FirstOnly),
            ),
            (
                "TypeError",
                "_abc_impl is set to a wrong type",
                Some(Kind::FirstOnly),
            ),
            ("TypeError", "'int' object is not callable", None),
            (
                "ImportError",
                "module _speedups does not support loading in subinterpreters",
                Some(Kind::MainOnly),
            ),
            (
                "SystemError",
                "foo is not safe in a sub-interpreter",
                Some(Kind::MainOnly),
            ),
            ("ImportError", "No module named 'numpy'", None),
            ("ImportError", "cannot import name 'x' from 'y'", None),
            ("ValueError", "subinterpreters are many", None),
            (
                "ModuleNotFoundError",
                "No module named 'subinterpreters'",
                None,
            ),
            (
                "RuntimeError",
                "working outside of application context",
                None,
            ),
        ] {
            assert_eq!(kind(class, text), expected, "{class}: {text}");
        }
    }

    /// CPython from 3.13 on does not set the attribute `name`.
    #[test]
    fn the_module_of_a_text() {
        assert_eq!(
            named("module readline does not support loading in subinterpreters").as_deref(),
            Some("readline")
        );
        assert_eq!(named("module of subinterpreters"), None);
    }

    /// The setting is named, and what else helps.
    #[test]
    fn the_setting_is_named() {
        let sub = text(Kind::FirstOnly, "X", "site", false);
        assert!(
            sub.contains("WSGIApplicationGroup %{GLOBAL}")
                && sub.contains("application-group=%{GLOBAL}")
        );
        assert!(sub.contains("sub-interpreter 'site'") && !sub.contains("WSGIPerInterpreterGIL"));
        assert!(text(Kind::MainOnly, "X", "site", true).contains("WSGIPerInterpreterGIL Off"));
        assert!(text(Kind::FirstOnly, "X", "", false).contains("before the main interpreter"));
    }
}
