//! `wsgiref.validate` between engine and application stays silent.

use crate::python;

const VALIDATED: &str = "from wsgiref.validate import validator
import warnings
warnings.simplefilter('error')

@validator
def application(environ, start_response):
    data = environ['wsgi.input'].read(-1) if environ['REQUEST_METHOD'] == 'POST' else b''
    environ['wsgi.errors'].flush()
    size = int(environ.get('QUERY_STRING') or '3')
    headers = [('Content-Type', 'text/plain'), ('Content-Length', str(size + len(data)))]
    start_response('200 OK', headers)
    if environ['REQUEST_METHOD'] == 'HEAD':
        return []
    return [b'x' * size, data]
";

/// ENV-40 ff., REQ-400 ff., REQ-500 ff.: for GET, POST, HEAD, large and empty bodies, in both kinds of interpreter.
#[test]
fn the_validator_is_silent() {
    let script = python().script(VALIDATED);
    let large = vec![b'y'; 3_000_000];
    for group in ["", "validated"] {
        let request = || python().request(&script).group(group);
        assert_eq!(request().run().is_fine().text(), "xxx");
        assert_eq!(request().head().run().is_fine().text(), "");
        assert_eq!(request().post(b"").run().is_fine().text(), "xxx");
        assert_eq!(request().post(b"abc").run().is_fine().text(), "xxxabc");
        let answer = request().post(&large).set("QUERY_STRING", "2000000").run();
        assert_eq!(answer.is_fine().body().len(), 5_000_000);
    }
}
