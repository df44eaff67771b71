//! Directives that take a value of their own kind.

use std::sync::LazyLock;

use super::*;

/// A path that is too long for httpd to make it absolute.
static TOO_LONG: LazyLock<String> =
    LazyLock::new(|| format!("WSGISocketPrefix {}", "a/".repeat(2500)));

/// XPN-26: the directives that take a value of their own kind; every row of the table names its row of the specification.
#[test]
fn other_directives() {
    check(&[
        ("DIR-060, DMN-060", "WSGISocketPrefix run/wsgi", Accepted),
        ("DIR-060", &TOO_LONG, Refused),
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
        ("DIR-089, GEN-11", "WSGISwitchInterval \" 1\"", Accepted),
        ("DIR-089, GEN-11", "WSGISwitchInterval \"1 \"", Refused),
        ("GEN-11", "WSGISwitchInterval inf", RefusedByOurs),
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
            "DIR-094",
            "<WSGIInterpreterOptions \"process-group=a\" >\n</WSGIInterpreterOptions>",
            Accepted,
        ),
        (
            "DIR-094",
            "<WSGIInterpreterOptions process-group= a>\n</WSGIInterpreterOptions>",
            Refused,
        ),
        (
            "DIR-094",
            "<WSGIInterpreterOptions process-group=a> rest\n</WSGIInterpreterOptions>",
            Accepted,
        ),
        (
            "DIR-094",
            "<WSGIInterpreterOptions \"\" application-group=a>\n</WSGIInterpreterOptions>",
            RefusedByOurs,
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
        ("DIR-133", "WSGITrustedProxies ::1/129", Refused),
        ("DIR-133", "WSGITrustedProxies 10 10.1. 10.1.2.3.", Accepted),
        ("DIR-133", "WSGITrustedProxies 10..", Refused),
        ("DIR-133", "WSGITrustedProxies +10.1", Refused),
        ("DIR-133", "WSGITrustedProxies 10.1.2.3.4", Refused),
        ("DIR-133", "WSGITrustedProxies 256.1", Refused),
        ("DIR-133", "WSGITrustedProxies 10.1/16", Refused),
        ("DIR-133", "WSGITrustedProxies ::ffff:1.2.3.4", Refused),
        (
            "DIR-133",
            "WSGITrustedProxies 2001:db8::/ffff:ffff::",
            Refused,
        ),
        ("DIR-133", "WSGITrustedProxies fe80::1%eth0", Refused),
        (
            "DIR-133",
            "WSGITrustedProxies 10.0.0.0/255.0.255.0",
            RefusedByOurs,
        ),
        (
            "DIR-133",
            "WSGITrustedProxies 0.0.0.0/0 ::/0",
            AcceptedByOurs,
        ),
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
        ("DIR-151", "WSGITelemetryService unix:/x interval=", Refused),
        (
            "DIR-151",
            "WSGITelemetryService unix:/x Interval=1",
            Refused,
        ),
        (
            "DIR-151",
            "WSGITelemetryService unix:/x interval=1 interval=2",
            Refused,
        ),
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
        (
            "DIR-152",
            "WSGITelemetryOptions ++CaptureUserAgent",
            Refused,
        ),
        (
            "DIR-152",
            "WSGITelemetryOptions None CaptureUserAgent",
            Accepted,
        ),
        ("DIR-152", "WSGITelemetryOptions What", Refused),
        ("DIR-152", "WSGITelemetryOptions +All", Refused),
        (
            "DIR-152",
            "WSGITelemetryOptions +CaptureUserAgent CaptureUserAgent",
            Refused,
        ),
        ("DIR-153", "WSGISlowRequests 2.5", Accepted),
        ("DIR-153", "WSGISlowRequests -1", Refused),
        ("DIR-153, GEN-11", "WSGISlowRequests -inf", Refused),
        ("DIR-153, GEN-11, DOC-10", "WSGISlowRequests 0", Accepted),
        ("DIR-153, GEN-11", "WSGISlowRequests 1x", Accepted),
        ("DIR-153, GEN-11", "WSGISlowRequests abc", Accepted),
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

/// GEN-10, DIR-085, DP-31: what begins like a number counts as that, and the log names what was read otherwise than it is written.
#[test]
fn numbers_with_something_behind_them() {
    let server = Site::daemon()
        .daemon_options("processes=1 threads=\" +3x\" maximum-requests=1000s listen-backlog=50")
        .config("WSGIPythonOptimize 2x")
        .script(
            "/",
            "import sys
import mod_wsgi

def application(environ, start_response):
    start_response('200 OK', [])
    return [repr((mod_wsgi.threads_per_process, sys.flags.optimize)).encode()]
",
        )
        .start();
    assert_eq!(server.get("/").expect(200).text(), "(3, 2)");
    if !subject().differs("GEN-10") {
        return;
    }
    let warnings = server.log().matching("WSGI5001");
    for (place, written, number) in [
        ("WSGIDaemonProcess live", "threads= +3x", "3"),
        ("WSGIDaemonProcess live", "maximum-requests=1000s", "1000"),
        ("WSGIPythonOptimize", "2x", "2"),
    ] {
        let tells = |record: &wsgi_harness::Record| {
            record.level == wsgi_harness::Level::Warn
                && [place, written, &format!("read as {number}")]
                    .iter()
                    .all(|text| record.contains(text))
        };
        assert!(
            warnings.iter().any(tells),
            "{place} {written}: {warnings:?}"
        );
    }
    assert!(
        !warnings
            .iter()
            .any(|record| record.contains("listen-backlog"))
    );
    server.expect_log("WSGI5001");
}

/// DIR-140, DIR-141, DIR-142, DIR-143, XPN-22: all four take a path and the one option, and nothing else.
#[test]
fn hook_scripts() {
    let mut rows = Vec::new();
    for (row, name) in [
        ("DIR-140", "WSGIAccessScript"),
        ("DIR-141", "WSGIAuthUserScript"),
        ("DIR-142", "WSGIAuthGroupScript"),
        ("DIR-143", "WSGIDispatchScript"),
    ] {
        for (arguments, verdict) in [
            ("/x", Accepted),
            ("relative application-group=%{ENV:X}", Accepted),
            ("\"/x y\" application-group=\"a b\"", Accepted),
            ("", Refused),
            ("\"\"", Refused),
            ("/x application-group=", Refused),
            ("/x application-group", Refused),
            ("/x Application-Group=a", Refused),
            ("/x process-group=a", Refused),
            ("/x callable-object=a", Refused),
            ("/x y", Refused),
        ] {
            let config = format!("<Location />\n{name} {arguments}\n</Location>");
            rows.push((row, config, verdict));
        }
    }
    check(&rows);
}
