//! WSGIAuthGroupScript: the groups of a user, for `Require wsgi-group` (REQ-730 to REQ-734).
//!
//! A script that fails is an error, never "not in the group": `Require not wsgi-group` would let the client in. On the thread
//! of the request, before its handler.

use super::script::{self, Question};
use crate::apache::Request;
use crate::apache::authorization::Membership;
use crate::config;
use crate::embedded::hook::{HOOK_ITEMS, HookFailure, Value};

const QUESTION: Question = Question {
    directive: "WSGIAuthGroupScript",
    function: "groups_for_user",
    wanted: HOOK_ITEMS,
    unavailable: 48,
    missing: 52,
};

/// Whether the script puts `user` into one of the groups `wanted`, whose names are compared without regard to case.
pub(super) fn is_member(request: &Request<'_>, user: &[u8], wanted: &[&[u8]]) -> Membership {
    let effective = config::effective(request);
    let Some(script) = effective.auth_group_script() else {
        let text = "Require wsgi-group is in effect, but no WSGIAuthGroupScript.";
        script::error(request, 58, text);
        return Membership::Error;
    };
    let (mut count, mut is_in) = (0, false);
    // What the last value was, and the first that is no group.
    let (mut kind, mut bad) = (String::new(), None);
    let asked = script::ask(
        request,
        &effective,
        script,
        QUESTION,
        &[user],
        &mut |value| {
            count += 1;
            kind = script::shown(&value);
            let (name, code) = match value {
                Value::Text(text) => (script::latin1(text), 49),
                Value::Bytes(bytes) => (Some(bytes.to_vec()), 50),
                _ => (None, 50),
            };
            // A name that others see the front of only, which may be the name of a group that is banned.
            let name = name.filter(|name| !name.contains(&0));
            match name {
                Some(name) => is_in |= wanted.iter().any(|one| one.eq_ignore_ascii_case(&name)),
                None => bad = bad.take().or_else(|| Some((code, kind.clone()))),
            }
        },
    );
    let path = &script.path;
    match asked {
        Err(HookFailure::NotIterable) => {
            let text = format!(
                "groups_for_user() of '{path}' has to return an iterable of groups, not {kind}."
            );
            script::error(request, 51, &text);
            Membership::Error
        }
        Err(_) => Membership::Error,
        Ok(()) => match bad {
            Some((code, kind)) => {
                let text = format!(
                    "groups_for_user() of '{path}' gave {kind} for a group: str of latin-1 characters or bytes are wanted, without NUL."
                );
                script::error(request, code, &text);
                Membership::Error
            }
            None if is_in => Membership::Granted,
            None => {
                let user = String::from_utf8_lossy(user);
                let (code, what) = match count {
                    0 => (59, "any group"),
                    _ => (60, "a required group"),
                };
                let text = format!("user '{user}' is not in {what}, according to '{path}'.");
                script::error(request, code, &text);
                Membership::Denied
            }
        },
    }
}
