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
    // Of one flag the last word decides, whether the words replace the set or edit it.
    let mut set = place.global.telemetry_user_agent;
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

#[cfg(test)]
mod tests {
    use crate::config::testing::Reading;

    /// DIR-151: path and interval.
    #[test]
    fn services() {
        for (line, path, interval) in [
            ("unix:/x", "/x", 1.0),
            ("\"unix:/x y\"", "/x y", 1.0),
            ("unix:x interval=0.5", "x", 0.5),
            ("unix:/x interval=2.5s", "/x", 2.5),
        ] {
            let reading = Reading::of(&format!("WSGITelemetryService {line}"));
            let found = reading.global.telemetry_service;
            assert_eq!(found, Some((path.to_owned(), interval)));
        }
        for line in [
            "",
            "/x",
            "unix:",
            "UNIX:/x",
            "udp:localhost:99",
            "unix:/x 5",
            "unix:/x interval=",
            "unix:/x interval=0.49",
            "unix:/x interval=-1",
            "unix:/x interval=inf",
            "unix:/x interval=nan",
            "unix:/x Interval=1",
            "unix:/x interval=1 interval=1",
        ] {
            let message = Reading::refusal(&format!("WSGITelemetryService {line}"));
            assert!(message.contains("WSGITelemetryService"), "{message}");
        }
    }

    /// DIR-152: plain flags replace the set, signed ones edit it.
    #[test]
    fn options() {
        for (lines, set) in [
            (&["CaptureUserAgent"][..], true),
            (&["+captureuseragent"], true),
            (&["ALL"], true),
            (&["None CaptureUserAgent"], true),
            (&["CaptureUserAgent none"], false),
            (&["All", "None"], false),
            (&["All", "-CaptureUserAgent"], false),
            (&["+CaptureUserAgent -CaptureUserAgent"], false),
            (&["None", "+CaptureUserAgent"], true),
        ] {
            let lines: Vec<_> = lines
                .iter()
                .map(|line| format!("WSGITelemetryOptions {line}"))
                .collect();
            let reading = Reading::of(&lines.join("\n"));
            assert_eq!(reading.global.telemetry_user_agent, set, "{lines:?}");
        }
        for line in [
            "",
            "+",
            "-",
            "What",
            "++CaptureUserAgent",
            "+-CaptureUserAgent",
            "+All",
            "-None",
            "+CaptureUserAgent CaptureUserAgent",
            "All -CaptureUserAgent",
        ] {
            let message = Reading::refusal(&format!("WSGITelemetryOptions {line}"));
            assert!(message.contains("WSGITelemetryOptions"), "{message}");
        }
    }

    /// DIR-153, GEN-11, DOC-10: 0 and what is no number are off.
    #[test]
    fn slow_requests() {
        for (text, seconds) in [
            ("2.5", 2.5),
            ("2x", 2.0),
            ("\" 3\"", 3.0),
            ("0", 0.0),
            ("abc", 0.0),
            ("-abc", 0.0),
            ("nan", 0.0),
            ("inf", 0.0),
        ] {
            let reading = Reading::of(&format!("WSGISlowRequests {text}"));
            assert_eq!(reading.global.slow_requests, seconds, "{text}");
        }
        for text in ["-1", "-0.1x", "-inf"] {
            Reading::refusal(&format!("WSGISlowRequests {text}"));
        }
    }
}
