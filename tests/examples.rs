//! The first thing that a new user sees: `make serve` and its three examples.

use std::fs::{self, File};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use wsgi_harness::{ProcessTree, repository, subject, wait_until, wait_within};

/// Two virtual environments are made and filled from PyPI.
const INSTALLING: Duration = Duration::from_secs(600);

/// `tools/serve.sh` in a process group of its own, as a terminal runs it.
struct Serving {
    script: Child,
    address: String,
    output: PathBuf,
    cookies: PathBuf,
}

impl Serving {
    /// With the module of this build. Virtual environments are kept beside it, because making them takes long.
    fn start(state: &Path) -> Serving {
        fs::create_dir_all(state).expect("a folder for the examples");
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let port = listener.local_addr().expect("bound").port();
        drop(listener);
        let output = state.join("output");
        let file = File::create(&output).expect("a file in the folder");
        let profile = subject().module().parent().expect("it lies in a folder");
        let target = profile.parent().expect("the target folder");
        let script = Command::new(repository().join("tools/serve.sh"))
            .env("PORT", port.to_string())
            .env("PROFILE", profile.file_name().expect("debug or release"))
            .env("CARGO_TARGET_DIR", target)
            .env("SERVE_STATE", state)
            .stdin(Stdio::null())
            .stdout(file.try_clone().expect("a descriptor"))
            .stderr(file)
            .process_group(0)
            .spawn()
            .expect("bash runs tools/serve.sh");
        let cookies = state.join("cookies");
        let _ = fs::remove_file(&cookies);
        let mut serving = Serving {
            script,
            address: format!("http://127.0.0.1:{port}"),
            output,
            cookies,
        };
        let served = wait_within(INSTALLING, || {
            let ended = serving.script.try_wait().expect("a child of ours");
            assert!(ended.is_none(), "{ended:?}\n{}", serving.said());
            serving.said().contains("resuming normal").then_some(())
        });
        assert!(served.is_some(), "nothing is served\n{}", serving.said());
        serving
    }

    fn said(&self) -> String {
        fs::read_to_string(&self.output).unwrap_or_default()
    }

    /// Status and body for curl with these arguments before the URL.
    fn curl(&self, arguments: &[&str], path: &str) -> (String, String) {
        let output = Command::new("curl")
            .args(["-sS", "-w", "\n%{http_code}", "-b"])
            .arg(&self.cookies)
            .arg("-c")
            .arg(&self.cookies)
            .args(arguments)
            .arg(format!("{}{path}", self.address))
            .output()
            .expect("curl runs");
        let text = String::from_utf8(output.stdout).expect("pages in UTF-8");
        let (body, status) = text.rsplit_once('\n').expect("a status");
        (status.to_owned(), body.to_owned())
    }

    #[track_caller]
    fn page(&self, path: &str) -> String {
        let (status, body) = self.curl(&[], path);
        assert_eq!(status, "200", "{path}\n{body}\n{}", self.said());
        body
    }

    fn group(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.script.id()).expect("a process id"))
    }

    /// Ctrl-C.
    fn interrupt(mut self) {
        killpg(self.group(), Signal::SIGINT).expect("it runs");
        let status = wait_until("make serve to end", || {
            self.script.try_wait().expect("a child of ours")
        });
        assert!(status.success(), "{status}\n{}", self.said());
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        if matches!(self.script.try_wait(), Ok(None)) {
            // After a failure: what remains is ended.
            let _ = killpg(self.group(), Signal::SIGTERM);
            let _ = self.script.wait();
        }
    }
}

/// The hidden field of a form.
fn token(page: &str) -> &str {
    let (_, rest) = page
        .split_once("csrfmiddlewaretoken\" value=\"")
        .expect("a form of Django's");
    rest.split('"').next().expect("a value")
}

/// README: the examples answer, with the admin of Django, its database and its static files; Ctrl-C ends all of it.
#[test]
fn make_serve() {
    if !subject().is_ours() {
        return;
    }
    let state = subject().module().with_file_name("serve-of-tests");
    let serving = Serving::start(&state);
    assert!(serving.page("/hello").contains("process group:     hello"));
    let (status, _) = serving.curl(&["-d", "text=from+the+test"], "/flask/");
    assert!(["200", "302", "303"].contains(&status.as_str()), "{status}");
    assert!(serving.page("/flask/").contains("from the test"));
    assert!(serving.page("/django/").contains("/django/admin/"));

    let login = serving.page("/django/admin/login/");
    let form = format!(
        "csrfmiddlewaretoken={}&username=admin&password=admin&next=/django/admin/",
        token(&login)
    );
    let (status, body) = serving.curl(&["-d", &form], "/django/admin/login/");
    assert_eq!(status, "302", "{body}");
    let admin = serving.page("/django/admin/");
    assert!(admin.contains("Log out"), "{admin}");
    let style = "/django-static/admin/css/base.css";
    assert!(admin.contains(style), "{admin}");
    assert!(serving.page(style).contains("body"));
    // What lies beside the static files is nobody's business.
    for path in [
        "/django-static/../secret-key",
        "/django-static/%2e%2e/db.sqlite3",
    ] {
        assert_ne!(serving.curl(&["--path-as-is"], path).0, "200", "{path}");
    }

    let tree = ProcessTree::marked("SERVE_STATE", state.to_str().expect("UTF-8"));
    let daemons = tree
        .all()
        .into_iter()
        .filter(wsgi_harness::Process::is_daemon);
    assert_eq!(daemons.count(), 5);
    serving.interrupt();
    wait_until("all processes to be gone", || {
        tree.all().is_empty().then_some(())
    });
}
