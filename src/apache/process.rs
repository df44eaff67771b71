//! Facts about the httpd process and program, and what a module does to them.

use std::ptr;

use super::{Pool, text};

/// User and group that httpd's children run as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// `User`, as a number.
    pub uid: u32,
    /// `Group`, as a number.
    pub gid: u32,
    /// `User`, as a name; as written if it is a number.
    pub user: Vec<u8>,
    /// ChrootDir of httpd itself.
    pub chroot: Option<Vec<u8>>,
}

/// Identity of children. Final after the configuration was read (DP-25).
pub fn identity() -> Identity {
    let config = &raw const apache_sys::ap_unixd_config;
    // SAFETY: a variable of httpd (mod_unixd), written while the configuration is read, by the only thread there is.
    let config = unsafe { *config };
    // SAFETY: texts of the configuration.
    let user = unsafe { text::bytes(config.user_name) };
    // SAFETY: texts of the configuration.
    let chroot = unsafe { text::bytes(config.chroot_dir) };
    Identity {
        uid: config.user_id,
        gid: config.group_id,
        user: user.unwrap_or(b"").to_vec(),
        chroot: chroot.map(<[u8]>::to_vec),
    }
}

/// CoreDumpDirectory, if it was set.
pub fn core_dump_directory() -> Option<Vec<u8>> {
    // SAFETY: a plain query.
    let directory = unsafe { apache_sys::wsgi_shim_coredump_dir() };
    // SAFETY: null or a variable of httpd, written while the configuration is read.
    let directory = unsafe { text::bytes(directory) };
    directory.map(<[u8]>::to_vec)
}

/// Server banner, as ServerTokens allows it (`SERVER_SOFTWARE`).
pub fn server_banner() -> String {
    // SAFETY: a plain query.
    let banner = unsafe { apache_sys::ap_get_server_banner() };
    // SAFETY: a C string of httpd.
    let banner = unsafe { text::bytes(banner) };
    String::from_utf8_lossy(banner.unwrap_or(b"")).into_owned()
}

/// When httpd was built, as its text.
pub fn build_date() -> String {
    // SAFETY: a plain query.
    let date = unsafe { apache_sys::ap_get_server_built() };
    // SAFETY: a C string of httpd.
    let date = unsafe { text::bytes(date) };
    String::from_utf8_lossy(date.unwrap_or(b"")).into_owned()
}

/// Version of httpd whose headers the module was compiled with (`apache.version`).
pub fn compiled_version() -> (u32, u32, u32) {
    let number = |value: i32| u32::try_from(value).unwrap_or(0);
    (
        number(apache_sys::AP_SERVER_MAJORVERSION_NUMBER),
        number(apache_sys::AP_SERVER_MINORVERSION_NUMBER),
        number(apache_sys::AP_SERVER_PATCHLEVEL_NUMBER),
    )
}

/// Appends a token to the server version (GEN-03). In post_config only.
pub fn add_version_component(pconf: Pool<'_>, component: &str) {
    let copy = pconf.copy_text(component.as_bytes());
    // SAFETY: a live pool of the configuration and a text in it.
    unsafe { apache_sys::ap_add_version_component(pconf.as_ptr(), copy.as_ptr()) };
}

/// `path` made absolute below ServerRoot; None if it cannot be.
pub fn server_root_relative<'p>(pool: Pool<'p>, path: &[u8]) -> Option<&'p [u8]> {
    let copy = pool.copy_text(path);
    // SAFETY: a live pool and a C string.
    let absolute = unsafe { apache_sys::ap_server_root_relative(pool.as_ptr(), copy.as_ptr()) };
    // SAFETY: null or a text of the pool.
    unsafe { text::bytes(absolute) }
}

/// Folder for temporary files, by APR's rules (`TMPDIR`, `/tmp` …: the first that this process can write to). None if there is none.
pub fn temporary_directory(pool: Pool<'_>) -> Option<&[u8]> {
    let mut directory = ptr::null();
    // SAFETY: a live pool; the text is written on success.
    let status = unsafe { apache_sys::apr_temp_dir_get(&mut directory, pool.as_ptr()) };
    if status != 0 {
        return None;
    }
    // SAFETY: a text of the pool.
    unsafe { text::bytes(directory) }
}

/// Runtime folder that httpd was compiled with (`/var/run/apache2`), absolute; the default of WSGISocketPrefix is in it (DOC-08).
pub fn compiled_runtime_directory(pool: Pool<'_>) -> Option<Vec<u8>> {
    // SAFETY: a plain query.
    let directory = unsafe { apache_sys::wsgi_shim_runtime_dir() };
    // SAFETY: a literal of the shim.
    let directory = unsafe { text::bytes(directory) }?;
    server_root_relative(pool, directory).map(<[u8]>::to_vec)
}

/// Whether the server was started with `-D name`, or the configuration defines it.
pub fn is_defined(name: &std::ffi::CStr) -> bool {
    // SAFETY: a C string.
    unsafe { apache_sys::ap_exists_config_define(name.as_ptr()) != 0 }
}

/// What httpd does with its configuration in this run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pass {
    /// First of two readings at start, or `httpd -t`: nothing will run with it.
    Check,
    /// The reading that the server will run with.
    Run,
}

/// Whether the configuration read now is the one that will run: httpd reads it twice at start, once at a restart.
pub fn configuration_pass() -> Pass {
    // SAFETY: a plain query.
    let state = unsafe { apache_sys::ap_state_query(apache_sys::AP_SQ_MAIN_STATE) };
    // SAFETY: a plain query.
    let mode = unsafe { apache_sys::ap_state_query(apache_sys::AP_SQ_RUN_MODE) };
    let check = state == apache_sys::AP_SQ_MS_CREATE_PRE_CONFIG
        || mode == apache_sys::AP_SQ_RM_CONFIG_TEST
        || mode == apache_sys::AP_SQ_RM_CONFIG_DUMP;
    if check { Pass::Check } else { Pass::Run }
}

/// Whether this run only checks the configuration (`httpd -t`).
pub fn is_configuration_test() -> bool {
    // SAFETY: a plain query.
    let mode = unsafe { apache_sys::ap_state_query(apache_sys::AP_SQ_RUN_MODE) };
    mode == apache_sys::AP_SQ_RM_CONFIG_TEST
}

/// Forks the httpd parent, which has one thread only. The child runs `body`, in which a panic is caught, and ends with the exit
/// status that `body` returns, without running httpd's cleanups or exit handlers. Returns the child's pid.
///
/// # Errors
/// What fork said.
pub fn fork(body: impl FnOnce() -> i32) -> std::io::Result<i32> {
    // SAFETY: the httpd parent has one thread, so that no lock can be held by another one in the child.
    match unsafe { libc::fork() } {
        -1 => Err(std::io::Error::last_os_error()),
        0 => {
            let status = super::guard::call("the supervisor", 1, body);
            // SAFETY: ends the process; nothing is run that belongs to the parent.
            unsafe { libc::_exit(status) }
        }
        pid => Ok(pid),
    }
}

/// APR's text for a status.
pub(super) fn error_text(status: apache_sys::apr_status_t) -> String {
    let mut buffer = [0; 160];
    // SAFETY: writes at most the buffer's length, with a NUL at the end.
    let text = unsafe { apache_sys::apr_strerror(status, buffer.as_mut_ptr(), buffer.len()) };
    // SAFETY: a C string in the buffer.
    let text = unsafe { text::bytes(text) };
    String::from_utf8_lossy(text.unwrap_or(b"unknown error")).into_owned()
}
