//! Requests that take longer than WSGISlowRequests: those that run, looked at by the reporter, and those that have ended
//! (TEL-160 to TEL-185). Where the directive is not set, nothing is kept.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use wsgi_core::python::TelemetrySettings;
use wsgi_core::telemetry::{LONGEST_TEXT, SlowRequest, SlowRing};
use wsgi_runtime_api::engine::Request;

use crate::wsgi::exchange::Exchange;
use crate::wsgi::metrics::{PATIENCE, Stations, epoch_now};

/// What is slow, and what was.
struct Book {
    threshold: Duration,
    /// CaptureUserAgent.
    takes_user_agent: bool,
    running: Mutex<Vec<Arc<Running>>>,
    completed: Mutex<SlowRing>,
}

/// Empty where slow requests are not reported.
static BOOK: OnceLock<Book> = OnceLock::new();

/// A request while it runs.
pub(crate) struct Running {
    /// What is known when it begins.
    record: SlowRequest,
    begun: Instant,
    stations: Stations,
    exchange: Arc<Exchange>,
}

/// What is known when a request has ended.
pub(crate) struct Ended {
    /// For the client; 0 where no application ran.
    pub(crate) status: u16,
    /// Microseconds in user and system mode.
    pub(crate) cpu: (u64, u64),
    /// Requests in flight, this one included.
    pub(crate) active: u32,
}

/// Begins to look out for slow requests.
pub(super) fn start(settings: &TelemetrySettings, threads: u32) {
    if settings.slow > 0.0 {
        // Longer than a process can live is never reached.
        let threshold = Duration::try_from_secs_f64(settings.slow).unwrap_or(Duration::MAX);
        let completed = SlowRing::for_settings(threads, settings.interval, settings.slow);
        // The process starts its reporter once.
        let _ = BOOK.set(Book {
            threshold,
            takes_user_agent: settings.user_agent,
            running: Mutex::default(),
            completed: Mutex::new(completed),
        });
    }
}

/// A request begins, one of `active` in flight.
pub(crate) fn begin(
    request: &Request<'_>,
    exchange: &Arc<Exchange>,
    active: u32,
) -> Option<Arc<Running>> {
    let book = BOOK.get()?;
    let running = Arc::new(Running {
        record: record(request, active, book.takes_user_agent),
        begun: Instant::now(),
        stations: Stations::of(request),
        exchange: Arc::clone(exchange),
    });
    book.running.lock().push(Arc::clone(&running));
    Some(running)
}

/// It has ended, and nothing is known of it.
pub(crate) fn forget(running: &Arc<Running>) {
    if let Some(book) = BOOK.get() {
        book.running
            .lock()
            .retain(|other| !Arc::ptr_eq(other, running));
    }
}

/// It has ended.
pub(crate) fn end(running: &Arc<Running>, ended: &Ended) {
    let Some(book) = BOOK.get() else { return };
    forget(running);
    let duration = running.begun.elapsed();
    if duration < book.threshold {
        return;
    }
    let seconds = |micros| Duration::from_micros(micros).as_secs_f64();
    let counters = &running.exchange.counters;
    let slow = SlowRequest {
        is_completed: true,
        input: counters.input(),
        output: counters.output(),
        input_time: counters.input_time(),
        output_time: counters.output_time(),
        status: ended.status,
        cpu_user: seconds(ended.cpu.0),
        cpu_system: seconds(ended.cpu.1),
        active_at_completion: ended.active,
        ..running.so_far(duration, epoch_now())
    };
    book.completed.lock().push(slow);
}

/// What a tick sends: those that have ended since the last one, then those that run (TEL-013, TEL-182). `now` is in seconds since
/// the epoch. No more run than there are threads, so none is left out (TEL-097).
pub(super) fn take(now: f64) -> Vec<SlowRequest> {
    let Some(book) = BOOK.get() else {
        return Vec::new();
    };
    let completed = book.completed.try_lock_for(PATIENCE);
    let mut all = completed.map_or_else(Vec::new, |mut completed| completed.take());
    let running = book.running.try_lock_for(PATIENCE);
    let running = running.map_or_else(Vec::new, |running| running.clone());
    let slow = running.iter().filter_map(|running| {
        let duration = running.begun.elapsed();
        (duration >= book.threshold).then(|| running.so_far(duration, now))
    });
    all.extend(slow);
    all
}

/// One that could not be sent: with the next tick, if it has ended; else there will be a newer one.
pub(super) fn keep(request: SlowRequest) {
    if let Some(book) = BOOK.get().filter(|_| request.is_completed) {
        book.completed.lock().push(request);
    }
}

impl Running {
    /// Its record at a moment: the phase in progress counts up to `now` (TEL-172).
    fn so_far(&self, duration: Duration, now: f64) -> SlowRequest {
        let counters = &self.exchange.counters;
        let started = counters.application_start();
        let (server_time, behind) = self.stations.phases(started.unwrap_or(now));
        let (queue_time, daemon_time) = behind.unwrap_or_default();
        let application_time = match (started, counters.application_time()) {
            (Some(_), Some(time)) => time.as_secs_f64(),
            (Some(start), None) => (now - start).max(0.0),
            (None, _) => 0.0,
        };
        SlowRequest {
            duration: duration.as_secs_f64(),
            server_time,
            queue_time,
            daemon_time,
            application_time,
            gil_wait_time: counters.gil_wait_time(),
            gil_wait_count: counters.gil_wait_count(),
            ..self.record.clone()
        }
    }
}

/// What is known of a request before it runs.
fn record(request: &Request<'_>, active: u32, takes_user_agent: bool) -> SlowRequest {
    let mut record = SlowRequest {
        start: epoch_now(),
        thread_id: request.thread_id(),
        server_pid: request.server_pid(),
        scheme: match request.is_https() {
            true => b"https".to_vec(),
            false => b"http".to_vec(),
        },
        active_at_start: active,
        ..SlowRequest::default()
    };
    for (name, value) in request.environ() {
        let value = cut(value.unwrap_or_default());
        let place = match name {
            b"mod_wsgi.request_id" => &mut record.log_id,
            b"REQUEST_METHOD" => &mut record.method,
            b"HTTP_HOST" => {
                record.hostname = without_port(value);
                continue;
            }
            b"mod_wsgi.script_name" => &mut record.script_name,
            b"mod_wsgi.path_info" => &mut record.path_info,
            b"SERVER_PROTOCOL" => &mut record.protocol,
            b"REMOTE_ADDR" => &mut record.peer_ip,
            b"HTTP_USER_AGENT" if takes_user_agent => &mut record.user_agent,
            _ => continue,
        };
        *place = value.to_vec();
    }
    // In a child the environ may have what a proxy says (TEL-167, TEL-170).
    if let Some(address) = request.useragent_ip() {
        record.peer_ip = address.to_vec();
        record.hostname = cut(request.hostname().unwrap_or_default()).to_vec();
    }
    record
}

/// As much of a text of the client as a datagram can show, and a byte by which it is seen to be cut (TEL-181).
fn cut(text: &[u8]) -> &[u8] {
    &text[..text.len().min(LONGEST_TEXT + 1)]
}

/// The host of a Host header, in the form that httpd gives it: small letters, no brackets, no port, no dot at its end.
fn without_port(header: &[u8]) -> Vec<u8> {
    let host = match header.strip_prefix(b"[") {
        Some(address) => address.split(|byte| *byte == b']').next(),
        None => header.split(|byte| *byte == b':').next(),
    };
    let host = host.unwrap_or_default();
    host.strip_suffix(b".").unwrap_or(host).to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// TEL-167: as httpd's own `r->hostname`.
    #[test]
    fn hosts_have_no_port() {
        for (header, host) in [
            ("example.com:8080", "example.com"),
            ("EXAMPLE.com", "example.com"),
            ("example.com.", "example.com"),
            ("example.com.:80", "example.com"),
            ("[::1]:80", "::1"),
            ("[fe80::1]", "fe80::1"),
            ("", ""),
            (":80", ""),
        ] {
            assert_eq!(without_port(header.as_bytes()), host.as_bytes(), "{header}");
        }
    }
}
