//! Status line and headers of an answer, in one buffer. Pure.

use wsgi_core::answer::head::{LengthError, parse_content_length};

/// Status line and headers as the application gave them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Head {
    /// Status line.
    pub(crate) status: Vec<u8>,
    /// Its number.
    pub(crate) code: u16,
    text: Vec<u8>,
    /// Start and end of each name in `text`; its value goes from there to the next name.
    names: Vec<(usize, usize)>,
}

impl Head {
    /// Without headers.
    pub(crate) fn new(status: Vec<u8>, code: u16) -> Head {
        let room = Vec::with_capacity(256);
        Head {
            status,
            code,
            text: room,
            names: Vec::with_capacity(8),
        }
    }

    /// The buffer that names and values are appended to, before [`Head::add`].
    pub(crate) fn text(&mut self) -> &mut Vec<u8> {
        &mut self.text
    }

    /// Makes a header of what was appended: its name begins at `name` and ends at `value`.
    pub(crate) fn add(&mut self, name: usize, value: usize) {
        self.names.push((name, value));
    }

    /// Adds a header.
    pub(crate) fn push(&mut self, name: &[u8], value: &[u8]) {
        let start = self.text.len();
        self.text.extend_from_slice(name);
        let middle = self.text.len();
        self.text.extend_from_slice(value);
        self.add(start, middle);
    }

    /// Name and value of the headers, in order.
    pub(crate) fn headers(&self) -> impl ExactSizeIterator<Item = (&[u8], &[u8])> {
        (0..self.names.len()).map(|index| {
            let (name, value) = self.names[index];
            let end = self
                .names
                .get(index + 1)
                .map_or(self.text.len(), |next| next.0);
            (&self.text[name..value], &self.text[value..end])
        })
    }

    /// The last Content-Length, parsed.
    pub(super) fn content_length(&self) -> Result<Option<u64>, LengthError> {
        let mut values = self
            .headers()
            .filter(|(name, _)| name.eq_ignore_ascii_case(b"content-length"));
        let last = values.by_ref().last();
        last.map(|(_, value)| parse_content_length(value))
            .transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// REQ-447: the last Content-Length counts; names and values come back as they were added.
    #[test]
    fn headers_come_back() {
        let mut head = Head::new(b"200 OK".to_vec(), 200);
        for (name, value) in [
            (&b"Content-Length"[..], &b"3"[..]),
            (b"A", b""),
            (b"content-length", b"4"),
        ] {
            head.push(name, value);
        }
        let headers: Vec<_> = head.headers().collect();
        assert_eq!(headers[1], (&b"A"[..], &b""[..]));
        assert_eq!((headers.len(), head.content_length()), (3, Ok(Some(4))));
    }
}
