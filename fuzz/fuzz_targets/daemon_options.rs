//! Options of WSGIDaemonProcess, one by one: a value is taken or refused with a message that names the option and shows the value,
//! and what is said twice is what was said last.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wsgi_core::config::{DAEMON_OPTIONS, DaemonOptions};
use wsgi_fuzz::configuration::Reading;

fuzz_target!(|input: &[u8]| {
    let Some((first, value)) = input.split_first() else {
        return;
    };
    let option = &DAEMON_OPTIONS[usize::from(*first) % DAEMON_OPTIONS.len()];
    // A line of a configuration.
    let Ok(value) = std::str::from_utf8(value) else {
        return;
    };
    if value.contains(['\n', '\r', '\0']) {
        return;
    }
    let name = option.name;
    let quoted = format!("\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\""));
    let once = read(&format!("{name}={quoted}"));
    let twice = read(&format!("{name}={quoted} {name}={quoted}"));
    match (once, twice) {
        (Ok(once), Ok(twice)) => assert_eq!(once, twice),
        (Err(once), Err(twice)) => {
            assert!(once.contains(name) && once.contains(value), "{once}");
            assert_eq!(once, twice);
        }
        (once, twice) => panic!("{once:?}, {twice:?}"),
    }
});

fn read(options: &str) -> Result<DaemonOptions, String> {
    let mut reading = Reading::default();
    match reading.read(&format!("WSGIDaemonProcess g {options}")) {
        Ok(()) => Ok(reading.global.daemon_groups.remove(0).options),
        Err((_, error)) => Err(error.to_string()),
    }
}
