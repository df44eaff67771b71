//! The listening socket of a daemon group. Made in the httpd parent, which is single-threaded: the umask is changed for
//! a moment.

use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::stream::{MAX_PATH, address_of, set_option};
use crate::{check, passwd};

/// What to bind.
#[derive(Clone, Debug)]
pub struct ListenerOptions {
    /// Path of the socket file.
    pub path: PathBuf,
    /// `listen-backlog`.
    pub backlog: i32,
    /// `send-buffer-size`, bytes; None leaves the system's.
    pub send_buffer: Option<i32>,
    /// `receive-buffer-size`, bytes; None leaves the system's.
    pub receive_buffer: Option<i32>,
    /// Owner of the socket file (`socket-user`, or Apache's User); None where Apache is not root (DMN-105).
    pub owner: Option<u32>,
}

/// Tells one socket file from another that was bound to the same path later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileIdentity {
    device: u64,
    inode: u64,
}

/// A bound, listening, non-blocking socket, mode 0700.
#[derive(Debug)]
pub struct Bound {
    /// The socket, close on exec.
    pub socket: OwnedFd,
    /// Of the socket file, for [`unlink_if_same`].
    pub file: FileIdentity,
    /// What to warn about.
    pub warnings: Vec<ListenWarning>,
}

/// Something that did not keep the listener from working.
#[derive(Debug, thiserror::Error)]
pub enum ListenWarning {
    /// WSGI0062.
    #[error("send buffer of {size} bytes for the socket '{path}' was not accepted: {source}")]
    SendBuffer {
        /// Wanted size, bytes.
        size: i32,
        /// Path of the socket.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// WSGI0063.
    #[error("receive buffer of {size} bytes for the socket '{path}' was not accepted: {source}")]
    ReceiveBuffer {
        /// Wanted size, bytes.
        size: i32,
        /// Path of the socket.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// WSGI0065.
    #[error("socket file '{path}' was left over and has been removed")]
    Replaced {
        /// Path of the socket.
        path: PathBuf,
    },
}

impl ListenWarning {
    /// Number of the stable code.
    pub fn code(&self) -> u16 {
        match self {
            ListenWarning::SendBuffer { .. } => 62,
            ListenWarning::ReceiveBuffer { .. } => 63,
            ListenWarning::Replaced { .. } => 65,
        }
    }
}

/// Why there is no listener.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// DMN-106: refused instead of cut off (WSGI0064).
    #[error(
        "the socket path '{path}' has {length} bytes, the system allows {MAX_PATH}; choose a shorter WSGISocketPrefix"
    )]
    PathTooLong {
        /// The path.
        path: PathBuf,
        /// Its length in bytes.
        length: usize,
    },
    /// WSGI0012.
    #[error("cannot create a socket for '{path}': {source}")]
    Socket {
        /// The path.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// WSGI0013.
    #[error(
        "cannot bind the socket '{path}' as {user}: {source}; choose a folder that Apache can write with WSGISocketPrefix"
    )]
    Bind {
        /// The path.
        path: PathBuf,
        /// Who tried.
        user: String,
        /// The system's error.
        source: io::Error,
    },
    /// WSGI0014.
    #[error("cannot listen on the socket '{path}': {source}")]
    Listen {
        /// The path.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// WSGI0015.
    #[error("cannot give the socket '{path}' to {owner}: {source}")]
    Owner {
        /// The path.
        path: PathBuf,
        /// Who should own it.
        owner: String,
        /// The system's error.
        source: io::Error,
    },
}

impl ListenError {
    /// Number of the stable code.
    pub fn code(&self) -> u16 {
        match self {
            ListenError::PathTooLong { .. } => 64,
            ListenError::Socket { .. } => 12,
            ListenError::Bind { .. } => 13,
            ListenError::Listen { .. } => 14,
            ListenError::Owner { .. } => 15,
        }
    }
}

/// Restores the umask when it goes out of scope.
struct Umask(libc::mode_t);

impl Umask {
    fn set(mask: libc::mode_t) -> Umask {
        // SAFETY: plain call that cannot fail.
        Umask(unsafe { libc::umask(mask) })
    }
}

impl Drop for Umask {
    fn drop(&mut self) {
        // SAFETY: as above.
        unsafe { libc::umask(self.0) };
    }
}

/// Binds and listens. A file that is in the way is removed (its owner is gone, or is about to be replaced).
///
/// # Errors
/// Each step has its own; a bound file is removed again when a later step fails.
pub fn bind(options: &ListenerOptions) -> Result<Bound, ListenError> {
    let path = &options.path;
    let Ok((address, length)) = address_of(path) else {
        let length = path.as_os_str().len();
        return Err(ListenError::PathTooLong {
            path: path.clone(),
            length,
        });
    };
    let kind = libc::SOCK_STREAM | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
    // SAFETY: plain call.
    let raw = check(unsafe { libc::socket(libc::AF_UNIX, kind, 0) }).map_err(|source| {
        ListenError::Socket {
            path: path.clone(),
            source,
        }
    })?;
    // SAFETY: just made, nobody else owns it.
    let socket = unsafe { OwnedFd::from_raw_fd(raw) };
    let mut warnings = Vec::new();
    if let Some(size) = options.send_buffer {
        if let Err(source) = set_option(socket.as_fd(), libc::SO_SNDBUF, &size) {
            warnings.push(ListenWarning::SendBuffer {
                size,
                path: path.clone(),
                source,
            });
        }
    }
    if let Some(size) = options.receive_buffer {
        if let Err(source) = set_option(socket.as_fd(), libc::SO_RCVBUF, &size) {
            warnings.push(ListenWarning::ReceiveBuffer {
                size,
                path: path.clone(),
                source,
            });
        }
    }
    let bind_now = || {
        let _umask = Umask::set(0o077);
        // SAFETY: the address is valid for its length during the call.
        check(unsafe { libc::bind(socket.as_raw_fd(), (&raw const address).cast(), length) })
    };
    let mut bound = bind_now();
    if bound
        .as_ref()
        .is_err_and(|error| error.kind() == io::ErrorKind::AddrInUse)
        && std::fs::remove_file(path).is_ok()
    {
        warnings.push(ListenWarning::Replaced { path: path.clone() });
        bound = bind_now();
    }
    bound.map_err(|source| ListenError::Bind {
        path: path.clone(),
        user: passwd::describe_user(crate::process::effective_uid()),
        source,
    })?;
    finish(options, socket, warnings).inspect_err(|_| {
        // The error that is reported is the step's; a file that cannot be removed is replaced at the next start.
        let _ = std::fs::remove_file(path);
    })
}

fn finish(
    options: &ListenerOptions,
    socket: OwnedFd,
    warnings: Vec<ListenWarning>,
) -> Result<Bound, ListenError> {
    let path = &options.path;
    // SAFETY: plain call on an owned descriptor.
    check(unsafe { libc::listen(socket.as_raw_fd(), options.backlog) }).map_err(|source| {
        ListenError::Listen {
            path: path.clone(),
            source,
        }
    })?;
    let file = identity_of(path).map_err(|source| ListenError::Listen {
        path: path.clone(),
        source,
    })?;
    if let Some(owner) = options.owner {
        std::os::unix::fs::lchown(path, Some(owner), None).map_err(|source| {
            ListenError::Owner {
                path: path.clone(),
                owner: passwd::describe_user(owner),
                source,
            }
        })?;
    }
    Ok(Bound {
        socket,
        file,
        warnings,
    })
}

fn identity_of(path: &Path) -> io::Result<FileIdentity> {
    let metadata = std::fs::symlink_metadata(path)?;
    Ok(FileIdentity {
        device: metadata.dev(),
        inode: metadata.ino(),
    })
}

/// Removes the socket file if it is still the one that was bound; true if it was. A missing file is fine (false).
///
/// # Errors
/// It cannot be looked at or removed (WSGI0073).
pub fn unlink_if_same(path: &Path, file: FileIdentity) -> io::Result<bool> {
    match identity_of(path) {
        Ok(found) if found == file => std::fs::remove_file(path).map(|()| true),
        Ok(_) => Ok(false),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stream;
    use std::os::unix::fs::PermissionsExt;

    fn options(path: PathBuf) -> ListenerOptions {
        ListenerOptions {
            path,
            backlog: 5,
            send_buffer: Some(65536),
            receive_buffer: None,
            owner: None,
        }
    }

    /// DMN-104, DMN-641: mode 0700; a file in the way is removed and reported.
    #[test]
    fn a_left_over_file_is_replaced_and_reported() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s.sock");
        let first = bind(&options(path.clone())).unwrap();
        assert!(first.warnings.is_empty());
        assert_eq!(
            std::fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o700
        );
        let second = bind(&options(path.clone())).unwrap();
        assert!(matches!(
            second.warnings[..],
            [ListenWarning::Replaced { .. }]
        ));
        assert!(!unlink_if_same(&path, first.file).unwrap() || first.file == second.file);
        let client = stream::socket().unwrap();
        stream::connect(client.as_fd(), &path).unwrap();
        stream::accept(second.socket.as_fd()).unwrap();
        let error = stream::accept(second.socket.as_fd()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
        assert!(unlink_if_same(&path, second.file).unwrap());
        assert!(!unlink_if_same(&path, second.file).unwrap());
    }

    /// DMN-106: too long is an error, not a cut path.
    #[test]
    fn a_long_path_is_refused() {
        let error = bind(&options(PathBuf::from(format!("/tmp/{}", "x".repeat(200))))).unwrap_err();
        assert!(matches!(
            error,
            ListenError::PathTooLong { length: 205, .. }
        ));
        assert_eq!(error.code(), 64);
    }

    #[test]
    fn a_missing_folder_is_told_with_path_and_user() {
        let error = bind(&options(PathBuf::from("/nonexistent/x.sock"))).unwrap_err();
        assert_eq!(error.code(), 13);
        assert!(error.to_string().contains("/nonexistent/x.sock"), "{error}");
    }

    /// DIR-064: what cannot be listened on has WSGI0014.
    #[test]
    fn a_socket_that_cannot_listen_is_told() {
        let path = tempfile::tempdir().unwrap().path().join("s.sock");
        // Sockets for datagrams cannot.
        let (socket, _other) = std::os::unix::net::UnixDatagram::pair().unwrap();
        let error = finish(&options(path.clone()), socket.into(), Vec::new()).unwrap_err();
        assert_eq!(error.code(), 14);
        assert!(
            error.to_string().contains(path.to_str().unwrap()),
            "{error}"
        );
    }

    /// DIR-064: a socket that cannot be given away has WSGI0015, and no file is left.
    #[test]
    fn an_owner_that_cannot_be_set_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let open = std::fs::Permissions::from_mode(0o777);
        std::fs::set_permissions(folder.path(), open).unwrap();
        let path = folder.path().join("s.sock");
        let mut options = options(path.clone());
        options.owner = Some(0);
        // Root may give files away, so this thread is somebody else as far as files go. Others are not allowed to change that, and
        // need not.
        // SAFETY: plain call, for this thread only.
        let own = unsafe { libc::setfsuid(65534) };
        let result = bind(&options);
        // SAFETY: as above.
        unsafe { libc::setfsuid(u32::try_from(own).unwrap()) };
        let error = result.unwrap_err();
        assert_eq!(error.code(), 15);
        let text = error.to_string();
        assert!(
            text.contains(path.to_str().unwrap()) && text.contains("root"),
            "{text}"
        );
        assert!(!path.exists());
    }

    /// DIR-064: without descriptors there is no socket, WSGI0012. In a process of its own, which opens nothing any more.
    #[test]
    fn a_socket_that_cannot_be_made_is_told() {
        const NAME: &str = "listener::tests::a_socket_that_cannot_be_made_is_told";
        if std::env::var_os(NAME).is_none() {
            let output = std::process::Command::new(std::env::current_exe().unwrap())
                .args(["--exact", NAME])
                .env(NAME, "1")
                .output()
                .unwrap();
            let says = String::from_utf8_lossy(&output.stdout);
            assert!(
                output.status.success() && says.contains("1 passed"),
                "{says}"
            );
            return;
        }
        let mut limit = libc::rlimit {
            rlim_cur: 0,
            rlim_max: 0,
        };
        // SAFETY: the limit is valid during the call.
        check(unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) }).unwrap();
        limit.rlim_cur = 0;
        // SAFETY: as above.
        check(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) }).unwrap();
        let error = bind(&options(PathBuf::from("/nonexistent/x.sock"))).unwrap_err();
        assert_eq!(error.code(), 12);
        assert!(error.to_string().contains("/nonexistent/x.sock"), "{error}");
    }
}
