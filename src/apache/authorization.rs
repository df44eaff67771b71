//! Providers for `AuthBasicProvider`, `AuthDigestProvider`, `AuthFormProvider` and `Require`, in front of safe functions.
//!
//! Whatever goes wrong here, a panic included, is an error for httpd (500), never a "no": under `Require not` a "no" would
//! count for the client (REQ-734). On the thread of the request, before its handler.

use std::ffi::{CStr, c_char, c_void};
use std::marker::PhantomData;
use std::ptr;

use apache_sys::{authn_provider, authn_status, authz_provider, authz_status, request_rec};

use super::{Pool, Request, guard, text};

/// Name of the providers (DIR-141).
const AUTHENTICATION: &CStr = c"wsgi";
/// Name of the `Require` line (DIR-142).
const GROUPS: &CStr = c"wsgi-group";

/// Effort of the hashes of passwords that are cached: that of `htpasswd -B`.
const BCRYPT_COST: u32 = 5;
/// Longest password that bcrypt looks at as a whole, bytes.
const LONGEST_FOR_BCRYPT: usize = 71;

/// What a provider says about user and password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Login {
    /// They belong together.
    Granted,
    /// The user has another password.
    Denied,
    /// Not a user of this provider: the next one is asked.
    Unknown,
    /// No answer, which was logged: 500.
    Error,
}

/// What a provider knows of a user for Digest authentication.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RealmHash {
    /// Hexadecimal MD5 of `user:realm:password`; without NUL.
    Found(Vec<u8>),
    /// Not a user of this provider: the next one is asked.
    Unknown,
    /// No answer, which was logged: 500.
    Error,
}

/// Whether a user is in one of some groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Membership {
    /// In one.
    Granted,
    /// In none of them.
    Denied,
    /// No answer, which was logged: 500.
    Error,
}

/// The functions of the providers.
pub trait Providers: 'static {
    /// Basic and form authentication.
    fn check_password(request: &Request<'_>, user: &[u8], password: &[u8]) -> Login;
    /// Digest authentication.
    fn realm_hash(request: &Request<'_>, user: &[u8], realm: &[u8]) -> RealmHash;
    /// `Require wsgi-group`, for an authenticated user.
    fn is_member(request: &Request<'_>, user: &[u8], groups: &[&[u8]]) -> Membership;
}

/// The C functions of providers, and httpd's structs with them.
struct Calls<P>(PhantomData<P>);

/// Registers the providers for the configuration that `pool` belongs to.
pub fn register<P: Providers>(pool: Pool<'_>) {
    // SAFETY: a live pool; name and provider are statics.
    unsafe {
        apache_sys::wsgi_shim_register_authn(
            pool.as_ptr(),
            AUTHENTICATION.as_ptr(),
            Calls::<P>::AUTHENTICATION,
        );
    }
    // SAFETY: a live pool; name and provider are statics.
    unsafe {
        apache_sys::wsgi_shim_register_authz(
            pool.as_ptr(),
            GROUPS.as_ptr(),
            Calls::<P>::AUTHORIZATION,
        );
    }
}

impl<P: Providers> Calls<P> {
    const AUTHENTICATION: &'static authn_provider = &authn_provider {
        check_password: Some(Self::check_password),
        get_realm_hash: Some(Self::get_realm_hash),
    };

    const AUTHORIZATION: &'static authz_provider = &authz_provider {
        check_authorization: Some(Self::check_group),
        parse_require_line: None,
    };

    /// # Safety
    /// Called by httpd with a live request and two C strings.
    unsafe extern "C" fn check_password(
        r: *mut request_rec,
        user: *const c_char,
        password: *const c_char,
    ) -> authn_status {
        guard::call("check_password", apache_sys::AUTH_GENERAL_ERROR, || {
            // SAFETY: httpd hands a live request to its providers.
            let request = unsafe { Request::from_raw(r) };
            // SAFETY: a text of the request's pool.
            let user = unsafe { text::bytes(user) };
            // SAFETY: as above.
            let password = unsafe { text::bytes(password) };
            let (Some(user), Some(password)) = (user, password) else {
                return apache_sys::AUTH_GENERAL_ERROR;
            };
            match P::check_password(&request, user, password) {
                Login::Granted => apache_sys::AUTH_GRANTED,
                Login::Denied => apache_sys::AUTH_DENIED,
                Login::Unknown => apache_sys::AUTH_USER_NOT_FOUND,
                Login::Error => apache_sys::AUTH_GENERAL_ERROR,
            }
        })
    }

    /// # Safety
    /// Called by httpd with a live request, two C strings and a place for a text.
    unsafe extern "C" fn get_realm_hash(
        r: *mut request_rec,
        user: *const c_char,
        realm: *const c_char,
        hash: *mut *mut c_char,
    ) -> authn_status {
        guard::call("get_realm_hash", apache_sys::AUTH_GENERAL_ERROR, || {
            // SAFETY: httpd hands a place for the hash.
            unsafe { *hash = ptr::null_mut() };
            // SAFETY: httpd hands a live request to its providers.
            let request = unsafe { Request::from_raw(r) };
            // SAFETY: a text of the request's pool.
            let user = unsafe { text::bytes(user) };
            // SAFETY: a text of the configuration.
            let realm = unsafe { text::bytes(realm) };
            let (Some(user), Some(realm)) = (user, realm) else {
                return apache_sys::AUTH_GENERAL_ERROR;
            };
            match P::realm_hash(&request, user, realm) {
                RealmHash::Found(found) => {
                    let found = request.pool().copy_text(&found);
                    // SAFETY: as above; the text lives as long as the request.
                    unsafe { *hash = found.as_ptr().cast_mut() };
                    apache_sys::AUTH_USER_FOUND
                }
                RealmHash::Unknown => apache_sys::AUTH_USER_NOT_FOUND,
                RealmHash::Error => apache_sys::AUTH_GENERAL_ERROR,
            }
        })
    }

    /// # Safety
    /// Called by httpd with a live request and the rest of a `Require` line.
    unsafe extern "C" fn check_group(
        r: *mut request_rec,
        line: *const c_char,
        _parsed: *const c_void,
    ) -> authz_status {
        let failed = apache_sys::AUTHZ_GENERAL_ERROR;
        guard::call("Require wsgi-group", failed, || {
            // SAFETY: httpd hands a live request to its providers.
            let request = unsafe { Request::from_raw(r) };
            // Apache asks for a login, and then again (REQ-733).
            let Some(user) = request.user() else {
                return apache_sys::AUTHZ_DENIED_NO_USER;
            };
            // SAFETY: a C string of the configuration.
            let groups = unsafe { words(request.pool(), line) };
            match P::is_member(&request, user, &groups) {
                Membership::Granted => apache_sys::AUTHZ_GRANTED,
                Membership::Denied => apache_sys::AUTHZ_DENIED,
                Membership::Error => failed,
            }
        })
    }
}

/// The words of a line, quotes taken off, in `pool`.
///
/// # Safety
/// `line` is a C string, or null.
unsafe fn words<'p>(pool: Pool<'p>, line: *const c_char) -> Vec<&'p [u8]> {
    let mut words = Vec::new();
    let mut rest = line;
    // SAFETY: within the C string.
    while !rest.is_null() && unsafe { *rest } != 0 {
        // SAFETY: a live pool and the rest of a C string, which is advanced.
        let word = unsafe { apache_sys::ap_getword_conf(pool.as_ptr(), &mut rest) };
        // SAFETY: a text of the pool.
        words.extend(unsafe { text::bytes(word) });
    }
    words
}

impl Request<'_> {
    /// Lets mod_authn_socache remember that this user has this password, if it is loaded and AuthnCacheProvideFor names us.
    /// It keeps a hash.
    pub fn cache_password(&self, user: &[u8], password: &[u8]) {
        // SAFETY: a plain query.
        let has_cache = unsafe { apache_sys::wsgi_shim_has_login_cache() } != 0;
        if !has_cache || password.len() > LONGEST_FOR_BCRYPT {
            return;
        }
        let mut salt = [0_u8; 16];
        // SAFETY: room for that many bytes.
        let made = unsafe { apache_sys::apr_generate_random_bytes(salt.as_mut_ptr(), salt.len()) };
        if made != 0 {
            // Without a salt nothing is remembered, and the script is asked again.
            return;
        }
        let password = text::c_string(password);
        let mut hash: [c_char; 128] = [0; 128];
        // SAFETY: a C string, a salt and a buffer of the lengths given.
        let made = unsafe {
            apache_sys::apr_bcrypt_encode(
                password.as_ptr(),
                BCRYPT_COST,
                salt.as_ptr(),
                salt.len(),
                hash.as_mut_ptr(),
                hash.len(),
            )
        };
        if made == 0 {
            self.cache(user, ptr::null(), hash.as_ptr());
        }
    }

    /// Lets mod_authn_socache remember the hash of a user in a realm.
    pub fn cache_realm_hash(&self, user: &[u8], realm: &[u8], hash: &[u8]) {
        let realm = self.pool().copy_text(realm);
        let hash = self.pool().copy_text(hash);
        self.cache(user, realm.as_ptr(), hash.as_ptr());
    }

    /// `realm` is null for Basic.
    fn cache(&self, user: &[u8], realm: *const c_char, data: *const c_char) {
        let user = self.pool().copy_text(user);
        let provider = AUTHENTICATION.as_ptr();
        // SAFETY: a live request and C strings for the call, after which the cache has its own copy.
        unsafe {
            apache_sys::wsgi_shim_cache_login(self.as_ptr(), provider, user.as_ptr(), realm, data);
        }
    }
}
