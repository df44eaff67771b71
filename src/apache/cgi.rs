//! What httpd knows for the CGI variables of a request, value by value.
//!
//! `ap_add_common_vars` and `ap_add_cgi_vars` would compute all of it and more (PATH_TRANSLATED costs a subrequest); the
//! environ of a WSGI application is made from these values instead, and no variable of `KD-33` ever appears.
//!
//! Only the thread that serves the request uses it.

use std::ffi::c_char;
use std::ptr;

use super::{Request, text};

impl<'r> Request<'r> {
    /// A text that a function of httpd made from the request, in its pool or the configuration.
    fn made(
        &self,
        make: impl FnOnce(*mut apache_sys::request_rec) -> *const c_char,
    ) -> Option<&'r [u8]> {
        let made = make(self.as_ptr());
        // SAFETY: null or a text in a pool of the request or of the configuration; both live for 'r.
        unsafe { text::bytes(made) }
    }

    /// Server name for self-referential URLs, IPv6 in brackets (ENV-18).
    pub fn server_name_for_url(&self) -> &'r [u8] {
        // SAFETY: a live request.
        self.made(|r| unsafe { apache_sys::ap_get_server_name_for_url(r) })
            .unwrap_or(b"")
    }

    /// As [`Request::server_name_for_url`], HTML-escaped (ENV-08).
    pub fn escaped_server_name(&self) -> &'r [u8] {
        self.made(|r| {
            // SAFETY: a live request.
            let name = unsafe { apache_sys::ap_get_server_name_for_url(r) };
            // SAFETY: the request's pool and a C string.
            unsafe { apache_sys::ap_escape_html2(self.pool().as_ptr(), name, 0) }
        })
        .unwrap_or(b"")
    }

    /// ServerSignature as HTML; empty where it is off (REQ-691).
    pub fn server_signature(&self) -> &'r [u8] {
        // SAFETY: a live request and a C string.
        self.made(|r| unsafe { apache_sys::ap_psignature(c"".as_ptr(), r) })
            .unwrap_or(b"")
    }

    /// Host name of the client, if HostnameLookups gives one. Asks the DNS then.
    pub fn client_host(&self) -> Option<&'r [u8]> {
        let kind = apache_sys::REMOTE_HOST;
        // SAFETY: a live request; null is "no interest in whether it is an address".
        self.made(|r| unsafe { apache_sys::ap_get_useragent_host(r, kind, ptr::null_mut()) })
    }

    /// Value of a variable of mod_ssl (`SSL_CLIENT_S_DN`, `HTTPS` …); empty for one that it does not know, None without mod_ssl.
    pub fn tls_variable(&self, name: &[u8]) -> Option<&'r [u8]> {
        let name = text::c_string(name);
        // SAFETY: a live request and a C string, of which mod_ssl gets a copy.
        self.made(|r| unsafe { apache_sys::wsgi_shim_tls_variable(r, name.as_ptr()) })
    }

    /// DocumentRoot of the request.
    pub fn document_root(&self) -> &'r [u8] {
        // SAFETY: a live request.
        self.made(|r| unsafe { apache_sys::ap_document_root(r) })
            .unwrap_or(b"")
    }

    /// URL prefix of the alias or user directory in effect; empty without one.
    pub fn context_prefix(&self) -> &'r [u8] {
        // SAFETY: a live request.
        self.made(|r| unsafe { apache_sys::ap_context_prefix(r) })
            .unwrap_or(b"")
    }

    /// Folder that the context prefix is mapped to.
    pub fn context_document_root(&self) -> &'r [u8] {
        // SAFETY: a live request.
        self.made(|r| unsafe { apache_sys::ap_context_document_root(r) })
            .unwrap_or(b"")
    }

    /// `http` or `https`, as httpd sees the request (ENV-13).
    pub fn scheme(&self) -> &'r [u8] {
        // SAFETY: a live request.
        self.made(|r| unsafe { apache_sys::ap_run_http_scheme(r) })
            .unwrap_or(b"http")
    }

    /// How the user was authenticated; None without a user.
    pub fn auth_type(&self) -> Option<&'r [u8]> {
        // SAFETY: a live request.
        self.made(|r| unsafe { apache_sys::wsgi_shim_auth_type(r) })
    }

    /// Length of the part of `uri` before `path_info`, comparing as CGI does (runs of slashes are one).
    pub fn path_info_start(&self, uri: &[u8], path_info: &[u8]) -> usize {
        let uri_copy = self.pool().copy_text(uri);
        let info_copy = self.pool().copy_text(path_info);
        // SAFETY: two C strings.
        let start = unsafe { apache_sys::ap_find_path_info(uri_copy.as_ptr(), info_copy.as_ptr()) };
        usize::try_from(start).unwrap_or(0).min(uri.len())
    }

    /// `CGIPassAuth On` is in effect (ENV-05, ENV-06).
    pub fn passes_authorization_by_core(&self) -> bool {
        // SAFETY: a live request with core's configuration.
        unsafe { apache_sys::wsgi_shim_cgi_pass_auth(self.as_ptr()) != 0 }
    }

    /// `QualifyRedirectURL On` is in effect (ENV-18).
    pub fn qualifies_redirects(&self) -> bool {
        // SAFETY: a live request with core's configuration.
        unsafe { apache_sys::wsgi_shim_qualify_redirect(self.as_ptr()) != 0 }
    }

    /// `CGIVar REQUEST_URI current-uri` is in effect (ENV-22).
    pub fn wants_current_uri(&self) -> bool {
        // SAFETY: a live request with core's configuration.
        unsafe { apache_sys::wsgi_shim_current_uri(self.as_ptr()) != 0 }
    }

    /// Server banner as bytes that live with the configuration (`SERVER_SOFTWARE`).
    pub fn server_software(&self) -> &'r [u8] {
        // SAFETY: a plain query.
        self.made(|_| unsafe { apache_sys::ap_get_server_banner() })
            .unwrap_or(b"")
    }
}
