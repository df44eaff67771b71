//! `mod_wsgi-daemon`: a daemon process with a Python that is a shared library.

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(mod_wsgi_daemon::run())
}
