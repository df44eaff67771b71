//! Applications that fail, clients that vanish: the status and log line of the specification, never an answer that looks
//! whole and is not.

mod before;
mod behind;
mod peers;
mod scripts;

use wsgi_harness::{Mode, Mpm, Server, Site, subject};

fn server(mpm: Mpm, mode: Mode) -> Server {
    // A cut-short answer of the original may keep the connection open until this is over (REQ-448, REQ-466).
    let keep_alive = if subject().is_ours() { 300 } else { 1 };
    Site::new(mpm, mode)
        .cases()
        .shared("hello.wsgi")
        .config(&format!("KeepAliveTimeout {keep_alive}"))
        .start()
}

#[track_caller]
fn still_answers(server: &Server) {
    assert_eq!(server.get("/case/hello").expect(200).text(), "hello");
}
