//! Socket names that outlive a restart (`WSGISocketRotation Off`): which generation has a name now, and the secret that
//! belongs to it. Children of an old generation reach the new daemons under it (DMN-551), so it keeps its secret.
//!
//! A static, because it belongs to this process, whose pid is in the names, and not to a configuration. httpd parent only.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};

use parking_lot::Mutex;

/// Who has a name.
#[derive(Clone, Copy, Debug)]
struct Lasting {
    secret: [u8; 16],
    generation: u32,
}

static NAMES: Mutex<Option<HashMap<PathBuf, Lasting>>> = Mutex::new(None);

/// Gives the name to `generation` and returns its secret, which is drawn the first time.
///
/// # Errors
/// That of `draw`.
pub(super) fn take(
    path: &Path,
    generation: u32,
    draw: impl FnOnce() -> io::Result<[u8; 16]>,
) -> io::Result<[u8; 16]> {
    let mut names = NAMES.lock();
    let names = names.get_or_insert_default();
    if let Some(known) = names.get_mut(path) {
        known.generation = generation;
        return Ok(known.secret);
    }
    let secret = draw()?;
    names.insert(path.to_owned(), Lasting { secret, generation });
    Ok(secret)
}

/// Whether no later generation has the name: its file may be removed. (The file's identity alone does not tell: a number
/// of a file that is gone is used again.)
pub(super) fn is_owner(path: &Path, generation: u32) -> bool {
    let names = NAMES.lock();
    names
        .as_ref()
        .and_then(|names| names.get(path))
        .is_some_and(|l| l.generation == generation)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// DMN-551: a name keeps its secret, and belongs to the generation that took it last.
    #[test]
    fn names_keep_their_secret() {
        let path = Path::new("/run/test.u33.1.sock");
        assert_eq!(take(path, 0, || Ok([1; 16])).unwrap(), [1; 16]);
        assert_eq!(take(path, 1, || Ok([2; 16])).unwrap(), [1; 16]);
        assert!(is_owner(path, 1));
        assert!(!is_owner(path, 0));
        assert!(!is_owner(Path::new("/run/other.sock"), 0));
    }
}
