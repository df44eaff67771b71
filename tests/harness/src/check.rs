//! `httpd -t`: does httpd accept a configuration?

use std::process::Stdio;

use crate::httpd::Httpd;
use crate::site::Site;

/// What httpd said to a configuration.
#[derive(Clone, Debug)]
pub struct ConfigCheck {
    /// Whether it accepted it.
    pub accepted: bool,
    /// What it printed.
    pub output: String,
}

impl ConfigCheck {
    pub(crate) fn run(site: &Site, arguments: &[&str]) -> ConfigCheck {
        let configuration = site.write_configuration();
        let marker = ("WSGI_LIVE_TEST".to_owned(), "check".to_owned());
        let output = Httpd::installed()
            .command(&configuration, &marker)
            .arg("-t")
            .args(arguments)
            .stdin(Stdio::null())
            .output()
            .expect("httpd -t runs");
        ConfigCheck {
            accepted: output.status.success(),
            output: String::from_utf8_lossy(&output.stderr).into_owned()
                + &String::from_utf8_lossy(&output.stdout),
        }
    }
}
