//! A request, as httpd's hooks and handlers see it.
//!
//! Only the thread that serves the request uses it.

use std::ffi::{CStr, c_char, c_int, c_void};
use std::marker::PhantomData;
use std::ptr::{self, NonNull};

use apache_sys::request_rec;

use super::{Connection, FileFacts, Level, Pool, Server, Status, Table, log, slot, text};

/// A request of httpd that lives for `'r`.
#[derive(Clone, Copy, Debug)]
pub struct Request<'r> {
    raw: NonNull<request_rec>,
    lives: PhantomData<&'r request_rec>,
}

/// AcceptPathInfo in effect for a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathInfo {
    /// `On`.
    Accept,
    /// `Off`.
    Reject,
    /// Up to the handler.
    Default,
}

impl<'r> Request<'r> {
    /// Wraps a request of httpd.
    ///
    /// # Safety
    /// `raw` is a live request for `'r`, used by this thread only.
    pub unsafe fn from_raw(raw: *mut request_rec) -> Request<'r> {
        Request {
            raw: NonNull::new(raw).expect("httpd hands out live requests"),
            lives: PhantomData,
        }
    }

    /// What scripts get as `apache.request_rec`, where WSGIPassApacheRequest says so (ENV-61).
    pub fn raw(&self) -> NonNull<c_void> {
        self.raw.cast()
    }

    /// For functions of httpd that want the request.
    pub fn as_ptr(&self) -> *mut request_rec {
        self.raw.as_ptr()
    }

    /// The record; the reference is used up within the expression, because httpd changes the record behind our back.
    fn record(&self) -> &request_rec {
        // SAFETY: live for 'r, and no call of httpd happens while the reference is in use.
        unsafe { self.raw.as_ref() }
    }

    /// Lets `change` write fields of the record.
    fn change(&self, change: impl FnOnce(&mut request_rec)) {
        let mut raw = self.raw;
        // SAFETY: live for 'r and used by this thread only; `change` just assigns, so no other reference exists meanwhile.
        change(unsafe { raw.as_mut() });
    }

    /// A text of the record. None for null.
    fn text(&self, text: *const c_char) -> Option<&'r [u8]> {
        // SAFETY: texts of a request are in pools that live for 'r, and are replaced rather than changed.
        unsafe { text::bytes(text) }
    }

    // What the client asked for.

    /// Method as sent.
    pub fn method(&self) -> &'r [u8] {
        self.text(self.record().method).unwrap_or(b"")
    }

    /// Whether the client's method is HEAD, so that no body is sent (`header_only`).
    pub fn is_head(&self) -> bool {
        self.record().header_only != 0
    }

    /// Path of the URL, decoded and normalised.
    pub fn uri(&self) -> &'r [u8] {
        self.text(self.record().uri).unwrap_or(b"")
    }

    /// First line of the request.
    pub fn request_line(&self) -> &'r [u8] {
        self.text(self.record().the_request).unwrap_or(b"")
    }

    /// Query string as sent; None without `?`.
    pub fn args(&self) -> Option<&'r [u8]> {
        self.text(self.record().args)
    }

    /// `HTTP/1.1` and the like.
    pub fn protocol(&self) -> &'r [u8] {
        self.text(self.record().protocol).unwrap_or(b"")
    }

    /// Version of the protocol as httpd counts it: 1001 for HTTP/1.1, 2000 for HTTP/2.
    pub fn protocol_number(&self) -> i32 {
        self.record().proto_num
    }

    /// Host that the client named, normalised by httpd; None without one.
    pub fn hostname(&self) -> Option<&'r [u8]> {
        self.text(self.record().hostname)
    }

    /// Address of the client as text, as mod_remoteip left it.
    pub fn client_ip(&self) -> &'r [u8] {
        self.text(self.record().useragent_ip).unwrap_or(b"")
    }

    /// Authenticated user; None without one.
    pub fn user(&self) -> Option<&'r [u8]> {
        self.text(self.record().user)
    }

    /// Sets the authenticated user.
    pub fn set_user(&self, user: &[u8]) {
        let copy = self.pool().copy_text(user);
        self.change(|record| record.user = copy.as_ptr().cast_mut());
    }

    /// Whether a client that is denied access may still get it by authentication (`Satisfy Any`, REQ-702).
    pub fn may_authenticate_instead(&self) -> bool {
        // SAFETY: a live request.
        let satisfy = unsafe { apache_sys::ap_satisfies(self.as_ptr()) };
        // SAFETY: as above.
        satisfy == apache_sys::SATISFY_ANY
            && unsafe { apache_sys::ap_some_auth_required(self.as_ptr()) } != 0
    }

    /// When httpd began with the request: microseconds since the epoch.
    pub fn time(&self) -> i64 {
        self.record().request_time
    }

    /// Log id (`%L`), generated if there is none yet (ENV-58). None if nobody generates ids.
    pub fn log_id(&self) -> Option<&'r [u8]> {
        if self.record().log_id.is_null() {
            let connection = self.record().connection;
            let mut id = ptr::null();
            // SAFETY: a live request and its connection; the hook's functions write a text of the request's pool to `id`.
            unsafe { apache_sys::ap_run_generate_log_id(connection, self.as_ptr(), &mut id) };
            self.change(|record| record.log_id = id);
        }
        self.text(self.record().log_id)
    }

    // What it was mapped to.

    /// File that the URL was mapped to.
    pub fn filename(&self) -> Option<&'r [u8]> {
        self.text(self.record().filename)
    }

    /// Maps the request to a file (in translate_name).
    pub fn set_filename(&self, filename: &[u8]) {
        let copy = self.pool().copy_text(filename);
        self.change(|record| record.filename = copy.as_ptr().cast_mut());
    }

    /// What follows the file in the URL; None if the path was not walked yet.
    pub fn path_info(&self) -> Option<&'r [u8]> {
        self.text(self.record().path_info)
    }

    /// Says what follows of the URL, for a request without a file (in translate_name).
    pub fn set_path_info(&self, path_info: &[u8]) {
        let copy = self.pool().copy_text(path_info);
        self.change(|record| record.path_info = copy.as_ptr().cast_mut());
    }

    /// Handler, as httpd resolved it; in the handler hook never None.
    pub fn handler(&self) -> Option<&'r [u8]> {
        self.text(self.record().handler)
    }

    /// Sets the handler.
    pub fn set_handler(&self, handler: &'static CStr) {
        self.change(|record| record.handler = handler.as_ptr());
    }

    /// Whether a section in effect has a `SetHandler`. While URLs are translated these are the sections for URLs and conditions, later
    /// on all of them.
    pub fn has_configured_handler(&self) -> bool {
        // SAFETY: a live request with core's configuration.
        unsafe { apache_sys::wsgi_shim_has_configured_handler(self.as_ptr()) != 0 }
    }

    /// Content type of the answer, or of the mapped file.
    pub fn content_type(&self) -> Option<&'r [u8]> {
        self.text(self.record().content_type)
    }

    /// Facts about the mapped file.
    pub fn file(&self) -> FileFacts {
        FileFacts::of(&self.record().finfo)
    }

    /// AcceptPathInfo in effect.
    pub fn path_info_rule(&self) -> PathInfo {
        match self.record().used_path_info {
            apache_sys::AP_REQ_ACCEPT_PATH_INFO => PathInfo::Accept,
            apache_sys::AP_REQ_REJECT_PATH_INFO => PathInfo::Reject,
            _ => PathInfo::Default,
        }
    }

    /// Whether `Options ExecCGI` is in effect.
    pub fn may_execute(&self) -> bool {
        // SAFETY: a live request.
        let options = unsafe { apache_sys::ap_allow_options(self.as_ptr()) };
        options & apache_sys::OPT_EXECCGI != 0
    }

    /// Whether another module made it a proxy request already.
    pub fn is_proxied(&self) -> bool {
        self.record().proxyreq != apache_sys::PROXYREQ_NONE
    }

    /// The request that was redirected internally to this one; None if there is none.
    pub fn previous(&self) -> Option<Request<'r>> {
        let previous = self.record().prev;
        // SAFETY: httpd keeps the chain of redirected requests as long as its last.
        (!previous.is_null()).then(|| unsafe { Request::from_raw(previous) })
    }

    // Tables.

    /// Headers of the request.
    pub fn headers_in(&self) -> Table<'r> {
        // SAFETY: httpd makes the table with the request.
        unsafe { Table::from_raw(self.record().headers_in) }
    }

    /// Headers of a successful answer.
    pub fn headers_out(&self) -> Table<'r> {
        // SAFETY: httpd makes the table with the request.
        unsafe { Table::from_raw(self.record().headers_out) }
    }

    /// Headers of any answer, error pages included.
    pub fn err_headers_out(&self) -> Table<'r> {
        // SAFETY: httpd makes the table with the request.
        unsafe { Table::from_raw(self.record().err_headers_out) }
    }

    /// Environment of the request (`SetEnv`, CGI variables).
    pub fn environment(&self) -> Table<'r> {
        // SAFETY: httpd makes the table with the request.
        unsafe { Table::from_raw(self.record().subprocess_env) }
    }

    /// Adds variables to the environment: a request that httpd makes of this one, for an error page or a redirect, has them as
    /// `REDIRECT_…` (ENV-18). Those without value are left out.
    pub fn publish<'v>(&self, variables: impl IntoIterator<Item = (&'v [u8], Option<&'v [u8]>)>) {
        let environment = self.environment();
        for (name, value) in variables {
            if let Some(value) = value {
                environment.set(&text::c_string(name), value);
            }
        }
    }

    /// Notes between modules; internal fast redirects (directory index) carry them along.
    pub fn notes(&self) -> Table<'r> {
        // SAFETY: httpd makes the table with the request.
        unsafe { Table::from_raw(self.record().notes) }
    }

    // The answer.

    /// Status of the answer so far.
    pub fn status(&self) -> i32 {
        self.record().status
    }

    /// Sets the status, and the line (`200 OK`) if the application gave a reason; None for httpd's own.
    ///
    /// A status below 200 is no last answer for a client: it takes what follows for the head of the next one. So no body
    /// is sent, and the connection ends (REQ-452).
    pub fn set_status(&self, code: u16, line: Option<&[u8]>) {
        let line = line.map_or(ptr::null(), |line| self.pool().copy_text(line).as_ptr());
        self.change(|record| {
            record.status = i32::from(code);
            record.status_line = line;
            if code < 200 {
                record.header_only = 1;
            }
        });
        if code < 200 {
            self.connection().close_after_answer();
        }
    }

    /// Sets the content type, which may add filters (AddOutputFilterByType).
    pub fn set_content_type(&self, value: &[u8]) {
        let copy = self.pool().copy_text(value);
        // SAFETY: a live request and a text of its pool.
        unsafe { apache_sys::ap_set_content_type(self.as_ptr(), copy.as_ptr()) };
    }

    /// Sets the length of the answer, so that httpd knows it before the end.
    pub fn set_content_length(&self, length: u64) {
        let length = i64::try_from(length).unwrap_or(i64::MAX);
        // SAFETY: a live request.
        unsafe { apache_sys::ap_set_content_length(self.as_ptr(), length) };
    }

    /// Answers 500 with a text of ours in httpd's page in place of its own; an ErrorDocument replaces it all.
    pub fn fail_with(&self, text: &str) -> Status {
        self.notes().set(c"error-notes", text.as_bytes());
        self.notes().set(c"verbose-error-to", b"*");
        Status::INTERNAL_SERVER_ERROR
    }

    /// Whether the head of the answer or anything of it went to the network already.
    pub fn is_answer_begun(&self) -> bool {
        self.record().sent_bodyct != 0 || self.record().bytes_sent != 0
    }

    /// Whether output filters below the protocol are installed (DEFLATE, SUBSTITUTE …), which need the body of a HEAD (REQ-120).
    pub fn has_content_filters(&self) -> bool {
        // SAFETY: a live request with its chain of filters.
        unsafe { apache_sys::wsgi_shim_has_content_filters(self.as_ptr()) != 0 }
    }

    /// `EnableSendfile` in effect.
    pub fn is_sendfile_enabled(&self) -> bool {
        // SAFETY: a live request with core's configuration.
        unsafe { apache_sys::wsgi_shim_sendfile_enabled(self.as_ptr()) != 0 }
    }

    /// `EnableMMAP` in effect.
    pub fn is_mmap_enabled(&self) -> bool {
        // SAFETY: a live request with core's configuration.
        unsafe { apache_sys::wsgi_shim_mmap_enabled(self.as_ptr()) != 0 }
    }

    /// Sets Last-Modified from the value of such a header: a date in the future becomes now, and what is no date is left out
    /// (DMN-316).
    pub fn set_last_modified(&self, value: &[u8]) {
        let copy = self.pool().copy_text(value);
        // SAFETY: a C string.
        let date = unsafe { apache_sys::apr_date_parse_http(copy.as_ptr()) };
        if date == 0 {
            return;
        }
        // SAFETY: a live request.
        unsafe { apache_sys::ap_update_mtime(self.as_ptr(), date) };
        // SAFETY: a live request, whose time of change was set just now.
        unsafe { apache_sys::ap_set_last_modified(self.as_ptr()) };
    }

    /// [`Request::internal_redirect`] as a GET without a body, whatever the client's method was (DMN-321).
    pub fn redirect_as_get(&self, url: &[u8]) {
        self.change(|record| {
            record.method = c"GET".as_ptr();
            record.method_number =
                c_int::try_from(apache_sys::M_GET).expect("a small number of httpd");
        });
        self.headers_in().unset(c"Content-Length");
        self.internal_redirect(url);
    }

    /// Answers with what another URL of this server gives (the client does not see it).
    pub fn internal_redirect(&self, url: &[u8]) {
        let url = self.pool().copy_text(url);
        // SAFETY: a live request in its handler, and a text of its pool.
        unsafe { apache_sys::ap_internal_redirect(url.as_ptr(), self.as_ptr()) };
    }

    /// Server name for self-referential URLs (UseCanonicalName honoured).
    pub fn server_name(&self) -> &'r [u8] {
        // SAFETY: a live request; the text lives in a pool of it or the configuration.
        let name = unsafe { apache_sys::ap_get_server_name(self.as_ptr()) };
        self.text(name).unwrap_or(b"")
    }

    /// httpd's logical port of the request; with UseCanonicalName Off it may come from the client (XPN-07).
    pub fn server_port(&self) -> u16 {
        // SAFETY: a live request.
        unsafe { apache_sys::ap_get_server_port(self.as_ptr()) }
    }

    // Body.

    /// LimitRequestBody in effect; None for no limit.
    pub fn body_limit(&self) -> Option<u64> {
        // SAFETY: a live request.
        let limit = unsafe { apache_sys::ap_get_limit_req_body(self.as_ptr()) };
        u64::try_from(limit).ok().filter(|&limit| limit > 0)
    }

    /// Whether the client waits for `100 Continue` before it sends the body.
    pub fn expects_continue(&self) -> bool {
        // SAFETY: a live request.
        unsafe { apache_sys::wsgi_shim_expects_continue(self.as_ptr()) != 0 }
    }

    /// Filters that a body is read through; they change with the request.
    pub(super) fn input_filters(&self) -> *mut apache_sys::ap_filter_t {
        self.record().input_filters
    }

    /// Filters that an answer is sent through; they change with the request.
    pub(super) fn output_filters(&self) -> *mut apache_sys::ap_filter_t {
        self.record().output_filters
    }

    // Surroundings.

    /// Memory that lives as long as the request.
    pub fn pool(&self) -> Pool<'r> {
        // SAFETY: the request's pool lives for 'r and is used by its thread.
        unsafe { Pool::from_raw(self.record().pool) }
    }

    /// Connection of the client.
    pub fn connection(&self) -> Connection<'r> {
        // SAFETY: a request's connection outlives it.
        unsafe { Connection::from_raw(self.record().connection) }
    }

    /// Virtual host, or the main server.
    pub fn server(&self) -> Server<'r> {
        // SAFETY: a configuration outlives the requests made under it.
        unsafe { Server::from_raw(self.record().server) }
    }

    /// The module's configuration of the request's directory; None if there is none of this type.
    pub fn config<T: 'static>(&self) -> Option<&'r T> {
        let vector = self.record().per_dir_config;
        // SAFETY: a live vector with a place for each loaded module, ours included.
        let kept = unsafe { apache_sys::wsgi_shim_get_config(vector, log::module_index()) };
        // SAFETY: our place holds null or what our configuration functions stored, final when requests run.
        unsafe { slot::get(kept) }
    }

    // Log.

    /// One record for the request's error log.
    #[track_caller]
    pub fn log(&self, level: Level, text: impl AsRef<[u8]>) {
        log::request(self, level, text.as_ref());
    }

    /// As [`Request::log`], for a record of Python's, which may name its own source (API-153).
    #[track_caller]
    pub fn log_record(&self, level: Level, record: &[u8]) {
        log::request_record(self, level, record);
    }

    /// Whether a record of this level would be written.
    pub fn logs(&self, level: Level) -> bool {
        log::request_logs(self, level)
    }
}
