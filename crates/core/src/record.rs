//! The text of a log record: where `[script FILE]` stands (REQ-807, ERR-03), and which line of Python it is from (API-153).
//!
//! Text of Python ends at a NUL (API-036). So what stands before a NUL is never text, and carries the source: `LINE FILE`, NUL, text.

/// `log` flags of the runtime's table and of Log frames: the record continues a report and carries no prefix (REQ-800).
pub const CONTINUATION: u32 = 1 << 0;
/// `log` flags: the text begins with its code, which goes before the prefix (WSGI0174).
pub const CODE_FIRST: u32 = 1 << 1;

/// What the page of a 500 says after WSGI5220, as HTML.
pub const NEEDS_MAIN_INTERPRETER: &str = "<p>The application uses an extension module that works in the main interpreter of \
     Python only. The administrator of this server can run the application there with \
     <code>application-group=%{GLOBAL}</code> or <code>WSGIApplicationGroup %{GLOBAL}</code>; the error log has the details \
     (WSGI5220).</p>";

/// `main interpreter` or `sub-interpreter 'NAME'`, by its name, which is empty for the main one (REQ-800).
pub fn interpreter(name: &str) -> String {
    if name.is_empty() {
        "main interpreter".to_owned()
    } else {
        format!("sub-interpreter '{name}'")
    }
}

/// `embedded` or `daemon group 'NAME'`, by the group's name, which is empty for embedded mode (REQ-800).
pub fn location(process_group: &str) -> String {
    if process_group.is_empty() {
        "embedded".to_owned()
    } else {
        format!("daemon group '{process_group}'")
    }
}

/// The record's text: `[script FILE] ` and `text`, with the code of `text` in front of it if `flags` say so, and without a
/// prefix for the lines of a report behind its header.
pub fn with_script(script: &[u8], flags: u32, text: &[u8]) -> Vec<u8> {
    if flags & CONTINUATION != 0 {
        return text.to_vec();
    }
    let (source, text) = text.split_at(text.len() - split_source(text).1.len());
    let code = if flags & CODE_FIRST != 0 {
        code_length(text)
    } else {
        0
    };
    let (code, text) = text.split_at(code);
    [source, code, b"[script ", script, b"] ", text].concat()
}

/// Longest name of a source file, bytes.
const LONGEST_NAME: usize = 127;

/// `text` with the source file and line of the call that logs it. Of a path the file name is kept, as httpd shows no more.
pub fn with_source(path: &str, line: u32, text: &[u8]) -> Vec<u8> {
    let name = path.rsplit('/').next().unwrap_or(path).as_bytes();
    let end = name.iter().position(|&byte| byte == 0);
    let name = &name[..end.unwrap_or(name.len()).min(LONGEST_NAME)];
    let mut record = format!("{line} ").into_bytes();
    record.extend_from_slice(name);
    record.push(0);
    record.extend_from_slice(text);
    record
}

/// Where a record comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Source<'a> {
    /// File name without folders.
    pub file: &'a [u8],
    /// Line in it.
    pub line: u32,
}

/// The source, if the record has one, and its text. What is no source is text.
pub fn split_source(record: &[u8]) -> (Option<Source<'_>>, &[u8]) {
    let split = || {
        let end = record.iter().position(|&byte| byte == 0)?;
        let (line, file) = std::str::from_utf8(&record[..end]).ok()?.split_once(' ')?;
        let is_name = file.len() <= LONGEST_NAME && !file.contains('/');
        let source = Source {
            file: file.as_bytes(),
            line: line.parse().ok()?,
        };
        is_name.then_some((Some(source), &record[end + 1..]))
    };
    split().unwrap_or((None, record))
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

    /// API-153: the script's name comes behind the source; text of any kind has none.
    #[test]
    fn sources() {
        let record = with_source("/w/views.py", 12, b"hello");
        let source = Source {
            file: b"views.py",
            line: 12,
        };
        assert_eq!(split_source(&record), (Some(source), &b"hello"[..]));
        let record = with_script(b"/w/a.wsgi", 0, &record);
        assert_eq!(
            split_source(&record),
            (Some(source), &b"[script /w/a.wsgi] hello"[..])
        );
        let odd = with_source(&format!("a b\0{}", "x".repeat(900)), u32::MAX, b"");
        assert_eq!(split_source(&odd).0.unwrap().file, b"a b");
        let long = with_source(&"\u{e9}".repeat(900), 1, b"x");
        assert!(split_source(&long).1.ends_with(b"x"));
        for none in [
            "",
            "1 a",
            "x a\0b",
            "1\0b",
            "1 /a\0b",
            "-1 a\0b",
            "99999999999 a\0b",
        ] {
            assert_eq!(split_source(none.as_bytes()), (None, none.as_bytes()));
        }
    }
}
