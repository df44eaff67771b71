//! Watches the part of the start-up that runs code of others, Python's own start and the preloaded scripts: while it lasts the
//! process takes no requests, and without a record nobody would know why they wait.
//!
//! A thread of its own, which ends with the part that it watches. It asks for the GIL, for the stack of what hangs, when its first
//! record is written: what hangs may hold it.

use std::thread::{self, Builder};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use wsgi_core::life::Phase;
use wsgi_sys::board::Board;
use wsgi_sys::process;

use crate::log::{self, Level};
use crate::worker;

/// How long a step may last before it is reported. The first record comes soon, the others seldom.
const PATIENCE: [Duration; 2] = [Duration::from_secs(10), Duration::from_secs(60)];
/// Time between later records.
const SELDOM: Duration = Duration::from_secs(600);

/// What the process is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    Python,
    Script(String),
    Over,
}

/// Where the start-up is, and who wants to know.
pub(super) struct Watch<'s> {
    group: &'s str,
    board: &'s Board,
    /// Logs the stack of the thread that loads.
    dump: &'s (dyn Fn() + Sync),
    step: Mutex<Step>,
    over: Condvar,
}

/// Ends the watching, also where the start-up panics.
struct End<'w>(&'w Watch<'w>);

impl Drop for End<'_> {
    fn drop(&mut self) {
        *self.0.step.lock() = Step::Over;
        self.0.over.notify_all();
    }
}

impl Watch<'_> {
    /// Does `work`, whose first step is Python's start, and reports where it takes long. `dump` logs the stack of the thread that
    /// loads, when there is Python; it may wait for the GIL. `stack_size` as in the settings.
    pub(super) fn over<T>(
        group: &str,
        board: &Board,
        dump: &(dyn Fn() + Sync),
        stack_size: Option<u64>,
        work: impl FnOnce(&Watch<'_>) -> T,
    ) -> T {
        let watch = Watch {
            group,
            board,
            dump,
            step: Mutex::new(Step::Python),
            over: Condvar::new(),
        };
        thread::scope(|scope| {
            let _end = End(&watch);
            let watcher = Builder::new()
                .name("wsgi-start".into())
                .stack_size(worker::stack_size(stack_size))
                .spawn_scoped(scope, || watch.run());
            if let Err(error) = watcher {
                let text = format!("no thread to watch the start of the process: {error}");
                log::record(Level::Info, text);
            }
            work(&watch)
        })
    }

    /// This script is loaded next.
    pub(super) fn loads(&self, script: &str) {
        *self.step.lock() = Step::Script(script.to_owned());
    }

    fn run(&self) {
        let began = Instant::now();
        let mut patience = PATIENCE.into_iter();
        let mut due = began + patience.next().unwrap_or(SELDOM);
        let mut step = self.step.lock();
        while *step != Step::Over {
            if !self.over.wait_until(&mut step, due).timed_out() {
                continue;
            }
            let text = self.describe(&step, began.elapsed());
            let has_python = matches!(*step, Step::Script(_));
            due = Instant::now() + patience.next().unwrap_or(SELDOM);
            // The record may have to wait for the supervisor, and the stack for the GIL; the start-up waits for neither.
            parking_lot::MutexGuard::unlocked(&mut step, || {
                log::coded(5209, Level::Warning, text);
                if has_python {
                    (self.dump)();
                }
            });
        }
    }

    fn describe(&self, step: &Step, since: Duration) -> String {
        let pid = process::id();
        let (doing, remedy) = match step {
            Step::Python | Step::Over => (
                "Python itself is starting".to_owned(),
                "look at .pth files and sitecustomize of its Python",
            ),
            Step::Script(script) => (
                format!("it is loading '{script}'"),
                "look at what the script waits for while it is imported, and give that a timeout",
            ),
        };
        let serving =
            |slot| matches!(self.board.phase(slot), phase if phase == Phase::Serving.board_value());
        let requests = if (0..self.board.slots()).any(serving) {
            "Requests go to the processes that serve"
        } else {
            "Requests wait for it, and get 504 after socket-timeout"
        };
        format!(
            "process {pid} of group '{}' is still starting after {} s: {doing}. {requests}. Nothing ends this but the code \
             itself (startup-timeout begins with the first request): {remedy}; its stack follows at LogLevel info, or see `py-spy dump --pid {pid}`",
            self.group,
            since.as_secs()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the record says depends on what is done, and on whether others serve.
    #[test]
    fn the_record_names_cause_and_effect() {
        let board = Board::create(2).unwrap().0;
        let watch = Watch {
            group: "site",
            board: &board,
            dump: &|| (),
            step: Mutex::new(Step::Python),
            over: Condvar::new(),
        };
        let text = watch.describe(&Step::Python, Duration::from_secs(10));
        for part in ["group 'site'", "after 10 s", "sitecustomize", "504"] {
            assert!(text.contains(part), "{text}");
        }
        watch.loads("/srv/app.wsgi");
        let step = watch.step.lock().clone();
        board.set_phase(1, Phase::Serving);
        let text = watch.describe(&step, Duration::from_secs(60));
        for part in ["loading '/srv/app.wsgi'", "processes that serve"] {
            assert!(text.contains(part), "{text}");
        }
        assert!(!text.contains("504"), "{text}");
    }

    /// The watcher ends with what it watches.
    #[test]
    fn watching_ends_with_the_work() {
        let board = Board::create(1).unwrap().0;
        let done = Watch::over("site", &board, &|| (), None, |watch| {
            watch.loads("/srv/app.wsgi");
            7
        });
        assert_eq!(done, 7);
    }
}
