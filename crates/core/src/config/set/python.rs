//! Directives about Python itself, and the section that says them for some interpreters only.

use super::Done;
use crate::config::global::InterpreterBlock;
use crate::config::values::{global, leading_number, path_list, positive_float, switch};
use crate::config::{ConfigError, NoticeLevel, Place, words};
use crate::python::HashSeed;

/// DIR-088, API-012.
pub(in crate::config) fn hash_seed(name: &'static str, value: &str, place: &mut Place<'_>) -> Done {
    place.global.hash_seed = if value == "random" {
        HashSeed::Random
    } else {
        let digits = value.bytes().all(|byte| byte.is_ascii_digit());
        let seed = value.parse::<u32>().ok().filter(|_| digits);
        HashSeed::Fixed(seed.ok_or_else(|| ConfigError::Value {
            directive: name,
            what: "the argument".to_owned(),
            value: value.to_owned(),
            expected: "must be random, or a number from 0 to 4294967295".to_owned(),
        })?)
    };
    Ok(())
}

/// GEN-10, DIR-085.
pub(in crate::config) fn optimize(name: &'static str, value: &str, place: &mut Place<'_>) -> Done {
    let (number, whole) = leading_number(value);
    if !whole {
        let text =
            format!("WSGI5001: {name} {value} was read as {number}; write the number alone.");
        place.global.notice(NoticeLevel::Warn, text);
    }
    place.global.optimize = i32::try_from(number.max(0)).unwrap_or(i32::MAX);
    Ok(())
}

/// DIR-089.
pub(in crate::config) fn switch_interval(
    name: &'static str,
    value: &str,
    place: &mut Place<'_>,
) -> Done {
    let interval = positive_float(value).ok_or_else(|| ConfigError::Value {
        directive: name,
        what: "the argument".to_owned(),
        value: value.to_owned(),
        expected: "must be a number of seconds over 0".to_owned(),
    })?;
    place.global.rule().switch_interval = Some(interval);
    Ok(())
}

/// DIR-092, DIR-100: a whole process has a GIL or none.
pub(in crate::config) fn free_threading(
    name: &'static str,
    value: &str,
    place: &mut Place<'_>,
) -> Done {
    let is_wanted = switch(name, value)?;
    let rule = place.global.rule();
    rule.free_threading = Some(is_wanted);
    if rule.application_group.is_some() {
        let text = format!(
            "WSGI0201: {name} at {}:{} is ignored: a section with application-group cannot say it, because it is decided \
             for a whole process.",
            place.file, place.line
        );
        place.global.notice(NoticeLevel::Warn, text);
    }
    Ok(())
}

/// DIR-083: at top level the path of embedded mode, in a section a layer of its own.
pub(in crate::config) fn python_path(value: &str, place: &mut Place<'_>) -> Done {
    let entries = path_list(value);
    if place.global.open_block.is_some() {
        place.global.rule().path = entries;
    } else {
        place.global.python_path = entries;
    }
    Ok(())
}

/// DIR-094.
pub(in crate::config) fn open_block(name: &'static str, line: &str, place: &mut Place<'_>) -> Done {
    let section = |text: &str| ConfigError::Section(format!("<{name}>: {text}"));
    // As httpd's own sections do it: what stands behind the last '>' does not count.
    let end = line.rfind('>');
    let end = end.ok_or_else(|| section("the closing '>' is missing"))?;
    let mut block = InterpreterBlock::default();
    for word in words::all(&line[..end]) {
        let Some((selector, value)) = word.split_once('=') else {
            return Err(section(&format!(
                "'{word}' is not process-group=NAME or application-group=NAME"
            )));
        };
        let slot = match selector.to_ascii_lowercase().as_str() {
            "process-group" => &mut block.process_group,
            "application-group" => &mut block.rule.application_group,
            _ => return Err(section(&format!("there is no selector '{selector}'"))),
        };
        if slot.replace(global(unquoted(value))).is_some() {
            return Err(section(&format!("'{selector}' is given twice")));
        }
    }
    if place.global.open_block.is_some() {
        let text = format!(
            "WSGI5003: <{name}> at {}:{} stands inside another one.",
            place.file, place.line
        );
        place.global.notice(NoticeLevel::Warn, text);
    }
    let global = &mut place.global;
    block.outer = global.open_block;
    global.interpreter_blocks.push(block);
    global.open_block = Some(global.interpreter_blocks.len() - 1);
    Ok(())
}

/// `name` of `"name"`: the words of the section are whole, so that quotes of a value are still there.
fn unquoted(value: &str) -> &str {
    let inner = |quote| value.strip_prefix(quote)?.strip_suffix(quote);
    inner('"').or_else(|| inner('\'')).unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use super::unquoted;

    /// DIR-094: quotes around a name are not part of it.
    #[test]
    fn quotes_of_names() {
        for (value, name) in [
            ("a", "a"),
            ("\"a\"", "a"),
            ("'a'", "a"),
            ("\"a", "\"a"),
            ("\"", "\""),
            ("", ""),
        ] {
            assert_eq!(unquoted(value), name);
        }
    }
}
