//! The live harness: starts a real httpd for a test, talks HTTP to it in every bad manner a client can have, reads its log
//! and looks after what it leaves behind. Used by `tests/*.rs` in the process of the test; each [`Server`] is one httpd with
//! a folder and a port of its own.
//!
//! A test describes a [`Site`], starts it, asks it, and lets it go. When the server goes (or [`Server::stop`] is called), the
//! harness stops it and fails the test if the error log holds a line at warn or worse that the test did not expect, if a
//! process, a socket file or shared memory is left, or if a process crashed. What is left is ended by its id.
//!
//! Which module is tested is the [`subject`]: the one of this build, or `WSGI_UNDER_TEST=/path/mod_wsgi.so`. Rows where ours
//! is meant to differ from the original are asked for with [`Subject::differs`], by the row.
//!
//! Environment: `WSGI_UNDER_TEST`, `HTTPD` (default `apache2`, else `httpd`), `HTTPD_MODULES` (folder of httpd's own modules),
//! `WSGI_TEST_VENV` (virtual environment with Flask and Django), `WSGI_TEST_PYTHON` (version that servers
//! run, such as `3.14`), `WSGI_LOAD_SECONDS`, `WSGI_LONG` (both: `make test-long`), `WSGI_KEEP` (keep folders of servers).

mod check;
mod client;
mod httpd;
mod log;
mod matrix;
mod processes;
mod script;
mod server;
mod site;
mod subject;
mod surroundings;
mod wait;

pub mod http;
pub mod load;
pub mod telemetry;

pub use check::ConfigCheck;
pub use client::{Curl, CurlAnswer};
pub use http::{Answer, Connection, Framing, Request};
pub use httpd::Httpd;
pub use log::{ErrorLog, Level, Record};
pub use processes::{Process, ProcessTree};
pub use script::{IN_A_COPY, app, pattern, script};
pub use server::Server;
pub use site::{Mode, Mpm, Site};
pub use subject::{Subject, subject};
pub use surroundings::{is_root, load_duration, repository, test_venv, unprivileged_user};
pub use wait::{PATIENCE, wait_until, wait_within};
