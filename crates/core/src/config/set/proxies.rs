//! WSGITrustedProxyHeaders and WSGITrustedProxies.

use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net};

use super::Done;
use crate::config::{ConfigError, NoticeLevel, Place, words};

/// DIR-134: said once, where no WSGITrustedProxies stands anywhere.
const EVERY_PEER_IS_TRUSTED: &str = "WSGI5004: WSGITrustedProxyHeaders is used without WSGITrustedProxies, so every client is \
     trusted to send these headers.";

/// DIR-130 to DIR-132, MRG-05.
pub(in crate::config) fn proxy_headers(
    name: &'static str,
    line: &str,
    place: &mut Place<'_>,
) -> Done {
    let mut headers = Vec::new();
    for word in words::all(line) {
        let Some(key) = crate::request::environ::cgi_header_name(word.as_bytes()) else {
            return Err(ConfigError::Value {
                directive: name,
                what: "a header name".to_owned(),
                value: word,
                expected: "must be letters, digits and '-'".to_owned(),
            });
        };
        headers.push(key);
    }
    // An empty list trusts nobody with anything (DIR-132).
    if !headers.is_empty() && !place.global.names_proxies {
        place
            .global
            .notice(NoticeLevel::Warn, EVERY_PEER_IS_TRUSTED.to_owned());
    }
    place
        .layer()
        .trusted_proxy_headers
        .get_or_insert_default()
        .extend(headers);
    Ok(())
}

/// DIR-133, MRG-05.
pub(in crate::config) fn proxies(name: &'static str, line: &str, place: &mut Place<'_>) -> Done {
    let mut networks = Vec::new();
    for word in words::all(line) {
        let Some(network) = network(&word) else {
            return Err(ConfigError::Value {
                directive: name,
                what: "an address".to_owned(),
                value: word,
                expected: "must be an IP address, address/bits, IPv4 address/netmask or the front of an IPv4 address".to_owned(),
            });
        };
        networks.push(network);
    }
    place.global.names_proxies = true;
    place
        .global
        .notices
        .retain(|notice| notice.text != EVERY_PEER_IS_TRUSTED);
    place
        .layer()
        .trusted_proxies
        .get_or_insert_default()
        .extend(networks);
    Ok(())
}

/// The network that a word means. None for what is none, and for an IPv4 address in IPv6 form: peers are compared as IPv4.
fn network(text: &str) -> Option<IpNet> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Some(IpNet::from(address)).filter(|network| !is_mapped(network));
    }
    if let Ok(network) = text.parse::<IpNet>() {
        return Some(network.trunc()).filter(|network| !is_mapped(network));
    }
    if let Some((address, mask)) = text.split_once('/') {
        let (address, mask) = (address.parse().ok()?, mask.parse().ok()?);
        let network = Ipv4Net::with_netmask(address, mask).ok()?;
        return Some(IpNet::V4(network.trunc()));
    }
    // The front of an IPv4 address stands for all addresses that begin with it.
    let parts: Vec<u8> = text
        .strip_suffix('.')
        .unwrap_or(text)
        .split('.')
        .map(|part| {
            let digits = part.bytes().all(|byte| byte.is_ascii_digit());
            part.parse().ok().filter(|_| digits)
        })
        .collect::<Option<_>>()?;
    let mut octets = [0; 4];
    octets.get_mut(..parts.len())?.copy_from_slice(&parts);
    let bits = u8::try_from(parts.len() * 8).ok()?;
    Some(IpNet::V4(Ipv4Net::new(octets.into(), bits).ok()?))
}

fn is_mapped(network: &IpNet) -> bool {
    matches!(network.addr(), IpAddr::V6(address) if address.to_ipv4_mapped().is_some())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::testing::Reading;
    use proptest::prelude::*;

    fn networks(line: &str) -> Vec<String> {
        let reading = Reading::of(&format!("WSGITrustedProxies {line}"));
        let found = reading.layer().trusted_proxies.as_ref().unwrap();
        found.iter().map(IpNet::to_string).collect()
    }

    /// DIR-133: every form of an address.
    #[test]
    fn addresses() {
        for (text, network) in [
            ("10.1.2.3", "10.1.2.3/32"),
            ("10.1.2.3/8", "10.0.0.0/8"),
            ("10.1.2.3/255.255.0.0", "10.1.0.0/16"),
            ("10.1.2.3/0.0.0.0", "0.0.0.0/0"),
            ("0.0.0.0/0", "0.0.0.0/0"),
            ("10", "10.0.0.0/8"),
            ("10.", "10.0.0.0/8"),
            ("010.1", "10.1.0.0/16"),
            ("10.1.2", "10.1.2.0/24"),
            ("10.1.2.3.", "10.1.2.3/32"),
            ("::1", "::1/128"),
            ("FE80::1", "fe80::1/128"),
            ("2001:db8::1/32", "2001:db8::/32"),
        ] {
            assert_eq!(networks(text), [network], "{text}");
        }
    }

    /// DIR-133: what is none, in a message with the word.
    #[test]
    fn no_addresses() {
        for text in [
            "example.org",
            "*",
            "256.1",
            "10..",
            ".10",
            "10..1",
            "+10.1",
            "-1",
            "10.1.2.3.4",
            "10.1/16",
            "10.0.0.0/33",
            "10.0.0.0/",
            "10.0.0.0/8x",
            "10.0.0.0/255.0.255.0",
            "::1/129",
            "2001:db8::/ffff:ffff::",
            "::ffff:1.2.3.4",
            "::ffff:1.2.3.4/128",
            "[::1]",
            "fe80::1%eth0",
            "10.0.0.1,10.0.0.2",
            "\"\"",
            "\"10.0.0.1 10.0.0.2\"",
        ] {
            let message = Reading::refusal(&format!("WSGITrustedProxies 10.0.0.1 {text}"));
            let word = format!("Invalid value '{}' for an address", text.trim_matches('"'));
            assert!(message.starts_with(&word), "{message}");
        }
    }

    /// DIR-130 to DIR-132, MRG-05: names in environ form, in order; lines add up; no word is an empty list.
    #[test]
    fn headers() {
        let reading = Reading::of(
            "WSGITrustedProxies ::1\nWSGITrustedProxyHeaders X-Forwarded-For x-b\nWSGITrustedProxyHeaders X-b",
        );
        let found = reading.layer().trusted_proxy_headers.as_deref();
        let expected = ["HTTP_X_FORWARDED_FOR", "HTTP_X_B", "HTTP_X_B"].map(str::to_owned);
        assert_eq!(found, Some(&expected[..]));
        let reading = Reading::of("WSGITrustedProxyHeaders\nWSGITrustedProxies");
        assert_eq!(reading.layer().trusted_proxy_headers, Some(Vec::new()));
        assert_eq!(reading.layer().trusted_proxies, Some(Vec::new()));
        for bad in ["X_A", "X-A,X-B", "\"X-A X-B\"", "\"\"", "X-A:", "Ä"] {
            let message = Reading::refusal(&format!("WSGITrustedProxyHeaders {bad}"));
            assert!(
                message.contains("must be letters, digits and '-'"),
                "{message}"
            );
        }
    }

    /// MRG-05: addresses of one context add up.
    #[test]
    fn addresses_add_up() {
        let reading = Reading::of("WSGITrustedProxies 10.0.0.1 10.0.0.2\nWSGITrustedProxies ::1");
        assert_eq!(
            reading.layer().trusted_proxies.as_ref().map(Vec::len),
            Some(3)
        );
    }

    /// DIR-134: a warning, once, unless proxies are named somewhere, before or after, or no header is.
    #[test]
    fn every_peer_is_trusted() {
        assert!(Reading::of("WSGITrustedProxyHeaders").notices().is_empty());
        let headers = "WSGITrustedProxyHeaders X-A\nWSGITrustedProxyHeaders X-B";
        let reading = Reading::of(headers);
        assert_eq!(reading.notices(), [EVERY_PEER_IS_TRUSTED]);
        for text in [
            format!("{headers}\nWSGITrustedProxies 10.0.0.1"),
            format!("WSGITrustedProxies 10.0.0.1\n{headers}"),
        ] {
            assert!(Reading::of(&text).notices().is_empty());
        }
    }

    proptest! {
        /// DIR-133: any word is an address or refused.
        #[test]
        fn any_word(word in "[-+0-9a-fF:./]{0,20}") {
            let _ = network(&word);
        }

        /// DIR-133: the front of an address holds exactly the addresses that begin with it.
        #[test]
        fn fronts(octets in any::<[u8; 4]>(), other in any::<[u8; 4]>(), length in 1_usize..4) {
            let text: Vec<String> = octets[..length].iter().map(u8::to_string).collect();
            let found = network(&text.join(".")).unwrap();
            prop_assert!(found.contains(&IpAddr::from(octets)));
            let begins = octets[..length] == other[..length];
            prop_assert_eq!(found.contains(&IpAddr::from(other)), begins);
        }

        /// DIR-133: bits and netmask mean the same.
        #[test]
        fn bits_and_masks(address in any::<[u8; 4]>(), bits in 0_u8..=32) {
            let address = std::net::Ipv4Addr::from(address);
            let mask = Ipv4Net::new(address, bits).unwrap().netmask();
            prop_assert_eq!(
                network(&format!("{address}/{bits}")),
                network(&format!("{address}/{mask}"))
            );
        }
    }
}
