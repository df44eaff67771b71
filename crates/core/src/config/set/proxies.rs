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
    if !place.global.names_proxies {
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
