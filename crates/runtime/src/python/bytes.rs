//! A Python `bytes` object while it is filled without the GIL: a body is read straight into it.

use std::ffi::c_int;
use std::mem::MaybeUninit;

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

unsafe extern "C" {
    // pyo3-ffi keeps it to itself; it is part of CPython's documented interface.
    fn _PyBytes_Resize(bytes: *mut *mut ffi::PyObject, size: ffi::Py_ssize_t) -> c_int;
}

/// First memory for a read of unknown length, and the least that it grows by, bytes.
const FIRST: usize = 64 * 1024;

/// Largest object that is made before its bytes have arrived, bytes: a client only promises them.
const MOST_AT_ONCE: usize = 1024 * 1024;

/// Bytes under construction, at most `limit` of them.
struct Builder {
    /// The only reference to a `bytes` object; null only after a failed growth.
    object: *mut ffi::PyObject,
    capacity: usize,
    filled: usize,
}

// SAFETY: nobody else knows the object, and without the GIL only its data is written.
unsafe impl Send for Builder {}

impl Builder {
    fn new(py: Python<'_>, capacity: usize) -> PyResult<Builder> {
        let size = ffi::Py_ssize_t::try_from(capacity).expect("no more than MOST_AT_ONCE");
        // SAFETY: attached; null asks for memory that is not initialised.
        let object = unsafe { ffi::PyBytes_FromStringAndSize(std::ptr::null(), size) };
        if object.is_null() {
            return Err(PyErr::fetch(py));
        }
        Ok(Builder {
            object,
            capacity,
            filled: 0,
        })
    }

    /// The part that is not filled yet.
    fn room(&mut self) -> &mut [MaybeUninit<u8>] {
        // SAFETY: a live bytes object.
        let first = unsafe { ffi::PyBytes_AsString(self.object) };
        // SAFETY: within its capacity.
        let first = unsafe { first.add(self.filled) };
        let room = self.capacity - self.filled;
        // SAFETY: that many bytes are ours alone until the object is handed out.
        unsafe { std::slice::from_raw_parts_mut(first.cast(), room) }
    }

    fn resize(&mut self, py: Python<'_>, capacity: usize) -> PyResult<()> {
        let size = ffi::Py_ssize_t::try_from(capacity).map_err(|_| no_memory())?;
        // SAFETY: the only reference; the call replaces it.
        if unsafe { _PyBytes_Resize(&mut self.object, size) } != 0 {
            return Err(PyErr::fetch(py));
        }
        self.capacity = capacity;
        Ok(())
    }

    fn finish(mut self, py: Python<'_>) -> PyResult<Bound<'_, PyBytes>> {
        if self.filled < self.capacity {
            self.resize(py, self.filled)?;
        }
        let object = std::mem::replace(&mut self.object, std::ptr::null_mut());
        // SAFETY: our reference, handed over.
        let object = unsafe { Bound::from_owned_ptr(py, object) };
        Ok(object.cast_into()?)
    }
}

impl Drop for Builder {
    fn drop(&mut self) {
        if !self.object.is_null() {
            // SAFETY: only dropped by `collect`, which is attached then.
            unsafe { ffi::Py_DECREF(self.object) };
        }
    }
}

fn no_memory() -> PyErr {
    pyo3::exceptions::PyMemoryError::new_err("too many bytes")
}

/// Makes a `bytes` object of at most `limit` bytes: `fill` is called, without the GIL, with the free part of the memory
/// and tells how much of it it filled from the front; less than all is the end.
pub(crate) fn collect<E: Send>(
    py: Python<'_>,
    limit: Option<usize>,
    mut fill: impl FnMut(&mut [MaybeUninit<u8>]) -> Result<usize, E> + Send,
    mut detach: impl FnMut(&mut (dyn FnMut() + Send)),
) -> PyResult<Result<Bound<'_, PyBytes>, E>> {
    let limit = limit.unwrap_or(usize::MAX);
    let mut builder = Builder::new(
        py,
        limit.min(if limit == usize::MAX {
            FIRST
        } else {
            MOST_AT_ONCE
        }),
    )?;
    loop {
        let mut result = None;
        let mut step = || {
            let room = builder.room();
            let size = room.len();
            result = Some(fill(room).map(|count| {
                assert!(count <= size, "filled more than there is");
                (count, count < size)
            }));
        };
        detach(&mut step);
        match result.expect("the step was run") {
            Err(error) => return Ok(Err(error)),
            Ok((count, is_end)) => {
                builder.filled += count;
                if is_end || builder.filled == limit {
                    return builder.finish(py).map(Ok);
                }
            }
        }
        let grown = builder.capacity.saturating_mul(2).max(FIRST).min(limit);
        builder.resize(py, grown)?;
    }
}
