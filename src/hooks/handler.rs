//! The content handler: from httpd's request to the application, in the child (spec request.md, sections 1 to 8).
//!
//! Decisions are those of `wsgi_core::request`; here the facts are gathered, the environ is completed, and the request is handed
//! to `embedded` or `client`. Runs on the thread that serves the request.

use std::ffi::OsStr;
use std::net::{IpAddr, Ipv6Addr};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use wsgi_core::config::{DaemonOptions, Effective, Global, HandlerScript, Reloading};
use wsgi_core::record;
use wsgi_core::request::environ::Environ;
use wsgi_core::request::head_mapping::presented_method;
use wsgi_core::request::ownership::{self, Owned, OwnershipFacts};
use wsgi_core::request::precheck::{self, BodyFacts, ScriptFacts, Target};
use wsgi_core::request::routing::{self, GroupFacts, Route, RoutingFacts, ServerFacts};
use wsgi_core::request::{Refused, proxies};
use wsgi_core::wire::RequestHead;
use wsgi_runtime_api::{
    REQUEST_CLIENT_GROUP, REQUEST_DAEMON, REQUEST_HEAD, REQUEST_HTTPS, REQUEST_IGNORE_ACTIVITY,
    REQUEST_MODULE, REQUEST_MODULE_RELOADING, REQUEST_SCRIPT_RELOADING,
};
use wsgi_sys::{passwd, process};

use super::choice::Choice;
use super::translate;
use super::{dispatch, environ};
use crate::apache::request::PathInfo;
use crate::apache::{FileKind, Level, Request, Status};
use crate::{client, config, embedded, supervisor};

/// The handlers that always run WSGI scripts (REQ-001).
const BUILT_IN: [&[u8]; 2] = [b"wsgi-script", b"application/x-httpd-wsgi"];

/// `handler` hook.
pub(super) fn handle(request: &Request<'_>) -> Status {
    let Some(handler) = request.handler() else {
        return Status::DECLINED;
    };
    let effective = config::effective(request);
    let script = if BUILT_IN.contains(&handler) {
        None
    } else {
        let name = std::str::from_utf8(handler).ok();
        match name.and_then(|name| effective.handler_script(name)) {
            Some(script) => Some(script),
            None => return Status::DECLINED,
        }
    };
    match run(request, &effective, script, handler) {
        Ok(status) => status,
        Err(refused) => refuse(request, &refused),
    }
}

/// Answers with an error page and says why in the log.
fn refuse(request: &Request<'_>, refused: &Refused) -> Status {
    let file = request.filename().unwrap_or(b"");
    // Without a code it is the client's business only (REQ-033).
    let level = if refused.code.is_some() {
        Level::Error
    } else {
        Level::Info
    };
    request.log(
        level,
        record::with_script(file, 0, refused.to_string().as_bytes()),
    );
    Status::http(refused.status)
}

fn run(
    request: &Request<'_>,
    effective: &Effective<'_>,
    script: Option<&HandlerScript>,
    handler: &[u8],
) -> Result<Status, Refused> {
    let alias = translate::options(request);
    let module = alias.and_then(|alias| alias.module.as_ref());
    let filename = match module {
        Some(module) => module.script().as_bytes(),
        None => request.filename().unwrap_or(b""),
    };
    precheck::check_script(&ScriptFacts {
        // A module is no file either.
        is_builtin_handler: script.is_none() && module.is_none(),
        forced_by_alias: alias.is_some(),
        may_execute: request.may_execute(),
        target: match request.file().kind {
            FileKind::Missing => Target::Missing,
            FileKind::Directory => Target::Directory,
            _ => Target::File,
        },
        filename,
        path_info: request.path_info().unwrap_or(b""),
        accepts_path_info: request.path_info_rule() != PathInfo::Reject,
    })?;
    let headers = request.headers_in();
    let transfer_encoding = headers.get(c"Transfer-Encoding");
    let content_length = headers.get(c"Content-Length");
    precheck::check_body(&BodyFacts {
        transfer_encoding,
        content_length,
        limit: request.body_limit(),
        chunked_allowed: effective.chunked_request(),
    })?;

    let pass_authorization = script
        .and_then(|script| script.pass_authorization)
        .or_else(|| alias.and_then(|alias| alias.pass_authorization))
        .unwrap_or_else(|| effective.pass_authorization());
    let method = presented_method(request.method(), effective.map_head_to_get(), || {
        request.has_content_filters()
    });
    let mut environ = environ::gather(request, pass_authorization, method);
    let server_pid = process::id();
    let https = add_request(
        request,
        effective,
        &mut environ,
        script,
        handler,
        server_pid,
    );
    let mut choice = Choice::of(request, effective, script, alias);
    if let Some(dispatch) = effective.dispatch_script() {
        let said = dispatch::ask(request, effective, dispatch, &mut environ)?;
        choice.replace(request, &environ, said);
    }
    let main = config::main(request);
    let global = config::global(&main);
    let route = route(request, effective, global, &choice.process_group)?;
    environ.remove_consumed();
    add_choice(&mut environ, &choice);
    let is_shown = config::server(&main).shows_variables();
    if is_shown {
        request.publish(environ.iter());
    }
    if request.logs(Level::Trace1) {
        request.log(
            Level::Trace1,
            record::with_script(filename, 0, choice.shown().as_bytes()),
        );
    }

    let mut flags = 0;
    let mut flag = |on: bool, bit: u32| flags |= if on { bit } else { 0 };
    flag(https, REQUEST_HTTPS);
    let reloading = effective.script_reloading();
    flag(reloading != Reloading::Off, REQUEST_SCRIPT_RELOADING);
    flag(reloading == Reloading::Modules, REQUEST_MODULE_RELOADING);
    flag(module.is_some(), REQUEST_MODULE);
    flag(effective.ignore_activity(), REQUEST_IGNORE_ACTIVITY);
    flag(request.is_head(), REQUEST_HEAD);
    flag(choice.has_client_group, REQUEST_CLIENT_GROUP);
    flag(route != Route::Embedded, REQUEST_DAEMON);
    let head = RequestHead {
        flags,
        server_pid,
        request_start: request.time(),
        application_group: choice.application_group.as_bytes(),
        callable_object: choice.callable_object.as_bytes(),
        script_filename: filename,
        handler_script: script.map_or(b"", |script| script.path.as_bytes()),
        ..RequestHead::empty()
    };
    let status = match route {
        Route::Embedded => embedded::run(request, effective, &head, &environ),
        Route::Daemon(index) => {
            check_owners(request, &global.daemon_groups[index].options, filename)?;
            let Some(group) = supervisor::client(&main, index) else {
                return Err(Refused {
                    status: 503,
                    code: None,
                    text: format!(
                        "the daemon process group '{}' could not be set up when Apache started; its log says why.",
                        choice.process_group
                    ),
                });
            };
            let facts = client::Facts {
                body: announced(transfer_encoding, content_length),
                error_override: effective.error_override(),
                sendfile: effective.enable_sendfile(),
            };
            client::forward(
                request,
                group,
                head,
                // ENV-24: a daemon sees text only, the empty one for a variable without value.
                || {
                    environ
                        .iter()
                        .map(|(name, value)| (name, value.or(Some(b""))))
                },
                facts,
            )
        }
    };
    if !is_shown && status.http_code().is_some_and(|code| code >= 400) {
        // ErrorDocument may name a page that wants to know.
        request.publish(environ.iter());
    }
    Ok(status)
}

/// REQ-303: `script-user` and `script-group`.
fn check_owners(
    request: &Request<'_>,
    options: &DaemonOptions,
    filename: &[u8],
) -> Result<(), Refused> {
    if options.script_user.is_none() && options.script_group.is_none() {
        return Ok(());
    }
    let file = request.file();
    let folder = || {
        let path = Path::new(OsStr::from_bytes(ownership::folder_of(filename)));
        let facts = std::fs::metadata(path).ok()?;
        Some(Owned {
            user: Some(facts.uid()),
            group: Some(facts.gid()),
            mode: Some(facts.mode()),
        })
    };
    let facts = OwnershipFacts {
        filename,
        file: Owned {
            user: file.user,
            group: file.group,
            mode: file.mode,
        },
        folder: &folder,
        user_name: &|id| passwd::user_by_id(id).ok().flatten().map(|user| user.name),
        group_name: &|id| {
            passwd::group_by_id(id)
                .ok()
                .flatten()
                .map(|group| group.name)
        },
    };
    ownership::check(
        options.script_user.as_deref(),
        options.script_group.as_deref(),
        &facts,
    )
}

/// What the headers say about the body; they were checked.
fn announced(transfer_encoding: Option<&[u8]>, content_length: Option<&[u8]>) -> client::BodyFacts {
    if transfer_encoding.is_some() {
        return client::BodyFacts::Unknown;
    }
    let length = content_length.and_then(|text| std::str::from_utf8(text).ok()?.parse().ok());
    match length {
        None | Some(0) => client::BodyFacts::None,
        Some(length) => client::BodyFacts::Length(length),
    }
}

/// DMN-201 to DMN-204.
fn route(
    request: &Request<'_>,
    effective: &Effective<'_>,
    global: &Global,
    process_group: &str,
) -> Result<Route, Refused> {
    let server = request.server();
    let name = server
        .hostname()
        .and_then(|name| std::str::from_utf8(name).ok());
    let facts = RoutingFacts {
        restrict: effective.restrict_process(),
        restrict_embedded: global.restrict_embedded.unwrap_or(false),
        // Whether this child has Python is `embedded`'s to say.
        has_python: true,
        server: ServerFacts {
            ordinal: server.ordinal() as usize,
            name,
        },
    };
    let groups = global.daemon_groups.iter().map(|group| GroupFacts {
        name: &group.name,
        server: ServerFacts {
            ordinal: group.server_ordinal as usize,
            name: group.server_name.as_deref(),
        },
    });
    routing::select(process_group, &facts, groups)
}

/// The entries `mod_wsgi.*` of the request, the headers of trusted proxies, and whether the scheme is https (REQ-105 to REQ-108,
/// ENV-54 to ENV-58).
fn add_request<'r>(
    request: &Request<'r>,
    effective: &Effective<'_>,
    environ: &mut Environ<'r>,
    script: Option<&HandlerScript>,
    handler: &'r [u8],
    server_pid: u32,
) -> bool {
    for (key, original) in [
        (&b"mod_wsgi.script_name"[..], &b"SCRIPT_NAME"[..]),
        (b"mod_wsgi.path_info", b"PATH_INFO"),
    ] {
        let value = environ.get(original).unwrap_or(b"").to_vec();
        environ.set_owned(key, value);
    }
    let headers = effective.trusted_proxy_headers();
    let mut scheme_kept = false;
    if !headers.is_empty() {
        let peer = std::str::from_utf8(request.client_ip())
            .ok()
            .and_then(|text| text.parse().ok());
        // Not an address: nobody trusts it.
        let peer = peer.unwrap_or(IpAddr::V6(Ipv6Addr::UNSPECIFIED));
        let outcome = proxies::apply(environ, headers, effective.trusted_proxies(), peer);
        scheme_kept = outcome.scheme_kept;
    }
    let connection = request.connection();
    let https = environ.decide_https(connection.is_https(), scheme_kept);
    environ.set(&b"mod_wsgi.request_handler"[..], Some(handler));
    environ.set_owned(
        &b"mod_wsgi.handler_script"[..],
        script.map_or("", |script| script.path.as_str()),
    );
    environ.set(
        &b"mod_wsgi.listener_host"[..],
        Some(connection.local_hostname().unwrap_or(b"")),
    );
    environ.set_owned(
        &b"mod_wsgi.listener_port"[..],
        connection.local_port().to_string(),
    );
    environ.set_owned(&b"mod_wsgi.server_pid"[..], server_pid.to_string());
    if let Some(id) = request.log_id() {
        environ.set(&b"mod_wsgi.request_id"[..], Some(id));
    }
    if let Some(id) = connection.log_id() {
        environ.set(&b"mod_wsgi.connection_id"[..], Some(id));
    }
    https
}

/// Where it runs (ENV-51 to ENV-53).
fn add_choice(environ: &mut Environ<'_>, choice: &Choice) {
    for (key, value) in [
        (&b"mod_wsgi.process_group"[..], &choice.process_group),
        (b"mod_wsgi.application_group", &choice.application_group),
        (b"mod_wsgi.callable_object", &choice.callable_object),
    ] {
        environ.set_owned(key, value.as_str());
    }
}
