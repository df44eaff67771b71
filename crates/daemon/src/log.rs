//! Records outside of requests: they go to the supervisor, which has the group's error log, and to stderr (the same log)
//! where that is impossible. Any thread; never waits for longer than [`PATIENCE`].
//!
//! A process-wide sink, because the runtime's table logs without a context. Set once, at start.

use std::io::Write;
use std::os::fd::AsFd;
use std::sync::{Arc, OnceLock};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use wsgi_core::control::{FromDaemon, MAX_RECORD};
use wsgi_core::record;
use wsgi_core::scoreboard::Scoreboard;
use wsgi_runtime_api::host::Host;
use wsgi_sys::control::ControlSocket;

use crate::{process, scoreboard};

/// httpd's levels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum Level {
    Alert = 1,
    Critical = 2,
    Error = 3,
    Warning = 4,
    Info = 6,
    Debug = 7,
}

/// How long a record waits for the supervisor, milliseconds.
const PATIENCE: u16 = 200;

struct Sink {
    control: Arc<ControlSocket>,
    level: u8,
}

static SINK: OnceLock<Sink> = OnceLock::new();

/// Directs records to the supervisor. `level` is the LogLevel; 0 where it is not known.
pub(crate) fn start(control: Arc<ControlSocket>, level: u8) {
    let level = if level == 0 { Level::Info as u8 } else { level };
    // A second call in a process would be a mistake without effect.
    let _ = SINK.set(Sink { control, level });
}

/// A record without a code: information.
pub(crate) fn record(level: Level, text: impl AsRef<str>) {
    write(level as u8, text.as_ref().as_bytes());
}

/// A record with its stable code, for warnings and worse.
pub(crate) fn coded(code: u16, level: Level, text: impl AsRef<str>) {
    write(
        level as u8,
        format!("WSGI{code:04}: {}", text.as_ref()).as_bytes(),
    );
}

/// Whether records of this level are written at all.
pub(crate) fn is_enabled(level: u8) -> bool {
    SINK.get().is_none_or(|sink| level <= sink.level)
}

/// A record of any origin.
pub(crate) fn write(level: u8, text: &[u8]) {
    if !is_enabled(level) {
        return;
    }
    let text = &text[..text.len().min(MAX_RECORD)];
    let sent = SINK.get().is_some_and(|sink| send(sink, level, text));
    if !sent {
        let mut line = record::split_source(text).1.to_vec();
        line.push(b'\n');
        // The last resort; there is nobody to tell that it failed.
        let _ = std::io::stderr().write_all(&line);
    }
}

fn send(sink: &Sink, level: u8, text: &[u8]) -> bool {
    let message = FromDaemon::Log {
        level,
        text: text.to_vec(),
    };
    match sink.control.try_send(&message) {
        Ok(true) => return true,
        Ok(false) => {}
        Err(_) => return false,
    }
    let mut set = [PollFd::new(sink.control.as_fd(), PollFlags::POLLOUT)];
    // Whatever poll says, the second try tells whether there is room now.
    let _ = poll(&mut set, PollTimeout::from(PATIENCE));
    sink.control.try_send(&message).unwrap_or(false)
}

/// What the runtime asks of this process.
pub(crate) struct DaemonHost;

impl Host for DaemonHost {
    fn log(level: u8, text: &[u8]) {
        write(level, text);
    }

    fn log_enabled(level: u8) -> bool {
        is_enabled(level)
    }

    fn activity() {
        process::note_activity();
    }

    fn server_metrics() -> Option<Scoreboard> {
        scoreboard::ask()
    }

    fn script_loaded() {
        process::note_loaded();
    }
}
