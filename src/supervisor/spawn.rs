//! Starting one daemon: a control channel, then fork and exec with the descriptors that `wsgi_core::control` fixes, then
//! its settings. Supervisor process.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use wsgi_core::control::{
    BOARD_DESCRIPTOR, CONTROL_DESCRIPTOR, DaemonSettings, LISTENER_DESCRIPTOR, ToDaemon,
};
use wsgi_sys::control::{ChannelError, ControlSocket};
use wsgi_sys::exec::{self, ExecError, Program};

use super::member::Member;
use crate::installed::PythonExecutable;

/// What the dynamic linker loads first, with a colon between files.
const PRELOAD: &str = "LD_PRELOAD";

/// Why a daemon was not started (WSGI0024).
#[derive(Debug, thiserror::Error)]
pub(super) enum SpawnError {
    /// No descriptor left for what.
    #[error("{what}: {source}{}", remedy(source))]
    Descriptor {
        /// What was to be opened.
        what: &'static str,
        /// The system's error.
        source: io::Error,
    },
    /// Fork or exec.
    #[error("{source}{}", source.system_error().map_or("", remedy))]
    Exec {
        /// Which, and why.
        #[from]
        source: ExecError,
    },
    /// Its settings could not be handed over.
    #[error("its settings could not be sent: {0}")]
    Settings(ChannelError),
}

/// What to do about it, with a separator in front; empty where the error says it all.
fn remedy(error: &io::Error) -> &'static str {
    match error.raw_os_error() {
        Some(libc::EMFILE) => {
            "; raise the limit of open files that Apache is started with (LimitNOFILE, ulimit -n)"
        }
        Some(libc::ENFILE) => "; raise the system's limit of open files (sysctl fs.file-max)",
        Some(libc::EAGAIN) => {
            "; raise the limit of processes of Apache (TasksMax, LimitNPROC, ulimit -u) or start fewer"
        }
        Some(libc::ENOMEM) => "; the system has too little memory: start fewer processes",
        _ => "",
    }
}

/// Who a new daemon is.
pub(super) struct Newcomer<'m> {
    /// What it executes; None is `mod_wsgi-daemon`.
    pub(super) executable: Option<&'m PythonExecutable>,
    pub(super) slot: u32,
    pub(super) instance: u32,
    /// See `DaemonSettings::required`.
    pub(super) required: Vec<u32>,
}

/// Starts a daemon of `member` and returns its pid and the supervisor's end of its control channel.
///
/// # Errors
/// See [`SpawnError`]. A process that was started but did not get its settings ends by itself: its channel is closed.
pub(super) fn daemon(
    member: &Member,
    listener: BorrowedFd<'_>,
    error_log: Option<BorrowedFd<'_>>,
    newcomer: Newcomer<'_>,
) -> Result<(i32, ControlSocket), SpawnError> {
    let failed = |what| move |source| SpawnError::Descriptor { what, source };
    let null = File::options()
        .read(true)
        .write(true)
        .open("/dev/null")
        .map_err(failed("/dev/null"))?;
    let (ours, theirs) = ControlSocket::pair().map_err(failed("control channel"))?;
    let own_stderr = io::stderr();
    let stderr = error_log.unwrap_or_else(|| own_stderr.as_fd());
    let Newcomer {
        executable,
        slot,
        instance,
        required,
    } = newcomer;
    let mut environment: Vec<_> = std::env::vars_os().collect();
    if let Some(python) = executable {
        preload(&mut environment, python.preload.as_os_str());
    }
    let pid = exec::spawn(&Program {
        path: executable.map_or(&member.program, |python| &python.path),
        name: &member.title,
        environment: &environment,
        descriptors: &[
            (null.as_fd(), 0),
            (null.as_fd(), 1),
            (stderr, 2),
            (theirs.as_fd(), CONTROL_DESCRIPTOR),
            (listener, LISTENER_DESCRIPTOR),
            (member.board_file.as_fd(), BOARD_DESCRIPTOR),
        ],
        // The supervisor is one thread, so that this is the end of the supervisor.
        parent_death_signal: Some(libc::SIGKILL),
    })?;
    let settings = DaemonSettings {
        slot,
        instance,
        required,
        ..member.settings.clone()
    };
    ours.send(&ToDaemon::Start(Box::new(settings)))
        .map_err(SpawnError::Settings)?;
    Ok((pid, ours))
}

/// Puts `library` in front of what is loaded first anyway. The library takes it out again (`crates/preload`).
fn preload(environment: &mut Vec<(OsString, OsString)>, library: &OsStr) {
    match environment.iter_mut().find(|(name, _)| name == PRELOAD) {
        Some((_, others)) => {
            let mut all = library.to_owned();
            all.push(":");
            all.push(&*others);
            *others = all;
        }
        None => environment.push((PRELOAD.into(), library.into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_preloaded_anyway_stays() {
        let variable = |value: &str| (OsString::from(PRELOAD), OsString::from(value));
        let mut environment = vec![("PATH".into(), "/bin".into())];
        preload(&mut environment, OsStr::new("/a.so"));
        assert_eq!(environment[1], variable("/a.so"));
        environment[1] = variable("/b.so:/c.so");
        preload(&mut environment, OsStr::new("/a.so"));
        assert_eq!(environment[1], variable("/a.so:/b.so:/c.so"));
        assert_eq!(environment.len(), 2);
    }

    /// DMN-540: limits have a remedy, whoever met them.
    #[test]
    fn limits_have_a_remedy() {
        let error = |number| SpawnError::Descriptor {
            what: "control channel",
            source: io::Error::from_raw_os_error(number),
        };
        assert!(error(libc::EMFILE).to_string().contains("LimitNOFILE"));
        assert!(error(libc::EPERM).to_string().ends_with("(os error 1)"));
        let fork = SpawnError::from(ExecError::Fork {
            path: "/usr/bin/x".into(),
            source: io::Error::from_raw_os_error(libc::EAGAIN),
        });
        assert!(fork.to_string().contains("TasksMax"), "{fork}");
    }
}
