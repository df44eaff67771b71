//! A configuration that tests write line by line, on a machine of their own: a few accounts, no root, ServerRoot `/root`.

use super::{
    Arity, ConfigError, DIRECTIVES, Global, Host, Layer, Place, ServerConfig, apply, words,
};

/// The configuration read so far.
#[derive(Debug, Default)]
pub(super) struct Reading {
    pub(super) global: Global,
    /// Main server, then virtual hosts.
    pub(super) servers: Vec<ServerConfig>,
    /// Their ServerNames.
    pub(super) names: Vec<Option<String>>,
    /// The section that the next lines stand in.
    pub(super) section: Option<Layer>,
    /// The server that the next lines stand in.
    pub(super) server: usize,
    /// Whether httpd was started as root.
    pub(super) root: bool,
}

impl Reading {
    /// Of a main server without name.
    pub(super) fn new() -> Reading {
        Reading {
            servers: vec![ServerConfig::default()],
            names: vec![None],
            ..Reading::default()
        }
    }

    /// What these lines come to.
    #[track_caller]
    pub(super) fn of(lines: &str) -> Reading {
        let mut reading = Reading::new();
        reading.lines(lines);
        reading
    }

    /// Goes on in a new virtual host.
    pub(super) fn host(&mut self, name: Option<&str>) {
        self.servers.push(ServerConfig::default());
        self.names.push(name.map(str::to_owned));
        self.server = self.servers.len() - 1;
    }

    /// Reads lines that are right.
    #[track_caller]
    pub(super) fn lines(&mut self, lines: &str) {
        for line in lines.lines() {
            self.line(line)
                .unwrap_or_else(|error| panic!("{line}: {error}"));
        }
    }

    /// Reads a line as httpd hands it over (GEN-06).
    pub(super) fn line(&mut self, line: &str) -> Result<(), ConfigError> {
        let line = line.trim();
        let (name, mut rest) = line.split_once([' ', '>']).unwrap_or((line, ""));
        if name.starts_with("</") {
            super::close_block(&mut self.global);
            return Ok(());
        }
        let row = DIRECTIVES
            .iter()
            .find(|row| row.name.eq_ignore_ascii_case(name))
            .unwrap_or_else(|| panic!("no directive {name}"));
        let word;
        if row.arity == Arity::One {
            word = words::next(&mut rest).unwrap_or_default();
            assert!(!word.is_empty() && rest.trim().is_empty(), "{line}");
            rest = &word;
        }
        let section = format!("{rest}>");
        if row.section && !rest.contains('>') && line.ends_with('>') {
            rest = &section;
        }
        let host = Machine {
            root: self.root,
            names: self.names.clone(),
        };
        let name = self.names[self.server].clone();
        let mut place = Place {
            global: &mut self.global,
            server: &mut self.servers[self.server],
            directory: self.section.as_mut(),
            host: &host,
            server_ordinal: u32::try_from(self.server).unwrap(),
            server_name: name.as_deref(),
            file: "httpd.conf",
            line: 1,
        };
        apply(row, rest, &mut place)
    }

    /// The message that refuses a line of an otherwise empty configuration.
    #[track_caller]
    pub(super) fn refusal(line: &str) -> String {
        match Reading::new().line(line) {
            Err(error) => error.to_string(),
            Ok(()) => panic!("accepted: {line}"),
        }
    }

    /// Settings of the main server that merge.
    pub(super) fn layer(&self) -> &Layer {
        &self.servers[0].layer
    }

    /// Texts for the log.
    pub(super) fn notices(&self) -> Vec<&str> {
        let texts = self.global.notices.iter();
        texts.map(|notice| notice.text.as_str()).collect()
    }
}

struct Machine {
    root: bool,
    names: Vec<Option<String>>,
}

const USERS: &[(&str, u32)] = &[("root", 0), ("www-data", 33), ("site", 1000)];
const GROUPS: &[(&str, u32)] = &[("root", 0), ("adm", 4), ("www-data", 33)];

fn id_of(accounts: &[(&str, u32)], name: &str) -> Option<u32> {
    let found = accounts.iter().find(|(known, _)| *known == name);
    found.map(|(_, id)| *id)
}

fn name_of(accounts: &[(&str, u32)], id: u32) -> Option<String> {
    let found = accounts.iter().find(|(_, known)| *known == id);
    found.map(|(name, _)| (*name).to_owned())
}

impl Host for Machine {
    fn is_root(&self) -> bool {
        self.root
    }

    fn user_id(&self, name: &str) -> Option<u32> {
        id_of(USERS, name)
    }

    fn user_name(&self, uid: u32) -> Option<String> {
        name_of(USERS, uid)
    }

    fn group_id(&self, name: &str) -> Option<u32> {
        id_of(GROUPS, name)
    }

    fn group_name(&self, gid: u32) -> Option<String> {
        name_of(GROUPS, gid)
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
        self.names[server_ordinal as usize].clone()
    }

    fn socket_path_limit(&self) -> usize {
        107
    }
}
