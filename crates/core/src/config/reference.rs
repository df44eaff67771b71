//! The reference pages in `docs/directives`, made from the tables.

use super::directive::{Context, Override};
use super::{DAEMON_OPTIONS, DIRECTIVES, Directive, Effect};

/// File name of a directive's page.
pub fn file_name(directive: &Directive) -> String {
    format!("{}.md", directive.name.trim_start_matches('<'))
}

/// All pages: file name and text.
pub fn pages() -> Vec<(String, String)> {
    let mut pages: Vec<_> = DIRECTIVES
        .iter()
        .map(|row| (file_name(row), page(row)))
        .collect();
    pages.push(("README.md".to_owned(), index()));
    pages.push(("daemon-options.md".to_owned(), daemon_options()));
    pages
}

/// Page of one directive.
pub fn page(directive: &Directive) -> String {
    let name = directive.name.trim_start_matches('<');
    let mut text = format!("# {name}\n\n{}\n\n| | |\n|---|---|\n", directive.doc);
    let mut line = |title: &str, value: &str| text.push_str(&format!("| {title} | {value} |\n"));
    line(
        "Syntax",
        &format!(
            "`{} {}`",
            directive.name,
            directive.syntax.replace('|', "\\|")
        ),
    );
    line("Default", directive.default);
    let mut places = context(directive.context).to_owned();
    if directive.in_interpreter_options {
        places.push_str(", `<WSGIInterpreterOptions>`");
    }
    line("Context", &places);
    if directive.over != Override::None {
        line(
            "Override",
            if directive.over == Override::FileInfo {
                "FileInfo"
            } else {
                "AuthConfig"
            },
        );
    }
    line("Since mod_wsgi", directive.since);
    if directive.effect == Effect::Never {
        line("Effect", "none, see above");
    }
    if !directive.example.starts_with('#') {
        text.push_str(&format!("\n```apache\n{}\n```\n", directive.example));
    }
    text
}

fn context(context: Context) -> &'static str {
    match context {
        Context::S => "server config",
        Context::SV => "server config, virtual host",
        Context::SVD => "server config, virtual host, directory",
        Context::SVDH => "server config, virtual host, directory, .htaccess",
        Context::DH => "directory, .htaccess",
    }
}

/// List of all directives.
pub fn index() -> String {
    let mut text = "# Directives\n\nOptions of WSGIDaemonProcess: [daemon-options.md](daemon-options.md).\n\n| directive | context | default |\n|---|---|---|\n".to_owned();
    for row in DIRECTIVES {
        let name = row.name.trim_start_matches('<');
        let context = context(row.context);
        text.push_str(&format!(
            "| [{name}]({}) | {context} | {} |\n",
            file_name(row),
            row.default
        ));
    }
    text
}

/// Page of the options of WSGIDaemonProcess.
pub fn daemon_options() -> String {
    let mut text = "# Options of WSGIDaemonProcess\n\nWritten as `name=value`, without blanks before `=`. The last one of a name counts.\n\n| option | value | default | |\n|---|---|---|---|\n".to_owned();
    for row in DAEMON_OPTIONS {
        text.push_str(&format!(
            "| `{}` | {} | {} | {} |\n",
            row.name, row.kind, row.default, row.doc
        ));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_in_docs_are_those_of_the_tables() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/directives");
        for (name, text) in pages() {
            let found = std::fs::read_to_string(format!("{folder}/{name}")).unwrap_or_default();
            assert_eq!(
                found, text,
                "{name}: run `cargo run -p wsgi-core --example directive-pages docs/directives`"
            );
        }
        let files = std::fs::read_dir(folder).unwrap().count();
        assert_eq!(
            files,
            pages().len(),
            "a page in docs/directives belongs to no row"
        );
    }
}
