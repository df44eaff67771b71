//! `mod_wsgi.server_metrics()`: Apache's scoreboard for applications, in Apache's children and in daemons, which have no
//! access to it themselves. Looked at from inside (what Python gets) and from outside (who has it mapped, and how).

use std::fs;

use nix::sys::signal::Signal;
use wsgi_core::control::{FromDaemon, ToDaemon, decode, encode};
use wsgi_harness::{
    IN_A_COPY, Mode, Mpm, Process, Request, Server, Site, matrix, subject, wait_until,
};

/// Shows the dict: its shape, and the rows that the test knows something about.
const SHOW: &str = "import mod_wsgi, time

def shape(value):
    if isinstance(value, dict):
        return '{%s}' % ' '.join('%s:%s' % (key, shape(item)) for key, item in value.items())
    if isinstance(value, list):
        return '[%s]' % ' '.join(sorted(set(map(shape, value))))
    return type(value).__name__

def application(environ, start_response):
    metrics = mod_wsgi.server_metrics()
    facts = {'metrics': metrics is not None}
    if metrics:
        now = time.time()
        workers = [(process, worker) for process in metrics['processes'] for worker in process['workers']]
        mine = [(p, w) for p, w in workers if w['status'] == 'W' and w['request'].startswith(environ['REQUEST_METHOD'] + ' ')]
        facts.update({
            'shape': shape(metrics),
            'limits': [metrics['server_limit'], metrics['thread_limit'], len(metrics['processes']), len(workers)],
            'generation': metrics['running_generation'],
            'numbers': [p['process_num'] for p in metrics['processes']] == list(range(metrics['server_limit'])) and all(
                w['thread_num'] in (0, index if metrics['thread_limit'] > 1 else p['process_num'])
                for p in metrics['processes'] for index, w in enumerate(p['workers'])),
            'threads': max(w['thread_num'] for _, w in workers),
            'times': now - 600 < metrics['restart_time'] <= metrics['current_time'] <= now and
                metrics['running_time'] == int(metrics['current_time'] - metrics['restart_time']),
            'states': ''.join(sorted({w['status'] for _, w in workers})),
            'mine': len(mine),
        })
        for process, worker in mine[:1]:
            facts.update({
                'request': worker['request'], 'client': worker['client'], 'vhost': worker['vhost'], 'mine_pid': process['pid'],
                'mine_times': now - 600 < worker['start_time'] <= now and now - 600 < worker['last_used'] <= now,
                'mine_generation': worker['generation'] == process['generation'] == metrics['running_generation'],
            })
        done = [w for _, w in workers if w['access_count']]
        facts['done'] = any(now - 600 < min(w['start_time'], w['stop_time']) for w in done)
        facts['served'] = sum(w['bytes_served'] for w in done) > 0
    start_response('200 OK', [])
    return [''.join('%s\\t%s\\n' % item for item in facts.items()).encode('latin-1')]
";

const SHAPE: &str = "{server_limit:int thread_limit:int running_generation:int restart_time:float current_time:float \
                     running_time:int processes:[{process_num:int pid:int generation:int quiescing:bool \
                     workers:[{thread_num:int generation:int status:str access_count:int bytes_served:int \
                     start_time:float stop_time:float last_used:float client:str request:str vhost:str}]}]}";

fn site(mpm: Mpm, mode: Mode) -> Site {
    allowed(mpm, mode).script("/", SHOW)
}

/// A site whose applications may know the scoreboard.
fn allowed(mpm: Mpm, mode: Mode) -> Site {
    let (directive, option) = match mode {
        Mode::Embedded => ("On", "Off"),
        Mode::Daemon => ("Off", "On"),
    };
    Site::new(mpm, mode)
        .modules(&["status"])
        .daemon_options(&format!("threads=3 server-metrics={option}"))
        .config(&format!("WSGIServerMetrics {directive}\nExtendedStatus On"))
}

/// MET-61, MET-62, MET-63, MET-64, API-907, DIR-150, DP-44, DMN-053: keys, types and sizes, and the row of the request itself.
fn the_scoreboard(mpm: Mpm, mode: Mode) {
    let server = site(mpm, mode).start();
    server.get("/").expect(200);
    // Of all threads of the first process, or of the second process of prefork.
    let last = if mpm == Mpm::Prefork { "1" } else { "15" };
    let answer = wait_until("a request that is counted, and all threads", || {
        let answer = server.get("/shown?x=\u{e9}").expect(200);
        let truths = ["done", "served"].map(|truth| answer.fact(truth));
        (truths == ["True", "True"] && answer.fact("threads") == last).then_some(answer)
    });
    assert_eq!(answer.fact("shape"), SHAPE);
    let limits = match mpm {
        Mpm::Prefork => "[80, 1, 80, 80]",
        _ => "[12, 80, 12, 960]",
    };
    assert_eq!(answer.fact("limits"), limits);
    for truth in ["numbers", "times", "mine_times", "mine_generation"] {
        assert_eq!(answer.fact(truth), "True", "{truth}: {}", answer.text());
    }
    assert_eq!(answer.fact("generation"), "0");
    assert_eq!(answer.fact("mine"), "1", "{}", answer.text());
    // Characters are bytes.
    assert_eq!(answer.fact("request"), "GET /shown?x=\u{e9} HTTP/1.1");
    assert_eq!(answer.fact("client"), "127.0.0.1");
    assert!(
        answer
            .fact("vhost")
            .ends_with(&format!(":{}", server.port()))
    );
    let children: Vec<String> = server
        .children()
        .iter()
        .map(|c| c.pid.to_string())
        .collect();
    assert!(
        children.contains(&answer.fact("mine_pid")),
        "{children:?}: {}",
        answer.text()
    );
    let states = answer.fact("states");
    assert!(states.contains('.') && states.contains('W'), "{states}");
    server.restart();
    let answer = server.get("/").expect(200);
    assert_eq!(answer.fact("generation"), "1");
    assert_eq!(answer.fact("mine"), "1");
}

matrix!(the_scoreboard: event prefork);

/// MET-63: texts that fill their field, and bytes that are no UTF-8.
fn long_texts(mpm: Mpm, mode: Mode) {
    let server = site(mpm, mode)
        .modules(&["remoteip"])
        .config("RemoteIPHeader X-Client\nUseCanonicalName Off")
        .start();
    let client = "2001:db8:1111:2222:3333:4444:5555:6666";
    let request = Request::get(&format!("/{}?", "long".repeat(40))).header("X-Client", client);
    let answer = server.send(&request).expect(200);
    // The original shows the older field of httpd, which cuts it.
    let whole = subject().differs("MET-63");
    assert_eq!(
        answer.fact("client"),
        if whole { client } else { &client[..31] }
    );
    let shown = answer.fact("request");
    assert_eq!(shown.len(), 63, "{shown}");
    assert!(shown.starts_with("GET /longlong"));
}

matrix!(long_texts: event);

/// MET-60: off in this mode is None, whatever the other mode has.
fn off(mpm: Mpm, mode: Mode) {
    let (option, directive) = match mode {
        Mode::Embedded => ("On", ""),
        Mode::Daemon => ("Off", "WSGIServerMetrics On"),
    };
    let server = Site::new(mpm, mode)
        .daemon_options(&format!("threads=3 server-metrics={option}"))
        .config(directive)
        .script("/", SHOW)
        .start();
    let answer = server.get("/").expect(200);
    assert_eq!(answer.fact("metrics"), "False");
    server.restart();
    let answer = server.get("/").expect(200);
    assert_eq!(answer.fact("metrics"), "False");
}

matrix!(off: event prefork);

/// Addresses of shared memory without a file, and the rights to it.
fn shared_memory(process: &Process) -> Vec<(String, String)> {
    let maps = fs::read_to_string(format!("/proc/{}/maps", process.pid)).expect("its maps");
    maps.lines()
        .filter(|line| line.contains("/dev/zero"))
        .filter_map(|line| {
            let mut fields = line.split_whitespace();
            Some((fields.next()?.to_owned(), fields.next()?.to_owned()))
        })
        .collect()
}

fn supervisor(server: &Server) -> Process {
    let daemons = server.daemons();
    let all = server.processes();
    let found = all
        .into_iter()
        .find(|process| process.pid == daemons[0].parent);
    found.expect("a supervisor")
}

/// DMN-121, DMN-905: no daemon has the scoreboard mapped, and the supervisor cannot write it; after restarts neither, and when
/// another supervisor has taken its place.
#[test]
fn nobody_but_apache_writes_the_scoreboard() {
    if !subject().differs("DMN-905") {
        return;
    }
    let server = site(Mpm::Event, Mode::Daemon).start();
    let changes: [fn(&Server); 4] = [
        |_| {},
        Server::graceful,
        Server::restart,
        |server| {
            // Nobody is there any more to put the last words of the old daemons into the log's format.
            for text in [
                "WSGI5043",
                "WSGI0023",
                "of group 'live'",
                "Terminate Python",
            ] {
                server.allow_log(text);
            }
            let old = supervisor(server);
            old.signal(Signal::SIGKILL);
            server.wait_for_log("WSGI5043");
            server.wait_until_gone(&[old]);
        },
    ];
    for change in changes {
        change(&server);
        let answer = wait_until("an answer with metrics", || {
            let answer = server.get("/");
            (answer.status == 200 && answer.fact("metrics") == "True").then_some(answer)
        });
        assert_eq!(answer.fact("mine"), "1");
        let parents = shared_memory(&server.parent());
        assert_eq!(parents.len(), 1, "the scoreboard: {parents:?}");
        assert_eq!(parents[0].1, "rw-s");
        let expected = [(parents[0].0.clone(), "r--s".to_owned())];
        assert_eq!(shared_memory(&supervisor(&server)), expected);
        for daemon in server.daemons() {
            assert_eq!(shared_memory(&daemon), []);
        }
    }
}

/// A script that asks the supervisor by itself, on the control channel, and writes the packet that it gets. It is loaded before
/// its process reads the channel.
const ASK: &str = "import socket
channel = socket.socket(fileno=3)
channel.send(bytes.fromhex('QUESTION'))
answer = channel.recv(200000)
channel.detach()
open('{data}/NAME', 'w').write(answer.hex() + ' ')
def application(environ, start_response):
    start_response('200 OK', [])
    return [b'hello']
";

/// MET-60, DMN-905: the supervisor itself refuses a process of a group without `server-metrics=On`, whatever that process does.
#[test]
fn a_group_without_it_is_refused() {
    if !subject().differs("DMN-905") {
        return;
    }
    let question = FromDaemon::ServerMetrics {
        question: 9,
        from: 0,
    };
    let packet = encode(&question).expect("a short message");
    let hex: String = packet.iter().map(|byte| format!("{byte:02x}")).collect();
    let ask = |name| ASK.replace("QUESTION", &hex).replace("NAME", name);
    let server = Site::daemon()
        .config(
            "WSGIDaemonProcess curious threads=1\nWSGIDaemonProcess allowed threads=1 server-metrics=On\n\
             WSGIScriptAlias /curious {apps}/curious.py process-group=curious application-group=%{GLOBAL}\n\
             WSGIScriptAlias /allowed {apps}/allowed.py process-group=allowed application-group=%{GLOBAL}",
        )
        .file("apps/curious.py", &ask("curious"))
        .file("apps/allowed.py", &ask("allowed"))
        .start();
    server.allow_log("WSGI5049");
    let page = |name: &str| {
        let path = server.path(&format!("data/{name}"));
        let hex = wait_until("the answer of the supervisor", || {
            let text = fs::read_to_string(&path).ok()?;
            text.strip_suffix(' ').map(str::to_owned)
        });
        let bytes: Vec<u8> = (0..hex.len() / 2)
            .map(|at| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).expect("hexadecimal"))
            .collect();
        match decode::<ToDaemon>(&bytes) {
            Ok(ToDaemon::ServerMetrics { question: 9, page }) => page,
            other => panic!("{name}: {other:?}"),
        }
    };
    let allowed = page("allowed").expect("the scoreboard");
    let summary = allowed.summary;
    assert_eq!((summary.server_limit, summary.thread_limit), (12, 80));
    assert!(!allowed.rows.is_empty());
    assert_eq!(page("curious"), None);
    let record = server.wait_for_log("WSGI5049");
    assert!(record.contains("'curious'"), "{record:?}");
    server.get("/curious").expect(200);
    server.get("/allowed").expect(200);
}

const AT_IMPORT: &str = "import mod_wsgi
metrics = mod_wsgi.server_metrics()
open('{data}/NAME', 'w').write('%r ' % (metrics and len(metrics['processes'])))
";

/// MET-60: scripts that are loaded before requests are taken, and services, get an answer too.
#[test]
fn at_import_and_in_services() {
    let service = format!("{AT_IMPORT}import signal\nsignal.pause()\n");
    let server = Site::daemon()
        .daemon_options("threads=1 server-metrics=On")
        .config(
            "WSGIDaemonProcess service threads=0 server-metrics=On\n\
             WSGIImportScript {apps}/early.py process-group=live application-group=%{GLOBAL}\n\
             WSGIImportScript {apps}/service.py process-group=service application-group=%{GLOBAL}",
        )
        .file("apps/early.py", &AT_IMPORT.replace("NAME", "early"))
        .file("apps/service.py", &service.replace("NAME", "service"))
        .script("/", SHOW)
        .start();
    for name in ["early", "service"] {
        let path = server.path(&format!("data/{name}"));
        let found = wait_until("what the script has found", || {
            let text = fs::read_to_string(&path).ok()?;
            text.strip_suffix(' ').map(str::to_owned)
        });
        assert_eq!(found, "12", "{name}");
    }
    assert_eq!(server.get("/").expect(200).fact("metrics"), "True");
}

/// MET-61: thousands of slots come over, also to several threads that ask at the same time.
#[test]
fn a_big_server() {
    let server = site(Mpm::Event, Mode::Daemon)
        .config("ServerLimit 30\nThreadLimit 500\nThreadsPerChild 20\nMaxRequestWorkers 600")
        .start();
    std::thread::scope(|scope| {
        let ask = || server.get("/").expect(200);
        let askers: Vec<_> = (0..6).map(|_| scope.spawn(ask)).collect();
        for asker in askers {
            let answer = asker.join().expect("an asker");
            assert_eq!(answer.fact("limits"), "[30, 500, 30, 15000]");
            assert_eq!(answer.fact("numbers"), "True");
        }
    });
}

/// A supervisor that does not answer is None after a while, not a hang; when it does again, so does this.
#[test]
fn a_supervisor_that_does_not_answer() {
    if !subject().differs("DMN-905") {
        return;
    }
    let server = site(Mpm::Event, Mode::Daemon).start();
    let answer = server.get("/").expect(200);
    assert_eq!(answer.fact("metrics"), "True");
    let supervisor = supervisor(&server);
    supervisor.signal(Signal::SIGSTOP);
    let answer = server.get("/").expect(200);
    assert_eq!(answer.fact("metrics"), "False");
    supervisor.signal(Signal::SIGCONT);
    wait_until("metrics again", || {
        let answer = server.get("/").expect(200);
        (answer.fact("metrics") == "True").then_some(())
    });
}

/// Whether a process has metrics.
const ASKING: &str = "import mod_wsgi, threading

def has_metrics():
    return mod_wsgi.server_metrics() is not None

";

/// MET-60, DMN-905: a process that the application forked gets None: it has no share in the conversation with the supervisor, and
/// no thread that would let go of its locks. The process itself is not disturbed.
fn in_forked_processes(mpm: Mpm, mode: Mode) {
    if !subject().is_ours() {
        return;
    }
    let app = "over = threading.Event()

def ask():
    while not over.is_set():
        mod_wsgi.server_metrics()

def application(environ, start_response):
    over.clear()
    askers = [threading.Thread(target=ask) for _ in range(3)]
    for asker in askers:
        asker.start()
    copies = sorted({in_a_copy(has_metrics) for _ in range(20)})
    over.set()
    for asker in askers:
        asker.join()
    facts = {'copies': copies, 'metrics': mod_wsgi.server_metrics() is not None}
    start_response('200 OK', [])
    return [''.join('%s\\t%s\\n' % item for item in facts.items()).encode()]
";
    let server = allowed(mpm, mode)
        .script("/", &format!("{IN_A_COPY}{ASKING}{app}"))
        .start();
    let answer = server.get("/").expect(200);
    assert_eq!(answer.fact("copies"), "['False']");
    assert_eq!(answer.fact("metrics"), "True");
}
matrix!(in_forked_processes: event prefork);

/// MET-60: the same before the process reads its channel: a copy that asked would get the answer in place of the process.
#[test]
fn in_processes_forked_at_import() {
    if !subject().is_ours() {
        return;
    }
    let early = "found = [in_a_copy(has_metrics), has_metrics()]
open('{data}/early', 'w').write('%r ' % found)
";
    let server = site(Mpm::Event, Mode::Daemon)
        .config("WSGIImportScript {apps}/early.py process-group=live application-group=%{GLOBAL}")
        .file("apps/early.py", &format!("{IN_A_COPY}{ASKING}{early}"))
        .start();
    assert_eq!(server.get("/").expect(200).fact("metrics"), "True");
    let found = fs::read_to_string(server.path("data/early")).expect("the script was loaded");
    assert_eq!(found, "['False', True] ");
}
