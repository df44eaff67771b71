//! What the directives do to the settings: one function for each kind of directive, used by the rows of the table.

use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net};

use crate::python::HashSeed;

use super::directive::{Field, note_hook_script};
use super::global::{ImportScript, InterpreterBlock};
use super::layer::{HandlerScript, HookScript, MapHead, Reloading};
use super::options::set_option;
use super::{
    Alias, ConfigError, DaemonGroup, DaemonOptions, ModuleTarget, NoticeLevel, Place, words,
};

type Done = Result<(), ConfigError>;

/// On or Off in any case (GEN-05).
pub(super) fn switch(directive: &'static str, value: &str) -> Result<bool, ConfigError> {
    if value.eq_ignore_ascii_case("on") {
        Ok(true)
    } else if value.eq_ignore_ascii_case("off") {
        Ok(false)
    } else {
        Err(ConfigError::Switch {
            directive,
            value: value.to_owned(),
            allowed: "On or Off",
        })
    }
}

/// What C's atoi reads, and whether that was the whole text (GEN-10).
pub(super) fn leading_number(text: &str) -> (i64, bool) {
    let trimmed = text.trim_start();
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

/// A number over 0 that takes the whole text (GEN-11).
pub(super) fn positive_float(text: &str) -> Option<f64> {
    text.parse::<f64>()
        .ok()
        .filter(|value| value.is_finite() && *value > 0.0)
}

/// What C's atof reads (GEN-11).
fn leading_float(text: &str) -> f64 {
    let text = text.trim_start();
    (1..=text.len())
        .rev()
        .filter(|end| text.is_char_boundary(*end))
        .find_map(|end| text[..end].parse::<f64>().ok())
        .filter(|value| value.is_finite())
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
        "{what} are name=value without blanks around '=', names: {}.",
        names.collect::<Vec<_>>().join(" ")
    )
}

/// `%{GLOBAL}` is the empty name.
fn global(name: &str) -> String {
    if name == "%{GLOBAL}" {
        String::new()
    } else {
        name.to_owned()
    }
}

fn arguments(directive: &'static str, expected: &'static str) -> ConfigError {
    ConfigError::Arguments {
        directive,
        expected,
    }
}

/// Takes a non-empty word.
fn word(
    line: &mut &str,
    directive: &'static str,
    expected: &'static str,
) -> Result<String, ConfigError> {
    words::next(line)
        .filter(|word| !word.is_empty())
        .ok_or_else(|| arguments(directive, expected))
}

/// Walks through the options of a line; `take` says whether it knows the name.
fn options(
    directive: &'static str,
    line: &mut &str,
    names: &[&'static str],
    mut take: impl FnMut(&str, String) -> Done,
) -> Done {
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
fn group_value(
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
            expected: "a name".to_owned(),
        });
    }
    Ok(value)
}

pub(super) fn layer_switch(
    name: &'static str,
    value: &str,
    place: &mut Place<'_>,
    field: Field<bool>,
) -> Done {
    *field(place.layer()) = Some(switch(name, value)?);
    Ok(())
}

pub(super) fn layer_text(value: &str, place: &mut Place<'_>, field: Field<String>) -> Done {
    *field(place.layer()) = Some(value.to_owned());
    Ok(())
}

pub(super) fn map_head(name: &'static str, value: &str, place: &mut Place<'_>) -> Done {
    let mapping = match value.to_ascii_lowercase().as_str() {
        "auto" => MapHead::Auto,
        "on" => MapHead::On,
        "off" => MapHead::Off,
        _ => {
            let value = value.to_owned();
            return Err(ConfigError::Switch {
                directive: name,
                value,
                allowed: "Off, On or Auto",
            });
        }
    };
    place.layer().map_head_to_get = Some(mapping);
    Ok(())
}

/// DIR-120, and `Modules` for targets that are modules.
pub(super) fn script_reloading(name: &'static str, value: &str, place: &mut Place<'_>) -> Done {
    let reloading = if value.eq_ignore_ascii_case("modules") {
        Reloading::Modules
    } else {
        match switch(name, value) {
            Ok(true) => Reloading::On,
            Ok(false) => Reloading::Off,
            Err(_) => {
                return Err(ConfigError::Switch {
                    directive: name,
                    value: value.to_owned(),
                    allowed: "On, Off or Modules",
                });
            }
        }
    };
    place.layer().script_reloading = Some(reloading);
    Ok(())
}

pub(super) fn restrict_process(value: &str, place: &mut Place<'_>) -> Done {
    place.layer().restrict_process =
        Some(words::all(value).iter().map(|name| global(name)).collect());
    Ok(())
}

/// DIR-134: said once, where no WSGITrustedProxies stands anywhere.
const EVERY_PEER_IS_TRUSTED: &str = "WSGI5004: WSGITrustedProxyHeaders is used without WSGITrustedProxies, so every client is \
     trusted to send these headers.";

/// DIR-130 to DIR-132, MRG-05.
pub(super) fn proxy_headers(name: &'static str, line: &str, place: &mut Place<'_>) -> Done {
    let mut headers = Vec::new();
    for word in words::all(line) {
        let Some(key) = crate::request::environ::cgi_header_name(word.as_bytes()) else {
            return Err(ConfigError::Value {
                directive: name,
                what: "a header name".to_owned(),
                value: word,
                expected: "letters, digits and '-'".to_owned(),
            });
        };
        headers.push(key);
    }
    if !place.global.names_proxies {
        place
            .global
            .notice(NoticeLevel::Warn, EVERY_PEER_IS_TRUSTED.to_owned());
    }
    place
        .layer()
        .trusted_proxy_headers
        .get_or_insert_default()
        .extend(headers);
    Ok(())
}

/// DIR-133, MRG-05.
pub(super) fn proxies(name: &'static str, line: &str, place: &mut Place<'_>) -> Done {
    let mut networks = Vec::new();
    for word in words::all(line) {
        let Some(network) = network(&word) else {
            return Err(ConfigError::Value {
                directive: name,
                what: "an address".to_owned(),
                value: word,
                expected:
                    "an IP address, address/bits, address/netmask or the front of an IPv4 address"
                        .to_owned(),
            });
        };
        networks.push(network);
    }
    place.global.names_proxies = true;
    place
        .global
        .notices
        .retain(|notice| notice.text != EVERY_PEER_IS_TRUSTED);
    place
        .layer()
        .trusted_proxies
        .get_or_insert_default()
        .extend(networks);
    Ok(())
}

fn network(text: &str) -> Option<IpNet> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Some(IpNet::from(address));
    }
    if let Ok(network) = text.parse::<IpNet>() {
        return Some(network.trunc());
    }
    if let Some((address, mask)) = text.split_once('/') {
        let network = IpNet::with_netmask(address.parse().ok()?, mask.parse().ok()?).ok()?;
        return Some(network.trunc());
    }
    // The front of an IPv4 address stands for all addresses that begin with it.
    let parts: Vec<u8> = text
        .trim_end_matches('.')
        .split('.')
        .map(|part| part.parse().ok())
        .collect::<Option<_>>()?;
    let mut octets = [0; 4];
    octets.get_mut(..parts.len())?.copy_from_slice(&parts);
    let bits = u8::try_from(parts.len() * 8).ok()?;
    Some(IpNet::V4(Ipv4Net::new(octets.into(), bits).ok()?))
}

/// The module that a target means; None if it is a file.
fn module_target(
    directive: &'static str,
    target: &str,
) -> Result<Option<ModuleTarget>, ConfigError> {
    let module = ModuleTarget::parse(target).transpose();
    module.map_err(|expected| ConfigError::Value {
        directive,
        what: "the target".to_owned(),
        value: target.to_owned(),
        expected: expected.to_string(),
    })
}

const SCRIPT_OPTIONS: &[&str] = &[
    "process-group",
    "application-group",
    "callable-object",
    "pass-authorization",
];

/// DIR-001 to DIR-015.
pub(super) fn script_alias(
    name: &'static str,
    line: &str,
    place: &mut Place<'_>,
    is_match: bool,
) -> Done {
    let mut line = line;
    let expected = "at least two arguments: a URL path or regular expression, and a file";
    let url = word(&mut line, name, expected)?;
    let target = word(&mut line, name, expected)?;
    if let Some(reason) = is_match.then(|| place.host.regex_error(&url)).flatten() {
        let what = "the regular expression".to_owned();
        return Err(ConfigError::Value {
            directive: name,
            what,
            value: url,
            expected: reason,
        });
    }
    let mut alias = Alias {
        url,
        is_match,
        module: module_target(name, &target)?,
        target,
        ..Alias::default()
    };
    options(name, &mut line, SCRIPT_OPTIONS, |option, value| {
        match option {
            "pass-authorization" => alias.pass_authorization = Some(switch(name, &value)?),
            _ => {
                let value = group_value(name, option, value)?;
                match option {
                    "process-group" => alias.process_group = Some(global(&value)),
                    "application-group" => alias.application_group = Some(global(&value)),
                    _ => alias.callable_object = Some(value),
                }
            }
        }
        Ok(())
    })?;
    let named_twice = alias.module.as_ref().and_then(ModuleTarget::callable);
    if let (Some(callable), Some(value)) = (named_twice, &alias.callable_object) {
        return Err(ConfigError::Value {
            directive: name,
            what: "callable-object".to_owned(),
            value: value.clone(),
            expected: format!("no such option, because the target names the callable '{callable}'"),
        });
    }
    if let (Some(process), Some(application)) = (&alias.process_group, &alias.application_group) {
        let fixed = !process.contains("%{") && !application.contains("%{");
        if fixed && !(is_match && alias.target.contains('$')) {
            // With the callable, so that a function which makes the application is called at start, too.
            let script = match (&alias.module, alias.callable()) {
                (Some(module), Some(callable)) => format!("{}:{callable}", module.script()),
                _ => alias.target.clone(),
            };
            let script = ImportScript {
                script,
                process_group: process.clone(),
                application_group: application.clone(),
                server_ordinal: place.server_ordinal,
            };
            import(place, script)?;
        }
    }
    place.server.aliases.push(alias);
    Ok(())
}

/// Adds a script to load at start, if its group may be used from here (DIR-013).
fn import(place: &mut Place<'_>, script: ImportScript) -> Done {
    let group = &script.process_group;
    if !group.is_empty() {
        let known = place
            .global
            .daemon_groups
            .iter()
            .find(|known| known.name == *group);
        let known = known.ok_or_else(|| ConfigError::UnknownGroup(group.clone()))?;
        if known.server_ordinal != 0 && known.server_ordinal != place.server_ordinal {
            match (known.server_name.as_deref(), place.server_name) {
                (Some(theirs), Some(ours)) if theirs == ours => {}
                (Some(_), Some(_)) => return Err(ConfigError::Inaccessible(group.clone())),
                _ => return Err(ConfigError::Unmatchable(group.clone())),
            }
        }
    }
    place.global.import_scripts.push(script);
    Ok(())
}

/// DIR-076, XPN-25.
pub(super) fn import_script(name: &'static str, line: &str, place: &mut Place<'_>) -> Done {
    let mut line = line;
    let expected = "a file and the options process-group and application-group";
    let script = word(&mut line, name, expected)?;
    module_target(name, &script)?;
    let (mut process, mut application) = (None, None);
    options(
        name,
        &mut line,
        &["process-group", "application-group"],
        |option, value| {
            let value = global(&group_value(name, option, value)?);
            match option {
                "process-group" => process = Some(value),
                _ => application = Some(value),
            }
            Ok(())
        },
    )?;
    let (Some(process_group), Some(application_group)) = (process, application) else {
        return Err(arguments(name, expected));
    };
    let server_ordinal = place.server_ordinal;
    import(
        place,
        ImportScript {
            script,
            process_group,
            application_group,
            server_ordinal,
        },
    )
}

/// DIR-020.
pub(super) fn handler_script(name: &'static str, line: &str, place: &mut Place<'_>) -> Done {
    let mut line = line;
    let expected = "a handler name and a file";
    let handler = word(&mut line, name, expected)?;
    let path = word(&mut line, name, expected)?;
    let mut script = HandlerScript {
        name: handler,
        path,
        process_group: None,
        application_group: None,
        pass_authorization: None,
    };
    let names = &["process-group", "application-group", "pass-authorization"];
    options(name, &mut line, names, |option, value| {
        match option {
            "pass-authorization" => script.pass_authorization = Some(switch(name, &value)?),
            "process-group" => script.process_group = Some(group_value(name, option, value)?),
            _ => script.application_group = Some(group_value(name, option, value)?),
        }
        Ok(())
    })?;
    let scripts = &mut place.layer().handler_scripts;
    scripts.retain(|known| known.name != script.name);
    scripts.push(script);
    Ok(())
}

/// DIR-140 to DIR-145.
pub(super) fn hook_script(
    name: &'static str,
    line: &str,
    place: &mut Place<'_>,
    field: Field<HookScript>,
) -> Done {
    let mut line = line;
    let path = word(&mut line, name, "a file")?;
    let mut script = HookScript {
        path,
        application_group: None,
    };
    options(name, &mut line, &["application-group"], |option, value| {
        script.application_group = Some(group_value(name, option, value)?);
        Ok(())
    })?;
    *field(place.layer()) = Some(script);
    note_hook_script(place);
    Ok(())
}

/// DP-01 and the option rows.
pub(super) fn daemon_process(name: &'static str, line: &str, place: &mut Place<'_>) -> Done {
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
            hint: known("Options", super::DAEMON_OPTIONS.iter().map(|row| row.name)),
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
        server_name: place.server_name.map(str::to_owned),
        options: values,
    });
    Ok(())
}

/// DIR-060, DMN-106: a prefix that leaves no room for the rest of the name is refused here rather than at bind.
pub(super) fn socket_prefix(name: &'static str, value: &str, place: &mut Place<'_>) -> Done {
    let wrong = |expected: String| ConfigError::Value {
        directive: name,
        what: "the argument".to_owned(),
        value: value.to_owned(),
        expected,
    };
    let path = place.host.server_root_relative(value);
    let path =
        path.ok_or_else(|| wrong("a path that is absolute or below ServerRoot".to_owned()))?;
    // `.PID.GENERATION.ID.sock` with everything at its longest that is likely.
    const SUFFIX: usize = ".4194304.99999.99.sock".len();
    let limit = place.host.socket_path_limit();
    if path.len() + SUFFIX >= limit {
        let expected = format!(
            "a path of at most {} bytes, because the names of sockets made from it may have {limit}",
            limit.saturating_sub(SUFFIX + 1)
        );
        return Err(wrong(expected));
    }
    place.global.socket_prefix = Some(path);
    Ok(())
}

/// DIR-062.
pub(super) fn accept_mutex(name: &'static str, value: &str, place: &mut Place<'_>) -> Done {
    const KNOWN: &[&str] = &[
        "default", "flock", "fcntl", "sysvsem", "posixsem", "pthread",
    ];
    if !KNOWN.iter().any(|known| known.eq_ignore_ascii_case(value)) {
        return Err(ConfigError::Value {
            directive: name,
            what: "the argument".to_owned(),
            value: value.to_owned(),
            expected: KNOWN.join(", "),
        });
    }
    place.global.accept_mutex = Some(value.to_ascii_lowercase());
    Ok(())
}

/// DIR-088, API-012.
pub(super) fn hash_seed(name: &'static str, value: &str, place: &mut Place<'_>) -> Done {
    place.global.hash_seed = if value == "random" {
        HashSeed::Random
    } else {
        let digits = value.bytes().all(|byte| byte.is_ascii_digit());
        let seed = value.parse::<u32>().ok().filter(|_| digits);
        HashSeed::Fixed(seed.ok_or_else(|| ConfigError::Value {
            directive: name,
            what: "the argument".to_owned(),
            value: value.to_owned(),
            expected: "random, or a number from 0 to 4294967295".to_owned(),
        })?)
    };
    Ok(())
}

/// GEN-10, DIR-085.
pub(super) fn optimize(name: &'static str, value: &str, place: &mut Place<'_>) -> Done {
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
pub(super) fn switch_interval(name: &'static str, value: &str, place: &mut Place<'_>) -> Done {
    let interval = positive_float(value).ok_or_else(|| ConfigError::Value {
        directive: name,
        what: "the argument".to_owned(),
        value: value.to_owned(),
        expected: "a number of seconds over 0".to_owned(),
    })?;
    place.global.rule().switch_interval = Some(interval);
    Ok(())
}

/// DIR-092, DIR-100: a whole process has a GIL or none.
pub(super) fn free_threading(name: &'static str, value: &str, place: &mut Place<'_>) -> Done {
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
pub(super) fn python_path(value: &str, place: &mut Place<'_>) -> Done {
    let entries = path_list(value);
    if place.global.open_block.is_some() {
        place.global.rule().path = entries;
    } else {
        place.global.python_path = entries;
    }
    Ok(())
}

/// DIR-150 ff.
pub(super) fn telemetry_service(name: &'static str, line: &str, place: &mut Place<'_>) -> Done {
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
        .ok_or_else(|| wrong(target.clone(), "unix:/path"))?
        .to_owned();
    let mut interval = 1.0;
    for word in words::all(line) {
        let number = word
            .strip_prefix("interval=")
            .map(leading_float)
            .filter(|n| *n >= 0.5);
        interval = number.ok_or_else(|| wrong(word.clone(), "interval=SECONDS, 0.5 or more"))?;
    }
    place.global.telemetry_service = Some((path, interval));
    Ok(())
}

/// DIR-152.
pub(super) fn telemetry_options(name: &'static str, line: &str, place: &mut Place<'_>) -> Done {
    let all = words::all(line);
    let wrong = |value: &str, expected: &str| ConfigError::Value {
        directive: name,
        what: "a flag".to_owned(),
        value: value.to_owned(),
        expected: expected.to_owned(),
    };
    let signed = |word: &String| word.starts_with(['+', '-']);
    let Some(first) = all.first() else {
        return Err(arguments(
            name,
            "at least one of CaptureUserAgent, None, All",
        ));
    };
    if all.iter().any(|word| signed(word) != signed(first)) {
        return Err(wrong(line.trim(), "all flags with + or -, or none"));
    }
    let mut set = signed(first) && place.global.telemetry_user_agent;
    for word in &all {
        let flag = word.trim_start_matches(['+', '-']).to_ascii_lowercase();
        set = match (flag.as_str(), word.as_bytes()) {
            ("captureuseragent", [b'-', ..]) => false,
            ("captureuseragent", _) => true,
            ("none", [b'N' | b'n', ..]) => false,
            ("all", [b'A' | b'a', ..]) => true,
            _ => {
                return Err(wrong(
                    word,
                    "CaptureUserAgent, None or All, the last two without a sign",
                ));
            }
        };
    }
    place.global.telemetry_user_agent = set;
    Ok(())
}

/// DIR-153.
pub(super) fn slow_requests(name: &'static str, value: &str, place: &mut Place<'_>) -> Done {
    let seconds = leading_float(value);
    if seconds < 0.0 {
        return Err(ConfigError::Value {
            directive: name,
            what: "the argument".to_owned(),
            value: value.to_owned(),
            expected: "a number of seconds, 0 or more".to_owned(),
        });
    }
    place.global.slow_requests = seconds;
    Ok(())
}

/// DIR-094.
pub(super) fn open_block(name: &'static str, line: &str, place: &mut Place<'_>) -> Done {
    let section = |text: &str| ConfigError::Section(format!("<{name}>: {text}"));
    let line = line.trim_end();
    let line = line
        .strip_suffix('>')
        .ok_or_else(|| section("the closing '>' is missing"))?;
    let mut block = InterpreterBlock::default();
    let mut rest = line;
    loop {
        let option = words::option(&mut rest).map_err(|word| {
            section(&format!(
                "'{word}' is not process-group=NAME or application-group=NAME"
            ))
        })?;
        let Some((selector, value)) = option else {
            break;
        };
        let slot = match selector.to_ascii_lowercase().as_str() {
            "process-group" => &mut block.process_group,
            "application-group" => &mut block.rule.application_group,
            _ => return Err(section(&format!("there is no selector '{selector}'"))),
        };
        if slot.replace(global(&value)).is_some() {
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
    place.global.interpreter_blocks.push(block);
    place.global.open_block = Some(place.global.interpreter_blocks.len() - 1);
    Ok(())
}

/// A directive of an older release that is accepted.
pub(super) fn forgotten(name: &'static str, place: &mut Place<'_>, text: &str) -> Done {
    let text = format!("WSGI5005: {name} at {}:{}: {text}", place.file, place.line);
    place.global.notice(NoticeLevel::Warn, text);
    Ok(())
}
