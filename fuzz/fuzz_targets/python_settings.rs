//! The settings that cross the runtime's table: what is understood means the same when it is encoded again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wsgi_core::python::PythonSettings;

fuzz_target!(|input: &[u8]| {
    let Ok(settings) = PythonSettings::decode(input) else {
        return;
    };
    let once = settings.encode();
    assert!(once.len() <= input.len());
    let again = PythonSettings::decode(&once).expect("it was encoded just now");
    // Not the values: a number may be NaN.
    assert_eq!(again.encode(), once);
    assert_eq!(format!("{again:?}"), format!("{settings:?}"));
});
