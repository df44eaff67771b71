//! What the directives do to the settings: one function for each kind of directive, used by the rows of the table.

mod daemon;
mod proxies;
mod python;
mod scripts;
mod telemetry;

use super::directive::Field;
use super::layer::MapHead;
use super::values::{global, switch};
use super::{ConfigError, NoticeLevel, Place, words};

pub(super) use daemon::{accept_mutex, daemon_process, socket_prefix};
pub(super) use proxies::{proxies, proxy_headers};
pub(super) use python::{
    free_threading, hash_seed, open_block, optimize, python_path, switch_interval,
};
pub(super) use scripts::{handler_script, hook_script, import_script, script_alias};
pub(super) use telemetry::{slow_requests, telemetry_options, telemetry_service};

type Done = Result<(), ConfigError>;

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

pub(super) fn restrict_process(value: &str, place: &mut Place<'_>) -> Done {
    place.layer().restrict_process =
        Some(words::all(value).iter().map(|name| global(name)).collect());
    Ok(())
}

/// A directive of an older release that is accepted.
pub(super) fn forgotten(name: &'static str, place: &mut Place<'_>, text: &str) -> Done {
    let text = format!("WSGI5005: {name} at {}:{}: {text}", place.file, place.line);
    place.global.notice(NoticeLevel::Warn, text);
    Ok(())
}
