//! `wsgi.file_wrapper`: a file as response iterable (REQ-580 to REQ-587, API-140 to API-143).

use std::ffi::CStr;
use std::os::fd::RawFd;
use std::sync::atomic::{AtomicIsize, Ordering};

use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyTuple};

use super::state::State;
use crate::python::class::{self, Attribute, Class, Method, Reference, This};
use crate::python::descriptor;

const DEFAULT_SIZE: isize = 8192;

/// `mod_wsgi.FileWrapper`.
pub(crate) struct FileWrapper {
    /// Gone after `close()`; None before `__init__`.
    file: Reference,
    size: AtomicIsize,
}

/// A file that can be sent by its descriptor.
pub(crate) struct Plain {
    /// Its descriptor, open while the application keeps the file open.
    pub(crate) descriptor: RawFd,
    /// Where to begin.
    pub(crate) offset: u64,
    /// Bytes from there to its end.
    pub(crate) length: u64,
}

impl FileWrapper {
    fn open<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.file
            .get(py)
            .ok_or_else(|| PyValueError::new_err("I/O operation on closed file"))
    }
}

/// What can be sent by descriptor of a response: a wrapper around a regular file that can tell its position (REQ-583).
pub(crate) fn plain(py: Python<'_>, state: &State, result: &Bound<'_, PyAny>) -> Option<Plain> {
    let wrapper: &FileWrapper = class::value(result, state.types.file_wrapper.bind(py))?;
    let file = wrapper.file.get(py)?;
    // Whatever these raise means that it is no such file.
    let descriptor = file.call_method0(state.names.fileno.bind(py)).ok()?;
    let descriptor: RawFd = descriptor.extract().ok()?;
    let size = descriptor::regular_file_size(descriptor)?;
    let offset = file.call_method0(state.names.tell.bind(py)).ok()?;
    let offset: u64 = offset.extract().ok()?;
    Some(Plain {
        descriptor,
        offset,
        length: size.saturating_sub(offset),
    })
}

impl Class for FileWrapper {
    const NAME: &'static CStr = c"mod_wsgi.FileWrapper";
    const DOC: &'static CStr =
        c"FileWrapper(filelike, blksize=8192)\n--\n\nA file as the body of a response.";
    const IS_PUBLIC: bool = true;
    const ITERATES: bool = true;
    const METHODS: &'static [Method<FileWrapper>] = &[Method {
        name: c"close",
        arity: (0, 0),
        body: |this, _| {
            if let Some(file) = this.value.file.take(this.py) {
                if let Ok(close) = file.getattr("close") {
                    // Swallowed: the response is complete whatever it says (REQ-582).
                    let _ = close.call0();
                }
            }
            Ok(this.none())
        },
    }];
    const ATTRIBUTES: &'static [Attribute<FileWrapper>] = &[
        Attribute {
            name: c"filelike",
            body: |this| this.value.open(this.py),
        },
        Attribute {
            name: c"blksize",
            body: |this| {
                let size = this.value.size.load(Ordering::Relaxed);
                Ok(size.into_pyobject(this.py)?.into_any())
            },
        },
    ];

    fn construct(py: Python<'_>) -> PyResult<FileWrapper> {
        Ok(FileWrapper {
            file: Reference::new(py.None().into_bound(py)),
            size: AtomicIsize::new(DEFAULT_SIZE),
        })
    }

    fn initialize<'py>(
        this: &This<'_, 'py, FileWrapper>,
        arguments: &Bound<'py, PyTuple>,
        keywords: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<()> {
        let mut given = [None, None];
        if arguments.len() > given.len() {
            let text = format!(
                "FileWrapper() takes at most 2 arguments ({} given)",
                arguments.len()
            );
            return Err(PyTypeError::new_err(text));
        }
        for (place, argument) in given.iter_mut().zip(arguments.iter()) {
            *place = Some(argument);
        }
        for (name, value) in keywords.into_iter().flatten() {
            let name: String = name.extract()?;
            let place = match name.as_str() {
                "filelike" => &mut given[0],
                "blksize" => &mut given[1],
                _ => {
                    let text = format!("'{name}' is an invalid keyword argument for FileWrapper()");
                    return Err(PyTypeError::new_err(text));
                }
            };
            if place.replace(value).is_some() {
                let text = format!("FileWrapper() got multiple values for argument '{name}'");
                return Err(PyTypeError::new_err(text));
            }
        }
        let [file, size] = given;
        let file = file.ok_or_else(|| {
            PyTypeError::new_err("FileWrapper() missing required argument 'filelike'")
        })?;
        let size = size.map_or(Ok(DEFAULT_SIZE), |size| size.extract::<isize>())?;
        if size < 0 {
            return Err(PyValueError::new_err("blksize must not be negative"));
        }
        this.value.size.store(size, Ordering::Relaxed);
        this.value.file.set(file);
        Ok(())
    }

    fn next<'py>(this: &This<'_, 'py, FileWrapper>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let file = this.value.open(this.py)?;
        // A subclass may have a size of its own (API-141).
        let size = this.object.getattr("blksize")?;
        if !size.is_instance_of::<pyo3::types::PyInt>() {
            return Err(PyTypeError::new_err(
                "blksize of the file wrapper must be an int",
            ));
        }
        let block = file.call_method1("read", (size,))?;
        let Ok(bytes) = block.cast::<PyBytes>() else {
            return Err(PyTypeError::new_err(
                "read() of the wrapped file must return bytes",
            ));
        };
        Ok((!bytes.as_bytes().is_empty()).then_some(block.clone()))
    }

    fn reference(&self) -> Option<&Reference> {
        Some(&self.file)
    }
}
