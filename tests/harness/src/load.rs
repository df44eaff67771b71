//! Many clients at once, each with requests that no other has, so that an answer that belongs to somebody else shows.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use crate::http::{Answer, Connection, ReadFailure, Request};

/// What became of the requests of a load.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    kinds: BTreeMap<String, u64>,
    /// The longest wait for an answer.
    pub longest: Duration,
    /// Every wait for an answer, good or not, in no order.
    pub waits: Vec<Wait>,
    /// Requests that were sent again because the server had closed the kept connection before the first byte of an answer.
    pub again: u64,
    /// What the first answers that were not as they should be looked like.
    pub samples: Vec<String>,
}

/// How long one request waited for its answer, the time to connect included.
#[derive(Clone, Copy, Debug)]
pub struct Wait {
    /// The client, from 0.
    pub client: usize,
    /// The number of its request, from 0.
    pub number: usize,
    /// When it was sent, since the load began.
    pub begin: Duration,
    /// Until the end of the answer.
    pub length: Duration,
}

impl Tally {
    /// How many requests ended in this way: `good`, `wrong` (another body than expected), `cut short`,
    /// `short` (as `cut short`, but passed off as whole), `status 502`, `closed`,
    /// `broken`, `silent`, `refused`, `malformed`.
    pub fn count(&self, kind: &str) -> u64 {
        self.kinds.get(kind).copied().unwrap_or(0)
    }

    /// All requests.
    pub fn total(&self) -> u64 {
        self.kinds.values().sum()
    }

    fn add(&mut self, kind: &str, sample: impl FnOnce() -> String) {
        *self.kinds.entry(kind.to_owned()).or_default() += 1;
        if kind != "good" && self.samples.len() < 5 {
            self.samples.push(format!("{kind}: {}", sample()));
        }
    }

    fn merge(&mut self, other: Tally) {
        for (kind, count) in other.kinds {
            *self.kinds.entry(kind).or_default() += count;
        }
        self.longest = self.longest.max(other.longest);
        self.samples.extend(other.samples);
        self.waits.extend(other.waits);
        self.again += other.again;
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} requests, longest {} ms",
            self.total(),
            self.longest.as_millis()
        )?;
        for (kind, count) in &self.kinds {
            write!(f, ", {kind} {count}")?;
        }
        if self.again > 0 {
            write!(f, ", sent again {}", self.again)?;
        }
        for sample in &self.samples {
            write!(f, "\n  {sample}")?;
        }
        Ok(())
    }
}

/// How clients use connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Connections {
    /// One for all requests of a client, as long as the server keeps it.
    Kept,
    /// One for each request.
    Fresh,
}

/// Runs `clients` clients for `duration`. `request(client, number)` gives the next request of a client and the body that its
/// answer must have. A kept connection that the server closed before the first byte of an answer is replaced, as every client
/// of HTTP does (RFC 9110, 9.2.2); nothing else is tried again.
pub fn run<F>(
    address: SocketAddr,
    clients: usize,
    connections: Connections,
    duration: Duration,
    request: F,
) -> Tally
where
    F: Fn(usize, usize) -> (Request, Vec<u8>) + Sync,
{
    let origin = Instant::now();
    let span = (origin, origin + duration);
    let mut tally = Tally::default();
    thread::scope(|scope| {
        let running: Vec<_> = (0..clients)
            .map(|client| {
                let request = &request;
                scope.spawn(move || one_client(address, client, connections, span, request))
            })
            .collect();
        for thread in running {
            tally.merge(thread.join().expect("a client does not panic"));
        }
    });
    tally
}

fn one_client<F>(
    address: SocketAddr,
    client: usize,
    connections: Connections,
    (origin, end): (Instant, Instant),
    request: &F,
) -> Tally
where
    F: Fn(usize, usize) -> (Request, Vec<u8>),
{
    let mut tally = Tally::default();
    let mut kept: Option<Connection> = None;
    let mut number = 0;
    while Instant::now() < end {
        let (mut question, expected) = request(client, number);
        if connections == Connections::Fresh {
            question = question.close();
        }
        let begin = Instant::now();
        let (outcome, connection) = ask(address, kept.take(), &question, &mut tally.again);
        let length = begin.elapsed();
        tally.longest = tally.longest.max(length);
        tally.waits.push(Wait {
            client,
            number,
            begin: begin - origin,
            length,
        });
        match outcome {
            Ok(answer) => {
                let kind = kind_of(&answer, &expected);
                tally.add(&kind, || {
                    format!("client {client}, request {number}: {}", answer.shown())
                });
                if answer.keeps_connection() && connections == Connections::Kept {
                    kept = connection;
                }
            }
            Err((kind, why)) => {
                tally.add(kind, || format!("client {client}, request {number}: {why}"))
            }
        }
        number += 1;
    }
    tally
}

type Outcome = Result<Answer, (&'static str, String)>;

fn ask(
    address: SocketAddr,
    kept: Option<Connection>,
    question: &Request,
    again: &mut u64,
) -> (Outcome, Option<Connection>) {
    if let Some(mut connection) = kept {
        let sent = connection.write(&question.bytes());
        match connection.read_answer(question.method()) {
            Ok(answer) => return (Ok(answer), Some(connection)),
            // The server closed the idle connection while the request was on its way.
            Err(ReadFailure::Closed) => *again += 1,
            Err(ReadFailure::Broken(_)) if connection.is_untouched() => *again += 1,
            Err(failure) => return (Err(named(failure, sent.err())), None),
        }
    }
    let mut connection = match Connection::open(address) {
        Ok(connection) => connection,
        Err(error) => return (Err(("refused", error.to_string())), None),
    };
    let sent = connection.write(&question.bytes());
    match connection.read_answer(question.method()) {
        Ok(answer) => (Ok(answer), Some(connection)),
        Err(failure) => (Err(named(failure, sent.err())), None),
    }
}

fn kind_of(answer: &Answer, expected: &[u8]) -> String {
    if answer.status != 200 {
        format!("status {}", answer.status)
    } else if !answer.whole {
        "cut short".to_owned()
    } else if answer.body.len() < expected.len() && expected.starts_with(&answer.body) {
        "short".to_owned()
    } else if answer.body != expected {
        "wrong".to_owned()
    } else {
        "good".to_owned()
    }
}

fn named(failure: ReadFailure, sent: Option<std::io::Error>) -> (&'static str, String) {
    let kind = match &failure {
        ReadFailure::Closed => "closed",
        ReadFailure::Broken(_) => "broken",
        ReadFailure::Silent => "silent",
        ReadFailure::Malformed(_) => "malformed",
    };
    (kind, format!("{failure:?} (write: {sent:?})"))
}
