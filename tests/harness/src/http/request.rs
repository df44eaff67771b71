//! What is sent.

/// A request, built up and turned into bytes once.
#[derive(Clone, Debug)]
pub struct Request {
    method: String,
    target: String,
    version: &'static str,
    host: Option<String>,
    headers: Vec<(String, Vec<u8>)>,
    body: Body,
}

#[derive(Clone, Debug)]
enum Body {
    None,
    Sized(Vec<u8>),
    Chunked(Vec<Vec<u8>>),
}

impl Request {
    /// A request with any method; `Host: localhost` unless [`Request::host`] says otherwise.
    pub fn new(method: &str, target: &str) -> Request {
        Request {
            method: method.to_owned(),
            target: target.to_owned(),
            version: "HTTP/1.1",
            host: Some("localhost".to_owned()),
            headers: Vec::new(),
            body: Body::None,
        }
    }

    /// `GET`
    pub fn get(target: &str) -> Request {
        Request::new("GET", target)
    }

    /// `HEAD`
    pub fn head(target: &str) -> Request {
        Request::new("HEAD", target)
    }

    /// `POST` with a body of this length.
    pub fn post(target: &str, body: impl Into<Vec<u8>>) -> Request {
        Request::new("POST", target).body(body)
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Request {
        self.headers
            .push((name.to_owned(), value.as_ref().to_vec()));
        self
    }

    /// The `Host` header.
    #[must_use]
    pub fn host(mut self, host: &str) -> Request {
        self.host = Some(host.to_owned());
        self
    }

    /// HTTP/1.0, without `Host`.
    #[must_use]
    pub fn http10(mut self) -> Request {
        self.version = "HTTP/1.0";
        self.host = None;
        self
    }

    /// `Connection: close`
    #[must_use]
    pub fn close(self) -> Request {
        self.header("Connection", "close")
    }

    /// A body with `Content-Length`.
    #[must_use]
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Request {
        self.body = Body::Sized(body.into());
        self
    }

    /// A body in these chunks.
    #[must_use]
    pub fn chunked<C: Into<Vec<u8>>>(mut self, chunks: impl IntoIterator<Item = C>) -> Request {
        self.body = Body::Chunked(chunks.into_iter().map(Into::into).collect());
        self
    }

    /// Its method.
    pub fn method(&self) -> &str {
        &self.method
    }

    /// Request line and headers with the empty line, without the body.
    pub fn head_bytes(&self) -> Vec<u8> {
        let mut bytes =
            format!("{} {} {}\r\n", self.method, self.target, self.version).into_bytes();
        let mut add = |name: &str, value: &[u8]| {
            bytes.extend_from_slice(name.as_bytes());
            bytes.extend_from_slice(b": ");
            bytes.extend_from_slice(value);
            bytes.extend_from_slice(b"\r\n");
        };
        if let Some(host) = &self.host {
            add("Host", host.as_bytes());
        }
        for (name, value) in &self.headers {
            add(name, value);
        }
        match &self.body {
            Body::None => {}
            Body::Sized(body) => add("Content-Length", body.len().to_string().as_bytes()),
            Body::Chunked(_) => add("Transfer-Encoding", b"chunked"),
        }
        bytes.extend_from_slice(b"\r\n");
        bytes
    }

    /// The body as it travels.
    pub fn body_bytes(&self) -> Vec<u8> {
        match &self.body {
            Body::None => Vec::new(),
            Body::Sized(body) => body.clone(),
            Body::Chunked(chunks) => {
                let mut bytes = Vec::new();
                for chunk in chunks.iter().filter(|chunk| !chunk.is_empty()) {
                    bytes.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
                    bytes.extend_from_slice(chunk);
                    bytes.extend_from_slice(b"\r\n");
                }
                bytes.extend_from_slice(b"0\r\n\r\n");
                bytes
            }
        }
    }

    /// All of it.
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = self.head_bytes();
        bytes.extend(self.body_bytes());
        bytes
    }
}
