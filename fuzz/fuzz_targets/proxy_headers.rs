//! Headers of trusted proxies: a peer that is not trusted changes nothing, of headers that mean the same only the one that was
//! applied is left, and REMOTE_ADDR is something that a trusted element or peer vouched for.
#![no_main]

use std::net::IpAddr;

use libfuzzer_sys::fuzz_target;
use wsgi_core::request::environ::{Environ, cgi_header_name};
use wsgi_core::request::proxies::{apply, is_known};
use wsgi_fuzz::values;

/// Headers that mean the same.
const SYNONYMS: [&[&str]; 4] = [
    &["HTTP_X_FORWARDED_FOR", "HTTP_X_CLIENT_IP", "HTTP_X_REAL_IP"],
    &["HTTP_X_FORWARDED_HOST", "HTTP_X_HOST"],
    &["HTTP_X_SCRIPT_NAME", "HTTP_X_FORWARDED_SCRIPT_NAME"],
    &[
        "HTTP_X_FORWARDED_PROTO",
        "HTTP_X_FORWARDED_SCHEME",
        "HTTP_X_SCHEME",
        "HTTP_X_FORWARDED_HTTPS",
        "HTTP_X_FORWARDED_SSL",
        "HTTP_X_HTTPS",
    ],
];

fuzz_target!(|input: &[u8]| {
    let [configured, peer, headers] = values(input);
    let configured: Vec<String> = configured
        .split(|byte| *byte == b' ')
        .filter_map(cgi_header_name)
        .collect();
    let peer = std::str::from_utf8(peer)
        .ok()
        .and_then(|text| text.parse().ok());
    let peer: IpAddr = peer.unwrap_or(IpAddr::from([192, 0, 2, 7]));
    let trusted =
        ["10.0.0.0/8", "2001:db8::/32"].map(|network| network.parse().expect("a network"));

    let mut before = Environ::with_capacity(8);
    before.set(&b"REMOTE_ADDR"[..], Some(b"192.0.2.7"));
    for line in headers.split(|byte| *byte == b'\n') {
        let colon = line
            .iter()
            .position(|byte| *byte == b':')
            .unwrap_or(line.len());
        let (name, value) = line.split_at(colon);
        if let Some(key) = cgi_header_name(name) {
            before.add_header(key, value.strip_prefix(b":").unwrap_or_default());
        }
    }
    let mut after = before.clone();
    let outcome = apply(&mut after, &configured, Some(&trusted), peer);

    let is_trusted = trusted
        .iter()
        .any(|network: &ipnet::IpNet| network.contains(&peer.to_canonical()));
    if !is_trusted {
        assert_eq!(outcome, Default::default());
        for (name, value) in after.iter() {
            assert_eq!(before.get(name), value);
        }
    }
    for names in SYNONYMS {
        let is_configured = |name: &&&str| configured.iter().any(|known| known == **name);
        if names.iter().any(|name| is_configured(&name)) {
            let left = names.iter().filter(|name| after.contains(name.as_bytes()));
            assert!(left.clone().count() <= usize::from(is_trusted));
            assert!(left.clone().all(|name| is_configured(&name)));
        }
    }
    // Other headers are none of its business.
    for (name, value) in before.iter() {
        let is_ours = std::str::from_utf8(name).is_ok_and(is_known);
        let is_target = matches!(name, b"REMOTE_ADDR" | b"HTTP_HOST");
        assert!(is_ours || is_target || after.get(name) == value);
    }
    assert_eq!(after.get(b"REMOTE_ADDR") != Some(b"192.0.2.7"), {
        outcome.remote_addr_changed && after.get(b"REMOTE_ADDR") != Some(b"192.0.2.7")
    });
    // The list that is left ends as the client's did, and its first element is the client.
    if configured == ["HTTP_X_FORWARDED_FOR"] && is_trusted {
        if let Some(list) = after
            .get(b"HTTP_X_FORWARDED_FOR")
            .filter(|_| outcome.remote_addr_changed)
        {
            let first = list.split(|byte| *byte == b',').next().unwrap_or_default();
            assert_eq!(after.get(b"REMOTE_ADDR"), Some(first));
            for element in list.split(|byte| *byte == b',').skip(1) {
                let text = std::str::from_utf8(element.trim_ascii()).expect("an address");
                let address: IpAddr = text.parse().expect("an address");
                assert!(
                    trusted
                        .iter()
                        .any(|network| network.contains(&address.to_canonical()))
                );
            }
        }
    }
});
