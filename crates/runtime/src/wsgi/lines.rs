//! Output of log streams, cut into lines: each one becomes a record of the error log, what has no end yet waits (API-036,
//! REQ-541). Pure.

/// A stream of text that goes to the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stream {
    /// `wsgi.errors`
    Errors,
    /// `sys.stdout`
    Output,
    /// `sys.stderr`
    Error,
}

impl Stream {
    /// Its name, as Python code sees it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Stream::Errors => "<wsgi.errors>",
            Stream::Output => "<stdout>",
            Stream::Error => "<stderr>",
        }
    }
}

/// The line that was begun. The streams of a request share one, so that its output stays in the order in which it was written
/// (API-037).
#[derive(Debug, Default)]
pub(crate) struct Lines {
    begun: Vec<u8>,
}

impl Lines {
    /// Adds text and returns the lines that it completes, without their ends.
    pub(crate) fn add(&mut self, text: &[u8]) -> Vec<Vec<u8>> {
        let mut complete = Vec::new();
        let mut rest = text;
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            let mut line = std::mem::take(&mut self.begun);
            line.extend_from_slice(&rest[..end]);
            complete.push(line);
            rest = &rest[end + 1..];
        }
        self.begun.extend_from_slice(rest);
        complete
    }

    /// Takes the line that was begun.
    pub(crate) fn flush(&mut self) -> Option<Vec<u8>> {
        let begun = std::mem::take(&mut self.begun);
        (!begun.is_empty()).then_some(begun)
    }

    /// Whether a line was begun.
    pub(crate) fn has_any(&self) -> bool {
        !self.begun.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// REQ-541, API-036: one record a line, blank ones too; a partial line waits for its end or a flush.
    #[test]
    fn lines_are_cut_at_line_feeds_only() {
        let mut lines = Lines::default();
        assert_eq!(lines.add(b"a\rb"), Vec::<Vec<u8>>::new());
        assert_eq!(lines.add(b"c\n\nd"), [b"a\rbc".to_vec(), Vec::new()]);
        assert!(lines.has_any());
        assert_eq!(lines.flush(), Some(b"d".to_vec()));
        assert_eq!(lines.flush(), None);
        assert!(!lines.has_any());
    }
}
