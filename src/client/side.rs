//! What an exchange with a daemon needs of Apache: where the body comes from, where the answer goes, what is logged.

use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::time::Duration;

use wsgi_core::wire::{AnswerHead, FileSpan, Log};

use super::failure::Failure;

/// What follows the data that is passed to the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum After {
    /// More, later.
    More,
    /// More, later; the client gets now what there is.
    Flush,
    /// Nothing.
    End,
}

/// What is to be done with an answer, decided by its head.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Its body goes to the client.
    Deliver,
    /// Its body is thrown away: httpd answers instead (error document, internal redirect).
    Discard,
}

/// The client took no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Gone;

/// The Apache side of a request: where its body comes from and where its answer goes.
pub(super) trait Apache {
    /// Reads from the client's body; waits for at least one byte; 0 is the end.
    fn read_body(&mut self, buffer: &mut [u8]) -> Result<usize, Failure>;
    /// Asks a client that waits for `100 Continue` for its body; once.
    fn ask_for_body(&mut self) -> Result<(), Failure>;
    /// Where the client's bytes can be waited for, if it can be said, and how long to wait for them at most.
    fn client(&self) -> (Option<BorrowedFd<'_>>, Option<Duration>);
    /// Reads what is there already; None for nothing yet.
    fn read_available_body(&mut self, buffer: &mut [u8]) -> Result<Option<usize>, Failure>;
    /// How many bytes the client takes now without waiting; None where that cannot be said.
    fn room(&mut self) -> Option<usize>;
    /// Whether nobody tells when there is room again, so that it has to be looked for (HTTP/2). There room counts what was passed
    /// without a flush.
    fn is_stream(&self) -> bool;
    /// Ends the client's connection, which takes nothing any more.
    fn give_up(&mut self);
    /// Where temporary files go.
    fn temporary_folder(&self) -> PathBuf;
    /// Takes the head of the answer.
    fn head(&mut self, head: &AnswerHead<'_>) -> Result<Verdict, Failure>;
    /// Passes data to the client.
    fn pass<'d>(
        &mut self,
        blocks: impl Iterator<Item = &'d [u8]>,
        after: After,
    ) -> Result<(), Gone>;
    /// Appends part of a file; it goes with the next pass.
    fn file(&mut self, file: OwnedFd, span: FileSpan) -> Result<(), Gone>;
    /// A record of the daemon for the request.
    fn log(&mut self, record: &Log<'_>);
    /// A record of the child for the request, of httpd's level.
    fn record(&mut self, level: u8, text: &str);
}
