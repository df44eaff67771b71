//! Start of Python: its configuration from the settings, and the first interpreter. Once per process, on its main thread.

use std::ffi::{CStr, CString, c_int};
use std::mem::MaybeUninit;
use std::path::Path;

use nix::sys::signal::{SigHandler, Signal, signal};
use nix::unistd::{AccessFlags, access};
use pyo3::ffi;
use wsgi_core::python::HashSeed;

use super::interpreter;
use crate::wsgi::process::{self, CRITICAL, INFO, Settings, WARNING};

/// Starts Python and sets the main interpreter up; the thread holds no GIL afterwards. False if it failed (logged).
pub(crate) fn start() -> bool {
    let settings = process::settings();
    process::log(INFO, "Initialise Python.");
    let interrupt = disposition(libc::SIGINT);
    if let Err(why) = initialise(settings) {
        process::log(
            CRITICAL,
            &format!("WSGI0036: Python cannot be initialised: {why}"),
        );
        return false;
    }
    let adopted = interpreter::adopt_main();
    if let Some(interrupt) = interrupt {
        // The signal module takes SIGINT over when it is imported; it is Apache's or the daemon's (API-010).
        restore(libc::SIGINT, &interrupt);
    }
    if adopted.is_err() {
        process::log(
            CRITICAL,
            "WSGI0038: The main interpreter could not be set up.",
        );
    }
    adopted.is_ok()
}

/// What is wrong with a Python home: warnings, then Python decides (API-015).
fn check_home(home: &str) {
    let path = Path::new(home);
    let text = match std::fs::metadata(path) {
        Err(error) => format!("WSGI0100: Python home '{home}' cannot be examined: {error}"),
        Ok(found) if !found.is_dir() => {
            format!("WSGI0101: Python home '{home}' is not a directory")
        }
        Ok(_) => match access(path, AccessFlags::X_OK) {
            Ok(()) => return,
            Err(error) => {
                format!("WSGI0102: Python home '{home}' cannot be searched by this user: {error}")
            }
        },
    };
    process::log(WARNING, &text);
}

fn initialise(settings: &Settings) -> Result<(), String> {
    for ignored in [Signal::SIGPIPE, Signal::SIGXFSZ] {
        // SAFETY: ignoring a signal runs no code.
        let result = unsafe { signal(ignored, SigHandler::SigIgn) };
        result.map_err(|error| format!("cannot ignore {ignored}: {error}"))?;
    }
    let mut config = Config::new();
    let raw = &mut config.0;
    raw.parse_argv = 0;
    raw.install_signal_handlers = 0;
    raw.optimization_level = settings.optimize.max(0);
    raw.write_bytecode = c_int::from(!settings.dont_write_bytecode);
    match settings.hash_seed {
        HashSeed::Default => {}
        HashSeed::Random => raw.use_hash_seed = 0,
        HashSeed::Fixed(seed) => {
            raw.use_hash_seed = 1;
            raw.hash_seed = seed.into();
        }
    }
    #[cfg(Py_GIL_DISABLED)]
    {
        raw.enable_gil = c_int::from(!settings.is_free_threaded());
    }
    for option in &settings.warnings {
        let mut wide: Vec<libc::wchar_t> = option.chars().map(wide_character).collect();
        wide.push(0);
        // SAFETY: the list belongs to the configuration, the text ends with a zero.
        let status = unsafe { ffi::PyWideStringList_Append(&mut raw.warnoptions, wide.as_ptr()) };
        check(status)?;
    }
    if let Some(home) = settings.home.as_deref().filter(|home| !home.is_empty()) {
        process::log(INFO, &format!("Python home is '{home}'."));
        check_home(home);
        let environment = Path::new(home).join("pyvenv.cfg");
        if std::fs::File::open(environment).is_ok() {
            config.set_program_name(&format!("{home}/bin/python"))?;
        } else {
            config.set_home(home)?;
        }
    }
    // SAFETY: initialised by Config::new.
    check(unsafe { ffi::Py_InitializeFromConfig(&config.0) })
}

#[expect(
    clippy::cast_possible_wrap,
    reason = "characters end far below the sign of a wchar_t"
)]
fn wide_character(character: char) -> libc::wchar_t {
    u32::from(character) as libc::wchar_t
}

/// A configuration of Python, freed when dropped.
struct Config(ffi::PyConfig);

impl Config {
    fn new() -> Config {
        let mut config = MaybeUninit::<ffi::PyConfig>::uninit();
        // SAFETY: the call fills it.
        unsafe { ffi::PyConfig_InitPythonConfig(config.as_mut_ptr()) };
        // SAFETY: as above.
        Config(unsafe { config.assume_init() })
    }

    fn set_program_name(&mut self, text: &str) -> Result<(), String> {
        let text = c_text(text)?;
        let target = &raw mut self.0.program_name;
        // SAFETY: a field of this configuration.
        check(unsafe { ffi::PyConfig_SetBytesString(&mut self.0, target, text.as_ptr()) })
    }

    fn set_home(&mut self, text: &str) -> Result<(), String> {
        let text = c_text(text)?;
        let target = &raw mut self.0.home;
        // SAFETY: a field of this configuration.
        check(unsafe { ffi::PyConfig_SetBytesString(&mut self.0, target, text.as_ptr()) })
    }
}

impl Drop for Config {
    fn drop(&mut self) {
        // SAFETY: initialised by `new`.
        unsafe { ffi::PyConfig_Clear(&mut self.0) };
    }
}

fn c_text(text: &str) -> Result<CString, String> {
    CString::new(text).map_err(|_| format!("'{}' has a NUL", text.escape_debug()))
}

fn check(status: ffi::PyStatus) -> Result<(), String> {
    // SAFETY: a status can be asked any time.
    if unsafe { ffi::PyStatus_Exception(status) } == 0 {
        return Ok(());
    }
    Err(message(status))
}

/// What a status says.
pub(super) fn message(status: ffi::PyStatus) -> String {
    let text = |pointer: *const std::ffi::c_char| {
        // SAFETY: texts of a status are constants of CPython, or null.
        (!pointer.is_null()).then(|| unsafe { CStr::from_ptr(pointer) }.to_string_lossy())
    };
    match (text(status.func), text(status.err_msg)) {
        (Some(function), Some(message)) => format!("{message} (in {function})"),
        (None, Some(message)) => message.into_owned(),
        _ => format!("exit status {}", status.exitcode),
    }
}

fn disposition(number: c_int) -> Option<libc::sigaction> {
    let mut action = MaybeUninit::<libc::sigaction>::uninit();
    // SAFETY: asks only; the call fills `action`.
    let result = unsafe { libc::sigaction(number, std::ptr::null(), action.as_mut_ptr()) };
    // SAFETY: filled if the call succeeded.
    (result == 0).then(|| unsafe { action.assume_init() })
}

fn restore(number: c_int, action: &libc::sigaction) {
    // SAFETY: what was there before.
    let result = unsafe { libc::sigaction(number, action, std::ptr::null_mut()) };
    if result != 0 {
        process::log(
            WARNING,
            "WSGI5073: The disposition of SIGINT cannot be restored.",
        );
    }
}
