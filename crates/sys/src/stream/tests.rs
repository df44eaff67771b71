//! Streams over pairs of sockets.

use super::*;
use std::io::{Read, Seek, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;

#[test]
fn slices_arrive_in_order_whatever_their_size() {
    let (near, mut far) = UnixStream::pair().unwrap();
    let big = vec![b'b'; 1 << 20];
    let reader = std::thread::spawn(move || {
        let mut all = Vec::new();
        far.read_to_end(&mut all).unwrap();
        all
    });
    let many: Vec<&[u8]> = vec![b"x"; 3000];
    let mut slices: Vec<IoSlice<'_>> = [&b""[..], b"head", &big]
        .iter()
        .chain(&many)
        .map(|b| IoSlice::new(b))
        .collect();
    send_all(near.as_fd(), &mut slices, None).unwrap();
    drop(near);
    let all = reader.join().unwrap();
    assert_eq!(all.len(), 4 + big.len() + 3000);
    assert!(all.starts_with(b"headbbb") && all.ends_with(b"xxx"));
}

#[test]
fn a_descriptor_comes_with_its_first_byte_and_is_close_on_exec() {
    let (near, far) = UnixStream::pair().unwrap();
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(b"content").unwrap();
    send_all(near.as_fd(), &mut [IoSlice::new(b"before")], None).unwrap();
    send_all(
        near.as_fd(),
        &mut [IoSlice::new(b"file")],
        Some(file.as_fd()),
    )
    .unwrap();
    send_all(near.as_fd(), &mut [IoSlice::new(b"after")], None).unwrap();
    let mut got = Vec::new();
    let mut descriptors = Vec::new();
    let mut buffer = [0; 64];
    while got.len() < 15 {
        let (length, descriptor) =
            receive_with_descriptor(far.as_fd(), &mut buffer, Wait::Block).unwrap();
        got.extend_from_slice(&buffer[..length]);
        descriptors.extend(descriptor);
    }
    assert_eq!(got, b"beforefileafter");
    let mut received = std::fs::File::from(descriptors.pop().unwrap());
    assert!(descriptors.is_empty());
    let mut text = String::new();
    received.rewind().unwrap();
    received.read_to_string(&mut text).unwrap();
    assert_eq!(text, "content");
    // SAFETY: plain call on an owned descriptor.
    let flags = unsafe { libc::fcntl(received.as_raw_fd(), libc::F_GETFD) };
    assert_eq!(flags & libc::FD_CLOEXEC, libc::FD_CLOEXEC);
}

#[test]
fn a_split_receive_fills_the_first_part_first() {
    let (mut near, far) = UnixStream::pair().unwrap();
    near.write_all(b"abcdef").unwrap();
    let mut first = [MaybeUninit::uninit(); 4];
    let mut rest = [0; 8];
    let (written, more) = receive_split(far.as_fd(), &mut first, &mut rest, Wait::Block).unwrap();
    assert_eq!((&*written, more), (&b"abcd"[..], 2));
    assert_eq!(&rest[..2], b"ef");
    near.write_all(b"g").unwrap();
    let (written, more) = receive_split(far.as_fd(), &mut first, &mut rest, Wait::Block).unwrap();
    assert_eq!((&*written, more), (&b"g"[..], 0));
    drop(near);
    let (written, more) = receive_split(far.as_fd(), &mut first, &mut rest, Wait::Block).unwrap();
    assert_eq!((written.len(), more), (0, 0));
}

#[test]
fn a_timeout_is_would_block_and_a_lost_peer_is_broken_pipe() {
    let (near, far) = UnixStream::pair().unwrap();
    set_timeouts(near.as_fd(), Some(Duration::ZERO)).unwrap();
    let mut buffer = [0; 4];
    let error = receive(near.as_fd(), &mut buffer, Wait::Block).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
    drop(far);
    let error = send_all(near.as_fd(), &mut [IoSlice::new(b"x")], None).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
}

#[test]
fn the_peer_of_a_pair_is_this_process() {
    let (near, _far) = UnixStream::pair().unwrap();
    let peer = peer(near.as_fd()).unwrap();
    assert_eq!(peer.pid, nix::unistd::getpid().as_raw());
}

#[test]
fn a_path_that_is_too_long_is_refused_not_cut() {
    let socket = socket().unwrap();
    let path = format!("/{}", "x".repeat(MAX_PATH));
    let error = connect(socket.as_fd(), Path::new(&path)).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
}
