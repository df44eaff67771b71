//! Directives and options: one row of a table each, from which parsing, httpd's command table and the reference pages come
//! (spec directives.md).
//!
//! Parsing never acts: a directive changes a [`Layer`], a [`ServerConfig`] or the [`Global`] part, and may leave a notice for
//! the log. What a request gets is worked out by [`Effective`]; what a process gets by `process`. Everything here runs in the
//! Apache parent while the configuration is read, and in a child for `.htaccess`; the results are read-only afterwards.

mod alias;
mod directive;
mod error;
mod global;
mod group;
mod layer;
mod options;
mod origin;
mod place;
mod process;
pub mod reference;
pub mod report;
mod set;
mod table;
#[cfg(test)]
mod testing;
mod values;
pub mod words;

pub use alias::{Alias, Callable, ModuleTarget, NotAModule, ServerConfig};
pub use directive::{Arity, Context, Directive, Effect, Override, Scope, apply, close_block};
pub use error::ConfigError;
pub use global::{Global, ImportScript, InterpreterBlock, Notice, NoticeLevel};
pub use group::{Account, DaemonGroup, DaemonOptions};
pub use layer::{Effective, HandlerScript, HookScript, Layer, MapHead, Reloading};
pub use options::{DAEMON_OPTIONS, DaemonOption};
pub use origin::{Origin, Origins, Section};
pub use place::{Host, Place};
pub use process::PythonFacts;
pub use table::DIRECTIVES;
