//! The option rows, one by one.

use super::*;
use crate::config::DaemonGroup;
use crate::config::testing::Reading;
use proptest::prelude::*;

/// The group that a line with these options defines.
#[track_caller]
fn group(options: &str) -> DaemonGroup {
    let mut reading = Reading::new();
    reading.root = true;
    reading.lines(&format!("WSGIDaemonProcess g {options}"));
    reading.global.daemon_groups.remove(0)
}

#[track_caller]
fn options(text: &str) -> DaemonOptions {
    group(text).options
}

/// Checks that each value is refused, by a message with the option and the value.
#[track_caller]
fn refused(option: &str, values: &[&str]) {
    for value in values {
        let message = Reading::refusal(&format!("WSGIDaemonProcess g {option}=\"{value}\""));
        let what = format!("Invalid value '{value}' for option '{option}' of WSGIDaemonProcess: ");
        assert!(message.starts_with(&what), "{message}");
    }
}

fn account(id: u32, name: &str) -> Account {
    let name = name.to_owned();
    Account { id, name }
}

/// DP-10 to DP-72, KD-22: what holds where nothing is said.
#[test]
fn defaults() {
    let found = options("");
    assert_eq!(found, DaemonOptions::default());
    assert_eq!((found.processes, found.processes_given), (1, false));
    assert_eq!((found.threads, found.listen_backlog), (15, 100));
    assert_eq!(
        (found.header_buffer_size, found.response_buffer_size),
        (32768, 8388608)
    );
    assert_eq!((found.response_flush_delay, found.connect_timeout), (5, 15));
    assert_eq!((found.shutdown_timeout, found.deadlock_timeout), (5, 300));
    assert_eq!((found.graceful_timeout, found.eviction_timeout), (15, 0));
}

/// DP-30 to DP-72: the default that the documentation gives is the one that holds.
#[test]
fn documented_defaults() {
    for row in DAEMON_OPTIONS {
        let is_value = |word: &&str| {
            word.starts_with(|c: char| c.is_ascii_digit()) || ["On", "Off"].contains(word)
        };
        let Some(value) = row.default.split(' ').next().filter(is_value) else {
            // What the processes find when they start: a name, a folder, or nothing.
            assert!(!row.kind.contains("seconds") || row.default == "Python's");
            continue;
        };
        let mut found = options(&format!("{}={value}", row.name));
        found.processes_given = false;
        assert_eq!(found, DaemonOptions::default(), "{}", row.name);
    }
}

/// DP-02: which options may be empty, and what they are then.
#[test]
fn empty_values() {
    let may_be = [
        "supplementary-groups",
        "lang",
        "locale",
        "display-name",
        "python-home",
        "python-path",
        "python-eggs",
    ];
    for row in DAEMON_OPTIONS {
        if may_be.contains(&row.name) {
            let mut found = options(&format!("{}=\"\"", row.name));
            if row.name == "supplementary-groups" {
                assert_eq!(found.supplementary_groups.take(), Some(Vec::new()));
            }
            assert_eq!(found, DaemonOptions::default(), "{}", row.name);
        } else {
            refused(row.name, &[""]);
        }
    }
}

/// GEN-07, DP-02, KD-20, KD-21: unknown names, and those of older releases.
#[test]
fn unknown_options() {
    for (option, hint) in [
        ("what=1", "names: processes threads user"),
        ("Threads=1", "names: processes"),
        ("threads", "names: processes"),
        ("proxy-buffer-size=1", "renamed response-buffer-size"),
        ("newrelic-config-file=/x", "New Relic"),
        ("newrelic-environment=x", "New Relic"),
    ] {
        let message = Reading::refusal(&format!("WSGIDaemonProcess g {option}"));
        let name = option.split('=').next().unwrap();
        let start = format!("Invalid option to WSGIDaemonProcess: '{name}'. ");
        assert!(
            message.starts_with(&start) && message.contains(hint),
            "{message}"
        );
    }
}

/// GEN-09: the last one counts, for every option.
#[test]
fn the_last_one_counts() {
    let found = options("threads=3 user=site threads=4 user=www-data umask=7 umask=22");
    assert_eq!((found.threads, found.umask), (4, Some(0o22)));
    assert_eq!(found.user, Some(account(33, "www-data")));
    // Each is checked all the same.
    Reading::refusal("WSGIDaemonProcess g processes=0 processes=1");
}

/// DP-10, DP-38: users by name and number.
#[test]
fn users() {
    assert_eq!(options("user=site").user, Some(account(1000, "site")));
    assert_eq!(
        options("user=#033 socket-user=root").user,
        Some(account(33, "www-data"))
    );
    assert_eq!(
        options("socket-user=#0").socket_user,
        Some(account(0, "root"))
    );
    refused(
        "user",
        &[
            "root", "#0", "#00", "#7", "nobody", "#", "#33x", "# 33", "#-1", " site",
        ],
    );
    refused("socket-user", &["nobody", "#7", "#x"]);
    let blocked = Reading::refusal("WSGIDaemonProcess g user=root");
    assert!(
        blocked.contains("blocked from running as root"),
        "{blocked}"
    );
}

/// DP-11, DP-12: groups; a number need not have a name, and 0 is allowed.
#[test]
fn groups() {
    assert_eq!(options("group=adm").group, Some(account(4, "adm")));
    assert_eq!(options("group=#0").group, Some(account(0, "root")));
    assert_eq!(options("group=#7").group, Some(account(7, "#7")));
    refused("group", &["nobody", "#", "#4x"]);
    for (list, ids) in [
        ("adm,#7", &[4, 7][..]),
        ("adm,,www-data,", &[4, 33]),
        (",nobody", &[]),
    ] {
        let found = options(&format!("supplementary-groups={list}"));
        assert_eq!(found.supplementary_groups.as_deref(), Some(ids), "{list}");
    }
    // With the primary group the system of these tests allows four.
    refused(
        "supplementary-groups",
        &["adm,nobody", "adm, www-data", "#1,#2,#3,#4"],
    );
}

/// DP-13: umask.
#[test]
fn masks() {
    for (text, mask) in [
        ("0", 0),
        ("0027", 0o27),
        ("+27", 0o27),
        ("\" 27\"", 0o27),
        ("17777", 0o17777),
    ] {
        assert_eq!(
            options(&format!("umask={text}")).umask,
            Some(mask),
            "{text}"
        );
    }
    refused(
        "umask",
        &["9", "-1", "27x", "27 ", "0o27", "77777777777777"],
    );
}

/// DP-14, DP-15: absolute paths, and a changed root for root only.
#[test]
fn paths() {
    let found = options("home=/srv/x chroot=\"/srv/a b\"");
    assert_eq!(found.home.as_deref(), Some("/srv/x"));
    assert_eq!(found.chroot.as_deref(), Some("/srv/a b"));
    refused("home", &["srv", "./x"]);
    refused("chroot", &["srv", "/srv"]);
}

/// DP-17, DP-18, DP-50 to DP-52: texts and lists.
#[test]
fn texts() {
    let found =
        options("lang=de locale='C.UTF-8' python-home=venv python-eggs=/e python-path=/a::/b:");
    assert_eq!(found.lang.as_deref(), Some("de"));
    assert_eq!(found.locale.as_deref(), Some("C.UTF-8"));
    assert_eq!(found.python_home.as_deref(), Some("venv"));
    assert_eq!(found.python_eggs.as_deref(), Some("/e"));
    assert_eq!(found.python_path, ["/a", "/b"]);
}

/// DP-19, XPN-27: only the whole value `%{GROUP}` is expanded.
#[test]
fn display_names() {
    for (text, name) in [
        ("%{GROUP}", "(wsgi:g)"),
        ("x%{GROUP}", "x%{GROUP}"),
        ("%{GLOBAL}", "%{GLOBAL}"),
        ("'a b'", "a b"),
    ] {
        let found = options(&format!("display-name={text}"));
        assert_eq!(found.display_name.as_deref(), Some(name));
    }
}

/// DP-30, DP-31: counts.
#[test]
fn processes_and_threads() {
    let found = options("processes=1 threads=0");
    assert_eq!((found.processes, found.processes_given), (1, true));
    assert_eq!(found.threads, 0);
    assert_eq!(options("threads=65533").threads, 65533);
    refused("processes", &["0", "-1", "abc", "4294967296"]);
    refused("threads", &["-1", "65534", "99999999999999999999"]);
}

/// DP-32 to DP-37: sizes; 0 is the default where there is a lower limit.
#[test]
fn sizes() {
    let found = options("stack-size=1 listen-backlog=0 response-flush-delay=0");
    assert_eq!(found.stack_size, Some(1));
    assert_eq!((found.listen_backlog, found.response_flush_delay), (0, 0));
    refused("stack-size", &["0", "-1", "x"]);
    for (name, least, default) in [
        ("send-buffer-size", 512, 0),
        ("receive-buffer-size", 512, 0),
        ("header-buffer-size", 8192, 32768),
        ("response-buffer-size", 65536, 8388608),
    ] {
        let size = |text: &str| {
            let found = options(&format!("{name}={text}"));
            match name {
                "send-buffer-size" => found.send_buffer_size,
                "receive-buffer-size" => found.receive_buffer_size,
                "header-buffer-size" => found.header_buffer_size,
                _ => found.response_buffer_size,
            }
        };
        assert_eq!(size("0"), default, "{name}");
        assert_eq!(size(&least.to_string()), least, "{name}");
        let (below, beyond) = ((least - 1).to_string(), u64::from(u32::MAX) + 1);
        refused(name, &["1", "-1", &below, &beyond.to_string()]);
    }
}

/// DP-43: owner or group of scripts, not both, by name.
#[test]
fn owners_of_scripts() {
    assert_eq!(
        options("script-user=#33").script_user.as_deref(),
        Some("www-data")
    );
    assert_eq!(
        options("script-group=adm").script_group.as_deref(),
        Some("adm")
    );
    refused("script-user", &["nobody", "#7"]);
    refused("script-group", &["nobody", "#7"]);
    let both = Reading::refusal("WSGIDaemonProcess g script-group=adm script-user=site");
    assert!(both.contains("cannot be used together"), "{both}");
}

/// DP-44, GEN-05: On and Off.
#[test]
fn server_metrics() {
    assert!(options("server-metrics=oN").server_metrics);
    assert!(!options("server-metrics=OFF").server_metrics);
    refused("server-metrics", &["1", "yes", " on"]);
}

/// DP-53, GEN-11: the whole value is a number over 0.
#[test]
fn switch_intervals() {
    for (text, interval) in [
        ("0.01", 0.01),
        ("1e-3", 0.001),
        ("\" 2\"", 2.0),
        ("+1", 1.0),
    ] {
        let found = options(&format!("switch-interval={text}"));
        assert_eq!(found.switch_interval, Some(interval));
    }
    refused(
        "switch-interval",
        &["0", "-1", "0.01s", "1 ", "fast", "inf", "nan", "0x1"],
    );
}

/// DP-20: any nice value.
#[test]
fn priorities() {
    assert_eq!(options("cpu-priority=-5").cpu_priority, -5);
    assert_eq!(options("cpu-priority=abc").cpu_priority, 0);
}

type Number = fn(&DaemonOptions) -> u64;

/// Options that are a number from 0 up.
const NUMBERS: &[(&str, Number)] = &[
    ("connect-timeout", |o| o.connect_timeout),
    ("socket-timeout", |o| o.socket_timeout),
    ("response-socket-timeout", |o| o.response_socket_timeout),
    ("queue-timeout", |o| o.queue_timeout),
    ("maximum-requests", |o| o.maximum_requests),
    ("startup-timeout", |o| o.startup_timeout),
    ("shutdown-timeout", |o| o.shutdown_timeout),
    ("deadlock-timeout", |o| o.deadlock_timeout),
    ("inactivity-timeout", |o| o.inactivity_timeout),
    ("request-timeout", |o| o.request_timeout),
    ("interrupt-timeout", |o| o.interrupt_timeout),
    ("graceful-timeout", |o| o.graceful_timeout),
    ("eviction-timeout", |o| o.eviction_timeout),
    ("restart-interval", |o| o.restart_interval),
    ("cpu-time-limit", |o| o.cpu_time_limit),
    ("memory-limit", |o| o.memory_limit),
    ("virtual-memory-limit", |o| o.virtual_memory_limit),
];

/// DP-39 to DP-42, DP-60 to DP-72, GEN-10: each sets its own number, with a warning where it is more than a number.
#[test]
fn numbers() {
    for (name, number) in NUMBERS {
        let text = format!("{name}=9999999999");
        let found = options(&text);
        assert_eq!(number(&found), 9_999_999_999, "{name}");
        for (other, number) in NUMBERS {
            let default = number(&DaemonOptions::default());
            assert!(
                other == name || number(&found) == default,
                "{text} changes {other}"
            );
        }
        refused(name, &["-1", "-5x"]);
        let reading = Reading::of(&format!("WSGIDaemonProcess g {name}=5s"));
        assert_eq!(number(&reading.global.daemon_groups[0].options), 5);
        let expected = format!(
            "WSGI5001: WSGIDaemonProcess g: option {name}=5s was read as 5; write the number alone."
        );
        assert_eq!(reading.notices(), [expected]);
    }
}

/// Options that are right leave nothing to say.
#[test]
fn nothing_is_said_of_what_works() {
    let working = Reading::of("WSGIDaemonProcess g processes=1 threads=2 home=/ lang=C user=site");
    assert!(working.notices().is_empty());
}

/// KD-24: every option that a release of mod_wsgi 2.0 to 6.1 had and 6.1 still has.
#[test]
fn options_of_all_releases() {
    let known = "deadlock-timeout display-name inactivity-timeout python-eggs python-path receive-buffer-size send-buffer-size \
         stack-size chroot cpu-priority cpu-time-limit script-group script-user lang locale memory-limit \
         virtual-memory-limit python-home supplementary-groups connect-timeout graceful-timeout queue-timeout \
         request-timeout socket-timeout header-buffer-size listen-backlog server-metrics socket-user eviction-timeout \
         response-buffer-size startup-timeout restart-interval response-socket-timeout interrupt-timeout switch-interval \
         response-flush-delay";
    for name in known.split_whitespace() {
        assert!(DAEMON_OPTIONS.iter().any(|row| row.name == name), "{name}");
    }
}

proptest! {
    /// DP-02: any value of any option is taken or refused by name, and what is taken is in range.
    #[test]
    fn any_value(row in 0..DAEMON_OPTIONS.len(), value in "[-+#/., 0-9a-z%{}]{0,12}") {
        let name = DAEMON_OPTIONS[row].name;
        let mut reading = Reading::new();
        match reading.line(&format!("WSGIDaemonProcess g {name}=\"{value}\"")) {
            Ok(()) => {
                let found = &reading.global.daemon_groups[0].options;
                prop_assert!(found.processes >= 1 && found.threads < 65534);
                prop_assert!(found.user.as_ref().is_none_or(|user| user.id != 0));
                prop_assert!(found.home.as_ref().is_none_or(|path| path.starts_with('/')));
                prop_assert!(found.switch_interval.is_none_or(|seconds| seconds > 0.0));
                prop_assert!(found.header_buffer_size >= 8192);
                prop_assert!(found.response_buffer_size >= 65536);
            }
            Err(error) => {
                prop_assert!(error.to_string().contains(&format!("option '{name}'")), "{}", error);
                prop_assert!(reading.global.daemon_groups.is_empty());
            }
        }
    }

    /// DP-60, GEN-10: any number is kept as it is.
    #[test]
    fn any_number(which in 0..NUMBERS.len(), value in 0..=i64::MAX) {
        let (name, number) = NUMBERS[which];
        let found = options(&format!("{name}={value}"));
        prop_assert_eq!(number(&found), value.unsigned_abs());
    }
}
