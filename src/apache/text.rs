//! C strings of httpd as bytes, and bytes as C strings.

use std::ffi::{CStr, CString, c_char};

/// The bytes of a C string without its end, or None for a null pointer.
///
/// # Safety
/// `text` is null, or points to a C string that lives and stays unchanged for `'a`.
pub unsafe fn bytes<'a>(text: *const c_char) -> Option<&'a [u8]> {
    if text.is_null() {
        return None;
    }
    // SAFETY: not null, and the caller vouches for the string and the lifetime.
    Some(unsafe { CStr::from_ptr(text) }.to_bytes())
}

/// A C string of `text`, cut at the first NUL: httpd would cut it there as well. For names and paths that come from the
/// configuration, where a NUL cannot occur.
pub fn c_string(text: &[u8]) -> CString {
    let end = text
        .iter()
        .position(|&byte| byte == 0)
        .unwrap_or(text.len());
    CString::new(&text[..end]).expect("cut before the first NUL")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_ends_at_a_nul() {
        assert_eq!(c_string(b"abc").as_bytes(), b"abc");
        assert_eq!(c_string(b"a\0bc").as_bytes(), b"a");
        assert_eq!(c_string(b"").as_bytes(), b"");
    }
}
