//! What the configuration means for one process: settings of its Python, limits of a daemon.

use crate::control::Limits;
use crate::python::{InterpreterRule, ProcessFacts, PythonSettings};

use super::{DaemonGroup, Global};

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
