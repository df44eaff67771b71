//! How contexts come together.

use super::*;
use crate::config::testing::Reading;
use crate::config::{Alias, DIRECTIVES, ServerConfig};
use proptest::prelude::*;

/// What a section with these lines says.
#[track_caller]
fn section(lines: &str) -> Layer {
    let mut reading = Reading::new();
    reading.section = Some(Layer::default());
    reading.lines(lines);
    reading.section.unwrap()
}

/// Each directive that merges, with a value that is its default and one that is not.
const MERGING: &[(&str, &str, &str)] = &[
    ("WSGIProcessGroup", "%{GLOBAL}", "a"),
    ("WSGIApplicationGroup", "%{RESOURCE}", "a"),
    ("WSGIRestrictProcess", "a", "b c"),
    ("WSGICallableObject", "application", "a"),
    ("WSGIScriptReloading", "On", "Off"),
    ("WSGIPassAuthorization", "Off", "On"),
    ("WSGIPassApacheRequest", "Off", "On"),
    ("WSGIErrorOverride", "Off", "On"),
    ("WSGIChunkedRequest", "Off", "On"),
    ("WSGIMapHEADToGET", "Auto", "Off"),
    ("WSGIIgnoreActivity", "Off", "On"),
    ("WSGIEnableSendfile", "Off", "On"),
    ("WSGITrustedProxyHeaders", "", "X-A"),
    ("WSGITrustedProxies", "", "10.0.0.1"),
    ("WSGIDispatchScript", "/a", "/b"),
    ("WSGIAccessScript", "/a", "/b"),
    ("WSGIAuthUserScript", "/a", "/b"),
    ("WSGIAuthGroupScript", "/a", "/b"),
    ("WSGIGroupAuthoritative", "On", "Off"),
];

/// MRG-01 to MRG-05, MRG-09: for every one, the inner value if it is set, also to the default or to nothing, else the outer one;
/// values and lists are replaced whole.
#[test]
fn the_inner_value_wins() {
    for (name, default, other) in MERGING {
        let default = section(&format!("{name} {default}"));
        let other = section(&format!("{name} {other}"));
        let nothing = Layer::default();
        assert_ne!(default, other, "{name}");
        assert_ne!(default, nothing, "{name}: set to the default is set");
        for (base, over, result) in [
            (&default, &other, &other),
            (&other, &default, &default),
            (&other, &nothing, &other),
            (&nothing, &default, &default),
        ] {
            assert_eq!(Layer::merge(base, over), *result, "{name}");
        }
    }
}

/// MRG-01 to MRG-04: no directive that merges is left out above.
#[test]
fn all_that_merge_are_known() {
    use crate::config::Scope;
    for row in DIRECTIVES {
        let merges = matches!(row.scope, Scope::Merge | Scope::DirMerge);
        // Older ones have no value of their own, and handler scripts are united by name.
        let elsewhere = [
            "WSGIHandlerScript",
            "WSGIReloadMechanism",
            "WSGIApacheExtensions",
            "WSGIUserAuthoritative",
        ];
        let known = MERGING.iter().any(|(name, ..)| *name == row.name);
        assert_eq!(
            known || elsewhere.contains(&row.name),
            merges,
            "{}",
            row.name
        );
    }
}

/// MRG-01, KD-30: hard defaults, where no context says anything.
#[test]
fn defaults() {
    let nothing = Layer::default();
    for found in [
        Effective::new(&nothing, None),
        Effective::new(&nothing, Some(&nothing)),
    ] {
        assert_eq!(found.process_group(), None);
        assert_eq!(found.application_group(), None);
        assert_eq!(found.restrict_process(), None);
        assert_eq!(found.callable_object(), None);
        assert!(found.script_reloading());
        assert_eq!(found.map_head_to_get(), MapHead::Auto);
        assert!(found.trusted_proxy_headers().is_empty());
        assert_eq!(found.trusted_proxies(), None);
        let switches = [
            found.pass_authorization(),
            found.error_override(),
            found.chunked_request(),
            found.ignore_activity(),
            found.enable_sendfile(),
        ];
        assert_eq!(switches, [false; 5]);
        assert!(found.handler_script("any").is_none());
        assert!(found.dispatch_script().is_none());
    }
}

/// MRG-01: directory, else server, value by value.
#[test]
fn the_directory_comes_first() {
    let server = Reading::of(
        "WSGIProcessGroup server\nWSGIApplicationGroup server\nWSGIScriptReloading Off
         WSGIMapHEADToGET On\nWSGITrustedProxies 10.0.0.1\nWSGITrustedProxyHeaders X-A",
    );
    let directory =
        section("WSGIProcessGroup directory\nWSGIScriptReloading On\nWSGITrustedProxyHeaders");
    let found = Effective::new(server.layer(), Some(&directory));
    assert_eq!(found.process_group(), Some("directory"));
    assert_eq!(found.application_group(), Some("server"));
    assert!(found.script_reloading());
    assert_eq!(found.map_head_to_get(), MapHead::On);
    assert!(found.trusted_proxy_headers().is_empty(), "DIR-132");
    assert_eq!(found.trusted_proxies().map(<[_]>::len), Some(1));
}

/// MRG-07: handler scripts of all contexts, of one name the innermost.
#[test]
fn handler_scripts_are_united() {
    let server = section("WSGIHandlerScript a /server\nWSGIHandlerScript b /server");
    let outer = section("WSGIHandlerScript b /outer\nWSGIHandlerScript c /outer");
    let inner = section("WSGIHandlerScript c /inner");
    let directory = Layer::merge(&outer, &inner);
    let found = Effective::new(&server, Some(&directory));
    let path = |name| {
        found
            .handler_script(name)
            .map(|script| script.path.as_str())
    };
    assert_eq!(path("a"), Some("/server"));
    assert_eq!(path("b"), Some("/outer"));
    assert_eq!(path("c"), Some("/inner"));
    assert_eq!(path("A"), None);
}

/// MRG-02, MRG-06: a virtual host on top of the main server: its values, and its aliases first.
#[test]
fn hosts() {
    let mut reading = Reading::of(
        "WSGIScriptAlias /both /main\nWSGIScriptAlias /main /main\nWSGIProcessGroup main\nWSGICallableObject main",
    );
    reading.host(Some("host"));
    reading.lines("WSGIScriptAlias /both /host\nWSGIProcessGroup host\nWSGIScriptAlias /x /host");
    let merged = ServerConfig::merge(&reading.servers[0], &reading.servers[1]);
    let aliases: Vec<(&str, &str)> = merged
        .aliases
        .iter()
        .map(|alias: &Alias| (alias.url.as_str(), alias.target.as_str()))
        .collect();
    assert_eq!(
        aliases,
        [
            ("/both", "/host"),
            ("/x", "/host"),
            ("/both", "/main"),
            ("/main", "/main")
        ]
    );
    assert_eq!(merged.layer.process_group.as_deref(), Some("host"));
    assert_eq!(merged.layer.callable_object.as_deref(), Some("main"));
}

/// A layer of any of the lines above, or none of each.
fn any_layer() -> impl Strategy<Value = Layer> {
    let choices = proptest::collection::vec(0..3_u8, MERGING.len());
    let handlers = proptest::collection::vec(("[abc]", "/[xyz]"), 0..3);
    (choices, handlers).prop_map(|(choices, handlers)| {
        let mut lines = String::new();
        for ((name, default, other), choice) in MERGING.iter().zip(choices) {
            match choice {
                0 => {}
                1 => lines += &format!("{name} {default}\n"),
                _ => lines += &format!("{name} {other}\n"),
            }
        }
        for (name, path) in handlers {
            lines += &format!("WSGIHandlerScript {name} {path}\n");
        }
        section(&lines)
    })
}

proptest! {
    /// MRG-03: httpd may merge sections in any grouping; the order of handler scripts means nothing.
    #[test]
    fn grouping_does_not_matter(a in any_layer(), b in any_layer(), c in any_layer()) {
        let sorted = |mut layer: Layer| {
            layer.handler_scripts.sort_by(|one, two| one.name.cmp(&two.name));
            layer
        };
        let left = Layer::merge(&Layer::merge(&a, &b), &c);
        let right = Layer::merge(&a, &Layer::merge(&b, &c));
        prop_assert_eq!(sorted(left), sorted(right));
    }

    /// MRG-01, MRG-03: a context that says nothing changes nothing, and one on top of itself is itself.
    #[test]
    fn nothing_changes_nothing(layer in any_layer()) {
        let nothing = Layer::default();
        prop_assert_eq!(&Layer::merge(&layer, &nothing), &layer);
        prop_assert_eq!(&Layer::merge(&nothing, &layer), &layer);
        prop_assert_eq!(&Layer::merge(&layer, &layer), &layer);
    }

    /// MRG-01: looking in directory and then server is looking in the two merged.
    #[test]
    fn lookup_is_merging(server in any_layer(), directory in any_layer()) {
        let merged = Layer::merge(&server, &directory);
        let one = Effective::new(&server, Some(&directory));
        let two = Effective::new(&merged, None);
        prop_assert_eq!(one.process_group(), two.process_group());
        prop_assert_eq!(one.restrict_process(), two.restrict_process());
        prop_assert_eq!(one.script_reloading(), two.script_reloading());
        prop_assert_eq!(one.map_head_to_get(), two.map_head_to_get());
        prop_assert_eq!(one.trusted_proxies(), two.trusted_proxies());
        prop_assert_eq!(one.trusted_proxy_headers(), two.trusted_proxy_headers());
        prop_assert_eq!(one.access_script(), two.access_script());
        for name in ["a", "b", "c"] {
            prop_assert_eq!(one.handler_script(name), two.handler_script(name));
        }
    }
}
