//! `%{…}` in names of groups and callables: a value is expanded as a whole or stays as it is, once, and what a client may choose
//! is known as such.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wsgi_core::request::expand::{
    ExpandFacts, application_group, callable_object, comes_from_client, hook_group, process_group,
};
use wsgi_fuzz::values;

const FORMS: [&str; 4] = ["%{GLOBAL}", "%{RESOURCE}", "%{SERVER}", "%{HOST}"];

fuzz_target!(|input: &[u8]| {
    let [value, found, host, script_name] = values(input);
    let (Ok(value), Ok(found), Ok(host)) = (
        std::str::from_utf8(value),
        std::str::from_utf8(found),
        std::str::from_utf8(host),
    ) else {
        return;
    };
    let variable = |name: &str| (!name.is_empty()).then(|| found.to_owned());
    let facts = |host, variable| ExpandFacts {
        server_name: "www.example.com",
        port: 80,
        host,
        script_name,
        case_sensitive: true,
        variable,
    };
    let (first, other) = (facts(host, &variable), facts("other", &|_: &str| None));

    let group = process_group(Some(value), &first);
    assert_eq!(application_group(Some(value), &first), group);
    let is_variable = value.starts_with("%{ENV:") && value.ends_with('}');
    if !is_variable && !FORMS.contains(&value) {
        assert_eq!(group, value);
    }
    if !comes_from_client(Some(value), false) {
        assert_eq!(process_group(Some(value), &other), group);
    } else {
        assert!(is_variable || value == "%{HOST}");
    }
    // What a client sends is not expanded a second time, but for the forms that httpd's own variables may name.
    if is_variable && !FORMS.contains(&found) {
        assert!(group == found || group == value);
    }
    let hook = hook_group(Some(value), &first);
    assert!(hook == value || (hook == group && FORMS.contains(&value)));
    let callable = callable_object(Some(value), &first);
    assert!(callable == value || callable == "application" || callable == found);
    // What a variable says is a name, whatever it looks like.
    assert!(!callable.starts_with('%') || (is_variable && callable == found));
    // Different scripts have different interpreters.
    let resource = application_group(None, &first).into_owned();
    let shown = resource
        .strip_prefix("www.example.com|")
        .expect("the port is the usual one");
    assert!(!shown.contains("//"));
});
