//! A runtime without Python for the daemon's integration tests: the name of the callable says what a request does.
//!
//! Called by the daemon as a real runtime is, through the C table only.
#![allow(unsafe_code)] // the far side of the C table
#![allow(missing_docs)]

use std::ffi::{c_int, c_void};
use std::os::fd::AsRawFd;
use std::sync::OnceLock;

use wsgi_core::python::PythonSettings;
use wsgi_runtime_api::hook::Answer;
use wsgi_runtime_api::{
    ABI_VERSION, Bytes, HookOutcome, HookView, HostTable, LOAD_FAILED, Outcome, Pair, RequestView,
    RuntimeTable, SEND_FLUSH, SEND_LAST, SEND_NOTHING_AFTER, SENT, START_FAILED, STARTED,
    TransportTable,
};

static TABLE: RuntimeTable = RuntimeTable {
    abi_version: ABI_VERSION,
    python_version: 0x030b_02f0,
    free_threaded: 0,
    start,
    load,
    start_reporting,
    handle,
    stamp,
    hook,
    publish_stopping,
    report_stopping,
    report_forced_end,
    stop,
    probe,
    dump_stacks,
    interrupt,
    publish_signal,
    leave_thread,
};

/// Bytes that the host lends for a call; empty for "no value".
fn lent<'a>(bytes: Bytes) -> &'a [u8] {
    // SAFETY: only used within the call that the host made, for whose time the bytes are valid.
    unsafe { bytes.get() }.unwrap_or_default()
}

static HOST: OnceLock<HostTable> = OnceLock::new();

#[unsafe(no_mangle)]
extern "C" fn mod_wsgi_runtime() -> *const RuntimeTable {
    &TABLE
}

fn say(text: &str) {
    if let Some(host) = HOST.get() {
        // SAFETY: the host's table lives as long as the process, the text during the call.
        unsafe { (host.log)(6, Bytes::of(text.as_bytes())) };
    }
}

unsafe extern "C" fn stamp(_: *const RequestView) -> u64 {
    1
}

unsafe extern "C" fn start(settings: Bytes, host: *const HostTable) -> c_int {
    // SAFETY: the host's table is valid for the call, and copied here.
    let _ = HOST.set(unsafe { *host });
    let Ok(settings) = PythonSettings::decode(lent(settings)) else {
        return START_FAILED;
    };
    let home = settings
        .environment
        .iter()
        .find(|(name, _, _)| name == "HOME");
    say(&format!(
        "started, HOME {}",
        if home.is_some() { "given" } else { "missing" }
    ));
    if settings.process_group == "broken" {
        START_FAILED
    } else {
        STARTED
    }
}

unsafe extern "C" fn load(script: Bytes, _group: Bytes) -> c_int {
    let script = String::from_utf8_lossy(lent(script)).into_owned();
    say(&format!("loaded {script}"));
    if script.contains("missing") {
        LOAD_FAILED
    } else {
        STARTED
    }
}

unsafe extern "C" fn hook(
    _hook: *const HookView,
    _transport: *const TransportTable,
    _context: *mut c_void,
    _answer: Answer,
    _sink: *mut c_void,
) -> HookOutcome {
    HookOutcome::Unavailable
}

unsafe extern "C" fn publish_stopping(reason: Bytes) {
    say(&format!(
        "process_stopping {}",
        String::from_utf8_lossy(lent(reason))
    ));
}

unsafe extern "C" fn start_reporting() {
    say("reports");
}

unsafe extern "C" fn report_stopping(reason: Bytes) {
    say(&format!(
        "reports stop {}",
        String::from_utf8_lossy(lent(reason))
    ));
}

unsafe extern "C" fn report_forced_end(reason: Bytes) {
    say(&format!(
        "reports forced end {}",
        String::from_utf8_lossy(lent(reason))
    ));
}

unsafe extern "C" fn stop() {
    say("stopped");
}

unsafe extern "C" fn probe() {}

unsafe extern "C" fn dump_stacks() {
    say("stacks");
}

unsafe extern "C" fn interrupt(_thread: u32) -> c_int {
    1
}

unsafe extern "C" fn publish_signal(name: Bytes, number: c_int) {
    say(&format!(
        "process_signal {} {number}",
        String::from_utf8_lossy(lent(name))
    ));
}

unsafe extern "C" fn leave_thread() {
    say("thread left");
}

struct Exchange<'a> {
    table: &'a TransportTable,
    context: *mut c_void,
}

impl Exchange<'_> {
    fn head(&self, length: i64) -> bool {
        let header = [Pair {
            name: Bytes::of(b"X-Test"),
            value: Bytes::of(b"yes"),
        }];
        let status = Bytes::of(b"200 OK");
        // SAFETY: as the table says; all arguments live during the call.
        let sent = unsafe {
            (self.table.send_head)(self.context, status, header.as_ptr(), header.len(), length)
        };
        sent == SENT
    }

    fn data(&self, data: &[u8], flags: u32) -> bool {
        let block = Bytes::of(data);
        let count = usize::from(!data.is_empty());
        // SAFETY: as above.
        unsafe { (self.table.send_data)(self.context, &block, count, flags) == SENT }
    }

    fn read(&self, buffer: &mut [u8]) -> isize {
        // SAFETY: as above.
        unsafe { (self.table.read_body)(self.context, buffer.as_mut_ptr(), buffer.len()) }
    }

    fn log(&self, text: &str) {
        // SAFETY: as above.
        unsafe { (self.table.log)(self.context, 3, 0, Bytes::of(text.as_bytes())) };
    }

    fn whole(&self, body: &[u8]) -> Outcome {
        self.head(i64::try_from(body.len()).unwrap_or(-1));
        self.data(body, SEND_LAST | SEND_NOTHING_AFTER);
        Outcome::Complete
    }
}

unsafe extern "C" fn handle(
    request: *const RequestView,
    transport: *const TransportTable,
    context: *mut c_void,
) -> Outcome {
    // SAFETY: the host lends it for the call.
    let request = unsafe { &*request };
    // SAFETY: as above.
    let table = unsafe { &*transport };
    let exchange = Exchange { table, context };
    if lent(request.callable_object) == b"queue" {
        return queue(&exchange, request);
    }
    // SAFETY: as the table says.
    unsafe { (table.under_way)(context) };
    match lent(request.callable_object) {
        b"hello" => exchange.whole(b"hello"),
        b"environ" => exchange.whole(environ(request).as_bytes()),
        b"echo" => echo(&exchange),
        b"large" => {
            let body: Vec<u8> = (0..40_usize << 20).map(|n| (n % 251) as u8).collect();
            exchange.whole(&body)
        }
        b"file" => {
            let path = String::from_utf8_lossy(lent(request.script_filename)).into_owned();
            let Ok(file) = std::fs::File::open(path) else {
                return Outcome::Failed;
            };
            exchange.head(3);
            let flags = SEND_LAST | SEND_NOTHING_AFTER;
            // SAFETY: as the table says; the file is open during the call.
            unsafe { (table.send_file)(context, file.as_raw_fd(), 2, 3, flags) };
            Outcome::Complete
        }
        // The child ends the body when it likes.
        b"gate" => {
            exchange.head(-1);
            exchange.data(b"begun", SEND_FLUSH);
            let mut buffer = [0; 16];
            while exchange.read(&mut buffer) > 0 {}
            exchange.data(b"done", SEND_LAST);
            Outcome::Complete
        }
        // Goes on with its last block kept back until there is a file of the script's name.
        b"held" => {
            exchange.head(4);
            // SAFETY: as the table says.
            if unsafe { (table.hold_data)(context, Bytes::of(b"last")) } == 0 {
                return Outcome::Failed;
            }
            until_there(request);
            Outcome::Complete
        }
        b"fail" => {
            exchange.log("it failed");
            Outcome::Failed
        }
        b"cut" => {
            exchange.head(100);
            exchange.data(b"half", SEND_FLUSH);
            Outcome::CutShort
        }
        b"reload" => Outcome::Reload,
        _ => Outcome::NotFound,
    }
}

/// Says so, and waits as for the GIL until there is a file of the script's name.
fn queue(exchange: &Exchange<'_>, request: &RequestView) -> Outcome {
    exchange.head(-1);
    exchange.data(b"waits", SEND_FLUSH);
    until_there(request);
    // SAFETY: as the table says.
    unsafe { (exchange.table.under_way)(exchange.context) };
    exchange.data(b"done", SEND_LAST);
    Outcome::Complete
}

/// Waits until there is a file of the script's name.
fn until_there(request: &RequestView) {
    let path = String::from_utf8_lossy(lent(request.script_filename)).into_owned();
    while !std::path::Path::new(&path).exists() {
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
}

fn environ(request: &RequestView) -> String {
    // SAFETY: the host lends that many pairs for the call.
    let pairs = unsafe { std::slice::from_raw_parts(request.environ, request.environ_len) };
    let mut text = format!("thread {}\n", request.thread_id);
    for pair in pairs {
        // SAFETY: as above.
        let value = unsafe { pair.value.get() };
        let value = value.map_or("None".into(), String::from_utf8_lossy);
        text.push_str(&format!(
            "{}={value}\n",
            String::from_utf8_lossy(lent(pair.name))
        ));
    }
    text
}

fn echo(exchange: &Exchange<'_>) -> Outcome {
    let mut body = Vec::new();
    let mut buffer = vec![0; 70_000];
    loop {
        match exchange.read(&mut buffer) {
            0 => return exchange.whole(&body),
            count if count > 0 => body.extend_from_slice(&buffer[..count.unsigned_abs()]),
            _ => {
                // SAFETY: as the table says; the text is used before the next call.
                let text = unsafe { (exchange.table.last_error)(exchange.context) };
                let text = String::from_utf8_lossy(lent(text)).into_owned();
                exchange.log(&format!("body: {text}"));
                return Outcome::Failed;
            }
        }
    }
}
