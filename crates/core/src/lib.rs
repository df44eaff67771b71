//! What mod_wsgi-rs decides without httpd and without Python: the tables of directives and options, merging and expansion,
//! the rules for requests and answers, the wire format between an Apache child and a daemon, and the life of a daemon.
//!
//! Pure: no system call, no clock, no thread, no unsafe code. Everything here can be tested and fuzzed alone.
#![forbid(unsafe_code)]

pub mod answer;
pub mod board;
pub mod config;
pub mod control;
pub mod gate;
pub mod inbox;
pub mod life;
pub mod metrics;
pub mod ordinals;
pub mod python;
pub mod record;
pub mod request;
pub mod roster;
pub mod scoreboard;
pub mod telemetry;
pub mod wire;
