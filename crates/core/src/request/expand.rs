//! The values that are found at request time: `%{GLOBAL}`, `%{RESOURCE}`, `%{SERVER}`, `%{HOST}` and
//! `%{ENV:NAME}` in names of groups and callables (XPN-01 to XPN-23).
//!
//! A form is expanded only if it is the whole value. What cannot be resolved stays as it is written (XPN-10),
//! so that the error that follows names it. Pure, on the thread of the request.

use std::borrow::Cow;
use std::fmt::Write as _;

use super::path::{collapse_slashes, in_lower_case};

/// The application group where none is set (XPN-21).
const DEFAULT_GROUP: &str = "%{RESOURCE}";

/// What the forms stand for in one request.
#[derive(Clone, Copy)]
pub struct ExpandFacts<'a> {
    /// ServerName of the request's server.
    pub server_name: &'a str,
    /// Port of the connection's socket or of the configured ServerName, never of the client's Host header
    /// (decision on XPN-07).
    pub port: u16,
    /// Host of the request as httpd normalised it; empty if there is none (XPN-04).
    pub host: &'a str,
    /// Decoded URI without PATH_INFO; slashes are collapsed here (XPN-08).
    pub script_name: &'a [u8],
    /// WSGICaseSensitivity.
    pub case_sensitive: bool,
    /// Looks a name up in the request's notes, then its environment, then the process environment (XPN-05).
    pub variable: &'a dyn Fn(&str) -> Option<String>,
}

/// The process group that a value means (XPN-20); empty is embedded mode. None is an unset value.
pub fn process_group<'v>(value: Option<&'v str>, facts: &ExpandFacts<'_>) -> Cow<'v, str> {
    value.map_or(Cow::Borrowed(""), |value| expand(value, facts))
}

/// The application group that a value means (XPN-21); empty is the main interpreter. None, an unset value, means
/// `%{RESOURCE}`.
pub fn application_group<'v>(value: Option<&'v str>, facts: &ExpandFacts<'_>) -> Cow<'v, str> {
    expand(value.unwrap_or(DEFAULT_GROUP), facts)
}

/// The application group of an access, auth or dispatch script (XPN-22); empty is the main interpreter.
/// `%{RESOURCE}` and `%{ENV:…}` are not known there.
pub fn hook_group<'v>(value: Option<&'v str>, facts: &ExpandFacts<'_>) -> Cow<'v, str> {
    match value.map(|value| (value, Form::of(value))) {
        None => Cow::Borrowed(""),
        Some((_, Some(form @ (Form::Global | Form::Server | Form::Host)))) => form.text(facts),
        Some((value, _)) => Cow::Borrowed(value),
    }
}

/// The name of the callable that a value means (XPN-23). Unset, unresolved and any other form than `%{ENV:…}` is
/// `application`; what a variable says is a name in any case.
pub fn callable_object<'v>(value: Option<&'v str>, facts: &ExpandFacts<'_>) -> Cow<'v, str> {
    const DEFAULT: &str = "application";
    match value {
        None => Cow::Borrowed(DEFAULT),
        Some(value) if !value.starts_with('%') => Cow::Borrowed(value),
        Some(value) => variable_name(value)
            .and_then(facts.variable)
            .map_or(Cow::Borrowed(DEFAULT), Cow::Owned),
    }
}

/// Whether an application group (None: unset) takes its text from the client's request, so that clients could make any number of
/// interpreters with it: `%{HOST}` and `%{ENV:…}`, and `%{RESOURCE}` where `takes_any_uri`, that is where the script name is
/// bound to no file or alias (decision on XPN-07). The runtime makes a limited number of those in a process.
pub fn comes_from_client(value: Option<&str>, takes_any_uri: bool) -> bool {
    let value = value.unwrap_or(DEFAULT_GROUP);
    match Form::of(value) {
        Some(Form::Host) => true,
        Some(Form::Resource) => takes_any_uri,
        Some(Form::Global | Form::Server) => false,
        None => variable_name(value).is_some(),
    }
}

/// All forms (XPN-01 to XPN-05, XPN-09).
fn expand<'v>(value: &'v str, facts: &ExpandFacts<'_>) -> Cow<'v, str> {
    if let Some(form) = Form::of(value) {
        return form.text(facts);
    }
    match variable_name(value).and_then(facts.variable) {
        None => Cow::Borrowed(value),
        Some(found) => match Form::of(&found) {
            Some(form) => form.text(facts),
            None => Cow::Owned(found),
        },
    }
}

/// NAME of `%{ENV:NAME}`.
fn variable_name(value: &str) -> Option<&str> {
    value.strip_prefix("%{ENV:")?.strip_suffix('}')
}

/// The forms without a name in them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Global,
    Resource,
    Server,
    Host,
}

impl Form {
    fn of(value: &str) -> Option<Form> {
        match value {
            "%{GLOBAL}" => Some(Form::Global),
            "%{RESOURCE}" => Some(Form::Resource),
            "%{SERVER}" => Some(Form::Server),
            "%{HOST}" => Some(Form::Host),
            _ => None,
        }
    }

    fn text(self, facts: &ExpandFacts<'_>) -> Cow<'static, str> {
        let mut text = String::new();
        match self {
            Form::Global => return Cow::Borrowed(""),
            Form::Server => push_with_port(&mut text, facts.server_name, facts.port),
            Form::Host if facts.host.is_empty() => {
                push_with_port(&mut text, facts.server_name, facts.port);
            }
            Form::Host => push_with_port(&mut text, facts.host, facts.port),
            Form::Resource => {
                push_with_port(&mut text, facts.server_name, facts.port);
                text.push('|');
                let name = collapse_slashes(facts.script_name);
                let name = if facts.case_sensitive {
                    name
                } else {
                    in_lower_case(name)
                };
                push_bytes(&mut text, &name);
            }
        }
        Cow::Owned(text)
    }
}

/// The usual ports are not shown (XPN-06).
fn push_with_port(text: &mut String, name: &str, port: u16) {
    text.push_str(name);
    if !matches!(port, 80 | 443) {
        write!(text, ":{port}").expect("writing to a String does not fail");
    }
}

/// Bytes that are not UTF-8 are written as `\xNN`, so that different scripts never share an interpreter by
/// accident.
fn push_bytes(text: &mut String, bytes: &[u8]) {
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        for byte in chunk.invalid() {
            write!(text, "\\x{byte:02x}").expect("writing to a String does not fail");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variable(name: &str) -> Option<String> {
        let value = match name {
            "GROUP" => "blue",
            "EMPTY" => "",
            "TO_HOST" => "%{HOST}",
            "TO_GLOBAL" => "%{GLOBAL}",
            "TO_ENV" => "%{ENV:GROUP}",
            "ODD" => "%odd",
            _ => return None,
        };
        Some(value.to_owned())
    }

    fn facts(port: u16) -> ExpandFacts<'static> {
        ExpandFacts {
            server_name: "www.example.com",
            port,
            host: "client.example.com",
            script_name: b"/App//one",
            case_sensitive: true,
            variable: &variable,
        }
    }

    /// XPN-01 to XPN-05, XPN-09, XPN-10, XPN-20: every form of a process group.
    #[test]
    fn process_groups() {
        for (value, group) in [
            (None, ""),
            (Some(""), ""),
            (Some("plain"), "plain"),
            (Some("%{GLOBAL}"), ""),
            (Some("%{RESOURCE}"), "www.example.com|/App/one"),
            (Some("%{SERVER}"), "www.example.com"),
            (Some("%{HOST}"), "client.example.com"),
            (Some("%{ENV:GROUP}"), "blue"),
            (Some("%{ENV:EMPTY}"), ""),
            (Some("%{ENV:TO_HOST}"), "client.example.com"),
            (Some("%{ENV:TO_GLOBAL}"), ""),
            (Some("%{ENV:TO_ENV}"), "%{ENV:GROUP}"),
            (Some("%{ENV:ODD}"), "%odd"),
            (Some("%{ENV:MISSING}"), "%{ENV:MISSING}"),
            (Some("%{ENV:}"), "%{ENV:}"),
            (Some("%{ENV:GROUP"), "%{ENV:GROUP"),
            (Some("%{global}"), "%{global}"),
            (Some("%{SERVER}-x"), "%{SERVER}-x"),
            (Some("x-%{SERVER}"), "x-%{SERVER}"),
            (Some("%"), "%"),
        ] {
            assert_eq!(process_group(value, &facts(80)), group, "{value:?}");
        }
    }

    /// XPN-06: the port is shown unless it is 80 or 443.
    #[test]
    fn ports() {
        for (port, server) in [
            (80, "www.example.com"),
            (443, "www.example.com"),
            (8080, "www.example.com:8080"),
            (0, "www.example.com:0"),
        ] {
            assert_eq!(process_group(Some("%{SERVER}"), &facts(port)), server);
        }
        let facts = facts(8080);
        assert_eq!(
            process_group(Some("%{HOST}"), &facts),
            "client.example.com:8080"
        );
        assert_eq!(
            application_group(None, &facts),
            "www.example.com:8080|/App/one"
        );
    }

    /// XPN-04: without a host the ServerName.
    #[test]
    fn a_missing_host_is_the_server() {
        let facts = ExpandFacts {
            host: "",
            ..facts(81)
        };
        assert_eq!(process_group(Some("%{HOST}"), &facts), "www.example.com:81");
    }

    /// XPN-08, XPN-21: the default of application groups, and WSGICaseSensitivity Off.
    #[test]
    fn application_groups() {
        assert_eq!(
            application_group(None, &facts(80)),
            "www.example.com|/App/one"
        );
        assert_eq!(application_group(Some("%{GLOBAL}"), &facts(80)), "");
        assert_eq!(application_group(Some("%{ENV:GROUP}"), &facts(80)), "blue");
        assert_eq!(
            application_group(Some("%{ENV:NO}"), &facts(80)),
            "%{ENV:NO}"
        );
        let facts = ExpandFacts {
            case_sensitive: false,
            ..facts(80)
        };
        assert_eq!(application_group(None, &facts), "www.example.com|/app/one");
    }

    /// XPN-22, DOC-04: hooks know three forms, and nothing is the main interpreter.
    #[test]
    fn hook_groups() {
        for (value, group) in [
            (None, ""),
            (Some("%{GLOBAL}"), ""),
            (Some("%{SERVER}"), "www.example.com"),
            (Some("%{HOST}"), "client.example.com"),
            (Some("%{RESOURCE}"), "%{RESOURCE}"),
            (Some("%{ENV:GROUP}"), "%{ENV:GROUP}"),
            (Some("plain"), "plain"),
        ] {
            assert_eq!(hook_group(value, &facts(80)), group, "{value:?}");
        }
    }

    /// XPN-23: callables know one form, and no form in its value; what is not resolved is `application`.
    #[test]
    fn callable_objects() {
        for (value, callable) in [
            (None, "application"),
            (Some("main"), "main"),
            (Some("%{ENV:GROUP}"), "blue"),
            (Some("%{ENV:NO}"), "application"),
            // Nothing has such a name, so that the request fails.
            (Some("%{ENV:TO_ENV}"), "%{ENV:GROUP}"),
            (Some("%{ENV:ODD}"), "%odd"),
            (Some("%{ENV:TO_HOST}"), "%{HOST}"),
            (Some("%{ENV:EMPTY}"), ""),
            (Some("%{GLOBAL}"), "application"),
            (Some("%{SERVER}"), "application"),
            (Some("%"), "application"),
        ] {
            assert_eq!(callable_object(value, &facts(80)), callable, "{value:?}");
        }
    }

    /// XPN-07 (decision): names from HOST and ENV are counted, those from the URI where it is the client's to choose.
    #[test]
    fn names_from_the_client_are_known() {
        for (value, from_client, with_any_uri) in [
            (Some("%{HOST}"), true, true),
            (Some("%{ENV:GROUP}"), true, true),
            (Some("%{RESOURCE}"), false, true),
            (None, false, true),
            (Some("%{SERVER}"), false, false),
            (Some("%{GLOBAL}"), false, false),
            (Some("plain"), false, false),
            (Some("x%{HOST}"), false, false),
        ] {
            assert_eq!(comes_from_client(value, false), from_client, "{value:?}");
            assert_eq!(comes_from_client(value, true), with_any_uri, "{value:?}");
        }
    }

    /// XPN-08: scripts whose names are not UTF-8 keep interpreters of their own.
    #[test]
    fn other_bytes_stay_apart() {
        let of = |script_name| {
            let facts = ExpandFacts {
                script_name,
                ..facts(80)
            };
            application_group(None, &facts).into_owned()
        };
        assert_eq!(of("/caf\u{e9}".as_bytes()), "www.example.com|/caf\u{e9}");
        assert_eq!(of(b"/caf\xe9"), "www.example.com|/caf\\xe9");
        assert_ne!(of(b"/caf\xe9"), of(b"/caf\xe8"));
    }
}
