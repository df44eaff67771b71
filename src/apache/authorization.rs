//! Providers for `AuthBasicProvider`, `AuthDigestProvider` and `Require`, that deny.
//!
//! The access and authentication scripts have no effect yet. A configuration that names the provider `wsgi` must not let
//! anybody in, so the providers exist and answer every question with an error (docs/differences.md).

use std::ffi::{CStr, c_char, c_void};
use std::ptr;

use apache_sys::{authn_provider, authn_status, authz_provider, authz_status, request_rec};

use super::{Level, Pool, Request, guard};

/// Name of the providers (DIR-141).
const AUTHENTICATION: &CStr = c"wsgi";
/// Name of the `Require` line (DIR-142).
const GROUPS: &CStr = c"wsgi-group";

static AUTHENTICATION_PROVIDER: authn_provider = authn_provider {
    check_password: Some(check_password),
    get_realm_hash: Some(get_realm_hash),
};

/// The struct of httpd holds only function pointers.
static GROUP_PROVIDER: authz_provider = authz_provider {
    check_authorization: Some(check_group),
    parse_require_line: None,
};

/// Registers the providers for the configuration that `pool` belongs to.
pub fn register(pool: Pool<'_>) {
    // SAFETY: a live pool; name and provider are statics.
    unsafe {
        apache_sys::wsgi_shim_register_authn(
            pool.as_ptr(),
            AUTHENTICATION.as_ptr(),
            &AUTHENTICATION_PROVIDER,
        );
    }
    // SAFETY: a live pool; name and provider are statics.
    unsafe {
        apache_sys::wsgi_shim_register_authz(pool.as_ptr(), GROUPS.as_ptr(), &GROUP_PROVIDER);
    }
}

/// Function of a provider.
///
/// # Safety
/// Called by httpd with a live request.
unsafe extern "C" fn check_password(
    r: *mut request_rec,
    _user: *const c_char,
    _password: *const c_char,
) -> authn_status {
    guard::call("check_password", apache_sys::AUTH_GENERAL_ERROR, || {
        // SAFETY: httpd hands a live request to its providers.
        refuse(
            unsafe { Request::from_raw(r) },
            "WSGI0041: AuthBasicProvider wsgi",
        );
        apache_sys::AUTH_GENERAL_ERROR
    })
}

/// Function of a provider.
///
/// # Safety
/// Called by httpd with a live request.
unsafe extern "C" fn get_realm_hash(
    r: *mut request_rec,
    _user: *const c_char,
    _realm: *const c_char,
    hash: *mut *mut c_char,
) -> authn_status {
    guard::call("get_realm_hash", apache_sys::AUTH_GENERAL_ERROR, || {
        // SAFETY: httpd hands a place for the hash.
        unsafe { *hash = ptr::null_mut() };
        // SAFETY: httpd hands a live request to its providers.
        refuse(
            unsafe { Request::from_raw(r) },
            "WSGI0044: AuthDigestProvider wsgi",
        );
        apache_sys::AUTH_GENERAL_ERROR
    })
}

/// Function of a provider.
///
/// # Safety
/// Called by httpd with a live request.
unsafe extern "C" fn check_group(
    r: *mut request_rec,
    _line: *const c_char,
    _parsed: *const c_void,
) -> authz_status {
    guard::call(
        "Require wsgi-group",
        apache_sys::AUTHZ_GENERAL_ERROR,
        || {
            // SAFETY: httpd hands a live request to its providers.
            let request = unsafe { Request::from_raw(r) };
            if request.user().is_none() {
                return apache_sys::AUTHZ_DENIED_NO_USER;
            }
            refuse(request, "WSGI0058: Require wsgi-group");
            // An error, not "denied": under `Require not` a denial would count for the client (REQ-734).
            apache_sys::AUTHZ_GENERAL_ERROR
        },
    )
}

fn refuse(request: Request<'_>, what: &str) {
    request.log(
        Level::Error,
        format!("{what} is refused: authentication scripts are not supported by this version"),
    );
}
