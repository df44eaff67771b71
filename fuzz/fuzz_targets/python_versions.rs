//! Versions of Pythons in the configuration and in `pyvenv.cfg`: what is one is the same when it is written out, and what the
//! file says is what it is taken for.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wsgi_runtime_api::discover::{Version, version_in_pyvenv};

fuzz_target!(|text: &str| {
    if let Ok(version) = text.parse::<Version>() {
        assert_eq!(version.to_string().parse(), Ok(version));
        assert!(
            text.bytes()
                .all(|byte| byte.is_ascii_digit() || byte == b'.' || byte == b't')
        );
    }
    if let Some(version) = version_in_pyvenv(text) {
        let number = |number: u32| text.contains(&number.to_string());
        assert!(number(version.major) && number(version.minor), "{version}");
        // The line is found wherever it stands.
        let more = format!("home = /usr/bin\nprompt = 'version'\n{text}");
        assert_eq!(version_in_pyvenv(&more), Some(version));
    }
});
