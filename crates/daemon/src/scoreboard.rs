//! Questions about Apache's scoreboard (`server-metrics=On`): this process has no access to it and asks the supervisor
//! (DMN-905), whose answers come over the control channel among its orders.
//!
//! Any thread asks, one at a time, and waits for at most [`PATIENCE`]. Answers are taken off the channel by the thread that
//! reads orders; before there is one (scripts are preloaded) and after it (the process ends), by the one who asks. A static,
//! because the runtime's table asks without a context.

use std::os::fd::AsFd;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use parking_lot::{Condvar, Mutex};
use wsgi_core::control::{FromDaemon, ToDaemon};
use wsgi_core::scoreboard::{Assembly, Next, Page, Scoreboard};
use wsgi_sys::control::{ControlSocket, Received};

/// How long the whole of a question may take. The supervisor answers at once; one that is stopped, or cannot keep up, is not
/// waited for.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long one who reads the channel itself may miss that another thread has begun to, milliseconds.
const GLANCE: u16 = 50;

struct Questions {
    control: Arc<ControlSocket>,
    /// Held by the one who asks; number of the last question.
    asking: Mutex<u32>,
    answers: Mutex<Answers>,
    arrived: Condvar,
}

#[derive(Default)]
struct Answers {
    /// Whether a thread is there that reads orders.
    is_read: bool,
    /// The supervisor is gone.
    is_closed: bool,
    /// The last one, with the number of its question.
    answer: Option<(u32, Option<Page>)>,
    /// Orders that one who asked has taken off the channel.
    orders: Vec<ToDaemon>,
}

static QUESTIONS: OnceLock<Questions> = OnceLock::new();

/// Allows questions. Without it, [`ask`] gives None.
pub(crate) fn start(control: Arc<ControlSocket>) {
    // A second call in a process would be a mistake without effect.
    let _ = QUESTIONS.set(Questions::new(control));
}

/// The scoreboard; None if it may not be known, or the supervisor does not answer. Not with the GIL held.
pub(crate) fn ask() -> Option<Scoreboard> {
    QUESTIONS.get()?.ask(PATIENCE)
}

/// From now on the calling thread reads the channel. Orders that have come already.
pub(crate) fn begin_reading() -> Vec<ToDaemon> {
    QUESTIONS
        .get()
        .map(Questions::begin_reading)
        .unwrap_or_default()
}

/// Nobody reads the channel any more. `is_closed`: nothing will come over it.
pub(crate) fn end_reading(is_closed: bool) {
    if let Some(questions) = QUESTIONS.get() {
        questions.end_reading(is_closed);
    }
}

/// An answer has come.
pub(crate) fn answered(question: u32, page: Option<Page>) {
    if let Some(questions) = QUESTIONS.get() {
        questions.answers.lock().answer = Some((question, page));
        questions.arrived.notify_all();
    }
}

impl Questions {
    fn new(control: Arc<ControlSocket>) -> Questions {
        Questions {
            control,
            asking: Mutex::new(0),
            answers: Mutex::new(Answers::default()),
            arrived: Condvar::new(),
        }
    }

    fn ask(&self, patience: Duration) -> Option<Scoreboard> {
        let deadline = Instant::now() + patience;
        let mut number = self.asking.try_lock_until(deadline)?;
        let (mut assembly, mut from) = (Assembly::new(), 0);
        loop {
            *number = number.wrapping_add(1);
            let page = self.page(*number, from, deadline)?;
            match assembly.take(page) {
                Next::Whole(whole) => return Some(whole),
                Next::Ask(next) if next > from => from = next,
                Next::Ask(_) | Next::Broken => return None,
            }
        }
    }

    fn page(&self, question: u32, from: u64, deadline: Instant) -> Option<Page> {
        self.answers.lock().answer = None;
        let asked = FromDaemon::ServerMetrics { question, from };
        while !self.control.try_send(&asked).ok()? {
            self.wait(PollFlags::POLLOUT, deadline)?;
        }
        loop {
            let mut answers = self.answers.lock();
            match answers.answer.take() {
                Some((number, page)) if number == question => return page,
                // Of one that was given up.
                _ => {}
            }
            if answers.is_closed {
                return None;
            }
            if answers.is_read {
                if self.arrived.wait_until(&mut answers, deadline).timed_out() {
                    return None;
                }
                continue;
            }
            // Under the lock, so that no order is taken from a thread that has begun to read.
            match self.control.try_receive::<ToDaemon>().ok()? {
                Received::Message(ToDaemon::ServerMetrics { question, page }) => {
                    answers.answer = Some((question, page));
                }
                Received::Message(order) => answers.orders.push(order),
                Received::Closed => answers.is_closed = true,
                Received::Nothing => {
                    drop(answers);
                    self.wait(PollFlags::POLLIN, deadline)?;
                }
            }
        }
    }

    /// Waits for the channel, or a moment; None after the deadline.
    fn wait(&self, what: PollFlags, deadline: Instant) -> Option<()> {
        if Instant::now() >= deadline {
            return None;
        }
        let mut set = [PollFd::new(self.control.as_fd(), what)];
        // Whatever poll says, the next try tells.
        let _ = poll(&mut set, PollTimeout::from(GLANCE));
        Some(())
    }

    fn begin_reading(&self) -> Vec<ToDaemon> {
        let mut answers = self.answers.lock();
        answers.is_read = true;
        std::mem::take(&mut answers.orders)
    }

    fn end_reading(&self, is_closed: bool) {
        let mut answers = self.answers.lock();
        answers.is_read = false;
        answers.is_closed |= is_closed;
        drop(answers);
        self.arrived.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use wsgi_core::life::Reason;
    use wsgi_core::scoreboard::{ProcessRow, Row, Summary};

    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    fn questions() -> (Questions, ControlSocket) {
        let (supervisor, daemon) = ControlSocket::pair().unwrap();
        (Questions::new(Arc::new(daemon)), supervisor)
    }

    fn receive(supervisor: &ControlSocket) -> (u32, u64) {
        match supervisor.receive::<FromDaemon>().unwrap() {
            Received::Message(FromDaemon::ServerMetrics { question, from }) => (question, from),
            other => panic!("not a question: {other:?}"),
        }
    }

    /// A server of two processes without threads, one row a page.
    fn page(from: u64) -> Page {
        let summary = Summary {
            server_limit: 2,
            ..Summary::default()
        };
        let pid = i32::try_from(from).unwrap() + 100;
        let row = Row::Process(ProcessRow {
            pid,
            ..ProcessRow::default()
        });
        Page {
            summary,
            rows: vec![row],
        }
    }

    fn pids(scoreboard: &Scoreboard) -> Vec<i32> {
        scoreboard
            .processes()
            .map(|(process, _)| process.pid)
            .collect()
    }

    /// While scripts are preloaded, the one who asks reads the channel; orders are kept for the thread that will.
    #[test]
    fn who_asks_reads_while_nobody_else_does() {
        let (questions, supervisor) = questions();
        let answering = thread::spawn(move || {
            for _ in 0..2 {
                let (question, from) = receive(&supervisor);
                supervisor
                    .send(&ToDaemon::Drain(Reason::GracefulSignal))
                    .unwrap();
                let old = ToDaemon::ServerMetrics {
                    question: question - 1,
                    page: None,
                };
                supervisor.send(&old).unwrap();
                let page = Some(page(from));
                supervisor
                    .send(&ToDaemon::ServerMetrics { question, page })
                    .unwrap();
            }
            supervisor
        });
        let whole = questions.ask(LONG).expect("an answer");
        assert_eq!(pids(&whole), [100, 101]);
        let orders = vec![ToDaemon::Drain(Reason::GracefulSignal); 2];
        assert_eq!(questions.begin_reading(), orders);
        drop(answering.join().unwrap());
    }

    /// A thread that serves waits for the main thread to pass its answer on.
    #[test]
    fn a_reader_passes_answers_on() {
        let (questions, supervisor) = questions();
        let questions = Arc::new(questions);
        assert_eq!(questions.begin_reading(), []);
        let asking = thread::spawn({
            let questions = Arc::clone(&questions);
            move || questions.ask(LONG)
        });
        for _ in 0..2 {
            let (question, from) = receive(&supervisor);
            questions.answers.lock().answer = Some((question, Some(page(from))));
            questions.arrived.notify_all();
        }
        assert_eq!(
            pids(&asking.join().unwrap().expect("an answer")),
            [100, 101]
        );
    }

    /// A supervisor that refuses, does not answer, or is gone, is None and no hang.
    #[test]
    fn no_answer_is_none() {
        let (asked, supervisor) = questions();
        assert_eq!(asked.ask(Duration::from_millis(1)), None);
        asked.begin_reading();
        assert_eq!(asked.ask(Duration::from_millis(1)), None);
        assert_eq!(receive(&supervisor).1, 0);
        asked.end_reading(true);
        assert_eq!(asked.ask(LONG), None);

        let (asked, supervisor) = questions();
        let gone = thread::spawn(move || receive(&supervisor).1);
        assert_eq!(asked.ask(LONG), None);
        assert_eq!(gone.join().unwrap(), 0);
        assert_eq!(asked.ask(LONG), None);

        let (asked, supervisor) = questions();
        let refusing = thread::spawn(move || {
            let (question, _) = receive(&supervisor);
            supervisor
                .send(&ToDaemon::ServerMetrics {
                    question,
                    page: None,
                })
                .unwrap();
        });
        assert_eq!(asked.ask(LONG), None);
        refusing.join().unwrap();
    }

    /// The end of the reading thread wakes one who waits for it: it reads itself then.
    #[test]
    fn the_end_of_the_reader_is_noticed() {
        let (questions, supervisor) = questions();
        let questions = Arc::new(questions);
        questions.begin_reading();
        let asking = thread::spawn({
            let questions = Arc::clone(&questions);
            move || questions.ask(LONG)
        });
        let (question, from) = receive(&supervisor);
        questions.end_reading(false);
        let first = Some(page(from));
        supervisor
            .send(&ToDaemon::ServerMetrics {
                question,
                page: first,
            })
            .unwrap();
        let (question, from) = receive(&supervisor);
        let second = Some(page(from));
        supervisor
            .send(&ToDaemon::ServerMetrics {
                question,
                page: second,
            })
            .unwrap();
        assert_eq!(
            pids(&asking.join().unwrap().expect("an answer")),
            [100, 101]
        );
    }
}
