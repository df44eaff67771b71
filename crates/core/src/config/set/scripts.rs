//! Directives that name a script: aliases, handlers, hooks and what is loaded at start.

use super::Done;
use crate::config::directive::{Field, note_hook_script};
use crate::config::global::ImportScript;
use crate::config::layer::{HandlerScript, HookScript};
use crate::config::values::{arguments, global, group_value, option_switch, options, word};
use crate::config::{Alias, ConfigError, ModuleTarget, Place};

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
pub(in crate::config) fn script_alias(
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
            "pass-authorization" => {
                alias.pass_authorization = Some(option_switch(name, option, &value)?)
            }
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
            // As far as they are known now: a ServerName may stand further down.
            let theirs = place.host.server_name(known.server_ordinal);
            match (theirs.as_deref(), place.server_name) {
                (theirs, ours) if theirs == ours => {}
                (Some(_), Some(_)) => return Err(ConfigError::Inaccessible(group.clone())),
                _ => return Err(ConfigError::Unmatchable(group.clone())),
            }
        }
    }
    place.global.import_scripts.push(script);
    Ok(())
}

/// DIR-076, XPN-25.
pub(in crate::config) fn import_script(
    name: &'static str,
    line: &str,
    place: &mut Place<'_>,
) -> Done {
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
pub(in crate::config) fn handler_script(
    name: &'static str,
    line: &str,
    place: &mut Place<'_>,
) -> Done {
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
            "pass-authorization" => {
                script.pass_authorization = Some(option_switch(name, option, &value)?)
            }
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
pub(in crate::config) fn hook_script(
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

#[cfg(test)]
mod tests;
