//! Writes the reference pages of all directives to the folder given as argument.

use std::path::PathBuf;

fn main() -> std::io::Result<()> {
    let folder = PathBuf::from(
        std::env::args_os()
            .nth(1)
            .expect("the folder to write to, e.g. docs/directives"),
    );
    std::fs::create_dir_all(&folder)?;
    for (name, text) in wsgi_core::config::reference::pages() {
        std::fs::write(folder.join(name), text)?;
    }
    Ok(())
}
