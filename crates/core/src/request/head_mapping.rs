//! WSGIMapHEADToGET: what the application is told about a HEAD request (REQ-120, REQ-121).
//!
//! The answer to HEAD never has a body, whatever the application was told (REQ-122).

/// Value of WSGIMapHEADToGET.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HeadMapping {
    /// HEAD becomes GET if output filters need the body to set the right headers.
    #[default]
    Auto,
    /// HEAD stays HEAD.
    Off,
    /// HEAD becomes GET.
    On,
}

/// REQUEST_METHOD for the application (REQ-120, REQ-121). `has_content_filters` tells whether an output filter
/// of a class below the protocol's is installed (DEFLATE, SUBSTITUTE …); it is asked only if it matters.
pub fn presented_method(
    method: &[u8],
    mapping: HeadMapping,
    has_content_filters: impl FnOnce() -> bool,
) -> &[u8] {
    if method != b"HEAD" {
        return method;
    }
    let as_get = match mapping {
        HeadMapping::Auto => has_content_filters(),
        HeadMapping::Off => false,
        HeadMapping::On => true,
    };
    if as_get { b"GET" } else { method }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// REQ-120, REQ-121: row by row.
    #[test]
    fn what_the_application_sees() {
        use HeadMapping::{Auto, Off, On};
        for (method, mapping, filters, seen) in [
            ("HEAD", Auto, false, "HEAD"),
            ("HEAD", Auto, true, "GET"),
            ("HEAD", On, false, "GET"),
            ("HEAD", Off, true, "HEAD"),
            ("GET", On, true, "GET"),
            ("POST", Auto, true, "POST"),
            ("head", On, true, "head"),
        ] {
            let presented = presented_method(method.as_bytes(), mapping, || filters);
            assert_eq!(presented, seen.as_bytes(), "{method} {mapping:?} {filters}");
        }
    }

    /// REQ-120: filters are looked at only for HEAD with Auto.
    #[test]
    fn filters_are_asked_only_if_they_matter() {
        for (method, mapping) in [
            ("GET", HeadMapping::Auto),
            ("HEAD", HeadMapping::On),
            ("HEAD", HeadMapping::Off),
        ] {
            presented_method(method.as_bytes(), mapping, || panic!("asked"));
        }
    }
}
