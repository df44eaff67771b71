//! A daemon group as a whole: its threads and timers, what its processes do before the first request, and what they survive.

use std::fs;

use nix::sys::signal::Signal;
use wsgi_harness::{Site, is_root, subject, unprivileged_user, wait_until};

const PID: &str = "import os\n\ndef application(environ, start_response):\n    start_response('200 OK', [])\n    return [str(os.getpid()).encode()]\n";

/// DP-31, DMN-011: a group has 15 threads for requests where nothing is said.
#[test]
fn threads_by_default() {
    let server = Site::daemon()
        .config("WSGIDaemonProcess plain\nWSGIScriptAlias /plain {apps}/root.wsgi process-group=plain")
        .script(
            "/",
            "import os, time\n\ndef application(environ, start_response):\n    thread = environ['mod_wsgi.thread_id']\n    open('{data}/thread-%d' % thread, 'w').close()\n    while not os.path.exists('{data}/go'):\n        time.sleep(0.01)\n    start_response('200 OK', [])\n    return [b'%d' % thread]\n",
        )
        .start();
    let requests: Vec<_> = (0..16).map(|_| server.begin("/plain")).collect();
    let threads = || -> usize {
        let entries = fs::read_dir(server.path("data")).expect("a folder");
        entries.flatten().count()
    };
    wait_until("15 requests at once", || (threads() == 15).then_some(()));
    server.write("data/go", "");
    let mut seen: Vec<i32> = requests
        .into_iter()
        .map(|mut request| {
            request
                .answer()
                .expect(200)
                .text()
                .parse()
                .expect("a number")
        })
        .collect();
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen, (1..=15).collect::<Vec<_>>());
}

/// What Python finds of options of its own, and of httpd's environment; `sh` is a program that it starts.
const SURROUNDINGS: &str = "import os, subprocess, sys

def application(environ, start_response):
    start_response('200 OK', [])
    names = 'HOME', 'USER', 'USERNAME', 'LOGNAME'
    of_child = subprocess.check_output(['sh', '-c', 'echo $HOME $USER $USERNAME $LOGNAME'], text=True).strip()
    lines = [
        ('variables', [os.environ.get(name) for name in names]),
        ('child', of_child),
        ('eggs', os.environ.get('PYTHON_EGG_CACHE')),
        ('path', [path for path in sys.path if path.startswith('{dir}')]),
    ]
    return [''.join('%s\\t%s\\n' % line for line in lines).encode()]
";

/// DP-27, DP-51, DP-52, DMN-021, DMN-022, DMN-131, API-020, API-030, API-031: what a group has of Python's settings is its own, and not
/// what WSGIPythonPath and WSGIPythonEggs give embedded Python. Its user's name is in variables that were there.
#[test]
fn settings_of_embedded_python_are_not_a_groups() {
    let other = if is_root() {
        "user=games home=/"
    } else {
        "home=/"
    };
    let server = Site::daemon()
        .variable("HOME", "/somewhere")
        .variable("USER", "somebody")
        .variable("LOGNAME", "somebody")
        .daemon_options("threads=1")
        .config(&format!(
            "WSGIPythonPath {{dir}}/embedded
            WSGIPythonEggs {{dir}}/embedded-eggs
            WSGIDaemonProcess other threads=1 python-path={{dir}}/lib python-eggs={{dir}}/eggs {other}
            WSGIScriptAlias /embedded {{apps}}/root.wsgi process-group=%{{GLOBAL}}
            WSGIScriptAlias /other {{apps}}/root.wsgi process-group=other"
        ))
        .script("/", SURROUNDINGS)
        .start();
    let name = |of_group: &str| {
        let user = if is_root() {
            nix::unistd::User::from_name(of_group)
        } else {
            nix::unistd::User::from_uid(nix::unistd::Uid::effective())
        };
        let user = user.expect("the user database").expect("an account");
        (user.dir.display().to_string(), user.name)
    };
    let of_httpd = unprivileged_user().name;
    for (url, user, eggs, path) in [
        ("/", Some(name(&of_httpd)), None, ""),
        (
            "/other",
            Some(name("games")),
            Some("{dir}/eggs"),
            "'{dir}/lib'",
        ),
        (
            "/embedded",
            None,
            Some("{dir}/embedded-eggs"),
            "'{dir}/embedded'",
        ),
    ] {
        let answer = server.get(url).expect(200);
        let (home, user) = user.unwrap_or_else(|| ("/somewhere".into(), "somebody".into()));
        assert_eq!(
            answer.fact("variables"),
            format!("['{home}', '{user}', None, '{user}']"),
            "{url}"
        );
        assert_eq!(
            answer.fact("child"),
            format!("{home} {user} {user}"),
            "{url}"
        );
        let eggs = eggs.map_or_else(|| "None".to_owned(), |eggs| server.fill(eggs));
        assert_eq!(answer.fact("eggs"), eggs, "{url}");
        assert_eq!(
            answer.fact("path"),
            server.fill(&format!("[{path}]")),
            "{url}"
        );
    }
}

/// DMN-129, DMN-130, DP-53: import scripts run before the first request, one that fails does no harm, and switch-interval is set
/// behind them.
#[test]
fn before_the_first_request() {
    let server = Site::daemon()
        .daemon_options("processes=1 threads=2 switch-interval=0.25")
        .file(
            "apps/first.py",
            "import builtins, os, sys\nbuiltins.first = os.getpid()\nbuiltins.found = sys.getswitchinterval()\nsys.setswitchinterval(0.75)\n",
        )
        .file("apps/broken.py", "raise ValueError('in an import script')\n")
        .config(
            "WSGIImportScript {apps}/first.py process-group=live application-group=%{GLOBAL}
            WSGIImportScript {apps}/first.py process-group=live application-group=named
            WSGIImportScript {apps}/broken.py process-group=live application-group=%{GLOBAL}
            WSGIScriptAlias /named {apps}/root.wsgi application-group=named",
        )
        .script(
            "/",
            "import builtins, os, sys\n\ndef application(environ, start_response):\n    start_response('200 OK', [])\n    return [repr((builtins.first == os.getpid(), sys.getswitchinterval())).encode()]\n",
        )
        .start();
    for path in ["/", "/named"] {
        assert_eq!(
            server.get(path).expect(200).text(),
            "(True, 0.25)",
            "{path}"
        );
    }
    server.expect_log("ValueError: in an import script");
    server.allow_log("broken.py");
}

/// DMN-032, DMN-951, DP-67: what is not given: 15 seconds for a graceful end, 5 for any, 300 for a blocked Python.
#[test]
fn timers_by_default() {
    if !subject().is_ours() {
        // Its log does not tell.
        return;
    }
    let server = Site::daemon()
        .log_level("notice wsgi:debug")
        .script("/", PID)
        .start();
    let timers = server.wait_for_log("timers of a process of group 'live': ");
    for timer in [
        "startup-timeout=0",
        "deadlock-timeout=300",
        "inactivity-timeout=0",
        "request-timeout=0",
        "interrupt-timeout=0",
        "graceful-timeout=15",
        "eviction-timeout=0",
        "restart-interval=0",
        "shutdown-timeout=5",
    ] {
        assert!(timers.contains(timer), "{timer}: {timers:?}");
    }
}

/// DMN-403: a process that cannot wait for requests any more, because its application closed what is not its own, is replaced.
#[test]
fn a_process_that_cannot_wait() {
    if !subject().is_ours() {
        // It waits in another way.
        return;
    }
    let server = Site::daemon()
        .daemon_options("processes=1 threads=2")
        .cases()
        .script("/", PID)
        .start();
    let first = server.served_by("/");
    let old = server.daemon(first);
    let url = server.case(
        "closing",
        "import os\n\ndef application(environ, start_response):\n    null = os.open('/dev/null', os.O_RDWR)\n    for name in os.listdir('/proc/self/fd'):\n        try:\n            if 'eventpoll' in os.readlink('/proc/self/fd/' + name):\n                os.dup2(null, int(name))\n        except OSError:\n            pass\n    start_response('200 OK', [])\n    return [b'closed']\n",
    );
    assert_eq!(server.get(&url).expect(200).text(), "closed");
    server.expect_log("WSGI0018");
    server.allow_log("'live'");
    server.wait_until_gone(&[old]);
    assert_ne!(server.served_by("/"), first);
}

/// DMN-123, DMN-503, DMN-507: signals for Python that come faster than it takes them are dropped, and disturb nothing.
#[test]
fn more_signals_than_python_takes() {
    let server = Site::daemon()
        .daemon_options("processes=1 threads=2")
        .script(
            "/",
            "import mod_wsgi, os, time\ntaken = []\n\n@mod_wsgi.subscribe_signals\ndef signalled(name, **rest):\n    taken.append(name)\n    open('{data}/first', 'w').close()\n    while not os.path.exists('{data}/go'):\n        time.sleep(0.01)\n\ndef application(environ, start_response):\n    start_response('200 OK', [])\n    return [b'%d %d' % (os.getpid(), len(taken))]\n",
        )
        .start();
    let ask = || -> (i32, usize) {
        let text = server.get("/").expect(200).text();
        let (pid, count) = text.split_once(' ').expect("two numbers");
        (pid.parse().expect("a pid"), count.parse().expect("a count"))
    };
    let (first, _) = ask();
    let process = server.daemon(first);
    process.signal(Signal::SIGHUP);
    wait_until("the first signal", || {
        server.path("data/first").exists().then_some(())
    });
    // More than a pipe holds.
    for _ in 0..100_000 {
        process.signal(Signal::SIGUSR2);
    }
    assert_eq!(ask(), (first, 1));
    server.write("data/go", "");
    wait_until("the others", || (ask().1 > 1).then_some(()));
    process.signal(Signal::SIGUSR1);
    server.wait_until_gone(&[process]);
    assert_ne!(ask().0, first);
}
