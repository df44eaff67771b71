//! Why a daemon cannot start, in words that a person can act on.

use std::error::Error;
use std::io;
use std::path::PathBuf;

use wsgi_core::roster::NOT_LOADED;
use wsgi_runtime_api::runtime::RuntimeError;
use wsgi_sys::board::BoardError;
use wsgi_sys::identity::IdentityError;
use wsgi_sys::trust::TrustError;

use crate::log::Level;

/// Fewer descriptors than this are too few for Python and its modules, whatever of it was told that it cannot have one.
const FEW_DESCRIPTORS: u64 = 32;

/// The step of start-up that failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StartError {
    /// WSGI0003.
    #[error(
        "cannot change the root directory to '{path}' (chroot option) as {user}: {source}; the directory has to be \
         there, and Apache to be started as root"
    )]
    Chroot {
        /// The option.
        path: String,
        /// Who tried.
        user: String,
        /// The system's error.
        source: io::Error,
    },
    /// WSGI0004 to 0007.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// WSGI0009.
    #[error(
        "cannot change to the working directory '{path}' (home option) as {user}: {source}{hint}; let that user \
         enter it, or correct the home option"
    )]
    Home {
        /// The option.
        path: String,
        /// Who tried.
        user: String,
        /// The system's error.
        source: io::Error,
        /// What refuses, starting with a separator; empty if that is not known.
        hint: String,
    },
    /// WSGI0010.
    #[error(
        "cannot change to the home directory '{}' of {user}: {source}{hint}; create it, or name another one with the home option",
        path.display()
    )]
    UserHome {
        /// From the user database.
        path: PathBuf,
        /// Who tried.
        user: String,
        /// The system's error.
        source: io::Error,
        /// What refuses.
        hint: String,
    },
    /// WSGI0011.
    #[error(
        "uid {0} has no entry in the user database, so that there is no home directory; name one with the home option"
    )]
    NoUserEntry(u32),
    /// WSGI0027.
    #[error("cannot receive signals: {0}")]
    Signals(#[source] io::Error),
    /// WSGI0022.
    #[error(
        "cannot create request thread {ordinal}: {source}; see the limits of the user, and stack-size"
    )]
    Thread {
        /// From 1; 0 for the control thread of a service.
        ordinal: u32,
        /// The system's error.
        source: io::Error,
    },
    /// WSGI5207: other processes have it, so that this one is of no use.
    #[error(
        "the changed script '{0}' cannot be loaded, as the records before say; the processes of the group go on with the \
         code that they have. Mend the script, or touch it to have it tried again"
    )]
    NotLoaded(String),
    /// A board that is none.
    #[error(transparent)]
    Board(#[from] BoardError),
    /// Settings that do not fit the board.
    #[error("slot {slot} is not on the board, which has {slots}")]
    Slot {
        /// Given slot.
        slot: u32,
        /// Slots of the board.
        slots: u32,
    },
    /// The epoll set or its wake-up.
    #[error("cannot wait for requests: {0}")]
    Dispatch(#[source] io::Error),
    /// The runtime is not one that root may load.
    #[error("Python runtime: {0}")]
    Trust(#[from] TrustError),
    /// WSGI0028: the runtime.
    #[error(transparent)]
    Runtime(#[from] RuntimeError),
    /// WSGI0028: Python itself.
    #[error("{source} as {user}{home}; the records before this one say what Python lacks")]
    Python {
        /// Which runtime, and what it said.
        source: RuntimeError,
        /// Who tried.
        user: String,
        /// The Python home and what refuses to be passed on the way to it; empty without one.
        home: String,
    },
}

impl StartError {
    /// Number of the stable code.
    pub(crate) fn code(&self) -> u16 {
        match self {
            StartError::Chroot { .. } => 3,
            StartError::Identity(error) => error.code(),
            StartError::Home { .. } => 9,
            StartError::UserHome { .. } => 10,
            StartError::NoUserEntry(_) => 11,
            StartError::Signals(_) => 27,
            StartError::Thread { .. } => 22,
            StartError::Board(_) | StartError::Slot { .. } | StartError::Dispatch(_) => 5205,
            StartError::Trust(_) => 5206,
            StartError::NotLoaded(_) => NOT_LOADED,
            StartError::Runtime(_) | StartError::Python { .. } => 28,
        }
    }

    /// The end of the record where it is the limit of descriptors that the process has met, `limit` being that; empty otherwise.
    pub(crate) fn remedy(&self, limit: Option<u64>) -> String {
        let mut cause: Option<&(dyn Error + 'static)> = Some(self);
        let mut has_none = false;
        while let Some(error) = cause {
            let number = error
                .downcast_ref::<io::Error>()
                .and_then(io::Error::raw_os_error);
            has_none |= number == Some(libc::EMFILE);
            cause = error.source();
        }
        match limit {
            Some(limit) if has_none || limit < FEW_DESCRIPTORS => format!(
                "; this process may open {limit} files only: raise the limit that Apache is started with (LimitNOFILE, \
                 ulimit -n)"
            ),
            _ => String::new(),
        }
    }

    /// httpd's level of the record.
    pub(crate) fn level(&self) -> Level {
        match self {
            StartError::Runtime(_) | StartError::Python { .. } => Level::Critical,
            StartError::NotLoaded(_) => Level::Error,
            _ => Level::Alert,
        }
    }

    /// Code of the record that sums up, which log consumers know (DMN-118).
    pub(crate) fn summary_code(&self) -> Option<u16> {
        match self.code() {
            7 => Some(8),
            3..=6 | 9..=11 => Some(25),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// DMN-118: each step has its code, and the summary that 6.1 logs behind it.
    #[test]
    fn codes_are_those_of_the_specification() {
        let source = || io::Error::from_raw_os_error(libc::EACCES);
        let home = StartError::Home {
            path: "/srv/app".into(),
            user: "user 'x' (uid 7)".into(),
            source: source(),
            hint: String::new(),
        };
        assert_eq!((home.code(), home.summary_code()), (9, Some(25)));
        assert!(home.to_string().contains("/srv/app") && home.to_string().contains("uid 7"));
        let uid = StartError::Identity(IdentityError::SetUid {
            uid: 7,
            source: source(),
        });
        assert_eq!((uid.code(), uid.summary_code()), (7, Some(8)));
        assert_eq!(StartError::NoUserEntry(7).code(), 11);
        let thread = StartError::Thread {
            ordinal: 3,
            source: source(),
        };
        assert_eq!((thread.code(), thread.summary_code()), (22, None));
    }

    /// DMN-540: a limit that was met is named with its remedy, also where the one who met it hides the cause; other errors
    /// are not blamed on it.
    #[test]
    fn a_limit_of_descriptors_has_a_remedy() {
        let met = StartError::Dispatch(io::Error::from_raw_os_error(libc::EMFILE));
        assert!(met.remedy(Some(1024)).contains("LimitNOFILE"));
        let hidden = StartError::NotLoaded("/srv/app.wsgi".into());
        assert!(hidden.remedy(Some(9)).contains("9 files only"));
        assert_eq!(hidden.remedy(Some(1024)), "");
        let other = StartError::Signals(io::Error::from_raw_os_error(libc::EACCES));
        assert_eq!(other.remedy(Some(1024)), "");
    }
}
