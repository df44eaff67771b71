//! Targets that are modules: `module:NAME:CALLABLE` in place of a script file. mod_wsgi has nothing like it, so these tests are
//! not for the original.

mod imports;
mod reloading;
mod targets;

use wsgi_harness::{Mode, Mpm, Site};

/// An application that answers with what it was told about itself.
const APPLICATION: &str = "import os, threading

def answer(name, environ, start_response):
    lines = {
        'application': name,
        'name': __name__,
        'script_name': environ['SCRIPT_NAME'],
        'path_info': environ['PATH_INFO'],
        'script_filename': environ['SCRIPT_FILENAME'],
        'callable': environ['mod_wsgi.callable_object'],
        'process': environ['mod_wsgi.process_group'],
        'group': environ['mod_wsgi.application_group'],
        'pid': os.getpid(),
    }
    start_response('200 OK', [('Content-Type', 'text/plain')])
    return [''.join('%s\\t%s\\n' % line for line in lines.items()).encode()]

def application(environ, start_response):
    return answer('application', environ, start_response)

class API:
    def __init__(self, name):
        self.name = name

    def __call__(self, environ, start_response):
        return answer(self.name, environ, start_response)

API.instance = API('attribute')
calls = []

def create_app():
    calls.append(1)
    return API('factory %d' % len(calls))
";

/// A site with the package `mysite` on the path of both modes.
fn site(mpm: Mpm, mode: Mode) -> Site {
    let one_child = match mpm {
        Mpm::Prefork => "ServerLimit 1\nMaxRequestWorkers 1\nStartServers 1",
        _ => "ServerLimit 1\nMaxRequestWorkers 16",
    };
    let path = match mode {
        Mode::Embedded => "WSGIPythonPath {apps}/lib",
        Mode::Daemon => "",
    };
    Site::new(mpm, mode)
        .daemon_options("processes=1 threads=4 python-path={apps}/lib")
        .config(one_child)
        .config(path)
        .file("apps/lib/mysite/__init__.py", "")
        .file("apps/lib/mysite/wsgi.py", APPLICATION)
}
