//! The safe face of httpd and APR: requests, servers, pools, tables, brigades, log, process facts.
//!
//! This folder (with `module.rs` and `hooks/mod.rs`, where httpd calls in) is the only place that calls httpd. Its promises:
//! - A wrapper ([`Request`], [`Server`], [`Pool`], [`Table`], [`Connection`]) is made from a raw pointer in one place, by an
//!   `unsafe fn from_raw` whose caller vouches that httpd keeps the thing alive for the wrapper's lifetime: `'r` is the
//!   request, `'s` the configuration that a server belongs to, `'p` the pool. From then on only methods are used.
//! - Text comes out as bytes that live as long as the wrapper's lifetime: httpd keeps text in pools, which never free or move
//!   single pieces. Text that goes in is copied to the right pool.
//! - Nothing of httpd is kept in a static, except the number that httpd gave to our module (see [`log::set_module_index`]).
//! - No wrapper is `Send`: httpd's things are used by the thread that httpd handed them to. Configuration is read-only once
//!   the server runs, so code that shares it between threads does so through its own types.
//! - A Rust panic never reaches httpd: everything that C can call goes through [`guard`].
//!
//! What httpd does wrong with what we hand over is not our promise; what we hand over is valid.
#![allow(unsafe_code)] // calls of httpd; see the promises above

pub mod authorization;
pub mod body;
pub mod cgi;
pub mod command;
pub mod connection;
mod counted;
pub mod file;
pub mod guard;
pub mod log;
pub mod mpm;
pub mod other_child;
pub mod output;
pub mod pool;
pub mod process;
pub mod regex;
pub mod request;
pub mod scoreboard;
pub mod server;
pub mod slot;
pub mod status;
pub mod table;
pub mod text;
pub mod tree;

pub use body::{Body, ReadError, ReadFailure};
pub use command::Command;
pub use connection::Connection;
pub use file::{FileFacts, FileKind};
pub use log::Level;
pub use output::{After, Brigade, WriteError};
pub use pool::Pool;
pub use regex::Regex;
pub use request::Request;
pub use server::Server;
pub use status::Status;
pub use table::Table;
pub use tree::Directive;
