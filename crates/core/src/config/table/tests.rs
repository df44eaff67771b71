//! The table against section 2 of the specification.

use super::*;
use std::collections::BTreeSet;

/// Directive, arguments by the words that httpd counts (1: one, *: the rest of the line), context (I: also inside
/// `<WSGIInterpreterOptions>`), class for `.htaccess`, first release, scope.
const OVERVIEW: &[(&str, char, &str, &str, &str, &str)] = &[
    ("WSGIScriptAlias", '*', "SV", "", "1.0", "list per server"),
    (
        "WSGIScriptAliasMatch",
        '*',
        "SV",
        "",
        "1.0",
        "list per server",
    ),
    ("WSGIDaemonProcess", '*', "SV", "", "1.0", "global list"),
    ("WSGISocketPrefix", '1', "S", "", "1.0", "global"),
    ("WSGISocketRotation", '1', "S", "", "4.6.0", "global"),
    ("WSGIAcceptMutex", '1', "S", "", "1.0", "global"),
    ("WSGIProcessGroup", '1', "SVD", "", "1.0", "merge"),
    ("WSGIApplicationGroup", '1', "SVD", "", "1.0", "merge"),
    ("WSGIRestrictProcess", '*', "SVD", "", "1.0", "merge"),
    (
        "WSGICallableObject",
        '1',
        "SVDH",
        "FileInfo",
        "1.0",
        "merge",
    ),
    (
        "WSGIScriptReloading",
        '1',
        "SVDH",
        "FileInfo",
        "1.0",
        "merge",
    ),
    (
        "WSGIPassAuthorization",
        '1',
        "SVDH",
        "FileInfo",
        "1.0",
        "merge",
    ),
    ("WSGIPassApacheRequest", '1', "SVD", "", "3.0", "merge"),
    ("WSGIErrorOverride", '1', "SVDH", "FileInfo", "3.0", "merge"),
    (
        "WSGIChunkedRequest",
        '1',
        "SVDH",
        "FileInfo",
        "3.0",
        "merge",
    ),
    (
        "WSGIMapHEADToGET",
        '1',
        "SVDH",
        "FileInfo",
        "4.3.0",
        "merge",
    ),
    (
        "WSGIIgnoreActivity",
        '1',
        "SVDH",
        "FileInfo",
        "4.5.8",
        "merge",
    ),
    (
        "WSGIEnableSendfile",
        '1',
        "SVDH",
        "FileInfo",
        "3.4",
        "merge",
    ),
    (
        "WSGITrustedProxyHeaders",
        '*',
        "SVDH",
        "FileInfo",
        "4.4.9",
        "merge (list)",
    ),
    (
        "WSGITrustedProxies",
        '*',
        "SVDH",
        "FileInfo",
        "4.4.10",
        "merge (list)",
    ),
    (
        "WSGIHandlerScript",
        '*',
        "SVD",
        "",
        "3.0",
        "merge (by name)",
    ),
    ("WSGIDispatchScript", '*', "SVD", "", "2.0", "merge"),
    (
        "WSGIAccessScript",
        '*',
        "DH",
        "AuthConfig",
        "2.0",
        "dir merge",
    ),
    (
        "WSGIAuthUserScript",
        '*',
        "DH",
        "AuthConfig",
        "2.0",
        "dir merge",
    ),
    (
        "WSGIAuthGroupScript",
        '*',
        "DH",
        "AuthConfig",
        "2.0",
        "dir merge",
    ),
    (
        "WSGIGroupAuthoritative",
        '1',
        "DH",
        "AuthConfig",
        "2.0",
        "dir merge",
    ),
    ("WSGIImportScript", '*', "SV", "", "2.0", "global list"),
    ("WSGIRestrictEmbedded", '1', "S", "", "2.0", "global"),
    ("WSGIRestrictStdin", '1', "S, I", "", "1.0", "global"),
    ("WSGIRestrictStdout", '1', "S, I", "", "1.0", "global"),
    ("WSGIRestrictSignal", '1', "S, I", "", "1.0", "global"),
    ("WSGICaseSensitivity", '1', "S", "", "1.0", "global"),
    ("WSGIPythonHome", '1', "S", "", "1.0", "global"),
    ("WSGIPythonPath", '1', "S, I", "", "1.0", "global"),
    ("WSGIPythonEggs", '1', "S", "", "2.0", "global"),
    ("WSGIPythonOptimize", '1', "S", "", "1.0", "global"),
    ("WSGIPythonWarnings", '1', "S", "", "3.0", "global list"),
    ("WSGIDontWriteBytecode", '1', "S", "", "3.4", "global"),
    ("WSGIPythonHashSeed", '1', "S", "", "4.1.0", "global"),
    ("WSGISwitchInterval", '1', "S, I", "", "6.0.0", "global"),
    ("WSGIDestroyInterpreter", '1', "S", "", "4.9.1", "global"),
    ("WSGIPerInterpreterGIL", '1', "S, I", "", "6.0.0", "global"),
    ("WSGIFreeThreading", '1', "S, I", "", "6.0.0", "global"),
    (
        "<WSGIInterpreterOptions",
        '*',
        "S",
        "",
        "6.0.0",
        "global list",
    ),
    ("WSGIServerMetrics", '1', "S", "", "4.2.0", "global"),
    ("WSGITelemetryService", '*', "S", "", "6.0.0", "global"),
    ("WSGITelemetryOptions", '*', "S", "", "6.0.0", "global"),
    ("WSGISlowRequests", '1', "S", "", "6.0.0", "global"),
    ("WSGIVerboseDebugging", '1', "S", "", "3.0", "global"),
];

fn row(name: &str) -> &'static Directive {
    DIRECTIVES
        .iter()
        .find(|row| row.name == name)
        .unwrap_or_else(|| panic!("no row {name}"))
}

/// CTX-01 to CTX-07, GEN-06, MRG-08, DIR-095: each directive of 6.1 with its arguments, contexts, classes and scope.
#[test]
fn rows_of_the_specification() {
    for (name, words, context, class, since, scope) in OVERVIEW {
        let row = row(name);
        let arity = if *words == '1' {
            Arity::One
        } else {
            Arity::Raw
        };
        assert_eq!(row.arity, arity, "{name}");
        let (context, inside) = match context.split_once(", ") {
            Some((context, _)) => (context, true),
            None => (*context, false),
        };
        assert_eq!(format!("{:?}", row.context), context, "{name}");
        assert_eq!(row.in_interpreter_options, inside || row.section, "{name}");
        let expected = match *class {
            "FileInfo" => Override::FileInfo,
            "AuthConfig" => Override::AuthConfig,
            _ => Override::None,
        };
        assert_eq!(row.over, expected, "{name}");
        assert_eq!(row.since, *since, "{name}");
        let expected = match scope.split(' ').next() {
            Some("merge") => Scope::Merge,
            Some("dir") => Scope::DirMerge,
            _ if scope.contains("list") => Scope::List,
            _ => Scope::Global,
        };
        assert_eq!(row.scope, expected, "{name}");
    }
}

/// KD-01 to KD-07: what is there besides is of older releases, or ours.
#[test]
fn rows_besides() {
    let known: BTreeSet<_> = OVERVIEW.iter().map(|row| row.0).collect();
    let besides: BTreeSet<_> = DIRECTIVES
        .iter()
        .map(|row| row.name)
        .filter(|name| !known.contains(name))
        .collect();
    let expected = [
        "WSGIApacheExtensions",
        "WSGILazyInitialization",
        "WSGINewRelicConfigFile",
        "WSGINewRelicEnvironment",
        "WSGIOutputBuffering",
        "WSGIPy3kWarningFlag",
        "WSGIPythonExecutable",
        "WSGIPythonVersion",
        "WSGIReloadMechanism",
        "WSGIRuntimeDirectory",
        "WSGIUserAuthoritative",
    ];
    assert_eq!(besides, BTreeSet::from(expected));
    assert_eq!(known.len() + expected.len(), DIRECTIVES.len());
}

/// A row takes no text of its base over, but says all of them.
#[test]
fn rows_have_their_texts() {
    for row in DIRECTIVES {
        let texts = [
            row.syntax,
            row.default,
            row.since,
            row.help,
            row.doc,
            row.example,
        ];
        assert!(texts.iter().all(|text| !text.is_empty()), "{}", row.name);
    }
}

/// GEN-13: httpd compares names without case, so they must differ in more than that.
#[test]
fn names_are_unique() {
    let names: BTreeSet<_> = DIRECTIVES
        .iter()
        .map(|row| row.name.to_ascii_lowercase())
        .collect();
    assert_eq!(names.len(), DIRECTIVES.len());
}

/// CTX-03, CTX-05: `.htaccess` only where a class allows it.
#[test]
fn classes_fit_contexts() {
    for row in DIRECTIVES {
        let in_htaccess = matches!(row.context, Context::SVDH | Context::DH);
        assert_eq!(row.over != Override::None, in_htaccess, "{}", row.name);
    }
}
