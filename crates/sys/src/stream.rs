//! The AF_UNIX streams between Apache children and daemons: connect, accept, sending several slices at once with an
//! optional descriptor, receiving with at most one. Any thread; a stream is used by one thread at a time.
//!
//! Calls are repeated after EINTR. A passed timeout (SO_RCVTIMEO, SO_SNDTIMEO) is `WouldBlock`, as from the kernel.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::{MaybeUninit, size_of};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::Duration;

use crate::{check, check_len};

/// Whether a receive waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// Until data, end, or the socket's timeout.
    Block,
    /// Not at all: `WouldBlock` where nothing is there.
    No,
}

impl Wait {
    fn flag(self) -> libc::c_int {
        match self {
            Wait::Block => 0,
            Wait::No => libc::MSG_DONTWAIT,
        }
    }
}

/// Who is at the other end, as of its connect (or bind).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Process.
    pub pid: i32,
    /// Effective user.
    pub uid: u32,
    /// Effective group.
    pub gid: u32,
}

/// Most slices that one sendmsg takes.
const MAX_SLICES: usize = 1024;

/// Room for the control message of one descriptor, aligned as `cmsghdr` wants it. Three descriptors fit, so that extra
/// ones are seen and closed instead of being cut off.
#[repr(C, align(8))]
struct ControlBuffer([u8; 64]);

/// Sends all slices in order, and `descriptor` with their first byte. The slices are consumed on the way.
///
/// # Errors
/// `WouldBlock` when the socket's send timeout passes without progress; `BrokenPipe` or `ConnectionReset` when the peer
/// is gone. Part of the bytes may have been sent: the stream is unusable after an error.
pub fn send_all(
    socket: BorrowedFd<'_>,
    mut slices: &mut [IoSlice<'_>],
    mut descriptor: Option<BorrowedFd<'_>>,
) -> io::Result<()> {
    // Takes away leading empty slices, so that no empty message is sent.
    IoSlice::advance_slices(&mut slices, 0);
    while !slices.is_empty() {
        let sent = send_once(socket, slices, descriptor, 0)?;
        descriptor = None;
        IoSlice::advance_slices(&mut slices, sent);
    }
    Ok(())
}

/// Sends what fits without waiting, and `descriptor` with the first byte. Returns the number of bytes sent.
///
/// # Errors
/// `WouldBlock` when nothing fits; else as [`send_all`].
pub fn send_some(
    socket: BorrowedFd<'_>,
    slices: &[IoSlice<'_>],
    descriptor: Option<BorrowedFd<'_>>,
) -> io::Result<usize> {
    send_once(socket, slices, descriptor, libc::MSG_DONTWAIT)
}

fn send_once(
    socket: BorrowedFd<'_>,
    slices: &[IoSlice<'_>],
    descriptor: Option<BorrowedFd<'_>>,
    flags: libc::c_int,
) -> io::Result<usize> {
    let slices = &slices[..slices.len().min(MAX_SLICES)];
    let mut control = ControlBuffer([0; 64]);
    let mut message = empty_message();
    // IoSlice has the layout of iovec by its documentation; sendmsg only reads through the pointer.
    message.msg_iov = slices.as_ptr().cast::<libc::iovec>().cast_mut();
    message.msg_iovlen = slices.len();
    if let Some(descriptor) = descriptor {
        put_descriptor(&mut message, &mut control, descriptor);
    }
    loop {
        // SAFETY: every pointer of the message is valid for its length during the call.
        let sent =
            unsafe { libc::sendmsg(socket.as_raw_fd(), &message, flags | libc::MSG_NOSIGNAL) };
        match check_len(sent) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            other => return other,
        }
    }
}

fn empty_message() -> libc::msghdr {
    // SAFETY: all-zero is a valid msghdr: null pointers with lengths of zero.
    unsafe { MaybeUninit::<libc::msghdr>::zeroed().assume_init() }
}

const DESCRIPTOR_LEN: u32 = size_of::<RawFd>() as u32;

fn put_descriptor(
    message: &mut libc::msghdr,
    control: &mut ControlBuffer,
    descriptor: BorrowedFd<'_>,
) {
    message.msg_control = control.0.as_mut_ptr().cast();
    // SAFETY: pure arithmetic.
    message.msg_controllen = unsafe { libc::CMSG_SPACE(DESCRIPTOR_LEN) } as _;
    // SAFETY: the message has a control buffer of sufficient size.
    let header = unsafe { libc::CMSG_FIRSTHDR(message) };
    // SAFETY: not null, because the buffer is longer than a header, aligned, and borrowed by nobody else.
    let header = unsafe { &mut *header };
    header.cmsg_level = libc::SOL_SOCKET;
    header.cmsg_type = libc::SCM_RIGHTS;
    // SAFETY: pure arithmetic.
    header.cmsg_len = unsafe { libc::CMSG_LEN(DESCRIPTOR_LEN) } as _;
    // SAFETY: the data of the header lies within the buffer, by its length above.
    let data = unsafe { libc::CMSG_DATA(header) };
    // SAFETY: room for one int, at an address that need not be aligned for it.
    unsafe { data.cast::<RawFd>().write_unaligned(descriptor.as_raw_fd()) };
}

/// Receives at most `buffer.len()` bytes; 0 is the end of the stream. Descriptors that came along are closed.
///
/// # Errors
/// `WouldBlock` for nothing there or a passed timeout.
pub fn receive(socket: BorrowedFd<'_>, buffer: &mut [u8], wait: Wait) -> io::Result<usize> {
    loop {
        // recv without a control buffer: the kernel drops descriptors that come along.
        // SAFETY: the buffer is valid for writes of its length during the call.
        let received = unsafe {
            libc::recv(
                socket.as_raw_fd(),
                buffer.as_mut_ptr().cast(),
                buffer.len(),
                wait.flag(),
            )
        };
        match check_len(received) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            other => return other,
        }
    }
}

/// How many bytes could be received at once, up to one; 0 at the end of the stream.
///
/// # Errors
/// `WouldBlock` for none so far.
pub fn peek(socket: BorrowedFd<'_>) -> io::Result<usize> {
    use nix::sys::socket::{MsgFlags, recv};
    let flags = MsgFlags::MSG_PEEK | MsgFlags::MSG_DONTWAIT;
    Ok(recv(socket.as_raw_fd(), &mut [0], flags)?)
}

/// Receives to memory that was never written, and what does not fit there to `rest`. Returns the written part of
/// `first`, and the number of bytes in `rest`; both empty is the end of the stream.
///
/// # Errors
/// As [`receive`].
pub fn receive_split<'b>(
    socket: BorrowedFd<'_>,
    first: &'b mut [MaybeUninit<u8>],
    rest: &mut [u8],
    wait: Wait,
) -> io::Result<(&'b mut [u8], usize)> {
    let mut vectors = [
        libc::iovec {
            iov_base: first.as_mut_ptr().cast(),
            iov_len: first.len(),
        },
        libc::iovec {
            iov_base: rest.as_mut_ptr().cast(),
            iov_len: rest.len(),
        },
    ];
    let mut message = empty_message();
    message.msg_iov = vectors.as_mut_ptr();
    message.msg_iovlen = vectors.len();
    let received = loop {
        // SAFETY: both vectors are valid for writes of their lengths during the call, and do not overlap.
        let received = unsafe { libc::recvmsg(socket.as_raw_fd(), &mut message, wait.flag()) };
        match check_len(received) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
            Ok(received) => break received,
        }
    };
    let in_first = received.min(first.len());
    // SAFETY: the call has written the first `in_first` bytes of it.
    let written =
        unsafe { std::slice::from_raw_parts_mut(first.as_mut_ptr().cast::<u8>(), in_first) };
    Ok((written, received - in_first))
}

/// Receives bytes and at most one descriptor (close on exec); more of them are closed. The descriptor belongs to the
/// frame whose first byte is among the received ones: the kernel never merges bytes over a descriptor.
///
/// # Errors
/// As [`receive`].
pub fn receive_with_descriptor(
    socket: BorrowedFd<'_>,
    buffer: &mut [u8],
    wait: Wait,
) -> io::Result<(usize, Option<OwnedFd>)> {
    let mut control = ControlBuffer([0; 64]);
    let mut vectors = [IoSliceMut::new(buffer)];
    let received = loop {
        let mut message = empty_message();
        // IoSliceMut has the layout of iovec by its documentation.
        message.msg_iov = vectors.as_mut_ptr().cast();
        message.msg_iovlen = 1;
        message.msg_control = control.0.as_mut_ptr().cast();
        message.msg_controllen = control.0.len() as _;
        let flags = wait.flag() | libc::MSG_CMSG_CLOEXEC;
        // SAFETY: buffer and control buffer are valid for writes of their lengths during the call.
        let received = unsafe { libc::recvmsg(socket.as_raw_fd(), &mut message, flags) };
        match check_len(received) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
            Ok(received) => break (received, take_descriptor(&message)),
        }
    };
    Ok(received)
}

/// The first descriptor of a received message; the others are closed by being dropped.
fn take_descriptor(message: &libc::msghdr) -> Option<OwnedFd> {
    let mut first = None;
    // SAFETY: recvmsg has filled the control buffer of this message, which is still alive.
    let mut header = unsafe { libc::CMSG_FIRSTHDR(message) };
    while !header.is_null() {
        // SAFETY: not null, and within the control buffer by CMSG_FIRSTHDR and CMSG_NXTHDR.
        let fields = unsafe { header.read_unaligned() };
        if fields.cmsg_level == libc::SOL_SOCKET && fields.cmsg_type == libc::SCM_RIGHTS {
            // SAFETY: pure arithmetic.
            let prefix = unsafe { libc::CMSG_LEN(0) } as usize;
            let count = (fields.cmsg_len as usize).saturating_sub(prefix) / size_of::<RawFd>();
            // SAFETY: the header is valid.
            let data = unsafe { libc::CMSG_DATA(header) }.cast::<RawFd>();
            for index in 0..count {
                // SAFETY: the kernel wrote `count` descriptors behind this header.
                let at = unsafe { data.add(index) };
                // SAFETY: as above; the address need not be aligned.
                let raw = unsafe { at.read_unaligned() };
                // SAFETY: the kernel has just made this descriptor for us.
                let descriptor = unsafe { OwnedFd::from_raw_fd(raw) };
                first.get_or_insert(descriptor);
            }
        }
        // SAFETY: message and header are valid.
        header = unsafe { libc::CMSG_NXTHDR(message, header) };
    }
    first
}

/// Accepts a connection: blocking, close on exec. The listener should be non-blocking.
///
/// # Errors
/// `WouldBlock` when another process was faster; EMFILE, ENFILE, ENOMEM when resources are short.
pub fn accept(listener: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    loop {
        // SAFETY: null address and length are allowed.
        let accepted = unsafe {
            libc::accept4(
                listener.as_raw_fd(),
                std::ptr::null_mut(),
                std::ptr::null_mut(),
                libc::SOCK_CLOEXEC,
            )
        };
        match check(accepted) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
            // SAFETY: just made, nobody else owns it.
            Ok(raw) => return Ok(unsafe { OwnedFd::from_raw_fd(raw) }),
        }
    }
}

/// A new AF_UNIX stream socket: blocking, close on exec.
///
/// # Errors
/// No descriptors left (WSGI0115 in a child).
pub fn socket() -> io::Result<OwnedFd> {
    // SAFETY: plain call.
    let raw = unsafe { libc::socket(libc::AF_UNIX, libc::SOCK_STREAM | libc::SOCK_CLOEXEC, 0) };
    let raw = check(raw)?;
    // SAFETY: just made, nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(raw) })
}

/// Connects to the listener at `path`. While its backlog is full the kernel waits, bounded by the socket's send timeout
/// ([`set_timeouts`]), then it is `WouldBlock`; a non-blocking socket gets that at once.
///
/// # Errors
/// `ConnectionRefused` where nobody listens, `NotFound` without a file, `InvalidInput` for a path that is too long.
pub fn connect(socket: BorrowedFd<'_>, path: &Path) -> io::Result<()> {
    let (address, length) = address_of(path)?;
    loop {
        // SAFETY: the address is valid for its length during the call.
        let result =
            unsafe { libc::connect(socket.as_raw_fd(), (&raw const address).cast(), length) };
        match check(result) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
            Ok(_) => return Ok(()),
        }
    }
}

/// Longest path of a socket, bytes (without the final NUL).
pub const MAX_PATH: usize = size_of::<libc::sockaddr_un>() - 2 - 1;

pub(crate) fn address_of(path: &Path) -> io::Result<(libc::sockaddr_un, libc::socklen_t)> {
    let bytes = path.as_os_str().as_bytes();
    if bytes.is_empty() || bytes.len() > MAX_PATH || bytes.contains(&0) {
        let text = format!(
            "a socket path has 1 to {MAX_PATH} bytes, not {}",
            bytes.len()
        );
        return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
    }
    // SAFETY: all-zero is a valid sockaddr_un.
    let mut address = unsafe { MaybeUninit::<libc::sockaddr_un>::zeroed().assume_init() };
    address.sun_family = libc::AF_UNIX as libc::sa_family_t;
    for (target, byte) in address.sun_path.iter_mut().zip(bytes.iter().copied()) {
        *target = byte as libc::c_char;
    }
    Ok((address, size_of::<libc::sockaddr_un>() as libc::socklen_t))
}

/// Sets receive and send timeout of a socket; None is for ever.
///
/// # Errors
/// A failed system call.
pub fn set_timeouts(socket: BorrowedFd<'_>, timeout: Option<Duration>) -> io::Result<()> {
    // Zero means "for ever" to the kernel, so that the shortest timeout is a microsecond.
    let timeout = timeout.map_or(Duration::ZERO, |t| t.max(Duration::from_micros(1)));
    let value = libc::timeval {
        tv_sec: libc::time_t::try_from(timeout.as_secs()).unwrap_or(libc::time_t::MAX),
        tv_usec: libc::suseconds_t::from(timeout.subsec_micros()),
    };
    for option in [libc::SO_RCVTIMEO, libc::SO_SNDTIMEO] {
        set_option(socket, option, &value)?;
    }
    Ok(())
}

pub(crate) fn set_option<T>(
    socket: BorrowedFd<'_>,
    option: libc::c_int,
    value: &T,
) -> io::Result<()> {
    // SAFETY: the value is valid for its size; the kernel checks the size against the option.
    check(unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            option,
            (&raw const *value).cast(),
            size_of::<T>() as libc::socklen_t,
        )
    })?;
    Ok(())
}

/// Who connected.
///
/// # Errors
/// Not a connected AF_UNIX socket.
pub fn peer(socket: BorrowedFd<'_>) -> io::Result<Peer> {
    use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};
    let credentials = getsockopt(&socket, PeerCredentials)?;
    Ok(Peer {
        pid: credentials.pid(),
        uid: credentials.uid(),
        gid: credentials.gid(),
    })
}

/// Which directions [`shutdown`] ends.
pub use nix::sys::socket::Shutdown;

/// Ends a connection for all who share it, also for processes that inherited it over fork. A peer that is gone already
/// is no matter.
pub fn shutdown(socket: BorrowedFd<'_>, how: Shutdown) {
    let _ = nix::sys::socket::shutdown(socket.as_raw_fd(), how);
}

#[cfg(test)]
mod tests;
