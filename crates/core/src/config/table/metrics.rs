//! Rows: measurements of the processes.

use super::SERVER;
use crate::config::directive::{Arity, Directive, Effect};
use crate::config::set;

/// In the order of the specification.
pub(super) const ROWS: &[Directive] = &[
    Directive {
        name: "WSGIServerMetrics",
        syntax: "On|Off",
        default: "Off",
        since: "4.2.0",
        help: "On: mod_wsgi.server_metrics() shows Apache's scoreboard to embedded applications.",
        doc: "On: `mod_wsgi.server_metrics()` shows Apache's scoreboard to embedded applications.",
        example: "WSGIServerMetrics On",
        set: |n, a, p| set::global_switch(n, a, p, |g| &mut g.server_metrics),
        ..SERVER
    },
    Directive {
        name: "WSGITelemetryService",
        syntax: "unix:/path [interval=seconds]",
        arity: Arity::Raw,
        default: "off",
        since: "6.0.0",
        help: "Socket that gets datagrams with measurements of each process.",
        doc: "Socket that gets datagrams with measurements of each process.",
        example: "WSGITelemetryService unix:/run/telemetry.sock",
        effect: Effect::Later("nothing is sent"),
        set: set::telemetry_service,
        ..SERVER
    },
    Directive {
        name: "WSGITelemetryOptions",
        syntax: "[+|-]CaptureUserAgent|None|All …",
        arity: Arity::Raw,
        default: "none",
        since: "6.0.0",
        help: "What the measurements contain besides numbers.",
        doc: "What the measurements contain besides numbers.",
        example: "WSGITelemetryOptions CaptureUserAgent",
        effect: Effect::Later("nothing is sent"),
        set: set::telemetry_options,
        ..SERVER
    },
    Directive {
        name: "WSGISlowRequests",
        syntax: "seconds",
        default: "off",
        since: "6.0.0",
        help: "Requests that take longer are reported with the measurements.",
        doc: "Requests that take longer are reported with the measurements.",
        example: "WSGISlowRequests 5",
        effect: Effect::Later("nothing is sent"),
        set: set::slow_requests,
        ..SERVER
    },
];
