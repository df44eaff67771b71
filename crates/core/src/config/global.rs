//! Settings of the whole server. They live in the main server's configuration and start afresh with each reading (GEN-14).

use crate::python::{HashSeed, InterpreterRule};

use super::{DaemonGroup, Origins};

/// How loud a notice is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoticeLevel {
    /// Something may not be as intended.
    Warn,
    /// Worth knowing.
    Notice,
    /// For the curious.
    Info,
}

/// Something to be logged once when Apache starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// Level.
    pub level: NoticeLevel,
    /// Text, with its code if it has one.
    pub text: String,
}

/// WSGIImportScript, or a preload entry of an alias (DIR-012, DIR-076).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImportScript {
    /// Path as written.
    pub script: String,
    /// Daemon group; empty for Apache's children.
    pub process_group: String,
    /// Interpreter; empty for the main one.
    pub application_group: String,
    /// Ordinal of the server that it is written in.
    pub server_ordinal: u32,
}

/// `<WSGIInterpreterOptions>`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct InterpreterBlock {
    /// `process-group=`; empty is embedded; None matches every process.
    pub process_group: Option<String>,
    /// What it sets, and for which interpreter.
    pub rule: InterpreterRule,
    /// The section that it is written in, if it stands in another one (DIR-096).
    pub outer: Option<usize>,
}

impl InterpreterBlock {
    /// Number of selectors (DIR-098).
    pub fn specificity(&self) -> u8 {
        u8::from(self.process_group.is_some()) + u8::from(self.rule.application_group.is_some())
    }
}

/// The settings.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Global {
    /// WSGIDaemonProcess, in file order.
    pub daemon_groups: Vec<DaemonGroup>,
    /// Scripts to load when a process starts, in file order.
    pub import_scripts: Vec<ImportScript>,
    /// WSGISocketPrefix, absolute.
    pub socket_prefix: Option<String>,
    /// WSGISocketRotation.
    pub socket_rotation: Option<bool>,
    /// WSGIAcceptMutex; accepted, no lock is needed.
    pub accept_mutex: Option<String>,
    /// WSGIRestrictEmbedded.
    pub restrict_embedded: Option<bool>,
    /// Whether a hook script is configured outside of `.htaccess`, so that children need Python (DIR-071).
    pub has_hook_script: bool,
    /// WSGICaseSensitivity.
    pub case_sensitivity: Option<bool>,
    /// WSGIPythonHome.
    pub python_home: Option<String>,
    /// WSGIPythonPath at top level, split.
    pub python_path: Vec<String>,
    /// WSGIPythonEggs.
    pub python_eggs: Option<String>,
    /// WSGIPythonVersion, e.g. `3.13`.
    pub python_version: Option<String>,
    /// WSGIRuntimeDirectory.
    pub runtime_directory: Option<String>,
    /// WSGIPythonOptimize.
    pub optimize: i32,
    /// WSGIPythonWarnings.
    pub warnings: Vec<String>,
    /// WSGIDontWriteBytecode.
    pub dont_write_bytecode: Option<bool>,
    /// WSGIPythonHashSeed.
    pub hash_seed: HashSeed,
    /// WSGIDestroyInterpreter.
    pub destroy_interpreter: Option<bool>,
    /// Directives of the top level that `<WSGIInterpreterOptions>` can refine.
    pub interpreters: InterpreterRule,
    /// `<WSGIInterpreterOptions>` in file order.
    pub interpreter_blocks: Vec<InterpreterBlock>,
    /// WSGITrustedProxies stands somewhere (DIR-134).
    pub names_proxies: bool,
    /// The block being read.
    pub open_block: Option<usize>,
    /// WSGIServerMetrics.
    pub server_metrics: Option<bool>,
    /// WSGITelemetryService: path and interval in seconds.
    pub telemetry_service: Option<(String, f64)>,
    /// WSGITelemetryOptions: whether CaptureUserAgent is set.
    pub telemetry_user_agent: bool,
    /// WSGISlowRequests, seconds; 0 is off.
    pub slow_requests: f64,
    /// Where all this is written, for reports.
    pub origins: Origins,
    /// To be logged at start.
    pub notices: Vec<Notice>,
}

impl Global {
    /// Whether Apache's children start Python (DIR-071, API-002).
    pub fn needs_embedded_python(&self) -> bool {
        self.restrict_embedded != Some(true)
            || self.has_hook_script
            || self
                .import_scripts
                .iter()
                .any(|script| script.process_group.is_empty())
    }

    /// Remembers a notice, unless the same one is there.
    pub(super) fn notice(&mut self, level: NoticeLevel, text: String) {
        let notice = Notice { level, text };
        if !self.notices.contains(&notice) {
            self.notices.push(notice);
        }
    }

    /// The settings that an interpreter directive changes: those of the open block, or the top level's.
    pub(super) fn rule(&mut self) -> &mut InterpreterRule {
        match self
            .open_block
            .and_then(|index| self.interpreter_blocks.get_mut(index))
        {
            Some(block) => &mut block.rule,
            None => &mut self.interpreters,
        }
    }
}
