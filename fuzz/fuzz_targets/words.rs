//! Words and options of a directive (GEN-04, GEN-07, GEN-08): what was read and is quoted again is read alike, and a line gives
//! no more than it has.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wsgi_core::config::words;

fuzz_target!(|line: &str| {
    let found = words::all(line);
    assert!(found.iter().map(String::len).sum::<usize>() <= line.len());
    let again: Vec<String> = found.iter().map(|word| quoted(word)).collect();
    assert_eq!(words::all(&again.join(" ")), found);

    let (mut rest, mut options) = (line, Vec::new());
    loop {
        let before = rest.len();
        match words::option(&mut rest) {
            Ok(Some((name, value))) => {
                assert!(rest.len() < before);
                assert!(!name.is_empty() && !name.contains(['=', '"', '\'', ' ', '\t', '\n']));
                options.push((name, value));
            }
            Ok(None) => break assert!(rest.is_empty()),
            Err(text) => break assert!(!text.is_empty() && rest.contains(&text)),
        }
    }
    let written: Vec<String> = options
        .iter()
        .map(|(name, value)| format!("{name}={}", quoted(value)))
        .collect();
    let written = written.join("\t");
    let mut rest = written.as_str();
    for option in options {
        assert_eq!(words::option(&mut rest), Ok(Some(option)));
    }
    assert_eq!(words::option(&mut rest), Ok(None));
});

fn quoted(word: &str) -> String {
    format!("\"{}\"", word.replace('\\', "\\\\").replace('"', "\\\""))
}
