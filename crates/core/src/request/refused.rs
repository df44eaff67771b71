//! A request that is answered by Apache's error page instead of an application.

use std::fmt;

/// Why a request is not run. Its `Display` is the log record (level error), code first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Status for the client; httpd makes the page (REQ-038).
    pub status: u16,
    /// Number of the stable code, e.g. 135 for WSGI0135; None where the original has none.
    pub code: Option<u16>,
    /// What is wrong, with the file or group it is about, and what to do.
    pub text: String,
}

impl Refused {
    /// With a stable code.
    pub(super) fn with_code(status: u16, code: u16, text: String) -> Refused {
        Refused {
            status,
            code: Some(code),
            text,
        }
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(code) = self.code {
            write!(f, "WSGI{code:04}: ")?;
        }
        f.write_str(&self.text)
    }
}

impl std::error::Error for Refused {}

/// Bytes of a path or header as text for a message.
pub(super) fn shown(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
