//! The options of WSGIDaemonProcess, a row each (sections 7.1 to 7.4 of the specification).

use super::group::{Account, DaemonOptions};
use super::place::Host;
use super::{ConfigError, NoticeLevel, Place};
use super::{values, words};

/// What an option's setter gets.
pub(super) struct OptionContext<'a> {
    /// Name of the option.
    pub name: &'static str,
    /// Its value, unquoted.
    pub value: &'a str,
    /// Name of the group.
    pub group: &'a str,
    /// The machine.
    pub host: &'a dyn Host,
    /// Warnings to be logged at start.
    pub warnings: Vec<String>,
}

/// A row of the table.
pub struct DaemonOption {
    /// Name.
    pub name: &'static str,
    /// What the value is.
    pub kind: &'static str,
    /// Default, as documentation shows it.
    pub default: &'static str,
    /// What it does.
    pub doc: &'static str,
    /// Whether an empty value is allowed (DP-02).
    empty: bool,
    set: fn(&mut DaemonOptions, &mut OptionContext<'_>) -> Result<(), ConfigError>,
}

/// Directive that the options belong to.
const DIRECTIVE: &str = "WSGIDaemonProcess";

impl OptionContext<'_> {
    fn fail(&self, expected: impl Into<String>) -> ConfigError {
        ConfigError::Value {
            directive: DIRECTIVE,
            what: format!("option '{}'", self.name),
            value: self.value.to_owned(),
            expected: expected.into(),
        }
    }

    /// GEN-10: what C's atoi makes of it; trailing characters leave a warning.
    fn number(&mut self) -> i64 {
        let (number, whole) = values::leading_number(self.value);
        if !whole {
            self.warnings.push(format!(
                "WSGI5001: {DIRECTIVE} {}: option {}={} was read as {number}; write the number alone.",
                self.group, self.name, self.value
            ));
        }
        number
    }

    fn unsigned(&mut self, least: i64, allowed: &str) -> Result<u64, ConfigError> {
        let number = self.number();
        match u64::try_from(number) {
            Ok(value) if number >= least => Ok(value),
            _ => Err(self.fail(allowed)),
        }
    }

    fn seconds(&mut self) -> Result<u64, ConfigError> {
        self.unsigned(0, "must be a number of seconds, 0 or more")
    }

    fn bytes_at_least(&mut self, least: i64) -> Result<u32, ConfigError> {
        let allowed = format!("must be 0 for the default, or at least {least} bytes");
        let number = self.number();
        match u32::try_from(number) {
            Ok(value) if number == 0 || number >= least => Ok(value),
            _ => Err(self.fail(allowed)),
        }
    }

    /// Bytes, with `k`, `m` or `g` for multiples of 1024.
    fn size(&self) -> Result<u64, ConfigError> {
        let digits = self
            .value
            .trim_end_matches(|c: char| c.is_ascii_alphabetic());
        let shift = match &self.value[digits.len()..] {
            "" => Some(0),
            "k" | "K" => Some(10),
            "m" | "M" => Some(20),
            "g" | "G" => Some(30),
            _ => None,
        };
        let whole = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        let number = if whole {
            digits.parse::<u64>().ok()
        } else {
            None
        };
        number
            .zip(shift)
            .and_then(|(number, shift)| number.checked_mul(1 << shift))
            .ok_or_else(|| self.fail("a size like 65536, 64k, 10m or 1g"))
    }

    /// What a spool may keep in memory.
    fn spool(&self) -> Result<u32, ConfigError> {
        let size = self.size()?;
        u32::try_from(size)
            .ok()
            .filter(|size| *size == 0 || (64 << 10..=1 << 30).contains(size))
            .ok_or_else(|| self.fail("0, or a size from 64k to 1g"))
    }

    fn user(&self) -> Result<Account, ConfigError> {
        if let Some(id) = self.value.strip_prefix('#') {
            let id = id
                .parse()
                .map_err(|_| self.fail("must be a user name or #uid"))?;
            let name = self.host.user_name(id);
            let name =
                name.ok_or_else(|| self.fail("the user database has no user with this id"))?;
            return Ok(Account { id, name });
        }
        let id = self.host.user_id(self.value);
        let id = id.ok_or_else(|| self.fail("the user database has no user of this name"))?;
        Ok(Account {
            id,
            name: self.value.to_owned(),
        })
    }

    fn group_account(&self, value: &str) -> Result<Account, ConfigError> {
        if let Some(id) = value.strip_prefix('#') {
            let id = id
                .parse()
                .map_err(|_| self.fail("must be a group name or #gid"))?;
            let name = self.host.group_name(id).unwrap_or_else(|| value.to_owned());
            return Ok(Account { id, name });
        }
        let id = self.host.group_id(value);
        let id = id.ok_or_else(|| self.fail("the group database has no group of this name"))?;
        Ok(Account {
            id,
            name: value.to_owned(),
        })
    }

    fn absolute_path(&self) -> Result<String, ConfigError> {
        if self.value.starts_with('/') {
            return Ok(self.value.to_owned());
        }
        Err(self.fail("must be an absolute path"))
    }
}

fn text(value: &str) -> Option<String> {
    (!value.is_empty()).then(|| value.to_owned())
}

macro_rules! options {
    ($($name:literal, $kind:literal, $default:literal, $empty:literal, $doc:literal,
        |$options:ident, $context:ident| $set:expr;)*) => {
        /// The table.
        pub static DAEMON_OPTIONS: &[DaemonOption] = &[$(DaemonOption {
            name: $name, kind: $kind, default: $default, doc: $doc, empty: $empty,
            set: |$options, $context| { $set; Ok(()) },
        }),*];
    };
}

options! {
    "processes", "count", "1", false,
    "Number of processes of the group, 1 or more. Writing the option at all, also `processes=1`, makes `wsgi.multiprocess` true.",
    |o, c| { o.processes = u32::try_from(c.unsigned(1, "must be a count of 1 or more")?).map_err(|_| c.fail("must be fewer"))?; o.processes_given = true };

    "threads", "count", "15", false,
    "Threads that run requests in each process; `wsgi.multithread` is true unless it is 1. 0 makes it a service process, which only runs its import scripts.",
    |o, c| o.threads = u32::try_from(c.unsigned(0, "must be a count from 0 to 65533")?).ok().filter(|n| *n < 65534).ok_or_else(|| c.fail("must be a count from 0 to 65533"))?;

    "user", "name or #uid", "Apache's User", false,
    "User that the processes run as, if Apache was started as root. May not be root.",
    |o, c| { let user = c.user()?; if user.id == 0 { return Err(c.fail("daemon processes are blocked from running as root")) } o.user = Some(user) };

    "group", "name or #gid", "Apache's Group", false,
    "Group that the processes run as, if Apache was started as root. Not the user's own group unless it is named here.",
    |o, c| o.group = Some(c.group_account(c.value)?);

    "supplementary-groups", "names or #gids, comma separated", "those of the user", true,
    "Exact list of supplementary groups, in place of those that the user database has for the user.",
    |o, c| {
        // An empty element at the front ends the list, others are nothing.
        let names = c.value.split(',').filter(|name| !name.is_empty() && !c.value.starts_with(','));
        let groups = names.map(|name| c.group_account(name).map(|account| account.id)).collect::<Result<Vec<_>, _>>()?;
        if groups.len() + 1 > c.host.max_groups() { return Err(c.fail("must be fewer groups: the system allows no more for a process")) }
        o.supplementary_groups = Some(groups)
    };

    "umask", "octal number", "inherited", false,
    "File mode creation mask.",
    |o, c| o.umask = Some(u32::from_str_radix(c.value.trim_start_matches(words::is_blank), 8).ok().ok_or_else(|| c.fail("must be an octal number"))?);

    "chroot", "absolute path", "none", false,
    "Root folder of the processes. Only where Apache is started as root.",
    |o, c| { let path = c.absolute_path()?; if !c.host.is_root() { return Err(c.fail("chroot needs Apache to be started as root")) } o.chroot = Some(path) };

    "home", "absolute path", "the user's home, or inherited", false,
    "Working directory, which is also put in front of `sys.path`. Without it, a group with another user than Apache's starts in the home of that user.",
    |o, c| o.home = Some(c.absolute_path()?);

    "lang", "text", "inherited", true,
    "Environment variable `LANG`.",
    |o, c| o.lang = text(c.value);

    "locale", "text", "inherited", true,
    "Environment variable `LC_ALL`, and the process's locale. An unsupported one leaves a warning (WSGI0079).",
    |o, c| o.locale = text(c.value);

    "display-name", "text", "mod_wsgi-daemon: NAME", true,
    "Name of the processes in listings. `%{GROUP}` stands for `(wsgi:NAME)`.",
    |o, c| o.display_name = if c.value == "%{GROUP}" { Some(format!("(wsgi:{})", c.group)) } else { text(c.value) };

    "cpu-priority", "nice value", "0", false,
    "Scheduling priority.",
    |o, c| o.cpu_priority = i32::try_from(c.number()).map_err(|_| c.fail("must be a nice value"))?;

    "python-home", "path", "WSGIPythonHome", true,
    "Virtual environment or Python installation of the group. The runtime for its Python version must be installed.",
    |o, c| o.python_home = text(c.value);

    "python-version", "X.Y", "WSGIPythonVersion", false,
    "Python version of a group without `python-home`, like `3.13`. Not in mod_wsgi.",
    |o, c| { if !values::is_version(c.value) { return Err(c.fail("must be a version like 3.13")) } o.python_version = Some(c.value.to_owned()) };

    "python-path", "paths, colon separated", "none", true,
    "Folders for the front of `sys.path`, whose `.pth` files are read. WSGIPythonPath does not apply to daemon groups.",
    |o, c| o.python_path = values::path_list(c.value);

    "python-eggs", "path", "none", true,
    "Environment variable `PYTHON_EGG_CACHE`.",
    |o, c| o.python_eggs = text(c.value);

    "switch-interval", "seconds", "Python's", false,
    "`sys.setswitchinterval` for all interpreters of the processes that share a GIL. Wins over WSGISwitchInterval.",
    |o, c| o.switch_interval = Some(values::positive_float(c.value).ok_or_else(|| c.fail("must be a number of seconds over 0"))?);

    "stack-size", "bytes", "the system's", false,
    "Stack of each thread that runs requests, at least 262144.",
    |o, c| o.stack_size = Some(c.unsigned(1, "must be a number of bytes over 0")?);

    "listen-backlog", "count", "100", false,
    "Connections that may wait for a process.",
    |o, c| o.listen_backlog = u32::try_from(c.unsigned(0, "must be a count of 0 or more")?).map_err(|_| c.fail("must be a smaller count"))?;

    "send-buffer-size", "bytes", "0 (the system's)", false,
    "Send buffer of the daemon's sockets, 512 or more.",
    |o, c| o.send_buffer_size = c.bytes_at_least(512)?;

    "receive-buffer-size", "bytes", "0 (the system's)", false,
    "Receive buffer of the daemon's sockets, 512 or more.",
    |o, c| o.receive_buffer_size = c.bytes_at_least(512)?;

    "header-buffer-size", "bytes", "0 (32768)", false,
    "Longest line `Name: value` of an answer's header, 8192 or more. A longer one is a 500 (WSGI0144).",
    |o, c| o.header_buffer_size = match c.bytes_at_least(8192)? { 0 => 32768, size => size };

    "response-buffer-size", "bytes", "0 (8388608)", false,
    "Bytes of an answer that comes without a pause after which Apache waits until the client has taken them, 65536 or more.",
    |o, c| o.response_buffer_size = match c.bytes_at_least(65536)? { 0 => 8 << 20, size => size };

    "response-flush-delay", "milliseconds", "5", false,
    "How long Apache waits for more of an answer before it passes on what it has; 0 passes everything on at once.",
    |o, c| o.response_flush_delay = u32::try_from(c.unsigned(0, "must be a number of milliseconds, 0 or more")?).map_err(|_| c.fail("must be fewer milliseconds"))?;

    "request-spool", "size", "64k", false,
    "Bytes of a request body that are kept in memory until it has come whole, at least 64k; of a longer body all go to a temporary file, in the folder that the environment variable `TMPDIR` of Apache names, else in `/tmp`. The file has no name and belongs to Apache's user; the daemon gets it for reading only. Only then the application is called, so that a slow client keeps no thread of it. 0 calls it at once and passes a body of more than 64k on as it comes, as mod_wsgi does. Not in mod_wsgi.",
    |o, c| o.request_spool = c.spool()?;

    "response-spool", "size", "1m", false,
    "Bytes of an answer that are kept in memory, at least 64k, while the client does not take them; more go to a temporary file beside those of `request-spool`. So a slow client keeps no thread of the application. What the client can take is passed on at once. 0 keeps nothing: the application waits for the client, as in mod_wsgi. Not in mod_wsgi.",
    |o, c| o.response_spool = c.spool()?;

    "response-spool-max", "size", "1g", false,
    "Size of the temporary file of `response-spool` beyond which the application waits for the client; 0 for no file. Not in mod_wsgi.",
    |o, c| o.response_spool_max = c.size()?;

    "socket-user", "name or #uid", "Apache's User", false,
    "Owner of the group's socket, if Apache was started as root.",
    |o, c| o.socket_user = Some(c.user()?);

    "connect-timeout", "seconds", "15", false,
    "How long a request tries to get a connection before it is answered with 503.",
    |o, c| o.connect_timeout = c.seconds()?;

    "socket-timeout", "seconds", "0 (Timeout)", false,
    "How long either end waits for the other on the daemon's socket. A request that waits so long for the head of its answer gets 504.",
    |o, c| o.socket_timeout = c.seconds()?;

    "response-socket-timeout", "seconds", "0 (socket-timeout)", false,
    "How long a write of an answer to the client may take.",
    |o, c| o.response_socket_timeout = c.seconds()?;

    "queue-timeout", "seconds", "0 (off)", false,
    "A request that is older when a process takes it is answered with 504.",
    |o, c| o.queue_timeout = c.seconds()?;

    "script-user", "name or #uid", "none", false,
    "Owner that script files and their folders must have. Not together with `script-group`.",
    |o, c| o.script_user = Some(c.user()?.name);

    "script-group", "name or #gid", "none", false,
    "Group that script files and their folders must have. Not together with `script-user`.",
    |o, c| { if c.value.starts_with('#') && c.group_account(c.value)?.name.starts_with('#') { return Err(c.fail("the group database has no group with this id")) } o.script_group = Some(c.group_account(c.value)?.name) };

    "server-metrics", "On or Off", "Off", false,
    "Lets `mod_wsgi.server_metrics()` show Apache's scoreboard in this group.",
    |o, c| o.server_metrics = values::option_switch(DIRECTIVE, c.name, c.value)?;

    "maximum-requests", "count", "0 (off)", false,
    "Requests after which a process is replaced. Its replacement serves before it ends.",
    |o, c| o.maximum_requests = c.unsigned(0, "must be a count, 0 or more")?;

    "startup-timeout", "seconds", "0 (off)", false,
    "Longest time from the first request to the first script that has loaded; a process that takes longer is replaced.",
    |o, c| o.startup_timeout = c.seconds()?;

    "shutdown-timeout", "seconds", "5", false,
    "Time for running requests and for Python's own end once a process has to stop; 0 waits without limit.",
    |o, c| o.shutdown_timeout = c.seconds()?;

    "deadlock-timeout", "seconds", "300", false,
    "Longest time that Python's global lock may be unobtainable; 0 is off.",
    |o, c| o.deadlock_timeout = c.seconds()?;

    "inactivity-timeout", "seconds", "0 (off)", false,
    "Time without a request, or without a sign of one that runs, after which a process is replaced, which frees what it has in memory. Counts from the first request on.",
    |o, c| o.inactivity_timeout = c.seconds()?;

    "request-timeout", "seconds", "0 (off)", false,
    "Longest time for a request where `threads=1`; with more threads it is multiplied by 1 + ln(threads), with 15 by 3.7. A request that runs longer is interrupted (`interrupt-timeout`), or else its process is replaced.",
    |o, c| o.request_timeout = c.seconds()?;

    "interrupt-timeout", "seconds", "0 (off)", false,
    "With a number over 0 the exception `mod_wsgi.RequestTimeout` is raised in a request that has run into `request-timeout`; it gets 504, or has this time to end before its process is replaced. 0 replaces the process at once.",
    |o, c| o.interrupt_timeout = c.seconds()?;

    "graceful-timeout", "seconds", "15", false,
    "Time for running requests when a process is replaced.",
    |o, c| o.graceful_timeout = c.seconds()?;

    "eviction-timeout", "seconds", "0 (graceful-timeout)", false,
    "The same after SIGUSR1.",
    |o, c| o.eviction_timeout = c.seconds()?;

    "restart-interval", "seconds", "0 (off)", false,
    "Age at which a process is replaced.",
    |o, c| o.restart_interval = c.seconds()?;

    "deploy-check", "On or Off", "On", false,
    "Where scripts or modules are preloaded (WSGIImportScript, or WSGIScriptAlias with `process-group` and `application-group`): when one of them has changed, the processes serve on with the old code until a new process has loaded the new one. If it cannot, the log says why, and the old code stays. Off: a process ends at the first request that finds its script changed.",
    |o, c| o.deploy_check = values::option_switch(DIRECTIVE, c.name, c.value)?;

    "cpu-time-limit", "seconds", "0 (off)", false,
    "CPU time after which a process is replaced as with `graceful-timeout`; the system kills one that uses `shutdown-timeout` and a second more.",
    |o, c| o.cpu_time_limit = c.seconds()?;

    "memory-limit", "bytes", "0 (off)", false,
    "Most memory for data of a process (RLIMIT_DATA); beyond it Python raises MemoryError.",
    |o, c| o.memory_limit = c.unsigned(0, "must be a number of bytes, 0 or more")?;

    "virtual-memory-limit", "bytes", "0 (off)", false,
    "Most address space of a process (RLIMIT_AS), all that is mapped; beyond it Python raises MemoryError.",
    |o, c| o.virtual_memory_limit = c.unsigned(0, "must be a number of bytes, 0 or more")?;
}

/// Options of older releases (KD-20, KD-21).
const REMOVED: &[(&str, &str)] = &[
    (
        "proxy-buffer-size",
        "It was renamed response-buffer-size, and means the bytes after which an answer is flushed.",
    ),
    (
        "newrelic-config-file",
        "New Relic's agent is no longer started by the server; wrap the application with it in the script.",
    ),
    (
        "newrelic-environment",
        "New Relic's agent is no longer started by the server; wrap the application with it in the script.",
    ),
];

/// Sets one option.
///
/// # Errors
/// Unknown option, or a value that it does not take.
pub(super) fn set_option(
    options: &mut DaemonOptions,
    place: &mut Place<'_>,
    group: &str,
    name: &str,
    value: &str,
) -> Result<(), ConfigError> {
    let Some(row) = DAEMON_OPTIONS.iter().find(|row| row.name == name) else {
        let hint = REMOVED
            .iter()
            .find(|(old, _)| *old == name)
            .map(|(_, hint)| (*hint).to_owned());
        let hint = hint
            .unwrap_or_else(|| values::known("Options", DAEMON_OPTIONS.iter().map(|row| row.name)));
        return Err(ConfigError::Option {
            directive: DIRECTIVE,
            option: name.to_owned(),
            hint,
        });
    };
    let mut context = OptionContext {
        name: row.name,
        value,
        group,
        host: place.host,
        warnings: Vec::new(),
    };
    if value.is_empty() && !row.empty {
        return Err(context.fail("must not be empty"));
    }
    (row.set)(options, &mut context)?;
    let warnings = context.warnings;
    for text in warnings {
        place.global.notice(NoticeLevel::Warn, text);
    }
    Ok(())
}

#[cfg(test)]
mod tests;
