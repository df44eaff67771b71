//! What the parser may ask the machine and httpd.
//!
//! In the httpd parent while it reads the configuration; in a child for `.htaccess`, whose directives ask nothing.

use nix::unistd::{Gid, Group, SysconfVar, Uid, User, sysconf};
use wsgi_core::config::Host;

use crate::apache::{Pool, Regex, Server, process};

/// Longest path of a UNIX socket: `sun_path` without its NUL.
const SOCKET_PATH_LIMIT: usize = 107;
/// Linux' NGROUPS_MAX, where the system does not say.
const USUAL_MAX_GROUPS: usize = 65536;

/// This machine, under this httpd.
pub(super) struct Machine<'p> {
    /// For paths made during the call.
    pub(super) pool: Pool<'p>,
}

impl Host for Machine<'_> {
    fn is_root(&self) -> bool {
        Uid::effective().is_root()
    }

    fn user_id(&self, name: &str) -> Option<u32> {
        // A failing lookup is reported like an unknown name: the directive cannot be carried out.
        Some(User::from_name(name).ok()??.uid.as_raw())
    }

    fn user_name(&self, uid: u32) -> Option<String> {
        Some(User::from_uid(Uid::from_raw(uid)).ok()??.name)
    }

    fn group_id(&self, name: &str) -> Option<u32> {
        Some(Group::from_name(name).ok()??.gid.as_raw())
    }

    fn group_name(&self, gid: u32) -> Option<String> {
        Some(Group::from_gid(Gid::from_raw(gid)).ok()??.name)
    }

    fn server_root_relative(&self, path: &str) -> Option<String> {
        let absolute = process::server_root_relative(self.pool, path.as_bytes())?;
        String::from_utf8(absolute.to_vec()).ok()
    }

    fn regex_error(&self, pattern: &str) -> Option<String> {
        Regex::new(pattern.as_bytes())
            .err()
            .map(|error| error.reason)
    }

    fn max_groups(&self) -> usize {
        sysconf(SysconfVar::NGROUPS_MAX)
            .ok()
            .flatten()
            .and_then(|limit| usize::try_from(limit).ok())
            .unwrap_or(USUAL_MAX_GROUPS)
    }

    fn server_name(&self, server_ordinal: u32) -> Option<String> {
        // While the configuration is read, a virtual host's number is how many servers there were with it, and httpd puts
        // each in front of those before it. Their settings, which have the number as well, are being written.
        let main = Server::main()?;
        let position = match server_ordinal as usize {
            0 => 0,
            number => (main.list().count() + 1).checked_sub(number)?,
        };
        let server = main.list().nth(position)?;
        String::from_utf8(server.hostname()?.to_vec()).ok()
    }

    fn socket_path_limit(&self) -> usize {
        SOCKET_PATH_LIMIT
    }
}
