//! What `httpd -t` accepts and refuses: every directive and option, in every context.

use wsgi_harness::{Mode, Mpm, Site, is_root, matrix, subject};

/// What must become of a configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Accepted,
    Refused,
    /// Refused by ours only, for the reason that the row gives.
    RefusedByOurs,
    /// Accepted by ours only.
    AcceptedByOurs,
}
use Verdict::{Accepted, AcceptedByOurs, Refused, RefusedByOurs};

type Row = (&'static str, &'static str, Verdict);

/// Checks each row as the only addition to a plain configuration.
#[track_caller]
fn check(rows: &[Row]) {
    let mut wrong = Vec::new();
    for (row, config, verdict) in rows {
        let site = Site::new(Mpm::Event, Mode::Embedded)
            .modules(&["alias", "auth_basic", "authn_core"])
            .config(config);
        let checked = site.check();
        let expected = match verdict {
            Accepted => true,
            Refused => false,
            RefusedByOurs => !subject().differs(row),
            AcceptedByOurs => subject().differs(row),
        };
        if checked.accepted != expected {
            wrong.push(format!(
                "{row}: {config}\n   accepted: {}, but {verdict:?}: {}",
                checked.accepted,
                checked.output.trim()
            ));
        } else if !expected {
            let directive = config
                .lines()
                .next_back()
                .unwrap_or_default()
                .trim_start_matches('<');
            let directive = directive.split([' ', '>']).next().unwrap_or_default();
            let says = checked.output.to_lowercase();
            if !says.contains(&directive.to_lowercase()) && !says.contains("syntax error") {
                wrong.push(format!(
                    "{row}: {config}\n   the message does not name {directive}: {}",
                    checked.output.trim()
                ));
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {}:\n{}",
        wrong.len(),
        rows.len(),
        wrong.join("\n")
    );
}

/// Words, switches and options in general; every row of the table names its row of the specification.
#[test]
fn words_and_options() {
    check(&[
        ("GEN-04", "WSGIScriptAlias '/a b' \"/x/y z.wsgi\"", Accepted),
        (
            "GEN-04",
            "Define TARGET /x.wsgi\nWSGIScriptAlias / ${TARGET}",
            Accepted,
        ),
        ("GEN-05", "WSGIScriptReloading on", Accepted),
        ("GEN-05", "WSGIScriptReloading OFF", Accepted),
        ("GEN-05", "WSGIScriptReloading yes", Refused),
        ("GEN-05", "WSGIScriptReloading 1", Refused),
        ("GEN-05", "WSGIScriptReloading true", Refused),
        ("GEN-05", "WSGIScriptReloading \"\"", Refused),
        ("GEN-05", "WSGIMapHEADToGET auto", Accepted),
        ("GEN-05", "WSGIMapHEADToGET On", Accepted),
        ("GEN-05", "WSGIMapHEADToGET maybe", Refused),
        ("GEN-06", "WSGIProcessGroup", Refused),
        ("GEN-06", "WSGIProcessGroup a b", Refused),
        ("GEN-06", "WSGIProcessGroup \"\"", Refused),
        ("GEN-06", "WSGIScriptReloading", Refused),
        ("GEN-06", "WSGIScriptReloading On Off", Refused),
        ("GEN-07", "WSGIScriptAlias / /x process-group", Refused),
        ("GEN-07", "WSGIScriptAlias / /x =a", Refused),
        ("GEN-07", "WSGIScriptAlias / /x process-group =a", Refused),
        ("GEN-07", "WSGIScriptAlias / /x Process-Group=a", Refused),
        ("GEN-07", "WSGIScriptAlias / /x what=a", Refused),
        (
            "GEN-08",
            "WSGIDaemonProcess a display-name=\"a b\"",
            Accepted,
        ),
        ("GEN-08", "WSGIDaemonProcess a \"display-name=a\"", Refused),
        (
            "GEN-09",
            "WSGIScriptAlias / /x process-group=a process-group=b",
            Accepted,
        ),
        (
            "GEN-12",
            "WSGIScriptAlias / relative/missing.wsgi",
            Accepted,
        ),
        ("GEN-13", "wsgiscriptALIAS / /x", Accepted),
        ("DIR-001", "WSGIScriptAlias", Refused),
        ("DIR-001", "WSGIScriptAlias /", Refused),
        ("DIR-001", "WSGIScriptAlias \"\" /x", Refused),
        ("DIR-001", "WSGIScriptAlias / \"\"", Refused),
        ("DIR-001", "WSGIScriptAliasMatch ^/x", Refused),
        (
            "DIR-002",
            "WSGIScriptAlias / /x process-group=a callable-object=b pass-authorization=oN",
            Accepted,
        ),
        ("DIR-002", "WSGIScriptAlias / /x process-group=", Refused),
        (
            "DIR-002",
            "WSGIScriptAlias / /x application-group=",
            Refused,
        ),
        ("DIR-002", "WSGIScriptAlias / /x callable-object=", Refused),
        (
            "DIR-002",
            "WSGIScriptAlias / /x pass-authorization=",
            Refused,
        ),
        (
            "DIR-002",
            "WSGIScriptAlias / /x pass-authorization=yes",
            Refused,
        ),
        ("DIR-003", "WSGIScriptAliasMatch ^/(?:a|b)+$ /x", Accepted),
        ("DIR-003", "WSGIScriptAliasMatch ( /x", Refused),
        ("DIR-004", "WSGIScriptAlias no-slash /x", Accepted),
        (
            "DIR-015",
            "WSGIScriptAlias / /x process-group=%{ENV:A} application-group=b",
            Accepted,
        ),
        ("DIR-020", "WSGIHandlerScript", Refused),
        ("DIR-020", "WSGIHandlerScript name", Refused),
        (
            "DIR-020",
            "WSGIHandlerScript name /x process-group=any application-group=any pass-authorization=On",
            Accepted,
        ),
        (
            "DIR-020",
            "WSGIHandlerScript name /x callable-object=a",
            Refused,
        ),
        (
            "DIR-020",
            "WSGIHandlerScript name /x process-group=",
            Refused,
        ),
        (
            "DIR-020",
            "WSGIHandlerScript name /x pass-authorization=maybe",
            Refused,
        ),
        ("DIR-040", "WSGIProcessGroup nobody-knows", Accepted),
        ("DIR-043", "WSGIRestrictProcess", Accepted),
        ("DIR-043", "WSGIRestrictProcess a %{GLOBAL} b", Accepted),
    ]);
}

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
        ("CTX-06", "<VirtualHost 127.0.0.1:1>\nWSGIImportScript /x process-group=%{GLOBAL} application-group=a\n</VirtualHost>".into(), Accepted),
    ];
    let mut wrong = Vec::new();
    for (row, config, verdict) in &rows {
        let checked = Site::embedded().config(config).check();
        if checked.accepted != (*verdict == Accepted) {
            wrong.push(format!("{row}: {config}\n   {}", checked.output.trim()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// DP-02, GEN-10, DMN-004: options of daemon groups; every row of the table names its row of the specification. What the
/// options do is tested in daemon.rs.
#[test]
fn daemon_options() {
    let mut rows: Vec<(&'static str, String, Verdict)> = vec![
        ("DP-01, DMN-001", "WSGIDaemonProcess".into(), Refused),
        ("DP-01", "WSGIDaemonProcess \"\"".into(), Refused),
        (
            "DP-01, DMN-002",
            "WSGIDaemonProcess a\nWSGIDaemonProcess a".into(),
            Refused,
        ),
        (
            "DP-01",
            "WSGIDaemonProcess a\nWSGIDaemonProcess A".into(),
            Accepted,
        ),
        (
            "DP-01",
            "WSGIDaemonProcess a\n<VirtualHost 127.0.0.1:1>\nWSGIDaemonProcess a\n</VirtualHost>"
                .into(),
            Refused,
        ),
        (
            "DMN-007, DP-43",
            "WSGIDaemonProcess a script-user=root script-group=root".into(),
            Refused,
        ),
        (
            "DMN-048, DP-43",
            "WSGIDaemonProcess a script-group=root".into(),
            Accepted,
        ),
    ];
    let options: &[(&'static str, &str, Verdict)] = &[
        ("DMN-003", "processes", Refused),
        ("DMN-003", "processes =1", Refused),
        ("DMN-003", "Processes=1", Refused),
        ("DMN-003", "what=1", Refused),
        ("DP-10, DMN-012", "user=www-data", Accepted),
        ("DP-10", "user=#33", Accepted),
        ("DP-10, DMN-640", "user=root", Refused),
        ("DP-10", "user=#0", Refused),
        ("DP-10", "user=#4000000", Refused),
        ("DP-10", "user=nobody-of-this-name", Refused),
        ("DP-10", "user=", Refused),
        ("DP-11, DMN-013", "group=www-data", Accepted),
        ("DP-11", "group=root", Accepted),
        ("DP-11", "group=no-such-group", Refused),
        ("DP-11", "group=", Refused),
        (
            "DP-12, DMN-014",
            "supplementary-groups=www-data,#4",
            Accepted,
        ),
        ("DP-12", "supplementary-groups=", Accepted),
        ("DP-13, DMN-015", "umask=0027", Accepted),
        ("DP-13", "umask=9", Refused),
        ("DP-13", "umask=-1", Refused),
        ("DP-13", "umask=027x", Refused),
        ("DP-13", "umask=", Refused),
        ("DP-13", "umask=7777777777777777777777777", Refused),
        ("DP-14, DMN-016", "chroot=relative", Refused),
        ("DP-14", "chroot=", Refused),
        ("DP-15, DMN-017", "home=/tmp", Accepted),
        ("DP-15", "home=tmp", Refused),
        ("DP-15", "home=", Refused),
        ("DP-17, DMN-018", "lang=", Accepted),
        ("DP-18, DMN-019", "locale=C.UTF-8", Accepted),
        ("DP-19, DMN-039", "display-name=%{GROUP}", Accepted),
        ("DP-19", "display-name=", Accepted),
        ("DP-20, DMN-050", "cpu-priority=-5", Accepted),
        ("DP-20", "cpu-priority=", Refused),
        ("DP-30, DMN-010", "processes=2", Accepted),
        ("DP-30", "processes=0", Refused),
        ("DP-30", "processes=-1", Refused),
        ("DP-30, DMN-004, GEN-10", "processes=abc", Refused),
        ("DP-30, DMN-004, GEN-10", "processes=2x", Accepted),
        ("DP-30", "processes=", Refused),
        ("DP-31, DMN-011", "threads=0", Accepted),
        ("DP-31", "threads=65533", Accepted),
        ("DP-31", "threads=65534", Refused),
        ("DP-31", "threads=-1", Refused),
        ("GEN-10", "threads=abc", Accepted),
        ("DP-32, DMN-024", "stack-size=65536", Accepted),
        ("DP-32", "stack-size=0", Refused),
        ("DP-33, DMN-038", "listen-backlog=0", Accepted),
        ("DP-33", "listen-backlog=-1", Refused),
        ("DP-34, DMN-040", "send-buffer-size=0", Accepted),
        ("DP-34", "send-buffer-size=511", Refused),
        ("DP-34", "send-buffer-size=512", Accepted),
        ("DP-34, DMN-041", "receive-buffer-size=511", Refused),
        ("DP-34", "receive-buffer-size=512", Accepted),
        ("DP-34", "receive-buffer-size=-1", Refused),
        ("DP-35, DMN-042", "header-buffer-size=8191", Refused),
        ("DP-35", "header-buffer-size=8192", Accepted),
        ("DP-35", "header-buffer-size=0", Accepted),
        ("DP-36, DMN-043", "response-buffer-size=65535", Refused),
        ("DP-36", "response-buffer-size=65536", Accepted),
        ("DP-37, DMN-045", "response-flush-delay=0", Accepted),
        ("DP-37", "response-flush-delay=-1", Refused),
        ("DP-38, DMN-046", "socket-user=www-data", Accepted),
        ("DP-38", "socket-user=", Refused),
        ("DP-38", "socket-user=#4000000", Refused),
        ("DP-43, DMN-047", "script-user=www-data", Accepted),
        ("DP-43", "script-user=", Refused),
        ("DP-43", "script-user=#4000000", Refused),
        ("DP-44, DMN-053", "server-metrics=on", Accepted),
        ("DP-44", "server-metrics=1", Refused),
        ("DP-50, DMN-020", "python-home=", Accepted),
        ("DP-51, DMN-021", "python-path=/a:/b", Accepted),
        ("DP-51", "python-path=", Accepted),
        ("DP-52, DMN-022", "python-eggs=/tmp", Accepted),
        ("DP-53, DMN-023, GEN-11", "switch-interval=0.01", Accepted),
        ("DP-53, GEN-11", "switch-interval=0.01s", Refused),
        ("DP-53", "switch-interval=0", Refused),
        ("DP-53", "switch-interval=-1", Refused),
        ("DP-53", "switch-interval=fast", Refused),
        ("GEN-10", "maximum-requests=5s", Accepted),
        ("KD-20", "newrelic-config-file=/x", Refused),
        ("KD-20", "newrelic-environment=x", Refused),
        ("KD-21", "proxy-buffer-size=65536", Refused),
    ];
    rows.extend(
        options.iter().map(|(row, option, verdict)| {
            (*row, format!("WSGIDaemonProcess g {option}"), *verdict)
        }),
    );
    // All of these are numbers from 0 up.
    for option in [
        "maximum-requests",
        "startup-timeout",
        "shutdown-timeout",
        "deadlock-timeout",
        "inactivity-timeout",
        "request-timeout",
        "interrupt-timeout",
        "graceful-timeout",
        "eviction-timeout",
        "restart-interval",
        "connect-timeout",
        "socket-timeout",
        "queue-timeout",
        "response-socket-timeout",
        "cpu-time-limit",
        "memory-limit",
        "virtual-memory-limit",
    ] {
        for (value, verdict) in [
            ("0", Accepted),
            ("1", Accepted),
            ("-1", Refused),
            ("", Refused),
        ] {
            rows.push((
                "DP-02",
                format!("WSGIDaemonProcess g {option}={value}"),
                verdict,
            ));
        }
    }
    let mut wrong = Vec::new();
    for (row, config, verdict) in &rows {
        let checked = Site::embedded().config(config).check();
        if checked.accepted != (*verdict == Accepted) {
            wrong.push(format!("{row}: {config}\n   {}", checked.output.trim()));
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {}:\n{}",
        wrong.len(),
        rows.len(),
        wrong.join("\n")
    );
}

/// XPN-26: the directives that take a value of their own kind; every row of the table names its row of the specification.
#[test]
fn other_directives() {
    check(&[
        ("DIR-060, DMN-060", "WSGISocketPrefix run/wsgi", Accepted),
        ("DIR-062, DMN-062", "WSGIAcceptMutex default", Accepted),
        ("DIR-062", "WSGIAcceptMutex FLOCK", Accepted),
        ("DIR-062", "WSGIAcceptMutex fcntl", Accepted),
        ("DIR-062", "WSGIAcceptMutex sysvsem", Accepted),
        ("DIR-062", "WSGIAcceptMutex posixsem", Accepted),
        ("DIR-062", "WSGIAcceptMutex pthread", Accepted),
        ("DIR-062", "WSGIAcceptMutex none", Refused),
        ("DMN-061", "WSGISocketRotation maybe", Refused),
        ("DMN-064", "WSGIRestrictEmbedded maybe", Refused),
        ("DIR-083", "WSGIPythonPath /a:/b", Accepted),
        ("DIR-084", "WSGIPythonEggs /tmp", Accepted),
        ("DIR-085, GEN-10", "WSGIPythonOptimize 2x", Accepted),
        ("DIR-085, GEN-10", "WSGIPythonOptimize abc", Accepted),
        ("DIR-086", "WSGIPythonWarnings anything", Accepted),
        ("DIR-088", "WSGIPythonHashSeed random", Accepted),
        ("DIR-088", "WSGIPythonHashSeed 4294967295", Accepted),
        ("DIR-088", "WSGIPythonHashSeed 4294967296", Refused),
        ("DIR-088", "WSGIPythonHashSeed Random", Refused),
        ("DIR-088", "WSGIPythonHashSeed +1", Refused),
        ("DIR-088", "WSGIPythonHashSeed 0x1", Refused),
        ("DIR-089, GEN-11", "WSGISwitchInterval 0.005", Accepted),
        ("DIR-089, GEN-11", "WSGISwitchInterval 0.005s", Refused),
        ("DIR-089", "WSGISwitchInterval 0", Refused),
        ("DIR-089", "WSGISwitchInterval -1", Refused),
        ("DIR-090", "WSGIDestroyInterpreter Off", Accepted),
        (
            "DIR-094",
            "<WSGIInterpreterOptions>\nWSGIRestrictSignal Off\n</WSGIInterpreterOptions>",
            Accepted,
        ),
        (
            "DIR-094",
            "<WSGIInterpreterOptions process-group=a application-group=%{GLOBAL}>\nWSGIPythonPath /a\n</WSGIInterpreterOptions>",
            Accepted,
        ),
        (
            "DIR-094",
            "<WSGIInterpreterOptions Process-Group=a>\n</WSGIInterpreterOptions>",
            Accepted,
        ),
        (
            "DIR-094",
            "<WSGIInterpreterOptions process-group=a\n</WSGIInterpreterOptions>",
            Refused,
        ),
        (
            "DIR-094",
            "<WSGIInterpreterOptions process-group>\n</WSGIInterpreterOptions>",
            Refused,
        ),
        (
            "DIR-094",
            "<WSGIInterpreterOptions what=a>\n</WSGIInterpreterOptions>",
            Refused,
        ),
        (
            "DIR-094",
            "<WSGIInterpreterOptions process-group=a process-group=b>\n</WSGIInterpreterOptions>",
            Refused,
        ),
        (
            "DIR-095",
            "<WSGIInterpreterOptions>\nWSGIPerInterpreterGIL On\nWSGIFreeThreading On\nWSGISwitchInterval 0.1\nWSGIRestrictStdin On\nWSGIRestrictStdout On\nWSGIRestrictSignal On\nWSGIPythonPath /a\n</WSGIInterpreterOptions>",
            Accepted,
        ),
        (
            "DIR-096, DOC-05",
            "<WSGIInterpreterOptions>\nWSGIPythonOptimize 1\n</WSGIInterpreterOptions>",
            Accepted,
        ),
        (
            "DIR-096",
            "<WSGIInterpreterOptions>\n<WSGIInterpreterOptions>\n</WSGIInterpreterOptions>\n</WSGIInterpreterOptions>",
            Accepted,
        ),
        (
            "DIR-130",
            "WSGITrustedProxyHeaders X-Forwarded-For x-anything",
            Accepted,
        ),
        ("DIR-132", "WSGITrustedProxyHeaders", Accepted),
        (
            "DIR-131",
            "WSGITrustedProxyHeaders X_Forwarded_For!",
            RefusedByOurs,
        ),
        (
            "DIR-133",
            "WSGITrustedProxies 10.1 10.0.0.0/8 10.0.0.0/255.0.0.0 ::1 fe80::/10",
            Accepted,
        ),
        ("DIR-133", "WSGITrustedProxies FE80::1", AcceptedByOurs),
        ("DIR-133", "WSGITrustedProxies example.org", Refused),
        ("DIR-133", "WSGITrustedProxies 10.0.0.1,10.0.0.2", Refused),
        ("DIR-133", "WSGITrustedProxies \"\"", Refused),
        ("DIR-133", "WSGITrustedProxies 10.0.0.0/33", Refused),
        (
            "DIR-151",
            "WSGITelemetryService unix:/tmp/telemetry",
            Accepted,
        ),
        (
            "DIR-151",
            "WSGITelemetryService unix:/tmp/telemetry interval=2.5",
            Accepted,
        ),
        (
            "DIR-151",
            "WSGITelemetryService unix:/tmp/telemetry interval=0.1",
            Refused,
        ),
        ("DIR-151", "WSGITelemetryService udp:localhost:99", Refused),
        ("DIR-151", "WSGITelemetryService /tmp/telemetry", Refused),
        ("DIR-152", "WSGITelemetryOptions CaptureUserAgent", Accepted),
        (
            "DIR-152",
            "WSGITelemetryOptions +captureuseragent",
            Accepted,
        ),
        ("DIR-152", "WSGITelemetryOptions None", Accepted),
        ("DIR-152", "WSGITelemetryOptions", Refused),
        ("DIR-152", "WSGITelemetryOptions +", Refused),
        ("DIR-152", "WSGITelemetryOptions What", Refused),
        ("DIR-152", "WSGITelemetryOptions +All", Refused),
        (
            "DIR-152",
            "WSGITelemetryOptions +CaptureUserAgent CaptureUserAgent",
            Refused,
        ),
        ("DIR-153", "WSGISlowRequests 2.5", Accepted),
        ("DIR-153", "WSGISlowRequests -1", Refused),
        ("DIR-154, KD-10", "WSGIVerboseDebugging On", Accepted),
        ("DIR-154", "WSGIVerboseDebugging maybe", Refused),
        ("DIR-150", "WSGIServerMetrics maybe", Refused),
        (
            "KD-11, DIR-144",
            "<Location />\nWSGIGroupAuthoritative Off\n</Location>",
            Accepted,
        ),
        (
            "DIR-140",
            "<Location />\nWSGIAccessScript /x application-group=a\n</Location>",
            Accepted,
        ),
        (
            "DIR-140",
            "<Location />\nWSGIAccessScript /x process-group=a\n</Location>",
            Refused,
        ),
        (
            "DIR-141",
            "<Location />\nWSGIAuthUserScript\n</Location>",
            Refused,
        ),
        (
            "DIR-142",
            "<Location />\nWSGIAuthGroupScript /x application-group=\n</Location>",
            Refused,
        ),
        (
            "DIR-143",
            "WSGIDispatchScript /x application-group=%{SERVER}",
            Accepted,
        ),
    ]);
}

/// DMN-106: a socket path that the system cannot hold; 6.1 notices at run time only.
#[test]
fn socket_path_too_long() {
    let prefix = "x".repeat(120);
    let checked = Site::embedded()
        .config(&format!(
            "WSGISocketPrefix {{run}}/{prefix}\nWSGIDaemonProcess a"
        ))
        .check();
    assert_eq!(
        checked.accepted,
        !subject().differs("DMN-106"),
        "{}",
        checked.output
    );
}

/// DP-50, DP-14: a virtual environment for whose Python there is no runtime; a changed root without being root.
#[test]
fn refused_for_reasons_of_the_machine() {
    let checked = Site::embedded()
        .file("venv/pyvenv.cfg", "home = /usr/bin\nversion = 3.2.1\n")
        .config("WSGIDaemonProcess a python-home={dir}/venv")
        .check();
    assert_eq!(
        checked.accepted,
        !subject().differs("DP-50"),
        "{}",
        checked.output
    );
    let checked = Site::embedded()
        .config("WSGIDaemonProcess a chroot=/tmp")
        .check();
    assert_eq!(checked.accepted, is_root(), "{}", checked.output);
}

/// KD-01, KD-02, KD-03, KD-04, KD-05, KD-06, KD-07: directives of older releases. 6.1 knows none of them.
#[test]
fn directives_of_older_releases() {
    for (row, config, ours) in [
        ("KD-01", "WSGILazyInitialization On", true),
        ("KD-01", "WSGILazyInitialization Off", true),
        ("KD-02", "WSGIPy3kWarningFlag On", true),
        ("KD-03", "WSGIReloadMechanism Process", true),
        ("KD-03", "WSGIReloadMechanism Module", false),
        ("KD-04", "WSGIApacheExtensions On", true),
        (
            "KD-05",
            "<Location />\nWSGIUserAuthoritative On\n</Location>",
            true,
        ),
        (
            "KD-05",
            "<Location />\nWSGIUserAuthoritative Off\n</Location>",
            false,
        ),
        ("KD-06", "WSGINewRelicConfigFile /x", false),
        ("KD-06", "WSGINewRelicEnvironment x", false),
        ("KD-07", "WSGIPythonExecutable /x", false),
        ("KD-07", "WSGIOutputBuffering On", false),
    ] {
        let checked = Site::embedded().config(config).check();
        let expected = ours && subject().differs(row);
        assert_eq!(
            checked.accepted, expected,
            "{row}: {config}: {}",
            checked.output
        );
    }
}

/// Where a directive may stand: S main server, V virtual hosts, D sections, H `.htaccess`.
const CONTEXTS: &[(&str, &str)] = &[
    ("WSGIScriptAlias / /x", "SV"),
    ("WSGIScriptAliasMatch ^/ /x", "SV"),
    ("WSGIDaemonProcess group-of-the-test", "SV"),
    ("WSGISocketPrefix run/x", "S"),
    ("WSGISocketRotation On", "S"),
    ("WSGIAcceptMutex default", "S"),
    ("WSGIProcessGroup a", "SVD"),
    ("WSGIApplicationGroup a", "SVD"),
    ("WSGIRestrictProcess a", "SVD"),
    ("WSGICallableObject a", "SVDH"),
    ("WSGIScriptReloading On", "SVDH"),
    ("WSGIPassAuthorization On", "SVDH"),
    ("WSGIPassApacheRequest On", "SVD"),
    ("WSGIErrorOverride On", "SVDH"),
    ("WSGIChunkedRequest On", "SVDH"),
    ("WSGIMapHEADToGET On", "SVDH"),
    ("WSGIIgnoreActivity On", "SVDH"),
    ("WSGIEnableSendfile On", "SVDH"),
    ("WSGITrustedProxyHeaders X-Forwarded-For", "SVDH"),
    ("WSGITrustedProxies 10.0.0.1", "SVDH"),
    ("WSGIHandlerScript name /x", "SVD"),
    ("WSGIDispatchScript /x", "SVD"),
    ("WSGIAccessScript /x", "DH"),
    ("WSGIAuthUserScript /x", "DH"),
    ("WSGIAuthGroupScript /x", "DH"),
    ("WSGIGroupAuthoritative On", "DH"),
    (
        "WSGIImportScript /x process-group=%{GLOBAL} application-group=a",
        "SV",
    ),
    ("WSGIRestrictEmbedded Off", "S"),
    ("WSGIRestrictStdin Off", "S"),
    ("WSGIRestrictStdout Off", "S"),
    ("WSGIRestrictSignal On", "S"),
    ("WSGICaseSensitivity On", "S"),
    ("WSGIPythonPath /x", "S"),
    ("WSGIPythonEggs /x", "S"),
    ("WSGIPythonOptimize 0", "S"),
    ("WSGIPythonWarnings default", "S"),
    ("WSGIDontWriteBytecode Off", "S"),
    ("WSGIPythonHashSeed 1", "S"),
    ("WSGISwitchInterval 0.1", "S"),
    ("WSGIDestroyInterpreter On", "S"),
    ("WSGIPerInterpreterGIL Off", "S"),
    ("WSGIFreeThreading Off", "S"),
    ("<WSGIInterpreterOptions>\n</WSGIInterpreterOptions>", "S"),
    ("WSGIServerMetrics Off", "S"),
    ("WSGITelemetryService unix:/tmp/x", "S"),
    ("WSGITelemetryOptions None", "S"),
    ("WSGISlowRequests 1", "S"),
    ("WSGIVerboseDebugging Off", "S"),
];

/// CTX-01, CTX-02, CTX-04: contexts of the server's configuration. One run of httpd for each place where a directive is
/// refused, and one for all places where it is accepted.
#[test]
fn contexts() {
    let places: &[(char, &str, &str)] = &[
        ('S', "", ""),
        (
            'V',
            "<VirtualHost 127.0.0.1:1>\nServerName a.example\n",
            "\n</VirtualHost>",
        ),
        ('D', "<Directory /srv>\n", "\n</Directory>"),
        ('D', "<Location /srv>\n", "\n</Location>"),
        ('D', "<Files x>\n", "\n</Files>"),
        ('D', "<If \"true\">\n", "\n</If>"),
        ('D', "<LocationMatch ^/srv>\n", "\n</LocationMatch>"),
    ];
    let mut wrong = Vec::new();
    for (line, contexts) in CONTEXTS {
        let mut accepted = String::new();
        for (context, before, after) in places {
            let text = format!("{before}{line}{after}\n");
            let twice = line.starts_with("WSGIDaemonProcess") && !accepted.is_empty();
            let text = if twice {
                text.replace("group-of-the-test", "another-group")
            } else {
                text
            };
            if contexts.contains(*context) {
                accepted += &text;
            } else {
                let checked = Site::embedded().config(&text).check();
                if checked.accepted {
                    wrong.push(format!("accepted: {text}"));
                }
            }
        }
        let checked = Site::embedded().config(&accepted).check();
        if !checked.accepted {
            wrong.push(format!("refused: {accepted}   {}", checked.output.trim()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// CTX-03, CTX-05, CTX-07, DOC-01: `.htaccess`, where what chooses process, interpreter or code is not allowed.
fn htaccess(mpm: Mpm, mode: Mode) {
    let mut site = Site::new(mpm, mode)
        .config("<Directory {htdocs}>\nAllowOverride All\n</Directory>\n<Directory {htdocs}/none>\nAllowOverride None\n</Directory>
            <Directory {htdocs}/wrong-class>\nAllowOverride Limit\n</Directory>
            <Directory {htdocs}/listed>\nAllowOverride None\nAllowOverrideList WSGIChunkedRequest\n</Directory>");
    let mut folders = Vec::new();
    for (index, (line, contexts)) in CONTEXTS.iter().enumerate() {
        let folder = format!("d{index}");
        site = site
            .file(&format!("htdocs/{folder}/.htaccess"), line)
            .file(&format!("htdocs/{folder}/page"), "page");
        folders.push((folder, *line, contexts.contains('H')));
    }
    for (folder, line, accepted) in [
        ("none", "WSGIProcessGroup a", true),
        ("wrong-class", "WSGIChunkedRequest On", false),
        ("listed", "WSGIChunkedRequest On", true),
    ] {
        site = site
            .file(&format!("htdocs/{folder}/.htaccess"), line)
            .file(&format!("htdocs/{folder}/page"), "page");
        folders.push((folder.to_owned(), line, accepted));
    }
    let server = site.start();
    server.allow_log("not allowed here");
    server.allow_log("cannot occur within");
    // With an access or user script of its own, a static page is still served: no provider asks for it, but WSGIAccessScript
    // runs a script that is not there.
    for code in ["WSGI0105", "WSGI0174", "WSGI0057"] {
        server.allow_log(code);
    }
    let mut wrong = Vec::new();
    for (folder, line, accepted) in &folders {
        let status = server.get(&format!("/{folder}/page")).status;
        let fine = if *accepted {
            status == 200 || (line.starts_with("WSGIAccessScript") && status == 403)
        } else {
            status == 500
        };
        if !fine {
            wrong.push(format!("{line}: {status}, accepted: {accepted}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
matrix!(htaccess: event / embedded);

/// GEN-01: both names of the module, and its log level.
#[test]
fn names_of_the_module() {
    check(&[
        (
            "GEN-01",
            "<IfModule !wsgi_module>\nNonsense\n</IfModule>\n<IfModule !mod_wsgi.c>\nNonsense\n</IfModule>",
            Accepted,
        ),
        ("GEN-01", "LogLevel wsgi:debug wsgi_module:info", Accepted),
    ]);
}
