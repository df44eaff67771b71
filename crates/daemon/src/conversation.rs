//! What is said on a connection: Hello and Welcome once, then request after request. In a request thread, which has been
//! woken for the connection or has just accepted it.

use std::os::fd::AsFd;
use std::sync::Arc;

use wsgi_core::life::Reason;
use wsgi_core::wire::{
    FLAG_AWAITS_CONTINUE, HEADER_LEN, Header, Hello, Kind, Refusal, RequestHead, Welcome, WireError,
};
use wsgi_runtime_api::runtime::{Environ, Request};
use wsgi_runtime_api::{
    Outcome, REQUEST_DAEMON, REQUEST_IGNORE_ACTIVITY, REQUEST_MODULE, REQUEST_SCRIPT_RELOADING,
};
use wsgi_sys::clock;

use crate::answer::{Answer, Finished, Outbox, Way};
use crate::body::Body;
use crate::connection::{Connection, knows_secret};
use crate::dispatch::Claim;
use crate::inbox::{Inbox, ReceiveError};
use crate::log::{self, Level};
use crate::process::{self, Desk, Process};

/// What becomes of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum After {
    /// It may bring another request.
    Keep,
    /// It is of no more use.
    Close,
}

/// Why a connection is hung up on, for the log.
#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error(transparent)]
    Receive(#[from] ReceiveError),
    /// WSGI0033.
    #[error("it sent no Hello")]
    NoHello,
    /// WSGI0034.
    #[error("its secret is not the group's")]
    WrongSecret,
    /// WSGI0081.
    #[error("script '{script}' is outside the chroot directory '{root}'")]
    OutsideRoot {
        /// Path of the script.
        script: String,
        /// The directory.
        root: String,
    },
}

impl Trouble {
    fn report(&self, connection: &Connection) {
        let (code, level) = match self {
            Trouble::Receive(ReceiveError::Closed) => return,
            Trouble::Receive(_) => (80, Level::Error),
            Trouble::NoHello => (33, Level::Alert),
            Trouble::WrongSecret => (34, Level::Alert),
            Trouble::OutsideRoot { .. } => (81, Level::Error),
        };
        let peer = connection.peer();
        let text = format!(
            "connection of process {} (uid {}) closed: {self}",
            peer.pid, peer.uid
        );
        log::coded(code, level, text);
    }
}

/// A request thread's own things.
pub(crate) struct Speaker<'p> {
    process: &'p Process,
    desk: &'p Desk,
    /// From 1.
    thread_id: u32,
    inbox: Inbox,
    /// The request's own bytes, while the inbox receives what follows.
    head: Vec<u8>,
    outbox: Outbox,
    environ: Environ<'static>,
    /// The claim of the last request, where connections wait in the backlog.
    owed: Option<Claim<'p>>,
}

impl<'p> Speaker<'p> {
    pub(crate) fn new(process: &'p Process, desk: &'p Desk, thread_id: u32) -> Speaker<'p> {
        Speaker {
            process,
            desk,
            thread_id,
            inbox: Inbox::new(),
            head: Vec::new(),
            outbox: Outbox::default(),
            environ: Environ::new(),
            owed: None,
        }
    }

    /// The claim with which the thread has to look at the backlog before it waits.
    pub(crate) fn owed(&mut self) -> Option<Claim<'p>> {
        self.owed.take()
    }

    /// Answers what has come on a connection. `claim` is that of a connection that was just accepted; `hung_up`: its child
    /// has gone already, and a request that it left is not run for nobody.
    pub(crate) fn serve(
        &mut self,
        connection: &Arc<Connection>,
        mut claim: Option<Claim<'p>>,
        hung_up: bool,
    ) -> After {
        self.inbox.clear();
        self.outbox.clear();
        loop {
            match self.next_request(connection, claim.take(), hung_up) {
                // Already here: what was read while an unread body was skipped.
                Ok(After::Keep) if !self.inbox.is_empty() => {}
                Ok(after) => {
                    // A descriptor that nobody asked for is not kept until the next request.
                    self.inbox.clear();
                    return after;
                }
                Err(trouble) => {
                    trouble.report(connection);
                    return After::Close;
                }
            }
        }
    }

    fn next_request(
        &mut self,
        connection: &Arc<Connection>,
        claim: Option<Claim<'p>>,
        hung_up: bool,
    ) -> Result<After, Trouble> {
        let socket = connection.as_fd();
        // A child that sends its request bit by bit keeps nobody from the others'.
        let (process, desk) = (self.process, self.desk);
        let look_away = || process.look_away(desk);
        let mut header = self.inbox.header(socket, look_away)?;
        if !connection.is_known() {
            self.greet(connection, header, look_away)?;
            header = self.inbox.header(socket, look_away)?;
        }
        if header.kind != Kind::Request {
            return Err(ReceiveError::Wire(WireError::Unexpected(header.kind)).into());
        }
        self.inbox.whole(socket, header.len, look_away)?;
        let claim = claim.unwrap_or_else(|| self.process.dispatch.promised());
        if hung_up {
            let text = format!(
                "a request was not run: process {} gave it up before",
                connection.peer().pid
            );
            log::record(Level::Info, text);
            return Ok(After::Close);
        }
        self.answer(connection, header, claim)
    }

    /// Takes the Hello; its Welcome leaves with the first answer.
    fn greet(
        &mut self,
        connection: &Connection,
        header: Header,
        look_away: impl Fn(),
    ) -> Result<(), Trouble> {
        if header.kind != Kind::Hello {
            return Err(Trouble::NoHello);
        }
        self.inbox
            .whole(connection.as_fd(), header.len, look_away)?;
        let hello = Hello::decode(self.inbox.payload(header.len)).map_err(ReceiveError::Wire)?;
        if !knows_secret(&hello, &self.process.settings.secret) {
            return Err(Trouble::WrongSecret);
        }
        self.inbox.consume(HEADER_LEN + header.len);
        connection.set_known();
        let dispatch = &self.process.dispatch;
        Welcome {
            slot: dispatch.slot(),
            instance: dispatch.instance(),
        }
        .encode(self.outbox.early());
        Ok(())
    }

    fn answer(
        &mut self,
        connection: &Arc<Connection>,
        header: Header,
        claim: Claim<'p>,
    ) -> Result<After, Trouble> {
        let daemon_start = clock::wall_micros();
        let process = self.process;
        let place = self.inbox.detach(header.len, &mut self.head);
        let head = RequestHead::decode(&self.head[place]).map_err(ReceiveError::Wire)?;
        let awaits = header.flags & FLAG_AWAITS_CONTINUE != 0;
        let body = Body::new(&mut self.inbox);
        let way = Way {
            process,
            connection,
            desk: self.desk,
        };
        let mut answer = Answer::new(
            way,
            &mut self.outbox,
            body,
            claim,
            awaits,
            head.script_filename,
        );

        // Busy first, phase second: the main thread looks in the other order, so that either it waits for this request
        // or this request is refused.
        self.desk.begin();
        let busy = Busy {
            process,
            desk: self.desk,
        };
        if process.life.is_refusing() {
            let finished = answer.refuse(Refusal::Stopping);
            return Ok(self.end(&finished));
        }
        if waited_too_long(&head, daemon_start, process.settings.limits.queue_timeout) {
            let limit = process.settings.limits.queue_timeout;
            let text = format!("request waited longer than queue-timeout ({limit} s)");
            log::coded(84, Level::Error, text);
            let finished = answer.refuse(Refusal::Queue);
            return Ok(self.end(&finished));
        }
        process.note_request();
        if head.flags & REQUEST_IGNORE_ACTIVITY == 0
            && process.settings.limits.inactivity_timeout > 0
        {
            process::note_activity();
        }

        let root = process.settings.identity.chroot.as_deref().map(Root);
        let mut environ = std::mem::take(&mut self.environ).recycle();
        // A module is no path: Python looks for it, inside.
        let is_module = head.flags & REQUEST_MODULE != 0;
        let (script, handler_script) = match &root {
            None => {
                head.environ
                    .iter()
                    .for_each(|(name, value)| environ.push(name, value));
                (head.script_filename, head.handler_script)
            }
            Some(root) => {
                for (name, value) in head.environ.iter() {
                    match name {
                        b"SCRIPT_FILENAME" if is_module => environ.push(name, value),
                        b"SCRIPT_FILENAME" | b"DOCUMENT_ROOT" => {
                            if let Some(inside) = value.and_then(|value| root.strip(value)) {
                                environ.push(name, Some(inside));
                            }
                        }
                        _ => environ.push(name, value),
                    }
                }
                let inside = |script, is_no_path: bool| {
                    root.strip(script)
                        .or(is_no_path.then_some(script))
                        .ok_or_else(|| Trouble::OutsideRoot {
                            script: String::from_utf8_lossy(script).into_owned(),
                            root: root.0.to_owned(),
                        })
                };
                (
                    inside(head.script_filename, is_module)?,
                    inside(head.handler_script, head.handler_script.is_empty())?,
                )
            }
        };
        let mut request = Request {
            environ,
            application_group: head.application_group,
            callable_object: head.callable_object,
            script_filename: script,
            handler_script,
            flags: head.flags | REQUEST_DAEMON,
            thread_id: self.thread_id,
            server_pid: head.server_pid,
            daemon_connects: head.connects,
            daemon_restarts: head.restarts,
            request_start: head.request_start,
            queue_start: head.queue_start,
            daemon_start,
            useragent_ip: None,
            hostname: None,
            apache_request: None,
        };
        let mut outcome = process.runtime.handle(&request, &mut answer);
        process.end_copy("finish its answer");
        if outcome == Outcome::Reload && process.checks_deploy(&request) {
            // Nothing was run: the code that is there answers, until a replacement has shown that it can.
            process.life.ask_deploy(process.runtime.stamp(&request));
            request.flags &= !REQUEST_SCRIPT_RELOADING;
            outcome = process.runtime.handle(&request, &mut answer);
        }
        self.environ = request.environ.recycle();
        if outcome == Outcome::Reload {
            // Before the child hears of it: its next connect must not come here again.
            let limit = process.graceful_limit(Reason::ScriptReload);
            let script = String::from_utf8_lossy(head.script_filename);
            log::record(
                Level::Info,
                format!("script '{script}' has changed, restarting"),
            );
            process
                .life
                .drain(Reason::ScriptReload, &process.dispatch, limit, true);
        }
        let finished = answer.finish(outcome);
        drop(busy);
        if outcome != Outcome::Reload {
            process.after_request();
        }
        Ok(self.end(&finished))
    }

    fn end(&mut self, finished: &Finished) -> After {
        if finished.owes_claim {
            self.owed = Some(self.process.dispatch.promised());
        }
        if finished.is_reusable {
            After::Keep
        } else {
            After::Close
        }
    }
}

/// Marks the thread idle again, also where a request ends by a panic. The main thread waits for that when the process
/// drains.
struct Busy<'p> {
    process: &'p Process,
    desk: &'p Desk,
}

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.desk.end();
        if self.process.life.is_refusing() {
            self.process.life.wakeup.wake();
        }
    }
}

/// DMN-250: measured from Apache's start of the request, but without the time that the client took for its body: the child begins
/// to look for a daemon when it has it.
fn waited_too_long(head: &RequestHead<'_>, daemon_start: i64, limit: u64) -> bool {
    let limit = i64::try_from(limit.saturating_mul(1_000_000)).unwrap_or(i64::MAX);
    limit > 0 && daemon_start.saturating_sub(head.request_start.max(head.queue_start)) > limit
}

/// A chroot directory, seen from outside.
struct Root<'s>(&'s str);

impl Root<'_> {
    /// A path inside, as it is called there; None for one outside (DMN-262).
    fn strip<'p>(&self, path: &'p [u8]) -> Option<&'p [u8]> {
        let root = self.0.trim_end_matches('/').as_bytes();
        let inside = path.strip_prefix(root)?;
        match inside.first() {
            None => Some(b"/"),
            Some(b'/') => Some(inside),
            Some(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// DMN-262: the directory is stripped; what lies beside it is outside.
    #[test]
    fn paths_inside_the_root_are_stripped() {
        let root = Root("/srv/jail/");
        assert_eq!(root.strip(b"/srv/jail/app.wsgi"), Some(&b"/app.wsgi"[..]));
        assert_eq!(root.strip(b"/srv/jail"), Some(&b"/"[..]));
        assert_eq!(root.strip(b"/srv/jailhouse/app.wsgi"), None);
        assert_eq!(root.strip(b"/etc/passwd"), None);
    }

    /// DMN-250: from Apache's start of the request; off with 0.
    #[test]
    fn the_queue_timeout_counts_from_the_start_of_the_request() {
        let head = RequestHead {
            request_start: 1_000_000,
            ..RequestHead::empty()
        };
        assert!(!waited_too_long(&head, 3_000_000, 2));
        assert!(waited_too_long(&head, 3_000_001, 2));
        assert!(!waited_too_long(&head, i64::MAX, 0));
        let after_a_slow_body = RequestHead {
            queue_start: 2_000_000,
            ..head
        };
        assert!(!waited_too_long(&after_a_slow_body, 4_000_000, 2));
        assert!(waited_too_long(&after_a_slow_body, 4_000_001, 2));
    }
}
