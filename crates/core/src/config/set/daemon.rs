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
    if path.len() + SUFFIX >= limit {
        let expected = format!(
            "must be a path of at most {} bytes, because the names of sockets made from it may have {limit}",
            limit.saturating_sub(SUFFIX + 1)
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
