//! Directives of older releases.

use super::*;

/// KD-01, KD-02, KD-03, KD-04, KD-05, KD-06, KD-07: directives of older releases. 6.1 knows none of them.
#[test]
fn directives_of_older_releases() {
    for (row, config, ours) in [
        ("KD-01", "WSGILazyInitialization On", true),
        ("KD-01", "WSGILazyInitialization Off", true),
        ("KD-02", "WSGIPy3kWarningFlag On", true),
        ("KD-03", "WSGIReloadMechanism Process", true),
        ("KD-03", "WSGIReloadMechanism Module", false),
        ("KD-04", "WSGIApacheExtensions On", true),
        (
            "KD-05",
            "<Location />\nWSGIUserAuthoritative On\n</Location>",
            true,
        ),
        (
            "KD-05",
            "<Location />\nWSGIUserAuthoritative Off\n</Location>",
            false,
        ),
        ("KD-06", "WSGINewRelicConfigFile /x", false),
        ("KD-06", "WSGINewRelicEnvironment x", false),
        ("KD-07", "WSGIPythonExecutable /x", false),
        ("KD-07", "WSGIOutputBuffering On", false),
    ] {
        let checked = Site::embedded().config(config).check();
        let expected = ours && subject().differs(row);
        assert_eq!(
            checked.accepted, expected,
            "{row}: {config}: {}",
            checked.output
        );
    }
}
