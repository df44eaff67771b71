//! A running httpd: asking it, restarting it, and seeing that nothing of it is left in the end.

mod ending;

use std::collections::HashSet;
use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::http::{Answer, Connection, Request};
use crate::httpd::Httpd;
use crate::log::{ErrorLog, Record};
use crate::processes::{Process, ProcessTree};
use crate::site::{Mode, Mpm, Site, fill};
use crate::wait::{wait_until, wait_within};

/// httpd has read its configuration and its children are on the way.
const RUNNING: &str = "resuming normal operations";

/// What a test has said about the log.
#[derive(Debug, Default)]
struct Expectations {
    /// Fine if it is there.
    allowed: Vec<String>,
    /// Lines that are no records are fine.
    raw: bool,
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

    fn is_up(&self) -> bool {
        // One process that serves itself does not get to say so.
        if self.site.one_process {
            return std::net::TcpStream::connect(self.address()).is_ok();
        }
        self.log.text().contains(RUNNING)
    }

    fn wait_for_start(&mut self) -> Result<(), String> {
        let mut gone: Option<ExitStatus> = None;
        let up = wait_within(crate::PATIENCE, || {
            gone = self.child.try_wait().expect("a child can be waited for");
            (gone.is_some() || self.is_up()).then_some(())
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

    /// The sockets of its daemon groups in the folder where they are by default, by name.
    pub fn sockets(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.path("run")).expect("the folder of sockets");
        let mut sockets: Vec<PathBuf> = entries
            .flatten()
            .map(|entry| entry.path())
            .filter(|path| path.extension().is_some_and(|found| found == "sock"))
            .collect();
        sockets.sort_unstable();
        sockets
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

    /// The id of the process that answers `GET`, which its script sends as the body.
    ///
    /// # Panics
    /// If the answer is something else.
    #[track_caller]
    pub fn served_by(&self, target: &str) -> i32 {
        self.get(target).expect(200).pid()
    }

    /// Sends `GET` over a connection of its own and does not wait for the answer.
    ///
    /// # Panics
    /// If the connection is refused.
    #[track_caller]
    pub fn begin(&self, target: &str) -> Connection {
        let mut connection = self.connect();
        connection.send_bytes(Request::get(target).bytes());
        connection
    }

    /// Writes a script `NAME.wsgi` that [`Site::cases`] serves, and returns its URL.
    #[track_caller]
    pub fn case(&self, name: &str, text: &str) -> String {
        self.write(&format!("apps/{name}.wsgi"), text);
        format!("/case/{name}")
    }

    /// Asks an application with this body ([`app`](crate::app)), which is written as [`Server::case`] does.
    #[track_caller]
    pub fn run(&self, name: &str, body: &str) -> Answer {
        self.get(&self.case(name, &crate::app(body)))
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

    /// The daemon processes: see [`Process::is_daemon`] for ours; for the original the children of httpd without its
    /// listening sockets.
    pub fn daemons(&self) -> Vec<Process> {
        let pid = self.pid();
        let all = self.processes();
        if crate::subject().is_ours() {
            return all.into_iter().filter(Process::is_daemon).collect();
        }
        all.into_iter()
            .filter(|process| process.pid != pid && process.parent == pid && !process.listens)
            .collect()
    }

    /// The daemon process with this id.
    ///
    /// # Panics
    /// If it is gone.
    #[track_caller]
    pub fn daemon(&self, pid: i32) -> Process {
        self.daemons()
            .into_iter()
            .find(|process| process.pid == pid)
            .unwrap_or_else(|| panic!("no daemon process {pid} any more"))
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

    /// Lines that are no records of httpd's are fine: what Python itself writes comes in pieces, between which others write.
    pub fn allow_raw_lines(&self) {
        self.expectations
            .lock()
            .expect("no test thread panics while it expects")
            .raw = true;
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
        .arg(if site.one_process {
            "-X"
        } else {
            "-DFOREGROUND"
        })
        .current_dir(site.dir())
        .envs(site.variables.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::null())
        .stdout(stdout)
        .stderr(stderr)
        .spawn()
        .expect("httpd can be started");
    (child, ProcessTree::new(&marker, &site.ports))
}
