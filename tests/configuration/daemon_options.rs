//! Options of WSGIDaemonProcess.

use wsgi_harness::is_root;

use super::*;

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
        ("DP-10", "user=#", Refused),
        ("DP-10", "user=#-1", Refused),
        ("DP-10", "user=#033", Accepted),
        ("DP-10", "user=#33abc", RefusedByOurs),
        ("DP-10", "user=nobody-of-this-name", Refused),
        ("DP-10", "user=", Refused),
        ("DP-11, DMN-013", "group=www-data", Accepted),
        ("DP-11", "group=root", Accepted),
        ("DP-11", "group=no-such-group", Refused),
        ("DP-11", "group=#0", Accepted),
        ("DP-11", "group=#4000000", Accepted),
        ("DP-10", "group=#abc", RefusedByOurs),
        ("DP-11", "group=", Refused),
        (
            "DP-12, DMN-014",
            "supplementary-groups=www-data,#4",
            Accepted,
        ),
        ("DP-12", "supplementary-groups=", Accepted),
        ("DP-12", "supplementary-groups=,no-such-group", Accepted),
        (
            "DP-12",
            "supplementary-groups=www-data,,no-such-group",
            Refused,
        ),
        ("DP-12", "supplementary-groups=\"www-data, adm\"", Refused),
        ("DP-12", "supplementary-groups=#4000000", Accepted),
        ("DP-13, DMN-015", "umask=0027", Accepted),
        ("DP-13", "umask=9", Refused),
        ("DP-13", "umask=17777", Accepted),
        ("DP-13", "umask=+27", Accepted),
        ("DP-13", "umask=\" 27\"", Accepted),
        ("DP-13", "umask=\"27 \"", Refused),
        ("DP-13", "umask=0o27", Refused),
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
        ("GEN-10", "threads=\" +5s\"", Accepted),
        ("GEN-10", "processes=4294967297", RefusedByOurs),
        ("GEN-10", "maximum-requests=3000000000", AcceptedByOurs),
        ("GEN-10", "memory-limit=9999999999", Accepted),
        ("GEN-10", "request-timeout=1.5", Accepted),
        ("GEN-07, DMN-003", "threads= 5 processes=2", Accepted),
        ("GEN-07", "processes= threads=5", Refused),
        ("GEN-07", "threads = 5", Refused),
        ("GEN-07", "\"threads\"=5", Refused),
        ("GEN-07", "threads=5 \"\"", Refused),
        ("GEN-08", "display-name=\"a\"threads=2", Accepted),
        ("GEN-08", "display-name=a\"b c\"", Refused),
        ("GEN-08", "display-name='a b' threads=1", Accepted),
        ("GEN-09", "processes=1 processes=2", Accepted),
        ("GEN-09", "processes=0 processes=1", Refused),
        ("DP-02", "threads=\"\"", Refused),
        (
            "DP-02",
            "supplementary-groups=\"\" lang=\"\" locale=\"\" python-home=\"\" python-path=\"\" python-eggs=\"\" display-name=\"\"",
            Accepted,
        ),
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
        ("DP-38", "socket-user=root", Accepted),
        ("DP-38", "socket-user=nobody-of-this-name", Refused),
        ("DP-38", "socket-user=#4000000", Refused),
        ("DP-43, DMN-047", "script-user=www-data", Accepted),
        ("DP-43", "script-user=", Refused),
        ("DP-43", "script-user=nobody-of-this-name", Refused),
        ("DP-43", "script-group=no-such-group", Refused),
        ("DP-43", "script-group=#4000000", Refused),
        ("DP-43", "script-group=#33", Accepted),
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
        ("DP-53, GEN-11", "switch-interval=1e-3", Accepted),
        ("DP-53, GEN-11", "switch-interval=\" 0.01\"", Accepted),
        ("GEN-11", "switch-interval=inf", RefusedByOurs),
        ("GEN-11", "switch-interval=nan", RefusedByOurs),
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
    check(&rows);
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

/// DP-50, DP-14, KD-37, GEN-02: a virtual environment for whose Python there is no runtime, because it is too old for one or none is
/// installed; a changed root without being root.
#[test]
fn refused_for_reasons_of_the_machine() {
    let homes = [
        ("3.2.1", "3.10 is the oldest"),
        ("2.7.18", "3.10 is the oldest"),
        ("3.98.0", "no runtime for Python 3.98"),
    ];
    for (version, reason) in homes {
        let file = format!("home = /usr/bin\nversion = {version}\n");
        let checked = Site::embedded()
            .file("venv/pyvenv.cfg", &file)
            .config("WSGIDaemonProcess a python-home={dir}/venv")
            .check();
        let refuses = subject().differs("DP-50");
        let output = &checked.output;
        assert_eq!(checked.accepted, !refuses, "{version}: {output}");
        assert!(!refuses || output.contains(reason), "{version}: {output}");
    }
    let checked = Site::embedded()
        .config("WSGIDaemonProcess a chroot=/tmp")
        .check();
    assert_eq!(checked.accepted, is_root(), "{}", checked.output);
}
