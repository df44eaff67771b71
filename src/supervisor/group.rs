//! Setting up one daemon group: who its daemons are, which Python they run, its socket and its board. In the httpd parent,
//! at start and restart; errors of the configuration are found first, before anything is made.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use wsgi_core::board::slots_for;
use wsgi_core::config::{DaemonGroup, Global};
use wsgi_core::control::{DaemonSettings, Identity, Preload, ToDaemon};
use wsgi_core::python::ProcessFacts;
use wsgi_core::roster::GroupPlan;
use wsgi_core::wire::Hello;
use wsgi_sys::board::{Board, BoardError};
use wsgi_sys::listener::{self, Bound, ListenError, ListenWarning, ListenerOptions};

use super::lasting;
use super::member::{Member, SocketFile};
use crate::apache::process;
use crate::client::{Bounds, ClientLimits, GroupClient};
use crate::installed::{self, InstallError, PythonExecutable, Wanted};

/// Facts of this start that all groups share.
pub(super) struct Start {
    /// `User` and `Group` of Apache, final now (DP-25).
    pub(super) apache: process::Identity,
    pub(super) is_root: bool,
    pub(super) parent_pid: u32,
    /// The MPM's.
    pub(super) generation: u32,
    /// WSGISocketPrefix or its default.
    pub(super) prefix: PathBuf,
    /// WSGISocketRotation.
    pub(super) rotation: bool,
    /// CoreDumpDirectory is set.
    pub(super) dumpable: bool,
    /// Folders with runtimes.
    pub(super) folders: Vec<PathBuf>,
    /// Path of `mod_wsgi-daemon`.
    pub(super) program: PathBuf,
    /// About Apache; what is the group's own is filled in.
    pub(super) facts: ProcessFacts,
}

/// Why a group cannot be used at all, whatever happens at run time. Stops the start of Apache.
#[derive(Debug, thiserror::Error)]
pub(super) enum GroupError {
    /// No runtime for its Python.
    #[error("WSGIDaemonProcess {group}: {source}")]
    Install {
        /// The group.
        group: String,
        /// What is missing.
        source: InstallError,
    },
    /// Its settings are of absurd size.
    #[error("WSGIDaemonProcess {group}: its settings cannot be handed to a process: {text}")]
    Settings {
        /// The group.
        group: String,
        /// Why.
        text: String,
    },
}

/// Why a group cannot be set up now. The others are not affected (DMN-107).
#[derive(Debug, thiserror::Error)]
pub(super) enum SetUpError {
    /// Its socket.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// The socket could not be put in the place of the former generation's.
    #[error("cannot give the socket '{}' its name: {source}", path.display())]
    Rename {
        /// The name.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// Its shared memory.
    #[error(transparent)]
    Board(#[from] BoardError),
    /// Its secret.
    #[error("cannot draw a secret: {0}")]
    Secret(io::Error),
}

impl SetUpError {
    /// Number of the stable code.
    pub(super) fn code(&self) -> u16 {
        match self {
            SetUpError::Listen(error) => error.code(),
            SetUpError::Rename { .. } => 13,
            SetUpError::Board(_) | SetUpError::Secret(_) => 5046,
        }
    }
}

/// A group that is set up: for the supervisor, and for the children.
pub(super) struct SetUp {
    pub(super) member: Member,
    pub(super) listener: OwnedFd,
    pub(super) client: GroupClient,
    pub(super) warnings: Vec<ListenWarning>,
}

/// What the configuration and the installation decide about a group's daemons.
pub(super) struct Planned {
    /// Slot, instance and secret are still missing.
    pub(super) settings: DaemonSettings,
    /// Python's executable, where daemons can be that.
    pub(super) executable: Option<PythonExecutable>,
}

/// Works it out. `timeout` is that of the server that the group is defined in.
///
/// # Errors
/// See [`GroupError`].
pub(super) fn plan_daemons(
    start: &Start,
    global: &Global,
    group: &DaemonGroup,
    timeout: Duration,
) -> Result<Planned, GroupError> {
    let options = &group.options;
    let wanted = Wanted::of(global, Some(group));
    let not_installed = |source| GroupError::Install {
        group: group.name.clone(),
        source,
    };
    let runtime = installed::runtime(&start.folders, wanted).map_err(not_installed)?;
    let executable =
        installed::python_executable(&start.folders, &runtime).map_err(not_installed)?;
    let preload = global
        .import_scripts
        .iter()
        .filter(|script| script.process_group == group.name);
    let settings = DaemonSettings {
        group: group.name.clone(),
        generation: start.generation,
        allowed_peers: allowed_peers(start, group),
        threads: options.threads,
        stack_size: options.stack_size,
        identity: identity(start, group),
        limits: group.limits(timeout.as_secs()),
        runtime: runtime.path.to_string_lossy().into_owned(),
        python: global.python_settings(Some(group), facts(start, group)),
        preload: preload
            .map(|script| Preload {
                script: script.script.clone(),
                application_group: script.application_group.clone(),
            })
            .collect(),
        deploy_check: options.deploy_check,
        server_metrics: options.server_metrics,
        ..DaemonSettings::default()
    };
    // Better now than when a process gets them.
    let message = ToDaemon::Start(Box::new(settings.clone()));
    wsgi_core::control::encode(&message).map_err(|error| GroupError::Settings {
        group: group.name.clone(),
        text: error.to_string(),
    })?;
    Ok(Planned {
        settings,
        executable,
    })
}

/// Makes socket, board and secret of a group.
///
/// # Errors
/// See [`SetUpError`]; nothing is left behind.
pub(super) fn set_up(
    start: &Start,
    group: &DaemonGroup,
    planned: Planned,
) -> Result<SetUp, SetUpError> {
    let Planned {
        mut settings,
        executable,
    } = planned;
    let options = &group.options;
    let path = socket_path(start, group, settings.identity.uid);
    let secret = secret(start, &path).map_err(SetUpError::Secret)?;
    let (board, board_file) = Board::create(slots_for(options.processes))?;
    let size = |bytes: u32| i32::try_from(bytes).ok().filter(|bytes| *bytes > 0);
    let owner = options
        .socket_user
        .as_ref()
        .map_or(start.apache.uid, |account| account.id);
    let bound = bind(
        start,
        ListenerOptions {
            path: path.clone(),
            backlog: i32::try_from(options.listen_backlog).unwrap_or(i32::MAX),
            send_buffer: size(options.send_buffer_size),
            receive_buffer: size(options.receive_buffer_size),
            owner: start.is_root.then_some(owner),
        },
    )?;
    settings.secret = secret;
    let board = Arc::new(board);
    let hello = Hello {
        generation: start.generation,
        secret,
    };
    let client = GroupClient::new(
        group.name.clone(),
        path.clone(),
        hello,
        Arc::clone(&board),
        limits(group),
    );
    let title = options.display_name.clone();
    let member = Member {
        plan: plan(start, group, &settings),
        settings,
        program: start.program.clone(),
        executable,
        title: title
            .unwrap_or_else(|| format!("mod_wsgi-daemon: {}", group.name))
            .into(),
        socket: SocketFile {
            path,
            file: bound.file,
            lasting: !start.rotation,
        },
        board,
        board_file,
        server: group.server_ordinal,
    };
    Ok(SetUp {
        member,
        listener: bound.socket,
        client,
        warnings: bound.warnings,
    })
}

/// DMN-103.
pub(super) fn socket_path(start: &Start, group: &DaemonGroup, uid: u32) -> PathBuf {
    let mut path = start.prefix.clone().into_os_string();
    let Start {
        parent_pid,
        generation,
        rotation,
        ..
    } = start;
    path.push(if *rotation {
        format!(".{parent_pid}.{generation}.{}.sock", group.id)
    } else {
        format!(".{parent_pid}.u{uid}.{}.sock", group.id)
    });
    PathBuf::from(path)
}

/// Binds the group's socket. Without rotation the former generation's socket has the same name and still serves its own
/// children: the new one takes the name in one step, so that no connect fails in between.
fn bind(start: &Start, options: ListenerOptions) -> Result<Bound, SetUpError> {
    if start.rotation || !options.path.exists() {
        return Ok(listener::bind(&options)?);
    }
    let path = options.path.clone();
    let mut beside = path.clone().into_os_string();
    beside.push(".new");
    let beside = PathBuf::from(beside);
    let bound = listener::bind(&ListenerOptions {
        path: beside.clone(),
        ..options
    })?;
    std::fs::rename(&beside, &path).map_err(|source| {
        // What is left of it is replaced at the next start.
        let _ = std::fs::remove_file(&beside);
        SetUpError::Rename { path, source }
    })?;
    Ok(bound)
}

/// 128 random bits (DMN-902); those of a lasting name stay.
fn secret(start: &Start, path: &Path) -> io::Result<[u8; 16]> {
    let draw = || {
        let mut secret = [0; 16];
        File::open("/dev/urandom")?
            .read_exact(&mut secret)
            .map(|()| secret)
    };
    if start.rotation {
        draw()
    } else {
        lasting::take(path, start.generation, draw)
    }
}

/// DMN-102, DP-10 to DP-20.
fn identity(start: &Start, group: &DaemonGroup) -> Identity {
    let options = &group.options;
    let apache = &start.apache;
    let apache_user = String::from_utf8_lossy(&apache.user).into_owned();
    let (uid, user) = match &options.user {
        Some(account) => (account.id, account.name.clone()),
        None => (apache.uid, apache_user),
    };
    Identity {
        change: start.is_root,
        uid,
        user,
        gid: options
            .group
            .as_ref()
            .map_or(apache.gid, |account| account.id),
        supplementary_groups: options.supplementary_groups.clone(),
        home: options.home.clone(),
        differs_from_apache: uid != apache.uid,
        chroot: options.chroot.clone(),
        umask: options.umask,
        lang: options.lang.clone(),
        locale: options.locale.clone(),
        cpu_priority: options.cpu_priority,
        dumpable: start.dumpable,
    }
}

/// Who may connect beside root: Apache's children run as Apache's user, or as the one who started it.
fn allowed_peers(start: &Start, group: &DaemonGroup) -> Vec<u32> {
    let mut peers = vec![if start.is_root {
        start.apache.uid
    } else {
        wsgi_sys::process::effective_uid()
    }];
    peers.extend(group.options.socket_user.as_ref().map(|account| account.id));
    peers.dedup();
    peers
}

/// What Python code can see (API-110 ff.).
fn facts(start: &Start, group: &DaemonGroup) -> ProcessFacts {
    let options = &group.options;
    ProcessFacts {
        multithread: options.threads != 1,
        multiprocess: options.processes_given,
        run_once: options.threads == 1 && options.maximum_requests == 1,
        service: options.threads == 0,
        maximum_processes: options.processes,
        threads_per_process: options.threads,
        ..start.facts.clone()
    }
}

fn plan(start: &Start, group: &DaemonGroup, settings: &DaemonSettings) -> GroupPlan {
    let options = &group.options;
    let Identity { uid, gid, .. } = settings.identity;
    let threads = options.threads;
    let details = if start.is_root {
        format!("uid {uid}, gid {gid}, {threads} threads")
    } else {
        format!("{threads} threads")
    };
    GroupPlan {
        name: group.name.clone(),
        processes: options.processes,
        service: threads == 0,
        graceful_timeout: options.graceful_timeout,
        shutdown_timeout: options.shutdown_timeout,
        deploy_check: options.deploy_check && !settings.preload.is_empty(),
        details,
        instance_base: 0,
    }
}

fn limits(group: &DaemonGroup) -> ClientLimits {
    let options = &group.options;
    let some = |seconds: u64| (seconds > 0).then(|| Duration::from_secs(seconds));
    let socket_timeout = some(options.socket_timeout);
    ClientLimits {
        processes: options.processes,
        threads: options.threads,
        connect_timeout: Duration::from_secs(options.connect_timeout),
        socket_timeout,
        response_socket_timeout: some(options.response_socket_timeout).or(socket_timeout),
        flush_delay: Duration::from_millis(options.response_flush_delay.into()),
        response_buffer: options.response_buffer_size.into(),
        header_buffer: options.header_buffer_size as usize,
        request_spool: options.request_spool as usize,
        response_spool: Bounds {
            memory: options.response_spool as usize,
            file: options.response_spool_max,
        },
    }
}
