//! The end of a server: stopping it, and looking at what it leaves: processes, files, shared memory, and lines of the log
//! that nobody expected.

use std::fs;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use nix::sys::signal::Signal;

use super::Server;
use crate::log::{ErrorLog, Level, Record};
use crate::processes;
use crate::site::Mpm;
use crate::wait::wait_within;

/// How long a server may take until it and all of its processes are gone. Bounded by the 3 s of httpd and the 5 s of
/// `shutdown-timeout`; more than that only because the machine may be busy.
const STOP_BOUND: Duration = Duration::from_secs(20);

/// Crashes of httpd's own children after they were told to stop, in all servers of this process (see [`Server::stop`]).
static STOP_CRASHES: AtomicU32 = AtomicU32::new(0);

impl Server {
    /// Stops the server (SIGTERM) and examines what it leaves.
    ///
    /// httpd's event MPM itself crashes a child now and then when told to stop with open keep-alive connections, also without
    /// any module (about 1 in 75 stops). Such crashes of children that held the listening socket when the stop began are
    /// counted and printed, and fail only if there is more than one; any other crash fails.
    ///
    /// # Panics
    /// If anything is left or unexpected, with the log.
    #[track_caller]
    pub fn stop(mut self) {
        let faults = self.finish(Signal::SIGTERM);
        self.assert_none(&faults);
    }

    /// As [`Server::stop`] with the graceful stop of httpd (SIGWINCH).
    #[track_caller]
    pub fn graceful_stop(mut self) {
        let faults = self.finish(Signal::SIGWINCH);
        self.assert_none(&faults);
    }

    /// Waits for httpd to end by itself, and examines what it leaves as [`Server::stop`] does.
    ///
    /// # Panics
    /// If it does not end, or if anything is left or unexpected, with the log.
    #[track_caller]
    pub fn expect_exit(mut self) {
        self.finished = true;
        let ended = wait_within(STOP_BOUND, || self.child.try_wait().ok().flatten());
        let mut faults = self.examine();
        if ended.is_none() {
            faults.push("httpd does not end".to_owned());
        }
        self.assert_none(&faults);
    }

    #[track_caller]
    fn assert_none(&self, faults: &[String]) {
        assert!(
            faults.is_empty(),
            "{}\n{}",
            faults.join("\n"),
            self.shown_log()
        );
    }

    pub(super) fn finish(&mut self, signal: Signal) -> Vec<String> {
        self.finished = true;
        let mut faults = Vec::new();
        self.note_children();
        if let Ok(Some(status)) = self.child.try_wait() {
            faults.push(format!("httpd has ended by itself: {status}"));
        } else {
            self.signal(signal);
            let ended = wait_within(STOP_BOUND, || self.child.try_wait().ok().flatten());
            match ended {
                Some(status) if status.success() => {}
                Some(status) => faults.push(format!("httpd ended with {status}")),
                None => faults.push("httpd does not stop".to_owned()),
            }
        }
        faults.extend(self.examine());
        faults
    }

    /// What is left of a server that has ended, and what its log says.
    fn examine(&mut self) -> Vec<String> {
        let mut faults = Vec::new();
        let all_gone = wait_within(STOP_BOUND, || self.processes().is_empty().then_some(()));
        if all_gone.is_none() {
            for process in self.processes() {
                faults.push(format!("left over: {} {}", process.pid, process.command));
            }
            self.end_all();
        }
        faults.extend(self.leftovers());
        faults.extend(self.faults_in_log());
        faults
    }

    /// Files and shared memory.
    fn leftovers(&self) -> Vec<String> {
        let mut left: Vec<String> = fs::read_dir(self.path("run"))
            .map(|entries| {
                entries
                    .flatten()
                    .map(|entry| entry.path().display().to_string())
                    .collect()
            })
            .unwrap_or_default();
        let seen = self
            .seen
            .lock()
            .expect("no test thread panics while it looks");
        left.extend(processes::shared_memory_of(&seen));
        left.into_iter()
            .map(|name| format!("left over: {name}"))
            .collect()
    }

    fn faults_in_log(&self) -> Vec<String> {
        let expectations = self
            .expectations
            .lock()
            .expect("no test thread panics while it expects");
        let told = self
            .told_to_stop
            .lock()
            .expect("no test thread panics while it restarts");
        let mut records = self.log.records();
        records.extend(ErrorLog::new(self.path("stderr.log")).records());
        let mut faults = Vec::new();
        let mut stop_crashes = 0;
        for record in &records {
            let known = expectations.allowed.iter().chain(&expectations.expected);
            let crash = record.line.contains("AH00051") || record.line.contains("AH00052");
            let raw = expectations.raw && record.level == Level::Raw;
            if raw || known.into_iter().any(|text| record.contains(text)) {
                continue;
            }
            if crash {
                if self.site.mpm == Mpm::Event && told.iter().any(|pid| crashed(record, *pid)) {
                    stop_crashes += 1;
                } else {
                    faults.push(format!("crashed: {}", record.line));
                }
            } else if record.level.is_bad() && !is_noise(record) {
                faults.push(format!("unexpected in the log: {}", record.line));
            }
        }
        if stop_crashes > 0 {
            let all = STOP_CRASHES.fetch_add(stop_crashes, Ordering::Relaxed) + stop_crashes;
            println!("httpd's children crashed after a stop: {stop_crashes} here, {all} so far");
        }
        if stop_crashes > 1 {
            faults.push(format!("{stop_crashes} children crashed after one stop"));
        }
        for text in &expectations.expected {
            if !records.iter().any(|record| record.contains(text)) {
                faults.push(format!("not in the log: {text}"));
            }
        }
        faults
    }

    pub(super) fn shown_log(&self) -> String {
        let stderr = fs::read_to_string(self.path("stderr.log")).unwrap_or_default();
        let log = self.log.text();
        let from = log.char_indices().nth_back(30_000).map_or(0, |(at, _)| at);
        format!(
            "--- standard error\n{stderr}\n--- {}\n{}",
            self.log.path().display(),
            &log[from..]
        )
    }

    /// Ends every process of the server by its id.
    pub(super) fn end_all(&mut self) {
        for process in self.processes() {
            process.signal(Signal::SIGKILL);
        }
        // It may have been waited for already.
        let _ = self.child.wait();
        wait_within(STOP_BOUND, || self.tree.all().is_empty().then_some(()));
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if std::env::var_os("WSGI_KEEP").is_some() {
            self.site.folder.disable_cleanup(true);
            println!("kept: {}", self.dir().display());
        }
        if self.finished {
            return;
        }
        if thread::panicking() {
            println!("{}", self.shown_log());
            self.finished = true;
            self.end_all();
            return;
        }
        let faults = self.finish(Signal::SIGTERM);
        self.assert_none(&faults);
    }
}

/// `AH00052: child pid 12 exit signal Segmentation fault (11)`
fn crashed(record: &Record, pid: i32) -> bool {
    record
        .line
        .contains(&format!("child pid {pid} exit signal"))
        && record.line.contains("Segmentation fault")
}

/// What httpd says about a stop that takes long on a busy machine: the child is still told again, and ends.
fn is_noise(record: &Record) -> bool {
    record.level == Level::Warn && record.line.contains("AH00045")
}
