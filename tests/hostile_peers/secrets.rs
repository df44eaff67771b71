//! What a process of a group could say to the daemons of another one.

use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::process::Command;

use wsgi_core::wire::{Hello, Kind};
use wsgi_harness::{Request, Server, Site, is_root, subject, wait_until};

use super::Peer;

/// Says whether each of these processes has these bytes in its memory.
const SEARCH: &str = "
import sys
secret = bytes.fromhex(sys.argv[1])
for pid in sys.argv[2:]:
    found = False
    with open(f'/proc/{pid}/maps') as maps, open(f'/proc/{pid}/mem', 'rb') as memory:
        for line in maps:
            place, rights = line.split()[:2]
            begin, end = (int(part, 16) for part in place.split('-'))
            if rights.startswith('rw'):
                try:
                    memory.seek(begin)
                    found = found or secret in memory.read(end - begin)
                except OSError:
                    pass # A guard page.
    print(found)
";

/// What the children say to the daemon of `path`, in place of which the listeners stand.
fn secret(server: &Server, path: &str, listeners: &[UnixListener]) -> [u8; 16] {
    std::thread::scope(|scope| {
        let asking = scope.spawn(move || {
            let mut connection = server.connect();
            connection.send_bytes(Request::get(path).close().bytes());
            connection.read_answer("GET").map(|answer| answer.status)
        });
        let stream = wait_until("a child", || {
            let accepted = listeners.iter().map(UnixListener::accept);
            accepted.flatten().next().map(|(stream, _)| stream)
        });
        stream.set_nonblocking(false).expect("a socket");
        let mut child = Peer::new(stream);
        let (kind, payload) = child.frame();
        assert_eq!(kind, Kind::Hello);
        // All that it has to say.
        assert_eq!(child.frame().0, Kind::Request);
        assert_eq!(child.frame().0, Kind::BodyEnd);
        drop(child);
        let status = asking.join().expect("the client does not panic");
        assert!(matches!(status, Ok(502)), "{status:?}");
        Hello::decode(&payload).expect("a whole frame").secret
    })
}

/// REQ-311, DMN-006, DMN-902: each group has a secret of its own, of which nothing is in the processes of another one.
#[test]
fn secrets_stay_with_their_group() {
    if !is_root() || !subject().is_ours() {
        return; // Memory of others is for root, and the protocol of the original is another one.
    }
    let server = Site::daemon()
        .daemon_options("processes=1 threads=1")
        .config(
            "WSGIDaemonProcess other processes=1 threads=1
            <Location /other>\nWSGIProcessGroup other\n</Location>",
        )
        .script(
            "/",
            "import os\n\ndef application(environ, start_response):\n    start_response('200 OK', [])\n    return [str(os.getpid()).encode()]\n",
        )
        .start();
    let sockets = server.sockets();
    let listeners: Vec<UnixListener> = sockets
        .iter()
        .map(|path| {
            std::fs::rename(path, path.with_extension("real")).expect("it can be renamed");
            let listener = UnixListener::bind(path).expect("its place is free");
            listener.set_nonblocking(true).expect("a socket");
            let everybody = PermissionsExt::from_mode(0o777);
            std::fs::set_permissions(path, everybody).expect("our own socket");
            listener
        })
        .collect();
    let secrets = ["/", "/other"].map(|path| secret(&server, path, &listeners));
    server.expect_log("WSGI0146");
    for path in &sockets {
        std::fs::rename(path.with_extension("real"), path).expect("both are in one folder");
    }
    let own = ["/", "/other"].map(|path| server.get(path).expect(200).text());
    for (secret, holder) in secrets.iter().zip(&own) {
        let text: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
        let output = Command::new("/usr/bin/python3")
            .args(["-c", SEARCH, &text])
            .args(&own)
            .output()
            .expect("Python runs");
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        if String::from_utf8_lossy(&output.stderr).contains("PermissionError") {
            println!("this root may not read the memory of others");
            return;
        }
        let found: Vec<_> = own.iter().zip(said.lines()).collect();
        let expected: Vec<_> = own
            .iter()
            .map(|pid| (pid, if pid == holder { "True" } else { "False" }))
            .collect();
        assert_eq!(found, expected, "{output:?}");
    }
    assert_ne!(secrets[0], secrets[1]);
}
