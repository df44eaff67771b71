//! Properties of the rules of a request, for any bytes that a client can send: what lets a request through, which names reach
//! the environ, which file an alias means, what a peer that is not trusted can change, and where a request may run.

use std::net::IpAddr;

use ipnet::IpNet;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use wsgi_core::request::alias::{match_alias, target_for};
use wsgi_core::request::environ::{Environ, cgi_header_name};
use wsgi_core::request::expand::{self, ExpandFacts};
use wsgi_core::request::precheck::{BodyFacts, check_body};
use wsgi_core::request::proxies;
use wsgi_core::request::routing::{GroupFacts, Route, RoutingFacts, ServerFacts, select as route};

/// Bytes that tell lengths and encodings apart, and any others.
fn field() -> impl Strategy<Value = Vec<u8>> {
    let likely = select(vec![
        "chunked",
        "CHUNKED",
        "identity",
        "0",
        "5",
        "18446744073709551616",
        "-1",
        "+5",
        "5 ",
        "",
    ]);
    prop_oneof![
        likely.prop_map(|text| text.as_bytes().to_vec()),
        "1?[0-9]".prop_map(String::into_bytes),
        "[0-9]{1,20}".prop_map(String::into_bytes),
        vec(any::<u8>(), 0..12),
    ]
}

proptest! {
    /// REQ-030 to REQ-033: a body is let through only if its length is `chunked` where that is allowed, or a decimal number
    /// within the limit, or not told at all.
    #[test]
    fn only_clear_lengths_pass(
        encoding in proptest::option::of(field()),
        length in proptest::option::of(field()),
        limit in proptest::option::of(1_u64..12),
        chunked_allowed: bool,
    ) {
        let passed = check_body(&BodyFacts {
            transfer_encoding: encoding.as_deref(),
            content_length: length.as_deref(),
            limit,
            chunked_allowed,
        });
        if passed.is_ok() {
            let is_chunked = |text: &[u8]| chunked_allowed && text.eq_ignore_ascii_case(b"chunked");
            prop_assert!(encoding.as_deref().is_none_or(is_chunked));
            if let Some(length) = length.filter(|_| encoding.is_none()) {
                prop_assert!(!length.is_empty() && length.iter().all(u8::is_ascii_digit));
                let number: u128 = std::str::from_utf8(&length).unwrap().parse().unwrap();
                prop_assert!(limit.is_none_or(|limit| number <= u128::from(limit)));
            }
        } else {
            let status = passed.unwrap_err().status;
            prop_assert!([400, 411, 413, 501].contains(&status));
        }
    }

    /// REQ-100, ENV-03: whatever headers a client sends, they make `HTTP_*` names only, each once, with the values of that
    /// header in their order; what the server has set stays.
    #[test]
    fn headers_stay_among_themselves(
        sent in vec((
            prop_oneof![
                "[A-Za-z_.-]{0,4}",
                select(vec!["wsgi.input".to_owned(), "X-A".to_owned(), "x-a".to_owned(), "X_A".to_owned()]),
            ],
            "[a-c,]{0,3}",
        ), 0..9),
    ) {
        let mut environ = Environ::with_capacity(8);
        environ.set(&b"wsgi.input"[..], Some(b"ours"));
        environ.set(&b"SCRIPT_NAME"[..], Some(b"/ours"));
        // A variable of the server that looks like a header gives way to the header (REQ-101).
        environ.set(&b"HTTP_X_A"[..], Some(b"ours"));
        let known: Vec<_> = sent
            .iter()
            .filter_map(|(name, value)| Some((cgi_header_name(name.as_bytes())?, value)))
            .collect();
        let plain = |name: &str| !name.is_empty() && !name.contains(['_', '.']);
        prop_assert_eq!(known.len(), sent.iter().filter(|(name, _)| plain(name)).count());
        for (name, value) in &known {
            environ.add_header(name.clone(), value.as_bytes());
        }
        prop_assert_eq!(environ.get(b"wsgi.input"), Some(&b"ours"[..]));
        prop_assert_eq!(environ.get(b"SCRIPT_NAME"), Some(&b"/ours"[..]));
        for (position, (name, value)) in environ.iter().enumerate().skip(2) {
            prop_assert!(name.starts_with(b"HTTP_"));
            prop_assert!(environ.iter().take(position).all(|(other, _)| other != name));
            let values: Vec<&str> = known
                .iter()
                .filter(|(other, _)| other.as_bytes() == name)
                .map(|(_, value)| value.as_str())
                .collect();
            let joined = if values.is_empty() { "ours".to_owned() } else { values.join(", ") };
            prop_assert_eq!(value, Some(joined.as_bytes()));
        }
    }

    /// DIR-005, DIR-006: the file of an alias is its target with a tail of the URI, whatever the bytes are: no URI leads to a
    /// file that does not begin with the target.
    #[test]
    fn a_file_begins_with_its_target(
        alias in "[/ab]{0,6}",
        target in "/[ab]{0,4}/?",
        uri in vec(any::<u8>(), 0..12),
        rest in "[/ab.]{0,8}",
    ) {
        for uri in [uri, format!("{alias}{rest}").into_bytes()] {
            let (alias, target) = (alias.as_bytes(), target.as_bytes());
            let file = target_for(alias, target, &uri);
            prop_assert_eq!(file.is_some(), match_alias(alias, &uri).is_some());
            if let Some(file) = file {
                prop_assert!(file.starts_with(target));
                prop_assert!(uri.ends_with(&file[target.len()..]));
            }
        }
    }

    /// REQ-153, REQ-154: a peer that is not trusted changes nothing that the server has set, with any headers of any bytes.
    #[test]
    fn strangers_change_nothing(
        sent in vec((select(HEADERS.to_vec()), vec(any::<u8>(), 0..12)), 0..9),
        trusted_headers in vec(select(HEADERS.to_vec()), 0..5),
    ) {
        let set: [(&[u8], &[u8]); 5] = [
            (b"REMOTE_ADDR", b"203.0.113.9"),
            (b"SERVER_NAME", b"site.example"),
            (b"SERVER_PORT", b"80"),
            (b"SCRIPT_NAME", b"/app"),
            (b"HTTP_HOST", b"site.example"),
        ];
        let mut environ = Environ::with_capacity(16);
        for (name, value) in set {
            environ.set(name, Some(value));
        }
        for (name, value) in &sent {
            environ.add_header(*name, value);
        }
        let headers: Vec<String> = trusted_headers.iter().map(|name| (*name).to_owned()).collect();
        let networks: Vec<IpNet> = vec!["10.0.0.0/8".parse().unwrap()];
        let peer: IpAddr = "203.0.113.9".parse().unwrap();
        let outcome = proxies::apply(&mut environ, &headers, Some(&networks), peer);
        prop_assert_eq!(outcome, proxies::ProxyOutcome::default());
        for (name, value) in set {
            prop_assert_eq!(environ.get(name), Some(value));
        }
        for name in &headers {
            prop_assert!(!environ.contains(name.as_bytes()), "{} of a stranger is left", name);
        }
    }

    /// XPN-01 to XPN-10: a value that is no form is taken as it is, and what a client puts into a form is never read as one.
    #[test]
    fn forms_are_not_read_twice(value in "[%{}:A-Za-z]{0,12}", host in "[%{}:A-Za-z.]{0,12}") {
        let facts = ExpandFacts {
            server_name: "site.example",
            port: 80,
            host: &host,
            script_name: b"/app",
            case_sensitive: true,
            variable: &|_| None,
        };
        let is_form = ["%{GLOBAL}", "%{RESOURCE}", "%{SERVER}", "%{HOST}"].contains(&value.as_str());
        if !is_form {
            prop_assert_eq!(expand::process_group(Some(&value), &facts), value.as_str());
        }
        let expected = if host.is_empty() { "site.example" } else { &host };
        prop_assert_eq!(expand::process_group(Some("%{HOST}"), &facts), expected);
    }

    /// REQ-300, REQ-301, DMN-201 to DMN-206: a request runs in the group it is for or nowhere, and embedded only where it
    /// names no group and nothing forbids it.
    #[test]
    fn a_request_runs_where_it_belongs(
        wanted in select(vec!["", "a", "b", "c", "A"]),
        restrict in proptest::option::of(vec(select(vec!["", "a", "b", "%{GLOBAL}"]), 0..3)),
        restrict_embedded: bool,
        has_python: bool,
        host in 0_usize..3,
        homes in vec(0_usize..3, 2),
    ) {
        const NAMES: [Option<&str>; 3] = [Some("main"), Some("one"), None];
        let server = |ordinal: usize| ServerFacts { ordinal, name: NAMES[ordinal] };
        let restrict: Option<Vec<String>> =
            restrict.map(|names| names.into_iter().map(str::to_owned).collect());
        let facts = RoutingFacts {
            restrict: restrict.as_deref(),
            restrict_embedded,
            has_python,
            server: server(host),
        };
        let groups = [
            GroupFacts { name: "a", server: server(homes[0]) },
            GroupFacts { name: "b", server: server(homes[1]) },
        ];
        let named = |name: &String| name.eq_ignore_ascii_case(wanted) || (wanted.is_empty() && name == "%{GLOBAL}");
        let allowed = restrict.as_ref().is_none_or(|names| names.iter().any(named));
        match route(wanted, &facts, groups) {
            Ok(Route::Embedded) => {
                prop_assert!(wanted.is_empty() && allowed && !restrict_embedded && has_python);
            }
            Ok(Route::Daemon(position)) => {
                prop_assert!(allowed && groups[position].name == wanted);
                prop_assert!(homes[position] == 0 || homes[position] == host);
            }
            Err(refused) => prop_assert_eq!(refused.status, 500),
        }
    }
}

/// Environ names of headers that proxies send.
const HEADERS: [&str; 9] = [
    "HTTP_X_FORWARDED_FOR",
    "HTTP_X_CLIENT_IP",
    "HTTP_X_REAL_IP",
    "HTTP_X_FORWARDED_HOST",
    "HTTP_X_HOST",
    "HTTP_X_FORWARDED_SERVER",
    "HTTP_X_FORWARDED_PORT",
    "HTTP_X_SCRIPT_NAME",
    "HTTP_X_FORWARDED_PROTO",
];
