//! Rows: how a request is handed to its application, and what of it a proxy may say.

use super::{REQUEST, SERVER};
use crate::config::directive::{Arity, Context, Directive, Scope};
use crate::config::set;

/// In the order of the specification.
pub(super) const ROWS: &[Directive] = &[
    Directive {
        name: "WSGICallableObject",
        syntax: "name",
        default: "`application`",
        since: "1.0",
        help: "Name of the callable in the script file.",
        doc: "Name of the callable in the script file. `%{ENV:name}` is expanded for each request.",
        example: "WSGICallableObject app",
        set: |_, a, p| set::layer_text(a, p, |l| &mut l.callable_object),
        ..REQUEST
    },
    Directive {
        name: "WSGIScriptReloading",
        syntax: "On|Off|Modules",
        default: "On",
        since: "1.0",
        help: "Whether a changed script file is noticed at the next request.",
        doc: "Whether a changed script file is noticed at the next request. In embedded mode the script is loaded again; a daemon process is replaced. Of a target that is a module, `On` watches the file of that module, and `Modules` those of all loaded modules of its top-level package, as a development server does; for script files `Modules` means `On`. In embedded mode only the target's module itself is imported again, whichever file has changed; what other modules hold stays.",
        example: "WSGIScriptReloading Off",
        set: set::script_reloading,
        ..REQUEST
    },
    Directive {
        name: "WSGIPassAuthorization",
        syntax: "On|Off",
        default: "Off",
        since: "1.0",
        help: "Whether the application sees the Authorization header of the client, as HTTP_AUTHORIZATION.",
        doc: "Whether the application sees the Authorization header of the client, as `HTTP_AUTHORIZATION`.",
        example: "WSGIPassAuthorization On",
        set: |n, a, p| set::layer_switch(n, a, p, |l| &mut l.pass_authorization),
        ..REQUEST
    },
    Directive {
        name: "WSGIPassApacheRequest",
        syntax: "On|Off",
        context: Context::SVD,
        scope: Scope::Merge,
        default: "Off",
        since: "3.0",
        help: "Whether embedded applications get a capsule with Apache's request record, as apache.request_rec.",
        doc: "Whether embedded applications get a capsule with Apache's request record, as `apache.request_rec`.",
        example: "WSGIPassApacheRequest On",
        set: |n, a, p| set::layer_switch(n, a, p, |l| &mut l.pass_apache_request),
        ..SERVER
    },
    Directive {
        name: "WSGIErrorOverride",
        syntax: "On|Off",
        default: "Off",
        since: "3.0",
        help: "In daemon mode: whether Apache's error pages (ErrorDocument) replace what an application answers with a status of 400 to 599.",
        doc: "In daemon mode: whether Apache's error pages (ErrorDocument) replace what an application answers with a status of 400 to 599.",
        example: "WSGIErrorOverride On",
        set: |n, a, p| set::layer_switch(n, a, p, |l| &mut l.error_override),
        ..REQUEST
    },
    Directive {
        name: "WSGIChunkedRequest",
        syntax: "On|Off",
        default: "Off",
        since: "3.0",
        help: "Whether request bodies without a Content-Length, in chunks, are accepted.",
        doc: "Whether request bodies without a Content-Length, in chunks, are accepted. Otherwise they are answered with 411.",
        example: "WSGIChunkedRequest On",
        set: |n, a, p| set::layer_switch(n, a, p, |l| &mut l.chunked_request),
        ..REQUEST
    },
    Directive {
        name: "WSGIMapHEADToGET",
        syntax: "On|Off|Auto",
        default: "Auto",
        since: "4.3.0",
        help: "Whether applications see GET for a HEAD request, so that they make the headers of a whole answer.",
        doc: "Whether applications see GET for a HEAD request, so that they make the headers of a whole answer. Auto: only where output filters such as DEFLATE need the body.",
        example: "WSGIMapHEADToGET Off",
        set: set::map_head,
        ..REQUEST
    },
    Directive {
        name: "WSGIIgnoreActivity",
        syntax: "On|Off",
        default: "Off",
        since: "4.5.8",
        help: "In daemon mode: whether requests of this context do not count as activity for inactivity-timeout.",
        doc: "In daemon mode: whether requests of this context do not count as activity for `inactivity-timeout`.",
        example: "WSGIIgnoreActivity On",
        set: |n, a, p| set::layer_switch(n, a, p, |l| &mut l.ignore_activity),
        ..REQUEST
    },
    Directive {
        name: "WSGIEnableSendfile",
        syntax: "On|Off",
        default: "Off",
        since: "3.4",
        help: "Whether the kernel may send the files of wsgi.file_wrapper itself.",
        doc: "Whether the kernel may send the files of `wsgi.file_wrapper` itself. Needs EnableSendfile as well.",
        example: "WSGIEnableSendfile On",
        set: |n, a, p| set::layer_switch(n, a, p, |l| &mut l.enable_sendfile),
        ..REQUEST
    },
    Directive {
        name: "WSGITrustedProxyHeaders",
        syntax: "header …",
        arity: Arity::Raw,
        default: "none",
        since: "4.4.9",
        help: "Headers of a reverse proxy in front of Apache that replace what Apache knows about the client, the host, the port, the scheme and the mount point.",
        doc: "Headers of a reverse proxy in front of Apache that replace what Apache knows about the client, the host, the port, the scheme and the mount point. Known are, for the client's address, `X-Forwarded-For`, `X-Client-IP` and `X-Real-IP`; for the host `X-Forwarded-Host` and `X-Host`; for the server's name `X-Forwarded-Server`; for the port `X-Forwarded-Port`; for the mount point `X-Script-Name` and `X-Forwarded-Script-Name`; for the scheme `X-Forwarded-Proto`, `X-Forwarded-Scheme` and `X-Scheme`, and as a switch `X-Forwarded-HTTPS`, `X-Forwarded-SSL` and `X-HTTPS`. Of several with the same meaning the last one named here that a request has counts; the others are removed, so that clients cannot forge them.",
        example: "WSGITrustedProxyHeaders X-Forwarded-For X-Forwarded-Proto",
        set: set::proxy_headers,
        ..REQUEST
    },
    Directive {
        name: "WSGITrustedProxies",
        syntax: "address …",
        arity: Arity::Raw,
        default: "every peer",
        since: "4.4.10",
        help: "Addresses and networks of the proxies whose headers are trusted.",
        doc: "Addresses and networks of the proxies whose WSGITrustedProxyHeaders are trusted: `192.0.2.1`, `10.0.0.0/8`, `10.0.0.0/255.0.0.0`, `10.1`, `2001:db8::/32`. From other peers these headers are removed. In `X-Forwarded-For` the client is the address that the first of these proxies was called from. Without this directive every peer is trusted, which leaves a warning (WSGI5004).",
        example: "WSGITrustedProxies 10.0.0.0/8 2001:db8::/32",
        set: set::proxies,
        ..REQUEST
    },
];
