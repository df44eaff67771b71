//! What Python calls: the C functions of the methods and slots, which enter the interpreter and hand over to the [`Class`].

use std::ffi::{c_int, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;

use pyo3::exceptions::{PySystemError, PyTypeError};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use super::{Arguments, Class, Instance, Reference, This, allocate};
use crate::python::interpreter;

/// Runs what a C function stands for, behind a door. An error is raised in Python, a panic becomes a SystemError.
fn entered<R>(failed: R, body: impl for<'py> FnOnce(Python<'py>) -> PyResult<R>) -> R {
    let body = |py: Python<'_>| {
        let result = catch_unwind(AssertUnwindSafe(|| body(py)));
        result.unwrap_or_else(|_| Err(PySystemError::new_err("internal error of mod_wsgi")))
    };
    // SAFETY: Python calls methods on attached threads only.
    let py = unsafe { Python::assume_attached() };
    let result = if interpreter::is_inside() {
        body(py)
    } else {
        match interpreter::current(py) {
            // The exception crosses the door as a value.
            Some(interpreter) => interpreter.through_door(body),
            None => Err(PySystemError::new_err("not an interpreter of mod_wsgi")),
        }
    };
    match result {
        Ok(value) => value,
        Err(error) => {
            error.restore(py);
            failed
        }
    }
}

/// As [`entered`], for a method of an instance.
fn on_instance<C: Class, R>(
    object: *mut ffi::PyObject,
    failed: R,
    body: impl for<'a, 'py> FnOnce(&This<'a, 'py, C>) -> PyResult<R>,
) -> R {
    entered(failed, |py| {
        // SAFETY: the caller holds a reference during the call.
        let object = unsafe { Bound::from_borrowed_ptr(py, object) };
        // SAFETY: Python checks that methods and slots get instances of their class.
        let value = unsafe { &(*object.as_ptr().cast::<Instance<C>>()).value };
        body(&This {
            py,
            object: &object,
            value,
        })
    })
}

pub(super) unsafe extern "C" fn method<C: Class, const INDEX: usize>(
    object: *mut ffi::PyObject,
    arguments: *mut *mut ffi::PyObject,
    count: ffi::Py_ssize_t,
) -> *mut ffi::PyObject {
    on_instance(object, ptr::null_mut(), |this: &This<'_, '_, C>| {
        let method = C::METHODS.get(INDEX).expect("the table has only these");
        let count = usize::try_from(count).expect("a count");
        let (fewest, most) = method.arity;
        if count < fewest || count > most {
            let name = method.name.to_string_lossy();
            let wanted = if fewest == most {
                format!("{most}")
            } else {
                format!("{fewest} to {most}")
            };
            let text = format!("{name}() takes {wanted} positional arguments ({count} given)");
            return Err(PyTypeError::new_err(text));
        }
        let objects = if count == 0 {
            &[][..]
        } else {
            // SAFETY: the caller passes that many arguments.
            unsafe { std::slice::from_raw_parts(arguments.cast_const(), count) }
        };
        (method.body)(
            this,
            &Arguments {
                py: this.py,
                objects,
            },
        )
        .map(Bound::into_ptr)
    })
}

pub(super) unsafe extern "C" fn get<C: Class>(
    object: *mut ffi::PyObject,
    closure: *mut c_void,
) -> *mut ffi::PyObject {
    on_instance(object, ptr::null_mut(), |this: &This<'_, '_, C>| {
        let attribute = C::ATTRIBUTES
            .get(closure.addr())
            .expect("the table has only these");
        (attribute.body)(this).map(Bound::into_ptr)
    })
}

pub(super) unsafe extern "C" fn iternext<C: Class>(
    object: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    on_instance(object, ptr::null_mut(), |this: &This<'_, '_, C>| {
        Ok(C::next(this)?.map_or(ptr::null_mut(), Bound::into_ptr))
    })
}

pub(super) unsafe extern "C" fn call<C: Class>(
    object: *mut ffi::PyObject,
    arguments: *mut ffi::PyObject,
    keywords: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    on_instance(object, ptr::null_mut(), |this: &This<'_, '_, C>| {
        // SAFETY: the caller of a slot passes a tuple, and a dict or null.
        let (arguments, keywords) = unsafe { of_a_call(this.py, arguments, keywords) }?;
        C::call(this, &arguments, keywords.as_ref()).map(Bound::into_ptr)
    })
}

/// The arguments of a call.
///
/// # Safety
/// Both are live during the call; `keywords` may be null.
unsafe fn of_a_call<'py>(
    py: Python<'py>,
    arguments: *mut ffi::PyObject,
    keywords: *mut ffi::PyObject,
) -> PyResult<(Bound<'py, PyTuple>, Option<Bound<'py, PyDict>>)> {
    // SAFETY: the caller keeps it alive.
    let arguments = unsafe { Bound::from_borrowed_ptr(py, arguments) };
    // SAFETY: as above, or null.
    let keywords = unsafe { Bound::from_borrowed_ptr_or_opt(py, keywords) };
    let keywords = keywords.map(|keywords| keywords.cast_into::<PyDict>());
    Ok((arguments.cast_into::<PyTuple>()?, keywords.transpose()?))
}

pub(super) unsafe extern "C" fn getattro<C: Class>(
    object: *mut ffi::PyObject,
    name: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    on_instance(object, ptr::null_mut(), |this: &This<'_, '_, C>| {
        // SAFETY: the caller holds the name during the call.
        let name = unsafe { Bound::from_borrowed_ptr(this.py, name) };
        C::attribute(this, &name).map(Bound::into_ptr)
    })
}

/// What the arguments are is for `__init__` to say.
pub(super) unsafe extern "C" fn new<C: Class>(
    class: *mut ffi::PyTypeObject,
    _arguments: *mut ffi::PyObject,
    _keywords: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    entered(ptr::null_mut(), |py| {
        allocate(py, class, C::construct(py)?).map(Bound::into_ptr)
    })
}

pub(super) unsafe extern "C" fn init<C: Class>(
    object: *mut ffi::PyObject,
    arguments: *mut ffi::PyObject,
    keywords: *mut ffi::PyObject,
) -> c_int {
    on_instance(object, -1, |this: &This<'_, '_, C>| {
        // SAFETY: the caller of a slot passes a tuple, and a dict or null.
        let (arguments, keywords) = unsafe { of_a_call(this.py, arguments, keywords) }?;
        C::initialize(this, &arguments, keywords.as_ref()).map(|()| 0)
    })
}

pub(super) unsafe extern "C" fn dealloc<C: Class>(object: *mut ffi::PyObject) {
    // SAFETY: a live object has a type.
    let class = unsafe { ffi::Py_TYPE(object) };
    if C::IS_PUBLIC {
        // SAFETY: tracked since its allocation.
        unsafe { ffi::PyObject_GC_UnTrack(object.cast()) };
    }
    // SAFETY: the last reference is gone, the memory is still ours.
    let place = unsafe { &raw mut (*object.cast::<Instance<C>>()).value };
    // SAFETY: written by `allocate`.
    release(unsafe { &*place });
    // A value without Python objects: dropping it needs no door. It may log (a line that was not finished).
    // SAFETY: nobody uses it afterwards.
    let dropped = catch_unwind(AssertUnwindSafe(|| unsafe { place.drop_in_place() }));
    drop(dropped);
    // SAFETY: the slot is set for every type.
    let free = unsafe { ffi::PyType_GetSlot(class, ffi::Py_tp_free) };
    if !free.is_null() {
        // SAFETY: that is the signature of this slot.
        let free: ffi::freefunc = unsafe { std::mem::transmute(free) };
        // SAFETY: the counterpart of the allocation.
        unsafe { free(object.cast()) };
    }
    // SAFETY: an instance of a heap type owns a reference to it.
    unsafe { ffi::Py_DECREF(class.cast()) };
}

/// Gives up the object that a value refers to, without pyo3, which may not know that this thread is attached.
fn release<C: Class>(value: &C) {
    if let Some(object) = value.reference().and_then(Reference::take_raw) {
        // SAFETY: the reference was the value's own; the thread is attached.
        unsafe { ffi::Py_DECREF(object) };
    }
}

pub(super) unsafe extern "C" fn traverse<C: Class>(
    object: *mut ffi::PyObject,
    visit: ffi::visitproc,
    argument: *mut c_void,
) -> c_int {
    // SAFETY: the collector passes live instances.
    let value = unsafe { &(*object.cast::<Instance<C>>()).value };
    let referred = value.reference().map_or(ptr::null_mut(), Reference::raw);
    if !referred.is_null() {
        // SAFETY: a live object that we own a reference to.
        let result = unsafe { visit(referred, argument) };
        if result != 0 {
            return result;
        }
    }
    // SAFETY: a live object has a type.
    let class = unsafe { ffi::Py_TYPE(object) };
    // SAFETY: as above.
    unsafe { visit(class.cast(), argument) }
}

pub(super) unsafe extern "C" fn clear<C: Class>(object: *mut ffi::PyObject) -> c_int {
    // SAFETY: the collector passes live instances.
    release(unsafe { &(*object.cast::<Instance<C>>()).value });
    0
}
