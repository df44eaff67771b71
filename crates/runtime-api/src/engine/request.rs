//! A request as the engine sees it: the host's [`RequestView`] with safe methods.

use std::ffi::c_void;
use std::ptr::NonNull;

use super::field;
use crate::{
    REQUEST_CLIENT_GROUP, REQUEST_DAEMON, REQUEST_HEAD, REQUEST_HTTPS, REQUEST_IGNORE_ACTIVITY,
    REQUEST_MODULE, REQUEST_MODULE_RELOADING, REQUEST_SCRIPT_RELOADING, RequestView, entries,
};

/// A request during `handle`.
#[derive(Clone, Copy)]
pub struct Request<'r> {
    pub(super) view: &'r RequestView,
}

impl<'r> Request<'r> {
    /// The string entries of the environ, in order; None is a variable without value (ENV-24).
    pub fn environ(&self) -> impl ExactSizeIterator<Item = (&'r [u8], Option<&'r [u8]>)> + use<'r> {
        // SAFETY: the host lends that many pairs, and their bytes, for the call, which `'r` does not exceed.
        unsafe { entries(self.view.environ, self.view.environ_len) }
    }

    /// Interpreter; empty is the main one.
    pub fn application_group(&self) -> &'r [u8] {
        field(self.view.application_group)
    }

    /// Whether the interpreter's name is made of data of the client.
    pub fn has_client_group(&self) -> bool {
        self.has(REQUEST_CLIENT_GROUP)
    }

    /// Name of the callable in the script.
    pub fn callable_object(&self) -> &'r [u8] {
        field(self.view.callable_object)
    }

    /// File that the URL mapped to.
    pub fn script_filename(&self) -> &'r [u8] {
        field(self.view.script_filename)
    }

    /// The file to load: the handler script if there is one, else the file that the URL mapped to.
    pub fn script(&self) -> &'r [u8] {
        let handler = field(self.view.handler_script);
        if handler.is_empty() {
            self.script_filename()
        } else {
            handler
        }
    }

    /// Whether the URL's scheme is https (ENV-42).
    pub fn is_https(&self) -> bool {
        self.has(REQUEST_HTTPS)
    }

    /// Whether changed scripts are to be noticed (REQ-610).
    pub fn reloads_scripts(&self) -> bool {
        self.has(REQUEST_SCRIPT_RELOADING)
    }

    /// Name of the module to import in place of a script file; None for a file.
    pub fn module(&self) -> Option<&'r [u8]> {
        let script = self.has(REQUEST_MODULE).then(|| self.script_filename())?;
        script.strip_prefix(b"module:")
    }

    /// Whether changes of other modules of its package are to be noticed, too.
    pub fn reloads_modules(&self) -> bool {
        self.has(REQUEST_MODULE_RELOADING)
    }

    /// Whether a changed script means [`Outcome::Reload`](crate::Outcome::Reload) (REQ-621).
    pub fn is_in_daemon(&self) -> bool {
        self.has(REQUEST_DAEMON)
    }

    /// Whether reads and writes count as activity (DP-99).
    pub fn counts_as_activity(&self) -> bool {
        !self.has(REQUEST_IGNORE_ACTIVITY)
    }

    /// Whether the client asked for the head only.
    pub fn is_head(&self) -> bool {
        self.has(REQUEST_HEAD)
    }

    /// Ordinal of this worker thread, from 1.
    pub fn thread_id(&self) -> u32 {
        self.view.thread_id
    }

    /// Pid of the child that accepted the request.
    pub fn server_pid(&self) -> u32 {
        self.view.server_pid
    }

    /// Connects needed to reach the daemon.
    pub fn daemon_connects(&self) -> u32 {
        self.view.daemon_connects
    }

    /// Reload rejections on the way.
    pub fn daemon_restarts(&self) -> u32 {
        self.view.daemon_restarts
    }

    /// Apache's time of the request, seconds since the epoch.
    pub fn request_start(&self) -> f64 {
        seconds(self.view.request_start)
    }

    /// Time before the first connect, seconds since the epoch; 0 embedded.
    pub fn queue_start(&self) -> f64 {
        seconds(self.view.queue_start)
    }

    /// Time of the pick-up in the daemon, seconds since the epoch; 0 embedded.
    pub fn daemon_start(&self) -> f64 {
        seconds(self.view.daemon_start)
    }

    /// Address of the client as httpd knows it; None in daemons.
    pub fn useragent_ip(&self) -> Option<&'r [u8]> {
        // SAFETY: the host lends the bytes for the call, which `'r` does not exceed.
        unsafe { self.view.useragent_ip.get() }
    }

    /// Host that the client named, as httpd knows it; None in daemons, and where it named none.
    pub fn hostname(&self) -> Option<&'r [u8]> {
        // SAFETY: as above.
        unsafe { self.view.hostname.get() }
    }

    /// Apache's request, if the application is to have it.
    pub fn apache_request(&self) -> Option<NonNull<c_void>> {
        NonNull::new(self.view.apache_request)
    }

    fn has(&self, flag: u32) -> bool {
        self.view.flags & flag != 0
    }
}

/// Microseconds to seconds, as Python shows times.
fn seconds(microseconds: i64) -> f64 {
    // Exact up to the year 2255: 53 bits of microseconds.
    #[expect(
        clippy::cast_precision_loss,
        reason = "microseconds since the epoch fit 53 bits"
    )]
    let exact = microseconds as f64;
    exact / 1e6
}
