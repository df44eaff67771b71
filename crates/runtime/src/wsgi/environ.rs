//! The environ (ENV-01 to ENV-60): a copy of the interpreter's template with the entries of the request.
//!
//! Names become Python text once per interpreter. So do values that stay the same from request to request (the server's
//! name, its software, …): the text of the last request is used again if the bytes are the same.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use parking_lot::Mutex;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyFloat, PyString};
use wsgi_core::python::COMPATIBLE_VERSION;
use wsgi_runtime_api::engine::Request;

use super::process;
use super::state::State;
use crate::python::objects;

/// Most names that are kept: clients choose the names of headers.
const MOST_NAMES: usize = 512;
/// Longest value that is kept, bytes.
const LONGEST_KEPT: usize = 256;
/// Changes of a value in a row (changes less matches) after which it is not kept any more.
const MOST_CHANGES: u8 = 16;

/// What environs are made from.
pub(crate) struct Environs {
    template: Py<PyDict>,
    names: Mutex<HashMap<Box<[u8]>, Name, BuildHasherDefault<NameHasher>>>,
    fixed: Fixed,
}

/// Names of what the engine adds to each environ.
struct Fixed {
    url_scheme: Py<PyString>,
    http: Py<PyString>,
    https: Py<PyString>,
    thread_id: Py<PyString>,
    request_start: Py<PyString>,
    queue_start: Py<PyString>,
    daemon_start: Py<PyString>,
    application_start: Py<PyString>,
    input: Py<PyString>,
    errors: Py<PyString>,
}

/// A name, and the value that it had.
struct Name {
    text: Py<PyString>,
    is_path: bool,
    /// Of the template, which no variable of a request replaces.
    is_fixed: bool,
    changes: u8,
    kept: Option<(Box<[u8]>, Py<PyString>)>,
}

impl Environs {
    /// For the interpreter of `py`.
    pub(crate) fn new(py: Python<'_>, state: &State) -> PyResult<Environs> {
        let settings = process::settings();
        let facts = &settings.facts;
        let template = PyDict::new(py);
        template.set_item("wsgi.version", (1, 0))?;
        template.set_item("wsgi.multithread", facts.multithread)?;
        template.set_item("wsgi.multiprocess", facts.multiprocess)?;
        template.set_item("wsgi.run_once", facts.run_once)?;
        template.set_item("wsgi.input_terminated", true)?;
        template.set_item("wsgi.file_wrapper", &state.types.file_wrapper)?;
        template.set_item("mod_wsgi.version", COMPATIBLE_VERSION)?;
        template.set_item("apache.version", facts.apache_version)?;
        let name = |text: &str| PyString::intern(py, text).unbind();
        let fixed = Fixed {
            url_scheme: name("wsgi.url_scheme"),
            http: name("http"),
            https: name("https"),
            thread_id: name("mod_wsgi.thread_id"),
            request_start: name("mod_wsgi.request_start"),
            queue_start: name("mod_wsgi.queue_start"),
            daemon_start: name("mod_wsgi.daemon_start"),
            application_start: name("mod_wsgi.application_start"),
            input: name("wsgi.input"),
            errors: name("wsgi.errors"),
        };
        Ok(Environs {
            template: template.unbind(),
            names: Mutex::default(),
            fixed,
        })
    }

    /// The environ of a request.
    pub(crate) fn build<'py>(
        &self,
        py: Python<'py>,
        request: &Request<'_>,
        application_start: f64,
        input: &Bound<'py, PyAny>,
        errors: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyDict>> {
        let template = self.template.bind(py);
        let environ = objects::copy(template)?;
        {
            // No Python code runs in here: names and values are plain text.
            let mut names = self.names.lock();
            for (name, value) in request.environ() {
                set(&environ, template, &mut names, name, value)?;
            }
        }
        let fixed = &self.fixed;
        let scheme = if request.is_https() {
            &fixed.https
        } else {
            &fixed.http
        };
        environ.set_item(&fixed.url_scheme, scheme)?;
        environ.set_item(&fixed.thread_id, request.thread_id())?;
        for (name, time) in [
            (&fixed.request_start, request.request_start()),
            (&fixed.queue_start, request.queue_start()),
            (&fixed.daemon_start, request.daemon_start()),
            (&fixed.application_start, application_start),
        ] {
            environ.set_item(name, PyFloat::new(py, time))?;
        }
        environ.set_item(&fixed.input, input)?;
        environ.set_item(&fixed.errors, errors)?;
        if let Some(apache) = request.apache_request() {
            environ.set_item("apache.request_rec", objects::capsule(py, apache)?)?;
        }
        Ok(environ)
    }
}

fn set(
    environ: &Bound<'_, PyDict>,
    template: &Bound<'_, PyDict>,
    names: &mut HashMap<Box<[u8]>, Name, BuildHasherDefault<NameHasher>>,
    name: &[u8],
    value: Option<&[u8]>,
) -> PyResult<()> {
    let py = environ.py();
    let Some(value) = value else {
        let text = objects::latin1(py, name)?;
        return match template.contains(&text)? {
            true => Ok(()),
            false => environ.set_item(text, py.None()),
        };
    };
    if let Some(known) = names.get_mut(name) {
        if known.is_fixed {
            return Ok(());
        }
        if let Some((bytes, text)) = &known.kept {
            if **bytes == *value {
                known.changes = known.changes.saturating_sub(1);
                return environ.set_item(&known.text, text);
            }
        }
        let text = decode(py, value, known.is_path)?;
        environ.set_item(&known.text, &text)?;
        if known.changes < MOST_CHANGES {
            known.changes += 1;
            known.kept = (known.changes < MOST_CHANGES && value.len() <= LONGEST_KEPT)
                .then(|| (value.into(), text.unbind()));
        }
        return Ok(());
    }
    let is_path = is_path(name);
    let text = objects::latin1(py, name)?;
    let is_fixed = template.contains(&text)?;
    if !is_fixed {
        environ.set_item(&text, decode(py, value, is_path)?)?;
    }
    if names.len() < MOST_NAMES {
        // Secrets of clients are not kept longer than their request.
        let changes = if is_secret(name) { MOST_CHANGES } else { 0 };
        let text = match text.to_str() {
            Ok(plain) => PyString::intern(py, plain).unbind(),
            Err(_) => text.unbind(),
        };
        names.insert(
            name.into(),
            Name {
                text,
                is_path,
                is_fixed,
                changes,
                kept: None,
            },
        );
    }
    Ok(())
}

fn is_secret(name: &[u8]) -> bool {
    matches!(
        name,
        b"HTTP_AUTHORIZATION"
            | b"HTTP_PROXY_AUTHORIZATION"
            | b"HTTP_COOKIE"
            | b"QUERY_STRING"
            | b"REQUEST_URI"
            | b"REMOTE_USER"
    )
}

fn is_path(name: &[u8]) -> bool {
    matches!(name, b"DOCUMENT_ROOT" | b"SCRIPT_FILENAME")
}

/// Text of the value of variable `name`.
pub(super) fn value<'py>(
    py: Python<'py>,
    name: &[u8],
    value: &[u8],
) -> PyResult<Bound<'py, PyString>> {
    decode(py, value, is_path(name))
}

fn decode<'py>(py: Python<'py>, value: &[u8], is_path: bool) -> PyResult<Bound<'py, PyString>> {
    if is_path {
        // Undecodable with a codec that is not prepared for it: then as any other text.
        if let Ok(text) = objects::path(py, value) {
            return Ok(text);
        }
    }
    objects::latin1(py, value)
}

/// A fast hash for short names. Names that collide on purpose only make their own requests slower, as the table is small.
#[derive(Default)]
struct NameHasher(u64);

impl Hasher for NameHasher {
    fn finish(&self) -> u64 {
        self.0 ^ (self.0 >> 29)
    }

    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            let mixed = self.0.rotate_left(5) ^ u64::from_ne_bytes(word);
            self.0 = mixed.wrapping_mul(0x517c_c1b7_2722_0a95);
        }
    }
}
