//! WSGIAuthUserScript: whether user and password belong together, for Basic, form and Digest authentication (REQ-710 to
//! REQ-720).
//!
//! Lets in whom the script lets in, and nobody where it fails. On the thread of the request, before its handler.

use wsgi_core::config::HookScript;

use super::script::{self, Question};
use crate::apache::Request;
use crate::apache::authorization::{Login, RealmHash};
use crate::config;
use crate::embedded::hook::{HOOK_VALUE, Value};

const PASSWORD: Question = Question {
    directive: "WSGIAuthUserScript",
    function: "check_password",
    wanted: HOOK_VALUE,
    unavailable: 42,
    missing: 43,
};

const REALM_HASH: Question = Question {
    function: "get_realm_hash",
    unavailable: 45,
    missing: 46,
    ..PASSWORD
};

/// The script in effect; without one nobody gets in (DIR-146).
fn configured<'r>(request: &Request<'r>, code: u16, provider: &str) -> Option<&'r HookScript> {
    let script = config::effective(request).auth_user_script();
    if script.is_none() {
        let text = format!("{provider} wsgi is in effect, but no WSGIAuthUserScript.");
        script::error(request, code, &text);
    }
    script
}

/// Provider of Basic and form authentication (REQ-711).
pub(super) fn check_password(request: &Request<'_>, user: &[u8], password: &[u8]) -> Login {
    let Some(script) = configured(request, 41, "AuthBasicProvider") else {
        return Login::Error;
    };
    let wrong = |code: u16, what: &str| {
        let text = format!("check_password() of '{}' returned {what}.", script.path);
        script::error(request, code, &text);
        Login::Error
    };
    let mut login = Login::Error;
    let mut name = None;
    let asked = script::ask(
        request,
        &config::effective(request),
        script,
        PASSWORD,
        &[user, password],
        &mut |value| {
            login = match value {
                Value::Bool(true) => Login::Granted,
                Value::Bool(false) => Login::Denied,
                Value::None => Login::Unknown,
                Value::Text("") => wrong(176, "an empty user name"),
                // Apache would take the part before it for the name.
                Value::Text(text) if text.contains('\0') => {
                    wrong(177, "a user name with a NUL in it")
                }
                Value::Text(text) => {
                    name = Some(text.to_owned());
                    Login::Granted
                }
                other => wrong(177, &script::shown(&other)),
            }
        },
    );
    if asked.is_err() {
        return Login::Error;
    }
    match (login, name) {
        (Login::Granted, Some(name)) => request.set_user(name.as_bytes()),
        // Only this: from the cache the name that the script gave would not come back.
        (Login::Granted, None) => request.cache_password(user, password),
        _ => {}
    }
    login
}

/// Provider of Digest authentication (REQ-720).
pub(super) fn realm_hash(request: &Request<'_>, user: &[u8], realm: &[u8]) -> RealmHash {
    let Some(script) = configured(request, 44, "AuthDigestProvider") else {
        return RealmHash::Error;
    };
    let wrong = |code: u16, what: &str| {
        let text = format!("get_realm_hash() of '{}' returned {what}.", script.path);
        script::error(request, code, &text);
        RealmHash::Error
    };
    let checked = |hash: Option<Vec<u8>>| match hash {
        None => wrong(179, "a str with characters that are not latin-1"),
        Some(hash) if hash.is_empty() => wrong(178, "an empty hash"),
        Some(hash) if hash.contains(&0) => wrong(179, "a hash with a NUL in it"),
        Some(hash) => RealmHash::Found(hash),
    };
    let mut answer = RealmHash::Error;
    let asked = script::ask(
        request,
        &config::effective(request),
        script,
        REALM_HASH,
        &[user, realm],
        &mut |value| {
            answer = match value {
                Value::None => RealmHash::Unknown,
                Value::Text(text) => checked(script::latin1(text)),
                Value::Bytes(bytes) => checked(Some(bytes.to_vec())),
                other => wrong(179, &script::shown(&other)),
            }
        },
    );
    if asked.is_err() {
        return RealmHash::Error;
    }
    if let RealmHash::Found(hash) = &answer {
        request.cache_realm_hash(user, realm, hash);
    }
    answer
}
