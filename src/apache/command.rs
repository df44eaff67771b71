//! A directive while httpd reads it: where it stands, and httpd's own checks and word rules.

use std::ffi::{c_char, c_int, c_uint};
use std::marker::PhantomData;
use std::ptr::{self, NonNull};

use apache_sys::cmd_parms;

use super::{Pool, Server, text};

/// A directive of the configuration being read; lives for `'c`, the call of its function.
#[derive(Debug)]
pub struct Command<'c> {
    raw: NonNull<cmd_parms>,
    lives: PhantomData<&'c cmd_parms>,
}

impl<'c> Command<'c> {
    /// Wraps httpd's parameters of a directive.
    ///
    /// # Safety
    /// `raw` is what httpd called the directive's function with, and the call lasts for `'c`.
    pub unsafe fn from_raw(raw: *mut cmd_parms) -> Command<'c> {
        Command {
            raw: NonNull::new(raw).expect("httpd hands parameters to directives"),
            lives: PhantomData,
        }
    }

    fn record(&self) -> &cmd_parms {
        // SAFETY: live for 'c; the reference does not outlive the expression that reads a field.
        unsafe { self.raw.as_ref() }
    }

    /// Memory of the configuration (of a request, in `.htaccess`).
    pub fn pool(&self) -> Pool<'c> {
        // SAFETY: lives longer than the call.
        unsafe { Pool::from_raw(self.record().pool) }
    }

    /// Server that the directive is for.
    pub fn server(&self) -> Server<'c> {
        // SAFETY: lives longer than the call.
        unsafe { Server::from_raw(self.record().server) }
    }

    /// Path of the directory-type section or `.htaccess` file; None at server level.
    pub fn path(&self) -> Option<&'c [u8]> {
        // SAFETY: text that lives longer than the call.
        unsafe { text::bytes(self.record().path) }
    }

    /// Whether it stands in a `.htaccess` file: read for a request, while the server runs.
    pub fn is_in_htaccess(&self) -> bool {
        // How httpd itself tells (ap_check_cmd_context): such a file has no pool but the request's.
        self.record().pool == self.record().temp_pool
    }

    /// Row of our table that the directive belongs to.
    pub fn row(&self) -> usize {
        self.record().info.addr()
    }

    /// File and line of the directive, if httpd knows.
    pub fn place(&self) -> Option<(&'c [u8], u32)> {
        // SAFETY: null or a live record.
        let directive = unsafe { self.record().directive.as_ref() }?;
        // SAFETY: text that lives longer than the call.
        let file = unsafe { text::bytes(directive.filename) }?;
        Some((file, u32::try_from(directive.line_num).unwrap_or(0)))
    }

    /// The sections that the directive stands in, the innermost first, `<VirtualHost>` included; none at the top of the main
    /// server, and in a `.htaccess` file.
    pub fn enclosing(&self) -> Vec<Enclosing<'c>> {
        let mut found = Vec::new();
        // SAFETY: null or a live record.
        let directive = unsafe { self.record().directive.as_ref() };
        let mut parent = directive.map_or(ptr::null(), |directive| directive.parent.cast_const());
        // SAFETY: null or a live record of the same tree.
        while let Some(section) = unsafe { parent.as_ref() } {
            parent = section.parent;
            // SAFETY: text that lives longer than the call.
            let name = unsafe { text::bytes(section.directive) }.unwrap_or(b"");
            // SAFETY: as above.
            let argument = unsafe { text::bytes(section.args) };
            // SAFETY: as above.
            let file = unsafe { text::bytes(section.filename) };
            found.push(Enclosing {
                name: name.strip_prefix(b"<").unwrap_or(name),
                argument: argument.unwrap_or(b""),
                file: file.unwrap_or(b""),
                line: u32::try_from(section.line_num).unwrap_or(0),
            });
        }
        found
    }

    /// httpd's own message if the directive stands anywhere but in the main server's configuration (CTX-01).
    ///
    /// # Errors
    /// The message, a text of httpd's.
    pub fn check_in_main_server(&self) -> Result<(), *const c_char> {
        let forbidden = c_uint::try_from(apache_sys::GLOBAL_ONLY).expect("flags are positive");
        // SAFETY: the parameters httpd called us with.
        let message = unsafe { apache_sys::ap_check_cmd_context(self.raw.as_ptr(), forbidden) };
        if message.is_null() {
            Ok(())
        } else {
            Err(message)
        }
    }

    /// Processes the directives inside the section that this directive opens, for the current server.
    ///
    /// # Errors
    /// The message of the first directive that failed; httpd then names that directive's line.
    pub fn walk_section(&self) -> Result<(), *const c_char> {
        // SAFETY: null or a live record.
        let Some(directive) = (unsafe { self.record().directive.as_ref() }) else {
            return Ok(());
        };
        if directive.first_child.is_null() {
            return Ok(());
        }
        let defaults = self.server().record().lookup_defaults;
        // SAFETY: the section's own directives, httpd's parameters and the server's configuration.
        let message = unsafe {
            apache_sys::ap_walk_config(directive.first_child, self.raw.as_ptr(), defaults)
        };
        if message.is_null() {
            Ok(())
        } else {
            Err(message)
        }
    }

    /// A message for httpd: an error of this directive.
    pub fn message(&self, message: &str) -> *const c_char {
        self.pool().copy_text(message.as_bytes()).as_ptr()
    }
}

/// A section around a directive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Enclosing<'c> {
    /// Name without `<`.
    pub name: &'c [u8],
    /// Argument as written, with the `>` if httpd left it.
    pub argument: &'c [u8],
    /// File and line where it begins.
    pub file: &'c [u8],
    /// See `file`.
    pub line: u32,
}

/// Contexts for a directive record, and `AllowOverride` classes.
pub mod allowed {
    use super::c_int;

    /// Server level, in main server and virtual hosts.
    pub const SERVER: c_int = apache_sys::RSRC_CONF;
    /// Server level and directory-type sections, not `.htaccess`.
    pub const SERVER_AND_DIRECTORY: c_int = apache_sys::RSRC_CONF | apache_sys::ACCESS_CONF;
    /// Everywhere; `.htaccess` with `AllowOverride FileInfo`.
    pub const EVERYWHERE: c_int = apache_sys::OR_FILEINFO;
    /// Directory-type sections, and `.htaccess` with `AllowOverride AuthConfig`.
    pub const DIRECTORY: c_int = apache_sys::OR_AUTHCFG;
}
