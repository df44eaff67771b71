//! Where a directive is written, and what it may ask the machine.

use super::{Global, Layer, ServerConfig};

/// Questions that parsing asks the machine and httpd.
pub trait Host {
    /// Whether Apache was started as root.
    fn is_root(&self) -> bool;
    /// User id of a name.
    fn user_id(&self, name: &str) -> Option<u32>;
    /// Name of a user id.
    fn user_name(&self, uid: u32) -> Option<String>;
    /// Group id of a name.
    fn group_id(&self, name: &str) -> Option<u32>;
    /// Name of a group id.
    fn group_name(&self, gid: u32) -> Option<String>;
    /// A path made absolute below ServerRoot.
    fn server_root_relative(&self, path: &str) -> Option<String>;
    /// Why a regular expression cannot be compiled; None if it can.
    fn regex_error(&self, pattern: &str) -> Option<String>;
    /// Most supplementary groups of a process.
    fn max_groups(&self) -> usize;
    /// ServerName of the server with this ordinal, if it is set (so far).
    fn server_name(&self, server_ordinal: u32) -> Option<String>;
    /// Longest path of a UNIX socket, bytes.
    fn socket_path_limit(&self) -> usize;
}

/// A place in the configuration.
pub struct Place<'a> {
    /// Settings of the main server only.
    pub global: &'a mut Global,
    /// Server or virtual host that the directive is written in.
    pub server: &'a mut ServerConfig,
    /// Directory-type section or `.htaccess`; merge directives go there instead of `server.layer`.
    pub directory: Option<&'a mut Layer>,
    /// The machine.
    pub host: &'a dyn Host,
    /// Ordinal of the server; 0 is the main server.
    pub server_ordinal: u32,
    /// ServerName, if it is set (so far).
    pub server_name: Option<&'a str>,
    /// Configuration file.
    pub file: &'a str,
    /// Line in it.
    pub line: u32,
}

impl Place<'_> {
    /// The layer that a merge directive changes.
    pub(super) fn layer(&mut self) -> &mut Layer {
        match &mut self.directory {
            Some(layer) => layer,
            None => &mut self.server.layer,
        }
    }
}
