//! Apache's scoreboard, read row by row: in a child, and in the supervisor, which has it mapped like every fork of the parent.
//!
//! Promise: only slots are read that the server has, and texts are bounded. Other processes write the scoreboard meanwhile, so
//! that a row may be half old and half new; no child can make a reader leave it.

use std::ffi::{c_int, c_void};
use std::io;
use std::time::SystemTime;

use wsgi_core::scoreboard::{Page, ProcessRow, Scoreboard, Summary, WorkerRow, text};

use super::mpm;

/// Whether there is a scoreboard: from the start of the MPM on, for the rest of the parent's life.
pub fn exists() -> bool {
    // SAFETY: a plain query.
    unsafe { apache_sys::ap_exists_scoreboard_image() != 0 }
}

/// The whole scoreboard; None if there is none.
pub fn read() -> Option<Scoreboard> {
    let mut whole = Scoreboard {
        summary: summary()?,
        rows: Vec::new(),
    };
    // The slots that are asked for exist, so that no page is empty before the last one.
    loop {
        let page = Page::read(whole.summary, whole.rows.len() as u64, process, worker);
        if page.rows.is_empty() {
            return Some(whole);
        }
        whole.rows.extend(page.rows);
    }
}

/// The rows from number `from` that fit into one message; None if there is no scoreboard.
pub fn page(from: u64) -> Option<Page> {
    Some(Page::read(summary()?, from, process, worker))
}

/// Whether a child could be started now: a slot belongs to no process. True if there is no scoreboard yet. In the parent.
pub fn has_free_slot() -> bool {
    // The event MPM uses every slot, the others only as many as they may have children.
    let slots = if mpm::name() == "event" {
        mpm::process_slots()
    } else {
        mpm::maximum_processes()
    };
    !exists() || (0..slots).any(|slot| process(slot).is_none_or(|row| row.pid == 0))
}

/// Takes from this process the right to write the scoreboard. For the supervisor: it is root, and only reads.
///
/// # Errors
/// What the system said; nothing has changed then.
pub fn make_read_only() -> io::Result<()> {
    if !exists() {
        return Ok(());
    }
    // SAFETY: a plain query; a scoreboard exists.
    let first = unsafe { apache_sys::ap_get_scoreboard_global() } as usize;
    // SAFETY: works out a number from the MPM's limits, which stay what they were when the scoreboard was made.
    let size = usize::try_from(unsafe { apache_sys::ap_calc_scoreboard_size() });
    let size = size.expect("a size that was allocated is positive");
    // SAFETY: a plain query.
    let page = usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) });
    let page = page.expect("the system has a page size");
    // APR's own record of the memory comes first; shared memory begins and ends at pages of its own.
    let begin = first / page * page;
    let end = (first + size).div_ceil(page) * page;
    // SAFETY: these pages are the scoreboard's, and no code of this process writes it.
    let status = unsafe { libc::mprotect(begin as *mut c_void, end - begin, libc::PROT_READ) };
    if status == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

fn summary() -> Option<Summary> {
    if !exists() {
        return None;
    }
    // SAFETY: all-zero is a valid value: numbers.
    let mut global: apache_sys::global_score = unsafe { std::mem::zeroed() };
    // SAFETY: the target is ours; the scoreboard exists.
    unsafe { apache_sys::wsgi_shim_copy_global_score(&mut global) };
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    Some(Summary {
        // Not those in the scoreboard, which a child could change.
        server_limit: mpm::process_slots(),
        thread_limit: mpm::thread_slots(),
        running_generation: global.running_generation,
        restart_time: global.restart_time,
        current_time: now.map_or(0, |now| i64::try_from(now.as_micros()).unwrap_or(i64::MAX)),
    })
}

fn process(index: u32) -> Option<ProcessRow> {
    let index = c_int::try_from(index).ok()?;
    // SAFETY: all-zero is a valid value: numbers.
    let mut score: apache_sys::process_score = unsafe { std::mem::zeroed() };
    // SAFETY: the target is ours; an index that the scoreboard does not have copies nothing.
    let copied = unsafe { apache_sys::wsgi_shim_copy_process_score(&mut score, index) };
    (copied != 0).then_some(ProcessRow {
        pid: score.pid,
        generation: score.generation,
        quiescing: score.quiescing != 0,
    })
}

fn worker(process: u32, thread: u32) -> Option<WorkerRow> {
    let process = c_int::try_from(process).ok()?;
    let thread = c_int::try_from(thread).ok()?;
    // SAFETY: all-zero is a valid value: numbers and arrays of characters.
    let mut score: apache_sys::worker_score = unsafe { std::mem::zeroed() };
    // SAFETY: the target is ours; indexes that the scoreboard does not have copy nothing.
    if unsafe { apache_sys::wsgi_shim_copy_worker_score(&mut score, process, thread) } == 0 {
        return None;
    }
    let characters = |field: &[std::ffi::c_char]| {
        let bytes: Vec<u8> = field.iter().map(|c| c.to_ne_bytes()[0]).collect();
        text(&bytes)
    };
    Some(WorkerRow {
        thread_num: score.thread_num,
        generation: score.generation,
        state: score.status,
        #[allow(clippy::useless_conversion)] // c_ulong has 32 bits elsewhere
        access_count: score.access_count.into(),
        bytes_served: score.bytes_served,
        start_time: score.start_time,
        stop_time: score.stop_time,
        last_used: score.last_used,
        client: characters(client(&score)),
        request: characters(&score.request),
        vhost: characters(&score.vhost),
    })
}

/// The field of the client, the longer one of httpd 2.4.35 and later.
fn client(score: &apache_sys::worker_score) -> &[std::ffi::c_char] {
    let mut size = 0;
    // SAFETY: reads no memory: tells where in the record the field is, and how long it is.
    let field = unsafe { apache_sys::wsgi_shim_client_of_score(score, &mut size) };
    // SAFETY: a field of this size inside of the record, which is borrowed.
    unsafe { std::slice::from_raw_parts(field, size) }
}
