//! Where things are written, for reports: the settings themselves do not need to know.

use std::fmt;

use super::Layer;

/// A place in a configuration file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    /// File; empty where httpd does not know.
    pub file: String,
    /// Line in it.
    pub line: u32,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.file.is_empty() {
            f.write_str("unknown place")
        } else {
            write!(f, "{}:{}", self.file, self.line)
        }
    }
}

/// A directory-type section in which directives of ours stand, with what they say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Section {
    /// Ordinal of the server that it is written in.
    pub server_ordinal: u32,
    /// Its name without `<`: `Directory`, `LocationMatch`, `If` …
    pub kind: String,
    /// Its argument as written.
    pub argument: String,
    /// Kinds and arguments of the sections around it, such as the `Directory` of a `Files`; the innermost first.
    pub within: Vec<(String, String)>,
    /// Where it begins.
    pub origin: Origin,
    /// What our directives in it say.
    pub layer: Layer,
}

/// The places of a configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origins {
    /// Of the aliases, with the ordinal of the server each is written in, in file order.
    pub aliases: Vec<(u32, Origin)>,
    /// Of the daemon groups, in their order.
    pub groups: Vec<Origin>,
    /// Of the scripts to load, in their order.
    pub imports: Vec<Origin>,
    /// Sections, in the order in which httpd processed them.
    pub sections: Vec<Section>,
}

impl Origins {
    /// Notes what a section says now; once more for each directive in it.
    pub fn note_section(&mut self, section: Section) {
        let same = |known: &&mut Section| {
            known.server_ordinal == section.server_ordinal
                && known.origin == section.origin
                && known.argument == section.argument
        };
        match self.sections.iter_mut().find(same) {
            Some(known) => known.layer = section.layer,
            None => self.sections.push(section),
        }
    }

    /// Replaces the numbers of servers, once their final order is known.
    pub fn settle(&mut self, ordinal: impl Fn(u32) -> u32) {
        for (server, _) in &mut self.aliases {
            *server = ordinal(*server);
        }
        for section in &mut self.sections {
            section.server_ordinal = ordinal(section.server_ordinal);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_section_is_noted_once() {
        let mut origins = Origins::default();
        let mut section = Section {
            kind: "Location".into(),
            argument: "/app".into(),
            origin: Origin {
                file: "/etc/a.conf".into(),
                line: 7,
            },
            ..Section::default()
        };
        origins.note_section(section.clone());
        section.layer.process_group = Some("blue".into());
        origins.note_section(section.clone());
        assert_eq!(origins.sections, [section.clone()]);
        section.origin.line = 9;
        origins.note_section(section);
        assert_eq!(origins.sections.len(), 2);
        origins.settle(|number| number + 3);
        assert_eq!(origins.sections[1].server_ordinal, 3);
        assert_eq!(origins.sections[1].origin.to_string(), "/etc/a.conf:9");
        assert_eq!(Origin::default().to_string(), "unknown place");
    }
}
