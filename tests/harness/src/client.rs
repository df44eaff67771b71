//! curl, for HTTP/2 and for what a browser does (cookies, forms, uploads).

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;

use crate::server::Server;

/// A browser of sorts: keeps its cookies from one request to the next.
#[derive(Debug)]
pub struct Curl {
    base: String,
    http2: bool,
    folder: TempDir,
}

/// What curl got.
#[derive(Clone, Debug)]
pub struct CurlAnswer {
    /// Status code of the last answer, 0 if there was none.
    pub status: u16,
    /// `1.1` or `2`
    pub version: String,
    /// Head of the last answer.
    pub head: String,
    /// Where the body is; its content may be large.
    pub body: PathBuf,
    /// curl's exit code: 0, 18 for a cut-short HTTP/1.1 answer, 92 for a reset HTTP/2 stream …
    pub exit: i32,
}

impl CurlAnswer {
    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes()).into_owned()
    }

    /// The body.
    pub fn bytes(&self) -> Vec<u8> {
        fs::read(&self.body).unwrap_or_default()
    }

    /// A header of the last answer.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    /// Asserts the status and that all of the answer came.
    ///
    /// # Panics
    /// If one of them is not so.
    #[track_caller]
    pub fn expect(self, status: u16) -> CurlAnswer {
        let start: String = self.text().chars().take(3000).collect();
        assert_eq!(
            (self.status, self.exit),
            (status, 0),
            "{}\n{start}",
            self.head
        );
        self
    }
}

impl Curl {
    /// HTTP/1.1
    pub fn new(server: &Server) -> Curl {
        Curl {
            base: format!("http://localhost:{}", server.port()),
            http2: false,
            folder: tempfile::tempdir().expect("a folder in /tmp"),
        }
    }

    /// HTTP/1.1 over TLS, to one of the server's ports ([`Server::address_of`]); any certificate will do.
    pub fn https(server: &Server, index: usize) -> Curl {
        Curl {
            base: format!("https://localhost:{}", server.address_of(index).port()),
            ..Curl::new(server)
        }
    }

    /// HTTP/2 without TLS and without asking first.
    pub fn http2(server: &Server) -> Curl {
        Curl {
            http2: true,
            ..Curl::new(server)
        }
    }

    /// `GET`
    #[track_caller]
    pub fn get(&self, path: &str) -> CurlAnswer {
        self.run(path, &[])
    }

    /// A form that is posted, with these fields.
    #[track_caller]
    pub fn post_form(&self, path: &str, fields: &[(&str, &str)]) -> CurlAnswer {
        let mut arguments: Vec<String> = Vec::new();
        for (name, value) in fields {
            arguments.extend(["--data-urlencode".to_owned(), format!("{name}={value}")]);
        }
        let referer = format!("Referer: {}{path}", self.base);
        arguments.extend(["-H".to_owned(), referer]);
        self.run(
            path,
            &arguments.iter().map(String::as_str).collect::<Vec<_>>(),
        )
    }

    /// Any arguments of curl.
    ///
    /// # Panics
    /// If curl cannot be run.
    #[track_caller]
    pub fn run(&self, path: &str, arguments: &[&str]) -> CurlAnswer {
        let (body, head) = (
            self.folder.path().join("body"),
            self.folder.path().join("head"),
        );
        let jar = self.folder.path().join("cookies");
        // A request without body makes no file; the one before must not stand in for it.
        let _ = fs::remove_file(&body);
        let (_, authority) = self.base.split_once("://").expect("a URL");
        let output = Command::new("curl")
            .args([
                "--silent",
                "--show-error",
                "--max-time",
                "120",
                "--noproxy",
                "*",
                "--insecure",
            ])
            .arg(if self.http2 {
                "--http2-prior-knowledge"
            } else {
                "--http1.1"
            })
            .args(["--resolve", &format!("{authority}:127.0.0.1")])
            .arg("--cookie")
            .arg(&jar)
            .arg("--cookie-jar")
            .arg(&jar)
            .arg("--output")
            .arg(&body)
            .arg("--dump-header")
            .arg(&head)
            .args(["--write-out", "%{http_code} %{http_version}"])
            .args(arguments)
            .arg(format!("{}{path}", self.base))
            .output()
            .expect("curl is installed (Debian: apt install curl)");
        let facts = String::from_utf8_lossy(&output.stdout).into_owned();
        let (status, version) = facts.split_once(' ').unwrap_or(("0", ""));
        CurlAnswer {
            status: status.parse().unwrap_or(0),
            version: version.to_owned(),
            head: last_head(&String::from_utf8_lossy(
                &fs::read(&head).unwrap_or_default(),
            )),
            body,
            exit: output.status.code().unwrap_or(-1),
        }
    }

    /// The value of a cookie it has.
    pub fn cookie(&self, name: &str) -> Option<String> {
        let jar = fs::read_to_string(self.folder.path().join("cookies")).ok()?;
        jar.lines().find_map(|line| {
            let fields: Vec<&str> = line.split('\t').collect();
            (fields.get(5) == Some(&name))
                .then(|| fields.get(6).copied().unwrap_or_default().to_owned())
        })
    }
}

/// Behind interim answers and redirects.
fn last_head(heads: &str) -> String {
    let heads = heads.trim_end().replace("\r\n", "\n");
    heads.rsplit("\n\n").next().unwrap_or_default().to_owned()
}
