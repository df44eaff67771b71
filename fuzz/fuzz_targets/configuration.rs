//! Directives: any text is read or refused with a message that names its directive; what was read merges with nothing to itself,
//! keeps the limits of its options, reaches the processes unchanged, and can be reported.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wsgi_core::config::report::{Description, Plan, ProcessView, ServerView, report};
use wsgi_core::config::{DaemonGroup, Layer, PythonFacts, ServerConfig};
use wsgi_core::control::{ToDaemon, decode, encode};
use wsgi_core::python::{ProcessFacts, PythonSettings};
use wsgi_fuzz::configuration::Reading;

fuzz_target!(|text: &str| {
    let mut reading = Reading::default();
    if let Err((directive, error)) = reading.read(text) {
        let message = error.to_string();
        assert!(
            message.contains(directive) || message.contains("WSGI process group"),
            "{message}"
        );
        return;
    }
    let [main, host] = &reading.servers;
    for config in [main, host] {
        let nothing = Layer::default();
        assert_eq!(Layer::merge(&nothing, &config.layer), config.layer);
        assert_eq!(Layer::merge(&config.layer, &nothing), config.layer);
        assert_eq!(Layer::merge(&config.layer, &config.layer), config.layer);
    }
    let global = &reading.global;
    for (index, group) in global.daemon_groups.iter().enumerate() {
        assert!(!group.name.is_empty());
        assert_eq!(group.id as usize, index + 1);
        assert!(
            global.daemon_groups[..index]
                .iter()
                .all(|other| other.name != group.name)
        );
        check_options(group);
        check_settings(&global.python_settings(Some(group), ProcessFacts::default()));
    }
    check_settings(&global.python_settings(None, ProcessFacts::default()));
    for script in &global.import_scripts {
        let is_known = global
            .daemon_groups
            .iter()
            .any(|group| group.name == script.process_group);
        assert!(!script.script.is_empty() && (script.process_group.is_empty() || is_known));
    }
    for (index, notice) in global.notices.iter().enumerate() {
        assert!(!notice.text.is_empty() && !global.notices[..index].contains(notice));
    }
    describe(&reading, &ServerConfig::merge(main, host));
});

fn check_options(group: &DaemonGroup) {
    let options = &group.options;
    assert!(options.processes >= 1 && options.threads < 65534);
    assert!(options.user.as_ref().is_none_or(|user| user.id != 0));
    for size in [options.send_buffer_size, options.receive_buffer_size] {
        assert!(size == 0 || size >= 512);
    }
    assert!(options.header_buffer_size >= 8192 && options.response_buffer_size >= 65536);
    for size in [options.request_spool, options.response_spool] {
        assert!(size == 0 || (64 << 10..=1 << 30).contains(&size));
    }
    for path in [&options.home, &options.chroot].into_iter().flatten() {
        assert!(path.starts_with('/'));
    }
    assert!(
        options
            .switch_interval
            .is_none_or(|interval| interval > 0.0 && interval.is_finite())
    );
    assert!(options.python_path.iter().all(|path| !path.is_empty()));
    let limits = group.limits(60);
    assert!(limits.socket_timeout > 0);
    let start = ToDaemon::Start(Box::new(wsgi_core::control::DaemonSettings {
        group: group.name.clone(),
        limits,
        ..Default::default()
    }));
    if let Ok(packet) = encode(&start) {
        assert_eq!(decode::<ToDaemon>(&packet), Ok(start));
    }
}

fn check_settings(settings: &PythonSettings) {
    assert_eq!(
        PythonSettings::decode(&settings.encode()).as_ref(),
        Ok(settings)
    );
}

/// `httpd -t -D DUMP_WSGI`.
fn describe(reading: &Reading, host: &ServerConfig) {
    let server = |ordinal, config| ServerView {
        ordinal,
        name: (ordinal == 0).then(|| "www.example.com".to_owned()),
        shown: format!("server {ordinal}"),
        config,
        document_root: Some("/var/www".to_owned()),
        defined_at: None,
    };
    let groups = &reading.global.daemon_groups;
    let description = Description {
        global: &reading.global,
        servers: vec![server(0, &reading.servers[0]), server(1, host)],
        children: ProcessView::default(),
        groups: vec![ProcessView::default(); groups.len()],
        tree: Vec::new(),
        matches: &|expression, text| text.contains(expression),
    };
    let plan = Plan::of(&description);
    let lines = report(&description, &plan, &[]);
    assert!(
        groups
            .iter()
            .all(|group| lines.iter().any(|line| line.contains(&group.name)))
    );
    let python = PythonFacts {
        major: 3,
        minor: 11,
        free_threaded: false,
    };
    for group in groups.iter().map(Some).chain([None]) {
        reading.global.lacks(group, python);
    }
}
