//! One connection to a server.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use nix::sys::socket::{setsockopt, sockopt};

use super::answer::{Answer, Framing};
use super::request::Request;
use crate::wait::PATIENCE;

/// Why no answer could be read. What came of a body that was cut short is in an [`Answer`] with `whole: false` instead.
#[derive(Debug)]
pub enum ReadFailure {
    /// The connection ended before the first byte of an answer.
    Closed,
    /// The connection broke (reset) before a complete head.
    Broken(io::Error),
    /// Nothing came for as long as the client waits.
    Silent,
    /// What came is no HTTP.
    Malformed(String),
}

/// A connection whose bytes are under full control.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    /// Read and not used yet.
    pending: Vec<u8>,
}

impl Connection {
    /// Connects; reads and writes give up after [`PATIENCE`].
    ///
    /// # Errors
    /// As `connect` has them.
    pub fn open(address: SocketAddr) -> io::Result<Connection> {
        let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Connection {
            stream,
            pending: Vec::new(),
        })
    }

    /// How long reads wait before they fail with [`ReadFailure::Silent`].
    ///
    /// # Panics
    /// If the socket refuses it.
    pub fn set_patience(&self, bound: Duration) {
        self.stream
            .set_read_timeout(Some(bound))
            .expect("a timeout above zero is accepted");
    }

    /// The local port, which is the client port that the server logs.
    ///
    /// # Panics
    /// If the socket has no address any more.
    pub fn local_port(&self) -> u16 {
        self.stream
            .local_addr()
            .expect("a connected socket has an address")
            .port()
    }

    /// Sends bytes as they are.
    ///
    /// # Errors
    /// As `write` has them.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// Sends bytes as they are, which the server is expected to take.
    ///
    /// # Panics
    /// If they cannot be sent.
    #[track_caller]
    pub fn send_bytes(&mut self, bytes: impl AsRef<[u8]>) {
        self.write(bytes.as_ref())
            .expect("the server takes the bytes");
    }

    /// Sends a request and reads its answer.
    ///
    /// # Panics
    /// If there is no answer.
    #[track_caller]
    pub fn send(&mut self, request: &Request) -> Answer {
        // The server may answer and close before it has all of the body; the answer counts, not the failed write.
        let sent = self.write(&request.bytes());
        match self.read_answer(request.method()) {
            Ok(answer) => answer,
            Err(failure) => panic!("no answer: {failure:?} (sent: {sent:?})"),
        }
    }

    /// Reads the answer to a request with this method, after interim answers.
    ///
    /// # Errors
    /// If there is none.
    pub fn read_answer(&mut self, method: &str) -> Result<Answer, ReadFailure> {
        let mut interim = Vec::new();
        loop {
            let mut answer = self.read_head()?;
            if answer.status == 100 || answer.status == 102 || answer.status == 103 {
                interim.push(answer.status);
                continue;
            }
            answer.interim = interim;
            let bodiless =
                method == "HEAD" || answer.status < 200 || matches!(answer.status, 204 | 304);
            answer.framing = if bodiless {
                Framing::Empty
            } else {
                framing(&answer)?
            };
            self.read_body(&mut answer);
            return Ok(answer);
        }
    }

    /// The answer to a `GET` that was sent before.
    ///
    /// # Panics
    /// If there is none.
    #[track_caller]
    pub fn answer(&mut self) -> Answer {
        self.read_answer("GET").expect("an answer")
    }

    /// Reads one head (status line and headers), also an interim one; the body is left unread.
    ///
    /// # Errors
    /// If there is none.
    pub fn read_head(&mut self) -> Result<Answer, ReadFailure> {
        let end = loop {
            if let Some(end) = find(&self.pending, b"\r\n\r\n") {
                break end;
            }
            match self.fill() {
                Ok(0) if self.pending.is_empty() => return Err(ReadFailure::Closed),
                Ok(0) => {
                    return Err(ReadFailure::Malformed(format!(
                        "head cut short: {}",
                        self.shown()
                    )));
                }
                Ok(_) => {}
                Err(error) if is_timeout(&error) => return Err(ReadFailure::Silent),
                Err(error) => return Err(ReadFailure::Broken(error)),
            }
        };
        let head: Vec<u8> = self.pending.drain(..end + 4).collect();
        parse_head(&latin1(&head[..end]))
    }

    /// Whether nothing was read that no answer has used.
    pub fn is_untouched(&self) -> bool {
        self.pending.is_empty()
    }

    /// Reads `count` bytes of whatever comes; fewer if the connection ends before.
    pub fn read_bytes(&mut self, count: usize) -> Vec<u8> {
        while self.pending.len() < count && matches!(self.fill(), Ok(read) if read > 0) {}
        let count = count.min(self.pending.len());
        self.pending.drain(..count).collect()
    }

    /// Gives back bytes that were read, so that an answer can be read from its beginning.
    #[must_use]
    pub fn with_pending(mut self, mut bytes: Vec<u8>) -> Connection {
        bytes.append(&mut self.pending);
        self.pending = bytes;
        self
    }

    /// Reads until the connection ends; `Err` if it does not end in time or breaks.
    ///
    /// # Errors
    /// As `read` has them.
    pub fn read_to_end(&mut self) -> io::Result<Vec<u8>> {
        while self.fill()? > 0 {}
        Ok(std::mem::take(&mut self.pending))
    }

    /// Whether the server closes the connection (orderly or not) without sending more, waiting at most `bound` for it.
    pub fn closes_within(&mut self, bound: Duration) -> bool {
        if !self.pending.is_empty() {
            return false;
        }
        self.set_patience(bound);
        let outcome = self.fill();
        self.set_patience(PATIENCE);
        match outcome {
            Ok(read) => read == 0,
            Err(error) => !is_timeout(&error),
        }
    }

    /// A second handle of the same connection, so that one thread can send while another reads.
    ///
    /// # Panics
    /// If there are no descriptors left.
    #[must_use]
    pub fn split(&self) -> Connection {
        let stream = self.stream.try_clone().expect("a descriptor can be copied");
        Connection {
            stream,
            pending: Vec::new(),
        }
    }

    /// Closes the sending direction.
    pub fn finish_sending(&mut self) {
        // A connection that the server has closed cannot be shut down any more, which is no failure here.
        let _ = self.stream.shutdown(Shutdown::Write);
    }

    /// Drops the connection with a reset, as a client that vanished.
    pub fn abort(self) {
        let now = libc::linger {
            l_onoff: 1,
            l_linger: 0,
        };
        setsockopt(&self.stream, sockopt::Linger, &now)
            .expect("the linger time of a socket can be set");
    }

    fn read_body(&mut self, answer: &mut Answer) {
        match answer.framing {
            Framing::Empty => answer.whole = true,
            Framing::Length(length) => {
                let length = usize::try_from(length).unwrap_or(usize::MAX);
                answer.body = self.read_bytes(length);
                answer.whole = answer.body.len() == length;
            }
            Framing::Close => {
                answer.whole = loop {
                    match self.fill() {
                        Ok(0) => break true,
                        Ok(_) => {}
                        Err(_) => break false,
                    }
                };
                answer.body = std::mem::take(&mut self.pending);
            }
            Framing::Chunked => answer.whole = self.read_chunks(answer),
        }
    }

    /// Whether the last chunk came.
    fn read_chunks(&mut self, answer: &mut Answer) -> bool {
        loop {
            let Some(line) = self.read_line() else {
                return false;
            };
            let size = line.split(';').next().unwrap_or_default().trim();
            let Ok(size) = usize::from_str_radix(size, 16) else {
                return false;
            };
            if size == 0 {
                // Trailers, up to the empty line.
                return loop {
                    match self.read_line() {
                        Some(line) if line.is_empty() => break true,
                        Some(_) => {}
                        None => break false,
                    }
                };
            }
            let block = self.read_bytes(size);
            let complete = block.len() == size;
            answer.chunks.push(block.len());
            answer.body.extend(block);
            if !complete || self.read_bytes(2) != b"\r\n" {
                return false;
            }
        }
    }

    fn read_line(&mut self) -> Option<String> {
        loop {
            if let Some(end) = find(&self.pending, b"\r\n") {
                let line: Vec<u8> = self.pending.drain(..end + 2).collect();
                return Some(latin1(&line[..end]));
            }
            match self.fill() {
                Ok(read) if read > 0 => {}
                _ => return None,
            }
        }
    }

    fn fill(&mut self) -> io::Result<usize> {
        let mut block = [0; 65536];
        loop {
            match self.stream.read(&mut block) {
                Ok(read) => {
                    self.pending.extend_from_slice(&block[..read]);
                    return Ok(read);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn shown(&self) -> String {
        latin1(&self.pending[..self.pending.len().min(200)])
    }
}

fn framing(answer: &Answer) -> Result<Framing, ReadFailure> {
    if answer
        .header("Transfer-Encoding")
        .is_some_and(|value| value.eq_ignore_ascii_case("chunked"))
    {
        return Ok(Framing::Chunked);
    }
    match answer.header("Content-Length") {
        Some(length) => match length.parse() {
            Ok(length) => Ok(Framing::Length(length)),
            Err(_) => Err(ReadFailure::Malformed(format!("Content-Length: {length}"))),
        },
        None => Ok(Framing::Close),
    }
}

fn parse_head(head: &str) -> Result<Answer, ReadFailure> {
    let malformed = || ReadFailure::Malformed(head.chars().take(300).collect());
    let mut lines = head.split("\r\n");
    let line = lines.next().ok_or_else(malformed)?;
    let mut words = line.splitn(3, ' ');
    let version = words
        .next()
        .filter(|word| word.starts_with("HTTP/"))
        .ok_or_else(malformed)?;
    let status = words
        .next()
        .and_then(|code| code.parse().ok())
        .ok_or_else(malformed)?;
    let reason = words.next().unwrap_or_default();
    let mut headers = Vec::new();
    for line in lines {
        let (name, value) = line.split_once(':').ok_or_else(malformed)?;
        headers.push((name.to_owned(), value.trim().to_owned()));
    }
    Ok(Answer {
        version: version.to_owned(),
        status,
        reason: reason.to_owned(),
        headers,
        body: Vec::new(),
        framing: Framing::Empty,
        whole: false,
        interim: Vec::new(),
        chunks: Vec::new(),
    })
}

fn latin1(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| char::from(*byte)).collect()
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack
        .windows(needle.len())
        .position(|window| window == needle)
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;
    use std::thread;

    fn answer_to(method: &'static str, bytes: &'static [u8]) -> Result<Answer, ReadFailure> {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let server = thread::spawn(move || listener.accept().unwrap().0.write_all(bytes).unwrap());
        let answer = Connection::open(address).unwrap().read_answer(method);
        server.join().unwrap();
        answer
    }

    #[test]
    fn whole_and_cut_short_are_told_apart() {
        for (bytes, whole) in [
            (
                &b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc"[..],
                true,
            ),
            (b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nabc", false),
            (
                b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
                true,
            ),
            (
                b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
                false,
            ),
            (
                b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nabc",
                false,
            ),
            (b"HTTP/1.0 200 OK\r\n\r\nabc", true),
        ] {
            let answer = answer_to("GET", bytes).unwrap();
            assert_eq!(answer.text(), "abc");
            assert_eq!(answer.whole, whole, "{}", answer.shown());
        }
    }

    #[test]
    fn interim_answers_are_kept_apart() {
        let answer = answer_to(
            "POST",
            b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n",
        )
        .unwrap();
        assert_eq!((answer.status, answer.interim), (204, vec![100]));
    }

    #[test]
    fn no_answer_and_no_http_are_failures() {
        assert!(matches!(answer_to("GET", b""), Err(ReadFailure::Closed)));
        assert!(matches!(
            answer_to("GET", b"SSH-2.0\r\n\r\n"),
            Err(ReadFailure::Malformed(_))
        ));
    }
}
