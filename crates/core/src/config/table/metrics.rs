//! Rows: measurements of the processes.

use super::SERVER;
use crate::config::directive::{Arity, Directive};
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
        help: "Socket of the consumer that gets measurements of each process.",
        doc: "Each daemon process, and each of Apache's processes that runs Python, sends measurements to a *consumer*: a program on the same machine that collects those of all processes and shows them, such as `mod_wsgi-telemetry` from PyPI. The argument is the path of its Unix datagram socket. Every `interval` seconds, 1 unless given and 0.5 at least, a process tells what its requests took meanwhile, by phase and by thread, with their statuses and bytes, its CPU time and memory, and the garbage collections of each interpreter; besides that it tells when it starts and when it ends. WSGISlowRequests adds single requests, WSGITelemetryOptions says what these contain.\n\nNothing waits for the consumer, which may come and go: what it does not take is lost. It makes the socket, and the users of the processes need write permission for it. The path is looked up by each process, inside of `chroot=`. Service processes (`threads=0`) send nothing. `mod_wsgi.request_metrics()` and `mod_wsgi.process_metrics()` return None while this is set. Without this directive nothing is sent.\n\n[Telemetry](../telemetry.md) has the rest: setting it up, permissions, cost, and all that is sent.",
        example: "WSGITelemetryService unix:/run/wsgi-telemetry/socket interval=2",
        set: set::telemetry_service,
        ..SERVER
    },
    Directive {
        name: "WSGITelemetryOptions",
        syntax: "[+|-]CaptureUserAgent|None|All …",
        arity: Arity::Raw,
        default: "none",
        since: "6.0.0",
        help: "What reports of slow requests contain besides the usual.",
        doc: "What the reports of slow requests (WSGISlowRequests) contain that is left out otherwise. There is one flag: `CaptureUserAgent`, the `User-Agent` header of the request. Flags with `+` or `-` change what was set before, those without replace it; a line has one kind only. `All` sets all flags, `None` takes all away, which is the default. Sent is to the consumer of WSGITelemetryService; see [telemetry](../telemetry.md).",
        example: "WSGITelemetryOptions CaptureUserAgent",
        set: set::telemetry_options,
        ..SERVER
    },
    Directive {
        name: "WSGISlowRequests",
        syntax: "seconds",
        default: "off",
        since: "6.0.0",
        help: "Requests that take so many seconds are reported with the measurements; 0 is off.",
        doc: "Requests that run for so many seconds or longer are reported one by one to the consumer of WSGITelemetryService: with each interval while they run, and once when they have ended, with method, host, path, client, thread, the time of each phase, and at the end status, bytes and CPU time. The query string is never sent, the User-Agent only with WSGITelemetryOptions. A request counts from the moment that a thread of its process takes it. Fractions such as `0.5` are allowed. 0 is off, as is leaving the directive out. It has no effect without WSGITelemetryService; see [telemetry](../telemetry.md).",
        example: "WSGISlowRequests 5",
        set: set::slow_requests,
        ..SERVER
    },
];
