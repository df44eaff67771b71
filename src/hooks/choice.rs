//! Which process group, interpreter and callable a request gets: what is configured, expanded, and what a dispatch script says
//! instead (XPN-01 to XPN-24, DIR-020 to DIR-031, REQ-132 to REQ-134).
//!
//! On the thread of the request.

use std::borrow::Cow;

use wsgi_core::config::{Effective, HandlerScript, HookScript};
use wsgi_core::record;
use wsgi_core::request::environ::Environ;
use wsgi_core::request::expand::{self, ExpandFacts};

use super::environ;
use super::translate::AliasOptions;
use crate::apache::{FileKind, Request};
use crate::config;

/// Callable of a handler script (DIR-020).
const HANDLER_CALLABLE: &str = "handle_request";

/// Process, interpreter and callable of a request, expanded (MRG-10).
pub(super) struct Choice {
    /// Empty is embedded mode.
    pub(super) process_group: String,
    /// Empty is the main interpreter.
    pub(super) application_group: String,
    /// Whether data of the client is in that name (XPN-07).
    pub(super) has_client_group: bool,
    /// Whether clients choose the script name: where a regular expression takes it, or a handler needs no file.
    takes_any_uri: bool,
    /// Attribute of the script.
    pub(super) callable_object: String,
}

impl Choice {
    /// What is configured.
    pub(super) fn of(
        request: &Request<'_>,
        effective: &Effective<'_>,
        script: Option<&HandlerScript>,
        alias: Option<&AliasOptions>,
    ) -> Choice {
        let process_group = script
            .and_then(|script| script.process_group.as_deref())
            .or_else(|| alias.and_then(|alias| alias.process_group.as_deref()))
            .or_else(|| effective.process_group());
        let application_group = script
            .and_then(|script| script.application_group.as_deref())
            .or_else(|| alias.and_then(|alias| alias.application_group.as_deref()))
            .or_else(|| effective.application_group());
        let takes_any_uri = alias.is_some_and(|alias| alias.is_match)
            || (script.is_some() && request.file().kind == FileKind::Missing);
        with_facts(request, None, |facts| {
            let callable_object = match (script, alias.and_then(AliasOptions::callable)) {
                (Some(_), _) => HANDLER_CALLABLE.to_owned(),
                // XPN-24: taken as it is written.
                (None, Some(literal)) => literal.to_owned(),
                (None, None) => {
                    expand::callable_object(effective.callable_object(), facts).into_owned()
                }
            };
            Choice {
                process_group: expand::process_group(process_group, facts).into_owned(),
                application_group: expand::application_group(application_group, facts).into_owned(),
                has_client_group: expand::comes_from_client(application_group, takes_any_uri),
                takes_any_uri,
                callable_object,
            }
        })
    }

    /// For the log, at the level that tells of single requests (DIR-155).
    pub(super) fn shown(&self) -> String {
        let interpreter = record::interpreter(&self.application_group);
        let location = record::location(&self.process_group);
        let callable = &self.callable_object;
        format!("Run '{callable}' for a request ({interpreter}, {location}).")
    }

    /// Puts what a dispatch script says in the place of what is configured. By then the variables of CGI are among those of the
    /// request, so `%{ENV:…}` finds them.
    pub(super) fn replace(&mut self, request: &Request<'_>, environ: &Environ<'_>, said: Said) {
        with_facts(request, Some(environ), |facts| {
            if let Some(name) = said.process_group {
                self.process_group = expand::process_group(Some(&name), facts).into_owned();
            }
            if let Some(name) = said.application_group {
                self.application_group = expand::application_group(Some(&name), facts).into_owned();
                self.has_client_group = expand::comes_from_client(Some(&name), self.takes_any_uri);
            }
            if let Some(name) = said.callable_object {
                self.callable_object = expand::callable_object(Some(&name), facts).into_owned();
            }
        });
    }
}

/// What a dispatch script says; None is no change.
#[derive(Debug, Default)]
pub(super) struct Said {
    pub(super) process_group: Option<String>,
    pub(super) application_group: Option<String>,
    pub(super) callable_object: Option<String>,
}

/// Interpreter of a hook script; empty is the main one (XPN-22). And whether data of the client is in that name (XPN-07).
pub(super) fn hook_group(request: &Request<'_>, script: &HookScript) -> (String, bool) {
    let value = script.application_group.as_deref();
    let group = with_facts(request, None, |facts| {
        expand::hook_group(value, facts).into_owned()
    });
    // Unset is the main interpreter here.
    let is_of_client = value.is_some() && expand::comes_from_client(value, false);
    (group, is_of_client)
}

/// Lets `body` expand values for a request, whose variables are those of `environ` as well, where there is one already.
fn with_facts<R>(
    request: &Request<'_>,
    environ: Option<&Environ<'_>>,
    body: impl FnOnce(&ExpandFacts<'_>) -> R,
) -> R {
    let server = request.server();
    let server_name = server
        .hostname()
        .map(String::from_utf8_lossy)
        .unwrap_or(Cow::Borrowed("localhost"));
    let host = request
        .hostname()
        .filter(|host| !host.is_empty())
        .map(String::from_utf8_lossy);
    let port = match server.port() {
        0 => request.connection().local_port(),
        port => port,
    };
    let (script_name, _) = environ::split(request);
    let main = config::main(request);
    let variable = |name: &str| variable(request, environ, name);
    body(&ExpandFacts {
        server_name: &server_name,
        port,
        host: host.as_deref().unwrap_or(&server_name),
        script_name,
        case_sensitive: config::global(&main).case_sensitivity.unwrap_or(true),
        variable: &variable,
    })
}

/// XPN-05: notes of the request, its environment, the process's environment.
fn variable(request: &Request<'_>, environ: Option<&Environ<'_>>, name: &str) -> Option<String> {
    let found = request.notes().get_named(name.as_bytes());
    let found = found.or_else(|| environ?.get(name.as_bytes()));
    let found = found.or_else(|| request.environment().get_named(name.as_bytes()));
    match found {
        Some(value) => Some(String::from_utf8_lossy(value).into_owned()),
        None => std::env::var(name).ok(),
    }
}
