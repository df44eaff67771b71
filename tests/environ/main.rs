//! The environ that an application gets.

mod keys;
mod listeners;
mod mapped;
mod redirects;
mod requests;
mod surroundings;
mod tls;

use wsgi_harness::{Mode, Mpm, Site};

fn site(mpm: Mpm, mode: Mode) -> Site {
    Site::new(mpm, mode)
        .modules(&[
            "alias",
            "env",
            "setenvif",
            "auth_basic",
            "authn_core",
            "authn_file",
            "authz_user",
            "rewrite",
            "unique_id",
        ])
        .shared("environ.wsgi")
        // user:secret
        .file("passwords", "user:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=\n")
        .config(
            "ServerAdmin admin@example.com
            SetEnv FROM_SETENV \"a value\"
            SetEnv QUERY_STRING overwritten
            SetEnv mod_wsgi.x-mine \"not passed on\"
            SetEnv PATH /must/not/be/seen
            SetEnvIf X-Switch on FROM_SETENVIF=matched
            SetEnvIf X-Switch on WITHOUT_VALUE
            WSGIScriptAlias /app {apps}/environ.wsgi
            WSGIScriptAlias /passed {apps}/environ.wsgi
            WSGIScriptAlias /cgi {apps}/environ.wsgi
            WSGIScriptAlias /protected {apps}/environ.wsgi
            WSGIScriptAlias /tls {apps}/environ.wsgi
            WSGIScriptAlias /tls-one {apps}/environ.wsgi
            WSGIScriptAlias /tls-off {apps}/environ.wsgi
            WSGIScriptAlias /error {apps}/environ.wsgi
            <Location /passed>\nWSGIPassAuthorization On\n</Location>
            <Location /cgi>\nCGIPassAuth On\n</Location>
            <Location /tls>\nSetEnv HTTPS ON\n</Location>
            <Location /tls-one>\nSetEnv HTTPS 1\n</Location>
            <Location /tls-off>\nSetEnv HTTPS yes\n</Location>
            <Location /redirecting>
                ErrorDocument 404 /error/page?code=404
            </Location>
            <Location /protected>
                AuthType Basic
                AuthName test
                AuthUserFile {dir}/passwords
                Require valid-user
            </Location>",
        )
}
