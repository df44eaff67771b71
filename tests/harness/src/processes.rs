//! The processes of one server, found in `/proc` by a mark in their environment, which forked and exec'ed descendants inherit
//! whatever session or parent they have. Linux only.

use std::collections::HashSet;
use std::fs;
use std::path::PathBuf;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// A process as it was when looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    /// Its id.
    pub pid: i32,
    /// Its parent's id.
    pub parent: i32,
    /// Its arguments, separated by blanks.
    pub command: String,
    /// Its program; empty when that cannot be read.
    pub program: PathBuf,
    /// Effective user and group.
    pub uid: u32,
    /// Effective group.
    pub gid: u32,
    /// Supplementary groups.
    pub groups: Vec<u32>,
    /// Whether it holds the listening socket of the server's ports.
    pub listens: bool,
}

impl Process {
    /// Whether it is a daemon process of ours: `mod_wsgi-daemon`, or the executable of a Python that runs as one, and has its name
    /// then.
    pub fn is_daemon(&self) -> bool {
        const DAEMON: &str = "mod_wsgi-daemon";
        self.program.ends_with(DAEMON) || self.status("Name").is_some_and(|name| name == DAEMON)
    }

    /// A number that `/proc/<pid>/status` gives, such as `VmRSS` (kB) or `Umask`.
    pub fn status(&self, field: &str) -> Option<String> {
        status_field(self.pid, field)
    }

    /// How many descriptors it has open.
    pub fn open_descriptors(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.pid)).map_or(0, Iterator::count)
    }

    /// What its descriptors point to, as `/proc/<pid>/fd` shows it.
    pub fn descriptors(&self) -> Vec<String> {
        let Ok(entries) = fs::read_dir(format!("/proc/{}/fd", self.pid)) else {
            return Vec::new();
        };
        entries
            .flatten()
            .filter_map(|entry| fs::read_link(entry.path()).ok())
            .map(|target| target.display().to_string())
            .collect()
    }

    /// Its working directory.
    pub fn working_directory(&self) -> Option<PathBuf> {
        fs::read_link(format!("/proc/{}/cwd", self.pid)).ok()
    }

    /// Sends it a signal; a process that is gone already is fine.
    pub fn signal(&self, signal: Signal) {
        // ESRCH: it ended between the look and the signal, which is what every sender must expect.
        let _ = kill(Pid::from_raw(self.pid), signal);
    }

    /// Whether it is still there (a zombie is not).
    pub fn is_alive(&self) -> bool {
        is_alive(self.pid)
    }
}

pub(crate) fn is_alive(pid: i32) -> bool {
    status_field(pid, "State")
        .is_some_and(|state| !state.starts_with('Z') && !state.starts_with('X'))
}

/// All processes that belong to one server.
#[derive(Clone, Debug)]
pub struct ProcessTree {
    marker: Vec<u8>,
    ports: Vec<u16>,
}

impl ProcessTree {
    pub(crate) fn new(marker: &(String, String), ports: &[u16]) -> ProcessTree {
        ProcessTree {
            marker: format!("{}={}", marker.0, marker.1).into_bytes(),
            ports: ports.to_vec(),
        }
    }

    /// Of what was started with this environment variable, which nothing else has.
    pub fn marked(variable: &str, value: &str) -> ProcessTree {
        ProcessTree::new(&(variable.to_owned(), value.to_owned()), &[])
    }

    /// The processes that are there now, by id.
    pub fn all(&self) -> Vec<Process> {
        let listening = listening_sockets(&self.ports);
        let Ok(entries) = fs::read_dir("/proc") else {
            return Vec::new();
        };
        let mut found: Vec<Process> = entries
            .flatten()
            .filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok())
            .filter(|pid| self.has_mark(*pid))
            .filter_map(|pid| look_at(pid, &listening))
            .collect();
        found.sort_by_key(|process| process.pid);
        found
    }

    fn has_mark(&self, pid: i32) -> bool {
        let Ok(environ) = fs::read(format!("/proc/{pid}/environ")) else {
            return false;
        };
        environ
            .split(|byte| *byte == 0)
            .any(|entry| entry == self.marker)
    }
}

fn look_at(pid: i32, listening: &HashSet<String>) -> Option<Process> {
    if !is_alive(pid) {
        return None;
    }
    let ids = |field: &str| -> Vec<u32> {
        status_field(pid, field)
            .unwrap_or_default()
            .split_whitespace()
            .filter_map(|id| id.parse().ok())
            .collect()
    };
    let command = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let mut process = Process {
        pid,
        parent: status_field(pid, "PPid")?.parse().ok()?,
        command: String::from_utf8_lossy(&command)
            .replace('\0', " ")
            .trim_end()
            .to_owned(),
        program: fs::read_link(format!("/proc/{pid}/exe")).unwrap_or_default(),
        uid: *ids("Uid").get(1)?,
        gid: *ids("Gid").get(1)?,
        groups: ids("Groups"),
        listens: false,
    };
    process.listens = process
        .descriptors()
        .iter()
        .any(|target| listening.contains(target));
    Some(process)
}

fn status_field(pid: i32, field: &str) -> Option<String> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    status.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        (name == field).then(|| value.trim().to_owned())
    })
}

/// The listening TCP sockets of these ports as `/proc/<pid>/fd` names them.
fn listening_sockets(ports: &[u16]) -> HashSet<String> {
    const LISTEN: &str = "0A";
    let mut found = HashSet::new();
    for table in ["/proc/net/tcp", "/proc/net/tcp6"] {
        for line in fs::read_to_string(table)
            .unwrap_or_default()
            .lines()
            .skip(1)
        {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let port = fields
                .get(1)
                .and_then(|local| local.rsplit(':').next())
                .and_then(|port| u16::from_str_radix(port, 16).ok());
            if fields.get(3) == Some(&LISTEN) && port.is_some_and(|port| ports.contains(&port)) {
                if let Some(inode) = fields.get(9) {
                    found.insert(format!("socket:[{inode}]"));
                }
            }
        }
    }
    found
}

/// System V shared memory that was made by one of these processes and is still there.
pub(crate) fn shared_memory_of(pids: &HashSet<i32>) -> Vec<String> {
    let table = fs::read_to_string("/proc/sysvipc/shm").unwrap_or_default();
    let mut left: Vec<String> = table
        .lines()
        .skip(1)
        .filter(|line| {
            let maker = line
                .split_whitespace()
                .nth(4)
                .and_then(|pid| pid.parse().ok());
            maker.is_some_and(|pid: i32| pids.contains(&pid))
        })
        .map(|line| format!("System V segment {line}"))
        .collect();
    if let Ok(entries) = fs::read_dir("/dev/shm") {
        let names = entries
            .flatten()
            .map(|entry| entry.file_name().to_string_lossy().into_owned());
        left.extend(names.filter(|name| {
            if !name.contains("wsgi") {
                return false;
            }
            let mut numbers = name.split(|c: char| !c.is_ascii_digit());
            numbers.any(|number| number.parse().is_ok_and(|pid: i32| pids.contains(&pid)))
        }));
    }
    left
}
