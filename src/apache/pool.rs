//! APR pools: memory and cleanups that end with a request, a process or a configuration.

use std::ffi::{CStr, c_void};
use std::marker::PhantomData;
use std::mem::{align_of, needs_drop, size_of};
use std::ptr::NonNull;

use apache_sys::{apr_pool_t, apr_status_t};

use super::guard;

/// A pool that lives for `'p`. Never owns it.
#[derive(Clone, Copy, Debug)]
pub struct Pool<'p> {
    raw: NonNull<apr_pool_t>,
    lives: PhantomData<&'p apr_pool_t>,
}

impl<'p> Pool<'p> {
    /// Wraps a pool of httpd.
    ///
    /// # Safety
    /// `raw` is a live pool, is not destroyed or cleared before the end of `'p`, and is used by this thread only.
    pub unsafe fn from_raw(raw: *mut apr_pool_t) -> Pool<'p> {
        Pool {
            raw: NonNull::new(raw).expect("httpd hands out live pools"),
            lives: PhantomData,
        }
    }

    /// For functions of httpd that want the pool.
    pub(crate) fn as_ptr(self) -> *mut apr_pool_t {
        self.raw.as_ptr()
    }

    /// Copies text into the pool, with a NUL behind it. A NUL inside cuts what C sees.
    pub fn copy_text(self, text: &[u8]) -> &'p CStr {
        // SAFETY: the pool is live; the function copies `len` bytes and puts a NUL behind them.
        let copy =
            unsafe { apache_sys::apr_pstrmemdup(self.as_ptr(), text.as_ptr().cast(), text.len()) };
        // SAFETY: httpd aborts the process rather than return null, and the copy ends with a NUL and lives as long as the pool.
        unsafe { CStr::from_ptr(copy) }
    }

    /// Moves a value into the pool, which drops it at its end. (In every process that destroys its copy of the pool.)
    pub fn place<T: 'static>(self, value: T) -> &'p mut T {
        const { assert!(align_of::<T>() <= 8, "pools align to 8 bytes") };
        // SAFETY: the pool is live; httpd aborts the process rather than return null.
        let memory = unsafe { apache_sys::apr_palloc(self.as_ptr(), size_of::<T>().max(1)) };
        let place = memory.cast::<T>();
        // SAFETY: fresh memory of the right size and alignment.
        unsafe { place.write(value) };
        if needs_drop::<T>() {
            self.register(memory, drop_value::<T>);
        }
        // SAFETY: initialised above; nobody else has the pointer but the cleanup, which runs after `'p`.
        unsafe { &mut *place }
    }

    /// Runs `action` before the pool's children and other cleanups go, only in the process that called this.
    pub fn before_end_here<F: FnOnce() + 'static>(self, action: F) {
        let here = std::process::id();
        let action = move || {
            if std::process::id() == here {
                action();
            }
        };
        let boxed: Box<Box<dyn FnOnce()>> = Box::new(Box::new(action));
        let data = Box::into_raw(boxed).cast::<c_void>();
        // SAFETY: the pool is live; `run_boxed` takes exactly this box, once.
        unsafe { apache_sys::apr_pool_pre_cleanup_register(self.as_ptr(), data, Some(run_boxed)) };
    }

    fn register(
        self,
        data: *mut c_void,
        cleanup: unsafe extern "C" fn(*mut c_void) -> apr_status_t,
    ) {
        // SAFETY: the pool is live; `data` is what `cleanup` expects. Nothing is done before an exec of a child process.
        unsafe {
            apache_sys::apr_pool_cleanup_register(
                self.as_ptr(),
                data,
                Some(cleanup),
                Some(apache_sys::apr_pool_cleanup_null),
            );
        }
    }
}

/// Cleanup of [`Pool::place`].
///
/// # Safety
/// `data` is the place of a live `T`, which is not used afterwards.
unsafe extern "C" fn drop_value<T>(data: *mut c_void) -> apr_status_t {
    guard::call("dropping a value of a pool", (), || {
        // SAFETY: registered by `place` for a value of this type; APR runs a cleanup once.
        unsafe { std::ptr::drop_in_place(data.cast::<T>()) };
    });
    0
}

/// Cleanup of [`Pool::before_end_here`].
///
/// # Safety
/// `data` comes from `Box::into_raw` there, and is not used afterwards.
unsafe extern "C" fn run_boxed(data: *mut c_void) -> apr_status_t {
    guard::call("cleanup before the end of a pool", (), || {
        // SAFETY: registered with this very box; APR runs a cleanup once.
        let action = unsafe { Box::from_raw(data.cast::<Box<dyn FnOnce()>>()) };
        action();
    });
    0
}
