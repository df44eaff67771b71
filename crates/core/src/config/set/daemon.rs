//! Directives about daemon processes and the sockets to them.

use super::Done;
use crate::config::options::set_option;
use crate::config::values::{known, word};
use crate::config::{ConfigError, DAEMON_OPTIONS, DaemonGroup, DaemonOptions, Place, words};

/// DP-01 and the option rows.
pub(in crate::config) fn daemon_process(
    name: &'static str,
    line: &str,
    place: &mut Place<'_>,
) -> Done {
    let mut line = line;
    let group = word(&mut line, name, "a name and options")?;
    if place
        .global
        .daemon_groups
        .iter()
        .any(|known| known.name == group)
    {
        return Err(ConfigError::DuplicateGroup(group));
    }
    let mut values = DaemonOptions::default();
    loop {
        let option = words::option(&mut line).map_err(|option| ConfigError::Option {
            directive: name,
            option,
            hint: known("Options", DAEMON_OPTIONS.iter().map(|row| row.name)),
        })?;
        let Some((option, value)) = option else { break };
        set_option(&mut values, place, &group, &option, &value)?;
    }
    if values.script_user.is_some() && values.script_group.is_some() {
        let hint = "script-user and script-group cannot be used together.".to_owned();
        return Err(ConfigError::Option {
            directive: name,
            option: "script-group".to_owned(),
            hint,
        });
    }
    let id = u32::try_from(place.global.daemon_groups.len() + 1).unwrap_or(u32::MAX);
    place.global.daemon_groups.push(DaemonGroup {
        name: group,
        id,
        server_ordinal: place.server_ordinal,
        // Known when the whole configuration was read.
        server_name: None,
        options: values,
    });
    Ok(())
}

/// DIR-060, DMN-106: a prefix that leaves no room for the rest of the name is refused here rather than at bind.
pub(in crate::config) fn socket_prefix(
    name: &'static str,
    value: &str,
    place: &mut Place<'_>,
) -> Done {
    let wrong = |expected: String| ConfigError::Value {
        directive: name,
        what: "the argument".to_owned(),
        value: value.to_owned(),
        expected,
    };
    let path = place.host.server_root_relative(value);
    let path = path
        .ok_or_else(|| wrong("must be a path that is absolute or below ServerRoot".to_owned()))?;
    // `.PID.GENERATION.ID.sock` with everything at its longest that is likely.
    const SUFFIX: usize = ".4194304.99999.99.sock".len();
    let limit = place.host.socket_path_limit();
    if path.len() + SUFFIX > limit {
        let expected = format!(
            "must be a path of at most {} bytes, because the names of sockets made from it may have {limit}",
            limit.saturating_sub(SUFFIX)
        );
        return Err(wrong(expected));
    }
    place.global.socket_prefix = Some(path);
    Ok(())
}

/// DIR-062.
pub(in crate::config) fn accept_mutex(
    name: &'static str,
    value: &str,
    place: &mut Place<'_>,
) -> Done {
    const KNOWN: &[&str] = &[
        "default", "flock", "fcntl", "sysvsem", "posixsem", "pthread",
    ];
    if !KNOWN.iter().any(|known| known.eq_ignore_ascii_case(value)) {
        return Err(ConfigError::Value {
            directive: name,
            what: "the argument".to_owned(),
            value: value.to_owned(),
            expected: format!("must be one of {}", KNOWN.join(", ")),
        });
    }
    place.global.accept_mutex = Some(value.to_ascii_lowercase());
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::config::testing::Reading;

    /// DP-01, MRG-08: one list over all servers, in file order, each with its server.
    #[test]
    fn names_of_groups() {
        let mut reading = Reading::of("WSGIDaemonProcess a\nWSGIDaemonProcess 'b c' threads=1");
        reading.host(Some("host"));
        reading.lines("WSGIDaemonProcess A");
        let groups = reading.global.daemon_groups.iter();
        let groups: Vec<_> = groups
            .map(|group| (group.name.as_str(), group.id, group.server_ordinal))
            .collect();
        assert_eq!(groups, [("a", 1, 0), ("b c", 2, 0), ("A", 3, 1)]);
        let again = reading.line("WSGIDaemonProcess a").unwrap_err().to_string();
        assert!(again.contains("WSGIDaemonProcess 'a'"), "{again}");
        for line in ["WSGIDaemonProcess", "WSGIDaemonProcess \"\""] {
            let message = Reading::refusal(line);
            assert!(
                message.starts_with("WSGIDaemonProcess takes a name"),
                "{message}"
            );
        }
    }

    /// DIR-060, DMN-106: absolute, and short enough for a socket's name.
    #[test]
    fn socket_prefixes() {
        for (text, path) in [("run/wsgi", "/root/run/wsgi"), ("/run/wsgi", "/run/wsgi")] {
            let reading = Reading::of(&format!("WSGISocketPrefix {text}"));
            assert_eq!(reading.global.socket_prefix.as_deref(), Some(path));
        }
        Reading::refusal("WSGISocketPrefix ../x");
        let longest = format!("/{}", "x".repeat(84));
        Reading::of(&format!("WSGISocketPrefix {longest}"));
        let message = Reading::refusal(&format!("WSGISocketPrefix {longest}x"));
        assert!(message.contains("at most 85 bytes"), "{message}");
    }

    /// DIR-062, DOC-07: mechanisms in any case; others with the list of those that there are.
    #[test]
    fn accept_mutexes() {
        for name in [
            "default", "FLOCK", "fcntl", "sysvsem", "posixsem", "pthread",
        ] {
            let reading = Reading::of(&format!("WSGIAcceptMutex {name}"));
            assert_eq!(reading.global.accept_mutex, Some(name.to_ascii_lowercase()));
        }
        let message = Reading::refusal("WSGIAcceptMutex file:/x");
        assert!(message.contains("default, flock, fcntl"), "{message}");
        assert_eq!(Reading::new().global.accept_mutex, None);
    }

    /// DIR-063, DIR-110: switches of the whole server; not said is not Off.
    #[test]
    fn switches() {
        let reading = Reading::of("WSGISocketRotation off\nWSGIRestrictEmbedded ON");
        assert_eq!(reading.global.socket_rotation, Some(false));
        assert_eq!(reading.global.restrict_embedded, Some(true));
        let nothing = Reading::new();
        assert_eq!(nothing.global.socket_rotation, None);
        assert!(nothing.global.needs_embedded_python());
    }

    /// DIR-071: what brings Python into the children all the same.
    #[test]
    fn python_in_children() {
        for (lines, needed) in [
            ("WSGIRestrictEmbedded On", false),
            ("WSGIRestrictEmbedded On\nWSGIRestrictEmbedded Off", true),
            (
                "WSGIRestrictEmbedded On\nWSGIImportScript /x process-group=%{GLOBAL} application-group=a",
                true,
            ),
            (
                "WSGIRestrictEmbedded On\nWSGIDaemonProcess g\nWSGIImportScript /x process-group=g application-group=a",
                false,
            ),
        ] {
            let reading = Reading::of(lines);
            assert_eq!(reading.global.needs_embedded_python(), needed, "{lines}");
        }
    }
}
