//! httpd's regular expressions (PCRE), as `AliasMatch` uses them.

use std::ffi::{c_char, c_int};

use apache_sys::{ap_regex_t, ap_regmatch_t};

use super::text;

/// Most groups that a match reports: `$0` to `$9`.
pub const GROUPS: usize = 10;

/// A compiled expression. Matching may happen in several threads at once, as httpd itself does it.
pub struct Regex {
    raw: Box<ap_regex_t>,
}

/// Byte ranges of a match: the whole first, then the groups; None for a group that took no part.
pub type Match = [Option<(usize, usize)>; GROUPS];

/// An expression that cannot be compiled.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct RegexError {
    /// PCRE's text.
    pub reason: String,
}

impl Regex {
    /// Compiles an expression as httpd's Match directives do.
    ///
    /// # Errors
    /// What PCRE says about it.
    pub fn new(expression: &[u8]) -> Result<Regex, RegexError> {
        let pattern = text::c_string(expression);
        // SAFETY: the struct is plain numbers and pointers that may be null; regcomp fills it.
        let mut raw: Box<ap_regex_t> = Box::new(unsafe { std::mem::zeroed() });
        let flags = apache_sys::AP_REG_EXTENDED;
        // SAFETY: a place for the result and a C string.
        let status = unsafe { apache_sys::ap_regcomp(&mut *raw, pattern.as_ptr(), flags) };
        if status == 0 {
            return Ok(Regex { raw });
        }
        let mut reason = [0; 256];
        let room = reason.len();
        let place = reason.as_mut_ptr().cast::<c_char>();
        // SAFETY: writes at most `room` bytes, with a NUL at their end.
        unsafe { apache_sys::ap_regerror(status, &*raw, place, room) };
        let end = reason.iter().position(|&byte| byte == 0).unwrap_or(room);
        Err(RegexError {
            reason: String::from_utf8_lossy(&reason[..end]).into_owned(),
        })
    }

    /// First match in `subject`.
    pub fn find(&self, subject: &[u8]) -> Option<Match> {
        let mut groups = [ap_regmatch_t {
            rm_so: -1,
            rm_eo: -1,
        }; GROUPS];
        // SAFETY: a compiled expression, a subject with its length, and room for ten groups.
        let status = unsafe {
            apache_sys::ap_regexec_len(
                &*self.raw,
                subject.as_ptr().cast(),
                subject.len(),
                groups.len(),
                groups.as_mut_ptr(),
                0,
            )
        };
        (status == 0).then(|| groups.map(|group| range(group.rm_so, group.rm_eo)))
    }
}

fn range(start: c_int, end: c_int) -> Option<(usize, usize)> {
    Some((usize::try_from(start).ok()?, usize::try_from(end).ok()?))
}

impl Drop for Regex {
    fn drop(&mut self) {
        // SAFETY: compiled by regcomp, freed once.
        unsafe { apache_sys::ap_regfree(&mut *self.raw) };
    }
}

impl std::fmt::Debug for Regex {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Regex").finish_non_exhaustive()
    }
}

// SAFETY: the compiled program is not tied to a thread.
unsafe impl Send for Regex {}
// SAFETY: matching only reads the compiled program (httpd matches AliasMatch from all its threads).
unsafe impl Sync for Regex {}
