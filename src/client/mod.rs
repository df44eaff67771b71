//! The way of a request from an Apache child to a daemon of its group, and of the answer back.
//!
//! [`forward`] does it on the worker thread that serves the request: a kept connection to the process with the most idle
//! threads (`pool`), or a new one (`connect`); the conversation with its rules for sending a request again
//! (`exchange`); httpd at the other end (`requester`). A small request costs a claim, one send, one receive and one
//! pass to the output filters.

mod body;
mod connect;
mod delivery;
mod exchange;
mod failure;
mod group;
mod pool;
mod receive;
mod requester;
mod route;
mod side;
mod spool;
mod store;
#[cfg(test)]
mod tests;
mod turn;
mod upload;

use std::cell::RefCell;
use std::time::Duration;

use wsgi_core::record::NEEDS_MAIN_INTERPRETER;
use wsgi_core::wire::RequestHead;

pub use body::BodyFacts;
pub use group::{ClientLimits, GroupClient};
pub use route::Group;
pub use spool::Bounds;

use crate::apache::{Level, Request, Status};
use exchange::{Buffers, Exchange, Outcome};
use failure::Failure;
use requester::{AnswerRules, Instead, Requester};
use side::Apache;

/// What of a request's configuration has a say in forwarding it.
#[derive(Clone, Copy, Debug)]
pub struct Facts {
    /// Its body.
    pub body: BodyFacts,
    /// WSGIErrorOverride.
    pub error_override: bool,
    /// WSGIEnableSendfile.
    pub sendfile: bool,
}

thread_local! {
    /// This thread's buffers, while no request uses them. A request inside of another one (a subrequest of an output
    /// filter) makes its own.
    static BUFFERS: RefCell<Option<Box<Buffers>>> = const { RefCell::new(None) };
}

/// Forwards a request to a daemon of `group` and its answer to the client. `environ` gives the entries of the environ, each
/// time it is called; connects, restarts, queue start and environ of `head` are filled in here.
///
/// Returns what the handler has to return: OK when an answer was sent (or cut short, which the client notices), a status
/// where httpd makes the page. Everything is logged.
pub fn forward<'p, I>(
    request: &Request<'_>,
    group: &Group,
    head: RequestHead<'_>,
    environ: impl Fn() -> I,
    facts: Facts,
) -> Status
where
    I: Iterator<Item = (&'p [u8], Option<&'p [u8]>)>,
{
    let group = match &group.client {
        Ok(client) => client,
        Err(reason) => {
            let failure = Failure::NotStarted {
                group: group.name.clone(),
                reason: reason.clone(),
            };
            let rules = AnswerRules {
                error_override: false,
                sendfile: false,
                header_buffer: 0,
            };
            return finish(request, Requester::new(request, rules), Err(failure), || {});
        }
    };
    let rules = AnswerRules {
        error_override: facts.error_override,
        sendfile: facts.sendfile,
        header_buffer: group.limits.header_buffer,
    };
    let mut buffers = BUFFERS.take().unwrap_or_else(|| Box::new(Buffers::new()));
    let mut exchange = Exchange {
        group,
        apache: Requester::new(request, rules),
        buffers: &mut buffers,
        timeout: timeout_of(request, group),
    };
    let former = slow_client(request, group);
    let outcome = exchange.run(facts.body, |out, attempt| {
        let head = RequestHead {
            connects: attempt.connects,
            restarts: attempt.restarts,
            queue_start: attempt.queue_start,
            ..head
        };
        head.encode(out, attempt.frame_flags, environ())
    });
    // DMN-335: only after a whole answer; after any other the connection ends.
    if let (Some(former), Ok(Outcome::Done)) = (former, &outcome) {
        request.connection().set_socket_timeout(former);
    }
    let apache = exchange.apache;
    // The room in memory and on disk that a long body took.
    buffers.body.clear();
    buffers.answer.clear();
    BUFFERS.set(Some(buffers));
    finish(request, apache, outcome, || request.publish(environ()))
}

/// DMN-216.
fn timeout_of(request: &Request<'_>, group: &GroupClient) -> Option<Duration> {
    let timeout = group
        .limits
        .socket_timeout
        .unwrap_or_else(|| request.server().timeout());
    (!timeout.is_zero()).then_some(timeout)
}

/// Sets the client's timeout for the answer; the former one, if there is one to restore (DMN-335).
fn slow_client(request: &Request<'_>, group: &GroupClient) -> Option<Duration> {
    let timeout = group.limits.response_socket_timeout?;
    let connection = request.connection();
    let former = connection.socket_timeout();
    connection.set_socket_timeout(timeout);
    former
}

/// The status for httpd, or all that is left to do; `publish` is called before another page of this server is answered with.
fn finish(
    request: &Request<'_>,
    mut apache: Requester<'_, '_>,
    outcome: Result<Outcome, Failure>,
    publish: impl FnOnce(),
) -> Status {
    match outcome {
        Ok(Outcome::Done | Outcome::ClientGone) => Status::OK,
        Ok(Outcome::CutShort) => {
            apache.abort();
            Status::OK
        }
        Ok(Outcome::Failed(status)) => Status::http(status),
        Ok(Outcome::MainOnly) => request.fail_with(NEEDS_MAIN_INTERPRETER),
        Ok(Outcome::Discarded) => match apache.instead() {
            Some(Instead::Redirect(path)) => {
                publish();
                request.redirect_as_get(&path);
                Status::OK
            }
            Some(Instead::Page(code)) => Status::http(code),
            None => Status::INTERNAL_SERVER_ERROR,
        },
        Err(failure) => {
            if let Some(text) = failure.record() {
                apache.record(Level::Error as u8, &text);
            }
            failure.status().map_or(Status::DONE, Status::http)
        }
    }
}
