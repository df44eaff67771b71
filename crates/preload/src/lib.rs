//! `libmod_wsgi_preload.so`: makes the executable of a Python run as `mod_wsgi-daemon`.
//!
//! Many Pythons are executables with the interpreter linked into them (Debian's and Ubuntu's are). It is faster there than in
//! `libpython3.X.so`, whose functions call each other through tables, and some Pythons have no such library at all. The
//! supervisor executes such a Python with this library in LD_PRELOAD. The executable's start-up code asks the C library for
//! `__libc_start_main` to run its `main`; it finds this one, which has the daemon run instead. Python's own `main` never
//! runs: the runtime initialises Python as it does everywhere, with the symbols of the executable.
//!
//! Promises: nothing of the executable's own start is left out but its `main`; LD_PRELOAD is what it was before the library
//! was put in front of it when the daemon begins, so that no program that an application starts inherits it; a panic ends the process
//! with the status of a failed start.
#![allow(unsafe_code)] // one of the places of docs/safety.md; each block states its fact

use std::ffi::{CStr, c_char, c_int, c_void};
use std::panic::catch_unwind;

use mod_wsgi_daemon::EXIT_FAILED;
use wsgi_sys::process::SoleThread;
use wsgi_sys::signals;

/// Name of the process in listings that show no arguments, whatever executable it is: 15 bytes at most.
const NAME: &CStr = c"mod_wsgi-daemon";
/// What the dynamic linker loads first; the supervisor has put this library at its head.
const PRELOAD: &str = "LD_PRELOAD";

/// The `main` of a C program.
type Main = unsafe extern "C" fn(c_int, *mut *mut c_char, *mut *mut c_char) -> c_int;
/// The C library's `__libc_start_main`: `main`, `argc`, `argv`, constructors, destructors, the dynamic linker's destructors,
/// end of the stack (Linux Standard Base, "Interfaces for libc"). It does not return.
type Start = unsafe extern "C" fn(
    Main,
    c_int,
    *mut *mut c_char,
    *mut c_void,
    *mut c_void,
    *mut c_void,
    *mut c_void,
) -> c_int;

/// Stands in for the C library's: calls it with the daemon's `main` in the place of the executable's.
///
/// # Safety
/// Called by the start-up code of an executable, once, with what the C library expects.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn __libc_start_main(
    _main: Main,
    argc: c_int,
    argv: *mut *mut c_char,
    init: *mut c_void,
    fini: *mut c_void,
    rtld_fini: *mut c_void,
    stack_end: *mut c_void,
) -> c_int {
    // SAFETY: a NUL-terminated name.
    let next = unsafe { libc::dlsym(libc::RTLD_NEXT, c"__libc_start_main".as_ptr()) };
    // SAFETY: a pointer and an optional function have the same layout, and the C library's function of this name has this
    // signature; null is None.
    let next: Option<Start> = unsafe { std::mem::transmute(next) };
    let Some(next) = next else {
        // SAFETY: plain call. Nothing works in a process without a C library.
        unsafe { libc::_exit(c_int::from(EXIT_FAILED)) }
    };
    // SAFETY: the arguments are those of the caller, but for another function with the signature of `main`.
    unsafe { next(daemon, argc, argv, init, fini, rtld_fini, stack_end) }
}

/// The `main` of the process. What the C library passes is not needed.
unsafe extern "C" fn daemon(_: c_int, _: *mut *mut c_char, _: *mut *mut c_char) -> c_int {
    let status = catch_unwind(|| {
        prepare();
        mod_wsgi_daemon::run()
    });
    // A panic was reported on the standard error output.
    c_int::from(status.unwrap_or(EXIT_FAILED))
}

/// What Rust's own start-up code does for `mod_wsgi-daemon`, and what that is by its name.
fn prepare() {
    // A failed write is an error to be handled. Cannot fail: it is a signal that may be ignored.
    let _ = signals::ignore(libc::SIGPIPE);
    // A kernel that refuses changes nothing else.
    let _ = nix::sys::prctl::set_name(NAME);
    let Some(sole) = SoleThread::prove() else {
        return;
    };
    let given = std::env::var(PRELOAD).unwrap_or_default();
    match given.split_once(':') {
        Some((_, others)) => {
            sole.set_variable(PRELOAD, others);
        }
        None => sole.remove_variable(PRELOAD),
    }
}
