//! X-Forwarded-For: the list of addresses that a request came through, and which of them is the client's
//! (REQ-160 to REQ-165).

use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net};

/// What X-Forwarded-For says.
pub(super) struct Client {
    /// For REMOTE_ADDR.
    pub(super) address: Vec<u8>,
    /// For the header itself; None to leave it as it came.
    pub(super) rest: Option<Vec<u8>>,
}

/// Reads X-Forwarded-For (REQ-160 to REQ-165); None if nothing is in it.
///
/// With trusted networks every proxy on the way vouches for the element to its left. So we go from the right
/// while elements are trusted, and the first that is not, or the leftmost, is the client. Everything to its
/// left is hearsay.
pub(super) fn client_of(value: &[u8], trusted: Option<&[IpNet]>) -> Option<Client> {
    let mut elements = value
        .split(|byte| *byte == b',')
        .map(<[u8]>::trim_ascii)
        .filter(|element| !element.is_empty());
    let Some(networks) = trusted else {
        return elements.next().map(|first| Client {
            address: first.to_vec(),
            rest: None,
        });
    };
    let mut address: &[u8] = b"";
    let mut rest = Vec::new();
    for element in elements.rev() {
        address = element;
        rest.push(element);
        if !parse_address(element).is_some_and(|address| contains(networks, address)) {
            break;
        }
    }
    if rest.is_empty() {
        return None;
    }
    rest.reverse();
    Some(Client {
        address: address.to_vec(),
        rest: Some(rest.join(&b", "[..])),
    })
}

/// Address literals only: a name would make the client choose what we look up (REQ-165).
fn parse_address(element: &[u8]) -> Option<IpAddr> {
    std::str::from_utf8(element).ok()?.parse().ok()
}

/// Whether an address is in one of the networks; IPv4 addresses and networks in IPv6 form count as IPv4.
pub fn contains(networks: &[IpNet], address: IpAddr) -> bool {
    let address = address.to_canonical();
    networks
        .iter()
        .any(|network| canonical(*network).contains(&address))
}

fn canonical(network: IpNet) -> IpNet {
    if let IpNet::V6(six) = network {
        let four = six
            .addr()
            .to_ipv4_mapped()
            .zip(six.prefix_len().checked_sub(96));
        if let Some(four) = four.and_then(|(addr, bits)| Ipv4Net::new(addr, bits).ok()) {
            return IpNet::V4(four);
        }
    }
    network
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn trusted() -> Vec<IpNet> {
        ["10.0.0.0/8", "192.0.2.0/24", "2001:db8::/32"]
            .map(|network| network.parse().unwrap())
            .to_vec()
    }

    /// Address and header, where the header said something.
    fn read(value: &[u8], trusted: Option<&[IpNet]>) -> Option<(String, Option<String>)> {
        let text = |bytes| String::from_utf8(bytes).unwrap();
        client_of(value, trusted).map(|client| (text(client.address), client.rest.map(text)))
    }

    /// REQ-160, REQ-162 to REQ-165: the table of examples, and more of its kind.
    #[test]
    fn with_trusted_networks() {
        for (value, address, rest) in [
            ("1.2.3.4", "1.2.3.4", "1.2.3.4"),
            ("1.2.3.4, 10.1.1.1", "1.2.3.4", "1.2.3.4, 10.1.1.1"),
            (
                "1.2.3.4, 5.6.7.8, 10.1.1.1, 10.2.2.2",
                "5.6.7.8",
                "5.6.7.8, 10.1.1.1, 10.2.2.2",
            ),
            ("10.9.9.9, 10.1.1.1", "10.9.9.9", "10.9.9.9, 10.1.1.1"),
            ("10.1.1.1, 1.2.3.4", "1.2.3.4", "1.2.3.4"),
            (" 1.2.3.4 ,,\t10.1.1.1,", "1.2.3.4", "1.2.3.4, 10.1.1.1"),
            ("1.2.3.4, unknown, 10.1.1.1", "unknown", "unknown, 10.1.1.1"),
            ("1.2.3.4, localhost", "localhost", "localhost"),
            (
                "1.2.3.4, 10.1.1.1:80, 10.1.1.2",
                "10.1.1.1:80",
                "10.1.1.1:80, 10.1.1.2",
            ),
            (
                "1.2.3.4, ::ffff:10.1.1.1",
                "1.2.3.4",
                "1.2.3.4, ::ffff:10.1.1.1",
            ),
            ("1.2.3.4, 2001:DB8::1", "1.2.3.4", "1.2.3.4, 2001:DB8::1"),
            ("1.2.3.4, 2001:db9::1", "2001:db9::1", "2001:db9::1"),
        ] {
            let expected = Some((address.to_owned(), Some(rest.to_owned())));
            assert_eq!(
                read(value.as_bytes(), Some(&trusted())),
                expected,
                "{value}"
            );
        }
    }

    /// REQ-160: nothing in the list, nothing to change.
    #[test]
    fn empty_lists() {
        for value in ["", " ", ",", ", ,", "\t,\t"] {
            assert_eq!(read(value.as_bytes(), Some(&trusted())), None, "{value:?}");
            assert_eq!(read(value.as_bytes(), None), None, "{value:?}");
        }
    }

    /// REQ-161: without WSGITrustedProxies the first element counts and the header stays.
    #[test]
    fn without_trusted_networks() {
        for (value, address) in [("1.2.3.4, 10.1.1.1", "1.2.3.4"), (" ,unknown,", "unknown")] {
            assert_eq!(
                read(value.as_bytes(), None),
                Some((address.to_owned(), None))
            );
        }
    }

    /// REQ-150: IPv4 in IPv6 form is IPv4, for peers and for networks.
    #[test]
    fn mapped_addresses_are_ipv4() {
        for (network, address, inside) in [
            ("192.0.2.0/24", "::ffff:192.0.2.7", true),
            ("::ffff:192.0.2.0/120", "192.0.2.7", true),
            ("::ffff:192.0.2.0/120", "::ffff:192.0.2.7", true),
            ("::ffff:192.0.2.0/120", "192.0.3.7", false),
            ("::/0", "192.0.2.7", false),
            ("2001:db8::/32", "2001:db8::7", true),
        ] {
            let networks = [network.parse().unwrap()];
            assert_eq!(
                contains(&networks, address.parse().unwrap()),
                inside,
                "{network} {address}"
            );
        }
    }

    proptest! {
        /// REQ-162 to REQ-164: what a client writes before what the proxies appended changes nothing.
        #[test]
        fn forged_elements_change_nothing(forged in "[0-9a-f.:, \u{e9}]{0,20}") {
            let honest = "203.0.113.9, 10.1.1.1";
            let value = format!("{forged}, {honest}");
            let expected = Some(("203.0.113.9".to_owned(), Some(honest.to_owned())));
            prop_assert_eq!(read(value.as_bytes(), Some(&trusted())), expected);
        }

        /// REQ-160: any bytes are borne; the address is never empty and without commas.
        #[test]
        fn any_list_is_borne(value in proptest::collection::vec(any::<u8>(), 0..30), is_set: bool) {
            let networks = trusted();
            if let Some(client) = client_of(&value, is_set.then_some(&networks[..])) {
                prop_assert!(!client.address.is_empty() && !client.address.contains(&b','));
                prop_assert_eq!(client.rest.is_some(), is_set);
            }
        }
    }
}
