//! What a daemon becomes and where: priority, root directory, ids, working directory, umask, limits, language
//! (DMN-112 to 117, 125, 126). On the main thread, which is the only one.

use std::io;
use std::path::{Path, PathBuf};

use nix::unistd::{AccessFlags, chdir, chroot, eaccess};
use wsgi_core::control::{Identity, Limits};
use wsgi_sys::identity::{Credentials, give_up_root};
use wsgi_sys::passwd;
use wsgi_sys::process::{self, Limit, SoleThread};

use crate::log::{self, Level};
use crate::start::StartError;

/// DMN-112. Before privileges go, because a lower value needs them.
pub(super) fn set_priority(nice: i32) {
    if nice != 0 {
        if let Err(error) = process::set_priority(nice) {
            log::coded(
                75,
                Level::Warning,
                format!("cannot set cpu-priority {nice}: {error}"),
            );
        }
    }
}

/// DMN-113 to 117, and the tie to the supervisor, which a change of ids would cut.
pub(super) fn become_user(identity: &Identity) -> Result<(), StartError> {
    if let Some(path) = &identity.chroot {
        enter_root(path)?;
    }
    if identity.change {
        give_up_root(&Credentials {
            uid: identity.uid,
            user: identity.user.clone(),
            gid: identity.gid,
            supplementary_groups: identity.supplementary_groups.clone(),
        })?;
    }
    tie_to_supervisor();
    set_working_directory(identity)?;
    if let Some(umask) = identity.umask {
        process::set_umask(umask);
    }
    if identity.dumpable {
        if let Err(error) = process::set_dumpable() {
            log::coded(
                61,
                Level::Warning,
                format!("no core dumps of this process: {error}"),
            );
        }
    }
    Ok(())
}

fn enter_root(path: &str) -> Result<(), StartError> {
    chroot(path)
        .and_then(|()| chdir("/"))
        .map_err(|errno| StartError::Chroot {
            path: path.to_owned(),
            user: passwd::describe_user(process::effective_uid()),
            source: errno.into(),
        })
}

/// The control channel's end tells as well that the supervisor is gone, but not to a script that is being loaded.
fn tie_to_supervisor() {
    if let Err(error) = process::set_parent_death_signal(libc::SIGTERM) {
        log::record(Level::Info, format!("no parent-death signal: {error}"));
    }
}

/// DMN-116.
fn set_working_directory(identity: &Identity) -> Result<(), StartError> {
    let uid = process::effective_uid();
    if let Some(home) = &identity.home {
        return chdir(Path::new(home)).map_err(|errno| StartError::Home {
            path: home.clone(),
            user: passwd::describe_user(uid),
            source: errno.into(),
            hint: what_refuses(Path::new(home)),
        });
    }
    if !identity.differs_from_apache {
        return Ok(());
    }
    let Ok(Some(user)) = passwd::user_by_id(uid) else {
        return Err(StartError::NoUserEntry(uid));
    };
    chdir(&user.home).map_err(|errno| StartError::UserHome {
        hint: what_refuses(&user.home),
        user: passwd::describe_user(uid),
        source: errno.into(),
        path: user.home,
    })
}

/// The component of a path that this process may not pass, and its permission bits, as the end of a sentence.
pub(super) fn what_refuses(path: &Path) -> String {
    use std::os::unix::fs::MetadataExt;
    let mut so_far = PathBuf::new();
    for component in path.components() {
        so_far.push(component);
        let metadata = match std::fs::metadata(&so_far) {
            Ok(metadata) => metadata,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return format!("; '{}' does not exist", so_far.display());
            }
            Err(_) => continue,
        };
        if metadata.is_dir() && eaccess(&so_far, AccessFlags::X_OK).is_err() {
            let (mode, owner) = (metadata.mode() & 0o7777, metadata.uid());
            let mut text = format!(
                "; '{}' (mode {mode:04o}, {}) does not let it pass (permission x)",
                so_far.display(),
                passwd::describe_user(owner)
            );
            if let Some(context) = process::security_context() {
                text.push_str(&format!("; SELinux context {context}"));
            }
            return text;
        }
    }
    String::new()
}

/// DMN-125, and as many descriptors as the hard limit allows: the soft limit of 1024 that systems start with is there for programs
/// that use `select()`, which cannot look at higher ones. The kernel gives the lowest free number, so that nothing changes for
/// such Python code before 1024 are open; then it gets a ValueError, where it would have got EMFILE before.
pub(super) fn set_limits(limits: &Limits) {
    if let Err(error) = process::raise_descriptor_limit() {
        let text = format!("the descriptor limit stays as it is: {error}");
        log::record(Level::Info, text);
    }
    let set = |limit, soft, hard, code, what: &str| {
        if soft > 0 {
            if let Err(error) = process::set_limit(limit, soft, hard) {
                log::coded(
                    code,
                    Level::Warning,
                    format!("cannot set {what} to {soft}: {error}"),
                );
            }
        }
    };
    let cpu = limits.cpu_time;
    let hard = cpu
        .saturating_add(1)
        .saturating_add(limits.shutdown_timeout);
    set(Limit::CpuTime, cpu, hard, 76, "cpu-time-limit");
    set(
        Limit::Data,
        limits.memory,
        limits.memory,
        77,
        "memory-limit",
    );
    let space = limits.virtual_memory;
    set(
        Limit::AddressSpace,
        space,
        space,
        78,
        "virtual-memory-limit",
    );
}

/// DMN-126.
pub(super) fn set_language(identity: &Identity, sole: Option<SoleThread>) {
    if identity.lang.is_none() && identity.locale.is_none() {
        return;
    }
    let Some(sole) = sole else {
        let text =
            "lang and locale cannot be set: /proc does not show that this process has one thread";
        log::coded(79, Level::Warning, text);
        return;
    };
    if let Some(lang) = &identity.lang {
        if !sole.set_variable("LANG", lang) {
            log::coded(79, Level::Warning, format!("lang '{lang}' is not possible"));
        }
    }
    if let Some(locale) = &identity.locale {
        // The variable stays where the system does not have the locale: Python looks at it again.
        if !sole.set_variable("LC_ALL", locale) || !sole.set_locale(locale) {
            let text = format!("locale '{locale}' is not supported by this system");
            log::coded(79, Level::Warning, text);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// DMN-118: the component at fault is named.
    #[test]
    fn a_missing_folder_is_named() {
        assert_eq!(what_refuses(Path::new("/tmp/")), "");
        let text = what_refuses(Path::new("/nonexistent-folder/x"));
        assert_eq!(text, "; '/nonexistent-folder' does not exist");
    }
}
