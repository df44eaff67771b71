//! URLs to scripts: WSGIScriptAlias and WSGIScriptAliasMatch (DIR-001 to DIR-011).
//!
//! In children, on the thread of the request.

pub use wsgi_core::config::Alias as AliasOptions;
use wsgi_core::config::ModuleTarget;
use wsgi_core::request::alias::{match_alias, path_info_behind, target_for, target_for_match};

use crate::apache::{Request, Status};
use crate::config;

/// Note by which a request, and what it becomes through an internal fast redirect, knows the alias that mapped it: the position
/// in the list of its server. Clients cannot set notes.
const ALIAS_NOTE: &std::ffi::CStr = c"mod_wsgi-rs.alias";

/// Note of a request whose URL has a handler of its own, by `SetHandler` in `<Location>`.
const HANDLER_NOTE: &std::ffi::CStr = c"mod_wsgi-rs.handler";

/// Hook translate_name: the first alias that matches gives the file (MRG-06, DIR-008) and forces our handler (DIR-009).
pub(super) fn translate(request: &Request<'_>) -> Status {
    let uri = request.uri();
    if request.is_proxied() || !(uri.starts_with(b"/") || uri.is_empty()) {
        return Status::DECLINED;
    }
    let settings = config::server(&request.server());
    for (position, alias) in settings.config.aliases.iter().enumerate() {
        if let Some(module) = &alias.module {
            let taken = match settings.expression(position) {
                Some(expression) => expression
                    .find(uri)
                    .and_then(|captures| captures[0])
                    .map(|(_, end)| end),
                None if alias.is_match => None,
                None => match_alias(alias.url.as_bytes(), uri),
            };
            let Some(start) = taken.and_then(|taken| path_info_behind(uri, taken)) else {
                continue;
            };
            request.set_path_info(&uri[start..]);
            accept(request, position, module.script().as_bytes());
            return Status::OK;
        }
        let found = match settings.expression(position) {
            Some(expression) => expression
                .find(uri)
                .and_then(|captures| target_for_match(alias.target.as_bytes(), uri, &captures)),
            None if alias.is_match => None,
            None => target_for(alias.url.as_bytes(), alias.target.as_bytes(), uri),
        };
        if let Some(file) = found {
            accept(request, position, &file);
            return Status::OK;
        }
    }
    Status::DECLINED
}

/// The alias at `position` has the request, which is for `target`.
fn accept(request: &Request<'_>, position: usize, target: &[u8]) {
    request.set_filename(target);
    request.set_handler(super::BUILT_IN_HANDLER);
    let notes = request.notes();
    notes.set(ALIAS_NOTE, position.to_string().as_bytes());
    // Folders have no say in the matter yet.
    if request.has_configured_handler() {
        notes.set(HANDLER_NOTE, b"1");
    }
}

/// The module that a request is for; None if it is for a file, or not for us.
pub fn module<'r>(request: &Request<'r>) -> Option<&'r ModuleTarget> {
    options(request)?.module.as_ref()
}

/// Hooks map_to_storage and type_checker: a module is no file, so nobody looks for one, for `<Directory>` sections, or for what
/// its name may say about a type.
pub(super) fn stay_off_files(request: &Request<'_>) -> Status {
    if module(request).is_some() && !request.is_proxied() {
        return Status::OK;
    }
    Status::DECLINED
}

/// The alias that mapped the request, with its options; None if another way led to it (DIR-011).
pub fn options<'r>(request: &Request<'r>) -> Option<&'r AliasOptions> {
    let note = request.notes().get(ALIAS_NOTE)?;
    let position: usize = std::str::from_utf8(note).ok()?.parse().ok()?;
    config::server(&request.server())
        .config
        .aliases
        .get(position)
}

/// Hook fixups: an `AddHandler` or `SetHandler` of the directory does not take a request of an alias away (DIR-009). One for the URL
/// does, as in the original: `/server-status` stays that where an alias has everything.
pub(super) fn keep_handler(request: &Request<'_>) -> Status {
    let is_of_url = request.notes().has(HANDLER_NOTE);
    if options(request).is_some() && !request.is_proxied() && !is_of_url {
        request.set_handler(super::BUILT_IN_HANDLER);
    }
    Status::DECLINED
}
