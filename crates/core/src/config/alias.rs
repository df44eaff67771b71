//! What belongs to one server or virtual host: its layer and its script aliases, whose targets are files or modules.

use super::Layer;

/// WSGIScriptAlias or WSGIScriptAliasMatch. `%{GLOBAL}` is empty already (XPN-28).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Alias {
    /// URL path, or regular expression.
    pub url: String,
    /// Whether `url` is a regular expression.
    pub is_match: bool,
    /// As it is written: a file, with `$0` to `$9` in the match form, or a module.
    pub target: String,
    /// The module that `target` means; None for a file.
    pub module: Option<ModuleTarget>,
    /// `process-group=`.
    pub process_group: Option<String>,
    /// `application-group=`.
    pub application_group: Option<String>,
    /// `callable-object=`.
    pub callable_object: Option<String>,
    /// `pass-authorization=`.
    pub pass_authorization: Option<bool>,
}

impl Alias {
    /// The callable that the alias itself names: in a module target, or as `callable-object=`.
    pub fn callable(&self) -> Option<&str> {
        let of_module = self.module.as_ref().and_then(ModuleTarget::callable);
        of_module.or(self.callable_object.as_deref())
    }
}

/// What makes a target a module.
const MODULE: &str = "module:";

/// The target `module:NAME` or `module:NAME:CALLABLE`: an application that Python imports. Says the administrator alone:
/// nothing of a request gets into it.
///
/// ```
/// use wsgi_core::config::ModuleTarget;
/// let target = ModuleTarget::parse("module:site.wsgi:create_app()").unwrap().unwrap();
/// assert_eq!((target.name(), target.callable()), ("site.wsgi", Some("create_app()")));
/// assert!(ModuleTarget::parse("/srv/site.wsgi").is_none());
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModuleTarget {
    /// `module:NAME`, which takes the place of a file name.
    script: String,
    callable: Option<String>,
}

/// A target that begins like a module and is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "module:PACKAGE.MODULE, module:PACKAGE.MODULE:OBJECT.ATTRIBUTE or module:PACKAGE.MODULE:FUNCTION(), of Python names; \
     nothing is substituted in it"
)]
pub struct NotAModule;

impl ModuleTarget {
    /// The module that a target means; None if it is a file.
    ///
    /// # Errors
    /// It begins with `module:`, but what follows is no module.
    pub fn parse(target: &str) -> Option<Result<ModuleTarget, NotAModule>> {
        let text = target.strip_prefix(MODULE)?;
        let (name, callable) = match text.split_once(':') {
            Some((name, callable)) => (name, Some(callable)),
            None => (text, None),
        };
        let is_module =
            is_dotted_name(name) && callable.is_none_or(|text| Callable::parse(text).is_some());
        let target = || ModuleTarget {
            script: format!("{MODULE}{name}"),
            callable: callable.map(str::to_owned),
        };
        Some(is_module.then(target).ok_or(NotAModule))
    }

    /// `module:NAME`: where a file name would stand.
    pub fn script(&self) -> &str {
        &self.script
    }

    /// Name for `import`.
    pub fn name(&self) -> &str {
        &self.script[MODULE.len()..]
    }

    /// What follows the name; None if the configuration says it elsewhere.
    pub fn callable(&self) -> Option<&str> {
        self.callable.as_deref()
    }
}

/// Where a module keeps its application: `OBJECT.ATTRIBUTE`, or `FUNCTION()` that makes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Callable<'t> {
    /// Attributes, one after the other, separated by dots.
    pub path: &'t str,
    /// Whether it is called, without arguments, to get the application.
    pub is_factory: bool,
}

impl<'t> Callable<'t> {
    /// None if the text is none.
    pub fn parse(text: &'t str) -> Option<Callable<'t>> {
        let (path, is_factory) = match text.strip_suffix("()") {
            Some(path) => (path, true),
            None => (text, false),
        };
        is_dotted_name(path).then_some(Callable { path, is_factory })
    }
}

/// Python names joined by dots.
fn is_dotted_name(text: &str) -> bool {
    text.split('.').all(|name| {
        let is_inner = |character: char| character == '_' || character.is_alphanumeric();
        name.chars().all(is_inner) && name.chars().next().is_some_and(|first| !first.is_numeric())
    })
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parts(target: &str) -> Option<(String, Option<String>)> {
        let found = ModuleTarget::parse(target)?.ok()?;
        assert_eq!(found.script(), format!("module:{}", found.name()));
        Some((found.name().to_owned(), found.callable().map(str::to_owned)))
    }

    /// Targets that are modules.
    #[test]
    fn modules() {
        for (target, name, callable) in [
            ("module:site", "site", None),
            ("module:my_site.wsgi", "my_site.wsgi", None),
            (
                "module:site.wsgi:application",
                "site.wsgi",
                Some("application"),
            ),
            ("module:site:api.v1.app", "site", Some("api.v1.app")),
            ("module:site:create_app()", "site", Some("create_app()")),
            (
                "module:site:factories.web()",
                "site",
                Some("factories.web()"),
            ),
            ("module:größe:größe", "größe", Some("größe")),
        ] {
            let expected = (name.to_owned(), callable.map(str::to_owned));
            assert_eq!(parts(target), Some(expected), "{target}");
        }
    }

    /// What begins like a module has to be one, so that a slip of the pen is no file that never exists.
    #[test]
    fn no_modules() {
        for target in [
            "module:",
            "module::app",
            "module:site:",
            "module:site..wsgi",
            "module:.site",
            "module:site.",
            "module:9site",
            "module:my-site",
            "module:site:app:x",
            "module:site:()",
            "module:site:app()()",
            "module:site:app().x",
            "module:site:app(1)",
            "module:site:app[0]",
            "module:site/wsgi",
            "module:sites.$1:app",
            "module:site :app",
            "module:site:__import__('os')",
        ] {
            assert_eq!(
                ModuleTarget::parse(target),
                Some(Err(NotAModule)),
                "{target}"
            );
        }
        for target in [
            "/srv/module:site",
            "Module:site",
            "modules:site",
            "site:app",
            "",
        ] {
            assert_eq!(ModuleTarget::parse(target), None, "{target}");
        }
    }

    /// The alias's own callable comes from the target or from its option.
    #[test]
    fn callable_of_an_alias() {
        let alias = |target: &str, option: Option<&str>| Alias {
            module: ModuleTarget::parse(target).and_then(Result::ok),
            callable_object: option.map(str::to_owned),
            ..Alias::default()
        };
        assert_eq!(alias("module:site:app", None).callable(), Some("app"));
        assert_eq!(
            alias("module:site", Some("other")).callable(),
            Some("other")
        );
        assert_eq!(alias("/srv/site.wsgi", None).callable(), None);
    }

    proptest! {
        /// Whatever is accepted holds names, dots and one pair of parentheses, and is what was written.
        #[test]
        fn accepted_targets_are_names(target in "(module:)?[a-z0-9_.:()$/' -]{0,16}") {
            if let Some(Ok(found)) = ModuleTarget::parse(&target) {
                let callable = found.callable().map(|text| format!(":{text}")).unwrap_or_default();
                prop_assert_eq!(format!("{}{}", found.script(), callable), target);
                prop_assert!(is_dotted_name(found.name()));
                let names = found.callable().map(|text| text.trim_end_matches("()"));
                prop_assert!(names.is_none_or(is_dotted_name));
            }
        }

        /// Any text is borne, and only the prefix makes a module.
        #[test]
        fn any_text_is_borne(target in ".{0,24}") {
            prop_assert_eq!(ModuleTarget::parse(&target).is_some(), target.starts_with("module:"));
        }
    }
}
