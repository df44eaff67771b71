//! Content-Length as a bound on the body (REQ-448): what an application sends beyond it is dropped, so that it
//! can never be taken for the next answer, and what is missing at the end tells that the answer was cut short.
//!
//! One guard per answer, in the thread that runs the request.

/// Counts the body of one answer against its Content-Length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LengthGuard {
    /// Bytes that may still be sent; None without a Content-Length.
    left: Option<u64>,
    /// Bytes that were let through.
    sent: u64,
    /// Bytes that were not.
    dropped: u64,
}

impl LengthGuard {
    /// For an answer with this Content-Length, or None for one without.
    pub fn new(content_length: Option<u64>) -> LengthGuard {
        LengthGuard {
            left: content_length,
            sent: 0,
            dropped: 0,
        }
    }

    /// How many of the next `len` bytes may be sent, from the first one on; the others have to be dropped.
    pub fn take(&mut self, len: usize) -> usize {
        let wanted = len as u64;
        let allowed = self.left.map_or(wanted, |left| left.min(wanted));
        self.left = self.left.map(|left| left - allowed);
        self.sent = self.sent.saturating_add(allowed);
        self.dropped = self.dropped.saturating_add(wanted - allowed);
        usize::try_from(allowed).expect("not more than len, which is a usize")
    }

    /// Bytes that the Content-Length promises and that did not come yet; 0 without a Content-Length. At the end
    /// of the body anything but 0 means that the answer is cut short, unless it has no body anyway (HEAD, 204,
    /// 304).
    pub fn missing(&self) -> u64 {
        self.left.unwrap_or(0)
    }

    /// Whether the Content-Length is reached, so that nothing more can be sent. Never without one.
    pub fn is_full(&self) -> bool {
        self.left == Some(0)
    }

    /// Bytes that were let through.
    pub fn sent(&self) -> u64 {
        self.sent
    }

    /// Bytes beyond the Content-Length, which were dropped.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// REQ-448: the excess is dropped, also inside a block.
    #[test]
    fn excess_is_dropped() {
        let mut guard = LengthGuard::new(Some(5));
        assert_eq!(guard.take(3), 3);
        assert!(!guard.is_full());
        assert_eq!(guard.take(4), 2);
        assert!(guard.is_full());
        assert_eq!(guard.take(9), 0);
        assert_eq!((guard.missing(), guard.sent(), guard.dropped()), (0, 5, 11));
    }

    /// REQ-448: what is missing is known at the end.
    #[test]
    fn a_short_answer_is_noticed() {
        let mut guard = LengthGuard::new(Some(5));
        guard.take(2);
        assert_eq!(guard.missing(), 3);
    }

    /// REQ-449: without Content-Length everything passes and nothing is missing.
    #[test]
    fn without_length_everything_passes() {
        let mut guard = LengthGuard::new(None);
        assert_eq!(guard.take(usize::MAX), usize::MAX);
        assert_eq!(guard.take(7), 7);
        assert_eq!(
            (guard.missing(), guard.is_full(), guard.dropped()),
            (0, false, 0)
        );
    }

    proptest! {
        /// REQ-448: never a byte more than the length, and every byte is accounted for.
        #[test]
        fn sums_agree(length in 0_u64..50, blocks in proptest::collection::vec(0_usize..20, 0..9)) {
            let mut guard = LengthGuard::new(Some(length));
            let sent: usize = blocks.iter().map(|block| guard.take(*block)).sum();
            let all: usize = blocks.iter().sum();
            prop_assert_eq!(sent as u64, length.min(all as u64));
            prop_assert_eq!(guard.missing(), length - sent as u64);
            prop_assert_eq!(guard.sent() + guard.dropped(), all as u64);
        }
    }
}
