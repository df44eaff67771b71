//! Single calls of CPython that pyo3 does not offer, as safe functions.

use std::ffi::{c_long, c_void};
use std::ptr::NonNull;

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyCode, PyDict, PyModule, PyString, PyType};

/// Text of bytes, each one a character (PEP 3333).
pub(crate) fn latin1<'py>(py: Python<'py>, bytes: &[u8]) -> PyResult<Bound<'py, PyString>> {
    let size = ffi::Py_ssize_t::try_from(bytes.len()).expect("no slice is larger");
    // SAFETY: the bytes are valid during the call.
    let text =
        unsafe { ffi::PyUnicode_DecodeLatin1(bytes.as_ptr().cast(), size, std::ptr::null()) };
    // SAFETY: a new reference, or null with an exception set.
    Ok(unsafe { Bound::from_owned_ptr_or_err(py, text) }?.cast_into()?)
}

/// Text of a path, decoded as Python's own file functions do.
pub(crate) fn path<'py>(py: Python<'py>, bytes: &[u8]) -> PyResult<Bound<'py, PyString>> {
    let size = ffi::Py_ssize_t::try_from(bytes.len()).expect("no slice is larger");
    // SAFETY: the bytes are valid during the call.
    let text = unsafe { ffi::PyUnicode_DecodeFSDefaultAndSize(bytes.as_ptr().cast(), size) };
    // SAFETY: a new reference, or null with an exception set.
    Ok(unsafe { Bound::from_owned_ptr_or_err(py, text) }?.cast_into()?)
}

/// The bytes of a text of which each character is one (latin-1), appended to `target`.
pub(crate) fn append_latin1(text: &Bound<'_, PyString>, target: &mut Vec<u8>) -> PyResult<()> {
    // Text of ASCII characters, as nearly all is, has its UTF-8 form at hand.
    if let Some(plain) = text.to_str().ok().filter(|plain| plain.is_ascii()) {
        target.extend_from_slice(plain.as_bytes());
        return Ok(());
    }
    // SAFETY: a live text.
    let bytes = unsafe { ffi::PyUnicode_AsLatin1String(text.as_ptr()) };
    // SAFETY: a new reference, or null with an exception set.
    let bytes = unsafe { Bound::from_owned_ptr_or_err(text.py(), bytes) }?;
    target.extend_from_slice(bytes.cast::<pyo3::types::PyBytes>()?.as_bytes());
    Ok(())
}

/// Runs compiled code as a new module, as an import of a source file does; after an exception the module is gone from
/// `sys.modules` (REQ-601, REQ-604).
pub(crate) fn run_as_module<'py>(
    name: &Bound<'py, PyString>,
    code: &Bound<'py, PyAny>,
    file: &Bound<'py, PyString>,
) -> PyResult<Bound<'py, PyModule>> {
    let py = name.py();
    let code = code.cast::<PyCode>()?;
    let none = std::ptr::null_mut();
    // SAFETY: live objects of the types that the call asks for; null is "no compiled file".
    let module = unsafe {
        ffi::PyImport_ExecCodeModuleObject(name.as_ptr(), code.as_ptr(), file.as_ptr(), none)
    };
    // SAFETY: a new reference, or null with an exception set.
    Ok(unsafe { Bound::from_owned_ptr_or_err(py, module) }?.cast_into()?)
}

/// A capsule without a name around a pointer of Apache's (ENV-61). What it points to lives as long as the request: an application
/// that keeps the capsule must not use it any more then.
pub(crate) fn capsule<'py>(
    py: Python<'py>,
    pointer: NonNull<c_void>,
) -> PyResult<Bound<'py, PyAny>> {
    // SAFETY: attached; the pointer is not null, and a capsule may have neither name nor destructor.
    let capsule = unsafe { ffi::PyCapsule_New(pointer.as_ptr(), std::ptr::null(), None) };
    // SAFETY: a new reference, or null with an exception set.
    unsafe { Bound::from_owned_ptr_or_err(py, capsule) }
}

/// A shallow copy of a dict.
pub(crate) fn copy<'py>(dict: &Bound<'py, PyDict>) -> PyResult<Bound<'py, PyDict>> {
    // SAFETY: a live dict.
    let copy = unsafe { ffi::PyDict_Copy(dict.as_ptr()) };
    // SAFETY: a new reference, or null with an exception set.
    Ok(unsafe { Bound::from_owned_ptr_or_err(dict.py(), copy) }?.cast_into()?)
}

/// Whether nobody but the caller holds `object`, which is referred to `expected` times then.
pub(crate) fn is_referred_to(object: &Py<PyAny>, expected: isize, _py: Python<'_>) -> bool {
    // SAFETY: a live object.
    (unsafe { ffi::Py_REFCNT(object.as_ptr()) }) == expected
}

/// Raises `exception` in a thread of the interpreter of `py` at its next bytecode; None takes back one that was not raised
/// yet. Whether there is such a thread.
pub(crate) fn raise_in_thread(
    _py: Python<'_>,
    ident: u64,
    exception: Option<&Bound<'_, PyType>>,
) -> bool {
    let exception = exception.map_or(std::ptr::null_mut(), |exception| exception.as_ptr());
    #[expect(
        clippy::cast_possible_wrap,
        reason = "CPython's own numbers, which it casts itself"
    )]
    let ident = ident as c_long;
    // SAFETY: attached; a live class or null.
    unsafe { ffi::PyThreadState_SetAsyncExc(ident, exception) == 1 }
}
