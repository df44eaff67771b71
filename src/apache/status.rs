//! What a hook tells httpd: done, declined, or an HTTP status. The only place where codes for httpd are made.

use std::ffi::c_int;

/// Return value of a hook or handler.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status(c_int);

impl Status {
    /// The hook did its work; in a handler, the answer was sent.
    pub const OK: Status = Status(apache_sys::OK);
    /// Not ours; somebody else may.
    pub const DECLINED: Status = Status(apache_sys::DECLINED);
    /// The request is over, nothing more is to be sent.
    pub const DONE: Status = Status(apache_sys::DONE);
    /// A filter of httpd has sent an error page already.
    pub const FILTER_ERROR: Status = Status(apache_sys::AP_FILTER_ERROR);
    /// 403.
    pub const FORBIDDEN: Status = Status(apache_sys::HTTP_FORBIDDEN);
    /// 404.
    pub const NOT_FOUND: Status = Status(apache_sys::HTTP_NOT_FOUND);
    /// 500.
    pub const INTERNAL_SERVER_ERROR: Status = Status(apache_sys::HTTP_INTERNAL_SERVER_ERROR);
    /// 504.
    pub const GATEWAY_TIMEOUT: Status = Status(apache_sys::HTTP_GATEWAY_TIME_OUT);

    /// An HTTP status for which httpd makes the page (`ErrorDocument` honoured, REQ-038). 100 to 999.
    pub const fn http(code: u16) -> Status {
        debug_assert!(code >= 100 && code <= 999);
        Status(code as c_int)
    }

    /// What httpd returned from one of its own functions.
    pub(super) const fn of_httpd(code: c_int) -> Status {
        Status(code)
    }

    /// The number for httpd.
    pub const fn code(self) -> c_int {
        self.0
    }

    /// The HTTP status, or None for OK, DECLINED and DONE.
    pub fn http_code(self) -> Option<u16> {
        u16::try_from(self.0)
            .ok()
            .filter(|code| (100..=999).contains(code))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_http_statuses_have_a_code() {
        assert_eq!(Status::http(418).http_code(), Some(418));
        assert_eq!(Status::FORBIDDEN.http_code(), Some(403));
        for status in [Status::OK, Status::DECLINED, Status::DONE] {
            assert_eq!(status.http_code(), None, "{status:?}");
        }
    }
}
