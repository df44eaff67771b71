//! The request body as it comes from the child: Body frames up to BodyEnd, or a file that has all of it; read by the engine when the
//! application asks, or skipped.

use std::fs::File;
use std::os::fd::BorrowedFd;

use wsgi_core::wire::{FLAG_BROKEN, FileSpan, HEADER_LEN, Header, Kind, WireError};
use wsgi_runtime_api::body::BodyBuffer;
use wsgi_sys::stream::{self, Wait};
use wsgi_sys::temporary;

use crate::inbox::{Inbox, ReceiveError};

/// Why the body ends early.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BodyError {
    /// The client's body broke off; the child says why.
    #[error("{0}")]
    Broken(String),
    /// The child is gone, or does not speak the protocol.
    #[error(transparent)]
    Receive(#[from] ReceiveError),
    /// The file with the body is not what the child said, or cannot be read; the connection goes on.
    #[error("the temporary file with the request body {0}")]
    File(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Between two frames.
    Between,
    /// Within a Body frame; so many bytes are to come.
    Within(usize),
    /// BodyEnd was read.
    Ended,
    /// It cannot be read to its end.
    Broken,
}

/// The body of one request.
pub(crate) struct Body<'i> {
    inbox: &'i mut Inbox,
    state: State,
    /// What is left of the body in a file, before the frames that follow.
    file: Option<(File, FileSpan)>,
}

impl<'i> Body<'i> {
    pub(crate) fn new(inbox: &'i mut Inbox) -> Body<'i> {
        Body {
            inbox,
            state: State::Between,
            file: None,
        }
    }

    /// Reads some bytes; none at the end of the body. `buffer` has room.
    pub(crate) fn read(
        &mut self,
        socket: BorrowedFd<'_>,
        buffer: &mut BodyBuffer<'_>,
    ) -> Result<(), BodyError> {
        let result = self.read_some(socket, buffer);
        if result.is_err() {
            self.state = State::Broken;
        }
        result
    }

    fn read_some(
        &mut self,
        socket: BorrowedFd<'_>,
        buffer: &mut BodyBuffer<'_>,
    ) -> Result<(), BodyError> {
        loop {
            if self.file.is_some() {
                return self.read_file(buffer);
            }
            match self.state {
                State::Ended => return Ok(()),
                State::Broken => {
                    return Err(BodyError::Broken(
                        "the request body was cut off before".into(),
                    ));
                }
                State::Within(0) => self.state = State::Between,
                State::Within(left) if self.inbox.is_empty() => {
                    self.receive_to(socket, buffer, left)?;
                    return Ok(());
                }
                State::Within(left) => {
                    let there = self.inbox.bytes();
                    let count = buffer.put(&there[..there.len().min(left)]);
                    self.inbox.consume(count);
                    self.state = State::Within(left - count);
                    return Ok(());
                }
                State::Between => {
                    let header = self.inbox.header(socket, || {}).map_err(cut_off)?;
                    if header.kind != Kind::Body {
                        self.inbox
                            .whole(socket, header.len, || {})
                            .map_err(cut_off)?;
                    }
                    self.begin(header)?;
                }
            }
        }
    }

    /// Receives to the engine's memory, and the header of the next frame to the inbox.
    fn receive_to(
        &mut self,
        socket: BorrowedFd<'_>,
        buffer: &mut BodyBuffer<'_>,
        left: usize,
    ) -> Result<(), BodyError> {
        // Only if the frame ends within the buffer can a header follow in the same call.
        let mut next = [0; HEADER_LEN];
        let next_room = if left <= buffer.room() { HEADER_LEN } else { 0 };
        let mut behind = 0;
        let count = buffer
            .fill(left, |memory| {
                let (written, more) =
                    stream::receive_split(socket, memory, &mut next[..next_room], Wait::Block)?;
                behind = more;
                Ok(written)
            })
            .map_err(|error: std::io::Error| ReceiveError::from(error))?;
        if count == 0 {
            return Err(ReceiveError::Truncated.into());
        }
        self.inbox.append(&next[..behind]);
        self.state = State::Within(left - count);
        Ok(())
    }

    /// Reads from the file, no more than the frame said, whatever the file has become.
    fn read_file(&mut self, buffer: &mut BodyBuffer<'_>) -> Result<(), BodyError> {
        let Some((file, span)) = &mut self.file else {
            return Ok(());
        };
        let left = usize::try_from(span.len).unwrap_or(usize::MAX);
        let count = buffer
            .fill(left, |memory| temporary::read_at(file, memory, span.offset))
            .map_err(|error| BodyError::File(format!("cannot be read: {error}")))?;
        if count == 0 {
            let missing = span.len;
            return Err(BodyError::File(format!("is {missing} bytes too short")));
        }
        span.offset += count as u64;
        span.len -= count as u64;
        if span.len == 0 {
            self.file = None;
        }
        Ok(())
    }

    /// Takes the file of a BodyFile frame whose payload is there.
    fn begin_file(&mut self, header: Header) -> Result<(), BodyError> {
        let span = FileSpan::decode(self.inbox.payload(header.len)).map_err(ReceiveError::Wire)?;
        self.inbox.consume(HEADER_LEN + header.len);
        let file = self
            .inbox
            .take_descriptor()
            .map(File::from)
            .ok_or_else(|| {
                // The kernel closes what a process has no room for.
                BodyError::File("did not come: has this process no free descriptors?".into())
            })?;
        // Another kind of file could make the reader wait.
        if !file.metadata().is_ok_and(|facts| facts.is_file()) {
            return Err(BodyError::File("is not a regular file".into()));
        }
        self.file = Some((file, span)).filter(|(_, span)| span.len > 0);
        Ok(())
    }

    /// Takes a header: of a Body frame, or of another whose payload is there.
    fn begin(&mut self, header: Header) -> Result<(), BodyError> {
        match header.kind {
            Kind::Body => {
                self.inbox.consume(HEADER_LEN);
                self.state = State::Within(header.len);
                Ok(())
            }
            Kind::BodyFile => self.begin_file(header),
            Kind::BodyEnd => {
                let broken = (header.flags & FLAG_BROKEN != 0)
                    .then(|| String::from_utf8_lossy(self.inbox.payload(header.len)).into_owned());
                self.inbox.consume(HEADER_LEN + header.len);
                self.state = State::Ended;
                match broken {
                    Some(why) => Err(BodyError::Broken(why)),
                    None => Ok(()),
                }
            }
            kind => Err(ReceiveError::Wire(WireError::Unexpected(kind)).into()),
        }
    }

    /// Skips what the application did not read, as far as it has arrived. True if the end was reached: the connection can be
    /// used again. A child that is still sending finds out that it is closed, having its answer.
    pub(crate) fn skip(&mut self, socket: BorrowedFd<'_>) -> bool {
        self.file = None;
        loop {
            let there = self.inbox.bytes().len();
            let needs_more = match self.state {
                State::Ended => return true,
                State::Broken => return false,
                State::Within(left) => {
                    let count = there.min(left);
                    self.inbox.consume(count);
                    self.state = if count == left {
                        State::Between
                    } else {
                        State::Within(left - count)
                    };
                    self.state != State::Between
                }
                State::Between => match Header::decode(self.inbox.bytes()) {
                    Ok(None) => true,
                    Ok(Some(header))
                        if header.kind != Kind::Body && there < HEADER_LEN + header.len =>
                    {
                        true
                    }
                    // A body that the client broke off and nobody read is of no interest.
                    Ok(Some(header)) => match self.begin(header) {
                        Ok(()) | Err(BodyError::Broken(_) | BodyError::File(_)) => {
                            self.file = None;
                            false
                        }
                        Err(BodyError::Receive(_)) => return false,
                    },
                    Err(_) => return false,
                },
            };
            if needs_more && !matches!(self.inbox.receive(socket, Wait::No), Ok(1..)) {
                return false;
            }
        }
    }
}

/// An end between two frames of a body is a body cut off all the same.
fn cut_off(error: ReceiveError) -> ReceiveError {
    match error {
        ReceiveError::Closed => ReceiveError::Truncated,
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::mem::MaybeUninit;
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixStream;
    use wsgi_core::wire::encode_plain;

    fn frames(parts: &[&[u8]], end: Option<u8>) -> Vec<u8> {
        let mut wire = Vec::new();
        for part in parts {
            encode_plain(&mut wire, Kind::Body, 0, part).unwrap();
        }
        if let Some(flags) = end {
            encode_plain(&mut wire, Kind::BodyEnd, flags, b"timed out").unwrap();
        }
        wire
    }

    fn read_all(body: &mut Body<'_>, socket: &UnixStream, piece: usize) -> (usize, Option<String>) {
        let mut total = 0;
        loop {
            let mut memory = vec![MaybeUninit::uninit(); piece];
            let mut buffer = BodyBuffer::new(&mut memory);
            match body.read(socket.as_fd(), &mut buffer) {
                Ok(()) if buffer.filled() == 0 => return (total, None),
                Ok(()) => total += buffer.filled(),
                Err(error) => return (total, Some(error.to_string())),
            }
        }
    }

    /// DMN-240: complete and cut off bodies are told apart, whatever the sizes of frames and reads.
    #[test]
    fn bodies_are_read_whatever_their_frames() {
        let big = vec![b'b'; 300_000];
        for piece in [1, 7, 4096, 1 << 20] {
            let (mut near, far) = UnixStream::pair().unwrap();
            let parts: [&[u8]; 4] = [
                b"",
                b"0123456789",
                if piece == 1 { b"x" } else { &big },
                b"z",
            ];
            let expected: usize = parts.iter().map(|part| part.len()).sum();
            let wire = frames(&parts, Some(0));
            let sender = std::thread::spawn(move || {
                near.write_all(&wire).unwrap();
                near
            });
            let mut inbox = Inbox::new();
            let mut body = Body::new(&mut inbox);
            assert_eq!(read_all(&mut body, &far, piece), (expected, None));
            assert_eq!(body.state, State::Ended);
            drop(sender.join().unwrap());
        }
    }

    #[test]
    fn a_broken_body_says_why_and_the_connection_goes_on() {
        let (mut near, far) = UnixStream::pair().unwrap();
        near.write_all(&frames(&[b"abc"], Some(FLAG_BROKEN)))
            .unwrap();
        let mut inbox = Inbox::new();
        let mut body = Body::new(&mut inbox);
        assert_eq!(read_all(&mut body, &far, 10), (3, Some("timed out".into())));
    }

    /// A request's body in a file whose descriptor came with the first byte; `bytes` is what the file has.
    fn with_file(span: FileSpan, descriptor: Option<&File>) -> UnixStream {
        let (near, far) = UnixStream::pair().unwrap();
        let mut wire = Vec::new();
        span.encode_body(&mut wire);
        encode_plain(&mut wire, Kind::BodyEnd, 0, b"").unwrap();
        encode_plain(&mut wire, Kind::Request, 0, b"next").unwrap();
        let slices = [std::io::IoSlice::new(&wire)];
        let descriptor = descriptor.map(AsFd::as_fd);
        stream::send_some(near.as_fd(), &slices, descriptor).unwrap();
        far
    }

    fn file_of(bytes: &[u8]) -> File {
        let mut file = temporary::unnamed_file(&std::env::temp_dir()).unwrap();
        file.write_all(bytes).unwrap();
        temporary::read_only(&file).unwrap()
    }

    /// DMN-240: a body in a file, in reads of any size, with nothing beyond what the frame says; the next request follows.
    #[test]
    fn a_body_can_come_as_a_file() {
        let file = file_of(&[b'f'; 100_000]);
        for (offset, len, piece) in [
            (0, 100_000, 4096),
            (7, 99_000, 1 << 20),
            (5, 0, 10),
            (3, 9, 1),
        ] {
            let far = with_file(FileSpan { offset, len }, Some(&file));
            let mut inbox = Inbox::new();
            let mut body = Body::new(&mut inbox);
            assert_eq!(
                read_all(&mut body, &far, piece),
                (usize::try_from(len).unwrap(), None)
            );
            assert_eq!(body.state, State::Ended);
            assert_eq!(
                inbox.header(far.as_fd(), || {}).unwrap().kind,
                Kind::Request
            );
        }
        let far = with_file(FileSpan { offset: 0, len: 9 }, Some(&file));
        let mut inbox = Inbox::new();
        assert!(Body::new(&mut inbox).skip(far.as_fd()), "not read at all");
        assert!(inbox.take_descriptor().is_none());
        assert_eq!(
            inbox.header(far.as_fd(), || {}).unwrap().kind,
            Kind::Request
        );
    }

    /// What is not as the frame says is an error of that body, and the connection stays in order.
    #[test]
    fn a_file_that_lies_is_a_broken_body() {
        let short = file_of(b"short");
        let device = File::open("/dev/zero").unwrap();
        let span = FileSpan { offset: 0, len: 9 };
        for (descriptor, before, why) in [
            (Some(&short), 5, "4 bytes too short"),
            (Some(&device), 0, "not a regular file"),
            (None, 0, "no free descriptors"),
        ] {
            let far = with_file(span, descriptor);
            let mut inbox = Inbox::new();
            let mut body = Body::new(&mut inbox);
            let (total, error) = read_all(&mut body, &far, 100);
            assert_eq!(total, before);
            assert!(error.is_some_and(|error| error.contains(why)), "{why}");
            let mut memory = [MaybeUninit::uninit(); 10];
            assert!(
                body.read(far.as_fd(), &mut BodyBuffer::new(&mut memory))
                    .is_err()
            );
        }
    }

    #[test]
    fn a_lost_child_is_no_end_of_body() {
        let (mut near, far) = UnixStream::pair().unwrap();
        near.write_all(&frames(&[b"abc"], None)).unwrap();
        drop(near);
        let mut inbox = Inbox::new();
        let mut body = Body::new(&mut inbox);
        let (total, error) = read_all(&mut body, &far, 10);
        assert_eq!(total, 3);
        assert!(error.is_some());
        assert!(!body.skip(far.as_fd()));
    }

    #[test]
    fn a_frame_that_is_no_body_is_refused() {
        let (mut near, far) = UnixStream::pair().unwrap();
        let mut wire = Vec::new();
        encode_plain(&mut wire, Kind::Hello, 0, b"").unwrap();
        near.write_all(&wire).unwrap();
        let mut inbox = Inbox::new();
        let mut body = Body::new(&mut inbox);
        assert!(read_all(&mut body, &far, 10).1.is_some());
    }

    /// DMN-269: an unread body is skipped up to the next request.
    #[test]
    fn an_unread_body_is_skipped_up_to_the_next_request() {
        let (mut near, far) = UnixStream::pair().unwrap();
        let mut wire = frames(&[b"abc", &[b'x'; 5000]], Some(0));
        encode_plain(&mut wire, Kind::Request, 0, b"next").unwrap();
        near.write_all(&wire).unwrap();
        let mut inbox = Inbox::new();
        let mut body = Body::new(&mut inbox);
        assert!(body.skip(far.as_fd()));
        assert_eq!(
            inbox.header(far.as_fd(), || {}).unwrap().kind,
            Kind::Request
        );

        let (mut near, far) = UnixStream::pair().unwrap();
        near.write_all(&frames(&[b"abc"], None)).unwrap();
        let mut inbox = Inbox::new();
        assert!(
            !Body::new(&mut inbox).skip(far.as_fd()),
            "the end has not arrived"
        );
    }
}
