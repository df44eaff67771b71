//! The client connection of a request.

use std::marker::PhantomData;
use std::os::fd::BorrowedFd;
use std::ptr::NonNull;
use std::time::Duration;

use apache_sys::{apr_sockaddr_t, conn_rec};

use super::text;

/// The connection that a request came in on; lives for `'r`. With HTTP/2 it is the stream's own.
#[derive(Clone, Copy, Debug)]
pub struct Connection<'r> {
    raw: NonNull<conn_rec>,
    lives: PhantomData<&'r conn_rec>,
}

impl<'r> Connection<'r> {
    /// Wraps a connection of httpd.
    ///
    /// # Safety
    /// `raw` is a live connection for `'r`, used by this thread.
    pub(super) unsafe fn from_raw(raw: *mut conn_rec) -> Connection<'r> {
        Connection {
            raw: NonNull::new(raw).expect("a request has a connection"),
            lives: PhantomData,
        }
    }

    pub(super) fn as_ptr(&self) -> *mut conn_rec {
        self.raw.as_ptr()
    }

    pub(super) fn record(&self) -> &conn_rec {
        // SAFETY: live for 'r; the reference does not outlive the expression that reads a field.
        unsafe { self.raw.as_ref() }
    }

    /// Whether it is one stream of a connection that carries several (HTTP/2).
    pub fn is_stream(&self) -> bool {
        !self.record().master.is_null()
    }

    /// The filters next to the network, behind those of the request.
    pub(super) fn output_filters(&self) -> *mut apache_sys::ap_filter_t {
        self.record().output_filters
    }

    /// Port of the peer.
    pub fn peer_port(&self) -> u16 {
        port(self.record().client_addr)
    }

    /// Own address of the connection as text.
    pub fn local_ip(&self) -> &'r [u8] {
        // SAFETY: text of the connection lives for 'r.
        unsafe { text::bytes(self.record().local_ip) }.unwrap_or(b"")
    }

    /// Own port of the connection.
    pub fn local_port(&self) -> u16 {
        port(self.record().local_addr)
    }

    /// Host name that the listening address was configured with; None for a wildcard (ENV-56).
    pub fn local_hostname(&self) -> Option<&'r [u8]> {
        // SAFETY: httpd keeps the addresses of a connection as long as the connection.
        let address = unsafe { self.record().local_addr.as_ref() }?;
        // SAFETY: and their texts.
        unsafe { text::bytes(address.hostname) }
    }

    /// httpd's number of the connection, unique at a time.
    pub fn id(&self) -> i64 {
        self.record().id
    }

    /// Log id (`%{c}L`), if one was generated (ENV-58).
    pub fn log_id(&self) -> Option<&'r [u8]> {
        // SAFETY: text of the connection lives for 'r.
        unsafe { text::bytes(self.record().log_id) }
    }

    /// Whether httpd knows that the client is gone.
    pub fn is_aborted(&self) -> bool {
        // SAFETY: a live connection.
        unsafe { apache_sys::wsgi_shim_is_aborted(self.as_ptr()) != 0 }
    }

    /// Whether the client speaks TLS with this server (mod_ssl or another TLS module).
    pub fn is_https(&self) -> bool {
        // SAFETY: a live connection.
        unsafe { apache_sys::wsgi_shim_is_https(self.as_ptr()) != 0 }
    }

    /// Ends the connection at once and without a proper end (RST), by which the client knows that something is missing. For the
    /// main connection of HTTP/1 only.
    pub(super) fn reset(&self) {
        // SAFETY: a live connection; its socket lives as long.
        let socket = unsafe { apache_sys::ap_get_conn_socket(self.as_ptr()) };
        if !socket.is_null() {
            let mut descriptor = -1;
            // SAFETY: a live socket.
            let status = unsafe { apache_sys::apr_os_sock_get(&mut descriptor, socket) };
            if status == 0 {
                let linger = libc::linger {
                    l_onoff: 1,
                    l_linger: 0,
                };
                let length = libc::socklen_t::try_from(size_of_val(&linger))
                    .expect("the struct has a few bytes");
                // SAFETY: an open socket and a struct of the length given. A failure leaves an ordinary end, which is no worse.
                unsafe {
                    libc::setsockopt(
                        descriptor,
                        libc::SOL_SOCKET,
                        libc::SO_LINGER,
                        (&raw const linger).cast(),
                        length,
                    );
                }
            }
        }
        // SAFETY: a live connection. httpd closes an aborted one without the handshake of a lingering close.
        unsafe { apache_sys::wsgi_shim_mark_aborted(self.as_ptr()) };
    }

    /// Tells httpd that nothing can be sent any more: it closes the connection without a word.
    pub fn abort(&self) {
        // SAFETY: a live connection.
        unsafe { apache_sys::wsgi_shim_mark_aborted(self.as_ptr()) };
    }

    /// Descriptor to wait on for the client's bytes; None where the connection is a stream of another one (HTTP/2). Bytes that
    /// a filter has read already are not seen there: look for them first.
    pub fn socket(&self) -> Option<BorrowedFd<'r>> {
        if !self.record().master.is_null() {
            return None;
        }
        // SAFETY: a live connection; its socket lives as long.
        let socket = unsafe { apache_sys::ap_get_conn_socket(self.as_ptr()) };
        let mut descriptor = -1;
        // SAFETY: a live socket; one number is written.
        let known = !socket.is_null()
            && unsafe { apache_sys::apr_os_sock_get(&mut descriptor, socket) } == 0
            && descriptor >= 0;
        // SAFETY: httpd keeps the socket open as long as the connection.
        known.then(|| unsafe { BorrowedFd::borrow_raw(descriptor) })
    }

    /// Descriptor that becomes readable with the body of this stream of another connection; None where mod_http2 has none
    /// (before httpd 2.4.58).
    pub fn stream_descriptor(&self) -> Option<BorrowedFd<'r>> {
        if self.record().master.is_null() {
            return None;
        }
        // SAFETY: a live connection.
        let descriptor = unsafe { apache_sys::wsgi_shim_stream_descriptor(self.as_ptr()) };
        // SAFETY: mod_http2 keeps the pipe open as long as the stream has a request.
        (descriptor >= 0).then(|| unsafe { BorrowedFd::borrow_raw(descriptor) })
    }

    /// Timeout of each read from and write to the client; None if there is none.
    pub fn socket_timeout(&self) -> Option<Duration> {
        // SAFETY: a live connection; its socket lives as long.
        let socket = unsafe { apache_sys::ap_get_conn_socket(self.as_ptr()) };
        let mut micros = -1;
        if !socket.is_null() {
            // SAFETY: a live socket; one number is written.
            unsafe { apache_sys::apr_socket_timeout_get(socket, &mut micros) };
        }
        u64::try_from(micros).ok().map(Duration::from_micros)
    }

    /// Sets what [`Connection::socket_timeout`] gives. With HTTP/2 it is that of all streams of the client.
    pub fn set_socket_timeout(&self, timeout: Duration) {
        // SAFETY: a live connection; its socket lives as long.
        let socket = unsafe { apache_sys::ap_get_conn_socket(self.as_ptr()) };
        if !socket.is_null() {
            let micros = i64::try_from(timeout.as_micros()).unwrap_or(i64::MAX);
            // SAFETY: a live socket. A failure leaves the former timeout.
            unsafe { apache_sys::apr_socket_timeout_set(socket, micros) };
        }
    }

    /// Makes httpd close the connection after this answer.
    pub fn close_after_answer(&self) {
        // SAFETY: a live connection.
        unsafe { apache_sys::wsgi_shim_close_after_answer(self.as_ptr()) };
    }
}

fn port(address: *const apr_sockaddr_t) -> u16 {
    // SAFETY: httpd keeps the addresses of a connection as long as the connection.
    unsafe { address.as_ref() }.map_or(0, |address| address.port)
}
