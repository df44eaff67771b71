//! Starting another program with given descriptors at given numbers, nothing else open, default signals. Called in the
//! supervisor, which is single-threaded.

use std::ffi::{CString, OsStr, OsString};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use crate::{check, check_len, signals};

/// What to start.
#[derive(Debug)]
pub struct Program<'a> {
    /// Absolute path.
    pub path: &'a Path,
    /// `argv[0]`; there are no other arguments.
    pub name: &'a OsStr,
    /// The whole environment.
    pub environment: &'a [(OsString, OsString)],
    /// Descriptors and the numbers they get. Everything else is closed, 0 to 2 included if they are not named here.
    pub descriptors: &'a [(BorrowedFd<'a>, RawFd)],
    /// Sent to the new process when the caller ends (SIGKILL, or None).
    pub parent_death_signal: Option<i32>,
}

/// Which step failed.
#[derive(Debug, thiserror::Error)]
pub enum ExecError {
    /// Path, name or environment holds a NUL.
    #[error("cannot start {path:?}: a NUL byte in {what}")]
    Nul {
        /// Program.
        path: std::path::PathBuf,
        /// Where.
        what: &'static str,
    },
    /// No process (WSGI0024).
    #[error("cannot fork for {path:?}: {source}")]
    Fork {
        /// Program.
        path: std::path::PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// The new process could not become the program.
    #[error("cannot execute {path:?}: {source}")]
    Exec {
        /// Program.
        path: std::path::PathBuf,
        /// The system's error.
        source: io::Error,
    },
}

impl ExecError {
    /// The system's error; None if the system was not asked.
    pub fn system_error(&self) -> Option<&io::Error> {
        match self {
            ExecError::Nul { .. } => None,
            ExecError::Fork { source, .. } | ExecError::Exec { source, .. } => Some(source),
        }
    }
}

/// Starts the program and returns its pid once it has begun to run. The caller reaps it.
///
/// # Errors
/// See [`ExecError`]; a child that could not execute the program has been reaped.
pub fn spawn(program: &Program<'_>) -> Result<i32, ExecError> {
    let path = || program.path.to_owned();
    let c_string =
        |bytes: &[u8], what| CString::new(bytes).map_err(|_| ExecError::Nul { path: path(), what });
    let file = c_string(program.path.as_os_str().as_bytes(), "its path")?;
    let name = c_string(program.name.as_bytes(), "its name")?;
    let variables: Vec<CString> = program
        .environment
        .iter()
        .map(|(name, value)| {
            c_string(
                &[name.as_bytes(), b"=", value.as_bytes()].concat(),
                "its environment",
            )
        })
        .collect::<Result<_, _>>()?;
    let argv = [name.as_ptr(), std::ptr::null()];
    let mut envp: Vec<*const libc::c_char> = variables.iter().map(|v| v.as_ptr()).collect();
    envp.push(std::ptr::null());

    let fork_failed = |source| ExecError::Fork {
        path: path(),
        source,
    };
    // Above all target numbers, so that a dup2 never overwrites a source or the report pipe.
    let floor = program
        .descriptors
        .iter()
        .map(|(_, target)| *target + 1)
        .max()
        .unwrap_or(0)
        .max(3);
    let mut moved = Vec::with_capacity(program.descriptors.len());
    for (source, target) in program.descriptors {
        moved.push((
            duplicate_above(source.as_raw_fd(), floor + 1).map_err(fork_failed)?,
            *target,
        ));
    }
    let mut ends: [RawFd; 2] = [-1; 2];
    // SAFETY: the array has room for the two descriptors that the call writes.
    check(unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC) }).map_err(fork_failed)?;
    // SAFETY: just made, nobody else owns it.
    let report = unsafe { OwnedFd::from_raw_fd(ends[0]) };
    // SAFETY: as above.
    let low = unsafe { OwnedFd::from_raw_fd(ends[1]) };
    let reporter = duplicate_above(low.as_raw_fd(), floor + 1).map_err(fork_failed)?;
    // The read below ends when the last write end is closed, so this one must not be kept.
    drop(low);

    let plan = Plan {
        moved: &moved,
        reporter: reporter.as_raw_fd(),
        floor,
        death_signal: program.parent_death_signal,
        // SAFETY: plain call.
        parent: unsafe { libc::getpid() },
    };
    let blocked = signals::Blocked::all();
    // SAFETY: the child calls async-signal-safe functions only, and never returns.
    let pid = unsafe { libc::fork() };
    if pid == 0 {
        let errno = become_program(&plan, &file, &argv, &envp);
        plan.report_and_exit(errno);
    }
    drop(blocked);
    let pid = check(pid).map_err(fork_failed)?;
    drop(reporter);
    let mut errno = [0_u8; 4];
    // SAFETY: the buffer is valid for writes of its length.
    let length = unsafe { libc::read(report.as_raw_fd(), errno.as_mut_ptr().cast(), errno.len()) };
    match check_len(length) {
        Ok(4) => {
            // SAFETY: plain call; the child is about to exit.
            unsafe { libc::waitpid(pid, std::ptr::null_mut(), 0) };
            let source = io::Error::from_raw_os_error(i32::from_ne_bytes(errno));
            Err(ExecError::Exec {
                path: path(),
                source,
            })
        }
        // The pipe was closed by a successful exec. A read that failed tells nothing; the caller sees the child end.
        _ => Ok(pid),
    }
}

/// A duplicate with a number of at least `floor`, close on exec.
fn duplicate_above(descriptor: RawFd, floor: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: plain call.
    let raw = check(unsafe { libc::fcntl(descriptor, libc::F_DUPFD_CLOEXEC, floor) })?;
    // SAFETY: just made, nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(raw) })
}

/// What the child needs, made before the fork: it must not allocate.
struct Plan<'a> {
    moved: &'a [(OwnedFd, RawFd)],
    reporter: RawFd,
    floor: RawFd,
    death_signal: Option<i32>,
    parent: i32,
}

impl Plan<'_> {
    fn report_and_exit(&self, errno: i32) -> ! {
        let bytes = errno.to_ne_bytes();
        // After the descriptors were arranged the pipe is at `floor`, before at its own number.
        for number in [self.reporter, self.floor] {
            // SAFETY: async-signal-safe; four valid bytes; a number that is not open fails.
            if unsafe { libc::write(number, bytes.as_ptr().cast(), bytes.len()) } == 4 {
                break;
            }
        }
        // SAFETY: async-signal-safe; ends the process.
        unsafe { libc::_exit(127) }
    }
}

/// In the child: returns only on failure, with errno.
fn become_program(
    plan: &Plan<'_>,
    file: &CString,
    argv: &[*const libc::c_char],
    envp: &[*const libc::c_char],
) -> i32 {
    match arrange(plan) {
        // SAFETY: NUL-terminated strings and null-terminated arrays, made before the fork.
        Ok(()) => unsafe { libc::execve(file.as_ptr(), argv.as_ptr(), envp.as_ptr()) },
        Err(error) => return error.raw_os_error().unwrap_or(libc::EIO),
    };
    io::Error::last_os_error()
        .raw_os_error()
        .unwrap_or(libc::EIO)
}

fn arrange(plan: &Plan<'_>) -> io::Result<()> {
    signals::reset_all();
    if let Some(signal) = plan.death_signal {
        crate::process::set_parent_death_signal(signal)?;
        // SAFETY: plain call.
        if unsafe { libc::getppid() } != plan.parent {
            // The parent ended before the signal was asked for.
            return Err(io::Error::from_raw_os_error(libc::ESRCH));
        }
    }
    for number in 0..plan.floor {
        if !plan.moved.iter().any(|(_, target)| *target == number) {
            // SAFETY: async-signal-safe; the number belongs to nothing that is used from here on.
            unsafe { libc::close(number) };
        }
    }
    for (source, target) in plan.moved {
        // SAFETY: async-signal-safe; every source is above every target. dup2 clears close-on-exec.
        check(unsafe { libc::dup2(source.as_raw_fd(), *target) })?;
    }
    // SAFETY: async-signal-safe; the pipe stays close on exec.
    check(unsafe { libc::dup3(plan.reporter, plan.floor, libc::O_CLOEXEC) })?;
    crate::descriptors::close_from(plan.floor + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::os::fd::AsFd;

    fn run(path: &str, environment: &[(OsString, OsString)]) -> Result<String, ExecError> {
        let (read, write) = nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC).unwrap();
        let mut read = std::fs::File::from(read);
        let null = std::fs::File::open("/dev/null").unwrap();
        let program = Program {
            path: Path::new(path),
            name: OsStr::new("(wsgi:a b)"),
            environment,
            descriptors: &[(write.as_fd(), 1), (null.as_fd(), 5)],
            parent_death_signal: None,
        };
        let pid = spawn(&program)?;
        drop(write);
        let mut output = String::new();
        read.read_to_string(&mut output).unwrap();
        // SAFETY: plain call on a child of this process.
        unsafe { libc::waitpid(pid, std::ptr::null_mut(), 0) };
        Ok(output)
    }

    #[test]
    fn the_program_gets_its_environment_and_only_its_descriptors() {
        let environment = [(OsString::from("A"), OsString::from("1"))];
        assert_eq!(run("/usr/bin/env", &environment).unwrap(), "A=1\n");
    }

    #[test]
    fn a_program_that_is_missing_is_an_error_of_exec() {
        let error = run("/nonexistent/program", &[]).unwrap_err();
        assert!(matches!(error, ExecError::Exec { .. }), "{error}");
        assert!(error.to_string().contains("/nonexistent/program"));
    }
}
