//! SCRIPT_NAME and PATH_INFO: together they are the URI but for runs of slashes, and nothing is added to them.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wsgi_core::request::path::{collapse_slashes, path_info_start, resource_name, split};
use wsgi_fuzz::values;

fuzz_target!(|input: &[u8]| {
    let [uri, path_info] = values(input);
    let once = collapse_slashes(uri);
    assert!(!once.windows(2).any(|pair| pair == b"//"));
    assert_eq!(collapse_slashes(&once), once);
    let without = |path: &[u8]| {
        path.iter()
            .copied()
            .filter(|byte| *byte != b'/')
            .collect::<Vec<_>>()
    };
    assert_eq!(without(&once), without(uri));

    let start = path_info_start(uri, path_info);
    assert!(start == uri.len() || uri[start] == b'/');
    let (script, info) = split(uri, path_info, false);
    assert!(uri.starts_with(script) && info == path_info);
    // Where httpd's PATH_INFO is a tail of the URI, the halves are the whole.
    if path_info.starts_with(b"/") && uri.ends_with(path_info) {
        let whole = [script, info].concat();
        assert_eq!(collapse_slashes(&whole), once);
    }
    let resource = resource_name(uri, path_info, false, false);
    assert!(resource.len() <= uri.len() && !resource.iter().any(u8::is_ascii_uppercase));
    assert_eq!(resource_name(uri, path_info, true, true), once);
});
