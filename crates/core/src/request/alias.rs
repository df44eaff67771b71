//! WSGIScriptAlias and WSGIScriptAliasMatch: which URLs they take, and the file that a URL means (DIR-005 to
//! DIR-007).
//!
//! URIs are percent-decoded. Pure, in the translate_name hook of a child.

/// How many bytes of `uri` the alias takes, or None if it does not match (DIR-005).
///
/// One slash in the alias stands for one or more in the URI. Whole path components match: `/app` takes `/app` and
/// `/app/x`, not `/apple`; an alias that ends in a slash wants one in the URI.
///
/// ```
/// use wsgi_core::request::alias::match_alias;
/// assert_eq!(match_alias(b"/app", b"/app/x"), Some(4));
/// assert_eq!(match_alias(b"/app", b"/apple"), None);
/// ```
pub fn match_alias(alias: &[u8], uri: &[u8]) -> Option<usize> {
    let (mut known, mut matched) = (0, 0);
    while let Some(byte) = alias.get(known) {
        if uri.get(matched) != Some(byte) {
            return None;
        }
        if *byte == b'/' {
            known += slashes(&alias[known..]);
            matched += slashes(&uri[matched..]);
        } else {
            known += 1;
            matched += 1;
        }
    }
    match (alias.last()?, uri.get(matched)) {
        (b'/', _) | (_, None | Some(b'/')) => Some(matched),
        _ => None,
    }
}

/// The file for `uri` under an alias, or None if it does not match: the target and what the alias has not taken
/// of the URI, for the alias `/` the whole URI (DIR-006).
pub fn target_for(alias: &[u8], target: &[u8], uri: &[u8]) -> Option<Vec<u8>> {
    let matched = match_alias(alias, uri)?;
    let rest = if alias == b"/" { uri } else { &uri[matched..] };
    Some([target, rest].concat())
}

/// Where PATH_INFO begins if an alias, or an expression, has taken the first `taken` bytes of `uri` and its target is a module
/// (a file would show where it ends): at a slash, or at the end. None if that is inside a component.
///
/// ```
/// use wsgi_core::request::alias::path_info_behind;
/// assert_eq!(path_info_behind(b"/app/x", 4), Some(4));
/// assert_eq!(path_info_behind(b"/app//x", 6), Some(4));
/// assert_eq!(path_info_behind(b"/apple", 4), None);
/// ```
pub fn path_info_behind(uri: &[u8], taken: usize) -> Option<usize> {
    let (head, rest) = uri.split_at_checked(taken)?;
    if head.ends_with(b"/") {
        let slashes = head.iter().rev().take_while(|byte| **byte == b'/').count();
        return Some(taken - slashes);
    }
    (rest.is_empty() || rest.starts_with(b"/")).then_some(taken)
}

/// Start and end of what each group of a regular expression matched, the whole match first; None for a group
/// that took no part.
pub type Captures = [Option<(usize, usize)>; 10];

/// Where the match ends, or None for an expression that is content with nothing of the URI: as in the original that is no match.
pub fn match_end(captures: &Captures) -> Option<usize> {
    let (_, end) = captures[0]?;
    (end > 0).then_some(end)
}

/// The file for `uri` under the Match form (DIR-007): `$0` to `$9` in the target stand for the groups, a group
/// that took no part for nothing, a backslash takes the meaning of the character behind it away, and the URI
/// from the end of the match on is appended; the whole URI if there are but slashes before it, as for the alias `/`. No
/// components are looked at. None if nothing is before the end of the match ([`match_end`]), or the captures do not lie in
/// the URI.
pub fn target_for_match(target: &[u8], uri: &[u8], captures: &Captures) -> Option<Vec<u8>> {
    let end = match_end(captures)?;
    let (taken, rest) = uri.split_at_checked(end)?;
    let rest = if slashes(taken) == end { uri } else { rest };
    let mut file = Vec::with_capacity(target.len() + uri.len());
    let mut bytes = target.iter().copied().peekable();
    while let Some(byte) = bytes.next() {
        match (byte, bytes.peek().copied()) {
            (b'$', Some(digit @ b'0'..=b'9')) => {
                bytes.next();
                if let Some((start, end)) = captures[usize::from(digit - b'0')] {
                    file.extend_from_slice(uri.get(start..end)?);
                }
            }
            (b'\\', Some(literal)) => {
                bytes.next();
                file.push(literal);
            }
            _ => file.push(byte),
        }
    }
    file.extend_from_slice(rest);
    Some(file)
}

fn slashes(path: &[u8]) -> usize {
    path.iter().take_while(|byte| **byte == b'/').count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::path::collapse_slashes;
    use proptest::prelude::*;

    /// DIR-004, DIR-005: whole components, case-sensitive, one slash for one or more.
    #[test]
    fn aliases_take_whole_components() {
        for (alias, uri, matched) in [
            ("/app", "/app", Some(4)),
            ("/app", "/app/x", Some(4)),
            ("/app", "/app//x", Some(4)),
            ("/app", "//app/x", Some(5)),
            ("/app", "/apple", None),
            ("/app", "/ap", None),
            ("/app", "/App", None),
            ("/app", "/", None),
            ("/app/", "/app", None),
            ("/app/", "/app/", Some(5)),
            ("/app/", "/app///x", Some(7)),
            ("/a/b", "/a//b", Some(5)),
            ("/a//b", "/a/b", Some(4)),
            ("/", "/", Some(1)),
            ("/", "//x", Some(2)),
            ("/", "/x", Some(1)),
            ("/", "*", None),
            ("app", "/app", None),
            ("", "/app", None),
            ("/caf\u{e9}", "/caf\u{e9}", Some(6)),
        ] {
            assert_eq!(
                match_alias(alias.as_bytes(), uri.as_bytes()),
                matched,
                "{alias} {uri}"
            );
        }
    }

    /// DIR-006: the target and the rest of the URI; for `/` the entire URI.
    #[test]
    fn the_rest_of_the_uri_follows_the_target() {
        for (alias, target, uri, file) in [
            ("/app", "/s/app.wsgi", "/app/x/y", Some("/s/app.wsgi/x/y")),
            ("/app", "/s/app.wsgi", "/app", Some("/s/app.wsgi")),
            ("/app/", "/s/", "/app/one.wsgi/x", Some("/s/one.wsgi/x")),
            ("/", "/s/app.wsgi", "/", Some("/s/app.wsgi/")),
            ("/", "/s/app.wsgi", "//x/y", Some("/s/app.wsgi//x/y")),
            ("/app", "/s/app.wsgi", "/other", None),
        ] {
            let found = target_for(alias.as_bytes(), target.as_bytes(), uri.as_bytes());
            assert_eq!(found.as_deref(), file.map(str::as_bytes), "{alias} {uri}");
        }
    }

    fn captures(groups: &[Option<(usize, usize)>]) -> Captures {
        let mut captures = Captures::default();
        captures[..groups.len()].copy_from_slice(groups);
        captures
    }

    /// DIR-006, DIR-007: groups are put in, the text behind the match is appended without a look at components.
    #[test]
    fn the_match_form_substitutes_groups() {
        let uri = b"/x/one/two";
        let groups = captures(&[Some((0, 6)), Some((3, 6)), None]);
        for (target, file) in [
            ("/s/$1.wsgi", "/s/one.wsgi/two"),
            ("/s$0", "/s/x/one/two"),
            ("/s/$1$1$2.wsgi", "/s/oneone.wsgi/two"),
            ("/s/$9", "/s//two"),
            ("/s/\\$1", "/s/$1/two"),
            ("/s/$x$", "/s/$x$/two"),
        ] {
            let found = target_for_match(target.as_bytes(), uri, &groups);
            assert_eq!(found.as_deref(), Some(file.as_bytes()), "{target}");
        }
        let found = target_for_match(b"/s/x", b"/xor", &captures(&[Some((0, 2))]));
        assert_eq!(found.as_deref(), Some(&b"/s/xor"[..]));
    }

    /// DIR-006, DIR-007: what takes only the first slashes takes everything, as the alias `/` does; what takes nothing takes nothing.
    #[test]
    fn the_match_form_has_a_root() {
        for (uri, (start, end), file) in [
            ("/", (0, 1), Some("/s/")),
            ("/x", (0, 1), Some("/s/x")),
            ("//x", (0, 1), Some("/s//x")),
            ("//x", (0, 2), Some("/s//x")),
            ("//x", (1, 2), Some("/s//x")),
            ("/x/", (2, 3), Some("/s")),
            ("/x//y", (0, 3), Some("/s/y")),
            ("/x", (0, 0), None),
            ("/x", (1, 1), Some("/s/x")),
            ("/x", (2, 2), Some("/s")),
            ("", (0, 0), None),
        ] {
            let groups = captures(&[Some((start, end))]);
            let found = target_for_match(b"/s", uri.as_bytes(), &groups);
            assert_eq!(found.as_deref(), file.map(str::as_bytes), "{uri} {end}");
        }
    }

    /// DIR-007: captures that do not lie in the URI are no match, and nothing panics.
    #[test]
    fn captures_beyond_the_uri_are_no_match() {
        assert_eq!(
            target_for_match(b"/s$1", b"/x", &captures(&[Some((0, 9))])),
            None
        );
        assert_eq!(
            target_for_match(b"/s$1", b"/x", &captures(&[Some((0, 1)), Some((2, 1))])),
            None
        );
        assert_eq!(target_for_match(b"/s", b"/x", &captures(&[None])), None);
    }

    /// REQ-111, for modules: the slash in front of PATH_INFO belongs to it, whichever alias took it.
    #[test]
    fn path_info_of_modules() {
        for (uri, taken, start) in [
            ("/", 1, Some(0)),
            ("/x", 1, Some(0)),
            ("//x", 2, Some(0)),
            ("/app", 4, Some(4)),
            ("/app/", 4, Some(4)),
            ("/app/", 5, Some(4)),
            ("/app///x", 7, Some(4)),
            ("/app/x", 3, None),
            ("/x", 0, Some(0)),
            ("", 0, Some(0)),
            ("/x", 3, None),
        ] {
            assert_eq!(
                path_info_behind(uri.as_bytes(), taken),
                start,
                "{uri} {taken}"
            );
        }
    }

    proptest! {
        /// PATH_INFO is empty or begins with a slash, and SCRIPT_NAME does not end with one.
        #[test]
        fn module_paths_are_cut_at_slashes(uri in "[/ab]{0,8}", taken in 0..10_usize) {
            if let Some(start) = path_info_behind(uri.as_bytes(), taken) {
                prop_assert!(start <= taken);
                prop_assert!(uri[start..].is_empty() || uri[start..].starts_with('/'));
                prop_assert!(start == taken || !uri[..start].ends_with('/'));
            }
        }

        /// DIR-005: what is matched equals the alias but for runs of slashes and ends at a component's end; and
        /// whatever has such a head is matched.
        #[test]
        fn a_match_is_a_head_of_whole_components(alias in "[/ab]{1,6}", uri in "[/ab]{0,10}") {
            let (alias, uri) = (alias.as_bytes(), uri.as_bytes());
            let fits = |end: usize| {
                collapse_slashes(&uri[..end]) == collapse_slashes(alias)
                    && (alias.ends_with(b"/") || end == uri.len() || uri[end] == b'/')
            };
            let longest = (0..=uri.len()).rev().find(|end| fits(*end));
            prop_assert_eq!(match_alias(alias, uri), longest);
        }

        /// DIR-007: any target, URI and captures are borne.
        #[test]
        fn substitution_never_panics(
            target in "[/$\\\\0-9a]{0,12}",
            uri in "[/ab]{0,12}",
            spans in proptest::collection::vec(proptest::option::of((0..14_usize, 0..14_usize)), 10),
        ) {
            let groups = captures(&spans);
            let _ = target_for_match(target.as_bytes(), uri.as_bytes(), &groups);
        }
    }
}
