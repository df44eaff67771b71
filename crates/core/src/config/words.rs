//! Apache's rules for the words of a directive (GEN-04): separated by white space, quoted with `"` or `'`, in which a backslash
//! stands before the quote or a backslash. And options, which are words of the form `name=value` (GEN-07, GEN-08).

/// Takes the next word off the front of `line`; None at its end. A quote that is not closed goes to the end of the line, as with
/// Apache.
pub fn next(line: &mut &str) -> Option<String> {
    let rest = line.trim_start();
    let mut characters = rest.char_indices();
    let Some((_, first)) = characters.next() else {
        *line = rest;
        return None;
    };
    if first != '"' && first != '\'' {
        let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
        *line = &rest[end..];
        return Some(rest[..end].to_owned());
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
/// No `=`, nothing before it, or white space around it (GEN-07); a quoted token (GEN-08).
pub fn option(line: &mut &str) -> Result<Option<(String, String)>, String> {
    let rest = line.trim_start();
    if rest.is_empty() {
        *line = rest;
        return Ok(None);
    }
    let shown = || rest.split_whitespace().next().unwrap_or(rest).to_owned();
    let stop = rest.find(|c: char| c == '=' || c.is_whitespace() || c == '"' || c == '\'');
    let Some(stop) = stop.filter(|&stop| stop > 0 && rest[stop..].starts_with('=')) else {
        return Err(shown());
    };
    let name = rest[..stop].to_owned();
    let mut value_line = &rest[stop + 1..];
    if value_line.is_empty() || value_line.starts_with(char::is_whitespace) {
        *line = value_line;
        return Ok(Some((name, String::new())));
    }
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
    }

    /// GEN-07, GEN-08, DMN-003.
    #[test]
    fn options() {
        let mut line = r#"user="a b" threads=5 home= x"#;
        assert_eq!(option(&mut line), Ok(Some(("user".into(), "a b".into()))));
        assert_eq!(option(&mut line), Ok(Some(("threads".into(), "5".into()))));
        assert_eq!(option(&mut line), Ok(Some(("home".into(), String::new()))));
        assert_eq!(option(&mut line), Err("x".into()));
        for bad in ["threads =5", "=5", "threads", "\"user=a\"", " = 5"] {
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
