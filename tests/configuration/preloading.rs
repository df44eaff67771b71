//! Lists of scripts that are loaded at start.

use super::*;

/// DIR-012, DIR-013, DIR-076, XPN-25, CTX-06: lists of scripts that are loaded at start.
#[test]
fn preloading_needs_known_groups() {
    const VHOST_GROUP: &str =
        "<VirtualHost 127.0.0.1:1>\nServerName a.example\nWSGIDaemonProcess g\n</VirtualHost>\n";
    let rows: Vec<(&str, String, Verdict)> = vec![
        ("DIR-013", "WSGIScriptAlias / /x process-group=g application-group=a".into(), Refused),
        ("DIR-013", "WSGIDaemonProcess g\nWSGIScriptAlias / /x process-group=g application-group=a".into(), Accepted),
        ("DIR-013", "WSGIScriptAlias / /x process-group=g application-group=a\nWSGIDaemonProcess g".into(), Refused),
        ("DIR-012", "WSGIScriptAlias / /x process-group=g".into(), Accepted),
        ("DIR-012", "WSGIScriptAlias / /x process-group=g application-group=%{RESOURCE}".into(), Accepted),
        ("DIR-012", "WSGIScriptAlias / /x process-group=%{GLOBAL} application-group=%{GLOBAL}".into(), Accepted),
        ("DIR-012", "WSGIScriptAliasMatch ^/(.*) /x/$1 process-group=g application-group=a".into(), Accepted),
        ("DIR-012", "WSGIScriptAliasMatch ^/ /x/y process-group=g application-group=a".into(), Refused),
        ("DIR-013", format!("{VHOST_GROUP}WSGIScriptAlias / /x process-group=g application-group=a"), Refused),
        ("DIR-013", format!("{VHOST_GROUP}<VirtualHost 127.0.0.1:2>\nServerName a.example\nWSGIScriptAlias / /x process-group=g application-group=a\n</VirtualHost>"), Accepted),
        ("DIR-013", format!("{VHOST_GROUP}<VirtualHost 127.0.0.1:2>\nServerName b.example\nWSGIScriptAlias / /x process-group=g application-group=a\n</VirtualHost>"), Refused),
        // The names of that moment count: one may still be without its ServerName.
        ("DIR-013", "<VirtualHost 127.0.0.1:1>\nWSGIDaemonProcess g\nServerName a.example\n</VirtualHost>\n<VirtualHost 127.0.0.1:2>\nServerName a.example\nWSGIScriptAlias / /x process-group=g application-group=a\n</VirtualHost>".into(), Accepted),
        ("DIR-013", format!("{VHOST_GROUP}<VirtualHost 127.0.0.1:2>\nWSGIScriptAlias / /x process-group=g application-group=a\nServerName a.example\n</VirtualHost>"), Refused),
        ("DIR-013", "<VirtualHost 127.0.0.1:1>\nWSGIDaemonProcess g\n</VirtualHost>\n<VirtualHost 127.0.0.1:2>\nWSGIScriptAlias / /x process-group=g application-group=a\n</VirtualHost>".into(), Accepted),
        ("DIR-013", format!("{VHOST_GROUP}<VirtualHost 127.0.0.1:2>\nServerName A.example\nWSGIScriptAlias / /x process-group=g application-group=a\n</VirtualHost>"), Refused),
        ("DIR-013", format!("{VHOST_GROUP}ServerName a.example\nWSGIScriptAlias / /x process-group=g application-group=a"), Accepted),
        ("DIR-013", "<VirtualHost 127.0.0.1:1>\nWSGIDaemonProcess g\nWSGIImportScript /x process-group=g application-group=a\n</VirtualHost>".into(), Accepted),
        ("DIR-013", "WSGIDaemonProcess g\n<VirtualHost 127.0.0.1:1>\nWSGIScriptAlias / /x process-group=g application-group=a\n</VirtualHost>".into(), Accepted),
        ("DIR-012", "WSGIScriptAlias / /x process-group=g application-group=a%{".into(), Accepted),
        ("DIR-012", "WSGIScriptAlias / /x$1 process-group=g application-group=a".into(), Refused),
        ("DIR-076", "WSGIImportScript".into(), Refused),
        ("DIR-076", "WSGIImportScript /x".into(), Refused),
        ("DIR-076", "WSGIImportScript /x process-group=%{GLOBAL}".into(), Refused),
        ("DIR-076", "WSGIImportScript /x application-group=%{GLOBAL}".into(), Refused),
        ("DIR-076", "WSGIImportScript /x process-group= application-group=a".into(), Refused),
        ("DIR-076", "WSGIImportScript /x process-group=%{GLOBAL} application-group=a what=1".into(), Refused),
        ("DIR-076", "WSGIImportScript /x process-group=%{GLOBAL} application-group=%{GLOBAL}".into(), Accepted),
        ("DIR-076", "WSGIImportScript /x process-group=g application-group=a".into(), Refused),
        ("DIR-076", "WSGIDaemonProcess g\nWSGIImportScript /x process-group=g application-group=a".into(), Accepted),
        ("XPN-25", "WSGIImportScript /x process-group=%{SERVER} application-group=a".into(), Refused),
        ("XPN-25", "WSGIImportScript /x process-group=%{GLOBAL} application-group=%{SERVER}".into(), Accepted),
        ("XPN-25", "WSGIDaemonProcess g\nWSGIImportScript /x process-group=%{ENV:G} application-group=a".into(), Refused),
        ("XPN-25", "WSGIImportScript /x process-group=%{HOST} application-group=a".into(), Refused),
        ("XPN-25", "WSGIImportScript /x process-group=%{RESOURCE} application-group=a".into(), Refused),
        // Unlike an alias's, whose groups of the request make it an alias only.
        ("DIR-076", "WSGIImportScript /x process-group=g application-group=%{SERVER}".into(), Refused),
        ("DIR-076", format!("{VHOST_GROUP}WSGIImportScript /x process-group=g application-group=a"), Refused),
        ("DIR-076", format!("{VHOST_GROUP}<VirtualHost 127.0.0.1:2>\nServerName a.example\nWSGIImportScript /x process-group=g application-group=a\n</VirtualHost>"), Accepted),
        ("CTX-06", "<VirtualHost 127.0.0.1:1>\nWSGIImportScript /x process-group=%{GLOBAL} application-group=a\n</VirtualHost>".into(), Accepted),
    ];
    check(&rows);
}
