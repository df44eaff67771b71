//! Rows: which application a URL belongs to, and the processes and interpreters that run applications.

use super::SERVER;
use crate::config::directive::{Arity, Context, Directive, Effect, Scope};
use crate::config::set;

/// In the order of the specification.
pub(super) const ROWS: &[Directive] = &[
    Directive {
        name: "WSGIScriptAlias",
        syntax: "URL-path file|module:name[:callable] [process-group=name] [application-group=name] [callable-object=name] [pass-authorization=On|Off]",
        arity: Arity::Raw,
        context: Context::SV,
        scope: Scope::List,
        default: "none",
        since: "1.0",
        help: "Maps a URL path, and all below it, to a WSGI script file.",
        doc: "Maps a URL path, and all below it, to a WSGI script file. The path matches whole components, as with Alias; longer paths have to stand first. A `SetHandler` in `<Location>` goes before an alias, so that `/server-status` can stay what it is below `/`; handlers of folders and files do not. The options choose the process group, the interpreter and the callable for the requests that it maps, and win over the directives of the same meaning. With both `process-group` and `application-group` given, the script is loaded when the process starts.\n\nThe target may be a module: with `module:mysite.wsgi:application` Python imports `mysite.wsgi` by its name and calls its attribute `application`. Attributes may be dotted (`module:mysite:api.application`), and with `()` a function is called once, without arguments, to make the application (`module:mysite:create_app()`). Without a callable that of `callable-object` or WSGICallableObject is used. The module is looked for on `sys.path`: say where it is with `python-path`, `home` or `python-home` of the process group, in embedded mode with WSGIPythonPath or WSGIPythonHome. SCRIPT_NAME is the URL path of the alias, PATH_INFO the rest. There is no file, so `<Directory>`, `.htaccess`, `Options ExecCGI` and `script-user` do not apply: control access with `<Location>`. WSGIScriptReloading says which changes are noticed.",
        example: "WSGIScriptAlias / /srv/site/app.wsgi process-group=site application-group=%{GLOBAL}",
        set: |n, a, p| set::script_alias(n, a, p, false),
        ..SERVER
    },
    Directive {
        name: "WSGIScriptAliasMatch",
        syntax: "regex file|module:name[:callable] [options]",
        arity: Arity::Raw,
        context: Context::SV,
        scope: Scope::List,
        default: "none",
        since: "1.0",
        help: "Like WSGIScriptAlias, with a regular expression for the URL path, which is not anchored.",
        doc: "Like WSGIScriptAlias, with a regular expression for the URL path, which is not anchored. `$0` to `$9` in the file stand for what it captured; the rest of the URL behind the match is appended. An expression that takes but the first slash, such as `^/`, is for every URL, as the alias `/` is. In a target that is a module nothing is substituted, so that clients do not choose what is imported; SCRIPT_NAME is the URL up to the end of the match, which has to be the end of a component.",
        example: "WSGIScriptAliasMatch ^/sites/([^/]+) /srv/$1/app.wsgi",
        set: |n, a, p| set::script_alias(n, a, p, true),
        ..SERVER
    },
    Directive {
        name: "WSGIDaemonProcess",
        syntax: "name [option=value …]",
        arity: Arity::Raw,
        context: Context::SV,
        scope: Scope::List,
        default: "none",
        since: "1.0",
        help: "Defines a group of daemon processes, which run applications apart from Apache's own processes.",
        doc: "Defines a group of daemon processes, which run applications apart from Apache's own processes. The options are described in [daemon-options.md](daemon-options.md). A group that is defined in a virtual host can be used by servers with the same ServerName only.",
        example: "WSGIDaemonProcess site user=site processes=2 threads=15 python-home=/srv/site/venv",
        set: set::daemon_process,
        ..SERVER
    },
    Directive {
        name: "WSGISocketPrefix",
        syntax: "path",
        default: "the runtime folder compiled into Apache, and `/wsgi`",
        since: "1.0",
        help: "Front of the path of the sockets over which Apache talks to daemon processes.",
        doc: "Front of the path of the sockets over which Apache talks to daemon processes. Apache's User has to be able to reach the folder. Relative paths are below ServerRoot.",
        example: "WSGISocketPrefix /run/apache2/wsgi",
        set: set::socket_prefix,
        ..SERVER
    },
    Directive {
        name: "WSGISocketRotation",
        syntax: "On|Off",
        default: "On",
        since: "4.6.0",
        help: "On: each restart of Apache uses sockets of new names.",
        doc: "On: each restart of Apache uses sockets of new names. Off: the names stay, so that Apache processes from before a graceful restart reach the daemon processes from after it.",
        example: "WSGISocketRotation Off",
        set: |n, a, p| set::global_switch(n, a, p, |g| &mut g.socket_rotation),
        ..SERVER
    },
    Directive {
        name: "WSGIAcceptMutex",
        syntax: "default|flock|fcntl|sysvsem|posixsem|pthread",
        default: "none needed",
        since: "1.0",
        help: "Accepted for compatibility.",
        doc: "Accepted for compatibility. Connections are given to exactly one process without a lock.",
        example: "WSGIAcceptMutex default",
        effect: Effect::Never,
        set: set::accept_mutex,
        ..SERVER
    },
    Directive {
        name: "WSGIProcessGroup",
        syntax: "name",
        context: Context::SVD,
        scope: Scope::Merge,
        default: "empty (embedded)",
        since: "1.0",
        help: "Process group that runs the requests of this context.",
        doc: "Process group that runs the requests of this context. `%{GLOBAL}` is Apache's own processes (embedded mode). `%{SERVER}`, `%{HOST}`, `%{RESOURCE}` and `%{ENV:name}` are expanded for each request.",
        example: "WSGIProcessGroup site",
        set: |_, a, p| set::layer_text(a, p, |l| &mut l.process_group),
        ..SERVER
    },
    Directive {
        name: "WSGIApplicationGroup",
        syntax: "name",
        context: Context::SVD,
        scope: Scope::Merge,
        default: "`%{RESOURCE}`",
        since: "1.0",
        help: "Python interpreter, in the process, that runs the requests of this context.",
        doc: "Python interpreter, in the process, that runs the requests of this context. `%{GLOBAL}` is the main interpreter, which extension modules need that do not support sub-interpreters. The default gives each script of each server its own. `%{SERVER}`, `%{HOST}`, `%{RESOURCE}` and `%{ENV:name}` are expanded for each request; for names that requests make, with `%{HOST}`, `%{ENV:name}`, or `%{RESOURCE}` behind WSGIScriptAliasMatch and for handler scripts without a file, a process makes 256 interpreters at most, and answers 503 to requests for others.",
        example: "WSGIApplicationGroup %{GLOBAL}",
        set: |_, a, p| set::layer_text(a, p, |l| &mut l.application_group),
        ..SERVER
    },
    Directive {
        name: "WSGIRestrictProcess",
        syntax: "name …",
        arity: Arity::Raw,
        context: Context::SVD,
        scope: Scope::Merge,
        default: "unrestricted",
        since: "1.0",
        help: "Process groups that requests of this context may run in, compared without case; %{GLOBAL} is embedded mode.",
        doc: "Process groups that requests of this context may run in, compared without case; `%{GLOBAL}` is embedded mode. Without names nothing may run.",
        example: "WSGIRestrictProcess site %{GLOBAL}",
        set: |_, a, p| set::restrict_process(a, p),
        ..SERVER
    },
];
