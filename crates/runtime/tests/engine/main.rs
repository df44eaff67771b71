//! The PEP 3333 engine in a process with ordinary settings: embedded, main interpreter and sub-interpreters.
#![allow(clippy::unwrap_used)] // test code

#[path = "../host/mod.rs"]
mod host;

mod answers;
mod environs;
mod events;
mod failures;
mod files;
mod heads;
mod inputs;
mod interpreters;
mod logs;
mod modules;
mod scripts;
mod validator;

use host::{Answer, Python};

fn python() -> &'static Python {
    Python::get(host::settings)
}

/// Runs an application that evaluates `lines` in a function `check(environ, start_response)` and answers with what that
/// returns as text.
#[track_caller]
fn evaluate(lines: &str) -> String {
    let answer = python().get_from(&evaluating(lines));
    answer.is_fine();
    answer.text()
}

/// The source of that application.
fn evaluating(lines: &str) -> String {
    let indented: String = lines.lines().map(|line| format!("    {line}\n")).collect();
    format!(
        "def check(environ, start_response):
{indented}
def application(environ, start_response):
    result = str(check(environ, lambda *a: start_response(*a)))
    start_response('200 OK', [])
    return [result.encode()]
"
    )
}

/// As [`evaluate`]; the text of the exception that `lines` raise, as `Type: text`.
#[track_caller]
fn raises(lines: &str) -> (String, Answer) {
    let indented: String = lines
        .lines()
        .map(|line| format!("        {line}\n"))
        .collect();
    let answer = python().get_from(&format!(
        "def application(environ, start_response):
    try:
{indented}
        result = 'nothing'
    except BaseException as error:
        result = type(error).__name__ + ': ' + str(error)
    start_response('200 OK', [])
    return [result.encode()]
"
    ));
    answer.is_fine();
    (answer.text(), answer)
}
