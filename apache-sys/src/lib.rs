//! Raw bindings to Apache httpd 2.4 and APR, made by `build.rs` from the headers of the host, and what C does with macros
//! re-made beside them: the records of a module and of a directive as `const fn`, the rest as functions of `shim.c`.
//!
//! Promises: every name has the layout and the value that the installed httpd was compiled with. Nothing is linked; a
//! program that calls one of the functions works only when httpd loads it. Safe use of all this is the business of the
//! module's `apache` folder.
#![allow(unsafe_code)] // raw bindings: every function of httpd is unsafe to call

mod bindings {
    #![allow(
        unknown_lints,
        unnecessary_transmutes,
        missing_docs,
        non_camel_case_types,
        non_snake_case,
        non_upper_case_globals,
        unreachable_pub,
        clippy::all,
        clippy::multiple_unsafe_ops_per_block,
        clippy::undocumented_unsafe_blocks,
        clippy::missing_safety_doc
    )] // generated
    include!(concat!(env!("OUT_DIR"), "/bindings.rs"));
}

use std::ffi::{CStr, c_char, c_int, c_void};
use std::ptr;

pub use bindings::*;

/// What a module offers to httpd, for [`module_record`].
pub struct ModuleParts {
    /// Source name, by which `<IfModule mod_x.c>` and hook orders find the module.
    pub source: &'static CStr,
    /// Makes the configuration of a directory section.
    pub create_dir_config:
        unsafe extern "C" fn(p: *mut apr_pool_t, dir: *mut c_char) -> *mut c_void,
    /// Merges two of them.
    pub merge_dir_config: unsafe extern "C" fn(
        p: *mut apr_pool_t,
        base: *mut c_void,
        add: *mut c_void,
    ) -> *mut c_void,
    /// Makes the configuration of a server.
    pub create_server_config:
        unsafe extern "C" fn(p: *mut apr_pool_t, s: *mut server_rec) -> *mut c_void,
    /// Merges that of the main server with that of a virtual host.
    pub merge_server_config: unsafe extern "C" fn(
        p: *mut apr_pool_t,
        base: *mut c_void,
        add: *mut c_void,
    ) -> *mut c_void,
    /// Directives, ended by [`END_OF_COMMANDS`].
    pub commands: *const command_rec,
    /// Registers hooks.
    pub register_hooks: unsafe extern "C" fn(p: *mut apr_pool_t),
}

// KD-37, GEN-02: the first module interface of Apache 2.4. httpd itself loads no module of another one.
const _: () = assert!(
    MODULE_MAGIC_NUMBER_MAJOR >= 20120211,
    "the headers of Apache 2.4 or later are needed: set APXS to the apxs that belongs to them"
);

/// The record that httpd looks up by the name in `LoadModule` (STANDARD20_MODULE_STUFF).
pub const fn module_record(parts: ModuleParts) -> module {
    // SAFETY: every field of the C struct is a number or a pointer that may be null.
    let mut record: module = unsafe { std::mem::zeroed() };
    record.version = MODULE_MAGIC_NUMBER_MAJOR as c_int;
    record.minor_version = MODULE_MAGIC_NUMBER_MINOR as c_int;
    record.module_index = -1;
    record.name = parts.source.as_ptr();
    record.magic = MODULE_MAGIC_COOKIE as _;
    record.create_dir_config = Some(parts.create_dir_config);
    record.merge_dir_config = Some(parts.merge_dir_config);
    record.create_server_config = Some(parts.create_server_config);
    record.merge_server_config = Some(parts.merge_server_config);
    record.cmds = parts.commands;
    record.register_hooks = Some(parts.register_hooks);
    record
}

/// Function of a directive with one argument; a null result is success, else a message in a pool.
pub type TakeOne = unsafe extern "C" fn(
    parms: *mut cmd_parms,
    config: *mut c_void,
    word: *const c_char,
) -> *const c_char;

/// A directive with exactly one argument (AP_INIT_TAKE1); httpd itself rejects other numbers.
pub const fn take_one(
    name: *const c_char,
    function: TakeOne,
    data: *mut c_void,
    allowed: c_int,
    usage: *const c_char,
) -> command_rec {
    command(
        name,
        cmd_func {
            take1: Some(function),
        },
        data,
        allowed,
        TAKE1,
        usage,
    )
}

/// A directive that gets the rest of its line (AP_INIT_RAW_ARGS).
pub const fn raw_arguments(
    name: *const c_char,
    function: TakeOne,
    data: *mut c_void,
    allowed: c_int,
    usage: *const c_char,
) -> command_rec {
    command(
        name,
        cmd_func {
            raw_args: Some(function),
        },
        data,
        allowed,
        RAW_ARGS,
        usage,
    )
}

const fn command(
    name: *const c_char,
    func: cmd_func,
    cmd_data: *mut c_void,
    req_override: c_int,
    args_how: cmd_how,
    errmsg: *const c_char,
) -> command_rec {
    command_rec {
        name,
        func,
        cmd_data,
        req_override,
        args_how,
        errmsg,
    }
}

/// Ends an array of directives.
pub const END_OF_COMMANDS: command_rec = command(
    ptr::null(),
    cmd_func { no_args: None },
    ptr::null_mut(),
    0,
    RAW_ARGS,
    ptr::null(),
);

/// An array of directives in a static.
#[repr(transparent)]
pub struct Commands<const N: usize>(pub [command_rec; N]);

// SAFETY: httpd reads the records and never writes them; their pointers lead to statics.
unsafe impl<const N: usize> Sync for Commands<N> {}
