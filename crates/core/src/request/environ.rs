//! The environ of a request before it becomes Python objects: an ordered list of byte strings.
//!
//! A plain list with linear search: there are some forty short names, which is less than hashing them would
//! cost. Names and values are borrowed for `'r` (the request) wherever nothing had to be changed. Made per
//! request on its thread.

use std::borrow::Cow;

/// Carrier keys, which never reach an application (ENV section 7, DMN-221).
const INTERNAL_PREFIX: &[u8] = b"mod_wsgi.x-";

/// Name and value of the environ, in order. A name is there at most once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Environ<'r> {
    entries: Vec<Entry<'r>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry<'r> {
    name: Cow<'r, [u8]>,
    /// None for a variable without value (ENV-24).
    value: Option<Cow<'r, [u8]>>,
    /// Made from a request header: another instance of the header is joined to it.
    is_header: bool,
}

impl<'r> Environ<'r> {
    /// Without entries, with room for `capacity` of them.
    pub fn with_capacity(capacity: usize) -> Environ<'r> {
        Environ {
            entries: Vec::with_capacity(capacity),
        }
    }

    /// Sets `name` to a borrowed value, or to "no value" for None; the value before it is lost (REQ-101).
    pub fn set(&mut self, name: impl Into<Cow<'r, [u8]>>, value: Option<&'r [u8]>) {
        self.put(name.into(), value.map(Cow::Borrowed), false);
    }

    /// Sets `name` to a value of its own.
    pub fn set_owned(&mut self, name: impl Into<Cow<'r, [u8]>>, value: impl Into<Vec<u8>>) {
        self.put(name.into(), Some(Cow::Owned(value.into())), false);
    }

    /// Sets `name` to a value that may be borrowed.
    pub fn set_cow(&mut self, name: impl Into<Cow<'r, [u8]>>, value: Cow<'r, [u8]>) {
        self.put(name.into(), Some(value), false);
    }

    /// Adds a request header under its environ name ([`cgi_header_name`]). Repeated headers are joined with `, `
    /// (ENV-03); a variable of the same name that is not a header is replaced (REQ-101).
    pub fn add_header(&mut self, name: impl Into<String>, value: &'r [u8]) {
        let name = Cow::Owned(name.into().into_bytes());
        match self.entry_mut(&name) {
            Some(entry) if entry.is_header => {
                let joined = entry.value.get_or_insert_default().to_mut();
                joined.extend_from_slice(b", ");
                joined.extend_from_slice(value);
            }
            _ => self.put(name, Some(Cow::Borrowed(value)), true),
        }
    }

    /// The value of `name`; None if it is not there or has no value.
    pub fn get(&self, name: &[u8]) -> Option<&[u8]> {
        self.entry(name)?.value.as_deref()
    }

    /// As [`Environ::get`], for a value that is to be put elsewhere: without a copy where it is borrowed.
    pub fn get_cow(&self, name: &[u8]) -> Option<Cow<'r, [u8]>> {
        self.entry(name)?.value.clone()
    }

    /// Whether there is a variable of that name, with or without value.
    pub fn contains(&self, name: &[u8]) -> bool {
        self.entry(name).is_some()
    }

    /// Removes a variable; whether it was there.
    pub fn remove(&mut self, name: &[u8]) -> bool {
        match self.entries.iter().position(|entry| *entry.name == *name) {
            // Order is kept: what comes later may have been set to overrule.
            Some(position) => {
                self.entries.remove(position);
                true
            }
            None => false,
        }
    }

    /// Name and value of every variable, in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&[u8], Option<&[u8]>)> {
        self.entries
            .iter()
            .map(|entry| (&*entry.name, entry.value.as_deref()))
    }

    /// Number of variables.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Decides `wsgi.url_scheme`: true is `https` (ENV-42). `tls` tells whether the connection to Apache is
    /// encrypted, which counts unless a trusted proxy said something about the scheme (REQ-107, REQ-156).
    /// Leaves the decision in `HTTPS`, for the dispatch script to see.
    pub fn decide_https(&mut self, tls: bool, scheme_kept: bool) -> bool {
        if tls && !scheme_kept {
            self.set(HTTPS, Some(b"1"));
        }
        says_https(self.get(HTTPS))
    }

    /// Removes what was only for the module: `HTTPS` (ENV-25), `PATH` (ENV-26) and internal keys.
    pub fn remove_consumed(&mut self) {
        self.entries.retain(|entry| {
            *entry.name != *HTTPS && *entry.name != *b"PATH" && !is_internal_key(&entry.name)
        });
    }

    fn entry(&self, name: &[u8]) -> Option<&Entry<'r>> {
        self.entries.iter().find(|entry| *entry.name == *name)
    }

    fn entry_mut(&mut self, name: &[u8]) -> Option<&mut Entry<'r>> {
        self.entries.iter_mut().find(|entry| *entry.name == *name)
    }

    fn put(&mut self, name: Cow<'r, [u8]>, value: Option<Cow<'r, [u8]>>, is_header: bool) {
        match self.entry_mut(&name) {
            Some(entry) => {
                entry.value = value;
                entry.is_header = is_header;
            }
            None => self.entries.push(Entry {
                name,
                value,
                is_header,
            }),
        }
    }
}

/// The variable that ENV-42 looks at.
pub(super) const HTTPS: &[u8] = b"HTTPS";

/// The environ name of a request header: `X-Forwarded-For` becomes `HTTP_X_FORWARDED_FOR` (ENV-03). None for a
/// name with anything but ASCII letters, digits and `-`, which must not reach an application: `X_Forwarded_For`
/// would pass for the header above (REQ-100).
///
/// Content-Type, Content-Length, Proxy and the two authorization headers have rules of their own (ENV-01 to
/// ENV-06), which the caller applies first.
pub fn cgi_header_name(name: &[u8]) -> Option<String> {
    let valid = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'-';
    if name.is_empty() || !name.iter().all(valid) {
        return None;
    }
    let mut key = String::with_capacity(b"HTTP_".len() + name.len());
    key.push_str("HTTP_");
    key.extend(name.iter().map(|byte| match byte {
        b'-' => '_',
        _ => char::from(byte.to_ascii_uppercase()),
    }));
    Some(key)
}

/// Whether a key is a carrier that applications never see (DMN-221).
pub fn is_internal_key(name: &[u8]) -> bool {
    name.starts_with(INTERNAL_PREFIX)
}

/// Whether this value of the variable HTTPS means `https`: `On` in any case, or `1` (ENV-42).
pub fn says_https(value: Option<&[u8]>) -> bool {
    value.is_some_and(|value| value == b"1" || value.eq_ignore_ascii_case(b"on"))
}

/// `wsgi.url_scheme` (ENV-42).
pub fn url_scheme(https: bool) -> &'static str {
    if https { "https" } else { "http" }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn names(environ: &Environ<'_>) -> Vec<String> {
        environ
            .iter()
            .map(|(name, _)| String::from_utf8(name.to_vec()).unwrap())
            .collect()
    }

    /// REQ-101: what is set later overwrites, at the place of the first; other variables stay.
    #[test]
    fn the_last_value_wins() {
        let mut environ = Environ::with_capacity(4);
        environ.set(&b"A"[..], Some(b"1"));
        environ.set(&b"B"[..], Some(b"2"));
        environ.set_owned(&b"A"[..], "3");
        environ.set_cow(&b"C"[..], Cow::Borrowed(b"4"));
        assert_eq!(names(&environ), ["A", "B", "C"]);
        assert_eq!(environ.get(b"A"), Some(&b"3"[..]));
        assert_eq!(environ.get(b"C"), Some(&b"4"[..]));
        assert!(environ.remove(b"A"));
        assert!(!environ.remove(b"A"));
        assert_eq!(names(&environ), ["B", "C"]);
        assert_eq!(environ.len(), 2);
    }

    /// ENV-24: a variable without value is there.
    #[test]
    fn no_value_is_not_absence() {
        let mut environ = Environ::default();
        assert!(environ.is_empty());
        environ.set(&b"A"[..], None);
        assert_eq!(environ.get(b"A"), None);
        assert!(environ.contains(b"A"));
        assert_eq!(environ.iter().collect::<Vec<_>>(), [(&b"A"[..], None)]);
    }

    /// ENV-03, REQ-101: repeated headers are joined, but not with a variable of SetEnv.
    #[test]
    fn headers_are_joined_with_headers_only() {
        let mut environ = Environ::default();
        environ.set(&b"HTTP_COOKIE"[..], Some(b"from SetEnv"));
        environ.add_header("HTTP_COOKIE", b"a=1");
        environ.add_header("HTTP_COOKIE", b"b=2");
        environ.add_header("HTTP_X", b"");
        environ.add_header("HTTP_X", b"x");
        assert_eq!(environ.get(b"HTTP_COOKIE"), Some(&b"a=1, b=2"[..]));
        assert_eq!(environ.get(b"HTTP_X"), Some(&b", x"[..]));
    }

    /// REQ-100, ENV-03: names of headers.
    #[test]
    fn header_names() {
        for (name, key) in [
            ("X-Forwarded-For", Some("HTTP_X_FORWARDED_FOR")),
            ("accept", Some("HTTP_ACCEPT")),
            ("X9", Some("HTTP_X9")),
            ("X_Forwarded_For", None),
            ("X.Y", None),
            ("X Y", None),
            ("X\u{e9}", None),
            ("", None),
        ] {
            assert_eq!(cgi_header_name(name.as_bytes()).as_deref(), key, "{name}");
        }
    }

    /// ENV-42, REQ-107, REQ-156: HTTPS is `On` or `1`; TLS of the connection counts unless a proxy header does.
    #[test]
    fn scheme() {
        for (variable, tls, kept, scheme) in [
            (None, false, false, "http"),
            (None, true, false, "https"),
            (None, true, true, "http"),
            (Some("on"), false, false, "https"),
            (Some("ON"), false, true, "https"),
            (Some("1"), false, false, "https"),
            (Some("true"), false, false, "http"),
            (Some(""), false, false, "http"),
            (Some("0"), true, true, "http"),
            (Some("off"), true, false, "https"),
        ] {
            let mut environ = Environ::default();
            if let Some(variable) = variable {
                environ.set(&b"HTTPS"[..], Some(variable.as_bytes()));
            }
            let https = environ.decide_https(tls, kept);
            assert_eq!(url_scheme(https), scheme, "{variable:?} {tls} {kept}");
        }
    }

    /// ENV-25, ENV-26, DMN-221: what is only for the module goes, and nothing else.
    #[test]
    fn consumed_variables_go() {
        let mut environ = Environ::default();
        for name in [
            "PATH",
            "HTTPS",
            "mod_wsgi.x-key",
            "PATH_INFO",
            "mod_wsgi.script_name",
        ] {
            environ.set(name.as_bytes(), Some(b"x"));
        }
        environ.remove_consumed();
        assert_eq!(names(&environ), ["PATH_INFO", "mod_wsgi.script_name"]);
        assert!(is_internal_key(b"mod_wsgi.x-"));
        assert!(!is_internal_key(b"mod_wsgi.version"));
    }

    proptest! {
        /// REQ-100: two headers share a key only if they are the same header, and a key has nothing in it that
        /// could not come from an honest name.
        #[test]
        fn keys_tell_headers_apart(one in "[A-Za-z0-9_. -]{0,6}", two in "[A-Za-z0-9_. -]{0,6}") {
            let keys = (cgi_header_name(one.as_bytes()), cgi_header_name(two.as_bytes()));
            if let (Some(first), Some(second)) = keys {
                prop_assert_eq!(first == second, one.eq_ignore_ascii_case(&two));
            }
        }

        /// REQ-100: any bytes are borne.
        #[test]
        fn keys_are_plain(name in proptest::collection::vec(any::<u8>(), 0..12)) {
            if let Some(key) = cgi_header_name(&name) {
                prop_assert_eq!(key.len(), name.len() + 5);
                prop_assert!(key.starts_with("HTTP_"));
                prop_assert!(key.bytes().all(
                    |byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_'));
            }
        }
    }
}
