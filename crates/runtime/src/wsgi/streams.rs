//! Log streams of Python code: `wsgi.errors`, `sys.stdout` and `sys.stderr` are text wrappers around [`Log`]; what is barred
//! is [`Restricted`] (API-032 to API-038, REQ-540 to REQ-563).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use pyo3::exceptions::{PyDeprecationWarning, PyOSError, PyRuntimeError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyMemoryView, PyString};

use super::current;
use super::exchange::Exchange;
use super::lines::{Lines, Stream};
use super::process::{self, ERROR};
use super::state::State;
use crate::python::class::{self, Arguments, Attribute, Class, Method, This};

/// `mod_wsgi.Log`: the binary stream below a text wrapper.
pub(crate) struct Log {
    stream: Stream,
    /// Of `wsgi.errors`: the request that it writes to.
    exchange: Mutex<Option<Arc<Exchange>>>,
    is_closed: AtomicBool,
    /// Whether Python code did anything with it.
    was_used: AtomicBool,
    /// Lines begun outside of requests.
    lines: Mutex<Lines>,
}

/// Where output goes now.
enum Target {
    Request(Arc<Exchange>),
    Process,
}

impl Log {
    fn new(stream: Stream) -> Log {
        Log {
            stream,
            exchange: Mutex::new(None),
            is_closed: AtomicBool::new(false),
            was_used: AtomicBool::new(false),
            lines: Mutex::default(),
        }
    }

    /// Lets it write to a request; `wsgi.errors` only.
    pub(crate) fn arm(&self, exchange: Arc<Exchange>) {
        *self.exchange.lock() = Some(exchange);
    }

    /// Takes it away from its request; whether it was never used, so that it can serve another request.
    pub(crate) fn disarm(&self) -> bool {
        drop(self.exchange.lock().take());
        !self.was_used.load(Ordering::Relaxed)
    }

    fn target(&self) -> PyResult<Target> {
        if self.stream != Stream::Errors {
            // A request of this thread, else the process (API-037).
            return Ok(current::exchange().map_or(Target::Process, Target::Request));
        }
        let exchange = self.exchange.lock().clone();
        match exchange {
            Some(exchange) if !exchange.has_ended() && !self.is_closed.load(Ordering::Relaxed) => {
                Ok(Target::Request(exchange))
            }
            _ => Err(PyRuntimeError::new_err(format!(
                "log object {} has expired or was closed",
                self.stream.name()
            ))),
        }
    }

    fn write(&self, py: Python<'_>, text: &[u8]) -> PyResult<()> {
        match self.target()? {
            Target::Request(exchange) => {
                exchange.detached(py, || exchange.write_log(text));
            }
            // With the GIL: a daemon thread that waited for it during finalisation would be unwound through our frames.
            Target::Process => {
                let complete = self.lines.lock().add(text);
                complete
                    .iter()
                    .for_each(|line| process::log_bytes(ERROR, line));
            }
        }
        Ok(())
    }

    fn flush(&self, py: Python<'_>) {
        match self.target() {
            Ok(Target::Request(exchange)) => {
                if exchange.has_begun_line() {
                    exchange.detached(py, || exchange.flush_lines());
                }
            }
            Ok(Target::Process) => self.flush_own(),
            // Nothing is pending after the end: the request flushed it (API-038).
            Err(_) => {}
        }
    }

    fn flush_own(&self) {
        let begun = self.lines.lock().flush();
        if let Some(line) = begun {
            process::log_bytes(ERROR, &line);
        }
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        self.flush_own();
    }
}

/// Writes one object: bytes-like, or a text for the sake of old code.
fn write_object(this: &This<'_, '_, Log>, object: &Bound<'_, PyAny>) -> PyResult<()> {
    if let Ok(bytes) = object.cast::<PyBytes>() {
        return this.value.write(this.py, bytes.as_bytes());
    }
    if let Ok(text) = object.cast::<PyString>() {
        static WARNED: AtomicBool = AtomicBool::new(false);
        if !WARNED.swap(true, Ordering::Relaxed) {
            let category = this.py.get_type::<PyDeprecationWarning>();
            let message = c"writing str to the buffer of a log stream is deprecated, write bytes";
            PyErr::warn(this.py, &category, message, 1)?;
        }
        let encoded = text.call_method1("encode", ("utf-8", "replace"))?;
        return this
            .value
            .write(this.py, encoded.cast::<PyBytes>()?.as_bytes());
    }
    let bytes = PyMemoryView::from(object)?.call_method0("tobytes")?;
    this.value
        .write(this.py, bytes.cast::<PyBytes>()?.as_bytes())
}

fn boolean<'py, C>(this: &This<'_, 'py, C>, value: bool) -> Bound<'py, PyAny> {
    pyo3::types::PyBool::new(this.py, value)
        .to_owned()
        .into_any()
}

fn text<'py, C>(this: &This<'_, 'py, C>, value: &str) -> Bound<'py, PyAny> {
    PyString::new(this.py, value).into_any()
}

impl Class for Log {
    const NAME: &'static std::ffi::CStr = c"mod_wsgi.Log";
    const DOC: &'static std::ffi::CStr =
        c"Binary stream of which each line becomes a record of Apache's error log.";
    const METHODS: &'static [Method<Log>] = &[
        Method {
            name: c"write",
            arity: (1, 1),
            body: |this, arguments| {
                this.value.was_used.store(true, Ordering::Relaxed);
                write_object(this, &arguments.required(0))?;
                Ok(this.none())
            },
        },
        Method {
            name: c"writelines",
            arity: (1, 1),
            body: write_lines,
        },
        Method {
            name: c"flush",
            arity: (0, 0),
            body: |this, _| {
                this.value.was_used.store(true, Ordering::Relaxed);
                this.value.flush(this.py);
                Ok(this.none())
            },
        },
        Method {
            name: c"close",
            arity: (0, 0),
            body: |this, _| {
                this.value.was_used.store(true, Ordering::Relaxed);
                this.value.flush(this.py);
                if this.value.stream == Stream::Errors {
                    this.value.is_closed.store(true, Ordering::Relaxed);
                }
                Ok(this.none())
            },
        },
        Method {
            name: c"isatty",
            arity: (0, 0),
            body: |this, _| Ok(boolean(this, false)),
        },
        Method {
            name: c"readable",
            arity: (0, 0),
            body: |this, _| Ok(boolean(this, false)),
        },
        Method {
            name: c"seekable",
            arity: (0, 0),
            body: |this, _| Ok(boolean(this, false)),
        },
        Method {
            name: c"writable",
            arity: (0, 0),
            body: |this, _| Ok(boolean(this, true)),
        },
        Method {
            name: c"fileno",
            arity: (0, 0),
            body: |this, _| {
                let name = this.value.stream.name();
                Err(PyOSError::new_err(format!(
                    "log object {name} has no file descriptor"
                )))
            },
        },
    ];
    const ATTRIBUTES: &'static [Attribute<Log>] = &[
        Attribute {
            name: c"name",
            body: |this| Ok(text(this, this.value.stream.name())),
        },
        Attribute {
            name: c"closed",
            body: |this| Ok(boolean(this, false)),
        },
        Attribute {
            name: c"encoding",
            body: |this| Ok(text(this, "utf-8")),
        },
        Attribute {
            name: c"errors",
            body: |this| Ok(text(this, "replace")),
        },
    ];
}

fn write_lines<'py>(
    this: &This<'_, 'py, Log>,
    arguments: &Arguments<'_, 'py>,
) -> PyResult<Bound<'py, PyAny>> {
    this.value.was_used.store(true, Ordering::Relaxed);
    // Also where there is nothing to write (API-038).
    this.value.target()?;
    for line in arguments.required(0).try_iter()? {
        write_object(this, &line?)?;
    }
    Ok(this.none())
}

/// The text wrapper around a new log of `stream`, and that log.
pub(crate) fn wrapper<'py>(
    py: Python<'py>,
    state: &State,
    stream: Stream,
) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyAny>)> {
    let log = class::instance(state.types.log.bind(py), Log::new(stream))?;
    // newline None is "\n" here, as the platform's line end.
    let arguments = (&log, "utf-8", "replace", py.None(), true, true);
    Ok((state.text_wrapper.bind(py).call1(arguments)?, log))
}

/// A stream that must not be used: `sys.stdin` or `sys.stdout` (API-033, REQ-563).
pub(crate) struct Restricted {
    name: &'static str,
}

impl Restricted {
    /// In place of `sys.<name>`.
    pub(crate) fn new(name: &'static str) -> Restricted {
        Restricted { name }
    }
}

impl Class for Restricted {
    const NAME: &'static std::ffi::CStr = c"mod_wsgi.Restricted";
    const DOC: &'static std::ffi::CStr = c"A standard stream that may not be used.";
    const GUARDS_ATTRIBUTES: bool = true;

    fn attribute<'py>(
        this: &This<'_, 'py, Restricted>,
        _name: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let name = this.value.name;
        Err(PyOSError::new_err(format!(
            "sys.{name} access restricted by mod_wsgi"
        )))
    }
}
