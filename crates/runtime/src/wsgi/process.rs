//! What belongs to the whole process: its settings and its log. Set once by `start`, read by every thread.

use std::ffi::c_int;
use std::ops::Deref;
use std::sync::OnceLock;

use wsgi_core::python::{InterpreterRule, PythonSettings};
pub(crate) use wsgi_core::record::interpreter as describe_interpreter;
use wsgi_core::scoreboard::Scoreboard;
use wsgi_runtime_api::engine::HostCalls;

/// httpd's level `crit`.
pub(crate) const CRITICAL: c_int = 2;
/// httpd's level `error`.
pub(crate) const ERROR: c_int = 3;
/// httpd's level `warn`.
pub(crate) const WARNING: c_int = 4;
/// httpd's level `info`.
pub(crate) const INFO: c_int = 6;
/// httpd's level `debug`.
pub(crate) const DEBUG: c_int = 7;
/// httpd's level `trace1`.
pub(crate) const TRACE: c_int = 8;

/// Longest record, bytes (ERR-04).
const LONGEST_RECORD: usize = 8192;

struct Process {
    settings: Settings,
    host: HostCalls,
    pid: u32,
}

static PROCESS: OnceLock<Process> = OnceLock::new();

/// Notes what the process was started with; false if it was started before.
pub(crate) fn begin(settings: PythonSettings, host: HostCalls) -> bool {
    let pid = std::process::id();
    PROCESS
        .set(Process {
            settings: Settings(settings),
            host,
            pid,
        })
        .is_ok()
}

fn process() -> &'static Process {
    PROCESS.get().expect("`start` comes before everything else")
}

/// How this process runs Python.
pub(crate) fn settings() -> &'static Settings {
    &process().settings
}

/// Whether this is the process that Python was started in, not one that the application forked.
pub(crate) fn is_the_original() -> bool {
    process().pid == std::process::id()
}

/// One record for the process's log.
pub(crate) fn log(level: c_int, text: &str) {
    log_bytes(level, text.as_bytes());
}

/// As [`log`], for text of any encoding.
pub(crate) fn log_bytes(level: c_int, text: &[u8]) {
    log_whole(level, record(text));
}

/// One record for the process's log, as it is: cut before.
pub(crate) fn log_whole(level: c_int, record: &[u8]) {
    process().host.log(level, record);
}

/// Whether records of this level are written.
pub(crate) fn is_logged(level: c_int) -> bool {
    process().host.log_enabled(level)
}

/// Input was read or output written for a request that counts.
pub(crate) fn activity() {
    process().host.activity();
}

/// Apache's scoreboard, where this process may know it (MET-60). May wait: not with the GIL held.
pub(crate) fn server_metrics() -> Option<Scoreboard> {
    process().host.server_metrics()
}

/// A script or module was loaded.
pub(crate) fn script_loaded() {
    process().host.script_loaded();
}

/// The part of a line that goes into a record: up to a NUL, and no more than a record holds (API-036).
pub(crate) fn record(line: &[u8]) -> &[u8] {
    let end = line
        .iter()
        .position(|byte| *byte == 0)
        .unwrap_or(line.len());
    &line[..end.min(LONGEST_RECORD)]
}

/// Where the process runs: `embedded` or `daemon group 'NAME'` (REQ-800).
pub(crate) fn describe_location() -> String {
    wsgi_core::record::location(&settings().process_group)
}

/// The settings, with the rules for one interpreter resolved.
pub(crate) struct Settings(PythonSettings);

impl Deref for Settings {
    type Target = PythonSettings;

    fn deref(&self) -> &PythonSettings {
        &self.0
    }
}

impl Settings {
    /// Rules that match an interpreter, in ascending precedence.
    pub(crate) fn rules(&self, name: &str) -> impl Iterator<Item = &InterpreterRule> {
        self.0.interpreters.iter().filter(move |rule| {
            rule.application_group
                .as_deref()
                .is_none_or(|group| group == name)
        })
    }

    /// The value of a setting for an interpreter: of the last rule that has one (API-023).
    fn last<'s, T>(
        &'s self,
        name: &str,
        value: impl Fn(&'s InterpreterRule) -> Option<T>,
    ) -> Option<(&'s InterpreterRule, T)> {
        self.0
            .interpreters
            .iter()
            .filter(|rule| {
                rule.application_group
                    .as_deref()
                    .is_none_or(|group| group == name)
            })
            .filter_map(|rule| value(rule).map(|value| (rule, value)))
            .last()
    }

    /// Whether `sys.stdin` is barred (API-033).
    pub(crate) fn restricts_stdin(&self, name: &str) -> bool {
        self.last(name, |rule| rule.restrict_stdin)
            .is_some_and(|(_, value)| value)
    }

    /// Whether `sys.stdout` is barred (API-033).
    pub(crate) fn restricts_stdout(&self, name: &str) -> bool {
        self.last(name, |rule| rule.restrict_stdout)
            .is_some_and(|(_, value)| value)
    }

    /// Whether `signal.signal` is intercepted (API-039).
    pub(crate) fn restricts_signals(&self, name: &str) -> bool {
        !self.0.facts.service
            && self
                .last(name, |rule| rule.restrict_signal)
                .is_none_or(|(_, value)| value)
    }

    /// Whether a sub-interpreter is to have a GIL of its own (API-021).
    pub(crate) fn gives_own_gil(&self, name: &str) -> bool {
        let is_wanted = self
            .last(name, |rule| rule.per_interpreter_gil)
            .is_some_and(|(_, value)| value);
        if is_wanted && self.is_free_threaded() {
            log(
                WARNING,
                &format!(
                    "WSGI0202: Interpreter '{name}' gets no GIL of its own: there is none in this process."
                ),
            );
            return false;
        }
        is_wanted && cfg!(Py_3_12)
    }

    /// Whether Python runs without a GIL (API-016).
    pub(crate) fn is_free_threaded(&self) -> bool {
        let rules = self
            .0
            .interpreters
            .iter()
            .filter(|rule| rule.application_group.is_none());
        cfg!(Py_GIL_DISABLED)
            && rules.filter_map(|rule| rule.free_threading).next_back() == Some(true)
    }

    /// The switch interval of the daemon group, seconds, for interpreters that share the GIL: set once more behind import
    /// scripts, which may have set another one (DP-53).
    pub(crate) fn switch_interval_of_group(&self) -> Option<f64> {
        self.0.switch_interval.filter(|_| !self.is_free_threaded())
    }

    /// The switch interval to set in a new interpreter, seconds (API-024, DIR-089, DP-54): that of the daemon group wins for every
    /// interpreter that shares the GIL; an interpreter of its own GIL may have its own.
    pub(crate) fn switch_interval(&self, name: &str, has_own_gil: bool) -> Option<f64> {
        let configured = self.last(name, |rule| rule.switch_interval);
        if self.is_free_threaded() {
            let skipped = match (self.0.switch_interval, configured) {
                (Some(_), _) => Some("WSGI0204: The switch interval of the daemon group"),
                (None, Some((rule, _))) if rule.application_group.is_some() => {
                    Some("WSGI0205: The switch interval of the interpreter")
                }
                (None, Some(_)) => Some("WSGI0203: WSGISwitchInterval"),
                (None, None) => None,
            };
            if let Some(what) = skipped {
                log(WARNING, &format!("{what} has no effect without a GIL."));
            }
            return None;
        }
        if name.is_empty() {
            return self
                .0
                .switch_interval
                .or(configured.map(|(_, value)| value));
        }
        if has_own_gil {
            return configured
                .map(|(_, value)| value)
                .or(self.0.switch_interval);
        }
        let (rule, value) = configured?;
        if rule.application_group.is_some() {
            let text = format!(
                "WSGI0199: The switch interval of interpreter '{name}' has no effect: it shares the GIL."
            );
            log(WARNING, &text);
            return None;
        }
        // For all interpreters that share the GIL, as in 6.1, but not against the group's own value.
        self.0.switch_interval.is_none().then_some(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> Settings {
        let rule = |group: Option<&str>, interval, stdout| InterpreterRule {
            application_group: group.map(str::to_owned),
            switch_interval: interval,
            restrict_stdout: stdout,
            ..InterpreterRule::default()
        };
        Settings(PythonSettings {
            interpreters: vec![
                rule(None, Some(0.1), Some(true)),
                rule(Some(""), Some(0.2), None),
                rule(Some("x"), None, Some(false)),
            ],
            ..PythonSettings::default()
        })
    }

    /// API-023: the last rule that sets a value wins, per setting.
    #[test]
    fn the_last_rule_with_a_value_wins() {
        let settings = settings();
        assert!(settings.restricts_stdout("") && !settings.restricts_stdout("x"));
        assert!(settings.restricts_stdout("y") && !settings.restricts_stdin("y"));
        assert_eq!(settings.rules("x").count(), 2);
    }

    /// API-039: signals are intercepted unless something says otherwise.
    #[test]
    fn signals_are_restricted_by_default() {
        assert!(settings().restricts_signals("x"));
    }

    /// API-024, DP-54: the daemon's value wins where the GIL is shared, and no sub-interpreter undoes it.
    #[test]
    fn switch_intervals() {
        let mut settings = settings();
        assert_eq!(settings.switch_interval("", false), Some(0.2));
        assert_eq!(settings.switch_interval("y", false), Some(0.1));
        assert_eq!(settings.switch_interval("y", true), Some(0.1));
        settings.0.switch_interval = Some(0.5);
        assert_eq!(settings.switch_interval("", false), Some(0.5));
        assert_eq!(settings.switch_interval("y", false), None);
        assert_eq!(settings.switch_interval("y", true), Some(0.1));
    }

    /// API-036: a record ends at a NUL.
    #[test]
    fn records_are_cut() {
        assert_eq!(record(b"ab\0c"), b"ab");
        assert_eq!(record(&[b'x'; 9000]).len(), LONGEST_RECORD);
    }
}
