//! Everything that needs unsafe code or CPython's raw interface.
//!
//! Promises to the rest of the crate:
//! - A `Python<'_>` token is only handed out by `Interpreter::enter` and by the methods of our own classes. In both cases the
//!   thread is attached to the right interpreter *and* pyo3's own count says so, because the way in is a `#[pyfunction]`
//!   (the door): without that, hidden attachments of pyo3 deadlock in sub-interpreters, and drops are deferred to a
//!   process-wide pool.
//! - No Python object is shared between interpreters: classes, names and templates hang off an interpreter's state.
//! - What a host lends for a request (`lend::Lent`) cannot be reached once the call is over.
//! - Interpreters are never freed before the process ends, so `&'static Interpreter` is true.
#![allow(unsafe_code)] // see above

pub mod table;

pub(crate) mod bytes;
pub(crate) mod class;
pub(crate) mod config;
pub(crate) mod descriptor;
pub(crate) mod gate;
pub(crate) mod interpreter;
pub(crate) mod lend;
pub(crate) mod objects;
mod reference;
pub(crate) mod shutdown;
pub(crate) mod thread;

pub(crate) use interpreter::{Arrival, Interpreter};
