//! The record `wsgi_module` that `LoadModule` looks up, and the functions by which httpd makes, fills and merges our
//! configurations.
//!
//! Promises: raw pointers of httpd end here; configurations are stored with their type ([`slot`]); while httpd reads the
//! configuration one thread exists and nobody else refers to what is being filled. What directives mean is decided in
//! `wsgi-core` (table, parsers, merging) and `config` (what only httpd knows).
//!
//! Everything that belongs to one reading of the configuration hangs off its pool: the library stays loaded across restarts.
//! Configurations are written while httpd reads them (parent; for `.htaccess` the thread of the request), and only read
//! afterwards.
#![allow(unsafe_code)] // the C side of the module; see the promises above

use std::cell::UnsafeCell;
use std::ffi::{CStr, c_char, c_void};
use std::ptr;

use apache_sys::{Commands, ModuleParts, apr_pool_t, cmd_parms, module, server_rec};

use wsgi_core::config::{Global, ServerConfig};

use crate::apache::{Command, Pool, Server, guard, log, slot};
use crate::config::{self, DirectoryConfig, ServerSettings, commands};
use crate::hooks;

/// A record that httpd writes to: number, link to the next module, handle of the library.
#[repr(transparent)]
pub struct ModuleRecord(UnsafeCell<module>);

// SAFETY: httpd writes it while it loads modules, with one thread; afterwards it is only read.
unsafe impl Sync for ModuleRecord {}

/// The module. Its source name makes `<IfModule mod_wsgi.c>` true as well (GEN-01).
#[cfg_attr(not(test), unsafe(no_mangle))] // a test binary would have to link httpd
#[allow(non_upper_case_globals)] // the name in LoadModule
pub static wsgi_module: ModuleRecord =
    ModuleRecord(UnsafeCell::new(apache_sys::module_record(ModuleParts {
        source: c"mod_wsgi.c",
        create_dir_config,
        merge_dir_config,
        create_server_config,
        merge_server_config,
        commands: COMMANDS.0.as_ptr(),
        register_hooks,
    })));

/// Our directives.
static COMMANDS: Commands<{ commands::COUNT }> =
    Commands(commands::records(on_directive, on_interpreter_options));

/// What a directive answers when our code panicked.
const PANICKED: *const c_char =
    c"mod_wsgi-rs failed on this directive; the error log says where. Please report it.".as_ptr();

/// First call of each load: httpd has given the module its number.
///
/// # Safety
/// Called by httpd with the pool of the configuration.
unsafe extern "C" fn register_hooks(pool: *mut apr_pool_t) {
    guard::install();
    guard::call("register_hooks", (), || {
        let record = wsgi_module.0.get();
        // SAFETY: the static lives for ever, and httpd does not write to it right now.
        let index = unsafe { (*record).module_index };
        log::set_module_index(index);
        // SAFETY: lives as long as the configuration being read.
        hooks::register(unsafe { Pool::from_raw(pool) });
    });
}

/// Makes the configuration of a directory-type section, a `.htaccess` file or of a server's own level.
///
/// # Safety
/// Called by httpd with a live pool.
unsafe extern "C" fn create_dir_config(pool: *mut apr_pool_t, _: *mut c_char) -> *mut c_void {
    guard::call("create_dir_config", ptr::null_mut(), || {
        // SAFETY: httpd hands the pool that the section belongs to.
        slot::store(unsafe { Pool::from_raw(pool) }, DirectoryConfig::default())
    })
}

/// Merges the configuration of an inner section over that of an outer one.
///
/// # Safety
/// Called by httpd with a live pool and two configurations that [`create_dir_config`] or this function made.
unsafe extern "C" fn merge_dir_config(
    pool: *mut apr_pool_t,
    outer: *mut c_void,
    inner: *mut c_void,
) -> *mut c_void {
    guard::call("merge_dir_config", ptr::null_mut(), || {
        // SAFETY: of our making, final, and alive as long as the request or the configuration.
        let below = unsafe { slot::get::<DirectoryConfig>(outer) };
        // SAFETY: as above.
        let above = unsafe { slot::get::<DirectoryConfig>(inner) };
        match (below, above) {
            // Most sections say nothing about us; then one of the two is the result: both live at least as long.
            (Some(_), Some(above)) if above.is_empty() => outer,
            (Some(below), Some(_)) if below.is_empty() => inner,
            (Some(below), Some(above)) => {
                let merged = DirectoryConfig::merged(below, above);
                // SAFETY: httpd hands the pool that the result belongs to.
                slot::store(unsafe { Pool::from_raw(pool) }, merged)
            }
            _ => ptr::null_mut(),
        }
    })
}

/// Makes the configuration of a server.
///
/// # Safety
/// Called by httpd with the pool of the configuration and a live server.
unsafe extern "C" fn create_server_config(
    pool: *mut apr_pool_t,
    server: *mut server_rec,
) -> *mut c_void {
    guard::call("create_server_config", ptr::null_mut(), || {
        // SAFETY: httpd hands a live server.
        let server = unsafe { Server::from_raw(server) };
        // SAFETY: httpd hands the pool of the configuration.
        let pool = unsafe { Pool::from_raw(pool) };
        slot::store(pool, ServerSettings::new(&server, next_number(&server)))
    })
}

/// Number of a server in the order in which they got a configuration: how many there are with it, 0 for the main one. Virtual
/// hosts are added one by one while the configuration is read, each in front of those before it, and get a configuration at the
/// first of our directives.
fn next_number(server: &Server<'_>) -> u32 {
    if !server.is_virtual() {
        return 0;
    }
    let length = Server::main().map_or(0, |main| main.list().count());
    u32::try_from(length).expect("fewer servers than 2^32")
}

/// Merges the configuration of a virtual host over that of the main server.
///
/// # Safety
/// Called by httpd with the pool of the configuration and two configurations that [`create_server_config`] made.
unsafe extern "C" fn merge_server_config(
    pool: *mut apr_pool_t,
    main: *mut c_void,
    host: *mut c_void,
) -> *mut c_void {
    guard::call("merge_server_config", ptr::null_mut(), || {
        // SAFETY: of our making, complete, and alive as long as the configuration.
        let main = unsafe { slot::get::<ServerSettings>(main) };
        // SAFETY: as above.
        let host = unsafe { slot::get::<ServerSettings>(host) };
        let merged = match (main, host) {
            (Some(main), Some(host)) => ServerSettings::merged(main, host),
            _ => return ptr::null_mut(),
        };
        // SAFETY: httpd hands the pool of the configuration.
        slot::store(unsafe { Pool::from_raw(pool) }, merged)
    })
}

/// Function of every directive but the section's; which one it is, `parms` knows.
///
/// # Safety
/// Called by httpd while it reads a configuration, with the configuration of the section that the directive stands in and its
/// arguments.
pub(crate) unsafe extern "C" fn on_directive(
    parms: *mut cmd_parms,
    section: *mut c_void,
    arguments: *const c_char,
) -> *const c_char {
    guard::call("a directive", PANICKED, || {
        // SAFETY: for the time of this call.
        let command = unsafe { Command::from_raw(parms) };
        // SAFETY: a C string of httpd for the time of this call.
        let arguments = unsafe { CStr::from_ptr(arguments) };
        // SAFETY: the section is being read, by this thread, and nobody else refers to it.
        let Some(section) = (unsafe { slot::get_mut::<DirectoryConfig>(section) }) else {
            return PANICKED;
        };
        with_settings(&command, |server, number, global| {
            answer(config::apply(
                &command, section, server, number, global, arguments,
            ))
        })
    })
}

/// Function of `<WSGIInterpreterOptions …>`, with the rest of its line.
///
/// # Safety
/// As for [`on_directive`].
pub(crate) unsafe extern "C" fn on_interpreter_options(
    parms: *mut cmd_parms,
    _section: *mut c_void,
    arguments: *const c_char,
) -> *const c_char {
    guard::call("a section", PANICKED, || {
        // SAFETY: for the time of this call.
        let command = unsafe { Command::from_raw(parms) };
        // SAFETY: a C string of httpd for the time of this call.
        let arguments = unsafe { CStr::from_ptr(arguments) };
        let mut nowhere = DirectoryConfig::default();
        let opened = with_settings(&command, |server, number, global| {
            answer(config::apply(
                &command,
                &mut nowhere,
                server,
                number,
                global,
                arguments,
            ))
        });
        if !opened.is_null() {
            return opened;
        }
        // The directives inside come in through `on_directive`, so no configuration may be referred to meanwhile.
        let walked = answer(command.walk_section());
        with_settings(&command, |_, _, global| {
            config::close_interpreter_options(global);
            walked
        })
    })
}

/// Lets `change` write the configuration of the command's server, with its number, and what belongs to the whole server.
fn with_settings(
    command: &Command<'_>,
    change: impl FnOnce(&mut ServerConfig, u32, &mut Global) -> *const c_char,
) -> *const c_char {
    if command.is_in_htaccess() {
        // The server runs and its settings are shared: a `.htaccess` file can say nothing but what its own section keeps.
        return change(&mut ServerConfig::default(), 0, &mut Global::default());
    }
    let Some(main) = Server::main() else {
        return PANICKED;
    };
    let here = command.server().config_pointer();
    let there = main.config_pointer();
    // SAFETY: the configuration is being read, by this thread, and nobody else refers to it.
    let Some(main) = (unsafe { slot::get_mut::<ServerSettings>(there) }) else {
        return PANICKED;
    };
    let Some(global) = main.global.as_mut() else {
        return PANICKED;
    };
    if here == there {
        return change(&mut main.config, 0, global);
    }
    // SAFETY: as above, and it is another one than that of the main server.
    let Some(host) = (unsafe { slot::get_mut::<ServerSettings>(here) }) else {
        return PANICKED;
    };
    let number = host.reading_number();
    change(&mut host.config, number, global)
}

fn answer(result: Result<(), *const c_char>) -> *const c_char {
    result.err().unwrap_or(ptr::null())
}
