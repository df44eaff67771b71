//! Python classes of ours: heap types, made per interpreter, whose instances hold a Rust value.
//!
//! [`Class`] describes one in safe code; this module makes the type, and the C functions behind its methods. pyo3's
//! `#[pyclass]` is not used because its types are shared between interpreters.
//!
//! A method may be called on a thread that did not come through `Interpreter::enter` (one that the application started, or one
//! that is going away): then it goes through the door of the interpreter first.

use std::ffi::{CStr, c_int, c_void};
use std::ptr;

use pyo3::exceptions::PyTypeError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple, PyType};

mod calls;

use calls::{call, clear, dealloc, get, getattro, init, iternext, method, new, traverse};

pub(crate) use super::reference::Reference;

/// A Python class whose instances hold a `Self`. Values are shared between threads, and no lock of theirs may be held
/// while Python code runs or the GIL is taken.
pub(crate) trait Class: Sized + Send + Sync + 'static {
    /// Full name, `mod_wsgi.Input`.
    const NAME: &'static CStr;
    /// Docstring.
    const DOC: &'static CStr;
    /// At most [`MOST_METHODS`].
    const METHODS: &'static [Method<Self>] = &[];
    /// Read-only attributes.
    const ATTRIBUTES: &'static [Attribute<Self>] = &[];
    /// Whether Python code can make instances and subclasses, through [`Class::construct`] and [`Class::initialize`].
    const IS_PUBLIC: bool = false;
    /// Whether an instance is its own iterator, through [`Class::next`].
    const ITERATES: bool = false;
    /// Whether an instance can be called, through [`Class::call`].
    const IS_CALLABLE: bool = false;
    /// Whether attribute access goes to [`Class::attribute`] only.
    const GUARDS_ATTRIBUTES: bool = false;

    /// The value of a new instance.
    fn construct(_py: Python<'_>) -> PyResult<Self> {
        Err(PyTypeError::new_err("cannot create instances of this type"))
    }

    /// `__init__` of a new instance. One of a subclass may call it with arguments of its own, several times, or never.
    fn initialize<'py>(
        _this: &This<'_, 'py, Self>,
        _arguments: &Bound<'py, PyTuple>,
        _keywords: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<()> {
        Ok(())
    }

    /// The next item; None at the end.
    fn next<'py>(_this: &This<'_, 'py, Self>) -> PyResult<Option<Bound<'py, PyAny>>> {
        Ok(None)
    }

    /// A call of the instance.
    fn call<'py>(
        this: &This<'_, 'py, Self>,
        _arguments: &Bound<'py, PyTuple>,
        _keywords: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        Ok(this.none())
    }

    /// An attribute of the instance.
    fn attribute<'py>(
        this: &This<'_, 'py, Self>,
        _name: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        Ok(this.none())
    }

    /// The Python object that the value refers to, if its class may be part of a reference cycle. All others must not
    /// hold Python objects.
    fn reference(&self) -> Option<&Reference> {
        None
    }
}

/// Most methods of a class.
pub(crate) const MOST_METHODS: usize = 12;

type MethodBody<C> =
    for<'a, 'py> fn(&This<'a, 'py, C>, &Arguments<'a, 'py>) -> PyResult<Bound<'py, PyAny>>;
type AttributeBody<C> = for<'a, 'py> fn(&This<'a, 'py, C>) -> PyResult<Bound<'py, PyAny>>;

/// A method with positional arguments only.
pub(crate) struct Method<C: 'static> {
    /// Name.
    pub(crate) name: &'static CStr,
    /// Fewest and most arguments.
    pub(crate) arity: (usize, usize),
    /// What it does.
    pub(crate) body: MethodBody<C>,
}

/// A read-only attribute.
pub(crate) struct Attribute<C: 'static> {
    /// Name.
    pub(crate) name: &'static CStr,
    /// Its value.
    pub(crate) body: AttributeBody<C>,
}

/// An instance during a call of one of its methods.
pub(crate) struct This<'a, 'py, C> {
    /// The token of the call.
    pub(crate) py: Python<'py>,
    /// The instance.
    pub(crate) object: &'a Bound<'py, PyAny>,
    /// Its value.
    pub(crate) value: &'a C,
}

impl<'py, C> This<'_, 'py, C> {
    /// None, as methods return it.
    pub(crate) fn none(&self) -> Bound<'py, PyAny> {
        self.py.None().into_bound(self.py)
    }
}

/// Positional arguments of a call.
pub(crate) struct Arguments<'a, 'py> {
    py: Python<'py>,
    objects: &'a [*mut ffi::PyObject],
}

impl<'py> Arguments<'_, 'py> {
    /// An argument.
    pub(crate) fn get(&self, index: usize) -> Option<Bound<'py, PyAny>> {
        let object = *self.objects.get(index)?;
        // SAFETY: the caller of the method keeps its arguments alive during the call.
        Some(unsafe { Bound::from_borrowed_ptr(self.py, object) })
    }

    /// An argument that the arity says is there.
    pub(crate) fn required(&self, index: usize) -> Bound<'py, PyAny> {
        self.get(index)
            .expect("within the arity, which was checked")
    }
}

/// Memory of an instance.
#[repr(C)]
struct Instance<C> {
    head: ffi::PyObject,
    value: C,
}

/// Makes the type of a class in the interpreter of `py`.
pub(crate) fn make<C: Class>(py: Python<'_>) -> PyResult<Py<PyType>> {
    let mut slots = vec![
        slot(ffi::Py_tp_doc, C::DOC.as_ptr().cast_mut().cast()),
        slot(ffi::Py_tp_dealloc, dealloc::<C> as *mut c_void),
        slot(ffi::Py_tp_methods, methods::<C>().cast()),
        slot(ffi::Py_tp_getset, attributes::<C>().cast()),
    ];
    let mut flags = ffi::Py_TPFLAGS_DEFAULT;
    if C::IS_PUBLIC {
        flags |= ffi::Py_TPFLAGS_BASETYPE;
        slots.push(slot(ffi::Py_tp_new, new::<C> as *mut c_void));
        slots.push(slot(ffi::Py_tp_init, init::<C> as *mut c_void));
        // The collector needs to see what instances of subclasses refer to.
        flags |= ffi::Py_TPFLAGS_HAVE_GC;
        slots.push(slot(ffi::Py_tp_traverse, traverse::<C> as *mut c_void));
        slots.push(slot(ffi::Py_tp_clear, clear::<C> as *mut c_void));
    } else {
        flags |= ffi::Py_TPFLAGS_DISALLOW_INSTANTIATION;
    }
    if C::ITERATES {
        slots.push(slot(ffi::Py_tp_iter, ffi::PyObject_SelfIter as *mut c_void));
        slots.push(slot(ffi::Py_tp_iternext, iternext::<C> as *mut c_void));
    }
    if C::IS_CALLABLE {
        slots.push(slot(ffi::Py_tp_call, call::<C> as *mut c_void));
    }
    if C::GUARDS_ATTRIBUTES {
        slots.push(slot(ffi::Py_tp_getattro, getattro::<C> as *mut c_void));
    }
    slots.push(ffi::PyType_Slot::default());
    let size = c_int::try_from(size_of::<Instance<C>>()).expect("instances are small");
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the flags used are in the low 32 bits"
    )]
    let flags = flags as std::ffi::c_uint;
    let mut spec = ffi::PyType_Spec {
        name: C::NAME.as_ptr(),
        basicsize: size,
        itemsize: 0,
        flags,
        slots: slots.as_mut_ptr(),
    };
    // SAFETY: the spec describes our instances; name and tables are never freed.
    let made = unsafe { ffi::PyType_FromSpec(&mut spec) };
    // SAFETY: a new reference, or null with an exception set.
    let made = unsafe { Bound::from_owned_ptr_or_err(py, made) }?;
    Ok(made.cast_into::<PyType>()?.unbind())
}

/// A new instance of a class, `class` being the type that [`make`] made for it.
pub(crate) fn instance<'py, C: Class>(
    class: &Bound<'py, PyType>,
    value: C,
) -> PyResult<Bound<'py, PyAny>> {
    allocate(class.py(), class.as_type_ptr(), value)
}

/// The value of an instance, `class` being the type that [`make`] made for it; None for any other object.
pub(crate) fn value<'a, C: Class>(
    object: &'a Bound<'_, PyAny>,
    class: &Bound<'_, PyType>,
) -> Option<&'a C> {
    let matches = object.is_instance(class).unwrap_or(false);
    // An overridden `__class__` could lie to isinstance(), the layout cannot.
    // SAFETY: both are live objects.
    let matches =
        matches && unsafe { ffi::PyObject_TypeCheck(object.as_ptr(), class.as_type_ptr()) } != 0;
    // SAFETY: an instance of the class or a subclass begins with our memory.
    matches.then(|| unsafe { &(*object.as_ptr().cast::<Instance<C>>()).value })
}

fn allocate<C: Class>(
    py: Python<'_>,
    class: *mut ffi::PyTypeObject,
    value: C,
) -> PyResult<Bound<'_, PyAny>> {
    // SAFETY: the class is a live heap type of ours, or a subclass; both inherit the general allocation.
    let object = unsafe { ffi::PyType_GenericAlloc(class, 0) };
    if object.is_null() {
        return Err(PyErr::fetch(py));
    }
    // SAFETY: the new object has room for our value, which nobody has seen yet.
    let place = unsafe { &raw mut (*object.cast::<Instance<C>>()).value };
    // SAFETY: as above; what is overwritten are zeros.
    unsafe { place.write(value) };
    // SAFETY: a new reference.
    Ok(unsafe { Bound::from_owned_ptr(py, object) })
}

fn slot(slot: c_int, pfunc: *mut c_void) -> ffi::PyType_Slot {
    ffi::PyType_Slot { slot, pfunc }
}

/// The table of methods; never freed, as types refer to it.
fn methods<C: Class>() -> *mut ffi::PyMethodDef {
    let functions: [ffi::PyCFunctionFast; MOST_METHODS] = [
        method::<C, 0>,
        method::<C, 1>,
        method::<C, 2>,
        method::<C, 3>,
        method::<C, 4>,
        method::<C, 5>,
        method::<C, 6>,
        method::<C, 7>,
        method::<C, 8>,
        method::<C, 9>,
        method::<C, 10>,
        method::<C, 11>,
    ];
    assert!(
        C::METHODS.len() <= functions.len(),
        "more methods than MOST_METHODS"
    );
    let table: Vec<ffi::PyMethodDef> = C::METHODS
        .iter()
        .zip(functions)
        .map(|(method, function)| ffi::PyMethodDef {
            ml_name: method.name.as_ptr(),
            ml_meth: ffi::PyMethodDefPointer {
                PyCFunctionFast: function,
            },
            ml_flags: ffi::METH_FASTCALL,
            ml_doc: ptr::null(),
        })
        .chain([ffi::PyMethodDef::zeroed()])
        .collect();
    Box::leak(table.into_boxed_slice()).as_mut_ptr()
}

/// The table of attributes; never freed, as types refer to it.
fn attributes<C: Class>() -> *mut ffi::PyGetSetDef {
    let table: Vec<ffi::PyGetSetDef> = C::ATTRIBUTES
        .iter()
        .enumerate()
        .map(|(index, attribute)| ffi::PyGetSetDef {
            name: attribute.name.as_ptr(),
            get: Some(get::<C>),
            set: None,
            doc: ptr::null(),
            // Not a pointer, but which one it is.
            closure: ptr::without_provenance_mut(index),
        })
        .chain([ffi::PyGetSetDef::default()])
        .collect();
    Box::leak(table.into_boxed_slice()).as_mut_ptr()
}
