//! The main thread of a serving daemon: opens it for requests, then waits for orders of the supervisor, for signals, and
//! for the end of the last request when it drains.

use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{Builder, JoinHandle};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use wsgi_core::control::{FromDaemon, ToDaemon};
use wsgi_core::life::{Phase, Reason};
use wsgi_runtime_api::runtime::Runtime;
use wsgi_sys::control::{ChannelError, ControlSocket, Received};
use wsgi_sys::signals::SignalPipe;

use crate::clock::Clock;
use crate::hold::HoldTimer;
use crate::log::{self, Level};
use crate::probe::Probe;
use crate::process::Process;
use crate::scoreboard;
use crate::shutdown::{self, Helpers};
use crate::start::{StartError, Started, confined};
use crate::worker;

/// Signals for Python that may wait to be delivered; more are dropped (API-330).
const MOST_SIGNALS: usize = 64;

/// Serves until the end of the process.
pub(crate) fn run(started: Started) -> Result<(), StartError> {
    let Started {
        process,
        control,
        signals,
    } = started;
    if let Err(error) = process.runtime.start_reporting() {
        log::record(Level::Error, format!("telemetry does not start: {error}"));
    }
    let mut threads = Vec::with_capacity(process.desks.len());
    for ordinal in 1..=process.settings.threads {
        let thread = worker::start(&process, ordinal).map_err(|source| StartError::Thread {
            ordinal,
            source,
            confined: confined(&process.settings),
        })?;
        threads.push(thread);
    }
    let (signal_sender, dispatcher) = start_dispatcher(&process);
    let probe = Probe::start(&process);
    HoldTimer::start(&process);
    let clock = Clock::start(&process, probe.as_ref().map(|(probe, _)| probe.clone()));

    process.life.serve();
    // Told first: a request that kills the process at once must not look like a failure to start.
    let told = control.send(&FromDaemon::Ready);
    process.dispatch.open().map_err(StartError::Dispatch)?;
    if told.is_err() {
        process
            .life
            .stop(Reason::SignalPipeError, &process.dispatch);
    }
    let main = Main {
        process: &process,
        control: &control,
        signals: &signals,
    };
    main.wait_for_the_end(signal_sender.as_ref());
    scoreboard::end_reading(false);
    let helpers = Helpers {
        threads,
        python_signals: signal_sender,
        dispatcher,
        probe,
        clock,
    };
    shutdown::run(&process, helpers);
    Ok(())
}

/// The thread that delivers SIGHUP and SIGUSR2 to Python (DMN-503): a subscriber that blocks holds up nothing else.
fn start_dispatcher(process: &Arc<Process>) -> (Option<SyncSender<i32>>, Option<JoinHandle<()>>) {
    let (sender, receiver) = sync_channel(MOST_SIGNALS);
    let shared = Arc::clone(process);
    let thread = Builder::new()
        .name("wsgi-signals".into())
        .stack_size(worker::stack_size(process.settings.stack_size))
        .spawn(move || deliver(&receiver, &shared.runtime));
    match thread {
        Ok(thread) => (Some(sender), Some(thread)),
        Err(error) => {
            let text = format!("no thread to deliver signals to Python: {error}");
            log::coded(207, Level::Error, text);
            (None, None)
        }
    }
}

fn deliver(signals: &Receiver<i32>, runtime: &Runtime) {
    for number in signals {
        let name = if number == libc::SIGHUP {
            "SIGHUP"
        } else {
            "SIGUSR2"
        };
        runtime.publish_signal(name, number);
    }
    runtime.leave_thread();
}

struct Main<'p> {
    process: &'p Process,
    control: &'p ControlSocket,
    signals: &'p SignalPipe,
}

impl Main<'_> {
    /// Returns when the process is stopping.
    fn wait_for_the_end(&self, python_signals: Option<&SyncSender<i32>>) {
        for order in scoreboard::begin_reading() {
            self.obey(order);
        }
        loop {
            self.tell_supervisor();
            if self.process.life.is_refusing() {
                // What is unread need not wait for what runs.
                self.process.lookout.end();
            }
            match self.process.life.phase() {
                Phase::Stopping { .. } | Phase::Gone => return self.tell_supervisor(),
                Phase::Draining { reason } if !self.process.is_active() => {
                    self.process.life.stop(reason, &self.process.dispatch);
                    return self.tell_supervisor();
                }
                _ => {}
            }
            let events = self.poll();
            if events.wakeup {
                self.process.life.wakeup.clear();
            }
            if events.signals {
                self.take_signals(python_signals);
            }
            if events.control {
                self.take_orders();
            }
        }
    }

    /// Passes on what other threads have decided.
    fn tell_supervisor(&self) {
        for message in self.process.life.take_untold() {
            if let Err(error) = self.control.send(&message) {
                // The end of the channel is seen by the next poll as well, and stops the process.
                log::record(
                    Level::Info,
                    format!("the supervisor cannot be told: {error}"),
                );
            }
        }
    }

    fn poll(&self) -> Events {
        let mut set = [
            PollFd::new(self.control.as_fd(), PollFlags::POLLIN),
            PollFd::new(self.signals.as_fd(), PollFlags::POLLIN),
            PollFd::new(self.process.life.wakeup.as_fd(), PollFlags::POLLIN),
        ];
        match poll(&mut set, PollTimeout::NONE) {
            Ok(_) => {}
            Err(Errno::EINTR) => return Events::default(),
            Err(errno) => self.lost(&format!("waiting for orders failed: {errno}")),
        }
        let [control, signals, wakeup] = set.map(|fd| fd.any().unwrap_or(true));
        Events {
            control,
            signals,
            wakeup,
        }
    }

    fn lost(&self, what: &str) {
        log::coded(23, Level::Alert, format!("{what}; this process ends"));
        self.process
            .life
            .stop(Reason::SignalPipeError, &self.process.dispatch);
    }

    fn take_orders(&self) {
        loop {
            match self.control.try_receive::<ToDaemon>() {
                Ok(Received::Message(order)) => self.obey(order),
                Ok(Received::Nothing) => return,
                Ok(Received::Closed) => return self.lost("the supervisor is gone"),
                Err(ChannelError::Message(error)) => {
                    log::coded(
                        5204,
                        Level::Error,
                        format!("order of the supervisor: {error}"),
                    );
                }
                Err(error) => return self.lost(&error.to_string()),
            }
        }
    }

    fn obey(&self, order: ToDaemon) {
        let (life, dispatch) = (&self.process.life, &self.process.dispatch);
        match order {
            ToDaemon::Drain(reason) => {
                life.drain(reason, dispatch, self.process.graceful_limit(reason), false);
            }
            ToDaemon::Stop(reason) => life.stop(reason, dispatch),
            ToDaemon::ServerMetrics { question, page } => scoreboard::answered(question, page),
            // Settings come once.
            ToDaemon::Start(_) => {}
        }
    }

    fn take_signals(&self, python_signals: Option<&SyncSender<i32>>) {
        let Some(numbers) = self.signals.read() else {
            return self.lost("the signal pipe is lost");
        };
        let limits = &self.process.settings.limits;
        for number in numbers {
            match number {
                libc::SIGTERM | libc::SIGINT => {
                    let (life, dispatch) = (&self.process.life, &self.process.dispatch);
                    // From whom it came is not known: where it was not the supervisor, a replacement may start before
                    // this process has ended.
                    life.drain(Reason::ShutdownSignal, dispatch, None, true);
                    life.stop(Reason::ShutdownSignal, dispatch);
                }
                libc::SIGUSR1 if limits.eviction_timeout > 0 => {
                    self.process.life.ask_replacement(Reason::EvictionSignal);
                }
                libc::SIGUSR1 => self.process.life.ask_replacement(Reason::GracefulSignal),
                libc::SIGXCPU => self.process.life.ask_replacement(Reason::CpuTimeLimit),
                number => {
                    if let Some(sender) = python_signals {
                        // Full: a subscriber is blocked, and this one is dropped.
                        let _ = sender.try_send(number);
                    }
                }
            }
        }
    }
}

#[derive(Clone, Copy, Default)]
struct Events {
    control: bool,
    signals: bool,
    wakeup: bool,
}
