//! The Python runtime `python3.X.so`: CPython through pyo3, its interpreters, the PEP 3333 engine and the Python module
//! `mod_wsgi`, behind the C table of `wsgi-runtime-api`. No httpd in here: a request comes as a view, the answer leaves
//! over a transport that the host lends.
//!
//! Two floors: [`python`] is the only place with unsafe code (thread states, heap types, start-up, the table);
//! `wsgi` above it is safe code over pyo3's types. In an Apache child or a daemon, never in the httpd parent.

pub mod python;
mod wsgi;
