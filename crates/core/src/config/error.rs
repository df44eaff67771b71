//! What is wrong with a directive. The text is what httpd prints behind file and line.

/// A directive that is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// Too few or too many words.
    #[error("{directive} takes {expected}")]
    Arguments {
        /// Directive.
        directive: &'static str,
        /// What it takes.
        expected: &'static str,
    },
    /// A word that is no option of this directive.
    #[error("Invalid option to {directive}: '{option}'. {hint}")]
    Option {
        /// Directive.
        directive: &'static str,
        /// What stands there.
        option: String,
        /// What could stand there.
        hint: String,
    },
    /// A value that an option or the directive itself does not take.
    #[error("Invalid value '{value}' for {what} of {directive}: {expected}")]
    Value {
        /// Directive.
        directive: &'static str,
        /// Option, or `the argument`.
        what: String,
        /// What stands there.
        value: String,
        /// What is allowed.
        expected: String,
    },
    /// GEN-05.
    #[error("{directive} must be {allowed}, not '{value}'")]
    Switch {
        /// Directive.
        directive: &'static str,
        /// What stands there.
        value: String,
        /// `On or Off`.
        allowed: &'static str,
    },
    /// DP-01.
    #[error(
        "Name duplicates previous WSGI daemon definition: WSGIDaemonProcess '{0}'; the name of a daemon process group is unique in the whole server"
    )]
    DuplicateGroup(String),
    /// DIR-013.
    #[error(
        "WSGI process group '{0}' not yet configured: write its WSGIDaemonProcess before this line"
    )]
    UnknownGroup(String),
    /// DIR-013.
    #[error(
        "WSGI process group '{0}' is not accessible here: it was defined in a virtual host with another ServerName"
    )]
    Inaccessible(String),
    /// DIR-013.
    #[error(
        "WSGI process group '{0}' is not matchable here: both virtual hosts need the same ServerName to share it"
    )]
    Unmatchable(String),
    /// Section 14: a directive of an older release whose absence changes what the server does.
    #[error("{directive} is not supported: {advice}")]
    Removed {
        /// Directive.
        directive: &'static str,
        /// What to do.
        advice: &'static str,
    },
    /// Anything else about a section.
    #[error("{0}")]
    Section(String),
}
