//! What the directives said, as httpd keeps it for us: for each directory-type section, for each server, and for the whole
//! server. What directives mean is in `wsgi_core::config`; here is what needs httpd.
//!
//! Written while httpd reads the configuration (parent, one thread; `.htaccess`: the thread of its request), only read
//! afterwards, by any thread. Everything ends with the configuration it belongs to.

pub mod commands;
mod host;

use std::any::Any;
use std::ffi::{CStr, c_char};
use std::sync::OnceLock;

use wsgi_core::config::{
    self as core, Alias, Context, DIRECTIVES, Directive, Effective, Global, Layer, NoticeLevel,
    Origin, Place, Scope, Section, ServerConfig,
};

use crate::apache::{Command, Level, Regex, Request, Server};
use host::Machine;

/// Configuration of a directory-type section or `.htaccess` file, or several merged.
#[derive(Clone, Debug, Default)]
pub struct DirectoryConfig {
    /// What it says.
    pub layer: Layer,
}

impl DirectoryConfig {
    /// Whether none of our directives stands in it: merging it changes nothing.
    pub fn is_empty(&self) -> bool {
        self.layer == Layer::default()
    }

    /// An inner section on top of an outer one (MRG-03).
    pub fn merged(outer: &DirectoryConfig, inner: &DirectoryConfig) -> DirectoryConfig {
        DirectoryConfig {
            layer: Layer::merge(&outer.layer, &inner.layer),
        }
    }
}

/// Configuration of a server.
#[derive(Debug, Default)]
pub struct ServerSettings {
    /// What was said in it, or for a virtual host after merging, what holds in it (MRG-02, MRG-06).
    pub config: ServerConfig,
    /// Of the whole server; only with the main server (MRG-08, GEN-14).
    pub global: Option<Global>,
    /// Number by which the configuration being read knows the server: httpd's order is final only afterwards. 0 is the main one.
    reading_number: u32,
    /// Expressions of `config.aliases`; made when first wanted.
    expressions: OnceLock<Vec<Option<Regex>>>,
    /// What was made from the configuration when it was final and lives as long; only with the main server.
    attached: OnceLock<Box<dyn Any + Send + Sync>>,
    /// See [`ServerSettings::shows_variables`]; only with the main server.
    shows_variables: OnceLock<bool>,
}

impl ServerSettings {
    /// Settings of a server of which nothing was read yet; `number` tells those of one reading apart.
    pub fn new(server: &Server<'_>, number: u32) -> ServerSettings {
        ServerSettings {
            global: (!server.is_virtual()).then(Global::default),
            reading_number: number,
            ..ServerSettings::default()
        }
    }

    /// A virtual host on top of the main server.
    pub fn merged(main: &ServerSettings, host: &ServerSettings) -> ServerSettings {
        ServerSettings {
            config: ServerConfig::merge(&main.config, &host.config),
            global: None,
            reading_number: host.reading_number,
            expressions: OnceLock::new(),
            attached: OnceLock::new(),
            shows_variables: OnceLock::new(),
        }
    }

    /// Number of the server while the configuration is read; 0 is the main one.
    pub fn reading_number(&self) -> u32 {
        self.reading_number
    }

    /// Keeps what was made from the final configuration (the daemon groups that were set up) as long as the configuration.
    /// Once.
    pub fn attach<T: Any + Send + Sync>(&self, value: T) {
        let first = self.attached.set(Box::new(value)).is_ok();
        debug_assert!(first, "a configuration becomes final once");
    }

    /// What was kept by [`ServerSettings::attach`], if it is of this type.
    pub fn attached<T: Any>(&self) -> Option<&T> {
        self.attached.get()?.downcast_ref()
    }

    /// Notes what [`ServerSettings::shows_variables`] says, when the configuration is final.
    pub fn note_shown_variables(&self, shows: bool) {
        self.shows_variables.get_or_init(|| shows);
    }

    /// Whether some directive of any module shows variables of requests, as `%{SCRIPT_NAME}e` in LogFormat does (REQ-101).
    pub fn shows_variables(&self) -> bool {
        self.shows_variables.get().copied().unwrap_or(false)
    }

    /// Compiled expression of an alias; None for the plain form.
    pub fn expression(&self, alias: usize) -> Option<&Regex> {
        let compile = |alias: &Alias| {
            // It was compiled once already when the directive was read; should memory have run out since, it matches nothing.
            alias
                .is_match
                .then(|| Regex::new(alias.url.as_bytes()).ok())
                .flatten()
        };
        let all = self
            .expressions
            .get_or_init(|| self.config.aliases.iter().map(compile).collect());
        all.get(alias)?.as_ref()
    }
}

/// Settings of a server of the running configuration.
pub fn server<'s>(server: &Server<'s>) -> &'s ServerSettings {
    server
        .config::<ServerSettings>()
        .expect("httpd made a configuration for each server")
}

/// Settings of the whole server, from its main server.
pub fn global<'s>(main: &Server<'s>) -> &'s Global {
    let settings = self::server(main);
    settings
        .global
        .as_ref()
        .expect("the main server has the settings of the whole server")
}

/// The main server of the configuration that a request is served under.
pub fn main<'r>(_request: &Request<'r>) -> Server<'r> {
    Server::main().expect("a server that serves requests has a main server")
}

/// What holds for a request (MRG-01).
///
/// # Panics
/// If the configurations of the request's directories could not be merged, which was logged. The request then ends with an
/// error, and never without the access scripts of a section.
pub fn effective<'r>(request: &Request<'r>) -> Effective<'r> {
    let directory = request
        .config::<DirectoryConfig>()
        .expect("httpd makes a configuration for every directory");
    Effective::new(
        &server(&request.server()).config.layer,
        Some(&directory.layer),
    )
}

/// Carries out a directive.
///
/// # Errors
/// The message for httpd, a text of the configuration's pool.
pub fn apply(
    command: &Command<'_>,
    section: &mut DirectoryConfig,
    server: &mut ServerConfig,
    server_number: u32,
    global: &mut Global,
    arguments: &CStr,
) -> Result<(), *const c_char> {
    let directive = row(command)?;
    if directive.context == Context::S {
        command.check_in_main_server()?;
    }
    let Ok(arguments) = arguments.to_str() else {
        return Err(command.message(&format!("{} has to be written in UTF-8", directive.name)));
    };
    let (file, line) = command.place().unwrap_or((b"", 0));
    let file = String::from_utf8_lossy(file);
    let server_name = command
        .server()
        .hostname()
        .and_then(|name| std::str::from_utf8(name).ok());
    let before = counts(server, global);
    // Sections of providers (<AuthnProviderAlias>) are directory-type, too, but have no path.
    let is_in_section = command.path().is_some() || directive.scope == Scope::DirMerge;
    let mut place = Place {
        global,
        server,
        directory: is_in_section.then_some(&mut section.layer),
        host: &Machine {
            pool: command.pool(),
        },
        server_ordinal: server_number,
        server_name,
        file: &file,
        line,
    };
    core::apply(directive, arguments, &mut place)
        .map_err(|error| command.message(&error.to_string()))?;
    let origin = Origin {
        file: file.into_owned(),
        line,
    };
    note(
        command,
        section,
        server,
        server_number,
        global,
        origin,
        before,
    );
    Ok(())
}

/// Aliases of a server, groups and scripts to load so far.
fn counts(server: &ServerConfig, global: &Global) -> [usize; 3] {
    [
        server.aliases.len(),
        global.daemon_groups.len(),
        global.import_scripts.len(),
    ]
}

/// Remembers where the directive that was just carried out is written. `before` are the [`counts`] before it.
fn note(
    command: &Command<'_>,
    section: &DirectoryConfig,
    server: &ServerConfig,
    server_number: u32,
    global: &mut Global,
    origin: Origin,
    before: [usize; 3],
) {
    let after = counts(server, global);
    if after[0] > before[0] {
        let noted = (server_number, origin.clone());
        global.origins.aliases.push(noted);
    }
    if after[1] > before[1] {
        global.origins.groups.push(origin.clone());
    }
    if after[2] > before[2] {
        global.origins.imports.push(origin);
    }
    let sections = command.path().map(|_| command.enclosing());
    let sections = sections.unwrap_or_default();
    let Some((around, outer)) = sections.split_first() else {
        return;
    };
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let argument = |bytes: &[u8]| text(bytes).trim_end().trim_end_matches('>').to_owned();
    global.origins.note_section(Section {
        server_ordinal: server_number,
        kind: text(around.name),
        argument: argument(around.argument),
        within: outer
            .iter()
            .map(|section| (text(section.name), argument(section.argument)))
            .collect(),
        origin: Origin {
            file: text(around.file),
            line: around.line,
        },
        layer: section.layer.clone(),
    });
}

/// End of a `<WSGIInterpreterOptions>` section.
pub fn close_interpreter_options(global: &mut Global) {
    core::close_block(global);
}

fn row(command: &Command<'_>) -> Result<&'static Directive, *const c_char> {
    // httpd calls with our own records only.
    DIRECTIVES
        .get(command.row())
        .ok_or_else(|| command.message("is not in the table"))
}

/// After the configuration was read: numbers of servers become ordinals, as httpd has put them into their final order.
pub fn settle(global: &mut Global, main: &Server<'_>) {
    let numbers: Vec<u32> = main
        .list()
        .map(|server| {
            server
                .config::<ServerSettings>()
                .map_or(0, ServerSettings::reading_number)
        })
        .collect();
    let ordinal = |number: u32| {
        let position = numbers
            .iter()
            .position(|&known| known == number)
            .unwrap_or(0);
        u32::try_from(position).expect("fewer servers than 2^32")
    };
    for group in &mut global.daemon_groups {
        group.server_ordinal = ordinal(group.server_ordinal);
        // By now httpd has given a name to every server, also to those that have no ServerName.
        group.server_name = main
            .list()
            .nth(group.server_ordinal as usize)
            .and_then(|server| server.hostname())
            .map(|name| String::from_utf8_lossy(name).into_owned());
    }
    for script in &mut global.import_scripts {
        script.server_ordinal = ordinal(script.server_ordinal);
    }
    global.origins.settle(ordinal);
}

/// Logs what the configuration wants people to know, once at each start.
pub fn log_notices(main: &Server<'_>) {
    for notice in &global(main).notices {
        main.log(level_of(notice.level), &notice.text);
    }
}

/// httpd's level for a notice.
pub fn level_of(level: NoticeLevel) -> Level {
    match level {
        NoticeLevel::Warn => Level::Warn,
        NoticeLevel::Notice => Level::Notice,
        NoticeLevel::Info => Level::Info,
    }
}
