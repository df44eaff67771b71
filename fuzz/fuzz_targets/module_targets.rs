//! `module:NAME:CALLABLE`: what is accepted is made of names, and is what was written.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wsgi_core::config::{Callable, ModuleTarget};

fuzz_target!(|target: &str| {
    let found = ModuleTarget::parse(target);
    assert_eq!(found.is_some(), target.starts_with("module:"));
    if let Some(Ok(module)) = found {
        let callable = module.callable().map(|text| format!(":{text}"));
        assert_eq!(
            format!("{}{}", module.script(), callable.unwrap_or_default()),
            target
        );
        assert_eq!(module.script(), format!("module:{}", module.name()));
        assert!(is_names(module.name()));
        if let Some(text) = module.callable() {
            let callable = Callable::parse(text).expect("a module target has nothing else");
            let end = if callable.is_factory { "()" } else { "" };
            assert_eq!(format!("{}{end}", callable.path), text);
        }
    }
    if let Some(callable) = Callable::parse(target) {
        assert!(is_names(callable.path));
    }
});

/// Nothing that a path, an expression or another statement could be made of.
fn is_names(text: &str) -> bool {
    text.split('.').all(|name| {
        let first = name.chars().next();
        first.is_some_and(|first| !first.is_numeric())
            && name
                .chars()
                .all(|character| character == '_' || character.is_alphanumeric())
    })
}
