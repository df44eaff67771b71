//! Words, switches and options in general.

use super::*;

/// Words, switches and options in general; every row of the table names its row of the specification.
#[test]
fn words_and_options() {
    check(&[
        ("GEN-04", "WSGIScriptAlias '/a b' \"/x/y z.wsgi\"", Accepted),
        (
            "GEN-04",
            "Define TARGET /x.wsgi\nWSGIScriptAlias / ${TARGET}",
            Accepted,
        ),
        ("GEN-05", "WSGIScriptReloading on", Accepted),
        ("GEN-05", "WSGIScriptReloading OFF", Accepted),
        ("GEN-05", "WSGIScriptReloading yes", Refused),
        ("GEN-05", "WSGIScriptReloading 1", Refused),
        ("GEN-05", "WSGIScriptReloading true", Refused),
        ("GEN-05", "WSGIScriptReloading \"\"", Refused),
        ("GEN-05", "WSGIMapHEADToGET auto", Accepted),
        ("GEN-05", "WSGIMapHEADToGET On", Accepted),
        ("GEN-05", "WSGIMapHEADToGET maybe", Refused),
        ("GEN-06", "WSGIProcessGroup", Refused),
        ("GEN-06", "WSGIProcessGroup a b", Refused),
        ("GEN-06", "WSGIProcessGroup \"\"", Refused),
        ("GEN-06", "WSGIScriptReloading", Refused),
        ("GEN-06", "WSGIScriptReloading On Off", Refused),
        ("GEN-07", "WSGIScriptAlias / /x process-group", Refused),
        ("GEN-07", "WSGIScriptAlias / /x =a", Refused),
        ("GEN-07", "WSGIScriptAlias / /x process-group =a", Refused),
        ("GEN-07", "WSGIScriptAlias / /x Process-Group=a", Refused),
        ("GEN-07", "WSGIScriptAlias / /x what=a", Refused),
        (
            "GEN-08",
            "WSGIDaemonProcess a display-name=\"a b\"",
            Accepted,
        ),
        ("GEN-08", "WSGIDaemonProcess a \"display-name=a\"", Refused),
        ("GEN-07", "WSGIScriptAlias / /x process-group= a", Accepted),
        (
            "GEN-07",
            "WSGIScriptAlias / /x process-group=a \"\"",
            Refused,
        ),
        (
            "GEN-08",
            "WSGIScriptAlias / /x process-group=\"a\"b",
            Refused,
        ),
        ("GEN-05", "WSGIScriptReloading \" On\"", Refused),
        (
            "GEN-09",
            "WSGIScriptAlias / /x process-group=a process-group=b",
            Accepted,
        ),
        (
            "GEN-12",
            "WSGIScriptAlias / relative/missing.wsgi",
            Accepted,
        ),
        ("GEN-13", "wsgiscriptALIAS / /x", Accepted),
        ("DIR-001", "WSGIScriptAlias", Refused),
        ("DIR-001", "WSGIScriptAlias /", Refused),
        ("DIR-001", "WSGIScriptAlias \"\" /x", Refused),
        ("DIR-001", "WSGIScriptAlias / \"\"", Refused),
        ("DIR-001", "WSGIScriptAliasMatch ^/x", Refused),
        (
            "DIR-002",
            "WSGIScriptAlias / /x process-group=a callable-object=b pass-authorization=oN",
            Accepted,
        ),
        ("DIR-002", "WSGIScriptAlias / /x process-group=", Refused),
        (
            "DIR-002",
            "WSGIScriptAlias / /x application-group=",
            Refused,
        ),
        ("DIR-002", "WSGIScriptAlias / /x callable-object=", Refused),
        (
            "DIR-002",
            "WSGIScriptAlias / /x pass-authorization=",
            Refused,
        ),
        (
            "DIR-002",
            "WSGIScriptAlias / /x pass-authorization=yes",
            Refused,
        ),
        ("DIR-003", "WSGIScriptAliasMatch ^/(?:a|b)+$ /x", Accepted),
        ("DIR-003", "WSGIScriptAliasMatch ( /x", Refused),
        ("DIR-004", "WSGIScriptAlias no-slash /x", Accepted),
        (
            "DIR-015",
            "WSGIScriptAlias / /x process-group=%{ENV:A} application-group=b",
            Accepted,
        ),
        ("DIR-020", "WSGIHandlerScript", Refused),
        ("DIR-020", "WSGIHandlerScript name", Refused),
        (
            "DIR-020",
            "WSGIHandlerScript name /x process-group=any application-group=any pass-authorization=On",
            Accepted,
        ),
        (
            "DIR-020",
            "WSGIHandlerScript name /x callable-object=a",
            Refused,
        ),
        (
            "DIR-020",
            "WSGIHandlerScript name /x process-group=",
            Refused,
        ),
        (
            "DIR-020",
            "WSGIHandlerScript name /x pass-authorization=maybe",
            Refused,
        ),
        ("DIR-040", "WSGIProcessGroup nobody-knows", Accepted),
        ("DIR-043", "WSGIRestrictProcess", Accepted),
        ("DIR-043", "WSGIRestrictProcess a %{GLOBAL} b", Accepted),
    ]);
}
