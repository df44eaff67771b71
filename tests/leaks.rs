//! Many graceful restarts under load leave nothing behind: descriptors, threads, shared memory, processes, memory of the
//! parent. 30 restarts, or 500 with `WSGI_LONG`.

use std::collections::BTreeMap;
use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use wsgi_harness::{Mode, Mpm, Server, Site, is_root, matrix, wait_until};

const APP: &str = "import os\n\ndef application(environ, start_response):\n    start_response('200 OK', [('X-Pid', str(os.getpid()))])\n    return [environ['QUERY_STRING'].encode()]\n";

/// What memory the parent may gain, in KiB: that of the allocators, not of a leak.
const MOST_GROWTH: u64 = 1024;

fn restarts() -> usize {
    if std::env::var_os("WSGI_LONG").is_some() {
        500
    } else {
        30
    }
}

/// What the parent of httpd holds.
#[derive(Debug, PartialEq, Eq)]
struct Holdings {
    descriptors: usize,
    threads: usize,
    /// Shared memory in its address space: System V, POSIX, and that of memory files.
    shared: BTreeMap<String, usize>,
    /// System V segments and semaphores of the whole system that it made.
    system_v: usize,
    children: usize,
}

impl Holdings {
    /// Less is fine: something of an older generation may have gone after the first look.
    fn holds_no_more(&self, then: &Holdings) -> bool {
        let shared = |(name, count)| count <= then.shared.get(name).unwrap_or(&0);
        self.descriptors <= then.descriptors
            && self.threads <= then.threads
            && self.shared.iter().all(shared)
            && self.system_v <= then.system_v
    }
}

fn holdings(server: &Server) -> Holdings {
    let parent = server.parent();
    let pid = parent.pid;
    let maps = fs::read_to_string(format!("/proc/{pid}/maps")).expect("the maps of httpd");
    let mut shared = BTreeMap::new();
    for line in maps.lines() {
        let fields: Vec<&str> = line.split_whitespace().collect();
        if fields.get(1).is_some_and(|rights| rights.ends_with('s')) {
            let name = fields.get(5).unwrap_or(&"").to_string();
            *shared.entry(name).or_default() += 1;
        }
    }
    let made = |table: &str, column: usize| {
        let text = fs::read_to_string(table).unwrap_or_default();
        let rows = text.lines().skip(1);
        rows.filter(|row| row.split_whitespace().nth(column) == Some(&pid.to_string()))
            .count()
    };
    let processes = server.processes();
    let threads = parent.status("Threads").expect("a live parent");
    Holdings {
        descriptors: parent.open_descriptors(),
        threads: threads.parse().expect("a number of threads"),
        shared,
        // Semaphores do not tell who made them.
        system_v: made("/proc/sysvipc/shm", 4),
        children: processes.iter().filter(|p| p.parent == pid).count(),
    }
}

/// Private memory of the parent in KiB, which its children do not share any more or never did.
fn memory(server: &Server) -> u64 {
    let text = fs::read_to_string(format!("/proc/{}/smaps_rollup", server.pid()));
    let text = text.expect("the memory of httpd");
    let kilobytes = |field: &str| -> u64 {
        let line = text.lines().find(|line| line.starts_with(field));
        line.and_then(|line| line.split_whitespace().nth(1)?.parse().ok())
            .expect("a number of kilobytes")
    };
    // All anonymous pages, whoever shares them at the moment.
    kilobytes("Anonymous:")
}

/// Restarts gracefully and waits until the new generation serves. Others ask meanwhile.
fn restart(server: &Server) {
    let before = server.log().count("resuming normal operations");
    server.graceful();
    server.wait_for_logs("resuming normal operations", before + 1);
    server.get("/?x").expect(200);
}

/// Waits until only the present generation is there.
fn settle(server: &Server, wanted: usize) {
    wait_until("the old generations to be gone", || {
        (server.daemons().len() == wanted).then_some(())
    });
}

/// Facts 1 of design.md, issue: the parent holds the same before and after.
fn restarts_leak_nothing(mpm: Mpm, mode: Mode) {
    if !is_root() {
        return;
    }
    let server = Site::new(mpm, mode)
        .daemon_options("processes=2 threads=4")
        .config("WSGIDaemonProcess other processes=1 threads=2\nListen 127.0.0.1:{port2}\n<VirtualHost *:{port2}>\nErrorLog {dir}/other.log\nCustomLog {dir}/other-access.log common\n</VirtualHost>")
        .log_level("notice")
        .script("/", APP)
        .start();
    let daemons = if mode == Mode::Daemon { 3 } else { 1 };
    let stop = AtomicBool::new(false);
    let (before, after) = thread::scope(|scope| {
        for client in 0..4 {
            let (server, stop) = (&server, &stop);
            scope.spawn(move || {
                let mut number = 0;
                while !stop.load(Ordering::Relaxed) {
                    let text = format!("{client}-{number}");
                    let answer = server.get(&format!("/?{text}")).expect(200);
                    assert_eq!(answer.text(), text);
                    number += 1;
                }
            });
        }
        let finish = Finish(&stop);
        // The first restarts fill caches and pools.
        for _ in 0..5 {
            restart(&server);
        }
        settle(&server, daemons);
        let before = (holdings(&server), memory(&server));
        for _ in 0..restarts() {
            restart(&server);
        }
        settle(&server, daemons);
        let mut after = (holdings(&server), memory(&server));
        // What belongs to an old generation may be closed a moment later; what leaks at each restart never is.
        let closed = wsgi_harness::wait_within(wsgi_harness::PATIENCE, || {
            after = (holdings(&server), memory(&server));
            let (now, then) = (&after.0, &before.0);
            now.holds_no_more(then).then_some(())
        });
        drop(finish);
        assert!(closed.is_some(), "{before:#?}\n{after:#?}");
        (before, after)
    });
    println!(
        "{} restarts ({mpm:?}, {mode:?}): {} then {} KiB; {:?} then {:?}",
        restarts(),
        before.1,
        after.1,
        before.0,
        after.0
    );
    assert!(
        after.1 <= before.1 + MOST_GROWTH,
        "the parent grows: {} KiB, then {} KiB",
        before.1,
        after.1
    );
}
matrix!(restarts_leak_nothing: event prefork);

/// Tells the clients to stop, also when an assertion fails.
struct Finish<'a>(&'a AtomicBool);

impl Drop for Finish<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
