//! What access, authentication and group scripts have in common: one function is asked, with the environ of REQ-691, and what
//! goes wrong is logged with the code of its hook.
//!
//! They guard everything that Apache serves, also what has nothing to do with WSGI. On the thread of the request, before its
//! handler.

use wsgi_core::config::{Effective, HookScript};
use wsgi_core::record;

use super::{choice, environ};
use crate::apache::{Level, Request};
use crate::embedded::hook::{self, Hook, HookFailure, Value};

/// A hook, and the codes of its records.
#[derive(Clone, Copy)]
pub(super) struct Question {
    /// The directive that names the script.
    pub(super) directive: &'static str,
    /// The function to be called.
    pub(super) function: &'static str,
    /// `HOOK_*`.
    pub(super) wanted: u32,
    /// Code where the interpreter cannot be had.
    pub(super) unavailable: u16,
    /// Code where the script has no such function.
    pub(super) missing: u16,
}

/// Asks the function; `answer` gets its value, or the items of its value.
///
/// # Errors
/// There is no answer, which was logged.
pub(super) fn ask(
    request: &Request<'_>,
    effective: &Effective<'_>,
    script: &HookScript,
    question: Question,
    arguments: &[&[u8]],
    answer: &mut dyn FnMut(Value<'_>),
) -> Result<(), HookFailure> {
    let (group, has_client_group) = choice::hook_group(request, script);
    let environ = environ::gather_for_hook(request, &group);
    let hook = Hook {
        script: &script.path,
        application_group: &group,
        has_client_group,
        environ: &environ,
        functions: &[question.function.as_bytes()],
        arguments,
        wanted: question.wanted,
        effective,
    };
    let asked = hook::call(request, &hook, &mut |_, value| answer(value));
    let Question {
        directive,
        function,
        ..
    } = question;
    let path = &script.path;
    if let Err(failure) = asked {
        match failure {
            HookFailure::NoPython => error(
                request,
                210,
                &format!(
                    "{directive} '{path}' cannot be asked: this Apache child runs without Python. Either Python could not start \
                     (WSGI0001 in the log says why), or WSGIRestrictEmbedded is On and only a .htaccess file asks for Python; \
                     set WSGIRestrictEmbedded Off."
                ),
            ),
            HookFailure::Unavailable => error(
                request,
                question.unavailable,
                &format!("the interpreter '{group}' for {directive} '{path}' is not available."),
            ),
            HookFailure::Missing => error(
                request,
                question.missing,
                &format!("{directive} '{path}' has no function {function}()."),
            ),
            // Logged, or for the hook to say.
            HookFailure::NotIterable | HookFailure::Logged => {}
        }
    }
    asked
}

/// One record of level error.
pub(super) fn error(request: &Request<'_>, code: u16, text: &str) {
    let file = request.filename().unwrap_or(b"");
    let text = format!("WSGI{code:04}: {text}");
    request.log(Level::Error, record::with_script(file, 0, text.as_bytes()));
}

/// A value for people.
pub(super) fn shown(value: &Value<'_>) -> String {
    match value {
        Value::None => "None".to_owned(),
        Value::Bool(true) => "True".to_owned(),
        Value::Bool(false) => "False".to_owned(),
        Value::Text(_) => "a str".to_owned(),
        Value::Bytes(_) => "bytes".to_owned(),
        Value::Other(kind) => format!("a value of type {kind}"),
    }
}

/// The bytes of a text of latin-1 characters; None if it has others.
pub(super) fn latin1(text: &str) -> Option<Vec<u8>> {
    text.chars()
        .map(|character| u8::try_from(u32::from(character)).ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// REQ-720, REQ-730: text of scripts is latin-1 for Apache.
    #[test]
    fn texts_become_latin1() {
        assert_eq!(latin1("a\u{e9}"), Some(b"a\xe9".to_vec()));
        assert_eq!(latin1("\u{20ac}"), None);
    }
}
