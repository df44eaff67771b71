//! What the configuration means for one process: settings of its Python, limits of a daemon.

use crate::control::Limits;
use crate::python::{InterpreterRule, ProcessFacts, PythonSettings};

use super::{DaemonGroup, Global};

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
            facts,
        }
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
        block.rule.application_group = Some("x".to_owned());
        global.interpreter_blocks.push(block);
        assert_eq!(codes(&global, python(11, false)), ["WSGI0198"]);
    }
}
