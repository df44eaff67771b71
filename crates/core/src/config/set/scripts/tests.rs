//! Lines of a configuration that name scripts, and what they set.

use super::*;
use crate::config::Layer;
use crate::config::testing::Reading;
use proptest::prelude::*;

fn alias(line: &str) -> Alias {
    Reading::of(line).servers.remove(0).aliases.remove(0)
}

fn imports(reading: &Reading) -> Vec<(&str, &str, &str)> {
    let scripts = reading.global.import_scripts.iter();
    scripts
        .map(|script| {
            (
                script.script.as_str(),
                script.process_group.as_str(),
                script.application_group.as_str(),
            )
        })
        .collect()
}

/// DIR-001, GEN-12: two words, with the name of the directive that lacks one; paths as they are written.
#[test]
fn words_of_an_alias() {
    for line in ["", "/", "\"\" /x", "/ \"\"", "\"/\""] {
        for name in ["WSGIScriptAlias", "WSGIScriptAliasMatch"] {
            let message = Reading::refusal(&format!("{name} {line}"));
            assert!(
                message.starts_with(&format!("{name} takes at least two")),
                "{message}"
            );
        }
    }
    let found = alias("WSGIScriptAlias '/a b' \"no/such file\"");
    assert_eq!(found.url, "/a b");
    assert_eq!(found.target, "no/such file");
    assert!(!found.is_match);
}

/// DIR-002, GEN-09, XPN-24, XPN-28: options; `%{GLOBAL}` is emptied now, everything else is left for later.
#[test]
fn options_of_an_alias() {
    let found = alias(
        "WSGIScriptAlias / /x process-group=a process-group=%{ENV:P} application-group= %{GLOBAL} \
         callable-object=%{ENV:C} pass-authorization=oFF pass-authorization=ON",
    );
    assert_eq!(found.process_group.as_deref(), Some("%{ENV:P}"));
    assert_eq!(found.application_group.as_deref(), Some(""));
    assert_eq!(found.callable_object.as_deref(), Some("%{ENV:C}"));
    assert_eq!(found.pass_authorization, Some(true));
    let none = alias("WSGIScriptAlias / /x");
    assert_eq!((none.process_group, none.pass_authorization), (None, None));
    for option in ["process-group", "application-group", "callable-object"] {
        for value in ["", "\"\""] {
            let message = Reading::refusal(&format!("WSGIScriptAlias / /x {option}={value}"));
            assert!(message.contains(option), "{message}");
        }
    }
    for value in ["", "yes", "1"] {
        let message = Reading::refusal(&format!(
            "WSGIScriptAlias / /x pass-authorization=\"{value}\""
        ));
        assert_eq!(
            message,
            format!(
                "Invalid value '{value}' for option 'pass-authorization' of WSGIScriptAlias: must be On or Off"
            )
        );
    }
    for bad in [
        "what=1",
        "Process-Group=a",
        "process-group",
        "=a",
        "\"process-group=a\"",
    ] {
        let message = Reading::refusal(&format!("WSGIScriptAlias / /x {bad}"));
        assert!(message.contains("process-group application-group callable-object"));
    }
}

/// DIR-003: an expression that cannot be compiled, with the reason.
#[test]
fn expressions() {
    assert!(alias("WSGIScriptAliasMatch ^/(a|b)$ /x").is_match);
    let message = Reading::refusal("WSGIScriptAliasMatch (? /x");
    assert!(
        message.contains("'(?'") && message.ends_with("unbalanced"),
        "{message}"
    );
    alias("WSGIScriptAlias (? /x");
}

/// DIR-012, DIR-015: what is loaded at start.
#[test]
fn preloading() {
    for (options, loaded) in [
        ("", None),
        ("process-group=g", None),
        ("application-group=a", None),
        ("process-group=g application-group=a", Some(("g", "a"))),
        (
            "process-group=%{GLOBAL} application-group=%{GLOBAL}",
            Some(("", "")),
        ),
        ("process-group=%{ENV:A} application-group=a", None),
        ("process-group=g application-group=%{RESOURCE}", None),
        ("process-group=g application-group=x%{", None),
    ] {
        for (kind, target) in [
            ("WSGIScriptAlias / ", "/x$1"),
            ("WSGIScriptAliasMatch ^/ ", "/x"),
            ("WSGIScriptAliasMatch ^/ ", "/x$1"),
        ] {
            let reading = Reading::of(&format!("WSGIDaemonProcess g\n{kind}{target} {options}"));
            let loaded = loaded.filter(|_| !kind.contains("Match") || !target.contains('$'));
            let expected: Vec<_> = loaded
                .map(|(process, application)| (target, process, application))
                .into_iter()
                .collect();
            assert_eq!(imports(&reading), expected, "{kind}{target} {options}");
            assert_eq!(reading.servers[0].aliases.len(), 1);
        }
    }
}

/// DIR-013: who may have a script loaded into which group, by the names of that moment.
#[test]
fn groups_of_other_servers() {
    const LINE: &str = "WSGIImportScript /x process-group=g application-group=a";
    let text = |result: Result<(), ConfigError>| result.err().map(|error| error.to_string());
    let said = |theirs: Option<&str>, ours: Option<&str>| {
        let mut reading = Reading::new();
        reading.host(theirs);
        reading.lines("WSGIDaemonProcess g");
        assert_eq!(reading.line(LINE), Ok(()), "its own server");
        reading.host(ours);
        text(reading.line(LINE))
    };
    assert_eq!(said(Some("a"), Some("a")), None);
    assert_eq!(said(None, None), None);
    let message = said(Some("a"), Some("b")).unwrap();
    assert!(message.contains("'g' is not accessible"), "{message}");
    for (theirs, ours) in [(Some("a"), None), (None, Some("a"))] {
        let message = said(theirs, ours).unwrap();
        assert!(message.contains("'g' is not matchable"), "{message}");
    }
    // One of the main server is everybody's; one that comes later is nobody's.
    let mut reading = Reading::of("WSGIDaemonProcess g");
    reading.host(Some("a"));
    assert_eq!(reading.line(LINE), Ok(()));
    let message = Reading::refusal(LINE);
    assert!(message.contains("'g' not yet configured"), "{message}");
}

/// DIR-076, MRG-08, XPN-25: one list in file order, whatever the server, which each script remembers.
#[test]
fn import_scripts() {
    let mut reading = Reading::of(
        "WSGIDaemonProcess g\nWSGIImportScript /a process-group=g application-group=%{SERVER}",
    );
    reading.host(Some("host"));
    reading.lines("WSGIImportScript '/b c' application-group=x process-group=%{GLOBAL}");
    reading.server = 0;
    reading.lines("WSGIScriptAlias / /d process-group=g application-group=%{GLOBAL}");
    assert_eq!(
        imports(&reading),
        [("/a", "g", "%{SERVER}"), ("/b c", "", "x"), ("/d", "g", "")]
    );
    let servers = reading.global.import_scripts.iter();
    let servers: Vec<_> = servers.map(|script| script.server_ordinal).collect();
    assert_eq!(servers, [0, 1, 0]);
    for line in [
        "",
        "\"\" process-group=%{GLOBAL} application-group=a",
        "/x",
        "/x process-group=%{GLOBAL}",
        "/x application-group=a",
        "/x process-group=%{GLOBAL} application-group=",
        "/x process-group=%{GLOBAL} application-group=a callable-object=b",
        "/x process-group=%{SERVER} application-group=a",
    ] {
        Reading::refusal(&format!("WSGIImportScript {line}"));
    }
}

/// DIR-020, DIR-022, MRG-07: nothing is looked up; of one name the later counts.
#[test]
fn handler_scripts() {
    let reading = Reading::of(
        "WSGIHandlerScript a /one process-group=unknown application-group=%{GLOBAL} pass-authorization=On
         WSGIHandlerScript b /two
         WSGIHandlerScript a /three",
    );
    let scripts = reading.layer().handler_scripts.iter();
    let scripts: Vec<_> = scripts
        .map(|script| (script.name.as_str(), script.path.as_str()))
        .collect();
    assert_eq!(scripts, [("b", "/two"), ("a", "/three")]);
    let reading = Reading::of(
        "WSGIHandlerScript a /one process-group=%{GLOBAL} application-group=%{GLOBAL} pass-authorization=On",
    );
    let script = &reading.layer().handler_scripts[0];
    // XPN-28: not an alias, so left for the request.
    assert_eq!(script.process_group.as_deref(), Some("%{GLOBAL}"));
    assert_eq!(script.application_group.as_deref(), Some("%{GLOBAL}"));
    assert_eq!(script.pass_authorization, Some(true));
    for line in [
        "",
        "a",
        "\"\" /x",
        "a \"\"",
        "a /x callable-object=b",
        "a /x process-group=",
        "a /x pass-authorization=maybe",
    ] {
        let message = Reading::refusal(&format!("WSGIHandlerScript {line}"));
        assert!(message.contains("WSGIHandlerScript"), "{message}");
    }
}

/// DIR-071, DIR-140 to DIR-143, XPN-22: the only option; children need Python for them.
#[test]
fn hook_scripts() {
    type Found = fn(&Layer) -> Option<&HookScript>;
    let hooks: [(&str, Found); 4] = [
        ("WSGIAccessScript", |l| l.access_script.as_ref()),
        ("WSGIAuthUserScript", |l| l.auth_user_script.as_ref()),
        ("WSGIAuthGroupScript", |l| l.auth_group_script.as_ref()),
        ("WSGIDispatchScript", |l| l.dispatch_script.as_ref()),
    ];
    for (name, script) in hooks {
        let mut reading = Reading::of("WSGIRestrictEmbedded On");
        assert!(!reading.global.needs_embedded_python());
        reading.section = Some(Default::default());
        reading.lines(&format!(
            "{name} /one application-group=a\n{name} '/two three' application-group= %{{SERVER}}"
        ));
        let section = reading.section.take().unwrap();
        let found = script(&section).unwrap();
        assert_eq!(found.path, "/two three");
        assert_eq!(found.application_group.as_deref(), Some("%{SERVER}"));
        assert!(reading.global.needs_embedded_python(), "{name}");
        for bad in [
            "",
            "\"\"",
            "/x process-group=a",
            "/x application-group=",
            "/x y",
        ] {
            let message = Reading::refusal(&format!("{name} {bad}"));
            assert!(message.contains(name), "{message}");
        }
    }
}

proptest! {
    /// DIR-001, GEN-04: what is quoted comes out again, with blanks and quotes.
    #[test]
    fn quoted_paths(url in "/[ a-z'\"\\\\]{0,8}", target in "[ a-z'\"\\\\]{1,8}") {
        let quoted = |text: &str| {
            format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
        };
        let found = alias(&format!("WSGIScriptAlias {} {}", quoted(&url), quoted(&target)));
        prop_assert_eq!((found.url, found.target), (url, target));
    }

    /// GEN-07: any line is taken or refused, and nothing is kept of a line that is refused.
    #[test]
    fn any_options(rest in "(process-group|application-group|x)?[= ]{0,2}[\"a %{}]{0,8}") {
        let mut reading = Reading::new();
        let taken = reading.line(&format!("WSGIScriptAlias / /x {rest}")).is_ok();
        prop_assert_eq!(reading.servers[0].aliases.len(), usize::from(taken));
    }
}
