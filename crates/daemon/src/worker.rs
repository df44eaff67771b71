//! Request threads: wait on the shared epoll set, serve what they woke for, arm it again.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::{Builder, JoinHandle};

use wsgi_core::life::Reason;

use crate::connection::Connection;
use crate::conversation::{After, Speaker};
use crate::dispatch::{Claim, Event};
use crate::log::{self, Level};
use crate::process::Process;

/// Stack of a thread where the system's limit is unlimited, bytes: what the C library gives then on most systems.
const UNLIMITED_STACK: u64 = 8 << 20;

/// What `stack-size` gives at least, bytes: with less a process would crash before it has called an application.
const LEAST_STACK: u64 = 256 << 10;

/// Stack size of threads that run Python: `stack-size`, or the system's as the C library would choose it.
pub(crate) fn stack_size(configured: Option<u64>) -> usize {
    let size = configured
        .map(|size| size.max(LEAST_STACK))
        .or_else(wsgi_sys::process::default_stack_size)
        .unwrap_or(UNLIMITED_STACK);
    usize::try_from(size).unwrap_or(usize::MAX)
}

/// Starts request thread `ordinal` (from 1, DMN-402).
pub(crate) fn start(process: &Arc<Process>, ordinal: u32) -> io::Result<JoinHandle<()>> {
    let process = Arc::clone(process);
    Builder::new()
        .name(format!("wsgi-request-{ordinal}"))
        .stack_size(stack_size(process.settings.stack_size))
        .spawn(move || work(&process, ordinal))
}

fn work(process: &Process, ordinal: u32) {
    let desk = &process.desks[ordinal as usize - 1];
    let mut speaker = Speaker::new(process, desk, ordinal);
    loop {
        let event = match speaker.owed() {
            Some(claim) => Event::Owed(claim),
            None => {
                desk.set_waiting(true);
                process.look_out(desk);
                let event = process.dispatch.wait();
                desk.set_waiting(false);
                event
            }
        };
        // A panic is a mistake of ours that must cost one connection, not the thread. The child sees an answer without
        // End.
        let served = catch_unwind(AssertUnwindSafe(|| serve(process, &mut speaker, event)));
        match served {
            Ok(true) => {}
            Ok(false) => break,
            Err(_) => {
                let text = "a request thread has panicked; its connection was closed";
                log::coded(5203, Level::Critical, text);
                speaker = Speaker::new(process, desk, ordinal);
            }
        }
    }
    process.runtime.leave_thread();
}

/// False at the end of the process.
fn serve<'p>(process: &'p Process, speaker: &mut Speaker<'p>, event: Event<'p>) -> bool {
    let accepted = match event {
        Event::Stop => return false,
        Event::Broken => {
            process.life.stop(Reason::ShutdownSignal, &process.dispatch);
            return false;
        }
        Event::Nothing => return true,
        Event::Connection {
            connection,
            hung_up,
        } => {
            let claim = process.dispatch.claim_of(&connection);
            converse(process, speaker, &connection, claim, hung_up);
            return true;
        }
        Event::Listener => process.dispatch.accept(),
        Event::Owed(claim) => match process.dispatch.accept_owed(claim) {
            // It came later than what is here and unread.
            Some((connection, claim)) if process.dispatch.has_events() => {
                process.dispatch.queue(&connection, claim);
                return true;
            }
            accepted => accepted,
        },
    };
    if let Some((connection, claim)) = accepted {
        let hung_up = connection.is_hung_up();
        converse(process, speaker, &connection, Some(claim), hung_up);
    }
    true
}

/// Serves what has come on a connection, and keeps or closes it.
fn converse<'p>(
    process: &'p Process,
    speaker: &mut Speaker<'p>,
    connection: &Arc<Connection>,
    claim: Option<Claim<'p>>,
    hung_up: bool,
) {
    let guard = CloseOnPanic {
        process,
        connection,
    };
    let after = speaker.serve(connection, claim, hung_up);
    std::mem::forget(guard);
    if after == After::Close || !process.dispatch.keep(connection) {
        process.dispatch.close(connection);
    }
}

/// Closes the connection when a panic unwinds past it.
struct CloseOnPanic<'a> {
    process: &'a Process,
    connection: &'a Arc<Connection>,
}

impl Drop for CloseOnPanic<'_> {
    fn drop(&mut self) {
        self.process.dispatch.close(self.connection);
    }
}
