//! The directives, a row each (section 2 of the specification). httpd's command table, the parser and the pages in
//! `docs/directives` come from here. The rows stand in families, a module each; [`DIRECTIVES`] has them all.

use super::ConfigError;
use super::directive::{Arity, Context, Directive, Effect, Override, Scope};

mod applications;
mod earlier;
mod interpreters;
mod metrics;
mod python;
mod requests;
mod scripts;

/// The families, in the order of the table.
const FAMILIES: &[&[Directive]] = &[
    applications::ROWS,
    requests::ROWS,
    scripts::ROWS,
    python::ROWS,
    interpreters::ROWS,
    metrics::ROWS,
    earlier::ROWS,
];

/// Rows of all families.
const COUNT: usize = {
    let mut count = 0;
    let mut family = 0;
    while family < FAMILIES.len() {
        count += FAMILIES[family].len();
        family += 1;
    }
    count
};

/// The rows of all families, one behind the other.
static ROWS: [Directive; COUNT] = {
    let mut rows = [SERVER; COUNT];
    let (mut next, mut family) = (0, 0);
    while family < FAMILIES.len() {
        let mut row = 0;
        while row < FAMILIES[family].len() {
            rows[next] = FAMILIES[family][row];
            next += 1;
            row += 1;
        }
        family += 1;
    }
    rows
};

/// The table.
pub static DIRECTIVES: &[Directive] = &ROWS;

/// What rows take over that set one value for the whole server, with one word. Each row says the texts, and its `set`,
/// itself.
const SERVER: Directive = Directive {
    name: "",
    syntax: "",
    arity: Arity::One,
    context: Context::S,
    over: Override::None,
    scope: Scope::Global,
    default: "",
    since: "",
    help: "",
    doc: "",
    example: "",
    effect: Effect::Now,
    in_interpreter_options: false,
    section: false,
    set: |directive, _, _| {
        Err(ConfigError::Removed {
            directive,
            advice: "its row does not say what it sets",
        })
    },
};

/// What rows take over that may stand wherever requests are configured, `.htaccess` included.
const REQUEST: Directive = Directive {
    context: Context::SVDH,
    over: Override::FileInfo,
    scope: Scope::Merge,
    ..SERVER
};

/// What rows take over that are about access to a directory.
const ACCESS: Directive = Directive {
    context: Context::DH,
    over: Override::AuthConfig,
    scope: Scope::DirMerge,
    ..SERVER
};

#[cfg(test)]
mod tests;
