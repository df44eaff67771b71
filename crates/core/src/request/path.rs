//! The two halves of the path of a request: SCRIPT_NAME and PATH_INFO (REQ-110 to REQ-113).
//!
//! Paths are percent-decoded bytes. Pure, on the thread of the request.

use std::borrow::Cow;

/// Every run of slashes becomes one (REQ-112). Borrowed where there is none, which is nearly always.
pub fn collapse_slashes(path: &[u8]) -> Cow<'_, [u8]> {
    let Some(first) = path.windows(2).position(|pair| pair == b"//") else {
        return Cow::Borrowed(path);
    };
    let mut collapsed = Vec::with_capacity(path.len());
    collapsed.extend_from_slice(&path[..=first]);
    for byte in &path[first + 1..] {
        if *byte != b'/' || collapsed.last() != Some(&b'/') {
            collapsed.push(*byte);
        }
    }
    Cow::Owned(collapsed)
}

/// Splits the URI into SCRIPT_NAME and PATH_INFO, slashes as they came (REQ-111). `path_info` is what httpd
/// left over when it looked for the file, in which it may have collapsed slashes of the URI. For a request that
/// a page includes (`INCLUDED`) the script name is the whole URI.
pub fn split<'u>(uri: &'u [u8], path_info: &'u [u8], included: bool) -> (&'u [u8], &'u [u8]) {
    if path_info.is_empty() || included {
        return (uri, path_info);
    }
    (&uri[..path_info_start(uri, path_info)], path_info)
}

/// Where in `uri` its tail `path_info` begins. A run of slashes in one of them equals a run of any length in
/// the other. If `path_info` is no tail (a module has changed one of them), the script name ends before the
/// first slash behind the place of the difference.
pub fn path_info_start(uri: &[u8], path_info: &[u8]) -> usize {
    let (mut start, mut left) = (uri.len(), path_info.len());
    while start > 0 && left > 0 && uri[start - 1] == path_info[left - 1] {
        if uri[start - 1] == b'/' {
            start -= trailing_slashes(&uri[..start]);
            left -= trailing_slashes(&path_info[..left]);
        } else {
            start -= 1;
            left -= 1;
        }
    }
    let slash = uri[start..].iter().position(|byte| *byte == b'/');
    slash.map_or(uri.len(), |distance| start + distance)
}

fn trailing_slashes(path: &[u8]) -> usize {
    path.iter().rev().take_while(|byte| **byte == b'/').count()
}

/// The script name that `%{RESOURCE}` is made of (XPN-08): the URI without its PATH_INFO, slashes collapsed, in
/// lower case if WSGICaseSensitivity is Off.
pub fn resource_name<'u>(
    uri: &'u [u8],
    path_info: &'u [u8],
    included: bool,
    case_sensitive: bool,
) -> Cow<'u, [u8]> {
    let name = collapse_slashes(split(uri, path_info, included).0);
    if case_sensitive {
        name
    } else {
        in_lower_case(name)
    }
}

/// ASCII letters in lower case; borrowed if nothing changes.
pub(super) fn in_lower_case(mut name: Cow<'_, [u8]>) -> Cow<'_, [u8]> {
    if name.iter().any(u8::is_ascii_uppercase) {
        name.to_mut().make_ascii_lowercase();
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// REQ-112: every run of slashes becomes one; a path without runs is not copied.
    #[test]
    fn runs_of_slashes_collapse() {
        for (path, collapsed) in [
            ("", ""),
            ("/", "/"),
            ("//", "/"),
            ("////", "/"),
            ("/a//b///c/", "/a/b/c/"),
            ("a//", "a/"),
            ("/a/../b", "/a/../b"),
        ] {
            assert_eq!(
                collapse_slashes(path.as_bytes()),
                collapsed.as_bytes(),
                "{path}"
            );
        }
        assert!(matches!(collapse_slashes(b"/a/b"), Cow::Borrowed(_)));
    }

    /// REQ-111, REQ-113: without PATH_INFO the script is the whole URI, else the URI without that tail.
    #[test]
    fn the_tail_is_taken_off() {
        for (uri, path_info, script) in [
            ("/app", "", "/app"),
            ("/app/x", "/x", "/app"),
            ("/app//x", "/x", "/app"),
            ("/app/x//y", "/x/y", "/app"),
            ("/app/x//y", "/x//y", "/app"),
            ("/x", "/x", ""),
            ("//x", "/x", ""),
            ("/app/", "/", "/app"),
            ("/app///", "/", "/app"),
            ("/app/app", "/app", "/app"),
            // Alias `/app/`: httpd's split is kept.
            ("/app/x", "x", "/app/x"),
            // No tail at all.
            ("/app/y", "/x", "/app/y"),
            ("/app/yx/z", "/x/z", "/app/yx"),
        ] {
            let (name, info) = split(uri.as_bytes(), path_info.as_bytes(), false);
            assert_eq!(
                (name, info),
                (script.as_bytes(), path_info.as_bytes()),
                "{uri} {path_info}"
            );
        }
    }

    /// REQ-111: a request that a page includes has the whole URI as its script name.
    #[test]
    fn included_requests_keep_the_whole_uri() {
        assert_eq!(split(b"/app/x", b"/x", true), (&b"/app/x"[..], &b"/x"[..]));
    }

    /// XPN-08: without PATH_INFO, slashes collapsed, in lower case with WSGICaseSensitivity Off.
    #[test]
    fn resource_names() {
        assert_eq!(resource_name(b"//App//x", b"/x", false, true), &b"/App"[..]);
        assert_eq!(
            resource_name(b"//App//x", b"/x", false, false),
            &b"/app"[..]
        );
    }

    proptest! {
        /// REQ-112: nothing but slashes goes, no run is left, and a second time changes nothing.
        #[test]
        fn a_collapsed_path_has_no_double_slash(path in "[/ab\\x00]{0,20}") {
            let once = collapse_slashes(path.as_bytes()).into_owned();
            prop_assert!(!once.windows(2).any(|pair| pair == b"//"));
            let again = collapse_slashes(&once);
            prop_assert!(matches!(again, Cow::Borrowed(_)));
            let without = |path: &[u8]| -> Vec<u8> {
                path.iter().copied().filter(|byte| *byte != b'/').collect()
            };
            prop_assert_eq!(without(&once), without(path.as_bytes()));
        }

        /// REQ-111: script and tail together are the URI again, but for runs of slashes.
        #[test]
        fn halves_make_the_whole(script in "(/{1,3}[ab]{1,3}){0,3}", info in "(/{1,3}[ab]{0,3}){1,3}") {
            let uri = format!("{script}{info}");
            let collapsed = collapse_slashes(info.as_bytes());
            for info in [info.as_bytes(), &*collapsed] {
                let (name, info) = split(uri.as_bytes(), info, false);
                prop_assert_eq!(name, script.as_bytes());
                let joined = [name, info].concat();
                prop_assert_eq!(
                    collapse_slashes(&joined).into_owned(),
                    collapse_slashes(uri.as_bytes()).into_owned()
                );
            }
        }

        /// REQ-111: halves that do not fit together are no reason to fail; the script is a head of the URI up
        /// to a slash.
        #[test]
        fn any_tail_is_borne(uri in "[/ab]{0,12}", info in "[/ab]{0,12}") {
            let start = path_info_start(uri.as_bytes(), info.as_bytes());
            prop_assert!(start <= uri.len());
            prop_assert!(start == uri.len() || uri.as_bytes()[start] == b'/');
        }
    }
}
