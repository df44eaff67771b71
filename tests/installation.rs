//! What is installed with the module, and what is said when Apache's user cannot get at it.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use wsgi_harness::{Mode, Mpm, Site, is_root, matrix, subject};

/// REQ-472, DMN-127: runtimes in a folder that is closed to Apache's user (a checkout below /root). The record says so, and
/// not that nothing is installed.
fn a_closed_folder(mpm: Mpm, mode: Mode) {
    if !is_root() || !subject().is_ours() {
        // Without root Apache's parent is that user, and refuses the configuration.
        return;
    }
    let site = Site::new(mpm, mode).cases();
    let folder = site.path("closed/mod_wsgi");
    fs::create_dir_all(&folder).expect("a folder of the site");
    let built = subject().module().with_file_name("mod_wsgi");
    let runtimes = fs::read_dir(&built).expect("runtimes").flatten();
    let daemon = subject().module().with_file_name("mod_wsgi-daemon");
    for from in runtimes.map(|entry| entry.path()).chain([daemon]) {
        let to = folder.join(from.file_name().expect("a file"));
        fs::copy(&from, to).expect("a copy");
    }
    let closed = fs::Permissions::from_mode(0o700);
    fs::set_permissions(site.path("closed"), closed).expect("permissions");
    let server = site
        .config(&format!("WSGIRuntimeDirectory {}", folder.display()))
        .start();
    let url = server.case(
        "never",
        "def application(environ, start_response):\n    start_response('200 OK', [])\n    return []\n",
    );
    let answer = server.get(&url);
    if mode == Mode::Embedded {
        assert_eq!(answer.status, 500);
        server.expect_log("WSGI0001");
        server.expect_log("cannot be read by uid");
        server.allow_log("WSGI0210");
    } else {
        assert_eq!(answer.status, 503);
        server.expect_log("ermission denied");
        server.allow_log("WSGI");
    }
}
matrix!(a_closed_folder: event);
