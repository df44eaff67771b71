//! What `start_response` accepts: status line, header names and values, and the value of Content-Length.
//!
//! Input is what Python's text became after encoding to latin-1, so that every byte is a character. The texts
//! of the errors are what the application sees in its `ValueError`: they name the header and the reason.
//! Checked by the engine in the process that runs the application, and again by the child for heads that came
//! over a socket.

use thiserror::Error;

/// Why a status line is refused (REQ-414 to REQ-416, REQ-425). The texts go to Python's `ValueError`.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum StatusError {
    /// It does not begin with exactly three digits.
    #[error("status line {0} does not begin with a code of three digits")]
    NoCode(String),
    /// Something else than a blank follows the code.
    #[error("status line {0} has no blank between its code and its reason")]
    NoBlank(String),
    /// The reason has a control character.
    #[error("status line {0} has a control character")]
    Control(String),
}

/// Why a header is refused (REQ-422, REQ-423, REQ-425, DMN-319). The texts go to Python's `ValueError`.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum HeaderError {
    /// No name.
    #[error("response header with an empty name, its value is {value}")]
    EmptyName {
        /// The value, quoted and perhaps shortened.
        value: String,
    },
    /// The name has a control character or a blank.
    #[error("response header name {0} has a control character or a blank")]
    ControlInName(String),
    /// The name has a colon, which would end it on the wire.
    #[error("response header name {0} has a colon")]
    ColonInName(String),
    /// The value has a line end or a NUL, with which it could pass itself off as more headers.
    #[error("value of response header {name} has a {what}: {value}")]
    ControlInValue {
        /// The header, quoted.
        name: String,
        /// Which character.
        what: &'static str,
        /// The value, quoted and perhaps shortened.
        value: String,
    },
}

/// Why a Content-Length is refused (REQ-447). The texts go to Python's `ValueError`.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum LengthError {
    /// Not a decimal number.
    #[error("value {0} of response header 'Content-Length' is not a number")]
    NotANumber(String),
    /// Below zero.
    #[error("value {0} of response header 'Content-Length' is negative")]
    Negative(String),
    /// More than a file offset can say.
    #[error("value {0} of response header 'Content-Length' is too large")]
    TooLarge(String),
}

/// Checks a status line and returns its code, any of 000 to 999 (REQ-414 to REQ-417, REQ-425, REQ-426).
///
/// # Errors
/// [`StatusError`] with the status line in its text.
pub fn check_status(status: &[u8]) -> Result<u16, StatusError> {
    let digits = status
        .iter()
        .take(4)
        .take_while(|byte| byte.is_ascii_digit())
        .count();
    if digits != 3 {
        return Err(StatusError::NoCode(quoted(status)));
    }
    let (code, reason) = status.split_at(3);
    if !matches!(reason.first(), None | Some(b' ')) {
        return Err(StatusError::NoBlank(quoted(status)));
    }
    if reason.iter().any(u8::is_ascii_control) {
        return Err(StatusError::Control(quoted(status)));
    }
    Ok(code
        .iter()
        .fold(0, |number, digit| number * 10 + u16::from(digit - b'0')))
}

/// Checks a response header (REQ-422 to REQ-425, DMN-319).
///
/// # Errors
/// [`HeaderError`] with the header in its text.
pub fn check_header(name: &[u8], value: &[u8]) -> Result<(), HeaderError> {
    if name.is_empty() {
        return Err(HeaderError::EmptyName {
            value: quoted(value),
        });
    }
    // A blank is the only character above the controls that is refused, so one comparison finds both.
    if name.iter().any(|byte| *byte <= b' ' || *byte == 0x7f) {
        return Err(HeaderError::ControlInName(quoted(name)));
    }
    if name.contains(&b':') {
        return Err(HeaderError::ColonInName(quoted(name)));
    }
    let bad = value.iter().find_map(|byte| match byte {
        b'\r' => Some("carriage return"),
        b'\n' => Some("line feed"),
        0 => Some("NUL"),
        _ => None,
    });
    match bad {
        None => Ok(()),
        Some(what) => Err(HeaderError::ControlInValue {
            name: quoted(name),
            what,
            value: quoted(value),
        }),
    }
}

/// Reads the value of a Content-Length header: decimal, blanks and one `+` before it allowed, nothing at all is 0
/// (REQ-447). At most `i64::MAX`, what a file offset can say.
///
/// # Errors
/// [`LengthError`] with the value in its text.
pub fn parse_content_length(value: &[u8]) -> Result<u64, LengthError> {
    if value.is_empty() {
        return Ok(0);
    }
    let blanks = value
        .iter()
        .take_while(|byte| matches!(byte, b' ' | b'\t'))
        .count();
    let number = &value[blanks..];
    let digits = number.strip_prefix(b"+").unwrap_or(number);
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return Err(match digits.strip_prefix(b"-") {
            Some(rest) if !rest.is_empty() && rest.iter().all(u8::is_ascii_digit) => {
                LengthError::Negative(quoted(value))
            }
            _ => LengthError::NotANumber(quoted(value)),
        });
    }
    digits
        .iter()
        .try_fold(0_i64, |length, digit| {
            length.checked_mul(10)?.checked_add(i64::from(digit - b'0'))
        })
        .and_then(|length| u64::try_from(length).ok())
        .ok_or_else(|| LengthError::TooLarge(quoted(value)))
}

/// Longest piece of the application's text that an error repeats, bytes.
const SHOWN: usize = 200;

/// Text for a message: in quotes, controls and everything beyond ASCII escaped, cut where it is long.
fn quoted(text: &[u8]) -> String {
    match text.get(..SHOWN) {
        Some(start) if text.len() > SHOWN => format!("'{}'...", start.escape_ascii()),
        _ => format!("'{}'", text.escape_ascii()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// REQ-414 to REQ-417, REQ-425, REQ-426: row by row.
    #[test]
    fn status_lines() {
        for (status, code) in [
            ("200 OK", Ok(200)),
            ("200", Ok(200)),
            ("200 ", Ok(200)),
            ("000 x", Ok(0)),
            ("100 x", Ok(100)),
            ("101", Ok(101)),
            ("600 x", Ok(600)),
            ("999", Ok(999)),
            ("200 \u{fc}", Ok(200)),
            ("200  two", Ok(200)),
            ("", Err("no code")),
            ("20", Err("no code")),
            ("20 OK", Err("no code")),
            ("2000", Err("no code")),
            ("2000 OK", Err("no code")),
            (" 200", Err("no code")),
            ("abc", Err("no code")),
            ("-20 x", Err("no code")),
            ("200OK", Err("no blank")),
            ("200-", Err("no blank")),
            ("200\tOK", Err("no blank")),
            ("200\n", Err("no blank")),
            ("200\0", Err("no blank")),
            ("200 O\nK", Err("control")),
            ("200 O\rK", Err("control")),
            ("200 O\tK", Err("control")),
            ("200 O\0K", Err("control")),
            ("200 O\x7fK", Err("control")),
        ] {
            let kind = |error| match error {
                StatusError::NoCode(_) => "no code",
                StatusError::NoBlank(_) => "no blank",
                StatusError::Control(_) => "control",
            };
            assert_eq!(
                check_status(status.as_bytes()).map_err(kind),
                code,
                "{status:?}"
            );
        }
    }

    /// REQ-422 to REQ-425, DMN-319: row by row.
    #[test]
    fn headers() {
        for (name, value, problem) in [
            ("X-Y", "value", None),
            ("X-Y", "", None),
            ("X-Y", "  tab\tand \x01\x7f", None),
            ("X\u{e9}", "\u{e9}", None),
            ("X@(Y)", "x", None),
            ("", "x", Some("empty name")),
            ("X Y", "x", Some("control character or a blank")),
            ("X\tY", "x", Some("control character or a blank")),
            ("X\n", "x", Some("control character or a blank")),
            ("X\0", "x", Some("control character or a blank")),
            ("X\x7f", "x", Some("control character or a blank")),
            ("X:Y", "x", Some("colon")),
            ("X", "a\r\nY: b", Some("'X' has a carriage return")),
            ("X", "a\nY: b", Some("'X' has a line feed")),
            ("X", "a\0", Some("'X' has a NUL")),
        ] {
            match (check_header(name.as_bytes(), value.as_bytes()), problem) {
                (Ok(()), None) => {}
                (Err(error), Some(problem)) if error.to_string().contains(problem) => {}
                (result, _) => panic!("{name:?} {value:?}: {result:?}"),
            }
        }
    }

    /// REQ-423: the text names header and reason, and cannot forge log lines or flood the log.
    #[test]
    fn errors_name_the_header() {
        let error = check_header(b"X-Next", b"/a\r\nSet-Cookie: x")
            .unwrap_err()
            .to_string();
        assert_eq!(
            error,
            r"value of response header 'X-Next' has a carriage return: '/a\r\nSet-Cookie: x'"
        );
        let error = check_status(&[b'x'; 100_000]).unwrap_err().to_string();
        assert!(error.len() < 400, "{error}");
    }

    /// REQ-447: row by row.
    #[test]
    fn content_lengths() {
        for (value, length) in [
            ("0", Ok(0)),
            ("12", Ok(12)),
            ("  12", Ok(12)),
            ("+12", Ok(12)),
            (" +12", Ok(12)),
            ("0012", Ok(12)),
            ("", Ok(0)),
            ("9223372036854775807", Ok(i64::MAX as u64)),
            ("9223372036854775808", Err("too large")),
            ("99999999999999999999999", Err("too large")),
            ("-1", Err("negative")),
            ("-", Err("not a number")),
            ("+", Err("not a number")),
            ("++1", Err("not a number")),
            (" ", Err("not a number")),
            ("12 ", Err("not a number")),
            ("0x12", Err("not a number")),
            ("1,2", Err("not a number")),
            ("1_000", Err("not a number")),
            ("ten", Err("not a number")),
        ] {
            match (parse_content_length(value.as_bytes()), length) {
                (Ok(number), Ok(expected)) => assert_eq!(number, expected, "{value:?}"),
                (Err(error), Err(part)) => {
                    assert!(error.to_string().contains(part), "{value:?}: {error}");
                    assert!(error.to_string().contains("'Content-Length'"));
                }
                (result, _) => panic!("{value:?}: {result:?}"),
            }
        }
    }

    proptest! {
        /// REQ-416, REQ-423, REQ-425: what is accepted can be put into a head without ending a line of it.
        #[test]
        fn accepted_text_stays_in_its_line(
            one in proptest::collection::vec(any::<u8>(), 0..12),
            two in proptest::collection::vec(any::<u8>(), 0..12),
        ) {
            let ends = |text: &[u8]| text.iter().any(|byte| matches!(byte, 0 | b'\r' | b'\n'));
            if check_header(&one, &two).is_ok() {
                prop_assert!(!ends(&one) && !ends(&two) && !one.contains(&b':'));
            }
            let status = [b"200 ", &one[..]].concat();
            if check_status(&status).is_ok() {
                prop_assert!(!ends(&status));
            }
            let _ = (check_status(&one), parse_content_length(&one));
        }

        /// REQ-447: every length comes back.
        #[test]
        fn lengths_come_back(length in 0..=i64::MAX as u64) {
            prop_assert_eq!(parse_content_length(length.to_string().as_bytes()), Ok(length));
        }
    }
}
