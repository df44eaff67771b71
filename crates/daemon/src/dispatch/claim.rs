//! A claim on an idle thread, while somebody holds it.

use super::Dispatch;

/// A promised thread: given back once, at the latest when it is dropped.
pub(crate) struct Claim<'d> {
    dispatch: &'d Dispatch,
    held: bool,
}

impl<'d> Claim<'d> {
    pub(super) fn of(dispatch: &'d Dispatch) -> Claim<'d> {
        Claim {
            dispatch,
            held: true,
        }
    }

    /// It is given back otherwise.
    pub(super) fn forget(&mut self) {
        self.held = false;
    }

    /// The thread is free in a moment: let others claim it, unless connections wait in the backlog, which come first.
    pub(crate) fn release(&mut self) {
        if !self.dispatch.has_backlog() {
            self.give_back();
        }
    }

    /// Ends this claim without giving it back; whether its holder owes it to the backlog, and has to go on with
    /// [`Dispatch::promised`].
    pub(crate) fn into_owed(mut self) -> bool {
        std::mem::take(&mut self.held)
    }

    fn give_back(&mut self) {
        if self.held {
            self.held = false;
            self.dispatch.release();
        }
    }
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        self.give_back();
    }
}
