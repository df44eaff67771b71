//! mod_wsgi-rs, the module: the Apache side of hosting Python WSGI applications.
//!
//! `module` and `hooks` are what httpd sees; `embedded`, `client` and `supervisor` do the work; `config` holds what the
//! directives said; `apache` is the safe face of httpd. Python is never linked to this library: it is in a *runtime*, which a
//! child or a daemon loads.

pub mod apache;
pub mod client;
pub mod config;
pub mod embedded;
pub mod hooks;
pub mod installed;
pub mod module;
pub mod supervisor;
