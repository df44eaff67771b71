//! WSGITrustedProxies: what is accepted is a network that contains its own address, that means the same when it is written out,
//! and that is no IPv4 network in disguise (DIR-133).
#![no_main]

use ipnet::IpNet;
use libfuzzer_sys::fuzz_target;
use wsgi_core::request::proxies::contains;
use wsgi_fuzz::configuration::Reading;

fuzz_target!(|line: &str| {
    let Some(networks) = read(line) else {
        return;
    };
    for network in &networks {
        assert_eq!(network.trunc(), *network);
        assert_eq!(network.addr().to_canonical(), network.addr());
        let one = [*network];
        assert!(contains(&one, network.addr()));
        // An IPv6 network may hold the place of IPv4 addresses: those are none of it.
        let last = network.broadcast();
        assert_eq!(contains(&one, last), last.to_canonical() == last);
        if let IpNet::V4(four) = network {
            assert!(contains(&one, four.addr().to_ipv6_mapped().into()));
        }
    }
    let written: Vec<String> = networks.iter().map(IpNet::to_string).collect();
    assert_eq!(read(&written.join(" ")), Some(networks));
});

fn read(line: &str) -> Option<Vec<IpNet>> {
    if line.contains(['\n', '\r']) {
        return None;
    }
    let mut reading = Reading::default();
    reading.read(&format!("WSGITrustedProxies {line}")).ok()?;
    reading.servers[0].layer.trusted_proxies.take()
}
