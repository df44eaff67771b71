//! Where httpd calls in: registration of the hooks and one C function for each, which wraps its arguments and hands over.
//!
//! Promises: every function here that C can call goes through [`guard`]; raw pointers of httpd end here. What the hooks do is
//! decided elsewhere (`translate`, `access`, `login`, `groups`, `handler`, `embedded`, `client`, `supervisor`).
//!
//! `register` runs each time httpd loads the module: twice at start, once at each restart, in the parent. Hooks of requests run
//! in children, in the threads that serve requests.
#![allow(unsafe_code)] // C functions that httpd calls; see the promises above

mod access;
mod choice;
mod dispatch;
mod dump;
pub mod environ;
mod gap;
mod groups;
pub mod handler;
mod login;
mod script;
mod start;
pub mod translate;

use std::ffi::{CStr, c_char, c_int};
use std::ptr;

use apache_sys::{apr_pool_t, request_rec, server_rec};

use wsgi_core::config::Global;

use crate::apache::authorization::{Login, Membership, Providers, RealmHash};
use crate::apache::{Pool, Request, Server, authorization, guard, slot};
use crate::config::{self, ServerSettings};

/// Handler name of script files (REQ-001).
pub const BUILT_IN_HANDLER: &CStr = c"wsgi-script";

/// Modules whose hook has to run before or after ours, ended by null as httpd wants them.
struct Order<const N: usize>([*const c_char; N]);

// SAFETY: pointers to literals, never written.
unsafe impl<const N: usize> Sync for Order<N> {}

/// `Alias` and `ScriptAlias` for the same URL win (DIR-010).
static TRANSLATE_AFTER: Order<2> = Order([c"mod_alias.c".as_ptr(), ptr::null()]);
/// Our aliases win over user directories and mass virtual hosting (DIR-010).
static TRANSLATE_BEFORE: Order<3> = Order([
    c"mod_userdir.c".as_ptr(),
    c"mod_vhost_alias.c".as_ptr(),
    ptr::null(),
]);
/// REQ-703.
static ACCESS_AFTER: Order<2> = Order([c"mod_ssl.c".as_ptr(), ptr::null()]);
/// REQ-703.
static ACCESS_BEFORE: Order<2> = Order([c"mod_authz_host.c".as_ptr(), ptr::null()]);

/// Registers all hooks and providers.
pub fn register(pool: Pool<'_>) {
    let none = ptr::null();
    let middle = apache_sys::APR_HOOK_MIDDLE;
    let check: unsafe extern "C" fn(_, _, _, _) -> _ = on_check_config;
    // SAFETY: registration, which httpd calls us for; function and orders are statics.
    unsafe { apache_sys::ap_hook_check_config(Some(check), none, none, middle) };
    // SAFETY: as above.
    unsafe { apache_sys::ap_hook_test_config(Some(on_test_config), none, none, middle) };
    // SAFETY: as above.
    unsafe { apache_sys::ap_hook_post_config(Some(on_post_config), none, none, middle) };
    // When all modules are done, right before the MPM begins.
    let last = apache_sys::APR_HOOK_REALLY_LAST;
    // SAFETY: as above.
    unsafe { apache_sys::ap_hook_post_config(Some(on_all_configured), none, none, last) };
    // SAFETY: as above.
    unsafe { apache_sys::ap_hook_child_status(Some(on_child_status), none, none, middle) };
    // Behind core, which makes the scoreboard there.
    let last = apache_sys::APR_HOOK_LAST;
    // SAFETY: as above.
    unsafe { apache_sys::ap_hook_pre_mpm(Some(on_pre_mpm), none, none, last) };
    // SAFETY: as above.
    unsafe { apache_sys::ap_hook_child_init(Some(on_child_init), none, none, middle) };
    // SAFETY: as above.
    unsafe {
        apache_sys::ap_hook_translate_name(
            Some(on_translate_name),
            TRANSLATE_AFTER.0.as_ptr(),
            TRANSLATE_BEFORE.0.as_ptr(),
            middle,
        );
    }
    // Before core walks through directories, and before mod_mime and mod_negotiation.
    let first = apache_sys::APR_HOOK_FIRST;
    // SAFETY: as above.
    unsafe { apache_sys::ap_hook_map_to_storage(Some(on_map_to_storage), none, none, first) };
    // SAFETY: as above.
    unsafe { apache_sys::ap_hook_type_checker(Some(on_type_checker), none, none, first) };
    // Before the fixups of mod_rewrite, whose rules in a directory may still name another handler, and of mod_dir.
    // SAFETY: as above.
    unsafe {
        apache_sys::ap_hook_fixups(
            Some(on_fixups),
            none,
            none,
            apache_sys::APR_HOOK_REALLY_FIRST,
        );
    }
    // Scripts may decide by the URL: with one hook or provider that says so httpd asks all of them again for sub-requests and
    // internal redirects, also where the configuration is the same as before (REQ-690).
    // SAFETY: as above.
    unsafe {
        apache_sys::ap_hook_check_access(
            Some(on_check_access),
            ACCESS_AFTER.0.as_ptr(),
            ACCESS_BEFORE.0.as_ptr(),
            middle,
            apache_sys::AP_AUTH_INTERNAL_PER_URI,
        );
    }
    // SAFETY: as above.
    unsafe { apache_sys::ap_hook_handler(Some(on_handler), none, none, middle) };
    authorization::register::<Scripts>(pool);
}

/// `check_config`: after each reading of the configuration, and with `httpd -t`.
///
/// # Safety
/// Called by httpd with live pools and the main server.
unsafe extern "C" fn on_check_config(
    pconf: *mut apr_pool_t,
    _plog: *mut apr_pool_t,
    _ptemp: *mut apr_pool_t,
    main: *mut server_rec,
) -> c_int {
    guard::call(
        "check_config",
        apache_sys::HTTP_INTERNAL_SERVER_ERROR,
        || {
            // SAFETY: lives as long as the configuration that the hook is called for.
            let pconf = unsafe { Pool::from_raw(pconf) };
            // SAFETY: as above.
            let main = unsafe { Server::from_raw(main) };
            start::check(pconf, &main).code()
        },
    )
}

/// `test_config`: the configuration was accepted, and this is `httpd -t`.
///
/// # Safety
/// Called by httpd with a live pool and the main server.
unsafe extern "C" fn on_test_config(_pconf: *mut apr_pool_t, main: *mut server_rec) {
    guard::call("test_config", (), || {
        // SAFETY: lives as long as the configuration that the hook is called for.
        let main = unsafe { Server::from_raw(main) };
        dump::tested(&main);
    });
}

/// `post_config`: the configuration is final; twice at start, once at each restart.
///
/// # Safety
/// Called by httpd with live pools and the main server.
unsafe extern "C" fn on_post_config(
    pconf: *mut apr_pool_t,
    _plog: *mut apr_pool_t,
    _ptemp: *mut apr_pool_t,
    main: *mut server_rec,
) -> c_int {
    guard::call(
        "post_config",
        apache_sys::HTTP_INTERNAL_SERVER_ERROR,
        || {
            // SAFETY: lives as long as the configuration that the hook is called for.
            let pconf = unsafe { Pool::from_raw(pconf) };
            // SAFETY: as above.
            let main = unsafe { Server::from_raw(main) };
            start::configured(pconf, &main).code()
        },
    )
}

/// `post_config` once more, behind all other modules.
///
/// # Safety
/// Called by httpd with live pools and the main server.
unsafe extern "C" fn on_all_configured(
    pconf: *mut apr_pool_t,
    _plog: *mut apr_pool_t,
    _ptemp: *mut apr_pool_t,
    _main: *mut server_rec,
) -> c_int {
    guard::call("post_config", 0, || {
        // SAFETY: lives as long as the configuration that the hook is called for.
        let pconf = unsafe { Pool::from_raw(pconf) };
        gap::shorten(pconf);
        0
    })
}

/// `child_status`, in the parent: a child was started, or has ended.
///
/// # Safety
/// Called by httpd.
unsafe extern "C" fn on_child_status(
    _main: *mut server_rec,
    _pid: apache_sys::pid_t,
    _generation: apache_sys::ap_generation_t,
    _slot: c_int,
    state: apache_sys::mpm_child_status,
) {
    if state == apache_sys::MPM_CHILD_STARTED {
        guard::call("child_status", (), gap::closed);
    }
}

/// `pre_mpm`: the MPM starts, but not at a graceful restart.
///
/// # Safety
/// Called by httpd with a live pool.
unsafe extern "C" fn on_pre_mpm(_p: *mut apr_pool_t, _kind: apache_sys::ap_scoreboard_e) -> c_int {
    guard::call("pre_mpm", apache_sys::HTTP_INTERNAL_SERVER_ERROR, || {
        Server::main().map_or(apache_sys::OK, |main| start::scoreboard_made(&main).code())
    })
}

/// `child_init`: first thing in a new child, before it has threads.
///
/// # Safety
/// Called by httpd with the child's pool and the main server.
unsafe extern "C" fn on_child_init(pchild: *mut apr_pool_t, main: *mut server_rec) {
    guard::call("child_init", (), || {
        // SAFETY: lives as long as the process.
        let pchild = unsafe { Pool::from_raw(pchild) };
        // SAFETY: the configuration that a child was forked with lives as long as the process.
        let main = unsafe { Server::from_raw(main) };
        gap::closed();
        start::child(pchild, &main);
    });
}

/// `translate_name`.
///
/// # Safety
/// Called by httpd with a live request.
unsafe extern "C" fn on_translate_name(r: *mut request_rec) -> c_int {
    // SAFETY: httpd hands a live request to its hooks and waits for them.
    unsafe { guard::request_hook(r, "translate_name", translate::translate) }
}

/// `map_to_storage`.
///
/// # Safety
/// Called by httpd with a live request.
unsafe extern "C" fn on_map_to_storage(r: *mut request_rec) -> c_int {
    // SAFETY: httpd hands a live request to its hooks and waits for them.
    unsafe { guard::request_hook(r, "map_to_storage", translate::stay_off_files) }
}

/// `type_checker`.
///
/// # Safety
/// Called by httpd with a live request.
unsafe extern "C" fn on_type_checker(r: *mut request_rec) -> c_int {
    // SAFETY: httpd hands a live request to its hooks and waits for them.
    unsafe { guard::request_hook(r, "type_checker", translate::stay_off_files) }
}

/// `fixups`.
///
/// # Safety
/// Called by httpd with a live request.
unsafe extern "C" fn on_fixups(r: *mut request_rec) -> c_int {
    // SAFETY: httpd hands a live request to its hooks and waits for them.
    unsafe { guard::request_hook(r, "fixups", translate::keep_handler) }
}

/// `access_checker`.
///
/// # Safety
/// Called by httpd with a live request.
unsafe extern "C" fn on_check_access(r: *mut request_rec) -> c_int {
    // SAFETY: httpd hands a live request to its hooks and waits for them.
    unsafe { guard::request_hook(r, "access_checker", access::check) }
}

/// `handler`.
///
/// # Safety
/// Called by httpd with a live request.
unsafe extern "C" fn on_handler(r: *mut request_rec) -> c_int {
    // SAFETY: httpd hands a live request to its hooks and waits for them.
    unsafe { guard::request_hook(r, "handler", handler::handle) }
}

/// The providers `wsgi` and `wsgi-group` (DIR-141, DIR-142).
struct Scripts;

impl Providers for Scripts {
    fn check_password(request: &Request<'_>, user: &[u8], password: &[u8]) -> Login {
        login::check_password(request, user, password)
    }

    fn realm_hash(request: &Request<'_>, user: &[u8], realm: &[u8]) -> RealmHash {
        login::realm_hash(request, user, realm)
    }

    fn is_member(request: &Request<'_>, user: &[u8], groups: &[&[u8]]) -> Membership {
        groups::is_member(request, user, groups)
    }
}

/// After the configuration was read and merged: the settings of the whole server get their final form. In `check_config`.
fn settle(main: &Server<'_>) {
    let pointer = main.config_pointer();
    // The final form needs the settings of all servers, the main one included, so nothing may be borrowed meanwhile.
    let take = |global: Option<Global>| {
        // SAFETY: the configuration has just been read, by this thread, and nobody else refers to it.
        let settings = unsafe { slot::get_mut::<ServerSettings>(pointer) };
        settings.and_then(|settings| std::mem::replace(&mut settings.global, global))
    };
    let Some(mut global) = take(None) else { return };
    config::settle(&mut global, main);
    take(Some(global));
}
