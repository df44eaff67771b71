//! What the directives do to the settings: one function for each kind of directive, used by the rows of the table.

mod daemon;
mod proxies;
mod python;
mod scripts;
mod telemetry;

use super::directive::Field;
use super::layer::{MapHead, Reloading};
use super::values::{global, switch};
use super::{ConfigError, Global, NoticeLevel, Place, words};

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

pub(super) fn global_switch(
    name: &'static str,
    value: &str,
    place: &mut Place<'_>,
    field: fn(&mut Global) -> &mut Option<bool>,
) -> Done {
    *field(place.global) = Some(switch(name, value)?);
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

/// A directive of an older release that is accepted.
pub(super) fn forgotten(name: &'static str, place: &mut Place<'_>, text: &str) -> Done {
    let text = format!("WSGI5005: {name} at {}:{}: {text}", place.file, place.line);
    place.global.notice(NoticeLevel::Warn, text);
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::config::Reloading;
    use crate::config::testing::Reading;
    use crate::config::{DIRECTIVES, Effect, MapHead, NoticeLevel};

    /// GEN-05: every directive that is On or Off takes both in any case, and nothing else.
    #[test]
    fn switches() {
        let rows: Vec<_> = DIRECTIVES
            .iter()
            .filter(|row| row.syntax == "On|Off")
            .collect();
        assert_eq!(
            rows.len(),
            23,
            "{:?}",
            rows.iter().map(|row| row.name).collect::<Vec<_>>()
        );
        for row in rows {
            for value in ["On", "oN", "ON"] {
                Reading::of(&format!("{} {value}", row.name));
            }
            if row.name != "WSGIUserAuthoritative" {
                Reading::of(&format!("{} oFF", row.name));
            }
            for value in ["yes", "1", "true", "Auto", "\" On\"", "On|Off"] {
                let message = Reading::refusal(&format!("{} {value}", row.name));
                let value = value.trim_matches('"');
                assert_eq!(
                    message,
                    format!("{} must be On or Off, not '{value}'", row.name)
                );
            }
        }
    }

    /// GEN-05, DIR-125: three values.
    #[test]
    fn mapping_of_head() {
        for (text, mapping) in [
            ("auto", MapHead::Auto),
            ("On", MapHead::On),
            ("OFF", MapHead::Off),
        ] {
            let reading = Reading::of(&format!("WSGIMapHEADToGET {text}"));
            assert_eq!(reading.layer().map_head_to_get, Some(mapping));
        }
        let message = Reading::refusal("WSGIMapHEADToGET maybe");
        assert_eq!(
            message,
            "WSGIMapHEADToGET must be Off, On or Auto, not 'maybe'"
        );
    }

    /// DIR-043, MRG-05, XPN-26: the later list replaces the earlier; no names is a list without any.
    #[test]
    fn restrictions() {
        for (lines, names) in [
            ("WSGIRestrictProcess", &[][..]),
            ("WSGIRestrictProcess a\nWSGIRestrictProcess", &[]),
            (
                "WSGIRestrictProcess x\nWSGIRestrictProcess a 'b c' %{GLOBAL} %{SERVER}",
                &["a", "b c", "", "%{SERVER}"],
            ),
        ] {
            let reading = Reading::of(lines);
            let found = reading.layer().restrict_process.as_deref().unwrap();
            assert_eq!(found, names, "{lines}");
        }
        assert_eq!(Reading::new().layer().restrict_process, None);
    }

    /// MRG-05, XPN-28, DIR-030: scalars: the last one counts, as it is written.
    #[test]
    fn texts() {
        let reading = Reading::of(
            "WSGIProcessGroup a\nWSGIProcessGroup %{GLOBAL}
             WSGIApplicationGroup a\nWSGIApplicationGroup '%{ENV:B C}'
             WSGICallableObject a.b\nWSGICallableObject \"a b\"
             WSGIScriptReloading On\nWSGIScriptReloading Off",
        );
        let layer = reading.layer();
        assert_eq!(layer.process_group.as_deref(), Some("%{GLOBAL}"));
        assert_eq!(layer.application_group.as_deref(), Some("%{ENV:B C}"));
        assert_eq!(layer.callable_object.as_deref(), Some("a b"));
        assert_eq!(layer.script_reloading, Some(Reloading::Off));
    }

    /// MRG-01, MRG-09: in a section the section changes, and nothing but it.
    #[test]
    fn sections() {
        let mut reading = Reading::new();
        reading.section = Some(Default::default());
        reading.lines("WSGIProcessGroup a\nWSGIGroupAuthoritative On\nWSGIAccessScript /x");
        let section = reading.section.take().unwrap();
        assert_eq!(section.process_group.as_deref(), Some("a"));
        assert_eq!(section.group_authoritative, Some(true));
        assert!(section.access_script.is_some());
        assert_eq!(*reading.layer(), Default::default());
    }

    /// KD-01 to KD-05, KD-11: what is taken from older releases, with a warning; KD-04 is taken for its later name.
    #[test]
    fn older_directives() {
        for line in [
            "WSGILazyInitialization On",
            "WSGILazyInitialization Off",
            "WSGIPy3kWarningFlag On",
            "WSGIReloadMechanism process",
            "WSGIApacheExtensions On",
            "WSGIUserAuthoritative On",
            "WSGIGroupAuthoritative Off",
        ] {
            let reading = Reading::of(line);
            let name = line.split(' ').next().unwrap();
            let warning = &reading.global.notices[0];
            assert_eq!(warning.level, NoticeLevel::Warn);
            let start = format!("WSGI5005: {name} at httpd.conf:1: ");
            assert!(warning.text.starts_with(&start), "{}", warning.text);
        }
        let reading = Reading::of("WSGIApacheExtensions On");
        assert_eq!(reading.layer().pass_apache_request, Some(true));
        assert!(
            Reading::of("WSGIGroupAuthoritative On")
                .notices()
                .is_empty()
        );
    }

    /// KD-03, KD-05, KD-06, KD-07: what is refused, with what to do instead.
    #[test]
    fn removed_directives() {
        for (line, advice) in [
            ("WSGIReloadMechanism Module", "remove the directive"),
            ("WSGIUserAuthoritative Off", "list the providers"),
            ("WSGINewRelicConfigFile /x", "wrap the application"),
            ("WSGINewRelicEnvironment x", "wrap the application"),
            ("WSGIPythonExecutable /x", "WSGIPythonHome"),
            ("WSGIOutputBuffering On", "remove the directive"),
        ] {
            let message = Reading::refusal(line);
            let name = line.split(' ').next().unwrap();
            let start = format!("{name} is not supported: ");
            assert!(
                message.starts_with(&start) && message.contains(advice),
                "{message}"
            );
        }
    }

    /// DIR-154, KD-10: nothing but a word to the curious.
    #[test]
    fn verbose_debugging() {
        let reading = Reading::of("WSGIVerboseDebugging On");
        let [notice] = &reading.global.notices[..] else {
            panic!("{reading:?}")
        };
        assert_eq!(notice.level, NoticeLevel::Info);
        assert!(notice.text.contains("LogLevel wsgi:debug"));
    }

    /// Examples of the reference pages are right, and those of what works leave nothing to say.
    #[test]
    fn examples() {
        for row in DIRECTIVES
            .iter()
            .filter(|row| !row.example.starts_with('#'))
        {
            let mut reading = Reading::of("WSGIDaemonProcess other");
            reading.names[0] = Some("www.example.com".to_owned());
            if row.name.starts_with("WSGIScriptAlias") || row.name == "WSGIImportScript" {
                reading.lines("WSGIDaemonProcess site");
            }
            reading.lines(row.example);
            if row.effect == Effect::Now && row.name != "WSGITrustedProxyHeaders" {
                assert!(reading.notices().is_empty(), "{:?}", reading.notices());
            }
        }
    }
}
