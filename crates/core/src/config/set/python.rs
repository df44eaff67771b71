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
        // As C reads numbers, with blanks in front.
        let number = value.trim_start_matches([' ', '\t', '\n', '\x0b', '\x0c', '\r']);
        let digits = number.bytes().all(|byte| byte.is_ascii_digit());
        let seed = number.parse::<u32>().ok().filter(|_| digits);
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
    use crate::config::Global;
    use crate::config::testing::Reading;
    use crate::python::HashSeed;

    fn global(lines: &str) -> Global {
        Reading::of(lines).global
    }

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

    /// DIR-088, DOC-11: random is random; numbers are decimal and of 32 bits.
    #[test]
    fn hash_seeds() {
        for (text, seed) in [
            ("random", HashSeed::Random),
            ("0", HashSeed::Fixed(0)),
            ("007", HashSeed::Fixed(7)),
            ("\" 5\"", HashSeed::Fixed(5)),
            ("\"\t5\"", HashSeed::Fixed(5)),
            ("4294967295", HashSeed::Fixed(u32::MAX)),
        ] {
            let found = global(&format!("WSGIPythonHashSeed {text}"));
            assert_eq!(found.hash_seed, seed);
        }
        assert_eq!(global("").hash_seed, HashSeed::Default);
        for text in [
            "Random",
            "4294967296",
            "+1",
            "-0",
            "0x1",
            "1x",
            "\"1 \"",
            "\" \"",
            "\" -0\"",
        ] {
            let message = Reading::refusal(&format!("WSGIPythonHashSeed {text}"));
            assert!(message.contains("WSGIPythonHashSeed"), "{message}");
        }
    }

    /// DIR-085, GEN-10: as C reads it, over 0 as it is, with a warning where it is more than a number.
    #[test]
    fn optimisation() {
        for (text, level, warns) in [
            ("2", 2, false),
            ("5", 5, false),
            ("-1", 0, false),
            ("2x", 2, true),
            ("abc", 0, true),
            ("99999999999", i32::MAX, false),
        ] {
            let found = global(&format!("WSGIPythonOptimize {text}"));
            assert_eq!(found.optimize, level, "{text}");
            assert_eq!(found.notices.len(), usize::from(warns), "{text}");
        }
    }

    /// DIR-089, GEN-11: at top level, and in a section for its interpreters only.
    #[test]
    fn switch_intervals() {
        let found = global(
            "WSGISwitchInterval 1\n<WSGIInterpreterOptions>\nWSGISwitchInterval 0.5\n</WSGIInterpreterOptions>",
        );
        assert_eq!(found.interpreters.switch_interval, Some(1.0));
        let block = &found.interpreter_blocks[0];
        assert_eq!(block.rule.switch_interval, Some(0.5));
        for text in ["0", "-1", "1s", "x", "inf", "nan"] {
            Reading::refusal(&format!("WSGISwitchInterval {text}"));
        }
    }

    /// DIR-081, DIR-083, DIR-084, DIR-086, DIR-087, DIR-090, DIR-093: the last one counts; filters of warnings add up.
    #[test]
    fn last_values() {
        let found = global(
            "WSGIPythonHome /a\nWSGIPythonHome '/b c'
             WSGIPythonPath /a:/b\nWSGIPythonPath /c::/d:
             WSGIPythonEggs /a\nWSGIPythonEggs /b
             WSGIPythonWarnings one\nWSGIPythonWarnings 'two 2'
             WSGIDontWriteBytecode Off\nWSGIDontWriteBytecode On
             WSGIDestroyInterpreter On\nWSGIDestroyInterpreter Off
             WSGICaseSensitivity Off\nWSGICaseSensitivity on",
        );
        assert_eq!(found.python_home.as_deref(), Some("/b c"));
        assert_eq!(found.python_path, ["/c", "/d"]);
        assert_eq!(found.python_eggs.as_deref(), Some("/b"));
        assert_eq!(found.warnings, ["one", "two 2"]);
        assert_eq!(found.dont_write_bytecode, Some(true));
        assert_eq!(found.destroy_interpreter, Some(false));
        assert_eq!(found.case_sensitivity, Some(true));
    }

    /// DIR-094, DIR-095: selectors, and directives inside and behind a section.
    #[test]
    fn sections() {
        let found = global(
            "<WSGIInterpreterOptions Process-Group=a APPLICATION-GROUP=%{GLOBAL} >
             WSGIPerInterpreterGIL On\nWSGIFreeThreading On\nWSGISwitchInterval 0.1
             WSGIRestrictStdin On\nWSGIRestrictStdout On\nWSGIRestrictSignal Off
             WSGIPythonPath /a:/b
             </WSGIInterpreterOptions>
             WSGIRestrictStdin Off
             <WSGIInterpreterOptions>
             </WSGIInterpreterOptions>",
        );
        let block = &found.interpreter_blocks[0];
        assert_eq!(block.process_group.as_deref(), Some("a"));
        assert_eq!(block.specificity(), 2);
        let rule = &block.rule;
        assert_eq!(rule.application_group.as_deref(), Some(""));
        let switches = [
            rule.per_interpreter_gil,
            rule.free_threading,
            rule.restrict_stdin,
            rule.restrict_stdout,
            rule.restrict_signal,
        ];
        assert_eq!(
            switches,
            [Some(true), Some(true), Some(true), Some(true), Some(false)]
        );
        assert_eq!((rule.switch_interval, rule.path.len()), (Some(0.1), 2));
        assert_eq!(found.interpreters.restrict_stdin, Some(false));
        assert!(found.python_path.is_empty());
        assert_eq!(found.interpreter_blocks[1].specificity(), 0);
        // DIR-092: but for what is decided for a whole process.
        let [notice] = &found.notices[..] else {
            panic!("{found:?}")
        };
        assert!(notice.text.starts_with("WSGI0201: WSGIFreeThreading"));
        let line = "<WSGIInterpreterOptions";
        for rest in [
            "",
            " process-group=a",
            " process-group>",
            " what=a>",
            " process-group= a>",
            " process-group=a Process-Group=a>",
            " process-group=\"a b\">",
        ] {
            let message = Reading::refusal(&format!("{line}{rest}"));
            assert!(
                message.starts_with("<WSGIInterpreterOptions>: "),
                "{message}"
            );
        }
    }

    /// DIR-096, DOC-05: what does not belong into a section acts as if it stood outside, with a warning; so a section in another.
    #[test]
    fn foreigners_in_sections() {
        let found = global(
            "<WSGIInterpreterOptions application-group=outer>
             WSGIPythonOptimize 1
             <WSGIInterpreterOptions application-group=inner>
             WSGIRestrictStdin On
             </WSGIInterpreterOptions>
             WSGIRestrictStdout On
             </WSGIInterpreterOptions>
             WSGIRestrictSignal On",
        );
        assert_eq!(found.optimize, 1);
        let [outer, inner] = &found.interpreter_blocks[..] else {
            panic!("{found:?}")
        };
        assert_eq!(inner.rule.restrict_stdin, Some(true));
        assert_eq!(inner.rule.restrict_stdout, None);
        assert_eq!(outer.rule.restrict_stdout, Some(true));
        assert_eq!(outer.rule.restrict_stdin, None);
        assert_eq!(found.interpreters.restrict_signal, Some(true));
        assert_eq!(found.open_block, None);
        let texts: Vec<_> = found.notices.iter().map(|notice| &notice.text).collect();
        assert_eq!(texts.len(), 2);
        assert!(texts.iter().all(|text| text.starts_with("WSGI5003: ")));
        assert!(texts[0].contains("WSGIPythonOptimize at httpd.conf:1"));
    }
}
