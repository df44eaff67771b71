//! What httpd found out about the file that a URL mapped to.

use apache_sys::apr_finfo_t;

/// Kind of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileKind {
    /// There is none, or it cannot be examined.
    Missing,
    /// Regular file.
    Regular,
    /// Directory.
    Directory,
    /// Something else: socket, pipe, device.
    Other,
}

/// Facts from httpd's own `stat` of the mapped file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileFacts {
    /// What it is; the other facts mean nothing for `Missing`.
    pub kind: FileKind,
    /// Owner's user id, if known.
    pub user: Option<u32>,
    /// Owner's group id, if known.
    pub group: Option<u32>,
    /// Permission bits as in `stat`, if known (only the nine of rwxrwxrwx).
    pub mode: Option<u32>,
    /// Size in bytes.
    pub size: u64,
    /// Time of the last change of content, microseconds since the epoch.
    pub modified: i64,
}

/// The nine permission bits are known.
const HAS_MODE: i32 =
    apache_sys::APR_FINFO_UPROT | apache_sys::APR_FINFO_GPROT | apache_sys::APR_FINFO_WPROT;

impl FileFacts {
    pub(super) fn of(record: &apr_finfo_t) -> FileFacts {
        let kind = match record.filetype {
            apache_sys::APR_NOFILE => FileKind::Missing,
            apache_sys::APR_REG => FileKind::Regular,
            apache_sys::APR_DIR => FileKind::Directory,
            _ => FileKind::Other,
        };
        let has = |flag: i32| record.valid & flag == flag;
        FileFacts {
            kind,
            user: has(apache_sys::APR_FINFO_USER).then_some(record.user),
            group: has(apache_sys::APR_FINFO_GROUP).then_some(record.group),
            mode: has(HAS_MODE).then(|| permission_bits(record.protection)),
            size: u64::try_from(record.size).unwrap_or(0),
            modified: record.mtime,
        }
    }
}

/// APR writes each of the three octal digits as a hexadecimal one.
fn permission_bits(protection: i32) -> u32 {
    let digit = |shift: u32| u32::from((protection >> shift) as u8 & 0o7);
    digit(8) << 6 | digit(4) << 3 | digit(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// APR's hexadecimal digits are stat's octal ones (REQ-303).
    #[test]
    fn permissions_are_those_of_stat() {
        assert_eq!(permission_bits(0x0755), 0o755);
        assert_eq!(permission_bits(0x0640), 0o640);
        assert_eq!(permission_bits(0x4722), 0o722);
    }
}
