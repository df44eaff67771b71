//! The environ.

use wsgi_runtime_api::REQUEST_HTTPS;

use crate::{evaluate, python};

/// ENV-40 to ENV-50, ENV-59, ENV-60: what the engine adds, with its types.
#[test]
fn what_the_engine_adds() {
    let text = evaluate(
        "import io, time
e = environ
assert type(e) is dict
assert e['wsgi.version'] == (1, 0)
assert e['wsgi.multithread'] is True and e['wsgi.multiprocess'] is True
assert e['wsgi.run_once'] is False
assert e['wsgi.url_scheme'] == 'http'
assert type(e['wsgi.errors']) is io.TextIOWrapper
assert type(e['wsgi.input']).__module__ == 'mod_wsgi' and type(e['wsgi.input']).__name__ == 'Input'
assert e['wsgi.input_terminated'] is True
import mod_wsgi
assert e['wsgi.file_wrapper'] is mod_wsgi.FileWrapper
assert e['mod_wsgi.version'] == (6, 1, 1) and e['apache.version'] == (2, 4, 67)
assert e['mod_wsgi.request_start'] == 1700000000.25
assert e['mod_wsgi.queue_start'] == 0.0 and type(e['mod_wsgi.daemon_start']) is float
assert abs(e['mod_wsgi.application_start'] - time.time()) < 60
assert type(e['mod_wsgi.thread_id']) is int and e['mod_wsgi.thread_id'] >= 1
assert 'HTTPS' not in e
return 'checked'",
    );
    assert_eq!(text, "checked");
}

/// ENV-42
#[test]
fn the_scheme_is_https_if_the_host_says_so() {
    let script = python().script(&crate::evaluating("return environ['wsgi.url_scheme']"));
    let request = python().request(&script);
    assert_eq!(request.flags(REQUEST_HTTPS).run().text(), "https");
    assert_eq!(python().request(&script).run().text(), "http");
}

/// ENV section 7, ENV-24, REQ-110: values are latin-1, paths are decoded as file names, a variable without value is None.
#[test]
fn values_are_decoded() {
    let script = python().script(&crate::evaluating(
        "return ascii([environ[n] for n in ('HTTP_X', 'DOCUMENT_ROOT', 'NONE', 'EMPTY')])",
    ));
    let mut request = python().request(&script);
    request
        .environ
        .push(("HTTP_X".to_owned(), Some(b"caf\xe9\xff".to_vec())));
    request.environ.push((
        "DOCUMENT_ROOT".to_owned(),
        Some(b"/caf\xc3\xa9/\xff".to_vec()),
    ));
    request.environ.push(("NONE".to_owned(), None));
    request.environ.push(("EMPTY".to_owned(), Some(Vec::new())));
    for _ in 0..2 {
        let text = request.run().text();
        // Whether the codec of file names is UTF-8 depends on the locale of the test.
        assert!(
            text.starts_with(r"['caf\xe9\xff', '/caf") && text.ends_with("None, '']"),
            "{text}"
        );
    }
}

/// ENV-40, ENV-41, ENV-43, ENV-46, ENV-47, ENV-50: variables of these names, with or without value, replace nothing.
#[test]
fn variables_do_not_stand_for_what_the_engine_adds() {
    let script = python().script(&crate::evaluating(
        "return sorted(k for k, v in environ.items() if v in (None, 'by hand'))",
    ));
    let names = [
        "wsgi.version",
        "wsgi.multithread",
        "wsgi.multiprocess",
        "wsgi.run_once",
        "wsgi.input_terminated",
        "wsgi.file_wrapper",
        "wsgi.url_scheme",
        "wsgi.input",
        "wsgi.errors",
        "mod_wsgi.version",
        "mod_wsgi.thread_id",
        "mod_wsgi.request_start",
        "mod_wsgi.application_start",
        "apache.version",
        "wsgi.mine",
    ];
    for value in [Some(b"by hand".to_vec()), None] {
        let mut request = python().request(&script);
        for name in names {
            request.environ.push((name.to_owned(), value.clone()));
        }
        for _ in 0..2 {
            assert_eq!(request.run().text(), "['wsgi.mine']");
        }
    }
}

/// ENV: values that are kept for the next request never get into the wrong one, whatever changes.
#[test]
fn kept_values_are_those_of_the_request() {
    let script = python().script(&crate::evaluating(
        "environ['SERVER_NAME'] + environ['HTTP_HOST']\nenviron['wsgi.mine'] = 1\nreturn environ['SERVER_NAME'] + ' ' + environ['HTTP_HOST'] + ' ' + str(sorted(environ).count('wsgi.mine'))",
    ));
    for round in 0..100 {
        let server = if round % 7 == 0 { "other" } else { "same" };
        let host = format!("host{}", round / 3);
        let request = python()
            .request(&script)
            .set("SERVER_NAME", server)
            .set("HTTP_HOST", &host);
        assert_eq!(request.run().text(), format!("{server} {host} 1"));
    }
}

/// ENV: more header names than are kept.
#[test]
fn any_number_of_names() {
    let script = python().script(&crate::evaluating(
        "return sum(int(v) for k, v in environ.items() if k.startswith('HTTP_X_'))",
    ));
    for round in 0..10 {
        let mut request = python().request(&script);
        for number in 0..100 {
            let name = format!("HTTP_X_{round}_{number}");
            request
                .environ
                .push((name, Some(number.to_string().into_bytes())));
        }
        assert_eq!(request.run().text(), "4950");
    }
}
