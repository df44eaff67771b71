//! Daemon groups from the side of httpd's parent: setting them up when Apache starts, and the supervisor, a process of
//! its own for each generation of the configuration, that starts, watches and ends their daemons.
//!
//! [`start`] and [`check`] run in the parent, which has one thread; `serve` in the supervisor, a fork of it that ends by
//! `_exit` and runs neither Python nor anything else of others. Decisions are in `wsgi_core::roster`.

mod group;
mod lasting;
mod member;
mod parent;
mod precheck;
mod running;
mod serve;
mod spawn;

use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;

use wsgi_core::config::{DaemonGroup, Global};
use wsgi_core::python::ProcessFacts;
use wsgi_sys::stream::MAX_PATH;

use crate::apache::{Level, Pool, Server, mpm, other_child, process, scoreboard};
use crate::client::Group;
use crate::{config, installed};
use group::{Planned, SetUp, SetUpError, Start};
use member::Member;
use parent::Generation;

/// The daemon groups of a configuration, in every process that has it. Attached to the main server's settings.
pub struct Daemons {
    /// By index in `Global::daemon_groups`.
    groups: Vec<Group>,
    /// None if no group could be set up.
    generation: Option<Arc<Generation>>,
}

impl Daemons {
    /// In a new child: closes what belongs to the parent and the daemons (DMN-606). Not for `httpd -X`, where child and parent
    /// are one.
    pub fn enter_child(&self) {
        if let (Some(generation), false) = (&self.generation, mpm::is_one_process()) {
            generation.enter_child();
        }
    }

    /// Apache has made its scoreboard: forks the supervisor, unless [`start`] has done it already. Parent.
    ///
    /// # Errors
    /// Text for the person who starts Apache.
    pub fn launch(&self) -> Result<(), String> {
        match &self.generation {
            Some(generation) if !generation.is_launched() => launch(generation),
            _ => Ok(()),
        }
    }
}

/// The client of a group, by its index in `Global::daemon_groups`. None only before [`start`]: a group that could not be set
/// up has a client that answers 503.
pub fn client<'s>(main: &Server<'s>, index: usize) -> Option<&'s Group> {
    config::server(main)
        .attached::<Daemons>()?
        .groups
        .get(index)
}

/// Looks at what the configuration says about daemons, also for `httpd -t`.
///
/// # Errors
/// Text for the person who starts Apache: no runtime for a group's Python, files that root must not trust, a socket path
/// that is too long (DMN-106); for `httpd -t` also folders that are missing.
pub fn check(pconf: Pool<'_>, main: &Server<'_>, global: &Global) -> Result<(), String> {
    if global.daemon_groups.is_empty() {
        return Ok(());
    }
    let start = surroundings(pconf, global)?;
    let origins = &global.origins.groups;
    for (index, group) in global.daemon_groups.iter().enumerate() {
        check_group(&start, main, global, group).map_err(|text| match origins.get(index) {
            Some(origin) => format!("{origin}: {text}"),
            None => text,
        })?;
    }
    Ok(())
}

fn check_group(
    start: &Start,
    main: &Server<'_>,
    global: &Global,
    group: &DaemonGroup,
) -> Result<(), String> {
    if process::is_configuration_test() {
        precheck::folders(global, group)?;
    }
    let planned = group::plan_daemons(start, global, group, server_of(main, group).timeout())
        .map_err(|error| error.to_string())?;
    let path = group::socket_path(start, group, planned.settings.identity.uid);
    let length = path.as_os_str().len();
    if length > MAX_PATH {
        return Err(format!(
            "WSGIDaemonProcess {}: the socket path '{}' has {length} bytes, the system allows {MAX_PATH}; \
             choose a shorter WSGISocketPrefix",
            group.name,
            path.display()
        ));
    }
    Ok(())
}

/// Sets up all groups and forks their supervisor, which ends with `pconf`: at once, or after its children where that is a
/// graceful restart. At the first start it is [`Daemons::launch`] that forks it: there is no scoreboard yet (DMN-100). A group that cannot be set up is logged and answers 503, without an effect on the others (DMN-107).
///
/// # Errors
/// As [`check`].
pub fn start(pconf: Pool<'_>, main: &Server<'_>, global: &Global) -> Result<Daemons, String> {
    if global.daemon_groups.is_empty() {
        return Ok(Daemons {
            groups: Vec::new(),
            generation: None,
        });
    }
    let start = surroundings(pconf, global)?;
    let mut all: Vec<(&DaemonGroup, Planned)> = Vec::new();
    for group in &global.daemon_groups {
        let server = server_of(main, group);
        let planned = group::plan_daemons(&start, global, group, server.timeout());
        let mut planned = planned.map_err(|error| error.to_string())?;
        planned.settings.log_level = log_level(&server);
        all.push((group, planned));
    }
    let (mut groups, mut members, mut listeners) = (Vec::new(), Vec::new(), Vec::new());
    for (group, planned) in all {
        let server = server_of(main, group);
        match group::set_up(&start, group, planned) {
            Ok(SetUp {
                member,
                listener,
                client,
                warnings,
            }) => {
                for warning in warnings {
                    server.log(Level::Warn, format!("WSGI{:04}: {warning}", warning.code()));
                }
                members.push(member);
                listeners.push(listener);
                groups.push(Group::started(client));
            }
            Err(error) => {
                report(&server, group, &error);
                groups.push(Group::not_started(group.name.clone(), error.to_string()));
            }
        }
    }
    let generation = (!members.is_empty())
        .then(|| supervise(pconf, members, listeners))
        .transpose()?;
    Ok(Daemons { groups, generation })
}

/// The finest level that the server writes, as httpd's number.
fn log_level(server: &Server<'_>) -> u8 {
    let finest_first = [
        Level::Trace8,
        Level::Trace2,
        Level::Trace1,
        Level::Debug,
        Level::Info,
        Level::Notice,
        Level::Warn,
        Level::Error,
        Level::Crit,
    ];
    let written = finest_first.into_iter().find(|level| server.logs(*level));
    written.unwrap_or(Level::Alert) as u8
}

/// Makes the supervisor end with `pconf`, and forks it if it can have the scoreboard.
fn supervise(
    pconf: Pool<'_>,
    members: Vec<Member>,
    listeners: Vec<OwnedFd>,
) -> Result<Arc<Generation>, String> {
    let generation = Generation::new(members, listeners).map_err(not_started)?;
    if scoreboard::exists() {
        launch(&generation)?;
    }
    let ending = Arc::clone(&generation);
    pconf.before_end_here(move || ending.end(other_child::is_graceful_restart()));
    Ok(generation)
}

fn launch(generation: &Arc<Generation>) -> Result<(), String> {
    // The main server lives as long as the configuration, whose end stops every use of it.
    let main = Server::main().ok_or("there is no main server")?;
    generation.launch(main).map_err(not_started)
}

fn not_started(error: std::io::Error) -> String {
    format!("WSGI0024: the supervisor of the daemon groups cannot be started: {error}")
}

fn report(server: &Server<'_>, group: &DaemonGroup, error: &SetUpError) {
    let text = format!(
        "WSGI{:04}: Daemon group '{}' is not started: {error}. Requests for it get 503.",
        error.code(),
        group.name
    );
    server.log(Level::Alert, text);
}

/// The server that a group is defined in.
fn server_of<'s>(main: &Server<'s>, group: &DaemonGroup) -> Server<'s> {
    main.list()
        .nth(group.server_ordinal as usize)
        .unwrap_or(*main)
}

fn surroundings(pconf: Pool<'_>, global: &Global) -> Result<Start, String> {
    let folders = installed::folders(global.runtime_directory.as_deref());
    let program = installed::daemon_program(&folders).map_err(|error| error.to_string())?;
    Ok(Start {
        apache: process::identity(),
        is_root: wsgi_sys::process::effective_uid() == 0,
        parent_pid: wsgi_sys::process::id(),
        generation: mpm::generation(),
        prefix: prefix(pconf, global),
        rotation: global.socket_rotation.unwrap_or(true),
        dumpable: process::core_dump_directory().is_some(),
        folders,
        program,
        facts: apache_facts(),
    })
}

/// DMN-060.
fn prefix(pconf: Pool<'_>, global: &Global) -> PathBuf {
    if let Some(prefix) = &global.socket_prefix {
        return PathBuf::from(prefix);
    }
    let folder = process::compiled_runtime_directory(pconf).unwrap_or_default();
    PathBuf::from(std::ffi::OsString::from(
        String::from_utf8_lossy(&folder).into_owned(),
    ))
    .join("wsgi")
}

fn apache_facts() -> ProcessFacts {
    ProcessFacts {
        apache_pid: wsgi_sys::process::id(),
        apache_version: process::compiled_version(),
        apache_maximum_processes: mpm::maximum_processes(),
        apache_threads_per_process: mpm::threads_per_process(),
        apache_description: process::server_banner(),
        apache_mpm_name: mpm::name(),
        apache_build_date: process::build_date(),
        implementation_version: env!("CARGO_PKG_VERSION").to_owned(),
        ..ProcessFacts::default()
    }
}
