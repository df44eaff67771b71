//! WSGIDispatchScript: process group, interpreter and callable chosen by a script for each request (REQ-130 to REQ-137).
//!
//! Fails closed: a script that says nothing because it is broken refuses the request (REQ-136). On the thread of the request.

use wsgi_core::config::{Effective, HookScript};
use wsgi_core::request::Refused;
use wsgi_core::request::environ::Environ;

use super::choice::{self, Said};
use crate::apache::Request;
use crate::embedded::hook::{self, HOOK_NAMES, Hook, HookFailure, Value};

/// The functions, in the order in which they are called (REQ-132).
const FUNCTIONS: [&[u8]; 3] = [b"process_group", b"application_group", b"callable_object"];

/// Asks the script. `environ` is that of the application but for the entries that depend on the answer; what is put there for
/// the script (REQ-135) is replaced by the caller.
///
/// # Errors
/// The script cannot be asked, or failed.
pub(super) fn ask<'r>(
    request: &Request<'r>,
    effective: &Effective<'_>,
    script: &HookScript,
    environ: &mut Environ<'r>,
) -> Result<Said, Refused> {
    let (group, has_client_group) = choice::hook_group(request, script);
    environ.set(&b"mod_wsgi.process_group"[..], Some(b""));
    environ.set_owned(&b"mod_wsgi.application_group"[..], group.as_str());
    let mut said = Said::default();
    let asked = hook::call(
        request,
        &Hook {
            script: &script.path,
            application_group: &group,
            has_client_group,
            environ,
            functions: &FUNCTIONS,
            arguments: &[],
            wanted: HOOK_NAMES,
            effective,
        },
        &mut |function, value| {
            let Value::Bytes(name) = value else { return };
            let name = Some(text(name));
            match function {
                0 => said.process_group = name,
                1 => said.application_group = name,
                _ => said.callable_object = name,
            }
        },
    );
    match asked {
        Ok(()) => Ok(said),
        Err(failure) => Err(refused(&script.path, &group, failure)),
    }
}

/// Names of the configuration are UTF-8, so those of a script are too; bytes that are not are latin-1, as Python shows them.
fn text(name: &[u8]) -> String {
    match std::str::from_utf8(name) {
        Ok(name) => name.to_owned(),
        Err(_) => name.iter().copied().map(char::from).collect(),
    }
}

fn refused(script: &str, group: &str, failure: HookFailure) -> Refused {
    let (code, text) = match failure {
        HookFailure::NoPython => (
            210,
            format!(
                "this Apache child runs without Python, so dispatch script '{script}' cannot choose a group for the request; \
                 WSGI0001 in the log says why."
            ),
        ),
        HookFailure::Unavailable => (
            86,
            format!("the interpreter '{group}' for dispatch script '{script}' is not available."),
        ),
        HookFailure::Logged | HookFailure::Missing | HookFailure::NotIterable => (
            5011,
            format!(
                "dispatch script '{script}' failed, so the request is not served; the records before say why."
            ),
        ),
    };
    Refused {
        status: 500,
        code: Some(code),
        text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// REQ-133: a name in bytes is that of the configuration, byte by byte, where it can be one.
    #[test]
    fn names_are_utf8_or_latin1() {
        assert_eq!(text(b"plain"), "plain");
        assert_eq!(text("é".as_bytes()), "é");
        assert_eq!(text(b"\xe9"), "é");
    }
}
