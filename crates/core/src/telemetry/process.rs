//! Who a process is, and the datagrams at its start and end (TEL-100 to TEL-111, TEL-150 to TEL-155).

use super::datagram::{Datagram, Kind, Stamp};

/// Longest reason, bytes.
const REASON: usize = 63;

/// Who a process is. Made once, when its reporter starts; empty text is not sent.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Identity {
    /// Version of this module, without its name.
    pub version: String,
    /// Version of Python, such as `3.13.1`.
    pub python: String,
    /// Version of httpd, such as `Apache/2.4.67`.
    pub apache: String,
    /// Name of the MPM, such as `event`.
    pub mpm: String,
    /// Name of the machine.
    pub hostname: String,
    /// Daemon group; empty in children.
    pub process_group: String,
    /// Apache's parent process.
    pub parent_pid: u32,
    /// Seconds after which a thread gives the GIL away; None if it is not known.
    pub switch_interval: Option<f64>,
}

impl Identity {
    /// Adds all that there is.
    pub(super) fn add_to(&self, datagram: &mut Datagram) {
        datagram.bytes(1, self.version.as_bytes(), 31);
        datagram.bytes(2, self.python.as_bytes(), 63);
        datagram.bytes(3, self.apache.as_bytes(), 63);
        datagram.bytes(4, self.mpm.as_bytes(), 31);
        self.add_place_to(datagram);
        datagram.u64(7, u64::from(self.parent_pid));
        if let Some(seconds) = self.switch_interval {
            datagram.f64(13, seconds);
        }
    }

    /// Adds machine and group only.
    fn add_place_to(&self, datagram: &mut Datagram) {
        datagram.bytes(5, self.hostname.as_bytes(), 127);
        datagram.bytes(6, self.process_group.as_bytes(), 63);
    }

    /// The process has started; the stamp has the time of that.
    pub fn started(&self, stamp: Stamp) -> Vec<u8> {
        let mut datagram = Datagram::new(Kind::Started, stamp);
        self.add_to(&mut datagram);
        datagram.finish()
    }
}

/// The process is going to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stopping<'a> {
    /// Why, as `process_stopping` says it (DMN-530); empty in children (TEL-050).
    pub reason: &'a str,
    /// Requests in flight when that was decided.
    pub active: u32,
}

impl Stopping<'_> {
    /// As a datagram.
    pub fn encode(&self, identity: &Identity, stamp: Stamp) -> Vec<u8> {
        let mut datagram = Datagram::new(Kind::Stopping, stamp);
        identity.add_place_to(&mut datagram);
        datagram.bytes(130, self.reason.as_bytes(), REASON);
        datagram.u64(133, u64::from(self.active));
        datagram.finish()
    }
}

/// The process ends.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Stopped<'a> {
    /// As in [`Stopping`].
    pub reason: &'a str,
    /// Seconds since its reporter started.
    pub uptime: f64,
    /// Requests that have ended since the process started.
    pub requests: u64,
    /// Requests in flight, which are cut off.
    pub active: u32,
    /// It ends by itself, not because its time is up.
    pub is_clean: bool,
}

impl Stopped<'_> {
    /// As a datagram.
    pub fn encode(&self, identity: &Identity, stamp: Stamp) -> Vec<u8> {
        let mut datagram = Datagram::new(Kind::Stopped, stamp);
        identity.add_place_to(&mut datagram);
        datagram.bytes(130, self.reason.as_bytes(), REASON);
        datagram.f64(131, self.uptime);
        datagram.u64(132, self.requests);
        datagram.u64(134, u64::from(self.active));
        datagram.u64(135, u64::from(self.is_clean && self.active == 0));
        datagram.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::super::decoded::Decoded;
    use super::*;

    const STAMP: Stamp = Stamp {
        pid: 10,
        seq: 1,
        time: 100.25,
    };

    fn identity() -> Identity {
        Identity {
            version: "0.5.0".to_owned(),
            python: "3.11.2".to_owned(),
            apache: "Apache/2.4.67".to_owned(),
            mpm: "event".to_owned(),
            hostname: "host".to_owned(),
            process_group: "group".to_owned(),
            parent_pid: 5,
            switch_interval: Some(0.005),
        }
    }

    /// TEL-100, TEL-101, TEL-102, TEL-103, TEL-104, TEL-105, TEL-106, TEL-111
    #[test]
    fn started() {
        let decoded = Decoded::of(&identity().started(STAMP));
        assert_eq!((decoded.kind, decoded.stamp), (5, STAMP));
        assert_eq!(decoded.ids(), [1, 2, 3, 4, 5, 6, 7, 13]);
        let texts = [1, 2, 3, 4, 5, 6].map(|id| decoded.text(id));
        let expected = ["0.5.0", "3.11.2", "Apache/2.4.67", "event", "host", "group"];
        assert_eq!(texts, expected);
        assert_eq!((decoded.u64(7), decoded.f64(13)), (5, 0.005));
    }

    /// TEL-100, TEL-101, TEL-102, TEL-103, TEL-104, TEL-105, TEL-106, TEL-111: of a child whose switch interval is not known;
    /// over-long text is cut.
    #[test]
    fn limits_and_omissions() {
        let long = "x".repeat(1000);
        let child = Identity {
            process_group: String::new(),
            switch_interval: None,
            version: long.clone(),
            python: long.clone(),
            apache: long.clone(),
            mpm: long.clone(),
            hostname: long.clone(),
            parent_pid: u32::MAX,
        };
        let decoded = Decoded::of(&child.started(STAMP));
        assert_eq!(decoded.ids(), [1, 2, 3, 4, 5, 7]);
        let lengths = [1, 2, 3, 4, 5].map(|id| decoded.text(id).len());
        assert_eq!(lengths, [31, 63, 63, 31, 127]);
        let group = Identity {
            process_group: long,
            ..identity()
        };
        assert_eq!(Decoded::of(&group.started(STAMP)).text(6).len(), 63);
    }

    /// TEL-050, TEL-104, TEL-105, TEL-150, TEL-153
    #[test]
    fn stopping() {
        let stopping = Stopping {
            reason: "shutdown_signal",
            active: 3,
        };
        let decoded = Decoded::of(&stopping.encode(&identity(), STAMP));
        assert_eq!((decoded.kind, decoded.stamp), (6, STAMP));
        assert_eq!(decoded.ids(), [5, 6, 130, 133]);
        assert_eq!(
            (decoded.text(130), decoded.u64(133)),
            ("shutdown_signal".to_owned(), 3)
        );
        let stopping = Stopping {
            reason: "",
            active: 0,
        };
        let decoded = Decoded::of(&stopping.encode(&Identity::default(), STAMP));
        assert_eq!(decoded.ids(), [133]);
    }

    /// TEL-150, TEL-151, TEL-152, TEL-154, TEL-155: drained gracefully is only what ends by itself with nothing in flight.
    #[test]
    fn stopped() {
        for (is_clean, active, is_graceful) in
            [(true, 0, 1), (true, 1, 0), (false, 0, 0), (false, 1, 0)]
        {
            let stopped = Stopped {
                reason: "reason",
                uptime: 2.5,
                requests: 42,
                active,
                is_clean,
            };
            let decoded = Decoded::of(&stopped.encode(&identity(), STAMP));
            assert_eq!((decoded.kind, decoded.stamp), (7, STAMP));
            assert_eq!(decoded.ids(), [5, 6, 130, 131, 132, 134, 135]);
            assert_eq!(decoded.text(130), "reason");
            assert_eq!((decoded.f64(131), decoded.u64(132)), (2.5, 42));
            let expected = (u64::from(active), is_graceful);
            assert_eq!((decoded.u64(134), decoded.u64(135)), expected);
        }
    }
}
