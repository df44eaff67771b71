//! Apache's scoreboard as `mod_wsgi.server_metrics()` shows it (MET-61 to MET-64), and its way to a daemon: page by page.
//!
//! A daemon has no access to the scoreboard. It asks the supervisor for one [`Page`] after another, each of which fits into a
//! message of the control channel whatever ServerLimit and ThreadLimit are, and puts them together with [`Assembly`]. So the
//! supervisor keeps nothing between two questions, and never waits for a daemon. Rows are as old as their page: the scoreboard
//! itself is written all the time and has no consistent state either.

use serde::{Deserialize, Serialize};

/// Longest text of a row, bytes: `client64` and `request` of httpd have 64 with their NUL.
pub const MAX_TEXT: usize = 64;

/// Most bytes of rows in a page, as encoded. A row has at most about 270.
pub const PAGE_SIZE: usize = 32 * 1024;

/// What is known of the server as a whole. Times are microseconds since the epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    /// ServerLimit: number of process rows.
    pub server_limit: u32,
    /// ThreadLimit: number of worker rows of each process.
    pub thread_limit: u32,
    /// The MPM's generation.
    pub running_generation: i32,
    /// When the server was started or restarted.
    pub restart_time: i64,
    /// When the scoreboard was read.
    pub current_time: i64,
}

/// A process slot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessRow {
    /// Its pid; 0 if there never was one.
    pub pid: i32,
    /// Its generation.
    pub generation: i32,
    /// Whether it is ending gracefully.
    pub quiescing: bool,
}

/// A worker slot. Times are microseconds since the epoch, 0 for never; texts are raw bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkerRow {
    /// httpd's number of the thread: its slot's; for prefork that of the process, and 0 in a slot that was never used.
    pub thread_num: i32,
    /// Its generation.
    pub generation: i32,
    /// httpd's number of its state, see [`WorkerRow::status`].
    pub state: u8,
    /// Requests.
    pub access_count: u64,
    /// Bytes.
    pub bytes_served: i64,
    /// Begin of the last request.
    pub start_time: i64,
    /// End of the last request.
    pub stop_time: i64,
    /// Last change of this row.
    pub last_used: i64,
    /// Client of the last request.
    pub client: Vec<u8>,
    /// Its request line, cut.
    pub request: Vec<u8>,
    /// Its virtual host, cut.
    pub vhost: Vec<u8>,
}

impl WorkerRow {
    /// MET-64: one character. A state that no httpd 2.4 has is `?`.
    pub fn status(&self) -> char {
        const STATES: &[u8] = b".S_RWKLDCGI";
        STATES
            .get(usize::from(self.state))
            .map_or('?', |state| char::from(*state))
    }
}

/// A text of the scoreboard: up to its NUL, or the whole field if a writer has left none.
pub fn text(field: &[u8]) -> Vec<u8> {
    let field = &field[..field.len().min(MAX_TEXT)];
    let end = field.iter().position(|byte| *byte == 0);
    field[..end.unwrap_or(field.len())].to_vec()
}

/// A row. Each process is followed by its workers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Row {
    /// A process.
    Process(ProcessRow),
    /// One of its workers.
    Worker(WorkerRow),
}

impl Row {
    fn size(&self) -> usize {
        match self {
            Row::Process(_) => 16,
            // Numbers at their longest.
            Row::Worker(row) => 90 + row.client.len() + row.request.len() + row.vhost.len(),
        }
    }
}

/// Some consecutive rows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Page {
    /// Of the whole.
    pub summary: Summary,
    /// The rows from the number that was asked for.
    pub rows: Vec<Row>,
}

impl Page {
    /// The rows from number `from` that fit into one message. `process` and `worker` read a slot and give None for one that
    /// the server does not have, which ends the page.
    pub fn read(
        summary: Summary,
        from: u64,
        process: impl Fn(u32) -> Option<ProcessRow>,
        worker: impl Fn(u32, u32) -> Option<WorkerRow>,
    ) -> Page {
        let (mut rows, mut size) = (Vec::new(), 0);
        let mut number = from;
        while let Some(place) = summary.place(number) {
            let row = match place {
                Place::Process(index) => process(index).map(Row::Process),
                Place::Worker(index, thread) => worker(index, thread).map(Row::Worker),
            };
            let Some(row) = row else { break };
            size += row.size();
            if size > PAGE_SIZE {
                break;
            }
            rows.push(row);
            number += 1;
        }
        Page { summary, rows }
    }
}

/// What the row of a number is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Process(u32),
    Worker(u32, u32),
}

impl Summary {
    /// Number of all rows.
    fn rows(&self) -> u64 {
        u64::from(self.server_limit) * (u64::from(self.thread_limit) + 1)
    }

    fn place(&self, number: u64) -> Option<Place> {
        if number >= self.rows() {
            return None;
        }
        let each = u64::from(self.thread_limit) + 1;
        let process = u32::try_from(number / each).ok()?;
        match u32::try_from(number % each).ok()? {
            0 => Some(Place::Process(process)),
            thread => Some(Place::Worker(process, thread - 1)),
        }
    }
}

/// The whole scoreboard.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scoreboard {
    /// Of the first page.
    pub summary: Summary,
    /// `server_limit` processes, each followed by its `thread_limit` workers.
    pub rows: Vec<Row>,
}

impl Scoreboard {
    /// The processes, each with its workers.
    pub fn processes(
        &self,
    ) -> impl Iterator<Item = (&ProcessRow, impl Iterator<Item = &WorkerRow>)> {
        let each = self.summary.thread_limit as usize + 1;
        self.rows.chunks(each).filter_map(|rows| {
            let Some((Row::Process(process), workers)) = rows.split_first() else {
                return None;
            };
            let workers = workers.iter().filter_map(|row| match row {
                Row::Worker(worker) => Some(worker),
                Row::Process(_) => None,
            });
            Some((process, workers))
        })
    }

    /// For the runtime's table.
    pub fn encode(&self) -> Vec<u8> {
        postcard::to_stdvec(self).expect("plain data always encodes")
    }

    /// What [`Scoreboard::encode`] made; None if it is something else.
    pub fn decode(bytes: &[u8]) -> Option<Scoreboard> {
        match postcard::take_from_bytes(bytes) {
            Ok((scoreboard, [])) => Some(scoreboard),
            _ => None,
        }
    }
}

/// Puts pages together.
#[derive(Debug, Default)]
pub struct Assembly {
    whole: Option<Scoreboard>,
}

/// What follows a page.
#[derive(Debug, PartialEq, Eq)]
pub enum Next {
    /// The page from this row is to be asked for.
    Ask(u64),
    /// Everything is there.
    Whole(Scoreboard),
    /// The page does not belong to the ones before, or has nothing: there is no whole.
    Broken,
}

impl Assembly {
    /// Nothing yet; the first page to ask for is that of row 0.
    pub fn new() -> Assembly {
        Assembly::default()
    }

    /// Takes the page that was asked for.
    pub fn take(&mut self, page: Page) -> Next {
        let first = Scoreboard {
            summary: page.summary,
            rows: Vec::new(),
        };
        let mut whole = self.whole.take().unwrap_or(first);
        let sizes = |summary: &Summary| (summary.server_limit, summary.thread_limit);
        if sizes(&whole.summary) != sizes(&page.summary) {
            return Next::Broken;
        }
        for row in page.rows {
            let number = whole.rows.len() as u64;
            let fits = matches!(
                (whole.summary.place(number), &row),
                (Some(Place::Process(_)), Row::Process(_))
                    | (Some(Place::Worker(..)), Row::Worker(_))
            );
            if !fits {
                return Next::Broken;
            }
            whole.rows.push(row);
        }
        let have = whole.rows.len() as u64;
        if have == whole.summary.rows() {
            return Next::Whole(whole);
        }
        self.whole = Some(whole);
        Next::Ask(have)
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use crate::control::{FromDaemon, MAX_MESSAGE, ToDaemon, decode, encode};

    fn worker(seed: u64, texts: usize) -> WorkerRow {
        WorkerRow {
            thread_num: i32::MIN,
            generation: i32::MAX,
            state: u8::try_from(seed % 13).unwrap(),
            access_count: u64::MAX - seed,
            bytes_served: i64::MIN,
            start_time: i64::MIN,
            stop_time: i64::MIN,
            last_used: i64::MIN,
            client: vec![b'c'; texts],
            request: vec![0xff; texts],
            vhost: vec![b'v'; texts],
        }
    }

    fn process(index: u32) -> Option<ProcessRow> {
        Some(ProcessRow {
            pid: i32::try_from(index).unwrap(),
            generation: i32::MIN,
            quiescing: index % 2 == 1,
        })
    }

    /// Asks for pages as a daemon does, over the encoding of the channel; None if it is told nothing new.
    fn ask(summary: Summary, texts: usize) -> (Option<Scoreboard>, usize) {
        let (mut assembly, mut from, mut pages) = (Assembly::new(), 0, 0);
        loop {
            let page = Page::read(summary, from, process, |index, thread| {
                Some(worker(
                    u64::from(index) * 100_000 + u64::from(thread),
                    texts,
                ))
            });
            let answer = ToDaemon::ServerMetrics {
                question: 7,
                page: Some(page),
            };
            let packet = encode(&answer).expect("a page fits into a message");
            assert!(packet.len() <= MAX_MESSAGE / 2);
            let Ok(ToDaemon::ServerMetrics {
                page: Some(page), ..
            }) = decode(&packet)
            else {
                panic!("it is decoded as what it was")
            };
            pages += 1;
            match assembly.take(page) {
                Next::Ask(next) if next > from => from = next,
                Next::Ask(_) | Next::Broken => return (None, pages),
                Next::Whole(whole) => return (Some(whole), pages),
            }
        }
    }

    /// MET-64
    #[test]
    fn states_are_characters() {
        let status = |state| {
            WorkerRow {
                state,
                ..WorkerRow::default()
            }
            .status()
        };
        let all: String = (0..12).map(status).collect();
        assert_eq!(all, ".S_RWKLDCGI?");
        assert_eq!(status(255), '?');
    }

    /// A server of the most processes and threads that httpd allows for the event MPM by default, and one with thousands of
    /// threads in a process, come over in pages.
    #[test]
    fn big_servers_fit() {
        for (server_limit, thread_limit) in [(16, 64), (2, 20_000), (5_000, 1), (0, 64), (3, 0)] {
            let summary = Summary {
                server_limit,
                thread_limit,
                ..Summary::default()
            };
            let (whole, pages) = ask(summary, MAX_TEXT);
            let whole = whole.expect("a whole");
            assert_eq!(whole.processes().count(), server_limit as usize);
            for (index, (process, workers)) in whole.processes().enumerate() {
                assert_eq!(process.pid as usize, index);
                let seeds = workers.map(|worker| u64::MAX - worker.access_count);
                let expected = (0..u64::from(thread_limit)).map(|t| index as u64 * 100_000 + t);
                assert!(seeds.eq(expected));
            }
            let rows = server_limit as usize * (thread_limit as usize + 1);
            assert!(pages <= rows / 100 + 1, "{pages} pages of {rows} rows");
        }
    }

    /// A supervisor that has nothing to say, or changes its mind, does not keep a daemon asking.
    #[test]
    fn what_does_not_fit_is_no_whole() {
        let summary = Summary {
            server_limit: 2,
            thread_limit: 1,
            ..Summary::default()
        };
        let row = || Row::Process(ProcessRow::default());
        let page = |rows| Page { summary, rows };
        let mut assembly = Assembly::new();
        assert_eq!(assembly.take(page(vec![row()])), Next::Ask(1));
        assert_eq!(assembly.take(page(vec![])), Next::Ask(1));
        assert_eq!(assembly.take(page(vec![row()])), Next::Broken);
        let mut assembly = Assembly::new();
        assert_eq!(assembly.take(page(vec![row()])), Next::Ask(1));
        let other = Page {
            summary: Summary::default(),
            rows: vec![],
        };
        assert_eq!(assembly.take(other), Next::Broken);
    }

    fn any_row() -> impl Strategy<Value = Row> {
        let texts = (vec(any::<u8>(), 0..80), vec(any::<u8>(), 0..80));
        let numbers = (any::<i32>(), any::<u8>(), any::<u64>(), any::<i64>());
        prop_oneof![
            (any::<i32>(), any::<i32>(), any::<bool>()).prop_map(|(pid, generation, quiescing)| {
                Row::Process(ProcessRow {
                    pid,
                    generation,
                    quiescing,
                })
            }),
            (numbers, texts).prop_map(|((generation, state, count, time), (one, two))| {
                Row::Worker(WorkerRow {
                    thread_num: generation,
                    generation,
                    state,
                    access_count: count,
                    bytes_served: time,
                    start_time: time,
                    stop_time: -(time / 2),
                    last_used: 0,
                    client: text(&one),
                    request: text(&two),
                    vhost: Vec::new(),
                })
            }),
        ]
    }

    proptest! {
        /// Texts are bounded, with or without a NUL.
        #[test]
        fn texts_are_bounded(field in vec(any::<u8>(), 0..200)) {
            let text = text(&field);
            prop_assert!(text.len() <= MAX_TEXT && !text.contains(&0) && field.starts_with(&text));
        }

        /// Questions and answers are decoded as what they were.
        #[test]
        fn frames_survive(
            rows in vec(any_row(), 0..40), question: u32, from: u64, limits in any::<(u32, u32)>(), times in any::<(i64, i64)>(),
        ) {
            let summary = Summary {
                server_limit: limits.0,
                thread_limit: limits.1,
                running_generation: -1,
                restart_time: times.0,
                current_time: times.1,
            };
            let answer = ToDaemon::ServerMetrics { question, page: Some(Page { summary, rows: rows.clone() }) };
            prop_assert_eq!(decode::<ToDaemon>(&encode(&answer).unwrap()).unwrap(), answer);
            let asked = FromDaemon::ServerMetrics { question, from };
            prop_assert_eq!(decode::<FromDaemon>(&encode(&asked).unwrap()).unwrap(), asked);
            let whole = Scoreboard { summary, rows };
            prop_assert_eq!(Scoreboard::decode(&whole.encode()), Some(whole));
        }

        /// No packet makes a decoder, or the one who puts pages together, panic.
        #[test]
        fn garbage_is_borne(packet in vec(any::<u8>(), 0..300), cut in 0_usize..400) {
            let _ = decode::<FromDaemon>(&packet);
            let _ = Scoreboard::decode(&packet);
            let mut assembly = Assembly::new();
            if let Ok(ToDaemon::ServerMetrics { page: Some(page), .. }) = decode(&packet) {
                let _ = assembly.take(page);
            }
            let page = Page { summary: Summary { server_limit: 3, thread_limit: 2, ..Summary::default() }, rows: vec![Row::Worker(worker(1, 9))] };
            let whole = encode(&ToDaemon::ServerMetrics { question: 1, page: Some(page) }).unwrap();
            let cut = cut.min(whole.len() - 1);
            prop_assert!(decode::<ToDaemon>(&whole[..cut]).is_err());
        }

        /// Whatever row a daemon asks for, the supervisor reads only slots that the server has.
        #[test]
        fn only_slots_that_exist_are_read(from: u64, server_limit in 0_u32..50, thread_limit in 0_u32..50) {
            let summary = Summary { server_limit, thread_limit, ..Summary::default() };
            for from in [from, from % 3000] {
                let page = Page::read(
                    summary,
                    from,
                    |index| { assert!(index < server_limit); process(index) },
                    |index, thread| {
                        assert!(index < server_limit && thread < thread_limit);
                        Some(worker(0, 3))
                    },
                );
                let has_rows = from < u64::from(server_limit) * (u64::from(thread_limit) + 1);
                prop_assert_eq!(!page.rows.is_empty(), has_rows);
            }
        }
    }
}
