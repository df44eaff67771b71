//! Which executable a daemon process is: that of its Python, where the interpreter is linked into that, else `mod_wsgi-daemon`
//! with Python's shared library.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::sys::signal::Signal;
use wsgi_harness::{Server, Site, is_root, subject, wait_until};

/// What an application sees of its process.
const FACTS: &str = "import os, subprocess, sys
def application(environ, start_response):
    child = subprocess.run(['env'], capture_output=True, text=True).stdout
    start_response('200 OK', [])
    facts = [os.readlink('/proc/self/exe'), os.environ.get('LD_PRELOAD'), 'LD_PRELOAD' in child, sys.orig_argv, sys.executable]
    return [repr(fact).encode() + b'\\n' for fact in facts]
";

/// The file of the runtime that is tested which says where its Python is: of WSGI_TEST_PYTHON, or of the only one.
fn built_conf() -> PathBuf {
    let folder = subject().module().with_file_name("mod_wsgi");
    if let Ok(version) = std::env::var("WSGI_TEST_PYTHON") {
        return folder.join(format!("python{version}.conf"));
    }
    let mut all = fs::read_dir(folder).expect("runtimes").flatten();
    let conf = all.find(|entry| entry.file_name().to_string_lossy().ends_with(".conf"));
    conf.expect("python3.X.conf beside python3.X.so").path()
}

/// A line of that file.
fn built(name: &str) -> Option<String> {
    let text = fs::read_to_string(built_conf()).expect("text");
    let value = |line: &str| Some(line.strip_prefix(name)?.strip_prefix('=')?.to_owned());
    text.lines().find_map(value)
}

/// A daemon group with an installation of its own, whose file says `conf`.
fn site(conf: &str) -> Site {
    let site = Site::daemon();
    let installed = site.path("installed");
    fs::create_dir_all(&installed).expect("a folder");
    let beside = subject().module().parent().expect("a folder").to_owned();
    let runtime = built_conf().with_extension("so");
    let files = [
        beside.join("mod_wsgi-daemon"),
        beside.join("libmod_wsgi_preload.so"),
        runtime.clone(),
    ];
    for file in files {
        symlink(&file, installed.join(file.file_name().expect("a file"))).expect("a link");
    }
    let name = PathBuf::from(runtime.file_name().expect("a file")).with_extension("conf");
    site.file(&format!("installed/{}", name.display()), conf)
        .config("WSGIRuntimeDirectory {dir}/installed")
        .script("/", FACTS)
}

fn both_files() -> Option<(String, String)> {
    // Elsewhere Python's executable loads the library itself.
    Some((built("executable")?, built("library")?))
}

/// The program of the only daemon, and what its application sees.
fn facts(server: &Server) -> (PathBuf, Vec<String>) {
    let text = server.get("/").expect(200).text();
    let daemons = server.daemons();
    assert_eq!(daemons.len(), 1, "{daemons:?}");
    (
        daemons[0].program.clone(),
        text.lines().map(str::to_owned).collect(),
    )
}

/// A daemon process is the executable of its Python. It has its own name in listings, and neither the application nor what that
/// starts sees how it came to be. `httpd -t -D DUMP_WSGI` names the executable.
#[test]
fn a_daemon_is_the_executable_of_its_python() {
    let Some((executable, _)) = both_files().filter(|_| subject().is_ours()) else {
        return;
    };
    let site = Site::daemon().script("/", FACTS);
    let dump = site.check_with(&["-D", "DUMP_WSGI"]);
    assert!(
        dump.output.contains(&format!(" in {executable})")),
        "{}",
        dump.output
    );
    let server = site.start();
    let (program, facts) = facts(&server);
    assert_eq!(program, Path::new(&executable));
    assert_eq!(facts[0], format!("'{executable}'"));
    assert_eq!(facts[1..3], ["None", "False"]);
    let daemon = &server.daemons()[0];
    assert_eq!(daemon.status("Name").as_deref(), Some("mod_wsgi-daemon"));
    assert!(
        daemon.command.starts_with("mod_wsgi-daemon: "),
        "{}",
        daemon.command
    );
    let maps = fs::read_to_string(format!("/proc/{}/maps", daemon.pid)).expect("its maps");
    assert!(!maps.contains("libpython3"), "two Pythons in one process");
    // Python's own idea of itself does not depend on it.
    let without = self::site(&format!("library={}\n", built("library").expect("checked"))).start();
    let (program, library_facts) = self::facts(&without);
    assert!(
        program.ends_with("mod_wsgi-daemon"),
        "{}",
        program.display()
    );
    assert_eq!(facts[1..], library_facts[1..]);
}

/// What Apache's own environment has the dynamic linker load stays for the application and what it starts.
#[test]
fn what_is_preloaded_anyway() {
    if !subject().is_ours() || both_files().is_none() {
        return;
    }
    let server = Site::daemon()
        .variable("LD_PRELOAD", "libm.so.6")
        .script("/", FACTS)
        .start();
    let (_, facts) = facts(&server);
    assert_eq!(facts[1..3], ["'libm.so.6'", "True"]);
}

/// An executable that does not become a daemon process, or cannot be executed, is replaced by `mod_wsgi-daemon`, with one warning
/// that names it.
#[test]
fn an_executable_that_is_none() {
    let Some((_, library)) = both_files().filter(|_| subject().is_ours()) else {
        return;
    };
    for (is_static, reason) in [(true, "LD_PRELOAD="), (false, "ermission denied")] {
        let site = site("");
        let executable = site.path("installed/stranger");
        if is_static {
            let source = site.path("stranger.c");
            fs::write(&source, "int main(void) { return 0; }\n").expect("a file");
            let mut compiler = Command::new("cc");
            compiler
                .arg("-static")
                .arg("-o")
                .arg(&executable)
                .arg(&source);
            assert!(compiler.status().expect("a C compiler").success());
        } else {
            fs::write(&executable, "").expect("a file");
            fs::set_permissions(&executable, Permissions::from_mode(0o644)).expect("the owner may");
        }
        let conf = site
            .path("installed")
            .join(built_conf().file_name().expect("a file"));
        let text = format!("executable={}\nlibrary={library}\n", executable.display());
        fs::write(conf, text).expect("a file");
        let server = site.start();
        // It counts as a failed start, so that there is a pause before the next one.
        server.allow_log("WSGI5040");
        server.allow_log("WSGI5060");
        let record = server.wait_for_log("WSGI5217");
        assert!(record.contains(reason), "{}", record.line);
        assert!(
            record.contains(&executable.to_string_lossy()),
            "{}",
            record.line
        );
        // So it goes on: the second process does not try the executable again.
        server.allow_log("has died");
        for _ in 0..2 {
            let answer = wait_until("an answer", || {
                let answer = server.get("/");
                (answer.status == 200).then_some(answer)
            });
            let program = answer.text().lines().next().map(str::to_owned);
            assert!(
                program.is_some_and(|line| line.ends_with("mod_wsgi-daemon'")),
                "{}",
                answer.text()
            );
            let pid = server.daemons()[0].pid;
            server.daemon(pid).signal(Signal::SIGKILL);
            wait_until("its end", || {
                server
                    .daemons()
                    .iter()
                    .all(|daemon| daemon.pid != pid)
                    .then_some(())
            });
        }
        assert_eq!(server.wait_for_logs("WSGI5217", 1).len(), 1);
    }
}

/// DMN-540: a preloaded script that ends its process is no reason to do without the executable, also where the log has no word
/// of the start.
#[test]
fn a_script_that_ends_the_process() {
    if !subject().is_ours() || both_files().is_none() {
        return;
    }
    let server = Site::daemon()
        .log_level("warn")
        .file(
            "apps/ends.wsgi",
            "import os, time\nif os.path.exists('{dir}/end'):\n    os._exit(0)\n",
        )
        .config(
            "WSGIImportScript {dir}/apps/ends.wsgi process-group=live application-group=%{GLOBAL}",
        )
        .file("end", "")
        .script("/", FACTS)
        .start();
    server.allow_log("WSGI5060");
    let record = server.wait_for_log("WSGI5040");
    assert!(record.contains("exit status 0"), "{}", record.line);
    fs::remove_file(server.path("end")).expect("it was there");
    let answer = wait_until("an answer", || {
        let answer = server.get("/");
        (answer.status == 200).then_some(answer)
    });
    let program = answer.text().lines().next().map(str::to_owned);
    let executable = format!("'{}'", built("executable").expect("checked"));
    assert_eq!(program, Some(executable));
}

/// Root executes nothing that somebody else could replace: the executable of a Python in a user's folder is not used, its library
/// is, by then as the user of the group.
#[test]
fn an_executable_that_others_may_write() {
    let Some((executable, library)) = both_files().filter(|_| subject().is_ours() && is_root())
    else {
        return;
    };
    let site = site("");
    let copy = site.path("installed/python");
    fs::copy(executable, &copy).expect("a copy");
    let conf = site
        .path("installed")
        .join(built_conf().file_name().expect("a file"));
    let text = format!("executable={}\nlibrary={library}\n", copy.display());
    fs::write(conf, text).expect("a file");
    let program_with = |mode| {
        fs::set_permissions(&copy, Permissions::from_mode(mode)).expect("permissions");
        let dump = site.check_with(&["-D", "DUMP_WSGI"]);
        dump.output.contains(&format!(" in {})", copy.display()))
    };
    assert!(program_with(0o755));
    assert!(!program_with(0o777));
    let (program, _) = facts(&site.start());
    assert!(
        program.ends_with("mod_wsgi-daemon"),
        "{}",
        program.display()
    );
}

/// A Python without a shared library serves in daemon processes; in embedded mode the log says why it does not.
#[test]
fn a_python_without_a_library() {
    let Some((executable, _)) = both_files().filter(|_| subject().is_ours()) else {
        return;
    };
    let server = site(&format!("executable={executable}\n"))
        .config("<Location /embedded>\nWSGIProcessGroup %{GLOBAL}\n</Location>")
        .start();
    server.allow_log("WSGI0210");
    server.wait_for_log("WSGI0001");
    let (program, _) = facts(&server);
    assert_eq!(program, Path::new(&executable));
    server.get("/embedded").expect(500);
    for text in ["without a shared library", "--enable-shared", &executable] {
        server.expect_log(text);
    }
}

/// A library that is gone, and a file that says nothing: the log, or `httpd -t`, names the file and the remedy.
#[test]
fn a_python_that_is_nowhere() {
    if !subject().is_ours() {
        return;
    }
    let server = site("library=/nonexistent/libpython3.so\n")
        .config("WSGIRestrictEmbedded On")
        .start();
    let record = server.wait_for_log("WSGI0028");
    for text in [
        "'/nonexistent/libpython3.so' cannot be loaded",
        "install it",
    ] {
        assert!(record.contains(text), "{}", record.line);
    }
    server.get("/").expect(503);
    server.allow_log("WSGI");
    let refused = site("# a comment\nhome=/usr\n").check();
    assert!(!refused.accepted);
    for text in [
        ", line 2: 'home=/usr' is neither",
        "build and install the runtime again",
    ] {
        assert!(refused.output.contains(text), "{}", refused.output);
    }
}
