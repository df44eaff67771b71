//! WSGIAccessScript: who may have access, by the client's host (REQ-690 to REQ-703).
//!
//! Denies unless the script says otherwise. On the thread of the request, in httpd's hook `access_checker`.

use super::script::{self, Question};
use crate::apache::{Request, Status};
use crate::config;
use crate::embedded::hook::{HOOK_VALUE, HookFailure, Value};

const QUESTION: Question = Question {
    directive: "WSGIAccessScript",
    function: "allow_access",
    wanted: HOOK_VALUE,
    unavailable: 54,
    missing: 56,
};

/// What the script says (REQ-701).
#[derive(Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Allowed,
    NoOpinion,
    Denied,
}

/// Hook access_checker.
pub(super) fn check(request: &Request<'_>) -> Status {
    let effective = config::effective(request);
    let Some(script) = effective.access_script() else {
        return Status::DECLINED;
    };
    let host = request.client_host().unwrap_or(request.client_ip());
    let mut verdict = Verdict::Denied;
    let asked = script::ask(
        request,
        &effective,
        script,
        QUESTION,
        &[host],
        &mut |value| {
            verdict = match value {
                Value::Bool(true) => Verdict::Allowed,
                Value::Bool(false) => Verdict::Denied,
                Value::None => Verdict::NoOpinion,
                other => {
                    let text = format!(
                        "allow_access() of '{}' has to return True, False or None, not {}.",
                        script.path,
                        script::shown(&other)
                    );
                    script::error(request, 55, &text);
                    Verdict::Denied
                }
            };
        },
    );
    match (asked, verdict) {
        (Ok(()), Verdict::Allowed) => Status::OK,
        (Ok(()), Verdict::NoOpinion) => Status::DECLINED,
        // DIR-072: not the client's fault, and not to be mended by another access rule.
        (Err(HookFailure::NoPython), _) => Status::INTERNAL_SERVER_ERROR,
        (Ok(()), Verdict::Denied) | (Err(_), _) => {
            if !request.may_authenticate_instead() {
                let host = String::from_utf8_lossy(host);
                let text = format!(
                    "client {host} is denied by access script '{}'.",
                    script.path
                );
                script::error(request, 57, &text);
            }
            Status::FORBIDDEN
        }
    }
}
