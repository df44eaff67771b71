//! Directives about measurements.

use super::Done;
use crate::config::values::{arguments, leading_float, word};
use crate::config::{ConfigError, Place, words};

/// DIR-150 ff.
pub(in crate::config) fn telemetry_service(
    name: &'static str,
    line: &str,
    place: &mut Place<'_>,
) -> Done {
    let mut line = line;
    let wrong = |value: String, expected: &str| ConfigError::Value {
        directive: name,
        what: "an argument".to_owned(),
        value,
        expected: expected.to_owned(),
    };
    let target = word(&mut line, name, "unix:/path and interval=SECONDS")?;
    let path = target.strip_prefix("unix:").filter(|path| !path.is_empty());
    let path = path
        .ok_or_else(|| wrong(target.clone(), "must be unix:/path"))?
        .to_owned();
    let interval = match words::all(line).as_slice() {
        [] => 1.0,
        [word] => word
            .strip_prefix("interval=")
            .map(leading_float)
            .filter(|seconds| seconds.is_finite() && *seconds >= 0.5)
            .ok_or_else(|| wrong(word.clone(), "must be interval=SECONDS, 0.5 or more"))?,
        _ => return Err(arguments(name, "unix:/path and interval=SECONDS")),
    };
    place.global.telemetry_service = Some((path, interval));
    Ok(())
}

/// DIR-152.
pub(in crate::config) fn telemetry_options(
    name: &'static str,
    line: &str,
    place: &mut Place<'_>,
) -> Done {
    let all = words::all(line);
    let wrong = |value: &str, expected: &str| ConfigError::Value {
        directive: name,
        what: "a flag".to_owned(),
        value: value.to_owned(),
        expected: expected.to_owned(),
    };
    const SIGNS: [char; 2] = ['+', '-'];
    let signed = |word: &String| word.starts_with(SIGNS);
    let Some(first) = all.first() else {
        return Err(arguments(
            name,
            "at least one of CaptureUserAgent, None, All",
        ));
    };
    if all.iter().any(|word| signed(word) != signed(first)) {
        return Err(wrong(
            line.trim(),
            "either all flags have + or -, or none has",
        ));
    }
    let mut set = signed(first) && place.global.telemetry_user_agent;
    for word in &all {
        let flag = word
            .strip_prefix(SIGNS)
            .unwrap_or(word)
            .to_ascii_lowercase();
        set = match (flag.as_str(), word.as_bytes()) {
            ("captureuseragent", [b'-', ..]) => false,
            ("captureuseragent", _) => true,
            ("none", [b'N' | b'n', ..]) => false,
            ("all", [b'A' | b'a', ..]) => true,
            _ => {
                return Err(wrong(
                    word,
                    "must be CaptureUserAgent, None or All, the last two without a sign",
                ));
            }
        };
    }
    place.global.telemetry_user_agent = set;
    Ok(())
}

/// DIR-153.
pub(in crate::config) fn slow_requests(
    name: &'static str,
    value: &str,
    place: &mut Place<'_>,
) -> Done {
    let seconds = leading_float(value);
    if seconds < 0.0 {
        return Err(ConfigError::Value {
            directive: name,
            what: "the argument".to_owned(),
            value: value.to_owned(),
            expected: "must be a number of seconds, 0 or more".to_owned(),
        });
    }
    // What no request can reach is as good as off.
    place.global.slow_requests = if seconds.is_finite() { seconds } else { 0.0 };
    Ok(())
}
