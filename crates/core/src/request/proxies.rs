//! Trusted proxy headers: what a proxy in front of Apache says about the client, and what of it the application
//! sees (REQ-140 to REQ-168).
//!
//! Only headers that the administrator listed count, only from peers that are trusted, and of the headers that
//! mean the same only the one that was applied is left: a client cannot bring a synonym past its proxy. Pure,
//! on the thread of the request.

use std::borrow::Cow;
use std::net::IpAddr;

use ipnet::IpNet;

use super::environ::{Environ, HTTPS};

mod forwarded_for;

pub use forwarded_for::contains;

/// What was done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProxyOutcome {
    /// What the headers said about the scheme; the variable HTTPS is set accordingly. None if they said nothing
    /// that is known.
    pub https: Option<bool>,
    /// A scheme header was kept, whatever it said: the scheme of the connection no longer counts (REQ-156).
    pub scheme_kept: bool,
    /// A script header was applied: `mod_wsgi.mount_point` is set (ENV-55).
    pub mount_point: bool,
    /// REMOTE_ADDR was set.
    pub remote_addr_changed: bool,
}

/// What a group of headers with the same meaning is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Category {
    Client,
    Host,
    Server,
    Port,
    Script,
    Scheme,
}

/// All categories, in the order of their discriminants.
const CATEGORIES: [Category; 6] = [
    Category::Client,
    Category::Host,
    Category::Server,
    Category::Port,
    Category::Script,
    Category::Scheme,
];

/// How a header says what it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Meaning {
    /// A list of addresses, the client's first.
    AddressList,
    /// The value for the variable, as it is.
    Verbatim(&'static [u8]),
    /// SCRIPT_NAME and mount point.
    ScriptName,
    /// `https` or `http`.
    SchemeWord,
    /// `on` or `off`.
    SchemeFlag,
}

/// The registry (REQ-140 to REQ-146).
const REGISTRY: [(&str, Category, Meaning); 15] = [
    (
        "HTTP_X_FORWARDED_FOR",
        Category::Client,
        Meaning::AddressList,
    ),
    (
        "HTTP_X_CLIENT_IP",
        Category::Client,
        Meaning::Verbatim(b"REMOTE_ADDR"),
    ),
    (
        "HTTP_X_REAL_IP",
        Category::Client,
        Meaning::Verbatim(b"REMOTE_ADDR"),
    ),
    (
        "HTTP_X_FORWARDED_HOST",
        Category::Host,
        Meaning::Verbatim(b"HTTP_HOST"),
    ),
    (
        "HTTP_X_HOST",
        Category::Host,
        Meaning::Verbatim(b"HTTP_HOST"),
    ),
    (
        "HTTP_X_FORWARDED_SERVER",
        Category::Server,
        Meaning::Verbatim(b"SERVER_NAME"),
    ),
    (
        "HTTP_X_FORWARDED_PORT",
        Category::Port,
        Meaning::Verbatim(b"SERVER_PORT"),
    ),
    ("HTTP_X_SCRIPT_NAME", Category::Script, Meaning::ScriptName),
    (
        "HTTP_X_FORWARDED_SCRIPT_NAME",
        Category::Script,
        Meaning::ScriptName,
    ),
    (
        "HTTP_X_FORWARDED_PROTO",
        Category::Scheme,
        Meaning::SchemeWord,
    ),
    (
        "HTTP_X_FORWARDED_SCHEME",
        Category::Scheme,
        Meaning::SchemeWord,
    ),
    ("HTTP_X_SCHEME", Category::Scheme, Meaning::SchemeWord),
    (
        "HTTP_X_FORWARDED_HTTPS",
        Category::Scheme,
        Meaning::SchemeFlag,
    ),
    (
        "HTTP_X_FORWARDED_SSL",
        Category::Scheme,
        Meaning::SchemeFlag,
    ),
    ("HTTP_X_HTTPS", Category::Scheme, Meaning::SchemeFlag),
];

/// Whether a configured header (environ form) is known; others are ignored (REQ-151).
pub fn is_known(header: &str) -> bool {
    REGISTRY.iter().any(|(name, ..)| *name == header)
}

/// Applies the `configured` headers (environ form, in the order of WSGITrustedProxyHeaders) to the environ.
///
/// `trusted` is WSGITrustedProxies, None if it is not set: then every peer is trusted (REQ-150). `peer` is the
/// address of the other side as mod_remoteip leaves it; an IPv4 address in IPv6 form is compared as IPv4.
pub fn apply(
    environ: &mut Environ<'_>,
    configured: &[String],
    trusted: Option<&[IpNet]>,
    peer: IpAddr,
) -> ProxyOutcome {
    let mut outcome = ProxyOutcome::default();
    let mut matched = [false; CATEGORIES.len()];
    let mut kept: [Option<&str>; CATEGORIES.len()] = [None; CATEGORIES.len()];
    let is_peer_trusted = trusted.is_none_or(|networks| contains(networks, peer));
    for header in configured {
        let Some((name, category, meaning)) = REGISTRY.iter().find(|(name, ..)| name == header)
        else {
            continue;
        };
        matched[*category as usize] = true;
        if !is_peer_trusted {
            continue;
        }
        // A header without value cannot come from a client; SetEnv can make one.
        let Some(value) = environ.get_cow(name.as_bytes()) else {
            continue;
        };
        kept[*category as usize] = Some(name);
        outcome.scheme_kept |= *category == Category::Scheme;
        apply_one(environ, name, *meaning, value, trusted, &mut outcome);
    }
    for (name, category, _) in &REGISTRY {
        if matched[*category as usize] && kept[*category as usize] != Some(*name) {
            environ.remove(name.as_bytes());
        }
    }
    outcome
}

fn apply_one<'r>(
    environ: &mut Environ<'r>,
    name: &'static str,
    meaning: Meaning,
    value: Cow<'r, [u8]>,
    trusted: Option<&[IpNet]>,
    outcome: &mut ProxyOutcome,
) {
    match meaning {
        Meaning::AddressList => {
            if let Some(client) = forwarded_for::client_of(&value, trusted) {
                outcome.remote_addr_changed = true;
                environ.set_owned(&b"REMOTE_ADDR"[..], client.address);
                if let Some(rest) = client.rest {
                    environ.set_owned(name.as_bytes(), rest);
                }
            }
        }
        Meaning::Verbatim(variable) => {
            outcome.remote_addr_changed |= variable == b"REMOTE_ADDR";
            environ.set_cow(variable, value);
        }
        Meaning::ScriptName => {
            outcome.mount_point = true;
            environ.set_cow(&b"mod_wsgi.mount_point"[..], value.clone());
            environ.set_cow(&b"SCRIPT_NAME"[..], value);
        }
        Meaning::SchemeWord => set_https(environ, outcome, &value, &[b"https"], &[b"http"]),
        Meaning::SchemeFlag => {
            set_https(
                environ,
                outcome,
                &value,
                &[b"on", b"true", b"1"],
                &[b"off", b"false", b"0"],
            );
        }
    }
}

/// REQ-145, REQ-146: any other value changes nothing.
fn set_https(
    environ: &mut Environ<'_>,
    outcome: &mut ProxyOutcome,
    value: &[u8],
    on: &[&[u8]],
    off: &[&[u8]],
) {
    let is_one_of = |words: &[&[u8]]| words.iter().any(|word| word.eq_ignore_ascii_case(value));
    let https = match (is_one_of(on), is_one_of(off)) {
        (true, _) => true,
        (_, true) => false,
        _ => return,
    };
    environ.set(HTTPS, Some(if https { b"1" } else { b"0" }));
    outcome.https = Some(https);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const PEER: &str = "192.0.2.7";

    /// Applies `configured` (words) to a request with these variables.
    fn run<'r>(
        configured: &str,
        trusted: Option<&[&str]>,
        peer: &str,
        variables: &[(&'r str, &'r str)],
    ) -> (Environ<'r>, ProxyOutcome) {
        let configured: Vec<String> = configured.split_whitespace().map(str::to_owned).collect();
        let trusted: Option<Vec<IpNet>> =
            trusted.map(|networks| networks.iter().map(|net| net.parse().unwrap()).collect());
        let mut environ = Environ::with_capacity(8);
        environ.set(&b"REMOTE_ADDR"[..], Some(PEER.as_bytes()));
        environ.set(&b"SCRIPT_NAME"[..], Some(b"/app"));
        for (name, value) in variables {
            environ.set(name.as_bytes(), Some(value.as_bytes()));
        }
        let outcome = apply(
            &mut environ,
            &configured,
            trusted.as_deref(),
            peer.parse().unwrap(),
        );
        (environ, outcome)
    }

    fn get<'e>(environ: &'e Environ<'_>, name: &str) -> Option<&'e str> {
        environ
            .get(name.as_bytes())
            .map(|value| std::str::from_utf8(value).unwrap())
    }

    const FORWARDED: &str = "HTTP_X_FORWARDED_FOR";
    /// REQ-140, REQ-160 to REQ-164: X-Forwarded-For changes REMOTE_ADDR and itself, or neither.
    #[test]
    fn forwarded_for_changes_address_and_header() {
        for (trusted, value, address, rest) in [
            (
                Some(&["192.0.2.0/24"][..]),
                "9.9.9.9, 1.2.3.4",
                "1.2.3.4",
                "1.2.3.4",
            ),
            (Some(&["192.0.2.0/24"]), ", ,", PEER, ", ,"),
            (None, "9.9.9.9, 1.2.3.4", "9.9.9.9", "9.9.9.9, 1.2.3.4"),
        ] {
            let (environ, outcome) = run(FORWARDED, trusted, PEER, &[(FORWARDED, value)]);
            assert_eq!(get(&environ, "REMOTE_ADDR"), Some(address), "{value}");
            assert_eq!(get(&environ, FORWARDED), Some(rest), "{value}");
            assert_eq!(outcome.remote_addr_changed, address != PEER);
        }
    }

    /// REQ-140 to REQ-144, REQ-157: each header and its variables, verbatim.
    #[test]
    fn headers_set_their_variables() {
        for (header, variables) in [
            ("HTTP_X_CLIENT_IP", &["REMOTE_ADDR"][..]),
            ("HTTP_X_REAL_IP", &["REMOTE_ADDR"]),
            ("HTTP_X_FORWARDED_HOST", &["HTTP_HOST"]),
            ("HTTP_X_HOST", &["HTTP_HOST"]),
            ("HTTP_X_FORWARDED_SERVER", &["SERVER_NAME"]),
            ("HTTP_X_FORWARDED_PORT", &["SERVER_PORT"]),
            (
                "HTTP_X_SCRIPT_NAME",
                &["SCRIPT_NAME", "mod_wsgi.mount_point"],
            ),
            (
                "HTTP_X_FORWARDED_SCRIPT_NAME",
                &["SCRIPT_NAME", "mod_wsgi.mount_point"],
            ),
        ] {
            assert!(is_known(header));
            let value = "//any%20 value, of it";
            let (environ, outcome) = run(header, None, PEER, &[(header, value)]);
            for variable in variables {
                assert_eq!(get(&environ, variable), Some(value), "{header}");
            }
            assert_eq!(get(&environ, header), Some(value));
            assert_eq!(outcome.mount_point, variables.contains(&"SCRIPT_NAME"));
            assert_eq!(
                outcome.remote_addr_changed,
                variables.contains(&"REMOTE_ADDR")
            );
            assert!(!outcome.scheme_kept);
        }
    }

    /// REQ-145, REQ-146, REQ-156: scheme headers.
    #[test]
    fn schemes() {
        let words = [
            "HTTP_X_FORWARDED_PROTO",
            "HTTP_X_FORWARDED_SCHEME",
            "HTTP_X_SCHEME",
        ];
        let flags = [
            "HTTP_X_FORWARDED_HTTPS",
            "HTTP_X_FORWARDED_SSL",
            "HTTP_X_HTTPS",
        ];
        let of_word = [
            ("https", Some(true)),
            ("HTTP", Some(false)),
            ("on", None),
            ("", None),
        ];
        let of_flag = [
            ("on", Some(true)),
            ("True", Some(true)),
            ("1", Some(true)),
            ("OFF", Some(false)),
            ("false", Some(false)),
            ("0", Some(false)),
            ("https", None),
            ("yes", None),
        ];
        let words = words
            .iter()
            .flat_map(|header| of_word.map(|row| (*header, row)));
        let flags = flags
            .iter()
            .flat_map(|header| of_flag.map(|row| (*header, row)));
        for (header, (value, https)) in words.chain(flags) {
            let (environ, outcome) = run(header, None, PEER, &[(header, value)]);
            assert_eq!(outcome.https, https, "{header} {value}");
            assert!(outcome.scheme_kept);
            let variable = https.map(|https| if https { "1" } else { "0" });
            assert_eq!(get(&environ, "HTTPS"), variable, "{header} {value}");
        }
        // REQ-107: a kept header, known value or not, overrules TLS; one that is not there does not.
        for (variables, https) in [
            (&[("HTTP_X_SCHEME", "odd")][..], false),
            (&[("HTTP_X_SCHEME", "http")], false),
            (&[], true),
        ] {
            let (mut environ, outcome) = run("HTTP_X_SCHEME", None, PEER, variables);
            assert_eq!(
                environ.decide_https(true, outcome.scheme_kept),
                https,
                "{variables:?}"
            );
        }
    }

    /// REQ-153, REQ-154: the last configured one that is there wins; synonyms go, configured or not.
    #[test]
    fn the_last_configured_header_wins() {
        let sent = [
            ("HTTP_X_FORWARDED_PROTO", "https"),
            ("HTTP_X_FORWARDED_SSL", "off"),
            ("HTTP_X_SCHEME", "https"),
        ];
        let configured = "HTTP_X_FORWARDED_PROTO HTTP_X_FORWARDED_SSL HTTP_X_HTTPS";
        let (environ, outcome) = run(configured, None, PEER, &sent);
        assert_eq!(outcome.https, Some(false));
        assert_eq!(get(&environ, "HTTP_X_FORWARDED_SSL"), Some("off"));
        assert_eq!(get(&environ, "HTTP_X_FORWARDED_PROTO"), None);
        assert_eq!(get(&environ, "HTTP_X_SCHEME"), None);
    }

    /// REQ-151, REQ-155: unknown headers and other categories are left alone.
    #[test]
    fn other_headers_pass() {
        let sent = [
            ("HTTP_X_MINE", "1"),
            ("HTTP_X_HOST", "h"),
            ("HTTP_X_REAL_IP", "1.1.1.1"),
        ];
        let (environ, outcome) = run("HTTP_X_MINE HTTP_X_REAL_IP", None, PEER, &sent);
        assert!(!is_known("HTTP_X_MINE"));
        assert_eq!(get(&environ, "HTTP_X_MINE"), Some("1"));
        assert_eq!(get(&environ, "HTTP_X_HOST"), Some("h"));
        assert_eq!(get(&environ, "HTTP_HOST"), None);
        assert!(outcome.remote_addr_changed);
    }

    /// REQ-150, REQ-152, REQ-154: from an untrusted peer nothing is applied and every header of the categories
    /// goes.
    #[test]
    fn untrusted_peers_are_not_believed() {
        let sent = [
            (FORWARDED, "1.1.1.1"),
            ("HTTP_X_REAL_IP", "1.1.1.1"),
            ("HTTP_X_SCHEME", "https"),
            ("HTTP_X_HOST", "h"),
        ];
        let configured = "HTTP_X_FORWARDED_FOR HTTP_X_FORWARDED_PROTO";
        for (networks, peer) in [
            (&["10.0.0.0/8"][..], PEER),
            (&[], PEER),
            (&["::/0"], "::ffff:192.0.2.7"),
            (&["0.0.0.0/0"], "2001:db8::1"),
        ] {
            let (environ, outcome) = run(configured, Some(networks), peer, &sent);
            assert_eq!(outcome, ProxyOutcome::default(), "{networks:?} {peer}");
            assert_eq!(get(&environ, "REMOTE_ADDR"), Some(PEER));
            for gone in [FORWARDED, "HTTP_X_REAL_IP", "HTTP_X_SCHEME"] {
                assert_eq!(get(&environ, gone), None);
            }
            assert_eq!(get(&environ, "HTTP_X_HOST"), Some("h"));
        }
    }

    /// REQ-154: no configuration (not even an empty list, DIR-132) touches anything.
    #[test]
    fn nothing_configured_nothing_done() {
        let (environ, outcome) = run("", None, PEER, &[(FORWARDED, "1.1.1.1")]);
        assert_eq!(outcome, ProxyOutcome::default());
        assert_eq!(get(&environ, FORWARDED), Some("1.1.1.1"));
    }

    fn header() -> impl Strategy<Value = usize> {
        0..REGISTRY.len()
    }

    proptest! {
        /// REQ-153, REQ-154: of each matched category at most one header is left, one that was configured, and
        /// none from an untrusted peer; of others all are left. So a spoofed synonym never survives.
        #[test]
        fn synonyms_never_survive(
            configured in proptest::collection::vec(header(), 0..6),
            sent in proptest::collection::vec((header(), "[a-z0-9., ]{0,8}"), 0..9),
            is_trusted: bool,
        ) {
            let words: Vec<_> = configured.iter().map(|index| REGISTRY[*index].0).collect();
            let variables: Vec<_> =
                sent.iter().map(|(index, value)| (REGISTRY[*index].0, value.as_str())).collect();
            let networks: &[&str] = if is_trusted { &["192.0.2.0/24"] } else { &[] };
            let (environ, _) = run(&words.join(" "), Some(networks), PEER, &variables);
            for category in CATEGORIES {
                let matched = configured.iter().any(|index| REGISTRY[*index].1 == category);
                let left = |index: &usize| environ.contains(REGISTRY[*index].0.as_bytes());
                let of: Vec<_> =
                    (0..REGISTRY.len()).filter(|index| REGISTRY[*index].1 == category).collect();
                let survivors: Vec<_> = of.iter().copied().filter(left).collect();
                if matched {
                    prop_assert!(survivors.len() <= usize::from(is_trusted));
                    prop_assert!(survivors.iter().all(|index| configured.contains(index)));
                } else {
                    let was_sent = |index: &&usize| sent.iter().any(|(other, _)| other == *index);
                    prop_assert_eq!(survivors.len(), of.iter().filter(was_sent).count());
                }
            }
        }
    }
}
