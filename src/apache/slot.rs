//! Values of ours that httpd keeps for us as `void *`: configurations of servers and directories.
//!
//! A value is stored with its type, so that reading it back is safe: a wrong type is "not there", never another type's bytes.

use std::any::Any;
use std::ffi::c_void;

use super::Pool;

/// What is behind the pointers that httpd keeps.
type Slot = Box<dyn Any>;

/// Stores `value` in `pool`, which drops it at its end, and gives the pointer for httpd.
pub fn store<T: 'static>(pool: Pool<'_>, value: T) -> *mut c_void {
    let slot: *mut Slot = pool.place::<Slot>(Box::new(value));
    slot.cast()
}

/// The value behind a pointer of httpd's; None if it is null or of another type.
///
/// # Safety
/// `pointer` is null or comes from [`store`], with a pool that lives for `'a`, and nobody changes the value during `'a`.
pub unsafe fn get<'a, T: 'static>(pointer: *const c_void) -> Option<&'a T> {
    // SAFETY: passed on from the caller.
    let slot = unsafe { pointer.cast::<Slot>().as_ref() }?;
    slot.downcast_ref()
}

/// [`get`] for a value that is being built.
///
/// # Safety
/// As for [`get`], and nobody else refers to the value during `'a`.
pub unsafe fn get_mut<'a, T: 'static>(pointer: *mut c_void) -> Option<&'a mut T> {
    // SAFETY: passed on from the caller.
    let slot = unsafe { pointer.cast::<Slot>().as_mut() }?;
    slot.downcast_mut()
}
