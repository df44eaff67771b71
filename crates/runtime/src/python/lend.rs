//! The transport of a request, lent to Python objects that may outlive the request.
//!
//! Objects hold a [`Lent`]; when the call of `handle` ends, [`lend`] takes the transport back and whoever comes later finds
//! nothing. A use in progress on another thread is waited for. No thread that holds a GIL waits for the lock.

use parking_lot::Mutex;
use wsgi_runtime_api::engine::Transport;

/// A transport, for as long as its request runs.
pub(crate) struct Lent(Mutex<Option<Transport<'static>>>);

impl Lent {
    /// Runs `body` with the transport; None if the request has ended. Blocks while another thread uses it: not to be
    /// called with the GIL held.
    pub(crate) fn with<R>(&self, body: impl FnOnce(&mut Transport<'_>) -> R) -> Option<R> {
        self.0.lock().as_mut().map(body)
    }

    /// Runs `body` with the transport if no other thread uses it; None otherwise, and if the request has ended. `body` must not
    /// wait: the thread holds the GIL.
    pub(crate) fn try_with<R>(&self, body: impl FnOnce(&mut Transport<'_>) -> R) -> Option<R> {
        self.0.try_lock()?.as_mut().map(body)
    }
}

/// Takes the transport back when dropped, also on a panic.
struct TakenBack<'l>(&'l Lent);

impl Drop for TakenBack<'_> {
    fn drop(&mut self) {
        // Only taken away: a Transport is a pair of references.
        let _ = self.0.0.lock().take();
    }
}

/// Lends `transport` while `body` runs; `wrap` puts the loan where Python objects find it, and `lent` finds it there
/// again. The thread holds no GIL before and after `body`.
pub(crate) fn lend<W, R>(
    transport: Transport<'_>,
    wrap: impl FnOnce(Lent) -> W,
    lent: impl Fn(&W) -> &Lent,
    body: impl FnOnce(&W) -> R,
) -> R {
    // SAFETY: only the lifetime is changed, and the transport is gone from the loan when this function returns.
    let transport: Transport<'static> = unsafe { std::mem::transmute(transport) };
    let wrapped = wrap(Lent(Mutex::new(Some(transport))));
    let _taken_back = TakenBack(lent(&wrapped));
    body(&wrapped)
}
