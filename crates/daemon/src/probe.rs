//! The thread that touches the GIL for the clock, which must never wait for it: deadlock probes, stack dumps and
//! interrupts of requests that run too long.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{Builder, JoinHandle};

use wsgi_sys::clock;

use crate::log::{self, Level};
use crate::process::Process;
use crate::worker;

/// Something that needs the GIL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Task {
    /// Take and release it (DMN-440).
    Touch,
    /// Log the stacks of running requests (DMN-432).
    DumpStacks,
    /// Raise RequestTimeout in the request of a thread, after logging the stacks (DMN-433).
    Interrupt(u32),
    /// End the thread.
    End,
}

/// The way to that thread.
#[derive(Clone)]
pub(crate) struct Probe {
    tasks: Sender<Task>,
    /// When the last task was done, in monotonic microseconds.
    seen: Arc<AtomicU64>,
}

impl Probe {
    /// Starts the thread; None if no limit needs it, or it cannot be started. It must have ended before Python does:
    /// CPython ends threads that ask for the GIL afterwards, whatever is on their stack.
    pub(crate) fn start(process: &Arc<Process>) -> Option<(Probe, JoinHandle<()>)> {
        let limits = &process.settings.limits;
        if limits.deadlock_timeout == 0 && limits.request_timeout == 0 {
            return None;
        }
        let (tasks, receiver) = channel();
        let seen = Arc::new(AtomicU64::new(clock::monotonic_micros()));
        let (shared, noted) = (Arc::clone(process), Arc::clone(&seen));
        let thread = Builder::new()
            .name("wsgi-probe".into())
            .stack_size(worker::stack_size(process.settings.stack_size))
            .spawn(move || work(&shared, &receiver, &noted));
        match thread {
            Ok(thread) => Some((Probe { tasks, seen }, thread)),
            Err(error) => {
                let text = format!("no thread to detect deadlocks: {error}");
                log::coded(69, Level::Error, text);
                None
            }
        }
    }

    /// Hands over a task; it is done when the GIL allows.
    pub(crate) fn ask(&self, task: Task) {
        // A thread that has ended is not asked any more for anything that matters.
        let _ = self.tasks.send(task);
    }

    /// When the GIL was had last, in monotonic microseconds.
    pub(crate) fn seen(&self) -> u64 {
        self.seen.load(Ordering::Relaxed)
    }
}

fn work(process: &Process, tasks: &Receiver<Task>, seen: &AtomicU64) {
    for task in tasks {
        match task {
            Task::Touch => process.runtime.probe(),
            Task::DumpStacks => process.runtime.dump_stacks(),
            Task::Interrupt(thread) => {
                process.runtime.dump_stacks();
                let raised = process.runtime.interrupt(thread);
                let what = if raised {
                    "was interrupted"
                } else {
                    "had ended already"
                };
                log::record(Level::Info, format!("request of thread {thread} {what}"));
            }
            Task::End => break,
        }
        seen.store(clock::monotonic_micros(), Ordering::Relaxed);
    }
    process.runtime.leave_thread();
}
