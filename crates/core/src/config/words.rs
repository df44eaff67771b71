//! Apache's rules for the words of a directive (GEN-04): separated by white space, quoted with `"` or `'`, in which a backslash
//! stands before the quote or a backslash; outside of quotes before a backslash only. And options, which are words of the form
//! `name=value` (GEN-07, GEN-08). As in Apache, white space is that of ASCII.

/// What separates words: C's `isspace` in the C locale.
pub(super) fn is_blank(character: char) -> bool {
    matches!(character, ' ' | '\t'..='\r')
}

/// Takes the next word off the front of `line`; None at its end. A quote that is not closed goes to the end of the line, as with
/// Apache.
pub fn next(line: &mut &str) -> Option<String> {
    let rest = line.trim_start_matches(is_blank);
    let mut characters = rest.char_indices();
    let Some((_, first)) = characters.next() else {
        *line = rest;
        return None;
    };
    if first != '"' && first != '\'' {
        let end = rest.find(is_blank).unwrap_or(rest.len());
        *line = &rest[end..];
        return Some(rest[..end].replace("\\\\", "\\"));
    }
    let mut word = String::new();
    let mut escaped = false;
    for (position, character) in characters {
        if escaped {
            if character != first && character != '\\' {
                word.push('\\');
            }
            word.push(character);
            escaped = false;
        } else if character == '\\' {
            escaped = true;
        } else if character == first {
            *line = &rest[position + first.len_utf8()..];
            return Some(word);
        } else {
            word.push(character);
        }
    }
    if escaped {
        word.push('\\');
    }
    *line = "";
    Some(word)
}

/// All words of a line.
pub fn all(line: &str) -> Vec<String> {
    let mut line = line;
    std::iter::from_fn(|| next(&mut line)).collect()
}

/// Takes the next option off the front of `line`: name and value. None at the end; an error is the text that is no option.
///
/// # Errors
/// No `=`, nothing or white space before it (GEN-07); a quoted token (GEN-08). White space behind it is skipped: `user= a` is
/// `user=a`, as in mod_wsgi.
pub fn option(line: &mut &str) -> Result<Option<(String, String)>, String> {
    let rest = line.trim_start_matches(is_blank);
    if rest.is_empty() {
        *line = rest;
        return Ok(None);
    }
    let shown = || rest.split(is_blank).next().unwrap_or(rest).to_owned();
    let stop = rest.find(|c: char| c == '=' || is_blank(c) || c == '"' || c == '\'');
    let Some(stop) = stop.filter(|&stop| stop > 0 && rest[stop..].starts_with('=')) else {
        return Err(shown());
    };
    let name = rest[..stop].to_owned();
    let mut value_line = &rest[stop + 1..];
    let value = next(&mut value_line).unwrap_or_default();
    *line = value_line;
    Ok(Some((name, value)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// GEN-04.
    #[test]
    fn words_and_quotes() {
        assert_eq!(
            all(r#" a  "b c" 'd "e' "f\"g\\h" "#),
            ["a", "b c", "d \"e", "f\"g\\h"]
        );
        assert_eq!(all(r#""a\b""#), ["a\\b"]);
        assert_eq!(all(r#""open end"#), ["open end"]);
        assert_eq!(all(r#""" x"#), ["", "x"]);
        assert!(all("  ").is_empty());
        // What follows a closing quote is a word of its own; inside of a word a quote is nothing special.
        assert_eq!(all(r#""a"b c"d e""#), ["a", "b", "c\"d", "e\""]);
        // Outside of quotes, only a backslash can be escaped.
        assert_eq!(all(r#"a\\b a\"b a\ b"#), [r"a\b", r#"a\"b"#, r"a\", "b"]);
        // Only ASCII separates words.
        assert_eq!(all("a\u{a0}b\u{3000}c\u{b}d"), ["a\u{a0}b\u{3000}c", "d"]);
    }

    /// GEN-07, GEN-08, DMN-003.
    #[test]
    fn options() {
        let mut line = "user=\"a b\" threads=5\tlang= home=/ locale=\"\"umask='7' x";
        for (name, value) in [
            ("user", "a b"),
            ("threads", "5"),
            ("lang", "home=/"),
            ("locale", ""),
            ("umask", "7"),
        ] {
            assert_eq!(option(&mut line), Ok(Some((name.into(), value.into()))));
        }
        assert_eq!(option(&mut line), Err("x".into()));
        let mut line = "home=";
        assert_eq!(option(&mut line), Ok(Some(("home".into(), String::new()))));
        assert_eq!(option(&mut line), Ok(None));
        for bad in [
            "threads =5",
            "=5",
            "threads",
            "\"user=a\"",
            "\"user\"=a",
            "us'er=a",
            " = 5",
            "\"\"",
        ] {
            let mut line = bad;
            assert!(option(&mut line).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn any_line_is_split(line in ".{0,40}") {
            let mut rest = line.as_str();
            while let Ok(Some(_)) = option(&mut rest) {}
            let _ = all(&line);
        }

        #[test]
        fn quoting_round_trips(word in ".{0,20}") {
            let quoted = format!("\"{}\"", word.replace('\\', "\\\\").replace('"', "\\\""));
            prop_assert_eq!(all(&quoted), vec![word]);
        }
    }
}
