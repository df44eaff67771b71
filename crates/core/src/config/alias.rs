//! What belongs to one server or virtual host: its layer and its script aliases.

use super::Layer;

/// WSGIScriptAlias or WSGIScriptAliasMatch. `%{GLOBAL}` is empty already (XPN-28).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Alias {
    /// URL path, or regular expression.
    pub url: String,
    /// Whether `url` is a regular expression.
    pub is_match: bool,
    /// File, with `$0` to `$9` in the match form.
    pub target: String,
    /// `process-group=`.
    pub process_group: Option<String>,
    /// `application-group=`.
    pub application_group: Option<String>,
    /// `callable-object=`.
    pub callable_object: Option<String>,
    /// `pass-authorization=`.
    pub pass_authorization: Option<bool>,
}

/// Settings of one server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServerConfig {
    /// Settings that merge.
    pub layer: Layer,
    /// Script aliases in file order; the first match wins (DIR-008).
    pub aliases: Vec<Alias>,
}

impl ServerConfig {
    /// A virtual host on top of the main server: its own aliases first (MRG-06).
    pub fn merge(main: &ServerConfig, host: &ServerConfig) -> ServerConfig {
        ServerConfig {
            layer: Layer::merge(&main.layer, &host.layer),
            aliases: host.aliases.iter().chain(&main.aliases).cloned().collect(),
        }
    }
}
