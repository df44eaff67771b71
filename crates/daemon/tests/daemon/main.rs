//! Plays supervisor and Apache child against a real `mod_wsgi-daemon` process that has loaded the test runtime.
#![allow(clippy::unwrap_used)] // a test fails by panicking, in its helpers too

mod group;
mod life;
mod serving;
mod threads;
