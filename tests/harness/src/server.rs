//! A running httpd: asking it, restarting it, and seeing that nothing of it is left in the end.

use std::collections::HashSet;
use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, SystemTime};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::http::{Answer, Connection, Request};
use crate::httpd::Httpd;
use crate::log::{ErrorLog, Level, Record};
use crate::processes::{self, Process, ProcessTree};
use crate::site::{Mode, Mpm, Site, fill};
use crate::wait::{wait_until, wait_within};

/// How long a server may take until it and all of its processes are gone. Bounded by the 3 s of httpd and the 5 s of
/// `shutdown-timeout`; more than that only because the machine may be busy.
const STOP_BOUND: Duration = Duration::from_secs(30);

/// httpd has read its configuration and its children are on the way.
const RUNNING: &str = "resuming normal operations";

/// Crashes of httpd's own children after they were told to stop, in all servers of this process (see [`Server::stop`]).
static STOP_CRASHES: AtomicU32 = AtomicU32::new(0);

/// What a test has said about the log.
#[derive(Debug, Default)]
struct Expectations {
    /// Fine if it is there.
    allowed: Vec<String>,
    /// Must be there.
    expected: Vec<String>,
}

/// A running httpd. When it goes out of scope it is stopped and examined as by [`Server::stop`].
#[derive(Debug)]
pub struct Server {
    site: Site,
    child: Child,
    tree: ProcessTree,
    log: ErrorLog,
    expectations: Mutex<Expectations>,
    /// All ids that were seen, for what they may leave behind.
    seen: Mutex<HashSet<i32>>,
    /// Children of httpd that had the listening socket when a stop or restart began.
    told_to_stop: Mutex<HashSet<i32>>,
    /// Modification times given out, so that a rewritten script always has another one.
    clock: AtomicU64,
    finished: bool,
}

impl Server {
    #[track_caller]
    pub(crate) fn start(mut site: Site) -> Server {
        for _ in 0..5 {
            let (child, tree) = spawn(&site);
            let log = ErrorLog::new(site.path("error.log"));
            let mut server = Server {
                site,
                child,
                tree,
                log,
                expectations: Mutex::default(),
                seen: Mutex::default(),
                told_to_stop: Mutex::default(),
                clock: AtomicU64::new(0),
                finished: false,
            };
            match server.wait_for_start() {
                Ok(()) => return server,
                Err(why) if why.contains("AH00072") => {
                    // Somebody else took a port between our look and httpd's bind.
                    server.end_all();
                    server.finished = true;
                    site = server.into_site();
                    let _ = fs::remove_file(site.path("error.log"));
                    site.change_ports();
                }
                Err(why) => {
                    server.finished = true;
                    server.end_all();
                    panic!("the server did not start: {why}");
                }
            }
        }
        panic!("no free port for the server after five tries");
    }

    fn into_site(mut self) -> Site {
        let empty = Site::embedded();
        std::mem::replace(&mut self.site, empty)
    }

    fn wait_for_start(&mut self) -> Result<(), String> {
        let mut gone: Option<ExitStatus> = None;
        let up = wait_within(crate::PATIENCE, || {
            gone = self.child.try_wait().expect("a child can be waited for");
            (gone.is_some() || self.log.text().contains(RUNNING)).then_some(())
        });
        match (up, gone) {
            (Some(()), None) => Ok(()),
            (_, Some(status)) => Err(format!("{status}\n{}", self.shown_log())),
            (None, None) => Err(format!("it is not ready in time\n{}", self.shown_log())),
        }
    }

    /// The address of the first port.
    pub fn address(&self) -> SocketAddr {
        self.address_of(0)
    }

    /// The address of the port `{port}` (0), `{port2}` (1) or `{port3}` (2).
    pub fn address_of(&self, index: usize) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.site.ports[index]))
    }

    /// The first port.
    pub fn port(&self) -> u16 {
        self.site.ports[0]
    }

    /// The MPM it runs with.
    pub fn mpm(&self) -> Mpm {
        self.site.mpm
    }

    /// The mode of its applications.
    pub fn mode(&self) -> Mode {
        self.site.mode
    }

    /// Its folder.
    pub fn dir(&self) -> &Path {
        self.site.dir()
    }

    /// A path in its folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.site.path(name)
    }

    /// Fills placeholders such as `{apps}` in.
    pub fn fill(&self, text: &str) -> String {
        fill(text, self.site.dir(), &self.site.ports)
    }

    /// A new connection.
    ///
    /// # Panics
    /// If it is refused.
    #[track_caller]
    pub fn connect(&self) -> Connection {
        Connection::open(self.address()).expect("the server accepts connections")
    }

    /// A new connection to one of its ports, see [`Server::address_of`].
    ///
    /// # Panics
    /// If it is refused.
    #[track_caller]
    pub fn connect_to(&self, index: usize) -> Connection {
        Connection::open(self.address_of(index)).expect("the server accepts connections")
    }

    /// Sends a request over a connection of its own.
    ///
    /// # Panics
    /// If there is no answer.
    #[track_caller]
    pub fn send(&self, request: &Request) -> Answer {
        self.connect().send(request)
    }

    /// `GET` over a connection of its own.
    #[track_caller]
    pub fn get(&self, target: &str) -> Answer {
        self.send(&Request::get(target))
    }

    /// Writes a script `NAME.wsgi` that [`Site::cases`] serves, and returns its URL.
    #[track_caller]
    pub fn case(&self, name: &str, text: &str) -> String {
        self.write(&format!("apps/{name}.wsgi"), text);
        format!("/case/{name}")
    }

    /// Writes a file of the site, replacing it at once, with a modification time that it never had before.
    ///
    /// # Panics
    /// If it cannot be written.
    #[track_caller]
    pub fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        let fresh = path.with_extension("new");
        fs::write(&fresh, self.fill(text)).expect("files of the site can be written");
        let file = File::options()
            .write(true)
            .open(&fresh)
            .expect("a new file can be opened");
        file.set_modified(self.next_time())
            .expect("the owner may set times");
        fs::rename(&fresh, &path).expect("a file can replace another in its folder");
    }

    /// Gives a file of the site a new modification time.
    ///
    /// # Panics
    /// If it is not there.
    #[track_caller]
    pub fn touch(&self, name: &str) {
        let file = File::options()
            .write(true)
            .open(self.path(name))
            .expect("the file is there");
        file.set_modified(self.next_time())
            .expect("the owner may set times");
    }

    fn next_time(&self) -> SystemTime {
        // Some seconds in the past, each time another one: file systems with coarse times tell them apart.
        let count = self.clock.fetch_add(1, Ordering::Relaxed);
        SystemTime::now() - Duration::from_secs(100_000) + Duration::from_secs(count * 7)
    }

    /// Its processes: httpd's parent first seen, children, supervisor, daemons.
    pub fn processes(&self) -> Vec<Process> {
        let all = self.tree.all();
        let mut seen = self
            .seen
            .lock()
            .expect("no test thread panics while it looks");
        seen.extend(all.iter().map(|process| process.pid));
        all
    }

    /// The parent of httpd.
    ///
    /// # Panics
    /// If it is gone.
    pub fn parent(&self) -> Process {
        let pid = self.pid();
        self.processes()
            .into_iter()
            .find(|process| process.pid == pid)
            .expect("httpd runs")
    }

    /// The id of httpd's parent.
    pub fn pid(&self) -> i32 {
        i32::try_from(self.child.id()).expect("process ids are small")
    }

    /// The children of httpd that accept connections.
    pub fn children(&self) -> Vec<Process> {
        let pid = self.pid();
        self.processes()
            .into_iter()
            .filter(|process| process.parent == pid && process.listens)
            .collect()
    }

    /// The daemon processes: for ours those that run `mod_wsgi-daemon`, for the original the children of httpd without its
    /// listening sockets.
    pub fn daemons(&self) -> Vec<Process> {
        let pid = self.pid();
        let all = self.processes();
        if crate::subject().is_ours() {
            let is_daemon = |process: &Process| {
                process
                    .program
                    .file_name()
                    .is_some_and(|name| name == "mod_wsgi-daemon")
            };
            return all.into_iter().filter(is_daemon).collect();
        }
        all.into_iter()
            .filter(|process| process.pid != pid && process.parent == pid && !process.listens)
            .collect()
    }

    /// Its error log.
    pub fn log(&self) -> &ErrorLog {
        &self.log
    }

    /// The log must hold a record with this text in the end; such records do not fail the test.
    pub fn expect_log(&self, text: &str) {
        let text = self.fill(text);
        self.expectations
            .lock()
            .expect("no test thread panics while it expects")
            .expected
            .push(text);
    }

    /// Records with this text do not fail the test.
    pub fn allow_log(&self, text: &str) {
        let text = self.fill(text);
        self.expectations
            .lock()
            .expect("no test thread panics while it expects")
            .allowed
            .push(text);
    }

    /// Waits until the log holds a record with this text (which from now on is allowed), and returns the first.
    ///
    /// # Panics
    /// If it does not come.
    #[track_caller]
    pub fn wait_for_log(&self, text: &str) -> Record {
        self.wait_for_logs(text, 1).remove(0)
    }

    /// Waits until the log holds `count` records with this text, and returns all of them.
    ///
    /// # Panics
    /// If they do not come.
    #[track_caller]
    pub fn wait_for_logs(&self, text: &str, count: usize) -> Vec<Record> {
        let text = self.fill(text);
        self.allow_log(&text);
        let found = wait_within(crate::PATIENCE, || {
            let found = self.log.matching(&text);
            (found.len() >= count).then_some(found)
        });
        found.unwrap_or_else(|| panic!("the log has no {count} × {text:?}\n{}", self.shown_log()))
    }

    /// Sends a signal to httpd's parent.
    ///
    /// # Panics
    /// If httpd is gone.
    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.pid()), signal).expect("httpd runs");
    }

    /// Restarts it gracefully (SIGUSR1) and waits until the new generation is on its way.
    #[track_caller]
    pub fn graceful(&self) {
        self.restart_by(Signal::SIGUSR1);
    }

    /// Restarts it at once (SIGHUP) and waits until the new generation is on its way.
    #[track_caller]
    pub fn restart(&self) {
        self.restart_by(Signal::SIGHUP);
    }

    #[track_caller]
    fn restart_by(&self, signal: Signal) {
        let before = self.log.count(RUNNING);
        self.note_children();
        self.signal(signal);
        let done = wait_within(crate::PATIENCE, || {
            (self.log.count(RUNNING) > before).then_some(())
        });
        assert!(
            done.is_some(),
            "no new generation after {signal}\n{}",
            self.shown_log()
        );
    }

    /// Waits until none of these processes is alive.
    #[track_caller]
    pub fn wait_until_gone(&self, processes: &[Process]) {
        wait_until("processes to end", || {
            (!processes.iter().any(Process::is_alive)).then_some(())
        });
    }

    fn note_children(&self) {
        let children = self.children();
        let mut told = self
            .told_to_stop
            .lock()
            .expect("no test thread panics while it restarts");
        told.extend(children.iter().map(|process| process.pid));
    }

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
        assert!(
            faults.is_empty(),
            "{}\n{}",
            faults.join("\n"),
            self.shown_log()
        );
    }

    /// As [`Server::stop`] with the graceful stop of httpd (SIGWINCH).
    #[track_caller]
    pub fn graceful_stop(mut self) {
        let faults = self.finish(Signal::SIGWINCH);
        assert!(
            faults.is_empty(),
            "{}\n{}",
            faults.join("\n"),
            self.shown_log()
        );
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
        assert!(
            faults.is_empty(),
            "{}\n{}",
            faults.join("\n"),
            self.shown_log()
        );
    }

    fn finish(&mut self, signal: Signal) -> Vec<String> {
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
            if known.into_iter().any(|text| record.contains(text)) {
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

    fn shown_log(&self) -> String {
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
    fn end_all(&mut self) {
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
        assert!(
            faults.is_empty(),
            "{}\n{}",
            faults.join("\n"),
            self.shown_log()
        );
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

fn spawn(site: &Site) -> (Child, ProcessTree) {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let marker = (
        "WSGI_LIVE_TEST".to_owned(),
        format!("{}-{count}", std::process::id()),
    );
    let configuration = site.write_configuration();
    let stderr = File::create(site.path("stderr.log")).expect("a file in the site's folder");
    let stdout = stderr.try_clone().expect("a descriptor can be copied");
    let child = Httpd::installed()
        .command(&configuration, &marker)
        .arg("-DFOREGROUND")
        .current_dir(site.dir())
        .stdin(Stdio::null())
        .stdout(stdout)
        .stderr(stderr)
        .spawn()
        .expect("httpd can be started");
    (child, ProcessTree::new(&marker, &site.ports))
}
