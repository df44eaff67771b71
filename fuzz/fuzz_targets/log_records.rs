//! The text of a log record: the script's name goes in at one place, and nothing of the application's text is lost.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wsgi_core::record::{CODE_FIRST, CONTINUATION, with_script};
use wsgi_fuzz::values;

fuzz_target!(|input: &[u8]| {
    let [script, text] = values(input);
    for flags in 0..=(CODE_FIRST | CONTINUATION) {
        let record = with_script(script, flags, text);
        if flags & CONTINUATION != 0 {
            assert_eq!(record, text);
            continue;
        }
        let prefix = [b"[script ", script, b"] "].concat();
        let at = record.len() - prefix.len() - text.len();
        assert_eq!(at, 0);
        let code = if record.starts_with(&prefix) {
            0
        } else {
            b"WSGInnnn: ".len()
        };
        assert!(code == 0 || flags & CODE_FIRST != 0);
        let digits = record[..code].iter().filter(|byte| byte.is_ascii_digit());
        assert!(code == 0 || digits.count() == 4);
        assert_eq!(record[code..code + prefix.len()], prefix);
        assert_eq!(
            [&record[..code], &record[code + prefix.len()..]].concat(),
            text
        );
    }
});
