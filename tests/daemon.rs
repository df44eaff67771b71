//! Daemon processes: who they are, and what they find around them.

use std::collections::HashSet;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::UnixListener;

use wsgi_harness::{Server, Site, is_root, subject, test_venv, unprivileged_user, wait_until};

const FACTS: &str = include_str!("apps/facts.wsgi");

fn facts(options: &str) -> Server {
    Site::daemon()
        .daemon_options(options)
        .script("/", FACTS)
        .start()
}

fn user(name: &str) -> nix::unistd::User {
    nix::unistd::User::from_name(name)
        .expect("the user database")
        .expect("a user that every Debian has")
}

/// DP-10, DP-11, DP-13, DP-16, DP-20, DMN-012, DMN-013, DMN-015, DMN-050, DMN-102, DMN-114, DMN-115, DMN-116: without options a
/// group runs as httpd's user, and what its processes have of httpd's they keep.
#[test]
fn default_identity() {
    let server = facts("threads=2");
    let answer = server.get("/").expect(200);
    let httpd = server.parent();
    let umask = httpd.status("Umask").expect("Linux tells");
    assert_eq!(
        answer.fact("umask").trim_start_matches("0o"),
        umask.trim_start_matches('0')
    );
    assert_eq!(
        answer.fact("cwd"),
        server.dir().display().to_string(),
        "where httpd was started"
    );
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", httpd.pid)).expect("it runs");
    // Field 19, counted from behind the name, which is the second.
    let behind_name = stat.rsplit(") ").next().expect("a name");
    let nice = behind_name.split(' ').nth(16);
    assert_eq!(Some(answer.fact("priority").as_str()), nice);
    if is_root() {
        let expected = unprivileged_user();
        assert_eq!(answer.fact("uid"), expected.uid.to_string());
        assert_eq!(answer.fact("euid"), expected.uid.to_string());
        assert_eq!(answer.fact("gid"), expected.gid.to_string());
        assert_eq!(answer.fact("groups"), format!("[{}]", expected.gid));
    }
    assert_eq!(answer.fact("stdin"), "/dev/null", "REQ-562");
    let pid = answer.number("pid");
    let daemon = server
        .daemons()
        .into_iter()
        .find(|process| process.pid == pid)
        .expect("the process that answered");
    assert!(!daemon.listens, "DMN-120: no listening socket of httpd");
    assert_eq!(server.daemons().len(), 1);
}

/// DP-25, DMN-012, DMN-013: User and Group of httpd that come behind the group count.
#[test]
fn identity_that_comes_later() {
    if !is_root() {
        println!("not root: identities are not changed");
        return;
    }
    let server = Site::embedded()
        .early_config("WSGIDaemonProcess early threads=1")
        .script_with("/", "process-group=early", FACTS)
        .start();
    let (answer, expected) = (server.get("/").expect(200), unprivileged_user());
    assert_eq!(answer.fact("uid"), expected.uid.to_string());
    assert_eq!(answer.fact("gid"), expected.gid.to_string());
    assert_eq!(answer.fact("groups"), format!("[{}]", expected.gid));
}

/// DP-10, DP-11, DP-12, DP-13, DP-15, DP-16, DP-20, DP-27, DMN-012, DMN-013, DMN-014, DMN-015, DMN-017, DMN-050,
/// DMN-112, DMN-114, DMN-115, DMN-116, DMN-117: with options.
#[test]
fn chosen_identity() {
    if !is_root() {
        println!("not root: identities are not changed");
        return;
    }
    let (daemon, games) = (user("daemon"), user("games"));
    let server = Site::daemon()
        .daemon_options("threads=2 user=daemon umask=0027 cpu-priority=3")
        .config(&format!(
            "WSGIDaemonProcess two threads=1 user=#{} group=games home=/usr/bin
            WSGIDaemonProcess three threads=1 user=games group=games supplementary-groups=daemon,#{} home=/
            WSGIDaemonProcess four threads=1 user=games home=/ supplementary-groups=
            WSGIDaemonProcess five threads=1 user=games supplementary-groups=,daemon home=/
            WSGIDaemonProcess six threads=1 user={}
            WSGIScriptAlias /six {{apps}}/facts.wsgi process-group=six
            WSGIScriptAlias /four {{apps}}/facts.wsgi process-group=four
            WSGIScriptAlias /five {{apps}}/facts.wsgi process-group=five
            WSGIScriptAlias /two {{apps}}/facts.wsgi process-group=two
            WSGIScriptAlias /three {{apps}}/facts.wsgi process-group=three
            WSGIScriptAlias / {{apps}}/facts.wsgi",
            games.uid,
            unprivileged_user().gid,
            unprivileged_user().name
        ))
        .file("apps/facts.wsgi", FACTS)
        .start();
    let one = server.get("/").expect(200);
    assert_eq!(one.fact("uid"), daemon.uid.to_string());
    assert_eq!(
        one.fact("gid"),
        unprivileged_user().gid.to_string(),
        "httpd's Group, not the user's own"
    );
    assert_eq!(one.fact("umask"), "0o27");
    assert_eq!(
        one.fact("cwd"),
        daemon.dir.display().to_string(),
        "DMN-116: the home of a user that is not httpd's"
    );
    assert_eq!(one.fact("home"), daemon.dir.display().to_string());
    assert_eq!(one.fact("priority"), "3");
    let two = server.get("/two").expect(200);
    assert_eq!(
        (two.fact("uid"), two.fact("gid")),
        (games.uid.to_string(), games.gid.to_string())
    );
    assert_eq!(
        (two.fact("cwd").as_str(), two.fact("path0").as_str()),
        ("/usr/bin", "/usr/bin"),
        "DMN-017"
    );
    let three = server.get("/three").expect(200);
    let mut groups = vec![
        games.gid.as_raw(),
        daemon.gid.as_raw(),
        unprivileged_user().gid.as_raw(),
    ];
    groups.sort_unstable();
    assert_eq!(three.fact("groups"), format!("{groups:?}"), "DMN-014");
    assert_eq!(
        server.get("/six").expect(200).fact("cwd"),
        server.dir().display().to_string(),
        "DMN-116: httpd's own user stays where httpd was started"
    );
    for path in ["/four", "/five"] {
        let alone = format!("[{}]", unprivileged_user().gid);
        let answer = server.get(path).expect(200);
        assert_eq!(answer.fact("groups"), alone, "DP-12: {path}");
    }
}

/// DP-12, DMN-014, DMN-114: without `supplementary-groups` the groups are those that the user database has for the user.
#[test]
fn groups_of_the_user() {
    let table = std::fs::read_to_string("/etc/group").expect("Debian has it");
    let members = |line: &str| -> Option<(u32, Vec<String>)> {
        let mut fields = line.split(':').skip(2);
        let group = fields.next()?.parse().ok()?;
        let names = fields.next()?.split(',').filter(|name| !name.is_empty());
        Some((group, names.map(str::to_owned).collect()))
    };
    let table: Vec<(u32, Vec<String>)> = table.lines().filter_map(members).collect();
    let is_other = |name: &&String| {
        let found = nix::unistd::User::from_name(name).ok().flatten();
        found.is_some_and(|user| !user.uid.is_root())
    };
    let Some(name) = table.iter().flat_map(|(_, names)| names).find(is_other) else {
        println!("nobody here is in a second group");
        return;
    };
    if !is_root() {
        println!("not root: identities are not changed");
        return;
    }
    let answer = facts(&format!("threads=1 home=/ user={name}"))
        .get("/")
        .expect(200);
    let mut expected: Vec<u32> = table
        .iter()
        .filter(|(_, names)| names.contains(name))
        .map(|(group, _)| *group)
        .chain([unprivileged_user().gid.as_raw()])
        .collect();
    expected.sort_unstable();
    expected.dedup();
    assert_eq!(answer.fact("groups"), format!("{expected:?}"), "{name}");
}

/// DMN-116, DMN-118, DP-05: a user without a home. The group cannot start; that is told, and requests do not hang.
#[test]
fn user_without_home() {
    if !is_root() || !subject().differs("DMN-540") {
        // The original lets requests wait until a timeout.
        return;
    }
    let server = Site::daemon()
        .daemon_options("threads=1 user=nobody")
        .script("/", FACTS)
        .start();
    server.wait_for_log("WSGI0010");
    server.allow_log("WSGI0025");
    server.allow_log("'live'");
    server.allow_log("WSGI5");
    let answer = wait_until("an answer that is not the application's", || {
        Some(server.get("/"))
    });
    assert_eq!(answer.status, 503, "{}", answer.shown());
}

/// DP-17, DP-18, DMN-018, DMN-019, DMN-126: language and locale, each alone and both; one is not the other.
#[test]
fn language() {
    let server = Site::daemon()
        .variable("LANG", "C")
        .daemon_options("threads=1 lang=C.UTF-8 locale=C.UTF-8")
        .config(
            "WSGIDaemonProcess unknown threads=1 locale=xx_XX.nothing
            WSGIDaemonProcess lang threads=1 lang=C.UTF-8
            WSGIDaemonProcess locale threads=1 locale=C.UTF-8
            WSGIDaemonProcess neither threads=1
            WSGIScriptAliasMatch ^/(unknown|lang|locale|neither) {apps}/root.wsgi process-group=%{ENV:GROUP}
            SetEnvIf Request_URI ^/(.+) GROUP=$1",
        )
        .modules(&["setenvif"])
        .script("/", FACTS)
        .start();
    // Of LC_ALL, LC_CTYPE apart, where Python itself follows the environment.
    let facts = |url: &str| {
        let answer = server.get(url).expect(200);
        let numeric = answer.fact("numeric").to_lowercase().replace('-', "");
        (answer.fact("lang"), answer.fact("lc_all"), numeric)
    };
    for (url, lang, lc_all, numeric) in [
        ("/", "C.UTF-8", "C.UTF-8", "c.utf8"),
        ("/unknown", "C", "xx_XX.nothing", "c"),
        ("/lang", "C.UTF-8", "None", "c"),
        ("/locale", "C", "C.UTF-8", "c.utf8"),
        ("/neither", "C", "None", "c"),
    ] {
        let expected = (lang.to_owned(), lc_all.to_owned(), numeric.to_owned());
        assert_eq!(facts(url), expected, "{url}");
    }
    server.expect_log("WSGI0079");
    assert_eq!(server.log().count("WSGI0079"), 1);
}

/// DP-19, XPN-27, DMN-039, DMN-111: the name in process listings.
#[test]
fn display_name() {
    let server = Site::daemon()
        .daemon_options("threads=1 display-name=%{GROUP}")
        .config("WSGIDaemonProcess other threads=1 display-name=my-name\nWSGIScriptAlias /other {apps}/root.wsgi process-group=other")
        .script("/", FACTS)
        .start();
    for (path, name) in [("/", "(wsgi:live)"), ("/other", "my-name")] {
        let pid = server.get(path).expect(200).number("pid");
        let process = server
            .daemons()
            .into_iter()
            .find(|process| process.pid == pid)
            .expect("the process that answered");
        assert!(process.command.starts_with(name), "{}", process.command);
    }
}

/// DP-50, DP-51, DIR-081, DIR-083, DMN-020, DMN-021: the Python of a group.
#[test]
fn python_of_a_group() {
    let venv = test_venv();
    let server = Site::daemon()
        .file("lib/one/mine.py", "x = 1\n")
        .file("lib/two/more.pth", "{dir}/lib/three\n")
        .file("lib/three/third.py", "x = 3\n")
        .daemon_options(&format!(
            "threads=1 home={{dir}} python-home={} python-path={{dir}}/lib/one:{{dir}}/lib/two",
            venv.display()
        ))
        .config("WSGIScriptAlias /sub {apps}/root.wsgi application-group=named")
        .script("/", FACTS)
        .start();
    for path in ["/", "/sub"] {
        let answer = server.get(path).expect(200);
        assert_eq!(answer.fact("prefix"), venv.display().to_string(), "{path}");
        let program = venv.join("bin/python").display().to_string();
        assert_eq!(answer.fact("executable"), program, "{path}");
        let found = answer.fact("path");
        let expected =
            server.fill("['{dir}', '{dir}/lib/one', '{dir}/lib/two', '{dir}/lib/three', ");
        assert!(found.starts_with(&expected), "{path}: {found}");
        assert!(found.contains("site-packages"), "{path}: {found}");
    }
}

/// DIR-061, DMN-103, DMN-104, DMN-105, DMN-046, DMN-213, DMN-641, DP-38, DP-48: names, owners and modes of sockets. They belong to
/// httpd's user, whoever runs the group, or to `socket-user`; nobody else gets in, and whom it kept out is told.
#[test]
fn sockets() {
    let games = user("games");
    for (rotation, names) in [
        (
            "On",
            ["wsgi.PID.0.2.sock".to_owned(), "wsgi.PID.0.3.sock".into()],
        ),
        (
            "Off",
            [2, 3].map(|number| format!("wsgi.PID.u{}.{number}.sock", other_uid())),
        ),
    ] {
        let (by_default, chosen) = if is_root() {
            (
                "threads=1 user=daemon home=/",
                format!("threads=1 user=daemon socket-user=#{} home=/", games.uid),
            )
        } else {
            ("threads=1", "threads=1".to_owned())
        };
        let server = Site::daemon()
            .config(&format!(
                "WSGISocketRotation {rotation}
                WSGIDaemonProcess second {by_default}
                WSGIDaemonProcess third {chosen}
                WSGIScriptAlias /second {{apps}}/root.wsgi process-group=second
                WSGIScriptAlias /third {{apps}}/root.wsgi process-group=third"
            ))
            .script("/", FACTS)
            .start();
        server.get("/second").expect(200);
        for (name, owner) in names.iter().zip([unprivileged_user(), games.clone()]) {
            let name = name.replace("PID", &server.pid().to_string());
            let facts = std::fs::metadata(server.path("run").join(&name)).unwrap_or_else(|error| {
                panic!(
                    "{name}: {error}; {:?}",
                    std::fs::read_dir(server.path("run"))
                        .map(|e| e.flatten().map(|e| e.file_name()).collect::<Vec<_>>())
                )
            });
            assert_eq!(facts.permissions().mode() & 0o777, 0o700, "{name}");
            if is_root() {
                let owned = (facts.uid(), facts.gid());
                assert_eq!(owned, (owner.uid.as_raw(), server.parent().gid), "{name}");
            }
        }
        if is_root() {
            assert_eq!(server.get("/third").status, 503, "{rotation}");
            server.expect_log("WSGI0117");
            let record = server.wait_for_log("WSGI0117");
            let uid = unprivileged_user().uid.to_string();
            for text in [uid.as_str(), "Permission denied"] {
                assert!(record.contains(text), "{}", record.line);
            }
        }
    }
}

fn other_uid() -> u32 {
    if is_root() {
        user("daemon").uid.as_raw()
    } else {
        nix::unistd::Uid::effective().as_raw()
    }
}

/// DMN-402, DP-31: thread numbers.
#[test]
fn thread_numbers() {
    let server = facts("threads=3");
    let seen: HashSet<i32> = (0..20)
        .map(|_| server.get("/").expect(200).number("thread"))
        .collect();
    assert!(seen.iter().all(|id| (1..=3).contains(id)), "{seen:?}");
}

/// REQ-312, DMN-212, DMN-213: a socket that is gone, or may not be used, is an error at once; one behind which nobody listens is
/// tried again, for `connect-timeout`.
#[test]
fn sockets_out_of_order() {
    let server = Site::daemon()
        .daemon_options("processes=1 threads=2 connect-timeout=1")
        .config(
            "WSGIDaemonProcess patient processes=1 threads=2 connect-timeout=600
            <Location /patient>\nWSGIProcessGroup patient\n</Location>",
        )
        .script("/", FACTS)
        .start();
    let sockets = server.sockets();
    assert_eq!(sockets.len(), 2, "{sockets:?}");
    for socket in &sockets {
        std::fs::rename(socket, socket.with_extension("aside")).expect("mine");
    }
    for path in ["/", "/patient"] {
        assert_eq!(server.get(path).status, 503, "{path}");
    }
    server.wait_for_logs("WSGI0117", 2);
    let open_to = |mode: u32| {
        for socket in &sockets {
            std::fs::set_permissions(socket, PermissionsExt::from_mode(mode)).expect("mine");
        }
    };
    for socket in &sockets {
        drop(UnixListener::bind(socket).expect("the name is free"));
    }
    open_to(0);
    for path in ["/", "/patient"] {
        assert_eq!(server.get(path).status, 503, "{path}");
    }
    server.wait_for_logs("WSGI0117", 4);
    open_to(0o777);
    assert_eq!(server.get("/").status, 503);
    server.wait_for_log("WSGI0116");
    let mut patient = server.begin("/patient");
    for socket in &sockets {
        std::fs::rename(socket.with_extension("aside"), socket).expect("mine");
    }
    patient.answer().expect(200);
    server.get("/").expect(200);
    assert_eq!(server.log().count("WSGI0117"), 4);
    assert_eq!(server.log().count("WSGI0116"), 1);
}
