//! Requests that take longer than WSGISlowRequests says, or took longer (TEL-160 to TEL-185).

use std::collections::VecDeque;

use super::datagram::{Datagram, Kind, Stamp};

/// Bytes of the longest texts of a request, its path and User-Agent (TEL-168, TEL-171).
pub const LONGEST_TEXT: usize = 511;

/// Fewest and most requests that a ring keeps (TEL-183).
const RING: (f64, f64) = (32.0, 4096.0);

/// Intervals that a ring lasts for, if all threads have nothing but slow requests.
const INTERVALS: f64 = 5.0;

/// A request that takes long, or took long. Text is as it came (any bytes); empty text is not sent, over-long text ends in
/// `...`. Times in seconds. A consumer puts the records of a request together by `log_id`, or else by thread and start: these
/// never change (TEL-184).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SlowRequest {
    /// Whether it has ended.
    pub is_completed: bool,
    /// When it came to its thread, since the epoch.
    pub start: f64,
    /// How long it took, or takes so far.
    pub duration: f64,
    /// Its thread, from 1.
    pub thread_id: u32,
    /// Apache's id of it.
    pub log_id: Vec<u8>,
    /// Apache's child that took it.
    pub server_pid: u32,
    /// REQUEST_METHOD
    pub method: Vec<u8>,
    /// `http` or `https`.
    pub scheme: Vec<u8>,
    /// Host that it is for.
    pub hostname: Vec<u8>,
    /// SCRIPT_NAME
    pub script_name: Vec<u8>,
    /// PATH_INFO, without query.
    pub path_info: Vec<u8>,
    /// SERVER_PROTOCOL
    pub protocol: Vec<u8>,
    /// Address of the client.
    pub peer_ip: Vec<u8>,
    /// HTTP_USER_AGENT; empty unless WSGITelemetryOptions has CaptureUserAgent (TEL-171).
    pub user_agent: Vec<u8>,
    /// As in [`crate::metrics::PHASE_NAMES`]; a phase that goes on counts until now.
    pub server_time: f64,
    /// Likewise; 0 in children.
    pub queue_time: f64,
    /// Likewise; 0 in children.
    pub daemon_time: f64,
    /// Likewise.
    pub application_time: f64,
    /// Waiting for the GIL, so far.
    pub gil_wait_time: f64,
    /// How often, so far.
    pub gil_wait_count: u64,
    /// Bytes and reads of the body. This and all below but `active_at_start` is 0 until the request has ended.
    pub input: (u64, u64),
    /// Bytes and blocks of the answer.
    pub output: (u64, u64),
    /// Waiting for the body.
    pub input_time: f64,
    /// Waiting for the answer to be taken.
    pub output_time: f64,
    /// Status of the answer.
    pub status: u16,
    /// CPU time in user mode.
    pub cpu_user: f64,
    /// CPU time in system mode.
    pub cpu_system: f64,
    /// Requests in flight when it came, with it.
    pub active_at_start: u32,
    /// Requests in flight when it ended, with it.
    pub active_at_completion: u32,
}

impl SlowRequest {
    /// As a datagram; the stamp has the time that all those of one round have (TEL-070).
    pub fn encode(&self, stamp: Stamp) -> Vec<u8> {
        let mut datagram = Datagram::new(Kind::SlowRequest, stamp);
        datagram.u64(200, u64::from(self.is_completed));
        datagram.f64(201, self.start);
        datagram.f64(202, self.duration);
        datagram.u64(203, u64::from(self.thread_id));
        datagram.abbreviated(204, &self.log_id, 63);
        datagram.u64(205, u64::from(self.server_pid));
        datagram.abbreviated(210, &self.method, 15);
        datagram.abbreviated(211, &self.scheme, 15);
        datagram.abbreviated(212, &self.hostname, 255);
        datagram.abbreviated(213, &self.script_name, 255);
        datagram.abbreviated(214, &self.path_info, LONGEST_TEXT);
        datagram.abbreviated(215, &self.protocol, 15);
        datagram.abbreviated(216, &self.peer_ip, 45);
        datagram.abbreviated(217, &self.user_agent, LONGEST_TEXT);
        datagram.f64(220, self.server_time);
        datagram.f64(221, self.queue_time);
        datagram.f64(222, self.daemon_time);
        datagram.f64(223, self.application_time);
        datagram.f64(224, self.gil_wait_time);
        datagram.u64(225, self.gil_wait_count);
        datagram.u64(230, self.input.0);
        datagram.u64(231, self.input.1);
        datagram.u64(232, self.output.0);
        datagram.u64(233, self.output.1);
        datagram.f64(234, self.input_time);
        datagram.f64(235, self.output_time);
        datagram.u64(240, u64::from(self.status));
        datagram.f64(250, self.cpu_user);
        datagram.f64(251, self.cpu_system);
        datagram.u64(260, u64::from(self.active_at_start));
        datagram.u64(261, u64::from(self.active_at_completion));
        datagram.finish()
    }
}

/// Slow requests that have ended and are not sent yet. The oldest gives way to a new one.
#[derive(Clone, Debug)]
pub struct SlowRing {
    requests: VecDeque<SlowRequest>,
    capacity: usize,
}

impl SlowRing {
    /// An empty one for a process with `threads` request threads. `interval` of the reports and `threshold` of slow requests in
    /// seconds.
    pub fn for_settings(threads: u32, interval: f64, threshold: f64) -> SlowRing {
        let rounds = (interval / threshold).ceil();
        let (fewest, most) = RING;
        // What is not a number is the fewest.
        let capacity = (f64::from(threads) * rounds * INTERVALS)
            .max(fewest)
            .min(most);
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // between the two
        let capacity = capacity as usize;
        SlowRing {
            requests: VecDeque::new(),
            capacity,
        }
    }

    /// Keeps one.
    pub fn push(&mut self, request: SlowRequest) {
        if self.requests.len() >= self.capacity {
            self.requests.pop_front();
        }
        self.requests.push_back(request);
    }

    /// All, the oldest first; the ring is empty then.
    pub fn take(&mut self) -> Vec<SlowRequest> {
        self.requests.drain(..).collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::decoded::Decoded;
    use super::*;

    const STAMP: Stamp = Stamp {
        pid: 10,
        seq: 3,
        time: 100.0,
    };

    const TEXTS: [(u16, usize); 9] = [
        (204, 63),
        (210, 15),
        (211, 15),
        (212, 255),
        (213, 255),
        (214, 511),
        (215, 15),
        (216, 45),
        (217, 511),
    ];
    const NUMBERS: [u16; 22] = [
        200, 201, 202, 203, 205, 220, 221, 222, 223, 224, 225, 230, 231, 232, 233, 234, 235, 240,
        250, 251, 260, 261,
    ];

    fn with_texts(texts: [&[u8]; 9]) -> SlowRequest {
        let [
            log_id,
            method,
            scheme,
            hostname,
            script_name,
            path_info,
            protocol,
            peer_ip,
            user_agent,
        ] = texts.map(<[u8]>::to_vec);
        SlowRequest {
            log_id,
            method,
            scheme,
            hostname,
            script_name,
            path_info,
            protocol,
            peer_ip,
            user_agent,
            ..SlowRequest::default()
        }
    }

    /// TEL-160, TEL-161, TEL-162, TEL-163, TEL-164, TEL-165, TEL-166, TEL-167, TEL-168, TEL-169, TEL-170, TEL-171, TEL-172,
    /// TEL-173, TEL-174, TEL-175, TEL-176, TEL-177, TEL-178, TEL-179: each figure in its field.
    #[test]
    fn completed() {
        let texts = [
            "id", "GET", "https", "host", "/app", "/path", "HTTP/1.1", "::1", "agent",
        ];
        let request = SlowRequest {
            is_completed: true,
            start: 1.25,
            duration: 2.25,
            thread_id: 3,
            server_pid: 4,
            server_time: 5.25,
            queue_time: 6.25,
            daemon_time: 7.25,
            application_time: 8.25,
            gil_wait_time: 9.25,
            gil_wait_count: 10,
            input: (11, 12),
            output: (13, 14),
            input_time: 15.25,
            output_time: 16.25,
            status: 404,
            cpu_user: 17.25,
            cpu_system: 18.25,
            active_at_start: 19,
            active_at_completion: 20,
            ..with_texts(texts.map(str::as_bytes))
        };
        let decoded = Decoded::of(&request.encode(STAMP));
        assert_eq!((decoded.kind, decoded.stamp), (4, STAMP));
        assert_eq!(TEXTS.map(|(id, _)| decoded.text(id)), texts);
        let counts = [200, 203, 205, 225, 230, 231, 232, 233, 240, 260, 261];
        let expected = [1, 3, 4, 10, 11, 12, 13, 14, 404, 19, 20];
        assert_eq!(counts.map(|id| decoded.u64(id)), expected);
        let times = [201, 202, 220, 221, 222, 223, 224, 234, 235, 250, 251];
        let expected = [
            1.25, 2.25, 5.25, 6.25, 7.25, 8.25, 9.25, 15.25, 16.25, 17.25, 18.25,
        ];
        assert_eq!(times.map(|id| decoded.f64(id)), expected);
    }

    /// TEL-180: numbers are always there, text only if there is some.
    #[test]
    fn without_text() {
        let decoded = Decoded::of(&SlowRequest::default().encode(STAMP));
        assert_eq!(decoded.ids(), NUMBERS);
        assert_eq!(decoded.u64(200), 0);
    }

    /// TEL-164, TEL-165, TEL-166, TEL-167, TEL-168, TEL-169, TEL-170, TEL-171, TEL-181
    #[test]
    fn long_text() {
        let decoded = Decoded::of(&with_texts([&[b'x'; 600]; 9]).encode(STAMP));
        for (id, limit) in TEXTS {
            let text = decoded.text(id);
            assert!(
                text.len() == limit && text.ends_with("x..."),
                "{id}: {text}"
            );
        }
    }

    /// TEL-183
    #[test]
    fn length_of_the_ring() {
        for (threads, interval, threshold, capacity) in [
            (1, 1.0, 1.0, 32),
            (6, 1.0, 1.0, 32),
            (7, 1.0, 1.0, 35),
            (5, 1.0, 0.4, 75),
            (100, 1.0, 10.0, 500),
            (1000, 1.0, 0.5, 4096),
            (u32::MAX, 1e300, 1e-300, 4096),
            (0, 1.0, 1.0, 32),
            (5, 1.0, -1.0, 32),
            (0, 1.0, 0.0, 32),
        ] {
            let mut ring = SlowRing::for_settings(threads, interval, threshold);
            assert_eq!(ring.capacity, capacity, "{threads} {interval} {threshold}");
            for start in 0..5000 {
                ring.push(SlowRequest {
                    start: f64::from(start),
                    ..SlowRequest::default()
                });
            }
            let kept = ring.take();
            assert_eq!(kept.len(), capacity);
            assert!(kept.is_sorted_by(|a, b| a.start < b.start));
            assert_eq!(kept.last().map(|request| request.start), Some(4999.0));
            assert_eq!(ring.take(), []);
        }
    }

    proptest! {
        /// TEL-061, TEL-180: any request fits, with all of its numbers.
        #[test]
        fn any_request_fits(
            texts in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..1000), 9),
            floats in prop::collection::vec(prop::num::f64::ANY, 5),
            numbers in prop::collection::vec(any::<u64>(), 4),
        ) {
            let request = SlowRequest {
                start: floats[0],
                duration: floats[1],
                server_time: floats[2],
                input_time: floats[3],
                cpu_user: floats[4],
                input: (numbers[0], numbers[1]),
                output: (numbers[2], numbers[3]),
                ..with_texts(std::array::from_fn(|index| &texts[index][..]))
            };
            let decoded = Decoded::of(&request.encode(STAMP));
            for id in NUMBERS {
                prop_assert!(decoded.fields.contains_key(&id), "{}", id);
            }
        }
    }
}
