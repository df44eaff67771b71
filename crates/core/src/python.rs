//! How a process runs Python: what the configuration decided, for the runtime to carry out.
//!
//! Made by the module (embedded) or received by the daemon over its control channel, then passed encoded through the
//! runtime's table. Pure data.

use serde::{Deserialize, Serialize};

/// Everything a runtime has to know when it starts in a process. Paths and names are text of the configuration (UTF-8).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PythonSettings {
    /// Daemon group; empty embedded.
    pub process_group: String,
    /// `python-home` or WSGIPythonHome, as written; empty for the runtime's own (API-015).
    pub home: Option<String>,
    /// Entries of `python-path` (daemon) or WSGIPythonPath (embedded), in order (API-020).
    pub path: Vec<String>,
    /// `home=` of a daemon group: inserted as `sys.path[0]` (API-029).
    pub working_directory: Option<String>,
    /// PYTHON_EGG_CACHE (API-031).
    pub eggs: Option<String>,
    /// WSGIPythonOptimize; 0 is none.
    pub optimize: i32,
    /// WSGIPythonWarnings, in order.
    pub warnings: Vec<String>,
    /// WSGIDontWriteBytecode.
    pub dont_write_bytecode: bool,
    /// WSGIPythonHashSeed.
    pub hash_seed: HashSeed,
    /// `switch-interval=` of a daemon group, in seconds; wins over the directive (DP-54).
    pub switch_interval: Option<f64>,
    /// WSGIDestroyInterpreter.
    pub destroy_interpreters: bool,
    /// WSGICaseSensitivity (REQ-600).
    pub case_sensitive: bool,
    /// Top-level directives and `<WSGIInterpreterOptions>` blocks that match this process, in ascending precedence:
    /// the last rule that matches an interpreter and sets a value wins; paths add up (API-023).
    pub interpreters: Vec<InterpreterRule>,
    /// Environment variables to set through `os.environ` in each interpreter (API-030). A false flag sets only a variable
    /// that already exists.
    pub environment: Vec<(String, String, bool)>,
    /// WSGITelemetryService; with it metrics are not for applications (MET-02).
    pub telemetry: Option<TelemetrySettings>,
    /// Facts that Python code can see.
    pub facts: ProcessFacts,
}

/// What a process reports about itself, where to and how often (TEL-001 to TEL-003). Times in seconds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TelemetrySettings {
    /// WSGITelemetryService: path of the consumer's socket, as written. It may be too long for an address.
    pub socket: String,
    /// Its `interval=`: at least 0.5, at most a year.
    pub interval: f64,
    /// WSGISlowRequests: finite, 0 is off.
    pub slow: f64,
    /// WSGITelemetryOptions has CaptureUserAgent.
    pub user_agent: bool,
}

/// WSGIPythonHashSeed (DIR-088).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum HashSeed {
    /// Python's own default (honours PYTHONHASHSEED).
    #[default]
    Default,
    /// Randomised.
    Random,
    /// Fixed.
    Fixed(u32),
}

/// Settings of one `<WSGIInterpreterOptions>` block, or of the top level.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct InterpreterRule {
    /// Interpreter that the rule is for; None for every one of the process.
    pub application_group: Option<String>,
    /// WSGIPythonPath of the block (the top level's is `PythonSettings::path`).
    pub path: Vec<String>,
    /// WSGIRestrictStdin.
    pub restrict_stdin: Option<bool>,
    /// WSGIRestrictStdout.
    pub restrict_stdout: Option<bool>,
    /// WSGIRestrictSignal.
    pub restrict_signal: Option<bool>,
    /// WSGISwitchInterval, seconds.
    pub switch_interval: Option<f64>,
    /// WSGIPerInterpreterGIL.
    pub per_interpreter_gil: Option<bool>,
    /// WSGIFreeThreading.
    pub free_threading: Option<bool>,
}

/// Facts about the process and its Apache that Python code can see (API-110 ff., API-401).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessFacts {
    /// `wsgi.multithread` (ENV-41).
    pub multithread: bool,
    /// `wsgi.multiprocess` (ENV-41).
    pub multiprocess: bool,
    /// `wsgi.run_once` (DP-102).
    pub run_once: bool,
    /// Whether this is a service process, `threads=0` (DP-111).
    pub service: bool,
    /// Whether the process is Apache's parent, too (`httpd -X`): its standard streams are a person's terminal (API-034).
    pub one_process: bool,
    /// `mod_wsgi.maximum_processes` (API-113).
    pub maximum_processes: u32,
    /// `mod_wsgi.threads_per_process` (API-114).
    pub threads_per_process: u32,
    /// `apache.version`: at compile time of the module.
    pub apache_version: (u32, u32, u32),
    /// `apache.maximum_processes`: the MPM's.
    pub apache_maximum_processes: u32,
    /// `apache.threads_per_process`: the MPM's.
    pub apache_threads_per_process: u32,
    /// `apache.description`: the server banner.
    pub apache_description: String,
    /// `apache.mpm_name`.
    pub apache_mpm_name: String,
    /// `apache.build_date`.
    pub apache_build_date: String,
    /// `mod_wsgi.implementation_version`: ours.
    pub implementation_version: String,
    /// Apache's parent process (TEL-106).
    pub apache_pid: u32,
}

/// `mod_wsgi.version` and `mod_wsgi.version` in the environ: the release of mod_wsgi that we are compatible with.
pub const COMPATIBLE_VERSION: (u32, u32, u32) = (6, 1, 1);

impl PythonSettings {
    /// The encoding that the runtime's table takes.
    pub fn encode(&self) -> Vec<u8> {
        postcard::to_stdvec(self).expect("plain data without maps of unknown length always encodes")
    }

    /// Decodes what [`PythonSettings::encode`] made.
    ///
    /// # Errors
    /// Bytes that were made by another version, or damaged; also bytes behind the settings, which another version would have
    /// added.
    pub fn decode(bytes: &[u8]) -> Result<PythonSettings, postcard::Error> {
        match postcard::take_from_bytes(bytes)? {
            (settings, []) => Ok(settings),
            _ => Err(postcard::Error::DeserializeBadEncoding),
        }
    }
}
