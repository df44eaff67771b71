//! Start-up of a daemon as an ordered list of steps (DMN-110 to 130), each with its own error. Privileges go before
//! anything of the application is looked at; Python starts when the process is what it is going to be.

mod error;
mod surroundings;
mod watch;

use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use wsgi_core::control::{
    BOARD_DESCRIPTOR, CONTROL_DESCRIPTOR, DaemonSettings, FromDaemon, LISTENER_DESCRIPTOR, Preload,
};
use wsgi_runtime_api::python::PythonFiles;
use wsgi_runtime_api::runtime::{Runtime, RuntimeError};
use wsgi_sys::board::Board;
use wsgi_sys::control::ControlSocket;
use wsgi_sys::descriptors::{close_from, take_inherited};
use wsgi_sys::process::SoleThread;
use wsgi_sys::signals::SignalPipe;
use wsgi_sys::trust::trusted_file;
use wsgi_sys::{passwd, process as own};

pub(crate) use error::{StartError, confined};
use watch::Watch;

use crate::dispatch::{Dispatch, DispatchOptions};
use crate::life::Life;
use crate::log::{self, DaemonHost, Level};
use crate::process::{Process, end_copy};

/// The descriptors that the supervisor hands over.
pub(crate) struct Inherited {
    pub(crate) control: ControlSocket,
    pub(crate) listener: OwnedFd,
    pub(crate) board: OwnedFd,
}

impl Inherited {
    /// Takes them, and closes everything above.
    pub(crate) fn take() -> Result<Inherited, String> {
        let take = |number, what| {
            take_inherited(number).map_err(|error| format!("descriptor {number} ({what}): {error}"))
        };
        let control = take(CONTROL_DESCRIPTOR, "control channel")?;
        let listener = take(LISTENER_DESCRIPTOR, "listener")?;
        let board = take(BOARD_DESCRIPTOR, "board")?;
        close_from(BOARD_DESCRIPTOR + 1).map_err(|error| format!("closing the rest: {error}"))?;
        let control = ControlSocket::from_descriptor(control)
            .map_err(|error| format!("descriptor {CONTROL_DESCRIPTOR}: {error}"))?;
        Ok(Inherited {
            control,
            listener,
            board,
        })
    }
}

/// A daemon that is ready to open for requests.
pub(crate) struct Started {
    pub(crate) process: Arc<Process>,
    pub(crate) control: Arc<ControlSocket>,
    pub(crate) signals: SignalPipe,
}

/// Signals that the process handles; in service mode SIGTERM is Python's.
const SIGNALS: [i32; 6] = [
    libc::SIGTERM,
    libc::SIGINT,
    libc::SIGUSR1,
    libc::SIGXCPU,
    libc::SIGHUP,
    libc::SIGUSR2,
];

/// Carries the steps out.
pub(crate) fn run(
    mut settings: DaemonSettings,
    listener: OwnedFd,
    board: OwnedFd,
    control: &Arc<ControlSocket>,
    sole: Option<SoleThread>,
) -> Result<Started, StartError> {
    announce(&settings, control);
    let board = Board::map(std::os::fd::AsFd::as_fd(&board))?;
    if settings.slot >= board.slots() {
        return Err(StartError::Slot {
            slot: settings.slot,
            slots: board.slots(),
        });
    }
    surroundings::set_priority(settings.identity.cpu_priority);
    // Inside a chroot there need not be a runtime: it is loaded before, as Apache loads its modules.
    let early = match settings.identity.chroot {
        Some(_) => Some(open_runtime(&settings)?),
        None => None,
    };
    surroundings::become_user(&settings.identity)?;
    let signals = install_signals(settings.threads == 0)?;
    surroundings::set_limits(&settings.limits);
    // The last use of this proof: from here on there may be other threads.
    surroundings::set_language(&settings.identity, sole);
    add_user_variables(&mut settings);
    let runtime = match early {
        Some(runtime) => runtime,
        None => open_runtime(&settings)?,
    };
    let dump = || {
        runtime.dump_stacks();
        runtime.leave_thread();
    };
    Watch::over(
        &settings.group,
        &board,
        &dump,
        settings.stack_size,
        |watch| {
            runtime
                .start::<DaemonHost>(&settings.python)
                .map_err(|source| python_failed(source, &settings))?;
            if settings.threads == 0 {
                // A service script is what such a process is for, and may take as long as it likes.
                return Ok(());
            }
            preload(&runtime, &settings, control, watch)
        },
    )?;

    let options = DispatchOptions {
        slot: settings.slot,
        instance: settings.instance,
        threads: settings.threads,
        allowed_peers: settings.allowed_peers.clone(),
        timeout: Some(settings.limits.socket_timeout)
            .filter(|s| *s > 0)
            .map(Duration::from_secs),
    };
    let dispatch = Dispatch::new(listener, board, options).map_err(StartError::Dispatch)?;
    let life = Life::new(&settings.group).map_err(StartError::Dispatch)?;
    let process = Arc::new(Process::new(settings, runtime, dispatch, life));
    Ok(Started {
        process,
        control: Arc::clone(control),
        signals,
    })
}

/// DMN-110. Sent whatever the LogLevel is, which the supervisor applies too: from its first message it knows that a Python's
/// executable has become a daemon process.
fn announce(settings: &DaemonSettings, control: &ControlSocket) {
    let DaemonSettings {
        group,
        threads,
        identity,
        ..
    } = settings;
    let ids = if identity.change {
        format!(" uid={} gid={}", identity.uid, identity.gid)
    } else {
        String::new()
    };
    let text = format!("starting process of group '{group}'{ids} threads={threads}");
    let message = FromDaemon::Log {
        level: Level::Info as u8,
        text: text.into_bytes(),
    };
    // A supervisor that is gone is noticed when the process is ready.
    let _ = control.send(&message);
}

/// As root the file must be one that nobody else can write (design.md section 2).
fn open_runtime(settings: &DaemonSettings) -> Result<Runtime, StartError> {
    let path = Path::new(&settings.runtime);
    trusted_file(path)?;
    // What cannot be read is said when the runtime is opened.
    if let Some(library) = PythonFiles::of_runtime(path)
        .ok()
        .and_then(|files| files.library)
    {
        if library.exists() {
            trusted_file(&library)?;
        }
    }
    Runtime::open(path).map_err(|source| StartError::Runtime {
        source,
        confined: confined(settings),
    })
}

/// Python has logged what it lacks; nearly always it is its home that is wrong.
fn python_failed(source: RuntimeError, settings: &DaemonSettings) -> StartError {
    let home = settings
        .python
        .home
        .as_deref()
        .map_or_else(String::new, |home| {
            let refusal = surroundings::what_refuses(Path::new(home));
            format!(
                " with the Python home '{home}' (python-home option or WSGIPythonHome){refusal}"
            )
        });
    StartError::Python {
        source,
        user: passwd::describe_user(own::effective_uid()),
        home,
        confined: confined(settings),
    }
}

/// DMN-123, DMN-500 to 507.
fn install_signals(is_service: bool) -> Result<SignalPipe, StartError> {
    let handled = if is_service { &[][..] } else { &SIGNALS[..] };
    SignalPipe::install(handled).map_err(StartError::Signals)
}

/// API-030: for programs that the application starts.
fn add_user_variables(settings: &mut DaemonSettings) {
    let Ok(Some(user)) = passwd::user_by_id(own::effective_uid()) else {
        return;
    };
    let home = user.home.to_string_lossy().into_owned();
    let mut wanted = vec![("HOME", home, true)];
    for name in ["USER", "USERNAME", "LOGNAME"] {
        wanted.push((name, user.name.clone(), false));
    }
    let environment = &mut settings.python.environment;
    for (name, value, always) in wanted {
        if !environment.iter().any(|(given, _, _)| given == name) {
            environment.push((name.to_owned(), value, always));
        }
    }
}

/// Loads what is to be loaded before requests are taken.
fn preload(
    runtime: &Runtime,
    settings: &DaemonSettings,
    control: &ControlSocket,
    watch: &Watch<'_>,
) -> Result<(), StartError> {
    let scripts = &settings.preload;
    let original = own::id();
    let missing = load_scripts(runtime, scripts, |script| watch.loads(script));
    if own::id() != original {
        end_copy("serve requests", original);
    }
    let name = |index: &u32| Some(scripts.get(*index as usize)?.script.clone());
    if let Some(script) = missing
        .iter()
        .find(|index| settings.required.contains(index))
        .and_then(name)
    {
        return Err(StartError::NotLoaded(script));
    }
    if !missing.is_empty() {
        if let Err(error) = control.send(&FromDaemon::NotLoaded(missing)) {
            log::record(
                Level::Info,
                format!("the supervisor cannot be told: {error}"),
            );
        }
    }
    Ok(())
}

/// Loads import scripts in order (API-049); failures were logged and the next one follows. Indexes of those that failed.
/// `begins` is told each script before.
pub(crate) fn load_scripts(
    runtime: &Runtime,
    scripts: &[Preload],
    mut begins: impl FnMut(&str),
) -> Vec<u32> {
    let mut missing = Vec::new();
    for (index, preload) in (0..).zip(scripts) {
        let Preload {
            script,
            application_group,
        } = preload;
        begins(script);
        match runtime.load(script.as_bytes(), application_group.as_bytes()) {
            Ok(true) => {}
            Ok(false) => missing.push(index),
            Err(error) => {
                log::record(Level::Info, format!("script '{script}': {error}"));
                missing.push(index);
            }
        }
    }
    missing
}
