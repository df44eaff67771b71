//! The environ of a request, gathered in the child from what httpd knows (spec request.md, section 3 and 7.1).
//!
//! Made once per request, for both modes; borrows from the request's pool wherever nothing has to be changed. Runs on the
//! thread that serves the request.

use wsgi_core::request::environ::{Environ, cgi_header_name};
use wsgi_core::request::path;

use crate::apache::Request;

/// Typical number of entries, so that the list is allocated once.
const USUAL_ENTRIES: usize = 64;

/// The CGI variables (REQ-100 to REQ-104), without the `mod_wsgi.*` entries and before proxy headers are applied.
///
/// `pass_authorization` is WSGIPassAuthorization; `method` is what REQUEST_METHOD shows (REQ-120).
pub(super) fn gather<'r>(
    request: &Request<'r>,
    pass_authorization: bool,
    method: &'r [u8],
) -> Environ<'r> {
    let mut environ = Environ::with_capacity(USUAL_ENTRIES);
    // Variables of other modules and directives come first: those of CGI overwrite them (REQ-101).
    for (name, value) in request.environment().iter() {
        environ.set(name, value);
    }
    let by_core = request.passes_authorization_by_core();
    let shown = Credentials {
        authorization: by_core || pass_authorization,
        proxy_authorization: by_core,
    };
    headers(&mut environ, request, shown);
    server_and_connection(&mut environ, request);
    redirect(&mut environ, request);
    request_line(&mut environ, request, method);
    environ.remove(b"PATH");
    environ
}

/// Which of the headers with credentials are shown.
#[derive(Clone, Copy)]
struct Credentials {
    authorization: bool,
    proxy_authorization: bool,
}

/// What access, authentication and group scripts see (REQ-691): earlier and less than an application. `group` is the
/// interpreter that the script runs in.
pub(super) fn gather_for_hook<'r>(request: &Request<'r>, group: &str) -> Environ<'r> {
    let mut environ = Environ::with_capacity(USUAL_ENTRIES);
    let shown = Credentials {
        authorization: false,
        proxy_authorization: false,
    };
    headers(&mut environ, request, shown);
    let connection = request.connection();
    let (script_name, path_info) = split(request);
    for (name, value) in [
        (&b"SERVER_SIGNATURE"[..], request.server_signature()),
        (b"SERVER_SOFTWARE", request.server_software()),
        (b"SERVER_NAME", request.escaped_server_name()),
        (b"SERVER_ADDR", connection.local_ip()),
        (b"REMOTE_ADDR", request.client_ip()),
        (b"DOCUMENT_ROOT", request.document_root()),
        (b"SERVER_PROTOCOL", request.protocol()),
        (b"REQUEST_METHOD", request.method()),
        (b"QUERY_STRING", request.args().unwrap_or(b"")),
        (b"REQUEST_URI", sent_target(request)),
        (b"SCRIPT_NAME", script_name),
        (b"PATH_INFO", path_info),
        (b"mod_wsgi.process_group", b""),
    ] {
        environ.set(name, Some(value));
    }
    for (name, value) in [
        (&b"SERVER_ADMIN"[..], request.server().admin()),
        (b"REMOTE_HOST", request.client_host()),
    ] {
        if let Some(value) = value {
            environ.set(name, Some(value));
        }
    }
    environ.set_owned(&b"SERVER_PORT"[..], request.server_port().to_string());
    environ.set_owned(&b"REMOTE_PORT"[..], connection.peer_port().to_string());
    environ.set_owned(&b"mod_wsgi.application_group"[..], group);
    environ
}

/// Request headers (ENV-01 to ENV-06). Names that could pass for another header are dropped (REQ-100).
fn headers<'r>(environ: &mut Environ<'r>, request: &Request<'r>, shown: Credentials) {
    for (name, value) in request.headers_in().iter() {
        let value = value.unwrap_or(b"");
        if name.eq_ignore_ascii_case(b"content-type") {
            environ.set(&b"CONTENT_TYPE"[..], Some(value));
        } else if name.eq_ignore_ascii_case(b"content-length") {
            environ.set(&b"CONTENT_LENGTH"[..], Some(value));
        } else if name.eq_ignore_ascii_case(b"proxy")
            || (name.eq_ignore_ascii_case(b"authorization") && !shown.authorization)
            || (name.eq_ignore_ascii_case(b"proxy-authorization") && !shown.proxy_authorization)
        {
            // Never shown, or only where the administrator says so.
        } else if let Some(key) = cgi_header_name(name) {
            environ.add_header(key, value);
        }
    }
}

/// Server and connection (ENV-07 to ENV-17).
fn server_and_connection<'r>(environ: &mut Environ<'r>, request: &Request<'r>) {
    let connection = request.connection();
    environ.set(&b"SERVER_SOFTWARE"[..], Some(request.server_software()));
    environ.set(&b"SERVER_NAME"[..], Some(request.escaped_server_name()));
    environ.set(&b"SERVER_ADDR"[..], Some(connection.local_ip()));
    environ.set_owned(&b"SERVER_PORT"[..], request.server_port().to_string());
    environ.set(&b"REMOTE_ADDR"[..], Some(request.client_ip()));
    environ.set_owned(&b"REMOTE_PORT"[..], connection.peer_port().to_string());
    environ.set(&b"DOCUMENT_ROOT"[..], Some(request.document_root()));
    environ.set(&b"CONTEXT_PREFIX"[..], Some(request.context_prefix()));
    environ.set(
        &b"CONTEXT_DOCUMENT_ROOT"[..],
        Some(request.context_document_root()),
    );
    environ.set(&b"REQUEST_SCHEME"[..], Some(request.scheme()));
    if let Some(admin) = request.server().admin() {
        environ.set(&b"SERVER_ADMIN"[..], Some(admin));
    }
    environ.set(
        &b"SCRIPT_FILENAME"[..],
        Some(request.filename().unwrap_or(b"")),
    );
    if let Some(user) = request.user() {
        environ.set(&b"REMOTE_USER"[..], Some(user));
        environ.set(&b"AUTH_TYPE"[..], request.auth_type().or(Some(b"")));
    } else if let Some(user) = earlier_user(request) {
        environ.set(&b"REDIRECT_REMOTE_USER"[..], Some(user));
    }
}

/// User of the nearest request that was redirected to this one, over any number of redirects, and had one (ENV-17).
fn earlier_user<'r>(request: &Request<'r>) -> Option<&'r [u8]> {
    std::iter::successors(request.previous(), Request::previous).find_map(|earlier| earlier.user())
}

/// What an internal redirect tells about the request before it (ENV-18).
fn redirect<'r>(environ: &mut Environ<'r>, request: &Request<'r>) {
    let Some(previous) = request.previous() else {
        return;
    };
    if request.qualifies_redirects() {
        let mut url = [previous.scheme(), b"://", previous.server_name_for_url()].concat();
        let port = previous.server_port();
        let usual = if previous.scheme() == b"https" {
            443
        } else {
            80
        };
        if port != usual {
            url.extend_from_slice(format!(":{port}").as_bytes());
        }
        url.extend_from_slice(previous.uri());
        if let Some(args) = previous.args() {
            url.push(b'?');
            url.extend_from_slice(args);
        }
        environ.set_owned(&b"REDIRECT_URL"[..], url);
    } else {
        environ.set(&b"REDIRECT_URL"[..], Some(previous.uri()));
    }
    if let Some(args) = previous.args() {
        environ.set(&b"REDIRECT_QUERY_STRING"[..], Some(args));
    }
}

/// The request line (ENV-19 to ENV-23), with the slashes of both path halves collapsed (REQ-104, REQ-112).
fn request_line<'r>(environ: &mut Environ<'r>, request: &Request<'r>, method: &'r [u8]) {
    environ.set(&b"SERVER_PROTOCOL"[..], Some(request.protocol()));
    environ.set(&b"REQUEST_METHOD"[..], Some(method));
    environ.set(&b"QUERY_STRING"[..], Some(request.args().unwrap_or(b"")));
    let target = if request.wants_current_uri() {
        request.uri()
    } else {
        sent_target(request)
    };
    environ.set(&b"REQUEST_URI"[..], Some(target));
    let (script_name, path_info) = split(request);
    environ.set_cow(&b"SCRIPT_NAME"[..], path::collapse_slashes(script_name));
    if path_info.is_empty() {
        // What another module has set stays, such as that of the page that includes this request.
        let set = environ.get_cow(b"PATH_INFO").unwrap_or_default();
        environ.set_owned(&b"PATH_INFO"[..], path::collapse_slashes(&set));
    } else {
        environ.set_cow(&b"PATH_INFO"[..], path::collapse_slashes(path_info));
    }
}

/// SCRIPT_NAME and PATH_INFO as httpd maps them, slashes as they came (REQ-110, REQ-111).
pub(super) fn split<'r>(request: &Request<'r>) -> (&'r [u8], &'r [u8]) {
    let uri = request.uri();
    let path_info = request.path_info().unwrap_or(b"");
    if path_info.is_empty() || request.protocol() == b"INCLUDED" {
        return (uri, path_info);
    }
    (&uri[..request.path_info_start(uri, path_info)], path_info)
}

/// Target of the request line as the client sent it (ENV-22): the second word of the line.
fn sent_target<'r>(request: &Request<'r>) -> &'r [u8] {
    let line = request.request_line();
    let mut words = line
        .split(|byte| byte.is_ascii_whitespace())
        .filter(|word| !word.is_empty());
    words.nth(1).unwrap_or_else(|| request.uri())
}
