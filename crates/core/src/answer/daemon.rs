//! What a child makes of the head that a daemon sent: an answer for the client, an internal redirect, or an
//! error page of Apache's (REQ-455 to REQ-459, DMN-303 to DMN-322).
//!
//! The differences to embedded mode (merged headers, CGI redirects) are those of the original, which
//! applications in daemon mode may rely on. What came over the socket is checked like any foreign input, so
//! that a daemon cannot smuggle line ends into the client's connection. Runs on the thread of an Apache child
//! that forwards the request.

use std::borrow::Cow;

use thiserror::Error;

use super::head::{
    HeaderError, LengthError, StatusError, check_header, check_status, parse_content_length,
};

/// What of the configuration has a say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// WSGIErrorOverride (REQ-455).
    pub error_override: bool,
    /// `header-buffer-size` of the group, bytes: a line and its end have to be shorter (DMN-312).
    pub header_buffer_size: usize,
}

impl Default for Rules {
    fn default() -> Rules {
        Rules {
            error_override: false,
            header_buffer_size: 32768,
        }
    }
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict<'a> {
    /// Head and body go to the client.
    Answer(Answer<'a>),
    /// Body and headers are thrown away and the client gets what a GET for this path gives (REQ-456); the request's
    /// Content-Length has to be removed first.
    InternalRedirect {
        /// Path with query, as in the Location header: begins with `/`.
        path: &'a [u8],
        /// WWW-Authenticate, which httpd keeps across the redirect.
        error_headers: Vec<(&'a [u8], &'a [u8])>,
    },
    /// The body is thrown away and Apache makes its own page for the code (REQ-455).
    ErrorPage {
        /// 400 to 599.
        code: u16,
        /// WWW-Authenticate, which stays on error pages.
        error_headers: Vec<(&'a [u8], &'a [u8])>,
    },
}

/// The head for the client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer<'a> {
    /// Status code, 000 to 999.
    pub code: u16,
    /// Code and reason as the application gave them.
    pub status_line: &'a [u8],
    /// Content-Type in the form that httpd's filters compare with (DMN-313). Not among `headers`.
    pub content_type: Option<Cow<'a, [u8]>>,
    /// Last-Modified as the application gave it: the module parses it and moves a future date to now (DMN-316),
    /// for which it takes httpd's parser and the request's time. Not among `headers`.
    pub last_modified: Option<&'a [u8]>,
    /// The value of the last Content-Length (DMN-315), for httpd to write. Not among `headers`, so that no text
    /// of a daemon can disagree with the length that the connection is read by.
    pub content_length: Option<u64>,
    /// All other headers in the order in which they have to be *added*: each name once (REQ-457), then every
    /// Set-Cookie (DMN-317, DMN-318).
    pub headers: Vec<(&'a [u8], Cow<'a, [u8]>)>,
    /// Every WWW-Authenticate, for httpd's error headers (REQ-450, DMN-317).
    pub error_headers: Vec<(&'a [u8], &'a [u8])>,
}

/// Why a daemon's head is not passed on; the client gets [`HeadError::status`].
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum HeadError {
    /// A line and its end do not fit into the buffer (DMN-303).
    #[error(
        "WSGI0144: response header '{name}' needs a line of {len} bytes, but the daemon process group has \
         header-buffer-size={size}, which allows {}; make it larger or send a shorter header", size.saturating_sub(2)
    )]
    TooLong {
        /// The header, or `Status`.
        name: String,
        /// Bytes of `Name: value`.
        len: usize,
        /// `header-buffer-size`, bytes.
        size: usize,
    },
    /// A name or value that cannot be a header (DMN-304, DMN-319).
    #[error("WSGI0148: the daemon process sent a malformed header: {0}")]
    Header(#[from] HeaderError),
    /// A Content-Length that is none.
    #[error("WSGI0148: the daemon process sent a malformed header: {0}")]
    Length(#[from] LengthError),
    /// A status line without a code.
    #[error("WSGI0148: the daemon process sent a malformed answer: {0}")]
    Status(#[from] StatusError),
}

impl HeadError {
    /// Status for the client (DMN-303, DMN-304).
    pub fn status(&self) -> u16 {
        500
    }
}

/// Decides what becomes of an answer with this status line and these headers.
///
/// A header named `Status` is a header like any other (REQ-459).
///
/// # Errors
/// [`HeadError`]; its text is the log record.
pub fn interpret<'a>(
    status: &'a [u8],
    headers: impl IntoIterator<Item = (&'a [u8], Option<&'a [u8]>)>,
    rules: Rules,
) -> Result<Verdict<'a>, HeadError> {
    check_line(b"Status", status, rules)?;
    let code = check_status(status)?;
    let headers = headers.into_iter();
    let mut answer = Answer {
        code,
        status_line: status,
        content_type: None,
        last_modified: None,
        content_length: None,
        headers: Vec::with_capacity(headers.size_hint().0),
        error_headers: Vec::new(),
    };
    let (mut location, mut cookies) = (None, Vec::new());
    for (name, value) in headers {
        let value = value.unwrap_or(b"");
        check_header(name, value)?;
        check_line(name, value, rules)?;
        let value = without_leading_blanks(value);
        match Treatment::of(name) {
            Treatment::ContentType => answer.content_type = Some(normal_content_type(value)),
            Treatment::LastModified => answer.last_modified = Some(value),
            Treatment::ContentLength => answer.content_length = Some(parse_content_length(value)?),
            Treatment::Cookie => cookies.push((name, Cow::Borrowed(value))),
            Treatment::ErrorHeader => answer.error_headers.push((name, value)),
            Treatment::Location => {
                location = Some(value);
                answer.replace(name, value);
            }
            Treatment::LastWins => answer.replace(name, value),
            Treatment::Merge => answer.merge(name, value),
        }
    }
    // The CGI rule for `Location: /path`; a second slash makes no difference to it.
    if let (200, Some(path @ [b'/', ..])) = (code, location) {
        return Ok(Verdict::InternalRedirect {
            path,
            error_headers: answer.error_headers,
        });
    }
    if rules.error_override && (400..600).contains(&code) {
        return Ok(Verdict::ErrorPage {
            code,
            error_headers: answer.error_headers,
        });
    }
    answer.headers.append(&mut cookies);
    Ok(Verdict::Answer(answer))
}

impl<'a> Answer<'a> {
    fn position(&self, name: &[u8]) -> Option<usize> {
        self.headers
            .iter()
            .position(|(known, _)| known.eq_ignore_ascii_case(name))
    }

    fn replace(&mut self, name: &'a [u8], value: &'a [u8]) {
        match self.position(name) {
            Some(position) => self.headers[position].1 = Cow::Borrowed(value),
            None => self.headers.push((name, Cow::Borrowed(value))),
        }
    }

    fn merge(&mut self, name: &'a [u8], value: &'a [u8]) {
        match self.position(name) {
            Some(position) => {
                let merged = self.headers[position].1.to_mut();
                merged.extend_from_slice(b", ");
                merged.extend_from_slice(value);
            }
            None => self.headers.push((name, Cow::Borrowed(value))),
        }
    }
}

/// How instances of a header are put together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Treatment {
    ContentType,
    ContentLength,
    LastModified,
    Cookie,
    ErrorHeader,
    Location,
    LastWins,
    Merge,
}

/// Headers that are not merged (REQ-457, DMN-313 to DMN-317).
const SPECIAL: [(&[u8], Treatment); 8] = [
    (b"Content-Type", Treatment::ContentType),
    (b"Content-Length", Treatment::ContentLength),
    (b"Set-Cookie", Treatment::Cookie),
    (b"Location", Treatment::Location),
    (b"Last-Modified", Treatment::LastModified),
    (b"WWW-Authenticate", Treatment::ErrorHeader),
    (b"Content-Range", Treatment::LastWins),
    (b"Transfer-Encoding", Treatment::LastWins),
];

impl Treatment {
    fn of(name: &[u8]) -> Treatment {
        SPECIAL
            .iter()
            .find(|(special, _)| special.eq_ignore_ascii_case(name))
            .map_or(Treatment::Merge, |(_, treatment)| *treatment)
    }
}

fn check_line(name: &[u8], value: &[u8], rules: Rules) -> Result<(), HeadError> {
    let len = name.len() + b": ".len() + value.len();
    // The original reads a line with its end into the buffer, and ends that with a NUL.
    if len + 1 < rules.header_buffer_size {
        return Ok(());
    }
    let start = &name[..name.len().min(100)];
    Err(HeadError::TooLong {
        name: start.escape_ascii().to_string(),
        len,
        size: rules.header_buffer_size,
    })
}

fn without_leading_blanks(value: &[u8]) -> &[u8] {
    let blanks = value
        .iter()
        .take_while(|byte| matches!(byte, b' ' | b'\t'))
        .count();
    &value[blanks..]
}

/// Type and subtype in lower case, trailing blanks gone; parameters stay as they are (DMN-313, REQ-458).
fn normal_content_type(value: &[u8]) -> Cow<'_, [u8]> {
    let blanks = value
        .iter()
        .rev()
        .take_while(|byte| matches!(byte, b' ' | b'\t'))
        .count();
    let value = &value[..value.len() - blanks];
    let end = value
        .iter()
        .position(|byte| *byte == b';')
        .unwrap_or(value.len());
    let mut normal = Cow::Borrowed(value);
    if value[..end].iter().any(u8::is_ascii_uppercase) {
        normal.to_mut()[..end].make_ascii_lowercase();
    }
    normal
}

#[cfg(test)]
mod tests;
