//! Reading a request's body through httpd's input filters, which know about chunks, TLS, HTTP/2, `LimitRequestBody` and
//! `100 Continue` (sent by httpd at the first read).

use std::ffi::c_int;
use std::marker::PhantomData;
use std::ptr::{self, NonNull};

use apache_sys::{apr_bucket_brigade, apr_status_t};

use super::{Request, Status, process};

/// The body of one request. Make one for a request at most; it remembers what was read ahead.
#[derive(Debug)]
pub struct Body<'r> {
    request: Request<'r>,
    /// What filters gave beyond what was asked for.
    pending: NonNull<apr_bucket_brigade>,
    ended: bool,
    lives: PhantomData<&'r apr_bucket_brigade>,
}

/// Why a read failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadFailure {
    /// The client sent nothing for `Timeout` seconds.
    Timeout,
    /// More than `LimitRequestBody`.
    TooLarge,
    /// The client closed the connection.
    Aborted,
    /// Something else: bad chunks, a filter's failure.
    Other,
}

/// A failed read of a request's body.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("reading the request body failed: {text}")]
pub struct ReadError {
    /// Kind.
    pub failure: ReadFailure,
    /// What the handler has to return if it sent nothing yet: 408, 400 …, or a value by which httpd knows that one of its filters
    /// answered already (413 of a chunked body).
    pub status: Status,
    /// APR's text for it.
    pub text: String,
}

impl<'r> Body<'r> {
    /// Prepares reading; asks the client for nothing yet.
    pub fn new(request: &Request<'r>) -> Body<'r> {
        let pending = super::output::create_brigade(request);
        Body {
            request: *request,
            pending,
            ended: false,
            lives: PhantomData,
        }
    }

    /// Reads at most `buffer.len()` bytes, waiting for at least one. 0 is the end of the body, or an empty buffer.
    ///
    /// # Errors
    /// [`ReadError`]; the body cannot be read further.
    pub fn read(&mut self, buffer: &mut [u8]) -> Result<usize, ReadError> {
        if buffer.is_empty() {
            return Ok(0);
        }
        loop {
            if let Some(count) = self.take(buffer)? {
                return Ok(count);
            }
            self.fill(buffer.len(), apache_sys::APR_BLOCK_READ)?;
        }
    }

    /// Reads what is there, at most `buffer.len()` bytes. `Ok(None)` is "nothing yet", `Ok(Some(0))` the end of the body.
    ///
    /// # Errors
    /// [`ReadError`]; the body cannot be read further.
    pub fn read_available(&mut self, buffer: &mut [u8]) -> Result<Option<usize>, ReadError> {
        if let Some(count) = self.take(buffer)? {
            return Ok(Some(count));
        }
        self.fill(buffer.len().max(1), apache_sys::APR_NONBLOCK_READ)?;
        self.take(buffer)
    }

    /// Makes httpd send `100 Continue` to a client that waits for it, without waiting for the body (REQ-322).
    ///
    /// # Errors
    /// [`ReadError`]; the body cannot be read further.
    pub fn ask(&mut self) -> Result<(), ReadError> {
        if self.request.expects_continue() && !self.ended && self.first().is_none() {
            // A read without waiting does not make httpd ask.
            // SAFETY: a live request in its handler.
            unsafe { apache_sys::wsgi_shim_send_continue(self.request.as_ptr()) };
        }
        Ok(())
    }

    fn first(&self) -> Option<NonNull<apache_sys::apr_bucket>> {
        // SAFETY: our own live brigade.
        NonNull::new(unsafe { apache_sys::wsgi_shim_brigade_first(self.pending.as_ptr()) })
    }

    /// Takes bytes from what was read ahead. None: nothing there.
    fn take(&mut self, buffer: &mut [u8]) -> Result<Option<usize>, ReadError> {
        let mut filled = 0;
        while filled < buffer.len() {
            if self.ended {
                return Ok(Some(filled));
            }
            let Some(bucket) = self.first() else { break };
            let count = self.take_bucket(bucket, &mut buffer[filled..])?;
            filled += count;
        }
        Ok((filled > 0).then_some(filled))
    }

    /// Moves bytes of the first bucket to `buffer` and removes what was moved.
    fn take_bucket(
        &mut self,
        bucket: NonNull<apache_sys::apr_bucket>,
        buffer: &mut [u8],
    ) -> Result<usize, ReadError> {
        let bucket = bucket.as_ptr();
        // SAFETY: the first bucket of our own brigade.
        if unsafe { apache_sys::wsgi_shim_bucket_is_eos(bucket) } != 0 {
            self.ended = true;
            return Ok(0);
        }
        let mut count = 0;
        // SAFETY: the first bucket of our own brigade.
        if unsafe { apache_sys::wsgi_shim_bucket_is_metadata(bucket) } == 0 {
            let mut data = ptr::null();
            let mut length = 0;
            // SAFETY: the bucket is ours; `data` and `length` are written on success.
            let status =
                unsafe { apache_sys::wsgi_shim_bucket_read(bucket, &mut data, &mut length, 0) };
            self.check(status)?;
            if length > 0 {
                count = length.min(buffer.len());
                // SAFETY: a successful read says that `length` bytes are at `data` until the bucket changes.
                let bytes = unsafe { std::slice::from_raw_parts(data.cast::<u8>(), count) };
                buffer[..count].copy_from_slice(bytes);
                if count < length {
                    // SAFETY: a bucket that was read can be split; the rest stays behind it.
                    let status = unsafe { apache_sys::wsgi_shim_bucket_split(bucket, count) };
                    self.check(status)?;
                }
            }
        }
        // SAFETY: a bucket of our own brigade, not used afterwards.
        unsafe { apache_sys::wsgi_shim_bucket_delete(bucket) };
        Ok(count)
    }

    /// Asks the input filters for more.
    fn fill(&mut self, want: usize, how: apache_sys::apr_read_type_e) -> Result<(), ReadError> {
        let want = i64::try_from(want).unwrap_or(i64::MAX);
        let filters = self.request.input_filters();
        // SAFETY: the request's own filters, in its handler, and our own empty brigade.
        let status = unsafe {
            apache_sys::ap_get_brigade(
                filters,
                self.pending.as_ptr(),
                apache_sys::AP_MODE_READBYTES,
                how,
                want,
            )
        };
        let nothing_yet = how == apache_sys::APR_NONBLOCK_READ && status == apache_sys::APR_EAGAIN;
        if nothing_yet {
            return Ok(());
        }
        self.check(status)
    }

    fn check(&self, status: apr_status_t) -> Result<(), ReadError> {
        if status == 0 {
            return Ok(());
        }
        // SAFETY: a plain function of numbers.
        let answer =
            unsafe { apache_sys::ap_map_http_request_error(status, apache_sys::HTTP_BAD_REQUEST) };
        Err(ReadError {
            failure: self.failure_of(status, answer),
            // AP_FILTER_ERROR included: it tells httpd that a filter has sent the error page already.
            status: Status::of_httpd(answer),
            text: if answer == apache_sys::AP_FILTER_ERROR {
                format!("refused with status {}", self.request.status())
            } else {
                process::error_text(status)
            },
        })
    }

    fn failure_of(&self, status: apr_status_t, answer: c_int) -> ReadFailure {
        if status == apache_sys::APR_TIMEUP || answer == apache_sys::HTTP_REQUEST_TIME_OUT {
            ReadFailure::Timeout
        } else if answer == apache_sys::HTTP_REQUEST_ENTITY_TOO_LARGE
            || (answer == apache_sys::AP_FILTER_ERROR
                && self.request.status() == apache_sys::HTTP_REQUEST_ENTITY_TOO_LARGE)
        {
            ReadFailure::TooLarge
        } else if self.request.connection().is_aborted() || is_gone(status) {
            ReadFailure::Aborted
        } else {
            ReadFailure::Other
        }
    }
}

/// Whether a status of a read or write says that the peer is gone.
pub(super) fn is_gone(status: apr_status_t) -> bool {
    const END_OF_FILE: apr_status_t = apache_sys::APR_EOF;
    [
        END_OF_FILE,
        apache_sys::APR_ECONNABORTED,
        apache_sys::APR_ECONNRESET,
        libc::EPIPE,
    ]
    .contains(&status)
}
