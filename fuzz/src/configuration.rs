//! A configuration that is read line by line, as httpd hands the lines over: a main server and a virtual host, and sections of
//! both. Lines that are refused change nothing that is looked at: httpd would not start.

use wsgi_core::config::{
    Arity, ConfigError, Context, DIRECTIVES, Global, Layer, Origin, Place, Section, ServerConfig,
    apply, close_block, words,
};

use crate::machine::Machine;

/// What was read so far.
#[derive(Debug, Default)]
pub struct Reading {
    /// Settings of the whole server.
    pub global: Global,
    /// The main server and a virtual host.
    pub servers: [ServerConfig; 2],
    /// The server that the next lines stand in.
    server: usize,
    /// Its section that they stand in.
    section: Option<Section>,
    line: u32,
}

impl Reading {
    /// Reads lines until one is refused; `[host]` begins the virtual host, `[/URL]` a section of it, `[]` ends the section.
    ///
    /// # Errors
    /// What is wrong with a line, with the name of its directive.
    pub fn read(&mut self, text: &str) -> Result<(), (&'static str, ConfigError)> {
        for line in text.lines() {
            self.line += 1;
            match line
                .strip_prefix('[')
                .and_then(|line| line.strip_suffix(']'))
            {
                Some(place) => self.enter(place),
                None => self.directive(line)?,
            }
        }
        self.enter("");
        Ok(())
    }

    fn enter(&mut self, place: &str) {
        if let Some(section) = self.section.take() {
            self.global.origins.note_section(section);
        }
        match place {
            "" => {}
            "host" => self.server = 1,
            url => {
                self.section = Some(Section {
                    server_ordinal: self.ordinal(),
                    kind: "Location".to_owned(),
                    argument: url.to_owned(),
                    within: Vec::new(),
                    origin: self.origin(),
                    layer: Layer::default(),
                });
            }
        }
    }

    fn ordinal(&self) -> u32 {
        u32::from(self.server == 1)
    }

    fn origin(&self) -> Origin {
        Origin {
            file: "/etc/httpd.conf".to_owned(),
            line: self.line,
        }
    }

    fn directive(&mut self, line: &str) -> Result<(), (&'static str, ConfigError)> {
        let line = line.trim_ascii();
        if line.starts_with("</") {
            close_block(&mut self.global);
            return Ok(());
        }
        let (name, mut rest) = line.split_once(' ').unwrap_or((line, ""));
        // What httpd does not know, and what it does not allow here, does not get to us.
        let Some(row) = DIRECTIVES.iter().find(|row| row.name == name) else {
            return Ok(());
        };
        let allowed = match row.context {
            Context::S => self.server == 0 && self.section.is_none(),
            Context::SV => self.section.is_none(),
            Context::SVD | Context::SVDH => true,
            Context::DH => self.section.is_some(),
        };
        let word;
        if row.arity == Arity::One {
            word = words::next(&mut rest).unwrap_or_default();
            if word.is_empty() || !rest.trim_ascii().is_empty() {
                return Ok(());
            }
            rest = &word;
        }
        if !allowed {
            return Ok(());
        }
        let aliases = self.servers[self.server].aliases.len();
        let (origin, server_ordinal) = (self.origin(), self.ordinal());
        let mut place = Place {
            global: &mut self.global,
            server: &mut self.servers[self.server],
            directory: self.section.as_mut().map(|section| &mut section.layer),
            host: &Machine,
            server_ordinal,
            server_name: (self.server == 0).then_some("www.example.com"),
            file: &origin.file,
            line: origin.line,
        };
        apply(row, rest, &mut place).map_err(|error| (row.name, error))?;
        let origins = &mut self.global.origins;
        if self.servers[self.server].aliases.len() > aliases {
            origins.aliases.push((server_ordinal, origin.clone()));
        }
        origins
            .groups
            .resize(self.global.daemon_groups.len(), origin.clone());
        origins
            .imports
            .resize(self.global.import_scripts.len(), origin);
        Ok(())
    }
}
