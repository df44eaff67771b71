//! Servers: the main one and the virtual hosts.

use std::marker::PhantomData;
use std::os::fd::BorrowedFd;
use std::ptr::NonNull;
use std::time::Duration;

use apache_sys::server_rec;

use super::{Level, log, slot, text};

/// A server of the configuration that lives for `'s`.
#[derive(Clone, Copy, Debug)]
pub struct Server<'s> {
    raw: NonNull<server_rec>,
    lives: PhantomData<&'s server_rec>,
}

impl PartialEq for Server<'_> {
    /// The same server, not an equal one.
    fn eq(&self, other: &Self) -> bool {
        self.raw == other.raw
    }
}

impl<'s> Server<'s> {
    /// Wraps a server of httpd.
    ///
    /// # Safety
    /// `raw` is a live server of a configuration that lives for `'s`.
    pub unsafe fn from_raw(raw: *mut server_rec) -> Server<'s> {
        Server {
            raw: NonNull::new(raw).expect("httpd hands out live servers"),
            lives: PhantomData,
        }
    }

    /// The main server of the running configuration; None before there is one. Not during configuration.
    pub fn main() -> Option<Server<'s>> {
        // SAFETY: reading a pointer that httpd sets before hooks of the running server are called.
        let main = unsafe { apache_sys::ap_server_conf };
        // SAFETY: the main server lives as long as the configuration in which this code runs.
        (!main.is_null()).then(|| unsafe { Server::from_raw(main) })
    }

    /// For functions of httpd that want the server.
    pub(crate) fn as_ptr(&self) -> *mut server_rec {
        self.raw.as_ptr()
    }

    pub(super) fn record(&self) -> &'s server_rec {
        // SAFETY: live for 's; the fields read here do not change once the configuration has been read.
        unsafe { self.raw.as_ref() }
    }

    /// This server and those behind it in httpd's list: from the main server, all, in the order of their ordinals.
    pub fn list(&self) -> impl Iterator<Item = Server<'s>> + use<'s> {
        std::iter::successors(Some(*self), |server| {
            let next = server.record().next;
            // SAFETY: httpd's list of servers lives as long as its first.
            (!next.is_null()).then(|| unsafe { Server::from_raw(next) })
        })
    }

    /// Position in the main server's list: 0 is the main server. The same number names the same server in every process of a
    /// generation.
    pub fn ordinal(&self) -> u32 {
        let Some(main) = Server::main() else { return 0 };
        let position = main.list().position(|server| server == *self).unwrap_or(0);
        u32::try_from(position).expect("fewer servers than 2^32")
    }

    /// ServerName as configured; None if there is none.
    pub fn hostname(&self) -> Option<&'s [u8]> {
        // SAFETY: text of the configuration lives for 's.
        unsafe { text::bytes(self.record().server_hostname) }
    }

    /// Port of `ServerName name:port`; 0 if none was given.
    pub fn port(&self) -> u16 {
        self.record().port
    }

    /// DocumentRoot; None if there is none.
    pub fn document_root(&self) -> Option<&'s [u8]> {
        // SAFETY: a live server with its configuration.
        let root = unsafe { apache_sys::wsgi_shim_document_root(self.as_ptr()) };
        // SAFETY: text of the configuration lives for 's.
        unsafe { text::bytes(root) }
    }

    /// File and line of its `<VirtualHost>`; None for the main server.
    pub fn defined_at(&self) -> Option<(&'s [u8], u32)> {
        // SAFETY: text of the configuration lives for 's.
        let file = unsafe { text::bytes(self.record().defn_name) }?;
        Some((file, self.record().defn_line_number))
    }

    /// ServerAdmin.
    pub fn admin(&self) -> Option<&'s [u8]> {
        // SAFETY: text of the configuration lives for 's.
        unsafe { text::bytes(self.record().server_admin) }
    }

    /// Timeout.
    pub fn timeout(&self) -> Duration {
        Duration::from_micros(u64::try_from(self.record().timeout).unwrap_or(0))
    }

    /// Whether it is a virtual host.
    pub fn is_virtual(&self) -> bool {
        self.record().is_virtual != 0
    }

    /// Descriptor of its error log (a file, or a pipe to a program); None with syslog, or before logs are open.
    pub fn error_log(&self) -> Option<BorrowedFd<'s>> {
        let file = self.record().error_log;
        if file.is_null() {
            return None;
        }
        let mut descriptor = -1;
        // SAFETY: a live file of httpd's.
        let status = unsafe { apache_sys::apr_os_file_get(&mut descriptor, file) };
        if status != 0 || descriptor < 0 {
            return None;
        }
        // SAFETY: httpd keeps its logs open as long as the configuration lives.
        Some(unsafe { BorrowedFd::borrow_raw(descriptor) })
    }

    /// The module's configuration of this server; None if there is none of this type. Not for code that changes it.
    pub fn config<T: 'static>(&self) -> Option<&'s T> {
        // SAFETY: our place holds null or what our configuration functions stored, which lives as long as the server.
        unsafe { slot::get(self.config_pointer()) }
    }

    /// The pointer that httpd keeps for us; null before the configuration was made.
    pub(crate) fn config_pointer(&self) -> *mut std::ffi::c_void {
        let vector = self.record().module_config;
        // SAFETY: a live vector with a place for each loaded module, ours included.
        unsafe { apache_sys::wsgi_shim_get_config(vector, log::module_index()) }
    }

    /// One record for this server's error log.
    #[track_caller]
    pub fn log(&self, level: Level, text: impl AsRef<[u8]>) {
        log::server(self, level, text);
    }

    /// Whether a record of this level would be written.
    pub fn logs(&self, level: Level) -> bool {
        log::server_logs(self, level)
    }
}
