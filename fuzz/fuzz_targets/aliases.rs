//! Which URLs an alias takes, and what file they mean: whole components only, and of the client's bytes what the alias left over.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wsgi_core::request::alias::{match_alias, path_info_behind, target_for, target_for_match};
use wsgi_core::request::path::collapse_slashes;
use wsgi_fuzz::{values, within};

fuzz_target!(|input: &[u8]| {
    let [alias, uri, target, captures] = values(input);
    let taken = within(0, || match_alias(alias, uri));
    if let Some(taken) = taken {
        let (head, rest) = uri.split_at(taken);
        // One slash stands for one or more, nothing else for anything else.
        assert_eq!(collapse_slashes(head), collapse_slashes(alias));
        assert!(rest.is_empty() || rest.starts_with(b"/") || head.ends_with(b"/"));
        assert!(!(head.ends_with(b"/") && rest.starts_with(b"/")));
        assert!(path_info_behind(uri, taken).is_some_and(|start| start <= taken));
    } else if !alias.is_empty() {
        assert_ne!(collapse_slashes(alias), collapse_slashes(uri));
    }
    let file = target_for(alias, target, uri);
    assert_eq!(file.is_some(), taken.is_some());
    if let Some(file) = file {
        let rest = file.strip_prefix(target).expect("the target stands first");
        assert!(uri.ends_with(rest));
    }

    let mut groups = [None; 10];
    for (group, pair) in groups.iter_mut().zip(captures.chunks_exact(2)) {
        *group = Some((usize::from(pair[0]), usize::from(pair[1])));
    }
    if let Some((_, end)) = groups[0] {
        let start = path_info_behind(uri, end);
        assert!(
            start.is_none_or(|start| start <= end && matches!(uri.get(start), None | Some(b'/')))
        );
        let room = 2 * (target.len() * (uri.len() + 1) + uri.len()) + 64;
        if let Some(file) = within(room, || target_for_match(target, uri, &groups)) {
            assert!(file.ends_with(&uri[end..]));
            if !target.contains(&b'$') && !target.contains(&b'\\') {
                let is_root = uri[..end].iter().all(|byte| *byte == b'/');
                let rest = if is_root { uri } else { &uri[end..] };
                assert_eq!(file, [target, rest].concat());
            }
        }
    }
});
