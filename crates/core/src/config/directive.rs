//! A row of the directive table, and how one is carried out.

use super::layer::Layer;
use super::{ConfigError, Global, NoticeLevel, Place};

/// How httpd splits the arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arity {
    /// One word, which httpd checks (GEN-06).
    One,
    /// The rest of the line.
    Raw,
}

/// Where a directive may stand (section 2 of the specification).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Context {
    /// Main server only.
    S,
    /// Main server and virtual hosts.
    SV,
    /// These and directory-type sections.
    SVD,
    /// These and `.htaccess`.
    SVDH,
    /// Directory-type sections and `.htaccess` only.
    DH,
}

/// AllowOverride class for `.htaccess`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Override {
    /// Not allowed there.
    None,
    /// FileInfo.
    FileInfo,
    /// AuthConfig.
    AuthConfig,
}

/// How values of different contexts come together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Per server and per directory, merged.
    Merge,
    /// One value for the whole server.
    Global,
    /// Accumulates.
    List,
    /// Per directory only, merged.
    DirMerge,
}

/// Whether a directive does what its documentation says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// It does.
    Now,
    /// It never does anything.
    Never,
}

/// A row.
#[derive(Clone, Copy)]
pub struct Directive {
    /// Name.
    pub name: &'static str,
    /// Arguments, for documentation.
    pub syntax: &'static str,
    /// How httpd splits them.
    pub arity: Arity,
    /// Where it may stand.
    pub context: Context,
    /// Class for `.htaccess`.
    pub over: Override,
    /// Merging.
    pub scope: Scope,
    /// Default, for documentation.
    pub default: &'static str,
    /// First release of mod_wsgi that had it.
    pub since: &'static str,
    /// One line, which httpd shows with its own errors.
    pub help: &'static str,
    /// Paragraphs of the reference page.
    pub doc: &'static str,
    /// Example for the reference page.
    pub example: &'static str,
    /// Whether it works.
    pub effect: Effect,
    /// Whether it is meant for `<WSGIInterpreterOptions>` as well.
    pub in_interpreter_options: bool,
    /// Whether it opens a section (`<Name …>`).
    pub section: bool,
    pub(super) set: fn(&'static str, &str, &mut Place<'_>) -> Result<(), ConfigError>,
}

/// Carries out a directive: `argument` is the one word, or the rest of the line. A section's children follow; its end is
/// [`close_block`].
///
/// # Errors
/// What is wrong with it, for httpd to print behind file and line. The settings may have changed partly: Apache does not start
/// with them.
pub fn apply(
    directive: &Directive,
    argument: &str,
    place: &mut Place<'_>,
) -> Result<(), ConfigError> {
    if place.global.open_block.is_some() && !directive.in_interpreter_options {
        let text = format!(
            "WSGI5003: {} at {}:{} stands inside <WSGIInterpreterOptions> but acts on the whole context around it.",
            directive.name, place.file, place.line
        );
        place.global.notice(NoticeLevel::Warn, text);
    }
    (directive.set)(directive.name, argument, place)
}

/// End of a `<WSGIInterpreterOptions>` section; what follows belongs to the one around it, if there is one.
pub fn close_block(global: &mut Global) {
    let block = global
        .open_block
        .and_then(|index| global.interpreter_blocks.get(index));
    global.open_block = block.and_then(|block| block.outer);
}

/// Marks that a hook script is in effect somewhere outside of `.htaccess` (DIR-071).
pub(super) fn note_hook_script(place: &mut Place<'_>) {
    place.global.has_hook_script = true;
}

/// Type of a setter's access to a layer.
pub(super) type Field<T> = fn(&mut Layer) -> &mut Option<T>;
