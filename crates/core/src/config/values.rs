//! What the words of a directive can mean: switches, numbers, names, lists and options. Nothing here keeps anything.

use super::{ConfigError, words};

/// The argument of a directive that is On or Off, in any case (GEN-05).
pub(super) fn switch(directive: &'static str, value: &str) -> Result<bool, ConfigError> {
    on_or_off(value).ok_or_else(|| ConfigError::Switch {
        directive,
        value: value.to_owned(),
        allowed: "On or Off",
    })
}

/// The value of an option that is On or Off, in any case (GEN-05, DIR-002).
pub(super) fn option_switch(
    directive: &'static str,
    option: &str,
    value: &str,
) -> Result<bool, ConfigError> {
    on_or_off(value).ok_or_else(|| ConfigError::Value {
        directive,
        what: format!("option '{option}'"),
        value: value.to_owned(),
        expected: "must be On or Off".to_owned(),
    })
}

fn on_or_off(value: &str) -> Option<bool> {
    if value.eq_ignore_ascii_case("on") {
        Some(true)
    } else if value.eq_ignore_ascii_case("off") {
        Some(false)
    } else {
        None
    }
}

/// What C's atoi reads, and whether that was the whole text (GEN-10). What is beyond 64 bits stays at their end.
pub(super) fn leading_number(text: &str) -> (i64, bool) {
    let trimmed = text.trim_start_matches(words::is_blank);
    let unsigned = trimmed.strip_prefix(['+', '-']).unwrap_or(trimmed);
    let digits = unsigned.bytes().take_while(u8::is_ascii_digit).count();
    let number = unsigned[..digits].bytes().fold(0_i64, |number, digit| {
        number
            .saturating_mul(10)
            .saturating_add(i64::from(digit - b'0'))
    });
    let number = if trimmed.starts_with('-') {
        -number
    } else {
        number
    };
    (number, digits > 0 && digits == unsigned.len())
}

/// A number over 0 that takes the whole text but blanks in front (GEN-11). Not `inf`, `nan` or hexadecimal.
pub(super) fn positive_float(text: &str) -> Option<f64> {
    text.trim_start_matches(words::is_blank)
        .parse::<f64>()
        .ok()
        .filter(|value| value.is_finite() && *value > 0.0)
}

/// What C's atof reads (GEN-11); 0 for what is no number. May be infinite.
pub(super) fn leading_float(text: &str) -> f64 {
    let text = text.trim_start_matches(words::is_blank);
    (1..=text.len())
        .rev()
        .filter(|end| text.is_char_boundary(*end))
        .find_map(|end| text[..end].parse::<f64>().ok())
        .filter(|value| !value.is_nan())
        .unwrap_or(0.0)
}

/// `3.13`, `3.13t`.
pub(super) fn is_version(text: &str) -> bool {
    let text = text.strip_suffix('t').unwrap_or(text);
    text.split_once('.').is_some_and(|(major, minor)| {
        [major, minor]
            .iter()
            .all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()))
    })
}

/// Entries of a path list.
pub(super) fn path_list(text: &str) -> Vec<String> {
    text.split(':')
        .filter(|entry| !entry.is_empty())
        .map(str::to_owned)
        .collect()
}

/// Names for an error message.
pub(super) fn known(what: &str, names: impl Iterator<Item = &'static str>) -> String {
    format!(
        "{what} are name=value without blanks before '=', names: {}.",
        names.collect::<Vec<_>>().join(" ")
    )
}

/// `%{GLOBAL}` is the empty name.
pub(super) fn global(name: &str) -> String {
    if name == "%{GLOBAL}" {
        String::new()
    } else {
        name.to_owned()
    }
}

pub(super) fn arguments(directive: &'static str, expected: &'static str) -> ConfigError {
    ConfigError::Arguments {
        directive,
        expected,
    }
}

/// Takes a non-empty word.
pub(super) fn word(
    line: &mut &str,
    directive: &'static str,
    expected: &'static str,
) -> Result<String, ConfigError> {
    words::next(line)
        .filter(|word| !word.is_empty())
        .ok_or_else(|| arguments(directive, expected))
}

/// Walks through the options of a line; `take` says whether it knows the name.
pub(super) fn options(
    directive: &'static str,
    line: &mut &str,
    names: &[&'static str],
    mut take: impl FnMut(&str, String) -> Result<(), ConfigError>,
) -> Result<(), ConfigError> {
    let invalid = |option: String| ConfigError::Option {
        directive,
        option,
        hint: known("Options", names.iter().copied()),
    };
    while let Some((name, value)) = words::option(line).map_err(invalid)? {
        if !names.contains(&name.as_str()) {
            return Err(invalid(name));
        }
        take(&name, value)?;
    }
    Ok(())
}

/// A value of a group option, which may not be empty.
pub(super) fn group_value(
    directive: &'static str,
    option: &str,
    value: String,
) -> Result<String, ConfigError> {
    if value.is_empty() {
        let what = format!("option '{option}'");
        return Err(ConfigError::Value {
            directive,
            what,
            value,
            expected: "must be a name".to_owned(),
        });
    }
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// GEN-10: C's atoi, and whether the whole text was a number.
    #[test]
    fn leading_numbers() {
        for (text, number, whole) in [
            ("5", 5, true),
            ("05", 5, true),
            ("+5", 5, true),
            ("-5", -5, true),
            (" \t5", 5, true),
            ("-0", 0, true),
            ("5s", 5, false),
            ("5 ", 5, false),
            ("1.5", 1, false),
            ("0x10", 0, false),
            ("abc", 0, false),
            ("", 0, false),
            ("+", 0, false),
            ("+-5", 0, false),
            ("- 5", 0, false),
            ("\u{a0}5", 0, false),
            ("99999999999999999999", i64::MAX, true),
            ("-99999999999999999999", -i64::MAX, true),
        ] {
            assert_eq!(leading_number(text), (number, whole), "{text:?}");
        }
    }

    /// GEN-11: C's atof.
    #[test]
    fn leading_floats() {
        for (text, number) in [
            ("1.5", 1.5),
            (".5", 0.5),
            ("5.", 5.0),
            ("1e3", 1000.0),
            ("1e", 1.0),
            ("1e+x", 1.0),
            (" -2.5x", -2.5),
            ("2é", 2.0),
            ("abc", 0.0),
            ("", 0.0),
            ("nan", 0.0),
            ("-inf", f64::NEG_INFINITY),
        ] {
            assert_eq!(leading_float(text), number, "{text:?}");
        }
    }

    /// DP-50: what names a Python.
    #[test]
    fn versions() {
        for text in ["3.11", "3.13t"] {
            assert!(is_version(text), "{text}");
        }
        for text in ["", "3", "3.", ".3", "3.x", "3.11.2", "t", "3.13T", "-3.1"] {
            assert!(!is_version(text), "{text}");
        }
    }

    proptest! {
        /// GEN-10: what is a number of 64 bits for Rust is the same one here.
        #[test]
        fn numbers_are_numbers(number in -i64::MAX..=i64::MAX, rest in "([a-z. ].{0,5})?") {
            let found = leading_number(&format!(" {number}{rest}"));
            prop_assert_eq!(found, (number, rest.is_empty()));
        }

        /// GEN-11: any text is a number, and a whole number over 0 is read alike in both ways.
        #[test]
        fn floats(text in "[-+.0-9eE ]{0,6}.{0,3}", number in 0.001..1e9_f64) {
            prop_assert!(!leading_float(&text).is_nan());
            prop_assert_eq!(positive_float(&number.to_string()), Some(number));
            prop_assert_eq!(leading_float(&format!("{number}s")), number);
        }

        /// DIR-083: no empty entries, and nothing is lost.
        #[test]
        fn paths(entries in proptest::collection::vec("[^:]{0,4}", 0..5)) {
            let wanted: Vec<_> = entries.iter().filter(|entry| !entry.is_empty()).cloned().collect();
            prop_assert_eq!(path_list(&entries.join(":")), wanted);
        }
    }
}
