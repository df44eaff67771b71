//! Sending an answer through httpd's output filters.

use std::ffi::c_int;
use std::io;
use std::marker::PhantomData;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr::{self, NonNull};

use apache_sys::{apr_bucket, apr_bucket_brigade, apr_status_t};

use super::counted::Outstanding;
use super::{Request, body, process};

/// Lowest protocol in which a body can be seen to be incomplete without its length.
const HTTP_1_1: i32 = 1001;

/// Up to this many bytes the end of an answer is flushed: that fits into any socket's buffer, so no thread waits for a slow
/// client. More than this httpd writes on its own as it comes, as far as the client takes it.
const SMALL: u64 = 8000;

/// The least `H2StreamMaxMemSize` that httpd allows, bytes.
const LEAST_STREAM_MEMORY: usize = 1024;

/// Most bytes that a stream of HTTP/2 gets at a time. The next piece waits until this one is gone: with 64 KiB a quick client gets a
/// large answer a third slower.
const STREAM_PIECE: usize = 256 << 10;

/// Bytes of a body that are kept for the filters of a HEAD over HTTP/2.
const JOINED: u64 = 256 * 1024;

/// What follows the data of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum After {
    /// More data, later; httpd may wait for it before it sends.
    More,
    /// More data, later; what there is goes to the client now.
    Flush,
    /// Nothing: the answer is complete.
    End,
    /// The same for an answer without Content-Length, which httpd must not count by itself (REQ-449).
    UnsizedEnd,
}

/// A failed write.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("sending the response failed: {text}")]
pub struct WriteError {
    /// Whether the client is gone, which is no error of ours (REQ-490).
    pub client_gone: bool,
    /// Whether the client took nothing for longer than its socket's timeout.
    pub timed_out: bool,
    /// APR's text for it.
    pub text: String,
}

/// Data on its way to the client. One for each answer; it is emptied by each pass.
#[derive(Debug)]
pub struct Brigade<'r> {
    request: Request<'r>,
    raw: NonNull<apr_bucket_brigade>,
    /// Bytes passed since the last flush.
    unflushed: u64,
    /// Whether httpd may still cut ranges out of the answer.
    may_cut: bool,
    /// Where the client cannot be asked what it takes.
    outstanding: Option<Outstanding>,
    /// Whether the body is for nobody: HEAD, and no filter derives headers from it.
    is_head_only: bool,
    /// Whether a part of such a body was left out.
    left_out: bool,
    /// Whether the head has to wait for the end: HEAD over HTTP/2, where mod_http2 resets a stream whose end comes alone.
    is_joined: bool,
    lives: PhantomData<&'r apr_bucket_brigade>,
}

impl<'r> Brigade<'r> {
    /// An empty brigade in the request's pool.
    pub fn new(request: &Request<'r>) -> Brigade<'r> {
        Brigade {
            request: *request,
            raw: create_brigade(request),
            unflushed: 0,
            may_cut: true,
            outstanding: None,
            is_head_only: request.is_head() && !request.has_content_filters(),
            left_out: false,
            is_joined: request.is_head() && request.connection().is_stream(),
            lives: PhantomData,
        }
    }

    /// The same, for [`Brigade::room`].
    pub fn counting(request: &Request<'r>) -> Brigade<'r> {
        Brigade {
            outstanding: Some(Outstanding::default()),
            ..Brigade::new(request)
        }
    }

    /// How many bytes a stream of HTTP/2 takes in one pass without waiting, if the brigade counts; [`usize::MAX`] where passing
    /// tells what is wrong. What other modules' filters keep or make of the data is not seen.
    ///
    /// mod_http2 waits while at least `H2StreamMaxMemSize` bytes of a stream wait, which is not less than 1024. It takes a
    /// bucket whole.
    pub fn room(&mut self) -> usize {
        let Some(outstanding) = self.outstanding.clone() else {
            return usize::MAX;
        };
        if self.is_for_head() {
            return usize::MAX;
        }
        // What was appended goes its own way.
        if outstanding.bytes() >= LEAST_STREAM_MEMORY && self.is_empty() {
            // Nothing, which takes no room, makes mod_http2 release what is on its way.
            let filters = self.request.connection().output_filters();
            if self.pass_to(filters).is_err() {
                return usize::MAX;
            }
        }
        if outstanding.bytes() < LEAST_STREAM_MEMORY {
            STREAM_PIECE
        } else {
            0
        }
    }

    /// Appends `len` bytes of a regular file from `offset`. The descriptor is duplicated (the position in the file is shared but
    /// not used). With `sendfile` the kernel may copy the bytes to the socket, if EnableSendfile is on too.
    ///
    /// # Errors
    /// The descriptor could not be duplicated.
    pub fn append_file(
        &mut self,
        file: BorrowedFd<'_>,
        offset: u64,
        len: u64,
        sendfile: bool,
    ) -> io::Result<()> {
        if len == 0 {
            return Ok(());
        }
        let sendfile = sendfile && self.request.is_sendfile_enabled();
        let handle = self.own_file(file, sendfile)?;
        self.unflushed = self.unflushed.saturating_add(len);
        let offset = i64::try_from(offset).map_err(|_| io::ErrorKind::InvalidInput)?;
        let len = i64::try_from(len).map_err(|_| io::ErrorKind::InvalidInput)?;
        // SAFETY: a live brigade, and a file that belongs to the pool given with it.
        let bucket = unsafe {
            apache_sys::apr_brigade_insert_file(
                self.raw.as_ptr(),
                handle,
                offset,
                len,
                self.request.pool().as_ptr(),
            )
        };
        // A mapped file that somebody truncates meanwhile kills the process (SIGBUS), so only where the administrator keeps
        // EnableMMAP on; insert_file makes one bucket unless the length is beyond what a bucket can count.
        let mmap = c_int::from(self.request.is_mmap_enabled() && !sendfile);
        // SAFETY: a file bucket of our brigade.
        unsafe { apache_sys::apr_bucket_file_enable_mmap(bucket, mmap) };
        Ok(())
    }

    /// Makes an APR file with a descriptor of its own, closed with the pool that the file ends up in.
    ///
    /// `apr_os_file_put` marks a file as "never closed by APR", and that mark travels when a filter (HTTP/2) moves the file to
    /// another pool: closing it ourselves with the request's pool would be too early there. So APR opens something itself,
    /// and the descriptor is put in its place.
    fn own_file(
        &self,
        file: BorrowedFd<'_>,
        sendfile: bool,
    ) -> io::Result<*mut apache_sys::apr_file_t> {
        let mut flags = apache_sys::APR_FOPEN_READ | apache_sys::APR_FOPEN_BINARY;
        if sendfile {
            flags |= apache_sys::APR_FOPEN_SENDFILE_ENABLED;
        }
        let pool = self.request.pool().as_ptr();
        let mut handle = ptr::null_mut();
        // SAFETY: a live pool; `handle` is written on success.
        let status =
            unsafe { apache_sys::apr_file_open(&mut handle, c"/".as_ptr(), flags, 0, pool) };
        if status != 0 {
            return Err(io::Error::other(process::error_text(status)));
        }
        let mut placeholder = -1;
        // SAFETY: a file that was opened just now.
        unsafe { apache_sys::apr_os_file_get(&mut placeholder, handle) };
        // SAFETY: two open descriptors; the second one is known to nobody but `handle`.
        let done = unsafe { libc::dup3(file.as_raw_fd(), placeholder, libc::O_CLOEXEC) };
        if done < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(handle)
    }

    /// Passes what was appended, `blocks` and what follows to the client. The blocks are not used after the call.
    ///
    /// # Errors
    /// [`WriteError`]; nothing more can be sent.
    pub fn pass<'d>(
        &mut self,
        blocks: impl IntoIterator<Item = &'d [u8]>,
        after: After,
    ) -> Result<(), WriteError> {
        if let Some(outstanding) = self.outstanding.clone().filter(|_| !self.is_for_head()) {
            self.append_counted(blocks, &outstanding);
        } else {
            self.append_blocks(blocks);
        }
        if self.is_head_only && after == After::More {
            return Ok(());
        }
        if self.is_joined && self.unflushed < JOINED && after != After::End {
            if after == After::UnsizedEnd {
                return self.pass([], After::End);
            }
            return Ok(());
        }
        self.is_joined = false;
        match after {
            After::More => {}
            After::UnsizedEnd if self.left_out => {
                // The end alone would be counted as an empty body.
                self.left_out = false;
                self.pass([], After::Flush)?;
                return self.pass([], After::End);
            }
            After::UnsizedEnd if self.is_empty() => return self.pass([], After::End),
            After::UnsizedEnd => {
                // httpd sets a Content-Length where the end comes with the first data, and where a content filter holds the
                // first data back until then.
                let begin = if self.request.has_content_filters() {
                    After::Flush
                } else {
                    After::More
                };
                self.pass([], begin)?;
                return self.pass([], After::End);
            }
            After::Flush => {
                // SAFETY: the connection's live allocator.
                let bucket = unsafe { apache_sys::apr_bucket_flush_create(self.allocator()) };
                self.append(bucket);
                self.unflushed = 0;
            }
            After::End => {
                // SAFETY: the connection's live allocator.
                let bucket = unsafe { apache_sys::apr_bucket_eos_create(self.allocator()) };
                self.append(bucket);
                self.pass_on()?;
                return self.push();
            }
        }
        self.pass_on()
    }

    /// Several blocks make one bucket, which mod_http2 takes whole.
    fn append_counted<'d>(
        &mut self,
        blocks: impl IntoIterator<Item = &'d [u8]>,
        outstanding: &Outstanding,
    ) {
        let blocks: Vec<&[u8]> = blocks.into_iter().collect();
        // SAFETY: the connection's live allocator.
        let Some(bucket) = (unsafe { outstanding.bucket(&blocks, self.allocator()) }) else {
            return;
        };
        self.keep_whole();
        self.append(bucket);
        let bytes: usize = blocks.iter().map(|block| block.len()).sum();
        self.unflushed = self.unflushed.saturating_add(bytes as u64);
    }

    /// The blocks have to live until they are passed on.
    fn append_blocks<'d>(&mut self, blocks: impl IntoIterator<Item = &'d [u8]>) {
        for block in blocks {
            if block.is_empty() {
                continue;
            }
            self.keep_whole();
            if self.is_head_only {
                // httpd would set a Content-Length of its own where all of it came at once (REQ-122).
                self.left_out = true;
                continue;
            }
            let bucket = if self.is_joined {
                // SAFETY: the block is copied: without a function to free it the bucket does not keep the pointer.
                unsafe {
                    apache_sys::apr_bucket_heap_create(
                        block.as_ptr().cast(),
                        block.len(),
                        None,
                        self.allocator(),
                    )
                }
            } else {
                // SAFETY: the block lives until the pass below returns; filters that keep transient buckets copy them before.
                unsafe {
                    apache_sys::apr_bucket_transient_create(
                        block.as_ptr().cast(),
                        block.len(),
                        self.allocator(),
                    )
                }
            };
            self.append(bucket);
            self.unflushed = self.unflushed.saturating_add(block.len() as u64);
        }
    }

    /// Whether the body is for nobody, or waits in the brigade for its end.
    fn is_for_head(&self) -> bool {
        self.is_head_only || self.is_joined
    }

    /// Writes a small answer now that it is complete. The event MPM would do so after the handler: after the application's
    /// `close()`, and after it has looked in vain for the next request, so that each request of a client that waits for its
    /// answer costs a way through the poll set and another thread.
    fn push(&mut self) -> Result<(), WriteError> {
        let connection = self.request.connection();
        if self.unflushed > SMALL || connection.is_stream() {
            return Ok(());
        }
        // SAFETY: the connection's live allocator.
        let bucket = unsafe { apache_sys::apr_bucket_flush_create(self.allocator()) };
        self.append(bucket);
        self.pass_to(connection.output_filters())
    }

    /// Ends the answer so that the client notices that it is cut short (REQ-466): no final chunk or too few bytes and a closed
    /// connection in HTTP/1.1, a reset stream in HTTP/2. An answer of HTTP/1.0 without length ends with the connection, so there
    /// the connection is reset. Before the head went out the client gets 502 instead. The handler returns OK afterwards.
    pub fn abort(&mut self) {
        if self.is_head_only && !self.is_joined {
            // Of such an answer the head is all, and it may be waiting for more. That the client is gone is as good.
            let _ = self.pass([], After::Flush);
        }
        if self.request.protocol_number() < HTTP_1_1 && self.request.is_answer_begun() {
            // What was sent so far must have left before the reset; that the client is gone already is as good.
            let _ = self.pass([], After::Flush);
            self.request.connection().reset();
            return;
        }
        let allocator = self.allocator();
        // SAFETY: a live request and its connection's allocator.
        let error = unsafe { apache_sys::wsgi_shim_abort_bucket(self.request.as_ptr(), allocator) };
        self.append(error);
        // SAFETY: the connection's live allocator.
        let end = unsafe { apache_sys::apr_bucket_eos_create(allocator) };
        self.append(end);
        self.request.connection().close_after_answer();
        // That the client is gone already is as good.
        let _ = self.pass_on();
    }

    /// From now on httpd's filter for `Range` leaves the answer as it is: what an application makes of such a header is its own
    /// business, and to httpd all methods are the same. Files are cut (REQ-583).
    fn keep_whole(&mut self) {
        if !std::mem::replace(&mut self.may_cut, false) {
            return;
        }
        // SAFETY: the request's own filters, in its handler; that the filter is gone already is as good.
        let _ = unsafe {
            apache_sys::ap_remove_output_filter_byhandle(
                self.request.output_filters(),
                c"BYTERANGE".as_ptr(),
            )
        };
    }

    fn is_empty(&self) -> bool {
        // SAFETY: a live brigade.
        unsafe { apache_sys::wsgi_shim_brigade_first(self.raw.as_ptr()) }.is_null()
    }

    fn pass_on(&mut self) -> Result<(), WriteError> {
        self.pass_to(self.request.output_filters())
    }

    /// `filters`: those of the request or of its connection.
    fn pass_to(&mut self, filters: *mut apache_sys::ap_filter_t) -> Result<(), WriteError> {
        // SAFETY: the request's own filters, in its handler, and our own brigade.
        let status = unsafe { apache_sys::ap_pass_brigade(filters, self.raw.as_ptr()) };
        // SAFETY: our own brigade; whatever a filter left in it must not outlive the blocks.
        unsafe { apache_sys::apr_brigade_cleanup(self.raw.as_ptr().cast()) };
        self.check(status)
    }

    fn check(&self, status: apr_status_t) -> Result<(), WriteError> {
        let aborted = self.request.connection().is_aborted();
        if status == 0 && !aborted {
            return Ok(());
        }
        Err(WriteError {
            timed_out: status == apache_sys::APR_TIMEUP,
            // A filter that refuses the answer has sent its own page and says so with AP_FILTER_ERROR: nobody is left to send to.
            client_gone: aborted || body::is_gone(status) || status == apache_sys::AP_FILTER_ERROR,
            text: process::error_text(if status == 0 {
                apache_sys::APR_ECONNABORTED
            } else {
                status
            }),
        })
    }

    fn allocator(&self) -> *mut apache_sys::apr_bucket_alloc_t {
        self.request.connection().record().bucket_alloc
    }

    fn append(&mut self, bucket: *mut apr_bucket) {
        // SAFETY: a new bucket of the same allocator, in no brigade yet.
        unsafe { apache_sys::wsgi_shim_brigade_insert_tail(self.raw.as_ptr(), bucket) };
    }
}

/// An empty brigade in the request's pool.
pub(super) fn create_brigade(request: &Request<'_>) -> NonNull<apr_bucket_brigade> {
    let allocator = request.connection().record().bucket_alloc;
    // SAFETY: a live pool and its connection's allocator.
    let brigade = unsafe { apache_sys::apr_brigade_create(request.pool().as_ptr(), allocator) };
    NonNull::new(brigade).expect("httpd aborts the process rather than return null")
}
