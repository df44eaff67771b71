//! Access, authentication and group scripts: who gets in, to WSGI applications and to everything else.

mod access;
mod caches;
mod closed;
mod failures;
mod groups;
mod logins;
mod places;
mod requirements;
mod sight;
mod unavailable;
mod ways;

use wsgi_harness::{Curl, CurlAnswer, Mode, Mpm, Site};

/// A site with a page and an application below `/secret`, guarded by `guard.wsgi` with this configuration.
fn guarded(mpm: Mpm, mode: Mode, script: &str, configuration: &str) -> Site {
    Site::new(mpm, mode)
        .modules(&["alias"])
        .file("htdocs/secret/page.html", "the page")
        .file("htdocs/open.html", "open")
        .script(
            "/secret/app",
            "def application(environ, start_response):\n    start_response('200 OK', [])\n    return [('user %s' % environ.get('REMOTE_USER')).encode()]\n",
        )
        .file("apps/guard.wsgi", script)
        .config(&format!("<Location /secret>\n{configuration}\n</Location>"))
}

/// An access script that does what the query string says.
const ACCESS: &str = "
def allow_access(environ, host):
    case = environ['QUERY_STRING']
    if case == 'raise':
        raise ValueError('on purpose')
    if case == 'exit':
        raise SystemExit(0)
    if case == 'host':
        return host == '127.0.0.1'
    return {'yes': True, 'no': False, 'none': None, 'one': 1, 'zero': 0, 'text': 'True', 'empty': '', 'bytes': b'x'}.get(case, False)
";

/// Functions that do what the user's name says; the password is always `right`.
const LOGIN: &str = "
import hashlib

def case(environ, user):
    print('asked for %r' % user, file=environ['wsgi.errors'])
    if user == 'raise':
        raise ValueError('on purpose')
    if user == 'exit':
        raise SystemExit(0)

def check_password(environ, user, password):
    case(environ, user)
    special = {'unknown': None, 'renamed': 'somebody', 'wide': '\\u20ac', 'empty': '', 'nul': 'root\\0x',
        'surrogate': '\\udc80', 'bytes': b'somebody', 'one': 1, 'list': ['x']}
    if user in special:
        return special[user]
    if user.startswith('latin'):
        return type(password) is str and (user + password).encode('latin-1') == b'latin\\xc3\\xa9\\xc3\\xa9\\xff'
    if user == 'long':
        return password == 'x' * 80
    return password == 'right'

def get_realm_hash(environ, user, realm):
    case(environ, user)
    digest = hashlib.md5(('%s:%s:right' % (user, realm)).encode()).hexdigest()
    special = {'unknown': None, 'bytes': digest.encode(), 'empty': '', 'wide': '\\u20ac', 'nul': digest + '\\0',
        'one': 1, 'true': True, 'none': None}
    return special.get(user, digest)
";

/// A login as anybody, and groups by the user's name.
const GROUPS: &str = "
def check_password(environ, user, password):
    return True

def groups_for_user(environ, user):
    if user == 'raise':
        raise ValueError('on purpose')
    if user == 'exit':
        raise SystemExit(0)
    def late():
        yield 'staff'
        raise ValueError('later')
    def generated():
        yield 'other'
        yield 'staff'
    return {'list': ['a', 'staff'], 'tuple': ('staff',), 'set': {'staff'}, 'generated': generated(), 'bytes': [b'staff'],
        'case': ['STAFF'], 'blank': ['two words'], 'letters': 'xyz', 'text': 'staff', 'none': None, 'int': 5, 'no': ['other'],
        'nobody': [], 'badfirst': [None, 'staff'], 'badlast': ['staff', 5], 'wide': ['staff', '\\u20ac'], 'late': late(),
        'nul': ['staff\\0x'], 'nulbytes': [b'staff\\0x'], 'function': len, 'latin': ['\\xe9'], 'accent': ['\\xc3\\xa9'], 'accentbytes': [b'\\xc3\\xa9'],
        'mixed': ['mIXED'], 'mixedbytes': [b'mIXED'], 'part': ['mix', 'mixedx']}.get(user, [])
";

/// Modules that Basic authentication needs.
const BASIC: [&str; 4] = ["auth_basic", "authn_core", "authn_file", "authz_user"];

/// Asks as `user` with `password`, by Basic authentication.
fn login(curl: &Curl, path: &str, user: &str, password: &str) -> CurlAnswer {
    curl.run(path, &["--user", &format!("{user}:{password}")])
}
