//! What a process can set about itself: variables, locale, limits, priority, dumpability, parent-death signal.
//! Mostly for the start of a daemon.

use std::ffi::CString;
use std::io;
use std::marker::PhantomData;
use std::os::unix::fs::MetadataExt;

use crate::check;

/// Pid of this process, from the kernel and not from a cache, so that it is right after a fork.
pub fn id() -> u32 {
    std::process::id()
}

/// Pid of the parent; 1 or a subreaper's when that is gone.
pub fn parent_id() -> u32 {
    std::os::unix::process::parent_id()
}

/// Effective user id.
pub fn effective_uid() -> u32 {
    nix::unistd::geteuid().as_raw()
}

/// Proof that this process has one thread: the environment and the locale may be changed. Not Send, and to be dropped
/// before the first thread is started.
#[derive(Debug)]
pub struct SoleThread(PhantomData<*const ()>);

impl SoleThread {
    /// Looks at the process; None if it has other threads, or /proc cannot tell.
    pub fn prove() -> Option<SoleThread> {
        // One folder for each thread, and `.` and `..`.
        let links = std::fs::metadata("/proc/self/task").ok()?.nlink();
        (links == 3).then_some(SoleThread(PhantomData))
    }

    /// Sets an environment variable. False for a name or value that cannot be one (NUL, empty, `=` in the name).
    pub fn set_variable(&self, name: &str, value: &str) -> bool {
        let possible = !name.is_empty() && !name.contains(['=', '\0']) && !value.contains('\0');
        if possible {
            // SAFETY: there is no other thread that could read the environment meanwhile.
            unsafe { std::env::set_var(name, value) };
        }
        possible
    }

    /// Removes an environment variable. No `=` and no NUL in the name.
    pub fn remove_variable(&self, name: &str) {
        // SAFETY: as above.
        unsafe { std::env::remove_var(name) };
    }

    /// Sets the locale of all categories from a name, or from the environment for an empty one. False if the system does
    /// not have it; the former locale stays then.
    pub fn set_locale(&self, name: &str) -> bool {
        let Ok(name) = CString::new(name) else {
            return false;
        };
        // SAFETY: a NUL-terminated name, and no other thread that could use the locale meanwhile.
        !unsafe { libc::setlocale(libc::LC_ALL, name.as_ptr()) }.is_null()
    }
}

/// A limit of the kernel on a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// RLIMIT_CPU, seconds.
    CpuTime,
    /// RLIMIT_DATA, bytes.
    Data,
    /// RLIMIT_AS, bytes.
    AddressSpace,
}

/// Sets a limit.
///
/// # Errors
/// Over the hard limit, or a failed system call.
pub fn set_limit(limit: Limit, soft: u64, hard: u64) -> io::Result<()> {
    use nix::sys::resource::{Resource, setrlimit};
    let resource = match limit {
        Limit::CpuTime => Resource::RLIMIT_CPU,
        Limit::Data => Resource::RLIMIT_DATA,
        Limit::AddressSpace => Resource::RLIMIT_AS,
    };
    Ok(setrlimit(resource, soft, hard)?)
}

/// Most descriptors that [`raise_descriptor_limit`] gives: programs that close every possible one before they start another take
/// their time with a hard limit of a billion.
const MOST_DESCRIPTORS: u64 = 1 << 19;

/// Raises the soft limit of descriptors to the hard limit; the limit as it is then.
///
/// # Errors
/// A failed system call.
pub fn raise_descriptor_limit() -> io::Result<u64> {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    let wanted = hard.min(MOST_DESCRIPTORS);
    if soft >= wanted {
        return Ok(soft);
    }
    setrlimit(Resource::RLIMIT_NOFILE, wanted, hard)?;
    Ok(wanted)
}

/// How many descriptors this process may have now (soft limit); None if that is not known.
pub fn descriptor_limit() -> Option<u64> {
    use nix::sys::resource::{Resource, getrlimit};
    getrlimit(Resource::RLIMIT_NOFILE)
        .ok()
        .map(|(soft, _)| soft)
}

/// Stack size that the C library would give a thread: the soft limit of the stack, or None if that is unlimited.
pub fn default_stack_size() -> Option<u64> {
    use nix::sys::resource::{RLIM_INFINITY, Resource, getrlimit};
    let (soft, _) = getrlimit(Resource::RLIMIT_STACK).ok()?;
    (soft != RLIM_INFINITY).then_some(soft)
}

/// Sets the nice value of this process.
///
/// # Errors
/// Not permitted (a lower value than now, without privilege).
pub fn set_priority(nice: i32) -> io::Result<()> {
    // SAFETY: plain call.
    check(unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, nice) })?;
    Ok(())
}

/// Makes the kernel send `signal` to this process when the thread of its parent that made it ends. Cleared by a change of
/// ids, so to be called after it. Compare [`parent_id`] before and after: the parent may be gone already.
///
/// # Errors
/// No such signal.
pub fn set_parent_death_signal(signal: i32) -> io::Result<()> {
    let signal = libc::c_ulong::try_from(signal)
        .map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
    // SAFETY: plain call.
    check(unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, signal) })?;
    Ok(())
}

/// Allows core dumps again, which a change of ids forbids (DMN-117).
///
/// # Errors
/// A failed system call.
pub fn set_dumpable() -> io::Result<()> {
    let on: libc::c_ulong = 1;
    // SAFETY: plain call.
    check(unsafe { libc::prctl(libc::PR_SET_DUMPABLE, on) })?;
    Ok(())
}

/// Sets the umask and returns the former one. For processes of one thread.
pub fn set_umask(mask: u32) -> u32 {
    // SAFETY: plain call that cannot fail.
    unsafe { libc::umask(mask) }
}

/// Ends the process at once: no exit handlers, no destructors, nothing that could block. Any thread.
pub fn exit_now(status: i32) -> ! {
    // SAFETY: ends the process.
    unsafe { libc::_exit(status) }
}

/// The SELinux context of this process, where SELinux is in use; for messages.
pub fn security_context() -> Option<String> {
    let text = std::fs::read_to_string("/proc/self/attr/current").ok()?;
    let text = text.trim_end_matches(['\0', '\n']);
    (!text.is_empty() && std::path::Path::new("/sys/fs/selinux/enforce").exists())
        .then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_has_threads_so_there_is_no_proof() {
        let proof = std::thread::scope(|scope| {
            let (send, receive) = std::sync::mpsc::channel::<()>();
            scope.spawn(move || receive.recv());
            let proof = SoleThread::prove();
            drop(send);
            proof.is_some()
        });
        assert!(!proof);
    }

    #[test]
    fn limits_can_be_set_to_what_they_are() {
        use nix::sys::resource::{Resource, getrlimit};
        let (soft, hard) = getrlimit(Resource::RLIMIT_AS).unwrap();
        set_limit(Limit::AddressSpace, soft, hard).unwrap();
        assert!(default_stack_size().is_none_or(|size| size > 0));
    }

    #[test]
    fn the_descriptor_limit_is_not_lowered() {
        use nix::sys::resource::{Resource, getrlimit};
        let (before, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
        let given = raise_descriptor_limit().unwrap();
        assert!(given >= before && given <= hard);
        assert_eq!(raise_descriptor_limit().unwrap(), given);
        assert_eq!(descriptor_limit(), Some(given));
    }
}
