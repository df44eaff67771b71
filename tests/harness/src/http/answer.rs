//! What came back.

use std::fmt::Write as _;

/// How the end of a body is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// There is none by the rules of HTTP (HEAD, 1xx, 204, 304).
    Empty,
    /// `Content-Length`
    Length(u64),
    /// `Transfer-Encoding: chunked`
    Chunked,
    /// Until the connection is closed.
    Close,
}

/// An answer, whole or cut short.
#[derive(Clone, Debug)]
pub struct Answer {
    /// `HTTP/1.1`
    pub version: String,
    /// Status code.
    pub status: u16,
    /// Reason phrase.
    pub reason: String,
    /// Headers in the order in which they came; values as latin-1 text.
    pub headers: Vec<(String, String)>,
    /// The body as far as it came.
    pub body: Vec<u8>,
    /// How its end is known.
    pub framing: Framing,
    /// Whether all of it came: the length, the last chunk, or an orderly close.
    pub whole: bool,
    /// Codes of the interim answers (100) that came before it.
    pub interim: Vec<u16>,
    /// The blocks of the body as the chunks had them; empty without chunks.
    pub chunks: Vec<usize>,
}

impl Answer {
    /// The first header of this name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    /// All headers of this name.
    pub fn all(&self, name: &str) -> Vec<&str> {
        let named = self
            .headers
            .iter()
            .filter(|(key, _)| key.eq_ignore_ascii_case(name));
        named.map(|(_, value)| value.as_str()).collect()
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The line of a body of `key<tab>value` lines.
    pub fn line(&self, key: &str) -> Option<String> {
        self.text().lines().find_map(|line| {
            let (name, value) = line.split_once('\t')?;
            (name == key).then(|| value.to_owned())
        })
    }

    /// The line of this key as [`Answer::line`] finds it.
    ///
    /// # Panics
    /// If there is none.
    #[track_caller]
    pub fn fact(&self, key: &str) -> String {
        self.line(key)
            .unwrap_or_else(|| panic!("no {key}: {}", self.text()))
    }

    /// As [`Answer::fact`], of a text that the script wrote with `repr`: without its quotes.
    ///
    /// # Panics
    /// If there is no such line.
    #[track_caller]
    pub fn unquoted(&self, key: &str) -> String {
        self.fact(key).trim_matches('\'').to_owned()
    }

    /// As [`Answer::fact`], of a number such as a process id.
    ///
    /// # Panics
    /// If there is no such line, or it is no number.
    #[track_caller]
    pub fn number(&self, key: &str) -> i32 {
        let text = self.fact(key);
        text.parse()
            .unwrap_or_else(|error| panic!("{key} is {text:?}: {error}"))
    }

    /// The process id that is the whole body.
    ///
    /// # Panics
    /// If it is none.
    #[track_caller]
    pub fn pid(&self) -> i32 {
        let text = self.text();
        text.parse()
            .unwrap_or_else(|error| panic!("no process id: {text:?}: {error}"))
    }

    /// Whether the connection can be used again, going by the headers.
    pub fn keeps_connection(&self) -> bool {
        let closes = self
            .header("Connection")
            .is_some_and(|value| value.eq_ignore_ascii_case("close"));
        self.whole && !closes && self.framing != Framing::Close && self.version == "HTTP/1.1"
    }

    /// Asserts the status and that the answer is whole, showing the answer otherwise.
    ///
    /// # Panics
    /// If one of them is not so.
    #[track_caller]
    pub fn expect(self, status: u16) -> Answer {
        assert_eq!(self.status, status, "{}", self.shown());
        assert!(self.whole, "cut short: {}", self.shown());
        self
    }

    /// The answer for a failure message.
    pub fn shown(&self) -> String {
        let mut text = format!("{} {} {}\n", self.version, self.status, self.reason);
        for (name, value) in &self.headers {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{name}: {value}");
        }
        let start = &self.body[..self.body.len().min(2000)];
        let _ = write!(text, "\n{}", String::from_utf8_lossy(start));
        let _ = write!(
            text,
            "\n({} bytes, {:?}, whole: {})",
            self.body.len(),
            self.framing,
            self.whole
        );
        text
    }
}
