//! What the configuration means for one process: settings of its Python, limits of a daemon.

use crate::control::Limits;
use crate::python::{InterpreterRule, ProcessFacts, PythonSettings, TelemetrySettings};

use super::{DaemonGroup, Global};

/// A longer time between two reports is as good as this one, and would be more than clocks can add.
const LONGEST_INTERVAL: f64 = 366.0 * 24.0 * 3600.0;

/// What decides whether a Python can follow a setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PythonFacts {
    /// As in `3.13`.
    pub major: u32,
    /// As in `3.13`.
    pub minor: u32,
    /// Whether it was built to run without a GIL.
    pub free_threaded: bool,
}

impl Global {
    /// Settings for the Python of a daemon of `group`, or of an Apache child (None). `facts` are passed on.
    pub fn python_settings(
        &self,
        group: Option<&DaemonGroup>,
        facts: ProcessFacts,
    ) -> PythonSettings {
        let name = group.map_or("", |group| group.name.as_str());
        let options = group.map(|group| &group.options);
        PythonSettings {
            process_group: name.to_owned(),
            home: options
                .and_then(|o| o.python_home.clone())
                .or_else(|| self.python_home.clone()),
            path: options.map_or_else(|| self.python_path.clone(), |o| o.python_path.clone()),
            working_directory: options.and_then(|o| o.home.clone()),
            eggs: options.map_or_else(|| self.python_eggs.clone(), |o| o.python_eggs.clone()),
            optimize: self.optimize,
            warnings: self.warnings.clone(),
            dont_write_bytecode: self.dont_write_bytecode.unwrap_or(false),
            hash_seed: self.hash_seed,
            switch_interval: options.and_then(|o| o.switch_interval),
            destroy_interpreters: self.destroy_interpreter.unwrap_or(true),
            case_sensitive: self.case_sensitivity.unwrap_or(true),
            interpreters: self.rules_for(name),
            environment: Vec::new(),
            telemetry: self.telemetry(group),
            facts,
        }
    }

    /// The same for all processes, but none for children that run no application (TEL-010); None without WSGITelemetryService,
    /// whatever else is set.
    fn telemetry(&self, group: Option<&DaemonGroup>) -> Option<TelemetrySettings> {
        if group.is_none() && self.restrict_embedded == Some(true) {
            return None;
        }
        let (socket, interval) = self.telemetry_service.clone()?;
        Some(TelemetrySettings {
            socket,
            interval: interval.min(LONGEST_INTERVAL),
            slow: self.slow_requests,
            user_agent: self.telemetry_user_agent,
        })
    }

    /// Warnings about settings that have no effect in the processes of `group`, or in Apache's children (None), because
    /// of the Python that they run (DIR-091, DIR-092).
    pub fn lacks(&self, group: Option<&DaemonGroup>, python: PythonFacts) -> Vec<String> {
        let rules = self.rules_for(group.map_or("", |group| group.name.as_str()));
        let whose = group.map_or_else(
            || "Apache's children".to_owned(),
            |group| format!("daemon process group '{}'", group.name),
        );
        let PythonFacts { major, minor, .. } = python;
        let mut texts = Vec::new();
        if rules
            .iter()
            .any(|rule| rule.per_interpreter_gil == Some(true))
            && (major, minor) < (3, 12)
        {
            texts.push(format!(
                "WSGI0198: WSGIPerInterpreterGIL has no effect in {whose}: Python {major}.{minor} has one GIL for all \
                 interpreters; Python 3.12 and later can have more."
            ));
        }
        let whole = rules.iter().filter(|rule| rule.application_group.is_none());
        if whole.filter_map(|rule| rule.free_threading).next_back() == Some(true)
            && !python.free_threaded
        {
            texts.push(format!(
                "WSGI0200: WSGIFreeThreading has no effect in {whose}: this Python {major}.{minor} was not built to run \
                 without a GIL; install a free-threaded one and choose it, as with WSGIPythonVersion {major}.{minor}t."
            ));
        }
        texts
    }

    /// The top level's rule and the sections that match the process, in ascending precedence (DIR-097 to DIR-100, API-023).
    fn rules_for(&self, process_group: &str) -> Vec<InterpreterRule> {
        let mut blocks: Vec<_> = self
            .interpreter_blocks
            .iter()
            .filter(|block| {
                block
                    .process_group
                    .as_deref()
                    .is_none_or(|name| name == process_group)
            })
            .collect();
        // Stable: among equals the order of the file remains.
        blocks.sort_by_key(|block| block.specificity());
        std::iter::once(self.interpreters.clone())
            .chain(blocks.into_iter().map(|block| block.rule.clone()))
            .collect()
    }
}

impl DaemonGroup {
    /// Limits of the group's processes; `apache_timeout` is the Timeout of the server that it is defined in, seconds (DMN-216).
    pub fn limits(&self, apache_timeout: u64) -> Limits {
        let o = &self.options;
        Limits {
            maximum_requests: o.maximum_requests,
            socket_timeout: if o.socket_timeout == 0 {
                apache_timeout
            } else {
                o.socket_timeout
            },
            shutdown_timeout: o.shutdown_timeout,
            graceful_timeout: o.graceful_timeout,
            eviction_timeout: o.eviction_timeout,
            startup_timeout: o.startup_timeout,
            deadlock_timeout: o.deadlock_timeout,
            inactivity_timeout: o.inactivity_timeout,
            request_timeout: o.request_timeout,
            interrupt_timeout: o.interrupt_timeout,
            restart_interval: o.restart_interval,
            queue_timeout: o.queue_timeout,
            cpu_time: o.cpu_time_limit,
            memory: o.memory_limit,
            virtual_memory: o.virtual_memory_limit,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::testing::Reading;

    /// Settings of the Python of a group, or of Apache's children.
    fn settings(lines: &str, group: Option<&str>) -> PythonSettings {
        let global = Reading::of(lines).global;
        let group = group.map(|name| {
            let found = global.daemon_groups.iter().find(|known| known.name == name);
            found.unwrap()
        });
        global.python_settings(group, ProcessFacts::default())
    }

    /// DIR-081, DIR-083, DIR-084, DP-50, DP-51, DP-52: only the home of the whole server holds for groups as well.
    #[test]
    fn what_groups_inherit() {
        let lines = "WSGIPythonHome /home\nWSGIPythonPath /path\nWSGIPythonEggs /eggs
             WSGIDaemonProcess plain\nWSGIDaemonProcess empty python-home=\"\"
             WSGIDaemonProcess own python-home=/own python-path=/a:/b python-eggs=/e home=/w switch-interval=0.1";
        let of = |group| {
            let found = settings(lines, group);
            (found.home, found.path, found.eggs, found.working_directory)
        };
        let some = |text: &str| Some(text.to_owned());
        let path = |entries: &[&str]| entries.iter().map(|entry| (*entry).to_owned()).collect();
        assert_eq!(
            of(None),
            (some("/home"), path(&["/path"]), some("/eggs"), None)
        );
        assert_eq!(of(Some("plain")), (some("/home"), path(&[]), None, None));
        assert_eq!(of(Some("empty")), of(Some("plain")));
        assert_eq!(
            of(Some("own")),
            (some("/own"), path(&["/a", "/b"]), some("/e"), some("/w"))
        );
        assert_eq!(settings(lines, None).switch_interval, None);
        assert_eq!(settings(lines, Some("own")).switch_interval, Some(0.1));
        assert_eq!(settings(lines, Some("own")).process_group, "own");
    }

    /// DIR-085 to DIR-090, DIR-093, KD-38: what holds everywhere, and where nothing is said.
    #[test]
    fn what_holds_everywhere() {
        let nothing = settings("", None);
        assert!(nothing.destroy_interpreters && nothing.case_sensitive);
        assert!(!nothing.dont_write_bytecode);
        assert_eq!((nothing.optimize, nothing.warnings.len()), (0, 0));
        let lines = "WSGIDaemonProcess g\nWSGIPythonOptimize 2\nWSGIPythonWarnings ignore
             WSGIDontWriteBytecode On\nWSGIDestroyInterpreter Off\nWSGICaseSensitivity Off";
        for group in [None, Some("g")] {
            let found = settings(lines, group);
            assert!(!found.destroy_interpreters && !found.case_sensitive);
            assert!(found.dont_write_bytecode);
            assert_eq!((found.optimize, found.warnings.len()), (2, 1));
        }
    }

    /// TEL-001 to TEL-003, TEL-010: the same in all processes, and nothing without a service.
    #[test]
    fn telemetry() {
        let lines = "WSGIDaemonProcess g\nWSGISlowRequests 2.5\nWSGITelemetryOptions All\n";
        assert_eq!(settings(lines, None).telemetry, None);
        for (service, interval) in [
            ("unix:/x", 1.0),
            ("unix:/x interval=0.5", 0.5),
            ("unix:/x interval=1e300", LONGEST_INTERVAL),
        ] {
            let lines = format!("{lines}WSGITelemetryService {service}");
            let expected = TelemetrySettings {
                socket: "/x".to_owned(),
                interval,
                slow: 2.5,
                user_agent: true,
            };
            for group in [None, Some("g")] {
                let found = settings(&lines, group).telemetry;
                assert_eq!(found.as_ref(), Some(&expected), "{service}");
            }
        }
        let restricted =
            "WSGIDaemonProcess g\nWSGITelemetryService unix:/x\nWSGIRestrictEmbedded On";
        assert_eq!(settings(restricted, None).telemetry, None);
        assert!(settings(restricted, Some("g")).telemetry.is_some());
        let plain = settings("WSGITelemetryService unix:/x", None).telemetry;
        let plain = plain.expect("a service");
        assert_eq!((plain.slow, plain.user_agent), (0.0, false));
    }

    /// DIR-097, DIR-098: sections of the process, by name in its case, the most specific last, among equals as in the file; below
    /// all of them the top level.
    #[test]
    fn sections_of_a_process() {
        let block = |selectors: &str, path: &str| {
            format!(
                "<WSGIInterpreterOptions {selectors}>\nWSGIPythonPath {path}\n</WSGIInterpreterOptions>\n"
            )
        };
        let lines = [
            "WSGIDaemonProcess g\nWSGIDaemonProcess G\nWSGIRestrictStdin On\n".to_owned(),
            block("process-group=g application-group=a", "/both"),
            block("process-group=g", "/process"),
            block("application-group=a", "/application"),
            block("", "/all"),
            block("process-group=%{GLOBAL}", "/embedded"),
            block("process-group=g", "/process2"),
        ]
        .concat();
        for (group, expected) in [
            (None, &["/all", "/application", "/embedded"][..]),
            (
                Some("g"),
                &["/all", "/process", "/application", "/process2", "/both"],
            ),
            (Some("G"), &["/all", "/application"]),
        ] {
            let rules = settings(&lines, group).interpreters;
            assert_eq!(rules[0].restrict_stdin, Some(true), "top level");
            let paths: Vec<_> = rules.iter().flat_map(|rule| &rule.path).collect();
            assert_eq!(paths, expected, "{group:?}");
        }
    }

    /// DP-40, DP-60 to DP-72, DMN-216: limits of a group; no socket timeout is Apache's.
    #[test]
    fn limits() {
        let of = |options: &str| {
            let reading = Reading::of(&format!("WSGIDaemonProcess g {options}"));
            reading.global.daemon_groups[0].limits(60)
        };
        assert_eq!(of("").socket_timeout, 60);
        assert_eq!(of("socket-timeout=5").socket_timeout, 5);
        let found = of(
            "maximum-requests=1 startup-timeout=2 shutdown-timeout=3 deadlock-timeout=4 inactivity-timeout=5 \
             request-timeout=6 interrupt-timeout=7 graceful-timeout=8 eviction-timeout=9 restart-interval=10 \
             queue-timeout=11 cpu-time-limit=12 memory-limit=13 virtual-memory-limit=14",
        );
        let numbers = [
            found.maximum_requests,
            found.startup_timeout,
            found.shutdown_timeout,
            found.deadlock_timeout,
            found.inactivity_timeout,
            found.request_timeout,
            found.interrupt_timeout,
            found.graceful_timeout,
            found.eviction_timeout,
            found.restart_interval,
            found.queue_timeout,
            found.cpu_time,
            found.memory,
            found.virtual_memory,
        ];
        assert_eq!(numbers, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14]);
    }

    fn python(minor: u32, free_threaded: bool) -> PythonFacts {
        PythonFacts {
            major: 3,
            minor,
            free_threaded,
        }
    }

    fn codes(global: &Global, python: PythonFacts) -> Vec<String> {
        let texts = global.lacks(None, python);
        texts.iter().map(|text| text[..8].to_owned()).collect()
    }

    /// DIR-091, DIR-092, API-021: what a Python cannot do is said, and only then.
    #[test]
    fn what_a_python_lacks() {
        let mut global = Global::default();
        global.interpreters.per_interpreter_gil = Some(true);
        global.interpreters.free_threading = Some(true);
        assert_eq!(codes(&global, python(11, false)), ["WSGI0198", "WSGI0200"]);
        assert_eq!(codes(&global, python(12, false)), ["WSGI0200"]);
        assert!(codes(&global, python(13, true)).is_empty());
        global.interpreters = InterpreterRule::default();
        assert!(codes(&global, python(11, false)).is_empty());
    }

    /// DIR-097, DIR-100: only sections that match the process count, and for free threading only those for all interpreters.
    #[test]
    fn only_what_applies_is_said() {
        use crate::config::InterpreterBlock;

        let mut global = Global::default();
        let mut block = InterpreterBlock::default();
        block.rule.free_threading = Some(true);
        block.rule.per_interpreter_gil = Some(true);
        block.process_group = Some("other".to_owned());
        global.interpreter_blocks.push(block.clone());
        assert!(codes(&global, python(11, false)).is_empty());
        block.process_group = None;
        let for_all = block.clone();
        block.rule.application_group = Some("x".to_owned());
        global.interpreter_blocks.push(block);
        assert_eq!(codes(&global, python(11, false)), ["WSGI0198"]);
        global.interpreter_blocks = vec![for_all];
        assert_eq!(codes(&global, python(11, false)), ["WSGI0198", "WSGI0200"]);
        assert_eq!(codes(&global, python(12, false)), ["WSGI0200"]);
    }
}
