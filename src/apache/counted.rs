//! Data that is counted until httpd is done with it, for connections that cannot be asked what they take (streams of HTTP/2).
//!
//! mod_http2 gives a stream's data to the thread of the connection, and releases what went there when the stream passes
//! something the next time, if only nothing. What a filter copies is released at once.

use std::alloc::{self, Layout};
use std::ffi::c_void;
use std::ptr::{self, NonNull};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Bytes of one answer that httpd has not released. Any thread.
#[derive(Clone, Debug, Default)]
pub(super) struct Outstanding(Arc<AtomicUsize>);

/// In front of the data.
#[repr(C)]
struct Header {
    /// Of the data, bytes.
    len: usize,
    outstanding: Outstanding,
}

impl Outstanding {
    /// How many.
    pub(super) fn bytes(&self) -> usize {
        self.0.load(Ordering::Acquire)
    }

    /// One copy of all blocks, counted until [`release`] gets it. None for no bytes.
    fn copy(&self, blocks: &[&[u8]]) -> Option<Copied> {
        let len: usize = blocks.iter().map(|block| block.len()).sum();
        if len == 0 {
            return None;
        }
        let layout = layout(len);
        // SAFETY: a layout of at least a header.
        let Some(start) = NonNull::new(unsafe { alloc::alloc(layout) }) else {
            alloc::handle_alloc_error(layout);
        };
        self.0.fetch_add(len, Ordering::AcqRel);
        let header = Header {
            len,
            outstanding: self.clone(),
        };
        // SAFETY: the allocation begins with room for a header, aligned for it.
        unsafe { start.cast::<Header>().write(header) };
        // SAFETY: `len` bytes come behind the header.
        let data = unsafe { start.add(size_of::<Header>()) };
        let mut at = 0;
        for block in blocks {
            let end = at + block.len();
            // SAFETY: inside of the allocation, which is as long as all blocks.
            let place = unsafe { data.add(at) };
            // SAFETY: as long as the block, and nobody else knows it.
            unsafe { ptr::copy_nonoverlapping(block.as_ptr(), place.as_ptr(), block.len()) };
            at = end;
        }
        Some(Copied { data, len })
    }

    /// A bucket with a copy of all blocks; None for no bytes.
    ///
    /// # Safety
    /// `allocator` is live.
    pub(super) unsafe fn bucket(
        &self,
        blocks: &[&[u8]],
        allocator: *mut apache_sys::apr_bucket_alloc_t,
    ) -> Option<*mut apache_sys::apr_bucket> {
        let Copied { data, len } = self.copy(blocks)?;
        // SAFETY: the allocator is live; APR frees the data with `release`, once.
        Some(unsafe {
            apache_sys::apr_bucket_heap_create(data.as_ptr().cast(), len, Some(release), allocator)
        })
    }
}

/// Data behind its header.
struct Copied {
    data: NonNull<u8>,
    len: usize,
}

fn layout(len: usize) -> Layout {
    let size = size_of::<Header>() + len;
    Layout::from_size_align(size, align_of::<Header>()).expect("no answer has blocks so large")
}

/// Frees the data of a bucket. Nothing here panics, so that it needs no guard.
unsafe extern "C" fn release(data: *mut c_void) {
    // SAFETY: what `copy` made has its header in front.
    let start = unsafe { data.cast::<u8>().sub(size_of::<Header>()) };
    // SAFETY: the header was written by `copy`, and is taken once.
    let Header { len, outstanding } = unsafe { start.cast::<Header>().read() };
    outstanding.0.fetch_sub(len, Ordering::AcqRel);
    // SAFETY: allocated by `copy` with the same layout.
    unsafe { alloc::dealloc(start, layout(len)) };
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes count from the copy to the release, also where the answer is forgotten before.
    #[test]
    fn bytes_are_counted_until_they_are_released() {
        let outstanding = Outstanding::default();
        let blocks: [&[u8]; 3] = [b"one", b"", b"three"];
        let first = outstanding.copy(&blocks).unwrap();
        let second = outstanding.copy(&[b"x"]).unwrap();
        assert!(outstanding.copy(&[b""]).is_none());
        assert_eq!(outstanding.bytes(), 9);
        // SAFETY: the data of `first`.
        let data = unsafe { std::slice::from_raw_parts(first.data.as_ptr(), first.len) };
        assert_eq!(data, b"onethree");
        // SAFETY: released once each.
        unsafe { release(first.data.as_ptr().cast()) };
        assert_eq!(outstanding.bytes(), 1);
        drop(outstanding);
        // SAFETY: as above.
        unsafe { release(second.data.as_ptr().cast()) };
    }
}
