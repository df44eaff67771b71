//! The machine of a fuzzed configuration: a few accounts, Apache started as root, ServerRoot `/root`.

use wsgi_core::config::Host;

/// Its answers never change.
#[derive(Clone, Copy, Debug)]
pub struct Machine;

const ACCOUNTS: &[(&str, u32)] = &[("root", 0), ("www-data", 33), ("site", 1000)];

fn id_of(name: &str) -> Option<u32> {
    let found = ACCOUNTS.iter().find(|(known, _)| *known == name);
    found.map(|(_, id)| *id)
}

fn name_of(id: u32) -> Option<String> {
    let found = ACCOUNTS.iter().find(|(_, known)| *known == id);
    found.map(|(name, _)| (*name).to_owned())
}

impl Host for Machine {
    fn is_root(&self) -> bool {
        true
    }

    fn user_id(&self, name: &str) -> Option<u32> {
        id_of(name)
    }

    fn user_name(&self, uid: u32) -> Option<String> {
        name_of(uid)
    }

    fn group_id(&self, name: &str) -> Option<u32> {
        id_of(name)
    }

    fn group_name(&self, gid: u32) -> Option<String> {
        name_of(gid)
    }

    fn server_root_relative(&self, path: &str) -> Option<String> {
        match path {
            _ if path.contains("..") => None,
            _ if path.starts_with('/') => Some(path.to_owned()),
            _ => Some(format!("/root/{path}")),
        }
    }

    fn regex_error(&self, pattern: &str) -> Option<String> {
        pattern.contains("(?").then(|| "unbalanced".to_owned())
    }

    fn max_groups(&self) -> usize {
        4
    }

    fn server_name(&self, server_ordinal: u32) -> Option<String> {
        (server_ordinal == 0).then(|| "www.example.com".to_owned())
    }

    fn socket_path_limit(&self) -> usize {
        107
    }
}
