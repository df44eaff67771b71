//! The text of a log record of a request: where `[script FILE]` stands (REQ-807, ERR-03).

/// `log` flags of the runtime's table and of Log frames: the record continues a report and carries no prefix (REQ-800).
pub const CONTINUATION: u32 = 1 << 0;
/// `log` flags: the text begins with its code, which goes before the prefix (WSGI0174).
pub const CODE_FIRST: u32 = 1 << 1;

/// What the page of a 500 says after WSGI5220, as HTML.
pub const NEEDS_MAIN_INTERPRETER: &str = "<p>The application uses an extension module that works in the main interpreter of \
     Python only. The administrator of this server can run the application there with \
     <code>application-group=%{GLOBAL}</code> or <code>WSGIApplicationGroup %{GLOBAL}</code>; the error log has the details \
     (WSGI5220).</p>";

/// The record's text: `[script FILE] ` and `text`, with the code of `text` in front of it if `flags` say so, and without a
/// prefix for the lines of a report behind its header.
pub fn with_script(script: &[u8], flags: u32, text: &[u8]) -> Vec<u8> {
    if flags & CONTINUATION != 0 {
        return text.to_vec();
    }
    let code = if flags & CODE_FIRST != 0 {
        code_length(text)
    } else {
        0
    };
    let (code, text) = text.split_at(code);
    [code, b"[script ", script, b"] ", text].concat()
}

/// Length of the `WSGInnnn: ` in front of a text; 0 without one.
fn code_length(text: &[u8]) -> usize {
    const LENGTH: usize = "WSGInnnn: ".len();
    match text.first_chunk::<LENGTH>() {
        Some([b'W', b'S', b'G', b'I', digits @ .., b':', b' '])
            if digits.iter().all(u8::is_ascii_digit) =>
        {
            LENGTH
        }
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// REQ-807: output of the application, a message with code, the header of an exception, a line of a traceback.
    #[test]
    fn prefixes() {
        let with = |flags, text: &str| {
            String::from_utf8(with_script(b"/w/a.wsgi", flags, text.as_bytes())).unwrap()
        };
        assert_eq!(with(0, "hello"), "[script /w/a.wsgi] hello");
        assert_eq!(with(0, "WSGI0135: x"), "[script /w/a.wsgi] WSGI0135: x");
        assert_eq!(
            with(CODE_FIRST, "WSGI0174: x"),
            "WSGI0174: [script /w/a.wsgi] x"
        );
        assert_eq!(with(CODE_FIRST, "x"), "[script /w/a.wsgi] x");
        assert_eq!(with(CONTINUATION, "Traceback"), "Traceback");
    }
}
