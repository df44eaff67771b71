//! Applications that fail, clients that vanish: the status and log line of the specification, never an answer that looks
//! whole and is not.

mod before;
mod behind;
mod peers;
mod scripts;

use wsgi_harness::{Mode, Mpm, Server, Site};

fn server(mpm: Mpm, mode: Mode) -> Server {
    // A cut-short answer of the original may keep the connection open until this is over.
    Site::new(mpm, mode)
        .cases()
        .shared("hello.wsgi")
        .config("KeepAliveTimeout 1")
        .start()
}

#[track_caller]
fn still_answers(server: &Server) {
    assert_eq!(server.get("/case/hello").expect(200).text(), "hello");
}
